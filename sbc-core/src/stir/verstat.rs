//! `verstat`: what a verification said, told beside a number (3GPP TS 24.229 §7.2A.20).

use super::attest::Level;
use crate::sip::Uri;

/// What was found out about a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Validation {
    /// Somebody vouches for it.
    Passed,
    /// Somebody seems to, and does not.
    Failed,
    /// Nothing.
    None,
}

impl Validation {
    /// The value of the parameter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "TN-Validation-Passed",
            Self::Failed => "TN-Validation-Failed",
            Self::None => "No-TN-Validation",
        }
    }
}

/// A value of the parameter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Verstat {
    /// What was found out.
    pub validation: Validation,
    /// At which level, where a carrier says so in its own extension of the value (`-A`).
    pub level: Option<Level>,
}

impl Verstat {
    /// Reads a value by its beginning: carriers add to it what they like.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Validation::Passed, Validation::Failed, Validation::None];
        all.into_iter().find_map(|validation| {
            let word = validation.as_str();
            let (own, rest) = text.split_at_checked(word.len())?;
            own.eq_ignore_ascii_case(word).then(|| Self {
                validation,
                level: rest.strip_prefix('-').and_then(Level::parse),
            })
        })
    }

    /// The parameter of a URI: of its number, or of the URI itself, where some put it.
    pub fn of(uri: &Uri) -> Option<Self> {
        let is_it = |name: &[u8]| name.eq_ignore_ascii_case(NAME.as_bytes());
        let text = |value: &[u8]| Self::parse(std::str::from_utf8(value).ok()?);
        let of_params = |params: &crate::sip::UriParams| {
            let mut params = params.iter();
            params.find_map(|(name, value)| value.filter(|_| is_it(name)).and_then(|v| text(v)))
        };
        match uri {
            Uri::Sip(sip) => {
                let mut words = sip
                    .user()
                    .map(|user| &user[..])
                    .unwrap_or_default()
                    .split(|o| *o == b';');
                let of_number = words.find_map(|word| {
                    let at = word.iter().position(|octet| *octet == b'=')?;
                    let (name, value) = (word.get(..at)?, word.get(at + 1..)?);
                    is_it(name).then(|| text(value)).flatten()
                });
                of_number.or_else(|| of_params(&sip.params))
            }
            Uri::Tel(tel) => of_params(&tel.params),
            Uri::Other(_) => None,
        }
    }

    /// The value, with the level where `with_level` says so and there is one.
    pub fn text(self, with_level: bool) -> String {
        let mut text = self.validation.as_str().to_owned();
        if let Some(level) = self.level.filter(|_| with_level) {
            text.push('-');
            text.push_str(level.as_str());
        }
        text
    }
}

/// Name of the parameter.
pub(crate) const NAME: &str = "verstat";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_known_by_its_beginning_wherever_it_stands() {
        let of = |uri: &str| Verstat::of(&Uri::parse(uri.to_owned()).expect("a URI"));
        let verstat = |validation, level| Some(Verstat { validation, level });
        let passed = |level| verstat(Validation::Passed, level);
        assert_eq!(
            of("tel:+12155550121;verstat=TN-Validation-Passed"),
            passed(None)
        );
        assert_eq!(
            of("sip:+12155550121;verstat=TN-Validation-Passed-B@example.com;user=phone"),
            passed(Some(Level::B))
        );
        assert_eq!(
            of("sip:+12155550121@example.com;Verstat=tn-validation-passed-Diverted"),
            passed(None)
        );
        assert_eq!(
            of("sip:+12155550121;verstat=TN-Validation-Failed@example.com"),
            verstat(Validation::Failed, None)
        );
        assert_eq!(
            of("sip:+12155550121;a;verstat=No-TN-Validation-x@example.com"),
            verstat(Validation::None, None)
        );
        for nothing in [
            "sip:+1@example.com",
            "sip:+1;verstat=Passed@example.com",
            "sip:+1;verstat@example.com",
            "tel:+1;verstat=TN",
        ] {
            assert_eq!(of(nothing), None, "{nothing}");
        }
        let own = passed(Some(Level::B)).expect("it");
        assert_eq!(
            (own.text(false).as_str(), own.text(true).as_str()),
            ("TN-Validation-Passed", "TN-Validation-Passed-B")
        );
    }
}
