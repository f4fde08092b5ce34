//! Calls for help find every way that there is, and no time of ours ends them (TDR-EMG-006).

use crate::world;

use crate::emergency::{dialled, helping, refuse};
use media_api::{
    Command as MediaCommand, EndpointId, EndpointStats, Event as MediaEvent, SessionStats,
    StreamStats,
};
use sbc_core::input::Input;
use sbc_core::sip::{HeaderName, Message, Method, body};
use sbc_core::transport::Flow;
use std::time::Duration;
use world::call::header;
use world::*;

/// Those who help have two places.
fn two_places() -> String {
    helping().replace(
        "targets = [\"198.51.100.50:5060;udp\"]",
        "targets = [\"198.51.100.50:5060;udp\", \"198.51.100.51:5060;udp\"]",
    )
}

/// As [`two_places`], with these keys there, and nobody else helps.
fn alone(keys: &str) -> String {
    let last =
        "match = { emergency = true }\nto = [{ trunk = \"fabrikam-line\" }]\nany_tenant = true";
    let usual = "match = { from_trunk = \"teams-contoso\" }";
    two_places()
        .replace(
            "name = \"help\"\ntenant",
            &format!("name = \"help\"\n{keys}\ntenant"),
        )
        .replace(
            last,
            "match = { called = \"^4999\" }\nto = [{ trunk = \"carrier-a\" }]",
        )
        .replace(
            usual,
            "match = { from_trunk = \"teams-contoso\", called = \"^49\" }",
        )
}

fn help(call: &str) -> String {
    let help = dialled("112").replace("CALL-ID: help", &format!("CALL-ID: {call}"));
    help.replace("branch=z9hG4bKhelp", &format!("branch=z9hG4bK{call}"))
}

/// The last digits of where an INVITE goes.
fn place(invite: &Sent) -> String {
    invite.hop.remote.ip().to_string()
}

/// Refuses INVITEs until the caller is refused; who was called, in order.
fn all_refuse(shard: &mut Shard, mut status: impl FnMut(&str) -> String) -> Vec<String> {
    let mut called = Vec::new();
    loop {
        let sent = shard.next();
        if sent.message.is_response() {
            if sent
                .message
                .status()
                .is_some_and(|status| status.is_final())
            {
                return called;
            }
            continue;
        }
        assert_eq!(*sent.message.method(), Method::Invite);
        let own = place(&sent);
        let status = status(&own);
        called.push(own);
        refuse_with(shard, &sent, &status);
    }
}

/// Refuses an INVITE with a status line and lines after it.
fn refuse_with(shard: &mut Shard, invite: &Sent, status: &str) {
    let (start, lines) = status.split_once('\n').unwrap_or((status, ""));
    let remote = invite.hop.remote;
    let refusal = response(&invite.message, start, "x", lines, "");
    shard.receive(
        Flow {
            remote,
            ..carrier_flow()
        },
        &refusal,
    );
    shard.next_request(Method::Ack);
}

const ALL: [&str; 5] = [
    "198.51.100.50",
    "198.51.100.51",
    "198.51.100.60",
    "198.51.100.20",
    "198.51.100.21",
];

#[test]
fn every_place_of_every_trunk_is_tried_whatever_each_of_them_says() {
    for status in [
        "486 Busy Here",
        "603 Decline",
        "404 Not Found",
        "503 Service Unavailable",
    ] {
        let mut shard = Shard::with(config_of(&two_places()));
        shard.teams_says(&help("a"));
        assert_eq!(
            all_refuse(&mut shard, |_| status.to_owned()),
            ALL,
            "{status}"
        );
        shard.settles();
    }
}

/// A site that is gone has many addresses, and who calls for help little time.
#[test]
fn other_trunks_are_asked_before_the_third_address_of_one() {
    let place = |last: u8| format!("198.51.100.{last}");
    let targets = (50..55).map(|last| format!("\"{}:5060;udp\"", place(last)));
    let targets: Vec<String> = targets.collect();
    let config = helping().replace(
        "targets = [\"198.51.100.50:5060;udp\"]",
        &format!("targets = [{}]", targets.join(", ")),
    );
    let mut shard = Shard::with(config_of(&config));
    shard.teams_says(&help("a"));
    let called = all_refuse(&mut shard, |_| "503 Service Unavailable".to_owned());
    let wanted = [50, 51, 60, 20, 21, 52, 53, 54].map(place);
    assert_eq!(called, wanted);
    shard.settles();
}

#[test]
fn whoever_has_asked_for_a_pause_is_tried_after_everybody_else() {
    let mut shard = Shard::with(config_of(&two_places()));
    shard.teams_says(&help("a"));
    let pause = |place: &str| match place {
        "198.51.100.50" | "198.51.100.60" => "503 Full\nRetry-After: 60\n".to_owned(),
        _ => "486 Busy Here".to_owned(),
    };
    assert_eq!(all_refuse(&mut shard, pause), ALL);
    shard.pass(Duration::from_secs(40));
    shard.sent.clear();
    shard.teams_says(&help("b"));
    let late = [
        "198.51.100.51",
        "198.51.100.20",
        "198.51.100.21",
        "198.51.100.50",
        "198.51.100.60",
    ];
    assert_eq!(all_refuse(&mut shard, pause), late);
    // Where nobody else is left, at once.
    let mut shard = Shard::with(config_of(&alone("")));
    for call in ["a", "b"] {
        shard.teams_says(&help(call));
        let pause = |_: &str| "503 Full\nRetry-After: 60\n".to_owned();
        assert_eq!(all_refuse(&mut shard, pause), ALL[..2]);
    }
}

#[test]
fn whoever_does_not_answer_options_is_tried_all_the_same() {
    for keys in ["all_down = \"fail\"", "all_down = \"try\"", ""] {
        let config = config_of(&alone(keys));
        let mut shard = Shard::with(config.clone());
        shard.apply(Input::Config(config));
        shard.pass(Duration::from_secs(50));
        shard.sent.clear();
        for call in ["a", "b"] {
            shard.teams_says(&help(call));
            let busy = |_: &str| "486 Busy Here".to_owned();
            assert_eq!(all_refuse(&mut shard, busy), ALL[..2], "{keys}");
        }
    }
}

/// A call for help that has reached the first place: the shard, and its INVITE.
fn reached(config: &str) -> (Shard, Sent) {
    let mut shard = Shard::with(config_of(config));
    shard.teams_says(&help("a"));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite);
    (shard, invite)
}

fn says(shard: &mut Shard, invite: &Sent, start: &str, lines: &str, sdp: &str) {
    let remote = invite.hop.remote;
    let said = response(&invite.message, start, "x", lines, sdp);
    shard.receive(
        Flow {
            remote,
            ..carrier_flow()
        },
        &said,
    );
}

fn methods(shard: &mut Shard) -> Vec<Method> {
    let sent = shard
        .sent
        .drain(..)
        .filter(|sent| sent.message.is_request());
    sent.map(|sent| sent.message.method().clone()).collect()
}

#[test]
fn whoever_calls_for_help_may_wait_as_long_as_it_rings() {
    let limits = "[limits]\nmax_setup = \"60s\"\n";
    let (mut shard, invite) = reached(&format!(
        "{}{limits}",
        alone("timers = { ring_timeout = \"30s\" }\nearly_media_max = \"20s\"")
            .replace("timers = { response_timeout = \"32s\" }\n", "")
    ));
    says(
        &mut shard,
        &invite,
        "183 Session Progress",
        CARRIER_CONTACT,
        CARRIER_SDP,
    );
    for _ in 0..20 {
        shard.pass(Duration::from_secs(60));
        assert_eq!(methods(&mut shard), []);
    }
    says(&mut shard, &invite, "200 OK", CARRIER_CONTACT, CARRIER_SDP);
    shard.next_request(Method::Ack);
    shard.next_response(200);
}

#[test]
fn a_call_for_help_is_not_refused_for_its_session_interval() {
    let asks = "SUPPORTED: timer\nSESSION-EXPIRES: 120\nMAX-FORWARDS";
    let mut shard = Shard::with(config_of(&helping()));
    shard.teams_says(&help("a").replace("MAX-FORWARDS", asks));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite);
    says(&mut shard, &invite, "200 OK", CARRIER_CONTACT, CARRIER_SDP);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    // Never more than it has asked for (RFC 4028 §9).
    let told = header(&ok, HeaderName::SessionExpires);
    assert_eq!(told.split(';').next(), Some("120"));
    let tls = "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bK";
    shard.teams_says(&in_dialog(&ok, "ACK", 1, &format!("{tls}ack")));
    // Nor are its refreshes.
    let refresh = in_dialog(&ok, "INVITE", 2, &format!("{tls}refresh"));
    let lines = "Supported: timer\nSession-Expires: 120\nContact: <sip:203.0.113.1:443>\n";
    let refresh = refresh.replace("Content-Length: 0\n\n", lines);
    shard.teams_says(&with_body(&refresh, TEAMS_SDP));
    shard.next_response(100);
    shard.next_response(200);
}

#[test]
fn who_says_only_100_makes_way_for_somebody_else_and_for_nobody() {
    let (mut shard, invite) = reached(&alone(""));
    says(&mut shard, &invite, "100 Trying", "", "");
    shard.pass(Duration::from_secs(186));
    let said: Vec<(Method, String)> = shard
        .sent
        .drain(..)
        .map(|sent| (sent.message.method().clone(), place(&sent)))
        .collect();
    let place = |at: usize| ALL[at].to_owned();
    assert!(said.contains(&(Method::Cancel, place(0))), "{said:?}");
    assert!(said.contains(&(Method::Invite, place(1))), "{said:?}");
    assert!(!said.contains(&(Method::Cancel, place(1))), "{said:?}");
}

#[test]
fn the_last_who_may_help_has_the_time_of_its_transaction() {
    let (mut shard, invite) = reached(&alone(""));
    refuse(&mut shard, &invite, "486 Busy Here");
    let last = shard.next_request(Method::Invite);
    shard.pass(Duration::from_secs(30));
    let repeated = methods(&mut shard);
    assert!(
        repeated.iter().all(|method| *method == Method::Invite),
        "{repeated:?}"
    );
    says(&mut shard, &last, "180 Ringing", CARRIER_CONTACT, "");
    shard.next_response(180);
}

/// A call for help that is answered; our 200, and the INVITE.
fn answered(longest: &str) -> (Shard, Message) {
    let (mut shard, invite) = reached(&format!(
        "{}[limits]\nmax_duration = \"{longest}\"\n",
        alone("session_timer = false").replace(
            "tls = \"teams\"\nfqdn",
            "session_timer = false\ntls = \"teams\"\nfqdn"
        )
    ));
    says(
        &mut shard,
        &invite,
        "200 OK",
        "Contact: <sip:198.51.100.50:5060>\n",
        CARRIER_SDP,
    );
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    let via = "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bKack";
    shard.teams_says(&in_dialog(&ok, "ACK", 1, via));
    (shard, invite.message)
}

fn is_silent(shard: &mut Shard) {
    let session = shard.media.iter().find_map(|command| match command {
        MediaCommand::Allocate { session, .. } => Some(*session),
        _ => None,
    });
    shard.apply(Input::Media(MediaEvent::Silent {
        session: session.expect("ports were asked for"),
        endpoint: EndpointId(1),
        silent_ms: 300_000,
    }));
}

#[test]
fn silence_ends_a_call_for_help_only_if_its_peer_is_gone() {
    let (mut shard, _) = answered("2h");
    is_silent(&mut shard);
    for _ in 0..2 {
        // The peer is there, and is asked again later.
        let asked = shard.next_request(Method::Options);
        assert_eq!(place(&asked), "198.51.100.50");
        says(&mut shard, &asked, "405 Method Not Allowed", "", "");
        shard.pass(Duration::from_secs(150));
        assert!(shard.sent.is_empty());
        shard.pass(Duration::from_secs(150));
    }
    // Nobody answers any more.
    shard.pass(Duration::from_secs(30));
    assert!(!methods(&mut shard).contains(&Method::Bye));
    shard.pass(Duration::from_secs(70));
    assert!(methods(&mut shard).contains(&Method::Bye));
}

/// The relay has heard so many packets of the called side.
fn hears(shard: &mut Shard, packets: u64) {
    let stream = StreamStats {
        received_packets: packets,
        ..StreamStats::default()
    };
    shard.stats = Some(SessionStats {
        endpoints: vec![EndpointStats {
            endpoint: EndpointId(1),
            streams: vec![stream],
        }],
    });
}

#[test]
fn who_answers_no_question_is_there_as_long_as_it_is_heard() {
    let (mut shard, _) = answered("2h");
    is_silent(&mut shard);
    let mut asked = 0;
    for second in 0..1_200 {
        hears(&mut shard, second * 50);
        shard.pass(Duration::from_secs(1));
        for method in methods(&mut shard) {
            assert_ne!(method, Method::Bye, "it talks");
            asked += u32::from(method == Method::Options);
        }
    }
    assert!(asked > 10, "it is asked again and again");
    // Nothing is heard any more.
    for _ in 0..200 {
        shard.pass(Duration::from_secs(1));
    }
    assert!(methods(&mut shard).contains(&Method::Bye));
}

#[test]
fn the_longest_time_of_calls_ends_no_call_for_help() {
    let (mut shard, _) = answered("10m");
    shard.pass(Duration::from_secs(600));
    let asked: Vec<Sent> = shard.sent.drain(..).collect();
    assert_eq!(asked.len(), 2);
    for sent in asked {
        assert_eq!(*sent.message.method(), Method::Options);
        let ok = response(&sent.message, "200 OK", "", "", "");
        match sent.hop.remote.port() {
            5061 => shard.teams_says(&ok),
            _ => says(&mut shard, &sent, "200 OK", "", ""),
        }
    }
    shard.pass(Duration::from_secs(200));
    assert!(shard.sent.is_empty() && shard.records.is_empty());
}

#[test]
fn every_part_of_the_body_passes_in_its_place() {
    let data = "Content-Type: application/EmergencyCallData.ProviderInfo+xml\nContent-ID: <9@contoso.example>\n\n<p>\t1</p>";
    let pidf = "Content-Type: application/pidf+xml\nContent-ID: <12345@contoso.example>\nX-Own: 1\n\n<presence/>";
    let odd = "Content-Type: application/x\nContent-Transfer-Encoding: binary\n\n\u{0}\u{1}";
    let sdp = format!("Content-Type: application/sdp\nContent-Disposition: session\n\n{TEAMS_SDP}");
    let body = format!("--b1\n{data}\n--b1\n{pidf}\n--b1\n{sdp}\n--b1\n{odd}\n--b1--\n");
    let head = dialled("112");
    let head = head.split("Content-Type").next().expect("head");
    let length = body.replace('\n', "\r\n").len();
    let mut shard = Shard::with(config_of(&helping()));
    shard.teams_says(&format!(
        "{head}Content-Type: multipart/mixed;boundary=b1\nContent-Length: {length}\n\n{body}"
    ));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite);
    let parts = body::parts(&invite.message).expect("a multipart");
    let sections = parts
        .iter()
        .map(|part| part.section.clone().expect("a part"));
    let sections: Vec<String> = sections
        .map(|own| String::from_utf8_lossy(&own).into_owned())
        .collect();
    assert_eq!(sections.len(), 4, "{sections:?}");
    for (at, own) in [(0, data), (1, pidf), (3, odd)] {
        assert_eq!(sections[at], own.replace('\n', "\r\n"));
    }
    assert!(parts[2].is_session_description());
    assert!(sections[2].contains("192.0.2.10") && !sections[2].contains("203.0.113.9"));
    // Nobody is asked to understand such parts in a call that is none for help.
    let text = text_of(&dialled("+498999998001"), &body, length);
    let mut shard = Shard::with(config_of(&helping()));
    shard.teams_says(&text.replace("application/pidf+xml", "application/y"));
    shard.next_response(415);
}

fn text_of(invite: &str, body: &str, length: usize) -> String {
    let head = invite.split("Content-Type").next().expect("head");
    let length = length - "pidf+xml".len() + 1;
    format!("{head}Content-Type: multipart/mixed;boundary=b1\nContent-Length: {length}\n\n{body}")
}

#[test]
fn the_callers_own_limit_ends_no_call_for_help_that_waits_in_a_queue() {
    let mut shard = Shard::with(config_of(&alone("")));
    let asks = "EXPIRES: 60\nMAX-FORWARDS";
    shard.teams_says(&help("a").replace("MAX-FORWARDS", asks));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite);
    says(&mut shard, &invite, "182 Queued", CARRIER_CONTACT, "");
    shard.next_response(182);
    shard.pass(Duration::from_secs(120));
    assert_eq!(methods(&mut shard), []);
    says(&mut shard, &invite, "200 OK", CARRIER_CONTACT, CARRIER_SDP);
    shard.next_request(Method::Ack);
    shard.next_response(200);
}

#[test]
fn what_is_for_those_who_help_passes_value_by_value_and_however_long() {
    let long = format!("<cid:{}@contoso.example>", "a".repeat(2_000));
    let call_id = "<urn:emergency:uid:callid:1:a.example>;purpose=emergency-CallId";
    let lines = format!(
        "Geolocation: {long}\nCall-Info: <http://192.0.2.7/i.png>;purpose=icon, {call_id}\nMAX-FORWARDS"
    );
    let mut shard = Shard::with(config_of(&helping()));
    shard.teams_says(&help("a").replace("MAX-FORWARDS", &lines));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    assert_eq!(header(&invite, HeaderName::Geolocation), long);
    assert_eq!(header(&invite, HeaderName::CallInfo), call_id);
}
