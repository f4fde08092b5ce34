//! ICE: media bypass.

use crate::certify::case::{Case, Need, PATIENCE, Played, Step, breaks, case};
use crate::certify::follows;
use crate::certify::ladder::{Caller, TONES, Talk};
use crate::certify::mutation::{
    Mutation, Warp, as_method, carrier, drop, keeps, replace, rewrite, teams, then, without_body,
};
use crate::certify::setting::{OUTSIDE, Setting};
use crate::certify::stage::Stage;
use crate::certify::times::Times;
use crate::certify::verdict::Failure;
use crate::certify::word;
use crate::media::check::{Check, Reply};
use crate::media::ice::Lite;
use crate::media::sdp;
use crate::media::tone::Codec;
use crate::media::voice::Voice;
use crate::peer::leg::Parties;
use crate::peer::message::Message;
use std::time::Duration;

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-ICE-001",
        |stage| Box::pin(client_is_called(stage)),
        &[
            breaks(
                "TDR-ICE-001",
                replace(teams("INVITE").first(), "a=ice-lite\r\n", ""),
            ),
            breaks("TDR-ICE-003", Mutation::Media(Warp::NoAnswers)),
            breaks(
                "TDR-ICE-003",
                replace(teams("INVITE").first(), "a=ice-pwd:", "a=ice-pwd:x"),
            )
            .also(&[follows::QUIET]),
            breaks("TDR-ICE-003", Mutation::Media(Warp::LateAnswers)),
            breaks("TDR-ICE-003", Mutation::Media(Warp::OftenLateAnswers)),
            breaks("TDR-ICE-003", Mutation::Media(Warp::Checks)),
            breaks("TDR-ICE-002", rewrite(teams("INVITE").first(), two_places))
                .also(&[follows::AGENT]),
            breaks("audio", Mutation::Media(Warp::Silence)),
        ],
    )
    .needs(&[Need::Bypass])
    .with(with_bypass),
    case(
        "TC-ICE-002",
        |stage| Box::pin(client_calls(stage)),
        &[
            breaks(
                "TDR-ICE-001",
                replace(teams("INVITE").status(200), "a=ice-lite\r\n", ""),
            ),
            breaks("TDR-ICE-003", Mutation::Media(Warp::NoAnswers)),
            breaks(
                "TDR-ICE-003",
                replace(teams("INVITE").status(200), "a=ice-ufrag:", "a=ice-ufrag:x"),
            )
            .also(&[follows::QUIET]),
            breaks("TDR-ICE-003", Mutation::Media(Warp::LateAnswers)),
            breaks("TDR-ICE-003", Mutation::Media(Warp::OftenLateAnswers)),
            breaks("TDR-ICE-003", Mutation::Media(Warp::Checks)),
            breaks("audio", Mutation::Media(Warp::Silence)),
        ],
    )
    .needs(&[Need::Bypass])
    .with(with_bypass),
    case(
        "TC-ICE-003",
        |stage| Box::pin(never_checks(stage)),
        &[breaks("TDR-ICE-003", Mutation::Media(Warp::Checks))],
    )
    .needs(&[Need::Bypass])
    .with(with_bypass),
    case(
        "TC-ICE-007",
        |stage| Box::pin(nominated_early(stage)),
        &[
            breaks("TDR-ICE-003", Mutation::Media(Warp::NoAnswers)),
            breaks(
                "TDR-ICE-007",
                replace(teams("INVITE").status(200), "a=ice-pwd:", "a=ice-pwd:x"),
            )
            .also(&[follows::UNREAD]),
            breaks("TDR-ICE-007", Mutation::Media(Warp::Holes)),
            breaks("TDR-ICE-007", drop(teams("INVITE").status(183))),
            breaks(
                "TDR-ICE-007",
                rewrite(teams("INVITE").status(183), without_body),
            ),
            breaks("TDR-ICE-007", Mutation::Media(Warp::Silence)),
        ],
    )
    .needs(&[Need::Bypass])
    .with(with_bypass),
    case(
        "TC-ICE-009",
        |stage| Box::pin(names_the_pair(stage)),
        &[
            breaks(
                "TDR-ICE-008",
                replace(
                    teams("INVITE").status(200).inside(),
                    "a=ice-pwd:",
                    "a=ice-pwd:x",
                ),
            )
            .also(&[follows::UNREAD]),
            breaks("ladder", drop(teams("INVITE").status(200).inside())),
            breaks("TDR-ICE-008", Mutation::Media(Warp::Holes)),
            breaks("TDR-ICE-008", Mutation::CarrierMedia(Warp::Holes)),
        ],
    )
    .needs(&[Need::Bypass])
    .with(with_bypass),
    case(
        "TC-ICE-010",
        |stage| Box::pin(restarts(stage)),
        &[
            breaks(
                "TDR-ICE-009",
                replace(
                    teams("INVITE").status(200).inside(),
                    "a=ice-pwd:",
                    "a=ice-pwd:x",
                ),
            )
            .also(&[follows::QUIET]),
            breaks("TDR-ICE-009", keeps(teams("INVITE").status(200), "a=ice-"))
                .also(&[follows::UNHEARD, follows::QUIET]),
            breaks("TDR-ICE-009", Mutation::Media(Warp::LeftSilent)).also(&[follows::QUIET]),
            breaks("TDR-ICE-009", Mutation::Media(Warp::LeftUnanswered)).also(&[follows::QUIET]),
            breaks(
                "TDR-ICE-001",
                replace(teams("INVITE").status(200), "a=ice-lite\r\n", ""),
            ),
            breaks(
                "TDR-ICE-002",
                rewrite(teams("INVITE").status(200), two_places),
            )
            .also(&[follows::AGENT]),
        ],
    )
    .needs(&[Need::Bypass])
    .with(with_bypass),
    case(
        "TC-ICE-011",
        |stage| Box::pin(holds(stage)),
        &[
            breaks(
                "TDR-HLD-004",
                replace(
                    teams("INVITE").status(200).inside(),
                    "a=ice-ufrag:",
                    "a=ice-ufrag:x",
                ),
            ),
            // What tells the carrier of the hold is followed by the end of the call.
            breaks(
                "TDR-HLD-004",
                then(carrier("INVITE").inside(), |text| as_method(text, "BYE")),
            ),
        ],
    )
    .needs(&[Need::Bypass])
    .with(with_bypass),
    case(
        "TC-ICE-013",
        |stage| Box::pin(both_lite(stage)),
        &[
            breaks("TDR-ICE-010", Mutation::Media(Warp::Silence)),
            breaks(
                "TDR-ICE-001",
                replace(teams("INVITE").status(200), "a=ice-lite\r\n", ""),
            ),
        ],
    )
    .needs(&[Need::Bypass])
    .with(with_bypass),
    case(
        "TC-ICE-014",
        |stage| Box::pin(media_processor(stage)),
        &[
            breaks(
                "TDR-ICE-001",
                replace(teams("INVITE").first(), "a=ice-lite\r\n", ""),
            ),
            breaks(
                "TDR-ICE-002",
                replace(teams("INVITE").first(), "a=candidate:", "a=x-candidate:"),
            )
            .also(&[follows::AGENT]),
            breaks("TDR-ICE-012", Mutation::Media(Warp::Silence)),
        ],
    )
    .needs(&[Need::Bypass])
    .with(with_bypass),
    case(
        "TC-ICE-018",
        |stage| Box::pin(without_bypass(stage)),
        &[
            breaks(
                "TDR-ICE-015",
                replace(
                    teams("INVITE").status(200),
                    "t=0 0\r\n",
                    "t=0 0\r\na=ice-lite\r\n",
                ),
            ),
            breaks("audio", Mutation::Media(Warp::Silence)),
        ],
    ),
];

/// The trunk is one with bypass.
pub(super) fn with_bypass(setting: &mut Setting) {
    setting.is(word::BYPASS);
}

/// What a client of Teams says of itself, at the address of its audio.
fn client(description: &str, is_lite: bool) -> String {
    let at = description
        .lines()
        .find_map(|line| line.strip_prefix("c=IN IP4 "))
        .unwrap_or_default();
    let port = description
        .lines()
        .find_map(|line| line.strip_prefix("m=audio "))
        .and_then(|line| line.split(' ').next())
        .unwrap_or_default();
    let lite = if is_lite { "a=ice-lite\r\n" } else { "" };
    let (session, media) = description.split_once("m=audio").unwrap_or_default();
    format!(
        "{session}{lite}m=audio{media}a=ice-ufrag:Tms1\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
         a=candidate:1 1 UDP 2130706431 {at} {port} typ host\r\n"
    )
}

/// Says of a description of the subject whether it is that of a lite agent with one candidate of IPv4 for
/// audio, where its audio is.
pub(super) fn is_lite(stage: &Stage, message: &Message) {
    let body = message.body();
    let has = |begin: &str| body.lines().any(|line| line.starts_with(begin));
    let is_agent = has("a=ice-lite") && has("a=ice-ufrag:") && has("a=ice-pwd:");
    stage.check("TDR-ICE-001", is_agent, || {
        "its description is not that of a lite agent".to_owned()
    });
    let of_audio =
        |line: &&str| line.starts_with("a=candidate:") && line.split(' ').nth(1) == Some("1");
    let candidates: Vec<&str> = body.lines().filter(of_audio).collect();
    let place = sdp::read(&body).map(|media| media.rtp);
    let is_there = match (&candidates[..], &place) {
        (&[one], Ok(at)) => {
            let words: Vec<&str> = one.split(' ').collect();
            words.get(4) == Some(&at.ip().to_string().as_str())
                && words.get(5) == Some(&at.port().to_string().as_str())
                && at.is_ipv4()
        }
        _ => false,
    };
    stage.check("TDR-ICE-002", is_there, || {
        format!("its candidates for audio at {place:?} are {candidates:?}")
    });
}

/// The agent of a client meets that of the subject, of which this message speaks, and nominates a pair.
pub(super) async fn meet(stage: &Stage, voice: &Voice, message: &Message) -> Played {
    is_lite(stage, message);
    let lite = Lite::read(&message.body()).map_err(|why| Failure::new("TDR-ICE-001", why))?;
    let failure = |why| Failure::new("TDR-ICE-003", why);
    voice.meets(&lite).map_err(failure)?;
    match voice.nominates(PATIENCE).await {
        true => Ok(()),
        false => Err(failure(
            "its checks are not answered as they must be".to_owned(),
        )),
    }
}

/// A description with lines of an agent.
pub(super) fn of_client(voice: &Voice, description: &str) -> Result<String, Failure> {
    let lines = voice.is_client();
    let lines = lines.map_err(|why| Failure::new("ladder", why))?;
    Ok(format!("{description}{lines}"))
}

/// A client of Teams calls outside; nobody has answered yet.
pub(super) async fn client_dials(stage: &Stage) -> Result<Caller, Failure> {
    client_dials_as(stage, |_| {}).await
}

/// The same with an INVITE that the case changes.
async fn client_dials_as(
    stage: &Stage,
    change: impl FnOnce(&mut Parties),
) -> Result<Caller, Failure> {
    let voice = stage.voice_of_teams().await?;
    let offer = of_client(&voice, &sdp::teams_offer(voice.at, &voice.key))?;
    stage.teams_offers(0, OUTSIDE, voice, offer, change).await
}

/// A client of Teams has called, its agent has nominated, and both hear each other. Gives the answer, too.
pub(super) async fn client_talks(stage: &Stage) -> Result<(Talk, Message), Failure> {
    client_talks_as(stage, |_| {}).await
}

/// The same with an INVITE that the case changes.
pub(super) async fn client_talks_as(
    stage: &Stage,
    change: impl FnOnce(&mut Parties),
) -> Result<(Talk, Message), Failure> {
    let mut caller = client_dials_as(stage, change).await?;
    let mut called = stage.carrier_is_called().await?;
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let answer = caller.is_answered().await?;
    called.leg.acknowledged().await?;
    meet(stage, &caller.voice, &answer).await?;
    let talk = Talk { caller, called };
    stage.hear_each_other(&talk).await?;
    Ok((talk, answer))
}

/// A client of Teams was called, its agent has nominated, and both hear each other. Gives the INVITE, too.
pub(super) async fn client_answers(stage: &Stage) -> Result<(Talk, Message), Failure> {
    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    let invite = called.invite()?.clone();
    let answer = of_client(&called.voice, &called.answer(Codec::Pcma))?;
    called.leg.respond(200, "OK", Some(answer), &[])?;
    caller.is_answered().await?;
    called.leg.acknowledged().await?;
    meet(stage, &called.voice, &invite).await?;
    let talk = Talk { caller, called };
    stage.hear_each_other(&talk).await?;
    Ok((talk, invite))
}

/// A faulty subject: it says that it can be reached at two places.
fn two_places(text: &str) -> String {
    let lines = text.lines();
    let one = lines.filter(|line| line.starts_with("a=candidate:1 1 "));
    let other: String = one
        .map(|line| line.replace("a=candidate:1 1 ", "a=candidate:2 1 ") + "\r\n")
        .collect();
    text.to_owned() + &other
}

/// Longest time until a check is answered (TC-ICE-001), and how many are made: most must be answered so soon.
const SOON: Duration = Duration::from_millis(20);
const CHECKS: usize = 11;

/// The subject's agent answers checks soon, and has made none of its own.
async fn answers_alone(stage: &Stage, voice: &Voice, message: &Message) -> Played {
    let rule = "TDR-ICE-003";
    let failure = |why| Failure::new(rule, why);
    let lite = Lite::read(&message.body()).map_err(failure)?;
    let (at, asker) = (lite.at().map_err(failure)?, stage.asker().await?);
    let mut times = Times::new(SOON, CHECKS);
    for _ in 0..CHECKS {
        let watch = stage.watch();
        let said = asker.asks(at, &Check::of(&lite, "probe")).await;
        times.took(watch.took());
        let said = said.map_err(failure)?;
        stage.check(rule, said == Some(Reply::Success), || {
            format!("a sound check got {said:?}")
        });
    }
    times.are_kept(stage, rule, "checks are answered");
    let checks = voice.was_checked();
    stage.check(rule, checks == 0, || format!("it has sent {checks} checks"));
    Ok(())
}

/// TC-ICE-001.
async fn client_is_called(stage: &Stage) -> Played {
    let (mut talk, invite) = client_answers(stage).await?;
    answers_alone(stage, &talk.called.voice, &invite).await?;
    talk.caller_ends().await
}

/// TC-ICE-002.
async fn client_calls(stage: &Stage) -> Played {
    let (mut talk, answer) = client_talks(stage).await?;
    answers_alone(stage, &talk.caller.voice, &answer).await?;
    talk.caller_ends().await
}

/// TC-ICE-003.
async fn never_checks(stage: &Stage) -> Played {
    let (mut talk, _) = client_talks(stage).await?;
    // A full agent would have checked several times by then.
    talk.lasts(Duration::from_secs(3)).await;
    let checks = talk.caller.voice.was_checked();
    stage.check("TDR-ICE-003", checks == 0, || {
        format!("it has sent {checks} checks")
    });
    talk.caller_ends().await
}

/// How long is listened whether anything is missing.
const HEARD: Duration = Duration::from_millis(2_500);

/// TC-ICE-007: what is nominated before the answer counts with it.
async fn nominated_early(stage: &Stage) -> Played {
    let mut caller = client_dials(stage).await?;
    let mut called = stage.carrier_is_called().await?;
    let answer = called.answer(Codec::Pcma);
    called
        .leg
        .respond(183, "Session Progress", Some(answer.clone()), &[])?;
    let early = caller.leg.hears(183, PATIENCE).await.rule("TDR-ICE-007")?;
    caller.hears_of(&early.message).rule("TDR-ICE-007")?;
    meet(stage, &caller.voice, &early.message).await?;
    stage
        .voices_hear_each_other(&caller.voice, &called.voice)
        .await
        .rule("TDR-ICE-007")?;
    // Nothing is checked again.
    caller.voice.checks_no_more();
    caller.voice.measures_gaps();
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let answer = caller.is_answered().await?;
    called.leg.acknowledged().await?;
    tokio::time::sleep(HEARD).await;
    stage.is_uninterrupted("TDR-ICE-007", &caller.voice);
    let (before, after) = (
        Lite::read(&early.message.body()),
        Lite::read(&answer.body()),
    );
    stage.check("TDR-ICE-007", before == after, || {
        format!("183 said {before:?}, and 200 {after:?}")
    });
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await
}

/// The client of an answered call offers again what it offered, with another version, direction and line.
/// What the subject says of its agent must be what it said before.
async fn offers_again(
    stage: &Stage,
    talk: &mut Talk,
    before: &Message,
    (version, direction, line): (u32, &str, &str),
    rule: &str,
) -> Result<(), Failure> {
    let read = |text: &str| Lite::read(text).map_err(|why| Failure::new(rule, why));
    let lines = talk.caller.voice.lines_of_client();
    let (mut client, mut carrier) = talk.ends();
    let description = client.describes(version, direction) + &lines + line;
    let before = read(&before.body())?;
    let answer = stage
        .one_changes(&mut client, &mut carrier, description)
        .await?;
    let after = read(&answer.body())?;
    stage.check(rule, before == after, || {
        format!("it said {before:?}, and now {after:?}")
    });
    Ok(())
}

/// TC-ICE-009.
async fn names_the_pair(stage: &Stage) -> Played {
    let (mut talk, answer) = client_talks(stage).await?;
    let media = sdp::read(&answer.body());
    let at = media.map_err(|why| Failure::new("TDR-ICE-008", why))?.rtp;
    let line = format!("a=remote-candidates:1 {} {}\r\n", at.ip(), at.port());
    let change = (2, "a=sendrecv", &*line);
    for voice in [&talk.caller.voice, &talk.called.voice] {
        voice.measures_gaps();
    }
    offers_again(stage, &mut talk, &answer, change, "TDR-ICE-008").await?;
    talk.lasts(HEARD).await;
    for voice in [&talk.caller.voice, &talk.called.voice] {
        stage.is_uninterrupted("TDR-ICE-008", voice);
    }
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await
}

/// Whether an agent has begun anew: both its name and its password are others (RFC 5245 §9.1.1.1).
fn is_new(before: &Lite, after: &Lite) -> bool {
    before.fragment != after.fragment && before.password != after.password
}

/// TC-ICE-010: the client's place in the call is taken by another agent, as when it is escalated. Until that one
/// has nominated, the first is spoken to and answered.
async fn restarts(stage: &Stage) -> Played {
    let rule = "TDR-ICE-009";
    let (mut talk, before) = client_talks(stage).await?;
    let voice = stage.voice_of_teams().await?;
    let lines = of_client(&voice, "")?;
    let old = std::mem::replace(&mut talk.caller.voice, voice);
    let (mut client, mut carrier) = talk.ends();
    let description = client.describes(2, "a=sendrecv") + &lines;
    let answer = stage
        .one_changes(&mut client, &mut carrier, description)
        .await?;
    let read = |message: &Message| {
        let lite = Lite::read(&message.body());
        lite.map_err(|why| Failure::new(rule, why))
    };
    let (before, after) = (read(&before)?, read(&answer)?);
    stage.check(rule, is_new(&before, &after), || {
        format!("it said {before:?}, and after a restart {after:?}")
    });
    old.is_left();
    let is_heard = old.waits_for(TONES.1, PATIENCE).await;
    stage.check(rule, is_heard, || {
        "before the new pair is nominated nothing comes on the old one".to_owned()
    });
    let is_answered = old.is_answered(PATIENCE).await;
    stage.check(rule, is_answered, || {
        "before the new pair is nominated checks on the old one are not answered".to_owned()
    });
    meet(stage, &talk.caller.voice, &answer).await.rule(rule)?;
    std::mem::drop(old);
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await
}

/// How long a call is on hold: Teams itself ends one that it hears nothing of after 25 s.
const HELD: Duration = Duration::from_secs(26);

/// TC-ICE-011: checks are answered while nothing flows.
async fn holds(stage: &Stage) -> Played {
    let (mut talk, answer) = client_talks(stage).await?;
    let rule = "TDR-HLD-004";
    offers_again(stage, &mut talk, &answer, (2, "a=inactive", ""), rule).await?;
    let is_answered = talk.caller.voice.is_answered(PATIENCE).await;
    stage.check(rule, is_answered, || {
        "checks are not answered during hold".to_owned()
    });
    let (one, other) = (&mut talk.caller.leg, &mut talk.called.leg);
    let (of_one, of_other) = tokio::join!(one.asked("BYE", HELD), other.asked("BYE", HELD));
    stage.check(rule, of_one.is_err() && of_other.is_err(), || {
        format!("a hold of {HELD:?} ends the call")
    });
    offers_again(stage, &mut talk, &answer, (3, "a=sendrecv", ""), rule).await?;
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await
}

/// TC-ICE-013: nobody checks, so audio goes to where the description says.
async fn both_lite(stage: &Stage) -> Played {
    let voice = stage.voice_of_teams().await?;
    let offer = client(&sdp::teams_offer(voice.at, &voice.key), true);
    let mut caller = stage.teams_offers(0, OUTSIDE, voice, offer, |_| {}).await?;
    let mut called = stage.carrier_is_called().await?;
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let answer = caller.is_answered().await.rule("TDR-ICE-010")?;
    called.leg.acknowledged().await?;
    is_lite(stage, &answer);
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await.rule("TDR-ICE-010")?;
    talk.caller_ends().await
}

/// TC-ICE-014: an answer without candidates is one of a media processor; another has candidates, at an address of
/// its own.
async fn media_processor(stage: &Stage) -> Played {
    let caller = stage.carrier_dials().await?;
    let called = stage.teams_is_called().await?;
    is_lite(stage, called.invite()?);
    let talk = stage.answered(caller, called).await;
    let mut talk = talk.rule("TDR-ICE-012")?;
    talk.caller_ends().await?;
    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    let invite = called.invite()?.clone();
    called.voice = stage.voice_of_teams_elsewhere().await?;
    let answer = of_client(&called.voice, &called.answer(Codec::Pcma))?;
    called.leg.respond(200, "OK", Some(answer), &[])?;
    caller.is_answered().await?;
    called.leg.acknowledged().await?;
    meet(stage, &called.voice, &invite).await?;
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await.rule("TDR-ICE-012")?;
    talk.called_ends().await
}

/// TC-ICE-018: the candidate is where nobody listens.
async fn without_bypass(stage: &Stage) -> Played {
    let voice = stage.voice_of_teams().await?;
    let offer = client(&sdp::teams_offer(voice.at, &voice.key), false);
    let (own, other) = (voice.at.ip(), stage.addresses.elsewhere);
    let (own, other) = (format!("2130706431 {own} "), format!("2130706431 {other} "));
    let offer = offer.replace(&own, &other);
    let mut caller = stage.teams_offers(0, OUTSIDE, voice, offer, |_| {}).await?;
    let mut called = stage.carrier_is_called().await?;
    called.leg.respond(180, "Ringing", None, &[])?;
    caller.leg.hears(180, PATIENCE).await?;
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let answer = caller.is_answered().await.rule("TDR-ICE-015")?;
    called.leg.acknowledged().await?;
    let body = answer.body();
    let is_ice = |line: &&str| line.starts_with("a=ice-") || line.starts_with("a=candidate:");
    let said: Vec<&str> = body.lines().filter(is_ice).collect();
    stage.check("TDR-ICE-015", said.is_empty(), || {
        format!("its answer says {said:?}")
    });
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_keeps_its_name_or_its_password_has_not_begun_anew() {
        let lite = |fragment: &str, password: &str| Lite {
            fragment: fragment.to_owned(),
            password: password.to_owned(),
            candidate: String::new(),
        };
        let before = lite("a", "b");
        assert!(is_new(&before, &lite("c", "d")));
        for same in [lite("a", "d"), lite("c", "b"), before.clone()] {
            assert!(!is_new(&before, &same), "{same:?}");
        }
    }
}
