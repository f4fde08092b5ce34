//! Names of legs and of media endpoints within a call: a bounded set, each given once. The relay forgets no name
//! of an endpoint, so a call that has used all of them takes no further party, and goes on with those it has.

use super::{Call, endpoint};
use crate::id::LegId;
use crate::plane::Cx;

/// Names above this are for parties that another call has handed over already: they cannot be refused any more.
const MOST: u8 = 239;

/// Why nobody else may come into a call.
pub(super) const MOST_NAMES: &str =
    "the call has had as many parties and media ports as it can have";

impl Call {
    /// The name that the next party would get; nothing once all have been given.
    pub(super) fn next_name(&self) -> Option<LegId> {
        (self.next_leg <= MOST).then_some(LegId(self.next_leg))
    }

    /// Gives the next name to a leg or to an endpoint of one.
    pub(super) fn take_name(&mut self) -> Option<LegId> {
        let name = self.next_name()?;
        self.next_leg = self.next_leg.saturating_add(1);
        Some(name)
    }

    /// As [`Self::take_name`], for a party that is here already. It was asked for while there were names, one at a
    /// time, so that the spare ones last.
    pub(super) fn take_spare_name(&mut self) -> LegId {
        let name = LegId(self.next_leg);
        self.next_leg = self.next_leg.saturating_add(1);
        name
    }

    /// Takes a name back that has never been told to anybody.
    pub(super) fn give_name_back(&mut self, name: LegId) {
        if self.next_leg == name.0.saturating_add(1) {
            self.next_leg = name.0;
        }
    }

    /// Gives the ports back of parties that have left while the call goes on.
    pub(super) fn free_departed(&mut self, cx: &mut Cx<'_>) {
        if !self.media.is_active() {
            return;
        }
        let gone = |(id, leg): &(&LegId, &super::Leg)| {
            self.is_apart(**id) && leg.session.is_over() && self.media.holds(endpoint(**id))
        };
        let gone: Vec<LegId> = self.legs.iter().filter(gone).map(|(id, _)| *id).collect();
        for leg in gone {
            self.media.drop_endpoint(cx, endpoint(leg));
        }
    }
}
