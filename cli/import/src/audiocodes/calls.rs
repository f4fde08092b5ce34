//! Calls: the IP-to-IP routing table as routes, manipulation tables as transforms.

use super::peers::Peers;
use super::{Row, Tables, rest};
use crate::Draft;
use crate::draft::word;
use crate::pattern::{Change, Pattern};
use crate::quoted;
use std::collections::BTreeMap;

/// Most trunks of a route.
const MOST_OF_ROUTE: usize = 6;

/// Writes transforms, then routes.
pub(super) fn write(tables: &mut Tables, peers: &Peers, draft: &mut Draft) {
    transforms(tables, peers, draft);
    routes(tables, peers, draft);
}

/// Rules on called and calling numbers of a trunk, in one direction.
#[derive(Default)]
struct Rules {
    line: usize,
    calling: Vec<String>,
    called: Vec<String>,
}

fn transforms(tables: &mut Tables, peers: &Peers, draft: &mut Draft) {
    let mut all: BTreeMap<(String, bool), Rules> = BTreeMap::new();
    for (table, is_inbound) in [
        ("IPInboundManipulation", true),
        ("IPOutboundManipulation", false),
    ] {
        for mut row in tables.take(table) {
            let name = row.take("ManipulationName");
            match rule(&mut row, is_inbound, peers) {
                Ok((trunk, is_called, text)) => {
                    let rules = all.entry((trunk, is_inbound)).or_default();
                    if rules.line == 0 {
                        rules.line = row.line;
                    }
                    let text = format!("    {text}, # line {}, {}", row.line, word(&name));
                    match is_called {
                        true => rules.called.push(text),
                        false => rules.calling.push(text),
                    }
                    rest(table, &row, draft);
                }
                Err(why) => draft.note(
                    row.line,
                    format!("manipulation \"{}\"", word(&name)),
                    why,
                    "write a rule of a [[transform]] for it: match = '^0(.*)$', set = '+44$1'",
                ),
            }
        }
    }
    for ((trunk, is_inbound), rules) in all {
        let dir = if is_inbound { "in" } else { "out" };
        let name = draft.name("transform", &format!("{dir}-{trunk}"));
        draft.block(
            "[[transform]]",
            rules.line,
            "manipulations of this IP group",
        );
        draft.text("name", &name);
        draft.raw(
            "when",
            format!("{{ trunk = {}, dir = \"{dir}\" }}", quoted(&trunk)),
        );
        for (key, texts) in [("calling", rules.calling), ("called", rules.called)] {
            if !texts.is_empty() {
                draft.line(&format!("{key} = [\n{}\n]", texts.join("\n")));
            }
        }
    }
}

/// Trunk, whether it is about the called number, and the rule.
fn rule(
    row: &mut Row,
    is_inbound: bool,
    peers: &Peers,
) -> Result<(String, bool, String), &'static str> {
    let (source, destination) = (row.take("SrcIPGroupName"), row.take("DestIPGroupName"));
    let (own, other) = match is_inbound {
        true => (source, String::from("any")),
        false => (destination, source),
    };
    if !is_any(&other) {
        return Err(
            "it depends on where the call comes from, and a transform of outgoing calls does not know",
        );
    }
    let trunk = peers
        .trunk(&own)
        .ok_or("its IP group is \"Any\", or has become no trunk")?;
    if row.number("IsAdditionalManipulation") == Some(1) {
        return Err(
            "it comes on top of the rule before it; here the first rule that fits is the only one",
        );
    }
    if row
        .number("ManipulationPurpose")
        .is_some_and(|purpose| purpose != 0)
    {
        return Err("it changes what is routed by and not what is sent");
    }
    let is_called = row.number("ManipulatedURI") == Some(1);
    let called = pattern(row, &["DestUsernamePattern", "DestUsernamePrefix"])?;
    let calling = pattern(row, &["SrcUsernamePattern", "SrcUsernamePrefix"])?;
    let (own, other) = match is_called {
        true => (called, calling),
        false => (calling, called),
    };
    if !other.is_any() {
        return Err("it depends on the other number of the call, and a rule sees one number");
    }
    for column in [
        "SrcHost",
        "DestHost",
        "CallingNamePrefix",
        "CallingNamePattern",
        "ReRouteIPGroupName",
    ] {
        if !is_any(&row.take(column)) {
            return Err("it depends on a host, a name, or who redirected the call");
        }
    }
    let is_for_calls = row
        .number("RequestType")
        .is_none_or(|kind| kind == 0 || kind == 1);
    let is_for_all = row.number("Trigger").is_none_or(|trigger| trigger == 0);
    if !is_for_calls || !is_for_all || !row.take("MessageConditionName").is_empty() {
        return Err("it is for some requests only");
    }
    let mut count = |column: &str| usize::try_from(row.number(column).unwrap_or(0)).unwrap_or(0);
    let change = Change {
        left: count("RemoveFromLeft"),
        right: count("RemoveFromRight"),
        leave: Some(count("LeaveFromRight")).filter(|leave| (1..255).contains(leave)),
        before: row.take("Prefix2Add"),
        behind: row.take("Suffix2Add"),
    };
    row.take("RoutingPolicyName");
    let (regex, set) = own.rule(&change)?;
    let text = format!("{{ match = '{regex}', set = '{set}' }}");
    Ok((trunk.to_owned(), is_called, text))
}

fn is_any(text: &str) -> bool {
    matches!(text, "" | "*") || text.eq_ignore_ascii_case("any")
}

fn pattern(row: &mut Row, columns: &[&str]) -> Result<Pattern, &'static str> {
    Pattern::parse(&row.take_any(columns))
}

/// A route that is to be written.
struct Way {
    line: usize,
    name: String,
    /// What its rows ask of a call: those that differ are no alternatives.
    when: String,
    to: Vec<String>,
    at_once: bool,
}

fn routes(tables: &mut Tables, peers: &Peers, draft: &mut Draft) {
    let mut ways: Vec<Way> = Vec::new();
    // Whether the row that alternatives belong to has become a route.
    let mut is_open = false;
    for mut row in tables.take("IP2IPRouting") {
        let name = row.take("RouteName");
        let option = row.number("AltRouteOptions").unwrap_or(0);
        let forks = row.number("GroupPolicy") == Some(1);
        let read = way(&mut row, peers);
        let result = match (read, option, ways.last_mut().filter(|_| is_open)) {
            (Err(why), ..) => Err(why),
            (Ok((when, to)), 0, _) => {
                ways.push(Way {
                    line: row.line,
                    name: name.clone(),
                    when,
                    to: vec![to],
                    at_once: forks,
                });
                Ok(())
            }
            (Ok(_), _, None) => Err("the row that it is an alternative of has become no route"),
            // 2 and 4 ask their own conditions, too.
            (Ok((when, _)), 2 | 4, Some(before)) if before.when != when => {
                Err("it is an alternative with conditions of its own")
            }
            (Ok((_, to)), _, Some(before)) if before.to.contains(&to) => {
                Err("the route leads to this trunk already, which tries all its targets by itself")
            }
            (Ok(_), _, Some(before)) if before.to.len() == MOST_OF_ROUTE => {
                Err("a call is tried at six trunks at most")
            }
            (Ok((_, to)), _, Some(before)) => {
                before.to.push(to);
                Ok(())
            }
        };
        match result {
            Ok(()) => {
                is_open = true;
                rest("IP2IPRouting", &row, draft);
            }
            Err(why) => {
                // An alternative that is left out leaves those after it alone.
                is_open = is_open && option != 0;
                draft.note(
                    row.line,
                    format!("routing rule \"{}\"", word(&name)),
                    why,
                    "where calls depend on it write a [[route]]; \"causeway route test\" shows what becomes of a call",
                );
            }
        }
    }
    for way in ways {
        let name = draft.name("route", &way.name);
        draft.block("[[route]]", way.line, &format!("routing rule {}", way.name));
        draft.text("name", &name);
        if !way.when.is_empty() {
            draft.raw("match", format!("{{ {} }}", way.when));
        }
        let to: Vec<String> = way
            .to
            .iter()
            .map(|trunk| format!("{{ trunk = {} }}", quoted(trunk)))
            .collect();
        draft.raw("to", format!("[{}]", to.join(", ")));
        if way.at_once && to.len() > 1 {
            draft.text("ring", "at_once");
        }
        if to.len() > 3 {
            draft.raw("hunt", format!("{{ max = {} }}", to.len()));
        }
    }
}

/// Conditions and trunk of a row.
fn way(row: &mut Row, peers: &Peers) -> Result<(String, String), &'static str> {
    match row.number("RequestType").unwrap_or(0) {
        0 | 1 | 4 | 5 => {}
        6 => return Err("OPTIONS are answered without a route"),
        _ => return Err("it is for requests that are no calls"),
    }
    if row
        .number("Trigger")
        .is_some_and(|trigger| !matches!(trigger, 0 | 4))
    {
        return Err(
            "transfers and redirections are routed as calls of the trunk that asks for them, without a rule",
        );
    }
    if row.number("DestType").unwrap_or(0) != 0 {
        return Err(
            "it leads to no IP group (but to an address, the Request-URI, a dial plan, a tag or an answer)",
        );
    }
    for column in ["SrcHost", "DestHost", "ReRouteIPGroupName"] {
        if !is_any(&row.take(column)) {
            return Err(
                "it depends on a host, or on who redirected the call; without that it would take more calls",
            );
        }
    }
    for column in ["MessageConditionName", "SrcTags", "DestTags"] {
        if !is_any(&row.take(column)) {
            return Err(
                "it depends on a condition or a tag; without that it would take more calls",
            );
        }
    }
    let group = row.take("DestIPGroupName");
    let to = peers
        .trunk(&group)
        .ok_or("the IP group that it leads to has become no trunk")?;
    let mut when = Vec::new();
    let source = row.take("SrcIPGroupName");
    if !is_any(&source) {
        let from = peers
            .trunk(&source)
            .ok_or("the IP group that its calls come from has become no trunk")?;
        when.push(format!("from_trunk = {}", quoted(from)));
    }
    for (key, columns) in [
        ("called", ["DestUsernamePattern", "DestUsernamePrefix"]),
        ("calling", ["SrcUsernamePattern", "SrcUsernamePrefix"]),
    ] {
        let pattern = pattern(row, &columns)?;
        if !pattern.is_any() {
            when.push(format!("{key} = '{}'", pattern.regex()));
        }
    }
    // The trunk has its own place on the network, and where its targets are.
    for column in [
        "RoutingPolicyName",
        "DestSIPInterfaceName",
        "DestTransportType",
        "RoutingTagName",
    ] {
        row.take(column);
    }
    Ok((when.join(", "), to.to_owned()))
}
