//! Why a load could not be measured.

use crate::lab::fault::LabFault;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a load could not be measured.
#[derive(Debug)]
pub enum LoadFault {
    /// The operating system refused.
    System {
        /// What was to be done.
        what: &'static str,
        /// What it said.
        why: io::Error,
    },
    /// A file cannot be written.
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        why: io::Error,
    },
    /// A core that the daemon cannot be confined to.
    Core {
        /// Its number.
        core: usize,
        /// What the operating system said.
        why: io::Error,
    },
    /// A certificate could not be made or used.
    Certificate(String),
    /// The certificates to trust cannot be read.
    Trust {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// TLS towards somebody of whom nothing is known.
    NoTrust,
    /// Our own daemon did not start.
    Daemon(LabFault),
    /// Not a single call succeeds.
    NoCall {
        /// What happened instead.
        what: String,
        /// The end of the daemon's log, if it is ours.
        log: String,
    },
}

impl LoadFault {
    pub(super) fn system(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |why| Self::System { what, why }
    }

    pub(super) fn certificate(why: impl fmt::Display) -> Self {
        Self::Certificate(why.to_string())
    }

    pub(super) fn lab(fault: LabFault) -> Self {
        Self::Daemon(fault)
    }
}

impl fmt::Display for LoadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { what, why } => write!(f, "cannot {what}: {why}"),
            Self::File { path, why } => write!(f, "cannot write {}: {why}", path.display()),
            Self::Core { core, why } => write!(
                f,
                "cannot confine the daemon to core {core}: {why}; give --core a core that this \
                 program may use (see nproc, and taskset -p $$)"
            ),
            Self::Certificate(why) => write!(f, "TLS: {why}"),
            Self::Trust { file, why } => write!(
                f,
                "{}: {why}; --ca wants a file with the certificates to trust, PEM",
                file.display()
            ),
            Self::NoTrust => f.write_str(
                "TLS to an address needs to know whom to trust: give --ca FILE and --name NAME, or \
                 leave tls and tls-each out of --over",
            ),
            Self::Daemon(fault) => fault.fmt(f),
            Self::NoCall { what, log } => {
                write!(f, "not a single call succeeds: {what}")?;
                match log.is_empty() {
                    true => Ok(()),
                    false => write!(f, "; the end of the daemon's log:\n{log}"),
                }
            }
        }
    }
}

impl std::error::Error for LoadFault {}
