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
    let is_new = !folder(arguments).exists();
    if let Err(fault) = write_file(arguments) {
        match fault.kind() {
            _ if arguments.file.is_dir() => {
                eprintln!("causeway: {path} is a directory: name the file to write in it");
            }
            _ if !folder(arguments).is_dir() => match folder(arguments).exists() {
                true => eprintln!("causeway: {} is no directory", folder(arguments).display()),
                false => eprintln!(
                    "causeway: there is no directory {0}; if the path is as you meant it: mkdir -p {0}",
                    folder(arguments).display()
                ),
            },
            ErrorKind::AlreadyExists => {
                eprintln!("causeway: {path} exists and was left as it is; --force replaces it");
            }
            _ => eprintln!("causeway: {path} cannot be written: {fault}"),
        }
        return Ok(exit::REFUSED);
    }
    if is_new {
        writeln!(out, "made the folder {}", folder(arguments).display())?;
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

/// Where the file goes.
fn folder(arguments: &Init) -> &Path {
    match arguments.file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

/// The new file appears complete or not at all.
fn write_file(arguments: &Init) -> io::Result<()> {
    if !arguments.force && arguments.file.symlink_metadata().is_ok() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    match fs::create_dir(folder(arguments)) {
        // Several missing parts are rather a slip of the pen than a wish.
        Err(fault) if fault.kind() != ErrorKind::AlreadyExists => return Err(fault),
        Ok(()) | Err(_) => {}
    }
    let mut draft = arguments.file.clone().into_os_string();
    draft.push(format!(".{}.new", std::process::id()));
    let draft = PathBuf::from(draft);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(&draft)?;
    let written = file
        .write_all(starter().as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| match arguments.force {
            true => fs::rename(&draft, &arguments.file),
            // Unlike a rename, a link never replaces what somebody else made meanwhile.
            false => fs::hard_link(&draft, &arguments.file).and_then(|()| fs::remove_file(&draft)),
        });
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}
