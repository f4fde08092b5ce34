//! The one outgoing stream toward a peer: our SSRC, sequence numbers and timestamps.
//!
//! Whoever is heard, the peer sees a single RTP source for the life of its `m=` line (MED-050).
//! Within one origin, gaps and reordering of the source are kept (MED-051); between origins the
//! numbers go on without a gap and the timestamp moves by the wall clock.

use super::express::Passed;
use crate::entropy::Entropy;
use crate::time::Timestamp;
use std::time::Duration;

/// Packets under a new key that a peer may miss: five seconds, for which it has the one before, too.
const KEY_MARGIN: u64 = 250;

/// Where a packet that we send comes from. A new origin starts a new epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Origin {
    /// Index of the receiving stream in the session.
    pub(super) stream: usize,
    /// Sequence space of that stream.
    pub(super) generation: u32,
}

/// Numbers for one outgoing packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp {
    /// Extended sequence number; the lower 16 bits go on the wire.
    pub(super) extended: u64,
    /// RTP timestamp.
    pub(super) timestamp: u32,
    /// First packet of an epoch: the marker bit is set (MED-050).
    pub(super) begins: bool,
}

/// Sequence space toward one peer.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Our SSRC toward the peer.
    pub(super) ssrc: u32,
    /// Highest extended sequence number sent, or the one before the first.
    highest: u64,
    /// Bit n: `highest - n` has been sent.
    sent: u128,
    epoch: Option<Epoch>,
    /// Timestamp, time and clock of the newest packet, to go on from.
    last: Option<Last>,
    first_timestamp: u32,
    /// Packets sent.
    pub(super) packets: u64,
    /// Payload bytes sent.
    pub(super) octets: u64,
}

#[derive(Clone, Copy, Debug)]
struct Epoch {
    origin: Origin,
    /// Outgoing minus incoming extended sequence number.
    shift: u64,
    /// The clock of the newest packet, and the one before it if the source has two: a telephone
    /// event may have its own beside the codec's.
    clocks: [Option<Clock>; 2],
    /// Lowest number of this epoch. What lies below belongs to the epoch before, lost or not.
    floor: u64,
}

/// One clock of a source. Its shift never changes within an epoch, so that all packets of one
/// telephone event keep one timestamp whatever comes in between.
#[derive(Clone, Copy, Debug)]
struct Clock {
    hz: u32,
    /// Outgoing minus incoming timestamp.
    shift: u32,
    /// How far its timestamps are ahead of the wall clock, because what was sent before it was still
    /// being heard.
    lead: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    timestamp: u32,
    /// When the timestamp is reached by the wall clock.
    at: Timestamp,
    clock_hz: u32,
    /// How long what it carries is heard, as far as that is known.
    covered: Duration,
}

impl Outgoing {
    /// A random SSRC, a random timestamp, and a sequence number in the lower half of its range, so
    /// that early loss cannot confuse the peer's roll-over counter (MED-113).
    pub(super) fn new(entropy: &mut Entropy) -> Self {
        let start = u64::from(entropy.next_u32() & 0x7fff);
        Self {
            ssrc: entropy.next_u32(),
            // One cycle up, so that reordering at the very beginning stays positive.
            highest: (1 << 16) + start,
            sent: 0,
            epoch: None,
            last: None,
            first_timestamp: entropy.next_u32(),
            packets: 0,
            octets: 0,
        }
    }

    /// The flow from a stream was interrupted on purpose (hold, another partner): its next packet
    /// starts a new epoch, so that the peer does not take the pause for loss.
    pub(super) fn interrupt(&mut self, stream: usize) {
        self.epoch = self.epoch.filter(|epoch| epoch.origin.stream != stream);
    }

    /// The same stream goes on under other numbers: what had the place `was` has the place `is` now. Its clock
    /// stays as it was, and what is older than the newest that was sent has no place any more.
    pub(super) fn rename(&mut self, was: (Origin, u64), is: (Origin, u64)) {
        if let Some(epoch) = &mut self.epoch
            && epoch.origin == was.0
        {
            epoch.origin = is.0;
            epoch.shift = epoch.shift.wrapping_add(was.1).wrapping_sub(is.1);
            epoch.floor = self.highest + 1;
        }
    }

    /// The first packet under a new key begins roll-over counter zero (MED-113). Near the end of a cycle the next
    /// one is begun instead: a peer that has the key only when the numbers have gone round would never find the
    /// counter (RFC 4568 §6.4.1).
    pub(super) fn begin_key(&mut self) {
        let left = 0xffff - (self.highest & 0xffff);
        if self.last.is_some() && left < KEY_MARGIN {
            self.highest |= 0xffff;
            self.sent = 0;
            self.epoch = None;
        }
    }

    /// Numbers for a packet, or `None` if its place has been used already: a sequence number is
    /// never sent twice, because under SRTP that would reuse key stream (MED-113).
    pub(super) fn stamp(
        &mut self,
        origin: Origin,
        extended: u64,
        timestamp: u32,
        clock_hz: u32,
        now: Timestamp,
    ) -> Option<Stamp> {
        let (mut epoch, begins) = match self.epoch {
            Some(epoch) if epoch.origin == origin => (epoch, false),
            Some(_) | None => {
                let epoch = Epoch {
                    origin,
                    shift: (self.highest + 1).wrapping_sub(extended),
                    clocks: [None; 2],
                    // Before the very first packet nothing has been sent that could be mistaken.
                    floor: self.last.map_or(0, |_| self.highest + 1),
                };
                (epoch, true)
            }
        };
        let clock = match epoch.clocks {
            [Some(clock), _] if clock.hz == clock_hz => clock,
            [newest, Some(clock)] if clock.hz == clock_hz => {
                epoch.clocks = [Some(clock), newest];
                clock
            }
            // The timestamp goes on in units of the new clock (RFC 7160).
            [newest, _] => {
                let (continued, lead) = self.continued(clock_hz, now);
                let clock = Clock {
                    hz: clock_hz,
                    shift: continued.wrapping_sub(timestamp),
                    lead,
                };
                epoch.clocks = [Some(clock), newest];
                clock
            }
        };
        self.epoch = Some(epoch);
        let outgoing = extended.wrapping_add(epoch.shift);
        if outgoing < epoch.floor || !self.claim(outgoing) {
            return None;
        }
        let timestamp = timestamp.wrapping_add(clock.shift);
        if outgoing == self.highest {
            self.last = Some(Last {
                timestamp,
                at: now + clock.lead,
                clock_hz,
                covered: Duration::ZERO,
            });
        }
        Some(Stamp {
            extended: outgoing,
            timestamp,
            begins,
        })
    }

    /// What has to be added to sequence numbers and timestamps of an origin whose newest packet is the newest that was
    /// sent; `None` if its next one may get other numbers than that.
    pub(super) fn follows(&self, origin: Origin, newest: u64, clock_hz: u32) -> Option<(u16, u32)> {
        let epoch = self.epoch.filter(|epoch| epoch.origin == origin)?;
        let clock = epoch.clocks[0].filter(|clock| clock.hz == clock_hz)?;
        let is_newest = newest.wrapping_add(epoch.shift) == self.highest;
        (is_newest && self.highest + 1 >= epoch.floor).then_some((epoch.shift as u16, clock.shift))
    }

    /// Packets of the present origin were sent behind the newest one, under the numbers that [`Self::follows`] says.
    pub(super) fn pass(&mut self, passed: &Passed) {
        self.highest += u64::from(passed.packets);
        let sent = 1u128
            .checked_shl(passed.packets)
            .map_or(u128::MAX, |bit| bit - 1);
        self.sent = self.sent.checked_shl(passed.packets).unwrap_or(0) | sent;
        self.packets += u64::from(passed.packets);
        self.octets += passed.octets;
        if let Some(clock) = self.epoch.and_then(|epoch| epoch.clocks[0]) {
            self.last = Some(Last {
                timestamp: passed.timestamp.wrapping_add(clock.shift),
                at: passed.heard_at + clock.lead,
                clock_hz: clock.hz,
                covered: Duration::ZERO,
            });
        }
    }

    /// A packet that is deliberately not sent: if it is the next in order, those behind it move up,
    /// so that the peer sees no gap.
    pub(super) fn leave_out(&mut self, origin: Origin, extended: u64) {
        if let Some(epoch) = &mut self.epoch
            && epoch.origin == origin
            && extended.wrapping_add(epoch.shift) == self.highest + 1
        {
            epoch.shift = epoch.shift.wrapping_sub(1);
        }
    }

    /// A packet that is not sent because something else is: wherever it lies in its source, the next one
    /// follows what was sent last.
    pub(super) fn pass_over(&mut self, origin: Origin, extended: u64) {
        if let Some(epoch) = &mut self.epoch
            && epoch.origin == origin
            && extended.wrapping_add(epoch.shift) > self.highest
        {
            epoch.shift = self.highest.wrapping_sub(extended);
        }
    }

    /// The place after the newest for a packet that we make ourselves, with this timestamp of the time
    /// `at`. What the source sends moves up, and its timestamps go on as they were.
    pub(super) fn insert(&mut self, timestamp: u32, clock_hz: u32, at: Timestamp) -> u64 {
        let next = self.highest + 1;
        self.claim(next);
        if let Some(epoch) = &mut self.epoch {
            epoch.shift = epoch.shift.wrapping_add(1);
            // A straggler would stand before what it came after.
            epoch.floor = next + 1;
        }
        self.last = Some(Last {
            timestamp,
            at,
            clock_hz,
            covered: Duration::ZERO,
        });
        next
    }

    /// How long the newest packet is heard: another origin begins behind it.
    pub(super) fn covers(&mut self, covered: Duration) {
        if let Some(last) = &mut self.last {
            last.covered = covered;
        }
    }

    /// When the newest packet was sent.
    pub(super) fn last_at(&self) -> Option<Timestamp> {
        self.last.map(|last| last.at)
    }

    /// Clock of the newest packet.
    pub(super) fn clock_hz(&self) -> Option<u32> {
        self.last.map(|last| last.clock_hz)
    }

    /// What the RTP timestamp is at `now`, for sender reports; `None` before the first packet.
    pub(super) fn timestamp_at(&self, now: Timestamp) -> Option<u32> {
        self.last.map(|last| {
            let passed = units(now.since_us(last.at), last.clock_hz);
            let ahead = units(last.at.since_us(now), last.clock_hz);
            last.timestamp.wrapping_add(passed).wrapping_sub(ahead)
        })
    }

    /// Timestamp with which something new begins: later than anything sent and still heard; and how far
    /// that is ahead of the wall clock.
    pub(super) fn continued(&self, clock_hz: u32, now: Timestamp) -> (u32, Duration) {
        let Some(last) = self.last else {
            return (self.first_timestamp, Duration::ZERO);
        };
        let begins = now.max(last.at + last.covered);
        let passed = units(begins.since_us(last.at), clock_hz).max(1);
        (last.timestamp.wrapping_add(passed), begins.since(now))
    }

    fn claim(&mut self, extended: u64) -> bool {
        if extended > self.highest {
            let step = u32::try_from(extended - self.highest).unwrap_or(u32::MAX);
            self.sent = self.sent.checked_shl(step).unwrap_or(0) | 1;
            self.highest = extended;
            return true;
        }
        let behind = self.highest - extended;
        // Nothing is remembered that far back, so it counts as used.
        if behind >= 128 || self.sent & (1 << behind) != 0 {
            return false;
        }
        self.sent |= 1 << behind;
        true
    }
}

/// Microseconds in units of a clock.
fn units(us: u64, clock_hz: u32) -> u32 {
    (u128::from(us) * u128::from(clock_hz) / 1_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Origin = Origin {
        stream: 0,
        generation: 1,
    };
    const B: Origin = Origin {
        stream: 1,
        generation: 1,
    };

    fn outgoing() -> Outgoing {
        Outgoing::new(&mut Entropy::from_seed([3; 32]))
    }

    #[test]
    fn gaps_and_reordering_of_one_origin_are_kept() {
        let mut out = outgoing();
        let mut at = |extended: u64| {
            out.stamp(A, extended, extended as u32 * 160, 8000, Timestamp(0))
                .map(|s| s.extended)
        };
        let first = at(70_000).unwrap();
        assert_eq!(at(70_003), Some(first + 3));
        assert_eq!(at(70_001), Some(first + 1));
        assert_eq!(at(70_001), None);
    }

    #[test]
    fn a_switch_goes_on_by_one_and_by_the_wall_clock() {
        let mut out = outgoing();
        let before = out.stamp(A, 70_000, 1000, 8000, Timestamp(0)).unwrap();
        assert!(before.begins);
        let after = out.stamp(B, 90_000, 77, 8000, Timestamp(60_000)).unwrap();
        assert!(after.begins);
        assert_eq!(after.extended, before.extended + 1);
        assert_eq!(after.timestamp, before.timestamp.wrapping_add(480));
        let next = out
            .stamp(B, 90_001, 77 + 160, 8000, Timestamp(80_000))
            .unwrap();
        assert!(!next.begins);
        assert_eq!(next.timestamp, after.timestamp.wrapping_add(160));
    }

    #[test]
    fn what_follows_a_sound_begins_behind_it_and_the_wall_clock_is_met_again() {
        let mut out = outgoing();
        let ms = |ms: u64| Timestamp(ms * 1000);
        let sound = out.stamp(B, 0, 0, 8000, ms(0)).unwrap();
        out.covers(Duration::from_millis(20));
        let passed = |stamp: Stamp| stamp.timestamp.wrapping_sub(sound.timestamp);
        // 3 ms after the packet, 17 ms ahead.
        let voice = out.stamp(A, 70_000, 1_000, 8000, ms(3)).unwrap();
        assert_eq!((passed(voice), voice.begins), (160, true));
        let next = out.stamp(A, 70_001, 1_160, 8000, ms(23)).unwrap();
        assert_eq!(passed(next), 320);
        // Reports say what the wall clock says.
        let reported = out.timestamp_at(ms(23)).unwrap();
        assert_eq!(reported.wrapping_sub(sound.timestamp), 23 * 8);
        let again = out.stamp(B, 1, 160, 8000, ms(423)).unwrap();
        assert_eq!(passed(again), 423 * 8);
    }

    #[test]
    fn only_the_stream_that_is_interrupted_begins_anew() {
        let mut out = outgoing();
        out.stamp(A, 70_000, 0, 8000, Timestamp(0)).unwrap();
        out.interrupt(B.stream);
        let next = out.stamp(A, 70_001, 160, 8000, Timestamp(20_000)).unwrap();
        assert!(!next.begins);
        out.interrupt(A.stream);
        let next = out.stamp(A, 70_009, 320, 8000, Timestamp(40_000)).unwrap();
        assert!(next.begins);
    }

    #[test]
    fn what_is_left_out_leaves_no_gap() {
        let mut out = outgoing();
        let first = out.stamp(A, 70_000, 0, 8000, Timestamp(0)).unwrap();
        out.leave_out(A, 70_001);
        out.leave_out(A, 70_002);
        let next = out.stamp(A, 70_003, 480, 8000, Timestamp(0)).unwrap();
        assert_eq!(next.extended, first.extended + 1);
        // A straggler that would need a used number is refused rather than sent under it.
        assert_eq!(out.stamp(A, 70_002, 320, 8000, Timestamp(0)), None);
    }

    #[test]
    fn what_we_make_ourselves_fits_between_what_the_source_sends() {
        let mut out = outgoing();
        let first = out.stamp(A, 70_000, 0, 8000, Timestamp(0)).unwrap();
        let (timestamp, _) = out.continued(8000, Timestamp(10_000));
        assert_eq!(timestamp, first.timestamp.wrapping_add(80));
        for at in 1..=3 {
            let own = out.insert(timestamp, 8000, Timestamp(10_000));
            assert_eq!(own, first.extended + at);
            // One of the source is lost, one not sent.
            out.pass_over(A, 70_000 + 2 * at);
        }
        let next = out
            .stamp(A, 70_007, 1120, 8000, Timestamp(140_000))
            .unwrap();
        assert_eq!((next.extended, next.begins), (first.extended + 4, false));
        assert_eq!(next.timestamp, first.timestamp.wrapping_add(1120));
        // Late ones have no place any more.
        assert_eq!(out.stamp(A, 70_006, 960, 8000, Timestamp(140_000)), None);
        assert_eq!(out.stamp(A, 70_001, 160, 8000, Timestamp(140_000)), None);
    }

    #[test]
    fn a_new_key_does_not_begin_just_before_the_numbers_go_round() {
        for (left, wanted) in [(400u64, 1u64), (249, 250), (1, 2), (0, 1)] {
            let mut out = outgoing();
            let first = out.stamp(A, 70_000, 0, 8000, Timestamp(0)).unwrap();
            let steps = (0x1_0000 - left - 1) - (first.extended & 0xffff);
            let before = out.stamp(A, 70_000 + steps, 0, 8000, Timestamp(0)).unwrap();
            assert_eq!(before.extended & 0xffff, 0xffff - left);
            out.begin_key();
            let next = out.stamp(A, 70_001 + steps, 160, 8000, Timestamp(20_000));
            let next = next.unwrap();
            assert_eq!(next.extended - before.extended, wanted, "{left} left");
            let late = out.stamp(A, 69_999 + steps, 0, 8000, Timestamp(20_000));
            assert!(
                late.is_none_or(|late| late.extended < before.extended),
                "{left} left"
            );
        }
    }

    #[test]
    fn another_clock_within_an_epoch_rebases_the_timestamp_only() {
        let mut out = outgoing();
        let voice = out.stamp(A, 70_000, 0, 48_000, Timestamp(0)).unwrap();
        let event = out.stamp(A, 70_001, 5, 8000, Timestamp(20_000)).unwrap();
        assert_eq!(event.extended, voice.extended + 1);
        assert_eq!(event.timestamp, voice.timestamp.wrapping_add(160));
        let again = out.stamp(A, 70_002, 5, 8000, Timestamp(40_000)).unwrap();
        assert_eq!(again.timestamp, event.timestamp);
    }
}
