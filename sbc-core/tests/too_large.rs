//! Requests that are too large for a datagram: over TCP, back to UDP, or slimmer, as the operator says.

use crate::world;

use sbc_core::event::Happened;
use sbc_core::input::Input;
use sbc_core::sip::{HeaderName, Method};
use sbc_core::transport::{FlowFault, Protocol};
use std::time::Duration;
use world::*;

/// The carrier of the configuration with a TCP listener beside the UDP one, and a call of Teams that
/// makes our INVITE so many octets longer.
fn large(longer: usize, config: &str) -> (Shard, Vec<Sent>) {
    let mut shard = Shard::with(config_of(config));
    let line = format!("X-Long: {}\nMAX-FORWARDS", "x".repeat(longer));
    shard.teams_says(&teams_invite("large").replace("MAX-FORWARDS", &line));
    shard.next_response(100);
    let sent = shard.sent.drain(..).collect();
    (shard, sent)
}

fn config_with_tcp() -> String {
    let tcp = "[[listen]]\nrealm = \"carrier\"\ntransport = \"tcp\"\nport = 5060\n\n[[tenant]]";
    let pass = "codecs = [\"PCMA\", \"PCMU\"]\nheaders = { pass = [\"X-Long\"] }";
    CONFIG
        .replacen("[[tenant]]", tcp, 1)
        .replace("codecs = [\"PCMA\", \"PCMU\"]", pass)
}

#[test]
fn an_invite_too_large_for_a_datagram_goes_over_tcp_and_comes_back_if_that_fails() {
    let config = config_with_tcp();
    let (_, sent) = large(1, &config);
    let base = sent[0].message.bytes().len() - 1;
    let (_, sent) = large(1300 - base, &config);
    assert_eq!(sent[0].message.bytes().len(), 1300);
    assert_eq!(sent[0].hop.protocol, Protocol::Udp);

    let (mut shard, sent) = large(1301 - base, &config);
    let first = &sent[0];
    assert_eq!(first.hop.protocol, Protocol::Tcp);
    assert_eq!(first.hop.remote.to_string(), CARRIER);
    assert!(
        text(first).contains("Via: SIP/2.0/TCP 192.0.2.11:5060;"),
        "{}",
        text(first)
    );
    shard.apply(Input::SendFailed {
        transaction: first.transaction.unwrap(),
        why: FlowFault::Connect("connection refused".to_owned()),
    });
    let again = shard.next_request(Method::Invite);
    assert_eq!(again.hop.protocol, Protocol::Udp);
    assert_eq!(again.hop.remote.to_string(), CARRIER);
    let value = |sent: &Sent, name| sent.message.raw(name).unwrap();
    for name in [HeaderName::CSeq, HeaderName::CallId] {
        assert_eq!(value(first, name.clone()), value(&again, name));
    }
    assert_ne!(
        value(first, HeaderName::Via),
        value(&again, HeaderName::Via)
    );
    let actions: Vec<&str> = shard
        .happened
        .iter()
        .filter_map(|what| match what {
            Happened::Oversize { action, .. } => Some(action.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(actions, ["tcp", "fallback"]);
}

#[test]
fn how_much_a_datagram_may_hold_follows_from_the_mtu_where_it_is_known() {
    for (mtu, most) in [(1_400, 1_200), (1_600, 1_400)] {
        let keys = format!("name = \"carrier-a\"\nmtu = {mtu}");
        let config = config_with_tcp().replace("name = \"carrier-a\"", &keys);
        let (_, sent) = large(1, &config);
        let base = sent[0].message.bytes().len() - 1;
        let (_, sent) = large(most - base, &config);
        assert_eq!(sent[0].message.bytes().len(), most);
        assert_eq!(sent[0].hop.protocol, Protocol::Udp);
        let (shard, sent) = large(most + 1 - base, &config);
        assert_eq!(sent[0].hop.protocol, Protocol::Tcp);
        let told = |what: &Happened| match what {
            Happened::Oversize {
                octets, largest, ..
            } => Some((*octets, *largest)),
            _ => None,
        };
        let told = shard.happened.iter().find_map(told);
        assert_eq!(told, Some((most + 1, most)));
    }
}

#[test]
fn a_firewall_that_swallows_tcp_does_not_cost_the_target() {
    let (mut shard, sent) = large(900, &config_with_tcp());
    assert_eq!(sent[0].hop.protocol, Protocol::Tcp);
    shard.pass(Duration::from_secs(5));
    let again = shard.next_request(Method::Invite);
    assert_eq!(again.hop.protocol, Protocol::Udp);
    assert_eq!(again.hop.remote.to_string(), CARRIER);
}

#[test]
fn what_is_too_large_stays_on_udp_where_the_operator_says_so_or_tcp_is_not_spoken() {
    let says_so = config_with_tcp().replace(
        "name = \"carrier-a\"",
        "name = \"carrier-a\"\nudp_oversize = \"fragment\"",
    );
    let has_no_tcp = config_with_tcp()
        .replace(
            "transport = \"tcp\"\nport = 5060",
            "transport = \"udp\"\nport = 5070",
        )
        .replace("transport = \"udp\"", "transport = \"udp\"\ntcp = false");
    for config in [says_so, has_no_tcp] {
        let (_, sent) = large(900, &config);
        assert!(sent[0].message.bytes().len() > 1300);
        assert_eq!(sent[0].hop.protocol, Protocol::Udp);
    }
}

#[test]
fn what_is_too_large_goes_slim_where_the_operator_says_so() {
    let slim = |text: String| {
        let keys = "udp_oversize = \"slim\"\nidentity = { diversion = \"history-info\" }\ncodecs =";
        text.replace("codecs =", keys)
    };
    let history = |entries: usize| {
        let entry = |n: usize| {
            format!(
                "<sip:+4989999980{n:02}@sbc1.contoso.example?Reason=SIP%3Bcause%3D302>;index=1{}",
                ".1".repeat(n)
            )
        };
        let all: Vec<String> = (0..entries).map(entry).collect();
        format!("History-Info: {}\nMAX-FORWARDS", all.join(",\n "))
    };
    let sent = |config: &str, entries: usize, longer: usize| {
        let mut shard = Shard::with(config_of(config));
        let lines = format!("X-Long: {}\n{}", "x".repeat(longer), history(entries));
        shard.teams_says(&teams_invite("slim").replace("MAX-FORWARDS", &lines));
        shard.next_response(100);
        (shard.next_request(Method::Invite), shard)
    };
    let config = slim(config_with_tcp());
    // What fits is as it always is, but for the payload types that everybody knows.
    let (whole, _) = sent(&config, 3, 1);
    assert!(whole.message.has(HeaderName::UserAgent));
    let body = String::from_utf8_lossy(&whole.message.body()).into_owned();
    assert!(
        body.contains("RTP/AVP 8 0") && !body.contains("rtpmap:8"),
        "{body}"
    );
    assert!(body.contains("a=rtpmap:101 telephone-event/8000"), "{body}");
    let values = |sent: &Sent| sent.message.raw_all(HeaderName::HistoryInfo).count();
    let entries = values(&whole);
    assert!(entries > 2, "{entries}");
    let room = 1300 - whole.message.bytes().len();
    // A little too large: the product token is enough.
    let (less, shard) = sent(&config, 3, room + 2);
    assert_eq!(less.hop.protocol, Protocol::Udp);
    assert!(!less.message.has(HeaderName::UserAgent));
    assert!(less.message.bytes().len() <= 1300);
    assert_eq!(values(&less), entries);
    let is_slim = |what: &Happened| matches!(what, Happened::Oversize { action, .. } if action.as_str() == "slim");
    assert!(shard.happened.iter().any(is_slim));
    // Far too large: the first and the last of the earlier targets are left.
    let (least, _) = sent(&config, 3, room + 200);
    assert_eq!(least.hop.protocol, Protocol::Udp);
    assert_eq!(values(&least), 2);
}
