//! What the target says before it answers: its ringing, its early media, and its offers on early dialogs.
//!
//! Each early dialog whose first exchange is made reliably goes on with an image of its own, as in the set-up
//! of a call: an UPDATE is answered from what is agreed with the transferee, and the 2xx confirms what the
//! exchanges of its dialog have come to.

use super::super::early_media::{
    self, EarlyMedia, MOST_FORKS, Verdict, as_progress, ended_for, takes_over,
};
use super::super::sound::Interlude;
use super::{Step, Transfer, settle};
use crate::call::{Call, Operation};
use crate::id::LegId;
use crate::media::{Incompatible, MediaImage, Unusable};
use crate::plane::Cx;
use crate::session::Said;
use crate::sip::Status;
use crate::time::Timestamp;
use crate::trouble::Trouble;
use bytes::Bytes;
use media_api::{ForkId, Negotiated};
use std::collections::BTreeMap;

/// Early dialogs of the present attempt.
#[derive(Debug)]
pub(super) struct Early {
    /// Peer's tags: their positions name forks.
    forks: Vec<Bytes>,
    /// Early answers, for a 2xx that repeats no SDP.
    answers: BTreeMap<Bytes, Bytes>,
    /// The target's side of early dialogs whose first exchange is made.
    complete: BTreeMap<Bytes, MediaImage>,
    /// Whose media may flow.
    media: EarlyMedia,
}

/// A provisional of the target.
pub(super) struct Heard<'m> {
    pub(super) status: Status,
    pub(super) early: &'m Bytes,
    pub(super) description: Option<Bytes>,
    pub(super) is_reliable: bool,
    pub(super) said: &'m Said,
}

impl Early {
    /// Of nobody yet; the transferee waits.
    pub(super) fn of(transferee: LegId) -> Self {
        Self {
            forks: Vec::new(),
            answers: BTreeMap::new(),
            complete: BTreeMap::new(),
            media: EarlyMedia::of(transferee),
        }
    }

    /// Of the next target: what was heard so far counts.
    pub(super) fn anew(&self, now: Timestamp) -> Self {
        let mut next = Self::of(self.media.listener());
        next.media = self.media.anew(now);
        next
    }

    pub(super) fn fork(&mut self, early: &Bytes) -> ForkId {
        let known = self.forks.iter().position(|tag| tag == early);
        let position = known.unwrap_or_else(|| {
            self.forks.push(early.clone());
            self.forks.len() - 1
        });
        ForkId(u8::try_from(position).unwrap_or(u8::MAX))
    }

    fn has_room(&self, early: &Bytes) -> bool {
        self.forks.len() < MOST_FORKS || self.forks.contains(early)
    }

    /// The target has answered on this dialog: what is agreed with it, of which nothing need be in force yet.
    pub(super) fn answered(
        &mut self,
        call: &mut Call,
        leg: LegId,
        early: &Bytes,
        description: Option<Bytes>,
    ) -> Result<Negotiated, Incompatible> {
        let before = self.answers.remove(early);
        let own = self.complete.remove(early);
        let description = description.or_else(|| before.clone());
        let description = description.ok_or(Unusable::AnswerMismatch)?;
        if let Some(own) = own {
            let is_last_word = before.as_ref() == Some(&description);
            let image = &mut call.leg(leg).ok_or(Unusable::OutOfOrder)?.image;
            if let Some(agreed) = takes_over(image, own, is_last_word)? {
                return Ok(agreed);
            }
        }
        settle(call, leg, &description)
    }
}

impl Transfer {
    /// The target makes progress; the transferee hears its early media, if they may flow.
    pub(super) fn progress(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        heard: Heard<'_>,
    ) {
        let Heard {
            status,
            early,
            description,
            is_reliable,
            said,
        } = heard;
        if ended_for(status, said).is_some() {
            let freed = self.early.media.ends(call, cx, early);
            return self.are_heard_again(call, cx, freed);
        }
        let is_progress = (180..=183).contains(&status.code());
        let observer = self.observer.and_then(|observer| call.leg(observer));
        if let Some(observer) = observer.filter(|_| is_progress) {
            observer.session.refer_progress(cx, status);
        }
        // Teams sends no ringing of its own, and need not say 180 (TDR-XFR-016).
        self.has_rung |= is_progress;
        let of = (leg, early);
        let media = &mut self.early.media;
        let noted = media.note(call, cx, of, Some(said), description.as_ref());
        self.are_heard_again(call, cx, noted.freed);
        let media = &mut self.early.media;
        let status = as_progress(status);
        let Verdict { may_flow, .. } = media.heard(call, cx, of, status, noted.is_redirected);
        match description {
            Some(description) => {
                self.described(call, cx, of, description, (is_reliable, may_flow));
            }
            None if may_flow && !self.early.media.has_flowed(early) => {
                self.goes_on(call, cx, leg, early);
            }
            None => {}
        }
    }

    /// Takes an early answer. One whose media must not flow is told to nobody.
    fn described(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        (leg, early): (LegId, &Bytes),
        description: Bytes,
        (is_reliable, may_flow): (bool, bool),
    ) {
        // A callee may have many phones, but it may not fill our memory with them.
        if !self.early.has_room(early) {
            return;
        }
        let fork = self.early.fork(early);
        if is_reliable || may_flow {
            let Ok(agreed) = settle(call, leg, &description) else {
                return;
            };
            if is_reliable && let Some(target) = call.leg(leg) {
                let mut own = target.image.clone();
                own.commit();
                self.early.complete.insert(early.clone(), own);
            }
            if may_flow {
                let media = &mut self.early.media;
                media.flows(call, cx, early, (leg, fork), agreed);
                media.join(call, cx, leg);
            }
        }
        self.early.answers.insert(early.clone(), description);
    }

    /// An early dialog may be heard now: with what is agreed with it, or what it said last.
    fn goes_on(&mut self, call: &mut Call, cx: &mut Cx<'_>, leg: LegId, early: &Bytes) {
        let own = self
            .early
            .complete
            .get(early)
            .and_then(MediaImage::committed);
        let agreed = match own {
            Some(own) => Some(own.negotiated().clone()),
            None => {
                let said = self.early.answers.get(early);
                said.and_then(|said| settle(call, leg, said).ok())
            }
        };
        if let Some(agreed) = agreed {
            let fork = self.early.fork(early);
            let media = &mut self.early.media;
            media.flows(call, cx, early, (leg, fork), agreed);
            media.join(call, cx, leg);
        }
    }

    fn are_heard_again(&mut self, call: &mut Call, cx: &mut Cx<'_>, freed: Vec<(Bytes, LegId)>) {
        for (early, leg) in freed {
            self.goes_on(call, cx, leg, &early);
        }
    }

    /// The target offers a change on one of its early dialogs. The transferee does not hear of it.
    pub(super) fn target_offers(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        early: &Bytes,
        offer: &Bytes,
    ) {
        let y = call.legs.get(&self.transferee).map(|y| &y.image);
        let formats = &mut call.media.formats;
        let answered = match (self.early.complete.get_mut(early), y) {
            (Some(own), Some(y)) => {
                let answered = early_media::answer(offer, own, y, formats);
                if answered.is_err() {
                    own.rollback();
                }
                answered
            }
            (None, _) | (_, None) => Err(Unusable::OutOfOrder.into()),
        };
        let done = answered.map(|(body, agreed)| {
            let media = &mut self.early.media;
            let freed = media.moved(call, cx, (leg, early), offer);
            self.are_heard_again(call, cx, freed);
            if self.early.media.is_let_through(early) {
                let fork = self.early.fork(early);
                let media = &mut self.early.media;
                media.flows(call, cx, early, (leg, fork), agreed);
            }
            body
        });
        let Some(target) = call.leg(leg) else { return };
        match done {
            Ok(body) => target.session.answer_offer(cx, body),
            Err(why) => {
                let status = super::super::tell::status_of(&why);
                target.session.refuse_offer(cx, status);
            }
        }
    }

    /// What the transferee waits for, if somebody is called for it.
    pub(in crate::call) fn interlude(&self) -> Option<Interlude> {
        match self.step {
            Step::Waiting | Step::Allocating { .. } | Step::Inviting { .. } => Some(Interlude {
                transferee: self.transferee,
                has_rung: self.has_rung,
                is_described: self.early.media.is_any(),
            }),
            // The other party is asked for or offered something without any ringing.
            Step::Fetching { .. }
            | Step::Pausing
            | Step::Adopting { .. }
            | Step::Offering { .. } => None,
        }
    }
}

impl Call {
    /// Media before the answer are free of charge, so they must not last for ever (SIP-562). Who calls for help
    /// may wait in a queue.
    pub(in crate::call) fn early_media_is_over(&mut self, cx: &mut Cx<'_>) {
        if self.record.emergency {
            return;
        }
        match self.operation.take() {
            Some(Operation::Transfer(transfer)) => {
                let status = Status::REQUEST_TERMINATED;
                self.operation =
                    transfer.given_up(self, cx, status, Trouble::EarlyMediaTooLong.meaning());
            }
            other => {
                self.operation = other;
                self.set_up_with_media_is_over(cx);
            }
        }
    }
}
