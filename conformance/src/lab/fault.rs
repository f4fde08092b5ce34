//! Why a lab could not be set up.

use crate::ca::CaFault;
use crate::peer::fault::PeerFault;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Why a lab could not be set up.
#[derive(Debug)]
pub enum LabFault {
    /// The operating system refused.
    System {
        /// What was to be done.
        what: &'static str,
        /// What it said.
        why: io::Error,
    },
    /// Where a peer must be is somebody else.
    Place {
        /// The address.
        at: SocketAddr,
        /// What the operating system said.
        why: io::Error,
    },
    /// A file cannot be written.
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        why: io::Error,
    },
    /// A file cannot be read.
    Read {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        why: io::Error,
    },
    /// The temporary folder cannot be used.
    Folder {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The address to expose is not one of this machine, or its port is taken.
    Expose {
        /// Address and port.
        at: String,
        /// What the operating system said.
        why: io::Error,
    },
    /// A peer cannot listen where it was told to.
    Listen {
        /// Address and port.
        at: String,
        /// What the operating system said.
        why: io::Error,
    },
    /// The daemon ended instead of getting ready.
    Ended {
        /// How it ended.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// The daemon did not get ready.
    NotReady {
        /// How long it was waited for.
        after: Duration,
        /// The end of its log.
        log: String,
    },
    /// The daemon does not answer its operators.
    Unanswered {
        /// What was asked for.
        path: String,
        /// What happened.
        why: String,
    },
    /// A certificate could not be made.
    Certificate(CaFault),
    /// A peer could not do its part, with the end of the daemon's log.
    Peer {
        /// What it could not do.
        fault: PeerFault,
        /// The end of the daemon's log.
        log: String,
    },
    /// It took too long.
    Slow {
        /// How long it may take.
        after: Duration,
    },
    /// Somebody wants it to end.
    Interrupted,
}

impl fmt::Display for LabFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { what, why } => write!(f, "cannot {what}: {why}"),
            Self::Place { at, why } => write!(
                f,
                "no peer can be at {at}: {why}; the address must be one of this machine, with a port that nobody has"
            ),
            Self::File { path, why } => write!(f, "cannot write {}: {why}", path.display()),
            Self::Read { path, why } => write!(f, "cannot read {}: {why}", path.display()),
            Self::Folder { path, what } => write!(
                f,
                "{}: {what}; set TMPDIR to another folder, such as /tmp",
                path.display()
            ),
            Self::Expose { at, why } => write!(
                f,
                "cannot listen on {at}: {why}; give an address of this machine to --expose, and a \
                 free port to --expose-port"
            ),
            Self::Listen { at, why } => write!(
                f,
                "cannot listen on {at}: {why}; give a free port of an address of this machine to --listen"
            ),
            Self::Ended { status, log } => {
                write!(f, "the daemon ended ({status}); the end of its log:\n{log}")
            }
            Self::NotReady { after, log } => write!(
                f,
                "the daemon is not ready after {} s; the end of its log:\n{log}",
                after.as_secs()
            ),
            Self::Unanswered { path, why } => {
                write!(f, "the daemon does not answer GET {path}: {why}")
            }
            Self::Certificate(fault) => fault.fmt(f),
            Self::Peer { fault, log } => {
                write!(f, "{fault}; the end of the daemon's log:\n{log}")
            }
            Self::Slow { after } => write!(
                f,
                "not done after {} s; is this machine busy with something else?",
                after.as_secs()
            ),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for LabFault {}

impl From<CaFault> for LabFault {
    fn from(fault: CaFault) -> Self {
        Self::Certificate(fault)
    }
}

impl From<io::Error> for LabFault {
    fn from(why: io::Error) -> Self {
        Self::System { what: "print", why }
    }
}
