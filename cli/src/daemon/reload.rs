//! A new configuration while calls run: load, check, open what is new, then swap (OPS-120).
//!
//! Any failure leaves everything as it was and says why.

use crate::config::difference;
use crate::daemon::generations::{self, By, Generation, Origin, Taken};
use crate::daemon::live::Places;
use crate::daemon::net::tls::{MaterialFault, TlsStore};
use crate::daemon::net::{BindFault, Kept, Opened};
use crate::daemon::stir::{Trust, TrustFault};
use crate::daemon::stop::ANSWER;
use crate::daemon::{Daemon, PlaceFault, expiry, fixed, media};
use crate::sink::audit::Deed;
use crate::sink::hep::Places as LocalPlaces;
use crate::sink::log::{Level, Log, wall_clock};
use crate::sink::news::Kind;
use media_relay::Recordings;
use sbc_core::config::{
    Changes, Finding, Findings, Loaded, MOST_SERIES, OnRemove, Source, changes,
};
use sbc_core::id::{TlsContextName, TrunkName};
use sbc_core::input::{Answered, Command, Input};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often it is tried to go back where that fails.
const AGAIN: Duration = Duration::from_secs(10);
/// How often it is tried to write down what is in use where that fails.
const OWED: Duration = Duration::from_secs(60);

/// Why a configuration was not put into use.
#[derive(Debug)]
pub enum ReloadFault {
    /// It is not valid.
    Invalid(Findings),
    /// Certificates, keys or roots cannot be used.
    Material(Vec<(TlsContextName, MaterialFault)>),
    /// Whom to believe about callers cannot be read.
    Trust(TrustFault),
    /// The relay cannot keep all recordings.
    Sounds(media_relay::RecordingsFault),
    /// The directory of call records, addresses for media or that for metrics cannot be used.
    Places(Vec<PlaceFault>),
    /// The relay cannot serve these realms, for this reason.
    Realms(String),
    /// New sockets cannot be opened.
    Bind(Vec<BindFault>),
    /// Something that is only set up at start was changed.
    NeedsRestart(String),
    /// Another configuration is in use than was meant: the one of this number.
    Other(u64),
    /// The files on disk are not those that were meant.
    OtherFiles,
    /// The files on disk were in use and were taken back, and have not changed since.
    TakenBack,
    /// Calls of these trunks would end at once, and were to be spared.
    EndsCalls(Vec<(TrunkName, usize)>),
    /// What is to be confirmed could not be taken back at a restart, because it cannot be written down.
    Unwritten(std::io::Error),
    /// No configuration of this number is kept, or none that was in use before.
    NotKept(Option<u64>),
    /// An earlier one, of this number, has another `[api]` than the one in use, which has `four_eyes`; or it cannot be
    /// loaded, for this reason.
    OtherAccess(u64, Option<Findings>),
}

impl fmt::Display for ReloadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(findings) => f.write_str(&findings.to_text()),
            Self::Material(faults) => {
                for (context, fault) in faults {
                    writeln!(f, "tls \"{context}\": {fault}")?;
                }
                Ok(())
            }
            Self::Bind(faults) => {
                for fault in faults {
                    writeln!(f, "{fault}")?;
                }
                Ok(())
            }
            Self::Trust(fault) => writeln!(f, "{fault}"),
            Self::Places(faults) => {
                for fault in faults {
                    writeln!(f, "{fault}")?;
                }
                Ok(())
            }
            Self::Realms(why) => writeln!(f, "media of these realms cannot be served: {why}"),
            Self::Other(generation) => write!(f, "generation {generation} is in use"),
            Self::OtherFiles => {
                f.write_str("the files on disk have changed since they were looked at")
            }
            Self::TakenBack => f.write_str(
                "the files on disk were in use and were taken back, and have not changed since; change them, or take them \
                 all the same by \"causeway reload --force\" or, for a time, --confirm-timeout",
            ),
            Self::EndsCalls(trunks) => {
                f.write_str("this ends ")?;
                for (at, (trunk, count)) in trunks.iter().enumerate() {
                    let before = if at == 0 { "" } else { ", " };
                    let calls = if *count == 1 { "call" } else { "calls" };
                    write!(f, "{before}{count} {calls} of trunk \"{trunk}\"")?;
                }
                f.write_str(", removed with on_remove = \"kill\"")
            }
            Self::Unwritten(why) => write!(
                f,
                "what is in use cannot be written down in the state directory ({why}), so a restart would take this for \
                 confirmed; make room there, or reload without --confirm-timeout"
            ),
            Self::NotKept(Some(number)) => write!(
                f,
                "generation {number} is not kept; \"causeway config history\" lists those that are"
            ),
            Self::NotKept(None) => f.write_str(
                "no older configuration is kept, so there is none to go back to; \"causeway config history\" lists those that are",
            ),
            Self::OtherAccess(number, findings) => {
                match findings {
                    None => write!(f, "generation {number} has another [api]")?,
                    Some(_) => write!(f, "whether generation {number} has the same [api] cannot be said")?,
                }
                f.write_str(
                    ", and the one in use has four_eyes: nobody goes back to it by the interface; on the host, put its text \
                     (\"causeway config diff\" shows it) into the files and type \"systemctl reload causeway\"",
                )?;
                findings.as_ref().map_or(Ok(()), |all| write!(f, "\n{}", all.to_text()))
            }
            Self::Sounds(fault) => writeln!(f, "{fault}"),
            Self::NeedsRestart(what) => write!(
                f,
                "{what}: this can only be changed by a restart, and nothing else can be loaded before: undo it, or \
                 \"causeway restart --graceful\""
            ),
        }
    }
}

impl std::error::Error for ReloadFault {}

impl ReloadFault {
    /// How many things are wrong.
    fn count(&self) -> usize {
        match self {
            Self::Invalid(findings) => findings.errors.len() + findings.omitted,
            _ => self.to_string().lines().count(),
        }
    }
}

/// Reads and checks a configuration.
///
/// # Errors
/// Every finding.
pub fn load(path: &Path, previous: Option<&Loaded>) -> Result<Loaded, ReloadFault> {
    let sources = crate::config::read_sources(path).map_err(ReloadFault::Invalid)?;
    crate::config::load(&sources, previous.map(|loaded| &loaded.config))
        .map_err(ReloadFault::Invalid)
}

/// Loads every TLS identity of a configuration. All of them, each time: certificates behind
/// unchanged paths may have been renewed.
///
/// # Errors
/// Every identity that cannot be used.
pub fn identities(loaded: &Loaded) -> Result<TlsStore, ReloadFault> {
    TlsStore::load(&loaded.shell.tls).map_err(ReloadFault::Material)
}

/// Reads whom to believe about callers; each time, as roots and revocations behind unchanged paths may
/// have changed.
///
/// # Errors
/// The file that is of no use.
pub fn trust(loaded: &Loaded) -> Result<Option<Trust>, ReloadFault> {
    Trust::load(loaded).map_err(ReloadFault::Trust)
}

/// What a reload has done.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// What the shell had to do.
    pub changes: Changes,
    /// Number of the configuration in use.
    pub generation: u64,
    /// Identities whose certificate on disk is not the one in use.
    pub kept: Vec<Kept>,
    /// What its text has that the one before had not, and the other way round; without secrets.
    pub difference: String,
    /// What has a secret that the service manager has read at the start, and nobody since.
    pub not_read_anew: Vec<String>,
    /// The older one whose text it has.
    pub same_as: Option<Arc<Generation>>,
}

/// Which configuration is wanted.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// The files on disk.
    Files,
    /// A text that is no file.
    Text(String),
    /// One that was in use before.
    Earlier(Arc<Generation>, By),
}

/// What is meant to be changed: only then it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Meant {
    /// The number in use; 0, which none has, for what cannot be read.
    generation: Option<u64>,
    /// Sum of the files on disk.
    files: Option<String>,
    /// Also files that were taken back.
    is_forced: bool,
    /// Nothing that ends calls at once.
    spares_calls: bool,
}

impl Meant {
    /// Also files that were in use, were taken back, and have not changed since.
    pub fn forced(self) -> Self {
        Self {
            is_forced: true,
            ..self
        }
    }

    /// Only if no call ends by it at once.
    pub fn sparing(self) -> Self {
        Self {
            spares_calls: true,
            ..self
        }
    }

    /// Reads what [`Self::tag`] has made, or a number in quotes.
    pub fn by(tag: &str) -> Self {
        if tag == "*" {
            return Self::default();
        }
        let tag = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        let tag = tag.unwrap_or_default();
        let (number, files) = match tag.split_once('-') {
            Some((number, files)) => (number, Some(files.to_owned())),
            None => (tag, None),
        };
        Self {
            generation: Some(number.parse().unwrap_or(0)),
            files,
            is_forced: false,
            spares_calls: false,
        }
    }

    /// What stands for a number in use together with the files on disk (RFC 9110 §8.8.3).
    pub fn tag(generation: u64, files: &[Source]) -> String {
        format!("\"{generation}-{}\"", generations::sum(files))
    }

    fn is(&self, files: &[Source]) -> bool {
        let sum = self.files.as_ref();
        sum.is_none_or(|sum| *sum == generations::sum(files))
    }
}

/// A configuration that can be put into use. Dropped, it has changed nothing.
pub struct Prepared {
    loaded: Loaded,
    sources: Vec<Source>,
    changes: Changes,
    tls: TlsStore,
    kept: Vec<Kept>,
    trust: Option<Trust>,
    recordings: Recordings,
    opened: Opened,
    places: Places,
}

impl Prepared {
    /// What the shell would have to do.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Warnings; there are no errors.
    pub fn findings(&self) -> &Findings {
        &self.loaded.findings
    }

    /// Identities whose certificate on disk would not be used.
    pub fn kept(&self) -> &[Kept] {
        &self.kept
    }
}

/// Whether new certificates are shown to Teams before it is said that they can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trial {
    /// By handshakes with its proxies, and OPTIONS as far as it is their turn.
    Held,
    /// By handshakes alone: nothing is put into use.
    HandsOnly,
    /// Not at all: whoever asks often asks nobody else.
    LeftOut,
}

impl Daemon {
    /// Puts the configuration on disk into use. Reloads are done one after the other.
    ///
    /// # Errors
    /// [`ReloadFault`]; the running configuration stays.
    pub async fn reload(&self) -> Result<Reloaded, ReloadFault> {
        self.reload_if(&Meant::default()).await
    }

    /// The same, if the number of the configuration that is in use when its turn has come is one that is meant. Files
    /// that were taken back are used again only by whoever has seen them or says so: a hook that reloads at night has not.
    ///
    /// # Errors
    /// [`ReloadFault`]; the running configuration stays.
    pub async fn reload_if(&self, meant: &Meant) -> Result<Reloaded, ReloadFault> {
        let _turn = self.turn().lock().await;
        self.is_meant(meant)?;
        self.put(Wanted::Files, meant).await
    }

    /// The same; unless it is confirmed in time, what was in use before is put into use again. A reload in between
    /// confirms nothing. Where it takes another `[api]`, and either has `four_eyes`, nothing is gone back to.
    ///
    /// # Errors
    /// [`ReloadFault`]; the running configuration stays.
    pub async fn reload_within(
        self: &Arc<Self>,
        time: Duration,
        meant: &Meant,
    ) -> Result<Reloaded, ReloadFault> {
        let _turn = self.turn().lock().await;
        self.is_meant(meant)?;
        let generations = Arc::clone(self.generations());
        aside(move || generations.write_again().map_err(ReloadFault::Unwritten)).await?;
        let was_awaited = self.generations().until();
        self.generations().await_word(time);
        // They go back by themselves if they are no better than before.
        let done = self.put(Wanted::Files, &meant.clone().forced()).await;
        match (&done, was_awaited) {
            // It has ended what waits.
            (Ok(_), _) if self.generations().until().is_none() => {}
            (Ok(_), _) => {
                // It counts from when there is something to look at: new certificates are tried before.
                self.generations().await_word(time);
                let line = self.sinks().log.warn(
                    "config_awaits",
                    "unless \"causeway config confirm\" is typed in time, the configuration before is used again",
                );
                line.with("seconds", time.as_secs()).send();
                let daemon = Arc::downgrade(self);
                tokio::spawn(async move { take_back(daemon).await });
            }
            (Err(_), Some(until)) => self.generations().await_until(until),
            (Err(_), None) => {
                self.generations().settle();
            }
        }
        done
    }

    /// Puts a configuration into use that was before: that of a number, or else the one before that in use. The
    /// files on disk stay as they are; as long as they do, a restart uses it again.
    ///
    /// # Errors
    /// [`ReloadFault`]; the running configuration stays.
    pub async fn roll_back(
        &self,
        number: Option<u64>,
        meant: &Meant,
    ) -> Result<Reloaded, ReloadFault> {
        let _turn = self.turn().lock().await;
        self.is_meant(meant)?;
        let found = match number {
            Some(number) => self.generations().find(number),
            None => self.generations().before(),
        };
        let earlier = found.ok_or(ReloadFault::NotKept(number))?;
        let done = self
            .put(Wanted::Earlier(earlier, By::Rollback), &Meant::default())
            .await;
        if done.is_ok() {
            self.generations().settle();
        }
        done
    }

    /// Goes back to what was in use before a change that nobody has confirmed; whether nothing is left to be done.
    async fn revert(&self) -> bool {
        let _turn = self.turn().lock().await;
        let Some(earlier) = self.generations().overdue() else {
            return self.generations().until().is_none();
        };
        let number = earlier.last;
        let log = &self.sinks().log;
        let done = self
            .put(Wanted::Earlier(earlier, By::Unconfirmed), &Meant::default())
            .await;
        match done {
            Ok(done) => {
                self.generations().settle();
                let deed = Deed::by_itself("took back what nobody has confirmed");
                let deed = deed.about("configuration").changing(done.difference);
                self.sinks().audit.note(deed);
                let text = "nobody has confirmed the configuration: the one before is in use again; the files on disk \
                            are as they were";
                log.warn("config_reverted", text)
                    .with("before", number)
                    .send();
                true
            }
            // One that cannot be read now says nothing of who may do what: it is tried again.
            Err(ReloadFault::OtherAccess(_, None)) => {
                let generations = Arc::clone(self.generations());
                // A start does not go back to it, either. That it cannot be written is told.
                let written = aside(move || Ok(generations.stay()));
                let _ = written.await;
                self.generations().settle();
                self.tell_kept_access();
                true
            }
            Err(_) => {
                let text = "nobody has confirmed the configuration, and the one before cannot be used; it is tried again";
                log.error("config_reverted", text)
                    .with("before", number)
                    .send();
                false
            }
        }
    }

    /// Writes down what came of SIGHUP, which does not say who has sent it.
    pub fn note_reload_by_signal(&self, done: &Result<Reloaded, ReloadFault>) {
        let deed = match done {
            Ok(done) => Deed {
                status: 200,
                ..Deed::by_itself("reload by SIGHUP").changing(done.difference.clone())
            },
            Err(_) => Deed {
                status: 422,
                ..Deed::by_itself("reload by SIGHUP")
            },
        };
        let deed = Deed {
            who: "whoever sent SIGHUP".to_owned(),
            ..deed.about("configuration")
        };
        self.sinks().audit.note(deed);
    }

    /// Does all of a reload that may fail, and changes nothing.
    ///
    /// # Errors
    /// [`ReloadFault`], as the reload itself would have it.
    pub async fn rehearse(&self, wanted: Wanted, trial: Trial) -> Result<Prepared, ReloadFault> {
        // Sockets are opened for a moment, which a reload must not find taken.
        let _turn = self.turn().lock().await;
        self.prepare(&wanted, trial).await
    }

    /// Says that what was taken for a time is good; whether anything waited for that.
    ///
    /// # Errors
    /// What the operating system says: it is in use, but a restart would take it back until it can be written down,
    /// which is tried again.
    pub async fn confirm(self: &Arc<Self>) -> std::io::Result<bool> {
        let _turn = self.turn().lock().await;
        let generations = Arc::clone(self.generations());
        let was_owed = generations.is_owed();
        let confirmed = tokio::task::spawn_blocking(move || generations.confirm());
        let confirmed = confirmed.await.unwrap_or(Ok(false));
        if confirmed.is_err() && !was_owed {
            let daemon = Arc::downgrade(self);
            tokio::spawn(async move { write_again(daemon).await });
        }
        if matches!(confirmed, Ok(true)) {
            let line = self
                .sinks()
                .log
                .info("config_confirmed", "the configuration in use stays");
            let number = self.loaded().config.generation;
            line.with("generation", number).send();
        }
        confirmed
    }

    fn is_meant(&self, meant: &Meant) -> Result<(), ReloadFault> {
        let running = self.loaded().config.generation;
        match meant.generation.is_none_or(|meant| meant == running) {
            true => Ok(()),
            false => Err(ReloadFault::Other(running)),
        }
    }

    /// Puts a configuration into use; for whoever has the turn.
    async fn put(&self, wanted: Wanted, meant: &Meant) -> Result<Reloaded, ReloadFault> {
        let prepared = match self.prepare(&wanted, Trial::Held).await {
            Ok(prepared) if !meant.is(&prepared.sources) => return Err(ReloadFault::OtherFiles),
            Ok(prepared) => self.wanted_again(&wanted, meant, prepared),
            Err(fault) => Err(fault),
        };
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(fault) => {
                self.sinks().metrics.config_refused();
                self.generations().refuse(in_short(&wanted, &fault));
                self.tell_refusal(&fault);
                self.tell_listeners(&wanted, &fault);
                return Err(fault);
            }
        };
        if meant.spares_calls {
            let ended = self.ended_by(&prepared).await;
            if !ended.is_empty() {
                return Err(ReloadFault::EndsCalls(ended));
            }
        }
        let sources = prepared.sources.clone();
        let (before, after) = (self.loaded(), &prepared.loaded.shell);
        let is_held = before.shell.has_four_eyes || after.has_four_eyes;
        let is_other = matches!(wanted, Wanted::Files) && !before.shell.has_access_of(after);
        if is_held && is_other && self.generations().settle() {
            // To go back would undo what somebody with the files has said of persons.
            self.tell_kept_access();
        }
        let begins_records = before.shell.cdr.is_none();
        let mut done = self.apply(prepared);
        if begins_records {
            self.settle_records().await;
        }
        let (by, origin) = match wanted {
            Wanted::Files | Wanted::Text(_) => (By::Reload, Origin::Files),
            Wanted::Earlier(_, by) => (by, Origin::Earlier(by)),
        };
        done.difference = self.write_down(done.generation, sources, by, origin).await;
        done.same_as = self.generations().same_as(done.generation);
        self.tell_manager();
        let line = self.sinks().log.info("reload", "configuration is in use");
        let line = line.with("generation", done.generation);
        line.with("by", by.as_str()).send();
        let told = serde_json::json!({ "generation": done.generation });
        self.sinks().news.tell(Kind::ConfigReload, told);
        Ok(done)
    }

    /// Whoever follows what happens hears of a refusal, too (OPS-120).
    fn tell_listeners(&self, wanted: &Wanted, fault: &ReloadFault) {
        let why = fault.to_string();
        let by = match wanted {
            Wanted::Files | Wanted::Text(_) => By::Reload,
            Wanted::Earlier(_, by) => *by,
        };
        let told = serde_json::json!({
            "generation": self.loaded().config.generation,
            "by": by.as_str(),
            "why": why.lines().next().unwrap_or_default(),
            "errors": fault.count(),
        });
        self.sinks().news.tell(Kind::ConfigRefused, told);
    }

    fn tell_kept_access(&self) {
        let text = "[api] is another than that of the configuration before, and four_eyes is said: nothing waits to be confirmed \
                    any more, and the one in use stays";
        self.sinks().log.warn("config_stays", text).send();
    }

    /// Trunks whose calls would end with this, and how many each has.
    async fn ended_by(&self, prepared: &Prepared) -> Vec<(TrunkName, usize)> {
        let (before, after) = (self.loaded(), &prepared.loaded.config);
        let is_gone = |name: &TrunkName| {
            let trunk = before.config.trunks.get(name);
            let kills = trunk.is_some_and(|trunk| trunk.on_remove == OnRemove::Kill);
            kills && !after.trunks.contains_key(name)
        };
        let mut ended: BTreeMap<TrunkName, usize> = BTreeMap::new();
        if !before.config.trunks.keys().any(is_gone) {
            return Vec::new();
        }
        for inbox in self.inboxes().all() {
            // A shard that does not answer has no say: the reload itself waits for none.
            let asked = self.replies().ask(inbox, Command::Calls, ANSWER).await;
            let Some(Answered::Calls(calls)) = asked else {
                continue;
            };
            for call in calls.iter().filter(|call| call.state != "ending") {
                let trunks = [Some(&call.from_trunk), call.to_trunk.as_ref()];
                if let Some(gone) = trunks.into_iter().flatten().find(|name| is_gone(name)) {
                    *ended.entry(gone.clone()).or_default() += 1;
                }
            }
        }
        ended.into_iter().collect()
    }

    /// What was read, unless it is files that were taken back and nobody says that they are meant.
    fn wanted_again(
        &self,
        wanted: &Wanted,
        meant: &Meant,
        prepared: Prepared,
    ) -> Result<Prepared, ReloadFault> {
        let is_seen = meant.is_forced || meant.files.is_some();
        let is_left = matches!(wanted, Wanted::Files) && !is_seen && {
            let sum = generations::sum(&prepared.sources);
            self.generations().were_taken_back(&sum)
        };
        match is_left {
            true => Err(ReloadFault::TakenBack),
            false => Ok(prepared),
        }
    }

    /// Keeps what is in use; what differs from what was.
    async fn write_down(
        &self,
        number: u64,
        sources: Vec<Source>,
        by: By,
        origin: Origin,
    ) -> String {
        let generations = Arc::clone(self.generations());
        self.sinks().metrics.config_fallback(false);
        let path = self.config_path().to_owned();
        // On a thread that may wait for the disk; that it is broken off ends the daemon, too.
        let written = tokio::task::spawn_blocking(move || {
            let before = generations.kept().last().cloned();
            let differs = before.map(|before| {
                let titles = (
                    format!("generation {}", before.last),
                    format!("generation {number}"),
                );
                difference((&titles.0, &before.sources()), (&titles.1, &sources))
            });
            let instead_of = match by {
                By::Start | By::Reload => None,
                By::Rollback | By::Unconfirmed => crate::config::read_sources(&path)
                    .ok()
                    .map(|on_disk| generations::sum(&on_disk)),
            };
            generations.take(Taken {
                number,
                sources: &sources,
                by,
                origin,
                instead_of,
            });
            differs.unwrap_or_default()
        });
        written.await.unwrap_or_default()
    }

    /// Whoever sent SIGHUP has nothing but the log.
    fn tell_refusal(&self, fault: &ReloadFault) {
        let log = &self.sinks().log;
        let reasons = tell_reasons(log, fault);
        self.tell_manager();
        log.error(
            "reload_refused",
            "nothing has changed; the previous configuration stays in use",
        )
        .with("reasons", reasons)
        .send();
    }

    async fn prepare(&self, wanted: &Wanted, trial: Trial) -> Result<Prepared, ReloadFault> {
        let running = self.loaded();
        let path = self.config_path().to_owned();
        let (before, wanted) = (Arc::clone(&running), wanted.clone());
        // Who goes back, or lets time do that, has not written it: it leads past no switch (SEC-151).
        let held = match &wanted {
            Wanted::Earlier(earlier, _) if running.shell.has_four_eyes => Some(earlier.last),
            _ => None,
        };
        let (sources, loaded) = aside(move || {
            let sources = match wanted {
                Wanted::Files => {
                    crate::config::read_sources(&path).map_err(ReloadFault::Invalid)?
                }
                Wanted::Text(text) => vec![Source::new("candidate", text)],
                Wanted::Earlier(generation, _) => generation.sources(),
            };
            let loaded = crate::config::load(&sources, Some(&before.config));
            let Some(number) = held else {
                return Ok((sources, loaded.map_err(ReloadFault::Invalid)?));
            };
            let loaded = loaded.map_err(|why| ReloadFault::OtherAccess(number, Some(why)))?;
            match loaded.shell.has_access_of(&before.shell) {
                true => Ok((sources, loaded)),
                false => Err(ReloadFault::OtherAccess(number, None)),
            }
        })
        .await?;
        let changes = changes(&running, &loaded);
        let fixed = fixed::changed(&running, &loaded, &changes);
        if !fixed.is_empty() {
            return Err(ReloadFault::NeedsRestart(fixed.join("; ")));
        }
        let (loaded, tls, trust, recordings) = aside(move || {
            let (tls, trust) = (identities(&loaded)?, trust(&loaded)?);
            let recordings = media::recordings(&loaded.config).map_err(ReloadFault::Sounds)?;
            Ok((loaded, tls, trust, recordings))
        })
        .await?;
        let places = self.try_places(&running, &loaded, &changes).await?;
        let config = Arc::new(loaded.config.clone());
        let (tls, kept) = match trial {
            Trial::Held => self.proven(&config, tls, &self.words()).await,
            Trial::HandsOnly => self.proven(&config, tls, &self.no_words()).await,
            Trial::LeftOut => (tls, Vec::new()),
        };
        let opened = self
            .net()
            .reopen(&config)
            .await
            .map_err(ReloadFault::Bind)?;
        Ok(Prepared {
            loaded,
            sources,
            changes,
            tls,
            kept,
            trust,
            recordings,
            opened,
            places,
        })
    }

    /// Nothing of it can fail.
    fn apply(&self, prepared: Prepared) -> Reloaded {
        let loaded = prepared.loaded;
        let config = Arc::new(self.protection().over(&loaded.config));
        let tls = Arc::new(prepared.tls);
        self.signers().trust(prepared.trust);
        // Before any call asks for them.
        self.take_places(&prepared.changes, &loaded, prepared.places);
        if let Some(parts) = self.parts().as_ref() {
            parts.relay.set_recordings(prepared.recordings);
        }
        self.net()
            .apply(Arc::clone(&config), Arc::clone(&tls), prepared.opened);
        for inbox in self.inboxes().all() {
            // Reports of our own side are always taken.
            let _ = inbox.push(Input::Config(Arc::clone(&config)));
        }
        self.configure_clients(&loaded);
        // All was read a moment ago.
        self.unread_lists().clear();
        self.publish(&loaded, &tls);
        self.tell_kept(&prepared.kept);
        let is_elsewhere = |name: &TlsContextName| self.acme().has_candidate(name);
        self.awaited()
            .replace(&prepared.kept, is_elsewhere, |trunk| {
                let mut all = config.trunks.values();
                all.any(|one| one.watched_as() == trunk)
            });
        let done = Reloaded {
            changes: prepared.changes,
            generation: loaded.config.generation,
            kept: prepared.kept,
            difference: String::new(),
            not_read_anew: loaded.shell.credentials.clone(),
            same_as: None,
        };
        self.loaded.store(Arc::new(loaded));
        self.test_names().look();
        done
    }

    /// Tells the metrics which configuration and certificates are in use, and who gets certificates which.
    pub(super) fn publish(&self, loaded: &Loaded, tls: &TlsStore) {
        let now = wall_clock().as_micros() as f64 / 1e6;
        let metrics = &self.sinks().metrics;
        metrics.config_loaded(loaded.config.generation, now);
        self.sinks().audit.set_generation(loaded.config.generation);
        let ladders = usize::try_from(loaded.shell.ladders_bytes).unwrap_or(usize::MAX);
        self.sinks().traces.set_room(ladders);
        let most = loaded.shell.metrics.as_ref();
        metrics.set_most_series(most.map_or(MOST_SERIES, |own| own.max_series));
        metrics.calls.set_limits(&loaded.config);
        metrics.delivery.set_teams(&loaded.config);
        metrics.options.keep(&loaded.config);
        metrics.certificates.keep(&loaded.config);
        self.publish_certificates(tls);
        self.acme().configure(loaded, tls);
        let net = self.net().clone();
        let places: LocalPlaces = Arc::new(move |hop| net.local_of(hop));
        self.sinks().captures.set_places(Arc::clone(&places));
        self.sinks().hep.configure(loaded, self.resolver(), places);
        if let Some(relay) = self.relay.upgrade() {
            relay.set_reports(self.sinks().hep.wants_reports());
        }
        self.sinks().ship.configure(loaded, self.resolver());
        self.presence().configure(loaded);
        // After it: they are told of its users.
        self.notices().configure(loaded);
        metrics.set_lists_until(self.signers().lists_until());
        metrics.registrations.keep(|trunk| {
            let trunk = loaded.config.trunks.get(trunk);
            trunk.is_some_and(|trunk| trunk.register.is_some())
        });
        metrics.bindings.keep(|trunk| {
            let trunk = loaded.config.trunks.get(trunk);
            trunk.is_some_and(|trunk| trunk.registrar.is_some())
        });
        for finding in &loaded.findings.warnings {
            log_finding(&self.sinks().log, Level::Warn, finding);
        }
        expiry::warn(tls, &self.sinks().log);
        expiry::warn_of_clients(self.client_lists(), &self.sinks().log);
    }

    /// Tells the metrics which certificates are in use.
    pub(super) fn publish_certificates(&self, tls: &TlsStore) {
        if let Some(deed) = self.keys_noted().changed(tls) {
            self.sinks().audit.note(deed);
        }
        let metrics = &self.sinks().metrics;
        metrics.certificates.set(tls.iter().flat_map(|context| {
            let own = std::iter::once((context.facts(), "own"));
            let cas = context.cas().iter().map(|ca| (ca, "ca"));
            own.chain(cas).map(|(facts, kind)| {
                (
                    context.name(),
                    facts.subject.as_str(),
                    kind,
                    facts.not_after,
                )
            })
        }));
    }
}

/// What is told of a refusal until something is taken into use: the log has all of it.
fn in_short(wanted: &Wanted, fault: &ReloadFault) -> String {
    let what = match wanted {
        Wanted::Files | Wanted::Text(_) => "reload",
        Wanted::Earlier(..) => "rollback",
    };
    let time = wall_clock().rfc3339();
    let time = time.get(..19).unwrap_or(&time);
    let why = match fault {
        ReloadFault::Invalid(findings) => match findings.errors.len() + findings.omitted {
            1 => " (1 error): causeway check".to_owned(),
            count => format!(" ({count} errors): causeway check"),
        },
        _ => {
            let text = fault.to_string();
            format!(": {}", text.lines().next().unwrap_or_default())
        }
    };
    format!("the last {what}, {time}Z, was refused{why}")
}

/// Goes back once it is time, unless somebody has confirmed or gone back before.
async fn take_back(daemon: Weak<Daemon>) {
    loop {
        let until = match daemon.upgrade() {
            Some(daemon) => daemon.generations().until(),
            None => return,
        };
        let Some(until) = until else {
            return;
        };
        tokio::time::sleep_until(until).await;
        match daemon.upgrade() {
            Some(daemon) if daemon.is_stopping() => return,
            Some(daemon) if daemon.revert().await => return,
            Some(daemon) if daemon.generations().overdue().is_none() => {}
            Some(_) => tokio::time::sleep(AGAIN).await,
            None => return,
        }
    }
}

/// Writes down what is in use once that is possible.
async fn write_again(daemon: Weak<Daemon>) {
    loop {
        tokio::time::sleep(OWED).await;
        let Some(daemon) = daemon.upgrade() else {
            return;
        };
        let generations = Arc::clone(daemon.generations());
        let written = move || !generations.is_owed() || generations.write_again().is_ok();
        let written = tokio::task::spawn_blocking(written).await;
        if written.unwrap_or(true) || daemon.is_stopping() {
            return;
        }
    }
}

/// Tells why a configuration cannot be used, a line for each finding; returns how many there are.
pub(super) fn tell_reasons(log: &Log, fault: &ReloadFault) -> usize {
    match fault {
        ReloadFault::Invalid(findings) => {
            for finding in &findings.errors {
                log_finding(log, Level::Error, finding);
            }
            findings.errors.len() + findings.omitted
        }
        ReloadFault::Material(_)
        | ReloadFault::Bind(_)
        | ReloadFault::Places(_)
        | ReloadFault::Realms(_)
        | ReloadFault::Trust(_)
        | ReloadFault::Sounds(_) => {
            let text = fault.to_string();
            for line in text.lines() {
                log.error("config", line).send();
            }
            text.lines().count()
        }
        ReloadFault::OtherAccess(..)
        | ReloadFault::NeedsRestart(_)
        | ReloadFault::Other(_)
        | ReloadFault::OtherFiles
        | ReloadFault::TakenBack
        | ReloadFault::EndsCalls(_)
        | ReloadFault::Unwritten(_)
        | ReloadFault::NotKept(_) => {
            log.error("config", fault).send();
            1
        }
    }
}

/// Does what reads files or takes long where no call waits for it.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReloadFault> + Send + 'static,
) -> Result<T, ReloadFault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(fault) => match fault.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and the daemon with it.
            Err(_) => Err(ReloadFault::NeedsRestart(
                "the daemon is stopping".to_owned(),
            )),
        },
    }
}

fn log_finding(log: &Log, level: Level, finding: &Finding) {
    let place = finding.place.as_ref().map_or_else(String::new, |place| {
        format!("{}:{}:{}", place.file, place.line, place.column)
    });
    let line = log
        .line(level, "config", &finding.cause)
        .with("finding", finding.code)
        .with("place", place);
    match &finding.help {
        Some(help) => line.with("help", help).send(),
        None => line.send(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_is_a_number_and_the_files_that_were_seen() {
        let files = |text: &str| [Source::new("a.toml", text)];
        let meant = Meant::by(&Meant::tag(7, &files("x")));
        assert_eq!(meant.generation, Some(7));
        assert!(meant.is(&files("x")) && !meant.is(&files("y")));
        let number = Meant::by("\"7\"");
        assert!(number.generation == Some(7) && number.is(&files("y")));
        assert_eq!(Meant::by("*"), Meant::default());
        // What nobody has given matches nothing.
        assert_eq!(Meant::by("W/\"7\"").generation, Some(0));
    }
}
