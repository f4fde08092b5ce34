//! OPT: OPTIONS both ways, and what they show.

use super::bypass::with_bypass;
use super::connection::certificate;
use crate::ca::Authority;
use crate::certify::case::{Case, Need, Played, Step, breaks, case};
use crate::certify::evidence::Side;
use crate::certify::ladder::{Caller, Talk};
use crate::certify::mutation::{Mutation, carrier, drop, replace, teams, twice, without};
use crate::certify::setting::{FQDN, OUTSIDE, SECOND, USER};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::media::sdp;
use crate::media::tone::Codec;
use serde_json::Value;
use std::time::Duration;
use tokio::time::sleep;

/// The subject may spread its first OPTIONS over some seconds.
const GREETING: Duration = Duration::from_secs(15);

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
            breaks("TDR-OPT-005", drop(teams("OPTIONS").status(200))),
        ],
    ),
    case(
        "TC-OPT-006",
        |stage| Box::pin(answered(stage)),
        &[
            breaks(
                "TDR-OPT-005",
                replace(teams("OPTIONS").status(200), "NOTIFY", "PUBLISH"),
            ),
            breaks(
                "TDR-OPT-005",
                without(teams("OPTIONS").status(200), "Contact"),
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
        ],
    ),
    case(
        "TC-OPT-003",
        |stage| Box::pin(never_faster(stage)),
        &[breaks("TDR-OPT-006", twice(teams("OPTIONS")))],
    ),
    case(
        "TC-OPT-004",
        |stage| Box::pin(lost_request(stage)),
        &[breaks("TDR-OPT-006", drop(teams("OPTIONS")))],
    ),
    case(
        "TC-OPT-005",
        |stage| Box::pin(refused(stage)),
        &[breaks("TDR-OPT-004", Mutation::Told("403", "200"))],
    )
    .needs(&[Need::Ours]),
    case(
        "TC-OPT-007",
        |stage| Box::pin(at_the_limit(stage)),
        &[breaks("TDR-OPT-005", drop(teams("OPTIONS").status(200)))],
    )
    .with(|setting| setting.more.push_str("[limits]\ncalls = 1\n")),
    case(
        "TC-OPT-008",
        |stage| Box::pin(only_the_carriers_trunk(stage)),
        &[breaks(
            "TDR-OPT-008",
            replace(teams("OPTIONS"), "sip:sbc1.test", "sip:c1.cust.test"),
        )],
    )
    .needs(&[Need::Ours])
    .with(|setting| setting.has_customers = true),
    case(
        "TC-OPT-009",
        |stage| Box::pin(says_what_it_is(stage)),
        &[
            breaks("TDR-OPT-011", without(teams("INVITE"), "X-MS-SBC")),
            breaks("TDR-OPT-011", without(teams("BYE"), "X-MS-SBC")),
            breaks(
                "TDR-OPT-011",
                without(teams("INVITE").status(200), "X-MS-SBC"),
            ),
        ],
    ),
    case(
        "TC-OPT-010",
        |stage| Box::pin(drained(stage)),
        &[breaks("TDR-OPT-010", drop(carrier("INVITE")))],
    )
    .needs(&[Need::Ours]),
    case(
        "TC-OPT-011",
        |stage| Box::pin(within_a_call(stage)),
        &[
            breaks(
                "TDR-OPT-012",
                replace(teams("OPTIONS").status(481), "481", "200"),
            ),
            breaks(
                "TDR-OPT-012",
                replace(teams("OPTIONS").status(200), "200 OK", "500 No"),
            ),
        ],
    ),
    case(
        "TC-OPT-012",
        |stage| Box::pin(silent_region(stage)),
        &[breaks("TDR-MON-003", Mutation::Told("no answer", "200"))],
    )
    .needs(&[Need::Ours]),
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
        ],
    )
    .needs(&[Need::Ours, Need::Bypass])
    .with(|setting| {
        with_bypass(setting);
        setting.has_second_trunk = true;
    }),
];

/// TC-OPT-001.
async fn activation(stage: &Stage) -> Played {
    stage.greeted(GREETING).await.rule("TDR-OPT-001")?;
    for (_, peer, options) in stage.tape.requests(Side::Teams, "OPTIONS") {
        let contact = options.line("Contact").unwrap_or_default().to_owned();
        let port = stage.teams_side.port();
        let is_right =
            contact.starts_with(&format!("<sip:{}:{port};transport=tls", stage.trunk().fqdn));
        stage.check("TDR-OPT-002", is_right, || {
            format!("Contact at {peer} is {contact}")
        });
    }
    for proxy in &stage.proxies[..3] {
        proxy.ping(&stage.trunk()).await.rule("TDR-OPT-005")?;
    }
    Ok(())
}

/// TC-OPT-006.
async fn answered(stage: &Stage) -> Played {
    let elsewhere = &stage.proxies[3];
    elsewhere.ping(&stage.trunk()).await.rule("TDR-OPT-005")?;
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

/// Times between the OPTIONS that each proxy got.
fn intervals(stage: &Stage) -> Vec<(String, Vec<Duration>)> {
    let all = stage.tape.requests(Side::Teams, "OPTIONS");
    let hosts = stage.proxies[..3]
        .iter()
        .map(|proxy| proxy.host().to_owned());
    hosts
        .map(|host| {
            let own = all.iter().filter(|(_, peer, _)| *peer == host);
            let times: Vec<Duration> = own.map(|(at, _, _)| *at).collect();
            let between = times.windows(2).map(|pair| pair[1] - pair[0]);
            (host, between.collect())
        })
        .collect()
}

/// TC-OPT-002: two intervals of every proxy, each asked by its own name.
async fn every_minute(stage: &Stage) -> Played {
    sleep(Duration::from_secs(140)).await;
    for (host, between) in intervals(stage) {
        stage.check("TDR-OPT-006", between.len() >= 2, || {
            format!("{host} got OPTIONS only {} times more", between.len())
        });
        for time in between {
            // The clock of the tape is not that of the subject.
            let is_right = (59.5..67.0).contains(&time.as_secs_f64());
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
/// nobody believes (TDR-OPT-009), and a reload.
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
    let back = stage.proxies[2].comes_back_as(&stranger, stage.roots.clone());
    back.await.map_err(ladder)?;
    sleep(Duration::from_secs(10)).await;
    stage.proxies[1].comes_back().await.map_err(ladder)?;
    a_call(stage).await?;
    if stage.daemon.is_some() {
        stage.tell("/reload").await?;
    }
    sleep(Duration::from_secs(125)).await;
    for (host, between) in intervals(stage) {
        for time in between {
            let is_right = time.as_secs_f64() >= 59.5;
            stage.check("TDR-OPT-006", is_right, || format!("{host} after {time:?}"));
        }
    }
    let (first, refused) = (
        intervals(stage).swap_remove(0).1,
        stage.proxies[2].refused(),
    );
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

/// TC-OPT-004.
async fn lost_request(stage: &Stage) -> Played {
    let silent = &stage.proxies[1];
    silent.answers_options_with(None);
    sleep(Duration::from_secs(40)).await;
    silent.answers_options_with(Some(200));
    sleep(Duration::from_secs(110)).await;
    let between = intervals(stage).swap_remove(1).1;
    stage.check("TDR-OPT-006", !between.is_empty(), || {
        "no OPTIONS came again".to_owned()
    });
    for time in between {
        stage.check("TDR-OPT-006", time < Duration::from_secs(180), || {
            format!("after {time:?}")
        });
    }
    Ok(())
}

/// What our daemon says of its way to a proxy, once it says more than that it has not asked.
pub(super) async fn verdict(
    stage: &Stage,
    proxy: usize,
    wanted: &str,
    patience: Duration,
) -> String {
    let host = stage.proxies[proxy].host().to_owned();
    let of = |told: &str| -> String {
        let rows: Vec<Value> = serde_json::from_str(told).unwrap_or_default();
        let row = rows
            .iter()
            .find(|row| row["proxy"] == host && row["direction"] == "to");
        row.map(ToString::to_string).unwrap_or_default()
    };
    let is_it = |told: &str| of(told).contains(wanted);
    let told = stage.ask_until("/teams", patience, is_it).await;
    of(&told.unwrap_or_else(|last| last))
}

/// TC-OPT-005.
async fn refused(stage: &Stage) -> Played {
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
    Ok(())
}

/// TC-OPT-007.
async fn at_the_limit(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    let mut second = stage.carrier_dials().await?;
    let last = second.is_refused().await?;
    stage.check("TDR-OPT-005", last.status() == Some(503), || {
        format!("got {}", last.title())
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
    talk.called_ends().await?;
    for (_, _, message) in stage.tape.of_subject(Side::Teams) {
        let wants = match (message.method().as_deref(), message.status()) {
            (Some("INVITE" | "OPTIONS" | "BYE"), _) => true,
            (None, Some(101..=299)) => message.cseq().is_some_and(|(_, of)| of == "INVITE"),
            _ => false,
        };
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

/// TC-OPT-010.
async fn drained(stage: &Stage) -> Played {
    stage.greeted(GREETING).await?;
    stage.tell("/drain").await?;
    let before = stage.tape.requests(Side::Teams, "OPTIONS").len();
    let caller = stage.teams_dials().await?;
    let called = stage.carrier_is_called().await.rule("TDR-OPT-010")?;
    let mut talk = stage.answered(caller, called).await.rule("TDR-OPT-010")?;
    talk.caller_ends().await?;
    // Whoever has hung up waits for no reports any more.
    std::mem::drop(talk);
    sleep(Duration::from_secs(70)).await;
    let after = stage.tape.requests(Side::Teams, "OPTIONS").len();
    stage.check("TDR-OPT-010", after == before, || {
        format!("{} OPTIONS while it drains", after - before)
    });
    Ok(())
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
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await
}

/// TC-OPT-012.
async fn silent_region(stage: &Stage) -> Played {
    stage.proxies[1].answers_options_with(None);
    let told = verdict(
        stage,
        1,
        "\"result\":\"no answer\"",
        Duration::from_secs(110),
    )
    .await;
    stage.check(
        "TDR-MON-003",
        told.contains("\"result\":\"no answer\""),
        || format!("the silent region does not show: {told}"),
    );
    let mut talk = stage.to_teams().await?;
    talk.caller_ends().await
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
        stage.check("TDR-SIP-043", contact.contains(&trunk.fqdn), || {
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
