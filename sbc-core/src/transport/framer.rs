//! Stream bytes → messages, pings, pongs and faults (SIP-120, SIP-121, SIP-014).
//!
//! The output does not depend on how the stream was cut into segments. Every octet is looked at a
//! bounded number of times, nothing is allocated because of a number in a header, and a message
//! is handed out in a buffer of exactly its size, so that one that is kept does not keep others.

use bytes::Bytes;
use memchr::memmem;

use crate::sip::parse::{announced_body, is_sip_start, reject};
use crate::sip::{Limits, ParseFault, Reaction, Rejected, Rule};

/// Cuts one connection's stream into [`Frame`]s. Owns no socket and no clock.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    /// Received and not yet handed out, from `begin`.
    buffer: Vec<u8>,
    begin: usize,
    state: State,
}

/// What a stream contains.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// One whole message: header section, and as many octets of body as Content-Length says.
    Message(Bytes),
    /// CR LF CR LF between messages: answer with one CR LF on this connection (RFC 5626 §4.4.1).
    Ping,
    /// CR LF between messages: the answer to our ping, or the first half of the peer's. Both prove
    /// that the peer lives; whether a second half follows cannot be known without waiting.
    Pong,
    /// The stream cannot be followed any further: send the answer if there is one, then close.
    /// Nothing comes after this.
    Fault(Rejected),
}

#[derive(Debug)]
enum State {
    /// Before the first octet of a message. `line_ends` is 1 after an odd CR LF.
    Between { line_ends: u8 },
    /// In the start line; `scanned` octets are known to hold no line end.
    StartLine { scanned: usize },
    /// In the header section; `scanned` octets are known not to hold its end.
    Headers { scanned: usize },
    /// Waiting for `total` octets, header section included.
    Body { total: usize },
    /// A fault was reported.
    Closed,
}

impl Framer {
    /// A framer at the beginning of a stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buffer: Vec::new(),
            begin: 0,
            state: State::Between { line_ends: 0 },
        }
    }

    /// Takes what was read from the stream. Call [`Framer::next_frame`] until it has no more before
    /// reading on: what is not fetched stays buffered.
    pub fn push(&mut self, octets: &[u8]) {
        if matches!(self.state, State::Closed) {
            return;
        }
        if self.begin > 0 {
            self.buffer.drain(..self.begin);
            self.begin = 0;
        }
        self.buffer.extend_from_slice(octets);
    }

    /// The next frame, if it is complete.
    pub fn next_frame(&mut self) -> Option<Frame> {
        loop {
            let pending = self.buffer.get(self.begin..).unwrap_or_default();
            match self.state {
                State::Closed => return None,
                State::Between { line_ends } => match pending {
                    [] => {
                        self.release();
                        return None;
                    }
                    [b'\r'] => return None,
                    [b'\r', b'\n', ..] => {
                        self.begin += 2;
                        self.state = State::Between {
                            line_ends: 1 - line_ends,
                        };
                        return Some(if line_ends == 0 {
                            Frame::Pong
                        } else {
                            Frame::Ping
                        });
                    }
                    // No method and no version begins with anything else: not SIP, and not worth
                    // waiting for the end of a line (SIP-014).
                    [first, ..] if !is_start_octet(*first) => {
                        return Some(self.foreign());
                    }
                    _ => self.state = State::StartLine { scanned: 0 },
                },
                State::StartLine { scanned } => {
                    let fresh = pending.get(scanned..).unwrap_or_default();
                    let end = memchr::memchr(b'\n', fresh).map(|at| scanned + at);
                    let end = odd_start_end(pending, end).or(end);
                    if end.unwrap_or(pending.len()) > self.limits.start_line + 2 {
                        let fault = ParseFault::new("start line", Rule::TooLong, 0);
                        return Some(self.drop_all(fault));
                    }
                    let Some(end) = end else {
                        self.state = State::StartLine {
                            scanned: pending.len(),
                        };
                        return None;
                    };
                    let line = pending.get(..end).unwrap_or_default();
                    if !is_sip_start(line.strip_suffix(b"\r").unwrap_or(line)) {
                        return Some(self.foreign());
                    }
                    // The line end may be the first half of the empty line.
                    self.state = State::Headers {
                        scanned: end.saturating_sub(1),
                    };
                }
                State::Headers { scanned } => {
                    let fresh = pending.get(scanned..).unwrap_or_default();
                    let Some(at) = memmem::find(fresh, b"\r\n\r\n") else {
                        // With other line ends it is none that can be followed: whoever waits for the right
                        // ones is never told so (SEC-095).
                        let most = self.limits.header_section + 2;
                        if let Some(end) = odd_end(pending, scanned).filter(|end| *end <= most) {
                            return Some(self.fail_odd(end));
                        }
                        if pending.len() > self.limits.header_section + 2 {
                            let fault = ParseFault::new("header section", Rule::TooLong, 0);
                            return Some(self.fail(fault));
                        }
                        self.state = State::Headers {
                            scanned: usize::max(scanned, pending.len().saturating_sub(3)),
                        };
                        return None;
                    };
                    let head_len = scanned + at + 4;
                    let most = self.limits.header_section + 2;
                    if head_len > most {
                        // As when it comes octet by octet.
                        let odd = odd_end(pending.get(..head_len).unwrap_or_default(), 0);
                        if let Some(end) = odd.filter(|end| *end <= most) {
                            return Some(self.fail_odd(end));
                        }
                        let fault = ParseFault::new("header section", Rule::TooLong, 0);
                        return Some(self.fail(fault));
                    }
                    let head = pending.get(..head_len).unwrap_or_default();
                    let body = announced_body(head, &self.limits);
                    match (body, unescaped_nul(head)) {
                        (Ok(body), None) => {
                            self.state = State::Body {
                                total: head_len + body,
                            }
                        }
                        (Ok(_), Some(at)) => {
                            let fault = ParseFault::new("header section", Rule::Control, at);
                            return Some(self.fail(fault));
                        }
                        (Err(fault), _) => match odd_end(head, 0) {
                            Some(end) => return Some(self.fail_odd(end)),
                            None => return Some(self.fail(fault)),
                        },
                    }
                }
                State::Body { total } => {
                    let message = pending.get(..total)?;
                    let message = Bytes::copy_from_slice(message);
                    self.begin += total;
                    self.state = State::Between { line_ends: 0 };
                    return Some(Frame::Message(message));
                }
            }
        }
    }

    /// Whether a message has begun and is not complete: after 10 s of this the connection is closed
    /// (SIP-123).
    pub fn is_mid_message(&self) -> bool {
        match self.state {
            State::Between { .. } => self.begin < self.buffer.len(),
            State::StartLine { .. } | State::Headers { .. } | State::Body { .. } => true,
            State::Closed => false,
        }
    }

    /// Octets that are buffered; never more than the limits of one message and what was pushed
    /// last.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len() - self.begin
    }

    fn foreign(&mut self) -> Frame {
        self.drop_all(ParseFault::new("start line", Rule::NotSip, 0))
    }

    /// A fault that nobody is told of: there is no header yet that says whom to answer.
    fn drop_all(&mut self, fault: ParseFault) -> Frame {
        self.close();
        Frame::Fault(Rejected {
            fault,
            reaction: Reaction::Drop,
        })
    }

    fn fail(&mut self, fault: ParseFault) -> Frame {
        let pending = self.buffer.get(self.begin..).unwrap_or_default();
        let rejected = reject(&Bytes::copy_from_slice(pending), &self.limits, fault);
        self.close();
        Frame::Fault(rejected)
    }

    /// The header section ends here, and has line ends that are none.
    fn fail_odd(&mut self, end: usize) -> Frame {
        self.buffer.truncate(self.begin + end);
        let head = self.buffer.get(self.begin..).unwrap_or_default();
        let odd = ParseFault::new("header section", Rule::LineEnd, end);
        let fault = announced_body(head, &self.limits).err().unwrap_or(odd);
        self.fail(fault)
    }

    fn close(&mut self) {
        self.state = State::Closed;
        self.buffer = Vec::new();
        self.begin = 0;
    }

    /// Nothing is pending: forget the octets, and the buffer too if a big message made it big.
    fn release(&mut self) {
        self.begin = 0;
        match self.buffer.capacity() > KEPT_CAPACITY {
            true => self.buffer = Vec::new(),
            false => self.buffer.clear(),
        }
    }
}

/// Whether a datagram is a keep-alive and nothing more: empty, or only CR, LF and NUL.
pub fn is_keep_alive(datagram: &[u8]) -> bool {
    datagram
        .iter()
        .all(|octet| matches!(octet, b'\r' | b'\n' | 0))
}

/// Where a start line ends with CR alone, before `end` if that is known already: only what would be one of SIP
/// is looked at further.
fn odd_start_end(pending: &[u8], end: Option<usize>) -> Option<usize> {
    let line = pending.get(..end.unwrap_or(pending.len()))?;
    let at = memchr::memchr(b'\r', line)?;
    let is_alone = pending.get(at + 1).is_some_and(|next| *next != b'\n');
    let start = pending.get(..at)?;
    (is_alone && is_sip_start(start)).then_some(at)
}

/// Where an empty line ends that is none of two CR LF: CR or LF alone stands before it, or ends it. What stands before
/// `from` has none.
fn odd_end(octets: &[u8], from: usize) -> Option<usize> {
    let fresh = octets.get(from..)?;
    memchr::memchr2_iter(b'\r', b'\n', fresh).find_map(|at| {
        let at = from + at;
        let before = at.checked_sub(1).and_then(|before| octets.get(before));
        let (own, next) = (octets.get(at)?, octets.get(at + 1)?);
        let is_odd = match (own, next) {
            (b'\n', b'\n') | (b'\r', b'\r') => true,
            (b'\n', b'\r') if before != Some(&b'\r') => true,
            // Of a whole CR LF it is the second half that is seen next.
            (b'\n', b'\r') => *octets.get(at + 2)? != b'\n',
            _ => false,
        };
        is_odd.then_some(at + 2)
    })
}

/// Where a NUL stands that no backslash escapes, as one in a quoted string may be (RFC 3261 §25.1).
fn unescaped_nul(head: &[u8]) -> Option<usize> {
    memchr::memchr_iter(0, head).find(|at| {
        let before = head.get(..*at).unwrap_or_default();
        let escapes = before.iter().rev().take_while(|octet| **octet == b'\\');
        escapes.count() % 2 == 0
    })
}

fn is_start_octet(octet: u8) -> bool {
    octet.is_ascii_graphic()
}

/// Most octets of buffer that an idle connection keeps.
const KEPT_CAPACITY: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE: &str = "OPTIONS sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1\r\n\
                         l : 4\r\n\r\nbody";

    fn frames(stream: &str) -> Vec<Frame> {
        let mut framer = Framer::new(Limits::default());
        framer.push(stream.as_bytes());
        std::iter::from_fn(|| framer.next_frame()).collect()
    }

    fn fault(frames: &[Frame]) -> (Rule, Option<u16>) {
        match frames.last() {
            Some(Frame::Fault(rejected)) => (
                rejected.fault.rule,
                rejected.status().map(|status| status.code()),
            ),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn messages_follow_each_other_with_pings_between() {
        let stream = format!("{PROBE}{PROBE}\r\n\r\n{PROBE}\r\n{PROBE}");
        let message = Frame::Message(PROBE.into());
        let wanted = [
            message.clone(),
            message.clone(),
            Frame::Pong,
            Frame::Ping,
            message.clone(),
            Frame::Pong,
            message,
        ];
        assert_eq!(frames(&stream), wanted);
    }

    #[test]
    fn a_message_without_a_usable_length_is_answered_and_ends_the_stream() {
        let without = PROBE.replace("l : 4\r\n", "");
        assert_eq!(fault(&frames(&without)), (Rule::Missing, Some(400)));
        let negative = PROBE.replace("l : 4", "l: -4");
        assert_eq!(fault(&frames(&negative)), (Rule::Number, Some(400)));
        let twice = PROBE.replace("l : 4", "l: 4\r\nContent-Length: 4");
        assert_eq!(fault(&frames(&twice)), (Rule::Repeated, Some(400)));
        for wrapped in ["4294967300", "18446744073709551620"] {
            let wrapped = PROBE.replace("l : 4", &format!("l: {wrapped}"));
            assert_eq!(fault(&frames(&wrapped)), (Rule::Range, Some(400)));
        }
        let huge = PROBE.replace("l : 4", "l: 300000");
        assert_eq!(fault(&frames(&huge)), (Rule::TooLong, Some(513)));
    }

    #[test]
    fn other_protocols_end_the_stream_without_an_answer() {
        for stream in [
            "GET / HTTP/1.1\r\n",
            "\u{16}\u{3}\u{1}",
            "\n",
            "SSH-2.0-x\r\n",
        ] {
            let frames = frames(stream);
            assert_eq!(fault(&frames), (Rule::NotSip, None), "{stream:?}");
            assert_eq!(frames.len(), 1);
        }
    }

    #[test]
    fn endless_lines_and_header_sections_end_the_stream() {
        let line = "A".repeat(9_000);
        assert_eq!(fault(&frames(&line)), (Rule::TooLong, None));
        let mut section =
            String::from("OPTIONS sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/TCP a\r\n");
        while section.len() < 70_000 {
            section.push_str("X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n");
        }
        assert_eq!(fault(&frames(&section)), (Rule::TooLong, Some(513)));
    }

    #[test]
    fn nothing_is_understood_after_a_fault() {
        let mut framer = Framer::new(Limits::default());
        framer.push(b"GET / HTTP/1.1\r\n");
        assert!(matches!(framer.next_frame(), Some(Frame::Fault(_))));
        framer.push(PROBE.as_bytes());
        assert_eq!(framer.next_frame(), None);
        assert_eq!(framer.buffered_bytes(), 0);
    }

    #[test]
    fn an_idle_connection_keeps_no_big_buffer() {
        let mut framer = Framer::new(Limits::default());
        let big = PROBE.replace("l : 4", "l: 200004") + &"x".repeat(200_000);
        for chunk in big.as_bytes().chunks(1_000) {
            framer.push(chunk);
            assert!(framer.is_mid_message());
            if let Some(frame) = framer.next_frame() {
                assert_eq!(frame, Frame::Message(big.clone().into()));
            }
        }
        assert!(!framer.is_mid_message());
        assert_eq!(framer.next_frame(), None);
        assert!(framer.buffer.capacity() <= KEPT_CAPACITY);
    }
}
