//! What happened to a call, told to a person: as a ladder of its messages and as plain words.

mod dropped;
mod exchange;
mod explain;
mod handshake;
mod ladder;
mod mermaid;
mod microsoft;
mod note;
mod one_way;
mod page;
mod quality;

pub use dropped::dropped;
pub use exchange::{Detail, Exchange, Peer, Row, Shown, Side, Stream};
pub use explain::{Explanation, KeptExplanation, explain};
pub use ladder::ladder;
pub use mermaid::mermaid;
pub(crate) use microsoft::said as said_by_microsoft;
pub use microsoft::{REPEATED, call_named_by, sub_code, sub_code_in_words};
pub(crate) use microsoft::{is_guid, name_in_contact, name_in_referred_by};
pub use note::note;
pub use page::page;
pub use quality::quality;

use crate::id::{LegId, ListenerName};
use crate::time::UnixTime;
use crate::transport::Protocol;
use bytes::Bytes;
use std::net::SocketAddr;

/// One thing that was seen of a call, in the order it happened.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// When, wall clock.
    pub at: UnixTime,
    /// Which leg it belongs to; `None` for the call as a whole.
    pub leg: Option<LegId>,
    /// What was seen.
    pub what: Seen,
}

/// What was seen.
#[derive(Clone, PartialEq, Debug)]
pub enum Seen {
    /// A message came in from a peer, or left for it.
    Message {
        /// Whether the peer sent it.
        is_received: bool,
        /// Transport protocol.
        protocol: Protocol,
        /// The peer's address.
        remote: SocketAddr,
        /// Our end.
        ours: Ours,
        /// The message as on the wire.
        bytes: Bytes,
    },
    /// A decision or observation, in words.
    Note(String),
}

/// Our end of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ours {
    /// It came in there.
    At(SocketAddr),
    /// It left by this listener of ours: where exactly is known to the sockets alone.
    By(ListenerName),
}

impl Ours {
    fn told(&self) -> String {
        match self {
            Self::At(address) => address.to_string(),
            Self::By(listener) => listener.as_str().to_owned(),
        }
    }
}
