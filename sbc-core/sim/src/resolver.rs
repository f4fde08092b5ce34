//! Name resolution as data, with delays and failures.

use crate::fault::{Fault, Trouble};
use crate::topology;
use sbc_core::query::{Outcome, ResolveFault, ResolveSpec};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Answers queries from a fixed zone.
#[derive(Debug)]
pub struct Resolver(BTreeMap<String, Vec<IpAddr>>);

impl Default for Resolver {
    fn default() -> Self {
        Self(topology::zone())
    }
}

impl Resolver {
    /// The answer to a query asked at `at`, and how long it takes.
    pub fn answer(
        &self,
        at: Duration,
        spec: &ResolveSpec,
        faults: &[Fault],
    ) -> (Duration, Outcome) {
        let mut delay = Duration::from_millis(3);
        let mut failure = None;
        for fault in faults.iter().filter(|fault| fault.is_on(at)) {
            match fault.trouble {
                Trouble::SlowResolver { by } => delay = delay.max(by),
                Trouble::Unresolved { fault } => failure = Some(fault),
                _ => {}
            }
        }
        let outcome = match (failure, self.0.get(&spec.host.to_ascii_lowercase())) {
            (Some(fault), _) => Outcome::ResolveFailed(fault),
            (None, None) => Outcome::ResolveFailed(ResolveFault::NotFound),
            (None, Some(addresses)) => Outcome::Resolved(
                addresses
                    .iter()
                    .map(|ip| SocketAddr::new(*ip, spec.port))
                    .collect(),
            ),
        };
        (delay, outcome)
    }
}
