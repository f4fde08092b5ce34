//! Certificates and keys that somebody else renews, as certbot does: taken into use as soon as both files are whole,
//! without a reload (OPS-121, TDR-TLS-013).
//!
//! Files are looked at regularly, by what the file system says of them. What has changed and then has not for one look is
//! read; as long as key and certificate do not belong together, the pair in use stays. Which files belong to an identity,
//! and all else of the configuration, is what the last reload has said. Certificates of an authority of our own come into
//! use by themselves (`acme`). What was tried while Teams answered nobody is tried again with its next 200 ([`Awaited`]).
//!
//! [`Awaited`]: super::awaited::Awaited

use super::net::tls::{TlsContext, TlsStore};
use super::net::{Kept, Words};
use super::{Daemon, relisted};
use crate::sink::log::wall_clock;
use crate::sink::news::Kind;
use sbc_core::config::{Config, Secret, TlsFiles};
use sbc_core::id::TlsContextName;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval};

/// How often files are looked at: a renewal is in use within a minute.
pub(super) const EVERY: Duration = Duration::from_secs(30);

/// When a pair that was not taken into use is read once more: it may be good by then, or Teams may take it.
const AGAIN: Duration = Duration::from_secs(3_600);

/// What the file system says of a file.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Mark {
    /// Device, number, and length.
    place: (u64, u64, u64),
    /// When its content was changed, with nanoseconds.
    changed: (i64, i64),
    /// Who may read it: mode, user, and group.
    access: (u32, u32, u32),
}

/// Both files of an identity; a file that is not there has no mark.
type Marks = [Option<Mark>; 2];

/// What is known of an identity's files.
#[derive(Clone, Default)]
struct Known {
    /// At the last look.
    seen: Marks,
    /// When they were read last.
    read: Option<Marks>,
    /// They are read once more, as they were not what is shown.
    again: Option<Instant>,
}

/// Looks at the files of every identity, again and again, as long as the daemon lives.
pub async fn watch(daemon: Weak<Daemon>, every: Duration) {
    let mut known = BTreeMap::new();
    let mut lists = relisted::Seen::new();
    let mut looks = interval(every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let Some(proxies) = daemon.upgrade().map(|own| Arc::clone(&own.sinks().proxies)) else {
        return;
    };
    loop {
        let is_answer = tokio::select! {
            _ = looks.tick() => false,
            () = proxies.next_good() => true,
        };
        let Some(daemon) = daemon.upgrade() else {
            return;
        };
        if !is_answer {
            daemon.net().retire_aged();
            lists = relisted::look(&daemon, lists).await;
        }
        let answered = daemon.awaited().answered(&proxies);
        if is_answer && answered.is_empty() {
            continue;
        }
        for name in &answered {
            // One that an authority has issued is kept beside the one in use, and is all that is tried.
            daemon.acme().show_again(name);
        }
        let files: Vec<(TlsContextName, TlsFiles)> = {
            let loaded = daemon.loaded();
            let files = loaded.shell.tls.iter();
            let files = files.filter(|(_, files)| files.issued_for.is_none());
            files
                .map(|(name, files)| (name.clone(), files.clone()))
                .collect()
        };
        let mut before: BTreeMap<_, Known> = std::mem::take(&mut known);
        for name in &answered {
            if let Some(own) = before.get_mut(name) {
                own.again = Some(Instant::now());
            }
        }
        let shown = daemon.net().identities();
        let looked = tokio::task::spawn_blocking(move || look(files, before, &shown));
        let Ok(Looked {
            known: seen,
            read,
            shown,
        }) = looked.await
        else {
            return;
        };
        known = seen;
        // Where the one in use lies on disk again, nothing waits any more.
        daemon.awaited().note(&shown, &[]);
        if !read.is_empty() {
            daemon.take_renewed(read).await;
        }
    }
}

/// What reading the files of an identity has brought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reading {
    /// They are what is shown already.
    Same,
    /// They are in use now.
    Taken,
    /// They cannot be used, for this reason.
    Unusable(String),
    /// They could be, and are not taken into use.
    Kept(String),
}

impl Reading {
    /// The stable name.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Taken => "taken",
            Self::Unusable(_) => "unusable",
            Self::Kept(_) => "kept",
        }
    }
}

type Read = (TlsFiles, Result<Arc<TlsContext>, (TlsContextName, String)>);

/// What a look has found.
struct Looked {
    known: BTreeMap<TlsContextName, Known>,
    /// Pairs that were read and are others than those in use.
    read: Vec<Read>,
    /// Whose pair was read and is the one in use.
    shown: Vec<TlsContextName>,
}

/// Reads the files that have changed and are quiet again: what is shown already is dropped at once, so that the
/// first look at a thousand identities does not hold them all twice.
fn look(
    files: Vec<(TlsContextName, TlsFiles)>,
    mut before: BTreeMap<TlsContextName, Known>,
    in_use: &TlsStore,
) -> Looked {
    let mut looked = Looked {
        known: BTreeMap::new(),
        read: Vec::new(),
        shown: Vec::new(),
    };
    for (name, files) in files {
        let marks = marks(&files);
        let mut own = before.remove(&name).unwrap_or_default();
        let is_due = own.again.is_some_and(|at| at <= Instant::now());
        if own.seen == marks && (own.read != Some(marks) || is_due) && marks[0].is_some() {
            own.read = Some(marks);
            let context = TlsContext::load(name.clone(), &files);
            let context = context.map_err(|why| (name.clone(), why.to_string()));
            let is_shown = matches!((&context, in_use.get(&name)), (Ok(found), Some(own)) if own.shows_the_same(found));
            own.again = (!is_shown).then(|| Instant::now() + AGAIN);
            if is_shown {
                looked.shown.push(name.clone());
            } else {
                looked.read.push((files, context.map(Arc::new)));
            }
        }
        own.seen = marks;
        looked.known.insert(name, own);
    }
    looked
}

/// What is said of a file now.
pub(crate) fn mark(path: &str) -> Option<Mark> {
    let facts = fs::metadata(path).ok()?;
    Some(Mark {
        place: (facts.dev(), facts.ino(), facts.len()),
        changed: (facts.mtime(), facts.mtime_nsec()),
        access: (facts.mode(), facts.uid(), facts.gid()),
    })
}

fn marks(files: &TlsFiles) -> Marks {
    let key = match &files.key {
        Secret::File(path) => mark(path),
        // These are what they were at the start of the daemon.
        Secret::Env(_) | Secret::Credential(_) => None,
    };
    [mark(&files.cert), key]
}

impl Daemon {
    /// Tries certificates of ours that are new at Teams.
    pub(super) async fn proven(
        &self,
        config: &Arc<Config>,
        tls: TlsStore,
        words: &Words,
    ) -> (TlsStore, Vec<Kept>) {
        self.net().proven(config, tls, self.resolver(), words).await
    }

    /// Tells of certificates that were tried and are not put into use; of one that waits already, nothing new.
    pub(super) fn tell_kept(&self, kept: &[Kept]) {
        for one in kept {
            if !one.awaits.is_empty() && self.awaited().of(&one.context).is_some() {
                continue;
            }
            let told = serde_json::json!({ "context": one.context, "why": one.because });
            let kind = match one.awaits.is_empty() {
                true => Kind::CertificateRefused,
                false => Kind::CertificateWaits,
            };
            self.sinks().news.tell(kind, told);
        }
    }

    /// Reads the files of every identity now, and takes those into use that are others and as good. Those that an authority
    /// issues are none of it.
    pub async fn read_identities(&self) -> Vec<(TlsContextName, Reading)> {
        let loaded = self.loaded();
        let files = loaded.shell.tls.iter();
        let files = files.filter(|(_, files)| files.issued_for.is_none());
        let files: Vec<(TlsContextName, TlsFiles)> = files
            .map(|(name, files)| (name.clone(), files.clone()))
            .collect();
        let read = tokio::task::spawn_blocking(move || {
            let load = |(name, files): (TlsContextName, TlsFiles)| {
                let context = TlsContext::load(name.clone(), &files);
                let context = context.map_err(|why| (name.clone(), why.to_string()));
                (name, files, context.map(Arc::new))
            };
            files.into_iter().map(load).collect::<Vec<_>>()
        });
        let before = self.net().identities();
        let mut found = Vec::new();
        let mut new = Vec::new();
        for (name, files, context) in read.await.unwrap_or_default() {
            let reading = match &context {
                Err((_, why)) => Reading::Unusable(why.clone()),
                Ok(context)
                    if before
                        .get(&name)
                        .is_some_and(|own| own.shows_the_same(context)) =>
                {
                    Reading::Same
                }
                Ok(context) => {
                    new.push((files, Ok(Arc::clone(context))));
                    Reading::Kept(String::new())
                }
            };
            found.push((name, reading, context.ok()));
        }
        let mut stay = match new.is_empty() {
            true => BTreeMap::new(),
            false => self.take_renewed(new).await,
        };
        let after = self.net().identities();
        let judged =
            |(name, reading, context): (TlsContextName, Reading, Option<Arc<TlsContext>>)| {
                let is_in_use = context.is_some_and(|context| {
                    after
                        .get(&name)
                        .is_some_and(|own| own.shows_the_same(&context))
                });
                let reading = match reading {
                    Reading::Kept(_) if is_in_use => Reading::Taken,
                    Reading::Kept(_) => {
                        let waits = self.awaited().of(&name);
                        let because = waits.map(|waits| waits.because.to_owned());
                        // A reload that came between has its own word on it.
                        let between = || "a reload came between: look again".to_owned();
                        let because = because.or_else(|| stay.remove(&name));
                        Reading::Kept(because.unwrap_or_else(between))
                    }
                    other => other,
                };
                (name, reading)
            };
        found.into_iter().map(judged).collect()
    }

    /// Takes certificates that were found on disk into use, those that are others and as good; why the others are not.
    async fn take_renewed(&self, read: Vec<Read>) -> BTreeMap<TlsContextName, String> {
        let mut stay = BTreeMap::new();
        let log = &self.sinks().log;
        let stays = "the certificate on disk is not taken into use, the one before stays";
        let stays = |name: &TlsContextName, why: &str| {
            let line = log.warn("certificate_file", stays).with("context", name);
            line.with("why", why).send();
        };
        // No reload comes between.
        let _turn = self.turn().lock().await;
        let before = self.net().identities();
        let loaded = self.loaded();
        let now = i64::try_from(wall_clock().as_micros() / 1_000_000).unwrap_or(i64::MAX);
        let mut tls = (*before).clone();
        let mut found = Vec::new();
        for (files, context) in read {
            let context = match context {
                Ok(context) => context,
                Err((name, why)) => {
                    stays(&name, &why);
                    self.awaited().note([&name], &[]);
                    stay.insert(name, why);
                    continue;
                }
            };
            let name = context.name();
            let is_meant = loaded.shell.tls.get(name) == Some(&files);
            let Some(old) = before.get(name).filter(|_| is_meant) else {
                continue;
            };
            if old.shows_the_same(&context) {
                self.awaited().note([name], &[]);
                continue;
            }
            let (own, facts) = (old.facts(), context.facts());
            // What a reload has chosen, and what only waits for Teams, is measured by its own names.
            let chosen = self.awaited().of(name).and_then(|own| own.chosen);
            let why = match lacking(&own.names, chosen.as_deref(), &facts.names) {
                Some(name) => Some(format!(
                    "it lacks the name {name}; a reload takes it all the same"
                )),
                None if facts.not_after <= now => Some("it has expired".to_owned()),
                None if facts.not_before > now => Some("it is not valid yet".to_owned()),
                None => None,
            };
            match why {
                Some(why) => {
                    stays(name, &why);
                    self.awaited().note([name], &[]);
                    stay.insert(name.clone(), why);
                }
                None => {
                    tls.put(Arc::clone(&context));
                    found.push(context);
                }
            }
        }
        // Side by side: hundreds are renewed in one night.
        let (mut tls, kept) = self.proven(&self.net().config(), tls, &self.words()).await;
        self.tell_kept(&kept);
        self.awaited()
            .note(found.iter().map(|context| context.name()), &kept);
        // Who refuses one was told by who has tried it.
        for Kept {
            context: name,
            because,
            ..
        } in &kept
        {
            stay.insert(name.clone(), (*because).to_owned());
            found.retain(|context| context.name() != name);
            if let Some(old) = before.get(name) {
                tls.put(Arc::clone(old));
            }
        }
        if found.is_empty() {
            return stay;
        }
        let tls = Arc::new(tls);
        self.net().use_identities(Arc::clone(&tls));
        self.publish_certificates(&tls);
        for context in found {
            let (name, facts) = (context.name(), context.facts());
            let text = "a renewed certificate was found on disk and is in use";
            let line = log.info("certificate_file", text).with("context", name);
            line.with("subject", &facts.subject)
                .with("days_left", (facts.not_after - now).div_euclid(86_400))
                .send();
            let told = serde_json::json!({ "context": name });
            self.sinks().news.tell(Kind::CertificateRenewed, told);
        }
        stay
    }
}

/// A name of those in use, or of those that a reload has chosen instead, that a new certificate lacks.
fn lacking<'a>(own: &'a [String], chosen: Option<&'a [String]>, new: &[String]) -> Option<&'a str> {
    let wanted = chosen.unwrap_or(own).iter();
    wanted
        .map(String::as_str)
        .find(|name| !new.iter().any(|other| other == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::config::{TlsVersion, VerifyClient};
    use std::os::unix::fs::PermissionsExt as _;

    /// A pair that cannot be read, as it is on disk.
    fn pair(folder: &std::path::Path) -> (TlsContextName, TlsFiles) {
        let at = |name: &str| folder.join(name).display().to_string();
        let files = TlsFiles {
            cert: at("one.pem"),
            key: Secret::File(at("one.key")),
            client_ca: None,
            verify_client: VerifyClient::Off,
            min: TlsVersion::V1_2,
            allow_wildcard: false,
            drain: None,
            max_age: None,
            revoked: None,
            issued_for: None,
        };
        (TlsContextName::new("one"), files)
    }

    #[test]
    fn fewer_names_that_a_reload_has_chosen_are_no_reason_against_a_certificate() {
        let names = ["a.example", "b.example"].map(str::to_owned);
        let (both, first) = (&names[..], &names[..1]);
        assert_eq!(lacking(both, None, first), Some("b.example"));
        assert_eq!(lacking(both, Some(first), first), None);
        assert_eq!(lacking(first, Some(both), first), Some("b.example"));
    }

    #[test]
    fn what_could_not_be_used_is_read_again_when_its_mode_changes_and_in_an_hour() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["one.pem", "one.key"] {
            fs::write(folder.path().join(name), "none").unwrap();
        }
        let files = vec![pair(folder.path())];
        let shown = TlsStore::default();
        let mut known = BTreeMap::new();
        let mut reads = |change: &dyn Fn(&mut Known)| {
            known.values_mut().for_each(change);
            let looked = look(files.clone(), std::mem::take(&mut known), &shown);
            known = looked.known;
            looked.read.len()
        };
        let nothing = |_: &mut Known| {};
        // It is quiet from the second look on, and told once.
        assert_eq!([0; 4].map(|_| reads(&nothing)), [0, 1, 0, 0]);
        let key = folder.path().join("one.key");
        fs::set_permissions(key, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!([0; 3].map(|_| reads(&nothing)), [0, 1, 0]);
        let hour_is_over = |own: &mut Known| own.again = Some(Instant::now());
        assert_eq!([reads(&hour_is_over), reads(&nothing)], [1, 0]);
    }

    #[test]
    fn the_pair_in_use_that_lies_on_disk_again_is_told_as_that() {
        let folder = tempfile::tempdir().unwrap();
        let (name, files) = pair(folder.path());
        let put = || {
            let own = rcgen::generate_simple_self_signed(["sbc.example".to_owned()]).unwrap();
            fs::write(&files.cert, own.cert.pem()).unwrap();
            let key = folder.path().join("one.key");
            fs::write(&key, own.signing_key.serialize_pem()).unwrap();
            fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
        };
        put();
        let mut in_use = TlsStore::default();
        in_use.put(Arc::new(TlsContext::load(name.clone(), &files).unwrap()));
        let mut known = BTreeMap::new();
        let mut looks = || {
            let all = vec![(name.clone(), files.clone())];
            let looked = look(all, std::mem::take(&mut known), &in_use);
            known = looked.known;
            (looked.read.len(), looked.shown)
        };
        assert_eq!(looks(), (0, Vec::new()), "it may be written still");
        assert_eq!(looks(), (0, vec![name.clone()]));
        put();
        assert_eq!([looks(), looks()], [(0, Vec::new()), (1, Vec::new())]);
    }
}
