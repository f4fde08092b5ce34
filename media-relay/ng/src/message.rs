//! A message: a cookie, a blank, a dictionary. How it is cut out of a stream, and how it is answered.

use crate::bencode::{self, Fault};
use crate::json;
use crate::spoken;
use crate::value::{Value, limit};
use std::fmt;

/// Longest cookie in octets; those of the known modules have some twenty.
const COOKIE: usize = 128;

/// In what form a message was written, and is answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Form {
    Bencode,
    Json,
}

/// A message that could be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message<'a> {
    pub(crate) cookie: &'a [u8],
    pub(crate) form: Form,
    pub(crate) body: Value<'a>,
}

/// Why octets are no message. Nothing is answered: without a cookie nobody would know the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreadable {
    /// Longer than any message.
    TooLong,
    /// No cookie and blank at the start.
    NoCookie,
    /// What follows the cookie is neither bencode nor JSON, from this octet on.
    NoValue(usize),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "longer than {} octets", limit::MESSAGE),
            Self::NoCookie => write!(f, "no cookie and blank at its start"),
            Self::NoValue(at) => write!(f, "neither bencode nor JSON at octet {at}"),
        }
    }
}

impl<'a> Message<'a> {
    /// Reads a datagram. What follows its dictionary is ignored: some write a line end.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(datagram: &'a [u8]) -> Result<Self, Unreadable> {
        if datagram.len() > limit::MESSAGE {
            return Err(Unreadable::TooLong);
        }
        let (cookie, at) = cookie(datagram).ok_or(Unreadable::NoCookie)?;
        let rest = &datagram[at..];
        if rest.first() == Some(&b'{') {
            let mut values = serde_json::Deserializer::from_slice(rest).into_iter();
            let value = values.next().and_then(Result::ok);
            let body = value.and_then(json::read).map(spoken::spread);
            return Ok(Self {
                cookie,
                form: Form::Json,
                body: body.ok_or(Unreadable::NoValue(at))?,
            });
        }
        match bencode::read(rest) {
            Ok((body @ Value::Map(_), _)) => Ok(Self {
                cookie,
                form: Form::Bencode,
                body: spoken::spread(body),
            }),
            Ok(_) => Err(Unreadable::NoValue(at)),
            Err(Fault::Short) => Err(Unreadable::NoValue(datagram.len())),
            Err(Fault::Wrong(wrong)) => Err(Unreadable::NoValue(at + wrong)),
        }
    }
}

/// The answer to a message with this cookie.
pub(crate) fn answer(cookie: &[u8], form: Form, body: &Value<'_>) -> Vec<u8> {
    let mut octets = cookie.to_vec();
    octets.push(b' ');
    match form {
        Form::Bencode => bencode::write(body, &mut octets),
        Form::Json => octets.extend_from_slice(json::write(body).to_string().as_bytes()),
    }
    octets
}

/// The cookie at the start, and where the value begins.
fn cookie(octets: &[u8]) -> Option<(&[u8], usize)> {
    let near = &octets[..octets.len().min(COOKIE + 1)];
    let length = near.iter().position(|octet| *octet == b' ')?;
    let cookie = &near[..length];
    let is_sound = length > 0 && cookie.iter().all(u8::is_ascii_graphic);
    is_sound.then_some((cookie, length + 1))
}

/// What a stream begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame {
    /// A message of this range of octets.
    Whole {
        /// Its first octet, after line ends between messages.
        start: usize,
        /// Behind its last.
        end: usize,
    },
    /// Not enough yet. So many octets of it are line ends before a message, and are of no more use.
    Short(usize),
    /// No message: the connection is of no use any more.
    Broken,
}

/// Finds the first message in what a connection has brought so far.
pub fn first_message(stream: &[u8]) -> Frame {
    let start = stream
        .iter()
        .take_while(|octet| matches!(octet, b'\r' | b'\n' | b' '))
        .count();
    let octets = &stream[start..];
    let short = || match octets.len() > limit::MESSAGE {
        true => Frame::Broken,
        false => Frame::Short(start),
    };
    let Some((_, at)) = cookie(octets) else {
        let is_all = octets.iter().all(u8::is_ascii_graphic);
        return match is_all && octets.len() <= COOKIE {
            true => Frame::Short(start),
            false => Frame::Broken,
        };
    };
    let whole = |length: usize| match at + length > limit::MESSAGE {
        true => Frame::Broken,
        false => Frame::Whole {
            start,
            end: start + at + length,
        },
    };
    let rest = &octets[at..];
    match rest.first() {
        None => short(),
        Some(b'{') => {
            let mut values =
                serde_json::Deserializer::from_slice(rest).into_iter::<serde_json::Value>();
            match values.next() {
                Some(Ok(_)) => whole(values.byte_offset()),
                Some(Err(why)) if why.is_eof() => short(),
                Some(Err(_)) | None => Frame::Broken,
            }
        }
        Some(_) => match bencode::read(rest) {
            Ok((_, length)) => whole(length),
            Err(Fault::Short) => short(),
            Err(Fault::Wrong(_)) => Frame::Broken,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_answered_alike() {
        for (text, pong) in [
            ("1_2 d7:command4:pinge", "1_2 d6:result4:ponge"),
            (r#"1_2 {"command":"ping"}"#, r#"1_2 {"result":"pong"}"#),
            ("1_2 d7:command4:pinge\n", "1_2 d6:result4:ponge"),
        ] {
            let message = Message::read(text.as_bytes()).unwrap();
            assert_eq!(message.body.get("command").unwrap().str(), Some("ping"));
            let body = Value::map([("result", Value::text("pong"))]);
            let answer = answer(message.cookie, message.form, &body);
            assert_eq!(answer, pong.as_bytes());
        }
    }

    #[test]
    fn what_is_no_message_is_told_where() {
        let fault = |text: &str| Message::read(text.as_bytes()).unwrap_err();
        assert_eq!(fault(""), Unreadable::NoCookie);
        assert_eq!(fault("d7:command4:pinge"), Unreadable::NoCookie);
        assert_eq!(fault(" de"), Unreadable::NoCookie);
        assert_eq!(fault("c i1e"), Unreadable::NoValue(2));
        assert_eq!(fault("c d1:a"), Unreadable::NoValue(6));
        assert_eq!(fault("c dx"), Unreadable::NoValue(3));
        assert_eq!(fault("c {"), Unreadable::NoValue(2));
        assert_eq!(
            fault(&format!("c {}", "x".repeat(limit::MESSAGE))),
            Unreadable::TooLong
        );
    }

    #[test]
    fn messages_are_cut_out_of_a_stream_octet_by_octet() {
        let stream = b"\r\n1 d7:command4:pinge\n2 {\"command\":\"ping\"}3 de";
        let mut read = Vec::new();
        let mut held: Vec<u8> = Vec::new();
        for octet in stream {
            held.push(*octet);
            match first_message(&held) {
                Frame::Whole { start, end } => {
                    read.push(String::from_utf8(held[start..end].to_vec()).unwrap());
                    held.drain(..end);
                }
                Frame::Short(blank) => drop(held.drain(..blank)),
                Frame::Broken => panic!("{held:?}"),
            }
        }
        assert_eq!(
            read,
            ["1 d7:command4:pinge", "2 {\"command\":\"ping\"}", "3 de"]
        );
        assert!(held.is_empty());
        // Nothing but line ends is kept by nobody.
        assert_eq!(first_message(b"\r\n\r\n \r\n"), Frame::Short(7));
        assert_eq!(first_message(b"\n1 d"), Frame::Short(1));
        assert_eq!(first_message(b"1 dx"), Frame::Broken);
        assert_eq!(first_message(&[b'x'; COOKIE + 1]), Frame::Broken);
        assert_eq!(first_message(b"GET / HTTP/1.1\r\n"), Frame::Broken);
        let long = [b"1 60000:".as_slice(), &vec![b'x'; limit::MESSAGE]].concat();
        assert!(matches!(first_message(&long), Frame::Whole { .. }));
        let endless = [b"1 {\"a\":\"".as_slice(), &vec![b'x'; limit::MESSAGE]].concat();
        assert_eq!(first_message(&endless), Frame::Broken);
    }
}
