//! Captures of calls (OPS-085).

use super::approvals::{self, Pass};
use super::log::{about, seconds};
use super::who::{Besides, Who};
use super::{Access, Problem, trunks};
use crate::daemon::Daemon;
use crate::sink::capture::{
    Captures, GoesOn, LONGEST, MOST_CALLS, MOST_CALLS_WITH_MEDIA, USUAL, USUAL_CALLS, Wish, name,
};
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use media_api::Tap;
use sbc_core::config::FourEyes;
use sbc_core::id::TrunkName;
use sbc_core::sdp::base64_encode;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    trunk: Option<String>,
    number: Option<String>,
    calls: Option<usize>,
    seconds: Option<u64>,
    rtp: Option<String>,
}

pub(super) async fn show(State(access): State<Access>) -> Result<Json<Value>, Problem> {
    Ok(Json(told(&access.daemon()?.sinks().captures)))
}

/// Begins one.
pub(super) async fn start(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<(Extension<Besides>, Json<Value>), Problem> {
    let Query(wanted) = wanted.map_err(|why| Problem::query(&why))?;
    let daemon = access.daemon()?;
    let bad = |why: String| Problem::new(StatusCode::BAD_REQUEST, why);
    let texts = [("number", wanted.number.as_deref())];
    about(&texts).map_err(bad)?;
    if let Some(trunk) = &wanted.trunk {
        trunks::known(&daemon, trunk)?;
    }
    let lasts = seconds(wanted.seconds, USUAL, LONGEST).map_err(bad)?;
    let calls = wanted.calls.unwrap_or(USUAL_CALLS);
    if !(1..=MOST_CALLS).contains(&calls) {
        return Err(bad(format!("calls are from 1 to {MOST_CALLS}")));
    }
    let media = match wanted.rtp.as_deref() {
        None | Some("none") => None,
        Some("headers") => Some(Tap::Headers),
        Some("full") => Some(Tap::Whole),
        Some(_) => return Err(bad("rtp is none, headers or full".to_owned())),
    };
    may_hear(&who, media)?;
    if media.is_some() && calls > MOST_CALLS_WITH_MEDIA {
        let why = format!("calls are from 1 to {MOST_CALLS_WITH_MEDIA} where media are captured");
        return Err(bad(why));
    }
    let captures = &daemon.sinks().captures;
    let goes_on = |why: GoesOn| Problem::new(StatusCode::CONFLICT, why.to_string());
    if captures.standing().is_some_and(|own| own.left.is_some()) {
        // Nobody is to be asked for what cannot be done.
        return Err(goes_on(GoesOn));
    }
    let wish = Wish {
        trunk: wanted.trunk.map(|name| TrunkName::new(&name)),
        number: wanted.number,
        calls,
        media,
    };
    let what = format!(
        "capture with media of {} calls in {} s{}{}",
        wish.calls,
        lasts.as_secs(),
        of(
            "from or to trunk",
            wish.trunk.as_ref().map(TrunkName::as_str)
        ),
        of("from or to numbers that begin with", wish.number.as_deref()),
    );
    let pass = pass(&access, &daemon, (&who, media), what)?;
    // Nobody else hears it without another word.
    let hears = who.identity().filter(|_| media == Some(Tap::Whole));
    let begun = access
        .approvals
        .capturing(hears, || captures.begin(wish, lasts));
    begun.map_err(goes_on)?;
    Ok((besides(media, pass.used()), Json(told(captures))))
}

fn of(what: &str, value: Option<&str>) -> String {
    value.map_or_else(String::new, |value| format!(", {what} {value}"))
}

/// Leave to hear what callers say: by another person, too, where that is wanted.
fn pass(
    access: &Access,
    daemon: &Daemon,
    (who, media): (&Who, Option<Tap>),
    what: String,
) -> Result<Pass, Problem> {
    let is_wanted = daemon.loaded().shell.four_eyes.contains(&FourEyes::Media);
    if !is_wanted || media != Some(Tap::Whole) {
        return Ok(access.approvals.free());
    }
    access.approvals.pass(
        who,
        approvals::Wish {
            kind: FourEyes::Media,
            exactly: what.clone(),
            what,
            because: vec!["what callers say is heard".to_owned()],
            difference: String::new(),
        },
    )
}

/// Ends it.
pub(super) async fn stop(State(access): State<Access>) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let captures = &daemon.sinks().captures;
    captures.stop();
    Ok(Json(told(captures)))
}

/// What was taken so far.
pub(super) async fn fetch(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
) -> Result<(Extension<Besides>, Json<Value>), Problem> {
    let daemon = access.daemon()?;
    let captures = daemon.sinks().captures.clone();
    let media = captures.standing().and_then(|own| own.wish.media);
    may_hear(&who, media)?;
    let pass = match access.approvals.hears(&who) {
        (_, true) => access.approvals.free(),
        (number, false) => {
            let what = format!("fetch what capture {number} since the start of the daemon has");
            pass(&access, &daemon, (&who, media), what)?
        }
    };
    let file = access.desk.work(move || {
        let file = captures.file()?;
        Some(base64_encode(&file))
    });
    match file.await? {
        Some(file) => Ok((besides(media, pass.used()), Json(json!({ "pcapng": file })))),
        None => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "nothing was captured since the start of the daemon (causeway capture start)",
        )),
    }
}

/// For the audit log.
fn besides(media: Option<Tap>, agreed: Option<String>) -> Extension<Besides> {
    let media = media.map_or("none", name);
    let agreed = agreed.map_or_else(String::new, |told| format!(" ({told})"));
    Extension(Besides::more(format!("rtp={media}{agreed}")))
}

/// What callers say is for those alone who may hear it.
fn may_hear(who: &Who, media: Option<Tap>) -> Result<(), Problem> {
    match media {
        Some(Tap::Whole) if !who.hears_media() => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "what callers say is for the role admin and for the socket of this host: ask for rtp=headers",
        )),
        _ => Ok(()),
    }
}

fn told(captures: &Captures) -> Value {
    let Some(own) = captures.standing() else {
        return json!({ "state": "none" });
    };
    json!({
        "state": match own.left {
            Some(_) => "running",
            None => "over",
        },
        "trunk": own.wish.trunk,
        "number": own.wish.number,
        "seconds_left": own.left.map(|left| left.as_secs()),
        "calls": own.calls,
        "calls_wanted": own.wish.calls,
        "rtp": own.wish.media.map_or("none", name),
        "messages": own.messages,
        "media_packets": own.media_packets,
        "bytes": own.bytes,
        "left_out": own.left_out,
    })
}
