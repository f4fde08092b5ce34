//! MED: descriptions, keys, codecs, digits and reports.

use super::bypass::{meet, of_client, with_bypass};
use crate::certify::case::{Case, Need, PATIENCE, Played, Step, breaks, case};
use crate::certify::evidence::Side;
use crate::certify::follows;
use crate::certify::ladder::Talk;
use crate::certify::mutation::{
    Mutation, Warp, as_method, carrier, drop, replace, rewrite, teams, then,
};
use crate::certify::setting::{OUTSIDE, USER};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::media::sdp;
use crate::media::secure::Key;
use crate::media::tone::Codec;
use crate::media::voice::Voice;
use crate::peer::message::Message;
use std::time::Duration;

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-MED-001",
        |stage| Box::pin(suites(stage)),
        &[
            breaks("TDR-MED-003", drop(teams("INVITE").status(200))),
            breaks(
                "TDR-MED-003",
                replace(teams("INVITE").status(200), "SHA1_80", "SHA1_32"),
            )
            .also(&[
                follows::UNREAD,
                ("TDR-MED-001", "both look at the suite of the same line"),
            ]),
            breaks(
                "TDR-MED-003",
                replace(teams("INVITE").status(200), "crypto:1", "crypto:0"),
            ),
        ],
    ),
    case(
        "TC-MED-004",
        |stage| Box::pin(no_keys(stage)),
        &[
            breaks("TDR-MED-004", drop(teams("BYE"))).also(&[follows::QUIET]),
            breaks("TDR-MED-004", drop(carrier("INVITE").statuses(400, 699)))
                .also(&[follows::QUIET]),
            breaks("G10", Mutation::Media(Warp::Plain)).also(&[follows::UNHEARD]),
            breaks(
                "TDR-MED-004",
                Mutation::Told("media_incompatible", "normal_clearing"),
            )
            .also(&[follows::QUIET]),
        ],
    ),
    case(
        "TC-MED-005",
        |stage| Box::pin(lifetimes(stage)),
        &[
            breaks("TDR-MED-002", drop(teams("INVITE").status(200))),
            breaks(
                "TDR-MED-002",
                replace(teams("INVITE").status(200), "inline:", "inline:+"),
            )
            .also(&[follows::QUIET]),
            breaks(
                "TDR-MED-002",
                replace(teams("INVITE").status(488), "SIP/2.0 488", "SIP/2.0 500"),
            ),
            breaks(
                "TDR-MED-002",
                Mutation::Told("sbc_srtp_keys_unusable_total", "sbc_srtp_keys_total"),
            ),
            breaks(
                "TDR-MED-002",
                Mutation::Told("reason=\"no_usable_key\"", "reason=\"no_key\""),
            ),
        ],
    ),
    case(
        "TC-MED-007",
        |stage| Box::pin(observed_offer(stage)),
        &[
            breaks(
                "TDR-MED-022",
                rewrite(teams("INVITE").status(200), with_red),
            ),
            breaks("TDR-MED-021", drop(teams("INVITE").status(200))),
            breaks("TDR-MED-021", Mutation::CarrierMedia(Warp::Silence)),
        ],
    ),
    case(
        "TC-MED-008",
        |stage| Box::pin(numbers_of_events(stage)),
        &[
            breaks("TDR-MED-021", drop(teams("INVITE").status(200))),
            breaks("TDR-MED-024", Mutation::Media(Warp::NoEvents)),
            breaks("TDR-MED-024", Mutation::CarrierMedia(Warp::NoEvents)),
            breaks(
                "TDR-MED-021",
                replace(teams("INVITE").status(200), "telephone-event", "x-event"),
            )
            .also(&[(
                "TDR-MED-024",
                "digits go by the name and number that is changed",
            )]),
            breaks(
                "TDR-MED-021",
                replace(
                    carrier("INVITE").status(200),
                    ":126 telephone",
                    ":125 telephone",
                ),
            )
            .also(&[(
                "TDR-MED-024",
                "digits go by the name and number that is changed",
            )]),
        ],
    ),
    case(
        "TC-MED-010",
        |stage| Box::pin(early_digits(stage)),
        &[breaks("TDR-MED-024", Mutation::Media(Warp::NoEvents))],
    ),
    case(
        "TC-MED-014",
        |stage| Box::pin(versions(stage)),
        &[
            breaks(
                "G6",
                replace(teams("INVITE").status(200).inside(), " IN IP4", "0 IN IP4"),
            ),
            breaks(
                "G6",
                replace(
                    teams("INVITE").status(200),
                    "a=rtpmap:101 ",
                    "a=rtpmap:102 ",
                ),
            ),
        ],
    ),
    case(
        "TC-MED-015",
        |stage| Box::pin(the_same_number_twice(stage)),
        &[
            breaks("TDR-ERR-013", drop(teams("INVITE"))),
            breaks("audio", Mutation::Media(Warp::Silence)),
            breaks(
                "TDR-ERR-013",
                replace(teams("INVITE"), "RTP/SAVP 8", "RTP/SAVP 8 8"),
            )
            .also(&[follows::UNREAD]),
        ],
    ),
    case(
        "TC-MED-017",
        |stage| Box::pin(fax(stage)),
        &[
            breaks(
                "TDR-MED-026",
                drop(carrier("INVITE").statuses(200, 699).inside()),
            ),
            breaks(
                "TDR-MED-026",
                replace(carrier("INVITE").status(488), "SIP/2.0 488", "SIP/2.0 500"),
            ),
            breaks("TDR-MED-026", Mutation::CarrierMedia(Warp::Mute)),
            breaks(
                "TDR-MED-026",
                then(teams("ACK"), |text| as_method(text, "INVITE")),
            )
            .also(&follows::OFFERED_ANEW),
        ],
    ),
    case(
        "TC-MED-018",
        |stage| Box::pin(video(stage)),
        &[
            breaks("TDR-MED-026", drop(teams("INVITE"))),
            breaks("TDR-MED-026", drop(carrier("INVITE").status(200))),
            breaks(
                "TDR-MED-026",
                replace(carrier("INVITE").status(200), "m=video 0", "m=video 9"),
            ),
            breaks(
                "TDR-MED-026",
                rewrite(teams("INVITE"), |text| {
                    format!("{text}m=video 0 RTP/SAVP 96\r\n")
                }),
            ),
        ],
    ),
    case(
        "TC-MED-019",
        |stage| Box::pin(another_source(stage)),
        &[breaks("TDR-MED-008", Mutation::CarrierMedia(Warp::Silence))],
    ),
    case(
        "TC-MED-021",
        |stage| Box::pin(audio_elsewhere(stage)),
        &[breaks("TDR-MED-043", Mutation::CarrierMedia(Warp::Silence))],
    )
    .needs(&[Need::Elsewhere]),
    case(
        "TC-MED-022",
        |stage| Box::pin(with_fingerprint(stage)),
        &[
            breaks("TDR-MED-006", drop(teams("INVITE").status(200))),
            breaks("TDR-MED-006", Mutation::Media(Warp::Silence)),
            breaks(
                "TDR-MED-006",
                rewrite(teams("INVITE").status(200), |text| {
                    format!("{text}{FINGERPRINT}")
                }),
            ),
        ],
    )
    .needs(&[Need::Bypass])
    .with(with_bypass),
    case(
        "TC-MED-024",
        |stage| Box::pin(some_forged(stage)),
        &[
            breaks("TDR-MON-003", Mutation::CarrierMedia(Warp::Silence)),
            breaks("TDR-MON-003", Mutation::CarrierMedia(Warp::Everything)),
            breaks(
                "TDR-MON-003",
                Mutation::Told("reason=\"authentication\"", "reason=\"other\""),
            ),
            breaks(
                "TDR-MON-003",
                Mutation::Told("kind=\"decrypt_failures\"", "kind=\"other\""),
            ),
        ],
    ),
    case(
        "TC-MED-025",
        |stage| Box::pin(plain_offer(stage)),
        &[
            breaks(
                "TDR-MED-002",
                replace(teams("INVITE"), "|2^31", "|2^31|1:1"),
            ),
            breaks(
                "TDR-MED-005",
                replace(
                    teams("INVITE"),
                    "a=sendrecv",
                    "a=crypto:2 AEAD_AES_256_GCM inline:key\r\na=sendrecv",
                ),
            ),
            breaks(
                "TDR-MED-041",
                replace(
                    teams("INVITE"),
                    "a=sendrecv",
                    "a=rtcp-xr:voip-metrics\r\na=sendrecv",
                ),
            ),
            breaks(
                "TDR-MED-027",
                replace(
                    teams("INVITE"),
                    "a=sendrecv",
                    "a=rtpmap:18 G729/8000\r\na=sendrecv",
                ),
            ),
        ],
    ),
];

const FINGERPRINT: &str = "a=setup:actpass\r\na=fingerprint:sha-256 \
    00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n";
/// Formats of Teams' usual offer.
pub(super) const USUAL: &str = "104 9 111 18 0 8 103 97 13 118 101";

/// Teams calls with an offer of its own; the answered call, which nobody has heard yet, and the answer.
pub(super) async fn offered_by(
    stage: &Stage,
    voice: Voice,
    change: impl Fn(&str) -> String,
) -> Result<(Talk, Message), Failure> {
    let offer = change(&sdp::teams_offer(voice.at, &voice.key));
    let mut caller = stage.teams_offers(0, OUTSIDE, voice, offer, |_| {}).await?;
    let mut called = stage.carrier_is_called().await?;
    let answer = called.answer(called.offer.codec().unwrap_or(Codec::Pcma));
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let answer = caller.is_answered().await?;
    called.leg.acknowledged().await?;
    Ok((Talk { caller, called }, answer))
}

/// The same with the voice that Teams usually has.
pub(super) async fn offered(
    stage: &Stage,
    change: impl Fn(&str) -> String,
) -> Result<(Talk, Message), Failure> {
    offered_by(stage, stage.voice_of_teams().await?, change).await
}

/// Both hear each other, or this rule is broken; then the call ends.
pub(super) async fn heard_and_ended(stage: &Stage, mut talk: Talk, rule: &str) -> Played {
    stage.hear_each_other(&talk).await.rule(rule)?;
    talk.caller_ends().await
}

/// Lines of a description that begin so.
pub(super) fn lines(message: &Message, begin: &str) -> Vec<String> {
    let body = message.body();
    let lines = body.lines().filter(|line| line.starts_with(begin));
    lines.map(str::to_owned).collect()
}

/// TC-MED-001.
async fn suites(stage: &Stage) -> Played {
    let change = |text: &str| {
        let weak = format!(
            "a=crypto:0 AES_CM_128_HMAC_SHA1_32 inline:{}|2^31\r\na=crypto:1 ",
            Key::random().text()
        );
        text.replace("a=crypto:1 ", &weak)
    };
    let offered = offered(stage, change).await;
    let (talk, answer) = offered.rule("TDR-MED-003")?;
    let keys = lines(&answer, "a=crypto:");
    let is_right = keys.len() == 1 && keys[0].starts_with("a=crypto:1 AES_CM_128_HMAC_SHA1_80 ");
    stage.check("TDR-MED-003", is_right, || {
        format!(
            "{} keys in the answer, the first not of the offered 80 bit suite",
            keys.len()
        )
    });
    heard_and_ended(stage, talk, "audio").await
}

/// A description as of one who knows no SRTP.
fn in_the_clear(description: &str) -> String {
    let lines = description
        .split("\r\n")
        .filter(|line| !line.starts_with("a=crypto"));
    let lines: Vec<&str> = lines.collect();
    lines.join("\r\n").replace("RTP/SAVP", "RTP/AVP")
}

/// TC-MED-004: Teams has been heard before it answers in the clear, so that there is audio that might go on.
async fn no_keys(stage: &Stage) -> Played {
    let rule = "TDR-MED-004";
    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    let answer = called.answer(Codec::Pcma);
    called
        .leg
        .respond(183, "Session Progress", Some(answer.clone()), &[])?;
    let early = caller.leg.hears(183, PATIENCE).await?;
    caller.hears_of(&early.message)?;
    stage
        .voices_hear_each_other(&caller.voice, &called.voice)
        .await?;
    let answer = in_the_clear(&answer);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    called.leg.acknowledged().await.rule(rule)?;
    called.leg.hung_up(PATIENCE).await.rule(rule)?;
    caller.is_refused().await.rule(rule)?;
    // What is sent in the clear until then, or from now on, breaks G10.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let labels = ["media_incompatible"];
    stage.counts(rule, "sbc_calls_ended_total", &labels).await;
    Ok(())
}

/// TC-MED-005: and what cannot be read is passed over; where nothing is left, the call is refused.
async fn lifetimes(stage: &Stage) -> Played {
    let rule = "TDR-MED-002";
    for lifetime in ["|2^31", "|2^48", "", "|1048576"] {
        let offered = offered(stage, |text| text.replace("|2^31", lifetime)).await;
        let (talk, _) = offered.rule(rule)?;
        heard_and_ended(stage, talk, rule).await?;
    }
    for (text, odd) in [
        ("SHA1_80 inline:", "SHA1_80  inline:"),
        ("SHA1_80 inline:", "SHA1_80\tinline:"),
        ("|2^31\r\n", "|2^31 \r\n"),
    ] {
        let offered = offered(stage, |offer| offer.replace(text, odd)).await;
        let (talk, _) = offered.rule(rule)?;
        heard_and_ended(stage, talk, rule).await?;
    }
    let suite = "AES_CM_128_HMAC_SHA1_80";
    let key = Key::random().text();
    let broken = [
        format!("{suite} inline:{}*?|2^31", &key[..30]),
        format!("{suite} inline:{}|2^31", &key[..20]),
        format!("{suite} inline:{key}|2^31|1:0"),
        format!("{suite} inline:{key}|2^31|x:y"),
        format!("{suite} inline:{key}|2^99"),
        format!("AES_512_OF_NOBODY inline:{key}|2^31"),
        format!("{suite} {key}"),
    ];
    let all: String = (20..)
        .zip(&broken)
        .map(|(tag, line)| format!("a=crypto:{tag} {line}\r\n"))
        .collect();
    let offered = offered(stage, |text| {
        text.replacen("a=crypto:1 ", &format!("{all}a=crypto:1 "), 1)
    });
    let (talk, answer) = offered.await.rule(rule)?;
    let keys = lines(&answer, "a=crypto:");
    let is_right = keys.len() == 1 && keys[0].starts_with("a=crypto:1 ");
    stage.check(rule, is_right, || {
        format!(
            "beside {} broken lines the good one is answered with {} keys",
            broken.len(),
            keys.len()
        )
    });
    heard_and_ended(stage, talk, rule).await?;
    // Whoever wonders why a call has no keys finds what was passed over, also beside a good line.
    for why in ["key", "mki", "lifetime", "suite", "syntax"] {
        let labels = [&*format!("why=\"{why}\"")];
        let name = "sbc_srtp_keys_unusable_total";
        stage.counts(rule, name, &labels).await;
    }
    let labels = ["code=\"488\"", "dir=\"out\"", "method=\"INVITE\""];
    for (before, line) in (0..).map(f64::from).zip(broken) {
        let voice = stage.voice_of_teams().await?;
        let offer = sdp::teams_offer(voice.at, &voice.key);
        let good = offer
            .lines()
            .find(|own| own.starts_with("a=crypto:"))
            .unwrap_or_default();
        let offer = offer.replace(good, &format!("a=crypto:1 {line}"));
        let mut caller = stage.teams_offers(0, OUTSIDE, voice, offer, |_| {}).await?;
        let last = caller.is_refused().await.rule(rule)?;
        stage.check(rule, last.status() == Some(488), || {
            format!(
                "with \"{}\" alone the caller got {}",
                line.replace(&key, "…"),
                last.title()
            )
        });
        let name = "sbc_sip_responses_total";
        stage.counts_above(rule, name, &labels, before).await;
    }
    let labels = ["reason=\"no_usable_key\""];
    stage.counts(rule, "sbc_media_refused_total", &labels).await;
    Ok(())
}

/// A codec in the answer that nobody knows.
fn with_red(text: &str) -> String {
    text.replace("RTP/SAVP 8", "RTP/SAVP 8 97")
        .replace("a=ptime", "a=rtpmap:97 RED/8000\r\na=ptime")
}

/// TC-MED-007.
async fn observed_offer(stage: &Stage) -> Played {
    let observed = "8 18 112 111 9 0 104 103 97 118 119 13 101";
    let change = |text: &str| {
        let more = "a=rtpmap:112 G7221/16000\r\na=fmtp:112 bitrate=24000\r\n\
                    a=rtpmap:119 CN/24000\r\na=rtpmap:104";
        text.replace(USUAL, observed).replace("a=rtpmap:104", more)
    };
    let (talk, answer) = offered(stage, change).await.rule("TDR-MED-021")?;
    let chosen = sdp::read(&answer.body()).map_err(|why| Failure::new("TDR-MED-021", why))?;
    for format in &chosen.formats {
        let is_known = matches!(format.payload_type, 0 | 8 | 9 | 13 | 18 | 101);
        stage.check("TDR-MED-022", is_known, || {
            format!("{} {} in the answer", format.payload_type, format.encoding)
        });
    }
    heard_and_ended(stage, talk, "TDR-MED-021").await
}

/// Digits are heard at the other end, each once and in order.
pub(super) async fn are_dialled(stage: &Stage, from: &Voice, to: &Voice, digits: &str) {
    let before = to.heard().digits;
    for digit in digits.chars() {
        from.dials(digit);
    }
    let wanted = before + digits;
    let heard = to.waits_for_digits(&wanted, PATIENCE).await;
    stage.check("TDR-MED-024", heard == wanted, || {
        format!(
            "{} dialled {digits}, {} heard \"{heard}\"",
            from.name, to.name
        )
    });
}

/// TC-MED-008.
async fn numbers_of_events(stage: &Stage) -> Played {
    for number in ["96", "101", "126"] {
        let change = |text: &str| {
            text.replace(" 101\r\n", &format!(" {number}\r\n"))
                .replace(":101 ", &format!(":{number} "))
        };
        let (talk, answer) = offered(stage, change).await.rule("TDR-MED-021")?;
        let events = lines(&answer, &format!("a=rtpmap:{number} telephone-event/8000"));
        stage.check("TDR-MED-021", events.len() == 1, || {
            format!("events were offered as {number}, and are not answered so")
        });
        let (one, other) = (&talk.caller.voice, &talk.called.voice);
        are_dialled(stage, one, other, "15").await;
        are_dialled(stage, other, one, "9#").await;
        heard_and_ended(stage, talk, "audio").await?;
    }
    // The other way: the carrier has a number of its own, and Teams the one that it is offered.
    for number in ["96", "126"] {
        let voice = stage.voice_of_carrier().await?;
        let offer = with_events(&sdp::carrier_offer(voice.at, &[Codec::Pcma, Codec::Pcmu]));
        let offer = offer
            .replace(" 8 0 101\r\n", &format!(" 8 0 {number}\r\n"))
            .replace(":101 ", &format!(":{number} "));
        let mut caller = stage.carrier_offers(USER, voice, offer, |_| {})?;
        let mut called = stage.teams_is_called().await.rule("TDR-MED-021")?;
        let answer = called.answer(Codec::Pcma);
        called.leg.respond(200, "OK", Some(answer), &[])?;
        let answer = caller.is_answered().await.rule("TDR-MED-021")?;
        called.leg.acknowledged().await?;
        let events = lines(&answer, &format!("a=rtpmap:{number} telephone-event/8000"));
        stage.check("TDR-MED-021", events.len() == 1, || {
            format!("events were offered by the carrier as {number}, and are not answered so")
        });
        let (one, other) = (&caller.voice, &called.voice);
        are_dialled(stage, one, other, "26").await;
        are_dialled(stage, other, one, "0*").await;
        heard_and_ended(stage, Talk { caller, called }, "audio").await?;
    }
    Ok(())
}

/// A carrier's offer with digits.
fn with_events(text: &str) -> String {
    text.replace(" 8 0\r\n", " 8 0 101\r\n")
        .replace("a=ptime", "a=rtpmap:101 telephone-event/8000\r\na=ptime")
}

/// TC-MED-010.
async fn early_digits(stage: &Stage) -> Played {
    let voice = stage.voice_of_carrier().await?;
    let offer = with_events(&sdp::carrier_offer(voice.at, &[Codec::Pcma, Codec::Pcmu]));
    let mut caller = stage.carrier_offers(USER, voice, offer, |_| {})?;
    let mut called = stage.teams_is_called().await?;
    let answer = called.answer(Codec::Pcma);
    called
        .leg
        .respond(183, "Session Progress", Some(answer.clone()), &[])?;
    let early = caller.leg.hears(183, PATIENCE).await?;
    caller.hears_of(&early.message)?;
    are_dialled(stage, &caller.voice, &called.voice, "147").await;
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let talk = Talk { caller, called }.established().await?;
    heard_and_ended(stage, talk, "audio").await
}

/// TC-MED-014: the rules for descriptions are asked of every case; here are changes that a version must follow.
async fn versions(stage: &Stage) -> Played {
    let mut talk = stage.from_teams().await?;
    for (version, direction) in [(1, "a=inactive"), (2, "a=sendrecv"), (2, "a=sendrecv")] {
        let (mut caller, mut called) = talk.ends();
        let offer = caller.describes(version, direction);
        stage.one_changes(&mut caller, &mut called, offer).await?;
    }
    talk.caller_ends().await
}

/// TC-MED-015.
async fn the_same_number_twice(stage: &Stage) -> Played {
    let voice = stage.voice_of_carrier().await?;
    let offer = with_events(&sdp::carrier_offer(voice.at, &[Codec::Pcma, Codec::Pcmu]));
    let offer = offer.replace(" 8 0 101\r\n", " 8 0 101 101\r\n");
    let caller = stage.carrier_offers(USER, voice, offer, |_| {})?;
    let called = stage.teams_is_called().await.rule("TDR-ERR-013")?;
    let mut numbers: Vec<u8> = called
        .offer
        .formats
        .iter()
        .map(|format| format.payload_type)
        .collect();
    let count = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    stage.check("TDR-ERR-013", numbers.len() == count, || {
        "Teams is offered a payload type twice".to_owned()
    });
    let talk = stage.answered(caller, called).await?;
    heard_and_ended(stage, talk, "audio").await
}

/// TC-MED-017.
async fn fax(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    // It takes a while until a machine knows that it has met another one.
    talk.lasts(Duration::from_secs(4)).await;
    let at = talk.caller.voice.at;
    let offer = format!(
        "v=0\r\no=- 1 2 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=image {1} udptl t38\r\n\
         a=T38FaxVersion:0\r\na=T38FaxRateManagement:transferredTCF\r\n",
        at.ip(),
        at.port()
    );
    let answer = talk.caller.leg.ask("INVITE", &[], Some(offer)).await;
    let answer = answer.rule("TDR-MED-026")?;
    stage.check("TDR-MED-026", answer.status() == Some(488), || {
        format!("T.38 got {}", answer.title())
    });
    let invites = stage.tape.requests(Side::Teams, "INVITE").len();
    stage.check("TDR-MED-026", invites == 1, || {
        "Teams is asked for T.38".to_owned()
    });
    heard_and_ended(stage, talk, "TDR-MED-026").await
}

/// TC-MED-018.
async fn video(stage: &Stage) -> Played {
    let voice = stage.voice_of_carrier().await?;
    let port = voice.at.port();
    let offer = sdp::carrier_offer(voice.at, &[Codec::Pcma, Codec::Pcmu])
        + &format!("m=video {port} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n");
    let mut caller = stage.carrier_offers(USER, voice, offer, |_| {})?;
    let mut called = stage.teams_is_called().await.rule("TDR-MED-026")?;
    let videos = lines(called.invite()?, "m=video");
    stage.check("TDR-MED-026", videos.is_empty(), || {
        "Teams is offered video".to_owned()
    });
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let answer = caller.is_answered().await.rule("TDR-MED-026")?;
    called.leg.acknowledged().await?;
    let videos = lines(&answer, "m=video");
    let is_refused = videos.len() == 1 && videos[0].starts_with("m=video 0 ");
    stage.check("TDR-MED-026", is_refused, || {
        format!("video is answered with {videos:?}")
    });
    heard_and_ended(stage, Talk { caller, called }, "audio").await
}

/// TC-MED-019.
async fn another_source(stage: &Stage) -> Played {
    let (talk, _) = offered(stage, str::to_owned).await?;
    talk.caller.voice.plays(crate::certify::ladder::TONES.0);
    talk.lasts(Duration::from_millis(500)).await;
    talk.caller.voice.changes_source();
    heard_and_ended(stage, talk, "TDR-MED-008").await
}

/// TC-MED-021.
async fn audio_elsewhere(stage: &Stage) -> Played {
    let voice = stage.voice_of_teams_elsewhere().await?;
    let (talk, _) = offered_by(stage, voice, str::to_owned).await?;
    heard_and_ended(stage, talk, "TDR-MED-043").await
}

/// TC-MED-022: a client of Teams knows both, and has a full agent of ICE.
async fn with_fingerprint(stage: &Stage) -> Played {
    let rule = "TDR-MED-006";
    let voice = stage.voice_of_teams().await?;
    let lines_of_agent = of_client(&voice, "")?;
    let change = |text: &str| format!("{text}{lines_of_agent}{FINGERPRINT}");
    let (talk, answer) = offered_by(stage, voice, change).await.rule(rule)?;
    let prints = lines(&answer, "a=fingerprint");
    stage.check(rule, prints.is_empty(), || {
        "DTLS is answered where SDES was offered, too".to_owned()
    });
    meet(stage, &talk.caller.voice, &answer).await?;
    heard_and_ended(stage, talk, rule).await
}

/// TC-MED-024: a twentieth, which is dropped and counted; and then two thirds, which an operator hears of. The call
/// goes on.
async fn some_forged(stage: &Stage) -> Played {
    let rule = "TDR-MON-003";
    let (talk, _) = offered(stage, str::to_owned).await?;
    // Between them the tone goes on for longer than it is listened to.
    talk.caller.voice.spoils_two_of(40);
    stage.hear_each_other(&talk).await.rule(rule)?;
    let missed = talk
        .called
        .voice
        .misses_within(Duration::from_secs(4))
        .await;
    stage.check(rule, missed > 0.02, || {
        format!("of packets of which a twentieth is forged {missed:.3} are dropped")
    });
    let labels = ["reason=\"authentication\""];
    stage.counts(rule, "sbc_rtp_dropped_total", &labels).await;
    talk.caller.voice.spoils_two_of(3);
    let labels = ["kind=\"decrypt_failures\"", "trunk=\"teams\""];
    stage.counts(rule, "sbc_rtp_one_way_total", &labels).await;
    talk.caller.voice.spoils_two_of(1_000);
    heard_and_ended(stage, talk, rule).await
}

/// TC-MED-025.
async fn plain_offer(stage: &Stage) -> Played {
    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    let invite = called.invite()?;
    let keys = lines(invite, "a=crypto:");
    let is_usual = keys.len() == 1 && keys[0].contains(" AES_CM_128_HMAC_SHA1_80 ");
    stage.check("TDR-MED-005", is_usual, || {
        format!(
            "{} keys are offered, wanted one of the usual suite",
            keys.len()
        )
    });
    let has_index = keys.iter().any(|key| key.matches('|').count() > 1);
    stage.check("TDR-MED-002", !has_index, || {
        "a key is offered with MKI".to_owned()
    });
    let extended = lines(invite, "a=rtcp-xr");
    stage.check("TDR-MED-041", extended.is_empty(), || {
        "RTCP XR is offered".to_owned()
    });
    let g729 = lines(invite, "a=rtpmap:18 ");
    let is_plain = g729.is_empty() || invite.body().contains("annexb=no");
    stage.check("TDR-MED-027", is_plain, || {
        "G.729 is offered with annex B".to_owned()
    });
    called.leg.respond(486, "Busy Here", None, &[])?;
    called.leg.acknowledged_failure().await?;
    caller.is_refused().await.map(std::mem::drop)
}
