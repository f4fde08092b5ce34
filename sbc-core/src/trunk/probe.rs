//! Health probing: OPTIONS to every target of every trunk that wants it. Lives on shard 0 only.
//!
//! Teams answers no SBC that it never heard from, so the first probes leave right after the start,
//! spread over a few seconds (TDR-OPT-001). One probe per target is under way at a time.
//!
//! What a target first does decides what it is held for. Later it takes three failures in a row, or
//! one of its transport, until one that answered is down, and two answers in a row until it is up
//! again (SIP-1710); meanwhile it is asked more often, unless it is Teams, which counts too many
//! OPTIONS as an offence (TDR-OPT-006).

use crate::config::{Config, Preset, TargetAddress};
use crate::deadline::DeadlineQueue;
use crate::event::Happened;
use crate::id::{QueryId, TransactionId};
use crate::plane::{Asker, Cx};
use crate::query::{Outcome, ResolveSpec};
use crate::session::LegStyle;
use crate::sip::header::{CSeq, CallId, From, Header, MaxForwards, To};
use crate::sip::{HeaderName, Host, Message, Method, RequestBuilder, SipUri, Token, Uri};
use crate::time::Timestamp;
use crate::transaction::{Owner, TimerSet};
use crate::transport::FlowFault;
use crate::trunk::TargetId;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Longest random delay added to every interval: never more often than configured (TDR-OPT-006).
const JITTER: Duration = Duration::from_secs(5);

/// Failures in a row after which a target is down, and answers in a row after which it is up.
const DOWN_AFTER: u32 = 3;
const UP_AFTER: u32 = 2;

/// How often a target is asked that does not answer.
const DOUBTED: Duration = Duration::from_secs(10);
/// Longest random delay added to that.
const DOUBTED_JITTER: Duration = Duration::from_secs(2);

/// All probes of a node.
#[derive(Default)]
pub(crate) struct Probes {
    probes: BTreeMap<u32, Probe>,
    due: DeadlineQueue<u32>,
    next: u32,
}

/// One target of one trunk.
struct Probe {
    style: LegStyle,
    target: TargetAddress,
    interval: Duration,
    ok: Vec<u16>,
    waits_for: Waiting,
    /// When it is asked next; earlier entries of the queue are void.
    due: Timestamp,
    verdict: Verdict,
}

/// What is held of a target, and what speaks against it.
#[derive(Clone, Copy, Default)]
struct Verdict {
    is_alive: Option<bool>,
    /// Whether it was ever up: only then there is something to be confirmed.
    was_alive: bool,
    /// Results in a row that say the opposite.
    against: u32,
}

/// What a probe found out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Finding {
    Answers,
    Silent,
    /// Its transport failed: there is nothing to wait for.
    Unreachable,
}

impl Verdict {
    /// Takes a result; says whether the verdict is another one now.
    fn hears(&mut self, finding: Finding) -> bool {
        let is_alive = finding == Finding::Answers;
        if self.is_alive == Some(is_alive) {
            self.against = 0;
            return false;
        }
        self.against += 1;
        let needed = match (self.is_alive, finding) {
            (None, _) | (_, Finding::Unreachable) => 1,
            (Some(true), _) => DOWN_AFTER,
            (Some(false), _) if self.was_alive => UP_AFTER,
            (Some(false), _) => 1,
        };
        if self.against < needed {
            return false;
        }
        self.is_alive = Some(is_alive);
        self.was_alive |= is_alive;
        self.against = 0;
        true
    }

    fn is_in_doubt(&self) -> bool {
        self.is_alive == Some(false) || self.against > 0
    }
}

/// What a probe is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Nothing,
    Name(QueryId),
    Answer(TransactionId, SocketAddr),
}

impl Probes {
    /// Takes over a configuration. Targets that stay keep what is known about them and when they
    /// are due; new ones are probed soon.
    pub(crate) fn configure(&mut self, cx: &mut Cx<'_>, config: &Arc<Config>) {
        let mut before = std::mem::take(&mut self.probes);
        let wanted = config.trunks.values().flat_map(|trunk| {
            let options = trunk.options.as_ref();
            options.into_iter().flat_map(move |options| {
                trunk
                    .targets
                    .iter()
                    .map(move |target| (trunk, target, options))
            })
        });
        for (trunk, target, options) in wanted {
            let is_same =
                |probe: &Probe| probe.style.trunk.name == trunk.name && probe.target == *target;
            let known = before
                .iter()
                .find(|(_, probe)| is_same(probe))
                .map(|(id, _)| *id);
            let known = known.and_then(|id| before.remove_entry(&id));
            let (id, waits_for, due, verdict) = match known {
                Some((id, probe)) => (id, probe.waits_for, probe.due, probe.verdict),
                None => {
                    self.next = self.next.wrapping_add(1);
                    let due = cx.now.mono + cx.plane.mint.delay(Duration::ZERO, JITTER);
                    self.due.push(due, self.next);
                    (self.next, Waiting::Nothing, due, Verdict::default())
                }
            };
            let style = LegStyle {
                config: Arc::clone(config),
                trunk: Arc::clone(trunk),
                contact_user: None,
                session_id: None,
            };
            self.probes.insert(
                id,
                Probe {
                    style,
                    target: target.clone(),
                    interval: options.interval,
                    ok: options.ok.clone(),
                    waits_for,
                    due,
                    verdict,
                },
            );
        }
    }

    /// When [`Self::tick`] is next wanted.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.due.next()
    }

    /// Starts what is due.
    pub(crate) fn tick(&mut self, cx: &mut Cx<'_>) {
        while let Some(id) = self.due.pop_due(cx.now.mono) {
            let Some(probe) = self.probes.get_mut(&id) else {
                continue;
            };
            if probe.due > cx.now.mono {
                continue;
            }
            probe.due = cx.now.mono + probe.pause(cx);
            self.due.push(probe.due, id);
            if probe.waits_for == Waiting::Nothing
                && let Err(fault) = probe.start(cx, id)
            {
                self.conclude(cx, id, Finding::Unreachable, fault.to_string());
            }
        }
    }

    /// The answer to a probe's name query.
    pub(crate) fn outcome(&mut self, cx: &mut Cx<'_>, id: u32, query: QueryId, outcome: &Outcome) {
        let Some(probe) = self.probes.get_mut(&id) else {
            return;
        };
        if probe.waits_for != Waiting::Name(query) {
            return;
        }
        probe.waits_for = Waiting::Nothing;
        match outcome {
            Outcome::Resolved(addresses) => {
                if let Some(remote) = addresses.first()
                    && let Err(fault) = probe.send(cx, id, *remote)
                {
                    self.conclude(cx, id, Finding::Unreachable, fault.to_string());
                }
            }
            Outcome::ResolveFailed(fault) => {
                let because = format!("name resolution failed: {fault:?}");
                self.conclude(cx, id, Finding::Silent, because);
            }
        }
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
        if let Some((probe, remote)) = self.waiting(id, transaction) {
            let (trunk, protocol) = (&probe.style.trunk.name, probe.target.protocol);
            let quarantine = &mut cx.plane.quarantine;
            quarantine.note(cx.now.mono, trunk, protocol, remote, message);
            let finding = match probe.ok.contains(&status.code()) {
                true => Finding::Answers,
                false => Finding::Silent,
            };
            self.conclude(cx, id, finding, format!("answered {status}"));
        }
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
                None => self.conclude(cx, id, Finding::Silent, "no answer".to_owned()),
                Some(why) => self.conclude(cx, id, Finding::Unreachable, why.to_string()),
            }
        }
    }

    /// Takes the result of a probe.
    fn conclude(&mut self, cx: &mut Cx<'_>, id: u32, finding: Finding, because: String) {
        let Some(probe) = self.probes.get_mut(&id) else {
            return;
        };
        let is_changed = probe.verdict.hears(finding);
        let due = match probe.verdict.is_in_doubt() {
            true => probe.due.min(cx.now.mono + probe.pause(cx)),
            false => probe.due.max(cx.now.mono + probe.interval),
        };
        if due != probe.due {
            probe.due = due;
            self.due.push(due, id);
        }
        if is_changed {
            let target = TargetId::of(&probe.style.trunk.name, &probe.target);
            let alive = finding == Finding::Answers;
            cx.plane.health.note(&target, alive);
            let what = Happened::TargetHealth {
                target,
                alive,
                because,
            };
            cx.out.emit(None, None, what);
        }
    }

    fn waiting(&mut self, id: u32, transaction: TransactionId) -> Option<(&mut Probe, SocketAddr)> {
        let probe = self.probes.get_mut(&id)?;
        match probe.waits_for {
            Waiting::Answer(own, remote) if own == transaction => {
                probe.waits_for = Waiting::Nothing;
                Some((probe, remote))
            }
            Waiting::Answer(..) | Waiting::Name(_) | Waiting::Nothing => None,
        }
    }
}

impl Probe {
    /// Until it is asked again.
    fn pause(&self, cx: &mut Cx<'_>) -> Duration {
        let is_pressed = self.verdict.is_in_doubt() && self.style.trunk.preset != Preset::Teams;
        let (interval, jitter) = match is_pressed {
            true => (self.interval.min(DOUBTED), DOUBTED_JITTER),
            false => (self.interval, JITTER),
        };
        interval + cx.plane.mint.delay(Duration::ZERO, jitter)
    }

    fn start(&mut self, cx: &mut Cx<'_>, id: u32) -> Result<(), FlowFault> {
        let literal = self.target.host.trim_matches(['[', ']']).parse().ok();
        let literal = literal.map(|address| SocketAddr::new(address, self.target.port));
        match self.target.connect_to.first().copied().or(literal) {
            Some(remote) => self.send(cx, id, remote),
            None => {
                let spec = ResolveSpec {
                    host: self.target.host.clone(),
                    port: self.target.port,
                    protocol: self.target.protocol,
                };
                self.waits_for = Waiting::Name(cx.resolve(Asker::Probe(id), spec));
                Ok(())
            }
        }
    }

    fn send(&mut self, cx: &mut Cx<'_>, id: u32, remote: SocketAddr) -> Result<(), FlowFault> {
        // Whoever asked to be left alone is not asked how it is (SIP-1720).
        let (trunk, protocol) = (&self.style.trunk.name, self.target.protocol);
        let quarantine = &cx.plane.quarantine;
        if quarantine.holds(cx.now.mono, trunk, protocol, remote) {
            return Ok(());
        }
        let hop = self
            .style
            .hop(self.target.protocol, remote, &self.target.host);
        let branch = cx.plane.mint.branch();
        let tag = Token::from_minted(cx.plane.mint.tag());
        let call_id = CallId::from_minted(cx.plane.mint.call_id());
        let request = hop.as_ref().and_then(|hop| {
            let listener = self.style.config.listeners.get(&hop.listener)?;
            let via = self.style.via(listener, &branch)?;
            self.request(listener, tag, &call_id)
                .map(|request| request.header(&via).build())
        });
        let (Some(hop), Some(bytes)) = (hop, request) else {
            return Err(FlowFault::NoListener);
        };
        let (now, timers) = (cx.now.mono, TimerSet::from(&self.style.trunk.timers));
        let (table, owner) = (&mut cx.plane.transactions, Owner::Probe(id));
        let method = &Method::Options;
        let sent = table.request(now, method, &branch, bytes, hop, timers, owner, cx.out);
        self.waits_for = Waiting::Answer(sent, remote);
        Ok(())
    }

    /// The OPTIONS in the form that Teams documents (TDR-OPT-002, TDR-OPT-003); right for carriers
    /// as well.
    fn request(
        &self,
        listener: &crate::config::Listener,
        tag: Token,
        call_id: &CallId,
    ) -> Option<RequestBuilder> {
        let peer = Host::parse(Bytes::from(self.target.host.clone())).ok()?;
        let mut to = SipUri::new(peer);
        to.port = Some(self.target.port);
        let mut request_uri = to.clone();
        self.style
            .write_transport(&mut request_uri, self.target.protocol);
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
