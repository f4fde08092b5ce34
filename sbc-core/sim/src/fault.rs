//! What may go wrong, and when, as data that can be generated, printed and taken away.

use sbc_core::query::ResolveFault;
use std::time::Duration;

/// Index of an actor in its world.
pub type ActorIndex = usize;

/// One trouble and the time in which it lasts, counted from the start of the world.
#[derive(Clone, PartialEq, Debug)]
pub struct Fault {
    /// When it begins.
    pub from: Duration,
    /// When it is over.
    pub until: Duration,
    /// What it is.
    pub trouble: Trouble,
}

/// What goes wrong.
#[derive(Clone, PartialEq, Debug)]
pub enum Trouble {
    /// Datagrams to and from the actor are lost at this rate.
    Loss {
        /// Whose link.
        actor: ActorIndex,
        /// In percent.
        percent: u8,
    },
    /// The first transmission of every distinct datagram is lost, in both directions.
    LoseFirst {
        /// Whose link.
        actor: ActorIndex,
    },
    /// Datagrams arrive twice at this rate.
    Duplication {
        /// Whose link.
        actor: ActorIndex,
        /// In percent.
        percent: u8,
    },
    /// Datagrams are late by up to a second at this rate, and so overtaken.
    Reordering {
        /// Whose link.
        actor: ActorIndex,
        /// In percent.
        percent: u8,
    },
    /// Datagrams do not get through; streams make no progress and new ones are not set up.
    Partition {
        /// Whose link.
        actor: ActorIndex,
    },
    /// Every connection of the actor is reset when the fault begins.
    Reset {
        /// Whose connections.
        actor: ActorIndex,
    },
    /// New connections to the actor are refused.
    Refuse {
        /// Who refuses.
        actor: ActorIndex,
    },
    /// A name, or every name, cannot be resolved.
    Unresolved {
        /// What the resolver says.
        fault: ResolveFault,
    },
    /// The resolver takes this long.
    SlowResolver {
        /// For how long.
        by: Duration,
    },
    /// The media relay has no ports left.
    NoPorts,
}

impl Fault {
    /// Whether it lasts at this time.
    pub fn is_on(&self, at: Duration) -> bool {
        self.from <= at && at < self.until
    }
}
