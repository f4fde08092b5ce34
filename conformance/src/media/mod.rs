//! Media of the peers: descriptions, a tone in G.711, RTP and SRTP over sockets, measurements.

mod air;
pub mod endpoint;
pub mod figures;
pub mod ice;
pub mod sdp;
pub mod secure;
pub mod tone;
pub mod voice;
