//! Events of RFC 4733 that a peer sends, as digits: each is one, however many of its packets are
//! lost, repeated or late (MED-223).
//!
//! Event and timestamp name an event within a sequence space. One that lasts longer than its field can
//! say goes on under a later timestamp (RFC 4733 §2.5.1.3) and stays one digit.

use crate::time::Timestamp;

/// Bytes of an event in a packet.
const EVENT_BYTES: usize = 4;
/// The highest event that stands for a key: flash.
const LAST_KEY: u8 = 16;
/// The longest that one segment of an event can say.
const SEGMENT: u32 = 0xffff;
/// Least and greatest time between two packets of an event that is reckoned with, in microseconds.
const INTERVAL_US: (u64, u64) = (20_000, 50_000);
/// An event without an end has ended after so many of them.
const PATIENCE: u64 = 3;
/// Events remembered, for packets that come late.
const REMEMBERED: usize = 8;

/// What one packet says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::session) struct Told {
    pub(in crate::session) event: u8,
    pub(in crate::session) is_end: bool,
    /// Duration so far, in timestamp units.
    pub(in crate::session) units: u16,
}

impl Told {
    /// Reads the payload of a packet; `None` if it is none of a key.
    pub(in crate::session) fn read(payload: &[u8]) -> Option<Self> {
        let [event, flags, high, low] = *payload.first_chunk::<EVENT_BYTES>()?;
        (event <= LAST_KEY).then_some(Self {
            event,
            is_end: flags & 0x80 != 0,
            units: u16::from_be_bytes([high, low]),
        })
    }
}

/// Where and when a packet was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::session) struct Place {
    /// The sequence space that it belongs to.
    pub(in crate::session) generation: u32,
    /// Its RTP timestamp.
    pub(in crate::session) timestamp: u32,
    /// Clock of that timestamp.
    pub(in crate::session) clock_hz: u32,
}

/// An event that is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::session) struct Ended {
    pub(in crate::session) event: u8,
    pub(in crate::session) duration_ms: u16,
}

/// What a packet changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::session) struct News {
    /// Events that are over by it, in their order.
    pub(in crate::session) ended: [Option<Ended>; 2],
    /// The event that begins with it, after those, and lasts.
    pub(in crate::session) begun: Option<u8>,
}

/// What a stream's peer has sent of events.
#[derive(Debug, Default)]
pub(in crate::session) struct Heard {
    current: Option<Current>,
    done: [Option<Key>; REMEMBERED],
    next_done: usize,
    /// The latest event that had no packet for too long, and was told, and until when it lasts again after
    /// all.
    lapsed: Option<(Key, Timestamp)>,
}

/// An event that lasts.
#[derive(Clone, Copy, Debug)]
struct Current {
    key: Key,
    clock_hz: u32,
    /// Units of the segments before this one.
    before: u32,
    /// Units of this one.
    units: u16,
    heard_at: Timestamp,
    /// Longest time between two of its packets, within [`INTERVAL_US`].
    interval_us: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Key {
    generation: u32,
    timestamp: u32,
    event: u8,
}

impl Heard {
    /// Takes a packet into account and says what is new by it: over may be an event that had no end, and its
    /// own.
    pub(in crate::session) fn take(&mut self, told: Told, place: Place, now: Timestamp) -> News {
        let key = Key::new(told, place);
        if self.done.contains(&Some(key)) {
            self.go_on_after_all(key, told, now);
            return News::default();
        }
        let (mut before, mut begun) = (None, None);
        match &mut self.current {
            Some(current) if current.key == key => current.go_on(told.units, now),
            Some(current) if current.is_continued_by(key) => {
                let old = current.key;
                current.before = current.before.saturating_add(SEGMENT);
                current.units = 0;
                current.key = key;
                current.go_on(told.units, now);
                self.remember(old);
            }
            // All that is left of an event before the present one.
            Some(current) if current.key.is_later_than(key) => {
                let late = Current::begin(key, place.clock_hz, told.units, now);
                self.remember(key);
                return News {
                    ended: [None, Some(late.ended())],
                    begun: None,
                };
            }
            Some(_) | None => {
                before = self.finish();
                begun = Some(key.event).filter(|_| !told.is_end);
                self.current = Some(Current::begin(key, place.clock_hz, told.units, now));
            }
        }
        let own = match told.is_end {
            true => self.finish(),
            false => None,
        };
        News {
            ended: [before, own],
            begun,
        }
    }

    /// Whether an event lasts: the peer's audio is not to be heard beside it (MED-221).
    pub(in crate::session) fn is_active(&self, now: Timestamp) -> bool {
        self.current.is_some_and(|current| now < current.deadline())
            || self.lapsed.is_some_and(|(_, until)| now < until)
    }

    /// When an event without an end is over.
    pub(in crate::session) fn deadline(&self) -> Option<Timestamp> {
        self.current.map(|current| current.deadline())
    }

    /// Ends an event that has had no packet for too long.
    pub(in crate::session) fn expire(&mut self, now: Timestamp) -> Option<Ended> {
        let due = self.deadline().filter(|due| *due <= now)?;
        self.lapsed = self.current.map(|current| (current.key, due));
        self.finish()
    }

    /// A packet of an event that has been told: it may still last.
    fn go_on_after_all(&mut self, key: Key, told: Told, now: Timestamp) {
        if let Some((_, until)) = self.lapsed.as_mut().filter(|(known, _)| *known == key) {
            *until = match told.is_end {
                true => now,
                // Whoever paused this long may do so again.
                false => Timestamp(now.0 + PATIENCE * INTERVAL_US.1),
            };
        }
    }

    /// Whether a packet is one of an event that is over.
    pub(in crate::session) fn is_over(&self, told: Told, place: Place) -> bool {
        self.done.contains(&Some(Key::new(told, place)))
    }

    /// Forgets an event that lasts, as if nothing of it had come.
    pub(in crate::session) fn forget_current(&mut self) {
        self.current = None;
        self.lapsed = None;
    }

    fn finish(&mut self) -> Option<Ended> {
        let current = self.current.take()?;
        self.remember(current.key);
        Some(current.ended())
    }

    fn remember(&mut self, key: Key) {
        if let Some(place) = self.done.get_mut(self.next_done) {
            *place = Some(key);
        }
        self.next_done = (self.next_done + 1) % REMEMBERED;
    }
}

impl Current {
    fn begin(key: Key, clock_hz: u32, units: u16, now: Timestamp) -> Self {
        Self {
            key,
            clock_hz,
            before: 0,
            units,
            heard_at: now,
            interval_us: INTERVAL_US.0,
        }
    }

    fn go_on(&mut self, units: u16, now: Timestamp) {
        let interval_us = now.since_us(self.heard_at).min(INTERVAL_US.1);
        self.interval_us = self.interval_us.max(interval_us);
        self.heard_at = now;
        self.units = self.units.max(units);
    }

    /// Whether this is the next segment of the same event.
    fn is_continued_by(&self, key: Key) -> bool {
        key.event == self.key.event
            && key.generation == self.key.generation
            && key.timestamp == self.key.timestamp.wrapping_add(SEGMENT)
    }

    fn deadline(&self) -> Timestamp {
        Timestamp(self.heard_at.0 + PATIENCE * self.interval_us)
    }

    fn ended(&self) -> Ended {
        let units = u64::from(self.before) + u64::from(self.units);
        let ms = units * 1_000 / u64::from(self.clock_hz.max(1));
        Ended {
            event: self.key.event,
            duration_ms: u16::try_from(ms).unwrap_or(u16::MAX),
        }
    }
}

impl Key {
    fn new(told: Told, place: Place) -> Self {
        Self {
            generation: place.generation,
            timestamp: place.timestamp,
            event: told.event,
        }
    }

    fn is_later_than(self, other: Self) -> bool {
        let ahead = self.timestamp.wrapping_sub(other.timestamp);
        self.generation == other.generation && ahead != 0 && ahead < 1 << 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u32 = 0xffff_ff00;

    /// Packets as (event, timestamp, units, end) in steps of 20 ms; digits that they make.
    fn digits(packets: &[(u8, u32, u16, bool)]) -> Vec<(u8, u16)> {
        let mut heard = Heard::default();
        let mut now = Timestamp(1_000_000);
        let mut all = Vec::new();
        for (event, timestamp, units, is_end) in packets {
            now.0 += 20_000;
            let told = Told {
                event: *event,
                is_end: *is_end,
                units: *units,
            };
            let place = Place {
                generation: 1,
                timestamp: *timestamp,
                clock_hz: 8_000,
            };
            all.extend(heard.take(told, place, now).ended.into_iter().flatten());
        }
        now.0 += 1_000_000;
        all.extend(heard.expire(now));
        assert_eq!((heard.deadline(), heard.expire(now)), (None, None));
        all.iter()
            .map(|ended| (ended.event, ended.duration_ms))
            .collect()
    }

    #[test]
    fn one_event_is_one_digit_whatever_is_lost_repeated_or_late() {
        let whole = [
            (5, START, 160, false),
            (5, START, 320, false),
            (5, START, 480, false),
            (5, START, 640, true),
            (5, START, 640, true),
            (5, START, 640, true),
        ];
        // Every part of it that anything is left of.
        for kept in 1..64u32 {
            let part: Vec<_> = (0..6)
                .filter(|at| kept & (1 << at) != 0)
                .map(|at| whole[at])
                .collect();
            let heard = digits(&part);
            assert_eq!(heard.len(), 1, "{part:?}");
            assert_eq!(heard[0].0, 5);
        }
        assert_eq!(digits(&whole), [(5, 80)]);
        let mut turned = whole;
        turned.reverse();
        assert_eq!(digits(&turned), [(5, 80)]);
    }

    #[test]
    fn equal_digits_differ_by_their_timestamp_and_a_lost_end_does_not_join_them() {
        let next = START.wrapping_add(800);
        let pair = [
            (5, START, 160, false),
            (5, START, 320, false),
            (5, next, 160, false),
            (5, next, 320, true),
        ];
        assert_eq!(digits(&pair), [(5, 40), (5, 40)]);
        // What is left of the first comes after the second has begun.
        let late = [
            (1, next, 160, false),
            (2, START, 320, true),
            (1, next, 320, true),
        ];
        assert_eq!(digits(&late), [(2, 40), (1, 40)]);
    }

    #[test]
    fn a_long_event_goes_on_under_later_timestamps_as_one_digit() {
        let second = START.wrapping_add(0xffff);
        let long = [
            (9, START, 0x8000, false),
            (9, START, 0xffff, false),
            (9, second, 160, false),
            // Late.
            (9, START, 0xffff, false),
            (9, second, 8_000, true),
        ];
        assert_eq!(digits(&long), [(9, 9_191)]);
    }

    #[test]
    fn silence_ends_an_event_after_three_intervals() {
        let mut heard = Heard::default();
        let at = |ms: u64| Timestamp(ms * 1_000);
        let told = |units| Told {
            event: 3,
            is_end: false,
            units,
        };
        let place = Place {
            generation: 0,
            timestamp: 7,
            clock_hz: 8_000,
        };
        heard.take(told(400), place, at(100));
        assert_eq!(heard.deadline(), Some(at(160)));
        // This peer sends one every 50 ms.
        heard.take(told(800), place, at(150));
        assert_eq!(heard.deadline(), Some(at(300)));
        assert!(heard.is_active(at(299)) && heard.expire(at(299)).is_none());
        let ended = heard.expire(at(300)).unwrap();
        assert_eq!((ended.event, ended.duration_ms), (3, 100));
        assert!(!heard.is_active(at(300)));
        // It goes on after all: no digit of its own, and the audio beside it is not heard.
        assert_eq!(heard.take(told(1_200), place, at(310)), News::default());
        assert!(heard.is_active(at(459)) && !heard.is_active(at(460)));
        let end = Told {
            is_end: true,
            ..told(1_600)
        };
        assert_eq!(heard.take(end, place, at(400)), News::default());
        assert!(!heard.is_active(at(400)));
    }

    #[test]
    fn a_late_packet_of_an_event_that_has_ended_silences_nobody() {
        let mut heard = Heard::default();
        let place = Place {
            generation: 0,
            timestamp: 7,
            clock_hz: 8_000,
        };
        let told = |is_end| Told {
            event: 3,
            is_end,
            units: 400,
        };
        heard.take(told(false), place, Timestamp(0));
        heard.take(told(true), place, Timestamp(20_000));
        heard.take(told(false), place, Timestamp(30_000));
        assert!(!heard.is_active(Timestamp(30_000)));
    }

    #[test]
    fn an_event_begins_once_and_one_of_a_single_packet_not_at_all() {
        let mut heard = Heard::default();
        let mut begun = |event, timestamp, is_end| {
            let told = Told {
                event,
                is_end,
                units: 0xffff,
            };
            let place = Place {
                generation: 0,
                timestamp,
                clock_hz: 8_000,
            };
            heard.take(told, place, Timestamp(1_000)).begun
        };
        assert_eq!(begun(4, 800, false), Some(4));
        assert_eq!(begun(4, 800, false), None);
        // Its next segment, what is left of an earlier one, and its end.
        assert_eq!(begun(4, 800 + 0xffff, false), None);
        assert_eq!(begun(7, 160, false), None);
        assert_eq!(begun(4, 800 + 0xffff, true), None);
        assert_eq!(begun(5, 90_000, true), None);
        // One that begins behind one without an end.
        assert_eq!(begun(6, 91_000, false), Some(6));
        assert_eq!(begun(6, 92_000, false), Some(6));
    }

    #[test]
    fn what_is_no_key_is_no_event() {
        assert_eq!(Told::read(&[5, 10, 0]), None);
        assert_eq!(Told::read(&[32, 10, 0, 160]), None);
        let told = Told::read(&[11, 0x8a, 1, 64, 0]).unwrap();
        assert_eq!((told.event, told.is_end, told.units), (11, true, 320));
    }
}
