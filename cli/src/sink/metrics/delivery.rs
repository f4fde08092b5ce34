//! What became of calls, as Microsoft and ITU-T E.425 count it, and how long their callers waited.
//!
//! Every call counts once at the trunk that it came from, and every attempt once at the trunk that it went
//! to. Figures of reports are made of the same facts (`figures.rs`).

use super::figures::{Counted, FigureCollector, Figures, Way};
use super::{Maker, SETUP_SECONDS, label};
use prometheus::{HistogramVec, IntCounterVec};
use sbc_core::cause::CauseCode;
use sbc_core::config::{Config, Preset};
use sbc_core::event::{Event, Happened};
use sbc_core::id::{LegId, TrunkName};
use sbc_core::record::{AttemptRecord, ConversationRecord, Disposition, Record};
use sbc_core::report::{REPEATED, sub_code};
use sbc_core::time::UnixTime;
use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};

/// Counters of results.
pub struct DeliveryMetrics {
    results: IntCounterVec,
    delay: HistogramVec,
    sub_codes: IntCounterVec,
    unusual: IntCounterVec,
    /// Trunks to Teams, whose figures are counted as Microsoft counts them.
    teams: RwLock<BTreeSet<TrunkName>>,
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
    /// The caller has dialled a number that nobody has.
    Number,
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
            Self::Number => "number",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// Of a call, seen from the trunk that it came from.
    fn of_call(record: &Record, is_teams: bool) -> Self {
        let has_rung = || {
            let mut attempts = record.egress.iter();
            attempts.any(|own| own.first_progress_ms.is_some())
        };
        let cause = &record.cause;
        match record.disposition {
            Disposition::Answered => Self::Answered,
            Disposition::Busy => Self::Busy,
            Disposition::NoAnswer if cause.status == Some(408) && !has_rung() => Self::Failed,
            Disposition::NoAnswer
                if cause.status == Some(480)
                    && !is_teams
                    && !has_rung()
                    && !is_nobody_there(cause.q850) =>
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
            Disposition::Rejected
                if !is_teams
                    && cause.code == CauseCode::NumberUnknown
                    && cause.status.is_some_and(is_of_number) =>
            {
                Self::Number
            }
            Disposition::Rejected | Disposition::Failed => Self::Failed,
        }
    }

    /// Of an attempt, seen from the trunk that it went to.
    fn of_attempt(attempt: &AttemptRecord, is_teams: bool) -> Self {
        let has_rung = attempt.first_progress_ms.is_some();
        match attempt.status {
            Some(200) => Self::Answered,
            Some(486 | 600) => Self::Busy,
            // Carriers also say so of their own trouble.
            Some(480) if is_teams || has_rung || is_nobody_there(attempt.q850) => Self::NoAnswer,
            // Of a proxy it says that something behind it did not react; only who has rung was called.
            Some(408) if has_rung => Self::NoAnswer,
            Some(487) => Self::Cancelled,
            Some(status) if is_declined(status) => Self::Rejected,
            Some(status) if !is_teams && is_of_number(status) => Self::Number,
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

/// Whether nobody has a number, or not all of it was dialled: its caller's affair (ITU-T E.425).
const fn is_of_number(status: u16) -> bool {
    matches!(status, 404 | 484 | 604)
}

/// Whether a Q.850 cause says that a user did not answer, or is not there.
const fn is_nobody_there(q850: Option<u8>) -> bool {
    matches!(q850, Some(18 | 19 | 20 | 31))
}

/// How long a leg talked: after a transfer not as long as the call.
fn talked_ms(record: &Record, leg: LegId) -> u64 {
    let own = |pair: &&ConversationRecord| pair.a == leg || pair.b == leg;
    match record.conversations.as_slice() {
        [] => record.duration_ms,
        pairs => pairs.iter().filter(own).map(|pair| pair.duration_ms).sum(),
    }
}

impl DeliveryMetrics {
    pub(super) fn new(maker: &Maker<'_>) -> Result<Self, prometheus::Error> {
        let figures = Figures::default();
        let collector = FigureCollector::new(figures.clone())?;
        maker.collector(Box::new(collector))?;
        Ok(Self {
            figures,
            teams: RwLock::default(),
            results: maker.counters(
                "sbc_call_results_total",
                "Calls by the trunk they came from (in) and attempts by the trunk they went to (out), by \
                 what became of them. NER as Microsoft counts it = 100 × (answered + busy + no_answer + \
                 rejected) / all of them; whether cancelled ones belong to all it does not say. With carriers \
                 also number (404, 484, 604) is a call that was delivered, and 480 is no_answer only after \
                 ringing or with a Q.850 cause of 18, 19, 20 or 31. Over the \
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

    /// Tells which trunks lead to Teams.
    pub fn set_teams(&self, config: &Config) {
        let trunks = config.trunks.values();
        let teams = trunks.filter(|trunk| trunk.preset == Preset::Teams);
        let teams = teams.map(|trunk| trunk.name.clone()).collect();
        *self.teams.write().unwrap_or_else(PoisonError::into_inner) = teams;
    }

    fn is_teams(&self, trunk: &TrunkName) -> bool {
        let teams = self.teams.read().unwrap_or_else(PoisonError::into_inner);
        teams.contains(trunk)
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
        let outcome = Outcome::of_call(record, self.is_teams(&record.ingress.trunk));
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
            let outcome = Outcome::of_attempt(attempt, self.is_teams(&attempt.trunk));
            let to = attempt.trunk.as_str();
            self.results
                .with_label_values(&[to, tenant, "out", outcome.as_str()])
                .inc();
            let answered = attempt.first_response_ms;
            let answered = answered.filter(|_| outcome == Outcome::Answered);
            let delay_ms = attempt.first_progress_ms.or(answered);
            let counted = Counted {
                outcome,
                talked_ms: talked_ms(record, attempt.leg),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::fixture;
    use sbc_core::cause::EndedBy;

    fn refused(status: u16, q850: Option<u8>, has_rung: bool) -> AttemptRecord {
        AttemptRecord {
            q850,
            first_progress_ms: has_rung.then_some(1),
            ..fixture::attempt(1, "exit", Some(status))
        }
    }

    #[test]
    fn what_a_carrier_refuses_counts_as_delivered_only_where_a_user_is_the_reason() {
        for (status, q850, has_rung, of_carrier, of_teams) in [
            (480, None, false, Outcome::Failed, Outcome::NoAnswer),
            (480, None, true, Outcome::NoAnswer, Outcome::NoAnswer),
            (480, Some(20), false, Outcome::NoAnswer, Outcome::NoAnswer),
            (480, Some(38), false, Outcome::Failed, Outcome::NoAnswer),
            (404, Some(1), false, Outcome::Number, Outcome::Failed),
            (484, None, false, Outcome::Number, Outcome::Failed),
            (604, None, false, Outcome::Number, Outcome::Failed),
            (503, None, false, Outcome::Failed, Outcome::Failed),
        ] {
            let attempt = refused(status, q850, has_rung);
            let (code, disposition) = match status {
                480 => (CauseCode::NoAnswer, Disposition::NoAnswer),
                404 | 484 | 604 => (CauseCode::NumberUnknown, Disposition::Rejected),
                _ => (CauseCode::PeerRejected, Disposition::Rejected),
            };
            let mut record = fixture::record(1);
            (record.disposition, record.egress) = (disposition, vec![attempt.clone()]);
            let cause = &mut record.cause;
            (cause.by, cause.code) = (EndedBy::B, code);
            (cause.status, cause.q850) = (Some(status), q850);
            for (is_teams, wanted) in [(false, of_carrier), (true, of_teams)] {
                let told = Outcome::of_attempt(&attempt, is_teams);
                assert_eq!(told, wanted, "{status} {q850:?} {is_teams}");
                assert_eq!(Outcome::of_call(&record, is_teams), wanted, "{status}");
            }
        }
    }

    #[test]
    fn a_leg_of_a_transferred_call_has_talked_as_long_as_it_was_there() {
        let mut record = fixture::record(1);
        assert_eq!(talked_ms(&record, LegId(1)), 60_000);
        let pair = |a, b, duration_ms| ConversationRecord {
            a: LegId(a),
            b: LegId(b),
            from_ms: 0,
            duration_ms,
            transfer_of: None,
            transfer_type: None,
            billed_to: TrunkName::new("carrier"),
        };
        record.conversations = vec![pair(0, 1, 10_000), pair(0, 2, 50_000)];
        let talked = [0, 1, 2].map(|leg| talked_ms(&record, LegId(leg)));
        assert_eq!(talked, [60_000, 10_000, 50_000]);
    }
}
