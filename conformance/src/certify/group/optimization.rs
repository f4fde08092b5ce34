//! LMO: local media optimization.
//!
//! The subject is the central SBC of a company, or the proxy in front of one in a branch (`proxy`). The
//! carriers' side is the inside.

mod proxy;

use super::bypass::{meet, of_client};
use crate::certify::case::{Case, Need, PATIENCE, Played, Step, breaks, case};
use crate::certify::follows;
use crate::certify::ladder::{Caller, Talk};
use crate::certify::mutation::{Mutation, Warp, replace, rewrite, teams};
use crate::certify::setting::{FQDN, OUTSIDE, PROXY, Setting};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::certify::word;
use crate::media::sdp;
use crate::media::tone::Codec;
use crate::peer::message::Message;
use serde_json::Value;
use std::net::IpAddr;
use std::path::Path;
use tokio::process::Command;

/// The rule of most cases: which address is told.
const RULE: &str = "TDR-LMO-010";

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-LMO-001",
        |stage| Box::pin(inside(stage)),
        &[
            breaks(RULE, rewrite(teams("INVITE").status(200), elsewhere))
                .also(&[follows::CANDIDATE, follows::UNHEARD]),
            breaks("audio", Mutation::Media(Warp::Silence)),
        ],
    )
    .needs(NEEDS)
    .with(central),
    case(
        "TC-LMO-002",
        |stage| Box::pin(outside(stage)),
        &[
            breaks(RULE, rewrite(teams("INVITE").status(200), elsewhere))
                .also(&[follows::CANDIDATE, follows::UNHEARD]),
        ],
    )
    .needs(NEEDS)
    .with(central),
    proxy::ALWAYS_INSIDE,
    proxy::ALWAYS_OUTSIDE,
    proxy::SAME_SITE,
    proxy::OTHER_SITE,
    proxy::GUESSED_RIGHT,
    proxy::GUESSED_WRONG,
    case(
        "TC-LMO-009",
        |stage| Box::pin(any_spelling(stage)),
        &[breaks(
            "TDR-LMO-001",
            rewrite(teams("INVITE").status(200), elsewhere),
        )
        .also(&[follows::CANDIDATE, follows::UNHEARD])],
    )
    .needs(NEEDS)
    .with(central),
    case(
        "TC-LMO-010",
        |stage| Box::pin(no_hint(stage)),
        &[
            breaks(RULE, rewrite(teams("INVITE").status(200), elsewhere))
                .also(&[follows::CANDIDATE, follows::UNHEARD]),
        ],
    )
    .needs(NEEDS)
    .with(central),
    case(
        "TC-LMO-011",
        |stage| Box::pin(other_case(stage)),
        &[
            breaks("TDR-LMO-001", Mutation::Told("case matters", "never mind")),
            breaks(
                "TDR-LMO-001",
                Mutation::Configuration("site = \"Vietnam\"", "site = \"vietnam\""),
            ),
        ],
    )
    .needs(NEEDS)
    .with(central),
    proxy::MUSIC,
    case(
        "TC-LMO-013",
        |stage| Box::pin(strange_name(stage)),
        &[
            breaks(
                RULE,
                replace(teams("INVITE").status(488), "SIP/2.0 488 ", "SIP/2.0 404 "),
            ),
            breaks(
                RULE,
                rewrite(teams("INVITE").status(488), |text| {
                    text.replacen("\r\n", "\r\nWarning: 399 here \"c=IN IP4 INSIDE\"\r\n", 1)
                }),
            ),
        ],
    )
    .needs(NEEDS)
    .with(central),
    proxy::ONLY_RINGING,
    case(
        "TC-LMO-015",
        |stage| Box::pin(flags(stage)),
        &[
            breaks("TDR-LMO-022", Mutation::Told("voicemail", "nowhere")),
            breaks(
                "TDR-LMO-022",
                Mutation::Told("a proxy does not need it", ""),
            ),
        ],
    )
    .needs(&[
        Need::Optimization,
        Need::Ours(
            "an export of Microsoft's gateways is looked over by a command of Causeway's own",
        ),
    ])
    .with(proxy::proxy),
    proxy::TRACE,
];

const NEEDS: &[Need] = &[Need::Optimization];

/// The subject is the only SBC of the company.
fn central(setting: &mut Setting) {
    setting.is(word::OPTIMIZATION);
}

/// A faulty subject: its address of the other side. The two end in 1 and 2.
fn elsewhere(text: &str) -> String {
    let other = |line: &str| match line.starts_with("c=IN IP4 ") {
        true if line.ends_with(".1") => format!("{}2", line.trim_end_matches('1')),
        true if line.ends_with(".2") => format!("{}1", line.trim_end_matches('2')),
        true | false => line.to_owned(),
    };
    let lines: Vec<String> = text.split("\r\n").map(other).collect();
    lines.join("\r\n")
}

/// What Teams says of a user.
type Lines = Vec<(&'static str, String)>;

fn lines(location: &str, path: &str) -> Lines {
    vec![
        ("X-MS-UserLocation", location.to_owned()),
        ("X-MS-MediaPath", path.to_owned()),
    ]
}

/// That a description of the subject tells this address and no other.
fn tells(stage: &Stage, rule: &str, message: &Message, wanted: IpAddr) {
    let body = message.body();
    let place = sdp::read(&body).map(|media| media.rtp.ip());
    let of_agent: Vec<&str> = body
        .lines()
        .filter(|line| line.starts_with("a=candidate:"))
        .filter_map(|line| line.split(' ').nth(4))
        .collect();
    let is_alone = of_agent.iter().all(|at| *at == wanted.to_string());
    stage.check(rule, place == Ok(wanted) && is_alone, || {
        format!("it tells of {place:?} and {of_agent:?}, wanted {wanted} alone")
    });
}

/// A client of Teams calls outside by the central SBC and talks; Teams says this of it. Its address must be
/// this.
async fn client_calls(stage: &Stage, lines: Lines, rule: &str, wanted: IpAddr) -> Played {
    let voice = stage.voice_of_teams().await?;
    let offer = of_client(&voice, &sdp::teams_offer(voice.at, &voice.key))?;
    let caller = stage
        .teams_offers(0, OUTSIDE, voice, offer, |parties| parties.extra = lines)
        .await?;
    let mut talk = answered(stage, caller, rule, wanted).await?;
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await
}

async fn answered(
    stage: &Stage,
    mut caller: Caller,
    rule: &str,
    wanted: IpAddr,
) -> Result<Talk, Failure> {
    let mut called = stage.carrier_is_called().await?;
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let answer = caller.is_answered().await?;
    called.leg.acknowledged().await?;
    tells(stage, rule, &answer, wanted);
    meet(stage, &caller.voice, &answer).await?;
    Ok(Talk { caller, called })
}

/// TC-LMO-001.
async fn inside(stage: &Stage) -> Played {
    let lines = lines("internal", FQDN);
    client_calls(stage, lines, RULE, stage.carrier_side.ip()).await
}

/// TC-LMO-002.
async fn outside(stage: &Stage) -> Played {
    let lines = lines("external", FQDN);
    client_calls(stage, lines, RULE, stage.teams_side.ip()).await
}

/// TC-LMO-009.
async fn any_spelling(stage: &Stage) -> Played {
    let lines = vec![
        (
            "x-ms-mediapath",
            format!("  {}  ", FQDN.to_ascii_uppercase()),
        ),
        ("X-Ms-UserSITE", "Vietnam".to_owned()),
        ("X-Ms-UserLocation", " INTERNAL".to_owned()),
    ];
    client_calls(stage, lines, "TDR-LMO-001", stage.carrier_side.ip()).await
}

/// TC-LMO-010.
async fn no_hint(stage: &Stage) -> Played {
    client_calls(stage, Vec::new(), RULE, stage.teams_side.ip()).await
}

/// TC-LMO-011.
async fn other_case(stage: &Stage) -> Played {
    let mut lines = lines("internal", FQDN);
    lines.push(("X-MS-UserSite", "vietnam".to_owned()));
    client_calls(stage, lines, RULE, stage.carrier_side.ip()).await?;
    if !stage.shows_operators("records") {
        return Ok(());
    }
    let all = decisions(stage, 1).await?;
    let first = all.first().and_then(|call| call.first());
    let rule = first
        .and_then(|own| own["rule"].as_str())
        .unwrap_or_default();
    stage.check("TDR-LMO-001", rule.contains("case matters"), || {
        format!("nothing is said of the site: {rule}")
    });
    Ok(())
}

/// TC-LMO-013.
async fn strange_name(stage: &Stage) -> Played {
    let voice = stage.voice_of_teams().await?;
    let offer = sdp::teams_offer(voice.at, &voice.key);
    let path = format!("other.test.example, {FQDN}");
    let lines = lines("external", &path);
    let mut caller = stage
        .teams_offers(0, OUTSIDE, voice, offer, |parties| parties.extra = lines)
        .await?;
    let refused = caller.is_refused().await?;
    let status = refused.status();
    stage.check(RULE, matches!(status, Some(488 | 500)), || {
        format!("it answers with {}", refused.title())
    });
    let told = refused.text();
    stage.check(RULE, !told.contains("c=IN"), || {
        "a refusal tells an address for media".to_owned()
    });
    if !stage.shows_operators("records") {
        return Ok(());
    }
    let is_told = |told: &str| told.contains("X-MS-MediaPath names other.test.example");
    let told = stage.ask_until("/calls/recent", PATIENCE, is_told).await;
    stage.check(RULE, told.is_ok(), || {
        "its record does not say why".to_owned()
    });
    Ok(())
}

/// What an export of the tenant says of the proxy and of the SBC behind it.
fn exported(proxy: bool, branch: bool, port: u16) -> String {
    format!(
        "[{{ \"Fqdn\": \"{PROXY}\", \"SipSignalingPort\": {port}, \"Enabled\": true, \"MediaBypass\": true, \
         \"BypassMode\": \"Always\", \"GatewaySiteLbrEnabled\": {proxy} }},\n\
         {{ \"Fqdn\": \"{FQDN}\", \"SipSignalingPort\": {port}, \"Enabled\": true, \"MediaBypass\": true, \
         \"BypassMode\": \"Always\", \"ProxySbc\": \"{PROXY}\", \"GatewaySiteId\": \"Vietnam\", \
         \"GatewaySiteLbrEnabled\": {branch} }}]"
    )
}

/// TC-LMO-015.
async fn flags(stage: &Stage) -> Played {
    let rule = "TDR-LMO-022";
    let port = stage.teams_side.port();
    let right = linted(stage, &exported(false, true, port)).await?;
    stage.check(rule, right.contains("errors 0, warnings 0"), || {
        format!("what is right is complained of: {right}")
    });
    let wrong = linted(stage, &exported(true, false, port)).await?;
    stage.check(rule, wrong.contains("voicemail"), || {
        format!("nothing is said of the flag that the branch lacks: {wrong}")
    });
    stage.check(rule, wrong.contains("a proxy does not need it"), || {
        format!("nothing is said of the flag that the proxy has: {wrong}")
    });
    Ok(())
}

/// What the subject says of an export.
async fn linted(stage: &Stage, export: &str) -> Result<String, Failure> {
    let nothing = || Failure::new("ladder", "the subject is not ours");
    let (program, folder) = (stage.program.as_ref(), stage.folder());
    let (program, folder) = program.zip(folder).ok_or_else(nothing)?;
    let broken = |why: std::io::Error| Failure::new("ladder", why.to_string());
    let file = folder.join("gateways.json");
    std::fs::write(&file, export).map_err(broken)?;
    let config = folder.join("causeway.toml");
    let arguments = ["teams".as_ref(), "gateways".as_ref(), file.as_path()];
    let output = Command::new(program)
        .args(arguments.into_iter().chain([Path::new("-f"), &config]))
        .output()
        .await
        .map_err(broken)?;
    let told = [output.stdout, output.stderr].concat();
    Ok(stage.as_told(String::from_utf8_lossy(&told).into_owned()))
}

/// Decisions in the records of the calls, of which there must be so many, the first call first.
async fn decisions(stage: &Stage, calls: usize) -> Result<Vec<Vec<Value>>, Failure> {
    let read = |told: &str| -> Vec<Vec<Value>> {
        let mut all: Vec<Value> = serde_json::from_str(told).unwrap_or_default();
        all.sort_by_key(|call| call["start"].as_str().unwrap_or_default().to_owned());
        let of = |call: &Value| call["local_media"].as_array().cloned().unwrap_or_default();
        all.iter().map(of).collect()
    };
    let has_all = |told: &str| read(told).len() >= calls;
    let told = stage.ask_until("/calls/recent", PATIENCE, has_all).await;
    let told = told.map_err(|told| Failure::new("TDR-LMO-024", format!("its records: {told}")));
    Ok(read(&told.rule("TDR-LMO-024")?))
}
