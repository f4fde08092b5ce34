//! One call, one behaviour each: set-up, progress, cancellation and the end.

use crate::common::{clean, ms, secs};
use sbc_core::cause::{CauseCode, EndedBy};
use sbc_core::event::Happened;
use sbc_core::record::Disposition;
use sbc_sim::actor::{Ack, Act, Cancel, Ending, Script};
use sbc_sim::fault::Trouble;
use sbc_sim::scenario::{PlannedCall, Scenario};
use sbc_sim::topology::{NORTH_1, NORTH_2, SOUTH, TEAMS_1, TEAMS_2, TEAMS_3};

type Plan = fn(usize) -> PlannedCall;

const BOTH_WAYS: [Plan; 2] = [PlannedCall::to_teams, PlannedCall::from_teams];

fn progress(status: u16, fork: u8, sdp: bool) -> Act {
    Act::Progress { status, fork, sdp }
}

#[test]
fn a_call_rings_is_answered_and_ends_both_ways() {
    for plan in BOTH_WAYS {
        let run = clean(&Scenario::quiet(1).call(plan));
        let (caller, callee) = (run.caller(0), run.callee(0));
        assert_eq!(caller.final_status, Some(200));
        assert!(caller.provisionals.contains(&100) && caller.provisionals.contains(&180));
        assert!(caller.was_up && callee.was_up);
        assert_eq!(caller.ending, Some(Ending::HungUp));
        assert_eq!(callee.ending, Some(Ending::WasHungUp));
        let record = &run.records[0];
        assert_eq!(record.disposition, Disposition::Answered);
        assert_eq!(
            (record.cause.by, record.cause.code),
            (EndedBy::A, CauseCode::NormalClearing)
        );
        assert!(
            (2_900..3_300).contains(&record.duration_ms),
            "{}",
            record.duration_ms
        );
    }
}

#[test]
fn every_trunk_can_call_and_be_called() {
    for (tenant, caller, callee) in [
        (0, NORTH_2, TEAMS_1),
        (1, NORTH_1, TEAMS_1),
        (1, SOUTH, TEAMS_1),
        (0, TEAMS_3, NORTH_1),
        (1, TEAMS_2, SOUTH),
    ] {
        let run =
            clean(&Scenario::quiet(2).call(|n| PlannedCall::between(n, tenant, caller, callee)));
        assert!(
            run.caller(0).was_up && run.callee(0).was_up,
            "{caller} to {callee}"
        );
    }
}

#[test]
fn an_answer_without_any_ringing_gets_through() {
    for plan in BOTH_WAYS {
        let at_once = vec![(ms(0), Act::Answer { fork: 0 })];
        let run = clean(&Scenario::quiet(3).call(|n| plan(n).answering(|s| s.acts = at_once)));
        assert!(run.caller(0).was_up && run.callee(0).was_up);
    }
}

#[test]
fn early_media_reaches_the_caller_with_the_description_of_the_answer() {
    for plan in BOTH_WAYS {
        let acts = vec![
            (ms(10), progress(183, 0, true)),
            (secs(1), Act::Answer { fork: 0 }),
        ];
        let run = clean(&Scenario::quiet(4).call(|n| plan(n).answering(|s| s.acts = acts)));
        let caller = run.caller(0);
        assert!(caller.provisionals.contains(&183));
        assert_eq!(
            caller.descriptions.len(),
            1,
            "the answer repeats the early one byte for byte"
        );
    }
}

#[test]
fn several_provisionals_of_several_phones_arrive_as_one_dialog() {
    let acts = vec![
        (ms(10), progress(180, 0, false)),
        (ms(30), progress(180, 1, false)),
        (ms(400), progress(183, 2, true)),
        (ms(500), progress(180, 3, false)),
        (secs(2), Act::Answer { fork: 4 }),
    ];
    let run =
        clean(&Scenario::quiet(5).call(|n| PlannedCall::to_teams(n).answering(|s| s.acts = acts)));
    assert!(run.caller(0).was_up && run.callee(0).was_up);
}

#[test]
fn several_phones_are_as_many_early_dialogs_where_a_trunk_wants_to_see_them() {
    let acts = vec![
        (ms(10), progress(180, 0, false)),
        (ms(30), progress(180, 1, false)),
        (ms(400), progress(183, 2, true)),
        (ms(500), progress(199, 1, false)),
        (ms(600), progress(183, 3, true)),
        (secs(2), Act::Answer { fork: 3 }),
    ];
    let run = clean(&Scenario::quiet(5).call(|n| {
        PlannedCall::between(n, 1, SOUTH, TEAMS_1).answering(|script| script.acts = acts)
    }));
    assert!(run.caller(0).was_up && run.callee(0).was_up);
}

#[test]
fn a_caller_may_cancel_at_any_moment() {
    let moments = [
        Cancel::After(ms(0)),
        Cancel::After(ms(50)),
        Cancel::After(ms(300)),
        Cancel::After(secs(1)),
        Cancel::AfterStatus(100, ms(0)),
        Cancel::AfterStatus(180, ms(0)),
        Cancel::AfterStatus(180, ms(500)),
        Cancel::AfterStatus(183, ms(1)),
    ];
    for plan in BOTH_WAYS {
        for moment in moments {
            let acts = vec![
                (ms(1), Act::Trying),
                (ms(20), progress(180, 0, false)),
                (ms(700), progress(183, 0, true)),
                (secs(9), Act::Answer { fork: 0 }),
            ];
            let call = |n| {
                plan(n)
                    .dialing(|d| d.cancel = Some(moment))
                    .answering(|s| s.acts = acts)
            };
            let run = clean(&Scenario::quiet(6).call(call));
            assert_eq!(run.caller(0).final_status, Some(487), "{moment:?}");
            assert!(
                run.callees(0).iter().all(|c| c.final_status == Some(487)),
                "{moment:?}"
            );
            assert_eq!(
                run.records[0].disposition,
                Disposition::Cancelled,
                "{moment:?}"
            );
            assert_eq!(run.records[0].cause.code, CauseCode::CallerCancelled);
        }
    }
}

#[test]
fn a_cancelled_callee_that_sends_nothing_provisional_first_is_cancelled_later() {
    for plan in BOTH_WAYS {
        let acts = vec![(secs(2), progress(180, 0, false))];
        let call = |n| {
            plan(n)
                .dialing(|d| d.cancel = Some(Cancel::After(secs(1))))
                .answering(|s| s.acts = acts)
        };
        let run = clean(&Scenario::quiet(7).call(call));
        assert_eq!(run.caller(0).final_status, Some(487));
        assert_eq!(run.callee(0).final_status, Some(487));
    }
}

#[test]
fn an_answer_that_crosses_cancel_is_acknowledged_and_ended() {
    for plan in BOTH_WAYS {
        let call = |n| {
            plan(n)
                .dialing(|d| d.cancel = Some(Cancel::AfterStatus(180, ms(300))))
                .answering(|s| s.answers_on_cancel = true)
        };
        let run = clean(&Scenario::quiet(8).call(call));
        assert_eq!(run.caller(0).final_status, Some(487));
        let callee = run.callee(0);
        assert_eq!(callee.final_status, Some(200));
        assert!(callee.was_up, "the answer is acknowledged");
        assert_eq!(callee.ending, Some(Ending::WasHungUp));
        assert_eq!(run.records[0].disposition, Disposition::Cancelled);
    }
}

#[test]
fn a_cancel_that_comes_after_our_answer_has_no_effect_but_a_bye_follows() {
    for after in 0..12 {
        let moment = Cancel::AfterStatus(180, ms(1_900 + 15 * after));
        let run = clean(
            &Scenario::quiet(9)
                .call(|n| PlannedCall::from_teams(n).dialing(|d| d.cancel = Some(moment))),
        );
        let (caller, callee) = (run.caller(0), run.callee(0));
        assert!(caller.ending.is_some() && callee.ending.is_some());
        assert!(matches!(caller.final_status, Some(200 | 487)));
    }
}

#[test]
fn either_side_may_hang_up_and_both_at_once() {
    for plan in BOTH_WAYS {
        let run = clean(&Scenario::quiet(10).call(|n| {
            plan(n)
                .dialing(|d| d.hang_up = None)
                .answering(|s| s.hang_up = Some(secs(2)))
        }));
        assert_eq!(run.callee(0).ending, Some(Ending::HungUp));
        assert_eq!(run.caller(0).ending, Some(Ending::WasHungUp));
        assert_eq!(run.records[0].cause.by, EndedBy::B);
        for skew in 0..10 {
            let crossing = |n| {
                plan(n)
                    .dialing(|d| d.hang_up = Some(secs(2)))
                    .answering(|s| s.hang_up = Some(secs(2) + ms(10 * skew)))
            };
            let run = clean(&Scenario::quiet(11).call(crossing));
            assert_eq!(run.records.len(), 1);
            assert!(run.caller(0).ending.is_some() && run.callee(0).ending.is_some());
        }
    }
}

#[test]
fn a_caller_that_hangs_up_the_moment_it_is_answered_ends_both_sides() {
    for plan in BOTH_WAYS {
        let run =
            clean(&Scenario::quiet(12).call(|n| plan(n).dialing(|d| d.hang_up = Some(ms(0)))));
        assert_eq!(run.callee(0).ending, Some(Ending::WasHungUp));
    }
}

#[test]
fn a_caller_that_never_acknowledges_loses_its_call() {
    for plan in BOTH_WAYS {
        let call = |n| plan(n).dialing(|d| (d.ack, d.hang_up) = (Ack::Never, None));
        let run = clean(&Scenario::quiet(13).call(call));
        assert_eq!(run.caller(0).ending, Some(Ending::WasHungUp));
        assert_eq!(run.callee(0).ending, Some(Ending::WasHungUp));
        assert_eq!(run.records[0].cause.code, CauseCode::NoAck);
    }
}

#[test]
fn a_late_acknowledgement_keeps_the_call() {
    for plan in BOTH_WAYS {
        let call =
            |n| plan(n).dialing(|d| (d.ack, d.hang_up) = (Ack::Late(secs(5)), Some(secs(9))));
        let run = clean(&Scenario::quiet(14).call(call));
        assert_eq!(run.caller(0).ending, Some(Ending::HungUp));
        assert_eq!(run.records[0].cause.code, CauseCode::NormalClearing);
    }
}

#[test]
fn the_first_of_two_answers_wins_and_the_second_is_ended() {
    for plan in BOTH_WAYS {
        let acts = vec![
            (ms(20), progress(180, 0, false)),
            (ms(25), progress(180, 1, false)),
            (secs(1), Act::Answer { fork: 0 }),
            (secs(1) + ms(5), Act::Answer { fork: 1 }),
        ];
        let run = clean(&Scenario::quiet(15).call(|n| plan(n).answering(|s| s.acts = acts)));
        assert!(run.caller(0).was_up);
        assert_eq!(run.caller(0).ending, Some(Ending::HungUp));
        let byes = run
            .sent
            .iter()
            .filter(|(_, _, wire)| wire.method() == Some("BYE"));
        let tags: std::collections::BTreeSet<_> = byes
            .filter_map(|(_, _, wire)| wire.tag("To").map(str::to_owned))
            .collect();
        assert_eq!(tags.len(), 2, "both answers get their own BYE");
    }
}

#[test]
fn every_class_of_refusal_reaches_the_caller_as_something_it_may_know() {
    // Teams may try another SBC where the carrier asks for a password (annex B of its requirements).
    let [to_teams, from_teams] = BOTH_WAYS;
    // Busy, unknown and unfit are no 6xx there.
    for (plan, no_password, of_6xx) in [
        (to_teams, 403, [600, 604, 606]),
        (from_teams, 503, [486, 404, 488]),
    ] {
        let [busy, nowhere, unfit] = of_6xx;
        for (theirs, wanted) in [
            (404, 404),
            (410, 410),
            (480, 480),
            (484, 484),
            (486, 486),
            (488, 488),
            (600, busy),
            (603, 603),
            (604, nowhere),
            (606, unfit),
            (401, no_password),
            (407, no_password),
            (487, 480),
        ] {
            let call = |n| plan(n).answering(|s| *s = Script::refusing(n, theirs));
            let run = clean(&Scenario::quiet(16).call(call));
            assert_eq!(run.caller(0).final_status, Some(wanted), "for {theirs}");
            assert_ne!(run.records[0].disposition, Disposition::Answered);
        }
        for theirs in [300, 302, 400, 403, 420, 499, 500, 501, 502, 513, 580, 699] {
            let call = |n| plan(n).answering(|s| *s = Script::refusing(n, theirs));
            let run = clean(&Scenario::quiet(17).call(call));
            let told = run.caller(0).final_status.unwrap_or_default();
            assert!((400..700).contains(&told), "{theirs} became {told}");
        }
    }
}

#[test]
fn the_next_target_is_tried_when_one_is_silent_unreachable_or_busy_with_itself() {
    let answering = |n| Script::answering(n, secs(2));
    for (name, first, fault) in [
        ("silent", Script::acting(0, Vec::new()), None),
        ("503", Script::refusing(0, 503), None),
        (
            "refuses connections",
            Script::answering(0, secs(2)),
            Some(Trouble::Refuse { actor: TEAMS_1 }),
        ),
        (
            "partitioned",
            Script::answering(0, secs(2)),
            Some(Trouble::Partition { actor: TEAMS_1 }),
        ),
    ] {
        let call = |n| {
            PlannedCall::to_teams(n)
                .answering(|s| *s = first.clone())
                .or_at(TEAMS_2, answering(n))
                .or_at(TEAMS_3, answering(n))
        };
        let mut scenario = Scenario::quiet(18).call(call);
        if let Some(fault) = fault {
            scenario = scenario.fault(secs(8), fault);
        }
        let run = clean(&scenario);
        assert_eq!(run.caller(0).final_status, Some(200), "{name}");
        let second = run.callees(0).into_iter().find(|c| c.actor == "teams-2");
        assert!(second.is_some_and(|c| c.was_up), "{name}");
        assert!(
            run.facts
                .iter()
                .any(|fact| matches!(fact, Happened::TargetFailed { .. })),
            "{name}: {:?}",
            run.records[0].egress
        );
    }
}

#[test]
fn the_second_address_of_a_carrier_and_then_the_second_carrier_are_tried() {
    let call = |n| {
        PlannedCall::between(n, 1, TEAMS_1, SOUTH)
            .answering(|s| *s = Script::refusing(n, 503))
            .or_at(NORTH_1, Script::acting(n, Vec::new()))
            .or_at(NORTH_2, Script::answering(n, secs(1)))
    };
    let run = clean(&Scenario::quiet(19).call(call));
    assert_eq!(run.caller(0).final_status, Some(200));
    let reached: Vec<&str> = run.callees(0).iter().map(|c| c.actor.as_str()).collect();
    assert_eq!(reached, ["north-1", "north-2", "south"]);
}

#[test]
fn a_busy_user_is_not_tried_elsewhere() {
    let call = |n| {
        PlannedCall::to_teams(n)
            .answering(|s| *s = Script::refusing(n, 486))
            .or_at(TEAMS_2, Script::answering(n, secs(1)))
    };
    let run = clean(&Scenario::quiet(20).call(call));
    assert_eq!(run.caller(0).final_status, Some(486));
    assert_eq!(run.callees(0).len(), 1);
    assert_eq!(run.records[0].disposition, Disposition::Busy);
}

#[test]
fn when_every_target_fails_the_caller_is_told_and_each_failure_is_reported() {
    let call = |n| {
        PlannedCall::to_teams(n)
            .answering(|s| *s = Script::refusing(n, 503))
            .or_at(TEAMS_2, Script::refusing(n, 503))
            .or_at(TEAMS_3, Script::refusing(n, 503))
    };
    let run = clean(&Scenario::quiet(21).call(call));
    let told = run.caller(0).final_status.unwrap_or_default();
    assert!((500..600).contains(&told), "{told}");
    assert_eq!(run.callees(0).len(), 3);
    let failed = run
        .facts
        .iter()
        .filter(|fact| matches!(fact, Happened::TargetFailed { .. }));
    assert!(failed.count() >= 2);
}

#[test]
fn a_phone_that_rings_for_ever_is_given_up() {
    for plan in BOTH_WAYS {
        let acts = vec![(ms(5), Act::Trying), (ms(20), progress(180, 0, false))];
        let run = clean(&Scenario::quiet(22).call(|n| plan(n).answering(|s| s.acts = acts)));
        assert_eq!(run.callee(0).final_status, Some(487), "it is cancelled");
        assert!(matches!(run.caller(0).final_status, Some(408 | 480 | 504)));
        assert_eq!(run.records[0].disposition, Disposition::NoAnswer);
    }
}

#[test]
fn a_caller_without_offer_gets_ours_and_answers_in_its_ack() {
    let scenario = Scenario::quiet(4).call(|n| {
        PlannedCall::to_teams(n).dialing(|dial| {
            dial.late_offer = true;
        })
    });
    let run = clean(&scenario);
    let caller = run.caller(0);
    assert_eq!(caller.final_status, Some(200));
    assert_eq!(caller.ending, Some(Ending::HungUp));
    assert_eq!(caller.descriptions.len(), 1);
    assert_eq!(run.records[0].disposition, Disposition::Answered);
}

#[test]
fn an_invitation_that_expires_stops_the_ringing() {
    let scenario = Scenario::quiet(4).call(|n| {
        PlannedCall::to_teams(n)
            .dialing(|dial| dial.expires = Some(5))
            .answering(|script| {
                script
                    .acts
                    .retain(|(_, act)| !matches!(act, Act::Answer { .. }))
            })
    });
    let run = clean(&scenario);
    assert_eq!(run.caller(0).final_status, Some(487));
    assert_eq!(run.callee(0).ending, Some(Ending::Refused));
    assert!(run.callee(0).cancelled);
}

#[test]
fn provisionals_that_concern_the_callee_alone_stay_with_it() {
    let scenario = Scenario::quiet(4).call(|n| {
        PlannedCall::to_teams(n).answering(|script| {
            script.acts = vec![
                (ms(10), progress(180, 0, false)),
                (ms(400), progress(199, 1, false)),
                (ms(800), progress(155, 1, false)),
                (secs(2), Act::Answer { fork: 0 }),
            ];
        })
    });
    let run = clean(&scenario);
    assert_eq!(run.caller(0).provisionals, [100, 180, 183]);
}
