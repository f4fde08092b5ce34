//! The text form of OpenMetrics 1.0, for whoever asks for it: that of Prometheus with families of counters named without
//! their ending, an end, and calls beside some of their set-up times (OPS-012).
//!
//! Ends of buckets are written as in the other form (`le="10"`), which the standard allows and would rather have with a
//! point: series would have other names else, and rules and dashboards, which name some, be true of one form only.

use super::SETUP_SECONDS;
use sbc_core::id::{CallId, TrunkName};
use sbc_core::time::UnixTime;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

/// How whoever scrapes says that it reads this form, and how we say that this is it.
pub(crate) const NAME: &str = "application/openmetrics-text";
/// The same with what is needed besides.
pub(crate) const FORM: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The histogram that has calls beside it.
pub(super) const SETUP: &str = "sbc_call_setup_seconds";

/// A call that took so long.
#[derive(Clone, Copy, Debug)]
struct Exemplar {
    call: CallId,
    seconds: f64,
    at: UnixTime,
}

/// Of each bucket; the last is without an end.
type Row = [Option<Exemplar>; SETUP_SECONDS.len() + 1];

/// The last call of each bucket of the set-up times, by trunk and phase.
#[derive(Default, Debug)]
pub(super) struct Exemplars(Mutex<BTreeMap<(TrunkName, &'static str), Row>>);

impl Exemplars {
    /// A call has taken so long.
    pub(super) fn note(
        &self,
        trunk: &TrunkName,
        phase: &'static str,
        seconds: f64,
        (call, at): (CallId, UnixTime),
    ) {
        let bucket = SETUP_SECONDS.iter().position(|end| seconds <= *end);
        let exemplar = Exemplar { call, seconds, at };
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let row = table.entry((trunk.clone(), phase)).or_default();
        if let Some(place) = row.get_mut(bucket.unwrap_or(SETUP_SECONDS.len())) {
            *place = Some(exemplar);
        }
    }

    /// What stands behind the samples of buckets, by all that stands before their values.
    fn beside(&self) -> HashMap<String, String> {
        let table = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let ends = SETUP_SECONDS.iter().map(f64::to_string);
        let ends: Vec<String> = ends.chain(["+Inf".to_owned()]).collect();
        let mut beside = HashMap::new();
        for ((trunk, phase), row) in &table {
            for (end, exemplar) in ends.iter().zip(row) {
                let Some(Exemplar { call, seconds, at }) = exemplar else {
                    continue;
                };
                let series =
                    format!("{SETUP}_bucket{{phase=\"{phase}\",trunk=\"{trunk}\",le=\"{end}\"}}");
                let micros = at.as_micros();
                let at = format!("{}.{:03}", micros / 1_000_000, micros / 1_000 % 1_000);
                beside.insert(series, format!(" # {{call_id=\"{call}\"}} {seconds} {at}"));
            }
        }
        beside
    }
}

/// Writes this form of what is written in that of Prometheus.
pub(super) fn open(text: &str, exemplars: &Exemplars) -> String {
    let beside = exemplars.beside();
    let mut out = String::with_capacity(text.len() + 1_024);
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what @ ("HELP" | "TYPE")), Some(name), rest) => {
                let family = name.strip_suffix("_total").unwrap_or(name);
                let rest = rest.unwrap_or_default();
                let _ = match what {
                    "HELP" => writeln!(out, "# HELP {family} {}", rest.replace('"', "\\\"")),
                    _ => writeln!(out, "# TYPE {family} {rest}"),
                };
            }
            _ => {
                let series = line.rsplit_once(' ').map(|(series, _)| series);
                let exemplar = series.and_then(|series| beside.get(series));
                out.push_str(line);
                out.push_str(exemplar.map_or("", String::as_str));
                out.push('\n');
            }
        }
    }
    out.push_str("# EOF\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::metrics::{Metrics, catalogue};

    #[test]
    fn only_counters_end_as_counters_do_so_that_their_families_are_known_by_name() {
        for metric in catalogue().unwrap() {
            let is_counter = metric.kind == "counter";
            assert_eq!(
                metric.name.ends_with("_total"),
                is_counter,
                "{}",
                metric.name
            );
            for reserved in ["_bucket", "_count", "_sum", "_created", "_info"] {
                // A gauge may end so; nothing that has such samples of its own does.
                let is_own = metric.kind == "histogram" && metric.name.ends_with(reserved);
                assert!(!is_own, "{}", metric.name);
            }
        }
    }

    #[test]
    fn counters_lose_their_ending_samples_stay_and_there_is_an_end() {
        let text = "# HELP a_total Says \"a\".\n# TYPE a_total counter\na_total{of=\"x y\"} 3\n\
                    # HELP b B.\n# TYPE b gauge\nb 1.5\n";
        let wanted = "# HELP a Says \\\"a\\\".\n# TYPE a counter\na_total{of=\"x y\"} 3\n\
                      # HELP b B.\n# TYPE b gauge\nb 1.5\n# EOF\n";
        assert_eq!(open(text, &Exemplars::default()), wanted);
    }

    #[test]
    fn the_last_call_of_a_bucket_stands_beside_it() {
        let exemplars = Exemplars::default();
        let trunk = TrunkName::new("teams");
        let at = |call| (CallId(call), UnixTime::from_micros(1_700_000_000_250_000));
        exemplars.note(&trunk, "answer", 3.5, at(6));
        exemplars.note(&trunk, "answer", 3.25, at(7));
        exemplars.note(&trunk, "answer", 99.0, at(8));
        let bucket = |end: &str| {
            format!(
                "sbc_call_setup_seconds_bucket{{phase=\"answer\",trunk=\"teams\",le=\"{end}\"}} 2"
            )
        };
        let text = [bucket("3"), bucket("4"), bucket("+Inf")].join("\n");
        let opened = open(&text, &exemplars);
        let lines: Vec<&str> = opened.lines().collect();
        let seven = format!(
            "{} # {{call_id=\"{:032x}\"}} 3.25 1700000000.250",
            bucket("4"),
            7
        );
        let eight = format!(
            "{} # {{call_id=\"{:032x}\"}} 99 1700000000.250",
            bucket("+Inf"),
            8
        );
        assert_eq!(lines, [bucket("3").as_str(), &seven, &eight, "# EOF"]);
    }

    #[test]
    fn every_family_of_the_node_is_declared_once_and_before_its_samples() {
        let text = Metrics::new().unwrap().open_text();
        let mut families = std::collections::BTreeSet::new();
        let mut family = String::new();
        for line in text.lines() {
            match line.strip_prefix("# TYPE ") {
                Some(declared) => {
                    family = declared.split(' ').next().unwrap().to_owned();
                    assert!(families.insert(family.clone()), "{family} is there twice");
                }
                None if line.starts_with('#') => {}
                None => assert!(line.starts_with(&family), "{line} is not of {family}"),
            }
        }
        assert!(families.len() > 10 && text.ends_with("\n# EOF\n"));
    }
}
