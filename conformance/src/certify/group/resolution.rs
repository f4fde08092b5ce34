//! CON: names and addresses: which machine is found, in the cloud of the trunk, and over which family.

use super::connection::GREETING;
use super::impostor::servers;
use crate::certify::case::{Case, Need, Played, Step, breaks, case};
use crate::certify::evidence::Side;
use crate::certify::follows;
use crate::certify::mutation::{Mutation, carrier, deaf, delay, drop, replace, teams};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::certify::word;
use crate::lab::names::Names;
use crate::lab::place::DOMAIN;
use std::time::Duration;
use tokio::time::sleep;

/// The case looks for each request of a call.
const ROUTE: follows::Follows = (
    "TDR-SIP-040",
    "what is lost has not gone along the route either",
);

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-CON-012",
        |stage| Box::pin(name_of_the_service(stage)),
        &[
            // That machine's certificate says the first name alone.
            breaks(
                "TDR-TLS-011",
                Mutation::Configuration(
                    "accept_names = [\"sip.pstnhub.example\"]",
                    "accept_names = [\"sip2.pstnhub.example\"]",
                ),
            ),
            breaks("TDR-TLS-011", drop(teams("BYE"))).also(&[follows::QUIET]),
            breaks(
                "TDR-TLS-011",
                replace(carrier("INVITE").status(502), "SIP/2.0 502", "SIP/2.0 480"),
            ),
            breaks(
                "TDR-TLS-011",
                Mutation::Told("result=\"cert_expired\"", "result=\"ok\""),
            ),
            breaks("TDR-TLS-011", Mutation::Gullible),
            breaks(
                "TDR-TLS-011",
                drop(carrier("INVITE").statuses(400, 699)),
            )
            .also(&[follows::QUIET]),
            // Who does not know the route does not come to the host in it.
            breaks(
                "TDR-TLS-011",
                deaf(teams("INVITE").statuses(180, 200), "Record-Route"),
            )
            .also(&[follows::AWAY]),
        ],
    )
    .needs(&[Need::Authority])
    .with(|setting| setting.is(word::DNS)),
    case(
        "TC-CON-023",
        |stage| Box::pin(another_address(stage)),
        &[
            breaks("TDR-DNS-001", drop(teams("INVITE"))),
            // An address that somebody has written down is the old one for ever.
            breaks("TDR-DNS-001", Mutation::Configured(pinned)),
        ],
    )
    .with(|setting| setting.is(word::DNS)),
    case(
        "TC-CON-024",
        |stage| Box::pin(nobody_knows_names(stage)),
        &[
            breaks("TDR-DNS-001", drop(teams("INVITE"))),
            breaks(
                "TDR-DNS-001",
                Mutation::Told("sbc_dns_stale_served_total", "sbc_dns_of_no_use"),
            ),
            breaks(
                "TDR-DNS-001",
                Mutation::Told("result=\"timeout\"", "result=\"ok\""),
            ),
            // It waits for those who know names before it remembers.
            breaks("TDR-DNS-001", delay(teams("INVITE"), Duration::from_secs(5))),
            breaks("TDR-DNS-001", drop(teams("BYE"))).also(&[follows::QUIET]),
        ],
    )
    .with(|setting| setting.is(word::DNS)),
    case(
        "TC-CON-029",
        |stage| Box::pin(national_cloud(stage)),
        &[
            breaks("TDR-CON-001", drop(teams("OPTIONS"))),
            breaks("TDR-CON-001", Mutation::Shaken(|one| one.asked_for = None)),
            breaks(
                "TDR-CON-001",
                Mutation::Configuration(
                    "cloud = \"gcc-high\"\n",
                    "cloud = \"gcc-high\"\n\
                     targets = [\"sip.pstnhub.gov.teams.microsoft.us:5061;tls\", \"sip2.pstnhub.example:5061;tls\"]\n",
                ),
            ),
            breaks(
                "TDR-CON-005",
                replace(
                    teams("OPTIONS"),
                    "OPTIONS sip:sip.pstnhub.gov.teams.microsoft.us:5061",
                    "OPTIONS sip:sip.pstnhub.gov.teams.microsoft.us:5062",
                ),
            ),
            breaks("TDR-CON-005", Mutation::Told("port 5061 only", "any port")),
            breaks(
                "TDR-CON-005",
                Mutation::Configuration(
                    "cloud = \"gcc-high\"\naccept_from = [",
                    "cloud = \"gcc-high\"\naccept_from = [\"127.0.0.0/8\", ",
                ),
            ),
        ],
    )
    .with(|setting| setting.is(word::GCC_HIGH)),
    case(
        "TC-CON-030",
        |stage| Box::pin(over_v6(stage)),
        &[
            breaks(
                "TDR-CON-010",
                replace(teams("INVITE"), "IN IP6 ::1", "IN IP4 127.0.0.1"),
            )
            .also(&[follows::UNHEARD]),
            breaks("audio", Mutation::Media(crate::media::voice::Warp::Silence)),
        ],
    )
    .with(|setting| setting.is(word::V6)),
    case(
        "TC-CON-036",
        |stage| Box::pin(along_the_route(stage)),
        &[
            breaks("TDR-DNS-006", drop(teams("ACK"))).also(&[ROUTE]),
            breaks("TDR-DNS-006", drop(teams("BYE"))).also(&[follows::QUIET, ROUTE]),
            // Without the route it goes where Contact says, which has the port 443.
            breaks(
                "TDR-SIP-040",
                deaf(teams("INVITE").statuses(180, 200), "Record-Route"),
            )
            .also(&[
                follows::AWAY,
                ("TDR-DNS-006", "who does not go along the route reaches nobody"),
            ]),
        ],
    )
    .with(|setting| setting.is(word::DNS)),
];

/// A faulty subject: it does not look for the first proxy, whose address it has for ever.
fn pinned(configuration: &str) -> String {
    let first = configuration.split_once("accept_from = [\"");
    let first = first.and_then(|(_, all)| all.split_once('/'));
    let (ip, _) = first.unwrap_or_default();
    let name = format!("\"sip.{DOMAIN}:5061;tls\"");
    let known = format!("{{ address = {name}, connect_to = [\"{ip}:5061\"] }}");
    configuration.replacen(&name, &known, 1)
}

/// Answers of DNS hold for a second, and are believed for five, so that nobody asks all the time.
const BELIEVED: Duration = Duration::from_millis(5_500);

fn names(stage: &Stage) -> Result<&Names, Failure> {
    let names = stage.names.as_ref();
    names.ok_or_else(|| Failure::new("ladder", "nobody knows names"))
}

/// A call to Teams that goes on at another machine of it, whose name is recorded; it ends from our side.
async fn goes_on_elsewhere(stage: &Stage, rule: &str) -> Played {
    let other = &stage.proxies[3];
    let caller = stage.carrier_dials().await?;
    let mut called = stage.teams_is_called().await?;
    called.leg.records(other.host());
    called.leg.continues_at(other.agent());
    let talk = stage.answered(caller, called).await;
    let mut talk = talk.rule(rule)?;
    talk.caller_ends().await.rule(rule)
}

/// TC-CON-012.
async fn name_of_the_service(stage: &Stage) -> Played {
    let rule = "TDR-TLS-011";
    let played = goes_on_elsewhere(stage, rule).await;
    let shaken = stage.proxies[3].handshakes();
    stage.check(rule, !shaken.is_empty(), || {
        "nobody has connected to the host in Record-Route".to_owned()
    });
    played?;
    let kinds = ["cert_expired", "cert_self_signed", "name_mismatch"];
    servers(stage, rule, &kinds).await
}

/// TC-CON-036.
async fn along_the_route(stage: &Stage) -> Played {
    let rule = "TDR-DNS-006";
    let host = stage.proxies[3].host().to_owned();
    let played = goes_on_elsewhere(stage, rule).await;
    for method in ["ACK", "BYE"] {
        let sent = stage.tape.requests(Side::Teams, method);
        let peers: Vec<&str> = sent.iter().map(|(_, peer, _)| peer.as_str()).collect();
        stage.check("TDR-SIP-040", peers == [&*host], || {
            format!("{method} went to {peers:?}, the route is {host}")
        });
    }
    stage.check(rule, names(stage)?.was_asked(&host), || {
        format!("nobody has asked where {host} is")
    });
    played
}

/// TC-CON-023: the first proxy moves to another machine.
async fn another_address(stage: &Stage) -> Played {
    let rule = "TDR-DNS-001";
    let mut talk = stage.to_teams().await.rule(rule)?;
    talk.caller_ends().await?;
    let other = &stage.proxies[3];
    names(stage)?.set(stage.proxies[0].host(), other.address().ip());
    stage.proxies[0].goes_away().await;
    sleep(BELIEVED).await;
    let caller = stage.carrier_dials().await?;
    let called = stage.proxy_is_called(3).await.rule(rule)?;
    let mut talk = stage.answered(caller, called).await.rule(rule)?;
    talk.caller_ends().await
}

/// TC-CON-024: without a connection to go on with, so that the last known address is needed; the operator is told.
async fn nobody_knows_names(stage: &Stage) -> Played {
    let rule = "TDR-DNS-001";
    let mut before = stage.to_teams().await.rule(rule)?;
    names(stage)?.falls_silent();
    sleep(BELIEVED).await;
    stage.proxies[0].breaks_connections();
    // Of the calls one goes out soon, which a machine that is busy with something else allows.
    let mut took = Vec::new();
    for _ in 0..3 {
        let began = stage.tape.now();
        let mut talk = stage.to_teams().await.rule(rule)?;
        let invites = stage.tape.requests(Side::Teams, "INVITE");
        let sent = invites.iter().map(|(at, ..)| *at).find(|at| *at >= began);
        took.push(sent.unwrap_or_default().saturating_sub(began));
        talk.caller_ends().await.rule(rule)?;
    }
    let is_soon = took.iter().any(|took| *took < Duration::from_secs(4));
    stage.check(rule, is_soon, || format!("calls went out after {took:?}"));
    let mut talk = stage.from_teams().await.rule(rule)?;
    talk.caller_ends().await.rule(rule)?;
    before.caller_ends().await.rule(rule)?;
    if !stage.shows_operators("counters") {
        return Ok(());
    }
    for (name, labels, what) in [
        (
            "sbc_dns_stale_served_total",
            &[][..],
            "that old answers are used",
        ),
        (
            "sbc_dns_queries_total",
            &["result=\"timeout\""],
            "that nobody answers",
        ),
    ] {
        let told = stage.figure_above(name, labels, 0.0).await;
        stage.check(rule, told > Some(0.0), || format!("no figure says {what}"));
    }
    Ok(())
}

/// TC-CON-029: one name, one port, and nobody from anywhere else.
async fn national_cloud(stage: &Stage) -> Played {
    let only = &stage.proxies[..1];
    for proxy in only {
        let trunk = [stage.trunk().fqdn];
        proxy
            .heard_from(&trunk, GREETING)
            .await
            .rule("TDR-CON-001")?;
        let shaken = stage.handshakes(proxy);
        let is_asked = shaken
            .iter()
            .all(|one| one.asked_for.as_deref() == Some(word::PROXY_OF_GCC_HIGH));
        stage.check("TDR-CON-001", is_asked, || format!("{shaken:?}"));
    }
    // A call that finds nobody there goes to whoever else is known.
    stage.proxies[0].goes_away().await;
    let mut caller = stage.carrier_dials().await?;
    let last = caller.is_refused().await;
    let known = names(stage)?;
    for other in &stage.proxies[1..3] {
        let is_tried = !other.handshakes().is_empty() || known.was_asked(other.host());
        stage.check("TDR-CON-001", !is_tried, || {
            format!("{} is tried", other.host())
        });
    }
    last?;
    let options = stage.tape.requests(Side::Teams, "OPTIONS");
    let is_right = options.iter().all(|(_, _, message)| {
        message.uri_text().contains(":5061")
            && message
                .line("Contact")
                .is_some_and(|at| at.contains(":5061"))
    });
    stage.check("TDR-CON-005", is_right, || {
        "OPTIONS name another port than 5061".to_owned()
    });
    if stage.shows_operators("whether it takes another port") {
        let (is_taken, text) = stage.checks("port = 5061", "port = 5062").await?;
        stage.check(
            "TDR-CON-005",
            !is_taken && text.contains("port 5061 only"),
            || format!("with another port it was taken: {is_taken}; {text}"),
        );
    }
    let identity = stage.identity.clone();
    let from = stage.addresses.proxies[1];
    let door = stage.knock(from, Some(&identity), None).await?;
    stage.check("TDR-CON-005", door.is_closed(), || {
        format!("from an address that is none of the cloud's: {door:?}")
    });
    Ok(())
}

/// Descriptions towards Teams name addresses of IPv6 alone.
fn only_v6(stage: &Stage) {
    for (_, peer, message) in stage.tape.of_subject(Side::Teams) {
        let body = message.body();
        let is_v4 = body.lines().any(|line| line.starts_with("c=IN IP4"));
        stage.check("TDR-CON-010", !is_v4, || {
            format!("\"{}\" to {peer} names an address of IPv4", message.title())
        });
    }
}

/// TC-CON-030.
async fn over_v6(stage: &Stage) -> Played {
    for is_to_teams in [true, false] {
        let talk = match is_to_teams {
            true => stage.to_teams().await,
            false => stage.from_teams().await,
        };
        only_v6(stage);
        talk?.caller_ends().await?;
    }
    Ok(())
}
