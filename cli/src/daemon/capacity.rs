//! How many calls this machine allows, told at the start and with each reload that changes it (OPS-190): by descriptors,
//! ports of media, the kernel's table of connections and its buffers. Processors and bandwidth are another matter, which
//! `causeway certify` measures.

use super::media::Plane;
use crate::sink::log::Log;
use media_relay::BackendReport;
use sbc_core::config::{Config, Loaded, NodeLimits};
use sbc_core::id::RealmName;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Sockets of a call: RTP and RTCP on either side.
const SOCKETS: u64 = 4;
/// Descriptors that all else takes: signalling, files, who looks on.
const OTHERS: u64 = 1_024;
/// One pair of ports of so many is kept for calls for help (SIP-1730).
const KEPT: u64 = 20;

/// What the kernel, and the credential, call how many connections are followed.
const TRACKED: &str = "nf_conntrack_max";

/// How often is looked whether a relay of its own has said what it may have, and how many times.
const LOOK: Duration = Duration::from_millis(200);
const LOOKS: u32 = 50;

/// What there is.
struct Allowed {
    /// Descriptors that the process may have whose media are, where that is known.
    descriptors: Option<u64>,
    /// Whether that is another process than this one.
    is_elsewhere: bool,
    /// Legs that the ports of each realm with a trunk allow.
    legs: Vec<(RealmName, u64)>,
    /// Connections that the kernel follows, where it follows any.
    tracked: Option<u64>,
    /// Octets of the receive buffer that a socket for media is granted and was to have.
    buffer: Option<(usize, usize)>,
    /// What `[limits] calls` says.
    limit: u64,
}

/// Tells what this machine allows, and what to change where that is less than the configuration does. A relay of its own
/// has said nothing of itself yet, and is waited for.
pub(super) fn tell(log: &Log, loaded: &Loaded, relay: &Arc<Plane>) {
    let (legs, limit) = wanted(&loaded.config);
    let mut allowed = Allowed {
        descriptors: None,
        is_elsewhere: loaded.shell.relay.is_some(),
        legs,
        tracked: tracked(std::env::var_os("CREDENTIALS_DIRECTORY").as_deref()),
        buffer: None,
        limit,
    };
    let (report, log) = (relay.backend(), log.clone());
    if report.is_some() || !allowed.is_elsewhere {
        allowed.reported(report.as_ref());
        return allowed.tell(&log);
    }
    let relay = Arc::downgrade(relay);
    tokio::spawn(async move {
        for _ in 0..LOOKS {
            tokio::time::sleep(LOOK).await;
            let Some(relay) = relay.upgrade() else {
                return;
            };
            let report = relay.backend();
            if report.is_some() {
                allowed.reported(report.as_ref());
                break;
            }
        }
        allowed.tell(&log);
    });
}

/// The same for a reload, where the configuration's share of it is another one: nobody hears the same twice.
pub(super) fn tell_change(log: &Log, before: &Loaded, after: &Loaded, relay: &Arc<Plane>) {
    if wanted(&before.config) != wanted(&after.config) {
        tell(log, after, relay);
    }
}

/// What a configuration has to do with it: legs that each realm has ports for, and `[limits] calls`.
fn wanted(config: &Config) -> (Vec<(RealmName, u64)>, u64) {
    (legs(config), config.limits.calls.into())
}

/// Connections that the kernel follows at most. The unit's sandbox hides the kernel's own word, and has the service manager
/// hand it over as a credential.
fn tracked(credentials: Option<&OsStr>) -> Option<u64> {
    let kernel = Path::new("/proc/sys/net/netfilter").join(TRACKED);
    let handed = credentials.map(|folder| Path::new(folder).join(TRACKED));
    let mut places = [Some(kernel), handed].into_iter().flatten();
    places.find_map(|place| number(&std::fs::read_to_string(place).ok()?))
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
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
    /// What the relay says of its process.
    fn reported(&mut self, report: Option<&BackendReport>) {
        self.descriptors = report.and_then(|own| own.descriptors);
        // The kernel counts twice what was asked for.
        self.buffer = report.map(|own| {
            (
                own.receive_buffer_bytes / 2,
                own.wanted_receive_buffer_bytes,
            )
        });
    }

    fn tell(&self, log: &Log) {
        let told = |calls: Option<u64>| calls.map_or_else(|| "any".to_owned(), |n| n.to_string());
        let legs = self.legs.iter();
        let legs: Vec<String> = legs
            .map(|(realm, legs)| format!("{realm} {legs}"))
            .collect();
        log.info(
            "capacity",
            "calls at the same time that this machine allows",
        )
        .with("limit", self.limit)
        .with("by_descriptors", told(self.by_descriptors()))
        .with("by_ports", told(self.by_ports()))
        .with("by_tracking", told(self.by_tracking()))
        .with("legs", legs.join(", "))
        .send();
        for warning in self.warnings() {
            log.warn("capacity", warning).send();
        }
    }

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
            let (whose, unit) = match self.is_elsewhere {
                true => ("descriptors of the relay", "causeway-media"),
                false => ("descriptors", "causeway"),
            };
            all.push(format!(
                "{whose} are enough for {calls} calls, ports and [limits] calls for {wanted}: raise LimitNOFILE of the unit \
                 {unit} (ulimit -n elsewhere) to {needed}, or lower calls"
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
    use sbc_core::config::{Assumed, Source, load, starter};

    fn allowed() -> Allowed {
        Allowed {
            descriptors: Some(262_144),
            is_elsewhere: false,
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
            own.descriptors = Some(1_024 + 400);
            own.is_elsewhere = true;
        });
        assert!(
            few.starts_with("descriptors of the relay") && few.contains("unit causeway-media"),
            "{few}"
        );
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

    #[test]
    fn what_a_reload_changes_of_ports_and_calls_is_another_capacity_and_nothing_else_is() {
        let of = |text: &str| {
            let facts = Assumed::with_names(["sbc1.contoso.example"]);
            let loaded = load(&[Source::new("causeway.toml", text)], &facts, None);
            let loaded = loaded.unwrap_or_else(|findings| panic!("{}", findings.to_text()));
            wanted(&loaded.config)
        };
        let text = starter();
        let before = of(text);
        let other = |from: &str, to: &str| {
            let changed = text.replace(from, to);
            assert_ne!(changed, text, "{from}");
            of(&changed)
        };
        assert_eq!(
            other("user_agent = \"Causeway\"", "user_agent = \"\""),
            before
        );
        assert_ne!(
            other("ports = \"20000-29999\"", "ports = \"20000-20999\""),
            before
        );
        assert_eq!(other("\ncalls = 500\n", "\ncalls = 400\n"), (before.0, 400));
    }

    #[test]
    fn what_the_sandbox_hides_is_read_from_what_the_service_manager_hands_over() {
        let folder = tempfile::tempdir().unwrap();
        let kernel = Path::new("/proc/sys/net/netfilter").join(TRACKED);
        let file = folder.path().join(TRACKED);
        let read = || tracked(Some(folder.path().as_os_str()));
        let of_kernel = std::fs::read_to_string(kernel).ok();
        let of_kernel = of_kernel.and_then(|text| number(&text));
        assert_eq!(read(), of_kernel);
        std::fs::write(&file, "262144\n").unwrap();
        assert_eq!(read(), of_kernel.or(Some(262_144)));
        // Where no connection is followed, the unit's own word stands there.
        std::fs::write(&file, "none").unwrap();
        assert_eq!(read(), of_kernel);
    }
}
