//! Reception figures of one stream: loss, reordering, duplicates, jitter (RFC 3550 A.1, A.3, A.8).

use crate::packet::rtcp::ReportBlock;
use crate::time::Timestamp;
use media_api::DropReason;
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
/// How long after an agreement the peer's new SSRC is expected.
const CHANGE_WINDOW: Duration = Duration::from_secs(3);

/// What one stream's peer sends, across all its SSRCs.
#[derive(Debug, Default)]
pub(super) struct Reception {
    source: Option<SourceState>,
    /// Loss of the SSRCs before the present one.
    lost_before: i64,
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
    transit: Option<u32>,
    timestamp: Option<u32>,
    clock_hz: u32,
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
        ssrc: u32,
        sequence: u16,
        now: Timestamp,
    ) -> Result<Position, DropReason> {
        match &mut self.source {
            Some(source) if source.ssrc == ssrc => {
                let step = sequence.wrapping_sub(source.highest as u16);
                if step == 0 {
                    return Err(DropReason::Duplicate);
                } else if step < MAX_DROPOUT {
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
                    source.heard_at = now;
                    return Ok(Position {
                        extended,
                        generation: self.generation,
                    });
                } else if source.confirms_jump == Some(sequence) {
                    self.begin(ssrc, sequence, now);
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
                self.begin(ssrc, sequence, now);
            }
            None => {
                self.change_expected_until = None;
                self.begin(ssrc, sequence, now);
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

    fn begin(&mut self, ssrc: u32, sequence: u16, now: Timestamp) {
        self.lost_before = self.lost();
        self.max_jitter_before_us = self.max_jitter_us();
        self.generation = self.generation.wrapping_add(1);
        let highest = (1 << 16) | u64::from(sequence);
        self.source = Some(SourceState {
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
            transit: None,
            timestamp: None,
            clock_hz: 0,
        });
    }

    /// Feeds the jitter estimate (RFC 3550 A.8). Packets with the timestamp of the one before count
    /// as one, as those of a telephone event do (MED-062).
    pub(super) fn measure_jitter(&mut self, timestamp: u32, clock_hz: u32, now: Timestamp) {
        let has_clock = |source: &SourceState| source.clock_hz == clock_hz;
        if !self.source.as_ref().is_some_and(has_clock) {
            self.max_jitter_before_us = self.max_jitter_us();
        }
        let Some(source) = &mut self.source else {
            return;
        };
        if source.clock_hz != clock_hz {
            source.clock_hz = clock_hz;
            source.transit = None;
            source.jitter_16 = 0;
            source.max_jitter_16 = 0;
        } else if source.timestamp == Some(timestamp) {
            return;
        }
        source.timestamp = Some(timestamp);
        // Twelve years of microseconds fit at 48 kHz; what wraps then is one sample.
        let arrival = (now.0.wrapping_mul(clock_hz.into()) / 1_000_000) as u32;
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(before) = source.transit.replace(transit) {
            let difference = (transit.wrapping_sub(before) as i32).unsigned_abs();
            let decay = source.jitter_16.saturating_add(8) >> 4;
            source.jitter_16 = source
                .jitter_16
                .saturating_add(difference)
                .saturating_sub(decay);
            source.max_jitter_16 = source.max_jitter_16.max(source.jitter_16);
        }
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
                    .arrive(1, *sequence, Timestamp(0))
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
        assert!(reception.arrive(1, 1, Timestamp(0)).is_ok());
        assert_eq!(
            reception.arrive(2, 9, Timestamp(20_000)),
            Err(DropReason::Ssrc)
        );
        assert!(reception.arrive(1, 2, Timestamp(20_000)).is_ok());
        assert!(reception.arrive(2, 10, Timestamp(130_000)).is_ok());
        assert_eq!(reception.ssrc(), Some(2));
    }

    #[test]
    fn ssrcs_may_change_four_times_a_minute_and_once_more_after_an_agreement() {
        let mut reception = Reception::default();
        let mut now = Timestamp(MINUTE_US);
        for ssrc in 0..=4 {
            now.0 += 200_000;
            assert!(reception.arrive(ssrc, 1, now).is_ok());
        }
        now.0 += 200_000;
        assert_eq!(reception.arrive(9, 1, now), Err(DropReason::Ssrc));
        reception.expect_change(now);
        assert!(reception.arrive(9, 1, now).is_ok());
        now.0 += MINUTE_US;
        assert!(reception.arrive(10, 1, now).is_ok());
    }

    #[test]
    fn jitter_follows_the_integer_form_of_appendix_a8() {
        let mut reception = Reception::default();
        reception.arrive(1, 1, Timestamp(0)).unwrap();
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
        reception.arrive(1, 1, Timestamp(0)).unwrap();
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
        reception.arrive(2, 1, Timestamp(3_000_000)).unwrap();
        assert_eq!(reception.max_jitter_us(), 1000);
    }

    #[test]
    fn packets_of_one_telephone_event_count_once_for_jitter() {
        let mut reception = Reception::default();
        reception.arrive(1, 1, Timestamp(0)).unwrap();
        for step in 0..20 {
            reception.measure_jitter(8000, 8000, Timestamp(step * 20_000));
        }
        assert_eq!(reception.jitter_us(), 0);
    }
}
