//! Whose numbers a stream counts: forks that send at the same time are told apart by their keys.
//!
//! Phones of one kind may well have the same SSRC and begin with the same number, as clones of one device do. What
//! the second one says is no repetition of what the first one has said then, and is counted as after a change of SSRC
//! (MED-037). Where nothing is agreed finally yet, each key or certificate is a party; afterwards there is one, which
//! may change its key and goes on counting.

use super::stream::Stream;
use media_api::{NegotiatedStream, Protection, Stage};

/// One of those who may send on a stream.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Party(u32);

impl Stream {
    /// Whose a new agreement is.
    pub(super) fn party_of(&mut self, terms: &NegotiatedStream) -> Party {
        let is_known = |other: &NegotiatedStream| match (&other.protection, &terms.protection) {
            (Protection::None, Protection::None) => true,
            (Protection::Sdes { remote: one, .. }, Protection::Sdes { remote: other, .. }) => {
                one.is_same_secret(other)
            }
            (Protection::Dtls(one), Protection::Dtls(other)) => one == other,
            (Protection::None | Protection::Sdes { .. } | Protection::Dtls(_), _) => false,
        };
        let mut faces = self.faces.iter();
        let same = faces.find(|face| face.stage == Stage::Final || is_known(&face.terms));
        match same {
            Some(face) => face.party,
            // Who comes back after its line was closed.
            None if self.faces.is_empty() => self.last_party,
            None => {
                self.last_party.0 = self.last_party.0.wrapping_add(1);
                self.last_party
            }
        }
    }
}
