//! Allowances that grow with time, of users and of sources that nobody knows.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

/// Allowance that grows with time.
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    /// One that nothing was taken of.
    fn full(of: f64, at: Instant) -> Self {
        Self { left: of, at }
    }

    /// Takes one, if there is one.
    fn take(&mut self, now: Instant, per_second: f64, most: f64) -> bool {
        let has = self.has(now, per_second, most);
        if has {
            self.left -= 1.0;
        }
        has
    }

    fn has(&mut self, now: Instant, per_second: f64, most: f64) -> bool {
        let grown = now.saturating_duration_since(self.at).as_secs_f64() * per_second;
        (self.left, self.at) = ((self.left + grown).min(most), now);
        self.left >= 1.0
    }
}

/// Allowances of as many as are remembered.
pub(crate) struct Rates<K> {
    per_second: f64,
    most: f64,
    remembered: usize,
    buckets: HashMap<K, Bucket>,
}

/// Those of sources.
pub(crate) type Sources = Rates<IpAddr>;

impl<K: Clone + Eq + Hash> Rates<K> {
    /// So much in a second, so much at once, of so many.
    pub(crate) fn new(per_second: f64, most: f64, remembered: usize) -> Self {
        Self {
            per_second,
            most,
            remembered,
            buckets: HashMap::new(),
        }
    }

    /// Takes one of what somebody has left, if there is one.
    pub(crate) fn take(&mut self, of: &K, now: Instant) -> bool {
        if self.buckets.len() >= self.remembered && !self.buckets.contains_key(of) {
            // Those that have waited longest are forgotten first.
            let oldest = self.buckets.iter().min_by_key(|(_, bucket)| bucket.at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.buckets.remove(&oldest);
            }
        }
        let bucket = self.buckets.entry(of.clone());
        let bucket = bucket.or_insert_with(|| Bucket::full(self.most, now));
        bucket.take(now, self.per_second, self.most)
    }

    /// Whether somebody has one left; nothing is taken.
    pub(crate) fn has(&mut self, of: &K, now: Instant) -> bool {
        let (per_second, most) = (self.per_second, self.most);
        let bucket = self.buckets.get_mut(of);
        bucket.is_none_or(|bucket| bucket.has(now, per_second, most))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.buckets.len()
    }
}

/// Who has a whole network of IPv6 is one source.
pub(crate) fn source(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let network = u128::from(ip) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        ip => ip,
    }
}
