//! The typed configuration: immutable, fully checked, shared as `Arc<Config>`.
//!
//! If a value of these types exists, it is valid: names resolve, ranges hold, files were read. The
//! form that operators write is another type (see `file`); `load` turns one into the other and
//! collects every finding.

mod able;
mod account;
mod acme;
mod api;
mod authorities;
mod case;
mod client;
mod cloud;
mod crossing;
mod database;
mod diff;
mod effective;
mod elin;
mod expression;
mod facts;
mod file;
mod finding;
mod guests;
mod habits;
mod header;
mod hep;
mod hosting;
mod identity;
mod inherit;
mod instead;
mod limit;
mod listen;
mod load;
mod local_media;
mod metrics;
mod money;
mod msgraph;
mod name;
mod notices;
mod oidc;
mod preset;
pub(crate) use preset::teams::OPTIONS_SECONDS;
mod progress;
mod read;
mod recorded;
mod reference;
mod registrar;
mod route;
mod rules;
mod schedule;
mod secrets;
mod security;
mod shell;
mod sound;
mod source;
mod sources;
mod starter;
mod stir;
mod tenant;
mod tie;
mod transfer;
mod trunk;
mod user;
mod value;
mod written;

pub use able::{Able, Derived};
pub use acme::{AcmeAccount, AcmeProof, ExternalAccount};
pub use api::{ApiListen, ApiRole, ApiUser, TokenHash};
pub use case::{CallIn, Case, MOST_CASES, What, Wish, parse_header};
pub use client::{ApiClient, ApiClients, Subject};
pub use cloud::Cloud;
pub use diff::{Change, Changes, changes};
pub use effective::{Effective, Setting, effective};
pub use elin::Elin;
pub use facts::{
    Assumed, Certificate, ExposedAt, Exposure, Facts, FileFault, Key, Password, Validity,
};
pub use finding::{Code, Finding, Findings, Severity, nearest};
pub use habits::{
    EmergencyHold, Habits, Isup, LostConnection, Merged, ReasonForm, Symmetric, UriScheme,
};
pub use header::{Action, action, is_configurable, may_be_stripped};
pub use hep::{Hep, HepCollector, HepLogs};
pub use hosting::Hosting;
pub use identity::{
    AssertedForm, ContactUser, DisplayForm, FromHost, IdentityPolicy, IdentitySource, NumberForm,
    OnError, Party, Redirect, Screening, SessionIdForm, UserPhone,
};
pub use limit::{
    CallLimits, Each, LimitRefusal, NumberLimit, SpendAction, SpendLimits, TrunkLimits,
};
pub use listen::{Belief, Listener, MediaBackend, Realm, TlsContext, VerifyClient};
pub use load::{Loaded, load};
pub use local_media::LocalMedia;
pub use metrics::{MOST_SERIES, MetricsListen};
pub(crate) use money::is_prefix;
pub use money::{Money, Price, Rates};
pub use msgraph::{GraphAccess, GraphProof, PresenceAccess};
pub use name::{covers, is_same_name};
pub use notices::NoticeListen;
pub use oidc::{ANY_TENANT, Oidc, OidcRole};
pub use progress::{
    EarlyDialogs, EarlyMedia, LateOffer, PROVISIONALS, ProgressPolicy, Rel100, Ringback, Ringing,
};
pub(crate) use recorded::MOST_RECORDED;
pub use recorded::{RecordRule, RecordedNumber};
pub use reference::{KeyReference, TableReference, reference};
pub use registrar::{Authenticate, CalledAs, Registrar};
pub use route::{
    NumberMatch, NumberRule, PresenceAction, PresenceRule, Route, RouteMatch, RouteTarget,
    Transform, TransformScope,
};
pub use schedule::Schedule;
pub use secrets::secrets;
pub use security::Confinement;
pub use shell::{
    CdrShip, CdrSpool, CdrStart, CdrTable, CdrTarget, MICROSOFT_ROOTS, MICROSOFT_ROOTS_OF,
    RevokedFiles, Shell, StirFiles, TlsFiles,
};
pub use sound::{
    Announcement, LONGEST_ANNOUNCEMENT, LONGEST_RECORDING, MOST_SAMPLES, Music, Recording,
    SAMPLES_PER_SECOND, SoundPolicy,
};
pub use source::{Place, Source};
pub use sources::Sources;
pub use starter::starter;
pub use stir::{StirFailure, StirMode, StirPolicy, StirTimes, VerstatForm};
pub use tenant::{NumberRange, Tenant};
pub use tie::TieBreak;
pub use transfer::{Refer, TransferPolicy};
pub use trunk::{
    AllDown, DidSource, Gin, HistoryForm, IpNet, Lookup, NO_SIGN_OF_LIFE, OnRemove, OptionsProbe,
    Preset, RefreshBy, Registration, SessionTimer, SipTimers, TargetAddress, Trunk, TrunkMedia,
    UdpOversize, UriForm,
};
pub use user::{UserId, Users};
pub use written::{Secret, TlsVersion};

use crate::id::{ListenerName, RealmName, SoundName, TenantName, TlsContextName, TrunkName};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Everything the core knows from the operator.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// Counts loads of this process, from 1.
    pub generation: u64,
    /// This node.
    pub node: Node,
    /// Network sides.
    pub realms: BTreeMap<RealmName, Arc<Realm>>,
    /// TLS identities (facts only; keys stay with the shell).
    pub tls: BTreeMap<TlsContextName, Arc<TlsContext>>,
    /// Signalling sockets.
    pub listeners: BTreeMap<ListenerName, Arc<Listener>>,
    /// Recordings that can be played.
    pub sounds: BTreeMap<SoundName, Arc<Recording>>,
    /// Customers.
    pub tenants: BTreeMap<TenantName, Arc<Tenant>>,
    /// Relations to peers.
    pub trunks: BTreeMap<TrunkName, Arc<Trunk>>,
    /// Number changes, in order of application.
    pub transforms: Vec<Arc<Transform>>,
    /// Routing rules, in order of preference.
    pub routes: Vec<Arc<Route>>,
    /// Limits on calls of the operator's choice; each that is about a call counts.
    pub number_limits: Vec<NumberLimit>,
    /// What calls cost.
    pub rates: Rates,
    /// Limits of the node.
    pub limits: NodeLimits,
    /// How signatures of callers are verified.
    pub stir: StirTimes,
    /// Where peers are, which follows from the trunks.
    pub sources: Sources,
    /// Which trunks are derived from which, which follows from them, too.
    pub hosting: Hosting,
}

/// This node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Unique name of the node; goes into records.
    pub id: String,
    /// What `User-Agent` and `Server` say.
    pub product: Product,
}

/// What a node says of its make in `User-Agent` and `Server`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Product {
    /// Nothing is written: Teams is told name and version (TDR-OPT-011), nobody else hears anything.
    Usual,
    /// An empty text is written: nobody is told.
    Hidden,
    /// This, to everybody.
    Told(String),
}

impl Node {
    /// What the peer of a trunk is told of our make; `None` sends it neither header.
    pub fn product(&self, trunk: &Trunk) -> Option<&str> {
        match &self.product {
            Product::Told(text) => Some(text),
            Product::Usual if trunk.preset == Preset::Teams => {
                Some(concat!("Causeway/", env!("CARGO_PKG_VERSION")))
            }
            Product::Usual | Product::Hidden => None,
        }
    }
}

/// Limits of the node that bound memory and time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeLimits {
    /// Calls at the same time; above it new calls get 503.
    pub calls: u32,
    /// New calls, and calls that are not answered yet, of all trunks together.
    pub new_calls: CallLimits,
    /// Calls at the same time whose legs have no codec in common by what is known before the INVITE; above it
    /// such a call is refused (MED-242). Unlimited by default.
    pub transcoding: Option<u32>,
    /// Longest set-up, from INVITE to answer (SIP-409), 240 s by default.
    pub max_setup: Duration,
    /// Longest call after answer; zero is unlimited, 14 400 s by default.
    pub max_duration: Duration,
    /// Silence on a leg that should send before the call is ended; zero is never, 300 s by default. Each minute before
    /// that, the session of the leg is refreshed: whoever has lost the call says so.
    pub media_timeout: Duration,
    /// Whether an ordinary call is ended where a call for help finds no room: the calls of the node,
    /// of a trunk or of a customer, its kbit/s, or the media ports (SIP-1401). Calls for help pass limits
    /// on our side anyway, but a limit usually stands for lines that are there or not: without this the
    /// peer refuses what we let pass, and a port that is not there cannot be passed. True by default,
    /// because a call that can be made again weighs less than one that may not; false where the law
    /// forbids it, or where those who call for help are less to be trusted than those who talk.
    pub preempt: bool,
    /// How many ordinary calls give way in a minute to calls for help from one trunk, 1 to 10,000; three
    /// times as many in the node. 10 by default: more lives than that are not saved by ending calls of
    /// others, and a peer that lies about its calls must not end all of them.
    pub preempt_per_minute: u32,
    /// Fewest calls of a quarter of an hour that are compared with those before (TDR-SEC-003), up to a
    /// million; zero is never. 30 by default: a handful of calls is unlike any other handful.
    pub unusual_calls: u32,
    /// How long calls may go on that are to end: all of them after the first SIGTERM, those of a trunk that is gone with
    /// [`OnRemove::Drain`] (OPS-121, OPS-130). Zero to 30 min, 30 s by default.
    pub last_calls: Duration,
}

impl Default for NodeLimits {
    fn default() -> Self {
        Self {
            calls: 10_000,
            new_calls: CallLimits::default(),
            transcoding: None,
            max_setup: Duration::from_secs(240),
            max_duration: Duration::from_secs(14_400),
            media_timeout: Duration::from_secs(300),
            preempt: true,
            preempt_per_minute: 10,
            unusual_calls: 30,
            last_calls: Duration::from_secs(30),
        }
    }
}
