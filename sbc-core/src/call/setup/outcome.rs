//! How a way to the called party ends: it answers, or it is refused and the next one is tried.
//!
//! Where several trunks are called at once, whoever answers first has the call and the others are told so;
//! a refusal counts once all of them have refused, unless it is the last word of all places (SIP-314).

use super::super::{A_LEG, Call, Operation, Timer, endpoint, images, record, teardown_reason};
use super::redirect::{self, Onward};
use super::{Attempt, Failed, Setup, Step, parse, refuse, refuse_offer};
use crate::cause::{Because, CauseCode, EndedBy};
use crate::config::Preset;
use crate::event::{Happened, TargetFault};
use crate::id::LegId;
use crate::media::{Incompatible, Unusable, interwork, read};
use crate::plane::Cx;
use crate::policy::isup::{self, Speaker};
use crate::policy::response::{self, Failure};
use crate::policy::{header, relayed_auth};
use crate::session::{Rejection, Source};
use crate::sip::header::Reason;
use crate::sip::{HeaderName, Message, Status};
use crate::trouble::Trouble;
use bytes::Bytes;
use media_api::{ForkId, Stage};

impl Setup {
    /// The called side answered: commit the media and answer the caller.
    pub(super) fn answered(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        early: &Bytes,
        description: Option<Bytes>,
    ) -> Option<Operation> {
        record::attempt_answered(call, cx.now, leg);
        self.ringback_ends(call, cx);
        // A 2xx without SDP confirms what the same dialog said early (TDR-SIP-019).
        let description = description.or_else(|| self.previews.get(early).cloned());
        let fork = self.fork(early);
        let is_offered = self.offer.is_some() || self.is_offered;
        let outcome = match &description {
            _ if self.is_late && self.complete.contains_key(early) => {
                self.settled_early(call, cx, leg, early, fork)
            }
            Some(description) if self.is_late && self.is_offered => {
                self.settled_elsewhere(call, cx, leg, fork, description)
            }
            None => Err(Unusable::AnswerMismatch.into()),
            Some(description) if self.is_late => self.pass_offer(call, leg, description),
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
        let is_answered = call.leg(A_LEG).is_some_and(|a| {
            a.session.keeps(&Source::new(leg, early));
            a.session.answer(cx, body)
        });
        if !is_answered {
            let mapped = response::own(CauseCode::BadRequest, &self.trunk);
            let because = Because::of("the caller's INVITE has no usable Contact");
            return refuse(call, cx, mapped, EndedBy::Us, because, None);
        }
        self.others_are_silenced(call, cx, Some(leg));
        self.is_answered(call, cx, leg);
        match is_offered {
            true => None,
            false => {
                self.step = Step::Acknowledging { leg, fork };
                Some(Operation::Setup(self))
            }
        }
    }

    /// The two parties talk to each other.
    pub(super) fn is_answered(&self, call: &mut Call, cx: &mut Cx<'_>, leg: LegId) {
        call.bridge = Some((A_LEG, leg));
        call.record.answered_by = Some(leg);
        call.answered = Some(cx.now);
        call.introduce_by_name(leg);
        if let Some(lap) = call.lap.take() {
            cx.plane.circles.leave(cx.now.mono, lap);
        }
        call.timers.stop(Timer::EarlyMedia as usize);
        call.places_answered(cx);
        if self.is_emergency {
            call.spare_all(cx);
            call.keeps_caller();
        }
        let setup_ms = call.elapsed_ms(cx.now);
        call.record.setup_ms = Some(setup_ms);
        match call.is_answer_told {
            // It was answered for announcements, or a tone.
            true => record::tell(call, cx),
            false => record::tell_answer(call, cx),
        }
        cx.out
            .emit(Some(call.id), Some(leg), Happened::Answered { setup_ms });
        call.timers.stop(Timer::Limit as usize);
        let longest = call.config.limits.max_duration;
        if !longest.is_zero() {
            // Of a call for help it is when the parties are asked whether they are there.
            call.timers
                .set(Timer::Limit as usize, cx.now.mono + longest);
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
    pub(super) fn rejected(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        rejection: Rejection,
    ) -> Option<Operation> {
        record::attempt_rejected(call, cx.now, leg, &rejection);
        self.caller_waits_in_vain(call, cx);
        call.leave_places(cx, leg);
        let b_trunk = call.trunk_of(leg);
        let failure = match (failure_of(&rejection), &b_trunk) {
            (Failure::Status(status), Some(trunk)) => {
                Failure::Status(response::softened(status, trunk))
            }
            (failure, _) => failure,
        };
        let warning = rejection.said.as_ref().and_then(|said| warning_code(said));
        let called = call.leg(leg);
        let has_progress =
            called.is_some_and(|leg| leg.session.facts().first_progress_ms.is_some());
        let mapped = response::mapped_warned(
            failure,
            &rejection.reasons,
            warning,
            has_progress,
            &self.trunk,
        );
        let is_teams = b_trunk
            .as_ref()
            .is_some_and(|trunk| trunk.preset == Preset::Teams);
        let tries_next = match failure {
            // Who goes on dialling hears at once that more is wanted; for anybody else the number is all
            // there is, and another way may know it (SIP-580).
            // Teams knows all its numbers.
            Failure::Status(Status::ADDRESS_INCOMPLETE) if !is_teams => !self.trunk.overlap,
            Failure::Status(status) => b_trunk
                .as_ref()
                .is_some_and(|trunk| response::tries_next(status, &rejection.reasons, trunk)),
            Failure::NoResponse | Failure::Unreachable | Failure::Unregistered => true,
            Failure::Cancelled | Failure::NoAnswer => false,
        };
        // Whoever calls for help is not told of a failure while there is another way (SIP-1404).
        let tries_next = tries_next || (self.is_emergency && failure != Failure::Cancelled);
        let mut because = mapped.because;
        if let Some(told) = rejection.told {
            because = because.named(told);
        }
        self.comes_back(leg, &rejection);
        let onward = self.redirection(call, cx, leg, &rejection);
        // It may lead to those who help, who are called alone.
        let is_alone = self.beside.is_empty();
        // Whoever calls for help is not sent away while there is another way.
        let onward = onward.filter(|onward| {
            !self.is_emergency || matches!(onward.value, Onward::Attempts | Onward::Nowhere)
        });
        if let Some(onward) = onward {
            because.0.extend(onward.because.0);
            match onward.value {
                Onward::Attempts if !is_alone => {
                    // It has its turn when nobody of those who ring has answered.
                    self.early_dialogs_end(call, cx, leg, rejection.status);
                    self.leaves(call, cx, leg);
                    return Some(Operation::Setup(self));
                }
                Onward::Attempts => {
                    self.early_dialogs_end(call, cx, leg, rejection.status);
                    return self.next_attempt(call, cx);
                }
                Onward::Caller(contacts) => {
                    return redirect::tell_caller(call, cx, &rejection, contacts, because);
                }
                // Another target was named before.
                Onward::Loop if self.next_target(leg).is_some() => {}
                Onward::Loop => {
                    if let Some(a) = call.leg(A_LEG) {
                        a.image.rollback();
                    }
                    let failed = Failed {
                        mapped: response::own(CauseCode::LoopDetected, &self.trunk),
                        by: EndedBy::B,
                        because: because.named(Trouble::RedirectLoop),
                        rank: response::rank(failure, self.trunk.overlap),
                    };
                    // What another target has said may say more.
                    let mut failed = self.best_of_targets(leg, failed);
                    let status = rejection.status.code();
                    self.note_history(call, leg, rejection.said.as_deref(), status);
                    failed.mapped.headers.append(&mut self.been);
                    return self.is_refused(call, cx, failed);
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
        if let Some(a) = call.leg(A_LEG).filter(|_| is_alone) {
            // What it was told early it was told; nothing else is pending now.
            a.image.rollback();
        }
        let by = if rejection.is_from_peer {
            EndedBy::B
        } else {
            EndedBy::Us
        };
        let mut mapped = mapped.value;
        let mut is_for_caller = false;
        if let (Some(said), Some(trunk)) = (&rejection.said, &b_trunk) {
            mapped.headers = header::passed_back(said, trunk, &self.trunk);
            mapped.parts = isup::parts(said, Speaker::default(), trunk, &self.trunk);
            let asked = relayed_auth::challenges(said, &self.trunk, trunk);
            if let (false, Failure::Status(status)) = (asked.is_empty(), failure) {
                // Whoever has the account is on the other leg.
                mapped.status = status;
                mapped.headers.extend(asked);
                is_for_caller = true;
                because = because.and(format!(
                    "the caller is asked itself, as relay_auth of trunk \"{}\" says",
                    trunk.name
                ));
            }
            let shown = relayed_auth::credentials(&self.request, &self.trunk, trunk);
            if let (false, Failure::Status(status)) = (shown.is_empty(), failure)
                && let Some(lines) = relayed_auth::asked_otherwise(said)
            {
                mapped.status = status;
                mapped.headers.extend(lines);
                is_for_caller = true;
                because = because.and("only the caller can prove another request".to_owned());
            }
        }
        let failed = Failed {
            mapped,
            by,
            because,
            rank: response::rank(failure, self.trunk.overlap),
        };
        // Of several that are called at once each speaks for itself, but for the last word of all places.
        let last = match failure {
            Failure::Status(status) => status.code(),
            Failure::Cancelled => 487,
            Failure::NoResponse | Failure::NoAnswer => 408,
            Failure::Unreachable => 503,
            Failure::Unregistered => 480,
        };
        self.note_history(call, leg, rejection.said.as_deref(), last);
        let is_last = matches!(failure, Failure::Cancelled)
            || matches!(failure, Failure::Status(status) if status.code() >= 600);
        // Of the targets of a redirection each may be the one where the callee is.
        let is_told = tries_next || is_last || is_for_caller || self.at_once;
        let tries_next = tries_next || (!is_told && self.turns_to_next_target(leg));
        if !tries_next && (is_last || !self.at_once) {
            let mut failed = match is_last || is_for_caller {
                true => failed,
                false => self.best_of_targets(leg, failed),
            };
            failed.mapped.headers.append(&mut self.been);
            return self.is_refused(call, cx, failed);
        }
        self.failed(failed);
        if !is_alone {
            self.early_dialogs_end(call, cx, leg, rejection.status);
            self.leaves(call, cx, leg);
            return Some(Operation::Setup(self));
        }
        if !self.attempts.is_empty() {
            self.early_dialogs_end(call, cx, leg, rejection.status);
            call.media.drop_endpoint(cx, endpoint(leg));
        }
        self.next_attempt(call, cx)
    }

    /// What a call for help has left for later of a trunk is tried when all other trunks have been (TDR-EMG-006).
    fn comes_back(&mut self, leg: LegId, rejection: &Rejection) {
        let Step::Inviting { leg: own, attempt } = &self.step else {
            return;
        };
        if *own == leg && self.is_emergency && !rejection.untried.is_empty() {
            self.attempts.push_back(Attempt {
                untried: rejection.untried.clone(),
                ..attempt.clone()
            });
        }
    }

    /// One of several that are called at once is not called any more.
    fn leaves(&mut self, call: &mut Call, cx: &mut Cx<'_>, leg: LegId) {
        let is_current = matches!(&self.step, Step::Inviting { leg: own, .. } if *own == leg);
        if is_current && !self.beside.is_empty() {
            let (leg, attempt) = self.beside.remove(0);
            self.step = Step::Inviting { leg, attempt };
        }
        self.beside.retain(|(own, _)| *own != leg);
        self.early_media.leaves(call, cx, leg);
        self.rings_no_more(call, cx, |phone| phone.leg == leg);
        call.media.drop_endpoint(cx, endpoint(leg));
    }

    /// From now on one is called at a time: whoever rings beside this one is left.
    pub(super) fn calls_one(&mut self, call: &mut Call, cx: &mut Cx<'_>, leg: LegId) {
        self.at_once = false;
        if self.beside.is_empty() {
            return;
        }
        let mut others = self.ringing();
        others.retain(|own| *own != leg);
        self.others_are_silenced(call, cx, Some(leg));
        for other in others {
            self.early_dialogs_end(call, cx, other, Status::REQUEST_TERMINATED);
            self.early_media.leaves(call, cx, other);
            self.rings_no_more(call, cx, |phone| phone.leg == other);
            call.leave_places(cx, other);
        }
    }

    /// Nobody but this one, if anybody of them, is to answer any more.
    pub(super) fn others_are_silenced(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        but: Option<LegId>,
    ) {
        let ringing = self.ringing().into_iter();
        for leg in ringing.filter(|leg| Some(*leg) != but) {
            record::attempt_elsewhere(call, leg);
            if let Some(b) = call.leg(leg) {
                let elsewhere = [Reason::sip(200, None)];
                let reason = teardown_reason(
                    &elsewhere,
                    CauseCode::NormalClearing,
                    &b.session.style().trunk,
                );
                b.session.hang_up(cx, Status::REQUEST_TERMINATED, reason);
            }
            call.media.drop_endpoint(cx, endpoint(leg));
        }
        self.beside.clear();
    }
}

fn failure_of(rejection: &Rejection) -> Failure {
    match (&rejection.fault, rejection.is_from_peer) {
        (_, true) => Failure::Status(rejection.status),
        (Some(TargetFault::Timeout), false) if rejection.was_heard => Failure::NoAnswer,
        (Some(TargetFault::Timeout), false) => Failure::NoResponse,
        (Some(TargetFault::NoBinding), false) => Failure::Unregistered,
        (Some(TargetFault::NumberForm), false) => Failure::Status(Status::NOT_FOUND),
        (Some(TargetFault::Unwritable), false) => Failure::Status(Status::SERVER_INTERNAL_ERROR),
        (Some(TargetFault::Status(code)), false) => {
            Failure::Status(Status::new(*code).unwrap_or(Status::BAD_GATEWAY))
        }
        (
            Some(
                TargetFault::Flow(_)
                | TargetFault::Resolve(_)
                | TargetFault::Quarantined
                | TargetFault::Relieved
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
        TargetFault::Resolve(fault) => fault.to_string(),
        TargetFault::Timeout => "no response in time".to_owned(),
        TargetFault::Status(code) => format!("status {code}"),
        TargetFault::Quarantined
        | TargetFault::Unwritable
        | TargetFault::NumberForm
        | TargetFault::Relieved
        | TargetFault::Down
        | TargetFault::NotRegistered
        | TargetFault::NoBinding => fault.to_string(),
    }
}

/// The code of a Warning header.
fn warning_code(message: &Message) -> Option<u16> {
    let value = message.raw(HeaderName::Warning)?;
    let digits = value.trim_ascii_start().get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
