//! TLS: which identities and connections are in use, whether hands can be shaken with somebody, and certificates read
//! from disk at once.

use super::trunks::told;
use super::{Access, Problem};
use crate::daemon::Daemon;
use crate::daemon::reach;
use crate::daemon::renewed::Reading;
use crate::misspelt::unknown;
use crate::sink::log::wall_clock;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use sbc_core::id::TlsContextName;
use sbc_core::time::UnixTime;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Port of SIP over TLS.
const PORT: u16 = 5061;

/// Identities with their trunks, and connections that have one of them.
pub(super) async fn list(State(access): State<Access>) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let (config, now) = (daemon.net().config(), wall_clock());
    let open = daemon.net().secured();
    let identities = daemon.net().identities();
    let identity = |context: &Arc<crate::daemon::net::tls::TlsContext>| {
        let facts = context.facts();
        let seconds = u64::try_from(facts.not_after).unwrap_or_default();
        let until = UnixTime::from_micros(seconds.saturating_mul(1_000_000));
        let trunks = config.trunks.values();
        let own = trunks.filter(|trunk| trunk.tls.as_ref() == Some(context.name()));
        json!({
            "context": context.name(),
            "names": facts.names,
            "until": until.rfc3339(),
            "days_left": until.since(now).as_secs() / 86_400,
            "trunks": own.map(|trunk| trunk.name.as_str()).collect::<Vec<_>>(),
            "connections": open.iter().filter(|one| one.context == *context.name()).count(),
        })
    };
    let connection = |one: &crate::daemon::net::Secured| {
        json!({
            "context": one.context,
            "direction": match one.is_ours {
                true => "out",
                false => "in",
            },
            "local": one.local,
            "remote": one.remote,
        })
    };
    Ok(Json(json!({
        "identities": identities.iter().map(identity).collect::<Vec<_>>(),
        "connections": open.iter().map(connection).collect::<Vec<_>>(),
    })))
}

/// With whom, and as whom.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    host: Option<String>,
    context: Option<String>,
}

/// Shakes hands with a host over a connection of its own.
pub(super) async fn test(
    State(access): State<Access>,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(wish) = wish.map_err(|why| Problem::query(&why))?;
    let refused = |status, why: &str| Err(Problem::new(status, why));
    let Some((host, port)) = wish.host.as_deref().and_then(place) else {
        let why = "host is a whole name or an address, with or without a port behind a colon";
        return refused(StatusCode::BAD_REQUEST, why);
    };
    let daemon = access.daemon()?;
    let identities = daemon.net().identities();
    let context = match &wish.context {
        Some(name) => identities.get(&TlsContextName::new(name)),
        None => identities.iter().next(),
    };
    let Some(context) = context.cloned() else {
        let why = match &wish.context {
            Some(name) => unknown(
                "there is no [[tls]] with a certificate and the name",
                name,
                identities.iter().map(|context| context.name().as_str()),
            ),
            None => "there is no [[tls]] to shake hands with".to_owned(),
        };
        return refused(StatusCode::NOT_FOUND, &why);
    };
    let name = context.name().clone();
    let (own, shown) = (Arc::clone(&daemon), host.clone());
    let looking = async move { reach::of_host(&own, &context, &host, port).await };
    let steps = access.desk.task(looking).await?;
    Ok(Json(json!({
        "host": shown,
        "port": port,
        "context": name,
        "is_good": !steps.iter().any(|step| step.outcome.is_failure()),
        "steps": steps.iter().map(told).collect::<Vec<Value>>(),
    })))
}

/// A host and its port.
fn place(text: &str) -> Option<(String, u16)> {
    let text = text.trim();
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
        return Some((address.to_string(), PORT));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port > 0)?),
        None => (text, PORT),
    };
    let host = host.trim_matches(['[', ']']);
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-._:".contains(&octet);
    let is_whole = host.contains(['.', ':']) || host.eq_ignore_ascii_case("localhost");
    let fits = is_whole && host.len() <= 253 && host.bytes().all(is_plain);
    fits.then(|| (host.to_ascii_lowercase(), port))
}

/// Reads certificates and keys from disk now.
pub(super) async fn reload(State(access): State<Access>) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let own: Arc<Daemon> = Arc::clone(&daemon);
    let reading = async move { own.read_identities().await };
    let read = access.desk.task(reading).await?;
    let row = |(name, reading): (TlsContextName, Reading)| {
        let because = match &reading {
            Reading::Same | Reading::Taken => None,
            Reading::Unusable(why) | Reading::Kept(why) => Some(why.clone()),
        };
        json!({ "context": name, "result": reading.as_str(), "because": because })
    };
    Ok(Json(read.into_iter().map(row).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_name_or_an_address_with_or_without_its_port() {
        let read = |text: &str| place(text).map(|(host, port)| format!("{host} {port}"));
        assert_eq!(
            read("sip.example.com").as_deref(),
            Some("sip.example.com 5061")
        );
        assert_eq!(
            read("SIP.example.com:443").as_deref(),
            Some("sip.example.com 443")
        );
        assert_eq!(read("2001:db8::1").as_deref(), Some("2001:db8::1 5061"));
        assert_eq!(
            read("[2001:db8::1]:443").as_deref(),
            Some("2001:db8::1 443")
        );
        assert_eq!(read("192.0.2.1:99").as_deref(), Some("192.0.2.1 99"));
        for wrong in ["", ":5061", "sip", "a b", "a:0", "a:x", "a/b", "a\r\nb"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
