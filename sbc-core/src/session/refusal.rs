//! A refusal of ours, with all that it may say.

use crate::cause::CauseCode;
use crate::policy::emergency::Parts;
use crate::sip::header::Contact;
use crate::sip::{HeaderName, Status};
use bytes::Bytes;

/// A refusal that we send to an INVITE.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// 300–699.
    pub status: Status,
    /// Reason phrase; `None` for the usual one of the status.
    pub phrase: Option<&'static str>,
    /// Value of a Reason header.
    pub reason: Option<Bytes>,
    /// Value of a Warning header.
    pub warning: Option<Bytes>,
    /// Seconds of a Retry-After header.
    pub retry_after_s: Option<u32>,
    /// Value of a Min-SE header.
    pub min_se: Option<Bytes>,
    /// Targets of a redirection, in our name.
    pub contacts: Vec<Contact>,
    /// Headers that policy lets through unchanged.
    pub passed: Vec<(HeaderName, Bytes)>,
    /// Parts of a body that it does.
    pub parts: Parts,
    /// Our own name for why, for a peer that is told (OPS-002).
    pub cause: Option<CauseCode>,
}

impl Default for Refusal {
    fn default() -> Self {
        Self {
            status: Status::SERVER_INTERNAL_ERROR,
            phrase: None,
            reason: None,
            warning: None,
            retry_after_s: None,
            min_se: None,
            contacts: Vec::new(),
            passed: Vec::new(),
            parts: Parts::default(),
            cause: None,
        }
    }
}
