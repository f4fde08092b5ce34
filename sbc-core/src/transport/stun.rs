//! STUN as a keep-alive beside SIP: Binding requests and their answers, nothing else of RFC 5389
//! (RFC 5626 §4.4.2).
//!
//! A datagram that begins with two zero bits is none of SIP, and the magic cookie makes it one of STUN.

use bytes::Bytes;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What relates an answer to its request.
pub type StunId = [u8; 12];

/// A message that we understand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stun {
    /// Somebody asks where he is seen.
    Request(StunId),
    /// The answer: where we are seen, if it says so.
    Answer(StunId, Option<SocketAddr>),
}

/// Whether a datagram is meant as one of STUN.
pub fn is_stun(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER && datagram[0] & 0xc0 == 0 && datagram[4..8] == COOKIE
}

/// A Binding request.
pub fn request(id: StunId) -> Bytes {
    written(REQUEST, id, &[])
}

/// The answer to a Binding request that came from `seen`.
pub fn answer(id: StunId, seen: SocketAddr) -> Bytes {
    let port = seen.port() ^ u16::from_be_bytes([COOKIE[0], COOKIE[1]]);
    let (family, address): (u8, Vec<u8>) = match seen.ip() {
        IpAddr::V4(address) => (1, address.octets().to_vec()),
        IpAddr::V6(address) => (2, address.octets().to_vec()),
    };
    let length = u16::try_from(4 + address.len()).unwrap_or(0);
    let mut attribute = Vec::with_capacity(24);
    attribute.extend_from_slice(&XOR_MAPPED_ADDRESS.to_be_bytes());
    attribute.extend_from_slice(&length.to_be_bytes());
    attribute.extend_from_slice(&[0, family]);
    attribute.extend_from_slice(&port.to_be_bytes());
    attribute.extend(
        address
            .iter()
            .zip(mask(&id))
            .map(|(octet, mask)| octet ^ mask),
    );
    written(ANSWER, id, &attribute)
}

impl Stun {
    /// Reads a datagram; `None` for what is not understood completely, or needs no reaction.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        if !is_stun(datagram) {
            return None;
        }
        let (header, attributes) = datagram.split_at_checked(HEADER)?;
        let kind = u16::from_be_bytes([header[0], header[1]]);
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let id: StunId = header.get(8..)?.try_into().ok()?;
        if length != attributes.len() {
            return None;
        }
        let mut mapped = None;
        let mut rest = attributes;
        while let Some((head, after)) = rest.split_at_checked(4) {
            let name = u16::from_be_bytes([head[0], head[1]]);
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let value = after.get(..length)?;
            // Values are padded to four octets.
            rest = after.get(length.next_multiple_of(4)..).unwrap_or_default();
            match (kind, name) {
                (ANSWER, XOR_MAPPED_ADDRESS) => mapped = mapped.or(address(value, &id)),
                // What must be understood and is not makes a request one that we cannot answer.
                (REQUEST, ..0x8000) => return None,
                _ => {}
            }
        }
        match kind {
            REQUEST => Some(Self::Request(id)),
            // Whoever refuses is there.
            ANSWER | REFUSAL => Some(Self::Answer(id, mapped)),
            _ => None,
        }
    }
}

fn written(kind: u16, id: StunId, attributes: &[u8]) -> Bytes {
    let length = u16::try_from(attributes.len()).unwrap_or(0);
    let kind = kind.to_be_bytes();
    let length = length.to_be_bytes();
    Bytes::from([&kind[..], &length, &COOKIE, &id, attributes].concat())
}

fn address(value: &[u8], id: &StunId) -> Option<SocketAddr> {
    let [_, family, high, low, address @ ..] = value else {
        return None;
    };
    let port = u16::from_be_bytes([high ^ COOKIE[0], low ^ COOKIE[1]]);
    let plain: Vec<u8> = address
        .iter()
        .zip(mask(id))
        .map(|(octet, mask)| octet ^ mask)
        .collect();
    let address = match family {
        1 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(plain).ok()?)),
        2 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(plain).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

/// Octets that hide an address from those who would change it on the way.
fn mask(id: &StunId) -> impl Iterator<Item = u8> + '_ {
    COOKIE.iter().chain(id).copied()
}

const HEADER: usize = 20;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const REQUEST: u16 = 0x0001;
const ANSWER: u16 = 0x0101;
const REFUSAL: u16 = 0x0111;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

#[cfg(test)]
mod tests {
    use super::*;

    const ID: StunId = *b"twelve bytes";

    #[test]
    fn what_we_write_we_read() {
        assert_eq!(Stun::parse(&request(ID)), Some(Stun::Request(ID)));
        for seen in [
            "192.0.2.1:32853",
            "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
        ] {
            let seen: SocketAddr = seen.parse().unwrap();
            assert_eq!(
                Stun::parse(&answer(ID, seen)),
                Some(Stun::Answer(ID, Some(seen)))
            );
        }
    }

    /// The sample of RFC 5769 §2.2, without its integrity and fingerprint, and of §2.3.
    #[test]
    fn addresses_of_the_vectors_are_read() {
        let id: StunId = [
            0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae,
        ];
        let of = |attribute: &[u8]| Stun::parse(&written(ANSWER, id, attribute));
        let v4 = [
            0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43,
        ];
        let seen = "192.0.2.1:32853".parse().unwrap();
        assert_eq!(of(&v4), Some(Stun::Answer(id, Some(seen))));
        let v6 = [
            0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3,
            0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
        ];
        let seen = "[2001:db8:1234:5678:11:2233:4455:6677]:32853"
            .parse()
            .unwrap();
        assert_eq!(of(&v6), Some(Stun::Answer(id, Some(seen))));
    }

    #[test]
    fn what_is_cut_or_asks_for_more_is_not_answered() {
        let whole = answer(ID, "192.0.2.1:1".parse().unwrap());
        for length in 0..whole.len() {
            assert_eq!(Stun::parse(&whole[..length]), None);
        }
        // USERNAME has to be understood, SOFTWARE need not be.
        let asks = |name: u8| written(REQUEST, ID, &[name, 0x22, 0, 1, b'x', 0, 0, 0]);
        assert_eq!(Stun::parse(&asks(0x00)), None);
        assert_eq!(Stun::parse(&asks(0x80)), Some(Stun::Request(ID)));
        assert_eq!(
            Stun::parse(&written(REFUSAL, ID, &[])),
            Some(Stun::Answer(ID, None))
        );
        assert!(!is_stun(b"INVITE sip:a@example.com SIP/2.0\r\n"));
    }
}
