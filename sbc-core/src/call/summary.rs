//! What a call is now, in one line for operators.

use super::{Call, Operation};
use crate::record::CallSummary;

impl Call {
    /// One line about the call for operators.
    pub(crate) fn summary(&self) -> CallSummary {
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
                (Some(Operation::Setup(_)), _) => "setup",
                (Some(Operation::Transfer(_) | Operation::Replace(_)), _) => "transfer",
                (Some(Operation::Teardown(_)), _) => "ending",
                (None, Some(_)) => "established",
                (None, None) => "unanswered",
            },
            start: self.started.wall,
            answered: self.answered.map(|now| now.wall),
        }
    }
}
