//! What is held of one address, and what speaks against it (SIP-1710).
//!
//! What it first does decides. Later it takes three failures in a row, or one of its transport,
//! until one that answered is down, and two answers in a row until it is up again. A 503 is
//! believed at once, and so is the first other answer after it.

use super::TargetState;

/// Failures in a row after which a target is down, and answers in a row after which it is up.
const DOWN_AFTER: u32 = 3;
const UP_AFTER: u32 = 2;

/// What is held of an address.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Verdict {
    state: Option<TargetState>,
    /// Whether it ever answered: only then there is something to be confirmed.
    was_alive: bool,
    /// Results in a row that say the opposite.
    against: u32,
}

/// What a probe found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Finding {
    Answers,
    /// It answers, and not as who knows us would.
    Refuses,
    /// It answers that it wants no new calls.
    Busy,
    Silent,
    /// Its transport failed: there is nothing to wait for.
    Unreachable,
}

impl Verdict {
    /// Takes a result; gives the new state if it is another one now.
    pub(super) fn hears(&mut self, finding: Finding) -> Option<TargetState> {
        let state = match finding {
            Finding::Answers => TargetState::Up,
            Finding::Refuses => TargetState::Refuses,
            Finding::Busy => TargetState::Busy,
            Finding::Silent | Finding::Unreachable => TargetState::Down,
        };
        if self.state == Some(state) {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let needed = match (self.state, finding) {
            (None, _) | (_, Finding::Unreachable | Finding::Busy) => 1,
            (Some(TargetState::Down), _) if self.was_alive => UP_AFTER,
            (Some(_), Finding::Answers | Finding::Refuses) => 1,
            (Some(_), Finding::Silent) => DOWN_AFTER,
        };
        if self.against < needed {
            return None;
        }
        self.state = Some(state);
        self.was_alive |= state != TargetState::Down;
        self.against = 0;
        Some(state)
    }

    /// What is held of it.
    pub(super) fn state(&self) -> Option<TargetState> {
        self.state
    }

    /// Whether it should be asked again soon.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.state == Some(TargetState::Down) || self.against > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(findings: &[Finding]) -> Vec<TargetState> {
        let mut verdict = Verdict::default();
        let all = findings.iter();
        all.filter_map(|finding| verdict.hears(*finding)).collect()
    }

    #[test]
    fn a_503_is_believed_at_once_and_so_is_its_end() {
        use Finding::{Answers, Busy, Refuses, Silent, Unreachable};
        use TargetState::{Down, Up};
        assert_eq!(told(&[Answers, Busy, Answers]), [Up, TargetState::Busy, Up]);
        assert_eq!(told(&[Busy, Busy, Answers]), [TargetState::Busy, Up]);
        let fading = [Busy, Silent, Silent, Silent, Answers, Answers];
        assert_eq!(told(&fading), [TargetState::Busy, Down, Up]);
        assert_eq!(told(&[Silent, Busy]), [Down, TargetState::Busy]);
        assert_eq!(
            told(&[Answers, Unreachable, Answers, Answers]),
            [Up, Down, Up]
        );
        assert_eq!(told(&[Silent, Answers]), [Down, Up]);
        assert_eq!(
            told(&[Refuses, Refuses, Answers, Refuses]),
            [TargetState::Refuses, Up, TargetState::Refuses]
        );
    }
}
