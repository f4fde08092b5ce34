//! Flags that a proxy hands on as one text, `rtpp_flags`, instead of reading them itself.
//!
//! Words stand between blanks. `key=value` is an entry of the message, `[…]` a list, in which there may be such
//! entries again; everything else is one of the `flags`, but for the short forms that the modules know as well:
//! a transport protocol, and what of a description is replaced.

use crate::value::{Value, is_key, limit};
use std::borrow::Cow;

/// What the text stands under.
const KEY: &str = "rtpp-flags";

/// Puts what the text says beside the other entries of a message, which come first. A text with more parts than a
/// message may have, or brackets that do not match, stays where it is.
pub(crate) fn spread(body: Value<'_>) -> Value<'_> {
    let Value::Map(mut entries) = body else {
        return body;
    };
    let at = entries.iter().position(|(key, _)| is_key(key, KEY));
    let Some((at, words)) = at.and_then(|at| Some((at, read(entries[at].1.str()?)?))) else {
        return Value::Map(entries);
    };
    entries.remove(at);
    for word in words {
        match word {
            Word::Entry(key, value) => put(&mut entries, &key, value),
            Word::Bare(word) => match word.as_str() {
                transport if transport.contains("RTP/") => {
                    put(&mut entries, "transport-protocol", owned(transport));
                }
                "replace-origin" => put(&mut entries, "replace", owned("origin")),
                "replace-session-connection" => {
                    put(&mut entries, "replace", owned("session-connection"));
                }
                // An ancestor of the modules named the two sides so.
                side @ ("internal" | "external") => put(&mut entries, "direction", owned(side)),
                flag => put(&mut entries, "flags", owned(flag)),
            },
        }
    }
    Value::Map(entries)
}

fn read(text: &str) -> Option<Vec<Word>> {
    let mut reader = Reader {
        rest: text,
        left: limit::VALUES,
    };
    let words = reader.words(0)?;
    reader.rest.is_empty().then_some(words)
}

fn owned(text: &str) -> Value<'static> {
    Value::text(text.to_owned())
}

/// Adds an entry; what is written twice, or beside what the message has already, is a list.
fn put(entries: &mut Vec<(Cow<'_, [u8]>, Value<'_>)>, key: &str, value: Value<'static>) {
    let Some((_, known)) = entries.iter_mut().find(|(known, _)| is_key(known, key)) else {
        let value = match key {
            "flags" | "replace" | "direction" => Value::List(vec![value]),
            _ => value,
        };
        return entries.push((Cow::Owned(key.as_bytes().to_vec()), value));
    };
    let mut list = match std::mem::replace(known, Value::Integer(0)) {
        Value::List(items) => items,
        one => vec![one],
    };
    match value {
        Value::List(more) => list.extend(more),
        one => list.push(one),
    }
    *known = Value::List(list);
}

enum Word {
    Entry(String, Value<'static>),
    Bare(String),
}

struct Reader<'t> {
    rest: &'t str,
    left: usize,
}

impl Reader<'_> {
    /// Words up to the end, or up to a closing bracket.
    fn words(&mut self, depth: usize) -> Option<Vec<Word>> {
        let mut words = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.is_empty() || self.rest.starts_with(']') {
                return Some(words);
            }
            self.left = self.left.checked_sub(1)?;
            let end = self
                .rest
                .find(|c: char| c.is_whitespace() || "=[]".contains(c));
            let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
            self.rest = rest;
            let Some(behind) = self.rest.strip_prefix('=') else {
                // A bracket that belongs to no key, in the midst of nothing.
                if word.is_empty() {
                    return None;
                }
                words.push(Word::Bare(word.to_owned()));
                continue;
            };
            self.rest = behind;
            let key = word.to_owned();
            words.push(Word::Entry(key, self.value(depth)?));
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value<'static>> {
        if let Some(inside) = self.rest.strip_prefix('[') {
            if depth >= limit::DEPTH {
                return None;
            }
            self.rest = inside;
            let words = self.words(depth + 1)?;
            self.rest = self.rest.strip_prefix(']')?;
            return Some(list(words));
        }
        // A name of a file or a key of a call may have any of these but blanks.
        let end = self.rest.find(|c: char| c.is_whitespace() || c == ']');
        let (value, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        Some(owned(value))
    }
}

/// A dictionary if all of them are entries, else a list.
fn list(words: Vec<Word>) -> Value<'static> {
    let is_map = !words.is_empty() && words.iter().all(|word| matches!(word, Word::Entry(..)));
    if is_map {
        let mut entries = Vec::new();
        for word in words {
            if let Word::Entry(key, value) = word {
                put(&mut entries, &key, value);
            }
        }
        return Value::Map(entries);
    }
    let text = |word| match word {
        Word::Bare(word) => Value::text(word),
        Word::Entry(key, value) => Value::text(match value.str() {
            Some(value) => format!("{key}={value}"),
            None => key,
        }),
    };
    Value::List(words.into_iter().map(text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread_beside(text: &str) -> Value<'static> {
        let text = text.to_owned();
        spread(Value::Map(vec![
            (Cow::Borrowed(b"command"), Value::text("offer")),
            (Cow::Borrowed(b"rtpp_flags"), Value::text(text)),
            (
                Cow::Borrowed(b"flags"),
                Value::List(vec![Value::text("asymmetric")]),
            ),
        ]))
    }

    fn words<'v>(body: &'v Value<'_>, key: &str) -> Vec<&'v str> {
        body.get(key).into_iter().flat_map(Value::words).collect()
    }

    #[test]
    fn one_text_says_what_entries_of_a_message_would_say() {
        let body = spread_beside(
            "replace-origin via-branch=z9 strict-source label=callee RTP/SAVPF ICE=force \
             direction=outside direction=inside OSRTP=[accept] SDES=[only-AEAD_AES_256_GCM no-X] \
             codec=[transcode=[PCMA PCMU] strip=[EVS]]",
        );
        assert_eq!(words(&body, "replace"), ["origin"]);
        assert_eq!(words(&body, "flags"), ["asymmetric", "strict-source"]);
        assert_eq!(body.get("label").and_then(Value::str), Some("callee"));
        assert_eq!(words(&body, "transport-protocol"), ["RTP/SAVPF"]);
        assert_eq!(words(&body, "ICE"), ["force"]);
        assert_eq!(words(&body, "direction"), ["outside", "inside"]);
        assert_eq!(words(&body, "SDES"), ["only-AEAD_AES_256_GCM", "no-X"]);
        let codec = body.get("codec").unwrap();
        assert_eq!(words(codec, "transcode"), ["PCMA", "PCMU"]);
        assert_eq!(words(codec, "strip"), ["EVS"]);
        assert!(body.get("rtpp-flags").is_none());
    }

    #[test]
    fn brackets_that_do_not_match_and_too_much_are_nothing() {
        for text in ["a=[b", "a]", "[a]", "a=b]c", "a=[b=[c]"] {
            assert!(spread_beside(text).get("rtpp-flags").is_some(), "{text}");
        }
        let deep = "a=[".repeat(20) + &"]".repeat(20);
        assert!(read(&deep).is_none());
        assert!(read(&"a ".repeat(2_000)).is_none());
        assert!(spread_beside("").get("rtpp-flags").is_none());
    }
}
