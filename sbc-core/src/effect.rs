//! What must happen because of an input.

use crate::event::{Event, Happened};
use crate::id::{CallId, CommandId, FlowId, LegId, QueryId, ShardId, TransactionId};
use crate::input::Answered;
use crate::letter::Letter;
use crate::query::Query;
use crate::time::{Now, UnixTime};
use crate::transport::Hop;
use bytes::Bytes;

/// One consequence of an input, for the outside to carry out in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Write a message.
    Send {
        /// Where to.
        hop: Hop,
        /// The message as it goes onto the wire.
        bytes: Bytes,
        /// Client or server transaction to tell when it cannot be sent; `None` for messages whose
        /// loss has no owner (stateless replies, repeated ACKs).
        transaction: Option<TransactionId>,
        /// Call and leg it belongs to, for the ladder.
        call: Option<(CallId, LegId)>,
    },
    /// Close a connection (TDR-DNS-003, hostile peers).
    CloseFlow(FlowId),
    /// Ask something slow; answered by [`crate::input::Input::Outcome`].
    Query(QueryId, Query),
    /// Order to the media relay.
    Media(media_api::Command),
    /// A letter for another shard, which gets it as [`crate::input::Input::Letter`].
    Letter(ShardId, Letter),
    /// Answer to an operator's command.
    Reply(CommandId, Answered),
    /// An observable fact.
    Emit(Event),
}

/// Reusable buffer of effects; the order within one input is the order of execution.
#[derive(Default, Debug)]
pub struct Effects {
    list: Vec<Effect>,
    wall: UnixTime,
}

impl Effects {
    /// Starts collecting for one input: sets the time that events are stamped with.
    pub(crate) fn begin(&mut self, now: Now) {
        self.wall = now.wall;
    }

    /// Adds an effect.
    pub fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }

    /// Adds a fact about a call, a leg, or the node.
    pub fn emit(&mut self, call: Option<CallId>, leg: Option<LegId>, what: Happened) {
        self.list.push(Effect::Emit(Event {
            at: self.wall,
            call,
            leg,
            what,
        }));
    }

    /// Takes all effects, keeping the buffer.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Effect> {
        self.list.drain(..)
    }

    /// Effects collected so far.
    pub fn as_slice(&self) -> &[Effect] {
        &self.list
    }

    /// Whether nothing must happen.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
