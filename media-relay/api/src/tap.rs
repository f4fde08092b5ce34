//! Copies of packets, for whoever captures them (MED-364).

use crate::Teller;
use std::fmt;
use std::net::SocketAddr;

/// What is copied of each packet of RTP and RTCP that is accepted or sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Tap {
    /// Its header: of RTP without extension, of RTCP the first eight octets.
    Headers,
    /// All of it, without encryption.
    Whole,
}

/// A packet, or its beginning, without encryption.
#[derive(Clone, PartialEq, Eq)]
pub struct TappedPacket {
    /// Who sent it.
    pub teller: Teller,
    /// Our address, as it is advertised.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// Octets that it had.
    pub length: u16,
    /// As many of them as were wanted.
    pub octets: Vec<u8>,
}

/// What people say is nothing for logs.
impl fmt::Debug for TappedPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            teller,
            local,
            remote,
            length,
            octets,
        } = self;
        f.debug_struct("TappedPacket")
            .field("teller", teller)
            .field("local", local)
            .field("remote", remote)
            .field("length", length)
            .field("kept", &octets.len())
            .finish()
    }
}
