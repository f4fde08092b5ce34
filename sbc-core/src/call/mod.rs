//! The B2BUA: a call is legs plus at most one running operation.
//!
//! A leg's event goes to the running operation first. What none of them owns starts what it
//! implies: an offer of a peer in an established call is answered by `modify`, what the other leg
//! has to know of it is offered by `tell`, the end of a leg starts the teardown. Setup and teardown
//! are values that own what they must undo.

mod bill;
mod clock;
mod connected;
mod crossing;
mod digit;
mod direct;
mod early_media;
mod figures;
mod forsaken;
mod from_here;
mod held;
mod kept;
mod keys;
mod left_behind;
mod local;
mod media;
mod modify;
mod names;
mod on_hold;
mod over;
mod patience;
mod pickup;
mod places;
mod record;
mod refused;
mod relayed;
mod replace;
pub(crate) mod room;
mod setup;
mod sound;
mod summary;
mod talk;
mod teardown;
mod tell;
mod transcoded;
mod transfer;
mod unheard;

use crate::cause::{Because, Cause, CauseCode, EndedBy};
use crate::config::{Config, Preset, Trunk};
use crate::event::Happened;
use crate::few::Few;
use crate::id::{
    CallId, CommandId, LegId, QueryId, RouteName, TenantName, TransactionId, TrunkName,
};
use crate::media::MediaImage;
use crate::plane::Cx;
use crate::policy::admission::Place;
use crate::policy::circle::{Lap, Reach};
use crate::policy::identity::Caller;
use crate::policy::ingress::{self, Ingress, KnownBy};
use crate::policy::number::Number;
use crate::policy::response;
use crate::policy::session_id::Ends;
use crate::query::Outcome;
use crate::record::{Growing, PlaceRecord};
use crate::seldom::Seldom;
use crate::session::{Ending, LegStyle, Said, Session, SessionEvent};
use crate::sip::header::Reason;
use crate::sip::{Message, Status};
use crate::time::{Now, Timestamp};
use crate::transport::{Flow, FlowFault, TlsSuite};
use crate::trouble::Trouble;
pub(crate) use bill::Bill;
use bill::Bills;
use bytes::Bytes;
use connected::Identity;
use crossing::Crossings;
pub(crate) use kept::{Keeping, KeptCall};
use keys::Keys;
use local::LocalSide;
use media::{CallMedia, image_of};
use media_api::{CryptoKey, SessionId};
pub(crate) use places::Entrance;
use places::Places;
pub(crate) use record::user_agent;
pub(crate) use replace::Newcomer;
use replace::Replace;
pub(crate) use room::{Room, Wanted};
use setup::Setup;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use teardown::Teardown;
use tell::Telling;
use transfer::{Nameless, Relayed, Transfer};

/// The A leg's id.
pub(crate) const A_LEG: LegId = LegId(0);

/// More session events than one input can rightfully cause; beyond it something runs in circles.
const STEP_LIMIT: usize = 1_000;

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    id: CallId,
    tenant: Option<TenantName>,
    config: Arc<Config>,
    legs: Few<LegId, Leg>,
    next_leg: u8,
    media: CallMedia,
    operation: Option<Operation>,
    events: VecDeque<(LegId, SessionEvent)>,
    record: Growing,
    /// What the call takes of limits.
    places: Places,
    /// What its called legs cost.
    bills: Bills,
    /// Its place among the set-ups, until it is answered.
    lap: Option<Lap>,
    started: Now,
    answered: Option<Now>,
    /// What of its time was in processes before this one.
    before: kept::Before,
    /// The caller has got its 200; it may have to wait for a PRACK (RFC 3262 §3).
    is_answer_told: bool,
    /// Who the peers are that called us, for parties that are called later.
    parties: Few<LegId, Arc<Caller>>,
    /// What the two ends call themselves.
    ends: Ends,
    /// The two legs that talk to each other.
    bridge: Option<(LegId, LegId)>,
    /// The two legs whose media go past us.
    direct: Option<(LegId, LegId)>,
    /// Those two have not been told of it yet.
    is_direct_untold: bool,
    /// The leg that came last into the conversation, after its set-up: the other one follows its
    /// choice of codec.
    newcomer: Option<LegId>,
    /// The BYE that ends it, and whose.
    parting: Option<(LegId, Said)>,
    timers: Timers,
    /// REFERs that wait for the name of a dialog.
    nameless: Seldom<Nameless>,
    /// REFERs that the other party carries out.
    relayed: Seldom<Relayed>,
    /// Legs whose transfer is done and that should leave.
    leaving: Seldom<(LegId, Timestamp)>,
    /// Why nobody vouches for the caller, if it is to be told (RFC 9410).
    unvouched: Option<crate::stir::Fault>,
    /// The last transfer that was refused at once, which the record tells of at the end.
    declined: Option<Box<crate::record::TransferRecord>>,
    /// The side of who calls for help, where the call is one for help.
    seeks_help: EndedBy,
    /// When the caller for help has hung up, and those who help have not.
    held_since: Option<Timestamp>,
    /// Its record is written, and what it took is given back.
    is_recorded: bool,
    /// Operators that wait for the relay's figures.
    asking: Seldom<CommandId>,
    doubts: Seldom<unheard::Doubt>,
    talk: talk::Talk,
    /// Since when one of those who talk has the other on hold.
    on_hold_since: Option<Timestamp>,
}

/// One party's side of a call.
#[derive(Debug)]
struct Leg {
    session: Box<Session>,
    image: MediaImage,
    telling: Telling,
    /// A new key of ours that its peer has not been offered yet.
    fresh_key: Option<Box<CryptoKey>>,
    identity: Identity,
    crossings: Crossings,
    keys: Keys,
    local: LocalSide,
}

impl Leg {
    fn new(session: Session, image: MediaImage) -> Self {
        Self {
            session: Box::new(session),
            image,
            telling: Telling::default(),
            fresh_key: None,
            identity: Identity::default(),
            crossings: Crossings::default(),
            keys: Keys::default(),
            local: LocalSide::default(),
        }
    }
}

/// The procedure that a call is running.
#[derive(Debug)]
enum Operation {
    Setup(Box<Setup>),
    Transfer(Box<Transfer>),
    Replace(Box<Replace>),
    Teardown(Teardown),
}

impl Operation {
    fn is_setup(&mut self) -> bool {
        matches!(self, Self::Setup(_))
    }
}

/// Names of a call's timers.
#[derive(Clone, Copy, Debug)]
enum Timer {
    /// Longest set-up, then longest call (SIP-409).
    Limit = 0,
    /// Longest wait for the relay's last word.
    Relay = 1,
    /// The caller's own limit: the Expires of its INVITE.
    Expires = 2,
    /// A leg's offer waits for what the other leg says.
    Ask = 3,
    /// Longest time of early media before the answer.
    EarlyMedia = 4,
    /// The caller hears neither a tone nor media although it rings.
    Ringback = 5,
    /// A request that crosses waits for what the other party says.
    Cross = 6,
    /// Longest set-up of a transfer.
    Transfer = 7,
    /// Who transferred the call should have left.
    Leave = 8,
    /// Another shard should have answered, or is asked again.
    Fetch = 9,
    /// Media ports are asked for again, now that a call has given way.
    Room = 11,
    /// Longest wait for a verification of the caller.
    Verify = 10,
    /// Those who help hold the line no longer.
    Held = 12,
    /// Longest wait for the end of an announcement.
    Announce = 13,
    /// A key told in INFO waits for the event that says the same.
    Keys = 14,
}

type Timers = crate::deadline::Timers<15>;

/// How long the relay may take to give its final figures.
const RELAY_PATIENCE: Duration = Duration::from_secs(5);

/// Q.850: the network fails for a moment, so that a new call is likely to succeed.
const TEMPORARY_FAILURE: u8 = 41;

/// An INVITE that ingress and routing let in.
pub(crate) struct Admitted {
    pub(crate) id: CallId,
    pub(crate) tenant: Option<TenantName>,
    pub(crate) trunk: Arc<Trunk>,
    pub(crate) flow: Flow,
    pub(crate) transaction: TransactionId,
    pub(crate) request: Message,
    pub(crate) caller: Arc<Caller>,
    /// Called number as received, and after the transforms of the trunk it came in on.
    pub(crate) called_raw: String,
    pub(crate) called: Number,
    pub(crate) calling: String,
    /// Trunks to try, or the refusal that the call gets.
    pub(crate) plan: Result<Vec<Arc<Trunk>>, crate::policy::Refusal>,
    /// The route that led to them.
    pub(crate) route: Option<RouteName>,
    pub(crate) because: Because,
    /// Whether the trunks are called all at once.
    pub(crate) at_once: bool,
    /// What the call takes of the limits that it counts on.
    pub(crate) entrance: Entrance,
    /// Whether somebody calls for help.
    pub(crate) is_emergency: bool,
    /// What is known of the place that somebody calls for help from.
    pub(crate) place: Option<PlaceRecord>,
    /// What became of a caller's number that is not the customer's.
    pub(crate) screening: Option<&'static str>,
    /// How far the request may still go.
    pub(crate) reach: Reach,
    /// Its place among the set-ups that are watched for circles.
    pub(crate) lap: Option<Lap>,
}

impl Call {
    /// Opens a call for an INVITE and starts its setup.
    pub(crate) fn admit(cx: &mut Cx<'_>, mut admitted: Admitted) -> Self {
        let config = Arc::clone(&cx.plane.config);
        let session_id = cx.plane.media_session();
        let ends = Ends::of(&admitted.request, &mut cx.plane.mint);
        let mut record = record::open(&config, &admitted, &ends, cx.now);
        let style = LegStyle {
            config: Arc::clone(&config),
            session_id: ends.to_caller(&admitted.trunk),
            trunk: Arc::clone(&admitted.trunk),
            contact_user: Some(match cx.plane.contact_user(&admitted.trunk) {
                Some(own) => own,
                None => Bytes::from(admitted.called.number.clone()),
            }),
        };
        let signalling = Some(admitted.flow.remote.ip());
        let local =
            match local::of_request(&admitted.trunk, &admitted.request, admitted.is_emergency) {
                Ok(choice) => choice,
                Err(refusal) => {
                    admitted.plan = admitted.plan.and(Err(refusal));
                    None
                }
            };
        let profile = local::profile_of(&admitted.trunk, local.as_ref());
        let image = image_of(cx, profile, A_LEG, signalling);
        let session = Session::incoming(
            cx,
            (admitted.id, A_LEG),
            style,
            admitted.transaction,
            admitted.flow.clone(),
            admitted.request.clone(),
        );
        record.ingress.to_tag = session.local_tag().as_str().to_owned();
        let mut call = Self {
            id: admitted.id,
            tenant: admitted.tenant.clone(),
            legs: Few::one(A_LEG, Leg::new(session, image)),
            next_leg: 1,
            media: CallMedia::new(session_id),
            operation: None,
            events: VecDeque::new(),
            record,
            bills: Bills::of(std::mem::take(&mut admitted.entrance.payers)),
            places: std::mem::take(&mut admitted.entrance).into(),
            lap: admitted.lap.take(),
            started: cx.now,
            answered: None,
            before: kept::Before::default(),
            is_answer_told: false,
            parties: Few::one(A_LEG, Arc::clone(&admitted.caller)),
            ends,
            bridge: None,
            direct: None,
            is_direct_untold: false,
            newcomer: None,
            parting: None,
            timers: Timers::default(),
            nameless: Seldom::default(),
            relayed: Seldom::default(),
            leaving: Seldom::default(),
            unvouched: None,
            declined: None,
            seeks_help: EndedBy::A,
            held_since: None,
            is_recorded: false,
            asking: Seldom::default(),
            doubts: Seldom::default(),
            talk: talk::Talk::default(),
            on_hold_since: None,
            config,
        };
        let longest = call.longest_setup();
        call.timers
            .set(Timer::Limit as usize, cx.now.mono + longest);
        cx.out.emit(
            Some(call.id),
            Some(A_LEG),
            Happened::Admitted {
                tenant: admitted.tenant.clone(),
                trunk: admitted.trunk.name.clone(),
                calling: admitted.caller.calling.number.raw.clone(),
                called: admitted.called_raw.clone(),
            },
        );
        if let Ok(Some(offer)) = crate::sip::body::session_description(&admitted.request) {
            call.note_keys(cx, A_LEG, &offer);
        }
        if admitted.plan.is_ok() {
            record::tell(&mut call, cx);
        }
        if admitted.is_emergency {
            let what = Happened::Emergency {
                tenant: admitted.tenant.clone(),
                trunk: admitted.trunk.name.clone(),
                called: admitted.called.number.clone(),
            };
            cx.out.emit(Some(call.id), Some(A_LEG), what);
        }
        if let Some(choice) = local {
            if let Some(a) = call.leg(A_LEG) {
                a.local = LocalSide::on(&admitted.trunk, choice.side);
            }
            call.chosen(cx, A_LEG, choice, None);
        }
        call.operation = Setup::begin(&mut call, cx, admitted);
        call.settle(cx);
        call
    }

    /// The relay's name of this call's media.
    pub(crate) fn media_session(&self) -> SessionId {
        self.media.session
    }

    /// The configuration that the call was admitted with.
    pub(crate) fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Whether a message that came in on `trunk` may concern this leg: its own trunk, as it is now
    /// or as it was when the call was admitted. Of two peers that have to show a password none speaks for
    /// the other, though both may come the same way.
    pub(crate) fn admits(&self, leg: LegId, trunk: &Trunk, flow: &Flow) -> bool {
        self.legs.get(&leg).is_some_and(|leg| {
            let own = &leg.session.style().trunk;
            let both_prove = own.authenticate.is_some() && trunk.authenticate.is_some();
            let is_by_way = || ingress::admits_flow(&self.config, own, flow);
            own.name == trunk.name || (!both_prove && is_by_way())
        })
    }

    /// The peer of a leg that has proven who it is when the call began, if a flow is from its network.
    pub(crate) fn proven_peer(&self, leg: LegId, flow: &Flow) -> Option<Ingress> {
        let trunk = self.trunk_of(leg)?;
        // Of several trunks of one peer, the Request-URI of a call says which; that of a request within
        // the call names us.
        let is_told = trunk.authenticate.is_some() || !trunk.habits.tie_break.is_empty();
        let is_its = is_told && ingress::admits_flow(&self.config, &trunk, flow);
        is_its.then(|| Ingress::of(&trunk, KnownBy::Dialog))
    }

    /// The trunk of a leg.
    pub(crate) fn trunk_of(&self, leg: LegId) -> Option<Arc<Trunk>> {
        let leg = self.legs.get(&leg)?;
        Some(Arc::clone(&leg.session.style().trunk))
    }

    /// The one of these trunks that a leg of the call has, if it is to end for that: a call for help never is.
    pub(crate) fn loses<'t>(&self, trunks: &'t [TrunkName]) -> Option<&'t TrunkName> {
        let mut legs = self.legs.values();
        let of_leg = |leg: &Leg| {
            let own = &leg.session.style().trunk.name;
            trunks.iter().find(|name| *name == own)
        };
        let found = legs.find_map(of_leg)?;
        (!self.is_for_help()).then_some(found)
    }

    /// When [`Self::tick`] is next wanted.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let legs = self
            .legs
            .values()
            .filter_map(|leg| leg.session.next_deadline());
        legs.chain(self.timers.next()).min()
    }

    /// The places of limits that it has.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        self.places.iter()
    }

    /// A response to a request of one of the legs, and what the handshake of its connection agreed on.
    pub(crate) fn response(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        (id, tls): (TransactionId, Option<TlsSuite>),
        message: &Message,
    ) {
        self.with_session(cx, leg, |session, cx, up| {
            session.heard_over(id, tls);
            session.response(cx, id, message, up)
        });
    }

    /// A request of a leg that got no answer (`None`) or could not be sent.
    pub(crate) fn request_failed(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        id: TransactionId,
        why: Option<FlowFault>,
    ) {
        self.with_session(cx, leg, |session, cx, up| {
            session.request_failed(cx, id, why, up)
        });
    }

    /// The INVITE of a leg waits for its connection, or has been written after it did.
    pub(crate) fn invite_leaves(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        id: TransactionId,
        within: Duration,
    ) {
        self.with_session(cx, leg, |session, cx, _| {
            session.invite_leaves(cx, id, within);
        });
    }

    /// A request within one of the dialogs.
    pub(crate) fn request(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        id: TransactionId,
        flow: &Flow,
        message: &Message,
    ) {
        self.with_session(cx, leg, |session, cx, up| {
            session.request(cx, id, flow, message, up)
        });
    }

    /// An ACK for an answer of ours.
    pub(crate) fn acknowledged(&mut self, cx: &mut Cx<'_>, leg: LegId, message: &Message) {
        self.with_session(cx, leg, |session, cx, up| {
            session.acknowledged(cx, message, up)
        });
    }

    /// The peer cancelled its INVITE.
    pub(crate) fn cancelled(&mut self, cx: &mut Cx<'_>, leg: LegId, cancel: &Message) {
        self.with_session(cx, leg, |session, cx, up| session.cancelled(cx, cancel, up));
    }

    /// The answer to a query of one of the legs.
    pub(crate) fn outcome(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        query: QueryId,
        outcome: &Outcome,
    ) {
        self.with_session(cx, leg, |session, cx, up| {
            session.outcome(cx, query, outcome, up)
        });
    }

    /// The signatures of the caller were looked into; `None` if that took too long.
    pub(crate) fn verified(&mut self, cx: &mut Cx<'_>, answered: Option<(QueryId, &Outcome)>) {
        if let Some(Operation::Setup(setup)) = self.operation.take_if(|o| o.is_setup()) {
            self.operation = setup.verified(self, cx, answered);
        }
        self.settle(cx);
    }

    fn with_session(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        step: impl FnOnce(&mut Session, &mut Cx<'_>, &mut Vec<SessionEvent>),
    ) {
        let mut up = Vec::new();
        if let Some(leg) = self.legs.get_mut(&leg) {
            step(&mut leg.session, cx, &mut up);
            if let Some(peer) = leg.session.facts().remote {
                leg.image.is_heard_from(peer.ip());
            }
            if leg.session.is_keyless() {
                leg.image.goes_without_keys();
            }
        }
        self.events.extend(up.into_iter().map(|event| (leg, event)));
        self.settle(cx);
    }

    /// Which side of the call a leg stands on; whoever takes another's place stands on its side.
    fn side(&self, leg: LegId) -> EndedBy {
        match self.bridge.map_or(A_LEG, |(a, _)| a) == leg || leg == A_LEG {
            true => EndedBy::A,
            false => EndedBy::B,
        }
    }

    /// Whether a leg has no part in the conversation any more: it transferred the call, or was
    /// replaced.
    fn is_apart(&self, leg: LegId) -> bool {
        self.bridge.is_some() && self.other(leg).is_none()
    }

    /// Whether this is still being dialled by the caller of another INVITE, with its Call-ID and From.
    pub(crate) fn is_dialled_by(&self, invite: &Message, trunk: &Trunk) -> bool {
        self.is_set_up()
            && self.legs.get(&A_LEG).is_some_and(|a| {
                a.session.style().trunk.name == trunk.name && a.session.is_dialled_by(invite)
            })
    }

    /// The caller has dialled more: this number was not complete.
    pub(crate) fn is_outdialled(&mut self, cx: &mut Cx<'_>) {
        let because = Because::of("the caller went on dialling").named(Trouble::CallerDialledOn);
        let status = Status::ADDRESS_INCOMPLETE;
        let (by, code) = (EndedBy::A, CauseCode::CallerCancelled);
        self.end_with(cx, by, code, status, because, &[]);
        self.settle(cx);
        // The longer number is the same call: it must not be refused for the places of the shorter one,
        // which takes a while to be cancelled everywhere.
        self.places.leave(cx.plane);
    }

    /// Ends the call after a defect in our own code; the call's own state is not trusted any more.
    pub(crate) fn poisoned(&mut self, cx: &mut Cx<'_>) {
        let because = Because::of("a defect in this product; please report it");
        self.events.clear();
        self.operation = None;
        self.end(cx, EndedBy::Us, CauseCode::InternalError, because, &[]);
        self.settle(cx);
    }

    fn caller_has_answer(&self) -> bool {
        let caller = self.legs.get(&A_LEG);
        caller.is_some_and(|caller| caller.session.is_confirmed())
    }

    /// Works through what the sessions said until nothing is left.
    fn settle(&mut self, cx: &mut Cx<'_>) {
        for _ in 0..STEP_LIMIT {
            let Some((leg, event)) = self.events.pop_front() else {
                // Between its messages a call needs no room for what its sessions say.
                self.events = VecDeque::new();
                record::tell_answer(self, cx);
                self.proceed(cx);
                self.conclude_moves(cx);
                self.direct_digits(cx);
                self.hear_requests();
                self.move_media(cx);
                self.keep_to_plan();
                self.tell(cx);
                self.sound(cx);
                self.rate_places(cx);
                self.run_bills(cx);
                self.follow_talk(cx.now, cx.plane);
                self.follow_hold(cx.now.mono);
                self.leave_ended_places(cx);
                self.free_departed(cx);
                self.follow_transcoding(cx);
                return;
            };
            if let Some(described) = refused::described(&event) {
                self.note_keys(cx, leg, described);
            }
            // Who hears whom before the answer is asked of what runs.
            if let (
                SessionEvent::Crossing { id },
                Some(Operation::Setup(_) | Operation::Transfer(_)),
            ) = (&event, &self.operation)
            {
                self.crosses(cx, leg, *id);
                continue;
            }
            if let SessionEvent::Unheard { is_proven } = event {
                self.unheard(cx, leg, is_proven);
                continue;
            }
            match self.operation.take() {
                Some(Operation::Setup(setup)) => {
                    self.operation = setup.session_event(self, cx, leg, event);
                }
                Some(Operation::Transfer(transfer)) => {
                    self.operation = transfer.session_event(self, cx, leg, event);
                }
                Some(Operation::Replace(replace)) => {
                    self.operation = replace.session_event(self, cx, leg, event);
                }
                None => self.unowned(cx, leg, event),
                teardown @ Some(Operation::Teardown(_)) => {
                    self.operation = teardown;
                    if let SessionEvent::Refer(asked) = event {
                        self.refuse_refer(cx, leg, &asked, Status::CALL_DOES_NOT_EXIST);
                    } else if let SessionEvent::Notified { status, ended } = event {
                        self.notified(cx, leg, status, ended.as_ref());
                    }
                }
            }
        }
        self.events.clear();
        let invariant = "an input causes a bounded number of steps";
        cx.out
            .emit(Some(self.id), None, Happened::Bug { invariant });
    }

    /// An event that no operation waits for.
    fn unowned(&mut self, cx: &mut Cx<'_>, leg: LegId, event: SessionEvent) {
        match event {
            // Whoever has no part in it any more may leave in any way.
            SessionEvent::Ended(_) if self.is_apart(leg) => {}
            SessionEvent::Ended(
                Ending::Bye { .. } | Ending::Lost { .. } | Ending::Expired { .. },
            ) if self.is_held_after(leg) => self.hold_line(cx, leg),
            SessionEvent::Refer(asked) => {
                self.operation = Transfer::begin(self, cx, (leg, leg), &asked);
            }
            SessionEvent::Offer(description) => self.peer_offer(cx, leg, description),
            SessionEvent::Acknowledged {
                description,
                is_answer: true,
            } => self.peer_acknowledged(cx, leg, description),
            SessionEvent::Ended(Ending::Bye { reasons, said }) => {
                self.parting = Some((leg, said));
                let by = self.side(leg);
                let because = Because::of(format!("BYE on leg {}", leg.0));
                self.end(cx, by, CauseCode::NormalClearing, because, &reasons);
            }
            SessionEvent::Ended(Ending::NoAck) => {
                let because = Because::of(format!("no ACK for our answer on leg {}", leg.0));
                self.end(cx, EndedBy::Us, CauseCode::NoAck, because, &[]);
            }
            SessionEvent::Ended(Ending::Lost { method, status }) => {
                self.lost(cx, leg, &method, status);
            }
            SessionEvent::Ended(Ending::Expired { interval_s }) => {
                self.unrefreshed(cx, leg, interval_s);
            }
            SessionEvent::Cancelled { reasons } => match self.legs.get(&leg) {
                // The answer still waited for a PRACK.
                Some(own) if !own.session.is_confirmed() => {
                    let because = Because::of("the caller gave up");
                    self.end(
                        cx,
                        EndedBy::A,
                        CauseCode::CallerCancelled,
                        because,
                        &reasons,
                    );
                }
                Some(_) | None => self.offer_cancelled(cx, leg),
            },
            SessionEvent::Crossing { id } => self.crosses(cx, leg, id),
            SessionEvent::Carried { status } => self.carried(cx, leg, status),
            SessionEvent::Notified { status, ended } => {
                self.notified(cx, leg, status, ended.as_ref());
            }
            SessionEvent::OfferAnswered { description } => {
                self.offer_answered(cx, leg, description);
            }
            SessionEvent::OfferRefused { status, again } => {
                self.offer_refused(cx, leg, status, again);
            }
            SessionEvent::Ended(Ending::NoPrack) => {
                let because = Because::of(format!("no PRACK for our provisional on leg {}", leg.0))
                    .named(Trouble::NoPrack);
                let status = crate::sip::Status::SERVER_TIMEOUT;
                self.end_with(
                    cx,
                    EndedBy::Us,
                    CauseCode::PeerTimeout,
                    status,
                    because,
                    &[],
                );
            }
            SessionEvent::EarlyOffer { .. } => self.refuse_early_offer(cx, leg),
            // The caller has waited for it before the answer, but not so long (SIP-530).
            SessionEvent::EarlyAnswered {
                description: Some(_),
                ..
            } => self.agreed_in_vain(leg),
            SessionEvent::Progress { .. }
            | SessionEvent::EarlyAnswered { .. }
            | SessionEvent::Answered { .. }
            | SessionEvent::Rejected(_)
            | SessionEvent::Left { .. }
            | SessionEvent::Unheard { .. }
            | SessionEvent::Acknowledged { .. } => {}
        }
    }

    /// Starts the teardown of an established call or of one whose setup has undone itself, for these reasons of a peer.
    fn end(
        &mut self,
        cx: &mut Cx<'_>,
        by: EndedBy,
        code: CauseCode,
        because: Because,
        reasons: &[Reason],
    ) {
        let status = match self.legs.get(&A_LEG) {
            Some(leg) => response::own(code, &leg.session.style().trunk).status,
            None => crate::sip::Status::SERVER_INTERNAL_ERROR,
        };
        // Of a call that was answered it is told to nobody.
        let waiting = self.legs.get(&A_LEG).filter(|_| self.answered.is_none());
        let instead =
            waiting.and_then(|leg| response::own_instead(code, &leg.session.style().trunk));
        let because = match instead {
            Some(instead) => because.and(instead),
            None => because,
        };
        self.end_with(cx, by, code, status, because, reasons);
    }

    /// As [`Self::end`], with the status for an INVITE of the A leg that still waits.
    fn end_with(
        &mut self,
        cx: &mut Cx<'_>,
        by: EndedBy,
        code: CauseCode,
        status: crate::sip::Status,
        because: Because,
        reasons: &[Reason],
    ) {
        if matches!(self.operation, Some(Operation::Teardown(_))) {
            return;
        }
        let cause = Cause {
            by,
            code,
            status: self.answered.is_none().then(|| status.code()),
            q850: response::q850_of_reasons(reasons),
            because: self.with_hold(cx.now.mono, because),
        };
        record::ended_with(self, reasons);
        self.operation = Some(Operation::Teardown(Teardown::begin(
            self, cx, cause, status, reasons,
        )));
    }

    /// Whether the peer of a leg is Teams.
    pub(crate) fn is_with_teams(&self, leg: LegId) -> bool {
        let trunk = |own: &Leg| own.session.style().trunk.preset == Preset::Teams;
        self.legs.get(&leg).is_some_and(trunk)
    }

    fn leg(&mut self, id: LegId) -> Option<&mut Leg> {
        self.legs.get_mut(&id)
    }

    fn elapsed_ms(&self, now: Now) -> u64 {
        let elapsed = self.before.since_start + now.mono.since(self.started.mono);
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The relay's name for a leg's endpoint.
fn endpoint(leg: LegId) -> media_api::EndpointId {
    media_api::EndpointId(leg.0)
}

/// The media images of two different legs.
fn images(
    legs: &mut Few<LegId, Leg>,
    x: LegId,
    y: LegId,
) -> Option<(&mut MediaImage, &mut MediaImage)> {
    let (mut found_x, mut found_y) = (None, None);
    for (id, leg) in legs.iter_mut() {
        match *id {
            id if id == x => found_x = Some(&mut leg.image),
            id if id == y => found_y = Some(&mut leg.image),
            _ => {}
        }
    }
    Some((found_x?, found_y?))
}

/// The Reason values of a message that policy lets through to a leg of another trunk.
fn teardown_reason(reasons: &[Reason], why: CauseCode, to: &Trunk) -> Option<Bytes> {
    use crate::sip::header::Header;
    let told = response::reasons_for_teardown(reasons, why, to);
    let values: Vec<String> = told
        .iter()
        .map(|r| String::from_utf8_lossy(&r.to_bytes()).into_owned())
        .collect();
    (!values.is_empty()).then(|| Bytes::from(values.join(", ")))
}
