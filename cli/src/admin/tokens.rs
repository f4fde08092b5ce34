//! Who has a token for the interface, and taking one away at once (SEC-134).

use super::who::{Besides, Who};
use super::{Access, Problem};
use crate::misspelt::unknown;
use crate::sink::log::wall_clock;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde_json::{Value, json};

/// All of them.
pub(super) async fn list(State(access): State<Access>) -> Result<Json<Vec<Value>>, Problem> {
    let daemon = access.daemon()?;
    let loaded = daemon.loaded();
    let now = wall_clock();
    let users = loaded.shell.api_users.iter().map(|user| {
        let state = match user.expires {
            _ if daemon.protection().is_revoked(&user.token) => "revoked",
            Some(end) if end <= now => "expired",
            Some(_) | None => "good",
        };
        json!({
            "name": user.name,
            "role": user.role.as_str(),
            "numbers": user.numbers,
            "expires": user.expires.map(|end| end.rfc3339()),
            "state": state,
        })
    });
    Ok(Json(users.collect()))
}

/// Takes the token of a user away. One of another hash, which a reload brings, is good.
pub(super) async fn revoke(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
    Path(name): Path<String>,
) -> Result<(Extension<Besides>, Json<Value>), Problem> {
    let daemon = access.daemon()?;
    let loaded = daemon.loaded();
    let user = loaded.shell.api_users.iter().find(|user| user.name == name);
    let user = user.ok_or_else(|| {
        let all = loaded.shell.api_users.iter().map(|user| user.name.as_str());
        let detail = unknown("the configuration in use has no [[api.user]]", &name, all);
        Problem::new(StatusCode::NOT_FOUND, detail)
    })?;
    let is_kept = daemon.revoke(&user.name, &user.token).await;
    // Nobody asks or agrees with it any more.
    access.approvals.revoked(&user.name, who.name());
    let told = json!({ "name": user.name, "revoked": true, "kept": is_kept });
    Ok((Extension(Besides::more(user.role.as_str())), Json(told)))
}
