//! Where observable facts go: log, call records, ladders, metrics.
//!
//! Every sink has a bounded queue or a bounded store and never makes its caller wait (OPS-001).

pub mod asked;
pub mod audit;
pub mod bindings;
pub mod capture;
pub mod cdr;
mod ending;
#[cfg(test)]
pub(crate) mod fixture;
pub mod hep;
mod json;
pub mod lent;
pub mod log;
pub mod metrics;
pub mod news;
pub mod proxies;
pub mod shown;
pub mod spending;
pub mod trace;
pub(crate) mod whole;

use audit::Audit;
use bindings::Keeper;
use bytes::Bytes;
use capture::Captures;
use cdr::ship::Shipper;
use cdr::switch::Records;
use hep::Hep;
use lent::Bell;
use log::{Level, Log};
use metrics::Metrics;
use news::News;
use proxies::Proxies;
use sbc_core::auth::Refused;
use sbc_core::event::{Event, Happened};
use sbc_core::id::{CallId, LegId};
use sbc_core::overload::Stage;
use sbc_core::record::{Disposition, Record, TransferOutcome};
use sbc_core::report::{Seen, note};
use sbc_core::stir::Fault;
use sbc_core::transport::Hop;
use sbc_core::trunk::{RegistrationState, TargetState};
use std::net::SocketAddr;
use std::sync::Arc;
use trace::Traces;

/// All sinks of the process. Cheap to clone.
#[derive(Clone)]
pub struct Sinks {
    /// The log.
    pub log: Log,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// How OPTIONS between us and the proxies of Teams went.
    pub proxies: Arc<Proxies>,
    /// Recent calls.
    pub traces: Traces,
    /// Call records.
    pub cdr: Records,
    /// What is registered, for after a restart; `None` keeps nothing.
    pub keeper: Option<Keeper>,
    /// Who changed what.
    pub audit: Audit,
    /// What happens, for whoever listens.
    pub news: News,
    /// Calls whose messages somebody wants as packets.
    pub captures: Captures,
    /// Collectors of every message.
    pub hep: Hep,
    /// Whoever keeps call records.
    pub ship: Shipper,
    /// Rings when a number may have been lent to who calls for help; `None` keeps nothing.
    pub lent: Option<Bell>,
}

impl Sinks {
    /// Spreads one fact.
    pub fn event(&self, event: &Event) {
        self.metrics.calls.apply(event);
        self.metrics.help.apply(event);
        self.metrics.delivery.apply(event);
        self.metrics.registrations.apply(event);
        self.metrics.bindings.apply(event);
        self.metrics.options.apply(event);
        self.proxies.apply(event);
        if let Some(keeper) = &self.keeper {
            keeper.apply(event);
        }
        if let Some(bell) = &self.lent {
            bell.apply(event);
        }
        if let Happened::Dropped { why, .. } = &event.what {
            self.metrics.net.dropped(*why);
        }
        if let Happened::Overload { .. } = &event.what {
            // Optional work is the first to go, as long as any shard is loaded (SIP-1722).
            let is_loaded = self.metrics.calls.overload() > Stage::Calm;
            self.hep.pause(is_loaded);
            self.captures.pause(is_loaded);
            self.traces.pause(is_loaded);
            self.log.be_brief(is_loaded);
        }
        self.hep.event(event);
        self.captures.event(event);
        self.traces.event(event);
        // Behind what whoever hears of it may ask for: the record of a call that has ended.
        self.news.apply(event);
        if let (Happened::Received { remote, bytes, .. }, Some(call)) = (&event.what, event.call) {
            self.message("sip_received", call, event.leg, *remote, bytes);
        }
        match &event.what {
            Happened::Recorded(record) => {
                self.cdr.get().iter().for_each(|cdr| cdr.open(record));
            }
            // How long it has been answered only the clock of the host can tell.
            Happened::Restored(record) | Happened::Known(record) => {
                self.cdr.get().iter().for_each(|cdr| cdr.taken_up(record));
            }
            _ => {}
        }
        if let Happened::Ended(record) = &event.what {
            if let Some(cdr) = &*self.cdr.get() {
                cdr.record(&self.captures.marked(record));
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
            let line = match event.call {
                Some(call) => line.with("call", call),
                None => line,
            };
            let line = match event.leg {
                Some(leg) => line.with("leg", leg.0),
                None => line,
            };
            about(line, &event.what).send();
        }
        if let (Happened::Admitted { .. }, Some(call)) = (&event.what, event.call) {
            self.begun(call);
        }
    }

    /// A message that leaves for a call.
    pub fn sent(&self, call: Option<(CallId, LegId)>, hop: &Hop, bytes: &Bytes) {
        self.hep.sent(call.map(|(call, _)| call), hop, bytes);
        if let Some((call, leg)) = call {
            self.traces.sent(call, leg, hop, bytes);
            self.captures.sent(call, leg, hop, bytes);
            self.message("sip_sent", call, Some(leg), hop.remote, bytes);
        }
    }

    /// A line about a message, if somebody looks for such lines: the whole message is in the ladder of the call.
    fn message(
        &self,
        code: &'static str,
        call: CallId,
        leg: Option<LegId>,
        peer: SocketAddr,
        bytes: &[u8],
    ) {
        if !self.log.has(Level::Trace) {
            return;
        }
        let first = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next();
        let first = String::from_utf8_lossy(first.unwrap_or_default());
        let line = self.log.line(Level::Trace, code, first);
        let line = line.with("call", call);
        let line = match leg {
            Some(leg) => line.with("leg", leg.0),
            None => line,
        };
        line.with("peer", peer).send();
    }

    /// Which trunk and number a call is of is known behind its first message only: who looks for those sees that
    /// message now.
    fn begun(&self, call: CallId) {
        let is_wanted = self.log.has(Level::Trace) && self.log.level() < Level::Trace;
        if !is_wanted || self.log.looks().see_all(Level::Trace, "sip_received") {
            return;
        }
        for entry in self.traces.get(call).iter().flat_map(trace::Trace::entries) {
            if let Seen::Message { remote, bytes, .. } = &entry.what {
                self.message("sip_received", call, entry.leg, *remote, bytes);
            }
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
        line = line.with("call_id", &record.ingress.call_id);
        if let Some(attempt) = record.egress.last() {
            line = line.with("to_call_id", &attempt.call_id);
        }
        line.with("session_id", &record.session_id)
            .with("calling", &record.calling)
            .with("called", &record.called)
            .with("status", status)
            .with("setup_ms", record.setup_ms.unwrap_or(0))
            .with("duration_ms", record.duration_ms)
            .with("because", record.cause.because.0.join("; "))
            .send();
    }
}

/// The line with what it is about, so that it can be looked for.
fn about<'a>(line: log::Line<'a>, what: &Happened) -> log::Line<'a> {
    match what {
        Happened::Admitted {
            trunk,
            calling,
            called,
            ..
        } => {
            let line = line.with("from_trunk", trunk);
            line.with("calling", calling).with("called", called)
        }
        Happened::AttemptStarted { trunk, .. } => line.with("to_trunk", trunk),
        _ => line,
    }
}

/// Level and code of an event's line; `None` for what has its own line or is only for ladders.
fn level_of(what: &Happened) -> Option<(Level, &'static str)> {
    Some(match what {
        Happened::Dropped { .. } => (Level::Debug, "dropped"),
        Happened::Admitted { .. } => (Level::Debug, "admitted"),
        Happened::Restored(_) => (Level::Info, "call_restored"),
        Happened::Emergency { .. } => (Level::Warn, "emergency"),
        Happened::LocationUnreadable { .. } => (Level::Warn, "location_unreadable"),
        Happened::ElinReused { .. } => (Level::Warn, "elin_reused"),
        Happened::Preempted { .. } => (Level::Warn, "preempted"),
        Happened::PreemptionLimited { .. } => (Level::Warn, "preemption_limited"),
        Happened::LimitReached { full, .. } => match full.is_news() {
            true => (Level::Warn, "limit_reached"),
            false => (Level::Debug, "limit_reached"),
        },
        Happened::SpendReached(_) => (Level::Warn, "spend_reached"),
        Happened::Unusual(_) => (Level::Warn, "unusual_calls"),
        Happened::Routed { .. } => (Level::Debug, "routed"),
        Happened::AttemptStarted { .. } => (Level::Debug, "attempt"),
        // Most calls of most networks are not signed.
        Happened::Verified {
            fault: None | Some(Fault::Missing),
            ..
        } => (Level::Debug, "stir"),
        Happened::Verified { fault: Some(_), .. } => (Level::Info, "stir_failed"),
        // A peer may send as many as it likes; the metric counts them.
        Happened::KeyLost { .. } => (Level::Debug, "key_lost"),
        Happened::SignatureLost { .. } => (Level::Info, "signature_lost"),
        Happened::TargetFailed { .. } => (Level::Warn, "target_failed"),
        Happened::TargetHealth { state, .. } => match state {
            TargetState::Up => (Level::Info, "target_up"),
            TargetState::Refuses => (Level::Warn, "target_refuses"),
            TargetState::Busy => (Level::Warn, "target_busy"),
            TargetState::Down => (Level::Warn, "target_down"),
            TargetState::Gone => (Level::Info, "target_gone"),
        },
        Happened::TrunkClosing { closing, .. } => match closing {
            Some(_) => (Level::Warn, "trunk_closed"),
            None => (Level::Info, "trunk_enabled"),
        },
        Happened::Overload { stage, .. } => match stage {
            Stage::Calm | Stage::Busy => (Level::Info, "overload"),
            Stage::Heavy | Stage::Severe => (Level::Warn, "overload"),
        },
        Happened::Transfer { outcome, .. } => match outcome {
            TransferOutcome::Completed | TransferOutcome::Abandoned | TransferOutcome::Unknown => {
                (Level::Info, "transfer")
            }
            TransferOutcome::Failed | TransferOutcome::Refused => (Level::Warn, "transfer"),
        },
        Happened::MediaRefused { .. } => (Level::Warn, "media_refused"),
        Happened::KeyUnusable { .. } => (Level::Debug, "key_unusable"),
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
        Happened::Unproven { refused, .. } => match refused {
            Refused {
                is_alarming: true, ..
            } => (Level::Error, "user_attacked"),
            Refused {
                silence: Some(_), ..
            } => (Level::Warn, "user_banned"),
            Refused { counts: true, .. } => (Level::Warn, "authentication_failed"),
            // What anybody may send, as often as he likes.
            Refused { .. } => (Level::Debug, "asked_to_authenticate"),
        },
        Happened::Bindings { is_news: true, .. } => (Level::Info, "bindings"),
        Happened::Bindings { is_news: false, .. } => (Level::Debug, "bindings"),
        Happened::RegisterRefused { .. } => (Level::Warn, "register_refused"),
        Happened::Orphans { .. } => (Level::Error, "orphans"),
        Happened::Bug { .. } => (Level::Error, "bug"),
        Happened::Media(
            media_api::Event::OneWay { .. }
            | media_api::Event::Silent { .. }
            | media_api::Event::HandshakeFailed { .. },
        ) => (Level::Warn, "media"),
        Happened::Media(media_api::Event::OneWayOver { .. } | media_api::Event::Unheard { .. }) => {
            (Level::Info, "media")
        }
        Happened::Media(_) => (Level::Debug, "media"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::id::TrunkName;

    #[test]
    fn ladders_and_what_is_only_for_debugging_stop_while_any_shard_is_loaded() {
        let (log, writer) = Log::start(Level::Debug, log::Form::Text, std::io::sink()).unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let sinks = Sinks {
            audit: Audit::open(None, log.clone()).unwrap(),
            news: News::default(),
            captures: Captures::default(),
            hep: Hep::new(Arc::clone(&metrics), log.clone()),
            ship: Shipper::new(
                metrics.ship.clone(),
                log.clone(),
                cdr::shipped::Owed::default(),
            ),
            log,
            metrics,
            proxies: Arc::default(),
            traces: Traces::default(),
            cdr: Records::default(),
            keeper: None,
            lent: None,
        };
        let tell = |call: Option<u128>, what| {
            sinks.event(&Event {
                at: sbc_core::time::UnixTime::default(),
                call: call.map(CallId),
                leg: None,
                what,
            });
        };
        let loaded = |shard, stage| Happened::Overload {
            shard: sbc_core::id::ShardId(shard),
            stage,
            lag_ms: 30,
            strain: sbc_core::overload::Strain::default(),
        };
        let note = || Happened::Emergency {
            tenant: None,
            trunk: TrunkName::new("teams"),
            called: "112".to_owned(),
        };
        let keeps = |call: u128| {
            tell(Some(call), note());
            sinks.traces.get(CallId(call)).is_some()
        };
        assert!(keeps(1) && sinks.log.has(Level::Debug));
        tell(None, loaded(0, Stage::Busy));
        tell(None, loaded(1, Stage::Busy));
        assert!(!keeps(2) && !sinks.log.has(Level::Debug));
        assert!(sinks.log.has(Level::Info), "one line per call stays");
        tell(None, loaded(0, Stage::Calm));
        assert!(!keeps(3), "the other shard is loaded still");
        tell(None, loaded(1, Stage::Calm));
        assert!(keeps(4) && sinks.log.has(Level::Debug));
        drop(sinks);
        writer.finish();
    }

    #[test]
    fn a_call_for_help_is_told_whatever_is_not_logged() {
        let what = Happened::Emergency {
            tenant: None,
            trunk: TrunkName::new("teams"),
            called: "112".to_owned(),
        };
        assert!(matches!(level_of(&what), Some((Level::Warn, "emergency"))));
        let text = note(&what).expect("it has a line");
        assert!(text.contains("112") && text.contains("teams"), "{text}");
    }

    /// Text that a log was given.
    #[derive(Clone, Default)]
    struct Written(Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_line_of_a_call_has_the_names_that_its_peers_know_it_by() {
        let written = Written::default();
        let (log, writer) = Log::start(Level::Info, log::Form::Text, written.clone()).unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let sinks = Sinks {
            audit: audit::Audit::open(None, log.clone()).unwrap(),
            news: News::default(),
            captures: Captures::default(),
            hep: Hep::new(Arc::clone(&metrics), log.clone()),
            ship: Shipper::new(
                metrics.ship.clone(),
                log.clone(),
                cdr::shipped::Owed::default(),
            ),
            log,
            metrics,
            proxies: Arc::default(),
            traces: Traces::default(),
            cdr: Records::default(),
            keeper: None,
            lent: None,
        };
        sinks.event(&Event {
            at: sbc_core::time::UnixTime::default(),
            call: Some(CallId(7)),
            leg: Some(LegId(1)),
            what: Happened::SignatureLost {
                trunk: TrunkName::new("teams"),
            },
        });
        let ended = fixture::record(7);
        let session = ended.session_id.clone();
        sinks.summary(&ended);
        drop(sinks);
        writer.finish();
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let line = |code: &str| text.lines().find(|line| line.contains(code)).unwrap();
        for part in [
            "call_id=a-7",
            "to_call_id=b-1",
            &format!("session_id={session}"),
        ] {
            assert!(line("normal_clearing").contains(part), "{part}: {text}");
        }
        assert!(line("signature_lost").contains("leg=1"), "{text}");
    }
}
