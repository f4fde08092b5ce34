//! Neighbours that tell each other how loaded they are (SIP-1723, RFC 7339), by hand.

use crate::emergency::with_location;
use crate::world;

use sbc_core::event::TargetFault;
use sbc_core::input::Input;
use sbc_core::sip::header::Via;
use sbc_core::sip::{HeaderName, Message, Method};
use sbc_core::transport::overload;
use std::time::Duration;
use world::call::header;
use world::*;

pub(crate) fn willing() -> String {
    CONFIG.replace(
        "codecs = [\"PCMA\", \"PCMU\"]",
        "codecs = [\"PCMA\", \"PCMU\"]\noverload_control = true",
    )
}

fn lags(shard: &mut Shard, wait: u64) {
    for _ in 0..100 {
        shard.pass(Duration::from_millis(10));
        shard.apply(Input::Lag(Duration::from_millis(wait)));
    }
}

fn asking(call_id: &str) -> String {
    carrier_invite(call_id, CARRIER_SDP).replace(";rport\n", ";rport;oc;oc-algo=\"loss\"\n")
}

fn told(response: &Message) -> Option<overload::Feedback> {
    overload::read(&response.list::<Via>().expect("Via")[0])
}

#[test]
fn a_neighbour_that_asks_hears_how_much_is_too_much() {
    let mut shard = Shard::with(config_of(&willing()));
    let mut last = (0, 0);
    for (lag, losses) in [(0, 0..=0), (125, 40..=60), (400, 100..=100)] {
        lags(&mut shard, lag);
        shard.carrier_says(&asking(&format!("asks-{lag}")));
        let said = told(&shard.next().message).expect("feedback");
        assert!(losses.contains(&said.loss), "{lag} ms: {said:?}");
        assert_eq!(said.validity.is_zero(), said.loss == 0);
        assert!(said.sequence > last, "{said:?}");
        last = said.sequence;
        shard.sent.clear();
    }
    // Who does not ask hears nothing, and nothing of it gets to the other side.
    shard.carrier_says(&carrier_invite("plain", CARRIER_SDP));
    let via = header(&shard.next().message, HeaderName::Via);
    assert!(!via.contains("oc="), "{via}");
    lags(&mut shard, 0);
    shard.sent.clear();
    shard.carrier_says(&asking("through"));
    shard.next_response(100);
    let invite = text(&shard.next_request(Method::Invite));
    assert!(!invite.contains(";oc"), "{invite}");
}

#[test]
fn a_peer_that_is_not_listed_is_told_nothing() {
    let mut shard = Shard::new();
    shard.carrier_says(&asking("asks"));
    let trying = shard.next_response(100).message;
    assert_eq!(told(&trying), None);
}

/// A call to the carrier, and what it is told: the INVITE, if one went to the first server.
pub(crate) fn offered(shard: &mut Shard, call_id: &str) -> Sent {
    shard.teams_says(&teams_invite(call_id));
    shard.next_response(100);
    shard.next_request(Method::Invite)
}

/// The first of so many calls that goes to the first server.
fn taken(shard: &mut Shard, call_id: &str) -> Sent {
    let mut all = (0..100).map(|at| offered(shard, &format!("{call_id}{at}")));
    all.find(|invite| invite.hop.remote.to_string() == CARRIER)
        .expect("not all are spared")
}

/// The carrier's answer with a word about its load.
pub(crate) fn says(shard: &mut Shard, invite: &Sent, word: &str) {
    let busy = response(&invite.message, "486 Busy Here", "b", "", "");
    shard.receive(
        sbc_core::transport::Flow {
            remote: invite.hop.remote,
            ..carrier_flow()
        },
        &busy.replace(";oc;oc-algo=\"loss\"", word),
    );
    shard.next_request(Method::Ack);
    shard.next_response(486);
}

#[test]
fn a_neighbour_that_wants_less_gets_less() {
    let mut shard = Shard::with(config_of(&willing()));
    let first = offered(&mut shard, "first");
    let via = header(&first.message, HeaderName::Via);
    assert!(via.ends_with(";oc;oc-algo=\"loss\""), "{via}");
    assert_eq!(first.hop.remote.to_string(), CARRIER);
    let word = ";oc=40;oc-algo=\"loss\";oc-validity=5000;oc-seq=100.2";
    says(&mut shard, &first, word);
    let mut spared = 0;
    for call in 0..100 {
        let invite = offered(&mut shard, &format!("c{call}"));
        spared += usize::from(invite.hop.remote.to_string() != CARRIER);
        shard.sent.clear();
    }
    assert!((25..=55).contains(&spared), "{spared} of 100");
    // An older word that comes late changes nothing.
    let late = ";oc=0;oc-algo=\"loss\";oc-validity=0;oc-seq=100.1";
    let stale = taken(&mut shard, "stale");
    shard.sent.clear();
    says(&mut shard, &stale, late);
    let word = ";oc=100;oc-algo=\"loss\";oc-validity=5000;oc-seq=100.3";
    let third = taken(&mut shard, "third");
    shard.sent.clear();
    says(&mut shard, &third, word);
    for call in 0..20 {
        let invite = offered(&mut shard, &format!("d{call}"));
        assert_eq!(invite.hop.remote.to_string(), "198.51.100.21:5060");
        shard.sent.clear();
    }
    // Its word holds as long as it said.
    shard.pass(Duration::from_secs(6));
    shard.sent.clear();
    let again = offered(&mut shard, "again");
    assert_eq!(again.hop.remote.to_string(), CARRIER);
}

#[test]
fn a_call_that_every_neighbour_spares_itself_is_refused_and_says_why_and_help_is_not() {
    let one = willing()
        .replace(", \"198.51.100.21:5060;udp\"]", "]")
        .replace(
            "numbers = [\"+493023125000-+493023125999\"]",
            "numbers = [\"+493023125000-+493023125999\"]\nemergency = [\"112\"]",
        );
    let mut shard = Shard::with(config_of(&one));
    let first = offered(&mut shard, "first");
    says(
        &mut shard,
        &first,
        ";oc=100;oc-algo=\"loss\";oc-validity=5000;oc-seq=1.0",
    );
    shard.teams_says(&teams_invite("second"));
    shard.next_response(100);
    shard.next_response(503);
    let last = shard.records.last().expect("a record");
    assert_eq!(last.egress[0].fault, Some(TargetFault::Relieved));
    shard.sent.clear();
    let help = teams_invite("help").replace("sip:+498999998001@", "sip:112@");
    let marked =
        teams_invite("marked").replace("MAX-FORWARDS", "Resource-Priority: ets.0\nMAX-FORWARDS");
    for invite in [help, marked] {
        shard.teams_says(&invite);
        shard.next_response(100);
        shard.next_request(Method::Invite);
    }
}

#[test]
fn an_emergency_is_known_by_its_number_and_its_mark_when_there_is_no_time() {
    let text = CONFIG.replace(
        "numbers = [\"+493023125000-+493023125999\"]",
        "numbers = [\"+493023125000-+493023125999\"]\nemergency = [\"112\"]",
    );
    let mut shard = Shard::with(config_of(&text));
    lags(&mut shard, 400);
    shard.teams_says(&teams_invite("usual"));
    shard.next_response(503);
    shard.teams_says(&teams_invite("help").replace("sip:+498999998001@", "sip:112@"));
    shard.next_response(100);
    shard.next_request(Method::Invite);
    // What Teams marks is one whatever number it has: by its priority, or by a location.
    let other = teams_invite("marked").replace("sip:+498999998001@", "sip:933@");
    let marked = other.replace("MAX-FORWARDS", "PRIORITY: emergency\nMAX-FORWARDS");
    let placed = with_location("911").replace("help", "placed");
    for invite in [marked, placed] {
        shard.teams_says(&invite);
        shard.next_response(100);
        shard.next_request(Method::Invite);
    }
    shard.teams_says(&other.replace("marked", "unmarked"));
    shard.next_response(503);
}

#[test]
fn a_neighbour_that_counts_from_the_beginning_is_heard_again() {
    let one = willing().replace(", \"198.51.100.21:5060;udp\"]", "]");
    let mut shard = Shard::with(config_of(&one));
    let first = offered(&mut shard, "first");
    let word = ";oc=10;oc-algo=\"loss\";oc-validity=500;oc-seq=1700000000.0";
    says(&mut shard, &first, word);
    // It has been away for a while and has no clock any more.
    shard.pass(Duration::from_secs(600));
    shard.sent.clear();
    let second = offered(&mut shard, "second");
    let word = ";oc=100;oc-algo=\"loss\";oc-validity=5000;oc-seq=1.0";
    says(&mut shard, &second, word);
    shard.teams_says(&teams_invite("third"));
    shard.next_response(100);
    shard.next_response(503);
}
