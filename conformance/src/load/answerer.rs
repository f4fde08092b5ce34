//! The called side: 180 and 200 to every INVITE, 200 to every other request but ACK.
//!
//! It keeps nothing of a call but the 200 that waits for its ACK, and answers the same request with the
//! same tag whenever it comes.

use super::text::{Name, Text, has_tag};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;

/// A session description that anybody accepts; nobody sends media.
pub(super) const SDP: &str = "v=0\r\no=- 4711 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 6000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-15\r\na=ptime:20\r\n";

/// A call as this side knows it.
pub(super) type Key = u64;

/// What is to be done with what was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reaction {
    /// Nothing to send.
    Nothing,
    /// The first message, and the second right behind it; the second is repeated until its ACK comes.
    Answer(Key),
    /// One message.
    Reply,
}

/// The called side of all calls.
#[derive(Default)]
pub(super) struct Answerer {
    waiting: HashMap<Key, Vec<u8>>,
    /// Buffers of answers that have got their ACK.
    spare: Vec<Vec<u8>>,
}

impl Answerer {
    /// Reads one request and writes what it is answered with: a provisional into `first` where there
    /// are two, and the final response into `last`.
    pub(super) fn receive(
        &mut self,
        request: &Text<'_>,
        contact: &str,
        first: &mut Vec<u8>,
        last: &mut Vec<u8>,
    ) -> Reaction {
        first.clear();
        last.clear();
        if request.status().is_some() {
            return Reaction::Nothing;
        }
        let Some(call_id) = request.value(Name::CallId) else {
            return Reaction::Nothing;
        };
        let key = key_of(call_id);
        match request.method() {
            b"ACK" => {
                if let Some(mut done) = self.waiting.remove(&key) {
                    done.clear();
                    self.spare.push(done);
                }
                Reaction::Nothing
            }
            b"INVITE" => {
                write_response(first, request, "180 Ringing", key, contact, "");
                write_response(last, request, "200 OK", key, contact, SDP);
                let mut kept = self.spare.pop().unwrap_or_default();
                kept.clone_from(last);
                self.waiting.insert(key, kept);
                Reaction::Answer(key)
            }
            _ => {
                write_response(last, request, "200 OK", key, contact, "");
                Reaction::Reply
            }
        }
    }

    /// The 200 of a call whose ACK has not come yet.
    pub(super) fn unacknowledged(&self, key: Key) -> Option<&[u8]> {
        self.waiting.get(&key).map(Vec::as_slice)
    }

    /// Waits for this ACK no longer.
    pub(super) fn give_up(&mut self, key: Key) {
        self.waiting.remove(&key);
    }
}

fn key_of(call_id: &[u8]) -> Key {
    let mut hasher = DefaultHasher::new();
    call_id.hash(&mut hasher);
    hasher.finish()
}

/// Writing into memory cannot fail.
fn write_response(
    out: &mut Vec<u8>,
    request: &Text<'_>,
    status: &str,
    key: Key,
    contact: &str,
    body: &str,
) {
    let _ = write!(out, "SIP/2.0 {status}\r\n");
    for (name, line, value) in request.lines() {
        match name {
            Name::Via | Name::From | Name::CallId | Name::CSeq | Name::RecordRoute => {
                out.extend_from_slice(line);
            }
            Name::To => {
                out.extend_from_slice(line);
                if !has_tag(value) {
                    let _ = write!(out, ";tag={key:x}");
                }
            }
            Name::Contact | Name::ContentLength | Name::Other => continue,
        }
        out.extend_from_slice(b"\r\n");
    }
    let _ = write!(out, "Contact: <{contact}>\r\n");
    if !body.is_empty() {
        out.extend_from_slice(b"Content-Type: application/sdp\r\n");
    }
    let _ = write!(out, "Content-Length: {}\r\n\r\n{body}", body.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, to: &str) -> Vec<u8> {
        format!(
            "{method} sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP b\r\n\
             From: <sip:a@x>;tag=f\r\nTo: {to}\r\nCall-ID: one\r\nCSeq: 1 {method}\r\n\r\n"
        )
        .into_bytes()
    }

    fn answer(answerer: &mut Answerer, request: &[u8]) -> (Reaction, String, String) {
        let (mut first, mut last) = (Vec::new(), Vec::new());
        let text = Text::of(request).unwrap();
        let reaction = answerer.receive(&text, "sip:b@y", &mut first, &mut last);
        (
            reaction,
            String::from_utf8(first).unwrap(),
            String::from_utf8(last).unwrap(),
        )
    }

    #[test]
    fn an_invite_rings_and_is_answered_until_its_ack() {
        let mut answerer = Answerer::default();
        let (reaction, ringing, ok) = answer(&mut answerer, &request("INVITE", "<sip:b@x>"));
        let Reaction::Answer(key) = reaction else {
            panic!("not {reaction:?}");
        };
        assert!(
            ringing.starts_with("SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n")
        );
        assert!(ringing.contains("\r\nVia: SIP/2.0/UDP b\r\n") && ringing.ends_with("\r\n\r\n"));
        assert!(ok.contains(&format!("\r\nTo: <sip:b@x>;tag={key:x}\r\n")) && ok.ends_with(SDP));
        assert_eq!(answerer.unacknowledged(key), Some(ok.as_bytes()));
        // The same again: the same tag.
        assert_eq!(answer(&mut answerer, &request("INVITE", "<sip:b@x>")).2, ok);
        let ack = request("ACK", &format!("<sip:b@x>;tag={key:x}"));
        assert_eq!(answer(&mut answerer, &ack).0, Reaction::Nothing);
        assert_eq!(answerer.unacknowledged(key), None);
    }

    #[test]
    fn the_end_of_a_call_is_confirmed_with_the_tag_that_it_has() {
        let (reaction, first, ok) =
            answer(&mut Answerer::default(), &request("BYE", "<sip:b@x>;tag=q"));
        assert_eq!((reaction, first.as_str()), (Reaction::Reply, ""));
        assert!(ok.starts_with("SIP/2.0 200 OK\r\n") && ok.contains("\r\nTo: <sip:b@x>;tag=q\r\n"));
    }
}
