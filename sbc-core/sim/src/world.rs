//! The world: everything around the SBC, in one thread, with a clock that jumps.

use crate::actor::{Actor, Agent, Input as ActorInput, Intent, Line, PartyView, Say, target_of};
use crate::agenda::Agenda;
use crate::check::{Checkers, End, Rules, Seen, Violation};
use crate::fault::{ActorIndex, Trouble};
use crate::media::FakeRelay;
use crate::net::{Arrival, ConnectionId, Net, Sending, Waiting, actor_at};
use crate::resolver::Resolver;
use crate::scenario::{Happening, Scenario};
use crate::subject::{Residue, Subject};
use crate::topology;
use crate::trace::Trace;
use crate::wire::Wire;
use media_api::{Digit, Intake};
use sbc_core::effect::{Effect, Effects};
use sbc_core::event::Happened;
use sbc_core::id::{CommandId, FlowId, QueryId, ShardId, TransactionId};
use sbc_core::input::{Command, Input};
use sbc_core::letter::Letter;
use sbc_core::query::Outcome;
use sbc_core::record::Record;
use sbc_core::sip::header::{CSeq, CallId, From, To, Via};
use sbc_core::sip::{Limits, Message};
use sbc_core::time::{Now, Timestamp, UnixTime};
use sbc_core::transport::framer::Frame;
use sbc_core::transport::{Flow, FlowFault, Protocol};
use sbc_core::trunk::{Bound, TargetId, TargetState};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// When calls that are still up are looked at: every fault is over for long.
const INSPECTION: Duration = Duration::from_secs(115);
/// When every party hangs up what is left.
const CLOSING: Duration = Duration::from_secs(116);
/// From when on the tables must become empty.
const EMPTYING: Duration = Duration::from_secs(200);
/// The end of the world.
const END: Duration = Duration::from_secs(265);
/// Wall-clock time at which worlds begin: 2026-01-01T00:00:00Z.
const EPOCH_US: u64 = 1_767_225_600_000_000;
/// More inputs than this at one instant mean that time does not go on.
const MOST_AT_ONCE: usize = 20_000;

/// How long a key is pressed.
const PRESSED: Duration = Duration::from_millis(100);

/// What is due.
enum Due {
    Told(ActorIndex, Intent),
    Asked(ShardId, QueryId, Outcome),
    Media(media_api::Event),
    Health(TargetId, TargetState),
    Bound(Arc<Bound>),
    Letter(ShardId, Letter),
    Failed(ShardId, TransactionId, FlowFault),
    Reset(ActorIndex),
    Other(Happening),
    Inspect,
}

/// The result of a scenario.
#[derive(Debug)]
pub struct Run {
    /// Rules that were broken, in order.
    pub violations: Vec<Violation>,
    /// Hash over everything that happened.
    pub hash: u64,
    /// What every party saw of every call.
    pub views: Vec<PartyView>,
    /// Call records.
    pub records: Vec<Record>,
    /// Every message the SBC sent: to whom, and what.
    pub sent: Vec<(Timestamp, Option<ActorIndex>, Wire)>,
    /// Facts the SBC reported, records and messages aside.
    pub facts: Vec<Happened>,
    /// Inputs that were applied.
    pub inputs: usize,
    /// What happened, message by message, if it was to be kept.
    pub ladder: Vec<String>,
}

impl Run {
    /// What the caller of a call saw.
    pub fn caller(&self, call: usize) -> &PartyView {
        let mut views = self.views.iter();
        views
            .find(|view| view.call == call && view.is_caller)
            .unwrap_or_else(|| panic!("call {call} was never placed"))
    }

    /// What each callee of a call saw that the call reached.
    pub fn callees(&self, call: usize) -> Vec<&PartyView> {
        self.views
            .iter()
            .filter(|v| v.call == call && !v.is_caller)
            .collect()
    }

    /// What the only callee of a call saw.
    pub fn callee(&self, call: usize) -> &PartyView {
        let callees = self.callees(call);
        assert_eq!(
            callees.len(),
            1,
            "call {call} reached {} callees",
            callees.len()
        );
        callees[0]
    }
}

/// Everything around the SBC.
pub struct World<'a> {
    scenario: &'a Scenario,
    subject: Box<dyn Subject>,
    now: Timestamp,
    agenda: Agenda<Due>,
    arrivals: Agenda<Arrival>,
    net: Net,
    resolver: Resolver,
    relay: FakeRelay,
    actors: Vec<Agent>,
    checkers: Checkers,
    trace: Trace,
    effects: Effects,
    run: Run,
    inspected: Vec<PartyView>,
    least: Option<Residue>,
    /// Branches of what arrived and was no sound message: answers to it may be repeated later.
    garbage: BTreeSet<String>,
    answers_garbage: bool,
    is_broken: bool,
}

impl<'a> World<'a> {
    /// A world for a scenario.
    pub fn new(scenario: &'a Scenario, subject: Box<dyn Subject>, keeps_ladder: bool) -> Self {
        let seed = scenario.seed;
        let actors =
            (0..topology::ACTORS).map(|n| Agent::new(topology::place(n, scenario.setting), seed));
        let mut world = Self {
            scenario,
            subject,
            now: Timestamp::ZERO,
            agenda: Agenda::default(),
            arrivals: Agenda::default(),
            net: Net::new(seed, scenario.latency, scenario.jitter),
            resolver: Resolver::new(scenario.zone),
            relay: FakeRelay::new(seed),
            actors: actors.collect(),
            checkers: Checkers::new(Rules::of(scenario)),
            trace: Trace::new(keeps_ladder),
            effects: Effects::default(),
            run: Run {
                violations: Vec::new(),
                hash: 0,
                views: Vec::new(),
                records: Vec::new(),
                sent: Vec::new(),
                facts: Vec::new(),
                inputs: 0,
                ladder: Vec::new(),
            },
            inspected: Vec::new(),
            least: None,
            garbage: BTreeSet::new(),
            answers_garbage: false,
            is_broken: false,
        };
        world.plan();
        world
    }

    fn plan(&mut self) {
        let at = |after: Duration| Timestamp::ZERO + after;
        for call in &self.scenario.calls {
            for (actor, script) in &call.scripts {
                let expect = Intent::Expect(call.dial.to.clone(), script.clone());
                self.agenda.note(Timestamp::ZERO, Due::Told(*actor, expect));
            }
            for (actor, script) in &call.targets {
                // Teams calls itself by the number that was called, a carrier the one that calls, or another one outside.
                let numbers = match *actor < topology::NORTH_1 {
                    true => vec![target_of(&call.dial.to), call.dial.from.clone()],
                    false => vec![topology::further_number(call.dial.call)],
                };
                for number in numbers {
                    let expect = Intent::Expect(number, script.clone());
                    self.agenda.note(Timestamp::ZERO, Due::Told(*actor, expect));
                }
            }
            for (actor, script) in &call.moved {
                let number = topology::moved_number(call.dial.call);
                let expect = Intent::Expect(number, script.clone());
                self.agenda.note(Timestamp::ZERO, Due::Told(*actor, expect));
            }
            let dial = Intent::Dial(call.dial.clone());
            self.agenda.note(at(call.at), Due::Told(call.caller, dial));
        }
        for fault in &self.scenario.faults {
            if let Trouble::Reset { actor } = fault.trouble {
                self.agenda.note(at(fault.from), Due::Reset(actor));
            }
        }
        for extra in &self.scenario.extras {
            self.agenda
                .note(at(extra.at), Due::Other(extra.what.clone()));
        }
        self.agenda.note(at(INSPECTION), Due::Inspect);
        for actor in 0..topology::ACTORS {
            self.agenda
                .note(at(CLOSING), Due::Told(actor, Intent::HangUpAll));
        }
    }

    /// Runs to the end and judges.
    pub fn run(mut self) -> Run {
        let end = Timestamp::ZERO + END;
        let mut at_once = 0;
        while !self.is_broken {
            let Some(next) = self.next_instant().filter(|next| *next <= end) else {
                break;
            };
            if next > self.now {
                self.now = next;
                at_once = 0;
                self.sample();
            }
            at_once += 1;
            if at_once > MOST_AT_ONCE {
                self.violated(
                    "limit-step",
                    format!("time stands still after {at_once} inputs"),
                );
                break;
            }
            self.step();
        }
        self.finish()
    }

    fn next_instant(&self) -> Option<Timestamp> {
        let shards = (0..self.subject.shards()).filter_map(|n| self.subject.deadline(ShardId(n)));
        let actors = self.actors.iter().filter_map(Agent::deadline);
        let rest = self.agenda.next().into_iter().chain(self.arrivals.next());
        let next = shards.chain(actors).chain(rest).min()?;
        Some(next.max(self.now))
    }

    /// Does one thing that is due, in a fixed order: network, scenario, shards, actors.
    fn step(&mut self) {
        if let Some(arrival) = self.arrivals.take(self.now) {
            return self.arrive(arrival);
        }
        if let Some(due) = self.agenda.take(self.now) {
            return self.due(due);
        }
        for shard in (0..self.subject.shards()).map(ShardId) {
            if self
                .subject
                .deadline(shard)
                .is_some_and(|at| at <= self.now)
            {
                return self.apply(shard, Input::Tick);
            }
        }
        for actor in 0..self.actors.len() {
            if self.actors[actor]
                .deadline()
                .is_some_and(|at| at <= self.now)
            {
                return self.tell(actor, ActorInput::Tick);
            }
        }
    }

    fn sample(&mut self) {
        if self.now.since(Timestamp::ZERO) < EMPTYING || self.least.is_some_and(Residue::is_empty) {
            return;
        }
        let residue = self.subject.residue();
        if self
            .least
            .is_none_or(|least| residue.total() < least.total())
        {
            self.least = Some(residue);
        }
    }

    fn apply(&mut self, shard: ShardId, input: Input) {
        let now = Now {
            mono: self.now,
            wall: UnixTime::from_micros(EPOCH_US + self.now.as_micros()),
        };
        self.run.inputs += 1;
        self.answers_garbage = match &input {
            Input::Malformed { .. } => true,
            Input::Received { message, .. } => !is_sound(message),
            _ => false,
        };
        self.trace.value(self.now, &shard);
        match &input {
            // The message is hashed as bytes; its index is derived from them.
            Input::Received { flow, message } => {
                self.trace.value(self.now, flow);
                self.trace.bytes(message.bytes());
            }
            other => self.trace.value(self.now, other),
        }
        let mut effects = std::mem::take(&mut self.effects);
        let result = self.subject.apply(shard, now, input, &mut effects);
        if let Err(text) = result {
            self.violated("panic", text);
            self.is_broken = true;
        }
        let produced: Vec<Effect> = effects.drain().collect();
        self.effects = effects;
        self.checkers.produced(self.now, produced.len());
        for effect in produced {
            self.carry_out(shard, effect);
        }
    }

    fn carry_out(&mut self, shard: ShardId, effect: Effect) {
        match &effect {
            Effect::Send {
                hop,
                bytes,
                transaction,
                call,
            } => {
                self.trace.value(self.now, &(hop, transaction, call));
                self.trace.bytes(bytes);
            }
            other => self.trace.value(self.now, other),
        }
        self.checkers.effect(self.now, shard, &effect);
        match effect {
            Effect::Send {
                hop,
                bytes,
                transaction,
                call,
            } => {
                let actor = actor_at(hop.remote).or_else(|| self.actor_of_flow(hop.flow));
                let wire = Wire::read(&bytes);
                let context = match &hop.tls {
                    Some(tls) => Some(tls.context.clone()),
                    None => hop
                        .flow
                        .and_then(|flow| self.net.connections.get(&flow.0))
                        .and_then(|c| c.flow.identity.as_ref())
                        .map(|identity| identity.context.clone()),
                };
                let name = actor.map(topology::name);
                self.trace.line(self.now, || {
                    let first = headline(wire.as_ref());
                    format!("sbc/{} → {:10} {first}", shard.0, name.unwrap_or("nowhere"))
                });
                let seen = Seen::Sent {
                    shard,
                    actor,
                    hop: &hop,
                    context: context.as_ref(),
                    wire: wire.as_ref(),
                    bytes: &bytes,
                    transaction: transaction.map(|id| (shard, id)),
                    call,
                    answers_garbage: self.answers_garbage
                        || wire
                            .as_ref()
                            .is_some_and(|w| self.garbage.contains(w.branch())),
                };
                self.checkers.see(self.now, &seen);
                if let Some(wire) = wire {
                    self.run.sent.push((self.now, actor, wire));
                }
                let waiting = Waiting {
                    bytes: bytes.to_vec(),
                    owner: transaction.map(|t| (shard, t)),
                };
                let faults = &self.scenario.faults;
                let owner = waiting.owner;
                let sending = self
                    .net
                    .send(self.now, &hop, waiting, faults, &mut self.arrivals);
                if let (Sending::Failed(why), Some((shard, transaction))) = (sending, owner) {
                    self.agenda
                        .note(self.now, Due::Failed(shard, transaction, why));
                }
            }
            // Whatever waits on it is still answered there; new connections are made anyway.
            Effect::RetireFlow(_) => {}
            // What is sent here is on its way at once.
            Effect::Withdraw { .. } => {}
            Effect::Query(id, query) => {
                let at = self.now.since(Timestamp::ZERO);
                let (delay, outcome) = self.resolver.answer(at, &query, &self.scenario.faults);
                self.agenda
                    .note(self.now + delay, Due::Asked(shard, id, outcome));
            }
            Effect::Media(command) => {
                let at = self.now.since(Timestamp::ZERO);
                let mut faults = self.scenario.faults.iter().filter(|f| f.is_on(at));
                let has_ports = !faults.any(|f| f.trouble == Trouble::NoPorts);
                for (delay, event) in self.relay.command(at, &command, has_ports) {
                    self.agenda.note(self.now + delay, Due::Media(event));
                }
                for misuse in self.relay.take_misuse() {
                    self.violated("media-misuse", misuse);
                }
            }
            Effect::Letter(to, letter) => self.agenda.note(self.now, Due::Letter(to, letter)),
            // Nobody in this world answers them, or needs them.
            Effect::KeepAlive(_) | Effect::Alias { .. } | Effect::Keep(..) | Effect::Reply(..) => {}
            Effect::Emit(event) => {
                self.trace.line(self.now, || match &event.what {
                    Happened::Received { .. } => String::new(),
                    Happened::Ended(record) => {
                        format!(
                            "sbc/{} ended: {:?} {:?}",
                            shard.0, record.disposition, record.cause
                        )
                    }
                    other => format!("sbc/{} {other:?}", shard.0),
                });
                if let Happened::TargetHealth { target, state, .. } = &event.what {
                    self.agenda
                        .note(self.now, Due::Health(target.clone(), *state));
                }
                if let Happened::Bindings { bound, .. } = &event.what {
                    self.agenda.note(self.now, Due::Bound(Arc::clone(bound)));
                }
                match event.what {
                    Happened::Ended(record) => self.run.records.push(Arc::unwrap_or_clone(record)),
                    Happened::Received { .. } => {}
                    other => self.run.facts.push(other),
                }
            }
        }
    }

    fn actor_of_flow(&self, flow: Option<FlowId>) -> Option<ActorIndex> {
        self.net.connections.get(&flow?.0).map(|c| c.actor)
    }

    fn received(&mut self, actor: ActorIndex, flow: Flow, bytes: Vec<u8>) {
        let wire = Wire::read(&bytes);
        self.trace.line(self.now, || {
            let first = headline(wire.as_ref());
            format!("{:10} → sbc   {first}", topology::name(actor))
        });
        let message = Message::parse(bytes.clone().into(), &Limits::default());
        let seen = Seen::Heard {
            actor,
            flow: &flow,
            wire: wire.as_ref(),
            bytes: &bytes,
            is_garbage: !message.as_ref().is_ok_and(is_sound),
        };
        self.checkers.see(self.now, &seen);
        if let Seen::Heard {
            is_garbage: true, ..
        } = seen
        {
            self.garbage
                .extend(wire.as_ref().map(|wire| wire.branch().to_owned()));
        }
        match message {
            Ok(message) => {
                let shard = self.subject.shard_of(&message);
                if shard.0 >= self.subject.shards() {
                    return self.violated("affinity", format!("{shard:?} does not exist"));
                }
                self.apply(shard, Input::Received { flow, message });
            }
            Err(rejected) => self.apply(ShardId(0), Input::Malformed { flow, rejected }),
        }
    }

    fn every_shard(&mut self, input: &Input) {
        for shard in (0..self.subject.shards()).map(ShardId) {
            self.apply(shard, input.clone());
        }
    }

    fn close(&mut self, id: ConnectionId, why: &FlowFault) {
        let Some((was_up, queue)) = self.net.close(id) else {
            return;
        };
        for (shard, transaction) in queue.into_iter().filter_map(|waiting| waiting.owner) {
            self.agenda
                .note(self.now, Due::Failed(shard, transaction, why.clone()));
        }
        if was_up {
            let flow = FlowId(id);
            self.checkers.see(self.now, &Seen::FlowLost { flow });
            let why = why.clone();
            self.every_shard(&Input::FlowLost { flow, why });
        }
    }

    fn due(&mut self, due: Due) {
        match due {
            Due::Told(actor, intent) => self.tell(actor, ActorInput::Told(intent)),
            Due::Asked(shard, id, outcome) => self.apply(shard, Input::Outcome(id, outcome)),
            Due::Letter(to, letter) => self.apply(to, Input::Letter(letter)),
            Due::Health(target, state) => {
                for shard in (1..self.subject.shards()).map(ShardId) {
                    let target = target.clone();
                    self.apply(shard, Input::TargetHealth { target, state });
                }
            }
            Due::Bound(bound) => {
                for shard in (1..self.subject.shards()).map(ShardId) {
                    self.apply(shard, Input::Bindings(Arc::clone(&bound)));
                }
            }
            Due::Media(event) => {
                let shard = ShardId(event.session().shard() as u8);
                if shard.0 >= self.subject.shards() {
                    return self.violated("affinity", format!("media session of {shard:?}"));
                }
                if self
                    .relay
                    .still_says(self.now.since(Timestamp::ZERO), &event)
                {
                    self.apply(shard, Input::Media(event));
                }
            }
            Due::Failed(shard, transaction, why) => {
                let seen = Seen::SendFailed {
                    transaction: (shard, transaction),
                };
                self.checkers.see(self.now, &seen);
                self.apply(shard, Input::SendFailed { transaction, why });
            }
            Due::Reset(actor) => {
                for id in self.net.connections_of(actor) {
                    self.close(id, &FlowFault::Closed);
                }
            }
            Due::Inspect => self.inspected = self.views(),
            Due::Other(Happening::Bytes(actor, bytes)) => {
                self.tell(actor, ActorInput::Told(Intent::Say(bytes)));
            }
            Due::Other(Happening::HangUpAll) => {
                self.every_shard(&Input::Command(CommandId(1), Command::HangUpAll));
            }
            Due::Other(Happening::Reload) => {
                let config = Arc::new(topology::config(2, self.scenario.setting));
                self.every_shard(&Input::Config(config));
            }
            Due::Other(Happening::Press(is_caller, digit)) => self.press(is_caller, digit),
            Due::Other(Happening::Silence(times)) => {
                for event in self.relay.silence(times) {
                    let shard = ShardId(event.session().shard() as u8);
                    self.apply(shard, Input::Media(event));
                }
            }
        }
    }

    /// A party presses a key for 100 ms and tells of it in its media. The relay reports it at its end, or
    /// the other party hears it, or both.
    fn press(&mut self, is_caller: bool, digit: Digit) {
        let Some((session, [endpoint, other], intake)) = self.relay.press(is_caller) else {
            return;
        };
        let pressed = Seen::Pressed {
            session,
            endpoint,
            digit,
        };
        self.checkers.see(self.now, &pressed);
        if intake.lets_pass() {
            let passed = Seen::Passed {
                session,
                endpoint: other,
                digit,
            };
            self.checkers.see(self.now, &passed);
        }
        if intake.tells_begin() {
            let event = media_api::Event::DigitBegun {
                session,
                endpoint,
                digit,
            };
            self.agenda.note(self.now, Due::Media(event));
        }
        if intake != Intake::Pass {
            let event = media_api::Event::Digit {
                session,
                endpoint,
                digit,
                duration_ms: 100,
            };
            self.agenda.note(self.now + PRESSED, Due::Media(event));
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Datagram {
                to_sbc: true,
                actor,
                bytes,
            } => {
                let flow = self.net.datagram_flow(actor);
                self.received(actor, flow, bytes);
            }
            Arrival::Datagram {
                to_sbc: false,
                actor,
                bytes,
            } => {
                let peer = topology::peer(actor);
                let line = Line {
                    protocol: Protocol::Udp,
                    local: peer.address,
                    remote: topology::listener_address(Protocol::Udp),
                    connection: None,
                    server_name: None,
                    fresh: false,
                };
                self.heard(actor, line, &bytes);
            }
            Arrival::Opened {
                connection,
                fault: None,
            } => {
                let faults = &self.scenario.faults;
                self.net
                    .opened(self.now, connection, faults, &mut self.arrivals);
            }
            Arrival::Opened {
                connection,
                fault: Some(why),
            } => self.close(connection, &why),
            Arrival::Segment {
                connection,
                to_sbc: true,
                bytes,
            } => self.segment(connection, &bytes),
            Arrival::Segment {
                connection,
                to_sbc: false,
                bytes,
            } => {
                let Some(known) = self.net.connections.get_mut(&connection) else {
                    return;
                };
                if matches!(known.state, crate::net::ConnectionState::Gone) {
                    return;
                }
                let (actor, protocol) = (known.actor, known.flow.protocol);
                let messages = known.splitter.push(&bytes);
                let line = Line {
                    protocol,
                    local: topology::peer(actor).address,
                    remote: topology::listener_address(protocol),
                    connection: Some(connection),
                    server_name: known
                        .flow
                        .identity
                        .as_ref()
                        .and_then(|identity| tenant_name(identity.context.as_str())),
                    fresh: false,
                };
                for message in messages {
                    self.heard(actor, line.clone(), &message);
                }
            }
        }
    }

    fn segment(&mut self, id: ConnectionId, bytes: &[u8]) {
        let Some(known) = self.net.connections.get_mut(&id) else {
            return;
        };
        if matches!(known.state, crate::net::ConnectionState::Gone) {
            return;
        }
        known.framer.push(bytes);
        loop {
            let Some(known) = self.net.connections.get_mut(&id) else {
                return;
            };
            let (actor, flow) = (known.actor, known.flow.clone());
            match known.framer.next_frame() {
                None => return,
                Some(Frame::Message(message)) => self.received(actor, flow, message.to_vec()),
                Some(Frame::Ping | Frame::Pong) => {}
                Some(Frame::Fault(rejected)) => {
                    self.apply(ShardId(0), Input::Malformed { flow, rejected });
                    return self.close(id, &FlowFault::NotSip);
                }
            }
        }
    }

    fn heard(&mut self, actor: ActorIndex, line: Line, bytes: &[u8]) {
        if let Some(wire) = Wire::read(bytes) {
            self.tell(actor, ActorInput::Heard { line, wire });
        }
    }

    fn tell(&mut self, actor: ActorIndex, input: ActorInput) {
        let mut said = Vec::new();
        self.actors[actor].input(self.now, input, &mut said);
        for say in said {
            self.say(actor, say);
        }
    }

    fn say(&mut self, actor: ActorIndex, say: Say) {
        let faults = &self.scenario.faults;
        let Say { line, bytes } = say;
        if line.protocol == Protocol::Udp {
            if line.remote == topology::listener_address(Protocol::Udp) {
                self.net
                    .datagram(self.now, actor, true, &bytes, faults, &mut self.arrivals);
            }
            return;
        }
        let is_open = |id: &ConnectionId| {
            let known = self.net.connections.get(id);
            known.is_some_and(|c| !matches!(c.state, crate::net::ConnectionState::Gone))
        };
        let id = match line.connection.filter(is_open) {
            Some(id) => Some(id),
            None => {
                let name = line.server_name.as_deref();
                self.net
                    .open_for_actor(self.now, actor, name, line.fresh, &mut self.arrivals)
            }
        };
        if let Some(id) = id {
            let waiting = Waiting { bytes, owner: None };
            self.net
                .queue(self.now, id, true, waiting, faults, &mut self.arrivals);
        }
    }

    fn views(&self) -> Vec<PartyView> {
        self.actors.iter().flat_map(Agent::views).cloned().collect()
    }

    fn violated(&mut self, rule: &'static str, text: String) {
        let at = self.now;
        self.run.violations.push(Violation { at, rule, text });
    }

    fn finish(mut self) -> Run {
        let views = self.views();
        if !self.is_broken {
            let complaints = self.actors.iter().flat_map(|actor| {
                let name = topology::name_of_address(actor.address());
                actor
                    .complaints()
                    .iter()
                    .map(move |text| format!("{name}: {text}"))
            });
            let end = End {
                at: self.now,
                scenario: self.scenario,
                views: &views,
                inspected: &self.inspected,
                residue: self.least.unwrap_or_else(|| self.subject.residue()),
                open_media: self.relay.open(),
                complaints: complaints.collect(),
                records: &self.run.records,
            };
            self.checkers.finish(&end);
        }
        self.run.violations.extend(self.checkers.into_violations());
        self.run.violations.sort_by_key(|violation| violation.at);
        self.run.views = views;
        self.run.hash = self.trace.hash();
        self.run.ladder = self.trace.into_lines();
        self.run
    }
}

/// Whether every header that an answer repeats can be read.
fn is_sound(message: &Message) -> bool {
    let has_cseq = match message.get::<CSeq>() {
        Ok(Some(cseq)) => message.is_response() || cseq.method == *message.method(),
        Ok(None) | Err(_) => false,
    };
    has_cseq
        && message.get::<From>().is_ok_and(|from| from.is_some())
        && message.get::<To>().is_ok_and(|to| to.is_some())
        && message.get::<CallId>().is_ok_and(|id| id.is_some())
        && message.list::<Via>().is_ok()
        && (message.is_response() || message.uri().is_ok())
        && Wire::read(message.bytes()).is_some()
}

/// First line, sequence number and beginning of the Call-ID: what a ladder shows of a message.
fn headline(wire: Option<&Wire>) -> String {
    let Some(wire) = wire else {
        return "no message".to_owned();
    };
    let call_id: String = wire.call_id().chars().take(6).collect();
    let cseq = wire.get("CSeq").unwrap_or_default();
    format!("{} ({cseq}, {call_id})", wire.first)
}

/// Name by which actors open connections to a tenant.
fn tenant_name(context: &str) -> Option<String> {
    let tenant = topology::TENANTS.iter().position(|name| *name == context)?;
    Some(topology::fqdn(tenant))
}
