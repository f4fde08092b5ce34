//! Names to addresses: A and AAAA by the system's resolver, with a time limit, a short memory, and
//! the last known answer while the resolver fails (REL-002).

use crate::sink::metrics::Metrics;
use sbc_core::query::{Outcome, ResolveFault, ResolveSpec};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Longest wait for the system's resolver.
const LIMIT: Duration = Duration::from_secs(3);
/// The system's resolver tells no lifetimes; half a minute keeps failover by DNS quick and spares
/// a look-up per call.
const FRESH: Duration = Duration::from_secs(30);
/// An answer may be used so long after its lifetime if the resolver fails.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// Names remembered.
const MAX_NAMES: usize = 10_000;
/// Look-ups at a time: each may hold a thread of the runtime's pool until it is given up.
const MAX_RUNNING: usize = 64;

/// Answers look-ups. Cheap to clone.
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
}

struct Shared {
    known: Mutex<HashMap<String, Known>>,
    running: Semaphore,
    metrics: Arc<Metrics>,
}

#[derive(Clone)]
struct Known {
    addresses: Vec<IpAddr>,
    at: Instant,
}

impl Resolver {
    /// A resolver that knows nothing yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            shared: Arc::new(Shared {
                known: Mutex::new(HashMap::new()),
                running: Semaphore::new(MAX_RUNNING),
                metrics,
            }),
        }
    }

    /// Finds the addresses of a host.
    pub async fn resolve(&self, spec: &ResolveSpec) -> Outcome {
        let host = spec.host.trim_end_matches('.').to_ascii_lowercase();
        let outcome = |addresses: &[IpAddr]| {
            let with_port = addresses.iter().map(|ip| SocketAddr::new(*ip, spec.port));
            Outcome::Resolved(with_port.collect())
        };
        let known = self.lock().get(&host).cloned();
        if let Some(known) = known.as_ref().filter(|known| known.at.elapsed() < FRESH) {
            return outcome(&known.addresses);
        }
        let begun = Instant::now();
        let found = timeout(LIMIT, self.look_up(&host))
            .await
            .unwrap_or(Err(ResolveFault::Timeout));
        self.count(begun.elapsed(), found.as_ref().err());
        match found {
            Ok(addresses) => {
                self.remember(host, &addresses);
                outcome(&addresses)
            }
            // The name is gone: the last answer would send calls to somebody else.
            Err(ResolveFault::NotFound) => Outcome::ResolveFailed(ResolveFault::NotFound),
            Err(fault) => match known.filter(|known| known.at.elapsed() < FRESH + STALE) {
                Some(known) => {
                    self.shared.metrics.dns_stale.inc();
                    outcome(&known.addresses)
                }
                None => Outcome::ResolveFailed(fault),
            },
        }
    }

    async fn look_up(&self, host: &str) -> Result<Vec<IpAddr>, ResolveFault> {
        let _turn = self
            .shared
            .running
            .acquire()
            .await
            .map_err(|_| ResolveFault::ServerFailure)?;
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in tokio::net::lookup_host((host, 0))
            .await
            .map_err(|error| fault_of(&error))?
        {
            if !addresses.contains(&address.ip()) {
                addresses.push(address.ip());
            }
        }
        if addresses.is_empty() {
            return Err(ResolveFault::NotFound);
        }
        Ok(addresses)
    }

    fn remember(&self, host: String, addresses: &[IpAddr]) {
        let mut known = self.lock();
        if known.len() >= MAX_NAMES && !known.contains_key(&host) {
            let oldest = known
                .iter()
                .min_by_key(|(_, known)| known.at)
                .map(|(host, _)| host.clone());
            if let Some(oldest) = oldest {
                known.remove(&oldest);
            }
        }
        known.insert(
            host,
            Known {
                addresses: addresses.to_vec(),
                at: Instant::now(),
            },
        );
    }

    fn count(&self, took: Duration, fault: Option<&ResolveFault>) {
        let result = match fault {
            None => "ok",
            Some(ResolveFault::NotFound) => "not_found",
            Some(ResolveFault::Timeout) => "timeout",
            Some(ResolveFault::ServerFailure) => "server_failure",
        };
        self.shared
            .metrics
            .dns
            .with_label_values(&["address", result])
            .inc();
        self.shared.metrics.dns_seconds.observe(took.as_secs_f64());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.shared
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The system's resolver reports in words: only those that say the name does not exist are taken
/// for that, everything else is a failure of the resolver.
fn fault_of(error: &io::Error) -> ResolveFault {
    let text = error.to_string();
    let says_no = [
        "not known",
        "No address associated",
        "nodename nor servname",
    ];
    if says_no.iter().any(|words| text.contains(words)) {
        ResolveFault::NotFound
    } else {
        ResolveFault::ServerFailure
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::transport::Protocol;

    #[tokio::test]
    async fn a_known_name_is_found_with_the_wanted_port_and_remembered() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let resolver = Resolver::new(Arc::clone(&metrics));
        let spec = ResolveSpec {
            host: "LOCALHOST.".to_owned(),
            port: 5061,
            protocol: Protocol::Tls,
        };
        for _ in 0..2 {
            match resolver.resolve(&spec).await {
                Outcome::Resolved(addresses) => {
                    assert!(
                        addresses
                            .iter()
                            .all(|a| a.ip().is_loopback() && a.port() == 5061)
                    );
                }
                other => panic!("{other:?}"),
            }
        }
        let asked = metrics.dns.with_label_values(&["address", "ok"]).get();
        assert_eq!(asked, 1);
    }

    #[test]
    fn only_a_clear_no_means_that_a_name_does_not_exist() {
        let fault = |text: &str| fault_of(&io::Error::other(text));
        assert_eq!(
            fault("failed to lookup address information: Name or service not known"),
            ResolveFault::NotFound
        );
        assert_eq!(
            fault("failed to lookup address information: Temporary failure in name resolution"),
            ResolveFault::ServerFailure
        );
    }
}
