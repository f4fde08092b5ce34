//! Asking before something is taken away (OPS-090).

use std::io::{self, BufRead, IsTerminal as _};

/// What is lost if it was not meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stake {
    /// Nothing that cannot be had back: whoever sits at a terminal is asked, a script is not.
    HasWayBack,
    /// Calls: a script has to say that it means it.
    Calls,
}

/// Whether somebody means what they typed: they have said so, or say so now. Tells them what to do where they cannot.
pub(super) fn is_meant(what: &str, stake: Stake, is_said: bool) -> bool {
    let is_asked = io::stdin().is_terminal() && io::stderr().is_terminal();
    let mut reader = io::stdin().lock();
    let answers = is_asked.then_some(&mut reader);
    is_meant_by(answers, what, stake, is_said)
}

fn is_meant_by(
    answers: Option<&mut impl BufRead>,
    what: &str,
    stake: Stake,
    is_said: bool,
) -> bool {
    if is_said {
        return true;
    }
    match (answers, stake) {
        (None, Stake::HasWayBack) => true,
        (None, Stake::Calls) => {
            eprintln!("causeway: {what}; repeat with --yes");
            false
        }
        (Some(answers), _) => {
            eprint!("causeway: {what}; is that meant (y/N)? ");
            let mut answer = String::new();
            // Whoever cannot be read has not said yes.
            let _ = answers.read_line(&mut answer);
            let is_meant = matches!(answer.trim(), "y" | "Y" | "yes");
            if !is_meant {
                eprintln!("causeway: nothing has changed");
            }
            is_meant
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_asked_and_a_script_needs_yes_where_calls_are_at_stake() {
        let at_terminal = |answer: &str, stake| {
            is_meant_by(
                Some(&mut answer.as_bytes()),
                "this ends calls",
                stake,
                false,
            )
        };
        for (answer, wanted) in [
            ("y\n", true),
            ("yes\n", true),
            ("\n", false),
            ("", false),
            ("no\n", false),
        ] {
            assert_eq!(at_terminal(answer, Stake::Calls), wanted, "{answer:?}");
            assert_eq!(at_terminal(answer, Stake::HasWayBack), wanted, "{answer:?}");
        }
        let nobody = None::<&mut &[u8]>;
        assert!(!is_meant_by(nobody, "this ends calls", Stake::Calls, false));
        assert!(is_meant_by(
            None::<&mut &[u8]>,
            "this",
            Stake::HasWayBack,
            false
        ));
        assert!(is_meant_by(None::<&mut &[u8]>, "this", Stake::Calls, true));
    }
}
