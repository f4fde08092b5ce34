//! Figures of a running daemon at one moment, read from its metrics, and what has been added between two.

use super::node::{Connection, look, text};
use std::collections::BTreeMap;
use std::time::Instant;

/// Metrics that are kept of a scrape: the others are many, and nobody asks for them here.
const KEPT: [&str; 11] = [
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "sbc_call_attempts_total",
    "sbc_call_results_total",
    "sbc_calls_active",
    "sbc_calls_answered_total",
    "sbc_calls_ended_total",
    "sbc_media_sessions",
    "sbc_rtp_lost_packets",
    "sbc_rtp_packets_total",
];

/// All of them at one moment.
pub(super) struct Counters {
    /// When they were asked for.
    pub(super) at: Instant,
    samples: Vec<Sample>,
}

struct Sample {
    name: &'static str,
    labels: Vec<(String, String)>,
    value: f64,
}

#[cfg(test)]
impl Default for Counters {
    fn default() -> Self {
        Self::of("", Instant::now())
    }
}

impl Counters {
    /// Asks a daemon; the exit code where it cannot be asked.
    pub(super) fn ask(to: &Connection) -> Result<Self, u8> {
        let text = text(to, "/metrics")?;
        Ok(Self::of(&text, Instant::now()))
    }

    /// Asks a daemon that may not be there: nobody is told then.
    pub(super) fn look(to: &Connection) -> Option<Self> {
        let text = look(to, "/metrics")?;
        Some(Self::of(&text, Instant::now()))
    }

    /// Of a scrape in the text form of Prometheus. What cannot be read is left out.
    fn of(text: &str, at: Instant) -> Self {
        let samples = text.lines().filter_map(sample).collect();
        Self { at, samples }
    }

    /// The sum over all series of a metric that have these labels.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.like(name, labels).map(|own| own.value).sum()
    }

    /// The same for each value of one more label.
    pub(super) fn by(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        label: &str,
    ) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for own in self.like(name, labels) {
            *sums.entry(own.label(label).to_owned()).or_default() += own.value;
        }
        sums
    }

    fn like<'c>(
        &'c self,
        name: &'c str,
        labels: &'c [(&str, &str)],
    ) -> impl Iterator<Item = &'c Sample> {
        self.samples.iter().filter(move |own| {
            own.name == name
                && labels
                    .iter()
                    .all(|(label, value)| own.label(label) == *value)
        })
    }
}

impl Sample {
    fn label(&self, label: &str) -> &str {
        let found = self.labels.iter().find(|(name, _)| name == label);
        found.map_or("", |(_, value)| value)
    }
}

/// What has been added from one moment to a later one. A daemon that was started in between has counted anew.
pub(super) struct Between<'c> {
    before: &'c Counters,
    now: &'c Counters,
    is_anew: bool,
}

impl<'c> Between<'c> {
    /// Between two moments.
    pub(super) fn new(before: &'c Counters, now: &'c Counters) -> Self {
        let start = |of: &Counters| of.sum("process_start_time_seconds", &[]);
        let is_anew = start(before) != start(now);
        Self {
            before,
            now,
            is_anew,
        }
    }

    /// Whether another daemon answers now.
    pub(super) fn is_anew(&self) -> bool {
        self.is_anew
    }

    /// Seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.now
            .at
            .saturating_duration_since(self.before.at)
            .as_secs_f64()
    }

    /// What the sum over these series has grown by.
    pub(super) fn grown(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let before = match self.is_anew {
            true => 0.0,
            false => self.before.sum(name, labels),
        };
        self.now.sum(name, labels) - before
    }

    /// The same for each value of one more label; none for those that have not grown.
    pub(super) fn grown_by(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        label: &str,
    ) -> BTreeMap<String, f64> {
        let mut grown = self.now.by(name, labels, label);
        if !self.is_anew {
            for (value, before) in self.before.by(name, labels, label) {
                *grown.entry(value).or_default() -= before;
            }
        }
        grown.retain(|_, by| *by > 0.0);
        grown
    }
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at_checked(end)?;
    let name = *KEPT.iter().find(|kept| **kept == name)?;
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = value.split_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name,
        labels,
        value,
    })
}

/// Labels up to the closing bracket, and what follows.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((labels, behind));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut letters = quoted.char_indices();
        loop {
            match letters.next()? {
                (at, '"') => {
                    rest = quoted.get(at + 1..)?;
                    break;
                }
                (_, '\\') => value.push(match letters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        }
        labels.push((name.to_owned(), value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const ENDED: &str = "sbc_calls_ended_total";

    #[test]
    fn sums_are_over_the_labels_that_are_asked_for() {
        let text = "# HELP sbc_calls_ended_total x{y}\n\
                    sbc_calls_ended_total{cause=\"a\",trunk=\"t1\"} 3\n\
                    sbc_calls_ended_total{cause=\"b\",trunk=\"t\\\"2,}\"} 4\n\
                    sbc_calls_ended_total{cause=\"b\",trunk=\"t1\"} 5 1700000000\n\
                    process_cpu_seconds_total 1.5\nsbc_else{a=\"b\"} 7\nsbc_calls_ended_total{cause=\"\nnoise";
        let of = Counters::of(text, Instant::now());
        assert_eq!(of.samples.len(), 4);
        assert_eq!(of.sum(ENDED, &[]), 12.0);
        assert_eq!(of.sum(ENDED, &[("cause", "b"), ("trunk", "t1")]), 5.0);
        assert_eq!(of.sum(ENDED, &[("trunk", "t\"2,}")]), 4.0);
        assert_eq!(of.sum("process_cpu_seconds_total", &[]), 1.5);
        let by = of.by(ENDED, &[], "cause");
        assert_eq!(
            by.into_iter().collect::<Vec<_>>(),
            [("a".to_owned(), 3.0), ("b".to_owned(), 9.0)]
        );
    }

    #[test]
    fn a_daemon_that_was_started_anew_counts_from_nothing() {
        let at = Instant::now();
        let of = |start: u32, count: u32, after: u64| {
            let text = format!(
                "process_start_time_seconds {start}\nsbc_calls_ended_total{{cause=\"a\"}} {count}\n"
            );
            Counters::of(&text, at + Duration::from_secs(after))
        };
        let (first, second, anew) = (of(1, 10, 0), of(1, 14, 2), of(9, 3, 4));
        let between = Between::new(&first, &second);
        assert!(!between.is_anew());
        assert_eq!((between.grown(ENDED, &[]), between.seconds()), (4.0, 2.0));
        assert_eq!(between.grown_by(ENDED, &[], "cause")["a"], 4.0);
        let between = Between::new(&second, &anew);
        assert!(between.is_anew());
        assert_eq!(between.grown(ENDED, &[]), 3.0);
        let between = Between::new(&first, &first);
        assert!(between.grown_by(ENDED, &[], "cause").is_empty());
    }
}
