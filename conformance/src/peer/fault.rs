//! What can go wrong at a peer: who, what, why.

use super::message::Unreadable;
use crate::ca::CaFault;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Why a peer could not do what it was told.
#[derive(Debug)]
pub enum PeerFault {
    /// Nothing came.
    Silence {
        /// Who waited.
        peer: String,
        /// For what.
        wanted: String,
        /// How long.
        after: Duration,
    },
    /// Something else came.
    Unexpected {
        /// Who waited.
        peer: String,
        /// For what.
        wanted: String,
        /// What came.
        got: String,
    },
    /// A session description cannot be used.
    Media {
        /// Who read it.
        peer: String,
        /// What is wrong with it.
        why: String,
    },
    /// A connection could not be made.
    Connect {
        /// Who tried.
        peer: String,
        /// Where to.
        to: SocketAddr,
        /// What the other side or the operating system said.
        why: io::Error,
    },
    /// A socket of our own.
    Socket {
        /// Who.
        peer: String,
        /// What the operating system said.
        why: io::Error,
    },
    /// A message of ours could not be written.
    Draft {
        /// Who.
        peer: String,
        /// What `rsip` dislikes.
        why: String,
    },
    /// A certificate of ours.
    Certificate(CaFault),
}

impl fmt::Display for PeerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence {
                peer,
                wanted,
                after,
            } => write!(
                f,
                "{peer} waited {} s for {wanted}, nothing came",
                after.as_secs_f32()
            ),
            Self::Unexpected { peer, wanted, got } => {
                write!(f, "{peer} waited for {wanted} and got {got}")
            }
            Self::Media { peer, why } => write!(f, "{peer}: session description: {why}"),
            Self::Connect { peer, to, why } => write!(f, "{peer}: no connection to {to}: {why}"),
            Self::Socket { peer, why } => write!(f, "{peer}: socket: {why}"),
            Self::Draft { peer, why } => write!(f, "{peer}: cannot write a message: {why}"),
            Self::Certificate(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for PeerFault {}

impl From<CaFault> for PeerFault {
    fn from(fault: CaFault) -> Self {
        Self::Certificate(fault)
    }
}

/// A rule that the other side broke.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Breach {
    /// The rule's identifier.
    pub rule: &'static str,
    /// What was found, and what is wanted.
    pub what: String,
    /// Status with which the peer refuses such a request, if it does.
    pub refuse: Option<u16>,
}

impl Breach {
    /// A breach that the peer notes and lives with.
    pub fn noted(rule: &'static str, what: impl Into<String>) -> Self {
        Self {
            rule,
            what: what.into(),
            refuse: None,
        }
    }

    /// A breach for which the peer refuses the request.
    pub fn refused(rule: &'static str, what: impl Into<String>, status: u16) -> Self {
        Self {
            refuse: Some(status),
            ..Self::noted(rule, what)
        }
    }
}

impl From<Unreadable> for Breach {
    fn from(fault: Unreadable) -> Self {
        Self::noted("RFC3261", fault.to_string())
    }
}

impl fmt::Display for Breach {
    /// What is wrong, and the document if it is one that a reader can look up: identifiers of our own
    /// requirements say nothing to anybody else.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match self.rule.strip_prefix("RFC") {
            Some(number) => write!(f, " (RFC {number})"),
            None => Ok(()),
        }
    }
}
