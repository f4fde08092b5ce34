//! G.711: A-law and µ-law to 16-bit samples and back (ITU-T G.711, RFC 3551 §4.5.14).

use crate::sound::g711::{a_law, a_law_of, mu_law, mu_law_of};

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
            Self::A => a_law(sample),
            Self::Mu => mu_law(sample),
        }
    }

    /// Turns octets of this law into those of the other one where they lie.
    pub fn to_other(self, octets: &mut [u8]) {
        let table = match self {
            Self::A => &A_TO_MU,
            Self::Mu => &MU_TO_A,
        };
        for octet in octets {
            *octet = table[usize::from(*octet)];
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

/// Octets of the other law.
static A_TO_MU: [u8; 256] = other(Law::A);
static MU_TO_A: [u8; 256] = other(Law::Mu);

const fn other(law: Law) -> [u8; 256] {
    let samples = table(law);
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        table[at] = match law {
            Law::A => mu_law_of(samples[at] as u16),
            Law::Mu => a_law_of(samples[at] as u16),
        };
        at += 1;
    }
    table
}

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
}
