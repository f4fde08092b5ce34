//! How well a caller is known: the level of attestation (RFC 8588 §4, ATIS-1000074).

use sha2::{Digest, Sha256};
use std::fmt;

/// Level of attestation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Level {
    /// The customer is known, and may use the number.
    A,
    /// The customer is known, the number is not.
    B,
    /// The call came in through a gateway.
    C,
}

impl Level {
    /// Reads `A`, `B` or `C`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "A" => Some(Self::A),
            "B" => Some(Self::B),
            "C" => Some(Self::C),
            _ => None,
        }
    }

    /// The letter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known of a caller when its call comes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// A customer of ours, and the number that its call shows is one of its own, or not.
    Customer {
        /// Whether the number is one of its own.
        owns_number: bool,
    },
    /// The rest of the world, and somebody has signed for the call, or nobody has.
    World {
        /// Whether somebody has.
        is_signed: bool,
    },
}

/// The level at which we could vouch for a call (SIP-1102). What comes signed from elsewhere is not for
/// us to vouch for.
pub const fn level(standing: Standing) -> Option<Level> {
    match standing {
        Standing::Customer { owns_number: true } => Some(Level::A),
        Standing::Customer { owns_number: false } => Some(Level::B),
        Standing::World { is_signed: false } => Some(Level::C),
        Standing::World { is_signed: true } => None,
    }
}

/// The name under which a customer's calls, or those of an entry point, are traced: a UUID that is the
/// same for all its calls on every node and after every restart (RFC 9562 §5.8).
pub fn origin_id(tenant: Option<&str>, trunk: &str) -> String {
    let mut sum = Sha256::new();
    sum.update(b"causeway origid\0");
    // A customer is one origin, whichever way its calls come in.
    match tenant {
        Some(tenant) => sum.update([b"tenant\0", tenant.as_bytes()].concat()),
        None => sum.update([b"trunk\0", trunk.as_bytes()].concat()),
    }
    let mut uuid = [0; 16];
    for (own, octet) in uuid.iter_mut().zip(sum.finalize()) {
        *own = octet;
    }
    let number = u128::from_be_bytes(uuid) & !(0xf << 76) & !(0x3 << 62) | 0x8 << 76 | 0x2 << 62;
    let text = format!("{number:032x}");
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default().to_owned();
    [
        part(0..8),
        part(8..12),
        part(12..16),
        part(16..20),
        part(20..32),
    ]
    .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_follows_from_what_is_known_of_the_caller() {
        let of = |owns_number| level(Standing::Customer { owns_number });
        assert_eq!((of(true), of(false)), (Some(Level::A), Some(Level::B)));
        let of = |is_signed| level(Standing::World { is_signed });
        assert_eq!((of(false), of(true)), (Some(Level::C), None));
    }

    #[test]
    fn an_origin_keeps_its_uuid() {
        let of = origin_id(Some("contoso"), "pbx");
        assert_eq!(of, origin_id(Some("contoso"), "other"));
        assert_ne!(of, origin_id(Some("fabrikam"), "pbx"));
        assert_ne!(of, origin_id(None, "contoso"));
        let parts: Vec<usize> = of.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(of.as_bytes()[14], b'8', "a version of our own: {of}");
        assert!(
            matches!(of.as_bytes()[19], b'8' | b'9' | b'a' | b'b'),
            "{of}"
        );
    }
}
