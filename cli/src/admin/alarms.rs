//! What is wrong with the node now, in words.

use super::who::Who;
use super::{Access, Problem, certs, node, trunks};
use crate::alarms;
use axum::Json;
use axum::extract::{ConnectInfo, State};
use serde_json::{Value, json};

/// All of it; nothing while all is well.
pub(super) async fn list(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
) -> Result<Json<Value>, Problem> {
    let here = || State(access.clone());
    let Json(status) = node::status(here(), ConnectInfo(who.clone())).await?;
    let Json(certs) = certs::list(here()).await?;
    let trunks = Value::from(trunks::rows(&access, &who).await?);
    Ok(Json(
        json!({ "alarms": alarms::of(&status, &trunks, &certs) }),
    ))
}
