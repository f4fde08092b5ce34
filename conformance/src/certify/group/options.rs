//! OPT: OPTIONS both ways, and what they show.

use super::bypass::with_bypass;
use super::connection::certificate;
use crate::ca::Authority;
use crate::certify::case::{Case, Need, PATIENCE, Played, Step, breaks, case};
use crate::certify::evidence::Side;
use crate::certify::follows;
use crate::certify::ladder::{Caller, Talk};
use crate::certify::mutation::drop_after;
use crate::certify::mutation::{
    Mutation, bye_after, carrier, delay, drop, often_delay, replace, rewrite, teams, then, twice,
    without,
};
use crate::certify::setting::{FQDN, OUTSIDE, SECOND, USER};
use crate::certify::stage::Stage;
use crate::certify::times::Times;
use crate::certify::told::{Told, has_status, of_silence};
use crate::certify::verdict::Failure;
use crate::certify::word;
use crate::media::sdp;
use crate::media::tone::Codec;
use crate::peer::teams::TeamsProxy;
use serde_json::Value;
use std::time::Duration;
use tokio::time::sleep;

/// The subject may spread its first OPTIONS over some seconds, and one that a busy machine had no time for is
/// repeated after a minute.
const GREETING: Duration = Duration::from_secs(80);
/// Longest time until OPTIONS of Teams are answered (TC-OPT-006), and how many are sent.
const SOON: Duration = Duration::from_millis(200);
const PINGS: usize = 8;
/// What is too late for that.
const SLOW: Duration = Duration::from_millis(400);
/// Where the trunk's configuration begins, and one that asks too rarely.
const USUAL: &str = "preset = \"teams\"\n";
const RARE: &str = "preset = \"teams\"\noptions = { interval = \"100s\" }\n";
/// Longest time without OPTIONS that Teams accepts.
const MOST: Duration = Duration::from_secs(180);
/// What the operator is told where Teams refuses the trunk.
const ALARM: &str = "target_refuses";
/// When what is told of OPTIONS that were answered is told.
const TOLD: Duration = Duration::from_secs(2);
/// Longest time until a silence is told, for an SBC that waits for a second one.
const NOTICED: Duration = Duration::from_secs(110);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-OPT-001",
        |stage| Box::pin(activation(stage)),
        &[
            breaks("TDR-OPT-001", drop(teams("OPTIONS"))),
            breaks(
                "TDR-OPT-002",
                replace(teams("OPTIONS"), "<sip:sbc1.", "<sip:someone@sbc1."),
            ),
            breaks(
                "TDR-OPT-003",
                replace(teams("OPTIONS"), "1 OPTIONS", "1 INVITE"),
            )
            .also(&[(
                "TDR-OPT-004",
                "what names another method in CSeq is no OPTIONS that is answered",
            )]),
            breaks("TDR-OPT-005", drop(teams("OPTIONS").status(200))),
            breaks("TDR-OPT-004", Mutation::Told("\"active\"", "\"idle\"")),
        ],
    ),
    case(
        "TC-OPT-006",
        |stage| Box::pin(answered(stage)),
        &[
            breaks("TDR-OPT-005", drop(teams("OPTIONS").status(200))),
            breaks(
                "TDR-OPT-005",
                replace(teams("OPTIONS").status(200), "NOTIFY", "PUBLISH"),
            ),
            breaks(
                "TDR-OPT-005",
                without(teams("OPTIONS").status(200), "Contact"),
            )
            .also(&[follows::NAMED]),
            breaks("TDR-OPT-005", delay(teams("OPTIONS").status(200), SLOW)),
            breaks(
                "TDR-OPT-005",
                often_delay(teams("OPTIONS").status(200), SLOW),
            ),
        ],
    ),
    case(
        "TC-OPT-002",
        |stage| Box::pin(every_minute(stage)),
        &[
            breaks("TDR-OPT-006", drop(teams("OPTIONS"))),
            breaks(
                "TDR-OPT-007",
                replace(teams("OPTIONS"), "OPTIONS sip:sip3.", "OPTIONS sip:sip."),
            ),
            breaks("TDR-OPT-006", twice(teams("OPTIONS"))),
            breaks("TDR-OPT-006", Mutation::Configuration(USUAL, RARE)),
        ],
    ),
    case(
        "TC-OPT-003",
        |stage| Box::pin(never_faster(stage)),
        &[
            breaks("TDR-OPT-006", twice(teams("OPTIONS"))),
            breaks("TDR-OPT-006", drop_after(teams("OPTIONS"), 3)),
            breaks("TDR-OPT-009", Mutation::Insists),
            // Who has forgotten when it asked last asks at once after a restart.
            breaks("TDR-OPT-006", Mutation::Forgets),
        ],
    )
    .needs(&[Need::Restart])
    .with(|setting| setting.has_state = true),
    case(
        "TC-OPT-004",
        |stage| Box::pin(lost_request(stage)),
        &[
            breaks("TDR-OPT-006", drop(teams("OPTIONS"))),
            breaks("TDR-OPT-006", Mutation::Configuration(USUAL, RARE)),
        ],
    ),
    case(
        "TC-OPT-005",
        |stage| Box::pin(refused(stage)),
        &[
            breaks(
                "TDR-OPT-004",
                Mutation::Told("\"status\":403", "\"status\":200"),
            ),
            breaks("TDR-OPT-004", Mutation::Told("domain", "name")),
            breaks("TDR-OPT-004", Mutation::Told("answered 403", "answered")),
            breaks("TDR-OPT-004", Mutation::Told(ALARM, "target_answers")),
        ],
    )
    .needs(&[Need::Logs]),
    case(
        "TC-OPT-007",
        |stage| Box::pin(at_the_limit(stage)),
        &[breaks("TDR-OPT-005", drop(teams("OPTIONS").status(200)))],
    )
    .with(|setting| setting.is(word::ONE)),
    case(
        "TC-OPT-008",
        |stage| Box::pin(only_the_carriers_trunk(stage)),
        &[
            breaks(
                "TDR-OPT-008",
                replace(teams("OPTIONS"), "sip:sbc1.test", "sip:h1.sbc1.test"),
            )
            .also(&[follows::NO_TRUNK, follows::FROM]),
            breaks("TDR-OPT-008", twice(teams("OPTIONS"))),
            breaks("TDR-OPT-008", drop(teams("OPTIONS"))),
        ],
    )
    .with(|setting| setting.is(word::HOSTED)),
    case(
        "TC-OPT-009",
        |stage| Box::pin(says_what_it_is(stage)),
        &[
            breaks("TDR-OPT-011", without(teams("INVITE"), "X-MS-SBC")),
            breaks("TDR-OPT-011", without(teams("BYE"), "X-MS-SBC")),
            breaks("TDR-OPT-011", without(teams("OPTIONS"), "X-MS-SBC")),
            breaks(
                "TDR-OPT-011",
                without(teams("INVITE").statuses(101, 199), "X-MS-SBC"),
            ),
            breaks(
                "TDR-OPT-011",
                without(teams("INVITE").status(200), "X-MS-SBC"),
            ),
            breaks("TDR-OPT-011", without(teams("BYE").status(200), "X-MS-SBC")),
        ],
    ),
    case(
        "TC-OPT-010",
        |stage| Box::pin(drained(stage)),
        &[
            breaks("TDR-OPT-010", drop(teams("INVITE").status(200))),
            breaks("TDR-OPT-010", drop(carrier("INVITE"))),
            breaks("TDR-OPT-010", Mutation::Told("\"drained\"", "\"draining\"")),
            breaks("TDR-OPT-010", Mutation::Told("\"draining\"", "\"drained\"")),
            breaks(
                "TDR-OPT-010",
                then(teams("INVITE").status(200), options_after),
            )
            .also(&[
                follows::RECORDED,
                follows::AWAY,
                follows::RECORDED_AT_PEER,
                follows::NO_HOPS,
            ]),
        ],
    )
    .needs(&[Need::Maintenance]),
    case(
        "TC-OPT-011",
        |stage| Box::pin(within_a_call(stage)),
        &[
            breaks(
                "TDR-OPT-012",
                replace(teams("OPTIONS").status(481), "SIP/2.0 481", "SIP/2.0 200"),
            )
            .also(&[follows::NAMED]),
            breaks(
                "TDR-OPT-012",
                replace(teams("OPTIONS").status(200), "200 OK", "500 No"),
            ),
            breaks(
                "TDR-OPT-012",
                then(teams("OPTIONS").status(200).inside(), bye_after),
            )
            .also(&[follows::AWAY, follows::AWAY_AT_PEER, follows::NO_HOPS]),
        ],
    ),
    case(
        "TC-OPT-012",
        |stage| Box::pin(silent_region(stage)),
        &[
            breaks("TDR-MON-003", Mutation::Told("no answer", "200")),
            breaks("ladder", drop(teams("INVITE"))),
        ],
    ),
    case(
        "TC-OPT-013",
        |stage| Box::pin(two_trunks(stage)),
        &[
            breaks(
                "TDR-SIP-043",
                replace(
                    teams("OPTIONS"),
                    "sip:sbc2.test.example",
                    "sip:sbc1.test.example",
                ),
            ),
            breaks(
                "TDR-SIP-043",
                replace(teams("INVITE").status(200), "a=ice-lite", "a=x-ice-lite"),
            ),
            breaks("TDR-SIP-043", drop(teams("OPTIONS").status(200))),
            breaks("TDR-SIP-043", rewrite(teams("OPTIONS"), without_port)),
            breaks(
                "TDR-SIP-043",
                rewrite(teams("INVITE").status(200), without_port),
            ),
        ],
    )
    .needs(&[Need::Bypass])
    .with(|setting| {
        with_bypass(setting);
        setting.is(word::SECOND_TRUNK);
    }),
];

/// TC-OPT-001.
async fn activation(stage: &Stage) -> Played {
    let greeted = stage.greeted(GREETING).await;
    for (_, peer, options) in stage.tape.requests(Side::Teams, "OPTIONS") {
        let contact = options.line("Contact").unwrap_or_default().to_owned();
        let port = stage.teams_side.port();
        let is_right = contact == format!("<sip:{}:{port};transport=tls>", stage.trunk().fqdn);
        stage.check("TDR-OPT-002", is_right, || {
            format!("Contact at {peer} is {contact}")
        });
        let number = options.line("CSeq").unwrap_or_default().to_owned();
        stage.check("TDR-OPT-003", number.ends_with(" OPTIONS"), || {
            format!("CSeq at {peer} is {number}")
        });
    }
    greeted.rule("TDR-OPT-001")?;
    for proxy in &stage.proxies[..3] {
        proxy.ping(&stage.trunk()).await.rule("TDR-OPT-005")?;
    }
    if !stage.shows_operators("what it says of each proxy") {
        return Ok(());
    }
    for proxy in &stage.proxies[..3] {
        for direction in ["to", "from"] {
            let is_active = |row: &Value| row["verdict"] == "active";
            let told = way(stage, proxy.host(), direction, is_active, PATIENCE).await;
            stage.check("TDR-OPT-004", is_active(&told), || {
                format!("{direction} {} it is not active: {told}", proxy.host())
            });
        }
    }
    Ok(())
}

/// TC-OPT-006.
async fn answered(stage: &Stage) -> Played {
    for number in 0..PINGS {
        // The last of them is a machine that no name leads to.
        let proxy = &stage.proxies[number % stage.proxies.len()];
        proxy.ping(&stage.trunk()).await.rule("TDR-OPT-005")?;
    }
    let mut times = Times::new(SOON, PINGS);
    for time in stage.tape.waits(Side::Teams, "OPTIONS", 200) {
        times.took(time);
    }
    times.are_kept(stage, "TDR-OPT-005", "OPTIONS are answered");
    let answers = stage.tape.of_subject(Side::Teams).into_iter();
    let answer = answers
        .map(|(_, _, message)| message)
        .find(|message| message.status() == Some(200));
    let Some(answer) = answer else {
        return Ok(());
    };
    let allowed = answer.values("Allow");
    for method in ["REFER", "NOTIFY"] {
        stage.check("TDR-OPT-005", allowed.contains(&method), || {
            format!("Allow lacks {method}: {}", allowed.join(", "))
        });
    }
    let contact = answer.line("Contact").unwrap_or_default();
    stage.check("TDR-OPT-005", contact.contains(&stage.trunk().fqdn), || {
        format!("Contact is \"{contact}\"")
    });
    Ok(())
}

/// A time between two OPTIONS, and by how much it may be too short and too long: the clock of the tape is not that of the
/// subject.
struct Interval {
    time: Duration,
    short: Duration,
    long: Duration,
}

impl Interval {
    fn is_at_least(&self, seconds: f64) -> bool {
        (self.time + self.short).as_secs_f64() >= seconds
    }

    fn is_at_most(&self, seconds: f64) -> bool {
        self.time.saturating_sub(self.long).as_secs_f64() <= seconds
    }
}

/// Times between the OPTIONS that each proxy got.
fn intervals(stage: &Stage) -> Vec<(String, Vec<Interval>)> {
    let all = stage.tape.requests(Side::Teams, "OPTIONS");
    let hosts = stage.proxies[..3]
        .iter()
        .map(|proxy| proxy.host().to_owned());
    hosts
        .map(|host| {
            let own = all.iter().filter(|(_, peer, _)| *peer == host);
            let times: Vec<Duration> = own.map(|(at, _, _)| *at).collect();
            let late = |time| stage.late_at(stage.tape.at(time));
            let between = times.windows(2).map(|pair| Interval {
                time: pair[1] - pair[0],
                short: late(pair[0]),
                long: late(pair[1]),
            });
            (host, between.collect())
        })
        .collect()
}

/// TC-OPT-002: each proxy is asked by its own name, in the short form for two intervals.
async fn every_minute(stage: &Stage) -> Played {
    stage.greeted(GREETING).await.rule("TDR-OPT-006")?;
    let seconds = stage.size("seconds of OPTIONS", 140, 300);
    sleep(Duration::from_secs(u64::from(seconds))).await;
    let least = usize::try_from((seconds - 10) / 65).unwrap_or_default();
    for (host, between) in intervals(stage) {
        stage.check("TDR-OPT-006", between.len() >= least, || {
            format!("{host} got OPTIONS only {} times more", between.len())
        });
        for interval in between {
            let is_right = interval.is_at_least(59.5) && interval.is_at_most(67.0);
            let time = interval.time;
            stage.check("TDR-OPT-006", is_right, || format!("{host} after {time:?}"));
        }
    }
    for (_, peer, options) in stage.tape.requests(Side::Teams, "OPTIONS") {
        let uri = options.uri_text().to_owned();
        let is_its = uri.starts_with(&format!("sip:{peer}"));
        stage.check("TDR-OPT-007", is_its, || {
            format!("{peer} is asked as {uri}")
        });
    }
    Ok(())
}

/// A call to Teams of which nothing is left.
async fn a_call(stage: &Stage) -> Played {
    stage.to_teams().await?.caller_ends().await
}

/// TC-OPT-003: whatever happens in between, calls, a proxy that goes and comes back, one whose certificate
/// nobody believes (TDR-OPT-009), a reload, and a restart.
async fn never_faster(stage: &Stage) -> Played {
    stage.greeted(GREETING).await?;
    let ladder = |why: std::io::Error| Failure::new("ladder", why.to_string());
    a_call(stage).await?;
    stage.proxies[1].goes_away().await;
    stage.proxies[2].goes_away().await;
    let stranger = Authority::new("Somebody else").and_then(|other| {
        let names = [stage.proxies[2].host()];
        other.issue(&names)
    });
    let stranger = stranger.map_err(certificate)?;
    let before = stage.refused(&stage.proxies[2]).len();
    let back = stage.proxies[2].comes_back_as(&stranger, stage.roots.clone());
    back.await.map_err(ladder)?;
    sleep(Duration::from_secs(10)).await;
    stage.proxies[1].comes_back().await.map_err(ladder)?;
    a_call(stage).await?;
    if stage.daemon.is_some() {
        stage.tell("/reload").await?;
    }
    stage.restarts().await?;
    sleep(Duration::from_secs(130)).await;
    for (host, between) in intervals(stage) {
        for interval in between {
            let (is_right, time) = (interval.is_at_least(59.5), interval.time);
            stage.check("TDR-OPT-006", is_right, || format!("{host} after {time:?}"));
        }
    }
    let first = intervals(stage).swap_remove(0).1;
    let refused = stage.refused(&stage.proxies[2]).into_iter().skip(before);
    let refused: Vec<String> = refused.collect();
    stage.check("TDR-OPT-006", !first.is_empty(), || {
        "the proxy that was there all the time got no more OPTIONS".to_owned()
    });
    stage.check("TDR-OPT-009", (1..=4).contains(&refused.len()), || {
        format!(
            "{} connections to a wrong certificate: {refused:?}",
            refused.len()
        )
    });
    Ok(())
}

/// TC-OPT-004: the second OPTIONS is lost, and Teams has the third before it misses any.
async fn lost_request(stage: &Stage) -> Played {
    let rule = "TDR-OPT-006";
    stage.greeted(GREETING).await.rule(rule)?;
    let silent = &stage.proxies[1];
    let times = || {
        let all = stage.tape.requests(Side::Teams, "OPTIONS").into_iter();
        let own = all.filter(|(_, peer, _)| peer == silent.host());
        own.map(|(at, _, _)| at).collect::<Vec<_>>()
    };
    let first = times().last().copied().unwrap_or_default();
    silent.answers_options_with(None);
    let deadline = first + MOST;
    let comes_after = async |many: usize| {
        while times().len() <= many && stage.tape.now() < deadline {
            sleep(LOOK).await;
        }
        times().len()
    };
    let lost = comes_after(times().len()).await;
    silent.answers_options_with(Some(200));
    let then = comes_after(lost).await;
    stage.check(rule, then > lost, || {
        format!("one of its OPTIONS was lost, and for {MOST:?} Teams has none")
    });
    Ok(())
}

/// What our daemon says of its way to a proxy, or of that proxy's to it, once that is as wanted.
async fn way(
    stage: &Stage,
    host: &str,
    direction: &str,
    is_it: impl Fn(&Value) -> bool,
    patience: Duration,
) -> Value {
    let of = |told: &str| -> Value {
        let rows: Vec<Value> = serde_json::from_str(told).unwrap_or_default();
        let mut rows = rows.into_iter();
        let row = rows.find(|row| row["proxy"] == host && row["direction"] == direction);
        row.unwrap_or_default()
    };
    let told = stage
        .ask_until("/teams", patience, |told| is_it(&of(told)))
        .await;
    of(&told.unwrap_or_else(|last| last))
}

/// What our daemon says of its way to a proxy, once it says more than that it has not asked.
pub(super) async fn verdict(
    stage: &Stage,
    proxy: usize,
    wanted: &str,
    patience: Duration,
) -> String {
    let host = stage.proxies[proxy].host();
    let is_it = |row: &Value| row.to_string().contains(wanted);
    way(stage, host, "to", is_it, patience).await.to_string()
}

/// TC-OPT-005.
async fn refused(stage: &Stage) -> Played {
    if stage.daemon.is_none() {
        return refused_at_others(stage, GREETING + PATIENCE).await;
    }
    for proxy in &stage.proxies[..3] {
        proxy.answers_options_with(Some(403));
    }
    // The first may have been answered before.
    let told = verdict(stage, 0, "\"status\":403", Duration::from_secs(80)).await;
    stage.check("TDR-OPT-004", told.contains("\"status\":403"), || {
        told.clone()
    });
    let is_hint = told.contains(&stage.trunk().fqdn) && told.contains("domain");
    stage.check("TDR-OPT-004", is_hint, || {
        format!("no hint at name and domain: {told}")
    });
    // Nothing of this trunk takes calls, and the operator is told so without asking.
    for proxy in &stage.proxies[..3] {
        verdict_of_403(stage, proxy.host()).await;
    }
    Ok(())
}

/// The same of somebody else's, which tells its operators in words of its own: of 403, and near to it of the name that
/// Teams does not take or of a proxy that does not.
async fn refused_at_others(stage: &Stage, patience: Duration) -> Played {
    let fqdn = stage.trunk().fqdn;
    let names = stage.names_of_proxies().into_iter().flatten();
    let names: Vec<String> = names.chain([fqdn.clone()]).collect();
    let mut news = stage.news().await?;
    for proxy in &stage.proxies[..3] {
        proxy.answers_options_with(Some(403));
    }
    let deadline = stage.tape.now() + patience;
    let is_told = loop {
        stage.hears(&mut news).await?;
        let is_told = has_status(news.lines(), "403", &names);
        if is_told || stage.tape.now() > deadline {
            break is_told;
        }
        sleep(Duration::from_secs(1)).await;
    };
    stage.check("TDR-OPT-004", is_told, || {
        let last: Vec<&String> = news.lines().iter().rev().take(20).collect();
        format!("of 403 to {fqdn} its operators see nothing: {last:?}")
    });
    Ok(())
}

/// The operator is told of a proxy that refuses the trunk, by the names of both.
async fn verdict_of_403(stage: &Stage, host: &str) {
    let is_it = |line: &String| {
        let words = ["teams", host, "answered 403"];
        words.iter().all(|word| line.contains(word))
    };
    let deadline = stage.tape.now() + PATIENCE;
    let mut lines = stage.logged(ALARM).await;
    while !lines.iter().any(is_it) && stage.tape.now() < deadline {
        sleep(LOOK).await;
        lines = stage.logged(ALARM).await;
    }
    stage.check("TDR-OPT-004", lines.iter().any(is_it), || {
        format!("the operator is not told that {host} refuses the trunk, but {lines:?}")
    });
}

/// TC-OPT-007.
async fn at_the_limit(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    let mut second = stage.carrier_dials().await?;
    // It is at its limit indeed.
    let last = second.is_refused().await?;
    stage.check("ladder", last.status() == Some(503), || {
        format!("a call too many got {}", last.title())
    });
    stage.proxies[0]
        .ping(&stage.trunk())
        .await
        .rule("TDR-OPT-005")?;
    talk.caller_ends().await
}

/// TC-OPT-008.
async fn only_the_carriers_trunk(stage: &Stage) -> Played {
    sleep(Duration::from_secs(62)).await;
    let all = stage.tape.requests(Side::Teams, "OPTIONS");
    stage.check("TDR-OPT-008", (3..=6).contains(&all.len()), || {
        format!("{} OPTIONS in 62 s", all.len())
    });
    for (host, between) in intervals(stage) {
        for interval in between {
            let (is_right, time) = (interval.is_at_least(59.5), interval.time);
            stage.check("TDR-OPT-008", is_right, || format!("{host} after {time:?}"));
        }
    }
    for (_, peer, options) in all {
        let contact = options.line("Contact").unwrap_or_default();
        stage.check(
            "TDR-OPT-008",
            contact.contains(&format!("sip:{}", stage.trunk().fqdn)),
            || format!("Contact at {peer} is {contact}"),
        );
    }
    Ok(())
}

/// TC-OPT-009.
async fn says_what_it_is(stage: &Stage) -> Played {
    stage.greeted(GREETING).await?;
    let mut talk = stage.to_teams().await?;
    talk.caller_ends().await?;
    let mut talk = stage.from_teams().await?;
    talk.caller_ends().await?;
    for (_, _, message) in stage.tape.of_subject(Side::Teams) {
        let wants = matches!(
            (message.method().as_deref(), message.status()),
            (Some("INVITE" | "OPTIONS" | "BYE"), _) | (None, Some(101..=299))
        );
        let said = message.line("X-MS-SBC").unwrap_or_default();
        let is_right = said.split('/').filter(|part| !part.is_empty()).count() == 3;
        stage.check("TDR-OPT-011", !wants || is_right, || {
            format!(
                "\"{}\" says \"{said}\", wanted vendor/model/version",
                message.title()
            )
        });
    }
    Ok(())
}

/// Whether our daemon says that it is in this state.
fn is_in(state: &str) -> impl Fn(&str) -> bool {
    let state = state.to_owned();
    move |told| {
        let told: Option<Value> = serde_json::from_str(told).ok();
        told.is_some_and(|told| told["state"] == state.as_str())
    }
}

/// TC-OPT-010: in the short form the node is told to wait no longer for Teams, which else takes five minutes.
async fn drained(stage: &Stage) -> Played {
    stage.greeted(GREETING).await?;
    stage.maintains("begin").await?;
    let played = while_drained(stage).await;
    // Whatever came of it, the next case finds it in service.
    stage.maintains("end").await?;
    played
}

async fn while_drained(stage: &Stage) -> Played {
    let rule = "TDR-OPT-010";
    let before = stage.tape.requests(Side::Teams, "OPTIONS").len();
    let caller = stage.teams_dials().await?;
    let called = stage.carrier_is_called().await.rule(rule)?;
    let mut talk = stage.answered(caller, called).await.rule(rule)?;
    let shows = stage.shows_operators("whether it says that it drains, and that it has drained");
    if shows {
        let told = stage.ask("/status").await?;
        stage.check(rule, is_in("draining")(&told), || {
            format!("it does not say that it drains: {told}")
        });
    }
    talk.caller_ends().await?;
    // Whoever has hung up waits for no reports any more.
    std::mem::drop(talk);
    let seconds = stage.size("seconds of draining", 70, 335);
    sleep(Duration::from_secs(u64::from(seconds))).await;
    let after = stage.tape.requests(Side::Teams, "OPTIONS").len();
    stage.check(rule, after == before, || {
        format!("{} OPTIONS while it drains", after - before)
    });
    if !shows {
        return Ok(());
    }
    if !stage.kit.soaks {
        let told = stage.ask("/status").await?;
        stage.check(rule, is_in("draining")(&told), || {
            format!("after {seconds} s Teams may still call: {told}")
        });
        stage.tell("/drain/now").await?;
    }
    let told = stage.ask_until("/status", PATIENCE, is_in("drained")).await;
    stage.check(rule, told.is_ok(), || {
        format!("no call is left, and it does not say so: {told:?}")
    });
    Ok(())
}

/// OPTIONS beside the answer to a call.
fn options_after(answer: &str) -> String {
    bye_after(answer).replace("BYE", "OPTIONS")
}

/// TC-OPT-011.
async fn within_a_call(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    let answer = talk.called.leg.ask("OPTIONS", &[], None).await?;
    stage.check("TDR-OPT-012", answer.status() == Some(200), || {
        format!("got {}", answer.title())
    });
    let right = talk.called.leg.mistakes_tag();
    let answer = talk.called.leg.ask("OPTIONS", &[], None).await?;
    stage.check("TDR-OPT-012", answer.status() == Some(481), || {
        format!("got {}", answer.title())
    });
    talk.called.leg.knows_tag(right);
    stage.hear_each_other(&talk).await.rule("TDR-OPT-012")?;
    let is_ended = !stage.tape.requests(Side::Teams, "BYE").is_empty();
    stage.check("TDR-OPT-012", !is_ended, || {
        "OPTIONS end the call".to_owned()
    });
    talk.caller_ends().await
}

/// TC-OPT-012.
async fn silent_region(stage: &Stage) -> Played {
    if stage.commands.logs.is_empty() {
        let silent = &stage.proxies[1];
        silent.answers_options_with(None);
        shows_silence(stage, silent).await?;
    } else {
        says_more(stage, 1, NOTICED).await?;
    }
    let mut talk = stage.to_teams().await?;
    talk.caller_ends().await
}

/// Ours shows that a proxy is silent; of somebody else's it is known that it asks.
async fn shows_silence(stage: &Stage, silent: &TeamsProxy) -> Played {
    if stage.shows_operators("what it says of each proxy") {
        let silence = "\"result\":\"no answer\"";
        let told = verdict(stage, 1, silence, Duration::from_secs(110)).await;
        stage.check("TDR-MON-003", told.contains(silence), || {
            format!("the silent region does not show: {told}")
        });
        return Ok(());
    }
    let asked = silent.heard_from(&[stage.trunk().fqdn], GREETING).await;
    asked.rule("TDR-MON-003")
}

/// Somebody else's tells of a proxy that falls silent, in words of its own: in a line unlike all that it tells of any
/// proxy that answers, before and at the same time.
async fn says_more(stage: &Stage, silent: usize, patience: Duration) -> Played {
    let (proxies, names) = (&stage.proxies[..3], stage.names_of_proxies());
    let host = proxies[silent].host();
    let asked = || {
        let all = stage.tape.requests(Side::Teams, "OPTIONS");
        let of = |proxy: &TeamsProxy| {
            all.iter()
                .filter(|(_, peer, _)| peer == proxy.host())
                .count()
        };
        proxies.iter().map(of).collect::<Vec<_>>()
    };
    let more_than = async |before: &[usize]| {
        let is_more = || asked().iter().zip(before).all(|(now, before)| now > before);
        let deadline = stage.tape.now() + GREETING + MOST;
        while !is_more() && stage.tape.now() < deadline {
            sleep(LOOK).await;
        }
        // What is told of the last of them is told by then.
        sleep(TOLD).await;
        is_more()
    };
    let mut news = stage.news().await?;
    if !more_than(&[0; 3]).await {
        return Err(Failure::new(
            "ladder",
            "not every proxy got OPTIONS, so that it is not known what is told of one that answers",
        ));
    }
    stage.hears(&mut news).await?;
    let usual = news.lines().len();
    let before = asked();
    proxies[silent].answers_options_with(None);
    if !more_than(&before).await {
        return Err(Failure::new(
            "ladder",
            format!(
                "not every proxy got OPTIONS again, so that it is not known what is told of {host} alone"
            ),
        ));
    }
    let deadline = stage.tape.now() + patience;
    let told = loop {
        stage.hears(&mut news).await?;
        let (usual, since) = news.lines().split_at(usual);
        let told = of_silence(usual, since, &names, silent);
        if told == Told::Silence || stage.tape.now() > deadline {
            break told;
        }
        sleep(Duration::from_secs(1)).await;
    };
    if told == Told::Anything {
        return Err(Failure::not_asked(format!(
            "whether operators are told of a silent proxy: what they are told of those that answer is never the same, so \
             that nothing is known by what they are told of {host}"
        )));
    }
    stage.check("TDR-MON-003", told == Told::Silence, || {
        format!(
            "of the silent {host} its operators see nothing but what they see of those that answer"
        )
    });
    Ok(())
}

/// A faulty subject: Contact of its second trunk does not say at which port that is.
fn without_port(text: &str) -> String {
    let lines = text
        .split("\r\n")
        .map(|line| match line.starts_with("Contact: ") {
            true => line.replace(&format!("{SECOND}:"), &format!("{SECOND};was=")),
            false => line.to_owned(),
        });
    lines.collect::<Vec<_>>().join("\r\n")
}

/// TC-OPT-013. The first trunk has media bypass, the second has not.
async fn two_trunks(stage: &Stage) -> Played {
    let trunks = [stage.trunk(), stage.second_trunk()];
    let names = [FQDN, SECOND].map(str::to_owned);
    for proxy in &stage.proxies[..3] {
        proxy
            .heard_from(&names, GREETING)
            .await
            .rule("TDR-SIP-043")?;
    }
    for (_, peer, options) in stage.tape.requests(Side::Teams, "OPTIONS") {
        let contact = options.line("Contact").unwrap_or_default();
        let is_right = trunks
            .iter()
            .any(|own| contact.contains(&format!("<sip:{}:{}", own.fqdn, own.port)));
        stage.check("TDR-SIP-043", is_right, || {
            format!("Contact at {peer} is {contact}")
        });
    }
    for (trunk, has_bypass) in trunks.iter().zip([true, false]) {
        let voice = stage.voice_of_teams().await?;
        let lines = voice.is_client();
        let lines = lines.map_err(|why| Failure::new("ladder", why))?;
        let offer = sdp::teams_offer(voice.at, &voice.key) + &lines;
        let proxy = &stage.proxies[0];
        proxy.ping(trunk).await.rule("TDR-SIP-043")?;
        let parties = proxy.parties(trunk, USER, OUTSIDE);
        let (leg, invite) = proxy.call_as(trunk, &parties, offer).await?;
        let mut caller = Caller { leg, invite, voice };
        let mut called = stage.carrier_is_called().await?;
        let answer = called.answer(Codec::Pcma);
        called.leg.respond(200, "OK", Some(answer), &[])?;
        let answer = caller.is_answered().await?;
        called.leg.acknowledged().await?;
        let body = answer.body();
        let is_lite = body.lines().any(|line| line == "a=ice-lite");
        stage.check("TDR-SIP-043", is_lite == has_bypass, || {
            format!(
                "{}: bypass is {has_bypass}, and it answers\n{body}",
                trunk.fqdn
            )
        });
        let contact = answer.line("Contact").unwrap_or_default();
        let own = format!("{}:{}", trunk.fqdn, trunk.port);
        stage.check("TDR-SIP-043", contact.contains(&own), || {
            format!(
                "a call at {} is answered with Contact {contact}",
                trunk.fqdn
            )
        });
        let mut talk = Talk { caller, called };
        talk.caller_ends().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certify::fake::Fake;
    use crate::certify::verdict::Verdict;

    /// What is found of one that has told something before the case, and tells of each proxy what this says.
    async fn told(before: &str, says: fn(&str, Option<u16>) -> String) -> Verdict {
        let fake = Fake::new(&[]);
        let stage = fake.stage("TC-OPT-012").await;
        fake.tells(before);
        let _asking = fake.asks(&stage, None, says);
        let played = says_more(&stage, 1, PATIENCE).await;
        found(&stage, played).await
    }

    /// What the peers have found is not asked here.
    async fn found(stage: &Stage, played: Played) -> Verdict {
        let mut failures = stage.judge(played).await;
        let own = ["TDR-MON-003", "TDR-OPT-004", "ladder", "not asked"];
        failures.retain(|one| own.contains(&&*one.rule));
        Verdict::of(failures)
    }

    fn plain(host: &str, status: Option<u16>) -> String {
        match status {
            Some(status) => format!("{host} answered {status}\n"),
            None => format!("{host} gave no answer\n"),
        }
    }

    #[tokio::test]
    async fn a_silent_proxy_is_told_by_an_sbc_that_has_told_of_it_before() {
        let before = "sip2.pstnhub.example gave no answer\n";
        assert_eq!(told(before, plain).await, Verdict::Passed);
        assert_eq!(told("", plain).await, Verdict::Passed);
    }

    #[tokio::test]
    async fn a_status_alone_and_words_of_a_message_do_not_hide_it() {
        let with_id = |host: &str, status: Option<u16>| {
            let id = crate::random::word::<8>();
            let id = id.replace(|one: char| one.is_ascii_digit(), "x");
            let status = status.unwrap_or(408);
            format!("OPTIONS {id} to {host}\n{host} {id} -> {status}\n")
        };
        assert_eq!(told("", with_id).await, Verdict::Passed);
    }

    #[tokio::test]
    async fn what_is_told_of_nobody_or_at_random_shows_nothing() {
        const SILENT: &str = "sip2.pstnhub.example gave no answer\n";
        let nothing = |host: &str, _: Option<u16>| {
            let id = crate::random::word::<8>();
            let id = id.replace(|one: char| one.is_ascii_digit(), "x");
            format!("OPTIONS {id} to {host}\n")
        };
        let at_random = |host: &str, _: Option<u16>| {
            let many = usize::from(crate::random::bytes::<1>()[0]);
            format!("{host}{}\n", " again".repeat(many))
        };
        let (told, unknown) = tokio::join!(told(SILENT, nothing), told("", at_random));
        assert_eq!(told.broken(), ["TDR-MON-003"], "{told:?}");
        assert!(matches!(unknown, Verdict::NotApplicable(_)), "{unknown:?}");
    }
    /// The same of one whose trunk Teams refuses.
    async fn refused(before: &str, says: fn(&str, Option<u16>) -> String) -> Verdict {
        let fake = Fake::new(&[]);
        let stage = fake.stage("TC-OPT-005").await;
        fake.tells(before);
        let _asking = fake.asks(&stage, None, says);
        let played = refused_at_others(&stage, PATIENCE).await;
        found(&stage, played).await
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_a_line_or_in_a_trace_and_no_number_is_taken_for_it() {
        const BEFORE: &str = "sip.pstnhub.example answered 403\n";
        let trace = |host: &str, status: Option<u16>| {
            let status = status.unwrap_or_default();
            format!("OPTIONS sip:{host}:5061 SIP/2.0\nMax-Forwards: 70\n\nSIP/2.0 {status} Any\n\n")
        };
        let silent = |host: &str, _: Option<u16>| {
            format!("12:00:00.403 sbc[403]: {host}:5061 from port 40301 has answered in 403 ms\n")
        };
        let (line, trace, silent) = tokio::join!(
            refused("", plain),
            refused(BEFORE, trace),
            refused(BEFORE, silent)
        );
        assert_eq!((line, trace), (Verdict::Passed, Verdict::Passed));
        assert_eq!(silent.broken(), ["TDR-OPT-004"], "{silent:?}");
    }
}
