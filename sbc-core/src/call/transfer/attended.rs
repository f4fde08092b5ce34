//! Attended transfer: the target is a party that the transferor talks to already, in another call
//! of ours, on this shard or another one (SIP-805).
//!
//! ```text
//! Fetching ──party──► Adopting ──port──► Offering ──2xx──► the bridge moves
//!     └── no dialog of ours ──► called anew, with Replaces
//! ```
//!
//! A target that has not answered yet rings no longer, and is called anew. Otherwise the other call
//! hands its party over and ends, which is the end of the transferor's leg there. The
//! party gets our media by a re-INVITE; a party that cannot be kept is sent away, and the transferor
//! is told.

use super::{Step, Transfer};
use crate::call::local::LocalSide;
use crate::call::names::MOST_NAMES;
use crate::call::{A_LEG, Call, Leg, Operation, Timer, endpoint, record};
use crate::cause::{Because, CauseCode, EndedBy};
use crate::config::Preset;
use crate::id::{CallId, LegId};
use crate::letter::{CALLED_ANEW, Content, Fetch, Help, Letter, Party};
use crate::media::{Unusable, interwork};
use crate::plane::Cx;
use crate::record::{TransferKind, TransferOutcome, TransferRecord};
use crate::session::{Session, Standing};
use crate::sip::Status;
use crate::sip::header::Replaces;
use bytes::Bytes;
use media_api::{ForkId, LocalEndpoint};
use std::sync::Arc;
use std::time::Duration;

/// How long another shard may take for its answer.
const SHARD_PATIENCE: Duration = Duration::from_secs(2);

/// The pause before a party is asked for again that was busy.
const PAUSE: Duration = Duration::from_millis(500);

/// How often a busy party is asked for again.
const MOST_TRIES: u8 = 10;

impl Transfer {
    /// Asks for the party, or calls anew where the transferor's trunk is Teams: what it says in
    /// Refer-To means something to itself alone, and it takes no Replaces (TDR-XFR-012).
    pub(super) fn fetch(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
    ) -> Option<Operation> {
        let by = call.legs.get(&self.transferor)?.session.style();
        let trunk = by.trunk.name.clone();
        let replaces = match (&self.wish.replaces, by.trunk.preset) {
            (Some(replaces), Preset::Carrier) => replaces.clone(),
            (Some(_), Preset::Teams) | (None, _) => return self.next_trunk(call, cx),
        };
        if let Some(record) = call.record.transfers.get_mut(self.record) {
            record.kind = TransferKind::Attended;
        }
        self.homes = super::relay::homes(cx, &replaces);
        let tenant = call.tenant.clone();
        let fetch = Fetch {
            from: cx.plane.shard,
            call: call.id,
            ticket: 0,
            replaces,
            trunk,
            tenant,
            media: call.media.session,
        };
        self.ask(call, cx, fetch)
    }

    fn ask(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        mut fetch: Fetch,
    ) -> Option<Operation> {
        if call.next_name().is_none() {
            let because = MOST_NAMES.to_owned();
            self.failed_because(call, Status::SERVER_INTERNAL_ERROR, because);
            return self.failed(call, cx);
        }
        let Some(home) = self.homes.pop_front() else {
            return self.call_anew(call, cx);
        };
        fetch.ticket = cx.plane.mint.number();
        let letter = Letter::new(Content::Fetch(fetch.clone()));
        cx.plane.letters.push_back((home, letter));
        let limit = cx.now.mono + SHARD_PATIENCE;
        call.timers.set(Timer::Fetch as usize, limit);
        self.step = Step::Fetching { fetch };
        Some(Operation::Transfer(self))
    }

    /// No call of ours has that dialog: the target itself may know it (SIP-422: these are its own
    /// identifiers, not those of another leg of ours).
    fn call_anew(mut self: Box<Self>, call: &mut Call, cx: &mut Cx<'_>) -> Option<Operation> {
        let by = call.legs.get(&self.transferor)?.session.style();
        if !by.trunk.transfers.names_unknown {
            self.attempts.clear();
        }
        self.attempts
            .retain(|own| own.trunk.preset != Preset::Teams);
        if self.attempts.is_empty() {
            let because = "the dialog that should be replaced is not known".to_owned();
            self.failed_because(call, Status::CALL_DOES_NOT_EXIST, because);
            return self.failed(call, cx);
        }
        self.replays = true;
        self.next_trunk(call, cx)
    }

    /// Another call answers.
    fn fetched(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        fetch: Fetch,
        outcome: &Result<Box<Party>, Status>,
    ) -> Option<Operation> {
        call.timers.stop(Timer::Fetch as usize);
        match outcome {
            Ok(party) => self.adopt(call, cx, party),
            Err(Status::CALL_DOES_NOT_EXIST) => self.ask(call, cx, fetch),
            Err(CALLED_ANEW) => self.next_trunk(call, cx),
            Err(Status::REQUEST_PENDING) if self.tries < MOST_TRIES => {
                self.tries += 1;
                let again = cx.now.mono + PAUSE;
                call.timers.set(Timer::Fetch as usize, again);
                self.step = Step::Pausing;
                Some(Operation::Transfer(self))
            }
            Err(status) => {
                let because = "the other call does not hand its party over".to_owned();
                self.failed_because(call, *status, because);
                self.failed(call, cx)
            }
        }
    }

    /// The party is ours now; it needs a port in our media session.
    fn adopt(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        party: &Party,
    ) -> Option<Operation> {
        let leg = call.take_in(cx, party);
        // It takes the transferor's place.
        let seeks = match (party.help, call.side(self.transferor)) {
            (None, _) => None,
            (Some(Help::Seeks), side) => Some(side),
            (Some(Help::Gives), EndedBy::A) => Some(EndedBy::B),
            (Some(Help::Gives), EndedBy::B | EndedBy::Us) => Some(EndedBy::A),
        };
        if let Some(seeks) = seeks {
            call.becomes_help(cx, seeks);
        }
        let adopted = call.legs.get(&leg)?;
        let spec = adopted.image.spec();
        let trunk = Arc::clone(&adopted.session.style().trunk);
        call.keep_places(cx, leg, &trunk);
        call.take_bill(leg, party.bill.as_ref());
        call.media.allocate(cx, vec![spec]);
        call.media.follow(cx, endpoint(leg), party.media);
        self.step = Step::Adopting { leg };
        Some(Operation::Transfer(self))
    }

    /// The port is there: the party is offered the transferee's media.
    pub(super) fn adopted(
        mut self: Box<Self>,
        call: &mut Call,
        leg: LegId,
        endpoints: &[LocalEndpoint],
    ) -> Option<Operation> {
        if let Some(adopted) = call.leg(leg) {
            for local in endpoints {
                adopted.image.allocated(local);
            }
        }
        self.step = Step::Offering {
            leg,
            is_open: false,
        };
        Some(Operation::Transfer(self))
    }

    /// Offers our media to the adopted party as soon as there is room for it.
    pub(super) fn proceed(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
    ) -> Option<Operation> {
        let Step::Offering {
            leg,
            is_open: false,
        } = self.step
        else {
            return Some(Operation::Transfer(self));
        };
        if !call.legs.get(&leg)?.session.may_offer() {
            return Some(Operation::Transfer(self));
        }
        let (z, y) = super::images(&mut call.legs, leg, self.transferee)?;
        match interwork::invite(z, y) {
            Ok(offer) => {
                call.leg(leg)?.session.offer(cx, offer);
                call.expect_answer(cx, leg);
                self.step = Step::Offering { leg, is_open: true };
                Some(Operation::Transfer(self))
            }
            Err(incompatible) => {
                call.media_refused(cx, leg, &incompatible);
                let because = incompatible.because.text().to_owned();
                self.failed_because(call, Status::NOT_ACCEPTABLE_HERE, because);
                self.let_go(call, cx, leg)
            }
        }
    }

    /// The adopted party accepts our offer.
    pub(super) fn offer_answered(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        description: Option<Bytes>,
    ) -> Option<Operation> {
        let settled = description
            .ok_or(Unusable::AnswerMismatch.into())
            .and_then(|description| super::settle(call, leg, &description));
        match settled {
            Ok(negotiated) => {
                let transferee = self.transferee;
                let goes_on = self.complete(call, cx, leg, ForkId::default(), negotiated);
                // They have never heard of each other.
                call.introduce(leg);
                call.introduce(transferee);
                goes_on
            }
            Err(incompatible) => {
                call.media_refused(cx, leg, &incompatible);
                let because = incompatible.because.text().to_owned();
                self.failed_because(call, Status::NOT_ACCEPTABLE_HERE, because);
                self.let_go(call, cx, leg)
            }
        }
    }

    /// The adopted party refuses our offer, for now or for good.
    pub(super) fn offer_refused(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        status: Status,
        again: bool,
    ) -> Option<Operation> {
        if let Some(adopted) = call.leg(leg) {
            adopted.image.rollback();
        }
        if again {
            self.step = Step::Offering {
                leg,
                is_open: false,
            };
            return Some(Operation::Transfer(self));
        }
        let because = format!("the target refuses our media with {}", status.code());
        self.failed_because(call, status, because);
        self.let_go(call, cx, leg)
    }

    /// The adopted party has left, or cannot be kept.
    pub(super) fn let_go(
        self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
    ) -> Option<Operation> {
        if let Some(adopted) = call.leg(leg) {
            adopted.image.rollback();
            adopted
                .session
                .hang_up(cx, Status::REQUEST_TERMINATED, None);
        }
        call.media.drop_endpoint(cx, endpoint(leg));
        self.failed(call, cx)
    }
}

impl Call {
    /// The answer to a request for a party. If nobody waits for it any more, the party is sent away.
    pub(crate) fn fetched(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: u64,
        outcome: &Result<Box<Party>, Status>,
    ) {
        match self.operation.take() {
            Some(Operation::Transfer(mut transfer)) => {
                match std::mem::replace(&mut transfer.step, Step::Waiting) {
                    Step::Fetching { fetch } if fetch.ticket == ticket => {
                        self.operation = transfer.fetched(self, cx, fetch, outcome);
                        return self.settle(cx);
                    }
                    step => transfer.step = step,
                }
                self.operation = Some(Operation::Transfer(transfer));
            }
            other => self.operation = other,
        }
        if let Ok(party) = outcome {
            let leg = self.take_in(cx, party);
            if let Some(leg) = self.leg(leg) {
                leg.session.hang_up(cx, Status::REQUEST_TERMINATED, None);
            }
        }
        self.settle(cx);
    }

    /// No answer came, or it is time to ask again.
    pub(in crate::call) fn fetch_timeout(&mut self, cx: &mut Cx<'_>) {
        match self.operation.take() {
            Some(Operation::Transfer(mut transfer)) => {
                let step = std::mem::replace(&mut transfer.step, Step::Waiting);
                self.operation = match step {
                    Step::Fetching { fetch } => transfer.ask(self, cx, fetch),
                    Step::Pausing => transfer.fetch(self, cx),
                    step => {
                        transfer.step = step;
                        Some(Operation::Transfer(transfer))
                    }
                };
            }
            other => self.operation = other,
        }
    }

    /// Makes a leg of a party that another call has handed over.
    fn take_in(&mut self, cx: &mut Cx<'_>, party: &Party) -> LegId {
        let leg = self.take_spare_name();
        let session = Session::import(cx, (self.id, leg), &party.parcel);
        let image = party.image.moved(endpoint(leg));
        let trunk = Arc::clone(&session.style().trunk);
        record::came(self, leg, &trunk, &party.caller);
        let local = LocalSide::of_image(&trunk, &image);
        let own = Leg {
            local,
            ..Leg::new(session, image)
        };
        self.legs.insert(leg, own);
        self.parties.insert(leg, Arc::clone(&party.caller));
        if let Some(record) = self.record.transfers.last_mut() {
            let because = format!("its party comes from call {}", party.from);
            record.because.0.push(because);
        }
        leg
    }

    /// Whether the party that talks to `leg` may be handed over to another call: which it is, or
    /// the status that says why not. Only a call of the same customer may have it, and only the
    /// transferor's own trunk may give it away.
    pub(crate) fn may_hand_over(
        &self,
        leg: LegId,
        replaces: &Replaces,
        fetch: &Fetch,
    ) -> Result<LegId, Status> {
        let x = self.legs.get(&leg).ok_or(Status::CALL_DOES_NOT_EXIST)?;
        let standing = x.session.standing(replaces);
        if standing.is_none() {
            return Err(Status::CALL_DOES_NOT_EXIST);
        }
        if x.session.style().trunk.name != fetch.trunk || self.tenant != fetch.tenant {
            return Err(Status::DECLINE);
        }
        if standing != Some(Standing::Confirmed) {
            return Err(Status::DECLINE);
        }
        let party = self.other(leg).ok_or(Status::DECLINE)?;
        let z = self.legs.get(&party).ok_or(Status::DECLINE)?;
        let is_quiet = self.operation.is_none()
            && z.session.is_quiet()
            && z.telling.change.is_none()
            && !z.local.is_moving()
            && !z.local.is_told()
            && !z.image.is_negotiating();
        match is_quiet {
            true => Ok(party),
            false => Err(Status::REQUEST_PENDING),
        }
    }

    /// Whether a leg that is named still rings for its caller, who wants somebody else to be called
    /// instead of itself: a transfer before the target has answered.
    pub(crate) fn may_give_way(&self, leg: LegId, replaces: &Replaces, fetch: &Fetch) -> bool {
        matches!(self.operation, Some(Operation::Setup(_)))
            && leg == A_LEG
            && self.legs.get(&leg).is_some_and(|x| {
                x.session.standing(replaces) == Some(Standing::Calling)
                    && x.session.style().trunk.name == fetch.trunk
                    && self.tenant == fetch.tenant
            })
    }

    /// Ends the set-up, because another call calls the target; only if [`Self::may_give_way`].
    pub(crate) fn give_way(&mut self, cx: &mut Cx<'_>, to: CallId) {
        let because = Because::of(format!("its caller has transferred it to call {to}"));
        let status = Status::REQUEST_TERMINATED;
        let (by, code) = (EndedBy::A, CauseCode::CallerCancelled);
        self.end_with(cx, by, code, status, because, &[]);
        self.settle(cx);
    }

    /// Hands a party over to another call; only if [`Self::may_hand_over`]. The call ends with that.
    pub(crate) fn hand_over(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        party: LegId,
        fetch: &Fetch,
    ) -> Option<Party> {
        let to = fetch.call;
        let parcel = self.legs.get(&party)?.session.export()?;
        // Whoever it was for leaves, and nobody could answer it in the other call.
        self.legs.get_mut(&party)?.session.end_crossings(cx);
        let caller = self.party(party);
        let given = self.legs.remove(&party)?;
        // The other call takes its places at once; until this one has its end they would count twice.
        let bill = self.close_bill(cx, party);
        self.leave_places(cx, party);
        let trunk = self.legs.get(&leg)?.session.style().trunk.name.clone();
        let because = Because::of(format!("its party goes on in call {to}"));
        let at_ms = self.elapsed_ms(cx.now);
        self.record.transfers.push(TransferRecord {
            at_ms,
            kind: TransferKind::Attended,
            by: leg,
            trunk,
            party,
            target: to.to_string(),
            teams_call: None,
            leg: None,
            outcome: TransferOutcome::Completed,
            status: Some(Status::OK.code()),
            because: because.clone(),
        });
        let (by, help) = (self.side(leg), self.help_of(party));
        // Before the end, which takes everything else of the session with it.
        let media = (self.media.session, given.image.endpoint());
        self.media.hand_over(cx, media.1, fetch.media);
        self.end(cx, by, CauseCode::NormalClearing, because, &[]);
        self.settle(cx);
        Some(Party {
            parcel,
            image: given.image,
            caller,
            from: self.id,
            media,
            bill,
            help,
        })
    }
}
