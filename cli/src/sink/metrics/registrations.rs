//! Registrations in figures, and what is known of each for the operator.

use super::Maker;
use prometheus::{GaugeVec, IntCounterVec};
use sbc_core::event::{Event, Happened};
use sbc_core::id::TrunkName;
use sbc_core::trunk::{RegistrationState, Standing};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Gauges of registrations.
pub struct RegistrationMetrics {
    state: GaugeVec,
    expires: GaugeVec,
    failures: IntCounterVec,
    known: Mutex<BTreeMap<TrunkName, Known>>,
}

/// What was last told of one registration.
#[derive(Clone, Debug)]
pub struct Known {
    /// How it stands.
    pub standing: Arc<Standing>,
    /// What was seen.
    pub because: String,
}

impl RegistrationMetrics {
    pub(super) fn new(maker: &Maker<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            state: maker.float_gauges(
                "sbc_registration_state",
                "0 off, 1 registered, 2 failed, 3 trying.",
                &["trunk"],
            )?,
            expires: maker.float_gauges(
                "sbc_registration_expires_timestamp_seconds",
                "When the registration ends unless it is renewed; 0 without one.",
                &["trunk"],
            )?,
            failures: maker.counters(
                "sbc_registration_failures_total",
                "Rounds of the registrars without success, by the last status; 0 for no answer.",
                &["trunk", "code"],
            )?,
            known: Mutex::new(BTreeMap::new()),
        })
    }

    /// Takes a fact.
    pub fn apply(&self, event: &Event) {
        let Happened::Registration {
            standing,
            failure,
            because,
            ..
        } = &event.what
        else {
            return;
        };
        let trunk = standing.trunk.as_str();
        let state = match standing.state {
            RegistrationState::Off => 0.0,
            RegistrationState::Registered => 1.0,
            RegistrationState::Failed => 2.0,
            RegistrationState::Trying => 3.0,
        };
        self.state.with_label_values(&[trunk]).set(state);
        let until = standing.until.map_or(0, |until| until.as_micros());
        let until = until as f64 / 1e6;
        self.expires.with_label_values(&[trunk]).set(until);
        if let Some(code) = failure {
            let code = code.to_string();
            self.failures
                .with_label_values(&[trunk, code.as_str()])
                .inc();
        }
        let known = Known {
            standing: Arc::clone(standing),
            because: because.clone(),
        };
        self.lock().insert(standing.trunk.clone(), known);
    }

    /// Every registration that something is known of, by trunk.
    pub fn all(&self) -> Vec<Known> {
        self.lock().values().cloned().collect()
    }

    /// Forgets the trunks that register no more: a series that stays is an alarm about nothing.
    pub fn keep(&self, is_wanted: impl Fn(&TrunkName) -> bool) {
        self.lock().retain(|trunk, _| {
            let stays = is_wanted(trunk);
            if !stays {
                // They are there exactly as long as the entry is.
                let _ = self.state.remove_label_values(&[trunk.as_str()]);
                let _ = self.expires.remove_label_values(&[trunk.as_str()]);
            }
            stays
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<TrunkName, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
