//! INB: calls from the carrier to Teams.

use crate::certify::case::{Case, PATIENCE, Played, Step, breaks, case};
use crate::certify::evidence::Side;
use crate::certify::ladder::Talk;
use crate::certify::mutation::{Mutation, Warp, carrier, drop, replace, teams, twice, without};
use crate::certify::setting::{FQDN, USER};
use crate::certify::stage::Stage;
use crate::media::tone::Codec;
use std::time::Duration;

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-INB-001",
        |stage| Box::pin(ended_by_teams(stage)),
        &[
            breaks("TDR-SIP-010", replace(teams("INVITE"), ";user=phone", "")),
            breaks("TDR-SIP-021", drop(teams("ACK"))),
            breaks("audio", Mutation::Media(Warp::Silence)),
            breaks("audio", Mutation::CarrierMedia(Warp::Silence)),
        ],
    ),
    case(
        "TC-INB-002",
        |stage| Box::pin(ended_by_the_caller(stage)),
        &[
            breaks("TDR-SIP-040", replace(teams("BYE"), ":443;", ":5061;")),
            breaks("TDR-SIP-040", without(teams("BYE"), "Route")),
        ],
    ),
    case(
        "TC-INB-003",
        |stage| Box::pin(given_up(stage)),
        &[
            breaks("TDR-SIP-016", drop(teams("CANCEL"))),
            breaks(
                "TDR-SIP-016",
                replace(carrier("INVITE").status(487), "487", "486"),
            ),
        ],
    ),
    case(
        "TC-INB-007",
        |stage| Box::pin(answered_at_once(stage)),
        &[breaks("TDR-SIP-016", drop(carrier("INVITE").status(200)))],
    ),
    case(
        "TC-INB-020",
        |stage| Box::pin(repeated_answer(stage)),
        &[
            breaks("TDR-SIP-021", drop(teams("ACK"))),
            breaks("TDR-SIP-021", twice(teams("ACK"))),
        ],
    ),
];

/// TC-INB-001.
async fn ended_by_teams(stage: &Stage) -> Played {
    let caller = stage.carrier_dials().await?;
    let called = stage.teams_is_called().await?;
    let invite = called.invite()?;
    let uri = invite.uri_text().to_owned();
    let is_right =
        uri.starts_with(&format!("sip:{USER}@sip.pstnhub.example")) && uri.contains(";user=phone");
    stage.check("TDR-SIP-010", is_right, || format!("Request-URI is {uri}"));
    let contact = invite.line("Contact").unwrap_or_default().to_owned();
    stage.check("TDR-SIP-013", contact.contains(FQDN), || {
        format!("Contact is {contact}")
    });
    let mut talk = stage.answered(caller, called).await?;
    talk.lasts(Duration::from_secs(8)).await;
    stage.hear_each_other(&talk).await?;
    talk.called_ends().await
}

/// TC-INB-002. [`Stage::judge`] compares the BYE with what Teams said.
async fn ended_by_the_caller(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    // Long enough for reports to be due.
    talk.lasts(Duration::from_secs(8)).await;
    talk.caller_ends().await.rule("TDR-SIP-040")
}

/// TC-INB-003.
async fn given_up(stage: &Stage) -> Played {
    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    called.leg.respond(180, "Ringing", None, &[])?;
    caller.leg.hears(180, PATIENCE).await?;
    caller.leg.cancel().await.rule("TDR-SIP-016")?;
    called.leg.cancelled(PATIENCE).await.rule("TDR-SIP-016")?;
    let last = caller.is_refused().await.rule("TDR-SIP-016")?;
    stage.check("TDR-SIP-016", last.status() == Some(487), || {
        format!("the caller got {}, wanted 487", last.title())
    });
    Ok(())
}

/// TC-INB-007.
async fn answered_at_once(stage: &Stage) -> Played {
    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    caller.is_answered().await.rule("TDR-SIP-016")?;
    called.leg.acknowledged().await.rule("TDR-SIP-021")?;
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await?;
    talk.called_ends().await
}

/// TC-INB-020.
async fn repeated_answer(stage: &Stage) -> Played {
    let caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    let answer = called.answer(Codec::Pcma);
    let mut caller = caller;
    called.leg.respond(200, "OK", Some(answer.clone()), &[])?;
    caller.is_answered().await?;
    called.leg.acknowledged().await.rule("TDR-SIP-021")?;
    for _ in 0..2 {
        called.leg.respond(200, "OK", Some(answer.clone()), &[])?;
        called.leg.acknowledged().await.rule("TDR-SIP-021")?;
    }
    let mut talk = Talk { caller, called };
    stage.hear_each_other(&talk).await?;
    talk.called_ends().await?;
    let acks = stage.tape.requests(Side::Teams, "ACK").len();
    stage.check("TDR-SIP-021", acks == 3, || {
        format!("{acks} ACKs for three answers")
    });
    Ok(())
}
