//! What a person needs to understand a failing seed.

use crate::check::Violation;
use crate::generate::generate;
use crate::scenario::Scenario;
use crate::shrink::shrink;
use crate::subject::Shards;
use crate::world::{Run, World};
use std::fmt::Write;

/// Plays a scenario against the product.
pub fn play(scenario: &Scenario, shards: u8, keeps_ladder: bool) -> Run {
    let subject = Box::new(Shards::new(scenario.seed, shards, scenario.setting));
    World::new(scenario, subject, keeps_ladder).run()
}

/// Plays a seed; a report if it breaks a rule.
pub fn check_seed(seed: u64, shards: u8) -> Result<Run, String> {
    let scenario = generate(seed);
    let run = play(&scenario, shards, false);
    match run.violations.first() {
        None => Ok(run),
        Some(first) => Err(failure(&scenario, shards, first)),
    }
}

/// Plays a seed twice; a report if it breaks a rule, or if the two runs differ.
pub fn check_repeats(seed: u64, shards: u8) -> Result<Run, String> {
    let run = check_seed(seed, shards)?;
    let again = play(&generate(seed), shards, false).hash;
    if run.hash == again {
        Ok(run)
    } else {
        Err(format!(
            "seed {seed} with {shards} shards: trace {:016x} became {again:016x}",
            run.hash
        ))
    }
}

/// The report of a broken rule: the scenario made small, what happened in it, and how to repeat it.
pub fn failure(scenario: &Scenario, shards: u8, violation: &Violation) -> String {
    let rule = violation.rule;
    let breaks = |run: &Run| run.violations.iter().any(|v| v.rule == rule);
    let small = shrink(scenario, |candidate| {
        breaks(&play(candidate, shards, false))
    });
    let run = play(&small, shards, true);
    let mut text = format!(
        "seed {} with {shards} shards breaks {rule}\n  {violation}\n\
         repeat: cargo run -p sbc-sim -- --seed {} --shards {shards}\n\nsmallest scenario: {small:#?}\n\n",
        scenario.seed, scenario.seed
    );
    for line in run.ladder.iter().filter(|line| !line.trim_end().is_empty()) {
        let _ = writeln!(text, "{line}");
    }
    let _ = writeln!(text);
    for violation in &run.violations {
        let _ = writeln!(text, "violation: {violation}");
    }
    text
}
