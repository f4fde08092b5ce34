//! Provisionals of the called side, for the caller, and the descriptions in them.
//!
//! The first answer that the caller is told early is the one that it gets (SIP-312): what another
//! phone or another trunk says later changes only the called side, and where that is something else
//! the caller is told after its ACK.

use super::super::early_media::{Verdict, as_progress, takes_over};
use super::super::{A_LEG, Call, Operation, Timer, endpoint, images, teardown_reason};
use super::early_media;
use super::{MOST_FORKS, Setup, agree, parse, refuse};
use crate::cause::{Because, CauseCode, EndedBy};
use crate::config::Trunk;
use crate::id::LegId;
use crate::media::{Incompatible, MediaImage, Unusable, interwork, read};
use crate::plane::Cx;
use crate::policy::response::{self, Mapped};
use crate::session::Source;
use crate::session::reliable::Provisional;
use crate::sip::header::{OptionTag, Reason};
use crate::sip::{HeaderName, Status};
use crate::trouble::Trouble;
use bytes::Bytes;
use media_api::{ForkId, Negotiated, Stage};

/// A provisional of the called side.
pub(super) struct Heard {
    pub(super) status: Status,
    pub(super) early: Bytes,
    pub(super) description: Option<Bytes>,
    /// A description in it is the called side's last word.
    pub(super) is_reliable: bool,
    /// Why the early dialog has ended, if it has.
    pub(super) why: Option<u16>,
    /// It may do something else than before with its media.
    pub(super) is_redirected: bool,
}

impl Setup {
    /// Tells the caller of a provisional of the called side.
    pub(super) fn progress(&mut self, call: &mut Call, cx: &mut Cx<'_>, leg: LegId, heard: Heard) {
        let Heard {
            status,
            early,
            description,
            is_reliable,
            why,
            is_redirected,
        } = heard;
        if let Some(why) = why {
            // A caller that has only one early dialog for all of them goes on with that.
            let freed = self.early_media.ends(call, cx, &early);
            self.are_heard_again(call, cx, freed);
            let phone = Source::new(leg, &early);
            self.rings_no_more(call, cx, |own| *own == phone);
            if let Some(a) = call.leg(A_LEG) {
                a.session.fork_ends(cx, &phone, why);
            }
            return;
        }
        let status = as_progress(status);
        let of = (leg, &early);
        let Verdict { status, may_flow } =
            self.early_media.heard(call, cx, of, status, is_redirected);
        if self.is_late && may_flow {
            self.opens_late(call, cx, leg, &early);
        }
        let is_last_word = is_reliable && description.is_some();
        let description = description.or_else(|| self.withheld(may_flow, &early));
        let body = match (&self.offer, description) {
            (_, Some(description)) if self.is_late && is_reliable => {
                self.pass_early_offer(call, cx, leg, (&early, may_flow), &description)
            }
            // A preview of an offer: what counts comes with the answer.
            _ if self.is_late => None,
            (Some(_), Some(description)) if !may_flow => {
                self.keep_back(call, leg, &early, description, is_last_word);
                None
            }
            (Some(_), Some(description)) => {
                self.preview(call, cx, leg, &early, description, is_last_word)
            }
            (None, Some(description)) if !may_flow => {
                self.note(&early, description);
                None
            }
            (None, Some(description)) => self.early_offer(call, cx, leg, &early, description),
            (_, None) => None,
        };
        let first_ms = call.elapsed_ms(cx.now);
        call.record.first_progress_ms.get_or_insert(first_ms);
        let described = body.is_some();
        let sees_forks = call.leg(A_LEG).is_some_and(|a| a.session.sees_forks());
        let phone = Source::new(leg, &early);
        let of = sees_forks.then(|| phone.clone());
        let told = Provisional {
            of: of.clone(),
            status: early_media::told_as(self.trunk.progress.ringing, status),
            description: body,
            // An offer cannot be made any other way before the answer.
            prefers_reliable: is_reliable || (described && self.offer.is_none()),
        };
        let Some(a) = call.leg(A_LEG) else { return };
        if self.offer.is_some() && a.session.settles(&told) {
            // The relay hears of it first: the caller may follow at once.
            self.caller_is_settled(call, cx);
        }
        if let Some(a) = call.leg(A_LEG) {
            a.session.progress(cx, told);
        }
        self.rings(call, cx, status, (phone, of, described));
    }

    /// The caller has left one of the early dialogs: that phone alone rings no longer.
    pub(super) fn is_left(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        early: &Bytes,
        reasons: &[Reason],
    ) {
        let freed = self.early_media.ends(call, cx, early);
        self.are_heard_again(call, cx, freed);
        self.rings_no_more(call, cx, |own| own.leg == leg && own.tag == *early);
        if let Some(b) = call.leg(leg) {
            let reason =
                teardown_reason(reasons, CauseCode::NormalClearing, &b.session.style().trunk);
            b.session.leave_early(cx, early, reason);
        }
    }

    /// All early dialogs of an attempt have ended, and another one follows.
    pub(super) fn early_dialogs_end(
        &self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        status: Status,
    ) {
        if let Some(a) = call.leg(A_LEG) {
            a.session.forks_end(cx, leg, status.code());
        }
    }

    /// The caller's offer has its last answer: the relay is told.
    pub(super) fn caller_is_settled(&self, call: &mut Call, cx: &mut Cx<'_>) {
        let a = call.legs.get(&A_LEG).and_then(|a| a.image.committed());
        if let Some(negotiated) = a.map(|agreed| agreed.negotiated().clone()) {
            let (a, fork) = (endpoint(A_LEG), ForkId::default());
            call.media.agreed(cx, a, fork, negotiated, Stage::Final);
        }
    }

    /// Applies early SDP to the media; the answer that A sees, if it can be used.
    fn preview(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        early: &Bytes,
        description: Bytes,
        is_last_word: bool,
    ) -> Option<Bytes> {
        // A callee may have many phones, but it may not fill our memory with them.
        if self.forks.len() >= MOST_FORKS && !self.forks.contains(early) {
            return None;
        }
        let (body, x, mut y) = self.both(call, leg, &description).ok()?;
        let fork = self.fork(early);
        self.previews.insert(early.clone(), description);
        if is_last_word {
            self.completes(call, leg, early);
        }
        if let Some(agreed) = self.complete.get(early).and_then(MediaImage::committed) {
            // What was held back may have gone on since.
            y = agreed.negotiated().clone();
        }
        self.agreed_early(call, cx, (early, true), (leg, fork), y);
        if let Some(x) = x {
            let (a, fork) = (endpoint(A_LEG), ForkId::default());
            call.media.agreed(cx, a, fork, x, Stage::Preview);
        }
        call.media.join(cx, endpoint(A_LEG), endpoint(leg), 0);
        Some(body)
    }

    /// An early dialog that was silenced on behalf of another one may be heard again: with what it said
    /// last, which the caller knows.
    pub(super) fn goes_on(&mut self, call: &mut Call, cx: &mut Cx<'_>, leg: LegId, early: &Bytes) {
        if self.is_late {
            self.opens_late(call, cx, leg, early);
        } else if let Some(description) = self.withheld(true, early) {
            self.preview(call, cx, leg, early, description, false);
        }
    }

    /// The first exchange of this early dialog is made: it goes on with an image of its own.
    fn completes(&mut self, call: &mut Call, leg: LegId, early: &Bytes) {
        if let Some(b) = call.leg(leg) {
            let mut own = b.image.clone();
            own.commit();
            self.complete.insert(early.clone(), own);
        }
    }

    /// Takes early SDP whose media must not flow: neither the relay nor the caller hears of it.
    fn keep_back(
        &mut self,
        call: &mut Call,
        leg: LegId,
        early: &Bytes,
        description: Bytes,
        is_reliable: bool,
    ) {
        if !self.note(early, description.clone()) || !is_reliable {
            return;
        }
        let formats = &mut call.media.formats;
        let Some(b) = call.legs.get_mut(&leg) else {
            return;
        };
        let facts = parse(&description).map(|text| read(&text, b.image.profile()));
        let settled = facts.and_then(|facts| interwork::settle(&facts, &mut b.image, formats));
        if settled.is_ok() {
            self.completes(call, leg, early);
        }
    }

    /// Remembers an early answer for a 2xx that repeats none. Says whether there was room.
    fn note(&mut self, early: &Bytes, description: Bytes) -> bool {
        let has_room = self.previews.len() < MOST_FORKS || self.previews.contains_key(early);
        if has_room {
            self.previews.insert(early.clone(), description);
        }
        has_room
    }

    /// What an early dialog said while its media were held back and that may be told now.
    fn withheld(&self, may_flow: bool, early: &Bytes) -> Option<Bytes> {
        let is_told = self.early_media.has_flowed(early);
        let known = self.previews.get(early).filter(|_| may_flow && !is_told);
        known.filter(|_| self.offer.is_some()).cloned()
    }

    /// A sent no offer, and B has answered ours early. A caller that can confirm a provisional is
    /// offered now what B accepted; any other waits for the 2xx.
    fn early_offer(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        early: &Bytes,
        description: Bytes,
    ) -> Option<Bytes> {
        if !self.note(early, description.clone()) {
            return None;
        }
        let a = &call.leg(A_LEG)?.session;
        let may_offer = a.takes_early_offer() && !a.sees_forks();
        if self.is_offered || !may_offer {
            return None;
        }
        let fork = self.fork(early);
        let formats = &mut call.media.formats;
        let (a, b) = images(&mut call.legs, A_LEG, leg)?;
        let facts = read(&parse(&description).ok()?, b.profile());
        let negotiated = interwork::settle(&facts, b, formats).ok()?;
        let offer = interwork::join(a, b).ok()?;
        self.is_offered = true;
        self.agreed_early(call, cx, (early, true), (leg, fork), negotiated);
        call.media.join(cx, endpoint(A_LEG), endpoint(leg), 0);
        Some(offer)
    }

    /// The called side has answered: both sides are committed. The description for the caller is the
    /// one that it was told early, if it was.
    pub(super) fn commit_answer(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        early: &Bytes,
        fork: ForkId,
        description: &Bytes,
    ) -> Result<Bytes, Incompatible> {
        let is_last_word = self.previews.get(early) == Some(description);
        let mut own = self.complete.remove(early);
        // What moves it in the answer moves what the dialog has come to, not what was offered first.
        if let Some(own) = own.take_if(|_| !is_last_word) {
            let image = &mut call.leg(leg).ok_or(Unusable::OutOfOrder)?.image;
            takes_over(image, own, false)?;
        }
        let (body, _, mut y) = self.both(call, leg, description)?;
        if let Some(own) = own {
            // It may have gone on since its first exchange.
            let image = &mut call.leg(leg).ok_or(Unusable::OutOfOrder)?.image;
            y = takes_over(image, own, true)?.ok_or(Unusable::OutOfOrder)?;
        }
        call.timers.stop(Timer::EarlyMedia as usize);
        if let Some((a, b)) = images(&mut call.legs, A_LEG, leg) {
            if !self.is_offered {
                a.commit();
            }
            b.commit();
        }
        call.media.agreed(cx, endpoint(leg), fork, y, Stage::Final);
        if !self.is_offered {
            self.caller_is_settled(call, cx);
        }
        Ok(body)
    }

    /// Takes B's answer. A is answered once and for all with the first: its agreement is then in
    /// force. A caller that has our offer is not answered at all.
    fn both(
        &self,
        call: &mut Call,
        leg: LegId,
        description: &Bytes,
    ) -> Result<(Bytes, Option<Negotiated>, Negotiated), Incompatible> {
        let a = call.legs.get(&A_LEG).ok_or(Unusable::OutOfOrder)?;
        if a.image.committed().is_none() && !self.is_offered {
            let answered = agree(call, leg, description)?;
            if let Some(a) = call.leg(A_LEG) {
                a.image.commit();
            }
            return Ok((answered.body, Some(answered.x), answered.y));
        }
        let body = told(call)?;
        let formats = &mut call.media.formats;
        let b = call.legs.get_mut(&leg).ok_or(Unusable::OutOfOrder)?;
        let facts = read(&parse(description)?, b.image.profile());
        let y = interwork::settle(&facts, &mut b.image, formats)?;
        Ok((body, None, y))
    }
}

/// What the caller was told.
pub(super) fn told(call: &Call) -> Result<Bytes, Incompatible> {
    let a = call.legs.get(&A_LEG).ok_or(Unusable::OutOfOrder)?;
    Ok(a.image.last_written().ok_or(Unusable::OutOfOrder)?)
}

/// Refuses a caller that cannot confirm provisionals where its trunk demands it (RFC 3261 §21.4.16).
pub(super) fn refuse_unreliable(
    call: &mut Call,
    cx: &mut Cx<'_>,
    trunk: &Trunk,
) -> Option<Operation> {
    let mut mapped = Mapped {
        status: Status::EXTENSION_REQUIRED,
        ..response::own(CauseCode::BadRequest, trunk)
    };
    let tag = Bytes::from_static(OptionTag::REL100.as_bytes());
    mapped.headers.push((HeaderName::Require, tag));
    let because = Because::of("the caller confirms no provisionals, and its trunk requires it")
        .named(Trouble::ReliabilityMissing);
    refuse(call, cx, mapped, EndedBy::Us, because, None)
}
