//! Lists of revoked certificates of peers that somebody fetches anew: taken into use without a reload, as certificates
//! are (SEC-078).
//!
//! Files are looked at regularly, by what the file system says of them. What is no list, or is signed by nobody whom it
//! should be signed by, leaves the one in use where it is, and is told.

use super::Daemon;
use super::net::tls::TlsContext;
use super::renewed::{Mark, mark};
use crate::config::{Revoked, read_revocations};
use sbc_core::config::{FileFault, RevokedFiles};
use sbc_core::id::TlsContextName;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Why lists of identities are not what their files say, for whoever asks what is wrong.
#[derive(Default, Debug)]
pub(super) struct Unread(Mutex<BTreeMap<TlsContextName, String>>);

impl Unread {
    pub(super) fn troubles(&self) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = all.iter().map(|(name, why)| {
            format!(
                "tls \"{name}\": its crl cannot be used ({why}): what was revoked since is not known; what it said before \
                 counts"
            )
        });
        told.collect()
    }
}

/// What the files were when they were read last.
pub(super) type Seen = BTreeMap<TlsContextName, (RevokedFiles, [Option<Mark>; 2])>;

/// Lists that have changed, as they are now.
type Changed = Vec<(TlsContextName, Result<Revoked, String>)>;

/// Looks at the files of every identity that has lists, and takes those into use that have changed.
pub(super) async fn look(daemon: &Daemon, seen: Seen) -> Seen {
    let files: Vec<(TlsContextName, RevokedFiles)> = {
        let loaded = daemon.loaded();
        let files = loaded.shell.tls.iter();
        let with = files.filter_map(|(name, own)| Some((name.clone(), own.revoked.clone()?)));
        with.collect()
    };
    daemon.unread_lists().keep(&files);
    if files.is_empty() {
        return Seen::new();
    }
    let looked = tokio::task::spawn_blocking(move || changed(files, &seen));
    let Ok((seen, changed)) = looked.await else {
        return Seen::new();
    };
    if !changed.is_empty() {
        daemon.take_lists(changed).await;
    }
    seen
}

fn changed(files: Vec<(TlsContextName, RevokedFiles)>, seen: &Seen) -> (Seen, Changed) {
    let (mut now, mut changed) = (Seen::new(), Vec::new());
    for (name, files) in files {
        let is = (files.clone(), [mark(&files.lists), mark(&files.issuers)]);
        if seen.get(&name) != Some(&is) {
            let read = read_revocations(&files.lists, &files.issuers);
            let read = read.map_err(|fault| match fault {
                FileFault::Unreadable(why) | FileFault::Unusable(why) => why,
            });
            // A fault may be over in a moment, and the files look the same.
            let is_unread = read.is_err();
            changed.push((name.clone(), read));
            if is_unread {
                continue;
            }
        }
        now.insert(name, is);
    }
    (now, changed)
}

impl Daemon {
    async fn take_lists(&self, changed: Changed) {
        // No reload comes between.
        let _turn = self.turn().lock().await;
        let log = &self.sinks().log;
        let loaded = self.loaded();
        let mut tls = (*self.net().identities()).clone();
        let (mut unread, mut taken) = (BTreeMap::new(), Vec::new());
        for (name, read) in changed {
            let is_meant = loaded.shell.tls.get(&name);
            let is_meant = is_meant.is_some_and(|own| own.revoked.is_some());
            let Some(old) = tls.get(&name).filter(|_| is_meant).cloned() else {
                continue;
            };
            match read {
                Ok(revoked) if **old.revoked() == revoked => drop(unread.insert(name, None)),
                Ok(revoked) => {
                    tls.put(Arc::new(TlsContext::revoking(&old, revoked)));
                    taken.push(name.clone());
                    unread.insert(name, None);
                }
                Err(why) if self.unread_lists().is_noted(&name, &why) => {}
                Err(why) => {
                    let text =
                        "a list of revoked certificates cannot be used; the one before counts";
                    let line = log.error("crl_unreadable", text).with("context", &name);
                    line.with("why", &why).send();
                    unread.insert(name, Some(why));
                }
            }
        }
        self.unread_lists().note(unread);
        if taken.is_empty() {
            return;
        }
        // Connections of whoever is revoked now end with it.
        self.net().use_identities(Arc::new(tls));
        for name in taken {
            let text = "a list of revoked certificates was found on disk and counts";
            log.info("crl_read", text).with("context", name).send();
        }
    }
}

impl Unread {
    /// Of others nothing is to be told any more.
    fn keep(&self, files: &[(TlsContextName, RevokedFiles)]) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|name, _| files.iter().any(|(own, _)| own == name));
    }

    fn is_noted(&self, name: &TlsContextName, why: &str) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(name).is_some_and(|noted| noted == why)
    }

    /// All lists were read otherwise.
    pub(super) fn clear(&self) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.clear();
    }

    fn note(&self, found: BTreeMap<TlsContextName, Option<String>>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, why) in found {
            match why {
                Some(why) => drop(all.insert(name, why)),
                None => drop(all.remove(&name)),
            }
        }
    }
}
