//! INB: calls that Teams refuses, and what becomes of the reason.

use crate::certify::case::{Case, PATIENCE, Played, breaks, case};
use crate::certify::evidence::Side;
use crate::certify::follows;
use crate::certify::mutation::{Mutation, carrier, replace, teams, twice, without};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::peer::message::Message;
use serde_json::Value;

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-INB-016",
        |stage| Box::pin(refusals(stage)),
        &[
            breaks(
                "TDR-ERR-011",
                replace(
                    carrier("INVITE").statuses(400, 699),
                    "SIP/2.0 486",
                    "SIP/2.0 503",
                ),
            ),
            breaks(
                "TDR-ERR-011",
                without(carrier("INVITE").statuses(400, 699), "Reason"),
            ),
            // As one has it who takes every failure for one with that cause.
            breaks(
                "TDR-ERR-011",
                replace(carrier("INVITE").status(480), "cause=18", "cause=19"),
            ),
            breaks(
                "TDR-ERR-011",
                replace(carrier("INVITE").status(480), "cause=20", "cause=18"),
            ),
            breaks(
                "TDR-ERR-011",
                replace(carrier("INVITE").status(408), "cause=102", "cause=18"),
            ),
            breaks("TDR-DNS-004", twice(teams("INVITE"))).also(&[follows::STOPS]),
        ],
    ),
    case(
        "TC-INB-017",
        |stage| Box::pin(refusals_with_sub_codes(stage)),
        &[
            // Nobody else is asked.
            breaks("TDR-DNS-004", twice(teams("INVITE"))).also(&[follows::STOPS]),
            breaks(
                "TDR-ERR-011",
                replace(
                    carrier("INVITE").statuses(400, 699),
                    "SIP/2.0 404",
                    "SIP/2.0 500",
                ),
            ),
            breaks(
                "TDR-ERR-011",
                replace(
                    carrier("INVITE").statuses(400, 699),
                    "SIP/2.0 403",
                    "SIP/2.0 500",
                ),
            ),
            breaks("TDR-ERR-001", Mutation::Told("511404", "511000")),
            breaks("TDR-ERR-001", Mutation::Told("510532", "510000")),
        ],
    ),
    case(
        "TC-INB-027",
        |stage| Box::pin(wrong_numbers(stage)),
        &[
            // Nobody else is asked.
            breaks("TDR-DNS-004", twice(teams("INVITE"))).also(&[follows::STOPS]),
            breaks(
                "TDR-SIP-023",
                replace(
                    carrier("INVITE").statuses(400, 699),
                    "SIP/2.0 4",
                    "SIP/2.0 5",
                ),
            ),
            breaks("TDR-SIP-023", Mutation::Told(EXPLAINED[0], "no")),
            breaks("TDR-SIP-023", Mutation::Told(EXPLAINED[1], "no")),
        ],
    ),
    case(
        "TC-INB-028",
        |stage| Box::pin(name_used_twice(stage)),
        &[
            // Nobody else is asked.
            breaks("TDR-DNS-004", twice(teams("INVITE"))),
            breaks(
                "TDR-MT-003",
                replace(carrier("INVITE").status(480), "SIP/2.0 480", "SIP/2.0 503"),
            ),
            breaks("TDR-MT-003", Mutation::Told(ELSEWHERE, "somebody")),
        ],
    ),
];

/// A call that Teams refuses; what the caller gets. Nobody else may be asked.
async fn refused(stage: &Stage, status: u16, reason: Option<&str>) -> Result<Message, Failure> {
    let before = stage.tape.requests(Side::Teams, "INVITE").len();
    let mut caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    let reason: Vec<_> = reason
        .iter()
        .map(|text| ("Reason", (*text).to_owned()))
        .collect();
    called.leg.respond(status, "Refused", None, &reason)?;
    called.leg.acknowledged_failure().await?;
    let answer = caller.is_refused().await;
    let asked = stage.tape.requests(Side::Teams, "INVITE").split_off(before);
    let hosts: Vec<&str> = asked.iter().map(|(_, peer, _)| peer.as_str()).collect();
    stage.check("TDR-DNS-004", hosts.len() == 1, || {
        format!("for a call that got {status} these were asked: {hosts:?}")
    });
    answer
}

/// The Q.850 value of a Reason.
fn cause_of(reason: &str) -> Option<u8> {
    let (_, value) = reason
        .split_once("cause=")
        .filter(|_| reason.starts_with("Q.850"))?;
    let digits = value.split(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok())
}

/// TC-INB-016: a cause of Teams that its status does not stand for stays (19, 20 and 31 of 480), too.
async fn refusals(stage: &Stage) -> Played {
    let told = [
        (486, 17),
        (603, 21),
        (480, 19),
        (480, 20),
        (480, 31),
        (408, 18),
        (408, 102),
    ];
    for (status, cause) in told {
        let reason = format!("Q.850;cause={cause};text=\"told by Teams\"");
        let answer = refused(stage, status, Some(&reason)).await?;
        let got = answer.status().unwrap_or_default();
        stage.check("TDR-ERR-011", got == status, || {
            format!("{status} became {got}")
        });
        let told = answer.line("Reason").unwrap_or_default();
        stage.check("TDR-ERR-011", cause_of(told) == Some(cause), || {
            format!("{status}: Reason is \"{told}\", wanted cause={cause}")
        });
    }
    // Where Teams gives no cause, the status stands for one (RFC 3398 §8.2.6.1).
    for (status, cause) in [(486, 17), (603, 21), (480, 18), (408, 102)] {
        let answer = refused(stage, status, None).await?;
        let got = answer.status().unwrap_or_default();
        stage.check("TDR-ERR-011", got == status, || {
            format!("{status} without a cause became {got}")
        });
        let told = answer.line("Reason").unwrap_or_default();
        stage.check("TDR-ERR-011", cause_of(told) == Some(cause), || {
            format!("{status} without a cause: Reason is \"{told}\", wanted cause={cause}")
        });
    }
    Ok(())
}

/// How Teams says why: a name of the call, and a phrase.
fn said(cause: u8, phrase: &str) -> String {
    format!(
        "Q.850;cause={cause};text=\"{};{phrase}\"",
        crate::random::guid()
    )
}

/// TC-INB-017.
async fn refusals_with_sub_codes(stage: &Stage) -> Played {
    for (status, text) in [
        (404, said(1, "511404")),
        (403, said(63, "510532;No trunk config was found")),
    ] {
        let text = text.as_str();
        let answer = refused(stage, status, Some(text)).await?;
        let got = answer.status().unwrap_or_default();
        let is_right = got == status || status == 403 && got == 503;
        stage.check("TDR-ERR-011", is_right, || format!("{status} became {got}"));
    }
    if !stage.shows_operators("Microsoft's codes in its records") {
        return Ok(());
    }
    let has_codes = |told: &str| ["511404", "510532"].iter().all(|code| told.contains(code));
    let told = stage.ask_until("/calls/recent", PATIENCE, has_codes).await;
    stage.check("TDR-ERR-001", told.is_ok(), || {
        "the records lack the sub-codes of Teams".to_owned()
    });
    Ok(())
}

/// TC-INB-027.
async fn wrong_numbers(stage: &Stage) -> Played {
    for (status, cause, code, wanted) in [(412, 28, "510412", 484), (404, 1, "511404", 404)] {
        let reason = said(cause, code);
        let answer = refused(stage, status, Some(&reason)).await?;
        let got = answer.status().unwrap_or_default();
        stage.check("TDR-SIP-023", got == wanted, || {
            format!("{status} became {got}, wanted {wanted}")
        });
    }
    if !stage.shows_operators("how it explains refusals") {
        return Ok(());
    }
    for words in EXPLAINED {
        let is_it = |told: &str| told.contains(words);
        let told = stage.ask_until("/calls/recent", PATIENCE, is_it).await;
        stage.check("TDR-SIP-023", told.is_ok(), || {
            format!("no record says that {words}")
        });
    }
    Ok(())
}

/// What our records say of these sub-codes.
const EXPLAINED: [&str; 2] = [
    "the called number is malformed",
    "nobody in the tenant has the number",
];

/// Where a name of ours may be, too.
const ELSEWHERE: &str = "Azure Communication Services";

/// TC-INB-028.
async fn name_used_twice(stage: &Stage) -> Played {
    let reason = said(31, "No callee endpoints were found.");
    let answer = refused(stage, 480, Some(&reason)).await?;
    stage.check("TDR-MT-003", answer.status() == Some(480), || {
        format!("got {}", answer.title())
    });
    if !stage.shows_operators("how it explains a refusal") {
        return Ok(());
    }
    let told = stage
        .ask_until("/calls/recent", PATIENCE, |told| told != "[]")
        .await;
    let records: Vec<Value> = serde_json::from_str(&told.unwrap_or_default()).unwrap_or_default();
    let id = records.first().and_then(|record| record["call"].as_str());
    let id = id.ok_or_else(|| Failure::new("TDR-MT-003", "there is no record"))?;
    let told = stage.ask(&format!("/calls/{id}")).await?;
    stage.check("TDR-MT-003", told.contains(ELSEWHERE), || {
        format!("no hint that the name may be used twice: {told}")
    });
    Ok(())
}
