//! Which users of Teams talk in a call: those of its bridge, as long as it has one (TDG-PRS-006).

use super::{A_LEG, Call, Operation};
use crate::config::{Preset, UserId};
use crate::id::LegId;
use crate::plane::Plane;
use crate::time::Now;

/// Who was told to talk, and of which bridge that was said.
#[derive(Debug, Default)]
pub(super) struct Talk {
    bridge: Option<(LegId, LegId)>,
    users: Vec<UserId>,
}

impl Call {
    /// Tells who begins and who ceases to talk. It costs a comparison where nothing has changed.
    pub(super) fn follow_talk(&mut self, now: Now, plane: &Plane) {
        let bridge = match &self.operation {
            Some(Operation::Teardown(_)) => None,
            _ => self.bridge,
        };
        if bridge == self.talk.bridge {
            return;
        }
        let users = match bridge {
            Some((a, b)) => [a, b]
                .into_iter()
                .filter_map(|leg| self.user_of(leg))
                .collect(),
            None => Vec::new(),
        };
        let before = std::mem::replace(&mut self.talk, Talk { bridge, users });
        let Some(tenant) = &self.tenant else {
            return;
        };
        // First who talks on: nobody is free for a moment in between.
        for user in &self.talk.users {
            plane.talking.begin(tenant, *user);
        }
        for user in before.users {
            plane.talking.end(now.mono, tenant, user);
        }
    }

    /// The call is over, however it came to be.
    pub(super) fn talk_ends(&mut self, now: Now, plane: &Plane) {
        let talk = std::mem::take(&mut self.talk);
        if let Some(tenant) = &self.tenant {
            for user in talk.users {
                plane.talking.end(now.mono, tenant, user);
            }
        }
    }

    /// The user at the end of a leg with Teams.
    fn user_of(&self, leg: LegId) -> Option<UserId> {
        let users = &self.config.tenants.get(self.tenant.as_ref()?)?.users;
        if users.is_empty() || self.trunk_of(leg)?.preset != Preset::Teams {
            return None;
        }
        let record = &self.record;
        let mut transfers = record.transfers.iter().rev();
        let transfer = transfers.find(|transfer| transfer.leg == Some(leg));
        let party = record.parties.iter().find(|party| party.leg == leg);
        // After a redirection another one than that which the caller dialled.
        let mut egress = record.egress.iter();
        let attempt = egress.find(|attempt| attempt.leg == leg);
        let number = match (transfer, party) {
            (_, Some(party)) => &party.number,
            (Some(transfer), None) => &transfer.target,
            (None, None) if leg == A_LEG => &record.calling,
            // Who came otherwise has a number that nobody here knows.
            (None, None) => &attempt?.called,
        };
        users.of(number)
    }
}
