//! `causeway init`: a commented configuration to start from, and which of its lines to change.

use crate::command::exit;
use sbc_core::config::starter;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Secrets are only referred to, and the user of the daemon, who is not the one that runs
/// `causeway init`, must be able to read the file.
const MODE: u32 = 0o644;

/// Arguments of `causeway init`.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct Init {
    /// File to write; "-" prints it instead
    #[arg(default_value = "/etc/causeway/causeway.toml")]
    pub file: PathBuf,
    /// Replace a file that exists
    #[arg(long)]
    pub force: bool,
}

/// Writes the starter configuration. Returns 0, or 5 when the file exists and is not to be
/// replaced, or cannot be written; nothing is changed then.
pub fn run(arguments: &Init, out: &mut dyn Write) -> io::Result<u8> {
    if arguments.file.as_os_str() == "-" {
        out.write_all(starter().as_bytes())?;
        return Ok(exit::OK);
    }
    let path = arguments.file.display();
    let is_new = !folder(&arguments.file).exists();
    if let Err(fault) = write_file(&arguments.file, starter(), arguments.force) {
        eprintln!("causeway: {}", unwritten(&arguments.file, &fault));
        return Ok(exit::REFUSED);
    }
    if is_new {
        writeln!(out, "made the folder {}", folder(&arguments.file).display())?;
    }
    writeln!(out, "{path} is written. Lines to change:\n")?;
    for (index, line) in starter().lines().enumerate() {
        if line.contains("CHANGE") && index > 8 {
            writeln!(out, "{:>5}  {line}", index + 1)?;
        }
    }
    writeln!(out, "\nThen: causeway check --config {path}")?;
    Ok(exit::OK)
}

/// Why a file is not written, and what to do about it.
fn unwritten(file: &Path, fault: &io::Error) -> String {
    let (path, folder) = (file.display(), folder(file));
    match fault.kind() {
        ErrorKind::PermissionDenied => format!(
            "this user may not write {path}: run it as root (sudo causeway init), or name a file of your own"
        ),
        _ if file.is_dir() => format!("{path} is a directory: name the file to write in it"),
        _ if !folder.is_dir() => match folder.exists() {
            true => format!("{} is no directory", folder.display()),
            false => format!(
                "there is no directory {0}; if the path is as you meant it: mkdir -p {0}",
                folder.display()
            ),
        },
        ErrorKind::AlreadyExists => {
            format!("{path} exists and was left as it is; --force replaces it")
        }
        _ => format!("{path} cannot be written: {fault}"),
    }
}

/// Where the file goes.
fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

/// Writes a file of the configuration, which appears complete or not at all. The folder that it is in is
/// made if it is missing.
///
/// # Errors
/// `AlreadyExists` unless `replaces`; whatever the system says.
pub(super) fn write_file(file: &Path, text: &str, replaces: bool) -> io::Result<()> {
    if !replaces && file.symlink_metadata().is_ok() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    match fs::create_dir(folder(file)) {
        // Several missing parts are rather a slip of the pen than a wish.
        Err(fault) if fault.kind() != ErrorKind::AlreadyExists => return Err(fault),
        Ok(()) | Err(_) => {}
    }
    let mut draft = file.to_owned().into_os_string();
    draft.push(format!(".{}.new", std::process::id()));
    let draft = PathBuf::from(draft);
    let mut open = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(&draft)?;
    let written = open
        .write_all(text.as_bytes())
        .and_then(|()| open.sync_all())
        .and_then(|()| match replaces {
            true => fs::rename(&draft, file),
            // Unlike a rename, a link never replaces what somebody else made meanwhile.
            false => fs::hard_link(&draft, file).and_then(|()| fs::remove_file(&draft)),
        });
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_write_is_told_what_to_do_in_one_line() {
        let fault = ErrorKind::PermissionDenied.into();
        assert_eq!(
            unwritten(Path::new("/etc/causeway/causeway.toml"), &fault),
            "this user may not write /etc/causeway/causeway.toml: run it as root (sudo causeway init), \
             or name a file of your own"
        );
    }
}
