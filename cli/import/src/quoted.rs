//! Text in quotes.

use std::fmt::Write as _;

/// Text in quotes, as TOML has it.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            character if character.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(character));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_customer_cannot_leave_their_quotes() {
        assert_eq!(quoted("a\"]\n[x"), "\"a\\\"]\\u000A[x\"");
        assert_eq!(quoted("c:\\"), "\"c:\\\\\"");
    }
}
