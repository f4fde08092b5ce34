//! A dispatcher list of Kamailio (`setid destination flags priority attributes`) as trunks.
//!
//! | in the list                | becomes                                                      |
//! |----------------------------|--------------------------------------------------------------|
//! | a set                      | a trunk whose targets are in the order of their priorities    |
//! | a set with weights         | a trunk for each destination, and a route that shares calls   |
//! | flag 4 (disabled)          | nothing                                                       |
//! | `weight=`, or `rweight=`   | `weight` in the route                                         |
//!
//! Which calls go to which set is said by the routing script, not by the list: each route has a condition that no call
//! meets until somebody has written the right one.

use super::{Draft, Imported, Refused, draft::word, lines};
use crate::quoted;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

/// Most destinations of a list.
const MOST_DESTINATIONS: usize = 1_000;

/// Most trunks of a route.
const MOST_OF_ROUTE: usize = 6;

/// What the list does not say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Around {
    /// Realm of the trunks.
    pub realm: String,
    /// Their tenant; `*` for all.
    pub tenant: String,
    /// Whether realm, listeners and node are to be written as well, because nothing else has them.
    pub is_alone: bool,
}

struct Destination {
    line: usize,
    host: String,
    port: Option<u16>,
    transport: &'static str,
    priority: i64,
    weight: Option<i64>,
}

impl Destination {
    fn target(&self) -> String {
        crate::target(&self.host, self.port, self.transport)
    }
}

/// Reads a list; `file` is what comments call it.
///
/// # Errors
/// If the file is too large, or has no destination.
pub fn import(file: &str, octets: &[u8], around: &Around) -> Result<Imported, Refused> {
    let mut draft = Draft::new(file);
    let mut sets: BTreeMap<i64, Vec<Destination>> = BTreeMap::new();
    let mut count = 0;
    for (line, text) in lines(octets)? {
        let text = text.split('#').next().unwrap_or_default().trim();
        if text.is_empty() {
            continue;
        }
        let Some((set, destination)) = destination(line, text, &mut draft) else {
            continue;
        };
        count += 1;
        if count > MOST_DESTINATIONS {
            let most = MOST_DESTINATIONS;
            return Err(Refused::TooManyRows { line, most });
        }
        let all = sets.entry(set).or_default();
        match all
            .iter()
            .find(|other| other.target() == destination.target())
        {
            Some(other) => draft.note(
                line,
                format!("{} in set {set}", word(&destination.target())),
                &format!("line {} names it already", other.line),
                "nothing, unless another destination was meant",
            ),
            None => all.push(destination),
        }
    }
    if sets.is_empty() {
        return Err(Refused::Nothing("a destination of a dispatcher list"));
    }
    if around.is_alone {
        surroundings(&sets, around, &mut draft);
    }
    for (set, mut all) in sets {
        // As the dispatcher does: the highest first, those of equal rank as they are written.
        all.sort_by_key(|destination| std::cmp::Reverse(destination.priority));
        match all.iter().any(|destination| destination.weight.is_some()) {
            true => shared(set, &all, around, &mut draft),
            false => in_order(set, &all, around, &mut draft),
        }
    }
    Ok(draft.finish())
}

fn destination(line: usize, text: &str, draft: &mut Draft) -> Option<(i64, Destination)> {
    let mut words = text.split_ascii_whitespace();
    let (set, uri) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let refused = |why: &str, help: &str, draft: &mut Draft| {
        draft.note(line, format!("\"{}\"", word(text)), why, help);
        None
    };
    let Ok(set) = set.parse::<i64>() else {
        return refused(
            "it does not begin with the number of a set",
            "write \"1 sip:192.0.2.10:5060 0 0\"",
            draft,
        );
    };
    let (flags, priority) = (words.next().unwrap_or("0"), words.next().unwrap_or("0"));
    let attributes = words.next().unwrap_or_default();
    let (Ok(flags), Ok(priority)) = (flags.parse::<u32>(), priority.parse::<i64>()) else {
        return refused(
            "flags and priority are no numbers",
            "write \"1 sip:192.0.2.10:5060 0 0\"",
            draft,
        );
    };
    if flags & 4 != 0 {
        return refused(
            "it is disabled (flag 4)",
            "nothing; add it to the targets when it is to be used",
            draft,
        );
    }
    if flags & !8 != 0 {
        let what = format!("flags {flags} of {}", word(uri));
        let why = "whether a target is up is found out by OPTIONS, names are always resolved";
        draft.note(line, what, why, "nothing");
    }
    let Some((host, port, transport)) = place(uri) else {
        return refused(
            "the destination is no SIP URI with a host",
            "write \"sip:192.0.2.10:5060;transport=udp\"",
            draft,
        );
    };
    if transport.is_empty() {
        return refused(
            "its transport is not supported",
            "use udp, tcp or tls, such as \"sip:192.0.2.10:5061;transport=tls\"",
            draft,
        );
    }
    let (mut weight, mut relative) = (None, None);
    let mut left = Vec::new();
    for attribute in attributes.split(';').filter(|text| !text.is_empty()) {
        match attribute.split_once('=') {
            Some(("weight", value)) if value.parse::<i64>().is_ok() => weight = value.parse().ok(),
            Some(("rweight", value)) if value.parse::<i64>().is_ok() => {
                relative = value.parse().ok()
            }
            _ => left.push(word(attribute)),
        }
    }
    left.extend(words.map(word));
    if !left.is_empty() {
        draft.note(
            line,
            format!("attributes {} of {}", word(&left.join(";")), word(uri)),
            "they have no equivalent at a target",
            "calls at a time are limits = { calls = … } of the trunk; a socket to send from is its realm",
        );
    }
    let destination = Destination {
        line,
        host,
        port,
        transport,
        priority,
        weight: weight.or(relative),
    };
    Some((set, destination))
}

/// Host, port and transport of a URI; the transport is empty if it is none of ours.
fn place(uri: &str) -> Option<(String, Option<u16>, &'static str)> {
    let lower = uri.to_ascii_lowercase();
    let (rest, usual) = match lower.strip_prefix("sips:") {
        Some(rest) => (rest, "tls"),
        None => (lower.strip_prefix("sip:")?, "udp"),
    };
    let mut parts = rest.split(';');
    let at = parts.next()?;
    let at = at.rsplit_once('@').map_or(at, |(_, place)| place);
    let transport = parts.find_map(|part| part.strip_prefix("transport="));
    let transport = match transport {
        None => usual,
        Some("udp") => "udp",
        Some("tcp") => "tcp",
        Some("tls") => "tls",
        Some(_) => "",
    };
    let (host, port) = super::host_and_port(at)?;
    Some((host, port, transport))
}

/// What makes a whole configuration of a list.
fn surroundings(sets: &BTreeMap<i64, Vec<Destination>>, around: &Around, draft: &mut Draft) {
    draft.added(
        "[node]",
        "Name of this machine, as it appears in call records.",
    );
    draft.change("id", "\"sbc1\"", "its name");
    draft.added(
        "[[realm]]",
        "The list does not say from which address calls are sent.",
    );
    draft.text("name", &around.realm);
    let has_v6 = |destination: &Destination| destination.host.parse::<Ipv6Addr>().is_ok();
    let addresses = match sets.values().flatten().any(has_v6) {
        true => "[\"192.0.2.10\", \"2001:db8::10\"]",
        false => "[\"192.0.2.10\"]",
    };
    draft.change(
        "addresses",
        addresses,
        "the local addresses towards these peers",
    );
    draft.text("ports", "20000-29999");
    let uses = |wanted: &str| {
        let mut all = sets.values().flatten();
        all.any(|destination| destination.transport == wanted)
    };
    for (transport, port) in [("udp", 5060), ("tcp", 5060)] {
        // A listener for datagrams brings the one for connections with it.
        if uses(transport) && !(transport == "tcp" && uses("udp")) {
            draft.added("[[listen]]", "Destinations of this transport.");
            draft.text("realm", &around.realm);
            draft.text("transport", transport);
            draft.raw("port", port);
        }
    }
    if uses("tls") {
        draft.added("[[tls]]", "Certificate and key are not in the list.");
        draft.text("name", &around.realm);
        let path = |end: &str| quoted(&format!("/etc/causeway/tls/{}{end}", around.realm));
        draft.change(
            "cert",
            path(".pem"),
            "our certificate, then its intermediates",
        );
        draft.change(
            "key",
            format!("{{ file = {} }}", path(".key")),
            "its private key",
        );
        draft.change(
            "client_ca",
            path("-ca.pem"),
            "roots of the peers' certificates",
        );
        draft.added("[[listen]]", "Destinations of this transport.");
        draft.text("realm", &around.realm);
        draft.text("transport", "tls");
        draft.raw("port", 5061);
        draft.text("tls", &around.realm);
    }
    if around.tenant != "*" {
        draft.added("[[tenant]]", "The customer whose trunks these are.");
        draft.text("name", &around.tenant);
        draft.line("numbers = [] # CHANGE: the customer's numbers, or \"causeway import numbers\"");
    }
}

/// A trunk with these targets.
fn trunk(name: &str, what: &str, targets: &[&Destination], around: &Around, draft: &mut Draft) {
    let line = targets.first().map_or(0, |first| first.line);
    draft.block("[[trunk]]", line, what);
    draft.text("name", name);
    draft.text("preset", "carrier");
    draft.text("tenant", &around.tenant);
    draft.text("realm", &around.realm);
    draft.line("targets = [");
    for target in targets {
        let text = quoted(&target.target());
        draft.line(&format!(
            "    {text}, # line {}, priority {}",
            target.line, target.priority
        ));
    }
    draft.line("]");
    let is_address = |target: &&Destination| target.host.parse::<IpAddr>().is_ok();
    let mut secure = targets.iter().filter(|target| target.transport == "tls");
    if targets.iter().any(|target| target.transport == "tls") && secure.all(is_address) {
        draft.accept_names(line, name);
    }
    let is_named = |target: &&&Destination| target.host.parse::<IpAddr>().is_err();
    if let Some(named) = targets.iter().find(is_named) {
        let what = format!("where requests of {} come from", word(&named.host));
        let why = "the list has a name, and nothing but addresses is accepted";
        let help = "put the peer's ranges in the place of the example in accept_from";
        draft.note(named.line, what, why, help);
        let addresses = targets
            .iter()
            .filter_map(|target| target.host.parse::<IpAddr>().ok());
        let mut all: Vec<String> = addresses.map(|ip| quoted(&ip.to_string())).collect();
        // Each named peer has an example of its own, so that no two trunks seem to be the same.
        let line = named.line;
        all.push(format!("\"2001:db8:ffff::{:x}\"", line));
        draft.change(
            "accept_from",
            format!("[{}]", all.join(", ")),
            "ranges of the peer",
        );
    }
}

fn in_order(set: i64, all: &[Destination], around: &Around, draft: &mut Draft) {
    let name = draft.name("trunk", &format!("set-{set}"));
    // One trunk has one transport to our side: TLS or none.
    let (secure, plain): (Vec<_>, Vec<_>) = all.iter().partition(|one| one.transport == "tls");
    let mut names = Vec::new();
    for (index, group) in [plain, secure]
        .iter()
        .filter(|group| !group.is_empty())
        .enumerate()
    {
        let name = match index {
            0 => name.clone(),
            _ => draft.name("trunk", &format!("set-{set}-tls")),
        };
        trunk(&name, &format!("set {set}"), group, around, draft);
        names.push((name, None));
    }
    let line = all.first().map_or(0, |first| first.line);
    route(set, line, &names, draft);
    let ranks = all
        .iter()
        .any(|one| Some(one.priority) != all.first().map(|first| first.priority));
    if all.len() > 1 && !ranks {
        draft.note(
            line,
            format!("how set {set} shares its calls"),
            "the algorithm is an argument of ds_select_dst in the routing script; targets are tried in order",
            "to share calls give the destinations weights (weight=50) and import again",
        );
    }
}

fn shared(set: i64, all: &[Destination], around: &Around, draft: &mut Draft) {
    let mut names = Vec::new();
    for destination in all {
        let weight = match destination.weight {
            Some(weight) if weight > 0 => weight.min(100),
            Some(_) | None => {
                draft.note(
                    destination.line,
                    format!("{} in set {set}", word(&destination.target())),
                    "it has no weight, or zero, while others of its set have one: no call goes there",
                    "give it a weight, or nothing",
                );
                continue;
            }
        };
        if names.len() == MOST_OF_ROUTE {
            draft.note(
                destination.line,
                format!("{} in set {set}", word(&destination.target())),
                "a call is tried at six trunks at most",
                "make two routes with parts of the set",
            );
            continue;
        }
        let name = draft.name("trunk", &format!("set-{set}-{}", names.len() + 1));
        trunk(&name, &format!("set {set}"), &[destination], around, draft);
        names.push((name, Some(weight)));
    }
    let line = all.first().map_or(0, |first| first.line);
    route(set, line, &names, draft);
    if all
        .iter()
        .any(|one| Some(one.priority) != all.first().map(|first| first.priority))
    {
        draft.note(
            line,
            format!("priorities of set {set}"),
            "the set has weights, and a route shares calls by those alone",
            "remove the weights if the priorities are meant, and import again",
        );
    }
}

fn route(set: i64, line: usize, names: &[(String, Option<i64>)], draft: &mut Draft) {
    if names.is_empty() {
        return;
    }
    let name = draft.name("route", &format!("to-set-{set}"));
    draft.block("[[route]]", line, &format!("set {set}"));
    draft.text("name", &name);
    draft.change(
        "match",
        format!("{{ called = '^set{set}$' }}"),
        "which calls go there; this fits none",
    );
    let to = names.iter().map(|(trunk, weight)| match weight {
        Some(weight) => format!("{{ trunk = {}, weight = {weight} }}", quoted(trunk)),
        None => format!("{{ trunk = {} }}", quoted(trunk)),
    });
    draft.raw("to", format!("[{}]", to.collect::<Vec<_>>().join(", ")));
    // Three are tried where the route does not say.
    if names.len() > 3 {
        draft.raw("hunt", format!("{{ max = {} }}", names.len()));
    }
    draft.note(
        line,
        format!("which calls go to set {set}"),
        "the routing script says so, not the list",
        "write it into the route's match: from_trunk, called, calling or called_in",
    );
}
