//! A call's media session: what was asked of the relay and what came back.

use crate::effect::Effect;
use crate::media::Formats;
use crate::plane::Cx;
use media_api::{
    BridgePlan, Command, Dialled, EndpointId, EndpointSpec, Event, ForkId, Intake, Negotiated,
    SessionId, SessionStats, Stage,
};

/// How long media still flow after a BYE, for what was on its way when it was sent.
const DRAIN_MS: u16 = 500;

/// The relay's part of one call.
#[derive(Debug)]
pub(crate) struct CallMedia {
    pub(crate) session: SessionId,
    /// Identities of encodings, shared by all legs.
    pub(crate) formats: Formats,
    state: State,
    /// Whether the relay ever reserved anything: only then does it know the session.
    is_reserved: bool,
    /// The first of the endpoints that were asked for last.
    asked_last: Option<EndpointId>,
    /// How often the relay was asked and has not answered yet. It answers in order.
    unanswered: u32,
    plan: BridgePlan,
}

#[derive(Debug)]
enum State {
    /// Nothing was ever asked for.
    Unused,
    Active,
    Releasing,
    Released(SessionStats),
}

impl CallMedia {
    pub(crate) fn new(session: SessionId) -> Self {
        Self {
            session,
            formats: Formats::default(),
            state: State::Unused,
            is_reserved: false,
            asked_last: None,
            unanswered: 0,
            plan: BridgePlan::default(),
        }
    }

    fn command(&self, cx: &mut Cx<'_>, command: Command) {
        cx.out.push(Effect::Media(command));
    }

    /// Reserves endpoints; answered by an event.
    pub(crate) fn allocate(&mut self, cx: &mut Cx<'_>, endpoints: Vec<EndpointSpec>) {
        self.state = State::Active;
        self.asked_last = endpoints.first().map(|spec| spec.endpoint);
        self.unanswered = self.unanswered.saturating_add(1);
        self.command(
            cx,
            Command::Allocate {
                session: self.session,
                endpoints,
            },
        );
    }

    /// Tells what was agreed on an endpoint.
    pub(crate) fn agreed(
        &self,
        cx: &mut Cx<'_>,
        endpoint: EndpointId,
        fork: ForkId,
        negotiated: Negotiated,
        stage: Stage,
    ) {
        let session = self.session;
        self.command(
            cx,
            Command::Answer {
                session,
                endpoint,
                fork,
                negotiated,
                stage,
            },
        );
    }

    /// Joins two endpoints, or leaves the plan as it is if they are joined already.
    pub(crate) fn join(&mut self, cx: &mut Cx<'_>, a: EndpointId, b: EndpointId, silence_ms: u32) {
        let plan = BridgePlan {
            joined: Some((a, b)),
            silence_ms,
        };
        if self.plan != plan {
            self.plan = plan;
            self.command(
                cx,
                Command::Update {
                    session: self.session,
                    plan,
                },
            );
        }
    }

    /// Says what becomes of the digits that an endpoint's peer sends.
    pub(crate) fn take(&self, cx: &mut Cx<'_>, endpoint: EndpointId, intake: Intake) {
        let session = self.session;
        self.command(
            cx,
            Command::Take {
                session,
                endpoint,
                intake,
            },
        );
    }

    /// Sends a digit to an endpoint's peer.
    pub(crate) fn dial(&self, cx: &mut Cx<'_>, endpoint: EndpointId, dialled: Dialled) {
        let session = self.session;
        self.command(
            cx,
            Command::Dial {
                session,
                endpoint,
                dialled,
            },
        );
    }

    /// Whether the relay has the session and is to go on with it.
    pub(crate) fn is_active(&self) -> bool {
        matches!(self.state, State::Active)
    }

    /// The two endpoints that are joined.
    pub(crate) fn joined(&self) -> Option<(EndpointId, EndpointId)> {
        self.plan.joined
    }

    /// Gives one endpoint back.
    pub(crate) fn drop_endpoint(&self, cx: &mut Cx<'_>, endpoint: EndpointId) {
        let endpoint = Some(endpoint);
        self.command(
            cx,
            Command::Release {
                session: self.session,
                endpoint,
                drain_ms: 0,
            },
        );
    }

    /// Ends the session; its figures follow. What the parties of a conversation have sent before they
    /// heard of its end still reaches the other one (SIP-408).
    pub(crate) fn release(&mut self, cx: &mut Cx<'_>, was_answered: bool) {
        if let State::Active = self.state {
            self.state = State::Releasing;
            self.command(
                cx,
                Command::Release {
                    session: self.session,
                    endpoint: None,
                    drain_ms: if was_answered { DRAIN_MS } else { 0 },
                },
            );
        }
    }

    /// Whether the relay answers what it was asked last. An answer to an earlier question is of no use
    /// to anybody: who asked has given up, and given back what it might have got.
    pub(crate) fn is_last_answer(&mut self, event: &Event) -> bool {
        let is_last = match event {
            Event::Allocated { endpoints, .. } => {
                endpoints.first().map(|local| local.endpoint) == self.asked_last
            }
            Event::Refused { .. } => self.unanswered <= 1,
            _ => return true,
        };
        self.unanswered = match is_last {
            true => 0,
            false => self.unanswered.saturating_sub(1),
        };
        is_last
    }

    /// The relay reserved what was asked for.
    pub(crate) fn reserved(&mut self) {
        self.is_reserved = true;
    }

    /// The relay refused what was asked for. A session of which nothing was ever reserved does not
    /// exist, so there is nothing to release and no last word to wait for.
    pub(crate) fn refused(&mut self) {
        if !self.is_reserved {
            self.state = State::Unused;
        }
    }

    /// The relay's last word, or our loss of patience with it (then without figures).
    pub(crate) fn released(&mut self, stats: SessionStats) {
        self.state = State::Released(stats);
    }

    /// Whether the relay holds nothing for this call any more.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.state, State::Unused | State::Released(_))
    }

    /// Final figures.
    pub(crate) fn stats(&self) -> Option<&SessionStats> {
        match &self.state {
            State::Released(stats) => Some(stats),
            State::Unused | State::Active | State::Releasing => None,
        }
    }
}
