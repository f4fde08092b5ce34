//! Call admission: calls at the same time and new calls per second, per trunk and per tenant.
//!
//! Counted by each shard for itself.

use crate::config::{CallLimits, Config, Trunk};
use crate::id::{TenantName, TrunkName};
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What calls are counted on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Counted {
    /// A trunk, in both directions.
    Trunk(TrunkName),
    /// A customer.
    Tenant(TenantName),
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trunk(name) => write!(f, "trunk \"{name}\""),
            Self::Tenant(name) => write!(f, "tenant \"{name}\""),
        }
    }
}

/// Which limit is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Full {
    /// Calls at the same time.
    Calls(Counted, u32),
    /// New calls per second.
    Rate(Counted, u32),
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls(counted, limit) => write!(f, "{counted} has its {limit} calls"),
            Self::Rate(counted, limit) => {
                write!(f, "{counted} has had its {limit} new calls per second")
            }
        }
    }
}

/// A place that a call takes; given back once.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a place that is dropped is never given back"]
pub struct Place(Counted);

/// Calls in progress and arrival rates.
#[derive(Default, Debug)]
pub struct Admission {
    usage: BTreeMap<Counted, Usage>,
}

#[derive(Default, Debug)]
struct Usage {
    calls: u32,
    /// When the next call would be due if they came evenly (GCRA).
    due: Timestamp,
}

/// How much of a second's calls may come at once.
const BURST: Duration = Duration::from_secs(1);

impl Admission {
    /// Takes a place, or says which limit is reached; then nothing has changed.
    pub fn take(
        &mut self,
        now: Timestamp,
        counted: Counted,
        limits: &CallLimits,
    ) -> Result<Place, Full> {
        let usage = self.usage.entry(counted.clone()).or_default();
        if let Some(limit) = limits.calls.filter(|limit| usage.calls >= *limit) {
            return Err(Full::Calls(counted, limit));
        }
        if let Some(limit) = limits.calls_per_second {
            let spacing = Duration::from_secs(1) / limit.max(1);
            let due = usage.due.max(now);
            if limit == 0 || due.since(now) + spacing > BURST {
                return Err(Full::Rate(counted, limit));
            }
            usage.due = due + spacing;
        }
        usage.calls += 1;
        Ok(Place(counted))
    }

    /// Gives a place back.
    pub fn give_back(&mut self, place: Place) {
        if let Some(usage) = self.usage.get_mut(&place.0) {
            usage.calls = usage.calls.saturating_sub(1);
        }
    }

    /// Places that are taken, over all trunks and tenants.
    pub fn taken(&self) -> usize {
        self.usage.values().map(|usage| usage.calls as usize).sum()
    }
}

/// Which limits a call counts on, for whoever asks.
pub fn told(config: &Config, tenant: Option<&TenantName>, trunk: &Trunk) -> Vec<String> {
    let of_tenant = tenant.and_then(|name| {
        let limits = config.tenants.get(name)?.limits;
        Some((Counted::Tenant(name.clone()), limits))
    });
    let of_trunk = (Counted::Trunk(trunk.name.clone()), trunk.limits);
    let counted = of_tenant.into_iter().chain([of_trunk]);
    let told = counted.map(|(counted, limits)| {
        let (calls, rate) = (limits.calls, limits.calls_per_second);
        match (calls, rate) {
            (None, None) => format!("{counted} has no limits"),
            (Some(calls), None) => format!("{counted} may have {calls} calls"),
            (None, Some(rate)) => format!("{counted} may have {rate} new calls per second"),
            (Some(calls), Some(rate)) => {
                format!("{counted} may have {calls} calls and {rate} new ones per second")
            }
        }
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trunk() -> Counted {
        Counted::Trunk(TrunkName::new("a"))
    }

    #[test]
    fn a_full_trunk_takes_a_call_again_when_one_has_ended() {
        let limits = CallLimits {
            calls: Some(2),
            calls_per_second: None,
        };
        let mut admission = Admission::default();
        let now = Timestamp::from_micros(0);
        let first = admission.take(now, trunk(), &limits).expect("room");
        let _second = admission.take(now, trunk(), &limits).expect("room");
        assert_eq!(
            admission.take(now, trunk(), &limits),
            Err(Full::Calls(trunk(), 2))
        );
        admission.give_back(first);
        assert!(admission.take(now, trunk(), &limits).is_ok());
    }

    #[test]
    fn a_second_brings_as_many_calls_as_the_rate_says_and_no_more() {
        let limits = CallLimits {
            calls: None,
            calls_per_second: Some(10),
        };
        let mut admission = Admission::default();
        let mut admitted = 0;
        for tenth in 0..100 {
            let now = Timestamp::from_micros(tenth * 10_000);
            admitted += usize::from(admission.take(now, trunk(), &limits).is_ok());
        }
        // One second's worth at once, and one second's worth in that second.
        assert!((10..=20).contains(&admitted), "{admitted}");
        let later = Timestamp::from_micros(5_000_000);
        let burst = (0..50)
            .filter(|_| admission.take(later, trunk(), &limits).is_ok())
            .count();
        assert_eq!(burst, 10);
    }

    #[test]
    fn a_refused_call_takes_nothing() {
        let limits = CallLimits {
            calls: Some(0),
            calls_per_second: None,
        };
        let mut admission = Admission::default();
        assert!(
            admission
                .take(Timestamp::from_micros(0), trunk(), &limits)
                .is_err()
        );
        assert_eq!(admission.taken(), 0);
    }
}
