//! All signalling state of one shard, and the two methods that drive it.

mod admit;
mod adrift;
mod arrival;
mod command;
mod drain;
mod kept;
mod known;
mod letter;
mod load;
mod options;
mod over;
mod prove;
mod refer;
mod register;
mod removed;
mod replace;
mod room;
mod stateless;
mod sweep;
mod together;
mod ways;

use crate::call::{A_LEG, Call};
use crate::cause::CauseCode;
use crate::config::{Config, Trunk};
use crate::deadline::DeadlineQueue;
use crate::dialog::{Lookup, contact};
use crate::effect::{Effect, Effects};
use crate::event::DropCode;
use crate::hashed::Minted;
use crate::id::{CallId, LegId, ShardId, TransactionId};
use crate::input::Input;
use crate::mint::Mint;
use crate::overload::Overload;
use crate::plane::{Asker, Cx, Plane};
use crate::policy::ingress::{self, Addressed, Ingress};
use crate::policy::presence::Presence;
use crate::policy::{bound, emergency, secure};
use crate::record::CallPhase;
use crate::session::{LegStyle, hop_back, orphan};
use crate::sip::header::Replaces;
use crate::sip::{
    Capabilities, HeaderName, Message, Method, Objection, Reaction, Rejected, Rejection,
    RequestHead, ResponseBuilder, Status, Token,
};
use crate::tally::{Direction, Held, TrunkTally};
use crate::time::{Now, Timestamp};
use crate::transaction::{Indication, Manners, Owner, TimerSet};
use crate::transport::{Flow, Protocol};
use crate::trunk::{Probes, Registrars, Registrations};
use adrift::Adrift;
use arrival::{arrived, arrived_in_transaction, dropped, to_tag, to_tag_of};
pub use drain::{FADING, notices_silence};
use media_api::SessionId;
use options::asks_for_pause;
use prove::Proven;
use stateless::{answer_statelessly, is_stateless_tag, manners, reasons, says_cause};
use std::sync::Arc;
use sweep::Sweeper;
use together::Live;
pub use together::Together;
use ways::allow_alias;

/// All signalling state of one shard. The same configuration, seed and inputs give the same
/// effects, byte for byte (I3).
pub struct Core {
    plane: Plane,
    calls: Minted<CallId, Box<Entry>>,
    sessions: Minted<SessionId, CallId>,
    /// Calls in a phase that no event tells, for who counts them.
    phases: Minted<CallId, CallPhase>,
    deadlines: DeadlineQueue<CallId>,
    upkeep: Upkeep,
    is_draining: bool,
    /// Until then Teams may call although the node drains.
    fades_until: Option<Timestamp>,
    /// Whether a new call would leave no record although it must.
    is_unrecorded: bool,
    overload: Overload,
    sweeper: Sweeper,
    live: Live,
    adrift: Adrift,
    removed: removed::Removed,
    untold: known::Untold,
    /// The call whose input is being applied: the one to end after a panic.
    current: Option<CallId>,
    /// One of the process before this one that is being taken up.
    taking: Option<kept::Taking>,
    /// How the two clocks are related in what is kept of calls.
    epoch: Option<Now>,
}

/// What is done for trunks while nobody calls.
#[derive(Default)]
struct Upkeep {
    probes: Probes,
    registrations: Registrations,
    registrars: Registrars,
}

struct Entry {
    call: Call,
    /// As the shard's list of phases has it.
    phase: Option<CallPhase>,
    /// Digest of what is kept of it for the process after this one.
    kept: Option<u128>,
    /// Earliest entry of this call in the deadline queue.
    queued: Option<Timestamp>,
}

/// Sizes of every table, for leak checks and metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Census {
    /// Calls in any state.
    pub calls: usize,
    /// Dialogs, those that ended within the last 32 s included, names that were given to them, and
    /// INVITEs that another shard has.
    pub dialogs: usize,
    /// Transactions.
    pub transactions: usize,
    /// Open questions to the outside.
    pub queries: usize,
    /// ACKs kept for repeated answers.
    pub acks: usize,
    /// Media sessions that a call owns.
    pub media_sessions: usize,
    /// Places that calls take of limits, and set-ups that are watched for circles.
    pub places: usize,
    /// Contacts that peers have registered.
    pub bindings: usize,
}

impl Core {
    /// An empty shard. Two shards must not share a mint's seed. Health probes begin with the first
    /// [`Input::Config`], which the shell sends once its sockets are open.
    pub fn new(shard: ShardId, config: Arc<Config>, mint: Mint) -> Self {
        Self {
            plane: Plane::new(shard, config, mint),
            calls: Minted::default(),
            sessions: Minted::default(),
            phases: Minted::default(),
            deadlines: DeadlineQueue::default(),
            upkeep: Upkeep::default(),
            is_draining: false,
            fades_until: None,
            is_unrecorded: false,
            overload: Overload::default(),
            sweeper: Sweeper::default(),
            live: Live::default(),
            adrift: Adrift::default(),
            removed: Default::default(),
            untold: Default::default(),
            current: None,
            taking: None,
            epoch: None,
        }
    }

    /// The same shard, which also tells why what was not chosen was not
    /// ([`crate::event::Happened::Explained`]): for rehearsals, where a call may take its time.
    #[must_use]
    pub fn explaining(mut self) -> Self {
        self.plane.explains = true;
        self
    }

    /// The same shard, which takes every user for this: for rehearsals.
    #[must_use]
    pub fn assuming(mut self, presence: Presence) -> Self {
        self.plane.presences.assume(presence);
        self
    }

    /// Applies one input and appends everything that must happen because of it. Runs to
    /// completion; a time that is earlier than the last one is treated as that last one.
    pub fn apply(&mut self, now: Now, input: Input, out: &mut Effects) {
        out.begin(now);
        self.current = None;
        match input {
            Input::Received { flow, message } => self.received(now, &flow, message, out),
            Input::Malformed { flow, rejected } => self.malformed(&flow, rejected, out),
            Input::Stun { flow, bytes } => self.stun(now, &flow, &bytes, out),
            Input::FlowLost { flow, why } => {
                let mut up = Vec::new();
                let table = &mut self.plane.transactions;
                table.flow_lost(now.mono, flow, why, out, &mut up);
                self.indicate(now, up, None, out);
                self.keep_up(now, out, |upkeep, cx| {
                    upkeep.registrations.flow_lost(cx, flow);
                    upkeep.registrars.flow_lost(cx, flow);
                });
            }
            Input::SendFailed { transaction, why } => {
                let mut up = Vec::new();
                let table = &mut self.plane.transactions;
                table.send_failed(now.mono, transaction, why, out, &mut up);
                self.indicate(now, up, None, out);
            }
            Input::Returned { start, why } => {
                let mut up = Vec::new();
                let table = &mut self.plane.transactions;
                let transaction = table.request_of_ours(&start);
                let remote = transaction.and_then(|own| table.remote(own));
                if let Some(transaction) = transaction {
                    table.send_failed(now.mono, transaction, why, out, &mut up);
                }
                self.indicate(now, up, None, out);
                self.keep_up(now, out, |upkeep, cx| {
                    if let Some(remote) = remote {
                        upkeep.registrations.unreachable(cx, remote);
                    }
                });
            }
            Input::Leaves {
                transaction,
                within,
            } => {
                let owner = self.plane.transactions.owner(transaction);
                if let Some(Owner::Leg(call, leg)) = owner {
                    self.with_call(now, call, out, |call, cx| {
                        call.invite_leaves(cx, leg, transaction, within);
                    });
                }
            }
            Input::Outcome(query, outcome) => match self.plane.queries.close(query) {
                Some(Asker::Leg(call, leg)) => {
                    self.with_call(now, call, out, |call, cx| {
                        call.outcome(cx, leg, query, &outcome);
                    });
                }
                Some(Asker::Call(call)) => {
                    self.with_call(now, call, out, |call, cx| {
                        call.verified(cx, Some((query, &outcome)));
                    });
                }
                Some(Asker::Probe(id)) => {
                    self.keep_up(now, out, |upkeep, cx| {
                        upkeep.probes.outcome(cx, id, query, &outcome);
                    });
                }
                Some(Asker::Registration(id)) => {
                    self.keep_up(now, out, |upkeep, cx| {
                        upkeep.registrations.outcome(cx, id, query, &outcome);
                    });
                }
                Some(Asker::Response(id)) => self.way_back_found(id, &outcome, out),
                None => {}
            },
            Input::Media(event) => {
                if let Some(call) = self.sessions.get(&event.session()).copied() {
                    self.with_call(now, call, out, |call, cx| call.media_event(cx, event));
                }
            }
            Input::Command(id, command) => self.command(now, id, command, out),
            Input::Config(config) => self.configure(now, config, out),
            Input::TargetHealth { target, state } => self.plane.health.note(&target, state),
            Input::Lag(waited) => {
                let news = self.overload.note(now.mono, waited);
                self.tell_stage(news, out);
            }
            Input::Strain(strain) => {
                let news = self.overload.strained(strain);
                self.tell_stage(news, out);
            }
            Input::Unrecorded(is_unrecorded) => self.is_unrecorded = is_unrecorded,
            Input::Journal(is_kept) => self.keep_journal(now, is_kept, out),
            Input::Registration(standing) => self.plane.standings.note(&standing),
            Input::Bindings(bound) => self.plane.bindings.note(&bound),
            Input::Restored(all) => {
                self.keep_up(now, out, |upkeep, cx| upkeep.registrars.restore(cx, &all));
            }
            Input::Presence(heard) => {
                self.plane
                    .presences
                    .note(now.mono, &self.plane.config, &heard)
            }
            Input::Letter(letter) => self.read(now, &letter, out),
            Input::Found(found) => self.take_up(now, *found, out),
            Input::Tick => self.tick(now, out),
        }
        let is_quiet = self.is_quiet();
        self.sweeper.watch(now.mono, is_quiet);
        self.show_sizes();
        self.post(now, out);
    }

    /// When [`Input::Tick`] is next wanted.
    pub fn deadline(&self) -> Option<Timestamp> {
        [
            self.plane.transactions.next_deadline(),
            self.plane.dialogs.next_deadline(),
            self.plane.aliases.next_deadline(),
            self.plane.away.next_deadline(),
            self.plane.acks.next_deadline(),
            self.plane.circles.next_deadline(),
            self.sweeper.next_deadline(),
            self.deadlines.next(),
            self.removed.next_deadline(),
            self.untold.next_deadline(),
            self.upkeep.probes.next_deadline(),
            self.upkeep.registrations.next_deadline(),
            self.upkeep.registrars.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// After a panic inside [`Self::apply`]: ends the call whose input was being applied. What the
    /// interrupted step had already put into `out` should be discarded by the caller.
    pub fn recover(&mut self, now: Now, out: &mut Effects) {
        out.begin(now);
        let Some(call) = self.current.take() else {
            return;
        };
        self.recover_taking(now, out);
        self.with_call(now, call, out, |call, cx| call.poisoned(cx));
        self.post(now, out);
    }

    /// Forgets a call that could not even be ended by [`Self::recover`]: its media is given back
    /// and nothing else is attempted.
    pub fn abandon(&mut self, now: Now, out: &mut Effects) {
        if let Some(id) = self.current.take() {
            self.drop_call(now, id, out);
            self.forget_dialogs(now, out);
        }
    }

    /// Ends the dialogs of calls that are gone. Whoever has handed one over need not pass its requests
    /// on any more.
    fn forget_dialogs(&mut self, now: Now, out: &mut Effects) {
        let calls = &self.calls;
        let gone = self.plane.dialogs.orphans(|call| calls.contains_key(&call));
        for tag in gone {
            self.plane.dialog_ended(now.mono, &tag, None);
        }
        self.post(now, out);
    }

    /// Sizes of every table.
    pub fn census(&self) -> Census {
        Census {
            calls: self.calls.len(),
            dialogs: self.plane.dialogs.len() + self.plane.aliases.len() + self.plane.away.len(),
            transactions: self.plane.transactions.len(),
            queries: self.plane.queries.len(),
            acks: self.plane.acks.len(),
            media_sessions: self.sessions.len(),
            places: self.plane.admission.taken() + self.plane.circles.len(),
            bindings: self.upkeep.registrars.len(),
        }
    }

    /// Shows how many transactions and dialogs there are.
    fn show_sizes(&self) {
        let of = self.plane.transactions.sizes();
        let number = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
        let dialogs = &self.plane.dialogs;
        let ended = dialogs.ended();
        self.plane.tally.holds(Held {
            invite_clients: number(of.invite_clients),
            clients: number(of.clients),
            invite_servers: number(of.invite_servers),
            servers: number(of.servers),
            dialogs: number(dialogs.len().saturating_sub(ended)),
            ended_dialogs: number(ended),
        });
    }

    /// Takes a configuration into use; calls keep the one they were admitted with.
    fn configure(&mut self, now: Now, config: Arc<Config>, out: &mut Effects) {
        let before = std::mem::replace(&mut self.plane.config, Arc::clone(&config));
        self.plane.relief.keep(|trunk| {
            let trunk = config.trunks.get(trunk);
            trunk.is_some_and(|trunk| trunk.habits.overload_control)
        });
        self.plane.health.keep(|trunk| {
            let trunk = config.trunks.get(trunk);
            trunk.is_some_and(|trunk| trunk.options.is_some())
        });
        // Peers are probed once per node, not once per shard.
        if self.plane.shard == ShardId(0) {
            self.keep_up(now, out, |upkeep, cx| {
                upkeep.probes.configure(cx, &config);
                upkeep.registrations.configure(cx, &config);
                upkeep.registrars.configure(cx, &before, &config);
            });
        }
        let registrations = &self.upkeep.registrations;
        self.plane.nonces.keep(|name| {
            let trunk = config.trunks.get(name);
            trunk.is_some_and(|trunk| trunk.digest.is_some()) || registrations.takes_back(name)
        });
        let relays = |trunk: &Trunk| !trunk.habits.relay_auth.is_empty();
        let intervals = &mut self.plane.intervals;
        intervals.retain(|name, _| config.trunks.get(name).is_some_and(|own| relays(own)));
        self.plane.bindings.keep(|trunk| {
            let trunk = config.trunks.get(trunk);
            trunk.is_some_and(|trunk| trunk.registrar.is_some())
        });
        self.plane.presences.keep(&config);
        self.plane.talking.keep(&config);
        self.plane.standings.keep(|trunk| {
            let trunk = config.trunks.get(trunk);
            trunk.is_some_and(|trunk| trunk.register.is_some())
        });
        self.note_removed(now, &before, out);
    }

    fn keep_up(
        &mut self,
        now: Now,
        out: &mut Effects,
        step: impl FnOnce(&mut Upkeep, &mut Cx<'_>),
    ) {
        let mut cx = Cx {
            now,
            plane: &mut self.plane,
            out,
        };
        step(&mut self.upkeep, &mut cx);
    }

    fn tick(&mut self, now: Now, out: &mut Effects) {
        self.keep_up(now, out, |upkeep, cx| {
            upkeep.probes.tick(cx);
            upkeep.registrations.tick(cx);
            upkeep.registrars.tick(cx);
        });
        self.plane.dialogs.tick(now.mono);
        self.plane.aliases.tick(now.mono);
        self.plane.away.tick(now.mono);
        self.plane.acks.tick(now.mono);
        self.plane.circles.tick(now.mono);
        self.sweep(now, out);
        self.end_removed(now, out);
        self.tell_untold(now, out);
        let mut up = Vec::new();
        self.plane.transactions.tick(now.mono, out, &mut up);
        self.indicate(now, up, None, out);
        while let Some(id) = self.deadlines.pop_due(now.mono) {
            let Some(entry) = self.calls.get_mut(&id) else {
                continue;
            };
            entry.queued = None;
            self.with_call(now, id, out, |call, cx| {
                if call.next_deadline().is_some_and(|at| at <= cx.now.mono) {
                    call.tick(cx);
                }
            });
        }
    }

    fn received(&mut self, now: Now, flow: &Flow, message: Message, out: &mut Effects) {
        if message.is_response() {
            if message.has_endless_list() {
                return dropped(DropCode::Malformed, flow, out);
            }
            let owner = self.plane.transactions.owner_of(&message);
            arrived_in_transaction(owner, flow, &message, out);
            let mut up = Vec::new();
            let manners = Manners::default();
            self.plane
                .receive(now.mono, flow, message, &manners, out, &mut up);
            return self.indicate(now, up, None, out);
        }
        if self.passes_on(now, flow, &message, out) {
            return;
        }
        let ingress = match self.prove(now, flow, &message, out) {
            Proven::ByItself => self.identify(flow, &message),
            Proven::By(ingress) => Ok(ingress),
            Proven::Done => return,
        };
        let ingress = match ingress {
            Ok(ingress) => ingress,
            // What has an answer has it again, though its sender is not configured any more.
            Err(_) if self.plane.transactions.repeats(&message, flow.remote.ip()) => {
                let owner = self.plane.transactions.owner_of(&message);
                arrived_in_transaction(owner, flow, &message, out);
                let (mut up, manners) = (Vec::new(), Manners::default());
                self.plane
                    .receive(now.mono, flow, message, &manners, out, &mut up);
                return self.indicate(now, up, None, out);
            }
            Err(DropCode::UnknownHost) => {
                dropped(DropCode::UnknownHost, flow, out);
                if let Some(mut head) = RequestHead::of(&message) {
                    let config = &self.plane.config;
                    answer_statelessly(config, flow, Status::NOT_FOUND, &mut head, out);
                }
                return;
            }
            Err(why) => return dropped(why, flow, out),
        };
        let tally = self.plane.tally.of(&ingress.trunk.name);
        tally.request(Direction::In, message.method().into(), flow.protocol);
        let message = self.told_load(now, message, &ingress.trunk);
        let owner = self.plane.transactions.known_owner_of(&message);
        // What was answered gets the same answer again (RFC 3261 §17.2.2).
        let is_new = owner.is_none();
        if is_new
            && (self.sheds(now, flow, &message, &ingress, out)
                || self.asks_around(flow, &message, &ingress))
        {
            return;
        }
        let owner = owner.unwrap_or(Owner::Nobody);
        self.taken(now, (owner, tally), flow, message, ingress, out);
    }

    /// A request that is known to be a trunk's, counted there, and not one too many.
    fn taken(
        &mut self,
        now: Now,
        (owner, tally): (Owner, Arc<TrunkTally>),
        flow: &Flow,
        message: Message,
        ingress: Ingress,
        out: &mut Effects,
    ) {
        self.tells_where(&message, out);
        allow_alias(flow, &message, &ingress.trunk, out);
        arrived_in_transaction(owner, flow, &message, out);
        let mut up = Vec::new();
        let manners = manners(&self.plane.config, &ingress.trunk, tally);
        self.plane
            .receive(now.mono, flow, message, &manners, out, &mut up);
        self.indicate(now, up, Some(ingress), out);
    }

    /// Whose request it is, or how it is dropped. A peer that the configuration does not know any
    /// more may still speak in the dialogs of its running calls, and in the transactions of those that are
    /// set up: it may repeat its INVITE, and cancel it.
    fn identify(&self, flow: &Flow, message: &Message) -> Result<Ingress, DropCode> {
        let standings = &self.plane.standings;
        let addressed = Addressed::of(message);
        let identify = |config| ingress::identify_among(config, standings, flow, addressed);
        let found = identify(&self.plane.config);
        found.or_else(|why| {
            let (call, leg) = to_tag(message)
                .map(|tag| self.plane.dialogs.find(&tag))
                .and_then(|lookup| match lookup {
                    Lookup::Live(call, leg) => Some((&self.calls.get(&call)?.call, leg)),
                    Lookup::Ended(..) | Lookup::Moved(_) | Lookup::Unknown => None,
                })
                .or_else(|| match self.plane.transactions.owner_of(message) {
                    Owner::Leg(call, leg) => Some((&self.calls.get(&call)?.call, leg)),
                    _ => None,
                })
                .ok_or(why)?;
            match call.proven_peer(leg, flow) {
                Some(known) => Ok(known),
                None => identify(call.config()),
            }
        })
    }

    fn malformed(&mut self, flow: &Flow, rejected: Rejected, out: &mut Effects) {
        let (config, source) = (&self.plane.config, flow.remote.ip());
        let is_known = ingress::admits_source(config, &flow.listener, source)
            || ingress::admits_registrar(config, &self.plane.standings, &flow.listener, source);
        if !is_known {
            return dropped(DropCode::Stranger, flow, out);
        }
        dropped(DropCode::Malformed, flow, out);
        let Reaction::Answer { status, mut head } = rejected.reaction else {
            return;
        };
        answer_statelessly(config, flow, status, &mut head, out);
    }

    /// Applies a step to one call and sees to its deadline and its end.
    fn with_call(
        &mut self,
        now: Now,
        id: CallId,
        out: &mut Effects,
        step: impl FnOnce(&mut Call, &mut Cx<'_>),
    ) {
        self.current = Some(id);
        let Some(entry) = self.calls.get_mut(&id) else {
            return;
        };
        let mut cx = Cx {
            now,
            plane: &mut self.plane,
            out,
        };
        step(&mut entry.call, &mut cx);
        self.look_after(now, id, out);
    }

    /// Hands what the transaction layer says to the calls.
    fn indicate(
        &mut self,
        now: Now,
        up: Vec<Indication>,
        mut ingress: Option<Ingress>,
        out: &mut Effects,
    ) {
        for indication in up {
            match indication {
                Indication::Request { id, flow, message } => {
                    let Some(from) = ingress.take() else {
                        continue;
                    };
                    self.request(now, id, &flow, message, from, out);
                }
                Indication::Unmatched { flow, message } => {
                    self.malformed(&flow, Rejected::unmatched(&message), out);
                }
                Indication::Cancelled {
                    owner: Owner::Leg(call, leg),
                    message,
                    ..
                } => {
                    self.with_call(now, call, out, |call, cx| call.cancelled(cx, leg, &message));
                }
                Indication::Ack { flow, message, .. } => self.ack(now, &flow, &message, out),
                Indication::Response {
                    id,
                    owner: Owner::Leg(call, leg),
                    message,
                    flow,
                    tls,
                } => {
                    if self.calls.contains_key(&call) {
                        self.with_call(now, call, out, |call, cx| {
                            if asks_for_pause(&message) && call.is_with_teams(leg) {
                                cx.out.push(Effect::RetireFlow(flow));
                            }
                            call.response(cx, leg, (id, tls), &message);
                        });
                    } else if message.status().is_some_and(Status::is_success) {
                        // The answer to a call that is gone: its ACK was lost (SIP-212), or
                        // another phone answered as well (SIP-221).
                        let tag = to_tag_of(&message);
                        if !self.plane.acks.repeat(id, &tag, out) {
                            let plane = &mut self.plane;
                            orphan::end(&mut Cx { now, plane, out }, id, &message);
                        }
                    }
                }
                Indication::Response {
                    id,
                    owner: Owner::Probe(probe),
                    message,
                    ..
                } => {
                    self.keep_up(now, out, |upkeep, cx| {
                        upkeep.probes.response(cx, probe, id, &message);
                    });
                }
                Indication::TimedOut {
                    id,
                    owner: Owner::Probe(probe),
                } => {
                    self.keep_up(now, out, |upkeep, cx| {
                        upkeep.probes.failed(cx, probe, id, None)
                    });
                }
                Indication::TransportFailed {
                    id,
                    owner: Owner::Probe(probe),
                    why,
                } => {
                    self.keep_up(now, out, |upkeep, cx| {
                        upkeep.probes.failed(cx, probe, id, Some(why));
                    });
                }
                Indication::Response {
                    id,
                    owner: Owner::Registration(registration),
                    message,
                    flow,
                    ..
                } => {
                    self.keep_up(now, out, |upkeep, cx| {
                        upkeep
                            .registrations
                            .response(cx, registration, id, flow, &message);
                    });
                }
                Indication::TimedOut {
                    id,
                    owner: Owner::Registration(registration),
                } => {
                    self.keep_up(now, out, |upkeep, cx| {
                        upkeep.registrations.failed(cx, registration, id, None);
                    });
                }
                Indication::TransportFailed {
                    id,
                    owner: Owner::Registration(registration),
                    why,
                } => {
                    self.keep_up(now, out, |upkeep, cx| {
                        upkeep.registrations.failed(cx, registration, id, Some(why));
                    });
                }
                Indication::TimedOut {
                    id,
                    owner: Owner::Leg(call, leg),
                } => {
                    self.with_call(now, call, out, |call, cx| {
                        call.request_failed(cx, leg, id, None);
                    });
                }
                Indication::TransportFailed {
                    id,
                    owner: Owner::Leg(call, leg),
                    why,
                } => {
                    self.with_call(now, call, out, |call, cx| {
                        call.request_failed(cx, leg, id, Some(why));
                    });
                }
                Indication::WayLost {
                    owner: Owner::Leg(call, A_LEG),
                    why,
                } => self.caller_lost(now, call, &why, out),
                Indication::Unreturned(response) => self.locate_way_back(now, &response, out),
                Indication::Cancelled { .. }
                | Indication::WayLost { .. }
                | Indication::Response { .. }
                | Indication::TimedOut { .. }
                | Indication::TransportFailed { .. }
                | Indication::NoAck { .. } => {}
            }
        }
    }

    fn ack(&mut self, now: Now, flow: &Flow, message: &Message, out: &mut Effects) {
        let lookup = to_tag(message).map(|tag| self.plane.dialogs.find(&tag));
        let Some(Lookup::Live(call, leg)) = lookup else {
            return match lookup {
                Some(Lookup::Ended(..)) => {}
                _ if to_tag(message).is_some_and(|tag| is_stateless_tag(&tag)) => {}
                _ => dropped(DropCode::StrayAck, flow, out),
            };
        };
        arrived(Some(call), Some(leg), flow, message, out);
        self.with_call(now, call, out, |call, cx| {
            call.acknowledged(cx, leg, message)
        });
    }

    /// Whether a message that came in on this trunk may concern a leg.
    fn admits(&self, call: CallId, leg: LegId, trunk: &Trunk, flow: &Flow) -> bool {
        self.calls
            .get(&call)
            .is_some_and(|entry| entry.call.admits(leg, trunk, flow))
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "facts of one arrival, used in one place"
    )]
    fn request(
        &mut self,
        now: Now,
        id: TransactionId,
        flow: &Flow,
        message: Message,
        ingress: Ingress,
        out: &mut Effects,
    ) {
        let style = LegStyle {
            config: Arc::clone(&self.plane.config),
            trunk: Arc::clone(&ingress.trunk),
            contact_user: self.plane.contact_user(&ingress.trunk),
            session_id: None,
        };
        if let Some(tls) = hop_back(&style, flow).tls {
            self.plane.transactions.set_way_back(id, tls);
        }
        let timers = TimerSet::from(&style.trunk.timers);
        self.plane.transactions.set_timers(now.mono, id, timers);
        let tag = to_tag(&message);
        if bound::is_for_any(&message, tag.is_some())
            && let Some(refusal) = bound::refusal(&message, &style.trunk)
        {
            arrived(None, None, flow, &message, out);
            dropped(DropCode::Malformed, flow, out);
            return self.reply(now, id, &message, &style, refusal.status, out);
        }
        if let Some(tag) = tag {
            return match self.plane.dialogs.find(&tag) {
                Lookup::Live(call, leg) if !self.admits(call, leg, &style.trunk, flow) => {
                    arrived(None, None, flow, &message, out);
                    dropped(DropCode::UnknownDialog, flow, out);
                    self.reply(now, id, &message, &style, Status::CALL_DOES_NOT_EXIST, out);
                }
                Lookup::Live(call, leg) => {
                    arrived(Some(call), Some(leg), flow, &message, out);
                    self.with_call(now, call, out, |call, cx| {
                        call.request(cx, leg, id, flow, &message);
                    });
                }
                Lookup::Ended(call, leg) => {
                    arrived(Some(call), Some(leg), flow, &message, out);
                    // A BYE that crossed ours is right in its own way (SIP-304).
                    let status = match message.method() {
                        Method::Bye => Status::OK,
                        _ => Status::CALL_DOES_NOT_EXIST,
                    };
                    self.reply(now, id, &message, &style, status, out);
                }
                Lookup::Moved(_) | Lookup::Unknown => {
                    arrived(None, None, flow, &message, out);
                    dropped(DropCode::UnknownDialog, flow, out);
                    self.reply(now, id, &message, &style, Status::CALL_DOES_NOT_EXIST, out);
                }
            };
        }
        if *message.method() == Method::Subscribe {
            // There is no event here to subscribe to, `refer` without a transfer included.
            arrived(None, None, flow, &message, out);
            dropped(DropCode::MethodNotAllowed, flow, out);
            return self.reply_with(
                now,
                id,
                &message,
                &style,
                Status::BAD_EVENT,
                out,
                |response| response.raw_if_valid(HeaderName::AllowEvents, "refer"),
            );
        }
        if let (Method::Register, Some(own)) = (message.method(), &ingress.trunk.registrar) {
            return self.registering(now, id, flow, &message, &style, own, out);
        }
        let capabilities = style.capabilities_inviting(&message);
        let is_unheard_of = |rejection: &Rejection| {
            let config = &self.plane.config;
            rejection.why != Objection::MediaType || !emergency::seems(config, &ingress, &message)
        };
        if let Some(rejection) = capabilities.check(&message).err().filter(is_unheard_of) {
            arrived(None, None, flow, &message, out);
            let why = match rejection.why {
                Objection::UnknownMethod | Objection::MethodNotAllowed => {
                    DropCode::MethodNotAllowed
                }
                _ => DropCode::Malformed,
            };
            dropped(why, flow, out);
            return self.reject(now, id, &message, &style, capabilities, &rejection, out);
        }
        let is_secure = secure::is_asked(&message);
        if is_secure && flow.protocol != Protocol::Tls {
            // Whoever promises security from end to end does not begin without (SIP-134).
            arrived(None, None, flow, &message, out);
            dropped(DropCode::Malformed, flow, out);
            return self.reply(now, id, &message, &style, Status::FORBIDDEN, out);
        }
        if Self::misuses_replaces(&message) {
            arrived(None, None, flow, &message, out);
            dropped(DropCode::Malformed, flow, out);
            return self.reply(now, id, &message, &style, Status::BAD_REQUEST, out);
        }
        match message.method() {
            Method::Invite
                if contact(&message).map_or(true, |own| is_secure && !secure::is_sips(&own)) =>
            {
                // Without it there can be no dialog, so nobody need be rung, and without `sips` none
                // that stays as secure as it begins (RFC 3261 §8.1.1.8).
                arrived(None, None, flow, &message, out);
                dropped(DropCode::Malformed, flow, out);
                self.reply(now, id, &message, &style, Status::BAD_REQUEST, out);
            }
            Method::Invite => match message.get::<Replaces>().ok().flatten() {
                Some(replaces) => {
                    self.replacing(now, id, flow, message, &replaces, ingress, &style, out);
                }
                None => self.invited(now, id, flow, message, ingress, &style, out),
            },
            Method::Options => {
                arrived(None, None, flow, &message, out);
                self.answer_options(now, id, flow, &message, &style, out);
            }
            Method::Refer => self.referred(now, id, flow, &message, &style, out),
            Method::Message => {
                arrived(None, None, flow, &message, out);
                dropped(DropCode::MethodNotAllowed, flow, out);
                self.refuse_page(now, id, &message, &style, out);
            }
            _ => {
                // Every other method that we allow lives in a dialog.
                arrived(None, None, flow, &message, out);
                dropped(DropCode::UnknownDialog, flow, out);
                self.reply(now, id, &message, &style, Status::CALL_DOES_NOT_EXIST, out);
            }
        }
    }

    fn reply(
        &mut self,
        now: Now,
        id: TransactionId,
        message: &Message,
        style: &LegStyle,
        status: Status,
        out: &mut Effects,
    ) {
        self.reply_with(now, id, message, style, status, out, |response| response);
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "facts of one arrival, used in one place"
    )]
    pub(super) fn reply_with(
        &mut self,
        now: Now,
        id: TransactionId,
        message: &Message,
        style: &LegStyle,
        status: Status,
        out: &mut Effects,
        finish: impl FnOnce(ResponseBuilder) -> ResponseBuilder,
    ) {
        let tag = Token::from_minted(self.plane.mint.tag());
        let response = finish(ResponseBuilder::to(message, status, Some(&tag)));
        let response = response.headers(&reasons(&style.trunk, message.method(), status));
        let cause = match status {
            Status::SERVICE_UNAVAILABLE if self.sends_away(now, &style.trunk) => {
                Some(CauseCode::Operator)
            }
            status => CauseCode::before_a_call(status),
        };
        let response = says_cause(response, &style.trunk, message, cause);
        let bytes = style.sign_response(response).build();
        self.plane
            .transactions
            .respond(now.mono, id, status, bytes, out);
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "facts of one arrival, used in one place"
    )]
    fn reject(
        &mut self,
        now: Now,
        id: TransactionId,
        message: &Message,
        style: &LegStyle,
        capabilities: &Capabilities,
        rejection: &Rejection,
        out: &mut Effects,
    ) {
        let tag = Token::from_minted(self.plane.mint.tag());
        let Some(head) = RequestHead::of(message) else {
            return;
        };
        let response = capabilities.refuse(&head, rejection, Some(&tag));
        let reasons = reasons(&style.trunk, message.method(), rejection.status);
        let response = response.headers(&reasons);
        let cause = CauseCode::before_a_call(rejection.status);
        let response = says_cause(response, &style.trunk, message, cause);
        let bytes = style.sign_response(response).build();
        self.plane
            .transactions
            .respond(now.mono, id, rejection.status, bytes, out);
    }
}
