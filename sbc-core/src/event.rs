//! Observable facts. Each is emitted once, by the module that knows it; records, metrics, logs and
//! ladders are folds over them.

use crate::auth::{Refused, Unanswered};
use crate::cause::Because;
use crate::id::{CallId, LegId, ListenerName, RouteName, ShardId, TenantName, TrunkName};
use crate::media::{Incompatible, Unusable};
use crate::overload::{Stage, Strain};
use crate::pidf;
use crate::policy::admission::Full;
use crate::policy::spend::Spent;
use crate::policy::unusual::Unusual;
use crate::record::{Record, TransferKind, TransferOutcome};
use crate::sdp::CryptoFault;
use crate::sip::Status;
use crate::stir::Fault;
use crate::transport::{FlowFault, Protocol};
use crate::trunk::{Bound, Closing, Standing, TargetId, TargetState};
use bytes::Bytes;
use media_api::AllocateError;
use serde::Serialize;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::time::UnixTime;

/// One fact, with when and about what.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// When, wall clock.
    pub at: UnixTime,
    /// The call it is about.
    pub call: Option<CallId>,
    /// The leg it is about.
    pub leg: Option<LegId>,
    /// What happened.
    pub what: Happened,
}

/// Why media cannot be served.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MediaRefusal {
    /// What a peer described, or what two trunks have in common.
    Description(Unusable),
    /// The relay reserves nothing.
    Relay(AllocateError),
    /// The path that Teams names leads elsewhere.
    Path,
}

impl MediaRefusal {
    /// A stable code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Description(why) => why.as_str(),
            Self::Relay(AllocateError::PortsExhausted) => "ports_exhausted",
            Self::Relay(AllocateError::NoAddress) => "no_local_address",
            Self::Relay(AllocateError::Socket) => "socket",
            Self::Relay(AllocateError::Conflict) => "relay_conflict",
            Self::Relay(AllocateError::Unavailable) => "relay_unavailable",
            Self::Path => "path",
        }
    }
}

impl From<Unusable> for MediaRefusal {
    fn from(why: Unusable) -> Self {
        Self::Description(why)
    }
}

impl From<&Incompatible> for MediaRefusal {
    fn from(why: &Incompatible) -> Self {
        Self::Description(why.because)
    }
}

impl fmt::Display for MediaRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Description(why) => why.fmt(f),
            Self::Relay(why) => write!(f, "the media relay reserves no port: {why:?}"),
            Self::Path => f.write_str("the path that Teams names does not lead to this trunk"),
        }
    }
}

/// What happened.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Happened {
    /// A message was received and belongs to a known trunk. What is sent is seen in
    /// [`crate::effect::Effect::Send`].
    Received {
        /// Transport protocol.
        protocol: Protocol,
        /// Our address.
        local: SocketAddr,
        /// Theirs.
        remote: SocketAddr,
        /// The message as it came.
        bytes: Bytes,
    },
    /// A message was dropped, or refused without becoming a call.
    Dropped {
        /// Why.
        why: DropCode,
        /// Transport protocol.
        protocol: Protocol,
        /// Where it came from.
        remote: SocketAddr,
        /// Which listener.
        listener: ListenerName,
    },
    /// A new INVITE passed ingress; its record is open.
    Admitted {
        /// Customer; nothing for a number that nobody owns.
        tenant: Option<TenantName>,
        /// Trunk it came from.
        trunk: TrunkName,
        /// Calling number as received.
        calling: String,
        /// Called number as received.
        called: String,
    },
    /// The call is one for help: somebody must know at once (SIP-1404).
    Emergency {
        /// Customer.
        tenant: Option<TenantName>,
        /// Trunk it came from.
        trunk: TrunkName,
        /// Number dialled.
        called: String,
    },
    /// The location of a call for help cannot be read. It passes as it came, and the call is made all the
    /// same.
    LocationUnreadable {
        /// Trunk it came from.
        trunk: TrunkName,
        /// What is wrong with it.
        fault: pidf::xml::Fault,
    },
    /// Every number of a place is lent to somebody who called for help, so one of them is not found by it
    /// any more (TDR-EMG-005).
    ElinReused {
        /// Customer.
        tenant: Option<TenantName>,
        /// The number.
        number: String,
        /// Who had it.
        from: String,
    },
    /// The call is ended to make room for one for help (SIP-1401).
    Preempted {
        /// Customer.
        tenant: Option<TenantName>,
        /// Trunk it came from.
        trunk: TrunkName,
        /// The call for help.
        by: CallId,
        /// What was used up.
        room: String,
    },
    /// A call for help finds no room, and so many others have given way lately that none does any more
    /// (SIP-1401). It is tried all the same.
    PreemptionLimited {
        /// Trunk it came from.
        trunk: TrunkName,
        /// What is used up.
        room: String,
    },
    /// The signatures of a caller were looked into.
    Verified {
        /// Trunk it came from.
        trunk: TrunkName,
        /// Why nobody vouches for it; `None` if somebody does.
        fault: Option<Fault>,
    },
    /// The signatures of a caller stay behind: towards this trunk they would say something else than the
    /// numbers that it is shown.
    SignatureLost {
        /// Trunk of the attempt.
        trunk: TrunkName,
    },
    /// A party tells of more keys in INFO than wait for their events, so one of them is told to nobody
    /// (SIP-1312).
    KeyLost {
        /// Trunk of the party.
        trunk: TrunkName,
        /// How many wait.
        most: usize,
    },
    /// Routing decided.
    Routed {
        /// Trunks to try, in order.
        trunks: Vec<TrunkName>,
        /// By which route; nothing for a call for help, and where a redirection or transfer goes another way.
        route: Option<RouteName>,
        /// Why.
        because: Because,
    },
    /// Why the INVITE of a leg is as it is; only where everything is explained.
    Explained {
        /// Which rules it followed, in their order.
        because: Because,
    },
    /// One target of one trunk is being tried.
    AttemptStarted {
        /// Trunk.
        trunk: TrunkName,
        /// Host as configured.
        host: String,
        /// Address.
        remote: SocketAddr,
        /// Protocol.
        protocol: Protocol,
    },
    /// A target was given up; the next one follows if there is one.
    TargetFailed {
        /// Trunk.
        trunk: TrunkName,
        /// Host as configured.
        host: String,
        /// Why.
        why: TargetFault,
        /// Targets and trunks left to try.
        left: usize,
    },
    /// A request has more octets than RFC 3261 §18.1.1 lets go over UDP.
    Oversize {
        /// Trunk.
        trunk: TrunkName,
        /// Its length.
        octets: usize,
        /// What may go.
        largest: usize,
        /// What is done about it.
        action: OversizeAction,
    },
    /// Media cannot be served: a description is refused, or there is no port.
    MediaRefused {
        /// Trunk of the leg.
        trunk: TrunkName,
        /// Why.
        why: MediaRefusal,
    },
    /// A line of a description that should bring a key cannot be used; the others are (MED-100, MED-105).
    KeyUnusable {
        /// Trunk of the leg.
        trunk: TrunkName,
        /// What is wrong with it.
        why: CryptoFault,
    },
    /// An offer of ours within the call was refused; the call goes on as it was.
    OfferRefused {
        /// The peer's status, or 503 when it could not be reached.
        status: Status,
        /// Whether it is made again: both sides offered at once.
        again: bool,
    },
    /// A header that nobody here knows and no list lets pass has stayed behind: told once for each name and trunk by
    /// each shard.
    HeaderLeft {
        /// The trunk that it came from.
        trunk: TrunkName,
        /// Its name.
        name: String,
    },
    /// A called party says something else than it answered reliably before (SIP-501).
    LaterAnswer {
        /// Trunk.
        trunk: TrunkName,
        /// Whether its media goes where it says now; else it is as if it had not been said.
        is_taken: bool,
    },
    /// Whether the caller hears a ringing tone of ours from now on, whenever the called side sends nothing.
    Ringback {
        /// It does.
        plays: bool,
    },
    /// A leg got a final answer to its set-up.
    Answered {
        /// From INVITE to answer in milliseconds.
        setup_ms: u64,
    },
    /// A transfer has come to its end, or was refused.
    Transfer {
        /// Trunk of who asked for it.
        trunk: TrunkName,
        /// How.
        kind: TransferKind,
        /// What became of it.
        outcome: TransferOutcome,
        /// The status that says so.
        status: Option<Status>,
        /// Why.
        because: Because,
    },
    /// The media relay said something about the call.
    Media(media_api::Event),
    /// A state machine moved; level trace.
    StateChanged {
        /// Which machine.
        machine: &'static str,
        /// State before.
        from: &'static str,
        /// State after.
        to: &'static str,
    },
    /// A call of the process before this one is known here, with its record so far. What follows is as of any other
    /// call, its end too.
    Restored(Arc<Record>),
    /// The call is over; exactly one per admitted INVITE (I6).
    Ended(Arc<Record>),
    /// The record so far of a call that goes on: when its parties change, and, for who keeps a journal, when it is
    /// taken, answered and ended. What is left of it if we end without a word (OPS-151).
    Recorded(Arc<Record>),
    /// The record so far of a call that was up before anybody kept a journal, once somebody does.
    Known(Arc<Record>),
    /// An address of a trunk's target changed its health.
    TargetHealth {
        /// Which.
        target: TargetId,
        /// What is held of it now.
        state: TargetState,
        /// What was seen.
        because: String,
    },
    /// OPTIONS went between us and a proxy of Teams, which judges a trunk by them (TDR-OPT-007). Told of
    /// every one, unlike health.
    Options {
        /// Trunk.
        trunk: TrunkName,
        /// Whether the proxy asked; otherwise we did.
        by_peer: bool,
        /// The proxy: as configured, or as it calls itself.
        host: String,
        /// Where it is, as far as that is known.
        remote: Option<SocketAddr>,
        /// Status of the answer; `None` if there was none.
        status: Option<Status>,
        /// How long that took, of ours.
        took: Option<Duration>,
        /// What was seen.
        because: String,
    },
    /// A shard is loaded more, or less (SIP-1722).
    Overload {
        /// Which.
        shard: ShardId,
        /// How loaded it is now.
        stage: Stage,
        /// How long new requests wait for their turn.
        lag_ms: u64,
        /// What the process uses of its processors and memory.
        strain: Strain,
    },
    /// A peer demanded authentication, and the request goes out again with credentials.
    Challenged {
        /// Trunk.
        trunk: TrunkName,
        /// Who asked.
        remote: SocketAddr,
        /// Algorithm.
        algorithm: &'static str,
        /// It is MD5, and was not used on this trunk before.
        is_newly_weak: bool,
    },
    /// A peer demanded authentication and does not get it.
    Unauthenticated {
        /// Trunk.
        trunk: TrunkName,
        /// Who asked.
        remote: SocketAddr,
        /// Why not.
        why: Unanswered,
    },
    /// A request did not prove who its sender is, and was answered with a challenge.
    Unproven {
        /// Where it came from.
        remote: SocketAddr,
        /// Which listener.
        listener: ListenerName,
        /// Why not.
        refused: Refused,
    },
    /// What is registered for a trunk has changed, or was refreshed.
    Bindings {
        /// All that is registered now.
        bound: Arc<Bound>,
        /// A contact has come, gone, or moved.
        is_news: bool,
        /// What was seen.
        because: String,
    },
    /// A REGISTER of a peer that is who it says was refused.
    RegisterRefused {
        /// Trunk.
        trunk: TrunkName,
        /// Where it came from.
        remote: SocketAddr,
        /// What it was told.
        status: Status,
        /// Why.
        because: String,
    },
    /// Something happened to the registration of a trunk.
    Registration {
        /// How it stands now.
        standing: Arc<Standing>,
        /// Its state is another one than before.
        is_news: bool,
        /// Status of a failure; 0 where nobody answered.
        failure: Option<u16>,
        /// What was seen.
        because: String,
    },
    /// A call is refused, or goes another way, because a limit on calls is reached (SIP-1730,
    /// TDR-SEC-003).
    LimitReached {
        /// Customer, if it is known.
        tenant: Option<TenantName>,
        /// The limit, and whether anybody was told of it a short while ago.
        full: Box<Full>,
    },
    /// Calls have cost as much as they may, or more; once until there is money again (SIP-406).
    SpendReached(Box<Spent>),
    /// Calls were answered, or lasted, unlike those before (TDR-SEC-003); once for a quarter of an hour.
    Unusual(Box<Unusual>),
    /// An operator keeps new calls away from a trunk in another way than before; not any more if there is none.
    TrunkClosing {
        /// Trunk.
        trunk: TrunkName,
        /// How.
        closing: Option<Closing>,
    },
    /// Something in the tables belonged to no call any more and was taken out; an operator should
    /// report it.
    Orphans {
        /// Dialogs.
        dialogs: usize,
        /// Media sessions.
        sessions: usize,
        /// Questions to DNS.
        queries: usize,
        /// Places of limits that no call has, or that calls have and nobody counted.
        places: usize,
    },
    /// We contradicted ourselves; an operator should report it.
    Bug {
        /// Name of the broken invariant.
        invariant: &'static str,
    },
}

/// What is done about a request that is too large for UDP. Label values of a metric.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum OversizeAction {
    /// It goes over TCP.
    Tcp,
    /// The peer did not take TCP: it goes over UDP after all.
    Fallback,
    /// It goes over UDP, by configuration or because we have no TCP listener there.
    Fragment,
    /// The same, after what can be left out was left out.
    Slim,
}

impl OversizeAction {
    /// The stable label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Fallback => "fallback",
            Self::Fragment => "fragment",
            Self::Slim => "slim",
        }
    }
}

/// Why a target was given up.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetFault {
    /// The transport failed.
    Flow(FlowFault),
    /// The name has no address.
    Resolve(crate::query::ResolveFault),
    /// No response in time.
    Timeout,
    /// It answered with a status on which the next target is tried.
    Status(u16),
    /// It asked with 503 and Retry-After to be left alone, and that time is not over; or it answers
    /// OPTIONS with 503.
    Quarantined,
    /// It wants fewer new calls, and this is one of those too many (RFC 7339).
    Relieved,
    /// What transforms have made of a number cannot be written.
    Unwritable,
    /// The called number has not the form that the trunk's peer takes, and no transform gave it that.
    NumberForm,
    /// Every target of the trunk is down, and this call is not the one that tries it again.
    Down,
    /// The trunk calls only while it is registered, and it is not.
    NotRegistered,
    /// The trunk's peer has registered no contact with us.
    NoBinding,
}

/// Why a message was dropped or refused outside any call. Label values of a metric: a closed list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DropCode {
    /// Source belongs to no trunk.
    Stranger,
    /// Source address is right, but the TLS identity is not.
    WrongIdentity,
    /// Source and identity are right, but the Request-URI names no trunk of this peer; answered
    /// with 404 (TDR-MT-015).
    UnknownHost,
    /// Not a SIP message.
    Malformed,
    /// A response to nothing of ours (SIP-202).
    StrayResponse,
    /// An ACK that matches nothing (SIP-215).
    StrayAck,
    /// A response whose Via is not ours (SIP-104).
    ForeignVia,
    /// A request for a dialog we do not know; answered with 481.
    UnknownDialog,
    /// An INVITE that would replace a dialog of another customer; answered with 403 (TDR-XFR-031).
    ForeignDialog,
    /// A method that is not served; answered with 405 or 501.
    MethodNotAllowed,
    /// New calls are refused: limit or drain.
    Overload,
    /// New calls are refused, because their records could not be written although they must be (OPS-060).
    Unrecorded,
    /// An operator has banned the source, or this name has failed too often from it to prove who it is.
    Banned,
}

impl DropCode {
    /// Every code.
    pub const ALL: [Self; 13] = [
        Self::Stranger,
        Self::WrongIdentity,
        Self::UnknownHost,
        Self::Malformed,
        Self::StrayResponse,
        Self::StrayAck,
        Self::ForeignVia,
        Self::UnknownDialog,
        Self::ForeignDialog,
        Self::MethodNotAllowed,
        Self::Overload,
        Self::Unrecorded,
        Self::Banned,
    ];

    /// The stable label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::WrongIdentity => "wrong_identity",
            Self::UnknownHost => "unknown_host",
            Self::Malformed => "malformed",
            Self::StrayResponse => "stray_response",
            Self::StrayAck => "stray_ack",
            Self::ForeignVia => "foreign_via",
            Self::UnknownDialog => "unknown_dialog",
            Self::ForeignDialog => "foreign_dialog",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Overload => "overload",
            Self::Unrecorded => "unrecorded",
            Self::Banned => "banned",
        }
    }
}
