//! The temporary folder of a lab, and those of labs that were killed.
//!
//! While a lab lives it holds a lock on a file in its folder. A folder with such a file that nobody
//! holds belongs to nobody any more, and the next lab removes it.

use super::fault::LabFault;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// How the names of these folders begin.
const PREFIX: &str = "causeway-lab-";
/// The file that a living lab holds. A folder that is to be kept has none.
const LOCK: &str = "lab.lock";
/// The longest name in the folder that a socket gets.
const SOCKET: &str = "api.sock";
/// Bytes that the path of a Unix socket may have.
const LONGEST_SOCKET: usize = 107;

/// A folder that only this user can enter. It is removed with this value, unless it is to be kept.
pub struct Folder {
    directory: TempDir,
    keep: bool,
    _lock: Option<File>,
}

impl Folder {
    /// Makes one where temporary files go, and removes those that killed labs have left there.
    ///
    /// # Errors
    /// [`LabFault::System`], and [`LabFault::Folder`] if no socket can be made in it.
    pub fn make(keep: bool) -> Result<Self, LabFault> {
        sweep(&std::env::temp_dir());
        let system = |why: io::Error| LabFault::System {
            what: "make a temporary folder",
            why,
        };
        let mut directory = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir()
            .map_err(system)?;
        directory.disable_cleanup(keep);
        let path = directory.path();
        if let Some(what) = unusable(path) {
            let path = path.to_owned();
            directory.disable_cleanup(false);
            return Err(LabFault::Folder { path, what });
        }
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(system)?;
        let lock = match keep {
            true => None,
            false => Some(lock(path).map_err(system)?),
        };
        Ok(Self {
            directory,
            keep,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Removes it, or says where it was left.
    ///
    /// # Errors
    /// [`LabFault::File`] if it cannot be removed.
    pub fn end(self) -> Result<Option<PathBuf>, LabFault> {
        let path = self.directory.path().to_owned();
        if self.keep {
            return Ok(Some(path));
        }
        match self.directory.close() {
            Ok(()) => Ok(None),
            Err(why) => Err(LabFault::File { path, why }),
        }
    }
}

/// Why the daemon could not live in this folder.
fn unusable(folder: &Path) -> Option<&'static str> {
    match folder.to_str() {
        None => Some("the path is not UTF-8, which the configuration has to be"),
        Some(path) if path.len() + 1 + SOCKET.len() > LONGEST_SOCKET => {
            Some("the path is too long for a socket in this folder")
        }
        Some(_) => None,
    }
}

/// The file appears when it is held already, so that nobody takes it for one left behind.
fn lock(folder: &Path) -> io::Result<File> {
    let draft = folder.join(".lab.lock");
    let file = File::create(&draft)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    fs::rename(&draft, folder.join(LOCK))?;
    Ok(file)
}

/// Removes what nobody holds. Folders of other users cannot even be looked into.
fn sweep(place: &Path) {
    let Ok(entries) = fs::read_dir(place) else {
        return;
    };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes())
            // Not a link that leads elsewhere.
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_ours && is_abandoned(&entry.path()) {
            // Another lab may be doing the same.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_abandoned(folder: &Path) -> bool {
    File::open(folder.join(LOCK))
        .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_holds_is_swept() {
        let place = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = place.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let living = folder("causeway-lab-living");
        let _held = lock(&living).unwrap();
        let dead = folder("causeway-lab-dead");
        drop(lock(&dead).unwrap());
        let kept = folder("causeway-lab-kept");
        let other = folder("other");
        drop(lock(&other).unwrap());
        sweep(place.path());
        assert!(living.exists() && kept.exists() && other.exists());
        assert!(!dead.exists());
    }

    #[test]
    fn a_path_that_no_socket_can_have_is_refused() {
        assert_eq!(unusable(Path::new("/tmp/causeway-lab-abcdef")), None);
        let longest = format!("/{}", "x".repeat(LONGEST_SOCKET - 2 - SOCKET.len()));
        assert_eq!(unusable(Path::new(&longest)), None);
        assert!(unusable(Path::new(&format!("{longest}x"))).is_some());
    }
}
