//! Faults planted into transfers: the checker of NOTIFY finds each.

use crate::common::planted::{editing, finds, rules, tampered};
use crate::common::{ms, secs};
use sbc_sim::actor::{Change, Leave, Script, Wanted};
use sbc_sim::scenario::{PlannedCall, Scenario};
use sbc_sim::topology::{NORTH_1, TEAMS_1};

/// A call that its callee transfers, and that nobody leaves by itself.
fn transfer() -> Scenario {
    let transfer = Change::new(ms(500), Wanted::Transfer(Leave::Never));
    Scenario::quiet(1).call(|n| {
        PlannedCall::between(n, 0, TEAMS_1, NORTH_1)
            .dialing(|dial| dial.hang_up = Some(secs(20)))
            .answering(|script| script.changes = vec![transfer])
            .transferred_to(TEAMS_1, Script::answering(0, ms(700)))
    })
}

fn is_last(text: &str) -> bool {
    text.starts_with("NOTIFY ") && text.contains("terminated;")
}

#[test]
fn nothing_is_found_where_nothing_is_planted() {
    let found = rules(&transfer(), tampered(|effect| vec![effect]));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn an_end_that_is_never_told_is_found() {
    let silent = editing(|text| (!is_last(&text)).then_some(text));
    finds("notify", &transfer(), silent);
}

#[test]
fn an_end_that_is_told_twice_is_found() {
    // The second one is a NOTIFY of its own: branch and number are others.
    let mut twice = editing(|text| {
        let next = text.replace("branch=z9hG4bK", "branch=z9hG4bKz");
        let (head, tail) = next.split_once(" NOTIFY\r\n")?;
        let (head, number) = head.rsplit_once(' ')?;
        let number: u32 = number.parse().ok()?;
        Some(format!("{head} {} NOTIFY\r\n{tail}", number + 1))
    });
    finds("notify", &transfer(), move |effect| {
        let text = match &effect {
            sbc_core::effect::Effect::Send { bytes, .. } => {
                String::from_utf8_lossy(bytes).into_owned()
            }
            _ => String::new(),
        };
        let mut all = vec![effect.clone()];
        if is_last(&text) {
            all.extend(twice(effect));
        }
        all
    });
}

#[test]
fn an_end_that_is_told_after_our_bye_is_found() {
    // What says that it is the last says so no more: the BYE comes before the end.
    let coy = editing(|text| {
        Some(match is_last(&text) {
            true => text.replace("terminated;reason=noresource", "active;expires=60"),
            false => text,
        })
    });
    finds("notify", &transfer(), coy);
}

#[test]
fn news_before_any_202_are_found() {
    let early = editing(|text| {
        let refused = text.starts_with("SIP/2.0 202");
        Some(match refused {
            true => text.replace("SIP/2.0 202 Accepted", "SIP/2.0 603 Decline"),
            false => text,
        })
    });
    finds("notify", &transfer(), early);
}

#[test]
fn news_that_do_not_wait_for_the_answer_to_the_last_are_found() {
    let mut is_told = false;
    finds("notify", &transfer(), move |effect| {
        let text = match &effect {
            sbc_core::effect::Effect::Send { bytes, .. } => {
                String::from_utf8_lossy(bytes).into_owned()
            }
            _ => String::new(),
        };
        let mut all = vec![effect.clone()];
        if text.starts_with("NOTIFY ") && !std::mem::replace(&mut is_told, true) {
            let mut next = editing(|text| {
                let next = text.replace("branch=z9hG4bK", "branch=z9hG4bKz");
                let (head, tail) = next.split_once(" NOTIFY\r\n")?;
                let (head, number) = head.rsplit_once(' ')?;
                let number: u32 = number.parse().ok()?;
                Some(format!("{head} {} NOTIFY\r\n{tail}", number + 7))
            });
            all.extend(next(effect));
        }
        all
    });
}
