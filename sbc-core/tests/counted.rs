//! What the counters of trunks say of messages, repetitions, and what did not come in time (OPS-010, OPS-011).

use crate::world;

use sbc_core::core::Together;
use sbc_core::id::{ShardId, TrunkName};
use sbc_core::input::Input;
use sbc_core::sip::Method;
use sbc_core::tally::{Direction, Missed, RefreshResult, RefreshRole, Repeated, TrunkFigures};
use sbc_core::transport::Protocol;
use std::time::Duration;
use world::call::{Call, VIA};
use world::*;

fn of(together: &Together, trunk: &str) -> TrunkFigures {
    let mut figures = together.tally().figures();
    let of_trunk = figures.trunks.remove(&TrunkName::new(trunk));
    of_trunk.unwrap_or_default()
}

/// Requests of a method, in one direction.
fn requests(of: &TrunkFigures, direction: Direction, method: &Method, protocol: Protocol) -> u64 {
    let key = (direction, method.into(), protocol);
    of.requests.get(&key).copied().unwrap_or(0)
}

/// Responses to a method with this status, in one direction.
fn responses(of: &TrunkFigures, direction: Direction, method: &Method, code: u16) -> u64 {
    let key = (direction, method.into(), code.into());
    of.responses.get(&key).copied().unwrap_or(0)
}

fn repeated(of: &TrunkFigures, direction: Direction, what: Repeated) -> u64 {
    of.repeated.get(&(direction, what)).copied().unwrap_or(0)
}

#[test]
fn a_call_is_counted_at_both_trunks_message_by_message() {
    let together = Together::default();
    let mut call = Call::of(Shard::new().counting(&together));
    let held = together.tally().figures().held;
    assert_eq!((held.dialogs, held.ended_dialogs), (2, 0));
    assert_eq!((held.invite_clients, held.invite_servers), (1, 1));
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    let ok = response(&bye, "200 OK", "", "", "");
    call.shard.teams_says(&ok);
    let (carrier, teams) = (of(&together, "carrier-a"), of(&together, "teams-contoso"));
    let (ours, theirs) = (Direction::Out, Direction::In);
    for method in [Method::Invite, Method::Ack, Method::Bye] {
        assert_eq!(requests(&carrier, theirs, &method, Protocol::Udp), 1);
        assert_eq!(requests(&teams, ours, &method, Protocol::Tls), 1);
        assert_eq!(requests(&carrier, ours, &method, Protocol::Udp), 0);
    }
    for (method, code) in [
        (Method::Invite, 100),
        (Method::Invite, 200),
        (Method::Bye, 200),
    ] {
        assert_eq!(responses(&carrier, ours, &method, code), 1, "{code}");
    }
    assert_eq!(responses(&teams, theirs, &Method::Invite, 200), 1);
    assert_eq!(responses(&teams, theirs, &Method::Bye, 200), 1);
    assert!(carrier.repeated.is_empty() && teams.repeated.is_empty());
    assert!(carrier.missed.is_empty() && teams.missed.is_empty());
    call.shard.settles();
    assert_eq!(together.tally().figures().held, Default::default());
}

#[test]
fn how_long_a_bye_of_ours_takes_is_known_of_its_trunk_and_a_refusal_has_no_time() {
    for (status, counted) in [("200 OK", 1), ("481 Call Does Not Exist", 0)] {
        let together = Together::default();
        let mut call = Call::of(Shard::new().counting(&together));
        call.says("BYE", "", "");
        call.shard.next_response(200);
        let bye = call.shard.next_request(Method::Bye).message;
        call.shard.pass(Duration::from_millis(40));
        call.shard.teams_says(&response(&bye, status, "", "", ""));
        // It counts once, however often it comes.
        call.shard.teams_says(&response(&bye, status, "", "", ""));
        let took = of(&together, "teams-contoso").disconnects;
        assert_eq!(took.count, counted, "{status}");
        assert_eq!(took.sum_us, 40_000 * counted, "{status}");
        assert_eq!(of(&together, "carrier-a").disconnects.count, 0);
    }
}

#[test]
fn a_refusal_and_its_ack_and_a_cancel_are_those_of_their_trunk() {
    let together = Together::default();
    let mut shard = Shard::new().counting(&together);
    shard.carrier_says(&carrier_invite("gone", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    shard.next_response(180);
    shard.carrier_says(&carrier_cancel("gone"));
    shard.next_response(200);
    shard.sent.clear();
    let refused = response(&invite, "487 Request Terminated", "x1", "", "");
    shard.teams_says(&refused);
    shard.next_request(Method::Ack);
    let (carrier, teams) = (of(&together, "carrier-a"), of(&together, "teams-contoso"));
    assert_eq!(
        requests(&carrier, Direction::In, &Method::Cancel, Protocol::Udp),
        1
    );
    assert_eq!(
        requests(&teams, Direction::Out, &Method::Cancel, Protocol::Tls),
        1
    );
    assert_eq!(
        requests(&teams, Direction::Out, &Method::Ack, Protocol::Tls),
        1
    );
    assert_eq!(responses(&teams, Direction::In, &Method::Invite, 487), 1);
    assert_eq!(responses(&carrier, Direction::Out, &Method::Cancel, 200), 1);
    assert_eq!(responses(&carrier, Direction::Out, &Method::Invite, 487), 1);
}

#[test]
fn a_peer_that_says_nothing_is_seen_by_our_repetitions_and_by_what_it_missed() {
    let together = Together::default();
    let mut shard = Shard::new().counting(&together);
    shard.apply(Input::Config(config()));
    shard.start_lines = Some(Vec::new());
    shard.pass(Duration::from_secs(40));
    let carrier = of(&together, "carrier-a");
    let lines = shard.start_lines.take().unwrap_or_default();
    let asked = |host: &str| lines.iter().filter(|line| line.contains(host)).count() as u64;
    let sent = asked("198.51.100.");
    let counted = requests(&carrier, Direction::Out, &Method::Options, Protocol::Udp);
    assert_eq!(counted, sent);
    let again = repeated(&carrier, Direction::Out, Repeated::Request);
    assert!(again > 10 && again < sent, "{again} of {sent}");
    assert!(carrier.missed[&Missed::F] >= 2, "{carrier:?}");
    assert_eq!(carrier.missed.get(&Missed::B), None);
    assert_eq!(carrier.answers.count, 0);
    // Over TLS nothing is repeated, and missed all the same.
    let teams = of(&together, "teams-contoso");
    assert!(
        teams.repeated.is_empty() && teams.missed[&Missed::F] >= 2,
        "{teams:?}"
    );
}

#[test]
fn how_long_options_take_is_known_of_every_trunk() {
    let together = Together::default();
    let mut shard = Shard::new().counting(&together);
    shard.apply(Input::Config(config()));
    let mut answered = 0;
    for _ in 0..100 {
        shard.pass(Duration::from_millis(60));
        let asked = std::mem::take(&mut shard.sent);
        shard.pass(Duration::from_millis(40));
        for sent in asked {
            let is_carrier = sent.hop.remote.port() == 5060;
            let flow = match is_carrier {
                true => carrier_flow(),
                false => teams_flow(),
            };
            answered += u64::from(is_carrier);
            let remote = sent.hop.remote;
            // A refusal is an answer, too.
            let text = response(&sent.message, "405 Method Not Allowed", "x", "", "");
            shard.receive(sbc_core::transport::Flow { remote, ..flow }, &text);
        }
    }
    let answers = of(&together, "carrier-a").answers;
    assert!(answered >= 2);
    assert_eq!(answers.count, answered);
    assert_eq!(answers.counts.iter().sum::<u64>(), answered);
    assert!(answers.sum_us >= 40_000 * answered && answers.sum_us <= 140_000 * answered);
    assert!(of(&together, "teams-contoso").answers.count > 0);
}

#[test]
fn a_caller_that_repeats_its_invite_and_never_acknowledges_is_seen() {
    let together = Together::default();
    let mut shard = Shard::new().counting(&together);
    let text = carrier_invite("deaf", CARRIER_SDP);
    shard.carrier_says(&text);
    shard.carrier_says(&text);
    let invite = shard.sent.iter().find(|sent| sent.message.is_request());
    let invite = invite.unwrap().message.clone();
    let carrier = of(&together, "carrier-a");
    assert_eq!(repeated(&carrier, Direction::In, Repeated::Request), 1);
    assert_eq!(repeated(&carrier, Direction::Out, Repeated::Response), 1);
    assert_eq!(responses(&carrier, Direction::Out, &Method::Invite, 100), 2);
    let answer = response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP);
    shard.teams_says(&answer);
    // It comes again: our ACK was lost.
    shard.teams_says(&answer);
    let teams = of(&together, "teams-contoso");
    assert_eq!(repeated(&teams, Direction::In, Repeated::Response), 1);
    assert_eq!(repeated(&teams, Direction::Out, Repeated::Request), 1);
    assert_eq!(
        requests(&teams, Direction::Out, &Method::Ack, Protocol::Tls),
        2
    );
    shard.pass(Duration::from_secs(33));
    let carrier = of(&together, "carrier-a");
    assert_eq!(carrier.missed[&Missed::Ack], 1);
    // 0.5, 1.5, 3.5, then every four seconds until 32 s, beside the 100 of before.
    assert_eq!(
        repeated(&carrier, Direction::Out, Repeated::Response),
        1 + 10
    );
}

#[test]
fn refreshes_are_counted_by_who_makes_them_and_by_how_they_end() {
    let up = |shard: Shard, asks: &str| {
        let mut shard = shard;
        let invite = carrier_invite("timer", CARRIER_SDP);
        shard.carrier_says(&invite.replace("Max-Forwards", &format!("{asks}Max-Forwards")));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        shard.teams_says(&response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP));
        shard.next_request(Method::Ack);
        let ok = shard.next_response(200).message;
        shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
        shard
    };
    let together = Together::default();
    let own = |of: &TrunkFigures, role, result| of.refreshes.get(&(role, result)).copied();
    // We do: once with success, then it is refused, then the session ends.
    let asks = "Supported: timer\nSession-Expires: 100;refresher=uas\nAllow: INVITE, UPDATE\n";
    let mut shard = up(Shard::new().counting(&together), asks);
    shard.pass(Duration::from_secs(50));
    let update = shard.next_request(Method::Update).message;
    let ok = "Session-Expires: 100;refresher=uac\nRequire: timer\n";
    shard.carrier_says(&response(&update, "200 OK", "", ok, ""));
    shard.pass(Duration::from_secs(50));
    for _ in 0..5 {
        let update = shard.next_request(Method::Update).message;
        shard.carrier_says(&response(&update, "503 No", "", "", ""));
        shard.pass(Duration::from_secs(10));
    }
    let carrier = of(&together, "carrier-a");
    let local = RefreshRole::Local;
    assert_eq!(own(&carrier, local, RefreshResult::Refreshed), Some(1));
    assert_eq!(own(&carrier, local, RefreshResult::Failed), Some(5));
    assert_eq!(own(&carrier, local, RefreshResult::Expired), Some(1));
    // The peer of another shard does, and does not.
    let asks = "Supported: timer\nSession-Expires: 90;refresher=uac\n";
    let config = config_of(CONFIG);
    let mut other = up(
        Shard::one_of(config, ShardId(1), 2).counting(&together),
        asks,
    );
    other.pass(Duration::from_secs(61));
    let carrier = of(&together, "carrier-a");
    assert_eq!(
        own(&carrier, RefreshRole::Peer, RefreshResult::Expired),
        Some(1)
    );
    assert_eq!(
        own(&carrier, RefreshRole::Peer, RefreshResult::Refreshed),
        None
    );
}
