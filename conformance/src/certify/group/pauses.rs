//! MED: what is heard while nobody speaks.

use super::media::{heard_and_ended, lines};
use crate::certify::case::{Case, Played, breaks, case};
use crate::certify::ladder::Talk;
use crate::certify::mutation::{Mutation, Warp, as_method, teams, then};
use crate::certify::setting::USER;
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::media::sdp;
use crate::media::tone::Codec;
use crate::media::voice::Voice;
use std::time::Duration;

/// The cases.
pub const CASES: &[Case] = &[case(
    "TC-MED-011",
    |stage| Box::pin(silence(stage)),
    &[
        breaks(
            "TDR-MED-023",
            then(teams("ACK"), |text| as_method(text, "BYE")),
        ),
        breaks("TDR-MED-023", Mutation::Media(Warp::NoNoise)),
        breaks("TDR-MED-023", Mutation::CarrierMedia(Warp::NoNoise)),
        breaks("TDR-MED-023", Mutation::Media(Warp::Holes)),
        breaks("TDR-MED-023", Mutation::Media(Warp::Glitch)),
    ],
)];

/// How long a pause is.
const PAUSE: Duration = Duration::from_secs(10);

/// Comfort noise in a description whose first codec has this number.
fn with_noise(text: &str, codec: &str) -> String {
    text.replace(&format!("AVP {codec}"), &format!("AVP {codec} 13"))
        .replace("a=ptime", "a=rtpmap:13 CN/8000\r\na=ptime")
}

/// A call of a carrier that has comfort noise, to Teams that has it, too.
async fn with_comfort(stage: &Stage) -> Result<Talk, Failure> {
    let voice = stage.voice_of_carrier().await?;
    let offer = with_noise(&sdp::carrier_offer(voice.at, &[Codec::Pcma]), "8");
    let mut caller = stage.carrier_offers(USER, voice, offer, |_| {})?;
    let mut called = stage.teams_is_called().await?;
    let offered = lines(called.invite()?, "a=rtpmap:13 CN/8000");
    stage.check("TDR-MED-023", offered.len() == 1, || {
        "Teams is not offered the comfort noise that the carrier has".to_owned()
    });
    let answer = with_noise(&called.answer(Codec::Pcma), "8");
    called.leg.respond(200, "OK", Some(answer), &[])?;
    caller.is_answered().await?;
    called.leg.acknowledged().await?;
    let talk = Talk { caller, called };
    stage.hear_each_other(&talk).await?;
    Ok(talk)
}

/// TC-MED-011, three pauses at once. In one call neither side sends anything. In the next the carrier sends silence
/// as it sends audio, which must come without a hole. In the last both send comfort noise instead, which reaches the
/// other side or is replaced by audio.
async fn silence(stage: &Stage) -> Played {
    let rule = "TDR-MED-023";
    let mut quiet = stage.to_teams().await?;
    let silent = stage.to_teams().await?;
    let noisy = with_comfort(stage).await?;
    for voice in [
        &quiet.caller.voice,
        &quiet.called.voice,
        &silent.called.voice,
    ] {
        voice.hushes();
    }
    silent.caller.voice.plays(0.0);
    let voices = [&noisy.caller.voice, &noisy.called.voice];
    for voice in voices {
        voice.pauses();
    }
    // What was under way when the pauses began is over.
    noisy.lasts(Duration::from_secs(1)).await;
    let before = voices.map(Voice::heard);
    let noise_before = silent.called.voice.heard().noise;
    let ear = silent.called.voice.ear();
    ear.measures_holes();
    let (ended, missed) = tokio::join!(
        quiet.called.leg.asked("BYE", PAUSE),
        silent.called.voice.misses_within(PAUSE)
    );
    stage.check(rule, ended.is_err(), || {
        format!("a pause of {PAUSE:?} ends the call")
    });
    // Two packets in a row may be missing: 40 ms. Noise may stand for all of them.
    let packets = PAUSE.as_millis() as f64 / 20.0;
    let is_filled = silent.called.voice.heard().noise - noise_before >= PAUSE.as_secs();
    let hole = ear.heard().longest_hole;
    let is_whole = missed * packets <= 2.5 && hole <= 2 || stage.kit.network.is_some() || is_filled;
    stage.check(rule, is_whole, || {
        format!(
            "of the carrier's silence {:.0} packets of {packets} are missing, {hole} in a row",
            missed * packets
        )
    });
    for (voice, before) in voices.into_iter().zip(before) {
        let now = voice.heard();
        let (noise, audio) = (now.noise - before.noise, now.audio - before.audio);
        stage.check(rule, noise + audio >= PAUSE.as_secs(), || {
            format!(
                "{} hears {noise} packets of noise and {audio} of audio in a pause of {PAUSE:?}",
                voice.name
            )
        });
    }
    for talk in [quiet, silent, noisy] {
        heard_and_ended(stage, talk, rule).await?;
    }
    Ok(())
}
