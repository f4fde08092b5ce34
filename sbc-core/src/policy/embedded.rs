//! Headers within a URI that a peer wants called (RFC 3261 §19.1.5): of a Refer-To and of a Contact of a 3xx. Which of them
//! a new INVITE carries is the same for both (SIP-808).

use crate::config::{Preset, Trunk};
use crate::policy::replacement::{self, Replacement};
use crate::policy::{header, response, uui};
use crate::sip::header::{Header, HistoryInfo, Reason, UserToUser, readable};
use crate::sip::{HeaderName, Uri, unescape};
use bytes::Bytes;

/// Most headers that a URI may bring along.
const MOST: usize = 16;

/// What the headers of a URI say, unescaped.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Embedded {
    headers: Vec<(HeaderName, Bytes)>,
    /// Why it is called, and who was called before, both as values of their headers.
    reasons: Vec<Reason>,
    history: Vec<HistoryInfo>,
    /// The dialog that is to be replaced.
    replacement: Option<Replacement>,
}

impl Embedded {
    /// Those of a URI. What breaks a line is left out, and so is what has a meaning of its own there.
    pub fn of(uri: &Uri) -> Self {
        let headers = uri.as_sip().map_or(&[][..], |sip| sip.headers());
        let readable = headers.iter().filter_map(|(name, value)| {
            let text = |octets: &[u8]| Bytes::from(unescape(octets).into_owned());
            Some((HeaderName::parse(text(name)).ok()?, text(value)))
        });
        let headers: Vec<_> = readable
            .filter(|(name, value)| {
                *name != HeaderName::Replaces && header::is_passable_as(name, value)
            })
            .take(MOST)
            .collect();
        Self {
            reasons: values_in(&headers, &HeaderName::Reason),
            history: values_in(&headers, &HeaderName::HistoryInfo),
            headers,
            replacement: None,
        }
    }

    /// The same, with this dialog to be replaced, or with none.
    pub fn replacing(self, replacement: Option<Replacement>) -> Self {
        Self {
            replacement,
            ..self
        }
    }

    /// Whether a dialog is to be replaced.
    pub fn replaces(&self) -> bool {
        self.replacement.is_some()
    }

    /// Whether the URI has none.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.replacement.is_none()
    }

    /// Who was called before.
    pub fn history(&self) -> &[HistoryInfo] {
        &self.history
    }

    /// Lines of an INVITE over trunk `to` that the peer of trunk `by` wants: those that `to` lists, why it is called, and
    /// the dialog to be replaced, where that goes back to its peer.
    pub fn lines(&self, by: &Trunk, to: &Trunk) -> Vec<(HeaderName, Bytes)> {
        // What Teams says to itself is none of our business (TDR-XFR-012).
        let is_its_own = by.name == to.name && by.preset == Preset::Teams;
        let goes = |name: &HeaderName| {
            header::is_listed(name, by, to) || (is_its_own && header::goes_back(name, to))
        };
        let mut lines: Vec<(HeaderName, Bytes)> = self
            .headers
            .iter()
            .filter(|(name, _)| *name != HeaderName::UserToUser && goes(name))
            .cloned()
            .collect();
        if header::passes(&HeaderName::UserToUser, by, to) {
            let values = self
                .headers
                .iter()
                .filter(|(name, _)| *name == HeaderName::UserToUser)
                .filter_map(|(_, value)| UserToUser::parse(value).ok());
            lines.extend(uui::of_values(&values.collect::<Vec<_>>(), to));
        }
        let reasons = response::reasons_for_call(&self.reasons, to);
        lines.extend(
            reasons
                .iter()
                .map(|own| (HeaderName::Reason, own.to_bytes())),
        );
        let replacement = self.replacement.iter();
        let replacement = replacement.filter(|_| replacement::goes_back(by, to));
        lines.extend(replacement.flat_map(Replacement::lines));
        lines
    }

    /// The lines of a request that was redirected, with these instead of what it said under their names (RFC 3261 §8.1.3.4).
    pub fn overwrite(&self, lines: &mut Vec<(HeaderName, Bytes)>, by: &Trunk, to: &Trunk) {
        let wanted = self.lines(by, to);
        lines.retain(|(name, _)| !wanted.iter().any(|(own, _)| own == name));
        lines.extend(wanted);
    }
}

/// The values of a header among those of a URI. One that cannot be read says nothing.
fn values_in<H: Header>(headers: &[(HeaderName, Bytes)], name: &HeaderName) -> Vec<H> {
    let values = headers.iter().filter(|(own, _)| own == name);
    values.flat_map(|(_, value)| readable(value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_uri_are_unescaped_and_cannot_break_a_line() {
        let uri = "sip:a@example.com?X-One=a%20b&X-Two=a%0d%0aVia:%20x&Replaces=c%3Bto-tag%3D1%3Bfrom-tag%3D2";
        let found = Embedded::of(&Uri::parse(uri).expect("a URI"));
        let expected = [(HeaderName::parse("X-One").unwrap(), Bytes::from("a b"))];
        assert_eq!(found.headers, expected);
        assert!(!found.is_empty() && found.history().is_empty());
    }
}
