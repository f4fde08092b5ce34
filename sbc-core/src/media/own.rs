//! Where this node itself is, which no peer may have its media sent to (SEC-102).
//!
//! A peer that names one of our addresses would have us talk to what else listens there: signalling, an
//! interface, a neighbour's program. Our own media ports are another matter: a call that somebody sends
//! back to us without touching its media names them rightly, and whatever arrives there is judged by
//! the call that the port belongs to. So is a peer that shares our host, where the trunk says so.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// Our addresses, and the media ports of each.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OwnPlaces(Vec<(IpAddr, RangeInclusive<u16>)>);

impl OwnPlaces {
    /// These addresses with their media ports; an address may have several ranges.
    pub fn new(media: impl IntoIterator<Item = (IpAddr, RangeInclusive<u16>)>) -> Self {
        let canonical = |(ip, ports): (IpAddr, _)| (ip.to_canonical(), ports);
        Self(media.into_iter().map(canonical).collect())
    }

    /// Whether a peer's media may not be sent there: it is ours, and no media port.
    pub fn forbid(&self, at: SocketAddr) -> bool {
        let ip = at.ip().to_canonical();
        let mut is_ours = false;
        for (_, ports) in self.0.iter().filter(|(own, _)| *own == ip) {
            if ports.contains(&at.port()) {
                return false;
            }
            is_ours = true;
        }
        is_ours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_our_own_addresses_only_media_ports_are_sent_to() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let own = OwnPlaces::new([
            (ip("192.0.2.10"), 20_000..=29_999),
            (ip("192.0.2.10"), 40_000..=40_099),
            (ip("2001:db8::10"), 20_000..=29_999),
        ]);
        for (at, forbidden) in [
            ("192.0.2.10:20000", false),
            ("192.0.2.10:40099", false),
            ("192.0.2.10:30000", true),
            ("192.0.2.10:5060", true),
            ("[::ffff:192.0.2.10]:5060", true),
            ("[2001:db8::10]:5061", true),
            ("192.0.2.11:5060", false),
        ] {
            assert_eq!(own.forbid(at.parse().unwrap()), forbidden, "{at}");
        }
        assert!(!OwnPlaces::default().forbid("192.0.2.10:5060".parse().unwrap()));
    }
}
