//! What Microsoft says of users: whether a call to one goes through (TDG-PRS-006).

mod callee;
mod table;
mod talking;

pub use callee::{Callee, Ground, callee, weighed};
pub use table::{Presences, Seen};
pub use talking::{Talk, Talking};

use std::fmt;

/// Longest word of Microsoft that is kept, in characters.
const LONGEST: usize = 40;

/// The presence of a user, in the words of Microsoft, which may be new ones.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Presence {
    availability: Box<str>,
    activity: Box<str>,
}

/// What it says of a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Standing {
    /// The user takes calls.
    Ready,
    /// The user is there and wants no call now.
    Busy,
    /// The user is not there.
    Absent,
    /// Nobody knows: the call tells.
    Unknown,
}

impl Presence {
    /// As Microsoft wrote it: `availability` and `activity`.
    pub fn new(availability: &str, activity: &str) -> Self {
        let kept = |text: &str| text.chars().take(LONGEST).collect();
        Self {
            availability: kept(availability),
            activity: kept(activity),
        }
    }

    /// As [`Display`](fmt::Display) writes it: `Busy/InACall`, or `Busy` alone for both.
    pub fn of_words(text: &str) -> Self {
        let (availability, activity) = text.split_once('/').unwrap_or((text, text));
        Self::new(availability.trim(), activity.trim())
    }

    /// Such as `Busy`.
    pub fn availability(&self) -> &str {
        &self.availability
    }

    /// Such as `InACall`.
    pub fn activity(&self) -> &str {
        &self.activity
    }

    /// What it says of a call. The activity tells more where both are known; words that are not known say
    /// nothing, in whatever case they are written.
    pub fn standing(&self) -> Standing {
        let is =
            |text: &str, words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
        match &self.availability {
            text if is(text, &["Busy", "BusyIdle", "DoNotDisturb"]) => Standing::Busy,
            _ if is(&self.activity, BUSY) => Standing::Busy,
            text if is(text, &["Away", "BeRightBack", "Offline"]) => Standing::Absent,
            _ if is(&self.activity, ABSENT) => Standing::Absent,
            text if is(text, &["Available", "AvailableIdle"]) => Standing::Ready,
            _ => Standing::Unknown,
        }
    }

    /// Whether the user talks, as Microsoft sees it.
    pub fn is_in_call(&self) -> bool {
        let words = ["InACall", "InAConferenceCall"];
        words
            .iter()
            .any(|word| self.activity.eq_ignore_ascii_case(word))
    }
}

/// Activities of who wants no call.
const BUSY: &[&str] = &[
    "InACall",
    "InAConferenceCall",
    "Presenting",
    "UrgentInterruptionsOnly",
];

/// Activities of who is not there.
const ABSENT: &[&str] = &["OutOfOffice", "OffWork"];

impl fmt::Display for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}",
            self.availability.escape_debug(),
            self.activity.escape_debug()
        )
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::Busy => "busy",
            Self::Absent => "absent",
            Self::Unknown => "unknown",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of graph-and-entra 3.2.
    #[test]
    fn every_word_of_microsoft_says_what_becomes_of_a_call() {
        for (availability, activity, standing) in [
            ("Available", "Available", Standing::Ready),
            ("AvailableIdle", "Available", Standing::Ready),
            ("Available", "Inactive", Standing::Ready),
            ("Busy", "Busy", Standing::Busy),
            ("BusyIdle", "InAMeeting", Standing::Busy),
            ("DoNotDisturb", "Presenting", Standing::Busy),
            ("Available", "UrgentInterruptionsOnly", Standing::Busy),
            ("Available", "InACall", Standing::Busy),
            ("Away", "Away", Standing::Absent),
            ("BeRightBack", "BeRightBack", Standing::Absent),
            ("Offline", "Offline", Standing::Absent),
            ("Offline", "OffWork", Standing::Absent),
            ("Available", "OutOfOffice", Standing::Absent),
            ("Busy", "OutOfOffice", Standing::Busy),
            ("PresenceUnknown", "PresenceUnknown", Standing::Unknown),
            ("Levitating", "Levitating", Standing::Unknown),
            ("", "", Standing::Unknown),
            ("BUSY", "inacall", Standing::Busy),
            ("available", "somethingNew", Standing::Ready),
        ] {
            let presence = Presence::new(availability, activity);
            assert_eq!(presence.standing(), standing, "{presence}");
        }
        let long = Presence::new(&"\u{e9}".repeat(1_000), "\n");
        assert_eq!(long.availability().chars().count(), LONGEST);
        assert!(!long.to_string().contains('\n'));
    }
}
