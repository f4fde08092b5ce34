//! Health probing: OPTIONS to every target of every trunk that wants it. Lives on shard 0 only.
//!
//! Teams answers no SBC that it never heard from, so the first probes leave right after the start,
//! spread over a few seconds (TDR-OPT-001). One probe per target is under way at a time. A target
//! changes to dead at its first failure and back to alive at its first good answer; whoever acts on
//! that adds its own hysteresis.

use crate::config::{Config, TargetAddress};
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
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Longest random delay added to every interval: never more often than configured (TDR-OPT-006).
const JITTER: Duration = Duration::from_secs(5);

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
    is_alive: Option<bool>,
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
            let (id, waits_for, is_alive) = match known.and_then(|id| before.remove_entry(&id)) {
                Some((id, probe)) => (id, probe.waits_for, probe.is_alive),
                None => {
                    self.next = self.next.wrapping_add(1);
                    let soon = cx.plane.mint.delay(Duration::ZERO, JITTER);
                    self.due.push(cx.now.mono + soon, self.next);
                    (self.next, Waiting::Nothing, None)
                }
            };
            let style = LegStyle {
                config: Arc::clone(config),
                trunk: Arc::clone(trunk),
                contact_user: None,
            };
            self.probes.insert(
                id,
                Probe {
                    style,
                    target: target.clone(),
                    interval: options.interval,
                    ok: options.ok.clone(),
                    waits_for,
                    is_alive,
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
            let jitter = cx.plane.mint.delay(Duration::ZERO, JITTER);
            self.due.push(cx.now.mono + probe.interval + jitter, id);
            if probe.waits_for == Waiting::Nothing {
                probe.start(cx, id);
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
                if let Some(remote) = addresses.first() {
                    probe.send(cx, id, *remote);
                }
            }
            Outcome::ResolveFailed(fault) => {
                probe.conclude(cx, false, format!("name resolution failed: {fault:?}"));
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
            let is_alive = probe.ok.contains(&status.code());
            probe.conclude(cx, is_alive, format!("answered {status}"));
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
        if let Some((probe, _)) = self.waiting(id, transaction) {
            let because = why.map_or_else(|| "no answer".to_owned(), |why| why.to_string());
            probe.conclude(cx, false, because);
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
    fn start(&mut self, cx: &mut Cx<'_>, id: u32) {
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
            }
        }
    }

    fn send(&mut self, cx: &mut Cx<'_>, id: u32, remote: SocketAddr) {
        // Whoever asked to be left alone is not asked how it is (SIP-1720).
        let (trunk, protocol) = (&self.style.trunk.name, self.target.protocol);
        let quarantine = &cx.plane.quarantine;
        if quarantine.holds(cx.now.mono, trunk, protocol, remote) {
            return;
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
            return self.conclude(cx, false, FlowFault::NoListener.to_string());
        };
        let (now, timers) = (cx.now.mono, TimerSet::from(&self.style.trunk.timers));
        let (table, owner) = (&mut cx.plane.transactions, Owner::Probe(id));
        let method = &Method::Options;
        let sent = table.request(now, method, &branch, bytes, hop, timers, owner, cx.out);
        self.waits_for = Waiting::Answer(sent, remote);
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

    fn conclude(&mut self, cx: &mut Cx<'_>, is_alive: bool, because: String) {
        if self.is_alive == Some(is_alive) {
            return;
        }
        self.is_alive = Some(is_alive);
        let what = Happened::TargetHealth {
            trunk: self.style.trunk.name.clone(),
            host: self.target.host.clone(),
            alive: is_alive,
            because,
        };
        cx.out.emit(None, None, what);
    }
}
