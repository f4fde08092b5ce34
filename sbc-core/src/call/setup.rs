//! Setup: from the admitted INVITE to the answer, over as many attempts as the plan has.
//!
//! ```text
//! Allocating ──ports──► Inviting ──2xx──► done      (or Acknowledging, when A sent no offer)
//!     ▲                    │
//!     └── next attempt ◄───┴── refused, unreachable
//! ```
//!
//! Whatever ends it without an answer refuses the A leg and starts the teardown.

mod carry;
mod early;
mod early_media;
mod progress;
mod redirect;
mod ringback;

use super::{A_LEG, Admitted, Call, Leg, Operation, Timer, endpoint, images, record};
use crate::cause::{Because, Cause, CauseCode, EndedBy};
use crate::config::{CallLimits, Rel100, TransformScope, Trunk};
use crate::event::{Happened, TargetFault};
use crate::id::LegId;
use crate::media::{Facts, Incompatible, MediaImage, Unusable, interwork, read};
use crate::plane::Cx;
use crate::policy::admission::Counted;
use crate::policy::circle::Reach;
use crate::policy::identity::Caller;
use crate::policy::number::{self, Number};
use crate::policy::response::{self, Failure, Mapped};
use crate::policy::{Refusal as PolicyRefusal, emergency, header};
use crate::sdp::{Description, Limits};
use crate::session::{LegStyle, Outset, Refusal, Rejection, Session, SessionEvent};
use crate::sip::header::{Expires, Header, MaxForwards, MinSe};
use crate::sip::{HeaderName, Message, Status};
use bytes::Bytes;
use early_media::EarlyMedia;
use media_api::{Event as MediaEvent, ForkId, LocalEndpoint, Stage};
use progress::Heard;
use redirect::{Onward, Redirects};
use ringback::Ringback;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// A call on its way to an answer.
#[derive(Debug)]
pub(super) struct Setup {
    request: Message,
    trunk: Arc<Trunk>,
    /// What the B leg's request may still do, this hop taken.
    reach: Reach,
    /// What A offers; `None` when its INVITE has no SDP.
    offer: Option<Facts>,
    attempts: VecDeque<Attempt>,
    redirects: Redirects,
    is_emergency: bool,
    step: Step,
    /// What A is told if no attempt succeeds: the best failure so far (SIP-314).
    failure: Option<Failed>,
    /// Peer's tags of the present attempt, in order of appearance: their positions name forks.
    forks: Vec<Bytes>,
    /// Early answers to our own offer, when A has made none: for a 2xx that repeats no SDP.
    early_answers: BTreeMap<Bytes, Bytes>,
    /// Early answers of the present attempt, for a 2xx that repeats none.
    previews: BTreeMap<Bytes, Bytes>,
    /// The called side of early dialogs whose first exchange is made: each has its own from then on.
    complete: BTreeMap<Bytes, MediaImage>,
    /// Whose media may flow before the answer.
    early_media: EarlyMedia,
    ringback: Ringback,
    /// Our offer to a caller that made none went out in a reliable provisional.
    is_offered: bool,
}

/// One try at one trunk.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// Whose targets are tried.
    pub(super) trunk: Arc<Trunk>,
    /// Called number, before the transforms of the trunk.
    pub(super) called: Number,
    /// The caller, with the earlier targets of this attempt.
    pub(super) caller: Arc<Caller>,
    /// How many redirections led here.
    pub(super) level: u8,
}

/// An attempt that failed, as A would be told of it.
#[derive(Debug)]
struct Failed {
    mapped: Mapped,
    by: EndedBy,
    because: Because,
    /// See [`response::rank`].
    rank: u16,
}

/// Most early dialogs of one attempt whose media is listened to; Teams alone may ring 32 endpoints
/// (TDR-SIP-016).
const MOST_FORKS: usize = 64;

#[derive(Debug)]
enum Step {
    /// Between two attempts.
    Waiting,
    /// The relay reserves ports for this attempt.
    Allocating {
        attempt: Attempt,
        leg: LegId,
        image: Box<MediaImage>,
    },
    /// The attempt's INVITE is out.
    Inviting { leg: LegId, attempt: Attempt },
    /// A sent no offer: our 200 carries one, and A's ACK brings the answer.
    Acknowledging { leg: LegId },
}

impl Setup {
    /// Starts the first attempt, or refuses the call.
    pub(super) fn begin(call: &mut Call, cx: &mut Cx<'_>, admitted: Admitted) -> Option<Operation> {
        let plan = match admitted.plan {
            Ok(plan) => plan,
            Err(PolicyRefusal {
                status,
                cause,
                because,
            }) => {
                let mapped = Mapped {
                    status,
                    ..response::own(cause, &admitted.trunk)
                };
                return refuse(call, cx, mapped, EndedBy::Us, because, None);
            }
        };
        let a = call.legs.get(&A_LEG);
        if let Some(least) = a.and_then(|a| a.session.least_interval(&admitted.request)) {
            return refuse_interval(call, cx, &admitted.trunk, &least);
        }
        let has_support = a.is_some_and(|a| a.session.has_support());
        if admitted.trunk.progress.rel100 == Rel100::Required && !has_support {
            return progress::refuse_unreliable(call, cx, &admitted.trunk);
        }
        let offer = match offer_of(&admitted.request, &admitted.trunk) {
            Ok(offer) => offer,
            Err(incompatible) => return refuse_offer(call, cx, &incompatible),
        };
        cx.out.emit(
            Some(call.id),
            None,
            Happened::Routed {
                trunks: plan.iter().map(|trunk| trunk.name.clone()).collect(),
                because: admitted.because,
            },
        );
        if let Ok(Some(Expires(seconds))) = admitted.request.get() {
            let end = cx.now.mono + Duration::from_secs(u64::from(seconds));
            call.timers.set(Timer::Expires as usize, end);
        }
        let redirects = Redirects::new(admitted.tenant, admitted.calling, &admitted.called);
        let caller = Arc::new(admitted.caller);
        let attempts = plan.into_iter().map(|trunk| Attempt {
            trunk,
            called: admitted.called.clone(),
            caller: Arc::clone(&caller),
            level: 0,
        });
        let attempts = attempts.collect();
        let setup = Self {
            reach: Reach {
                hops: MaxForwards(admitted.reach.hops.0.saturating_sub(1)),
                ..admitted.reach
            },
            request: admitted.request,
            trunk: admitted.trunk,
            offer,
            attempts,
            redirects,
            is_emergency: admitted.is_emergency,
            step: Step::Waiting,
            failure: None,
            forks: Vec::new(),
            early_answers: BTreeMap::new(),
            previews: BTreeMap::new(),
            complete: BTreeMap::new(),
            early_media: EarlyMedia::default(),
            ringback: Ringback::default(),
            is_offered: false,
        };
        Box::new(setup).next_attempt(call, cx)
    }

    /// Moves to the next trunk of the plan; without one, A is refused.
    fn next_attempt(mut self: Box<Self>, call: &mut Call, cx: &mut Cx<'_>) -> Option<Operation> {
        self.forks.clear();
        self.previews.clear();
        self.complete.clear();
        self.early_media = EarlyMedia::default();
        call.timers.stop(Timer::EarlyMedia as usize);
        self.early_answers.clear();
        while let Some(attempt) = self.attempts.pop_front() {
            let trunk = &attempt.trunk;
            let leg = LegId(call.next_leg);
            call.next_leg = call.next_leg.saturating_add(1);
            let profile = Arc::new(trunk.media.profile.clone());
            let image = MediaImage::new(profile, endpoint(leg), cx.plane.mint.number(), None);
            let Some(a) = call.leg(A_LEG) else { break };
            let fits = match &self.offer {
                Some(offer) => interwork::needs(offer, &a.image, &image).map(|_| ()),
                None => Ok(()),
            };
            let first = a.image.local().is_none().then(|| a.image.spec());
            if let Err(incompatible) = fits {
                self.fail(&incompatible);
                continue;
            }
            let counted = Counted::Trunk(trunk.name.clone());
            let admission = &mut cx.plane.admission;
            let limits = match self.is_emergency {
                true => CallLimits::default(),
                false => trunk.limits,
            };
            match admission.take(cx.now.mono, counted, &limits) {
                Ok(place) => call.places.push(place),
                Err(full) => {
                    let mapped = response::own(CauseCode::LimitReached, &self.trunk);
                    self.failed_here(mapped, Because::of(full.to_string()));
                    continue;
                }
            }
            let specs = first.into_iter().chain([image.spec()]).collect();
            call.media.allocate(cx, specs);
            self.step = Step::Allocating {
                attempt,
                leg,
                image: Box::new(image),
            };
            return Some(Operation::Setup(self));
        }
        let failed = self.failure.take().unwrap_or_else(|| Failed {
            mapped: response::own(CauseCode::NoRoute, &self.trunk),
            by: EndedBy::Us,
            because: Because::of("the routing plan has no attempt left"),
            rank: response::UNHEARD,
        });
        refuse(call, cx, failed.mapped, failed.by, failed.because, None)
    }

    /// Remembers that the two legs' media cannot be joined.
    fn fail(&mut self, incompatible: &Incompatible) {
        let mapped = response::own(CauseCode::MediaIncompatible, &self.trunk);
        self.failed_here(mapped, Because::of(incompatible.because.text()));
    }

    /// Remembers an attempt that failed on our side.
    fn failed_here(&mut self, mapped: Mapped, because: Because) {
        self.failed(Failed {
            mapped,
            by: EndedBy::Us,
            because,
            rank: response::UNHEARD,
        });
    }

    /// Remembers a failed attempt, unless an earlier failure says more to the caller.
    fn failed(&mut self, failed: Failed) {
        let is_better = |earlier: &Failed| failed.rank <= earlier.rank;
        if self.failure.as_ref().is_none_or(is_better) {
            self.failure = Some(failed);
        }
    }

    /// Header lines of A's INVITE that pass unchanged to a trunk.
    fn passed(&self, to: &Trunk) -> Vec<(HeaderName, Bytes)> {
        let mut passed = header::passed(&self.request, &self.trunk, to);
        if self.is_emergency {
            let more = emergency::passed(&self.request, to);
            passed.retain(|(name, _)| !more.iter().any(|(own, _)| own == name));
            passed.extend(more);
        }
        passed
    }

    /// A report of the relay.
    pub(super) fn media_event(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        event: MediaEvent,
    ) -> Option<Operation> {
        match (event, self.step) {
            (
                MediaEvent::Allocated { endpoints, .. },
                Step::Allocating {
                    attempt,
                    leg,
                    image,
                },
            ) => {
                self.step = Step::Inviting {
                    leg,
                    attempt: attempt.clone(),
                };
                self.invite(call, cx, attempt, leg, *image, &endpoints)
            }
            (MediaEvent::Refused { why, .. }, Step::Allocating { .. }) => {
                // Before any INVITE went out: the caller may try another node (MED-011).
                let mapped = response::own(CauseCode::MediaUnavailable, &self.trunk);
                let because = Because::of(format!("the media relay refused: {why:?}"));
                refuse(call, cx, mapped, EndedBy::Us, because, None)
            }
            (MediaEvent::FirstMedia { endpoint, .. }, step) => {
                self.step = step;
                self.first_media(call, cx, LegId(endpoint.0));
                Some(Operation::Setup(self))
            }
            (_, step) => {
                self.step = step;
                Some(Operation::Setup(self))
            }
        }
    }

    /// The ports are there: write the offer and call the peer.
    fn invite(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        attempt: Attempt,
        leg: LegId,
        mut image: MediaImage,
        endpoints: &[LocalEndpoint],
    ) -> Option<Operation> {
        let Some(a) = call.leg(A_LEG) else {
            return Some(Operation::Setup(self));
        };
        for local in endpoints {
            a.image.allocated(local);
            image.allocated(local);
        }
        let offer = match &self.offer {
            Some(offer) => {
                let written = interwork::offer(offer.clone(), &mut a.image, &mut image);
                if a.image.committed().is_some() {
                    // A was told an answer already, in the name of another attempt (SIP-312).
                    a.image.rollback();
                }
                written
            }
            None => interwork::open(&mut image, a.image.profile()),
        };
        let offer = match offer {
            Ok(offer) => offer,
            Err(incompatible) => {
                self.fail(&incompatible);
                call.media.drop_endpoint(cx, endpoint(leg));
                return self.next_attempt(call, cx);
            }
        };
        let Attempt {
            trunk,
            called,
            caller,
            ..
        } = attempt;
        let dialled = called.number.clone();
        let scope = TransformScope::Out(trunk.name.clone());
        let changed = number::transform_called(&call.config, &scope, &called.number);
        if cx.plane.explains {
            let mut because = changed.because.clone();
            because
                .0
                .extend(header::told(&self.request, &self.trunk, &trunk).0);
            let what = Happened::Explained { because };
            cx.out.emit(Some(call.id), Some(leg), what);
        }
        let outset = Outset {
            caller,
            called: Number {
                number: changed.value,
                ..called
            },
            from: Arc::clone(&self.trunk),
            passed: self.passed(&trunk),
            reach: self.reach,
            offer,
            is_emergency: self.is_emergency,
            verbatim: None,
            parts: match self.is_emergency {
                true => emergency::parts(&self.request, &trunk),
                false => Vec::new(),
            },
        };
        let style = LegStyle {
            config: Arc::clone(&call.config),
            contact_user: cx.plane.contact_user(&trunk),
            session_id: call.ends.to_called(&trunk),
            trunk,
        };
        let mut up = Vec::new();
        let session = Session::outgoing(cx, (call.id, leg), style, outset, &mut up);
        call.record
            .egress
            .push(record::attempt(leg, dialled, &session));
        call.legs.insert(leg, Leg::new(session, image));
        call.events.extend(up.into_iter().map(|event| (leg, event)));
        Some(Operation::Setup(self))
    }

    /// An event of one of the legs.
    pub(super) fn session_event(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        event: SessionEvent,
    ) -> Option<Operation> {
        let (current, is_inviting) = match &self.step {
            Step::Waiting => (A_LEG, false),
            Step::Allocating { leg, .. } => (*leg, false),
            Step::Inviting { leg, .. } => (*leg, true),
            Step::Acknowledging { leg } => (*leg, false),
        };
        match event {
            SessionEvent::Progress {
                status,
                early,
                description,
                is_reliable,
                said,
            } if leg == current && is_inviting => {
                self.carry(call, leg, &said);
                let heard = Heard {
                    status,
                    early,
                    description,
                    is_reliable,
                };
                self.progress(call, cx, leg, heard);
                Some(Operation::Setup(self))
            }
            SessionEvent::Answered {
                early,
                description,
                said,
            } if leg == current && is_inviting => {
                self.carry(call, leg, &said);
                let description = description.or_else(|| self.early_answers.remove(&early));
                self.answered(call, cx, leg, &early, description)
            }
            SessionEvent::Rejected(rejection) if leg == current && is_inviting => {
                self.rejected(call, cx, leg, rejection)
            }
            SessionEvent::Acknowledged { description, .. }
                if leg == A_LEG && matches!(self.step, Step::Acknowledging { .. }) =>
            {
                call.peer_acknowledged(cx, A_LEG, description);
                call.operation.take()
            }
            SessionEvent::Cancelled { reasons } if leg == A_LEG => {
                let because = Because::of("the caller gave up");
                call.end(
                    cx,
                    EndedBy::A,
                    CauseCode::CallerCancelled,
                    because,
                    &reasons,
                );
                call.operation.take()
            }
            SessionEvent::Ended(ending) => {
                call.unowned(cx, leg, SessionEvent::Ended(ending));
                call.operation.take()
            }
            SessionEvent::EarlyOffer { early, description } if leg == current && is_inviting => {
                self.called_offers(call, cx, leg, &early, description);
                Some(Operation::Setup(self))
            }
            SessionEvent::Offer(Some(offer)) if leg == A_LEG && is_inviting => {
                self.caller_offers(call, cx, current, offer)
            }
            SessionEvent::Acknowledged {
                description,
                is_answer: true,
            } if leg == A_LEG && self.is_offered => {
                call.peer_acknowledged(cx, A_LEG, description);
                match call.operation.take() {
                    Some(ended) => Some(ended),
                    None => Some(Operation::Setup(self)),
                }
            }
            event @ (SessionEvent::Crossing { .. } | SessionEvent::Carried { .. }) => {
                call.unowned(cx, leg, event);
                Some(Operation::Setup(self))
            }
            SessionEvent::EarlyOffer { .. } | SessionEvent::Offer(_) => {
                // An offer while ours is unanswered (RFC 3261 §14.2).
                if let Some(leg) = call.leg(leg) {
                    leg.session.refuse_offer(cx, Status::REQUEST_PENDING);
                }
                Some(Operation::Setup(self))
            }
            SessionEvent::Refer(asked) => {
                call.refuse_refer(cx, leg, &asked, Status::SERVER_INTERNAL_ERROR);
                Some(Operation::Setup(self))
            }
            SessionEvent::Progress { .. }
            | SessionEvent::Answered { .. }
            | SessionEvent::Rejected(_)
            | SessionEvent::Acknowledged { .. }
            | SessionEvent::OfferAnswered { .. }
            | SessionEvent::OfferRefused { .. }
            | SessionEvent::Cancelled { .. } => Some(Operation::Setup(self)),
        }
    }

    fn fork(&mut self, early: &Bytes) -> ForkId {
        let known = self.forks.iter().position(|tag| tag == early);
        let position = known.unwrap_or_else(|| {
            self.forks.push(early.clone());
            self.forks.len() - 1
        });
        ForkId(u8::try_from(position).unwrap_or(u8::MAX))
    }

    /// The called side answered: commit the media and answer the caller.
    fn answered(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        early: &Bytes,
        description: Option<Bytes>,
    ) -> Option<Operation> {
        record::attempt_answered(call, leg);
        self.ringback_ends(call, cx);
        // A 2xx without SDP confirms what the same dialog said early (TDR-SIP-019).
        let description = description.or_else(|| self.previews.get(early).cloned());
        let fork = self.fork(early);
        let is_offered = self.offer.is_some() || self.is_offered;
        let outcome = match &description {
            None => Err(Unusable::AnswerMismatch.into()),
            Some(description) if is_offered => {
                self.commit_answer(call, cx, leg, early, fork, description)
            }
            Some(description) => self.offer_to_caller(call, cx, leg, fork, description),
        };
        let body = match outcome {
            Ok(body) => body,
            Err(incompatible) => {
                // B is off hook and gets BYE, A gets 488.
                return refuse_offer(call, cx, &incompatible);
            }
        };
        // The relay hears of the path before the caller hears of the answer: media may follow it at
        // once.
        let silence_ms = call.silence_ms();
        call.media
            .join(cx, endpoint(A_LEG), endpoint(leg), silence_ms);
        let is_answered = call.leg(A_LEG).is_some_and(|a| a.session.answer(cx, body));
        if !is_answered {
            let mapped = response::own(CauseCode::BadRequest, &self.trunk);
            let because = Because::of("the caller's INVITE has no usable Contact");
            return refuse(call, cx, mapped, EndedBy::Us, because, None);
        }
        call.bridge = Some((A_LEG, leg));
        call.answered = Some(cx.now);
        if let Some(lap) = call.lap.take() {
            cx.plane.circles.leave(lap);
        }
        let setup_ms = call.elapsed_ms(cx.now);
        call.record.setup_ms = Some(setup_ms);
        cx.out
            .emit(Some(call.id), Some(leg), Happened::Answered { setup_ms });
        call.timers.stop(Timer::Limit as usize);
        let longest = call.config.limits.max_duration;
        if !longest.is_zero() {
            call.timers
                .set(Timer::Limit as usize, cx.now.mono + longest);
        }
        match is_offered {
            true => None,
            false => {
                self.step = Step::Acknowledging { leg };
                Some(Operation::Setup(self))
            }
        }
    }

    /// A sent no offer: B's answer to ours is settled, and what it accepted is offered to A.
    fn offer_to_caller(
        &self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        fork: ForkId,
        description: &Bytes,
    ) -> Result<Bytes, Incompatible> {
        let formats = &mut call.media.formats;
        let (a, b) = images(&mut call.legs, A_LEG, leg).ok_or(Unusable::OutOfOrder)?;
        let facts = read(&parse(description)?, b.profile());
        let negotiated = interwork::settle(&facts, b, formats)?;
        b.commit();
        let body = interwork::join(a, b)?;
        call.media
            .agreed(cx, endpoint(leg), fork, negotiated, Stage::Final);
        Ok(body)
    }

    /// The attempt ended without an answer: the next one, or the end.
    fn rejected(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        rejection: Rejection,
    ) -> Option<Operation> {
        record::attempt_rejected(call, leg, &rejection);
        let failure = failure_of(&rejection);
        let mapped = response::mapped(failure, &rejection.reasons, &self.trunk);
        let b_trunk = call
            .legs
            .get(&leg)
            .map(|leg| Arc::clone(&leg.session.style().trunk));
        let tries_next = match failure {
            Failure::Status(status) => b_trunk
                .as_ref()
                .is_some_and(|trunk| response::tries_next(status, &rejection.reasons, trunk)),
            Failure::NoResponse | Failure::Unreachable => true,
            Failure::Cancelled | Failure::NoAnswer => false,
        };
        // Whoever calls for help is not told of a failure while there is another way (SIP-1404).
        let tries_next = tries_next || (self.is_emergency && failure != Failure::Cancelled);
        let mut because = mapped.because;
        if let Some(onward) = self.redirection(call, cx, leg, &rejection) {
            because.0.extend(onward.because.0);
            match onward.value {
                Onward::Attempts => return self.next_attempt(call, cx),
                Onward::Caller(contacts) => {
                    return redirect::tell_caller(call, cx, &rejection, contacts, because);
                }
                Onward::Loop => {
                    let mapped = response::own(CauseCode::LoopDetected, &self.trunk);
                    return refuse(call, cx, mapped, EndedBy::B, because, None);
                }
                Onward::Nowhere => {}
            }
        }
        if let Some(text) = &rejection.text {
            because = because.and(format!("its text is \"{text}\""));
        }
        if let Some(fault) = &rejection.fault {
            because = because.and(fault_in_words(fault));
        }
        if let Some(a) = call.leg(A_LEG) {
            // What it was told early it was told; nothing else is pending now.
            a.image.rollback();
        }
        let by = if rejection.is_from_peer {
            EndedBy::B
        } else {
            EndedBy::Us
        };
        let mut mapped = mapped.value;
        if let (Some(said), Some(trunk)) = (&rejection.said, &b_trunk) {
            mapped.headers = header::passed_back(said, trunk, &self.trunk);
        }
        let failed = Failed {
            mapped,
            by,
            because,
            rank: response::rank(failure),
        };
        if !tries_next {
            return refuse(call, cx, failed.mapped, by, failed.because, None);
        }
        self.failed(failed);
        if !self.attempts.is_empty() {
            call.media.drop_endpoint(cx, endpoint(leg));
        }
        self.next_attempt(call, cx)
    }
}

/// Refuses the A leg and ends the call.
fn refuse(
    call: &mut Call,
    cx: &mut Cx<'_>,
    mapped: Mapped,
    by: EndedBy,
    because: Because,
    warning: Option<Bytes>,
) -> Option<Operation> {
    let refusal = Refusal {
        warning,
        ..Refusal::default()
    };
    refuse_with(call, cx, mapped, by, because, refusal)
}

/// Refuses an INVITE whose session interval is too short (SIP-704).
fn refuse_interval(
    call: &mut Call,
    cx: &mut Cx<'_>,
    trunk: &Trunk,
    least: &MinSe,
) -> Option<Operation> {
    let mapped = Mapped {
        status: Status::SESSION_INTERVAL_TOO_SMALL,
        ..response::own(CauseCode::BadRequest, trunk)
    };
    let because = Because::of(format!(
        "the caller wants a session interval below {} s",
        least.seconds
    ));
    let refusal = Refusal {
        min_se: Some(least.to_bytes()),
        ..Refusal::default()
    };
    refuse_with(call, cx, mapped, EndedBy::Us, because, refusal)
}

/// As [`refuse`], with the other lines of the refusal.
fn refuse_with(
    call: &mut Call,
    cx: &mut Cx<'_>,
    mapped: Mapped,
    by: EndedBy,
    because: Because,
    refusal: Refusal,
) -> Option<Operation> {
    let refusal = Refusal {
        status: mapped.status,
        reason: joined(&mapped.reasons),
        passed: mapped.headers,
        ..refusal
    };
    if let Some(a) = call.leg(A_LEG) {
        a.session.refuse(cx, &refusal);
    }
    let cause = Cause {
        by,
        code: mapped.cause,
        status: Some(mapped.status.code()),
        q850: mapped.q850,
        because,
    };
    let teardown =
        super::teardown::Teardown::begin(call, cx, cause, mapped.status, &mapped.reasons);
    Some(Operation::Teardown(teardown))
}

/// Refuses A's own offer.
fn refuse_offer(
    call: &mut Call,
    cx: &mut Cx<'_>,
    incompatible: &Incompatible,
) -> Option<Operation> {
    let trunk = Arc::clone(&call.legs.get(&A_LEG)?.session.style().trunk);
    let mapped = response::own(CauseCode::MediaIncompatible, &trunk);
    let because = Because::of(incompatible.because.text());
    let warning = trunk
        .fqdn
        .as_deref()
        .map(|agent| warning(agent, incompatible));
    refuse(call, cx, mapped, EndedBy::Us, because, warning)
}

/// Value of a Warning header.
fn warning(agent: &str, incompatible: &Incompatible) -> Bytes {
    let said = &incompatible.warning;
    Bytes::from(format!("{} {agent} \"{}\"", said.code, said.text))
}

/// Reason headers as one value.
fn joined(reasons: &[crate::sip::header::Reason]) -> Option<Bytes> {
    let values: Vec<String> = reasons
        .iter()
        .map(|r| String::from_utf8_lossy(&r.to_bytes()).into_owned())
        .collect();
    (!values.is_empty()).then(|| Bytes::from(values.join(", ")))
}

/// Reads A's offer under the profile of its trunk.
fn offer_of(request: &Message, trunk: &Trunk) -> Result<Option<Facts>, Incompatible> {
    let body = crate::sip::body::session_description(request);
    let Some(body) = body.map_err(|_| Unusable::NotAudio)? else {
        return Ok(None);
    };
    let facts = read(&parse(&body)?, &trunk.media.profile);
    facts.main()?;
    Ok(Some(facts))
}

fn parse(body: &Bytes) -> Result<Description, Incompatible> {
    Description::parse(body.clone(), &Limits::default()).map_err(|_| Unusable::NotAudio.into())
}

/// Takes B's answer and writes ours to A; nothing is committed yet.
fn agree(
    call: &mut Call,
    leg: LegId,
    description: &Bytes,
) -> Result<interwork::Answered, Incompatible> {
    let formats = &mut call.media.formats;
    let (a, b) = images(&mut call.legs, A_LEG, leg).ok_or(Unusable::OutOfOrder)?;
    let facts = read(&parse(description)?, b.profile());
    interwork::answer(&facts, b, a, formats)
}

fn failure_of(rejection: &Rejection) -> Failure {
    match (&rejection.fault, rejection.is_from_peer) {
        (_, true) => Failure::Status(rejection.status),
        (Some(TargetFault::Timeout), false) if rejection.was_heard => Failure::NoAnswer,
        (Some(TargetFault::Timeout), false) => Failure::NoResponse,
        (Some(TargetFault::Status(code)), false) => {
            Failure::Status(Status::new(*code).unwrap_or(Status::BAD_GATEWAY))
        }
        (
            Some(
                TargetFault::Flow(_)
                | TargetFault::Resolve(_)
                | TargetFault::Quarantined
                | TargetFault::Down
                | TargetFault::NotRegistered,
            )
            | None,
            false,
        ) => Failure::Unreachable,
    }
}

fn fault_in_words(fault: &TargetFault) -> String {
    match fault {
        TargetFault::Flow(fault) => fault.to_string(),
        TargetFault::Resolve(fault) => format!("name resolution failed: {fault:?}"),
        TargetFault::Timeout => "no response in time".to_owned(),
        TargetFault::Status(code) => format!("status {code}"),
        TargetFault::Quarantined | TargetFault::Down | TargetFault::NotRegistered => {
            fault.to_string()
        }
    }
}
