//! Money in figures, read from the core's table at scrape time.
//!
//! Labels are names of the configuration: where a limit counts each number by itself, its series has
//! the number on which most was spent, and does not say which.

use crate::sink::spending::since;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts};
use sbc_core::config::Money;
use sbc_core::policy::spend::books::Books;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Turns what was spent into metrics when they are asked for.
pub struct SpendCollector {
    books: Books,
    started: Instant,
    spent: GaugeVec,
    limit: GaugeVec,
    /// A scrape must not see the series of another that is at work.
    turn: Mutex<()>,
}

impl SpendCollector {
    /// A collector over a table whose clock began at `started`.
    ///
    /// # Errors
    /// If a name is malformed, which a test excludes.
    pub fn new(books: Books, started: Instant) -> Result<Self, prometheus::Error> {
        let labels = ["of", "name", "direction", "period"];
        let gauge = |name, help| GaugeVec::new(Opts::new(name, help), &labels);
        Ok(Self {
            books,
            started,
            spent: gauge(
                "sbc_spend",
                "What calls have cost in the last hour or day, in units of the currency, where money is \
                 limited; where each number has a limit, the one on which most was spent.",
            )?,
            limit: gauge(
                "sbc_spend_limit",
                "What may be spent in an hour or a day, in units of the currency.",
            )?,
            turn: Mutex::new(()),
        })
    }

    fn refresh(&self) {
        // What is forgotten or not limited any more has no series.
        self.spent.reset();
        self.limit.reset();
        for figure in self.books.figures(since(self.started)) {
            let (of, name) = (figure.counted.kind(), figure.counted.name());
            let direction = figure.counted.direction();
            let labels = [of, name, direction, figure.period.as_str()];
            self.spent
                .with_label_values(&labels)
                .set(units(figure.spent));
            if let Some(limit) = figure.limit {
                self.limit.with_label_values(&labels).set(units(limit));
            }
        }
    }
}

/// Metrics have no exact numbers; nobody pays by them.
fn units(money: Money) -> f64 {
    money.0 as f64 / 1e6
}

impl Collector for SpendCollector {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.spent.desc();
        all.extend(self.limit.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh();
        let mut all = self.spent.collect();
        all.extend(self.limit.collect());
        all
    }
}
