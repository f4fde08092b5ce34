//! The figures by which Microsoft and carriers judge a trunk: NER, ASR, ACD and PDD, of the last hour and
//! since the start (TDR-MON-001, TDR-MON-003).
//!
//! | figure | is |
//! |---|---|
//! | NER | 100 × (answered + busy + no answer + rejected) / all; with carriers also wrong numbers |
//! | ASR | 100 × answered / all |
//! | ACD | average time from answer to end of answered calls |
//! | PDD | average time from INVITE to the first 101-199, or to the answer |
//!
//! Whether calls that their callers gave up belong to all is not documented: both are given. The hour is
//! counted in parts of five minutes, so that it is up to one part longer.

use super::delivery::Outcome;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts};
use sbc_core::id::TrunkName;
use sbc_core::time::UnixTime;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A part of the hour.
const PART: Duration = Duration::from_secs(5 * 60);
/// Parts of it.
const PARTS: u64 = 12;

/// Which way calls went, seen from the trunk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Way {
    /// From its peer.
    In,
    /// To its peer.
    Out,
}

impl Way {
    /// The stable label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// What became of calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sum {
    /// Somebody answered.
    pub answered: u64,
    /// Somebody was busy, let it ring, or declined: the network has done its part.
    pub delivered: u64,
    /// The caller gave up.
    pub cancelled: u64,
    /// Anything else.
    pub failed: u64,
    talked_ms: u64,
    delayed: u64,
    delay_ms: u64,
}

impl Sum {
    /// All calls.
    pub const fn calls(&self) -> u64 {
        self.answered + self.delivered + self.cancelled + self.failed
    }

    /// NER in percent; nothing without calls.
    pub fn ner(&self) -> Option<f64> {
        share(self.answered + self.delivered, self.calls())
    }

    /// NER in percent, if calls that were given up do not count.
    pub fn ner_without_cancelled(&self) -> Option<f64> {
        let all = self.calls() - self.cancelled;
        share(self.answered + self.delivered, all)
    }

    /// ASR in percent.
    pub fn asr(&self) -> Option<f64> {
        share(self.answered, self.calls())
    }

    /// ACD in seconds.
    pub fn acd(&self) -> Option<f64> {
        average(self.talked_ms, self.answered)
    }

    /// PDD in seconds.
    pub fn pdd(&self) -> Option<f64> {
        average(self.delay_ms, self.delayed)
    }

    fn add(&mut self, call: &Counted) {
        match call.outcome {
            Outcome::Answered => {
                self.answered += 1;
                self.talked_ms += call.talked_ms;
            }
            Outcome::Busy | Outcome::NoAnswer | Outcome::Rejected | Outcome::Number => {
                self.delivered += 1;
            }
            Outcome::Cancelled => self.cancelled += 1,
            Outcome::Failed => self.failed += 1,
        }
        if let Some(ms) = call.delay_ms {
            self.delayed += 1;
            self.delay_ms += ms;
        }
    }

    fn plus(mut self, other: &Self) -> Self {
        self.answered += other.answered;
        self.delivered += other.delivered;
        self.cancelled += other.cancelled;
        self.failed += other.failed;
        self.talked_ms += other.talked_ms;
        self.delayed += other.delayed;
        self.delay_ms += other.delay_ms;
        self
    }
}

fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| 100.0 * part as f64 / all as f64)
}

fn average(ms: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| ms as f64 / count as f64 / 1_000.0)
}

/// A call, or an attempt, for the figures of one trunk.
pub(super) struct Counted {
    pub(super) outcome: Outcome,
    pub(super) talked_ms: u64,
    pub(super) delay_ms: Option<u64>,
}

/// The figures of a trunk in one direction.
#[derive(Clone, PartialEq, Debug)]
pub struct Figure {
    /// Trunk.
    pub trunk: TrunkName,
    /// Direction.
    pub way: Way,
    /// The last hour.
    pub hour: Sum,
    /// Since the daemon started.
    pub total: Sum,
}

/// The figures of all trunks. Clones are the same.
#[derive(Clone, Default, Debug)]
pub struct Figures(Arc<Mutex<BTreeMap<(TrunkName, Way), Kept>>>);

#[derive(Default, Debug)]
struct Kept {
    total: Sum,
    parts: VecDeque<(u64, Sum)>,
}

impl Figures {
    pub(super) fn count(&self, at: UnixTime, trunk: &TrunkName, way: Way, call: &Counted) {
        let mut table = self.lock();
        let kept = table.entry((trunk.clone(), way)).or_default();
        kept.total.add(call);
        let part = part_of(at);
        kept.parts.retain(|(own, _)| is_near(*own, part));
        match kept.parts.back_mut() {
            Some((own, sum)) if *own >= part => sum.add(call),
            _ => {
                let mut sum = Sum::default();
                sum.add(call);
                kept.parts.push_back((part, sum));
            }
        }
    }

    /// What is known at this time, by trunk and direction.
    pub fn at(&self, now: UnixTime) -> Vec<Figure> {
        let part = part_of(now);
        let table = self.lock();
        let figures = table.iter().map(|((trunk, way), kept)| {
            let parts = kept.parts.iter();
            let counting = parts.filter(|(own, _)| is_near(*own, part));
            Figure {
                trunk: trunk.clone(),
                way: *way,
                hour: counting.fold(Sum::default(), |sum, (_, part)| sum.plus(part)),
                total: kept.total,
            }
        });
        figures.collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(TrunkName, Way), Kept>> {
        // A sum is whole between any two calls.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a part belongs to the hour before another. Shards may be ahead of each other a little; what is far
/// ahead was counted before the clock was set.
fn is_near(own: u64, part: u64) -> bool {
    own <= part.saturating_add(1) && own.saturating_add(PARTS) >= part
}

fn part_of(at: UnixTime) -> u64 {
    at.as_micros() / PART.as_micros() as u64
}

/// A gauge, and the figure that it shows.
type Shown = (GaugeVec, fn(&Sum) -> Option<f64>);

/// Turns the figures of the last hour into metrics when they are asked for.
pub(super) struct FigureCollector {
    figures: Figures,
    gauges: [Shown; 4],
    /// A scrape must not see the series of another that is at work.
    turn: Mutex<()>,
}

impl FigureCollector {
    pub(super) fn new(figures: Figures) -> Result<Self, prometheus::Error> {
        let gauge = |name, help| GaugeVec::new(Opts::new(name, help), &["trunk", "dir"]);
        Ok(Self {
            figures,
            gauges: [
                (
                    gauge(
                        "sbc_ner_percent",
                        "Network effectiveness ratio of the last hour: answered, busy, unanswered and \
                         declined calls of all.",
                    )?,
                    Sum::ner,
                ),
                (
                    gauge(
                        "sbc_asr_percent",
                        "Answer-seizure ratio of the last hour: answered calls of all.",
                    )?,
                    Sum::asr,
                ),
                (
                    gauge(
                        "sbc_acd_seconds",
                        "Average duration of the answered calls of the last hour.",
                    )?,
                    Sum::acd,
                ),
                (
                    gauge(
                        "sbc_pdd_seconds",
                        "Average post-dial delay of the calls of the last hour.",
                    )?,
                    Sum::pdd,
                ),
            ],
            turn: Mutex::new(()),
        })
    }
}

impl Collector for FigureCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges
            .iter()
            .flat_map(|(gauge, _)| gauge.desc())
            .collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let micros = since.map_or(0, |since| since.as_micros());
        let now = UnixTime::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        let figures = self.figures.at(now);
        let mut all = Vec::new();
        for (gauge, of) in &self.gauges {
            // A trunk without calls in the last hour has no figure.
            gauge.reset();
            for figure in &figures {
                if let Some(value) = of(&figure.hour) {
                    let labels = [figure.trunk.as_str(), figure.way.as_str()];
                    gauge.with_label_values(&labels).set(value);
                }
            }
            all.extend(gauge.collect());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: u64) -> UnixTime {
        UnixTime::from_micros(minute * 60_000_000)
    }

    fn call(outcome: Outcome, talked_ms: u64, delay_ms: Option<u64>) -> Counted {
        Counted {
            outcome,
            talked_ms,
            delay_ms,
        }
    }

    #[test]
    fn figures_follow_their_formulas_and_an_hour_is_forgotten() {
        let (figures, trunk) = (Figures::default(), TrunkName::new("teams"));
        let count = |minute, call: &Counted| figures.count(at(minute), &trunk, Way::Out, call);
        for (outcome, talked, delay) in [
            (Outcome::Answered, 60_000, Some(1_000)),
            (Outcome::Answered, 30_000, Some(3_000)),
            (Outcome::Busy, 0, None),
            (Outcome::NoAnswer, 0, Some(2_000)),
            (Outcome::Rejected, 0, None),
            (Outcome::Cancelled, 0, None),
            (Outcome::Failed, 0, None),
            (Outcome::Failed, 0, None),
        ] {
            count(1_000, &call(outcome, talked, delay));
        }
        let figure = figures.at(at(1_010)).remove(0);
        assert_eq!((figure.way, figure.hour.calls()), (Way::Out, 8));
        assert_eq!(figure.hour.ner(), Some(62.5));
        assert_eq!(figure.hour.ner_without_cancelled(), Some(500.0 / 7.0));
        assert_eq!(figure.hour.asr(), Some(25.0));
        assert_eq!(figure.hour.acd(), Some(45.0));
        assert_eq!(figure.hour.pdd(), Some(2.0));
        // Later calls are added, and those of more than an hour ago go.
        count(1_050, &call(Outcome::Failed, 0, None));
        let later = figures.at(at(1_067)).remove(0);
        assert_eq!((later.hour.calls(), later.total.calls()), (1, 9));
        assert_eq!(later.hour.ner(), Some(0.0));
        let none = figures.at(at(2_000)).remove(0);
        assert_eq!(
            (none.hour.ner(), none.hour.acd(), none.hour.pdd()),
            (None, None, None)
        );
        assert_eq!(none.total, later.total);
        // A clock that was far ahead and is set leaves no calls that never become old.
        count(900_000, &call(Outcome::Failed, 0, None));
        count(2_000, &call(Outcome::Answered, 0, None));
        let set = figures.at(at(2_000)).remove(0);
        assert_eq!((set.hour.calls(), set.hour.asr()), (1, Some(100.0)));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_stretch_the_hour() {
        let (figures, trunk) = (Figures::default(), TrunkName::new("teams"));
        let count = |minute| {
            let failed = call(Outcome::Failed, 0, None);
            figures.count(at(minute), &trunk, Way::Out, &failed);
        };
        let of_hour = |minute| figures.at(at(minute)).remove(0).hour.calls();
        count(900_000);
        assert_eq!(of_hour(900_000), 1);
        assert_eq!(of_hour(1_000), 0, "it is of a time to come");
        count(1_000);
        count(1_001);
        assert_eq!(of_hour(1_001), 2);
        assert_eq!(of_hour(1_200), 0);
    }
}
