//! Transactions: RFC 3261 §17 with RFC 6026 and RFC 4320 applied.
//!
//! [`Table`] owns the four machines, matches messages to them, and keeps their deadlines. Upwards it
//! speaks in [`Indication`]s. A machine keeps the bytes it sent and repeats exactly those.

mod client;
mod invite_client;
mod invite_server;
mod key;
#[cfg(test)]
mod matrix;
mod server;
mod table;
mod timer;

pub use key::own_key;
pub use table::{Bounds, MAX_SERVER_TRANSACTIONS, Table, TableSizes, Unreturned};
pub use timer::TimerSet;

use crate::config::Merged;
use crate::effect::{Effect, Effects};
use crate::id::{CallId, FlowId, LegId, TransactionId};
use crate::sip::{HeaderName, Message};
use crate::tally::{CountedMethod, TrunkTally};
use crate::transport::{Flow, FlowFault, Hop, TlsSuite};
use bytes::Bytes;
use std::sync::Arc;

/// Whose transaction it is; handed back with everything that concerns it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// A leg of a call.
    Leg(CallId, LegId),
    /// A health probe of a trunk.
    Probe(u32),
    /// A registration of a trunk.
    Registration(u32),
    /// Nobody waits for it.
    Nobody,
}

impl Owner {
    /// The call and leg, for the ladder.
    fn leg(self) -> Option<(CallId, LegId)> {
        match self {
            Self::Leg(call, leg) => Some((call, leg)),
            Self::Probe(_) | Self::Registration(_) | Self::Nobody => None,
        }
    }
}

/// What the transaction layer tells the layer above.
#[derive(Clone, Debug)]
pub enum Indication {
    /// A new request. An INVITE gets its 100 from [`Table::set_owner`].
    Request {
        /// The server transaction that wants a final response.
        id: TransactionId,
        /// What the request arrived on.
        flow: Flow,
        /// The request, its top Via completed with `received` and `rport`.
        message: Message,
    },
    /// A request that belongs to no transaction and can begin none, because a header that names
    /// one cannot be read or one that every answer repeats is missing. It is answered without
    /// state.
    Unmatched {
        /// What it arrived on.
        flow: Flow,
        /// The request.
        message: Message,
    },
    /// The peer cancelled an INVITE that has no final response; the CANCEL has got its 200.
    Cancelled {
        /// The INVITE's transaction.
        invite: TransactionId,
        /// Its owner.
        owner: Owner,
        /// The CANCEL.
        message: Message,
    },
    /// An ACK that belongs to a 2xx, or to nothing.
    Ack {
        /// What it arrived on.
        flow: Flow,
        /// The ACK.
        message: Message,
    },
    /// A response to a request of ours. After the first 2xx to an INVITE, every further one too.
    Response {
        /// The client transaction.
        id: TransactionId,
        /// Its owner.
        owner: Owner,
        /// The response.
        message: Message,
        /// What it arrived on.
        flow: FlowId,
        /// What the handshake of that agreed on; `None` without TLS.
        tls: Option<TlsSuite>,
    },
    /// A request of ours got no final response in time; counts as 408 (SIP-210).
    TimedOut {
        /// The client transaction.
        id: TransactionId,
        /// Its owner.
        owner: Owner,
    },
    /// A request of ours could not be sent; counts as 503 (SIP-210).
    TransportFailed {
        /// The client transaction.
        id: TransactionId,
        /// Its owner.
        owner: Owner,
        /// Why.
        why: FlowFault,
    },
    /// The connection that an INVITE came on is gone, and it has no final response. One that comes again
    /// by another way is not refused as merged any more: its sender knows of no other.
    WayLost {
        /// Its owner.
        owner: Owner,
        /// Why.
        why: FlowFault,
    },
    /// A response found no way back; answered by [`Table::way_found`].
    Unreturned(Unreturned),
    /// Our final failure response to an INVITE was never acknowledged.
    NoAck {
        /// The server transaction.
        id: TransactionId,
        /// Its owner.
        owner: Owner,
    },
}

/// How a peer is answered before anybody has taken its request.
#[derive(Clone, Default, Debug)]
pub struct Manners {
    /// What becomes of merged requests.
    pub merged: Merged,
    /// Lines of every response: who we are, for Teams (TDR-OPT-011).
    pub lines: Vec<(HeaderName, Bytes)>,
    /// Whether a refusal says why in terms of Q.850 (Annex B of our Teams requirements).
    pub says_why: bool,
    /// Where its messages and ours to it are counted.
    pub tally: Option<Arc<TrunkTally>>,
}

/// What a machine wants done besides changing its own state. Its table knows the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Nothing.
    Quiet,
    /// Tell the layer above about the message or timeout at hand.
    Tell,
}

/// Where and as what a machine sends.
struct Sender<'a> {
    id: TransactionId,
    owner: Owner,
    hop: &'a Hop,
    counted: &'a Counted,
    out: &'a mut Effects,
}

/// Where the messages of a transaction are counted, and as what.
#[derive(Clone, Debug)]
struct Counted {
    method: CountedMethod,
    tally: Option<Arc<TrunkTally>>,
}

impl Sender<'_> {
    fn send(&mut self, bytes: &Bytes) {
        if let Some(tally) = &self.counted.tally {
            tally.sent(self.counted.method, self.hop.protocol, bytes);
        }
        self.out.push(Effect::Send {
            hop: self.hop.clone(),
            bytes: bytes.clone(),
            transaction: Some(self.id),
            call: self.owner.leg(),
        });
    }
}
