//! Limits on calls, by hand: what is counted, who is refused and how, and what is given back
//! (SIP-1730).

use crate::world;

use sbc_core::cause::CauseCode;
use sbc_core::config::{Assumed, Source, load};
use sbc_core::core::Together;
use sbc_core::event::Happened;
use sbc_core::id::ShardId;
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::{Call, header};
use world::*;

const TEAMS_TRUNK: &str = "name = \"teams-contoso\"";
const CARRIER_TRUNK: &str = "name = \"carrier-a\"";

fn with(place: &str, line: &str) -> String {
    CONFIG.replacen(place, &format!("{place}\n{line}"), 1)
}

/// An INVITE of the carrier from one number to another.
fn invite(call_id: &str, from: &str, to: &str) -> String {
    carrier_invite(call_id, CARRIER_SDP)
        .replace("+498999998001", from)
        .replace("+493023125456", to)
}

fn says(shard: &mut Shard, call_id: &str) {
    shard.carrier_says(&carrier_invite(call_id, CARRIER_SDP));
    shard.next_response(100);
}

/// The call that was just offered reaches Teams.
fn reaches(shard: &mut Shard) -> Message {
    shard.next_request(Method::Invite).message
}

fn refused(shard: &mut Shard, status: u16) -> Message {
    let refusal = shard.next_response(status).message;
    let last = shard.records.last().expect("a record");
    assert_eq!(last.cause.code, CauseCode::LimitReached);
    refusal
}

fn acked(shard: &mut Shard, call_id: &str, refusal: &Message) {
    let to = header(refusal, HeaderName::To);
    let ack = carrier_invite(call_id, "")
        .replace("INVITE sip", "ACK sip")
        .replace("10 INVITE", "10 ACK")
        .replace("To: <sip:+493023125456@192.0.2.11>", &format!("To: {to}"));
    shard.carrier_says(&ack);
}

fn why(shard: &Shard) -> String {
    let last = shard.records.last().expect("a record");
    last.cause.because.0.join("; ")
}

#[test]
fn a_trunk_has_limits_for_each_direction() {
    let text = with(
        CARRIER_TRUNK,
        "limits = { in = { calls = 1 }, out = { calls = 1 } }",
    );
    let mut shard = Shard::with(config_of(&text));
    says(&mut shard, "one");
    reaches(&mut shard);
    says(&mut shard, "two");
    let refusal = refused(&mut shard, 503);
    assert_eq!(header(&refusal, HeaderName::Reason), "Q.850;cause=34");
    assert_eq!(why(&shard), "trunk \"carrier-a\" inbound has its 1 calls");
    acked(&mut shard, "two", &refusal);
    // The other direction has a line of its own.
    shard.teams_says(&teams_invite("three"));
    shard.next_response(100);
    reaches(&mut shard);
    shard.teams_says(&teams_invite("four"));
    shard.next_response(100);
    refused(&mut shard, 503);
    assert_eq!(why(&shard), "trunk \"carrier-a\" outbound has its 1 calls");
}

#[test]
fn a_route_has_limits_of_its_own() {
    let text = with(
        "name = \"to-teams\"",
        "limits = { calls = 1, refuse = \"486\" }",
    );
    let mut shard = Shard::with(config_of(&text));
    says(&mut shard, "one");
    reaches(&mut shard);
    says(&mut shard, "two");
    let refusal = refused(&mut shard, 486);
    // Who is to hear that somebody is busy hears it in both languages.
    assert_eq!(header(&refusal, HeaderName::Reason), "Q.850;cause=17");
    assert_eq!(why(&shard), "route \"to-teams\" has its 1 calls");
}

#[test]
fn numbers_and_their_beginnings_have_limits() {
    let text = format!(
        "{CONFIG}
[[limit]]
name = \"one-line\"
match = {{ called = [\"+4930231254\"], tenant = \"contoso\", from_trunk = \"carrier-a\" }}
each = \"called\"
calls = 1
refuse = \"486\"
[[limit]]
name = \"persistent\"
match = {{ calling = [\"+4989\"] }}
each = \"calling\"
calls = 2
refuse = \"403\"
[[limit]]
name = \"hotline\"
match = {{ called = [\"+49302312555\"] }}
calls = 1
refuse = \"480\"
"
    );
    let mut shard = Shard::with(config_of(&text));
    let mut offer = |call_id: &str, from: &str, to: &str| {
        shard.carrier_says(&invite(call_id, from, to));
        shard.next_response(100);
        match shard.next().message.status() {
            None => String::new(),
            Some(status) => format!("{} {}", status.code(), why(&shard)),
        }
    };
    assert_eq!(offer("a", "+498999998001", "+493023125456"), "");
    let busy = "486 limit \"one-line\" for +493023125456 has its 1 calls";
    assert_eq!(offer("b", "+498999998002", "+493023125456"), busy);
    assert_eq!(offer("c", "+498999998001", "+493023125457"), "");
    let enough = "403 limit \"persistent\" for +498999998001 has its 2 calls";
    assert_eq!(offer("d", "+498999998001", "+493023125458"), enough);
    assert_eq!(offer("e", "+498999998003", "+493023125551"), "");
    let later = "480 limit \"hotline\" has its 1 calls";
    assert_eq!(offer("f", "+498999998004", "+493023125552"), later);
    // A call that the first limit let in and the second refused is not counted on the first.
    assert_eq!(offer("g", "+498999998009", "+493023125458"), "");
}

#[test]
fn callers_who_show_no_number_do_not_take_each_others_places_unless_a_limit_is_about_them() {
    let limit = |name: &str, calling: &str, calls: u32| {
        format!("[[limit]]\nname = \"{name}\"\n{calling}each = \"calling\"\ncalls = {calls}\n")
    };
    let nobody = "match = { calling = [\"anonymous\"] }\n";
    let one_each = limit("one-each", "", 1);
    let of_nobody = limit("of-nobody", nobody, 3);
    let mut shard = Shard::with(config_of(&format!("{CONFIG}\n{one_each}{of_nobody}")));
    let mut offer = |call_id: &str, hides: bool| {
        let mut text = carrier_invite(call_id, CARRIER_SDP);
        if hides {
            let from = text.lines().find(|line| line.starts_with("From: "));
            let from = from.expect("From").to_owned();
            text = text.replace(&from, "From: <sip:anonymous@anonymous.invalid>;tag=a1");
        }
        shard.carrier_says(&text);
        shard.next_response(100);
        match shard.next().message.status() {
            None => String::new(),
            Some(_) => why(&shard),
        }
    };
    assert_eq!(offer("a", false), "");
    let own = "limit \"one-each\" for +498999998001 has its 1 calls";
    assert_eq!(offer("b", false), own);
    for call in ["c", "d", "e"] {
        assert_eq!(offer(call, true), "");
    }
    let together = "limit \"of-nobody\" for anonymous has its 3 calls";
    assert_eq!(offer("f", true), together);
}

#[test]
fn a_call_that_is_answered_is_no_set_up_any_more() {
    let text = with(TEAMS_TRUNK, "limits = { setup = 1 }");
    let mut shard = Shard::with(config_of(&text));
    says(&mut shard, "one");
    let invite = reaches(&mut shard);
    says(&mut shard, "two");
    let refusal = refused(&mut shard, 503);
    assert_eq!(
        why(&shard),
        "trunk \"teams-contoso\" has its 1 calls in set-up"
    );
    acked(&mut shard, "two", &refusal);
    shard.teams_says(&response(&invite, "200 OK", "x", TEAMS_CONTACT, TEAMS_SDP));
    shard.next_request(Method::Ack);
    shard.next_response(200);
    says(&mut shard, "three");
    reaches(&mut shard);
}

#[test]
fn bandwidth_is_that_of_the_costliest_codec() {
    let text = with(CARRIER_TRUNK, "limits = { bandwidth = 170 }");
    let mut shard = Shard::with(config_of(&text));
    for call in ["one", "two"] {
        says(&mut shard, call);
        reaches(&mut shard);
    }
    says(&mut shard, "three");
    refused(&mut shard, 503);
    assert_eq!(why(&shard), "trunk \"carrier-a\" has its 170 kbit/s in use");
}

#[test]
fn the_node_takes_so_many_new_calls_per_second() {
    let text = format!("{CONFIG}\n[limits]\ncps = 2\n");
    let mut shard = Shard::with(config_of(&text));
    for call in ["one", "two"] {
        says(&mut shard, call);
        reaches(&mut shard);
    }
    says(&mut shard, "three");
    let refusal = refused(&mut shard, 503);
    assert_eq!(why(&shard), "the node has had its 2 new calls per second");
    acked(&mut shard, "three", &refusal);
    shard.pass(Duration::from_millis(600));
    says(&mut shard, "four");
    reaches(&mut shard);
}

#[test]
fn an_attempt_that_failed_gives_its_place_back_at_once() {
    let second = "
[[trunk]]
name = \"carrier-b\"
tenant = \"*\"
realm = \"carrier\"
targets = [\"198.51.100.40:5060;udp\"]
codecs = [\"PCMA\"]
";
    let text = with(CARRIER_TRUNK, "limits = { calls = 1 }").replace(
        "to = [{ trunk = \"carrier-a\" }]",
        "to = [{ trunk = \"carrier-a\" }, { trunk = \"carrier-b\" }]",
    ) + second;
    let mut shard = Shard::with(config_of(&text));
    let hunt = |shard: &mut Shard, call: &str| {
        shard.teams_says(&teams_invite(call));
        shard.next_response(100);
        shard.next_request(Method::Invite)
    };
    let first = hunt(&mut shard, "one");
    assert_eq!(first.hop.remote.to_string(), CARRIER);
    shard.carrier_says(&response(&first.message, "500 Trouble", "x", "", ""));
    shard.next_request(Method::Ack);
    let onward = shard.next_request(Method::Invite);
    assert_eq!(onward.hop.remote.to_string(), "198.51.100.40:5060");
    // The first call rings elsewhere, so the line of the first carrier is free.
    let second = hunt(&mut shard, "two");
    assert_eq!(second.hop.remote.to_string(), CARRIER);
    // While it is in use, a call takes the other way at once.
    let third = hunt(&mut shard, "three");
    assert_eq!(third.hop.remote.to_string(), "198.51.100.40:5060");
}

#[test]
fn what_is_kept_free_is_for_help_and_for_what_a_trusted_peer_marks() {
    let numbers = "numbers = [\"+493023125000-+493023125999\"]";
    let help = "
[[route]]
name = \"help\"
match = { emergency = true }
to = [{ trunk = \"carrier-a\" }]
";
    let text = with(CARRIER_TRUNK, "limits = { calls = 10 }")
        .replace(numbers, &format!("{numbers}\nemergency = [\"112\"]"))
        + help
        + "[limits]\npreempt = false\n";
    let mut shard = Shard::with(config_of(&text));
    let mut offer = |call: String, change: &dyn Fn(String) -> String| {
        shard.teams_says(&change(teams_invite(&call)));
        shard.next_response(100);
        shard.next().message.status().map(|status| status.code())
    };
    let plain = |invite: String| invite;
    for call in 0..8 {
        assert_eq!(offer(format!("usual{call}"), &plain), None);
    }
    // Two of ten are kept where a route for help leads to the trunk.
    assert_eq!(offer("ninth".to_owned(), &plain), Some(503));
    let marked =
        |invite: String| invite.replace("MAX-FORWARDS", "Resource-Priority: ets.0\nMAX-FORWARDS");
    assert_eq!(offer("marked1".to_owned(), &marked), None);
    assert_eq!(offer("marked2".to_owned(), &marked), None);
    assert_eq!(offer("marked3".to_owned(), &marked), Some(503));
    let help = |invite: String| invite.replace("sip:+498999998001@", "sip:112@");
    for call in 0..3 {
        assert_eq!(offer(format!("help{call}"), &help), None);
    }
    assert_eq!(
        shard.records[0].cause.because.0,
        ["trunk \"carrier-a\" has its 10 calls, 2 of them kept free"]
    );
}

#[test]
fn places_are_given_back_when_everything_is_over() {
    let text = with(
        CARRIER_TRUNK,
        "limits = { calls = 1, in = { cps = 5, burst = 5 } }",
    );
    let mut shard = Shard::with(config_of(&text));
    for round in 0..3 {
        let call = format!("round{round}");
        says(&mut shard, &call);
        let out = reaches(&mut shard);
        shard.teams_says(&response(&out, "486 Busy Here", "x", "", ""));
        shard.next_request(Method::Ack);
        let busy = shard.next_response(486).message;
        acked(&mut shard, &call, &busy);
        shard.pass(Duration::from_secs(1));
    }
    shard.settles();
}

#[test]
fn limits_that_contradict_themselves_are_told() {
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    for (line, cause) in [
        (
            "limits = { calls = 2, reserve = 2 }",
            "reserve leaves no call to anybody else",
        ),
        (
            "limits = { reserve = 2 }",
            "reserve is a part of calls, which is not limited",
        ),
        (
            "limits = { in = { burst = 2 } }",
            "burst is a part of cps, which is not limited",
        ),
        ("limits = { refuse = \"404\" }", "refuse"),
    ] {
        let text = with(CARRIER_TRUNK, line);
        let findings = load(&[Source::new("test.toml", &*text)], &facts, None).expect_err(line);
        assert!(findings.to_text().contains(cause), "{}", findings.to_text());
    }
    let limit = |lines: &str| format!("{CONFIG}\n[[limit]]\nname = \"x\"\n{lines}\n");
    for (lines, cause) in [
        ("each = \"called\"", "it limits nothing"),
        (
            "calls = 1\nmatch = { called = [\"0049x\"] }",
            "is no beginning of a number",
        ),
        (
            "calls = 1\nmatch = { tenant = \"nobody\" }",
            "there is no tenant \"nobody\"",
        ),
    ] {
        let text = limit(lines);
        let findings = load(&[Source::new("test.toml", &*text)], &facts, None).expect_err(lines);
        assert!(findings.to_text().contains(cause), "{}", findings.to_text());
    }
}

/// Two shards of one node.
fn pair(text: &str) -> [Shard; 2] {
    let (config, together) = (config_of(text), Together::default());
    [0, 1].map(|number| {
        Shard::one_of(std::sync::Arc::clone(&config), ShardId(number), 2).counting(&together)
    })
}

/// The call of the caller ends before it is answered.
fn gives_up(shard: &mut Shard, call_id: &str) {
    shard.carrier_says(&carrier_cancel(call_id));
    shard.sent.clear();
    shard.pass(Duration::from_secs(70));
    shard.sent.clear();
}

#[test]
fn a_limit_is_one_of_the_node_whichever_shard_a_call_falls_to() {
    let text = with(CARRIER_TRUNK, "limits = { in = { calls = 1 } }");
    let [mut first, mut second] = pair(&text);
    says(&mut first, "one");
    reaches(&mut first);
    says(&mut second, "two");
    refused(&mut second, 503);
    assert_eq!(why(&second), "trunk \"carrier-a\" inbound has its 1 calls");
    gives_up(&mut first, "one");
    says(&mut second, "three");
    reaches(&mut second);
    // Each shard knows of its own only.
    assert_eq!(first.core.census().places, 0);
    assert!(second.core.census().places > 0);
}

#[test]
fn the_calls_of_a_node_are_those_of_all_shards() {
    let [mut first, mut second] = pair(&format!("{CONFIG}\n[limits]\ncalls = 2\n"));
    for (shard, call) in [(&mut first, "one"), (&mut second, "two")] {
        says(shard, call);
        reaches(shard);
    }
    for shard in [&mut first, &mut second] {
        shard.carrier_says(&carrier_invite("three", CARRIER_SDP));
        shard.next_response(503);
    }
    gives_up(&mut first, "one");
    says(&mut second, "four");
    reaches(&mut second);
}

#[test]
fn a_circle_is_found_although_its_laps_come_to_different_shards() {
    let mut shards = pair(CONFIG);
    for lap in 0..6_usize {
        let shard = &mut shards[lap % 2];
        let invite = carrier_invite(&format!("lap-{lap}"), CARRIER_SDP)
            .replace("Max-Forwards: 69", &format!("Max-Forwards: {}", 60 - lap));
        shard.carrier_says(&invite);
        shard.next_response(100);
        match lap < 5 {
            true => drop(shard.next_request(Method::Invite)),
            false => drop(shard.next_response(482)),
        }
    }
}

#[test]
fn a_call_needs_the_bandwidth_of_the_codec_that_was_agreed() {
    let codecs = "codecs = [\"PCMA\", \"G729\"]";
    let text = world::two::two_carriers("limits = { bandwidth = 110 }", "")
        .replace("codecs = [\"PCMA\", \"PCMU\"]", codecs);
    let sdp = CARRIER_SDP.replace("RTP/AVP 8 0 101", "RTP/AVP 8 18 101");
    let mut shard = Shard::with(config_of(&text));
    let calls = |shard: &mut Shard, call: &str| {
        shard.carrier_says(&carrier_invite(call, &sdp));
        shard.next_response(100);
        shard.next()
    };
    let invite = calls(&mut shard, "one").message;
    // It might be the costlier one still, of which there is room for one.
    assert_eq!(
        calls(&mut shard, "two").message.status().map(|s| s.code()),
        Some(503)
    );
    let cheap = sdp.replace("RTP/AVP 8 18 101", "RTP/AVP 18 101");
    let contact = "Contact: <sip:gw@198.51.100.40:5060>\n";
    let mut flow = carrier_flow();
    flow.remote = "198.51.100.40:5060".parse().unwrap();
    shard.receive(flow, &response(&invite, "200 OK", "b1", contact, &cheap));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    let via = "SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bKack";
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, via));
    assert!(
        calls(&mut shard, "three").message.is_request(),
        "{}",
        why(&shard)
    );
}

#[test]
fn a_customer_and_a_route_have_bandwidth_too() {
    for (place, line) in [
        ("name = \"contoso\"", "limits = { bandwidth = 100 }"),
        ("name = \"to-teams\"", "limits = { bandwidth = 100 }"),
    ] {
        let mut shard = Shard::with(config_of(&with(place, line)));
        says(&mut shard, "one");
        reaches(&mut shard);
        says(&mut shard, "two");
        refused(&mut shard, 503);
        assert!(
            why(&shard).ends_with("has its 100 kbit/s in use"),
            "{}",
            why(&shard)
        );
    }
}

#[test]
fn the_last_media_ports_are_for_calls_that_go_before_others() {
    let takes_last = |urgent: bool| {
        let mut shard = Shard::with(config_of(&with(CARRIER_TRUNK, "trusted = true")));
        let marked = match urgent {
            true => "Resource-Priority: esnet.1\nMax-Forwards",
            false => "Max-Forwards",
        };
        let invite = carrier_invite("one", CARRIER_SDP).replace("Max-Forwards", marked);
        shard.carrier_says(&invite);
        let specs = shard.media.iter().find_map(|command| match command {
            media_api::Command::Allocate { endpoints, .. } => Some(endpoints.clone()),
            _ => None,
        });
        let specs = specs.expect("ports are asked for");
        assert_eq!(specs.len(), 2);
        specs.iter().all(|spec| spec.takes_last)
    };
    assert!(takes_last(true) && !takes_last(false));
}

/// Whatever is limited, in whatever way, refuses as it says, and the record tells which limit it was.
#[test]
fn every_limit_of_every_kind_has_a_code_and_words_of_its_own() {
    let at = |place: &str, limits: &str| with(place, &format!("limits = {{ {limits} }}"));
    let of_numbers = |matching: &str, each: &str, limits: &str| {
        let keys = limits.replace(", ", "\n");
        format!("{CONFIG}\n[[limit]]\nname = \"some\"\n{matching}\n{each}\n{keys}\n")
    };
    let called = "match = { called = [\"+4930\"] }";
    let calling = "match = { calling = [\"+4989\"] }";
    type Place<'a> = (&'a str, Box<dyn Fn(&str) -> String + 'a>);
    let places: [Place<'_>; 10] = [
        (
            "trunk \"carrier-a\"",
            Box::new(|own| at(CARRIER_TRUNK, own)),
        ),
        (
            "trunk \"carrier-a\" inbound",
            Box::new(|own| at(CARRIER_TRUNK, &format!("in = {{ {own} }}"))),
        ),
        (
            "trunk \"teams-contoso\" outbound",
            Box::new(|own| at(TEAMS_TRUNK, &format!("out = {{ {own} }}"))),
        ),
        (
            "trunk \"teams-contoso\"",
            Box::new(|own| at(TEAMS_TRUNK, own)),
        ),
        (
            "tenant \"contoso\"",
            Box::new(|own| at("name = \"contoso\"", own)),
        ),
        (
            "route \"to-teams\"",
            Box::new(|own| at("name = \"to-teams\"", own)),
        ),
        (
            "limit \"some\"",
            Box::new(|own| of_numbers(called, "", own)),
        ),
        (
            "limit \"some\"",
            Box::new(|own| of_numbers(calling, "", own)),
        ),
        (
            "limit \"some\" for +493023125456",
            Box::new(|own| of_numbers(called, "each = \"called\"", own)),
        ),
        (
            "limit \"some\" for +498999998001",
            Box::new(|own| of_numbers(calling, "each = \"calling\"", own)),
        ),
    ];
    for (name, config) in places {
        for (limit, words) in [
            ("calls = 1", "has its 1 calls"),
            ("cps = 1, burst = 1", "has had its 1 new calls per second"),
            ("setup = 1", "has its 1 calls in set-up"),
            ("bandwidth = 120", "has its 120 kbit/s in use"),
        ] {
            for (refuse, status) in [("503", 503), ("486", 486), ("480", 480), ("403", 403)] {
                let text = config(&format!("{limit}, refuse = \"{refuse}\""));
                let mut shard = Shard::with(config_of(&text));
                says(&mut shard, "one");
                reaches(&mut shard);
                says(&mut shard, "two");
                refused(&mut shard, status);
                let told = why(&shard);
                assert!(told.ends_with(&format!("{name} {words}")), "{text}: {told}");
            }
        }
    }
}

/// What was told of limits: which, of what, for whom, and whether it is news.
fn told(shard: &Shard) -> Vec<String> {
    let happened = shard.happened.iter();
    let told = happened.filter_map(|what| match what {
        Happened::LimitReached { tenant, full } => {
            let tenant = tenant.as_ref().map(ToString::to_string);
            let (key, of) = (full.key(), full.counted().name());
            Some(format!("{key} of {of} for {tenant:?}, {}", full.is_news()))
        }
        _ => None,
    });
    told.collect()
}

#[test]
fn a_customer_may_call_a_range_only_so_often_in_a_minute_and_an_hour() {
    let text = CONFIG.to_owned()
        + "\n[[limit]]\nname = \"expensive\"\nmatch = { tenant = \"contoso\", called = [\"+4989\"] }\n\
           calls_per_minute = 2\ncalls_per_hour = 3\nrefuse = \"403\"\n";
    let mut shard = Shard::with(config_of(&text));
    let call = |shard: &mut Shard, id: &str| {
        shard.teams_says(&teams_invite(id));
        shard.next_response(100);
    };
    for id in ["one", "two"] {
        call(&mut shard, id);
        reaches(&mut shard);
    }
    for id in ["three", "four"] {
        call(&mut shard, id);
        refused(&mut shard, 403);
    }
    assert_eq!(
        why(&shard),
        "limit \"expensive\" has had its 2 new calls within a minute"
    );
    let minute = "calls_per_minute of expensive for Some(\"contoso\")";
    let wanted = [format!("{minute}, true"), format!("{minute}, false")];
    assert_eq!(told(&shard), wanted);
    // Calls that were refused do not count, and other numbers are none of its business.
    let other = teams_invite("other").replace("498999998001", "493012345678");
    shard.teams_says(&other);
    shard.next_response(100);
    reaches(&mut shard);
    shard.pass(Duration::from_secs(66));
    shard.sent.clear();
    call(&mut shard, "five");
    reaches(&mut shard);
    call(&mut shard, "six");
    refused(&mut shard, 403);
    assert_eq!(
        told(&shard).last().map(String::as_str),
        Some("calls_per_hour of expensive for Some(\"contoso\"), true")
    );
}

#[test]
fn what_teams_says_within_a_call_has_the_same_bounds_and_ends_it_all_the_same() {
    let long = format!("X-LONG: {}\n", "a".repeat(9 << 10));
    let contact = format!("{TEAMS_CONTACT}{long}");
    let mut call = Call::new();
    let refer =
        format!("{TEAMS_CONTACT}Refer-To: <sip:+498999998002@sip.pstnhub.microsoft.com>\n{long}");
    for (cseq, method, lines) in [
        (1, "INVITE", &contact),
        (2, "REFER", &refer),
        (3, "INFO", &long),
    ] {
        call.teams_says(method, cseq, lines);
        call.shard.next_response(400);
        if method == "INVITE" {
            call.teams_says("ACK", cseq, "");
        }
        assert!(call.shard.sent.is_empty(), "{method}");
    }
    call.teams_says("BYE", 4, &long);
    call.shard.next_response(200);
    call.shard.next_request(Method::Bye);
}

#[test]
fn an_invite_of_teams_may_be_large_and_not_endless() {
    let with = |id: &str, lines: &str| teams_invite(id).replace("CSEQ:", &format!("{lines}CSEQ:"));
    let line = |octets: usize| format!("X-LONG: {}\n", "a".repeat(octets));
    for (id, lines, why_not) in [
        ("long", line(8_000), None),
        ("longer", line(9 << 10), Some("a header has 9216 octets")),
        ("many", "X-MANY: 1\n".repeat(80), None),
        (
            "more",
            "X-MANY: 1\n".repeat(100),
            Some("header lines, and Teams may send 100"),
        ),
    ] {
        let mut shard = Shard::new();
        shard.teams_says(&with(id, &lines));
        shard.next_response(100);
        match why_not {
            None => drop(reaches(&mut shard)),
            Some(reason) => {
                shard.next_response(400);
                let last = shard.records.last().expect("a record");
                assert_eq!(last.cause.code, CauseCode::BadRequest);
                assert!(why(&shard).contains(reason), "{}", why(&shard));
            }
        }
    }
    // A body may be long, and not endless. This one is too long for a description, which is another matter.
    let with = |octets: usize| {
        let head = teams_invite("body");
        let head = head.split("Content-Type").next().expect("its head");
        let line = format!("a=x-long:{}\n", "b".repeat(1_000));
        let invite = with_body(head, &line.repeat(120));
        // Line ends have two octets on the wire.
        let spare = octets - invite.replace('\n', "\r\n").len();
        let last = format!("a={}\n", "c".repeat(spare - 4));
        with_body(head, &format!("{}{last}", line.repeat(120)))
    };
    for (octets, status) in [(128 << 10, 488), ((128 << 10) + 1, 513)] {
        let mut shard = Shard::new();
        shard.teams_says(&with(octets));
        shard.next_response(100);
        shard.next_response(status);
    }
    // Others have the bounds of every message alone.
    let mut shard = Shard::new();
    let carrier = carrier_invite("long", CARRIER_SDP);
    shard.carrier_says(&carrier.replace("CSeq:", &format!("{}CSeq:", line(9 << 10))));
    shard.next_response(100);
    reaches(&mut shard);
}

/// TDR-XFR-013: what a REFER is about is refused with its measure, however long it is.
#[test]
fn a_refer_of_teams_that_is_too_long_is_told_so() {
    for octets in [4_097, 9 << 10] {
        let mut call = Call::new();
        let uri = format!("sip:sip.pstnhub.microsoft.com;x-m={}", "m".repeat(octets));
        call.teams_says("REFER", 1, &format!("{TEAMS_CONTACT}Refer-To: <{uri}>\n"));
        let refused = call.shard.next();
        assert_eq!(
            refused.message.status().map(|own| own.code()),
            Some(513),
            "{octets}"
        );
        assert!(call.shard.sent.is_empty());
    }
}
