//! Calls that nobody has answered and whose caller's connection is gone (TDR-ERR-012).
//!
//! Teams makes a call again from another data centre when its connection to us fails, with the same
//! Call-ID or with another one. The one that is left must not go on ringing beside it.

use super::Core;
use crate::config::{LostConnection, Trunk};
use crate::effect::Effects;
use crate::id::CallId;
use crate::sip::Message;
use crate::time::Now;
use crate::transport::FlowFault;

/// Those of one shard, in the order in which they were left. Some may be answered or over by now.
#[derive(Default, Debug)]
pub(super) struct Adrift(Vec<CallId>);

impl Core {
    /// The connection that a caller's INVITE came on is gone.
    pub(super) fn caller_lost(&mut self, now: Now, id: CallId, why: &FlowFault, out: &mut Effects) {
        let Some(entry) = self.calls.get(&id).filter(|own| own.call.is_waited_for()) else {
            return;
        };
        // Whoever closes a connection in order may still wait for an answer by another one (TDR-TCP-002).
        let is_broken = matches!(why, FlowFault::Broken(_) | FlowFault::QueueFull);
        if is_broken && entry.call.lost_connection() == LostConnection::End {
            let why = format!("the caller's connection was lost before the answer: {why}");
            return self.with_call(now, id, out, |call, cx| call.is_forsaken(cx, &why));
        }
        self.forget_answered();
        self.adrift.0.push(id);
    }

    /// An INVITE has come: it may be a call again that was left.
    pub(super) fn called_again(
        &mut self,
        now: Now,
        invite: &Message,
        trunk: &Trunk,
        out: &mut Effects,
    ) {
        if self.adrift.0.is_empty() {
            return;
        }
        self.forget_answered();
        let calls = &self.calls;
        let is_again = |id: &&CallId| {
            let entry = calls.get(id);
            entry.is_some_and(|entry| entry.call.is_made_again(invite, trunk))
        };
        let again: Vec<CallId> = self.adrift.0.iter().filter(is_again).copied().collect();
        for id in again {
            let why = "its connection was lost, and the same call came again by another";
            self.with_call(now, id, out, |call, cx| call.is_forsaken(cx, why));
        }
    }

    fn forget_answered(&mut self) {
        let calls = &self.calls;
        self.adrift.0.retain(|id| {
            let entry = calls.get(id);
            entry.is_some_and(|entry| entry.call.is_waited_for())
        });
    }
}
