//! Keys of a directory of Entra, with which Microsoft signs what it sends.
//!
//! They are asked for when there are none, when they are a day old, and when a token names one that is not known, but
//! not more often than once a minute: whoever makes names up has nobody asked without end. They are asked for where
//! Graph's tokens are, and not by a discovery document: its place is known, and may be another one here (`connect_to`).

use crate::graph::reach::{Reach, now};
use crate::jwt::{Claims, Expected, KeySet, TokenFault, check};
use hyper::{Request, StatusCode};
use std::time::{Duration, Instant};

/// How old keys may become.
const DAY: Duration = Duration::from_secs(86_400);
/// How often they are asked for at most.
const PAUSE: Duration = Duration::from_secs(60);
/// How long that may take: somebody waits.
const LIMIT: Duration = Duration::from_secs(20);

/// Keys of one directory.
#[derive(Default)]
pub(super) struct Keys {
    all: KeySet,
    asked: Option<Instant>,
    read: Option<Instant>,
}

impl Keys {
    /// What a token says, if it is what was expected and one of these keys has signed it.
    ///
    /// # Errors
    /// Why it does not count.
    pub(super) async fn claims(
        &mut self,
        token: &str,
        expected: &Expected<'_>,
        (reach, host, directory): (&Reach, &'static str, &str),
    ) -> Result<Claims, TokenFault> {
        let at = Instant::now();
        let checked = check(token, &self.all, expected, now());
        let is_old = self.read.is_none_or(|read| at - read >= DAY);
        let may_ask = self.asked.is_none_or(|asked| at - asked >= PAUSE);
        let is_unknown = matches!(checked, Err(TokenFault::UnknownKey(_)));
        if !may_ask || !(is_unknown || is_old && checked.is_ok()) {
            return checked;
        }
        self.asked = Some(at);
        let path = format!("/{directory}/discovery/v2.0/keys");
        let asked = asked(reach, host, &path);
        // Those that are known stay good where nobody can be asked.
        if let Ok(Some(all)) = tokio::time::timeout(LIMIT, asked).await {
            (self.all, self.read) = (all, Some(at));
        }
        check(token, &self.all, expected, now())
    }
}

async fn asked(reach: &Reach, host: &'static str, path: &str) -> Option<KeySet> {
    let request = || Request::get(path);
    let reply = reach
        .patiently(host, request, Default::default)
        .await
        .ok()?;
    (reply.status == StatusCode::OK)
        .then(|| KeySet::read(&reply.body))
        .flatten()
}
