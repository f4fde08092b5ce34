//! Requests of one party that the other gets: INFO and MESSAGE within an established call.

use super::{Call, Leg, Timer};
use crate::id::{LegId, TransactionId};
use crate::plane::Cx;
use crate::policy::crossing::{Fate, fate};
use crate::sip::{Message, Status};
use std::collections::VecDeque;
use std::time::Duration;

/// Requests on their way to one leg, the first of them sent.
#[derive(Debug, Default)]
pub(super) struct Crossings(VecDeque<(TransactionId, Message)>);

/// How long the other party may take: well below the 32 s after which the sender gives up.
const PATIENCE: Duration = Duration::from_secs(8);

impl Call {
    /// A request of a leg that may concern the other.
    pub(super) fn crosses(&mut self, cx: &mut Cx<'_>, leg: LegId, id: TransactionId) {
        let from = self.legs.get(&leg);
        let Some(request) = from.and_then(|from| from.session.kept(id)).cloned() else {
            return;
        };
        let is_in_media = self.bridge.is_some_and(|(a, b)| {
            let has_events = |leg: LegId| {
                let leg = self.legs.get(&leg);
                leg.is_some_and(Leg::has_telephone_events)
            };
            has_events(a) && has_events(b)
        });
        let other = self.other(leg);
        let Some(to) = other.and_then(|other| self.legs.get_mut(&other)) else {
            return self.answer(cx, leg, id, Status::SERVER_INTERNAL_ERROR);
        };
        let status = match fate(&request, &to.session.style().trunk, is_in_media) {
            Fate::Answered(status) => status,
            Fate::UnknownPackage => Status::BAD_INFO_PACKAGE,
            Fate::UnknownBody => Status::UNSUPPORTED_MEDIA_TYPE,
            Fate::Crosses => {
                let is_first = to.crossings.0.is_empty();
                if !is_first || to.session.bring(cx, &request) {
                    to.crossings.0.push_back((id, request));
                    return self
                        .timers
                        .set(Timer::Cross as usize, cx.now.mono + PATIENCE);
                }
                Status::SERVER_INTERNAL_ERROR
            }
        };
        self.answer(cx, leg, id, status);
    }

    /// The party that got a request has answered it, or will not: the sender is told, and the next
    /// one follows.
    pub(super) fn carried(&mut self, cx: &mut Cx<'_>, leg: LegId, status: Status) {
        let other = self.other(leg);
        let Some(to) = self.legs.get_mut(&leg) else {
            return;
        };
        let Some((id, _)) = to.crossings.0.pop_front() else {
            return;
        };
        let mut unsent = Vec::new();
        while let Some((id, next)) = to.crossings.0.front() {
            if to.session.bring(cx, next) {
                break;
            }
            unsent.push(*id);
            to.crossings.0.pop_front();
        }
        let Some(other) = other else {
            return;
        };
        self.answer(cx, other, id, status);
        for id in unsent {
            self.answer(cx, other, id, Status::SERVER_INTERNAL_ERROR);
        }
    }

    /// The other party takes longer than the sender waits, who would take silence for the end of the
    /// call (RFC 3261 §12.2.1.2). What is on its way stays the first, until its transaction has ended.
    pub(super) fn uncarried(&mut self, cx: &mut Cx<'_>) {
        let Some((a, b)) = self.bridge else {
            return;
        };
        for (from, to) in [(a, b), (b, a)] {
            let Some(to) = self.legs.get_mut(&to) else {
                continue;
            };
            let unanswered: Vec<TransactionId> = to.crossings.0.iter().map(|(id, _)| *id).collect();
            to.crossings.0.truncate(1);
            for id in unanswered {
                self.answer(cx, from, id, Status::SERVER_INTERNAL_ERROR);
            }
        }
    }

    fn answer(&mut self, cx: &mut Cx<'_>, leg: LegId, id: TransactionId, status: Status) {
        if let Some(leg) = self.legs.get_mut(&leg) {
            leg.session.answer_crossing(cx, id, status);
        }
    }
}

impl Leg {
    fn has_telephone_events(&self) -> bool {
        let agreed = self.image.committed();
        agreed.is_some_and(crate::media::Agreement::has_telephone_events)
    }
}
