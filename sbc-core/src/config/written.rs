//! The written form: what an operator may put into `causeway.toml` and `conf.d/*.toml`, with the
//! place of every value. A value that is absent or malformed is `None`; the second case has left a
//! finding.

use super::account::{WrittenDigest, WrittenRegister};
use super::case::WrittenCase;
use super::database::TableName;
use super::elin::WrittenElin;
use super::limit::{WrittenLimits, WrittenNumberLimit, WrittenTrunkLimits};
use super::money::WrittenRate;
use super::msgraph::WrittenGraph;
use super::preset::{self, Defaults};
use super::progress::WrittenProgress;
use super::registrar::{WrittenAuthenticate, WrittenRegistrar};
use super::rules::{WrittenPlan, WrittenRule};
use super::sound::{WrittenSound, WrittenSounds};
use super::source::{At, Span};
use super::transfer::WrittenTransfer;
use super::user::WrittenUsers;
use super::value::WrittenTarget;
use super::{
    AllDown, AssertedForm, Cloud, DisplayForm, HistoryForm, IdentitySource, IpNet, NumberForm,
    NumberRange, OnError, OnRemove, Party, Preset, Redirect, RefreshBy, Screening, SessionIdForm,
    UdpOversize, UserPhone, VerifyClient,
};
use crate::locate::FamilyOrder;
use crate::media::{Dtmf, FaxMode, HoldForm, Ice, RtpProfile, SourceMode, Srtp};
use crate::record::KeptNumbers;
use crate::transport::Protocol;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Everything that was written, in all files.
#[derive(Default)]
pub(super) struct File {
    pub(super) node: Option<WrittenNode>,
    pub(super) realms: Vec<WrittenRealm>,
    pub(super) sounds: Vec<WrittenSound>,
    pub(super) tls: Vec<WrittenTls>,
    pub(super) listeners: Vec<WrittenListener>,
    pub(super) tenants: Vec<WrittenTenant>,
    pub(super) trunks: Vec<WrittenTrunk>,
    pub(super) transforms: Vec<WrittenTransform>,
    pub(super) schedules: Vec<super::schedule::WrittenSchedule>,
    pub(super) routes: Vec<WrittenRoute>,
    pub(super) number_limits: Vec<WrittenNumberLimit>,
    pub(super) rates: Vec<WrittenRate>,
    pub(super) cases: Vec<WrittenCase>,
    pub(super) limits: WrittenNodeLimits,
    pub(super) cdr: Option<WrittenCdr>,
    pub(super) metrics: Option<At<SocketAddr>>,
    pub(super) metrics_tls: Option<At<String>>,
    pub(super) metrics_client_ca: Option<At<String>>,
    pub(super) metrics_crl: Option<At<String>>,
    pub(super) metrics_crl_issuers: Option<At<String>>,
    pub(super) max_series: Option<At<u64>>,
    pub(super) confinement: Option<At<super::Confinement>>,
    pub(super) api: super::api::WrittenApi,
    /// Path of the socket of the media relay.
    pub(super) relay: Option<At<String>>,
    pub(super) pin_workers: Option<At<bool>>,
    /// Whether an end of the daemon leaves calls to the next one.
    pub(super) preserves_calls: Option<At<bool>>,
    pub(super) dns: Option<At<Vec<At<SocketAddr>>>>,
    pub(super) stir: Option<super::stir::WrittenStirTable>,
    pub(super) acme: Option<super::acme::WrittenAcme>,
    pub(super) notices: Option<super::notices::WrittenNotices>,
    pub(super) hep: Option<super::hep::WrittenHep>,
}

pub(super) struct WrittenNode {
    pub(super) id: Option<At<String>>,
    pub(super) user_agent: Option<At<String>>,
    /// The folder of all sound files.
    pub(super) sounds: Option<At<String>>,
}

pub(super) struct WrittenRealm {
    pub(super) name: At<String>,
    pub(super) addresses: Option<At<Vec<At<IpAddr>>>>,
    pub(super) advertise_v4: Option<At<IpAddr>>,
    pub(super) advertise_v6: Option<At<IpAddr>>,
    pub(super) advertise_host: Option<At<String>>,
    pub(super) ports: Option<At<RangeInclusive<u16>>>,
    pub(super) dscp: Option<At<u8>>,
    pub(super) signalling_dscp: Option<At<u8>>,
    pub(super) media_backend: Option<At<super::MediaBackend>>,
}

pub(super) struct WrittenTls {
    pub(super) name: At<String>,
    pub(super) cert: Option<At<String>>,
    pub(super) key: Option<At<Secret>>,
    /// Whether the daemon gets the certificate itself, for these names.
    pub(super) acme: Option<At<bool>>,
    pub(super) names: Option<At<Vec<At<String>>>>,
    pub(super) client_ca: Option<At<String>>,
    pub(super) verify_client: Option<At<VerifyClient>>,
    pub(super) drain: Option<At<Duration>>,
    pub(super) max_age: Option<At<Duration>>,
    pub(super) crl: Option<At<String>>,
    pub(super) crl_issuers: Option<At<String>>,
    pub(super) min: Option<At<TlsVersion>>,
    pub(super) allow_wildcard: Option<At<bool>>,
}

/// Oldest TLS version that is spoken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TlsVersion {
    /// TLS 1.2, what Microsoft documents.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// Where a secret is found; never the secret itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Secret {
    /// In this file.
    File(String),
    /// In this environment variable.
    Env(String),
    /// In this systemd credential.
    Credential(String),
}

impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {path}"),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::Credential(name) => write!(f, "credential {name}"),
        }
    }
}

pub(super) struct WrittenListener {
    pub(super) name: Option<At<String>>,
    pub(super) span: Span,
    pub(super) realm: Option<At<String>>,
    pub(super) protocol: Option<At<Protocol>>,
    pub(super) port: Option<At<u16>>,
    pub(super) tls: Option<At<String>>,
    pub(super) tcp: Option<At<bool>>,
}

pub(super) struct WrittenTenant {
    pub(super) name: At<String>,
    pub(super) numbers: Vec<At<NumberRange>>,
    pub(super) local_numbers: Vec<At<NumberRange>>,
    /// The list, if there is one: an empty one says that nobody calls for help there.
    pub(super) emergency: Option<At<Vec<At<String>>>>,
    pub(super) elins: Vec<WrittenElin>,
    pub(super) elin_from_location: Option<At<bool>>,
    pub(super) elin_callback: Option<At<Duration>>,
    pub(super) graph: Option<WrittenGraph>,
    pub(super) users: WrittenUsers,
    pub(super) limits: WrittenLimits,
    pub(super) record_numbers: Option<At<KeptNumbers>>,
}

impl WrittenTenant {
    /// How often the presence of its users is asked for.
    pub(super) fn presence_every(&self) -> Option<Duration> {
        let presence = self
            .graph
            .as_ref()
            .and_then(|graph| graph.presence.as_ref());
        presence.map(|presence| presence.access().every)
    }
}

pub(super) struct WrittenTrunk {
    pub(super) name: At<String>,
    pub(super) span: Span,
    pub(super) tenant: Option<At<String>>,
    /// The carrier trunk that it is derived from.
    pub(super) inherits: Option<At<String>>,
    pub(super) preset: Option<At<WrittenPreset>>,
    pub(super) cloud: Option<At<Cloud>>,
    pub(super) mode: Option<At<Mode>>,
    pub(super) realm: Option<At<String>>,
    pub(super) tls: Option<At<String>>,
    pub(super) fqdn: Option<At<String>>,
    pub(super) targets: Option<At<Vec<At<PinnedTarget>>>>,
    pub(super) test_names: Option<At<Vec<At<PinnedTarget>>>>,
    pub(super) accept_from: Option<At<Vec<At<IpNet>>>>,
    pub(super) accept_names: Option<At<Vec<At<String>>>>,
    pub(super) trusted: Option<At<bool>>,
    pub(super) codecs: Option<At<Vec<At<String>>>>,
    pub(super) transcode: Option<At<super::read::TextsOrBoolean>>,
    pub(super) srtp: Option<At<Srtp>>,
    pub(super) codec_order: Option<At<CodecOrder>>,
    pub(super) answer_codecs: Option<At<AnswerCodecs>>,
    pub(super) single_codec: Option<At<bool>>,
    pub(super) allow_sha1: Option<At<bool>>,
    pub(super) best_effort_srtp: Option<At<bool>>,
    pub(super) srtp_suites: Option<At<Vec<At<String>>>>,
    pub(super) rtcp_mux: Option<At<bool>>,
    pub(super) rtp_profile: Option<At<RtpProfile>>,
    pub(super) ice: Option<At<Ice>>,
    pub(super) dtmf: Option<At<Dtmf>>,
    pub(super) hold: Option<At<HoldForm>>,
    pub(super) fax: Option<At<FaxMode>>,
    pub(super) nat: Option<At<SourceMode>>,
    pub(super) ptime: Option<At<u64>>,
    pub(super) low_media_ports: Option<At<bool>>,
    pub(super) media_bypass: Option<At<bool>>,
    pub(super) local_media: Option<super::local_media::WrittenLocalMedia>,
    pub(super) family: Option<At<media_api::Family>>,
    pub(super) t1: Option<At<Duration>>,
    pub(super) t2: Option<At<Duration>>,
    pub(super) t4: Option<At<Duration>>,
    pub(super) response_timeout: Option<At<Duration>>,
    pub(super) ring_timeout: Option<At<Duration>>,
    pub(super) connect: Option<At<Duration>>,
    pub(super) handshake: Option<At<Duration>>,
    pub(super) identity: WrittenIdentity,
    pub(super) options: Option<WrittenOptions>,
    pub(super) session_timer: Option<WrittenSessionTimer>,
    pub(super) dialog_ping: Option<At<Duration>>,
    pub(super) progress: WrittenProgress,
    pub(super) sounds: WrittenSounds,
    pub(super) limits: WrittenTrunkLimits,
    pub(super) pass_headers: Vec<At<String>>,
    pub(super) strip_headers: Vec<At<String>>,
    pub(super) set_headers: Vec<(At<String>, At<String>)>,
    pub(super) reroute_on: Option<Vec<At<u64>>>,
    pub(super) prefer: Option<At<FamilyOrder>>,
    pub(super) all_down: Option<At<AllDown>>,
    pub(super) on_remove: Option<At<OnRemove>>,
    pub(super) udp_oversize: Option<At<UdpOversize>>,
    pub(super) digest: Option<WrittenDigest>,
    pub(super) register: Option<WrittenRegister>,
    pub(super) authenticate: Option<WrittenAuthenticate>,
    pub(super) registrar: Option<WrittenRegistrar>,
    pub(super) redirect: Option<At<Redirect>>,
    pub(super) redirect_to: Option<At<Vec<At<String>>>>,
    pub(super) least_hops: Option<At<u64>>,
    pub(super) transfers: WrittenTransfer,
    pub(super) send_location: Option<At<bool>>,
    pub(super) uui_max: Option<At<u64>>,
    pub(super) session_id: Option<At<SessionIdForm>>,
    pub(super) crossing: super::crossing::WrittenCrossing,
    pub(super) habits: super::habits::WrittenHabits,
    pub(super) stir: super::stir::WrittenStir,
}

/// What `mode` says about the peer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It is where the targets say.
    Static,
    /// We register with it.
    Register,
    /// It registers with us.
    Registrar,
    /// It is Teams.
    Core,
}

/// What a trunk begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WrittenPreset {
    Carrier,
    /// A carrier or PBX that keeps to SIPconnect.
    SipConnect,
    Teams,
    /// An appliance of a branch that stands for Teams while that cannot be reached.
    Appliance,
}

impl WrittenPreset {
    /// Whose rules its peer follows.
    pub(super) const fn preset(self) -> Preset {
        match self {
            Self::Carrier | Self::SipConnect => Preset::Carrier,
            Self::Teams | Self::Appliance => Preset::Teams,
        }
    }

    pub(super) fn defaults(self, cloud: Cloud) -> Defaults {
        match self {
            Self::Carrier => preset::carrier::defaults(),
            Self::SipConnect => preset::sipconnect::defaults(),
            Self::Teams => preset::teams::defaults(cloud),
            Self::Appliance => preset::sba::defaults(),
        }
    }
}

impl Mode {
    pub(super) const fn preset(self) -> WrittenPreset {
        match self {
            Self::Static | Self::Register | Self::Registrar => WrittenPreset::Carrier,
            Self::Core => WrittenPreset::Teams,
        }
    }
}

#[derive(Default)]
pub(super) struct WrittenIdentity {
    /// In which header an identity is asserted, if at all.
    pub(super) egress: Option<At<Option<AssertedForm>>>,
    pub(super) history: Option<At<HistoryForm>>,
    pub(super) user_phone: Option<At<UserPhone>>,
    pub(super) transport_param: Option<At<bool>>,
    pub(super) sources: Option<Vec<At<IdentitySource>>>,
    pub(super) from: Option<At<Party>>,
    pub(super) asserted: Option<At<Party>>,
    pub(super) pilot: Option<At<String>>,
    pub(super) screening: Option<At<Screening>>,
    pub(super) display: Option<At<DisplayForm>>,
    pub(super) from_host: Option<At<String>>,
    pub(super) contact_user: Option<At<String>>,
    pub(super) params: Option<At<Vec<At<String>>>>,
    pub(super) number_form: Option<At<NumberForm>>,
    pub(super) on_error: Option<At<OnError>>,
    pub(super) hides_in_need: Option<At<bool>>,
    pub(super) anonymous_from: Option<At<bool>>,
    pub(super) screen_from: Option<At<bool>>,
    pub(super) from_change: Option<At<bool>>,
}

pub(super) enum WrittenOptions {
    /// `options = false`.
    Off(Span),
    Probe {
        interval: Option<At<Duration>>,
        ok: Option<Vec<At<u64>>>,
    },
}

pub(super) enum WrittenSessionTimer {
    /// `session_timer = false`.
    Off,
    Of {
        expires: Option<At<Duration>>,
        min_se: Option<At<Duration>>,
        refresher: Option<At<RefreshBy>>,
    },
}

/// A target with the addresses to use instead of asking the resolver.
pub(super) struct PinnedTarget {
    pub(super) target: WrittenTarget,
    pub(super) connect_to: Vec<SocketAddr>,
}

/// One destination of a route.
pub(super) struct WrittenHop {
    pub(super) trunk: At<String>,
    pub(super) weight: Option<At<u64>>,
}

pub(super) struct WrittenTransform {
    pub(super) name: At<String>,
    pub(super) trunk: Option<At<String>>,
    pub(super) is_inbound: Option<At<bool>>,
    pub(super) calling: Vec<WrittenRule>,
    pub(super) called: Vec<WrittenRule>,
    pub(super) redirecting: Vec<WrittenRule>,
    pub(super) record: Vec<super::recorded::WrittenRecord>,
    pub(super) plan: Option<WrittenPlan>,
}

pub(super) struct WrittenRoute {
    pub(super) name: At<String>,
    pub(super) span: Span,
    pub(super) from_trunk: Option<At<String>>,
    pub(super) tenant: Option<At<String>>,
    pub(super) called_in: Option<At<String>>,
    pub(super) called: Option<At<String>>,
    pub(super) calling: Option<At<String>>,
    pub(super) diverting: Option<At<String>>,
    pub(super) routing_number: Option<At<String>>,
    pub(super) to: Option<At<Vec<WrittenHop>>>,
    pub(super) max: Option<At<u64>>,
    pub(super) at_once: Option<At<bool>>,
    pub(super) emergency: Option<At<bool>>,
    pub(super) location_methods: Option<At<Vec<At<String>>>>,
    pub(super) any_tenant: Option<At<bool>>,
    pub(super) presence: Option<At<super::PresenceRule>>,
    pub(super) schedule: Option<At<String>>,
    pub(super) limits: WrittenLimits,
}

#[derive(Default)]
pub(super) struct WrittenNodeLimits {
    pub(super) calls: Option<At<u64>>,
    pub(super) cps: Option<At<u64>>,
    pub(super) setup: Option<At<u64>>,
    pub(super) transcoding: Option<At<u64>>,
    pub(super) max_setup: Option<At<Duration>>,
    pub(super) max_duration: Option<At<Duration>>,
    pub(super) media_timeout: Option<At<Duration>>,
    pub(super) preempt: Option<At<bool>>,
    pub(super) preempt_per_minute: Option<At<u64>>,
    pub(super) unusual_calls: Option<At<u64>>,
    pub(super) ladders: Option<At<u64>>,
    /// `on_sigterm` in `[drain]`.
    pub(super) last_calls: Option<At<Duration>>,
}

pub(super) struct WrittenCdr {
    pub(super) spool: Option<At<String>>,
    pub(super) rotate: Option<At<u64>>,
    pub(super) rotate_every: Option<At<Duration>>,
    pub(super) retention: Option<At<Duration>>,
    pub(super) retention_size: Option<At<u64>>,
    pub(super) sync_each: Option<At<bool>>,
    pub(super) interim: Option<At<Duration>>,
    pub(super) mandatory: Option<At<bool>>,
    pub(super) pairs: Option<At<bool>>,
    pub(super) start: Option<At<super::CdrStart>>,
    /// What makes names of numbers, for those who want no others kept.
    pub(super) number_key: Option<At<Secret>>,
    pub(super) ship: Option<WrittenShip>,
}

/// To whom records are sent.
pub(super) struct WrittenShip {
    pub(super) span: Span,
    pub(super) url: Option<At<String>>,
    pub(super) token: Option<At<Secret>>,
    pub(super) password: Option<At<Secret>>,
    pub(super) table: Option<At<TableName>>,
    pub(super) plain: Option<At<bool>>,
    pub(super) roots: Option<At<String>>,
    pub(super) batch: Option<At<u64>>,
}

/// In whose order codecs are offered on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CodecOrder {
    /// In that of the caller.
    Remote,
    /// In that of the trunk.
    Local,
}

/// Which codecs an answer of ours names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AnswerCodecs {
    /// The one to use.
    One,
    /// Every one that both have.
    All,
}
