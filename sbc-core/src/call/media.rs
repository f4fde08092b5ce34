//! A call's media session: what was asked of the relay and what came back.

use super::endpoint;
use super::patience::NOBODY;
use crate::effect::Effect;
use crate::id::LegId;
use crate::media::{Formats, Ice, MediaImage, Profile, Srtp};
use crate::plane::Cx;
use crate::seldom::Seldom;
use media_api::{
    BridgePlan, Command, Dialled, EndpointId, EndpointSpec, Event, ForkId, Intake, Negotiated,
    Playing, SessionId, SessionStats, Stage,
};
use std::net::IpAddr;
use std::sync::Arc;

/// The media side of a new leg. `signalling` is where its peer's signalling comes from.
pub(super) fn image_of(
    cx: &mut Cx<'_>,
    profile: &Arc<Profile>,
    leg: LegId,
    signalling: Option<IpAddr>,
) -> MediaImage {
    let mint = &mut cx.plane.mint;
    let profile = Arc::clone(profile);
    let (ice, srtp) = (profile.ice, profile.srtp);
    let image = MediaImage::new(profile, endpoint(leg), mint.number(), signalling);
    let image = match ice {
        Ice::Off => image,
        Ice::Lite | Ice::Bypass => image.with_ice(mint.leg_secret()),
    };
    match srtp {
        Srtp::Off => image,
        Srtp::Optional | Srtp::Required => image.with_keys(mint.keys_secret()),
        Srtp::Dtls => image.with_dtls(mint.leg_secret()),
    }
}

/// How long media still flow after a BYE, for what was on its way when it was sent.
const DRAIN_MS: u16 = 500;

/// The relay's part of one call.
#[derive(Debug)]
pub(crate) struct CallMedia {
    pub(crate) session: SessionId,
    /// Identities of encodings, shared by all legs.
    pub(crate) formats: Formats,
    state: State,
    /// Whether the relay ever reserved anything: only then does it know the session.
    is_reserved: bool,
    /// The first of the endpoints that were asked for last.
    asked_last: Option<EndpointId>,
    /// Endpoints that were asked for and have not been given back.
    held: Vec<EndpointId>,
    plan: BridgePlan,
    /// What endpoints hear of ours.
    playing: Vec<(EndpointId, Playing)>,
    /// Endpoints that nothing can be played to, as far as is agreed with them.
    deaf: Vec<EndpointId>,
    /// Legs whose media went to another endpoint than their own, and to which, the latest last.
    moved: Vec<(EndpointId, EndpointId)>,
    /// Legs whose peer is being told of another endpoint, and of which: the present one goes on until that
    /// is agreed.
    moving: Seldom<(EndpointId, EndpointId)>,
    /// Whether anybody has been heard.
    has_been_heard: bool,
    /// Who was silent for the short limit first ([`super::patience`]); from then on the long one holds.
    silent: Option<EndpointId>,
    /// Whether another one was so as well.
    are_both_silent: bool,
    is_patient: bool,
}

#[derive(Debug)]
enum State {
    /// Nothing was ever asked for.
    Unused,
    Active,
    Releasing,
    Released(SessionStats),
}

impl CallMedia {
    pub(crate) fn new(session: SessionId) -> Self {
        Self {
            session,
            formats: Formats::default(),
            state: State::Unused,
            is_reserved: false,
            asked_last: None,
            held: Vec::new(),
            plan: BridgePlan::default(),
            playing: Vec::new(),
            deaf: Vec::new(),
            moved: Vec::new(),
            moving: Seldom::default(),
            has_been_heard: false,
            silent: None,
            are_both_silent: false,
            is_patient: false,
        }
    }

    /// The endpoint that has the media of the leg whose own this is.
    fn now(&self, own: EndpointId) -> EndpointId {
        let mut moves = self.moved.iter().rev();
        moves
            .find(|(leg, _)| *leg == own)
            .map_or(own, |(_, now)| *now)
    }

    /// The own endpoint of the leg whose media this one has, or had.
    pub(crate) fn leg_of(&self, endpoint: EndpointId) -> EndpointId {
        let mut moves = self.moved.iter().chain(&self.moving);
        moves
            .find(|(_, now)| *now == endpoint)
            .map_or(endpoint, |(leg, _)| *leg)
    }

    /// Reserves an endpoint to which a leg may move; answered by an event.
    pub(crate) fn allocate_beside(&mut self, cx: &mut Cx<'_>, spec: EndpointSpec) {
        self.held.push(spec.endpoint);
        let (session, endpoints) = (self.session, vec![spec]);
        self.command(cx, Command::Allocate { session, endpoints });
    }

    /// Gives back an endpoint to which no leg has moved.
    pub(crate) fn release_beside(&mut self, cx: &mut Cx<'_>, endpoint: EndpointId) {
        let Some(at) = self.held.iter().position(|own| *own == endpoint) else {
            return;
        };
        self.held.swap_remove(at);
        let (session, endpoint) = (self.session, Some(endpoint));
        let release = Command::Release {
            session,
            endpoint,
            drain_ms: 0,
        };
        self.command(cx, release);
    }

    /// A leg's media are to go on at another endpoint, as soon as its peer agrees to it.
    pub(crate) fn prepare_move(&mut self, own: EndpointId, to: EndpointId) {
        self.moving.push((own, to));
    }

    /// The endpoint that a leg's peer is being told of.
    pub(crate) fn prepared(&self, own: EndpointId) -> Option<EndpointId> {
        let mut moves = self.moving.iter();
        moves.find(|(leg, _)| *leg == own).map(|(_, to)| *to)
    }

    /// A leg's media stay where they are: its peer does not want them elsewhere, or the leg is over.
    pub(crate) fn give_up_move(&mut self, cx: &mut Cx<'_>, own: EndpointId) {
        if let Some(to) = self.take_prepared(own)
            && self.is_active()
        {
            self.release_beside(cx, to);
        }
    }

    fn take_prepared(&mut self, own: EndpointId) -> Option<EndpointId> {
        let at = self.moving.iter().position(|(leg, _)| *leg == own)?;
        Some(self.moving.remove(at)?.1)
    }

    /// A leg's media go on at another endpoint; its present one is given back.
    fn move_to(&mut self, cx: &mut Cx<'_>, own: EndpointId, to: EndpointId) {
        self.drop_endpoint(cx, own);
        self.deaf.retain(|deaf| *deaf != own);
        self.moved.push((own, to));
        if let Some((a, b)) = self.plan.joined.filter(|(a, b)| *a == own || *b == own) {
            let silence_ms = self.plan.silence_ms;
            self.plan = BridgePlan::default();
            self.join(cx, a, b, silence_ms);
        }
    }

    fn command(&self, cx: &mut Cx<'_>, command: Command) {
        cx.out.push(Effect::Media(command));
    }

    /// Reserves endpoints; answered by an event.
    pub(crate) fn allocate(&mut self, cx: &mut Cx<'_>, endpoints: Vec<EndpointSpec>) {
        self.state = State::Active;
        self.asked_last = endpoints.first().map(|spec| spec.endpoint);
        self.held.extend(endpoints.iter().map(|spec| spec.endpoint));
        self.command(
            cx,
            Command::Allocate {
                session: self.session,
                endpoints,
            },
        );
    }

    /// Tells what was agreed on an endpoint; a move that waited for it is made first.
    pub(crate) fn agreed(
        &mut self,
        cx: &mut Cx<'_>,
        endpoint: EndpointId,
        fork: ForkId,
        negotiated: Negotiated,
        stage: Stage,
    ) {
        if stage == Stage::Final
            && let Some(to) = self.take_prepared(endpoint)
        {
            self.move_to(cx, endpoint, to);
        }
        let session = self.session;
        // It may have gone over to a codec that something can be played in.
        self.deaf.retain(|own| *own != endpoint);
        self.command(
            cx,
            Command::Answer {
                session,
                endpoint: self.now(endpoint),
                fork,
                negotiated,
                stage,
            },
        );
    }

    /// Tells that the peer of an endpoint is offered something, whose answer may come after media under its key.
    pub(crate) fn expect(&self, cx: &mut Cx<'_>, endpoint: EndpointId) {
        if self.is_active() {
            let (session, endpoint) = (self.session, self.now(endpoint));
            self.command(cx, Command::Expect { session, endpoint });
        }
    }

    /// Tells that what was offered to the peer of an endpoint is refused.
    pub(crate) fn expect_no_more(&self, cx: &mut Cx<'_>, endpoint: EndpointId) {
        if self.is_active() {
            let (session, endpoint) = (self.session, self.now(endpoint));
            self.command(cx, Command::Rollback { session, endpoint });
        }
    }

    /// Joins two endpoints, or leaves the plan as it is if they are joined already.
    pub(crate) fn join(&mut self, cx: &mut Cx<'_>, a: EndpointId, b: EndpointId, silence_ms: u32) {
        let plan = BridgePlan {
            joined: Some((a, b)),
            silence_ms,
        };
        if self.plan != plan {
            self.plan = plan;
            let plan = BridgePlan {
                joined: Some((self.now(a), self.now(b))),
                silence_ms,
            };
            self.command(
                cx,
                Command::Update {
                    session: self.session,
                    plan,
                },
            );
        }
    }

    /// Whether the long limit of silence holds.
    pub(super) fn is_patient(&self) -> bool {
        self.is_patient
    }

    /// Somebody is heard.
    pub(super) fn is_heard(&mut self) {
        self.has_been_heard = true;
    }

    /// A party is silent. Says whether another one was as well, and nobody was ever heard.
    pub(super) fn falls_silent(&mut self, endpoint: EndpointId) -> bool {
        self.is_patient = true;
        let first = *self.silent.get_or_insert(endpoint);
        self.are_both_silent |= first != endpoint;
        self.are_both_silent && !self.has_been_heard
    }

    /// Says what becomes of the digits that an endpoint's peer sends.
    pub(crate) fn take(&self, cx: &mut Cx<'_>, endpoint: EndpointId, intake: Intake) {
        let session = self.session;
        self.command(
            cx,
            Command::Take {
                session,
                endpoint: self.now(endpoint),
                intake,
            },
        );
    }

    /// Sends a digit to an endpoint's peer.
    pub(crate) fn dial(&self, cx: &mut Cx<'_>, endpoint: EndpointId, dialled: Dialled) {
        let session = self.session;
        self.command(
            cx,
            Command::Dial {
                session,
                endpoint: self.now(endpoint),
                dialled,
            },
        );
    }

    /// Whether the relay has the session and is to go on with it.
    pub(crate) fn is_active(&self) -> bool {
        matches!(self.state, State::Active)
    }

    /// The two endpoints that are joined.
    pub(crate) fn joined(&self) -> Option<(EndpointId, EndpointId)> {
        self.plan.joined
    }

    /// Lets an endpoint hear this of ours, or nothing. What it hears already goes on.
    pub(crate) fn play(&mut self, cx: &mut Cx<'_>, endpoint: EndpointId, playing: Option<Playing>) {
        let playing = playing.filter(|_| !self.deaf.contains(&endpoint));
        let at = self.playing.iter().position(|(own, _)| *own == endpoint);
        match (at, &playing) {
            (None, None) => return,
            (Some(at), Some(new)) if self.playing.get(at).is_some_and(|(_, own)| own == new) => {
                return;
            }
            (Some(at), _) => {
                self.playing.swap_remove(at);
            }
            (None, Some(_)) => {}
        }
        let kept = playing.clone().map(|own| (endpoint, own));
        self.playing.extend(kept);
        self.command(
            cx,
            Command::Play {
                session: self.session,
                endpoint: self.now(endpoint),
                playing,
            },
        );
    }

    /// Whether an endpoint hears something of ours.
    pub(crate) fn plays(&self, endpoint: EndpointId) -> bool {
        self.playing.iter().any(|(own, _)| *own == endpoint)
    }

    /// What was played to an endpoint is over, or it could not be heard.
    pub(crate) fn played(&mut self, endpoint: EndpointId, heard: bool) {
        self.playing.retain(|(own, _)| *own != endpoint);
        if !heard && !self.deaf.contains(&endpoint) {
            self.deaf.push(endpoint);
        }
    }

    /// Nobody hears anything of ours any more.
    fn silence(&mut self, cx: &mut Cx<'_>) {
        self.silence_but(cx, []);
    }

    /// Nobody but these hears anything of ours any more.
    pub(crate) fn silence_but<const N: usize>(&mut self, cx: &mut Cx<'_>, but: [EndpointId; N]) {
        let playing = self.playing.iter().map(|(endpoint, _)| *endpoint);
        for endpoint in playing.filter(|own| !but.contains(own)).collect::<Vec<_>>() {
            self.play(cx, endpoint, None);
        }
    }

    /// Whether the endpoint of a leg has not been given back.
    pub(crate) fn holds(&self, endpoint: EndpointId) -> bool {
        self.held.contains(&self.now(endpoint))
    }

    /// Gives one endpoint back, unless that was done before.
    pub(crate) fn drop_endpoint(&mut self, cx: &mut Cx<'_>, endpoint: EndpointId) {
        self.play(cx, endpoint, None);
        self.give_up_move(cx, endpoint);
        self.release_beside(cx, self.now(endpoint));
    }

    /// The relay has reserved none of these.
    pub(crate) fn not_held(&mut self, endpoints: &[EndpointId]) {
        self.held.retain(|own| !endpoints.contains(own));
    }

    /// What the party of an endpoint still sends here goes to another session, in which it goes on.
    pub(crate) fn hand_over(&self, cx: &mut Cx<'_>, endpoint: EndpointId, to: SessionId) {
        let session = self.session;
        self.command(
            cx,
            Command::HandOver {
                session,
                endpoint: self.now(endpoint),
                to,
            },
        );
    }

    /// The party of an endpoint comes from another session.
    pub(crate) fn follow(
        &self,
        cx: &mut Cx<'_>,
        endpoint: EndpointId,
        of: (SessionId, EndpointId),
    ) {
        let session = self.session;
        self.command(
            cx,
            Command::Follow {
                session,
                endpoint: self.now(endpoint),
                of,
            },
        );
    }

    /// Ends the session; its figures follow. What the parties of a conversation have sent before they
    /// heard of its end still reaches the other one (SIP-408).
    pub(crate) fn release(&mut self, cx: &mut Cx<'_>, was_answered: bool) {
        if let State::Active = self.state {
            self.silence(cx);
            self.state = State::Releasing;
            self.command(
                cx,
                Command::Release {
                    session: self.session,
                    endpoint: None,
                    drain_ms: if was_answered { DRAIN_MS } else { 0 },
                },
            );
        }
    }

    /// Asks the relay for its figures, which come as an event.
    pub(crate) fn ask_for_stats(&self, cx: &mut Cx<'_>) {
        self.command(
            cx,
            Command::Stats {
                session: self.session,
            },
        );
    }

    /// Whether the relay answers what it was asked last. An answer to an earlier question is of no use
    /// to anybody: who asked has given up, and given back what it might have got.
    pub(crate) fn is_last_answer(&self, event: &Event) -> bool {
        match event {
            Event::Allocated { endpoints, .. } => {
                endpoints.first().map(|local| local.endpoint) == self.asked_last
            }
            Event::Refused { endpoints, .. } => endpoints.first().copied() == self.asked_last,
            _ => true,
        }
    }

    /// The relay reserved what was asked for.
    pub(crate) fn reserved(&mut self) {
        self.is_reserved = true;
    }

    /// The relay refused what was asked for. A session of which nothing was ever reserved does not
    /// exist, so there is nothing to release and no last word to wait for.
    pub(crate) fn refused(&mut self) {
        if !self.is_reserved {
            self.state = State::Unused;
        }
    }

    /// The relay's last word, or our loss of patience with it (then without figures).
    pub(crate) fn released(&mut self, stats: SessionStats) {
        self.state = State::Released(stats);
    }

    /// Whether the relay holds nothing for this call any more.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.state, State::Unused | State::Released(_))
    }

    /// Final figures.
    pub(crate) fn stats(&self) -> Option<&SessionStats> {
        match &self.state {
            State::Released(stats) => Some(stats),
            State::Unused | State::Active | State::Releasing => None,
        }
    }
}

/// A [`CallMedia`] written down, of which nothing is asked at the moment.
#[derive(Clone, Debug)]
pub(super) struct KeptMedia {
    session: SessionId,
    formats: Formats,
    asked_last: Option<EndpointId>,
    held: Vec<EndpointId>,
    plan: BridgePlan,
    playing: Vec<(EndpointId, Playing)>,
    deaf: Vec<EndpointId>,
    moved: Vec<(EndpointId, EndpointId)>,
}

media_api::wire_layout! {
    struct KeptMedia { session, formats, asked_last, held, plan, playing, deaf, moved }
}

impl CallMedia {
    /// Writes it down; nothing unless it is in use and stays where it is.
    pub(super) fn kept(&self) -> Option<KeptMedia> {
        (self.is_active() && self.moving.is_empty()).then(|| KeptMedia {
            session: self.session,
            formats: self.formats.clone(),
            asked_last: self.asked_last,
            held: self.held.clone(),
            plan: self.plan,
            playing: self.playing.clone(),
            deaf: self.deaf.clone(),
            moved: self.moved.clone(),
        })
    }

    /// That of a call of the process before this one; the relay may not have it any more.
    pub(super) fn of_kept(kept: KeptMedia, is_there: bool) -> Self {
        Self {
            formats: kept.formats,
            state: match is_there {
                true => State::Active,
                false => State::Released(SessionStats::default()),
            },
            is_reserved: is_there,
            asked_last: kept.asked_last,
            held: kept.held,
            plan: kept.plan,
            has_been_heard: true,
            is_patient: u128::from(kept.plan.silence_ms) > NOBODY.as_millis(),
            playing: kept.playing,
            deaf: kept.deaf,
            moved: kept.moved,
            ..Self::new(kept.session)
        }
    }
}

impl KeptMedia {
    /// Its session.
    pub(super) const fn session(&self) -> SessionId {
        self.session
    }
}
