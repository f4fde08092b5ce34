//! Addresses that an operator keeps out: nothing of them is heard, at any listener, whatever trunk they belong to.

use super::{Net, Shared};
use sbc_core::config::IpNet;
use sbc_core::event::DropCode;
use sbc_core::id::ListenerName;
use sbc_core::transport::{FlowFault, Protocol};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// All of them. It is asked of every datagram: who bans nobody pays nothing.
#[derive(Default)]
pub(super) struct Bans {
    single: HashMap<IpAddr, Arc<AtomicU64>>,
    ranges: Vec<(IpNet, Arc<AtomicU64>)>,
}

impl Bans {
    /// Those of these addresses; what was counted of one stays with it.
    fn of(nets: &[IpNet], before: &Self) -> Self {
        let mut bans = Self::default();
        for net in nets {
            let count = before.count(net).cloned().unwrap_or_default();
            match net.is_single() {
                true => drop(bans.single.insert(net.address, count)),
                false => bans.ranges.push((*net, count)),
            }
        }
        bans
    }

    fn count(&self, net: &IpNet) -> Option<&Arc<AtomicU64>> {
        match net.is_single() {
            true => self.single.get(&net.address),
            false => {
                let found = self.ranges.iter().find(|(own, _)| own == net);
                found.map(|(_, count)| count)
            }
        }
    }

    /// The count of the ban that this source falls under.
    fn of_source(&self, source: IpAddr) -> Option<&AtomicU64> {
        if self.single.is_empty() && self.ranges.is_empty() {
            return None;
        }
        let source = source.to_canonical();
        let single = self.single.get(&source);
        let range = || {
            let mut ranges = self.ranges.iter();
            ranges.find(|(own, _)| own.contains(source))
        };
        let found = single.or_else(|| range().map(|(_, count)| count));
        found.map(Arc::as_ref)
    }
}

impl Net {
    /// Hears nothing of these addresses from now on, and of no others; ends their connections.
    pub fn ban(&self, nets: &[IpNet]) {
        let bans = Bans::of(nets, &self.shared.bans.load());
        self.shared.bans.store(Arc::new(bans));
        let bans = self.shared.bans.load();
        let banned = self
            .shared
            .pool
            .retire(|held| bans.of_source(held.remote.ip()).is_some());
        for line in banned {
            line.close(FlowFault::Closed);
        }
    }

    /// What was dropped of a ban: datagrams, messages and connections.
    pub fn dropped_by_ban(&self, net: &IpNet) -> u64 {
        let bans = self.shared.bans.load();
        // Ordering: a figure for people.
        bans.count(net)
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

impl Shared {
    /// Whether something of `source` is to be dropped, which is counted then.
    pub(super) fn is_banned(&self, source: IpAddr) -> bool {
        let bans = self.bans.load();
        let Some(count) = bans.of_source(source) else {
            return false;
        };
        // Ordering: a figure for people.
        count.fetch_add(1, Ordering::Relaxed);
        self.metrics.net.dropped(DropCode::Banned);
        true
    }

    /// Tells of it where somebody looks.
    pub(super) fn banned(&self, listener: &ListenerName, protocol: Protocol, remote: SocketAddr) {
        self.log
            .debug("banned", "an operator has banned the source")
            .with("listener", listener)
            .with("protocol", protocol)
            .with("remote", remote)
            .send();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_found_alone_and_in_a_range_and_counts_stay_with_their_ban() {
        let net = |text: &str| IpNet::parse(text).unwrap();
        let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
        let bans = Bans::of(&[net("192.0.2.7"), net("2001:db8::/64")], &Bans::default());
        for banned in ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::5"] {
            let count = bans.of_source(ip(banned)).unwrap();
            count.fetch_add(1, Ordering::Relaxed);
        }
        for free in ["192.0.2.8", "2001:db8:1::5"] {
            assert!(bans.of_source(ip(free)).is_none(), "{free}");
        }
        let bans = Bans::of(&[net("192.0.2.0/24"), net("192.0.2.7")], &bans);
        let told = |text: &str| {
            bans.count(&net(text))
                .map(|own| own.load(Ordering::Relaxed))
        };
        assert_eq!(told("192.0.2.7"), Some(2));
        assert_eq!(told("192.0.2.0/24"), Some(0));
        assert_eq!(told("2001:db8::/64"), None);
    }
}
