//! MED: codecs, each alone.

use super::media::USUAL;
use crate::certify::case::{Case, Played, Step, breaks, case};
use crate::certify::ladder::{Called, Caller, Talk};
use crate::certify::mutation::{Mutation, Warp, drop, replace, teams};
use crate::certify::setting::{OUTSIDE, USER};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::media::sdp;
use crate::media::tone::Codec;
use crate::media::voice::Voice;
use std::time::Duration;

/// The cases.
pub const CASES: &[Case] = &[case(
    "TC-MED-006",
    |stage| Box::pin(each_alone(stage)),
    &[
        breaks(
            "TDR-MED-020",
            replace(teams("INVITE").status(488), "SIP/2.0 488", "SIP/2.0 486"),
        ),
        breaks(
            "TDR-MED-020",
            replace(teams("INVITE").status(200), "RTP/SAVP 9 ", "RTP/SAVP 8 9 "),
        ),
        breaks("TDR-MED-020", Mutation::Media(Warp::Silence)),
        breaks("TDR-MED-020", Mutation::CarrierMedia(Warp::Silence)),
        breaks("TDR-MED-020", Mutation::Media(Warp::Holes)),
        breaks("TDR-MED-020", drop(teams("INVITE").status(200))),
    ],
)];

/// TC-MED-006: what the subject does not have is refused, and not answered with something else.
async fn each_alone(stage: &Stage) -> Played {
    for only in [0, 8, 9, 18] {
        let voice = stage.voice_of_teams().await?;
        let offer = sdp::teams_offer(voice.at, &voice.key);
        let offer = offer.replace(USUAL, &format!("{only} 101"));
        let caller = stage.teams_offers(0, OUTSIDE, voice, offer, |_| {}).await?;
        one_codec(stage, caller, only, stage.carrier_is_called()).await?;
    }
    for (only, encoding) in [(0, "PCMU"), (8, "PCMA"), (9, "G722"), (18, "G729")] {
        let voice = stage.voice_of_carrier().await?;
        let offer = sdp::carrier_offer(voice.at, &[Codec::Pcma]);
        let offer = offer
            .replace("RTP/AVP 8", &format!("RTP/AVP {only}"))
            .replace(":8 PCMA", &format!(":{only} {encoding}"));
        let caller = stage.carrier_offers(USER, voice, offer, |_| {})?;
        one_codec(stage, caller, only, stage.teams_is_called()).await?;
    }
    Ok(())
}

/// How long is listened.
const LISTENED: Duration = Duration::from_secs(2);

/// An offer of one codec gets 488, or leads to a call in which it is heard well both ways. G.711 must.
async fn one_codec(
    stage: &Stage,
    mut caller: Caller,
    only: u8,
    called: impl Future<Output = Result<Called, Failure>>,
) -> Played {
    let rule = "TDR-MED-020";
    let mut called = tokio::select! {
        called = called => called?,
        answer = caller.leg.final_response() => {
            let answer = answer?;
            let is_right = answer.status() == Some(488) && ![0, 8].contains(&only);
            stage.check(rule, is_right, || {
                format!("an offer of {only} alone got {}", answer.title())
            });
            return Ok(());
        }
    };
    let chosen = called.offer.codec();
    let answer = called.answer(chosen.unwrap_or(Codec::Pcma));
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let answer = caller.is_answered().await.rule(rule)?;
    called.leg.acknowledged().await?;
    let media = sdp::read(&answer.body()).map_err(|why| Failure::new(rule, why))?;
    let first = media.formats.first().map(|format| format.payload_type);
    stage.check(rule, first == Some(only), || {
        format!("an offer of {only} alone is answered with {first:?}")
    });
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await.rule(rule)?;
    // What the catalogue wants holds for a good network.
    if stage.kit.network.is_none() {
        let Talk { caller, called } = &talk;
        let (of_caller, of_called) = tokio::join!(opinion(&caller.voice), opinion(&called.voice));
        for (by, score) in [("caller", of_caller), ("called", of_called)] {
            stage.check(rule, score >= 4.0, || {
                format!("with {only} alone the {by} would say {score:.1} of 5 of what is heard")
            });
        }
    }
    talk.caller_ends().await
}

/// What somebody would say of what is heard, from 1 to 5: the E-model (ITU-T G.107) with the loss alone, since
/// delay is of no account on one machine.
async fn opinion(voice: &Voice) -> f64 {
    let percent = 100.0 * voice.misses_within(LISTENED).await;
    let rating = 93.2 - 95.0 * percent / (percent + 4.3);
    1.0 + 0.035 * rating + 7e-6 * rating * (rating - 60.0) * (100.0 - rating)
}
