//! Calls in which nobody sends media from the answer on (section 14 of the media requirements).

use crate::world;

use media_api::{Command, EndpointId, Event as MediaEvent, SessionId, StreamIndex};
use sbc_core::cause::{CauseCode, EndedBy};
use sbc_core::input::Input;
use sbc_core::sip::{HeaderName, Method};
use std::time::Duration;
use world::call::*;
use world::*;

const CARRIER: EndpointId = EndpointId(0);
const TEAMS_LEG: EndpointId = EndpointId(1);

fn session(call: &Call) -> SessionId {
    let mut commands = call.shard.media.iter();
    let session = commands.find_map(|command| match command {
        Command::Allocate { session, .. } => Some(*session),
        _ => None,
    });
    session.expect("ports were asked for")
}

fn silent(call: &mut Call, endpoint: EndpointId, silent_ms: u32) {
    let session = session(call);
    call.shard.apply(Input::Media(MediaEvent::Silent {
        session,
        endpoint,
        silent_ms,
    }));
}

/// The limit that the relay was told last, in milliseconds.
fn limit(call: &Call) -> u32 {
    let plans = call.shard.media.iter().rev();
    let mut plans = plans.filter_map(|command| match command {
        Command::Update { plan, .. } => Some(plan.silence_ms),
        _ => None,
    });
    plans.next().expect("the parties are joined")
}

/// A call that was answered half a minute ago, with nothing on its way.
fn answered() -> Call {
    let mut call = Call::new();
    call.shard.pass(Duration::from_secs(31));
    call.shard.sent.clear();
    call
}

fn ends(call: &mut Call) {
    let byes = [
        call.shard.next_request(Method::Bye),
        call.shard.next_request(Method::Bye),
    ];
    for bye in byes {
        let answer = response(&bye.message, "200 OK", "", "", "");
        match bye.hop.remote.to_string() == TEAMS {
            true => call.shard.teams_says(&answer),
            false => call.shard.carrier_says(&answer),
        }
    }
    let [record] = &call.shard.records[..] else {
        panic!("{:?}", call.shard.records);
    };
    assert_eq!(record.cause.code, CauseCode::MediaTimeout);
    assert_eq!(record.cause.by, EndedBy::Us);
}

#[test]
fn a_call_in_which_nobody_is_ever_heard_ends_after_half_a_minute() {
    let mut call = answered();
    assert_eq!(limit(&call), 30_000);
    silent(&mut call, CARRIER, 30_000);
    assert!(call.shard.sent.is_empty(), "the other one may be heard");
    silent(&mut call, TEAMS_LEG, 30_000);
    ends(&mut call);
}

#[test]
fn whoever_only_pauses_has_the_usual_time() {
    let mut call = answered();
    let session = session(&call);
    call.shard.apply(Input::Media(MediaEvent::FirstMedia {
        session,
        endpoint: TEAMS_LEG,
        stream: StreamIndex(0),
    }));
    for endpoint in [CARRIER, TEAMS_LEG] {
        silent(&mut call, endpoint, 30_000);
        assert!(call.shard.sent.is_empty());
        assert_eq!(limit(&call), 60_000);
    }
    silent(&mut call, CARRIER, 300_000);
    ends(&mut call);
}

/// A call whose carrier was heard, and has been silent since the answer.
fn paused() -> Call {
    let mut call = answered();
    let session = session(&call);
    call.shard.apply(Input::Media(MediaEvent::FirstMedia {
        session,
        endpoint: CARRIER,
        stream: StreamIndex(0),
    }));
    silent(&mut call, CARRIER, 30_000);
    call
}

#[test]
fn whoever_pauses_is_asked_each_minute_whether_the_call_is_still_there() {
    let mut call = paused();
    for silent_ms in [60_000, 120_000, 180_000, 240_000] {
        silent(&mut call, CARRIER, silent_ms);
        let probe = call.shard.next_request(Method::Invite);
        assert_eq!(probe.hop.remote.to_string(), world::CARRIER);
        let answer = response(&probe.message, "200 OK", "", CARRIER_CONTACT, CARRIER_SDP);
        call.shard.carrier_says(&answer);
        call.shard.next_request(Method::Ack);
        assert!(call.shard.sent.is_empty());
    }
    assert!(call.shard.records.is_empty());
}

#[test]
fn a_party_that_pauses_and_has_lost_the_call_ends_it() {
    let mut call = paused();
    silent(&mut call, CARRIER, 60_000);
    let probe = call.shard.next_request(Method::Invite);
    let gone = response(
        &probe.message,
        "481 Call/Transaction Does Not Exist",
        "",
        "",
        "",
    );
    call.shard.carrier_says(&gone);
    call.shard.next_request(Method::Ack);
    let bye = loop {
        let bye = call.shard.next_request(Method::Bye);
        if bye.hop.remote.to_string() == TEAMS {
            break bye;
        }
    };
    let reason = bye.message.raw(HeaderName::Reason);
    assert!(reason.is_some_and(|reason| reason.starts_with(b"Q.850;cause=102")));
}

#[test]
fn silence_that_lasted_until_soon_after_the_answer_ends_no_call() {
    let mut call = Call::new();
    call.shard.pass(Duration::from_secs(20));
    call.shard.sent.clear();
    for endpoint in [CARRIER, TEAMS_LEG] {
        silent(&mut call, endpoint, 30_000);
    }
    assert!(call.shard.sent.is_empty(), "the usual time is theirs");
    assert_eq!(limit(&call), 60_000);
    assert!(call.shard.records.is_empty());
    call.shard.pass(Duration::from_secs(30));
    silent(&mut call, CARRIER, 60_000);
    ends(&mut call);
}
