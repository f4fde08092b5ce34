//! Why a call or leg ended, and why a decision was taken.

use crate::sip::Status;
use crate::trouble::Trouble;
use serde::Serialize;
use std::fmt;

/// The chain of rules and facts behind a decision, in the order they were applied. Goes into the
/// record and is what `causeway route test` prints.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Because(
    /// The facts.
    pub Vec<String>,
    /// What a person should be told of it, where the code of the cause and the statuses of peers do not say that.
    #[serde(skip)]
    pub Option<Trouble>,
);

impl Because {
    /// A chain of one fact.
    pub fn of(fact: impl Into<String>) -> Self {
        Self(vec![fact.into()], None)
    }

    /// The same chain, which is told as this.
    #[must_use]
    pub fn named(self, trouble: impl Into<Trouble>) -> Self {
        Self(self.0, Some(trouble.into()))
    }

    /// The chain with one more fact.
    #[must_use]
    pub fn and(mut self, fact: impl Into<String>) -> Self {
        self.0.push(fact.into());
        self
    }
}

/// A value together with why it is what it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision<T> {
    /// The decision.
    pub value: T,
    /// Why.
    pub because: Because,
}

/// Who ended a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The caller's side.
    A,
    /// The called side.
    B,
    /// We did.
    Us,
}

/// Stable name of the reason a call ended: the `internal_cause` of records and the `cause` label
/// of metrics (OPS-002). Renaming one is a breaking change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseCode {
    /// A party hung up after answer.
    NormalClearing,
    /// The caller gave up before answer.
    CallerCancelled,
    /// The called side refused with a final response; its status is in the record.
    PeerRejected,
    /// The called side is busy (486, 600).
    PeerBusy,
    /// Nobody answered in time (408, 480, 487 without our CANCEL, or our ring limit).
    NoAnswer,
    /// The called number does not exist there (404, 410, 484, 604).
    NumberUnknown,
    /// No route matched.
    NoRoute,
    /// The user is busy or absent as Microsoft says, and the route goes by it.
    Presence,
    /// The caller shows a number that is not its own.
    CallerNotAllowed,
    /// The call has been forwarded too often (SIP-403, SIP-405).
    LoopDetected,
    /// Request is not acceptable; refused before routing.
    BadRequest,
    /// Offer and configuration have no codec or protection in common.
    MediaIncompatible,
    /// No media ports or relay left.
    MediaUnavailable,
    /// No media arrived for too long.
    MediaTimeout,
    /// The handshake that makes the keys of the media failed (MED-133).
    HandshakeFailed,
    /// All targets were unreachable: connect, TLS or DNS.
    PeerUnreachable,
    /// A target accepted the connection but did not answer.
    PeerTimeout,
    /// The peer never acknowledged the answer.
    NoAck,
    /// A request within the call failed in a way that ends it.
    InCallFailure,
    /// A transfer failed after the party that asked for it had left.
    TransferFailed,
    /// Limit on duration, set-up time or concurrency.
    LimitReached,
    /// It was ended to make room for a call for help (SIP-1401).
    Preempted,
    /// Calls like this one have cost as much as they may (SIP-406).
    SpendReached,
    /// An operator keeps new calls away from the trunk it came from, or from all that it could go to.
    TrunkClosed,
    /// An operator ended it, or the node is stopping.
    Operator,
    /// The daemon ended without a word while it was up; the next start wrote its record (OPS-151).
    RestartLost,
    /// We contradicted ourselves; the record names the invariant.
    InternalError,
}

impl CauseCode {
    /// What a refusal with this status is called that comes before there is a call, and so a record; nothing for what
    /// is no refusal, such as a question for a password.
    pub const fn before_a_call(status: Status) -> Option<Self> {
        Some(match status.code() {
            401 | 407 => return None,
            403 => Self::CallerNotAllowed,
            404 => Self::NumberUnknown,
            482 | 483 => Self::LoopDetected,
            500 => Self::InternalError,
            503 => Self::LimitReached,
            400.. => Self::BadRequest,
            _ => return None,
        })
    }

    /// Every code, for metrics and documentation.
    pub const ALL: [Self; 27] = [
        Self::NormalClearing,
        Self::CallerCancelled,
        Self::PeerRejected,
        Self::PeerBusy,
        Self::NoAnswer,
        Self::NumberUnknown,
        Self::NoRoute,
        Self::Presence,
        Self::CallerNotAllowed,
        Self::LoopDetected,
        Self::BadRequest,
        Self::MediaIncompatible,
        Self::MediaUnavailable,
        Self::MediaTimeout,
        Self::HandshakeFailed,
        Self::PeerUnreachable,
        Self::PeerTimeout,
        Self::NoAck,
        Self::InCallFailure,
        Self::TransferFailed,
        Self::LimitReached,
        Self::Preempted,
        Self::SpendReached,
        Self::TrunkClosed,
        Self::Operator,
        Self::RestartLost,
        Self::InternalError,
    ];

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NormalClearing => "normal_clearing",
            Self::CallerCancelled => "caller_cancelled",
            Self::PeerRejected => "peer_rejected",
            Self::PeerBusy => "peer_busy",
            Self::NoAnswer => "no_answer",
            Self::NumberUnknown => "number_unknown",
            Self::NoRoute => "no_route",
            Self::Presence => "presence",
            Self::CallerNotAllowed => "caller_not_allowed",
            Self::LoopDetected => "loop_detected",
            Self::BadRequest => "bad_request",
            Self::MediaIncompatible => "media_incompatible",
            Self::MediaUnavailable => "media_unavailable",
            Self::MediaTimeout => "media_timeout",
            Self::HandshakeFailed => "handshake_failed",
            Self::PeerUnreachable => "peer_unreachable",
            Self::PeerTimeout => "peer_timeout",
            Self::NoAck => "no_ack",
            Self::InCallFailure => "in_call_failure",
            Self::TransferFailed => "transfer_failed",
            Self::LimitReached => "limit_reached",
            Self::Preempted => "preempted",
            Self::SpendReached => "spend_reached",
            Self::TrunkClosed => "trunk_closed",
            Self::Operator => "operator",
            Self::RestartLost => "restart_lost",
            Self::InternalError => "internal_error",
        }
    }

    /// What it means, for a list of all.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::NormalClearing => "a party hung up after the answer",
            Self::CallerCancelled => "the caller gave up before the answer",
            Self::PeerRejected => "the called side refused; its status is in the record",
            Self::PeerBusy => "the called side is busy (486, 600)",
            Self::NoAnswer => {
                "nobody answered in time (408, 480, 487 without our CANCEL, or our limit on ringing)"
            }
            Self::NumberUnknown => "the called number does not exist there (404, 410, 484, 604)",
            Self::NoRoute => "no route matches",
            Self::Presence => {
                "the user is busy or absent as Microsoft says, and the route goes by it"
            }
            Self::CallerNotAllowed => "the caller shows a number that is not its own",
            Self::LoopDetected => "the call has been forwarded too often",
            Self::BadRequest => "the request is not acceptable and was refused before routing",
            Self::MediaIncompatible => {
                "offer and configuration have no codec or protection in common"
            }
            Self::MediaUnavailable => "no media ports or no relay are left",
            Self::MediaTimeout => "no media arrived for too long",
            Self::HandshakeFailed => "the handshake that makes the keys of the media failed",
            Self::PeerUnreachable => "no target could be reached: connection, TLS or DNS",
            Self::PeerTimeout => "a target took the connection and did not answer",
            Self::NoAck => "the peer never acknowledged the answer",
            Self::InCallFailure => "a request within the call failed in a way that ends it",
            Self::TransferFailed => "a transfer failed after the party that asked for it had left",
            Self::LimitReached => "a limit on duration, set-up time or concurrency",
            Self::Preempted => "it was ended to make room for a call for help",
            Self::SpendReached => "calls like this one have cost as much as they may",
            Self::TrunkClosed => {
                "an operator has disabled or drains the trunk it came from, or all that it could go to"
            }
            Self::Operator => "an operator ended it, or the node is stopping",
            Self::RestartLost => {
                "the daemon ended without a word while it was up; the next start wrote its record"
            }
            Self::InternalError => "a contradiction of our own; the record names it",
        }
    }
}

impl fmt::Display for CauseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a call ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Cause {
    /// Who ended it.
    pub by: EndedBy,
    /// Stable name.
    pub code: CauseCode,
    /// SIP status that a leg was refused with, ours or the peer's.
    pub status: Option<u16>,
    /// Q.850 cause value, from a peer's `Reason` or from the mapping table.
    pub q850: Option<u8>,
    /// Decision chain and facts.
    pub because: Because,
}
