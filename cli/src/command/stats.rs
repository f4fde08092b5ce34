//! `causeway stats`: what the node did in each interval, a line each.

use super::counters::{Between, Counters};
use super::exit;
use super::node::{Connection, wait};
use crate::sink::log::wall_clock;
use crate::sink::metrics::key_figures;
use clap::Args;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Lines below which the names of the columns are told again.
const PAGE: u64 = 20;

/// How long and how often.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = key_figures())]
pub struct Stats {
    /// Length of an interval: 1s to 24h, or a number of seconds
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = interval)]
    pub interval: u64,
    /// End after so many lines
    #[arg(long, value_name = "LINES", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// The daemon
    #[command(flatten)]
    pub connection: Connection,
}

fn interval(text: &str) -> Result<u64, String> {
    let is_number = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    match is_number {
        true => wait(&format!("{text}s")),
        false => wait(text),
    }
}

/// Prints a line for each interval until it is stopped, or as many as are wanted.
///
/// # Errors
/// If the output cannot be written, for example because its reader has gone.
pub fn run(arguments: &Stats, out: &mut dyn Write) -> io::Result<u8> {
    let to = &arguments.connection;
    let mut before = match Counters::ask(to) {
        Ok(counters) => counters,
        Err(code) => return Ok(code),
    };
    let interval = Duration::from_secs(arguments.interval);
    let mut due = Instant::now() + interval;
    let mut lines = 0;
    while arguments.count.is_none_or(|most| lines < most) {
        sleep(due.saturating_duration_since(Instant::now()));
        // Who was asleep for longer, as a laptop is, makes up for nothing.
        due = (due + interval).max(Instant::now());
        let now = match Counters::ask(to) {
            Ok(counters) => counters,
            Err(code) => return Ok(code),
        };
        let between = Between::new(&before, &now);
        if between.is_anew() {
            eprintln!("causeway: the daemon was started anew");
        }
        let told = told(&between, &now);
        match to.output.is_table() {
            true => {
                if lines % PAGE == 0 {
                    writeln!(out, "{HEAD}")?;
                }
                writeln!(out, "{}", line(&told))?;
            }
            false => to.output.follow(&told, out)?,
        }
        out.flush()?;
        lines += 1;
        before = now;
    }
    Ok(exit::OK)
}

const HEAD: &str = "TIME      CALLS  TRIED/s  ANSWERED/s  FAILED  MEDIA pkt/s  LOSS %   CPU %  NOT ANSWERED, BY CAUSE";

/// Causes of calls that went well, or were nobody's but the caller's to end.
const FINE: [&str; 2] = ["normal_clearing", "caller_cancelled"];

/// The figures of an interval.
fn told(between: &Between<'_>, now: &Counters) -> Value {
    let seconds = between.seconds().max(f64::MIN_POSITIVE);
    let count = |name: &str, labels: &[(&str, &str)]| between.grown(name, labels).max(0.0);
    let of_callers = [("dir", "in")];
    let mut causes = between.grown_by("sbc_calls_ended_total", &of_callers, "cause");
    causes.retain(|cause, _| !FINE.contains(&cause.as_str()));
    let received = count("sbc_rtp_packets_total", &of_callers);
    let lost = count("sbc_rtp_lost_packets", &[]);
    let share = match received + lost {
        all if all > 0.0 => Some(round(100.0 * lost / all, 2)),
        _ => None,
    };
    let cpu = count("process_cpu_seconds_total", &[]);
    json!({
        "at": wall_clock().rfc3339(),
        "seconds": round(seconds, 1),
        "calls": now.sum("sbc_calls_active", &of_callers) as i64,
        "attempts": count("sbc_call_attempts_total", &of_callers) as u64,
        "attempts_per_second": round(count("sbc_call_attempts_total", &of_callers) / seconds, 1),
        "answered": count("sbc_calls_answered_total", &of_callers) as u64,
        "answered_per_second": round(count("sbc_calls_answered_total", &of_callers) / seconds, 1),
        "failed": count("sbc_call_results_total", &[("dir", "in"), ("result", "failed")]) as u64,
        "causes": causes.into_iter().map(|(cause, by)| (cause, json!(by as u64))).collect::<serde_json::Map<_, _>>(),
        "media_packets": received as u64,
        "media_packets_per_second": round(received / seconds, 0),
        "media_lost": lost as u64,
        "media_loss_percent": share,
        // Of one processor: 200 is two of them.
        "cpu_percent": round(100.0 * cpu / seconds, 1),
    })
}

fn round(value: f64, digits: i32) -> f64 {
    let unit = 10_f64.powi(digits);
    (value * unit).round() / unit
}

fn line(told: &Value) -> String {
    let number = |name: &str| told[name].as_f64().unwrap_or_default();
    let time = told["at"].as_str().and_then(|at| at.get(11..19));
    let mut causes: Vec<(&String, u64)> = told["causes"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(cause, by)| (cause, by.as_u64().unwrap_or_default()))
        .collect();
    causes.sort_by_key(|(_, by)| std::cmp::Reverse(*by));
    let causes: Vec<String> = causes
        .iter()
        .map(|(cause, by)| format!("{cause} {by}"))
        .collect();
    let loss = match told["media_loss_percent"].as_f64() {
        Some(loss) => format!("{loss:.2}"),
        None => "-".to_owned(),
    };
    let line = format!(
        "{:8}  {:5}  {:7.1}  {:10.1}  {:6}  {:11.0}  {:>6}  {:6.1}  {}",
        time.unwrap_or("-"),
        number("calls"),
        number("attempts_per_second"),
        number("answered_per_second"),
        number("failed"),
        number("media_packets_per_second"),
        loss,
        number("cpu_percent"),
        causes.join(", ")
    );
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_may_be_a_bare_number_of_seconds() {
        assert_eq!(interval("10"), Ok(10));
        assert_eq!(interval("5m"), Ok(300));
        assert!(interval("0").is_err() && interval("").is_err() && interval("-1").is_err());
    }

    #[test]
    fn columns_stand_below_their_names_and_the_most_frequent_cause_comes_first() {
        let told = json!({
            "at": "2026-08-01T10:00:59.000Z", "calls": 12, "attempts_per_second": 3.25, "answered_per_second": 2.0,
            "failed": 4, "media_packets_per_second": 1200.0, "media_loss_percent": 0.5, "cpu_percent": 12.5,
            "causes": { "no_route": 1, "peer_rejected": 3 },
        });
        let line = line(&told);
        assert_eq!(
            line,
            "10:00:59     12      3.2         2.0       4         1200    0.50    12.5  peer_rejected 3, no_route 1"
        );
        let ends = |text: &str, column: &str| text.find(column).map(|at| at + column.len());
        for (name, value) in [
            ("CALLS", "   12"),
            ("TRIED/s", "3.2"),
            ("FAILED", "4  "),
            ("CPU %", "12.5"),
        ] {
            let end = ends(HEAD, name).unwrap();
            assert_eq!(ends(&line, value.trim_end()).unwrap(), end, "{name}");
        }
    }
}
