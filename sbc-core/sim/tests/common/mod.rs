//! What scenario tests share.

pub(crate) mod planted;

use sbc_sim::report::{failure, play};
use sbc_sim::scenario::Scenario;
use sbc_sim::world::Run;
use std::time::Duration;

/// Plays a scenario with one, two and four shards; every rule must hold. The run with two shards.
pub(crate) fn clean(scenario: &Scenario) -> Run {
    let [_, two, _] = [1, 2, 4].map(|shards| {
        let run = play(scenario, shards, false);
        if let Some(first) = run.violations.first() {
            panic!("{}", failure(scenario, shards, first));
        }
        run
    });
    two
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
