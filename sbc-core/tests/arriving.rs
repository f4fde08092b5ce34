//! What must arrive, whatever becomes of a connection or of one address of a name: ACK, BYE, PRACK and what
//! is told of a transfer (SIP-126, SIP-212, SIP-302).

use crate::world;

use sbc_core::input::Input;
use sbc_core::query::Outcome;
use sbc_core::sip::{HeaderName, Message, Method};
use sbc_core::transport::FlowFault;
use std::time::Duration;
use world::call::*;
use world::two::Two;
use world::*;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The longest first pause of what could not be sent.
const FIRST_PAUSE: Duration = Duration::from_millis(625);

/// What the carrier calls itself by a name.
const NAMED: &str = "Contact: <sip:gw@gw.carrier.example:5060>\n";

/// DNS has these addresses for what was asked.
fn found(shard: &mut Shard, addresses: &[&str]) {
    let (query, _) = shard.queries.pop_front().expect("a question");
    let addresses = addresses.iter().map(|own| own.parse().expect("address"));
    let found = Outcome::Resolved(addresses.collect());
    shard.apply(Input::Outcome(query, found));
}

fn fails(shard: &mut Shard, sent: &Sent) {
    shard.apply(Input::SendFailed {
        transaction: sent.transaction.expect("a transaction"),
        why: FlowFault::Closed,
    });
}

fn number(message: &Message) -> u32 {
    let cseq = header(message, HeaderName::CSeq);
    let number = cseq
        .split(' ')
        .next()
        .and_then(|number| number.parse().ok());
    number.expect("a number")
}

#[test]
fn an_ack_goes_to_the_address_of_a_name_that_answered_and_when_it_is_missed_to_the_next() {
    let (mut shard, invite) = called_in(CONFIG, "named");
    assert_eq!(invite.hop.remote.to_string(), CARRIER);
    let answer = response(&invite.message, "200 OK", "b1", NAMED, CARRIER_SDP);
    shard.carrier_says(&answer);
    shard.next_response(200);
    found(
        &mut shard,
        &["198.51.100.22:5060", "198.51.100.21:5060", CARRIER],
    );
    let ack = shard.next_request(Method::Ack);
    assert_eq!(ack.hop.remote.to_string(), CARRIER);
    for next in ["198.51.100.22:5060", "198.51.100.21:5060", CARRIER] {
        shard.carrier_says(&answer);
        let again = shard.next_request(Method::Ack);
        assert_eq!(again.hop.remote.to_string(), next);
        assert_eq!(number(&again.message), number(&ack.message));
    }
}

/// The carrier's first address is known to be down; the call was answered by a proxy elsewhere.
#[test]
fn an_address_that_is_known_to_be_down_comes_last() {
    let config = config_of(CONFIG);
    let mut shard = Shard::with(config.clone());
    shard.apply(Input::Config(config));
    for _ in 0..900 {
        shard.pass(ms(100));
        while let Some(sent) = shard.sent.pop_front() {
            if sent.hop.remote.to_string() == "198.51.100.21:5060" {
                shard.carrier_says(&response(&sent.message, "200 OK", "p", "", ""));
            }
        }
    }
    shard.teams_says(&teams_invite("down"));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite);
    assert_eq!(invite.hop.remote.to_string(), "198.51.100.21:5060");
    shard.carrier_says(&response(
        &invite.message,
        "200 OK",
        "b1",
        NAMED,
        CARRIER_SDP,
    ));
    shard.next_response(200);
    found(&mut shard, &[CARRIER, "198.51.100.22:5060"]);
    let ack = shard.next_request(Method::Ack);
    assert_eq!(ack.hop.remote.to_string(), "198.51.100.22:5060");
}

#[test]
fn the_family_that_a_trunk_prefers_is_that_of_its_dialogs() {
    let codecs = "codecs = [\"PCMA\", \"PCMU\"]";
    let both = CONFIG.replace("[\"192.0.2.11\"]", "[\"192.0.2.11\", \"2001:db8::b\"]");
    for (prefer, first) in [("v4", "198.51.100.22:5060"), ("v6", "[2001:db8::22]:5060")] {
        let config = both.replace(codecs, &format!("{codecs}\nprefer = \"{prefer}\""));
        for order in [
            ["[2001:db8::22]:5060", "198.51.100.22:5060"],
            ["198.51.100.22:5060", "[2001:db8::22]:5060"],
        ] {
            let (mut shard, invite) = called_in(&config, "family");
            let answer = response(&invite.message, "200 OK", "b1", NAMED, CARRIER_SDP);
            shard.carrier_says(&answer);
            shard.next_response(200);
            found(&mut shard, &order);
            let ack = shard.next_request(Method::Ack);
            assert_eq!(ack.hop.remote.to_string(), first);
        }
    }
}

#[test]
fn a_bye_that_finds_no_connection_is_tried_for_as_long_as_a_datagram() {
    let mut call = Call::new();
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let begin = call.shard.now.mono;
    let mut last = 0;
    let mut tried = Vec::new();
    assert!(call.shard.records.is_empty(), "its answer may come");
    while let Some(bye) = call.shard.sent.pop_front() {
        assert_eq!(*bye.message.method(), Method::Bye);
        assert!(number(&bye.message) > last, "another request");
        last = number(&bye.message);
        tried.push(call.shard.now.mono.since(begin).as_millis());
        fails(&mut call.shard, &bye);
        assert!(call.shard.sent.is_empty(), "not at once");
        // Nobody but the peer waits for that.
        assert_eq!(call.shard.records.len(), 1);
        for _ in 0..400 {
            if call.shard.sent.is_empty() {
                call.shard.pass(ms(100));
            }
        }
    }
    assert!((6..=8).contains(&tried.len()), "{tried:?}");
    assert_eq!(tried.last(), Some(&32_000));
    for (passed, next) in tried.iter().zip(tried.iter().skip(1)) {
        let pause = (*passed).max(500);
        let range = pause.min(32_000 - passed)..=pause * 5 / 4 + 100;
        assert!(range.contains(&(next - passed)), "{tried:?}");
    }
    assert_eq!(call.shard.records.len(), 1);
    call.shard.settles();
}

#[test]
fn a_call_whose_peer_cannot_be_reached_leaves_its_place_to_the_next() {
    let codecs = "codecs = [\"PCMA\", \"PCMU\"]";
    let text = CONFIG.replacen(codecs, &format!("{codecs}\nlimits = {{ calls = 1 }}"), 1);
    let mut call = Call::with(&text);
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye);
    fails(&mut call.shard, &bye);
    call.shard
        .carrier_says(&carrier_invite("second", CARRIER_SDP));
    call.shard.next_response(100);
    call.shard.next_request(Method::Invite);
}

#[test]
fn a_bye_arrives_over_the_connection_that_comes_after_the_broken_one() {
    let mut call = Call::new();
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye);
    fails(&mut call.shard, &bye);
    call.shard.pass(FIRST_PAUSE);
    let again = call.shard.next_request(Method::Bye);
    assert_eq!(again.hop.remote, bye.hop.remote);
    assert_eq!(number(&again.message), number(&bye.message) + 1);
    let ok = response(&again.message, "200 OK", "", "", "");
    call.shard.teams_says(&ok);
    call.shard.pass(ms(2_000));
    assert!(call.shard.sent.is_empty());
    call.shard.settles();
}

#[test]
fn a_bye_that_waits_for_a_connection_is_not_wanted_after_the_peers_own() {
    let mut call = Call::new();
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye);
    fails(&mut call.shard, &bye);
    call.teams_says("BYE", 1, "");
    call.shard.next_response(200);
    call.shard.pass(ms(40_000));
    assert!(call.shard.sent.is_empty());
    call.shard.settles();
}

/// Its last NOTIFY finds no connection either, and is told all the same.
#[test]
fn a_call_is_over_with_the_peers_own_bye_while_news_of_its_transfer_wait_for_a_connection() {
    let (mut call, invite) = transfers();
    call.shard
        .teams_says(&response(&invite, "180 Ringing", "z1", TEAMS_CONTACT, ""));
    while call.shard.sent.pop_front().is_some() {}
    call.teams_says("BYE", 1, "");
    call.shard.next_response(200);
    let left: Vec<Sent> = call.shard.sent.drain(..).collect();
    let of = |method: Method| left.iter().find(move |own| *own.message.method() == method);
    fails(&mut call.shard, of(Method::Notify).expect("a NOTIFY"));
    fails(&mut call.shard, of(Method::Bye).expect("a BYE"));
    let cancel = &of(Method::Cancel).expect("a CANCEL").message;
    call.shard
        .teams_says(&response(cancel, "200 OK", "z1", "", ""));
    call.shard
        .teams_says(&response(&invite, "487 Request Terminated", "z1", "", ""));
    call.shard.next_request(Method::Ack);
    call.says("BYE", "", "");
    call.shard.next_response(200);
    call.shard.pass(FIRST_PAUSE);
    let again = call.shard.next_request(Method::Notify).message;
    call.shard
        .carrier_says(&response(&again, "200 OK", "", "", ""));
    call.shard.pass(ms(40_000));
    assert!(call.shard.sent.is_empty());
    call.shard.settles();
}

#[test]
fn a_second_phone_is_ended_although_its_first_bye_finds_no_connection() {
    let mut call = Call::new();
    let second = response(&call.invite, "200 OK", "x2", TEAMS_CONTACT, TEAMS_SDP);
    call.shard.teams_says(&second);
    call.shard.next_request(Method::Ack);
    let bye = call.shard.next_request(Method::Bye);
    fails(&mut call.shard, &bye);
    call.shard.pass(FIRST_PAUSE);
    let again = call.shard.next_request(Method::Bye).message;
    assert!(header(&again, HeaderName::To).contains("tag=x2"));
    call.shard
        .teams_says(&response(&again, "200 OK", "", "", ""));
    assert!(call.shard.sent.is_empty());
    let invite = call.invite.clone();
    call.lives_on(&invite);
}

#[test]
fn a_prack_that_finds_no_connection_is_sent_again() {
    let mut two = Two::new("");
    two.reliably("183 Session Progress", "b1", 9, CARRIER_SDP);
    let prack = two.shard.next_request(Method::Prack);
    two.shard.next_response(183);
    fails(&mut two.shard, &prack);
    // It is on its way, so what is repeated is not heard again.
    two.reliably("183 Session Progress", "b1", 9, CARRIER_SDP);
    assert!(two.shard.sent.is_empty());
    two.shard.pass(FIRST_PAUSE);
    let again = two.pracks(9);
    assert_eq!(number(&again), number(&prack.message) + 1);
    let ok = two.answered("b1", "");
    two.ack(&ok);
    two.shard.pass(ms(2_000));
    assert!(two.shard.sent.is_empty());
}

const REFER: &str =
    "Refer-To: <sip:+493023125999@192.0.2.11>\nContact: <sip:gw@198.51.100.20:5060>\n";

/// The carrier has the call transferred: the call, and the INVITE, which has no answer.
fn transfers() -> (Call, Message) {
    let mut call = Call::new();
    call.says("REFER", REFER, "");
    call.shard.next_response(202);
    let first = call.shard.next_request(Method::Notify).message;
    let invite = call.shard.next_request(Method::Invite).message;
    call.shard
        .carrier_says(&response(&first, "200 OK", "", "", ""));
    (call, invite)
}

/// The transfer has come to its end: the call, and the last NOTIFY, which has no answer.
fn transferred() -> (Call, Sent) {
    let (mut call, invite) = transfers();
    let answer = response(&invite, "200 OK", "z1", TEAMS_CONTACT, TEAMS_SDP);
    call.shard.teams_says(&answer);
    call.shard.next_request(Method::Ack);
    let at = |sent: &Sent| *sent.message.method() == Method::Notify && sent.message.is_request();
    let found = call.shard.sent.iter().position(at).expect("a NOTIFY");
    let last = call.shard.sent.remove(found).expect("it is there");
    call.shard.sent.clear();
    (call, last)
}

#[test]
fn how_a_transfer_ended_is_told_over_the_connection_that_comes_after_the_broken_one() {
    let (mut call, last) = transferred();
    let state = |sent: &Sent| header(&sent.message, HeaderName::SubscriptionState);
    assert_eq!(state(&last), "terminated;reason=noresource");
    fails(&mut call.shard, &last);
    call.shard.pass(FIRST_PAUSE);
    let is_notify = |sent: &Sent| *sent.message.method() == Method::Notify;
    let again = call.shard.sent.iter().find(|sent| is_notify(sent)).cloned();
    let again = again.expect("it is told again");
    assert_eq!(state(&again), state(&last));
    assert_eq!(again.message.body(), last.message.body());
    assert!(number(&again.message) > number(&last.message));
}

#[test]
fn news_of_a_transfer_are_told_in_order_over_the_connection_that_comes_after_the_broken_one() {
    for is_said_between in [false, true] {
        let refer =
            "Refer-To: <sip:+493023125999@192.0.2.11>\nContact: <sip:gw@198.51.100.20:5060>\n";
        let mut call = Call::new();
        call.says("REFER", refer, "");
        call.shard.next_response(202);
        let first = call.shard.next_request(Method::Notify);
        let invite = call.shard.next_request(Method::Invite).message;
        fails(&mut call.shard, &first);
        let told = |call: &mut Call| -> Vec<Sent> {
            let sent = call.shard.sent.drain(..);
            let is_ours = |own: &Sent| own.message.is_request();
            let is_told = |own: &Sent| matches!(own.message.method(), Method::Notify | Method::Bye);
            let is_carriers = |own: &Sent| own.hop.remote.to_string() == CARRIER;
            sent.filter(|own| is_ours(own) && is_told(own) && is_carriers(own))
                .collect()
        };
        if is_said_between {
            let rings = response(&invite, "180 Ringing", "z1", TEAMS_CONTACT, "");
            call.shard.teams_says(&rings);
        }
        // The other party leaves: the transfer has its end, and a BYE follows.
        call.teams_says("BYE", 1, "");
        assert!(told(&mut call).is_empty(), "nothing overtakes the first");
        call.shard.pass(FIRST_PAUSE);
        let sent = told(&mut call);
        let methods: Vec<&Method> = sent.iter().map(|own| own.message.method()).collect();
        assert_eq!(methods, [&Method::Notify, &Method::Bye]);
        let state = header(&sent[0].message, HeaderName::SubscriptionState);
        assert_eq!(state, "terminated;reason=noresource");
        // Again: their order stays, whichever is told first that it has failed.
        for own in sent.iter().rev() {
            fails(&mut call.shard, own);
        }
        let mut again = Vec::new();
        let limit = call.shard.now.mono + ms(2_000);
        while again.len() < 2 && call.shard.now.mono < limit {
            call.shard.pass(ms(50));
            again.extend(told(&mut call));
        }
        let methods: Vec<&Method> = again.iter().map(|own| own.message.method()).collect();
        assert_eq!(methods, [&Method::Notify, &Method::Bye]);
    }
}

#[test]
fn a_pinned_host_is_reached_at_the_port_that_its_route_names_and_at_its_other_address() {
    let pinned = "connect_to = [\"203.0.113.1:5061\"]";
    let config = CONFIG.replacen(
        pinned,
        "connect_to = [\"203.0.113.1:5061\", \"203.0.113.7:5061\"]",
        1,
    );
    for (named, port) in [("5061", 5061), ("5071", 5071)] {
        let mut shard = Shard::with(config_of(&config));
        shard.carrier_says(&carrier_invite("pinned", CARRIER_SDP));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        let lines = format!(
            "Contact: <sip:203.0.113.1:443;x-i=1>\nRecord-Route: <sip:sip.pstnhub.microsoft.com:{named};transport=tls;lr>\n"
        );
        let answer = response(&invite, "200 OK", "x1", &lines, TEAMS_SDP);
        shard.teams_says(&answer);
        let ack = shard.next_request(Method::Ack);
        assert_eq!(ack.hop.remote.to_string(), format!("203.0.113.1:{port}"));
        shard.next_response(200);
        shard.teams_says(&answer);
        let again = shard.next_request(Method::Ack);
        assert_eq!(again.hop.remote.to_string(), format!("203.0.113.7:{port}"));
    }
}

#[test]
fn what_waits_for_a_name_goes_where_the_peer_has_moved_in_the_meantime() {
    let (mut shard, invite) = called_in(CONFIG, "moves");
    let answer = response(&invite.message, "200 OK", "b1", NAMED, CARRIER_SDP);
    shard.carrier_says(&answer);
    let ok = shard.next_response(200).message;
    // Before DNS has said where to send the ACK, the peer names another place.
    let moved = callee_request(
        &invite.message,
        "b1",
        "UPDATE",
        1,
        "Contact: <sip:gw@198.51.100.25:5060>\n",
    );
    let moved = moved.replace(
        "SIP/2.0/TLS 203.0.113.1:5061",
        "SIP/2.0/UDP 198.51.100.20:5060",
    );
    shard.carrier_says(&moved);
    shard.next_response(200);
    found(&mut shard, &["198.51.100.23:5060"]);
    let ack = shard.next_request(Method::Ack);
    assert_eq!(ack.hop.remote.to_string(), "198.51.100.25:5060");
    assert!(text(&ack).starts_with("ACK sip:gw@198.51.100.25:5060 "));
    shard.teams_says(&in_dialog(
        &ok,
        "ACK",
        1,
        "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bKa",
    ));
    assert!(shard.sent.is_empty());
}

/// A call to the carrier, by a name with these addresses, that is up: the shard, our INVITE, and our 200.
fn up_by_name(addresses: &[&str]) -> (Shard, Message, Message) {
    let (mut shard, invite) = called_in(CONFIG, "named");
    let invite = invite.message;
    let answer = response(&invite, "200 OK", "b1", NAMED, CARRIER_SDP);
    shard.carrier_says(&answer);
    let ok = shard.next_response(200).message;
    found(&mut shard, addresses);
    shard.next_request(Method::Ack);
    shard.teams_says(&in_dialog(&ok, "ACK", 1, &teams_via("ack")));
    assert!(shard.sent.is_empty());
    (shard, invite, ok)
}

fn teams_via(branch: &str) -> String {
    format!("SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bK{branch}")
}

#[test]
fn a_silent_peer_costs_a_leg_that_ends_the_time_of_two_addresses_at_most() {
    let others = [
        "198.51.100.22:5060",
        "198.51.100.23:5060",
        "198.51.100.24:5060",
    ];
    let (mut shard, _, ok) = up_by_name(&others);
    shard.teams_says(&in_dialog(&ok, "BYE", 2, &teams_via("bye")));
    shard.next_response(200);
    let mut tried = Vec::new();
    for _ in 0..700 {
        while let Some(bye) = shard.sent.pop_front() {
            let remote = bye.hop.remote.to_string();
            if tried.last() != Some(&remote) {
                tried.push(remote);
            }
        }
        shard.pass(ms(100));
    }
    assert_eq!(tried, others[..2]);
    assert_eq!(shard.records.len(), 1, "the leg is over");
    shard.settles();
}

#[test]
fn an_offer_that_is_taken_back_goes_to_no_other_address() {
    let (mut shard, _, ok) = up_by_name(&["198.51.100.22:5060", "198.51.100.23:5060"]);
    let held = TEAMS_SDP.replace("sendrecv", "inactive");
    let hold = in_dialog(&ok, "INVITE", 2, &teams_via("hold"));
    let hold = hold.replace(
        "Content-Length: 0\n\n",
        "Contact: <sip:api.example.com:443>\n",
    );
    shard.teams_says(&with_body(&hold, &held));
    shard.next_response(100);
    shard.next_response(200);
    let told = shard.next_request(Method::Invite);
    shard.teams_says(&in_dialog(&ok, "ACK", 2, &teams_via("ack2")));
    shard.teams_says(&in_dialog(&ok, "BYE", 3, &teams_via("bye")));
    shard.next_response(200);
    fails(&mut shard, &told);
    shard.pass(ms(400));
    let is_invite = |sent: &Sent| *sent.message.method() == Method::Invite;
    assert!(!shard.sent.iter().any(is_invite), "the call is over");
}

#[test]
fn the_other_addresses_of_a_name_are_forgotten_when_the_peer_moves() {
    let (mut shard, invite, ok) = up_by_name(&["198.51.100.22:5060", "198.51.100.23:5060"]);
    let contact = "Contact: <sip:gw@198.51.100.25:5060>\n";
    let moved = callee_request(&invite, "b1", "UPDATE", 1, contact);
    let via = "SIP/2.0/UDP 198.51.100.20:5060";
    shard.carrier_says(&moved.replace("SIP/2.0/TLS 203.0.113.1:5061", via));
    shard.next_response(200);
    shard.teams_says(&in_dialog(&ok, "BYE", 2, &teams_via("bye")));
    shard.next_response(200);
    let bye = shard.next_request(Method::Bye);
    assert_eq!(bye.hop.remote.to_string(), "198.51.100.25:5060");
    fails(&mut shard, &bye);
    assert!(shard.sent.is_empty(), "it is nowhere else");
    shard.pass(FIRST_PAUSE);
    let again = shard.next_request(Method::Bye);
    assert_eq!(again.hop.remote.to_string(), "198.51.100.25:5060");
}

/// SIP-306: whichever of the two is answered first.
#[test]
fn what_becomes_of_the_last_notify_of_one_transfer_ends_nothing_of_the_next() {
    let (mut call, invite) = transfers();
    call.shard
        .teams_says(&response(&invite, "486 Busy Here", "z1", "", ""));
    call.shard.next_request(Method::Ack);
    let last = call.shard.next_request(Method::Notify).message;
    assert_eq!(header(&last, HeaderName::Event), "refer");
    call.says("REFER", REFER, "");
    call.shard.next_response(202);
    let first = call.shard.next_request(Method::Notify).message;
    let event = header(&first, HeaderName::Event);
    assert!(event.starts_with("refer;id="), "{event}");
    let invite = call.shard.next_request(Method::Invite).message;
    call.shard
        .carrier_says(&response(&first, "200 OK", "", "", ""));
    let gone = response(&last, "481 Call/Transaction Does Not Exist", "", "", "");
    call.shard.carrier_says(&gone);
    let answer = response(&invite, "200 OK", "z2", TEAMS_CONTACT, TEAMS_SDP);
    call.shard.teams_says(&answer);
    call.shard.next_request(Method::Ack);
    let told = call.shard.sent.iter().find(|sent| {
        *sent.message.method() == Method::Notify
            && header(&sent.message, HeaderName::Event) == event
    });
    let told = &told.expect("the end of the second").message;
    assert_eq!(told.body(), "SIP/2.0 200 OK\r\n");
}
