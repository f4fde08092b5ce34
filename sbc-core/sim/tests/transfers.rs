//! Transfers in the simulator: who is left talks, whoever asked hears of the end once, and the
//! transferor may leave at any moment.

use crate::common::{clean, ms, secs};
use sbc_core::record::TransferOutcome;
use sbc_sim::actor::{Act, Cancel, Change, Ending, Leave, PartyView, Script, Wanted};
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

/// Two calls of one caller to two users; half a second after the second has its answer, the caller
/// joins them.
fn consultation(seed: u64, leave: Leave) -> Scenario {
    let join = Change::new(ms(1_500), Wanted::Attended(leave));
    Scenario::quiet(seed)
        .call(|n| {
            PlannedCall::between(n, 0, NORTH_1, TEAMS_1).dialing(|dial| {
                dial.hang_up = Some(secs(20));
                dial.changes = vec![join];
            })
        })
        .call(|n| {
            let call = PlannedCall::between(n, 0, NORTH_1, TEAMS_1);
            PlannedCall {
                at: call.at + ms(300),
                ..call
            }
            .dialing(|dial| dial.hang_up = Some(secs(20)))
            .answering(|script| script.hang_up = Some(secs(10)))
        })
}

#[test]
fn the_parties_of_two_calls_are_joined_on_whatever_shards_they_are() {
    for leave in LEAVES {
        for seed in 0..2 {
            let run = clean(&consultation(seed, leave));
            let asker = run.caller(0);
            assert_eq!(asker.change_statuses, [202], "{seed} {leave:?}");
            assert_eq!(
                asker.notified.last(),
                Some(&(true, 200)),
                "{seed} {leave:?}"
            );
            // The second party hangs up on the first, which has nobody else.
            let [joined] = run.callees(0)[..] else {
                panic!("one callee");
            };
            assert_eq!(joined.ending, Some(Ending::WasHungUp), "{seed} {leave:?}");
            let kinds = run.records.iter().flat_map(|record| &record.transfers);
            let done = kinds.filter(|transfer| transfer.outcome == TransferOutcome::Completed);
            assert_eq!(done.count(), 2, "each record tells of it");
        }
    }
}

#[test]
fn a_party_may_leave_while_it_is_handed_over() {
    for after in [1_480, 1_500, 1_520, 1_560, 1_600] {
        for leaver in 0..2 {
            let mut scenario = consultation(4, Leave::After(ms(280)));
            for (_, script) in &mut scenario.calls[leaver].scripts {
                script.hang_up = Some(ms(after));
            }
            clean(&scenario);
        }
    }
}

#[test]
fn joined_calls_survive_a_network_that_loses_and_repeats() {
    let (actor, percent) = (NORTH_1, 20);
    for seed in 0..4 {
        for leave in [LEAVES[2], LEAVES[5]] {
            let scenario = consultation(seed, leave)
                .fault(secs(30), Trouble::Loss { actor, percent })
                .fault(secs(30), Trouble::Duplication { actor, percent });
            clean(&scenario);
        }
    }
}

/// A call between two parties, one of which another phone of the same peer replaces so long after.
fn replacement(seed: u64, by: usize, after: Duration) -> Scenario {
    let pair = [(NORTH_1, TEAMS_1), (TEAMS_1, NORTH_1)];
    let (caller, callee) = pair[by];
    Scenario::quiet(seed)
        .call(|n| {
            PlannedCall::between(n, 0, TEAMS_1, NORTH_1)
                .dialing(|dial| dial.hang_up = Some(secs(20)))
        })
        .call(|n| {
            let call = PlannedCall::between(n, 0, caller, callee);
            PlannedCall {
                at: call.at + after,
                ..call
            }
            .dialing(|dial| {
                dial.replaces = true;
                dial.hang_up = Some(secs(10));
            })
        })
}

#[test]
fn another_phone_takes_a_call_over_from_either_side() {
    for by in 0..2 {
        for seed in 0..2 {
            let run = clean(&replacement(seed, by, secs(3)));
            let [record] = &run.records[..] else {
                panic!("one call, and the newcomer is part of it");
            };
            assert_eq!(record.transfers[0].outcome, TransferOutcome::Completed);
            assert_eq!(run.caller(1).ending, Some(Ending::HungUp));
            let first = run.caller(0).ending;
            let expected = [Some(Ending::WasHungUp), Some(Ending::WasHungUp)];
            assert_eq!(first, expected[by], "{by}");
        }
    }
}

/// A call that rings for a while, and another phone that picks it up so long after it began.
fn pickup(seed: u64, after: Duration) -> Scenario {
    Scenario::quiet(seed)
        .call(|n| {
            PlannedCall::between(n, 0, TEAMS_1, NORTH_1)
                .dialing(|dial| dial.hang_up = Some(secs(20)))
                .answering(|script| {
                    script.acts = vec![(ms(100), ringing()), (secs(6), Act::Answer { fork: 0 })];
                })
        })
        .call(|n| {
            let call = PlannedCall::between(n, 0, NORTH_1, TEAMS_1);
            PlannedCall {
                at: call.at + after,
                ..call
            }
            .dialing(|dial| {
                dial.replaces = true;
                dial.hang_up = Some(secs(10));
            })
        })
}

fn ringing() -> Act {
    Act::Progress {
        status: 180,
        fork: 0,
        sdp: false,
    }
}

#[test]
fn another_phone_picks_up_a_call_that_rings() {
    for seed in 0..4 {
        let run = clean(&pickup(seed, secs(3)));
        let [record] = &run.records[..] else {
            panic!("one call, and the newcomer is part of it");
        };
        assert_eq!(record.transfers[0].outcome, TransferOutcome::Completed);
        assert!(run.caller(0).was_up && run.caller(1).was_up);
        assert!(!run.callee(0).was_up, "its phone is silent again");
        assert_eq!(run.caller(1).ending, Some(Ending::HungUp));
    }
}

#[test]
fn a_pickup_and_the_answer_may_cross_at_any_moment() {
    for seed in 0..3 {
        for after in [
            5_900, 5_960, 5_980, 6_000, 6_020, 6_040, 6_060, 6_080, 6_100, 6_140,
        ] {
            let run = clean(&pickup(seed, ms(after)));
            assert!(run.caller(0).was_up, "whoever was faster, after {after}");
        }
    }
}

#[test]
fn a_newcomer_may_give_up_or_come_at_any_moment() {
    for after in [19_960, 20_000, 20_020, 20_040] {
        clean(&replacement(5, 0, ms(after)));
        clean(&replacement(5, 1, ms(after)));
    }
    for cancel in [1, 19, 39, 41, 60] {
        for by in 0..2 {
            let mut scenario = replacement(6, by, secs(3));
            scenario.calls[1].dial.cancel = Some(Cancel::After(ms(cancel)));
            clean(&scenario);
        }
    }
}
