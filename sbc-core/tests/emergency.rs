//! Calls for help, by hand: how they are recognised, what does not stop them, and what they carry.

use crate::world;

use sbc_core::config::{Assumed, Source, load};
use sbc_core::event::Happened;
use sbc_core::id::CommandId;
use sbc_core::input::{Command, Input};
use sbc_core::policy::emergency::HelpNumbers;
use sbc_core::sip::{HeaderName, Limits, Message, Method, body};
use std::time::Duration;
use world::call::{Call, VIA};
use world::*;

/// The usual world with a trunk to those who help, and one of another customer.
pub(crate) fn helping() -> String {
    let extra = r#"
[[tenant]]
name = "fabrikam"
numbers = ["+494012300-+494012399"]
[[trunk]]
name = "help"
tenant = "*"
realm = "carrier"
targets = ["198.51.100.50:5060;udp"]
timers = { response_timeout = "32s" }
[[trunk]]
name = "fabrikam-line"
tenant = "fabrikam"
realm = "carrier"
targets = ["198.51.100.60:5060;udp"]
[[route]]
name = "help"
match = { emergency = true }
to = [{ trunk = "help" }]
[[route]]
name = "last-resort"
match = { emergency = true }
to = [{ trunk = "fabrikam-line" }]
any_tenant = true
[[transform]]
name = "in"
when = { trunk = "teams-contoso", dir = "in" }
called = [{ match = '^(\d+)$', set = '+49$1' }]
"#;
    let numbers = "numbers = [\"+493023125000-+493023125999\"]";
    CONFIG.replace(
        numbers,
        &format!("{numbers}\nemergency = [\"112\", \"110\", \"933\"]"),
    ) + extra
}

pub(crate) fn dialled(number: &str) -> String {
    teams_invite("help").replace("sip:+498999998001@", &format!("sip:{number}@"))
}

fn called(config: &str, invite: &str) -> (Shard, Sent) {
    let mut shard = Shard::with(config_of(config));
    shard.teams_says(invite);
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite);
    (shard, invite)
}

pub(crate) fn is_alarmed(shard: &Shard) -> bool {
    let is_alarm = |what: &Happened| matches!(what, Happened::Emergency { .. });
    shard.happened.iter().any(is_alarm)
}

pub(crate) fn uri(sent: &Sent) -> String {
    String::from_utf8_lossy(&sent.message.request_uri()).into_owned()
}

pub(crate) fn refuse(shard: &mut Shard, invite: &Sent, status: &str) {
    shard.receive(
        sbc_core::transport::Flow {
            remote: invite.hop.remote,
            ..carrier_flow()
        },
        &response(&invite.message, status, "x", "", ""),
    );
    shard.next_request(Method::Ack);
}

#[test]
fn numbers_of_the_customers_list_are_calls_for_help_as_they_are_dialled() {
    for number in ["112", "110", "933"] {
        let (mut shard, invite) = called(&helping(), &dialled(number));
        assert_eq!(invite.hop.remote.to_string(), "198.51.100.50:5060");
        assert_eq!(uri(&invite), format!("sip:{number}@198.51.100.50"));
        assert!(is_alarmed(&shard));
        shard.pass(Duration::from_secs(400));
        assert!(shard.records[0].emergency);
        assert_eq!(shard.records[0].called, number);
    }
    // With the plus that a dial plan puts before everything, too.
    for number in ["112", "933"] {
        let (shard, invite) = called(&helping(), &dialled(&format!("+{number}")));
        assert_eq!(invite.hop.remote.to_string(), "198.51.100.50:5060");
        assert_eq!(uri(&invite), format!("sip:{number}@198.51.100.50"));
        assert!(is_alarmed(&shard));
        let numbers = HelpNumbers::of(&config_of(&helping()));
        let text = dialled(&format!("+{number}")).replace('\n', "\r\n");
        let message = Message::parse(text.into(), &Limits::default()).unwrap();
        assert!(numbers.are_called_by(&message), "before it is read");
    }
    // Nearly the same number is a call like any other, and so is the number in full form.
    for number in ["1122", "+1122", "+49112", "++112"] {
        let (shard, invite) = called(&helping(), &dialled(number));
        assert_eq!(invite.hop.remote.to_string(), CARRIER, "{number}");
        assert!(!is_alarmed(&shard));
    }
}

#[test]
fn rules_towards_a_carrier_change_what_is_dialled_for_help_only_where_they_name_it() {
    let outward = |rules: &str, number: &str| {
        let rules = format!(
            "\n[[transform]]\nname = \"to-help\"\nwhen = {{ trunk = \"help\", dir = \"out\" }}\ncalled = [{rules}]\n"
        );
        uri(&called(&(helping() + &rules), &dialled(number)).1)
    };
    for rule in [
        "{ match = '^([1-9]\\d+)$', set = '+49$1' }",
        "{ prefix = \"1\", set = \"+491\" }",
        "{ length = \"3\", set = \"+49\" }",
    ] {
        assert_eq!(outward(rule, "112"), "sip:112@198.51.100.50", "{rule}");
        let named = format!("{rule}, {{ number = \"112\", set = \"+493012345112\" }}");
        assert_eq!(outward(&named, "112"), "sip:+493012345112@198.51.100.50");
        assert_eq!(outward(&named, "110"), "sip:110@198.51.100.50");
    }
}

#[test]
fn a_service_urn_is_a_call_for_help_to_the_first_number_of_the_list() {
    for urn in ["urn:service:sos", "urn:service:sos.fire", "URN:Service:SOS"] {
        let text = carrier_invite("urn", CARRIER_SDP)
            .replace(
                "INVITE sip:+493023125456@192.0.2.11:5060",
                &format!("INVITE {urn}"),
            )
            .replace("sip:+498999998001@", "sip:+493023125001@");
        let mut shard = Shard::with(config_of(&helping()));
        shard.carrier_says(&text);
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite);
        assert_eq!(uri(&invite), "sip:112@198.51.100.50", "{urn}");
        assert!(is_alarmed(&shard));
    }
    // Nor does anybody ask for the context of such a number.
    let text = carrier_invite("tel", CARRIER_SDP)
        .replace("INVITE sip:+493023125456@192.0.2.11:5060", "INVITE tel:112")
        .replace("sip:+498999998001@", "sip:+493023125001@");
    let mut shard = Shard::with(config_of(&helping()));
    shard.carrier_says(&text);
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite);
    assert_eq!(uri(&invite), "sip:112@198.51.100.50");
    // Other services are none of ours.
    let text = carrier_invite("urn", CARRIER_SDP).replace(
        "INVITE sip:+493023125456@192.0.2.11:5060",
        "INVITE urn:service:sossy",
    );
    let mut shard = Shard::with(config_of(&helping()));
    shard.carrier_says(&text);
    shard.next_response(416);
}

#[test]
fn a_caller_of_a_shared_trunk_who_is_nobodys_calls_for_help_too() {
    let shared = helping().replace(
        "name = \"fabrikam\"",
        "name = \"fabrikam\"\nemergency = [\"999\"]",
    );
    for from in [
        "sip:anonymous@anonymous.invalid",
        "sip:27@198.51.100.20",
        "sip:+498999998001@198.51.100.20",
    ] {
        for number in ["112", "999"] {
            let text = carrier_invite("nobody", CARRIER_SDP)
                .replace("sip:+493023125456@", &format!("sip:{number}@"))
                .replace("sip:+498999998001@198.51.100.20", from);
            let mut shard = Shard::with(config_of(&shared));
            shard.carrier_says(&text);
            shard.next_response(100);
            let invite = shard.next_request(Method::Invite);
            assert_eq!(
                uri(&invite),
                format!("sip:{number}@198.51.100.50"),
                "{from}"
            );
            assert!(is_alarmed(&shard));
        }
    }
    // Of a customer only its own list counts.
    let (shard, _) = called(&shared, &dialled("999"));
    assert!(!is_alarmed(&shard));
}

#[test]
fn what_teams_marks_is_believed_and_what_others_mark_if_a_route_for_help_takes_it() {
    let marked = dialled("911").replace("MAX-FORWARDS", "PRIORITY: emergency\nMAX-FORWARDS");
    let (shard, invite) = called(&helping(), &marked);
    assert_eq!(invite.hop.remote.to_string(), "198.51.100.50:5060");
    assert!(is_alarmed(&shard));
    // Without such a route Teams is believed, and the usual ones carry it.
    for marked in [marked, with_location("911")] {
        let (shard, invite) = called(CONFIG, &marked);
        assert_eq!(invite.hop.remote.to_string(), CARRIER);
        assert!(is_alarmed(&shard));
    }
    // Nobody else is: a mark must not be a way past every limit.
    let trusting = CONFIG.replace(
        "name = \"carrier-a\"",
        "trusted = true\nname = \"carrier-a\"",
    );
    let text = carrier_invite("x", CARRIER_SDP);
    let marked = text.replace("Max-Forwards", "Priority: emergency\nMax-Forwards");
    let mut shard = Shard::with(config_of(&trusting));
    shard.carrier_says(&marked);
    shard.next_response(100);
    shard.next_request(Method::Invite);
    assert!(!is_alarmed(&shard));
    // And it means nothing from a peer that is not trusted.
    let mut shard = Shard::with(config_of(&helping()));
    shard.carrier_says(&marked);
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite);
    assert!(uri(&invite).contains("microsoft") && !is_alarmed(&shard));
}

#[test]
fn a_location_of_a_trusted_peer_marks_a_call_for_help_too() {
    let (shard, invite) = called(&helping(), &with_location("911"));
    assert_eq!(invite.hop.remote.to_string(), "198.51.100.50:5060");
    assert!(is_alarmed(&shard));
}

#[test]
fn neither_limits_nor_draining_stop_a_call_for_help() {
    let full = helping()
        .replace("emergency = [", "limits = { calls = 1 }\nemergency = [")
        .replace(
            "response_timeout = \"32s\" }",
            "response_timeout = \"32s\" }\nlimits = { calls = 1 }",
        );
    let mut shard = Shard::with(config_of(&full));
    shard.apply(Input::Command(CommandId(1), Command::Drain(true)));
    shard.teams_says(&dialled("+498999998001"));
    shard.next_response(503);
    // Two at once, where the customer and the trunk may have one call.
    for call in ["help2", "help3"] {
        let help = dialled("112").replace("CALL-ID: help", &format!("CALL-ID: {call}"));
        let help = help.replace("branch=z9hG4bKhelp", &format!("branch=z9hG4bK{call}"));
        shard.teams_says(&help);
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite);
        assert_eq!(uri(&invite), "sip:112@198.51.100.50");
    }
}

#[test]
fn a_call_for_help_tries_every_way_whatever_it_is_told() {
    let (mut shard, mut invite) = called(&helping(), &dialled("112"));
    let mut tried = vec![invite.hop.remote.to_string()];
    for status in ["486 Busy Here", "603 Decline"] {
        refuse(&mut shard, &invite, status);
        invite = shard.next_request(Method::Invite);
        tried.push(invite.hop.remote.to_string());
    }
    assert_eq!(
        tried,
        ["198.51.100.50:5060", "198.51.100.60:5060", CARRIER],
        "routes for help, then those for everybody"
    );
    refuse(&mut shard, &invite, "404 Not Found");
    let invite = shard.next_request(Method::Invite);
    refuse(&mut shard, &invite, "404 Not Found");
    assert!(shard.next().message.status().is_some(), "nothing is left");
    shard.settles();
}

#[test]
fn a_silent_target_is_given_up_after_six_seconds() {
    let (mut shard, _) = called(&helping(), &dialled("112"));
    shard.pass(Duration::from_millis(5_900));
    let others = |shard: &mut Shard| {
        let sent = shard.sent.drain(..).collect::<Vec<_>>();
        sent.iter()
            .filter(|sent| sent.hop.remote.to_string() == "198.51.100.60:5060")
            .count()
    };
    assert_eq!(others(&mut shard), 0);
    shard.pass(Duration::from_millis(200));
    assert_eq!(others(&mut shard), 1);
}

#[test]
fn who_calls_for_help_is_known_to_those_who_help() {
    let hidden = dialled("112")
        .replace(
            "FROM: Ada<sip:+493023125456@sip.pstnhub.microsoft.com:5061;user=phone>",
            "FROM: \"Anonymous\" <sip:anonymous@anonymous.invalid>",
        )
        .replace(
            "MAX-FORWARDS",
            "PRIVACY: id;user\nP-ASSERTED-IDENTITY: <tel:+493023125456>\nMAX-FORWARDS",
        );
    let (_, invite) = called(&helping(), &hidden);
    let text = text(&invite);
    assert!(
        text.contains("From: <sip:+493023125456@192.0.2.11>"),
        "{text}"
    );
    assert!(
        text.contains("P-Asserted-Identity: <tel:+493023125456>"),
        "{text}"
    );
}

#[test]
fn a_law_may_keep_hidden_who_calls_for_help() {
    let hidden = dialled("112").replace(
        "MAX-FORWARDS",
        "PRIVACY: id;user\nP-ASSERTED-IDENTITY: <tel:+493023125456>\nMAX-FORWARDS",
    );
    for (form, is_shown) in [("override", true), ("keep", false)] {
        let name = "name = \"help\"\ntenant";
        let key =
            format!("name = \"help\"\nidentity = {{ emergency_privacy = \"{form}\" }}\ntenant");
        let config = helping().replacen(name, &key, 1);
        let (_, invite) = called(&config, &hidden);
        let sent = text(&invite);
        assert_eq!(sent.contains("+493023125456"), is_shown, "{sent}");
        assert_eq!(
            sent.contains("anonymous@anonymous.invalid"),
            !is_shown,
            "{sent}"
        );
    }
}

const PIDF: &str = "<?xml version=\"1.0\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
     entity=\"pres:a@contoso.example\"><tuple id=\"0\"/></presence>\n";

pub(crate) fn with_location(number: &str) -> String {
    let body = format!(
        "--b1\nContent-Type: application/pidf+xml\nContent-ID: <12345@contoso.example>\n\n{PIDF}\n\
         --b1\nContent-Type: application/sdp\n\n{TEAMS_SDP}\n--b1--\n"
    );
    let head = dialled(number);
    let head = head.split("Content-Type").next().expect("head");
    let head = head.replace(
        "MAX-FORWARDS",
        "GEOLOCATION: <cid:12345@contoso.example>;inserted-by=\"x\"\nGeolocation-Routing: yes\n\
         Call-Info: <cid:9@contoso.example>;purpose=EmergencyCallData.ProviderInfo\nMAX-FORWARDS",
    );
    let length = body.replace('\n', "\r\n").len();
    format!("{head}Content-Type: multipart/mixed;boundary=b1\nContent-Length: {length}\n\n{body}")
}

#[test]
fn a_location_passes_octet_by_octet_beside_our_description() {
    let (_, invite) = called(&helping(), &with_location("112"));
    let message = &invite.message;
    let parts = body::parts(message).expect("a multipart");
    assert_eq!(parts.len(), 2);
    let sdp = parts.iter().find(|part| part.is_session_description());
    let sdp = String::from_utf8_lossy(&sdp.expect("ours").content).into_owned();
    assert!(
        sdp.contains("192.0.2.10") && !sdp.contains("203.0.113.9"),
        "{sdp}"
    );
    let section = parts[0].section.clone().expect("a part");
    let expected = format!(
        "Content-Type: application/pidf+xml\nContent-ID: <12345@contoso.example>\n\n{PIDF}"
    );
    assert_eq!(section, expected.replace('\n', "\r\n"));
    for (name, value) in [
        (
            "Geolocation",
            "<cid:12345@contoso.example>;inserted-by=\"x\"",
        ),
        ("Geolocation-Routing", "yes"),
        (
            "Call-Info",
            "<cid:9@contoso.example>;purpose=EmergencyCallData.ProviderInfo",
        ),
    ] {
        assert_eq!(message.raw_named(name).expect(name), value);
    }
}

#[test]
fn a_location_is_nobody_elses_business() {
    // In a call that is none for help, as far as anybody who is believed says.
    let preset = "preset = \"teams\"";
    let plain = CONFIG.replace(preset, &format!("{preset}\ntrusted = false"));
    let (_, invite) = called(&plain, &with_location("+498999998001"));
    let sent = text(&invite);
    assert!(
        !sent.contains("pidf") && !sent.contains("Geolocation"),
        "{sent}"
    );
    // On a trunk that does not want it.
    let without = helping().replace(
        "timers = { response_timeout = \"32s\" }",
        "timers = { response_timeout = \"32s\" }\nlocation = false",
    );
    let (_, invite) = called(&without, &with_location("112"));
    let sent = text(&invite);
    assert!(
        !sent.contains("pidf") && !sent.contains("Geolocation"),
        "{sent}"
    );
    assert!(Message::parse(invite.message.bytes().clone(), &Limits::default()).is_ok());
}

#[test]
fn a_bad_location_is_told_with_its_reason() {
    let one_way = helping().replace("any_tenant = true", "").replace(
        "[[route]]\nname = \"last-resort\"\nmatch = { emergency = true }\nto = [{ trunk = \"fabrikam-line\" }]",
        "",
    );
    let (mut shard, invite) = called(&one_way, &with_location("112"));
    refuse(&mut shard, &invite, "503 Unavailable");
    let invite = shard.next_request(Method::Invite);
    let said = "Geolocation-Error: 200 ;code=\"Permission To Use\"\n";
    let bad = response(&invite.message, "424 Bad Location", "x", said, "");
    shard.carrier_says(&bad);
    shard.next_request(Method::Ack);
    let invite = shard.next_request(Method::Invite);
    let bad = response(&invite.message, "424 Bad Location", "x", said, "");
    shard.carrier_says(&bad);
    shard.next_request(Method::Ack);
    let told = shard.next_response(424).message;
    assert_eq!(
        told.raw_named("Geolocation-Error").expect("the reason"),
        "200 ;code=\"Permission To Use\""
    );
    assert!(told.raw(HeaderName::Contact).is_none());
}

/// The usual world in which two places have numbers of their own: two floors by who calls, and the rest
/// by the way that the call comes.
fn with_places() -> String {
    helping().replace(
        "\nemergency = [",
        "\nelin = [
    { callers = [\"+493023125400-+493023125499\"], number = \"+493023125990\" },
    { from_trunk = \"teams-contoso\", number = \"+493023125991\" },
]
emergency = [",
    )
}

#[test]
fn who_calls_for_help_is_called_back_under_the_number_of_the_place() {
    let (mut shard, invite) = called(&with_places(), &dialled("112"));
    let sent = text(&invite);
    assert!(
        sent.contains("From: \"Ada\" <sip:+493023125990@192.0.2.11>"),
        "{sent}"
    );
    assert!(!sent.contains("+493023125456"), "{sent}");
    // The record knows who it was.
    shard.pass(Duration::from_secs(400));
    let record = &shard.records[0];
    assert_eq!(record.calling, "+493023125456");
    // From another floor, and with what the network asserts.
    let other = dialled("112")
        .replace("+493023125456", "+493023125777")
        .replace(
            "MAX-FORWARDS",
            "P-ASSERTED-IDENTITY: <tel:+493023125777>\nMAX-FORWARDS",
        );
    let (_, invite) = called(&with_places(), &other);
    let sent = text(&invite);
    assert!(sent.contains("<sip:+493023125991@192.0.2.11>"), "{sent}");
    assert!(
        sent.contains("P-Asserted-Identity: <tel:+493023125991>"),
        "{sent}"
    );
    // Who hides is called back nevertheless, and other calls are what they were.
    let hidden = dialled("112").replace(
        "FROM: Ada<sip:+493023125456@sip.pstnhub.microsoft.com:5061;user=phone>",
        "FROM: \"Anonymous\" <sip:anonymous@anonymous.invalid>",
    );
    let (_, invite) = called(&with_places(), &hidden);
    let sent = text(&invite);
    assert!(sent.contains("<sip:+493023125991@192.0.2.11>"), "{sent}");
    let (_, invite) = called(&with_places(), &dialled("+498999998001"));
    let sent = text(&invite);
    assert!(sent.contains("<sip:+493023125456@192.0.2.11>"), "{sent}");
}

#[test]
fn a_place_needs_a_number_of_its_owner_and_a_trunk_that_is_there() {
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    for (from, to, cause) in [
        (
            "\"+493023125990\"",
            "\"+4930999\"",
            "is no number of the tenant",
        ),
        (
            "from_trunk = \"teams-contoso\", ",
            "from_trunk = \"nobody\", ",
            "there is no trunk \"nobody\"",
        ),
        (", number = \"+493023125991\"", "", "\"number\" is missing"),
    ] {
        let text = with_places().replace(from, to);
        let findings = load(&[Source::new("test.toml", &*text)], &facts, None).expect_err(cause);
        assert!(findings.to_text().contains(cause), "{}", findings.to_text());
    }
}

#[test]
fn a_location_within_a_call_that_is_refused_ends_nothing() {
    let mut call = Call::new();
    let held = CARRIER_SDP.replace("a=sendrecv", "a=inactive");
    let body = format!(
        "--b1\nContent-Type: application/pidf+xml\nContent-ID: <12345@contoso.example>\n\n{PIDF}\n\
         --b1\nContent-Type: application/sdp\n\n{held}\n--b1--\n"
    );
    let lines = format!(
        "{CARRIER_CONTACT}Geolocation: <cid:12345@contoso.example>\nGeolocation-Routing: yes\n\
         Content-Type: multipart/mixed;boundary=b1\n"
    );
    call.says("INVITE", &lines, &body);
    call.shard.next_response(100);
    let ok = call.shard.next_response(200).message;
    call.shard
        .carrier_says(&in_dialog(&ok, "ACK", 11, &format!("{VIA}ackhold")));
    let told = call.shard.next_request(Method::Invite).message;
    assert!(
        told.raw_named("Geolocation").is_none(),
        "it is no call for help"
    );
    let said = "Geolocation-Error: 200 ;code=\"Permission To Use\"\n";
    call.shard
        .teams_says(&response(&told, "424 Bad Location", "", said, ""));
    call.shard.next_request(Method::Ack);
    assert!(call.shard.sent.is_empty() && call.shard.records.is_empty());
    call.lives();
}

#[test]
fn a_call_for_help_passes_every_rate_and_may_describe_itself_as_with_media_bypass() {
    let config = helping().replace(
        "emergency = [",
        "limits = { cps = 1, burst = 1 }\nemergency = [",
    ) + "\n[limits]\ncps = 1\n";
    let mut shard = Shard::with(config_of(&config));
    // The rate is used up.
    for (call, status) in [("one", None), ("two", Some(503))] {
        let invite = dialled("+498999998001").replace("CALL-ID: help", &format!("CALL-ID: {call}"));
        shard.teams_says(&invite.replace("branch=z9hG4bKhelp", &format!("branch=z9hG4bK{call}")));
        shard.next_response(100);
        match status {
            Some(code) => drop(shard.next_response(code)),
            None => drop(shard.next_request(Method::Invite)),
        }
    }
    let ice = include_str!("corpora/sdp/teams-bypass-offer-ice.sdp").replace("\r\n", "\n");
    let head = dialled("112");
    let head = head.split("Content-Type").next().expect("head").to_owned();
    shard.teams_says(&with_body(&head, &ice));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite);
    assert_eq!(uri(&invite), "sip:112@198.51.100.50");
    let offered = world::call::body(&invite.message);
    assert!(
        offered.contains("m=audio") && !offered.contains("candidate"),
        "{offered}"
    );
}

/// Who is transferred to a number that calls for help calls for help, by whatever way there is.
#[test]
fn a_transfer_to_a_number_of_help_is_a_call_for_help() {
    let help = "[[route]]\nname = \"help\"\nmatch = { emergency = true }\nto = [{ trunk = \"carrier-a\" }]\n";
    let numbers = "numbers = [\"+493023125000-+493023125999\"]";
    let config = CONFIG.replace(numbers, &format!("{numbers}\nemergency = [\"112\"]"));
    let mut call = world::call::Call::with(&format!("{config}{help}"));
    let contact = "Contact: <sip:gw@198.51.100.20:5060>\n";
    call.says(
        "REFER",
        &format!("Refer-To: <sip:112@192.0.2.11>\n{contact}"),
        "",
    );
    call.shard.next_response(202);
    let notify = call.shard.next_request(Method::Notify).message;
    call.shard
        .carrier_says(&response(&notify, "200 OK", "", "", ""));
    for place in ["sip:112@198.51.100.20", "sip:112@198.51.100.21"] {
        let invite = call.shard.next_request(Method::Invite);
        assert_eq!(
            String::from_utf8_lossy(&invite.message.request_uri()),
            place
        );
        let mut flow = carrier_flow();
        flow.remote = invite.hop.remote;
        let busy = response(&invite.message, "486 Busy Here", "b2", "", "");
        call.shard.receive(flow, &busy);
        call.shard.next_request(Method::Ack);
    }
    let is_told =
        |what: &Happened| matches!(what, Happened::Emergency { called, .. } if called == "112");
    assert!(call.shard.happened.iter().any(is_told));
}
