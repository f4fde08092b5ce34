//! What the outside tells the core.

use crate::cause::Because;
use crate::config::{Config, UserId};
use crate::id::{CallId, CommandId, FlowId, QueryId, TenantName, TransactionId, TrunkName};
use crate::kept::Found;
use crate::letter::Letter;
use crate::overload::Strain;
use crate::policy::presence::Presence;
use crate::query::Outcome;
use crate::record::{CallPhase, CallSummary, LiveMedia, TransferOutcome};
use crate::sip::{Message, Rejected, Status};
use crate::transport::{Flow, FlowFault};
use crate::trunk::{Bound, Closing, PeerName, Standing, Stored, TargetId, TargetState};
use bytes::Bytes;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// One input. The core applies it to completion before the next.
#[derive(Clone, Debug)]
pub enum Input {
    /// A well-formed message arrived.
    Received {
        /// What it arrived on.
        flow: Flow,
        /// The message.
        message: Message,
    },
    /// Something arrived that is no acceptable message.
    Malformed {
        /// What it arrived on.
        flow: Flow,
        /// What is wrong, and what is known for an answer.
        rejected: Rejected,
    },
    /// A datagram of STUN arrived from a peer. For shard 0, which keeps registrations alive.
    Stun {
        /// What it arrived on.
        flow: Flow,
        /// The datagram.
        bytes: Bytes,
    },
    /// A connection is gone. Told once per flow.
    FlowLost {
        /// Which.
        flow: FlowId,
        /// Why.
        why: FlowFault,
    },
    /// A message could not be sent.
    SendFailed {
        /// The transaction it belonged to.
        transaction: TransactionId,
        /// Why.
        why: FlowFault,
    },
    /// The network has given back a datagram that we had sent: whom it was for cannot be reached (RFC 3261 §18.4).
    /// Anybody may say so who has seen the datagram, and nobody else: its branch has to be one of ours.
    Returned {
        /// As much of it as came back.
        start: Bytes,
        /// What the network says.
        why: FlowFault,
    },
    /// An INVITE of ours waits for its connection to be made, and how long that may take; zero when it has
    /// been written now. Told only of one that had to wait: the time for its first response begins when it
    /// is written (TDR-DNS-002).
    Leaves {
        /// Its transaction.
        transaction: TransactionId,
        /// Longest time until it is written or [`Input::SendFailed`] comes.
        within: Duration,
    },
    /// Answer to a query.
    Outcome(QueryId, Outcome),
    /// Report of the media relay.
    Media(media_api::Event),
    /// An operator's command; answered by [`crate::effect::Effect::Reply`].
    Command(CommandId, Command),
    /// New configuration: calls keep the settings they were admitted with.
    Config(Arc<Config>),
    /// An address changed its health, as the shard that probes has told
    /// ([`crate::event::Happened::TargetHealth`]). For all other shards.
    TargetHealth {
        /// Which.
        target: TargetId,
        /// What is held of it now.
        state: TargetState,
    },
    /// How long something waited for its turn, as the shell has seen: told while it matters, before
    /// the input that waited, and once more when nothing waits any longer.
    Lag(Duration),
    /// What the process uses of its processors and its memory, as the shell has measured: told while
    /// it matters, about once a second.
    Strain(Strain),
    /// Records of calls cannot be written although they must be, so no new calls are taken (`true`); or they can
    /// again. Told whenever that changes.
    Unrecorded(bool),
    /// Whether somebody keeps a journal of calls from now on ([`crate::event::Happened::Recorded`]). Of those that are up it
    /// hears within moments ([`crate::event::Happened::Known`]).
    Journal(bool),
    /// The registration of a trunk has changed, as the shard that registers has told
    /// ([`crate::event::Happened::Registration`]). For all other shards.
    Registration(Arc<Standing>),
    /// What is registered for a trunk has changed, as the shard that is the registrar has told
    /// ([`crate::event::Happened::Bindings`]). For all other shards.
    Bindings(Arc<Bound>),
    /// What was registered before a restart, for the shard that is the registrar.
    Restored(Arc<[Stored]>),
    /// What Microsoft has said of users of a tenant, now. Users whom the configuration does not name are
    /// passed over.
    Presence(Arc<Heard>),
    /// A letter of another shard.
    Letter(Letter),
    /// A call of the process before this one, which goes on here. Before anything of it can arrive.
    Found(Box<Found>),
    /// A deadline has come.
    Tick,
}

/// What was heard of users at one time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heard {
    /// Whose users.
    pub tenant: TenantName,
    /// Each, at most as many as one answer of Microsoft has: 650.
    pub users: Vec<(UserId, Arc<Presence>)>,
}

/// What an operator may ask of a shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// List the calls of this shard.
    Calls,
    /// List those of them of which there is more to say than whether they were answered.
    Phases,
    /// Ask for the media figures of one call.
    Media(CallId),
    /// End one call; with a cause of Q.850 for its parties, 1 to 127, if somebody says one.
    HangUp(CallId, Option<u8>),
    /// Put somebody else in the place of one party of a call.
    Transfer(CallId, TransferOrder),
    /// Whose passwords are not looked at for a while.
    Silenced,
    /// Accept no new calls any more (`true`), or again (`false`).
    Drain(bool),
    /// Keep new calls away from a trunk, or let it have them again (`None`). For shard 0, which probes; all others
    /// keep to it as well.
    Close(TrunkName, Option<Closing>),
    /// Forget what speaks against a peer, so that it is tried again at once. For shard 0, as all others see what is
    /// forgotten.
    ResetPeer(PeerName),
    /// Register a trunk with its registrar anew, whatever it has answered before (`true`), or take its registration
    /// back and register no more (`false`). For shard 0.
    Register(TrunkName, bool),
    /// As a drain, but Teams may go on calling until it has noticed that we ask it no more and prefers other
    /// SBCs (TDR-OPT-010).
    Fade,
    /// End every call.
    HangUpAll,
    /// End every call but those for help: the time that a drain has given them is over.
    HangUpOrdinary,
    /// End every call of which nothing is kept for the process after this one; answered with how many of them are not
    /// over yet.
    HangUpUnkept,
    /// Count the calls that live: those that are not only waiting for a last answer of a peer.
    CountLive,
    /// Count all calls, also those of which nothing is left but a BYE for a peer that cannot be reached.
    CountAll,
    /// Count the registrations that are being taken back.
    CountLeaving,
    /// The process ends: close the record of every call that is left, whatever it still waits for.
    /// Nothing more is sent; [`Command::HangUpAll`] comes before.
    CloseAll,
}

/// Answer to a command.
#[derive(Clone, PartialEq, Debug)]
pub enum Answered {
    /// Calls of this shard, oldest first.
    Calls(Vec<CallSummary>),
    /// Calls of this shard that are in such a phase, in any order.
    Phases(Vec<(CallId, CallPhase)>),
    /// Media figures of a call.
    Media(Box<LiveMedia>),
    /// Done; for how many calls.
    Done(usize),
    /// What became of a transfer.
    Transferred {
        /// In one word.
        outcome: TransferOutcome,
        /// The status of the target, or of whoever refused.
        status: Option<Status>,
        /// How it came to that.
        because: Because,
    },
    /// Sources with names whose passwords are not looked at, and for how long.
    Silenced(Vec<(IpAddr, Duration)>),
    /// There is no such call here.
    NoSuchCall,
}

/// A transfer as an operator wants it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransferOrder {
    /// Who stays in the call.
    pub stays: Stays,
    /// The number that is called in place of the other party.
    pub number: String,
    /// The trunk that leads there; without it, routes say.
    pub trunk: Option<TrunkName>,
}

/// A party of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stays {
    /// Whoever called.
    Caller,
    /// Whoever was called.
    Called,
}
