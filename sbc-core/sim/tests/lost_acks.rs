//! ACKs of a caller that get lost, and what it changes before the next one arrives: every number of them, both ways.

use crate::common::{ms, secs};
use sbc_core::cause::CauseCode;
use sbc_sim::actor::{Change, Ending, Hold, PartyView, Wanted};
use sbc_sim::report::{failure, play};
use sbc_sim::scenario::{PlannedCall, Scenario};

/// Whether a party wants to talk, and was told last that it can.
fn talks(view: &PartyView) -> bool {
    view.hold.is_none() && view.told.contains("a=sendrecv") && !view.told.contains(" 0.0.0.0")
}

#[test]
fn whoever_changes_something_before_its_ack_has_come_is_answered() {
    let changes = [
        Wanted::Hold(Hold::SendOnly),
        Wanted::Hold(Hold::ZeroInactive),
        Wanted::Resume,
        Wanted::Move,
        Wanted::Nothing,
    ];
    let plans: [fn(usize) -> PlannedCall; 2] = [PlannedCall::to_teams, PlannedCall::from_teams];
    let mut crossed = 0;
    for plan in plans {
        for lost_acks in 1..=3 {
            for wanted in changes {
                for at in [1, 300, 700, 2_500] {
                    let scenario = Scenario::quiet(41).call(|n| {
                        plan(n).dialing(|dial| {
                            dial.hang_up = Some(secs(60));
                            dial.lost_acks = lost_acks;
                            dial.changes = vec![
                                Change::new(ms(at), wanted),
                                Change::new(ms(at + 150), Wanted::Resume),
                            ];
                        })
                    });
                    let what = format!("{lost_acks} {wanted:?} at {at}");
                    let run = play(&scenario, 1, false);
                    if let Some(first) = run.violations.first() {
                        panic!("{what}: {}", failure(&scenario, 1, first));
                    }
                    let (caller, callee) = (run.caller(0), run.callee(0));
                    let statuses = &caller.change_statuses;
                    let served = statuses.iter().filter(|status| **status == 200).count();
                    assert_eq!(served, 2, "{what}: {statuses:?}");
                    // Only an offer of ours, whose answer was lost with its ACK, is in the way (RFC 5407 §3.1.5).
                    let refused = statuses.iter().filter(|status| **status == 491).count();
                    assert_eq!(served + refused, statuses.len(), "{what}: {statuses:?}");
                    assert!(
                        refused == 0 || wanted == Wanted::Nothing,
                        "{what}: {statuses:?}"
                    );
                    crossed += usize::from(refused > 0);
                    assert!(
                        talks(caller) && talks(callee),
                        "{what}: {caller:?} {callee:?}"
                    );
                    assert_eq!(caller.ending, Some(Ending::HungUp), "{what}");
                    assert_eq!(
                        run.records[0].cause.code,
                        CauseCode::NormalClearing,
                        "{what}"
                    );
                }
            }
        }
    }
    assert!(crossed > 0, "the ACK of an offerless re-INVITE was lost");
}

#[test]
fn whoever_hangs_up_before_the_ack_has_come_ends_both_sides() {
    let plans: [fn(usize) -> PlannedCall; 2] = [PlannedCall::to_teams, PlannedCall::from_teams];
    for plan in plans {
        for lost_acks in 1..=3 {
            for at in [1, 300, 700, 2_500] {
                for by_caller in [true, false] {
                    let scenario = Scenario::quiet(42).call(|n| {
                        plan(n)
                            .dialing(|dial| {
                                dial.lost_acks = lost_acks;
                                dial.hang_up = Some(if by_caller { ms(at) } else { secs(60) });
                            })
                            .answering(|script| {
                                script.hang_up = (!by_caller).then_some(ms(at));
                            })
                    });
                    let what = format!("{lost_acks} at {at} by the caller: {by_caller}");
                    let run = play(&scenario, 1, false);
                    if let Some(first) = run.violations.first() {
                        panic!("{what}: {}", failure(&scenario, 1, first));
                    }
                    let endings = [run.caller(0).ending, run.callee(0).ending];
                    let expected = match by_caller {
                        true => [Some(Ending::HungUp), Some(Ending::WasHungUp)],
                        false => [Some(Ending::WasHungUp), Some(Ending::HungUp)],
                    };
                    assert_eq!(endings, expected, "{what}");
                    let code = run.records[0].cause.code;
                    assert_eq!(code, CauseCode::NormalClearing, "{what}");
                }
            }
        }
    }
}
