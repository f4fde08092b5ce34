//! The one topology of all scenarios: two tenants with a Teams trunk each, two carriers, a
//! stranger, and the SBC between them.
//!
//! ```text
//! teams-1..3  192.0.2.11–13  TLS ─┐                          ┌─ north-1, -2  198.51.100.11–12  UDP
//!   (both tenants, one address)   ├─ 203.0.113.10 SBC .20 ───┤   (shared by both tenants)
//! stranger  198.51.100.99  ───────┘                          └─ south        2001:db8:21::21   TCP
//!                                    2001:db8:20::20 ────────   (tenant fabrikam only)
//! ```
//!
//! South speaks IPv6 alone, in signalling and media; everybody else speaks IPv4 alone.
//!
//! Both tenants meet the same Teams addresses: only the TLS context tells them apart, which is what
//! the tenant checker is after.

use crate::actor::{Dialect, Membership, Place};
use crate::fault::ActorIndex;
use crate::limited;
use crate::scenario::{Setting, Zone};
use media_api::{Family, RealmId, SoundId};
use sbc_core::auth::{Account, Asker, Digest, Password};
use sbc_core::config::{
    AllDown, Announcement, Authenticate, Belief, CallLimits, CalledAs, Cloud, Config, EarlyDialogs,
    Habits, HistoryForm, IdentityPolicy, IpNet, Listener, LocalMedia, Lookup, Music, Node,
    NodeLimits, NumberRange, OnRemove, OptionsProbe, Preset, Product, ProgressPolicy, Realm,
    Recording, Redirect, Refer, RefreshBy, Registrar, Rel100, Ringback, Route, RouteMatch,
    RouteTarget, SessionIdForm, SessionTimer, SipTimers, SoundPolicy, TargetAddress, Tenant,
    TlsContext, TransferPolicy, Trunk, TrunkLimits, TrunkMedia, UdpOversize, UriForm, UserPhone,
    Users, VerifyClient,
};
use sbc_core::id::{
    ListenerName, RealmName, RouteName, SoundName, TenantName, TlsContextName, TrunkName,
};
use sbc_core::locate::{FamilyOrder, Kind, Question, Record};
use sbc_core::media::{Dtmf, HoldForm, Ice, Lends, Profile};
use sbc_core::record::RecordNumbers;
use sbc_core::sip::Method;
use sbc_core::transport::Protocol;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Teams' first proxy.
pub const TEAMS_1: ActorIndex = 0;
/// Teams' second proxy.
pub const TEAMS_2: ActorIndex = 1;
/// Teams' third proxy.
pub const TEAMS_3: ActorIndex = 2;
/// First address of the carrier both tenants use.
pub const NORTH_1: ActorIndex = 3;
/// Second address of the carrier both tenants use.
pub const NORTH_2: ActorIndex = 4;
/// The carrier of tenant fabrikam.
pub const SOUTH: ActorIndex = 5;
/// Somebody from elsewhere.
pub const STRANGER: ActorIndex = 6;
/// An exchange of tenant contoso, which registers.
pub const EXCHANGE: ActorIndex = 7;
/// A phone of tenant fabrikam, which registers.
pub const PHONE: ActorIndex = 8;
/// Somebody in the network of the exchange who would like to be one of them.
pub const INTRUDER: ActorIndex = 9;
/// How many actors there are.
pub const ACTORS: usize = 10;

/// Who registers, by tenant.
pub const MEMBERS: [ActorIndex; 2] = [EXCHANGE, PHONE];

/// The tenants, by index.
pub const TENANTS: [&str; 2] = ["contoso", "fabrikam"];

const TEAMS_SIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const CARRIER_SIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 20);
const CARRIER_SIDE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x20, 0, 0, 0, 0, 0x20);
const SOUTH_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x21, 0, 0, 0, 0, 0x21);

/// Media realm of the Teams side.
pub const TEAMS_REALM: RealmId = RealmId(1);
/// Media realm for users of Teams that are inside, at the same address, so that descriptions are read alike.
pub const INNER_REALM: RealmId = RealmId(3);
/// Media realm of the carrier side.
pub const CARRIER_REALM: RealmId = RealmId(2);

/// What the network knows about an actor.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its signalling address.
    pub address: SocketAddr,
    /// Its transport.
    pub protocol: Protocol,
    /// Names in its certificate; empty if it has none.
    pub certificate: Vec<String>,
}

/// Name of the SBC for a tenant.
pub fn fqdn(tenant: usize) -> String {
    format!("sbc.{}.example", TENANTS[tenant])
}

/// Numbers that begin so are kept free for fiction.
const INSIDE: &str = "+493023125";
const OUTSIDE: &str = "+498999998";

/// A number of a tenant, one per call.
pub fn inside_number(tenant: usize, call: usize) -> String {
    format!("{INSIDE}{}{call:05}", tenant + 1)
}

/// A number in the public network, one per call.
pub fn outside_number(call: usize) -> String {
    format!("{OUTSIDE}{call:06}")
}

/// A number in the public network that somebody is transferred to, one per call.
pub fn further_number(call: usize) -> String {
    outside_number(call + 5 * MOST_CALLS)
}

/// A number in the public network where somebody is reached who is not where it was called, one per call.
pub fn moved_number(call: usize) -> String {
    outside_number(call + 7 * MOST_CALLS)
}

/// Calls of a scenario have lower numbers than this.
const MOST_CALLS: usize = 100_000;

/// The call that a number belongs to.
pub fn call_of_number(number: &str) -> Option<usize> {
    let inside = || number.strip_prefix(INSIDE)?.get(1..);
    let call = number.strip_prefix(OUTSIDE).or_else(inside)?;
    let call: usize = call.parse().ok()?;
    Some(call % MOST_CALLS)
}

/// Address of an actor.
pub fn peer(actor: ActorIndex) -> Peer {
    let ip = |a, b, c, d, port| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port);
    let teams = vec![
        "*.pstnhub.example".to_owned(),
        "sip.pstnhub.example".to_owned(),
    ];
    let (address, protocol, certificate) = match actor {
        TEAMS_1 => (ip(192, 0, 2, 11, 5061), Protocol::Tls, teams),
        TEAMS_2 => (ip(192, 0, 2, 12, 5061), Protocol::Tls, teams),
        TEAMS_3 => (ip(192, 0, 2, 13, 5061), Protocol::Tls, teams),
        NORTH_1 => (ip(198, 51, 100, 11, 5060), Protocol::Udp, Vec::new()),
        NORTH_2 => (ip(198, 51, 100, 12, 5060), Protocol::Udp, Vec::new()),
        SOUTH => (
            SocketAddr::from((SOUTH_V6, 5060)),
            Protocol::Tcp,
            Vec::new(),
        ),
        EXCHANGE => (ip(198, 51, 100, 33, 5060), Protocol::Udp, Vec::new()),
        INTRUDER => (ip(198, 51, 100, 34, 5060), Protocol::Udp, Vec::new()),
        PHONE => (ip(198, 51, 100, 49, 5062), Protocol::Udp, Vec::new()),
        _ => (ip(198, 51, 100, 99, 5060), Protocol::Udp, Vec::new()),
    };
    Peer {
        address,
        protocol,
        certificate,
    }
}

/// The trunk that an actor is the peer of in calls of a tenant.
pub fn trunk_of(actor: ActorIndex, tenant: usize) -> Option<TrunkName> {
    Some(match actor {
        TEAMS_1 | TEAMS_2 | TEAMS_3 => TrunkName::new(&format!("{}-teams", TENANTS[tenant])),
        NORTH_1 | NORTH_2 => TrunkName::new("north"),
        SOUTH | EXCHANGE | PHONE => TrunkName::new(name(actor)),
        _ => return None,
    })
}

/// Name of an actor.
pub fn name(actor: ActorIndex) -> &'static str {
    [
        "teams-1", "teams-2", "teams-3", "north-1", "north-2", "south", "stranger", "exchange",
        "phone", "intruder",
    ]
    .get(actor)
    .copied()
    .unwrap_or("nobody")
}

/// Name of the actor at an address.
pub fn name_of_address(address: SocketAddr) -> &'static str {
    (0..ACTORS)
        .find(|actor| peer(*actor).address == address)
        .map_or("nobody", name)
}

/// Where an actor stands and how it speaks.
pub(crate) fn place(actor: ActorIndex, setting: Setting) -> Place {
    let peer = peer(actor);
    let hosts: BTreeMap<String, SocketAddr> = (0..TENANTS.len())
        .map(|tenant| (fqdn(tenant), listener_address(Protocol::Tls)))
        .collect();
    let plain = |domain| Dialect::Carrier {
        domain,
        has_keys: false,
        is_terse: setting.is_terse,
    };
    let (name, dialect, probes) = match actor {
        TEAMS_1 | TEAMS_2 | TEAMS_3 => {
            let number = actor + 1;
            let dialect = Dialect::Teams {
                region: format!(
                    "sip{}.pstnhub.example",
                    if number == 1 {
                        String::new()
                    } else {
                        number.to_string()
                    }
                ),
                edge: edge(actor),
                user: setting.past_us,
            };
            let probes = (Duration::from_secs(60), hosts.keys().cloned().collect());
            (format!("teams-{number}"), dialect, Some(probes))
        }
        NORTH_1 | NORTH_2 => {
            let domain = format!("gw{}.north.example", actor - NORTH_1 + 1);
            (
                format!("north-{}", actor - NORTH_1 + 1),
                Dialect::Carrier {
                    domain,
                    has_keys: setting.past_us.is_some(),
                    is_terse: setting.is_terse,
                },
                None,
            )
        }
        SOUTH => {
            let domain = "gw.south.example".to_owned();
            ("south".to_owned(), plain(domain), None)
        }
        EXCHANGE | PHONE | INTRUDER => {
            let domain = format!("{}.example", name(actor));
            (name(actor).to_owned(), plain(domain), None)
        }
        _ => {
            let domain = "elsewhere.example".to_owned();
            ("stranger".to_owned(), plain(domain), None)
        }
    };
    let mut hosts = hosts;
    if setting.past_us.is_some() {
        hosts.insert(PROXY.to_owned(), listener_address(Protocol::Tls));
    }
    Place {
        name,
        dialect,
        address: peer.address,
        protocol: peer.protocol,
        sbc: listener_address(peer.protocol),
        hosts,
        probes,
        member: membership(actor).filter(|_| setting.registers),
    }
}

/// How an actor registers, if it does.
fn membership(actor: ActorIndex) -> Option<Membership> {
    let (names, passwords): (Vec<_>, Vec<_>) = match actor {
        EXCHANGE | PHONE => (
            vec![name(actor)],
            password(name(actor)).into_iter().collect(),
        ),
        INTRUDER => (vec!["exchange", "phone"], vec!["1234", "exchange", "phone"]),
        _ => return None,
    };
    Some(Membership {
        names,
        passwords,
        domain: registrar_domain,
        expires_s: 40,
    })
}

/// Whether calls reach an actor only while it is registered.
pub fn registers(actor: ActorIndex) -> bool {
    matches!(actor, EXCHANGE | PHONE | INTRUDER)
}

/// The password of a name that registers.
pub fn password(name: &str) -> Option<&'static str> {
    match name {
        "exchange" => Some("open sesame"),
        "phone" => Some("swordfish"),
        _ => None,
    }
}

/// Our domain for a name that registers.
fn registrar_domain(name: &str) -> String {
    format!("{name}s.registrar.example")
}

fn edge(actor: ActorIndex) -> String {
    format!("sip-du-a-{}.pstnhub.example", actor + 1)
}

/// Where peers reach the SBC over a transport.
pub fn listener_address(protocol: Protocol) -> SocketAddr {
    match protocol {
        Protocol::Udp => SocketAddr::new(IpAddr::V4(CARRIER_SIDE), 5060),
        Protocol::Tcp => SocketAddr::new(IpAddr::V6(CARRIER_SIDE_V6), 5060),
        Protocol::Tls => SocketAddr::new(IpAddr::V4(TEAMS_SIDE), 5061),
    }
}

/// The listener of a transport.
pub fn listener_name(protocol: Protocol) -> ListenerName {
    ListenerName::new(match protocol {
        Protocol::Udp => "carriers-udp",
        Protocol::Tcp => "carriers-tcp",
        Protocol::Tls => "teams-tls",
    })
}

/// What the resolver knows.
pub fn zone(form: Zone) -> BTreeMap<Question, Vec<Record>> {
    let mut zone: BTreeMap<Question, Vec<Record>> = BTreeMap::new();
    let mut add = |name: &str, kind: Kind, record: Record| {
        let name = name.to_owned();
        zone.entry(Question { name, kind })
            .or_default()
            .push(record);
    };
    let address = |ip: IpAddr| match ip {
        IpAddr::V4(_) => (Kind::A, Record::Address(ip)),
        IpAddr::V6(_) => (Kind::Aaaa, Record::Address(ip)),
    };
    let mut host = |name: &str, ip: IpAddr| {
        let (kind, record) = address(ip);
        add(name, kind, record);
    };
    let ip = |actor| peer(actor).address.ip();
    for actor in [TEAMS_1, TEAMS_2, TEAMS_3] {
        host(&edge(actor), ip(actor));
    }
    host("sip.pstnhub.example", ip(TEAMS_1));
    host("sip2.pstnhub.example", ip(TEAMS_2));
    host("sip3.pstnhub.example", ip(TEAMS_3));
    // Nobody listens behind the name in Teams' Contact: whoever connects there lost the route set.
    let nowhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200));
    host("api-du-a.pstnhub.example", nowhere);
    if form == Zone::Plain {
        host("sip.north.example", ip(NORTH_1));
        host("sip.north.example", ip(NORTH_2));
        host("sip.south.example", ip(SOUTH));
        return zone;
    }
    host("a.servers.example", ip(NORTH_1));
    host("b.servers.example", ip(NORTH_2));
    host("c.servers.example", ip(SOUTH));
    let server = |priority: u16, weight: u16, target: &str| Record::Srv {
        priority,
        weight,
        port: 5060,
        target: format!("{target}.servers.example"),
    };
    let (name, is_ranked) = ("_sip._udp.sip.north.example", form == Zone::Ranked);
    add(name, Kind::Srv, server(10, 60, "a"));
    add(
        name,
        Kind::Srv,
        server(if is_ranked { 20 } else { 10 }, 40, "b"),
    );
    add("_sip._tcp.sip.south.example", Kind::Srv, server(0, 0, "c"));
    let naptr = Record::Naptr {
        order: 10,
        preference: 10,
        flags: "s".to_owned(),
        service: "SIP+D2U".to_owned(),
        regexp: String::new(),
        replacement: format!("{name}."),
    };
    add("sip.north.example", Kind::Naptr, naptr);
    zone
}

/// Addresses of media realms, as the relay advertises them.
pub fn realm_address(realm: RealmId, family: Family) -> IpAddr {
    match family {
        _ if realm == TEAMS_REALM || realm == INNER_REALM => IpAddr::V4(TEAMS_SIDE),
        Family::V4 => IpAddr::V4(CARRIER_SIDE),
        Family::V6 => IpAddr::V6(CARRIER_SIDE_V6),
    }
}

/// The host of a URI for an address: IPv6 stands in brackets.
pub fn host_of_address(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// The configuration of the SBC.
pub fn config(generation: u64, setting: Setting) -> Config {
    let config = Config {
        generation,
        node: Node {
            id: "sim-1".to_owned(),
            product: Product::Told("Causeway".to_owned()),
        },
        realms: realms(),
        tls: (0..TENANTS.len()).map(tls_context).collect(),
        listeners: listeners(),
        sounds: sounds(),
        tenants: (0..TENANTS.len()).map(tenant).collect(),
        trunks: trunks(setting),
        transforms: Vec::new(),
        routes: routes(setting),
        number_limits: Vec::new(),
        rates: Default::default(),
        limits: NodeLimits {
            transcoding: None,
            calls: 1_000,
            new_calls: CallLimits::default(),
            max_setup: Duration::from_secs(60),
            max_duration: Duration::from_secs(3_600),
            media_timeout: Duration::from_secs(90),
            preempt: true,
            preempt_per_minute: 10,
            unusual_calls: 30,
            last_calls: Duration::from_secs(30),
        },
        stir: Default::default(),
        sources: Default::default(),
        hosting: Default::default(),
    };
    match setting.has_limits {
        true => limited::limited(config),
        false => config,
    }
}

fn realms() -> BTreeMap<RealmName, Arc<Realm>> {
    let realm = |name: &str, id, v4, v6| {
        let name = RealmName::new(name);
        let realm = Realm {
            name: name.clone(),
            id,
            v4: Some(v4),
            v6,
            advertise_v4: None,
            advertise_v6: None,
            advertise_host: None,
            ports: 20_000..=29_999,
            dscp: 46,
            signalling_dscp: 24,
            media_backend: Default::default(),
        };
        (name, Arc::new(realm))
    };
    BTreeMap::from([
        realm("teams", TEAMS_REALM, TEAMS_SIDE, None),
        realm(
            "carriers",
            CARRIER_REALM,
            CARRIER_SIDE,
            Some(CARRIER_SIDE_V6),
        ),
    ])
}

fn tls_context(index: usize) -> (TlsContextName, Arc<TlsContext>) {
    let name = TlsContextName::new(TENANTS[index]);
    let context = TlsContext {
        name: name.clone(),
        names: vec![fqdn(index)],
        verify_client: VerifyClient::Require,
        allow_wildcard: true,
        believes: Some(Belief {
            roots: "roots.pem".to_owned(),
            revoked: None,
        }),
        lacks_key: false,
    };
    (name, Arc::new(context))
}

fn listeners() -> BTreeMap<ListenerName, Arc<Listener>> {
    [Protocol::Udp, Protocol::Tcp, Protocol::Tls]
        .map(|protocol| {
            let is_tls = protocol == Protocol::Tls;
            let listener = Listener {
                name: listener_name(protocol),
                realm: RealmName::new(if is_tls { "teams" } else { "carriers" }),
                protocol,
                bind: listener_address(protocol),
                advertised: listener_address(protocol),
                host: None,
                tls: is_tls.then(|| TlsContextName::new(TENANTS[0])),
                dscp: 24,
            };
            (listener.name.clone(), Arc::new(listener))
        })
        .into()
}

fn tenant(index: usize) -> (TenantName, Arc<Tenant>) {
    let name = TenantName::new(TENANTS[index]);
    let tenant = Tenant {
        elins: Vec::new(),
        elin_from_location: false,
        elin_callback: Duration::ZERO,
        record_numbers: RecordNumbers::Full,
        users: Users::default(),
        name: name.clone(),
        numbers: vec![NumberRange {
            first: inside_number(index, 0),
            last: inside_number(index, 99_999),
        }],
        local_numbers: Vec::new(),
        emergency: Vec::new(),
        limits: CallLimits::default(),
    };
    (name, Arc::new(tenant))
}

/// Digits of Teams travel in the first way, those of carriers in the second.
fn set_dtmf(trunk: &mut Trunk, [of_teams, of_carriers]: [Dtmf; 2]) {
    let is_teams = trunk.preset == Preset::Teams;
    let dtmf = match is_teams {
        true => of_teams,
        false => of_carriers,
    };
    Arc::make_mut(&mut trunk.media.profile).dtmf = dtmf;
    // A carrier may press in INFO beside its tones, or instead.
    if matches!(dtmf, Dtmf::Info | Dtmf::Auto) || (dtmf == Dtmf::Inband && !is_teams) {
        trunk.allow.push(Method::Info);
    }
}

fn trunks(setting: Setting) -> BTreeMap<TrunkName, Arc<Trunk>> {
    let mut trunks: Vec<Trunk> = (0..TENANTS.len()).map(teams_trunk).collect();
    trunks.push(carrier_trunk(
        "north",
        None,
        Protocol::Udp,
        &[NORTH_1, NORTH_2],
    ));
    trunks.push(carrier_trunk("south", Some(1), Protocol::Tcp, &[SOUTH]));
    if setting.registers {
        trunks.extend(MEMBERS.map(member_trunk));
    }
    if let Some(dtmf) = setting.dtmf {
        trunks.iter_mut().for_each(|trunk| set_dtmf(trunk, dtmf));
    }
    if setting.relays_transfers {
        // Teams asks for transfers, and takes no wish of others.
        for trunk in trunks
            .iter_mut()
            .filter(|trunk| trunk.preset == Preset::Teams)
        {
            trunk.transfers.refer = Refer::Relay;
        }
    }
    if setting.plays_sounds {
        trunks.iter_mut().for_each(let_hear);
    }
    if setting.moves_media {
        trunks.iter_mut().for_each(guess_inside);
    }
    if setting.past_us.is_some() {
        trunks.iter_mut().for_each(stand_before_north);
    }
    trunks
        .into_iter()
        .map(|trunk| (trunk.name.clone(), Arc::new(trunk)))
        .collect()
}

/// The recordings of the node.
fn sounds() -> BTreeMap<SoundName, Arc<Recording>> {
    let recording = |(name, id)| {
        let recording = Recording {
            id: SoundId(id),
            samples: vec![0; 16_000].into(),
        };
        (SoundName::new(name), Arc::new(recording))
    };
    [("music", 1), ("sorry", 2)].map(recording).into()
}

/// Calls to Teams begin at another realm than its users turn out to reach.
fn guess_inside(trunk: &mut Trunk) {
    let internal = Profile {
        realm: INNER_REALM,
        ..Profile::clone(&trunk.media.profile)
    };
    trunk.local_media = (trunk.preset == Preset::Teams).then(|| LocalMedia {
        realm: RealmName::new("inner"),
        internal: Arc::new(internal),
        proxy: None,
        downstream: None,
        site: None,
    });
}

/// Our name as a proxy.
pub const PROXY: &str = "proxy.contoso.example";

/// We are the proxy in front of the SBCs of the north, which serve the first tenant.
fn stand_before_north(trunk: &mut Trunk) {
    let teams = Profile::teams(TEAMS_REALM, Family::V4);
    let is_first = trunk.fqdn == Some(fqdn(0));
    if trunk.name.as_str() == "north" {
        let profile = Arc::make_mut(&mut trunk.media.profile);
        (profile.srtp, profile.suites) = (teams.srtp, teams.suites);
        profile.lends = Lends::OneAddress;
    } else if is_first && trunk.preset == Preset::Teams {
        Arc::make_mut(&mut trunk.media.profile).lends = Lends::Whole;
        guess_inside(trunk);
        if let Some(local) = &mut trunk.local_media {
            local.proxy = Some(PROXY.to_owned());
            local.downstream = Some(TrunkName::new("north"));
        }
    }
}

/// Whether media at this address are ours.
pub fn is_ours(ip: IpAddr) -> bool {
    let realms = [TEAMS_REALM, CARRIER_REALM, INNER_REALM];
    let mut all = realms
        .map(|realm| realm_address(realm, Family::V4))
        .into_iter();
    all.any(|own| own == ip)
}

/// Peers of a trunk hear something of ours wherever they wait.
fn let_hear(trunk: &mut Trunk) {
    let profile = Arc::make_mut(&mut trunk.media.profile);
    let (ringback, music) = match (trunk.preset, trunk.name.as_str()) {
        // It plays its own music.
        (Preset::Teams, _) => (Ringback::Auto, Music::None),
        (Preset::Carrier, "north") => {
            profile.plays_music = true;
            (Ringback::Local, Music::Recording(SoundName::new("music")))
        }
        (Preset::Carrier, _) => {
            profile.hold = HoldForm::Hidden;
            (Ringback::Auto, Music::Silence)
        }
    };
    trunk.progress.ringback = Some(ringback);
    let sorry = Announcement::Recording(SoundName::new("sorry"));
    let mut announce: BTreeMap<u16, Announcement> =
        [404, 480, 503].map(|status| (status, sorry.clone())).into();
    announce.insert(486, Announcement::Busy);
    trunk.sounds = SoundPolicy {
        music,
        fills_pauses: false,
        announce,
    };
}

/// The tenant whose Teams trunk has media bypass.
pub const BYPASS_TENANT: usize = 1;

fn teams_trunk(index: usize) -> Trunk {
    let target = |host: &str| TargetAddress {
        host: host.to_owned(),
        port: 5061,
        protocol: Protocol::Tls,
        lookup: Lookup::Addresses,
        connect_to: Vec::new(),
    };
    Trunk {
        derived: Default::default(),
        stir: Default::default(),
        name: TrunkName::new(&format!("{}-teams", TENANTS[index])),
        tenant: Some(TenantName::new(TENANTS[index])),
        preset: Preset::Teams,
        cloud: Some(Cloud::Worldwide),
        carrier: None,
        realm: RealmName::new("teams"),
        listeners: vec![listener_name(Protocol::Tls)],
        tls: Some(TlsContextName::new(TENANTS[index])),
        fqdn: Some(fqdn(index)),
        targets: ["sip", "sip2", "sip3"]
            .map(|name| target(&format!("{name}.pstnhub.example")))
            .into(),
        accept_from: vec![IpNet {
            address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 0)),
            prefix: 24,
        }],
        accept_names: vec![
            "sip.pstnhub.example".to_owned(),
            "*.pstnhub.example".to_owned(),
        ],
        trusted: true,
        uri: UriForm {
            user_phone: UserPhone::Always,
            transport_param: true,
        },
        local_media: None,
        media: TrunkMedia {
            profile: Arc::new(Profile {
                ice: match index == BYPASS_TENANT {
                    true => Ice::Bypass,
                    false => Ice::Off,
                },
                ..Profile::teams(TEAMS_REALM, Family::V4)
            }),
        },
        timers: timers(),
        limits: TrunkLimits::default(),
        test_names: Vec::new(),
        prefer: FamilyOrder::default(),
        all_down: AllDown::default(),
        udp_oversize: UdpOversize::default(),
        least_hops: 0,
        reroute_on: vec![408, 503, 504],
        session_timer: Some(SessionTimer {
            expires_s: 3_600,
            min_se_s: 90,
            refresher: RefreshBy::Peer,
        }),
        options: Some(OptionsProbe {
            interval: Duration::from_secs(60),
            ok: Some(vec![200]),
        }),
        sounds: SoundPolicy::default(),
        progress: ProgressPolicy {
            rel100: Rel100::Never,
            ..ProgressPolicy::default()
        },
        allow: methods(&[
            "INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "NOTIFY", "REFER",
        ]),
        send_asserted: false,
        history: HistoryForm::Pass,
        digest: None,
        register: None,
        dialog_ping: None,
        authenticate: None,
        registrar: None,
        send_location: true,
        session_id: SessionIdForm::default(),
        uui_max: 256,
        identity: IdentityPolicy::default(),
        redirect: Redirect::default(),
        redirect_to: Vec::new(),
        overlap: false,
        relays_offers: false,
        transfers: TransferPolicy::default(),
        habits: Habits::default(),
        pass_headers: Vec::new(),
        strip_headers: Vec::new(),
        set_headers: vec![("X-MS-SBC".to_owned(), "Causeway/SBC/0.1.0".to_owned())],
        is_out_of_service: false,
        on_remove: OnRemove::default(),
    }
}

/// Whether a caller sees the early dialogs of the called side one by one.
pub fn sees_early_dialogs(caller: ActorIndex) -> bool {
    caller == SOUTH
}

fn carrier_trunk(
    name: &str,
    tenant: Option<usize>,
    protocol: Protocol,
    peers: &[ActorIndex],
) -> Trunk {
    let family = match peers.iter().all(|actor| peer(*actor).address.is_ipv4()) {
        true => Family::V4,
        false => Family::V6,
    };
    Trunk {
        derived: Default::default(),
        stir: Default::default(),
        name: TrunkName::new(name),
        tenant: tenant.map(|index| TenantName::new(TENANTS[index])),
        preset: Preset::Carrier,
        cloud: None,
        carrier: None,
        realm: RealmName::new("carriers"),
        listeners: vec![listener_name(protocol)],
        tls: None,
        fqdn: None,
        targets: vec![TargetAddress {
            host: format!("sip.{name}.example"),
            port: 5060,
            protocol,
            lookup: match protocol {
                Protocol::Udp => Lookup::Domain,
                Protocol::Tcp | Protocol::Tls => Lookup::Servers,
            },
            connect_to: Vec::new(),
        }],
        accept_from: peers
            .iter()
            .map(|actor| IpNet {
                address: peer(*actor).address.ip(),
                prefix: if family == Family::V4 { 32 } else { 128 },
            })
            .collect(),
        accept_names: Vec::new(),
        trusted: false,
        uri: UriForm {
            user_phone: UserPhone::Never,
            transport_param: true,
        },
        local_media: None,
        media: TrunkMedia {
            profile: Arc::new(Profile::carrier(CARRIER_REALM, family)),
        },
        timers: timers(),
        limits: TrunkLimits::default(),
        test_names: Vec::new(),
        prefer: FamilyOrder::default(),
        all_down: AllDown::default(),
        udp_oversize: UdpOversize::default(),
        least_hops: 0,
        reroute_on: vec![408, 503, 504],
        // Short, so that calls of a minute are refreshed.
        session_timer: Some(SessionTimer {
            expires_s: 90,
            min_se_s: 90,
            refresher: RefreshBy::Auto,
        }),
        options: None,
        sounds: SoundPolicy::default(),
        progress: ProgressPolicy {
            early_dialogs: match sees_early_dialogs(peers[0]) {
                true => EarlyDialogs::Transparent,
                false => EarlyDialogs::Single,
            },
            ..ProgressPolicy::default()
        },
        allow: methods(&[
            "INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "UPDATE", "NOTIFY", "REFER", "PRACK",
        ]),
        send_asserted: true,
        history: HistoryForm::None,
        digest: None,
        register: None,
        dialog_ping: None,
        authenticate: None,
        registrar: None,
        send_location: true,
        session_id: SessionIdForm::default(),
        uui_max: 256,
        identity: IdentityPolicy::default(),
        redirect: Redirect::default(),
        redirect_to: Vec::new(),
        overlap: false,
        relays_offers: false,
        transfers: TransferPolicy::default(),
        habits: Habits::default(),
        pass_headers: Vec::new(),
        strip_headers: Vec::new(),
        set_headers: Vec::new(),
        is_out_of_service: false,
        on_remove: OnRemove::default(),
    }
}

/// The trunk of somebody who registers, and who proves by digest to be it.
fn member_trunk(actor: ActorIndex) -> Trunk {
    let tenant = MEMBERS.iter().position(|member| *member == actor);
    let (name, domain) = (name(actor), registrar_domain(name(actor)));
    let password = password(name).unwrap_or_default();
    Trunk {
        targets: Vec::new(),
        accept_from: vec![IpNet {
            address: peer(actor).address.ip(),
            prefix: 28,
        }],
        authenticate: Some(Authenticate {
            account: Account {
                username: name.to_owned(),
                password: Password::new(password.as_bytes().to_vec()),
                realms: vec![domain.clone()],
                allows_md5: true,
            },
            algorithms: vec![Digest::Md5],
            asker: Asker::Server,
        }),
        registrar: Some(Registrar {
            user: name.to_owned(),
            domain,
            usual_s: 60,
            shortest_s: 20,
            longest_s: 120,
            contacts: 2,
            gin: false,
            called: CalledAs::Number,
            service_route: Vec::new(),
        }),
        ..carrier_trunk(name, tenant, Protocol::Udp, &[actor])
    }
}

fn timers() -> SipTimers {
    SipTimers {
        ring_timeout: Duration::from_secs(30),
        ..SipTimers::default()
    }
}

fn methods(names: &[&'static str]) -> Vec<Method> {
    names
        .iter()
        .filter_map(|name| Method::parse(*name).ok())
        .collect()
}

fn routes(setting: Setting) -> Vec<Arc<Route>> {
    let route = |name: &str, when, to: &[&str]| {
        let to = to.iter().map(|trunk| RouteTarget {
            trunk: TrunkName::new(trunk),
            weight: 100,
        });
        Arc::new(Route {
            name: RouteName::new(name),
            when,
            to: to.collect(),
            max_attempts: 6,
            at_once: setting.rings_at_once,
            any_tenant: false,
            presence: None,
            schedule: None,
            limits: CallLimits::default(),
        })
    };
    let from = |trunk: &str| RouteMatch {
        from_trunk: Some(TrunkName::new(trunk)),
        ..RouteMatch::default()
    };
    let towards = |tenant: usize| RouteMatch {
        called_in: Some(TenantName::new(TENANTS[tenant])),
        ..RouteMatch::default()
    };
    vec![
        match setting.registers {
            true => route("contoso-out", from("contoso-teams"), &["exchange", "north"]),
            false => route("contoso-out", from("contoso-teams"), &["north"]),
        },
        match setting.registers {
            true => route(
                "fabrikam-out",
                from("fabrikam-teams"),
                &["phone", "south", "north"],
            ),
            false => route("fabrikam-out", from("fabrikam-teams"), &["south", "north"]),
        },
        route("contoso-in", towards(0), &["contoso-teams"]),
        route("fabrikam-in", towards(1), &["fabrikam-teams"]),
        // Where the carrier of one customer alone transfers and redirects to: of a shared one nobody knows for whom.
        route("fabrikam-onward", from("south"), &["south", "north"]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_leads_back_to_its_call() {
        for call in [0, 7, 12_345] {
            assert_eq!(call_of_number(&inside_number(1, call)), Some(call));
            assert_eq!(call_of_number(&outside_number(call)), Some(call));
            assert_eq!(call_of_number(&further_number(call)), Some(call));
            assert_eq!(call_of_number(&moved_number(call)), Some(call));
        }
        assert_eq!(call_of_number("+1555"), None);
    }
}
