//! Who guesses: failures by source and user, and whose credentials nobody looks at for a while (SEC-056).
//!
//! A whole site may stand behind one address. One phone of it with a wrong password makes nobody else
//! silent: only its own name is not listened to from there, and a request without credentials is
//! challenged as ever. So nobody's calls for help depend on somebody else's password.

use crate::time::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Failures of a name from a source that are forgiven; every further one costs time.
const FORGIVEN: u32 = 4;
/// What the first failure beyond those costs. Each one more costs twice as much.
const SHORTEST: Duration = Duration::from_secs(30);
/// The most that a failure costs.
const LONGEST: Duration = Duration::from_secs(3_600);
/// How long a failure is remembered.
const MEMORY: Duration = Duration::from_secs(3_600);
/// Most pairs of source and name that are remembered.
const MOST: usize = 16_384;
/// Most sources that an operator is told of.
const MOST_TOLD: usize = 256;
/// Pairs for which room is made at once.
const ROOM: usize = MOST / 8;
/// Failures of one user from anywhere, within [`MEMORY`], that an operator should know of. The user
/// is not shut out: that would be in the hands of whoever guesses.
const ALARMING: u32 = 50;

/// Names that have failed of late.
#[derive(Default)]
pub(super) struct Sources {
    pairs: BTreeMap<(IpAddr, Name), Pair>,
    users: BTreeMap<Name, User>,
}

/// A user name, whatever its length.
type Name = [u8; 16];

/// One name from one source.
struct Pair {
    failures: u32,
    last: Timestamp,
    silent_until: Option<Timestamp>,
}

/// One user, from anywhere.
struct User {
    failures: u32,
    since: Timestamp,
}

/// What a failure leads to.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Failed {
    /// For how long the name gets no answer from this source.
    pub(super) silence: Option<Duration>,
    /// The user is guessed at so often that an operator should know.
    pub(super) is_alarming: bool,
}

impl Pair {
    /// When nothing need be known of it any more.
    fn over(&self) -> Timestamp {
        self.silent_until.unwrap_or(self.last).max(self.last) + MEMORY
    }
}

impl Sources {
    /// Whether a name's credentials are not looked at when they come from this source.
    pub(super) fn bans(&self, now: Timestamp, source: IpAddr, name: &str) -> bool {
        if self.pairs.is_empty() {
            return false;
        }
        let found = self.pairs.get(&(network(source), short(name)));
        found.is_some_and(|one| one.silent_until.is_some_and(|until| now < until))
    }

    /// Sources of which a name is not listened to, each once, with how long that lasts: the longest first.
    pub(super) fn silenced(&self, now: Timestamp) -> Vec<(IpAddr, Duration)> {
        let mut all: BTreeMap<IpAddr, Duration> = BTreeMap::new();
        for ((source, _), pair) in &self.pairs {
            if let Some(until) = pair.silent_until.filter(|until| now < *until) {
                let left = all.entry(*source).or_default();
                *left = until.since(now).max(*left);
            }
        }
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by_key(|(_, left)| std::cmp::Reverse(*left));
        all.truncate(MOST_TOLD);
        all
    }

    /// Counts a failure. `is_known` says whether there is such a user.
    pub(super) fn failed(
        &mut self,
        now: Timestamp,
        source: IpAddr,
        name: &str,
        is_known: bool,
    ) -> Failed {
        let name = short(name);
        let is_alarming = is_known && self.alarms(now, name);
        let key = (network(source), name);
        if !self.pairs.contains_key(&key) && self.pairs.len() >= MOST {
            self.make_room(now);
        }
        let fresh = || Pair {
            failures: 0,
            last: now,
            silent_until: None,
        };
        let one = self.pairs.entry(key).or_insert_with(fresh);
        if now >= one.over() {
            *one = fresh();
        }
        one.failures = one.failures.saturating_add(1);
        one.last = now;
        let beyond = one.failures.checked_sub(FORGIVEN + 1);
        let silence = beyond.map(|beyond| {
            let doubled = SHORTEST.saturating_mul(1 << beyond.min(16));
            doubled.min(LONGEST)
        });
        one.silent_until = silence.map(|silence| now + silence);
        Failed {
            silence,
            is_alarming,
        }
    }

    /// A name has shown that it knows its password: what failed before was a slip.
    pub(super) fn succeeded(&mut self, source: IpAddr, name: &str) {
        if !self.pairs.is_empty() {
            self.pairs.remove(&(network(source), short(name)));
        }
    }

    /// Whether this failure is the one that makes guessing at a user alarming: once in a while.
    fn alarms(&mut self, now: Timestamp, name: Name) -> bool {
        let is_over = |user: &User| now >= user.since + MEMORY;
        // Only users that are configured are in it, or were when they failed.
        if !self.users.contains_key(&name) {
            self.users.retain(|_, user| !is_over(user));
        }
        let fresh = || User {
            failures: 0,
            since: now,
        };
        let user = self.users.entry(name).or_insert_with(fresh);
        if is_over(user) {
            *user = fresh();
        }
        user.failures = user.failures.saturating_add(1);
        user.failures == ALARMING
    }

    /// Forgets what is over; if that is nothing, the names that have failed least and longest ago:
    /// whoever invents names must not make us forget at whom he guesses. Many at once, because he
    /// would have us look through all of them for each name.
    fn make_room(&mut self, now: Timestamp) {
        self.pairs.retain(|_, one| now < one.over());
        if self.pairs.len() < MOST {
            return;
        }
        let pairs = self.pairs.iter();
        let mut least: Vec<_> = pairs
            .map(|(key, one)| (one.failures, one.last, *key))
            .collect();
        least.select_nth_unstable(ROOM);
        for (_, _, key) in &least[..ROOM] {
            self.pairs.remove(key);
        }
    }
}

/// As much of a digest as nobody finds a second name for.
fn short(name: &str) -> Name {
    let digest: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}

/// What one attacker has at least: an IPv4 address, or 64 bits of IPv6.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let bits = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(bits).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn source(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_operator_is_told_of_each_silent_source_once_and_of_no_other() {
        let mut sources = Sources::default();
        let (guesses, slips) = (source("192.0.2.7"), source("192.0.2.8"));
        for name in ["1001", "1002"] {
            for _ in 0..5 {
                sources.failed(at(0), guesses, name, false);
            }
        }
        sources.failed(at(0), guesses, "1002", false);
        sources.failed(at(0), slips, "1001", true);
        let told = |second| sources.silenced(at(second));
        assert_eq!(told(0), [(guesses, Duration::from_secs(60))]);
        assert_eq!(told(59), [(guesses, Duration::from_secs(1))]);
        assert_eq!(told(60), []);
    }

    fn silences(sources: &mut Sources, source: IpAddr, name: &str, times: usize) -> Vec<u64> {
        let mut now = at(0);
        let one = |_| {
            let silence = sources.failed(now, source, name, true).silence;
            let silence = silence.unwrap_or_default();
            now = now + silence;
            silence.as_secs()
        };
        (0..times).map(one).collect()
    }

    #[test]
    fn every_failure_from_the_fifth_on_costs_twice_as_much_as_the_one_before() {
        let mut sources = Sources::default();
        let told = silences(&mut sources, source("198.51.100.1"), "pbx1", 14);
        let wanted = [
            0, 0, 0, 0, 30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600,
        ];
        assert_eq!(told, wanted);
    }

    #[test]
    fn only_the_name_that_failed_is_shut_out_and_only_from_there() {
        let mut sources = Sources::default();
        let site = source("198.51.100.1");
        for _ in 0..5 {
            sources.failed(at(0), site, "phone7", true);
        }
        assert!(sources.bans(at(29), site, "phone7"));
        assert!(!sources.bans(at(30), site, "phone7"));
        assert!(!sources.bans(at(1), site, "phone8"));
        assert!(!sources.bans(at(1), source("198.51.100.2"), "phone7"));
        // An hour later it is counted from the beginning.
        let silence = sources.failed(at(3_630), site, "phone7", true).silence;
        assert_eq!(silence, None);
    }

    #[test]
    fn who_knows_the_password_in_the_end_begins_anew() {
        let mut sources = Sources::default();
        let phone = source("198.51.100.1");
        for n in 0..100 {
            let failed = sources.failed(at(n), phone, "pbx1", false);
            assert_eq!(failed.silence, None);
            if n % 4 == 3 {
                sources.succeeded(phone, "pbx1");
            }
        }
    }

    #[test]
    fn an_ipv6_network_is_one_source_and_a_mapped_address_its_ipv4_one() {
        let mut sources = Sources::default();
        for n in 0..5_u32 {
            sources.failed(at(0), source(&format!("2001:db8::{n:x}")), "pbx1", true);
            sources.failed(at(0), source("::ffff:198.51.100.1"), "pbx1", true);
        }
        assert!(sources.bans(at(1), source("2001:db8::ffff"), "pbx1"));
        assert!(!sources.bans(at(1), source("2001:db8:0:1::1"), "pbx1"));
        assert!(sources.bans(at(1), source("198.51.100.1"), "pbx1"));
    }

    #[test]
    fn a_user_whom_the_world_guesses_at_is_told_once_an_hour_and_not_shut_out() {
        let mut sources = Sources::default();
        let alarms = |sources: &mut Sources, second: u64, is_known: bool| {
            let guess = |n: u32| {
                let from = IpAddr::from((0x0a00_0000 + n).to_be_bytes());
                sources.failed(at(second), from, "pbx1", is_known)
            };
            (0..120).map(guess).filter(|one| one.is_alarming).count()
        };
        assert_eq!(alarms(&mut sources, 0, true), 1);
        assert_eq!(alarms(&mut sources, 3_599, true), 0);
        assert_eq!(alarms(&mut sources, 3_600, true), 1);
        assert!(!sources.bans(at(3_600), source("198.51.100.1"), "pbx1"));
        assert_eq!(
            alarms(&mut Sources::default(), 0, false),
            0,
            "there is none"
        );
    }

    #[test]
    fn memory_is_bounded_and_invented_names_do_not_wash_out_who_was_guessed_at() {
        let mut sources = Sources::default();
        let guesser = source("198.51.100.1");
        for _ in 0..5 {
            sources.failed(at(1), guesser, "pbx1", true);
        }
        for n in 0..MOST + 100 {
            sources.failed(at(2), guesser, &n.to_string(), false);
        }
        assert_eq!(sources.pairs.len(), MOST - ROOM + 101);
        assert!(sources.bans(at(3), guesser, "pbx1"));
        assert_eq!(sources.users.len(), 1);
    }
}
