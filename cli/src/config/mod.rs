//! Configuration from disk: which files belong to it, and the facts of this host it depends on.

mod difference;
mod exposure;
mod host;
mod revoked;
mod roots;
pub mod secrecy;
mod service;
pub(crate) mod wav;

pub use difference::difference;
pub use host::{Host, read_certificates, read_key, read_roots, read_secret};
pub use revoked::{Revoked, read_revocations};
pub use roots::{BundledRoot, bundled_roots};
pub use service::{Service, User};

use crate::daemon::confine;
use sbc_core::config::{Code, Config, Facts, Finding, Findings, Loaded, Source};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What is said of a file that somebody else may read.
const DENIED: &str = "may not be read by this user";

/// Reads the main file and `conf.d/*.toml` beside it, in the order of their names.
///
/// `Err` names every file that cannot be read.
pub fn read_sources(main: &Path) -> Result<Vec<Source>, Findings> {
    let mut findings = Findings::default();
    let mut paths = vec![main.to_owned()];
    let folder = main.parent().unwrap_or(Path::new("")).join("conf.d");
    match further_files(&folder) {
        Ok(further) => paths.extend(further),
        Err(fault) => findings.errors.push(unreadable(&folder, &fault)),
    }
    let mut sources = Vec::new();
    for path in paths {
        confine::note_file(&path);
        match fs::read_to_string(&path) {
            Ok(text) => sources.push(Source::new(path.display().to_string(), text)),
            Err(fault) => findings.errors.push(unreadable(&path, &fault)),
        }
    }
    match findings.errors.is_empty() {
        true => Ok(sources),
        false => Err(findings),
    }
}

/// Loads a configuration with the facts of this host and plays its tests; `previous` is the one that
/// is running.
pub fn load(sources: &[Source], previous: Option<&Config>) -> Result<Loaded, Findings> {
    load_with(sources, &Host, previous)
}

/// The same with facts of somebody else.
pub fn load_with(
    sources: &[Source],
    facts: &dyn Facts,
    previous: Option<&Config>,
) -> Result<Loaded, Findings> {
    sbc_core::config::load(sources, facts, previous).and_then(sbc_core::rehearsal::gate)
}

fn further_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // A link that leads nowhere is none that nobody has made.
        Err(fault) if fault.kind() == io::ErrorKind::NotFound && !folder.is_symlink() => {
            return Ok(Vec::new());
        }
        Err(fault) => return Err(fault),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && path.extension().is_some_and(|ending| ending == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Whether a configuration is refused because this user may not read all of it.
pub fn is_denied(findings: &Findings) -> bool {
    let mut errors = findings.errors.iter();
    errors.any(|one| one.code == Code::Unreadable && one.cause.ends_with(DENIED))
}

pub(crate) fn unreadable(path: &Path, fault: &io::Error) -> Finding {
    if fault.kind() == io::ErrorKind::PermissionDenied
        && let Some(why) = confine::in_force().and_then(|own| own.hides(path))
    {
        let text = format!("{} cannot be read", path.display());
        return Finding::unplaced(Code::Unreadable, text, Some(why));
    }
    if fault.kind() == io::ErrorKind::NotFound
        && let Ok(end) = fs::read_link(path)
    {
        let (path, end) = (path.display(), end.display());
        let text = format!("{path} is a link to {end}, which does not exist");
        let help = "remove the link, or put there what it leads to".to_owned();
        return Finding::unplaced(Code::Unreadable, text, Some(help));
    }
    let why = match fault.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => DENIED.to_owned(),
        io::ErrorKind::InvalidData => "is not UTF-8".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        _ => format!("cannot be read: {fault}"),
    };
    let help = match fault.kind() {
        io::ErrorKind::NotFound => Some("\"causeway init\" writes one to start from".to_owned()),
        io::ErrorKind::IsADirectory => Some("name the file in it".to_owned()),
        io::ErrorKind::PermissionDenied => Some(
            "the user of the daemon must be able to read it: root:causeway, mode 640; to read it yourself, run this as \
             root"
                .to_owned(),
        ),
        _ => None,
    };
    Finding::unplaced(Code::Unreadable, format!("{} {why}", path.display()), help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_that_leads_nowhere_and_a_file_of_others_are_told_as_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("causeway.toml");
        fs::write(&main, "").unwrap();
        fs::create_dir(folder.path().join("conf.d")).unwrap();
        symlink("/nowhere/x.toml", folder.path().join("conf.d/x.toml")).unwrap();
        let mut findings = read_sources(&main).unwrap_err();
        let text = findings.to_text();
        assert!(
            text.contains("conf.d/x.toml is a link to /nowhere/x.toml, which does not exist")
                && !text.contains("causeway init"),
            "{text}"
        );
        let denied = unreadable(&main, &io::ErrorKind::PermissionDenied.into());
        let help = denied.help.as_deref().unwrap();
        assert!(help.contains("root:causeway, mode 640"), "{help}");
        assert!(!is_denied(&findings));
        findings.errors.push(denied);
        assert!(is_denied(&findings));
    }
}
