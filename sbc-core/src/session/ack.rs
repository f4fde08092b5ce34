//! ACKs for 2xx, kept so that a repeated 2xx gets its ACK again (RFC 3261 §13.2.2.4, SIP-212).
//!
//! They outlive the call: a peer whose 200 is repeated after a quick BYE still waits for its ACK.

use crate::auth::Credentials;
use crate::deadline::DeadlineQueue;
use crate::effect::{Effect, Effects};
use crate::hashed::Minted;
use crate::id::{CallId, LegId, TransactionId};
use crate::session::style::LegStyle;
use crate::sip::header::{self, CSeq, From};
use crate::sip::{Address, Limits, Message, Method};
use crate::tally::{Direction, Repeated, TrunkTally};
use crate::time::Timestamp;
use crate::transport::Hop;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// ACKs by INVITE transaction and To tag of the 2xx.
#[derive(Default)]
pub(crate) struct AckStore {
    /// Of each INVITE, one for each party that answered it.
    sent: Minted<TransactionId, Vec<Ack>>,
    expiries: DeadlineQueue<(TransactionId, u64)>,
    last: u64,
    kept: usize,
}

/// Parties that may answer one INVITE and have their ACK repeated.
const MOST: usize = 64;

/// An ACK for another 2xx of the same INVITE.
pub(crate) struct Sibling {
    /// What we called the dialog by: an answer is not believed to say another name.
    pub(crate) call_id: header::CallId,
    pub(crate) from: Address,
    pub(crate) cseq: u32,
    pub(crate) style: LegStyle,
    pub(crate) hop: Hop,
    pub(crate) owner: (CallId, LegId),
    /// What it showed of our account: the same as its INVITE (RFC 3261 §22.1).
    pub(crate) shown: Credentials,
    /// It answered, so the INVITE has left the offer to whoever takes the call.
    pub(crate) is_answer: bool,
}

struct Ack {
    number: u64,
    remote_tag: Bytes,
    style: LegStyle,
    hop: Hop,
    bytes: Bytes,
    /// The same to other addresses of the peer.
    others: VecDeque<(Hop, Bytes)>,
    owner: (CallId, LegId),
    tally: Arc<TrunkTally>,
}

impl AckStore {
    /// Sends the first of these copies of an ACK, which lead to as many addresses of its peer, and keeps
    /// them for `keep` (64·T1 of the trunk).
    #[allow(
        clippy::too_many_arguments,
        reason = "one call site; the values have no common type"
    )]
    pub(crate) fn send(
        &mut self,
        now: Timestamp,
        keep: Duration,
        invite: TransactionId,
        remote_tag: Bytes,
        mut copies: VecDeque<(Hop, Bytes)>,
        owner: (CallId, LegId),
        style: &LegStyle,
        tally: Arc<TrunkTally>,
        out: &mut Effects,
    ) {
        let Some((hop, bytes)) = copies.pop_front() else {
            return;
        };
        self.last += 1;
        if copies.is_empty() {
            copies = VecDeque::new();
        }
        let ack = Ack {
            number: self.last,
            remote_tag,
            style: style.clone(),
            hop,
            bytes,
            others: copies,
            owner,
            tally,
        };
        ack.transmit(out);
        let of_invite = self
            .sent
            .entry(invite)
            .or_insert_with(|| Vec::with_capacity(1));
        // Nobody has so many phones: whoever else answers gets his ACK and BYE, and nothing is kept.
        if of_invite.len() == MOST {
            return;
        }
        self.expiries.push(now + keep, (invite, ack.number));
        let same = |other: &&mut Ack| other.remote_tag == ack.remote_tag;
        match of_invite.iter_mut().find(same) {
            Some(earlier) => *earlier = ack,
            None => {
                of_invite.push(ack);
                self.kept += 1;
            }
        }
    }

    /// Repeats the ACK of a 2xx, if it was already sent; says whether it was. It goes to the next address
    /// of the peer, where it has several: a 2xx that is repeated says that the last one had no success.
    pub(crate) fn repeat(
        &mut self,
        invite: TransactionId,
        remote_tag: &Bytes,
        out: &mut Effects,
    ) -> bool {
        let mut of_invite = self.sent.get_mut(&invite).into_iter().flatten();
        let Some(ack) = of_invite.find(|ack| ack.remote_tag == remote_tag) else {
            return false;
        };
        ack.turn();
        ack.tally.repeated(Direction::Out, Repeated::Request);
        ack.transmit(out);
        true
    }

    /// How and where an ACK for another 2xx of this INVITE was sent, and for which leg.
    pub(crate) fn sibling(&self, invite: TransactionId) -> Option<Sibling> {
        let ack = self.sent.get(&invite)?.first()?;
        let written = Message::parse(ack.bytes.clone(), &Limits::default()).ok()?;
        let call_id = written.essential::<header::CallId>().ok()??;
        let From(from) = written.essential::<From>().ok()??;
        Some(Sibling {
            call_id: call_id.clone().detached(),
            from: from.clone(),
            cseq: written.essential::<CSeq>().ok()??.number,
            style: ack.style.clone(),
            hop: ack.hop.clone(),
            owner: ack.owner,
            shown: Credentials::of(&written),
            is_answer: !written.body().is_empty(),
        })
    }

    /// Forgets what nobody can ask for any more.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        while let Some((invite, number)) = self.expiries.pop_due(now) {
            let Some(of_invite) = self.sent.get_mut(&invite) else {
                continue;
            };
            let before = of_invite.len();
            of_invite.retain(|ack| ack.number != number);
            self.kept -= before - of_invite.len();
            if of_invite.is_empty() {
                self.sent.remove(&invite);
            }
        }
    }

    /// When [`Self::tick`] is next wanted.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.expiries.next()
    }

    /// Kept ACKs.
    pub(crate) fn len(&self) -> usize {
        self.kept
    }
}

impl Ack {
    /// Takes the next address.
    fn turn(&mut self) {
        if let Some((hop, bytes)) = self.others.pop_front() {
            let hop = std::mem::replace(&mut self.hop, hop);
            let bytes = std::mem::replace(&mut self.bytes, bytes);
            self.others.push_back((hop, bytes));
        }
    }

    fn transmit(&self, out: &mut Effects) {
        let (method, protocol) = ((&Method::Ack).into(), self.hop.protocol);
        self.tally.request(Direction::Out, method, protocol);
        out.push(Effect::Send {
            hop: self.hop.clone(),
            bytes: self.bytes.clone(),
            transaction: None,
            call: Some(self.owner),
        });
    }
}
