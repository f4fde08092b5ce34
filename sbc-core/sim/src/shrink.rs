//! Makes a failing scenario smaller while it still fails.

use crate::scenario::Scenario;

/// The smallest scenario found in which `fails` still holds: faults, extras, calls and their
/// decorations are taken away one by one until nothing more can go.
pub fn shrink(scenario: &Scenario, mut fails: impl FnMut(&Scenario) -> bool) -> Scenario {
    let mut smallest = scenario.clone();
    loop {
        let smaller = candidates(&smallest)
            .into_iter()
            .find(|candidate| fails(candidate));
        match smaller {
            Some(smaller) => smallest = smaller,
            None => return smallest,
        }
    }
}

/// Every scenario that is one thing smaller.
fn candidates(scenario: &Scenario) -> Vec<Scenario> {
    let mut found = Vec::new();
    let mut offer = |change: &mut dyn FnMut(&mut Scenario)| {
        let mut smaller = scenario.clone();
        change(&mut smaller);
        if smaller != *scenario {
            found.push(smaller);
        }
    };
    for n in 0..scenario.faults.len() {
        offer(&mut |s| {
            s.faults.remove(n);
        });
    }
    for n in 0..scenario.extras.len() {
        offer(&mut |s| {
            s.extras.remove(n);
        });
    }
    for n in 0..scenario.calls.len() {
        offer(&mut |s| {
            s.calls.remove(n);
        });
    }
    for n in 0..scenario.calls.len() {
        offer(&mut |s| s.calls[n].dial.cancel = None);
        for change in 0..scenario.calls[n].dial.changes.len() {
            offer(&mut |s| {
                s.calls[n].dial.changes.remove(change);
            });
        }
        offer(&mut |s| s.calls[n].dial.reactions.clear());
        offer(&mut |s| s.calls[n].dial.oddity = None);
        offer(&mut |s| s.calls[n].dial.early_offer = None);
        offer(&mut |s| s.calls[n].dial.ack = crate::actor::Ack::Prompt);
        offer(&mut |s| s.calls[n].dial.lost_acks = 0);
        offer(&mut |s| s.calls[n].dial.habit = None);
        offer(&mut |s| s.calls[n].targets.clear());
        offer(&mut |s| s.calls[n].moved.clear());
        offer(&mut |s| s.calls[n].dial.max_forwards = Some(70));
        for m in 0..scenario.calls[n].scripts.len() {
            offer(&mut |s| s.calls[n].scripts[m].1.hang_up = None);
            for change in 0..scenario.calls[n].scripts[m].1.changes.len() {
                offer(&mut |s| {
                    s.calls[n].scripts[m].1.changes.remove(change);
                });
            }
            offer(&mut |s| s.calls[n].scripts[m].1.reactions.clear());
            offer(&mut |s| s.calls[n].scripts[m].1.oddity = None);
            offer(&mut |s| s.calls[n].scripts[m].1.habit = None);
            offer(&mut |s| s.calls[n].scripts[m].1.early_offer = None);
            offer(&mut |s| s.calls[n].scripts[m].1.answers_on_cancel = false);
            offer(&mut |s| {
                s.calls[n].scripts.remove(m);
            });
            for act in 0..scenario.calls[n].scripts[m].1.acts.len() {
                offer(&mut |s| {
                    s.calls[n].scripts[m].1.acts.remove(act);
                });
            }
        }
    }
    offer(&mut |s| s.setting.rings_at_once = false);
    offer(&mut |s| s.setting.relays_transfers = false);
    offer(&mut |s| s.setting.registers = false);
    offer(&mut |s| s.setting.plays_sounds = false);
    offer(&mut |s| s.setting.is_terse = false);
    offer(&mut |s| s.setting.moves_media = false);
    offer(&mut |s| s.setting.past_us = None);
    offer(&mut |s| s.jitter = std::time::Duration::ZERO);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::generate;

    #[test]
    fn what_does_not_matter_is_taken_away_and_what_matters_stays() {
        let big = (0..)
            .map(generate)
            .find(|s| s.calls.len() > 3 && s.faults.len() > 1)
            .unwrap();
        let wanted = big.calls[2].dial.to.clone();
        let small = shrink(&big, |s| s.calls.iter().any(|call| call.dial.to == wanted));
        assert_eq!(small.calls.len(), 1);
        assert!(small.faults.is_empty() && small.extras.is_empty());
        assert!(small.calls[0].scripts.is_empty());
    }
}
