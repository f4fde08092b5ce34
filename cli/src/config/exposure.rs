//! Who else can get at a secret in a file: by its owner, its mode, and the folders above it (SEC-130).

use super::service;
use sbc_core::config::{ExposedAt, Exposure};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Users to whom secrets may belong: root, who this process is, and the user of the packaged service, for whom root asks.
pub(super) fn trusted() -> Vec<u32> {
    // Not the owner of /proc/self: that of the daemon belongs to root, as nobody is to look into its memory.
    let own = rustix::process::geteuid().as_raw();
    [0, own].into_iter().chain(service::id()).collect()
}

/// Who can get at a file by its owner and mode, and by the modes of the folders above it. In a folder with the sticky
/// bit nobody puts another file in the place of one that is not theirs. A file that is not there is told by whoever
/// reads it.
pub(super) fn exposure(path: &Path, trusted: &[u32]) -> Exposure {
    let place = |at: &Path, facts: &Metadata| ExposedAt {
        path: at.display().to_string(),
        owner: service::name_of(facts.uid()).unwrap_or_else(|| facts.uid().to_string()),
    };
    let own = fs::metadata(path);
    if let Ok(own) = &own {
        // First: who is told to mend the mode of a file that is another's has done nothing.
        if !trusted.contains(&own.uid()) {
            return Exposure::Owner(place(path, own));
        }
        if own.mode() & 0o006 != 0 {
            return Exposure::File(place(path, own));
        }
    }
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    for folder in real.ancestors().skip(1) {
        if let Ok(facts) = fs::metadata(folder)
            && facts.mode() & 0o1002 == 0o002
        {
            return Exposure::Folder(place(folder, &facts));
        }
    }
    Exposure::None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;
    use tempfile::TempDir;

    /// A key in a folder of its own, and whose it is.
    fn key() -> (TempDir, PathBuf, u32) {
        let folder = tempfile::tempdir().unwrap();
        set(folder.path(), 0o755);
        let inner = folder.path().join("private");
        fs::create_dir(&inner).unwrap();
        let key = inner.join("key");
        fs::write(&key, "secret").unwrap();
        set(&inner, 0o750);
        set(&key, 0o600);
        let own = fs::metadata(&key).unwrap().uid();
        (folder, key, own)
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn kind(exposure: &Exposure) -> &'static str {
        match exposure {
            Exposure::None => "none",
            Exposure::File(_) => "file",
            Exposure::Owner(_) => "owner",
            Exposure::Folder(_) => "folder",
        }
    }

    #[test]
    fn a_key_is_exposed_by_its_own_mode_and_by_that_of_a_folder_that_all_may_write() {
        let (folder, key, own) = key();
        let inner = key.parent().unwrap();
        for (of_folder, of_key, wanted) in [
            (0o750, 0o600, "none"),
            (0o755, 0o640, "none"),
            (0o755, 0o644, "file"),
            (0o755, 0o602, "file"),
            (0o777, 0o600, "folder"),
            (0o1777, 0o600, "none"),
        ] {
            set(inner, of_folder);
            set(&key, of_key);
            let found = exposure(&key, &[own]);
            assert_eq!(kind(&found), wanted, "{of_folder:o} {of_key:o}");
        }
        // Also by a folder further up, which is named.
        set(inner, 0o700);
        set(folder.path(), 0o777);
        let (cause, help) = exposure(&key, &[own]).finding("key").unwrap();
        let real = fs::canonicalize(folder.path()).unwrap();
        assert!(
            cause.contains(&format!("the folder {}, ", real.display())),
            "{cause}"
        );
        assert_eq!(help, format!("chmod o-w {}", real.display()));
    }

    #[test]
    fn a_key_that_belongs_to_neither_root_nor_the_service_is_refused_with_path_and_owner() {
        let (_folder, key, own) = key();
        assert_eq!(exposure(&key, &[own]), Exposure::None);
        // Whatever its mode is: whose it is decides about that, too.
        for mode in [0o600, 0o640, 0o644] {
            set(&key, mode);
            let found = exposure(&key, &[own + 4_001]);
            assert_eq!(kind(&found), "owner", "{mode:o}");
        }
        let (cause, help) = exposure(&key, &[]).finding("key").unwrap();
        let owner = service::name_of(own).unwrap_or_else(|| own.to_string());
        let whose = format!("the key {} belongs to {owner}, who is", key.display());
        assert!(cause.contains(&whose), "{cause}");
        let mended = format!("chown root {},", key.display());
        assert!(help.starts_with(&mended), "{help}");
    }

    #[test]
    fn root_and_whoever_this_process_is_are_trusted() {
        let (_folder, key, own) = key();
        assert!(trusted().contains(&0) && trusted().contains(&own));
        assert_eq!(exposure(&key, &trusted()), Exposure::None);
        assert_eq!(service::name_of(0).as_deref(), Some("root"));
    }
}
