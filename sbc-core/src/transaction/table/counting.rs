//! How many transactions of each kind there are, and what of theirs is counted.

use super::{Machine, Table};
use crate::id::TransactionId;
use crate::tally::{Direction, Missed, Repeated, TrunkTally};
use crate::transaction::{client, invite_client};
use std::sync::Arc;

/// Transactions by kind, for leak checks and metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TableSizes {
    /// INVITEs of ours.
    pub invite_clients: usize,
    /// Other requests of ours.
    pub clients: usize,
    /// INVITEs of peers.
    pub invite_servers: usize,
    /// Other requests of peers.
    pub servers: usize,
}

impl Machine {
    /// Whether a request of ours has its final response.
    pub(super) fn has_final(&self) -> bool {
        match self {
            Self::InviteClient(machine) => matches!(
                machine.state,
                invite_client::State::Accepted | invite_client::State::Completed
            ),
            Self::Client(machine) => machine.state == client::State::Completed,
            Self::InviteServer(_) | Self::Server(_) => false,
        }
    }

    /// Counts what its timers have done: something was sent again, or somebody was told that nothing came.
    pub(super) fn count_expiry(&self, tally: &TrunkTally, is_sent: bool, is_told: bool) {
        let (repeated, missed) = match self {
            Self::InviteClient(_) => (Repeated::Request, Missed::B),
            Self::Client(_) => (Repeated::Request, Missed::F),
            Self::InviteServer(_) => (Repeated::Response, Missed::H),
            // Its late 100 is the first.
            Self::Server(_) => return,
        };
        if is_sent {
            tally.repeated(Direction::Out, repeated);
        }
        if is_told {
            tally.missed(missed);
        }
    }
}

impl Table {
    /// Transactions by kind.
    pub fn sizes(&self) -> TableSizes {
        self.sizes
    }

    /// One transaction more, or one less.
    pub(super) fn held(&mut self, machine: &Machine, more: isize) {
        let sizes = &mut self.sizes;
        let size = match machine {
            Machine::InviteClient(_) => &mut sizes.invite_clients,
            Machine::Client(_) => &mut sizes.clients,
            Machine::InviteServer(_) => &mut sizes.invite_servers,
            Machine::Server(_) => &mut sizes.servers,
        };
        *size = size.saturating_add_signed(more);
    }

    /// Says where the messages of a request of ours are counted from now on.
    pub(crate) fn count_with(&mut self, id: TransactionId, tally: Arc<TrunkTally>) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.counted.tally = Some(tally);
        }
    }
}
