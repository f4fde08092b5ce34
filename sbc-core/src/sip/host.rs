//! Host part of URIs and Via: a name, an IPv4 address or an IPv6 reference.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;

use super::grammar::octets_as_str;
use super::{ParseFault, Rule};
use crate::octets::{ipv4, ipv4_begin, is_same_word, push_address};

/// `host` of RFC 3261 §25.1.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Host {
    /// A name; octets as written, compared without regard to case by [`Host::is`].
    Name(HostName),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, in brackets on the wire (RFC 5118).
    V6(Ipv6Addr),
}

/// A host name: labels of letters, digits, `-` and `_`, at most 255 octets.
///
/// `_` is not in the RFC's grammar but in the names of many machines.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HostName(Bytes);

impl HostName {
    /// The octets as written, all of them ASCII.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        octets_as_str(&self.0)
    }
}

impl Host {
    /// Reads a host that stands alone; an IPv6 address may come with or without brackets.
    pub fn parse(text: impl Into<Bytes>) -> Result<Self, ParseFault> {
        let text = text.into();
        let fault = ParseFault::new("host", Rule::Host, 0);
        if let Some(address) = ipv4(&text) {
            return Ok(Self::V4(address));
        }
        if text.is_empty() || text.len() > MAX_HOST {
            return Err(fault);
        }
        let spelled = octets_as_str(&text);
        if let Some(inner) = spelled
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            return inner.parse().map(Self::V6).map_err(|_| fault);
        }
        if text.contains(&b':') {
            return spelled.parse().map(Self::V6).map_err(|_| fault);
        }
        if !is_name(&text) {
            return Err(fault);
        }
        Ok(Self::Name(HostName(text)))
    }

    /// Reads `host [":" port]` up to the first octet that belongs to neither; returns what is left.
    pub(super) fn parse_with_port<'a>(
        source: &Bytes,
        input: &'a [u8],
    ) -> Result<(&'a [u8], Self, Option<u16>), Rule> {
        let (host, rest) = Self::begin(source, input)?;
        let Some(rest) = rest.strip_prefix(b":") else {
            return Ok((rest, host, None));
        };
        let mut port = 0_u32;
        let mut left = rest;
        while let [digit @ b'0'..=b'9', behind @ ..] = left {
            // Too large stays too large.
            port = (10 * port + u32::from(digit - b'0')).min(u32::from(u16::MAX) + 1);
            left = behind;
        }
        match u16::try_from(port) {
            Ok(port) if port != 0 => Ok((left, host, Some(port))),
            _ => Err(Rule::Port),
        }
    }

    /// Reads the host that an input begins with; returns what is left.
    fn begin<'a>(source: &Bytes, input: &'a [u8]) -> Result<(Self, &'a [u8]), Rule> {
        if let Some((address, rest)) = ipv4_begin(input)
            && !rest.first().is_some_and(|&octet| is_name_octet(octet))
        {
            return Ok((Self::V4(address), rest));
        }
        let end = match input.first() {
            Some(b'[') => memchr::memchr(b']', input).ok_or(Rule::Host)? + 1,
            _ => input
                .iter()
                .position(|&octet| !is_name_octet(octet))
                .unwrap_or(input.len()),
        };
        let (text, rest) = input.split_at_checked(end).ok_or(Rule::Host)?;
        let host = Self::parse(source.slice_ref(text)).map_err(|fault| fault.rule)?;
        Ok((host, rest))
    }

    /// The address, if this is not a name.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(address) => Some(IpAddr::V4(*address)),
            Self::V6(address) => Some(IpAddr::V6(*address)),
        }
    }

    /// Whether both are the same host: addresses by value, names without regard to case and to the dot that
    /// stands at the end of an absolute one (RFC 1034 §3.1).
    pub fn is(&self, other: &Host) -> bool {
        match (self, other) {
            (Self::Name(one), Self::Name(two)) => {
                is_same_word(without_root(&one.0), without_root(&two.0))
            }
            (one, two) => one == two,
        }
    }

    /// Whether this is the name `name`, in any mixture of upper and lower case, with a dot at its end or without.
    pub fn is_name(&self, name: &str) -> bool {
        let wanted = without_root(name.as_bytes());
        matches!(self, Self::Name(own) if is_same_word(without_root(&own.0), wanted))
    }

    /// Writes the host as it stands in a URI: IPv6 in brackets.
    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        match self {
            Self::Name(name) => out.extend_from_slice(&name.0),
            Self::V4(address) => push_address(out, IpAddr::V4(*address)),
            Self::V6(_) => out.extend_from_slice(self.to_string().as_bytes()),
        }
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(address),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name.as_str()),
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// Whether the text can be a name: no empty labels but for one final dot, no label that begins or
/// ends with a hyphen, and a last label that is not a number (else it would be a broken address).
fn is_name(text: &[u8]) -> bool {
    let text = text.strip_suffix(b".").unwrap_or(text);
    let mut last_is_number = false;
    for label in text.split(|&octet| octet == b'.') {
        let is_label = !label.is_empty()
            && label.first() != Some(&b'-')
            && label.last() != Some(&b'-')
            && label.iter().all(|&octet| is_name_octet(octet));
        if !is_label {
            return false;
        }
        last_is_number = label.iter().all(u8::is_ascii_digit);
    }
    !last_is_number
}

fn without_root(name: &[u8]) -> &[u8] {
    name.strip_suffix(b".").unwrap_or(name)
}

fn is_name_octet(octet: u8) -> bool {
    NAME[usize::from(octet)]
}

const NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut octet = 0;
    while octet < 256 {
        let o = octet as u8;
        table[octet] = o.is_ascii_alphanumeric() || matches!(o, b'-' | b'_' | b'.');
        octet += 1;
    }
    table
};

const MAX_HOST: usize = 255;
