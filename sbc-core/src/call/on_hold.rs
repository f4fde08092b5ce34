//! For how long one of those who talk had the other on hold.

use super::Call;
use crate::media::Agreement;
use crate::time::Timestamp;

impl Call {
    /// Notes when a hold begins and when it is over. It costs two comparisons where nothing has changed.
    pub(super) fn follow_hold(&mut self, now: Timestamp) {
        let is_held = self.is_live()
            && self.bridge.is_some_and(|(a, b)| {
                let holds = |leg| {
                    let own = self.legs.get(&leg);
                    let agreed = own.and_then(|own| own.image.committed());
                    agreed.is_some_and(Agreement::is_held_by_peer)
                };
                holds(a) || holds(b)
            });
        match (self.on_hold_since, is_held) {
            (None, true) => self.on_hold_since = Some(now),
            (Some(_), false) => self.hold_ends(now),
            (None, false) | (Some(_), true) => {}
        }
    }

    /// The hold is over, or the call.
    pub(super) fn hold_ends(&mut self, now: Timestamp) {
        if let Some(since) = self.on_hold_since.take() {
            let held = u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX);
            self.record.held_ms = self.record.held_ms.saturating_add(held);
        }
    }
}
