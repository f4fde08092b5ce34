//! `sips` URIs: a call that asks for security at every hop gets it or no call, and what is written to a
//! peer that wants to see `sips` (SIP-134, RFC 5630).

use crate::world;

use sbc_core::cause::CauseCode;
use sbc_core::config::{Assumed, Source, load};
use sbc_core::id::{ListenerName, TlsContextName};
use sbc_core::sip::{HeaderName, Message, Method};
use sbc_core::transport::{Flow, PeerIdentity, Protocol};
use std::sync::Arc;
use world::call::header;
use world::*;

/// A carrier with TLS beside that without, which calls and is called; Teams has no part in it.
pub(crate) fn with_tls(of_tls: &str, ways: &str) -> String {
    let base = CONFIG.replace(
        "[[tenant]]",
        "[[listen]]\nname = \"secure\"\nrealm = \"carrier\"\ntransport = \"tls\"\nport = 5061\n\
         tls = \"teams\"\n\n[[tenant]]",
    );
    let (base, _) = base.split_once("[[route]]").expect("routes");
    format!(
        "{base}
[[trunk]]
name = \"secure\"
tenant = \"contoso\"
realm = \"carrier\"
tls = \"teams\"
targets = [{{ address = \"sip.secure.example:5061;tls\", connect_to = [\"198.51.100.40:5061\"] }}]
accept_from = [\"198.51.100.40/32\"]
codecs = [\"PCMA\", \"PCMU\"]
{of_tls}

[[trunk]]
name = \"second\"
tenant = \"contoso\"
realm = \"carrier\"
tls = \"teams\"
targets = [{{ address = \"sip.second.example:5061;tls\", connect_to = [\"198.51.100.50:5061\"] }}]
accept_from = [\"198.51.100.50/32\"]
codecs = [\"PCMA\", \"PCMU\"]

[[route]]
name = \"all\"
match = {{ tenant = \"contoso\" }}
to = [{ways}]
"
    )
}

const BOTH: &str = "{ trunk = \"carrier-a\" }, { trunk = \"second\" }";

fn secure_flow() -> Flow {
    Flow {
        protocol: Protocol::Tls,
        listener: ListenerName::new("secure"),
        local: "192.0.2.11:5061".parse().unwrap(),
        remote: "198.51.100.40:40001".parse().unwrap(),
        identity: Some(Arc::new(PeerIdentity {
            context: TlsContextName::new("teams"),
            names: vec!["sip.secure.example".to_owned()],
            server_name: None,
        })),
        ..carrier_flow()
    }
}

/// The other trunk's peer, which also has proven its name.
fn second_flow() -> Flow {
    Flow {
        remote: "198.51.100.50:40001".parse().unwrap(),
        identity: Some(Arc::new(PeerIdentity {
            context: TlsContextName::new("teams"),
            names: vec!["sip.second.example".to_owned()],
            server_name: None,
        })),
        ..secure_flow()
    }
}

fn invite(scheme: &str, contact: &str) -> String {
    carrier_invite("s", CARRIER_SDP)
        .replacen("INVITE sip:", &format!("INVITE {scheme}:"), 1)
        .replace(
            "sip:gw@198.51.100.20:5060",
            &format!("{contact}:gw@198.51.100.40"),
        )
        .replace(
            "SIP/2.0/UDP 198.51.100.20:5060",
            "SIP/2.0/TLS 198.51.100.40:5061",
        )
}

pub(crate) fn calls(config: &str, scheme: &str, contact: &str) -> Shard {
    let mut shard = Shard::with(config_of(config));
    shard.receive(secure_flow(), &invite(scheme, contact));
    shard
}

fn uri(message: &Message) -> String {
    String::from_utf8_lossy(&message.request_uri()).into_owned()
}

#[test]
fn a_sips_call_takes_no_way_without_tls() {
    let mut shard = calls(&with_tls("", BOTH), "sips", "sips");
    shard.next_response(100);
    let sent = shard.next_request(Method::Invite);
    assert_eq!(sent.hop.protocol, Protocol::Tls);
    assert_eq!(sent.hop.remote.to_string(), "198.51.100.50:5061");
    // The second trunk is written to as it always is: with TLS, and without a word of `sips`.
    assert!(uri(&sent.message).starts_with("sip:"), "{}", text(&sent));
    let contact = "Contact: <sip:gw@198.51.100.50:5061;transport=tls>\n";
    let answer = response(&sent.message, "200 OK", "b1", contact, CARRIER_SDP);
    let flow = Flow {
        remote: "198.51.100.50:40001".parse().unwrap(),
        identity: None,
        ..secure_flow()
    };
    shard.receive(flow, &answer);
    shard.next_request(Method::Ack);
    // The caller asked for a secure dialog and gets one.
    let ok = shard.next_response(200).message;
    let contact = header(&ok, HeaderName::Contact);
    assert!(contact.starts_with("<sips:"), "{contact}");
    assert!(!contact.contains("transport"), "{contact}");
    // A call without that wish takes the first way there is.
    let mut shard = calls(&with_tls("", BOTH), "sip", "sip");
    shard.next_response(100);
    assert_eq!(
        shard.next_request(Method::Invite).hop.protocol,
        Protocol::Udp
    );
}

#[test]
fn a_sips_call_without_any_secure_way_is_refused_with_the_reason() {
    let config = with_tls("", "{ trunk = \"carrier-a\" }");
    let mut shard = calls(&config, "sips", "sips");
    shard.next_response(100);
    let refusal = shard.next_response(480).message;
    assert_eq!(
        header(&refusal, HeaderName::Warning),
        "380 192.0.2.11 \"SIPS Not Allowed\""
    );
    assert_eq!(shard.records[0].cause.code, CauseCode::NoRoute);
    let why = shard.records[0].cause.because.0.join("; ");
    assert!(why.contains("no way has TLS"), "{why}");
}

#[test]
fn a_sips_request_with_a_contact_that_is_none_is_refused() {
    let mut shard = calls(&with_tls("", BOTH), "sips", "sip");
    assert!(shard.sent.iter().all(|sent| !sent.message.is_request()));
    let last = shard.sent.pop_back().expect("an answer");
    assert_eq!(last.message.status().map(|s| s.code()), Some(400));
    // The other way round is what many peers do.
    let mut shard = calls(&with_tls("", BOTH), "sip", "sips");
    shard.next_response(100);
    shard.next_request(Method::Invite);
}

#[test]
fn a_sips_call_is_not_redirected_to_anything_less() {
    let ways = "{ trunk = \"second\" }";
    for (target, goes_on) in [
        ("sips:+498999998002@sip.second.example", true),
        ("sip:+498999998002@sip.second.example", false),
    ] {
        let mut shard = calls(&with_tls("", ways), "sips", "sips");
        shard.next_response(100);
        let sent = shard.next_request(Method::Invite);
        let flow = Flow {
            remote: "198.51.100.50:40001".parse().unwrap(),
            ..secure_flow()
        };
        let lines = format!("Contact: <{target}>\n");
        let moved = response(&sent.message, "302 Moved Temporarily", "b1", &lines, "");
        shard.receive(flow, &moved);
        shard.next_request(Method::Ack);
        match goes_on {
            true => {
                let next = shard.next_request(Method::Invite);
                assert_eq!(next.hop.protocol, Protocol::Tls);
                assert!(uri(&next.message).contains("+498999998002"));
            }
            false => assert!(shard.sent.iter().all(|sent| !sent.message.is_request())),
        }
    }
}

#[test]
fn a_trunk_that_wants_sips_sees_nothing_else_of_us() {
    let config = with_tls("uri_scheme = \"sips\"", "{ trunk = \"secure\" }");
    let mut shard = Shard::with(config_of(&config));
    shard.receive(second_flow(), &invite("sip", "sip"));
    shard.next_response(100);
    let sent = shard.next_request(Method::Invite).message;
    assert!(
        uri(&sent).starts_with("sips:+493023125456@sip.secure.example"),
        "{}",
        uri(&sent)
    );
    assert!(!uri(&sent).contains("transport"), "{}", uri(&sent));
    for name in [HeaderName::From, HeaderName::To, HeaderName::Contact] {
        let value = header(&sent, name);
        assert!(
            value.contains("<sips:") && !value.contains("transport"),
            "{value}"
        );
    }
    // With its default it is `sip` with the parameter.
    let config = with_tls("", "{ trunk = \"secure\" }");
    let mut shard = Shard::with(config_of(&config.replace("uri_scheme", "# uri_scheme")));
    shard.receive(second_flow(), &invite("sip", "sip"));
    shard.next_response(100);
    let sent = shard.next_request(Method::Invite).message;
    assert!(uri(&sent).starts_with("sip:"), "{}", uri(&sent));
}

#[test]
fn a_promise_that_cannot_be_kept_is_a_finding() {
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    let findings = |text: &str| {
        let loaded = load(&[Source::new("test.toml", text)], &facts, None);
        loaded
            .err()
            .map(|findings| findings.to_text())
            .unwrap_or_default()
    };
    let plain = CONFIG.replace("codecs = [", "uri_scheme = \"sips\"\ncodecs = [");
    let told = findings(&plain);
    assert!(
        told.contains("trunk \"carrier-a\": sips URIs promise TLS"),
        "{told}"
    );
    let teams = CONFIG.replace(
        "preset = \"teams\"",
        "preset = \"teams\"\nuri_scheme = \"sips\"",
    );
    let told = findings(&teams);
    assert!(told.contains("Teams knows no sips URIs"), "{told}");
    assert_eq!(findings(&with_tls("uri_scheme = \"sips\"", BOTH)), "");
}

#[test]
fn who_takes_over_a_call_with_a_sips_request_gets_a_secure_dialog() {
    let mut shard = Shard::with(config_of(&with_tls("", "{ trunk = \"secure\" }")));
    let second = Flow {
        remote: "198.51.100.50:40001".parse().unwrap(),
        identity: Some(Arc::new(PeerIdentity {
            context: TlsContextName::new("teams"),
            names: vec!["sip.second.example".to_owned()],
            server_name: None,
        })),
        ..secure_flow()
    };
    shard.receive(second.clone(), &invite("sip", "sip"));
    shard.next_response(100);
    let called = shard.next_request(Method::Invite).message;
    let contact = "Contact: <sip:gw@198.51.100.40:5061;transport=tls>\n";
    let answer = response(&called, "200 OK", "b1", contact, CARRIER_SDP);
    shard.receive(secure_flow(), &answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    let via = "SIP/2.0/TLS 198.51.100.50:5061;branch=z9hG4bKack";
    shard.receive(second, &in_dialog(&ok, "ACK", 10, via));
    let from = header(&called, HeaderName::From);
    let (_, tag) = from.split_once(";tag=").expect("a tag");
    let replaces = format!(
        "Replaces: {};to-tag={tag};from-tag=b1\nMax-Forwards",
        header(&called, HeaderName::CallId)
    );
    let newcomer = invite("sips", "sips")
        .replace("Max-Forwards", &replaces)
        .replace("Call-ID: s\n", "Call-ID: newcomer\n")
        .replace("branch=z9hG4bKs", "branch=z9hG4bKnewcomer");
    shard.receive(secure_flow(), &newcomer);
    shard.next_response(100);
    let ok = shard.next_response(200).message;
    let contact = header(&ok, HeaderName::Contact);
    assert!(contact.starts_with("<sips:"), "{contact}");
    assert!(!contact.contains("transport"), "{contact}");
}
