//! How much of its lifetime a key has used up: MED-107, RFC 3711 §9.2, RFC 4568 §6.1.

/// One of so many parts of a lifetime is left when a new key is asked for.
const REST: u64 = 10;

/// Packets of SRTCP that any key may protect, 2³¹ (RFC 3711 §9.2).
pub(crate) const MOST_REPORTS: u64 = 1 << 31;

/// Packets under one key of one protocol.
#[derive(Debug)]
pub(crate) struct Wear {
    lifetime: u64,
    used: u64,
    /// With which packet somebody is to be told next.
    tell_at: u64,
}

impl Wear {
    pub(crate) fn new(lifetime: u64) -> Self {
        Self {
            lifetime,
            used: 0,
            tell_at: lifetime - lifetime / REST,
        }
    }

    /// Whether the key may protect nothing more.
    pub(crate) fn is_over(&self) -> bool {
        self.used >= self.lifetime
    }

    /// Whether a new key is wanted already.
    pub(crate) fn is_low(&self) -> bool {
        self.used >= self.lifetime - self.lifetime / REST
    }

    /// Counts a packet; says whether a new key is wanted: with nine tenths of them, and again whenever half
    /// of what was left is used up, because whoever was asked may have been refused.
    pub(crate) fn count(&mut self) -> bool {
        self.used += 1;
        if self.used < self.tell_at {
            return false;
        }
        self.tell_at = match self.lifetime.saturating_sub(self.used) {
            0 => u64::MAX,
            left => self.used + left.div_ceil(2),
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_asked_for_at_nine_tenths_and_at_every_half_of_the_rest_and_never_after_the_end()
    {
        let mut wear = Wear::new(1 << 10);
        let told: Vec<u64> = (1..3000).filter(|_| wear.count()).collect();
        assert_eq!(told, [922, 973, 999, 1012, 1018, 1021, 1023, 1024]);
        let mut wear = Wear::new(1);
        assert!(!wear.is_over() && wear.count() && wear.is_over() && !wear.count());
        assert_eq!(Wear::new(1 << 48).tell_at, 253_327_479_039_591);
    }
}
