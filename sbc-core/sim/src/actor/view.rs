//! What one party of a call saw: the ground truth that checkers and tests compare with.

use super::change::Hold;

/// What one party saw of one call.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PartyView {
    /// Number of the call in its scenario.
    pub call: usize,
    /// Name of the actor.
    pub actor: String,
    /// Whether this party placed the call.
    pub is_caller: bool,
    /// Provisional statuses seen or sent, in order, without repetitions by the network.
    pub provisionals: Vec<u16>,
    /// Final status of the INVITE, seen or sent.
    pub final_status: Option<u16>,
    /// Session descriptions received, in order, without repetitions.
    pub descriptions: Vec<String>,
    /// Whether this party considers the call answered and acknowledged.
    pub was_up: bool,
    /// Whether the party asked to cancel or was asked to.
    pub cancelled: bool,
    /// How the call ended for it; `None` while it lasts.
    pub ending: Option<Ending>,
    /// Finals of what it offered before the answer, by UPDATE.
    pub early_statuses: Vec<u16>,
    /// Finals of its changes within the call.
    pub change_statuses: Vec<u16>,
    /// The last description of the SBC that is in force for it.
    pub told: String,
    /// Whether it holds, and how it said so.
    pub hold: Option<Hold>,
    /// What it was told of a transfer: whether that was the last word, and the status.
    pub notified: Vec<(bool, u16)>,
    /// Whom it was asked to call instead of who it talks to.
    pub referred_to: Vec<String>,
    /// Final statuses of requests that were wrong on purpose.
    pub odd_statuses: Vec<(String, u16)>,
}

/// How a call ended for a party.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It was never set up.
    Refused,
    /// This party sent BYE.
    HungUp,
    /// The other side sent BYE.
    WasHungUp,
    /// This party gave up waiting.
    GaveUp,
}
