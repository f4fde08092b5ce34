//! Reception figures of one stream: loss, reordering, duplicates, jitter (RFC 3550 A.1, A.3, A.8), gaps.

use super::burst::Bursts;
use super::express::{Pace, Passed};
use super::party::Party;
use super::rate::Credit;
use crate::packet::rtcp::ReportBlock;
use crate::time::Timestamp;
use media_api::{BurstStats, DropReason, LATE_US};
use std::time::Duration;

/// Sequence numbers that may be missing before a jump counts as a restart (RFC 3550 A.1).
const MAX_DROPOUT: u16 = 3000;
/// How far a packet may lie behind the newest one (RFC 3550 A.1).
const MAX_MISORDER: u16 = 100;
/// SSRC changes accepted per minute (MED-037).
const MAX_SSRC_CHANGES: u8 = 4;
/// Silence of the present SSRC before another one may take its place (MED-037).
const SSRC_HOLD_US: u64 = 100_000;
const MINUTE_US: u64 = 60_000_000;
/// Time without a packet that is a pause if numbers go on after it and timestamps have gone on meanwhile.
pub(crate) const PAUSE_US: u64 = 200_000;
/// How long after an agreement the peer's new SSRC is expected.
const CHANGE_WINDOW: Duration = Duration::from_secs(3);

/// What one stream's peer sends, across all its SSRCs.
#[derive(Debug)]
pub(super) struct Reception {
    source: Option<SourceState>,
    /// Packets expected, and lost, of the SSRCs before the present one.
    expected_before: u64,
    lost_before: i64,
    bursts: Bursts,
    /// Packets within 200 ms.
    window: u8,
    /// Rows of losses without a packet between; those that came late after all are not taken back.
    rows: u64,
    late: u64,
    /// Sum of the jitter after each packet before the present clock, and of how many packets.
    jitter_sum_before_us: u64,
    jitter_samples_before: u64,
    longest_gap_us: u64,
    /// Largest jitter of the present interval before the present clock, and its longest gap.
    interval_jitter_before_us: u32,
    interval_gap_us: u64,
    ssrc_changes: u32,
    /// The peer has sent nothing for a while by its own choice.
    has_paused: bool,
    reordered: u64,
    /// Largest jitter before the present SSRC and clock, in microseconds.
    max_jitter_before_us: u32,
    /// Counts sequence spaces: up by one with each new SSRC and each restart within one.
    generation: u32,
    changes: u8,
    changes_since: Timestamp,
    /// Until when a new agreement makes an SSRC change immediate. Packets of the old SSRC may still
    /// be on their way and do not end it.
    change_expected_until: Option<Timestamp>,
}

/// The present SSRC.
#[derive(Debug)]
struct SourceState {
    party: Party,
    ssrc: u32,
    /// First extended sequence number of the space.
    base: u64,
    /// Highest extended sequence number. Starts one cycle up, so that reordering at the very
    /// beginning stays positive.
    highest: u64,
    /// Bit n: `highest - n` has been received.
    seen: u128,
    received: u64,
    /// The sequence number that would confirm a jump.
    confirms_jump: Option<u16>,
    heard_at: Timestamp,
    expected_at_report: u64,
    received_at_report: u64,
    /// Sixteen times the jitter, in timestamp units, and the largest that it has been.
    jitter_16: u32,
    max_jitter_16: u32,
    interval_jitter_16: u32,
    jitter_sum_16: u64,
    jitter_samples: u64,
    transit: Option<u32>,
    timestamp: Option<u32>,
    clock_hz: u32,
    /// Time between the latest packet and the one before it, and how many numbers it was ahead; 0 if
    /// it came late.
    gap_us: u64,
    step: u16,
}

/// Sums that the figures of an interval are differences of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Totals {
    pub(super) expected: u64,
    pub(super) lost: i64,
    pub(super) rows: u64,
    pub(super) late: u64,
}

impl Default for Reception {
    fn default() -> Self {
        Self {
            source: None,
            expected_before: 0,
            lost_before: 0,
            bursts: Bursts::default(),
            window: 10,
            rows: 0,
            late: 0,
            jitter_sum_before_us: 0,
            jitter_samples_before: 0,
            longest_gap_us: 0,
            interval_jitter_before_us: 0,
            interval_gap_us: 0,
            ssrc_changes: 0,
            has_paused: false,
            reordered: 0,
            max_jitter_before_us: 0,
            generation: 0,
            changes: 0,
            changes_since: Timestamp(0),
            change_expected_until: None,
        }
    }
}

/// Where a packet lies in its stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Position {
    /// Extended sequence number, comparable within one generation.
    pub(super) extended: u64,
    /// The sequence space it belongs to.
    pub(super) generation: u32,
}

impl Reception {
    /// The SSRC the peer sends with, if any was accepted.
    pub(super) fn ssrc(&self) -> Option<u32> {
        self.source.as_ref().map(|source| source.ssrc)
    }

    /// Where the newest packet lies, if any was accepted.
    pub(super) fn newest(&self) -> Option<Position> {
        self.source.as_ref().map(|source| Position {
            extended: source.highest,
            generation: self.generation,
        })
    }

    /// A new agreement: the peer may have a new SSRC at once, and where a hold ends here, its clock
    /// may have stood still meanwhile.
    pub(super) fn expect_change(&mut self, now: Timestamp) {
        self.change_expected_until = Some(now + CHANGE_WINDOW);
        if let Some(source) = &mut self.source {
            source.transit = None;
        }
    }

    /// Takes one packet into account, or says why it may not pass. Nothing has changed then, except
    /// what is remembered about a jump.
    pub(super) fn arrive(
        &mut self,
        (party, ssrc): (Party, u32),
        sequence: u16,
        now: Timestamp,
    ) -> Result<Position, DropReason> {
        match &mut self.source {
            Some(source) if (source.party, source.ssrc) == (party, ssrc) => {
                let step = sequence.wrapping_sub(source.highest as u16);
                if step == 0 {
                    return Err(DropReason::Duplicate);
                } else if step < MAX_DROPOUT {
                    source.settle(step, self.window, &mut self.bursts);
                    self.rows += u64::from(step > 1);
                    (source.step, source.gap_us) = (step, now.since_us(source.heard_at));
                    source.highest += u64::from(step);
                    source.seen = source.seen.checked_shl(u32::from(step)).unwrap_or(0) | 1;
                    source.received += 1;
                } else if step >= 0u16.wrapping_sub(MAX_MISORDER) {
                    let behind = 0u16.wrapping_sub(step);
                    let bit = 1u128 << behind;
                    if source.seen & bit != 0 {
                        return Err(DropReason::Duplicate);
                    }
                    source.seen |= bit;
                    source.received += 1;
                    self.reordered += 1;
                    let extended = source.highest - u64::from(behind);
                    source.base = source.base.min(extended);
                    source.step = 0;
                    source.heard_at = now;
                    return Ok(Position {
                        extended,
                        generation: self.generation,
                    });
                } else if source.confirms_jump == Some(sequence) {
                    self.begin((party, ssrc), sequence, now);
                } else {
                    source.confirms_jump = Some(sequence.wrapping_add(1));
                    return Err(DropReason::Sequence);
                }
            }
            Some(source) => {
                if self.change_expected_until.is_none_or(|until| now >= until) {
                    if now.since_us(source.heard_at) < SSRC_HOLD_US {
                        return Err(DropReason::Ssrc);
                    }
                    if now.since_us(self.changes_since) >= MINUTE_US {
                        self.changes = 0;
                        self.changes_since = now;
                    }
                    if self.changes >= MAX_SSRC_CHANGES {
                        return Err(DropReason::Ssrc);
                    }
                    self.changes += 1;
                }
                self.change_expected_until = None;
                self.ssrc_changes += 1;
                // This one may be somebody else, who does not pause.
                self.has_paused = false;
                self.begin((party, ssrc), sequence, now);
            }
            None => {
                self.change_expected_until = None;
                self.begin((party, ssrc), sequence, now);
            }
        }
        let generation = self.generation;
        let Some(source) = &mut self.source else {
            return Err(DropReason::Ssrc);
        };
        source.confirms_jump = None;
        source.heard_at = now;
        Ok(Position {
            extended: source.highest,
            generation,
        })
    }

    fn begin(&mut self, (party, ssrc): (Party, u32), sequence: u16, now: Timestamp) {
        self.fold_jitter();
        let Totals { expected, lost, .. } = self.totals();
        (self.expected_before, self.lost_before) = (expected, lost);
        if let Some(source) = &self.source {
            source.settle_rest(self.window, &mut self.bursts);
        }
        self.bursts.close();
        self.generation = self.generation.wrapping_add(1);
        let highest = (1 << 16) | u64::from(sequence);
        self.source = Some(SourceState {
            party,
            ssrc,
            base: highest,
            highest,
            seen: 1,
            received: 1,
            confirms_jump: None,
            heard_at: now,
            expected_at_report: 0,
            received_at_report: 0,
            jitter_16: 0,
            max_jitter_16: 0,
            interval_jitter_16: 0,
            jitter_sum_16: 0,
            jitter_samples: 0,
            transit: None,
            timestamp: None,
            clock_hz: 0,
            gap_us: 0,
            step: 0,
        });
    }

    /// The present SSRC or clock ends: what was measured with it is kept in microseconds.
    fn fold_jitter(&mut self) {
        self.max_jitter_before_us = self.max_jitter_us();
        let Some(source) = &mut self.source else {
            return;
        };
        self.jitter_sum_before_us += source.sum_us();
        self.jitter_samples_before += std::mem::take(&mut source.jitter_samples);
        let of_interval = source.in_us(source.interval_jitter_16);
        self.interval_jitter_before_us = self.interval_jitter_before_us.max(of_interval);
        source.jitter_16 = 0;
        source.max_jitter_16 = 0;
        source.interval_jitter_16 = 0;
        source.jitter_sum_16 = 0;
    }

    /// Packets of this length come: so many make up 200 ms.
    pub(super) fn set_packet_time(&mut self, packet_time_ms: u8) {
        self.window = (200 / packet_time_ms.max(10)).max(1);
    }

    /// Feeds the jitter estimate (RFC 3550 A.8). Packets with the timestamp of the one before count
    /// as one, as those of a telephone event do (MED-062).
    pub(super) fn measure_jitter(&mut self, timestamp: u32, clock_hz: u32, now: Timestamp) {
        let has_clock = |source: &SourceState| source.clock_hz == clock_hz;
        if !self.source.as_ref().is_some_and(has_clock) {
            self.fold_jitter();
        }
        let Some(source) = &mut self.source else {
            return;
        };
        let before = source.timestamp.replace(timestamp);
        if source.clock_hz != clock_hz {
            source.clock_hz = clock_hz;
            source.transit = None;
        } else if before == Some(timestamp) {
            return;
        }
        // Twelve years of microseconds fit at 48 kHz; what wraps then is one sample.
        let arrival = (now.0.wrapping_mul(clock_hz.into()) / 1_000_000) as u32;
        let transit = arrival.wrapping_sub(timestamp);
        let Some(transit_before) = source.transit.replace(transit) else {
            return;
        };
        let later = transit.wrapping_sub(transit_before) as i32;
        let decay = source.jitter_16.saturating_add(8) >> 4;
        source.jitter_16 = source
            .jitter_16
            .saturating_add(later.unsigned_abs())
            .saturating_sub(decay);
        source.max_jitter_16 = source.max_jitter_16.max(source.jitter_16);
        source.interval_jitter_16 = source.interval_jitter_16.max(source.jitter_16);
        source.jitter_sum_16 += u64::from(source.jitter_16);
        source.jitter_samples += 1;
        if i64::from(later) * 1_000_000 > i64::from(LATE_US) * i64::from(clock_hz) {
            self.late += 1;
        }
        if source.step == 0 {
            return;
        }
        if source.gap_us >= PAUSE_US && source.step == 1 {
            // Little of the gap is lateness: the peer had nothing to say.
            let late_us = i64::from(later) * 1_000_000 / i64::from(clock_hz.max(1));
            if late_us < (source.gap_us / 2) as i64 {
                self.has_paused = true;
                return;
            }
        }
        self.longest_gap_us = self.longest_gap_us.max(source.gap_us);
        self.interval_gap_us = self.interval_gap_us.max(source.gap_us);
    }

    /// How packets of the present source have come, to go on from; `None` if the next one of this party and clock may
    /// be measured otherwise. What is left of its rate is not known here.
    pub(super) fn pace(&self, party: Party, clock_hz: u32) -> Option<Pace> {
        let source = self.source.as_ref()?;
        if source.party != party || source.clock_hz != clock_hz {
            return None;
        }
        Some(Pace {
            clock_hz,
            timestamp: source.timestamp?,
            transit: source.transit?,
            jitter_16: source.jitter_16,
            heard_at: source.heard_at,
            credit: Credit {
                cost_us: 0,
                left_us: 0,
            },
        })
    }

    /// Packets of the present source have come behind the newest, each as the next in order, none late, and have been
    /// measured.
    pub(super) fn pass(&mut self, passed: &Passed) {
        let Some(source) = &mut self.source else {
            return;
        };
        for _ in 0..passed.packets {
            source.settle(1, self.window, &mut self.bursts);
            source.highest += 1;
            source.seen = source.seen << 1 | 1;
        }
        source.received += u64::from(passed.packets);
        source.confirms_jump = None;
        (source.step, source.gap_us) = (1, passed.gap_us);
        source.heard_at = passed.heard_at;
        source.timestamp = Some(passed.timestamp);
        source.transit = Some(passed.transit);
        source.jitter_16 = passed.jitter_16;
        source.max_jitter_16 = source.max_jitter_16.max(passed.max_jitter_16);
        source.interval_jitter_16 = source.interval_jitter_16.max(passed.max_jitter_16);
        source.jitter_sum_16 += passed.jitter_sum_16;
        source.jitter_samples += u64::from(passed.packets);
        self.longest_gap_us = self.longest_gap_us.max(passed.gap_us);
        self.interval_gap_us = self.interval_gap_us.max(passed.gap_us);
    }

    /// Whether the peer pauses by its own choice.
    pub(super) fn has_paused(&self) -> bool {
        self.has_paused
    }

    /// Mean of the jitter after each packet, in microseconds.
    pub(super) fn mean_jitter_us(&self) -> u32 {
        let (sum_us, samples) = self
            .source
            .as_ref()
            .map_or((0, 0), |source| (source.sum_us(), source.jitter_samples));
        let samples = self.jitter_samples_before + samples;
        let mean = (self.jitter_sum_before_us + sum_us).checked_div(samples);
        u32::try_from(mean.unwrap_or(0)).unwrap_or(u32::MAX)
    }

    /// Longest time between packets that should have followed each other, in microseconds.
    pub(super) fn longest_gap_us(&self) -> u64 {
        self.longest_gap_us
    }

    pub(super) fn ssrc_changes(&self) -> u32 {
        self.ssrc_changes
    }

    /// Sums so far, over all SSRCs.
    pub(super) fn totals(&self) -> Totals {
        let expected = self.source.as_ref().map_or(0, SourceState::expected);
        Totals {
            expected: self.expected_before + expected,
            lost: self.lost(),
            rows: self.rows,
            late: self.late,
        }
    }

    /// Largest jitter and longest gap since this was asked last, in microseconds.
    pub(super) fn take_peaks(&mut self) -> (u32, u64) {
        let present = self.source.as_mut().map_or(0, |source| {
            let peak_16 = std::mem::take(&mut source.interval_jitter_16);
            source.in_us(peak_16)
        });
        let jitter_us = std::mem::take(&mut self.interval_jitter_before_us).max(present);
        (jitter_us, std::mem::take(&mut self.interval_gap_us))
    }

    /// How losses are distributed, and the largest loss within 200 ms in percent.
    pub(super) fn bursts(&self) -> (BurstStats, f32) {
        let mut bursts = self.bursts.clone();
        if let Some(source) = &self.source {
            source.settle_rest(self.window, &mut bursts);
        }
        let densest = bursts.densest_percent(self.window);
        (bursts.stats(self.totals().expected), densest)
    }

    /// Present jitter in microseconds.
    pub(super) fn jitter_us(&self) -> u32 {
        self.source
            .as_ref()
            .map_or(0, |source| source.in_us(source.jitter_16))
    }

    /// Largest jitter so far in microseconds.
    pub(super) fn max_jitter_us(&self) -> u32 {
        let present = self
            .source
            .as_ref()
            .map_or(0, |source| source.in_us(source.max_jitter_16));
        self.max_jitter_before_us.max(present)
    }

    /// Packets lost so far: expected minus received, over all SSRCs. A late packet corrects it.
    pub(super) fn lost(&self) -> i64 {
        let now = self.source.as_ref().map_or(0, |source| {
            source.expected() as i64 - source.received as i64
        });
        self.lost_before + now
    }

    /// Packets that arrived behind a later one.
    pub(super) fn reordered(&self) -> u64 {
        self.reordered
    }

    /// The report block about the present SSRC; starts the next report interval. The times of the
    /// last SR are the caller's.
    pub(super) fn report_block(&mut self) -> Option<ReportBlock> {
        let source = self.source.as_mut()?;
        let expected = source.expected() - source.expected_at_report;
        let received = source.received - source.received_at_report;
        source.expected_at_report += expected;
        source.received_at_report += received;
        let fraction_lost = match expected.checked_sub(received) {
            Some(lost) if expected > 0 => (lost * 256 / expected).min(255) as u8,
            Some(_) | None => 0,
        };
        let lost = source.expected() as i64 - source.received as i64;
        Some(ReportBlock {
            ssrc: source.ssrc,
            fraction_lost,
            cumulative_lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            // Our extension starts at one cycle, the protocol's at zero.
            highest_sequence: (source.highest as u32).wrapping_sub(1 << 16),
            jitter: source.jitter_16 >> 4,
            last_sr: 0,
            delay_since_last_sr: 0,
        })
    }
}

impl SourceState {
    /// Judges the numbers that cannot come any more once the newest is `step` further.
    fn settle(&self, step: u16, window: u8, bursts: &mut Bursts) {
        for behind in (0..=MAX_MISORDER).rev().take(usize::from(step)) {
            self.settle_one(behind, window, bursts);
        }
        if let Some(count @ 1..) = step.checked_sub(MAX_MISORDER + 1) {
            bursts.lose(self.highest + 1, count.into());
            bursts.note_density(count.min(window.into()) as u8);
        }
    }

    /// Judges all numbers as if nothing came any more.
    fn settle_rest(&self, window: u8, bursts: &mut Bursts) {
        for behind in (0..=MAX_MISORDER).rev() {
            self.settle_one(behind, window, bursts);
        }
    }

    fn settle_one(&self, behind: u16, window: u8, bursts: &mut Bursts) {
        if self.seen >> behind & 1 == 1 || self.highest - u64::from(behind) < self.base {
            return;
        }
        bursts.lose(self.highest - u64::from(behind), 1);
        // This number and those after it.
        let unseen = !self.seen << (127 - behind) >> (128 - u32::from(window));
        bursts.note_density(unseen.count_ones() as u8);
    }

    fn sum_us(&self) -> u64 {
        let sum = u128::from(self.jitter_sum_16) * 1_000_000 / 16;
        let sum = sum.checked_div(self.clock_hz.into()).unwrap_or(0);
        u64::try_from(sum).unwrap_or(u64::MAX)
    }

    fn expected(&self) -> u64 {
        self.highest - self.base + 1
    }

    /// A jitter in sixteenths of a timestamp unit as microseconds; 0 before the clock is known.
    fn in_us(&self, jitter_16: u32) -> u32 {
        (u64::from(jitter_16) * 1_000_000 / 16)
            .checked_div(self.clock_hz.into())
            .map_or(0, |us| u32::try_from(us).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(reception: &mut Reception, sequences: &[u16]) -> Vec<Result<u64, DropReason>> {
        sequences
            .iter()
            .map(|sequence| {
                reception
                    .arrive((Party::default(), 1), *sequence, Timestamp(0))
                    .map(|position| position.extended)
            })
            .collect()
    }

    #[test]
    fn loss_duplicates_and_reordering_are_told_apart() {
        let mut reception = Reception::default();
        let verdicts = feed(&mut reception, &[65_534, 65_535, 1, 0, 0, 1, 4]);
        assert_eq!(
            verdicts.iter().filter(|verdict| verdict.is_err()).count(),
            2
        );
        assert_eq!(verdicts[4], Err(DropReason::Duplicate));
        assert_eq!((reception.lost(), reception.reordered()), (2, 1));
        let block = reception.report_block().unwrap();
        assert_eq!(block.highest_sequence, (1 << 16) + 4);
        assert_eq!(
            (block.cumulative_lost, block.fraction_lost),
            (2, (2 * 256 / 7) as u8)
        );
    }

    #[test]
    fn a_jump_needs_a_second_packet_in_order() {
        let mut reception = Reception::default();
        let verdicts = feed(
            &mut reception,
            &[10, 11, 30_000, 12, 40_000, 40_001, 40_002],
        );
        assert_eq!(verdicts[2], Err(DropReason::Sequence));
        assert!(verdicts[3].is_ok());
        assert_eq!(verdicts[4], Err(DropReason::Sequence));
        assert!(verdicts[5].is_ok() && verdicts[6].is_ok());
        assert_eq!(reception.lost(), 0);
    }

    #[test]
    fn a_parallel_ssrc_waits_for_the_silence_of_the_first() {
        let mut reception = Reception::default();
        assert!(
            reception
                .arrive((Party::default(), 1), 1, Timestamp(0))
                .is_ok()
        );
        assert_eq!(
            reception.arrive((Party::default(), 2), 9, Timestamp(20_000)),
            Err(DropReason::Ssrc)
        );
        assert!(
            reception
                .arrive((Party::default(), 1), 2, Timestamp(20_000))
                .is_ok()
        );
        assert!(
            reception
                .arrive((Party::default(), 2), 10, Timestamp(130_000))
                .is_ok()
        );
        assert_eq!(reception.ssrc(), Some(2));
    }

    #[test]
    fn ssrcs_may_change_four_times_a_minute_and_once_more_after_an_agreement() {
        let mut reception = Reception::default();
        let mut now = Timestamp(MINUTE_US);
        for ssrc in 0..=4 {
            now.0 += 200_000;
            assert!(reception.arrive((Party::default(), ssrc), 1, now).is_ok());
        }
        now.0 += 200_000;
        assert_eq!(
            reception.arrive((Party::default(), 9), 1, now),
            Err(DropReason::Ssrc)
        );
        reception.expect_change(now);
        assert!(reception.arrive((Party::default(), 9), 1, now).is_ok());
        now.0 += MINUTE_US;
        assert!(reception.arrive((Party::default(), 10), 1, now).is_ok());
    }

    #[test]
    fn jitter_follows_the_integer_form_of_appendix_a8() {
        let mut reception = Reception::default();
        reception
            .arrive((Party::default(), 1), 1, Timestamp(0))
            .unwrap();
        let mut expected = 0u32;
        let mut previous = 0i64;
        for step in 0..200u32 {
            let late_us = u64::from(step * 7919 % 11_000);
            let arrival_us = u64::from(step) * 20_000 + late_us;
            reception.measure_jitter(step * 160, 8000, Timestamp(arrival_us));
            let transit = (arrival_us * 8 / 1000) as i64 - i64::from(step) * 160;
            if step > 0 {
                let difference = (transit - previous).unsigned_abs() as u32;
                expected = expected + difference - ((expected + 8) >> 4);
            }
            previous = transit;
        }
        assert_eq!(reception.report_block().unwrap().jitter, expected >> 4);
    }

    #[test]
    fn the_largest_jitter_is_kept_when_source_and_clock_change() {
        let mut reception = Reception::default();
        reception
            .arrive((Party::default(), 1), 1, Timestamp(0))
            .unwrap();
        reception.measure_jitter(0, 8000, Timestamp(0));
        reception.measure_jitter(160, 8000, Timestamp(36_000));
        assert_eq!(
            (reception.jitter_us(), reception.max_jitter_us()),
            (1000, 1000)
        );
        for step in 2..100 {
            reception.measure_jitter(
                160 * step,
                8000,
                Timestamp(u64::from(step) * 20_000 + 16_000),
            );
        }
        assert!(reception.jitter_us() < 300);
        reception.measure_jitter(7, 48_000, Timestamp(2_000_000));
        assert_eq!(
            (reception.jitter_us(), reception.max_jitter_us()),
            (0, 1000)
        );
        reception
            .arrive((Party::default(), 2), 1, Timestamp(3_000_000))
            .unwrap();
        assert_eq!(reception.max_jitter_us(), 1000);
    }

    #[test]
    fn packets_of_one_telephone_event_count_once_for_jitter() {
        let mut reception = Reception::default();
        reception
            .arrive((Party::default(), 1), 1, Timestamp(0))
            .unwrap();
        for step in 0..20 {
            reception.measure_jitter(8000, 8000, Timestamp(step * 20_000));
        }
        assert_eq!(reception.jitter_us(), 0);
    }
}
