//! ICE on the streams of a session: checks in, answers out, and what they mean for the media.

mod agent;
mod checked;
mod strangers;

pub(super) use agent::Agent;
pub(super) use checked::Checked;
pub(super) use strangers::Strangers;

use super::output::{Outcome, Output};
use super::stream::{Face, Stream};
use super::{MediaSession, SocketId};
use crate::time::Timestamp;
use media_api::{Direction, DropReason, EndpointId, IceComponent, Stage, StreamSpec};
use std::net::SocketAddr;

impl MediaSession {
    /// Says what the streams of an endpoint were reserved for: whose checks they answer, and whether
    /// secured packets are kept that come before their key (TDR-MED-009).
    pub fn prepare(&mut self, endpoint: EndpointId, specs: &[StreamSpec]) {
        let Some(at) = self.open_endpoint(endpoint) else {
            return;
        };
        let streams = self.endpoints[at].streams.clone();
        for (stream, spec) in self.streams[streams].iter_mut().zip(specs) {
            if let Some(credentials) = &spec.ice {
                stream.agent.serve(credentials);
            }
            // With a handshake there is no key before the description, and nothing to be kept (MED-136).
            stream.early.is_wanted = !spec.protection.suites().is_empty();
        }
    }

    /// One STUN message. An answer goes back the way it came, whatever else the stream does: also on
    /// hold, and all through the call (TDR-ICE-011, TDR-HLD-003).
    pub(super) fn check(
        &mut self,
        at: usize,
        socket: SocketId,
        from: SocketAddr,
        datagram: &[u8],
        now: Timestamp,
        out: &mut Output,
    ) -> Result<Outcome, DropReason> {
        let stream = &mut self.streams[at];
        let component = match stream.sockets.rtp == socket {
            true => IceComponent::Rtp,
            false => IceComponent::Rtcp,
        };
        let Stream { agent, faces, .. } = stream;
        let is_heard = |address| {
            faces
                .iter()
                .any(|face| face.guard.pinned() == Some(address))
        };
        let judged = agent.judge(datagram, from, component, now, is_heard, &mut out.strangers)?;
        let realm = stream.sockets.realm;
        out.nominated += u64::from(judged.is_nominated);
        out.push_report(realm, socket, from, judged.answer.bytes());
        if judged.is_proven {
            stream.heard_at = Some(now);
        }
        if let Some(fragment) = judged.news_of {
            stream.follow_checks(fragment, now);
            self.replan(now);
            // Digits may have waited for this, and so may what came before it.
            self.streams[at].send_digits(at, now, out);
            self.replay_early(now, out);
        }
        Ok(Outcome::Checked)
    }
}

impl Stream {
    /// Whether the peer makes checks and none has come.
    pub(super) fn lacks_checks(&self) -> bool {
        let checked = self.active().and_then(|face| face.guard.checked());
        checked.is_some_and(Checked::is_blank)
    }

    /// Whether checks of the peer decide.
    pub(super) fn has_checks(&self) -> bool {
        let checked = self.active().and_then(|face| face.guard.checked());
        checked.is_some()
    }

    /// Whether a peer is one that checks, and has not said from where it sends.
    pub(super) fn awaits_nomination(&self) -> bool {
        let mut checked = self.faces.iter().filter_map(|face| face.guard.checked());
        checked.any(|checked| !checked.is_nominated())
    }

    /// Whether such a peer may be anywhere: no pair of before serves it meanwhile.
    pub(super) fn awaits_strangers(&self) -> bool {
        let mut checked = self.faces.iter().filter_map(|face| face.guard.checked());
        checked.any(|checked| !checked.is_nominated() && !checked.holds_before())
    }

    /// Whether the peer is one that checks, and nothing is known yet of where it is.
    pub(super) fn awaits_checks(&self) -> bool {
        self.has_checks() && self.active().is_some_and(|face| !face.has_target())
    }

    /// Takes over what checks of a peer have shown. Nobody else's are looked at: whoever knows our password
    /// must not change what we know of other forks.
    fn follow_checks(&mut self, fragment: &[u8], now: Timestamp) {
        let Self {
            agent,
            faces,
            outgoing,
            ..
        } = self;
        for face in faces {
            let terms = face.terms.ice.as_ref();
            let Some(terms) = terms.filter(|own| own.remote_fragment.as_bytes() == fragment) else {
                continue;
            };
            let earlier = face.guard.checked();
            let before = earlier.and_then(Checked::before);
            let (at, pairs) = (face.terms.remote_rtp, agent.pairs(terms));
            let checked = Checked::new(terms, at, pairs, before, now).after(earlier);
            let is_held = checked.holds_before();
            if !is_held && let Some(next) = face.own.next.take() {
                face.own.now = Some(next);
                outgoing.begin_key();
            }
            face.guard.follow(checked);
            face.settles(agent, now);
            // Whoever is at the pair of before has the key of before until then (TDR-ICE-009).
            for keys in face.all_keys_mut().filter(|_| !is_held) {
                keys.release(now);
            }
        }
    }

    /// Of forks that check, who is heard first is spoken to, whoever answered last (TDR-ICE-006).
    pub(super) fn prefer_heard(&mut self, at: usize) {
        let is_behind = match (self.faces.get(at), self.faces.last()) {
            (Some(heard), Some(last)) => at + 1 < self.faces.len() && heard.keeps_place(last),
            (Some(_) | None, _) => false,
        };
        if is_behind {
            let heard = self.faces.remove(at);
            self.faces.push(heard);
        }
    }
}

impl Face {
    /// What was before goes once a pair is nominated for what is agreed. A preview may come to nothing: then all
    /// that was learnt under the credentials of before is needed again.
    pub(super) fn settles(&self, agent: &mut Agent, now: Timestamp) {
        let is_nominated = self.guard.checked().is_some_and(Checked::is_nominated);
        if let Some(ice) = self.terms.ice.as_ref()
            && self.stage == Stage::Final
            && is_nominated
        {
            agent.settled(&ice.local, now);
        }
    }

    /// Whether this fork stays the one that is spoken to beside another one.
    pub(super) fn keeps_place(&self, other: &Self) -> bool {
        let is_early = |face: &Self| face.stage == Stage::Preview && face.terms.ice.is_some();
        // One that has ended is silent from then on.
        let is_heard = |face: &Self| {
            face.guard.pinned().is_some() && face.terms.direction != Direction::Inactive
        };
        is_early(self) && is_early(other) && is_heard(self) && !is_heard(other)
    }

    /// Whether the pair of before a restart still serves.
    pub(super) fn holds_before(&self) -> bool {
        self.guard.checked().is_some_and(Checked::holds_before)
    }

    /// Whether there is an address to send RTP to.
    pub(super) fn has_target(&self) -> bool {
        match self.guard.checked() {
            Some(checked) => checked.target(self.guard.pinned()).is_some(),
            None => super::stream::reachable(self.terms.remote_rtp),
        }
    }
}
