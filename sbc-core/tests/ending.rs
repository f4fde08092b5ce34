//! How a call ends for its media (SIP-408), and what still comes afterwards.

use crate::world;

use media_api::Command;
use sbc_core::sip::{HeaderName, Method};
use world::call::*;
use world::*;

/// For how long media are let through after the end.
fn drained_ms(shard: &Shard) -> Vec<u16> {
    let commands = shard.media.iter();
    let ends = commands.filter_map(|command| match command {
        Command::Release {
            endpoint: None,
            drain_ms,
            ..
        } => Some(*drain_ms),
        _ => None,
    });
    ends.collect()
}

#[test]
fn what_is_on_its_way_at_the_bye_has_half_a_second() {
    let mut call = Call::new();
    call.says("BYE", "", "");
    call.shard.next_response(200);
    call.shard.next_request(Method::Bye);
    assert_eq!(
        drained_ms(&call.shard),
        [500],
        "with the BYE, not its answer"
    );
}

#[test]
fn a_call_that_was_never_answered_gives_its_ports_back_at_once() {
    let (mut shard, invite) = called_out("refused");
    let busy = response(&invite.message, "486 Busy Here", "x1", TEAMS_CONTACT, "");
    shard.teams_says(&busy);
    shard.next_request(Method::Ack);
    shard.next_response(486);
    assert_eq!(drained_ms(&shard), [0]);
}

#[test]
fn phones_that_answer_after_the_end_are_ended_and_fill_no_memory() {
    let mut call = Call::new();
    call.says("BYE", "", "");
    let (mut shard, invite) = (call.shard, call.invite);
    let answer = |phone: &str| response(&invite, "200 OK", phone, TEAMS_CONTACT, TEAMS_SDP);
    shard.next_response(200);
    let bye = shard.next_request(Method::Bye).message;
    shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    assert_eq!(shard.records.len(), 1);
    for phone in 0..200 {
        shard.sent.clear();
        shard.teams_says(&answer(&format!("phone-{phone}")));
        let ack = shard.next_request(Method::Ack).message;
        let to = ack.raw(HeaderName::To).expect("To");
        assert!(to.ends_with(format!("tag=phone-{phone}").as_bytes()));
        shard.next_request(Method::Bye);
    }
    assert_eq!(shard.core.census().acks, 64);
    shard.settles();
}
