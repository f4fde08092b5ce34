//! Where observable facts go: log, call records, ladders, metrics.
//!
//! Every sink has a bounded queue or a bounded store and never makes its caller wait (OPS-001).

pub mod cdr;
pub mod log;
pub mod metrics;
pub mod trace;

use bytes::Bytes;
use cdr::Cdr;
use log::{Level, Log};
use metrics::Metrics;
use sbc_core::event::{Event, Happened};
use sbc_core::id::{CallId, LegId};
use sbc_core::overload::Stage;
use sbc_core::record::{Disposition, Record, TransferOutcome};
use sbc_core::report::note;
use sbc_core::transport::Hop;
use sbc_core::trunk::{RegistrationState, TargetState};
use std::sync::Arc;
use trace::Traces;

/// All sinks of the process. Cheap to clone.
#[derive(Clone)]
pub struct Sinks {
    /// The log.
    pub log: Log,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Recent calls.
    pub traces: Traces,
    /// Call records; `None` writes none.
    pub cdr: Option<Cdr>,
}

impl Sinks {
    /// Spreads one fact.
    pub fn event(&self, event: &Event) {
        self.metrics.calls.apply(event);
        self.metrics.registrations.apply(event);
        if let Happened::Dropped { why, .. } = &event.what {
            self.metrics.net.dropped(*why);
        }
        self.traces.event(event);
        if let Happened::Ended(record) = &event.what {
            if let Some(cdr) = &self.cdr {
                cdr.record(record);
            }
            self.summary(record);
            return;
        }
        let Some((level, code)) = level_of(&event.what) else {
            return;
        };
        if !self.log.has(level) {
            return;
        }
        if let Some(text) = note(&event.what) {
            let line = self.log.line(level, code, text);
            match event.call {
                Some(call) => line.with("call", call).send(),
                None => line.send(),
            }
        }
    }

    /// A message that leaves for a call.
    pub fn sent(&self, call: Option<(CallId, LegId)>, hop: &Hop, bytes: &Bytes) {
        if let Some((call, leg)) = call {
            self.traces.sent(call, leg, hop, bytes);
        }
    }

    /// One line per call (OPS-081).
    fn summary(&self, record: &Record) {
        let status = match record.disposition {
            Disposition::Answered => 200,
            _ => record.cause.status.unwrap_or(0),
        };
        let mut line = self
            .log
            .info("call", record.cause.code)
            .with("call", record.call);
        if let Some(tenant) = &record.tenant {
            line = line.with("tenant", tenant);
        }
        line = line.with("from_trunk", &record.ingress.trunk);
        if let Some(attempt) = record.egress.last() {
            line = line.with("to_trunk", &attempt.trunk);
        }
        line.with("calling", &record.calling)
            .with("called", &record.called)
            .with("status", status)
            .with("setup_ms", record.setup_ms.unwrap_or(0))
            .with("duration_ms", record.duration_ms)
            .with("because", record.cause.because.0.join("; "))
            .send();
    }
}

/// Level and code of an event's line; `None` for what has its own line or is only for ladders.
fn level_of(what: &Happened) -> Option<(Level, &'static str)> {
    Some(match what {
        Happened::Dropped { .. } => (Level::Debug, "dropped"),
        Happened::Admitted { .. } => (Level::Debug, "admitted"),
        Happened::Emergency { .. } => (Level::Warn, "emergency"),
        Happened::Routed { .. } => (Level::Debug, "routed"),
        Happened::AttemptStarted { .. } => (Level::Debug, "attempt"),
        Happened::TargetFailed { .. } => (Level::Warn, "target_failed"),
        Happened::TargetHealth { state, .. } => match state {
            TargetState::Up => (Level::Info, "target_up"),
            TargetState::Busy => (Level::Warn, "target_busy"),
            TargetState::Down => (Level::Warn, "target_down"),
            TargetState::Gone => (Level::Info, "target_gone"),
        },
        Happened::Overload { stage, .. } => match stage {
            Stage::Calm | Stage::Busy => (Level::Info, "overload"),
            Stage::Heavy | Stage::Severe => (Level::Warn, "overload"),
        },
        Happened::Transfer { outcome, .. } => match outcome {
            TransferOutcome::Completed | TransferOutcome::Abandoned => (Level::Info, "transfer"),
            TransferOutcome::Failed | TransferOutcome::Refused => (Level::Warn, "transfer"),
        },
        Happened::OfferRefused { again: true, .. } => (Level::Debug, "offer_refused"),
        Happened::OfferRefused { again: false, .. } => (Level::Warn, "offer_refused"),
        Happened::Challenged {
            is_newly_weak: true,
            ..
        } => (Level::Warn, "weak_digest"),
        Happened::Challenged { .. } => (Level::Debug, "challenged"),
        Happened::Unauthenticated { .. } => (Level::Warn, "unauthenticated"),
        Happened::Registration {
            standing,
            is_news,
            failure,
            ..
        } => match (standing.state, failure, is_news) {
            (_, Some(_), _) => (Level::Warn, "registration_failed"),
            (RegistrationState::Registered, None, true) => (Level::Info, "registered"),
            (RegistrationState::Off, None, true) => (Level::Info, "registration_off"),
            _ => (Level::Debug, "registration"),
        },
        Happened::Bug { .. } => (Level::Error, "bug"),
        Happened::Media(media_api::Event::OneWay { .. } | media_api::Event::Silent { .. }) => {
            (Level::Warn, "media")
        }
        Happened::Media(_) => (Level::Debug, "media"),
        _ => return None,
    })
}
