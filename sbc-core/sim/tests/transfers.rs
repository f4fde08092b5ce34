//! Transfers in the simulator: who is left talks, whoever asked hears of the end once, and the
//! transferor may leave at any moment.

mod common;

use common::{clean, ms, secs};
use sbc_core::record::TransferOutcome;
use sbc_sim::actor::{Act, Change, Ending, Leave, PartyView, Script, Wanted};
use sbc_sim::fault::Trouble;
use sbc_sim::scenario::{PlannedCall, Scenario};
use sbc_sim::topology::{NORTH_1, TEAMS_1};
use std::time::Duration;

const LEAVES: [Leave; 6] = [
    Leave::After(Duration::ZERO),
    Leave::After(Duration::from_millis(5)),
    Leave::After(Duration::from_millis(280)),
    Leave::After(Duration::from_millis(900)),
    Leave::WhenDone,
    Leave::Never,
];

/// A call to Teams, transferred by Teams half a second after its answer.
fn by_teams(call: usize, leave: Leave, target: Script) -> PlannedCall {
    let transfer = Change::new(ms(500), Wanted::Transfer(leave));
    PlannedCall::between(call, 0, NORTH_1, TEAMS_1)
        .dialing(|dial| dial.hang_up = Some(secs(20)))
        .answering(|script| script.changes = vec![transfer])
        .transferred_to(TEAMS_1, target)
}

/// A call to the carrier, transferred by the carrier to the Teams user's own number.
fn by_carrier(call: usize, leave: Leave, target: Script) -> PlannedCall {
    let transfer = Change::new(ms(500), Wanted::Transfer(leave));
    PlannedCall::between(call, 0, TEAMS_1, NORTH_1)
        .dialing(|dial| dial.hang_up = Some(secs(20)))
        .answering(|script| script.changes = vec![transfer])
        .transferred_to(TEAMS_1, target)
}

type Plan = fn(usize, Leave, Script) -> PlannedCall;

const PLANS: [Plan; 2] = [by_teams, by_carrier];

#[test]
fn the_two_that_are_left_talk_whenever_the_transferor_leaves() {
    for plan in PLANS {
        for leave in LEAVES {
            let target = Script::answering(0, ms(700));
            let scenario = Scenario::quiet(1).call(|n| plan(n, leave, target));
            let run = clean(&scenario);
            let transfer = &run.records[0].transfers[0];
            assert_eq!(transfer.outcome, TransferOutcome::Completed, "{leave:?}");
            let callees = run.callees(0);
            let asked = |view: &&PartyView| !view.change_statuses.is_empty();
            let (transferor, target): (Vec<&PartyView>, Vec<_>) =
                callees.into_iter().partition(asked);
            let ([transferor], [target]) = (&transferor[..], &target[..]) else {
                panic!("{leave:?}: not one transferor and one target");
            };
            assert_eq!(transferor.change_statuses, [202]);
            assert_eq!(transferor.notified.last(), Some(&(true, 200)), "{leave:?}");
            // The caller hangs up after twenty seconds, and that ends the new conversation.
            assert_eq!(run.caller(0).ending, Some(Ending::HungUp));
            assert_eq!(target.ending, Some(Ending::WasHungUp), "{leave:?}");
        }
    }
}

#[test]
fn a_target_that_refuses_leaves_the_old_conversation_or_ends_what_is_left() {
    for plan in PLANS {
        for leave in LEAVES {
            let acts = vec![(ms(1), Act::Trying), (ms(600), Act::Refuse(486))];
            let target = Script::acting(0, acts);
            let scenario = Scenario::quiet(2).call(|n| plan(n, leave, target));
            let run = clean(&scenario);
            let transfer = &run.records[0].transfers[0];
            assert_eq!(transfer.outcome, TransferOutcome::Failed);
            let callees = run.callees(0);
            let asked = |view: &&&PartyView| !view.change_statuses.is_empty();
            let transferor = callees.iter().find(asked).expect("a transferor");
            assert_eq!(transferor.notified.last(), Some(&(true, 486)), "{leave:?}");
            let has_left = matches!(leave, Leave::After(after) if after < ms(600));
            let ending = match has_left {
                true => Ending::WasHungUp,
                false if matches!(leave, Leave::After(_)) => Ending::WasHungUp,
                false => Ending::HungUp,
            };
            assert_eq!(run.caller(0).ending, Some(ending), "{leave:?}");
        }
    }
}

#[test]
fn the_transferee_may_leave_at_any_moment() {
    for after in [
        400, 495, 500, 505, 520, 600, 900, 1_190, 1_200, 1_210, 1_400,
    ] {
        for plan in PLANS {
            let target = Script::answering(0, ms(700));
            let scenario = Scenario::quiet(3).call(|n| {
                plan(n, Leave::After(ms(280)), target)
                    .dialing(|dial| dial.hang_up = Some(ms(after)))
            });
            clean(&scenario);
        }
    }
}

#[test]
fn transfers_survive_a_network_that_loses_and_repeats() {
    let (actor, percent) = (NORTH_1, 20);
    for seed in 0..12 {
        let loss = || Trouble::Loss { actor, percent };
        let twice = || Trouble::Duplication { actor, percent };
        for plan in PLANS {
            for leave in [LEAVES[2], LEAVES[4], LEAVES[5]] {
                let target = Script::answering(0, ms(700));
                let scenario = Scenario::quiet(seed)
                    .call(|n| plan(n, leave, target))
                    .fault(secs(30), loss())
                    .fault(secs(30), twice());
                clean(&scenario);
            }
        }
    }
}
