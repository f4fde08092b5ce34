//! Which methods a peer takes within a dialog, as its Allow said last (RFC 3261 §20.5, SIP-300).
//!
//! What it leaves out is not sent, and what it said to take and refuses is not sent again. Three methods
//! are no matter of Allow: who sends REFER takes the NOTIFYs that it asks for (RFC 3515 §2.4.4), who sends
//! reliable provisionals takes PRACK, and OPTIONS everybody has to take (RFC 3261 §11).

use crate::sip::header::Allow;
use crate::sip::{HeaderName, Message, Method};
use media_api::wire_layout;

/// The methods of which it may depend what we do.
const METHODS: [Method; 6] = [
    Method::Update,
    Method::Info,
    Method::Message,
    Method::Refer,
    Method::Subscribe,
    Method::Prack,
];

/// What a peer takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Takes {
    /// What it says to take, as a set of bits.
    said: u8,
    /// What it has refused, whatever it says.
    refused: u8,
}

impl Default for Takes {
    /// A peer that says nothing takes everything but UPDATE, of which it has to speak (RFC 3311 §4).
    fn default() -> Self {
        Self {
            said: !bit(&Method::Update).unwrap_or_default(),
            refused: 0,
        }
    }
}

impl Takes {
    /// As a message of the peer says.
    pub fn of(message: &Message) -> Self {
        let mut takes = Self::default();
        takes.note(message);
        takes
    }

    /// The peer says it anew, if this message has an Allow that can be read.
    pub fn note(&mut self, message: &Message) {
        if !message.has(HeaderName::Allow) {
            return;
        }
        if let Ok(allowed) = message.list::<Allow>() {
            let bits = allowed.iter().filter_map(|Allow(method)| bit(method));
            self.said = bits.fold(0, |all, bit| all | bit);
        }
    }

    /// It does not take this method after all.
    pub fn refuses(&mut self, method: &Method) {
        self.refused |= bit(method).unwrap_or_default();
    }

    /// Whether it takes this method.
    pub fn takes(self, method: &Method) -> bool {
        bit(method).is_none_or(|bit| self.said & !self.refused & bit != 0)
    }
}

fn bit(method: &Method) -> Option<u8> {
    let at = METHODS.iter().position(|own| own == method)?;
    Some(1 << at)
}

wire_layout! {
    struct Takes { said, refused }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Limits;

    fn takes(lines: &str) -> Takes {
        let text = format!("SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\n{lines}\r\n");
        Takes::of(&Message::parse(text.into(), &Limits::default()).unwrap())
    }

    #[test]
    fn what_is_left_out_is_not_taken_and_who_says_nothing_takes_all_but_update() {
        let silent = takes("");
        assert!(!silent.takes(&Method::Update) && silent.takes(&Method::Info));
        let said = takes("Allow: INVITE, UPDATE\r\nAllow: REFER\r\n");
        assert!(said.takes(&Method::Update) && said.takes(&Method::Refer));
        assert!(!said.takes(&Method::Info) && !said.takes(&Method::Prack));
        // No matter of Allow.
        for always in [Method::Bye, Method::Notify, Method::Options] {
            assert!(said.takes(&always), "{}", always.as_str());
        }
    }

    #[test]
    fn what_was_refused_is_not_taken_whatever_was_said() {
        let mut said = takes("Allow: INVITE, INFO\r\n");
        said.refuses(&Method::Info);
        assert!(!said.takes(&Method::Info));
        let again = "SIP/2.0 200 OK\r\nCSeq: 2 INVITE\r\nAllow: INVITE, INFO, REFER\r\n\r\n";
        said.note(&Message::parse(again.into(), &Limits::default()).unwrap());
        assert!(said.takes(&Method::Refer) && !said.takes(&Method::Info));
        let nothing = takes("Allow:\r\n");
        assert!(!nothing.takes(&Method::Info));
    }
}
