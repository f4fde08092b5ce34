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
use crate::peer::hello::hello;
use crate::peer::teams::TeamsProxy;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

/// Counts what peers ask for as the name of the server.
const SERVER_NAMES: &str = "sbc_tls_server_names_total";

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-CON-002",
        |stage| Box::pin(certificate_of_the_peer(stage)),
        &[
            breaks("TDR-TLS-003", Mutation::Front(Wrong::Anybody)).also(&[(
                "TDR-TLS-016",
                "a door that lets anybody in shows everybody the same certificate",
            )]),
            breaks("TDR-TLS-011", drop(teams("OPTIONS").status(200))),
            breaks("TDR-TLS-016", Mutation::Front(Wrong::VagueAlert)).also(&[(
                "TDR-TLS-003",
                "what another door refuses is none of the subject's handshakes",
            )]),
            breaks(
                "TDR-TLS-016",
                Mutation::Told("sni=\"unknown\"", "sni=\"other\""),
            ),
            breaks(
                "TDR-TLS-016",
                Mutation::Told("sni=\"absent\"", "sni=\"none\""),
            ),
        ],
    ),
    case(
        "TC-CON-004",
        |stage| Box::pin(old_versions(stage)),
        &[
            breaks("TDR-TLS-001", Mutation::Front(Wrong::OldVersions)).also(&[(
                "TDR-CON-006",
                "both look at how the same clients are told off",
            )]),
            breaks("TDR-TLS-001", Mutation::Front(Wrong::VagueAlert)).also(&[(
                "TDR-CON-006",
                "both look at how the same clients are told off",
            )]),
            breaks("TDR-CON-006", Mutation::Front(Wrong::Anybody)).also(&[(
                "TDR-TLS-001",
                "both look at how the same clients are told off",
            )]),
        ],
    ),
    case(
        "TC-CON-008",
        |stage| Box::pin(another_name(stage)),
        &[
            breaks("TDR-TLS-011", Mutation::Front(Wrong::Anybody)),
            breaks("TDR-TLS-011", Mutation::Told("tls_refused", "tls")),
        ],
    )
    .needs(&[Need::Impostors]),
    case(
        "TC-CON-009",
        |stage| Box::pin(stranger(stage)),
        &[
            breaks("TDR-TLS-012", Mutation::Front(Wrong::Anybody)),
            breaks("TDR-SEC-001", Mutation::Front(Wrong::Caller)).also(&[
                ("TDR-TLS-012", "who reaches the carrier was let in before"),
                ("RFC3261", "what a stranger writes is no message of ours"),
                ("RFC3264", "what a stranger offers is no offer of ours"),
                ("PRIVACY", "what a stranger writes says where he is"),
            ]),
            breaks("TDR-TLS-012", Mutation::Told("tls_refused", "tls")),
        ],
    ),
    case(
        "TC-CON-010",
        |stage| Box::pin(foreign_address(stage)),
        &[breaks("TDR-TLS-011", Mutation::Front(Wrong::Anybody))],
    )
    .needs(&[Need::Stranger]),
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
    for (asks_for, sni) in [(Some("nobody.other.example"), "unknown"), (None, "absent")] {
        let labels = [&*format!("sni=\"{sni}\"")];
        let before = stage.counted(SERVER_NAMES, &labels).await;
        let door = stage.knock_asking(from, &identity, asks_for).await?;
        stage.check("TDR-TLS-016", !door.is_closed(), || {
            format!("asked for {asks_for:?}: {door:?}")
        });
        stage
            .counts_above("TDR-TLS-016", SERVER_NAMES, &labels, before)
            .await;
    }
    stage.proxies[0]
        .ping(&stage.trunk())
        .await
        .rule("TDR-TLS-011")
}

/// ECDHE-RSA and RSA with AES-128, which old versions have too.
const OLD: [u16; 2] = [0xC013, 0x002F];
/// Of TLS 1.2: RC4, 3DES, and AES without ephemeral keys.
pub(super) const WEAK: [u16; 7] = [0x0005, 0x000A, 0x002F, 0x0035, 0x003C, 0x009C, 0xC012];

/// What the subject says to a first flight, and how the waiting for it ended.
pub(super) async fn first_words(
    stage: &Stage,
    flight: &[u8],
) -> Result<([u8; 7], Option<std::io::Result<usize>>), Failure> {
    let ladder = |why: std::io::Error| Failure::new("ladder", why.to_string());
    let from = stage.addresses.proxies[0];
    let stream = crate::peer::teams::connect_from(from, stage.door).await;
    let mut stream = stream.map_err(ladder)?;
    stream.write_all(flight).await.map_err(ladder)?;
    let mut answer = [0; 7];
    let read = timeout(PATIENCE, stream.read_exact(&mut answer)).await;
    Ok((answer, read.ok()))
}

/// TC-CON-004.
async fn old_versions(stage: &Stage) -> Played {
    for (minor, name) in [(1, "TLS 1.0"), (2, "TLS 1.1")] {
        let (answer, read) = first_words(stage, &hello(minor, &OLD)).await?;
        // A fatal alert, protocol_version (RFC 5246 §7.2).
        let is_refused = matches!(read, Some(Ok(_))) && answer[0] == 21 && answer[6] == 70;
        stage.check("TDR-TLS-001", is_refused, || {
            format!("{name}: {read:?} {answer:?}, wanted the alert protocol_version")
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
    let identity = match stage.own_certificate("other") {
        Some(own) => own,
        None => stage
            .kit
            .authority
            .issue(&["other.example"])
            .map_err(certificate)?,
    };
    let from = stage.addresses.proxies[0];
    let door = stage.knock(from, Some(&identity), None).await?;
    stage.check(rule, door.is_closed(), || format!("{door:?}"));
    stage.counts_handshakes(rule, "in", "name_mismatch").await;
    warned(stage, rule, "tls_refused", "name_mismatch").await;
    Ok(())
}

/// The operator is told of who was refused, and why.
async fn warned(stage: &Stage, rule: &str, code: &str, reason: &str) {
    if !stage.shows_operators("what it logs of those whom it refuses") {
        return;
    }
    let lines = stage.logged(reason).await;
    let is_told = lines.iter().any(|line| line.contains(code));
    stage.check(rule, is_told, || {
        format!("of \"{reason}\" the operator is told {lines:?}, wanted a line {code}")
    });
}

/// Certificates that are wrong in one way each, and what that is called.
async fn impostors(stage: &Stage) -> Result<Vec<(&'static str, Identity)>, Failure> {
    let names = REGIONS.map(|region| format!("{region}.{DOMAIN}"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if stage.daemon.is_none() && stage.has_authority() {
        is_believed(stage, &names).await?;
    }
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

/// What is right in every way is let in: else what is wrong in one would be refused for another reason.
async fn is_believed(stage: &Stage, names: &[&str]) -> Played {
    let right = stage.kit.authority.issue(names).map_err(certificate)?;
    let from = stage.addresses.proxies[0];
    let door = stage.knock(from, Some(&right), None).await?;
    match door.is_closed() {
        false => Ok(()),
        true => Err(Failure::new(
            "ladder",
            format!(
                "the subject does not let in {names:?} under its authority, so that nothing is shown by whom it refuses: \
                 {door:?}"
            ),
        )),
    }
}

/// Longer than an SBC leaves alone who was not there.
const LEFT_ALONE: Duration = Duration::from_secs(3);

/// A number whose calls cost the most.
const PREMIUM: &str = "+449098790123";

/// TC-CON-009: from an address of nobody, and from one of Teams.
async fn stranger(stage: &Stage) -> Played {
    let rule = "TDR-TLS-012";
    let impostors = impostors(stage).await?;
    if stage.has_stranger {
        let (from, (_, identity)) = (stage.addresses.stranger, &impostors[4]);
        let door = stage.knock_calling(from, identity, PREMIUM).await?;
        stage.check(rule, door.is_closed(), || format!("from {from}: {door:?}"));
    } else {
        stage.note("not asked of this subject: whether it refuses an address of nobody, as its file names no stranger");
    }
    let from = stage.addresses.proxies[0];
    for (what, identity) in &impostors {
        // Of an authority that it does not trust, all would be refused for that alone.
        if !stage.has_authority() && !matches!(*what, "cert_self_signed" | "cert_unknown_ca") {
            stage.note(format!(
                "not asked of this subject: {what}, as its folder of certificates has no authority.pem and authority.key"
            ));
            continue;
        }
        let door = stage.knock_calling(from, identity, PREMIUM).await?;
        stage.check(rule, door.is_closed(), || format!("{what}: {door:?}"));
        stage.counts_handshakes(rule, "in", what).await;
        warned(stage, rule, "tls_refused", what).await;
    }
    let calls = stage.tape.requests(Side::Carrier, "INVITE").len();
    stage.check("TDR-SEC-001", calls == 0, || {
        "the carrier was called".to_owned()
    });
    Ok(())
}

/// TC-CON-010. Whoever comes from nowhere may come as often as he likes: he is counted, and only a log for debugging
/// has a line of each, so that nobody can fill the log.
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
    let mut wrong = impostors(stage).await?;
    wrong.retain(|(what, _)| kinds.contains(what));
    let shown = become_impostors(stage, &wrong).await?;
    // A proxy that was away a moment ago is left alone for another one, and shows no certificate then.
    let deadline = stage.tape.now() + MET;
    loop {
        meets_them(stage, rule, shown.len()).await?;
        if are_met(&shown, LEFT_ALONE).await || stage.tape.now() > deadline {
            break;
        }
    }
    are_not_believed(stage, rule, &shown)?;
    for one in &shown {
        stage.counts_handshakes(rule, "out", one.what).await;
    }
    Ok(())
}

/// Longest time until somebody meets an impostor: OPTIONS come every minute.
const MET: Duration = Duration::from_secs(70);

/// A proxy that shows a wrong certificate.
struct Impostor<'s> {
    stage: &'s Stage,
    proxy: &'s TeamsProxy,
    what: &'static str,
    /// How many handshakes it had before, and how many connections it had refused.
    before: (usize, usize),
}

/// The first proxies go away and come back with these certificates.
async fn become_impostors<'s>(
    stage: &'s Stage,
    wrong: &[(&'static str, Identity)],
) -> Result<Vec<Impostor<'s>>, Failure> {
    let mut shown = Vec::new();
    for (proxy, (what, identity)) in stage.proxies.iter().zip(wrong) {
        proxy.goes_away().await;
        let before = stage.shaken_hands(proxy);
        let back = proxy.comes_back_as(identity, stage.roots.clone()).await;
        back.map_err(|why| Failure::new("ladder", why.to_string()))?;
        shown.push(Impostor {
            stage,
            proxy,
            what,
            before,
        });
    }
    Ok(shown)
}

impl Impostor<'_> {
    /// How many handshakes it has had since, and how many that broke off.
    fn handshakes(&self) -> (usize, usize) {
        let now = self.stage.shaken_hands(self.proxy);
        (now.0 - self.before.0, now.1 - self.before.1)
    }

    /// Whether its certificate was shown to somebody.
    fn is_met(&self) -> bool {
        self.handshakes() != (0, 0)
    }
}

/// Whether each was met, at the end of this time at the latest.
async fn are_met(shown: &[Impostor<'_>], patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while !shown.iter().all(Impostor::is_met) && Instant::now() < deadline {
        sleep(Duration::from_millis(50)).await;
    }
    shown.iter().all(Impostor::is_met)
}

/// Whoever saw their certificates broke off; of those to whom nobody came nothing is known.
fn are_not_believed(stage: &Stage, rule: &str, shown: &[Impostor<'_>]) -> Played {
    for one in shown {
        let ((believed, _), host, what) = (one.handshakes(), one.proxy.host(), one.what);
        stage.check(rule, believed == 0, || {
            format!("{host} is believed with a wrong certificate ({what}): {believed} handshakes")
        });
    }
    let unmet = shown.iter().filter(|one| !one.is_met());
    let unmet: Vec<String> = unmet
        .map(|one| format!("{} ({})", one.proxy.host(), one.what))
        .collect();
    match unmet.is_empty() {
        true => Ok(()),
        false => Err(Failure::not_asked(format!(
            "whether proxies with wrong certificates are believed: within {} s nobody has connected to {}",
            MET.as_secs(),
            unmet.join(", ")
        ))),
    }
}

/// A call to Teams where the first proxies are impostors.
async fn meets_them(stage: &Stage, rule: &str, impostors: usize) -> Played {
    let mut caller = stage.carrier_dials().await?;
    if impostors < REGIONS.len() {
        let called = stage.proxy_is_called(impostors).await.rule(rule)?;
        let mut talk = stage.answered(caller, called).await.rule(rule)?;
        return talk.caller_ends().await;
    }
    let last = caller.is_refused().await.rule(rule)?;
    stage.check(rule, matches!(last.status(), Some(502 | 503)), || {
        format!("with impostors alone the caller got {}", last.title())
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certify::fake::Fake;
    use crate::certify::verdict::Verdict;
    use crate::peer::tls;

    fn silent(_: &str, _: Option<u16>) -> String {
        String::new()
    }

    async fn judged(stage: Stage, played: Played) -> Verdict {
        let mut failures = stage.judge(played).await;
        failures.retain(|one| matches!(&*one.rule, "RULE" | "ladder" | "not asked"));
        Verdict::of(failures)
    }

    /// Certificates of an authority that an SBC does not know.
    fn wrong(stage: &Stage, other: &Authority) -> Vec<(&'static str, Identity)> {
        let names = REGIONS.map(|region| format!("{region}.{DOMAIN}"));
        let names = names.each_ref().map(String::as_str);
        let mail = stage.kit.authority.issue_for_mail(&names).unwrap();
        vec![
            ("cert_usage", mail),
            ("cert_unknown_ca", other.issue(&names).unwrap()),
        ]
    }

    #[tokio::test]
    async fn who_meets_an_impostor_breaks_off_or_is_found_out() {
        let other = Authority::new("Somebody else").unwrap();
        for is_fooled in [false, true] {
            let fake = Fake::new(&[]);
            let stage = fake.stage("TC-CON-012").await;
            let mut roots = stage.roots.clone();
            if is_fooled {
                let more = other.roots().unwrap().roots;
                roots.roots.extend(more);
            }
            let own = stage.kit.authority.issue(&[&stage.trunk().fqdn]).unwrap();
            let connector = tls::connector(Some(&own), roots).unwrap();
            let shown = become_impostors(&stage, &wrong(&stage, &other)).await;
            let shown = shown.unwrap();
            let asking = fake.asks(&stage, Some(connector), silent);
            assert!(are_met(&shown, PATIENCE).await);
            std::mem::drop(asking);
            let played = are_not_believed(&stage, "RULE", &shown);
            std::mem::drop(shown);
            let verdict = judged(stage, played).await;
            match is_fooled {
                false => assert_eq!(verdict, Verdict::Passed),
                true => assert_eq!(verdict.broken(), ["RULE"], "{verdict:?}"),
            }
        }
    }

    #[tokio::test]
    async fn of_an_impostor_that_nobody_meets_nothing_is_known() {
        let other = Authority::new("Somebody else").unwrap();
        let fake = Fake::new(&[]);
        let stage = fake.stage("TC-CON-012").await;
        let shown = become_impostors(&stage, &wrong(&stage, &other)).await;
        let shown = shown.unwrap();
        assert!(!are_met(&shown, Duration::from_millis(100)).await);
        let played = are_not_believed(&stage, "RULE", &shown);
        std::mem::drop(shown);
        let Verdict::NotApplicable(why) = judged(stage, played).await else {
            panic!("nobody was asked");
        };
        assert!(
            why.contains("sip2.pstnhub.example (cert_unknown_ca)"),
            "{why}"
        );
    }
}
