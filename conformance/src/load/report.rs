//! What is printed: a table for people, or one JSON object.

use super::measure::{Measured, Verdict, per_call_us};
use super::process::machine;
use super::{Options, Over, Pace};
use crate::load::delay::Delays;
use serde_json::{Value, json};
use std::io::{self, Write};

/// What is measured, and the names of the columns.
pub(super) fn heading(options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let subject = match &options.external {
        Some(external) => format!("whatever is at {}", external.to),
        None => "causeway".to_owned(),
    };
    let place = match (&options.external, options.core) {
        (None, Some(core)) => format!(" on core {core}"),
        _ => String::new(),
    };
    let pace = match options.pace {
        Pace::Rate(rate) => format!("{rate} calls/s"),
        Pace::Maximum => "the most calls/s without a failed one".to_owned(),
    };
    writeln!(
        out,
        "{subject}{place}: {pace}, {} s, {}",
        options.time.as_secs_f64(),
        machine()
    )?;
    writeln!(
        out,
        "INVITE 180 200 ACK, {} ms, BYE 200; no media; the answerer's side is UDP\n",
        options.call.as_millis()
    )?;
    writeln!(
        out,
        "{:9} {:>8} {:>8} {:>7} {:>9}   {:>15}   {:>15}   {:>8} {:>9}",
        "caller",
        "calls/s",
        "calls",
        "failed",
        "repeated",
        "set-up ms",
        "added ms",
        "CPU us",
        "generator"
    )?;
    writeln!(
        out,
        "{:9} {:>8} {:>8} {:>7} {:>9}   {:>7} {:>7}   {:>7} {:>7}   {:>8} {:>9}",
        "", "", "", "", "", "p50", "p99", "p50", "p99", "per call", "CPU us"
    )
}

/// One way.
pub(super) fn row(measured: &Measured, out: &mut dyn Write) -> io::Result<()> {
    let (outcome, alone) = (&measured.outcome, &measured.alone);
    let delay = |share| ms(of(&outcome.delays, share));
    let added = |share| ms(added(&outcome.delays, &alone.delays, share));
    writeln!(
        out,
        "{:9} {:>8.0} {:>8} {:>7} {:>9}   {:>7} {:>7}   {:>7} {:>7}   {:>8} {:>9.0}",
        measured.over.name(),
        outcome.offered(),
        outcome.begun,
        outcome.failed(),
        outcome.repeated,
        delay(0.5),
        delay(0.99),
        added(0.5),
        added(0.99),
        measured
            .cpu_per_call_us()
            .map_or("-".to_owned(), |us| format!("{us:.0}")),
        per_call_us(measured.own_cpu, outcome),
    )
}

/// What does not fit into the table.
pub(super) fn notes(all: &[Measured], out: &mut dyn Write) -> io::Result<()> {
    for measured in all {
        let name = measured.over.name();
        for (status, count) in &measured.outcome.refused {
            writeln!(out, "{name}: {count} calls were refused with {status}")?;
        }
        if measured.outcome.lost > 0 {
            writeln!(out, "{name}: {} calls got no answer", measured.outcome.lost)?;
        }
        if Verdict::of(&measured.outcome) == Verdict::NotOffered {
            writeln!(
                out,
                "{name}: the generator fell behind by {} ms; its rate is not the one asked for",
                measured.outcome.behind.as_millis()
            )?;
        }
        if let Some(search) = &measured.search {
            let tried = search
                .tried
                .iter()
                .map(|(rate, verdict)| format!("{rate} {}", said(*verdict)));
            let tried: Vec<String> = tried.collect();
            writeln!(out, "{name}: tried {}", tried.join(", "))?;
        }
        if let Some(memory) = &measured.memory {
            write!(
                out,
                "{name}: {} calls held: {} KiB before, {} KiB then, {:.2} KiB per call",
                memory.calls,
                memory.before_kib,
                memory.held_kib,
                memory.per_call_kib()
            )?;
            if let (Some(beside), Some(usual)) =
                (memory.cpu_per_call_us, measured.cpu_per_call_us())
            {
                write!(
                    out,
                    "; a call beside them {beside:.0} us, {:.2} times as much as without",
                    beside / usual.max(f64::MIN_POSITIVE)
                )?;
            }
            writeln!(out)?;
        }
        if measured.over == Over::TlsEach {
            writeln!(
                out,
                "{name}: every handshake is a full one, TLS 1.3 with P-256 keys on both sides"
            )?;
        }
    }
    Ok(())
}

/// Everything as one object.
pub(super) fn json(options: &Options, all: &[Measured], out: &mut dyn Write) -> io::Result<()> {
    let ways: Vec<Value> = all.iter().map(way).collect();
    let whole = json!({
        "subject": options.external.as_ref().map_or("causeway".to_owned(), |external| external.to.to_string()),
        "machine": machine(),
        "core": options.core,
        "seconds": options.time.as_secs_f64(),
        "call_ms": u64::try_from(options.call.as_millis()).unwrap_or(u64::MAX),
        "ways": ways,
    });
    serde_json::to_writer_pretty(&mut *out, &whole)?;
    writeln!(out)
}

fn way(measured: &Measured) -> Value {
    let (outcome, alone) = (&measured.outcome, &measured.alone);
    let refused = outcome
        .refused
        .iter()
        .map(|(status, count)| (status.to_string(), json!(count)));
    json!({
        "caller": measured.over.name(),
        "rate": measured.rate,
        "offered_per_second": outcome.offered(),
        "calls": outcome.begun,
        "established": outcome.established,
        "ended": outcome.ended,
        "failed": outcome.failed(),
        "unanswered": outcome.lost,
        "refused": refused.collect::<serde_json::Map<_, _>>(),
        "repeated": outcome.repeated,
        "behind_ms": u64::try_from(outcome.behind.as_millis()).unwrap_or(u64::MAX),
        "setup_us": { "p50": of(&outcome.delays, 0.5), "p99": of(&outcome.delays, 0.99) },
        "alone_us": { "p50": of(&alone.delays, 0.5), "p99": of(&alone.delays, 0.99) },
        "added_us": {
            "p50": added(&outcome.delays, &alone.delays, 0.5),
            "p99": added(&outcome.delays, &alone.delays, 0.99),
        },
        "cpu_per_call_us": measured.cpu_per_call_us(),
        "generator_cpu_per_call_us": per_call_us(measured.own_cpu, outcome),
        "memory": measured.memory.as_ref().map(|memory| json!({
            "calls": memory.calls,
            "before_kib": memory.before_kib,
            "held_kib": memory.held_kib,
            "per_call_kib": memory.per_call_kib(),
            "cpu_per_call_us": memory.cpu_per_call_us,
        })),
        "tried": measured.search.as_ref().map(|search| {
            let tried = search.tried.iter();
            tried.map(|(rate, verdict)| json!({ "rate": rate, "verdict": said(*verdict) })).collect::<Vec<_>>()
        }),
    })
}

fn said(verdict: Verdict) -> String {
    match verdict {
        Verdict::Carried => "carried".to_owned(),
        Verdict::Failed(count) => format!("{count} failed"),
        Verdict::Repeated(count) => format!("{count} repeated"),
        Verdict::NotOffered => "not offered".to_owned(),
    }
}

fn of(delays: &Delays, share: f64) -> Option<i64> {
    delays.clone().percentile(share).map(i64::from)
}

/// How much later than without the subject. Below nothing, the difference is noise.
fn added(with: &Delays, without: &Delays, share: f64) -> Option<i64> {
    Some(of(with, share)? - of(without, share)?)
}

fn ms(us: Option<i64>) -> String {
    us.map_or("-".to_owned(), |us| format!("{:.2}", us as f64 / 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_the_difference_of_the_same_percentile() {
        let (mut with, mut without) = (Delays::default(), Delays::default());
        assert_eq!(added(&with, &without, 0.5), None);
        for us in [100, 200, 900] {
            with.add(us);
            without.add(us / 2);
        }
        assert_eq!(added(&with, &without, 0.5), Some(100));
        assert_eq!(added(&with, &without, 1.0), Some(450));
        assert_eq!(
            (ms(Some(1250)), ms(None)),
            ("1.25".to_owned(), "-".to_owned())
        );
    }
}
