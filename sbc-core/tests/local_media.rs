//! Local media of Teams trunks: which address Teams is told, and what happens when it turns out to be the
//! wrong one.

use crate::world;

use media_api::{Command, EndpointId};
use sbc_core::config::{Assumed, Code, Config, Loaded, Source, effective, load};
use sbc_core::id::RealmName;
use sbc_core::input::Input;
use sbc_core::policy::local_media::Side;
use sbc_core::record::Record;
use sbc_core::sip::{HeaderName, Message, Method};
use std::sync::Arc;
use std::time::Duration;
use world::call::*;
use world::*;

pub(crate) const TLS_VIA: &str = "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bK";
pub(crate) const INTERNAL: &str = "10.20.0.10";
pub(crate) const EXTERNAL: &str = "192.0.2.10";
const PROXY: &str = "proxysbc.contoso.example";

/// A configuration with this table; we are called `sbc1.contoso.example`.
fn text_with(local_media: &str) -> String {
    CONFIG
        .replace(
            "fqdn = \"sbc1.contoso.example\"\n",
            &format!(
                "fqdn = \"sbc1.contoso.example\"\nmedia_bypass = true\nlocal_media = {local_media}\n"
            ),
        )
        .replace(
            "[[tls]]",
            "[[realm]]\nname = \"inside\"\naddresses = [\"10.20.0.10\"]\nports = \"30000-34999\"\n[[tls]]",
        )
}

fn loaded(text: &str) -> (Vec<Source>, Loaded) {
    let sources = vec![Source::new("test.toml", text)];
    let facts = Assumed::with_names(["sbc1.contoso.example", PROXY]);
    match load(&sources, &facts, None) {
        Ok(loaded) => (sources, loaded),
        Err(findings) => panic!("{}", findings.to_text()),
    }
}

fn config_with(local_media: &str) -> Arc<Config> {
    Arc::new(loaded(&text_with(local_media)).1.config)
}

pub(crate) fn central() -> Arc<Config> {
    config_with("{ internal = \"inside\", site = \"Vietnam\" }")
}

pub(crate) fn proxy() -> Arc<Config> {
    config_with("{ internal = \"inside\", proxy = \"ProxySBC.contoso.example\" }")
}

pub(crate) fn ice_sdp() -> String {
    let ice = "a=rtcp-mux\na=ice-ufrag:FyL2\na=ice-pwd:yT0lqQrFg8jBqJ0pW3cFyL2\n\
               a=candidate:1 1 UDP 2130706431 198.51.100.77 50010 typ host\n";
    TEAMS_SDP.replace("a=rtcp-mux\n", ice)
}

/// The one address that a description of ours has, in its candidate as in its `c=` line. Its origin stays
/// what it was (RFC 3264 §8).
pub(crate) fn address(message: &Message) -> String {
    let body = body(message);
    let rest: Vec<&str> = body
        .lines()
        .filter(|line| !line.starts_with("o="))
        .collect();
    let body = rest.join("\n");
    let found: Vec<&str> = [INTERNAL, EXTERNAL]
        .into_iter()
        .filter(|own| body.contains(own))
        .collect();
    let [only] = found[..] else {
        panic!("one address in\n{body}")
    };
    let candidates: Vec<&str> = body
        .lines()
        .filter(|l| l.starts_with("a=candidate"))
        .collect();
    assert_eq!(candidates.len(), 1, "no way around: {body}");
    assert!(candidates[0].contains(only), "{body}");
    assert!(body.contains(&format!("c=IN IP4 {only}")), "{body}");
    only.to_owned()
}

/// The lines that Teams adds for a user and a path.
pub(crate) fn lines(location: &str, path: &str) -> String {
    format!("X-MS-UserLocation: {location}\nX-MS-MediaPath: {path}\n")
}

/// A call of Teams with these lines.
pub(crate) fn called(config: Arc<Config>, lines: &str) -> Shard {
    let mut shard = Shard::with(config);
    let head = teams_invite("lmo");
    let head = head.split("Content-Type").next().expect("its head");
    shard.teams_says(&with_body(&format!("{head}{lines}"), &ice_sdp()));
    shard
}

/// The address that Teams is told in our 183 and in our 200, and the answered call.
pub(crate) fn answered(config: Arc<Config>, lines: &str) -> (Shard, Message) {
    let mut shard = called(config, lines);
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    assert!(
        !text_of(&invite).contains("X-MS-"),
        "nothing of it is the carrier's business"
    );
    let progress = response(
        &invite,
        "183 Session Progress",
        "b1",
        CARRIER_CONTACT,
        CARRIER_SDP,
    );
    shard.carrier_says(&progress);
    let early = address(&shard.next_response(183).message);
    shard.carrier_says(&response(
        &invite,
        "200 OK",
        "b1",
        CARRIER_CONTACT,
        CARRIER_SDP,
    ));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    assert_eq!(address(&ok), early);
    shard.teams_says(&in_dialog(&ok, "ACK", 1, &format!("{TLS_VIA}ack")));
    assert!(shard.sent.is_empty());
    (shard, ok)
}

fn text_of(message: &Message) -> String {
    String::from_utf8_lossy(message.bytes()).into_owned()
}

/// Ends the call of Teams; its record.
fn record(mut shard: Shard, ok: &Message) -> Record {
    shard.teams_says(&in_dialog(ok, "BYE", 90, &format!("{TLS_VIA}bye")));
    let bye = shard
        .sent
        .iter()
        .find(|sent| *sent.message.method() == Method::Bye);
    let bye = bye.expect("the carrier is told").message.clone();
    shard.carrier_says(&response(&bye, "200 OK", "", "", ""));
    shard.pass(Duration::from_secs(40));
    shard.records.pop().expect("a record")
}

#[test]
fn the_first_sbc_of_the_path_gives_its_address_on_the_side_of_the_user() {
    let target = "sbc1.contoso.example";
    let both = format!("{PROXY}, {target}");
    // By what we are, the user, the path, and what Teams is told.
    let table = [
        (central(), "internal", target, INTERNAL),
        (central(), "external", target, EXTERNAL),
        (proxy(), "external", &both, EXTERNAL),
        (proxy(), "internal", &both, INTERNAL),
        // The downstream SBC should be faced: see the record.
        (proxy(), "internal", target, INTERNAL),
    ];
    for (config, location, path, wanted) in table {
        let (shard, ok) = answered(config, &lines(location, path));
        assert_eq!(address(&ok), wanted, "{location} {path}");
        let record = record(shard, &ok);
        let [choice] = &record.local_media[..] else {
            panic!("one decision: {:?}", record.local_media)
        };
        assert_eq!(choice.choice.told.location, Some(location));
        assert_eq!(choice.choice.told.path.join(", "), path);
        let realm = if wanted == INTERNAL {
            "inside"
        } else {
            "teams"
        };
        assert_eq!(choice.realm.as_ref().map(RealmName::as_str), Some(realm));
        assert_eq!(choice.moved, None);
    }
}

#[test]
fn a_path_that_leaves_the_proxy_out_is_noted_as_not_kept() {
    let lines = lines("internal", "SBC1.contoso.example");
    let (shard, ok) = answered(proxy(), &lines);
    let record = record(shard, &ok);
    assert_eq!(
        record.local_media[0].choice.rule,
        "the user is inside, sbc1.contoso.example should face it, and proxysbc.contoso.example does in its place"
    );
}

#[test]
fn spelling_of_names_does_not_matter_and_that_of_sites_does() {
    let lines = "x-ms-userlocation:  Internal\nX-Ms-MEDIAPATH : SBC1.Contoso.Example \n\
                 x-MS-usersite: vietnam\n";
    let (shard, ok) = answered(central(), lines);
    assert_eq!(address(&ok), INTERNAL);
    let record = record(shard, &ok);
    let choice = &record.local_media[0].choice;
    assert_eq!(choice.told.site.as_deref(), Some("vietnam"));
    assert!(
        choice
            .rule
            .ends_with("its site \"vietnam\" is not \"Vietnam\": case matters"),
        "{}",
        choice.rule
    );
}

#[test]
fn without_a_path_or_a_known_place_nobody_is_told_the_internal_address() {
    for lines in [
        "",
        "X-MS-UserLocation: internal\n",
        "X-MS-MediaPath: sbc1.contoso.example\n",
        "X-MS-UserLocation: indoors\nX-MS-MediaPath: sbc1.contoso.example\n",
    ] {
        let (_, ok) = answered(central(), lines);
        assert_eq!(address(&ok), EXTERNAL, "{lines:?}");
    }
}

/// TDR-LMO-001.
#[test]
fn blank_members_of_a_path_name_nobody() {
    for (path, wanted) in [
        ("sbc1.contoso.example,", INTERNAL),
        (" , sbc1.contoso.example ,,", INTERNAL),
        ("", EXTERNAL),
        (" , ", EXTERNAL),
    ] {
        let (_, ok) = answered(central(), &lines("internal", path));
        assert_eq!(address(&ok), wanted, "{path:?}");
    }
}

#[test]
fn a_path_that_is_not_ours_is_refused_and_nothing_is_told() {
    for (config, path) in [
        (central(), "other.contoso.example"),
        (central(), "other.contoso.example, sbc1.contoso.example"),
        (proxy(), "sbc1.contoso.example, proxysbc.contoso.example"),
        (central(), "10.20.0.10"),
        (central(), "sbc1.contoso.example, sbc1 contoso"),
    ] {
        let mut shard = called(config, &lines("internal", path));
        shard.next_response(100);
        let refused = shard.next_response(488).message;
        let text = text_of(&refused);
        assert!(
            !text.contains(INTERNAL) && !text.contains(EXTERNAL),
            "{text}"
        );
        shard.teams_says(&response_ack(&refused));
        shard.pass(Duration::from_secs(40));
        let record = shard.records.pop().expect("a record");
        let because = record.cause.because.0.join("; ");
        assert!(because.contains("X-MS-MediaPath"), "{because}");
        assert!(record.egress.is_empty(), "nobody is called");
    }
}

/// The ACK of a refusal.
pub(crate) fn response_ack(refused: &Message) -> String {
    let value = |name| String::from_utf8_lossy(&refused.raw(name).expect("header")).into_owned();
    format!(
        "ACK sip:+498999998001@sbc1.contoso.example:5061 SIP/2.0\nVia: {}\nFrom: {}\nTo: {}\n\
         Call-ID: {}\nCSeq: 1 ACK\nMax-Forwards: 70\nContent-Length: 0\n\n",
        value(HeaderName::Via),
        value(HeaderName::From),
        value(HeaderName::To),
        value(HeaderName::CallId),
    )
}

/// A call of the carrier that has reached Teams, and our INVITE.
pub(crate) fn calling(config: Arc<Config>) -> (Shard, Message) {
    let mut shard = Shard::with(config);
    shard.carrier_says(&carrier_invite("lmo", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    (shard, invite)
}

/// Teams rings, and answers with these lines; our 200 to the carrier, acknowledged.
pub(crate) fn teams_answers(
    shard: &mut Shard,
    invite: &Message,
    routes: &str,
    lines: &str,
) -> Message {
    shard.teams_says(&response(invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    shard.next_response(180);
    let contact = format!("Contact: <sip:203.0.113.1:443;x-i=1>\n{routes}{lines}");
    shard.teams_says(&response(invite, "200 OK", "x1", &contact, &ice_sdp()));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    let via = "SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bKack";
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, via));
    ok
}

pub(crate) fn next_offer(shard: &mut Shard) -> Option<Message> {
    let is_offer =
        |sent: &Sent| sent.message.is_request() && *sent.message.method() == Method::Invite;
    let at = shard.sent.iter().position(is_offer)?;
    shard.sent.remove(at).map(|sent| sent.message)
}

pub(crate) const OWN_ROUTE: &str = "Record-Route: <sip:203.0.113.1:5061;transport=tls;lr>\n";

#[test]
fn a_right_guess_is_left_alone() {
    let (mut shard, invite) = calling(central());
    assert_eq!(address(&invite), INTERNAL);
    let lines = lines("internal", "sbc1.contoso.example");
    teams_answers(&mut shard, &invite, OWN_ROUTE, &lines);
    shard.pass(Duration::from_secs(2));
    assert!(next_offer(&mut shard).is_none());
}

#[test]
fn a_wrong_guess_is_put_right_within_a_second() {
    let both = "proxysbc.contoso.example, sbc1.contoso.example";
    let external = [
        (central(), lines("external", "sbc1.contoso.example")),
        (proxy(), lines("external", both)),
        // Local media is off for this user.
        (central(), String::new()),
    ];
    for (config, lines) in external {
        let (mut shard, invite) = calling(config);
        assert_eq!(address(&invite), INTERNAL);
        teams_answers(&mut shard, &invite, OWN_ROUTE, &lines);
        shard.pass(Duration::from_secs(1));
        let offer = next_offer(&mut shard).expect("a re-INVITE");
        assert_eq!(address(&offer), EXTERNAL);
        shard.teams_says(&response(&offer, "200 OK", "", TEAMS_CONTACT, &ice_sdp()));
        assert_eq!(
            *shard.next_request(Method::Ack).message.method(),
            Method::Ack
        );
        assert_is_joined_elsewhere(&shard);
        shard.pass(Duration::from_secs(2));
        assert!(next_offer(&mut shard).is_none(), "once is enough");
        let moved = shard.sent.iter().any(|sent| sent.message.is_request());
        assert!(!moved, "the carrier need not know");
    }
}

/// The relay has given the first endpoint back, and has joined and answered the one that took its place.
fn assert_is_joined_elsewhere(shard: &Shard) {
    let released = shard.media.iter().find_map(|command| match command {
        Command::Release {
            endpoint: Some(endpoint),
            ..
        } => Some(*endpoint),
        _ => None,
    });
    let released = released.expect("a port is given back");
    let joined = shard.media.iter().rev().find_map(|command| match command {
        Command::Update { plan, .. } => plan.joined,
        _ => None,
    });
    let (a, b) = joined.expect("a plan");
    assert!(a != released && b != released, "{a:?} {b:?} {released:?}");
    let last = shard.media.iter().rev().find_map(|command| match command {
        Command::Answer { endpoint, .. } => Some(*endpoint),
        _ => None,
    });
    assert!(last == Some(a) || last == Some(b), "{last:?}");
}

/// The endpoints that were reserved and those that were given back, in order.
pub(crate) fn endpoints(shard: &Shard) -> (Vec<EndpointId>, Vec<EndpointId>) {
    let (mut reserved, mut released) = (Vec::new(), Vec::new());
    for command in &shard.media {
        match command {
            Command::Allocate { endpoints, .. } => {
                reserved.extend(endpoints.iter().map(|own| own.endpoint));
            }
            Command::Release { endpoint, .. } => released.extend(*endpoint),
            _ => {}
        }
    }
    (reserved, released)
}

/// A call of the carrier for which Teams has just been offered the external address; our INVITE, our 200 and
/// the offer.
fn being_told() -> (Shard, Message, Message, Message) {
    let (mut shard, invite) = calling(central());
    let lines = lines("external", "sbc1.contoso.example");
    let ok = teams_answers(&mut shard, &invite, OWN_ROUTE, &lines);
    let offer = next_offer(&mut shard).expect("a re-INVITE");
    assert_eq!(address(&offer), EXTERNAL);
    (shard, invite, ok, offer)
}

#[test]
fn media_stay_where_they_are_until_the_other_address_is_agreed_to_and_if_it_is_not() {
    let (mut shard, invite, ok, offer) = being_told();
    let (reserved, released) = endpoints(&shard);
    assert_eq!((reserved.len(), released.len()), (3, 0), "nothing is over");
    let later = shard.media.len();
    let no = response(&offer, "488 Not Acceptable Here", "", TEAMS_CONTACT, "");
    shard.teams_says(&no);
    shard.next_request(Method::Ack);
    shard.pass(Duration::from_secs(5));
    assert!(next_offer(&mut shard).is_none(), "it has been refused");
    let (_, released) = endpoints(&shard);
    assert_eq!(released, reserved[2..], "the new port alone");
    let is_change = |own: &&Command| {
        // That no answer is waited for any more is none.
        !matches!(own, Command::Release { .. } | Command::Rollback { .. })
    };
    let changes = shard.media[later..].iter().filter(is_change);
    assert_eq!(changes.count(), 0, "paths and keys are untouched");
    // What Teams says later is answered at the address that is in force.
    let head = callee_request(&invite, "x1", "INVITE", 70, TEAMS_CONTACT);
    let reinvite = with_body(
        head.split("Content-Length").next().expect("a head"),
        &ice_sdp(),
    );
    shard.teams_says(&reinvite);
    shard.next_response(100);
    let answer = shard.next_response(200).message;
    assert_eq!(address(&answer), INTERNAL);
    shard.teams_says(&callee_request(&invite, "x1", "ACK", 70, ""));
    let via = "SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bKbye";
    shard.carrier_says(&in_dialog(&ok, "BYE", 11, via));
    shard.next_response(200);
    let bye = shard.next_request(Method::Bye).message;
    shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    shard.pass(Duration::from_secs(40));
    let record = shard.records.pop().expect("a record");
    let rule = &record.local_media[1].choice.rule;
    let said = "the other address was not agreed to, and nothing has moved";
    assert!(rule.ends_with(said), "{rule}");
}

#[test]
fn an_address_whose_offer_crossed_another_is_offered_again() {
    let (mut shard, _, _, offer) = being_told();
    let (reserved, _) = endpoints(&shard);
    let no = response(&offer, "491 Request Pending", "", TEAMS_CONTACT, "");
    shard.teams_says(&no);
    shard.next_request(Method::Ack);
    shard.pass(Duration::from_secs(5));
    let offer = next_offer(&mut shard).expect("another re-INVITE");
    assert_eq!(address(&offer), EXTERNAL);
    assert_eq!(
        endpoints(&shard).1,
        reserved[2..],
        "the one of the first try"
    );
    shard.teams_says(&response(&offer, "200 OK", "", TEAMS_CONTACT, &ice_sdp()));
    shard.next_request(Method::Ack);
    assert_eq!(endpoints(&shard).1.len(), 2);
    assert_is_moved_last(&shard);
}

/// The endpoint that was reserved last has what is agreed.
fn assert_is_moved_last(shard: &Shard) {
    let last = endpoints(shard).0.pop().expect("an endpoint");
    let answered = shard.media.iter().rev().find_map(|command| match command {
        Command::Answer { endpoint, .. } => Some(*endpoint),
        _ => None,
    });
    assert_eq!(answered, Some(last));
}

#[test]
fn an_offer_from_another_place_that_comes_to_nothing_moves_nothing() {
    let target = "sbc1.contoso.example";
    let (mut shard, ok) = answered(central(), &lines("internal", target));
    let bare = in_dialog(&ok, "INVITE", 2, &format!("{TLS_VIA}2"));
    let contact = format!("{TEAMS_CONTACT}{}", lines("external", target));
    let head = bare.replace("Content-Length: 0\n\n", &contact);
    let keyless = ice_sdp().replace("a=crypto", "a=x-crypto");
    let before = shard.media.len();
    shard.teams_says(&with_body(&head, &keyless));
    shard.next_response(100);
    let refused = shard.next_response(488).message;
    shard.teams_says(&response_ack(&refused));
    let [
        Command::Allocate { endpoints, .. },
        Command::Release { endpoint, .. },
    ] = &shard.media[before..]
    else {
        panic!("{:?}", &shard.media[before..])
    };
    assert_eq!(*endpoint, Some(endpoints[0].endpoint));
    // The same from inside is no move, and answered as ever.
    offers(&mut shard, &ok, 3, &lines("internal", target));
    shard.next_response(100);
    assert_eq!(address(&shard.next_response(200).message), INTERNAL);
}

#[test]
fn a_wrong_guess_and_its_cause_are_in_the_record() {
    let (mut shard, invite) = calling(central());
    let lines = lines("external", "sbc1.contoso.example");
    let ok = teams_answers(&mut shard, &invite, OWN_ROUTE, &lines);
    let offer = next_offer(&mut shard).expect("a re-INVITE");
    shard.teams_says(&response(&offer, "200 OK", "", TEAMS_CONTACT, &ice_sdp()));
    shard.next_request(Method::Ack);
    let via = "SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bKbye";
    shard.carrier_says(&in_dialog(&ok, "BYE", 11, via));
    shard.next_response(200);
    let bye = shard.next_request(Method::Bye).message;
    shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    shard.pass(Duration::from_secs(40));
    let record = shard.records.pop().expect("a record");
    let [guess, fact] = &record.local_media[..] else {
        panic!("two decisions: {:?}", record.local_media)
    };
    assert_eq!((guess.choice.side, guess.moved), (Side::Internal, None));
    assert_eq!(fact.choice.side, Side::External);
    assert!(fact.moved.expect("why it moved").contains("re-INVITE"));
    assert_eq!(fact.choice.told.location, Some("external"));
    assert_eq!(fact.choice.told.path, ["sbc1.contoso.example"]);
    assert_eq!(fact.realm.as_ref().map(RealmName::as_str), Some("teams"));
}

#[test]
fn without_ports_outside_the_call_stays_where_it_is() {
    let (mut shard, invite) = calling(central());
    shard.hold_media = true;
    let lines = lines("external", "sbc1.contoso.example");
    teams_answers(&mut shard, &invite, OWN_ROUTE, &lines);
    shard.refuses_ports();
    shard.pass(Duration::from_secs(5));
    assert!(next_offer(&mut shard).is_none());
}

#[test]
fn a_proxy_calls_in_the_name_of_the_sbc_behind_it_and_is_never_sent_to_by_itself() {
    let (mut shard, invite) = calling(proxy());
    let route = header(&invite, HeaderName::RecordRoute);
    assert_eq!(route, format!("<sip:{PROXY}:5061;transport=tls;lr>"));
    assert!(header(&invite, HeaderName::From).contains("@sbc1.contoso.example"));
    assert!(header(&invite, HeaderName::Contact).contains("sbc1.contoso.example"));
    let both = format!("{PROXY}, sbc1.contoso.example");
    let lines = lines("external", &both);
    let routes = format!(
        "{OWN_ROUTE}Record-Route: <sip:{}:5061;transport=tls;lr>\n",
        PROXY.to_uppercase()
    );
    teams_answers(&mut shard, &invite, &routes, &lines);
    let offer = next_offer(&mut shard).expect("a re-INVITE");
    assert_eq!(
        header(&offer, HeaderName::Route),
        "<sip:203.0.113.1:5061;transport=tls;lr>"
    );
    assert_eq!(offer.raw(HeaderName::RecordRoute), None);
}

#[test]
fn a_call_that_ends_while_it_waits_for_the_other_port_ends_whole() {
    let (mut shard, invite) = calling(central());
    let lines = lines("external", "sbc1.contoso.example");
    shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    shard.next_response(180);
    shard.hold_media = true;
    let contact = format!("Contact: <sip:203.0.113.1:443;x-i=1>\n{lines}");
    shard.teams_says(&response(&invite, "200 OK", "x1", &contact, &ice_sdp()));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    let via = "SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bK";
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{via}ack")));
    let asked = shard.asked().pop().expect("a port outside");
    shard.hold_media = false;
    shard.carrier_says(&in_dialog(&ok, "BYE", 11, &format!("{via}bye")));
    let late = shard.relay(&asked).expect("an answer");
    let before = shard.media.len();
    shard.apply(Input::Media(late));
    assert_eq!(
        shard.media.len(),
        before,
        "the session is gone, and the port with it"
    );
    shard.next_response(200);
    let bye = shard.next_request(Method::Bye).message;
    shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    shard.pass(Duration::from_secs(40));
    assert_eq!(shard.records.len(), 1);
    assert!(next_offer(&mut shard).is_none());
}

#[test]
fn a_central_sbc_writes_no_record_route() {
    let (_, invite) = calling(central());
    assert_eq!(invite.raw(HeaderName::RecordRoute), None);
}

/// An offer of Teams within its call, with these lines.
pub(crate) fn offers(shard: &mut Shard, ok: &Message, cseq: u32, lines: &str) {
    let bare = in_dialog(ok, "INVITE", cseq, &format!("{TLS_VIA}{cseq}"));
    let contact = format!("Contact: <sip:api.example.com:443;x-i=1;x-c=2>\n{lines}");
    let head = bare.replace("Content-Length: 0\n\n", &contact);
    shard.teams_says(&with_body(&head, &ice_sdp()));
}

#[test]
fn an_offer_from_another_place_is_answered_there_and_media_stay() {
    let target = "sbc1.contoso.example";
    let (mut shard, ok) = answered(central(), &lines("internal", target));
    let steps = [
        (lines("external", target), EXTERNAL),
        (String::new(), EXTERNAL),
        (lines("internal", target), INTERNAL),
    ];
    for (cseq, (lines, wanted)) in (2..).zip(&steps) {
        offers(&mut shard, &ok, cseq, lines);
        shard.next_response(100);
        let answer = shard.next_response(200).message;
        assert_eq!(address(&answer), *wanted, "{lines:?}");
        shard.teams_says(&in_dialog(&ok, "ACK", cseq, &format!("{TLS_VIA}ack{cseq}")));
        assert!(shard.sent.is_empty());
        shard.pass(Duration::from_secs(3));
    }
    let record = record(shard, &ok);
    let moves: Vec<bool> = record
        .local_media
        .iter()
        .map(|own| own.moved.is_some())
        .collect();
    assert_eq!(moves, [false, true, true]);
}

#[test]
fn an_offer_by_a_strange_path_is_refused_and_the_call_goes_on() {
    let (mut shard, ok) = answered(central(), &lines("internal", "sbc1.contoso.example"));
    offers(
        &mut shard,
        &ok,
        2,
        &lines("external", "other.contoso.example"),
    );
    shard.next_response(100);
    let refused = shard.next_response(488).message;
    assert!(!text_of(&refused).contains(INTERNAL));
    shard.pass(Duration::from_secs(1));
    assert!(shard.records.is_empty());
}

/// A call of the carrier that Teams has answered from outside, and whose port there the relay has been asked for; our
/// INVITE.
fn on_its_way() -> (Shard, Message) {
    let (mut shard, invite) = calling(central());
    shard.hold_media = true;
    let lines = lines("external", "sbc1.contoso.example");
    // The port of the call itself was there before.
    teams_answers(&mut shard, &invite, OWN_ROUTE, &lines);
    assert!(next_offer(&mut shard).is_none());
    (shard, invite)
}

/// Who was called offers within the call, from this place.
fn callee_offers(shard: &mut Shard, invite: &Message, cseq: u32, location: &str) {
    let contact = format!(
        "Contact: <sip:api.example.com:443;x-i=1;x-c=2>\n{}",
        lines(location, "sbc1.contoso.example")
    );
    let head = callee_request(invite, "x1", "INVITE", cseq, &contact);
    let head = head.split("Content-Length").next().expect("its head");
    shard.teams_says(&with_body(head, &ice_sdp()));
    shard.next_response(100);
}

/// The relay has the port that it was asked for last.
fn port_is_there(shard: &mut Shard) {
    let asked = shard.asked().pop().expect("a port outside");
    shard.hold_media = false;
    let late = shard.relay(&asked).expect("an answer");
    shard.apply(Input::Media(late));
}

#[test]
fn an_offer_from_where_the_leg_is_going_waits_for_the_port_there() {
    let (mut shard, invite) = on_its_way();
    callee_offers(&mut shard, &invite, 1, "external");
    assert!(
        shard.sent.is_empty(),
        "the inside address is not for outside"
    );
    port_is_there(&mut shard);
    assert_eq!(address(&shard.next_response(200).message), EXTERNAL);
    let ack = callee_request(&invite, "x1", "ACK", 1, "");
    shard.teams_says(&ack);
    shard.pass(Duration::from_secs(3));
    assert!(next_offer(&mut shard).is_none(), "it knows");
    let (reserved, released) = endpoints(&shard);
    assert_eq!((reserved.len(), released.len()), (3, 1));
    assert!(reserved[..2].contains(&released[0]), "the port inside");
}

#[test]
fn an_offer_from_where_the_leg_still_is_is_answered_there_and_the_port_goes_back() {
    let (mut shard, invite) = on_its_way();
    callee_offers(&mut shard, &invite, 1, "internal");
    assert_eq!(address(&shard.next_response(200).message), INTERNAL);
    let ack = callee_request(&invite, "x1", "ACK", 1, "");
    shard.teams_says(&ack);
    port_is_there(&mut shard);
    shard.pass(Duration::from_secs(3));
    assert!(next_offer(&mut shard).is_none());
    let (reserved, released) = endpoints(&shard);
    assert_eq!(reserved.len(), 3);
    assert_eq!(released, reserved[2..]);
    // And from outside again, there once more.
    callee_offers(&mut shard, &invite, 2, "external");
    assert_eq!(address(&shard.next_response(200).message), EXTERNAL);
}

#[test]
fn a_call_for_help_goes_on_outside_where_an_offer_comes_by_a_strange_path() {
    let text = text_with("{ internal = \"inside\", site = \"Vietnam\" }");
    let text = text.replacen("numbers = [", "emergency = [\"112\"]\nnumbers = [", 1);
    let mut shard = Shard::with(Arc::new(loaded(&text).1.config));
    let invite = teams_invite("lmo").replace("sip:+498999998001@", "sip:112@");
    let head = invite.split("Content-Type").next().expect("its head");
    let inside = lines("internal", "sbc1.contoso.example");
    shard.teams_says(&with_body(&format!("{head}{inside}"), &ice_sdp()));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let answer = response(&invite, "200 OK", "b1", CARRIER_CONTACT, CARRIER_SDP);
    shard.carrier_says(&answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.teams_says(&in_dialog(&ok, "ACK", 1, &format!("{TLS_VIA}ack")));
    offers(
        &mut shard,
        &ok,
        2,
        &lines("internal", "other.contoso.example"),
    );
    shard.next_response(100);
    assert_eq!(address(&shard.next_response(200).message), EXTERNAL);
}

#[test]
fn an_offer_from_outside_is_refused_rather_than_told_the_inside_address() {
    let target = "sbc1.contoso.example";
    let (mut shard, ok) = answered(central(), &lines("internal", target));
    shard.hold_media = true;
    offers(&mut shard, &ok, 2, &lines("external", target));
    shard.next_response(100);
    shard.refuses_ports();
    let refused = shard.next_response(488).message;
    assert!(!text_of(&refused).contains(INTERNAL));
}

#[test]
fn what_the_trunk_does_is_shown_and_what_a_proxy_does_not_is_warned_of() {
    for (table, role, warnings) in [
        ("{ internal = \"inside\" }", "central", 0),
        (
            "{ internal = \"inside\", proxy = \"proxysbc.contoso.example\" }",
            "proxy",
            1,
        ),
    ] {
        let (sources, loaded) = loaded(&text_with(table));
        let found = loaded.findings.warnings.iter();
        let found = found.filter(|own| own.code == Code::BranchMediaThroughUs);
        assert_eq!(found.count(), warnings, "{table}");
        let all = effective(&sources, &loaded);
        let mut all = all.iter();
        let trunk = all.find(|own| own.name.as_deref() == Some("teams-contoso"));
        let settings = &trunk.expect("the trunk").settings;
        let value = |key: &str| {
            let found = settings.iter().find(|own| own.key == key);
            found.unwrap_or_else(|| panic!("{key}")).value.clone()
        };
        assert_eq!(value("local_media.internal"), "\"inside\"");
        assert_eq!(value("local_media.external"), "teams");
        assert_eq!(value("local_media.role"), role);
    }
}

#[test]
fn what_cannot_work_is_found_where_it_is_written() {
    let inside = "internal = \"inside\"";
    let bypass = "media_bypass = true\n";
    let six = "[[realm]]\nname = \"six\"\naddresses = [\"2001:db8::10\"]\nports = \"35000-39999\"\n[[tls]]";
    for (code, table, words) in [
        (
            Code::MissingKey,
            "{ site = \"Vietnam\" }".to_owned(),
            "internal",
        ),
        (
            Code::UnknownName,
            "{ internal = \"insid\" }".to_owned(),
            "insid",
        ),
        (
            Code::Contradiction,
            "{ internal = \"teams\" }".to_owned(),
            "external side",
        ),
        (Code::TeamsRule, "{ internal = \"six\" }".to_owned(), "IPv4"),
        (
            Code::Contradiction,
            format!("{{ {inside}, proxy = \"SBC1.contoso.example\" }}"),
            "proxy of itself",
        ),
        (
            Code::BadFqdn,
            format!("{{ {inside}, proxy = \"proxysbc\" }}"),
            "proxysbc",
        ),
        (
            Code::NameNotCovered,
            format!("{{ {inside}, proxy = \"other.contoso.example\" }}"),
            "other.contoso.example",
        ),
    ] {
        let text = text_with(&table).replacen("[[tls]]", six, 1);
        is_found(code, &text, words);
    }
    let off = text_with(&format!("{{ {inside} }}")).replace(bypass, "");
    is_found(Code::Contradiction, &off, "media bypass, which is off");
}

/// That a configuration is refused with this code for these words, at the line of `local_media`.
fn is_found(code: Code, text: &str, words: &str) {
    let facts = Assumed::with_names(["sbc1.contoso.example", PROXY]);
    let findings = load(&[Source::new("test.toml", text)], &facts, None);
    let findings = findings.expect_err("it is refused");
    let line = 1 + text
        .lines()
        .position(|line| line.starts_with("local_media"))
        .expect("a line");
    let found = findings.errors.iter().any(|own| {
        let place = own.place.as_ref().map(|place| place.line);
        own.code == code && own.cause.contains(words) && place == Some(line) && own.help.is_some()
    });
    assert!(found, "{code:?} {words}\n{}", findings.to_text());
}
