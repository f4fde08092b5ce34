//! Trunks: configured relations to peers.

use super::identity::{IdentityPolicy, Redirect, SessionIdForm, UserPhone};
use super::registrar::{Authenticate, Registrar};
use super::{
    Cloud, Derived, Habits, LocalMedia, ProgressPolicy, SoundPolicy, StirPolicy, TransferPolicy,
    TrunkLimits,
};
use crate::auth::Account;
use crate::id::{ListenerName, RealmName, TenantName, TlsContextName, TrunkName};
use crate::locate::FamilyOrder;
use crate::media::Profile;
use crate::transport::Protocol;
use media_api::wire_layout;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A configured relation to a peer, with its policy.
#[derive(Clone, PartialEq, Debug)]
pub struct Trunk {
    /// Configured name.
    pub name: TrunkName,
    /// Its customer; `None` is a trunk shared by all tenants (`tenant = "*"`): calls from it belong
    /// to the tenant that owns the called number.
    pub tenant: Option<TenantName>,
    /// Which defaults it started from.
    pub preset: Preset,
    /// The cloud that it leads to, where it leads to Teams.
    pub cloud: Option<Cloud>,
    /// The carrier trunk that it is derived from.
    pub carrier: Option<TrunkName>,
    /// Network side of the peer.
    pub realm: RealmName,
    /// Listeners on which its requests arrive; the first is used for what we send, per protocol
    /// and address family of the target.
    pub listeners: Vec<ListenerName>,
    /// TLS identity towards this peer.
    pub tls: Option<TlsContextName>,
    /// Our name on this trunk: host of Contact, Via and From, and the Request-URI host that a
    /// hosting peer addresses. `None` uses the listener's advertised address.
    pub fqdn: Option<String>,
    /// Where its requests go, in order of preference.
    pub targets: Vec<TargetAddress>,
    /// Where Microsoft shows certificates of coming authorities, asked with OPTIONS once a day and called never
    /// (TDR-TLS-014).
    pub test_names: Vec<TargetAddress>,
    /// Which family of a target's addresses is tried first.
    pub prefer: FamilyOrder,
    /// What becomes of calls while every target is down.
    pub all_down: AllDown,
    /// What becomes of its calls when a reload has removed it (OPS-121).
    pub on_remove: OnRemove,
    /// Source addresses that belong to the peer; empty means the addresses of the targets.
    pub accept_from: Vec<IpNet>,
    /// Names of which a TLS peer's certificate must carry one; `*.` stands for one label.
    pub accept_names: Vec<String>,
    /// Whether the peer is in our trust domain: asserted identities pass.
    pub trusted: bool,
    /// How URIs are written for this peer.
    pub uri: UriForm,
    /// Media policy.
    pub media: TrunkMedia,
    /// How media of users inside the company is kept inside.
    pub local_media: Option<LocalMedia>,
    /// SIP timers.
    pub timers: SipTimers,
    /// Limits.
    pub limits: TrunkLimits,
    /// What becomes of requests that are too large for a datagram.
    pub udp_oversize: UdpOversize,
    /// Final statuses, and Q.850 causes below 128, after which the next target of the routing plan
    /// is tried.
    pub reroute_on: Vec<u16>,
    /// Health probing.
    pub options: Option<OptionsProbe>,
    /// Session timers; `None` takes part in none.
    pub session_timer: Option<SessionTimer>,
    /// Time between two OPTIONS within a call, which show whether the peer still has it; `None` sends
    /// none.
    pub dialog_ping: Option<Duration>,
    /// How calls make progress before they are answered.
    pub progress: ProgressPolicy,
    /// What its peers hear of ours.
    pub sounds: SoundPolicy,
    /// Methods of our `Allow` header on this trunk, in order.
    pub allow: Vec<crate::sip::Method>,
    /// Whether P-Asserted-Identity is written towards this peer, where trust allows it.
    pub send_asserted: bool,
    /// Whether earlier targets of a call are told to this peer.
    pub history: HistoryForm,
    /// Our account at the peer, which answers its challenges.
    pub digest: Option<Account>,
    /// Our registration with the peer, whose targets are its registrars.
    pub register: Option<Registration>,
    /// How its peer proves who it is; `None` where source and certificate are enough.
    pub authenticate: Option<Authenticate>,
    /// What its peer registers with us; calls then go to its bindings and to no targets.
    pub registrar: Option<Registrar>,
    /// Whether locations of calls for help are passed to this peer.
    pub send_location: bool,
    /// Whether Session-ID is written towards this peer.
    pub session_id: SessionIdForm,
    /// Most octets of User-to-User data that this peer gets, where the header is passed.
    pub uui_max: u16,
    /// Whose numbers are shown, and how.
    pub identity: IdentityPolicy,
    /// Fewest hops that a call of this peer may have left (Max-Forwards); 0 where any will do.
    pub least_hops: u8,
    /// What becomes of its redirections.
    pub redirect: Redirect,
    /// Beginnings of the numbers that it may redirect calls to, after its transforms; none is whatever
    /// routes let it call.
    pub redirect_to: Vec<String>,
    /// Its habits in small things.
    pub habits: Habits,
    /// Whether its callers dial while they call: an INVITE with more digits replaces the one before
    /// (RFC 3578).
    pub overlap: bool,
    /// Whether its offers within a call are always asked of the other party, also where they change
    /// nothing for it (SIP-544).
    pub relays_offers: bool,
    /// What becomes of signatures of callers.
    pub stir: StirPolicy,
    /// What becomes of its wishes to transfer calls.
    pub transfers: TransferPolicy,
    /// Headers copied unchanged from the other leg to this peer.
    pub pass_headers: Vec<String>,
    /// Headers never copied to this peer, although the built-in table would.
    pub strip_headers: Vec<String>,
    /// Extra fixed headers on every dialog-forming request and OPTIONS (`X-MS-SBC`).
    pub set_headers: Vec<(String, String)>,
    /// Whether a secret of it was not there when it was loaded: it has no peer then, in either direction.
    pub is_out_of_service: bool,
    /// What follows from all of this.
    pub derived: Derived,
}

impl Trunk {
    /// Takes away all that makes a peer of somebody: whoever cannot prove what they have to is a stranger, and what we
    /// cannot prove is not tried.
    pub(super) fn take_out_of_service(&mut self) {
        self.is_out_of_service = true;
        self.targets.clear();
        self.test_names.clear();
        self.accept_from.clear();
        self.accept_names.clear();
        self.options = None;
        self.register = None;
        self.registrar = None;
        self.authenticate = None;
        self.digest = None;
    }

    /// Our name as the proxy in front of the SBC that [`Self::fqdn`] names (TDR-LMO-020).
    pub fn proxy(&self) -> Option<&str> {
        self.local_media.as_ref()?.proxy.as_deref()
    }
}

/// Session timers of a trunk's legs (RFC 4028).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionTimer {
    /// Interval that we ask for and at most accept, in seconds, 90–86,400.
    pub expires_s: u32,
    /// Shortest interval that we accept, in seconds, 90–`expires_s`.
    pub min_se_s: u32,
    /// Who should refresh.
    pub refresher: RefreshBy,
}

/// Who should refresh the sessions of a trunk's legs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefreshBy {
    /// We, and our requests insist on it.
    Us,
    /// The peer, wherever it can.
    Peer,
    /// Whoever the peer names, else we.
    Auto,
}

/// Defaults that a trunk started from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Preset {
    /// A SIP trunk of a carrier or PBX.
    Carrier,
    /// Microsoft Teams Direct Routing.
    Teams,
}

/// One configured target.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TargetAddress {
    /// Host to resolve, or a literal address. Always the name in the Request-URI and the name that
    /// the peer's certificate is checked for.
    pub host: String,
    /// Port; the protocol's default when not written.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
    /// What is asked of DNS.
    pub lookup: Lookup,
    /// Addresses to connect to instead of resolving `host` (a lab, or a pinned carrier).
    pub connect_to: Vec<std::net::SocketAddr>,
}

/// What becomes of calls while every target of a trunk is down (SIP-1711).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum AllDown {
    /// One call a second is tried at the best target, which may be back.
    #[default]
    Try,
    /// No call is tried.
    Fail,
}

/// What becomes of the calls of a trunk that a reload has removed (OPS-121). Calls for help go on in any case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum OnRemove {
    /// They go on until somebody hangs up.
    #[default]
    Keep,
    /// They may go on for as long as [`super::NodeLimits::last_calls`] says.
    Drain,
    /// They end at once.
    Kill,
}

/// What is asked of DNS about a target (RFC 3263 §4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Lookup {
    /// A port was written, or the host is an address: nothing but addresses.
    #[default]
    Addresses,
    /// A protocol was written and no port: the host is a domain with SRV records for it.
    Servers,
    /// Neither was written: the domain may also choose the protocol, by NAPTR.
    Domain,
    /// Nothing: it is the binding of this number, and goes where that was registered from.
    Binding(u64),
}

/// How URIs are written for a peer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UriForm {
    /// Whether numbers say `;user=phone`.
    pub user_phone: UserPhone,
    /// Add `;transport=` to Contact and Request-URI for other transports than UDP.
    pub transport_param: bool,
}

/// How a peer is told of earlier targets of a call (SIP-904).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HistoryForm {
    /// Not at all.
    None,
    /// In the header in which we were told, numbers and hosts rewritten.
    Pass,
    /// In History-Info.
    HistoryInfo,
    /// In Diversion.
    Diversion,
    /// In both, which say the same.
    Both,
}

impl HistoryForm {
    /// Whether History-Info is kept as RFC 7044 wants it.
    pub const fn is_kept(self) -> bool {
        matches!(self, Self::HistoryInfo | Self::Both)
    }
}

/// Media policy of a trunk.
#[derive(Clone, PartialEq, Debug)]
pub struct TrunkMedia {
    /// Codecs, protection, DTMF, hold form and the rest.
    pub profile: Arc<Profile>,
}

/// SIP timers of a trunk (SIP-217).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SipTimers {
    /// Round-trip estimate, 500 ms by default.
    pub t1: Duration,
    /// Longest retransmission interval, 4 s by default.
    pub t2: Duration,
    /// Longest time a message stays in the network, 5 s by default.
    pub t4: Duration,
    /// Longest wait for the first response to an INVITE before the next target is tried.
    pub response_timeout: Duration,
    /// Longest time after the first response, and after each provisional response but 100, in which the
    /// called side says nothing before the attempt is given up: Timer C, 185 s by default (RFC 3261 §16.6).
    pub ring_timeout: Duration,
    /// Longest time that a connection may take; `None` is the usual one of the shell (TDR-DNS-002).
    pub connect: Option<Duration>,
    /// Longest time that a TLS handshake may take.
    pub handshake: Option<Duration>,
}

impl Default for SipTimers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            response_timeout: Duration::from_secs(4),
            ring_timeout: Duration::from_secs(185),
            connect: None,
            handshake: None,
        }
    }
}

/// What becomes of a request over UDP that is too large for a datagram (SIP-110): more than 1300 octets,
/// or than the path is known to take.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum UdpOversize {
    /// It goes over TCP if the realm has a TCP listener (RFC 3261 §18.1.1), and over UDP after all
    /// if the peer does not take it.
    #[default]
    Tcp,
    /// It goes over UDP, as many packets as that takes: for peers that know nothing else.
    Fragment,
    /// As that, without what can be left out. Descriptions to this peer never say what payload types
    /// mean that have a meaning of their own: they must stay the same however large the request is.
    Slim,
}

/// Health probing of a trunk by OPTIONS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OptionsProbe {
    /// Time between two probes of one target.
    pub interval: Duration,
    /// Final statuses that count as alive; without a list all but [`NO_SIGN_OF_LIFE`].
    pub ok: Option<Vec<u16>>,
}

/// Final statuses that are no sign of life where nothing else is said: 408 says that a proxy got no answer, and
/// 503 that no calls are wanted (SIP-1710).
pub const NO_SIGN_OF_LIFE: [u16; 2] = [408, 503];

/// A registration that is kept up with the peer of a trunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration {
    /// User of the address of record.
    pub user: String,
    /// Domain of the address of record: Request-URI of REGISTER, and the host of both parties in
    /// our INVITEs.
    pub domain: String,
    /// Life that is asked for, one hour by default.
    pub expires: Duration,
    /// Whether calls go out only while it stands, and only to the server that holds it.
    pub is_required: bool,
    /// Whether it is taken back when the process ends.
    pub unregisters: bool,
    /// Whether RFC 5626 is asked for.
    pub outbound: bool,
    /// Whether all numbers of the trunk are registered at once (RFC 6140).
    pub gin: Gin,
    /// Where the called number of a call to us stands.
    pub did_source: DidSource,
    /// Whether its way over UDP is kept alive by STUN; `None` where the registrar wants or knows that.
    pub keep_alive: Option<bool>,
    /// Whether an asserted identity must be one of those that the registrar names.
    pub holds_identities: bool,
}

/// Whether all numbers of a trunk are registered at once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Gin {
    /// One contact of our own.
    Off,
    /// All numbers, or one contact where the registrar does not know that.
    Prefer,
    /// All numbers, or nothing.
    Require,
}

/// Where the called number of a call over a registration stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DidSource {
    /// In the Request-URI; if that is our own contact, in P-Called-Party-ID or To.
    RequestUri,
    /// In To.
    To,
    /// In P-Called-Party-ID.
    CalledParty,
    /// In the last History-Info entry.
    History,
}

/// An address range.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct IpNet {
    /// Any address of the range.
    pub address: IpAddr,
    /// Leading bits that must agree.
    pub prefix: u8,
}

impl IpNet {
    /// One address.
    pub fn single(address: IpAddr) -> Self {
        Self {
            address,
            prefix: if address.is_ipv4() { 32 } else { 128 },
        }
    }

    /// Whether it is so wide that it says nothing of who is there.
    pub fn admits_strangers(&self) -> bool {
        self.prefix < if self.address.is_ipv4() { 8 } else { 16 }
    }

    /// Whether it is one address only.
    pub fn is_single(&self) -> bool {
        *self == Self::single(self.address)
    }

    /// The first address of the range.
    pub fn first(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => {
                let host_bits = 32_u32.saturating_sub(u32::from(self.prefix));
                let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
                IpAddr::from((u32::from(address) & mask).to_be_bytes())
            }
            IpAddr::V6(address) => {
                let host_bits = 128_u32.saturating_sub(u32::from(self.prefix));
                let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
                IpAddr::from((u128::from(address) & mask).to_be_bytes())
            }
        }
    }

    /// The last address of the range.
    pub fn last(&self) -> IpAddr {
        match self.first() {
            IpAddr::V4(first) => {
                let hosts = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                IpAddr::from((u32::from(first) | hosts).to_be_bytes())
            }
            IpAddr::V6(first) => {
                let hosts = u128::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                IpAddr::from((u128::from(first) | hosts).to_be_bytes())
            }
        }
    }

    /// Whether the two ranges have an address in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.first()) || other.contains(self.first())
    }

    /// Whether `address` lies in the range. An IPv4 range never contains an IPv6 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                let bits = u32::from(self.prefix.min(32));
                bits == 0 || (u32::from(net) ^ u32::from(address)) >> (32 - bits) == 0
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                let bits = u32::from(self.prefix.min(128));
                bits == 0 || (u128::from(net) ^ u128::from(address)) >> (128 - bits) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

wire_layout! {
    struct SessionTimer { expires_s, min_se_s, refresher }

    enum RefreshBy {
        0: Us,
        1: Peer,
        2: Auto,
    }
}
