//! How many calls this machine allows, told at the start (OPS-190): by descriptors, ports of media, the kernel's table of
//! connections and its buffers. Processors and bandwidth are another matter, which `causeway certify` measures.

use super::media::Plane;
use crate::sink::log::Log;
use sbc_core::config::{Config, Loaded, NodeLimits};
use sbc_core::id::RealmName;
use std::collections::BTreeSet;

/// Sockets of a call: RTP and RTCP on either side.
const SOCKETS: u64 = 4;
/// Descriptors that all else takes: signalling, files, who looks on.
const OTHERS: u64 = 1_024;
/// One pair of ports of so many is kept for calls for help (SIP-1730).
const KEPT: u64 = 20;

/// What there is.
struct Allowed {
    /// Descriptors that this process may have, where media are its own.
    descriptors: Option<u64>,
    /// Legs that the ports of each realm with a trunk allow.
    legs: Vec<(RealmName, u64)>,
    /// Connections that the kernel follows, where it follows any.
    tracked: Option<u64>,
    /// Octets of the receive buffer that a socket for media is granted and was to have.
    buffer: Option<(usize, usize)>,
    /// What `[limits] calls` says.
    limit: u64,
}

/// Tells what this machine allows, and what to change where that is less than the configuration does.
pub(super) fn tell(log: &Log, loaded: &Loaded, relay: &Plane) {
    let is_here = loaded.shell.relay.is_none();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let report = relay.backend();
    let table = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_max").ok();
    let allowed = Allowed {
        descriptors: limit.current.filter(|_| is_here),
        legs: legs(&loaded.config),
        tracked: table.and_then(|text| text.trim().parse().ok()),
        buffer: report.map(|own| {
            // The kernel counts twice what was asked for.
            let granted = own.receive_buffer_bytes / 2;
            (granted, own.wanted_receive_buffer_bytes)
        }),
        limit: loaded.config.limits.calls.into(),
    };
    let told = |calls: Option<u64>| calls.map_or_else(|| "any".to_owned(), |n| n.to_string());
    let legs: Vec<String> = allowed
        .legs
        .iter()
        .map(|(realm, legs)| format!("{realm} {legs}"))
        .collect();
    log.info(
        "capacity",
        "calls at the same time that this machine allows",
    )
    .with("limit", allowed.limit)
    .with("by_descriptors", told(allowed.by_descriptors()))
    .with("by_ports", told(allowed.by_ports()))
    .with("by_tracking", told(allowed.by_tracking()))
    .with("legs", legs.join(", "))
    .send();
    for warning in allowed.warnings() {
        log.warn("capacity", warning).send();
    }
}

/// Legs that each realm has ports for, among those that have a trunk.
fn legs(config: &Config) -> Vec<(RealmName, u64)> {
    let used: BTreeSet<&RealmName> = config.trunks.values().map(|trunk| &trunk.realm).collect();
    let realms = config.realms.values();
    let realms = realms.filter(|realm| used.contains(&realm.name));
    let of = |realm: &std::sync::Arc<sbc_core::config::Realm>| {
        let (first, last) = (
            u64::from(*realm.ports.start()),
            u64::from(*realm.ports.end()),
        );
        // Even ports whose odd neighbour is in the range as well.
        let pairs = (last + 1).saturating_sub(first.next_multiple_of(2)) / 2;
        let families = u64::from(realm.v4.is_some()) + u64::from(realm.v6.is_some());
        (realm.name.clone(), families * (pairs - pairs / KEPT))
    };
    realms.map(of).collect()
}

impl Allowed {
    fn by_descriptors(&self) -> Option<u64> {
        let own = self.descriptors?;
        Some(own.saturating_sub(OTHERS) / SOCKETS)
    }

    /// A call has a leg in two realms, or two in the only one.
    fn by_ports(&self) -> Option<u64> {
        match self.legs.as_slice() {
            [] => None,
            [(_, only)] => Some(only / 2),
            several => several.iter().map(|(_, legs)| *legs).min(),
        }
    }

    fn by_tracking(&self) -> Option<u64> {
        Some(self.tracked? / SOCKETS)
    }

    fn warnings(&self) -> Vec<String> {
        let mut all = Vec::new();
        // Where ports are used up calls are refused in order; where descriptors are, all else fails with them.
        let wanted = self.by_ports().map_or(self.limit, |n| n.min(self.limit));
        if let Some(calls) = self.by_descriptors().filter(|calls| *calls < wanted) {
            let needed = wanted * SOCKETS + OTHERS;
            all.push(format!(
                "descriptors are enough for {calls} calls, ports and [limits] calls for {wanted}: raise LimitNOFILE of the \
                 unit (ulimit -n elsewhere) to {needed}, or lower calls"
            ));
        }
        // What nobody has written is no wish.
        let is_written = self.limit != u64::from(NodeLimits::default().calls);
        if let Some(calls) = self
            .by_ports()
            .filter(|calls| is_written && *calls < self.limit)
        {
            let least = self.legs.iter().min_by_key(|(_, legs)| *legs);
            let realm = least.map_or("", |(realm, _)| realm.as_str());
            all.push(format!(
                "ports of realm \"{realm}\" are enough for {calls} calls, [limits] calls says {}: widen ports of the realm, \
                 or lower calls",
                self.limit
            ));
        }
        if let Some(calls) = self.by_tracking().filter(|calls| *calls < wanted) {
            all.push(format!(
                "the kernel follows connections, of {calls} calls at most: exempt the ports of media (NOTRACK), or raise \
                 net.netfilter.nf_conntrack_max to {}",
                wanted * SOCKETS
            ));
        }
        if let Some((granted, asked)) = self.buffer.filter(|(granted, asked)| granted < asked) {
            all.push(format!(
                "the kernel grants sockets for media a receive buffer of {granted} octets of {asked}, so that bursts are \
                 lost: set net.core.rmem_max to {asked} or more"
            ));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed() -> Allowed {
        Allowed {
            descriptors: Some(262_144),
            legs: vec![("teams".into(), 4_750), ("carrier".into(), 4_750)],
            tracked: None,
            buffer: Some((524_288, 524_288)),
            limit: 10_000,
        }
    }

    #[test]
    fn what_is_scarce_is_told_with_the_setting_to_change() {
        let usual = allowed();
        assert_eq!(usual.by_descriptors(), Some(65_280));
        assert_eq!(usual.by_ports(), Some(4_750));
        assert_eq!(usual.warnings(), [""; 0]);
        let told = |change: fn(&mut Allowed)| {
            let mut own = allowed();
            change(&mut own);
            own.warnings().join("\n")
        };
        let few = told(|own| own.descriptors = Some(1_024 + 400));
        assert!(
            few.contains("for 100 calls") && few.contains("LimitNOFILE"),
            "{few}"
        );
        assert!(few.contains("20024"), "{few}");
        let few = told(|own| {
            own.limit = 3_000;
            own.legs[1].1 = 95;
        });
        assert!(
            few.contains("realm \"carrier\"") && few.contains("says 3000"),
            "{few}"
        );
        let one = told(|own| {
            own.limit = 3_000;
            own.legs.truncate(1);
        });
        assert!(one.contains("for 2375 calls"), "{one}");
        let few = told(|own| own.tracked = Some(4_000));
        assert!(few.contains("nf_conntrack_max to 19000"), "{few}");
        let small = told(|own| own.buffer = Some((212_992, 524_288)));
        assert!(small.contains("net.core.rmem_max to 524288"), "{small}");
    }
}
