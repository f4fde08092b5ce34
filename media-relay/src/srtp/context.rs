//! State per key: packet indices, roll-over counters and replay windows of each SSRC.
//!
//! | direction | index                                                                  |
//! |-----------|------------------------------------------------------------------------|
//! | send      | given by the caller, who owns the sequence space; never used twice     |
//! | receive   | guessed from the sequence number (RFC 3711 App. A), kept once authentic |
//!
//! A peer may begin to count anew under a key that it has used: after a move, or where it goes back to a key of
//! before. Its roll-over counter is looked for then, but an index that has been used is taken once more only with
//! an RTP timestamp outside of those that came under this key, which no recording has (RFC 3711 §3.3.2): [`Past`].
//! Who begins with the numbers and the clock that it began with before is refused as a repetition until it has passed
//! its old end; 50 such packets in a row are told as one-way audio of the kind `key_reused`. Reports are counted apart:
//! who begins these anew is heard with its first sender report that is dated later than all before it.

use super::kdf::SessionKeys;
use super::replay::ReplayWindow;
use super::transform::{Place, Transform};
use super::wear::Wear;
use super::{RTCP_CLEAR_BYTES, SrtpFault};
use crate::io::fetch;
use crate::packet::rtcp::SENDER_REPORT;
use crate::packet::rtp::{MAX_PACKET_BYTES, RtpHeader};
use crate::packet::u32_at;
use crate::time::Timestamp;
use media_api::CryptoKey;

/// Largest SRTP index, 2⁴⁸ − 1 (RFC 3711 §9.2).
const LAST_RTP_INDEX: u64 = (1 << 48) - 1;
/// Largest SRTCP index, 2³¹ − 1.
const LAST_RTCP_INDEX: u32 = (1 << 31) - 1;
/// SSRCs remembered per key; the one unused for longest makes room (MED-112).
const MAX_SOURCES: usize = 8;
/// Authentication failures in a row after which a restarted roll-over counter is tried (MED-115).
const FAILURES_BEFORE_RESYNC: u8 = 20;
/// Half of the sequence numbers.
const HALF_CYCLE: u16 = 1 << 15;
/// Silence of authentic packets that must come with those failures. Without it, somebody who can
/// inject twenty bad packets between two good ones could replay an old recording through the resync.
const SILENCE_BEFORE_RESYNC_US: u64 = 300_000;

/// Protects what we send under one local key.
#[derive(Debug)]
pub struct Sender {
    keys: SessionKeys,
    rtcp_index: u32,
}

impl Sender {
    /// Has the processor fetch the cipher of RTP.
    pub(crate) fn fetch(&self) {
        self.keys.rtp.fetch();
    }

    /// A fresh context: RTCP index zero. RTP indices are the caller's.
    pub fn new(master: &CryptoKey) -> Self {
        Self {
            keys: SessionKeys::derive(master),
            rtcp_index: 0,
        }
    }

    /// A context of a key that has protected so many reports before.
    pub(crate) fn resume(master: &CryptoKey, rtcp_index: u32) -> Self {
        Self {
            rtcp_index,
            ..Self::new(master)
        }
    }

    /// Reports that it has protected.
    pub(crate) const fn rtcp_index(&self) -> u32 {
        self.rtcp_index
    }

    /// Protects the RTP packet in `buffer[..length]`; returns its new length. `index` is roll-over
    /// counter and sequence number (48 bits) and must never repeat for one SSRC and key.
    ///
    /// # Errors
    /// [`SrtpFault::Malformed`] if it is no RTP packet, [`SrtpFault::Room`] if `buffer` is too
    /// short for the tag, [`SrtpFault::Exhausted`] past the last index; the packet is unchanged then.
    /// [`SrtpFault::Cipher`], which does not happen, leaves it spoilt.
    pub fn protect_rtp(
        &self,
        buffer: &mut [u8],
        length: usize,
        index: u64,
    ) -> Result<usize, SrtpFault> {
        let transform = &self.keys.rtp;
        if index > LAST_RTP_INDEX {
            return Err(SrtpFault::Exhausted);
        }
        let end = length + transform.tag_bytes;
        if end > buffer.len() {
            return Err(SrtpFault::Room);
        }
        let (packet, rest) = buffer.split_at_mut(length);
        let header = RtpHeader::parse(packet).map_err(|_| SrtpFault::Malformed)?;
        let tag = &mut rest[..transform.tag_bytes];
        let at = Place::rtp(header.ssrc, index);
        transform.seal(packet, header.payload_start, at, tag)?;
        Ok(end)
    }

    /// Protects the RTCP compound in `buffer[..length]`; returns its new length.
    ///
    /// # Errors
    /// As [`Self::protect_rtp`].
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, SrtpFault> {
        let transform = &self.keys.rtcp;
        if self.rtcp_index >= LAST_RTCP_INDEX {
            return Err(SrtpFault::Exhausted);
        }
        let end = length + 4 + transform.tag_bytes;
        if end > buffer.len() {
            return Err(SrtpFault::Room);
        }
        let ssrc = u32_at(&buffer[..length], 4).ok_or(SrtpFault::Malformed)?;
        self.rtcp_index += 1;
        let at = Place::rtcp(ssrc, self.rtcp_index);
        let (packet, trailer) = buffer[..end].split_at_mut(length);
        let (index, tag) = match transform.is_tag_first {
            true => {
                let (tag, index) = trailer.split_at_mut(transform.tag_bytes);
                (index, tag)
            }
            false => trailer.split_at_mut(4),
        };
        index.copy_from_slice(&at.word.to_be_bytes());
        transform.seal(packet, RTCP_CLEAR_BYTES, at, tag)?;
        Ok(end)
    }
}

/// Opens what a peer protects under one of its keys.
#[derive(Debug)]
pub struct Receiver {
    keys: SessionKeys,
    /// Key identifier in front of each tag; empty without one.
    identifier: Vec<u8>,
    sources: Vec<Source>,
    /// Counts authenticated packets, to know which source was used last.
    uses: u64,
    /// The peer's use of its key. It is the peer's to end; what is authentic is heard.
    wear: Wear,
    is_worn: bool,
    /// How often an index was found that the rules of RFC 3711 do not lead to (MED-114).
    resyncs: u64,
    /// The peer has a reason to restart its roll-over counter (MED-114): do not wait for failures.
    restart_expected: bool,
    /// SSRCs and their highest indices under the key before this one: a peer may go on counting
    /// (RFC 3711 §3.3.1), although by SDES it should begin at zero.
    before: Vec<(u32, u64)>,
}

#[derive(Debug)]
struct Source {
    ssrc: u32,
    /// Highest authentic RTP index, if there was any RTP.
    highest: Option<u64>,
    rtp: ReplayWindow<16>,
    rtcp: ReplayWindow<2>,
    /// Highest index of reports that it had used before it began to count them anew.
    rtcp_past: Option<u64>,
    /// NTP time of its newest sender report.
    told_at: u64,
    /// Lowest authentic RTP index.
    lowest: u64,
    /// RTP timestamps of authentic packets.
    times: Times,
    /// What it had used before it began to count anew.
    past: Option<Past>,
    failures: u8,
    authentic_at: Timestamp,
    used: u64,
}

/// The indices that an SSRC has used before its counter began anew, whichever of those between they were, and
/// the timestamps with them. Who begins anew and keeps its SSRC keeps its clock as well; if not, the new one will
/// hardly fall into so few of all timestamps.
#[derive(Clone, Copy, Debug)]
struct Past {
    lowest: u64,
    highest: u64,
    times: Times,
}

/// RTP timestamps from one to another, all between them counted.
#[derive(Clone, Copy, Debug)]
struct Times {
    first: u32,
    /// So many behind the first is the last; `u32::MAX` if they are all.
    width: u32,
}

impl Times {
    fn contain(self, timestamp: u32) -> bool {
        timestamp.wrapping_sub(self.first) <= self.width
    }

    /// One more, by the shorter way. Days of one stream are all timestamps at last, and stay so.
    fn add(&mut self, timestamp: u32) {
        if self.contain(timestamp) {
            return;
        }
        let behind = timestamp.wrapping_sub(self.first).wrapping_sub(self.width);
        let before = self.first.wrapping_sub(timestamp);
        self.width = self.width.saturating_add(behind.min(before));
        if before < behind {
            self.first = timestamp;
        }
    }
}

/// What is left of a receiver whose key is gone: no secret, and what shows a repetition if the key comes back.
#[derive(Debug)]
pub(super) struct Counted {
    sources: Vec<Source>,
    wear: Wear,
}

impl Receiver {
    /// Has the processor fetch the cipher of RTP, and what has been heard.
    pub(crate) fn fetch(&self) {
        self.keys.rtp.fetch();
        fetch::first(&self.sources);
    }

    /// A context that has not seen any SSRC yet (late binding, RFC 4568 §6.4.1).
    pub fn new(master: &CryptoKey) -> Self {
        Self {
            keys: SessionKeys::derive(master),
            identifier: master.identifier().to_vec(),
            // Mostly there is one, and a stranger cannot add any.
            sources: Vec::with_capacity(1),
            uses: 0,
            wear: Wear::new(master.lifetime()),
            is_worn: false,
            resyncs: 0,
            restart_expected: false,
            before: Vec::new(),
        }
    }

    /// A context of a key that has been used before: it goes on from there, or begins anew.
    pub(super) fn resume(master: &CryptoKey, counted: Counted) -> Self {
        Self {
            sources: counted.sources,
            wear: counted.wear,
            restart_expected: true,
            ..Self::new(master)
        }
    }

    /// What is to be remembered when the key is not; nothing if nothing came under it.
    pub(super) fn into_counted(self) -> Option<Counted> {
        let Self { sources, wear, .. } = self;
        (!sources.is_empty()).then_some(Counted { sources, wear })
    }

    /// The highest RTP index of each SSRC.
    pub(super) fn highest(&self) -> Vec<(u32, u64)> {
        self.sources
            .iter()
            .filter_map(|source| Some((source.ssrc, source.highest?)))
            .collect()
    }

    /// Whether a new key of the peer has become due since this was asked last (MED-107).
    pub(super) fn take_worn(&mut self) -> bool {
        std::mem::take(&mut self.is_worn)
    }

    /// How often the roll-over counter was found anew (MED-114).
    pub(super) fn resyncs(&self) -> u64 {
        self.resyncs
    }

    /// What [`Self::highest`] was under the key that this one replaces.
    pub(super) fn follow(&mut self, before: Vec<(u32, u64)>) {
        self.before = before;
    }

    /// The peer changed its address but kept its key: its roll-over counter may be as it was or
    /// zero (MED-114), and the next failure is reason enough to try.
    pub fn expect_restart(&mut self) {
        self.restart_expected = true;
    }

    /// Opens the SRTP packet in place; returns the length without the trailer.
    ///
    /// # Errors
    /// [`SrtpFault::Malformed`], [`SrtpFault::Replay`] or [`SrtpFault::Authentication`]. Neither
    /// packet nor replay state have changed then.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8], now: Timestamp) -> Result<usize, SrtpFault> {
        if self.carries_identifier(packet, &self.keys.rtp) {
            let opened = self.open_rtp(packet, self.identifier.len(), now);
            if opened != Err(SrtpFault::Authentication) {
                return opened;
            }
        }
        // Peers that announce an identifier and then leave it out were seen; the tag decides.
        self.open_rtp(packet, 0, now)
    }

    /// Whether an RTP packet was protected under this key, although it is refused as a repetition. Changes nothing.
    pub(super) fn repeats(&mut self, packet: &[u8]) -> bool {
        let tag_bytes = self.keys.rtp.tag_bytes;
        let identifiers = match self.carries_identifier(packet, &self.keys.rtp) {
            true => [self.identifier.len(), 0],
            false => [0, 0],
        };
        identifiers.into_iter().any(|identifier_bytes| {
            let length = packet.len().checked_sub(identifier_bytes + tag_bytes);
            let mut copy = packet.to_vec();
            let split = length.and_then(|length| copy.split_at_mut_checked(length));
            let Some((message, trailer)) = split else {
                return false;
            };
            let tag = match self.keys.rtp.is_tag_first {
                true => &trailer[..tag_bytes],
                false => &trailer[identifier_bytes..],
            };
            let Ok(header) = RtpHeader::parse(message) else {
                return false;
            };
            let mut sources = self.sources.iter();
            let source = sources.find(|source| source.ssrc == header.ssrc);
            let highest = source.and_then(|source| source.highest);
            let index = highest.and_then(|highest| guess_index(highest, header.sequence));
            index.is_some_and(|index| self.open_at(index, &header, message, tag).is_some())
        })
    }

    fn open_rtp(
        &mut self,
        packet: &mut [u8],
        identifier_bytes: usize,
        now: Timestamp,
    ) -> Result<usize, SrtpFault> {
        let tag_bytes = self.keys.rtp.tag_bytes;
        let length = packet
            .len()
            .checked_sub(identifier_bytes + tag_bytes)
            .ok_or(SrtpFault::Malformed)?;
        let (message, trailer) = packet.split_at_mut(length);
        let tag = match self.keys.rtp.is_tag_first {
            true => &trailer[..tag_bytes],
            false => &trailer[identifier_bytes..],
        };
        let header = RtpHeader::parse(message).map_err(|_| SrtpFault::Malformed)?;
        let known = self
            .sources
            .iter()
            .position(|source| source.ssrc == header.ssrc);
        let source = known.and_then(|at| self.sources.get(at));
        let guess = match source.and_then(|source| source.highest) {
            None => Some(u64::from(header.sequence)),
            Some(highest) => guess_index(highest, header.sequence),
        };
        let is_new = |index: &u64| source.is_none_or(|source| source.admits(*index, &header));
        let index = guess.filter(is_new);
        let opened = index.and_then(|index| self.open_at(index, &header, message, tag));
        let Some(opened) = opened.or_else(|| {
            let others = self.other_indices(known, &header, guess, now);
            let others = others.into_iter().flatten();
            let mut others = others.filter(|other| Some(*other) != index);
            others.find_map(|other| self.open_at(other, &header, message, tag))
        }) else {
            // The only thing that a bad packet may move: how often this happened. What looks like a repetition
            // counts, too: it is what a peer sends that has gone on for half a cycle or more unheard.
            if let Some(source) = known.and_then(|at| self.sources.get_mut(at)) {
                source.failures = source.failures.saturating_add(1);
            }
            return Err(match index {
                Some(_) => SrtpFault::Authentication,
                None => SrtpFault::Replay,
            });
        };
        self.is_worn |= self.wear.count();
        let is_found = Some(opened) != index;
        self.resyncs += u64::from(is_found);
        let source = self.source(known, header.ssrc);
        if is_found {
            source.begin_anew(opened);
        }
        source.accept(opened, header.timestamp);
        source.failures = 0;
        source.authentic_at = now;
        self.restart_expected = false;
        Ok(length)
    }

    /// Opens the packet if this is its index; else leaves it as it is.
    fn open_at(
        &mut self,
        index: u64,
        header: &RtpHeader,
        message: &mut [u8],
        tag: &[u8],
    ) -> Option<u64> {
        let at = Place::rtp(header.ssrc, index);
        let is_open = self.keys.rtp.open(message, header.payload_start, at, tag);
        is_open.then_some(index)
    }

    /// Opens the SRTCP packet in place; returns the length without index and tag.
    ///
    /// # Errors
    /// As [`Self::unprotect_rtp`].
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpFault> {
        if self.carries_identifier(packet, &self.keys.rtcp) {
            match self.open_rtcp(packet, self.identifier.len()) {
                // Without an identifier, the index stands where one of four bytes would.
                Err(SrtpFault::Authentication | SrtpFault::Malformed) => {}
                opened => return opened,
            }
        }
        self.open_rtcp(packet, 0)
    }

    /// The peer has named its key anew. That it names none any more says nothing: packets need not have the
    /// identifier.
    pub(crate) fn identify(&mut self, identifier: &[u8]) {
        if !identifier.is_empty() && self.identifier != identifier {
            self.identifier = identifier.to_vec();
        }
    }

    /// Whether this peer's packets have a key identifier and these bytes can be one with it.
    fn carries_identifier(&self, packet: &[u8], transform: &Transform) -> bool {
        let behind = match transform.is_tag_first {
            true => 0,
            false => transform.tag_bytes,
        };
        !self.identifier.is_empty()
            && packet
                .len()
                .checked_sub(behind)
                .is_some_and(|end| packet[..end].ends_with(&self.identifier))
    }

    fn open_rtcp(
        &mut self,
        packet: &mut [u8],
        identifier_bytes: usize,
    ) -> Result<usize, SrtpFault> {
        let transform = &mut self.keys.rtcp;
        let length = packet
            .len()
            .checked_sub(4 + identifier_bytes + transform.tag_bytes)
            .filter(|length| *length >= RTCP_CLEAR_BYTES)
            .ok_or(SrtpFault::Malformed)?;
        let (message, trailer) = packet.split_at_mut(length);
        let (word_at, tag_at) = match transform.is_tag_first {
            true => (transform.tag_bytes, 0),
            false => (0, 4 + identifier_bytes),
        };
        let tag = &trailer[tag_at..tag_at + transform.tag_bytes];
        let (Some(word), Some(ssrc)) = (u32_at(trailer, word_at), u32_at(message, 4)) else {
            return Err(SrtpFault::Malformed);
        };
        let at = Place::of_trailer(ssrc, word).ok_or(SrtpFault::Malformed)?;
        let known = self.sources.iter().position(|source| source.ssrc == ssrc);
        let source = known.and_then(|known| self.sources.get(known));
        let is_new = source.is_none_or(|source| source.admits_report(at.index));
        // Its type is in the clear, and only sender reports say when they were made.
        let is_dated = message.get(1) == Some(&SENDER_REPORT);
        let mut before = [0; MAX_PACKET_BYTES];
        if !is_new {
            match before.get_mut(..length) {
                Some(before) if is_dated => before.copy_from_slice(message),
                _ => return Err(SrtpFault::Replay),
            }
        }
        if !transform.open(message, RTCP_CLEAR_BYTES, at, tag) {
            return Err(SrtpFault::Authentication);
        }
        let told_at = match (is_dated, u32_at(message, 8), u32_at(message, 12)) {
            (true, Some(seconds), Some(rest)) => u64::from(seconds) << 32 | u64::from(rest),
            _ => 0,
        };
        if !is_new && source.is_none_or(|source| told_at <= source.told_at) {
            message.copy_from_slice(before.get(..length).unwrap_or_default());
            return Err(SrtpFault::Replay);
        }
        let source = self.source(known, ssrc);
        source.told_at = source.told_at.max(told_at);
        if !source.rtcp.admits(at.index) {
            source.rtcp_past = source.rtcp_past.max(source.rtcp.highest());
            source.rtcp = ReplayWindow::new();
        }
        source.rtcp.accept(at.index);
        Ok(length)
    }

    /// What else the index may be if the guess is not authentic, or cannot be. After many failures, or with a
    /// reason: a roll-over counter of 0, the neighbours of the guess, and the counter it had under the key before;
    /// and for an SSRC that is new under this key, the counter it had under the key before, or 1: it may have begun
    /// near the end of a cycle, and what came before that end was lost. What has been used is none of them, and
    /// only an authentic packet moves anything (MED-115).
    fn other_indices(
        &self,
        known: Option<usize>,
        header: &RtpHeader,
        guess: Option<u64>,
        now: Timestamp,
    ) -> [Option<u64>; 4] {
        let source = known.and_then(|at| self.sources.get(at));
        let mut before = self.before.iter();
        let before = before.find(|(ssrc, _)| *ssrc == header.ssrc);
        let before = before.and_then(|(_, highest)| guess_index(*highest, header.sequence));
        let before = before.map(|index| (index >> 16) as u32);
        let others = match source.and_then(|source| Some((source, source.highest?))) {
            Some((source, highest)) => {
                let is_stuck = source.failures >= FAILURES_BEFORE_RESYNC
                    && now.since_us(source.authentic_at) >= SILENCE_BEFORE_RESYNC_US;
                let near = (guess.unwrap_or(highest) >> 16) as u32;
                match is_stuck || self.restart_expected {
                    true => [Some(0), near.checked_add(1), near.checked_sub(1), before],
                    false => [None; 4],
                }
            }
            None => {
                let went_round = (header.sequence < HALF_CYCLE).then_some(1);
                [before, went_round, None, None]
            }
        };
        others.map(|roll_over| {
            let index = (u64::from(roll_over?) << 16) | u64::from(header.sequence);
            let is_unused = source.is_none_or(|source| source.is_unused(index, header));
            is_unused.then_some(index)
        })
    }

    /// The state of an authenticated SSRC, made if it is new.
    fn source(&mut self, known: Option<usize>, ssrc: u32) -> &mut Source {
        self.uses += 1;
        let at = match known {
            Some(at) => at,
            None => {
                let fresh = Source {
                    ssrc,
                    highest: None,
                    rtp: ReplayWindow::new(),
                    rtcp: ReplayWindow::new(),
                    rtcp_past: None,
                    told_at: 0,
                    lowest: u64::MAX,
                    times: Times { first: 0, width: 0 },
                    past: None,
                    failures: 0,
                    authentic_at: Timestamp(0),
                    used: 0,
                };
                if self.sources.len() < MAX_SOURCES {
                    self.sources.push(fresh);
                    self.sources.len() - 1
                } else {
                    let oldest = (0..self.sources.len())
                        .min_by_key(|at| self.sources[*at].used)
                        .unwrap_or(0);
                    self.sources[oldest] = fresh;
                    oldest
                }
            }
        };
        let source = &mut self.sources[at];
        source.used = self.uses;
        source
    }
}

impl Source {
    /// Whether a packet with this index, which lies where the counter leads, may be new.
    fn admits(&self, index: u64, header: &RtpHeader) -> bool {
        self.rtp.admits(index) && self.past.is_none_or(|past| past.admits(index, header))
    }

    /// The same for an index that lies anywhere else.
    fn is_unused(&self, index: u64, header: &RtpHeader) -> bool {
        self.used_up().is_none_or(|past| past.admits(index, header))
    }

    /// Whether a report with this index may be new. One that may not is new all the same if it is a sender report
    /// that was made later than all before it: a peer that begins to count its reports anew is heard so, and no
    /// recording has that.
    fn admits_report(&self, index: u64) -> bool {
        self.rtcp.admits(index) && self.rtcp_past.is_none_or(|past| index > past)
    }

    /// All that has been used up to now.
    fn used_up(&self) -> Option<Past> {
        let highest = self.highest?;
        let (lowest, times) = (self.lowest, self.times);
        let highest = highest.max(self.past.map_or(0, |past| past.highest));
        Some(Past {
            lowest,
            highest,
            times,
        })
    }

    /// The peer counts from this index on, wherever it was.
    fn begin_anew(&mut self, index: u64) {
        if self.highest.is_some_and(|highest| index <= highest) {
            self.past = self.used_up();
            self.rtp = ReplayWindow::new();
            self.highest = None;
        }
    }

    fn accept(&mut self, index: u64, timestamp: u32) {
        if self.lowest == u64::MAX {
            self.times.first = timestamp;
        }
        self.times.add(timestamp);
        self.lowest = self.lowest.min(index);
        self.highest = self.highest.max(Some(index));
        self.rtp.accept(index);
    }
}

impl Past {
    /// Whether a packet is none of those that came: its index was not used, or its timestamp was not.
    fn admits(&self, index: u64, header: &RtpHeader) -> bool {
        let is_used = (self.lowest..=self.highest).contains(&index);
        !is_used || !self.times.contain(header.timestamp)
    }
}

/// RFC 3711 appendix A: the index of `sequence` closest to the highest one seen; `None` if it would
/// lie before the first roll-over period.
fn guess_index(highest: u64, sequence: u16) -> Option<u64> {
    let roll_over = highest >> 16;
    let last = i32::from(highest as u16);
    let new = i32::from(sequence);
    let roll_over = if last < 32_768 {
        if new - last > 32_768 {
            roll_over.checked_sub(1)?
        } else {
            roll_over
        }
    } else if last - 32_768 > new {
        roll_over + 1
    } else {
        roll_over
    };
    Some((roll_over << 16) | u64::from(sequence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_api::Suite;

    #[test]
    fn the_short_suite_keeps_the_long_tag_on_rtcp() {
        let master = CryptoKey::new(Suite::AesCm128HmacSha1_32, vec![1; 30]).unwrap();
        let keys = SessionKeys::derive(&master);
        assert_eq!((keys.rtp.tag_bytes, keys.rtcp.tag_bytes), (4, 10));
    }

    #[test]
    fn all_timestamps_that_came_are_known_whichever_way_they_went() {
        let mut times = Times {
            first: 4_294_967_000,
            width: 0,
        };
        for (added, width) in [
            (4_294_967_000, 0),
            // Round the end, something late, and what came before.
            (160, 456),
            (0, 456),
            (4_294_966_900, 556),
            // The shorter way.
            (2_000_000_000, 2_000_000_396),
            (3_500_000_000, 2_794_967_296),
            (2_500_000_000, 3_294_967_296),
        ] {
            times.add(added);
            assert!(times.contain(added));
            assert_eq!(times.width, width, "{added}");
        }
        assert!(!times.contain(2_500_000_001) && !times.contain(3_499_999_999));
        // Days later nothing is new any more.
        for step in 0..=1_000 {
            times.add(2_500_000_000 + step * 1_000_000);
        }
        assert!(times.width >= u32::MAX - 1_000_000);
    }

    #[test]
    fn index_guess_follows_appendix_a() {
        let at = |roll_over: u64, sequence: u64| (roll_over << 16) | sequence;
        assert_eq!(guess_index(at(0, 65_535), 0), Some(at(1, 0)));
        assert_eq!(guess_index(at(1, 0), 65_535), Some(at(0, 65_535)));
        assert_eq!(guess_index(at(0, 0), 65_535), None);
        assert_eq!(guess_index(at(5, 40_000), 7_231), Some(at(6, 7_231)));
        assert_eq!(guess_index(at(5, 40_000), 7_232), Some(at(5, 7_232)));
        assert_eq!(guess_index(at(5, 100), 32_868), Some(at(5, 32_868)));
        assert_eq!(guess_index(at(5, 100), 32_869), Some(at(4, 32_869)));
    }
}
