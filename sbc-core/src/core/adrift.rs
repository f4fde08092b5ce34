//! Calls that nobody has answered and whose caller's connection is gone (TDR-ERR-012).
//!
//! Teams makes a call again from another data centre when its connection to us fails, with the same
//! Call-ID or with another one. The one that is left must not go on ringing beside it, nor fill a limit. With
//! another Call-ID the call may come to another shard: as long as any other has such a call, the INVITE goes
//! round all of them before it is looked at.

use super::Core;
use crate::config::{LostConnection, Trunk};
use crate::effect::Effects;
use crate::id::{CallId, ShardId};
use crate::letter::{Again, Content, Letter};
use crate::policy::ingress::Ingress;
use crate::sip::{Message, Method};
use crate::time::Now;
use crate::transport::{Flow, FlowFault};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Those of one shard, in the order in which they were left. Some may be answered or over by now.
#[derive(Default, Debug)]
pub(super) struct Adrift {
    own: Vec<CallId>,
    /// How many there are over all shards.
    all: Arc<AtomicUsize>,
}

// Ordering: the number stands for itself.
const ORDER: Ordering = Ordering::Relaxed;

impl Adrift {
    /// Those of another shard, counted together.
    pub(super) fn beside(&self) -> Self {
        Self {
            own: Vec::new(),
            all: Arc::clone(&self.all),
        }
    }

    fn add(&mut self, id: CallId) {
        self.own.push(id);
        self.all.fetch_add(1, ORDER);
    }

    fn keep(&mut self, stays: impl Fn(&CallId) -> bool) {
        let before = self.own.len();
        self.own.retain(stays);
        self.all.fetch_sub(before - self.own.len(), ORDER);
    }

    /// Whether other shards have any.
    fn are_elsewhere(&self) -> bool {
        self.all.load(ORDER) > self.own.len()
    }
}

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
        self.adrift.add(id);
    }

    /// A request without a transaction has come. If it is an INVITE, it may be a call again that was left
    /// elsewhere. Says whether the other shards are asked; then it comes home as a letter, because before that a
    /// limit may still be full of the call that was left.
    pub(super) fn asks_around(&mut self, flow: &Flow, invite: &Message, ingress: &Ingress) -> bool {
        let is_new = *invite.method() == Method::Invite && invite.to_tag().is_none();
        let makes_again = ingress.trunk.habits.lost_connection == LostConnection::End;
        // The same Call-ID would have come to the shard of the first one.
        let is_asked = is_new && makes_again && self.adrift.are_elsewhere();
        if is_asked {
            let again = Again {
                from: self.plane.shard,
                flow: flow.clone(),
                invite: invite.clone(),
                ingress: ingress.clone(),
            };
            self.pass_around(Letter::new(Content::Again(Box::new(again))));
        }
        is_asked
    }

    /// An INVITE that may be a call again goes round the shards, and is home again.
    pub(super) fn called_again(
        &mut self,
        now: Now,
        letter: &Letter,
        again: &Again,
        out: &mut Effects,
    ) {
        let (invite, ingress) = (&again.invite, &again.ingress);
        if again.from == self.plane.shard {
            let owner = self.plane.transactions.owner_of(invite);
            let (invite, ingress) = (invite.clone(), ingress.clone());
            let tally = self.plane.tally.of(&ingress.trunk.name);
            return self.taken(now, (owner, tally), &again.flow, invite, ingress, out);
        }
        // First: whatever becomes of a call here, the INVITE has to come home.
        self.pass_around(letter.clone());
        self.ends_adrift(now, invite, &ingress.trunk, out);
    }

    fn pass_around(&mut self, letter: Letter) {
        let next = ShardId((self.plane.shard.0 + 1) % self.plane.shards);
        self.plane.letters.push_back((next, letter));
    }

    /// Ends what was left here and is the same call as this INVITE.
    pub(super) fn ends_adrift(
        &mut self,
        now: Now,
        invite: &Message,
        trunk: &Trunk,
        out: &mut Effects,
    ) {
        if self.adrift.own.is_empty() {
            return;
        }
        self.forget_answered();
        let calls = &self.calls;
        let is_again = |id: &&CallId| {
            let entry = calls.get(id);
            entry.is_some_and(|entry| entry.call.is_made_again(invite, trunk))
        };
        let again: Vec<CallId> = self.adrift.own.iter().filter(is_again).copied().collect();
        for id in again {
            let why = "its connection was lost, and the same call came again by another";
            self.with_call(now, id, out, |call, cx| call.is_forsaken(cx, why));
        }
    }

    fn forget_answered(&mut self) {
        let calls = &self.calls;
        self.adrift.keep(|id| {
            let entry = calls.get(id);
            entry.is_some_and(|entry| entry.call.is_waited_for())
        });
    }
}
