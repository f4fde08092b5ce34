//! What a call takes of limits: some as a whole, some with each leg, given back as soon as the leg
//! has its end (SIP-1730).

use super::{A_LEG, Call, Leg, Room, room};
use crate::config::{CallLimits, Trunk};
use crate::event::Happened;
use crate::id::{LegId, RouteName};
use crate::media::rate;
use crate::plane::{Cx, Plane};
use crate::policy::admission::{self, Counted, Full, Place, Standing, Subject};
use crate::policy::spend::Payer;
use std::sync::Arc;

/// The places of one call.
#[derive(Debug, Default)]
pub(super) struct Places {
    standing: Standing,
    /// Those of a leg, and without one those of the call.
    taken: Vec<(Option<LegId>, Place)>,
}

/// A way that a party of the call has chosen for it: by a transfer, or a redirection.
#[derive(Debug)]
pub(super) struct OtherWay {
    /// Trunk of who has chosen it.
    pub(super) by: Arc<Trunk>,
    /// The route.
    pub(super) route: RouteName,
    /// Whom it leads to.
    pub(super) called: String,
    /// Who calls there.
    pub(super) calling: String,
}

/// Places that a call brings with it.
#[derive(Debug, Default)]
pub(crate) struct Entrance {
    /// What it may ask for.
    pub(crate) standing: Standing,
    /// Places of the call as a whole.
    pub(crate) of_call: Vec<Place>,
    /// Those of the leg that it came on.
    pub(crate) of_caller: Vec<Place>,
    /// On whose account it is.
    pub(crate) payers: Vec<Payer>,
}

impl From<Entrance> for Places {
    fn from(entrance: Entrance) -> Self {
        let of_call = entrance.of_call.into_iter().map(|place| (None, place));
        let of_caller = entrance.of_caller.into_iter();
        let of_caller = of_caller.map(|place| (Some(A_LEG), place));
        Self {
            standing: entrance.standing,
            taken: of_call.chain(of_caller).collect(),
        }
    }
}

impl Places {
    /// Most calls have few, for as long as they last.
    fn enter(&mut self, leg: Option<LegId>, place: Place) {
        self.taken.reserve_exact(1);
        self.taken.push((leg, place));
    }

    /// Whether the call goes before others.
    pub(super) fn are_urgent(&self) -> bool {
        self.standing != Standing::Usual
    }

    /// The call is one for help from now on.
    pub(super) fn become_help(&mut self) {
        self.standing = Standing::Help;
    }

    /// Whether it is a call for help.
    pub(super) fn are_for_help(&self) -> bool {
        self.standing == Standing::Help
    }

    /// Whether the call has a place there.
    pub(super) fn count_on(&self, counted: &Counted) -> bool {
        self.iter().any(|place| place.counted() == counted)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Place> {
        self.taken.iter().map(|(_, place)| place)
    }

    /// Gives all of them back.
    pub(super) fn leave(&mut self, plane: &mut Plane) {
        for (_, place) in self.taken.drain(..) {
            plane.admission.give_back(place);
        }
    }
}

impl Call {
    /// What the call may ask for.
    pub(super) fn standing(&self) -> Standing {
        self.places.standing
    }

    /// Takes the places of a leg towards a trunk, and those of the way there where that is not the way
    /// that the call was let in on; and one of those that are transcoded.
    ///
    /// Where another leg of the same trunk is about to leave for it (TDR-XFR-020), it leaves as many on the
    /// trunk as this one takes, so none are asked for there.
    pub(super) fn take_places(
        &mut self,
        cx: &mut Cx<'_>,
        (leg, leaves): (LegId, Option<LegId>),
        trunk: &Trunk,
        (way, is_transcoded): (Option<&OtherWay>, bool),
    ) -> Result<(), Full> {
        let mut claims = admission::claims_outbound(trunk);
        let leaves = leaves.and_then(|leg| self.legs.get(&leg));
        let is_of_trunk =
            |own: &Leg| own.session.is_confirmed() && own.session.style().trunk.name == trunk.name;
        if leaves.is_some_and(is_of_trunk) {
            self.take(cx, leg, trunk, std::mem::take(&mut claims), Standing::Help)?;
        }
        // One place is enough for a call, however many trunks ring in it (MED-242).
        if is_transcoded && !self.counts_as_transcoded() {
            claims.extend(admission::claim_to_transcode(&self.config));
        }
        if let Some(way) = way {
            let subject = Subject {
                tenant: self.tenant.as_ref(),
                trunk: &way.by,
                route: Some(&way.route),
                called: &way.called,
                calling: &way.calling,
            };
            let of_way = admission::claims_of_way(&self.config, &subject);
            // A call counts once on everything, however it got there.
            let is_new = |claim: &(Counted, CallLimits)| !self.places.count_on(&claim.0);
            claims.extend(of_way.into_iter().filter(is_new));
        }
        if self.places.are_for_help() {
            let kbits = admission::kbits(trunk, &claims);
            let lacking = cx.plane.admission.lacking(&claims, kbits);
            let lacking = lacking.into_iter().map(Room::Of).collect();
            let by = (self.id, &self.record.ingress.trunk);
            room::ask_for(cx.plane, by, lacking);
        }
        let taken = self.take(cx, leg, trunk, claims, self.places.standing);
        if taken.is_err() {
            self.leave_places(cx, leg);
        }
        taken
    }

    /// Takes the places of a leg that came from a trunk in the place of another one. Where that is of
    /// the same trunk it leaves as many as this one takes, so nothing is asked for.
    pub(super) fn take_places_instead(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        trunk: &Trunk,
        replaced: LegId,
    ) -> Result<(), Full> {
        let claims = admission::claims_inbound(trunk);
        let leaves = self.trunk_of(replaced);
        let standing = match leaves.is_some_and(|own| own.name == trunk.name) {
            true => Standing::Help,
            false => self.places.standing,
        };
        self.take(cx, leg, trunk, claims, standing)
    }

    /// Takes the places of a party that comes from another call. It talks already: no limit on new
    /// calls ends that.
    pub(super) fn keep_places(&mut self, cx: &mut Cx<'_>, leg: LegId, trunk: &Trunk) {
        let claims = admission::claims_outbound(trunk);
        // Help passes every limit.
        let _ = self.take(cx, leg, trunk, claims, Standing::Help);
    }

    /// What the limits claim that are not those of a trunk, with this one as the first.
    pub(super) fn claims_from(&self, first: &Trunk) -> Vec<(Counted, CallLimits)> {
        let record = &self.record;
        let subject = Subject {
            tenant: self.tenant.as_ref(),
            trunk: first,
            route: record.route_name.as_ref(),
            called: &record.called,
            calling: &record.calling,
        };
        admission::claims_of_call(&self.config, &subject)
    }

    /// Takes the places of a call of the process before this one. It talks already: no limit ends that, and it is no
    /// new call that any limit would have to be kept from.
    pub(super) fn take_places_again(&mut self, cx: &mut Cx<'_>, standing: Standing) {
        self.places.standing = standing;
        let Some(first) = self.trunk_of(A_LEG).or_else(|| {
            let (a, _) = self.bridge?;
            self.trunk_of(a)
        }) else {
            return;
        };
        let record = &self.record;
        let of_call = self.claims_from(&first);
        let mut all = vec![(None, Arc::clone(&first), of_call)];
        for (id, leg) in self.legs.iter() {
            let trunk = Arc::clone(&leg.session.style().trunk);
            let was_called = record.egress.iter().any(|attempt| attempt.leg == *id);
            let claims = match was_called {
                true => admission::claims_outbound(&trunk),
                false => admission::claims_inbound(&trunk),
            };
            all.push((Some(*id), trunk, claims));
        }
        for (leg, trunk, claims) in all {
            let kbits = admission::kbits(&trunk, &claims);
            let counted = claims.into_iter().map(|(counted, _)| counted);
            let claims = counted.map(|own| (own, CallLimits::default())).collect();
            let admission = &mut cx.plane.admission;
            let taken = admission.take(cx.now.mono, claims, kbits, Standing::Help);
            for mut place in taken.unwrap_or_default() {
                admission.answered(&mut place);
                self.places.enter(leg, place);
            }
        }
    }

    /// Takes the place of a caller that is refused as soon as it has heard why, unless it has one of a call.
    pub(super) fn take_place_to_hear(
        &mut self,
        cx: &mut Cx<'_>,
        trunk: &Trunk,
    ) -> Result<(), Full> {
        if self.places.iter().next().is_some() {
            return Ok(());
        }
        let claims = vec![admission::claim_to_hear(trunk)];
        self.take(cx, A_LEG, trunk, claims, self.places.standing)
    }

    /// Whether the call has a place among those that are transcoded.
    pub(super) fn counts_as_transcoded(&self) -> bool {
        self.places.count_on(&Counted::Transcoding)
    }

    /// Whether the call has such a place, or there is one for what it may never need: the last quarter of them is
    /// for those who cannot talk otherwise.
    pub(super) fn has_place_to_spare(&self, cx: &Cx<'_>) -> bool {
        let mut claims = Vec::from_iter(admission::claim_to_transcode(&self.config));
        for (_, limits) in &mut claims {
            limits.calls = limits.calls.map(|most| most - most / 4);
        }
        self.counts_as_transcoded() || cx.plane.admission.lacking(&claims, 0).is_empty()
    }

    /// Takes the place of a call that is transcoded already, because its parties have chosen that since. No
    /// limit ends what they say; it counts for those who come.
    pub(super) fn take_place_to_transcode(&mut self, cx: &mut Cx<'_>, leg: LegId, trunk: &Trunk) {
        let claims = admission::claim_to_transcode(&self.config);
        let claims = Vec::from_iter(claims);
        // Help passes every limit.
        let _ = self.take(cx, leg, trunk, claims, Standing::Help);
    }

    /// Gives the places of those that are transcoded back.
    pub(super) fn leave_places_to_transcode(&mut self, cx: &mut Cx<'_>) {
        let is_it = |(_, own): &mut (Option<LegId>, Place)| *own.counted() == Counted::Transcoding;
        for (_, place) in self.places.taken.extract_if(.., is_it) {
            cx.plane.admission.give_back(place);
        }
    }

    fn take(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        trunk: &Trunk,
        claims: Vec<(Counted, CallLimits)>,
        standing: Standing,
    ) -> Result<(), Full> {
        let kbits = admission::kbits(trunk, &claims);
        let admission = &mut cx.plane.admission;
        let taken = match admission.take(cx.now.mono, claims, kbits, standing) {
            Ok(taken) => taken,
            Err(full) => {
                let what = Happened::LimitReached {
                    tenant: self.tenant.clone(),
                    full: Box::new(full.clone()),
                };
                cx.out.emit(Some(self.id), Some(leg), what);
                return Err(full);
            }
        };
        for mut place in taken {
            if self.answered.is_some() {
                admission.answered(&mut place);
            }
            self.places.enter(Some(leg), place);
        }
        Ok(())
    }

    /// The call is answered: it is no set-up any more.
    pub(super) fn places_answered(&mut self, cx: &mut Cx<'_>) {
        for (_, place) in &mut self.places.taken {
            cx.plane.admission.answered(place);
        }
    }

    /// The call counts with the codecs that its legs have agreed on, and no more with the costliest that
    /// they might have.
    pub(super) fn rate_places(&mut self, cx: &mut Cx<'_>) {
        if self.answered.is_none() {
            return;
        }
        let counted = self.places.taken.iter_mut();
        for (leg, place) in counted.filter(|(_, place)| place.kbits() > 0) {
            // What the call as a whole counts on, it counts on as it came.
            let image = self.legs.get(&leg.unwrap_or(A_LEG)).map(|leg| &leg.image);
            if let Some((image, agreed)) = image.and_then(|own| Some((own, own.committed()?))) {
                let kbits = rate::agreed(image.profile(), agreed.codec());
                cx.plane.admission.rated(place, kbits);
            }
        }
    }

    /// A leg has its end, or did not come to be.
    pub(super) fn leave_places(&mut self, cx: &mut Cx<'_>, leg: LegId) {
        self.close_bill(cx, leg);
        let is_its = |(own, _): &mut (Option<LegId>, Place)| *own == Some(leg);
        for (_, place) in self.places.taken.extract_if(.., is_its) {
            cx.plane.admission.give_back(place);
        }
    }

    /// Gives back the places of legs that have their end.
    pub(super) fn leave_ended_places(&mut self, cx: &mut Cx<'_>) {
        let ended = self.legs.iter().filter(|(_, leg)| leg.session.is_over());
        let ended: Vec<LegId> = ended.map(|(id, _)| *id).collect();
        for leg in ended {
            self.leave_places(cx, leg);
        }
    }
}
