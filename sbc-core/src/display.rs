//! Text of others on an operator's screen: which characters are never shown as they are.

/// Whether a character could steer a terminal, forge a line, or make text read in another order
/// than it has: control characters, C1 included, which some terminals obey in UTF-8 too; line and
/// paragraph separators; marks of writing direction (OPS-082).
pub fn is_steering(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

/// The character itself, or a mark that something was there.
pub fn shown(c: char) -> char {
    if is_steering(c) { '\u{fffd}' } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_any_language_are_shown_and_what_steers_is_not() {
        for c in "aß漢ي —→│".chars() {
            assert!(!is_steering(c), "{c:?}");
        }
        for c in [
            '\0', '\n', '\r', '\u{1b}', '\u{7f}', '\u{9b}', '\u{202e}', '\u{2028}', '\u{2066}',
        ] {
            assert_eq!(shown(c), '\u{fffd}', "{c:?}");
        }
    }
}
