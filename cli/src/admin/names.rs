//! What is remembered of DNS: shown with the time that is left, and forgotten on command.

use super::{Access, Problem};
use crate::daemon::resolver::Remembered;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

/// Which names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    name: Option<String>,
}

type Asked = Result<Query<Wish>, QueryRejection>;

fn name(wish: Asked) -> Result<Option<String>, Problem> {
    let Query(wish) = wish.map_err(|why| Problem::query(&why))?;
    let bare = |name: String| name.trim_end_matches('.').to_ascii_lowercase();
    Ok(wish.name.map(bare))
}

pub(super) async fn show(
    State(access): State<Access>,
    wish: Asked,
) -> Result<Json<Value>, Problem> {
    known(&access, name(wish)?.as_deref())
}

/// What is remembered of a name, or of all.
pub(super) fn known(access: &Access, name: Option<&str>) -> Result<Json<Value>, Problem> {
    let known = access.daemon()?.resolver().remembered(name);
    let row = |one: &Remembered| {
        json!({
            "name": one.question.name,
            "kind": one.question.kind.as_str().to_uppercase(),
            "state": one.state.as_str(),
            "seconds_left": one.left.as_secs(),
            "records": one.records,
        })
    };
    Ok(Json(known.iter().map(row).collect()))
}

pub(super) async fn flush(
    State(access): State<Access>,
    wish: Asked,
) -> Result<Json<Value>, Problem> {
    let name = name(wish)?;
    let forgotten = access.daemon()?.resolver().forget(name.as_deref());
    Ok(Json(json!({ "forgotten": forgotten })))
}
