//! Copies of a message with one thing changed.

use bytes::Bytes;

use super::grammar::split_commas;
use super::header::{Header, HeaderName, Via};
use super::{Limits, Message};

impl Message {
    /// The message with its topmost Via replaced; everything else stays octet by octet.
    ///
    /// For `received` and `rport` (SIP-102): who answers copies the Via lines of this message.
    pub fn with_top_via(&self, via: &Via) -> Message {
        let Some(line) = self.lines(HeaderName::Via).next() else {
            return self.clone();
        };
        let value = line.value();
        let bytes = self.bytes();
        let begin = line.offset();
        let end = line.end();

        let mut out = Vec::with_capacity(bytes.len() + 64);
        out.extend_from_slice(bytes.get(..begin).unwrap_or_default());
        via.emit(&mut out);
        for other in split_commas(&value).skip(1) {
            out.extend_from_slice(b", ");
            out.extend_from_slice(other);
        }
        out.extend_from_slice(bytes.get(end..).unwrap_or_default());

        // The addition must not push a message over a limit that it kept as received.
        let limits = self.limits();
        let slack = out.len().saturating_sub(bytes.len());
        let wider = Limits {
            header_line: limits.header_line + slack,
            header_section: limits.header_section + slack,
            ..*limits
        };
        Message::parse(Bytes::from(out), &wider).unwrap_or_else(|_| self.clone())
    }
}
