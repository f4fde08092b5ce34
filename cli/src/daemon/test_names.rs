//! The names at which Microsoft shows the certificates of its next authorities, asked once a day by OPTIONS: whether
//! this node is ready for them is known before Teams itself changes (TDR-TLS-014).
//!
//! Each name is asked by the first trunk that has it, and by the first with other roots. When it was is kept over a
//! restart, so that nobody asks more often. A name without an address says nothing, as Microsoft takes them away again:
//! then nobody was asked, and it is looked up once an hour.
//!
//! The same turn tells once a day of all chains that Teams has shown (`chains`).

use super::Daemon;
use super::chains;
use super::expiry::AGAIN;
use crate::onboarding::Outcome;
use crate::onboarding::steps;
use crate::onboarding::teams::Speaker;
use crate::sink::log::{Log, wall_clock};
use crate::sink::metrics::ChainMetrics;
use crate::sink::whole;
use sbc_core::config::{Config, Loaded, Preset, TargetAddress, Trunk};
use sbc_core::time::UnixTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

/// Name of the file.
const FILE: &str = "test-names.json";
/// The form of the file that this program writes and reads.
const VERSION: u32 = 1;
/// Time between two OPTIONS of one name.
const DAY: Duration = Duration::from_secs(86_400);
/// Time between two look-ups of a name that had no address.
const HOUR: Duration = Duration::from_secs(3_600);
/// When it is looked first whether something is due: by then sockets are served.
pub(super) const FIRST: Duration = Duration::from_secs(3);
/// And how often then, as a reload may bring names.
const GLANCE: Duration = Duration::from_secs(60);
/// The word of [`Outcome::Skipped`].
const SKIPPED: &str = "skipped";
/// Most names that are remembered.
const MOST: usize = 256;

/// What came of asking a name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The trunk that asked.
    pub trunk: String,
    /// Its name towards Teams.
    pub fqdn: String,
    /// The name that was asked.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// When, in microseconds since 1970.
    at: u64,
    /// `ok`, `failed` or `skipped`.
    pub word: String,
    /// What was found.
    pub told: String,
}

impl Asked {
    /// When it was asked.
    pub fn at(&self) -> UnixTime {
        UnixTime::from_micros(self.at)
    }

    fn is_of(&self, trunk: &Trunk, name: &TargetAddress) -> bool {
        trunk.fqdn.as_deref() == Some(&self.fqdn)
            && self.host.eq_ignore_ascii_case(&name.host)
            && self.port == name.port
    }
}

/// What the file says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    version: u32,
    asked: Vec<Asked>,
}

/// What came of asking.
#[derive(Default)]
pub struct TestNames {
    path: Option<PathBuf>,
    asked: Mutex<Vec<Asked>>,
    news: Notify,
}

impl TestNames {
    /// Takes over what is kept in a directory. A file that cannot be believed is told, and names are asked.
    ///
    /// # Errors
    /// If the directory cannot be made.
    pub fn open(directory: &Path, log: &Log) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let path = directory.join(FILE);
        let read = whole::read(&path, VERSION, |whole: &Whole| whole.version);
        let asked = read.unwrap_or_else(|why| {
            let text =
                "when test names of Microsoft were asked last is not known: they are asked now";
            let line = log.warn("test_names_read", text);
            line.with("file", path.display()).with("why", why).send();
            None
        });
        let mut asked = asked.map_or_else(Vec::new, |whole| whole.asked);
        asked.truncate(MOST);
        Ok(Self {
            path: Some(path),
            asked: Mutex::new(asked),
            news: Notify::new(),
        })
    }

    /// There may be new names.
    pub fn look(&self) {
        self.news.notify_one();
    }

    /// What came of asking the names that a configuration has.
    pub fn of(&self, loaded: &Loaded) -> Vec<Asked> {
        let wanted = wanted(loaded);
        let mut asked = self.lock().clone();
        asked.retain(|own| wanted.iter().any(|(trunk, name)| own.is_of(trunk, name)));
        asked
    }

    /// Whether a name may be asked: not within a day of the last time, whatever the clock did. Where nobody was asked,
    /// it may be tried sooner.
    fn is_due(&self, trunk: &Trunk, name: &TargetAddress, now: UnixTime) -> bool {
        let asked = self.lock();
        let last = asked.iter().find(|own| own.is_of(trunk, name));
        last.is_none_or(|last| {
            let apart = now.as_micros().abs_diff(last.at);
            let pause = match last.word.as_str() {
                SKIPPED => HOUR,
                _ => DAY,
            };
            u128::from(apart) >= pause.as_micros()
        })
    }

    /// Whether a name is as it was before: without an address.
    fn is_no_news(&self, asked: &Asked) -> bool {
        let all = self.lock();
        let mut before = all.iter().filter(|own| {
            (&own.fqdn, &own.host, own.port) == (&asked.fqdn, &asked.host, asked.port)
        });
        asked.word == SKIPPED && before.any(|own| own.word == SKIPPED && own.told == asked.told)
    }

    fn put(&self, asked: Asked) {
        let mut all = self.lock();
        all.retain(|own| {
            (&own.fqdn, &own.host, own.port) != (&asked.fqdn, &asked.host, asked.port)
        });
        if all.len() >= MOST {
            all.remove(0);
        }
        all.push(asked);
    }

    fn keep(&self, log: &Log) {
        let Some(path) = &self.path else {
            return;
        };
        let whole = Whole {
            version: VERSION,
            asked: self.lock().clone(),
        };
        if let Err(why) = whole::write(path, &whole) {
            let text = "when test names of Microsoft were asked is not kept: after a restart they are asked again";
            let line = log.warn("test_names_write", text);
            line.with("file", path.display()).with("why", why).send();
        }
    }

    fn publish(&self, loaded: &Loaded, figures: &ChainMetrics) {
        let asked = self.of(loaded);
        let told = asked.iter().filter(|own| own.word != SKIPPED);
        figures
            .set_ready(told.map(|own| (own.trunk.as_str(), own.host.as_str(), own.word == "ok")));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every name that is to be asked, and the trunk that does. Of derived trunks Teams wants no OPTIONS (TDR-OPT-008).
fn wanted(loaded: &Loaded) -> Vec<(&Arc<Trunk>, &TargetAddress)> {
    let mut known = BTreeSet::new();
    let trunks = loaded.config.trunks.values();
    let trunks = trunks.filter(|trunk| {
        trunk.preset == Preset::Teams && trunk.carrier.is_none() && trunk.options.is_some()
    });
    let all = trunks.flat_map(|trunk| trunk.test_names.iter().map(move |name| (trunk, name)));
    let first = all.filter(|(trunk, name)| {
        let files = trunk.tls.as_ref().and_then(|own| loaded.shell.tls.get(own));
        let roots = files.and_then(|files| files.client_ca.clone());
        known.insert((name.host.to_ascii_lowercase(), name.port, roots))
    });
    first.take(MOST).collect()
}

/// Asks what is due, and tells of what Teams has shown, as long as the daemon lives.
pub(super) async fn watch(daemon: Weak<Daemon>, first: Duration) {
    sleep(first).await;
    let mut told = Instant::now();
    // What was seen in the first moments is told by itself; the roots of the program are not.
    if let Some(daemon) = daemon.upgrade() {
        chains::warn_of_bundled(wall_clock(), &daemon.sinks().log);
    }
    loop {
        let Some(daemon) = daemon.upgrade() else {
            return;
        };
        if told.elapsed() >= AGAIN {
            told = Instant::now();
            let (now, sinks) = (wall_clock(), daemon.sinks());
            let to = (&sinks.log, &sinks.metrics.chains);
            daemon.net().chains().tell_all(now, to);
            chains::warn_of_bundled(now, &sinks.log);
        }
        daemon.ask_test_names().await;
        let names = Arc::clone(&daemon.test_names);
        drop(daemon);
        let _ = timeout(GLANCE, names.news.notified()).await;
    }
}

impl Daemon {
    /// Asks every test name that is due.
    async fn ask_test_names(&self) {
        let loaded = self.loaded();
        let (names, log) = (self.test_names(), &self.sinks().log);
        let mut has_asked = false;
        for (trunk, name) in wanted(&loaded) {
            let now = wall_clock();
            if self.is_draining() || !names.is_due(trunk, name, now) {
                continue;
            }
            let outcome = self.ask_test_name(&loaded.config, trunk, name).await;
            let asked = Asked {
                trunk: trunk.name.to_string(),
                fqdn: trunk.fqdn.clone().unwrap_or_default(),
                host: name.host.to_ascii_lowercase(),
                port: name.port,
                at: now.as_micros(),
                word: outcome.word().to_owned(),
                told: outcome.in_line(),
            };
            let line = match (outcome.is_failure(), names.is_no_news(&asked)) {
                (true, _) => log.warn("teams_test_name", &asked.told),
                (false, false) => log.info("teams_test_name", &asked.told),
                (false, true) => log.debug("teams_test_name", &asked.told),
            };
            line.with("trunk", &asked.trunk)
                .with("name", &asked.host)
                .send();
            names.put(asked);
            has_asked = true;
        }
        if has_asked {
            names.keep(log);
        }
        names.publish(&loaded, &self.sinks().metrics.chains);
    }

    async fn ask_test_name(&self, config: &Config, trunk: &Trunk, name: &TargetAddress) -> Outcome {
        let identities = self.net().identities();
        let Some(tls) = trunk.tls.as_ref().and_then(|own| identities.get(own)) else {
            return Outcome::Skipped("the trunk has no certificate yet".to_owned());
        };
        let proxy = match steps::place(self.resolver(), name).await {
            Ok(proxy) => proxy,
            Err(_) => {
                let mut is_known = false;
                for usual in &trunk.targets {
                    is_known |= steps::place(self.resolver(), usual).await.is_ok();
                }
                return Outcome::Skipped(without_address(&name.host, is_known));
            }
        };
        let speaker = Speaker { config, trunk, tls };
        match speaker.options(&proxy).await {
            Outcome::Good(told) => Outcome::Good(format!("ready for what is shown there: {told}")),
            other => other,
        }
    }
}

/// What is told of a name without address; whether a name that calls go to has one.
fn without_address(host: &str, is_usual_known: bool) -> String {
    match is_usual_known {
        true => format!("{host} has no address: Microsoft may have taken the name away"),
        false => format!(
            "{host} has no address, and no usual name of Teams has one either: look at DNS of this host (servers of [dns], or \
             /etc/resolv.conf)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::log::{Form, Level};
    use sbc_core::config::{Assumed, Source, load};

    const CONFIG: &str = "[node]\nid = \"a\"\n[[realm]]\nname = \"teams\"\naddresses = [\"192.0.2.10\"]\n\
        ports = \"20000-20999\"\n[[listen]]\nrealm = \"teams\"\ntransport = \"tls\"\ntls = \"teams\"\n\
        [[tls]]\nname = \"teams\"\ncert = \"a.pem\"\nkey = { file = \"a.key\" }\nclient_ca = \"b.pem\"\n\
        verify_client = \"require\"\n[[tenant]]\nname = \"contoso\"\n[[trunk]]\nname = \"teams\"\n\
        preset = \"teams\"\ntenant = \"contoso\"\nrealm = \"teams\"\nfqdn = \"sbc1.contoso.example\"\n";

    fn loaded(more: &str) -> Loaded {
        let facts = Assumed::with_names(["sbc1.contoso.example", "*.sbc1.contoso.example"]);
        let text = format!("{CONFIG}{more}");
        let loaded = load(&[Source::new("a.toml", &*text)], &facts, None);
        loaded.unwrap_or_else(|why| panic!("{}", why.to_text()))
    }

    fn asked(host: &str, at: UnixTime) -> Asked {
        Asked {
            trunk: "teams".to_owned(),
            fqdn: "sbc1.contoso.example".to_owned(),
            host: host.to_owned(),
            port: 5061,
            at: at.as_micros(),
            word: "ok".to_owned(),
            told: "200".to_owned(),
        }
    }

    #[test]
    fn a_name_is_asked_once_a_day_by_one_trunk_also_after_a_restart() {
        let loaded = loaded("");
        let names = wanted(&loaded);
        let hosts: Vec<&str> = names.iter().map(|(_, name)| name.host.as_str()).collect();
        let usual = [
            "sip.mspki.pstnhub.microsoft.com",
            "sip.g1.pstnhub.microsoft.com",
        ];
        assert_eq!(hosts, usual);
        let folder = tempfile::tempdir().unwrap();
        let (log, _writer) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
        let kept = TestNames::open(folder.path(), &log).unwrap();
        let (trunk, name) = names[1];
        let begun = UnixTime::from_micros(1_800_000_000_000_000);
        let after = |seconds: u64| UnixTime::from_micros(begun.as_micros() + seconds * 1_000_000);
        assert!(kept.is_due(trunk, name, begun));
        kept.put(asked(&name.host, begun));
        kept.keep(&log);
        for kept in [&kept, &TestNames::open(folder.path(), &log).unwrap()] {
            assert!(!kept.is_due(trunk, name, after(86_399)));
            assert!(kept.is_due(trunk, name, after(86_400)));
            assert!(kept.is_due(trunk, names[0].1, begun), "another name");
            assert_eq!(kept.of(&loaded), [asked(&name.host, begun)]);
        }
        // Where no address was known, nobody was asked.
        let mut without = asked(&name.host, begun);
        without.word = Outcome::Skipped(String::new()).word().to_owned();
        assert!(!kept.is_no_news(&without));
        kept.put(without.clone());
        assert!(kept.is_no_news(&without));
        assert!(!kept.is_due(trunk, name, after(3_599)));
        assert!(kept.is_due(trunk, name, after(3_600)));
        // A file that cannot be read is no reason to say nothing of tomorrow.
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        let kept = TestNames::open(folder.path(), &log).unwrap();
        assert!(kept.is_due(trunk, name, begun));
    }

    #[test]
    fn microsoft_has_taken_a_name_away_only_where_its_usual_names_are_known() {
        assert!(without_address("a.example", true).contains("Microsoft may have"));
        let told = without_address("a.example", false);
        assert!(
            !told.contains("Microsoft") && told.contains("[dns]"),
            "{told}"
        );
    }

    #[test]
    fn nobody_asks_who_sends_no_options_or_calls_elsewhere() {
        for more in [
            "options = false\n",
            "test_names = []\n",
            "targets = [\"sip.pstnhub.example:5061;tls\"]\n",
        ] {
            assert!(wanted(&loaded(more)).is_empty(), "{more}");
        }
    }
}
