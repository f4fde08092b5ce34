//! What is wrong with the node now, in words; and whoever follows what happens is told when that begins and ends.

use super::{Access, Problem, certs, node};
use crate::alarms;
use crate::daemon::Daemon;
use crate::daemon::generations::Origin;
use crate::sink::log::wall_clock;
use crate::sink::news::Kind;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::sleep;

/// How often it is looked for what has become wrong, while somebody listens.
const LOOK: Duration = Duration::from_secs(1);

/// All of it; nothing while all is well.
pub(super) async fn list(State(access): State<Access>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "alarms": now(&access).await? })))
}

/// All of it. No shard is asked: who looks often takes nothing from calls.
async fn now(access: &Access) -> Result<Vec<String>, Problem> {
    let daemon = access.daemon()?;
    let loaded = daemon.loaded();
    let status = status(&daemon);
    let peers = by_trunk(node::peers(&daemon, &loaded.config));
    let registrations = by_trunk(node::registrations(&daemon, &loaded.config));
    let trunks = loaded.config.trunks.values().map(|trunk| {
        json!({
            "trunk": trunk.name,
            "inherits": trunk.carrier,
            "peers": peers.get(trunk.watched_as().as_str()),
            "registrations": registrations.get(trunk.name.as_str()),
        })
    });
    let trunks: Value = trunks.collect();
    let Json(certs) = certs::list(State(access.clone())).await?;
    Ok(alarms::of(&status, &trunks, &certs))
}

fn by_trunk(rows: Vec<Value>) -> BTreeMap<String, Vec<Value>> {
    let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in rows {
        let trunk = row["trunk"].as_str().unwrap_or_default().to_owned();
        all.entry(trunk).or_default().push(row);
    }
    all
}

fn status(daemon: &Daemon) -> Value {
    let loaded = daemon.loaded();
    json!({
        "not_ready": node::not_ready(daemon),
        "degraded": daemon.degraded(),
        "out_of_service": node::out_of_service(&loaded.config),
        "overload": daemon.sinks().metrics.calls.overload().as_str(),
        "config_confirm_seconds": daemon.generations().left().map(|left| left.as_secs()),
        "config_origin": match daemon.generations().origin() {
            Origin::Fallback(_) => "fallback",
            Origin::Files | Origin::Earlier(_) => "",
        },
    })
}

/// Tells when an alarm is raised and when it is cleared, for as long as there is a daemon. While nobody listens nothing is
/// looked at, and who begins to hears of what changes from then on.
pub(super) async fn watch(access: Access) {
    let mut known: Option<BTreeMap<String, String>> = None;
    loop {
        sleep(LOOK).await;
        let Ok(daemon) = access.daemon() else {
            return;
        };
        let news = daemon.sinks().news.clone();
        drop(daemon);
        if news.listeners() == 0 {
            known = None;
            continue;
        }
        let Ok(alarms) = now(&access).await else {
            continue;
        };
        let alarms = alarms.into_iter().map(|text| (alarms::about(&text), text));
        let alarms: BTreeMap<String, String> = alarms.collect();
        if let Some(before) = &known {
            let at = wall_clock().rfc3339();
            let tell = |kind, text: &String| news.tell(kind, json!({ "alarm": text, "at": at }));
            for (_, text) in alarms
                .iter()
                .filter(|(about, _)| !before.contains_key(*about))
            {
                tell(Kind::AlarmRaised, text);
            }
            for (_, text) in before
                .iter()
                .filter(|(about, _)| !alarms.contains_key(*about))
            {
                tell(Kind::AlarmCleared, text);
            }
        }
        // The one that was raised is the one that is cleared, whatever its numbers have become.
        let before = known.unwrap_or_default();
        let first = |(about, text): (String, String)| match before.get(&about) {
            Some(first) => (about, first.clone()),
            None => (about, text),
        };
        known = Some(alarms.into_iter().map(first).collect());
    }
}
