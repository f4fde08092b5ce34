//! On which side of a company's edge a leg's media are, and their way from one side to the other within
//! the call (TDR-LMO-010, TDR-LMO-020). A stream that is switched on again goes the same way, to another port on the
//! same side (MED-025).
//!
//! The relay is asked for a port on the other side while everything goes on. Once it is there the peer is
//! told of it in our answer to its offer, or in an offer of ours ([`super::tell`]), and the leg moves when
//! that is agreed. Until then, and after a refusal, media are where they were.

use super::direct::may_go_past_us;
use super::names::MOST_NAMES;
use super::{A_LEG, Call, endpoint};
use crate::cause::Because;
use crate::config::Trunk;
use crate::event::{Happened, MediaRefusal};
use crate::id::LegId;
use crate::media::{MediaImage, Profile};
use crate::plane::Cx;
use crate::policy::local_media::{self, Choice, Faced, Side};
use crate::record::LocalMediaRecord;
use crate::sip::{Message, Status};
use bytes::Bytes;
use media_api::{EndpointId, Event as MediaEvent};
use std::sync::Arc;

/// Where a leg's media are. Nothing of it holds for a trunk without local media.
#[derive(Debug, Default)]
pub(super) struct LocalSide {
    /// Where they are, or will be once the present move is over.
    side: Option<Side>,
    is_due: bool,
    moving: Option<Box<Moving>>,
    /// Ports that the relay was asked for and that nobody wants any more.
    unwanted: Vec<EndpointId>,
    /// Where the leg still is while its peer is being told of another place.
    told_from: Option<Before>,
}

/// What a leg moves from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Before {
    /// The other side.
    Side(Side),
    /// A port of a stream that was switched off.
    Off,
}

/// A move for which the relay reserves a port.
#[derive(Debug)]
struct Moving {
    image: MediaImage,
    from: Before,
    /// What the peer offers and waits for our answer to.
    offer: Option<Option<Bytes>>,
}

impl LocalSide {
    /// A new leg of a trunk.
    pub(super) fn on(trunk: &Trunk, side: Side) -> Self {
        Self {
            side: trunk.local_media.is_some().then_some(side),
            ..Self::default()
        }
    }

    /// A leg that comes from another call, on the side where its media were there.
    pub(super) fn of_image(trunk: &Trunk, image: &MediaImage) -> Self {
        let internal = trunk.local_media.as_ref().map(|local| &local.internal);
        let is_internal = internal.is_some_and(|own| own.realm == image.profile().realm);
        Self::on(
            trunk,
            match is_internal {
                true => Side::Internal,
                false => Side::External,
            },
        )
    }

    /// Where the leg is, unless that is about to change.
    pub(super) fn kept(&self) -> Option<Option<Side>> {
        let is_quiet = !self.is_moving() && !self.is_told() && self.unwanted.is_empty();
        is_quiet.then_some(self.side)
    }

    /// Whether the leg will soon be elsewhere: nothing is offered to it before.
    pub(super) fn is_moving(&self) -> bool {
        self.is_due || self.moving.is_some()
    }

    /// Whether its peer is being told of another place.
    pub(super) fn is_told(&self) -> bool {
        self.told_from.is_some()
    }

    /// The leg stays where it is. A port that was asked for goes back once it is there.
    fn stays(&mut self, side: Side) {
        self.side = Some(side);
        self.is_due = false;
        let moving = self.moving.take();
        self.unwanted
            .extend(moving.map(|moving| moving.image.endpoint()));
    }
}

/// What a call of this trunk begins with: its media policy, and the choice behind it. Who calls for help is
/// not refused because a path is odd.
pub(super) fn of_request(
    trunk: &Trunk,
    request: &Message,
    is_emergency: bool,
) -> Result<Option<Choice>, crate::policy::Refusal> {
    if trunk.local_media.is_none() {
        return Ok(None);
    }
    match local_media::decide(trunk, request) {
        None => Ok(Some(Choice::usual())),
        Some(Err(refusal)) if is_emergency => {
            Ok(Some(Choice::external(refusal.because.0.join("; "))))
        }
        Some(decided) => decided.map(Some),
    }
}

/// What an answer of Teams says of the place of its user. There is a call already, which goes on without
/// anything that we could be asked for by mistake.
fn said_by(trunk: &Trunk, answer: &Message) -> Choice {
    match local_media::decide(trunk, answer) {
        None => Choice::usual(),
        Some(Ok(choice)) => choice,
        Some(Err(refusal)) => Choice::external(refusal.because.0.join("; ")),
    }
}

/// The media policy that a choice leads to.
pub(super) fn profile_of<'t>(trunk: &'t Trunk, choice: Option<&Choice>) -> &'t Arc<Profile> {
    let side = choice.map_or(Side::External, |choice| choice.side);
    local_media::profile_on(trunk, side)
}

impl Call {
    /// A leg to Teams is new: where its user is, shows in the answer.
    pub(super) fn guesses(&mut self, cx: &mut Cx<'_>, leg: LegId) {
        let Some(trunk) = self.trunk_of(leg) else {
            return;
        };
        let guess = match self.is_direct(leg) {
            true => Choice::guess_behind(trunk.fqdn.as_deref().unwrap_or_default()),
            false => Choice::guess(),
        };
        if let Some(own) = self.leg(leg) {
            own.local = LocalSide::on(&trunk, guess.side);
            self.chosen(cx, leg, guess, None);
        }
    }

    /// Whether media between the caller and who is called on this trunk can go past us: what Teams has said
    /// of the caller, or is about to say of who is called, leads to the SBC behind us, and that is the
    /// other party (TDR-LMO-010, TDR-LMO-020).
    pub(super) fn can_go_direct(&self, to: &Trunk) -> bool {
        let Some(from) = self.trunk_of(A_LEG) else {
            return false;
        };
        let said = self.record.local_media.iter().rev();
        let mut said = said.filter(|own| own.leg == A_LEG);
        let is_led = said
            .next()
            .is_some_and(|own| own.choice.faced == Faced::Downstream);
        (is_led && may_go_past_us(&from, to)) || may_go_past_us(to, &from)
    }

    /// Teams said that the SBC behind us faces the caller, and it is not reached without us.
    pub(super) fn stays_at_us(&mut self, cx: &mut Cx<'_>, because: &str) {
        let said = self.record.local_media.iter().rev();
        let last = said.map(|own| (own.leg, &own.choice));
        let last = last.filter(|(leg, _)| *leg == A_LEG).map(|(_, own)| own);
        if let Some(choice) = last.take(1).find(|own| own.faced == Faced::Downstream) {
            let choice = choice.clone().at_us(because);
            self.chosen(cx, A_LEG, choice, None);
        }
    }

    /// Notes a choice for a leg in the record, and why its media move because of it.
    pub(super) fn chosen(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        choice: Choice,
        moved: Option<&'static str>,
    ) {
        let Some(trunk) = self.trunk_of(leg) else {
            return;
        };
        let Some(local) = &trunk.local_media else {
            return;
        };
        if cx.plane.explains {
            let address = choice.address();
            let because = Because::of(format!("local media: {address}, {}", choice.rule));
            let what = Happened::Explained { because };
            cx.out.emit(Some(self.id), Some(leg), what);
        }
        let at_ms = self.elapsed_ms(cx.now);
        self.record.local_media.push(LocalMediaRecord {
            at_ms,
            leg,
            realm: match (choice.faced, choice.side) {
                (Faced::Downstream, _) => None,
                (Faced::Us, Side::Internal) => Some(local.realm.clone()),
                (Faced::Us, Side::External) => Some(trunk.realm.clone()),
            },
            choice,
            moved,
        });
    }

    /// Who was called has answered, and says where it is: if that is not where it was taken to be, it is
    /// offered the other address as soon as the caller has its answer (TDR-LMO-020).
    pub(super) fn answered_from(&mut self, cx: &mut Cx<'_>, leg: LegId, answer: &Message) {
        let Some((trunk, side)) = self.local_side(leg) else {
            return;
        };
        let choice = said_by(&trunk, answer);
        let is_direct = self.is_direct(leg);
        let choice = match is_direct {
            true => choice,
            false => choice.at_us("the caller is not behind us"),
        };
        let comes_back = is_direct && choice.faced == Faced::Us;
        let differs = choice.side != side;
        if let (true, Some(own)) = (differs, self.leg(leg)) {
            own.local.side = Some(choice.side);
            own.local.is_due = true;
        }
        if comes_back {
            self.anchor();
        }
        let moved = "the answer says otherwise than was guessed: re-INVITE with the other address";
        self.chosen(cx, leg, choice, (differs || comes_back).then_some(moved));
    }

    /// As [`Self::answered_from`], for who takes a place in a call that is there: the target of a transfer by its
    /// answer, or a newcomer by its INVITE. Where Teams says so, and the other party is the SBC behind us, media go
    /// past us once both have been told.
    pub(super) fn comes_from(&mut self, cx: &mut Cx<'_>, leg: LegId, said: &Message) {
        let Some((trunk, side)) = self.local_side(leg) else {
            return;
        };
        let choice = said_by(&trunk, said);
        let behind = self.other(leg).and_then(|other| self.trunk_of(other));
        let can_go = behind.is_some_and(|other| may_go_past_us(&trunk, &other));
        let choice = match (choice.faced, self.bridge.filter(|_| can_go)) {
            (Faced::Downstream, Some((a, b))) => {
                self.go_direct_once_told(a, b);
                choice
            }
            (Faced::Downstream, None) => choice.at_us("the other party is not behind us"),
            (Faced::Us, _) => choice,
        };
        let differs = choice.side != side;
        if let (true, Some(own)) = (differs, self.leg(leg)) {
            own.local.side = Some(choice.side);
            own.local.is_due = true;
        }
        let moved = "the answer says otherwise than was guessed: re-INVITE with the other address";
        self.chosen(cx, leg, choice, differs.then_some(moved));
    }

    fn local_side(&self, leg: LegId) -> Option<(Arc<Trunk>, Side)> {
        let own = self.legs.get(&leg)?;
        Some((Arc::clone(&own.session.style().trunk), own.local.side?))
    }

    /// A peer's offer says where its user is now: where that is the other side, the offer waits for a port
    /// there. Returns the offer if it can be answered now, and a status if it cannot be at all.
    pub(super) fn offered_from(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        offer: Option<Bytes>,
    ) -> Result<Option<Option<Bytes>>, Status> {
        let Some((trunk, side)) = self.local_side(leg) else {
            return Ok(Some(offer));
        };
        let request = self
            .legs
            .get(&leg)
            .and_then(|leg| leg.session.peer_offer_request());
        let decided = request.and_then(|request| local_media::decide(&trunk, request));
        let choice = match decided {
            None => return Ok(Some(offer)),
            // Who calls for help is not refused because a path is odd.
            Some(Err(refusal)) if self.record.emergency => {
                Choice::external(refusal.because.0.join("; "))
            }
            Some(Err(refusal)) => {
                let status = refusal.status;
                let choice = Choice {
                    side,
                    ..Choice::external(refusal.because.0.join("; "))
                };
                self.chosen(cx, leg, choice, None);
                self.media_refused(cx, leg, MediaRefusal::Path);
                return Err(status);
            }
            Some(Ok(choice)) => choice,
        };
        let choice = self.replan(leg, &trunk, choice);
        let is_known = self
            .record
            .local_media
            .iter()
            .rev()
            .find(|own| own.leg == leg);
        let other_place = "an offer of Teams says that the user's place is another";
        let own = self.legs.get(&leg);
        let is_going = own.is_some_and(|own| own.local.is_moving());
        if choice.side == side && !is_going {
            let has_moved = is_known.is_some_and(|known| known.choice.faced != choice.faced);
            if is_known.is_none_or(|known| known.choice != choice) {
                self.chosen(cx, leg, choice, has_moved.then_some(other_place));
            }
            return Ok(Some(offer));
        }
        if choice.side == side {
            // The leg is on its way there. Where it still is, is the address of the other side.
            self.chosen(cx, leg, choice, None);
            let moving = self.leg(leg).and_then(|own| own.local.moving.as_mut());
            match moving {
                Some(moving) => moving.offer = Some(offer),
                None => self.begin_move(cx, leg, Some(offer)),
            }
            return Ok(None);
        }
        if is_going {
            // It never was where it should have gone, and is where its peer wants it.
            if let Some(own) = self.leg(leg) {
                own.local.stays(choice.side);
            }
            self.chosen(cx, leg, choice, None);
            return Ok(Some(offer));
        }
        if let Some(own) = self.leg(leg) {
            own.local.side = Some(choice.side);
        }
        self.chosen(cx, leg, choice, Some(other_place));
        self.begin_move(cx, leg, Some(offer));
        Ok(None)
    }

    /// Within the call media go past us, or come back, as Teams says. Both parties are told by what follows.
    fn replan(&mut self, leg: LegId, teams: &Trunk, choice: Choice) -> Choice {
        let parties = self.bridge.filter(|(a, b)| leg == *a || leg == *b);
        let behind = self.other(leg).and_then(|other| self.trunk_of(other));
        let can_go = behind.is_some_and(|other| may_go_past_us(teams, &other));
        match (choice.faced, parties.filter(|_| can_go)) {
            (Faced::Downstream, Some((a, b))) => {
                if !self.is_direct(leg) {
                    self.go_direct(a, b);
                }
                choice
            }
            (Faced::Downstream, None) => choice.at_us("the other party is not behind us"),
            (Faced::Us, _) => {
                if self.is_direct(leg) {
                    self.anchor();
                }
                choice
            }
        }
    }

    /// Begins the moves that are due, where nothing else is under way.
    pub(super) fn move_media(&mut self, cx: &mut Cx<'_>) {
        if self.operation.is_some() || !self.media.is_active() {
            return;
        }
        let due = |leg: &super::Leg| {
            leg.local.is_due && leg.local.moving.is_none() && !leg.session.is_over()
        };
        let leg = self
            .legs
            .iter()
            .find(|(_, leg)| due(leg))
            .map(|(id, _)| *id);
        if let Some(leg) = leg {
            self.begin_move(cx, leg, None);
        }
    }

    fn begin_move(&mut self, cx: &mut Cx<'_>, leg: LegId, offer: Option<Option<Bytes>>) {
        let Some((trunk, side)) = self.local_side(leg) else {
            return;
        };
        let Some(to) = self.take_name().map(endpoint) else {
            if let Some(own) = self.leg(leg) {
                own.local.side = Some(side.other());
                own.local.is_due = false;
            }
            self.has_not_moved(leg, MOST_NAMES);
            if offer.is_some() {
                self.refuse_offer_of(cx, leg, Status::NOT_ACCEPTABLE_HERE);
            }
            return;
        };
        let Some(own) = self.leg(leg) else {
            return;
        };
        let profile = Arc::clone(local_media::profile_on(&trunk, side));
        let image = own.image.moved_to(to, profile);
        own.local.is_due = false;
        self.await_port(cx, leg, image, Before::Side(side.other()), offer);
    }

    /// A peer offers a stream again that it had switched off: its offer waits for a port and keys of its own.
    pub(super) fn begin_anew(&mut self, cx: &mut Cx<'_>, leg: LegId, offer: Option<Bytes>) {
        let Some(to) = self.take_name().map(endpoint) else {
            return self.refuse_offer_of(cx, leg, Status::NOT_ACCEPTABLE_HERE);
        };
        if let Some(own) = self.leg(leg) {
            let image = own.image.moved(to);
            self.await_port(cx, leg, image, Before::Off, Some(offer));
        }
    }

    /// Leaves an offer to the port that is asked for already; gives it back if there is none.
    pub(super) fn waits_for_port(
        &mut self,
        leg: LegId,
        offer: Option<Bytes>,
    ) -> Option<Option<Bytes>> {
        match self.leg(leg).and_then(|leg| leg.local.moving.as_mut()) {
            Some(moving) => {
                moving.offer = Some(offer);
                None
            }
            None => Some(offer),
        }
    }

    fn await_port(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        image: MediaImage,
        from: Before,
        offer: Option<Option<Bytes>>,
    ) {
        let spec = image.spec();
        if let Some(own) = self.leg(leg) {
            own.local.moving = Some(Box::new(Moving { image, from, offer }));
            self.media.allocate_beside(cx, spec);
        }
    }

    /// Takes what the relay says of a port for a move; anything else is not for here.
    pub(super) fn is_moved(&mut self, cx: &mut Cx<'_>, event: &MediaEvent) -> bool {
        let asked = match event {
            MediaEvent::Allocated { endpoints, .. } => endpoints.first().map(|own| own.endpoint),
            MediaEvent::Refused { endpoints, .. } => endpoints.first().copied(),
            _ => None,
        };
        let Some(asked) = asked else { return false };
        let is_unwanted = self.legs.values_mut().any(|leg| {
            let at = leg.local.unwanted.iter().position(|own| *own == asked);
            at.map(|at| leg.local.unwanted.swap_remove(at)).is_some()
        });
        if is_unwanted {
            if matches!(event, MediaEvent::Allocated { .. }) && self.media.is_active() {
                self.media.release_beside(cx, asked);
            }
            return true;
        }
        let is_asked = |leg: &super::Leg| {
            let moving = leg.local.moving.as_ref();
            moving.is_some_and(|moving| moving.image.endpoint() == asked)
        };
        let found = self.legs.iter().find(|(_, leg)| is_asked(leg));
        let Some(id) = found.map(|(id, _)| *id) else {
            return false;
        };
        let Some(leg) = self.legs.get_mut(&id) else {
            return true;
        };
        let is_quiet = self.operation.is_none() && !leg.session.is_over();
        let Some(moving) = leg.local.moving.take() else {
            return true;
        };
        let Moving {
            mut image,
            from,
            offer,
        } = *moving;
        let refused = match event {
            // The offer of the stream was taken back, so the stream stays off.
            MediaEvent::Allocated { .. } if from == Before::Off && offer.is_none() => {
                if self.media.is_active() {
                    self.media.release_beside(cx, asked);
                }
                return true;
            }
            MediaEvent::Allocated { endpoints, .. } if is_quiet => {
                for local in endpoints {
                    image.allocated(local);
                }
                image.set_direct(leg.image.is_direct());
                leg.image.tell_of(image);
                leg.local.told_from = Some(from);
                self.media.prepare_move(endpoint(id), asked);
                None
            }
            MediaEvent::Allocated { .. } => {
                // A transfer has begun meanwhile: what is due is looked at again after it.
                leg.local.is_due = from != Before::Off;
                if self.media.is_active() {
                    self.media.release_beside(cx, asked);
                }
                Some(Status::REQUEST_PENDING)
            }
            _ => {
                if let Before::Side(before) = from {
                    leg.local.side = Some(before);
                }
                if let MediaEvent::Refused { why, .. } = event {
                    self.media_refused(cx, id, MediaRefusal::Relay(*why));
                }
                if matches!(from, Before::Side(_)) {
                    self.has_not_moved(id, "its realm has no media port left");
                }
                Some(Status::NOT_ACCEPTABLE_HERE)
            }
        };
        match (offer, refused) {
            (Some(offer), None) => self.answer_offer_of(cx, id, offer),
            // It must not be told the address of the other side.
            (Some(_), Some(status)) => self.refuse_offer_of(cx, id, status),
            (None, None) => self.agreed_in_vain(id),
            (None, Some(_)) => {}
        }
        true
    }

    /// What came to nothing says nothing of a leg's move: that is tried again.
    pub(super) fn move_again(&mut self, leg: LegId) {
        if let Some(leg) = self.leg(leg) {
            leg.local.is_due |= matches!(leg.local.told_from, Some(Before::Side(_)));
        }
    }

    fn has_not_moved(&mut self, id: LegId, why: &str) {
        let mut own = self.record.local_media.iter_mut().rev();
        if let Some(own) = own.find(|own| own.leg == id) {
            let rule = &mut own.choice.rule;
            rule.push_str(&format!("; {why}, and nothing has moved"));
        }
    }

    /// Ends the moves that the peers have agreed to, or have not.
    pub(super) fn conclude_moves(&mut self, cx: &mut Cx<'_>) {
        let told = |(_, leg): &(&LegId, &super::Leg)| leg.local.told_from.is_some();
        let told: Vec<LegId> = self.legs.iter().filter(told).map(|(id, _)| *id).collect();
        for id in told {
            self.conclude_move(cx, id);
        }
    }

    fn conclude_move(&mut self, cx: &mut Cx<'_>, id: LegId) {
        let prepared = self.media.prepared(endpoint(id));
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        let Some(to) = prepared else {
            leg.local.told_from = None;
            // The relay forgets with the old port what it was told about its digits, and its keys.
            leg.keys.intake = Default::default();
            leg.fresh_key = None;
            return;
        };
        if leg.image.endpoint() == to {
            return;
        }
        let before = leg.local.told_from.take();
        if let Some(Before::Side(before)) = before.filter(|_| !leg.local.is_due) {
            leg.local.side = Some(before);
            self.has_not_moved(id, "the other address was not agreed to");
        }
        self.media.give_up_move(cx, endpoint(id));
    }

    /// The offer that waited for a move has gone.
    pub(super) fn move_alone(&mut self, leg: LegId) {
        if let Some(moving) = self.leg(leg).and_then(|leg| leg.local.moving.as_mut()) {
            moving.offer = None;
        }
    }
}
