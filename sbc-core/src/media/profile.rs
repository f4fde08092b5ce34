//! Media policy of a trunk.

use super::codec::Codec;
use super::own::OwnPlaces;
use crate::transport::nat::{hides, is_inside};
use media_api::{
    AddressRanges, EndpointId, EndpointSpec, Family, IceCredentials, Nearby, ProtectionWanted,
    RealmId, SourcePolicy, StreamKind, StreamSpec, Suite, wire_layout,
};
use std::net::IpAddr;
use std::sync::Arc;

/// How media is spoken on a trunk. Applies to every leg of the trunk, in both roles.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    /// Realm whose addresses and ports are used.
    pub realm: RealmId,
    /// IP family of that realm to use.
    pub family: Family,
    /// Our own address there, where it is known: it says whether peers on this host, or on the link
    /// alone, may be sent to.
    pub local: Option<IpAddr>,
    /// Where we are ourselves, as far as this peer's media may not be sent there.
    pub own: Arc<OwnPlaces>,
    /// Whether this peer's media may be at a port below 1024, where services are and no media.
    pub low_ports: bool,
    /// Whether media is SRTP.
    pub srtp: Srtp,
    /// Whether keys count that this peer writes on a line of plain RTP, as equipment does that leaves SRTP
    /// to whoever understands it. We write them there in answer to such an offer only.
    pub keys_on_plain: bool,
    /// Whether a certificate of this peer is known by a fingerprint of SHA-1 alone (MED-130).
    pub takes_sha1: bool,
    /// Allowed suites, preferred first; used when SRTP is on.
    pub suites: Vec<Suite>,
    /// Lifetime written behind our keys as a power of two, if any (TDR-MED-002).
    pub lifetime_exponent: Option<u8>,
    /// Allowed audio codecs. Their order counts where no offer gives one, or [`Self::own_order`] says so.
    pub codecs: Vec<Codec>,
    /// Whether calls from and to this peer are offered on in the order of its codecs here, not in that of the
    /// caller (MED-200).
    pub own_order: bool,
    /// Whether our answers name every codec that both parties have, not only the one to use (MED-201).
    pub answers_all: bool,
    /// Whether a peer that has answered with several codecs is offered the one in use again, alone: it cannot
    /// stand that we might change (MED-205).
    pub one_codec: bool,
    /// Whether this peer's audio may be transcoded.
    pub transcode: Transcode,
    /// Whether this peer is offered comfort noise although the other one has none: the relay makes audio of
    /// it for that one (MED-057, TDR-MED-023).
    pub offers_noise: bool,
    /// How digits travel.
    pub dtmf: Dtmf,
    /// Whether our offers carry `a=rtcp-mux`. An offered one is always accepted (MED-023).
    pub rtcp_mux: bool,
    /// The RTP profile of our offers. An answer has that of the offer (MED-022).
    pub rtp: RtpProfile,
    /// When `a=rtcp` is written.
    pub rtcp_line: RtcpLine,
    /// How this peer is told that it is on hold (SIP-551).
    pub hold: HoldForm,
    /// Whether this peer hears music of ours while the other party neither sends nor listens: it is told
    /// then that we send.
    pub plays_music: bool,
    /// Whether this peer understands `sendonly` and `recvonly`.
    pub one_way: OneWay,
    /// `a=ptime` of our descriptions in milliseconds (10–60), where the other leg names none.
    pub ptime_ms: u8,
    /// Whether that is also told where the other leg names another one; each side is packed for itself.
    pub own_ptime: bool,
    /// How the source of the peer's media is found.
    pub source: SourceMode,
    /// Addresses that are known to be the peer's.
    pub ranges: AddressRanges,
    /// How faxes travel.
    pub fax: FaxMode,
    /// Whether `a=rtpmap` is written of payload types that RFC 3551 has given a meaning.
    pub maps_static: bool,
    /// Whether we are a lite ICE agent for this peer, and under whose rules.
    pub ice: Ice,
    /// Whether others may be told where this peer's media are, to reach it without us (MED-312).
    pub lends: Lends,
}

/// What others may be told of where a peer's media are (MED-312).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Lends {
    /// Nothing: its media come to us.
    Never,
    /// All that it says, in its words.
    Whole,
    /// Its one default address: Teams takes no more (TDR-ICE-002, TDR-LMO-011).
    OneAddress,
}

/// Whether a peer's audio may be transcoded (MED-200). Both trunks of a call have a say.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Transcode {
    /// Never: a call needs a codec that both peers have.
    Never,
    /// Where the two peers have no codec in common.
    OnDemand,
    /// As on demand, and these are offered to this peer behind what the other one has, so that it may
    /// choose one although there is something in common.
    Offered(Vec<Codec>),
}

/// Whether a trunk speaks SRTP (MED-021).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Srtp {
    /// Plain RTP only.
    Off,
    /// SRTP by SDES where the peer takes it, plain RTP where it offers that, or refuses keys.
    Optional,
    /// SRTP by SDES only; never a fall-back to RTP (MED-100).
    Required,
    /// SRTP by DTLS only (MED-130); never a fall-back to keys in descriptions or to RTP.
    Dtls,
}

impl Srtp {
    /// Whether keys travel in descriptions.
    pub const fn is_by_description(self) -> bool {
        matches!(self, Self::Optional | Self::Required)
    }
}

/// Whether a trunk speaks ICE (RFC 8445).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ice {
    /// Candidates of the peer are ignored and none written (TDR-ICE-015).
    Off,
    /// Offers have ICE lines of a lite agent, answers where the offer has ICE. Nothing is sent before the peer has
    /// nominated a pair (RFC 8445 §12.1.1), and a description that names another place than its candidates makes the
    /// line one without ICE (MED-151).
    Lite,
    /// As `Lite` with the habits of Teams (TDR-ICE-001): media go to the best pair that a check has proven, and
    /// candidates count whatever the `c=` line says.
    Bypass,
}

/// The RTP profile that our offers name (MED-021).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RtpProfile {
    /// `RTP/AVP`, or `RTP/SAVP` and its like where there are keys.
    Avp,
    /// `RTP/AVPF` (RFC 4585), or `RTP/SAVPF` (RFC 5124) where there are keys, as WebRTC has it. No feedback is agreed
    /// with it: none passes the relay.
    Avpf,
}

impl RtpProfile {
    /// The transport protocol of a line of ours with this protection.
    pub(super) const fn transport(self, srtp: Srtp) -> &'static str {
        match (srtp, self) {
            (Srtp::Off, Self::Avp) => "RTP/AVP",
            (Srtp::Off, Self::Avpf) => "RTP/AVPF",
            (Srtp::Optional | Srtp::Required, Self::Avp) => "RTP/SAVP",
            (Srtp::Optional | Srtp::Required, Self::Avpf) => "RTP/SAVPF",
            (Srtp::Dtls, Self::Avp) => "UDP/TLS/RTP/SAVP",
            (Srtp::Dtls, Self::Avpf) => "UDP/TLS/RTP/SAVPF",
        }
    }
}

/// How DTMF digits travel on a trunk (MED-225).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Dtmf {
    /// `telephone-event` of RFC 4733, negotiated where the other leg has it or where its digits are
    /// turned into events.
    Rfc4733,
    /// In INFO requests only; `telephone-event` is left out.
    Info,
    /// In the audio only; `telephone-event` is left out.
    Inband,
    /// As `Rfc4733` where the peer agrees to events, else as `Info` where it takes INFO, else as
    /// `Inband`.
    Auto,
}

impl Dtmf {
    /// Whether `telephone-event` is offered and accepted.
    pub const fn negotiates_events(self) -> bool {
        matches!(self, Self::Rfc4733 | Self::Auto)
    }

    /// Whether digits may come and go in another way than events: then the other leg's events are
    /// made of them, and it is offered events though this one has none.
    pub const fn converts(self) -> bool {
        !matches!(self, Self::Rfc4733)
    }
}

/// How faxes travel on a trunk (SIP-570).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FaxMode {
    /// A switch to T.38 is carried to the other leg if that one has T.38 too.
    T38,
    /// In the audio: a switch to T.38 is refused, never offered.
    G711,
}

/// When `a=rtcp` is written (RFC 3605).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RtcpLine {
    /// Only if RTCP is not on the RTP port plus one.
    WhenNeeded,
    /// Always (TDR-MED-040).
    Always,
}

/// How a peer is told that it is on hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HoldForm {
    /// With the direction that describes what flows: `sendonly` where we still send.
    SendOnly,
    /// Always `inactive`.
    Inactive,
    /// With `c=0.0.0.0`, for equipment older than RFC 3264.
    Zero,
    /// Not at all: the peer's session stays `sendrecv`.
    Hidden,
}

/// Whether one-way directions may be written towards a peer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OneWay {
    /// `sendonly` and `recvonly` are understood.
    Understood,
    /// Only `sendrecv` and `inactive` are (TDR-HLD-001).
    Never,
}

/// How the source of a peer's media is found (MED-030).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SourceMode {
    /// Only the address in SDP may send.
    Off,
    /// As `Restricted` for a peer whose description shows that it is behind a NAT (MED-310), else as `Off`.
    Auto,
    /// Learnt within bounds, then fixed.
    Restricted,
    /// As `Restricted`; a stranger that sends first is taken for the peer.
    Open,
}

impl Profile {
    /// Defaults for a carrier: plain RTP, G.711 and what usually goes with it.
    pub fn carrier(realm: RealmId, family: Family) -> Self {
        Self {
            realm,
            family,
            local: None,
            own: Arc::default(),
            low_ports: false,
            srtp: Srtp::Off,
            keys_on_plain: false,
            takes_sha1: false,
            suites: Vec::new(),
            lifetime_exponent: None,
            codecs: vec![
                Codec::named("PCMA", 8000),
                Codec::named("PCMU", 8000),
                Codec::named("G722", 8000),
                Codec::named("G729", 8000),
            ],
            own_order: false,
            answers_all: false,
            one_codec: false,
            transcode: Transcode::OnDemand,
            offers_noise: false,
            dtmf: Dtmf::Rfc4733,
            rtcp_mux: false,
            rtp: RtpProfile::Avp,
            rtcp_line: RtcpLine::WhenNeeded,
            hold: HoldForm::SendOnly,
            plays_music: false,
            one_way: OneWay::Understood,
            ptime_ms: 20,
            own_ptime: false,
            source: SourceMode::Auto,
            ranges: AddressRanges::default(),
            fax: FaxMode::T38,
            maps_static: true,
            ice: Ice::Off,
            lends: Lends::Never,
        }
    }

    /// Defaults for a Teams Direct Routing trunk without media bypass: SDES with the one suite
    /// that is documented, rtcp-mux, hold as `inactive` only, G.729 without annex B
    /// (TDR-MED-001 to 028, TDR-MED-040, TDR-HLD-001).
    pub fn teams(realm: RealmId, family: Family) -> Self {
        Self {
            srtp: Srtp::Required,
            suites: vec![Suite::AesCm128HmacSha1_80],
            lifetime_exponent: Some(31),
            codecs: vec![
                Codec::named("PCMA", 8000),
                Codec::named("PCMU", 8000),
                Codec::named("G722", 8000),
                Codec::named("G729", 8000).with_fmtp("annexb=no"),
            ],
            offers_noise: true,
            rtcp_mux: true,
            rtcp_line: RtcpLine::Always,
            hold: HoldForm::Inactive,
            one_way: OneWay::Never,
            own_ptime: true,
            source: SourceMode::Restricted,
            fax: FaxMode::G711,
            ..Self::carrier(realm, family)
        }
    }

    /// What the relay has to reserve for a leg of this trunk whose agent has these credentials.
    pub(super) fn endpoint(
        &self,
        endpoint: EndpointId,
        ice: Option<IceCredentials>,
    ) -> EndpointSpec {
        EndpointSpec {
            takes_last: true,
            endpoint,
            realm: self.realm,
            family: self.family,
            streams: vec![StreamSpec {
                kind: StreamKind::Audio,
                protection: match self.srtp {
                    Srtp::Off => ProtectionWanted::None,
                    Srtp::Optional | Srtp::Required => ProtectionWanted::Sdes(self.suites.clone()),
                    Srtp::Dtls => ProtectionWanted::Dtls,
                },
                ice,
            }],
        }
    }

    /// What is left of `codec` on this trunk: `None` if it is not allowed, else the codec with the
    /// parameters that both can do (MED-202).
    pub fn admit(&self, codec: &Codec) -> Option<Codec> {
        if codec.is_telephone_event() {
            let ours = Codec::telephone_event(codec.clock_hz);
            return match self.dtmf.negotiates_events() {
                true => codec.common(&ours),
                false => None,
            };
        }
        if codec.is_comfort_noise() {
            return Some(codec.clone());
        }
        self.codecs.iter().find_map(|allowed| {
            if allowed.fmtp.is_none() && codec.is_same_encoding(allowed) {
                // Named without parameters, a codec is allowed with any.
                codec.common(codec)
            } else {
                codec.common(allowed)
            }
        })
    }

    /// Whether audio may be transcoded between peers with these two profiles.
    pub(super) fn may_transcode_with(&self, other: &Self) -> bool {
        self.transcode != Transcode::Never && other.transcode != Transcode::Never
    }

    /// Codecs that this peer can be offered although the other one, to whom `has_common` applies, has
    /// none of them.
    pub(super) fn made_for(&self, has_common: bool) -> impl Iterator<Item = Codec> {
        let always = |codec: &Codec| match &self.transcode {
            Transcode::Never | Transcode::OnDemand => false,
            Transcode::Offered(list) => list.iter().any(|own| own.joins(codec)),
        };
        let codecs = self.codecs.iter().filter(|codec| codec.is_made());
        let codecs = codecs.filter(move |codec| !has_common || always(codec));
        codecs.cloned().map(Codec::made_here)
    }

    /// How the media of a peer are found that describes itself at `described`, and whose signalling comes
    /// from `signalling`. A blank address says nothing, so that hold does not look like a way out of a NAT.
    pub(super) fn source_policy(
        &self,
        described: IpAddr,
        signalling: Option<IpAddr>,
    ) -> SourcePolicy {
        let is_hidden = |heard: IpAddr| match described.is_unspecified() {
            true => !is_inside(heard),
            false => hides(described, heard),
        };
        let nearby = Nearby {
            ranges: self.ranges.clone(),
            signalling,
        };
        match self.source {
            SourceMode::Off => SourcePolicy::Signalled,
            SourceMode::Auto if !signalling.is_some_and(is_hidden) => SourcePolicy::Signalled,
            SourceMode::Auto | SourceMode::Restricted => SourcePolicy::Restricted(nearby),
            SourceMode::Open => SourcePolicy::Open(nearby),
        }
    }
}

wire_layout! {
    enum Dtmf {
        0: Rfc4733,
        1: Info,
        2: Inband,
        3: Auto,
    }
}
