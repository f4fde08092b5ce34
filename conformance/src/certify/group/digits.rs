//! MED: keys that are pressed, in every way in which a carrier tells of them.

use super::media::{are_dialled, heard_and_ended};
use crate::certify::case::{Case, PATIENCE, Played, Step, breaks, case};
use crate::certify::mutation::{Mutation, Warp, carrier, drop, replace};
use crate::certify::stage::Stage;
use crate::media::voice::Voice;
use std::ops::RangeInclusive;

/// The cases.
pub const CASES: &[Case] = &[case(
    "TC-MED-009",
    |stage| Box::pin(every_digit(stage)),
    &[
        breaks(
            "TDR-MED-024",
            replace(carrier("INFO").status(200), "200 OK", "486 No"),
        ),
        breaks("TDR-MED-024", Mutation::Media(Warp::NoEvents)),
        breaks("TDR-MED-024", Mutation::CarrierMedia(Warp::NoEvents)),
        breaks("TDR-MED-024", Mutation::Media(Warp::ShortEvents)),
        breaks("TDR-MED-024", drop(carrier("INFO").status(200))),
    ],
)];

/// Every key.
const ALL: &str = "0123456789*#ABCD";
/// The carrier's trunk in the configuration of a subject of ours.
const TRUNK: &str = "name = \"carrier\"\npreset = \"carrier\"";
/// Samples that a press of 100 ms may be told to last, and how loud it may be (RFC 4733 §2.3.3, §2.3.5).
const DURATION: RangeInclusive<u16> = 320..=2_000;
const VOLUME: RangeInclusive<u8> = 0..=36;

/// TC-MED-009: as events both ways; where a subject can be told to expect them otherwise, the carrier presses
/// by INFO and by sound as well, and Teams has events all the same.
async fn every_digit(stage: &Stage) -> Played {
    let talk = stage.from_teams().await?;
    let (one, other) = (&talk.caller.voice, &talk.called.voice);
    are_dialled(stage, one, other, ALL).await;
    are_dialled(stage, other, one, ALL).await;
    are_sane(stage, one);
    heard_and_ended(stage, talk, "audio").await?;

    let by_info = format!("{TRUNK}\ndtmf = \"info\"");
    if !stage.reconfigures(TRUNK, &by_info).await? {
        return Ok(());
    }
    let mut talk = stage.to_teams().await?;
    for key in ALL.chars() {
        let kind = [("Content-Type", "application/dtmf-relay".to_owned())];
        let body = format!("Signal={key}\r\nDuration=100\r\n");
        let answer = talk.caller.leg.ask("INFO", &kind, Some(body)).await;
        let answer = answer.rule("TDR-MED-024")?;
        stage.check("TDR-MED-024", answer.status() == Some(200), || {
            format!("INFO about {key} got {}", answer.title())
        });
    }
    are_heard(stage, &talk.called.voice, "INFO").await;
    talk.caller_ends().await?;

    let by_sound = format!("{TRUNK}\ndtmf = \"inband\"");
    stage.reconfigures(&by_info, &by_sound).await?;
    let mut talk = stage.to_teams().await?;
    talk.caller.voice.hushes();
    for key in ALL.chars() {
        talk.caller.voice.sounds(key).await;
    }
    are_heard(stage, &talk.called.voice, "sound").await;
    talk.caller_ends().await
}

/// Teams hears every key as an event, once and in order.
async fn are_heard(stage: &Stage, teams: &Voice, by: &str) {
    let heard = teams.waits_for_digits(ALL, PATIENCE).await;
    stage.check("TDR-MED-024", heard == ALL, || {
        format!("the carrier pressed {ALL} by {by}, Teams heard \"{heard}\"")
    });
    are_sane(stage, teams);
}

/// Events last and sound as a key does.
fn are_sane(stage: &Stage, voice: &Voice) {
    let presses = voice.heard().presses;
    let is_sane =
        |(duration, volume): &(u16, u8)| DURATION.contains(duration) && VOLUME.contains(volume);
    stage.check("TDR-MED-024", presses.iter().all(is_sane), || {
        format!("events with such durations and volumes: {presses:?}")
    });
}
