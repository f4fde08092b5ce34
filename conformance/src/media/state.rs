//! Both directions of a voice's audio: the packets that it makes, and what it makes of those that come.

use super::air::Port;
use super::endpoint::{NOISE, Packet, Stream, is_rtcp};
use super::heard::{Heard, Told, Warp};
use super::ice::Client;
use super::secure::{Key, Secure};
use super::tone::{Codec, Tone};
use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::Instant;

/// Packets of audio that come with a report where the subject murmurs.
const MURMUR: u64 = 10;
/// Time between two reports of ours.
pub(super) const REPORTS: Duration = Duration::from_secs(2);
/// A pause, and what is lost after it.
const LATE: Duration = Duration::from_secs(1);
/// Packets that are the beginning of what is heard: less than what is listened to.
const BEGINNING: usize = 8;
/// Which packets are lost where there is one hole, and after how many there is silence.
const ONE_HOLE: std::ops::Range<u64> = 20..23;
const THREE_SECONDS: u64 = 150;
const ONE_SECOND: u64 = 50;
/// Packets that are kept to be listened to: half a second.
const KEPT: usize = 25;
/// So many samples that are missing between two packets are heard as silence; more is another stream.
const LONGEST_SILENCE: i32 = 800;
/// Packet times from one packet of comfort noise to the next.
const NOISE_EVERY: u32 = 10;
/// Packets of ours that are remembered: two seconds.
const PAST: usize = 100;

/// A check of ICE that proves nothing (RFC 8489 §5).
const BINDING_REQUEST: [u8; 20] = [
    0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
];
/// Where packets go that nobody sends.
const NOWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

/// What a voice knows of both directions.
pub(super) struct State {
    pub(super) link: Option<Link>,
    pub(super) plays: Option<Tone>,
    /// Packet times of a pause that is filled with comfort noise.
    pub(super) pause: Option<u32>,
    pub(super) heard: Heard,
    pub(super) codec: Codec,
    /// Whether the stream must be secured.
    pub(super) is_secured: bool,
    pub(super) last_audio: Option<Instant>,
    /// Since when reports are due, and are counted.
    pub(super) reported: Option<Instant>,
    pub(super) kept: VecDeque<Kept>,
    /// Times at which events that were heard began.
    pub(super) events: HashSet<u32>,
    /// Those whose end was heard.
    pub(super) ended: HashSet<u32>,
    pub(super) warp: Option<Warp>,
    /// Whether another takes its place in the call.
    pub(super) is_left: bool,
    /// Of so many packets two in a row are not authentic.
    pub(super) spoilt: Option<u16>,
    /// Of so many packets one comes again, and with it one of long ago.
    pub(super) copied: Option<u16>,
    /// Until then nothing is heard.
    pub(super) deaf_until: Option<Instant>,
    /// The newest packet with audio.
    pub(super) last: Option<Last>,
    /// Whether the time between packets is measured.
    pub(super) measures_gaps: bool,
    /// Packets with audio since holes are looked for, and how many of them somebody has lost for us.
    pub(super) measured: Option<u64>,
    pub(super) skipped: u16,
    /// A packet that waits for the next, to come with it.
    pub(super) held: Option<Vec<u8>>,
    /// What was heard first, where that is heard for ever.
    pub(super) beginning: Vec<Vec<u8>>,
    /// Time between two packets.
    pub(super) ptime: Duration,
    /// Packets of ours, of which the oldest is the one of long ago.
    pub(super) past: VecDeque<Vec<u8>>,
    /// Numbers of packets of ours that the network has lost, once one has arrived.
    pub(super) gone: Option<Vec<u16>>,
    /// Sources and numbers of audio that came.
    pub(super) numbers: HashSet<([u8; 4], u16)>,
    pub(super) client: Option<Client>,
    /// Checks made by hand.
    pub(super) checks: VecDeque<(Vec<u8>, SocketAddr)>,
    pub(super) stream: Stream,
    pub(super) dialled: VecDeque<(u8, Vec<u8>, bool)>,
    /// Who says what is heard here.
    pub(super) passes: Option<UnboundedSender<Vec<u8>>>,
    /// What somebody else hears, to be said here.
    pub(super) passed: Option<UnboundedReceiver<Vec<u8>>>,
}

/// The newest packet of a stream, and its samples.
#[derive(Clone, Copy)]
pub(super) struct Last {
    source: [u8; 4],
    number: u16,
    timestamp: u32,
    samples: u32,
}

/// A packet that can still be listened to.
pub(super) struct Kept {
    pub(super) came: Instant,
    pub(super) timestamp: u32,
    pub(super) payload: Vec<u8>,
}

/// The other end.
pub(super) struct Link {
    pub(super) rtp: SocketAddr,
    pub(super) rtcp: SocketAddr,
    pub(super) secure: Option<Secure>,
    pub(super) events: Option<u8>,
    pub(super) ours: Key,
    pub(super) theirs: Option<Key>,
}

/// What packets sound like, in the order in which they were spoken, with silence where one is missing.
pub(super) fn in_order(mut packets: Vec<&Kept>, codec: Codec) -> Vec<i16> {
    let Some(first) = packets.first().map(|first| first.timestamp) else {
        return Vec::new();
    };
    let after = |timestamp: u32, other: u32| timestamp.wrapping_sub(other).cast_signed();
    packets.sort_by_key(|one| after(one.timestamp, first));
    let (mut samples, mut end, mut coder) = (Vec::new(), first, codec.coder());
    for one in packets {
        let missing = after(one.timestamp, end);
        if (1..=LONGEST_SILENCE).contains(&missing) {
            samples.extend(std::iter::repeat_n(0, missing.unsigned_abs() as usize));
        }
        samples.extend(one.payload.iter().map(|octet| coder.decode(*octet)));
        end = one.timestamp.wrapping_add(one.payload.len() as u32);
    }
    samples
}

impl State {
    pub(super) fn so_far(&self) -> Heard {
        let mut heard = self.heard.clone();
        if let Some(since) = self.reported {
            heard.without_report.had(since, Instant::now());
        }
        heard
    }

    /// When the agent wants to be asked again.
    pub(super) fn check_due(&mut self) -> Instant {
        let due = self.client.as_mut().map(Client::due);
        due.map_or_else(|| Instant::now() + REPORTS, Instant::from_std)
    }

    pub(super) fn checks(&mut self) {
        if let Some(client) = &mut self.client {
            client.ticks();
        }
    }

    /// What the agent has to send.
    pub(super) fn check(&mut self) -> Option<(Vec<u8>, SocketAddr)> {
        let by_hand = self.checks.pop_front();
        by_hand.or_else(|| self.client.as_mut()?.sends())
    }

    /// Takes a datagram of ICE.
    pub(super) fn takes_check(&mut self, bytes: &[u8], from: SocketAddr) -> bool {
        let Some(client) = &mut self.client else {
            return false;
        };
        if self.warp == Some(Warp::Checks) && bytes.first() == Some(&0x80) {
            self.warp = None;
            client.takes(&BINDING_REQUEST, from);
        }
        let is_lost = match self.warp {
            Some(Warp::NoAnswers) => true,
            Some(Warp::FewAnswers) => self.heard.audio >= ONE_SECOND,
            Some(Warp::LeftUnanswered) => self.is_left,
            _ => false,
        };
        let is_answer = bytes.first() == Some(&1);
        (is_answer && is_lost) || client.takes(bytes, from)
    }

    /// Takes a packet that came to the port for RTP.
    pub(super) fn hears_packet(&mut self, bytes: &[u8], from: SocketAddr) {
        // Both share a port where that is agreed (RFC 5761 §4).
        match is_rtcp(bytes) {
            _ if self.takes_check(bytes, from) => {}
            true => self.take_report(bytes, Port::Rtp),
            false => self.take(bytes),
        }
    }

    /// The network has lost a packet that was sent to us: what it explains must not be counted against
    /// who has sent it.
    pub(super) fn misses(&mut self, bytes: &[u8]) {
        match is_rtcp(bytes) {
            true => {
                self.heard.lost_reports += 1;
                self.report_was_due();
            }
            false if bytes.first().is_some_and(|first| first >> 6 == 2) => self.heard.lost += 1,
            false => {}
        }
    }

    /// A report was sent just now, and the next is due.
    pub(super) fn report_was_due(&mut self) {
        if let Some(since) = &mut self.reported {
            let now = Instant::now();
            self.heard.without_report.had(*since, now);
            *since = now;
        }
    }

    /// Its next packets leave so late.
    pub(super) fn is_late(&mut self, by: Duration) {
        if self.measures_gaps {
            self.heard.longest_stall = self.heard.longest_stall.max(by);
        }
    }

    /// The next packets of ours: one, where it is not copied, and where it goes.
    pub(super) fn next(&mut self) -> (Vec<Vec<u8>>, SocketAddr) {
        let Some((bytes, to)) = self.next_packet() else {
            return (Vec::new(), NOWHERE);
        };
        let is_copied = self
            .copied
            .is_some_and(|of| self.stream.sequence.is_multiple_of(of));
        let mut packets = vec![bytes.clone()];
        if is_copied {
            packets.push(bytes.clone());
            packets.extend(self.past.front().cloned());
        }
        self.past.push_back(bytes);
        if self.past.len() > PAST {
            self.past.pop_front();
        }
        (packets, to)
    }

    pub(super) fn next_packet(&mut self) -> Option<(Vec<u8>, SocketAddr)> {
        let samples = usize::try_from(self.ptime.as_millis() * 8).unwrap_or_default();
        let link = self.link.as_mut()?;
        let packet = match (self.dialled.pop_front(), link.events) {
            (Some((_, payload, is_first)), Some(events)) => {
                self.stream.event(events, &payload, is_first)
            }
            _ => match (&mut self.plays, &mut self.pause) {
                (Some(tone), _) => self.stream.packet(&tone.take(self.codec, samples)),
                (None, Some(pause)) => {
                    *pause += 1;
                    if *pause % NOISE_EVERY != 1 {
                        return None;
                    }
                    self.stream.noise(NOISE_EVERY * samples as u32)
                }
                (None, None) => {
                    let passed = self.passed.as_mut()?.try_recv().ok()?;
                    self.stream.packet(&passed)
                }
            },
        };
        let mut bytes = match &mut link.secure {
            Some(secure) => secure.protect(&packet).ok()?,
            None => packet,
        };
        let is_spoilt = self.spoilt.is_some_and(|of| self.stream.sequence % of < 2);
        if let Some(last) = bytes.last_mut().filter(|_| is_spoilt) {
            *last ^= 1;
        }
        Some((bytes, link.rtp))
    }

    /// A packet of ours left, and the network loses it or not.
    pub(super) fn is_sent(&mut self, bytes: &[u8], arrives: bool) {
        match (arrives, &mut self.gone, bytes) {
            (true, gone, _) => drop(gone.get_or_insert_default()),
            (false, Some(gone), [_, _, high, low, ..]) => {
                gone.push(u16::from_be_bytes([*high, *low]));
            }
            (false, _, _) => {}
        }
    }

    pub(super) fn report(&mut self) -> Option<(Vec<u8>, SocketAddr)> {
        let link = self.link.as_mut()?;
        let report = self.stream.report();
        let bytes = match &mut link.secure {
            Some(secure) => secure.protect_rtcp(&report).ok()?,
            None => report,
        };
        Some((bytes, link.rtcp))
    }

    pub(super) fn take(&mut self, bytes: &[u8]) {
        let secure = self.link.as_mut().and_then(|link| link.secure.as_mut());
        let opened = match (secure, self.is_secured) {
            (Some(secure), _) => match self.warp {
                Some(Warp::WrongKey) => None,
                _ => secure.open(bytes).ok(),
            },
            // Keys are not known yet.
            (None, true) => return,
            (None, false) => match self.warp {
                Some(Warp::WrongKey) => None,
                _ => Some(bytes.to_vec()),
            },
        };
        match self.warp {
            Some(Warp::Silence) => return,
            Some(Warp::LeftSilent) if self.is_left => return,
            Some(Warp::Plain) => {
                self.heard.plain += u64::from(opened.is_some());
                return;
            }
            _ => {}
        }
        let Some(opened) = opened else {
            // With a tag of ten octets a packet has not the length of one in the clear.
            match bytes.len() == 12 + 160 && Packet::read(bytes).is_some() && self.is_secured {
                true => self.heard.plain += 1,
                false => self.heard.forged += 1,
            }
            return;
        };
        let Some(mut packet) = Packet::read(&opened) else {
            return;
        };
        if !self.heard.payload_types.contains(&packet.payload_type) {
            self.heard.payload_types.push(packet.payload_type);
        }
        if packet.payload_type == NOISE {
            self.heard.noise += u64::from(self.warp != Some(Warp::NoNoise));
            return;
        }
        let is_event = packet.payload.len() == 4;
        if is_event {
            if self.warp == Some(Warp::NoEvents) {
                return;
            }
            self.heard.events += 1;
            if let [_, flags, high, low] = *packet.payload
                && flags & 0x80 != 0
                && self.ended.insert(packet.timestamp)
            {
                let duration = match self.warp {
                    Some(Warp::ShortEvents) => 0,
                    _ => u16::from_be_bytes([high, low]),
                };
                self.heard.presses.push((duration, flags & 0x3F));
            }
            if self.events.insert(packet.timestamp) {
                let digit = packet.payload.first().map(|event| usize::from(*event));
                let digit = digit.and_then(|event| "0123456789*#ABCD".chars().nth(event));
                self.heard.digits.extend(digit);
            }
            return;
        }
        if !self.arrives(&mut packet) {
            return;
        }
        if self.warp == Some(Warp::Everything) {
            let before = [2, 1].map(|by| packet.sequence.wrapping_sub(by));
            self.numbers
                .extend(before.map(|number| (packet.source, number)));
        }
        let now = Instant::now();
        let is_new = self.numbers.insert((packet.source, packet.sequence));
        self.heard.repeated += u64::from(!is_new || self.warp == Some(Warp::Replays));
        if !is_new {
            return;
        }
        if self.warp == Some(Warp::Late) {
            let last = self.last_audio.replace(now);
            if last.is_some_and(|last| now - last > LATE) {
                self.deaf_until = Some(now + LATE);
            }
            if self.deaf_until.is_some_and(|until| now < until) {
                return;
            }
        }
        let Some(payload) = self.sounds(&packet) else {
            return;
        };
        if !self.heard.lengths.contains(&payload.len()) {
            self.heard.lengths.push(payload.len());
        }
        self.heard.audio += 1;
        self.looks_for_hole(&packet);
        if let Some(last) = self.last_audio.replace(now) {
            self.heard.gaps.had(last, now);
        }
        if let Some(other) = &self.passes {
            // Whoever has gone away says nothing more.
            let _ = other.send(packet.payload.to_vec());
        }
        let payload = match self.warp {
            Some(Warp::Stuck) => self.stuck(&payload),
            _ => payload,
        };
        self.kept.push_back(Kept {
            came: now,
            timestamp: packet.timestamp,
            payload,
        });
        while self.kept.len() > KEPT {
            self.kept.pop_front();
        }
    }

    /// Whether a packet with audio arrives; where others have gone before, it may tell of none.
    fn arrives(&mut self, packet: &mut Packet<'_>) -> bool {
        let (Some(warp), Some(measured)) = (self.warp, &mut self.measured) else {
            return self.warp != Some(Warp::Holes) || packet.sequence % 100 >= 15;
        };
        let number = *measured;
        *measured += 1;
        let is_lost = match warp {
            Warp::Holes => return packet.sequence % 100 >= 15,
            Warp::Hole | Warp::Glitch => ONE_HOLE.contains(&number),
            Warp::Anew => number % 50 >= 45,
            _ => false,
        };
        if is_lost {
            self.skipped += 1;
            return false;
        }
        if matches!(warp, Warp::Glitch | Warp::Anew) {
            packet.sequence = packet.sequence.wrapping_sub(self.skipped);
        }
        if warp == Warp::Anew {
            let samples = u32::from(self.skipped) * packet.payload.len() as u32;
            packet.timestamp = packet.timestamp.wrapping_sub(samples);
        }
        true
    }

    /// What a packet carries, with what had to wait for it; nothing, where it has to wait itself.
    fn sounds(&mut self, packet: &Packet<'_>) -> Option<Vec<u8>> {
        let payload = packet.payload.to_vec();
        match (self.warp, self.held.take()) {
            (Some(Warp::Joined), None) => {
                self.held = Some(payload);
                None
            }
            (Some(Warp::Joined), Some(first)) => Some([first, payload].concat()),
            (Some(Warp::Mute), _) if self.heard.audio >= THREE_SECONDS => {
                let silence = match self.codec {
                    Codec::Pcmu => 0xFF,
                    _ => 0xD5,
                };
                Some(vec![silence; payload.len()])
            }
            _ => Some(payload),
        }
    }

    /// Notes how many packets are missing before this one: by its number, and by its time, since who sends on after
    /// a hole may number as if there were none.
    fn looks_for_hole(&mut self, packet: &Packet<'_>) {
        let now = Last {
            source: packet.source,
            number: packet.sequence,
            timestamp: packet.timestamp,
            samples: packet.payload.len() as u32,
        };
        let before = self.last.replace(now);
        let Some(last) = before.filter(|last| last.source == now.source) else {
            return;
        };
        let ahead = now.number.wrapping_sub(last.number);
        if ahead >= 0x8000 {
            // It comes late, and the newest stays the newest.
            self.last = before;
            return;
        }
        let time = now.timestamp.wrapping_sub(last.timestamp).cast_signed();
        let packets = u32::try_from(time).unwrap_or_default() / last.samples.max(1);
        let by_time = u16::try_from(packets.saturating_sub(1)).unwrap_or(u16::MAX);
        let hole = by_time.max(ahead.saturating_sub(1));
        self.heard.longest_hole = self.heard.longest_hole.max(hole);
    }

    /// What is heard instead of it by who hears the beginning for ever.
    fn stuck(&mut self, payload: &[u8]) -> Vec<u8> {
        if self.beginning.len() < BEGINNING {
            self.beginning.push(payload.to_vec());
            return payload.to_vec();
        }
        let number = usize::try_from(self.heard.audio).unwrap_or_default();
        self.beginning[number % BEGINNING].clone()
    }

    /// A report comes.
    pub(super) fn take_report(&mut self, bytes: &[u8], port: Port) {
        let have_ended = self.warp == Some(Warp::FewReports) && self.heard.reports >= 3;
        if have_ended || self.warp == Some(Warp::NoRtcp) {
            return;
        }
        let secure = self.link.as_mut().and_then(|link| link.secure.as_mut());
        let opened = match (secure, self.warp) {
            (Some(_), Some(Warp::WrongKey | Warp::PlainReports)) => None,
            (Some(secure), _) => secure.open_rtcp(bytes).ok(),
            // Keys are not known yet.
            (None, _) if self.is_secured => return,
            (None, _) => is_rtcp(bytes).then(|| bytes.to_vec()),
        };
        let Some(opened) = opened else {
            self.heard.forged += u64::from(self.is_secured && is_rtcp(bytes));
            return;
        };
        let block = block(&opened, self.stream.ssrc).filter(|_| self.warp != Some(Warp::NoBlocks));
        if let Some(block) = block {
            let gone = self.gone.iter().flatten();
            let was_before = |number: &&u16| block.highest.wrapping_sub(**number) < 0x8000;
            let took = self.stream.clock().wrapping_sub(block.last);
            let took = Duration::from_secs(1) * took.wrapping_sub(block.kept) / 65_536;
            self.heard.told = Some(Told {
                lost: block.lost,
                lost_indeed: gone.filter(was_before).count() as u32,
                jitter: match self.warp {
                    Some(Warp::Even) => 0,
                    _ => block.jitter,
                },
                round_trip: (block.last != 0).then_some(took),
            });
        }
        self.heard.reports += 1;
        if self.warp == Some(Warp::Murmurs) {
            self.heard.audio += MURMUR;
        }
        let is_beside = (port == Port::Rtp) != (self.warp == Some(Warp::OtherPort));
        self.heard.reports_beside_audio += u64::from(is_beside);
        self.report_was_due();
    }
}

/// What a report says of a source (RFC 3550 §6.4.1).
struct Block {
    lost: u32,
    highest: u16,
    jitter: u32,
    /// When the last report of the source was written, and for how long it was kept, by the source's clock.
    last: u32,
    kept: u32,
}

/// What reports say of a source.
fn block(compound: &[u8], source: [u8; 4]) -> Option<Block> {
    let mut rest = compound;
    while let [first, kind, high, low, ..] = *rest {
        let length = 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
        let (packet, next) = rest.split_at_checked(length)?;
        let begin = match kind {
            200 => 28,
            201 => 8,
            _ => length,
        };
        let blocks = packet.get(begin..).unwrap_or_default().chunks_exact(24);
        for block in blocks.take(usize::from(first & 0x1F)) {
            let word = |at: usize| {
                u32::from_be_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
            };
            if block[..4] == source {
                return Some(Block {
                    lost: word(4) & 0x00FF_FFFF,
                    highest: word(8) as u16,
                    jitter: word(12),
                    last: word(16),
                    kept: word(20),
                });
            }
        }
        rest = next;
    }
    None
}
