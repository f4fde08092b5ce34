//! A peer's description as facts, under the profile of its trunk.

use super::codec::Codec;
use super::dtls::PeerDtls;
use super::ice::PeerIce;
use super::incompatible::{Incompatible, Unusable};
use super::profile::{Ice, Lends, Profile, Srtp};
use crate::sdp::{
    Description, Direction, Fax, Lent, Lifetime, Media, MediaKind, RefusedLine, Transport,
};
use media_api::wire::{Reader, Wire, WireFault, Writer};
use media_api::{CryptoKey, Family, ReportBandwidth, Suite, wire_layout};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// What a description says, line by line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// One entry per `m=` line, in order.
    pub lines: Vec<LineFacts>,
}

/// What one `m=` line says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineFacts {
    /// The line as it would be refused.
    pub refused: RefusedLine,
    /// Its audio facts, or why it cannot be used on this trunk.
    pub audio: Result<AudioFacts, Unusable>,
    /// Its fax facts, if it is a usable T.38 line.
    pub fax: Option<FaxFacts>,
}

/// A usable T.38 line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FaxFacts {
    /// Transport protocol as written: `udptl` in either case.
    pub transport: String,
    /// Where the peer wants UDPTL packets.
    pub address: SocketAddr,
    /// What it says of its fax machine.
    pub fax: Fax,
}

/// A usable audio line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AudioFacts {
    /// Transport protocol as written.
    pub transport: String,
    /// Where the peer wants RTP; unspecified address if it must not be sent any (SIP-508), or if checks alone
    /// find it.
    pub rtp: SocketAddr,
    /// Where the peer wants RTCP if it is not multiplexed; port 0 if it wants none at all (MED-024).
    pub rtcp: SocketAddr,
    /// Whether the peer can have RTP and RTCP on one port.
    pub rtcp_mux: bool,
    /// What the peer does: with an unspecified address it does not receive, unless checks find it.
    pub direction: Direction,
    /// Payload types in the peer's order; unknown ones without codec.
    pub payloads: Vec<Payload>,
    /// Keys, or plain RTP.
    pub secured: Secured,
    /// Packet time that the peer wants, in milliseconds.
    pub ptime_ms: Option<u32>,
    /// Longest packet time that the peer takes, in milliseconds.
    pub maxptime_ms: Option<u32>,
    /// What it leaves for reports, if it says so.
    pub reports: Option<ReportBandwidth>,
    /// Whether the peer asks for VoIP metrics.
    pub voip_metrics: bool,
    /// What it says of its ICE agent, on a trunk that speaks ICE.
    pub ice: Option<Box<PeerIce>>,
    /// Its place in its own words, where somebody else may be told of it and there is one.
    pub lent: Option<Arc<Lent>>,
}

impl AudioFacts {
    /// The peer's agent, where a trunk with this ICE deals with it: whoever names another place than its candidates was
    /// changed on the way by somebody that knows no ICE, and is dealt with as if it had none (RFC 8839 §4.2.5, MED-151).
    pub fn agent(&self, ice: Ice) -> Option<&PeerIce> {
        let peer = self.ice.as_deref()?;
        let is_known = match ice {
            Ice::Off => false,
            Ice::Bypass => true,
            Ice::Lite => !peer.is_mismatched(self.rtp),
        };
        is_known.then_some(peer)
    }
}

/// One payload type of a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payload {
    /// The peer's number for it.
    pub number: u8,
    /// What it is; `None` for a dynamic number without `a=rtpmap`.
    pub codec: Option<Codec>,
}

/// How a peer's media is protected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Secured {
    /// Plain RTP.
    Plain,
    /// SDES: the usable lines, in the peer's order, at least one. Those with a key identifier among them.
    Sdes(Vec<OfferedKey>),
    /// DTLS-SRTP: keys come of a handshake.
    Dtls(PeerDtls),
}

impl Secured {
    /// What it says of DTLS, if that is how its media is protected.
    pub fn dtls(&self) -> Option<&PeerDtls> {
        match self {
            Self::Dtls(peer) => Some(peer),
            Self::Plain | Self::Sdes(_) => None,
        }
    }
}

/// One usable `a=crypto` line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfferedKey {
    /// Its tag.
    pub tag: u32,
    /// The name of its suite as the peer spells it.
    pub name: &'static str,
    /// Protects what the peer sends (MED-102).
    pub key: CryptoKey,
}

impl Facts {
    /// The audio line to use: the first usable one (MED-026).
    pub fn main(&self) -> Result<(usize, &AudioFacts), Incompatible> {
        let mut why = None;
        for (index, line) in self.lines.iter().enumerate() {
            match &line.audio {
                Ok(audio) => return Ok((index, audio)),
                // The reason of the audio line that came closest says most.
                Err(unusable) => why = why.max(Some(*unusable)),
            }
        }
        Err(why.unwrap_or(Unusable::NotAudio).into())
    }

    /// The same, as if G.711 was what the peer likes best.
    #[must_use]
    pub fn with_g711_first(&self) -> Self {
        let mut facts = self.clone();
        for line in &mut facts.lines {
            if let Ok(audio) = &mut line.audio {
                let is_g711 = |own: &Payload| own.codec.as_ref().is_some_and(Codec::is_g711);
                audio.payloads.sort_by_key(|own| !is_g711(own));
            }
        }
        facts
    }

    /// Whether the audio line at this position is switched off, and no other is usable (SIP-550).
    pub fn is_switched_off(&self, at: usize) -> bool {
        let line = self.lines.get(at).map(|line| &line.audio);
        matches!(line, Some(Err(Unusable::PortZero))) && self.main().is_err()
    }

    /// The fax line of a switch to T.38: the first usable one, where no audio is wanted beside it.
    /// Offered together, the two are alternatives, and audio is what we can always do.
    pub fn fax(&self) -> Option<(usize, &FaxFacts)> {
        if self.lines.iter().any(|line| line.audio.is_ok()) {
            return None;
        }
        self.lines
            .iter()
            .enumerate()
            .find_map(|(index, line)| Some((index, line.fax.as_ref()?)))
    }
}

/// Reads a peer's offer or answer. Never fails as a whole: what cannot be used says why.
pub fn read(description: &Description, profile: &Profile) -> Facts {
    Facts {
        lines: description
            .media()
            .map(|media| LineFacts {
                refused: RefusedLine::of(&media),
                audio: read_audio(&media, description.ice_lite(), profile),
                fax: read_fax(&media, profile),
            })
            .collect(),
    }
}

fn read_fax(media: &Media<'_>, profile: &Profile) -> Option<FaxFacts> {
    let is_t38 = media.kind() == MediaKind::Image
        && media.transport() == Transport::Udptl
        && media
            .formats()
            .any(|format| format.eq_ignore_ascii_case(b"t38"));
    if !is_t38 || media.is_over_limit() || media.port() == 0 {
        return None;
    }
    let ip = read_place(media, profile).ok()?;
    (!ip.is_unspecified()).then(|| FaxFacts {
        transport: String::from_utf8_lossy(media.transport_text()).into_owned(),
        address: SocketAddr::new(ip, media.port()),
        fax: media.fax(),
    })
}

fn read_audio(media: &Media<'_>, is_lite: bool, profile: &Profile) -> Result<AudioFacts, Unusable> {
    if media.kind() != MediaKind::Audio {
        return Err(Unusable::NotAudio);
    }
    if media.is_over_limit() {
        return Err(Unusable::OverLimit);
    }
    if media.port() == 0 {
        return Err(Unusable::PortZero);
    }
    let secured = read_protection(media, profile)?;
    let ice = PeerIce::read(media, is_lite, profile);
    // Where checks decide, the address of the line is a default that nobody needs (TDR-MED-043), and a
    // blank one holds nobody (RFC 8839 §4.4.1.1.1).
    let is_found = ice.as_ref().is_some_and(PeerIce::is_found_by_checks);
    let ip = match read_place(media, profile) {
        Err(fault) if is_found && fault != Unusable::PortCount => unspecified(profile.family),
        place => place?,
    };
    let rtp = SocketAddr::new(ip, media.port());
    let rtcp_mux = media.rtcp_mux();
    let payloads = read_payloads(media, rtcp_mux);
    let has_codec = payloads.iter().any(|payload| {
        payload
            .codec
            .as_ref()
            // A number without a name may be one of ours in an answer.
            .is_none_or(|codec| codec.is_audio() && profile.admit(codec).is_some())
    });
    if !has_codec {
        return Err(Unusable::NoCodec);
    }
    let stated = media.direction();
    let may_be_sent = is_found || !ip.is_unspecified();
    // Who does a handshake with another party cannot be told of by us: its lines do not pass.
    let lends = match secured.dtls().is_some() || ip.is_unspecified() {
        true => Lends::Never,
        false => profile.lends,
    };
    let lent = match lends {
        Lends::Never => None,
        Lends::Whole => Some(Lent::of(media, rtp, is_lite)),
        Lends::OneAddress => Lent::one_of(media, rtp, is_lite),
    };
    Ok(AudioFacts {
        transport: String::from_utf8_lossy(media.transport_text()).into_owned(),
        rtp,
        rtcp: if has_no_reports(media) {
            SocketAddr::new(ip, 0)
        } else {
            read_rtcp(media, rtp, profile)
        },
        rtcp_mux,
        direction: Direction::from_parts(stated.sends(), stated.receives() && may_be_sent),
        payloads,
        secured,
        ptime_ms: media.ptime_ms().filter(is_packet_time),
        maxptime_ms: media.maxptime_ms().filter(is_packet_time),
        reports: report_bandwidth(media),
        voip_metrics: media.wants_voip_metrics(),
        ice: ice.map(Box::new),
        lent: lent.map(Arc::new),
    })
}

fn read_protection(media: &Media<'_>, profile: &Profile) -> Result<Secured, Unusable> {
    match (media.transport(), profile.srtp) {
        (Transport::RtpAvp | Transport::RtpAvpf, Srtp::Optional | Srtp::Required)
            if profile.keys_on_plain && !usable_keys(media, &profile.suites).is_empty() =>
        {
            Ok(Secured::Sdes(usable_keys(media, &profile.suites)))
        }
        (Transport::RtpAvp | Transport::RtpAvpf, Srtp::Off | Srtp::Optional) => Ok(Secured::Plain),
        (Transport::RtpAvp | Transport::RtpAvpf, Srtp::Required | Srtp::Dtls) => {
            Err(Unusable::SrtpRequired)
        }
        // Whoever can do both is taken at its keys, the one kind that is spoken here (TDR-MED-006).
        (Transport::DtlsSavp | Transport::DtlsSavpf, Srtp::Optional | Srtp::Required)
            if !usable_keys(media, &profile.suites).is_empty() =>
        {
            Ok(Secured::Sdes(usable_keys(media, &profile.suites)))
        }
        (Transport::RtpSavp | Transport::RtpSavpf, Srtp::Off) => Err(Unusable::SrtpOff),
        (Transport::RtpSavp | Transport::RtpSavpf, Srtp::Optional | Srtp::Required) => {
            let keys = usable_keys(media, &profile.suites);
            if keys.is_empty() {
                Err(Unusable::NoUsableKey)
            } else {
                Ok(Secured::Sdes(keys))
            }
        }
        // Old browsers write the protocol of SDES (MED-130).
        (Transport::RtpSavp | Transport::RtpSavpf, Srtp::Dtls)
            if media.fingerprints().is_empty() =>
        {
            Err(Unusable::DtlsRequired)
        }
        (
            Transport::DtlsSavp | Transport::DtlsSavpf | Transport::RtpSavp | Transport::RtpSavpf,
            Srtp::Dtls,
        ) => PeerDtls::read(media, profile.takes_sha1).map(Secured::Dtls),
        (
            Transport::DtlsSavp | Transport::DtlsSavpf,
            Srtp::Off | Srtp::Optional | Srtp::Required,
        ) => Err(Unusable::DtlsOff),
        (Transport::Udptl | Transport::Tcp | Transport::Other, _) => Err(Unusable::Transport),
    }
}

impl OfferedKey {
    /// Whether packets with this key carry no identifier of it. Of an offer, a line with one counts only
    /// where there is none without: those are understood by everybody (MED-106, TDR-MED-003).
    pub fn is_bare(&self) -> bool {
        self.key.identifier().is_empty()
    }
}

/// The keys of the lines that may be used, in the peer's order.
pub fn usable_keys(media: &Media<'_>, suites: &[Suite]) -> Vec<OfferedKey> {
    media
        .cryptos()
        .into_iter()
        .filter_map(|crypto| {
            let crypto = crypto.ok()?;
            let suite = Some(crypto.suite).filter(|suite| suites.contains(suite))?;
            // Several keys in one line would be told apart packet by packet.
            let [key] = &crypto.keys[..] else {
                return None;
            };
            let bare = CryptoKey::new(suite, key.expose_key_and_salt())?;
            let bare = match key.lifetime {
                Some(Lifetime(packets)) => bare.with_lifetime(packets),
                None => bare,
            };
            Some(OfferedKey {
                tag: crypto.tag,
                name: crypto.name,
                key: match key.mki {
                    Some(mki) => bare.with_identifier(mki.to_bytes()),
                    None => bare,
                },
            })
        })
        .collect()
}

/// The address of a line, if its media may be sent there.
fn read_place(media: &Media<'_>, profile: &Profile) -> Result<IpAddr, Unusable> {
    if media.port_count() > 1 {
        return Err(Unusable::PortCount);
    }
    let ip = read_address(media, profile)?;
    let at = SocketAddr::new(ip, media.port());
    let is_nowhere = ip.is_unspecified() || at.port() == DISCARD;
    if !is_nowhere && is_low(at, profile) {
        return Err(Unusable::LowPort);
    }
    match profile.own.forbid(at) {
        true => Err(Unusable::OwnPlace),
        false => Ok(ip),
    }
}

/// Whether media may be sent to an address as far as its port and our own places are concerned.
pub(super) fn is_served(at: SocketAddr, profile: &Profile) -> bool {
    at.port() != 0 && !is_low(at, profile) && !profile.own.forbid(at)
}

fn is_low(at: SocketAddr, profile: &Profile) -> bool {
    at.port() < LEAST_PORT && !profile.low_ports
}

/// Below are the ports of services, and a peer that names one may mean its neighbour's.
const LEAST_PORT: u16 = 1024;

/// Who does not know its port yet writes this one, where nobody listens (RFC 8840 §4.1.1).
pub(super) const DISCARD: u16 = 9;

fn read_address(media: &Media<'_>, profile: &Profile) -> Result<IpAddr, Unusable> {
    let family = profile.family;
    let address = media.connection().ok_or(Unusable::NoAddress)?.address;
    if address.is_unknown() {
        return Ok(unspecified(family));
    }
    let ip = address.ip().ok_or(Unusable::NoAddress)?;
    if !is_sendable(ip, profile.local) {
        return Err(Unusable::NoAddress);
    }
    let is_right = match family {
        Family::V4 => ip.is_ipv4(),
        Family::V6 => ip.is_ipv6(),
    };
    if is_right {
        Ok(ip)
    } else {
        Err(Unusable::Family)
    }
}

fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Whether media may be sent to an address (SEC-102): never to many at once, and to this very host or to
/// the link alone only where our own address is of that kind. Whoever offers `127.0.0.1` would have us
/// talk to what listens here for nobody else. An IPv4 address in the clothes of IPv6 counts as what it is.
pub fn is_sendable(ip: IpAddr, local: Option<IpAddr>) -> bool {
    let is_own_kind = |is_kind: fn(IpAddr) -> bool| {
        !is_kind(ip.to_canonical()) || local.is_some_and(|own| is_kind(own.to_canonical()))
    };
    let is_single = match ip.to_canonical() {
        IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_multicast(),
    };
    let is_link_local = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    is_single && is_own_kind(|ip| ip.is_loopback()) && is_own_kind(is_link_local)
}

/// Packets that are longer than any codec has, or so short that they would come in floods, are not carried to the
/// other leg as a wish (SEC-101).
fn is_packet_time(ms: &u32) -> bool {
    (5..=200).contains(ms)
}

/// What a description leaves for reports: as it says, else a twentieth of the line's bandwidth, a quarter of that for
/// senders (RFC 3556 §2); `None` if it says neither. What it does not say of one kind has no bound.
pub fn report_bandwidth(media: &Media<'_>) -> Option<ReportBandwidth> {
    let said = |modifier: &[u8]| media.bandwidth(modifier);
    let total = said(b"TIAS").or_else(|| Some(said(b"AS")?.saturating_mul(1_000)));
    let share = total.filter(|total| *total > 0).map(|total| total / 20);
    let senders = said(b"RS").or_else(|| share.map(|share| share / 4));
    let receivers = said(b"RR").or_else(|| share.map(|share| share - share / 4));
    let bounded = |bps: Option<u64>| u32::try_from(bps?).ok();
    (senders.is_some() || receivers.is_some()).then(|| ReportBandwidth {
        senders: bounded(senders).unwrap_or(u32::MAX),
        receivers: bounded(receivers).unwrap_or(u32::MAX),
    })
}

/// Whether the peer leaves RTCP no bandwidth, for senders and receivers alike (RFC 3556 §2).
fn has_no_reports(media: &Media<'_>) -> bool {
    [b"RS", b"RR"]
        .into_iter()
        .all(|modifier| media.bandwidth(modifier) == Some(0))
}

fn read_rtcp(media: &Media<'_>, rtp: SocketAddr, profile: &Profile) -> SocketAddr {
    // Port 65535 has no neighbour, and a peer that does not say where gets no reports.
    let beside = SocketAddr::new(rtp.ip(), rtp.port().checked_add(1).unwrap_or(0));
    match media.rtcp() {
        Some(rtcp) if rtcp.port != 0 => {
            let ip = rtcp
                .address
                .and_then(|address| address.ip())
                // RTCP to a third host would be an amplifier; RFC 3605 allows it, we do not.
                .filter(|ip| *ip == rtp.ip())
                .unwrap_or(rtp.ip());
            let at = SocketAddr::new(ip, rtcp.port);
            match is_served(at, profile) {
                true => at,
                // It gets none, and the call goes on.
                false => SocketAddr::new(ip, 0),
            }
        }
        _ => beside,
    }
}

fn read_payloads(media: &Media<'_>, rtcp_mux: bool) -> Vec<Payload> {
    let mut payloads: Vec<Payload> = Vec::new();
    for number in media.payload_types() {
        // With one port, 64–95 cannot be told from RTCP (RFC 5761 §4).
        let is_ambiguous = rtcp_mux && (64..=95).contains(&number);
        let is_repeated = payloads.iter().any(|payload| payload.number == number);
        if !is_ambiguous && !is_repeated {
            payloads.push(Payload {
                number,
                codec: Codec::of(media, number),
            });
        }
    }
    payloads
}

wire_layout! {
    struct FaxFacts { transport, address, fax }
    struct AudioFacts {
        transport, rtp, rtcp, rtcp_mux, direction, payloads, secured, ptime_ms, maxptime_ms, reports, voip_metrics, ice,
        lent,
    }
    struct Payload { number, codec }

    enum Secured {
        0: Plain,
        1: Sdes(keys),
        2: Dtls(peer),
    }
}

impl Wire for OfferedKey {
    fn put(&self, out: &mut Writer) {
        self.tag.put(out);
        self.name.to_owned().put(out);
        self.key.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        let tag = u32::take(from)?;
        let name = String::take(from)?;
        let (_, name) = Suite::from_name(name.as_bytes()).ok_or(WireFault::Value("suite"))?;
        let key = CryptoKey::take(from)?;
        Ok(Self { tag, name, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::Limits;
    use bytes::Bytes;

    #[test]
    fn what_is_left_for_reports_is_what_is_said_or_a_share_of_the_line() {
        let most = u32::MAX;
        for (of_session, of_line, wanted) in [
            ("", "", None),
            ("", "b=AS:0\r\n", None),
            ("", "b=AS:64\r\n", Some((800, 2_400))),
            ("b=AS:64\r\n", "b=TIAS:64400\r\n", Some((805, 2_415))),
            ("", "b=RS:600\r\nb=RR:2000\r\n", Some((600, 2_000))),
            ("b=RS:0\r\n", "b=RR:2000\r\n", Some((0, 2_000))),
            ("", "b=RR:0\r\n", Some((most, 0))),
            ("b=RR:0\r\n", "b=AS:64\r\n", Some((800, 0))),
            ("", "b=RS:99999999999\r\nb=RR:1\r\n", Some((most, 1))),
        ] {
            let text = format!(
                "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\n{of_session}t=0 0\r\n\
                 m=audio 4000 RTP/AVP 8\r\n{of_line}"
            );
            let description = Description::parse(Bytes::from(text), &Limits::default()).unwrap();
            let media = description.media().next().unwrap();
            let left = report_bandwidth(&media).map(|own| (own.senders, own.receivers));
            assert_eq!(left, wanted, "{of_session} {of_line}");
        }
    }
}
