//! Decisions: functions of facts and configuration, each with the chain of reasons behind it.
//!
//! A new INVITE passes them in this order: [`ingress`] says whose it is, [`number`] reads and
//! changes the numbers, [`route`] makes the plan of attempts, [`identity`] and [`header`] say what
//! of the A leg's request the B leg's may carry, [`response`] says what of the B leg's answer goes
//! back.

pub mod admission;
pub mod alert;
pub mod bound;
pub mod circle;
pub mod connected;
pub mod country;
pub mod crossing;
pub mod dialled;
pub mod diversion;
pub mod elin;
pub mod embedded;
pub mod emergency;
pub mod header;
pub mod identity;
pub mod ingress;
pub mod isup;
pub mod left;
pub mod local_media;
pub mod number;
pub mod place;
pub mod preempt;
pub mod presence;
pub mod recorded;
pub mod relayed_auth;
pub mod replacement;
pub mod response;
pub mod route;
pub mod screening;
pub mod secure;
pub mod session_id;
pub mod spend;
pub mod transfer;
pub mod unusual;
pub mod uui;

use crate::cause::{Because, CauseCode};
use crate::sip::Status;

/// We do not want to: the answer to a request that policy refuses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Status to answer with.
    pub status: Status,
    /// Name of the cause for record and metrics.
    pub cause: CauseCode,
    /// Why.
    pub because: Because,
}
