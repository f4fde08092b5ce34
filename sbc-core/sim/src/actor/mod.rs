//! Peers of the SBC: pure machines, driven by the simulated world here and by real sockets in the
//! conformance runner. They have their own SIP, so that they share no mistake with the product.

mod agent;
mod change;
mod dialect;
mod habit;
mod plan;
mod view;
mod voice;

pub use agent::Agent;
pub(crate) use agent::target_of;
pub(crate) use agent::{Membership, Place};
pub use change::{By, Change, Codecs, HOLDS, Hold, Leave, Reaction, Wanted};
pub use dialect::Dialect;
pub use habit::{HABITS, Habit};
pub use plan::{Ack, Act, Cancel, Dial, Oddity, Script};
pub use view::{Ending, PartyView};
pub use voice::Wish;

use crate::wire::Wire;
use sbc_core::time::Timestamp;
use sbc_core::transport::Protocol;
use std::net::SocketAddr;

/// What an actor speaks over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// Transport.
    pub protocol: Protocol,
    /// The actor's address.
    pub local: SocketAddr,
    /// The other side's address.
    pub remote: SocketAddr,
    /// A connection that is known; without one the shell uses an open one or opens one.
    pub connection: Option<u64>,
    /// Name to ask for when a TLS connection is opened.
    pub server_name: Option<String>,
    /// Open a connection of its own even if there is an open one.
    pub fresh: bool,
}

/// What happens to an actor.
#[derive(Clone, Debug)]
pub enum Input {
    /// A message arrived.
    Heard {
        /// On what.
        line: Line,
        /// The message.
        wire: Wire,
    },
    /// The scenario wants something.
    Told(Intent),
    /// A deadline has come.
    Tick,
}

/// What a scenario may want of an actor.
#[derive(Clone, Debug, PartialEq)]
pub enum Intent {
    /// Place a call.
    Dial(Dial),
    /// Answer calls for a number like this.
    Expect(String, Script),
    /// Hang up whatever is still up.
    HangUpAll,
    /// Send these bytes as they are.
    Say(Vec<u8>),
}

/// What an actor wants of the world.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Say {
    /// Over what.
    pub line: Line,
    /// The bytes of one message.
    pub bytes: Vec<u8>,
}

/// A peer.
pub trait Actor {
    /// Applies one input; what it wants to send is appended.
    fn input(&mut self, now: Timestamp, input: Input, out: &mut Vec<Say>);

    /// When [`Input::Tick`] is next wanted.
    fn deadline(&self) -> Option<Timestamp>;
}
