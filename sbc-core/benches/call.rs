//! What one whole call costs the signalling core, in time and memory.
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
    let held = calls.min(1_000);
    let memory = allocation_counter::measure(|| {
        for number in 0..held {
            bench.set_up(warm + calls + number);
        }
        // Until nothing is remembered but the calls.
        bench.pass(Duration::from_secs(200));
    });
    println!(
        "one held call     {:>7} octets of signalling state, mean of {held}",
        memory.bytes_current / i64::try_from(held).unwrap_or(1)
    );
    println!(
        "one call          {:>7.0} ns  (seven messages in, eight out, all timers; mean of {calls})",
        bench.spent.as_nanos() as f64 / calls as f64
    );
}
