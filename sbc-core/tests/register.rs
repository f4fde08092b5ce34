//! Registrations: what is asked of registrars, when, and what becomes of calls (SIP-1620 to
//! SIP-1627, SIP-1630).

use crate::world;

use sbc_core::event::Happened;
use sbc_core::id::{CommandId, FlowId};
use sbc_core::input::{Command, Input};
use sbc_core::query::Outcome;
use sbc_core::sip::header::{Contact, Route};
use sbc_core::sip::{HeaderName, Message, Method};
use sbc_core::trunk::{RegistrationState, Standing};
use std::sync::Arc;
use std::time::Duration;
use world::call::header;
use world::*;

pub(crate) const FIRST: &str = "198.51.100.20:5060";
const SECOND: &str = "198.51.100.21:5060";

/// The carrier's trunk registers; nobody is probed.
pub(crate) fn registering(register: &str) -> String {
    CONFIG
        .replace(
            "codecs = [\"PCMA\", \"PCMU\"]\n",
            &format!(
                "codecs = [\"PCMA\", \"PCMU\"]\noptions = false\nmode = \"register\"\n\
                 digest = {{ username = \"contoso\", password = {{ credential = \"a\" }}, \
                 realms = [\"telco.example\"] }}\n\
                 register = {{ aor = \"sip:+4930231250@telco.example\", {register} }}\n"
            ),
        )
        .replace(
            "preset = \"teams\"\n",
            "preset = \"teams\"\noptions = false\n",
        )
}

pub(crate) fn usual() -> String {
    registering("expires = \"10m\"")
}

pub(crate) fn started(text: &str) -> Shard {
    let config = config_of(text);
    let mut shard = Shard::with(Arc::clone(&config));
    shard.apply(Input::Config(config));
    shard
}

/// The next REGISTER within a time, and how long that took in milliseconds.
pub(crate) fn register_within(shard: &mut Shard, limit: Duration) -> Option<(Sent, u64)> {
    let begin = shard.now.mono;
    let is_register = |sent: &Sent| *sent.message.method() == Method::Register;
    loop {
        let took = shard.now.mono.since(begin);
        if let Some(at) = shard.sent.iter().position(is_register) {
            let ms = u64::try_from(took.as_millis()).unwrap();
            return shard.sent.remove(at).map(|sent| (sent, ms));
        }
        if took >= limit {
            return None;
        }
        shard.pass(Duration::from_millis(10));
    }
}

pub(crate) fn next_register(shard: &mut Shard) -> Sent {
    let found = register_within(shard, Duration::from_secs(2));
    found.expect("a REGISTER").0
}

pub(crate) fn contact_of(register: &Message) -> String {
    let contacts = register.list::<Contact>().unwrap();
    assert_eq!(contacts.len(), 1);
    let uri = contacts[0].uri().unwrap().to_bytes();
    String::from_utf8_lossy(&uri).into_owned()
}

pub(crate) fn says(shard: &mut Shard, register: &Message, start: &str, lines: &str) {
    shard.carrier_says(&response(register, start, "r1", lines, ""));
}

pub(crate) fn grants(shard: &mut Shard, register: &Message, seconds: u32, lines: &str) {
    let contact = contact_of(register);
    let lines = format!("Contact: <{contact}>;expires={seconds}\n{lines}");
    says(shard, register, "200 OK", &lines);
}

fn challenge(nonce: &str) -> String {
    format!("WWW-Authenticate: Digest realm=\"telco.example\", nonce=\"{nonce}\", qop=\"auth\"\n")
}

pub(crate) fn registered(text: &str, lines: &str) -> (Shard, Message) {
    let mut shard = started(text);
    let register = next_register(&mut shard).message;
    grants(&mut shard, &register, 600, lines);
    (shard, register)
}

pub(crate) fn standing(shard: &Shard) -> Arc<Standing> {
    let all = shard.happened.iter().rev();
    let mut all = all.filter_map(|what| match what {
        Happened::Registration { standing, .. } => Some(Arc::clone(standing)),
        _ => None,
    });
    all.next().expect("something was told")
}

fn told(shard: &Shard) -> String {
    let all = shard.happened.iter().rev();
    let mut all = all.filter_map(|what| match what {
        Happened::Registration { because, .. } => Some(because.clone()),
        _ => None,
    });
    all.next().expect("something was told")
}

#[test]
fn a_register_names_the_domain_the_address_of_record_and_a_contact_of_its_own() {
    let mut shard = started(&usual());
    let sent = next_register(&mut shard);
    assert_eq!(sent.hop.remote.to_string(), FIRST);
    let register = sent.message;
    assert_eq!(&register.request_uri()[..], b"sip:telco.example");
    let aor = "<sip:+4930231250@telco.example>";
    assert_eq!(header(&register, HeaderName::To), aor);
    assert!(header(&register, HeaderName::From).starts_with(&format!("{aor};tag=")));
    assert_eq!(header(&register, HeaderName::Expires), "600");
    assert_eq!(header(&register, HeaderName::Supported), "path");
    let contact = contact_of(&register);
    let user = contact.strip_prefix("sip:").and_then(|c| c.split_once('@'));
    let (user, at) = user.unwrap();
    assert_eq!(at, "192.0.2.11:5060");
    assert!(user.len() > 16, "nobody guesses {user}");
    assert!(!register.has(HeaderName::Authorization) && !register.has(HeaderName::Require));
    // Never a second one while the first is unanswered: repetitions of it are the transaction's.
    shard.pass(Duration::from_secs(20));
    assert!(
        shard
            .sent
            .iter()
            .all(|sent| sent.message.bytes() == register.bytes())
    );
    let other = next_register(&mut started(
        &usual().replace("sbc1\"\nuser", "sbc2\"\nuser"),
    ));
    assert_eq!(contact_of(&other.message), contact, "the same seed");
}

#[test]
fn a_challenge_is_answered_in_the_same_call_and_the_next_register_brings_the_proof_along() {
    let mut shard = started(&usual());
    let first = next_register(&mut shard).message;
    says(&mut shard, &first, "401 Unauthorized", &challenge("n1"));
    let second = next_register(&mut shard).message;
    for name in [HeaderName::CallId, HeaderName::From, HeaderName::Contact] {
        assert_eq!(header(&first, name.clone()), header(&second, name));
    }
    assert_eq!(header(&second, HeaderName::CSeq), "2 REGISTER");
    assert!(header(&second, HeaderName::Authorization).ends_with("nc=00000001"));
    grants(&mut shard, &second, 600, "");
    assert_eq!(standing(&shard).state, RegistrationState::Registered);
    let (third, ms) = register_within(&mut shard, Duration::from_secs(600)).unwrap();
    assert!((480_000..=540_100).contains(&ms), "80 to 90 %: {ms} ms");
    assert_eq!(header(&third.message, HeaderName::CSeq), "3 REGISTER");
    assert!(header(&third.message, HeaderName::Authorization).ends_with("nc=00000002"));
    // The nonce was too old: one more round, and no failure.
    let stale = challenge("n2").replace("qop", "stale=true, qop");
    says(&mut shard, &third.message, "401 Unauthorized", &stale);
    let fourth = next_register(&mut shard).message;
    grants(&mut shard, &fourth, 600, "");
    assert_eq!(standing(&shard).state, RegistrationState::Registered);
}

#[test]
fn a_wrong_password_is_explained_and_not_tried_again_for_five_minutes() {
    let mut shard = started(&usual());
    let first = next_register(&mut shard).message;
    says(&mut shard, &first, "401 Unauthorized", &challenge("n1"));
    let second = next_register(&mut shard).message;
    says(&mut shard, &second, "401 Unauthorized", &challenge("n1"));
    assert_eq!(standing(&shard).state, RegistrationState::Failed);
    let why = told(&shard);
    assert!(why.contains("user name and password"), "{why}");
    assert!(register_within(&mut shard, Duration::from_secs(299)).is_none());
    assert!(register_within(&mut shard, Duration::from_secs(32)).is_some());
}

#[test]
fn the_life_of_our_own_contact_counts_and_a_short_one_is_renewed_halfway() {
    for (own, others, earliest, latest) in [
        (120, 3600, 78_000, 78_100),
        (60, 3600, 30_000, 30_100),
        (40, 20, 20_000, 20_100),
        (2, 3600, 5_000, 5_100),
    ] {
        let mut shard = started(&usual());
        let register = next_register(&mut shard).message;
        let contact = contact_of(&register);
        let lines = format!(
            "Contact: <sip:phone@192.0.2.77>;expires={others}, <{contact}>;expires={own}\n\
             Expires: 7200\n"
        );
        says(&mut shard, &register, "200 OK", &lines);
        let (_, ms) = register_within(&mut shard, Duration::from_secs(200)).unwrap();
        assert!((earliest..=latest).contains(&ms), "{own} s: {ms} ms");
    }
}

#[test]
fn without_a_life_of_the_contact_that_of_the_message_counts_and_without_any_an_hour() {
    for (lines, life_ms) in [("Expires: 1000\n", 1_000_000), ("", 3_600_000)] {
        let mut shard = started(&usual());
        let register = next_register(&mut shard).message;
        let contact = contact_of(&register);
        says(
            &mut shard,
            &register,
            "200 OK",
            &format!("Contact: <{contact}>\n{lines}"),
        );
        let (_, ms) = register_within(&mut shard, Duration::from_secs(3_600)).unwrap();
        assert!(
            (life_ms * 8 / 10..=life_ms * 9 / 10 + 100).contains(&ms),
            "{ms} ms"
        );
    }
}

#[test]
fn a_200_without_our_contact_is_no_registration() {
    let mut shard = started(&usual());
    let register = next_register(&mut shard).message;
    let lines = "Contact: <sip:phone@192.0.2.77>;expires=3600\n";
    says(&mut shard, &register, "200 OK", lines);
    assert_eq!(standing(&shard).state, RegistrationState::Failed);
    assert!(told(&shard).contains("does not name our contact"));
}

#[test]
fn too_short_a_life_is_asked_for_again_as_the_registrar_wants_it() {
    let mut shard = started(&usual());
    let register = next_register(&mut shard).message;
    says(
        &mut shard,
        &register,
        "423 Interval Too Brief",
        "Min-Expires: 1800\n",
    );
    let second = next_register(&mut shard).message;
    assert_eq!(header(&second, HeaderName::Expires), "1800");
    // A registrar that always wants more ends the round.
    says(
        &mut shard,
        &second,
        "423 Interval Too Brief",
        "Min-Expires: 3600\n",
    );
    assert!(register_within(&mut shard, Duration::from_secs(299)).is_none());
}

#[test]
fn whoever_redirects_may_still_want_a_longer_life_and_know_no_bulk() {
    let mut shard = started(&registering("expires = \"10m\", gin = \"prefer\""));
    let first = next_register(&mut shard).message;
    let moved = "Contact: <sip:198.51.100.22:5070>\n";
    says(&mut shard, &first, "302 Moved", moved);
    let second = next_register(&mut shard).message;
    let (brief, least) = ("423 Interval Too Brief", "Min-Expires: 1800\n");
    says(&mut shard, &second, brief, least);
    let third = next_register(&mut shard);
    assert_eq!(third.hop.remote.to_string(), "198.51.100.22:5070");
    assert_eq!(header(&third.message, HeaderName::Expires), "1800");
    let (extension, gin) = ("420 Bad Extension", "Unsupported: gin\n");
    says(&mut shard, &third.message, extension, gin);
    let plain = next_register(&mut shard).message;
    assert_eq!(header(&plain, HeaderName::Expires), "1800");
    grants(&mut shard, &plain, 1_800, "");
    assert_eq!(standing(&shard).state, RegistrationState::Registered);
}

#[test]
fn challenges_of_a_request_that_was_corrected_do_not_count_for_the_next_one() {
    let mut shard = started(&usual());
    let mut register = next_register(&mut shard).message;
    // Each nonce is for one request.
    let asks = |shard: &mut Shard, register: &Message, nonce: &str| {
        says(shard, register, "401 Unauthorized", &challenge(nonce));
        next_register(shard).message
    };
    register = asks(&mut shard, &register, "n1");
    let (brief, least) = ("423 Interval Too Brief", "Min-Expires: 1800\n");
    says(&mut shard, &register, brief, least);
    register = next_register(&mut shard).message;
    register = asks(&mut shard, &register, "n2");
    assert_eq!(header(&register, HeaderName::Expires), "1800");
    grants(&mut shard, &register, 1_800, "");
    assert_eq!(standing(&shard).state, RegistrationState::Registered);
}

#[test]
fn a_refusal_is_repeated_after_five_minutes_then_later_and_later() {
    let mut shard = started(&usual());
    let mut pauses = Vec::new();
    for _ in 0..5 {
        let (register, ms) = register_within(&mut shard, Duration::from_secs(2_000)).unwrap();
        pauses.push(ms / 1_000);
        says(&mut shard, &register.message, "403 Forbidden", "");
        assert_eq!(standing(&shard).state, RegistrationState::Failed);
    }
    for (pause, least) in pauses[1..].iter().zip([300, 600, 1_200, 1_800]) {
        assert!(
            (least..=least + least / 10 + 1).contains(pause),
            "{pauses:?}"
        );
    }
    let failures = shard.happened.iter().filter(|what| {
        matches!(
            what,
            Happened::Registration {
                failure: Some(403),
                ..
            }
        )
    });
    assert_eq!(failures.count(), 5);
}

#[test]
fn a_server_that_does_not_serve_leads_to_the_next_and_all_of_them_to_a_pause() {
    let mut shard = started(&usual());
    let mut longest = 30;
    for round in 0..4 {
        let limit = Duration::from_secs(2_000);
        let (first, ms) = register_within(&mut shard, limit).unwrap();
        if round > 0 {
            let range = longest * 500..=longest * 1_000 + 100;
            assert!(range.contains(&ms), "round {round}: {ms} ms");
            longest *= 2;
        }
        assert_eq!(first.hop.remote.to_string(), FIRST);
        says(&mut shard, &first.message, "503 Service Unavailable", "");
        let (second, ms) = register_within(&mut shard, limit).unwrap();
        assert_eq!((second.hop.remote.to_string(), ms), (SECOND.to_owned(), 0));
        says(&mut shard, &second.message, "500 Server Error", "");
    }
    let (register, _) = register_within(&mut shard, Duration::from_secs(2_000)).unwrap();
    says(
        &mut shard,
        &register.message,
        "503 No",
        "Retry-After: 9000\n",
    );
    let second = next_register(&mut shard).message;
    says(&mut shard, &second, "503 No", "");
    let (_, ms) = register_within(&mut shard, Duration::from_secs(4_000)).unwrap();
    assert!(
        (3_600_000..3_600_200).contains(&ms),
        "an hour at most: {ms}"
    );
}

#[test]
fn silence_leads_to_the_other_server_which_then_holds_the_registration() {
    let mut shard = started(&usual());
    next_register(&mut shard);
    shard.sent.clear();
    shard.pass(Duration::from_millis(31_900));
    shard.sent.clear();
    let (second, _) = register_within(&mut shard, Duration::from_secs(1)).unwrap();
    assert_eq!(second.hop.remote.to_string(), SECOND);
    grants(&mut shard, &second.message, 600, "");
    let server = standing(&shard).server.clone().unwrap();
    assert_eq!(server.1.to_string(), SECOND);
    shard.sent.clear();
    let (refresh, _) = register_within(&mut shard, Duration::from_secs(600)).unwrap();
    assert_eq!(
        refresh.hop.remote.to_string(),
        SECOND,
        "it is refreshed there"
    );
    // It stands while its refresh fails, until it runs out.
    says(&mut shard, &refresh.message, "503 No", "");
    let other = next_register(&mut shard);
    assert_eq!(other.hop.remote.to_string(), FIRST);
    says(&mut shard, &other.message, "503 No", "");
    assert_eq!(standing(&shard).state, RegistrationState::Registered);
    shard.pass(Duration::from_secs(121));
    assert_eq!(standing(&shard).state, RegistrationState::Failed);
}

#[test]
fn a_short_registration_is_renewed_so_early_that_the_other_server_is_asked_in_time() {
    for life in [90, 120, 200, 300] {
        let mut shard = started(&usual());
        let first = next_register(&mut shard);
        assert_eq!(first.hop.remote.to_string(), FIRST);
        grants(&mut shard, &first.message, life, "");
        let mut left = u64::from(life) * 1_000;
        loop {
            let within = Duration::from_millis(left);
            let (register, took) = register_within(&mut shard, within).expect("before the end");
            left -= took;
            if register.hop.remote.to_string() == SECOND {
                break;
            }
        }
    }
}

#[test]
fn a_redirection_is_followed_one_hop_to_addresses_of_the_peer_only() {
    let mut shard = started(&usual());
    let first = next_register(&mut shard).message;
    let lines = "Contact: <sip:203.0.113.66:5060>, <sip:198.51.100.22:5070>\n";
    says(&mut shard, &first, "302 Moved", lines);
    let second = next_register(&mut shard);
    assert_eq!(second.hop.remote.to_string(), "198.51.100.22:5070");
    says(
        &mut shard,
        &second.message,
        "302 Moved",
        "Contact: <sip:198.51.100.23>\n",
    );
    let after = register_within(&mut shard, Duration::from_secs(100));
    assert!(after.is_none(), "the second redirection is not followed");
}

#[test]
fn a_lost_connection_is_registered_anew_within_two_seconds_and_calls_stay() {
    let text = registering("expires = \"10m\", outbound = true")
        .replace("20:5060;udp\", \"198.51.100.21:5060;udp", "20:5060;tcp")
        .replace(
            "[[tenant]]",
            "[[listen]]\nrealm = \"carrier\"\ntransport = \"tcp\"\nport = 5060\n\n[[tenant]]",
        );
    let mut shard = started(&text);
    let sent = next_register(&mut shard);
    let register = sent.message;
    let contact = header(&register, HeaderName::Contact);
    assert!(contact.contains(";transport=tcp>"), "{contact}");
    assert!(contact.contains(";+sip.instance=\"<urn:uuid:"), "{contact}");
    assert!(contact.contains(";reg-id=1"), "{contact}");
    assert_eq!(header(&register, HeaderName::Supported), "path, outbound");
    let mut flow = carrier_flow();
    flow.id = FlowId(9);
    flow.protocol = sbc_core::transport::Protocol::Tcp;
    flow.listener = sent.hop.listener;
    let lines = format!("Contact: <{}>;expires=600\n", contact_of(&register));
    shard.receive(flow, &response(&register, "200 OK", "r1", &lines, ""));
    assert_eq!(standing(&shard).state, RegistrationState::Registered);
    let lost = |flow| Input::FlowLost {
        flow: FlowId(flow),
        why: sbc_core::transport::FlowFault::Closed,
    };
    shard.apply(lost(8));
    assert!(register_within(&mut shard, Duration::from_secs(3)).is_none());
    shard.apply(lost(9));
    let (again, ms) = register_within(&mut shard, Duration::from_secs(3)).unwrap();
    assert!((1_000..=2_010).contains(&ms), "{ms} ms");
    assert_eq!(header(&again.message, HeaderName::Contact), contact);
    assert_eq!(standing(&shard).state, RegistrationState::Registered);
}

#[test]
fn a_registrar_that_closes_every_connection_at_once_is_asked_less_and_less() {
    let text = usual()
        .replace(
            "transport = \"udp\"\nport = 5060",
            "transport = \"tcp\"\nport = 5060",
        )
        .replace(":5060;udp", ":5060;tcp");
    let mut shard = started(&text);
    let mut register = next_register(&mut shard);
    let mut waits = Vec::new();
    for flow_id in 20..30 {
        let mut flow = carrier_flow();
        flow.id = FlowId(flow_id);
        flow.protocol = sbc_core::transport::Protocol::Tcp;
        flow.listener = register.hop.listener.clone();
        let lines = format!("Contact: <{}>;expires=600\n", contact_of(&register.message));
        let answer = response(&register.message, "200 OK", "r1", &lines, "");
        shard.receive(flow, &answer);
        shard.apply(Input::FlowLost {
            flow: FlowId(flow_id),
            why: sbc_core::transport::FlowFault::Closed,
        });
        let (again, ms) = register_within(&mut shard, Duration::from_secs(600)).unwrap();
        waits.push(ms / 1_000);
        register = again;
    }
    assert!((1..=2).contains(&waits[0]), "{waits:?}");
    assert!((4..=8).contains(&waits[2]), "{waits:?}");
    assert!(waits[9] >= 400, "as if nothing had been lost: {waits:?}");
    assert_eq!(standing(&shard).state, RegistrationState::Registered);
}

#[test]
fn a_service_route_of_many_hops_is_no_route() {
    let hops = ["<sip:edge.telco.example;lr>"; 11].join(", ");
    let (shard, _) = registered(&usual(), &format!("Service-Route: {hops}\n"));
    assert!(standing(&shard).service_route.is_empty());
}

#[test]
fn a_redirection_to_another_server_does_not_go_back_to_the_registrar() {
    let lines = "Service-Route: <sip:edge.telco.example;lr>\n";
    let (mut shard, _) = registered(&usual(), lines);
    shard.teams_says(&teams_invite("out"));
    shard.next_response(100);
    let sent = shard.next_request(Method::Invite);
    assert_eq!(sent.hop.remote.to_string(), FIRST);
    let contact = "Contact: <sip:+498999998001@198.51.100.21:5060>\n";
    let moved = response(&sent.message, "302 Moved", "m1", contact, "");
    shard.carrier_says(&moved);
    shard.next_request(Method::Ack);
    let sent = shard.next_request(Method::Invite);
    assert_eq!(sent.hop.remote.to_string(), SECOND);
    // The way that the registrar prescribed leads to the registrar.
    assert!(!sent.message.has(HeaderName::Route));
}

#[test]
fn a_call_goes_to_the_server_that_holds_the_registration_along_its_service_route() {
    let lines = "Service-Route: <sip:edge.telco.example;lr>, <sip:core.telco.example;lr>\n\
                 P-Associated-URI: <sip:+4930231250@telco.example>, <tel:+4930231250>\n";
    let (mut shard, register) = registered(&usual(), lines);
    let known = standing(&shard);
    assert_eq!(
        known.identities,
        ["sip:+4930231250@telco.example", "tel:+4930231250"]
    );
    shard.teams_says(&teams_invite("out"));
    shard.next_response(100);
    let sent = shard.next_request(Method::Invite);
    assert_eq!(sent.hop.remote.to_string(), FIRST);
    let invite = sent.message;
    let routes = invite.list::<Route>().unwrap();
    let routes: Vec<_> = routes.iter().map(|r| r.uri().to_bytes()).collect();
    assert_eq!(
        routes,
        ["sip:edge.telco.example;lr", "sip:core.telco.example;lr"]
    );
    assert_eq!(
        &invite.request_uri()[..],
        b"sip:+498999998001@telco.example"
    );
    assert!(header(&invite, HeaderName::From).contains("@telco.example>"));
    assert!(header(&invite, HeaderName::To).contains("@telco.example>"));
    assert_eq!(contact_of(&invite), contact_of(&register));
    // The next 200 replaces what the first one said.
    let (refresh, _) = register_within(&mut shard, Duration::from_secs(600)).unwrap();
    grants(&mut shard, &refresh.message, 600, "");
    assert!(standing(&shard).service_route.is_empty());
    assert!(standing(&shard).identities.is_empty());
}

/// What is asserted in a call of Teams to a registrar that has these identities for us.
fn asserted(register: &str, associated: &str, caller: &str) -> Vec<String> {
    let text = registering(register).replace(
        "codecs = [\"PCMA\", \"PCMU\"]\n",
        "codecs = [\"PCMA\", \"PCMU\"]\ntrusted = true\n",
    );
    let (mut shard, _) = registered(&text, associated);
    let invite = teams_invite("pai").replace(
        "MAX-FORWARDS",
        &format!(
            "P-ASSERTED-IDENTITY: \"Ada\" <sip:{caller}@sip.pstnhub.microsoft.com>\nMAX-FORWARDS"
        ),
    );
    shard.teams_says(&invite);
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let all = invite.raw_all(HeaderName::PAssertedIdentity);
    all.map(|line| String::from_utf8_lossy(&line).into_owned())
        .collect()
}

#[test]
fn what_is_asserted_is_one_of_the_identities_that_the_registrar_has_for_us() {
    let own = "P-Associated-URI: <sip:+4930231250@telco.example>, <tel:+493023125456>, \
               <sip:+49302312599!.*!@telco.example>\n";
    // A number that it knows, in whichever form, and one that a pattern covers.
    for known in ["+493023125456", "+493023125999"] {
        let expected = format!("\"Ada\" <sip:{known}@sbc1.contoso.example>");
        let shown = asserted("", own, known);
        assert_eq!(shown.len(), 1);
        assert!(shown[0].contains(known), "{shown:?} is not {expected}");
    }
    let usual = "<sip:+4930231250@telco.example>";
    assert_eq!(asserted("", own, "+493023125111"), [usual]);
    // Where it says nothing, or all numbers are registered at once, or the operator knows better.
    for (register, associated) in [
        ("", ""),
        (
            "",
            "P-Associated-URI: <sip:+49302312599!.*!@telco.example>\n",
        ),
        ("hold_identities = false", own),
    ] {
        let shown = asserted(register, associated, "+493023125111");
        assert!(shown[0].contains("+493023125111"), "{shown:?}");
    }
}

#[test]
fn without_a_registration_no_call_goes_out_unless_the_operator_wants_it() {
    let mut shard = started(&usual());
    shard.teams_says(&teams_invite("early"));
    shard.next_response(100);
    shard.next_response(503);
    let config = registering("require_registered = false");
    let mut shard2 = started(&config);
    shard2.teams_says(&teams_invite("free"));
    shard2.next_response(100);
    let invite = shard2.next_request(Method::Invite);
    assert_eq!(invite.hop.remote.to_string(), FIRST);
    let record = &shard.records[0];
    assert_eq!(
        record.egress[0].fault,
        Some(sbc_core::event::TargetFault::NotRegistered)
    );
    assert_eq!(record.egress[0].host, "198.51.100.20");
}

/// An INVITE of the provider for our contact, and where the number stands then.
fn to_contact(register: &Message, call_id: &str, to: &str, lines: &str) -> String {
    let contact = contact_of(register);
    let plain = carrier_invite(call_id, CARRIER_SDP);
    let plain = plain.replace(
        "sip:+493023125456@192.0.2.11:5060 SIP",
        &format!("{contact} SIP"),
    );
    plain.replace(
        "To: <sip:+493023125456@192.0.2.11>\n",
        &format!("To: <sip:{to}@telco.example>\n{lines}"),
    )
}

#[test]
fn a_call_to_our_contact_has_its_number_in_to_or_where_the_operator_says() {
    let did = "+493023125456";
    let party = "P-Called-Party-ID: <sip:+493023125456@telco.example>\n";
    let history = "History-Info: <sip:+4930999@telco.example>;index=1, \
                   <sip:+493023125456@telco.example>;index=1.1\n";
    for (source, to, lines) in [
        ("ruri", did, ""),
        ("ruri", "+4930231250", party),
        ("to", did, ""),
        ("p-called-party-id", "+4930231250", party),
        ("history", "+4930231250", history),
    ] {
        let text = registering(&format!("did_source = \"{source}\""));
        let (mut shard, register) = registered(&text, "");
        shard.carrier_says(&to_contact(&register, "in", to, lines));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        let uri = String::from_utf8_lossy(&invite.request_uri()).into_owned();
        assert!(uri.starts_with("sip:+493023125456@"), "{source}: {uri}");
    }
    // A provider that writes the number into the Request-URI needs nothing of that.
    let (mut shard, _) = registered(&usual(), "");
    shard.carrier_says(&carrier_invite("did", CARRIER_SDP));
    shard.next_response(100);
    shard.next_request(Method::Invite);
}

/// Two customers of one provider, at the same address.
fn two_of_one_provider() -> String {
    let trunk = "[[tenant]]\nname = \"fabrikam\"\nnumbers = [\"+493077700-+493077799\"]\n\n\
        [[trunk]]\nname = \"carrier-b\"\npreset = \"carrier\"\ntenant = \"fabrikam\"\n\
        realm = \"carrier\"\ntargets = [\"198.51.100.20:5060;udp\"]\n\
        accept_from = [\"198.51.100.16/28\"]\noptions = false\n\
        register = { aor = \"sip:+493077700@telco.example\" }\n\n[[route]]\nname = \"b\"\n\
        match = { from_trunk = \"carrier-b\" }\nto = [{ trunk = \"carrier-b\" }]\n\n[[route]]";
    usual()
        .replacen("[[route]]", trunk, 1)
        .replace("tenant = \"*\"", "tenant = \"contoso\"")
}

#[test]
fn of_two_trunks_at_one_provider_the_contact_or_the_number_tells_which() {
    let mut shard = started(&two_of_one_provider());
    let mut contacts = Vec::new();
    for _ in 0..2 {
        let register = next_register(&mut shard).message;
        grants(&mut shard, &register, 600, "");
        contacts.push((header(&register, HeaderName::To), register));
    }
    contacts.sort_by(|one, other| one.0.cmp(&other.0));
    let admitted = |shard: &Shard| {
        let mut all = shard.happened.iter().rev();
        all.find_map(|what| match what {
            Happened::Admitted { trunk, .. } => Some(trunk.to_string()),
            _ => None,
        })
    };
    let of_contoso = to_contact(&contacts[0].1, "one", "+493023125456", "");
    shard.carrier_says(&of_contoso);
    assert_eq!(admitted(&shard).as_deref(), Some("carrier-a"));
    let of_fabrikam = to_contact(&contacts[1].1, "two", "+493077701", "");
    shard.carrier_says(&of_fabrikam);
    assert_eq!(admitted(&shard).as_deref(), Some("carrier-b"));
    shard.carrier_says(&carrier_invite("three", CARRIER_SDP));
    assert_eq!(admitted(&shard).as_deref(), Some("carrier-a"));
    // A number of nobody could be anybody's call.
    let foreign = carrier_invite("four", CARRIER_SDP).replace("+493023125456@192", "+4969@192");
    shard.happened.clear();
    shard.carrier_says(&foreign);
    assert_eq!(admitted(&shard), None);
}

/// Whether anything is said to a call from an address.
pub(crate) fn is_let_in(shard: &mut Shard, from: &str, call_id: &str) -> bool {
    let mut flow = carrier_flow();
    flow.remote = from.parse().unwrap();
    shard.sent.clear();
    shard.receive(flow, &carrier_invite(call_id, CARRIER_SDP));
    !shard.sent.is_empty()
}

#[test]
fn whatever_address_the_registrar_has_may_call_for_a_day_and_no_other() {
    let text = usual()
        .replace(
            "198.51.100.20:5060;udp\", \"198.51.100.21:5060;udp",
            "sip.telco.example",
        )
        .replace("accept_from = [\"198.51.100.16/28\"]\n", "");
    let mut shard = started(&text);
    shard.pass(Duration::from_secs(2));
    let (query, _) = shard.queries[0].clone();
    let addresses = vec![
        FIRST.parse().unwrap(),
        "198.51.100.99:5060".parse().unwrap(),
    ];
    shard.apply(Input::Outcome(query, Outcome::Resolved(addresses)));
    assert_eq!(
        standing(&shard).sources.len(),
        2,
        "told before the answer comes"
    );
    let register = next_register(&mut shard).message;
    grants(&mut shard, &register, 600, "");
    assert!(is_let_in(&mut shard, FIRST, "a"));
    assert!(is_let_in(&mut shard, "198.51.100.99:7000", "b"), "any port");
    assert!(
        !is_let_in(&mut shard, "198.51.100.98:5060", "c"),
        "a stranger"
    );
}

#[test]
fn draining_takes_the_registration_back_and_its_end_brings_it_again() {
    let (mut shard, register) = registered(&usual(), "");
    shard.apply(Input::Command(CommandId(1), Command::Drain(true)));
    let gone = next_register(&mut shard).message;
    assert_eq!(header(&gone, HeaderName::Expires), "0");
    assert!(header(&gone, HeaderName::Contact).ends_with(";expires=0"));
    assert_eq!(contact_of(&gone), contact_of(&register));
    assert_eq!(standing(&shard).state, RegistrationState::Off);
    says(&mut shard, &gone, "401 Unauthorized", &challenge("n1"));
    let proven = next_register(&mut shard).message;
    assert_eq!(header(&proven, HeaderName::Expires), "0");
    assert!(proven.has(HeaderName::Authorization));
    says(&mut shard, &proven, "200 OK", "");
    assert!(register_within(&mut shard, Duration::from_secs(1_000)).is_none());
    shard.apply(Input::Command(CommandId(2), Command::Drain(false)));
    let back = next_register(&mut shard).message;
    assert_eq!(header(&back, HeaderName::Expires), "600");
}

#[test]
fn a_registration_under_way_when_the_node_drains_is_taken_back_when_it_stands() {
    let mut shard = started(&usual());
    let register = next_register(&mut shard).message;
    shard.apply(Input::Command(CommandId(1), Command::Drain(true)));
    assert!(shard.sent.is_empty(), "one at a time");
    grants(&mut shard, &register, 600, "");
    let gone = next_register(&mut shard).message;
    assert_eq!(header(&gone, HeaderName::Expires), "0");
    assert_eq!(standing(&shard).state, RegistrationState::Off);
}

#[test]
fn an_operator_may_keep_the_registration_while_draining() {
    let (mut shard, _) = registered(&registering("unregister = false"), "");
    shard.apply(Input::Command(CommandId(1), Command::Drain(true)));
    assert!(register_within(&mut shard, Duration::from_secs(3)).is_none());
}

#[test]
fn a_reload_keeps_what_is_the_same_and_takes_back_what_is_gone() {
    let (mut shard, _) = registered(&usual(), "");
    for _ in 0..5 {
        shard.apply(Input::Config(config_of(&usual())));
    }
    assert!(register_within(&mut shard, Duration::from_secs(5)).is_none());
    let plain = CONFIG.replace("preset =", "options = false\npreset =");
    shard.apply(Input::Config(config_of(&plain)));
    let gone = next_register(&mut shard).message;
    assert_eq!(header(&gone, HeaderName::Expires), "0");
    assert_eq!(standing(&shard).state, RegistrationState::Off);
    assert!(standing(&shard).sources.is_empty(), "they may call no more");
    says(&mut shard, &gone, "200 OK", "");
    assert!(register_within(&mut shard, Duration::from_secs(1_000)).is_none());
}

#[test]
fn a_registrar_that_asks_who_takes_back_what_is_gone_is_answered() {
    let plain = CONFIG.replace("preset =", "options = false\npreset =");
    let changed = registering("expires = \"20m\"");
    for (reloaded, comes_anew) in [(&plain, false), (&changed, true)] {
        let mut shard = started(&usual());
        let first = next_register(&mut shard).message;
        says(&mut shard, &first, "401 Unauthorized", &challenge("n1"));
        let register = next_register(&mut shard).message;
        grants(&mut shard, &register, 600, "");
        shard.apply(Input::Config(config_of(reloaded)));
        let gone = next_register(&mut shard).message;
        assert_eq!(header(&gone, HeaderName::Expires), "0");
        assert!(
            gone.has(HeaderName::Authorization),
            "what is known is shown"
        );
        // The registrar would take the new one for the old one, or both for one.
        shard.pass(Duration::from_secs(5));
        let repeated = shard.sent.drain(..).map(|own| own.message);
        assert!(
            repeated
                .into_iter()
                .all(|own| header(&own, HeaderName::Expires) == "0")
        );
        // Each nonce is for one request.
        says(&mut shard, &gone, "401 Unauthorized", &challenge("n2"));
        let proven = next_register(&mut shard).message;
        assert_eq!(header(&proven, HeaderName::Expires), "0");
        assert_eq!(contact_of(&proven), contact_of(&register));
        assert!(header(&proven, HeaderName::Authorization).contains("n2"));
        says(&mut shard, &proven, "200 OK", "");
        let anew = register_within(&mut shard, Duration::from_secs(2));
        assert_eq!(anew.is_some(), comes_anew);
        if let Some((anew, _)) = anew {
            assert_ne!(contact_of(&anew.message), contact_of(&register));
            grants(&mut shard, &anew.message, 1_200, "");
            assert_eq!(standing(&shard).state, RegistrationState::Registered);
        } else {
            assert_eq!(standing(&shard).state, RegistrationState::Off);
        }
    }
    // What is under way is taken back when it stands.
    let mut shard = started(&usual());
    let register = next_register(&mut shard).message;
    shard.apply(Input::Config(config_of(&plain)));
    assert!(shard.sent.is_empty(), "one at a time");
    grants(&mut shard, &register, 600, "");
    let gone = next_register(&mut shard).message;
    assert_eq!(header(&gone, HeaderName::Expires), "0");
    assert_eq!(standing(&shard).state, RegistrationState::Off);
}

#[test]
fn a_new_registration_waits_for_the_old_one_to_be_taken_back_and_not_for_ever() {
    let (mut shard, _) = registered(&usual(), "");
    for expires in ["20m", "30m"] {
        let changed = registering(&format!("expires = \"{expires}\""));
        shard.apply(Input::Config(config_of(&changed)));
    }
    let begin = shard.now.mono;
    let gone = next_register(&mut shard).message;
    assert_eq!(header(&gone, HeaderName::Expires), "0");
    // The old one's registrar is silent; only the same request is repeated meanwhile.
    loop {
        let (next, _) = register_within(&mut shard, Duration::from_secs(40)).expect("a REGISTER");
        if header(&next.message, HeaderName::Expires) == "1800" {
            break;
        }
        assert_eq!(
            header(&next.message, HeaderName::CSeq),
            header(&gone, HeaderName::CSeq)
        );
    }
    let waited = shard.now.mono.since(begin).as_secs();
    assert!((31..=33).contains(&waited), "{waited}");
}

#[test]
fn a_reload_while_the_node_drains_registers_nothing() {
    let (mut shard, _) = registered(&usual(), "");
    shard.apply(Input::Command(CommandId(1), Command::Drain(true)));
    let gone = next_register(&mut shard).message;
    says(&mut shard, &gone, "200 OK", "");
    let changed = registering("expires = \"20m\"");
    shard.apply(Input::Config(config_of(&changed)));
    assert!(register_within(&mut shard, Duration::from_secs(100)).is_none());
    assert_eq!(standing(&shard).state, RegistrationState::Off);
    shard.apply(Input::Command(CommandId(2), Command::Drain(false)));
    let back = next_register(&mut shard).message;
    assert_eq!(header(&back, HeaderName::Expires), "1200");
}

/// As many trunks as a provider's largest customer has.
fn many(count: usize) -> String {
    let mut text = usual();
    for n in 0..count {
        text += &format!(
            "\n[[trunk]]\nname = \"many-{n}\"\ntenant = \"contoso\"\nrealm = \"carrier\"\n\
             targets = [\"198.51.100.20:5060;udp\"]\noptions = false\n\
             register = {{ aor = \"sip:user{n}@telco.example\" }}\n"
        );
    }
    text.replace("tenant = \"*\"", "tenant = \"contoso\"")
}

#[test]
fn the_registrations_of_many_trunks_are_spread_at_the_start_and_after_a_failure() {
    const TRUNKS: usize = 100;
    let mut shard = started(&many(TRUNKS - 1));
    let begins = |shard: &mut Shard, answer: &str| {
        let mut times = Vec::new();
        while times.len() < TRUNKS {
            let (sent, _) = register_within(shard, Duration::from_secs(60)).expect("one more");
            times.push(shard.now.mono);
            says(shard, &sent.message, answer, "");
            if sent.hop.remote.to_string() == FIRST && answer.starts_with("503") {
                // The first trunk has a second server.
                shard
                    .sent
                    .retain(|sent| sent.hop.remote.to_string() != SECOND);
            }
        }
        times
    };
    for _ in 0..2 {
        let times = begins(&mut shard, "503 Overloaded");
        let second = Duration::from_secs(1);
        let within = |begin: usize| {
            let end = times[begin] + second;
            times[begin..].iter().filter(|time| **time < end).count()
        };
        let most = (0..times.len()).map(within).max().unwrap();
        assert!(most <= 21, "{most} in one second");
    }
}

#[test]
fn all_numbers_at_once_need_no_user_and_say_so() {
    let mut shard = started(&registering("gin = \"prefer\""));
    let register = next_register(&mut shard).message;
    assert_eq!(header(&register, HeaderName::Require), "gin");
    assert_eq!(header(&register, HeaderName::ProxyRequire), "gin");
    assert_eq!(header(&register, HeaderName::Supported), "path");
    assert_eq!(contact_of(&register), "sip:192.0.2.11:5060;bnc");
    grants(&mut shard, &register, 600, "");
    assert_eq!(standing(&shard).state, RegistrationState::Registered);
    assert_eq!(standing(&shard).contact_user, None);
    // The provider names any of the numbers, with and without user=phone.
    for (call, phone) in [("plain", ""), ("phone", ";user=phone")] {
        let uri = format!("sip:+493023125456@192.0.2.11:5060{phone} SIP");
        let invite = carrier_invite(call, CARRIER_SDP)
            .replace("sip:+493023125456@192.0.2.11:5060 SIP", &uri);
        shard.carrier_says(&invite);
        shard.next_response(100);
        shard.next_request(Method::Invite);
    }
}

#[test]
fn a_registrar_that_does_not_know_bulk_gets_a_plain_contact_if_that_is_preferred_only() {
    let mut shard = started(&registering("gin = \"prefer\""));
    let register = next_register(&mut shard).message;
    says(
        &mut shard,
        &register,
        "420 Bad Extension",
        "Unsupported: gin\n",
    );
    let plain = next_register(&mut shard).message;
    assert!(!plain.has(HeaderName::Require));
    assert!(contact_of(&plain).contains('@'));
    grants(&mut shard, &plain, 600, "");
    assert_eq!(standing(&shard).state, RegistrationState::Registered);
    let mut shard = started(&registering("gin = \"require\""));
    let register = next_register(&mut shard).message;
    says(
        &mut shard,
        &register,
        "420 Bad Extension",
        "Unsupported: gin\n",
    );
    assert_eq!(standing(&shard).state, RegistrationState::Failed);
    assert!(told(&shard).contains("420"));
}
