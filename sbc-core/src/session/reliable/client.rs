//! Reliable provisional responses of a called party: RFC 3262 §4.
//!
//! Each early dialog counts on its own. What comes out of order is not seen until what is missing
//! has come; what was acknowledged is not acknowledged again (SIP-521).

use super::number;
use super::server::rack_value;
use crate::plane::Cx;
use crate::session::LegStyle;
use crate::session::confirmed::PeerOffer;
use crate::session::confirmed::from_tag;
use crate::session::link::{Errand, Link, Wanted};
use crate::session::{Phase, Session, SessionEvent, description};
use crate::sip::header::{ContentType, MaxForwards};
use crate::sip::{HeaderName, Message, Method, Status};
use bytes::Bytes;

/// An early dialog of an INVITE of ours.
#[derive(Debug)]
pub(crate) struct Early {
    pub(in crate::session) link: Link,
    /// Number of the last reliable response.
    last: Option<u32>,
    /// The answer to our offer in a reliable response: later descriptions of the dialog mean
    /// nothing, and either side may offer again (SIP-501).
    pub(in crate::session) settled: Option<Bytes>,
    /// What the called party has described in the last exchange after that one: a 2xx may say it again.
    pub(in crate::session) latest: Option<Bytes>,
    /// An offer of the called party that waits for our answer.
    pub(in crate::session) asked: Option<PeerOffer>,
    /// The called party has made the first offer, and its PRACK waits for our answer to it.
    held: Option<Bytes>,
}

/// What a called party has described of itself before its 2xx.
pub(in crate::session) struct Described {
    pub(in crate::session) answer: Bytes,
    pub(in crate::session) latest: Bytes,
}

/// What a provisional of an early dialog is to us.
pub(in crate::session) enum Heard {
    /// Repeated, or ahead of one that is missing.
    OutOfOrder,
    /// Not reliable.
    Unreliable,
    /// The next reliable one; it has its PRACK.
    Reliable,
}

impl Early {
    pub(in crate::session) fn new(link: Link) -> Self {
        Self {
            link,
            last: None,
            settled: None,
            latest: None,
            asked: None,
            held: None,
        }
    }

    /// Takes a provisional and acknowledges it if it wants that; one that `offers` is acknowledged with
    /// the answer, when there is one.
    pub(in crate::session) fn hear(
        &mut self,
        cx: &mut Cx<'_>,
        style: &LegStyle,
        invite: u32,
        response: &Message,
        offers: bool,
    ) -> Heard {
        let Some(rseq) = number(response) else {
            return Heard::Unreliable;
        };
        if self
            .last
            .is_some_and(|last| last.checked_add(1) != Some(rseq))
        {
            return Heard::OutOfOrder;
        }
        self.last = Some(rseq);
        // A reliable one says where it is confirmed (SIP-521).
        self.link.dialog.refresh_target(response);
        let rack = rack_value(rseq, invite);
        match offers {
            true => self.held = Some(rack),
            false => self.prack(cx, style, rack, None),
        }
        Heard::Reliable
    }

    /// What the called party has described of itself so far: in its answer, and in the last exchange.
    pub(in crate::session) fn described(&self) -> Option<Described> {
        let answer = self.settled.clone()?;
        let latest = self.latest.clone().unwrap_or_else(|| answer.clone());
        Some(Described { answer, latest })
    }

    fn prack(&mut self, cx: &mut Cx<'_>, style: &LegStyle, rack: Bytes, answer: Option<Bytes>) {
        let prack = Errand {
            method: Method::Prack,
            hops: MaxForwards::DEFAULT,
            headers: vec![(HeaderName::RAck, rack)],
            body: answer.map(|answer| (ContentType::sdp(), answer)),
        };
        let wanted = Wanted::Request(Box::new(prack));
        self.link.send(cx, style, wanted);
    }
}

impl Session {
    /// Answers the offer that a called party has made in a reliable provisional, in its PRACK.
    pub(crate) fn confirm_early(&mut self, cx: &mut Cx<'_>, early: &Bytes, answer: Option<Bytes>) {
        let Phase::Outgoing(outgoing) = &mut self.phase else {
            return;
        };
        if let Some(early) = outgoing.early.get_mut(early)
            && let Some(rack) = early.held.take()
        {
            early.prack(cx, &self.style, rack, answer);
        }
    }

    /// Offers a change on an early dialog by UPDATE; the outcome is an event. Says whether that was
    /// possible: the first exchange is made, none is under way, and the called party takes UPDATE
    /// (RFC 3311 §5.1).
    pub(crate) fn offer_early(&mut self, cx: &mut Cx<'_>, early: &Bytes, offer: Bytes) -> bool {
        let is_used = self.style.trunk.allow.contains(&Method::Update);
        let Phase::Outgoing(outgoing) = &mut self.phase else {
            return false;
        };
        let tag = early;
        let Some(early) = outgoing.early.get_mut(tag) else {
            return false;
        };
        let is_free = early.settled.is_some() && early.asked.is_none() && early.held.is_none();
        if !(is_used
            && is_free
            && early.link.dialog.takes.takes(&Method::Update)
            && self.asking.is_none())
        {
            return false;
        }
        self.asking = Some(tag.clone());
        let update = Errand {
            method: Method::Update,
            hops: MaxForwards::DEFAULT,
            headers: Vec::new(),
            body: Some((ContentType::sdp(), offer)),
        };
        let wanted = Wanted::Request(Box::new(update));
        early.link.send(cx, &self.style, wanted);
        true
    }

    /// We accept the offer of a called party on one of its early dialogs.
    pub(in crate::session) fn early_moved(&mut self, offer: &Message) {
        if let Phase::Outgoing(outgoing) = &mut self.phase
            && let Some(early) = from_tag(offer).and_then(|tag| outgoing.early.get_mut(&tag))
        {
            early.latest = description(offer);
        }
    }

    /// An UPDATE of ours has its final response, or will never get one. Says whether it was one on an
    /// early dialog.
    pub(in crate::session) fn early_offer_ended(
        &mut self,
        got: Option<(Status, &Message)>,
        up: &mut Vec<SessionEvent>,
    ) -> bool {
        let Some(early) = self.asking.take() else {
            return false;
        };
        let taken = got.filter(|(status, _)| status.is_success());
        let description = taken.and_then(|(_, message)| description(message));
        if let (Phase::Outgoing(outgoing), Some(answer)) = (&mut self.phase, &description)
            && let Some(early) = outgoing.early.get_mut(&early)
        {
            early.latest = Some(answer.clone());
        }
        up.push(SessionEvent::EarlyAnswered { early, description });
        true
    }
}
