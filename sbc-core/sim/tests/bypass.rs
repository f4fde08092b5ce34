//! Calls over a trunk with media bypass: clients with an ICE agent and processors without one, restarts,
//! and faults that the checker of agents finds.

use crate::common::planted::{editing, finds, rules, tampered};
use crate::common::{clean, ms, secs};
use media_api::Command;
use sbc_core::effect::Effect;
use sbc_sim::actor::{Change, Hold, Wanted};
use sbc_sim::scenario::{PlannedCall, Scenario};
use sbc_sim::topology::{BYPASS_TENANT, NORTH_1, SOUTH, TEAMS_1};
use sbc_sim::world::Run;
use std::collections::BTreeSet;

/// A call of Teams over the bypass trunk, whose caller holds, resumes and moves.
fn from_teams(seed: u64) -> Scenario {
    let changes = vec![
        Change::new(ms(500), Wanted::Hold(Hold::Inactive)),
        Change::new(ms(1_500), Wanted::Resume),
        Change::new(ms(2_500), Wanted::Move),
    ];
    Scenario::quiet(seed).call(|n| {
        PlannedCall::between(n, BYPASS_TENANT, TEAMS_1, SOUTH).dialing(|dial| {
            dial.hang_up = Some(secs(8));
            dial.changes = changes;
        })
    })
}

fn to_teams(seed: u64) -> Scenario {
    let held = vec![Change::new(ms(800), Wanted::Hold(Hold::SendOnly))];
    Scenario::quiet(seed).call(|n| {
        PlannedCall::between(n, BYPASS_TENANT, NORTH_1, TEAMS_1).dialing(|dial| {
            dial.hang_up = Some(secs(5));
            dial.changes = held;
        })
    })
}

/// Our agents in what was sent.
fn agents(run: &Run) -> BTreeSet<String> {
    let bodies = run.sent.iter().map(|(_, _, wire)| &wire.body);
    let lines = bodies.flat_map(|body| body.lines());
    let agents = lines.filter_map(|line| line.strip_prefix("a=ice-ufrag:"));
    agents.map(str::to_owned).collect()
}

/// A seed whose party on the side of Teams has an agent, and one whose has not.
fn with_and_without() -> (u64, u64) {
    let has = |seed: &u64| !agents(&clean(&from_teams(*seed))).is_empty();
    let with = (1..50).find(has).expect("clients");
    let without = (1..50).find(|seed| !has(seed)).expect("processors");
    (with, without)
}

#[test]
fn clients_get_an_agent_that_begins_anew_with_theirs_and_processors_get_none() {
    let (with, without) = with_and_without();
    let run = clean(&from_teams(with));
    assert_eq!(agents(&run).len(), 2, "one for the call, one for the move");
    assert!(agents(&clean(&from_teams(without))).is_empty());
}

#[test]
fn a_call_to_teams_has_one_agent_whoever_answers() {
    for seed in 1..6 {
        assert_eq!(agents(&clean(&to_teams(seed))).len(), 1, "seed {seed}");
    }
}

#[test]
fn nothing_is_found_where_nothing_is_planted() {
    for scenario in [from_teams(1), to_teams(1)] {
        let found = rules(&scenario, tampered(|effect| vec![effect]));
        assert_eq!(found, Vec::<&str>::new());
    }
}

#[test]
fn credentials_that_nobody_answers_for_are_found() {
    let other = |text: String| Some(text.replace("a=ice-pwd:", "a=ice-pwd:x"));
    finds("ice-unserved", &to_teams(1), editing(other));
}

#[test]
fn a_relay_that_is_told_of_others_checks_is_found() {
    let (with, _) = with_and_without();
    let strange = |effect: Effect| {
        let Effect::Media(Command::Answer {
            session,
            endpoint,
            fork,
            mut negotiated,
            stage,
        }) = effect
        else {
            return vec![effect];
        };
        for stream in negotiated.streams.iter_mut().flatten() {
            if let Some(terms) = &mut stream.ice {
                terms.remote_fragment.push('x');
            }
        }
        vec![Effect::Media(Command::Answer {
            session,
            endpoint,
            fork,
            negotiated,
            stage,
        })]
    };
    finds("ice-told", &from_teams(with), strange);
}

#[test]
fn half_an_agent_is_found() {
    let half = |text: String| Some(text.replace("a=ice-pwd:", "a=ice-xyz:"));
    finds("ice-half", &to_teams(1), editing(half));
}

#[test]
fn an_agent_towards_somebody_without_bypass_is_found() {
    let agent = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=candidate:1 1 UDP 1 \
                 192.0.2.1 9 typ host\r\na=ptime:20\r\n";
    let add = move |text: String| Some(text.replace("a=ptime:20\r\n", agent));
    let contoso = Scenario::quiet(1).call(PlannedCall::to_teams);
    finds("ice-uninvited", &contoso, editing(add));
    let (_, without) = with_and_without();
    finds("ice-unasked", &from_teams(without), editing(add));
}

#[test]
fn an_agent_that_does_not_begin_anew_is_found() {
    let mut first: Option<(String, String)> = None;
    let frozen = editing(move |text| {
        let value = |name: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
        };
        let (Some(fragment), Some(password)) = (value("a=ice-ufrag:"), value("a=ice-pwd:")) else {
            return Some(text);
        };
        let (old, secret) = first.get_or_insert((fragment.clone(), password.clone()));
        Some(text.replace(&fragment, old).replace(&password, secret))
    });
    let (with, _) = with_and_without();
    finds("ice-restart", &from_teams(with), frozen);
}
