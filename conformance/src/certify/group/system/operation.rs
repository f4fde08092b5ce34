//! What operators see, and what becomes of calls when a node is lost.

use crate::certify::case::{PATIENCE, Played, Step};
use crate::certify::evidence::From;
use crate::certify::setting::Setting;
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::certify::word;
use crate::media::sdp;
use crate::peer::leg::Parties;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What replaces a call of Teams, as a client got it.
pub(super) const TOKEN: &str = "aHR0cHM6Ly9zZWNyZXQuZXhhbXBsZQ";
/// What a location says of somebody.
const PLACE: &str = "third door on the left";

/// Numbers for help, and the carrier gets locations.
pub(super) fn with_secrets(setting: &mut Setting) {
    setting.is(word::EMERGENCY);
    setting.is(word::LOCATION);
}

/// TC-SYS-008. Of a pair calls survive, and audio may pause for two seconds. One that is alone loses them; both are
/// reached, and carry calls, within a few OPTIONS.
pub(super) async fn other_node(stage: &Stage) -> Played {
    let rule = "TDR-CON-007";
    let talks = [stage.to_teams().await?, stage.from_teams().await?];
    stage.loses_a_node().await?;
    let began = Instant::now();
    let survivors = stage.is_pair().then_some(talks);
    if let Some(talks) = &survivors {
        for talk in talks {
            stage.hear_each_other(talk).await?;
            for voice in [&talk.caller.voice, &talk.called.voice] {
                let heard = voice.heard();
                let gap = stage.longer_than(&heard.gaps, Duration::from_secs(2));
                stage.check("audio", gap.is_none(), || {
                    format!(
                        "{} heard nothing for {:?}",
                        voice.name,
                        gap.unwrap_or_default()
                    )
                });
            }
        }
    }
    while let Err(fault) = stage.proxies[0].ping(&stage.trunk()).await {
        if began.elapsed() > PATIENCE {
            return Err(Failure::new(rule, fault.to_string()));
        }
        sleep(Duration::from_millis(200)).await;
    }
    let [mut talk, mut other] = match survivors {
        Some(talks) => talks,
        None => {
            stage.note("one node alone: that calls survive is asked of pairs");
            let talk = stage.to_teams().await.rule(rule)?;
            [talk, stage.from_teams().await.rule(rule)?]
        }
    };
    talk.caller_ends().await.rule(rule)?;
    other.caller_ends().await.rule(rule)
}

/// A call for help with a location, and a caller whom another user has sent.
async fn with_location(stage: &Stage) -> Played {
    let voice = stage.voice_of_teams().await?;
    let offer = sdp::teams_offer(voice.at, &voice.key);
    let body = format!(
        "--b1\r\nContent-Type: application/sdp\r\n\r\n{offer}\r\n--b1\r\n\
         Content-Type: application/pidf+xml\r\nContent-ID: <1@contoso.example>\r\n\r\n\
         <presence entity=\"sip:ada@contoso.example\" xmlns=\"urn:ietf:params:xml:ns:pidf\">\
         <note>{PLACE}</note></presence>\r\n--b1--\r\n"
    );
    let change = |parties: &mut Parties| {
        let kind = "multipart/mixed;boundary=\"b1\"".to_owned();
        parties.extra.push(("Content-Type", kind));
        let place = "<cid:1@contoso.example>".to_owned();
        parties.extra.push(("Geolocation", place));
        let by = format!("<sip:sip.pstnhub.example:5061;x-m=8:orgid:1;x-tt={TOKEN};x-ti=2>");
        parties.extra.push(("Referred-By", by));
    };
    let caller = stage.teams_offers(0, "112", voice, body, change).await?;
    let called = stage.carrier_is_called().await?;
    let mut talk = stage.answered(caller, called).await?;
    talk.caller_ends().await
}

/// Keys that peers and subject told each other.
fn keys(stage: &Stage) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for message in stage
        .tape
        .seen()
        .iter()
        .filter_map(|one| one.message.as_ref().ok())
    {
        for (at, mark) in message.text().match_indices("inline:") {
            let rest = &message.text()[at + mark.len()..];
            let end = rest.find(['|', '\r', ' ']).unwrap_or(rest.len());
            keys.insert(rest[..end].to_owned());
        }
    }
    keys
}

/// What our daemon tells of two calls: records, ladders, log, files.
async fn told_by_us(stage: &Stage) -> Result<Vec<(&'static str, String)>, Failure> {
    let recent = stage.ask_until("/calls/recent", PATIENCE, |told| {
        let calls: Vec<Value> = serde_json::from_str(told).unwrap_or_default();
        calls.len() >= 2
    });
    let recent = recent
        .await
        .map_err(|last| Failure::new("ladder", format!("two calls have no records: {last}")))?;
    let calls: Vec<Value> = serde_json::from_str(&recent).unwrap_or_default();
    let mut told = vec![("its records", recent)];
    for call in &calls {
        let id = call["call"].as_str().unwrap_or_default();
        let ladder = stage
            .ask(&format!("/calls/{id}/trace?messages=true"))
            .await?;
        // Who looks for secrets where nothing is shown finds none.
        stage.check(
            "ladder",
            ladder.contains("CSeq") || ladder.contains("CSEQ"),
            || format!("the ladder of {id} shows no messages"),
        );
        told.push(("a ladder", ladder));
    }
    if let Some(daemon) = &stage.daemon {
        told.push(("its log", daemon.log()));
    }
    told.push(("its files of records", stage.spooled()));
    Ok(told)
}

/// The Call-IDs of all INVITEs so far.
fn invited(stage: &Stage) -> BTreeSet<String> {
    let seen = stage.tape.seen().into_iter();
    let invites = seen.filter_map(|one| one.message.ok());
    let invites = invites.filter(|one| one.method().as_deref() == Some("INVITE"));
    invites.map(|one| one.call_id().to_owned()).collect()
}

/// What somebody else's tells: of each call, by what identifies one of its legs.
async fn told_by_others(stage: &Stage, first: &BTreeSet<String>) -> Result<String, Failure> {
    let second: BTreeSet<String> = invited(stage).difference(first).cloned().collect();
    let names = |call: &BTreeSet<String>, text: &str| call.iter().any(|id| text.contains(id));
    let is_whole = |text: &str| names(first, text) && names(&second, text);
    let told = stage.logs_until(PATIENCE, is_whole).await?;
    // Who looks for secrets where nothing is shown finds none.
    for (call, which) in [(first, "first"), (&second, "second")] {
        stage.check("ladder", names(call, &told), || {
            format!("what its operators see does not name the {which} call by a Call-ID")
        });
    }
    Ok(told)
}

/// TC-SYS-009.
pub(super) async fn secrets(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    talk.caller_ends().await?;
    let first = invited(stage);
    with_location(stage).await?;
    let told = match stage.daemon {
        Some(_) => told_by_us(stage).await?,
        None => vec![(
            "what its operators see",
            told_by_others(stage, &first).await?,
        )],
    };
    let keys = keys(stage);
    stage.check("ladder", keys.len() >= 3, || "no keys were told".to_owned());
    let sent = stage
        .tape
        .seen()
        .into_iter()
        .filter(|one| one.from == From::Peer);
    let sent: Vec<String> = sent
        .filter_map(|one| Some(one.message.ok()?.text().to_owned()))
        .collect();
    for secret in [TOKEN, PLACE].map(str::to_owned).into_iter().chain(keys) {
        let is_key = secret != TOKEN && secret != PLACE;
        let was_told = is_key || sent.iter().any(|text| text.contains(&secret));
        stage.check("ladder", was_told, || format!("nobody sent {secret}"));
        for (place, text) in &told {
            stage.check("TDR-SEC-004", !text.contains(&secret), || {
                let kind = match secret.as_str() {
                    TOKEN => "what replaces a call of Teams",
                    PLACE => "a location",
                    _ => "a key of SRTP",
                };
                format!("{kind} shows in {place}")
            });
        }
    }
    Ok(())
}
