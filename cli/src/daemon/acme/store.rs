//! What of certificates and their orders is kept in files: for the daemon's user alone, and whole or not at all.
//!
//! | file             | holds                                                              |
//! |------------------|--------------------------------------------------------------------|
//! | `NAME.pem`       | the certificate of an identity in use, its chain and its key       |
//! | `NAME.candidate` | the same of one that was issued and is not in use yet              |
//! | `NAME.refused`   | the last one that proxies of Teams have refused                    |
//! | `NAME.order`     | the order that is under way, and when the next one may be          |
//! | `HASH.account`   | the account with the authority of one directory, with its key      |

use super::fault::Fault;
use super::plan::Past;
use crate::sink::whole;
use instant_acme::AccountCredentials;
use sbc_core::id::TlsContextName;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// The form of the files that this program writes and reads.
const VERSION: u32 = 1;

/// The folder of an account.
#[derive(Clone, Debug)]
pub(super) struct Store {
    folder: PathBuf,
}

/// An order that is under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pending {
    /// Of which authority.
    pub(super) directory: String,
    /// Where the authority has it.
    pub(super) url: String,
    /// For which names.
    pub(super) names: Vec<String>,
    /// The key that it is to be issued for, in PEM.
    pub(super) key: String,
}

/// What is kept of the orders of one identity.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Progress {
    version: u32,
    /// When the next one may be.
    pub(super) past: Past,
    /// The one that is under way.
    pub(super) pending: Option<Pending>,
}

/// An account with an authority.
#[derive(Serialize, Deserialize)]
pub(super) struct Account {
    version: u32,
    /// Mail addresses that the authority was told.
    pub(super) contact: Vec<String>,
    pub(super) credentials: AccountCredentials,
}

impl Account {
    pub(super) fn new(contact: Vec<String>, credentials: AccountCredentials) -> Self {
        Self {
            version: VERSION,
            contact,
            credentials,
        }
    }
}

impl Store {
    pub(super) fn new(folder: &str) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    fn path(&self, stem: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{stem}.{ending}"))
    }

    fn account_path(&self, directory: &str) -> PathBuf {
        let digest = Sha256::digest(directory.as_bytes());
        let hash: String = digest
            .iter()
            .take(8)
            .map(|octet| format!("{octet:02x}"))
            .collect();
        self.path(&hash, "account")
    }

    /// The account with the authority of this directory.
    pub(super) fn account(&self, directory: &str) -> Result<Option<Account>, Fault> {
        let path = self.account_path(directory);
        let read = whole::read(&path, VERSION, |account: &Account| account.version);
        read.map_err(|why| Fault::File { path, why })
    }

    pub(super) fn keep_account(&self, directory: &str, account: &Account) -> Result<(), Fault> {
        self.make_folder()?;
        written(&self.account_path(directory), |path| {
            whole::write(path, account)
        })
    }

    /// Lays aside an account that the authority does not know any more; its key may be wanted still.
    pub(super) fn forget_account(&self, directory: &str) {
        let path = self.account_path(directory);
        // If that fails, the next order tells the same.
        let _ = fs::rename(&path, path.with_extension("gone"));
    }

    /// What is kept of the orders of an identity; nothing if it cannot be read: an order can be made anew.
    pub(super) fn progress(&self, identity: &TlsContextName) -> Progress {
        let path = self.path(identity.as_str(), "order");
        let read = whole::read(&path, VERSION, |progress: &Progress| progress.version);
        read.ok().flatten().unwrap_or_default()
    }

    /// Changes what is kept of them.
    pub(super) fn progressed(
        &self,
        identity: &TlsContextName,
        change: impl FnOnce(&mut Progress),
    ) -> Result<(), Fault> {
        let mut progress = self.progress(identity);
        change(&mut progress);
        progress.version = VERSION;
        self.make_folder()?;
        written(&self.path(identity.as_str(), "order"), |path| {
            whole::write(path, &progress)
        })
    }

    /// Keeps what was issued, not in use yet; says where.
    pub(super) fn candidate(&self, identity: &TlsContextName, pem: &str) -> Result<PathBuf, Fault> {
        self.make_folder()?;
        let path = self.path(identity.as_str(), "candidate");
        written(&path, |path| whole::write_octets(path, pem.as_bytes()))?;
        Ok(path)
    }

    /// Where one is that is not in use yet, if there is one.
    pub(super) fn left(&self, identity: &TlsContextName) -> Option<PathBuf> {
        let path = self.path(identity.as_str(), "candidate");
        path.is_file().then_some(path)
    }

    /// Puts it in the place of the one in use.
    pub(super) fn settle(&self, identity: &TlsContextName) -> io::Result<()> {
        let (from, to) = ("candidate", "pem");
        self.renamed(identity, from, to)
    }

    /// Lays it aside, for whoever wants to see what Teams has refused.
    pub(super) fn refuse(&self, identity: &TlsContextName) -> io::Result<()> {
        let (from, to) = ("candidate", "refused");
        self.renamed(identity, from, to)
    }

    fn renamed(&self, identity: &TlsContextName, from: &str, to: &str) -> io::Result<()> {
        let path = |ending| self.path(identity.as_str(), ending);
        fs::rename(path(from), path(to))?;
        fs::File::open(&self.folder)?.sync_all()
    }

    fn make_folder(&self) -> Result<(), Fault> {
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder);
        made.map_err(|why| Fault::File {
            path: self.folder.clone(),
            why,
        })
    }
}

fn written(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), Fault> {
    write(path).map_err(|why| Fault::File {
        path: path.to_owned(),
        why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn keys_are_for_the_daemon_alone_and_take_their_place_in_one_step() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().join("acme").to_str().unwrap());
        let identity = TlsContextName::new("teams");
        let path = store.candidate(&identity, "first").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&store.folder)), (0o600, 0o700));
        store.settle(&identity).unwrap();
        store.candidate(&identity, "second").unwrap();
        let used = store.path("teams", "pem");
        assert_eq!(fs::read_to_string(&used).unwrap(), "first");
        store.refuse(&identity).unwrap();
        assert_eq!(fs::read_to_string(&used).unwrap(), "first");
        assert!(!path.exists() && mode(&used) == 0o600);
    }

    #[test]
    fn what_is_kept_of_orders_is_read_back_and_a_damaged_file_is_no_obstacle() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().to_str().unwrap());
        let identity = TlsContextName::new("teams");
        assert!(store.progress(&identity).pending.is_none());
        let past = Past {
            failures: 3,
            not_before: 4,
            paused_until: 5,
        };
        store.progressed(&identity, |own| own.past = past).unwrap();
        assert_eq!(store.progress(&identity).past, past);
        fs::write(store.path("teams", "order"), "{").unwrap();
        assert_eq!(store.progress(&identity).past, Past::default());
    }
}
