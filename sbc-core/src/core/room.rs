//! Makes room for calls for help, in this shard and then in the next (SIP-1401).
//!
//! The limits are the node's, and so is whoever has to go. A call for help does not wait for that: it
//! has passed the limits already. So each shard ends what it can, and passes on what it cannot: of a
//! shard's own calls the most willing one goes, although another shard may have one that is more so. To
//! ask all of them first would keep a call for help waiting for the sake of an order among those who lose.

use super::Core;
use crate::call::{Room, Wanted};
use crate::effect::Effects;
use crate::event::Happened;
use crate::id::{CallId, ShardId};
use crate::letter::{Content, Letter};
use crate::time::Now;

impl Core {
    /// Ends as few calls of this shard as give what is wanted; what is still lacking is for the next
    /// shard, until all have been asked.
    pub(super) fn make_room(&mut self, now: Now, wanted: &Wanted, out: &mut Effects) {
        let mut rooms = wanted.rooms.clone();
        let mut lacking = Vec::new();
        while let Some(room) = rooms.pop() {
            let Some(id) = self.most_willing(&room) else {
                lacking.push(room);
                continue;
            };
            let per_minute = self.plane.config.limits.preempt_per_minute;
            let preemptions = &self.plane.preemptions;
            if !preemptions.admit(now.mono, &wanted.trunk, per_minute) {
                let what = Happened::PreemptionLimited {
                    trunk: wanted.trunk.clone(),
                    room: room.to_string(),
                };
                return out.emit(Some(wanted.by), None, what);
            }
            if let Some(entry) = self.calls.get(&id) {
                let gives = |room: &Room| entry.call.willingness(room).is_some();
                rooms.retain(|other| !gives(other));
            }
            self.with_call(now, id, out, |call, cx| {
                call.give_room(cx, wanted.by, &room)
            });
        }
        let next = ShardId((self.plane.shard.0 + 1) % self.plane.shards);
        if !lacking.is_empty() && next != wanted.from {
            let wanted = Wanted {
                rooms: lacking,
                ..wanted.clone()
            };
            let letter = Letter::new(Content::Room(wanted));
            self.plane.letters.push_back((next, letter));
        }
    }

    /// The call of this shard that gives way first.
    fn most_willing(&self, room: &Room) -> Option<CallId> {
        let calls = self.calls.iter();
        let willing = calls.filter_map(|(id, entry)| Some((entry.call.willingness(room)?, *id)));
        willing.max().map(|(_, id)| id)
    }
}
