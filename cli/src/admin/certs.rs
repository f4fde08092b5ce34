//! Certificates of ours: how long each is good, and how the next one of those stands that an authority issues.

use super::{Access, Problem};
use crate::daemon::acme::Unwilling;
use crate::sink::log::wall_clock;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use sbc_core::id::TlsContextName;
use sbc_core::time::UnixTime;
use serde_json::{Value, json};

pub(super) async fn list(State(access): State<Access>) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let loaded = daemon.loaded();
    let (used, now) = (daemon.net().identities(), wall_clock());
    let rows = loaded.shell.tls.iter().map(|(name, files)| {
        let facts = used.get(name).map(|context| context.facts());
        let until = facts.and_then(|facts| u64::try_from(facts.not_after).ok());
        let until = until.map(|seconds| UnixTime::from_micros(seconds * 1_000_000));
        let standing = daemon.acme().standing(name);
        let next = standing.as_ref().and_then(|own| own.next);
        let waits = daemon.awaited().of(name);
        let state = match (&standing, until) {
            (_, Some(until)) if until <= now => "expired",
            (Some(own), _) if own.next.is_none() => "being ordered",
            (_, Some(_)) if waits.is_some() => "in use, a new one waits",
            (_, Some(_)) => "in use",
            (_, None) => "none yet",
        };
        json!({
            "context": name.as_str(),
            "issued_by": match standing {
                Some(_) => "acme",
                None => "file",
            },
            "file": files.cert,
            "names": facts.map_or_else(
                || files.issued_for.clone().unwrap_or_default(),
                |facts| facts.names.clone(),
            ),
            "state": state,
            "until": until.map(UnixTime::rfc3339),
            "days_left": until.map(|until| until.since(now).as_secs() / 86_400),
            "next_order": next.map(UnixTime::rfc3339),
            "last_order": standing.as_ref().and_then(|own| own.last).map(UnixTime::rfc3339),
            "failures": standing.as_ref().map(|own| own.failures),
            "because": standing.and_then(|own| own.why),
            "waits_for": waits.as_ref().map(|own| own.because),
        })
    });
    Ok(Json(rows.collect()))
}

pub(super) async fn renew(
    State(access): State<Access>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let refused = |status, detail: String| Err(Problem::new(status, detail));
    match daemon.acme().hurry(&TlsContextName::new(&name)) {
        Ok(()) => Ok(Json(json!({ "context": name, "ordered": true }))),
        Err(Unwilling::Unknown) => {
            let of = daemon.acme().names();
            let of: Vec<&str> = of.iter().map(TlsContextName::as_str).collect();
            let help = match of.is_empty() {
                true => "none has acme = true; write new files and reload".to_owned(),
                false => format!("those with acme = true are {}", of.join(", ")),
            };
            let what = "no authority issues the certificate of such an identity";
            refused(StatusCode::NOT_FOUND, format!("{what}: {help}"))
        }
        Err(Unwilling::Paused(until)) => {
            let why = daemon.acme().standing(&TlsContextName::new(&name));
            let why = why.and_then(|own| own.why).unwrap_or_default();
            let what = format!(
                "the authority wants to be left alone until {}",
                until.rfc3339()
            );
            refused(StatusCode::CONFLICT, format!("{what}: {why}"))
        }
    }
}
