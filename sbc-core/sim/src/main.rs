//! `cargo run -p sbc-sim -- --seed 42 [--shards 2] [--seeds N]`: plays seeds and explains failures.

#![allow(
    clippy::disallowed_methods,
    reason = "a program reads its command line"
)]
#![forbid(unsafe_code)]

use sbc_sim::generate::generate;
use sbc_sim::report::{check_repeats, play};
use std::process::ExitCode;

const USAGE: &str = "usage: sbc-sim --seed S [--shards 1..32] [--seeds N] [--ladder]";

fn main() -> ExitCode {
    let wanted = match Wanted::read(std::env::args().skip(1)) {
        Ok(wanted) => wanted,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut failed = 0;
    for seed in wanted.first..wanted.first.saturating_add(wanted.count) {
        match check_repeats(seed, wanted.shards) {
            Ok(run) if wanted.count == 1 => {
                if wanted.ladder {
                    let told = play(&generate(seed), wanted.shards, true);
                    told.ladder.iter().for_each(|line| println!("{line}"));
                }
                println!(
                    "seed {seed}: {} inputs, trace {:016x}",
                    run.inputs, run.hash
                );
            }
            Ok(_) => {}
            Err(report) => {
                failed += 1;
                println!("{report}");
            }
        }
    }
    println!("{} seeds, {failed} failed", wanted.count);
    ExitCode::from(u8::from(failed > 0))
}

struct Wanted {
    first: u64,
    count: u64,
    shards: u8,
    ladder: bool,
}

impl Wanted {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut wanted = Self {
            first: 0,
            count: 1,
            shards: 1,
            ladder: false,
        };
        while let Some(word) = words.next() {
            if word == "--ladder" {
                wanted.ladder = true;
                continue;
            }
            let value = words
                .next()
                .ok_or_else(|| format!("{word} needs a number"))?;
            let number: u64 = value
                .parse()
                .map_err(|_| format!("{value:?} is no number"))?;
            match word.as_str() {
                "--seed" => wanted.first = number,
                "--seeds" => wanted.count = number,
                "--shards" if (1..=32).contains(&number) => wanted.shards = number as u8,
                _ => return Err(format!("{word} {value} is not understood")),
            }
        }
        Ok(wanted)
    }
}
