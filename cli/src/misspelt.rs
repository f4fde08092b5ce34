//! What is said of a name that is none: the one that may be meant, and those that there are.

use sbc_core::config::nearest;
use sbc_core::display::shown;

/// Names that are listed.
const MOST: usize = 100;
/// Characters of a name that are repeated.
const LONGEST: usize = 64;

/// Says of this name that it is none of those that are known: `lacks` ends with what it should be one of.
pub(crate) fn unknown<'k>(
    lacks: &str,
    written: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let written: String = written.chars().take(LONGEST).map(shown).collect();
    let (near, there) = match nearest(&written, known.iter().copied()) {
        Some(near) => (format!(": did you mean \"{near}\"? "), "There"),
        None => ("; ".to_owned(), "there"),
    };
    let listed: Vec<&str> = known.iter().copied().take(MOST).collect();
    let listed = match listed.as_slice() {
        [] => "is none at all".to_owned(),
        [only] => format!("is {only}"),
        all => format!("are {}", all.join(", ")),
    };
    let mut text = format!("{lacks} \"{written}\"{near}{there} {listed}");
    if known.len() > MOST {
        text.push_str(&format!(" and {} more", known.len() - MOST));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_none_is_told_with_what_may_be_meant_and_what_there_is() {
        let none = "there is no trunk";
        assert_eq!(
            unknown(none, "carier", ["carrier", "teams"]),
            "there is no trunk \"carier\": did you mean \"carrier\"? There are carrier, teams"
        );
        assert_eq!(
            unknown(none, "x\u{1b}[2J", ["teams"]),
            "there is no trunk \"x\u{fffd}[2J\"; there is teams"
        );
        assert_eq!(
            unknown(none, "x", []),
            "there is no trunk \"x\"; there is none at all"
        );
        let many: Vec<String> = (0..120).map(|number| format!("trunk-{number}")).collect();
        let told = unknown(none, "elephant", many.iter().map(String::as_str));
        assert!(told.ends_with(", trunk-99 and 20 more"), "{told}");
    }
}
