//! How OPTIONS between us and the proxies of Teams last went, in each direction (TDR-OPT-007).

use sbc_core::event::{Event, Happened};
use sbc_core::id::TrunkName;
use sbc_core::sip::Status;
use sbc_core::time::UnixTime;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Most ways that are remembered; the oldest gives way.
const MOST: usize = 16_384;

/// Who asked whom on which trunk.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Way {
    /// Trunk.
    pub trunk: TrunkName,
    /// Whether the proxy asked; otherwise we did.
    pub by_peer: bool,
    /// The proxy: as configured, or as it calls itself.
    pub host: String,
}

/// The last OPTIONS of one way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exchange {
    /// When it was over.
    pub at: UnixTime,
    /// Where the proxy was.
    pub remote: Option<SocketAddr>,
    /// Status of the answer; `None` if there was none.
    pub status: Option<u16>,
    /// What was seen.
    pub because: String,
    /// When one was last answered with 200.
    pub good_at: Option<UnixTime>,
}

/// All ways.
#[derive(Default, Debug)]
pub struct Proxies {
    ways: Mutex<BTreeMap<Way, Exchange>>,
    /// Told of every 200 that we get.
    good: Notify,
}

impl Proxies {
    /// Takes note of what happened.
    pub fn apply(&self, event: &Event) {
        let Happened::Options {
            trunk,
            by_peer,
            host,
            remote,
            status,
            because,
            ..
        } = &event.what
        else {
            return;
        };
        let way = Way {
            trunk: trunk.clone(),
            by_peer: *by_peer,
            host: host.to_ascii_lowercase(),
        };
        let mut ways = self.lock();
        let before = ways.get(&way).and_then(|exchange| exchange.good_at);
        let is_good = *status == Some(Status::OK);
        let exchange = Exchange {
            at: event.at,
            remote: *remote,
            status: status.map(Status::code),
            because: because.clone(),
            good_at: if is_good { Some(event.at) } else { before },
        };
        if ways.len() >= MOST && !ways.contains_key(&way) {
            let oldest = ways.iter().min_by_key(|(_, exchange)| exchange.at);
            if let Some(oldest) = oldest.map(|(way, _)| way.clone()) {
                ways.remove(&oldest);
            }
        }
        ways.insert(way, exchange);
        if is_good && !*by_peer {
            self.good.notify_one();
        }
    }

    /// Waits until we are answered with 200, for the one who waits for that.
    pub async fn next_good(&self) {
        self.good.notified().await;
    }

    /// The ways of a trunk: ours, then theirs, each by name.
    pub fn of(&self, trunk: &TrunkName) -> Vec<(Way, Exchange)> {
        let ways = self.lock();
        let first = Way {
            trunk: trunk.clone(),
            by_peer: false,
            host: String::new(),
        };
        let own = ways.range(first..);
        let own = own.take_while(|(way, _)| way.trunk == *trunk);
        own.map(|(way, last)| (way.clone(), last.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Way, Exchange>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(proxies: &Proxies, second: u64, host: &str, status: Option<Status>) {
        proxies.apply(&Event {
            at: UnixTime::from_micros(second * 1_000_000),
            call: None,
            leg: None,
            what: Happened::Options {
                trunk: TrunkName::new("teams"),
                by_peer: false,
                host: host.to_owned(),
                remote: None,
                status,
                took: None,
                because: "x".to_owned(),
            },
        });
    }

    #[test]
    fn a_failure_does_not_hide_when_it_last_went_well() {
        let proxies = Proxies::default();
        told(&proxies, 60, "sip.example", Some(Status::OK));
        told(&proxies, 120, "SIP.example", None);
        let ways = proxies.of(&TrunkName::new("teams"));
        let [(_, last)] = &ways[..] else {
            panic!("{ways:?}");
        };
        assert_eq!((last.status, last.at.as_micros()), (None, 120_000_000));
        let good = last.good_at.map(UnixTime::as_micros);
        assert_eq!(good, Some(60_000_000));
        assert!(proxies.of(&TrunkName::new("other")).is_empty());
    }

    #[test]
    fn endless_names_fill_no_memory() {
        let proxies = Proxies::default();
        for number in 0..MOST as u64 + 10 {
            told(&proxies, number, &format!("p{number}"), None);
        }
        let ways = proxies.of(&TrunkName::new("teams"));
        assert_eq!(ways.len(), MOST);
        assert!(ways.iter().all(|(way, _)| way.host != "p0"), "the oldest");
    }
}
