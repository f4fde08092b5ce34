//! The chains that machines of Teams present, looked at with every handshake and told once a day: which root each
//! led to, what it may be used for, and when it ends (TDR-TLS-010).
//!
//! Who is met is told apart by name and root, so that a machine whose authority is another one already shows beside
//! those of before. Of all that one name shows within a day the worst counts, and no trouble is told twice a day.

use super::expiry::SOON;
use super::net::tls::{Chain, Link};
use crate::config::bundled_roots;
use crate::sink::log::Log;
use crate::sink::metrics::{ChainMetrics, Direction, Shown};
use sbc_core::config::MICROSOFT_ROOTS_OF;
use sbc_core::time::UnixTime;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most chains that are kept; the one that was not seen for longest gives way.
const MOST: usize = 64;
/// Days after which a chain that nobody shows any more is forgotten: connections of Teams may last for days.
const FORGOTTEN: i64 = 8;
const DAY: i64 = 86_400;

/// What may be wrong with a chain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Trouble {
    /// Its root is none of Microsoft's list.
    Root,
    /// It ends soon, or has ended.
    Expiry,
    /// It is not for what it is used for.
    Use,
}

impl Trouble {
    const ALL: [Self; 3] = [Self::Root, Self::Expiry, Self::Use];

    /// Label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Expiry => "expiry",
            Self::Use => "use",
        }
    }

    fn is_in(self, seen: &Seen, now: i64) -> bool {
        let (chain, purposes) = (&seen.chain, seen.chain.purposes);
        match self {
            Self::Root => !chain.is_bundled,
            Self::Expiry => days_left(chain.first_to_end(), now) <= SOON,
            // As a client Teams may show a certificate for servers alone (TDR-TLS-009).
            Self::Use => match seen.is_ours {
                true => !purposes.server,
                false => !purposes.server && !purposes.client,
            },
        }
    }

    /// What it means and what to do.
    fn told(self, seen: &Seen, now: i64) -> String {
        let chain = &seen.chain;
        match self {
            Self::Root => format!(
                "the chain that Teams presents ends at \"{}\", which is none of the roots that Microsoft announced in \
                 {MICROSOFT_ROOTS_OF}: if this is the service itself, look for its news and for a newer version of \
                 this program",
                chain.root.name
            ),
            Self::Expiry => format!(
                "\"{}\" in the chain that Teams presents ends in {} days: Microsoft has to renew it; look for its \
                 news, and whether its next root is among those of client_ca",
                chain.first_to_end().name,
                days_left(chain.first_to_end(), now)
            ),
            Self::Use => format!(
                "the certificate that Teams presents is for {}: it is believed today; tell Microsoft",
                chain.purposes.as_str()
            ),
        }
    }
}

fn days_left(link: &Link, now: i64) -> i64 {
    (link.until - now).div_euclid(DAY)
}

/// Who has shown a chain.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key {
    /// Whether we have connected.
    is_ours: bool,
    /// The proxy that was called, or the name in the certificate of who has called.
    peer: String,
    root: String,
}

/// A chain, and when and where it was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Whether we have connected; otherwise Teams has.
    pub is_ours: bool,
    /// The proxy that was called, or the name in the certificate of who has called.
    pub peer: String,
    /// Where it was.
    pub remote: SocketAddr,
    /// When.
    pub at: UnixTime,
    /// The worst of its day.
    pub chain: Chain,
    /// Whether a day has ended since.
    is_of_before: bool,
    told: Vec<Trouble>,
}

impl Seen {
    fn direction(&self) -> Direction {
        match self.is_ours {
            true => Direction::Out,
            false => Direction::In,
        }
    }

    fn troubles(&self, now: i64) -> Vec<Trouble> {
        let all = Trouble::ALL.into_iter();
        all.filter(|trouble| trouble.is_in(self, now)).collect()
    }

    /// What there is to say of it, in words.
    pub fn verdict(&self, now: UnixTime) -> String {
        let now = seconds(now);
        let troubles = self.troubles(now);
        let told: Vec<String> = troubles.iter().map(|own| own.told(self, now)).collect();
        match told.is_empty() {
            false => told.join("; "),
            true => {
                let first = self.chain.first_to_end();
                let what = match *first == self.chain.leaf {
                    true => "its certificate".to_owned(),
                    false => format!("\"{}\"", first.name),
                };
                format!(
                    "a root of Microsoft's list; {what} ends in {} days",
                    days_left(first, now)
                )
            }
        }
    }
}

/// Chains that were seen.
#[derive(Default)]
pub struct Chains(Mutex<BTreeMap<Key, Seen>>);

impl Chains {
    /// Takes note of a chain that was believed. What is new of it is told at once.
    pub fn note(
        &self,
        (direction, peer, remote): (Direction, &str, SocketAddr),
        chain: Chain,
        now: UnixTime,
        (log, figures): (&Log, &ChainMetrics),
    ) {
        let key = Key {
            is_ours: direction == Direction::Out,
            peer: peer.to_ascii_lowercase(),
            root: chain.root.name.clone(),
        };
        let mut all = self.lock();
        let before = all.get(&key).cloned();
        let chain = match &before {
            Some(before) if !before.is_of_before => worse(&before.chain, chain),
            _ => chain,
        };
        let mut seen = Seen {
            is_ours: key.is_ours,
            peer: key.peer.clone(),
            remote,
            at: now,
            chain,
            is_of_before: false,
            told: before
                .as_ref()
                .map_or_else(Vec::new, |own| own.told.clone()),
        };
        let is_as_before = before
            .as_ref()
            .is_some_and(|own| !own.is_of_before && own.chain == seen.chain);
        if before.is_none() {
            tell(&seen, log);
        }
        tell_troubles(&mut seen, seconds(now), log);
        if all.len() >= MOST && !all.contains_key(&key) {
            let oldest = all.iter().min_by_key(|(_, seen)| seen.at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                all.remove(&oldest);
            }
        }
        all.insert(key, seen);
        if !is_as_before {
            publish(&all, seconds(now), figures);
        }
    }

    /// A day has ended: everything that is known is told again, and a new day begins.
    pub fn tell_all(&self, now: UnixTime, (log, figures): (&Log, &ChainMetrics)) {
        let mut all = self.lock();
        let now = seconds(now);
        all.retain(|_, seen| now - seconds(seen.at) <= FORGOTTEN * DAY);
        for seen in all.values_mut() {
            seen.told.clear();
            tell(seen, log);
            tell_troubles(seen, now, log);
            seen.is_of_before = true;
        }
        publish(&all, now, figures);
    }

    /// Everything that is known.
    pub fn all(&self) -> Vec<Seen> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells of roots of the program that end soon, as a chain to them may be shown until then.
pub fn warn_of_bundled(now: UnixTime, log: &Log) {
    let now = seconds(now);
    for root in bundled_roots() {
        let days = (root.until - now).div_euclid(DAY);
        if days <= SOON {
            let text = "a root of Microsoft's that is part of this program ends soon; look for a newer version";
            log.warn("teams_root_expiry", text)
                .with("root", &root.name)
                .with("days_left", days)
                .send();
        }
    }
}

/// The roots that are part of the program, in words.
pub fn bundled(now: UnixTime) -> String {
    let first = bundled_roots().iter().min_by_key(|root| root.until);
    first.map_or_else(String::new, |first| {
        format!(
            "{} roots that Microsoft announced in {MICROSOFT_ROOTS_OF}; the first to end is \"{}\" on {}, \
             in {} days",
            bundled_roots().len(),
            first.name,
            date(first.until),
            (first.until - seconds(now)).div_euclid(DAY)
        )
    })
}

/// Of two chains of one name the worse in every respect.
fn worse(one: &Chain, two: Chain) -> Chain {
    let first = |one: &Link, two: Link| {
        if one.until < two.until {
            one.clone()
        } else {
            two
        }
    };
    Chain {
        leaf: first(&one.leaf, two.leaf),
        between: match (&one.between, two.between) {
            (Some(one), Some(two)) => Some(first(one, two)),
            (one, two) => two.or_else(|| one.clone()),
        },
        root: first(&one.root, two.root),
        is_bundled: one.is_bundled && two.is_bundled,
        purposes: super::net::tls::Purposes {
            server: one.purposes.server && two.purposes.server,
            client: one.purposes.client && two.purposes.client,
        },
    }
}

fn tell(seen: &Seen, log: &Log) {
    let Chain { leaf, root, .. } = &seen.chain;
    log.info("teams_chain", "what Teams presents of its authorities")
        .with("dir", seen.direction().as_str())
        .with("peer", &seen.peer)
        .with("remote", seen.remote)
        .with("certificate", &leaf.name)
        .with("use", seen.chain.purposes.as_str())
        .with("root", &root.name)
        .with("bundled", seen.chain.is_bundled)
        .with("ends", date(seen.chain.first_to_end().until))
        .with("seen", seen.at.rfc3339())
        .send();
}

fn tell_troubles(seen: &mut Seen, now: i64, log: &Log) {
    for trouble in seen.troubles(now) {
        if seen.told.contains(&trouble) {
            continue;
        }
        log.warn("teams_chain_trouble", trouble.told(seen, now))
            .with("why", trouble.as_str())
            .with("dir", seen.direction().as_str())
            .with("peer", &seen.peer)
            .with("remote", seen.remote)
            .with("root", &seen.chain.root.name)
            .send();
        seen.told.push(trouble);
    }
}

fn publish(all: &BTreeMap<Key, Seen>, now: i64, figures: &ChainMetrics) {
    figures.set(all.iter().map(|(key, seen)| {
        let Chain {
            leaf,
            between,
            root,
            ..
        } = &seen.chain;
        let between = between.as_ref().map(|link| ("intermediate", link.until));
        let ends = [("leaf", leaf.until), ("root", root.until)].into_iter();
        let troubles = Trouble::ALL.into_iter();
        Shown {
            direction: seen.direction(),
            peer: &key.peer,
            root: &key.root,
            ends: ends.chain(between).collect(),
            troubles: troubles
                .map(|trouble| (trouble.as_str(), trouble.is_in(seen, now)))
                .collect(),
        }
    }));
}

fn seconds(at: UnixTime) -> i64 {
    i64::try_from(at.as_micros() / 1_000_000).unwrap_or(i64::MAX)
}

fn date(at: i64) -> String {
    let micros = u64::try_from(at).unwrap_or(0).saturating_mul(1_000_000);
    UnixTime::from_micros(micros).date()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::net::tls::Purposes;
    use crate::sink::log::{Form, Level};
    use crate::sink::metrics::Metrics;
    use std::io::{self, Write};
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn link(name: &str, days: i64) -> Link {
        Link {
            name: name.to_owned(),
            until: days * DAY,
        }
    }

    /// One that is good on day 100.
    fn chain() -> Chain {
        Chain {
            leaf: link("sip.pstnhub.example", 300),
            purposes: Purposes {
                server: true,
                client: false,
            },
            between: Some(link("An Issuer", 2_000)),
            root: link("A Root", 6_000),
            is_bundled: true,
        }
    }

    fn day(day: u64) -> UnixTime {
        UnixTime::from_micros(day * 86_400_000_000)
    }

    struct Bench {
        chains: Chains,
        metrics: Metrics,
        log: Log,
        writer: crate::sink::log::LogWriter,
        lines: Lines,
    }

    impl Bench {
        fn new() -> Self {
            let lines = Lines::default();
            let (log, writer) = Log::start(Level::Info, Form::Text, lines.clone()).unwrap();
            Self {
                chains: Chains::default(),
                metrics: Metrics::new().unwrap(),
                log,
                writer,
                lines,
            }
        }

        fn note(&self, direction: Direction, chain: Chain, at: u64) {
            let remote = "192.0.2.21:5061".parse().unwrap();
            let to = (&self.log, &self.metrics.chains);
            let peer = (direction, "SIP.pstnhub.example", remote);
            self.chains.note(peer, chain, day(at), to);
        }

        fn day_ends(&self, at: u64) {
            let to = (&self.log, &self.metrics.chains);
            self.chains.tell_all(day(at), to);
        }

        /// How many lines there are with each of these.
        fn told<const N: usize>(self, words: [&str; N]) -> [usize; N] {
            self.writer.finish();
            let text = String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap();
            words.map(|word| text.lines().filter(|line| line.contains(word)).count())
        }
    }

    #[test]
    fn a_chain_is_told_when_it_is_seen_first_and_then_once_a_day() {
        let bench = Bench::new();
        for _ in 0..50 {
            bench.note(Direction::Out, chain(), 100);
            bench.note(Direction::In, chain(), 100);
        }
        // Another root of the same name is another line: a rotation shows.
        let next = Chain {
            root: link("The Next Root", 9_000),
            ..chain()
        };
        bench.note(Direction::Out, next, 100);
        bench.day_ends(101);
        let text = bench.metrics.text();
        for line in [
            "sbc_teams_chain_not_after_timestamp_seconds{dir=\"out\",kind=\"leaf\",peer=\"sip.pstnhub.example\",root=\"A Root\"} 25920000",
            "sbc_teams_chain_trouble{dir=\"in\",peer=\"sip.pstnhub.example\",root=\"A Root\",why=\"use\"} 0",
            "sbc_teams_chain_not_after_timestamp_seconds{dir=\"out\",kind=\"root\",peer=\"sip.pstnhub.example\",root=\"The Next Root\"} 777600000",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert_eq!(
            bench.told(["what Teams presents of", "teams_chain_trouble"]),
            [6, 0]
        );
    }

    #[test]
    fn what_is_wrong_with_a_chain_is_told_once_a_day_however_often_it_is_shown() {
        let bench = Bench::new();
        let soon = Chain {
            between: Some(link("An Issuer", 130)),
            ..chain()
        };
        // Machines of one name that differ do not make a line each.
        for _ in 0..50 {
            bench.note(Direction::Out, chain(), 100);
            bench.note(Direction::Out, soon.clone(), 100);
        }
        assert!(
            bench.chains.all()[0]
                .verdict(day(100))
                .contains("\"An Issuer\"")
        );
        let foreign = Chain {
            is_bundled: false,
            root: link("Somebody", 6_000),
            ..chain()
        };
        bench.note(Direction::Out, foreign, 100);
        let mail = Purposes {
            server: false,
            client: false,
        };
        let of_mail = Chain {
            purposes: mail,
            ..chain()
        };
        bench.note(Direction::In, of_mail, 100);
        let text = bench.metrics.text();
        let trouble = |dir: &str, root: &str, why: &str| {
            format!(
                "sbc_teams_chain_trouble{{dir=\"{dir}\",peer=\"sip.pstnhub.example\",root=\"{root}\",why=\"{why}\"}} 1"
            )
        };
        for line in [
            trouble("out", "A Root", "expiry"),
            trouble("out", "Somebody", "root"),
            trouble("in", "A Root", "use"),
        ] {
            assert!(text.contains(&line), "{line}\n{text}");
        }
        bench.day_ends(101);
        let words = ["why=expiry", "why=root", "why=use", "teams_chain_trouble"];
        assert_eq!(bench.told(words), [2, 2, 2, 6]);
    }

    #[test]
    fn what_each_direction_needs_differs_and_a_renewed_chain_is_good_the_day_after() {
        let seen = |is_ours, server, client| Seen {
            is_ours,
            peer: String::new(),
            remote: "192.0.2.21:5061".parse().unwrap(),
            at: day(100),
            chain: Chain {
                purposes: Purposes { server, client },
                ..chain()
            },
            is_of_before: false,
            told: Vec::new(),
        };
        let is_use = |seen: &Seen| seen.troubles(100 * DAY) == [Trouble::Use];
        // As a client Teams may show a certificate for servers alone, never the other way round.
        assert!(!is_use(&seen(false, true, false)) && !is_use(&seen(false, false, true)));
        assert!(!is_use(&seen(true, true, false)) && is_use(&seen(true, false, true)));
        let bench = Bench::new();
        let old = Chain {
            leaf: link("sip.pstnhub.example", 110),
            ..chain()
        };
        bench.note(Direction::Out, old.clone(), 100);
        bench.note(Direction::Out, chain(), 100);
        assert_eq!(bench.chains.all()[0].chain.leaf, old.leaf);
        bench.day_ends(101);
        bench.note(Direction::Out, chain(), 101);
        assert_eq!(bench.chains.all()[0].chain, chain());
        let verdict = bench.chains.all()[0].verdict(day(101));
        assert_eq!(
            verdict,
            "a root of Microsoft's list; its certificate ends in 199 days"
        );
        // Nobody shows it any more.
        bench.day_ends(109);
        assert_eq!(bench.chains.all().len(), 1);
        bench.day_ends(110);
        assert!(bench.chains.all().is_empty());
        assert!(!bench.metrics.text().contains("sbc_teams_chain_trouble{"));
    }

    #[test]
    fn chains_are_kept_up_to_a_bound_and_the_oldest_gives_way() {
        let bench = Bench::new();
        for number in 0..200 {
            let named = Chain {
                root: link(&format!("Root {number}"), 6_000),
                ..chain()
            };
            bench.note(Direction::In, named, 100 + number);
        }
        let all = bench.chains.all();
        assert_eq!(all.len(), MOST);
        assert!(all.iter().all(|seen| seen.at >= day(236)));
    }

    #[test]
    fn a_root_of_the_program_that_ends_soon_is_told() {
        let first = bundled_roots().iter().map(|root| root.until).min().unwrap();
        for (days, lines) in [(31, 0), (30, 1), (-1, 1)] {
            let bench = Bench::new();
            let at = u64::try_from(first - days * DAY).unwrap();
            warn_of_bundled(UnixTime::from_micros(at * 1_000_000), &bench.log);
            assert_eq!(bench.told(["teams_root_expiry"]), [lines], "{days} days");
        }
        let told = bundled(day(20_000));
        assert!(
            told.starts_with("7 roots that Microsoft announced in December 2025; the first to end is \"DigiCert Global Root CA\" on 2031-11-10"),
            "{told}"
        );
    }
}
