//! Calls for help in figures.

use super::{Maker, label};
use prometheus::IntCounterVec;
use sbc_core::event::{Event, Happened};
use sbc_core::record::Disposition;

/// Counters of calls for help, and of what was done for them.
pub struct HelpMetrics {
    emergency: IntCounterVec,
    unanswered: IntCounterVec,
    unreadable_locations: IntCounterVec,
    reused_elins: IntCounterVec,
    preempted: IntCounterVec,
    unmade_room: IntCounterVec,
}

impl HelpMetrics {
    pub(super) fn new(maker: &Maker<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            emergency: maker.counters(
                "sbc_emergency_calls_total",
                "Calls for help; each wants attention at once.",
                &["trunk", "tenant"],
            )?,
            unanswered: maker.counters(
                "sbc_emergency_calls_failed_total",
                "Calls for help that nobody answered, but for those that their callers gave up, by the trunk that they \
                 came from.",
                &["trunk", "tenant"],
            )?,
            unreadable_locations: maker.counters(
                "sbc_emergency_locations_unreadable_total",
                "Locations of calls for help that could not be read, by what is wrong with them.",
                &["trunk", "why"],
            )?,
            reused_elins: maker.counters(
                "sbc_emergency_elins_reused_total",
                "Numbers of places that were taken from one who called for help for another.",
                &["tenant"],
            )?,
            preempted: maker.counters(
                "sbc_preempted_calls_total",
                "Calls that were ended to make room for a call for help.",
                &["trunk", "tenant"],
            )?,
            unmade_room: maker.counters(
                "sbc_preemptions_limited_total",
                "Times that no call gave way to one for help any more, by the trunk that it came from.",
                &["trunk"],
            )?,
        })
    }

    /// Counts an event.
    pub fn apply(&self, event: &Event) {
        match &event.what {
            Happened::Emergency { tenant, trunk, .. } => {
                self.emergency
                    .with_label_values(&[trunk.as_str(), label(tenant.as_ref())])
                    .inc();
            }
            Happened::Ended(record) if record.emergency => match record.disposition {
                Disposition::Answered | Disposition::Cancelled => {}
                Disposition::Busy
                | Disposition::NoAnswer
                | Disposition::Rejected
                | Disposition::Failed => {
                    let (trunk, tenant) = (&record.ingress.trunk, record.tenant.as_ref());
                    self.unanswered
                        .with_label_values(&[trunk.as_str(), label(tenant)])
                        .inc();
                }
            },
            Happened::LocationUnreadable { trunk, fault } => {
                self.unreadable_locations
                    .with_label_values(&[trunk.as_str(), fault.rule.as_str()])
                    .inc();
            }
            Happened::ElinReused { tenant, .. } => {
                self.reused_elins
                    .with_label_values(&[label(tenant.as_ref())])
                    .inc();
            }
            Happened::Preempted { tenant, trunk, .. } => {
                self.preempted
                    .with_label_values(&[trunk.as_str(), label(tenant.as_ref())])
                    .inc();
            }
            Happened::PreemptionLimited { trunk, .. } => {
                self.unmade_room.with_label_values(&[trunk.as_str()]).inc();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::fixture::record;
    use crate::sink::metrics::Metrics;
    use sbc_core::id::{CallId, LegId, TenantName, TrunkName};
    use sbc_core::pidf;
    use sbc_core::time::UnixTime;
    use std::sync::Arc;

    #[test]
    fn calls_that_give_way_are_counted_by_trunk_and_customer() {
        let metrics = Metrics::new().unwrap();
        metrics.help.apply(&Event {
            at: UnixTime::default(),
            call: Some(CallId(7)),
            leg: None,
            what: Happened::Preempted {
                tenant: Some(TenantName::new("contoso")),
                trunk: TrunkName::new("teams"),
                by: CallId(8),
                room: "the node has all its calls".to_owned(),
            },
        });
        let line = "sbc_preempted_calls_total{tenant=\"contoso\",trunk=\"teams\"} 1";
        assert!(metrics.text().contains(line), "{}", metrics.text());
        metrics.help.apply(&Event {
            at: UnixTime::default(),
            call: Some(CallId(8)),
            leg: None,
            what: Happened::PreemptionLimited {
                trunk: TrunkName::new("teams"),
                room: "the node has all its calls".to_owned(),
            },
        });
        let line = "sbc_preemptions_limited_total{trunk=\"teams\"} 1";
        assert!(metrics.text().contains(line), "{}", metrics.text());
    }

    #[test]
    fn a_call_for_help_is_counted_by_trunk_and_customer() {
        let metrics = Metrics::new().unwrap();
        let tell = |tenant: Option<&str>| {
            metrics.help.apply(&Event {
                at: UnixTime::default(),
                call: Some(CallId(7)),
                leg: Some(LegId(0)),
                what: Happened::Emergency {
                    tenant: tenant.map(TenantName::new),
                    trunk: TrunkName::new("teams"),
                    called: "112".to_owned(),
                },
            });
        };
        tell(Some("contoso"));
        tell(Some("contoso"));
        tell(None);
        let text = metrics.text();
        for line in [
            "sbc_emergency_calls_total{tenant=\"contoso\",trunk=\"teams\"} 2",
            "sbc_emergency_calls_total{tenant=\"\",trunk=\"teams\"} 1",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn a_call_for_help_that_nobody_answered_is_counted_and_no_other_one() {
        let metrics = Metrics::new().unwrap();
        let ends = |emergency: bool, disposition: Disposition| {
            let mut record = record(7);
            record.emergency = emergency;
            record.disposition = disposition;
            metrics.help.apply(&Event {
                at: UnixTime::default(),
                call: Some(CallId(7)),
                leg: None,
                what: Happened::Ended(Arc::new(record)),
            });
        };
        ends(true, Disposition::Answered);
        ends(true, Disposition::Cancelled);
        ends(false, Disposition::Failed);
        assert!(!metrics.text().contains("sbc_emergency_calls_failed_total{"));
        ends(true, Disposition::Failed);
        ends(true, Disposition::NoAnswer);
        let line = "sbc_emergency_calls_failed_total{tenant=\"contoso\",trunk=\"carrier\"} 2";
        assert!(metrics.text().contains(line), "{}", metrics.text());
    }

    #[test]
    fn what_is_wrong_with_places_is_counted() {
        let metrics = Metrics::new().unwrap();
        let fault = pidf::read(b"floor 2").expect_err("no XML");
        for what in [
            Happened::LocationUnreadable {
                trunk: TrunkName::new("teams"),
                fault,
            },
            Happened::ElinReused {
                tenant: Some(TenantName::new("contoso")),
                number: "+15550199".to_owned(),
                from: "+15550100".to_owned(),
            },
        ] {
            metrics.help.apply(&Event {
                at: UnixTime::default(),
                call: Some(CallId(7)),
                leg: None,
                what,
            });
        }
        let text = metrics.text();
        for line in [
            "sbc_emergency_locations_unreadable_total{trunk=\"teams\",why=\"not_xml\"} 1",
            "sbc_emergency_elins_reused_total{tenant=\"contoso\"} 1",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
