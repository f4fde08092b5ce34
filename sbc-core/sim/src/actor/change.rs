//! What a party changes within a call, and what it says to a change of ours, as data.

use std::time::Duration;

/// A change that a party makes within its call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// When, counted from the answer.
    pub after: Duration,
    /// What.
    pub wanted: Wanted,
    /// By which request.
    pub by: By,
}

/// What a change is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// Put the other side on hold.
    Hold(Hold),
    /// Talk again.
    Resume,
    /// Receive at another port.
    Move,
    /// Speak only these codecs.
    Codecs(Codecs),
    /// The other side told of a key, in INFO.
    Press(char),
    /// Nothing: a request without description. A re-INVITE asks for an offer with it.
    Nothing,
    /// Somebody else in its own place, by REFER.
    Transfer(Leave),
    /// Somebody of the public network in its own place, by REFER; Teams knows only its own.
    TransferOut(Leave),
    /// The party of its other call in its own place, by REFER.
    Attended(Leave),
}

/// When a transferor leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leave {
    /// So long after its REFER is accepted.
    After(Duration),
    /// When it hears that the transfer is done.
    WhenDone,
    /// Not by itself.
    Never,
}

/// The request of a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// re-INVITE.
    Invite,
    /// UPDATE.
    Update,
}

/// How a party writes that it does not want to receive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hold {
    /// `a=sendonly`: it still plays music.
    SendOnly,
    /// `a=inactive`.
    Inactive,
    /// `c=0.0.0.0`, as before RFC 3264.
    Zero,
    /// Both at once.
    ZeroInactive,
}

/// All forms of hold.
pub const HOLDS: [Hold; 4] = [
    Hold::SendOnly,
    Hold::Inactive,
    Hold::Zero,
    Hold::ZeroInactive,
];

/// Which of the two G.711 codecs a party speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Codecs {
    /// PCMA and PCMU.
    Both,
    /// PCMA.
    A,
    /// PCMU.
    U,
}

impl Codecs {
    /// Whether a payload type of an offer is one of them.
    pub fn has(self, format: &str) -> bool {
        match format {
            "8" => self != Self::U,
            "0" => self != Self::A,
            _ => false,
        }
    }
}

/// What a party does with a re-INVITE of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reaction {
    /// Accepts it at once.
    Accept,
    /// Refuses it.
    Refuse(u16),
    /// Refuses it with 500 and Retry-After, in seconds.
    Busy(u8),
    /// Says nothing at all.
    Silence,
    /// Accepts it after so long, with 100 at once.
    Late(Duration),
    /// Says 100 and 183, and nothing more until it is cancelled.
    ProgressOnly,
}

impl Change {
    /// A change by re-INVITE.
    pub fn new(after: Duration, wanted: Wanted) -> Self {
        Self {
            after,
            wanted,
            by: By::Invite,
        }
    }

    /// The same by UPDATE.
    #[must_use]
    pub fn by_update(self) -> Self {
        Self {
            by: By::Update,
            ..self
        }
    }
}
