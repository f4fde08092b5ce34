//! G.711: A-law and µ-law to 16-bit samples and back (ITU-T G.711, RFC 3551 §4.5.14).

/// Which of the two laws.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Law {
    /// PCMA.
    A,
    /// PCMU.
    Mu,
}

impl Law {
    /// The law of an encoding name at 8,000 Hz.
    pub fn of(name: &str, clock_hz: u32) -> Option<Self> {
        if clock_hz != 8_000 {
            None
        } else if name.eq_ignore_ascii_case("PCMA") {
            Some(Self::A)
        } else if name.eq_ignore_ascii_case("PCMU") {
            Some(Self::Mu)
        } else {
            None
        }
    }

    /// The sample that an octet stands for.
    pub fn decode(self, octet: u8) -> i16 {
        let table = match self {
            Self::A => &A_LAW,
            Self::Mu => &MU_LAW,
        };
        table[usize::from(octet)]
    }

    /// The octet that comes nearest to a sample.
    pub fn encode(self, sample: i16) -> u8 {
        match self {
            Self::A => encode_a(sample),
            Self::Mu => encode_mu(sample),
        }
    }

    /// The octet of silence.
    pub const fn silence(self) -> u8 {
        match self {
            Self::A => 0xd5,
            Self::Mu => 0xff,
        }
    }
}

/// Samples of all octets.
static A_LAW: [i16; 256] = table(Law::A);
static MU_LAW: [i16; 256] = table(Law::Mu);

const fn table(law: Law) -> [i16; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        table[at] = match law {
            Law::A => decode_a(at as u8),
            Law::Mu => decode_mu(at as u8),
        };
        at += 1;
    }
    table
}

const fn decode_a(octet: u8) -> i16 {
    let bits = octet ^ 0x55;
    let segment = (bits & 0x70) >> 4;
    let step = ((bits & 0x0f) as i16) << 4;
    let magnitude = match segment {
        0 => step + 8,
        _ => (step + 0x108) << (segment - 1),
    };
    if bits & 0x80 != 0 {
        magnitude
    } else {
        -magnitude
    }
}

const fn decode_mu(octet: u8) -> i16 {
    let bits = !octet;
    let segment = (bits & 0x70) >> 4;
    let step = ((bits & 0x0f) as i32) << 3;
    let magnitude = ((step + 0x84) << segment) - 0x84;
    if bits & 0x80 != 0 {
        -(magnitude as i16)
    } else {
        magnitude as i16
    }
}

fn encode_a(sample: i16) -> u8 {
    let (sign, magnitude) = match sample >= 0 {
        true => (0x80, sample),
        false => (0, !sample),
    };
    // In units of the smallest step, 16 of ours.
    let steps = (magnitude >> 4) as u16;
    let bits = match steps {
        0..16 => steps as u8,
        _ => {
            let segment = 12 - steps.leading_zeros() as u8;
            (segment << 4) | ((steps >> (segment - 1)) & 0x0f) as u8
        }
    };
    (bits | sign) ^ 0x55
}

fn encode_mu(sample: i16) -> u8 {
    const BIAS: i32 = 0x84;
    const CLIP: i32 = 32_635;
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(CLIP) + BIAS;
    let segment = 24 - magnitude.leading_zeros() as i32;
    let step = (magnitude >> (segment + 3)) & 0x0f;
    !(sign | (segment << 4) as u8 | step as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_comes_back() {
        for law in [Law::A, Law::Mu] {
            for octet in 0..=255 {
                let back = law.encode(law.decode(octet));
                // µ-law has two zeros.
                let is_zero = law == Law::Mu && octet == 0x7f && back == 0xff;
                assert!(back == octet || is_zero, "{law:?} {octet:#x} {back:#x}");
            }
        }
    }

    #[test]
    fn known_values_are_those_of_the_recommendation() {
        assert_eq!(Law::A.decode(0xd5), 8);
        assert_eq!(Law::A.decode(0x2a), -32_256);
        assert_eq!(Law::A.decode(0xaa), 32_256);
        assert_eq!(Law::Mu.decode(0xff), 0);
        assert_eq!(Law::Mu.decode(0x00), -32_124);
        assert_eq!(Law::Mu.decode(0x80), 32_124);
        assert_eq!(Law::of("pcmu", 8_000), Some(Law::Mu));
        assert_eq!(Law::of("PCMA", 16_000), None);
    }

    #[test]
    fn the_nearest_octet_is_never_further_than_a_step() {
        for law in [Law::A, Law::Mu] {
            for sample in (-32_000..32_000).step_by(7) {
                let off = i32::from(law.decode(law.encode(sample))) - i32::from(sample);
                assert!(
                    off.abs() <= 16 + i32::from(sample).abs() / 16,
                    "{law:?} {sample} {off}"
                );
            }
        }
    }
}
