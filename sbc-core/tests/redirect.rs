//! Redirections by the called side, by hand: what is followed, what is not, and who is told.

use crate::world;

use sbc_core::cause::CauseCode;
use sbc_core::event::Happened;
use sbc_core::sip::{HeaderName, Message, Method};
use world::*;

/// The usual world, in which both sides are told of earlier targets.
fn telling() -> String {
    let extra = r#"
[[tenant]]
name = "fabrikam"
numbers = ["+494012300-+494012399"]
[[trunk]]
name = "pbx-fabrikam"
tenant = "fabrikam"
realm = "carrier"
targets = ["198.51.100.40:5060;udp"]
[[route]]
name = "to-fabrikam"
match = { called_in = "tenant:fabrikam", from_trunk = "carrier-a" }
to = [{ trunk = "pbx-fabrikam" }]
[[route]]
name = "from-fabrikam"
match = { from_trunk = "pbx-fabrikam" }
to = [{ trunk = "carrier-a" }]
"#;
    let told = "codecs = [\"PCMA\", \"PCMU\"]\nidentity = { diversion = \"both\" }";
    CONFIG.replace("codecs = [\"PCMA\", \"PCMU\"]", told) + extra
}

/// A call of the carrier that has reached Teams.
fn to_teams(config: &str) -> (Shard, Message) {
    let mut shard = Shard::with(config_of(config));
    shard.carrier_says(&carrier_invite("out", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    (shard, invite)
}

/// A call of Teams that has reached the carrier.
fn to_carrier(config: &str) -> (Shard, Message) {
    let (shard, invite) = called_in(config, "in");
    (shard, invite.message)
}

fn moved(invite: &Message, status: &str, contacts: &str) -> String {
    response(
        invite,
        status,
        "moved",
        &format!("Contact: {contacts}\n"),
        "",
    )
}

fn uri(message: &Message) -> String {
    String::from_utf8_lossy(&message.request_uri()).into_owned()
}

fn lines(message: &Message, name: HeaderName) -> Vec<String> {
    let values = message.raw_all(name);
    values
        .map(|value| String::from_utf8_lossy(&value).into_owned())
        .collect()
}

/// The next INVITE, after the ACK for the redirection.
fn next_invite(shard: &mut Shard) -> Message {
    shard.next_request(Method::Ack);
    shard.next_request(Method::Invite).message
}

/// What the caller gets, after the ACK for the redirection.
fn refused(shard: &mut Shard, code: u16) -> Message {
    shard.next_request(Method::Ack);
    shard.next_response(code).message
}

fn because(shard: &mut Shard) -> String {
    shard.pass(std::time::Duration::from_secs(40));
    shard.records[0].cause.because.0.join("; ")
}

#[test]
fn a_forwarding_to_the_telephone_network_is_followed_and_told() {
    let (mut shard, invite) = to_teams(&telling());
    let contact = "<sip:+498999998777@sip.pstnhub.microsoft.com:5061;user=phone>";
    shard.teams_says(&moved(&invite, "302 Moved Temporarily", contact));
    let onward = next_invite(&mut shard);
    assert_eq!(uri(&onward), "sip:+498999998777@198.51.100.20");
    assert_eq!(
        lines(&onward, HeaderName::Diversion),
        ["<sip:+493023125456@192.0.2.11>;reason=unconditional;counter=1;privacy=off"]
    );
    assert_eq!(
        lines(&onward, HeaderName::HistoryInfo),
        [
            "<sip:+493023125456@192.0.2.11?Reason=SIP%3Bcause%3D302>;index=1",
            "<sip:+498999998777@192.0.2.11;cause=302>;index=1.1;mp=1",
        ]
    );
    // The new target answers, and the caller hears of nothing else.
    let answer = response(&onward, "200 OK", "b2", CARRIER_CONTACT, CARRIER_SDP);
    shard.carrier_says(&answer);
    shard.next_request(Method::Ack);
    shard.next_response(200);
    let record = {
        shard.pass(std::time::Duration::from_secs(200));
        shard.records.remove(0)
    };
    let statuses: Vec<_> = record.egress.iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [Some(302), Some(200)]);
    assert_eq!(record.egress[1].called, "+498999998777");
}

#[test]
fn the_target_may_say_why_it_is_one() {
    let (mut shard, invite) = to_teams(&telling());
    let contact = "<sip:+498999998777@h.example;cause=486>";
    shard.teams_says(&moved(&invite, "302 Moved Temporarily", contact));
    let onward = next_invite(&mut shard);
    let told = lines(&onward, HeaderName::Diversion);
    assert!(told[0].contains("reason=user-busy"), "{told:?}");
}

/// RFC 3261 §8.1.3.4, SIP-808: headers of the target's URI replace those of the call, where the trunk of the new INVITE lists
/// them; none is part of the Request-URI, and those of an earlier redirection stay.
#[test]
fn headers_of_the_target_go_into_the_new_invite_where_its_trunk_lists_them() {
    let config = telling().replace(
        "codecs = [\"PCMA\", \"PCMU\"]",
        "codecs = [\"PCMA\", \"PCMU\"]\nheaders = { pass = [\"X-Ticket\", \"X-Desk\", \"Subject\"] }",
    );
    let mut shard = Shard::with(config_of(&config));
    let text = carrier_invite("out", CARRIER_SDP);
    shard.carrier_says(&text.replace("Contact:", "X-Ticket: 1\nX-Desk: 3\nContact:"));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let contact = "<sip:+498999998777@h.example?X-Ticket=7&X-Other=1&Reason=SIP%3Bcause%3D486&Via=x&From=x\
                   &Route=x&Authorization=x&P-Asserted-Identity=%3Csip%3Aboss%40example.com%3E>";
    shard.teams_says(&moved(&invite, "302 Moved", contact));
    let onward = next_invite(&mut shard);
    assert_eq!(uri(&onward), "sip:+498999998777@198.51.100.20");
    let of =
        |message: &Message, name: &str| lines(message, HeaderName::parse(name.to_owned()).unwrap());
    assert_eq!(of(&onward, "X-Ticket"), ["7"], "instead of the caller's");
    assert_eq!(of(&onward, "X-Desk"), ["3"], "which nobody replaces");
    assert_eq!(lines(&onward, HeaderName::Reason), ["SIP;cause=486"]);
    let told = String::from_utf8_lossy(onward.bytes()).into_owned();
    for absent in [
        "X-Other",
        "boss",
        "Route: x",
        "Via: x",
        "Authorization",
        "?X",
    ] {
        assert!(!told.contains(absent), "{absent}: {told}");
    }
    let contact = "<sip:+498999998777@198.51.100.29:5080?X-Desk=4>";
    shard.carrier_says(&moved(&onward, "302 Moved", contact));
    let again = next_invite(&mut shard);
    assert_eq!(
        (of(&again, "X-Ticket"), of(&again, "X-Desk")),
        (vec!["7".to_owned()], vec!["4".to_owned()])
    );
    // Where nothing is listed, nothing of it goes out.
    let (mut shard, invite) = to_teams(&telling());
    let contact = "<sip:+498999998777@h.example?X-Ticket=7>";
    shard.teams_says(&moved(&invite, "302 Moved", contact));
    let onward = next_invite(&mut shard);
    assert!(!String::from_utf8_lossy(onward.bytes()).contains("X-Ticket"));
}

#[test]
fn a_carrier_cannot_make_us_call_what_it_may_not_call_itself() {
    for number in ["+15550100", "+494012345678901", "00881234567", "anna"] {
        let (mut shard, invite) = to_carrier(&telling());
        let contact = format!("<sip:{number}@198.51.100.20>");
        shard.carrier_says(&moved(&invite, "302 Moved", &contact));
        refused(&mut shard, 480);
        assert!(shard.sent.is_empty(), "{number}");
        assert!(because(&mut shard).contains("not followed"), "{number}");
    }
}

#[test]
fn a_redirection_never_crosses_to_another_customer() {
    // The carrier may call fabrikam, but this call is contoso's.
    let (mut shard, invite) = to_carrier(&telling());
    let contact = "<sip:+494012355@198.51.100.20>";
    shard.carrier_says(&moved(&invite, "302 Moved", contact));
    refused(&mut shard, 480);
    assert!(because(&mut shard).contains("another customer"));
    // To a number of the same customer it may go.
    let (mut shard, invite) = to_carrier(&telling());
    let contact = "<sip:+493023125999@198.51.100.20>";
    shard.carrier_says(&moved(&invite, "302 Moved", contact));
    let onward = next_invite(&mut shard);
    assert!(uri(&onward).starts_with("sip:+493023125999@sip.pstnhub.microsoft.com"));
}

#[test]
fn the_same_number_at_another_server_of_the_carrier_is_called_there() {
    let (mut shard, invite) = to_carrier(CONFIG);
    let contact = "<sip:+498999998001@198.51.100.29:5080>";
    shard.carrier_says(&moved(&invite, "301 Moved Permanently", contact));
    shard.next_request(Method::Ack);
    let onward = shard.next_request(Method::Invite);
    assert_eq!(onward.hop.remote.to_string(), "198.51.100.29:5080");
    assert_eq!(uri(&onward.message), "sip:+498999998001@198.51.100.29:5080");
    // It sends us back: that is a circle.
    let back = "<sip:+498999998001@198.51.100.29:5080>";
    shard.carrier_says(&moved(&onward.message, "302 Moved", back));
    refused(&mut shard, 482);
    shard.pass(std::time::Duration::from_secs(40));
    assert_eq!(shard.records[0].cause.code, CauseCode::LoopDetected);
}

#[test]
fn a_server_that_is_not_the_carriers_is_never_called() {
    for host in [
        "203.0.113.66",
        "evil.example",
        "[2001:db8::66]",
        "127.0.0.1",
    ] {
        let (mut shard, invite) = to_carrier(CONFIG);
        let contact = format!("<sip:+498999998001@{host}>");
        shard.carrier_says(&moved(&invite, "302 Moved", &contact));
        refused(&mut shard, 480);
        assert!(because(&mut shard).contains("no server of trunk"), "{host}");
    }
}

#[test]
fn targets_are_called_in_the_order_of_their_preference_and_five_at_most() {
    let (mut shard, mut invite) = to_teams(CONFIG);
    let contacts: Vec<String> = [2, 9, 5, 7, 1, 3, 8]
        .iter()
        .map(|q| format!("<sip:+49899999810{q}@h.example>;q=0.{q}"))
        .chain([
            "<mailto:a@h.example>".to_owned(),
            "<sip:h.example>".to_owned(),
        ])
        .collect();
    shard.teams_says(&moved(&invite, "300 Multiple Choices", &contacts.join(",")));
    for q in [9, 8, 7] {
        invite = next_invite(&mut shard);
        assert_eq!(uri(&invite), format!("sip:+49899999810{q}@198.51.100.20"));
        shard.carrier_says(&response(&invite, "500 Trouble", "x", "", ""));
    }
    invite = next_invite(&mut shard);
    assert_eq!(uri(&invite), "sip:+498999998105@198.51.100.20");
    shard.carrier_says(&response(&invite, "500 Trouble", "x", "", ""));
    let told = {
        shard.next_request(Method::Ack);
        shard.next()
    };
    assert_eq!(told.message.status().map(|status| status.code()), Some(500));
}

/// Three numbers of the telephone network, by preference.
const SEVERAL: &str = "<sip:+498999998101@h.example>, <sip:+498999998102@h.example>;q=0.5, \
                       <sip:+498999998103@h.example>;q=0.2";

/// SIP-314: told is what says most, whoever has said it, and what says as much by whoever said it last.
#[test]
fn whoever_refuses_the_call_is_followed_by_the_next_target() {
    for (statuses, told) in [
        (["486 Busy Here", "403 Forbidden", "404 Not Found"], 404),
        (["486 Busy Here", "403 Forbidden", "500 Trouble"], 403),
        (["415 Bad Type", "486 Busy Here", "404 Not Found"], 488),
        (["486 Busy Here", "302 Moved", "480 Not There"], 480),
        (["486 Busy Here", "500 Trouble", "302 Moved"], 486),
        (["500 Trouble", "500 Trouble", "302 Moved"], 482),
    ] {
        let (mut shard, mut invite) = to_teams(CONFIG);
        shard.teams_says(&moved(&invite, "300 Multiple Choices", SEVERAL));
        for (at, status) in statuses.into_iter().enumerate() {
            invite = next_invite(&mut shard);
            let number = format!("sip:+49899999810{}@198.51.100.20", at + 1);
            assert_eq!(uri(&invite), number, "{statuses:?}");
            // Who redirects the call to where it has been is none to call.
            let lines = match status.starts_with('3') {
                true => "Contact: <sip:+493023125456@198.51.100.20>\n",
                false => "",
            };
            shard.carrier_says(&response(&invite, status, "x", lines, ""));
        }
        refused(&mut shard, told);
        shard.pass(std::time::Duration::from_secs(40));
        assert_eq!(shard.records[0].egress.len(), 4);
        shard.settles();
    }
}

#[test]
fn who_speaks_for_all_places_of_the_callee_has_the_last_word() {
    let (mut shard, invite) = to_teams(CONFIG);
    shard.teams_says(&moved(&invite, "300 Multiple Choices", SEVERAL));
    let invite = next_invite(&mut shard);
    shard.carrier_says(&response(&invite, "486 Busy Here", "x", "", ""));
    let invite = next_invite(&mut shard);
    shard.carrier_says(&response(&invite, "603 Decline", "x", "", ""));
    refused(&mut shard, 603);
    shard.settles();
}

#[test]
fn another_way_to_who_has_refused_is_none_to_the_next_target() {
    let more = "
[[trunk]]
name = \"carrier-b\"
tenant = \"*\"
realm = \"carrier\"
targets = [\"198.51.100.40:5060;udp\"]
";
    let to = "match = { from_trunk = \"teams-contoso\" }\nto = [{ trunk = \"carrier-a\" }";
    let both = format!("{to}, {{ trunk = \"carrier-b\" }}");
    let config = CONFIG.replace(to, &both) + more;
    assert!(config.contains(&both));
    let (mut shard, invite) = to_teams(&config);
    shard.teams_says(&moved(&invite, "300 Multiple Choices", SEVERAL));
    let first = next_invite(&mut shard);
    shard.carrier_says(&response(&first, "486 Busy Here", "x", "", ""));
    let second = next_invite(&mut shard);
    assert_eq!(uri(&second), "sip:+498999998102@198.51.100.20");
    // A trunk that fails is another matter.
    let mut way = second;
    for host in ["198.51.100.21", "198.51.100.40"] {
        shard.carrier_says(&response(&way, "503 No", "x", "", ""));
        way = next_invite(&mut shard);
        assert_eq!(uri(&way), format!("sip:+498999998102@{host}"));
    }
}

#[test]
fn a_chain_of_redirections_ends_after_five() {
    // Both sides forward to ever new numbers that they may call.
    let (mut shard, mut invite) = to_teams(CONFIG);
    let mut hops = 0;
    loop {
        let (contact, is_teams) = match hops % 2 {
            0 => (format!("<sip:+4989999982{hops:02}@h.example>"), true),
            _ => (format!("<sip:+4930231253{hops:02}@h.example>"), false),
        };
        let answer = moved(&invite, "302 Moved", &contact);
        match is_teams {
            true => shard.teams_says(&answer),
            false => shard.carrier_says(&answer),
        }
        shard.next_request(Method::Ack);
        let next = shard.next();
        if !next.message.is_request() {
            let status = next.message.status().map(|status| status.code());
            assert_eq!(status, Some(480));
            break;
        }
        invite = next.message;
        hops += 1;
    }
    assert_eq!(hops, 5);
    assert!(because(&mut shard).contains("redirected too often"));
    shard.settles();
}

#[test]
fn proxies_and_other_services_are_nothing_to_call() {
    for status in ["305 Use Proxy", "380 Alternative Service"] {
        let (mut shard, invite) = to_teams(CONFIG);
        shard.teams_says(&moved(&invite, status, "<sip:+498999998777@h.example>"));
        refused(&mut shard, 480);
        assert!(shard.sent.is_empty(), "{status}");
    }
    // Without any target there is nothing to follow either.
    let (mut shard, invite) = to_teams(CONFIG);
    shard.teams_says(&response(&invite, "302 Moved", "x", "", ""));
    refused(&mut shard, 480);
}

#[test]
fn a_trunk_may_pass_redirections_to_the_caller_in_our_name() {
    let passing = CONFIG.replace(
        "preset = \"teams\"",
        "preset = \"teams\"\nredirect = \"pass\"",
    );
    let (mut shard, invite) = to_teams(&passing);
    let contacts = "<sip:+498999998777@sip.pstnhub.microsoft.com>;expires=300;x=y,\
                    <sip:+498999998778@10.0.0.1>;q=0.5;expires=never,<sip:+498999998779@h>;q=0.75";
    shard.teams_says(&moved(&invite, "302 Moved", contacts));
    let told = refused(&mut shard, 302);
    assert_eq!(
        lines(&told, HeaderName::Contact),
        [
            "<sip:+498999998777@192.0.2.11>;expires=300",
            "<sip:+498999998779@192.0.2.11>;q=0.75",
            "<sip:+498999998778@192.0.2.11>;q=0.5"
        ]
    );
    shard.settles();
}

#[test]
fn teams_is_never_told_of_a_redirection() {
    let passing = CONFIG.replace(
        "preset = \"carrier\"",
        "preset = \"carrier\"\nredirect = \"pass\"",
    );
    let (mut shard, invite) = to_carrier(&passing);
    let contact = "<sip:+493023125999@198.51.100.20>";
    shard.carrier_says(&moved(&invite, "302 Moved", contact));
    let onward = next_invite(&mut shard);
    assert!(uri(&onward).starts_with("sip:+493023125999@"), "followed");
}

#[test]
fn a_trunk_may_refuse_to_be_redirected() {
    let failing = CONFIG.replace(
        "preset = \"teams\"",
        "preset = \"teams\"\nredirect = \"fail\"",
    );
    let (mut shard, invite) = to_teams(&failing);
    shard.teams_says(&moved(
        &invite,
        "302 Moved",
        "<sip:+498999998777@h.example>",
    ));
    refused(&mut shard, 480);
    assert!(shard.sent.is_empty());
}

#[test]
fn a_contact_that_has_expired_is_no_place_to_go() {
    let (mut shard, invite) = to_teams(&telling());
    let contacts = "<sip:+498999998777@sip.pstnhub.microsoft.com:5061>;expires=0, \
                    <sip:+498999998778@sip.pstnhub.microsoft.com:5061>;q=0.2;expires=60";
    shard.teams_says(&moved(&invite, "302 Moved Temporarily", contacts));
    let onward = next_invite(&mut shard);
    assert_eq!(uri(&onward), "sip:+498999998778@198.51.100.20");
}

#[test]
fn earlier_targets_in_a_181_may_be_tel_uris_and_stay_behind() {
    let (mut shard, invite) = to_teams(&telling());
    let lines = "Diversion: <tel:+49-30-23125-456;ext=5>;reason=user-busy\n\
                 History-Info: <tel:+493023125456>;index=1, <tel:7042;phone-context=+4930>;index=1.1\n";
    let contact = format!("{TEAMS_CONTACT}{lines}");
    shard.teams_says(&response(
        &invite,
        "181 Call Is Being Forwarded",
        "x1",
        &contact,
        "",
    ));
    let forwarded = shard.next_response(181).message;
    assert!(!forwarded.has(HeaderName::Diversion) && !forwarded.has(HeaderName::HistoryInfo));
}

#[test]
fn limits_hold_for_where_a_redirection_leads() {
    let limit = "
[[limit]]
name = \"hotline\"
match = { called = [\"+493023125999\"] }
calls = 1
refuse = \"403\"
";
    let (mut shard, invite) = to_carrier(&(telling() + limit));
    let busy = carrier_invite("busy", CARRIER_SDP).replace("+493023125456", "+493023125999");
    shard.carrier_says(&busy);
    shard.next_response(100);
    shard.next_request(Method::Invite);
    let contact = "<sip:+493023125999@192.0.2.11>";
    shard.carrier_says(&moved(&invite, "302 Moved", contact));
    refused(&mut shard, 403);
    let record = shard.records.last().expect("a record");
    assert_eq!(record.cause.code, CauseCode::LimitReached);
    // A call that was redirected takes the place that is free again, and gives it back.
    let (mut shard, invite) = to_carrier(&(telling() + limit));
    shard.carrier_says(&moved(&invite, "302 Moved", contact));
    let next = next_invite(&mut shard);
    shard.carrier_says(&busy);
    shard.next_response(100);
    shard.next_response(403);
    shard.teams_says(&response(&next, "486 Busy Here", "n1", "", ""));
    shard.next_request(Method::Ack);
    shard.next_response(486);
    shard.carrier_says(&busy.replace("busy", "again"));
    shard.next_response(100);
    shard.next_request(Method::Invite);
}

#[test]
fn a_trunk_redirects_to_the_numbers_of_its_list_alone() {
    let contact = "<sip:+498999998777@sip.pstnhub.microsoft.com:5061;user=phone>";
    let with = |list: &str| {
        let name = "name = \"teams-contoso\"";
        telling().replacen(name, &format!("{name}\nredirect_to = {list}"), 1)
    };
    let (mut shard, invite) = to_teams(&with("[\"+4989\", \"+49301\"]"));
    shard.teams_says(&moved(&invite, "302 Moved Temporarily", contact));
    let onward = next_invite(&mut shard);
    assert_eq!(uri(&onward), "sip:+498999998777@198.51.100.20");
    let (mut shard, invite) = to_teams(&with("[\"+4930\"]"));
    shard.teams_says(&moved(&invite, "302 Moved Temporarily", contact));
    shard.next_request(Method::Ack);
    assert!(shard.next().message.status().is_some(), "nobody is called");
    let because = because(&mut shard);
    let why = "not followed: trunk \"teams-contoso\" may not redirect to +498999998777";
    assert!(because.contains(why), "{because}");
    // Another server of its own for the same number is no other number.
    let (mut shard, invite) = to_teams(&with("[\"+4930999\"]"));
    let same = "<sip:+493023125456@sip2.pstnhub.microsoft.com:5061;transport=tls>";
    shard.teams_says(&moved(&invite, "302 Moved Temporarily", same));
    next_invite(&mut shard);
}

/// SIP-1400: who is sent to a number that calls for help calls for help.
#[test]
fn a_redirection_to_a_number_of_help_is_a_call_for_help() {
    let help = "[[route]]\nname = \"help\"\nmatch = { emergency = true }\nto = [{ trunk = \"carrier-a\" }]\n";
    let numbers = "numbers = [\"+493023125000-+493023125999\"]";
    let config = CONFIG.replace(numbers, &format!("{numbers}\nemergency = [\"112\"]"));
    let (mut shard, invite) = to_teams(&format!("{config}{help}"));
    // What stands beside it would be called without the limits that do not hold for help, and what is to be replaced
    // there keeps nobody from being called.
    let host = "sip.pstnhub.microsoft.com:5061;user=phone";
    let replaces = "?Replaces=c%3Bto-tag%3Da%3Bfrom-tag%3Db&Require=replaces";
    let contact = format!("<sip:+4930990055@{host}>;q=1, <sip:112@{host}{replaces}>;q=0.1");
    let contact = contact.as_str();
    shard.teams_says(&moved(&invite, "302 Moved Temporarily", contact));
    let onward = next_invite(&mut shard);
    assert!(
        uri(&onward).starts_with("sip:112@198.51.100."),
        "{}",
        uri(&onward)
    );
    // What is refused there is tried at its next address, as no other call would be.
    shard.carrier_says(&response(&onward, "486 Busy Here", "b2", "", ""));
    shard.next_request(Method::Ack);
    assert_eq!(
        uri(&shard.next_request(Method::Invite).message),
        "sip:112@198.51.100.21"
    );
    let is_told =
        |what: &Happened| matches!(what, Happened::Emergency { called, .. } if called == "112");
    assert!(shard.happened.iter().any(is_told));
}
