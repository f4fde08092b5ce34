//! What peers register with us and how they prove who they are, in figures and for the operator.

use super::Maker;
use prometheus::{GaugeVec, IntCounter, IntCounterVec};
use sbc_core::auth::Unproven;
use sbc_core::event::{Event, Happened};
use sbc_core::id::TrunkName;
use sbc_core::trunk::Bound;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Figures of registrar and guard.
pub struct BindingMetrics {
    contacts: GaugeVec,
    refused: IntCounterVec,
    unproven: IntCounterVec,
    banned: IntCounter,
    attacked: IntCounter,
    known: Mutex<BTreeMap<TrunkName, Known>>,
}

/// What was last told of one trunk.
#[derive(Clone, Debug)]
pub struct Known {
    /// What is registered.
    pub bound: Arc<Bound>,
    /// What was seen.
    pub because: String,
}

impl BindingMetrics {
    pub(super) fn new(maker: &Maker<'_>) -> Result<Self, prometheus::Error> {
        let unproven = maker.counters(
            "sbc_authentication_refusals_total",
            "Requests that were answered with a challenge, by what their credentials lacked.",
            &["reason"],
        )?;
        for why in Unproven::ALL {
            unproven.with_label_values(&[why.as_str()]);
        }
        Ok(Self {
            contacts: maker.float_gauges(
                "sbc_registered_contacts",
                "Contacts that the peer of a trunk has registered with us.",
                &["trunk"],
            )?,
            refused: maker.counters(
                "sbc_register_refusals_total",
                "REGISTER of peers that are who they say, refused, by status.",
                &["trunk", "code"],
            )?,
            unproven,
            banned: maker.counter(
                "sbc_authentication_bans_total",
                "Names that get no answer for a while from where they failed too often.",
            )?,
            attacked: maker.counter(
                "sbc_authentication_attacks_total",
                "Users whose password was guessed wrong 50 times within an hour, from anywhere.",
            )?,
            known: Mutex::new(BTreeMap::new()),
        })
    }

    /// Takes a fact.
    pub fn apply(&self, event: &Event) {
        match &event.what {
            Happened::Bindings { bound, because, .. } => {
                let count = u32::try_from(bound.bindings.len()).unwrap_or(u32::MAX);
                self.contacts
                    .with_label_values(&[bound.trunk.as_str()])
                    .set(f64::from(count));
                let known = Known {
                    bound: Arc::clone(bound),
                    because: because.clone(),
                };
                self.lock().insert(bound.trunk.clone(), known);
            }
            Happened::RegisterRefused { trunk, status, .. } => {
                let code = status.code().to_string();
                self.refused
                    .with_label_values(&[trunk.as_str(), code.as_str()])
                    .inc();
            }
            Happened::Unproven { refused, .. } => {
                self.unproven
                    .with_label_values(&[refused.why.as_str()])
                    .inc();
                if refused.silence.is_some() {
                    self.banned.inc();
                }
                if refused.is_alarming {
                    self.attacked.inc();
                }
            }
            _ => {}
        }
    }

    /// Every trunk of which something is known.
    pub fn all(&self) -> Vec<Known> {
        self.lock().values().cloned().collect()
    }

    /// Forgets the trunks that serve no registrations any more.
    pub fn keep(&self, is_wanted: impl Fn(&TrunkName) -> bool) {
        self.lock().retain(|trunk, _| {
            let stays = is_wanted(trunk);
            if !stays {
                // It is there exactly as long as the entry is.
                let _ = self.contacts.remove_label_values(&[trunk.as_str()]);
            }
            stays
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<TrunkName, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
