//! What a datagram on a media port is, by its first octets: RFC 7983 §7 and RFC 5761 §4 (MED-131).

/// The protocol a datagram belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// First octet 0–3.
    Stun,
    /// First octet 16–19.
    Zrtp,
    /// First octet 20–63.
    Dtls,
    /// First octet 64–79.
    TurnChannel,
    /// First octet 128–191, second not an RTCP type.
    Rtp,
    /// First octet 128–191 and a second octet of 192–223.
    Rtcp,
    /// Empty, or a first octet that nobody has assigned.
    Unknown,
}

/// Classifies a datagram without looking further than its second octet.
pub fn classify(datagram: &[u8]) -> Class {
    match datagram.first() {
        Some(0..=3) => Class::Stun,
        Some(16..=19) => Class::Zrtp,
        Some(20..=63) => Class::Dtls,
        Some(64..=79) => Class::TurnChannel,
        Some(128..=191) => match datagram.get(1) {
            Some(192..=223) => Class::Rtcp,
            Some(_) => Class::Rtp,
            None => Class::Unknown,
        },
        Some(_) | None => Class::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_first_octet_has_the_class_of_rfc_7983() {
        for first in 0..=255u8 {
            let wanted = match first {
                0..=3 => Class::Stun,
                16..=19 => Class::Zrtp,
                20..=63 => Class::Dtls,
                64..=79 => Class::TurnChannel,
                128..=191 => Class::Rtp,
                _ => Class::Unknown,
            };
            assert_eq!(classify(&[first, 8]), wanted, "first octet {first}");
        }
        assert_eq!(classify(&[]), Class::Unknown);
        assert_eq!(classify(&[0x80]), Class::Unknown);
    }

    #[test]
    fn rtcp_types_are_told_from_payload_types_by_the_second_octet() {
        assert_eq!(classify(&[0x80, 200]), Class::Rtcp);
        assert_eq!(classify(&[0x80, 192]), Class::Rtcp);
        assert_eq!(classify(&[0x80, 223]), Class::Rtcp);
        assert_eq!(classify(&[0x80, 191]), Class::Rtp);
        assert_eq!(classify(&[0x80, 224]), Class::Rtp);
    }
}
