//! A dialog and the way to its peer: finds the next hop of in-dialog requests and sends them.
//!
//! Finding the hop may need a DNS answer. Until it is there, requests wait in order; when the name
//! cannot be resolved, they go where the peer was last heard, which is better than nowhere.

use crate::dialog::{Dialog, NextHop};
use crate::id::{CallId, LegId, QueryId, TransactionId};
use crate::plane::{Asker, Cx};
use crate::query::{Outcome, ResolveSpec};
use crate::session::challenge::Proofs;
use crate::session::style::LegStyle;
use crate::sip::header::ContentType;
use crate::sip::{HeaderName, Method};
use crate::transaction::{Owner, TimerSet};
use crate::transport::{Hop, Protocol};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Duration;

/// One dialog with the way to its peer.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) dialog: Dialog,
    owner: (CallId, LegId),
    /// Where the peer was last heard.
    fallback: Hop,
    way: Way,
    waiting: Vec<Wanted>,
    /// What the dialog has shown of our account.
    pub(crate) proofs: Proofs,
    /// Our BYE, while it is unanswered.
    pub(crate) bye: Option<TransactionId>,
    /// Our other requests without a final response.
    open: Vec<Open>,
}

/// A request of ours in the dialog that has no final response yet.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) id: TransactionId,
    pub(crate) method: Method,
    pub(crate) cseq: u32,
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
    },
    /// BYE, with the value of its Reason header.
    Bye { reason: Option<Bytes> },
    /// Any other request.
    Request(Box<Errand>),
}

/// A request other than ACK and BYE.
#[derive(Clone, Debug)]
pub(crate) struct Errand {
    pub(crate) method: Method,
    pub(crate) headers: Vec<(HeaderName, Bytes)>,
    pub(crate) body: Option<(ContentType, Bytes)>,
}

impl Link {
    pub(crate) fn new(dialog: Dialog, owner: (CallId, LegId), fallback: Hop) -> Self {
        Self {
            dialog,
            owner,
            fallback,
            way: Way::Unknown,
            waiting: Vec::new(),
            proofs: Proofs::default(),
            bye: None,
            open: Vec::new(),
        }
    }

    /// Sends a request, now or as soon as the way is known.
    pub(crate) fn send(&mut self, cx: &mut Cx<'_>, style: &LegStyle, wanted: Wanted) {
        self.waiting.push(wanted);
        if !matches!(self.way, Way::Asking(..)) {
            self.find_way(cx, style);
        }
    }

    /// Sends ACK and BYE to where the peer was last heard, without waiting for any resolver.
    pub(crate) fn end_at_once(
        mut self,
        cx: &mut Cx<'_>,
        style: &LegStyle,
        cseq: u32,
        invite: TransactionId,
    ) {
        self.way = Way::Known(self.dialog.next_hop(), self.fallback.clone());
        self.waiting.push(Wanted::Ack { cseq, invite });
        self.waiting.push(Wanted::Bye { reason: None });
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
        let hop = match outcome {
            Outcome::Resolved(addresses) => addresses
                .iter()
                .find_map(|remote| self.hop_to(style, &next, *remote))
                .unwrap_or_else(|| self.fallback.clone()),
            Outcome::Located(_) | Outcome::ResolveFailed(_) => self.fallback.clone(),
        };
        self.way = Way::Known(next, hop);
        self.flush(cx, style);
    }

    /// Our address on this dialog, and where the peer was last heard.
    pub(crate) fn local_party(&self) -> (crate::sip::Address, Hop) {
        (self.dialog.local.clone(), self.fallback.clone())
    }

    /// Whether the ACK for the 2xx of this INVITE waits here for the way to be found.
    pub(crate) fn owes_ack(&self, invite: TransactionId, remote_tag: &[u8]) -> bool {
        self.dialog.remote_tag() == remote_tag
            && self
                .waiting
                .iter()
                .any(|wanted| matches!(wanted, Wanted::Ack { invite: of, .. } if *of == invite))
    }

    /// Whether nothing more is to be sent or awaited, a 2xx that needs an ACK included.
    pub(crate) fn is_done(&self) -> bool {
        self.is_idle() && self.open_invite().is_none()
    }

    /// Nothing waits to be sent and no BYE is unanswered.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.bye.is_none()
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

    /// A request of ours has its final response or will never get one.
    pub(crate) fn close(&mut self, id: TransactionId) -> Option<Open> {
        let at = self.open.iter().position(|open| open.id == id)?;
        Some(self.open.swap_remove(at))
    }

    /// Whether a request of ours other than BYE has no final response yet.
    pub(crate) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Forgets offers and refreshes that wait to be sent, but not ACK, BYE and what a peer waits to
    /// be told.
    pub(crate) fn drop_errands(&mut self) {
        self.waiting.retain(|wanted| match wanted {
            Wanted::Request(errand) => errand.method == Method::Notify,
            Wanted::Ack { .. } | Wanted::Bye { .. } => true,
        });
    }

    fn find_way(&mut self, cx: &mut Cx<'_>, style: &LegStyle) {
        let next = self.dialog.next_hop();
        if matches!(&self.way, Way::Known(known, _) if *known == next) {
            return self.flush(cx, style);
        }
        let protocol = self.protocol(&next);
        let pinned = pinned_address(style, &next);
        match next.literal(protocol).or(pinned) {
            Some(remote) => {
                let hop = self
                    .hop_to(style, &next, remote)
                    .unwrap_or(self.fallback.clone());
                self.way = Way::Known(next, hop);
                self.flush(cx, style);
            }
            None => {
                let spec = ResolveSpec {
                    host: next.host.clone(),
                    port: next.port_for(protocol),
                    protocol,
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
        for wanted in std::mem::take(&mut self.waiting) {
            self.transmit(cx, style, &hop, wanted);
        }
    }

    fn transmit(&mut self, cx: &mut Cx<'_>, style: &LegStyle, hop: &Hop, wanted: Wanted) {
        let branch = cx.plane.mint.branch();
        let Some(listener) = style.config.listeners.get(&hop.listener) else {
            return;
        };
        let Some(via) = style.via(listener, &branch) else {
            return;
        };
        match wanted {
            Wanted::Ack { cseq, invite } => {
                let request = self.dialog.request(Method::Ack, cseq).header(&via);
                let request = style.sign_request(request);
                // A Contact can name any host; credentials are none of its business.
                let request = match self.is_peer(cx, style, hop.remote) {
                    true => self.proofs.sign_ack(invite, request),
                    false => request,
                };
                let bytes = request.build();
                let keep = 64 * style.trunk.timers.t1;
                let tag = Bytes::copy_from_slice(self.dialog.remote_tag());
                let (now, owner) = (cx.now.mono, self.owner);
                let hop = hop.clone();
                cx.plane
                    .acks
                    .send(now, keep, invite, tag, hop, bytes, owner, style, cx.out);
            }
            Wanted::Bye { reason } => {
                let cseq = self.dialog.next_cseq();
                let mut request = self.dialog.request(Method::Bye, cseq).header(&via);
                if let Some(reason) = &reason {
                    request = request.raw_if_valid(HeaderName::Reason, reason);
                }
                let method = &Method::Bye;
                let request = style.sign_request(request);
                let (request, proof) = self.proofs.sign(cx, style, hop, method, request);
                let id = self.start(cx, style, hop, method, &branch, request.build());
                self.bye = Some(id);
                self.proofs.sent(id, proof, Wanted::Bye { reason });
            }
            Wanted::Request(errand) => {
                let Errand {
                    method,
                    headers,
                    body,
                } = errand.as_ref();
                let cseq = self.dialog.next_cseq();
                let mut request = self.dialog.request(method.clone(), cseq).header(&via);
                if is_target_refresh(method) {
                    request = request
                        .header(&style.contact(listener))
                        .raw_if_valid(HeaderName::Allow, style.allow());
                }
                for (name, value) in headers {
                    request = request.raw_if_valid(name, value);
                }
                let mut request = style.sign_request(request);
                if let Some((kind, body)) = body {
                    request = request.body(kind, body.clone());
                }
                let (request, proof) = self.proofs.sign(cx, style, hop, method, request);
                let method = method.clone();
                let id = self.start(cx, style, hop, &method, &branch, request.build());
                self.open.push(Open { id, method, cseq });
                self.proofs.sent(id, proof, Wanted::Request(errand));
            }
        }
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
        let timers = TimerSet::from(&style.trunk.timers);
        let (now, hop) = (cx.now.mono, hop.clone());
        let table = &mut cx.plane.transactions;
        table.request(now, method, branch, bytes, hop, timers, owner, cx.out)
    }
}

/// Whether requests of this method carry our Contact within a dialog (SIP-303).
fn is_target_refresh(method: &Method) -> bool {
    matches!(
        method,
        Method::Invite | Method::Update | Method::Subscribe | Method::Notify | Method::Refer
    )
}

/// The address that the configuration pins for a host of this trunk.
fn pinned_address(style: &LegStyle, next: &NextHop) -> Option<SocketAddr> {
    let target = style
        .trunk
        .targets
        .iter()
        .find(|t| t.host.eq_ignore_ascii_case(&next.host))?;
    target.connect_to.first().copied()
}

/// How long a peer may take for anything that RFC 3261 bounds by 64·T1.
pub(crate) fn patience(style: &LegStyle) -> Duration {
    64 * style.trunk.timers.t1
}
