//! Trunks one by one: whether they can have calls, how many they have, and keeping new ones away.

use super::node::{bindings, peers, registrations, seen};
use super::security::allowed;
use super::who::{Besides, Who};
use super::{Access, Problem};
use crate::daemon::Daemon;
use crate::daemon::closed::Kept;
use crate::daemon::reach::{self, Step};
use crate::misspelt::unknown;
use crate::onboarding::Outcome;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use sbc_core::config::{Config, Preset, Trunk};
use sbc_core::id::TrunkName;
use sbc_core::record::CallSummary;
use sbc_core::trunk::Closing;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Which trunks are shown.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    trunk: Option<String>,
}

/// All of them, by their names, or one.
pub(super) async fn list(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Result<Json<Vec<Value>>, Problem> {
    let Query(wish) = wish.map_err(|why| Problem::query(&why))?;
    if let Some(name) = &wish.trunk {
        let daemon = access.daemon()?;
        known(&daemon, name)?;
    }
    let mut rows = rows(&access, &who).await?;
    if let Some(name) = wish.trunk {
        rows.retain(|row| row["trunk"] == name.as_str());
    }
    Ok(Json(rows))
}

pub(super) async fn rows(access: &Access, who: &Who) -> Result<Vec<Value>, Problem> {
    let daemon = access.daemon()?;
    let loaded = daemon.loaded();
    let config = &loaded.config;
    let calls = access.desk.calls(&daemon, who).await?;
    let peers = peers(&daemon, config);
    let registrations = seen(who, registrations(&daemon, config));
    let bindings = seen(who, bindings(&daemon, config));
    let of = |rows: &[Value], name: &str| -> Vec<Value> {
        let own = rows.iter().filter(|row| row["trunk"] == name);
        own.cloned().collect()
    };
    let row = |trunk: &Trunk| {
        let name = trunk.name.as_str();
        // The peers of a derived trunk are those of its carrier trunk.
        let own = of(&peers, trunk.watched_as().as_str());
        let registered = of(&registrations, name);
        let came = |call: &&CallSummary| call.from_trunk == trunk.name;
        let went = |call: &&CallSummary| call.to_trunk.as_ref() == Some(&trunk.name);
        let state = state(&daemon, trunk, &own, &registered);
        let (calls_in, calls_out) = (
            calls.iter().filter(came).count(),
            calls.iter().filter(went).count(),
        );
        json!({
            "trunk": name,
            "tenant": trunk.tenant,
            "fqdn": trunk.fqdn,
            "preset": match trunk.preset {
                Preset::Teams => "teams",
                Preset::Carrier => "carrier",
            },
            "realm": trunk.realm,
            "inherits": trunk.carrier,
            "state": match state {
                DRAINING if calls_in + calls_out == 0 => "drained",
                state => state,
            },
            "calls_in": calls_in,
            "calls_out": calls_out,
            "most_calls": trunk.limits.both.calls,
            "peers": own,
            "registrations": registered,
            "bindings": of(&bindings, name),
            "allowed": allowed(&daemon, config, Some(trunk.watched_as())),
        })
    };
    let trunks = config.trunks.values();
    Ok(trunks.map(|trunk| row(trunk)).collect())
}

/// The state of a trunk that drains and has calls.
const DRAINING: &str = Closing::Draining.as_str();

/// Whether it can have calls, as far as anybody knows.
fn state(daemon: &Daemon, trunk: &Trunk, peers: &[Value], registrations: &[Value]) -> &'static str {
    if let Some(closing) = daemon.closed_trunks().closed().of(trunk) {
        return closing.as_str();
    }
    if trunk.is_out_of_service {
        return "out of service";
    }
    let needs = trunk.register.as_ref().is_some_and(|own| own.is_required);
    let stands = registrations.iter().any(|row| row["state"] == "registered");
    if needs && !stands {
        return "not registered";
    }
    let takes =
        |row: &Value| matches!(row["state"].as_str(), Some("up" | "refuses" | "not probed"));
    match peers {
        [] => "without targets",
        all if all.iter().any(takes) => "up",
        all if all.iter().any(|row| row["state"] == "no answer yet") => "no answer yet",
        _ => "down",
    }
}

pub(super) async fn disable(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
    Path(trunk): Path<String>,
) -> Result<(Extension<Besides>, Json<Value>), Problem> {
    close(&access, &who, &trunk, Some(Closing::Disabled)).await
}

pub(super) async fn drain(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
    Path(trunk): Path<String>,
) -> Result<(Extension<Besides>, Json<Value>), Problem> {
    close(&access, &who, &trunk, Some(Closing::Draining)).await
}

pub(super) async fn enable(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
    Path(trunk): Path<String>,
) -> Result<(Extension<Besides>, Json<Value>), Problem> {
    close(&access, &who, &trunk, None).await
}

/// Keeps new calls away from a trunk, or lets it have them again; how it stands then.
async fn close(
    access: &Access,
    who: &Who,
    name: &str,
    closing: Option<Closing>,
) -> Result<(Extension<Besides>, Json<Value>), Problem> {
    let daemon = access.daemon()?;
    let trunk = known(&daemon, name)?;
    let word = |closing: Option<Closing>| closing.map_or("open", Closing::as_str);
    let was = word(daemon.closed_trunks().all().get(&trunk.name).copied());
    let besides = Besides::change(format!("{was} to {}", word(closing)));
    let done = daemon.close_trunk(trunk.name.clone(), closing).await;
    let kept = done.ok_or_else(Problem::busy)?;
    let rows = rows(access, who).await?;
    let row = rows.iter().find(|row| row["trunk"] == name);
    let count = |name: &str| row.and_then(|row| row[name].as_u64()).unwrap_or_default();
    let told = json!({
        "trunk": name,
        "state": row.map_or(Value::Null, |row| row["state"].clone()),
        "calls": count("calls_in") + count("calls_out"),
        "is_kept": kept == Kept::Kept,
        "because": match kept {
            Kept::Kept => None,
            Kept::Not(why) => Some(why),
        },
    });
    Ok((Extension(besides), Json(told)))
}

/// A trunk of the configuration in use.
pub(super) fn known(daemon: &Daemon, name: &str) -> Result<Arc<Trunk>, Problem> {
    named(&daemon.loaded().config, name).cloned()
}

/// A trunk of this configuration.
pub(super) fn named<'c>(config: &'c Config, name: &str) -> Result<&'c Arc<Trunk>, Problem> {
    let trunk = config.trunks.get(&TrunkName::new(name));
    trunk.ok_or_else(|| {
        let all = config.trunks.keys().map(TrunkName::as_str);
        let detail = unknown("the configuration in use has no trunk", name, all);
        Problem::new(StatusCode::NOT_FOUND, detail)
    })
}

/// Looks step by step whether its peers can be reached.
pub(super) async fn test(
    State(access): State<Access>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let trunk = known(&daemon, &name)?;
    let (own, of) = (Arc::clone(&daemon), Arc::clone(&trunk));
    let config = daemon.net().config();
    let looking = async move { reach::of_trunk(&own, &config, &of).await };
    let steps = access.desk.task(looking).await?;
    let is_good = !steps.iter().any(|step| step.outcome.is_failure());
    let rows: Vec<Value> = steps.iter().map(told).collect();
    Ok(Json(json!({
        "trunk": name,
        "is_good": is_good && !rows.is_empty(),
        "because": match (rows.is_empty(), trunk.is_out_of_service) {
            (false, _) => None,
            (true, true) => Some("its secret is not there: write it and reload"),
            (true, false) => Some("it has no targets: calls go to what its peer registers (causeway reg list)"),
        },
        "steps": rows,
    })))
}

/// A step as it is told.
pub(super) fn told(step: &Step) -> Value {
    let (told, fix) = match &step.outcome {
        Outcome::Failed { cause, fix } => (cause, Some(fix)),
        Outcome::Good(told) | Outcome::Doubtful(told) | Outcome::Skipped(told) => (told, None),
    };
    let took = step.took.map(|took| took.as_millis());
    json!({
        "target": step.target,
        "address": step.address,
        "step": step.step,
        "result": step.outcome.word(),
        "told": told,
        "fix": fix,
        "took_ms": took.and_then(|took| u64::try_from(took).ok()),
    })
}
