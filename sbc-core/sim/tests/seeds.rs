//! Random worlds: a hundred and fifty seeds with one, two and four shards each; all of those with one shard
//! twice, and some of the others. The checks play twenty thousand more with the release build.

use sbc_core::event::Happened;
use sbc_sim::generate::generate;
use sbc_sim::report::{check_repeats, check_seed};
use sbc_sim::world::Run;
use std::ops::Range;

fn check(seeds: Range<u64>, shards: u8) {
    check_by(seeds, shards, check_seed);
}

fn check_by(seeds: Range<u64>, shards: u8, play: fn(u64, u8) -> Result<Run, String>) {
    let mut failures = Vec::new();
    let mut count = 0;
    for seed in seeds {
        count += 1;
        if let Err(report) = play(seed, shards) {
            failures.push(report);
            if failures.len() == 3 {
                break;
            }
        }
    }
    assert!(
        failures.is_empty(),
        "of {count} seeds:\n{}",
        failures.join("\n\n")
    );
}

#[test]
fn many_worlds_with_one_shard_break_no_rule_and_play_the_same_twice() {
    check_by(0..150, 1, check_repeats);
}

#[test]
fn many_worlds_with_two_shards_break_no_rule() {
    check(0..150, 2);
}

#[test]
fn many_worlds_with_four_shards_break_no_rule() {
    check(0..150, 4);
}

#[test]
fn with_more_shards_a_seed_played_twice_gives_the_same_bytes_too() {
    for (n, seed) in (0..400).step_by(40).enumerate() {
        let shards = [2, 4][n % 2];
        if let Err(report) = check_repeats(seed, shards) {
            panic!("{report}");
        }
    }
}

#[test]
fn worlds_that_once_broke_a_rule_break_none() {
    // A phone that answers when its trunk was given up; callees whose refusal is lost and whose
    // second, contradicting answer arrives; an INVITE without CSeq that kept a transaction; an offer
    // that no connection took; a refer that was told to be over before it was accepted; an offer in a PRACK
    // while the other side was put on hold; a copy of an INVITE after its transaction; an
    // offer in a PRACK while an announcement is heard.
    for (seed, shards) in [
        (1_000_066, 1),
        (1_004_334, 1),
        (1_004_749, 1),
        (2_000_167, 2),
        (10_001_759, 1),
        (743, 2),
        (2_111, 1),
        (8_000_766, 1),
        (8_000_872, 2),
        (8_002_346, 1),
        (7_001_409, 1),
        (7_000_082, 1),
        (1_143, 1),
    ] {
        // They are other worlds where calls join them.
        assert!(!generate(seed).setting.has_limits, "{seed}");
        check(seed..seed + 1, shards);
    }
}

#[test]
fn some_worlds_have_limits_and_some_calls_of_them_meet_one() {
    let is_limited = |seed: &u64| generate(*seed).setting.has_limits;
    let limited: Vec<u64> = (0..150).filter(is_limited).collect();
    assert!(limited.len() > 8, "{limited:?}");
    let meets = |seed: &&u64| {
        let run = check_seed(**seed, 1).unwrap_or_else(|report| panic!("{report}"));
        let mut facts = run.facts.iter();
        facts.any(|fact| matches!(fact, Happened::LimitReached { .. }))
    };
    let met = limited.iter().take(12).filter(meets).count();
    assert!(met > 3, "{met} of {limited:?}");
}
