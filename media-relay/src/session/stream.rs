//! One stream of an endpoint: what arrives is judged here, what leaves is numbered here.
//!
//! A stream has *faces*: the committed agreement first, then the previews of early dialogs in the
//! order of their answers. All may send to us; we send to the newest.

use super::change::{Change, PassingEvent};
use super::comfort::Comfort;
use super::digit::dial::Part as Own;
use super::digits::Digits;
use super::early::Early;
use super::express::Plain;
use super::fax::FaxNumbers;
use super::ice::{Agent, Checked};
use super::one_way::Air;
use super::party::Party;
use super::plan::{Path, Rule, Rules};
use super::quality::{Position, Reception};
use super::rate::RateLimit;
use super::rating::Ratings;
use super::repack::{Packing, Repack};
use super::retired::Retired;
use super::rtcp::Reports;
use super::secure::Secure;
use super::sending::{SendContext, SendsWith, Spent};
use super::sequence::{Origin, Outgoing, Stamp};
use super::source::{Evidence, Learned, Rank, SourceGuard};
use super::tap::Copies;
use super::{Output, SocketId, StreamSockets};
use crate::dtls::Identity;
use crate::e_model::Codec;
use crate::entropy::Entropy;
use crate::g711::Law;
use crate::packet::rtp::{self, RtpHeader};
use crate::srtp::{Agreed, KeyRing, PeerKeys, Protocol, SrtpFault};
use crate::time::{Timestamp, WallOffset};
use media_api::{
    Content, Direction, DropReason, ForkId, Format, FormatId, NegotiatedStream, Protection, Stage,
    StreamIndex, StreamStats, Suite,
};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

/// How long media against a new direction is still let through: it was on its way (MED-054).
const DIRECTION_GRACE: Duration = Duration::from_secs(1);
/// The longest frame of a codec that says only how quiet it is: those of G.729 annex B and Opus.
pub(super) const QUIET_BYTES: usize = 2;
/// Early dialogs that may be open at once beside the committed agreement, where packets are told apart by
/// trying keys (MED-117).
const MAX_PREVIEWS: usize = 4;
/// The same where checks tell them apart: as many forks as Teams may make (TDR-ICE-005).
const MAX_CHECKED_PREVIEWS: usize = 32;

/// One stream and all its state.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) index: StreamIndex,
    pub(super) sockets: StreamSockets,
    pub(super) faces: Vec<Face>,
    pub(super) outgoing: Outgoing,
    pub(super) reception: Reception,
    pub(super) reports: Reports,
    pub(super) ratings: Ratings,
    /// Numbers of what came while this was a fax.
    pub(super) fax: Option<Box<FaxNumbers>>,
    pub(super) path: Path,
    pub(super) ring: KeyRing,
    pub(super) last_party: Party,
    pub(super) senders: Vec<SendContext>,
    /// What keys of ours have used up whose ciphers are gone, the oldest first.
    pub(super) spent: Vec<Spent>,
    /// Whose place is the next to be taken.
    pub(super) turn_of_senders: u16,
    /// The suite of a key of ours that is nearly used up.
    pub(super) worn: Option<Suite>,
    pub(super) rate: RateLimit,
    /// Until when media against a new direction may still be on its way.
    grace_until: Option<Timestamp>,
    /// A source that has been pinned and not yet reported. Kept apart from the verdict on the
    /// packet, which may still be dropped for another reason.
    pub(super) pinned_news: Option<SocketAddr>,
    /// Whether media came to these sockets themselves.
    has_arrived: bool,
    /// Last valid RTP packet.
    pub(super) rtp_at: Option<Timestamp>,
    /// Last valid RTP or RTCP packet, or proven check.
    pub(super) heard_at: Option<Timestamp>,
    /// Last packet of another stream that was sent to this peer.
    pub(super) forwarded_at: Option<Timestamp>,
    /// Whether this peer hears a sound of ours instead of others.
    pub(super) is_muted: bool,
    /// Whether the joined peer hears nothing of this one but its keys.
    pub(super) is_blocked: bool,
    /// Where the last packet came from that was dropped for its source.
    pub(super) refused: Option<SocketAddr>,
    /// Packets of our sounds.
    pub(super) generated_packets: u64,
    format: Option<FormatId>,
    pub(super) codec_switches: u32,
    /// Whether comfort noise was the last audio that came: of RFC 3389, or a frame that is too short for
    /// sound.
    pub(super) is_quiet: bool,
    /// What came since the agreement consists of.
    pub(super) air: Air,
    /// Codec, source and suite as they were when faces last changed, for figures asked for later.
    codec: Option<Cow<'static, str>>,
    source: Option<SocketAddr>,
    suite: Option<Suite>,
    pub(super) received_packets: u64,
    pub(super) received_bytes: u64,
    pub(super) sent_packets: u64,
    pub(super) sent_bytes: u64,
    pub(super) dropped: [u64; DropReason::ALL.len()],
    /// Loss that has been handed to the realm's totals.
    pub(super) lost_published: i64,
    /// Digits that its peer sends and is sent.
    pub(super) digits: Digits,
    /// Answers the peer's connectivity checks.
    pub(super) agent: Agent,
    /// What came before its key.
    pub(super) early: Early,
    /// Under which handshakes with its peer are made.
    pub(super) identity: Option<Identity>,
    /// The event that its peer is being told under another clock than it came with.
    pub(super) passing: Option<PassingEvent>,
    /// How what it sends is packed anew.
    pub(super) repack: Option<Box<Repack>>,
    /// Noise toward its peer, where that one may need it.
    pub(super) comfort: Option<Box<Comfort>>,
    /// Copies for whoever captures.
    pub(super) copies: Option<Box<Copies>>,
    /// The latest packet that went on as it had come.
    pub(super) plain: Option<Plain>,
}

/// One agreement about the stream.
#[derive(Debug)]
pub(super) struct Face {
    pub(super) fork: ForkId,
    pub(super) stage: Stage,
    pub(super) terms: NegotiatedStream,
    pub(super) party: Party,
    pub(super) rules: Rules,
    /// Payload types of before that are still understood.
    pub(super) retired: Retired,
    pub(super) guard: SourceGuard,
    pub(super) keys: Option<PeerKeys>,
    pub(super) own: SendsWith,
    /// Handshakes that keys come from.
    pub(super) secure: Option<Box<Secure>>,
}

/// An RTP packet that passed all checks of the receiving stream.
#[derive(Clone, Debug)]
pub(super) struct Accepted {
    /// Payload type that it came with.
    pub(super) payload_type: u8,
    pub(super) marker: bool,
    pub(super) timestamp: u32,
    pub(super) clock_hz: u32,
    pub(super) position: Position,
    pub(super) payload: Range<usize>,
    /// Payload type toward the joined stream; `None` if that peer did not agree to the format.
    pub(super) send_as: Option<u8>,
    /// First packet of the stream.
    pub(super) first: bool,
    /// Whether it is an event of RFC 4733.
    pub(super) is_event: bool,
    /// Whether it is comfort noise of RFC 3389.
    pub(super) is_noise: bool,
    /// Its law, if it is G.711.
    pub(super) law: Option<Law>,
    /// What becomes of it where the joined peer has another format instead.
    pub(super) change: Change,
    /// How it can be cut, if it can.
    pub(super) packing: Option<Packing>,
}

impl Accepted {
    /// A packet of our own making, without anything in it yet.
    pub(super) fn ours() -> Self {
        Self {
            payload_type: 0,
            marker: false,
            timestamp: 0,
            clock_hz: 0,
            position: Position {
                extended: 0,
                generation: 0,
            },
            payload: 0..0,
            send_as: None,
            first: false,
            is_event: false,
            is_noise: false,
            law: None,
            change: Change::None,
            packing: None,
        }
    }
}

/// Where a finished packet lies and goes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ready {
    pub(super) socket: SocketId,
    pub(super) to: SocketAddr,
    pub(super) range: Range<usize>,
    pub(super) plain_bytes: usize,
}

impl Stream {
    pub(super) fn new(index: StreamIndex, sockets: StreamSockets, entropy: &mut Entropy) -> Self {
        Self {
            index,
            sockets,
            faces: Vec::new(),
            outgoing: Outgoing::new(entropy),
            reception: Reception::default(),
            reports: Reports::new(entropy),
            ratings: Ratings::default(),
            fax: None,
            path: Path::Blocked(DropReason::NoPath),
            ring: KeyRing::default(),
            last_party: Party::default(),
            senders: Vec::new(),
            spent: Vec::new(),
            turn_of_senders: 0,
            worn: None,
            rate: RateLimit::default(),
            grace_until: None,
            pinned_news: None,
            has_arrived: false,
            rtp_at: None,
            heard_at: None,
            forwarded_at: None,
            is_muted: false,
            is_blocked: false,
            refused: None,
            generated_packets: 0,
            format: None,
            codec_switches: 0,
            is_quiet: false,
            air: Air::default(),
            codec: None,
            source: None,
            suite: None,
            received_packets: 0,
            received_bytes: 0,
            sent_packets: 0,
            sent_bytes: 0,
            dropped: [0; DropReason::ALL.len()],
            lost_published: 0,
            digits: Digits::default(),
            agent: Agent::default(),
            early: Early::default(),
            identity: None,
            passing: None,
            repack: None,
            comfort: None,
            copies: None,
            plain: None,
        }
    }

    /// The face we send to: the newest preview, or what is committed.
    pub(super) fn active(&self) -> Option<&Face> {
        self.faces.last()
    }

    /// Whether silence of the peer would be a fault. One that only sends holds us: it may play
    /// music, and mostly does not. A fax machine listens for minutes.
    pub(super) fn must_be_heard(&self) -> bool {
        self.active().is_some_and(|face| {
            face.terms.content == Content::Rtp && face.terms.direction == Direction::SendReceive
        })
    }

    /// Whether anything is or was agreed.
    pub(super) fn was_agreed(&self) -> bool {
        !self.faces.is_empty() || self.rtp_at.is_some()
    }

    /// Whether the datagrams of the stream are those of a fax.
    pub(super) fn is_fax(&self) -> bool {
        self.active()
            .is_some_and(|face| face.terms.content == Content::Udptl)
    }

    /// Whether we may send RTP to the peer now.
    pub(super) fn sends(&self) -> bool {
        self.active().is_some_and(|face| {
            face.terms.direction.sends() && face.has_target() && !face.is_shut()
        })
    }

    /// Whether committing to `terms` would change who the peer is or what it may send. A session
    /// refresh changes nothing.
    pub(super) fn would_change(&self, terms: Option<&NegotiatedStream>) -> bool {
        let committed = self.faces.iter().find(|face| face.stage == Stage::Final);
        match (committed, terms) {
            (None, None) => false,
            (Some(face), Some(terms)) => {
                face.terms.content != terms.content
                    || face.terms.remote_rtp != terms.remote_rtp
                    || face.terms.ice != terms.ice
                    || face.terms.protection != terms.protection
                    || face.terms.payloads != terms.payloads
            }
            (Some(_), None) | (None, Some(_)) => true,
        }
    }

    /// Takes an agreement over. `None` closes the stream for the fork (MED-025).
    pub(super) fn agree(
        &mut self,
        fork: ForkId,
        stage: Stage,
        terms: Option<NegotiatedStream>,
        now: Timestamp,
    ) {
        self.remember();
        if self
            .active()
            .is_some_and(|face| face.terms.direction.receives())
        {
            self.grace_until = Some(now + DIRECTION_GRACE);
        }
        self.reception.expect_change(now);
        if let Some(fax) = &mut self.fax {
            fax.begin();
        }
        if stage == Stage::Final {
            self.early.answered();
        }
        let Some(terms) = terms else {
            match stage {
                Stage::Final => self.faces.clear(),
                Stage::Preview => self.faces.retain(|face| !face.is_preview_of(fork)),
            }
            self.forget_keys();
            return;
        };
        let preview = self.faces.iter().position(|face| face.is_preview_of(fork));
        let committed = self
            .faces
            .iter()
            .position(|face| face.stage == Stage::Final);
        let face = match (stage, preview, committed) {
            // The preview becomes the agreement, with everything it has learnt.
            (Stage::Final, Some(at), None) | (Stage::Preview, Some(at), _) => {
                let face = self.faces.remove(at);
                self.revised(face, terms, now)
            }
            // A new exchange on an established stream: what did not change goes on (MED-114). A
            // preview of the same exchange is better informed, unless it learnt nothing yet.
            (Stage::Final, Some(preview), Some(committed)) => {
                let preview_pinned = self
                    .faces
                    .get(preview)
                    .is_some_and(|face| face.guard.pinned().is_some());
                let face = self
                    .faces
                    .remove(if preview_pinned { preview } else { committed });
                self.revised(face, terms, now)
            }
            (Stage::Final, None, Some(committed)) => {
                let face = self.faces.remove(committed);
                self.revised(face, terms, now)
            }
            (Stage::Preview, None, _) | (Stage::Final, None, None) => self.made(terms, now),
        };
        let mut face = Face {
            fork,
            stage,
            ..face
        };
        face.expect_handshake(now);
        match stage {
            Stage::Final => {
                self.faces.clear();
                face.settles(&mut self.agent, now);
            }
            Stage::Preview => {
                let has_checks = face.terms.ice.is_some();
                let most = match has_checks {
                    true => MAX_CHECKED_PREVIEWS,
                    false => MAX_PREVIEWS,
                };
                let is_like = |other: &Face| {
                    other.stage == Stage::Preview && other.terms.ice.is_some() == has_checks
                };
                if self.faces.iter().filter(|own| is_like(own)).count() >= most
                    && let Some(oldest) = self.faces.iter().position(is_like)
                {
                    self.faces.remove(oldest);
                }
            }
        }
        let behind = self
            .faces
            .last()
            .is_some_and(|last| last.keeps_place(&face));
        let at = self.faces.len() - usize::from(behind);
        // Mostly there is one, and it is large.
        self.faces.reserve_exact(1);
        self.faces.insert(at, face);
        self.forget_keys();
        let bandwidth = self.active().and_then(|face| face.terms.reports);
        self.reports.begin(bandwidth, now);
        self.ratings.begin(now);
    }

    /// Drops previews; the committed agreement stays as it is.
    pub(super) fn roll_back(&mut self) {
        self.remember();
        self.early.answered();
        self.faces.retain(|face| face.stage == Stage::Final);
        self.forget_keys();
    }

    /// Ends the stream: nothing is received or sent any more, keys are zeroised (MED-004).
    pub(super) fn close(&mut self) {
        self.remember();
        self.faces.clear();
        self.senders.clear();
        self.spent.clear();
        self.agent.stop();
        self.comfort = None;
        self.early = Early::default();
        self.digits = Digits::default();
        self.forget_keys();
        self.path = Path::Blocked(DropReason::NoPath);
    }

    fn made(&mut self, terms: NegotiatedStream, now: Timestamp) -> Face {
        let (keys, own) = match &terms.protection {
            Protection::None | Protection::Dtls(_) => (None, SendsWith::default()),
            Protection::Sdes { local, remote } => (
                Some(PeerKeys::new(&mut self.ring, remote)),
                SendsWith::only(self.sender(local)),
            ),
        };
        let secure = Secure::new(self.identity.as_ref(), &terms, now);
        let guard = self.guard(&terms, None, now);
        Face {
            fork: ForkId(0),
            stage: Stage::Preview,
            party: self.party_of(&terms),
            rules: Rules::default(),
            retired: Retired::default(),
            guard,
            keys,
            own,
            secure,
            terms,
        }
    }

    /// Source rules for an agreement. `before` is where was sent to until now.
    fn guard(
        &mut self,
        terms: &NegotiatedStream,
        before: Option<SocketAddr>,
        now: Timestamp,
    ) -> SourceGuard {
        let mut guard = SourceGuard::new(terms.remote_rtp, terms.source.clone(), now);
        if let Some(ice) = &terms.ice {
            self.agent.serve(&ice.local);
            let pairs = self.agent.pairs(ice);
            let checked = Checked::new(ice, terms.remote_rtp, pairs, before, now);
            guard.follow(checked);
        }
        guard
    }

    fn revised(&mut self, mut face: Face, terms: NegotiatedStream, now: Timestamp) -> Face {
        let (before, after) = (&face.terms.payloads, &terms.payloads);
        face.retired.follow(before, after, now);
        // The evidence of one kind of packets says nothing about the other; the place is the best guess.
        let same_kind = face.terms.content == terms.content;
        let same_guard = (same_kind || face.guard.checked().is_none())
            && face.terms.ice == terms.ice
            && face.guard.guards(terms.remote_rtp, &terms.source);
        // With ICE another default address means nothing, and other fragments mean another party.
        let moved = match (&face.terms.ice, &terms.ice) {
            (Some(before), Some(after)) => before.remote_fragment != after.remote_fragment,
            (None, None) => !face.guard.names(terms.remote_rtp),
            (Some(_), None) | (None, Some(_)) => true,
        };
        // Who begins anew with ICE is found by its own checks.
        let is_anew = moved && terms.ice.is_some();
        let is_elsewhere = face.terms.remote_rtcp != terms.remote_rtcp;
        if is_anew || is_elsewhere || face.terms.rtcp_mux != terms.rtcp_mux {
            self.reports.forget_source();
        }
        // What is agreed as before goes on, and what is agreed anew begins beside the keys of before (RFC 8842 §4).
        let keeps = face.keeps_handshake(&terms, moved);
        let secure = match face.secure {
            Some(secure) if keeps => Some(secure),
            Some(_) | None => Secure::new(self.identity.as_ref(), &terms, now),
        };
        // What a fax has of keys is kept for the audio after it.
        let was_fax = face.terms.content == Content::Udptl;
        let was_secure = was_fax || matches!(face.terms.protection, Protection::Dtls(_));
        let is_pause = keeps && terms.content == Content::Udptl;
        let guard = if same_guard {
            face.guard.described(same_kind, now);
            face.guard
        } else {
            // What was sent to goes on until checks say better (MED-157).
            let before = face.guard.destination();
            self.guard(&terms, Some(before).filter(|at| reachable(*at)), now)
        };
        let is_kept = guard.checked().is_some_and(Checked::holds_before);
        let (keys, own) = match (&terms.protection, face.keys) {
            (Protection::None, keys) if is_pause => (keys, face.own),
            (Protection::None, _) => (None, SendsWith::default()),
            (Protection::Dtls(_), keys) if was_secure => (keys, face.own),
            (Protection::Dtls(_), _) => (None, SendsWith::default()),
            (Protection::Sdes { local, remote }, None) => (
                Some(PeerKeys::new(&mut self.ring, remote)),
                SendsWith::only(self.sender(local)),
            ),
            (Protection::Sdes { local, remote }, Some(mut keys)) => {
                let agreed = Agreed {
                    is_moved: moved,
                    is_held: is_kept,
                };
                keys.agree(&mut self.ring, remote, agreed, now);
                (Some(keys), self.sender_between(face.own, local, is_kept))
            }
        };
        let mut face = Face {
            terms,
            guard,
            keys,
            own,
            secure,
            ..face
        };
        for keys in face.all_keys_mut().filter(|_| !is_kept) {
            keys.release(now);
        }
        face
    }

    fn forget_keys(&mut self) {
        let faces = &self.faces;
        self.ring.retain(|id| {
            faces
                .iter()
                .any(|face| face.all_keys().any(|keys| keys.uses(id)))
        });
    }

    /// Zeroises old keys whose overlap is over.
    pub(super) fn expire_keys(&mut self, now: Timestamp) {
        let mut over = false;
        for face in &mut self.faces {
            for keys in face.all_keys_mut() {
                over |= keys.expire(now);
            }
        }
        if over {
            self.forget_keys();
        }
    }

    /// When [`Self::expire_keys`] has something to do.
    pub(super) fn key_deadline(&self) -> Option<Timestamp> {
        self.faces
            .iter()
            .flat_map(|face| face.all_keys().filter_map(PeerKeys::deadline))
            .min()
    }

    /// Forgets old payload types that have had their time; says whether that was any.
    pub(super) fn expire_retired(&mut self, now: Timestamp) -> bool {
        let faces = self.faces.iter_mut();
        faces.fold(false, |is_over, face| is_over | face.retired.expire(now))
    }

    /// When [`Self::expire_retired`] has something to do.
    pub(super) fn retired_deadline(&self) -> Option<Timestamp> {
        let faces = self.faces.iter();
        faces.filter_map(|face| face.retired.deadline()).min()
    }

    /// Finds the face whose peer sent this packet and removes its protection in place. Nothing is
    /// learnt here beyond what the authentication itself must remember.
    pub(super) fn open(
        &mut self,
        protocol: Protocol,
        packet: &mut [u8],
        now: Timestamp,
        standing: impl Fn(&Face) -> Option<Rank>,
    ) -> Result<(usize, usize), DropReason> {
        let mut refused = if self.faces.is_empty() {
            DropReason::NoPath
        } else {
            DropReason::Source
        };
        for wanted in Rank::ALL {
            // The newest face first: it is where the peer most likely sends from.
            for (at, face) in self.faces.iter_mut().enumerate().rev() {
                if standing(face) != Some(wanted) {
                    continue;
                }
                let Some(keys) = face.keys_of(protocol) else {
                    if face.is_open() {
                        return Ok((at, packet.len()));
                    }
                    refused = DropReason::NoKey;
                    continue;
                };
                match keys.open(&mut self.ring, protocol, packet, now) {
                    Ok(length) => return Ok((at, length)),
                    Err(SrtpFault::Replay) => refused = DropReason::Replay,
                    Err(SrtpFault::Malformed) => refused = DropReason::Malformed,
                    Err(
                        SrtpFault::Authentication
                        | SrtpFault::Room
                        | SrtpFault::Exhausted
                        | SrtpFault::Cipher,
                    ) => refused = DropReason::Authentication,
                }
            }
        }
        Err(refused)
    }

    /// Judges one RTP packet, decrypting it in place. The order is that of MED-033: source without
    /// side effects, authentication, validity, and only then anything that remembers.
    pub(super) fn accept(
        &mut self,
        from: SocketAddr,
        packet: &mut [u8],
        now: Timestamp,
    ) -> Result<Accepted, DropReason> {
        let header = RtpHeader::parse(packet).map_err(|_| DropReason::Malformed)?;
        let (at, length) = self.open(Protocol::Rtp, packet, now, |face| {
            face.guard.standing(from, now)
        })?;
        let packet = packet.get(..length).ok_or(DropReason::Malformed)?;
        let payload = header.payload(packet).map_err(|_| DropReason::Malformed)?;
        let face = self.faces.get_mut(at).ok_or(DropReason::NoPath)?;
        // Our own SSRC is a loop (MED-036), unless it comes from the very address that the peer
        // named for its media: then the peer is an echo test, and the echo is what it sends.
        if header.ssrc == self.outgoing.ssrc && from != face.terms.remote_rtp {
            return Err(DropReason::Ssrc);
        }
        let rule = face
            .rules
            .of(header.payload_type)
            .ok_or(DropReason::PayloadType)?;
        let evidence = Evidence {
            ssrc: header.ssrc,
            sequence: header.sequence,
            timestamp: header.timestamp,
            authentic: face.keys.is_some(),
        };
        match face.guard.learn(from, evidence, now) {
            Learned::Known => {}
            Learned::Pinned => self.pinned_news = Some(from),
            Learned::NotYet => {
                self.early.is_opened = evidence.authentic;
                return Err(DropReason::Source);
            }
        }
        let (party, direction) = (face.party, face.terms.direction);
        if !self.has_arrived {
            // What another session still hands over must not keep a new SSRC waiting.
            self.reception.expect_change(now);
        }
        self.prefer_heard(at);
        let accepted = self.count_in(&header, payload, rule, (party, direction), length, now)?;
        self.has_arrived = true;
        Ok(accepted)
    }

    /// Takes a packet in that another session has accepted and opened, under the number that its format
    /// has here. What arrives here itself makes it superfluous.
    pub(super) fn accept_handed(
        &mut self,
        packet: &[u8],
        format: &Format,
        now: Timestamp,
    ) -> Result<Accepted, DropReason> {
        if self.has_arrived {
            return Err(DropReason::NoPath);
        }
        let header = RtpHeader::parse(packet).map_err(|_| DropReason::Malformed)?;
        let payload = header.payload(packet).map_err(|_| DropReason::Malformed)?;
        let face = self.faces.last().ok_or(DropReason::NoPath)?;
        let mut bindings = face.terms.payloads.iter();
        // What either party wants to receive is nothing that a codec is known by.
        let is_it = |own: &Format| own.name == format.name && own.clock_hz == format.clock_hz;
        let binding = bindings.find(|binding| is_it(&binding.format));
        let binding = binding.ok_or(DropReason::PayloadType)?;
        let rule = face.rules.of(binding.receive);
        let rule = rule.ok_or(DropReason::PayloadType)?;
        let of = (face.party, face.terms.direction);
        self.count_in(&header, payload, rule, of, packet.len(), now)
    }

    /// What everything that is accepted passes last: pace, order, direction and figures.
    fn count_in(
        &mut self,
        header: &RtpHeader,
        payload: Range<usize>,
        rule: Rule,
        (party, direction): (Party, Direction),
        length: usize,
        now: Timestamp,
    ) -> Result<Accepted, DropReason> {
        let receives = direction.receives() || self.grace_until.is_some_and(|until| now < until);
        if !self.rate.admits(now) {
            return Err(DropReason::Rate);
        }
        let position = self
            .reception
            .arrive((party, header.ssrc), header.sequence, now)?;
        if !receives {
            return Err(DropReason::Direction);
        }
        self.reception
            .measure_jitter(header.timestamp, rule.clock_hz, now);
        let first = self.count_received(length, now);
        if !rule.is_event && self.reception.newest() == Some(position) {
            self.is_quiet = rule.is_noise || payload.len() <= QUIET_BYTES;
        }
        // Noise is part of what is heard with a codec.
        if !rule.is_event && (!rule.is_noise || self.format.is_none()) {
            let before = self.format.replace(rule.format);
            let is_switched = before.is_some_and(|before| before != rule.format);
            self.codec_switches += u32::from(is_switched);
        }
        Ok(Accepted {
            payload_type: header.payload_type,
            marker: header.marker,
            timestamp: header.timestamp,
            clock_hz: rule.clock_hz,
            position,
            payload,
            send_as: rule.send_as,
            first,
            is_event: rule.is_event,
            is_noise: rule.is_noise,
            law: rule.law,
            change: rule.change,
            packing: rule.packing,
        })
    }

    /// The codec that came last.
    pub(super) fn format(&self) -> Option<FormatId> {
        self.format
    }

    /// Whether the peer may be silent by its own choice.
    pub(super) fn pauses(&self) -> bool {
        self.is_quiet || self.reception.has_paused()
    }

    /// What a received payload type means.
    pub(super) fn format_of(&self, payload_type: u8) -> Option<&Format> {
        let bindings = self.faces.iter().rev().flat_map(|face| {
            let agreed = face.terms.payloads.iter();
            agreed.chain(face.retired.bindings())
        });
        let mut bindings = bindings.filter(|binding| binding.receive == payload_type);
        bindings.next().map(|binding| &binding.format)
    }

    /// Numbers a packet toward this stream's peer and writes its header in front of the payload,
    /// where the longer header of the received packet was; protects it where it lies.
    pub(super) fn emit(
        &mut self,
        origin: Origin,
        packet: &Accepted,
        payload_type: u8,
        slot: &mut [u8],
        now: Timestamp,
    ) -> Result<Ready, DropReason> {
        let face = self.faces.last().ok_or(DropReason::NoPath)?;
        if face.is_shut() {
            return Err(DropReason::NoKey);
        }
        let to = face.guard.destination();
        let Stamp {
            extended,
            timestamp,
            begins,
        } = self
            .outgoing
            .stamp(
                origin,
                packet.position.extended,
                packet.timestamp,
                packet.clock_hz,
                now,
            )
            .ok_or(DropReason::Duplicate)?;
        let start = packet
            .payload
            .start
            .checked_sub(rtp::HEADER_BYTES)
            .ok_or(DropReason::Malformed)?;
        let header = slot
            .get_mut(start..)
            .and_then(|rest| rest.first_chunk_mut())
            .ok_or(DropReason::Malformed)?;
        let marker = packet.marker || begins;
        rtp::write_header(
            header,
            marker,
            payload_type,
            extended as u16,
            timestamp,
            self.outgoing.ssrc,
        );
        let plain_bytes = packet.payload.end - start;
        let sender = face.own.now;
        let room = slot.get_mut(start..).ok_or(DropReason::Malformed)?;
        let length = self.seal(sender, extended, room, plain_bytes)?;
        self.outgoing.octets += packet.payload.len() as u64;
        Ok(Ready {
            socket: self.sockets.rtp,
            to,
            range: start..start + length,
            plain_bytes,
        })
    }

    /// Sends a packet that we make ourselves on this stream, `at` in the session. `room` begins with space for the header, then `payload`
    /// bytes of payload, then space for a tag.
    pub(super) fn emit_own(&mut self, at: usize, own: &Own, room: &mut [u8], out: &mut Output) {
        let Some((sender, to)) = self
            .active()
            .filter(|face| !face.is_shut())
            .map(|face| (face.own.now, face.guard.destination()))
        else {
            return;
        };
        let Some(header) = room.first_chunk_mut() else {
            return;
        };
        let extended = self.outgoing.insert(own.timestamp, own.clock_hz, own.since);
        rtp::write_header(
            header,
            own.marker,
            own.payload_type,
            extended as u16,
            own.timestamp,
            self.outgoing.ssrc,
        );
        let plain_bytes = rtp::HEADER_BYTES + own.length;
        let Ok(length) = self.seal(sender, extended, room, plain_bytes) else {
            return self.drop_for(DropReason::Send);
        };
        self.outgoing.octets += own.length as u64;
        self.generated_packets += 1;
        let ready = Ready {
            socket: self.sockets.rtp,
            to,
            range: 0..length,
            plain_bytes,
        };
        out.push_generated(self.sockets.realm, at, &ready, room);
    }

    /// Counts a packet that passed all checks; true if it is the first of the stream.
    pub(super) fn count_received(&mut self, bytes: usize, now: Timestamp) -> bool {
        self.heard_at = Some(now);
        self.received_packets += 1;
        self.received_bytes += bytes as u64;
        self.rtp_at.replace(now).is_none()
    }

    pub(super) fn count_sent(&mut self, bytes: usize) {
        self.sent_packets += 1;
        self.sent_bytes += bytes as u64;
    }

    /// The operating system did not take a packet that [`Self::emit`] had counted. One that we made
    /// stays counted as made.
    pub(super) fn uncount(&mut self, plain_bytes: usize) {
        self.sent_packets = self.sent_packets.saturating_sub(1);
        self.sent_bytes = self.sent_bytes.saturating_sub(plain_bytes as u64);
        self.drop_for(DropReason::Send);
    }

    pub(super) fn drop_for(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
    }

    /// Drops a packet from there.
    pub(super) fn refuse(&mut self, from: SocketAddr, reason: DropReason) {
        if reason == DropReason::Source {
            self.refused = Some(from);
        }
        self.drop_for(reason);
    }

    /// The suite of a key, ours or the peer's, of which a new one has become due since this was asked last.
    pub(super) fn take_worn(&mut self) -> Option<Suite> {
        let ours = self.worn.take();
        self.ring.take_worn().or(ours)
    }

    /// Figures so far.
    pub(super) fn stats(&self, wall: WallOffset) -> StreamStats {
        let (fax_lost, fax_late, fax_repeated) = self
            .fax
            .as_ref()
            .map_or((0, 0, 0), |fax| (fax.lost, fax.late, fax.repeated));
        StreamStats {
            received_packets: self.received_packets,
            received_bytes: self.received_bytes,
            sent_packets: self.sent_packets,
            sent_bytes: self.sent_bytes,
            generated_packets: self.generated_packets,
            received_rtcp: self.reports.received,
            sent_rtcp: self.reports.sent,
            lost_packets: self.reception.lost() + fax_lost,
            reordered_packets: self.reception.reordered() + fax_late,
            repeated_packets: fax_repeated,
            jitter_us: self.reception.jitter_us(),
            max_jitter_us: self.reception.max_jitter_us(),
            resynchronised: self.ring.resyncs(),
            round_trip_us: self.reports.round_trip_us,
            answered_checks: self.agent.answered,
            dropped: self.dropped,
            ssrc: self.reception.ssrc(),
            heard_unix_ms: self.rtp_at.map(|at| wall.unix_ms(at)),
            source: self.pinned_source(),
            codec: self.codec_name(),
            suite: self.sends_under().or(self.suite),
            quality: self.quality(wall),
        }
    }

    /// What the E-model knows of the codec that was received last.
    pub(super) fn rated_codec(&self) -> Option<Codec> {
        let bound = self.bound_codec().map(|format| format.name.as_ref());
        Codec::of(bound.or(self.codec.as_deref())?)
    }

    fn remember(&mut self) {
        self.codec = self.codec_name();
        self.source = self.pinned_source();
        self.suite = self.sends_under().or(self.suite);
    }

    fn codec_name(&self) -> Option<Cow<'static, str>> {
        let bound = self.bound_codec().map(|format| &format.name);
        bound.or(self.codec.as_ref()).cloned()
    }

    /// The codec that was received last, if it is still agreed.
    fn bound_codec(&self) -> Option<&Format> {
        let format = self.format?;
        let mut bindings = self
            .faces
            .iter()
            .rev()
            .flat_map(|face| &face.terms.payloads);
        let bound = bindings.find(|binding| binding.id == format)?;
        Some(&bound.format)
    }

    fn pinned_source(&self) -> Option<SocketAddr> {
        self.faces
            .iter()
            .rev()
            .find_map(|face| face.guard.pinned())
            .or(self.source)
    }
}

impl Face {
    fn is_preview_of(&self, fork: ForkId) -> bool {
        self.stage == Stage::Preview && self.fork == fork
    }

    /// Whether what this face's peer sends is authenticated.
    pub(super) fn is_secure(&self) -> bool {
        self.keys.is_some()
    }
}

/// Whether an address can be sent to: `0.0.0.0` and port 0 mean "nothing, please" (MED-066).
pub(super) fn reachable(address: SocketAddr) -> bool {
    !address.ip().is_unspecified() && address.port() != 0
}
