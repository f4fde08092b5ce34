//! Speech codecs as values: payload to samples, samples to payload, and what is heard where a payload is
//! missing.
//!
//! Nothing here knows packets, time or threads. Both directions work at a rate that whoever joins two codecs
//! chooses: 16 kHz where both are wideband, so that nothing is lost on the way (MED-206), else 8 kHz.

mod conceal;
mod g722;
mod opus;
mod resample;

pub use conceal::Concealer;
pub use resample::{Doubler, Halver};

use crate::g711::Law;
use media_api::{Format, OpusWishes};

/// A codec that can be decoded and encoded here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Coding {
    /// G.711 in either law.
    G711(Law),
    /// G.722 at 64 kbit/s, 16 kHz audio under an RTP clock of 8 kHz (RFC 3551 §4.5.2).
    G722,
    /// Opus (RFC 6716), always under an RTP clock of 48 kHz (RFC 7587).
    Opus,
}

/// The longest payload that is decoded, in bytes: 180 ms of G.711, more than any Opus packet needs.
pub const MAX_PAYLOAD_BYTES: usize = 1_440;
/// Samples that a payload can be at most: 180 ms at 16 kHz.
pub const MAX_SAMPLES: usize = 2 * MAX_PAYLOAD_BYTES;

impl Coding {
    /// The codec of an agreed format, if it is one of these.
    pub fn of(format: &Format) -> Option<Self> {
        let is = |name: &str, clock_hz| {
            format.clock_hz == clock_hz && format.name.eq_ignore_ascii_case(name)
        };
        if is("G722", 8_000) {
            return Some(Self::G722);
        }
        if is("opus", 48_000) {
            return Some(Self::Opus);
        }
        Law::of(&format.name, format.clock_hz).map(Self::G711)
    }

    /// As [`Self::of`], but for G.711, which is made and read anywhere by a table.
    pub fn beyond_g711(format: &Format) -> Option<Self> {
        match Self::of(format)? {
            Self::G711(_) => None,
            coding @ (Self::G722 | Self::Opus) => Some(coding),
        }
    }

    /// Its RTP clock in Hz.
    pub const fn clock_hz(self) -> u32 {
        match self {
            Self::G711(_) | Self::G722 => 8_000,
            Self::Opus => 48_000,
        }
    }

    /// Samples a second with which two codecs are best joined.
    pub const fn joint_rate(self, other: Self) -> u32 {
        match (self, other) {
            (Self::G711(_), _) | (_, Self::G711(_)) => 8_000,
            (Self::G722 | Self::Opus, Self::G722 | Self::Opus) => 16_000,
        }
    }

    /// The packet time nearest to the wished one that it has, in milliseconds: Opus knows a few only
    /// (RFC 7587 §3.2), the others any.
    pub const fn packet_ms(self, wished: u8) -> u8 {
        match (self, wished) {
            (Self::G711(_) | Self::G722, 10..=60) => wished,
            (Self::G711(_) | Self::G722, 61..) => 60,
            (_, 0..=19) => 10,
            (Self::Opus, 20..=39) => 20,
            (Self::Opus, 40..=59) => 40,
            (Self::Opus, 60..) => 60,
        }
    }
}

/// Turns payloads into samples.
#[derive(Debug)]
pub struct Decoder {
    kind: DecoderKind,
    rate: u32,
}

#[derive(Debug)]
enum DecoderKind {
    G711(Law, Concealer),
    G722(Box<g722::Decoder>, Option<Box<Halver>>, Concealer),
    Opus(Box<opus::Decoder>),
}

impl Decoder {
    /// A decoder to `rate` samples a second, 8,000 or 16,000. G.711 has 8,000 whatever is wanted.
    pub fn new(coding: Coding, rate: u32) -> Self {
        let rate = match (coding, rate) {
            (Coding::G711(_), _) | (_, ..16_000) => 8_000,
            _ => 16_000,
        };
        let kind = match coding {
            Coding::G711(law) => DecoderKind::G711(law, Concealer::new(rate)),
            Coding::G722 => {
                let halver = (rate == 8_000).then(Box::default);
                DecoderKind::G722(Box::default(), halver, Concealer::new(rate))
            }
            Coding::Opus => DecoderKind::Opus(Box::new(opus::Decoder::new(rate))),
        };
        Self { kind, rate }
    }

    /// Samples a second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Puts the samples of a payload behind those that are there. False if the payload means nothing;
    /// then nothing is added.
    pub fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> bool {
        if payload.is_empty() || payload.len() > MAX_PAYLOAD_BYTES {
            return false;
        }
        let start = samples.len();
        match &mut self.kind {
            DecoderKind::G711(law, concealer) => {
                samples.extend(payload.iter().map(|octet| law.decode(*octet)));
                concealer.good(&mut samples[start..]);
            }
            DecoderKind::G722(decoder, halver, concealer) => {
                let mut pairs = payload.iter().map(|octet| decoder.decode(*octet));
                match halver {
                    None => samples.extend(pairs.by_ref().flatten()),
                    Some(halver) => samples.extend(pairs.by_ref().map(|pair| halver.halve(pair))),
                }
                concealer.good(&mut samples[start..]);
            }
            DecoderKind::Opus(decoder) => return decoder.decode(payload, samples),
        }
        true
    }

    /// What is heard for so many samples whose payload is missing.
    pub fn conceal(&mut self, count: usize, samples: &mut Vec<i16>) {
        let start = samples.len();
        let count = count.min(MAX_SAMPLES);
        match &mut self.kind {
            DecoderKind::G711(_, concealer) | DecoderKind::G722(.., concealer) => {
                samples.resize(start + count, 0);
                concealer.lost(&mut samples[start..]);
            }
            DecoderKind::Opus(decoder) => decoder.conceal(count, samples),
        }
    }

    /// As [`Self::conceal`], for the one payload that is missing before this one: Opus may repeat what was
    /// in it (RFC 6716 §2.1.7).
    pub fn recover(&mut self, next: &[u8], count: usize, samples: &mut Vec<i16>) {
        match &mut self.kind {
            DecoderKind::Opus(decoder) => decoder.recover(next, count, samples),
            DecoderKind::G711(..) | DecoderKind::G722(..) => self.conceal(count, samples),
        }
    }
}

/// Turns samples into payloads.
#[derive(Debug)]
pub struct Encoder {
    kind: EncoderKind,
    rate: u32,
}

#[derive(Debug)]
enum EncoderKind {
    G711(Law),
    G722(Box<g722::Encoder>, Option<Box<Doubler>>),
    Opus(Box<opus::Encoder>),
}

impl Encoder {
    /// An encoder of `rate` samples a second, 8,000 or 16,000. G.711 has 8,000 whatever is wanted.
    pub fn new(coding: Coding, rate: u32) -> Self {
        Self::wished(coding, rate, None)
    }

    /// The same for a receiver of Opus that says what it wants.
    pub fn wished(coding: Coding, rate: u32, wishes: Option<OpusWishes>) -> Self {
        let rate = match (coding, rate) {
            (Coding::G711(_), _) | (_, ..16_000) => 8_000,
            _ => 16_000,
        };
        let kind = match coding {
            Coding::G711(law) => EncoderKind::G711(law),
            Coding::G722 => {
                let doubler = (rate == 8_000).then(Box::default);
                EncoderKind::G722(Box::default(), doubler)
            }
            Coding::Opus => EncoderKind::Opus(Box::new(opus::Encoder::new(rate, wishes))),
        };
        Self { kind, rate }
    }

    /// Samples a second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Writes the payload of these samples, a packet time of the codec; returns its length, 0 if `payload`
    /// has no room for it.
    pub fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> usize {
        match &mut self.kind {
            EncoderKind::G711(law) => {
                let Some(room) = payload.get_mut(..samples.len()) else {
                    return 0;
                };
                for (octet, sample) in room.iter_mut().zip(samples) {
                    *octet = law.encode(*sample);
                }
                samples.len()
            }
            EncoderKind::G722(encoder, Some(doubler)) => {
                let Some(room) = payload.get_mut(..samples.len()) else {
                    return 0;
                };
                for (octet, sample) in room.iter_mut().zip(samples) {
                    *octet = encoder.encode(doubler.double(*sample));
                }
                samples.len()
            }
            EncoderKind::G722(encoder, None) => {
                let (pairs, _) = samples.as_chunks::<2>();
                let Some(room) = payload.get_mut(..pairs.len()) else {
                    return 0;
                };
                for (octet, pair) in room.iter_mut().zip(pairs) {
                    *octet = encoder.encode(*pair);
                }
                pairs.len()
            }
            EncoderKind::Opus(encoder) => encoder.encode(samples, payload),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Coding; 4] = [
        Coding::G711(Law::A),
        Coding::G711(Law::Mu),
        Coding::G722,
        Coding::Opus,
    ];

    fn tone(rate: u32, hz: f64, count: usize) -> Vec<i16> {
        let sample = |at| {
            let phase = std::f64::consts::TAU * hz * at as f64 / f64::from(rate);
            (8_000.0 * phase.sin()) as i16
        };
        (0..count).map(sample).collect()
    }

    /// How much of a signal is a tone, against all the rest, in dB: the tone that fits best is taken off.
    fn tone_to_rest_db(samples: &[i16], rate: u32, hz: f64) -> f64 {
        let step = std::f64::consts::TAU * hz / f64::from(rate);
        let (mut re, mut im, mut all) = (0.0, 0.0, 0.0);
        for (at, sample) in samples.iter().enumerate() {
            let (value, phase) = (f64::from(*sample), step * at as f64);
            re += value * phase.cos();
            im += value * phase.sin();
            all += value * value;
        }
        let own = 2.0 * (re * re + im * im) / samples.len() as f64;
        10.0 * (own / (all - own).max(1.0)).log10()
    }

    /// A tone through an encoder and a decoder.
    fn through(coding: Coding, rate: u32, hz: f64) -> Vec<i16> {
        let mut encoder = Encoder::new(coding, rate);
        let mut decoder = Decoder::new(coding, rate);
        let rate = encoder.rate();
        let frame = rate as usize / 50;
        let mut heard = Vec::new();
        for samples in tone(rate, hz, 100 * frame).chunks_exact(frame) {
            let mut payload = [0; MAX_PAYLOAD_BYTES];
            let length = encoder.encode(samples, &mut payload);
            assert!(decoder.decode(&payload[..length], &mut heard));
        }
        assert_eq!(heard.len(), 100 * frame);
        // What the codec needs to begin is left out: whole periods of a tone of 1 kHz remain.
        heard.split_off(20 * frame)
    }

    #[test]
    fn a_tone_comes_out_of_every_codec_as_it_went_in() {
        for (coding, rate, least_db) in [
            (Coding::G711(Law::A), 8_000, 35.0),
            (Coding::G711(Law::Mu), 8_000, 35.0),
            (Coding::G722, 16_000, 35.0),
            (Coding::G722, 8_000, 35.0),
            (Coding::Opus, 16_000, 15.0),
            (Coding::Opus, 8_000, 15.0),
        ] {
            let heard = through(coding, rate, 1_000.0);
            let db = tone_to_rest_db(&heard, rate, 1_000.0);
            assert!(db > least_db, "{coding:?} at {rate}: {db:.1} dB");
        }
    }

    #[test]
    fn a_tone_survives_every_pair_of_codecs() {
        for from in ALL {
            for to in ALL {
                let rate = from.joint_rate(to);
                let heard = through(from, rate, 1_000.0);
                let mut encoder = Encoder::new(to, rate);
                let mut decoder = Decoder::new(to, rate);
                let mut end = Vec::new();
                for samples in heard.chunks_exact(rate as usize / 50) {
                    let mut payload = [0; MAX_PAYLOAD_BYTES];
                    let length = encoder.encode(samples, &mut payload);
                    assert!(decoder.decode(&payload[..length], &mut end));
                }
                let db = tone_to_rest_db(&end[rate as usize / 5..], rate, 1_000.0);
                assert!(db > 14.0, "{from:?} to {to:?}: {db:.1} dB");
            }
        }
    }

    #[test]
    fn what_only_wideband_has_stays_between_wideband_codecs() {
        for coding in [Coding::G722, Coding::Opus] {
            let heard = through(coding, 16_000, 6_000.0);
            let db = tone_to_rest_db(&heard, 16_000, 6_000.0);
            assert!(db > 10.0, "{coding:?}: {db:.1} dB");
        }
    }

    /// A voice of 120 Hz that rises and falls as words do.
    fn voice(rate: u32, count: usize) -> Vec<i16> {
        let sample = |at: usize| {
            let time = at as f64 / f64::from(rate);
            let wave = (1..20).map(|over| {
                let over = f64::from(over);
                (std::f64::consts::TAU * 120.0 * over * time).sin() / over
            });
            let level = 1.0 + 0.8 * (std::f64::consts::TAU * 3.0 * time).sin();
            (3_000.0 * level * wave.sum::<f64>()) as i16
        };
        (0..count).map(sample).collect()
    }

    fn payloads(coding: Coding, rate: u32) -> Vec<Vec<u8>> {
        let mut encoder = Encoder::new(coding, rate);
        let frame = rate as usize / 50;
        let encoded = |samples: &[i16]| {
            let mut payload = vec![0; MAX_PAYLOAD_BYTES];
            let length = encoder.encode(samples, &mut payload);
            payload.truncate(length);
            payload
        };
        voice(rate, 100 * frame)
            .chunks_exact(frame)
            .map(encoded)
            .collect()
    }

    /// Power of the difference of two signals, and of the first.
    fn error_and_power(truth: &[i16], heard: &[i16]) -> (f64, f64) {
        let pairs = truth.iter().zip(heard);
        let error = pairs.map(|(one, other)| (f64::from(*one) - f64::from(*other)).powi(2));
        let power = truth.iter().map(|one| f64::from(*one).powi(2));
        (error.sum(), power.sum())
    }

    #[test]
    fn concealment_under_5_percent_loss_beats_silence() {
        for (coding, rate) in [
            (Coding::G711(Law::A), 8_000),
            (Coding::G722, 16_000),
            (Coding::Opus, 16_000),
        ] {
            let frame = rate as usize / 50;
            let mut decoders = [(); 2].map(|()| Decoder::new(coding, rate));
            let (mut truth, mut heard) = (Vec::new(), Vec::new());
            let (mut error, mut silence) = (0.0, 0.0);
            for (at, payload) in payloads(coding, rate).iter().enumerate() {
                decoders[0].decode(payload, &mut truth);
                if at % 20 == 17 {
                    decoders[1].conceal(frame, &mut heard);
                    let lost = at * frame..(at + 1) * frame;
                    let (own, power) = error_and_power(&truth[lost.clone()], &heard[lost]);
                    error += own;
                    silence += power;
                } else {
                    decoders[1].decode(payload, &mut heard);
                }
            }
            assert!(
                error < silence / 2.0,
                "{coding:?}: {:.2} of silence",
                error / silence
            );
        }
    }

    #[test]
    fn the_payload_before_is_repeated_in_one_of_opus() {
        let (rate, frame) = (16_000, 320);
        let payloads = payloads(Coding::Opus, rate);
        let (mut repeated, mut guessed) = (0.0, 0.0);
        for at in [41, 57, 73, 89] {
            let mut all = [(); 3].map(|()| (Decoder::new(Coding::Opus, rate), Vec::new()));
            for payload in &payloads[..at] {
                for (decoder, heard) in &mut all {
                    assert!(decoder.decode(payload, heard));
                }
            }
            let [(truth, known), (guess, made_up), (recovery, recovered)] = &mut all;
            assert!(truth.decode(&payloads[at], known));
            guess.conceal(frame, made_up);
            recovery.recover(&payloads[at + 1], frame, recovered);
            let lost = at * frame..(at + 1) * frame;
            guessed += error_and_power(&known[lost.clone()], &made_up[lost.clone()]).0;
            repeated += error_and_power(&known[lost.clone()], &recovered[lost]).0;
        }
        assert!(repeated < guessed / 2.0, "{:.2}", repeated / guessed);
    }

    #[test]
    fn what_is_no_payload_adds_nothing() {
        for coding in ALL {
            let mut decoder = Decoder::new(coding, 16_000);
            let mut samples = Vec::new();
            assert!(!decoder.decode(&[], &mut samples));
            assert!(!decoder.decode(&[0; MAX_PAYLOAD_BYTES + 1], &mut samples));
            assert!(samples.is_empty());
        }
    }

    #[test]
    fn packet_times_are_those_that_a_codec_has() {
        let of = |coding: Coding| [10, 20, 30, 50, 60, 90].map(|ms| coding.packet_ms(ms));
        assert_eq!(of(Coding::Opus), [10, 20, 20, 40, 60, 60]);
        assert_eq!(of(Coding::G722), [10, 20, 30, 50, 60, 60]);
    }
}
