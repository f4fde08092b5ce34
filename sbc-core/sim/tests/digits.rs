//! Keys pressed on either side, told in every way, between legs of every way: each reaches the other party
//! once, in order, and in that one's way. The faults planted into them are found.

use crate::common::planted::finds;
use crate::common::{clean, ms, secs};
use media_api::{Command, Digit};
use sbc_core::effect::Effect;
use sbc_core::media::Dtmf;
use sbc_core::time::Timestamp;
use sbc_sim::actor::{Change, Wanted};
use sbc_sim::scenario::{Happening, PlannedCall, Scenario};
use sbc_sim::topology::NORTH_1;

const KEYS: &str = "0123456789*#ABCD";
const WAYS: [Dtmf; 4] = [Dtmf::Rfc4733, Dtmf::Inband, Dtmf::Auto, Dtmf::Info];
/// Teams takes no INFO.
const OF_TEAMS: [Dtmf; 3] = [Dtmf::Rfc4733, Dtmf::Inband, Dtmf::Auto];

/// All keys, told in INFO one by one.
fn by_info(from: u64) -> Vec<Change> {
    let keys = (0u64..).zip(KEYS.chars());
    let press = |(at, key)| Change::new(ms(from + at * 200), Wanted::Press(key));
    keys.map(press).collect()
}

/// A call between Teams and a carrier whose parties press all keys, each in the way of its leg.
fn pressed(is_from_teams: bool, of_teams: Dtmf, of_carrier: Dtmf) -> Scenario {
    let is_by_info = |is_teams: bool| [of_carrier, of_teams][usize::from(is_teams)] == Dtmf::Info;
    let mut scenario = Scenario::quiet(3).call(|call| {
        let plan = match is_from_teams {
            true => PlannedCall::from_teams(call),
            false => PlannedCall::to_teams(call),
        };
        plan.dialing(|dial| {
            dial.hang_up = Some(secs(12));
            if is_by_info(is_from_teams) {
                dial.changes = by_info(500);
            }
        })
        .answering(|script| {
            if is_by_info(!is_from_teams) {
                script.changes = by_info(600);
            }
        })
    });
    scenario.setting.dtmf = Some([of_teams, of_carrier]);
    for (at, key) in (0u64..).zip(KEYS.chars()) {
        let digit = Digit::from_char(key).unwrap();
        for (is_caller, from) in [(true, 5_500), (false, 5_600)] {
            if !is_by_info(is_from_teams == is_caller) {
                let what = Happening::Press(is_caller, digit);
                scenario = scenario.extra(ms(from + at * 200), what);
            }
        }
    }
    scenario
}

#[test]
fn every_key_reaches_the_other_party_once_whatever_the_two_are_told_by() {
    for of_teams in OF_TEAMS {
        for of_carrier in WAYS {
            for is_from_teams in [false, true] {
                let scenario = pressed(is_from_teams, of_teams, of_carrier);
                let run = clean(&scenario);
                assert_eq!(run.records.len(), 1);
                let infos = |is_teams: bool| {
                    let of = |actor: &Option<usize>| {
                        actor.map(|actor| actor < NORTH_1) == Some(is_teams)
                    };
                    let infos = run
                        .sent
                        .iter()
                        .filter(|(_, actor, wire)| wire.method() == Some("INFO") && of(actor));
                    infos.count()
                };
                let wanted = |dtmf: Dtmf| if dtmf == Dtmf::Info { 16 } else { 0 };
                assert_eq!(
                    [infos(true), infos(false)],
                    [wanted(of_teams), wanted(of_carrier)],
                    "{of_teams:?} {of_carrier:?} {is_from_teams}"
                );
            }
        }
    }
}

/// A carrier's party that has agreed events with us, or tones, as the other one has, and presses all keys in
/// INFO; beside it in its media, so many milliseconds later, if it does.
fn in_both(ways: [Dtmf; 2], media_after: Option<u64>) -> Scenario {
    let mut scenario = Scenario::quiet(3).call(|call| {
        PlannedCall::to_teams(call).dialing(|dial| {
            dial.hang_up = Some(secs(12));
            dial.changes = by_info(500);
        })
    });
    scenario.setting.dtmf = Some(ways);
    let begin = crate::common::clean(&scenario)
        .sent
        .iter()
        .find_map(|(at, _, wire)| {
            let is_answer = wire.status() == Some(200) && wire.cseq()?.1 == "INFO";
            is_answer.then_some(*at)
        });
    let begin = begin
        .expect("INFO is answered")
        .since(Timestamp::ZERO)
        .as_millis() as u64;
    if let Some(after) = media_after {
        for (at, key) in (0u64..).zip(KEYS.chars()) {
            let what = Happening::Press(true, Digit::from_char(key).unwrap());
            scenario = scenario.extra(ms(begin + after + at * 200), what);
        }
    }
    scenario
}

const EVENTS: [Dtmf; 2] = [Dtmf::Rfc4733, Dtmf::Auto];
const TONES: [Dtmf; 2] = [Dtmf::Inband, Dtmf::Inband];

#[test]
fn keys_by_info_alone_are_heard_where_both_have_events_and_by_both_once() {
    by_info_alone_and_by_both(EVENTS);
}

#[test]
fn keys_by_info_alone_are_heard_where_both_have_tones_and_by_both_once() {
    by_info_alone_and_by_both(TONES);
}

fn by_info_alone_and_by_both(ways: [Dtmf; 2]) {
    for media_after in [None, Some(0), Some(150), Some(300)] {
        let scenario = in_both(ways, media_after);
        let run = clean(&scenario);
        assert_eq!(run.records.len(), 1);
    }
    let is_dialled = |effect: &Effect| matches!(effect, Effect::Media(Command::Dial { .. }));
    finds("digit-once", &in_both(ways, None), move |effect| {
        let times = if is_dialled(&effect) { 0 } else { 1 };
        vec![effect; times]
    });
}

#[test]
fn a_key_told_twice_and_one_told_never_are_found() {
    let scenario = pressed(false, Dtmf::Rfc4733, Dtmf::Info);
    let is_dialled = |effect: &Effect| matches!(effect, Effect::Media(Command::Dial { .. }));
    finds("digit-once", &scenario, move |effect| {
        let times = if is_dialled(&effect) { 2 } else { 1 };
        vec![effect; times]
    });
    finds("digit-once", &scenario, move |effect| {
        let times = if is_dialled(&effect) { 0 } else { 1 };
        vec![effect; times]
    });
    finds("digit-way", &scenario, |effect| match effect {
        Effect::Media(Command::Dial {
            session,
            endpoint,
            mut dialled,
        }) => {
            dialled.signal = media_api::Signal::Tone;
            vec![Effect::Media(Command::Dial {
                session,
                endpoint,
                dialled,
            })]
        }
        other => vec![other],
    });
}
