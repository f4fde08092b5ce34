//! What a call is now, in one line for operators.

use super::{Call, Operation};
use crate::record::{CallPhase, CallSummary};

impl Call {
    /// What there is to say of the call beyond whether it was answered. It is found when somebody asks, so that a call
    /// costs nothing more.
    pub(crate) fn phase(&self) -> Option<CallPhase> {
        match self.answered {
            None => self.record.first_progress_ms.map(|_| CallPhase::Early),
            Some(_) => self.on_hold_since.map(|_| CallPhase::Held),
        }
    }

    /// One line about the call for operators.
    pub(crate) fn summary(&self) -> CallSummary {
        let phase = self.phase();
        CallSummary {
            call: self.id,
            tenant: self.tenant.clone(),
            from_trunk: self.record.ingress.trunk.clone(),
            to_trunk: self
                .record
                .egress
                .last()
                .map(|attempt| attempt.trunk.clone()),
            calling: self.record.calling.clone(),
            called: self.record.called.clone(),
            state: match (&self.operation, self.answered) {
                (Some(Operation::Setup(_)), None) if phase.is_some() => CallPhase::Early.as_str(),
                (Some(Operation::Setup(_)), _) => "setup",
                (Some(Operation::Transfer(_) | Operation::Replace(_)), _) => "transfer",
                (Some(Operation::Teardown(_)), _) => "ending",
                (None, Some(_)) if phase.is_some() => CallPhase::Held.as_str(),
                (None, Some(_)) => "established",
                (None, None) => "unanswered",
            },
            start: self.started.wall,
            answered: self.answered.map(|now| now.wall),
        }
    }
}
