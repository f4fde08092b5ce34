//! Facts of this host as the user of the service finds them.
//!
//! Whoever types `causeway check` is root more often than not, and may read everything; the daemon is another user. What
//! that one may do is told by owners and modes, of a file and of every folder above it. Lists of access beside the mode
//! are not looked at.

use super::host::Host;
use sbc_core::config::{Certificate, Facts, FileFault, Key, Password, Secret, Validity};
use sbc_core::time::UnixTime;
use std::fs::{self, Metadata};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// The user of the packaged service.
const NAME: &str = "causeway";
/// Where drop-ins of its unit are.
const DROP_INS: [&str; 3] = [
    "/etc/systemd/system/causeway.service.d",
    "/run/systemd/system/causeway.service.d",
    "/usr/lib/systemd/system/causeway.service.d",
];
/// Bits of a mode.
const READ: u32 = 4;
const WRITE: u32 = 2;
const ENTER: u32 = 1;

/// A user, and the groups it is in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    name: String,
    id: u32,
    groups: Vec<u32>,
}

/// The number of the user of the packaged service, where there is one.
pub(super) fn id() -> Option<u32> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    User::read(NAME, &users, "").map(|user| user.id)
}

/// The name of the user with this number, where it has one here.
pub(super) fn name_of(id: u32) -> Option<String> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let mut lines = users.lines().map(|line| line.split(':'));
    lines.find_map(|mut line| {
        let name = line.next()?;
        let own: u32 = line.nth(1)?.parse().ok()?;
        (own == id).then(|| name.to_owned())
    })
}

impl User {
    /// The one that the service runs as, if it is another one than who asks, who is root.
    pub fn of_service() -> Option<Self> {
        let own = fs::metadata("/proc/self").ok()?.uid();
        let users = fs::read_to_string("/etc/passwd").ok()?;
        let groups = fs::read_to_string("/etc/group").unwrap_or_default();
        (own == 0).then(|| Self::read(NAME, &users, &groups))?
    }

    /// Finds a user in files of the form of `/etc/passwd` and `/etc/group`.
    fn read(name: &str, users: &str, groups: &str) -> Option<Self> {
        let mut lines = users.lines().map(|line| line.split(':'));
        let mut fields = lines.find_map(|mut line| (line.next() == Some(name)).then_some(line))?;
        let id = fields.nth(1)?.parse().ok()?;
        let mut all = vec![fields.next()?.parse().ok()?];
        all.extend(groups.lines().filter_map(|line| {
            let mut fields = line.split(':').skip(2);
            let group: u32 = fields.next()?.parse().ok()?;
            let is_member = fields.next()?.split(',').any(|member| member == name);
            is_member.then_some(group)
        }));
        Some(Self {
            name: name.to_owned(),
            id,
            groups: all,
        })
    }

    /// Whether it may read this file; a file that is not there is another matter.
    ///
    /// # Errors
    /// Which file or folder keeps it out, in words.
    pub fn reads(&self, path: &Path) -> Result<(), FileFault> {
        self.may(path, READ)
    }

    /// Whether it may make files in this folder, or make it where it is not there.
    fn writes(&self, path: &Path) -> Result<(), FileFault> {
        match (path.exists(), path.parent()) {
            (false, Some(above)) => self.may(above, WRITE | ENTER),
            _ => self.may(path, WRITE | ENTER),
        }
    }

    fn may(&self, path: &Path, wanted: u32) -> Result<(), FileFault> {
        // Who is not found is told by whoever reads it.
        let Ok(path) = path.canonicalize() else {
            return Ok(());
        };
        let fault = |at: &Path| {
            let what = match at == path {
                true => String::new(),
                false => format!(", because it may not enter {}", at.display()),
            };
            Err(FileFault::Unreadable(format!(
                "the user {} of the service may not use it{what}",
                self.name
            )))
        };
        for (depth, at) in path.ancestors().enumerate() {
            let Ok(facts) = fs::metadata(at) else {
                return Ok(());
            };
            let wanted = if depth == 0 { wanted } else { ENTER };
            if self.bits(&facts) & wanted != wanted {
                return fault(at);
            }
        }
        Ok(())
    }

    /// The three bits of a mode that are this user's.
    fn bits(&self, facts: &Metadata) -> u32 {
        let mode = facts.mode();
        if self.id == 0 {
            return READ | WRITE | ENTER;
        }
        if facts.uid() == self.id {
            return (mode >> 6) & 7;
        }
        match self.groups.contains(&facts.gid()) {
            true => (mode >> 3) & 7,
            false => mode & 7,
        }
    }
}

/// The machine, as this user finds it.
#[derive(Clone, Debug)]
pub struct Service(pub User);

impl Service {
    fn secret(&self, secret: &Secret) -> Result<(), FileFault> {
        match secret {
            Secret::File(path) => self.0.reads(Path::new(path)),
            // The service manager reads these, and is root.
            Secret::Env(_) | Secret::Credential(_) => Ok(()),
        }
    }
}

impl Facts for Service {
    fn certificate(&self, path: &str) -> Result<Certificate, FileFault> {
        let read = Host.certificate(path)?;
        self.0.reads(Path::new(path)).map(|()| read)
    }

    fn key(&self, key: &Secret, certificate: &str) -> Result<Key, FileFault> {
        let read = Host.key(key, certificate)?;
        self.secret(key).map(|()| read)
    }

    fn password(&self, secret: &Secret) -> Result<Password, FileFault> {
        let read = Host.password(secret)?;
        self.secret(secret).map(|()| read)
    }

    fn roots(&self, path: &str) -> Result<usize, FileFault> {
        let read = Host.roots(path)?;
        self.0.reads(Path::new(path)).map(|()| read)
    }

    fn revocations(&self, path: &str, issuers: &str) -> Result<Validity, FileFault> {
        let read = Host.revocations(path, issuers)?;
        self.0.reads(Path::new(path)).map(|()| read)
    }

    fn recording(&self, folder: &str, file: &str) -> Result<Arc<[i16]>, FileFault> {
        let read = Host.recording(folder, file)?;
        self.0.reads(&Path::new(folder).join(file)).map(|()| read)
    }

    fn until(&self, end: UnixTime) -> Validity {
        Host.until(end)
    }

    fn directory(&self, path: &str) -> Result<(), FileFault> {
        Host.directory(path)?;
        self.0.writes(Path::new(path))
    }

    fn has_address(&self, address: IpAddr) -> Option<bool> {
        Host.has_address(address)
    }

    fn addresses(&self) -> Vec<IpAddr> {
        Host.addresses()
    }

    fn ephemeral_ports(&self) -> Vec<RangeInclusive<u16>> {
        Host.ephemeral_ports()
    }

    fn may_bind(&self, port: u16) -> Option<bool> {
        Some(super::host::is_free_to_all(port) || DROP_INS.iter().any(|folder| grants(folder)))
    }
}

/// Whether a drop-in gives the unit the right to ports below 1024.
fn grants(folder: &str) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut texts = entries.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    texts.any(|text| {
        let mut lines = text.lines();
        lines.any(|line| {
            let line = line.trim_start();
            line.starts_with("AmbientCapabilities=") && line.contains("CAP_NET_BIND_SERVICE")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_user_is_found_with_its_groups() {
        let users = "root:x:0:0::/root:/bin/sh\ncauseway:x:990:991:SBC:/var/lib/causeway:/x\n";
        let groups = "causeway:x:991:\ncauseway-admin:x:992:kim,causeway\nadm:x:4:kim\n";
        let user = User::read("causeway", users, groups).unwrap();
        assert_eq!((user.id, user.groups), (990, vec![991, 992]));
        assert_eq!(User::read("cause", users, groups), None);
    }

    #[test]
    fn owner_group_and_everybody_have_bits_of_their_own_and_folders_count() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, "x").unwrap();
        let facts = fs::metadata(&file).unwrap();
        let set =
            |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let user = |id, group| User {
            name: "causeway".to_owned(),
            id,
            groups: vec![group],
        };
        let (other, other_group) = (facts.uid() + 4_001, facts.gid() + 4_001);
        let stranger = user(other, other_group);
        let member = user(other, facts.gid());
        set(folder.path(), 0o755);
        for (mode, strange, of_group) in [
            (0o600, false, false),
            (0o640, false, true),
            (0o644, true, true),
            (0o604, true, false),
        ] {
            set(&file, mode);
            assert_eq!(stranger.reads(&file).is_ok(), strange, "{mode:o}");
            assert_eq!(member.reads(&file).is_ok(), of_group, "{mode:o}");
        }
        set(&file, 0o644);
        set(folder.path(), 0o700);
        let Err(FileFault::Unreadable(why)) = stranger.reads(&file) else {
            panic!("it is read");
        };
        assert!(
            why.contains(&format!("may not enter {}", folder.path().display())),
            "{why}"
        );
        assert!(stranger.writes(folder.path()).is_err());
        set(folder.path(), 0o770);
        assert!(member.writes(&folder.path().join("cdr")).is_ok());
        assert!(stranger.reads(&folder.path().join("absent")).is_ok());
    }
}
