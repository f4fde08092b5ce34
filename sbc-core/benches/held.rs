//! What one call that is held costs the signalling core in memory, and one that has ended, as long as repetitions of its
//! messages may come.
//!
//! `cargo bench -p sbc-core --bench held` prints octets. Under `cargo test` it holds a few calls, to keep it
//! working.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark reads its command line"
)]

#[path = "common/call.rs"]
mod call;

use call::{Bench, PER_SECOND};
use std::time::Duration;

fn main() {
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let (warm, held) = match is_measured {
        true => (40 * PER_SECOND, 1_000),
        false => (0, 20),
    };
    let mut bench = Bench::new();
    for number in 0..warm {
        bench.call(number);
    }
    // What these calls left behind goes, so that it is not taken for a gain.
    bench.pass(Duration::from_secs(200));
    let memory = allocation_counter::measure(|| {
        for number in 0..held {
            bench.set_up(warm + number);
        }
        // Until nothing is remembered but the calls.
        bench.pass(Duration::from_secs(200));
    });
    println!(
        "one held call     {:>7} octets of signalling state, mean of {held}",
        memory.bytes_current / i64::try_from(held).unwrap_or(1)
    );
    let memory = allocation_counter::measure(|| {
        // They end within 10 s, and a transaction over UDP is remembered for 32.
        for number in 0..held {
            bench.call(warm + held + number);
        }
    });
    println!(
        "one ended call    {:>7} octets within 32 s of its end, mean of {held}",
        memory.bytes_current / i64::try_from(held).unwrap_or(1)
    );
}
