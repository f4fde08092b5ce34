//! Messages on the wire: framing, Via, what a message arrived on and where one goes.

mod flow;
mod hop;

pub use flow::{Flow, FlowFault, FlowKey, PeerIdentity, Protocol};
pub use hop::{Hop, TlsHop};
