//! What has broken other products, played against a whole shard: classes of published vulnerabilities,
//! each with a name in the ledger. Whatever comes, nothing panics, nothing is left behind, and the next
//! call is served.

use crate::registrar::{
    How, RIGHT, Register, USUAL, challenged, credentials, flow_of, started, status, unproven,
    with_line, with_pbx,
};
use crate::world::call::*;
use crate::world::two::two_carriers;
use crate::world::*;
use sbc_core::auth::{Account, Algorithm, Password, Proof, Qop, Unproven};
use sbc_core::id::FlowId;
use sbc_core::input::Input;
use sbc_core::sip::{Limits, Message, Method};
use sbc_core::transport::framer::{Frame, Framer};
use sbc_core::transport::{Flow, FlowFault, Protocol};
use std::time::Duration;

/// Requests of every kind, and one of a kind that nobody knows.
const METHODS: [&str; 15] = [
    "INVITE",
    "ACK",
    "CANCEL",
    "BYE",
    "OPTIONS",
    "REGISTER",
    "PRACK",
    "UPDATE",
    "INFO",
    "MESSAGE",
    "REFER",
    "NOTIFY",
    "SUBSCRIBE",
    "PUBLISH",
    "WHATEVER",
];

/// A shard whose answers need not be sound: they repeat what was broken.
fn hardened() -> Shard {
    let mut shard = Shard::new();
    shard.start_lines = Some(Vec::new());
    shard
}

/// After all that, a call is served as ever and nothing is left.
fn serves(mut shard: Shard) {
    shard.pass(Duration::from_secs(400));
    shard.start_lines = None;
    shard.sent.clear();
    shard.carrier_says(&carrier_invite("afterwards", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&invite, "486 Busy Here", "x", "", ""));
    shard.next_request(Method::Ack);
    shard.next_response(486);
    shard.settles();
}

fn of(method: &str, call_id: &str) -> String {
    carrier_invite(call_id, "")
        .replace("INVITE sip", &format!("{method} sip"))
        .replace("10 INVITE", &format!("10 {method}"))
}

/// A message with another line before its first of this name.
fn beside(text: &str, line: &str) -> String {
    text.replacen("Max-Forwards", &format!("{line}\nMax-Forwards"), 1)
}

#[test]
fn no_method_of_a_stranger_gets_an_answer_or_leaves_a_trace_over_any_transport() {
    let strangers = [
        (Protocol::Udp, "203.0.113.99:5060"),
        (Protocol::Tcp, "203.0.113.99:40000"),
        (Protocol::Tls, "198.51.100.20:40000"),
    ];
    let config = with_pbx("", "");
    for (protocol, remote) in strangers {
        for method in METHODS {
            let mut shard = started(&config);
            let flow = match protocol {
                Protocol::Tls => Flow {
                    remote: remote.parse().unwrap(),
                    identity: None,
                    ..teams_flow()
                },
                _ => flow_of(50, protocol, remote),
            };
            shard.receive(flow, &of(method, "stranger"));
            assert!(shard.sent.is_empty(), "{method} over {protocol}");
            assert!(shard.queries.is_empty() && shard.records.is_empty());
            assert_eq!(shard.core.census(), Default::default(), "{method}");
        }
    }
}

#[test]
fn every_method_of_a_peer_with_a_password_asks_for_it_or_leads_nowhere() {
    for method in METHODS {
        let mut shard = started(&with_pbx("", ""));
        let flow = flow_of(50, Protocol::Udp, "198.51.100.200:5060");
        shard.receive(flow, &of(method, "unproven"));
        let answer = shard.sent.pop_front().map(|sent| status(&sent.message));
        match method {
            "ACK" => assert_eq!(answer, None),
            "CANCEL" => assert_eq!(answer, Some(481)),
            _ => assert_eq!(answer, Some(401), "{method}"),
        }
        assert!(shard.sent.is_empty() && shard.queries.is_empty());
        assert_eq!(shard.core.census(), Default::default(), "{method}");
    }
}

#[test]
fn only_the_right_password_from_the_right_network_is_served() {
    let guessed = How {
        password: "guessed",
        ..RIGHT
    };
    let shown = [Some(RIGHT), Some(guessed), None];
    let networks = [("198.51.100.200:5060", true), ("203.0.113.99:5060", false)];
    let configs = [(with_pbx("", ""), true), (CONFIG.to_owned(), false)];
    for (config, is_there) in &configs {
        for (remote, is_right) in networks {
            for how in &shown {
                let flow = flow_of(51, Protocol::Udp, remote);
                let mut shard = started(&with_pbx("", ""));
                let from = flow_of(51, Protocol::Udp, "198.51.100.200:5060");
                let challenge = challenged(&mut shard, &from, &USUAL.text(), 401);
                if !is_there {
                    shard.apply(Input::Config(config_of(config)));
                }
                let text = Register { cseq: 2, ..USUAL }.text();
                let text = match how {
                    Some(how) => with_line(&text, &credentials(&text, &challenge, how)),
                    None => text,
                };
                shard.receive(flow, &text);
                let answer = shard.sent.pop_front().map(|sent| status(&sent.message));
                let is_proven = how
                    .as_ref()
                    .is_some_and(|how| how.password == RIGHT.password);
                let wanted = match (is_there, is_right, is_proven) {
                    (true, true, true) => Some(200),
                    (true, true, false) => Some(401),
                    _ => None,
                };
                let bound = shard.core.census().bindings;
                assert_eq!(answer, wanted, "{remote} {is_there} {is_proven}");
                assert_eq!(bound, usize::from(wanted == Some(200)));
            }
        }
    }
}

#[test]
fn credentials_that_nobody_asked_for_are_no_proof_and_no_harm() {
    // For a realm that is not ours, on a trunk that asks and on one that does not.
    let mut shard = started(&with_pbx("", ""));
    let flow = flow_of(50, Protocol::Udp, "198.51.100.200:5060");
    let text = Register { cseq: 2, ..USUAL }.text();
    let challenge = challenged(&mut shard, &flow, &USUAL.text(), 401);
    let line = credentials(&text, &challenge, &RIGHT);
    let foreign = line.replace("realm=\"sip.example.com\"", "realm=\"elsewhere\"");
    shard.receive(flow.clone(), &with_line(&text, &foreign));
    shard.next_response(401);
    assert_eq!(unproven(&shard), [Unproven::Missing, Unproven::Missing]);
    // Cut at every octet.
    for end in "Authorization:".len()..line.trim_end().len() {
        let cut = format!("{}\n", line[..end].trim_end());
        shard.receive(flow.clone(), &with_line(&text, &cut));
        shard.sent.clear();
    }
    assert_eq!(shard.core.census(), Default::default());
    let mut shard = Shard::new();
    let invite = carrier_invite("shown", CARRIER_SDP);
    shard.carrier_says(&beside(&invite, line.trim_end()));
    shard.next_response(100);
    shard.next_request(Method::Invite);
}

#[test]
fn credentials_of_any_length_are_computed() {
    for length in [0, 1, 31, 32, 33, 127, 128, 129, 4_096, 65_536] {
        let long = "x".repeat(length);
        let account = Account {
            username: long.clone(),
            password: Password::new(long.clone().into_bytes()),
            realms: Vec::new(),
            allows_md5: true,
        };
        for algorithm in ["MD5", "SHA-256", "SHA-512-256"] {
            let proof = Proof {
                algorithm: Algorithm::named(algorithm.as_bytes()).expect("known"),
                account: &account,
                realm: long.as_bytes(),
                nonce: long.as_bytes(),
                qop: Some(Qop::AuthInt),
                count: u32::MAX,
                cnonce: &long,
                method: &Method::Invite,
                uri: long.as_bytes(),
                body: long.as_bytes(),
            };
            let octets = if algorithm == "MD5" { 32 } else { 64 };
            assert_eq!(proof.response().len(), octets);
        }
        assert_eq!(account.seal(long.as_bytes()).to_string().len(), 32);
    }
}

#[test]
fn values_of_every_length_in_every_place_are_taken_or_refused() {
    let mut shard = hardened();
    let invite = carrier_invite("long", CARRIER_SDP);
    for length in [
        1, 15, 16, 255, 256, 257, 1_023, 1_024, 4_095, 4_097, 8_192, 16_385, 40_000,
    ] {
        let long = "a".repeat(length);
        for (from, to) in [
            ("z9hG4bKlong", format!("z9hG4bK{long}")),
            ("tag=c1", format!("tag={long}")),
            ("Call-ID: long", format!("Call-ID: {long}")),
            ("10 INVITE", format!("10 {long}")),
            ("INVITE sip", format!("{long} sip")),
            ("\"Ada\"", format!("\"{long}\"")),
            ("sip:gw@", format!("sip:{long}@")),
            ("gw@198.51.100.20", format!("gw@{long}.example.com")),
            (
                "Content-Type: application/sdp",
                format!("Content-Type: {long}/{long}"),
            ),
            ("c=IN IP4 198.51.100.30", format!("c=IN IP4 {long}")),
            ("s=-", format!("s={long}")),
        ] {
            shard.carrier_says(&invite.replacen(from, &to, 1));
        }
    }
    serves(shard);
}

#[test]
fn headers_repeated_up_to_three_hundred_times_are_taken_or_refused() {
    let mut shard = hardened();
    for name in [
        "Accept: a/b",
        "Allow: INVITE",
        "Supported: timer",
        "Require: timer",
        "Via: SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bKmore",
        "Record-Route: <sip:192.0.2.77;lr>",
        "Route: <sip:192.0.2.77;lr>",
        "Contact: <sip:more@192.0.2.77>",
        "P-Asserted-Identity: <tel:+4930>",
        "Diversion: <tel:+4930>;reason=unconditional",
        "History-Info: <sip:a@192.0.2.77>;index=1",
        "Reason: Q.850;cause=16",
        "Call-Info: <http://192.0.2.77>;purpose=icon",
        "Authorization: Digest username=\"a\"",
        "X-Unknown: x",
        "To: <sip:more@192.0.2.77>",
        "CSeq: 10 INVITE",
    ] {
        for count in [2, 31, 33, 69, 71, 300] {
            let (field, value) = name.split_once(": ").expect("a header");
            let lines = format!("{name}\n").repeat(count);
            let list = format!("{field}: {}", vec![value; count].join(", "));
            for (kind, more) in [("l", lines.trim_end()), ("c", &list)] {
                let call_id = format!("{field}{count}{kind}");
                let invite = carrier_invite(&call_id, CARRIER_SDP);
                shard.carrier_says(&beside(&invite, more));
            }
        }
    }
    serves(shard);
}

#[test]
fn headers_that_are_missing_empty_or_doubled_are_taken_or_refused() {
    let mut shard = hardened();
    let forms = |name: &str| {
        vec![
            String::new(),
            format!("{name}:\n"),
            format!("{name}: <>\n"),
            format!("{name}: <sip:>;tag=\n"),
            format!("{name}: ;tag\n"),
            format!("{name}: \"\n"),
            format!("{name}: <sip:a@b>;tag=;tag=;=\n"),
            format!("{name}: a\n{name}:\n"),
        ]
    };
    for method in ["INVITE", "CANCEL", "BYE", "REGISTER", "REFER"] {
        for name in [
            "Via",
            "From",
            "To",
            "Call-ID",
            "CSeq",
            "Contact",
            "Max-Forwards",
        ] {
            for (at, form) in forms(name).iter().enumerate() {
                let text = of(method, &format!("{method}{name}{at}"));
                let line = text
                    .lines()
                    .find(|line| line.starts_with(&format!("{name}:")));
                let line = format!("{}\n", line.expect("a header"));
                shard.carrier_says(&text.replace(&line, form));
            }
        }
        for name in [
            "Diversion",
            "History-Info",
            "Refer-To",
            "Replaces",
            "RAck",
            "Reason",
        ] {
            for (at, form) in forms(name).iter().enumerate() {
                let text = of(method, &format!("{method}{name}{at}"));
                shard.carrier_says(&beside(&text, form.trim_end()));
            }
        }
    }
    serves(shard);
}

#[test]
fn responses_without_what_they_should_have_harm_their_own_call_alone() {
    for name in [
        "Via",
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Contact",
        "Content-Type",
    ] {
        for start in ["180 Ringing", "200 OK", "302 Moved", "407 Proxy", "699 Odd"] {
            let (mut shard, invite) = called_out("bare");
            let full = response(&invite.message, start, "x1", TEAMS_CONTACT, TEAMS_SDP);
            for empty in [false, true] {
                let kept = full.lines().filter(|line| !line.starts_with(name));
                let mut text: String = kept.map(|line| format!("{line}\n")).collect();
                if empty {
                    text = text.replacen('\n', &format!("\n{name}:\n"), 1);
                }
                shard.teams_says(&text);
            }
            shard.sent.clear();
            serves(shard);
        }
    }
}

#[test]
fn every_scheme_in_every_header_with_a_uri_is_taken_or_refused() {
    let mut shard = hardened();
    let uris = [
        "tel:+493023125456",
        "tel:",
        "urn:service:sos",
        "http://192.0.2.77/",
        "mailto:a@example.com",
        "im:a@example.com",
        "sips:a@example.com",
        "sip:",
        "x:y",
    ];
    let names = [
        "From",
        "To",
        "Contact",
        "Route",
        "Record-Route",
        "Path",
        "Refer-To",
        "Referred-By",
        "History-Info",
        "Diversion",
        "P-Asserted-Identity",
        "P-Preferred-Identity",
        "Remote-Party-ID",
        "P-Called-Party-ID",
        "Call-Info",
        "Alert-Info",
        "Geolocation",
    ];
    for name in names {
        for (at, uri) in uris.iter().enumerate() {
            for method in ["INVITE", "OPTIONS", "REFER"] {
                let text = of(method, &format!("{name}{at}{method}"));
                let line = format!("{name}: <{uri}>;index=1;tag=a");
                let own = text
                    .lines()
                    .find(|line| line.starts_with(&format!("{name}:")));
                let text = match own {
                    Some(own) => text.replace(own, &line),
                    None => beside(&text, &line),
                };
                shard.carrier_says(&text);
            }
        }
        let (mut other, invite) = called_out("schemes");
        for uri in uris {
            let line = format!("{TEAMS_CONTACT}{name}: <{uri}>;index=1\n");
            other.teams_says(&response(&invite.message, "181 Forwarded", "x1", &line, ""));
        }
        other.sent.clear();
        serves(other);
    }
    serves(shard);
}

#[test]
fn hosts_that_are_none_lead_nowhere_and_end_cleanly() {
    for host in [
        ".1",
        "[.1]",
        "[::1",
        "1.2.3",
        "1.2.3.4.5",
        "999.1.1.1",
        "-",
        ".",
        "a..b",
        "[::ffff:1]",
    ] {
        let mut shard = hardened();
        for (from, to) in [
            ("sip:gw@198.51.100.20:5060", format!("sip:gw@{host}:5060")),
            ("@192.0.2.11:5060 SIP", format!("@{host}:5060 SIP")),
            ("198.51.100.20:5060;branch", format!("{host}:5060;branch")),
        ] {
            let text = carrier_invite("host", CARRIER_SDP).replacen(from, &to, 1);
            shard.carrier_says(&text.replace("host", "hosts"));
        }
        serves(shard);
        let (mut shard, invite) = called_out("answer");
        let contact = format!("Contact: <sip:x@{host}>\nRecord-Route: <sip:{host};lr>\n");
        shard.teams_says(&response(
            &invite.message,
            "200 OK",
            "x1",
            &contact,
            TEAMS_SDP,
        ));
        while let Some((query, _)) = shard.queries.pop_front() {
            let fault = sbc_core::query::ResolveFault::NotFound;
            let failed = sbc_core::query::Outcome::ResolveFailed(fault);
            shard.apply(Input::Outcome(query, failed));
        }
        shard.sent.clear();
        shard.pass(Duration::from_secs(400));
        shard.sent.clear();
        serves(shard);
    }
}

#[test]
fn no_spelling_of_a_length_makes_two_messages_of_one() {
    let second = "OPTIONS sip:b@example.com SIP/2.0\r\nl: 0\r\n\r\n";
    let lengths = [
        "Content-Length: 4\r\nContent-Length: 0",
        "l: 4\r\nContent-Length: 0",
        "Content-Length: 4\r\nl: 4",
        "Content-Length: -1",
        "Content-Length: +4",
        "Content-Length: 0x4",
        "Content-Length:",
        "Content-Length: 4 4",
        "Content-Length: 4, 0",
        "Content-Length: 2147483648",
        "Content-Length: 4294967296",
        "Content-Length: 4294967300",
        "Content-Length: 9223372036854775808",
        "Content-Length: 18446744073709551620",
        "Content-Length: 99999999999999999999999999999999",
        "Transfer-Encoding: chunked",
        "Content-Length: 4\0",
    ];
    for length in lengths {
        let stream = format!(
            "OPTIONS sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1\r\n{length}\r\n\r\nbody{second}"
        );
        let mut framer = Framer::new(Limits::default());
        framer.push(stream.as_bytes());
        let frames: Vec<Frame> = std::iter::from_fn(|| framer.next_frame()).collect();
        match frames.as_slice() {
            [Frame::Fault(rejected)] => {
                let status = rejected.status().map(|status| status.code());
                assert!(matches!(status, Some(400 | 513)), "{length:?}: {status:?}");
            }
            other => panic!("{length:?}: {other:?}"),
        }
        framer.push(second.as_bytes());
        assert_eq!(framer.next_frame(), None, "nothing follows");
    }
}

/// What comes of a stream, cut at these places: how its only fault is answered, and that nothing follows.
fn refused(stream: &[u8], segment: usize) -> Option<u16> {
    let mut framer = Framer::new(Limits::default());
    let mut frames = Vec::new();
    for octets in stream.chunks(segment) {
        framer.push(octets);
        frames.extend(std::iter::from_fn(|| framer.next_frame()));
    }
    match frames.as_slice() {
        [Frame::Fault(rejected)] => rejected.status().map(|status| status.code()),
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(stream)),
    }
}

#[test]
fn line_ends_that_are_none_and_nul_are_refused_at_once_and_end_the_stream() {
    let proper = "OPTIONS sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\r\n\
                  From: <sip:a@example.com>;tag=1\r\nSubject: one\r\n two\r\nl: 4\r\n\r\n";
    let second = "OPTIONS sip:b@example.com SIP/2.0\r\nl: 0\r\n\r\n";
    let replaced = [
        ("\r\n", "\n"),
        ("\r\n", "\r"),
        ("\r\n\r\n", "\n\n"),
        ("\r\n\r\n", "\r\r"),
        ("\r\n\r\n", "\r\n\n"),
        ("\r\n\r\n", "\n\r\n"),
        ("\r\n\r\n", "\r\n\rx\n\n"),
        ("\r\n\r\n", "\r\r\n"),
        ("SIP/2.0\r\n", "SIP/2.0\n"),
        ("SIP/2.0\r\n", "SIP/2.0\r"),
        ("tag=1\r\n", "tag=1\n"),
        ("tag=1\r\n", "tag=1\r"),
        ("tag=1\r\n", "tag=1\n\r\n"),
        ("one\r\n two", "one\n two"),
        ("one", "on\re"),
        ("one", "on\0e"),
        ("one", "\\\\\0"),
        ("Subject:", "Sub\0ject:"),
        ("a@example", "a\0@example"),
    ];
    for (was, is) in replaced {
        let stream = proper.replace(was, is);
        assert_ne!(stream, proper);
        // Whoever ends its lines so does not wait for more, and whatever follows is none of ours to read.
        for tail in ["", "body", &format!("body{second}")] {
            let stream = format!("{stream}{tail}");
            for segment in [1, 2, 3, 7, 4_096] {
                let status = refused(stream.as_bytes(), segment);
                assert_eq!(status, Some(400), "{is:?} in {segment}, then {tail:?}");
            }
        }
    }
    // What is right goes on: line ends between messages, and the NUL that a quoted string may have.
    let escaped = proper.replace("From: <", "From: \"\\\0\" <");
    let stream = format!("{proper}body\r\n\r\n{escaped}body\r\n");
    for segment in [1, 2, 4_096] {
        let mut framer = Framer::new(Limits::default());
        let mut frames = Vec::new();
        for octets in stream.as_bytes().chunks(segment) {
            framer.push(octets);
            frames.extend(std::iter::from_fn(|| framer.next_frame()));
        }
        let kinds: Vec<bool> = frames
            .iter()
            .map(|frame| matches!(frame, Frame::Message(_)))
            .collect();
        assert_eq!(kinds, [true, false, false, true, false], "{frames:?}");
    }
}

#[test]
fn numbers_out_of_every_range_in_a_description_are_taken_or_refused() {
    let numbers = [
        "-1",
        "0",
        "127",
        "128",
        "200",
        "65536",
        "4294967295",
        "4294967296",
        "18446744073709551616",
        "x",
        "",
    ];
    let places = [
        ("m=audio 6000", "m=audio N"),
        ("m=audio 6000", "m=audio 6000/N"),
        ("RTP/AVP 8 0 101", "RTP/AVP N 8 0 101"),
        ("a=rtpmap:101", "a=rtpmap:N"),
        ("telephone-event/8000", "telephone-event/N"),
        ("a=fmtp:101 0-15", "a=fmtp:N 0-15"),
        ("a=fmtp:101 0-15", "a=fmtp:101 0-N"),
        ("a=sendrecv", "a=ptime:N"),
        ("a=sendrecv", "a=maxptime:N"),
        ("a=sendrecv", "a=rtcp:N"),
        ("a=sendrecv", "a=crypto:N AES_CM_128_HMAC_SHA1_80 inline:x"),
        ("a=sendrecv", "a=candidate:1 N UDP N 192.0.2.1 N typ host"),
        ("a=sendrecv", "b=AS:N"),
        ("a=sendrecv", "b=RS:N"),
        ("a=sendrecv", "a=T38FaxMaxBuffer:N"),
        ("o=- 1 1", "o=- N 1"),
        ("o=- 1 1", "o=- 1 N"),
        ("t=0 0", "t=N N"),
        ("v=0", "v=N"),
    ];
    for (from, to) in places {
        let mut shard = hardened();
        for (at, number) in numbers.iter().enumerate() {
            let sdp = CARRIER_SDP.replacen(from, &to.replace('N', number), 1);
            shard.carrier_says(&carrier_invite(&format!("n{at}"), &sdp));
        }
        serves(shard);
        let mut shard = Shard::new();
        for (at, number) in numbers.iter().enumerate() {
            shard.teams_says(&teams_invite(&format!("a{at}")));
            shard.next_response(100);
            let invite = shard.next_request(Method::Invite).message;
            let sdp = CARRIER_SDP.replacen(from, &to.replace('N', number), 1);
            for start in ["183 Progress", "200 OK"] {
                let answer = response(&invite, start, "x1", CARRIER_CONTACT, &sdp);
                shard.carrier_says(&answer);
            }
            shard.sent.clear();
        }
        serves(shard);
    }
}

#[test]
fn packet_times_of_the_two_sides_need_not_fit_each_other() {
    for of_a in [0, 1, 60, 200, 201, 65_535] {
        for of_b in [0, 1, 60, 200, 201, 65_535] {
            let with = |ms: u32| {
                CARRIER_SDP.replace("a=sendrecv", &format!("a=ptime:{ms}\na=maxptime:{ms}"))
            };
            let text = two_carriers("", "");
            let mut shard = Shard::with(config_of(&text));
            shard.carrier_says(&carrier_invite("ptime", &with(of_a)));
            shard.next_response(100);
            let invite = shard.next_request(Method::Invite);
            let written = String::from_utf8_lossy(&invite.message.body()).into_owned();
            let times = written.lines().filter_map(|line| {
                line.strip_prefix("a=ptime:")
                    .or(line.strip_prefix("a=maxptime:"))
            });
            for time in times {
                let time: u32 = time.parse().expect("a number");
                assert!((1..=200).contains(&time), "{written}");
            }
            let mut flow = carrier_flow();
            flow.remote = invite.hop.remote;
            let contact = "Contact: <sip:gw@198.51.100.40:5060>\n";
            let answer = response(&invite.message, "200 OK", "b1", contact, &with(of_b));
            shard.receive(flow, &answer);
            shard.next_request(Method::Ack);
            shard.next_response(200);
        }
    }
}

#[test]
fn media_is_never_sent_to_this_host_to_a_group_or_to_the_link() {
    let refused = [
        "IP4 127.0.0.1",
        "IP4 127.9.9.9",
        "IP4 169.254.169.254",
        "IP4 224.0.0.1",
        "IP4 255.255.255.255",
        "IP6 ::1",
        "IP6 ::ffff:127.0.0.1",
        "IP6 fe80::1",
        "IP6 ff02::1",
        "IP6 ::ffff:0.0.0.0",
    ];
    for address in refused {
        let mut shard = Shard::new();
        let sdp = CARRIER_SDP.replace("c=IN IP4 198.51.100.30", &format!("c=IN {address}"));
        shard.carrier_says(&carrier_invite("here", &sdp));
        shard.next_response(100);
        let answer = shard.next().message.status().map(|status| status.code());
        assert_eq!(answer, Some(488), "{address}");
        // In an answer, and in an offer within a call.
        let (mut shard, invite) = called_in(CONFIG, "there");
        let answer = response(&invite.message, "200 OK", "x1", CARRIER_CONTACT, &sdp);
        shard.carrier_says(&answer);
        let sent: Vec<Message> = shard.sent.drain(..).map(|sent| sent.message).collect();
        for method in [Method::Ack, Method::Bye] {
            let is_it = |message: &&Message| message.is_request() && *message.method() == method;
            assert_eq!(sent.iter().filter(is_it).count(), 1, "{method:?} {address}");
        }
        assert!(sent.iter().any(|message| message.status().is_some()));
        let mut call = Call::new();
        call.says(
            "INVITE",
            &format!("{CARRIER_CONTACT}Content-Type: application/sdp\n"),
            &sdp,
        );
        call.shard.next_response(100);
        call.refused(488);
        let agreed = format!("{:?}", call.shard.media);
        let bare = address.split(' ').nth(1).expect("an address");
        assert!(!agreed.contains(bare), "{agreed}");
    }
    // A hold is none of them.
    let mut shard = Shard::new();
    let sdp = CARRIER_SDP.replace("c=IN IP4 198.51.100.30", "c=IN IP4 0.0.0.0");
    shard.carrier_says(&carrier_invite("held", &sdp));
    shard.next_response(100);
    shard.next_request(Method::Invite);
}

#[test]
fn a_secure_leg_stays_secure_whatever_a_later_offer_says() {
    let clear = TEAMS_SDP.replace("RTP/SAVP", "RTP/AVP");
    let keyless: String = TEAMS_SDP
        .lines()
        .filter(|line| !line.starts_with("a=crypto"))
        .map(|line| format!("{line}\n"))
        .collect();
    let short = TEAMS_SDP.replace("inline:", "inline:AA");
    let unsafe_params = TEAMS_SDP.replace("|2^31", "|2^31 UNENCRYPTED_SRTP");
    for sdp in [clear, keyless, short, unsafe_params] {
        assert_ne!(sdp, TEAMS_SDP);
        let mut call = Call::new();
        let before = call.shard.media.len();
        let lines = format!("{TEAMS_CONTACT}Content-Type: application/sdp\n");
        let bare = callee_request(&call.invite, "x1", "INVITE", 1, &lines);
        let head = bare.replace("Content-Length: 0\n\n", "");
        let length = sdp.replace('\n', "\r\n").len();
        call.shard
            .teams_says(&format!("{head}Content-Length: {length}\n\n{sdp}"));
        call.shard.next_response(100);
        call.shard.next_response(488);
        assert_eq!(
            call.shard.media.len(),
            before,
            "the relay hears nothing of it"
        );
        call.shard.sent.clear();
        call.lives();
    }
}

#[test]
fn a_connection_that_dies_at_any_step_takes_nothing_along_but_its_own_call() {
    for step in 0..6 {
        let mut shard = Shard::new();
        let lost = |shard: &mut Shard| {
            let flow = FlowId(2);
            let why = FlowFault::Closed;
            shard.apply(Input::FlowLost { flow, why });
        };
        let mut at = 0;
        let mut is_time = |shard: &mut Shard| {
            if at == step {
                lost(shard);
            }
            at += 1;
        };
        shard.teams_says(&teams_invite("dying"));
        is_time(&mut shard);
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        let ringing = response(&invite, "180 Ringing", "b1", CARRIER_CONTACT, "");
        shard.carrier_says(&ringing);
        is_time(&mut shard);
        let answer = response(&invite, "200 OK", "b1", CARRIER_CONTACT, CARRIER_SDP);
        shard.carrier_says(&answer);
        is_time(&mut shard);
        let sent: Vec<Message> = shard.sent.drain(..).map(|sent| sent.message).collect();
        let is_ok = |message: &&Message| message.status().is_some_and(|one| one.code() == 200);
        let ok = sent.iter().rfind(is_ok).expect("an answer");
        let ack = in_dialog(
            ok,
            "ACK",
            1,
            "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bKack",
        );
        shard.teams_says(&ack);
        is_time(&mut shard);
        shard.carrier_says(&callee_request(&invite, "b1", "BYE", 1, "").replace(
            "SIP/2.0/TLS 203.0.113.1:5061",
            "SIP/2.0/UDP 198.51.100.20:5060",
        ));
        is_time(&mut shard);
        shard.pass(Duration::from_secs(100));
        is_time(&mut shard);
        shard.sent.clear();
        assert_eq!(shard.records.len(), 1, "{step}");
        serves(shard);
    }
}

#[test]
fn early_dialogs_whose_descriptions_are_broken_do_not_disturb_the_one_that_answers() {
    let broken = ["v=0\n", "v=0\nm=audio 1 RTP/SAVP 999\n", "nonsense\n"];
    for sdp in broken {
        for count in 1..=8 {
            let (mut shard, invite) = called_out("forks");
            let invite = invite.message;
            for fork in 0..count {
                let tag = format!("f{fork}");
                let progress = response(&invite, "183 Progress", &tag, TEAMS_CONTACT, sdp);
                shard.teams_says(&progress);
                shard.teams_says(&progress);
            }
            // Some of them end before the answer, in any order.
            let answer = response(&invite, "200 OK", "f0", TEAMS_CONTACT, TEAMS_SDP);
            shard.teams_says(&answer);
            let late = response(&invite, "200 OK", "f7", TEAMS_CONTACT, TEAMS_SDP);
            shard.teams_says(&late);
            let sent: Vec<Message> = shard.sent.drain(..).map(|sent| sent.message).collect();
            let is_ok =
                |message: &Message| message.status().is_some_and(|status| status.code() == 200);
            assert!(sent.iter().any(is_ok), "{sdp:?} {count}");
            shard.pass(Duration::from_secs(400));
            shard.sent.clear();
            serves(shard);
        }
    }
}

#[test]
fn subscriptions_and_their_ends_leave_nothing() {
    let mut shard = hardened();
    for (at, expires) in ["0", "1", "4294967295", "x", ""].iter().enumerate() {
        for event in ["refer", "presence", "dialog", ""] {
            let lines = format!("Event: {event}\nExpires: {expires}");
            let text = of("SUBSCRIBE", &format!("s{at}{event}"));
            shard.carrier_says(&beside(&text, &lines));
            let body = "Messages-Waiting: yes\nMessage-Account: ".to_owned() + &"a".repeat(30_000);
            let text = beside(&of("NOTIFY", &format!("n{at}{event}")), &lines);
            let text = text.replace(
                "Content-Length: 0\n\n",
                "Content-Type: application/simple-message-summary\n",
            );
            let length = body.replace('\n', "\r\n").len();
            shard.carrier_says(&format!("{text}Content-Length: {length}\n\n{body}"));
        }
    }
    assert_eq!(shard.core.census().dialogs, 0);
    serves(shard);
    let mut call = Call::new();
    for cseq in [1, 2] {
        let lines = "Event: refer\nExpires: 0\nContact: <sip:x@203.0.113.1:5061>\n";
        call.teams_says("SUBSCRIBE", cseq, lines);
        call.shard.next_response(489);
    }
    call.lives();
}

#[test]
fn a_route_that_a_peer_writes_leads_nowhere() {
    let mut shard = Shard::new();
    let invite = carrier_invite("routed", CARRIER_SDP);
    let route = "Route: <sip:192.0.2.77:5060;lr>, <sip:192.0.2.78;lr>";
    shard.carrier_says(&beside(&invite, route));
    shard.next_response(100);
    let out = shard.next_request(Method::Invite);
    assert_eq!(out.hop.remote.to_string(), TEAMS);
    let sent = text(&out);
    assert!(
        !sent.contains("192.0.2.77") && !sent.contains("Route: <sip:192"),
        "{sent}"
    );
    // Between two outside trunks there is no way that nobody has written.
    let outside = invite.replace("+493023125456", "+442079460000");
    let mut shard = Shard::new();
    shard.carrier_says(&outside);
    shard.next_response(100);
    shard.next_response(404);
}
