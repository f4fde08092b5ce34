//! Calls that are unlike those before, by hand: who is told, and what does not count (TDR-SEC-003).

use crate::world;

use sbc_core::event::Happened;
use sbc_core::policy::unusual::{Of, Unusual, What};
use sbc_core::sip::Method;
use std::time::Duration;
use world::*;

/// The usual world, which looks at quarters of an hour with four calls.
fn watching() -> Shard {
    let config = format!("{CONFIG}\n[limits]\nunusual_calls = 4\n");
    Shard::with(config_of(&config))
}

/// A call of Teams that is answered and lasts so long, or is refused.
fn call(shard: &mut Shard, id: &str, lasts: Option<Duration>) {
    shard.teams_says(&teams_invite(id));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let Some(lasts) = lasts else {
        shard.carrier_says(&response(&invite, "486 Busy Here", "y", "", ""));
        shard.next_request(Method::Ack);
        shard.next_response(486);
        return;
    };
    let answer = response(&invite, "200 OK", "y", CARRIER_CONTACT, CARRIER_SDP);
    shard.carrier_says(&answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    let via = |branch: &str| format!("SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bK{branch}{id}");
    shard.teams_says(&in_dialog(&ok, "ACK", 1, &via("ack")));
    shard.pass(lasts);
    shard.teams_says(&in_dialog(&ok, "BYE", 2, &via("bye")));
    shard.next_response(200);
    let bye = shard.next_request(Method::Bye).message;
    shard.carrier_says(&response(&bye, "200 OK", "", "", ""));
}

fn told(shard: &Shard) -> Vec<Unusual> {
    let told = shard.happened.iter().filter_map(|what| match what {
        Happened::Unusual(unusual) => Some((**unusual).clone()),
        _ => None,
    });
    told.collect()
}

/// Five quarters of an hour as always: most calls are answered, for half a minute.
fn usual(shard: &mut Shard) {
    for quarter in 0..5 {
        for number in 0..5 {
            let lasts = (number < 4).then(|| Duration::from_secs(30));
            call(shard, &format!("u{quarter}{number}"), lasts);
        }
        shard.pass(Duration::from_secs(15 * 60));
        shard.sent.clear();
    }
    assert!(told(shard).is_empty(), "{:?}", told(shard));
}

#[test]
fn calls_that_nobody_answers_any_more_are_told_for_the_customer_and_both_trunks() {
    let mut shard = watching();
    usual(&mut shard);
    for number in 0..6 {
        call(&mut shard, &format!("n{number}"), None);
    }
    assert!(told(&shard).is_empty(), "the quarter is not over");
    shard.pass(Duration::from_secs(15 * 60));
    shard.sent.clear();
    call(&mut shard, "next", None);
    let told = told(&shard);
    assert_eq!(told.len(), 3, "{told:?}");
    let names: Vec<_> = told
        .iter()
        .map(|own| (own.of.kind(), own.of.name()))
        .collect();
    let wanted = [
        ("tenant", "contoso"),
        ("trunk_in", "teams-contoso"),
        ("trunk_out", "carrier-a"),
    ];
    assert_eq!(names, wanted);
    assert!(told.iter().all(|own| own.what == What::FewAnswered));
    assert!(matches!(told[0].of, Of::Tenant(_)));
    let text = told[0].to_string();
    assert!(
        text.contains("of 6 0 % were answered, usually 80 %"),
        "{text}"
    );
}

#[test]
fn calls_that_last_far_longer_are_told() {
    let mut shard = watching();
    usual(&mut shard);
    for number in 0..6 {
        call(
            &mut shard,
            &format!("l{number}"),
            Some(Duration::from_secs(120)),
        );
    }
    shard.pass(Duration::from_secs(15 * 60));
    shard.sent.clear();
    call(&mut shard, "next", None);
    let told = told(&shard);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().all(|own| own.what == What::Long), "{told:?}");
    assert!(
        told[0]
            .to_string()
            .contains("lasted 120 s on average, usually 30 s")
    );
}

#[test]
fn calls_that_their_callers_give_up_say_nothing() {
    let mut shard = watching();
    usual(&mut shard);
    for number in 0..6 {
        let id = format!("c{number}");
        shard.teams_says(&teams_invite(&id));
        let cancel = with_body(
            teams_invite(&id)
                .split("Content-Type")
                .next()
                .expect("head"),
            "",
        );
        shard.teams_says(&cancel.replace("INVITE", "CANCEL"));
        shard.pass(Duration::from_secs(60));
        shard.sent.clear();
    }
    shard.pass(Duration::from_secs(15 * 60));
    call(&mut shard, "next", None);
    assert!(told(&shard).is_empty(), "{:?}", told(&shard));
}

#[test]
fn nobody_is_told_where_that_is_switched_off() {
    let config = format!("{CONFIG}\n[limits]\nunusual_calls = 0\n");
    let mut shard = Shard::with(config_of(&config));
    usual(&mut shard);
    for number in 0..6 {
        call(&mut shard, &format!("n{number}"), None);
    }
    shard.pass(Duration::from_secs(15 * 60));
    shard.sent.clear();
    call(&mut shard, "next", None);
    assert!(told(&shard).is_empty());
}
