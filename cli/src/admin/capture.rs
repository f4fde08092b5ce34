//! Captures of calls (OPS-085).

use super::approvals::{Approvals, Pass};
use super::log::{about, seconds};
use super::who::{Besides, Who};
use super::{Access, Problem, trunks};
use crate::sink::capture::{
    Captures, GoesOn, LONGEST, MOST_CALLS, MOST_CALLS_WITH_MEDIA, Taken, USUAL, USUAL_CALLS, Wish,
    name,
};
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use media_api::Tap;
use sbc_core::config::Loaded;
use sbc_core::id::TrunkName;
use sbc_core::sdp::base64_encode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

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
    let ear = Ear::of(&access, &who)?;
    let pass = ear.pass(media, what)?;
    // Nobody else hears it without another word; and nobody at all, where it was begun without one.
    let hears = who.identity().filter(|_| ear.is_asked(media));
    let begun = access
        .approvals
        .capturing(hears, || captures.begin(wish, lasts));
    begun.map_err(goes_on)?;
    Ok((besides(media, pass.used()), Json(told(captures))))
}

fn of(what: &str, value: Option<&str>) -> String {
    value.map_or_else(String::new, |value| format!(", {what} {value}"))
}

/// Somebody who may have to ask another person before they hear callers.
struct Ear<'a> {
    approvals: &'a Arc<Approvals>,
    who: &'a Who,
    loaded: Arc<Loaded>,
}

impl<'a> Ear<'a> {
    fn of(access: &'a Access, who: &'a Who) -> Result<Self, Problem> {
        Ok(Self {
            approvals: &access.approvals,
            who,
            loaded: access.daemon()?.loaded(),
        })
    }

    fn is_asked(&self, media: Option<Tap>) -> bool {
        self.loaded.shell.has_four_eyes && media == Some(Tap::Whole)
    }

    /// Leave to hear what callers say: by another person, too, where that is wanted.
    fn pass(&self, media: Option<Tap>, what: String) -> Result<Pass, Problem> {
        match self.is_asked(media) {
            true => {
                self.approvals.under(&self.loaded);
                self.approvals.pass(self.who, what)
            }
            false => Ok(self.approvals.free()),
        }
    }

    /// Leave to have what the capture of this number has.
    fn fetches(&self, number: u64, media: Option<Tap>) -> Result<Pass, Problem> {
        may_hear(self.who, media)?;
        if self.approvals.hears(self.who, number) {
            return Ok(self.approvals.free());
        }
        let what = format!("fetch what capture {number} since the start of the daemon has");
        self.pass(media, what)
    }

    /// What there is, made by this, with leave to have it. Leave is asked for before that, as it takes a while; and again
    /// where another capture has begun in between.
    async fn taken(
        &self,
        captures: &Captures,
        file: impl Future<Output = Result<Option<Taken>, Problem>>,
    ) -> Result<(Taken, Pass), Problem> {
        let nothing = || {
            let why = "nothing was captured since the start of the daemon (causeway capture start)";
            Problem::new(StatusCode::NOT_FOUND, why)
        };
        let looked = captures.standing().ok_or_else(nothing)?;
        let pass = self.fetches(looked.number, looked.wish.media)?;
        let taken = file.await?.ok_or_else(nothing)?;
        if taken.number == looked.number {
            return Ok((taken, pass));
        }
        drop(pass);
        let pass = self.fetches(taken.number, taken.wish.media)?;
        Ok((taken, pass))
    }
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
    let captures = access.daemon()?.sinks().captures.clone();
    let ear = Ear::of(&access, &who)?;
    let own = captures.clone();
    let file = access.desk.work(move || own.file());
    let (Taken { wish, file, .. }, pass) = ear.taken(&captures, file).await?;
    let file = access.desk.work(move || base64_encode(&file)).await?;
    Ok((
        besides(wish.media, pass.used()),
        Json(json!({ "pcapng": file })),
    ))
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
            "what callers say is for whoever has media = true at [[api.user]], [[api.client]] or [[api.oidc.role]], and over the \
             socket of this host for root and [api] media_users: no role implies it; ask for rtp=headers",
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

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::config::{ApiRole, ApiUser, Assumed, Source, TokenHash, load};

    fn admin() -> Who {
        let user = ApiUser {
            name: "anna".to_owned(),
            role: ApiRole::Admin,
            numbers: true,
            media: true,
            token: TokenHash::parse(&format!("sha256:{}", "00".repeat(32))).unwrap(),
            expires: None,
            accept_from: Vec::new(),
        };
        Who::of_user(&user, "127.0.0.1:4000".parse().unwrap())
    }

    /// SEC-151.
    #[tokio::test]
    async fn what_is_fetched_is_judged_by_itself_and_not_by_what_stood_there_before() {
        let (captures, approvals, who) = (Captures::default(), Arc::default(), admin());
        let begin = |media| {
            captures.stop();
            let wish = Wish {
                trunk: None,
                number: None,
                calls: 1,
                media,
            };
            captures.begin(wish, USUAL).unwrap()
        };
        let file = |captures: &Captures| Ok(captures.file());
        let text = "[node]\nid = \"sbc1\"\n[api]\nunix = \"/run/api.sock\"\nfour_eyes = true\n";
        let loaded = load(&[Source::new("a.toml", text)], &Assumed::default(), None);
        let ear = Ear {
            approvals: &approvals,
            who: &who,
            loaded: Arc::new(loaded.unwrap_or_else(|why| panic!("{}", why.to_text()))),
        };
        let of_nothing = ear.taken(&captures, async { file(&captures) }).await;
        assert_eq!(of_nothing.err().unwrap().status, StatusCode::NOT_FOUND);
        begin(None);
        let (taken, _) = ear
            .taken(&captures, async { file(&captures) })
            .await
            .unwrap();
        assert_eq!((taken.number, taken.wish.media), (1, None));
        // Somebody else begins one with media in between.
        let replaced = ear.taken(&captures, async {
            begin(Some(Tap::Whole));
            file(&captures)
        });
        let refused = replaced.await.err().expect("it waits for another person");
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert!(refused.waits.is_some(), "{refused:?}");
        assert!(refused.detail.contains("another person"), "{refused:?}");
        // What one may have does not lead to the next one, either.
        approvals
            .capturing(who.identity(), || Ok::<_, GoesOn>(begin(Some(Tap::Whole))))
            .unwrap();
        assert!(
            ear.taken(&captures, async { file(&captures) })
                .await
                .is_ok()
        );
        let replaced = ear.taken(&captures, async {
            begin(Some(Tap::Whole));
            file(&captures)
        });
        assert!(replaced.await.err().unwrap().waits.is_some());
    }
}
