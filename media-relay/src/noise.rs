//! Noise of a quiet room, as loud as comfort noise says (RFC 3389 §3.1).

/// The level where nobody has told one.
pub(crate) const USUAL_LEVEL: u8 = 70;
/// Octets that say how loud it is keep their first bit.
const LEVEL: u8 = 0x7f;

/// Random enough for an ear (xorshift of 32 bits). What comfort noise may say of its spectrum is left out,
/// as a receiver is free to do (RFC 3389 §3.2).
#[derive(Clone, Debug)]
pub(crate) struct Noise {
    amplitude: i32,
    state: u32,
}

impl Noise {
    /// Noise of a level in -dBov, 0 to 127.
    pub(crate) fn of_level(level: u8) -> Self {
        Self {
            amplitude: amplitude(level),
            state: 0x9e37_79b9,
        }
    }

    /// As loud from now on as a payload says; one without an octet says nothing.
    pub(crate) fn told(&mut self, payload: &[u8]) {
        if let Some(level) = payload.first() {
            self.amplitude = amplitude(level & LEVEL);
        }
    }

    /// The next sample.
    pub(crate) fn sample(&mut self) -> i16 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        let unit = i32::from(self.state as i16);
        ((unit * self.amplitude) >> 15) as i16
    }
}

/// The largest sample of even noise of a level in -dBov: the square root of three times its mean.
fn amplitude(level: u8) -> i32 {
    (56_755.0 * 10f64.powf(-f64::from(level) / 20.0)).min(32_767.0) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_loud_as_it_was_told() {
        let mut noise = Noise::of_level(70);
        for (payload, level) in [
            (&[][..], 70.0),
            (&[40, 1, 2], 40.0),
            (&[0x80 | 55], 55.0),
            (&[30], 30.0),
        ] {
            noise.told(payload);
            let power: f64 = (0..8_000).map(|_| f64::from(noise.sample()).powi(2)).sum();
            let dbov = 10.0 * (power / 8_000.0).log10() - 20.0 * 32_768f64.log10();
            assert!((dbov + level).abs() < 1.0, "{dbov:.1}, not -{level}");
        }
    }
}
