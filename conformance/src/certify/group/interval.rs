//! MID: how long a call may go on without a refresh, and how often one is wanted.

use super::bypass::client_talks_as;
use super::inbound::TEAMS;
use super::midcall::BYPASS;
use crate::certify::case::{Case, Played, Step, breaks, case};
use crate::certify::evidence::Side;
use crate::certify::follows;
use crate::certify::ladder::Talk;
use crate::certify::mutation::{
    bye_after, carrier, drop, replace, rewrite, teams, then, with, with_line, without_line,
};
use crate::certify::setting::OUTSIDE;
use crate::certify::stage::Stage;
use crate::certify::word;
use crate::media::tone::Codec;
use crate::peer::leg::Parties;
use std::time::Duration;

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-MID-012",
        |stage| Box::pin(refreshes_stop(stage)),
        &[
            breaks("TDR-TMR-002", drop(teams("BYE"))).also(&[follows::QUIET]),
            breaks("TDR-TMR-002", drop(carrier("BYE"))).also(&[follows::QUIET]),
            breaks("TDR-TMR-002", then(teams("INVITE").status(200), bye_after)).also(&[
                follows::RECORDED,
                follows::AWAY,
                follows::AWAY_AT_PEER,
                follows::NO_HOPS,
            ]),
            breaks(
                "TDR-TMR-002",
                replace(
                    teams("INVITE").status(200),
                    "refresher=uac",
                    "refresher=uas",
                ),
            ),
        ],
    )
    .with(|setting| setting.is(word::MIN_SE)),
    case(
        "TC-MID-013",
        |stage| Box::pin(interval_too_small(stage)),
        &[
            breaks(
                "TDR-TMR-004",
                replace(teams("INVITE"), "Min-SE: 4000", "Min-SE: 90"),
            ),
            breaks(
                "TDR-TMR-004",
                replace(
                    teams("INVITE"),
                    "Session-Expires: 4000",
                    "Session-Expires: 1800",
                ),
            ),
            breaks(
                "TDR-TMR-004",
                replace(teams("INVITE"), "Min-SE: 300", "Min-SE: 90"),
            ),
        ],
    ),
    case(
        "TC-MID-014",
        |stage| Box::pin(no_timer(stage)),
        &[
            breaks(
                "TDR-ICE-014",
                with(
                    teams("INVITE").status(200),
                    "Session-Expires: 1800;refresher=uas",
                ),
            ),
            breaks(
                "TDR-ICE-014",
                rewrite(teams("INVITE").status(200), with_timer_on_bypass),
            ),
        ],
    ),
];

/// TC-MID-012: the shortest interval that there is, and no refresh.
async fn refreshes_stop(stage: &Stage) -> Played {
    let change = |parties: &mut Parties| {
        parties.edit = Some(|text| {
            text.replacen("SESSION-EXPIRES: 3600", "SESSION-EXPIRES: 90", 1)
                .replacen("MIN-SE: 300", "MIN-SE: 90", 1)
        });
    };
    let mut caller = stage.teams_dials_as(0, OUTSIDE, change).await?;
    let mut called = stage.carrier_is_called().await?;
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let answer = caller.is_answered().await?;
    called.leg.acknowledged().await?;
    let timer = answer.line("Session-Expires").unwrap_or_default();
    stage.check("TDR-TMR-002", timer == "90;refresher=uac", || {
        format!("Session-Expires in 200 is \"{timer}\"")
    });
    let talk = Talk { caller, called };
    stage.hear_each_other(&talk).await?;
    let Talk {
        mut caller,
        mut called,
    } = talk;
    // It ends a third of the interval before its end (RFC 4028 §10).
    let interval = Duration::from_secs(90);
    let began = tokio::time::Instant::now();
    let ends = async {
        let ended = caller.leg.hung_up(interval).await;
        ended.map(|()| began.elapsed())
    };
    let (teams, carrier) = tokio::join!(ends, called.leg.hung_up(interval));
    let took = teams.rule("TDR-TMR-002")?;
    stage.check("TDR-TMR-002", took > interval / 2, || {
        format!("the session ends after {took:?} of {interval:?}")
    });
    carrier.rule("TDR-TMR-002")
}

/// TC-MID-013: an interval that is longer than what was offered, and the catalogue's, which nobody asks for who has
/// been offered as much.
async fn interval_too_small(stage: &Stage) -> Played {
    is_lengthened(stage, 4000).await?;
    match stage.reconfigures(TEAMS, OFFERS_LESS).await? {
        true => is_lengthened(stage, 300).await,
        false => Ok(()),
    }
}

/// The trunk of Teams where shorter intervals may be wanted than Teams has.
const OFFERS_LESS: &str = "preset = \"teams\"\nsession_timer = { min_se = \"90s\" }\n";

/// Teams wants an interval of so many seconds at least, and is called again with such a one.
async fn is_lengthened(stage: &Stage, wanted: u32) -> Played {
    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    let offered = called.invite()?.line("Min-SE").unwrap_or_default();
    stage.check("ladder", seconds_of(offered) < Some(wanted), || {
        format!("Min-SE is \"{offered}\" already, which is no less than {wanted}")
    });
    let least = [("Min-SE", wanted.to_string())];
    called
        .leg
        .respond(422, "Session Interval Too Small", None, &least)?;
    called.leg.acknowledged_failure().await?;
    called.leg.invited_again().await.rule("TDR-TMR-004")?;
    let again = called.invite()?;
    for name in ["Session-Expires", "Min-SE"] {
        let timer = again.line(name).unwrap_or_default();
        let is_enough = seconds_of(timer) >= Some(wanted);
        stage.check("TDR-TMR-004", is_enough, || {
            format!("{name} is \"{timer}\" after Min-SE: {wanted}")
        });
    }
    called.leg.respond(486, "Busy Here", None, &[])?;
    called.leg.acknowledged_failure().await?;
    caller.is_refused().await.map(std::mem::drop)
}

/// The seconds of Session-Expires or Min-SE.
fn seconds_of(timer: &str) -> Option<u32> {
    let seconds = timer.split(';').next();
    seconds.and_then(|text| text.trim().parse().ok())
}

/// A timer in answers to clients alone.
fn with_timer_on_bypass(answer: &str) -> String {
    match answer.contains("a=ice-lite") {
        true => with_line(answer, "Session-Expires: 1800;refresher=uas"),
        false => answer.to_owned(),
    }
}

/// TC-MID-014: without bypass and with it.
async fn no_timer(stage: &Stage) -> Played {
    let change = |parties: &mut Parties| {
        parties.edit = Some(|text| {
            let names = ["Session-Expires", "Min-SE", "Supported"].into_iter();
            names.fold(text.to_owned(), |text, name| without_line(&text, name))
        });
    };
    let caller = stage.teams_dials_as(0, OUTSIDE, change).await?;
    let called = stage.carrier_is_called().await?;
    let mut talk = stage.answered(caller, called).await?;
    talk.caller_ends().await?;
    if stage.reconfigures(TEAMS, BYPASS).await? {
        let (mut talk, _) = client_talks_as(stage, change).await?;
        talk.caller_ends().await?;
    }
    for (_, _, message) in stage.tape.of_subject(Side::Teams) {
        let timer = message.line("Session-Expires");
        stage.check("TDR-ICE-014", timer.is_none(), || {
            format!("\"{}\" says Session-Expires: {timer:?}", message.title())
        });
    }
    Ok(())
}
