//! Digits on their way to a peer: one after the other, each as the packets that it is told in
//! (MED-222, MED-224).
//!
//! An event has a packet every packet time, with its duration so far, and its last one three times. A
//! tone has audio, and silence after it.

use super::super::coded::Piecewise;
use super::tone::Tones;
use crate::codec::Coding;
use crate::g711::Law;
use crate::time::Timestamp;
use media_api::{Dialled, Digit, Signal};
use std::collections::VecDeque;

/// Digits that may wait; those beyond are not sent.
const MOST: usize = 32;
/// Least and greatest duration of an event in milliseconds.
const EVENT_MS: (u32, u32) = (40, 6_000);
/// The same of a tone, which a lost packet shortens.
const TONE_MS: (u32, u32) = (100, 6_000);
/// Time from one digit to the next in milliseconds, and while many wait.
const PAUSE_MS: (u32, u32) = (100, 40);
/// More waiting digits than this are many.
const MANY: usize = 4;
/// The last packet of an event goes out so often.
const ENDS: u32 = 3;
/// How late a packet may be for those behind it to keep to their time, in microseconds.
const LATE_US: u64 = 60_000;
/// How long digits wait for a peer of which nobody knows yet where it is, and how often that is looked at.
const HELD_US: u64 = 10_000_000;
const GLANCE_US: u64 = 20_000;
/// How far behind a digit's end its source may go on, in timestamp units: 10 s of the fastest clock.
const MOST_AHEAD: u32 = 480_000;
/// Level of events: −10 dBm0.
const VOLUME: u8 = 10;
/// The longest that one segment of an event can say, in timestamp units (RFC 4733 §2.5.1.3).
const SEGMENT: u32 = 0xffff;
/// Most samples of audio in a packet: 60 ms.
pub(in crate::session) const LONGEST: usize = 480;

/// Digits for one peer.
#[derive(Debug, Default)]
pub(in crate::session) struct Dialler {
    waiting: VecDeque<Dialled>,
    now: Option<Sending>,
    held: Option<Held>,
    /// RTP timestamp at which the latest one that began ends.
    until: Option<u32>,
}

/// The next digit cannot be told yet.
#[derive(Debug)]
struct Held {
    since: Timestamp,
    look_at: Timestamp,
}

/// A digit that is being sent.
#[derive(Debug)]
struct Sending {
    digit: Digit,
    way: Way,
    /// RTP timestamp of its beginning.
    timestamp: u32,
    started: Timestamp,
    packet_ms: u32,
    /// Packets sent.
    sent: u32,
    /// Packets until its end.
    lasts: u32,
    /// Packets until the next one may begin.
    pause: u32,
    /// Segments of an event that have been told in full.
    full_segments: u32,
    tones: Tones,
}

/// How a digit can be told to the peer as it is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::session) enum Way {
    /// As events.
    Event {
        /// Payload type.
        payload_type: u8,
        /// Clock of their timestamps.
        clock_hz: u32,
    },
    /// As audio.
    Tone {
        /// Payload type.
        payload_type: u8,
        /// Its encoding.
        law: Law,
    },
    /// As audio in a codec that only those who transcode have: its parts are A-law on their way to them.
    Coded {
        /// Payload type.
        payload_type: u8,
        /// What is made of it.
        coding: Coding,
    },
}

impl Way {
    pub(in crate::session) fn clock_hz(self) -> u32 {
        match self {
            Self::Event { clock_hz, .. } => clock_hz,
            Self::Tone { .. } | Self::Coded { .. } => super::tone::SAMPLES_PER_SECOND,
        }
    }

    fn signal(self) -> Signal {
        match self {
            Self::Event { .. } => Signal::Event,
            Self::Tone { .. } | Self::Coded { .. } => Signal::Tone,
        }
    }
}

/// One packet of a digit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::session) struct Part {
    pub(in crate::session) payload_type: u8,
    pub(in crate::session) marker: bool,
    pub(in crate::session) timestamp: u32,
    /// When `timestamp` was, and its clock.
    pub(in crate::session) since: Timestamp,
    pub(in crate::session) clock_hz: u32,
    /// Bytes of payload.
    pub(in crate::session) length: usize,
}

impl Dialler {
    /// One more digit, if not too many wait.
    pub(in crate::session) fn add(&mut self, dialled: Dialled) {
        if self.waiting.len() < MOST {
            self.waiting.push_back(dialled);
        }
    }

    /// Digits wait until it is known where the peer is. After so long they are left out: they were for
    /// somebody who heard something.
    pub(in crate::session) fn hold(&mut self, now: Timestamp) {
        let since = self.held.as_ref().map_or(now, |held| held.since);
        if now.since_us(since) < HELD_US {
            let look_at = Timestamp(now.0 + GLANCE_US);
            self.held = Some(Held { since, look_at });
        } else {
            self.held = None;
            self.waiting.clear();
        }
    }

    /// Whether the joined endpoint must not be heard now.
    pub(in crate::session) fn is_busy(&self) -> bool {
        self.now.is_some()
    }

    /// How the next digit is to be told, if one should begin now.
    pub(in crate::session) fn next(&self) -> Option<Signal> {
        let next = self.waiting.front().filter(|_| self.now.is_none());
        next.map(|dialled| dialled.signal)
    }

    /// Begins the next digit; without a way for it, it is left out.
    pub(in crate::session) fn begin(
        &mut self,
        way: Option<Way>,
        timestamp: u32,
        packet_ms: u8,
        now: Timestamp,
    ) {
        self.held = None;
        let (Some(next), Some(way)) = (self.waiting.pop_front(), way) else {
            return;
        };
        let packet_ms = u32::from(packet_ms.clamp(10, 60));
        let (least, greatest) = match way {
            Way::Event { .. } => EVENT_MS,
            Way::Tone { .. } | Way::Coded { .. } => TONE_MS,
        };
        let lasts_ms = u32::from(next.duration_ms).clamp(least, greatest);
        let pause_ms = match self.waiting.len() > MANY {
            false => PAUSE_MS.0,
            true => PAUSE_MS.1,
        };
        let lasts = lasts_ms.div_ceil(packet_ms);
        // A source whose clock stands still while it is silent goes on in the midst of the digit before, and two
        // events that begin at one time are one (RFC 4733 §2.5.1.2).
        let is_ahead = |until: &u32| until.wrapping_sub(timestamp) <= MOST_AHEAD;
        let timestamp = self.until.filter(is_ahead).unwrap_or(timestamp);
        let units = lasts * packet_ms * (way.clock_hz() / 1_000);
        self.until = Some(timestamp.wrapping_add(units));
        self.now = Some(Sending {
            digit: next.digit,
            way,
            timestamp,
            started: now,
            packet_ms,
            sent: 0,
            lasts,
            pause: pause_ms.div_ceil(packet_ms),
            full_segments: 0,
            tones: Tones::new(next.digit),
        });
    }

    /// The peer can be told in these ways now, one per signal: breaks off a digit that began in another.
    pub(in crate::session) fn follow(&mut self, way: impl Fn(Signal) -> Option<Way>) {
        self.now
            .take_if(|sending| way(sending.way.signal()) != Some(sending.way));
    }

    /// When something is to be done.
    pub(in crate::session) fn deadline(&self) -> Option<Timestamp> {
        match (&self.now, &self.held) {
            (Some(sending), _) => Some(sending.due()),
            (None, Some(held)) => Some(held.look_at),
            // Begins at once.
            (None, None) => self.waiting.front().map(|_| Timestamp::default()),
        }
    }

    /// The next packet that is due, its payload at the beginning of `to`.
    pub(in crate::session) fn part(
        &mut self,
        to: &mut [u8; LONGEST],
        now: Timestamp,
    ) -> Option<Part> {
        let sending = self.now.as_mut()?;
        if sending.due() > now || sending.is_over() {
            return None;
        }
        // What is very late is not made up for by a burst (MED-241).
        let late_us = now.since_us(sending.due());
        if late_us > LATE_US {
            sending.started.0 += late_us;
        }
        match sending.way {
            Way::Event { .. } => sending.event(to),
            Way::Tone { .. } | Way::Coded { .. } => sending.tone(to),
        }
    }

    /// The payload type and codec of a digit that is being sent in one of those who transcode.
    pub(in crate::session) fn coded(&self) -> Option<(u8, Coding)> {
        match self.now.as_ref()?.way {
            Way::Coded {
                payload_type,
                coding,
            } => Some((payload_type, coding)),
            Way::Event { .. } | Way::Tone { .. } => None,
        }
    }

    /// For such a digit the codec and the packet time in milliseconds, and the place of the part that was made last: each
    /// digit is a stream of its own.
    pub(in crate::session) fn coded_piece(&self) -> Option<((Coding, u8), Piecewise)> {
        let (_, coding) = self.coded()?;
        let sending = self.now.as_ref()?;
        let number = sending.sent.saturating_sub(1);
        let samples = sending.packet_ms * (sending.way.clock_hz() / 1_000);
        let piece = Piecewise {
            generation: sending.timestamp,
            number: number.into(),
            timestamp: sending.timestamp.wrapping_add(number * samples),
        };
        // 10 to 60 fits.
        let packet_ms = u8::try_from(sending.packet_ms).unwrap_or(20);
        Some(((coding, packet_ms), piece))
    }

    /// Ends a digit that has had its time and its pause; says whether it did.
    pub(in crate::session) fn end(&mut self, now: Timestamp) -> bool {
        let is_over = |sending: &mut Sending| sending.is_over() && sending.due() <= now;
        self.now.take_if(is_over).is_some()
    }
}

impl Sending {
    fn due(&self) -> Timestamp {
        let ms = u64::from(self.sent) * u64::from(self.packet_ms);
        Timestamp(self.started.0 + ms * 1_000)
    }

    fn is_over(&self) -> bool {
        self.sent >= self.lasts + self.pause.max(ENDS - 1)
    }

    /// An event's packet; none in its pause, of which there is nothing to be told.
    fn event(&mut self, to: &mut [u8; LONGEST]) -> Option<Part> {
        let Way::Event {
            payload_type,
            clock_hz,
        } = self.way
        else {
            return None;
        };
        if self.sent >= self.lasts + ENDS - 1 {
            self.sent = self.lasts + self.pause.max(ENDS - 1);
            return None;
        }
        let units = |packets: u32| packets * self.packet_ms * (clock_hz / 1_000);
        let so_far = units((self.sent + 1).min(self.lasts));
        // What one field cannot say is said in segments, each from where the one before is full.
        let segment = so_far.saturating_sub(1) / SEGMENT;
        if self.full_segments < segment {
            // The one before is told in full first, at the same time: the next begins where it ends (RFC 4733 §2.5.1.3).
            let filled = self.full_segments;
            self.full_segments += 1;
            return self.event_part(to, payload_type, clock_hz, (filled, SEGMENT as u16, false));
        }
        let duration = (so_far - segment * SEGMENT) as u16;
        let is_end = self.sent + 1 >= self.lasts;
        let part = self.event_part(to, payload_type, clock_hz, (segment, duration, is_end));
        self.sent += 1;
        part
    }

    /// A packet that tells so many units of a segment.
    fn event_part(
        &self,
        to: &mut [u8; LONGEST],
        payload_type: u8,
        clock_hz: u32,
        (segment, duration, is_end): (u32, u16, bool),
    ) -> Option<Part> {
        let [high, low] = duration.to_be_bytes();
        let end = if is_end { 0x80 } else { 0 };
        let payload = [self.digit.event(), end | VOLUME, high, low];
        to.first_chunk_mut().map(|place| *place = payload)?;
        Some(Part {
            payload_type,
            marker: self.sent == 0,
            timestamp: self.timestamp.wrapping_add(segment * SEGMENT),
            since: self.started,
            clock_hz,
            length: payload.len(),
        })
    }

    /// A tone's packet, or one of the silence after it.
    fn tone(&mut self, to: &mut [u8; LONGEST]) -> Option<Part> {
        let (payload_type, law) = match self.way {
            Way::Tone { payload_type, law } => (payload_type, law),
            Way::Coded { payload_type, .. } => (payload_type, Law::A),
            Way::Event { .. } => return None,
        };
        let clock_hz = self.way.clock_hz();
        let samples = self.packet_ms * (clock_hz / 1_000);
        let length = usize::try_from(samples).ok()?;
        for octet in to.get_mut(..length)? {
            *octet = match self.sent < self.lasts {
                true => law.encode(self.tones.sample()),
                false => law.silence(),
            };
        }
        let part = Part {
            payload_type,
            marker: self.sent == 0,
            timestamp: self.timestamp.wrapping_add(self.sent * samples),
            since: self.due(),
            clock_hz,
            length,
        };
        self.sent += 1;
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: Way = Way::Event {
        payload_type: 101,
        clock_hz: 8_000,
    };

    fn dialled(symbol: char, duration_ms: u16) -> Dialled {
        Dialled {
            digit: Digit::from_char(symbol).unwrap(),
            duration_ms,
            signal: Signal::Event,
        }
    }

    /// Everything that is sent until nothing is left: milliseconds, part, payload.
    fn all(dialler: &mut Dialler, way: Way) -> Vec<(u64, Part, Vec<u8>)> {
        let mut sent = Vec::new();
        let mut to = [0; LONGEST];
        for ms in (0..30_000).step_by(5) {
            let now = Timestamp(ms * 1_000);
            loop {
                if dialler.next().is_some() {
                    dialler.begin(Some(way), ms as u32 * 8, 20, now);
                }
                match dialler.part(&mut to, now) {
                    Some(part) => sent.push((ms, part, to[..part.length].to_vec())),
                    None if dialler.end(now) => {}
                    None => break,
                }
            }
        }
        assert!(dialler.deadline().is_none() && !dialler.is_busy());
        sent
    }

    #[test]
    fn digits_begin_at_different_times_though_the_clock_of_the_source_stands_still() {
        let mut dialler = Dialler::default();
        for (symbol, since) in [('1', 5), ('2', 1), ('3', u32::MAX)] {
            dialler.add(dialled(symbol, 100));
            let now = Timestamp(1_000_000);
            dialler.begin(Some(EVENT), since, 20, now);
            dialler.now.take_if(|_| true).unwrap();
        }
        assert_eq!(dialler.until, Some(5 + 3 * 800));
    }

    #[test]
    fn an_event_grows_and_its_end_is_told_three_times() {
        let mut dialler = Dialler::default();
        dialler.add(dialled('#', 70));
        let sent = all(&mut dialler, EVENT);
        let told: Vec<_> = sent
            .iter()
            .map(|(ms, part, payload)| {
                assert_eq!(
                    (part.payload_type, part.timestamp, payload[0]),
                    (101, 0, 11)
                );
                let units = u16::from_be_bytes([payload[2], payload[3]]);
                (*ms, part.marker, units, payload[1])
            })
            .collect();
        assert_eq!(
            told,
            [
                (0, true, 160, 10),
                (20, false, 320, 10),
                (40, false, 480, 10),
                (60, false, 640, 0x8a),
                (80, false, 640, 0x8a),
                (100, false, 640, 0x8a),
            ]
        );
    }

    #[test]
    fn digits_keep_their_distance_and_too_many_do_not_wait() {
        let mut dialler = Dialler::default();
        (0..40).for_each(|_| dialler.add(dialled('1', 1)));
        let sent = all(&mut dialler, EVENT);
        let starts: Vec<u64> = sent
            .iter()
            .filter(|(_, part, _)| part.marker)
            .map(|(ms, ..)| *ms)
            .collect();
        assert_eq!(starts.len(), MOST);
        let gaps: Vec<u64> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // 40 ms of each, then 40 ms of nothing, or 100 ms once few wait.
        assert!(gaps.iter().all(|gap| *gap == 80 || *gap == 140), "{gaps:?}");
        assert_eq!(gaps.last(), Some(&140));
    }

    #[test]
    fn a_digit_too_long_for_one_segment_goes_on_in_the_next() {
        let mut dialler = Dialler::default();
        dialler.add(dialled('9', 3_000));
        let way = Way::Event {
            payload_type: 101,
            clock_hz: 48_000,
        };
        let sent = all(&mut dialler, way);
        let last = |timestamp: u32| {
            let own = sent
                .iter()
                .rev()
                .find(|(_, part, _)| part.timestamp == timestamp);
            let (_, _, payload) = own.unwrap();
            (payload[1], u16::from_be_bytes([payload[2], payload[3]]))
        };
        assert_eq!(
            last(0),
            (10, 0xffff),
            "a segment that is continued is told in full, without an end"
        );
        assert_eq!(last(0xffff), (10, 0xffff));
        assert_eq!(last(2 * 0xffff), (0x8a, (144_000u32 - 2 * 0xffff) as u16));
        assert_eq!(sent.iter().filter(|(_, part, _)| part.marker).count(), 1);
    }

    #[test]
    fn a_tone_is_audio_and_silence_without_a_gap() {
        let mut dialler = Dialler::default();
        dialler.add(dialled('5', 40));
        let way = Way::Tone {
            payload_type: 8,
            law: Law::A,
        };
        let sent = all(&mut dialler, way);
        assert_eq!(sent.len(), 5 + 5);
        for (at, (ms, part, payload)) in (0u32..).zip(&sent) {
            assert_eq!((*ms, part.timestamp), (u64::from(at) * 20, at * 160));
            let is_silent = payload.iter().all(|octet| *octet == 0xd5);
            assert_eq!((payload.len(), is_silent), (160, at >= 5));
        }
    }

    #[test]
    fn after_a_standstill_nothing_comes_at_once() {
        let mut dialler = Dialler::default();
        dialler.add(dialled('5', 400));
        dialler.begin(Some(EVENT), 0, 20, Timestamp(0));
        let mut to = [0; LONGEST];
        let mut count = |ms: u64| {
            let now = Timestamp(ms * 1_000);
            std::iter::from_fn(|| dialler.part(&mut to, now)).count()
        };
        assert_eq!([0, 40, 60, 260, 280].map(&mut count), [1, 2, 1, 1, 1]);
    }

    #[test]
    fn what_cannot_be_told_is_left_out() {
        let mut dialler = Dialler::default();
        dialler.add(dialled('5', 40));
        dialler.begin(None, 0, 20, Timestamp(0));
        assert!(dialler.deadline().is_none());
    }
}
