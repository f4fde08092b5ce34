//! Trunks one by one: whether they can have calls, and how many they have.

use super::node::{bindings, peers, registrations, seen};
use super::security::allowed;
use super::who::Who;
use super::{Access, Problem};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, State};
use sbc_core::config::{Preset, Trunk};
use sbc_core::record::CallSummary;
use serde::Deserialize;
use serde_json::{Value, json};

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
    let Query(wish) = wish.map_err(|why| Problem::new(why.status(), why.body_text()))?;
    let mut rows = rows(&access, &who).await?;
    if let Some(name) = wish.trunk {
        rows.retain(|row| row["trunk"] == name.as_str());
    }
    Ok(Json(rows))
}

async fn rows(access: &Access, who: &Who) -> Result<Vec<Value>, Problem> {
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
        json!({
            "trunk": name,
            "tenant": trunk.tenant,
            "preset": match trunk.preset {
                Preset::Teams => "teams",
                Preset::Carrier => "carrier",
            },
            "realm": trunk.realm,
            "inherits": trunk.carrier,
            "state": state(trunk, &own, &registered),
            "calls_in": calls.iter().filter(came).count(),
            "calls_out": calls.iter().filter(went).count(),
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

/// Whether it can have calls, as far as anybody knows.
fn state(trunk: &Trunk, peers: &[Value], registrations: &[Value]) -> &'static str {
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
