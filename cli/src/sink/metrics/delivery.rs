//! What became of calls, as Microsoft and ITU-T E.425 count it, and how long their callers waited.
//!
//! Every call counts once at the trunk that it came from, and every attempt once at the trunk that it went
//! to. Figures of reports are made of the same facts (`figures.rs`).

use super::figures::{Counted, FigureCollector, Figures, Way};
use super::{Maker, SETUP_SECONDS, label};
use prometheus::{HistogramVec, IntCounterVec};
use sbc_core::cause::CauseCode;
use sbc_core::event::{Event, Happened};
use sbc_core::record::{AttemptRecord, Disposition, Record};
use sbc_core::report::{REPEATED, sub_code};
use sbc_core::time::UnixTime;

/// Counters of results.
pub struct DeliveryMetrics {
    results: IntCounterVec,
    delay: HistogramVec,
    sub_codes: IntCounterVec,
    unusual: IntCounterVec,
    /// What reports make of all that.
    pub figures: Figures,
}

/// What became of a call or an attempt. Label values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Answered,
    Busy,
    NoAnswer,
    Rejected,
    Cancelled,
    Failed,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// Of a call, seen from the trunk that it came from.
    fn of_call(record: &Record) -> Self {
        match record.disposition {
            Disposition::Answered => Self::Answered,
            Disposition::Busy => Self::Busy,
            Disposition::NoAnswer
                if record.cause.status == Some(408)
                    && record
                        .egress
                        .iter()
                        .all(|own| own.first_progress_ms.is_none()) =>
            {
                Self::Failed
            }
            Disposition::NoAnswer => Self::NoAnswer,
            Disposition::Cancelled => Self::Cancelled,
            Disposition::Rejected
                if record.cause.code == CauseCode::PeerRejected
                    && record.cause.status.is_some_and(is_declined) =>
            {
                Self::Rejected
            }
            Disposition::Rejected | Disposition::Failed => Self::Failed,
        }
    }

    /// Of an attempt, seen from the trunk that it went to.
    fn of_attempt(attempt: &AttemptRecord) -> Self {
        match attempt.status {
            Some(200) => Self::Answered,
            Some(486 | 600) => Self::Busy,
            Some(480) => Self::NoAnswer,
            // Of a proxy it says that something behind it did not react; only who has rung was called.
            Some(408) if attempt.first_progress_ms.is_some() => Self::NoAnswer,
            Some(487) => Self::Cancelled,
            Some(status) if is_declined(status) => Self::Rejected,
            Some(_) => Self::Failed,
            // It was given up before it said anything, or somebody else answered.
            None if attempt.fault.is_none() => Self::Cancelled,
            None => Self::Failed,
        }
    }
}

/// Whether somebody declined, rather than some rule (RFC 3261 §21.6.2, RFC 8197, RFC 8688).
const fn is_declined(status: u16) -> bool {
    matches!(status, 603 | 607 | 608)
}

impl DeliveryMetrics {
    pub(super) fn new(maker: &Maker<'_>) -> Result<Self, prometheus::Error> {
        let figures = Figures::default();
        let collector = FigureCollector::new(figures.clone())?;
        maker.collector(Box::new(collector))?;
        Ok(Self {
            figures,
            results: maker.counters(
                "sbc_call_results_total",
                "Calls by the trunk they came from (in) and attempts by the trunk they went to (out), by \
                 what became of them. NER as Microsoft counts it = 100 × (answered + busy + no_answer + \
                 rejected) / all of them; whether cancelled ones belong to all it does not say. Over the \
                 last hour: sbc_ner_percent, sbc_asr_percent, sbc_acd_seconds, sbc_pdd_seconds.",
                &["trunk", "tenant", "dir", "result"],
            )?,
            delay: maker.histograms(
                "sbc_post_dial_delay_seconds",
                "Post-dial delay: from the INVITE to the first 101-199, or to the answer if none came \
                 before; by the trunk that the call came from (in) or went to (out). A caller from Teams \
                 is given up after FailoverTimeSeconds, 10 s unless it was raised: sub-code 500001.",
                &["trunk", "dir"],
                &SETUP_SECONDS,
            )?,
            sub_codes: maker.counters(
                "sbc_teams_subcodes_total",
                "Calls that Teams ended or refused with a sub-code of Microsoft that is known, by the \
                 trunk towards Teams or from it; 560xxx repeats a status of ours.",
                &["trunk", "subcode"],
            )?,
            unusual: maker.counters(
                "sbc_unusual_calls_total",
                "Quarters of an hour in which calls were answered or lasted unlike before (limits: \
                 unusual_calls), by what they are of: tenant, or trunk by direction.",
                &["of", "name", "what"],
            )?,
        })
    }

    /// Counts an event.
    pub fn apply(&self, event: &Event) {
        match &event.what {
            Happened::Ended(record) => self.ended(event.at, record),
            Happened::Unusual(unusual) => {
                let labels = [unusual.of.kind(), unusual.of.name(), unusual.what.as_str()];
                self.unusual.with_label_values(&labels).inc();
            }
            _ => {}
        }
    }

    fn ended(&self, at: UnixTime, record: &Record) {
        let seconds = |ms: u64| ms as f64 / 1000.0;
        let tenant = label(record.tenant.as_ref());
        let from = record.ingress.trunk.as_str();
        let outcome = Outcome::of_call(record);
        self.results
            .with_label_values(&[from, tenant, "in", outcome.as_str()])
            .inc();
        let delay_ms = record.first_progress_ms.or(record.setup_ms);
        let counted = Counted {
            outcome,
            talked_ms: record.duration_ms,
            delay_ms,
        };
        let figures = &self.figures;
        figures.count(at, &record.ingress.trunk, Way::In, &counted);
        if let Some(ms) = delay_ms {
            let delay = self.delay.with_label_values(&[from, "in"]);
            delay.observe(seconds(ms));
        }
        for attempt in &record.egress {
            let outcome = Outcome::of_attempt(attempt);
            let to = attempt.trunk.as_str();
            self.results
                .with_label_values(&[to, tenant, "out", outcome.as_str()])
                .inc();
            let answered = attempt.first_response_ms;
            let answered = answered.filter(|_| outcome == Outcome::Answered);
            let delay_ms = attempt.first_progress_ms.or(answered);
            let counted = Counted {
                outcome,
                talked_ms: record.duration_ms,
                delay_ms,
            };
            figures.count(at, &attempt.trunk, Way::Out, &counted);
            if let Some(ms) = delay_ms {
                let delay = self.delay.with_label_values(&[to, "out"]);
                delay.observe(seconds(ms));
            }
        }
        if let Some(code) = sub_code(record) {
            let text = match code {
                REPEATED => "560xxx".to_owned(),
                code => code.to_string(),
            };
            let of_teams = record.egress.last().filter(|own| own.reason.is_some());
            let trunk = of_teams.map_or(from, |own| own.trunk.as_str());
            self.sub_codes.with_label_values(&[trunk, &text]).inc();
        }
    }
}
