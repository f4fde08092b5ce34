//! What signalling asks of the relay.

use crate::{
    Dialled, EndpointId, EndpointSpec, ForkId, Intake, Negotiated, Playing, SessionId, Tap,
};

/// One order to the relay. Commands of one session are applied in the order given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Reserve ports and keys for new endpoints; creates the session if it does not exist.
    /// All endpoints or none. Answered by `Allocated` or `Refused`, which name the endpoints; those of one
    /// session in the order of the commands.
    Allocate {
        /// The session.
        session: SessionId,
        /// Endpoints to add.
        endpoints: Vec<EndpointSpec>,
    },
    /// What an offer/answer exchange agreed on one endpoint.
    Answer {
        /// The session.
        session: SessionId,
        /// The endpoint.
        endpoint: EndpointId,
        /// Which early dialog answered.
        fork: ForkId,
        /// What was agreed.
        negotiated: Negotiated,
        /// Whether it may still be replaced by another fork.
        stage: Stage,
    },
    /// Drop previews and pending facts of one endpoint; the committed ones stay.
    Rollback {
        /// The session.
        session: SessionId,
        /// The endpoint.
        endpoint: EndpointId,
    },
    /// An offer of ours is under way to an endpoint's peer, on which something is agreed already. The peer may use the
    /// keys of its answer before that is here: what nobody can open meanwhile is kept a little while, until the
    /// answer, a [`Self::Rollback`], or [`EXPECTED_MS`] have passed.
    Expect {
        /// The session.
        session: SessionId,
        /// The endpoint.
        endpoint: EndpointId,
    },
    /// Replace the bridge plan.
    Update {
        /// The session.
        session: SessionId,
        /// Who hears whom from now on.
        plan: BridgePlan,
    },
    /// Say from now on what becomes of the digits that an endpoint's peer sends. Without it they pass.
    Take {
        /// The session.
        session: SessionId,
        /// The endpoint.
        endpoint: EndpointId,
        /// What becomes of them.
        intake: Intake,
    },
    /// Keep from the joined endpoint what an endpoint's peer says, or let it pass again. Events of digits pass, or do
    /// what [`Self::Take`] says of them; a fax passes.
    Block {
        /// The session.
        session: SessionId,
        /// Whose peer is not heard.
        endpoint: EndpointId,
        /// Whether from now on it is not.
        is_blocked: bool,
    },
    /// Send a digit to an endpoint's peer, after those that wait. The joined endpoint is not heard
    /// meanwhile. A peer that has agreed to nothing that could carry it, or for whom too many wait,
    /// does not get it.
    Dial {
        /// The session.
        session: SessionId,
        /// The endpoint.
        endpoint: EndpointId,
        /// The digit.
        dialled: Dialled,
    },
    /// Let an endpoint hear something of ours from now on, or nothing of ours any more. What was
    /// played to it before ends at once, without [`crate::Event::Played`].
    Play {
        /// The session.
        session: SessionId,
        /// Who hears it.
        endpoint: EndpointId,
        /// What; `None` only ends what is played.
        playing: Option<Playing>,
    },
    /// End the session, or remove one endpoint of it: stop, drain, quarantine the ports.
    /// Answered by `Released` when the whole session is meant.
    Release {
        /// The session.
        session: SessionId,
        /// One endpoint, or the whole session.
        endpoint: Option<EndpointId>,
        /// How long at least packets of the whole session are still let through, in milliseconds:
        /// those that were on their way when the parties hung up. A release without it ends such a
        /// wait.
        drain_ms: u16,
    },
    /// The party of an endpoint goes on in another session, which may be another worker's: its media
    /// that still arrive here go there, until [`HANDED_OVER_MS`] have passed, also after the release of
    /// the rest of this session. Media that reach the session's own endpoint first end it sooner.
    HandOver {
        /// The session that the party leaves.
        session: SessionId,
        /// Its endpoint there.
        endpoint: EndpointId,
        /// Where it goes on.
        to: SessionId,
    },
    /// An endpoint is that of a party which another session has handed over, and takes its media
    /// from there.
    Follow {
        /// The session.
        session: SessionId,
        /// The endpoint.
        endpoint: EndpointId,
        /// Where the party comes from, and what its endpoint was called there.
        of: (SessionId, EndpointId),
    },
    /// Copy every packet that is accepted or sent from now on ([`crate::Event::Tapped`]), or none any more.
    Tap {
        /// The session.
        session: SessionId,
        /// What of them.
        tap: Option<Tap>,
    },
    /// Ask for the present statistics; answered by `Stats`.
    Stats {
        /// The session.
        session: SessionId,
    },
}

/// How long the ports of a party that was handed over are still received on, in milliseconds (SIP-506).
pub const HANDED_OVER_MS: u64 = 10_000;

/// How long an answer to an offer of ours is awaited at most, in milliseconds: as long as its transaction lasts without
/// a word of the peer (RFC 3261 Timer B).
pub const EXPECTED_MS: u64 = 32_000;

/// How firm an agreement is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stage {
    /// From an early dialog: media flows, but another fork may still win.
    Preview,
    /// Committed: other forks' previews are dropped.
    Final,
}

/// Who hears whom.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct BridgePlan {
    /// The two endpoints whose streams are joined; `None` joins nobody.
    pub joined: Option<(EndpointId, EndpointId)>,
    /// How long in milliseconds without any RTP or RTCP on an endpoint that should receive before
    /// [`crate::Event::Silent`] is raised; 0 turns it off. Counted on every data path.
    pub silence_ms: u32,
}
