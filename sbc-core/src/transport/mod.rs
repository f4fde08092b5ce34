//! Messages on the wire: framing, Via, what a message arrived on and where one goes.

mod flow;
pub mod framer;
mod hop;
pub mod nat;
pub mod overload;
pub mod stun;
mod tls;
pub mod via;

pub use flow::{
    CertificateFault, CertificateRefusal, Flow, FlowFault, FlowKey, PeerIdentity, Protocol,
};
pub use hop::{Hop, TlsHop};
pub use tls::TlsSuite;
