//! Requests of one party that the other gets: INFO, MESSAGE and REFER within an established call.

use super::{Call, Timer};
use crate::id::{LegId, TransactionId};
use crate::plane::Cx;
use crate::policy::crossing::{Fate, Pressed, crosses, fate};
use crate::policy::relayed_auth;
use crate::session::{Conveyed, Said};
use crate::sip::header::MaxForwards;
use crate::sip::{HeaderName, Method, Status};
use crate::time::Timestamp;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Requests on their way to one leg, the first of them sent, and whose each is: nobody's if it is ours.
///
/// Who has sent one is noted and not derived: until it is answered, a transfer, a replacement or a pickup may have
/// joined both legs with others.
#[derive(Debug, Default)]
pub(super) struct Crossings(VecDeque<Crossing>);

#[derive(Debug)]
struct Crossing {
    of: Option<(LegId, TransactionId)>,
    what: Destined,
    /// Until when it is waited for; nothing once its sender has been answered.
    due: Option<Timestamp>,
}

/// What is on its way.
#[derive(Debug)]
pub(super) struct Destined {
    pub(super) what: Conveyed,
    /// Hops that are left to it.
    pub(super) hops: MaxForwards,
    /// Whom a REFER names.
    pub(super) target: Option<String>,
}

/// Most keys that wait to be told to a party.
const MOST_DIGITS: usize = 32;

/// How long the other party may take, from when a request comes here: well below the 32 s after which the sender gives up.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);

impl Call {
    /// A request of a leg that may concern the other.
    pub(super) fn crosses(&mut self, cx: &mut Cx<'_>, leg: LegId, id: TransactionId) {
        let from = self.legs.get(&leg);
        let Some(request) = from.and_then(|from| from.session.kept(id)).cloned() else {
            return;
        };
        if *request.method() == Method::Refer {
            return self.relay_refer(cx, leg, id, &request);
        }
        let other = self.other(leg).or_else(|| self.listener(leg));
        let Some((other, to)) = other.and_then(|other| {
            let to = self.legs.get(&other)?;
            Some((other, to))
        }) else {
            return self.ask_again(cx, leg, id);
        };
        let trunk = Arc::clone(&to.session.style().trunk);
        let own = self
            .legs
            .get(&leg)
            .map(|own| Arc::clone(&own.session.style().trunk));
        let own = own.unwrap_or_else(|| Arc::clone(&trunk));
        let fate = match fate(&request, self.speaker(leg), &own, &trunk) {
            // Whoever is heard early is told of it, and nobody else, though the call is with another one still.
            Fate::Digit(pressed) => {
                let listener = self.listener(leg).unwrap_or(other);
                match self.pressed(cx, leg, listener, pressed) {
                    true => Fate::Answered(Status::OK),
                    false if listener != other => Fate::Answered(Status::NOT_ACCEPTABLE_HERE),
                    false => crosses(&request, &trunk),
                }
            }
            other => other,
        };
        let Some(to) = self.legs.get(&other) else {
            return;
        };
        let status = match fate {
            // As where its trunk says so.
            Fate::Crosses if !to.session.takes(request.method()) => Status::NOT_ACCEPTABLE_HERE,
            Fate::Answered(status) => status,
            Fate::Digit(_) => Status::OK,
            Fate::UnknownPackage => Status::BAD_INFO_PACKAGE,
            Fate::UnknownBody => Status::UNSUPPORTED_MEDIA_TYPE,
            Fate::Crosses => {
                let Some(hops) = MaxForwards::onward(&request) else {
                    return self.answer(cx, leg, id, Status::TOO_MANY_HOPS);
                };
                let shown = relayed_auth::proofs(&request, &own, &trunk);
                let what = Destined {
                    what: Conveyed::Words(request, shown),
                    hops,
                    target: None,
                };
                return self.convey(cx, other, Some((leg, id)), cx.now.mono, what);
            }
        };
        self.answer(cx, leg, id, status);
    }

    /// Sends a request to the other party as soon as it has answered the one before. `of` is whose it
    /// is, unless it is ours, and `came` when it came here.
    pub(super) fn convey(
        &mut self,
        cx: &mut Cx<'_>,
        to: LegId,
        of: Option<(LegId, TransactionId)>,
        came: Timestamp,
        what: Destined,
    ) {
        let mut status = Status::SERVER_INTERNAL_ERROR;
        if let Some(to) = self.legs.get_mut(&to) {
            // Who has not answered takes nothing by a request, and what the media can carry has been told there.
            if matches!(what.what, Conveyed::Words(..)) && !to.session.is_confirmed() {
                status = Status::NOT_ACCEPTABLE_HERE;
            }
            let waiting = to.crossings.0.len();
            let has_room = of.is_some() || waiting < MOST_DIGITS;
            let is_first = waiting == 0;
            if has_room && (!is_first || to.session.bring(cx, &what.what, what.hops)) {
                let due = Some(came + PATIENCE);
                to.crossings.0.push_back(Crossing { of, what, due });
                return self.wait_for_crossings();
            }
        }
        if let Some((from, id)) = of {
            self.answer(cx, from, id, status);
        }
    }

    /// Tells a party of a key in INFO, after those that it has not answered yet (SIP-1310). One for whom too
    /// many wait is not told.
    pub(super) fn convey_digit(&mut self, cx: &mut Cx<'_>, to: LegId, pressed: Pressed) {
        let what = Destined {
            what: Conveyed::Digit(pressed),
            hops: MaxForwards::DEFAULT,
            target: None,
        };
        self.convey(cx, to, None, cx.now.mono, what);
    }

    /// Looks again when the first of all is late. Each has its own time: whoever sends one after the other must not
    /// keep the first waiting for ever, and who is late towards one must not cost another its answer.
    pub(super) fn wait_for_crossings(&mut self) {
        let legs = self.legs.values();
        let crossings = legs.flat_map(|leg| leg.crossings.0.iter());
        let due = crossings.filter_map(|crossing| crossing.due);
        let next = due.chain(self.nameless_due()).min();
        match next {
            Some(next) => self.timers.set(Timer::Cross as usize, next),
            None => self.timers.stop(Timer::Cross as usize),
        }
    }

    /// The party that got a request has answered it, or will not: the sender is told, and the next
    /// one follows.
    pub(super) fn carried(&mut self, cx: &mut Cx<'_>, leg: LegId, status: Status) {
        let Some(to) = self.legs.get_mut(&leg) else {
            return;
        };
        let heard = to.session.take_reply();
        let Some(Crossing { of, what: done, .. }) = to.crossings.0.pop_front() else {
            return;
        };
        let mut unsent = Vec::new();
        while let Some(Crossing { of, what, .. }) = to.crossings.0.front() {
            if to.session.bring(cx, &what.what, what.hops) {
                break;
            }
            unsent.extend(*of);
            to.crossings.0.pop_front();
        }
        // Nobody waits for an answer to ours, so they have time as long as the party goes on answering.
        for ours in to.crossings.0.iter_mut().filter(|own| own.of.is_none()) {
            ours.due = Some(cx.now.mono + PATIENCE);
        }
        self.wait_for_crossings();
        if let (Conveyed::Digit(pressed), false) = (&done.what, status.is_success()) {
            self.digit_refused(cx, leg, *pressed);
        }
        if let Some((from, id)) = of {
            if let (Some(target), true) = (done.target, status.is_success()) {
                self.relayed(cx, from, leg, target);
            }
            self.answer_as(cx, (from, leg), id, status, heard.as_deref());
        }
        for (from, id) in unsent {
            self.answer(cx, from, id, Status::SERVER_INTERNAL_ERROR);
        }
    }

    /// The other party takes longer than the sender waits, who would take silence for the end of the
    /// call (RFC 3261 §12.2.1.2). What is on its way stays the first, until its transaction has ended. Nor is
    /// there an answer any more of a party that has left.
    pub(super) fn uncarried(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let mut unanswered = self.forget_nameless(now);
        for to in self.legs.values_mut() {
            let mut stays = !to.session.is_over();
            to.crossings.0.retain_mut(|crossing| {
                let is_first = std::mem::take(&mut stays);
                if crossing.due.is_some_and(|due| due <= now) {
                    crossing.due = None;
                    unanswered.extend(crossing.of.take());
                }
                is_first || crossing.due.is_some()
            });
        }
        self.wait_for_crossings();
        for (from, id) in unanswered {
            self.answer(cx, from, id, Status::SERVER_INTERNAL_ERROR);
        }
    }

    /// Tells who has sent a request how the other party has answered. A challenge is told to whom that party's trunk names; to
    /// others it is a refusal, for they have nothing to show (SIP-1610).
    fn answer_as(
        &mut self,
        cx: &mut Cx<'_>,
        (from, of): (LegId, LegId),
        id: TransactionId,
        status: Status,
        heard: Option<&Said>,
    ) {
        if !status.is_challenge() {
            return self.answer(cx, from, id, status);
        }
        let challenges = match (heard, self.trunk_of(from), self.trunk_of(of)) {
            (Some(heard), Some(from), Some(of)) => relayed_auth::challenges(heard, &from, &of),
            _ => Vec::new(),
        };
        let status = match challenges.is_empty() {
            true => Status::FORBIDDEN,
            false => status,
        };
        if let Some(from) = self.legs.get_mut(&from) {
            let session = &mut from.session;
            session.answer_crossing_with(cx, id, status, &challenges);
        }
    }

    /// Nobody is there yet who could be told: it may be said again (RFC 3261 §21.5.1).
    fn ask_again(&mut self, cx: &mut Cx<'_>, leg: LegId, id: TransactionId) {
        let seconds = cx.plane.mint.between(1, 10).to_string();
        let lines = [(HeaderName::RetryAfter, seconds.into())];
        if let Some(leg) = self.legs.get_mut(&leg) {
            let (session, status) = (&mut leg.session, Status::SERVER_INTERNAL_ERROR);
            session.answer_crossing_with(cx, id, status, &lines);
        }
    }

    pub(super) fn answer(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        id: TransactionId,
        status: Status,
    ) {
        if let Some(leg) = self.legs.get_mut(&leg) {
            leg.session.answer_crossing(cx, id, status);
        }
    }
}
