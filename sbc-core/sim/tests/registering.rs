//! Worlds with peers that register, and with somebody who would like to be one of them. The faults planted
//! into them are found by the rules that are theirs.

use crate::common::planted::{editing, finds};
use crate::common::{clean, ms, secs};
use sbc_core::effect::Effect;
use sbc_core::event::{DropCode, Happened};
use sbc_core::record::Disposition;
use sbc_sim::actor::Script;
use sbc_sim::report::play;
use sbc_sim::scenario::{PlannedCall, Scenario};
use sbc_sim::topology::{EXCHANGE, INTRUDER, NORTH_1, TEAMS_1, peer};

/// A call of Teams that goes to the exchange if that is registered, and to the carrier if not.
fn call() -> Scenario {
    let mut scenario = Scenario::quiet(3).call(|n| {
        let mut call = PlannedCall::between(n, 0, TEAMS_1, EXCHANGE)
            .dialing(|dial| dial.hang_up = Some(secs(5)))
            .or_at(NORTH_1, Script::answering(n, ms(500)));
        call.at = secs(6);
        call
    });
    scenario.setting.registers = true;
    scenario
}

#[test]
fn calls_go_where_the_exchange_registered_and_to_the_carrier_where_it_does_not() {
    for shards in [1, 2, 4] {
        let run = play(&call(), shards, false);
        assert!(run.violations.is_empty(), "{:?}", run.violations);
        assert_eq!(run.callee(0).actor, "exchange");
        assert_eq!(run.records[0].disposition, Disposition::Answered);
    }
    let mut early = call();
    early.calls[0].at = ms(1);
    assert_eq!(clean(&early).callee(0).actor, "north-1");
}

#[test]
fn whoever_guesses_passwords_is_shut_out_and_harms_nobody() {
    let run = clean(&call());
    let intruder = peer(INTRUDER).address;
    let of_intruder = |fact: &&Happened| match fact {
        Happened::Unproven { remote, .. } | Happened::Dropped { remote, .. } => *remote == intruder,
        _ => false,
    };
    let all: Vec<&Happened> = run.facts.iter().filter(of_intruder).collect();
    let is_silenced = |fact: &&&Happened| matches!(fact, Happened::Unproven { refused, .. } if refused.silence.is_some());
    let is_dropped = |fact: &&&Happened| matches!(fact, Happened::Dropped { why, .. } if *why == DropCode::Banned);
    assert!(all.iter().filter(is_silenced).count() > 1, "more than once");
    assert!(all.iter().filter(is_dropped).count() > 10, "for minutes");
}

#[test]
fn an_intruder_that_is_let_in_is_found() {
    let address = peer(INTRUDER).address.to_string();
    let mut generous =
        editing(|text| Some(text.replace("SIP/2.0 401 Unauthorized", "SIP/2.0 200 OK")));
    finds(
        "registration-unproven",
        &call(),
        move |effect| match &effect {
            Effect::Send { hop, .. } if hop.remote.to_string() == address => generous(effect),
            _ => vec![effect],
        },
    );
}

#[test]
fn a_call_to_somebody_who_is_not_registered_is_found() {
    // The call for the exchange goes to whoever would like to be it.
    finds("registration-nobody", &call(), |mut effect| {
        if let Effect::Send { hop, bytes, .. } = &mut effect
            && bytes.starts_with(b"INVITE ")
            && hop.remote == peer(EXCHANGE).address
        {
            hop.remote = peer(INTRUDER).address;
        }
        vec![effect]
    });
}

#[test]
fn an_exchange_that_is_never_let_in_is_found() {
    let strict = editing(|text| {
        let is_granted = text.starts_with("SIP/2.0 200") && text.contains(" REGISTER\r\n");
        Some(match is_granted {
            true => text.replace("SIP/2.0 200 OK", "SIP/2.0 403 Forbidden"),
            false => text,
        })
    });
    finds("registration-refused", &call(), strict);
}
