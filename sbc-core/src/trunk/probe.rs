//! Health probing: OPTIONS to every address of every target of every trunk that wants it. Lives on
//! shard 0 only.
//!
//! Teams answers no SBC that it never heard from, so the first probes leave right after the start,
//! spread over a few seconds (TDR-OPT-001). One probe per address is under way at a time. A target
//! that is a name is looked up as often as it is probed; addresses that it has no more are forgotten
//! (SIP-1706).
//!
//! Of Teams each of its names is asked once for each name of ours, at one of its addresses at a time, and whoever
//! else asks the same hears the answer too [`super::asked`]. An address that cannot be connected to leaves its turn to
//! another one, and one that is down has no two in a row.
//!
//! One that does not answer is asked more often, unless it is Teams, which counts too many OPTIONS
//! as an offence (TDR-OPT-006). Teams prefers SBCs that ask it, so it is not asked while the node drains or an operator
//! keeps new calls away from the trunk (TDR-OPT-010).

use super::asked::{Pair, SHORTEST};
use super::health::{TargetId, TargetState};
use super::reset::{FORGOTTEN, PeerName};
use super::roster::Roster;
use super::verdict::{Finding, Verdict};
use crate::config::{
    Config, Lookup, NO_SIGN_OF_LIFE, OPTIONS_SECONDS, Preset, TargetAddress, Trunk, UriScheme,
};
use crate::deadline::DeadlineQueue;
use crate::event::Happened;
use crate::id::{QueryId, TransactionId, TrunkName};
use crate::locate::{MAX_ADDRESSES, in_order};
use crate::plane::{Asker, Cx};
use crate::query::{Outcome, ResolveFault};
use crate::session::LegStyle;
use crate::sip::header::{CSeq, CallId, From, Header, MaxForwards, To};
use crate::sip::{HeaderName, Host, Message, Method, RequestBuilder, SipUri, Status, Token, Uri};
use crate::time::Timestamp;
use crate::transaction::Owner;
use crate::transport::{FlowFault, Protocol};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Longest random delay added to every interval: never more often than configured (TDR-OPT-006).
const JITTER: Duration = Duration::from_secs(5);

/// How often a target is asked that does not answer.
const DOUBTED: Duration = Duration::from_secs(10);
/// Longest random delay added to that.
const DOUBTED_JITTER: Duration = Duration::from_secs(2);

/// All probes of a node.
#[derive(Default)]
pub(crate) struct Probes {
    watches: BTreeMap<u32, Watch>,
    probes: Roster<Probe>,
    /// Watches whose name must be looked up, and probes to send. Later entries make earlier void.
    due: DeadlineQueue<u32>,
    next: u32,
    is_draining: bool,
}

/// One target of one trunk.
struct Watch {
    style: LegStyle,
    target: TargetAddress,
    /// Our name and that of the proxy, where it is one of Teams.
    pair: Option<Arc<Pair>>,
    interval: Duration,
    ok: Option<Vec<u16>>,
    asks: Option<QueryId>,
    /// When its name is looked up next; never for one that is no name.
    due: Option<Timestamp>,
    /// Whether it was told that the name has no address.
    is_lost: bool,
}

/// One address of a target.
struct Probe {
    watch: u32,
    protocol: Protocol,
    remote: SocketAddr,
    waits_for: Option<TransactionId>,
    /// When it was last sent.
    sent: Option<Timestamp>,
    due: Timestamp,
    verdict: Verdict,
}

impl Probes {
    /// Takes over a configuration. Targets that stay keep what is known about them and when they
    /// are due; new ones are probed soon.
    pub(crate) fn configure(&mut self, cx: &mut Cx<'_>, config: &Arc<Config>) {
        let mut before = std::mem::take(&mut self.watches);
        let mut of_trunk: BTreeMap<TrunkName, Vec<u32>> = BTreeMap::new();
        for (id, watch) in &before {
            let name = watch.style.trunk.name.clone();
            of_trunk.entry(name).or_default().push(*id);
        }
        // Of derived trunks Teams wants no OPTIONS (TDR-OPT-008).
        let asking = config.trunks.values();
        let asking = asking.filter(|trunk| trunk.carrier.is_none());
        let wanted = asking.flat_map(|trunk| {
            let options = trunk.options.as_ref();
            options.into_iter().flat_map(move |options| {
                trunk
                    .targets
                    .iter()
                    .map(move |target| (trunk, target, options))
            })
        });
        for (trunk, target, options) in wanted {
            let of_trunk = of_trunk.get(&trunk.name).into_iter().flatten().copied();
            let is_same = |id: &u32| before.get(id).is_some_and(|watch| watch.target == *target);
            let known = of_trunk.into_iter().find(is_same);
            let known = known.and_then(|id| before.remove_entry(&id));
            let pair = pair(trunk, target);
            let style = LegStyle {
                config: Arc::clone(config),
                trunk: Arc::clone(trunk),
                contact_user: None,
                session_id: None,
            };
            let (id, asks, due, is_lost) = match known {
                Some((id, watch)) => {
                    if watch.pair != pair {
                        self.probes.rename(id, pair.as_ref());
                    }
                    (id, watch.asks, watch.due, watch.is_lost)
                }
                None => {
                    let id = self.id();
                    let due = cx.now.mono + cx.plane.mint.delay(Duration::ZERO, JITTER);
                    let fixed = style.fixed_addresses(target);
                    for remote in &fixed {
                        let verdict = Verdict::default();
                        let place = (target.protocol, *remote);
                        self.watch_address((id, pair.as_ref()), place, due, verdict);
                    }
                    let due = fixed.is_empty().then_some(due);
                    if let Some(due) = due {
                        self.due.push(due, id);
                    }
                    (id, None, due, false)
                }
            };
            self.watches.insert(
                id,
                Watch {
                    style,
                    target: target.clone(),
                    pair,
                    interval: options.interval,
                    ok: options.ok.clone(),
                    asks,
                    due,
                    is_lost,
                },
            );
        }
        let pairs = self.watches.values();
        let pairs: BTreeSet<&Pair> = pairs.filter_map(|watch| watch.pair.as_deref()).collect();
        cx.plane
            .asked
            .keep(cx.now.mono, |pair| pairs.contains(pair));
        for (id, watch) in before {
            self.forget(cx, (id, &watch), |_| true);
            if watch.is_lost {
                watch.tell(cx, None, TargetState::Gone, "not configured any more");
            }
        }
    }

    /// Takes note of whether the node drains.
    pub(crate) fn drain(&mut self, is_draining: bool) {
        self.is_draining = is_draining;
    }

    /// When [`Self::tick`] is next wanted.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.due.next()
    }

    /// Starts what is due.
    pub(crate) fn tick(&mut self, cx: &mut Cx<'_>) {
        while let Some(id) = self.due.pop_due(cx.now.mono) {
            if let Some(watch) = self.watches.get_mut(&id) {
                let is_due = watch.due.is_some_and(|due| due <= cx.now.mono);
                if is_due && watch.asks.is_none() {
                    let spec = watch.style.locate(&watch.target);
                    watch.asks = Some(cx.locate(Asker::Probe(id), spec));
                }
                continue;
            }
            let leaves_turn = self.leaves_turn(id);
            let Some(probe) = self.probes.get_mut(id) else {
                continue;
            };
            let Some(watch) = self.watches.get(&probe.watch) else {
                continue;
            };
            if probe.due > cx.now.mono {
                continue;
            }
            if leaves_turn {
                // Until one that is up has been asked, which takes no longer.
                probe.due = cx.now.mono + JITTER + JITTER;
                self.due.push(probe.due, id);
                continue;
            }
            let asked = &cx.plane.asked;
            let pair = watch.pair.as_ref();
            let free = pair.and_then(|pair| asked.free(cx.now.mono, pair));
            if let Some(free) = free {
                // Whoever of several is first after the pause is asked.
                let more = watch.interval.saturating_sub(SHORTEST);
                probe.due = free + more + cx.plane.mint.delay(Duration::ZERO, JITTER);
                self.due.push(probe.due, id);
                continue;
            }
            probe.due = cx.now.mono + probe.pause(cx, watch);
            self.due.push(probe.due, id);
            let trunk = &watch.style.trunk;
            let is_closed = cx.plane.closed.of(trunk).is_some();
            let is_quiet = (self.is_draining || is_closed) && trunk.preset == Preset::Teams;
            if probe.waits_for.is_none()
                && !is_quiet
                && let Err(fault) = probe.send(cx, id, watch)
            {
                self.conclude(cx, id, Finding::Unreachable, None, fault.to_string());
            }
        }
    }

    /// Forgets what was found out about a peer, and asks it as soon as may be; its addresses.
    pub(super) fn begin_anew(&mut self, cx: &mut Cx<'_>, peer: &PeerName) -> Vec<SocketAddr> {
        let mut places = Vec::new();
        for (id, watch) in &mut self.watches {
            let is_named = peer.names(&watch.target);
            if is_named && let Some(due) = &mut watch.due {
                *due = cx.now.mono;
                self.due.push(*due, *id);
            }
            for probe in self.probes.ids_of_watch(*id) {
                let Some(own) = self.probes.get_mut(probe) else {
                    continue;
                };
                if !is_named && !peer.is_at(own.remote) {
                    continue;
                }
                places.push(own.remote);
                own.waits_for = None;
                own.due = cx.now.mono;
                self.due.push(own.due, probe);
                if std::mem::take(&mut own.verdict).state().is_some() {
                    let (state, because) = FORGOTTEN;
                    watch.tell(cx, Some((own.protocol, own.remote)), state, because);
                }
            }
        }
        places
    }

    /// The answer to a watch's name query.
    pub(crate) fn outcome(&mut self, cx: &mut Cx<'_>, id: u32, query: QueryId, outcome: &Outcome) {
        let Some(mut watch) = self.watches.remove(&id) else {
            return;
        };
        if watch.asks == Some(query) {
            watch.asks = None;
            let pause = self.looked_up(cx, id, &mut watch, outcome);
            let due = cx.now.mono + pause;
            watch.due = Some(due);
            self.due.push(due, id);
        }
        self.watches.insert(id, watch);
    }

    /// A response to a probe.
    pub(crate) fn response(
        &mut self,
        cx: &mut Cx<'_>,
        id: u32,
        transaction: TransactionId,
        message: &Message,
    ) {
        let Some(status) = message.status().filter(|status| status.is_final()) else {
            return;
        };
        let Some((probe, watch)) = self.waiting(id, transaction) else {
            return;
        };
        let (trunk, protocol, remote) = (&watch.style.trunk.name, probe.protocol, probe.remote);
        let quarantine = &cx.plane.quarantine;
        quarantine.note(cx.now.mono, trunk, protocol, remote, message);
        if watch.style.trunk.habits.overload_control {
            let relief = &mut cx.plane.relief;
            relief.note(cx.now.mono, trunk, remote, message);
        }
        let finding = match status {
            Status::SERVICE_UNAVAILABLE => Finding::Busy,
            _ if watch.is_alive(status) => Finding::Answers,
            // Whatever Teams says of us, it is there (TDR-OPT-004).
            _ if watch.style.trunk.preset == Preset::Teams => Finding::Refuses,
            _ => Finding::Silent,
        };
        let because = format!("answered {status}");
        self.conclude(cx, id, finding, Some(status), because);
    }

    /// A probe got no answer, or could not be sent.
    pub(crate) fn failed(
        &mut self,
        cx: &mut Cx<'_>,
        id: u32,
        transaction: TransactionId,
        why: Option<FlowFault>,
    ) {
        if self.waiting(id, transaction).is_some() {
            match why {
                None => self.conclude(cx, id, Finding::Silent, None, "no answer".to_owned()),
                Some(why) => {
                    self.conclude(cx, id, Finding::Unreachable, None, why.to_string());
                    if why.is_no_connection() {
                        self.pass_on(cx, id);
                    }
                }
            }
        }
    }

    /// Other addresses of the same name of Teams, asked by the same name of ours.
    fn others(&self, id: u32) -> impl Iterator<Item = (u32, &Probe)> {
        let own = self.probes.get(id).map(|own| own.remote);
        let pair = self.probes.pair(id);
        let all = pair.into_iter().flat_map(|pair| self.probes.of_pair(pair));
        all.filter(move |(other, probe)| {
            let is_other = own.is_none_or(|own| own != probe.remote);
            *other != id && is_other
        })
    }

    /// Whether an address that is down waits until one that is not has been asked: Teams would not hear of us for
    /// minutes if it had every turn (TDR-OPT-006).
    fn leaves_turn(&self, id: u32) -> bool {
        let Some(own) = self.probes.get(id).filter(|own| own.is_down()) else {
            return false;
        };
        let mut others = self.others(id);
        others.any(|(_, other)| !other.is_down() && other.sent < own.sent)
    }

    /// Nothing was sent to an address: another one of the name is asked instead, unless it is down as well
    /// (TDR-OPT-006, TDR-OPT-007).
    fn pass_on(&mut self, cx: &mut Cx<'_>, id: u32) {
        let Some(own) = self.probes.get(id) else {
            return;
        };
        let (place, now) = ((own.protocol, own.remote), cx.now.mono);
        let Some(pair) = self.probes.pair(id).cloned() else {
            return;
        };
        cx.plane.asked.give_back(&pair);
        let all = self.probes.of_pair(&pair);
        let all: Vec<u32> = all.map(|(own, _)| own).collect();
        for own in all {
            let Some(probe) = self.probes.get_mut(own) else {
                continue;
            };
            let is_place = (probe.protocol, probe.remote) == place;
            let is_other = own != id && probe.remote != place.1;
            if is_other && !probe.is_down() && probe.waits_for.is_none() {
                probe.due = now;
            } else if is_place {
                // Not even a connection more often than once a minute (TDR-OPT-009).
                probe.due = probe.due.max(now + SHORTEST);
            } else {
                continue;
            }
            self.due.push(probe.due, own);
        }
    }

    /// Takes over the addresses of a name; gives the pause until it is looked up again.
    fn looked_up(
        &mut self,
        cx: &mut Cx<'_>,
        id: u32,
        watch: &mut Watch,
        outcome: &Outcome,
    ) -> Duration {
        let (found, why) = match outcome {
            Outcome::Located(services) => {
                let prefer = watch.style.trunk.prefer;
                (in_order(services, prefer, &mut cx.plane.mint), None)
            }
            Outcome::Resolved(addresses) => {
                let at = |remote: &SocketAddr| (watch.target.protocol, *remote);
                (addresses.iter().take(MAX_ADDRESSES).map(at).collect(), None)
            }
            // Addresses are probed one by one.
            Outcome::Won(_) | Outcome::Verified(_) => (Vec::new(), None),
            Outcome::ResolveFailed(why) => (Vec::new(), Some(*why)),
        };
        // Microsoft moves its names from address to address: what is held is held of the name (TDR-DNS-005).
        let known = self.probes.of_watch(id).map(|probe| probe.verdict);
        let known = known.filter(|verdict| verdict.state().is_some());
        let best = known.min_by_key(|verdict| verdict.state());
        let inherited = best.filter(|_| watch.style.trunk.preset == Preset::Teams);
        // Only a clear no takes addresses away; a resolver that fails says nothing about them.
        if why.is_none_or(|why| why == ResolveFault::NotFound) {
            self.forget(cx, (id, watch), |probe| {
                !found.contains(&(probe.protocol, probe.remote))
            });
        }
        for (protocol, remote) in &found {
            let place = |probe: &Probe| (probe.protocol, probe.remote);
            let is_known = self
                .probes
                .of_watch(id)
                .any(|own| place(own) == (*protocol, *remote));
            if !is_known {
                let (verdict, place) = (inherited.unwrap_or_default(), (*protocol, *remote));
                self.watch_address((id, watch.pair.as_ref()), place, cx.now.mono, verdict);
                if let Some(state) = verdict.state() {
                    let because = "as the other addresses of the name";
                    watch.tell(cx, Some((*protocol, *remote)), state, because);
                }
            }
        }
        if let Some(why) = why {
            let because = why.to_string();
            watch.tell_exchange(cx, None, None, &because);
        }
        let is_lost = self.probes.of_watch(id).next().is_none();
        if is_lost != watch.is_lost {
            watch.is_lost = is_lost;
            match why {
                Some(why) => {
                    let because = why.to_string();
                    watch.tell(cx, None, TargetState::Down, &because);
                }
                None => watch.tell(cx, None, TargetState::Gone, "the name has addresses"),
            }
        }
        let is_pressed = is_lost && watch.style.trunk.preset != Preset::Teams;
        match is_pressed {
            true => {
                watch.interval.min(DOUBTED) + cx.plane.mint.delay(Duration::ZERO, DOUBTED_JITTER)
            }
            false => watch.interval + cx.plane.mint.delay(Duration::ZERO, JITTER),
        }
    }

    fn watch_address(
        &mut self,
        (watch, pair): (u32, Option<&Arc<Pair>>),
        (protocol, remote): (Protocol, SocketAddr),
        due: Timestamp,
        verdict: Verdict,
    ) {
        let id = self.id();
        self.due.push(due, id);
        let probe = Probe {
            watch,
            protocol,
            remote,
            waits_for: None,
            sent: None,
            due,
            verdict,
        };
        self.probes.insert(id, watch, pair.cloned(), probe);
    }

    /// Drops addresses of a target, and tells that they are gone where something was told of them.
    fn forget(
        &mut self,
        cx: &mut Cx<'_>,
        (id, watch): (u32, &Watch),
        is_gone: impl Fn(&Probe) -> bool,
    ) {
        for probe in self.probes.forget(id, is_gone) {
            if probe.verdict.state().is_some() {
                let at = Some((probe.protocol, probe.remote));
                let because = "no address of the target any more";
                watch.tell(cx, at, TargetState::Gone, because);
            }
        }
    }

    /// Takes the result of a probe.
    fn conclude(
        &mut self,
        cx: &mut Cx<'_>,
        id: u32,
        finding: Finding,
        status: Option<Status>,
        because: String,
    ) {
        let Some(probe) = self.probes.get(id) else {
            return;
        };
        let Some(watch) = self.watches.get(&probe.watch) else {
            return;
        };
        let answered = status.zip(probe.sent);
        let answered = answered.map(|(status, sent)| (status, cx.now.mono.since(sent)));
        if let Some((_, took)) = answered {
            let tally = cx.plane.tally.of(&watch.style.trunk.name);
            tally.options_answered(took);
        }
        watch.tell_exchange(cx, Some(probe.remote), answered, &because);
        let at = (probe.protocol, probe.remote);
        self.hears(cx, id, finding, &because);
        let pair = self.probes.pair(id).into_iter();
        let same = pair.flat_map(|pair| self.probes.of_pair(pair));
        let same =
            same.filter(|(other, probe)| *other != id && (probe.protocol, probe.remote) == at);
        let same: Vec<u32> = same.map(|(other, _)| other).collect();
        for other in same {
            self.hears(cx, other, finding, &because);
        }
    }

    /// A probe's address has this result, whoever has asked.
    fn hears(&mut self, cx: &mut Cx<'_>, id: u32, finding: Finding, because: &str) {
        let Some(probe) = self.probes.get_mut(id) else {
            return;
        };
        let Some(watch) = self.watches.get(&probe.watch) else {
            return;
        };
        let changed = probe.verdict.hears(finding);
        let due = match probe.verdict.is_in_doubt() {
            true => probe.due.min(cx.now.mono + probe.pause(cx, watch)),
            false => probe.due.max(cx.now.mono + watch.interval),
        };
        if due != probe.due {
            probe.due = due;
            self.due.push(due, id);
        }
        if let Some(state) = changed {
            watch.tell(cx, Some((probe.protocol, probe.remote)), state, because);
        }
    }

    fn waiting(&mut self, id: u32, transaction: TransactionId) -> Option<(&Probe, &Watch)> {
        let probe = self.probes.get_mut(id)?;
        probe.waits_for.take_if(|own| *own == transaction)?;
        let watch = self.watches.get(&probe.watch)?;
        Some((probe, watch))
    }

    fn id(&mut self) -> u32 {
        self.next = self.next.wrapping_add(1);
        self.next
    }
}

impl Watch {
    /// Whether this final response is a sign of life.
    fn is_alive(&self, status: Status) -> bool {
        match &self.ok {
            Some(codes) => codes.contains(&status.code()),
            None => !NO_SIGN_OF_LIFE.contains(&status.code()),
        }
    }

    /// Tells how an exchange with a proxy of Teams went.
    fn tell_exchange(
        &self,
        cx: &mut Cx<'_>,
        remote: Option<SocketAddr>,
        answered: Option<(Status, Duration)>,
        because: &str,
    ) {
        if self.style.trunk.preset != Preset::Teams {
            return;
        }
        let what = Happened::Options {
            trunk: self.style.trunk.name.clone(),
            by_peer: false,
            host: self.target.host.clone(),
            remote,
            status: answered.map(|(status, _)| status),
            took: answered.map(|(_, took)| took),
            because: because.to_owned(),
        };
        cx.out.emit(None, None, what);
    }

    /// Tells what is held of an address, or of the name as a whole.
    fn tell(
        &self,
        cx: &mut Cx<'_>,
        at: Option<(Protocol, SocketAddr)>,
        state: TargetState,
        because: &str,
    ) {
        let protocol = at.map_or(self.target.protocol, |(protocol, _)| protocol);
        let remote = at.map(|(_, remote)| remote);
        let target = TargetId::of(&self.style.trunk.name, &self.target, protocol, remote);
        cx.plane.health.note(&target, state);
        let what = Happened::TargetHealth {
            target,
            state,
            because: because.to_owned(),
        };
        cx.out.emit(None, None, what);
    }
}

impl Probe {
    fn is_down(&self) -> bool {
        self.verdict.state() == Some(TargetState::Down)
    }

    /// Until it is asked again.
    fn pause(&self, cx: &mut Cx<'_>, watch: &Watch) -> Duration {
        let is_pressed = self.verdict.is_in_doubt() && watch.style.trunk.preset != Preset::Teams;
        let (interval, jitter) = match is_pressed {
            true => (watch.interval.min(DOUBTED), DOUBTED_JITTER),
            // Teams wants to be asked within three minutes (TDR-OPT-006).
            false if watch.style.trunk.preset == Preset::Teams => {
                let most = Duration::from_secs(*OPTIONS_SECONDS.end());
                (
                    watch.interval,
                    JITTER.min(most.saturating_sub(watch.interval)),
                )
            }
            false => (watch.interval, JITTER),
        };
        interval + cx.plane.mint.delay(Duration::ZERO, jitter)
    }

    fn send(&mut self, cx: &mut Cx<'_>, id: u32, watch: &Watch) -> Result<(), FlowFault> {
        // Whoever asked to be left alone is not asked how it is (SIP-1720).
        let (style, protocol, remote) = (&watch.style, self.protocol, self.remote);
        let quarantine = &cx.plane.quarantine;
        let pair = watch.pair.as_deref();
        let is_overdue = |pair: &Pair| cx.plane.asked.is_overdue(cx.now.mono, pair);
        if quarantine.holds(cx.now.mono, &style.trunk.name, protocol, remote)
            // Teams would take us for dead.
            && !pair.is_some_and(is_overdue)
        {
            return Ok(());
        }
        let hop = style.hop(protocol, remote, &watch.target.host);
        let branch = cx.plane.mint.branch();
        let tag = Token::from_minted(cx.plane.mint.tag());
        let call_id = CallId::from_minted(cx.plane.mint.call_id());
        let request = hop.as_ref().and_then(|hop| {
            let listener = style.config.listeners.get(&hop.listener)?;
            let via = style.via(listener, &branch)?;
            watch
                .request(protocol, listener, tag, &call_id)
                .map(|request| request.header(&via).build())
        });
        let (Some(hop), Some(bytes)) = (hop, request) else {
            return Err(FlowFault::NoListener);
        };
        let (now, owner) = (cx.now.mono, Owner::Probe(id));
        let (trunk, method) = (&style.trunk, &Method::Options);
        let plane = &mut *cx.plane;
        let sent = plane.request(now, trunk, method, &branch, bytes, hop, owner, cx.out);
        self.waits_for = Some(sent);
        self.sent = Some(now);
        if let Some(pair) = pair {
            cx.plane.asked.note(now, pair.clone());
        }
        Ok(())
    }
}

impl Watch {
    /// The OPTIONS in the form that Teams documents (TDR-OPT-002, TDR-OPT-003); right for carriers
    /// as well.
    fn request(
        &self,
        protocol: Protocol,
        listener: &crate::config::Listener,
        tag: Token,
        call_id: &CallId,
    ) -> Option<RequestBuilder> {
        let peer = Host::parse(Bytes::from(self.target.host.clone())).ok()?;
        let mut to = SipUri::new(peer);
        to.is_sips = self.style.trunk.habits.uri_scheme == UriScheme::Sips;
        to.port = (self.target.lookup == Lookup::Addresses).then_some(self.target.port);
        let mut request_uri = to.clone();
        self.style.write_transport(&mut request_uri, protocol);
        let contact = self.style.contact(listener);
        let mut from = contact.uri()?.as_sip()?.clone();
        from.params.remove("transport");
        let request = RequestBuilder::new(Method::Options, &Uri::from(request_uri))
            .header(&MaxForwards::DEFAULT)
            .header(&From::from(Uri::from(from)).with_tag(tag))
            .header(&To::from(Uri::from(to)))
            .header(call_id)
            .header(&CSeq {
                number: 1,
                method: Method::Options,
            })
            .raw_if_valid(HeaderName::Contact, contact.to_bytes())
            .raw_if_valid(HeaderName::Allow, self.style.allow())
            .raw_if_valid(HeaderName::Accept, "application/sdp");
        Some(self.style.sign_request(request))
    }
}

/// Our name and that of the proxy, where it is one of Teams.
fn pair(trunk: &Trunk, target: &TargetAddress) -> Option<Arc<Pair>> {
    let own = || match &trunk.fqdn {
        Some(fqdn) => fqdn.to_ascii_lowercase(),
        None => trunk.name.to_string(),
    };
    let is_teams = trunk.preset == Preset::Teams;
    is_teams.then(|| Arc::new((own(), target.host.to_ascii_lowercase())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Assumed, Source, load};
    use crate::effect::{Effect, Effects};
    use crate::id::ShardId;
    use crate::mint::Mint;
    use crate::plane::Plane;
    use crate::time::{Now, UnixTime};
    use std::fmt::Write as _;

    /// So many customers with a name of their own each, at three proxies of two addresses.
    fn hosting(trunks: usize) -> Arc<Config> {
        let mut text = String::from(
            r#"
            [node]
            id = "sbc1"
            [[realm]]
            name = "teams"
            addresses = ["192.0.2.10"]
            ports = "40000-44999"
            [[tls]]
            name = "teams"
            cert = "/etc/causeway/tls/sbc.pem"
            key = { file = "/etc/causeway/tls/sbc.key" }
            client_ca = "microsoft"
            verify_client = "require"
            allow_wildcard_san = true
            [[listen]]
            realm = "teams"
            transport = "tls"
            port = 5061
            tls = "teams"
            [[tenant]]
            name = "contoso"
            numbers = ["+493023125000-+493023125999"]
            "#,
        );
        for number in 0..trunks {
            let mut targets = String::new();
            for (at, name) in ["sip", "sip2", "sip3"].into_iter().enumerate() {
                let _ = write!(
                    targets,
                    "{{ address = \"{name}.pstnhub.microsoft.com:5061;tls\", connect_to = \
                     [\"52.112.{at}.1:5061\", \"52.112.{at}.2:5061\"] }}, "
                );
            }
            let _ = write!(
                text,
                "\n[[trunk]]\nname = \"t{number}\"\ntenant = \"contoso\"\npreset = \"teams\"\nrealm = \
                 \"teams\"\ntls = \"teams\"\nfqdn = \"sbc{number}.contoso.example\"\ntargets = [{targets}]\n"
            );
        }
        let loaded = load(
            &[Source::new("test", text)],
            &Assumed::with_names(["*.contoso.example"]),
            None,
        );
        let loaded = loaded.unwrap_or_else(|findings| panic!("{}", findings.to_text()));
        Arc::new(loaded.config)
    }

    /// Entries that are looked at, and OPTIONS that fail, in ten minutes in which no connection comes about.
    fn outage(trunks: usize) -> (usize, usize) {
        let config = hosting(trunks);
        let mint = Mint::new(ShardId(0), [7; 32]);
        let mut plane = Plane::new(ShardId(0), Arc::clone(&config), mint);
        let (mut probes, mut out) = (Probes::default(), Effects::default());
        let mut now = Timestamp::from_micros(1);
        let end = now + Duration::from_secs(600);
        let mut failures = 0;
        let mut is_configured = false;
        while now < end {
            let mut cx = Cx {
                now: Now {
                    mono: now,
                    wall: UnixTime::from_micros(1_750_000_000_000_000),
                },
                plane: &mut plane,
                out: &mut out,
            };
            if !std::mem::replace(&mut is_configured, true) {
                probes.configure(&mut cx, &config);
            }
            probes.tick(&mut cx);
            let last = probes.next;
            for id in 0..=last {
                // Not counted: it is the world that does not answer.
                let looks = probes.probes.looks.get();
                let waits = probes.probes.get(id).and_then(|probe| probe.waits_for);
                probes.probes.looks.set(looks);
                if let Some(transaction) = waits {
                    failures += 1;
                    probes.failed(&mut cx, id, transaction, Some(FlowFault::ConnectTimeout));
                }
            }
            now = probes
                .next_deadline()
                .unwrap_or(end)
                .max(now + Duration::from_millis(500));
            let _: Vec<Effect> = out.drain().collect();
        }
        (probes.probes.looks.get(), failures)
    }

    #[test]
    fn in_a_total_outage_no_failure_looks_at_all_trunks() {
        let (few, many) = (outage(20), outage(200));
        for (looks, failures) in [few, many] {
            assert!(
                failures > 0 && looks / failures < 40,
                "{looks} for {failures}"
            );
        }
        assert!(many.0 < few.0 * 12, "{} and {}", few.0, many.0);
    }
}
