//! Identifiers of requirements.

use std::fmt;

/// Identifier of a requirement or of a published vulnerability; in the order of the lists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RequirementId {
    /// What a B2BUA must do: `SIP-` and at least three digits.
    Sip(u16),
    /// What keeps it safe: `SEC-` and at least three digits.
    Security(u16),
    /// A published vulnerability whose class must not be ours: `CVE-`, year, number.
    Vulnerability(u16, u32),
    /// One that was published without a number: `ROW-` and at least three digits.
    Unnumbered(u16),
}

/// Letters before every identifier of the first list.
const SIP: &str = "SIP-";

impl RequirementId {
    /// Reads an identifier as it is written, with no other spelling of its number.
    pub fn parse(text: &str) -> Option<Self> {
        let id = match text.get(..4)? {
            SIP => Self::Sip(text[4..].parse().ok()?),
            "SEC-" => Self::Security(text[4..].parse().ok()?),
            "ROW-" => Self::Unnumbered(text[4..].parse().ok()?),
            "CVE-" => {
                let (year, number) = text[4..].split_once('-')?;
                Self::Vulnerability(year.parse().ok()?, number.parse().ok()?)
            }
            _ => return None,
        };
        (id.to_string() == text).then_some(id)
    }

    /// Every identifier of the first list in a text. What belongs to another list (`TDR-SIP-…`) is none.
    pub fn all_in(text: &str) -> Vec<Self> {
        let joins = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        text.match_indices(SIP)
            .filter(|(at, _)| !text[..*at].ends_with(joins))
            .filter_map(|(at, _)| {
                let number = &text[at + SIP.len()..];
                let end = number.find(|c: char| !c.is_ascii_digit());
                let digits = &number[..end.unwrap_or(number.len())];
                // Other words begin alike, such as names of software with its version.
                (3..=4)
                    .contains(&digits.len())
                    .then(|| digits.parse().ok())?
            })
            .map(Self::Sip)
            .collect()
    }
}

impl fmt::Display for RequirementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sip(number) => write!(f, "{SIP}{number:03}"),
            Self::Security(number) => write!(f, "SEC-{number:03}"),
            Self::Vulnerability(year, number) => write!(f, "CVE-{year}-{number:04}"),
            Self::Unnumbered(number) => write!(f, "ROW-{number:03}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_has_one_spelling() {
        for number in [1, 17, 102, 1730] {
            for id in [
                RequirementId::Sip(number),
                RequirementId::Security(number),
                RequirementId::Unnumbered(number),
            ] {
                assert_eq!(RequirementId::parse(&id.to_string()), Some(id));
            }
        }
        for text in ["CVE-2018-8828", "CVE-2024-35190", "CVE-2022-0778"] {
            let id = RequirementId::parse(text).map(|id| id.to_string());
            assert_eq!(id.as_deref(), Some(text));
        }
        for bad in ["1", "01", "0001", "+01", "", "001 ", "x", "2018-8828"] {
            assert_eq!(RequirementId::parse(&format!("{SIP}{bad}")), None, "{bad}");
            assert_eq!(RequirementId::parse(&format!("ROW-{bad}")), None, "{bad}");
        }
        for bad in [
            "sip-001",
            "CVE-2018",
            "CVE-2018-828",
            "CVE-2018-08828",
            "SIP",
            "",
        ] {
            assert_eq!(RequirementId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn identifiers_are_found_in_comments_and_those_of_other_lists_are_not() {
        let found = |text: &str| -> Vec<String> {
            RequirementId::all_in(&text.replace('#', SIP))
                .iter()
                .map(ToString::to_string)
                .map(|id| id.replace(SIP, ""))
                .collect()
        };
        assert_eq!(
            found("(RFC 3261 §17, #201; #1020 to #1022)"),
            ["201", "1020", "1022"]
        );
        assert!(found("TDR-#004, X_#005").is_empty());
        assert!(found("#1 #12345 #x").is_empty());
    }
}
