//! Whether signatures of callers are good: credentials are fetched, believed or not, and remembered
//! (SIP-1106, SEC-120).
//!
//! What a call's signatures say is judged by [`sbc_core::stir`] before anything is asked here. A
//! credential is decided about once, when it is fetched; what then is left for each call is one ECDSA
//! verification of about 100 µs on a thread of the runtime, never on one that serves calls.

mod fetch;
mod reach;
mod trust;

pub use reach::{Reach, is_public};
pub use trust::{Credential, Trust, TrustFault};

use super::resolver::Resolver;
use fetch::fetch;
use rustls::pki_types::UnixTime;
use sbc_core::id::TrunkName;
use sbc_core::query::Outcome;
use sbc_core::stir::{CredentialFault, CredentialUrl, VerifySpec};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Credentials under way at a time, of all servers and of one.
const MAX_RUNNING: usize = 16;
const MAX_OF_ONE: usize = 2;
/// Those that the calls of one trunk have asked for: servers that never answer hold up nobody else.
const MAX_OF_TRUNK: usize = 4;
/// Most credentials that are remembered.
const MOST: usize = 2_000;
/// How long a credential that is of no use is not fetched again.
const NEGATIVE: Duration = Duration::from_secs(60);
/// Credentials that the calls of one trunk may have fetched within a second: nobody is made to send
/// requests to all the world.
const NEW_PER_SECOND: u32 = 5;

type Found = Result<Arc<Credential>, CredentialFault>;

/// Checks signatures. Cheap to clone.
#[derive(Clone)]
pub struct Signers {
    shared: Arc<Shared>,
}

struct Shared {
    resolver: Resolver,
    reach: Reach,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    trust: Option<Arc<Trust>>,
    /// Counts changes of `trust`: what was fetched under another one is not remembered.
    generation: u64,
    known: HashMap<CredentialUrl, (Found, Instant)>,
    /// Credentials that are under way. What is decided under one trust says nothing under another.
    running: HashMap<(u64, CredentialUrl), Running>,
    /// When the present second of a trunk began, and what it had fetched since.
    news: HashMap<TrunkName, (Instant, u32)>,
}

/// A credential that is under way.
struct Running {
    /// Whose call has asked for it first.
    trunk: TrunkName,
    waiting: Vec<oneshot::Sender<Found>>,
}

impl Signers {
    /// Believes nobody yet.
    pub fn new(resolver: Resolver, reach: Reach) -> Self {
        Self {
            shared: Arc::new(Shared {
                resolver,
                reach,
                state: Mutex::default(),
            }),
        }
    }

    /// Believes these from now on. What was found out under others is forgotten.
    pub fn trust(&self, trust: Option<Trust>) {
        let mut state = self.lock();
        state.trust = trust.map(Arc::new);
        state.generation += 1;
        state.known.clear();
        state.news.clear();
    }

    /// When the first list of revoked certificates should be replaced, in seconds since 1970; `None`
    /// without any.
    pub fn lists_until(&self) -> Option<i64> {
        let state = self.lock();
        state.trust.as_ref().and_then(|trust| trust.lists_until())
    }

    /// Whether all signatures of a call are good and their credentials to be believed.
    pub async fn verify(&self, spec: &VerifySpec) -> Outcome {
        for check in &spec.checks {
            let found = match self.credential(&spec.trunk, &check.url).await {
                Ok(credential) => {
                    credential.has_signed(&check.input, &check.signature, UnixTime::now())
                }
                Err(fault) => Err(fault),
            };
            if found.is_err() {
                return Outcome::Verified(found);
            }
        }
        Outcome::Verified(Ok(()))
    }

    async fn credential(&self, trunk: &TrunkName, url: &CredentialUrl) -> Found {
        let told = {
            let mut state = self.lock();
            let now = Instant::now();
            if let Some((found, until)) = state.known.get(url)
                && *until > now
            {
                return found.clone();
            }
            let (tell, told) = oneshot::channel();
            let generation = state.generation;
            let key = (generation, url.clone());
            match state.running.get_mut(&key) {
                Some(running) => running.waiting.push(tell),
                None => {
                    let trust = state.begins(trunk, url, now)?;
                    let running = Running {
                        trunk: trunk.clone(),
                        waiting: vec![tell],
                    };
                    state.running.insert(key, running);
                    let (signers, url) = (self.clone(), url.clone());
                    // Finished for the memory even if the call does not wait for it.
                    tokio::spawn(async move { signers.learn(url, trust, generation).await });
                }
            }
            told
        };
        told.await.unwrap_or(Err(CredentialFault::Unreachable))
    }

    async fn learn(&self, url: CredentialUrl, trust: Arc<Trust>, generation: u64) {
        let shared = &self.shared;
        let mut begun = Begun {
            signers: self,
            key: Some((generation, url.clone())),
        };
        let fetched = fetch(&url, &shared.resolver, shared.reach, &trust).await;
        let (found, lifetime) = match fetched {
            Ok(fetched) => match trust.believes(&fetched.octets, UnixTime::now()) {
                Ok(credential) => (Ok(Arc::new(credential)), fetched.lifetime),
                Err(fault) => (Err(fault), NEGATIVE),
            },
            Err(fault) => (Err(fault), NEGATIVE),
        };
        let mut state = self.lock();
        let key = begun.key.take();
        let ended = key.and_then(|key| state.running.remove(&key));
        if state.generation == generation {
            state.remember(url, found.clone(), Instant::now() + lifetime);
        }
        drop(state);
        for tell in ended.into_iter().flat_map(|ended| ended.waiting) {
            // Whoever asked may have given up.
            let _ = tell.send(found.clone());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        let state = &self.shared.state;
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fetch that is under way; whoever waits for it is let go even if it ends by a panic.
struct Begun<'a> {
    signers: &'a Signers,
    key: Option<(u64, CredentialUrl)>,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.signers.lock().running.remove(&key);
        }
    }
}

impl State {
    /// Whether a credential that is not known may be fetched now; then whom to believe about it.
    fn begins(
        &mut self,
        trunk: &TrunkName,
        url: &CredentialUrl,
        now: Instant,
    ) -> Result<Arc<Trust>, CredentialFault> {
        let trust = self.trust.clone().ok_or(CredentialFault::Unreachable)?;
        let of_host = self.running.keys();
        let of_host = of_host.filter(|(_, own)| own.host() == url.host());
        let of_trunk = self.running.values().filter(|own| own.trunk == *trunk);
        if self.running.len() >= MAX_RUNNING
            || of_host.count() >= MAX_OF_ONE
            || of_trunk.count() >= MAX_OF_TRUNK
        {
            return Err(CredentialFault::Busy);
        }
        let (since, count) = self.news.entry(trunk.clone()).or_insert((now, 0));
        if now.duration_since(*since) >= Duration::from_secs(1) {
            (*since, *count) = (now, 0);
        }
        if *count >= NEW_PER_SECOND {
            return Err(CredentialFault::Busy);
        }
        *count += 1;
        Ok(trust)
    }

    /// Keeps what was found out; where there is no room, what would be forgotten first makes some.
    fn remember(&mut self, url: CredentialUrl, found: Found, until: Instant) {
        if self.known.len() >= MOST && !self.known.contains_key(&url) {
            let first = self.known.iter().min_by_key(|(_, (_, until))| *until);
            if let Some(first) = first.map(|(url, _)| url.clone()) {
                self.known.remove(&first);
            }
        }
        self.known.insert(url, (found, until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Revoked;
    use rustls::RootCertStore;

    #[test]
    fn servers_that_never_answer_the_calls_of_one_trunk_hold_up_no_other_one() {
        let none = RootCertStore::empty;
        let trust = Trust::new(none(), Revoked::default(), none(), Vec::new());
        let mut state = State {
            trust: Some(Arc::new(trust)),
            ..State::default()
        };
        let mut begins = |trunk: &str, host: u32, now| {
            let url = format!("https://{host}.example.org/a.cer");
            let url = CredentialUrl::parse(&url).expect("an address");
            let trunk = TrunkName::new(trunk);
            let begun = state.begins(&trunk, &url, now).is_ok();
            if begun {
                let waiting = Vec::new();
                state.running.insert((0, url), Running { trunk, waiting });
            }
            begun
        };
        let start = Instant::now();
        let mut all = 0;
        for second in 0..4 {
            let now = start + Duration::from_secs(second);
            for _ in 0..NEW_PER_SECOND {
                all += 1;
                begins("carrier-a", all, now);
            }
        }
        assert!(begins("carrier-b", all + 1, start + Duration::from_secs(4)));
    }
}
