//! Which call a media session is of: the one that its shard admitted last before it asked for ports.

use media_api::{Command, SessionId};
use sbc_core::effect::Effect;
use sbc_core::event::Happened;
use sbc_core::id::{CallId, ShardId};
use std::collections::BTreeMap;

/// What the checkers of media know of it.
#[derive(Default)]
pub(super) struct Calls {
    admitted: BTreeMap<ShardId, CallId>,
    of_session: BTreeMap<SessionId, CallId>,
}

impl Calls {
    /// Takes note of an effect of a shard.
    pub(super) fn effect(&mut self, shard: ShardId, effect: &Effect) {
        match effect {
            Effect::Emit(event) => {
                if let (Some(call), Happened::Admitted { .. }) = (event.call, &event.what) {
                    self.admitted.insert(shard, call);
                }
            }
            Effect::Media(Command::Allocate { session, .. }) => {
                if let Some(call) = self.admitted.get(&shard) {
                    self.of_session.entry(*session).or_insert(*call);
                }
            }
            _ => {}
        }
    }

    /// The call of a session.
    pub(super) fn of(&self, session: SessionId) -> Option<CallId> {
        self.of_session.get(&session).copied()
    }
}
