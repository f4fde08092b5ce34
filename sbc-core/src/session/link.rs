//! A dialog and the way to its peer: finds the next hop of in-dialog requests and sends them.
//!
//! Finding the hop may need a DNS answer. Until it is there, requests wait in order; when the name
//! cannot be resolved, they go where the peer was last heard, which is better than nowhere.

mod heard;

use super::resting::Resting;
use crate::auth::Tries;
use crate::config::{Listener, TargetAddress, UdpOversize};
use crate::dialog::{Dialog, NextHop};
use crate::event::{Happened, OversizeAction};
use crate::id::{CallId, LegId, QueryId, TransactionId};
use crate::locate::{MAX_ADDRESSES, in_order};
use crate::mint::MAGIC_COOKIE;
use crate::plane::{Asker, Cx};
use crate::policy::emergency::Parts;
use crate::query::{Outcome, ResolveSpec};
use crate::seldom::Seldom;
use crate::session::challenge::Proofs;
use crate::session::style::LegStyle;
use crate::sip::header::{ContentType, MaxForwards, Via};
use crate::sip::{HeaderName, Method, RequestBuilder};
use crate::time::Timestamp;
use crate::transaction::Owner;
use crate::transport::{Hop, Protocol};
use crate::trunk::{Footing, Place};
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// One dialog with the way to its peer.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) dialog: Dialog,
    owner: (CallId, LegId),
    /// Where the peer was last heard.
    fallback: Hop,
    /// Where we have dialled it before it came by a connection of its own.
    home: Option<Box<Hop>>,
    way: Way,
    waiting: Vec<Waiting>,
    /// What the dialog has shown of our account.
    pub(crate) proofs: Proofs,
    /// The ACK for the 2xx that made the dialog, while the answer in it is awaited.
    held_ack: Option<Box<HeldAck>>,
    /// Our BYE, while it is unanswered.
    pub(crate) bye: Option<TransactionId>,
    /// Our other requests without a final response.
    open: Vec<Open>,
    /// Those of them that went over TCP only because of their size.
    detours: Seldom<(TransactionId, Waiting)>,
    /// The peer does not take over TCP what is too large for UDP.
    has_no_stream: bool,
    /// Other addresses of the next hop's name, for when the one in use fails (TDR-DNS-006, RFC 3263 §4.3).
    #[allow(
        clippy::box_collection,
        reason = "a word, where there is nearly always nothing"
    )]
    others: Option<Box<VecDeque<Hop>>>,
    /// Requests without a final response that could go to one of them, and those that must arrive.
    movable: Seldom<(TransactionId, Hop, Waiting)>,
    /// Those that could not be sent, until they are tried again.
    pub(super) resting: Seldom<Resting>,
    /// A BYE of ours has found nobody.
    pub(super) is_cut_off: bool,
}

/// An ACK that lacks its answer.
#[derive(Debug)]
struct HeldAck {
    /// Sequence number of the INVITE.
    cseq: u32,
    /// Its transaction.
    invite: TransactionId,
    /// What is answered where nothing better is known in the end.
    refusal: Option<Bytes>,
}

/// A request of ours in the dialog that has no final response yet.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) id: TransactionId,
    pub(crate) method: Method,
    pub(crate) cseq: u32,
    pub(crate) since: Timestamp,
}

/// A request that waits for the way to be known.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) wanted: Wanted,
    /// Challenges that it has been through.
    tries: Tries,
    /// When it was first sent, if it was.
    pub(super) since: Option<Timestamp>,
    /// An address has been silent to it.
    has_waited: bool,
}

impl Waiting {
    pub(super) fn first(wanted: Wanted) -> Self {
        Self {
            wanted,
            tries: Tries::default(),
            since: None,
            has_waited: false,
        }
    }

    /// Whether another address may be silent to it as well: one more at most, because the leg goes on until
    /// then, and never what its sender has been told by then that it failed (SIP-407).
    fn may_wait_again(&self) -> bool {
        let is_told = match &self.wanted {
            Wanted::Request(errand) => matches!(errand.method, Method::Info | Method::Message),
            Wanted::Ack { .. } | Wanted::Bye(_) => false,
        };
        !self.has_waited && !is_told
    }

    /// Whether it is of use when the session ends.
    fn is_of_end(&self) -> bool {
        match &self.wanted {
            Wanted::Request(errand) => errand.method == Method::Notify,
            Wanted::Ack { .. } | Wanted::Bye(_) => true,
        }
    }
}

#[derive(Debug)]
enum Way {
    Unknown,
    Asking(QueryId, NextHop),
    Known(NextHop, Hop),
}

/// A request to send within the dialog.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// ACK for the 2xx of our INVITE.
    Ack {
        /// Sequence number of the INVITE.
        cseq: u32,
        /// Its transaction.
        invite: TransactionId,
        /// Our answer, where the 2xx offers.
        answer: Option<Bytes>,
    },
    /// BYE, with what it says beside.
    Bye(Parting),
    /// Any other request.
    Request(Box<Errand>),
}

/// What a BYE says beside that it is one.
#[derive(Clone, Default, Debug)]
pub(crate) struct Parting {
    /// Reason, and what policy lets through of the other party's.
    pub(crate) lines: Vec<(HeaderName, Bytes)>,
    /// Parts of the other party's body that pass.
    pub(crate) parts: Parts,
}

/// A request other than ACK and BYE.
#[derive(Clone, Debug)]
pub(crate) struct Errand {
    pub(crate) method: Method,
    pub(crate) hops: MaxForwards,
    pub(crate) headers: Vec<(HeaderName, Bytes)>,
    pub(crate) body: Option<(ContentType, Bytes)>,
}

impl Link {
    pub(crate) fn new(dialog: Dialog, owner: (CallId, LegId), fallback: Hop) -> Self {
        Self {
            dialog,
            owner,
            fallback,
            home: None,
            way: Way::Unknown,
            waiting: Vec::new(),
            proofs: Proofs::default(),
            held_ack: None,
            bye: None,
            open: Vec::new(),
            detours: Seldom::default(),
            has_no_stream: false,
            others: None,
            movable: Seldom::default(),
            resting: Seldom::default(),
            is_cut_off: false,
        }
    }

    /// Sends a request, now or as soon as the way is known, and nothing rests that it must not overtake.
    pub(crate) fn send(&mut self, cx: &mut Cx<'_>, style: &LegStyle, wanted: Wanted) {
        if let Some(wanted) = self.behind_news(cx.now.mono, wanted) {
            self.send_again(cx, style, wanted, Tries::default());
        }
    }

    /// As [`Self::send`], for a request that was challenged.
    pub(super) fn send_again(
        &mut self,
        cx: &mut Cx<'_>,
        style: &LegStyle,
        wanted: Wanted,
        tries: Tries,
    ) {
        let waiting = Waiting {
            tries,
            ..Waiting::first(wanted)
        };
        self.put(cx, style, [waiting]);
    }

    fn put(
        &mut self,
        cx: &mut Cx<'_>,
        style: &LegStyle,
        waiting: impl IntoIterator<Item = Waiting>,
    ) {
        self.waiting.extend(waiting);
        if !matches!(self.way, Way::Asking(..)) {
            self.find_way(cx, style);
        }
    }

    /// As [`Self::put`], along a way that is asked for anew.
    pub(super) fn put_anew(&mut self, cx: &mut Cx<'_>, style: &LegStyle, waiting: Vec<Waiting>) {
        if !matches!(self.way, Way::Asking(..)) {
            self.way = Way::Unknown;
        }
        self.put(cx, style, waiting);
    }

    /// Sends ACK, with this answer, and BYE to where the peer was last heard, without waiting for any
    /// resolver.
    pub(crate) fn end_at_once(
        mut self,
        cx: &mut Cx<'_>,
        style: &LegStyle,
        (cseq, invite): (u32, TransactionId),
        answer: Option<Bytes>,
    ) {
        self.stays_where_heard();
        let ack = Wanted::Ack {
            cseq,
            invite,
            answer,
        };
        let wanted = [ack, Wanted::Bye(Parting::default())];
        self.waiting.extend(wanted.map(Waiting::first));
        self.flush(cx, style);
    }

    /// Whether this query was asked for this link.
    pub(crate) fn asked(&self, query: QueryId) -> bool {
        matches!(&self.way, Way::Asking(id, _) if *id == query)
    }

    /// Takes the answer to the link's query.
    pub(crate) fn resolved(&mut self, cx: &mut Cx<'_>, style: &LegStyle, outcome: &Outcome) {
        let Way::Asking(_, next) = &self.way else {
            return;
        };
        let next = next.clone();
        if next != self.dialog.next_hop() {
            // The peer has moved since it was asked (SIP-303).
            self.way = Way::Unknown;
            return self.find_way(cx, style);
        }
        let hops: Vec<Hop> = match outcome {
            Outcome::Resolved(addresses) => {
                let mut found = addresses.clone();
                style.trunk.prefer.sort(&mut found, SocketAddr::is_ipv4);
                let found = found.into_iter().filter(|remote| style.has_family(remote));
                let hops = found.filter_map(|remote| self.hop_to(style, &next, remote));
                hops.take(MAX_ADDRESSES).collect()
            }
            Outcome::Located(services) => {
                let places = in_order(services, style.trunk.prefer, &mut cx.plane.mint);
                let hops = places.into_iter().filter_map(|(protocol, remote)| {
                    let next = NextHop {
                        protocol: Some(protocol),
                        ..next.clone()
                    };
                    self.hop_to(style, &next, remote)
                });
                hops.collect()
            }
            Outcome::Won(_) | Outcome::Verified(_) | Outcome::ResolveFailed(_) => Vec::new(),
        };
        self.take_way(cx, style, next, hops);
    }

    /// Takes the first of these ways and keeps the others, best first: what is down comes last, and of the
    /// rest the address where the peer was last heard is the one that is known to have the dialog
    /// (SIP-126, SIP-302).
    fn take_way(&mut self, cx: &mut Cx<'_>, style: &LegStyle, next: NextHop, mut hops: Vec<Hop>) {
        let heard = self.fallback.remote.ip();
        hops.sort_by_cached_key(|hop| {
            let place = Place::of(&style.trunk, hop.protocol, hop.remote);
            let footing = cx.plane.health.footing(cx.now.mono, &place);
            let is_down = footing == Footing::Bad;
            (is_down, hop.remote.ip() != heard)
        });
        let mut hops = hops.into_iter();
        let hop = hops.next().unwrap_or_else(|| self.fallback.clone());
        self.others = match hops.len() {
            // Nearly always, and what a list takes it takes for the whole call.
            0 => None,
            _ => Some(Box::new(hops.collect())),
        };
        self.way = Way::Known(next, hop);
        self.flush(cx, style);
    }

    /// Keeps the ACK for the 2xx back until there is an answer to what it offers; this one if there is
    /// no other in the end.
    pub(crate) fn hold_ack(&mut self, cseq: u32, invite: TransactionId, refusal: Option<Bytes>) {
        self.held_ack = Some(Box::new(HeldAck {
            cseq,
            invite,
            refusal,
        }));
    }

    /// Whether the ACK is kept back.
    pub(crate) fn holds_ack(&self) -> bool {
        self.held_ack.is_some()
    }

    /// Sends the ACK that was kept back, if it was.
    pub(crate) fn release_ack(&mut self, cx: &mut Cx<'_>, style: &LegStyle, answer: Option<Bytes>) {
        if let Some(held) = self.held_ack.take() {
            let ack = Wanted::Ack {
                cseq: held.cseq,
                invite: held.invite,
                answer: answer.or(held.refusal),
            };
            self.send(cx, style, ack);
        }
    }

    /// Whether the ACK for the 2xx of this INVITE waits here: for the way to be found, or for its
    /// answer.
    pub(crate) fn owes_ack(&self, invite: TransactionId, remote_tag: &[u8]) -> bool {
        let is_held = self
            .held_ack
            .as_ref()
            .is_some_and(|held| held.invite == invite);
        self.dialog.remote_tag() == remote_tag
            && (is_held || self
                .waiting
                .iter()
                .any(|waiting| matches!(&waiting.wanted, Wanted::Ack { invite: of, .. } if *of == invite)))
    }

    /// Whether nothing more is to be sent or awaited, a 2xx that needs an ACK included.
    pub(crate) fn is_done(&self) -> bool {
        self.is_idle() && self.open_invite().is_none()
    }

    /// Nothing waits to be sent and no BYE is unanswered.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.resting.is_empty() && self.bye.is_none()
    }

    /// Whether the INVITE usage has nothing left to say: what waits is told in other usages.
    pub(super) fn has_said_all(&self) -> bool {
        let resting = self.resting.iter().map(|resting| &resting.waiting);
        let mut waiting = self.waiting.iter().chain(resting);
        self.bye.is_none() && waiting.all(|own| matches!(own.wanted, Wanted::Request(_)))
    }

    /// Our INVITE without a final response, once it is sent.
    pub(crate) fn open_invite(&self) -> Option<TransactionId> {
        let mut open = self.open.iter();
        Some(open.find(|open| open.method == Method::Invite)?.id)
    }

    /// The request of ours that this transaction is.
    pub(crate) fn open(&self, id: TransactionId) -> Option<&Open> {
        self.open.iter().find(|open| open.id == id)
    }

    /// The subscription that a NOTIFY of ours is of, until it is closed: news that must arrive are remembered.
    pub(super) fn event_of(&self, id: TransactionId) -> Option<Bytes> {
        let movable = self.movable.iter().map(|(own, _, waiting)| (own, waiting));
        let mut sent = movable.chain(self.detours.iter().map(|(own, waiting)| (own, waiting)));
        let (_, waiting) = sent.find(|(own, _)| **own == id)?;
        waiting.wanted.news_of().cloned()
    }

    /// A request of ours has its final response or will never get one.
    pub(crate) fn close(&mut self, id: TransactionId) -> Option<Open> {
        self.detours.retain(|(own, _)| *own != id);
        self.movable.retain(|(own, ..)| *own != id);
        let at = self.open.iter().position(|open| open.id == id)?;
        Some(self.open.swap_remove(at))
    }

    /// A request of ours could not be sent over TCP, where it went for its size alone: it goes over UDP
    /// then, as all that come after it (SIP-110). Says whether that is so.
    pub(super) fn without_detour(
        &mut self,
        cx: &mut Cx<'_>,
        style: &LegStyle,
        id: TransactionId,
    ) -> bool {
        let at = self.detours.iter().position(|(own, _)| *own == id);
        let Some((_, waiting)) = at.and_then(|at| self.detours.remove(at)) else {
            return false;
        };
        self.has_no_stream = true;
        self.close(id);
        self.send_again(cx, style, waiting.wanted, waiting.tries);
        true
    }

    /// A request of ours found nobody at its address: it goes to another one of the same name, or where the peer was
    /// heard since, as all that come after it. Says whether there is one.
    pub(super) fn another_way(
        &mut self,
        cx: &mut Cx<'_>,
        style: &LegStyle,
        id: TransactionId,
        was_silent: bool,
    ) -> bool {
        let Some(at) = self.movable.iter().position(|(own, ..)| *own == id) else {
            return false;
        };
        let waits_enough = |waiting: &Waiting| was_silent && !waiting.may_wait_again();
        if self.movable.get(at).is_none_or(|own| waits_enough(&own.2)) {
            return false;
        }
        match &mut self.way {
            Way::Asking(..) => return false,
            // No way to who registers is kept, and so it would lead where it has just led.
            Way::Unknown if style.trunk.registrar.is_some() => return false,
            // The peer was heard elsewhere since: it goes where that leads.
            Way::Unknown => {}
            Way::Known(_, current) => {
                if self.movable.get(at).is_some_and(|own| own.1 == *current) {
                    let Some(other) = self.others.as_mut().and_then(|own| own.pop_front()) else {
                        return false;
                    };
                    *current = other;
                }
            }
        }
        let Some((.., mut waiting)) = self.movable.remove(at) else {
            return false;
        };
        waiting.has_waited |= was_silent;
        self.ended(id);
        self.put(cx, style, [waiting]);
        true
    }

    /// An INVITE is cancelled, so it goes nowhere else.
    pub(super) fn stays(&mut self, id: TransactionId) {
        self.movable.retain(|(own, ..)| *own != id);
    }

    /// When a request was first sent that must arrive.
    pub(super) fn insists_since(&self, id: TransactionId) -> Option<Timestamp> {
        let (.., waiting) = self.movable.iter().find(|(own, ..)| *own == id)?;
        waiting.since.filter(|_| waiting.must_arrive())
    }

    /// Takes a request back that nobody has got.
    pub(super) fn take_back(&mut self, id: TransactionId) -> Option<Waiting> {
        let at = self.movable.iter().position(|(own, ..)| *own == id)?;
        let (.., waiting) = self.movable.remove(at)?;
        self.ended(id);
        Some(waiting)
    }

    /// A request of ours, a BYE too, will not be answered.
    fn ended(&mut self, id: TransactionId) {
        self.bye.take_if(|bye| *bye == id);
        self.close(id);
    }

    /// Whether a request that fails may go to another address.
    pub(super) fn is_movable(&self, id: TransactionId) -> bool {
        self.movable.iter().any(|(own, ..)| *own == id)
    }

    /// The method of a request that took a way of its own for its size.
    pub(super) fn detour_of(&self, id: TransactionId) -> Option<&Method> {
        let is_own = self.detours.iter().any(|(own, _)| *own == id);
        self.open(id).filter(|_| is_own).map(|open| &open.method)
    }

    /// Whether a request of ours other than BYE has no final response yet.
    pub(crate) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Forgets offers and refreshes that wait to be sent, but not ACK, BYE and what a peer waits to
    /// be told.
    pub(crate) fn drop_errands(&mut self) {
        self.waiting.retain(Waiting::is_of_end);
        self.resting.retain(|resting| resting.waiting.is_of_end());
        self.movable.retain(|(.., waiting)| waiting.is_of_end());
    }

    /// Whether something that the peer is to be told waits to be sent.
    pub(super) fn has_news(&self) -> bool {
        let resting = self.resting.iter().map(|resting| &resting.waiting);
        let mut waiting = self.waiting.iter().chain(resting);
        waiting.any(|waiting| match &waiting.wanted {
            Wanted::Request(errand) => errand.method == Method::Notify,
            Wanted::Ack { .. } | Wanted::Bye(_) => false,
        })
    }

    fn find_way(&mut self, cx: &mut Cx<'_>, style: &LegStyle) {
        let next = self.dialog.next_hop();
        if matches!(&self.way, Way::Known(known, _) if *known == next) {
            return self.flush(cx, style);
        }
        self.others = None;
        if style.trunk.registrar.is_some() {
            // What its Contact names may lie behind NAT: requests go where its registration came
            // from, or where it was heard (SIP-107).
            let target = &self.dialog.remote_target;
            let bindings = &cx.plane.bindings;
            let moved = bindings.way(cx.now.mono, style, &self.fallback, target);
            // It may move again before the next request.
            let hop = moved.unwrap_or_else(|| self.fallback.clone());
            self.way = Way::Known(next, hop);
            self.flush(cx, style);
            self.way = Way::Unknown;
            return;
        }
        if self.is_reached_where_heard(style) {
            // What a peer behind a NAT calls itself, nobody outside can reach (SIP-107).
            self.others = self.ways_but_heard(style);
            self.way = Way::Known(next, self.fallback.clone());
            return self.flush(cx, style);
        }
        let protocol = self.protocol(&next);
        let places = match next.literal(protocol) {
            Some(remote) => vec![remote],
            None => pinned_addresses(style, &next, protocol),
        };
        match places.is_empty() {
            false => {
                let hops = places.into_iter();
                let hops = hops.filter_map(|remote| self.hop_to(style, &next, remote));
                let hops = hops.collect();
                self.take_way(cx, style, next, hops);
            }
            true if next.port.is_none() => {
                // A name without port may be a domain with servers of its own (RFC 3263 §4).
                let is_open = next.protocol.is_none() && protocol != Protocol::Tls;
                let spec = style.locate_host(&next.host, protocol, is_open);
                let query = cx.locate(Asker::Leg(self.owner.0, self.owner.1), spec);
                self.way = Way::Asking(query, next);
            }
            true => {
                let spec = ResolveSpec {
                    host: next.host.clone(),
                    port: next.port_for(protocol),
                    protocol,
                    families: style.families(&[protocol]),
                };
                let query = cx.resolve(Asker::Leg(self.owner.0, self.owner.1), spec);
                self.way = Way::Asking(query, next);
            }
        }
    }

    /// The protocol a peer names; without one the leg's own. A TLS leg never leaves TLS.
    fn protocol(&self, next: &NextHop) -> Protocol {
        match self.fallback.protocol {
            Protocol::Tls => Protocol::Tls,
            own => next.protocol.unwrap_or(own),
        }
    }

    fn hop_to(&self, style: &LegStyle, next: &NextHop, remote: SocketAddr) -> Option<Hop> {
        let protocol = self.protocol(next);
        // The peer that we already talk to: keep the connection and its verified name.
        if remote == self.fallback.remote && protocol == self.fallback.protocol {
            return Some(self.fallback.clone());
        }
        let server_name = match (&self.fallback.tls, next.host.parse::<std::net::IpAddr>()) {
            (Some(tls), Ok(_)) => tls.server_name.clone(),
            _ => next.host.clone(),
        };
        style.hop(protocol, remote, &server_name)
    }

    fn flush(&mut self, cx: &mut Cx<'_>, style: &LegStyle) {
        let Way::Known(_, hop) = &self.way else {
            return;
        };
        let hop = hop.clone();
        for waiting in std::mem::take(&mut self.waiting) {
            self.transmit(cx, style, &hop, waiting);
        }
    }

    fn transmit(&mut self, cx: &mut Cx<'_>, style: &LegStyle, hop: &Hop, waiting: Waiting) {
        let Waiting {
            wanted,
            tries,
            since,
            has_waited,
        } = waiting;
        let since = since.unwrap_or(cx.now.mono);
        match wanted {
            Wanted::Ack {
                cseq,
                invite,
                answer,
            } => self.transmit_ack(cx, style, hop, (cseq, invite), answer.as_ref()),
            Wanted::Bye(mut said) => {
                let Some((branch, _, via)) = leaving(cx, style, hop) else {
                    return;
                };
                self.keeps_proofs(cx, style, hop.remote, &mut said.lines);
                let cseq = self.dialog.next_cseq();
                let mut request = self.dialog.request(Method::Bye, cseq).header(&via);
                for (name, value) in &said.lines {
                    request = request.raw_if_valid(name, value);
                }
                let method = &Method::Bye;
                let boundary = branch.trim_start_matches(MAGIC_COOKIE);
                let request = match said.parts.with(None, boundary) {
                    Some(body) => style
                        .sign_request(request)
                        .lines_if_valid(&body.lines)
                        .body(&body.kind, body.octets),
                    None => style.sign_request(request),
                };
                let again = tries.clone();
                let (request, proof) = self.proofs.sign(cx, style, hop, method, request, tries);
                let id = self.start(cx, style, hop, method, &branch, request.build());
                self.bye = Some(id);
                let wanted = Wanted::Bye(said.clone());
                self.may_move(id, hop, wanted, again, (since, has_waited));
                self.proofs.sent(id, proof, Wanted::Bye(said));
            }
            Wanted::Request(mut errand) => {
                let Some((branch, listener, via)) = leaving(cx, style, hop) else {
                    return;
                };
                self.keeps_proofs(cx, style, hop.remote, &mut errand.headers);
                let cseq = self.dialog.next_cseq();
                let request =
                    self.written(style, listener, &via, &errand, cseq, LegStyle::sign_request);
                let method = errand.method.clone();
                let again = tries.clone();
                let (request, proof) = self.proofs.sign(cx, style, hop, &method, request, tries);
                let mut bytes = request.build();
                let (detour, action) = self.detour(cx, style, hop, bytes.len());
                let signed = |request| match &proof {
                    Some(proof) => proof.rewritten(request).build(),
                    None => request.build(),
                };
                if action == Some(OversizeAction::Slim) {
                    let sign = LegStyle::sign_briefly;
                    bytes = signed(self.written(style, listener, &via, &errand, cseq, sign));
                }
                let over_stream = detour.as_ref().and_then(|hop| {
                    let listener = style.config.listeners.get(&hop.listener)?;
                    let via = style.via(listener, &branch)?;
                    let sign = LegStyle::sign_request;
                    Some(signed(
                        self.written(style, listener, &via, &errand, cseq, sign),
                    ))
                });
                let detour = detour.filter(|_| over_stream.is_some());
                bytes = over_stream.unwrap_or(bytes);
                let hop = detour.as_ref().unwrap_or(hop);
                let id = self.start(cx, style, hop, &method, &branch, bytes);
                self.open.push(Open {
                    id,
                    method,
                    cseq,
                    since: cx.now.mono,
                });
                if detour.is_some() {
                    let waiting = Waiting {
                        wanted: Wanted::Request(errand.clone()),
                        tries: again,
                        since: Some(since),
                        has_waited,
                    };
                    self.detours.push((id, waiting));
                } else {
                    let wanted = Wanted::Request(errand.clone());
                    self.may_move(id, hop, wanted, again, (since, has_waited));
                }
                self.proofs.sent(id, proof, Wanted::Request(errand));
            }
        }
    }

    fn transmit_ack(
        &self,
        cx: &mut Cx<'_>,
        style: &LegStyle,
        hop: &Hop,
        (cseq, invite): (u32, TransactionId),
        answer: Option<&Bytes>,
    ) {
        // A repeated 2xx says that the ACK was not seen: it then goes to another address (SIP-212).
        let others = self.others.iter().flat_map(|own| own.iter());
        let ways = std::iter::once(hop).chain(others).take(ACK_COPIES);
        let mut copies = VecDeque::with_capacity(1);
        for hop in ways {
            self.ack_copies(cx, style, hop, (cseq, invite), answer, &mut copies);
        }
        let keep = 64 * style.trunk.timers.t1;
        let tag = Bytes::copy_from_slice(self.dialog.remote_tag());
        let (now, owner) = (cx.now.mono, self.owner);
        let plane = &mut *cx.plane;
        let tally = plane.tally.of(&style.trunk.name);
        plane
            .acks
            .send(now, keep, invite, tag, copies, owner, style, tally, cx.out);
    }

    /// Remembers a request for as long as it could go elsewhere, or must arrive.
    fn may_move(
        &mut self,
        id: TransactionId,
        hop: &Hop,
        wanted: Wanted,
        tries: Tries,
        (since, has_waited): (Timestamp, bool),
    ) {
        let waiting = Waiting {
            wanted,
            tries,
            since: Some(since),
            has_waited,
        };
        let has_others = self.others.as_ref().is_some_and(|own| !own.is_empty());
        if has_others || waiting.must_arrive() {
            self.movable.push((id, hop.clone(), waiting));
        }
    }

    /// The ACK to one address: one with a long answer by the way that the trunk has for it (SIP-110), and
    /// over UDP where nobody hears that.
    fn ack_copies(
        &self,
        cx: &mut Cx<'_>,
        style: &LegStyle,
        hop: &Hop,
        invite: (u32, TransactionId),
        answer: Option<&Bytes>,
        copies: &mut VecDeque<(Hop, Bytes)>,
    ) {
        let sign = LegStyle::sign_request;
        let Some(mut bytes) = self.ack(cx, style, hop, invite, answer, sign) else {
            return;
        };
        let (detour, action) = self.detour(cx, style, hop, bytes.len());
        if let Some(detour) = detour
            && let Some(bytes) = self.ack(cx, style, &detour, invite, answer, sign)
        {
            copies.push_back((detour, bytes));
        }
        if action == Some(OversizeAction::Slim) {
            let sign = LegStyle::sign_briefly;
            bytes = self
                .ack(cx, style, hop, invite, answer, sign)
                .unwrap_or(bytes);
        }
        copies.push_back((hop.clone(), bytes));
    }

    /// The ACK as it leaves by this way.
    fn ack(
        &self,
        cx: &mut Cx<'_>,
        style: &LegStyle,
        hop: &Hop,
        (cseq, invite): (u32, TransactionId),
        answer: Option<&Bytes>,
        sign: fn(&LegStyle, RequestBuilder) -> RequestBuilder,
    ) -> Option<Bytes> {
        let (_, _, via) = leaving(cx, style, hop)?;
        let request = self.dialog.request(Method::Ack, cseq).header(&via);
        let request = sign(style, request);
        // A Contact can name any host; credentials are none of its business.
        let request = match self.is_peer(cx, style, hop.remote) {
            true => self.proofs.sign_ack(invite, request),
            false => request,
        };
        Some(match answer {
            Some(answer) => request.body(&ContentType::sdp(), answer.clone()).build(),
            None => request.build(),
        })
    }

    /// A request other than ACK and BYE, without credentials.
    fn written(
        &self,
        style: &LegStyle,
        listener: &Listener,
        via: &Via,
        errand: &Errand,
        cseq: u32,
        sign: fn(&LegStyle, RequestBuilder) -> RequestBuilder,
    ) -> RequestBuilder {
        let Errand {
            method,
            hops,
            headers,
            body,
        } = errand;
        let request = self.dialog.request_with(method.clone(), cseq, *hops);
        let mut request = request.header(via);
        if is_target_refresh(method) {
            request = request
                .header(&style.contact(listener))
                .raw_if_valid(HeaderName::Allow, style.allow());
        }
        for (name, value) in headers {
            request = request.raw_if_valid(name, value);
        }
        let request = sign(style, request);
        match body {
            Some((kind, body)) => request.body(kind, body.clone()),
            None => request,
        }
    }

    /// The way over TCP of a request that is too large for a datagram (RFC 3261 §18.1.1), and what becomes
    /// of one that is.
    fn detour(
        &self,
        cx: &mut Cx<'_>,
        style: &LegStyle,
        hop: &Hop,
        octets: usize,
    ) -> (Option<Hop>, Option<OversizeAction>) {
        let trunk = &style.trunk;
        let largest = trunk.habits.largest_datagram();
        if hop.protocol != Protocol::Udp || octets <= largest {
            return (None, None);
        }
        // Where datagrams come from behind a NAT nobody need listen for connections.
        let is_behind_nat = trunk.registrar.is_some() || self.is_symmetric(style);
        let over_stream = style.hop(Protocol::Tcp, hop.remote, "");
        let (detour, action) = match (trunk.udp_oversize, over_stream) {
            (UdpOversize::Tcp, Some(_)) if self.has_no_stream => (None, OversizeAction::Fallback),
            (UdpOversize::Tcp, Some(detour)) if !is_behind_nat => {
                (Some(detour), OversizeAction::Tcp)
            }
            (UdpOversize::Slim, _) => (None, OversizeAction::Slim),
            (UdpOversize::Tcp | UdpOversize::Fragment, _) => (None, OversizeAction::Fragment),
        };
        let what = Happened::Oversize {
            trunk: trunk.name.clone(),
            octets,
            largest,
            action,
        };
        cx.out.emit(Some(self.owner.0), Some(self.owner.1), what);
        (detour, Some(action))
    }

    fn start(
        &self,
        cx: &mut Cx<'_>,
        style: &LegStyle,
        hop: &Hop,
        method: &Method,
        branch: &str,
        bytes: Bytes,
    ) -> TransactionId {
        let owner = Owner::Leg(self.owner.0, self.owner.1);
        let (now, hop, trunk) = (cx.now.mono, hop.clone(), &style.trunk);
        cx.plane
            .request(now, trunk, method, branch, bytes, hop, owner, cx.out)
    }
}

/// The branch of a new request, the listener that it leaves by, and its Via.
fn leaving<'a>(
    cx: &mut Cx<'_>,
    style: &'a LegStyle,
    hop: &Hop,
) -> Option<(String, &'a Listener, Via)> {
    let listener = style.config.listeners.get(&hop.listener)?;
    let branch = cx.plane.mint.branch();
    let via = style.via(listener, &branch)?;
    Some((branch, listener, via))
}

/// Whether requests of this method and their 2xx say where a party is found from now on (SIP-303).
pub(super) fn is_target_refresh(method: &Method) -> bool {
    matches!(
        method,
        Method::Invite | Method::Update | Method::Subscribe | Method::Notify | Method::Refer
    )
}

/// The addresses that the configuration pins for a host of this trunk: with their ports where the peer names
/// what is configured, else with the one that it names.
fn pinned_addresses(style: &LegStyle, next: &NextHop, protocol: Protocol) -> Vec<SocketAddr> {
    let targets = style.trunk.targets.iter();
    let of_host = targets.filter(|target| target.host.eq_ignore_ascii_case(&next.host));
    let port = next.port_for(protocol);
    let same = |target: &&TargetAddress| target.protocol == protocol && target.port == port;
    let pinned = match of_host.clone().find(same) {
        Some(target) => target.connect_to.clone(),
        None => of_host
            .flat_map(|target| &target.connect_to)
            .map(|pinned| SocketAddr::new(pinned.ip(), port))
            .collect(),
    };
    let mut places = Vec::with_capacity(pinned.len());
    for place in pinned {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// Most addresses of a name that an ACK is sent to, one after the other.
const ACK_COPIES: usize = 4;

/// How long a peer may take for anything that RFC 3261 bounds by 64·T1.
pub(crate) fn patience(style: &LegStyle) -> Duration {
    64 * style.trunk.timers.t1
}
