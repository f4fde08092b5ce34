//! What an actor does in one call, as data.

use super::change::{Change, Reaction, Wanted};
use super::habit::Habit;
use std::time::Duration;

/// A call to place.
#[derive(Clone, PartialEq, Debug)]
pub struct Dial {
    /// Number of the call in its scenario.
    pub call: usize,
    /// Calling number.
    pub from: String,
    /// Called number.
    pub to: String,
    /// Host of the Request-URI, and name to ask for in TLS.
    pub host: String,
    /// When to give up, if at all.
    pub cancel: Option<Cancel>,
    /// Whether and when the answer is acknowledged.
    pub ack: Ack,
    /// When to hang up, counted from the answer.
    pub hang_up: Option<Duration>,
    /// What it changes within the call.
    pub changes: Vec<Change>,
    /// What it does with re-INVITEs of ours, one after the other; all that follow are accepted.
    pub reactions: Vec<Reaction>,
    /// Max-Forwards; `None` leaves the header out.
    pub max_forwards: Option<u8>,
    /// Whether the INVITE leaves the offer to us, and its ACK brings the answer.
    pub late_offer: bool,
    /// Whether the INVITE requires reliable provisionals.
    pub requires_reliable: bool,
    /// How many reliable provisionals of a call get lost on their way to it.
    pub lost_provisionals: u8,
    /// How many of its ACKs for a 2xx get lost on their way from it.
    pub lost_acks: u8,
    /// Whether its PRACK of a description offers again.
    pub offers_in_prack: bool,
    /// What it offers by UPDATE before the answer, once the first exchange is made reliably.
    pub early_offer: Option<Wanted>,
    /// Seconds after which the invitation expires, if it does.
    pub expires: Option<u32>,
    /// Whether it takes the place of a party of its own peer that is in a call already.
    pub replaces: bool,
    /// What this caller does in its own way.
    pub habit: Option<Habit>,
    /// What this caller does wrong.
    pub oddity: Option<Oddity>,
}

/// When a caller gives up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cancel {
    /// So long after the INVITE; not before any provisional, which RFC 3261 §9.1 forbids.
    After(Duration),
    /// So long after a provisional of this status.
    AfterStatus(u16, Duration),
}

/// How a caller acknowledges a 2xx.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ack {
    /// At once.
    Prompt,
    /// After so long.
    Late(Duration),
    /// Never.
    Never,
}

/// What a party does wrong, on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Oddity {
    /// Sends its INVITE a second time with another branch (merged request).
    Merged,
    /// Sends BYE with a CSeq that is lower than one already used, before the proper one.
    StaleBye,
    /// Sends BYE with an unknown To tag, before the proper one.
    ForgedBye,
    /// Repeats an old message long after it was answered.
    Replay,
    /// Sends a method nobody knows, inside the call.
    UnknownMethod,
    /// Demands an extension nobody knows.
    UnknownRequire,
    /// Callee: sends its final response a second time with another status.
    TwoFinals,
    /// Callee: answers with the CSeq of nobody.
    WrongCSeq,
    /// Callee: does not answer BYE.
    DeafToBye,
    /// Callee: sends a provisional after the final.
    LateProvisional,
}

/// How a callee treats a call.
#[derive(Clone, PartialEq, Debug)]
pub struct Script {
    /// Number of the call in its scenario.
    pub call: usize,
    /// What it does, each so long after the INVITE arrived.
    pub acts: Vec<(Duration, Act)>,
    /// When it hangs up, counted from its answer.
    pub hang_up: Option<Duration>,
    /// What it changes within the call.
    pub changes: Vec<Change>,
    /// What it does with re-INVITEs of ours, one after the other; all that follow are accepted.
    pub reactions: Vec<Reaction>,
    /// Answers with 200 instead of 487 when CANCEL comes: the 200 crossed it.
    pub answers_on_cancel: bool,
    /// Whether its provisionals are reliable, where the SBC can confirm them.
    pub is_reliable: bool,
    /// How many PRACKs of a call get lost on their way to it.
    pub lost_pracks: u8,
    /// What it offers by UPDATE before its answer, once that was given reliably.
    pub early_offer: Option<Wanted>,
    /// What this callee does in its own way.
    pub habit: Option<Habit>,
    /// What this callee does wrong.
    pub oddity: Option<Oddity>,
}

/// One act of a callee.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// 100.
    Trying,
    /// A provisional status of an early dialog, with or without description.
    Progress {
        /// 180–183.
        status: u16,
        /// Which early dialog.
        fork: u8,
        /// Whether it carries SDP.
        sdp: bool,
    },
    /// 200 of an early dialog; a second one, of another fork, is a forked answer.
    Answer {
        /// Which dialog.
        fork: u8,
    },
    /// A final refusal.
    Refuse(u16),
    /// 302: whoever is called is reached at the number of the call that stands for somewhere else.
    Redirect,
}

impl Script {
    /// Rings after 20 ms and answers after `answer`.
    pub fn answering(call: usize, answer: Duration) -> Self {
        let ring = Act::Progress {
            status: 180,
            fork: 0,
            sdp: false,
        };
        Self::acting(
            call,
            vec![
                (Duration::from_millis(1), Act::Trying),
                (Duration::from_millis(20), ring),
                (answer, Act::Answer { fork: 0 }),
            ],
        )
    }

    /// Refuses after 20 ms.
    pub fn refusing(call: usize, status: u16) -> Self {
        Self::acting(
            call,
            vec![
                (Duration::from_millis(1), Act::Trying),
                (Duration::from_millis(20), Act::Refuse(status)),
            ],
        )
    }

    /// Does these things and nothing wrong.
    pub fn acting(call: usize, acts: Vec<(Duration, Act)>) -> Self {
        Self {
            call,
            acts,
            hang_up: None,
            changes: Vec::new(),
            reactions: Vec::new(),
            answers_on_cancel: false,
            is_reliable: false,
            lost_pracks: 0,
            early_offer: None,
            habit: None,
            oddity: None,
        }
    }

    /// Whether the first phone that answers is this one.
    pub fn answers_as(&self, number: u8) -> bool {
        let answer = self.acts.iter().find_map(|(_, act)| match act {
            Act::Answer { fork } => Some(*fork),
            Act::Trying | Act::Progress { .. } | Act::Refuse(_) | Act::Redirect => None,
        });
        answer == Some(number)
    }
}
