//! Replace: an INVITE with Replaces takes the place of one leg of the call (RFC 3891).
//!
//! ```text
//! Allocating ──port──► answered: the bridge moves, the replaced leg is ended
//! ```
//!
//! What the remaining party has to be told of the new one is derived and offered by `tell`.

use super::{Call, Leg, Operation, endpoint, images};
use crate::cause::{Because, EndedBy};
use crate::config::Trunk;
use crate::event::Happened;
use crate::id::{LegId, TenantName, TransactionId};
use crate::media::{Facts, Incompatible, MediaImage, Unusable, interwork, read};
use crate::plane::Cx;
use crate::policy::admission::Counted;
use crate::policy::identity::Caller;
use crate::record::{TransferKind, TransferOutcome, TransferRecord};
use crate::sdp::{Description, Limits};
use crate::session::{LegStyle, Refusal, Session, SessionEvent, Standing};
use crate::sip::header::Replaces;
use crate::sip::{Message, Status};
use crate::transport::Flow;
use bytes::Bytes;
use media_api::{Event as MediaEvent, ForkId, LocalEndpoint, Stage};
use std::sync::Arc;

/// An INVITE that may replace a leg.
pub(crate) struct Newcomer {
    pub(crate) trunk: Arc<Trunk>,
    pub(crate) flow: Flow,
    pub(crate) transaction: TransactionId,
    pub(crate) request: Message,
    pub(crate) caller: Caller,
}

/// A replacement that is under way.
#[derive(Debug)]
pub(super) struct Replace {
    replaced: LegId,
    partner: LegId,
    newcomer: LegId,
    /// Nothing if the INVITE has no description.
    offer: Option<Facts>,
    record: usize,
}

impl Call {
    /// Whether an INVITE of a trunk may replace this leg; the status that refuses it if not
    /// (RFC 3891 §3, SIP-806). Only who belongs to the same customer may (TDR-XFR-031).
    pub(crate) fn may_replace(
        &self,
        leg: LegId,
        replaces: &Replaces,
        trunk: &Trunk,
        tenant: Option<&TenantName>,
    ) -> Result<(), Status> {
        let Some(replaced) = self.legs.get(&leg) else {
            return Err(Status::CALL_DOES_NOT_EXIST);
        };
        let standing = replaced.session.standing(replaces);
        let own = &replaced.session.style().trunk;
        let is_same_customer = tenant.is_some() && tenant == self.tenant.as_ref();
        match standing {
            None => Err(Status::CALL_DOES_NOT_EXIST),
            Some(_) if own.name != trunk.name && !is_same_customer => Err(Status::FORBIDDEN),
            Some(Standing::Ended) => Err(Status::DECLINE),
            // Only who called may have its call picked up, and nobody has answered it yet.
            Some(Standing::Early) => Err(Status::CALL_DOES_NOT_EXIST),
            Some(Standing::Confirmed) if replaces.early_only => Err(Status::BUSY_HERE),
            Some(Standing::Confirmed) if self.other(leg).is_none() => Err(Status::DECLINE),
            Some(Standing::Confirmed) => match &self.operation {
                None => Ok(()),
                Some(Operation::Teardown(_)) => Err(Status::DECLINE),
                Some(Operation::Setup(_) | Operation::Transfer(_) | Operation::Replace(_)) => {
                    Err(Status::SERVER_INTERNAL_ERROR)
                }
            },
        }
    }

    /// Takes in an INVITE that replaces `replaced`; only if [`Self::may_replace`].
    pub(crate) fn replace(&mut self, cx: &mut Cx<'_>, replaced: LegId, newcomer: Newcomer) {
        if let Some(partner) = self.other(replaced) {
            self.operation = Replace::begin(self, cx, replaced, partner, newcomer);
        }
        self.settle(cx);
    }
}

impl Replace {
    fn begin(
        call: &mut Call,
        cx: &mut Cx<'_>,
        replaced: LegId,
        partner: LegId,
        by: Newcomer,
    ) -> Option<Operation> {
        let newcomer = LegId(call.next_leg);
        call.next_leg = call.next_leg.saturating_add(1);
        let style = LegStyle {
            config: Arc::clone(&call.config),
            session_id: match call.side(replaced) {
                EndedBy::A => call.ends.to_caller(&by.trunk),
                EndedBy::B | EndedBy::Us => call.ends.to_called(&by.trunk),
            },
            contact_user: call
                .legs
                .get(&replaced)?
                .session
                .style()
                .contact_user
                .clone(),
            trunk: Arc::clone(&by.trunk),
        };
        let profile = Arc::new(by.trunk.media.profile.clone());
        let signalling = Some(by.flow.remote.ip());
        let number = cx.plane.mint.number();
        let image = MediaImage::new(profile, endpoint(newcomer), number, signalling);
        let spec = image.spec();
        let offer = offer_of(&by.request, &by.trunk);
        let session = Session::incoming(
            cx,
            (call.id, newcomer),
            style,
            by.transaction,
            by.flow,
            by.request,
        );
        call.legs.insert(newcomer, Leg::new(session, image));
        let at_ms = call.elapsed_ms(cx.now);
        call.record.transfers.push(TransferRecord {
            at_ms,
            kind: TransferKind::Replaced,
            by: replaced,
            trunk: by.trunk.name.clone(),
            party: partner,
            target: by.caller.selected.number.clone(),
            leg: None,
            outcome: TransferOutcome::Abandoned,
            status: None,
            because: Because::of(format!("an INVITE replaces leg {}", replaced.0)),
        });
        call.parties.insert(newcomer, Arc::new(by.caller));
        let mut replace = Self {
            replaced,
            partner,
            newcomer,
            offer: None,
            record: call.record.transfers.len() - 1,
        };
        let offer = match offer {
            Ok(offer) => offer,
            Err(_) => return replace.failed(call, cx, Status::NOT_ACCEPTABLE_HERE),
        };
        let counted = Counted::Trunk(by.trunk.name.clone());
        match cx
            .plane
            .admission
            .take(cx.now.mono, counted, &by.trunk.limits)
        {
            Ok(place) => call.places.push(place),
            Err(_) => return replace.failed(call, cx, Status::SERVICE_UNAVAILABLE),
        }
        call.media.allocate(cx, vec![spec]);
        replace.offer = offer;
        Some(Operation::Replace(Box::new(replace)))
    }

    /// A report of the relay.
    pub(super) fn media_event(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        event: MediaEvent,
    ) -> Option<Operation> {
        match event {
            MediaEvent::Allocated { endpoints, .. } => self.answer(call, cx, &endpoints),
            MediaEvent::Refused { .. } => self.failed(call, cx, Status::SERVICE_UNAVAILABLE),
            event => {
                call.operation = Some(Operation::Replace(self));
                call.heard_nothing(cx, &event);
                call.operation.take()
            }
        }
    }

    /// The port is there: the newcomer is answered, and the replaced leg ended.
    fn answer(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        endpoints: &[LocalEndpoint],
    ) -> Option<Operation> {
        let offer = self.offer.take();
        let body = match self.describe(call, cx, endpoints, offer) {
            Ok(body) => body,
            Err(_) => return self.failed(call, cx, Status::NOT_ACCEPTABLE_HERE),
        };
        let is_a = call.side(self.replaced) == EndedBy::A;
        let (a, b) = match is_a {
            true => (self.newcomer, self.partner),
            false => (self.partner, self.newcomer),
        };
        let silence_ms = call.silence_ms();
        call.media.join(cx, endpoint(a), endpoint(b), silence_ms);
        let session = call.leg(self.newcomer).map(|leg| &mut leg.session);
        if !session.is_some_and(|session| session.answer(cx, body)) {
            return self.failed(call, cx, Status::BAD_REQUEST);
        }
        call.bridge = Some((a, b));
        call.newcomer = Some(self.newcomer);
        call.tellings_begin_anew();
        if let Some(record) = call.record.transfers.get_mut(self.record) {
            record.leg = Some(self.newcomer);
        }
        self.note(call, cx, TransferOutcome::Completed, Status::OK);
        if let Some(replaced) = call.leg(self.replaced) {
            replaced
                .session
                .hang_up(cx, Status::REQUEST_TERMINATED, None);
        }
        None
    }

    /// Our answer, or our offer if the newcomer made none.
    fn describe(
        &self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        endpoints: &[LocalEndpoint],
        offer: Option<Facts>,
    ) -> Result<Bytes, Incompatible> {
        let formats = &mut call.media.formats;
        let (z, y) =
            images(&mut call.legs, self.newcomer, self.partner).ok_or(Unusable::OutOfOrder)?;
        for local in endpoints {
            z.allocated(local);
        }
        let Some(offer) = offer else {
            return interwork::invite(z, y);
        };
        let answered = interwork::answer_alone(offer, z, y, formats)?;
        z.commit();
        let (to, fork) = (endpoint(self.newcomer), ForkId::default());
        call.media.agreed(cx, to, fork, answered.x, Stage::Final);
        Ok(answered.body)
    }

    /// An event of one of the legs.
    pub(super) fn session_event(
        self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        event: SessionEvent,
    ) -> Option<Operation> {
        match event {
            // Whoever is replaced may leave by itself.
            SessionEvent::Ended(_) if leg == self.replaced => Some(Operation::Replace(self)),
            SessionEvent::Cancelled { .. } if leg == self.newcomer => {
                call.media.drop_endpoint(cx, endpoint(leg));
                self.end(call, cx, Status::REQUEST_TERMINATED)
            }
            SessionEvent::Refer(asked) => {
                call.refuse_refer(cx, leg, &asked, Status::SERVER_INTERNAL_ERROR);
                Some(Operation::Replace(self))
            }
            event => {
                call.unowned(cx, leg, event);
                match call.operation.take() {
                    None => Some(Operation::Replace(self)),
                    ended => ended,
                }
            }
        }
    }

    /// The newcomer is refused; the old conversation goes on.
    fn failed(&self, call: &mut Call, cx: &mut Cx<'_>, status: Status) -> Option<Operation> {
        let refusal = Refusal {
            status,
            ..Refusal::default()
        };
        if let Some(newcomer) = call.leg(self.newcomer) {
            newcomer.session.refuse(cx, &refusal);
        }
        call.media.drop_endpoint(cx, endpoint(self.newcomer));
        self.end(call, cx, status)
    }

    /// Nobody is replaced. If the one who should have been has left meanwhile, the call is over.
    fn end(&self, call: &mut Call, cx: &mut Cx<'_>, status: Status) -> Option<Operation> {
        self.note(call, cx, TransferOutcome::Failed, status);
        let silence_ms = call.silence_ms();
        if let Some((a, b)) = call.bridge {
            call.media.join(cx, endpoint(a), endpoint(b), silence_ms);
        }
        let is_there = |leg: &Leg| leg.session.is_confirmed();
        if call.legs.get(&self.replaced).is_some_and(is_there) {
            return None;
        }
        let because = Because::of("the leg that was to be replaced has left");
        let code = crate::cause::CauseCode::TransferFailed;
        call.end(cx, EndedBy::Us, code, because, &[]);
        call.operation.take()
    }

    fn note(&self, call: &mut Call, cx: &mut Cx<'_>, outcome: TransferOutcome, status: Status) {
        let Some(record) = call.record.transfers.get_mut(self.record) else {
            return;
        };
        record.outcome = outcome;
        record.status = Some(status.code());
        let what = Happened::Transfer {
            trunk: record.trunk.clone(),
            kind: record.kind,
            outcome,
            status: Some(status),
            because: record.because.clone(),
        };
        cx.out.emit(Some(call.id), Some(self.newcomer), what);
    }
}

/// What the INVITE offers.
fn offer_of(request: &Message, trunk: &Trunk) -> Result<Option<Facts>, Incompatible> {
    let body = crate::sip::body::session_description(request);
    let Some(body) = body.map_err(|_| Unusable::NotAudio)? else {
        return Ok(None);
    };
    let description = Description::parse(body, &Limits::default());
    let facts = read(
        &description.map_err(|_| Unusable::NotAudio)?,
        &trunk.media.profile,
    );
    facts.main()?;
    Ok(Some(facts))
}
