//! Many calls at once, for long.

use crate::certify::case::{PATIENCE, Played};
use crate::certify::ladder::{Caller, Talk};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Of so many calls one has audio that is listened to.
const HEARD: usize = 10;
/// Longest time from an INVITE until the other side has it and has rung, on loopback.
const DELAY: Duration = Duration::from_secs(2);

/// TC-SYS-007. Calls come in turn from both sides until all places are taken; then the oldest ends
/// for each that comes.
pub(super) async fn many_calls(stage: &Stage) -> Played {
    let places = stage.size("calls at a time", 20, 1_000) as usize;
    let seconds = stage.size("seconds", 8, 3_600);
    let rate = stage.size("calls a second while they become more", 10, 50);
    stage.note(format!(
        "audio is listened to on one of {HEARD} calls; once all are there, one call a second is replaced"
    ));
    let mut talks: VecDeque<Talk> = VecDeque::new();
    let mut delays = Vec::new();
    let began = Instant::now();
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0;
    while began.elapsed() < Duration::from_secs(seconds.into()) {
        match talks.len() < places {
            true => {
                ticks.tick().await;
            }
            false => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if let Some(mut oldest) = talks.pop_front() {
                    oldest.caller_ends().await?;
                }
            }
        }
        let (talk, delay) = call(stage, number).await?;
        delays.push(delay);
        talks.push_back(talk);
        number += 1;
    }
    for talk in &talks {
        if talk.caller.voice.heard().audio > 0 {
            let heard = stage.hear_each_other(talk).await;
            heard.map_err(|failure| Failure::new("soak", failure.why))?;
        }
    }
    is_stable(stage, &delays);
    stage.note(format!("{number} calls in {seconds} s"));
    for mut talk in talks {
        talk.caller_ends().await?;
    }
    Ok(())
}

/// One more call, and how long it took until the caller heard it ring.
async fn call(stage: &Stage, number: usize) -> Result<(Talk, Duration), Failure> {
    let watch = stage.watch();
    let (mut caller, mut called): (Caller, _) = match number.is_multiple_of(2) {
        true => {
            let caller = stage.carrier_dials().await?;
            (caller, stage.teams_is_called().await?)
        }
        false => {
            let caller = stage.teams_dials().await?;
            (caller, stage.carrier_is_called().await?)
        }
    };
    called.leg.respond(180, "Ringing", None, &[])?;
    caller.leg.hears(180, PATIENCE).await?;
    let delay = watch.took();
    let answer = called.answer(crate::media::tone::Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let talk = Talk { caller, called }.established().await?;
    if number.is_multiple_of(HEARD) {
        let heard = stage.hear_each_other(&talk).await;
        heard.map_err(|failure| Failure::new("soak", failure.why))?;
    }
    Ok((talk, delay))
}

/// The set-up of the last calls takes about as long as that of the first.
fn is_stable(stage: &Stage, delays: &[Duration]) {
    let part = (delays.len() / 4).max(1);
    let worst = |delays: &[Duration]| {
        let mut sorted = delays.to_vec();
        sorted.sort_unstable();
        let at = sorted.len().saturating_sub(1) * 95 / 100;
        sorted.get(at).copied().unwrap_or_default()
    };
    let (first, last) = (
        worst(&delays[..part]),
        worst(&delays[delays.len().saturating_sub(part)..]),
    );
    stage.note(format!(
        "until ringing, of 95 in 100 calls: {first:?} in the first quarter, {last:?} in the last"
    ));
    let is_steady = last < DELAY && last <= first * 3 + Duration::from_millis(250);
    stage.check("soak", is_steady, || {
        format!("calls take longer until they ring: {first:?} at first, {last:?} at last")
    });
}
