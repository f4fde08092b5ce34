//! Addresses of a description: `o=`, `c=` and `b=` (RFC 8866 §5.2, §5.7, §5.8).

use super::text;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address as written in SDP.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Address<'a> {
    /// An IP address.
    Ip(IpAddr),
    /// A host name. `something.invalid` says that the address is not known yet (RFC 6157 §4.1).
    Name(&'a str),
}

impl<'a> Address<'a> {
    /// Reads an address of type `IP4` or `IP6`; a multicast suffix (`/ttl/count`) is dropped.
    pub(super) fn parse(kind: &[u8], text: &'a [u8]) -> Option<Self> {
        let text = text.split(|&byte| byte == b'/').next().unwrap_or_default();
        let text = text::utf8(text)?;
        if text.is_empty() {
            return None;
        }
        if kind.eq_ignore_ascii_case(b"IP4") {
            if let Ok(address) = text.parse::<Ipv4Addr>() {
                return Some(Self::Ip(address.into()));
            }
        } else if kind.eq_ignore_ascii_case(b"IP6") {
            if let Ok(address) = text.parse::<Ipv6Addr>() {
                return Some(Self::Ip(address.into()));
            }
        } else {
            return None;
        }
        let is_name = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
            && text.bytes().any(|byte| byte.is_ascii_alphabetic());
        is_name.then_some(Self::Name(text))
    }

    /// The IP address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Name(_) => None,
        }
    }

    /// Whether nothing may be sent: `0.0.0.0`, `::` or a name under `.invalid` (SIP-508).
    pub fn is_unknown(&self) -> bool {
        match self {
            Self::Ip(address) => address.is_unspecified(),
            Self::Name(name) => {
                let name = name.trim_end_matches('.');
                name.len() >= 8
                    && name
                        .get(name.len() - 8..)
                        .is_some_and(|end| end.eq_ignore_ascii_case(".invalid"))
            }
        }
    }
}

impl std::fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A `c=` line.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Connection<'a> {
    /// Where media goes.
    pub address: Address<'a>,
}

impl<'a> Connection<'a> {
    /// Reads the value of a `c=` line; `None` unless it is `IN IP4|IP6 address`.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let mut fields = text::fields(value);
        let network = fields.next()?;
        let kind = fields.next()?;
        let address = fields.next()?;
        if !network.eq_ignore_ascii_case(b"IN") {
            return None;
        }
        Address::parse(kind, address).map(|address| Self { address })
    }
}

/// An `o=` line. Together the fields name a session; `version` counts its changes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Origin<'a> {
    /// User name, `-` where there is none.
    pub username: &'a [u8],
    /// Session id, digits by the RFC but compared as text.
    pub session_id: &'a [u8],
    /// Session version, digits by the RFC but compared as text.
    pub version: &'a [u8],
    /// Address type, `IP4` or `IP6`.
    pub address_type: &'a [u8],
    /// Address or host name, not used for media.
    pub address: &'a [u8],
}

impl<'a> Origin<'a> {
    /// Reads the value of an `o=` line; `None` unless all six fields are there.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        // The user name may not contain blanks, yet some gateways write their product name here:
        // the last five fields are what can be relied on.
        let mut from_end = value
            .trim_ascii()
            .rsplitn(6, |byte| matches!(byte, b' ' | b'\t'));
        let address = from_end.next()?;
        let address_type = from_end.next()?;
        let _network = from_end.next()?;
        let version = from_end.next()?;
        let session_id = from_end.next()?;
        let username = from_end.next()?;
        let all = [username, session_id, version, address_type, address];
        all.iter().all(|field| !field.is_empty()).then_some(Self {
            username,
            session_id,
            version,
            address_type,
            address,
        })
    }
}

/// A `b=` line.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Bandwidth<'a> {
    /// Modifier: `AS`, `TIAS`, `RS`, `RR` or another.
    pub modifier: &'a [u8],
    /// Value in kbit/s for `AS` and `CT`, in bit/s for `TIAS`, `RS` and `RR`.
    pub value: u64,
}

impl<'a> Bandwidth<'a> {
    /// Reads the value of a `b=` line.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let (modifier, amount) = text::split_at_mark(value, b':')?;
        Some(Self {
            modifier,
            value: text::number(amount.trim_ascii())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_gives_its_address_without_the_multicast_suffix() {
        let seen = Connection::parse(b"IN IP4 233.252.0.1/127").expect("connection");
        assert_eq!(seen.address.ip(), Some("233.252.0.1".parse().expect("ip")));
        assert!(Connection::parse(b"IN IP4").is_none());
        assert!(Connection::parse(b"IN IP4 300.1.1.1").is_none());
        assert!(Connection::parse(b"ATM NSAP 47").is_none());
    }

    #[test]
    fn an_unknown_address_may_be_written_in_three_ways() {
        for text in [
            "IN IP4 0.0.0.0",
            "IN IP6 ::",
            "IN IP6 x.invalid",
            "IN IP4 y.INVALID.",
        ] {
            let seen = Connection::parse(text.as_bytes()).expect("connection");
            assert!(seen.address.is_unknown(), "{text}");
        }
        let seen = Connection::parse(b"IN IP4 notinvalid").expect("connection");
        assert!(!seen.address.is_unknown());
    }

    #[test]
    fn an_origin_tolerates_blanks_in_the_user_name() {
        let seen = Origin::parse(b"Some Gateway 7 9 IN IP4 192.0.2.1").expect("origin");
        assert_eq!(seen.username, b"Some Gateway");
        assert_eq!((seen.session_id, seen.version), (&b"7"[..], &b"9"[..]));
        assert!(Origin::parse(b"- 7 9 IN IP4").is_none());
    }
}
