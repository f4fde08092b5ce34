//! Transfers that an operator asks for: the same as by REFER, and nobody is told by NOTIFY.

use crate::world;

use sbc_core::id::{CallId, CommandId, TrunkName};
use sbc_core::input::{Answered, Command, Input, Stays, TransferOrder};
use sbc_core::record::{CallPhase, TransferOutcome};
use sbc_core::sip::{HeaderName, Message, Method};
use world::call::*;
use world::*;

fn order(stays: Stays, number: &str) -> TransferOrder {
    TransferOrder {
        stays,
        number: number.to_owned(),
        trunk: None,
    }
}

fn id(call: &mut Call) -> CallId {
    let asked = Input::Command(CommandId(1), Command::Calls);
    call.shard.apply(asked);
    match call.shard.replies.pop() {
        Some((_, Answered::Calls(calls))) => calls[0].call,
        other => panic!("{other:?}"),
    }
}

/// In which phases calls are, and what lists say of them.
pub(crate) fn states(shard: &mut Shard) -> (Vec<CallPhase>, Vec<&'static str>) {
    for command in [Command::Phases, Command::Calls] {
        shard.apply(Input::Command(CommandId(1), command));
    }
    match (shard.replies.pop(), shard.replies.pop()) {
        (Some((_, Answered::Calls(calls))), Some((_, Answered::Phases(phases)))) => (
            phases.iter().map(|(_, phase)| *phase).collect(),
            calls.iter().map(|call| call.state).collect(),
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_that_ends_while_it_rings_is_in_no_phase_any_more() {
    let mut shard = Shard::with(config_of(CONFIG));
    shard.carrier_says(&carrier_invite("call", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    shard.next_response(180);
    assert_eq!(states(&mut shard).0, [CallPhase::Early]);
    shard.teams_says(&response(&invite, "603 Decline", "x1", "", ""));
    shard.next_request(Method::Ack);
    shard.next_response(603);
    assert_eq!(states(&mut shard).0, []);
}

#[test]
fn a_call_is_early_from_the_ringing_that_its_caller_is_told_to_the_answer() {
    let mut shard = Shard::with(config_of(CONFIG));
    shard.carrier_says(&carrier_invite("call", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    assert_eq!(states(&mut shard), (vec![], vec!["setup"]));
    shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    shard.next_response(180);
    assert_eq!(states(&mut shard), (vec![CallPhase::Early], vec!["early"]));
    let answer = response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP);
    shard.teams_says(&answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
    assert_eq!(states(&mut shard), (vec![], vec!["established"]));
}

fn wants(call: &mut Call, order: TransferOrder) {
    let command = Command::Transfer(id(call), order);
    call.shard.apply(Input::Command(CommandId(7), command));
}

/// What the operator is told: outcome, status, and why.
fn told(call: &mut Call) -> (TransferOutcome, Option<u16>, String) {
    match call.shard.replies.pop() {
        Some((
            CommandId(7),
            Answered::Transferred {
                outcome,
                status,
                because,
            },
        )) => {
            let status = status.map(|status| status.code());
            (outcome, status, because.0.join("; "))
        }
        other => panic!("{other:?}"),
    }
}

fn uri(invite: &Message) -> String {
    String::from_utf8_lossy(&invite.request_uri()).into_owned()
}

#[test]
fn an_operator_ends_a_call_with_a_cause_that_both_parties_hear() {
    let mut call = Call::new();
    let command = Command::HangUp(id(&mut call), Some(21));
    call.shard.apply(Input::Command(CommandId(7), command));
    for _ in 0..2 {
        let bye = call.shard.next_request(Method::Bye).message;
        assert_eq!(header(&bye, HeaderName::Reason), "Q.850;cause=21");
    }
}

#[test]
fn an_operator_puts_somebody_else_in_the_place_of_the_called_party() {
    let mut call = Call::new();
    wants(&mut call, order(Stays::Caller, "+493023125999"));
    assert!(call.shard.replies.is_empty(), "it is not known yet");
    let invite = call.shard.next_request(Method::Invite).message;
    let to = uri(&invite);
    assert!(to.starts_with("sip:+493023125999@sip.pstnhub"), "{to}");
    let from = header(&invite, HeaderName::From);
    assert!(from.contains("+498999998001@"), "whoever stays: {from}");
    assert!(!invite.has(HeaderName::ReferredBy));

    call.shard
        .teams_says(&response(&invite, "180 Ringing", "z1", TEAMS_CONTACT, ""));
    assert!(call.shard.sent.is_empty(), "nobody has asked to be told");
    let answer = response(&invite, "200 OK", "z1", TEAMS_CONTACT, TEAMS_SDP);
    call.shard.teams_says(&answer);
    call.shard.next_request(Method::Ack);
    let (outcome, status, because) = told(&mut call);
    assert_eq!((outcome, status), (TransferOutcome::Completed, Some(200)));
    assert!(
        because.starts_with("an operator asked for it; "),
        "{because}"
    );
    // Who is replaced does not know that it should leave.
    call.shard.pass(std::time::Duration::from_millis(1));
    let bye = call.shard.next_request(Method::Bye).message;
    let (left, stays) = (&call.invite, &bye);
    let of = |message: &Message| header(message, HeaderName::CallId);
    assert_eq!(of(left), of(stays));
    call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    call.lives_on(&invite);
}

#[test]
fn a_target_that_refuses_leaves_the_call_as_it_was_and_the_operator_is_told() {
    let mut call = Call::new();
    wants(&mut call, order(Stays::Called, "+15550199"));
    let invite = call.shard.next_request(Method::Invite).message;
    let to = uri(&invite);
    assert!(to.starts_with("sip:+15550199@198.51.100.20"), "{to}");
    // One at a time.
    wants(&mut call, order(Stays::Caller, "+493023125999"));
    let (outcome, _, because) = told(&mut call);
    assert_eq!(outcome, TransferOutcome::Refused);
    assert!(because.contains("under way"), "{because}");
    call.shard
        .carrier_says(&response(&invite, "486 Busy Here", "z1", "", ""));
    call.shard.next_request(Method::Ack);
    let (outcome, status, because) = told(&mut call);
    assert_eq!((outcome, status), (TransferOutcome::Failed, Some(486)));
    assert!(because.contains("the target gave 486"), "{because}");
    call.lives();
}

#[test]
fn a_transfer_that_cannot_begin_says_why_and_changes_nothing() {
    let numbers = "numbers = [\"+493023125000-+493023125999\"]";
    let config = CONFIG.replace(numbers, &format!("{numbers}\nemergency = [\"112\"]"));
    let mut call = Call::with(&config);
    let through = |name: &str| TransferOrder {
        trunk: Some(TrunkName::new(name)),
        ..order(Stays::Caller, "+15550100")
    };
    for (wish, wanted) in [
        (order(Stays::Caller, "a b"), "\"a b\" is no number"),
        (order(Stays::Caller, ""), "\"\" is no number"),
        (order(Stays::Called, "+493023125456?x"), "is no number"),
        (order(Stays::Caller, "112"), "calls for help"),
        (through("nobody"), "there is no trunk \"nobody\""),
    ] {
        wants(&mut call, wish);
        let (outcome, _, because) = told(&mut call);
        assert_eq!(outcome, TransferOutcome::Refused, "{because}");
        assert!(because.contains(wanted), "{because}");
        assert!(call.shard.sent.is_empty());
    }
    // A trunk that is named needs no route.
    wants(&mut call, through("carrier-a"));
    let invite = call.shard.next_request(Method::Invite).message;
    let to = uri(&invite);
    assert!(to.starts_with("sip:+15550100@198.51.100.20"), "{to}");
    let gone = response(&invite, "404 Not Found", "z1", "", "");
    call.shard.carrier_says(&gone);
    call.shard.next_request(Method::Ack);
    assert_eq!(told(&mut call).1, Some(404));
    let other = id(&mut call).0 ^ 1;
    let command = Command::Transfer(CallId(other), through("carrier-a"));
    call.shard.apply(Input::Command(CommandId(8), command));
    let answer = call.shard.replies.pop();
    assert_eq!(answer, Some((CommandId(8), Answered::NoSuchCall)));
    call.lives();
}
