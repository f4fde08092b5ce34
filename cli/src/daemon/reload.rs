//! A new configuration while calls run: load, check, open what is new, then swap (OPS-120).
//!
//! Any failure leaves everything as it was and says why.

use crate::daemon::net::tls::{MaterialFault, TlsStore};
use crate::daemon::net::{BindFault, Kept};
use crate::daemon::stir::{Trust, TrustFault};
use crate::daemon::{Daemon, expiry, media};
use crate::sink::log::{Level, Log, wall_clock};
use sbc_core::config::{Changes, Finding, Findings, Loaded, changes};
use sbc_core::id::TlsContextName;
use sbc_core::input::Input;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

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
    /// New sockets cannot be opened.
    Bind(Vec<BindFault>),
    /// Something that is only set up at start was changed.
    NeedsRestart(&'static str),
    /// Another configuration is in use than was meant: the one of this number.
    Other(u64),
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
            Self::Other(generation) => write!(f, "generation {generation} is in use"),
            Self::Sounds(fault) => writeln!(f, "{fault}"),
            Self::NeedsRestart(what) => write!(
                f,
                "{what} can only be changed by a restart; until then undo this change, or others \
                 cannot be loaded either"
            ),
        }
    }
}

impl std::error::Error for ReloadFault {}

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
}

impl Daemon {
    /// Puts the configuration on disk into use. Reloads are done one after the other.
    ///
    /// # Errors
    /// [`ReloadFault`]; the running configuration stays.
    pub async fn reload(&self) -> Result<Reloaded, ReloadFault> {
        self.reload_if(|_| true).await
    }

    /// The same, if the number of the configuration that is in use when its turn has come is one that is meant.
    ///
    /// # Errors
    /// [`ReloadFault`]; the running configuration stays.
    pub async fn reload_if(
        &self,
        is_meant: impl Fn(u64) -> bool + Send,
    ) -> Result<Reloaded, ReloadFault> {
        let _turn = self.turn().lock().await;
        let running = self.loaded();
        if !is_meant(running.config.generation) {
            return Err(ReloadFault::Other(running.config.generation));
        }
        match self.try_reload(running).await {
            Ok((loaded, changes, kept)) => {
                let generation = loaded.config.generation;
                // Who hears of it finds it.
                self.loaded.store(Arc::new(loaded));
                let line = self
                    .sinks()
                    .log
                    .info("reload", "configuration is in use")
                    .with("generation", generation);
                line.send();
                let told = serde_json::json!({ "generation": generation });
                self.sinks().news.tell("config.reload", told);
                Ok(Reloaded {
                    changes,
                    generation,
                    kept,
                })
            }
            Err(fault) => {
                self.sinks().metrics.config_refused();
                self.tell_refusal(&fault);
                Err(fault)
            }
        }
    }

    /// A line for each finding: whoever sent SIGHUP has nothing but the log.
    fn tell_refusal(&self, fault: &ReloadFault) {
        let log = &self.sinks().log;
        let reasons = match fault {
            ReloadFault::Invalid(findings) => {
                for finding in &findings.errors {
                    log_finding(log, Level::Error, finding);
                }
                findings.errors.len() + findings.omitted
            }
            ReloadFault::Material(_)
            | ReloadFault::Bind(_)
            | ReloadFault::Trust(_)
            | ReloadFault::Sounds(_) => {
                let text = fault.to_string();
                for line in text.lines() {
                    log.error("config", line).send();
                }
                text.lines().count()
            }
            ReloadFault::NeedsRestart(_) | ReloadFault::Other(_) => {
                log.error("config", fault).send();
                1
            }
        };
        log.error(
            "reload_refused",
            "nothing has changed; the previous configuration stays in use",
        )
        .with("reasons", reasons)
        .send();
    }

    async fn try_reload(
        &self,
        running: Arc<Loaded>,
    ) -> Result<(Loaded, Changes, Vec<Kept>), ReloadFault> {
        let path = self.config_path().to_owned();
        let before = Arc::clone(&running);
        let loaded = aside(move || load(&path, Some(&before))).await?;
        let changed = changes(&running, &loaded);
        if !changed.realms.is_empty() {
            return Err(ReloadFault::NeedsRestart(match running.shell.relay {
                None => "a realm's addresses, ports, marking or media backend",
                Some(_) => {
                    "a realm's addresses, ports, marking or media backend, which the media relay learns from the \
                     daemon when that starts,"
                }
            }));
        }
        if changed.api || changed.metrics {
            return Err(ReloadFault::NeedsRestart(
                "the address of [api] or [metrics]",
            ));
        }
        if changed.relay {
            return Err(ReloadFault::NeedsRestart("the relay in [media]"));
        }
        if changed.dns {
            return Err(ReloadFault::NeedsRestart("the servers in [dns]"));
        }
        if running.shell.cdr.is_some() != loaded.shell.cdr.is_some() {
            return Err(ReloadFault::NeedsRestart("whether [cdr] is written"));
        }
        let (loaded, tls, trust, recordings) = aside(move || {
            let (tls, trust) = (identities(&loaded)?, trust(&loaded)?);
            let recordings = media::recordings(&loaded.config).map_err(ReloadFault::Sounds)?;
            Ok((loaded, tls, trust, recordings))
        })
        .await?;
        let config = Arc::new(loaded.config.clone());
        let (tls, kept) = self.net().proven(&config, tls).await;
        let tls = Arc::new(tls);
        let opened = self
            .net()
            .reopen(&config)
            .await
            .map_err(ReloadFault::Bind)?;
        // From here on nothing can fail.
        self.signers().trust(trust);
        // Before any call asks for them.
        if let Some(parts) = self.parts().as_ref() {
            parts.relay.set_recordings(recordings);
        }
        self.net()
            .apply(Arc::clone(&config), Arc::clone(&tls), opened);
        for inbox in self.inboxes().all() {
            // Reports of our own side are always taken.
            let _ = inbox.push(Input::Config(Arc::clone(&config)));
        }
        if changed.cdr
            && let (Some(cdr), Some(spool)) = (&self.sinks().cdr, &loaded.shell.cdr)
        {
            cdr.relocate(spool);
        }
        self.publish(&loaded, &tls);
        Ok((loaded, changed, kept))
    }

    /// Tells the metrics which configuration and certificates are in use, and who gets certificates which.
    pub(super) fn publish(&self, loaded: &Loaded, tls: &TlsStore) {
        let now = wall_clock().as_micros() as f64 / 1e6;
        let metrics = &self.sinks().metrics;
        metrics.config_loaded(loaded.config.generation, now);
        self.publish_certificates(tls);
        self.acme().configure(loaded, tls);
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
    }

    /// Tells the metrics which certificates are in use.
    pub(super) fn publish_certificates(&self, tls: &TlsStore) {
        let metrics = &self.sinks().metrics;
        metrics.set_certificates(tls.iter().flat_map(|context| {
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

/// Does what reads files or takes long where no call waits for it.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReloadFault> + Send + 'static,
) -> Result<T, ReloadFault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(fault) => match fault.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and the daemon with it.
            Err(_) => Err(ReloadFault::NeedsRestart("a daemon that is stopping")),
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
