//! Offers of ours within an established call: what one leg does is told to the other (SIP-551), and
//! what only the other leg can answer is asked of it.
//!
//! What a leg has to be told is not remembered but derived: it follows from what is in force on the
//! other leg ([`interwork::owes`]). So it does not matter in which order changes of both sides
//! cross, and a glare only delays: when a leg is free again, what it still has to know is offered.

use super::sound::Interlude;
use super::{Call, Leg, Operation, endpoint, images};
use crate::cause::{Because, CauseCode, EndedBy};
use crate::config::Trunk;
use crate::event::Happened;
use crate::id::LegId;
use crate::media::{Incompatible, Unusable, interwork, read};
use crate::plane::Cx;
use crate::policy::emergency::Parts;
use crate::policy::{isup, relayed_auth};
use crate::sdp::{Description, Direction, Limits};
use crate::session::{TIMER_EXPIRED, is_gone};
use crate::sip::header::{MaxForwards, Reason};
use crate::sip::{HeaderName, Message, Method, Status};
use crate::time::Timestamp;
use crate::trouble::Trouble;
use bytes::Bytes;
use media_api::{CryptoKey, ForkId, Stage};
use std::time::Duration;

/// How long a leg's offer may wait for the other leg. An UPDATE must be answered at once, and its
/// transaction lasts 32 s (SIP-530); a re-INVITE has a user behind it who waits.
const ASK_LIMIT: Duration = Duration::from_secs(10);

/// Our outstanding offer on a leg, and what for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// It is told this direction, which is that of the leg it talks to.
    Tell(Option<Direction>, LegId),
    /// It is asked on behalf of the other leg, whose own offer waits for it.
    Ask {
        /// The leg that waits.
        asker: LegId,
    },
    /// Nobody waits for the answer any more.
    Forgotten,
}

/// What a leg may have to be told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Telling {
    /// The outstanding offer.
    pub(super) change: Option<Change>,
    /// What the peer refused to be told; not offered again until it would be something else.
    refused: Option<Direction>,
    /// The peer agreed to what we could not keep: it has to be told what is in force.
    is_stale: bool,
    /// How often it has been told since a peer offered anything itself.
    times: u8,
    /// When a key of it was worn last.
    worn_at: Option<Timestamp>,
}

impl Telling {
    /// What is to be known of it in the process after this one; nothing while an offer is open.
    pub(super) fn kept(&self) -> Option<(Option<Direction>, (bool, u8))> {
        let told = (self.refused, (self.is_stale, self.times));
        self.change.is_none().then_some(told)
    }

    /// That of a leg of the process before this one.
    pub(super) fn of_kept((refused, (is_stale, times)): (Option<Direction>, (bool, u8))) -> Self {
        Self {
            refused,
            is_stale,
            times,
            ..Self::default()
        }
    }

    /// Whether the peer does not know what is in force, and has not been offered it yet.
    pub(super) fn is_stale(&self) -> bool {
        self.is_stale
    }
}

/// How often a leg is told of the other between two offers of the peers. Peers that answer each
/// telling with another wish would keep us telling for ever.
const MOST_TELLINGS: u8 = 4;

/// Least time between two new keys on one leg. A peer whose keys last for a few packets would have us offer another
/// one with each of its answers; such a key is heard on after its end, as the relay leaves that to the peer.
const RENEWALS_APART: Duration = Duration::from_secs(5);

impl Call {
    /// Tells each leg what it does not know of the other, where there is room for an offer.
    pub(super) fn tell(&mut self, cx: &mut Cx<'_>) {
        match &self.operation {
            None => {
                if let Some((a, b)) = self.bridge {
                    self.tell_leg(cx, a, b);
                    self.tell_leg(cx, b, a);
                }
            }
            Some(Operation::Transfer(transfer)) => {
                if let Some(own) = transfer.interlude() {
                    self.tell_meanwhile(cx, own);
                }
                self.refresh_legs(cx);
            }
            Some(Operation::Replace(_)) => self.refresh_legs(cx),
            Some(Operation::Setup(_) | Operation::Teardown(_)) => {}
        }
    }

    /// Refreshes the sessions of a call whose target rings: that takes longer than some of them last
    /// (SIP-705, SIP-709).
    fn refresh_legs(&mut self, cx: &mut Cx<'_>) {
        let legs = self.bridge.into_iter().flat_map(|(a, b)| [a, b]);
        for leg in legs {
            let (Some(other), Some(own)) = (self.other(leg), self.legs.get_mut(&leg)) else {
                continue;
            };
            let is_due = own.session.refresh_is_due() && !own.session.is_telling();
            let is_free = own.telling.change.is_none() && own.session.may_offer();
            let waits = own.image.is_negotiating() || own.local.is_moving();
            if !is_due || !is_free || waits {
                continue;
            }
            if own.session.refreshes_by_update() {
                own.session.refresh(cx, Vec::new());
            } else if let Some(offer) = interwork::repeat(&mut own.image) {
                own.telling.change = Some(Change::Tell(own.telling.refused, other));
                own.session.offer(cx, offer);
                self.expect_answer(cx, leg);
            }
        }
    }

    /// While the target is called, both that talk still are told what the other one does, as long as that has not left
    /// (SIP-551); but whoever is transferred hears the target as soon as there is anything to hear of it.
    fn tell_meanwhile(&mut self, cx: &mut Cx<'_>, interlude: Interlude) {
        let transferee = interlude.transferee;
        let has_sound = interlude.has_sound();
        if has_sound {
            self.tell_of_ringing(cx, transferee);
        }
        let Some(transferor) = self.other(transferee) else {
            return;
        };
        let is_up = |leg| {
            let leg: Option<&Leg> = self.legs.get(&leg);
            leg.is_some_and(|own| own.session.is_confirmed())
        };
        if !is_up(transferor) || !is_up(transferee) {
            return;
        }
        self.tell_leg(cx, transferor, transferee);
        if !has_sound {
            self.tell_leg(cx, transferee, transferor);
        }
    }

    /// A transferred party that was told of a hold is told that it is over as soon as there is something to
    /// hear of the target (SIP-804). If the transfer fails it owes to know of the hold again, as always.
    fn tell_of_ringing(&mut self, cx: &mut Cx<'_>, leg: LegId) {
        let wanted = Some(Direction::SendRecv);
        let Some(other) = self.other(leg) else { return };
        let Some(told) = self.legs.get(&leg) else {
            return;
        };
        let may_be_told = told.telling.refused != wanted && told.telling.times < MOST_TELLINGS;
        let is_free = told.telling.change.is_none() && told.session.may_offer();
        let waits = told.image.is_negotiating() || told.local.is_moving();
        if !interwork::misses_ringing(&told.image) || !may_be_told || !is_free || waits {
            return;
        }
        let offer = images(&mut self.legs, leg, other)
            .ok_or(Unusable::OutOfOrder.into())
            .and_then(|(x, y)| interwork::tell_ringing(x, y));
        let Some(told) = self.legs.get_mut(&leg) else {
            return;
        };
        match offer {
            Ok(offer) => {
                told.telling.change = Some(Change::Tell(wanted, other));
                told.session.offer(cx, offer);
                self.expect_answer(cx, leg);
            }
            Err(_) => told.telling.refused = wanted,
        }
    }

    /// Somebody else is at the other end of a leg: what it would not hear of the one before it may of this.
    pub(super) fn tell_of_newcomer(&mut self, leg: LegId) {
        if let Some(leg) = self.legs.get_mut(&leg) {
            leg.telling.refused = None;
        }
    }

    /// Whether a leg does not know yet where the other one's media are, and nothing keeps it from being told.
    pub(super) fn may_be_told(&mut self, leg: LegId, other: LegId) -> bool {
        let Some((x, y)) = images(&mut self.legs, leg, other) else {
            return false;
        };
        let (wanted, is_misled) = (interwork::wanted(x, y), interwork::is_misled(x, y));
        let telling = self.legs.get(&leg).map(|own| own.telling);
        is_misled && telling.is_some_and(|own| own.refused != wanted && own.times < MOST_TELLINGS)
    }

    fn tell_leg(&mut self, cx: &mut Cx<'_>, leg: LegId, other: LegId) {
        let Some((x, y)) = images(&mut self.legs, leg, other) else {
            return;
        };
        let differs = self.newcomer == Some(other) && interwork::differs(x, y);
        // Where both legs lack the codec of the other, the caller is the one that was told too early. Where one
        // does, it would send first what the other has not (MED-203).
        let may_lack = leg == super::A_LEG || !interwork::lacks_codec(y, x);
        let lacks = may_lack && interwork::lacks_codec(x, y);
        let (wanted, owes) = (interwork::wanted(x, y), interwork::owes(x, y));
        let owes = owes || differs || lacks || interwork::is_misled(x, y) || interwork::is_loose(x);
        // It has no port any more: what is due is told when its stream comes back.
        let owes = owes && !x.is_switched_off();
        let other_moves = self
            .legs
            .get(&other)
            .is_some_and(|own| own.local.is_moving());
        let Some(told) = self.legs.get_mut(&leg) else {
            return;
        };
        if !owes {
            told.telling.refused = None;
        }
        if let Some(unsaid) = told.session.take_unsaid() {
            told.identity.keep(unsaid);
        }
        let may_be_told = told.telling.refused != wanted && told.telling.times < MOST_TELLINGS;
        // A fax has no key, and an offer of audio would end it.
        let is_renewal =
            !told.image.is_fax() && (told.fresh_key.is_some() || told.image.is_renewing());
        let is_due = told.telling.is_stale || is_renewal || (owes && may_be_told);
        // What is said is heard before anything else is said of it.
        let is_telling = told.session.is_telling();
        let is_refresh = told.session.refresh_is_due() && !is_telling;
        let is_news = told.identity.is_due(&told.session) && !is_telling;
        let is_free = told.telling.change.is_none() && told.session.may_offer();
        let moves = told.local.is_moving() || other_moves;
        let waits = !is_free || told.image.is_negotiating() || moves;
        if !(is_due || is_refresh || is_news) || waits {
            return;
        }
        if let Some(fresh) = told.fresh_key.take_if(|_| is_renewal) {
            told.image.renew(*fresh);
        }
        if !is_due && told.session.refreshes_by_update() {
            let lines = told.identity.take();
            return told.session.refresh(cx, lines);
        }
        let offer = images(&mut self.legs, leg, other)
            .ok_or(Unusable::OutOfOrder.into())
            .and_then(|(x, y)| match is_due {
                true => interwork::tell(x, y),
                // A refresh says what was said before, octet by octet (SIP-707).
                false => interwork::repeat(x).map_or_else(|| interwork::tell(x, y), Ok),
            });
        let Some(told) = self.legs.get_mut(&leg) else {
            return;
        };
        told.telling.is_stale = false;
        match offer {
            Ok(offer) => {
                told.telling.change = Some(Change::Tell(wanted, other));
                let lines = match is_telling {
                    true => Vec::new(),
                    false => told.identity.take(),
                };
                told.session.offer_with(cx, offer, lines);
                self.expect_answer(cx, leg);
            }
            Err(_) => {
                told.image.keep_key();
                told.telling.refused = wanted;
            }
        }
    }

    /// An offer of ours is on its way: what its peer says under another key before the answer is here is kept for it.
    pub(super) fn expect_answer(&self, cx: &mut Cx<'_>, leg: LegId) {
        if self.legs.get(&leg).is_some_and(|own| own.image.has_keys()) {
            self.media.expect(cx, endpoint(leg));
        }
    }

    /// A key of a leg is nearly used up: its peer is offered a new one of ours as soon as there is room, and
    /// may have one of its own in its answer (MED-107).
    pub(super) fn key_worn(&mut self, now: Timestamp, leg: LegId, fresh: &CryptoKey) {
        let Some(leg) = self.legs.get_mut(&leg) else {
            return;
        };
        let before = leg.telling.worn_at;
        if before.is_none_or(|before| now.since(before) >= RENEWALS_APART) {
            leg.telling.worn_at = Some(now);
            leg.fresh_key = Some(Box::new(fresh.clone()));
        }
    }

    /// A peer has offered something itself: both legs may be told again.
    pub(super) fn tellings_begin_anew(&mut self) {
        for leg in self.legs.values_mut() {
            leg.telling.times = 0;
        }
    }

    /// Asks `asked` for what only it can answer, for the offer of `asker`; the request goes as far as that may
    /// (SIP-403).
    pub(super) fn ask(
        &mut self,
        cx: &mut Cx<'_>,
        asker: LegId,
        asked: LegId,
        offer: &Description,
    ) -> Result<(), Status> {
        let is_free = self
            .legs
            .get(&asked)
            .is_some_and(|leg| leg.telling.change.is_none() && leg.session.may_offer());
        if !is_free {
            // Both sides change at once; the other side's change goes first (SIP-541).
            return Err(Status::REQUEST_PENDING);
        }
        let request = self.legs.get(&asker);
        let request = request.and_then(|leg| leg.session.peer_offer_request());
        let hops = request.map_or(Some(MaxForwards::DEFAULT), MaxForwards::onward);
        let hops = hops.ok_or(Status::TOO_MANY_HOPS)?;
        let (shown, parts) = self.along(asker, asked, request);
        let written = images(&mut self.legs, asker, asked)
            .ok_or(Unusable::OutOfOrder.into())
            .and_then(|(x, y)| interwork::offer(read(offer, x.profile()), x, y));
        let body = written.map_err(|why| status_of(&why))?;
        if let Some(leg) = self.legs.get_mut(&asked) {
            leg.telling.change = Some(Change::Ask { asker });
            leg.session.offer_onward(cx, body, hops, (shown, &parts));
        }
        self.expect_answer(cx, asked);
        let limit = cx.now.mono + ASK_LIMIT;
        self.timers.set(super::Timer::Ask as usize, limit);
        Ok(())
    }

    /// A peer has agreed to what is not in force: it is told what is, as soon as there is room.
    pub(super) fn agreed_in_vain(&mut self, leg: LegId) {
        if let Some(leg) = self.legs.get_mut(&leg) {
            leg.telling.is_stale = true;
        }
    }

    /// What of a request of one leg goes with the offer that it makes us make on another.
    pub(super) fn along(
        &self,
        from: LegId,
        to: LegId,
        request: Option<&Message>,
    ) -> (Vec<(HeaderName, Bytes)>, Parts) {
        let trunks = (self.trunk_of(from), self.trunk_of(to));
        let (Some(request), (Some(own), Some(other))) = (request, trunks) else {
            return Default::default();
        };
        let shown = match may_show(request) {
            true => relayed_auth::proofs(request, &own, &other),
            false => Vec::new(),
        };
        (shown, self.isup_of(from, request, &own, &other))
    }

    /// The ISUP that a party says within the call; nothing of one that wanted to stay unknown when it called.
    fn isup_of(&self, leg: LegId, said: &Message, from: &Trunk, to: &Trunk) -> Parts {
        isup::parts(said, self.speaker(leg), from, to)
    }

    /// A party as one that says something in ISUP: what it has wished when it called, nothing of one that was called.
    pub(super) fn speaker(&self, leg: LegId) -> isup::Speaker {
        let party = self.parties.get(&leg);
        isup::Speaker {
            wishes: party.map(|party| party.privacy).unwrap_or_default(),
            is_in_need: self.record.emergency && self.seeks_help == self.side(leg),
        }
    }

    /// Has the answer to the leg that asked say what the one that was asked has said beside. Gives the status of a challenge
    /// that is for the asker.
    fn answers_along(&mut self, asked: LegId, asker: LegId) -> Option<Status> {
        let heard = self.legs.get_mut(&asked)?.session.take_reply()?;
        let (from, to) = (self.trunk_of(asked)?, self.trunk_of(asker)?);
        let parts = self.isup_of(asked, &heard, &from, &to);
        let request = self.legs.get(&asker)?.session.peer_offer_request();
        let lines = match request.is_some_and(may_show) {
            true => relayed_auth::challenges(&heard, &to, &from),
            false => Vec::new(),
        };
        let status = heard.status().filter(|_| !lines.is_empty());
        let asker = self.legs.get_mut(&asker)?;
        asker.session.attach_to_answer(lines, parts);
        status
    }

    /// Nobody waits for what a leg has said to our offer.
    fn forget_reply(&mut self, leg: LegId) {
        if let Some(own) = self.legs.get_mut(&leg) {
            drop(own.session.take_reply());
        }
    }

    /// A leg accepted our offer.
    pub(super) fn offer_answered(&mut self, cx: &mut Cx<'_>, leg: LegId, answer: Option<Bytes>) {
        let Some(change) = self.take_change(leg) else {
            return;
        };
        let answer = answer.and_then(|text| Description::parse(text, &Limits::default()).ok());
        let answer = answer.ok_or(Incompatible::from(Unusable::AnswerMismatch));
        match change {
            Change::Ask { asker } => {
                self.answers_along(leg, asker);
            }
            Change::Tell(..) | Change::Forgotten => self.forget_reply(leg),
        }
        let outcome = match change {
            Change::Tell(..) => answer.and_then(|answer| self.told(cx, leg, &answer)),
            Change::Ask { asker } => answer.and_then(|answer| self.asked(cx, leg, asker, &answer)),
            Change::Forgotten => Err(Unusable::OutOfOrder.into()),
        };
        let Err(why) = outcome else { return };
        // The peer has changed something, and we cannot follow: it is told what is in force, once.
        let status = status_of(&why);
        let asker = match change {
            Change::Ask { asker } => Some(asker),
            Change::Tell(..) | Change::Forgotten => None,
        };
        self.unchanged(cx, leg, asker, status);
        let is_of_other = |of| self.other(leg) == Some(of);
        let is_present = matches!(change, Change::Tell(_, of) if is_of_other(of));
        if let Some(leg) = self.legs.get_mut(&leg) {
            match change {
                Change::Tell(wanted, _) => {
                    leg.image.keep_key();
                    if is_present {
                        leg.telling.refused = wanted;
                    }
                    // It may send where nothing is any more.
                    leg.telling.is_stale = leg.local.is_told();
                }
                Change::Ask { .. } | Change::Forgotten => leg.telling.is_stale = true,
            }
        }
    }

    fn told(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        answer: &Description,
    ) -> Result<(), Incompatible> {
        let formats = &mut self.media.formats;
        let told = self.legs.get_mut(&leg).ok_or(Unusable::OutOfOrder)?;
        let facts = read(answer, told.image.profile());
        let negotiated = interwork::settle(&facts, &mut told.image, formats)?;
        told.image.commit();
        told.telling.times = told.telling.times.saturating_add(1);
        let (to, fork) = (endpoint(leg), ForkId::default());
        self.media.agreed(cx, to, fork, negotiated, Stage::Final);
        Ok(())
    }

    fn asked(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        asker: LegId,
        answer: &Description,
    ) -> Result<(), Incompatible> {
        let formats = &mut self.media.formats;
        let (x, y) = images(&mut self.legs, asker, leg).ok_or(Unusable::OutOfOrder)?;
        let facts = read(answer, y.profile());
        let done = interwork::answer(&facts, y, x, formats)?;
        x.commit();
        y.commit();
        let fork = ForkId::default();
        self.media
            .agreed(cx, endpoint(leg), fork, done.y, Stage::Final);
        self.media
            .agreed(cx, endpoint(asker), fork, done.x, Stage::Final);
        if let Some(asker) = self.legs.get_mut(&asker) {
            asker.session.answer_offer(cx, done.body);
        }
        Ok(())
    }

    /// A leg refused our offer, or it could not be made.
    pub(super) fn offer_refused(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        status: Status,
        again: bool,
    ) {
        if again && self.asks_anew(cx, leg, status) {
            return;
        }
        let Some(change) = self.take_change(leg) else {
            return;
        };
        let what = Happened::OfferRefused { status, again };
        cx.out.emit(Some(self.id), Some(leg), what);
        match change {
            Change::Tell(wanted, of) => {
                self.forget_reply(leg);
                self.unchanged(cx, leg, None, status);
                match again {
                    true => self.move_again(leg),
                    false if self.other(leg) == Some(of) => self.wont_be_told(cx, leg, wanted),
                    // Somebody else is there by now: nothing was refused of that one.
                    false => {
                        if let Some(leg) = self.leg(leg) {
                            leg.image.keep_key();
                        }
                    }
                }
            }
            Change::Ask { asker } => {
                let asks = self.answers_along(leg, asker);
                let asked = self.legs.get(&leg);
                let after = asked.and_then(|asked| asked.session.may_ask_after());
                let after = after.filter(|_| asks.is_none());
                if let (Some(after), Some(asker)) = (after, self.legs.get_mut(&asker)) {
                    asker.session.may_offer_after(after);
                }
                let status = match (asks, after) {
                    (Some(status), _) => status,
                    // It could not now, and may later: 503 would be about us (RFC 3261 §16.7).
                    (None, Some(_)) => Status::SERVER_INTERNAL_ERROR,
                    // Only something else that is under way has kept us from asking anew.
                    (None, None) if again => Status::REQUEST_PENDING,
                    (None, None) => passed_on(status),
                };
                self.unchanged(cx, leg, Some(asker), status);
            }
            Change::Forgotten => {
                self.forget_reply(leg);
                self.unchanged(cx, leg, None, status);
            }
        }
    }

    /// A leg was asked for the other one and wants nothing but a longer session interval (SIP-706): it is asked anew, and
    /// the one that waits goes on waiting.
    fn asks_anew(&mut self, cx: &mut Cx<'_>, id: LegId, status: Status) -> bool {
        let asked = self.legs.get_mut(&id);
        let asked = asked.filter(|leg| matches!(leg.telling.change, Some(Change::Ask { .. })));
        let is_asked = asked.is_some_and(|leg| leg.session.offer_anew(cx));
        if is_asked {
            let again = true;
            let what = Happened::OfferRefused { status, again };
            cx.out.emit(Some(self.id), Some(id), what);
        }
        is_asked
    }

    /// A leg refuses for good what it was told. If that was the codec of a newcomer, the two cannot
    /// talk to each other.
    fn wont_be_told(&mut self, cx: &mut Cx<'_>, id: LegId, wanted: Option<Direction>) {
        if let Some(leg) = self.leg(id) {
            leg.image.keep_key();
            leg.telling.refused = wanted;
        }
        let newcomer = self.newcomer.filter(|own| self.other(id) == Some(*own));
        let Some((x, y)) = newcomer.and_then(|other| images(&mut self.legs, id, other)) else {
            return;
        };
        if interwork::differs(x, y) && !interwork::is_transcoded(x, y) {
            let because = format!("leg {} refuses the codec of the new party", id.0);
            let (by, code) = (EndedBy::Us, CauseCode::MediaIncompatible);
            self.end(
                cx,
                by,
                code,
                Because::of(because).named(Trouble::PartyCodec),
                &[],
            );
        }
    }

    /// The leg that asked waits too long for the other one (SIP-530): it is refused, and what the
    /// other leg still answers changes nothing.
    pub(super) fn ask_timeout(&mut self, cx: &mut Cx<'_>) {
        let waiting = self.legs.iter().find_map(|(id, leg)| {
            let Some(Change::Ask { asker }) = leg.telling.change else {
                return None;
            };
            Some((*id, asker))
        });
        let Some((asked, asker)) = waiting else {
            return;
        };
        if let Some(leg) = self.legs.get_mut(&asked) {
            leg.telling.change = Some(Change::Forgotten);
        }
        if let Some(leg) = self.legs.get_mut(&asker) {
            leg.image.rollback();
            leg.session.refuse_offer(cx, Status::SERVER_TIMEOUT);
        }
    }

    /// The leg that asked does not want the change any more: the other leg is asked to stop, so that the
    /// next change need not wait for somebody who takes long, and what it still answers changes nothing.
    pub(super) fn offer_cancelled(&mut self, cx: &mut Cx<'_>, asker: LegId) {
        for leg in self.legs.values_mut() {
            if leg.telling.change == Some(Change::Ask { asker }) {
                leg.telling.change = Some(Change::Forgotten);
                leg.session.take_offer_back(cx);
                self.timers.stop(super::Timer::Ask as usize);
            }
        }
        self.move_alone(asker);
        if let Some(leg) = self.legs.get_mut(&asker) {
            leg.image.rollback();
        }
    }

    /// A request of ours on this leg failed in a way that ends the call (SIP-545).
    pub(super) fn lost(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        method: &Method,
        status: Option<Status>,
    ) {
        let outcome = match status {
            Some(status) => format!("got {}", status.code()),
            None => "got no answer".to_owned(),
        };
        let because = Because::of(format!("{} on leg {} {outcome}", method.as_str(), leg.0));
        let because = self.with_trunk(because, leg);
        let because = because.named(match status {
            Some(_) => Trouble::InCallRefused,
            None => Trouble::InCallUnanswered,
        });
        let by = match status {
            Some(_) => self.side(leg),
            None => EndedBy::Us,
        };
        let reasons = [Reason::q850(TIMER_EXPIRED, None)];
        let reasons = match is_gone(status) {
            true => &reasons[..],
            false => &[],
        };
        self.end(cx, by, CauseCode::InCallFailure, because, reasons);
    }

    /// The facts, and at which trunk the leg is.
    fn with_trunk(&self, because: Because, leg: LegId) -> Because {
        match self.trunk_of(leg) {
            Some(trunk) => because.and(format!("that leg is at trunk \"{}\"", trunk.name)),
            None => because,
        }
    }

    /// Nobody refreshed the session of this leg (SIP-705).
    pub(super) fn unrefreshed(&mut self, cx: &mut Cx<'_>, leg: LegId, interval_s: u32) {
        let because = Because::of(format!(
            "the session of leg {} was not refreshed within {interval_s} s",
            leg.0
        ))
        .named(Trouble::SessionExpired);
        let because = self.with_trunk(because, leg);
        let reasons = [Reason::q850(TIMER_EXPIRED, None)];
        self.end(cx, EndedBy::Us, CauseCode::InCallFailure, because, &reasons);
    }

    /// Our offer on `leg` came to nothing, and with it the offer of the leg that waits for it.
    fn unchanged(&mut self, cx: &mut Cx<'_>, leg: LegId, asker: Option<LegId>, status: Status) {
        if let Some(own) = self.legs.get_mut(&leg) {
            own.image.rollback();
            if own.image.has_keys() {
                self.media.expect_no_more(cx, endpoint(leg));
            }
        }
        if let Some(asker) = asker.and_then(|asker| self.legs.get_mut(&asker)) {
            asker.image.rollback();
            asker.session.refuse_offer(cx, status);
        }
    }

    fn take_change(&mut self, leg: LegId) -> Option<Change> {
        let change = self.legs.get_mut(&leg)?.telling.change.take();
        if let Some(Change::Ask { .. }) = change {
            self.timers.stop(super::Timer::Ask as usize);
        }
        change
    }
}

/// Whether what is asked of the re-INVITE that we make of a peer's request can be shown with that request: a proof is one of its
/// method too (RFC 7616 §3.4.3), and so none for an UPDATE holds.
pub(super) fn may_show(request: &Message) -> bool {
    *request.method() == Method::Invite
}

/// Status for the leg that asked. What the other leg has to say about us is nothing to it, except
/// that both offered at once: then it has to wait (SIP-542). A challenge that it is not told is a refusal, as of what
/// crosses (SIP-1610).
fn passed_on(status: Status) -> Status {
    match status {
        Status::REQUEST_PENDING => Status::REQUEST_PENDING,
        own if own.is_challenge() => Status::FORBIDDEN,
        _ => Status::NOT_ACCEPTABLE_HERE,
    }
}

/// Status that refuses an offer for this reason.
pub(super) fn status_of(why: &Incompatible) -> Status {
    Status::new(why.status).unwrap_or(Status::NOT_ACCEPTABLE_HERE)
}
