//! MED: reports.

use super::media::{lines, offered_by};
use crate::certify::case::{Case, Played, breaks, case};
use crate::certify::follows;
use crate::certify::ladder::Talk;
use crate::certify::mutation::{Mutation, Warp};
use crate::certify::stage::Stage;
use crate::media::tone::Codec;
use crate::media::voice::Voice;
use std::time::Duration;

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-MED-012",
        |stage| Box::pin(reports(stage)),
        &[
            breaks("TDR-MED-040", Mutation::Media(Warp::NoRtcp)).also(&[follows::REPORTS]),
            breaks("TDR-MED-040", Mutation::Media(Warp::NoBlocks)),
            // On hold alone.
            breaks("TDR-MED-040", Mutation::Media(Warp::FewReports)).also(&[follows::REPORTS]),
        ],
    ),
    case(
        "TC-MED-013",
        |stage| Box::pin(ports_of_reports(stage)),
        &[
            breaks("TDR-MED-040", Mutation::Media(Warp::NoRtcp)).also(&[follows::REPORTS]),
            breaks("TDR-MED-040", Mutation::Media(Warp::OtherPort)),
        ],
    ),
];

/// Reports come, as many as the time wants.
async fn are_reported(stage: &Stage, voice: &Voice, time: Duration, when: &str) {
    let sent = || {
        let heard = voice.heard();
        heard.reports + heard.lost_reports
    };
    let before = sent();
    tokio::time::sleep(time).await;
    let came = sent() - before;
    let least = time.as_secs() / 5;
    stage.check("TDR-MED-040", came >= least, || {
        format!("{came} reports in {time:?} {when}, wanted {least}")
    });
}

/// A machine that answers itself is not that far away.
const FAR: Duration = Duration::from_millis(500);

/// TC-MED-012: often enough while talking, and on hold; and Teams can tell jitter and round-trip from them.
async fn reports(stage: &Stage) -> Played {
    let mut talk = stage.from_teams().await?;
    let talked = Duration::from_secs(stage.size("seconds of talk", 11, 60).into());
    are_reported(stage, &talk.caller.voice, talked, "of talk").await;
    let told = talk.caller.voice.heard().told;
    let is_complete = told.is_some_and(|told| {
        let is_near = told.round_trip.is_some_and(|took| took < FAR);
        (told.jitter < 240 && is_near) || stage.kit.network.is_some()
    });
    stage.check("TDR-MED-040", is_complete, || {
        format!("reports give no jitter or no round-trip time: {told:?}")
    });
    let (mut caller, mut called) = talk.ends();
    let held = caller.describes(1, "a=inactive");
    stage.one_changes(&mut caller, &mut called, held).await?;
    let held = Duration::from_secs(11);
    are_reported(stage, &talk.caller.voice, held, "on hold").await;
    talk.caller_ends().await
}

/// Reports come to the port that was agreed: that of audio, or the other.
async fn are_reported_at(stage: &Stage, voice: &Voice, is_shared: bool, when: &str) {
    are_reported(stage, voice, Duration::from_secs(6), when).await;
    let heard = voice.heard();
    let wrong = match is_shared {
        true => heard.reports - heard.reports_beside_audio,
        false => heard.reports_beside_audio,
    };
    stage.check("TDR-MED-040", wrong == 0, || {
        format!(
            "{wrong} of {} reports come to the other port {when}",
            heard.reports
        )
    });
}

/// Reports share the port of audio.
fn shared(text: &str) -> String {
    text.replace("a=sendrecv", "a=rtcp-mux\r\na=sendrecv")
}

/// TC-MED-013: Teams offers one port, two, and two that are apart; and answers with one, and with two.
async fn ports_of_reports(stage: &Stage) -> Played {
    for (is_shared, is_apart, when) in [
        (false, false, "on two ports"),
        (true, false, "on one port"),
        (false, true, "on a port of their own"),
    ] {
        let voice = match is_apart {
            true => stage.voice_of_teams_apart().await?,
            false => stage.voice_of_teams().await?,
        };
        let next = format!("a=rtcp:{}\r\n", voice.at.port().saturating_add(1));
        let own = format!("a=rtcp:{}\r\n", voice.reports);
        let change = |text: &str| match is_shared {
            true => shared(text),
            false => text.replace(&next, &own),
        };
        let (mut talk, _) = offered_by(stage, voice, change).await?;
        stage.hear_each_other(&talk).await?;
        are_reported_at(stage, &talk.caller.voice, is_shared, when).await;
        talk.caller_ends().await?;
    }
    for is_shared in [false, true] {
        let mut caller = stage.carrier_dials().await?;
        let mut called = stage.teams_is_called().await?;
        // Nobody may answer with what was not offered (RFC 5761 §5.1.1).
        let is_shared = is_shared && !lines(called.invite()?, "a=rtcp-mux").is_empty();
        let answer = called.answer(Codec::Pcma);
        let answer = if is_shared { shared(&answer) } else { answer };
        called.leg.respond(200, "OK", Some(answer), &[])?;
        caller.is_answered().await?;
        called.leg.acknowledged().await?;
        let mut talk = Talk { caller, called };
        stage.hear_each_other(&talk).await?;
        are_reported_at(stage, &talk.called.voice, is_shared, "of an answer").await;
        talk.caller_ends().await?;
    }
    Ok(())
}
