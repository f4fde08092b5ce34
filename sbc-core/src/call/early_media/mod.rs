//! Whose media may flow before the answer, of a call that is set up and of the target of a transfer alike
//! (SIP-562, SIP-564).
//!
//! What may not flow is told neither to the relay nor to who waits for the answer, so that it flows in
//! neither direction: nobody talks for nothing by never answering.

mod authority;

use super::{Call, Timer, endpoint};
use crate::cause::EndedBy;
use crate::config::{EarlyMedia as Policy, ProgressPolicy};
use crate::id::LegId;
use crate::media::{Formats, Incompatible, MediaImage, Unusable, interwork, read};
use crate::plane::Cx;
use crate::sdp::{Description, Limits};
use crate::sip::header::Reason;
use crate::sip::{Message, Status};
use crate::time::Timestamp;
use authority::Authority;
use bytes::Bytes;
use media_api::{Direction, ForkId, Negotiated, Stage};
use std::time::Duration;

/// Most early dialogs of one attempt whose media is listened to; Teams alone may ring 32 endpoints
/// (TDR-SIP-016).
pub(super) const MOST_FORKS: usize = 64;

/// Media of one early dialog, as the relay knows them.
#[derive(Debug)]
struct Flow {
    leg: LegId,
    fork: ForkId,
    agreed: Negotiated,
}

/// Early media of one attempt, or of those that are made at once.
#[derive(Debug)]
pub(super) struct EarlyMedia {
    /// Who waits for the answer.
    listener: LegId,
    has_rung: bool,
    /// Early dialogs whose media flow, the newest last, with what the relay knows of them.
    flowing: Vec<(Bytes, Flow)>,
    /// What early dialogs of a trusted side may do.
    authority: Authority,
    /// For how long media flowed before, and since when they do now: what has a limit is what is heard.
    heard: Duration,
    since: Option<Timestamp>,
}

/// What a provisional means for the media.
#[derive(Debug)]
pub(super) struct Verdict {
    /// As which status it is told.
    pub(super) status: Status,
    /// Whether media of its early dialog may flow.
    pub(super) may_flow: bool,
}

impl EarlyMedia {
    /// Of nobody yet, for a leg that waits for the answer.
    pub(super) fn of(listener: LegId) -> Self {
        Self {
            listener,
            has_rung: false,
            flowing: Vec::new(),
            authority: Authority::default(),
            heard: Duration::ZERO,
            since: None,
        }
    }

    /// Who waits for the answer.
    pub(super) fn listener(&self) -> LegId {
        self.listener
    }

    /// Of the next attempt: what was heard so far counts.
    pub(super) fn anew(&self, now: Timestamp) -> Self {
        let since = self.since.map(|since| now.since(since));
        Self {
            heard: self.heard + since.unwrap_or_default(),
            ..Self::of(self.listener)
        }
    }

    /// Takes a provisional of 180 to 183. Media that flow already follow what is authorised now.
    pub(super) fn heard(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        (leg, early): (LegId, &Bytes),
        status: Status,
        is_redirected: bool,
    ) -> Verdict {
        let (status, may_flow) = self.permits(policy_of(call, leg), status, early);
        if may_flow && !self.is_authorised(early) {
            self.silences(call, cx, early);
        }
        let may_flow = may_flow && self.is_authorised(early);
        if is_redirected && may_flow {
            self.changes(call, cx, early);
        }
        Verdict { status, may_flow }
    }

    /// As which status a provisional is told, and whether the trunk lets media of its early dialog flow.
    fn permits(&mut self, policy: ProgressPolicy, status: Status, early: &Bytes) -> (Status, bool) {
        self.has_rung |= status == Status::RINGING;
        match policy.early_media {
            Policy::Pass => (status, true),
            Policy::First => {
                let is_first = self.flowing.first().is_none_or(|(tag, _)| tag == early);
                (status, is_first)
            }
            Policy::AfterRinging => (status, self.has_rung),
            Policy::Block if status == Status::SESSION_PROGRESS => (Status::RINGING, false),
            Policy::Block => (status, false),
        }
    }

    /// Media of an early dialog flow: the relay is told what is authorised of what is agreed with it. They do
    /// not flow for ever.
    pub(super) fn flows(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        early: &Bytes,
        (leg, fork): (LegId, ForkId),
        agreed: Negotiated,
    ) {
        if !call.timers.is_set(Timer::EarlyMedia as usize) {
            let left = policy_of(call, leg).early_media_max;
            let left = left.saturating_sub(self.heard);
            self.since = Some(cx.now.mono);
            call.timers
                .set(Timer::EarlyMedia as usize, cx.now.mono + left);
        }
        let flow = Flow {
            leg,
            fork,
            agreed: agreed.clone(),
        };
        self.flowing.retain(|(tag, _)| tag != early);
        self.flowing.push((early.clone(), flow));
        let agreed = self.authority.limits(early, agreed);
        call.media
            .agreed(cx, endpoint(leg), fork, agreed, Stage::Preview);
    }

    /// Who waits hears this leg from now on, and is heard there.
    pub(super) fn join(&self, call: &mut Call, cx: &mut Cx<'_>, leg: LegId) {
        let (a, b) = match call.side(self.listener) {
            EndedBy::A => (self.listener, leg),
            EndedBy::B | EndedBy::Us => (leg, self.listener),
        };
        call.media.join(cx, endpoint(a), endpoint(b), 0);
    }

    /// Whether media of this early dialog have been let through.
    pub(super) fn has_flowed(&self, early: &Bytes) -> bool {
        self.flowing.iter().any(|(tag, _)| tag == early)
    }

    /// Whether media of any early dialog flow.
    pub(super) fn is_any(&self) -> bool {
        !self.flowing.is_empty()
    }

    /// Whether media of an early dialog flow already, and still may.
    pub(super) fn is_let_through(&self, early: &Bytes) -> bool {
        self.is_authorised(early) && self.has_flowed(early)
    }

    /// What may flow of an early dialog has changed without a new description.
    fn changes(&self, call: &mut Call, cx: &mut Cx<'_>, early: &Bytes) {
        let flowing = self.flowing.iter().find(|(tag, _)| tag == early);
        if let Some((_, own)) = flowing {
            let agreed = self.authority.limits(early, own.agreed.clone());
            let to = endpoint(own.leg);
            call.media.agreed(cx, to, own.fork, agreed, Stage::Preview);
        }
    }

    /// An early dialog has ended (199): nothing more is heard of it, and the newest of the others is
    /// the one that is spoken to (SIP-313). Returns others that may be heard now.
    pub(super) fn ends(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        early: &Bytes,
    ) -> Vec<(Bytes, LegId)> {
        self.closes(call, cx, early);
        self.forget(call, cx, early)
    }

    fn closes(&mut self, call: &mut Call, cx: &mut Cx<'_>, early: &Bytes) {
        let Some(at) = self.flowing.iter().position(|(tag, _)| tag == early) else {
            return;
        };
        let (_, own) = self.flowing.remove(at);
        let to = endpoint(own.leg);
        call.media
            .agreed(cx, to, own.fork, silent(own.agreed), Stage::Preview);
        self.newest_is_spoken_to(call, cx);
    }

    /// A leg is not called any more, others are.
    pub(super) fn leaves(&mut self, call: &mut Call, cx: &mut Cx<'_>, leg: LegId) {
        let before = self.flowing.len();
        self.flowing.retain(|(_, own)| own.leg != leg);
        if self.flowing.len() != before {
            self.newest_is_spoken_to(call, cx);
        }
    }

    fn newest_is_spoken_to(&mut self, call: &mut Call, cx: &mut Cx<'_>) {
        if let Some((newest, own)) = self.flowing.last() {
            let agreed = self.authority.limits(newest, own.agreed.clone());
            let to = endpoint(own.leg);
            call.media.agreed(cx, to, own.fork, agreed, Stage::Preview);
            self.join(call, cx, own.leg);
        } else if let Some(since) = self.since.take() {
            // Whoever begins again has what is left.
            self.heard += cx.now.mono.since(since);
            call.timers.stop(Timer::EarlyMedia as usize);
        }
    }
}

/// The same, but nothing flows.
fn silent(mut agreed: Negotiated) -> Negotiated {
    for stream in agreed.streams.iter_mut().flatten() {
        stream.direction = Direction::Inactive;
    }
    agreed
}

/// How the calls of a leg's trunk make progress.
pub(super) fn policy_of(call: &Call, leg: LegId) -> ProgressPolicy {
    let style = call.legs.get(&leg).map(|leg| leg.session.style());
    style.map_or_else(ProgressPolicy::default, |style| style.trunk.progress)
}

/// Why an early dialog has ended, if this status says that it has (RFC 6228 §4). What its Reason does not
/// tell is told as nobody's being there.
pub(super) fn ended_for(status: Status, said: &Message) -> Option<u16> {
    (status.code() == 199).then(|| {
        let reasons = said.list::<Reason>().unwrap_or_default();
        let own = reasons.iter().find(|reason| reason.is("SIP"));
        let cause = own.and_then(Reason::cause);
        cause.unwrap_or(Status::TEMPORARILY_UNAVAILABLE.code())
    })
}

/// What a provisional is taken as: nobody knows what an unknown one means but that the call makes progress
/// (SIP-008).
pub(super) fn as_progress(status: Status) -> Status {
    match status.code() {
        180..=183 => status,
        _ => Status::SESSION_PROGRESS,
    }
}

/// Our answer to an early offer on `x`, from what is agreed on `y`; it is in force then.
pub(super) fn answer(
    offer: &Bytes,
    x: &mut MediaImage,
    y: &MediaImage,
    formats: &mut Formats,
) -> Result<(Bytes, Negotiated), Incompatible> {
    let facts = read(&parse(offer)?, x.profile());
    facts.main()?;
    if !interwork::keeps_codec(&facts, x, y) {
        return Err(Unusable::NoCommonCodec.into());
    }
    let answered = interwork::answer_alone(facts, x, y, formats)?;
    x.commit();
    Ok((answered.body, answered.x))
}

pub(super) fn parse(body: &Bytes) -> Result<Description, Incompatible> {
    Description::parse(body.clone(), &Limits::default()).map_err(|_| Unusable::Malformed.into())
}

/// The 2xx confirms an early dialog whose first exchange is made: the leg goes on with the image of that
/// dialog, with its version, numbers and keys. Where the answer says nothing new, what is agreed there counts;
/// otherwise it is taken as the answer to our description that is in force.
pub(super) fn takes_over(
    image: &mut MediaImage,
    own: MediaImage,
    is_last_word: bool,
) -> Result<Option<Negotiated>, Incompatible> {
    *image = own;
    if is_last_word {
        let agreed = image.committed().ok_or(Unusable::OutOfOrder)?;
        return Ok(Some(agreed.negotiated().clone()));
    }
    interwork::repeat(image).ok_or(Unusable::OutOfOrder)?;
    Ok(None)
}
