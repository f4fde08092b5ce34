//! Callers whose connection is lost before the answer, and calls that come again by another way, as Teams
//! makes them from another data centre (TDR-ERR-010, TDR-ERR-012, TDR-TCP-002).

use crate::world;

use sbc_core::cause::{CauseCode, EndedBy};
use sbc_core::core::Together;
use sbc_core::id::{FlowId, ShardId};
use sbc_core::input::Input;
use sbc_core::sip::{HeaderName, Method};
use sbc_core::transport::{Flow, FlowFault};
use world::call::header;
use world::*;

/// The connection of another data centre.
fn elsewhere() -> Flow {
    Flow {
        id: FlowId(7),
        remote: "203.0.113.2:40002".parse().expect("address"),
        ..teams_flow()
    }
}

/// The call again, with this Call-ID, as another data centre sends it.
fn again(call_id: &str) -> String {
    teams_invite(call_id)
        .replace("203.0.113.1:5061", "203.0.113.2:5061")
        .replace("branch=z9hG4bK", "branch=z9hG4bKagain")
}

/// A call of Teams that rings, under this configuration: the shard, and our INVITE.
fn ringing(config: &str) -> (Shard, Sent) {
    let (mut shard, invite) = called_in(config, "call");
    shard.carrier_says(&response(
        &invite.message,
        "180 Ringing",
        "x1",
        CARRIER_CONTACT,
        "",
    ));
    shard.next_response(180);
    (shard, invite)
}

fn lose(shard: &mut Shard, why: FlowFault) {
    let flow = teams_flow().id;
    shard.apply(Input::FlowLost { flow, why });
}

fn broken() -> FlowFault {
    FlowFault::Broken("connection reset by peer".to_owned())
}

/// The called side is not wanted any more: its CANCEL, and what it says to that.
fn is_cancelled(shard: &mut Shard, invite: &Sent) {
    let at = |sent: &Sent| *sent.message.method() == Method::Cancel && sent.message.is_request();
    let found = shard.sent.iter().position(at).expect("a CANCEL");
    let cancel = shard.sent.remove(found).expect("it is there").message;
    let id = |message| header(message, HeaderName::CallId);
    assert_eq!(id(&cancel), id(&invite.message));
    shard.carrier_says(&response(&cancel, "200 OK", "x1", "", ""));
    let terminated = response(&invite.message, "487 Request Terminated", "x1", "", "");
    shard.carrier_says(&terminated);
    let is_ack = |sent: &Sent| *sent.message.method() == Method::Ack;
    shard.sent.retain(|sent| !is_ack(sent));
}

#[test]
fn a_call_of_teams_ends_at_once_when_its_connection_breaks_before_the_answer() {
    let (mut shard, invite) = ringing(CONFIG);
    lose(&mut shard, broken());
    // Should it find a way after all, Teams tries the next trunk.
    let told = shard.sent.iter().find(|sent| !sent.message.is_request());
    let status = told.and_then(|sent| sent.message.status());
    assert_eq!(status.map(|status| status.code()), Some(503));
    is_cancelled(&mut shard, &invite);
    let record = &shard.records[0];
    let cause = (record.cause.by, record.cause.code);
    assert_eq!(cause, (EndedBy::A, CauseCode::CallerCancelled));
    let because = record.cause.because.0.join("; ");
    assert!(
        because.contains("lost before the answer: connection broke: connection reset"),
        "{because}"
    );
    shard.sent.clear();
    shard.settles();
}

#[test]
fn a_call_that_comes_again_takes_the_place_of_the_one_whose_connection_was_lost() {
    let one_call = CONFIG.replace(
        "numbers = [\"+493023125000-+493023125999\"]",
        "numbers = [\"+493023125000-+493023125999\"]\nlimits = { calls = 1 }",
    );
    // Its Call-ID may be another one, and it may come after a break or an orderly close.
    for (call_id, why) in [
        ("call", FlowFault::Closed),
        ("other", FlowFault::Closed),
        ("call", broken()),
        ("other", broken()),
    ] {
        let (mut shard, first) = ringing(&one_call);
        lose(&mut shard, why.clone());
        let is_over = |shard: &Shard| {
            let sent = shard.sent.iter();
            sent.filter(|sent| *sent.message.method() == Method::Cancel)
                .count()
        };
        assert_eq!(
            is_over(&shard),
            usize::from(why != FlowFault::Closed),
            "{why}"
        );
        shard.receive(elsewhere(), &again(call_id));
        is_cancelled(&mut shard, &first);
        assert_eq!(
            shard.records.len(),
            1,
            "{call_id}, {why}: the first one is over"
        );
        shard.sent.retain(|sent| {
            let status = sent.message.status().map(|status| status.code());
            status != Some(503)
        });
        shard.next_response(100);
        let second = shard.next_request(Method::Invite);
        shard.carrier_says(&response(
            &second.message,
            "200 OK",
            "x2",
            CARRIER_CONTACT,
            CARRIER_SDP,
        ));
        shard.next_request(Method::Ack);
        let ok = shard.next_response(200);
        assert_eq!(ok.hop.flow, Some(FlowId(7)), "{call_id}, {why}");
    }
}

#[test]
fn a_call_that_comes_again_while_the_first_one_lives_is_refused() {
    let (mut shard, first) = ringing(CONFIG);
    shard.receive(elsewhere(), &again("call"));
    shard.next_response(482);
    // With another Call-ID it is another call, and the loss of a connection ends none of the others'.
    shard.receive(elsewhere(), &again("other"));
    shard.next_response(100);
    let second = shard.next_request(Method::Invite);
    lose(&mut shard, broken());
    is_cancelled(&mut shard, &first);
    shard.sent.clear();
    shard.carrier_says(&response(
        &second.message,
        "180 Ringing",
        "x2",
        CARRIER_CONTACT,
        "",
    ));
    shard.next_response(180);
    assert_eq!(shard.records.len(), 1);
}

#[test]
fn a_connection_that_is_closed_in_order_ends_nothing_and_the_answer_goes_another_way() {
    let (mut shard, invite) = ringing(CONFIG);
    lose(&mut shard, FlowFault::Closed);
    assert!(shard.sent.is_empty());
    // Somebody else's call is not this one again.
    for (from, to) in [
        ("+493023125456@sip", "+493023125457@sip"),
        ("998001", "998002"),
    ] {
        let other = again("other").replace(from, to);
        let other = other.replace("CALL-ID: other", &format!("CALL-ID: {to}"));
        shard.receive(elsewhere(), &other.replace("bKagainother", to));
        shard.next_response(100);
        shard.next_request(Method::Invite);
        assert!(shard.sent.is_empty(), "{to}");
    }
    let answer = response(
        &invite.message,
        "200 OK",
        "x1",
        CARRIER_CONTACT,
        CARRIER_SDP,
    );
    shard.carrier_says(&answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200);
    assert_eq!(ok.hop.remote.to_string(), "203.0.113.1:5061");
    // Once there is an answer, no loss of a connection ends the call, and none is the same call again.
    lose(&mut shard, broken());
    shard.receive(elsewhere(), &again("third"));
    shard.next_response(100);
    shard.next_request(Method::Invite);
    assert!(shard.sent.is_empty() && shard.records.is_empty());
}

#[test]
fn two_callers_who_hide_are_not_the_same_one() {
    let hidden = |invite: String| invite.replace("sip:+493023125456@sip", "sip:anonymous@sip");
    let mut shard = Shard::with(config_of(CONFIG));
    shard.teams_says(&hidden(teams_invite("call")));
    shard.next_response(100);
    shard.next_request(Method::Invite);
    lose(&mut shard, FlowFault::Closed);
    shard.receive(elsewhere(), &hidden(again("other")));
    shard.next_response(100);
    shard.next_request(Method::Invite);
    assert!(shard.sent.is_empty() && shard.records.is_empty());
}

#[test]
fn a_peer_whose_calls_are_to_wait_is_waited_for() {
    let preset = "preset = \"teams\"";
    let waits = CONFIG.replace(preset, &format!("{preset}\nlost_connection = \"wait\""));
    let (mut shard, invite) = ringing(&waits);
    lose(&mut shard, broken());
    shard.receive(elsewhere(), &again("other"));
    shard.next_response(100);
    shard.next_request(Method::Invite);
    assert!(shard.sent.is_empty(), "both ring");
    // The very same call is no second one, whoever sends it.
    shard.receive(elsewhere(), &again("call"));
    is_cancelled(&mut shard, &invite);
    assert_eq!(shard.records.len(), 1);
}

#[test]
fn a_call_for_help_is_not_ended_because_its_connection_breaks() {
    let numbers = "numbers = [\"+493023125000-+493023125999\"]";
    let config = CONFIG.replace(numbers, &format!("{numbers}\nemergency = [\"112\"]"));
    let mut shard = Shard::with(config_of(&config));
    let help = |invite: String| invite.replace("sip:+498999998001@", "sip:112@");
    shard.teams_says(&help(teams_invite("help")));
    shard.next_response(100);
    let first = shard.next_request(Method::Invite);
    lose(&mut shard, broken());
    assert!(shard.sent.is_empty() && shard.records.is_empty());
    // Another who shows the same number calls for help: the first rings on.
    shard.carrier_says(&response(
        &first.message,
        "180 Ringing",
        "x1",
        CARRIER_CONTACT,
        "",
    ));
    shard.sent.clear();
    shard.receive(elsewhere(), &help(again("help2")));
    shard.next_response(100);
    shard.next_request(Method::Invite);
    assert!(shard.sent.is_empty() && shard.records.is_empty());
    // The very same call comes again: then the first is of no use to anybody.
    shard.receive(elsewhere(), &help(again("help")));
    is_cancelled(&mut shard, &first);
    assert_eq!(shard.records.len(), 1);
}

#[test]
fn a_call_that_comes_again_to_another_shard_ends_the_one_that_was_left() {
    let together = Together::default();
    let config = config_of(CONFIG);
    let of = |shard| Shard::one_of(config.clone(), ShardId(shard), 2).counting(&together);
    let (mut first, mut second) = (of(0), of(1));
    // Before anything is left, nobody asks.
    second.receive(elsewhere(), &again("earlier").replace("998001", "998002"));
    second.next_response(100);
    assert!(second.letters.is_empty());
    second.next_request(Method::Invite);

    first.teams_says(&teams_invite("call"));
    first.next_response(100);
    let invite = first.next_request(Method::Invite);
    first.carrier_says(&response(
        &invite.message,
        "180 Ringing",
        "x1",
        CARRIER_CONTACT,
        "",
    ));
    first.next_response(180);
    lose(&mut first, FlowFault::Closed);
    assert!(first.sent.is_empty(), "an orderly close waits");
    second.receive(elsewhere(), &again("other"));
    // It is looked at when the others have been asked.
    assert!(second.sent.is_empty());
    let (to, letter) = second.letters.pop_front().expect("a letter");
    assert_eq!((to, second.letters.len()), (ShardId(0), 0));
    first.apply(Input::Letter(letter));
    let (home, letter) = first.letters.pop_front().expect("it goes on");
    assert_eq!(home, ShardId(1));
    second.apply(Input::Letter(letter));
    second.next_response(100);
    second.next_request(Method::Invite);
    is_cancelled(&mut first, &invite);
    let because = first.records[0].cause.because.0.join("; ");
    assert!(because.contains("came again by another"), "{because}");
    // It is over, so that nobody asks any more.
    first.sent.clear();
    lose(&mut first, FlowFault::Closed);
    first.receive(elsewhere(), &again("last").replace("998001", "998003"));
    second.receive(elsewhere(), &again("later").replace("998001", "998004"));
    assert!(second.letters.is_empty(), "{:?}", second.letters);
}

/// The first call fills the limit until the second has come: whichever shards the two fall to.
#[test]
fn a_call_that_comes_again_to_another_shard_is_not_refused_for_the_one_that_was_left() {
    let numbers = "numbers = [\"+493023125000-+493023125999\"]";
    let config =
        config_of(&CONFIG.replace(numbers, &format!("{numbers}\nlimits = {{ calls = 1 }}")));
    for count in [2, 4] {
        let pairs = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
        for (from, to) in pairs.filter(|(from, to)| from != to) {
            let together = Together::default();
            let of = |shard| Shard::one_of(config.clone(), ShardId(shard), count);
            let mut shards: Vec<Shard> =
                (0..count).map(|own| of(own).counting(&together)).collect();
            let (from, to) = (usize::from(from), usize::from(to));
            shards[from].teams_says(&teams_invite("call"));
            shards[from].next_response(100);
            let invite = shards[from].next_request(Method::Invite);
            let ringing = response(&invite.message, "180 Ringing", "x1", CARRIER_CONTACT, "");
            shards[from].carrier_says(&ringing);
            shards[from].next_response(180);
            // Another one is refused.
            shards[to].receive(elsewhere(), &again("stranger").replace("998001", "998002"));
            shards[to].next_response(100);
            shards[to].next_response(503);
            shards[to].sent.clear();
            lose(&mut shards[from], FlowFault::Closed);
            shards[to].receive(elsewhere(), &again("other"));
            let mut letters = 0;
            while let Some(shard) = shards.iter().position(|own| !own.letters.is_empty()) {
                let (next, letter) = shards[shard].letters.pop_front().expect("it has one");
                shards[usize::from(next.0)].apply(Input::Letter(letter));
                letters += 1;
            }
            assert_eq!(letters, count, "once round");
            is_cancelled(&mut shards[from], &invite);
            shards[to].next_response(100);
            shards[to].next_request(Method::Invite);
        }
    }
}
