//! The way of a voice's packets, both ways: at once, or through a bad network.

use crate::impair::{Fate, Line, Network, Queue};
use std::net::SocketAddr;
use tokio::time::Instant;

/// Which way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// From us.
    Out,
    /// To us.
    In,
}

/// Which of our two sockets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Port {
    /// That of RTP, of ICE, and of RTCP where both share it.
    Rtp,
    /// That of RTCP.
    Rtcp,
}

/// A packet that has arrived.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) way: Way,
    pub(super) port: Port,
    pub(super) bytes: Vec<u8>,
    /// Where it goes, or where it came from.
    pub(super) other: SocketAddr,
}

/// Packets on their way.
#[derive(Debug)]
pub(super) struct Air {
    lines: Option<(Line, Line)>,
    queue: Queue<Parcel>,
}

impl Air {
    pub(super) fn new(network: Option<Network>) -> Self {
        let both = |network: Network| (network.line("packets from"), network.line("packets to"));
        let lines = network.map(both);
        let queue = Queue::default();
        Self { lines, queue }
    }

    /// A packet of ours leaves. Whether it will arrive.
    pub(super) fn sends(&mut self, port: Port, bytes: &[u8], to: SocketAddr) -> bool {
        self.carries(Way::Out, port, bytes, to)
    }

    /// A packet was sent to us. Whether it will arrive.
    pub(super) fn brings(&mut self, port: Port, bytes: &[u8], from: SocketAddr) -> bool {
        self.carries(Way::In, port, bytes, from)
    }

    fn carries(&mut self, way: Way, port: Port, bytes: &[u8], other: SocketAddr) -> bool {
        let now = Instant::now();
        let fate = match (&mut self.lines, way) {
            (None, _) => Fate::Arrives(now),
            (Some((out, _)), Way::Out) => out.datagram(now),
            (Some((_, to_us)), Way::In) => to_us.datagram(now),
        };
        let Fate::Arrives(at) = fate else {
            return false;
        };
        let bytes = bytes.to_vec();
        let parcel = Parcel {
            way,
            port,
            bytes,
            other,
        };
        self.queue.push(at, parcel);
        true
    }

    /// When the next packet arrives.
    pub(super) fn due(&self) -> Option<Instant> {
        self.queue.due()
    }

    /// The next packet that has arrived.
    pub(super) fn take(&mut self) -> Option<Parcel> {
        self.queue.take(Instant::now())
    }
}
