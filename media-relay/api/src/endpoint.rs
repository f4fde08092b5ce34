//! Facts about one leg's media: what we have, what was agreed.

use crate::{
    CryptoKey, DtlsTerms, EndpointId, Fingerprint, IceCredentials, IceTerms, RealmId, Suite,
};
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// IP family of an endpoint's sockets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What kind of media a stream carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StreamKind {
    /// `m=audio`.
    Audio,
}

/// What an endpoint needs before SDP can be written for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointSpec {
    /// Name of the endpoint; new in this session.
    pub endpoint: EndpointId,
    /// Realm whose addresses and ports to use.
    pub realm: RealmId,
    /// IP family of the sockets.
    pub family: Family,
    /// One entry per anchored `m=` line, at least one.
    pub streams: Vec<StreamSpec>,
    /// Whether it may take of the last ports, which are kept free of usual new calls.
    pub takes_last: bool,
}

/// One stream to reserve.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamSpec {
    /// Kind of media.
    pub kind: StreamKind,
    /// For which suites a fresh local key is to be made, strongest first; empty for plain RTP.
    pub protection: ProtectionWanted,
    /// Under which name and password checks of the peer are answered from now on (RFC 8445, lite);
    /// `None` answers none.
    pub ice: Option<IceCredentials>,
}

/// Which local key material a stream needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProtectionWanted {
    /// Plain RTP.
    None,
    /// One fresh master key per suite (MED-101).
    Sdes(Vec<Suite>),
    /// A certificate that handshakes are made under ([`LocalStream::fingerprint`]).
    Dtls,
    /// Both, for who learns later what the peer wants.
    Either(Vec<Suite>),
}

impl ProtectionWanted {
    /// The suites that a key is made for.
    pub fn suites(&self) -> &[Suite] {
        match self {
            Self::None | Self::Dtls => &[],
            Self::Sdes(suites) | Self::Either(suites) => suites,
        }
    }

    /// Whether a certificate is wanted.
    pub const fn has_certificate(&self) -> bool {
        match self {
            Self::None | Self::Sdes(_) => false,
            Self::Dtls | Self::Either(_) => true,
        }
    }
}

/// What was reserved for an endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalEndpoint {
    /// The endpoint this answers for.
    pub endpoint: EndpointId,
    /// In the order of [`EndpointSpec::streams`].
    pub streams: Vec<LocalStream>,
}

/// Local facts of one stream: what goes into our SDP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalStream {
    /// Advertised RTP address (the public one where the realm has 1:1 NAT); the port is even.
    pub rtp: SocketAddr,
    /// Advertised RTCP address, RTP port + 1; unused when rtcp-mux is agreed.
    pub rtcp: SocketAddr,
    /// One key per suite asked for, in the same order.
    pub keys: Vec<CryptoKey>,
    /// Of the certificate, where one was asked for.
    pub fingerprint: Option<Fingerprint>,
}

/// What one offer/answer exchange agreed for an endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Negotiated {
    /// In the order of [`EndpointSpec::streams`]; `None` where the `m=` line was refused.
    pub streams: Vec<Option<NegotiatedStream>>,
}

/// What one offer/answer exchange agreed for one stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NegotiatedStream {
    /// What its datagrams are.
    pub content: Content,
    /// Where the peer wants RTP. Unspecified address (`0.0.0.0`) means: send nothing (MED-066).
    pub remote_rtp: SocketAddr,
    /// Where the peer wants RTCP; equal to `remote_rtp` with rtcp-mux. Port 0 means: send none, the
    /// peer left no bandwidth for it (MED-024).
    pub remote_rtcp: SocketAddr,
    /// RTP and RTCP share a port (RFC 5761).
    pub rtcp_mux: bool,
    /// What flows, seen from us: `Send` means that we send to the peer and receive nothing.
    pub direction: Direction,
    /// Keys of both directions, or plain RTP.
    pub protection: Protection,
    /// Payload types agreed with this peer; packets with others are dropped (MED-052).
    pub payloads: Vec<PayloadBinding>,
    /// How the true source of the peer's media is found, without ICE.
    pub source: SourcePolicy,
    /// With whom checks decide on addresses; `None` where the peer makes none.
    pub ice: Option<Box<IceTerms>>,
    /// Packet time that we should send with, in milliseconds (10–60).
    pub ptime_ms: u8,
    /// What reports may take up; `None` where the peer does not say.
    pub reports: Option<ReportBandwidth>,
    /// Whether the peer asks for VoIP metrics beside our reports (RFC 3611 §4.7, MED-065).
    pub voip_metrics: bool,
}

/// Bandwidth that a peer leaves for the reports of both sides, in bit/s (RFC 3556). Intervals between ours follow it
/// (RFC 3550 §6.3.1); who has none of it sends none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ReportBandwidth {
    /// Of those that send media.
    pub senders: u32,
    /// Of all others.
    pub receivers: u32,
}

/// What the datagrams of a stream are. Both sides of a path must agree, else nothing passes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Content {
    /// RTP and RTCP.
    Rtp,
    /// UDPTL packets of a fax (ITU-T T.38), forwarded as they are. There are no payload types, no
    /// reports and no keys, and what arrives is told by this agreement, not by its looks (MED-332).
    Udptl,
}

/// Direction of a stream from our point of view.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// Both ways.
    SendReceive,
    /// We send only (the peer is `recvonly`).
    Send,
    /// We receive only (the peer is `sendonly`).
    Receive,
    /// Neither.
    Inactive,
}

impl Direction {
    /// Whether we send RTP to the peer.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendReceive | Self::Send)
    }

    /// Whether we accept RTP from the peer.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendReceive | Self::Receive)
    }

    /// The direction as the other side of the exchange writes it.
    pub const fn reversed(self) -> Self {
        match self {
            Self::SendReceive => Self::SendReceive,
            Self::Send => Self::Receive,
            Self::Receive => Self::Send,
            Self::Inactive => Self::Inactive,
        }
    }

    /// The direction with the given abilities.
    pub const fn from_parts(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendReceive,
            (true, false) => Self::Send,
            (false, true) => Self::Receive,
            (false, false) => Self::Inactive,
        }
    }
}

/// Keys of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Protection {
    /// Plain RTP.
    None,
    /// SDES: the key in our SDP protects what we send, the one in theirs what they send (MED-102).
    Sdes {
        /// Protects what we send.
        local: CryptoKey,
        /// Protects what the peer sends.
        remote: CryptoKey,
    },
    /// DTLS-SRTP: nothing flows before a handshake under these terms has made keys (MED-136).
    Dtls(DtlsTerms),
}

/// Identity of a payload format within a session: two endpoints that bind the same `FormatId` use
/// the same encoding, and packets are forwarded between them by rewriting the payload type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct FormatId(pub u16);

/// What a payload type means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Format {
    /// Encoding name as in `a=rtpmap`, for statistics and records.
    pub name: Cow<'static, str>,
    /// RTP clock rate in Hz.
    pub clock_hz: u32,
    /// What else it is.
    pub kind: FormatKind,
}

/// What a format is beside its name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FormatKind {
    /// A codec, or comfort noise.
    Audio,
    /// Events of RFC 4733, which share the SSRC and timestamps of the audio.
    Event,
    /// Opus, and what its receiver wants of it.
    Opus(OpusWishes),
}

/// What the receiver of Opus wants (RFC 7587 §6.1). All of it is heeded where the relay encodes; what passes is its sender's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct OpusWishes {
    /// Thousand bits a second on average at most (`maxaveragebitrate`); 0 without a limit.
    pub max_kbps: u16,
    /// Whether it plays no more than 8,000 samples a second (`maxplaybackrate`).
    pub is_narrow: bool,
    /// How its packets are made.
    pub packets: OpusPackets,
}

/// How packets of Opus are made. One value, as every call keeps several.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum OpusPackets {
    /// As the encoder likes.
    #[default]
    Plain,
    /// With what repeats the one before, if that was lost (`useinbandfec`).
    Fec,
    /// All of one length (`cbr`).
    Cbr,
    /// Both.
    FecCbr,
}

impl OpusPackets {
    /// The one with these.
    pub const fn of(has_fec: bool, is_cbr: bool) -> Self {
        match (has_fec, is_cbr) {
            (false, false) => Self::Plain,
            (true, false) => Self::Fec,
            (false, true) => Self::Cbr,
            (true, true) => Self::FecCbr,
        }
    }

    /// Whether each repeats the one before.
    pub const fn has_fec(self) -> bool {
        matches!(self, Self::Fec | Self::FecCbr)
    }

    /// Whether all have one length.
    pub const fn is_cbr(self) -> bool {
        matches!(self, Self::Cbr | Self::FecCbr)
    }
}

impl Format {
    /// What its receiver wants, if it is Opus and that is known.
    pub const fn opus_wishes(&self) -> Option<OpusWishes> {
        match self.kind {
            FormatKind::Opus(wishes) => Some(wishes),
            FormatKind::Audio | FormatKind::Event => None,
        }
    }
}

/// One payload type agreed with a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PayloadBinding {
    /// Payload type the peer sends us: the number in our SDP (MED-052).
    pub receive: u8,
    /// Payload type we send to the peer: the number in theirs.
    pub send: u8,
    /// Which format this is; the key of the payload map between endpoints.
    pub id: FormatId,
    /// What the format is.
    pub format: Format,
}

/// How the source address of a peer's media is found and fixed (MED-030).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum SourcePolicy {
    /// Only the address in the peer's SDP may send.
    Signalled,
    /// Learn within a short window, rank by closeness to what was signalled, then pin (MED-031).
    Restricted(Nearby),
    /// As `Restricted`, and within the window a stranger may be learnt where nobody else was heard.
    Open(Nearby),
}

/// Where else than at its described address a peer may be.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Nearby {
    /// Addresses that are known to be the peer's.
    pub ranges: AddressRanges,
    /// Address the peer's signalling comes from, which ranks below those.
    pub signalling: Option<IpAddr>,
}

/// Ranges of addresses, looked up in logarithmic time. Copies share them.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct AddressRanges(Option<Arc<[(IpAddr, IpAddr)]>>);

impl AddressRanges {
    /// From the first and the last address of each range, in any order.
    pub fn of(ranges: impl IntoIterator<Item = (IpAddr, IpAddr)>) -> Self {
        let mut all: Vec<_> = ranges.into_iter().filter(|own| own.0 <= own.1).collect();
        all.sort_unstable();
        // Where one ends behind the begin of the next the two are one; so each begins behind all before it.
        all.dedup_by(|next, kept| {
            let is_within = next.0 <= kept.1;
            if is_within {
                kept.1 = kept.1.max(next.1);
            }
            is_within
        });
        Self((!all.is_empty()).then(|| all.into()))
    }

    /// Whether an address is in one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let all = self.list();
        let behind = all.partition_point(|(first, _)| *first <= address);
        let nearest = behind.checked_sub(1).and_then(|at| all.get(at));
        nearest.is_some_and(|(_, last)| address <= *last)
    }

    /// First and last addresses, in order.
    pub fn list(&self) -> &[(IpAddr, IpAddr)] {
        self.0.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_ranges_that_overlap_and_in_no_gap() {
        let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
        let ranges = AddressRanges::of([
            (ip("203.0.113.64"), ip("203.0.113.79")),
            (ip("192.0.2.0"), ip("192.0.2.255")),
            (ip("192.0.2.16"), ip("192.0.2.31")),
            (ip("203.0.113.70"), ip("203.0.113.90")),
            (ip("2001:db8::"), ip("2001:db8::ffff")),
            (ip("198.51.100.9"), ip("198.51.100.1")),
        ]);
        assert_eq!(ranges.list().len(), 3, "{ranges:?}");
        for (address, wanted) in [
            ("192.0.2.0", true),
            ("192.0.2.200", true),
            ("192.0.3.0", false),
            ("203.0.113.63", false),
            ("203.0.113.85", true),
            ("203.0.113.91", false),
            ("198.51.100.5", false),
            ("2001:db8::9", true),
            ("2001:db8::1:0", false),
        ] {
            assert_eq!(ranges.contains(ip(address)), wanted, "{address}");
        }
        assert!(!AddressRanges::default().contains(ip("192.0.2.1")));
    }
}
