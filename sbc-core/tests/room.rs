//! Room for calls for help, by hand: who gives way, how it is told, and who never does (SIP-1401).

use crate::world;

use sbc_core::cause::CauseCode;
use sbc_core::core::Together;
use sbc_core::event::Happened;
use sbc_core::id::ShardId;
use sbc_core::input::Input;
use sbc_core::record::Disposition;
use sbc_core::sip::{HeaderName, Method};
use std::time::Duration;
use world::call::header;
use world::*;

/// The carrier, to which help is called too, has so many calls in both directions.
pub(crate) fn lines(calls: u32) -> String {
    let numbers = "numbers = [\"+493023125000-+493023125999\"]";
    let route = "[[route]]\nname = \"help\"\nmatch = { emergency = true }\n\
                 to = [{ trunk = \"carrier-a\" }]\n";
    let trunk = "name = \"carrier-a\"";
    CONFIG
        .replace(numbers, &format!("{numbers}\nemergency = [\"112\"]"))
        .replacen(
            trunk,
            &format!("{trunk}\nlimits = {{ calls = {calls} }}"),
            1,
        )
        + route
}

pub(crate) fn help(call: &str) -> String {
    teams_invite(call).replace("sip:+498999998001@", "sip:112@")
}

fn calls(shard: &mut Shard, invite: &str) -> Sent {
    shard.teams_says(invite);
    shard.next_response(100);
    shard.next_request(Method::Invite)
}

/// A call that talks.
pub(crate) fn talks(shard: &mut Shard, call: &str) {
    let invite = calls(shard, &teams_invite(call));
    shard.carrier_says(&response(
        &invite.message,
        "200 OK",
        call,
        CARRIER_CONTACT,
        CARRIER_SDP,
    ));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    let via = format!("SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bKack{call}");
    shard.teams_says(&in_dialog(&ok, "ACK", 1, &via));
    shard.pass(Duration::from_millis(20));
}

fn preempted(shard: &Shard) -> usize {
    let is_it = |what: &&Happened| matches!(what, Happened::Preempted { .. });
    shard.happened.iter().filter(is_it).count()
}

fn reason(sent: &Sent) -> String {
    header(&sent.message, HeaderName::Reason)
}

/// What ends a call that talks: a BYE on either side, with the reason.
fn is_ended(shard: &mut Shard) {
    for _ in 0..2 {
        let bye = shard.next_request(Method::Bye);
        let why = reason(&bye);
        assert!(why.contains("reemption;cause=3"), "{why}");
        assert!(why.contains("Q.850;cause=8"), "{why}");
        let flow = match bye.hop.remote.to_string() == TEAMS {
            true => teams_flow(),
            false => carrier_flow(),
        };
        shard.receive(flow, &response(&bye.message, "200 OK", "", "", ""));
    }
}

fn reaches(shard: &mut Shard) {
    let invite = shard.next_request(Method::Invite);
    let uri = String::from_utf8_lossy(&invite.message.request_uri()).into_owned();
    assert!(uri.starts_with("sip:112@"), "{uri}");
}

#[test]
fn the_newest_call_of_a_full_trunk_gives_way_to_a_call_for_help() {
    let mut shard = Shard::with(config_of(&lines(2)));
    talks(&mut shard, "old");
    talks(&mut shard, "new");
    shard.teams_says(&help("help"));
    shard.next_response(100);
    is_ended(&mut shard);
    reaches(&mut shard);
    let record = &shard.records[0];
    assert_eq!(record.cause.code, CauseCode::Preempted);
    assert_eq!(record.disposition, Disposition::Answered);
    assert_eq!(
        record.cause.because.0,
        ["a call for help needed its room: trunk \"carrier-a\" has no room left"]
    );
    assert_eq!(record.ingress.call_id, "new");
    assert_eq!(preempted(&shard), 1);
    // Nobody who calls for help gives way to another; the one that is left does.
    shard.teams_says(&help("help2"));
    shard.next_response(100);
    is_ended(&mut shard);
    reaches(&mut shard);
    shard.teams_says(&help("help3"));
    shard.next_response(100);
    reaches(&mut shard);
    assert_eq!(preempted(&shard), 2);
}

#[test]
fn a_call_that_is_only_set_up_goes_before_one_that_talks() {
    let mut shard = Shard::with(config_of(&lines(2)));
    let rings = calls(&mut shard, &teams_invite("rings"));
    shard.carrier_says(&response(
        &rings.message,
        "180 Ringing",
        "r",
        CARRIER_CONTACT,
        "",
    ));
    shard.next_response(180);
    talks(&mut shard, "talks");
    shard.teams_says(&help("help"));
    shard.next_response(100);
    let refusal = shard.next_response(503);
    assert!(
        reason(&refusal).contains("reemption;cause=3"),
        "{}",
        text(&refusal)
    );
    let cancel = shard.next_request(Method::Cancel);
    assert!(reason(&cancel).contains("reemption;cause=3"));
    reaches(&mut shard);
}

#[test]
fn nobody_gives_way_while_there_is_room_or_where_the_operator_does_not_want_it() {
    let mut shard = Shard::with(config_of(&lines(2)));
    talks(&mut shard, "one");
    shard.teams_says(&help("help"));
    shard.next_response(100);
    reaches(&mut shard);
    assert_eq!(preempted(&shard), 0);
    let mut shard = Shard::with(config_of(&(lines(1) + "[limits]\npreempt = false\n")));
    talks(&mut shard, "one");
    shard.teams_says(&help("help"));
    shard.next_response(100);
    reaches(&mut shard);
    assert_eq!(preempted(&shard), 0);
}

#[test]
fn a_full_node_and_a_full_customer_give_room_too() {
    let of_node = lines(9) + "[limits]\ncalls = 1\n";
    let of_tenant = lines(9).replace("emergency = [", "limits = { calls = 1 }\nemergency = [");
    for config in [of_node, of_tenant] {
        let mut shard = Shard::with(config_of(&config));
        talks(&mut shard, "one");
        shard.teams_says(&help("help"));
        shard.next_response(100);
        is_ended(&mut shard);
        reaches(&mut shard);
    }
}

#[test]
fn a_call_of_another_shard_gives_way_if_this_one_has_none() {
    let (config, together) = (config_of(&lines(1)), Together::default());
    let shard = |id| Shard::one_of(config.clone(), ShardId(id), 3).counting(&together);
    let mut shards = [shard(0), shard(1), shard(2)];
    talks(&mut shards[2], "one");
    shards[0].teams_says(&help("help"));
    shards[0].next_response(100);
    // It does not wait for that.
    reaches(&mut shards[0]);
    for (from, to) in [(0, 1), (1, 2)] {
        let (shard, letter) = shards[from].letters.pop_front().expect("a letter");
        assert_eq!(usize::from(shard.0), to);
        shards[to].apply(Input::Letter(letter));
    }
    is_ended(&mut shards[2]);
    // Where nobody can give way the question ends.
    shards[0].teams_says(&help("help2"));
    for (from, to) in [(0, 1), (1, 2)] {
        let (_, letter) = shards[from].letters.pop_front().expect("a letter");
        shards[to].apply(Input::Letter(letter));
    }
    assert!(shards.iter().all(|shard| shard.letters.is_empty()));
}

#[test]
fn so_many_calls_in_a_minute_give_way_and_calls_for_help_are_tried_all_the_same() {
    let config = lines(5) + "[limits]\npreempt_per_minute = 2\n";
    let mut shard = Shard::with(config_of(&config));
    for call in 0..5 {
        talks(&mut shard, &format!("usual{call}"));
    }
    let cries = |shard: &mut Shard, n: u32| {
        let before = preempted(shard);
        shard.teams_says(&help(&format!("help{n}")));
        shard.next_response(100);
        let has_room = preempted(shard) > before;
        if has_room {
            is_ended(shard);
        }
        reaches(shard);
        has_room
    };
    assert!(cries(&mut shard, 0) && cries(&mut shard, 1));
    assert!(!cries(&mut shard, 2) && !cries(&mut shard, 3));
    let told = shard.happened.iter();
    let told = told.filter(|what| matches!(what, Happened::PreemptionLimited { .. }));
    assert_eq!(told.count(), 2);
    // One more in half a minute; by then nobody has helped, and others have taken the room.
    shard.pass(Duration::from_secs(45));
    shard.sent.clear();
    for call in 5..7 {
        talks(&mut shard, &format!("usual{call}"));
    }
    assert!(cries(&mut shard, 4) && !cries(&mut shard, 5));
}

#[test]
fn media_ports_are_given_up_for_a_call_for_help() {
    let mut shard = Shard::with(config_of(&lines(9)));
    talks(&mut shard, "one");
    shard.refuse_media = true;
    shard.teams_says(&help("help"));
    shard.next_response(100);
    is_ended(&mut shard);
    // Its ports are free at once.
    let drains = shard.media.iter().find_map(|command| match command {
        media_api::Command::Release { drain_ms, .. } => Some(*drain_ms),
        _ => None,
    });
    assert_eq!(drains, Some(0));
    shard.refuse_media = false;
    shard.pass(Duration::from_millis(200));
    reaches(&mut shard);
    // If nothing helps, the caller is told in the end, and may try elsewhere.
    shard.refuse_media = true;
    shard.teams_says(&help("help2"));
    shard.next_response(100);
    shard.pass(Duration::from_secs(2));
    shard.sent.retain(|sent| sent.message.is_response());
    shard.next_response(503);
}
