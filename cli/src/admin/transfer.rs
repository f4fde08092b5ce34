//! Putting somebody else in the place of a party of a call.

use super::calls::{identify, unknown};
use super::who::{Besides, Who};
use super::{Access, Problem};
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use sbc_core::id::TrunkName;
use sbc_core::input::{Answered, Command, Stays, TransferOrder};
use sbc_core::record::TransferOutcome;
use sbc_core::sip::Status;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// How long whoever asks waits for what comes of it: a command of this program waits 30 s.
const WAIT: Duration = Duration::from_secs(25);
/// Octets of the number and of the trunk.
const LONGEST: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    number: String,
    trunk: Option<String>,
    stays: Option<String>,
}

pub(super) async fn transfer(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
    Path(id): Path<String>,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Result<(Extension<Besides>, Json<Value>), Problem> {
    let Query(wish) = wish.map_err(|why| Problem::query(&why))?;
    let refused = |why: &str| Problem::new(StatusCode::BAD_REQUEST, why);
    let stays = match wish.stays.as_deref() {
        None | Some("caller") => Stays::Caller,
        Some("called") => Stays::Called,
        Some(_) => return Err(refused("stays is caller or called")),
    };
    let texts = [Some(&wish.number), wish.trunk.as_ref()];
    if texts.into_iter().flatten().any(|text| text.len() > LONGEST) {
        return Err(refused("number and trunk have 64 octets at most"));
    }
    let daemon = access.daemon()?;
    let call = identify(&access, &daemon, &who, &id).await?;
    let besides = Extension(Besides::more(format!(
        "to {}",
        wish.number.escape_default()
    )));
    let order = TransferOrder {
        stays,
        number: wish.number,
        trunk: wish.trunk.as_deref().map(TrunkName::new),
    };
    for inbox in daemon.inboxes().all() {
        let command = Command::Transfer(call, order.clone());
        match daemon.replies().ask(inbox, command, WAIT).await {
            Some(Answered::Transferred {
                outcome: TransferOutcome::Refused,
                status,
                because,
            }) => {
                let is_no_number = status == Some(Status::BAD_REQUEST);
                let status = match is_no_number {
                    true => StatusCode::BAD_REQUEST,
                    false => StatusCode::CONFLICT,
                };
                return Err(Problem::new(status, because.0.join("; ")));
            }
            Some(Answered::Transferred {
                outcome,
                status,
                because,
            }) => {
                let status = status.map(Status::code);
                let told = json!({ "call": call, "outcome": outcome, "status": status, "because": because.0 });
                return Ok((besides, Json(told)));
            }
            Some(_) => {}
            // Its shard says nothing before the end.
            None => {
                let because = "it rings still: \"causeway call show\" says what comes of it";
                let told = json!({ "call": call, "outcome": "ringing", "status": null, "because": [because] });
                return Ok((besides, Json(told)));
            }
        }
    }
    Err(unknown(&daemon, &id))
}
