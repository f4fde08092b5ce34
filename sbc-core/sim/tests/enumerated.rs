//! Small spaces, complete: forms of hold on both sides in every order, offers and the reactions to
//! them, and changes of both parties around the same moment.

use crate::common::{ms, secs};
use sbc_core::cause::CauseCode;
use sbc_sim::actor::{Act, Change, Codecs, Ending, HOLDS, Hold, PartyView, Reaction, Wanted};
use sbc_sim::report::{failure, play};
use sbc_sim::scenario::{PlannedCall, Scenario};
use sbc_sim::world::Run;
use std::collections::BTreeMap;
use std::time::Duration;

type Plan = fn(usize) -> PlannedCall;

const BOTH_WAYS: [Plan; 2] = [PlannedCall::to_teams, PlannedCall::from_teams];

/// Long enough after the last change for every rule about quiet calls to be judged.
const LENGTH: Duration = secs(60);

/// Plays one call with these changes and reactions of its parties; every rule must hold.
fn played(
    plan: Plan,
    what: &str,
    [caller, callee]: [&[Change]; 2],
    [of_caller, of_callee]: [&[Reaction]; 2],
) -> Run {
    let scenario = Scenario::quiet(31).call(|n| {
        plan(n)
            .dialing(|dial| {
                dial.hang_up = Some(LENGTH);
                dial.changes = caller.to_vec();
                dial.reactions = of_caller.to_vec();
            })
            .answering(|script| {
                script.changes = callee.to_vec();
                script.reactions = of_callee.to_vec();
            })
    });
    let run = play(&scenario, 1, false);
    if let Some(first) = run.violations.first() {
        panic!("{what}: {}", failure(&scenario, 1, first));
    }
    run
}

/// Whether a party wants to talk, and was told last that it can.
fn talks(view: &PartyView) -> bool {
    view.hold.is_none() && view.told.contains("a=sendrecv") && !view.told.contains(" 0.0.0.0")
}

fn hold(at: u64, form: Hold) -> Change {
    Change::new(ms(at), Wanted::Hold(form))
}

fn resume(at: u64) -> Change {
    Change::new(ms(at), Wanted::Resume)
}

#[test]
fn every_hold_of_either_side_in_every_order_ends_with_both_talking() {
    // Each side holds once and resumes once: all six orders of A, B (hold) and a, b (resume).
    let orders = ["AaBb", "ABab", "ABba", "BAab", "BAba", "BbAa"];
    let mut count = 0;
    for plan in BOTH_WAYS {
        for of_a in HOLDS {
            for of_b in HOLDS {
                for order in orders {
                    let at = |letter: char| 1_000 + 2_000 * order.find(letter).unwrap() as u64;
                    let what = format!("{of_a:?} {of_b:?} {order}");
                    let run = played(
                        plan,
                        &what,
                        [
                            &[hold(at('A'), of_a), resume(at('a'))],
                            &[hold(at('B'), of_b), resume(at('b'))],
                        ],
                        [&[], &[]],
                    );
                    let (caller, callee) = (run.caller(0), run.callee(0));
                    assert!(
                        talks(caller) && talks(callee),
                        "{what}: {caller:?} {callee:?}"
                    );
                    assert_eq!(caller.change_statuses, [200, 200], "{what}");
                    assert_eq!(callee.change_statuses, [200, 200], "{what}");
                    count += 1;
                }
            }
        }
    }
    assert_eq!(count, 2 * 4 * 4 * 6);
}

#[test]
fn who_holds_in_one_form_may_go_over_to_another_and_resume() {
    for plan in BOTH_WAYS {
        for first in HOLDS {
            for second in HOLDS {
                let changes = [hold(1_000, first), hold(3_000, second), resume(5_000)];
                let what = format!("{first:?} then {second:?}");
                for sides in [[&changes[..], &[]], [&[], &changes[..]]] {
                    let run = played(plan, &what, sides, [&[], &[]]);
                    assert!(talks(run.caller(0)) && talks(run.callee(0)), "{what}");
                }
            }
        }
    }
}

#[test]
fn both_parties_hold_around_the_same_moment_and_both_are_held_within_ten_seconds() {
    for plan in BOTH_WAYS {
        for step in 0..=40_u64 {
            // The callee's time begins 40 ms before the caller hears of its answer; its offset against
            // the caller is −200 to +200 ms.
            let at = 1_840 + 10 * step;
            for form in [Hold::SendOnly, Hold::Inactive] {
                let what = format!("{form:?} at {at}");
                let sides = [&[hold(2_000, form)][..], &[hold(at, form)][..]];
                let run = played(plan, &what, sides, [&[], &[]]);
                for view in [run.caller(0), run.callee(0)] {
                    assert!(view.hold.is_some(), "{what}: {view:?}");
                    assert!(!view.told.contains("a=sendrecv"), "{what}: {view:?}");
                    assert_eq!(view.change_statuses.last(), Some(&200), "{what}");
                    assert!(view.ending.is_some(), "{what}");
                }
                let answered = run
                    .sent
                    .iter()
                    .filter(|(_, _, wire)| wire.cseq().is_some_and(|(_, m)| m == "INVITE"))
                    .find(|(_, _, wire)| wire.status() == Some(200))
                    .map(|(at, ..)| *at)
                    .unwrap();
                let last = run
                    .sent
                    .iter()
                    .filter(|(_, _, wire)| {
                        wire.cseq()
                            .is_some_and(|(_, m)| matches!(m, "INVITE" | "ACK"))
                    })
                    .map(|(at, ..)| *at)
                    .max()
                    .unwrap();
                assert!(last.since(answered) <= secs(12), "{what}: {last:?}");
            }
        }
    }
}

#[test]
fn every_change_meets_every_reaction_of_the_other_side() {
    let changes = [
        Wanted::Hold(Hold::SendOnly),
        Wanted::Hold(Hold::ZeroInactive),
        Wanted::Move,
        Wanted::Codecs(Codecs::U),
        Wanted::Nothing,
    ];
    let reactions = [
        Reaction::Accept,
        Reaction::Refuse(488),
        Reaction::Refuse(491),
        Reaction::Refuse(408),
        Reaction::Refuse(481),
        Reaction::Busy(2),
        Reaction::Late(secs(3)),
        Reaction::Late(secs(13)),
        Reaction::Silence,
        Reaction::ProgressOnly,
    ];
    for plan in BOTH_WAYS {
        for wanted in changes {
            for reaction in reactions {
                for is_caller in [true, false] {
                    for by_update in [false, true] {
                        let what = format!("{wanted:?} {reaction:?} {is_caller} {by_update}");
                        let from_teams = plan(0).caller < sbc_sim::topology::NORTH_1;
                        if by_update && is_caller == from_teams {
                            // Teams sends no UPDATE.
                            continue;
                        }
                        let change = Change::new(secs(1), wanted);
                        let changes = [if by_update {
                            change.by_update()
                        } else {
                            change
                        }];
                        let (sides, asked) = match is_caller {
                            true => ([&changes[..], &[]], [&[][..], &[reaction][..]]),
                            false => ([&[][..], &changes[..]], [&[reaction][..], &[]]),
                        };
                        let run = played(plan, &what, sides, asked);
                        let changer = if is_caller {
                            run.caller(0)
                        } else {
                            run.callee(0)
                        };
                        assert_eq!(run.records.len(), 1, "{what}");
                        let is_asked = run.sent.iter().any(|(_, _, wire)| {
                            wire.method() == Some("INVITE") && wire.tag("To").is_some()
                        });
                        let is_fatal =
                            matches!(reaction, Reaction::Refuse(408 | 481) | Reaction::Silence);
                        let code = match is_asked && is_fatal {
                            true => CauseCode::InCallFailure,
                            false => CauseCode::NormalClearing,
                        };
                        assert_eq!(run.records[0].cause.code, code, "{what}");
                        if code == CauseCode::NormalClearing {
                            assert!(!changer.change_statuses.is_empty(), "{what}");
                            assert_eq!(run.caller(0).ending, Some(Ending::HungUp), "{what}");
                        }
                        let is_kept = is_asked && wanted == Wanted::Move;
                        assert!(
                            !is_kept,
                            "{what}: a new address is told to nobody (SIP-544)"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_second_change_before_the_first_is_answered_waits_or_is_asked_to_come_again() {
    // Teams is slow with the codec that the carrier asks for; the carrier meanwhile holds.
    let ask = Change::new(secs(1), Wanted::Codecs(Codecs::U));
    let slow = [Reaction::Late(secs(4))];
    for by_update in [false, true] {
        let first = if by_update { ask.by_update() } else { ask };
        let changes = [first, hold(2_000, Hold::SendOnly), resume(9_000)];
        let run = played(
            PlannedCall::to_teams,
            "codec, then hold",
            [&changes, &[]],
            [&[], &slow],
        );
        assert!(talks(run.caller(0)) && talks(run.callee(0)));
        assert_eq!(run.caller(0).change_statuses, [200, 200, 200]);
    }
}

/// One call whose callee makes this progress, between these parties.
struct Shape {
    plan: Plan,
    acts: Vec<(u8, u16, bool)>,
    late_offer: bool,
    requires: bool,
    is_reliable: bool,
    offers_in_prack: bool,
    /// What either party offers by UPDATE before the answer.
    early: [Option<Wanted>; 2],
    lost: u8,
}

impl Shape {
    fn played(&self, what: &str) -> Run {
        let scenario = Scenario::quiet(37).call(|n| {
            (self.plan)(n)
                .dialing(|dial| {
                    dial.late_offer = self.late_offer;
                    dial.requires_reliable = self.requires;
                    dial.offers_in_prack = self.offers_in_prack;
                    dial.lost_provisionals = self.lost;
                    dial.early_offer = self.early[0];
                })
                .answering(|script| {
                    script.is_reliable = self.is_reliable;
                    script.lost_pracks = self.lost;
                    script.early_offer = self.early[1];
                    let answer = script.acts.pop();
                    script.acts.truncate(1);
                    for (at, (fork, status, sdp)) in (0..).zip(&self.acts) {
                        let (fork, status, sdp) = (*fork, *status, *sdp);
                        let act = Act::Progress { status, fork, sdp };
                        script.acts.push((ms(20 + 400 * at), act));
                    }
                    script.acts.extend(answer);
                })
        });
        let run = play(&scenario, 1, false);
        if let Some(first) = run.violations.first() {
            panic!("{what}: {}", failure(&scenario, 1, first));
        }
        run
    }
}

#[test]
fn every_pattern_of_offer_and_answer_with_every_reliability_sets_the_call_up() {
    let progress: [&[(u8, u16, bool)]; 8] = [
        &[],
        &[(0, 180, false)],
        &[(0, 183, true)],
        &[(0, 180, false), (0, 183, true)],
        &[(0, 183, true), (0, 180, false)],
        &[(0, 180, true), (0, 181, false), (0, 183, true)],
        &[(1, 183, true), (0, 183, true)],
        &[(1, 180, false), (0, 183, true), (1, 183, true)],
    ];
    let yes_or_no = [false, true];
    let mut count = 0;
    for plan in BOTH_WAYS {
        let from_teams = plan(0).caller < sbc_sim::topology::NORTH_1;
        for acts in progress {
            for late_offer in yes_or_no {
                for requires in yes_or_no {
                    for is_reliable in yes_or_no {
                        for offers_in_prack in yes_or_no {
                            for lost in [0, 1] {
                                // Teams knows none of it, in either role (TDR-SIP-002).
                                let is_foreign = late_offer || requires || offers_in_prack;
                                let skipped = match from_teams {
                                    true => is_foreign,
                                    false => is_reliable || (offers_in_prack && !requires),
                                };
                                if skipped {
                                    continue;
                                }
                                let what = format!(
                                    "{acts:?} late {late_offer} requires {requires} reliable \
                                     {is_reliable} offers {offers_in_prack} lost {lost}"
                                );
                                let shape = Shape {
                                    plan,
                                    acts: acts.to_vec(),
                                    late_offer,
                                    requires,
                                    is_reliable,
                                    offers_in_prack,
                                    early: [None; 2],
                                    lost,
                                };
                                let run = shape.played(&what);
                                let (caller, callee) = (run.caller(0), run.callee(0));
                                assert!(caller.was_up && callee.was_up, "{what}");
                                let code = run.records[0].cause.code;
                                assert_eq!(code, CauseCode::NormalClearing, "{what}");
                                let pracks = run
                                    .sent
                                    .iter()
                                    .filter(|(_, _, wire)| wire.method() == Some("PRACK"));
                                let numbers: std::collections::BTreeSet<_> = pracks
                                    .map(|(_, _, wire)| wire.branch().to_owned())
                                    .collect();
                                let expected = if is_reliable { acts.len() } else { 0 };
                                assert_eq!(numbers.len(), expected, "{what}");
                                let is_told = run
                                    .sent
                                    .iter()
                                    .any(|(_, _, wire)| wire.get("RSeq").is_some());
                                // Our offer before the answer is reliable or is not made.
                                let described = acts.iter().any(|(_, _, sdp)| *sdp);
                                let has_to = requires && !acts.is_empty();
                                assert_eq!(is_told, has_to || (late_offer && described), "{what}");
                                count += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    assert_eq!(count, 8 * (4 + 12));
}

#[test]
fn every_early_update_with_every_way_to_a_reliable_answer_is_served_and_what_it_says_holds() {
    let progress: [&[(u8, u16, bool)]; 5] = [
        &[(0, 183, true)],
        &[(0, 180, false), (0, 183, true)],
        &[(0, 183, true), (0, 180, false)],
        &[(0, 180, true), (0, 181, false)],
        &[(1, 183, true), (0, 183, true)],
    ];
    let wanted = [
        Wanted::Move,
        Wanted::Codecs(Codecs::A),
        Wanted::Codecs(Codecs::U),
        Wanted::Hold(Hold::SendOnly),
        Wanted::Hold(Hold::Inactive),
        Wanted::Hold(Hold::Zero),
        Wanted::Nothing,
    ];
    let yes_or_no = [false, true];
    let mut count = [0, 0];
    let mut codecs: BTreeMap<_, Vec<u16>> = BTreeMap::new();
    for plan in BOTH_WAYS {
        let from_teams = plan(0).caller < sbc_sim::topology::NORTH_1;
        for acts in progress {
            for late_offer in yes_or_no {
                for offers_in_prack in yes_or_no {
                    for wanted in wanted {
                        for lost in [0, 1] {
                            // Teams knows none of it, in either role: the other side does it.
                            if from_teams && (late_offer || offers_in_prack) {
                                continue;
                            }
                            let what = format!(
                                "{acts:?} late {late_offer} offers {offers_in_prack} early \
                                 {wanted:?} lost {lost}"
                            );
                            let early = match from_teams {
                                true => [None, Some(wanted)],
                                false => [Some(wanted), None],
                            };
                            let shape = Shape {
                                plan,
                                acts: acts.to_vec(),
                                late_offer,
                                requires: !from_teams,
                                is_reliable: from_teams,
                                offers_in_prack,
                                early,
                                lost,
                            };
                            let run = shape.played(&what);
                            let (caller, callee) = (run.caller(0), run.callee(0));
                            assert!(caller.was_up && callee.was_up, "{what}");
                            let code = run.records[0].cause.code;
                            assert_eq!(code, CauseCode::NormalClearing, "{what}");
                            let offerer = if from_teams { callee } else { caller };
                            assert_eq!(offerer.early_statuses.len(), 1, "{what}");
                            let status = offerer.early_statuses[0];
                            match wanted {
                                Wanted::Codecs(_) => {
                                    assert!(matches!(status, 200 | 488), "{what}: {status}");
                                    let shape =
                                        (from_teams, acts, late_offer, offers_in_prack, lost);
                                    codecs.entry(shape).or_default().push(status);
                                }
                                _ => assert_eq!(status, 200, "{what}"),
                            }
                            assert_eq!(offerer.hold.is_some(), is_hold(wanted), "{what}");
                            count[usize::from(status == 200)] += 1;
                        }
                    }
                }
            }
        }
    }
    assert_eq!(count[0] + count[1], 5 * 7 * 2 * (4 + 1));
    // Teams is not asked before its answer, so of two codecs only the one that it has chosen can be had.
    for (shape, mut statuses) in codecs {
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 488], "{shape:?}");
    }
}

fn is_hold(wanted: Wanted) -> bool {
    matches!(wanted, Wanted::Hold(_))
}
