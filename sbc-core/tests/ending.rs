//! How a call ends for its media (SIP-408), and what still comes afterwards.

use crate::world;

use media_api::Command;
use sbc_core::cause::CauseCode;
use sbc_core::event::Happened;
use sbc_core::input::Input;
use sbc_core::record::Disposition;
use sbc_core::sip::{HeaderName, Method};
use sbc_core::time::UnixTime;
use std::time::Duration;
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
fn when_and_why_a_call_has_ended_is_told_while_its_media_drain() {
    let mut call = Call::new();
    let start = call.shard.now.wall;
    call.shard.pass(Duration::from_millis(1_001));
    call.says("BYE", "", "");
    call.shard.next_response(200);
    assert!(call.shard.records.is_empty());
    let told = call
        .shard
        .happened
        .iter()
        .rev()
        .find_map(|what| match what {
            Happened::Recorded(record) => Some(record.clone()),
            _ => None,
        });
    let told = told.expect("what a journal keeps");
    assert_eq!(told.end, Some(start + Duration::from_millis(1_001)));
    assert_eq!((told.duration_ms, told.billsec), (1_001, 2));
    assert_eq!(told.disposition, Disposition::Answered);
    assert_eq!(told.cause.code, CauseCode::NormalClearing);
    // The record says the same, however long the other side takes.
    call.shard.pass(Duration::from_secs(3));
    call.shard.sent.clear();
    call.shard.pass(Duration::from_secs(40));
    let record = &call.shard.records[0];
    assert_eq!((record.end, &record.cause), (told.end, &told.cause));
    assert_eq!((record.duration_ms, record.billsec), (1_001, 2));
}

/// OPS-121
#[test]
fn who_keeps_a_journal_from_now_on_hears_of_calls_that_are_up() {
    let mut call = Call::new();
    call.shard.apply(Input::Journal(false));
    for _ in 0..2 {
        // It hears so once.
        call.shard.apply(Input::Journal(true));
        let told = call.shard.happened.iter();
        let told = told.filter_map(|what| match what {
            Happened::Known(record) => Some((record.setup_ms.is_some(), record.end)),
            _ => None,
        });
        assert_eq!(told.collect::<Vec<_>>(), [(true, None)]);
    }
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let told = call.shard.happened.iter().rev();
    let mut told = told.filter(|what| matches!(what, Happened::Recorded(_)));
    assert!(told.next().is_some());
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

#[test]
fn a_clock_that_is_set_during_a_call_changes_neither_its_start_nor_its_lengths() {
    const YEAR_US: u64 = 365 * 24 * 3_600 * 1_000_000;
    let second = Duration::from_secs(1);
    let (mut shard, invite) = called_out("call");
    let start = shard.now.wall;
    let set = |shard: &mut Shard, by: i64| {
        let us = shard.now.wall.as_micros().saturating_add_signed(by);
        shard.now.wall = UnixTime::from_micros(us);
    };
    shard.pass(2 * second);
    set(&mut shard, -(YEAR_US as i64));
    let invite = invite.message;
    shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    shard.next_response(180);
    shard.pass(3 * second);
    // To the beginning of all time, as a clock without a battery.
    set(&mut shard, i64::MIN);
    let answer = response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP);
    shard.teams_says(&answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
    shard.pass(30 * second);
    set(&mut shard, 60 * YEAR_US as i64);
    shard.pass(31 * second);
    shard.carrier_says(&in_dialog(&ok, "BYE", 11, &format!("{VIA}bye")));
    shard.next_response(200);
    let bye = shard.next_request(Method::Bye).message;
    shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    let record = shard.records.first().expect("a record").clone();
    assert_eq!(record.start, start);
    assert_eq!(record.first_progress_ms, Some(2_000));
    assert_eq!(record.setup_ms, Some(5_000));
    assert_eq!((record.duration_ms, record.billsec), (61_000, 61));
    assert_eq!(record.end, Some(start + 66 * second));
    let pairs = record.pairs();
    assert_eq!(pairs.len(), 1);
    assert_eq!(pairs[0].start, start + 5 * second);
    assert_eq!(pairs[0].duration_ms, 61_000);
    // No timer goes by it: nothing is left, and nothing is sent again.
    assert!(shard.sent.is_empty());
    shard.settles();
}
