//! Transfers and redirections of a carrier to the public network: targets ring, offer, confirm and redirect as called
//! parties do.

use crate::common::{clean, ms, secs};
use sbc_core::record::TransferOutcome;
use sbc_sim::actor::{Act, Change, Codecs, Ending, HABITS, Hold, Leave, Script, Wanted};
use sbc_sim::report::{failure, play};
use sbc_sim::scenario::{PlannedCall, Scenario};
use sbc_sim::topology::{NORTH_1, SOUTH, TEAMS_1};
use sbc_sim::world::Run;

/// A call of Teams to the carrier of one customer, which transfers it half a second after its answer to somebody outside.
fn by_south(call: usize, leave: Leave) -> PlannedCall {
    let transfer = Change::new(ms(500), Wanted::TransferOut(leave));
    PlannedCall::between(call, 1, TEAMS_1, SOUTH)
        .dialing(|dial| dial.hang_up = Some(secs(20)))
        .answering(|script| script.changes = vec![transfer])
}

/// Rings with a description after 300 ms and answers 700 ms later.
fn describing() -> Script {
    let (status, fork, sdp) = (183, 0, true);
    let acts = vec![
        (ms(1), Act::Trying),
        (ms(300), Act::Progress { status, fork, sdp }),
        (ms(1_000), Act::Answer { fork }),
    ];
    Script::acting(0, acts)
}

fn redirecting() -> Script {
    Script::acting(0, vec![(ms(1), Act::Trying), (ms(300), Act::Redirect)])
}

/// The transfer was done, and ended with the caller's goodbye; whoever asked heard so.
fn completed(run: &Run, what: &str) {
    let transfer = &run.records[0].transfers[0];
    assert_eq!(transfer.outcome, TransferOutcome::Completed, "{what}");
    let callees = run.callees(0);
    let mut transferors = callees.iter().filter(|own| !own.notified.is_empty());
    let transferor = transferors.next().expect("a transferor");
    assert_eq!(transferor.change_statuses, [202], "{what}");
    assert_eq!(transferor.notified.last(), Some(&(true, 200)), "{what}");
    assert_eq!(run.caller(0).ending, Some(Ending::HungUp), "{what}");
    let mut targets = callees.iter().filter(|own| own.notified.is_empty());
    let answered = targets.find(|own| own.was_up).expect("a target");
    assert_eq!(answered.ending, Some(Ending::WasHungUp), "{what}");
}

#[test]
fn a_target_outside_may_ring_confirm_and_offer_before_it_answers() {
    let offers = [
        None,
        Some(Wanted::Move),
        Some(Wanted::Hold(Hold::SendOnly)),
        Some(Wanted::Codecs(Codecs::A)),
        Some(Wanted::Nothing),
    ];
    for is_reliable in [false, true] {
        for early_offer in offers
            .into_iter()
            .filter(|own| is_reliable || own.is_none())
        {
            let target = Script {
                is_reliable,
                early_offer,
                ..describing()
            };
            let scenario = Scenario::quiet(51)
                .call(|n| by_south(n, Leave::WhenDone).transferred_to(SOUTH, target));
            let run = clean(&scenario);
            let what = format!("{is_reliable} {early_offer:?}");
            completed(&run, &what);
            let is_prack = |wire: &sbc_sim::wire::Wire| wire.method() == Some("PRACK");
            let is_confirmed = run.sent.iter().any(|(_, _, wire)| is_prack(wire));
            assert_eq!(is_confirmed, is_reliable, "{what}");
        }
    }
}

#[test]
fn the_transferor_may_leave_at_any_moment_of_a_transfer_outside() {
    for leave in [
        Leave::After(ms(0)),
        Leave::After(ms(280)),
        Leave::After(ms(900)),
        Leave::WhenDone,
        Leave::Never,
    ] {
        let target = Script::answering(0, ms(700));
        let scenario =
            Scenario::quiet(52).call(|n| by_south(n, leave).transferred_to(SOUTH, target));
        completed(&clean(&scenario), &format!("{leave:?}"));
    }
}

#[test]
fn a_transferor_may_hold_and_resume_while_nothing_is_heard_of_the_target() {
    let plain = |after, wanted| Change::new(after, wanted);
    let quick = |after, wanted| Change::new(after, wanted).by_update();
    let ways: [fn(std::time::Duration, Wanted) -> Change; 2] = [plain, quick];
    for way in ways {
        for resumes in [false, true] {
            let acts = vec![(ms(1), Act::Trying), (secs(25), Act::Answer { fork: 0 })];
            let target = Script::acting(0, acts);
            let hold = way(secs(2), Wanted::Hold(Hold::SendOnly));
            let resume = resumes.then(|| way(secs(12), Wanted::Resume));
            let scenario = Scenario::quiet(57).call(|n| {
                by_south(n, Leave::WhenDone)
                    .dialing(|dial| dial.hang_up = Some(secs(50)))
                    .answering(|script| {
                        script
                            .changes
                            .extend([Some(hold), resume].into_iter().flatten())
                    })
                    .transferred_to(SOUTH, target)
            });
            let run = clean(&scenario);
            let transfer = &run.records[0].transfers[0];
            let what = format!("{hold:?}, resumes: {resumes}");
            assert_eq!(transfer.outcome, TransferOutcome::Completed, "{what}");
        }
    }
}

#[test]
fn who_was_transferred_away_hears_no_music_of_the_one_before() {
    // The caller holds while the target is called, and resumes while the transferor has not left.
    let target = Script::answering(0, secs(2));
    let scenario = Scenario::quiet(58).call(|n| {
        by_south(n, Leave::Never)
            .dialing(|dial| {
                dial.changes = vec![
                    Change::new(secs(1), Wanted::Hold(Hold::Inactive)),
                    Change::new(secs(4), Wanted::Resume),
                ];
            })
            .transferred_to(SOUTH, target)
    });
    completed(&clean(&scenario), "held by the caller");
}

#[test]
fn a_target_outside_that_is_not_there_is_looked_for_at_the_next_carrier() {
    let scenario = Scenario::quiet(53).call(|n| {
        by_south(n, Leave::WhenDone)
            .transferred_to(SOUTH, Script::refusing(0, 503))
            .transferred_to(NORTH_1, describing())
    });
    completed(&clean(&scenario), "the next carrier");
}

#[test]
fn a_target_outside_that_redirects_is_followed() {
    let scenario = Scenario::quiet(54).call(|n| {
        by_south(n, Leave::WhenDone)
            .transferred_to(SOUTH, redirecting())
            .moved_to(SOUTH, describing())
    });
    completed(&clean(&scenario), "redirected");
}

#[test]
fn a_called_party_that_redirects_is_followed() {
    let scenario = Scenario::quiet(55).call(|n| {
        PlannedCall::between(n, 1, TEAMS_1, SOUTH)
            .answering(|script| *script = redirecting())
            .moved_to(SOUTH, describing())
    });
    let run = clean(&scenario);
    assert!(run.caller(0).was_up);
    assert_eq!(run.caller(0).ending, Some(Ending::HungUp));
}

#[test]
fn peers_with_manners_of_their_own_break_no_rule_and_get_their_call() {
    let plans: [fn(usize) -> PlannedCall; 2] = [PlannedCall::to_teams, PlannedCall::from_teams];
    for plan in plans {
        for habit in HABITS {
            for of_caller in [false, true] {
                let scenario = Scenario::quiet(56).call(|n| {
                    let hold = Change::new(secs(1), Wanted::Hold(Hold::SendOnly));
                    let resume = Change::new(secs(3), Wanted::Resume);
                    plan(n)
                        .dialing(|dial| {
                            dial.hang_up = Some(secs(40));
                            dial.changes = vec![hold, resume];
                            dial.habit = of_caller.then_some(habit);
                        })
                        .answering(|script| {
                            // Around the same moment, so that one of the two may get 491.
                            script.changes = vec![
                                Change {
                                    after: ms(1_020),
                                    ..hold
                                },
                                Change {
                                    after: ms(3_020),
                                    ..resume
                                },
                            ];
                            script.habit = (!of_caller).then_some(habit);
                        })
                });
                let run = play(&scenario, 1, false);
                if let Some(first) = run.violations.first() {
                    panic!("{habit:?} {of_caller}: {}", failure(&scenario, 1, first));
                }
                assert!(run.caller(0).was_up, "{habit:?} {of_caller}");
                let ending = run.caller(0).ending;
                assert_eq!(ending, Some(Ending::HungUp), "{habit:?} {of_caller}");
            }
        }
    }
}
