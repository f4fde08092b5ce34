//! What calls have cost where money is limited, and forgiving it (SIP-406, OPS-090).

use super::who::{Besides, Who};
use super::{Access, Problem};
use crate::misspelt::unknown;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use sbc_core::config::{Config, Money};
use sbc_core::policy::admission::Counted;
use sbc_core::policy::spend::Period;
use sbc_core::policy::spend::accounts::Standing;
use serde::Deserialize;
use serde_json::{Value, json};

/// Accounts that are listed.
const MOST: usize = 100;

/// Where money goes, and where it has run out.
pub(super) async fn list(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
) -> Result<Json<Vec<Value>>, Problem> {
    let all = access.daemon()?.ledger().standings(MOST);
    let row = |own: &Standing| row(own, who.sees_numbers());
    Ok(Json(all.iter().map(row).collect()))
}

fn row(own: &Standing, sees_numbers: bool) -> Value {
    let number = match &own.counted {
        Counted::Numbers(_, number) if sees_numbers => number.as_deref(),
        _ => None,
    };
    let money = |limit: Option<Money>| limit.map(|limit: Money| limit.to_string());
    let reached: Vec<_> = own.reached.iter().copied().map(Period::as_str).collect();
    json!({
        "of": own.counted.kind(),
        "name": own.counted.name(),
        "direction": own.counted.direction(),
        "number": number,
        "hour": own.hour.to_string(),
        "per_hour": money(own.limits.per_hour),
        "day": own.day.to_string(),
        "per_day": money(own.limits.per_day),
        "reached": reached,
        "action": own.limits.action.as_str(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    of: String,
    #[serde(default)]
    name: String,
    number: Option<String>,
}

/// Has a limit begin anew.
pub(super) async fn reset(
    State(access): State<Access>,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Result<(Extension<Besides>, Json<Value>), Problem> {
    let Query(wish) = wish.map_err(|why| Problem::query(&why))?;
    let Wish { of, name, number } = wish;
    let daemon = access.daemon()?;
    known(&daemon.loaded().config, &of, &name)?;
    if number.is_some() && of != "limit" {
        let why = "number is for of=limit, where each number counts by itself";
        return Err(Problem::new(StatusCode::BAD_REQUEST, why));
    }
    let is_meant = |counted: &Counted| {
        let is_number = match counted {
            Counted::Numbers(_, own) => number.is_none() || *own == number,
            _ => true,
        };
        counted.kind() == of && counted.name() == name && is_number
    };
    let accounts = daemon.ledger().forgive(is_meant);
    let besides = Besides::more(format!("{of} {name}"));
    let told = json!({ "of": of, "name": name, "accounts": accounts });
    Ok((Extension(besides), Json(told)))
}

/// Whether there is something of that kind and name.
fn known(config: &Config, of: &str, name: &str) -> Result<(), Problem> {
    let names: Vec<&str> = match of {
        "node" if name.is_empty() => return Ok(()),
        "tenant" => config.tenants.keys().map(|own| own.as_str()).collect(),
        "trunk" => config.trunks.keys().map(|own| own.as_str()).collect(),
        "route" => config.routes.iter().map(|own| own.name.as_str()).collect(),
        "limit" => {
            let limits = config.number_limits.iter();
            limits.map(|own| own.name.as_str()).collect()
        }
        _ => {
            let why = "of is tenant, trunk, route or limit with a name, or node without one";
            return Err(Problem::new(StatusCode::BAD_REQUEST, why));
        }
    };
    if names.contains(&name) {
        return Ok(());
    }
    let what = format!("the configuration in use has no {of}");
    let detail = unknown(&what, name, names);
    Err(Problem::new(StatusCode::NOT_FOUND, detail))
}
