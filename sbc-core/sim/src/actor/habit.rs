//! Manners of peers that no rule forbids, or that are met in the field all the same, as data.

/// What a party does in its own way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Habit {
    /// Answers with the codec that it likes best, and not with the first that both have, as exchanges do that go by
    /// their own list.
    OwnOrder,
    /// Repeats its 200 with another version in `o=`, as carriers do whose answer is written anew each time.
    NewVersion,
    /// Makes a change that got 491 again without a pause, whatever RFC 3261 §14.1 says.
    Impatient,
}

/// All of them.
pub const HABITS: [Habit; 3] = [Habit::OwnOrder, Habit::NewVersion, Habit::Impatient];
