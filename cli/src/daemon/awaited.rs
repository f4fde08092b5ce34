//! Certificates of ours that wait for a word of Teams: tried while it answered nobody, and tried again as soon as it
//! answers (TDR-TLS-015).

use super::net::Kept;
use crate::sink::log::wall_clock;
use crate::sink::proxies::Proxies;
use sbc_core::id::{TlsContextName, TrunkName};
use sbc_core::time::UnixTime;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// All of them.
#[derive(Default, Debug)]
pub struct Awaited {
    waiting: Mutex<BTreeMap<TlsContextName, Waiting>>,
}

/// What one waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// When it was tried last.
    pub since: UnixTime,
    /// Trunks of which one has to be answered.
    pub trunks: BTreeSet<TrunkName>,
    /// The same in words.
    pub because: &'static str,
}

impl Awaited {
    /// What a trial of all identities has come to.
    pub(super) fn replace(&self, kept: &[Kept]) {
        let waiting = waiting(kept, wall_clock());
        *self.lock() = waiting.collect();
    }

    /// What a trial of some has come to.
    pub(super) fn note<'a>(
        &self,
        tried: impl IntoIterator<Item = &'a TlsContextName>,
        kept: &[Kept],
    ) {
        let mut all = self.lock();
        for name in tried {
            all.remove(name);
        }
        all.extend(waiting(kept, wall_clock()));
    }

    /// What an identity waits for.
    pub fn of(&self, name: &TlsContextName) -> Option<Waiting> {
        self.lock().get(name).cloned()
    }

    /// Every one that waits.
    pub fn all(&self) -> Vec<(TlsContextName, Waiting)> {
        let all = self.lock();
        all.iter()
            .map(|(name, own)| (name.clone(), own.clone()))
            .collect()
    }

    /// Those whose wait is over: one of their trunks was answered with 200 since.
    pub(super) fn answered(&self, proxies: &Proxies) -> Vec<TlsContextName> {
        let mut all = self.lock();
        let is_over = |own: &Waiting| {
            let ways = own.trunks.iter().flat_map(|trunk| proxies.of(trunk));
            let mut good = ways.filter(|(way, _)| !way.by_peer);
            good.any(|(_, last)| last.good_at.is_some_and(|good| good > own.since))
        };
        let over = all.iter().filter(|(_, own)| is_over(own));
        let over: Vec<_> = over.map(|(name, _)| name.clone()).collect();
        for name in &over {
            all.remove(name);
        }
        over
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TlsContextName, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn waiting(kept: &[Kept], now: UnixTime) -> impl Iterator<Item = (TlsContextName, Waiting)> {
    let waiting = kept.iter().filter(|kept| !kept.awaits.is_empty());
    waiting.map(move |kept| {
        let own = Waiting {
            since: now,
            trunks: kept.awaits.clone(),
            because: kept.because,
        };
        (kept.context.clone(), own)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::event::{Event, Happened};
    use sbc_core::sip::Status;
    use std::time::Duration;

    fn kept(context: &str, awaits: &[&str]) -> Kept {
        Kept {
            context: context.into(),
            because: "x",
            awaits: awaits.iter().copied().map(TrunkName::new).collect(),
        }
    }

    fn told(proxies: &Proxies, by_peer: bool, status: Option<Status>, at: UnixTime) {
        proxies.apply(&Event {
            at,
            call: None,
            leg: None,
            what: Happened::Options {
                trunk: "teams".into(),
                by_peer,
                host: "sip.example".to_owned(),
                remote: None,
                status,
                took: None,
                because: "x".to_owned(),
            },
        });
    }

    #[test]
    fn a_wait_ends_with_the_next_200_and_with_nothing_else() {
        let (awaited, proxies) = (Awaited::default(), Proxies::default());
        let soon = || wall_clock() + Duration::from_secs(1);
        told(&proxies, false, Some(Status::OK), UnixTime::from_micros(1));
        awaited.replace(&[kept("a", &["teams"]), kept("b", &["other"]), kept("c", &[])]);
        assert_eq!(awaited.all().len(), 2, "who is refused waits for nobody");
        for (by_peer, status) in [
            (false, None),
            (false, Some(Status::FORBIDDEN)),
            (true, Some(Status::OK)),
        ] {
            told(&proxies, by_peer, status, soon());
            assert!(awaited.answered(&proxies).is_empty());
        }
        told(&proxies, false, Some(Status::OK), soon());
        assert_eq!(awaited.answered(&proxies), ["a".into()]);
        assert!(awaited.answered(&proxies).is_empty());
        assert!(awaited.of(&"a".into()).is_none() && awaited.of(&"b".into()).is_some());
        // A later trial that was decided ends a wait as well.
        awaited.note([&"b".into()], &[]);
        assert!(awaited.all().is_empty());
    }
}
