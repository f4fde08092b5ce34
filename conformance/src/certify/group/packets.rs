//! MED: what packets carry, how long they are, and what becomes of them on the way.

use super::media::{heard_and_ended, lines, offered_by};
use crate::certify::case::{Case, Played, Step, breaks, case};
use crate::certify::follows;
use crate::certify::ladder::{TONES, Talk};
use crate::certify::mutation::{Mutation, Warp, drop, replace, teams};
use crate::certify::setting::USER;
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::impair::{Impairment, Network};
use crate::media::sdp;
use crate::media::secure::Key;
use crate::media::tone::Codec;
use std::time::Duration;

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-MED-002",
        |stage| Box::pin(identifiers(stage)),
        &[
            breaks("TDR-MED-002", drop(teams("INVITE").status(200))),
            breaks(
                "TDR-MED-002",
                replace(teams("INVITE").status(200), "|2^31", "|2^31|7:1"),
            )
            .also(&[follows::UNPROVEN, follows::QUIET]),
            breaks("TDR-MED-002", Mutation::CarrierMedia(Warp::Silence)),
        ],
    ),
    case(
        "TC-MED-003",
        |stage| Box::pin(two_keys(stage)),
        &[breaks("TDR-MED-003", Mutation::CarrierMedia(Warp::Silence))],
    ),
    case(
        "TC-MED-016",
        |stage| Box::pin(other_lengths(stage)),
        &[
            breaks("TDR-MED-025", Mutation::Media(Warp::Silence)),
            breaks("TDR-MED-025", Mutation::Media(Warp::Joined)),
        ],
    ),
    case(
        "TC-MED-020",
        |stage| Box::pin(bad_network(stage)),
        &[
            breaks("TDR-MED-044", Mutation::CarrierMedia(Warp::Replays)),
            breaks("TDR-MED-044", Mutation::Media(Warp::NoRtcp)).also(&[follows::REPORTS]),
            breaks("TDR-MED-044", Mutation::Media(Warp::Even)),
            breaks("TDR-MED-044", Mutation::CarrierMedia(Warp::Silence)),
        ],
    ),
    case(
        "TC-MED-023",
        |stage| Box::pin(ports_of_the_service(stage)),
        &[breaks("TDR-MED-042", Mutation::Media(Warp::Silence))],
    ),
];

/// The identifier that Teams writes into its packets, where its description says so.
const IDENTIFIER: &[u8] = &[1];

/// TC-MED-002: the key of an offer has an identifier, and so has every packet; the answer has none or the
/// same, and its packets as it says.
async fn identifiers(stage: &Stage) -> Played {
    for text in ["|2^31|1:1", "|1:1"] {
        let mut voice = stage.voice_of_teams().await?;
        voice.key = voice.key.clone().identified(IDENTIFIER);
        let change = |offer: &str| offer.replace("|2^31", text);
        let (talk, answer) = offered_by(stage, voice, change).await.rule("TDR-MED-002")?;
        let media = sdp::read(&answer.body()).map_err(|why| Failure::new("TDR-MED-002", why))?;
        let key = media.keys.first().and_then(|key| key.key.as_ref());
        let identifier = key.map(Key::identifier).unwrap_or_default();
        let is_right = identifier.is_empty() || identifier == IDENTIFIER;
        stage.check("TDR-MED-002", is_right, || {
            format!("1:1 is answered with the identifier {identifier:?}")
        });
        heard_and_ended(stage, talk, "TDR-MED-002").await?;
    }
    Ok(())
}

/// TC-MED-003: Teams answers with two keys, and uses the one without an identifier if its tag was offered, else the
/// first.
async fn two_keys(stage: &Stage) -> Played {
    // As documented, with tags that nobody offered; and with the one that was.
    for (first, second) in [("2", "3"), ("2", "1")] {
        let is_first = second == "3";
        let mut caller = stage.carrier_dials().await?;
        let mut called = stage.teams_is_called().await?;
        let offered = lines(called.invite()?, "a=crypto:");
        let offered = offered.first().map_or("1", |line| &line[9..10]).to_owned();
        let second = if second == "1" { &offered } else { second };
        let suite = "AES_CM_128_HMAC_SHA1_80";
        let other = Key::random().text();
        let own = called.voice.key.text();
        let keys = if is_first { [own, other] } else { [other, own] };
        let with_two = format!(
            "a=crypto:{first} {suite} inline:{}|2^31|1:1\r\na=crypto:{second} {suite} inline:{}|2^31",
            keys[0], keys[1]
        );
        let answer = called.answer(Codec::Pcma);
        let only = answer.lines().find(|line| line.starts_with("a=crypto:"));
        let answer = answer.replace(only.unwrap_or_default(), &with_two);
        if is_first {
            called.voice.key = called.voice.key.clone().identified(IDENTIFIER);
            called.voice.hears_of(&called.offer)?;
        }
        called.leg.respond(200, "OK", Some(answer), &[])?;
        caller.is_answered().await.rule("TDR-MED-003")?;
        called.leg.acknowledged().await.rule("TDR-MED-003")?;
        heard_and_ended(stage, Talk { caller, called }, "TDR-MED-003").await?;
    }
    Ok(())
}

/// TC-MED-016: whatever the carrier's packets are like, those to Teams have the 20 ms that Teams asks for.
async fn other_lengths(stage: &Stage) -> Played {
    for ms in [10, 30, 60] {
        let voice = stage.voice_of_carrier().await?;
        voice.packs(Duration::from_millis(ms));
        let offer = sdp::carrier_offer(voice.at, &[Codec::Pcma, Codec::Pcmu]);
        let offer = offer.replace("a=ptime:20", &format!("a=ptime:{ms}"));
        let mut caller = stage.carrier_offers(USER, voice, offer, |_| {})?;
        let mut called = stage.teams_is_called().await?;
        let answer = called.answer(Codec::Pcma);
        called.leg.respond(200, "OK", Some(answer), &[])?;
        caller.is_answered().await?;
        called.leg.acknowledged().await?;
        let mut talk = Talk { caller, called };
        let heard = stage.hear_each_other(&talk).await;
        heard.rule("TDR-MED-025")?;
        let lengths = talk.called.voice.heard().lengths;
        // What a bad network has lost of a packet is missing in it.
        let is_cut = |length: &usize| *length <= 160 && stage.kit.network.is_some();
        let is_right = lengths == [160] || lengths.iter().all(is_cut);
        stage.check("TDR-MED-025", is_right, || {
            format!(
                "of packets of {ms} ms Teams gets such of {lengths:?} octets, wanted 160: 20 ms"
            )
        });
        talk.caller_ends().await?;
    }
    Ok(())
}

/// What Teams' packets meet in TC-MED-020. Its seed is part of the case.
const BAD: Network = Network {
    impairment: Impairment {
        loss: 1.0,
        jitter: Duration::from_millis(30),
        reorder: 1.0,
    },
    seed: 20,
};
/// Samples of jitter that a report may speak of then: 1 to 30 ms.
const JITTER: std::ops::RangeInclusive<u32> = 8..=240;

/// TC-MED-020: reports tell the truth about a bad network, and nothing is heard twice.
async fn bad_network(stage: &Stage) -> Played {
    let voice = stage.voice_of_teams_over(BAD).await?;
    let (mut talk, _) = offered_by(stage, voice, str::to_owned).await?;
    talk.caller.voice.plays(TONES.0);
    talk.lasts(Duration::from_secs(8)).await;
    talk.caller.voice.hushes();
    // Reports come every five seconds, and one may be lost.
    let told = talk.caller.voice.is_told(Duration::from_secs(12)).await;
    let is_true = told.is_some_and(|told| told.lost == told.lost_indeed && told.lost > 0);
    stage.check("TDR-MED-044", is_true, || {
        format!("reports do not say what was lost: {told:?}")
    });
    let is_true = told.is_some_and(|told| JITTER.contains(&told.jitter));
    stage.check("TDR-MED-044", is_true, || {
        format!("reports do not say how uneven packets came: {told:?}")
    });
    talk.caller.voice.copies_one_of(5);
    stage.hear_each_other(&talk).await.rule("TDR-MED-044")?;
    talk.lasts(Duration::from_secs(3)).await;
    let repeated = talk.called.voice.heard().repeated;
    stage.check("TDR-MED-044", repeated == 0, || {
        format!("{repeated} packets were heard twice")
    });
    talk.caller_ends().await
}

/// TC-MED-023: media go to the port that a description names, wherever in Microsoft's ranges it is.
async fn ports_of_the_service(stage: &Stage) -> Played {
    for port in [3478, 49_152, 53_246] {
        let caller = stage.carrier_dials().await?;
        let mut called = stage.teams_is_called().await?;
        called.voice = stage.voice_of_teams_at(port).await?;
        let answer = called.answer(Codec::Pcma);
        called.leg.respond(200, "OK", Some(answer), &[])?;
        let mut talk = Talk { caller, called }.established().await?;
        let heard = stage.hear_each_other(&talk).await;
        heard.rule("TDR-MED-042")?;
        talk.called_ends().await?;
    }
    Ok(())
}
