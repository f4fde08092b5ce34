//! Files that are there whole or not at all: whoever pulls the plug finds the old one or the new one.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What is kept may hold passwords and numbers of people: nobody but the daemon's user reads it.
const MODE: u32 = 0o600;
/// Longest file that is read, in octets.
const LONGEST: u64 = 64 << 20;

/// Of any form of a file.
#[derive(serde::Deserialize)]
struct Versioned {
    version: u32,
}

/// Reads a file of this version; `None` if there is none.
///
/// # Errors
/// If it cannot be read, is too long, damaged, or of another version.
pub(crate) fn read<T: DeserializeOwned>(
    path: &Path,
    version: u32,
    version_of: impl Fn(&T) -> u32,
) -> io::Result<Option<T>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(why),
    };
    let mut text = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::other("it is longer than 64 MiB"));
    }
    let whole = serde_json::from_slice::<T>(&text);
    let found = match &whole {
        Ok(whole) => version_of(whole),
        // What another version has may be unknown here.
        Err(_) => serde_json::from_slice::<Versioned>(&text).map_or(version, |own| own.version),
    };
    if found != version {
        return Err(io::Error::other(format!("version {found} is not known")));
    }
    Ok(Some(whole?))
}

/// Writes the whole file beside the old one, to the disk, and puts it in its place.
///
/// # Errors
/// If that fails; the old one is there still.
pub(crate) fn write<T: Serialize>(path: &Path, whole: &T) -> io::Result<()> {
    write_octets(path, &serde_json::to_vec(whole)?)
}

/// As [`write`], for a file of another form.
///
/// # Errors
/// If that fails; the old one is there still.
pub(crate) fn write_octets(path: &Path, whole: &[u8]) -> io::Result<()> {
    let beside: PathBuf = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(MODE);
    let mut file = options.open(&beside)?;
    file.write_all(whole)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), sync_names)
}

/// Forces the names of the files of a directory to the disk, so that what was renamed there stays so.
///
/// # Errors
/// What the operating system says.
pub(crate) fn sync_names(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_file_is_for_the_daemon_alone_and_nothing_is_left_beside_it() {
        let folder = std::env::temp_dir().join(format!("causeway-whole-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("kept.json");
        assert_eq!(read::<u32>(&path, 7, |_| 7).unwrap(), None);
        write(&path, &1).unwrap();
        write(&path, &2).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        assert_eq!(read::<u32>(&path, 7, |_| 7).unwrap(), Some(2));
        fs::remove_dir_all(&folder).unwrap();
    }
}
