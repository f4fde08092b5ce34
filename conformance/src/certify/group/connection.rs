//! CON: connections with Teams, their certificates, and which proxy is called.

use super::certificate::is_connected;
use super::impostor::{WEAK, first_words};
use crate::ca::CaFault;
use crate::certify::case::{Case, Need, PATIENCE, Played, Step, breaks, case};
use crate::certify::follows;
use crate::certify::mutation::{Mutation, carrier, drop, drop_after, replace, rewrite, teams};
use crate::certify::nodes::Taken;
use crate::certify::setting::{FQDN, OUTSIDE};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::certify::word;
use crate::lab::front::Wrong;
use crate::lab::place::DOMAIN;
use crate::media::sdp;
use crate::media::tone::Codec;
use crate::peer::hello::{hello, is_weak};
use crate::peer::leg::Parties;
use crate::peer::tls::SUITES;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
use std::time::Duration;
use tokio::time::sleep;

/// The subject may spread its first OPTIONS over some seconds.
pub(super) const GREETING: Duration = Duration::from_secs(80);

/// Seconds after which proxies close what was quiet, and those for which they keep it at most.
const QUIET: u32 = 6;
const IDLE: u32 = 1_800;

/// The first octet of a record that is an alert (RFC 5246 §6.2.1).
const ALERT: u8 = 21;
/// The two documented suites that a library may lack.
const CBC: [(u16, &str); 2] = [
    (0xC028, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384"),
    (0xC027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"),
];

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-CON-001",
        |stage| Box::pin(own_certificate(stage)),
        &[
            breaks(
                "TDR-TLS-004",
                Mutation::Configuration("/sbc.pem", "/leaf.pem"),
            ),
            breaks("TDR-TLS-004", drop(teams("OPTIONS"))),
            breaks("TDR-TLS-004", Mutation::Shaken(|one| one.chain = 1)),
            breaks(
                "TDR-TLS-016",
                Mutation::Shaken(|one| one.asked_for = Some("sip.other.example".to_owned())),
            ),
            breaks("TDR-TLS-016", Mutation::Shaken(|one| one.asked_for = None)),
            breaks("TDR-TLS-003", Mutation::Shaken(|one| one.names.clear())),
            breaks(
                "TDR-TLS-001",
                Mutation::Shaken(|one| one.version = "Some(TLSv1_1)".to_owned()),
            ),
        ],
    ),
    case(
        "TC-CON-003",
        |stage| Box::pin(suites(stage)),
        &[
            // Its certificate is for other suites then.
            breaks("TDR-TLS-002", Mutation::Configuration("/sbc.", "/ecdsa.")),
            breaks("TDR-TLS-002", Mutation::Front(Wrong::WeakSuites)),
            breaks("TDR-TLS-002", drop(teams("INVITE"))),
            // TLS_RSA_WITH_3DES_EDE_CBC_SHA
            breaks(
                "TDR-TLS-002",
                Mutation::Shaken(|one| one.offered.push(0x000A)),
            ),
        ],
    ),
    case(
        "TC-CON-005",
        |stage| Box::pin(certificate_for_servers(stage)),
        &[breaks(
            "TDR-TLS-009",
            Mutation::Configuration("sip.pstnhub.example\"]", "sip.other.example\"]"),
        )],
    )
    .needs(&[Need::Impostors]),
    case(
        "TC-CON-011",
        |stage| Box::pin(from_elsewhere(stage)),
        &[
            breaks("TDR-CON-003", drop(carrier("INVITE"))),
            breaks("TDR-CON-003", drop(teams("OPTIONS").status(200))),
            breaks("TDR-CON-003", drop(teams("INVITE").status(200))),
        ],
    )
    .needs(&[Need::Elsewhere]),
    case(
        "TC-CON-013",
        |stage| Box::pin(wildcard(stage)),
        &[
            // A certificate that covers the name after all: nothing is refused.
            breaks("TDR-TLS-006", Mutation::Configuration("/sbc.", "/deep.")),
            breaks(
                "TDR-TLS-006",
                Mutation::Told("request one for *.b.cust.test.example", "get another"),
            ),
            // Not even one label is covered.
            breaks(
                "TDR-TLS-006",
                Mutation::Configuration("allow_wildcard_san = true\n", ""),
            ),
        ],
    )
    .needs(&[Need::Tries])
    .with(|setting| setting.is(word::WILDCARD)),
    case(
        "TC-CON-025",
        |stage| Box::pin(long_description(stage)),
        &[
            breaks("TDR-TCP-003", drop(carrier("INVITE"))),
            breaks(
                "TDR-TCP-003",
                rewrite(carrier("INVITE"), |text| {
                    text.to_owned() + &"a=y:x\r\n".repeat(300)
                }),
            ),
            breaks(
                "TDR-TCP-003",
                rewrite(carrier("INVITE"), |text| {
                    text.to_owned() + "a=ice-ufrag:none\r\n"
                }),
            ),
        ],
    ),
    case(
        "TC-CON-026",
        |stage| Box::pin(case_of_names(stage)),
        &[
            breaks("TDR-TCP-004", drop(carrier("INVITE"))),
            breaks("TDR-TCP-004", drop(teams("INVITE").status(200))),
        ],
    ),
    case(
        "TC-CON-027",
        |stage| Box::pin(lost_connection(stage)),
        &[breaks("TDR-TCP-002", drop(teams("INVITE").status(200)))],
    ),
    case(
        "TC-CON-028",
        |stage| Box::pin(versions(stage)),
        &[
            breaks(
                "G13",
                rewrite(teams("BYE"), |text| {
                    text.replacen(" SIP/2.0\r\n", "\r\n", 1)
                }),
            )
            .also(&[
                follows::QUIET,
                (
                    "RFC3261",
                    "a message without what makes it one cannot be read",
                ),
                follows::STOPS,
            ]),
            breaks("G13", replace(teams("INVITE"), "z9hG4bK", "z9hG4b")).also(&[follows::STOPS]),
        ],
    ),
    case(
        "TC-CON-031",
        |stage| Box::pin(address_for_a_name(stage)),
        &[breaks("TDR-CON-002", Mutation::Told("192.0.2.7", "it"))],
    )
    .needs(&[Need::Tries]),
    case(
        "TC-CON-032",
        |stage| Box::pin(churn(stage)),
        &[
            breaks("TDR-TCP-001", drop_after(teams("INVITE"), 4)),
            breaks("TDR-TCP-001", drop(teams("INVITE").status(200))),
            breaks("TDR-TCP-001", drop(teams("BYE"))).also(&[follows::QUIET]),
            breaks("TDR-TCP-001", drop_after(teams("BYE"), 4)).also(&[follows::QUIET]),
            breaks("TDR-TCP-001", drop(carrier("BYE"))).also(&[follows::QUIET]),
            breaks("TDR-TCP-001", drop(teams("INVITE"))),
            breaks("TDR-OPT-005", drop(teams("OPTIONS").status(200))),
            breaks("TDR-TCP-001", Mutation::Restless),
        ],
    ),
];

pub(super) fn certificate(fault: CaFault) -> Failure {
    Failure::new("ladder", fault.to_string())
}

/// TC-CON-001.
async fn own_certificate(stage: &Stage) -> Played {
    stage.greeted(GREETING).await.rule("TDR-TLS-004")?;
    for proxy in &stage.proxies[..3] {
        for shaken in stage.handshakes(proxy) {
            let host = proxy.host();
            stage.check(
                "TDR-TLS-016",
                shaken.asked_for.as_deref() == Some(host),
                || format!("{host} was asked for as {:?}", shaken.asked_for),
            );
            stage.check("TDR-TLS-004", shaken.chain >= 2, || {
                format!("{host} got {} certificates, no intermediate", shaken.chain)
            });
            stage.check(
                "TDR-TLS-003",
                shaken.names.contains(&stage.trunk().fqdn),
                || format!("{host} got a certificate for {:?}", shaken.names),
            );
            let is_new = ["TLSv1_2", "TLSv1_3"]
                .iter()
                .any(|it| shaken.version.contains(it));
            stage.check("TDR-TLS-001", is_new, || {
                format!("{host}: {}", shaken.version)
            });
        }
    }
    Ok(())
}

/// TC-CON-003.
async fn suites(stage: &Stage) -> Played {
    let (from, proxy) = (stage.addresses.proxies[0], stage.identity.clone());
    for suite in SUITES {
        let door = stage.knock(from, Some(&proxy), Some(suite)).await?;
        stage.check("TDR-TLS-002", !door.is_closed(), || {
            format!("{suite:?}: {door:?}")
        });
    }
    // The certificate is RSA, so that nothing can come of it.
    let other = Some(TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256);
    let door = stage.knock(from, Some(&proxy), other).await?;
    stage.check("TDR-TLS-002", door.is_closed(), || {
        format!("another suite: {door:?}")
    });
    weak_suites(stage).await?;
    suites_of_proxies(stage).await
}

/// Suites of TLS 1.2 that nobody may agree to. Those with CBC may be had or not, which is only told.
async fn weak_suites(stage: &Stage) -> Played {
    for suite in WEAK {
        let (answer, read) = first_words(stage, &hello(3, &[suite])).await?;
        let is_refused = matches!(read, Some(Ok(_))) && answer[0] == ALERT;
        stage.check("TDR-TLS-002", is_refused, || {
            format!("the suite {suite:#06x} alone: {read:?} {answer:?}, wanted an alert")
        });
    }
    for (suite, name) in CBC {
        let (answer, _) = first_words(stage, &hello(3, &[suite])).await?;
        let what = match answer[0] {
            ALERT => "refused",
            _ => "taken",
        };
        stage.note(format!("{name} is {what}; either is right"));
    }
    Ok(())
}

/// The other way: a proxy that has one of the two suites is reached, and none is offered a weak one.
async fn suites_of_proxies(stage: &Stage) -> Played {
    let ladder = |why: std::io::Error| Failure::new("ladder", why.to_string());
    let proxy = &stage.proxies[0];
    for suite in SUITES {
        proxy.goes_away().await;
        let back = proxy.comes_back_with(suite, &stage.identity, stage.roots.clone());
        back.await.map_err(ladder)?;
        is_connected(proxy).await;
        let mut talk = stage.to_teams().await.rule("TDR-TLS-002")?;
        talk.caller_ends().await?;
    }
    for proxy in &stage.proxies[..3] {
        for shaken in stage.handshakes(proxy) {
            let weak: Vec<u16> = shaken
                .offered
                .iter()
                .copied()
                .filter(|it| is_weak(*it))
                .collect();
            let is_right = weak.is_empty() && !shaken.offered.is_empty();
            stage.check("TDR-TLS-002", is_right, || {
                format!(
                    "{} was offered {:#06x?}, of which {weak:#06x?} are weak",
                    proxy.host(),
                    shaken.offered
                )
            });
        }
    }
    Ok(())
}

/// TC-CON-005.
async fn certificate_for_servers(stage: &Stage) -> Played {
    let name = format!("sip.{DOMAIN}");
    let identity = match stage.own_certificate("servers") {
        Some(own) => own,
        None => stage
            .kit
            .authority
            .issue_for_servers(&[&name])
            .map_err(certificate)?,
    };
    let door = stage
        .knock(stage.addresses.proxies[0], Some(&identity), None)
        .await?;
    stage.check("TDR-TLS-009", !door.is_closed(), || format!("{door:?}"));
    Ok(())
}

/// TC-CON-011.
async fn from_elsewhere(stage: &Stage) -> Played {
    stage.proxies[3]
        .ping(&stage.trunk())
        .await
        .rule("TDR-CON-003")?;
    let caller = stage.teams_dials_as(3, OUTSIDE, |_| {}).await?;
    let called = stage.carrier_is_called().await.rule("TDR-CON-003")?;
    let mut talk = stage.answered(caller, called).await.rule("TDR-CON-003")?;
    talk.caller_ends().await
}

/// TC-CON-013: under a wildcard, a name with one label more is taken, and one with two is not; the operator is told
/// which certificate would cover it.
async fn wildcard(stage: &Stage) -> Played {
    let rule = "TDR-TLS-006";
    if stage.daemon.is_none() {
        for (name, is_right) in [
            ("a.cust.test.example", true),
            ("a.b.cust.test.example", false),
        ] {
            let (taken, text) = stage.tries(&["name", name]).await?;
            stage.check(rule, (taken == Taken::Silently) == is_right, || {
                format!("{name} was taken: {taken:?}; {text}")
            });
        }
        return Ok(());
    }
    let (is_taken, text) = stage.checks(FQDN, "a.cust.test.example").await?;
    let is_silent = !text.contains("only a wildcard");
    stage.check(rule, is_taken && is_silent, || format!("one label: {text}"));
    let (is_taken, text) = stage.checks(FQDN, "a.b.cust.test.example").await?;
    let names_it = text.contains("does not carry a.b.cust.test.example");
    let tells_the_fix = text.contains("request one for *.b.cust.test.example");
    stage.check(rule, !is_taken && names_it && tells_the_fix, || {
        format!("two labels: it was taken: {is_taken}; {text}")
    });
    Ok(())
}

/// TC-CON-025: of what fills the description nothing is of use on the other side.
async fn long_description(stage: &Stage) -> Played {
    let voice = stage.voice_of_teams().await?;
    let mut offer = sdp::teams_offer(voice.at, &voice.key);
    offer += "a=ice-ufrag:none\r\na=ice-pwd:ofAnyUseToAnybodyElseThere\r\n";
    let mut number = 0;
    while offer.len() < 6 * 1024 {
        number += 1;
        let value = "of no use to anybody else ".repeat(8);
        offer += &format!("a=x-microsoft-thing:{number} {value}\r\n");
        offer += &format!("a=candidate:{number} 1 UDP 1 192.0.2.{number} 40000 typ host\r\n");
    }
    let fills = |parties: &mut Parties| {
        let lines = (0..10).map(|number| ("X-Filler", format!("{number} {}", "x".repeat(180))));
        parties.extra.extend(lines);
    };
    let caller = stage.teams_offers(0, OUTSIDE, voice, offer, fills).await?;
    stage.note(format!(
        "the INVITE of Teams has {} octets",
        caller.invite.len()
    ));
    let called = stage.carrier_is_called().await.rule("TDR-TCP-003")?;
    let invite = called.invite()?;
    let length = invite.text().len();
    stage.check("TDR-TCP-003", length <= 1_300, || {
        format!("the INVITE to the carrier has {length} octets, too many for UDP")
    });
    let body = invite.body();
    for useless in [
        "a=ice",
        "a=candidate",
        "a=crypto",
        "SILK",
        "SIREN",
        "RED/",
        "a=x-",
    ] {
        stage.check("TDR-TCP-003", !body.contains(useless), || {
            format!("the carrier is told of {useless}:\n{body}")
        });
    }
    let mut talk = stage.answered(caller, called).await?;
    talk.caller_ends().await
}

/// Header names with every second letter in capitals.
fn mixed(text: &str) -> String {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mix = |name: &str| -> String {
        let letters = name.chars().enumerate();
        letters
            .map(|(at, c)| {
                if at % 2 == 0 {
                    c.to_ascii_lowercase()
                } else {
                    c.to_ascii_uppercase()
                }
            })
            .collect()
    };
    let line = |line: &str| match line.split_once(':') {
        Some((name, value)) if !line.contains(" SIP/2.0") || name.eq_ignore_ascii_case("via") => {
            format!("{}:{value}", mix(name))
        }
        _ => line.to_owned(),
    };
    let lines: Vec<String> = head.split("\r\n").map(line).collect();
    format!("{}\r\n\r\n{body}", lines.join("\r\n"))
}

/// TC-CON-026.
async fn case_of_names(stage: &Stage) -> Played {
    for edit in [None, Some(mixed as fn(&str) -> String)] {
        let change = |parties: &mut Parties| parties.edit = edit;
        let caller = stage.teams_dials_as(0, OUTSIDE, change).await?;
        let called = stage.carrier_is_called().await.rule("TDR-TCP-004")?;
        let mut talk = stage.answered(caller, called).await.rule("TDR-TCP-004")?;
        talk.caller_ends().await?;
    }
    Ok(())
}

/// TC-CON-027.
async fn lost_connection(stage: &Stage) -> Played {
    let mut caller = stage.teams_dials().await?;
    let mut called = stage.carrier_is_called().await?;
    called.leg.respond(180, "Ringing", None, &[])?;
    caller.leg.hears(180, PATIENCE).await?;
    stage.proxies[0].breaks_connections();
    sleep(Duration::from_millis(300)).await;
    let answer = called.answer(Codec::Pcma);
    called.leg.respond(200, "OK", Some(answer), &[])?;
    let answer = caller.leg.final_response().await.rule("TDR-TCP-002")?;
    stage.check("TDR-TCP-002", answer.status() == Some(200), || {
        format!("got {}", answer.title())
    });
    caller.leg.flow = stage.proxies[0].connection(&stage.trunk()).await?;
    caller.leg.acknowledge(&answer)?;
    caller.hears_of(&answer)?;
    called.leg.acknowledged().await?;
    let mut talk = crate::certify::ladder::Talk { caller, called };
    stage.hear_each_other(&talk).await?;
    talk.caller_ends().await
}

/// TC-CON-028. G13 looks at every message.
async fn versions(stage: &Stage) -> Played {
    let mut talk = stage.to_teams().await?;
    talk.caller_ends().await
}

/// TC-CON-031.
async fn address_for_a_name(stage: &Stage) -> Played {
    if stage.daemon.is_none() {
        return stage
            .complains("TDR-CON-002", &["proxy", "192.0.2.7:5061"])
            .await;
    }
    let (is_taken, text) = stage
        .checks("sip.pstnhub.example:5061", "192.0.2.7:5061")
        .await?;
    let is_warned = text
        .lines()
        .any(|line| line.contains("192.0.2.7") && (line.contains("warning") || !is_taken));
    stage.check("TDR-CON-002", is_warned, || {
        format!("taken: {is_taken}, and not a word: {text}")
    });
    Ok(())
}

/// TC-CON-032.
async fn churn(stage: &Stage) -> Played {
    for _ in 0..4 {
        let caller = stage.carrier_dials().await?;
        let called = stage.teams_is_called().await.rule("TDR-TCP-001")?;
        let mut talk = stage.answered(caller, called).await?;
        // From both sides, in the middle of a call.
        stage.proxies[0].goes_away().await;
        let back = stage.proxies[0].comes_back().await;
        back.map_err(|why| Failure::new("ladder", why.to_string()))?;
        // Teams closes what was quiet for seconds, not what is in use this very moment.
        sleep(Duration::from_secs(1)).await;
        stage.hear_each_other(&talk).await.rule("TDR-TCP-001")?;
        talk.caller_ends().await.rule("TDR-TCP-001")?;
        stage.proxies[0]
            .ping(&stage.trunk())
            .await
            .rule("TDR-OPT-005")?;
    }
    let proxy = &stage.proxies[0];
    let connections = stage.handshakes(proxy).len();
    stage.check("TDR-TCP-001", connections <= 12, || {
        format!("{connections} connections")
    });
    // What is quiet for longer than proxies keep it is used again, or replaced without a word.
    let quiet = stage.size("seconds without a message", QUIET, IDLE);
    sleep(Duration::from_secs(quiet.into())).await;
    for _ in 0..3 {
        let mut talk = stage.to_teams().await.rule("TDR-TCP-001")?;
        talk.caller_ends().await.rule("TDR-TCP-001")?;
        stage.is_over_at(proxy).await?;
        let mut talk = stage.from_teams().await.rule("TDR-TCP-001")?;
        talk.caller_ends().await.rule("TDR-TCP-001")?;
    }
    let more = stage.handshakes(proxy).len() - connections;
    stage.check("TDR-TCP-001", more <= 1, || {
        format!("{more} connections more, while nobody closes any")
    });
    Ok(())
}
