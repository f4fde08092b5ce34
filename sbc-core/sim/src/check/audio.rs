//! When both descriptions of a call say that audio flows, the relay has a path for it: the two
//! endpoints joined, and each leading to where its party wants to hear (MED-001).

use super::calls::Calls;
use super::{Checker, Seen, Violation};
use crate::wire::Wire;
use media_api::{Command, EndpointId, Negotiated, SessionId};
use sbc_core::effect::Effect;
use sbc_core::id::{CallId, LegId, ShardId};
use sbc_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

#[derive(Default)]
pub(super) struct Audio {
    media_of: Calls,
    sessions: BTreeMap<CallId, Session>,
    /// Which leg of which call a Call-ID belongs to.
    legs: BTreeMap<String, (CallId, LegId)>,
    /// Where each party wants its audio, by Call-ID and the party's tag.
    wanted: BTreeMap<(String, String), SocketAddr>,
    /// Who has changed something since, before or after the answer: of that other rules say what is right.
    changed: BTreeSet<(String, String)>,
    /// Tag of the called party whose answer we acknowledged, by Call-ID.
    winners: BTreeMap<String, String>,
    /// Call-IDs of INVITEs without offer: their answer comes with the ACK, and the path after it.
    late: BTreeSet<String>,
    /// Call-IDs in which we sent BYE: to the party, or to a phone that answered too late.
    ended: BTreeSet<String>,
    /// Branches of the INVITEs that we sent: the ACK of a refusal has the same.
    invites: BTreeSet<String>,
}

/// What the relay was told of one call.
#[derive(Default)]
struct Session {
    joined: Option<(EndpointId, EndpointId)>,
    leads_to: BTreeMap<EndpointId, SocketAddr>,
    is_released: bool,
}

impl Checker for Audio {
    fn see(&mut self, at: Timestamp, seen: &Seen<'_>, out: &mut Vec<Violation>) {
        match seen {
            Seen::Heard {
                wire: Some(wire), ..
            } => {
                let text = match wire.method() {
                    Some("ACK") => self.established(wire),
                    _ => None,
                };
                self.heard(wire);
                let rule = "audio-path";
                out.extend(text.map(|text| Violation { at, rule, text }));
            }
            Seen::Sent {
                wire: Some(wire),
                call: Some(leg),
                ..
            } => {
                self.legs.insert(wire.call_id().to_owned(), *leg);
                if wire.method() == Some("INVITE") {
                    self.invites.insert(wire.branch().to_owned());
                }
                if wire.method() == Some("ACK")
                    && !self.invites.contains(wire.branch())
                    && let Some(tag) = wire.tag("To")
                {
                    let winner = self.winners.entry(wire.call_id().to_owned());
                    winner.or_insert_with(|| tag.to_owned());
                }
                if wire.method() == Some("BYE") {
                    self.ended.insert(wire.call_id().to_owned());
                }
            }
            _ => {}
        }
    }

    fn effect(&mut self, _: Timestamp, shard: ShardId, effect: &Effect, _: &mut Vec<Violation>) {
        self.media_of.effect(shard, effect);
        match effect {
            Effect::Media(Command::Answer {
                session,
                endpoint,
                negotiated,
                ..
            }) => {
                if let (Some(session), Some(at)) = (self.session(session), first(negotiated)) {
                    session.leads_to.insert(*endpoint, at);
                }
            }
            Effect::Media(Command::Update { session, plan }) => {
                if let Some(session) = self.session(session) {
                    session.joined = plan.joined;
                }
            }
            Effect::Media(Command::Release {
                session,
                endpoint: None,
                ..
            }) => {
                if let Some(session) = self.session(session) {
                    session.is_released = true;
                }
            }
            _ => {}
        }
    }
}

impl Audio {
    fn session(&mut self, name: &SessionId) -> Option<&mut Session> {
        let call = self.media_of.of(*name)?;
        Some(self.sessions.entry(call).or_default())
    }

    fn heard(&mut self, wire: &Wire) {
        if wire.method() == Some("REFER") {
            // Who asks for a transfer before the caller's ACK arrives may have been replaced by then.
            let call = self.legs.get(wire.call_id()).map(|(call, _)| *call);
            let of_call = self.legs.iter().filter(|(_, (own, _))| Some(*own) == call);
            self.late.extend(of_call.map(|(id, _)| id.clone()));
        }
        let is_request = wire.status().is_none();
        let is_invite = wire
            .cseq()
            .is_some_and(|(_, method)| method == "INVITE" || (method == "UPDATE" && is_request));
        let is_initial = is_request && wire.tag("To").is_none();
        if !is_invite || wire.status().is_some_and(|status| status >= 300) {
            return;
        }
        if is_initial && wire.body.is_empty() {
            self.late.insert(wire.call_id().to_owned());
        }
        let tag = wire.tag(if is_request { "From" } else { "To" });
        // Changes within the call concern other rules; who moves before the caller's ACK is let off.
        if is_request && !is_initial {
            let key = (
                wire.call_id().to_owned(),
                tag.unwrap_or_default().to_owned(),
            );
            self.wanted.remove(&key);
            self.changed.insert(key);
            return;
        }
        if let (Some(tag), Some(at)) = (tag, audio_address(&wire.body)) {
            let key = (wire.call_id().to_owned(), tag.to_owned());
            if !self.changed.contains(&key) {
                self.wanted.entry(key).or_insert(at);
            }
        }
    }

    /// The caller acknowledged our answer: from now on both talk. What is missing for it.
    fn established(&self, ack: &Wire) -> Option<String> {
        let call_id = ack.call_id();
        let (call, leg) = self.legs.get(call_id)?;
        let session = self.sessions.get(call)?;
        let is_answer = ack.cseq().is_some_and(|(number, _)| number == 1);
        if *leg != LegId(0)
            || !is_answer
            || session.is_released
            || self.ended.contains(call_id)
            || self.late.contains(call_id)
        {
            return None;
        }
        let is_winner = |id: &String| self.winners.contains_key(id) && !self.ended.contains(id);
        let mut legs = self.legs.iter();
        let (b_id, (_, b_leg)) =
            legs.find(|(id, (of, leg))| of == call && leg.0 > 0 && is_winner(id))?;
        let joined = session.joined == Some((EndpointId(0), EndpointId(b_leg.0)));
        if !joined {
            return Some(format!(
                "{call_id}: endpoints 0 and {} are not joined",
                b_leg.0
            ));
        }
        let caller = self
            .wanted
            .get(&(call_id.to_owned(), ack.tag("From")?.to_owned()));
        let callee = self
            .wanted
            .get(&(b_id.clone(), self.winners.get(b_id)?.clone()));
        for (endpoint, wanted) in [(0, caller), (b_leg.0, callee)] {
            let told = session.leads_to.get(&EndpointId(endpoint));
            if wanted.is_some() && told != wanted {
                return Some(format!(
                    "{call_id}: endpoint {endpoint} leads to {told:?} and not to {wanted:?}"
                ));
            }
        }
        None
    }
}

fn first(negotiated: &Negotiated) -> Option<SocketAddr> {
    let mut streams = negotiated.streams.iter().flatten();
    streams.next().map(|stream| stream.remote_rtp)
}

/// Address of the audio line of a description with one connection line.
fn audio_address(sdp: &str) -> Option<SocketAddr> {
    let ip = sdp.lines().find_map(|line| {
        line.strip_prefix("c=IN IP4 ")
            .or(line.strip_prefix("c=IN IP6 "))
    })?;
    let media = sdp.lines().find_map(|line| line.strip_prefix("m=audio "))?;
    let port = media.split(' ').next()?.parse().ok()?;
    Some(SocketAddr::new(ip.trim().parse().ok()?, port))
}
