//! Every proxy of Teams, in both directions: what came of the last OPTIONS, how long Teams still
//! prefers us, and a verdict in words (TDR-OPT-004, TDR-CON-009).

use super::{Access, Problem};
use crate::daemon::awaited::Waiting;
use crate::daemon::{Daemon, chains};
use crate::onboarding::{Outcome, name};
use crate::sink::metrics::{Figure, Sum};
use crate::sink::proxies::{Exchange, Proxies, Way};
use axum::Json;
use axum::extract::State;
use sbc_core::config::{MICROSOFT_ROOTS_OF, Preset, Trunk};
use sbc_core::id::TlsContextName;
use sbc_core::time::UnixTime;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Seconds without OPTIONS of ours after which Teams calls us last.
const DEMOTED_AFTER: u64 = 300;
/// Longest wait for what DNS says of our names.
const NAMES: Duration = Duration::from_secs(4);
/// Names that DNS is asked about at once: with a thousand customers it must not look like an attack.
const LOOKUPS: usize = 16;
/// Seconds within which a healthy way has OPTIONS: three times a minute.
const FRESH: u64 = 180;

pub(super) async fn teams(State(access): State<Access>) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let config = daemon.loaded().config.clone();
    let proxies = &daemon.sinks().proxies;
    let now = now();
    let trunks = config.trunks.values();
    let trunks = || trunks.clone().filter(|trunk| trunk.preset == Preset::Teams);
    let mut all = Vec::new();
    let mut names = JoinSet::new();
    let turns = Arc::new(Semaphore::new(LOOKUPS));
    for trunk in trunks() {
        let (resolver, config) = (daemon.resolver().clone(), config.clone());
        let (trunk, turns) = (Arc::clone(trunk), Arc::clone(&turns));
        names.spawn(async move {
            let _turn = turns.acquire().await;
            let outcome = name::check(&resolver, &config, &trunk).await;
            (trunk.name.clone(), outcome)
        });
    }
    // DNS that does not answer must not keep the rest back.
    let mut known = BTreeMap::new();
    let _ = timeout(NAMES, async {
        while let Some(named) = names.join_next().await {
            known.extend(named.ok());
        }
    })
    .await;
    for trunk in trunks() {
        all.extend(rows(trunk, proxies, now, daemon.is_draining()));
        let told = known.get(&trunk.name).map(Outcome::in_line);
        let told = told.unwrap_or_else(|| "DNS has not answered yet".to_owned());
        let fqdn = trunk.fqdn.as_deref().unwrap_or_default();
        all.push(row(trunk, "name", fqdn, None, now, (None, told)));
    }
    all.extend(waiting(&daemon, now));
    if !all.is_empty() {
        all.extend(authorities(&daemon, now));
    }
    Ok(Json(Value::Array(all)))
}

/// New certificates of ours that wait for a word of Teams (TDR-TLS-015).
fn waiting(daemon: &Daemon, now: UnixTime) -> Vec<Value> {
    let all = daemon.awaited().all().into_iter();
    let row = |(context, own): (TlsContextName, Waiting)| {
        json!({
            "trunk": own.trunks.first(),
            "fqdn": null,
            "direction": "cert",
            "proxy": null,
            "address": null,
            "result": format!("certificate of \"{context}\" waits"),
            "status": null,
            "age_seconds": age(own.since, now),
            "demoted_in_seconds": null,
            "verdict": own.because,
        })
    };
    all.map(row).collect()
}

/// What Teams shows of its authorities, and how its coming ones were tried (TDR-TLS-010, TDR-TLS-014).
fn authorities(daemon: &Daemon, now: UnixTime) -> Vec<Value> {
    let mut all = Vec::new();
    for seen in daemon.net().chains().all() {
        let way = match seen.is_ours {
            true => "to",
            false => "from",
        };
        let told = &seen.chain;
        all.push(json!({
            "trunk": null,
            "fqdn": null,
            "direction": "chain",
            "way": way,
            "proxy": seen.peer,
            "address": seen.remote,
            "result": format!("{}, root {}", told.purposes.as_str(), told.root.name),
            "status": null,
            "age_seconds": age(seen.at, now),
            "demoted_in_seconds": null,
            "verdict": seen.verdict(now),
        }));
    }
    for asked in daemon.test_names().of(&daemon.loaded()) {
        all.push(json!({
            "trunk": asked.trunk,
            "fqdn": asked.fqdn,
            "direction": "test",
            "proxy": asked.host,
            "address": null,
            "result": asked.word,
            "status": null,
            "age_seconds": age(asked.at(), now),
            "demoted_in_seconds": null,
            "verdict": asked.told,
        }));
    }
    all.push(json!({
        "trunk": null,
        "fqdn": null,
        "direction": "roots",
        "proxy": null,
        "address": null,
        "result": MICROSOFT_ROOTS_OF,
        "status": null,
        "age_seconds": null,
        "demoted_in_seconds": null,
        "verdict": chains::bundled(now),
    }));
    all
}

/// The figures of every trunk that had calls: those that Microsoft shows, and post-dial delay (TDR-MON-001,
/// TDR-MON-003).
pub(super) async fn figures(State(access): State<Access>) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let config = daemon.loaded().config.clone();
    let figures = daemon.sinks().metrics.delivery.figures.at(now());
    let row = |figure: &Figure| {
        let preset = config.trunks.get(&figure.trunk).map(|trunk| trunk.preset);
        let of = |sum: &Sum| {
            json!({
                "calls": sum.calls(),
                "answered": sum.answered,
                "delivered": sum.delivered,
                "cancelled": sum.cancelled,
                "failed": sum.failed,
                "ner_percent": sum.ner(),
                "ner_percent_without_cancelled": sum.ner_without_cancelled(),
                "asr_percent": sum.asr(),
                "acd_seconds": sum.acd(),
                "pdd_seconds": sum.pdd(),
            })
        };
        json!({
            "trunk": figure.trunk,
            "direction": figure.way.as_str(),
            "is_teams": preset == Some(Preset::Teams),
            "hour": of(&figure.hour),
            "since_start": of(&figure.total),
        })
    };
    Ok(Json(figures.iter().map(row).collect()))
}

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = since.map_or(0, |since| since.as_micros());
    UnixTime::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

/// One row for each target of a trunk, and one for each proxy that has asked.
fn rows(trunk: &Trunk, proxies: &Proxies, now: UnixTime, is_draining: bool) -> Vec<Value> {
    let known = proxies.of(&trunk.name);
    if let Some(carrier) = &trunk.carrier {
        return vec![row(
            trunk,
            "to",
            "any",
            None,
            now,
            (
                None,
                format!(
                    "as trunk \"{carrier}\", from which it is derived: Teams wants OPTIONS of that one alone"
                ),
            ),
        )];
    }
    let fqdn = trunk.fqdn.as_deref().unwrap_or_default();
    let mut hosts: Vec<&str> = Vec::new();
    let mut rows = Vec::new();
    for target in &trunk.targets {
        if hosts.contains(&target.host.as_str()) {
            continue;
        }
        hosts.push(&target.host);
        let is_own = |way: &Way| !way.by_peer && way.host.eq_ignore_ascii_case(&target.host);
        let last = known.iter().find(|(way, _)| is_own(way));
        let last = last.map(|(_, last)| last);
        let verdict = match (&trunk.options, is_draining) {
            (None, _) => "not asked: options = false, so Teams judges it by its trunk".to_owned(),
            (Some(_), true) => "not asked while the node drains: Teams calls it last".to_owned(),
            (Some(_), false) => ours(last, now, fqdn),
        };
        let left = last
            .and_then(|last| last.good_at)
            .map(|good| DEMOTED_AFTER.saturating_sub(age(good, now)));
        rows.push(row(trunk, "to", &target.host, last, now, (left, verdict)));
    }
    let asked: Vec<_> = known.iter().filter(|(way, _)| way.by_peer).collect();
    if asked.is_empty() {
        let ranges = trunk.accept_from.iter();
        let ranges: Vec<String> = ranges
            .map(|net| format!("{}/{}", net.address, net.prefix))
            .collect();
        let verdict = format!(
            "Teams has not asked: {fqdn} must lead to this SBC, at the port of the trunk, open from {}",
            ranges.join(" and ")
        );
        rows.push(row(trunk, "from", "any", None, now, (None, verdict)));
    } else {
        // A region that never asks prefers us for no call (TDR-OPT-007), and would not show otherwise.
        for host in hosts {
            let mut asked = asked.iter();
            if asked.any(|(way, last)| is_of(trunk, host, &known, (way, last))) {
                continue;
            }
            let verdict = format!(
                "no OPTIONS since the start of the daemon by this name or from an address that it has here: unless another row shows its region, calls from there find us last; {fqdn} must be open to it"
            );
            rows.push(row(trunk, "from", host, None, now, (None, verdict)));
        }
    }
    let is_asked = asked.iter().any(|(_, last)| age(last.at, now) <= FRESH);
    for (way, last) in asked {
        let verdict = match is_asked {
            true => theirs(last, now),
            false => format!(
                "no proxy asks any more: calls find us last, or not at all; {fqdn} must lead to this SBC, at the port \
                 of the trunk, and its certificate be good"
            ),
        };
        rows.push(row(
            trunk,
            "from",
            &way.host,
            Some(last),
            now,
            (None, verdict),
        ));
    }
    rows
}

/// Whether a proxy that has asked is the target of this name: by what it calls itself, or by where it was found
/// when we asked it.
fn is_of(
    trunk: &Trunk,
    host: &str,
    known: &[(Way, Exchange)],
    (way, last): (&Way, &Exchange),
) -> bool {
    let Some(from) = last.remote.map(|remote| remote.ip()) else {
        return way.host.eq_ignore_ascii_case(host);
    };
    let is_target = |name: &str| name.eq_ignore_ascii_case(host);
    let named = trunk
        .targets
        .iter()
        .filter(|target| is_target(&target.host));
    let mut fixed = named.flat_map(|target| &target.connect_to);
    let ours = known
        .iter()
        .filter(|(way, _)| !way.by_peer && is_target(&way.host));
    let mut met = ours.filter_map(|(_, last)| last.remote);
    is_target(&way.host)
        || fixed.any(|address| address.ip() == from)
        || met.any(|address| address.ip() == from)
}

fn row(
    trunk: &Trunk,
    direction: &str,
    proxy: &str,
    last: Option<&Exchange>,
    now: UnixTime,
    (left, verdict): (Option<u64>, String),
) -> Value {
    json!({
        "trunk": trunk.name,
        "fqdn": trunk.fqdn,
        "direction": direction,
        "proxy": proxy,
        "address": last.and_then(|last| last.remote),
        "result": last.map(|last| &last.because),
        "status": last.and_then(|last| last.status),
        "age_seconds": last.map(|last| age(last.at, now)),
        "demoted_in_seconds": left,
        "verdict": verdict,
    })
}

fn age(at: UnixTime, now: UnixTime) -> u64 {
    now.as_micros().saturating_sub(at.as_micros()) / 1_000_000
}

/// What our own OPTIONS say.
fn ours(last: Option<&Exchange>, now: UnixTime, fqdn: &str) -> String {
    let Some(last) = last else {
        return "not asked yet: the first OPTIONS leaves within seconds".to_owned();
    };
    let demoted = match last.good_at.map(|good| age(good, now)) {
        Some(since) if since < DEMOTED_AFTER => "",
        Some(_) => "; Teams calls us last",
        None => "; Teams does not know that we are there",
    };
    let what = match last.status {
        Some(200) if age(last.at, now) <= FRESH => "active".to_owned(),
        Some(200) => "its last answer is old".to_owned(),
        Some(403) => format!(
            "Teams is there and refuses us: {fqdn} must be the trunk's name in the tenant and in our \
             certificate, and its domain activated, which takes up to a day after its first licensed \
             user"
        ),
        Some(503) => "Teams is there and wants no calls".to_owned(),
        Some(status) => {
            format!("Teams is there, but only 200 shows that it knows us, not {status}")
        }
        None if last.because == "no answer" => format!(
            "the connection stands and Teams says nothing: the domain of {fqdn} may not be activated \
             yet, which takes up to a day after its first licensed user"
        ),
        None => "no connection, or no address in DNS: see the result".to_owned(),
    };
    format!("{what}{demoted}")
}

/// What the OPTIONS of a proxy say.
fn theirs(last: &Exchange, now: UnixTime) -> String {
    match (last.status, age(last.at, now) <= FRESH) {
        (Some(200), true) => "active".to_owned(),
        (Some(status), true) => format!("Teams hears {status} from us"),
        (None, true) => "Teams hears nothing from us".to_owned(),
        (_, false) => "this proxy asks no more; another one may have taken over".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> UnixTime {
        UnixTime::from_micros(second * 1_000_000)
    }

    fn exchange(status: Option<u16>, because: &str, good: Option<u64>) -> Exchange {
        Exchange {
            at: at(1_000),
            remote: None,
            status,
            because: because.to_owned(),
            good_at: good.map(at),
        }
    }

    #[test]
    fn every_result_has_a_verdict_that_says_what_to_look_at() {
        let said = |exchange: &Exchange, second: u64| {
            ours(Some(exchange), at(second), "sbc1.contoso.example")
        };
        let good = exchange(Some(200), "answered 200 OK", Some(1_000));
        assert_eq!(said(&good, 1_060), "active");
        assert_eq!(said(&good, 1_200), "its last answer is old");
        assert!(said(&good, 1_400).ends_with("; Teams calls us last"));
        let refused = said(&exchange(Some(403), "answered 403", None), 1_010);
        for words in [
            "sbc1.contoso.example",
            "certificate",
            "activated",
            "does not know",
        ] {
            assert!(refused.contains(words), "{refused}");
        }
        let silent = said(&exchange(None, "no answer", Some(990)), 1_010);
        assert!(
            silent.contains("activated") && !silent.contains("last"),
            "{silent}"
        );
        let closed = said(&exchange(None, "connection refused", Some(500)), 1_010);
        assert_eq!(
            closed,
            "no connection, or no address in DNS: see the result; Teams calls us last"
        );
        assert!(ours(None, at(0), "").contains("within seconds"));
    }

    #[test]
    fn a_region_that_never_asked_has_a_row_once_another_has() {
        let text = "[node]\nid = \"a\"\n[[realm]]\nname = \"teams\"\naddresses = [\"192.0.2.10\"]\nports = \"20000-20999\"\n\
                    [[listen]]\nrealm = \"teams\"\ntransport = \"tls\"\ntls = \"teams\"\n\
                    [[tls]]\nname = \"teams\"\ncert = \"a.pem\"\nkey = { file = \"a.key\" }\n\
                    client_ca = \"b.pem\"\nverify_client = \"require\"\n\
                    [[tenant]]\nname = \"contoso\"\n\
                    [[trunk]]\nname = \"teams\"\npreset = \"teams\"\ntenant = \"contoso\"\nrealm = \"teams\"\n\
                    fqdn = \"sbc1.contoso.example\"\n";
        let facts = sbc_core::config::Assumed::with_names(["sbc1.contoso.example"]);
        let source = sbc_core::config::Source::new("a.toml", text);
        let loaded = sbc_core::config::load(&[source], &facts, None);
        let config = loaded
            .unwrap_or_else(|why| panic!("{}", why.to_text()))
            .config;
        let trunk = &config.trunks[&"teams".into()];
        let proxies = Proxies::default();
        let happens = |by_peer, host: &str, remote: &str| {
            proxies.apply(&sbc_core::event::Event {
                at: at(1_000),
                call: None,
                leg: None,
                what: sbc_core::event::Happened::Options {
                    trunk: "teams".into(),
                    by_peer,
                    host: host.to_owned(),
                    remote: Some(remote.parse().unwrap()),
                    status: Some(sbc_core::sip::Status::OK),
                    took: None,
                    because: "answered 200 OK".to_owned(),
                },
            });
        };
        let from = || {
            let rows = rows(trunk, &proxies, at(1_010), false);
            let from = rows.into_iter().filter(|row| row["direction"] == "from");
            let from = from.map(|row| {
                let is_active = row["verdict"] == "active";
                (row["proxy"].as_str().unwrap().to_owned(), is_active)
            });
            from.collect::<Vec<_>>()
        };
        let verdicts = || {
            let rows = rows(trunk, &proxies, at(1_010), false).into_iter();
            rows.map(|row| row["verdict"].as_str().unwrap().to_owned())
        };
        let row = |host: &str, is_active| (host.to_owned(), is_active);
        assert_eq!(from(), [row("any", false)]);
        let long_after = |trunk: &Trunk| {
            let rows = rows(trunk, &proxies, at(1_500), false);
            rows.last().unwrap()["verdict"].as_str().unwrap().to_owned()
        };
        // A machine of Europe asks, whose address the second name leads to.
        happens(false, "sip2.pstnhub.microsoft.com", "192.0.2.22:5061");
        happens(
            true,
            "sip-du-a-eu.pstnhub.microsoft.com",
            "192.0.2.22:40000",
        );
        let told = long_after(trunk);
        assert!(told.starts_with("no proxy asks any more"), "{told}");
        let silent = row("sip.pstnhub.microsoft.com", false);
        let third = row("sip3.pstnhub.microsoft.com", false);
        let europe = row("sip-du-a-eu.pstnhub.microsoft.com", true);
        assert_eq!(from(), [silent, third.clone(), europe.clone()]);
        happens(true, "sip.pstnhub.microsoft.com", "192.0.2.21:40000");
        let first = row("sip.pstnhub.microsoft.com", true);
        assert_eq!(from(), [third, europe, first]);
        assert!(verdicts().all(|told| !told.contains("  ")));
    }

    #[test]
    fn a_proxy_that_fell_silent_is_told_from_one_that_asks() {
        let asked = exchange(Some(200), "answered 200 OK", Some(1_000));
        assert_eq!(theirs(&asked, at(1_060)), "active");
        assert!(theirs(&asked, at(1_300)).contains("no more"));
        let shed = exchange(Some(503), "answered 503", None);
        assert_eq!(theirs(&shed, at(1_001)), "Teams hears 503 from us");
    }
}
