//! `cargo run -p sbc-sim -- --seed 42 --ladder` plays one simulated world and tells it;
//! `--seeds 1000000` plays a night of them on all cores and explains those that break a rule.

#![allow(
    clippy::disallowed_methods,
    reason = "a program reads its command line and the time it took"
)]
#![forbid(unsafe_code)]

use sbc_sim::generate::generate;
use sbc_sim::report::{check_repeats, check_seed, play};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const USAGE: &str = "\
usage: sbc-sim [--seed S] [--seeds N] [--shards LIST] [--jobs J] [--twice] [--ladder]

  --seed S       the first seed (0)
  --seeds N      how many seeds, one after the other (1)
  --shards LIST  numbers of shards, each 1 to 32; every seed is played with each of them (1)
  --jobs J       threads (one for each core)
  --twice        play every world twice and compare the traces; a single seed always is
  --ladder       show what happened (for a single seed)";

/// Failures after which the rest is not worth waiting for.
const ENOUGH: usize = 10;
/// Time between two words of how far it is.
const WORD_EVERY: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    match Wanted::read(std::env::args().skip(1)) {
        Ok(wanted) if wanted.count == 1 => one(&wanted),
        Ok(wanted) => many(&wanted),
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Plays one seed and tells of it.
fn one(wanted: &Wanted) -> ExitCode {
    let mut failed = false;
    for &shards in &wanted.shards {
        match check_repeats(wanted.first, shards) {
            Ok(run) => {
                if wanted.has_ladder {
                    let told = play(&generate(wanted.first), shards, true);
                    told.ladder.iter().for_each(|line| println!("{line}"));
                }
                println!(
                    "seed {}, shards {shards}: {} inputs, trace {:016x}",
                    wanted.first, run.inputs, run.hash
                );
            }
            Err(report) => {
                failed = true;
                println!("{report}");
            }
        }
    }
    ExitCode::from(u8::from(failed))
}

/// Plays many seeds on several threads; tells of those that break a rule as they are found.
fn many(wanted: &Wanted) -> ExitCode {
    let check = match wanted.is_twice {
        true => check_repeats,
        false => check_seed,
    };
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let played = AtomicU64::new(0);
    let failed = Mutex::new(0);
    let last_word = Mutex::new(began);
    let work = || {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= wanted.count || *failed.lock().expect("no thread panics with it") >= ENOUGH {
                break;
            }
            for &shards in &wanted.shards {
                let outcome = check(wanted.first.saturating_add(n), shards);
                played.fetch_add(1, Ordering::Relaxed);
                if let Err(report) = outcome {
                    *failed.lock().expect("no thread panics with it") += 1;
                    println!("{report}");
                }
            }
            let mut last_word = last_word.lock().expect("no thread panics with it");
            if last_word.elapsed() >= WORD_EVERY {
                *last_word = Instant::now();
                eprintln!("{} of {} seeds", n + 1, wanted.count);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..wanted.jobs {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().expect("no thread panics with it");
    println!(
        "{} worlds in {} s, {failed} broke a rule{}",
        played.into_inner(),
        began.elapsed().as_secs(),
        match failed >= ENOUGH {
            true => "; the rest was not played",
            false => "",
        }
    );
    ExitCode::from(u8::from(failed > 0))
}

struct Wanted {
    first: u64,
    count: u64,
    shards: Vec<u8>,
    jobs: usize,
    is_twice: bool,
    has_ladder: bool,
}

impl Wanted {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut wanted = Self {
            first: 0,
            count: 1,
            shards: vec![1],
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            is_twice: false,
            has_ladder: false,
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--ladder" => wanted.has_ladder = true,
                "--twice" => wanted.is_twice = true,
                "--seed" => wanted.first = number(&word, words.next(), 0, u64::MAX)?,
                "--seeds" => wanted.count = number(&word, words.next(), 1, u64::MAX)?,
                "--jobs" => wanted.jobs = number(&word, words.next(), 1, 1_024)? as usize,
                "--shards" => {
                    let list = words.next().unwrap_or_default();
                    let all = list.split(',').map(|one| {
                        let one = number(&word, Some(one.to_owned()), 1, 32)?;
                        Ok(one as u8)
                    });
                    wanted.shards = all.collect::<Result<_, String>>()?;
                }
                _ => return Err(format!("{word} is not understood")),
            }
        }
        if wanted.has_ladder && wanted.count > 1 {
            return Err("--ladder tells of a single seed".to_owned());
        }
        Ok(wanted)
    }
}

fn number(of: &str, word: Option<String>, least: u64, most: u64) -> Result<u64, String> {
    let word = word.ok_or_else(|| format!("{of} needs a number"))?;
    let number = word.parse().ok().filter(|n| (least..=most).contains(n));
    number.ok_or_else(|| match most {
        u64::MAX => format!("{of} {word:?}: a number from {least} is wanted"),
        _ => format!("{of} {word:?}: a number from {least} to {most} is wanted"),
    })
}
