//! Presence of users: what Microsoft says, how old it is, and how asking for it goes (TDG-PRS-006).

use super::{Access, Problem};
use crate::graph::presence::Told;
use crate::graph::presence::store::Way;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use sbc_core::id::TenantName;
use sbc_core::policy::presence::{Seen, weighed};
use sbc_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;

#[derive(Deserialize)]
pub(super) struct Asked {
    tenant: Option<String>,
}

pub(super) async fn presence(
    State(access): State<Access>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(asked) = asked.map_err(|why| Problem::query(&why))?;
    let daemon = access.daemon()?;
    let loaded = daemon.loaded();
    let watch = daemon.presence();
    let told = watch.told();
    let is_wanted = |name: &TenantName| {
        let wanted = asked.tenant.as_ref();
        wanted.is_none_or(|wanted| name.as_str() == wanted)
    };
    let all = loaded.config.tenants.values();
    let all = all.filter(|tenant| !tenant.users.is_empty() && is_wanted(&tenant.name));
    let (mut tenants, mut users) = (Vec::new(), Vec::new());
    for tenant in all {
        let known = watch.store().of(&tenant.name);
        let mut heard_of = 0;
        for (number, user, known) in &known {
            let talk = watch.talking().of(&tenant.name, *user);
            let age = known.as_ref().map(|known| known.at.elapsed());
            let seen = known.as_ref().zip(age).map(|(known, age)| Seen {
                standing: known.presence.standing(),
                presence: Arc::clone(&known.presence),
                age,
                is_old: age > tenant.users.good_for(),
                at: Timestamp::ZERO + daemon.uptime().saturating_sub(age),
            });
            let (counts_as, _) = weighed(talk, seen.as_ref());
            heard_of += usize::from(known.is_some());
            users.push(json!({
                "tenant": tenant.name,
                "number": number,
                "user": user,
                "availability": known.as_ref().map(|known| known.presence.availability().to_owned()),
                "activity": known.as_ref().map(|known| known.presence.activity().to_owned()),
                "age_seconds": age.map(|age| age.as_secs()),
                "heard_by": known.as_ref().map(|known| match known.by {
                    Way::Poll => "poll",
                    Way::Notice => "notice",
                }),
                "counts_as": counts_as.to_string(),
                "talks": talk.calls,
            }));
        }
        let told = told.get(&tenant.name);
        tenants.push(json!({
            "tenant": tenant.name,
            "state": state(told),
            "because": told.and_then(|told| told.because.clone()),
            "not_shown": told.and_then(|told| told.not_shown.clone()),
            "heard_seconds": told.and_then(|told| told.heard).map(seconds),
            "users": known.len(),
            "known": heard_of,
            "shown": told.map_or(0, |told| told.shown),
        }));
    }
    Ok(Json(json!({ "tenants": tenants, "users": users })))
}

fn seconds(at: Instant) -> u64 {
    at.elapsed().as_secs()
}

fn state(told: Option<&Told>) -> &'static str {
    match told {
        None => "not asked for: write presence = { } in graph of the tenant",
        Some(told) if told.because.is_some() => "not heard",
        Some(told) if told.heard.is_some() => "heard",
        Some(_) => "asked for",
    }
}
