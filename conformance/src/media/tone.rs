//! A tone in G.711 or G.722, and hearing whether it is there.

use super::g722::Band;
use super::sdp::Format;
use std::f64::consts::TAU;

/// Samples per second.
pub const RATE: u32 = 8_000;
/// Samples of a packet of 20 ms.
pub const SAMPLES: usize = 160;
/// Peak of the tone, about a third of full scale.
const PEAK: f64 = 10_000.0;

/// A codec with an octet for each sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Codec {
    /// G.711, A-law.
    Pcma,
    /// G.711, µ-law.
    Pcmu,
    /// G.722, of which two samples of 16,000 Hz share an octet: its lower half has what we play.
    G722,
}

/// What turns samples into octets, or octets into samples.
#[derive(Clone, Debug)]
pub enum Coder {
    /// G.711, A-law.
    Pcma,
    /// G.711, µ-law.
    Pcmu,
    /// G.722, which remembers what was before.
    G722(Box<Band>),
}

impl Codec {
    /// Which one an encoding name means.
    pub fn of(encoding: &str) -> Option<Self> {
        match encoding.to_ascii_uppercase().as_str() {
            "PCMA/8000" | "PCMA/8000/1" => Some(Self::Pcma),
            "PCMU/8000" | "PCMU/8000/1" => Some(Self::Pcmu),
            // Its clock is wrong on purpose (RFC 3551 §4.5.2).
            "G722/8000" | "G722/8000/1" => Some(Self::G722),
            _ => None,
        }
    }

    /// Name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcma => "PCMA",
            Self::Pcmu => "PCMU",
            Self::G722 => "G722",
        }
    }

    /// Its static payload type (RFC 3551 §6).
    pub fn payload_type(self) -> u8 {
        match self {
            Self::Pcma => 8,
            Self::Pcmu => 0,
            Self::G722 => 9,
        }
    }

    /// Begins a stream.
    pub fn coder(self) -> Coder {
        match self {
            Self::Pcma => Coder::Pcma,
            Self::Pcmu => Coder::Pcmu,
            Self::G722 => Coder::G722(Box::default()),
        }
    }

    /// As it stands in a description.
    pub fn format(self) -> Format {
        Format {
            payload_type: self.payload_type(),
            encoding: format!("{}/8000", self.name()),
        }
    }
}

impl Coder {
    /// One sample to one octet (ITU-T G.711, G.722).
    pub fn encode(&mut self, sample: i16) -> u8 {
        match self {
            Self::G722(band) => band.encode(sample),
            Self::Pcma => {
                let is_negative = sample < 0;
                let level = if is_negative { !sample } else { sample } >> 3;
                let segment = (level >> 5).checked_ilog2().map_or(0, |top| top + 1);
                let step = match segment {
                    0 | 1 => level >> 1,
                    segment => level >> segment,
                };
                let code = (segment as u8) << 4 | (step & 0x0F) as u8;
                code ^ if is_negative { 0x55 } else { 0xD5 }
            }
            Self::Pcmu => {
                let is_negative = sample < 0;
                let level = i32::from(sample).abs().min(32_635) + 132;
                let segment = (level >> 7).ilog2();
                let code = (segment as u8) << 4 | (level >> (segment + 3) & 0x0F) as u8;
                !(code | if is_negative { 0x80 } else { 0 })
            }
        }
    }

    /// One octet to one sample.
    pub fn decode(&mut self, octet: u8) -> i16 {
        match self {
            Self::G722(band) => band.decode(octet),
            Self::Pcma => {
                let code = octet ^ 0x55;
                let (segment, step) = (code >> 4 & 7, i16::from(code & 0x0F));
                let level = match segment {
                    0 => step << 4 | 8,
                    segment => (step << 4 | 0x108) << (segment - 1),
                };
                if code & 0x80 == 0 { -level } else { level }
            }
            Self::Pcmu => {
                let code = !octet;
                let level = (((i16::from(code & 0x0F) << 3) + 132) << (code >> 4 & 7)) - 132;
                if code & 0x80 == 0 { level } else { -level }
            }
        }
    }
}

/// Frequencies of keys (ITU-T Q.23), by row and column.
const KEYS: [&str; 4] = ["123A", "456B", "789C", "*0#D"];
const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];

/// A sine, or two, that goes on from packet to packet.
#[derive(Clone, Debug)]
pub struct Tone {
    hz: f64,
    /// The second of a key.
    and: Option<f64>,
    sample: u64,
    coder: Option<(Codec, Coder)>,
}

impl Tone {
    /// A tone of this frequency. A fraction of a hertz that does not divide the packet makes every
    /// packet differ from every other, so that each can be recognised where it arrives.
    pub fn new(hz: f64) -> Self {
        Self {
            hz,
            and: None,
            sample: 0,
            coder: None,
        }
    }

    /// What a key sounds like, if there is one with this name.
    pub fn of_key(key: char) -> Option<Self> {
        let (row, keys) = KEYS
            .iter()
            .enumerate()
            .find(|(_, keys)| keys.contains(key))?;
        Some(Self {
            hz: ROWS[row],
            and: Some(COLUMNS[keys.find(key)?]),
            sample: 0,
            coder: None,
        })
    }

    /// The next 20 ms.
    pub fn next(&mut self, codec: Codec) -> Vec<u8> {
        self.take(codec, SAMPLES)
    }

    /// So many samples more.
    pub fn take(&mut self, codec: Codec, samples: usize) -> Vec<u8> {
        let first = self.sample;
        self.sample += samples as u64;
        let known = self.coder.take().filter(|(of, _)| *of == codec);
        let (_, mut coder) = known.unwrap_or_else(|| (codec, codec.coder()));
        let octets = (first..self.sample)
            .map(|sample| {
                let sine = |hz: f64| (hz * sample as f64 / f64::from(RATE) * TAU).sin();
                let level = match self.and {
                    Some(and) => (sine(self.hz) + sine(and)) / 2.0,
                    None => sine(self.hz),
                };
                coder.encode((level * PEAK) as i16)
            })
            .collect();
        self.coder = Some((codec, coder));
        octets
    }
}

/// Level of a sine at full scale in dBm0.
#[expect(clippy::approx_constant, reason = "a level that only looks like pi")]
const FULL_SCALE: f64 = 3.14;

/// The level of samples in dBm0, of which a sine at full scale has 3.14 (ITU-T G.711 §4).
pub fn level(samples: &[i16]) -> f64 {
    let total: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    let mean = total / samples.len().max(1) as f64;
    let full = f64::from(i16::MAX).powi(2) / 2.0;
    10.0 * (mean / full).log10() + FULL_SCALE
}

/// Share of the energy of `samples` that lies at `hz`: 1 for that tone alone, 0 for silence
/// (Goertzel's algorithm).
pub fn share_at(hz: f64, samples: &[i16]) -> f64 {
    let total: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    if samples.is_empty() || total == 0.0 {
        return 0.0;
    }
    let turn = TAU * hz / f64::from(RATE);
    let (mut before, mut last) = (0.0, 0.0);
    for sample in samples {
        let next = f64::from(*sample) + 2.0 * turn.cos() * last - before;
        (before, last) = (last, next);
    }
    let power = last * last + before * before - 2.0 * turn.cos() * last * before;
    2.0 * power / (samples.len() as f64 * total)
}

/// The same in pieces of a tenth of a second: where somebody holds packets against jitter, the tone jumps in time
/// between them, which is heard as a click and as no other tone.
pub fn share_by_pieces(hz: f64, samples: &[i16]) -> f64 {
    let energy = |piece: &[i16]| piece.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
    let pieces = samples.chunks(RATE as usize / 10);
    let at_hz: f64 = pieces
        .map(|piece| share_at(hz, piece) * energy(piece))
        .sum();
    match energy(samples) {
        0.0 => 0.0,
        all => at_hz / all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_codes_of_g711() {
        for (sample, a, mu) in [
            (0_i16, 0xD5, 0xFF),
            (-1, 0x55, 0x7F),
            (i16::MAX, 0xAA, 0x80),
            (i16::MIN, 0x2A, 0x00),
        ] {
            assert_eq!(Codec::Pcma.coder().encode(sample), a, "A-law of {sample}");
            if sample != -1 {
                assert_eq!(Codec::Pcmu.coder().encode(sample), mu, "µ-law of {sample}");
            }
        }
    }

    #[test]
    fn every_code_comes_back_and_no_sample_strays_far() {
        for codec in [Codec::Pcma, Codec::Pcmu] {
            let mut coder = codec.coder();
            for octet in 0..=255_u8 {
                let sample = coder.decode(octet);
                // µ-law has two codes for zero.
                assert!(
                    coder.encode(sample) == octet || sample == 0,
                    "{codec:?} {octet:#x}"
                );
            }
            for sample in (i16::MIN..=i16::MAX).step_by(7) {
                let octet = coder.encode(sample);
                let off = i32::from(coder.decode(octet)) - i32::from(sample);
                let most = (i32::from(sample).abs() / 24).max(20);
                assert!(off.abs() <= most, "{codec:?} {sample} is off by {off}");
            }
        }
    }

    #[test]
    fn the_tone_is_heard_and_another_is_not() {
        let mut tone = Tone::new(437.3);
        let packets: Vec<Vec<u8>> = (0..50).map(|_| tone.next(Codec::Pcma)).collect();
        let mut coder = Codec::Pcma.coder();
        let octets = packets.concat().into_iter();
        let heard: Vec<i16> = octets.map(|octet| coder.decode(octet)).collect();
        assert!(share_at(437.3, &heard) > 0.98);
        assert!(share_at(611.7, &heard) < 0.01);
        // A jump in the middle is no other tone.
        let jumped = [&heard[..3_950], &heard[4_000..]].concat();
        assert!(share_by_pieces(437.3, &jumped) > 0.95);
        assert!(share_by_pieces(611.7, &jumped) < 0.02);
        assert_eq!(share_by_pieces(437.3, &[0; 100]), 0.0);
        assert_eq!(share_at(437.3, &[0; 100]), 0.0);
        for (index, packet) in packets.iter().enumerate() {
            assert!(
                !packets[..index].contains(packet),
                "packet {index} was there before"
            );
        }
    }
}
