//! What Teams says of where its user is, and of the SBCs that media should go through (TDR-LMO-001).

use super::{Header, HeaderName, Shape};
use crate::sip::grammar::{octets_as_str, trim};
use crate::sip::{Host, ParseFault, Rule};
use bytes::Bytes;

/// X-MS-UserLocation: on which side of the company's edge the user is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum UserLocation {
    /// Inside: internal addresses are reached, and nothing else need be.
    Internal,
    /// Outside.
    External,
}

impl UserLocation {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::External => "external",
        }
    }
}

impl Header for UserLocation {
    const NAME: HeaderName = HeaderName::UserLocation;
    const SHAPE: Shape = Shape::Single;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        let word = trim(text);
        [Self::Internal, Self::External]
            .into_iter()
            .find(|known| word.eq_ignore_ascii_case(known.as_str().as_bytes()))
            .ok_or(ParseFault::new("X-MS-UserLocation", Rule::Token, 0))
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_str().as_bytes());
    }
}

/// One SBC of X-MS-MediaPath; the first faces the client, the last is the one that is called.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct MediaPath(pub Host);

impl Header for MediaPath {
    const NAME: HeaderName = HeaderName::MediaPath;
    const SHAPE: Shape = Shape::List;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        let name = text.slice_ref(trim(text));
        match Host::parse(name)? {
            host @ Host::Name(_) => Ok(Self(host)),
            Host::V4(_) | Host::V6(_) => Err(ParseFault::new("X-MS-MediaPath", Rule::Host, 0)),
        }
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.to_string().as_bytes());
    }
}

/// X-MS-UserSite: the network site of the user as its administrator wrote it. Case matters.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct UserSite(Bytes);

/// Longest name of a site that is kept.
const LONGEST_SITE: usize = 256;

impl UserSite {
    /// The name.
    pub fn as_str(&self) -> &str {
        octets_as_str(&self.0)
    }
}

impl Header for UserSite {
    const NAME: HeaderName = HeaderName::UserSite;
    const SHAPE: Shape = Shape::Single;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        let fault = |rule, at| Err(ParseFault::new("X-MS-UserSite", rule, at));
        let name = text.slice_ref(trim(text));
        if name.is_empty() {
            return fault(Rule::Empty, 0);
        }
        if name.len() > LONGEST_SITE {
            return fault(Rule::TooMany, LONGEST_SITE);
        }
        match std::str::from_utf8(&name) {
            Ok(text) if !text.chars().any(char::is_control) => Ok(Self(name)),
            Ok(_) | Err(_) => fault(Rule::Token, 0),
        }
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{Limits, Message};

    fn message(lines: &str) -> Message {
        let text = format!(
            "INVITE sip:+441632960001@vnsbc.contoso.example SIP/2.0\r\n{lines}Content-Length: 0\r\n\r\n"
        );
        Message::parse(Bytes::from(text), &Limits::default()).expect("a message")
    }

    fn path(lines: &str) -> Result<Vec<String>, ParseFault> {
        let list = message(lines).list::<MediaPath>()?;
        Ok(list.into_iter().map(|own| own.0.to_string()).collect())
    }

    #[test]
    fn names_of_headers_are_read_in_any_case_and_the_path_in_its_order() {
        let read = path("x-ms-mediapath :  proxysbc.contoso.example ,\tVNsbc.contoso.example \r\n");
        let wanted = ["proxysbc.contoso.example", "VNsbc.contoso.example"];
        assert_eq!(read.unwrap(), wanted);
        let lines = "X-MS-MEDIAPATH: a.example\r\nX-Ms-MediaPath: b.example\r\n";
        assert_eq!(path(lines).unwrap(), ["a.example", "b.example"]);
        let found = message("X-Ms-UserLOCATION: Internal \r\n").get();
        assert_eq!(found, Ok(Some(UserLocation::Internal)));
    }

    #[test]
    fn what_is_no_name_of_an_sbc_is_a_fault() {
        for value in [
            "",
            "10.0.0.1",
            "[2001:db8::1]",
            "a.example,",
            "a b",
            "a.example:5061",
        ] {
            let lines = format!("X-MS-MediaPath: {value}\r\n");
            assert!(path(&lines).is_err(), "{value:?}");
        }
        assert_eq!(path(""), Ok(vec![]));
    }

    #[test]
    fn a_location_is_one_of_two_words() {
        for value in ["", "inside", "internal, external"] {
            assert!(
                UserLocation::parse(&Bytes::from(value)).is_err(),
                "{value:?}"
            );
        }
    }

    #[test]
    fn sites_keep_their_case_and_are_bounded() {
        let site = |text: &str| UserSite::parse(&Bytes::from(text.to_owned()));
        assert_eq!(site(" Ha Noi, 2 ").unwrap().as_str(), "Ha Noi, 2");
        assert_ne!(site("vietnam"), site("Vietnam"));
        assert!(site("").is_err());
        assert!(site("a\u{7}b").is_err());
        assert!(site(&"x".repeat(LONGEST_SITE)).is_ok());
        assert!(site(&"x".repeat(LONGEST_SITE + 1)).is_err());
    }
}
