//! What parties hear of the SBC's own ends with its reason: a ringing tone with the answer, music with the
//! hold or the transfer, everything with the call; and nothing is begun twice.
//!
//! Judged from what the relay is told alone: who plays what to whom, and which way media are agreed.

use super::{Checker, End, Violation};
use media_api::{Beside, Command, Direction, EndpointId, Playing, SessionId};
use sbc_core::effect::Effect;
use sbc_core::event::Happened;
use sbc_core::id::{CallId, ShardId};
use sbc_core::record::TransferOutcome;
use sbc_core::time::Timestamp;
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Sounds {
    /// The call that a shard admitted last: a session that is new belongs to it.
    admitted: BTreeMap<ShardId, CallId>,
    sessions: BTreeMap<SessionId, Session>,
    /// An input is over whose outcome has not been judged.
    is_due: bool,
}

struct Session {
    call: Option<CallId>,
    playing: BTreeMap<EndpointId, Playing>,
    directions: BTreeMap<EndpointId, Direction>,
    joined: Option<(EndpointId, EndpointId)>,
    is_answered: bool,
    /// Whatever somebody waited for is there, or will not come: the answer, the target of a transfer.
    is_settled: bool,
}

impl Session {
    fn new(call: Option<CallId>) -> Self {
        Self {
            call,
            playing: BTreeMap::new(),
            directions: BTreeMap::new(),
            joined: None,
            is_answered: false,
            is_settled: false,
        }
    }

    /// What is heard although it should not be, now that an input has had all its effects.
    fn wrong(&mut self) -> Option<&'static str> {
        let is_settled = std::mem::take(&mut self.is_settled);
        if !self.is_answered {
            return None;
        }
        let other = |own: &EndpointId| {
            let (a, b) = self.joined?;
            Some(if a == *own { b } else { a })
        };
        self.playing.iter().find_map(|(own, playing)| {
            let direction = other(own).and_then(|other| self.directions.get(&other));
            match playing.beside {
                _ if playing.times.is_some() => Some("an announcement goes on after the answer"),
                Beside::First { .. } if is_settled => {
                    Some("ringing goes on although nobody waits for an answer")
                }
                Beside::Muted if direction.is_none_or(|own| own.receives()) => {
                    Some("music goes on although the other party listens")
                }
                Beside::First { .. } | Beside::Muted => None,
            }
        })
    }

    fn play(&mut self, endpoint: EndpointId, playing: Option<&Playing>) -> Option<&'static str> {
        let before = self.playing.remove(&endpoint);
        let same = before.is_some() && before.as_ref() == playing;
        if let Some(playing) = playing {
            self.playing.insert(endpoint, playing.clone());
        }
        match (before, playing) {
            (None, None) => Some("what is not played is ended"),
            _ if same => Some("what is played is begun anew"),
            _ => None,
        }
    }
}

impl Sounds {
    fn judge(&mut self, at: Timestamp, out: &mut Vec<Violation>) {
        if !std::mem::take(&mut self.is_due) {
            return;
        }
        for (id, session) in &mut self.sessions {
            let wrong = session.wrong();
            out.extend(wrong.map(|text| violation(at, "sound-late", *id, text)));
        }
    }

    fn command(&mut self, at: Timestamp, command: &Command, out: &mut Vec<Violation>) {
        match command {
            Command::Play {
                session,
                endpoint,
                playing,
            } => {
                let Some(known) = self.sessions.get_mut(session) else {
                    return;
                };
                if playing.is_some() && !known.directions.contains_key(endpoint) {
                    let text = "nothing is agreed with who is to hear it";
                    out.push(violation(at, "sound-early", *session, text));
                }
                let wrong = known.play(*endpoint, playing.as_ref());
                out.extend(wrong.map(|text| violation(at, "sound-twice", *session, text)));
            }
            Command::Answer {
                session,
                endpoint,
                negotiated,
                ..
            } => {
                let stream = negotiated.streams.iter().flatten().next();
                if let (Some(known), Some(stream)) = (self.sessions.get_mut(session), stream) {
                    known.directions.insert(*endpoint, stream.direction);
                }
            }
            Command::Update { session, plan } => {
                if let Some(known) = self.sessions.get_mut(session) {
                    known.joined = plan.joined;
                }
            }
            Command::Release {
                session, endpoint, ..
            } => {
                let Some(known) = self.sessions.get_mut(session) else {
                    return;
                };
                let is_meant = |own: &EndpointId| endpoint.is_none_or(|released| released == *own);
                if known.playing.keys().any(is_meant) {
                    let text = "it was never ended";
                    out.push(violation(at, "sound-late", *session, text));
                }
                match endpoint {
                    None => {
                        self.sessions.remove(session);
                    }
                    Some(endpoint) => {
                        known.playing.remove(endpoint);
                        known.directions.remove(endpoint);
                    }
                }
            }
            Command::Allocate { .. }
            | Command::Rollback { .. }
            | Command::Expect { .. }
            | Command::HandOver { .. }
            | Command::Follow { .. }
            | Command::Tap { .. }
            | Command::Take { .. }
            | Command::Block { .. }
            | Command::Dial { .. }
            | Command::Stats { .. } => {}
        }
    }

    fn happened(&mut self, shard: ShardId, call: CallId, what: &Happened) {
        let of_call = self
            .sessions
            .values_mut()
            .filter(|own| own.call == Some(call));
        match what {
            Happened::Admitted { .. } => {
                self.admitted.insert(shard, call);
            }
            Happened::Answered { .. } => {
                of_call.for_each(|own| (own.is_answered, own.is_settled) = (true, true))
            }
            Happened::Transfer { outcome, .. } if *outcome != TransferOutcome::Refused => {
                of_call.for_each(|own| own.is_settled = true);
            }
            Happened::Media(media_api::Event::Played {
                session, endpoint, ..
            }) => {
                if let Some(known) = self.sessions.get_mut(session) {
                    known.playing.remove(endpoint);
                }
            }
            _ => {}
        }
    }
}

impl Checker for Sounds {
    fn input(&mut self) {
        self.is_due = true;
    }

    fn effect(&mut self, at: Timestamp, shard: ShardId, effect: &Effect, out: &mut Vec<Violation>) {
        self.judge(at, out);
        match effect {
            Effect::Emit(event) => {
                if let Some(call) = event.call {
                    self.happened(shard, call, &event.what);
                }
            }
            Effect::Media(Command::Allocate { session, .. }) => {
                let call = self.admitted.get(&shard).copied();
                let new = || Session::new(call);
                self.sessions.entry(*session).or_insert_with(new);
            }
            Effect::Media(command) => self.command(at, command, out),
            _ => {}
        }
    }

    fn finish(&mut self, end: &End<'_>, out: &mut Vec<Violation>) {
        self.judge(end.at, out);
    }
}

fn violation(at: Timestamp, rule: &'static str, session: SessionId, text: &str) -> Violation {
    Violation {
        at,
        rule,
        text: format!("{session:?}: {text}"),
    }
}
