//! Media of the peers: descriptions, a tone in G.711 or G.722, RTP and SRTP over sockets, measurements.

mod air;
pub mod between;
pub mod check;
pub mod endpoint;
pub mod figures;
mod g722;
mod heard;
pub mod ice;
pub mod sdp;
pub mod secure;
mod state;
pub mod tone;
pub mod voice;
