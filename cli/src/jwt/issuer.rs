//! An issuer as its discovery document tells it, and its keys: kept, fetched again now and then, and when a token names
//! a key that is not among them (OpenID Connect Discovery 1.0 §4).
//!
//! | what                                            | when it is fetched                                    |
//! |-------------------------------------------------|-------------------------------------------------------|
//! | nothing is kept                                 | at once, if there is a turn                           |
//! | a token names a key that is not kept (rollover) | at once, if there is a turn                           |
//! | what is kept is older than [`REFRESHED`]        | with the next use; what is kept serves if that fails  |
//! | what is kept is older than [`KEPT`]             | with the next use, or nobody comes in                 |
//!
//! There are [`TURNS`], and one more after each [`AGAIN`]: however many tokens strangers show, nobody is asked without
//! end, and never twice at the same time.

use super::fetch::{Address, Fetch, FetchFault};
use super::{Claims, Expected, KeySet, TokenFault, check};
use sbc_core::time::UnixTime;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Fetches at once.
pub const TURNS: u32 = 4;
/// Time after which there is one more.
pub const AGAIN: Duration = Duration::from_secs(20);
/// Age after which keys are fetched again.
pub const REFRESHED: Duration = Duration::from_secs(12 * 3_600);
/// Longest age of keys that are believed.
pub const KEPT: Duration = Duration::from_secs(48 * 3_600);

/// What its document tells.
#[derive(Clone)]
pub struct Provider {
    /// Its own name, maybe with [`super::TENANT`].
    pub issuer: String,
    /// Where browsers go to sign in.
    pub authorization: Address,
    /// Where codes are exchanged.
    pub token: Address,
    /// Where browsers go to sign out there.
    pub end_session: Option<Address>,
    keys: KeySet,
}

/// Why a token could not be checked, or does not count.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CheckFault {
    /// It does not count.
    #[error(transparent)]
    Token(#[from] TokenFault),
    /// The issuer cannot be asked for its keys.
    #[error(transparent)]
    Issuer(#[from] FetchFault),
}

/// An issuer that is asked when it is needed.
pub struct Issuer {
    discovery: Address,
    /// What its document must call it.
    name: String,
    fetch: Arc<Fetch>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    provider: Option<(Arc<Provider>, Instant)>,
    /// Turns that were taken, and since when one comes back.
    taken: u32,
    since: Option<Instant>,
    /// Why it could not be asked the last time.
    fault: Option<FetchFault>,
}

impl Issuer {
    /// An issuer of this name whose document is there; nothing is asked yet.
    pub fn new(discovery: Address, name: impl Into<String>, fetch: Arc<Fetch>) -> Self {
        Self {
            discovery,
            name: name.into(),
            fetch,
            kept: Mutex::default(),
        }
    }

    /// What it tells of itself.
    ///
    /// # Errors
    /// [`FetchFault`]: it cannot be asked, and nothing usable is kept.
    pub async fn provider(&self) -> Result<Arc<Provider>, FetchFault> {
        self.current(&mut *self.kept.lock().await).await
    }

    /// Checks a token of this issuer.
    ///
    /// # Errors
    /// [`CheckFault`].
    pub async fn check(
        &self,
        token: &str,
        expected: &Expected<'_>,
        now: UnixTime,
    ) -> Result<Claims, CheckFault> {
        let provider = self.provider().await?;
        let unknown = match check(token, &provider.keys, expected, now) {
            Err(unknown @ TokenFault::UnknownKey(_)) => unknown,
            other => return Ok(other?),
        };
        let mut kept = self.kept.lock().await;
        // Somebody else may have fetched while we waited.
        let newer = kept.provider.as_ref().map(|(newer, _)| Arc::clone(newer));
        if let Some(newer) = newer.filter(|newer| !Arc::ptr_eq(newer, &provider)) {
            return Ok(check(token, &newer.keys, expected, now)?);
        }
        if !kept.may_ask(Instant::now()) {
            return Err(unknown.into());
        }
        let newer = self.renew(&mut kept).await?;
        Ok(check(token, &newer.keys, expected, now)?)
    }

    async fn current(&self, kept: &mut Kept) -> Result<Arc<Provider>, FetchFault> {
        let now = Instant::now();
        let (provider, age) = match &kept.provider {
            Some((provider, at)) => (Some(Arc::clone(provider)), at.elapsed()),
            None => (None, Duration::MAX),
        };
        let usable = provider.filter(|_| age < KEPT);
        let may_ask = kept.may_ask(now);
        match (usable, &kept.fault) {
            (Some(provider), _) if age < REFRESHED || !may_ask => Ok(provider),
            (Some(provider), _) => Ok(self.renew(kept).await.unwrap_or(provider)),
            (None, Some(fault)) if !may_ask => Err(fault.clone()),
            (None, _) => self.renew(kept).await,
        }
    }

    async fn renew(&self, kept: &mut Kept) -> Result<Arc<Provider>, FetchFault> {
        // Whoever stops waiting has asked nevertheless.
        kept.take_turn(Instant::now());
        kept.fault = Some(self.fault("nobody has waited for its answer"));
        match self.read().await {
            Ok(provider) => {
                let provider = Arc::new(provider);
                kept.provider = Some((Arc::clone(&provider), Instant::now()));
                kept.fault = None;
                Ok(provider)
            }
            Err(fault) => {
                kept.fault = Some(fault.clone());
                Err(fault)
            }
        }
    }

    async fn read(&self) -> Result<Provider, FetchFault> {
        let document = self.fetch.get(&self.discovery).await?;
        let document: Value =
            serde_json::from_slice(&document).map_err(|_| self.fault("it is no JSON"))?;
        if document["issuer"].as_str() != Some(&self.name) {
            let why = format!("it is of {}, not of {}", document["issuer"], self.name);
            return Err(self.fault(&why));
        }
        let address = |name: &str| document[name].as_str().and_then(Address::parse);
        let wanted = |name: &str| {
            address(name).ok_or_else(|| self.fault(&format!("{name} is no address of HTTPS")))
        };
        let at = wanted("jwks_uri")?;
        let keys = KeySet::read(&self.fetch.get(&at).await?);
        let keys = keys.filter(|keys| keys.count() > 0);
        let keys = keys.ok_or_else(|| FetchFault {
            address: at.to_string(),
            why: "there is no key in it that can be used".to_owned(),
        })?;
        Ok(Provider {
            issuer: self.name.clone(),
            authorization: wanted("authorization_endpoint")?,
            token: wanted("token_endpoint")?,
            end_session: address("end_session_endpoint"),
            keys,
        })
    }

    fn fault(&self, why: &str) -> FetchFault {
        FetchFault {
            address: self.discovery.to_string(),
            why: why.to_owned(),
        }
    }
}

impl Kept {
    fn may_ask(&mut self, now: Instant) -> bool {
        if let Some(since) = self.since {
            let back = now.saturating_duration_since(since).as_secs() / AGAIN.as_secs();
            let back = u32::try_from(back).unwrap_or(u32::MAX);
            self.taken = self.taken.saturating_sub(back);
            self.since = Some(since + AGAIN * back.min(TURNS));
        }
        self.taken < TURNS
    }

    fn take_turn(&mut self, now: Instant) {
        // What came back before is no part of the next pause.
        if self.taken == 0 {
            self.since = Some(now);
        }
        self.taken += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_taken_at_once_and_come_back_one_by_one() {
        let (mut kept, now) = (Kept::default(), Instant::now());
        let at = |second| now + Duration::from_secs(second);
        let mut ask = |second| {
            let may = kept.may_ask(at(second));
            if may {
                kept.take_turn(at(second));
            }
            may
        };
        assert_eq!((0..10).filter(|_| ask(0)).count(), 4);
        assert!(!ask(19) && ask(20) && !ask(20) && ask(40) && !ask(59));
        assert_eq!((0..10).filter(|_| ask(10_000)).count(), 4);
        // As many as strangers may want in an hour.
        assert_eq!((10_001..13_600).filter(|second| ask(*second)).count(), 179);
    }
}
