//! Identifiers of requirements.

use std::fmt;

/// Letters before every number.
const PREFIX: &str = "SIP-";

/// Identifier of a requirement; written with at least three digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequirementId(pub u16);

impl RequirementId {
    /// Reads an identifier as it is written, with no other spelling of its number.
    pub fn parse(text: &str) -> Option<Self> {
        let id = Self(text.strip_prefix(PREFIX)?.parse().ok()?);
        (id.to_string() == text).then_some(id)
    }

    /// Every identifier in a text. What belongs to another list (`TDR-SIP-…`) is none.
    pub fn all_in(text: &str) -> Vec<Self> {
        let joins = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        text.match_indices(PREFIX)
            .filter(|(at, _)| !text[..*at].ends_with(joins))
            .filter_map(|(at, _)| {
                let number = &text[at + PREFIX.len()..];
                let end = number.find(|c: char| !c.is_ascii_digit());
                let digits = &number[..end.unwrap_or(number.len())];
                // Other words begin alike, such as names of software with its version.
                (3..=4)
                    .contains(&digits.len())
                    .then(|| digits.parse().ok())?
            })
            .map(Self)
            .collect()
    }
}

impl fmt::Display for RequirementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{:03}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_has_one_spelling() {
        for number in [1, 17, 102, 1730] {
            let id = RequirementId(number);
            assert_eq!(RequirementId::parse(&id.to_string()), Some(id));
        }
        for bad in ["1", "01", "0001", "+01", "", "001 ", "x"] {
            assert_eq!(
                RequirementId::parse(&format!("{PREFIX}{bad}")),
                None,
                "{bad}"
            );
        }
        assert_eq!(RequirementId::parse("sip-001"), None);
    }

    #[test]
    fn identifiers_are_found_in_comments_and_those_of_other_lists_are_not() {
        let found = |text: &str| -> Vec<u16> {
            RequirementId::all_in(&text.replace('#', PREFIX))
                .iter()
                .map(|id| id.0)
                .collect()
        };
        assert_eq!(
            found("(RFC 3261 §17, #201; #1020 to #1022)"),
            [201, 1020, 1022]
        );
        assert_eq!(found("TDR-#004, X_#005"), [0; 0]);
        assert_eq!(found("#1 #12345 #x"), [0; 0]);
    }
}
