//! Places of calls for help, by hand: what their location says, the number that is lent to who calls, and
//! the call back (TDR-EMG-004, TDR-EMG-005, SIP-1402).

use crate::emergency::{dialled, helping, is_alarmed, refuse, uri};
use crate::world;

use sbc_core::config::{Assumed, Source, load};
use sbc_core::core::Together;
use sbc_core::event::Happened;
use sbc_core::id::ShardId;
use sbc_core::input::Input;
use sbc_core::pidf::xml::Rule;
use sbc_core::sip::{HeaderName, Method, body};
use std::time::Duration;
use world::call::header;
use world::*;

/// What a location of Teams looks like, with these numbers and this method.
fn location(elin: &str, method: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>
<presence entity=\"sip:ada@contoso.example\" xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:gp=\"urn:ietf:params:xml:ns:pidf:geopriv10\" xmlns:ca=\"urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr\">
 <tuple id=\"0\"><status><gp:geopriv><gp:location-info>
  <ca:civicAddress><ca:country>DE</ca:country><ca:LOC>floor 2</ca:LOC><ca:NAM>Contoso</ca:NAM><ca:ELIN>{elin}</ca:ELIN></ca:civicAddress>
 </gp:location-info><gp:usage-rules/><gp:method>{method}</gp:method></gp:geopriv></status></tuple>
</presence>
"
    )
}

/// A call for help of Teams with this location.
fn located(call: &str, caller: &str, location: &str) -> String {
    let body = format!(
        "--b1\nContent-Type: application/sdp\n\n{TEAMS_SDP}\n\
         --b1\nContent-Type: application/pidf+xml\nContent-ID: <1@contoso.example>\n\n{location}\n--b1--\n"
    );
    let head = help(call, caller);
    let head = head.split("Content-Type").next().expect("head");
    let head = head.replace(
        "MAX-FORWARDS",
        "GEOLOCATION: <cid:1@contoso.example>\nMAX-FORWARDS",
    );
    let length = body.replace('\n', "\r\n").len();
    format!("{head}Content-Type: multipart/mixed;boundary=b1\nContent-Length: {length}\n\n{body}")
}

/// A call for help of Teams, from this user.
fn help(call: &str, caller: &str) -> String {
    dialled("112")
        .replace("CALL-ID: help", &format!("CALL-ID: {call}"))
        .replace("branch=z9hG4bKhelp", &format!("branch=z9hG4bK{call}"))
        .replace("sip:+493023125456@sip", &format!("sip:{caller}@sip"))
}

/// The usual world, in which places have these settings.
fn places(settings: &str) -> String {
    helping().replace("\nemergency = [", &format!("\n{settings}\nemergency = ["))
}

const FROM_LOCATION: &str = "elin_from_location = true";

const POOL: &str = "elin = [{ numbers = [\"+493023125990\", \"+493023125991\"] }]";

/// The INVITE to those who help.
fn calls(shard: &mut Shard, invite: &str) -> Sent {
    shard.teams_says(invite);
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite);
    assert!(is_alarmed(shard));
    invite
}

/// The number that those who help see.
fn shown(invite: &Sent) -> String {
    let from = header(&invite.message, HeaderName::From);
    let number = from
        .split("sip:")
        .nth(1)
        .and_then(|rest| rest.split('@').next());
    number.expect("a number").to_owned()
}

/// Those who help refuse, by every way.
fn ends(shard: &mut Shard, mut invite: Sent) {
    loop {
        refuse(shard, &invite, "486 Busy Here");
        let next = shard.next();
        if next.message.status().is_some() {
            return;
        }
        invite = next;
    }
}

/// Whom a call of the carrier to this number reaches at Teams.
fn call_back(shard: &mut Shard, call: &str, number: &str) -> String {
    let text =
        carrier_invite(call, CARRIER_SDP).replace("sip:+493023125456@", &format!("sip:{number}@"));
    shard.carrier_says(&text);
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite);
    assert_eq!(invite.hop.remote.to_string(), TEAMS);
    let called = uri(&invite);
    let number = called.trim_start_matches("sip:").split('@').next();
    number.expect("a number").to_owned()
}

fn reused(shard: &Shard) -> Vec<(String, String)> {
    let told = shard.happened.iter().filter_map(|what| match what {
        Happened::ElinReused { number, from, .. } => Some((number.clone(), from.clone())),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_number_of_the_location_is_shown_and_a_call_back_to_it_reaches_who_called() {
    let mut shard = Shard::with(config_of(&places(FROM_LOCATION)));
    let text = located(
        "h1",
        "+493023125456",
        &location("+49-302-312-5990;+493023125991", "LIS"),
    );
    let invite = calls(&mut shard, &text);
    assert_eq!(shown(&invite), "+493023125990");
    assert!(!String::from_utf8_lossy(invite.message.bytes()).contains("+493023125456"));
    // What the location says reaches those who help as it came.
    let parts = body::parts(&invite.message).expect("a multipart");
    let passed = String::from_utf8_lossy(&parts[1].content).replace("\r\n", "\n");
    assert!(
        passed.contains("+49-302-312-5990;+493023125991"),
        "{passed}"
    );
    // While the call goes on, and after its end, but not for ever.
    assert_eq!(
        call_back(&mut shard, "b1", "+493023125990"),
        "+493023125456"
    );
    shard.sent.clear();
    ends(&mut shard, invite);
    let own = shard
        .records
        .iter()
        .find(|record| record.emergency)
        .expect("its record");
    let place = own.place.clone().expect("a place");
    assert_eq!(place.elin.as_deref(), Some("+493023125990"));
    assert_eq!(own.calling, "+493023125456");
    shard.pass(Duration::from_secs(44 * 60));
    shard.sent.clear();
    assert_eq!(
        call_back(&mut shard, "b2", "+493023125990"),
        "+493023125456"
    );
    shard.pass(Duration::from_secs(61));
    shard.sent.clear();
    assert_eq!(
        call_back(&mut shard, "b3", "+493023125990"),
        "+493023125990"
    );
    // The record of a call back says why it went there, and what was dialled.
    shard.pass(Duration::from_secs(400));
    let back = shard
        .records
        .iter()
        .find(|record| record.called_raw == "+493023125990");
    let back = back.expect("its record");
    assert_eq!(back.called, "+493023125456");
    let because = back.route.0.join("; ");
    assert!(
        because.contains("+493023125990 is lent to +493023125456"),
        "{because}"
    );
}

#[test]
fn everybody_who_calls_for_help_has_a_number_of_his_own_until_there_are_none() {
    let mut shard = Shard::with(config_of(&places(POOL)));
    let first = calls(&mut shard, &help("h1", "+493023125001"));
    let second = calls(&mut shard, &help("h2", "+493023125002"));
    assert_eq!(
        [shown(&first), shown(&second)],
        ["+493023125990", "+493023125991"]
    );
    let again = calls(&mut shard, &help("h3", "+493023125001"));
    assert_eq!(
        shown(&again),
        "+493023125990",
        "who calls again keeps his number"
    );
    assert!(reused(&shard).is_empty());
    // The second call is over, the first is not: so the second's number goes.
    ends(&mut shard, second);
    let third = calls(&mut shard, &help("h4", "+493023125003"));
    assert_eq!(shown(&third), "+493023125991");
    assert_eq!(
        reused(&shard),
        [("+493023125991".to_owned(), "+493023125002".to_owned())]
    );
    assert_eq!(
        call_back(&mut shard, "b1", "+493023125991"),
        "+493023125003"
    );
    shard.sent.clear();
    assert_eq!(
        call_back(&mut shard, "b2", "+493023125990"),
        "+493023125001"
    );
}

#[test]
fn who_has_which_number_outlives_a_reload_and_is_known_to_every_shard() {
    let together = Together::default();
    let config = config_of(&places(POOL));
    let of = |shard| Shard::one_of(config.clone(), ShardId(shard), 2).counting(&together);
    let (mut first, mut second) = (of(0), of(1));
    let invite = calls(&mut first, &help("h1", "+493023125001"));
    assert_eq!(shown(&invite), "+493023125990");
    let without = config_of(&helping());
    second.apply(Input::Config(without));
    assert_eq!(
        call_back(&mut second, "b1", "+493023125990"),
        "+493023125001"
    );
    second.apply(Input::Config(config.clone()));
    let other = calls(&mut second, &help("h2", "+493023125002"));
    assert_eq!(shown(&other), "+493023125991");
}

#[test]
fn who_called_for_help_is_called_back_after_a_restart_as_far_as_the_configuration_agrees() {
    let together = Together::default();
    let config = config_of(&places(POOL));
    let mut before = Shard::with(config.clone()).counting(&together);
    let invite = calls(&mut before, &help("h1", "+493023125001"));
    assert_eq!(shown(&invite), "+493023125990");
    let now = before.now;
    let written = together.elins().written(0, now.mono, now.wall);
    let (_, mut written) = written.expect("a number is lent");
    // Who is no number of the customer is not led to, whatever a file says.
    let mut foreign = written.numbers[0].clone();
    foreign.number = "+493023125991".to_owned();
    foreign.user = "+449098790001".to_owned();
    written.numbers.push(foreign);

    let together = Together::default();
    let mut after = Shard::with(config).counting(&together);
    let restored = together.elins().restore(&written, after.now.mono, now.wall);
    assert_eq!(restored, Ok(2));
    assert_eq!(
        call_back(&mut after, "b1", "+493023125990"),
        "+493023125001"
    );
    after.sent.clear();
    assert_eq!(
        call_back(&mut after, "b2", "+493023125991"),
        "+493023125991"
    );
}

#[test]
fn a_call_back_on_a_shared_trunk_reaches_who_has_a_local_number_only() {
    let settings = format!("{POOL}\nlocal_numbers = [\"+1001-+1099\"]");
    let mut shard = Shard::with(config_of(&places(&settings)));
    let invite = calls(&mut shard, &help("h1", "+1001"));
    assert_eq!(shown(&invite), "+493023125990");
    assert_eq!(call_back(&mut shard, "b1", "+493023125990"), "+1001");
}

#[test]
fn a_call_back_is_not_led_out_of_the_customer() {
    let mut shard = Shard::with(config_of(&places(POOL)));
    let invite = calls(&mut shard, &help("h1", "+449098790001"));
    assert_eq!(shown(&invite), "+493023125990", "help is not refused");
    assert_eq!(
        call_back(&mut shard, "b1", "+493023125990"),
        "+493023125990"
    );
}

#[test]
fn a_call_back_is_let_in_where_places_are_kept_for_what_matters() {
    let limit = "limits = { calls = 2, reserve = 1 }";
    let mut shard = Shard::with(config_of(&places(&format!("{POOL}\n{limit}"))));
    calls(&mut shard, &help("h1", "+493023125001"));
    // Only what is reserved is left, which an ordinary call does not get.
    let plain = carrier_invite("c1", CARRIER_SDP);
    shard.carrier_says(&plain);
    shard.next_response(100);
    shard.next_response(503);
    shard.sent.clear();
    assert_eq!(
        call_back(&mut shard, "b1", "+493023125990"),
        "+493023125001"
    );
}

#[test]
fn calls_back_are_led_nowhere_after_the_call_where_that_is_not_wanted() {
    let settings = format!("{POOL}\nelin_callback = \"0s\"");
    let mut shard = Shard::with(config_of(&places(&settings)));
    let invite = calls(&mut shard, &help("h1", "+493023125001"));
    assert_eq!(
        call_back(&mut shard, "b1", "+493023125990"),
        "+493023125001"
    );
    shard.sent.clear();
    ends(&mut shard, invite);
    shard.sent.clear();
    assert_eq!(
        call_back(&mut shard, "b2", "+493023125990"),
        "+493023125990"
    );
}

#[test]
fn a_number_of_a_location_that_is_not_the_customers_is_not_shown() {
    let foreign = location("+494012345678;493023125992", "LIS");
    // The second is its own, without its plus.
    let mut shard = Shard::with(config_of(&places(FROM_LOCATION)));
    let invite = calls(&mut shard, &located("h1", "+493023125456", &foreign));
    assert_eq!(shown(&invite), "+493023125992");
    shard.pass(Duration::from_secs(400));
    let because = shard.records[0].route.0.join("; ");
    assert!(
        because.contains("names +494012345678, which is no number of its tenant"),
        "{because}"
    );
    // Or as it is dialled at home (TDR-EMG-005).
    for national in ["030-2312-5992", "3023125992"] {
        let mut shard = Shard::with(config_of(&places(FROM_LOCATION)));
        let told = location(national, "LIS");
        let invite = calls(&mut shard, &located("h1", "+493023125456", &told));
        assert_eq!(shown(&invite), "+493023125992", "{national}");
    }
    // Without one of its own the configured place counts, and without that the caller is shown.
    for (settings, number) in [
        (format!("{FROM_LOCATION}\n{POOL}"), "+493023125990"),
        (FROM_LOCATION.to_owned(), "+493023125456"),
        // Nor is the location asked where that is not wanted.
        (POOL.to_owned(), "+493023125990"),
    ] {
        let mut shard = Shard::with(config_of(&places(&settings)));
        let foreign = location("+494012345678", "LIS");
        let invite = calls(&mut shard, &located("h1", "+493023125456", &foreign));
        assert_eq!(shown(&invite), number, "{settings}");
    }
    let mut shard = Shard::with(config_of(&places(POOL)));
    let own = location("+493023125995", "LIS");
    let invite = calls(&mut shard, &located("h1", "+493023125456", &own));
    assert_eq!(shown(&invite), "+493023125990");
}

#[test]
fn a_location_that_cannot_be_read_is_told_passes_as_it_came_and_stops_nothing() {
    for (text, rule, said) in [
        ("somewhere on floor 2", Rule::NotXml, "it is not XML"),
        (
            "<!DOCTYPE presence [<!ENTITY a \"aa\">]><presence>&a;</presence>",
            Rule::DocumentType,
            "document type",
        ),
    ] {
        let settings = format!("{FROM_LOCATION}\n{POOL}");
        let mut shard = Shard::with(config_of(&places(&settings)));
        let invite = calls(&mut shard, &located("h1", "+493023125456", text));
        assert_eq!(shown(&invite), "+493023125990", "the configured place");
        let parts = body::parts(&invite.message).expect("a multipart");
        assert_eq!(parts[1].content, text);
        let told = shard.happened.iter().filter_map(|what| match what {
            Happened::LocationUnreadable { trunk, fault } => Some((trunk.as_str(), fault.rule)),
            _ => None,
        });
        assert_eq!(told.collect::<Vec<_>>(), [("teams-contoso", rule)]);
        shard.pass(Duration::from_secs(400));
        let place = shard.records[0].place.clone().expect("a place");
        assert!(place.fault.expect("why").contains(said));
        assert_eq!(place.method, None);
    }
}

#[test]
fn a_route_may_ask_how_the_location_was_found() {
    // What is sure goes to those who help, everything else to people who ask first.
    let config = helping()
        .replace(
            "name = \"help\"\nmatch = { emergency = true }",
            "name = \"help\"\nmatch = { emergency = true, location_method = [\"LIS\", \"assist\"] }",
        )
        .replace(
            "name = \"last-resort\"\nmatch = { emergency = true }",
            "name = \"last-resort\"\nmatch = { emergency = true, location_method = [\"cls\", \"MANUAL\", \"none\"] }",
        );
    let (sure, asks) = ("198.51.100.50:5060", "198.51.100.60:5060");
    for (method, way) in [
        ("LIS", sure),
        ("Assist", sure),
        ("CLS", asks),
        ("manual", asks),
        ("", asks),
        // Nobody asked for this one: any way of those who help is better than the usual ones.
        ("GPS", sure),
    ] {
        let mut shard = Shard::with(config_of(&config));
        let invite = calls(
            &mut shard,
            &located("h1", "+493023125456", &location("", method)),
        );
        assert_eq!(invite.hop.remote.to_string(), way, "{method}");
        shard.pass(Duration::from_secs(400));
        let record = &shard.records[0];
        let told = record.place.as_ref().and_then(|place| place.method.clone());
        let wanted = (!method.is_empty()).then(|| method.to_ascii_uppercase());
        assert_eq!(told, wanted, "{method}");
    }
    // A call without any location.
    let mut shard = Shard::with(config_of(&config));
    let invite = calls(&mut shard, &help("h1", "+493023125456"));
    assert_eq!(invite.hop.remote.to_string(), asks);
    // A mark of a trusted peer is believed although no route wants this method.
    let mut shard = Shard::with(config_of(&config));
    let marked =
        located("h1", "+493023125456", &location("", "GPS")).replace("sip:112@", "sip:911@");
    let invite = calls(&mut shard, &marked);
    assert_eq!(invite.hop.remote.to_string(), sure);
}

#[test]
fn a_call_for_help_is_not_refused_for_how_its_location_was_found() {
    // One route for help, for what is sure, and usual ones for numbers in full form alone.
    let only = "name = \"help\"\nmatch = { emergency = true";
    let usual = "match = { from_trunk = \"teams-contoso\"";
    let last = "[[route]]\nname = \"last-resort\"\nmatch = { emergency = true }\n\
                to = [{ trunk = \"fabrikam-line\" }]\nany_tenant = true\n";
    let transform = "called = [{ match = '^(\\d+)$', set = '+49$1' }]";
    let text = helping();
    assert!(text.contains(only) && text.contains(usual) && text.contains(last));
    assert!(text.contains(transform));
    let text = text
        .replace(last, "")
        .replace(transform, "called = [{ match = '^(x)$', set = '+49$1' }]")
        .replace(
            only,
            &format!("{only}, location_method = [\"LIS\", \"ASSIST\"]"),
        )
        .replace(usual, &format!("{usual}, called = \"^\\\\+\""));
    let without = help("h1", "+493023125456");
    let with = |method: &str| located("h1", "+493023125456", &location("", method));
    for (what, invite) in [
        ("LIS", with("LIS")),
        ("MANUAL", with("Manual")),
        ("GPS", with("GPS")),
        ("unsaid", with("")),
        ("none", without),
    ] {
        let mut shard = Shard::with(config_of(&text));
        let invite = calls(&mut shard, &invite);
        let way = invite.hop.remote.to_string();
        assert_eq!(way, "198.51.100.50:5060", "{what}");
    }
}

#[test]
fn settings_of_places_are_checked() {
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    let plain = "name = \"to-carrier\"\nmatch = { from_trunk = \"teams-contoso\"";
    for (text, cause) in [
        (
            places("elin_callback = \"25h\""),
            "elin_callback is longer than a day",
        ),
        (
            places("elin = [{ numbers = [\"+493023125990\", \"+4930999\"] }]"),
            "elin \"+4930999\" is no number of the tenant",
        ),
        (places("elin = [{ numbers = [] }]"), "\"number\" is missing"),
        (
            helping().replace(plain, &format!("{plain}, location_method = [\"LIS\"]")),
            "only calls for help have a location_method",
        ),
        (
            helping().replacen(
                "emergency = true",
                "emergency = true, location_method = [\"L I S\"]",
                1,
            ),
            "location_method \"L I S\" is no word",
        ),
    ] {
        let findings = load(&[Source::new("test.toml", &*text)], &facts, None).expect_err(cause);
        assert!(findings.to_text().contains(cause), "{}", findings.to_text());
    }
}
