//! MID: hold and changes within a call.

use super::bypass::{client_talks, meet, of_client};
use super::inbound::TEAMS;
use crate::certify::case::{Case, PATIENCE, Played, Step, breaks, case};
use crate::certify::change::{End, SETTLED, again, direction};
use crate::certify::evidence::Side;
use crate::certify::follows;
use crate::certify::ladder::{TONES, Talk};
use crate::certify::mutation::{
    Mutation, Warp, again as another, as_method, bye_after, carrier, drop, drop_after, replace,
    rewrite, teams, then,
};
use crate::certify::stage::Stage;
use crate::certify::times::Times;
use crate::certify::verdict::Failure;
use crate::certify::whole::Whole;
use crate::certify::word;
use crate::media::sdp;
use crate::media::secure::Key;
use crate::media::tone::Codec;
use crate::peer::message::uri_text;
use std::collections::BTreeSet;
use std::time::Duration;

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-MID-001",
        |stage| Box::pin(teams_holds(stage)),
        &[
            breaks(
                "TDR-HLD-003",
                replace(
                    teams("INVITE").status(200).inside(),
                    "a=inactive",
                    "a=sendrecv",
                ),
            )
            .also(&[follows::UNREAD]),
            breaks("TDR-HLD-002", drop(teams("INVITE").status(200).inside())),
            breaks(
                "TDR-HLD-002",
                replace(
                    teams("INVITE").status(200).inside(),
                    "a=sendrecv",
                    "a=inactive",
                ),
            )
            .also(&[follows::UNREAD]),
            breaks(
                "TDR-HLD-003",
                rewrite(carrier("INVITE").inside(), with_no_port),
            )
            .also(&[(
                "TDR-HLD-002",
                "who is held by no port is not there to be resumed",
            )]),
            breaks("TDR-HLD-003", Mutation::Media(Warp::NoRtcp)).also(&[follows::REPORTS]),
            breaks("TDR-HLD-002", Mutation::CarrierMedia(Warp::Late)),
        ],
    ),
    case(
        "TC-MID-002",
        |stage| Box::pin(carrier_holds(stage)),
        &[
            breaks(
                "TDR-HLD-001",
                replace(teams("INVITE").inside(), "a=inactive", "a=sendonly"),
            )
            .also(&[follows::UNREAD]),
            breaks(
                "TDR-HLD-001",
                rewrite(carrier("INVITE").status(200).inside(), with_both_ways),
            ),
            breaks(
                "TDR-HLD-001",
                replace(
                    carrier("INVITE").status(200).inside(),
                    "a=sendrecv",
                    "a=inactive",
                ),
            ),
        ],
    ),
    case(
        "TC-MID-003",
        |stage| Box::pin(carrier_holds_with_zeros(stage)),
        &[
            breaks(
                "TDR-HLD-001",
                replace(teams("INVITE").inside(), "a=inactive", "a=recvonly"),
            )
            .also(&[follows::UNREAD]),
            breaks(
                "TDR-HLD-001",
                rewrite(teams("INVITE").inside(), without_address),
            )
            .also(&[follows::UNREAD, follows::MOVED, follows::UNHEARD]),
        ],
    ),
    case(
        "TC-MID-004",
        |stage| Box::pin(music_of_teams(stage)),
        &[
            breaks(
                "TDR-MED-007",
                replace(teams("INVITE").status(200).inside(), "inline:", "inline:+"),
            )
            .also(&[follows::QUIET]),
            breaks("TDR-MED-007", Mutation::CarrierMedia(Warp::Stuck)),
            breaks("TDR-HLD-002", drop(teams("INVITE").status(200).inside())).also(&[(
                "TDR-MED-007",
                "who is not told where media are now hears nothing",
            )]),
        ],
    ),
    case(
        "TC-MID-005",
        |stage| Box::pin(another_key(stage)),
        &[
            breaks(
                "TDR-MED-007",
                replace(teams("INVITE").status(200).inside(), "inline:", "inline:+"),
            )
            .also(&[follows::QUIET, follows::UNREAD]),
            breaks("TDR-MED-007", drop(teams("INVITE").status(200).inside())),
            // It is agreed, and packets are not of that key.
            breaks(
                "TDR-MED-007",
                rewrite(teams("INVITE").status(200).inside(), with_another_key),
            )
            .also(&[follows::UNPROVEN, follows::QUIET, follows::UNREAD]),
        ],
    ),
    case(
        "TC-MID-006",
        |stage| Box::pin(the_same_key(stage)),
        &[
            breaks(
                "TDR-MED-007",
                replace(teams("INVITE").status(200).inside(), "inline:", "inline:+"),
            )
            .also(&[follows::QUIET, follows::UNREAD]),
            breaks("TDR-MED-007", Mutation::CarrierMedia(Warp::Holes)),
            breaks("TDR-MED-007", Mutation::Media(Warp::Glitch)),
            breaks("TDR-MED-007", Mutation::Media(Warp::Anew)),
            breaks("TDR-MED-007", Mutation::CarrierMedia(Warp::Anew)),
        ],
    ),
    case(
        "TC-MID-007",
        |stage| Box::pin(group_call(stage)),
        &[
            breaks(
                "TDR-HLD-007",
                replace(teams("INVITE").status(200).inside(), "200 OK", "488 No"),
            ),
            breaks(
                "TDR-HLD-007",
                replace(teams("INVITE").status(200).inside(), "inline:", "inline:+"),
            )
            .also(&[follows::QUIET]),
        ],
    ),
    case(
        "TC-MID-008",
        |stage| Box::pin(conference(stage)),
        &[
            breaks(
                "TDR-HLD-007",
                replace(teams("INVITE").status(200).inside(), "200 OK", "488 No"),
            ),
            breaks("TDR-HLD-007", Mutation::CarrierMedia(Warp::Stuck)),
            breaks(
                "TDR-HLD-007",
                then(carrier("INVITE").status(200), bye_after),
            ),
        ],
    ),
    case(
        "TC-MID-009",
        |stage| Box::pin(carrier_asks(stage)),
        &[
            breaks(
                "TDR-TMR-003",
                then(teams("ACK"), |ack| as_method(ack, "UPDATE")),
            )
            .also(&[follows::UNKNOWN, follows::UNKNOWN_METHOD]),
            breaks(
                "TDR-SIP-001",
                then(teams("ACK"), |ack| as_method(ack, "INFO")),
            )
            .also(&[follows::UNKNOWN]),
            breaks("TDR-TMR-003", drop(carrier("INVITE").status(200).inside())),
            breaks(
                "TDR-TMR-003",
                then(teams("ACK"), |ack| as_method(ack, "INVITE")),
            )
            .also(&follows::OFFERED_ANEW),
            breaks(
                "TDR-TMR-003",
                replace(carrier("UPDATE").status(200), "200 OK", "500 No"),
            ),
        ],
    ),
    case(
        "TC-MID-010",
        |stage| Box::pin(carrier_moves(stage)),
        &[
            breaks("TDR-HLD-005", drop(carrier("INVITE").status(200).inside())),
            breaks(
                "TDR-HLD-005",
                replace(
                    carrier("INVITE").status(200).inside(),
                    "m=audio 2",
                    "m=audio 3",
                ),
            ),
            breaks(
                "TDR-HLD-005",
                then(teams("INVITE").first(), |text| {
                    another(text).replace("m=audio 2", "m=audio 3")
                }),
            )
            .also(&[follows::UNREAD, follows::MOVED]),
        ],
    ),
    case(
        "TC-MID-011",
        |stage| Box::pin(both_at_once(stage)),
        &[
            breaks(
                "TDR-HLD-006",
                replace(teams("INVITE").status(491), "SIP/2.0 491", "SIP/2.0 500"),
            ),
            breaks(
                "TDR-HLD-006",
                replace(teams("INVITE").inside(), "a=inactive", "a=sendonly"),
            )
            .also(&[follows::UNREAD]),
        ],
    ),
    case(
        "TC-MID-015",
        |stage| Box::pin(silent_on_hold(stage)),
        &[
            breaks("TDR-HLD-003", Mutation::Media(Warp::NoRtcp)).also(&[follows::REPORTS]),
            breaks(
                "TDR-HLD-003",
                replace(carrier("INVITE").inside(), "a=inactive", "a=sendrecv"),
            ),
            breaks(
                "TDR-HLD-003",
                then(teams("INVITE").status(200).inside(), bye_after),
            )
            .also(&[follows::AWAY, follows::AWAY_AT_PEER, follows::NO_HOPS]),
            breaks("TDR-HLD-002", drop(teams("INVITE").status(200).inside())),
            breaks("TDR-HLD-003", Mutation::Media(Warp::Murmurs)),
            breaks(
                "TDR-HLD-002",
                rewrite(teams("INVITE").status(200).inside(), with_wrong_key_after),
            )
            .also(&[follows::QUIET]),
            breaks(
                "TDR-HLD-003",
                replace(
                    teams("INVITE").status(200).inside(),
                    "a=inactive",
                    "a=recvonly",
                ),
            )
            .also(&[follows::UNREAD]),
            breaks(
                "TDR-HLD-002",
                drop_after(teams("INVITE").status(200).inside(), 1),
            ),
            breaks(
                "TDR-HLD-002",
                replace(
                    teams("INVITE").status(200).inside(),
                    "a=sendrecv",
                    "a=recvonly",
                ),
            )
            .also(&[follows::UNREAD]),
        ],
    )
    .with(|setting| setting.is(word::SILENCE)),
    case(
        "TC-MID-016",
        |stage| Box::pin(another_target(stage)),
        &[breaks(
            "TDR-SIP-041",
            replace(teams("BYE"), "x-c=moved", "x-c=stayed"),
        )
        .also(&[follows::AWAY, follows::AWAY_AT_PEER])],
    ),
    case(
        "TC-MID-017",
        |stage| Box::pin(parked(stage)),
        &[
            breaks(
                "audio",
                replace(teams("INVITE").status(200).inside(), "inline:", "inline:+"),
            )
            .also(&[
                follows::QUIET,
                (
                    "TDR-HLD-003",
                    "who is not heard after it was not held as wanted",
                ),
            ]),
            breaks(
                "TDR-HLD-003",
                replace(
                    teams("INVITE").status(200).inside(),
                    "a=inactive",
                    "a=sendrecv",
                ),
            )
            .also(&[follows::UNREAD]),
            breaks(
                "TDR-SIP-041",
                replace(teams("BYE"), "x-c=moved", "x-c=stayed"),
            )
            .also(&[follows::AWAY, follows::AWAY_AT_PEER]),
            breaks(
                "TDR-ICE-012",
                rewrite(
                    teams("INVITE").status(200).inside(),
                    with_wrong_key_on_bypass,
                ),
            )
            .also(&[follows::QUIET]),
        ],
    ),
];

const SENDRECV: &str = "a=sendrecv";
const INACTIVE: &str = "a=inactive";
/// Packets that were on their way when a stream was held.
const ON_THE_WAY: u64 = 5;
/// How long it is listened whether a held stream is silent.
const WHILE: Duration = Duration::from_secs(10);
/// A Contact that Teams changes to.
const MOVED: &str = "<sip:api-du-b.pstnhub.example:443;x-i=other;x-c=moved/d/8/1>";

/// A hold of nobody: no port.
fn with_no_port(text: &str) -> String {
    let lines = text
        .split("\r\n")
        .map(|line| match line.strip_prefix("m=audio ") {
            Some(rest) => {
                let (_, rest) = rest.split_once(' ').unwrap_or(("", rest));
                format!("m=audio 0 {rest}")
            }
            None => line.to_owned(),
        });
    lines.collect::<Vec<_>>().join("\r\n")
}

/// Audio both ways, whatever was agreed.
fn with_both_ways(text: &str) -> String {
    ["a=recvonly", "a=inactive"]
        .iter()
        .fold(text.to_owned(), |text, line| text.replace(line, SENDRECV))
}

/// Teams holds: it is answered so and hears nothing then but reports. What the carrier is told of it is a hold.
async fn is_held(stage: &Stage, talk: &mut Talk, version: u32) -> Played {
    let rule = "TDR-HLD-003";
    let before = stage.tape.requests(Side::Carrier, "INVITE").len();
    let (mut caller, mut called) = talk.ends();
    let held = caller.describes(version, INACTIVE) + &caller.voice.lines_of_client();
    let answer = stage.one_changes(&mut caller, &mut called, held).await;
    let answer = answer.rule("TDR-HLD-002")?;
    stage.check(rule, direction(&answer) == INACTIVE, || {
        format!("the answer to inactive is {}", direction(&answer))
    });
    let told = stage
        .tape
        .requests(Side::Carrier, "INVITE")
        .split_off(before);
    for (_, _, offer) in told {
        let direction = direction(&offer);
        let port = sdp::read(&offer.body()).map(|media| media.rtp.port());
        let is_hold = matches!(direction, INACTIVE | "a=sendonly") && port.is_ok_and(|at| at != 0);
        stage.check(rule, is_hold, || {
            format!(
                "the carrier is told {direction} at port {:?}",
                sdp::read(&offer.body()).map(|media| media.rtp.port())
            )
        });
    }
    let reports = caller.voice.heard().reports;
    let heard = caller.voice.hears_within(WHILE).await;
    stage.check(rule, heard <= ON_THE_WAY, || {
        format!("{heard} packets with audio within {WHILE:?} of hold")
    });
    let now = caller.voice.heard();
    let is_alive = now.reports > reports || stage.kit.network.is_some();
    stage.check(rule, is_alive, || {
        format!("no report within {WHILE:?} of hold")
    });
    Ok(())
}

/// Teams resumes, and audio is back after so long.
async fn is_resumed(stage: &Stage, talk: &mut Talk, version: u32) -> Result<Duration, Failure> {
    let (mut caller, mut called) = talk.ends();
    for voice in [&caller.voice, &called.voice] {
        voice.plays(TONES.0);
    }
    let resumed = caller.describes(version, SENDRECV);
    let earlier = [caller.voice.heard().audio, called.voice.heard().audio];
    let began = tokio::time::Instant::now();
    let back = [caller.voice.ear(), called.voice.ear()];
    let returns = async {
        loop {
            let now = back.each_ref().map(|ear| ear.heard().audio);
            let is_back = now
                .iter()
                .zip(earlier)
                .all(|(now, before)| *now > before + ON_THE_WAY);
            if is_back || began.elapsed() > PATIENCE {
                return began.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (answer, took) = tokio::join!(
        stage.one_changes(&mut caller, &mut called, resumed),
        returns
    );
    let answer = answer.rule("TDR-HLD-002")?;
    stage.check("TDR-HLD-002", direction(&answer) == SENDRECV, || {
        format!("the answer to sendrecv is {}", direction(&answer))
    });
    stage.hear_each_other(talk).await.rule("TDR-HLD-002")?;
    // Packets that were waited for took their time, too.
    Ok(took.saturating_sub(PTIME * ON_THE_WAY as u32))
}

/// TC-MID-001.
async fn teams_holds(stage: &Stage) -> Played {
    let mut talk = stage.from_teams().await?;
    let (mut times, mut version) = (Times::new(RETURNS, ROUNDS), 0);
    while !times.are_decided() {
        is_held(stage, &mut talk, version + 1).await?;
        version += 2;
        times.took(is_resumed(stage, &mut talk, version).await?);
    }
    times.are_kept(stage, "TDR-HLD-002", "audio is back");
    talk.caller_ends().await
}

/// How often Teams holds, and how soon audio must be back most times.
const ROUNDS: usize = 3;
const RETURNS: Duration = Duration::from_millis(500);
const PTIME: Duration = Duration::from_millis(20);

/// The carrier holds in its way and resumes; Teams, if it is told, is told inactive, and where
/// audio really goes.
async fn held_by_carrier(stage: &Stage, hold: impl Fn(&End<'_>) -> String) -> Played {
    let mut talk = stage.to_teams().await?;
    let (mut caller, mut called) = talk.ends();
    let held = hold(&caller);
    let answer = caller.offers(held).await.rule("TDR-HLD-001")?;
    let is_agreed = matches!(direction(&answer), INACTIVE | "a=recvonly");
    stage.check("TDR-HLD-001", is_agreed, || {
        format!("the carrier's hold is answered with {}", direction(&answer))
    });
    if let Some(offer) = called.may_be_offered(SETTLED).await? {
        stage.check("TDR-HLD-001", direction(&offer) == INACTIVE, || {
            format!("Teams is told {}, wanted inactive", direction(&offer))
        });
        let at = sdp::read(&offer.body()).map(|media| media.rtp.ip());
        stage.check("TDR-HLD-001", at == Ok(stage.teams_side.ip()), || {
            format!("Teams is told that audio is at {at:?}")
        });
    }
    let resumed = caller.describes(2, SENDRECV);
    let answer = caller.offers(resumed).await.rule("TDR-HLD-001")?;
    stage.check("TDR-HLD-001", direction(&answer) == SENDRECV, || {
        format!("its end is answered with {}", direction(&answer))
    });
    called.may_be_offered(SETTLED).await?;
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await
}

/// TC-MID-002.
async fn carrier_holds(stage: &Stage) -> Played {
    held_by_carrier(stage, |caller| caller.describes(1, "a=sendonly")).await
}

/// TC-MID-003.
async fn carrier_holds_with_zeros(stage: &Stage) -> Played {
    held_by_carrier(stage, |caller| {
        without_address(&caller.describes(1, SENDRECV))
    })
    .await
}

/// Hold as RFC 2543 had it.
fn without_address(text: &str) -> String {
    let lines = text.split("\r\n").map(|line| match line.starts_with("c=") {
        true => "c=IN IP4 0.0.0.0",
        false => line,
    });
    lines.collect::<Vec<_>>().join("\r\n")
}

/// Teams goes on with another machine's audio, which has candidates of its own where a client had some; `rule` is
/// broken if it is not heard.
async fn moves_to_machine(
    stage: &Stage,
    one: &mut End<'_>,
    other: &mut End<'_>,
    version: u32,
    rule: &str,
) -> Played {
    let is_checked = !one.voice.lines_of_client().is_empty();
    one.continues_with(stage.voice_of_teams().await?);
    let offer = one.describes(version, SENDRECV);
    let offer = match is_checked {
        true => of_client(one.voice, &offer)?,
        false => offer,
    };
    let answer = stage.one_changes(one, other, offer).await.rule(rule)?;
    if is_checked {
        meet(stage, one.voice, &answer).await.rule(rule)?;
    }
    stage
        .voices_hear_each_other(one.voice, other.voice)
        .await
        .rule(rule)?;
    // What it plays is another tone than what was heard before.
    one.voice.plays(MUSIC);
    let is_heard = match other.voice.waits_for(MUSIC, PATIENCE).await {
        true => Ok(()),
        false => Err(Failure::new(rule, "the machine of Teams is not heard")),
    };
    is_heard.rule(rule)
}

/// What a machine of Teams plays.
const MUSIC: f64 = 811.3;

/// TC-MID-004.
async fn music_of_teams(stage: &Stage) -> Played {
    // Packets were counted through, so that the new stream begins with another count.
    let mut talk = counted_through(stage).await?;
    let (mut caller, mut called) = talk.ends();
    let moved = moves_to_machine(stage, &mut caller, &mut called, 1, "TDR-MED-007").await;
    let said = stage.tape.of_subject(Side::Teams).into_iter();
    let agreed: BTreeSet<u32> = said
        .filter(|(_, _, message)| message.status() == Some(200))
        .filter_map(|(_, _, message)| {
            let (number, method) = message.cseq()?;
            (method == "INVITE").then_some(number)
        })
        .collect();
    stage.check("TDR-HLD-002", agreed.len() > 1, || {
        "the call to a machine of Teams is not agreed to".to_owned()
    });
    moved?;
    talk.caller_ends().await
}

/// A call from Teams whose packets have been counted through once.
async fn counted_through(stage: &Stage) -> Result<Talk, Failure> {
    let caller = stage.teams_dials().await?;
    caller.voice.begins_at(u16::MAX - 20);
    let called = stage.carrier_is_called().await?;
    let talk = stage.answered(caller, called).await?;
    let began = tokio::time::Instant::now();
    while talk.caller.voice.sequence() > 0x8000 && began.elapsed() < PATIENCE {
        talk.lasts(Duration::from_millis(20)).await;
    }
    stage.hear_each_other(&talk).await?;
    Ok(talk)
}

/// With another key than the subject has.
fn with_another_key(text: &str) -> String {
    let Some((before, after)) = text.split_once("inline:") else {
        return text.to_owned();
    };
    let rest = after.get(40..).unwrap_or_default();
    format!("{before}inline:{}{rest}", Key::random().text())
}

/// TC-MID-005.
async fn another_key(stage: &Stage) -> Played {
    let mut talk = counted_through(stage).await?;
    let (mut caller, mut called) = talk.ends();
    caller.voice.rekeys();
    let offer = caller.describes(1, SENDRECV);
    let changed = stage.one_changes(&mut caller, &mut called, offer).await;
    changed.rule("TDR-MED-007")?;
    stage.hear_each_other(&talk).await.rule("TDR-MED-007")?;
    talk.caller_ends().await
}

/// TC-MID-006.
async fn the_same_key(stage: &Stage) -> Played {
    let mut talk = counted_through(stage).await?;
    let whole = Whole::begins(&talk).await;
    let (mut caller, mut called) = talk.ends();
    let offer = caller.describes(1, SENDRECV);
    let changed = stage.one_changes(&mut caller, &mut called, offer).await;
    changed.rule("TDR-MED-007")?;
    talk.lasts(Duration::from_secs(2)).await;
    whole.is_heard(stage, "TDR-MED-007", 0).await;
    stage.hear_each_other(&talk).await.rule("TDR-MED-007")?;
    talk.caller_ends().await
}

/// TC-MID-007: another machine, which has one codec only, and another than was spoken so far.
async fn group_call(stage: &Stage) -> Played {
    let mut talk = stage.from_teams().await?;
    let (mut caller, mut called) = talk.ends();
    caller.continues_with(stage.voice_of_teams().await?);
    let offer = sdp::teams_offer(caller.voice.at, &caller.voice.key);
    let offer = offer.replace("104 9 111 18 0 8 103 97 13 118 101", "0 101");
    let offer = again(&offer, 1, SENDRECV);
    let answer = stage.one_changes(&mut caller, &mut called, offer).await;
    let answer = answer.rule("TDR-HLD-007")?;
    let codec = sdp::read(&answer.body()).map(|media| media.codec());
    stage.check("TDR-HLD-007", codec == Ok(Some(Codec::Pcmu)), || {
        format!("answered with {codec:?}, PCMU was offered")
    });
    stage.hear_each_other(&talk).await.rule("TDR-HLD-007")?;
    talk.caller_ends().await
}

/// TC-MID-008: a third party joins, and the parties are merged; the carrier's leg stays.
async fn conference(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    let (mut caller, mut called) = talk.ends();
    for version in 1..=2 {
        moves_to_machine(stage, &mut called, &mut caller, version, "TDR-HLD-007").await?;
    }
    let is_ended = !stage.tape.requests(Side::Carrier, "BYE").is_empty();
    stage.check("TDR-HLD-007", !is_ended, || {
        "the carrier's call is ended".to_owned()
    });
    talk.caller_ends().await
}

/// TC-MID-009.
async fn carrier_asks(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    let (mut caller, _) = talk.ends();
    let timer = [
        ("Supported", "timer".to_owned()),
        ("Session-Expires", "1800;refresher=uac".to_owned()),
    ];
    let same = caller.describes(1, SENDRECV);
    let refreshed = caller.offers_with(same, &timer).await;
    refreshed.rule("TDR-TMR-003")?;
    for method in ["UPDATE", "INFO"] {
        let answer = caller.leg.ask(method, &timer, None).await;
        let answer = answer.rule("TDR-TMR-003")?;
        // A method that it does not have may be refused, but not passed on.
        let is_answered = matches!(answer.status(), Some(200 | 405 | 415 | 469 | 501));
        stage.check("TDR-TMR-003", is_answered, || {
            format!("{method} got {}", answer.title())
        });
    }
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await?;
    let invites = stage.tape.requests(Side::Teams, "INVITE").len();
    stage.check("TDR-TMR-003", invites == 1, || {
        "a refresh of the carrier is passed on to Teams".to_owned()
    });
    for (method, rule) in [("UPDATE", "TDR-TMR-003"), ("INFO", "TDR-SIP-001")] {
        let is_kept = stage.tape.requests(Side::Teams, method).is_empty();
        stage.check(rule, is_kept, || format!("Teams gets {method}"));
    }
    Ok(())
}

/// TC-MID-010.
async fn carrier_moves(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    let (mut caller, mut called) = talk.ends();
    caller.continues_with(stage.voice_of_carrier().await?);
    let offer = caller.describes(1, SENDRECV);
    let changed = stage.one_changes(&mut caller, &mut called, offer).await;
    changed.rule("TDR-HLD-005")?;
    stage.hear_each_other(&talk).await.rule("TDR-HLD-005")?;
    talk.caller_ends().await?;
    let invites = stage.tape.requests(Side::Teams, "INVITE");
    let mut places: Vec<_> = invites
        .iter()
        .map(|(_, _, invite)| sdp::read(&invite.body()))
        .collect();
    places.dedup();
    stage.check("TDR-HLD-005", places.len() == 1, || {
        format!("Teams is told {} descriptions of audio", places.len())
    });
    Ok(())
}

/// TC-MID-011: Teams is told of a hold while it holds itself.
async fn both_at_once(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    let (mut caller, mut called) = talk.ends();
    let held = caller.describes(1, "a=sendonly");
    caller.offers(held).await?;
    let crossing = called.leg.asked("INVITE", PATIENCE).await?;
    let own = called.describes(1, INACTIVE);
    let answer = called.leg.ask("INVITE", &[], Some(own)).await;
    let answer = answer.rule("TDR-HLD-006")?;
    stage.check("TDR-HLD-006", answer.status() == Some(491), || {
        format!("a crossing re-INVITE got {}", answer.title())
    });
    called.leg.answer(&crossing, 491, "Request Pending", None)?;
    called
        .leg
        .asked("ACK", PATIENCE)
        .await
        .rule("TDR-HLD-006")?;
    // Whoever chose the Call-ID waits 2.1 to 4 s (RFC 3261 §14.1).
    let once_more = called.is_offered().await.rule("TDR-HLD-006")?;
    stage.check("TDR-HLD-006", direction(&once_more) == INACTIVE, || {
        format!("the repeated offer is {}", direction(&once_more))
    });
    let resumed = caller.describes(2, SENDRECV);
    caller.offers(resumed).await?;
    called.is_offered().await?;
    stage.hear_each_other(&talk).await.rule("TDR-HLD-006")?;
    talk.caller_ends().await
}

/// TC-MID-015: on hold for several times what silence ends a call after.
async fn silent_on_hold(stage: &Stage) -> Played {
    let mut talk = stage.from_teams().await?;
    is_held(stage, &mut talk, 1).await?;
    talk.caller.voice.hushes();
    talk.called.voice.hushes();
    let seconds = stage.size("seconds of hold, where 3 s of silence end a call", 6, 600);
    let silence = Duration::from_secs(u64::from(seconds));
    let (teams, carrier) = tokio::join!(
        talk.caller.leg.asked("BYE", silence),
        talk.called.leg.asked("BYE", silence)
    );
    stage.check("TDR-HLD-003", teams.is_err() && carrier.is_err(), || {
        "silence on hold ends the call".to_owned()
    });
    is_resumed(stage, &mut talk, 2).await?;
    talk.caller_ends().await
}

/// The trunk of Teams with media bypass.
pub(super) const BYPASS: &str = "preset = \"teams\"\nmedia_bypass = true\n";

/// Another key in what ends a hold.
fn with_wrong_key_after(answer: &str) -> String {
    match answer.contains(SENDRECV) {
        true => answer.replace("inline:", "inline:+"),
        false => answer.to_owned(),
    }
}

/// Another key in what a trunk with bypass agrees to within a call that is not held.
fn with_wrong_key_on_bypass(answer: &str) -> String {
    match answer.contains("a=ice-lite") && answer.contains(SENDRECV) {
        true => answer.replace("inline:", "inline:+"),
        false => answer.to_owned(),
    }
}

/// Teams is elsewhere from now on, and the subject's BYE goes there.
async fn ends_elsewhere(stage: &Stage, talk: &mut Talk) -> Played {
    talk.called_ends().await?;
    for (_, _, bye) in stage.tape.requests(Side::Teams, "BYE") {
        stage.check("TDR-SIP-041", bye.uri_text() == uri_text(MOVED), || {
            format!("BYE goes to {}", bye.uri_text())
        });
    }
    Ok(())
}

/// TC-MID-016.
async fn another_target(stage: &Stage) -> Played {
    let mut talk = stage.from_teams().await?;
    let (mut caller, mut called) = talk.ends();
    caller.leg.moves_to(MOVED.to_owned());
    let same = caller.describes(1, SENDRECV);
    stage.one_changes(&mut caller, &mut called, same).await?;
    ends_elsewhere(stage, &mut talk).await
}

/// TC-MID-017: held, taken over by the machine that plays to the parked, retrieved by another user; without bypass,
/// and by a client with it, whose place the machine takes (TDR 4.8: parking never bypasses).
async fn parked(stage: &Stage) -> Played {
    let talk = stage.from_teams().await?;
    is_parked(stage, talk).await?;
    if stage.reconfigures(TEAMS, BYPASS).await? {
        let (talk, _) = client_talks(stage).await?;
        is_parked(stage, talk).await.rule("TDR-ICE-012")?;
    }
    Ok(())
}

/// One call is parked and retrieved.
async fn is_parked(stage: &Stage, mut talk: Talk) -> Played {
    is_held(stage, &mut talk, 1).await?;
    let (mut caller, mut called) = talk.ends();
    moves_to_machine(stage, &mut caller, &mut called, 2, "audio").await?;
    caller.leg.moves_to(MOVED.to_owned());
    moves_to_machine(stage, &mut caller, &mut called, 3, "audio").await?;
    ends_elsewhere(stage, &mut talk).await
}
