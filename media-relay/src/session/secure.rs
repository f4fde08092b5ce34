//! DTLS-SRTP on the streams of a session: handshakes with their peers, and keys that come of them (RFC 5764).
//!
//! Each agreement has its own association, and where RTCP has a port of its own a second one for that (RFC 5764 §4.1).
//! Nothing flows before there are keys (MED-136). An agreement that changes who the peer is begins a new association,
//! and the keys of the old one serve until the new ones are there (RFC 8842 §4).

use super::ice::Checked;
use super::output::{Outcome, Output};
use super::source::Rank;
use super::stream::{Face, Stream, reachable};
use super::{MediaSession, SocketId};
use crate::dtls::{self, Association, Identity};
use crate::srtp::{Agreed, PeerKeys, Protocol};
use crate::time::Timestamp;
use media_api::{
    Content, CryptoKey, DropReason, DtlsRole, EndpointId, Event, HandshakeFault, NegotiatedStream,
    Protection, Stage,
};
use std::net::SocketAddr;
use std::time::Duration;

/// How long a committed peer may take to begin: as long as for a handshake as a whole (MED-134).
const PATIENCE: Duration = Duration::from_secs(10);

/// The handshakes of one agreement.
#[derive(Debug)]
pub(super) struct Secure {
    rtp: Channel,
    /// Of RTCP, where it has a port of its own.
    rtcp: Option<Channel>,
    report_keys: Option<PeerKeys>,
    report_sender: Option<usize>,
}

/// One handshake over one pair of ports.
#[derive(Debug)]
struct Channel {
    association: Association,
    /// Where the peer is: only its keys prove that, so nobody is shut out before (MED-033).
    proven: Option<SocketAddr>,
    /// Handshakes that others than the described address have begun: the peer behind a NAT is one of them.
    rivals: Vec<(SocketAddr, Association)>,
    /// What one of them failed by last, which may have been the peer.
    rejected: Option<HandshakeFault>,
    /// Until when the peer may take to begin.
    patience: Timestamp,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Open,
    Keyed,
    Failed,
}

/// Which of an agreement's two handshakes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Rtp,
    Rtcp,
}

impl Secure {
    /// The handshakes that an agreement needs; none without an identity, and then its stream stays shut.
    pub(super) fn new(
        identity: Option<&Identity>,
        terms: &NegotiatedStream,
        now: Timestamp,
    ) -> Option<Box<Self>> {
        let Protection::Dtls(agreed) = &terms.protection else {
            return None;
        };
        let identity = identity?;
        let channel = || Channel {
            association: Association::new(identity, agreed.clone(), now),
            proven: None,
            rivals: Vec::new(),
            rejected: None,
            patience: now + PATIENCE,
            state: State::Open,
        };
        Some(Box::new(Self {
            rtp: channel(),
            rtcp: has_report_port(terms).then(channel),
            report_keys: None,
            report_sender: None,
        }))
    }

    /// Whether all keys are made.
    fn is_keyed(&self) -> bool {
        let mut channels = [Some(&self.rtp), self.rtcp.as_ref()].into_iter().flatten();
        channels.all(|channel| channel.state == State::Keyed)
    }

    /// Whether these are the terms that the handshakes were made for, whatever was agreed in between.
    fn is_for(&self, terms: &NegotiatedStream) -> bool {
        let made_for = self.rtp.association.terms();
        matches!(&terms.protection, Protection::Dtls(agreed) if agreed == made_for)
            && self.rtcp.is_some() == has_report_port(terms)
    }

    fn part(&mut self, part: Part) -> Option<&mut Channel> {
        match part {
            Part::Rtp => Some(&mut self.rtp),
            Part::Rtcp => self.rtcp.as_mut(),
        }
    }
}

/// Whether reports have a port of their own.
fn has_report_port(terms: &NegotiatedStream) -> bool {
    !terms.rtcp_mux && terms.remote_rtcp.port() != 0
}

/// Whether the peer tells its associations apart.
fn is_named(protection: &Protection) -> bool {
    matches!(protection, Protection::Dtls(terms) if !terms.tls_id.is_empty())
}

/// Handshakes that are begun from other addresses at the same time; the oldest gives way.
const RIVALS: usize = 4;

impl Channel {
    /// A datagram of somebody who is not where the peer was described, and may be the peer: it has a handshake of its
    /// own, so that it can neither disturb nor end that of another (MED-033). The first with keys takes the place of
    /// all.
    fn rival(
        &mut self,
        identity: &Identity,
        from: SocketAddr,
        datagram: &[u8],
        now: Timestamp,
        send: impl FnMut(&[u8]),
    ) -> Option<dtls::Outcome> {
        let known = self.rivals.iter().position(|(at, _)| *at == from);
        let (_, mut association) = match known {
            Some(known) => self.rivals.remove(known),
            None => {
                let terms = self.association.terms().clone();
                (from, Association::new(identity, terms, now))
            }
        };
        match association.packet(datagram, now, send) {
            Some(keys @ dtls::Outcome::Keys { .. }) => {
                self.association = association;
                return Some(keys);
            }
            // It is not the peer, or tries again.
            Some(dtls::Outcome::Failed(why)) => self.rejected = Some(why),
            None => {
                if self.rivals.len() == RIVALS {
                    self.rivals.remove(0);
                }
                self.rivals.push((from, association));
            }
        }
        None
    }

    /// When something is due, with somebody to send to.
    fn deadline(&self, stage: Stage) -> Option<Timestamp> {
        match self.state {
            State::Open if self.association.has_begun() => self.association.deadline(),
            State::Open => {
                let patience = (stage == Stage::Final).then_some(self.patience);
                self.association.deadline().or(patience)
            }
            State::Keyed | State::Failed => None,
        }
    }
}

impl Face {
    /// Whether keys are wanted that no handshake has made yet.
    pub(super) fn is_shut(&self) -> bool {
        !self.is_open() && self.own.now.is_none()
    }

    /// Whether packets are neither protected nor to be.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.terms.protection, Protection::None)
    }

    /// The keys under which the peer sends packets of this kind.
    pub(super) fn keys_of(&mut self, protocol: Protocol) -> Option<&mut PeerKeys> {
        match (protocol, &mut self.secure) {
            (Protocol::Rtcp, Some(secure)) if secure.rtcp.is_some() => secure.report_keys.as_mut(),
            _ => self.keys.as_mut(),
        }
    }

    /// The same for what we send of RTCP.
    pub(super) fn report_sender(&self) -> Option<usize> {
        match &self.secure {
            Some(secure) if secure.rtcp.is_some() => secure.report_sender,
            // A port of its own has been found by the checks that another key waits for, or been described with it.
            Some(_) | None if !self.terms.rtcp_mux => self.own.next.or(self.own.now),
            Some(_) | None => self.own.now,
        }
    }

    /// Whether something is sent under the key at this place.
    pub(super) fn sends_with(&self, sender: usize) -> bool {
        let of_reports = self.secure.as_ref().and_then(|own| own.report_sender);
        [self.own.now, self.own.next, of_reports].contains(&Some(sender))
    }

    pub(super) fn all_keys(&self) -> impl Iterator<Item = &PeerKeys> {
        let secure = self.secure.as_ref();
        let reports = secure.and_then(|secure| secure.report_keys.as_ref());
        self.keys.iter().chain(reports)
    }

    pub(super) fn all_keys_mut(&mut self) -> impl Iterator<Item = &mut PeerKeys> {
        let secure = self.secure.as_mut();
        let reports = secure.and_then(|secure| secure.report_keys.as_mut());
        self.keys.iter_mut().chain(reports)
    }

    /// Whether the association goes on under these terms: nothing of what it was made for is another, and it has
    /// not failed (MED-134).
    pub(super) fn keeps_handshake(&self, terms: &NegotiatedStream, moved: bool) -> bool {
        let secure = self.secure.as_deref();
        if terms.content == Content::Udptl {
            // A fax is clear, and audio comes back to the keys of before. Handshakes that are not over end.
            let is_at_home = !moved || self.terms.ice.is_some();
            return is_at_home && secure.is_some_and(Secure::is_keyed);
        }
        let is_same = match self.terms.content {
            Content::Udptl => secure.is_some_and(|secure| secure.is_for(terms)),
            Content::Rtp => {
                self.terms.protection == terms.protection && self.terms.rtcp_mux == terms.rtcp_mux
            }
        };
        let is_same = is_same
            // Checks find the peer wherever it is, and its restart is no other party. One that has named its
            // association names another where it moves and begins anew (RFC 8842 §4).
            && (terms.ice.is_some() || !moved || is_named(&terms.protection));
        let is_sound = |secure: &Secure| !matches!(secure.rtp.state, State::Failed);
        is_same && secure.is_some_and(is_sound)
    }

    /// A new agreement: whoever is to begin has its time from now.
    pub(super) fn expect_handshake(&mut self, now: Timestamp) {
        if let Some(secure) = &mut self.secure {
            secure.rtp.patience = now + PATIENCE;
            if let Some(rtcp) = &mut secure.rtcp {
                rtcp.patience = now + PATIENCE;
            }
        }
    }

    /// Where the next flight goes; nowhere as long as nobody can be sent to.
    fn handshake_target(&self, part: Part) -> Option<SocketAddr> {
        let secure = self.secure.as_deref()?;
        let (channel, told) = match part {
            Part::Rtp if self.has_target() => (&secure.rtp, Some(self.guard.destination())),
            Part::Rtp => (&secure.rtp, None),
            Part::Rtcp => {
                let checked = self.guard.checked().map(Checked::rtcp);
                let told = checked.unwrap_or(Some(self.terms.remote_rtcp));
                (secure.rtcp.as_ref()?, told)
            }
        };
        channel.proven.or(told).filter(|to| reachable(*to))
    }

    /// Whether a part of a handshake from there is one with the peer as far as anybody knows: from where it was
    /// described, has shown to be, or was found by checks; and always where we begin, as it answers us.
    fn is_described(&self, part: Part, from: SocketAddr) -> bool {
        let Some(secure) = self.secure.as_deref() else {
            return false;
        };
        let (channel, told) = match (part, &secure.rtcp) {
            (Part::Rtcp, Some(rtcp)) => (rtcp, self.terms.remote_rtcp),
            (Part::Rtp | Part::Rtcp, _) => (&secure.rtp, self.terms.remote_rtp),
        };
        from == told
            || channel.proven.is_some()
            || self.guard.checked().is_some()
            || channel.association.terms().role == DtlsRole::Active
    }

    /// How well an address stands that a part of a handshake has come from. Once the peer has shown by its keys
    /// where it is, nobody else disturbs it but from where it was announced (MED-135).
    fn handshake_standing(&self, part: Part, from: SocketAddr, now: Timestamp) -> Option<Rank> {
        let secure = self.secure.as_deref()?;
        let (channel, told, rank) = match part {
            Part::Rtp => (
                &secure.rtp,
                self.terms.remote_rtp,
                self.guard.standing(from, now),
            ),
            Part::Rtcp => {
                let told = self.terms.remote_rtcp;
                let admits = self.guard.admits_rtcp(from, told, false, now);
                (secure.rtcp.as_ref()?, told, admits.then_some(Rank::Exact))
            }
        };
        let is_peer = channel.proven.is_none_or(|known| known == from)
            || from == told
            || self.guard.checked().is_some();
        rank.filter(|_| is_peer)
    }
}

impl Stream {
    /// When a handshake has something due.
    pub(super) fn handshake_deadline(&self) -> Option<Timestamp> {
        let of = |face: &Face| {
            let secure = face.secure.as_deref()?;
            let rtp = secure.rtp.deadline(face.stage);
            let rtcp = secure.rtcp.as_ref();
            let rtcp = rtcp.and_then(|own| own.deadline(Stage::Preview));
            let rtp = rtp.filter(|_| face.handshake_target(Part::Rtp).is_some());
            let rtcp = rtcp.filter(|_| face.handshake_target(Part::Rtcp).is_some());
            [rtp, rtcp].into_iter().flatten().min()
        };
        self.faces.iter().filter_map(of).min()
    }

    /// The face that a part of a handshake belongs to.
    fn face_of(&self, part: Part, from: SocketAddr, now: Timestamp) -> Option<usize> {
        let faces = self.faces.iter().enumerate().rev();
        let ranked = faces.filter_map(|(at, face)| {
            let rank = face.handshake_standing(part, from, now)?;
            Some((rank, at))
        });
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, at)| at)
    }

    /// Takes over the keys of a handshake.
    fn install(
        &mut self,
        at: usize,
        part: Part,
        local: &CryptoKey,
        remote: &CryptoKey,
        now: Timestamp,
    ) {
        let sender = self.fresh_sender(local);
        let Stream { faces, ring, .. } = self;
        let Some(face) = faces.get_mut(at) else {
            return;
        };
        let agreed = Agreed {
            is_moved: false,
            is_held: face.holds_before(),
        };
        let Some(secure) = &mut face.secure else {
            return;
        };
        let (keys, own) = match part {
            Part::Rtp => (&mut face.keys, &mut face.own.now),
            Part::Rtcp => (&mut secure.report_keys, &mut secure.report_sender),
        };
        match keys {
            Some(keys) => keys.agree(ring, remote, agreed, now),
            None => *keys = Some(PeerKeys::new(ring, remote)),
        }
        *own = Some(sender);
    }
}

impl MediaSession {
    /// Says under which certificate an endpoint makes handshakes.
    pub fn identify(&mut self, endpoint: EndpointId, identity: &Identity) {
        let Some(at) = self.open_endpoint(endpoint) else {
            return;
        };
        let streams = self.endpoints[at].streams.clone();
        for stream in &mut self.streams[streams] {
            stream.identity = Some(identity.clone());
        }
    }

    /// One datagram of a handshake. What is answered goes back the way it came; strangers are not.
    pub(super) fn handshake(
        &mut self,
        at: usize,
        is_rtp_port: bool,
        from: SocketAddr,
        datagram: &[u8],
        now: Timestamp,
        out: &mut Output,
    ) -> Result<Outcome, DropReason> {
        let stream = &mut self.streams[at];
        if stream.faces.iter().all(|face| face.secure.is_none()) {
            return Err(match stream.faces.is_empty() {
                // Nothing is trusted before the description (MED-133); the peer repeats itself.
                true => DropReason::NoPath,
                false => DropReason::Malformed,
            });
        }
        let (part, socket) = match is_rtp_port {
            true => (Part::Rtp, stream.sockets.rtp),
            false => (Part::Rtcp, stream.sockets.rtcp),
        };
        let face = stream.face_of(part, from, now);
        let face = face.ok_or(DropReason::Source)?;
        let realm = stream.sockets.realm;
        let identity = stream.identity.clone();
        let is_described = stream.faces[face].is_described(part, from);
        let secure = stream.faces[face].secure.as_mut();
        let channel = secure.and_then(|secure| secure.part(part));
        let channel = channel.ok_or(DropReason::Malformed)?;
        let send = |packet: &[u8]| out.push_report(realm, socket, from, packet);
        let outcome = match (is_described, identity) {
            (false, Some(identity)) => channel.rival(&identity, from, datagram, now, send),
            (true, _) | (false, None) => channel.association.packet(datagram, now, send),
        };
        if let Some(dtls::Outcome::Keys { .. }) = outcome {
            channel.proven = Some(from);
            channel.rivals = Vec::new();
        }
        // It may have begun, or begun anew.
        out.is_sooner = true;
        if let Some(outcome) = outcome {
            self.conclude(at, face, part, outcome, now, out);
        }
        Ok(Outcome::Checked)
    }

    /// Repeats what is due to be, and gives up what has had its time.
    pub(super) fn tick_handshakes(&mut self, now: Timestamp, out: &mut Output) {
        for at in 0..self.streams.len() {
            for face in 0..self.streams[at].faces.len() {
                for part in [Part::Rtp, Part::Rtcp] {
                    self.tick_handshake(at, face, part, now, out);
                }
            }
        }
    }

    fn tick_handshake(
        &mut self,
        at: usize,
        own: usize,
        part: Part,
        now: Timestamp,
        out: &mut Output,
    ) {
        let stream = &mut self.streams[at];
        let (realm, sockets) = (stream.sockets.realm, stream.sockets);
        let Some(face) = stream.faces.get_mut(own) else {
            return;
        };
        let (to, stage) = (face.handshake_target(part), face.stage);
        let secure = face.secure.as_mut();
        let (Some(to), Some(channel)) = (to, secure.and_then(|own| own.part(part))) else {
            return;
        };
        if channel.state != State::Open || channel.deadline(stage).is_none_or(|due| due > now) {
            return;
        }
        let socket: SocketId = match part {
            Part::Rtp => sockets.rtp,
            Part::Rtcp => sockets.rtcp,
        };
        let is_forgotten = channel.association.deadline().is_none();
        let send = |packet: &[u8]| out.push_report(realm, socket, to, packet);
        let outcome = match is_forgotten {
            true => {
                let why = channel.rejected.unwrap_or(HandshakeFault::Timeout);
                Some(dtls::Outcome::Failed(why))
            }
            false => channel.association.tick(now, send),
        };
        if let Some(outcome) = outcome {
            self.conclude(at, own, part, outcome, now, out);
        }
    }

    fn conclude(
        &mut self,
        at: usize,
        own: usize,
        part: Part,
        outcome: dtls::Outcome,
        now: Timestamp,
        out: &mut Output,
    ) {
        let stream = &mut self.streams[at];
        let Some(face) = stream.faces.get_mut(own) else {
            return;
        };
        let stage = face.stage;
        let secure = face.secure.as_mut();
        let Some(channel) = secure.and_then(|secure| secure.part(part)) else {
            return;
        };
        match outcome {
            dtls::Outcome::Keys { local, remote } => {
                channel.state = State::Keyed;
                out.handshakes[0] += 1;
                stream.install(own, part, &local, &remote, now);
                self.replan(now);
                // Digits may have waited for this.
                self.streams[at].send_digits(at, now, out);
            }
            // Whoever says goodbye has its keys until the call ends.
            dtls::Outcome::Failed(_) if channel.state == State::Keyed => {}
            dtls::Outcome::Failed(why) => {
                channel.state = State::Failed;
                out.handshakes[1 + why as usize] += 1;
                if part == Part::Rtp && stage == Stage::Final {
                    let index = stream.index;
                    out.events.push(Event::HandshakeFailed {
                        session: self.id,
                        endpoint: self.endpoint_of(at),
                        stream: index,
                        why,
                    });
                }
            }
        }
    }
}
