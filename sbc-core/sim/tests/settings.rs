//! Worlds whose operator has configured something otherwise than usual: trunks that ring all at once, and
//! REFER that is passed on. The faults planted into them are found by the rules that are theirs.

use crate::common::planted::{editing, finds};
use crate::common::{clean, ms, secs};
use sbc_core::policy::local_media::Faced;
use sbc_core::record::{Disposition, TransferKind, TransferOutcome};
use sbc_sim::actor::{By, Change, Hold, Leave, Script, Wanted};
use sbc_sim::scenario::{PlannedCall, Scenario, User};
use sbc_sim::topology::{NORTH_1, SOUTH, TEAMS_1};

/// A call that rings at both carriers at once; each answers after so many milliseconds.
fn group(south: u64, north: u64) -> Scenario {
    let mut scenario = Scenario::quiet(1).call(|n| {
        PlannedCall::between(n, 1, TEAMS_1, SOUTH)
            .dialing(|dial| dial.hang_up = Some(secs(5)))
            .answering(|script| *script = Script::answering(n, ms(south)))
            .or_at(NORTH_1, Script::answering(n, ms(north)))
    });
    scenario.setting.rings_at_once = true;
    scenario
}

#[test]
fn of_two_that_ring_at_once_one_has_the_call_however_close_their_answers_are() {
    for (south, north) in [
        (2_000, 9_000),
        (9_000, 2_000),
        (2_000, 2_000),
        (2_000, 2_010),
    ] {
        let run = clean(&group(south, north));
        assert_eq!(run.callees(0).len(), 2, "{south} {north}");
        let record = &run.records[0];
        assert_eq!(record.disposition, Disposition::Answered);
        assert_eq!(record.egress.len(), 2, "both rang");
    }
}

#[test]
fn a_phone_that_rings_on_is_found() {
    let lazy = editing(|text| (!text.starts_with("CANCEL ")).then_some(text));
    finds("group-cancel", &group(2_000, 9_000), lazy);
}

#[test]
fn an_invite_after_the_answer_is_found() {
    // One phone has answered; the other one's INVITE comes again as a new one.
    let mut invite = None;
    finds("group-late", &group(2_000, 9_000), move |effect| {
        let is_invite = |bytes: &[u8]| bytes.starts_with(b"INVITE ");
        let mut all = vec![effect.clone()];
        if let sbc_core::effect::Effect::Send { bytes, .. } = &effect {
            if is_invite(bytes) {
                invite = Some(effect.clone());
            }
            if bytes.starts_with(b"BYE ")
                && let Some(late) = invite.take()
            {
                let again = |text: String| Some(text.replace("branch=z9hG4bK", "branch=z9hG4bKz"));
                all.extend(editing(again)(late));
            }
        }
        all
    });
}

/// A call whose caller asks for a transfer that its other party is to carry out.
fn relayed(seed: u64) -> Scenario {
    let transfer = Change::new(ms(500), Wanted::Transfer(Leave::WhenDone));
    let mut scenario = Scenario::quiet(seed).call(|n| {
        PlannedCall::between(n, 0, TEAMS_1, NORTH_1)
            .dialing(|dial| dial.hang_up = Some(secs(20)))
            .dialing(|dial| dial.changes = vec![transfer])
    });
    scenario.setting.relays_transfers = true;
    scenario
}

/// The first world whose transferee does as it is asked.
fn done() -> Scenario {
    let is_done = |scenario: &Scenario| {
        let run = clean(scenario);
        run.caller(0).notified.last() == Some(&(true, 200))
    };
    let mut worlds = (1..20).map(relayed);
    worlds.find(is_done).expect("a transferee that does it")
}

#[test]
fn whoever_asks_for_a_transfer_hears_what_the_other_party_says_of_it() {
    let run = clean(&done());
    assert_eq!(run.callee(0).referred_to.len(), 1, "once");
    assert_eq!(run.caller(0).change_statuses, [202]);
    let transfer = &run.records[0].transfers[0];
    assert_eq!(
        (transfer.kind, transfer.outcome),
        (TransferKind::Relayed, TransferOutcome::Completed)
    );
}

#[test]
fn transferees_of_every_mind_end_every_call() {
    let mut heard = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let run = clean(&relayed(seed));
        let caller = run.caller(0);
        heard.insert((
            caller.change_statuses.clone(),
            caller.notified.last().copied(),
        ));
    }
    assert!(heard.len() >= 4, "{heard:?}");
}

#[test]
fn a_success_that_nobody_has_told_is_found() {
    let boast = editing(|text| {
        let is_news = text.starts_with("NOTIFY ");
        Some(match is_news {
            true => text.replace("SIP/2.0 100 Trying\r\n", "SIP/2.0 200 Trying\r\n"),
            false => text,
        })
    });
    finds("relay", &done(), boast);
}

#[test]
fn a_refer_that_is_passed_on_twice_is_found() {
    let again = |text: String| Some(text.replace("branch=z9hG4bK", "branch=z9hG4bKz"));
    finds("relay", &done(), move |effect| {
        let mut all = vec![effect.clone()];
        if let sbc_core::effect::Effect::Send { bytes, .. } = &effect
            && bytes.starts_with(b"REFER ")
        {
            all.extend(editing(again)(effect));
        }
        all
    });
}

/// A call to Teams whose media move once it has answered; who hangs up does so at this time.
fn moving(seed: u64, hang_up: std::time::Duration) -> Scenario {
    let mut scenario = Scenario::quiet(seed).call(|n| {
        PlannedCall::between(n, 0, NORTH_1, TEAMS_1).dialing(|dial| dial.hang_up = Some(hang_up))
    });
    scenario.setting.moves_media = true;
    scenario
}

#[test]
fn media_that_move_after_the_answer_are_told_to_teams_alone() {
    let run = clean(&moving(1, secs(5)));
    let record = &run.records[0];
    assert_eq!(record.disposition, Disposition::Answered);
    let moved: Vec<bool> = record
        .local_media
        .iter()
        .map(|own| own.moved.is_some())
        .collect();
    assert_eq!(moved, [false, true]);
}

#[test]
fn a_call_that_ends_while_its_media_move_leaves_nothing_behind() {
    for seed in 1..6 {
        for after in [0, 1, 2, 3, 5, 20, 100] {
            clean(&moving(seed, ms(after)));
        }
    }
}

/// A call between the north and Teams whose media may go past us, for a user who is there.
fn past_us(seed: u64, is_to_teams: bool, user: User, hang_up: std::time::Duration) -> Scenario {
    let (caller, called) = match is_to_teams {
        true => (NORTH_1, TEAMS_1),
        false => (TEAMS_1, NORTH_1),
    };
    let mut scenario = Scenario::quiet(seed).call(|n| {
        PlannedCall::between(n, 0, caller, called).dialing(|dial| dial.hang_up = Some(hang_up))
    });
    scenario.setting.past_us = Some(user);
    scenario
}

const USERS: [User; 4] = [User::InBranch, User::Inside, User::Outside, User::Leaves];

#[test]
fn media_go_past_us_where_teams_says_so_and_nowhere_else() {
    for user in USERS {
        for is_to_teams in [true, false] {
            for seed in 1..4 {
                let run = clean(&past_us(seed, is_to_teams, user, secs(15)));
                let record = &run.records[0];
                assert_eq!(record.disposition, Disposition::Answered);
                let last = record.local_media.last().expect("a decision");
                let is_past = matches!(user, User::InBranch | User::Leaves);
                let wanted = match is_past {
                    true => Faced::Downstream,
                    false => Faced::Us,
                };
                assert_eq!(last.choice.faced, wanted, "{user:?} {is_to_teams}");
            }
        }
    }
}

#[test]
fn changes_within_such_calls_reach_the_other_party_or_bring_media_back() {
    for user in USERS {
        for is_to_teams in [true, false] {
            for is_caller in [true, false] {
                for wanted in [Wanted::Hold(Hold::Inactive), Wanted::Move, Wanted::Nothing] {
                    let mut scenario = past_us(7, is_to_teams, user, secs(30));
                    let change = |after, wanted| Change {
                        after,
                        wanted,
                        by: By::Invite,
                    };
                    let changes = vec![change(secs(2), wanted), change(secs(8), Wanted::Resume)];
                    let call = &mut scenario.calls[0];
                    match is_caller {
                        true => call.dial.changes = changes,
                        false => call.scripts[0].1.changes = changes,
                    }
                    clean(&scenario);
                }
            }
        }
    }
}

#[test]
fn such_calls_end_at_any_moment_and_leave_nothing_behind() {
    for user in USERS {
        for after in [0, 1, 5, 20, 60, 100] {
            clean(&past_us(after, true, user, ms(after)));
            clean(&past_us(after, false, user, ms(after)));
        }
    }
}

#[test]
fn one_party_that_is_told_our_place_while_the_other_is_not_is_found() {
    let wrong = editing(|text| {
        let is_answer = text.starts_with("SIP/2.0 200") && text.contains("c=IN IP4 198.51.100.");
        Some(match is_answer {
            true => text.replace("c=IN IP4 198.51.100.", "c=IN IP4 203.0.113."),
            false => text,
        })
    });
    finds(
        "past-us",
        &past_us(1, false, User::InBranch, secs(15)),
        wrong,
    );
}

#[test]
fn short_forms_of_headers_are_headers() {
    for from_teams in [false, true] {
        let mut scenario = Scenario::quiet(7).call(|n| {
            let hold = Change::new(secs(1), Wanted::Hold(Hold::SendOnly));
            let resume = Change::new(secs(2), Wanted::Resume);
            let transfer = Change::new(secs(4), Wanted::Transfer(Leave::WhenDone));
            let call = match from_teams {
                true => PlannedCall::from_teams(n),
                false => PlannedCall::to_teams(n),
            };
            call.dialing(|dial| {
                dial.hang_up = Some(secs(20));
                dial.requires_reliable = !from_teams;
                if !from_teams {
                    dial.changes = vec![hold, resume];
                }
            })
            .answering(|script| {
                script.is_reliable = from_teams;
                if from_teams {
                    script.changes = vec![hold, resume, transfer];
                }
            })
            .transferred_to(TEAMS_1, Script::answering(n, ms(700)))
        });
        scenario.setting.is_terse = true;
        let run = clean(&scenario);
        assert!(run.caller(0).was_up, "{from_teams}");
        assert_eq!(run.caller(0).ending, Some(sbc_sim::actor::Ending::HungUp));
        let done = run.records[0].transfers.iter().map(|own| own.outcome);
        let expected = from_teams.then_some(TransferOutcome::Completed);
        assert_eq!(done.collect::<Vec<_>>(), Vec::from_iter(expected));
    }
}
