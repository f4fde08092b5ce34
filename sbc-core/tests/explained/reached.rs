//! Called sides that cannot be reached: DNS, connections, TLS, silence, pauses, registrations.

use super::{Row, at_once, over, row};
use crate::{locate, neighbours, register, registrar, world};
use sbc_core::input::Input;
use sbc_core::query::{Outcome, ResolveFault};
use sbc_core::record::Record;
use sbc_core::sip::Method;
use sbc_core::transport::{CertificateFault, CertificateRefusal, FlowFault};
use sbc_core::trouble::Trouble;
use std::time::Duration;
use world::*;

/// A call to Teams, none of whose servers can be sent anything to, for this reason.
fn unsent(why: &FlowFault) -> Record {
    let mut shard = Shard::new();
    shard.carrier_says(&carrier_invite("call", CARRIER_SDP));
    while let Some(sent) = shard.sent.pop_front() {
        let is_invite = *sent.message.method() == Method::Invite && sent.message.is_request();
        if is_invite && let Some(transaction) = sent.transaction {
            let why = why.clone();
            shard.apply(Input::SendFailed { transaction, why });
        }
    }
    at_once(shard)
}

fn certificate(fault: CertificateFault, text: &str) -> Record {
    let text = text.to_owned();
    unsent(&FlowFault::TlsCertificate(CertificateRefusal {
        fault,
        text,
    }))
}

/// A call to a carrier whose name is looked up in vain.
fn unresolved(why: ResolveFault) -> Record {
    let config = locate::carrier_at(locate::DOMAIN, "");
    let mut shard = Shard::with(config_of(&config));
    shard.teams_says(&teams_invite("call"));
    shard.dns_says(&Outcome::ResolveFailed(why));
    at_once(shard)
}

/// Nobody of the carrier says anything.
fn silence() -> Record {
    let (shard, _) = called_in(CONFIG, "call");
    over(shard)
}

/// Every server of the carrier asks for a pause, and then another call comes.
fn paused() -> Record {
    let mut shard = Shard::new();
    shard.teams_says(&teams_invite("first"));
    while let Some(sent) = shard.sent.pop_front() {
        if *sent.message.method() == Method::Invite && sent.message.is_request() {
            let pause = response(&sent.message, "503 Busy", "b1", "Retry-After: 60\n", "");
            shard.carrier_says(&pause);
        }
    }
    shard.teams_says(&teams_invite("second"));
    at_once(shard)
}

/// The one server of the carrier wants no calls at all for a while.
fn relieved() -> Record {
    let config = neighbours::willing().replace(", \"198.51.100.21:5060;udp\"]", "]");
    let mut shard = Shard::with(config_of(&config));
    let first = neighbours::offered(&mut shard, "first");
    let word = ";oc=100;oc-algo=\"loss\";oc-validity=5000;oc-seq=1.0";
    neighbours::says(&mut shard, &first, word);
    shard.teams_says(&teams_invite("second"));
    at_once(shard)
}

/// All servers of the carrier are known to be down, and its trunk tries none then.
fn down() -> Record {
    let place = "codecs = [\"PCMA\", \"PCMU\"]";
    let config = CONFIG.replace(place, &format!("all_down = \"fail\"\n{place}"));
    let mut shard = Shard::with(config_of(&config));
    for call in 0..8 {
        shard.teams_says(&teams_invite(&format!("call{call}")));
        while let Some(sent) = shard.sent.pop_front() {
            let is_invite = *sent.message.method() == Method::Invite && sent.message.is_request();
            if is_invite && let Some(transaction) = sent.transaction {
                let why = FlowFault::NoListener;
                let why = match call {
                    0..7 => FlowFault::Connect("unreachable".to_owned()),
                    _ => why,
                };
                shard.apply(Input::SendFailed { transaction, why });
            }
        }
    }
    at_once(shard)
}

fn unregistered() -> Record {
    let mut shard = register::started(&register::usual());
    shard.teams_says(&teams_invite("call"));
    at_once(shard)
}

fn without_binding() -> Record {
    let alone = registrar::with_pbx("", "").replace(
        "to = [{ trunk = \"pbx\" }, { trunk = \"carrier-a\" }]",
        "to = [{ trunk = \"pbx\" }]",
    );
    let mut shard = registrar::started(&alone);
    shard.teams_says(&teams_invite("call"));
    at_once(shard)
}

/// The carrier answers, and names no place for what follows.
fn without_contact() -> Record {
    let (mut shard, invite) = called_in(CONFIG, "call");
    let mut next = Some(invite.message);
    while let Some(invite) = next.take() {
        shard.carrier_says(&response(&invite, "200 OK", "b1", "", CARRIER_SDP));
        let mut sent = shard.sent.drain(..).map(|sent| sent.message);
        next = sent.find(|own| own.is_request() && *own.method() == Method::Invite);
    }
    over(shard)
}

const TEAMS_TRUNK: &str = "trunk \"teams-contoso\"";
const LAST: &str =
    "sip2.pstnhub.microsoft.com at 203.0.113.2:5061 over tls of trunk \"teams-contoso\"";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = connections();
    rows.extend(certificates());
    rows.extend(peers());
    rows
}

fn connections() -> Vec<Row> {
    vec![
        row(
            Trouble::ConnectionRefused,
            || unsent(&FlowFault::Connect("connection refused".to_owned())),
            &[LAST, "connection refused"],
            &["nobody listens", TEAMS_TRUNK, "targets"],
        ),
        row(
            Trouble::ConnectionTimeout,
            || unsent(&FlowFault::ConnectTimeout),
            &[LAST, "no connection within"],
            &["firewalls", TEAMS_TRUNK],
        ),
        row(
            Trouble::ConnectionClosed,
            || unsent(&FlowFault::Closed),
            &[LAST, "peer closed the connection"],
            &[TEAMS_TRUNK, "certificate or address"],
        ),
        row(
            Trouble::ConnectionBroken,
            || unsent(&FlowFault::Broken("connection reset by peer".to_owned())),
            &[LAST, "connection reset by peer"],
            &[TEAMS_TRUNK, "certificate or address"],
        ),
        row(
            Trouble::ConnectionStuck,
            || unsent(&FlowFault::QueueFull),
            &[LAST, "does not read"],
            &[TEAMS_TRUNK, "hangs"],
        ),
        row(
            Trouble::NotSip,
            || unsent(&FlowFault::NotSip),
            &[LAST, "does not speak SIP"],
            &[TEAMS_TRUNK, "targets"],
        ),
        row(
            Trouble::ConnectionIdle,
            || unsent(&FlowFault::Idle),
            &[LAST, "idle"],
            &["nothing"],
        ),
        row(
            Trouble::NoListener,
            || unsent(&FlowFault::NoListener),
            &[LAST, "no listener of ours"],
            &[TEAMS_TRUNK, "[[listen]]"],
        ),
        row(
            Trouble::DnsUnknown,
            || unresolved(ResolveFault::NotFound),
            &["sip.carrier.example", "trunk \"carrier-a\""],
            &["trunk \"carrier-a\"", "SRV", "targets", "DNS zone"],
        ),
        row(
            Trouble::DnsTimeout,
            || unresolved(ResolveFault::Timeout),
            &["sip.carrier.example", "trunk \"carrier-a\""],
            &["servers in [dns]", "trunk \"carrier-a\""],
        ),
        row(
            Trouble::DnsFailure,
            || unresolved(ResolveFault::ServerFailure),
            &["sip.carrier.example", "trunk \"carrier-a\""],
            &["servers in [dns]", "trunk \"carrier-a\""],
        ),
    ]
}

fn certificates() -> Vec<Row> {
    vec![
        row(
            Trouble::TlsFailed,
            || unsent(&FlowFault::Handshake("no version in common".to_owned())),
            &[LAST, "no version in common"],
            &[TEAMS_TRUNK, "tls_refused"],
        ),
        row(
            Trouble::TlsTimeout,
            || unsent(&FlowFault::HandshakeTimeout),
            &[LAST, "no TLS handshake"],
            &[TEAMS_TRUNK, "check the port"],
        ),
        row(
            Trouble::TlsAlert,
            || unsent(&FlowFault::TlsAlert("alert UnknownCA".to_owned())),
            &[LAST, "UnknownCA"],
            &[
                TEAMS_TRUNK,
                "does not accept our certificate",
                "causeway check",
            ],
        ),
        row(
            Trouble::TlsName,
            || {
                unsent(&FlowFault::TlsName {
                    wanted: "sip2.pstnhub.microsoft.com".to_owned(),
                    presented: vec!["sip.example.net".to_owned()],
                })
            },
            &[LAST, "certificate is for sip.example.net"],
            &["sip.example.net", "accept_names of trunk \"teams-contoso\""],
        ),
        row(
            Trouble::TlsExpired,
            || certificate(CertificateFault::Expired, "the certificate has expired"),
            &[LAST, "has expired"],
            &[TEAMS_TRUNK, "renew its certificate", "clock"],
        ),
        row(
            Trouble::TlsNotYet,
            || {
                certificate(
                    CertificateFault::NotYetValid,
                    "the certificate is not valid yet",
                )
            },
            &[LAST, "not valid yet"],
            &["clock of this host", TEAMS_TRUNK],
        ),
        row(
            Trouble::TlsAuthority,
            || {
                certificate(
                    CertificateFault::UnknownAuthority,
                    "the issuer is not known",
                )
            },
            &[LAST, "issuer is not known"],
            &["client_ca of the [[tls]] of trunk \"teams-contoso\""],
        ),
        row(
            Trouble::TlsPurpose,
            || {
                certificate(
                    CertificateFault::Purpose,
                    "the certificate is not for servers",
                )
            },
            &[LAST, "not for servers"],
            &[TEAMS_TRUNK, "serverAuth"],
        ),
        row(
            Trouble::TlsRevoked,
            || certificate(CertificateFault::Revoked, "the certificate was revoked"),
            &[LAST, "revoked"],
            &[TEAMS_TRUNK, "new certificate"],
        ),
        row(
            Trouble::TlsCertificate,
            || certificate(CertificateFault::Other, "the key is too weak"),
            &[LAST, "the key is too weak"],
            &[TEAMS_TRUNK, "renew or complete"],
        ),
    ]
}

fn peers() -> Vec<Row> {
    vec![
        row(
            Trouble::PeerSilent,
            silence,
            &[
                "198.51.100.21 at 198.51.100.21:5060 over udp of trunk \"carrier-a\"",
                "did not answer",
            ],
            &["targets of trunk \"carrier-a\"", "firewall"],
        ),
        row(
            Trouble::TargetPaused,
            paused,
            &["trunk \"carrier-a\""],
            &["asked for a pause", "[[route]]"],
        ),
        row(
            Trouble::TargetRelieved,
            relieved,
            &["trunk \"carrier-a\""],
            &["asked for fewer calls", "[[route]]"],
        ),
        row(
            Trouble::TargetsDown,
            down,
            &["trunk \"carrier-a\""],
            &["no target of trunk \"carrier-a\" answers"],
        ),
        row(
            Trouble::NotRegistered,
            unregistered,
            &["trunk \"carrier-a\""],
            &["trunk \"carrier-a\" is not registered", "causeway status"],
        ),
        row(
            Trouble::NoBinding,
            without_binding,
            &["trunk \"pbx\"", "has registered no contact"],
            &["trunk \"pbx\"", "causeway status"],
        ),
        row(
            Trouble::PeerNoContact,
            without_contact,
            &["trunk \"carrier-a\" answered without", "no Contact"],
            &["trunk \"carrier-a\"", "Contact header"],
        ),
    ]
}

/// A call that goes nowhere is told at once, and nothing of it is left.
#[test]
fn who_cannot_be_reached_leaves_nothing_behind() {
    let mut shard = Shard::new();
    shard.carrier_says(&carrier_invite("call", CARRIER_SDP));
    shard.pass(Duration::from_secs(60));
    assert_eq!(shard.records.len(), 1);
    shard.settles();
}
