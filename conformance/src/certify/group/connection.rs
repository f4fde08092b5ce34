//! CON: connections with Teams, their certificates, and which proxy is called.

use crate::ca::CaFault;
use crate::certify::case::{Case, Need, PATIENCE, Played, Step, breaks, case};
use crate::certify::evidence::Side;
use crate::certify::ladder::{Called, Caller};
use crate::certify::mutation::{Mutation, carrier, delay, drop, replace, rewrite, teams};
use crate::certify::setting::{FQDN, OUTSIDE};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::lab::place::DOMAIN;
use crate::media::sdp;
use crate::media::tone::Codec;
use crate::peer::leg::Parties;
use crate::peer::tls::SUITES;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The subject may spread its first OPTIONS over some seconds.
pub(super) const GREETING: Duration = Duration::from_secs(15);

/// Proxies close what was quiet for longer.
const QUIET: Duration = Duration::from_secs(6);

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
        ],
    ),
    case(
        "TC-CON-003",
        |stage| Box::pin(suites(stage)),
        &[
            // Its certificate is for other suites then.
            breaks("TDR-TLS-002", Mutation::Configuration("/sbc.", "/ecdsa.")),
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
    .needs(&[Need::Ours]),
    case(
        "TC-CON-011",
        |stage| Box::pin(from_elsewhere(stage)),
        &[
            breaks("TDR-CON-003", drop(teams("OPTIONS").status(200))),
            breaks("TDR-CON-003", drop(teams("INVITE").status(200))),
        ],
    ),
    case(
        "TC-CON-013",
        |stage| Box::pin(wildcard(stage)),
        &[breaks(
            "TDR-TLS-006",
            Mutation::Told("a.b.cust.test.example", "it"),
        )],
    )
    .needs(&[Need::Ours]),
    case(
        "TC-CON-016",
        |stage| Box::pin(first_proxy(stage)),
        &[breaks("TDR-CON-001", drop(teams("INVITE")))],
    ),
    case(
        "TC-CON-017",
        |stage| Box::pin(refused_connection(stage)),
        &[breaks(
            "TDR-DNS-002",
            delay(teams("INVITE"), Duration::from_secs(6)),
        )],
    ),
    case(
        "TC-CON-018",
        |stage| Box::pin(stalled_handshake(stage)),
        &[breaks("TDR-DNS-002", drop(teams("INVITE")))],
    ),
    case(
        "TC-CON-019",
        |stage| Box::pin(asked_to_wait(stage)),
        &[breaks("TDR-DNS-003", drop(teams("ACK")))],
    ),
    case(
        "TC-CON-020",
        |stage| Box::pin(final_refusals(stage)),
        &[breaks(
            "TDR-DNS-004",
            replace(carrier("INVITE").statuses(400, 699), "486", "503"),
        )],
    ),
    case(
        "TC-CON-021",
        |stage| Box::pin(nobody_there(stage)),
        &[breaks(
            "TDR-DNS-002",
            drop(carrier("INVITE").statuses(400, 699)),
        )],
    ),
    case(
        "TC-CON-022",
        |stage| Box::pin(proxy_comes_back(stage)),
        &[breaks("TDR-DNS-005", drop(teams("INVITE")))],
    ),
    case(
        "TC-CON-025",
        |stage| Box::pin(long_description(stage)),
        &[breaks(
            "TDR-TCP-003",
            rewrite(carrier("INVITE"), |text| {
                text.to_owned() + &"a=x:y\r\n".repeat(300)
            }),
        )],
    ),
    case(
        "TC-CON-026",
        |stage| Box::pin(case_of_names(stage)),
        &[breaks("TDR-TCP-004", drop(teams("INVITE").status(200)))],
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
            ),
            breaks("G13", replace(teams("INVITE"), "z9hG4bK", "z9hG4b")),
        ],
    ),
    case(
        "TC-CON-031",
        |stage| Box::pin(address_for_a_name(stage)),
        &[breaks("TDR-CON-002", Mutation::Told("192.0.2.7", "it"))],
    )
    .needs(&[Need::Ours]),
    case(
        "TC-CON-032",
        |stage| Box::pin(churn(stage)),
        &[
            breaks("TDR-TCP-001", drop(teams("INVITE"))),
            breaks("TDR-OPT-005", drop(teams("OPTIONS").status(200))),
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
        for shaken in proxy.handshakes() {
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
            stage.check("TDR-TLS-001", shaken.version.contains("TLSv1_2"), || {
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
    Ok(())
}

/// TC-CON-005.
async fn certificate_for_servers(stage: &Stage) -> Played {
    let name = format!("sip.{DOMAIN}");
    let identity = stage
        .kit
        .authority
        .issue_for_servers(&[&name])
        .map_err(certificate)?;
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

/// TC-CON-013.
async fn wildcard(stage: &Stage) -> Played {
    let (is_taken, text) = stage.checks(FQDN, "a.b.cust.test.example").await?;
    stage.check(
        "TDR-TLS-006",
        !is_taken && text.contains("a.b.cust.test.example"),
        || format!("it was taken: {is_taken}; {text}"),
    );
    Ok(())
}

/// A call to Teams that this proxy gets.
async fn call_at(stage: &Stage, proxy: usize) -> Result<(Caller, Called), Failure> {
    let caller = stage.carrier_dials().await?;
    let called = stage.proxy_is_called(proxy).await?;
    Ok((caller, called))
}

async fn ends_busy(mut caller: Caller, mut called: Called) -> Played {
    called.leg.respond(486, "Busy Here", None, &[])?;
    called.leg.acknowledged_failure().await?;
    caller.is_refused().await.map(std::mem::drop)
}

/// TC-CON-016.
async fn first_proxy(stage: &Stage) -> Played {
    for _ in 0..3 {
        let (caller, called) = call_at(stage, 0).await.rule("TDR-CON-001")?;
        ends_busy(caller, called).await?;
    }
    let invites = stage.tape.requests(Side::Teams, "INVITE");
    let first = stage.proxies[0].host();
    let others = invites.iter().filter(|(_, peer, _)| peer != first).count();
    stage.check("TDR-CON-001", others == 0, || {
        format!("{others} calls went elsewhere")
    });
    Ok(())
}

/// TC-CON-017.
async fn refused_connection(stage: &Stage) -> Played {
    stage.proxies[0].goes_away().await;
    let began = Instant::now();
    let (caller, called) = call_at(stage, 1).await.rule("TDR-DNS-002")?;
    let took = began.elapsed();
    stage.check("TDR-DNS-002", took < Duration::from_secs(4), || {
        format!("after {took:?}")
    });
    let mut talk = stage.answered(caller, called).await?;
    talk.caller_ends().await
}

/// TC-CON-018.
async fn stalled_handshake(stage: &Stage) -> Played {
    let stalled = stage.proxies[0].stalls().await;
    stalled.map_err(|why| Failure::new("ladder", why.to_string()))?;
    let caller = stage.carrier_dials().await?;
    let called = stage.proxy_is_called(1).await.rule("TDR-DNS-002")?;
    let mut talk = stage.answered(caller, called).await?;
    talk.caller_ends().await
}

/// TC-CON-019.
async fn asked_to_wait(stage: &Stage) -> Played {
    let caller = stage.carrier_dials().await?;
    let mut first = stage.teams_is_called().await?;
    let after = [("Retry-After", "1".to_owned())];
    first
        .leg
        .respond(503, "Service Unavailable", None, &after)?;
    first.leg.acknowledged_failure().await.rule("TDR-DNS-003")?;
    let called = stage.proxy_is_called(1).await.rule("TDR-DNS-003")?;
    let mut talk = stage.answered(caller, called).await?;
    talk.caller_ends().await
}

/// TC-CON-020.
async fn final_refusals(stage: &Stage) -> Played {
    for status in [603, 486, 404, 403, 480] {
        let (mut caller, mut called) = call_at(stage, 0).await?;
        called.leg.respond(status, "Refused", None, &[])?;
        called.leg.acknowledged_failure().await?;
        let last = caller.is_refused().await?;
        let got = last.status().unwrap_or_default();
        stage.check("TDR-DNS-004", got == status, || {
            format!("{status} became {got}")
        });
    }
    let invites = stage.tape.requests(Side::Teams, "INVITE");
    stage.check("TDR-DNS-004", invites.len() == 5, || {
        format!("{} INVITEs for five calls", invites.len())
    });
    Ok(())
}

/// TC-CON-021.
async fn nobody_there(stage: &Stage) -> Played {
    for proxy in &stage.proxies[..3] {
        proxy.goes_away().await;
    }
    let began = Instant::now();
    let mut caller = stage.carrier_dials().await?;
    let last = caller.is_refused().await.rule("TDR-DNS-002")?;
    let took = began.elapsed();
    stage.check("TDR-DNS-002", took < Duration::from_secs(15), || {
        format!("after {took:?}")
    });
    let status = last.status().unwrap_or_default();
    stage.check("TDR-DNS-002", matches!(status, 500..=504), || {
        format!("got {}", last.title())
    });
    Ok(())
}

/// TC-CON-022. The subject may ask the proxy a few times before it believes.
async fn proxy_comes_back(stage: &Stage) -> Played {
    stage.greeted(GREETING).await?;
    stage.proxies[0].goes_away().await;
    let (caller, called) = call_at(stage, 1).await.rule("TDR-DNS-005")?;
    ends_busy(caller, called).await?;
    let back = stage.proxies[0].comes_back().await;
    back.map_err(|why| Failure::new("ladder", why.to_string()))?;
    let deadline = Instant::now() + Duration::from_secs(200);
    while Instant::now() < deadline {
        let caller = stage.carrier_dials().await?;
        let (proxy, called) = tokio::select! {
            called = stage.proxy_is_called(0) => (0, called?),
            called = stage.proxy_is_called(1) => (1, called?),
        };
        ends_busy(caller, called).await?;
        if proxy == 0 {
            return Ok(());
        }
        sleep(Duration::from_secs(3)).await;
    }
    Err(Failure::new(
        "TDR-DNS-005",
        "the first proxy is back for 200 s and gets no call",
    ))
}

/// TC-CON-025.
async fn long_description(stage: &Stage) -> Played {
    let voice = stage.voice_of_teams().await?;
    let mut offer = sdp::teams_offer(voice.at, &voice.key);
    let mut number = 0;
    while offer.len() < 6 * 1024 {
        number += 1;
        let value = "of no use to anybody else ".repeat(8);
        offer.push_str(&format!("a=x-microsoft-thing:{number} {value}\r\n"));
    }
    let caller = stage.teams_offers(0, OUTSIDE, voice, offer, |_| {}).await?;
    let called = stage.carrier_is_called().await?;
    let length = called.invite()?.text().len();
    stage.check("TDR-TCP-003", length <= 1_300, || {
        format!("the INVITE to the carrier has {length} octets, too many for UDP")
    });
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
    let (is_taken, text) = stage
        .checks("sip.pstnhub.example:5061", "192.0.2.7:5061")
        .await?;
    let is_warned = text.contains("192.0.2.7");
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
    let connections = stage.proxies[0].handshakes().len();
    stage.check("TDR-TCP-001", connections <= 12, || {
        format!("{connections} connections")
    });
    // What is quiet for longer than proxies keep it is used again, or replaced without a word.
    sleep(QUIET).await;
    for _ in 0..3 {
        let mut talk = stage.to_teams().await.rule("TDR-TCP-001")?;
        talk.caller_ends().await.rule("TDR-TCP-001")?;
        let mut talk = stage.from_teams().await.rule("TDR-TCP-001")?;
        talk.caller_ends().await.rule("TDR-TCP-001")?;
    }
    let more = stage.proxies[0].handshakes().len() - connections;
    stage.check("TDR-TCP-001", more <= 1, || {
        format!("{more} connections more, while nobody closes any")
    });
    Ok(())
}
