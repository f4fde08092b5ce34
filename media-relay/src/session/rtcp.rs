//! Reports of one stream: RTCP is ended and made anew on each leg (MED-060 to MED-063).

use super::ice::Checked;
use super::metrics;
use super::reported::Reported;
use super::stream::{Stream, reachable};
use super::{Output, SocketId};
use crate::entropy::Entropy;
use crate::packet::rtcp::{Compound, Packet, ReportBlock, SenderInfo, Writer};
use crate::packet::rtp::MAX_PACKET_BYTES;
use crate::srtp::{MAX_TRAILER_BYTES, Protocol};
use crate::time::{Timestamp, WallOffset};
use media_api::{
    DropReason, ReceptionFigures, ReportBandwidth, RtcpReport, SenderFigures, SourcePolicy, Teller,
    VoipMetrics,
};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

/// The time between reports that a small bandwidth prolongs, in microseconds (RFC 3550 §6.2).
const USUAL_US: u64 = 5_000_000;
/// The longest that it gets by that.
const LONGEST_US: u64 = 600_000_000;
/// What an interval is divided by, e − 3/2 (RFC 3550 §6.3.1), in thousandths.
const COMPENSATION: u64 = 1_218;
/// IPv4 and UDP, which count as part of a report.
const BELOW_BYTES: u64 = 28;
/// Least and greatest time before the first report, in microseconds (RFC 3550 §6.2).
const FIRST_INTERVAL_US: Range<u64> = 1_250_000..3_750_000;
/// Least and greatest time between reports. RFC 3550 §6.3.1 would go up to 6.2 s; Teams wants one at
/// least every 5 s (TDR-MED-040), and a worker may be a little late.
const INTERVAL_US: Range<u64> = 2_500_000..4_950_000;
/// Round trips longer than this are nonsense, in 1/65536 s (MED-061).
const MAX_ROUND_TRIP: u32 = 10 << 16;
/// Packets, half a second's worth, that a peer must say it has sent beyond what came.
const UNHEARD_PACKETS: u64 = 25;
/// Packets of ours, two seconds' worth, that a report must have had to tell of.
const UNRECEIVED_PACKETS: u64 = 100;
/// The longest time between two reports, RFC 3550 §6.2, for peers that have not shown that theirs is longer; and the
/// most that is believed of those.
const USUAL_PATIENCE: Duration = Duration::from_millis(7_500);
const MOST_PATIENCE: Duration = Duration::from_secs(60);
/// Twice the longest time between two reports: one may have been lost.
const TWO_REPORTS: Duration = USUAL_PATIENCE.saturating_mul(2);
/// Least time between two reports of a peer that are told, in microseconds: usual ones come every few seconds.
const TOLD_US: u64 = 500_000;
/// Room for SR, SDES, VoIP metrics, BYE and the SRTCP trailer.
const REPORT_BYTES: usize = 28 + 24 + 36 + 44 + 8 + MAX_TRAILER_BYTES;

/// Report state of one stream.
#[derive(Debug)]
pub(super) struct Reports {
    /// Bytes of the last one, with what is below it.
    bytes: u64,
    /// Canonical name: 96 random bits in hexadecimal, nothing about user or host (RFC 7022).
    name: [u8; 24],
    due: Option<Timestamp>,
    /// The last one has been sent.
    are_over: bool,
    /// Small generator for the interval's randomness; predicting it gains nobody anything.
    dice: u64,
    /// Who sent the last SR, the middle of its NTP time, and when it came.
    last_sr: Option<(u32, u32, Timestamp)>,
    /// RTP packets sent up to the last report.
    packets_reported: u64,
    /// Where the peer's RTCP comes from, when that is not where it was announced.
    source: Option<SocketAddr>,
    pub(super) received: u64,
    pub(super) sent: u64,
    /// Last round trip.
    pub(super) round_trip_us: Option<u32>,
    pub(super) round_trips: RoundTrips,
    /// What the peer says of our stream.
    pub(super) reported: Reported,
    /// The latest VoIP metrics about our stream.
    pub(super) extended: Option<VoipMetrics>,
    /// When a report of the peer was told last.
    told_at: Option<Timestamp>,
    /// What the peer says of its own.
    pub(super) life: Life,
    pub(super) hearing: Hearing,
}

/// Whether a peer receives what we send, by its reports. One that never has told of our packets is not asked:
/// some report without ever doing so.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hearing {
    /// The highest number that it told of last, and the packets that we had sent when it was new.
    progress: Option<(u32, u64)>,
    /// Reports since then without progress although there was some to tell of.
    idle: u8,
}

impl Hearing {
    /// A report, with what it says of our packets, when we have sent so many.
    fn note(&mut self, block: Option<&ReportBlock>, sent: u64) {
        let highest = block.map(|block| block.highest_sequence);
        match (highest, self.progress) {
            (Some(highest), Some((before, since))) if highest == before => self.miss(sent, since),
            (Some(highest), _) => {
                self.progress = Some((highest, sent));
                self.idle = 0;
            }
            // Who has received nothing since the last report leaves us out (RFC 3550 §6.4).
            (None, Some((_, since))) => self.miss(sent, since),
            (None, None) => {}
        }
    }

    fn miss(&mut self, sent: u64, since: u64) {
        if sent.saturating_sub(since) >= UNRECEIVED_PACKETS {
            self.idle = self.idle.saturating_add(1);
        }
    }

    /// Whether nothing has reached the peer lately. One report may have crossed.
    pub(super) fn is_deaf(&self) -> bool {
        self.idle >= 2
    }
}

/// Round trips so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundTrips {
    count: u32,
    sum_us: u64,
    largest_us: u32,
}

impl RoundTrips {
    fn note(&mut self, us: u32) {
        self.count += 1;
        self.sum_us += u64::from(us);
        self.largest_us = self.largest_us.max(us);
    }

    /// Mean of those that came since it was so, in microseconds, if there was one.
    pub(super) fn mean_since(&self, before: &Self) -> Option<u32> {
        let sum_us = self.sum_us.saturating_sub(before.sum_us);
        let count = self.count.saturating_sub(before.count);
        let mean = sum_us.checked_div(count.into())?;
        Some(u32::try_from(mean).unwrap_or(u32::MAX))
    }

    /// In microseconds, if there was one.
    pub(super) fn mean_and_largest(&self) -> Option<(u32, u32)> {
        let mean = self.sum_us.checked_div(self.count.into())?;
        Some((u32::try_from(mean).unwrap_or(u32::MAX), self.largest_us))
    }
}

/// Whether a peer that is not heard says that it sends. One that only receives, as one that is muted and does
/// not even send silence, is no fault.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Life {
    /// When it reported last.
    pub(super) at: Option<Timestamp>,
    /// Its reports count packets that have not come, all that came after the last one that has.
    pub(super) claims_unheard: bool,
    /// Packets that its last sender report counts, and that we expected then.
    counted: Option<(u32, u64)>,
    /// Whose reports these are.
    ssrc: Option<u32>,
    /// The last two times between two of them, in microseconds; 0 before there were as many. What lies longer ago, as a
    /// hold, says nothing of when the next one comes.
    between_us: [u32; 2],
}

impl Life {
    /// A report of the peer, which counts so many packets if it says that it sends. `expected` are ours.
    fn note(&mut self, ssrc: u32, counted: Option<u32>, expected: u64, now: Timestamp) {
        let before = self.at.replace(now);
        match before.filter(|_| self.ssrc == Some(ssrc)) {
            Some(before) => {
                let between_us = u32::try_from(now.since_us(before)).unwrap_or(u32::MAX);
                self.between_us = [self.between_us[1], between_us];
            }
            None => (self.ssrc, self.between_us) = (Some(ssrc), [0; 2]),
        }
        self.claims_unheard = match (counted, self.counted) {
            (Some(counted), Some((before, expected_before))) => {
                let sent = u64::from(counted.wrapping_sub(before));
                let came = expected.saturating_sub(expected_before);
                (came + UNHEARD_PACKETS..u64::from(u32::MAX / 2)).contains(&sent)
            }
            // Its count may have begun long before, but not if nothing at all has come.
            (Some(counted), None) => expected == 0 && u64::from(counted) >= UNHEARD_PACKETS,
            (None, _) => false,
        };
        if let Some(counted) = counted {
            self.counted = Some((counted, expected));
        }
    }

    /// Whether these are reports of this source.
    pub(super) fn is_of(&self, ssrc: Option<u32>) -> bool {
        self.ssrc.is_some() && self.ssrc == ssrc
    }

    /// How long the next report may take at most, by the times between those before.
    pub(super) fn patience(&self) -> Duration {
        (self.longest() * 3 / 2).clamp(USUAL_PATIENCE, MOST_PATIENCE)
    }

    /// The longer one of the last two times between reports.
    fn longest(&self) -> Duration {
        let [before, last] = self.between_us;
        Duration::from_micros(before.max(last).into())
    }

    /// Whether a peer that did report has ceased to: at least two reports are missing, as one may have been lost. Before
    /// that time nobody was expected to send any.
    pub(super) fn is_overdue(&self, expected_since: Timestamp, now: Timestamp) -> bool {
        let between = match self.longest() {
            Duration::ZERO => USUAL_PATIENCE,
            longest => longest,
        };
        let least = between
            .saturating_mul(2)
            .clamp(TWO_REPORTS, 2 * MOST_PATIENCE);
        self.at
            .is_some_and(|at| now > at.max(expected_since) + least)
    }
}

impl Reports {
    pub(super) fn new(entropy: &mut Entropy) -> Self {
        let mut random = [0; 12];
        entropy.fill(&mut random);
        let mut name = [0; 24];
        for (pair, byte) in name.chunks_mut(2).zip(random) {
            for (digit, value) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
                *digit = b"0123456789abcdef"[usize::from(value)];
            }
        }
        Self {
            // As long as most are.
            bytes: BELOW_BYTES + 52 + 36,
            name,
            due: None,
            are_over: false,
            dice: entropy.next_u64() | 1,
            last_sr: None,
            packets_reported: 0,
            source: None,
            received: 0,
            sent: 0,
            round_trip_us: None,
            round_trips: RoundTrips::default(),
            reported: Reported::default(),
            extended: None,
            told_at: None,
            life: Life::default(),
            hearing: Hearing::default(),
        }
    }

    /// Something was agreed: reports begin if they have not.
    pub(super) fn begin(&mut self, bandwidth: Option<ReportBandwidth>, now: Timestamp) {
        if self.due.is_none() && !self.are_over {
            let slow = self.slow_interval(bandwidth, Senders::BOTH);
            // Half of what it is later.
            let first = slow.map_or(FIRST_INTERVAL_US, |slow| slow.start / 2..slow.end / 2);
            self.schedule(first, now);
        }
    }

    /// Least and greatest time to the next report where bandwidth makes it longer than usual (RFC 3550 §6.3.1).
    fn slow_interval(
        &self,
        bandwidth: Option<ReportBandwidth>,
        senders: Senders,
    ) -> Option<Range<u64>> {
        let (bps, parties) = senders.share(bandwidth?);
        // Whoever has none may have some when it begins to send.
        let us = (self.bytes * 8 * 1_000_000 * parties).checked_div(bps)?;
        let us = us.min(LONGEST_US);
        // Reconsideration, which is left out, would make it longer by as much.
        let at = |tenths: u64| us * tenths * 100 / COMPENSATION;
        (us > USUAL_US).then(|| at(5)..at(15))
    }

    /// The peer announced another RTCP address.
    pub(super) fn forget_source(&mut self) {
        self.source = None;
    }

    /// When the next report is due.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// Somewhere within the interval, so that reports of many calls do not fall into step.
    fn schedule(&mut self, interval_us: Range<u64>, now: Timestamp) {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        let width = interval_us.end - interval_us.start;
        self.due = Some(Timestamp(now.0 + interval_us.start + self.dice % width));
    }

    fn note_round_trip(&mut self, arrival: u32, last_sr: u32, delay: u32) {
        if last_sr == 0 {
            return;
        }
        let round_trip = arrival.wrapping_sub(last_sr).wrapping_sub(delay);
        // Negative values wrap to large ones.
        if round_trip <= MAX_ROUND_TRIP {
            let us = ((u64::from(round_trip) * 1_000_000) >> 16) as u32;
            self.round_trip_us = Some(us);
            self.round_trips.note(us);
        }
    }
}

impl Stream {
    /// Reads one RTCP compound, decrypting it in place. Where it is `wanted`, what it says is returned.
    pub(super) fn accept_rtcp(
        &mut self,
        from: SocketAddr,
        packet: &mut [u8],
        is_mux: bool,
        (now, wall): (Timestamp, WallOffset),
        wanted: bool,
    ) -> Result<Option<RtcpReport>, DropReason> {
        if packet.len() > MAX_PACKET_BYTES {
            return Err(DropReason::Malformed);
        }
        let (at, length) = self.open(Protocol::Rtcp, packet, now, |face| {
            let admitted = face.terms.rtcp_mux == is_mux
                && face
                    .guard
                    .admits_rtcp(from, face.terms.remote_rtcp, is_mux, now);
            admitted.then_some(super::source::Rank::Exact)
        })?;
        let packet = packet.get(..length).ok_or(DropReason::Malformed)?;
        let compound = Compound::parse(packet).map_err(|_| DropReason::Malformed)?;
        let face = self.faces.get(at).ok_or(DropReason::NoPath)?;
        let sender = compound.packets().find_map(|part| match part {
            Packet::SenderReport { ssrc, .. } | Packet::ReceiverReport { ssrc, .. } => Some(ssrc),
            Packet::SourceDescription { .. }
            | Packet::Goodbye { .. }
            | Packet::Extended { .. }
            | Packet::Other { .. } => None,
        });
        let known = self.reception.ssrc();
        let is_known = known.is_some() && known == sender;
        // Without authentication only the SSRC ties a report to the stream (MED-035). Before any
        // RTP there is nothing to compare with.
        if !face.is_secure() && known.is_some() && !is_known {
            return Err(DropReason::Ssrc);
        }
        if from != face.terms.remote_rtcp
            && !is_mux
            && (is_known || face.is_secure())
            && !matches!(face.terms.source, SourcePolicy::Signalled)
        {
            self.reports.source = Some(from);
        }
        self.copy_report(Teller::Peer, is_mux, from, packet);
        let ntp = wall.ntp(now);
        let arrival = middle(ntp);
        let expected = self.reception.totals().expected;
        let (clock_hz, codec) = (self.outgoing.clock_hz(), self.rated_codec());
        let (mut own, mut sent, mut heard) = (None, None, None);
        for part in compound.packets() {
            let blocks = match part {
                Packet::SenderReport {
                    ssrc,
                    ntp,
                    rtp_timestamp,
                    packets,
                    octets,
                    blocks,
                } => {
                    sent = Some(SenderFigures {
                        ntp,
                        rtp_timestamp,
                        packets,
                        octets,
                    });
                    self.reports.life.note(ssrc, Some(packets), expected, now);
                    self.reports.last_sr = Some((ssrc, middle(ntp), now));
                    blocks
                }
                Packet::ReceiverReport { ssrc, blocks } => {
                    self.reports.life.note(ssrc, None, expected, now);
                    blocks
                }
                Packet::Extended { mut blocks, .. } => {
                    let own = blocks.find(|(ssrc, _)| *ssrc == self.outgoing.ssrc);
                    heard = own.map(|(_, own)| own).or(heard);
                    self.reports.extended = heard.or(self.reports.extended);
                    continue;
                }
                // A goodbye does not end media (MED-035); the rest is not for us.
                Packet::SourceDescription { .. }
                | Packet::Goodbye { .. }
                | Packet::Other { .. } => {
                    continue;
                }
            };
            for block in blocks.filter(|block| block.ssrc == self.outgoing.ssrc) {
                self.reports
                    .note_round_trip(arrival, block.last_sr, block.delay_since_last_sr);
                own = Some(block);
                if let Some(clock_hz) = clock_hz {
                    self.reports.reported.note(&block, clock_hz, codec);
                }
            }
        }
        self.reports
            .hearing
            .note(own.as_ref(), self.outgoing.packets);
        self.reports.received += 1;
        self.heard_at = Some(now);
        let is_due = |at| now.since_us(at) >= TOLD_US;
        if !wanted || !self.reports.told_at.is_none_or(is_due) {
            return Ok(None);
        }
        self.reports.told_at = Some(now);
        Ok(sender.map(|ssrc| RtcpReport {
            teller: Teller::Peer,
            local: self.advertised(is_mux),
            remote: from,
            ssrc,
            sender: sent,
            reception: own.as_ref().map(ReportBlock::figures),
            extended: heard,
        }))
    }

    /// Sends a report if one is due. This and what follows return what was said where it is wanted.
    pub(super) fn report_if_due(
        &mut self,
        now: Timestamp,
        wall: WallOffset,
        out: &mut Output,
    ) -> Option<RtcpReport> {
        if self.reports.due.is_some_and(|due| due <= now) {
            let bandwidth = self.active().and_then(|face| face.terms.reports);
            let senders = Senders {
                we: self.outgoing.packets > self.reports.packets_reported,
                peer: self
                    .rtp_at
                    .is_some_and(|at| now.since_us(at) < 2 * USUAL_US),
            };
            let slow = self.reports.slow_interval(bandwidth, senders);
            self.reports.schedule(slow.unwrap_or(INTERVAL_US), now);
            if bandwidth.is_none_or(|bandwidth| senders.share(bandwidth).0 > 0) {
                return self.report(now, wall, Ending::No, out);
            }
        }
        None
    }

    /// Sends the last report with a BYE, once, if anything was ever sent to this peer.
    pub(super) fn say_goodbye(
        &mut self,
        now: Timestamp,
        wall: WallOffset,
        out: &mut Output,
    ) -> Option<RtcpReport> {
        let said = self.switch_off(now, wall, out);
        self.reports.are_over = true;
        self.reports.due = None;
        said
    }

    /// As [`Self::say_goodbye`], where the peer may be spoken to again.
    pub(super) fn switch_off(
        &mut self,
        now: Timestamp,
        wall: WallOffset,
        out: &mut Output,
    ) -> Option<RtcpReport> {
        let has_sent = self.outgoing.packets > 0 || self.reports.sent > 0;
        match has_sent && !self.reports.are_over {
            true => self.report(now, wall, Ending::Yes, out),
            false => None,
        }
    }

    fn report(
        &mut self,
        now: Timestamp,
        wall: WallOffset,
        ending: Ending,
        out: &mut Output,
    ) -> Option<RtcpReport> {
        let (socket, to) = self.report_destination()?;
        let sends = self.outgoing.packets > self.reports.packets_reported;
        self.reports.packets_reported = self.outgoing.packets;
        let sender = self
            .outgoing
            .timestamp_at(now)
            .filter(|_| sends)
            .map(|rtp_timestamp| SenderInfo {
                ntp: wall.ntp(now),
                rtp_timestamp,
                packets: self.outgoing.packets as u32,
                octets: self.outgoing.octets as u32,
            });
        let mut block = self.reception.report_block();
        if let (Some(block), Some((ssrc, last_sr, at))) = (&mut block, self.reports.last_sr)
            && block.ssrc == ssrc
        {
            block.last_sr = last_sr;
            let delay = (u128::from(now.since_us(at)) << 16) / 1_000_000;
            block.delay_since_last_sr = u32::try_from(delay).unwrap_or(u32::MAX);
        }
        let mut buffer = [0; REPORT_BYTES];
        let mut writer = Writer::new(&mut buffer[..REPORT_BYTES - MAX_TRAILER_BYTES]);
        writer.report(self.outgoing.ssrc, sender, block.as_ref());
        writer.canonical_name(self.outgoing.ssrc, &self.reports.name);
        let is_wanted = self.active().is_some_and(|face| face.terms.voip_metrics);
        if let Some(block) = block.filter(|_| is_wanted) {
            let metrics = metrics::of(self, &self.quality(wall));
            writer.voip_metrics(self.outgoing.ssrc, block.ssrc, &metrics);
        }
        match ending {
            Ending::Yes => writer.goodbye(self.outgoing.ssrc),
            Ending::No => {}
        }
        let length = writer.len();
        let is_mux = socket == self.sockets.rtp;
        self.copy_report(Teller::Us, is_mux, to, &buffer[..length]);
        let length = self.protect_report(&mut buffer, length)?;
        self.reports.sent += 1;
        self.reports.bytes = BELOW_BYTES + length as u64;
        out.push_report(self.sockets.realm, socket, to, &buffer[..length]);
        out.wants_reports.then(|| RtcpReport {
            teller: Teller::Us,
            local: self.advertised(is_mux),
            remote: to,
            ssrc: self.outgoing.ssrc,
            sender: sender.map(|own| SenderFigures {
                ntp: own.ntp,
                rtp_timestamp: own.rtp_timestamp,
                packets: own.packets,
                octets: own.octets,
            }),
            reception: block.as_ref().map(ReportBlock::figures),
            extended: None,
        })
    }

    pub(super) fn advertised(&self, is_mux: bool) -> SocketAddr {
        match is_mux {
            true => self.sockets.advertised_rtp,
            false => self.sockets.advertised_rtcp,
        }
    }

    fn report_destination(&self) -> Option<(SocketId, SocketAddr)> {
        let face = self.active()?;
        // An unspecified media address asks for silence, RTCP included (MED-066).
        // A report address without a port: the peer has no bandwidth for reports (MED-024).
        let remote = face.terms.remote_rtcp;
        // Whoever checks is where it was found, whatever its description says (TDR-MED-043).
        let is_known = face.guard.checked().is_some() || reachable(remote);
        if !face.has_target() || remote.port() == 0 || !is_known {
            return None;
        }
        let (socket, to) = if face.terms.rtcp_mux {
            (self.sockets.rtp, face.guard.destination())
        } else {
            let checked = face.guard.checked().and_then(Checked::rtcp);
            let known = checked.or(self.reports.source);
            (self.sockets.rtcp, known.unwrap_or(remote))
        };
        reachable(to).then_some((socket, to))
    }
}

impl ReportBlock {
    /// As it is told.
    fn figures(&self) -> ReceptionFigures {
        let Self {
            ssrc,
            fraction_lost,
            cumulative_lost,
            highest_sequence,
            jitter,
            last_sr,
            delay_since_last_sr,
        } = *self;
        ReceptionFigures {
            ssrc,
            fraction_lost,
            lost: cumulative_lost,
            highest_sequence,
            jitter,
            last_sr,
            delay_since_last_sr,
        }
    }
}

/// Which of the two parties send media.
#[derive(Clone, Copy, Debug)]
struct Senders {
    we: bool,
    peer: bool,
}

impl Senders {
    const BOTH: Self = Self {
        we: true,
        peer: true,
    };

    /// The bandwidth that our reports have a share of, in bit/s, and of how many parties it is: where few send, they
    /// have one of their own (RFC 3550 §6.3.1).
    fn share(self, bandwidth: ReportBandwidth) -> (u64, u64) {
        let ReportBandwidth { senders, receivers } = bandwidth;
        let (of_senders, of_receivers) = (u64::from(senders), u64::from(receivers));
        let all = of_senders + of_receivers;
        let count = u64::from(self.we) + u64::from(self.peer);
        match (count * all <= 2 * of_senders, self.we) {
            (true, true) => (of_senders, count),
            (true, false) => (of_receivers, 2 - count),
            (false, _) => (all, 2),
        }
    }
}

/// Whether a report is the last one.
enum Ending {
    Yes,
    No,
}

/// The middle 32 bits of an NTP timestamp.
fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}
