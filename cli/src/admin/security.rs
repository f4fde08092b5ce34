//! Whom an operator keeps out, and lets in for a while; and who is kept out without being asked (SEC-040, SEC-056).

use super::log::seconds;
use super::who::{Besides, Who};
use super::{Access, Problem, trunks};
use crate::daemon::Daemon;
use crate::daemon::net::Stranger;
use crate::daemon::protection::{Entry, Full, LONGEST, MOST, USUAL};
use crate::daemon::stop::ANSWER;
use crate::sink::log::wall_clock;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use sbc_core::config::{Config, IpNet, Trunk};
use sbc_core::id::TrunkName;
use sbc_core::input::{Answered, Command};
use sbc_core::time::UnixTime;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Octets of a reason.
const LONGEST_REASON: usize = 200;

type Asked<T> = Result<Query<T>, QueryRejection>;
type Done = Result<(Extension<Besides>, Json<Value>), Problem>;

/// All that is let in and kept out.
pub(super) async fn show(State(access): State<Access>) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let loaded = daemon.loaded();
    let config = &loaded.config;
    let ban = |own: &Entry| {
        let mut row = row(own);
        row["dropped"] = json!(daemon.net().dropped_by_ban(&own.net));
        row["trunks"] = json!(losing(&daemon, config, own.net));
        row
    };
    let bans: Vec<Value> = daemon.protection().bans().iter().map(ban).collect();
    let stranger = |own: &Stranger| {
        json!({
            "source": own.source,
            "listener": own.listener,
            "protocol": own.protocol,
            "times": own.times,
            "first_seconds_ago": own.first.elapsed().as_secs(),
            "last_seconds_ago": own.last.elapsed().as_secs(),
        })
    };
    let strangers = daemon.net().strangers();
    Ok(Json(json!({
        "bans": bans,
        "allowed": allowed(&daemon, config, None),
        "strangers": strangers.iter().map(stranger).collect::<Vec<_>>(),
        "silenced": silenced(&daemon).await?,
    })))
}

/// Where peers of trunks are: those of the configuration, and guests.
pub(super) fn allowed(daemon: &Daemon, config: &Config, only: Option<&TrunkName>) -> Vec<Value> {
    let mut rows = Vec::new();
    let is_meant = |trunk: &TrunkName| only.is_none_or(|only| only == trunk);
    // Those of derived trunks are their carrier trunk's.
    let trunks = config.trunks.values();
    let trunks = trunks.filter(|trunk| trunk.carrier.is_none() && is_meant(&trunk.name));
    for trunk in trunks {
        rows.extend(trunk.peer_ranges().map(|net| {
            json!({
                "trunk": trunk.name,
                "address": net.to_string(),
                "since": null,
                "until": null,
                "seconds_left": null,
                "by": null,
                "reason": "the configuration",
            })
        }));
    }
    let guests = daemon.protection().guests();
    let guests = guests
        .iter()
        .filter(|own| own.trunk.as_ref().is_some_and(is_meant));
    rows.extend(guests.map(row));
    rows
}

/// A ban or a guest.
fn row(own: &Entry) -> Value {
    let mut row = json!({
        "address": own.net.to_string(),
        "since": own.since.rfc3339(),
        "until": own.until.rfc3339(),
        "seconds_left": own.left().as_secs(),
        "by": own.by,
        "reason": own.reason,
    });
    if let Some(trunk) = &own.trunk {
        row["trunk"] = json!(trunk);
    }
    row
}

/// Sources of which names are not listened to, as they have shown too many wrong passwords.
async fn silenced(daemon: &Daemon) -> Result<Vec<Value>, Problem> {
    let mut all: BTreeMap<IpAddr, Duration> = BTreeMap::new();
    for inbox in daemon.inboxes().all() {
        let answer = daemon.replies().ask(inbox, Command::Silenced, ANSWER).await;
        let Some(Answered::Silenced(told)) = answer else {
            return Err(Problem::busy());
        };
        for (source, left) in told {
            let known = all.entry(source).or_default();
            *known = left.max(*known);
        }
    }
    let row = |(source, left): (&IpAddr, &Duration)| json!({ "source": source, "seconds_left": left.as_secs() });
    Ok(all.iter().map(row).collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BanWish {
    address: String,
    seconds: Option<u64>,
    reason: Option<String>,
    #[serde(default)]
    force: bool,
}

/// Bans addresses.
pub(super) async fn ban(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
    wish: Asked<BanWish>,
) -> Done {
    let wish = asked(wish)?;
    let daemon = access.daemon()?;
    let net = network(&wish.address)?;
    let losing = losing(&daemon, &daemon.loaded().config, net);
    let warning = (!losing.is_empty()).then(|| {
        format!(
            "{net} has addresses of the peer of {}: its calls cannot be heard any more, not even to be ended",
            listed(&losing)
        )
    });
    if let Some(warning) = warning.as_ref().filter(|_| !wish.force) {
        return Err(Problem::new(StatusCode::CONFLICT, warning));
    }
    let entry = entry(net, None, wish.seconds, wish.reason, &who)?;
    done(&daemon, entry, warning).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GuestWish {
    trunk: String,
    address: String,
    seconds: Option<u64>,
    reason: Option<String>,
    #[serde(default)]
    force: bool,
}

/// Lets addresses in as a trunk's.
pub(super) async fn allow(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
    wish: Asked<GuestWish>,
) -> Done {
    let wish = asked(wish)?;
    let daemon = access.daemon()?;
    let net = network(&wish.address)?;
    let loaded = daemon.loaded();
    let trunk = trunk(&loaded.config, &wish.trunk)?;
    if trunk
        .peer_ranges()
        .any(|own| own.contains(net.first()) && own.contains(net.last()))
    {
        let why = format!("{net} is the trunk's already, by the configuration");
        return Err(Problem::new(StatusCode::BAD_REQUEST, why));
    }
    let sharing = loaded.config.sharing(trunk, net);
    let bans = daemon.protection().bans();
    let banned = bans.iter().find(|own| own.net.overlaps(&net));
    let warning = match (sharing.is_empty(), banned) {
        (true, None) => None,
        (false, _) => Some(format!(
            "{net} has addresses of {} as well, at the same listeners: a call from there could be of either",
            listed(&names(&sharing))
        )),
        (true, Some(ban)) => Some(format!("{} is banned, which outranks this", ban.net)),
    };
    if let Some(warning) = warning.as_ref().filter(|_| !wish.force) {
        return Err(Problem::new(StatusCode::CONFLICT, warning));
    }
    let name = Some(trunk.name.clone());
    let entry = entry(net, name, wish.seconds, wish.reason, &who)?;
    done(&daemon, entry, warning).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unban {
    address: String,
}

/// Ends a ban.
pub(super) async fn unban(State(access): State<Access>, wish: Asked<Unban>) -> Done {
    let wish = asked(wish)?;
    ended(&access, network(&wish.address)?, None).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Disallow {
    trunk: String,
    address: String,
}

/// Lets addresses in no more.
pub(super) async fn disallow(State(access): State<Access>, wish: Asked<Disallow>) -> Done {
    let wish = asked(wish)?;
    let trunk = TrunkName::new(&wish.trunk);
    ended(&access, network(&wish.address)?, Some(&trunk)).await
}

fn asked<T>(wish: Asked<T>) -> Result<T, Problem> {
    let Query(wish) = wish.map_err(|why| Problem::query(&why))?;
    Ok(wish)
}

/// Addresses that may be meant.
fn network(text: &str) -> Result<IpNet, Problem> {
    let refused = |why: String| Problem::new(StatusCode::BAD_REQUEST, why);
    // It goes into the answer, and nothing that is longer is an address.
    let shown: String = text.chars().take(64).collect();
    let net = IpNet::parse(&shown).map_err(refused)?;
    match net.admits_strangers() || shown.len() < text.len() {
        true => Err(refused(format!(
            "{net} is too much: name a range of a peer, /8 at most, of IPv6 /16"
        ))),
        false => Ok(net),
    }
}

fn trunk<'c>(config: &'c Config, name: &str) -> Result<&'c Arc<Trunk>, Problem> {
    let trunk = trunks::named(config, name)?;
    let why = match (&trunk.carrier, trunk.is_out_of_service) {
        (Some(carrier), _) => {
            format!("trunk \"{name}\" is derived from \"{carrier}\": name that one")
        }
        (None, true) => format!("trunk \"{name}\" is out of service: its secret is not there"),
        (None, false) => return Ok(trunk),
    };
    Err(Problem::new(StatusCode::BAD_REQUEST, why))
}

fn entry(
    net: IpNet,
    trunk: Option<TrunkName>,
    wanted: Option<u64>,
    reason: Option<String>,
    who: &Who,
) -> Result<Entry, Problem> {
    let refused = |why: String| Problem::new(StatusCode::BAD_REQUEST, why);
    let lasts = seconds(wanted, USUAL, LONGEST).map_err(refused)?;
    let reason = reason.unwrap_or_default();
    if reason.len() > LONGEST_REASON || reason.chars().any(char::is_control) {
        let why = format!("reason has {LONGEST_REASON} octets at most, on one line");
        return Err(refused(why));
    }
    let since = wall_clock();
    let lasts = u64::try_from(lasts.as_micros()).unwrap_or(u64::MAX);
    Ok(Entry {
        net,
        trunk,
        since,
        until: UnixTime::from_micros(since.as_micros().saturating_add(lasts)),
        by: who.name().to_owned(),
        reason,
    })
}

async fn done(daemon: &Daemon, entry: Entry, warning: Option<String>) -> Done {
    let more = format!(
        "{}{} until {}{}",
        entry
            .trunk
            .as_ref()
            .map_or_else(String::new, |trunk| format!("{trunk}: ")),
        entry.net,
        entry.until.rfc3339(),
        match entry.reason.as_str() {
            "" => String::new(),
            reason => format!(" ({reason})"),
        }
    );
    let besides = Besides {
        more,
        object: Some(object(entry.net, entry.trunk.as_ref())),
        change: Some(format!("until {}", entry.until.rfc3339())),
        reason: Some(entry.reason.clone()).filter(|reason| !reason.is_empty()),
    };
    let mut told = row(&entry);
    let is_kept = daemon.protect(entry).await.map_err(|Full| {
        let why = format!("there are {MOST} already, which is the most: end some of them");
        Problem::new(StatusCode::INSUFFICIENT_STORAGE, why)
    })?;
    told["kept"] = json!(is_kept);
    told["warning"] = json!(warning);
    Ok((Extension(besides), Json(told)))
}

async fn ended(access: &Access, net: IpNet, trunk: Option<&TrunkName>) -> Done {
    let daemon = access.daemon()?;
    let is_kept = daemon.protect_no_more(net, trunk).await.ok_or_else(|| {
        let why = match trunk {
            None => format!("{net} is not banned by an operator"),
            Some(_) => format!("{net} is not let in by an operator as that trunk's"),
        };
        Problem::new(StatusCode::NOT_FOUND, why)
    })?;
    let besides = match trunk {
        Some(trunk) => format!("{trunk}: {net}"),
        None => net.to_string(),
    };
    let told = json!({ "address": net.to_string(), "ended": true, "kept": is_kept });
    let besides = Besides {
        object: Some(object(net, trunk)),
        change: Some("ended".to_owned()),
        ..Besides::more(besides)
    };
    Ok((Extension(besides), Json(told)))
}

/// For the audit log.
fn object(net: IpNet, trunk: Option<&TrunkName>) -> String {
    match trunk {
        None => format!("ban {net}"),
        Some(trunk) => format!("addresses of trunk {trunk}: {net}"),
    }
}

/// Trunks whose peer is there: by the configuration, by what it has registered, or as our registrar.
fn losing(daemon: &Daemon, config: &Config, net: IpNet) -> Vec<TrunkName> {
    let mut found: BTreeSet<TrunkName> = names(&config.losing(net)).into_iter().collect();
    let metrics = &daemon.sinks().metrics;
    for known in metrics.bindings.all() {
        let mut contacts = known.bound.bindings.iter();
        if contacts.any(|own| net.contains(own.remote().ip().to_canonical())) {
            found.insert(known.bound.trunk.clone());
        }
    }
    for known in metrics.registrations.all() {
        let server = known.standing.server.as_ref();
        if server.is_some_and(|(_, remote)| net.contains(remote.ip().to_canonical())) {
            found.insert(known.standing.trunk.clone());
        }
    }
    found.into_iter().collect()
}

fn names(trunks: &[&Arc<Trunk>]) -> Vec<TrunkName> {
    trunks.iter().map(|trunk| trunk.name.clone()).collect()
}

/// Some trunks in words: a node may have hundreds.
fn listed(names: &[TrunkName]) -> String {
    let first: Vec<String> = names
        .iter()
        .take(3)
        .map(|name| format!("\"{name}\""))
        .collect();
    match names.len() {
        0..=3 => format!("trunk {}", first.join(", ")),
        count => format!("trunk {} and {} more", first.join(", "), count - 3),
    }
}
