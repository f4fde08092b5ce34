//! Responses whose connection is gone and whose request came from where no other one can be opened: they
//! go to what the Via calls its sender, found as RFC 3263 §5 says (RFC 3261 §18.2.2, SIP-103).
//!
//! ```text
//! not sent ──► sent-by is an address: there     ──not sent──► lost
//!          └─► sent-by is a name: asked for once ──► each address in turn ──► lost
//! ```
//!
//! An address of a private network that a peer outside of it names is another host for us, and gets nothing.

use super::{Machine, Table};
use crate::effect::Effects;
use crate::id::{ListenerName, TransactionId};
use crate::sip::{Limits, Message};
use crate::transaction::{Indication, Sender};
use crate::transport::via::{ResponseTarget, sent_by};
use crate::transport::{Protocol, nat};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Most addresses of a name that are tried for one response.
const MOST_ADDRESSES: usize = 4;

/// Other ways for the responses of a request.
#[derive(Debug, Default)]
pub(super) struct OtherWays(VecDeque<SocketAddr>);

/// The name that a request's sender gives itself, which has to be located for our response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unreturned {
    /// The server transaction.
    pub id: TransactionId,
    /// Where the request arrived.
    pub listener: ListenerName,
    /// What it arrived over.
    pub protocol: Protocol,
    /// Name.
    pub name: String,
    /// Port that was written.
    pub port: Option<u16>,
}

impl Table {
    /// A response could not be sent: the next way for it, if there is one.
    pub(super) fn response_failed(
        &mut self,
        id: TransactionId,
        out: &mut Effects,
        up: &mut Vec<Indication>,
    ) {
        let Some(entry) = self.entries.get(&id) else {
            return;
        };
        let hop = &entry.hop;
        if !hop.protocol.is_reliable() {
            return;
        }
        if self.ways.contains_key(&id) {
            return self.next_way(id, out);
        }
        let (protocol, listener) = (hop.protocol, hop.listener.clone());
        let Some(wanted) = target(&entry.machine) else {
            return;
        };
        let found = match &wanted {
            ResponseTarget::Address(address) if leads_back(*address, hop.remote) => Some(*address),
            ResponseTarget::Address(_) => return,
            ResponseTarget::Resolve { .. } => None,
        };
        self.ways.insert(id, OtherWays(found.into_iter().collect()));
        match wanted {
            ResponseTarget::Address(_) => self.next_way(id, out),
            ResponseTarget::Resolve { host, port } => up.push(Indication::Unreturned(Unreturned {
                id,
                listener,
                protocol,
                name: host.to_string(),
                port,
            })),
        }
    }

    /// The name that [`Unreturned`] told has these addresses.
    pub fn way_found(
        &mut self,
        id: TransactionId,
        addresses: impl Iterator<Item = SocketAddr>,
        out: &mut Effects,
    ) {
        let (Some(ways), Some(entry)) = (self.ways.get_mut(&id), self.entries.get(&id)) else {
            return;
        };
        let heard = entry.hop.remote;
        let others = addresses.filter(|address| leads_back(*address, heard));
        ways.0.extend(others.take(MOST_ADDRESSES));
        self.next_way(id, out);
    }

    /// What was said last goes the next way, and so does all that follows.
    fn next_way(&mut self, id: TransactionId, out: &mut Effects) {
        let next = self.ways.get_mut(&id).and_then(|ways| ways.0.pop_front());
        let (Some(next), Some(entry)) = (next, self.entries.get_mut(&id)) else {
            return;
        };
        entry.hop.remote = next;
        entry.hop.flow = None;
        let mut to = Sender {
            id,
            owner: entry.owner,
            hop: &entry.hop,
            counted: &entry.counted,
            out,
        };
        match &entry.machine {
            Machine::InviteServer(machine) => machine.repeated(&mut to),
            Machine::Server(machine) => machine.repeated(&mut to),
            Machine::InviteClient(_) | Machine::Client(_) => {}
        }
    }
}

/// Whether an address may be another way to who was heard from elsewhere, where sending has just failed.
fn leads_back(address: SocketAddr, heard: SocketAddr) -> bool {
    address != heard && !nat::hides(address.ip(), heard.ip())
}

/// What a request's sender calls itself, as any answer to it repeats.
fn target(machine: &Machine) -> Option<ResponseTarget> {
    let said = match machine {
        Machine::InviteServer(machine) => machine.said(),
        Machine::Server(machine) => machine.said(),
        Machine::InviteClient(_) | Machine::Client(_) => return None,
    };
    let said = Message::parse(said, &Limits::default()).ok()?;
    Some(sent_by(said.top_via().ok()?))
}
