//! Peers: IP groups with their proxy sets and profiles as trunks, their SRDs as tenants.

use super::sides::Sides;
use super::{Known, Tables, rest};
use crate::quoted;
use crate::{Draft, Refused, draft::word, host_and_port};
use sbc_core::config::Cloud;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Most IP groups of a file: every two trunks are compared when a configuration is loaded.
const MOST_PEERS: usize = 1_000;

/// Most targets of a trunk.
const MOST_TARGETS: usize = 64;

/// Most source ranges of a trunk.
const MOST_SOURCES: usize = 256;

/// A trunk that is to be written.
pub(super) struct Peer {
    /// Name of the trunk.
    pub(super) name: String,
    /// Name of its tenant.
    tenant: usize,
    line: usize,
    what: String,
    door: Option<usize>,
    cloud: Option<Cloud>,
    fqdn: String,
    targets: Vec<Target>,
    /// Seconds between OPTIONS; zero is never.
    interval: Option<i64>,
    srtp: Option<&'static str>,
    sources: Vec<String>,
}

/// All of them.
pub(super) struct Peers {
    all: Vec<Peer>,
    known: Known,
    tenants: Vec<(String, usize)>,
}

#[derive(Clone)]
struct Target {
    line: usize,
    host: String,
    port: Option<u16>,
    transport: &'static str,
    priority: i64,
}

impl Target {
    fn text(&self) -> String {
        crate::target(&self.host, self.port, self.transport)
    }
}

struct ProxySet {
    door: String,
    interval: Option<i64>,
    shares: bool,
    targets: Vec<Target>,
}

pub(super) fn read(
    tables: &mut Tables,
    sides: &mut Sides,
    draft: &mut Draft,
) -> Result<Peers, Refused> {
    let (mut sets, sets_known) = proxy_sets(tables, draft);
    addresses(tables, &mut sets, &sets_known, draft);
    let (profiles, profiles_known) = profiles(tables, draft);
    let mut peers = Peers {
        all: Vec::new(),
        known: Known::default(),
        tenants: Vec::new(),
    };
    let mut tenants: BTreeMap<String, usize> = BTreeMap::new();
    for mut row in tables.take("IPGroup") {
        let name = row.take_any(&["Name", "Description"]);
        let (line, index) = (row.line, row.index.clone());
        if peers.all.len() == MOST_PEERS {
            let most = MOST_PEERS;
            return Err(Refused::TooManyRows { line, most });
        }
        if row.number("Type").is_some_and(|kind| kind != 0) {
            draft.note(
                line,
                format!("IP group {}", word(&name)),
                "its users register one by one; only peers with an address, or one registration, are trunks",
                "for a PBX that registers write a trunk with registrar = { aor = … }",
            );
            continue;
        }
        let set_name = row.take_any(&["ProxySetName", "ProxySetId"]);
        let set = sets_known.get(&set_name).and_then(|place| sets.get(place));
        let srd = row.take_any(&["SRDName", "SRD"]);
        let tenant = *tenants.entry(srd.to_ascii_lowercase()).or_insert_with(|| {
            let wish = if srd.is_empty() { "customer" } else { &srd };
            peers.tenants.push((draft.name("tenant", wish), line));
            peers.tenants.len() - 1
        });
        let door = set.and_then(|set| sides.door(&set.door));
        let door = door.or((sides.doors.len() == 1).then_some(0));
        let media = row.take("MediaRealm");
        if let Some(door) = door
            && !sides.media_of(door, &media)
        {
            draft.note(
                line,
                format!("media realm {} of IP group {}", word(&media), word(&name)),
                "its SIP interface has another media realm, and a realm has one range of media ports",
                "give the group a SIP interface, here a realm and a listener, of its own",
            );
        }
        let targets = set.map(|set| set.targets.clone()).unwrap_or_default();
        let cloud = targets.iter().find_map(cloud_of);
        // The names of Teams have an order of their own.
        if set.is_some_and(|set| set.shares) && targets.len() > 1 && cloud.is_none() {
            draft.note(
                line,
                format!(
                    "calls that proxy set {} shares among its proxies",
                    word(&set_name)
                ),
                "the targets of a trunk are tried in order",
                "to share calls make a trunk of each and name them in a route with weights",
            );
        }
        let (group, contact) = (row.take("SIPGroupName"), row.take("ContactName"));
        let fqdn = if contact.contains('.') {
            contact
        } else {
            group
        };
        let profile = row.take_any(&["ProfileName", "ProfileId"]);
        let media_security = profiles_known
            .get(&profile)
            .and_then(|place| profiles.get(place));
        peers.known.insert(&name, &index, peers.all.len());
        row.take("ClassifyByProxySet");
        let what = format!("IP group {name}, proxy set {set_name}");
        peers.all.push(Peer {
            name: draft.name("trunk", &name),
            tenant,
            line,
            what,
            door,
            cloud,
            fqdn: fqdn.to_ascii_lowercase(),
            targets,
            interval: set.and_then(|set| set.interval),
            srtp: media_security.copied().flatten(),
            sources: Vec::new(),
        });
        rest("IPGroup", &row, draft);
    }
    sides.settle(draft);
    sources(tables, &mut peers, draft);
    Ok(peers)
}

fn proxy_sets(tables: &mut Tables, draft: &mut Draft) -> (Vec<ProxySet>, Known) {
    let (mut sets, mut known) = (Vec::new(), Known::default());
    for mut row in tables.take("ProxySet") {
        let name = row.take_any(&["ProxyName", "ProxySetName"]);
        let door = row.take_any(&[
            "SBCIPv4SIPInterfaceName",
            "SBCIPv6SIPInterfaceName",
            "SIPInterfaceName",
        ]);
        let time = row.number("ProxyKeepAliveTime");
        let interval = match row.number("EnableProxyKeepAlive") {
            Some(0) => Some(0),
            Some(_) => time,
            None => None,
        };
        // Its trunk is found by its addresses, its TLS identity is that of the SIP interface.
        for column in [
            "SRDName",
            "ClassificationInput",
            "TLSContextName",
            "DNSResolveMethod",
        ] {
            row.take(column);
        }
        // In which order proxies are tried, and that the next one is: as it is here.
        for column in [
            "IsProxyHotSwap",
            "ProxyRedundancyMode",
            "SuccessDetectionRetries",
        ] {
            row.take(column);
        }
        known.insert(&name, &row.index, sets.len());
        sets.push(ProxySet {
            door,
            interval,
            shares: row
                .number("ProxyLoadBalancingMethod")
                .is_some_and(|method| method != 0),
            targets: Vec::new(),
        });
        rest("ProxySet", &row, draft);
    }
    (sets, known)
}

fn addresses(tables: &mut Tables, sets: &mut [ProxySet], known: &Known, draft: &mut Draft) {
    for mut row in tables.take("ProxyIp") {
        let (set, address) = (row.take("ProxySetId"), row.take("IpAddress"));
        row.take("ProxyIpIndex");
        let transport = match row.number("TransportType") {
            Some(0) | Some(-1) | None => "udp",
            Some(1) => "tcp",
            Some(2) => "tls",
            Some(_) => "",
        };
        let line = row.line;
        let refused = |why: &str, help: &str, draft: &mut Draft| {
            draft.note(line, format!("proxy \"{}\"", word(&address)), why, help);
        };
        let Some((host, port)) = host_and_port(&address) else {
            refused(
                "it is no host with an optional port",
                "write the target by hand",
                draft,
            );
            continue;
        };
        if transport.is_empty() {
            refused(
                "its transport is neither UDP nor TCP nor TLS",
                "agree on one of them with the peer",
                draft,
            );
            continue;
        }
        let Some(set) = known.get(&set).and_then(|place| sets.get_mut(place)) else {
            refused(
                "the file has no proxy set of this name",
                "write the target by hand",
                draft,
            );
            continue;
        };
        let target = Target {
            line: row.line,
            host,
            port,
            transport,
            priority: row.number("Priority").unwrap_or(0),
        };
        if set.targets.len() == MOST_TARGETS {
            refused(
                "the proxy set has more addresses than calls can try",
                "remove some, or use a name",
                draft,
            );
            continue;
        }
        if set.targets.iter().any(|have| have.text() == target.text()) {
            refused("the proxy set has it already", "nothing", draft);
            continue;
        }
        row.take("Weight");
        set.targets.push(target);
        set.targets.sort_by_key(|target| target.priority);
    }
}

/// What each profile says of media security.
fn profiles(tables: &mut Tables, draft: &mut Draft) -> (Vec<Option<&'static str>>, Known) {
    let (mut profiles, mut known) = (Vec::new(), Known::default());
    for mut row in tables.take("IpProfile") {
        let name = row.take_any(&["ProfileName", "Name"]);
        let security = row.take_any(&["SBCMediaSecurityBehaviour", "SBCMediaSecurityBehavior"]);
        let srtp = match security.as_str() {
            "1" => Some("required"),
            "2" => Some("off"),
            _ => None,
        };
        if security == "3" {
            draft.note(
                row.line,
                format!("SRTP and RTP side by side in profile {}", word(&name)),
                "a trunk has one of them",
                "write srtp = \"required\" or srtp = \"off\" at its trunks",
            );
        }
        draft.note(
            row.line,
            format!("profile {} but its media security", word(&name)),
            "codecs, early media, hold, fax, DTMF, transfer and history are columns whose meaning depends on the release",
            "the presets have what Teams and most carriers need; codecs, hold, fax, dtmf and identity are keys of a trunk",
        );
        known.insert(&name, &row.index, profiles.len());
        profiles.push(srtp);
    }
    (profiles, known)
}

/// Where calls of a group come from, as far as its classification says it by address.
fn sources(tables: &mut Tables, peers: &mut Peers, draft: &mut Draft) {
    for mut row in tables.take("Classification") {
        let (group, source) = (row.take("SrcIPGroupName"), row.take("SrcAddress"));
        let denies = row.number("ActionType") == Some(0);
        let peer = peers
            .known
            .get(&group)
            .and_then(|place| peers.all.get_mut(place));
        for column in [
            "ClassificationName",
            "SRDName",
            "SrcSIPInterfaceName",
            "SrcTransportType",
        ] {
            row.take(column);
        }
        // What a trunk of Teams accepts is known.
        if peer.as_ref().is_some_and(|peer| peer.cloud.is_some()) {
            continue;
        }
        match (peer, network(&source)) {
            (Some(peer), Some(range)) if !denies && peer.sources.len() < MOST_SOURCES => {
                if !peer.sources.contains(&range) {
                    peer.sources.push(range);
                }
                rest("Classification", &row, draft);
            }
            _ => draft.note(
                row.line,
                format!("classification of \"{}\" for IP group \"{}\"", word(&source), word(&group)),
                "a trunk's calls are told by whole ranges of addresses, its listener and its certificate only",
                "write accept_from at the trunk, or tie_break where two trunks share an address",
            ),
        }
    }
}

/// `192.0.2.7`, `192.0.2.*` as a range.
fn network(text: &str) -> Option<String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return (!address.is_unspecified()).then(|| address.to_string());
    }
    let fixed = text.trim_end_matches(".*");
    let octets: Vec<u8> = fixed
        .split('.')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    let wild = text.len().saturating_sub(fixed.len()) / 2;
    // Less than two octets would let in half a continent.
    ((2..4).contains(&octets.len()) && octets.len() + wild == 4)
        .then(|| format!("{fixed}{}/{}", ".0".repeat(wild), octets.len() * 8))
}

fn cloud_of(target: &Target) -> Option<Cloud> {
    if target.host.starts_with("sip") && target.host.ends_with(".pstnhub.microsoft.com") {
        return Some(Cloud::Worldwide);
    }
    let clouds = [Cloud::GccHigh, Cloud::Dod];
    clouds
        .into_iter()
        .find(|cloud| cloud.names().contains(&target.host.as_str()))
}

impl Peer {
    /// Whether a trunk can be made of it.
    fn is_reachable(&self) -> bool {
        self.door.is_some() && !self.targets.is_empty()
    }
}

impl Peers {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Name of the trunk that an IP group has become.
    pub(super) fn trunk(&self, group: &str) -> Option<&str> {
        let peer = self.all.get(self.known.get(group)?)?;
        peer.is_reachable().then_some(peer.name.as_str())
    }

    /// Whether a trunk of Teams has this TLS identity.
    pub(super) fn has_teams(&self, sides: &Sides, identity: usize) -> bool {
        let teams = self.all.iter().filter(|peer| peer.cloud.is_some());
        let mut doors = teams.filter_map(|peer| sides.doors.get(peer.door?));
        doors.any(|door| door.identity == Some(identity))
    }

    /// Writes tenants and trunks.
    pub(super) fn write(&self, sides: &Sides, draft: &mut Draft) {
        for (name, line) in &self.tenants {
            draft.block("[[tenant]]", *line, "the SRD of this IP group");
            draft.text("name", name);
            draft.line(
                "numbers = [] # CHANGE: the customer's numbers, or \"causeway import numbers\"",
            );
            draft.note(
                *line,
                format!("numbers of tenant {name}"),
                "the file does not say whose numbers they are",
                "write them into the tenant; \"causeway import numbers\" makes them of CSV",
            );
        }
        for peer in &self.all {
            self.trunk_of(peer, sides, draft);
        }
    }

    fn trunk_of(&self, peer: &Peer, sides: &Sides, draft: &mut Draft) {
        let note = |draft: &mut Draft, what: &str, why: &str, help: &str| {
            draft.note(
                peer.line,
                format!("{what} of trunk {}", peer.name),
                why,
                help,
            );
        };
        let door = peer.door.filter(|_| peer.is_reachable());
        let door = door.and_then(|door| sides.doors.get(door));
        let Some((door, side)) = door.and_then(|door| Some((door, sides.sides.get(door.side)?)))
        else {
            let why = "its proxy set is not there, has no addresses, or names no SIP interface of the SBC";
            note(
                draft,
                "everything",
                why,
                "write the trunk by hand, with the realm that it is reached from",
            );
            return;
        };
        let is_tls = peer.targets.iter().any(|target| target.transport == "tls");
        draft.block("[[trunk]]", peer.line, &peer.what);
        draft.text("name", &peer.name);
        draft.text(
            "preset",
            if peer.cloud.is_some() {
                "teams"
            } else {
                "carrier"
            },
        );
        if let Some((tenant, _)) = self.tenants.get(peer.tenant) {
            draft.text("tenant", tenant);
        }
        draft.text("realm", &side.name);
        let identity = door.identity.and_then(|index| sides.identities.get(index));
        if let (true, Some(identity)) = (is_tls, identity) {
            draft.text("tls", &identity.name);
        }
        match peer.cloud {
            Some(cloud) => self.of_teams(peer, cloud, draft),
            None => self.of_carrier(peer, draft),
        }
    }

    fn of_teams(&self, peer: &Peer, cloud: Cloud, draft: &mut Draft) {
        if cloud != Cloud::Worldwide {
            draft.text("cloud", cloud.as_str());
        }
        match peer.fqdn.contains('.') {
            true => draft.text("fqdn", &peer.fqdn),
            false => {
                draft.change(
                    "fqdn",
                    "\"sbc1.contoso.example\"",
                    "as in New-CsOnlinePSTNGateway",
                );
                draft.note(
                    peer.line,
                    format!("the name of the SBC at trunk {}", peer.name),
                    "neither SIP group name nor contact name is a full name",
                    "write fqdn as in New-CsOnlinePSTNGateway",
                );
            }
        }
        if peer.targets.iter().any(|target| cloud_of(target).is_none()) {
            draft.note(
                peer.line,
                format!("further proxies of trunk {}", peer.name),
                "Teams is reached by the names of its cloud only",
                "make another trunk for what is not Teams",
            );
        }
        if let Some(interval) = peer.interval {
            // What Teams allows.
            let seconds = interval.clamp(60, 180);
            draft.raw("options", format!("{{ interval = \"{seconds}s\" }}"));
        }
    }

    fn of_carrier(&self, peer: &Peer, draft: &mut Draft) {
        draft.line("targets = [");
        for target in &peer.targets {
            let text = quoted(&target.text());
            draft.line(&format!(
                "    {text}, # line {}, priority {}",
                target.line, target.priority
            ));
        }
        draft.line("]");
        let secure = || {
            peer.targets
                .iter()
                .filter(|target| target.transport == "tls")
        };
        if secure().count() > 0 && secure().all(|target| target.host.parse::<IpAddr>().is_ok()) {
            draft.accept_names(peer.line, &peer.name);
        }
        let is_named = peer
            .targets
            .iter()
            .any(|target| target.host.parse::<IpAddr>().is_err());
        let sources = peer.sources.iter().map(|range| quoted(range));
        let sources: Vec<String> = sources.collect();
        if !sources.is_empty() {
            draft.raw("accept_from", format!("[{}]", sources.join(", ")));
        } else if is_named {
            // An example of its own, so that no two trunks seem to be the same.
            let example = format!("[\"2001:db8:ffff::{:x}\"]", peer.line);
            draft.change(
                "accept_from",
                example,
                "the ranges that its calls come from",
            );
            draft.note(
                peer.line,
                format!("where calls of trunk {} come from", peer.name),
                "its proxies are names, and no classification says it by address",
                "put the peer's ranges in the place of the example in accept_from",
            );
        }
        let is_secure = peer.targets.iter().all(|target| target.transport == "tls");
        match peer.srtp {
            Some("required") if !is_secure => draft.note(
                peer.line,
                format!("SRTP of trunk {}", peer.name),
                "its keys would travel readable, as its signalling is not TLS",
                "use TLS towards the peer, then write srtp = \"required\"",
            ),
            Some(srtp) => draft.text("srtp", srtp),
            None => {}
        }
        match peer.interval {
            Some(0) => draft.raw("options", false),
            Some(seconds) => {
                let seconds = seconds.clamp(5, 3_600);
                draft.raw("options", format!("{{ interval = \"{seconds}s\" }}"));
            }
            None => {}
        }
    }
}
