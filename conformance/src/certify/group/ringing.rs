//! INB: what the caller hears before the answer.

use super::inbound::{CARRIER, HOLES, TONE, for_another, this_fork_is_acknowledged};
use crate::certify::case::{Case, PATIENCE, Played, Step, breaks, case};
use crate::certify::follows;
use crate::certify::ladder::{Called, Caller, TONES, Talk};
use crate::certify::mutation::{
    Mutation, Warp, carrier, deaf, delay, drop, often_delay, rewrite, teams, without_body,
};
use crate::certify::stage::Stage;
use crate::certify::times::Times;
use crate::certify::verdict::Failure;
use crate::certify::word::{self, TONE_ALONE};
use crate::media::tone::Codec;
use crate::peer::message::Message;
use std::time::Duration;
use tokio::time::Instant;

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-INB-005",
        |stage| Box::pin(early_audio(stage)),
        &[
            breaks(
                "TDR-SIP-018",
                rewrite(carrier("INVITE").status(183), without_body),
            ),
            breaks("TDR-SIP-018", drop(carrier("INVITE").status(183))),
            breaks("TDR-SIP-018", Mutation::CarrierMedia(Warp::Silence)).also(&[(
                "TDR-SIP-019",
                "early audio of Teams is looked for, too, and all is silent",
            )]),
            breaks("TDR-SIP-018", delay(carrier("INVITE").status(183), SLOW)),
            breaks(
                "TDR-SIP-018",
                often_delay(carrier("INVITE").status(183), SLOW),
            ),
            breaks("TDR-SIP-019", Mutation::CarrierMedia(Warp::Stuck)),
        ],
    ),
    case(
        "TC-INB-006",
        |stage| Box::pin(another_fork_answers(stage)),
        &[
            breaks("TDR-SIP-019", drop(teams("ACK"))),
            breaks("TDR-SIP-019", drop(carrier("INVITE").status(200))),
            breaks("TDR-SIP-019", Mutation::CarrierMedia(Warp::Silence)),
            breaks("TDR-SIP-019", Mutation::CarrierMedia(Warp::Stuck)),
            breaks("TDR-SIP-019", rewrite(teams("ACK"), for_another)).also(&[follows::AWAY]),
            breaks(
                "TDR-SIP-019",
                Mutation::Told(
                    "reason=\"authentication\"} 0",
                    "reason=\"authentication\"} 7",
                ),
            ),
        ],
    ),
    case(
        "TC-INB-008",
        |stage| Box::pin(ringing_after_early_audio(stage)),
        &[
            breaks("ladder", drop(carrier("INVITE").status(183))),
            breaks(
                "ladder",
                rewrite(carrier("INVITE").status(183), without_body),
            ),
            breaks("TDR-SIP-019", Mutation::CarrierMedia(Warp::Silence)),
            breaks("TDR-SIP-019", Mutation::CarrierMedia(Warp::Holes)),
        ],
    ),
    case(
        "TC-INB-009",
        |stage| Box::pin(answer_without_description(stage)),
        &[
            breaks("TDR-SIP-019", drop(carrier("INVITE").status(200))),
            breaks("TDR-SIP-019", drop(teams("ACK"))),
            breaks("TDR-SIP-019", Mutation::CarrierMedia(Warp::Silence)),
            breaks("TDR-SIP-019", Mutation::Media(Warp::Silence)),
        ],
    ),
    case(
        "TC-INB-023",
        |stage| Box::pin(being_forwarded(stage)),
        &[
            breaks("TDR-SIP-020", drop(carrier("INVITE").statuses(180, 181))),
            breaks("TDR-SIP-020", Mutation::CarrierMedia(Warp::Silence)),
            // The tone has begun, and ends after 181.
            breaks("TDR-SIP-020", Mutation::CarrierMedia(Warp::Mute)),
        ],
    ),
    case(
        "TC-INB-026",
        |stage| Box::pin(tone_of_ours(stage)),
        &[
            breaks("TDR-SIP-017", Mutation::CarrierMedia(Warp::Silence)),
            breaks("TDR-SIP-017", Mutation::CarrierMedia(Warp::Stuck)),
            breaks("TDR-SIP-017", Mutation::Configuration(TONE_ALONE, "")),
            // Who does not know what 183 brings goes on with the tone.
            breaks(
                "TDR-SIP-017",
                deaf(teams("INVITE").status(183), "Content-Type"),
            )
            .also(&[follows::QUIET]),
        ],
    )
    .with(|setting| setting.is(word::RINGBACK)),
];

/// Longest time until early audio is heard, and what is too late for that.
const SOON: Duration = Duration::from_millis(200);
const SLOW: Duration = Duration::from_millis(500);
/// Calls of which most must be heard so soon.
const CALLS: usize = 5;

/// A call to Teams of which the carrier has heard 183 with a description, or this rule is broken; and that
/// description.
async fn early(stage: &Stage, rule: &str) -> Result<(Caller, Called, String), Failure> {
    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    let answer = called.answer(Codec::Pcma);
    called
        .leg
        .respond(183, "Session Progress", Some(answer.clone()), &[])?;
    let early = caller.leg.hears(183, PATIENCE).await.rule(rule)?;
    caller.hears_of(&early.message).rule(rule)?;
    Ok((caller, called, answer))
}

/// TC-INB-005.
async fn early_audio(stage: &Stage) -> Played {
    let mut times = Times::new(SOON, CALLS);
    while !times.are_decided() {
        let mut caller = stage.carrier_dials().await?;
        let mut called = stage.teams_is_called().await?;
        let answer = called.answer(Codec::Pcma);
        called.voice.plays(TONES.1);
        let began = Instant::now();
        called
            .leg
            .respond(183, "Session Progress", Some(answer.clone()), &[])?;
        let early = caller.leg.hears(183, PATIENCE).await.rule("TDR-SIP-018")?;
        caller.hears_of(&early.message).rule("TDR-SIP-018")?;
        while caller.voice.heard().audio == 0 && began.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        times.took(began.elapsed());
        let is_heard = caller.voice.waits_for(TONES.1, PATIENCE).await;
        stage.check("TDR-SIP-018", is_heard, || {
            "early audio is not heard".to_owned()
        });
        called.leg.respond(200, "OK", Some(answer), &[])?;
        // The tone of the answered call is another, so that it is not the early one that is heard.
        let mut talk = Talk { caller, called }.established().await?;
        talk.called.voice.plays(TONES.0);
        let is_heard = talk.caller.voice.waits_for(TONES.0, PATIENCE).await;
        stage.check("TDR-SIP-019", is_heard, || {
            "after the answer Teams is not heard".to_owned()
        });
        stage.hear_each_other(&talk).await.rule("TDR-SIP-019")?;
        talk.called_ends().await?;
    }
    times.are_kept(stage, "TDR-SIP-018", "early audio is heard");
    Ok(())
}

/// TC-INB-006.
async fn another_fork_answers(stage: &Stage) -> Played {
    let rule = "TDR-SIP-019";
    let (mut caller, mut called, _) = early(stage, "ladder").await?;
    called.voice.plays(TONES.1);
    let is_heard = caller.voice.waits_for(TONES.1, PATIENCE).await;
    stage.check(rule, is_heard, || "early audio is not heard".to_owned());
    called.leg.fork();
    called.voice = stage.voice_of_teams().await?;
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    caller.is_answered().await.rule(rule)?;
    this_fork_is_acknowledged(stage, &mut called, rule).await?;
    let mut talk = Talk { caller, called };
    // Another tone than the early one.
    talk.called.voice.plays(TONES.0);
    let is_heard = talk.caller.voice.waits_for(TONES.0, PATIENCE).await;
    stage.check(rule, is_heard, || {
        "the fork that answered is not heard".to_owned()
    });
    stage.hear_each_other(&talk).await.rule(rule)?;
    talk.called_ends().await?;
    if stage.shows_operators("how many packets it could not decrypt") {
        let labels = ["reason=\"authentication\""];
        let dropped = stage.figure("sbc_rtp_dropped_total", &labels).await?;
        stage.check(rule, dropped == Some(0.0), || {
            format!("{dropped:?} packets could not be decrypted")
        });
    }
    Ok(())
}

/// TC-INB-008: early audio goes on without a hole while another fork rings.
async fn ringing_after_early_audio(stage: &Stage) -> Played {
    let rule = "TDR-SIP-019";
    let (caller, mut called, answer) = early(stage, "ladder").await?;
    called.voice.plays(TONES.1);
    let is_heard = caller.voice.waits_for(TONES.1, PATIENCE).await;
    stage.check(rule, is_heard, || "early audio is not heard".to_owned());
    caller.voice.measures_gaps();
    let first = called.leg.fork();
    called.leg.respond(180, "Ringing", None, &[])?;
    tokio::time::sleep(HOLES).await;
    stage.is_uninterrupted(rule, &caller.voice);
    let is_heard = caller.voice.waits_for(TONES.1, PATIENCE).await;
    stage.check(rule, is_heard, || {
        "early audio is not heard beside the ringing of another fork".to_owned()
    });
    called.leg.is_fork(first);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let mut talk = Talk { caller, called }.established().await?;
    stage.hear_each_other(&talk).await.rule(rule)?;
    talk.called_ends().await
}

/// TC-INB-009.
async fn answer_without_description(stage: &Stage) -> Played {
    let (mut caller, mut called, _) = early(stage, "ladder").await?;
    called.leg.respond(200, "OK", None, &[])?;
    caller.is_answered().await.rule("TDR-SIP-019")?;
    called.leg.acknowledged().await.rule("TDR-SIP-019")?;
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await.rule("TDR-SIP-019")?;
    talk.called_ends().await
}

/// TC-INB-023: where the caller hears a tone of ours, it goes on.
async fn being_forwarded(stage: &Stage) -> Played {
    forwarded(stage).await?;
    if !stage.reconfigures(CARRIER, TONE).await? {
        return Ok(());
    }
    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    called.leg.respond(180, "Ringing", None, &[])?;
    hears_tone_of_ours(stage, &mut caller, "TDR-SIP-020").await?;
    called
        .leg
        .respond(181, "Call Is Being Forwarded", None, &[])?;
    // The burst that was heard may still end by itself; the next one is a tone that goes on.
    tokio::time::sleep(BURST).await;
    let loudest = caller.voice.loudest_within(CADENCE).await;
    stage.check("TDR-SIP-020", loudest > Some(AUDIBLE), || {
        format!("the tone ends with 181: {loudest:?} dBm0 after it")
    });
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let mut talk = Talk { caller, called }.established().await?;
    talk.called_ends().await
}

/// A call of which Teams says that it is forwarded.
async fn forwarded(stage: &Stage) -> Played {
    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    called
        .leg
        .respond(181, "Call Is Being Forwarded", None, &[])?;
    let is_told = |m: &Message| matches!(m.status(), Some(180 | 181));
    let told = caller.leg.wait("180 or 181", PATIENCE, is_told).await;
    told.rule("TDR-SIP-020")?;
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let mut talk = Talk { caller, called }.established().await?;
    talk.called_ends().await
}

/// The caller is told of early audio, and it is no silence.
async fn hears_tone_of_ours(stage: &Stage, caller: &mut Caller, rule: &str) -> Played {
    let is_early = |m: &Message| m.status().is_some_and(|s| s > 100) && !m.body().is_empty();
    let early = caller.leg.wait("a description", PATIENCE, is_early).await;
    let early = early.rule(rule)?;
    caller.hears_of(&early.message)?;
    let loudest = caller.voice.loudest_within(Duration::from_secs(2)).await;
    stage.check(rule, loudest > Some(AUDIBLE), || {
        format!("no tone while it rings: {loudest:?} dBm0")
    });
    Ok(())
}

/// Longest burst of a ringing tone, and longest time from one burst to the next (ITU-T E.180 §5: 0.67 to 1.5 s, and 3 to 5 s
/// between them; North America has 2 s and 4 s).
const BURST: Duration = Duration::from_secs(2);
const CADENCE: Duration = Duration::from_millis(6_500);
/// Level of what can be heard, in dBm0.
const AUDIBLE: f64 = -40.0;

/// TC-INB-026: the tone ends with the answer, and with audio of Teams before it.
async fn tone_of_ours(stage: &Stage) -> Played {
    let rule = "TDR-SIP-017";
    for is_early in [false, true] {
        let mut caller = stage.carrier_dials().await?;
        let mut called = stage.teams_is_called().await?;
        called.leg.respond(180, "Ringing", None, &[])?;
        hears_tone_of_ours(stage, &mut caller, rule).await?;
        let answer = called.answer(Codec::Pcma);
        if is_early {
            called.voice.plays(TONES.1);
            let description = Some(answer.clone());
            called
                .leg
                .respond(183, "Session Progress", description, &[])?;
            let is_heard = caller.voice.waits_for(TONES.1, PATIENCE).await;
            stage.check(rule, is_heard, || {
                "our tone does not end with early audio of Teams".to_owned()
            });
        }
        called.leg.respond(200, "OK", Some(answer), &[])?;
        let mut talk = Talk { caller, called }.established().await?;
        stage.hear_each_other(&talk).await.rule(rule)?;
        talk.called_ends().await?;
    }
    Ok(())
}
