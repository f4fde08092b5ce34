//! Copies of what is accepted and sent, for whoever captures it (MED-364). A session that nobody captures pays a look
//! at one pointer per packet; one that somebody does, a copy.

use super::{MediaSession, Output, stream::Stream};
use media_api::{Event, Tap, TappedPacket, Teller};
use std::net::SocketAddr;

/// Octets of an RTP header without sources and extension, and of each source.
const HEADER: usize = 12;
const SOURCE: usize = 4;
/// Octets of the header of RTCP with the first SSRC.
const REPORT_HEADER: usize = 8;
/// Copies that may wait: a session hands them over behind each packet and each tick.
const MOST: usize = 64;

/// Copies of one stream that were not handed over yet.
#[derive(Debug)]
pub(super) struct Copies {
    tap: Tap,
    packets: Vec<TappedPacket>,
}

impl Stream {
    /// Copies from now on, or no more.
    pub(super) fn tap(&mut self, tap: Option<Tap>) {
        self.copies = tap.map(|tap| {
            let packets = Vec::new();
            Box::new(Copies { tap, packets })
        });
    }

    /// A packet of RTP was accepted.
    pub(super) fn copy_received(&mut self, from: SocketAddr, packet: &[u8]) {
        if self.copies.is_some() {
            let local = self.sockets.advertised_rtp;
            self.copy((Teller::Peer, local, from), packet, header_of(packet));
        }
    }

    /// A packet of RTP is about to be protected.
    pub(super) fn copy_sent(&mut self, packet: &[u8]) {
        if self.copies.is_some()
            && let Some(face) = self.faces.last()
        {
            let (local, to) = (self.sockets.advertised_rtp, face.guard.destination());
            self.copy((Teller::Us, local, to), packet, header_of(packet));
        }
    }

    /// A compound of RTCP was accepted or is about to be protected.
    pub(super) fn copy_report(
        &mut self,
        teller: Teller,
        is_mux: bool,
        remote: SocketAddr,
        packet: &[u8],
    ) {
        if self.copies.is_some() {
            let local = self.advertised(is_mux);
            self.copy((teller, local, remote), packet, REPORT_HEADER);
        }
    }

    fn copy(
        &mut self,
        (teller, local, remote): (Teller, SocketAddr, SocketAddr),
        packet: &[u8],
        header: usize,
    ) {
        let Some(copies) = &mut self.copies else {
            return;
        };
        if copies.packets.len() >= MOST {
            return;
        }
        let kept = match copies.tap {
            Tap::Headers => header.min(packet.len()),
            Tap::Whole => packet.len(),
        };
        copies.packets.push(TappedPacket {
            teller,
            local,
            remote,
            length: u16::try_from(packet.len()).unwrap_or(u16::MAX),
            octets: packet[..kept].to_vec(),
        });
    }
}

fn header_of(packet: &[u8]) -> usize {
    let sources = packet.first().map_or(0, |first| usize::from(first & 0x0f));
    HEADER + SOURCE * sources
}

impl MediaSession {
    /// Copies the packets of every stream from now on, also of those that are added, or no more.
    pub(super) fn tap_all(&mut self, tap: Option<Tap>) {
        self.tap = tap;
        self.streams.iter_mut().for_each(|stream| stream.tap(tap));
    }

    /// Hands over what was copied.
    pub(super) fn tell_copies(&mut self, out: &mut Output) {
        if self.tap.is_none() {
            return;
        }
        for endpoint in &self.endpoints {
            for stream in &mut self.streams[endpoint.streams.clone()] {
                let copies = stream.copies.iter_mut();
                let packets = copies.flat_map(|own| own.packets.drain(..));
                out.events.extend(packets.map(|packet| Event::Tapped {
                    session: self.id,
                    endpoint: endpoint.id,
                    packet,
                }));
            }
        }
    }
}
