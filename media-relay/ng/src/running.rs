//! What is asked of a call whose media flow already: to keep them back, to play something, to press a key.

use crate::request::{Reason, flags, name};
use crate::value::Value;
use media_api::Digit;
use sbc_core::sdp::base64_decode;
use std::borrow::Cow;
use std::net::IpAddr;

/// Longest name of a file in octets.
const FILE: usize = 4_096;
/// Milliseconds that a key is pressed for, if nothing else is said.
const KEY_MS: i64 = 250;

/// What is asked, and about whom.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Order<'a> {
    pub(crate) call: &'a str,
    pub(crate) pick: Pick<'a>,
    pub(crate) deed: Deed<'a>,
}

/// Who is meant.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Pick<'a> {
    pub(crate) tag: Option<&'a str>,
    pub(crate) label: Option<&'a str>,
    /// Address of its media.
    pub(crate) address: Option<IpAddr>,
    /// Both parties.
    pub(crate) is_all: bool,
}

/// What is to happen.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Deed<'a> {
    /// Something of a party is kept from the other one from now on, or not any more.
    Hold { what: Held, is_held: bool },
    /// A party hears a recording.
    Play(Playback<'a>),
    /// It hears the other one again.
    Stop,
    /// A party presses a key.
    Press { digit: Digit, duration_ms: u16 },
}

/// What can be kept from the other party.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Held {
    /// Its audio.
    Media,
    /// Its keys.
    Digits,
    /// Its audio, in place of which silence is sent.
    Sound,
}

/// A recording, and how often it is heard.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Playback<'a> {
    pub(crate) wanted: Wanted<'a>,
    pub(crate) times: Times,
}

/// Where the recording is.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Wanted<'a> {
    File(&'a str),
    Octets(Cow<'a, [u8]>),
}

/// How often it is heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Times {
    most: Option<u16>,
    /// No time begins later than this.
    until_ms: Option<u64>,
}

impl Times {
    /// Times of a recording of this length; at least one.
    pub(crate) fn of(self, length_ms: u32) -> u16 {
        let fitting = self.until_ms.map(|until| {
            let times = until.div_ceil(u64::from(length_ms.max(1)));
            u16::try_from(times).unwrap_or(u16::MAX)
        });
        let times = match (self.most, fitting) {
            (Some(most), Some(fitting)) => most.min(fitting),
            (None, Some(times)) | (Some(times), None) => times,
            (None, None) => 1,
        };
        times.max(1)
    }
}

impl<'a> Order<'a> {
    /// The order that a message of this command gives; `None` if the command is another one.
    pub(crate) fn read(command: &str, body: &'a Value<'a>) -> Result<Option<Self>, Reason> {
        let hold = |what, is_held| Deed::Hold { what, is_held };
        let deed = match command {
            "block media" => hold(Held::Media, true),
            "unblock media" => hold(Held::Media, false),
            "block DTMF" => hold(Held::Digits, blocks(body)?),
            "unblock DTMF" => hold(Held::Digits, false),
            "silence media" => hold(Held::Sound, true),
            "unsilence media" => hold(Held::Sound, false),
            "play media" => Deed::Play(Playback::read(body)?),
            "stop media" => Deed::Stop,
            "play DTMF" => press(body)?,
            _ => return Ok(None),
        };
        Ok(Some(Self {
            call: name(body, "call-id")?.ok_or("the key \"call-id\" is missing")?,
            pick: Pick::read(body)?,
            deed,
        }))
    }
}

impl<'a> Pick<'a> {
    fn read(body: &'a Value<'a>) -> Result<Self, Reason> {
        let label = match name(body, "label")? {
            None => name(body, "from-label")?,
            label => label,
        };
        let address = body.get("address").and_then(Value::str);
        let address = address
            .map(|text| text.parse())
            .transpose()
            .map_err(|_| "\"address\" is no IP address")?;
        let is_all = match body.get("all").and_then(Value::str) {
            None | Some("none") => flags(body).any(|flag| flag == "all"),
            Some(_) => true,
        };
        Ok(Self {
            tag: name(body, "from-tag")?,
            label,
            address,
            is_all,
        })
    }
}

/// Whether a message that wants keys blocked really does; refused are the ways to change them.
fn blocks(body: &Value<'_>) -> Result<bool, Reason> {
    for key in ["trigger", "DTMF-security-trigger", "DTMF-delay"] {
        if body.get(key).is_some() {
            return Err(format!("\"{key}\": keys are blocked at once, or pass"));
        }
    }
    match body.get("DTMF-security").and_then(Value::str) {
        None | Some("" | "drop") => Ok(true),
        Some("off") => Ok(false),
        Some(_) => Err("\"DTMF-security\" is drop or off: nothing is put in place of a key".into()),
    }
}

impl<'a> Playback<'a> {
    fn read(body: &'a Value<'a>) -> Result<Self, Reason> {
        let number = |key| body.get(key).and_then(Value::integer);
        if number("start-pos").is_some_and(|at| at > 0) {
            return Err("\"start-pos\": a recording is heard from its beginning".into());
        }
        let wanted = if let Some(file) = body.get("file") {
            let file = file.str().filter(|text| text.len() <= FILE);
            let file = file.filter(|text| !text.is_empty() && !text.contains('\0'));
            Wanted::File(file.ok_or("\"file\" is not the name of a file")?)
        } else if let Some(blob) = body.get("blob") {
            Wanted::Octets(Cow::Borrowed(blob.octets().ok_or("\"blob\" is no text")?))
        } else if let Some(blob) = body.get("blob64") {
            let octets = blob.octets().and_then(base64_decode);
            Wanted::Octets(Cow::Owned(octets.ok_or("\"blob64\" is no base64")?))
        } else if body.get("db-id").is_some() {
            return Err("\"db-id\": there is no database; give a \"file\" or a \"blob\"".into());
        } else {
            return Err("the key \"file\", \"blob\" or \"blob64\" is missing".into());
        };
        Ok(Self {
            wanted,
            times: Times {
                most: number("repeat-times")
                    .map(|times| u16::try_from(times.max(1)).unwrap_or(u16::MAX)),
                until_ms: number("repeat-duration")
                    .and_then(|ms| u64::try_from(ms).ok())
                    .filter(|ms| *ms > 0),
            },
        })
    }
}

fn press<'a>(body: &Value<'_>) -> Result<Deed<'a>, Reason> {
    let code = body.get("code").or_else(|| body.get("digit"));
    let code = code.ok_or("the key \"code\" is missing")?;
    let named = code.str().and_then(|text| {
        let mut all = text.chars();
        let first = all.next().and_then(Digit::from_char)?;
        all.next().is_none().then_some(first)
    });
    let numbered = || Digit::from_event(u8::try_from(code.integer()?).ok()?);
    let digit = named.or_else(numbered);
    let digit = digit.ok_or("\"code\" is one of 0-9, *, #, A-D, or a number of 0 to 15")?;
    let wanted = body.get("duration").and_then(Value::integer);
    let duration = wanted.unwrap_or(KEY_MS).clamp(100, 5_000);
    Ok(Deed::Press {
        digit,
        duration_ms: u16::try_from(duration).unwrap_or(u16::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    fn order(json: &str) -> Result<String, Reason> {
        let text = format!("c {{\"call-id\":\"1\",{json}}}");
        let message = Message::read(text.as_bytes()).unwrap();
        let command = message.body.get("command").and_then(Value::str).unwrap();
        let order = Order::read(command, &message.body)?;
        Ok(format!("{:?}", order.expect("an order").deed))
    }

    #[test]
    fn a_recording_is_heard_once_or_as_often_as_is_said() {
        let times = |most, until_ms| Times { most, until_ms };
        assert_eq!(times(None, None).of(1_000), 1);
        assert_eq!(times(Some(3), None).of(1_000), 3);
        assert_eq!(times(None, Some(2_500)).of(1_000), 3);
        assert_eq!(times(Some(2), Some(2_500)).of(1_000), 2);
        assert_eq!(times(None, Some(u64::MAX)).of(0), u16::MAX);
    }

    #[test]
    fn a_key_has_a_name_or_a_number_and_a_name_comes_first() {
        for code in ["\"5\"", "5", "\"*\"", "10", "\"d\"", "15"] {
            let order = order(&format!(r#""command":"play DTMF","code":{code}"#));
            assert!(order.unwrap().contains("duration_ms: 250"), "{code}");
        }
        for code in ["\"E\"", "16", "-1", "\"12\""] {
            let order = order(&format!(r#""command":"play DTMF","code":{code}"#));
            // Twelve is a number, whatever it is written as.
            assert_eq!(order.is_err(), code != "\"12\"", "{code}");
        }
        let long = order(r#""command":"play DTMF","digit":"1","duration":99999"#);
        assert!(long.unwrap().contains("duration_ms: 5000"));
    }

    #[test]
    fn what_cannot_be_done_is_refused_in_words() {
        for (json, word) in [
            (r#""command":"play media""#, "is missing"),
            (r#""command":"play media","db-id":3"#, "no database"),
            (r#""command":"play media","blob64":"*""#, "no base64"),
            (
                r#""command":"play media","file":"a","start-pos":8"#,
                "from its beginning",
            ),
            (
                r#""command":"block DTMF","DTMF-security":"tone""#,
                "drop or off",
            ),
            (r#""command":"block DTMF","trigger":"12""#, "at once"),
            (
                r#""command":"stop media","address":"here""#,
                "no IP address",
            ),
        ] {
            let why = order(json).unwrap_err();
            assert!(why.contains(word), "{json}: {why}");
        }
        let off = order(r#""command":"block DTMF","DTMF-security":"off""#).unwrap();
        assert!(off.contains("is_held: false"), "{off}");
    }
}
