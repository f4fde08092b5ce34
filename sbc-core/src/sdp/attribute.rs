//! Attributes: raw access by name, and the simple typed ones (RFC 8866 §5.13, §6).

use super::connection::Address;
use super::description::Description;
use super::text;
use crate::octets::is_same_word;
use media_api::wire_layout;
use std::ops::Range;

/// One `a=` line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attribute<'a> {
    /// Name as written.
    pub name: &'a [u8],
    /// What follows the colon; `None` for a property attribute.
    pub value: Option<&'a [u8]>,
}

impl<'a> Attribute<'a> {
    fn trimmed((name, value): (&'a [u8], Option<&'a [u8]>)) -> Self {
        Self {
            name: name.trim_ascii(),
            value: value.map(<[u8]>::trim_ascii),
        }
    }
}

/// The attributes of one section, in order.
#[derive(Clone)]
pub struct Attributes<'a> {
    owner: &'a Description,
    lines: Range<usize>,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(owner: &'a Description, lines: Range<usize>) -> Self {
        Self { owner, lines }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        self.lines().map(Attribute::trimmed)
    }

    fn lines(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        self.owner.attribute_lines(self.lines.clone())
    }

    /// Those with a name. Names are compared without case: RFC 8866 §6 has them case-sensitive,
    /// T.38 and some vendors do not care.
    pub fn named<'n>(&self, name: &'n [u8]) -> impl Iterator<Item = Attribute<'a>> + use<'a, 'n> {
        self.lines()
            .filter(move |(own, _)| is_same_word(own.trim_ascii(), name))
            .map(Attribute::trimmed)
    }

    /// Whether there is one with this name.
    pub fn has(&self, name: &[u8]) -> bool {
        self.named(name).next().is_some()
    }

    /// Value of the first with this name.
    pub fn value(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.named(name).next()?.value
    }

    /// The first direction attribute.
    pub fn direction(&self) -> Option<Direction> {
        self.lines()
            .filter(|(_, value)| value.is_none())
            .find_map(|(name, _)| Direction::parse(name.trim_ascii()))
    }

    /// Certificate fingerprints.
    pub fn fingerprints(&self) -> impl Iterator<Item = Fingerprint<'a>> + use<'a> {
        self.named(b"fingerprint")
            .filter_map(|attribute| Fingerprint::parse(attribute.value?))
    }
}

/// A direction attribute, as its author means it: `SendOnly` says "I send, I do not receive".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Direction {
    /// `a=sendrecv`, also when nothing is written.
    SendRecv,
    /// `a=sendonly`
    SendOnly,
    /// `a=recvonly`
    RecvOnly,
    /// `a=inactive`
    Inactive,
}

impl Direction {
    /// The direction with this name.
    pub fn parse(name: &[u8]) -> Option<Self> {
        [
            Self::SendRecv,
            Self::SendOnly,
            Self::RecvOnly,
            Self::Inactive,
        ]
        .into_iter()
        .find(|direction| is_same_word(name, direction.name().as_bytes()))
    }

    /// Attribute name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// Whether the author sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the author wants to receive.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The direction with the given abilities.
    pub const fn from_parts(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// What is left of `self` in an answer to an offer of `offered` (RFC 3264 §6.1): we send only
    /// what the offerer receives, and the reverse.
    pub const fn answering(self, offered: Self) -> Self {
        Self::from_parts(
            self.sends() && offered.receives(),
            self.receives() && offered.sends(),
        )
    }
}

/// An `a=rtpmap` line (RFC 8866 §6.6).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RtpMap<'a> {
    /// Payload type, 0–127.
    pub payload_type: u8,
    /// Encoding name as written; compared without case.
    pub name: &'a str,
    /// Clock rate in Hz.
    pub clock_hz: u32,
    /// Channels, 1 unless written.
    pub channels: u8,
}

impl<'a> RtpMap<'a> {
    /// Reads `96 opus/48000/2`.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let (payload_type, rest) = text::split_field(value);
        let payload_type = text::number::<u8>(payload_type).filter(|&number| number < 128)?;
        let (encoding, _) = text::split_field(rest);
        let mut parts = encoding.split(|&byte| byte == b'/');
        let name = text::utf8(parts.next()?).filter(|name| !name.is_empty())?;
        let clock_hz = text::number::<u32>(parts.next()?).filter(|&clock| clock > 0)?;
        let channels = match parts.next() {
            // Some encoders write the field and leave it empty.
            None | Some(b"") => 1,
            Some(channels) => text::number::<u8>(channels)?.max(1),
        };
        Some(Self {
            payload_type,
            name,
            clock_hz,
            channels,
        })
    }
}

/// An `a=fmtp` line (RFC 8866 §6.15).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fmtp<'a> {
    /// Format it belongs to, as written.
    pub format: &'a [u8],
    /// Its parameters, uninterpreted.
    pub parameters: &'a [u8],
}

impl<'a> Fmtp<'a> {
    /// Reads `101 0-16`.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let (format, parameters) = text::split_field(value);
        (!format.is_empty()).then_some(Self { format, parameters })
    }
}

/// An `a=rtcp` line (RFC 3605).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rtcp<'a> {
    /// RTCP port.
    pub port: u16,
    /// RTCP address where it differs from the connection line.
    pub address: Option<Address<'a>>,
}

impl<'a> Rtcp<'a> {
    /// Reads `53020` or `53020 IN IP4 192.0.2.1`.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let mut fields = text::fields(value);
        let port = text::number(fields.next()?)?;
        let address = match (fields.next(), fields.next(), fields.next()) {
            (Some(_network), Some(kind), Some(address)) => Address::parse(kind, address),
            _ => None,
        };
        Some(Self { port, address })
    }
}

/// An `a=fingerprint` line (RFC 8122 §5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fingerprint<'a> {
    /// Hash function as written, `sha-256` for instance.
    pub hash: &'a [u8],
    /// Digest in upper or lower case hex with colons.
    pub digest: &'a [u8],
}

impl<'a> Fingerprint<'a> {
    /// Reads `sha-256 AB:CD:…`.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let (hash, digest) = text::split_field(value);
        let is_digest = !digest.is_empty()
            && digest
                .split(|&byte| byte == b':')
                .all(|pair| pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit));
        is_digest.then_some(Self { hash, digest })
    }
}

/// The DTLS or TCP role of an `a=setup` line (RFC 4145 §4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Setup {
    /// Will connect.
    Active,
    /// Will wait.
    Passive,
    /// Either.
    ActPass,
    /// Not now.
    HoldConn,
}

impl Setup {
    /// The role with this name.
    pub fn parse(value: &[u8]) -> Option<Self> {
        [Self::Active, Self::Passive, Self::ActPass, Self::HoldConn]
            .into_iter()
            .find(|setup| value.eq_ignore_ascii_case(setup.name().as_bytes()))
    }

    /// Attribute value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
            Self::HoldConn => "holdconn",
        }
    }
}

wire_layout! {
    enum Direction {
        0: SendRecv,
        1: SendOnly,
        2: RecvOnly,
        3: Inactive,
    }

    enum Setup {
        0: Active,
        1: Passive,
        2: ActPass,
        3: HoldConn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rtpmap_may_name_channels() {
        let map = RtpMap::parse(b"96  opus/48000/2").expect("rtpmap");
        assert_eq!((map.name, map.clock_hz, map.channels), ("opus", 48000, 2));
        assert_eq!(RtpMap::parse(b"0 PCMU/8000").expect("rtpmap").channels, 1);
        for bad in [
            &b"128 x/8000"[..],
            b"96 x",
            b"96 x/0",
            b"96 /8000",
            b"x y/1",
            b"",
        ] {
            assert!(RtpMap::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn an_answer_sends_only_what_the_offerer_receives() {
        use Direction::*;
        assert_eq!(SendRecv.answering(SendOnly), RecvOnly);
        assert_eq!(SendRecv.answering(RecvOnly), SendOnly);
        assert_eq!(SendRecv.answering(Inactive), Inactive);
        assert_eq!(SendOnly.answering(SendOnly), Inactive);
        assert_eq!(SendOnly.answering(SendRecv), SendOnly);
    }

    #[test]
    fn rtcp_may_name_an_address() {
        let rtcp = Rtcp::parse(b"53020 IN IP6 2001:db8::1").expect("rtcp");
        assert_eq!(rtcp.port, 53020);
        assert_eq!(
            rtcp.address.and_then(|address| address.ip()),
            Some("2001:db8::1".parse().expect("ip"))
        );
        assert!(Rtcp::parse(b"70000").is_none());
    }
}
