//! What must happen because of an input.

use crate::event::{Event, Happened};
use crate::id::{CallId, CommandId, FlowId, LegId, ListenerName, QueryId, ShardId, TransactionId};
use crate::input::Answered;
use crate::kept::Snapshot;
use crate::letter::Letter;
use crate::query::Query;
use crate::time::{Now, UnixTime};
use crate::transport::{Hop, PeerIdentity};
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

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
    /// Keep a way to a peer open.
    KeepAlive(KeepAlive),
    /// Requests to an address may use a connection that the peer there has opened, for names that it has
    /// proven to have (RFC 5923).
    Alias {
        /// The connection.
        flow: FlowId,
        /// Listener that accepted it.
        listener: ListenerName,
        /// The address.
        remote: SocketAddr,
        /// Who the peer is.
        identity: Arc<PeerIdentity>,
    },
    /// Leave a request unwritten if it still waits for its connection to be made: nobody wants it any more.
    /// Then it comes back as [`crate::input::Input::SendFailed`]; one that is on its way stays there.
    Withdraw {
        /// Where it was to go.
        hop: Hop,
        /// Its transaction.
        transaction: TransactionId,
    },
    /// Use a connection for nothing new, and end it once nothing of ours can wait there (TDR-DNS-003).
    RetireFlow(FlowId),
    /// Ask something slow; answered by [`crate::input::Input::Outcome`].
    Query(QueryId, Query),
    /// Order to the media relay.
    Media(media_api::Command),
    /// A letter for another shard, which gets it as [`crate::input::Input::Letter`].
    Letter(ShardId, Letter),
    /// Keep this of a call, in place of what was kept before, for the process after this one, which gets it as
    /// [`crate::input::Input::Found`]; without anything, nobody could go on with the call. Named by its media session,
    /// which goes on with it. Only where [`crate::core::Core::for_restart`] asks for it.
    Keep(media_api::SessionId, Option<Snapshot>),
    /// Answer to an operator's command.
    Reply(CommandId, Answered),
    /// An observable fact.
    Emit(Event),
}

/// What keeps a way to a peer open, and shows when it is lost (RFC 5626 §4.4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeepAlive {
    /// Write a datagram that is no SIP message. Nobody is told when it is lost.
    Datagram {
        /// Where to.
        hop: Hop,
        /// What.
        bytes: Bytes,
    },
    /// Ping a connection that we opened at a random pace within this range.
    Pings {
        /// Which.
        flow: FlowId,
        /// Shortest and longest time between two pings.
        between: (Duration, Duration),
        /// Whether the peer is known to answer: then a ping without an answer ends the connection.
        is_answered: bool,
    },
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

    /// Takes back what came behind so many.
    pub fn truncate(&mut self, length: usize) {
        self.list.truncate(length);
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
