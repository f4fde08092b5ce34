//! Whom an operator keeps out and lets in for a while, and whose token they have taken away.
//!
//! | what      | means                                                                        | ends          |
//! |-----------|------------------------------------------------------------------------------|---------------|
//! | ban       | nothing of these addresses is heard at any listener, whose ever they are     | by itself     |
//! | guest     | these addresses are a trunk's, as if they stood in its `accept_from`         | by itself     |
//! | revoked   | this token is nobody's, whatever the configuration says                      | never         |
//!
//! A ban outranks a guest, and both outlive reloads; what is revoked outlives all but the loss of the state directory,
//! where all of it is kept in one file over restarts (`whole.rs`). Calls of a guest whose time is over go on, as those
//! of a peer that a reload has taken away.

use super::Daemon;
use super::net::Opened;
use crate::sink::audit::Deed;
use crate::sink::log::{Log, wall_clock};
use crate::sink::news::Kind;
use crate::sink::whole;
use sbc_core::config::{Config, IpNet, TokenHash};
use sbc_core::id::TrunkName;
use sbc_core::input::Input;
use sbc_core::time::UnixTime;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// Longest time for which somebody is banned or let in: what is to last belongs into the configuration.
pub const LONGEST: Duration = Duration::from_secs(30 * 86_400);
/// The usual time.
pub const USUAL: Duration = Duration::from_secs(86_400);
/// Most of each kind.
pub const MOST: usize = 1_024;
/// Name of the file.
const FILE: &str = "protection.json";
/// The form of the file that this program writes and reads.
const VERSION: u32 = 1;
/// How often the clock is looked at, which may jump.
const LOOK: Duration = Duration::from_secs(30);

/// A ban, or a guest where it has a trunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The addresses.
    pub net: IpNet,
    /// Whose they are.
    pub trunk: Option<TrunkName>,
    /// When it began.
    pub since: UnixTime,
    /// When it ends.
    pub until: UnixTime,
    /// Who wanted it.
    pub by: String,
    /// What for.
    pub reason: String,
}

impl Entry {
    /// Whether it is about the same.
    fn is_as(&self, net: IpNet, trunk: Option<&TrunkName>) -> bool {
        self.net == net && self.trunk.as_ref() == trunk
    }

    /// Time that it has left.
    pub fn left(&self) -> Duration {
        let left = self.until.as_micros();
        Duration::from_micros(left.saturating_sub(wall_clock().as_micros()))
    }

    fn kind(&self) -> Kind {
        match self.trunk {
            None => Kind::SecurityBan,
            Some(_) => Kind::SecurityGuest,
        }
    }
}

/// Why somebody is not banned or let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// A token that was taken away.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
struct Revoked {
    name: String,
    /// SHA-256 of what the configuration has for the token.
    mark: String,
}

#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Known {
    entries: Vec<Entry>,
    revoked: Vec<Revoked>,
}

/// What the file says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    version: u32,
    entries: Vec<Written>,
    revoked: Vec<Revoked>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    address: String,
    trunk: Option<String>,
    since: UnixTime,
    until: UnixTime,
    by: String,
    reason: String,
}

/// All of it.
#[derive(Default)]
pub struct Protection {
    known: Mutex<Known>,
    path: Option<PathBuf>,
    changed: Notify,
}

impl Protection {
    /// Takes over what was kept in a directory, and keeps there what comes from now on. A file that cannot be read is
    /// told and left alone until something changes.
    ///
    /// # Errors
    /// If the directory cannot be made.
    pub fn open(directory: &Path, log: &Log) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let path = directory.join(FILE);
        let known = match read(&path) {
            Ok(known) => known,
            Err(why) => {
                let text =
                    "bans, guests and revoked tokens of before are not known: they do not hold";
                let line = log.error("protection_read", text);
                line.with("file", path.display()).with("why", why).send();
                Known::default()
            }
        };
        Ok(Self {
            known: Mutex::new(known),
            path: Some(path),
            changed: Notify::new(),
        })
    }

    /// Bans, the one that ends first before the others.
    pub fn bans(&self) -> Vec<Entry> {
        self.among(|own| own.trunk.is_none())
    }

    /// Addresses that are let in.
    pub fn guests(&self) -> Vec<Entry> {
        self.among(|own| own.trunk.is_some())
    }

    fn among(&self, is_meant: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let known = self.lock();
        let now = wall_clock();
        let mut found: Vec<Entry> = known
            .entries
            .iter()
            .filter(|own| own.until > now && is_meant(own))
            .cloned()
            .collect();
        found.sort_by_key(|own| own.until);
        found
    }

    /// When the next one ends: at once where that is over already.
    fn next(&self) -> Option<Duration> {
        self.lock().entries.iter().map(Entry::left).min()
    }

    /// The configuration with those who are let in.
    pub fn over(&self, config: &Config) -> Config {
        let guests = self.guests();
        let guests = guests
            .iter()
            .filter_map(|own| Some((own.trunk.as_ref()?, own.net)));
        config.admitting(guests)
    }

    /// Whether a token was taken away.
    pub fn is_revoked(&self, token: &TokenHash) -> bool {
        let known = self.lock();
        if known.revoked.is_empty() {
            return false;
        }
        let mark = mark(token);
        known.revoked.iter().any(|own| own.mark == mark)
    }

    fn put(&self, entry: Entry) -> Result<(), Full> {
        let mut known = self.lock();
        let is_same = |own: &Entry| own.is_as(entry.net, entry.trunk.as_ref());
        known.entries.retain(|own| !is_same(own));
        let of_kind = |own: &&Entry| own.trunk.is_some() == entry.trunk.is_some();
        if known.entries.iter().filter(of_kind).count() >= MOST {
            return Err(Full);
        }
        known.entries.push(entry);
        Ok(())
    }

    fn take(&self, net: IpNet, trunk: Option<&TrunkName>) -> Option<Entry> {
        let mut known = self.lock();
        let at = known.entries.iter().position(|own| own.is_as(net, trunk))?;
        Some(known.entries.swap_remove(at))
    }

    /// Those whose time is over.
    fn take_over(&self) -> Vec<Entry> {
        let now = wall_clock();
        let mut known = self.lock();
        known
            .entries
            .extract_if(.., |own| own.until <= now)
            .collect()
    }

    fn note_revoked(&self, name: &str, token: &TokenHash) {
        let (mut known, mark) = (self.lock(), mark(token));
        known.revoked.retain(|own| own.mark != mark);
        if known.revoked.len() >= MOST {
            known.revoked.remove(0);
        }
        let name = name.to_owned();
        known.revoked.push(Revoked { name, mark });
    }

    /// Writes all down; whether that is kept over a restart.
    ///
    /// # Errors
    /// What the operating system says.
    fn write(&self) -> io::Result<bool> {
        let Some(path) = &self.path else {
            return Ok(false);
        };
        // Whoever writes later has what came before.
        let known = self.lock();
        let written = |own: &Entry| Written {
            address: own.net.to_string(),
            trunk: own.trunk.as_ref().map(ToString::to_string),
            since: own.since,
            until: own.until,
            by: own.by.clone(),
            reason: own.reason.clone(),
        };
        let whole = Whole {
            version: VERSION,
            entries: known.entries.iter().map(written).collect(),
            revoked: known.revoked.clone(),
        };
        whole::write(path, &whole)?;
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a token is known by here.
fn mark(token: &TokenHash) -> String {
    let mark = Sha256::digest(token.octets());
    mark.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn read(path: &Path) -> io::Result<Known> {
    let Some(whole) = whole::read(path, VERSION, |whole: &Whole| whole.version)? else {
        return Ok(Known::default());
    };
    let entry = |own: Written| {
        Ok(Entry {
            net: IpNet::parse(&own.address).map_err(io::Error::other)?,
            trunk: own.trunk.as_deref().map(TrunkName::new),
            since: own.since,
            until: own.until,
            by: own.by,
            reason: own.reason,
        })
    };
    let entries: io::Result<Vec<Entry>> = whole.entries.into_iter().map(entry).collect();
    Ok(Known {
        entries: entries?,
        revoked: whole.revoked,
    })
}

impl Daemon {
    /// Bans addresses or lets them in; what is there already for the same gets the new time. Whether that is kept over
    /// a restart.
    ///
    /// # Errors
    /// If there are too many.
    pub async fn protect(&self, entry: Entry) -> Result<bool, Full> {
        let _turn = self.turn().lock().await;
        self.protection().put(entry.clone())?;
        self.put_to_use(entry.trunk.is_some());
        self.tell_protection(&entry, "begun");
        self.protection().changed.notify_one();
        Ok(self.keep_protection().await)
    }

    /// Ends a ban, or takes a guest's addresses away; nothing if there is no such one.
    pub async fn protect_no_more(&self, net: IpNet, trunk: Option<&TrunkName>) -> Option<bool> {
        let _turn = self.turn().lock().await;
        let entry = self.protection().take(net, trunk)?;
        self.put_to_use(entry.trunk.is_some());
        self.tell_protection(&entry, "ended");
        Some(self.keep_protection().await)
    }

    /// Takes a token away, from the next request on. Whether that is kept over a restart.
    pub async fn revoke(&self, name: &str, token: &TokenHash) -> bool {
        self.protection().note_revoked(name, token);
        let line = self
            .sinks()
            .log
            .warn("token_revoked", "a token is nobody's any more");
        line.with("user", name).send();
        self.keep_protection().await
    }

    /// Has the network know who is banned, and whoever knows the configuration who is let in.
    fn put_to_use(&self, has_guests: bool) {
        let protection = self.protection();
        let bans: Vec<IpNet> = protection.bans().iter().map(|own| own.net).collect();
        self.net().ban(&bans);
        if has_guests {
            let config = Arc::new(protection.over(&self.loaded().config));
            let nothing = Opened::nothing();
            self.net()
                .apply(Arc::clone(&config), self.net().identities(), nothing);
            for inbox in self.inboxes().all() {
                // Reports of our own side are always taken.
                let _ = inbox.push(Input::Config(Arc::clone(&config)));
            }
        }
        self.count_protection();
    }

    /// At the start, before anything is heard.
    pub(super) fn begin_protection(&self) {
        let bans: Vec<IpNet> = self.protection().bans().iter().map(|own| own.net).collect();
        self.net().ban(&bans);
        self.count_protection();
    }

    fn count_protection(&self) {
        let (bans, guests) = (
            self.protection().bans().len(),
            self.protection().guests().len(),
        );
        self.sinks().metrics.protection.set(bans, guests);
    }

    async fn keep_protection(&self) -> bool {
        let protection = Arc::clone(self.protection());
        let written = tokio::task::spawn_blocking(move || protection.write()).await;
        let why = match written {
            Ok(Ok(is_kept)) => return is_kept,
            Ok(Err(why)) => why.to_string(),
            Err(why) => why.to_string(),
        };
        let text = "what an operator bans, lets in and revokes holds until a restart alone: it cannot be written down";
        let line = self.sinks().log.error("protection_write", text);
        line.with("why", why).send();
        false
    }

    fn tell_protection(&self, entry: &Entry, state: &str) {
        let (code, text) = match (&entry.trunk, state) {
            (None, "begun") => ("ban", "nothing of these addresses is heard"),
            (None, _) => ("ban", "these addresses are heard again as anybody's"),
            (Some(_), "begun") => ("guest", "these addresses are let in as the trunk's"),
            (Some(_), _) => (
                "guest",
                "these addresses are the trunk's no more, but for its calls",
            ),
        };
        let line = self.sinks().log.warn(code, text);
        let line = line.with("address", entry.net).with("state", state);
        let line = match &entry.trunk {
            Some(trunk) => line.with("trunk", trunk),
            None => line,
        };
        line.with("by", &entry.by)
            .with("until", entry.until.rfc3339())
            .with("reason", &entry.reason)
            .send();
        let data = json!({
            "address": entry.net.to_string(),
            "trunk": entry.trunk,
            "state": state,
            "until": entry.until.rfc3339(),
            "by": entry.by,
            "reason": entry.reason,
        });
        self.sinks().news.tell(entry.kind(), data);
    }
}

/// Ends what is over.
pub async fn watch(daemon: Weak<Daemon>) {
    loop {
        let Some((protection, first)) = daemon.upgrade().map(|daemon| {
            let protection = Arc::clone(daemon.protection());
            let first = protection.next();
            (protection, first)
        }) else {
            return;
        };
        let wait = first.unwrap_or(LOOK).min(LOOK);
        // Whichever comes first.
        let _ = tokio::time::timeout(wait, protection.changed.notified()).await;
        let Some(daemon) = daemon.upgrade().filter(|daemon| !daemon.is_stopping()) else {
            return;
        };
        let _turn = daemon.turn().lock().await;
        let over = protection.take_over();
        if over.is_empty() {
            continue;
        }
        daemon.put_to_use(over.iter().any(|own| own.trunk.is_some()));
        for entry in &over {
            daemon.tell_protection(entry, "over");
            let object = match &entry.trunk {
                None => format!("ban {}", entry.net),
                Some(trunk) => format!("addresses of trunk {trunk}: {}", entry.net),
            };
            let deed = Deed::by_itself("the time of this is over").about(object);
            daemon.sinks().audit.note(deed);
        }
        daemon.keep_protection().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::log::{Form, Level};

    fn entry(net: &str, trunk: Option<&str>, seconds: u64) -> Entry {
        let now = wall_clock();
        Entry {
            net: IpNet::parse(net).unwrap(),
            trunk: trunk.map(TrunkName::new),
            since: now,
            until: UnixTime::from_micros(now.as_micros() + seconds * 1_000_000),
            by: "noc".to_owned(),
            reason: "knocks".to_owned(),
        }
    }

    #[test]
    fn what_is_kept_is_there_after_a_restart_and_what_is_over_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (log, _) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
        let open = || Protection::open(folder.path(), &log).unwrap();
        let own = open();
        let token = TokenHash::parse(&format!("sha256:{}", "ab".repeat(32))).unwrap();
        let other = TokenHash::parse(&format!("sha256:{}", "cd".repeat(32))).unwrap();
        own.put(entry("192.0.2.0/28", None, 600)).unwrap();
        own.put(entry("2001:db8::7", None, 0)).unwrap();
        own.put(entry("192.0.2.0/28", Some("telco"), 300)).unwrap();
        own.note_revoked("noc", &token);
        assert!(own.write().unwrap());
        let text = fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert!(!text.contains("abab"), "the hash of the token: {text}");

        let again = open();
        let nets = |all: Vec<Entry>| -> Vec<String> {
            all.iter().map(|own| own.net.to_string()).collect()
        };
        assert_eq!(nets(again.bans()), ["192.0.2.0/28"]);
        assert_eq!(again.bans()[0].reason, "knocks");
        assert_eq!(nets(again.guests()), ["192.0.2.0/28"]);
        assert!(again.is_revoked(&token) && !again.is_revoked(&other));
        assert_eq!(nets(again.take_over()), ["2001:db8::7"]);
        let telco = TrunkName::new("telco");
        let net = IpNet::parse("192.0.2.0/28").unwrap();
        assert!(again.take(net, Some(&telco)).is_some());
        assert!(again.take(net, Some(&telco)).is_none());
        assert_eq!(again.bans().len(), 1);

        // A damaged file is no reason not to start.
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(open().bans().is_empty());
    }

    #[test]
    fn the_same_addresses_get_a_new_time_and_there_are_not_too_many() {
        let own = Protection::default();
        for host in 0..MOST {
            let net = format!("10.0.{}.{}", host / 256, host % 256);
            own.put(entry(&net, None, 60)).unwrap();
        }
        assert_eq!(own.put(entry("192.0.2.7", None, 60)), Err(Full));
        own.put(entry("10.0.0.0", None, 6_000)).unwrap();
        assert_eq!(own.bans().len(), MOST);
        own.put(entry("192.0.2.7", Some("telco"), 60)).unwrap();
        assert!(!own.write().unwrap(), "without a directory nothing is kept");
    }
}
