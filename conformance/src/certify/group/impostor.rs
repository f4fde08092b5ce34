//! CON: who must not be believed: connections and certificates that are wrong in one way each, on both sides.

use super::connection::certificate;
use crate::ca::{self, Authority, Identity};
use crate::certify::case::{Case, Need, PATIENCE, Played, Step, breaks, case};
use crate::certify::evidence::Side;
use crate::certify::mutation::{Mutation, drop, teams};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::lab::front::Wrong;
use crate::lab::place::{DOMAIN, REGIONS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-CON-002",
        |stage| Box::pin(certificate_of_the_peer(stage)),
        &[
            breaks("TDR-TLS-003", Mutation::Front(Wrong::Anybody)),
            breaks("TDR-TLS-011", drop(teams("OPTIONS").status(200))),
            breaks(
                "TDR-TLS-016",
                Mutation::Told("result=\"ok\"", "result=\"fine\""),
            ),
        ],
    ),
    case(
        "TC-CON-004",
        |stage| Box::pin(old_versions(stage)),
        &[
            breaks("TDR-TLS-001", Mutation::Front(Wrong::OldVersions)),
            breaks("TDR-CON-006", Mutation::Front(Wrong::Anybody)),
        ],
    ),
    case(
        "TC-CON-008",
        |stage| Box::pin(another_name(stage)),
        &[breaks("TDR-TLS-011", Mutation::Front(Wrong::Anybody))],
    )
    .needs(&[Need::Ours]),
    case(
        "TC-CON-009",
        |stage| Box::pin(stranger(stage)),
        &[breaks("TDR-TLS-012", Mutation::Front(Wrong::Anybody))],
    ),
    case(
        "TC-CON-010",
        |stage| Box::pin(foreign_address(stage)),
        &[breaks("TDR-TLS-011", Mutation::Front(Wrong::Anybody))],
    )
    .needs(&[Need::Ours]),
];

/// TC-CON-002: also of a proxy that asks for a name of nobody, or for none; the listener's own certificate is
/// shown then.
async fn certificate_of_the_peer(stage: &Stage) -> Played {
    let from = stage.addresses.proxies[0];
    let door = stage.knock(from, None, None).await?;
    stage.check("TDR-TLS-003", door.is_closed(), || {
        format!("without a certificate: {door:?}")
    });
    stage
        .counts_handshakes("TDR-TLS-003", "in", "no_client_cert")
        .await;
    let identity = stage.identity.clone();
    for asks_for in [Some("nobody.other.example"), None] {
        let door = stage.knock_asking(from, &identity, asks_for).await?;
        stage.check("TDR-TLS-016", !door.is_closed(), || {
            format!("asked for {asks_for:?}: {door:?}")
        });
    }
    stage.counts_handshakes("TDR-TLS-016", "in", "ok").await;
    stage.proxies[0]
        .ping(&stage.trunk())
        .await
        .rule("TDR-TLS-011")
}

/// A first flight that offers nothing above this version of TLS.
fn hello(minor: u8) -> Vec<u8> {
    let mut body = vec![3, minor];
    body.extend([7; 32]);
    // No session; ECDHE-RSA and RSA with AES-128; no compression.
    body.extend([0, 0, 4, 0xC0, 0x13, 0, 0x2F, 1, 0]);
    let mut handshake = vec![1, 0, 0, body.len() as u8];
    handshake.extend(body);
    let mut record = vec![22, 3, 1, 0, handshake.len() as u8];
    record.extend(handshake);
    record
}

/// TC-CON-004.
async fn old_versions(stage: &Stage) -> Played {
    for (minor, name) in [(1, "TLS 1.0"), (2, "TLS 1.1")] {
        let from = stage.addresses.proxies[0];
        let stream = crate::peer::teams::connect_from(from, stage.door).await;
        let mut stream = stream.map_err(|why| Failure::new("ladder", why.to_string()))?;
        let sent = stream.write_all(&hello(minor)).await;
        sent.map_err(|why| Failure::new("ladder", why.to_string()))?;
        let mut answer = [0; 7];
        let read = timeout(PATIENCE, stream.read_exact(&mut answer)).await;
        // A fatal alert (RFC 5246 §7.2): protocol_version, or that nothing fits.
        let is_alert = matches!(read, Ok(Ok(_))) && answer[0] == 21 && matches!(answer[6], 70 | 40);
        let is_refused = is_alert || matches!(read, Ok(Err(_)));
        stage.check("TDR-TLS-001", is_refused, || {
            format!("{name}: {read:?} {answer:?}")
        });
    }
    stage.counts_handshakes("TDR-TLS-001", "in", "proto").await;
    in_the_clear(stage).await
}

/// SIP without TLS at the port for TLS: the connection ends without a word of SIP.
async fn in_the_clear(stage: &Stage) -> Played {
    let rule = "TDR-CON-006";
    let ladder = |why: std::io::Error| Failure::new("ladder", why.to_string());
    let from = stage.addresses.proxies[0];
    let stream = crate::peer::teams::connect_from(from, stage.door).await;
    let mut stream = stream.map_err(ladder)?;
    let options = b"OPTIONS sip:sbc1.test.example:5061 SIP/2.0\r\n\r\n";
    stream.write_all(options).await.map_err(ladder)?;
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    stage.check(rule, read.is_ok() && !text.contains("SIP/2.0"), || {
        format!("without TLS: {read:?} {text:?}")
    });
    stage.counts_handshakes(rule, "in", "not_tls").await;
    Ok(())
}

/// TC-CON-008.
async fn another_name(stage: &Stage) -> Played {
    let rule = "TDR-TLS-011";
    let authority = &stage.kit.authority;
    let identity = authority.issue(&["other.example"]).map_err(certificate)?;
    let from = stage.addresses.proxies[0];
    let door = stage.knock(from, Some(&identity), None).await?;
    stage.check(rule, door.is_closed(), || format!("{door:?}"));
    stage.counts_handshakes(rule, "in", "name_mismatch").await;
    Ok(())
}

/// Certificates that are wrong in one way each, and what that is called.
fn impostors(stage: &Stage) -> Result<Vec<(&'static str, Identity)>, Failure> {
    let names = REGIONS.map(|region| format!("{region}.{DOMAIN}"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (authority, other) = (&stage.kit.authority, Authority::new("Somebody else"));
    [
        ("cert_expired", authority.issue_expired(&names)),
        ("cert_self_signed", ca::self_signed(&names)),
        ("name_mismatch", authority.issue(&["other.example"])),
        ("cert_usage", authority.issue_for_mail(&names)),
        (
            "cert_unknown_ca",
            other.and_then(|other| other.issue(&names)),
        ),
    ]
    .into_iter()
    .map(|(what, made)| Ok((what, made.map_err(certificate)?)))
    .collect()
}

/// TC-CON-009: from an address of nobody, and from one of Teams.
async fn stranger(stage: &Stage) -> Played {
    let rule = "TDR-TLS-012";
    let impostors = impostors(stage)?;
    // Addresses of nobody are on this machine, and lead to a subject of ours alone.
    if stage.daemon.is_some() {
        let (from, (_, identity)) = (stage.addresses.stranger, &impostors[4]);
        let door = stage.knock(from, Some(identity), None).await?;
        stage.check(rule, door.is_closed(), || format!("from {from}: {door:?}"));
    }
    let from = stage.addresses.proxies[0];
    for (what, identity) in &impostors {
        let door = stage.knock(from, Some(identity), None).await?;
        stage.check(rule, door.is_closed(), || format!("{what}: {door:?}"));
        stage.counts_handshakes(rule, "in", what).await;
    }
    let calls = stage.tape.requests(Side::Carrier, "INVITE").len();
    stage.check("TDR-SEC-001", calls == 0, || {
        "the carrier was called".to_owned()
    });
    Ok(())
}

/// TC-CON-010.
async fn foreign_address(stage: &Stage) -> Played {
    let rule = "TDR-TLS-011";
    let identity = stage.identity.clone();
    let from = stage.addresses.stranger;
    let door = stage.knock(from, Some(&identity), None).await?;
    stage.check(rule, door.is_closed(), || format!("{door:?}"));
    let labels = ["reason=\"stranger\""];
    stage.counts(rule, "sbc_sip_dropped_total", &labels).await;
    Ok(())
}

/// Proxies that show certificates of these kinds get no call: the next one is tried, and where none is left the
/// caller hears that there is no way.
pub(super) async fn servers(stage: &Stage, rule: &str, kinds: &[&str]) -> Played {
    let mut impostors = impostors(stage)?;
    impostors.retain(|(what, _)| kinds.contains(what));
    for (proxy, (_, identity)) in stage.proxies.iter().zip(&impostors) {
        proxy.goes_away().await;
        let back = proxy.comes_back_as(identity, stage.roots.clone()).await;
        back.map_err(|why| Failure::new("ladder", why.to_string()))?;
    }
    let mut caller = stage.carrier_dials().await?;
    if impostors.len() < REGIONS.len() {
        let called = stage.proxy_is_called(impostors.len()).await.rule(rule)?;
        let mut talk = stage.answered(caller, called).await.rule(rule)?;
        talk.caller_ends().await?;
    } else {
        let last = caller.is_refused().await.rule(rule)?;
        stage.check(rule, matches!(last.status(), Some(502 | 503)), || {
            format!("with impostors alone the caller got {}", last.title())
        });
    }
    for (what, _) in &impostors {
        stage.counts_handshakes(rule, "out", what).await;
    }
    Ok(())
}
