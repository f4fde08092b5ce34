//! The subject is the proxy in front of an SBC in a branch.

use super::{Lines, NEEDS, RULE, decisions, elsewhere, lines, tells};
use crate::certify::case::{Case, Need, PATIENCE, Played, Step, breaks, case};
use crate::certify::change::{End, SETTLED};
use crate::certify::follows;
use crate::certify::ladder::{Called, Caller, TONES, Talk};
use crate::certify::mutation::{
    Mutation, Warp, as_method, carrier, delay, drop, replace, rewrite, teams, then, without,
};
use crate::certify::setting::{FQDN, OUTSIDE, PROXY, Setting, USER};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::certify::word;
use crate::media::sdp;
use crate::media::tone::Codec;
use crate::media::voice::Voice;
use crate::peer::message::{Message, uri_of};
use std::time::Duration;

/// How soon what was guessed wrong is put right, and how soon both hear each other then.
const SOON: Duration = Duration::from_secs(1);
const GUESS: &str = "TDR-LMO-020";
const LIMITS: &str = "TDR-LMO-023";
const LOG: &str = "TDR-LMO-024";

pub(super) const ALWAYS_INSIDE: Case = case(
    "TC-LMO-003",
    |stage| Box::pin(from_branch_site(stage, lines("internal", FQDN))),
    &[
        breaks(RULE, rewrite(teams("INVITE").status(200), to_us)).also(&[follows::UNHEARD]),
        breaks(RULE, rewrite(carrier("INVITE").first(), to_us))
            .also(&[follows::QUIET, follows::UNHEARD]),
        breaks(
            RULE,
            replace(
                teams("INVITE").status(200),
                "a=ice-ufrag:brch",
                "a=ice-ufrag:ours",
            ),
        ),
    ],
)
.needs(NEEDS)
.with(proxy);

pub(super) const ALWAYS_OUTSIDE: Case = case(
    "TC-LMO-004",
    |stage| Box::pin(by_proxy(stage, "external", "Vietnam")),
    &[
        breaks(RULE, rewrite(teams("INVITE").status(200), elsewhere)).also(&[follows::UNHEARD]),
        breaks("audio", Mutation::Media(Warp::Silence)),
    ],
)
.needs(NEEDS)
.with(proxy);

pub(super) const SAME_SITE: Case = case(
    "TC-LMO-005",
    |stage| {
        Box::pin(from_branch_site(
            stage,
            of_site("internal", FQDN, "Vietnam"),
        ))
    },
    &[breaks(RULE, rewrite(teams("INVITE").status(200), to_us)).also(&[follows::UNHEARD])],
)
.needs(NEEDS)
.with(proxy);

pub(super) const OTHER_SITE: Case = case(
    "TC-LMO-006",
    |stage| Box::pin(by_proxy(stage, "internal", "Indonesia")),
    &[breaks(RULE, rewrite(teams("INVITE").status(200), elsewhere)).also(&[follows::UNHEARD])],
)
.needs(NEEDS)
.with(proxy);

pub(super) const GUESSED_RIGHT: Case = case(
    "TC-LMO-007",
    |stage| Box::pin(guessed_right(stage)),
    &[
        breaks(GUESS, without(teams("INVITE").first(), "Record-Route")),
        breaks(GUESS, rewrite(teams("INVITE").first(), to_us)).also(&[follows::UNHEARD]),
        breaks(GUESS, rewrite(carrier("INVITE").status(200), to_us))
            .also(&[follows::QUIET, follows::UNHEARD]),
        breaks(
            GUESS,
            rewrite(teams("INVITE").first(), |text| as_proxy(text, "From: ")),
        )
        .also(&[follows::NAMED, follows::FROM]),
        breaks(
            "G1",
            rewrite(teams("INVITE").first(), |text| as_proxy(text, "Contact: ")),
        )
        .also(&[follows::NO_TRUNK, follows::STOPS]),
        breaks(GUESS, then(teams("ACK"), |text| as_method(text, "INVITE")))
            .also(&follows::OFFERED_ANEW),
    ],
)
.needs(NEEDS)
.with(proxy);

pub(super) const GUESSED_WRONG: Case = case(
    "TC-LMO-008",
    |stage| Box::pin(guessed_wrong(stage)),
    &[
        breaks(GUESS, drop(teams("INVITE").inside())),
        breaks(
            GUESS,
            delay(teams("INVITE").inside(), Duration::from_millis(1_500)),
        ),
        breaks(GUESS, rewrite(teams("INVITE").inside(), elsewhere)),
        breaks(GUESS, Mutation::Media(Warp::Silence)),
    ],
)
.needs(NEEDS)
.with(proxy);

pub(super) const MUSIC: Case = case(
    "TC-LMO-012",
    |stage| Box::pin(music(stage)),
    &[
        breaks(
            LIMITS,
            rewrite(teams("INVITE").status(200).inside(), elsewhere),
        )
        .also(&[follows::UNHEARD]),
        breaks("audio", Mutation::Media(Warp::Silence)),
    ],
)
.needs(NEEDS)
.with(proxy);

pub(super) const ONLY_RINGING: Case = case(
    "TC-LMO-014",
    |stage| Box::pin(only_ringing(stage)),
    &[
        breaks(GUESS, drop(carrier("INVITE").status(180))),
        breaks(
            GUESS,
            replace(
                carrier("INVITE").status(180),
                "SIP/2.0 180 ",
                "SIP/2.0 183 ",
            ),
        ),
    ],
)
.needs(NEEDS)
.with(proxy);

pub(super) const TRACE: Case = case(
    "TC-LMO-016",
    |stage| Box::pin(trace(stage)),
    &[
        breaks(
            LOG,
            Mutation::Told("\"location\":\"external\"", "\"location\":null"),
        ),
        breaks(LOG, Mutation::Told("\"rule\"", "\"word\"")),
        breaks(LOG, Mutation::Told("[{", "[")),
        breaks(LOG, Mutation::Told("\"proxy.test.example\",", "")),
        breaks(LOG, Mutation::Told("re-INVITE", "something")),
        breaks(LOG, Mutation::Told("\"realm\"", "\"kingdom\"")),
        breaks(
            LOG,
            Mutation::Told("\"side\":\"internal\"", "\"side\":\"external\""),
        ),
    ],
)
.needs(&[
    Need::Optimization,
    Need::Ours("what decided about the media of a call is read from Causeway's own records"),
])
.with(proxy);

/// The subject is the proxy, and the trunk has the name of the SBC in the branch.
pub(super) fn proxy(setting: &mut Setting) {
    setting.is(word::OF_PROXY);
}

/// A faulty subject: its own address instead of a party's. Those of parties end in 10 and 21.
fn to_us(text: &str) -> String {
    let ours = |line: &str| match line.starts_with("c=IN IP4 ") {
        true => match line.rsplit_once('.') {
            Some((block, _)) => format!("{block}.2"),
            None => line.to_owned(),
        },
        false => line.to_owned(),
    };
    let lines: Vec<String> = text.split("\r\n").map(ours).collect();
    lines.join("\r\n")
}

/// A faulty subject: it shows itself in a line, and not the SBC behind it.
fn as_proxy(text: &str, begin: &str) -> String {
    let lines = text
        .split("\r\n")
        .map(|line| match line.starts_with(begin) {
            true => line.replace(FQDN, PROXY),
            false => line.to_owned(),
        });
    lines.collect::<Vec<_>>().join("\r\n")
}

fn of_site(location: &str, path: &str, site: &str) -> Lines {
    let mut all = lines(location, path);
    all.push(("X-MS-UserSite", site.to_owned()));
    all
}

fn by_both() -> String {
    format!("{PROXY}, {FQDN}")
}

/// The same description with an agent at its address, which these letters name.
fn with_agent(description: &str, voice: &Voice, name: &str, lite: &str) -> String {
    let (at, port) = (voice.at.ip(), voice.at.port());
    let (session, media) = description.split_once("m=audio").unwrap_or_default();
    format!(
        "{session}{lite}m=audio{media}a=ice-ufrag:{name}\r\na=ice-pwd:{name}-and-twenty-characters\r\n\
         a=candidate:1 1 UDP 2130706431 {at} {port} typ host\r\n"
    )
}

/// That a message tells a party's own place, its agent with it.
fn passes(stage: &Stage, rule: &str, message: &Message, voice: &Voice, agent: Option<&str>) {
    tells(stage, rule, message, voice.at.ip());
    let body = message.body();
    let port = sdp::read(&body).map(|media| media.rtp.port());
    stage.check(rule, port == Ok(voice.at.port()), || {
        format!("it tells of port {port:?}, and media are at {}", voice.at)
    });
    if let Some(name) = agent {
        let line = format!("a=ice-ufrag:{name}");
        stage.check(rule, body.lines().any(|own| own == line), || {
            format!("{line} is not passed on")
        });
    }
}

/// The branch has an INVITE of the subject, and said 100.
async fn branch_is_called(stage: &Stage) -> Result<Called, Failure> {
    let invite = stage.call_to_branch(PATIENCE).await?;
    let branch = stage.branch.as_ref();
    let branch = branch.ok_or_else(|| Failure::new("ladder", "there is no branch"))?;
    let mut leg = branch.take(invite);
    leg.respond(100, "Trying", None, &[])?;
    let offer = sdp::read(&leg.offer()).map_err(|why| Failure::new("ladder", why))?;
    let voice = stage.voice_of_branch().await?;
    Ok(Called { leg, offer, voice })
}

/// A user calls outside, and Teams says this of it; the branch has the call.
async fn user_dials(stage: &Stage, lines: Lines) -> Result<(Caller, Called), Failure> {
    let voice = stage.voice_of_teams().await?;
    let offer = sdp::teams_offer(voice.at, &voice.key);
    let offer = with_agent(&offer, &voice, "user", "a=ice-lite\r\n");
    let caller = stage
        .teams_offers(0, OUTSIDE, voice, offer, |parties| parties.extra = lines)
        .await?;
    let called = branch_is_called(stage).await?;
    Ok((caller, called))
}

/// The branch answers; what the user is told.
async fn branch_answers(caller: &mut Caller, called: &mut Called) -> Result<Message, Failure> {
    let answer = called.answer(Codec::Pcma);
    let answer = with_agent(&answer, &called.voice, "brch", "a=ice-lite\r\n");
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let answer = caller.is_answered().await?;
    called.leg.acknowledged().await?;
    Ok(answer)
}

/// TC-LMO-003 and TC-LMO-005: the user and the SBC of its branch have their media without the subject.
async fn from_branch_site(stage: &Stage, lines: Lines) -> Played {
    let mut talk = past_subject(stage, lines).await?;
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await
}

async fn past_subject(stage: &Stage, lines: Lines) -> Result<Talk, Failure> {
    let (mut caller, mut called) = user_dials(stage, lines).await?;
    passes(stage, RULE, called.invite()?, &caller.voice, Some("user"));
    let answer = branch_answers(&mut caller, &mut called).await?;
    passes(stage, RULE, &answer, &called.voice, Some("brch"));
    Ok(Talk { caller, called })
}

/// TC-LMO-004 and TC-LMO-006: the subject stands between the user and the branch.
async fn by_proxy(stage: &Stage, location: &str, site: &str) -> Played {
    let lines = of_site(location, &by_both(), site);
    let (mut caller, mut called) = user_dials(stage, lines).await?;
    tells(stage, RULE, called.invite()?, stage.carrier_side.ip());
    let answer = branch_answers(&mut caller, &mut called).await?;
    let wanted = match location {
        "internal" => stage.carrier_side.ip(),
        _ => stage.teams_side.ip(),
    };
    tells(stage, RULE, &answer, wanted);
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await
}

/// The branch calls a user; Teams has the call.
async fn branch_dials(stage: &Stage) -> Result<(Caller, Called), Failure> {
    let voice = stage.voice_of_branch().await?;
    let offer = sdp::carrier_offer(voice.at, &[Codec::Pcma, Codec::Pcmu]);
    let key = format!(
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{}|2^31\r\n",
        voice.key.text()
    );
    let offer = offer.replace("RTP/AVP", "RTP/SAVP") + &key;
    let offer = with_agent(&offer, &voice, "brch", "a=ice-lite\r\n");
    let branch = stage.branch.as_ref();
    let branch = branch.ok_or_else(|| Failure::new("ladder", "there is no branch"))?;
    let (leg, invite) = branch.call(OUTSIDE, USER, offer).await?;
    let caller = Caller { leg, invite, voice };
    let called = stage.teams_is_called().await?;
    let invite = called.invite()?;
    passes(stage, GUESS, invite, &caller.voice, Some("brch"));
    let routes = invite.values("Record-Route");
    let is_proxy = matches!(&routes[..], [only] if only.contains(PROXY));
    stage.check(GUESS, is_proxy, || {
        format!("Record-Route is {routes:?}, wanted {PROXY}")
    });
    for name in ["From", "Contact"] {
        let host = uri_of(invite.line(name).unwrap_or_default());
        let host = host.map(|uri| uri.host().to_string()).unwrap_or_default();
        stage.check(GUESS, host == FQDN, || {
            format!("{name} has {host}, wanted {FQDN}")
        });
    }
    Ok((caller, called))
}

/// Teams rings and answers, with these lines; what the branch is told.
async fn user_answers(
    caller: &mut Caller,
    called: &mut Called,
    lines: &[(&str, String)],
) -> Result<Message, Failure> {
    called.leg.respond(180, "Ringing", None, &[])?;
    let ringing = caller.leg.hears(180, PATIENCE).await.rule(GUESS)?;
    if !ringing.message.body().is_empty() {
        return Err(Failure::new(
            GUESS,
            "ringing has a description that nobody gave",
        ));
    }
    let answer = called.answer(Codec::Pcma);
    let answer = with_agent(&answer, &called.voice, "user", "a=ice-lite\r\n");
    called.leg.respond(200, "OK", Some(answer), lines)?;
    let answer = caller.is_answered().await?;
    called.leg.acknowledged().await?;
    Ok(answer)
}

/// TC-LMO-007.
async fn guessed_right(stage: &Stage) -> Played {
    let (mut caller, mut called) = branch_dials(stage).await?;
    let answer = user_answers(&mut caller, &mut called, &lines("internal", FQDN)).await?;
    passes(stage, GUESS, &answer, &called.voice, Some("user"));
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await?;
    let (_, user) = talk.ends();
    let offer = user.leg.asked("INVITE", SETTLED).await;
    stage.check(GUESS, offer.is_err(), || {
        "a guess that was right is put right all the same".to_owned()
    });
    talk.caller_ends().await
}

/// TC-LMO-008: and soon both hear each other.
async fn guessed_wrong(stage: &Stage) -> Played {
    let mut talk = put_right(stage).await?;
    let (one, other) = (&talk.caller.voice, &talk.called.voice);
    one.plays(TONES.0);
    other.plays(TONES.1);
    let heard = tokio::join!(one.waits_for(TONES.1, SOON), other.waits_for(TONES.0, SOON));
    stage.check(GUESS, heard == (true, true), || {
        format!(
            "{SOON:?} after the re-INVITE the branch hears: {}, the user: {}",
            heard.0, heard.1
        )
    });
    talk.caller_ends().await
}

async fn put_right(stage: &Stage) -> Result<Talk, Failure> {
    let (mut caller, mut called) = branch_dials(stage).await?;
    let lines = lines("external", &by_both());
    let answer = user_answers(&mut caller, &mut called, &lines).await?;
    tells(stage, GUESS, &answer, stage.carrier_side.ip());
    let mut talk = Talk { caller, called };
    let (_, mut user) = talk.ends();
    let offer = offered(&mut user, SOON).await?;
    tells(stage, GUESS, &offer, stage.teams_side.ip());
    Ok(talk)
}

async fn offered(user: &mut End<'_>, patience: Duration) -> Result<Message, Failure> {
    let offer = user.may_be_offered(patience).await?;
    offer.ok_or_else(|| Failure::new(GUESS, format!("no re-INVITE within {patience:?}")))
}

/// TC-LMO-012: music of Teams comes from outside, and media stay at the subject's external address.
async fn music(stage: &Stage) -> Played {
    let mut talk = past_subject(stage, lines("internal", FQDN)).await?;
    let voice = stage.voice_of_teams().await?;
    let offer = sdp::teams_offer(voice.at, &voice.key);
    let (mut user, mut branch) = talk.ends();
    user.continues_with(voice);
    let lines = lines("external", &by_both());
    let (answer, told) = tokio::join!(user.offers_with(offer.clone(), &lines), branch.is_offered());
    tells(stage, LIMITS, &answer?, stage.teams_side.ip());
    tells(stage, LIMITS, &told?, stage.carrier_side.ip());
    stage.hear_each_other(&talk).await?;
    let (mut user, mut branch) = talk.ends();
    let answer = stage.one_changes(&mut user, &mut branch, offer).await?;
    tells(stage, LIMITS, &answer, stage.teams_side.ip());
    talk.caller_ends().await
}

/// TC-LMO-014.
async fn only_ringing(stage: &Stage) -> Played {
    let (mut caller, mut called) = branch_dials(stage).await?;
    user_answers(&mut caller, &mut called, &lines("internal", FQDN)).await?;
    let mut talk = Talk { caller, called };
    talk.caller_ends().await
}

/// TC-LMO-016: of each call that the cases before this one play, its record says what was decided and why.
async fn trace(stage: &Stage) -> Played {
    from_branch_site(stage, lines("internal", FQDN)).await?;
    by_proxy(stage, "external", "Vietnam").await?;
    from_branch_site(stage, of_site("internal", FQDN, "Vietnam")).await?;
    by_proxy(stage, "internal", "Indonesia").await?;
    guessed_right(stage).await?;
    let mut talk = put_right(stage).await?;
    talk.caller_ends().await?;
    let wanted = [
        "internal", "external", "internal", "internal", "internal", "external",
    ];
    let all = decisions(stage, wanted.len()).await?;
    for (number, (call, side)) in all.iter().zip(wanted).enumerate() {
        let Some(last) = call.last() else {
            stage.check(LOG, false, || format!("call {number} has no decision"));
            continue;
        };
        for one in call {
            let rule = one["rule"].as_str().unwrap_or_default();
            stage.check(LOG, !rule.is_empty(), || format!("no rule: {one}"));
        }
        stage.check(LOG, last["side"] == side, || {
            format!("call {number} was {side}, and its record says {last}")
        });
        // A guess that was right needs no word of Teams.
        let location = last["location"].as_str();
        let is_told = location == Some(side) || (location.is_none() && number == 4);
        stage.check(LOG, is_told, || format!("what Teams said: {last}"));
        let is_ours = last["faced"] == "us";
        stage.check(LOG, !is_ours || last["realm"].is_string(), || {
            format!("the interface is missing: {last}")
        });
    }
    let Some([guess, fact]) = all.last().map(Vec::as_slice) else {
        return Err(Failure::new(
            LOG,
            format!("a wrong guess is told as {all:?}"),
        ));
    };
    stage.check(LOG, guess["side"] == "internal", || {
        format!("the guess: {guess}")
    });
    let path = fact["path"].as_array().map_or(0, Vec::len);
    stage.check(LOG, path == 2, || format!("what Teams said: {fact}"));
    let moved = fact["moved"].as_str().unwrap_or_default();
    stage.check(LOG, moved.contains("re-INVITE"), || {
        format!("why it moved: {fact}")
    });
    Ok(())
}
