//! Who of late was refused because they belong to no trunk: for an operator who wonders what knocks.
//!
//! There are a few places. Whoever comes last takes the place of another one who has the same, which costs the same
//! however many there are: somebody who writes any address into datagrams makes us forget others, and nothing more.

use super::Net;
use super::admission::group;
use sbc_core::id::ListenerName;
use sbc_core::transport::Protocol;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Places.
const MOST: usize = 512;

/// Somebody who belongs to no trunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stranger {
    /// The address; the first of 64 bits of IPv6.
    pub source: IpAddr,
    /// Where it knocked last.
    pub listener: ListenerName,
    /// How.
    pub protocol: Protocol,
    /// Datagrams and connections of it.
    pub times: u64,
    /// When it came first.
    pub first: Instant,
    /// When it came last.
    pub last: Instant,
}

/// Those of late.
pub(super) struct Strangers {
    places: Mutex<Vec<Option<Stranger>>>,
    order: RandomState,
}

impl Default for Strangers {
    fn default() -> Self {
        Self {
            places: Mutex::new(vec![None; MOST]),
            order: RandomState::new(),
        }
    }
}

impl Strangers {
    /// One has come.
    pub(super) fn note(
        &self,
        source: IpAddr,
        listener: &ListenerName,
        protocol: Protocol,
        now: Instant,
    ) {
        let source = group(source.to_canonical());
        let at = usize::try_from(self.order.hash_one(source)).unwrap_or(0) % MOST;
        let mut places = self.lock();
        let Some(place) = places.get_mut(at) else {
            return;
        };
        match place {
            Some(known) if known.source == source => {
                known.times = known.times.saturating_add(1);
                known.last = now;
                if known.listener != *listener {
                    known.listener = listener.clone();
                }
                known.protocol = protocol;
            }
            other => {
                *other = Some(Stranger {
                    source,
                    listener: listener.clone(),
                    protocol,
                    times: 1,
                    first: now,
                    last: now,
                });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Stranger>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Net {
    /// Who of late was refused because they belong to no trunk, the last one first.
    pub fn strangers(&self) -> Vec<Stranger> {
        let mut all: Vec<Stranger> = self
            .shared
            .strangers
            .lock()
            .iter()
            .flatten()
            .cloned()
            .collect();
        all.sort_by_key(|own| std::cmp::Reverse(own.last));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_counted_and_however_many_come_few_are_known() {
        let strangers = Strangers::default();
        let (udp, now) = (ListenerName::new("udp"), Instant::now());
        let known = || -> Vec<Stranger> { strangers.lock().iter().flatten().cloned().collect() };
        for host in [1, 2] {
            let source = format!("2001:db8::{host}").parse().unwrap();
            strangers.note(source, &udp, Protocol::Udp, now);
        }
        let [one] = &known()[..] else {
            panic!("{:?}", known());
        };
        assert_eq!(
            (one.source.to_string().as_str(), one.times),
            ("2001:db8::", 2)
        );
        for host in 0..10_000_u32 {
            let source = IpAddr::V4((0xc000_0200 + host).into());
            strangers.note(source, &udp, Protocol::Udp, now);
        }
        assert!(known().len() <= MOST);
        let last = IpAddr::V4((0xc000_0200_u32 + 9_999).into());
        assert!(known().iter().any(|own| own.source == last));
    }
}
