//! Tones in G.711 audio, as digits (MED-224).
//!
//! Audio is looked at in hops of 8 ms: how much there is at each of the eight frequencies (Goertzel), and
//! in all. Two hops in a row show a digit if one tone of each group stands out, both are loud enough and
//! neither much louder than the other, little else is there, and both stay in step with their frequency:
//! how far a phase turns from one hop to the next says how far off its tone is, which the loudness in so
//! short a time does not. Three such pairs in a row are a digit, five others are its end.
//!
//! Speech rarely passes one pair and hardly ever three. What is lost counts as whatever is around it: a
//! digit of two packets survives the loss of one.

use super::heard::Ended;
use super::tone::{FREQUENCIES, STEPS, digit};
use crate::g711::Law;
use crate::time::Timestamp;
use media_api::Digit;

/// Samples of a hop.
const HOP: u32 = 64;
/// Pairs of hops in a row that make a digit: 32 ms.
const WANTED: u32 = 3;
/// Pairs of hops in a row that end one.
const MISSED: u32 = 5;
/// Such pairs that must have been there if the others are lost.
const PART_MISSED: u32 = 2;
/// Power of a sine of −26 dBm0: those of −25 are not to be missed.
const QUIET: f32 = 650_000.0;
/// Power of the high tone to that of the low one: −8 to +4 dB, and one more.
const TWIST: (f32, f32) = (0.126, 3.16);
/// Share of all power that the two tones must have.
const SHARE: f32 = 0.6;
/// Least power of one hop to that of the other.
const STEADY: f32 = 0.35;
/// How far off a tone may be: between the 1.5 % that pass and the 3.5 % that do not.
const OFF: f32 = 0.025;
/// A digit whose audio stops is over after this long: longer than what may be lost of one, which goes on
/// as the same.
const PATIENCE_US: u64 = 450_000;
/// Lost packets are reckoned with up to this many hops.
const MOST_LOST: u32 = 50;

/// Digits that may be over by one packet: of 1,500 samples every third hop may show another one, and a gap
/// before it ends two.
const MOST_ENDED: usize = 10;

/// Looks for digits in one stream.
#[derive(Debug, Default)]
pub(in crate::session) struct Listener {
    goertzel: [[f32; 2]; 8],
    energy: f32,
    filled: u32,
    before: Option<Hop>,
    /// What came before was lost.
    is_after_loss: bool,
    /// Sequence space and number of the packet that should come next, and its timestamp.
    next: Option<(u32, u64, u32)>,
    run: Run,
    heard_at: Timestamp,
    /// Until when a tone in audio that others decode keeps its sender from being heard.
    pub(in crate::session) shut_until: Timestamp,
}

/// What a hop has at each frequency.
#[derive(Clone, Copy, Debug)]
struct Hop {
    at: [Complex; 8],
    energy: f32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Complex {
    re: f32,
    im: f32,
}

/// What pairs of hops add up to.
#[derive(Debug, Default)]
struct Run {
    /// The digit of the latest pairs, and how many they were.
    candidate: Option<(Digit, u32)>,
    /// The digit that lasts, and for how many hops.
    current: Option<(Digit, u32)>,
    missed: u32,
    /// Pairs since that nothing is known of.
    unknown: u32,
    /// The digit that lasts, until it is told that it has begun.
    begun: Option<Digit>,
}

/// Where a packet of audio belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::session) struct Piece {
    pub(in crate::session) generation: u32,
    pub(in crate::session) extended: u64,
    pub(in crate::session) timestamp: u32,
}

/// What a packet of audio is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::session) struct Found {
    /// It belongs to a digit and must not be heard.
    pub(in crate::session) is_tone: bool,
    /// Digits that are over.
    pub(in crate::session) ended: [Option<Ended>; MOST_ENDED],
    /// The digit that begins with it, after those, and lasts.
    pub(in crate::session) begun: Option<Digit>,
}

impl Listener {
    /// Listens to one packet.
    pub(in crate::session) fn hear(
        &mut self,
        law: Law,
        payload: &[u8],
        piece: Piece,
        now: Timestamp,
    ) -> Found {
        let mut found = Found::default();
        let samples = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        if !self.reach(piece, samples, &mut found) {
            found.is_tone = self.run.is_on();
            return found;
        }
        if is_quiet(self.energy, self.filled) {
            // A tone is best seen from its beginning, and most begin with a packet.
            self.restart();
        }
        self.heard_at = now;
        for octet in payload {
            self.sample(f32::from(law.decode(*octet)));
            if self.filled == HOP {
                self.hop(&mut found);
            }
        }
        found.is_tone |= self.run.is_on();
        found.begun = self.run.begun.take();
        found
    }

    /// Hears that the peer is silent (RFC 3389): until its next audio nothing is lost.
    pub(in crate::session) fn hush(&mut self, piece: Piece, now: Timestamp) -> Found {
        let mut found = Found::default();
        if self.reach(piece, 0, &mut found) {
            self.heard_at = now;
        }
        found
    }

    /// Goes on to where a packet with so many samples begins; says no if it comes too late, and was taken for
    /// lost.
    fn reach(&mut self, piece: Piece, samples: u32, found: &mut Found) -> bool {
        let lost = match self.next {
            Some((generation, extended, timestamp)) if generation == piece.generation => {
                if piece.extended < extended {
                    return false;
                }
                let missing = piece.timestamp.wrapping_sub(timestamp);
                match (piece.extended - extended, missing) {
                    (_, 0) => 0,
                    // The peer was silent, and sent nothing.
                    (0, missing) => {
                        self.skip(missing, found, Run::miss);
                        0
                    }
                    (packets, missing) => {
                        // No more is lost than packets are: for the rest of the time the peer was silent.
                        let packets = u32::try_from(packets).unwrap_or(u32::MAX);
                        let lost = match samples {
                            0 => missing,
                            each => missing.min(packets.saturating_mul(each)),
                        };
                        self.skip(missing - lost, found, Run::miss);
                        lost
                    }
                }
            }
            Some(_) | None => 0,
        };
        self.is_after_loss |= lost > 0;
        self.skip(lost, found, Run::lose);
        self.next = Some((
            piece.generation,
            piece.extended + 1,
            piece.timestamp.wrapping_add(samples),
        ));
        true
    }

    /// When a digit is over whose audio has stopped.
    pub(in crate::session) fn deadline(&self) -> Option<Timestamp> {
        self.run.current?;
        Some(Timestamp(self.heard_at.0 + PATIENCE_US))
    }

    /// Ends a digit whose audio has stopped.
    pub(in crate::session) fn expire(&mut self, now: Timestamp) -> Option<Ended> {
        self.deadline().filter(|due| *due <= now)?;
        self.before = None;
        self.restart();
        self.run.finish()
    }

    /// Time that no audio came for.
    fn skip(&mut self, samples: u32, found: &mut Found, step: impl Fn(&mut Run) -> Option<Ended>) {
        // Half a hop or less is no time.
        if samples <= HOP / 2 {
            return;
        }
        for _ in 0..samples.div_ceil(HOP).min(MOST_LOST) {
            found.tell(step(&mut self.run));
        }
        self.before = None;
        self.restart();
    }

    fn restart(&mut self) {
        self.goertzel = [[0.0; 2]; 8];
        self.energy = 0.0;
        self.filled = 0;
    }

    fn sample(&mut self, sample: f32) {
        for (state, (_, cosine)) in self.goertzel.iter_mut().zip(&COEFFICIENTS) {
            let [last, before] = *state;
            *state = [2.0 * cosine * last - before + sample, last];
        }
        self.energy += sample * sample;
        self.filled += 1;
    }

    /// A hop is complete: looks at it together with the one before.
    fn hop(&mut self, found: &mut Found) {
        let mut at = [Complex::default(); 8];
        for ((out, [last, before]), (sine, cosine)) in
            at.iter_mut().zip(self.goertzel).zip(&COEFFICIENTS)
        {
            *out = Complex {
                re: last - cosine * before,
                im: sine * before,
            };
        }
        let hop = Hop {
            at,
            energy: self.energy,
        };
        self.restart();
        let ended = match self.before.replace(hop) {
            // The first after a loss shows at most that no tone is there.
            None if self.is_after_loss && !is_quiet(hop.energy, HOP) => self.run.lose(),
            None => self.run.miss(),
            Some(before) => match seen(&before, &hop) {
                Some(digit) => {
                    found.is_tone = true;
                    self.run.see(digit)
                }
                None => self.run.miss(),
            },
        };
        self.is_after_loss = false;
        found.tell(ended);
    }
}

impl Found {
    fn tell(&mut self, ended: Option<Ended>) {
        if let (Some(ended), Some(free)) = (ended, self.ended.iter_mut().find(|one| one.is_none()))
        {
            *free = Some(ended);
        }
    }
}

impl Run {
    fn is_on(&self) -> bool {
        self.current.is_some() || self.candidate.is_some()
    }

    /// A pair shows a digit.
    fn see(&mut self, digit: Digit) -> Option<Ended> {
        let unknown = std::mem::take(&mut self.unknown);
        if let Some((current, hops)) = &mut self.current
            && *current == digit
        {
            // Some of a pause was there, and the rest of it was lost.
            if self.missed >= PART_MISSED && self.missed + unknown >= MISSED {
                let ended = self.finish();
                self.candidate = Some((digit, 1 + self.missed + unknown - MISSED));
                self.confirm();
                return ended;
            }
            *hops += 1 + self.missed + unknown;
            self.missed = 0;
            self.candidate = None;
            return None;
        }
        let so_far = match self.candidate {
            Some((known, pairs)) if known == digit => pairs,
            Some(_) | None => 0,
        };
        self.candidate = Some((digit, so_far + 1 + unknown));
        self.missed += 1;
        self.confirm()
    }

    /// A pair shows none.
    fn miss(&mut self) -> Option<Ended> {
        let unknown = std::mem::take(&mut self.unknown);
        let ended = match &mut self.candidate {
            // What was lost may have been the rest of it.
            Some((_, pairs)) if unknown > 0 => {
                *pairs += unknown;
                self.confirm()
            }
            Some(_) | None => None,
        };
        self.candidate = None;
        self.missed += 1 + unknown;
        match self.missed >= MISSED {
            true => ended.or_else(|| self.finish()),
            false => ended,
        }
    }

    /// Nothing is known of a pair.
    fn lose(&mut self) -> Option<Ended> {
        self.unknown += 1;
        match self.unknown > MOST_LOST {
            true => self.miss(),
            false => None,
        }
    }

    /// Takes the candidate for a digit if it has lasted long enough; the one before is over then.
    fn confirm(&mut self) -> Option<Ended> {
        let (digit, pairs) = self.candidate.filter(|(_, pairs)| *pairs >= WANTED)?;
        let ended = self.finish();
        self.candidate = None;
        self.missed = 0;
        self.current = Some((digit, pairs + 1));
        self.begun = Some(digit);
        ended
    }

    fn finish(&mut self) -> Option<Ended> {
        let (digit, hops) = self.current.take()?;
        self.begun = None;
        Some(Ended {
            event: digit.event(),
            // Eight milliseconds each.
            duration_ms: u16::try_from(hops.saturating_mul(HOP / 8)).unwrap_or(u16::MAX),
        })
    }
}

/// Whether so many samples hold no two tones that are loud enough.
fn is_quiet(energy: f32, samples: u32) -> bool {
    energy <= 2.0 * QUIET * samples as f32
}

/// The digit that two hops in a row show.
fn seen(a: &Hop, b: &Hop) -> Option<Digit> {
    let power = |at: usize| match (a.at.get(at), b.at.get(at)) {
        (Some(a), Some(b)) => a.squared() + b.squared(),
        _ => 0.0,
    };
    let strongest = |group: std::ops::Range<usize>| {
        group.max_by(|one, other| power(*one).total_cmp(&power(*other)))
    };
    let (low, high) = (strongest(0..4)?, strongest(4..8)?);
    // Of a sine, |z|² is N²/4 times the square of its amplitude, and its power half of that square.
    let scale = 1.0 / (HOP * HOP) as f32;
    let (low_power, high_power) = (power(low) * scale, power(high) * scale);
    let twist = high_power / low_power;
    let share = (low_power + high_power) * 2.0 * HOP as f32 / (a.energy + b.energy);
    let is_digit = low_power.min(high_power) >= QUIET
        && twist >= TWIST.0
        && twist <= TWIST.1
        && share >= SHARE
        && is_steady(a, b, low)
        && is_steady(a, b, high);
    is_digit.then(|| digit(low, high - 4)).flatten()
}

/// Whether a tone is as loud in one hop as in the other, and at its frequency.
fn is_steady(a: &Hop, b: &Hop, at: usize) -> bool {
    let (Some(before), Some(after), Some(turn), Some(frequency)) = (
        a.at.get(at),
        b.at.get(at),
        TURNS.get(at),
        FREQUENCIES.get(at),
    ) else {
        return false;
    };
    let (one, other) = (before.squared(), after.squared());
    let drift = after.over(before.times(*turn)).angle();
    let off_hz = drift / std::f32::consts::TAU * (8_000 / HOP) as f32;
    one.min(other) >= STEADY * one.max(other) && off_hz.abs() <= OFF * f32::from(*frequency)
}

impl Complex {
    const fn times(self, other: Self) -> Self {
        Self {
            re: self.re * other.re - self.im * other.im,
            im: self.re * other.im + self.im * other.re,
        }
    }

    /// In the direction of the quotient.
    const fn over(self, other: Self) -> Self {
        self.times(Self {
            re: other.re,
            im: -other.im,
        })
    }

    const fn squared(self) -> f32 {
        self.re * self.re + self.im * self.im
    }

    fn angle(self) -> f32 {
        self.im.atan2(self.re)
    }
}

/// Sine and cosine of one sample's step at each frequency.
static COEFFICIENTS: [(f32, f32); 8] = coefficients();
/// How far a tone turns in a hop.
static TURNS: [Complex; 8] = turns();

const fn coefficients() -> [(f32, f32); 8] {
    let mut all = [(0.0, 0.0); 8];
    let mut at = 0;
    while at < 8 {
        all[at] = (STEPS[at].0 as f32, STEPS[at].1 as f32);
        at += 1;
    }
    all
}

const fn turns() -> [Complex; 8] {
    let mut all = [Complex { re: 1.0, im: 0.0 }; 8];
    let mut at = 0;
    while at < 8 {
        let (mut im, mut re) = STEPS[at];
        let mut turned = 1;
        while turned < HOP {
            (re, im) = (re * re - im * im, 2.0 * re * im);
            turned *= 2;
        }
        all[at] = Complex {
            re: re as f32,
            im: im as f32,
        };
        at += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sines of these frequencies and amplitudes for so many samples, then silence.
    fn tones(parts: &[(f64, f64)], tone: usize, silence: usize) -> Vec<f64> {
        let sample = |at: usize| {
            let turn = std::f64::consts::TAU * at as f64 / 8_000.0;
            let sines = parts
                .iter()
                .map(|(hz, amplitude)| amplitude * (turn * hz).sin());
            sines.sum::<f64>()
        };
        let mut samples: Vec<f64> = (0..tone).map(sample).collect();
        samples.resize(tone + silence, 0.0);
        samples
    }

    fn amplitude(dbm0: f64) -> f64 {
        22_827.0 * 10f64.powf(dbm0 / 20.0)
    }

    /// A listener, and packets for it.
    struct Ear {
        listener: Listener,
        sequence: u64,
        /// Packet times that passed without a packet.
        passed_over: u64,
        heard: Vec<(char, u16)>,
        /// Packets that were heard on the other side.
        passed: Vec<bool>,
    }

    impl Ear {
        fn new() -> Self {
            Self {
                listener: Listener::default(),
                sequence: 70_000,
                passed_over: 0,
                heard: Vec::new(),
                passed: Vec::new(),
            }
        }

        fn note(&mut self, ended: impl IntoIterator<Item = Ended>) {
            let symbol = |ended: Ended| {
                let digit = Digit::from_event(ended.event).unwrap();
                (digit.symbol(), ended.duration_ms)
            };
            self.heard.extend(ended.into_iter().map(symbol));
        }

        /// Packets of 20 ms, those in `lost` not delivered.
        fn hear(&mut self, law: Law, samples: &[f64], lost: &[usize]) {
            for (at, packet) in samples.chunks(160).enumerate() {
                self.sequence += 1;
                if lost.contains(&at) {
                    continue;
                }
                let payload: Vec<u8> = packet.iter().map(|s| law.encode(*s as i16)).collect();
                let (piece, now) = self.place();
                let ended = self.listener.expire(now);
                self.note(ended);
                let found = self.listener.hear(law, &payload, piece, now);
                self.passed.push(!found.is_tone);
                self.note(found.ended.into_iter().flatten());
            }
        }

        /// Where its latest packet belongs, and when it comes.
        fn place(&self) -> (Piece, Timestamp) {
            let at = self.sequence + self.passed_over;
            let piece = Piece {
                generation: 1,
                extended: self.sequence,
                timestamp: (at as u32).wrapping_mul(160),
            };
            (piece, Timestamp(at * 20_000))
        }

        /// One packet of comfort noise, and then none for so many packet times.
        fn rest(&mut self, packets: u64) {
            self.sequence += 1;
            let (piece, now) = self.place();
            let found = self.listener.hush(piece, now);
            self.note(found.ended.into_iter().flatten());
            self.passed_over += packets;
        }

        fn end(mut self) -> Vec<(char, u16)> {
            let late = Timestamp(self.place().1.0 + 1_000_000);
            let ended = self.listener.expire(late);
            self.note(ended);
            self.heard
        }
    }

    fn found(samples: &[f64]) -> String {
        let mut ear = Ear::new();
        ear.hear(Law::Mu, samples, &[]);
        ear.end().iter().map(|(symbol, _)| *symbol).collect()
    }

    fn key(symbol: char) -> (f64, f64) {
        let pairs = (0..4).flat_map(|low| (0..4).map(move |high| (low, high)));
        let of = |(low, high): &(usize, usize)| digit(*low, *high).unwrap().symbol() == symbol;
        let (low, high) = pairs.into_iter().find(of).unwrap();
        (
            f64::from(FREQUENCIES[low]),
            f64::from(FREQUENCIES[4 + high]),
        )
    }

    const ALL: &str = "123A456B789C*0#D";

    #[test]
    fn every_digit_of_forty_milliseconds_is_found_wherever_it_begins() {
        for law in [Law::A, Law::Mu] {
            for shift in (0..160).step_by(8) {
                let mut samples = vec![0.0; shift];
                for symbol in ALL
                    .chars()
                    .chain(ALL.chars().flat_map(|symbol| [symbol; 2]))
                {
                    let (low, high) = key(symbol);
                    let level = amplitude(-10.0);
                    samples.extend(tones(&[(low, level), (high, level)], 320, 320));
                }
                let mut ear = Ear::new();
                ear.hear(law, &samples, &[]);
                let wanted = ALL
                    .chars()
                    .chain(ALL.chars().flat_map(|symbol| [symbol; 2]));
                let heard = ear.end();
                let symbols: String = heard.iter().map(|(symbol, _)| *symbol).collect();
                assert_eq!(symbols, wanted.collect::<String>(), "{law:?} {shift}");
                assert!(
                    heard.iter().all(|(_, ms)| (32..=64).contains(ms)),
                    "{heard:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_off_by_1_5_percent_passes_and_by_3_5_does_not() {
        for symbol in ALL.chars() {
            let (low, high) = key(symbol);
            let level = amplitude(-10.0);
            for off in [0.985, 1.015] {
                for both in [(off, off), (off, 1.0), (1.0, off), (off, 2.0 - off)] {
                    let parts = [(low * both.0, level), (high * both.1, level)];
                    let samples = tones(&parts, 400, 400);
                    assert_eq!(found(&samples), symbol.to_string(), "{both:?}");
                }
            }
            for off in [0.965, 1.035, 0.955, 1.045, 0.94, 1.06] {
                for both in [(off, off), (off, 1.0), (1.0, off)] {
                    let parts = [(low * both.0, level), (high * both.1, level)];
                    assert_eq!(found(&tones(&parts, 800, 400)), "", "{symbol} {both:?}");
                }
            }
        }
    }

    #[test]
    fn level_and_twist_have_limits() {
        for symbol in ALL.chars() {
            let (low, high) = key(symbol);
            let at = |low_dbm0: f64, high_dbm0: f64| {
                let parts = [(low, amplitude(low_dbm0)), (high, amplitude(high_dbm0))];
                found(&tones(&parts, 480, 400))
            };
            let wanted = symbol.to_string();
            for level in [0.0, -25.0] {
                assert_eq!(
                    at(level - 3.0 * (level + 25.0) / 25.0, level),
                    wanted,
                    "{level}"
                );
            }
            for (low, high) in [(-8.0, -16.0), (-14.0, -10.0), (-16.9, -24.9)] {
                assert_eq!(at(low, high), wanted, "{low} {high}");
            }
            for (low, high) in [(-29.0, -29.0), (-4.0, -15.0), (-16.0, -9.0), (-10.0, -60.0)] {
                assert_eq!(at(low, high), "", "{symbol} {low} {high}");
            }
        }
    }

    #[test]
    fn what_is_too_short_is_none_and_a_short_break_makes_no_two() {
        let (low, high) = key('8');
        let level = amplitude(-10.0);
        let parts = [(low, level), (high, level)];
        for shift in (0..160).step_by(8) {
            let mut short = vec![0.0; shift];
            short.extend(tones(&parts, 184, 640));
            assert_eq!(found(&short), "", "23 ms at {shift}");
            let mut broken = vec![0.0; shift];
            broken.extend(tones(&parts, 400, 80));
            broken.extend(tones(&parts, 400, 480));
            assert_eq!(found(&broken), "8", "10 ms of nothing at {shift}");
        }
    }

    #[test]
    fn a_long_digit_of_which_some_packets_in_a_row_are_lost_is_one() {
        let (low, high) = key('7');
        let level = amplitude(-10.0);
        let samples = tones(&[(low, level), (high, level)], 4_000, 800);
        for lost in [vec![8, 9, 10], vec![5, 6, 7, 8, 9], vec![12, 13, 14, 15]] {
            let mut ear = Ear::new();
            ear.hear(Law::A, &samples, &lost);
            let heard: String = ear.end().iter().map(|(symbol, _)| *symbol).collect();
            assert_eq!(heard, "7", "without packets {lost:?}");
        }
    }

    #[test]
    fn one_lost_packet_of_two_costs_no_digit_and_makes_none() {
        let (low, high) = key('3');
        let level = amplitude(-10.0);
        let mut samples = vec![0.0; 320];
        for _ in 0..2 {
            samples.extend(tones(&[(low, level), (high, level)], 320, 320));
        }
        for lost in 1..10 {
            let mut ear = Ear::new();
            ear.hear(Law::A, &samples, &[lost]);
            let heard: String = ear.end().iter().map(|(symbol, _)| *symbol).collect();
            assert_eq!(heard, "33", "without packet {lost}");
        }
    }

    #[test]
    fn a_key_pressed_twice_with_comfort_noise_between_is_two() {
        let (low, high) = key('1');
        let level = amplitude(-10.0);
        let press = tones(&[(low, level), (high, level)], 800, 0);
        for lost in [vec![], vec![4], vec![0]] {
            let mut ear = Ear::new();
            for _ in 0..2 {
                ear.hear(Law::A, &press, &lost);
                ear.rest(5);
            }
            let heard: String = ear.end().iter().map(|(symbol, _)| *symbol).collect();
            assert_eq!(heard, "11", "without {lost:?}");
        }
    }

    #[test]
    fn digits_that_are_over_by_one_long_packet_are_all_told() {
        let level = amplitude(-10.0);
        let mut samples = Vec::new();
        for symbol in "159D".chars() {
            let (low, high) = key(symbol);
            samples.extend(tones(&[(low, level), (high, level)], 288, 0));
        }
        samples.resize(1_480, 0.0);
        let payload: Vec<u8> = samples
            .iter()
            .map(|one| Law::A.encode(*one as i16))
            .collect();
        let piece = Piece {
            generation: 1,
            extended: 1,
            timestamp: 0,
        };
        let mut ear = Ear::new();
        let found = ear.listener.hear(Law::A, &payload, piece, Timestamp(0));
        ear.note(found.ended.into_iter().flatten());
        let heard = ear.end();
        let symbols: String = heard.iter().map(|(symbol, _)| *symbol).collect();
        assert_eq!(symbols, "159D");
    }

    #[test]
    fn a_digit_is_not_heard_and_what_comes_before_and_after_is() {
        let (low, high) = key('1');
        let level = amplitude(-10.0);
        let mut samples = tones(&[(300.0, 3_000.0)], 1_600, 0);
        samples.extend(tones(&[(low, level), (high, level)], 1_600, 0));
        samples.extend(tones(&[(300.0, 3_000.0)], 1_600, 0));
        let mut ear = Ear::new();
        ear.hear(Law::A, &samples, &[]);
        assert_eq!(ear.passed[..10], [true; 10]);
        assert_eq!(ear.passed[10..20], [false; 10]);
        // Up to 40 ms are needed to see its end.
        assert_eq!(ear.passed[22..], [true; 8]);
    }

    #[test]
    fn a_digit_whose_audio_stops_is_over_after_a_while() {
        let (low, high) = key('7');
        let level = amplitude(-10.0);
        let mut ear = Ear::new();
        ear.hear(Law::A, &tones(&[(low, level), (high, level)], 800, 0), &[]);
        assert!(ear.heard.is_empty());
        let due = ear.listener.deadline().unwrap();
        assert_eq!(due, Timestamp(ear.sequence * 20_000 + PATIENCE_US));
        assert_eq!(ear.end(), [('7', 96)]);
    }
}
