//! Replace: an INVITE with Replaces takes the place of one leg of the call (RFC 3891). Where that leg is
//! one that we call and that has not answered, the set-up or the transfer takes it in
//! [`super::setup`], [`super::transfer`].
//!
//! ```text
//! Allocating ──port──► answered: the bridge moves, the replaced leg is ended
//! ```
//!
//! What the remaining party has to be told of the new one is derived and offered by `tell`.

use super::local::{self, LocalSide, profile_of};
use super::media::image_of;
use super::{Call, Leg, Operation, endpoint, images, record};
use crate::cause::{Because, EndedBy};
use crate::config::Trunk;
use crate::event::{Happened, MediaRefusal};
use crate::id::{LegId, TenantName, TransactionId};
use crate::media::{Facts, Incompatible, Unusable, interwork, read};
use crate::plane::Cx;
use crate::policy::identity::Caller;
use crate::policy::local_media::{Choice, Side};
use crate::record::{TransferKind, TransferOutcome, TransferRecord};
use crate::sdp::{Description, Limits};
use crate::session::{LegStyle, Refusal, Session, SessionEvent, Standing};
use crate::sip::header::Replaces;
use crate::sip::{Message, Status};
use crate::transport::Flow;
use crate::trouble::Trouble;
use bytes::Bytes;
use media_api::{EndpointSpec, Event as MediaEvent, ForkId, LocalEndpoint, Stage};
use std::sync::Arc;

/// Most replacements and transfers of one call, those that come to nothing included: each leaves a
/// leg and a line in the record.
const MOST_TRIES: usize = 32;

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
    /// Its INVITE.
    said: Message,
    record: usize,
}

impl Call {
    /// Whether an INVITE of a trunk may replace this leg; the status that refuses it if not
    /// (RFC 3891 §3, SIP-806). Only who belongs to the same customer may (TDR-XFR-031), or whom the
    /// replaced party has introduced by a REFER.
    pub(crate) fn may_replace(
        &self,
        leg: LegId,
        replaces: &Replaces,
        trunk: &Trunk,
        tenant: Option<&TenantName>,
        is_introduced: bool,
    ) -> Result<(), Status> {
        let Some(replaced) = self.legs.get(&leg) else {
            return Err(Status::CALL_DOES_NOT_EXIST);
        };
        let has_room = self.next_name().is_some();
        let standing = replaced.session.standing(replaces);
        let own = &replaced.session.style().trunk;
        let is_same_customer = tenant.is_some() && tenant == self.tenant.as_ref();
        let may = own.name == trunk.name || is_same_customer || is_introduced;
        match standing {
            None => Err(Status::CALL_DOES_NOT_EXIST),
            Some(_) if !may => Err(Status::FORBIDDEN),
            Some(Standing::Ended) => Err(Status::DECLINE),
            // Whoever calls us has begun that dialog itself: nobody but we can answer it.
            Some(Standing::Calling) => Err(Status::CALL_DOES_NOT_EXIST),
            Some(Standing::Called) if self.record.transfers.len() >= MOST_TRIES || !has_room => {
                Err(Status::DECLINE)
            }
            Some(Standing::Called) => match &self.operation {
                Some(Operation::Setup(setup)) if setup.may_be_picked_up(leg) => Ok(()),
                Some(Operation::Transfer(transfer)) if transfer.may_be_picked_up(leg) => Ok(()),
                // Another one is picking it up.
                Some(_) | None => Err(Status::SERVER_INTERNAL_ERROR),
            },
            Some(Standing::Confirmed) if replaces.early_only => Err(Status::BUSY_HERE),
            Some(Standing::Confirmed) if self.other(leg).is_none() => Err(Status::DECLINE),
            Some(Standing::Confirmed) if self.record.transfers.len() >= MOST_TRIES || !has_room => {
                Err(Status::DECLINE)
            }
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
        match self.operation.take() {
            Some(Operation::Setup(mut setup)) => {
                setup.pick_up(self, cx, replaced, newcomer);
                self.operation = Some(Operation::Setup(setup));
            }
            Some(Operation::Transfer(mut transfer)) => {
                transfer.pick_up(self, cx, replaced, newcomer);
                self.operation = Some(Operation::Transfer(transfer));
            }
            other => {
                self.operation = match self.other(replaced) {
                    Some(partner) => Replace::begin(self, cx, replaced, partner, newcomer),
                    None => other,
                };
            }
        }
        self.settle(cx);
    }
}

/// The leg of a newcomer, which needs a port.
pub(super) struct Arrival {
    pub(super) leg: LegId,
    pub(super) trunk: Arc<Trunk>,
    /// What its INVITE offers; nothing if it has no description, and a status if it cannot be served.
    pub(super) offer: Result<Option<Facts>, Status>,
    /// Its INVITE, which says where its user is.
    pub(super) said: Message,
    pub(super) spec: EndpointSpec,
    /// Its line in the call's record.
    pub(super) record: usize,
}

impl Arrival {
    /// A leg for an INVITE that takes the place of `replaced`, who talks to `partner`.
    pub(super) fn of(
        call: &mut Call,
        cx: &mut Cx<'_>,
        replaced: LegId,
        partner: LegId,
        by: Newcomer,
    ) -> Self {
        let leg = call.take_spare_name();
        let place = call.legs.get(&replaced).map(|own| own.session.style());
        let style = LegStyle {
            config: Arc::clone(&call.config),
            session_id: match call.side(partner) {
                EndedBy::A => call.ends.to_called(&by.trunk),
                EndedBy::B | EndedBy::Us => call.ends.to_caller(&by.trunk),
            },
            contact_user: place.and_then(|own| own.contact_user.clone()),
            trunk: Arc::clone(&by.trunk),
        };
        let signalling = Some(by.flow.remote.ip());
        // Where its user is, it says as a call of its own would (TDR-LMO-010).
        let local = local::of_request(&by.trunk, &by.request, call.record.emergency);
        let choice = local.as_ref().ok().and_then(Option::as_ref);
        let image = image_of(cx, profile_of(&by.trunk, choice), leg, signalling);
        let spec = image.spec();
        let side = choice.map_or(Side::External, |choice| choice.side);
        let said = by.request.clone();
        let refused = |cx: &mut Cx<'_>, why: MediaRefusal| {
            call.media_refused_on(cx, Some(leg), &by.trunk, why);
            Status::NOT_ACCEPTABLE_HERE
        };
        let offer = match &local {
            Ok(_) => offer_of(&by.request, &by.trunk).map_err(|why| refused(cx, (&why).into())),
            Err(_) => Err(refused(cx, MediaRefusal::Path)),
        };
        let session = Session::incoming(
            cx,
            (call.id, leg),
            style,
            by.transaction,
            by.flow,
            by.request,
        );
        let own = Leg {
            local: LocalSide::on(&by.trunk, side),
            ..Leg::new(session, image)
        };
        call.legs.insert(leg, own);
        if let Err(refusal) = local {
            let choice = Choice::external(refusal.because.0.join("; "));
            call.chosen(cx, leg, choice, None);
        }
        let at_ms = call.elapsed_ms(cx.now);
        call.record.transfers.push(TransferRecord {
            at_ms,
            kind: TransferKind::Replaced,
            by: replaced,
            trunk: by.trunk.name.clone(),
            party: partner,
            target: by.caller.selected.number.clone(),
            teams_call: None,
            leg: None,
            outcome: TransferOutcome::Abandoned,
            status: None,
            because: Because::of(format!("an INVITE replaces leg {}", replaced.0)),
        });
        record::came(call, leg, &by.trunk, &by.caller);
        call.parties.insert(leg, Arc::new(by.caller));
        Self {
            leg,
            trunk: by.trunk,
            offer,
            said,
            spec,
            record: call.record.transfers.len() - 1,
        }
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
        let arrival = Arrival::of(call, cx, replaced, partner, by);
        let mut replace = Self {
            replaced,
            partner,
            newcomer: arrival.leg,
            offer: None,
            said: arrival.said,
            record: arrival.record,
        };
        let offer = match arrival.offer {
            Ok(offer) => offer,
            Err(status) => return replace.failed(call, cx, status),
        };
        let taken = call.take_places_instead(cx, arrival.leg, &arrival.trunk, replaced);
        if taken.is_err() {
            return replace.failed(call, cx, Status::SERVICE_UNAVAILABLE);
        }
        call.media.allocate(cx, vec![arrival.spec]);
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
            MediaEvent::Refused { why, .. } => {
                call.media_refused(cx, self.newcomer, MediaRefusal::Relay(why));
                self.failed(call, cx, Status::SERVICE_UNAVAILABLE)
            }
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
        let parties = (self.newcomer, self.partner);
        let body = match describe(call, cx, parties, endpoints, offer) {
            Ok(body) => body,
            Err(why) => {
                call.media_refused(cx, self.newcomer, &why);
                return self.failed(call, cx, Status::NOT_ACCEPTABLE_HERE);
            }
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
        record::transferred(call, cx.now, (a, b), self.record);
        record::tell(call, cx);
        call.bridge = Some((a, b));
        call.newcomer = Some(self.newcomer);
        call.tellings_begin_anew();
        call.spare(cx, self.newcomer);
        call.keeps_caller();
        call.comes_from(cx, self.newcomer, &self.said);
        call.introduce(self.newcomer);
        call.introduce(self.partner);
        let line = (self.record, self.newcomer);
        note(call, cx, line, TransferOutcome::Completed, Status::OK);
        if let Some(replaced) = call.leg(self.replaced) {
            replaced
                .session
                .hang_up(cx, Status::REQUEST_TERMINATED, None);
        }
        None
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
        refuse(call, cx, self.newcomer, status);
        self.end(call, cx, status)
    }

    /// Nobody is replaced. If the one who should have been has left meanwhile, the call is over.
    fn end(&self, call: &mut Call, cx: &mut Cx<'_>, status: Status) -> Option<Operation> {
        let line = (self.record, self.newcomer);
        note(call, cx, line, TransferOutcome::Failed, status);
        let silence_ms = call.silence_ms();
        if let Some((a, b)) = call.bridge {
            call.media.join(cx, endpoint(a), endpoint(b), silence_ms);
        }
        let is_there = |leg: &Leg| leg.session.is_confirmed();
        if call.legs.get(&self.replaced).is_some_and(is_there) {
            return None;
        }
        let because =
            Because::of("the leg that was to be replaced has left").named(Trouble::ReplacedLeft);
        let code = crate::cause::CauseCode::TransferFailed;
        call.end(cx, EndedBy::Us, code, because, &[]);
        call.operation.take()
    }
}

/// Our answer to a newcomer who is to talk to `partner`, or our offer if it made none.
pub(super) fn describe(
    call: &mut Call,
    cx: &mut Cx<'_>,
    (newcomer, partner): (LegId, LegId),
    endpoints: &[LocalEndpoint],
    offer: Option<Facts>,
) -> Result<Bytes, Incompatible> {
    let formats = &mut call.media.formats;
    let (z, y) = images(&mut call.legs, newcomer, partner).ok_or(Unusable::OutOfOrder)?;
    for local in endpoints {
        z.allocated(local);
    }
    let Some(offer) = offer else {
        return interwork::invite(z, y);
    };
    let answered = interwork::answer_alone(offer, z, y, formats)?;
    z.commit();
    let (to, fork) = (endpoint(newcomer), ForkId::default());
    call.media.agreed(cx, to, fork, answered.x, Stage::Final);
    Ok(answered.body)
}

/// Refuses a newcomer and gives its port back.
pub(super) fn refuse(call: &mut Call, cx: &mut Cx<'_>, newcomer: LegId, status: Status) {
    let refusal = Refusal {
        status,
        ..Refusal::default()
    };
    if let Some(newcomer) = call.leg(newcomer) {
        newcomer.session.refuse(cx, &refusal);
    }
    call.media.drop_endpoint(cx, endpoint(newcomer));
}

/// Writes down what became of a newcomer.
pub(super) fn note(
    call: &mut Call,
    cx: &mut Cx<'_>,
    (record, newcomer): (usize, LegId),
    outcome: TransferOutcome,
    status: Status,
) {
    let Some(record) = call.record.transfers.get_mut(record) else {
        return;
    };
    record.outcome = outcome;
    record.status = Some(status.code());
    if outcome == TransferOutcome::Completed {
        record.leg = Some(newcomer);
    }
    let what = Happened::Transfer {
        trunk: record.trunk.clone(),
        kind: record.kind,
        outcome,
        status: Some(status),
        because: record.because.clone(),
    };
    cx.out.emit(Some(call.id), Some(newcomer), what);
}

/// What the INVITE offers.
fn offer_of(request: &Message, trunk: &Trunk) -> Result<Option<Facts>, Incompatible> {
    let body = crate::sip::body::session_description(request);
    let Some(body) = body.map_err(|_| Unusable::Malformed)? else {
        return Ok(None);
    };
    let description = Description::parse(body, &Limits::default());
    let facts = read(
        &description.map_err(|_| Unusable::Malformed)?,
        &trunk.media.profile,
    );
    facts.main()?;
    Ok(Some(facts))
}
