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
    /// Names that a reload has chosen with it: those that the one in use has besides are not missed.
    pub chosen: Option<Vec<String>>,
    /// One of its trunks was answered since, and nobody has tried it again yet.
    pub(super) is_due: bool,
}

impl Awaited {
    /// What the trial of a reload has come to. What is not read from files it has not tried; that goes on waiting for those
    /// of its trunks that are left.
    pub(super) fn replace(
        &self,
        kept: &[Kept],
        is_elsewhere: impl Fn(&TlsContextName) -> bool,
        is_left: impl Fn(&TrunkName) -> bool,
    ) {
        let mut all = self.lock();
        all.retain(|name, own| {
            own.trunks.retain(&is_left);
            !own.trunks.is_empty() && is_elsewhere(name)
        });
        for (name, own) in waiting(kept, wall_clock()) {
            let names = kept.iter().find(|kept| kept.context == name);
            let chosen = names.map(|kept| kept.names.clone());
            all.insert(name, Waiting { chosen, ..own });
        }
    }

    /// What a trial of some has come to.
    pub(super) fn note<'a>(
        &self,
        tried: impl IntoIterator<Item = &'a TlsContextName>,
        kept: &[Kept],
    ) {
        let mut all = self.lock();
        let mut chosen: BTreeMap<_, _> = tried
            .into_iter()
            .filter_map(|name| Some((name.clone(), all.remove(name)?.chosen)))
            .collect();
        for (name, own) in waiting(kept, wall_clock()) {
            let chosen = chosen.remove(&name).flatten();
            all.insert(name, Waiting { chosen, ..own });
        }
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

    /// Those that can be tried again: one of their trunks was answered with 200 since. Each once; it waits until it is.
    pub(super) fn answered(&self, proxies: &Proxies) -> Vec<TlsContextName> {
        let mut all = self.lock();
        let is_over = |own: &Waiting| {
            let ways = own.trunks.iter().flat_map(|trunk| proxies.of(trunk));
            let mut good = ways.filter(|(way, _)| !way.by_peer);
            good.any(|(_, last)| last.good_at.is_some_and(|good| good > own.since))
        };
        let over = all
            .iter_mut()
            .filter(|(_, own)| !own.is_due && is_over(own));
        let over = over.map(|(name, own)| {
            own.is_due = true;
            name.clone()
        });
        over.collect()
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
            chosen: None,
            is_due: false,
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
            names: vec![format!("{context}.example")],
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
        let all = [kept("a", &["teams"]), kept("b", &["other"]), kept("c", &[])];
        awaited.replace(&all, |_| false, |_| true);
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
        assert!(
            awaited.of(&"a".into()).is_some(),
            "nobody has tried it again"
        );
        // Teams is out of order again; what the reload has chosen is so still.
        awaited.note([&"a".into()], &[kept("a", &["teams"])]);
        let chosen = awaited.of(&"a".into()).unwrap().chosen;
        assert_eq!(chosen, Some(vec!["a.example".to_owned()]));
        told(&proxies, false, Some(Status::OK), soon());
        assert_eq!(awaited.answered(&proxies), ["a".into()]);
        awaited.note([&"a".into()], &[]);
        // A later trial that was decided ends a wait as well.
        awaited.note([&"b".into()], &[]);
        assert!(awaited.all().is_empty());
    }

    #[test]
    fn a_reload_ends_no_wait_of_what_it_has_not_tried() {
        let awaited = Awaited::default();
        let by_reload = |kept: &[Kept]| {
            let is_issued = |name: &TlsContextName| name.as_str() != "file";
            awaited.replace(kept, is_issued, |trunk| trunk.as_str() == "teams");
        };
        let of_order = [kept("issued", &["teams", "gone"]), kept("lone", &["gone"])];
        awaited.note([], &of_order);
        awaited.note([], &[kept("file", &["teams"])]);
        by_reload(&[]);
        let left = awaited.all();
        let names: Vec<_> = left.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["issued"]);
        assert!(left[0].1.trunks.iter().eq([&"teams".into()]));
        assert_eq!(left[0].1.chosen, None);
    }
}
