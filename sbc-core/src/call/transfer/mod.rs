//! Transfer: a REFER of one party, carried out here. The other party sees at most a re-INVITE.
//!
//! ```text
//! Allocating ──port──► Inviting ──2xx──► the bridge moves to transferee and target
//!     ▲                   │
//!     └── next trunk ◄────┴── refused ──► the bridge stays, or the call ends without transferor
//! ```
//!
//! A REFER that names a dialog of ours goes another way to the same end ([`attended`]).
//!
//! Until the target answers, the old conversation stays as it is: its parties may offer changes to
//! each other, and the transferor may leave at any moment (Teams does so 280 ms after the 202). What
//! the transferee has to be told of the new party is derived and offered by `tell` afterwards.

mod attended;
mod begun;
mod early;
mod operated;
mod pickup;
mod redirect;
mod relay;

pub(super) use relay::{Nameless, Relayed};

use begun::Begun;
use early::{Early, Heard};

use super::early_media::parse;
use super::local::profile_of;
use super::media::image_of;
use super::names::MOST_NAMES;
use super::pickup::Pickup;
use super::setup::Attempt;
use super::setup::redirect::Redirects;
use super::{Call, Leg, Operation, Timer, endpoint, images, record};
use crate::cause::{Because, CauseCode, EndedBy};
use crate::config::{Preset, TransformScope, Trunk};
use crate::effect::Effect;
use crate::event::{Happened, MediaRefusal};
use crate::id::{CommandId, LegId, ShardId, TransactionId};
use crate::input::Answered;
use crate::letter::Fetch;
use crate::media::{Incompatible, MediaImage, Unusable, interwork, read};
use crate::plane::Cx;
use crate::policy::circle::Reach;
use crate::policy::diversion::Trail;
use crate::policy::emergency;
use crate::policy::identity::{Caller, Wishes};
use crate::policy::local_media::Choice;
use crate::policy::number::{self, Calling, Number};
use crate::policy::response;
use crate::policy::route;
use crate::policy::transfer::{self, Plan, Refused, Wish};
use crate::record::{TransferKind, TransferOutcome};
use crate::report::name_in_referred_by;
use crate::session::{Asked, LegStyle, Outset, Rejection, Session, SessionEvent, Standing};
use crate::sip::header::Replaces;
use crate::sip::{HeaderName, Message, ResponseBuilder, Status, Token};
use crate::transport::Flow;
use crate::trunk::Closing;
use bytes::Bytes;
use media_api::{Event as MediaEvent, ForkId, LocalEndpoint, Negotiated, Stage};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Why a transfer is refused that may run in circles.
const TOO_OFTEN: &str =
    "the call has been transferred too often (max_transfers of the trunk that asks)";

/// How long a transferor may take to leave once the transfer is done (SIP-804).
const LEAVE_WITHIN: Duration = Duration::from_secs(3);

/// Teams leaves by itself, and only if it does not is there anything to do for us (TDR-XFR-015).
const TEAMS_LEAVES_WITHIN: Duration = Duration::from_secs(32);

/// Most transfers that are tried of a call, those counted that came to nothing: its record has all of them.
const MOST_TRIES: usize = 32;

/// A transfer that is under way.
#[derive(Debug)]
pub(super) struct Transfer {
    /// Who asked for it.
    transferor: LegId,
    /// Who is told of it: the same, unless it asked outside of its dialog; nobody where an operator asked.
    observer: Option<LegId>,
    /// The operator's command, which waits for what becomes of it.
    command: Option<CommandId>,
    /// Who is to talk to somebody else.
    transferee: LegId,
    wish: Wish,
    /// Where to call; for a dialog of ours nobody need be called.
    plan: Plan,
    /// What is still to be tried.
    attempts: VecDeque<Attempt>,
    /// What is tried.
    current: Option<Attempt>,
    redirects: Redirects,
    reach: Reach,
    /// Position of its record.
    record: usize,
    step: Step,
    failure: Status,
    /// Shards that may have the dialog that is to be replaced.
    homes: VecDeque<ShardId>,
    /// How often a busy party was asked for.
    tries: u8,
    /// Whether the new INVITE names the dialog that it replaces.
    replays: bool,
    /// The target of the present attempt has said that it rings.
    has_rung: bool,
    /// Early dialogs of the present attempt.
    early: Early,
    /// Who picks the ringing target up.
    pickup: Option<Pickup>,
}

#[derive(Debug)]
enum Step {
    /// Between two trunks.
    Waiting,
    /// The relay reserves a port.
    Allocating {
        leg: LegId,
        trunk: Arc<Trunk>,
        image: Box<MediaImage>,
    },
    /// The INVITE is out.
    Inviting { leg: LegId },
    /// Another call is asked for its party.
    Fetching { fetch: Fetch },
    /// It was busy, and is asked again.
    Pausing,
    /// The relay reserves a port for the party.
    Adopting { leg: LegId },
    /// The party is offered our media, or will be when there is room for it.
    Offering { leg: LegId, is_open: bool },
}

impl Transfer {
    /// Answers a REFER, and begins what it asks for if that is allowed.
    pub(super) fn begin(
        call: &mut Call,
        cx: &mut Cx<'_>,
        (transferor, observer): (LegId, LegId),
        asked: &Asked,
    ) -> Option<Operation> {
        let (wish, plan, transferee) = match permitted(call, cx, transferor, asked) {
            Ok(permitted) => permitted,
            Err(refused) => {
                call.refuse_refer(cx, observer, asked, refused.status);
                let trunk = call
                    .legs
                    .get(&transferor)?
                    .session
                    .style()
                    .trunk
                    .name
                    .clone();
                let target = asked.request.raw(HeaderName::ReferTo).unwrap_or_default();
                let told = (refused.status, &refused.because);
                record::transfer_declined(call, cx.now, transferor, &target, told);
                let what = Happened::Transfer {
                    trunk,
                    kind: TransferKind::Blind,
                    outcome: TransferOutcome::Refused,
                    status: Some(refused.status),
                    because: refused.because,
                };
                cx.out.emit(Some(call.id), Some(transferor), what);
                return None;
            }
        };
        let reach = Reach::of(&asked.request);
        call.leg(observer)?.session.accept_refer(cx, asked);
        call.tellings_begin_anew();
        let x = call.leg(transferor)?;
        let trunk = &x.session.style().trunk;
        let teams_call = match trunk.preset {
            Preset::Teams => name_in_referred_by(&asked.request),
            _ => None,
        };
        let asked = Begun {
            transferor,
            transferee,
            observer: Some(observer),
            command: None,
            wish,
            plan,
            reach,
        };
        asked.begin(call, cx, teams_call)
    }

    /// Moves to the next trunk; without one, the transfer has failed.
    fn next_trunk(mut self: Box<Self>, call: &mut Call, cx: &mut Cx<'_>) -> Option<Operation> {
        self.has_rung = false;
        self.early = self.early.anew(cx.now.mono);
        call.timers.stop(Timer::EarlyMedia as usize);
        while let Some(attempt) = self.attempts.pop_front() {
            let trunk = Arc::clone(&attempt.trunk);
            // It may have been disabled since, or a redirection leads there. Where calls drain transfers go on.
            let is_disabled = cx.plane.closed.of(&trunk) == Some(Closing::Disabled);
            if is_disabled && !self.plan.is_emergency {
                let because = route::closed(&trunk, Closing::Disabled);
                self.failed_because(call, Status::SERVICE_UNAVAILABLE, because);
                continue;
            }
            let way = attempt.way.as_deref();
            let Some(leg) = call.next_name() else {
                let because = MOST_NAMES.to_owned();
                self.failed_because(call, Status::SERVER_INTERNAL_ERROR, because);
                return self.failed(call, cx);
            };
            let guess = trunk.local_media.is_some().then(Choice::guess);
            let image = image_of(cx, profile_of(&trunk, guess.as_ref()), leg, None);
            let transcodes = call.would_transcode(self.transferee, &image);
            let leaves = Some(self.transferor);
            if let Err(full) = call.take_places(cx, (leg, leaves), &trunk, (way, transcodes)) {
                self.failed_because(call, Status::SERVICE_UNAVAILABLE, full.to_string());
                continue;
            }
            let called = &attempt.called.number;
            if let Err(spent) = call.open_bill(cx, leg, &trunk, called, way) {
                call.leave_places(cx, leg);
                self.failed_because(call, spent.refused().status, spent.to_string());
                continue;
            }
            call.take_name();
            call.media.allocate(cx, vec![image.spec()]);
            let image = Box::new(image);
            self.current = Some(attempt);
            self.step = Step::Allocating { leg, trunk, image };
            return Some(Operation::Transfer(self));
        }
        self.failed(call, cx)
    }

    /// A report of the relay.
    pub(super) fn media_event(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        event: MediaEvent,
    ) -> Option<Operation> {
        match (event, std::mem::replace(&mut self.step, Step::Waiting)) {
            (MediaEvent::Allocated { endpoints, .. }, Step::Allocating { leg, trunk, image }) => {
                self.invite(call, cx, leg, trunk, *image, &endpoints)
            }
            (MediaEvent::Allocated { endpoints, .. }, step @ Step::Inviting { .. }) => {
                self.step = step;
                self.picked_up(call, cx, &endpoints)
            }
            (MediaEvent::Refused { .. }, step @ Step::Inviting { .. }) => {
                self.step = step;
                self.pickup_fails(call, cx, Status::SERVICE_UNAVAILABLE)
            }
            (MediaEvent::Allocated { endpoints, .. }, Step::Adopting { leg }) => {
                self.adopted(call, leg, &endpoints)
            }
            (MediaEvent::Refused { why, .. }, Step::Adopting { leg }) => {
                call.media_refused(cx, leg, MediaRefusal::Relay(why));
                let because = format!("the media relay refused: {why:?}");
                self.failed_because(call, Status::SERVICE_UNAVAILABLE, because);
                self.let_go(call, cx, leg)
            }
            (MediaEvent::Refused { why, .. }, Step::Allocating { leg, trunk, .. }) => {
                call.media_refused_on(cx, None, &trunk, MediaRefusal::Relay(why));
                let because = format!("the media relay refused: {why:?}");
                self.failed_because(call, Status::SERVICE_UNAVAILABLE, because);
                call.leave_places(cx, leg);
                self.failed(call, cx)
            }
            (event, step) => {
                self.step = step;
                call.operation = Some(Operation::Transfer(self));
                call.heard_nothing(cx, &event);
                call.operation.take()
            }
        }
    }

    /// The port is there: offer the transferee's media to the target.
    fn invite(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        trunk: Arc<Trunk>,
        mut image: MediaImage,
        endpoints: &[LocalEndpoint],
    ) -> Option<Operation> {
        for local in endpoints {
            image.allocated(local);
        }
        let y = call.legs.get(&self.transferee)?;
        let from = Arc::clone(&y.session.style().trunk);
        let offer = match interwork::invite(&mut image, &y.image) {
            Ok(offer) => offer,
            Err(incompatible) => {
                call.media_refused_on(cx, None, &trunk, &incompatible);
                let because = incompatible.because.text();
                self.failed_because(call, Status::NOT_ACCEPTABLE_HERE, because.to_owned());
                call.media.drop_endpoint(cx, endpoint(leg));
                call.leave_places(cx, leg);
                return self.next_trunk(call, cx);
            }
        };
        let by = call.legs.get(&self.transferor)?.session.style();
        let by = Arc::clone(&by.trunk);
        let attempt = self.current.as_ref()?;
        // Where a redirection leads nobody has the dialog that is to be replaced.
        let replays = self.replays && attempt.path.is_empty();
        let dialled = attempt.called.number.clone();
        let scope = TransformScope::Out(trunk.name.clone());
        let translate = match self.plan.is_emergency {
            true => number::translate_help,
            false => number::translate_called,
        };
        let (changed, _) = translate(&call.config, &scope, &dialled);
        let mut passed = self.wish.lines(&by, &trunk, replays);
        for (by, embedded) in &attempt.asked_for {
            embedded.overwrite(&mut passed, by, &trunk);
        }
        let is_verbatim = self.plan.is_verbatim && attempt.path.is_empty();
        let outset = Outset {
            caller: Arc::clone(&attempt.caller),
            called: attempt.called.changed(changed.value),
            from,
            passed,
            reach: self.reach,
            keyless: image.without_keys(),
            offer: Some(offer),
            is_emergency: self.plan.is_emergency,
            is_urgent: call.places.are_urgent(),
            is_last: self.attempts.is_empty(),
            untried: Vec::new(),
            hears_ends: false,
            verbatim: is_verbatim.then(|| self.wish.target.clone()),
            vouched: None,
            parts: emergency::Parts {
                sections: self.wish.parts(&by, &trunk),
                before: 0,
            },
            credentials: None,
        };
        let style = LegStyle {
            config: Arc::clone(&call.config),
            contact_user: cx.plane.contact_user(&trunk),
            session_id: match call.side(self.transferor) {
                EndedBy::A => call.ends.to_caller(&trunk),
                EndedBy::B | EndedBy::Us => call.ends.to_called(&trunk),
            },
            trunk,
        };
        let mut up = Vec::new();
        let session = Session::outgoing(cx, (call.id, leg), style, outset, &mut up);
        let attempt = record::attempt(call, leg, dialled, &session, call.elapsed_ms(cx.now));
        call.record.egress.push(attempt);
        call.legs.insert(leg, Leg::new(session, image));
        call.guesses(cx, leg);
        call.events.extend(up.into_iter().map(|event| (leg, event)));
        self.step = Step::Inviting { leg };
        Some(Operation::Transfer(self))
    }

    /// An event of one of the legs.
    pub(super) fn session_event(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        event: SessionEvent,
    ) -> Option<Operation> {
        let is_target = matches!(self.step, Step::Inviting { leg: target } if target == leg);
        let is_adopted = matches!(
            self.step,
            Step::Adopting { leg: target } | Step::Offering { leg: target, .. } if target == leg
        );
        match event {
            SessionEvent::OfferAnswered { description } if is_adopted => {
                self.offer_answered(call, cx, leg, description)
            }
            SessionEvent::OfferRefused { status, again } if is_adopted => {
                self.offer_refused(call, cx, leg, status, again)
            }
            SessionEvent::Ended(_) if is_adopted => {
                let mut transfer = self;
                let because = "the target has left".to_owned();
                transfer.failed_because(call, Status::REQUEST_TERMINATED, because);
                transfer.let_go(call, cx, leg)
            }
            SessionEvent::Progress {
                status,
                early,
                description,
                is_reliable,
                said,
            } if is_target => {
                let heard = Heard {
                    status,
                    early: &early,
                    description,
                    is_reliable,
                    said: &said,
                };
                self.progress(call, cx, leg, heard);
                Some(Operation::Transfer(self))
            }
            SessionEvent::EarlyOffer { early, description } if is_target => {
                self.target_offers(call, cx, leg, &early, &description);
                Some(Operation::Transfer(self))
            }
            SessionEvent::Answered {
                early,
                description,
                said,
            } if is_target => {
                self.pickup_is_too_late(call, cx);
                let goes_on = self.answered(call, cx, leg, &early, description);
                if call.other(leg).is_some() {
                    call.hear_identity(leg, &said);
                    call.comes_from(cx, leg, &said);
                }
                goes_on
            }
            SessionEvent::Rejected(rejection) if is_target => match &mut self.pickup {
                Some(pickup) => {
                    pickup.waits = Some(rejection);
                    Some(Operation::Transfer(self))
                }
                None => self.rejected(call, cx, leg, &rejection),
            },
            SessionEvent::Cancelled { .. } if self.is_picking_up(leg) => {
                self.pickup_fails(call, cx, Status::REQUEST_TERMINATED)
            }
            // The transferor may leave whenever it likes.
            SessionEvent::Ended(_) if leg == self.transferor => Some(Operation::Transfer(self)),
            SessionEvent::Refer(asked) => {
                call.refuse_refer(cx, leg, &asked, Status::SERVER_INTERNAL_ERROR);
                Some(Operation::Transfer(self))
            }
            // Whatever else the two parties do is between them, as before; the end of the
            // transferee is the end of the call.
            event => {
                call.operation = None;
                call.unowned(cx, leg, event);
                match call.operation.take() {
                    // Those who help are on the line still, and there is nobody to be transferred.
                    None if call.is_held() => {
                        let because = "the caller for help has gone";
                        self.given_up(call, cx, Status::REQUEST_TERMINATED, because)
                    }
                    None => Some(Operation::Transfer(self)),
                    ended => {
                        self.note(call, cx, TransferOutcome::Abandoned, None);
                        ended
                    }
                }
            }
        }
    }

    /// Joins the media of the transferee with that of `leg`, each on its side of the call.
    fn join(&self, call: &mut Call, cx: &mut Cx<'_>, leg: LegId, silence_ms: u32) {
        let (a, b) = match call.side(self.transferee) {
            EndedBy::A => (self.transferee, leg),
            EndedBy::B | EndedBy::Us => (leg, self.transferee),
        };
        call.media.join(cx, endpoint(a), endpoint(b), silence_ms);
    }

    /// The target answered: it takes the transferor's place.
    fn answered(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        early: &Bytes,
        description: Option<Bytes>,
    ) -> Option<Operation> {
        record::attempt_answered(call, cx.now, leg);
        let negotiated = match self.early.answered(call, leg, early, description) {
            Ok(negotiated) => negotiated,
            Err(incompatible) => {
                call.media_refused(cx, leg, &incompatible);
                let because = incompatible.because.text().to_owned();
                self.failed_because(call, Status::NOT_ACCEPTABLE_HERE, because);
                if let Some(target) = call.leg(leg) {
                    target.image.rollback();
                    target
                        .session
                        .hang_up(cx, Status::NOT_ACCEPTABLE_HERE, None);
                }
                call.media.drop_endpoint(cx, endpoint(leg));
                return self.failed(call, cx);
            }
        };
        let fork = self.early.fork(early);
        self.complete(call, cx, leg, fork, negotiated)
    }

    /// The two talk to each other from now on; the transferor should leave.
    fn complete(
        self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        fork: ForkId,
        negotiated: Negotiated,
    ) -> Option<Operation> {
        if let Some(target) = call.leg(leg) {
            target.image.commit();
        }
        call.media
            .agreed(cx, endpoint(leg), fork, negotiated, Stage::Final);
        let silence_ms = call.silence_ms();
        self.join(call, cx, leg, silence_ms);
        self.takes_place(call, cx, leg);
        None
    }

    /// A leg that is joined with the transferee takes the transferor's place for good.
    fn takes_place(&self, call: &mut Call, cx: &mut Cx<'_>, leg: LegId) {
        let pair = match call.side(self.transferor) {
            EndedBy::A => (leg, self.transferee),
            EndedBy::B | EndedBy::Us => (self.transferee, leg),
        };
        record::transferred(call, cx.now, pair, self.record);
        record::tell(call, cx);
        call.bridge = Some(pair);
        call.newcomer = Some(leg);
        call.tellings_begin_anew();
        call.spare(cx, leg);
        call.keeps_caller();
        call.tell_of_newcomer(self.transferee);
        call.timers.stop(Timer::Transfer as usize);
        call.timers.stop(Timer::EarlyMedia as usize);
        if let Some(record) = call.record.transfers.get_mut(self.record) {
            record.leg = Some(leg);
        }
        self.note(call, cx, TransferOutcome::Completed, Some(Status::OK));
        if let Some(observer) = self.observer.and_then(|observer| call.leg(observer)) {
            observer.session.refer_ended(cx, Status::OK);
        }
        if let Some(x) = call.leg(self.transferor) {
            let patience = match (self.observer, x.session.style().trunk.preset) {
                // It has not asked, and does not know that it should.
                (None, _) => Duration::ZERO,
                (Some(_), Preset::Teams) => TEAMS_LEAVES_WITHIN,
                (Some(_), Preset::Carrier) => LEAVE_WITHIN,
            };
            call.leaving.push((self.transferor, cx.now.mono + patience));
            call.wait_for_leaving();
        }
    }

    /// One trunk is through without an answer.
    fn rejected(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        rejection: &Rejection,
    ) -> Option<Operation> {
        record::attempt_rejected(call, cx.now, leg, rejection);
        call.leave_places(cx, leg);
        let because = rejection.text.clone().unwrap_or_default();
        let because = format!("the target gave {} {because}", rejection.status.code());
        self.failed_because(call, rejection.status, because.trim_end().to_owned());
        call.media.drop_endpoint(cx, endpoint(leg));
        if self.is_redirected(call, cx, leg, rejection) {
            return self.next_trunk(call, cx);
        }
        let trunk = call.legs.get(&leg).map(|leg| &leg.session.style().trunk);
        let goes_on = !rejection.is_from_peer
            || self.plan.is_emergency
            || trunk.is_some_and(|trunk| {
                let status = response::softened(rejection.status, trunk);
                response::tries_next(status, &rejection.reasons, trunk)
            });
        match goes_on || self.turns_to_next_target(rejection.status) {
            true => self.next_trunk(call, cx),
            false => self.failed(call, cx),
        }
    }

    fn failed_because(&mut self, call: &mut Call, status: Status, because: String) {
        self.failure = status;
        if let Some(record) = call.record.transfers.get_mut(self.record) {
            record.because.0.push(because);
        }
    }

    /// The target is not waited for any more: it is left alone.
    fn given_up(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        status: Status,
        because: &str,
    ) -> Option<Operation> {
        self.pickup_is_too_late(call, cx);
        self.failed_because(call, status, because.to_owned());
        if let Step::Inviting { leg }
        | Step::Allocating { leg, .. }
        | Step::Adopting { leg }
        | Step::Offering { leg, .. } = self.step
        {
            match call.leg(leg) {
                Some(target) => target.session.hang_up(cx, status, None),
                None => call.leave_places(cx, leg),
            }
            call.media.drop_endpoint(cx, endpoint(leg));
        }
        self.failed(call, cx)
    }

    /// The transfer came to nothing: the old conversation goes on, if both are still there.
    fn failed(self: Box<Self>, call: &mut Call, cx: &mut Cx<'_>) -> Option<Operation> {
        call.timers.stop(Timer::Transfer as usize);
        call.timers.stop(Timer::EarlyMedia as usize);
        let status = match self.failure {
            status if status.code() < 300 => Status::TEMPORARILY_UNAVAILABLE,
            status => status,
        };
        self.note(call, cx, TransferOutcome::Failed, Some(status));
        if let Some(observer) = self.observer.and_then(|observer| call.leg(observer)) {
            observer.session.refer_ended(cx, status);
        }
        let x = call.leg(self.transferor)?;
        let is_there = x.session.is_confirmed();
        // Whoever has left has no port any more.
        if is_there && !call.is_held() {
            let silence_ms = call.silence_ms();
            self.join(call, cx, self.transferor, silence_ms);
        }
        if is_there {
            return None;
        }
        let because = Because::of(format!(
            "the transfer failed with {} after its transferor had left",
            status.code()
        ));
        let code = CauseCode::TransferFailed;
        call.end(cx, EndedBy::Us, code, because, &[]);
        call.operation.take()
    }

    /// Notes how it ended.
    fn note(
        &self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        outcome: TransferOutcome,
        status: Option<Status>,
    ) {
        let Some(record) = call.record.transfers.get_mut(self.record) else {
            return;
        };
        record.outcome = outcome;
        record.status = status.map(Status::code);
        let what = Happened::Transfer {
            trunk: record.trunk.clone(),
            kind: record.kind,
            outcome,
            status,
            because: record.because.clone(),
        };
        if let Some(command) = self.command {
            let answer = Answered::Transferred {
                outcome,
                status,
                because: record.because.clone(),
            };
            cx.out.push(Effect::Reply(command, answer));
        }
        cx.out.emit(Some(call.id), Some(self.transferor), what);
    }
}

impl Call {
    /// Whether the call has been transferred as often as whoever asks may have it (SIP-809).
    ///
    /// Targets that refuse move nothing, and whoever tries one colleague after the other is in no circle.
    fn has_moved_enough(&self, by: &Leg) -> bool {
        let all = &self.record.transfers;
        let most = by.session.style().trunk.transfers.most;
        let moves = all
            .iter()
            .filter(|own| own.outcome == TransferOutcome::Completed);
        moves.count() >= most || all.len() >= most.max(MOST_TRIES)
    }

    /// Whether a leg talks in the dialog that is named.
    pub(crate) fn talks_in(&self, leg: LegId, named: &Replaces) -> bool {
        let standing = self.legs.get(&leg).map(|leg| leg.session.standing(named));
        standing.flatten() == Some(Standing::Confirmed)
    }

    /// A REFER outside of the dialog of its sender, which is that of a leg. What becomes of it is told
    /// in a dialog of its own; the other party is not asked to carry it out.
    pub(crate) fn refer_outside(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        style: &LegStyle,
        id: TransactionId,
        flow: &Flow,
        message: &Message,
    ) {
        let asked = Asked::new(id, flow, message);
        let Some(observer) = self.take_name() else {
            return self.refuse_outside(cx, style, id, message, Status::SERVER_INTERNAL_ERROR);
        };
        let own = LegStyle {
            config: Arc::clone(&self.config),
            ..style.clone()
        };
        let image = image_of(cx, &style.trunk.media.profile, observer, None);
        let Some(session) = Session::observer(cx, (self.id, observer), own, &asked) else {
            // What cannot make a dialog can have no subscription.
            self.give_name_back(observer);
            return self.refuse_outside(cx, style, id, message, Status::BAD_REQUEST);
        };
        self.legs.insert(observer, Leg::new(session, image));
        let is_told = self.legs.get(&leg);
        let is_told = is_told.is_some_and(|leg| leg.session.is_observing());
        match self.operation.take() {
            None if !is_told => {
                self.operation = Transfer::begin(self, cx, (leg, observer), &asked);
            }
            // One at a time (SIP-809).
            other => {
                self.operation = other;
                self.refuse_refer(cx, observer, &asked, Status::SERVER_INTERNAL_ERROR);
            }
        }
        let is_begun = matches!(
            &self.operation,
            Some(Operation::Transfer(transfer)) if transfer.observer == Some(observer)
        );
        let is_over = |own: &Leg| own.session.is_over();
        if !is_begun && self.legs.get(&observer).is_some_and(is_over) {
            // As if it had never been: a name is free for the next, of which there may be any number.
            self.legs.remove(&observer);
            self.give_name_back(observer);
        }
        self.settle(cx);
    }

    /// Refuses a REFER outside of its dialog before it has one of its own.
    fn refuse_outside(
        &self,
        cx: &mut Cx<'_>,
        style: &LegStyle,
        id: TransactionId,
        message: &Message,
        status: Status,
    ) {
        let tag = Token::from_minted(cx.plane.mint.tag());
        let response = ResponseBuilder::to(message, status, Some(&tag));
        let bytes = style.sign_response(response).build();
        let (now, table) = (cx.now.mono, &mut cx.plane.transactions);
        table.respond(now, id, status, bytes, cx.out);
    }

    /// Refuses a REFER; everything goes on as it was.
    pub(super) fn refuse_refer(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        asked: &Asked,
        status: Status,
    ) {
        if let Some(leg) = self.leg(leg) {
            leg.session.refuse_refer(cx, asked, status);
        }
    }

    /// The target rings for too long.
    pub(super) fn transfer_timeout(&mut self, cx: &mut Cx<'_>) {
        match self.operation.take() {
            Some(Operation::Transfer(transfer)) => {
                let because = "longest set-up time is over";
                self.operation = transfer.given_up(self, cx, Status::REQUEST_TIMEOUT, because);
            }
            other => self.operation = other,
        }
    }

    /// Does what a transfer could not do before.
    pub(super) fn proceed(&mut self, cx: &mut Cx<'_>) {
        match self.operation.take() {
            Some(Operation::Transfer(transfer)) => {
                self.operation = transfer.proceed(self, cx);
            }
            other => self.operation = other,
        }
    }

    /// Wakes the call when the first of those who should leave has had its time.
    fn wait_for_leaving(&mut self) {
        if let Some(limit) = self.leaving.iter().map(|(_, limit)| *limit).min() {
            self.timers.set(Timer::Leave as usize, limit);
        }
    }

    /// Whoever has transferred the call and has not left in its time is sent away. Others that have no part in the
    /// conversation may be about to get one: the target of the next transfer, or who replaces a party.
    pub(super) fn release_others(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let due = self.leaving.extract(|own| own.1 <= now);
        self.wait_for_leaving();
        for (leg, _) in due {
            if self.is_apart(leg)
                && let Some(leg) = self.leg(leg)
            {
                leg.session.hang_up(cx, Status::REQUEST_TERMINATED, None);
            }
        }
    }

    /// The party of a leg, as others are told of it.
    fn party(&self, leg: LegId) -> Arc<Caller> {
        if let Some(party) = self.parties.get(&leg) {
            return Arc::clone(party);
        }
        let attempt = self.record.egress.iter().find(|attempt| attempt.leg == leg);
        let text = attempt
            .map(|attempt| attempt.called.clone())
            .unwrap_or_default();
        let number = Number {
            raw: text.clone(),
            number: text,
            ..Number::default()
        };
        Arc::new(Caller {
            calling: Calling {
                number: number.clone(),
                display: None,
                is_withheld: number.number.is_empty(),
            },
            asserted: Vec::new(),
            selected: number,
            preferred: None,
            privacy: Wishes::default(),
            trail: Trail::default(),
            referred_by: None,
            is_referred: false,
        })
    }
}

/// What the REFER asks for, if it may have that.
fn permitted(
    call: &Call,
    cx: &mut Cx<'_>,
    transferor: LegId,
    asked: &Asked,
) -> Result<(Wish, crate::cause::Decision<Plan>, LegId), Refused> {
    let refused = |status, why: &str| Refused {
        status,
        because: Because::of(why),
    };
    let x = call.legs.get(&transferor);
    let (Some(x), Some(transferee)) = (x, call.other(transferor)) else {
        return Err(refused(
            Status::DECLINE,
            "whoever asks has no part in the call any more",
        ));
    };
    let is_there = call.legs.get(&transferee);
    if !is_there.is_some_and(|party| party.session.is_confirmed()) {
        return Err(refused(
            Status::DECLINE,
            "the other party has left the call",
        ));
    }
    if call.has_moved_enough(x) {
        return Err(refused(Status::DECLINE, TOO_OFTEN));
    }
    let by = &x.session.style().trunk;
    let wish = Wish::of(&asked.request, by.preset)?;
    let tenant = call.tenant.as_ref();
    let calling = call.party(transferee).selected.number.clone();
    let plan = wish.plan(
        &call.config,
        by,
        tenant,
        &calling,
        cx.now.wall,
        &mut cx.plane.mint,
    );
    let plan = plan.and_then(|plan| transfer::without_disabled(plan, &cx.plane.closed));
    let plan = match (plan, &wish.replaces) {
        // It may be one of ours, and then nobody is called.
        (Err(_), Some(_)) => wish.unplanned(),
        (plan, _) => plan?,
    };
    Ok((wish, plan, transferee))
}

/// Takes the target's answer to our offer; nothing is committed yet.
fn settle(call: &mut Call, leg: LegId, text: &Bytes) -> Result<Negotiated, Incompatible> {
    let description = parse(text)?;
    let formats = &mut call.media.formats;
    let leg = call.legs.get_mut(&leg).ok_or(Unusable::OutOfOrder)?;
    let facts = read(&description, leg.image.profile());
    interwork::settle(&facts, &mut leg.image, formats)
}
