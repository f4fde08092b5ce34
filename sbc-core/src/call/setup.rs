//! Setup: from the admitted INVITE to the answer, over as many attempts as the plan has.
//!
//! ```text
//! Allocating ──ports──► Inviting ──2xx──► done      (or Acknowledging, when A sent no offer)
//!     ▲                    │
//!     └── next attempt ◄───┴── refused, unreachable
//! ```
//!
//! Whatever ends it without an answer refuses the A leg and starts the teardown.

mod announcing;
mod carry;
mod early;
mod early_media;
mod history;
mod late;
mod ours;
mod outcome;
mod pickup;
mod plan;
mod progress;
pub(super) mod redirect;
mod refusal;
mod replacing;
mod ringback;
mod room;
mod vouch;

use super::early_media::{EarlyMedia, MOST_FORKS, ended_for, parse};
use super::local::profile_of;
use super::media::image_of;
use super::names::MOST_NAMES;
use super::pickup::Pickup;
use super::places::OtherWay;
use super::{A_LEG, Admitted, Call, Leg, Operation, Timer, endpoint, images, record};
use crate::cause::{Because, CauseCode, EndedBy};
use crate::config::{LateOffer, Preset, Rel100, TargetAddress, TransformScope, Trunk};
use crate::event::Happened;
use crate::id::LegId;
use crate::media::{Facts, Incompatible, MediaImage, Unusable, interwork, read};
use crate::plane::Cx;
use crate::policy::circle::Reach;
use crate::policy::diversion;
use crate::policy::embedded::Embedded;
use crate::policy::identity::{Caller, Wishes};
use crate::policy::local_media::Choice;
use crate::policy::number::{self, Number};
use crate::policy::recorded;
use crate::policy::response::{self, Mapped};
use crate::policy::{
    Refusal as PolicyRefusal, emergency, header, isup, relayed_auth, route, secure,
};
use crate::session::{LegStyle, Outset, Session, SessionEvent};
use crate::sip::header::{Expires, MaxForwards};
use crate::sip::{HeaderName, Message, Status};
use crate::stir::Vouched;
use crate::trouble::Trouble;
use bytes::Bytes;
use early::AskedEarly;
use history::Tried;
use media_api::{EndpointSpec, Event as MediaEvent, ForkId, LocalEndpoint};
use progress::Heard;
use redirect::Redirects;
use refusal::{refuse, refuse_interval, refuse_offer, refuse_with};
use ringback::Ringback;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use vouch::Verifying;

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
    /// Whether the attempts are made all at once.
    at_once: bool,
    /// What rings beside the present attempt.
    beside: Vec<(LegId, Attempt)>,
    redirects: Redirects,
    is_emergency: bool,
    step: Step,
    /// Ways to the present target that have failed.
    tried: Tried,
    /// Where the call has been by the word of those who were asked before.
    heard: Vec<diversion::Step>,
    /// The same with what we have done, as a refusal tells the caller.
    been: Vec<(HeaderName, Bytes)>,
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
    /// Neither the caller nor we have made an offer to the called side of the present attempt.
    is_late: bool,
    /// The early dialog whose offer the caller was made then.
    passed: Option<Bytes>,
    /// What the called side is asked on behalf of the caller.
    asked: Option<AskedEarly>,
    /// Somebody else is about to answer in the place of who rings.
    pickup: Option<Pickup>,
    /// How often others had to give way for its ports.
    made_room: u8,
    /// What the caller's signatures say, for who is called.
    vouched: Option<Arc<Vouched>>,
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
    /// The redirections that led here, each by the number of its target that was followed.
    pub(super) path: Vec<u16>,
    /// What the URIs of those want in the INVITE, and whose peer named them, the latest last.
    pub(super) asked_for: Vec<(Arc<Trunk>, Arc<Embedded>)>,
    /// The way there, where a redirection has chosen another one.
    pub(super) way: Option<Arc<OtherWay>>,
    /// What a call for help has left for later of its trunk: nothing else is tried.
    pub(super) untried: Vec<(TargetAddress, SocketAddr)>,
}

impl Attempt {
    /// The attempt, which tells of the ways to its target that have failed before, where its trunk keeps
    /// such lists.
    fn after(self, tried: &Tried) -> Self {
        let tried = tried.to(&self.path);
        if tried.is_empty() || !self.trunk.history.is_kept() {
            return self;
        }
        let mut caller = Caller::clone(&self.caller);
        caller.trail.hunt(tried);
        Self {
            caller: Arc::new(caller),
            ..self
        }
    }
}

/// An attempt that only needs its port.
#[derive(Debug)]
struct Prepared {
    attempt: Attempt,
    leg: LegId,
    image: MediaImage,
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

#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly every call that is set up is inviting"
)]
enum Step {
    /// It is found out whether anybody vouches for the caller.
    Verifying(Box<Verifying>),
    /// Between two attempts.
    Waiting,
    /// The relay reserves ports for this attempt.
    Allocating(Vec<Prepared>),
    /// The attempt's INVITE is out; with those of [`Setup::beside`], if several are called at once.
    Inviting { leg: LegId, attempt: Attempt },
    /// Nobody is called any more: the caller hears why before it is refused.
    Announcing(Box<Failed>),
    /// A sent no offer: our 200 carries one, and A's ACK brings the answer.
    Acknowledging { leg: LegId, fork: ForkId },
}

impl Setup {
    /// Starts the first attempt, or refuses the call.
    pub(super) fn begin(call: &mut Call, cx: &mut Cx<'_>, admitted: Admitted) -> Option<Operation> {
        let (plan, failure) = match admitted.plan {
            Ok(plan) => (plan, None),
            Err(PolicyRefusal {
                status,
                cause,
                because,
            }) => {
                let mapped = response::own_as(cause, status, &admitted.trunk);
                let a = call.legs.get(&A_LEG).and_then(|a| a.session.own_name());
                let is_closed = because.1 == Some(Trouble::RoutesClosed);
                let is_insecure = !is_closed && secure::is_reason(&admitted.request, status, cause);
                let warning = a.filter(|_| is_insecure).map(|agent| {
                    let text = secure::WARNING;
                    Bytes::from(format!("380 {agent} \"{text}\""))
                });
                if warning.is_some() || !announcing::is_announced(&admitted.trunk, &mapped) {
                    return refuse(call, cx, mapped, EndedBy::Us, because, warning);
                }
                let failed = Failed {
                    mapped,
                    by: EndedBy::Us,
                    because,
                    rank: response::UNHEARD,
                };
                (Vec::new(), Some(failed))
            }
        };
        let a = call.legs.get(&A_LEG);
        let least = a.and_then(|a| a.session.least_interval(&admitted.request));
        if let Some(least) = least.filter(|_| !admitted.is_emergency) {
            return refuse_interval(call, cx, &admitted.trunk, &least);
        }
        let has_support = a.is_some_and(|a| a.session.has_support());
        let is_required = admitted.trunk.progress.rel100 == Rel100::Required;
        if is_required && !has_support && !admitted.is_emergency {
            return progress::refuse_unreliable(call, cx, &admitted.trunk);
        }
        let offer = match offer_of(&admitted.request, &admitted.trunk) {
            Ok(offer) => offer,
            Err(incompatible) => return refuse_offer(call, cx, &incompatible),
        };
        if failure.is_none() {
            let what = Happened::Routed {
                trunks: plan.iter().map(|trunk| trunk.name.clone()).collect(),
                route: admitted.route,
                because: admitted.because,
            };
            cx.out.emit(Some(call.id), None, what);
        }
        if let Ok(Some(Expires(seconds))) = admitted.request.get() {
            let end = cx.now.mono + Duration::from_secs(u64::from(seconds));
            call.timers.set(Timer::Expires as usize, end);
        }
        let is_secure = secure::is_asked(&admitted.request);
        let redirects = Redirects::new(
            admitted.tenant,
            admitted.calling,
            &admitted.called,
            is_secure,
        );
        let caller = match admitted.place.and_then(|place| place.elin) {
            Some(number) => Arc::new(Caller::clone(&admitted.caller).at_place(&number)),
            None => admitted.caller,
        };
        let attempts = plan.into_iter().map(|trunk| Attempt {
            trunk,
            called: admitted.called.clone(),
            caller: Arc::clone(&caller),
            path: Vec::new(),
            asked_for: Vec::new(),
            way: None,
            untried: Vec::new(),
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
            // Help is called in one place at a time.
            at_once: admitted.at_once && !admitted.is_emergency,
            beside: Vec::new(),
            redirects,
            is_emergency: admitted.is_emergency,
            step: Step::Waiting,
            tried: Tried::default(),
            heard: Vec::new(),
            been: Vec::new(),
            failure,
            forks: Vec::new(),
            early_answers: BTreeMap::new(),
            previews: BTreeMap::new(),
            complete: BTreeMap::new(),
            early_media: EarlyMedia::of(A_LEG),
            ringback: Ringback::default(),
            is_offered: false,
            is_late: false,
            passed: None,
            asked: None,
            pickup: None,
            made_room: 0,
            vouched: None,
        };
        match &setup.failure {
            // There is nobody to tell who vouches for the caller.
            Some(_) => Box::new(setup).next_attempt(call, cx),
            None => Box::new(setup).vouched(call, cx, &admitted.called_raw),
        }
    }

    /// Moves to the next trunk of the plan; without one, A is refused.
    fn next_attempt(mut self: Box<Self>, call: &mut Call, cx: &mut Cx<'_>) -> Option<Operation> {
        call.anchor();
        self.forks.clear();
        self.previews.clear();
        self.complete.clear();
        self.early_media = self.early_media.anew(cx.now.mono);
        self.passed = None;
        call.timers.stop(Timer::EarlyMedia as usize);
        self.ringback_ends(call, cx);
        self.early_answers.clear();
        let mut group = Vec::new();
        let most = match self.at_once {
            true => usize::from(self.reach.breadth.0.max(1)),
            false => 1,
        };
        while group.len() < most
            && let Some(ready) = self.prepare(call, cx)
        {
            group.push(ready);
        }
        if !group.is_empty() {
            return self.reserve(call, cx, group);
        }
        let mut failed = self.failure.take().unwrap_or_else(|| Failed {
            mapped: response::own(CauseCode::NoRoute, &self.trunk),
            by: EndedBy::Us,
            because: Because::of("the routing plan has no attempt left"),
            rank: response::UNHEARD,
        });
        failed.mapped.headers.append(&mut self.been);
        self.is_refused(call, cx, failed)
    }

    /// Asks the relay for ports.
    fn reserve(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        group: Vec<Prepared>,
    ) -> Option<Operation> {
        let a = call.leg(A_LEG).map(|a| &a.image);
        let first = a.filter(|a| a.local().is_none()).map(MediaImage::spec);
        let specs = group.iter().map(|own| own.image.spec());
        // The last ports are for who calls for help, and for calls that are there already.
        let takes_last = call.places.are_urgent();
        let specs = first.into_iter().chain(specs);
        let specs = specs.map(|spec| EndpointSpec { takes_last, ..spec });
        call.media.allocate(cx, specs.collect());
        self.step = Step::Allocating(group);
        Some(Operation::Setup(self))
    }

    /// The next attempt that the caller's media fits and that limits allow.
    fn prepare(&mut self, call: &mut Call, cx: &mut Cx<'_>) -> Option<Prepared> {
        while let Some(attempt) = self.attempts.pop_front() {
            let attempt = attempt.after(&self.tried);
            let trunk = &attempt.trunk;
            // It may have been closed since, or a redirection leads there.
            if let Some(closing) = cx.plane.closed.of(trunk).filter(|_| !self.is_emergency) {
                let mapped = response::own(CauseCode::TrunkClosed, &self.trunk);
                let because = Because::of(route::closed(trunk, closing)).named(closing);
                self.failed_here(mapped, because);
                continue;
            }
            let Some(leg) = call.take_name() else {
                let mapped = response::own(CauseCode::InternalError, &self.trunk);
                self.failed_here(mapped, Because::of(MOST_NAMES));
                return None;
            };
            let guess = trunk.local_media.is_some().then(Choice::guess);
            let image = image_of(cx, profile_of(trunk, guess.as_ref()), leg, None);
            let a = call.leg(A_LEG)?;
            let fits = match &self.offer {
                Some(offer) => interwork::needs(offer, &a.image, &image)
                    .map(|own| (own.transcodes, own.may_transcode)),
                None => Ok((
                    interwork::opens_transcoding(&image, a.image.profile()),
                    false,
                )),
            };
            let (transcodes, may_transcode) = match fits {
                Ok(fits) => fits,
                Err(incompatible) => {
                    call.media_refused_on(cx, None, trunk, &incompatible);
                    self.fail(&incompatible, trunk);
                    continue;
                }
            };
            // What is offered on top is left out where there is no place for it.
            let has_extras = may_transcode && call.has_place_to_spare(cx);
            let image = match may_transcode && !transcodes && !has_extras {
                true => image.without_extras(),
                false => image,
            };
            let way = (attempt.way.as_deref(), transcodes || has_extras);
            if let Err(full) = call.take_places(cx, (leg, None), trunk, way) {
                let full = full.refused();
                let mapped = response::own_as(full.cause, full.status, &self.trunk);
                self.failed_here(mapped, full.because);
                continue;
            }
            let (called, way) = (&attempt.called.number, attempt.way.as_deref());
            if let Err(spent) = call.open_bill(cx, leg, trunk, called, way) {
                call.leave_places(cx, leg);
                let refused = spent.refused();
                let mapped = response::own_as(refused.cause, refused.status, &self.trunk);
                self.failed_here(mapped, refused.because);
                continue;
            }
            return Some(Prepared {
                attempt,
                leg,
                image,
            });
        }
        None
    }

    /// Remembers that the two legs' media cannot be joined.
    fn fail(&mut self, incompatible: &Incompatible, to: &Trunk) {
        let mapped = response::own(CauseCode::MediaIncompatible, &self.trunk);
        let because = Because::of(incompatible.because.text()).named(incompatible.because);
        self.failed_here(
            mapped,
            because.and(format!("towards trunk \"{}\"", to.name)),
        );
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

    /// Parts of its body that do, of a caller with these wishes.
    fn parts(&self, wishes: Wishes, to: &Trunk) -> emergency::Parts {
        let is_in_need = self.is_emergency;
        let speaker = isup::Speaker { wishes, is_in_need };
        let of_help = match is_in_need {
            true => emergency::parts(&self.request, speaker, &self.trunk, to),
            false => emergency::Parts::default(),
        };
        match of_help.is_empty() {
            true => isup::parts(&self.request, speaker, &self.trunk, to),
            false => of_help,
        }
    }

    /// A report of the relay.
    pub(super) fn media_event(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        event: MediaEvent,
    ) -> Option<Operation> {
        if let MediaEvent::Refused { why, .. } = &event
            && self.asks_for_ports(call, cx, *why)
        {
            return Some(Operation::Setup(self));
        }
        match (event, self.step) {
            (MediaEvent::Allocated { endpoints, .. }, Step::Allocating(group))
                if group.first().is_some_and(|own| is_for(&endpoints, own.leg)) =>
            {
                self.step = Step::Waiting;
                self.invite_all(call, cx, group, &endpoints)
            }
            (MediaEvent::Refused { why, .. }, Step::Allocating(group)) => {
                self.step = Step::Waiting;
                self.has_no_ports(call, cx, group, why)
            }
            (MediaEvent::Allocated { endpoints, .. }, step @ Step::Inviting { .. }) => {
                self.step = step;
                self.picked_up(call, cx, &endpoints)
            }
            (MediaEvent::Refused { .. }, step @ Step::Inviting { .. }) => {
                self.step = step;
                self.pickup_fails(call, cx, Status::SERVICE_UNAVAILABLE)
            }
            (MediaEvent::FirstMedia { endpoint, .. }, step) => {
                self.step = step;
                self.first_media(call, cx, LegId(endpoint.0));
                Some(Operation::Setup(self))
            }
            (MediaEvent::Allocated { endpoints, .. }, step @ Step::Announcing(_)) => {
                self.step = step;
                self.announce_on(call, cx, &endpoints)
            }
            (MediaEvent::Refused { .. }, step @ Step::Announcing(_)) => {
                self.step = step;
                self.is_announced(call, cx)
            }
            (MediaEvent::Played { endpoint, .. }, step @ Step::Announcing(_)) => {
                self.step = step;
                self.is_played(call, cx, endpoint)
            }
            (MediaEvent::Played { endpoint, .. }, step) => {
                self.step = step;
                self.ringback_is_unheard(call, cx, endpoint);
                Some(Operation::Setup(self))
            }
            (_, step) => {
                self.step = step;
                Some(Operation::Setup(self))
            }
        }
    }

    /// The ports are there: everybody of the group is called.
    fn invite_all(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        group: Vec<Prepared>,
        endpoints: &[LocalEndpoint],
    ) -> Option<Operation> {
        let wish = match &group[..] {
            [alone] if self.trunk.preset == Preset::Carrier => {
                let to = &alone.attempt.trunk;
                match to.preset {
                    Preset::Carrier => to.progress.late_offer,
                    // It takes no such calls (TDR-SIP-004).
                    Preset::Teams => LateOffer::Convert,
                }
            }
            // The codecs of Teams are known: it need not wait for an answer to be offered what it can do.
            // And several offers cannot be passed on to one caller.
            _ => LateOffer::Convert,
        };
        // A caller that was offered something early on behalf of another attempt has answered that, and is
        // offered nothing else before its ACK.
        let makes_none = self.offer.is_none() && !self.is_offered;
        self.is_late = makes_none && wish == LateOffer::Pass && !self.is_emergency;
        let requests = u8::try_from(group.len()).unwrap_or(u8::MAX);
        let reach = self.reach.split(requests);
        let mut ringing = Vec::new();
        for own in group {
            let (leg, attempt) = (own.leg, own.attempt.clone());
            match self.invite(call, cx, own, endpoints, reach) {
                Ok(()) => ringing.push((leg, attempt)),
                Err(incompatible) => {
                    call.media_refused_on(cx, None, &attempt.trunk, &incompatible);
                    self.fail(&incompatible, &attempt.trunk);
                    call.media.drop_endpoint(cx, endpoint(leg));
                    call.leave_places(cx, leg);
                }
            }
        }
        let mut ringing = ringing.into_iter();
        let Some((leg, attempt)) = ringing.next() else {
            return self.next_attempt(call, cx);
        };
        self.step = Step::Inviting { leg, attempt };
        self.beside = ringing.collect();
        Some(Operation::Setup(self))
    }

    /// Writes the offer and calls the peer.
    fn invite(
        &self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        own: Prepared,
        endpoints: &[LocalEndpoint],
        reach: Reach,
    ) -> Result<(), Incompatible> {
        let Prepared {
            attempt,
            leg,
            mut image,
        } = own;
        if self.goes_past_us(call, cx, &attempt.trunk) {
            call.go_direct(A_LEG, leg);
            image.set_direct(true);
        }
        let a = call.leg(A_LEG).ok_or(Unusable::OutOfOrder)?;
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
                written.map(Some)
            }
            None if self.is_late => Ok(None),
            None => interwork::open(&mut image, a.image.profile()).map(Some),
        };
        let offer = offer?;
        let mut passed = self.passed(&attempt.trunk);
        for (by, embedded) in &attempt.asked_for {
            embedded.overwrite(&mut passed, by, &attempt.trunk);
        }
        let Attempt {
            trunk,
            called,
            mut caller,
            untried,
            ..
        } = attempt;
        let (is_help, wishes) = (self.is_emergency, caller.privacy);
        call.tells_what_stays(cx, &self.request, &self.trunk, &trunk, is_help);
        let dialled = called.number.clone();
        let scope = TransformScope::Out(trunk.name.clone());
        let translate = match self.is_emergency {
            true => number::translate_help,
            false => number::translate_called,
        };
        let (changed, is_service) = translate(&call.config, &scope, &called.number);
        if is_service {
            Arc::make_mut(&mut caller).trail.translate(&changed.value);
        }
        if cx.plane.explains {
            let mut because = changed.because.clone();
            because
                .0
                .extend(header::told(&self.request, &self.trunk, &trunk, self.is_emergency).0);
            let values = record::leaving(call, &trunk.name, &called.number, recorded::told);
            because.0.extend(values);
            let what = Happened::Explained { because };
            cx.out.emit(Some(call.id), Some(leg), what);
        }
        let outset = Outset {
            caller,
            called: called.changed(changed.value),
            from: Arc::clone(&self.trunk),
            passed,
            reach,
            keyless: offer.as_ref().and_then(|_| image.without_keys()),
            offer,
            is_emergency: self.is_emergency,
            is_urgent: call.places.are_urgent(),
            is_last: self.attempts.is_empty(),
            untried,
            hears_ends: call.leg(A_LEG).is_some_and(|a| a.session.sees_forks()),
            verbatim: None,
            vouched: self.vouched.clone(),
            parts: self.parts(wishes, &trunk),
            credentials: Some(relayed_auth::credentials(
                &self.request,
                &self.trunk,
                &trunk,
            )),
        };
        let style = LegStyle {
            config: Arc::clone(&call.config),
            contact_user: cx.plane.contact_user(&trunk),
            session_id: call.ends.to_called(&trunk),
            trunk,
        };
        let mut up = Vec::new();
        let session = Session::outgoing(cx, (call.id, leg), style, outset, &mut up);
        // Most calls have one attempt, and they are large.
        call.record.egress.reserve_exact(1);
        let attempt = record::attempt(call, leg, dialled, &session, call.elapsed_ms(cx.now));
        call.record.egress.push(attempt);
        call.legs.insert(leg, Leg::new(session, image));
        call.guesses(cx, leg);
        call.events.extend(up.into_iter().map(|event| (leg, event)));
        Ok(())
    }

    /// Whether this is one of the legs that we call now.
    fn is_called(&self, leg: LegId) -> bool {
        matches!(&self.step, Step::Inviting { leg: own, .. } if *own == leg)
            || self.beside.iter().any(|(own, _)| *own == leg)
    }

    /// The legs that we call now.
    fn ringing(&self) -> Vec<LegId> {
        let current = match &self.step {
            Step::Inviting { leg, .. } => Some(*leg),
            Step::Verifying(_)
            | Step::Waiting
            | Step::Allocating(_)
            | Step::Announcing(_)
            | Step::Acknowledging { .. } => None,
        };
        let beside = self.beside.iter().map(|(leg, _)| *leg);
        current.into_iter().chain(beside).collect()
    }

    /// The leg whose media the caller hears of: the first that has said anything of them.
    fn described(&self, call: &Call, current: LegId) -> LegId {
        let has_said = |leg: &LegId| {
            let own = call.legs.get(leg);
            own.is_some_and(|own| own.image.latest().is_some())
        };
        let mut beside = self.beside.iter().map(|(leg, _)| *leg);
        match has_said(&current) {
            true => current,
            false => beside.find(has_said).unwrap_or(current),
        }
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
            Step::Verifying(_) | Step::Waiting | Step::Allocating(_) | Step::Announcing(_) => {
                (A_LEG, false)
            }
            Step::Inviting { leg, .. } => (*leg, true),
            Step::Acknowledging { leg, .. } => (*leg, false),
        };
        match event {
            SessionEvent::Progress {
                status,
                early,
                description,
                is_reliable,
                said,
            } if self.is_called(leg) => {
                let of = (leg, &early);
                let described = description.as_ref();
                let is_redirected = self.note_authority(call, cx, of, Some(&said), described);
                let authority = self.authority_told(call, &early);
                self.carry(call, leg, &said, authority);
                self.tells_what_stays(call, cx, leg, &said);
                let heard = Heard {
                    status,
                    early,
                    description,
                    is_reliable,
                    why: ended_for(status, &said),
                    is_redirected,
                };
                self.progress(call, cx, leg, heard);
                Some(Operation::Setup(self))
            }
            answered @ SessionEvent::Answered { .. } if let Some(asked) = &mut self.asked => {
                // The change that is asked for has its answer first.
                asked.answer = Some(answered);
                Some(Operation::Setup(self))
            }
            SessionEvent::EarlyAnswered { description, .. } if self.is_called(leg) => {
                self.called_side_agrees(call, cx, leg, description)
            }
            SessionEvent::Answered {
                early,
                description,
                said,
            } if self.is_called(leg) => {
                // Who was faster than whoever wanted to pick it up has the call.
                self.pickup_is_too_late(call, cx);
                self.carry(call, leg, &said, None);
                self.tells_what_stays(call, cx, leg, &said);
                call.answered_from(cx, leg, &said);
                let description = description.or_else(|| self.early_answers.remove(&early));
                self.answered(call, cx, leg, &early, description)
            }
            SessionEvent::Rejected(rejection) if self.is_called(leg) => match &mut self.pickup {
                Some(pickup) if self.beside.is_empty() => {
                    pickup.waits = Some(rejection);
                    Some(Operation::Setup(self))
                }
                Some(_) | None => self.rejected(call, cx, leg, rejection),
            },
            SessionEvent::Cancelled { .. } if self.is_picking_up(leg) => {
                self.pickup_fails(call, cx, Status::REQUEST_TERMINATED)
            }
            SessionEvent::Left {
                leg: ringing,
                early,
                reasons,
            } if leg == A_LEG && self.is_called(ringing) => {
                self.is_left(call, cx, ringing, &early, &reasons);
                Some(Operation::Setup(self))
            }
            SessionEvent::Acknowledged { description, .. }
                if leg == A_LEG && matches!(self.step, Step::Acknowledging { .. }) =>
            {
                if let (Step::Acknowledging { leg, fork }, true) = (&self.step, self.is_late) {
                    return self.pass_answer(call, cx, (*leg, *fork), description.as_ref());
                }
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
            SessionEvent::EarlyOffer { early, description } if self.is_called(leg) => {
                self.called_offers(call, cx, leg, &early, description);
                Some(Operation::Setup(self))
            }
            SessionEvent::Offer(Some(offer)) if leg == A_LEG && is_inviting => {
                let described = self.described(call, current);
                self.caller_offers(call, cx, described, offer)
            }
            SessionEvent::Offer(Some(offer)) if leg == A_LEG && self.is_announcing() => {
                self.caller_offers(call, cx, A_LEG, offer)
            }
            SessionEvent::Acknowledged {
                description,
                is_answer: true,
            } if leg == A_LEG && self.is_offered => {
                if self.is_late && self.passed.is_some() {
                    return self.pass_early_answer(call, cx, description.as_ref());
                }
                call.peer_acknowledged(cx, A_LEG, description);
                match call.operation.take() {
                    Some(ended) => Some(ended),
                    None => Some(Operation::Setup(self)),
                }
            }
            event @ (SessionEvent::Crossing { .. }
            | SessionEvent::Carried { .. }
            | SessionEvent::Notified { .. }) => {
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
            | SessionEvent::Left { .. }
            | SessionEvent::EarlyAnswered { .. }
            | SessionEvent::Acknowledged { .. }
            | SessionEvent::OfferAnswered { .. }
            | SessionEvent::OfferRefused { .. }
            | SessionEvent::Unheard { .. }
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
}

/// Whether these ports are those of a leg: others may have been asked for meanwhile.
fn is_for(endpoints: &[LocalEndpoint], leg: LegId) -> bool {
    endpoints
        .iter()
        .any(|local| local.endpoint == endpoint(leg))
}

/// Reads A's offer under the profile of its trunk.
fn offer_of(request: &Message, trunk: &Trunk) -> Result<Option<Facts>, Incompatible> {
    let body = crate::sip::body::session_description(request);
    let Some(body) = body.map_err(|_| Unusable::Malformed)? else {
        return Ok(None);
    };
    let facts = read(&parse(&body)?, &trunk.media.profile);
    facts.main()?;
    Ok(Some(facts))
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
