//! What one whole call costs the signalling core in time.
//!
//! `cargo bench -p sbc-core --bench call` prints nanoseconds. Under `cargo test` it plays a few calls,
//! to keep it working. Under callgrind, `--toggle-collect='*signalling_work*'` counts what is measured
//! here: reading the seven messages that arrive, applying them and the timers, writing what is sent.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark takes the time and reads its command line"
)]

#[path = "common/call.rs"]
mod call;

use call::{Bench, PER_SECOND};
use std::time::Duration;

/// The one of the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let calls = std::env::var("CALLS")
        .ok()
        .and_then(|calls| calls.parse().ok());
    let (warm, calls) = match (is_measured, calls) {
        (_, Some(calls)) => (0, calls),
        (true, None) => (40 * PER_SECOND, 20_000),
        (false, None) => (0, 20),
    };
    let mut bench = Bench::new();
    for number in 0..warm {
        bench.call(number);
    }
    bench.spent = Duration::ZERO;
    for number in 0..calls {
        bench.call(warm + number);
    }
    if is_measured {
        beside_held_calls();
    }
    println!(
        "one call          {:>7.0} ns  (seven messages in, eight out, all timers; mean of {calls})",
        bench.spent.as_nanos() as f64 / calls as f64
    );
}

/// What a call costs beside many that are held, against beside few.
fn beside_held_calls() {
    const ROUNDS: u64 = 5;
    const CALLS: u64 = 2_000;
    let mut bench = Bench::new();
    let mut number = 0;
    let mut cheapest = [1_000, 100_000].map(|held| {
        while number < held {
            bench.set_up(number);
            number += 1;
        }
        // The machine is not ours alone: the cheapest of several rounds says most.
        let rounds = (0..ROUNDS).map(|round| {
            bench.spent = Duration::ZERO;
            for call in 0..CALLS {
                bench.call(200_000 + held + round * CALLS + call);
            }
            bench.spent.as_nanos() as f64 / CALLS as f64
        });
        rounds.fold(f64::INFINITY, f64::min)
    });
    cheapest.iter_mut().for_each(|cost| *cost = cost.round());
    let [few, many] = cheapest;
    println!(
        "beside 100,000    {many:>7} ns, beside 1,000 {few} ns: ratio {:.2}",
        many / few
    );
}
