//! The relay hears of a path before the peer hears that it may send: media can follow a description
//! at once, and what arrives before its path is lost.

use super::{Checker, Violation};
use media_api::{Command, SessionId};
use sbc_core::effect::Effect;
use sbc_core::event::Happened;
use sbc_core::id::{CallId, ShardId};
use sbc_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct Order {
    /// The call that a shard admitted last: a session that is new belongs to it.
    admitted: BTreeMap<ShardId, CallId>,
    calls: BTreeMap<SessionId, CallId>,
    /// Calls in which the present input has sent a description of an answer.
    described: BTreeSet<CallId>,
}

impl Checker for Order {
    fn input(&mut self) {
        self.described.clear();
    }

    fn effect(&mut self, at: Timestamp, shard: ShardId, effect: &Effect, out: &mut Vec<Violation>) {
        match effect {
            Effect::Emit(event) => {
                if let (Some(call), Happened::Admitted { .. }) = (event.call, &event.what) {
                    self.admitted.insert(shard, call);
                }
            }
            Effect::Media(Command::Allocate { session, .. }) => {
                if let Some(call) = self.admitted.get(&shard) {
                    self.calls.entry(*session).or_insert(*call);
                }
            }
            Effect::Send {
                bytes,
                call: Some((call, _)),
                ..
            } if bytes.starts_with(b"SIP/2.0 ") && !bytes.ends_with(b"\r\n\r\n") => {
                self.described.insert(*call);
            }
            Effect::Media(Command::Answer { session, .. } | Command::Update { session, .. }) => {
                let call = self.calls.get(session);
                if call.is_some_and(|call| self.described.contains(call)) {
                    out.push(Violation {
                        at,
                        rule: "path-after-answer",
                        text: format!("{session:?}: the peer was told before the relay"),
                    });
                }
            }
            _ => {}
        }
    }
}
