//! Worlds whose parties hear something of the SBC while they wait, and the faults that the rules about that
//! find.

use crate::common::planted::finds;
use crate::common::{clean, ms, secs};
use media_api::{Command, Playing, Sound};
use sbc_core::effect::Effect;
use sbc_sim::actor::{Change, Hold, Leave, Script, Wanted};
use sbc_sim::scenario::{PlannedCall, Scenario};
use sbc_sim::topology::{NORTH_1, TEAMS_1};

/// A call with sounds.
fn heard(plan: impl FnOnce(usize) -> PlannedCall) -> Scenario {
    let mut scenario = Scenario::quiet(1).call(plan);
    scenario.setting.plays_sounds = true;
    scenario
}

/// A carrier's call to Teams, which rings for a while.
fn ringing() -> Scenario {
    heard(|n| {
        PlannedCall::between(n, 0, NORTH_1, TEAMS_1)
            .dialing(|dial| dial.hang_up = Some(secs(5)))
            .answering(|script| *script = Script::answering(n, secs(4)))
    })
}

/// Teams has called the carrier and does this.
fn teams_does(changes: Vec<Change>) -> Scenario {
    heard(|n| {
        PlannedCall::between(n, 0, TEAMS_1, NORTH_1)
            .dialing(|dial| dial.hang_up = Some(secs(12)))
            .dialing(|dial| dial.changes = changes)
    })
}

fn held() -> Scenario {
    teams_does(vec![
        Change::new(secs(1), Wanted::Hold(Hold::Inactive)),
        Change::new(secs(4), Wanted::Resume),
    ])
}

fn ends(effect: &Effect) -> bool {
    matches!(effect, Effect::Media(Command::Play { playing: None, .. }))
}

/// Nothing that is played is ended.
fn endless(effect: Effect) -> Vec<Effect> {
    match ends(&effect) {
        true => Vec::new(),
        false => vec![effect],
    }
}

#[test]
fn whoever_waits_hears_something_and_everything_ends() {
    for scenario in [ringing(), held()] {
        clean(&scenario);
    }
    for leave in [Leave::After(ms(280)), Leave::WhenDone] {
        clean(&teams_does(vec![Change::new(
            secs(1),
            Wanted::Transfer(leave),
        )]));
    }
}

#[test]
fn a_refusal_that_is_announced_comes_all_the_same() {
    let refused = |status: u16| {
        heard(|n| {
            PlannedCall::between(n, 0, NORTH_1, TEAMS_1)
                .answering(|script| *script = Script::refusing(n, status))
        })
    };
    for status in [404, 486] {
        let run = clean(&refused(status));
        assert_eq!(run.records[0].cause.status, Some(status));
    }
}

#[test]
fn ringing_after_the_answer_is_found() {
    finds("sound-late", &ringing(), endless);
}

#[test]
fn music_after_the_hold_is_found() {
    finds("sound-late", &held(), endless);
}

#[test]
fn music_after_the_call_is_found() {
    let held = teams_does(vec![Change::new(secs(1), Wanted::Hold(Hold::Inactive))]);
    finds("sound-late", &held, endless);
}

#[test]
fn music_for_a_transferred_party_that_goes_on_is_found() {
    let transfer = Change::new(secs(1), Wanted::Transfer(Leave::WhenDone));
    finds("sound-late", &teams_does(vec![transfer]), endless);
}

#[test]
fn what_is_begun_anew_is_found() {
    finds("sound-twice", &held(), |effect| match &effect {
        Effect::Media(Command::Play {
            playing:
                Some(Playing {
                    sound: Sound::Recording(_),
                    ..
                }),
            ..
        }) => vec![effect.clone(), effect],
        _ => vec![effect],
    });
}

#[test]
fn what_is_played_before_anything_is_agreed_is_found() {
    let is_agreed = |effect: &Effect| matches!(effect, Effect::Media(Command::Answer { endpoint, .. }) if endpoint.0 == 0);
    finds("sound-early", &ringing(), move |effect| {
        match is_agreed(&effect) {
            true => Vec::new(),
            false => vec![effect],
        }
    });
}
