//! What a party's description says of its media, line by line.

use crate::formats::Payload;
use crate::request::{Transport as Wanted, Wishes};
use media_api::{
    AddressRanges, Content, CryptoKey, Direction, Family, Nearby, ReportBandwidth, SourcePolicy,
    Suite,
};
use sbc_core::media::{PeerDtls, PeerIce, is_reached};
use sbc_core::sdp::{Direction as Written, Media, MediaKind, Transport};
use std::net::{IpAddr, SocketAddr};

/// Suites that are spoken, those that everybody has first.
pub(crate) const SUITES: [Suite; 8] = Suite::ALL;

/// One usable `m=` line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    pub(crate) content: Content,
    pub(crate) rtp: SocketAddr,
    /// Where reports go that do not share the port of the media. Port 0: the party wants none.
    pub(crate) rtcp: SocketAddr,
    pub(crate) is_muxed: bool,
    /// As the party means it.
    pub(crate) direction: Written,
    pub(crate) payloads: Vec<Payload>,
    /// How the party protects its media.
    pub(crate) protection: Protection,
    /// Its agent, if it has one.
    pub(crate) ice: Option<PeerIce>,
    /// Whether it has one of which nothing can be believed, as somebody on the way has changed where media go.
    pub(crate) is_mismatched: bool,
    pub(crate) ptime_ms: u8,
    pub(crate) reports: Option<ReportBandwidth>,
    /// Whether the party asks for VoIP metrics.
    pub(crate) voip_metrics: bool,
}

/// Keys of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Protection {
    Plain,
    /// Those that can be used, with their tags, in the party's order; at least one.
    Sdes(Vec<(u32, CryptoKey)>),
    /// Those that a handshake makes.
    Dtls(PeerDtls),
}

impl Protection {
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Plain => Kind::Plain,
            Self::Sdes(_) => Kind::Sdes,
            Self::Dtls(_) => Kind::Dtls,
        }
    }
}

/// Where the keys of a line come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Plain,
    Sdes,
    Dtls,
}

/// Why a line is answered with port 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unused {
    /// Its author has switched it off.
    Off,
    /// Neither audio nor fax.
    Kind,
    /// More lines than are read.
    Limit,
    /// A transport that is not spoken.
    Transport,
    /// No address that media can be sent to.
    Address,
    /// SRTP without a key that can be used.
    Keys,
}

impl Line {
    pub(crate) fn read(
        media: &Media<'_>,
        is_lite: bool,
        local: IpAddr,
        wishes: &Wishes,
    ) -> Result<Self, Unused> {
        if media.is_over_limit() {
            return Err(Unused::Limit);
        }
        if media.port() == 0 {
            return Err(Unused::Off);
        }
        let content = match (media.kind(), media.transport()) {
            (MediaKind::Image, Transport::Udptl) => Content::Udptl,
            (MediaKind::Audio, transport) if transport.is_rtp() => Content::Rtp,
            (MediaKind::Audio, _) => return Err(Unused::Transport),
            _ => return Err(Unused::Kind),
        };
        let protection = match media.transport() {
            Transport::RtpAvp | Transport::RtpAvpf | Transport::Udptl => Protection::Plain,
            // Old browsers have a certificate there.
            Transport::RtpSavp | Transport::RtpSavpf => match keys(media) {
                Ok(keys) => Protection::Sdes(keys),
                Err(why) => certificate(media, wishes).ok_or(why)?,
            },
            Transport::DtlsSavp | Transport::DtlsSavpf => {
                certificate(media, wishes).ok_or(Unused::Keys)?
            }
            Transport::Tcp | Transport::Other => return Err(Unused::Transport),
        };
        let ice = match content {
            Content::Rtp if !wishes.rejects_ice => agent(media, is_lite, local),
            Content::Rtp | Content::Udptl => None,
        };
        let is_mismatched = ice.is_some() && is_mismatched(media);
        let ice = ice.filter(|_| !is_mismatched);
        let is_found = ice.as_ref().is_some_and(PeerIce::is_found_by_checks);
        let ip = match address(media, local, wishes) {
            // A browser hides its own behind a name.
            Err(_) if is_found => unspecified(local),
            address => address?,
        };
        let rtp = SocketAddr::new(ip, media.port());
        let stated = media.direction();
        Ok(Self {
            content,
            rtp,
            rtcp: reports(media, rtp),
            is_muxed: media.rtcp_mux(),
            direction: Written::from_parts(
                stated.sends(),
                stated.receives() && (is_found || !ip.is_unspecified()),
            ),
            payloads: Payload::of(media),
            protection,
            ice,
            is_mismatched,
            ptime_ms: packet_time(media),
            reports: sbc_core::media::report_bandwidth(media),
            voip_metrics: media.wants_voip_metrics(),
        })
    }

    /// The direction of its media as our side of them has it.
    pub(crate) fn ours(&self) -> Direction {
        Direction::from_parts(self.direction.receives(), self.direction.sends())
    }

    /// From where its media may come.
    pub(crate) fn source(wishes: &Wishes, anywhere: &AddressRanges) -> SourcePolicy {
        match wishes.is_asymmetric {
            true => SourcePolicy::Signalled,
            false => SourcePolicy::Restricted(Nearby {
                ranges: anywhere.clone(),
                signalling: wishes.received_from,
            }),
        }
    }
}

/// The transport that a line goes out with.
pub(crate) fn transport_of(media: &Media<'_>) -> Option<Wanted> {
    match media.transport() {
        Transport::RtpAvp => Some(Wanted::Avp),
        Transport::RtpAvpf => Some(Wanted::Avpf),
        Transport::RtpSavp => Some(Wanted::Savp),
        Transport::RtpSavpf => Some(Wanted::Savpf),
        Transport::DtlsSavp => Some(Wanted::DtlsSavp),
        Transport::DtlsSavpf => Some(Wanted::DtlsSavpf),
        _ => None,
    }
}

fn certificate(media: &Media<'_>, wishes: &Wishes) -> Option<Protection> {
    let peer = PeerDtls::read(media, false).ok();
    peer.filter(|_| !wishes.dtls.is_off).map(Protection::Dtls)
}

fn agent(media: &Media<'_>, is_lite: bool, local: IpAddr) -> Option<PeerIce> {
    let family = match local {
        IpAddr::V4(_) => Family::V4,
        IpAddr::V6(_) => Family::V6,
    };
    let serves =
        |address: SocketAddr| address.port() != 0 && is_reached(address.ip(), family, Some(local));
    PeerIce::of(media, is_lite, serves)
}

/// Whether media go, as the description has it, where none of the agent's candidates is (RFC 8839 §4.2.5). An address that
/// is none, the port 9, and a name are there for want of a better one.
fn is_mismatched(media: &Media<'_>) -> bool {
    let connection = media.connection().and_then(|own| own.address.ip());
    let is_missing = |component: u16, ip: Option<IpAddr>, port: u16| {
        let ip = ip.filter(|ip| !ip.is_unspecified() && !matches!(port, 0 | 9));
        let is_named = |ip| {
            let mut candidates = media.candidates();
            candidates.any(|own| {
                let address = own.address.parse::<IpAddr>();
                own.component == component && own.port == port && address == Ok(ip)
            })
        };
        ip.is_some_and(|ip| !is_named(ip))
    };
    let of_reports = media.rtcp().filter(|_| !media.rtcp_mux());
    is_missing(1, connection, media.port())
        || of_reports.is_some_and(|own| {
            let ip = own.address.map_or(connection, |address| address.ip());
            is_missing(2, ip, own.port)
        })
}

const fn unspecified(local: IpAddr) -> IpAddr {
    match local {
        IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    }
}

fn keys(media: &Media<'_>) -> Result<Vec<(u32, CryptoKey)>, Unused> {
    let mut usable = sbc_core::media::usable_keys(media, &SUITES);
    // A line with a key identifier is for where there is nothing else.
    usable.sort_by_key(|own| !own.is_bare());
    match usable.is_empty() {
        true => Err(Unused::Keys),
        false => Ok(usable.into_iter().map(|own| (own.tag, own.key)).collect()),
    }
}

fn address(media: &Media<'_>, local: IpAddr, wishes: &Wishes) -> Result<IpAddr, Unused> {
    let written = media.connection().ok_or(Unused::Address)?.address;
    if written.is_unknown() {
        return Ok(unspecified(local));
    }
    let behind_nat = wishes.received_from.filter(|_| wishes.is_behind_nat);
    let ip = behind_nat.or(written.ip()).ok_or(Unused::Address)?;
    let is_right = ip.is_ipv4() == local.is_ipv4();
    match is_right && sbc_core::media::is_sendable(ip, Some(local)) {
        true => Ok(ip),
        false => Err(Unused::Address),
    }
}

/// How long the packets are that a party is sent, in milliseconds.
fn packet_time(media: &Media<'_>) -> u8 {
    let most = media.maxptime_ms().unwrap_or(u32::MAX);
    let wanted = media.ptime_ms().unwrap_or(20).min(most).clamp(10, 60);
    u8::try_from(wanted).unwrap_or(20)
}

/// Where a party wants reports if they have a port of their own.
fn reports(media: &Media<'_>, rtp: SocketAddr) -> SocketAddr {
    let modifiers: [&[u8]; 2] = [b"RS", b"RR"];
    let mut bandwidths = modifiers.iter().map(|name| media.bandwidth(name));
    if bandwidths.all(|bandwidth| bandwidth == Some(0)) {
        return SocketAddr::new(rtp.ip(), 0);
    }
    let stated = media.rtcp().filter(|rtcp| rtcp.port != 0);
    // Reports to a third host would make us an amplifier: the port is believed, the address is not.
    let behind = rtp.port().checked_add(1);
    let without = if media.rtcp_mux() { rtp.port() } else { 0 };
    let port = stated.map_or(behind.unwrap_or(without), |rtcp| rtcp.port);
    SocketAddr::new(rtp.ip(), port)
}
