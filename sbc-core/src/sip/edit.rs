//! Copies of a message with one thing changed.

use super::Message;
use super::grammar::split_commas;
use super::header::{Header, HeaderName, Via};

impl Message {
    /// The message with its topmost Via replaced; everything else stays octet by octet.
    ///
    /// For `received` and `rport` (SIP-102): who answers copies the Via lines of this message.
    /// [`Message::bytes`] stays what was received.
    #[must_use]
    pub fn with_top_via(self, via: Via) -> Message {
        let Some(line) = self.lines(HeaderName::Via).next() else {
            return self;
        };
        let value = line.value();
        let mut changed = Vec::with_capacity(value.len() + 64);
        via.emit(&mut changed);
        for other in split_commas(&value).skip(1) {
            changed.extend_from_slice(b", ");
            changed.extend_from_slice(other);
        }
        self.with_first_via_line(changed.into(), via)
    }
}
