//! What a session wants done: packets to send, events to deliver, sockets to close.

use super::SocketId;
use super::ice::Strangers;
use super::stream::Ready;
use media_api::{
    DropReason, EndpointId, Event, RealmId, RtcpReport, SessionId, StreamIndex, Suite,
};
use std::net::SocketAddr;
use std::ops::Range;

/// What became of one datagram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// RTP: send this part of the buffer on.
    Forward(Forward),
    /// RTP of a party that goes on in another session: give it to that one.
    Handed(Box<super::Handed>),
    /// RTP in a codec that the joined peer has not: for whoever transcodes. What comes of it is given to
    /// [`super::MediaSession::recoded`].
    Recode(super::Recode),
    /// RTCP: read and kept.
    Report,
    /// RTP that ends here: part of a digit, comfort noise that audio is made of, or audio that is packed anew.
    /// So many bytes of header and payload, for totals.
    Taken(usize),
    /// A connectivity check: its answer is among the packets that the session made.
    Checked,
    /// RTP before its key: kept, and judged when that is there.
    Kept,
    /// Dropped and counted.
    Dropped(DropReason),
}

/// A packet in the buffer it was received in, ready to leave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Forward {
    /// Socket to send from.
    pub socket: SocketId,
    /// Where to.
    pub to: SocketAddr,
    /// Part of the buffer that is the packet.
    pub range: Range<usize>,
    /// Realm of the socket, for totals.
    pub realm: RealmId,
    /// Bytes of RTP header and payload as received, for totals.
    pub received_bytes: usize,
    /// Bytes of RTP header and payload without tag.
    pub plain_bytes: usize,
    /// The sending stream's index, to take the packet back with.
    pub(crate) stream: usize,
}

/// A packet that the session made itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Made<'a> {
    /// Socket to send from.
    pub socket: SocketId,
    /// Where to.
    pub to: SocketAddr,
    /// Realm of the socket.
    pub realm: RealmId,
    /// The packet.
    pub bytes: &'a [u8],
    /// What is known of it if it is RTP: part of a sound.
    pub generated: Option<Generated>,
}

/// A packet of a sound, as the figures count it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Generated {
    /// Bytes of RTP header and payload without tag, for totals.
    pub plain_bytes: usize,
    /// The sending stream's index, to take the packet back with.
    pub(crate) stream: usize,
}

/// Figures of a realm that only a session can know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// The realm.
    pub realm: RealmId,
    /// Packets lost since the last sample; negative when late packets correct it.
    pub lost: i64,
    /// Present jitter in microseconds.
    pub jitter_us: u32,
}

/// A key of which a new one is due: whoever has random numbers makes it, and tells [`Event::KeyWorn`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Worn {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The stream.
    pub stream: StreamIndex,
    /// Its suite.
    pub suite: Suite,
}

/// A reusable sink. Emptied by its owner, never by the session.
#[derive(Debug, Default)]
pub struct Output {
    /// Events in the order in which they happened.
    pub events: Vec<Event>,
    /// Sockets that nobody needs any more; closed after everything else has been sent.
    pub freed: Vec<SocketId>,
    /// Figures for the realms' totals.
    pub samples: Vec<Sample>,
    /// RTP that was kept and has been accepted now: realm and bytes of each packet, for totals.
    pub received: Vec<(RealmId, usize)>,
    /// Keys that are nearly used up.
    pub worn: Vec<Worn>,
    /// Whether reports of RTCP are told ([`Event::Reported`]); not emptied.
    pub wants_reports: bool,
    /// Audio that was kept and is to be transcoded now, and such of ours, with places in `bytes`; the realm of what was
    /// received and its bytes, for totals.
    recodes: Vec<(super::Recode, Option<RealmId>, usize)>,
    bytes: Vec<u8>,
    made: Vec<MadeAt>,
    /// Handshakes of DTLS-SRTP that came to keys, and those that failed by fault; not emptied.
    pub handshakes: [u64; 5],
    /// Pairs that peers have nominated; not emptied.
    pub nominated: u64,
    /// Roll-over counters of peers that were found anew; not emptied.
    pub resynchronised: u64,
    /// Who checks without a password; not emptied.
    pub(super) strangers: Strangers,
    /// Something is due sooner than before, although no command and no tick was given.
    pub(super) is_sooner: bool,
}

/// A packet in [`Output::bytes`].
#[derive(Debug)]
struct MadeAt {
    socket: SocketId,
    to: SocketAddr,
    realm: RealmId,
    range: Range<usize>,
    generated: Option<Generated>,
}

impl Output {
    /// An empty sink.
    pub fn new() -> Self {
        Self::default()
    }

    /// Packets that the session made, in order.
    pub fn packets(&self) -> impl Iterator<Item = Made<'_>> {
        self.made.iter().filter_map(|made| {
            Some(Made {
                socket: made.socket,
                to: made.to,
                realm: made.realm,
                bytes: self.bytes.get(made.range.clone())?,
                generated: made.generated,
            })
        })
    }

    /// Audio for whoever transcodes, the realm in which it was received and the bytes of its packet, for totals, and
    /// the buffer that it lies in. What is ours, and what is counted already, has no realm.
    pub fn recodes(&self) -> impl Iterator<Item = (&super::Recode, Option<RealmId>, usize, &[u8])> {
        let all = self.recodes.iter();
        all.map(|(recode, realm, bytes)| (recode, *realm, *bytes, &self.bytes[..]))
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.events.clear();
        self.freed.clear();
        self.samples.clear();
        self.received.clear();
        self.worn.clear();
        self.recodes.clear();
        self.bytes.clear();
        self.made.clear();
        self.is_sooner = false;
    }

    /// Whether there are packets to send.
    pub(crate) fn has_packets(&self) -> bool {
        !self.made.is_empty()
    }

    /// Whether there is nothing to do, and nothing to be done sooner than was known.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.freed.is_empty()
            && self.samples.is_empty()
            && self.received.is_empty()
            && self.worn.is_empty()
            && self.recodes.is_empty()
            && self.made.is_empty()
            && !self.is_sooner
    }

    /// Adds a report.
    pub(super) fn push_report(
        &mut self,
        realm: RealmId,
        socket: SocketId,
        to: SocketAddr,
        packet: &[u8],
    ) {
        self.push(realm, socket, to, packet, None);
    }

    /// Tells what was said in a report of a stream, if it is to be told.
    pub(super) fn tell_report(
        &mut self,
        (session, endpoint, stream): (SessionId, EndpointId, StreamIndex),
        report: Option<RtcpReport>,
    ) {
        self.events.extend(report.map(|report| Event::Reported {
            session,
            endpoint,
            stream,
            report,
        }));
    }

    /// Adds a packet of a sound that a stream has finished in `slot`.
    pub(super) fn push_generated(
        &mut self,
        realm: RealmId,
        stream: usize,
        ready: &Ready,
        slot: &[u8],
    ) {
        let generated = Generated {
            plain_bytes: ready.plain_bytes,
            stream,
        };
        let packet = slot.get(ready.range.clone()).unwrap_or_default();
        self.push(realm, ready.socket, ready.to, packet, Some(generated));
    }

    /// Adds a packet that goes on late, received in `realm`.
    pub(crate) fn push_forward(&mut self, forward: &Forward, realm: RealmId, packet: &[u8]) {
        let generated = Generated {
            plain_bytes: forward.plain_bytes,
            stream: forward.stream,
        };
        self.received.push((realm, forward.received_bytes));
        self.push(
            forward.realm,
            forward.socket,
            forward.to,
            packet,
            Some(generated),
        );
    }

    /// Adds audio that is transcoded late, received in `realm`.
    pub(super) fn push_recode(&mut self, mut recode: super::Recode, realm: RealmId, slot: &[u8]) {
        let received = recode.payload.end;
        let start = self.bytes.len();
        let payload = slot.get(recode.payload.clone()).unwrap_or_default();
        self.bytes.extend_from_slice(payload);
        recode.payload = start..self.bytes.len();
        self.recodes.push((recode, Some(realm), received));
    }

    /// Adds audio of ours, or a copy of a peer's, for whoever transcodes.
    pub(super) fn push_own_recode(&mut self, mut recode: super::Recode, payload: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        recode.payload = start..self.bytes.len();
        self.recodes.push((recode, None, 0));
    }

    fn push(
        &mut self,
        realm: RealmId,
        socket: SocketId,
        to: SocketAddr,
        packet: &[u8],
        generated: Option<Generated>,
    ) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(packet);
        self.made.push(MadeAt {
            socket,
            to,
            realm,
            range: start..self.bytes.len(),
            generated,
        });
    }
}
