//! The node as a whole: metrics, health, status, reload, drain.

use super::who::Who;
use super::{Access, Problem};
use crate::daemon::Daemon;
use crate::daemon::confine::{self, Held};
use crate::daemon::generations::Origin;
use crate::sink::metrics::{Metrics, PeerHealth, open};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use sbc_core::config::{Config, Preset, Trunk};
use sbc_core::input::{Answered, Command};
use sbc_core::trunk::{RegistrationState, TargetState};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// How long a scrape waits for shards that have no time.
const PHASES: Duration = Duration::from_millis(100);

pub(super) async fn metrics(
    State(access): State<Access>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let daemon = access.daemon()?;
    let asked = headers.get_all(ACCEPT).iter();
    let mut asked = asked.filter_map(|value| value.to_str().ok());
    let (form, text) = match asked.any(|value| value.contains(open::NAME)) {
        true => (open::FORM, scraped_as(&daemon, Metrics::open_text).await),
        false => (
            "text/plain; version=0.0.4; charset=utf-8",
            scraped(&daemon).await,
        ),
    };
    Ok(([(CONTENT_TYPE, form)], text).into_response())
}

/// Has the shards say which calls are early and held. Where one has no time for it, all stay as they were: what is
/// scraped does not wait longer than that.
async fn phases(daemon: &Daemon) {
    let shards = daemon.inboxes().all().iter();
    let asked = shards.map(|inbox| daemon.replies().ask(inbox, Command::Phases, PHASES));
    let mut all = HashMap::new();
    for told in join_all(asked).await {
        let Some(Answered::Phases(told)) = told else {
            return;
        };
        all.extend(told);
    }
    daemon.sinks().metrics.calls.in_phases(&all);
}

/// Every metric as it is now.
pub(super) async fn scraped(daemon: &Daemon) -> String {
    scraped_as(daemon, Metrics::text).await
}

async fn scraped_as(daemon: &Daemon, text: fn(&Metrics) -> String) -> String {
    phases(daemon).await;
    let metrics = &daemon.sinks().metrics;
    for inbox in daemon.inboxes().all() {
        let queue = format!("shard{}", inbox.shard().0);
        metrics
            .queue_depth
            .with_label_values(&[queue.as_str()])
            .set(i64::try_from(inbox.depth()).unwrap_or(i64::MAX));
    }
    let audit = i64::try_from(daemon.sinks().audit.waiting()).unwrap_or(i64::MAX);
    metrics.queue_depth.with_label_values(&["audit"]).set(audit);
    let lines = i64::try_from(daemon.sinks().log.waiting_lines()).unwrap_or(i64::MAX);
    metrics.queue_depth.with_label_values(&["log"]).set(lines);
    let log = metrics.queue_dropped.with_label_values(&["log"]);
    log.inc_by(daemon.sinks().log.dropped().saturating_sub(log.get()));
    let before = metrics.dropped_series();
    let text = text(metrics);
    let dropped = metrics.dropped_series();
    if before == 0 && dropped > 0 {
        let told = format!(
            "{dropped} series are left out of what is scraped, because there are more than [metrics] max_series: the \
             largest metrics are cut; fewer trunks with calls on one node make fewer"
        );
        daemon.sinks().log.warn("metrics", told).send();
    }
    text
}

pub(super) async fn health(State(access): State<Access>) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    match daemon.health().stuck() {
        None => Ok(Json(json!({ "alive": true }))),
        Some(stuck) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            stuck.to_string(),
        )),
    }
}

pub(super) async fn ready(State(access): State<Access>) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let reasons = not_ready(&daemon);
    match reasons.is_empty() {
        true => Ok(Json(json!({ "ready": true }))),
        false => Err(Problem::because(StatusCode::SERVICE_UNAVAILABLE, reasons)),
    }
}

/// Why new calls cannot be put through.
pub(super) fn not_ready(daemon: &Daemon) -> Vec<String> {
    let mut reasons = Vec::new();
    if !daemon.is_serving() {
        reasons.push("the sockets are not served".to_owned());
    }
    if daemon.is_draining() {
        reasons.push("draining: no new calls are taken".to_owned());
    }
    if *daemon.sinks().cdr.refuses().borrow() {
        reasons.push("no new calls are taken, as their records could not be written".to_owned());
    }
    reasons.extend(daemon.health().stuck().map(|stuck| stuck.to_string()));
    reasons.extend(daemon.health().media_trouble());
    reasons.extend(cut_off(daemon));
    reasons
}

/// Whether the start is over: the sockets are served, whoever may answer.
pub(super) async fn started(State(access): State<Access>) -> Result<Json<Value>, Problem> {
    match access.daemon()?.is_serving() {
        true => Ok(Json(json!({ "started": true }))),
        false => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the sockets are not served",
        )),
    }
}

/// Sides of which no target answers, or has answered yet: a call needs both. Of a trunk that is not
/// probed nothing can be known, so it counts as answering.
fn cut_off(daemon: &Daemon) -> Vec<String> {
    let loaded = daemon.loaded();
    let config = &loaded.config;
    let known = daemon.sinks().metrics.calls.peers();
    let closed = daemon.closed_trunks().closed();
    let is_down = |trunk: &Trunk, host: &str| {
        !of_target(&known, trunk, host).takes_calls() || closed.of(trunk).is_some()
    };
    let sides = [
        (
            Preset::Teams,
            "no target of any Teams trunk answers",
            "every Teams trunk is disabled or drains",
        ),
        (
            Preset::Carrier,
            "no target of any carrier trunk answers",
            "every carrier trunk is disabled or drains",
        ),
    ];
    let mut reasons = Vec::new();
    for (preset, silent, shut) in sides {
        let mut trunks = config
            .trunks
            .values()
            .filter(|trunk| trunk.preset == preset && !trunk.targets.is_empty())
            .peekable();
        let mut own = trunks.clone();
        let reason = match own.all(|trunk| closed.of(trunk).is_some()) {
            true => shut,
            false => silent,
        };
        let is_cut_off = trunks.peek().is_some()
            && trunks.all(|trunk| trunk.targets.iter().all(|at| is_down(trunk, &at.host)));
        if is_cut_off {
            reasons.push(reason.to_owned());
        }
    }
    reasons
}

pub(super) async fn status(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let reasons = not_ready(&daemon);
    let is_drained = daemon.is_drained().await;
    let loaded = daemon.loaded();
    let listeners: Vec<Value> = loaded
        .config
        .listeners
        .values()
        .map(|listener| {
            json!({
                "name": listener.name,
                "protocol": listener.protocol,
                "address": daemon.net().address(&listener.name),
            })
        })
        .collect();
    Ok(Json(json!({
        "node": loaded.config.node.id,
        "version": env!("CARGO_PKG_VERSION"),
        "kept_form": sbc_core::kept::FORM,
        "state": match (daemon.is_stopping(), daemon.is_draining()) {
            (true, _) => "stopping",
            (false, true) if is_drained => "drained",
            (false, true) => "draining",
            (false, false) => "active",
        },
        "calls_end_seconds": daemon.calls_may_last().map(|time| time.as_secs()),
        "restarts": daemon.restarts(),
        "ready": reasons.is_empty(),
        "not_ready": reasons,
        "degraded": daemon.degraded(),
        "uptime_seconds": daemon.uptime().as_secs(),
        "overload": daemon.sinks().metrics.calls.overload().as_str(),
        "calls": daemon.calls_in_progress(),
        "connections": daemon.net().connections(),
        "shards": daemon.health().shards(),
        "config_generation": loaded.config.generation,
        "config_origin": match daemon.generations().origin() {
            Origin::Files => "files",
            Origin::Fallback(_) => "fallback",
            Origin::Earlier(by) => by.as_str(),
        },
        "config_because": match daemon.generations().origin() {
            Origin::Fallback(why) => Some(why),
            Origin::Files | Origin::Earlier(_) => None,
        },
        "config_confirm_seconds": daemon.generations().left().map(|left| left.as_secs()),
        "confinement": confinement(),
        "out_of_service": out_of_service(&loaded.config),
        "tenants": loaded.config.tenants.len(),
        "trunks": loaded.config.trunks.keys().collect::<Vec<_>>(),
        "listeners": listeners,
        "peers": peers(&daemon, &loaded.config),
        "registrations": seen(&who, registrations(&daemon, &loaded.config)),
        "bindings": seen(&who, bindings(&daemon, &loaded.config)),
    })))
}

/// What the process has taken from itself.
fn confinement() -> Value {
    let open = Held::Open.as_str();
    match confine::in_force() {
        Some(own) => json!({
            "files": own.files.as_str(),
            "calls": own.calls.as_str(),
            "because": own.because,
        }),
        None => json!({ "files": open, "calls": open, "because": [] }),
    }
}

/// What lacks its secret.
pub(super) fn out_of_service(config: &Config) -> Vec<String> {
    let trunks = config
        .trunks
        .values()
        .filter(|trunk| trunk.is_out_of_service);
    let tls = config.tls.values().filter(|tls| tls.lacks_key);
    let tls = tls.map(|tls| format!("tls \"{}\"", tls.name));
    tls.chain(trunks.map(|trunk| format!("trunk \"{}\"", trunk.name)))
        .collect()
}

/// What serves the media of each address, and why nothing faster.
pub(super) async fn media(State(access): State<Access>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!(access.daemon()?.media_served())))
}

/// Every target, in the order in which each trunk calls them.
pub(super) fn peers(daemon: &Daemon, config: &Config) -> Vec<Value> {
    let known = daemon.sinks().metrics.calls.peers();
    let mut rows = Vec::new();
    // The peers of derived trunks are those of their carrier trunk.
    for trunk in config
        .trunks
        .values()
        .filter(|trunk| trunk.carrier.is_none())
    {
        let mut hosts: Vec<&str> = Vec::new();
        for target in &trunk.targets {
            // Health is that of the host, on whatever ports it is called.
            if hosts.contains(&target.host.as_str()) {
                continue;
            }
            hosts.push(&target.host);
            rows.push(json!({
                "trunk": trunk.name,
                "peer": target.host,
                "state": of_target(&known, trunk, &target.host).word(),
                "addresses": addresses(&known, trunk, &target.host),
            }));
        }
    }
    rows
}

/// Every trunk that registers, and how that stands.
pub(super) fn registrations(daemon: &Daemon, config: &Config) -> Vec<Value> {
    let known = daemon.sinks().metrics.registrations.all();
    let row = |trunk: &Arc<Trunk>| {
        let register = trunk.register.as_ref()?;
        let found = known.iter().find(|one| one.standing.trunk == trunk.name);
        let standing = found.map(|one| &one.standing);
        let server = standing.and_then(|standing| standing.server.as_ref());
        Some(json!({
            "trunk": trunk.name,
            "address_of_record": format!("sip:{}@{}", register.user, register.domain),
            "state": standing.map_or(RegistrationState::Trying, |standing| standing.state),
            "server": server.map(|(_, remote)| remote),
            "until": standing.and_then(|standing| standing.until).map(|until| until.rfc3339()),
            "identities": standing.map(|standing| &standing.identities),
            "because": found.map(|one| &one.because),
        }))
    };
    config.trunks.values().filter_map(row).collect()
}

/// Every contact of every trunk whose peer registers with us; one row without contact where there is
/// none.
pub(super) fn bindings(daemon: &Daemon, config: &Config) -> Vec<Value> {
    let known = daemon.sinks().metrics.bindings.all();
    let mut rows = Vec::new();
    for trunk in config.trunks.values() {
        let Some(registrar) = &trunk.registrar else {
            continue;
        };
        let aor = format!("sip:{}@{}", registrar.user, registrar.domain);
        let found = known.iter().find(|one| one.bound.trunk == trunk.name);
        let contacts = found.map(|one| one.bound.bindings.as_slice());
        let contacts = contacts.unwrap_or_default();
        for contact in contacts {
            rows.push(json!({
                "trunk": trunk.name,
                "address_of_record": aor,
                "contact": contact.contact.uri().shown(),
                "reached_at": contact.remote(),
                "protocol": contact.flow.protocol,
                "all_numbers": contact.is_bulk,
                "preference": f64::from(contact.q_milli) / 1_000.0,
                "until": contact.until_wall.rfc3339(),
            }));
        }
        if contacts.is_empty() {
            rows.push(json!({
                "trunk": trunk.name,
                "address_of_record": aor,
                "contact": Value::Null,
                "because": found.map(|one| &one.because),
            }));
        }
    }
    rows
}

/// Rows of those as somebody may see them.
pub(super) fn seen(who: &Who, rows: Vec<Value>) -> Vec<Value> {
    match who.sees_numbers() {
        true => rows,
        false => rows.into_iter().map(without_numbers).collect(),
    }
}

/// A row of those without what may be somebody's number: who registers, and for whom else.
fn without_numbers(mut row: Value) -> Value {
    for name in ["address_of_record", "contact"] {
        if let Some(Value::String(uri)) = row.get_mut(name) {
            let (_, place) = uri.rsplit_once('@').unwrap_or_default();
            *uri = format!("hidden@{place}");
        }
    }
    for name in ["identities", "because"] {
        if let Some(told) = row.get_mut(name) {
            *told = Value::Null;
        }
    }
    row
}

/// What is known of a target.
enum Health {
    Up,
    /// It answers, but not that it knows us.
    Refuses,
    /// It answers, and wants no new calls.
    Busy,
    Down,
    /// It is probed and has not answered, nor been given up.
    Unheard,
    /// `options = false`.
    NotProbed,
}

impl Health {
    /// Whether a call may go there. Who refuses OPTIONS answers, and gets calls.
    const fn takes_calls(&self) -> bool {
        match self {
            Self::Down | Self::Busy | Self::Unheard => false,
            Self::Up | Self::Refuses | Self::NotProbed => true,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Refuses => "refuses",
            Self::Busy => "busy",
            Self::Down => "down",
            Self::Unheard => "no answer yet",
            Self::NotProbed => "not probed",
        }
    }
}

/// What is known of a host: the best of its addresses counts.
fn of_target(known: &[PeerHealth], trunk: &Trunk, host: &str) -> Health {
    if trunk.options.is_none() {
        return Health::NotProbed;
    }
    match of_host(known, trunk, host).map(|peer| peer.state).min() {
        Some(TargetState::Up) => Health::Up,
        Some(TargetState::Refuses) => Health::Refuses,
        Some(TargetState::Busy) => Health::Busy,
        Some(TargetState::Down | TargetState::Gone) => Health::Down,
        None => Health::Unheard,
    }
}

/// The addresses of a host of which something is known.
fn addresses(known: &[PeerHealth], trunk: &Trunk, host: &str) -> Vec<Value> {
    of_host(known, trunk, host)
        .filter_map(|peer| {
            let address = peer.address?;
            Some(json!({ "address": address, "state": peer.state.as_str() }))
        })
        .collect()
}

fn of_host<'a>(
    known: &'a [PeerHealth],
    trunk: &'a Trunk,
    host: &'a str,
) -> impl Iterator<Item = &'a PeerHealth> {
    let own = move |peer: &&PeerHealth| peer.trunk == *trunk.watched_as() && peer.host == host;
    known.iter().filter(own)
}

/// How long calls may go on that are there when a drain begins, in seconds: a day at most.
const LAST: RangeInclusive<u64> = 1..=86_400;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Last {
    timeout: Option<u64>,
}

type Wish = Result<Query<Last>, QueryRejection>;

/// After how long calls are to end.
fn timeout(wish: Wish) -> Result<Option<Duration>, Problem> {
    let Query(wish) = wish.map_err(|why| Problem::query(&why))?;
    match wish.timeout {
        Some(seconds) if !LAST.contains(&seconds) => {
            let why = "timeout is a number of seconds from 1 to 86400";
            Err(Problem::new(StatusCode::BAD_REQUEST, why))
        }
        seconds => Ok(seconds.map(Duration::from_secs)),
    }
}

pub(super) async fn fade(State(access): State<Access>, wish: Wish) -> Result<Json<Value>, Problem> {
    let (daemon, time) = (access.daemon()?, timeout(wish)?);
    let calls = match daemon.is_stopping() {
        // Nobody looks elsewhere in the little time that is left.
        true => daemon.drain(true).await,
        false => daemon.fade().await,
    };
    Ok(draining(&daemon, calls, time))
}

pub(super) async fn drain(
    State(access): State<Access>,
    wish: Wish,
) -> Result<Json<Value>, Problem> {
    let (daemon, time) = (access.daemon()?, timeout(wish)?);
    let calls = daemon.drain(true).await;
    Ok(draining(&daemon, calls, time))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Anew {
    timeout: Option<u64>,
    #[serde(default)]
    now: bool,
}

/// Drains, and has the service manager start us anew.
pub(super) async fn restart(
    State(access): State<Access>,
    wish: Result<Query<Anew>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(Anew {
        timeout: seconds,
        now,
    }) = wish.map_err(|why| Problem::query(&why))?;
    let (daemon, time) = (
        access.daemon()?,
        timeout(Ok(Query(Last { timeout: seconds })))?,
    );
    let refused = |why| Err(Problem::new(StatusCode::CONFLICT, why));
    if daemon.is_stopping() {
        return refused("the daemon is stopping; whoever stops it may start it again");
    }
    if !daemon.is_supervised() {
        return refused(
            "no service manager is there that would start the daemon again: drain it (\"causeway drain --timeout 1h\"), \
             and start it anew once \"causeway status\" says drained",
        );
    }
    let calls = daemon.restart(now, time).await;
    Ok(Json(json!({
        "state": "draining",
        "calls": calls,
        "calls_end_seconds": time.map(|time| time.as_secs()),
    })))
}

fn draining(daemon: &Arc<Daemon>, calls: Option<usize>, time: Option<Duration>) -> Json<Value> {
    daemon.end_calls_after(time);
    Json(json!({
        "state": "draining",
        "calls": calls,
        "calls_end_seconds": time.map(|time| time.as_secs()),
    }))
}

pub(super) async fn undrain(State(access): State<Access>) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    if daemon.is_stopping() {
        let why = "the daemon is stopping and takes no new calls any more; start it again";
        return Err(Problem::new(StatusCode::CONFLICT, why));
    }
    let calls = daemon.drain(false).await;
    Ok(Json(
        json!({ "state": "active", "calls": calls, "calls_end_seconds": null }),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_that_it_does_not_know_us_keeps_the_node_ready() {
        assert!(Health::Refuses.takes_calls() && Health::Up.takes_calls());
        assert!(!Health::Down.takes_calls() && !Health::Busy.takes_calls());
    }

    #[test]
    fn rows_without_numbers_have_nobodys_number() {
        let row = without_numbers(json!({
            "trunk": "pbx",
            "address_of_record": "sip:+441632960001@example.com",
            "contact": "sip:441632960001@192.0.2.7:5060;user=phone",
            "identities": ["sip:+441632960002@example.com"],
            "because": "403 to +441632960001",
        }));
        assert!(!row.to_string().contains("1632960"), "{row}");
        assert_eq!(row["contact"], "hidden@192.0.2.7:5060;user=phone");
        assert_eq!(row["trunk"], "pbx");
    }
}
