//! Storms within a call (SEC-030, SEC-104): what comes too fast is refused for a while, and the call goes on.

use crate::crossing::{BY_INFO, FIVE, RELAY, config};
use crate::world;

use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::*;
use world::two::Two;
use world::*;

const OFFER: &str = "Contact: <sip:gw@198.51.100.20:5060>\nContent-Type: application/sdp\n";

/// The final answer to a request of the caller with these lines and this body; that to an INVITE is
/// acknowledged.
fn asks(call: &mut Call, method: &str, lines: &str, body: &str) -> Message {
    call.says(method, lines, body);
    let mut answer = call.shard.next().message;
    if code(&answer) == 100 {
        answer = call.shard.next().message;
    }
    if method == "INVITE" {
        // The ACK of a refusal has the branch of its INVITE.
        let own = match code(&answer) {
            200 => format!("ack{}", call.cseq),
            _ => call.cseq.to_string(),
        };
        let ack = in_dialog(&call.ok, "ACK", call.cseq, &format!("{VIA}{own}"));
        call.shard.carrier_says(&ack);
    }
    answer
}

fn code(answer: &Message) -> u16 {
    answer.status().map_or(0, |status| status.code())
}

/// The call lives, after a second in which nobody asked for anything.
fn rested(mut call: Call) {
    call.shard.pass(Duration::from_secs(1));
    call.lives();
}

#[test]
fn a_storm_of_offers_is_refused_for_a_while_and_the_call_goes_on() {
    for method in ["INVITE", "UPDATE"] {
        let mut call = Call::new();
        let before = call.shard.media.len();
        let answers: Vec<Message> = (0..100)
            .map(|_| asks(&mut call, method, OFFER, CARRIER_SDP))
            .collect();
        let (served, refused): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| code(answer) == 200);
        assert_eq!(served.len(), 10, "{method}");
        for answer in refused {
            assert_eq!(code(answer), 500, "{method}");
            assert_eq!(header(answer, HeaderName::RetryAfter), "1", "{method}");
        }
        let commands = call.shard.media.len() - before;
        assert!(commands <= 10, "{method}: {commands} commands to the relay");
        // Whoever waits as it was told is served, and may talk on for ever.
        for _ in 0..70 {
            call.shard.pass(Duration::from_secs(1));
            let answer = asks(&mut call, method, OFFER, CARRIER_SDP);
            assert_eq!(code(&answer), 200, "{method}");
        }
        rested(call);
    }
}

#[test]
fn a_storm_of_one_side_is_nothing_to_the_other() {
    let mut call = Call::new();
    for _ in 0..50 {
        asks(&mut call, "UPDATE", OFFER, CARRIER_SDP);
    }
    call.teams_says("OPTIONS", 1, "");
    call.refused(200);
    assert!(call.shard.sent.is_empty(), "Teams is told nothing");
    rested(call);
}

#[test]
fn whatever_else_comes_too_fast_is_refused_too() {
    for (method, lines, usual, burst) in [
        ("OPTIONS", "", 200, 50),
        ("FROBNICATE", "", 501, 50),
        (
            "NOTIFY",
            "Event: refer\nSubscription-State: active\n",
            481,
            20,
        ),
        ("SUBSCRIBE", "Event: refer\n", 489, 50),
    ] {
        let mut call = Call::new();
        let answers: Vec<u16> = (0..200)
            .map(|_| code(&asks(&mut call, method, lines, "")))
            .collect();
        let count = |wanted| answers.iter().filter(|code| **code == wanted).count();
        assert_eq!((count(usual), count(500)), (burst, 200 - burst), "{method}");
        call.shard.pass(Duration::from_secs(2));
        assert_eq!(code(&asks(&mut call, method, lines, "")), usual, "{method}");
        call.lives();
    }
}

#[test]
fn a_storm_of_digits_reaches_the_other_party_at_the_permitted_rate() {
    let mut call = Call::of(Shard::with(config(BY_INFO)));
    let (mut carried, mut refused) = (0, 0);
    for _ in 0..300 {
        call.says("INFO", RELAY, FIVE);
        while let Some(sent) = call.shard.sent.pop_front() {
            let message = sent.message;
            if message.is_request() && *message.method() == Method::Info {
                carried += 1;
                call.shard
                    .teams_says(&response(&message, "200 OK", "", "", ""));
            } else if code(&message) == 500 {
                refused += 1;
            }
        }
    }
    assert_eq!((carried, refused), (50, 250));
    rested(call);
}

#[test]
fn a_bye_is_always_served() {
    let mut call = Call::new();
    for _ in 0..200 {
        asks(&mut call, "OPTIONS", "", "");
        asks(&mut call, "UPDATE", OFFER, CARRIER_SDP);
    }
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    assert_eq!(call.shard.records.len(), 1);
    call.shard.settles();
}

#[test]
fn who_invents_tags_before_the_answer_has_one_pace_for_all_of_them() {
    let mut two = Two::new("");
    two.says("180 Ringing", "b1", "", "");
    let ringing = two.shard.next_response(180).message;
    let mut number = 10;
    let mut served = |tag: Option<&str>| {
        let answers = (0..100).map(|_| {
            number += 1;
            let via = format!("{VIA}{number}");
            let update = in_dialog(&ringing, "UPDATE", number, &via);
            let update = match tag {
                Some(tag) => update.replace(";tag=c1", &format!(";tag={tag}{number}")),
                None => update,
            };
            two.shard.carrier_says(&update);
            code(&two.shard.next().message)
        });
        answers.filter(|code| *code != 500).count()
    };
    assert_eq!((served(Some("x")), served(None)), (10, 10));
}

#[test]
fn a_storm_of_one_phone_is_nothing_to_another_that_rings() {
    let mut two = Two::new("");
    for phone in ["b1", "b2"] {
        two.says("180 Ringing", phone, "", CARRIER_SDP);
    }
    two.shard.sent.clear();
    let mut cseq = 0;
    let mut served = |phone: &str| {
        let answers = (0..100).map(|_| {
            cseq += 1;
            two.callee_says(phone, "UPDATE", cseq, CARRIER_SDP);
            code(&two.shard.next().message)
        });
        // Its answer is no reliable one, so what it offers has to wait (RFC 3311 §5.2).
        answers.filter(|code| *code == 491).count()
    };
    assert_eq!((served("b1"), served("b2")), (10, 10));
    two.answered("b2", "");
}
