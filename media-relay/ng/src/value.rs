//! A value of the protocol, whatever form it is written in.

use std::borrow::Cow;

/// A value. Texts are octets: session descriptions need not be UTF-8.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Value<'a> {
    Integer(i64),
    Text(Cow<'a, [u8]>),
    List(Vec<Value<'a>>),
    /// In the order written. Keys are not repeated.
    Map(Vec<(Cow<'a, [u8]>, Value<'a>)>),
}

/// Bounds of a message from outside. All of them are ours.
pub(crate) mod limit {
    /// Octets of a whole message.
    pub(crate) const MESSAGE: usize = 64 * 1024;
    /// Dictionaries and lists within each other; our own figures have as many.
    pub(crate) const DEPTH: usize = 8;
    /// Values in one message.
    pub(crate) const VALUES: usize = 1_024;
}

/// What of a key the two senders write differently: Kamailio `call-id`, others `call_id` or `call id`.
pub(crate) fn is_key(written: &[u8], wanted: &str) -> bool {
    let same = |octet: u8| match octet.to_ascii_lowercase() {
        b'_' | b' ' => b'-',
        other => other,
    };
    written.len() == wanted.len()
        && written
            .iter()
            .zip(wanted.bytes())
            .all(|(seen, wanted)| same(*seen) == same(wanted))
}

impl<'a> Value<'a> {
    pub(crate) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    }

    /// A number for a reader that knows 63 bits.
    pub(crate) fn count(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }

    pub(crate) fn map<const N: usize>(entries: [(&'static str, Value<'a>); N]) -> Self {
        let entries = entries.into_iter();
        Self::Map(
            entries
                .map(|(key, value)| (Cow::Borrowed(key.as_bytes()), value))
                .collect(),
        )
    }

    /// The entry of a map.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Map(entries) = self else {
            return None;
        };
        let found = entries.iter().find(|(written, _)| is_key(written, key));
        found.map(|(_, value)| value)
    }

    pub(crate) fn octets(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn str(&self) -> Option<&str> {
        std::str::from_utf8(self.octets()?).ok()
    }

    /// A number, also one that is written as a text.
    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => self.str()?.parse().ok(),
        }
    }

    /// The words of a list, or the one word that stands where a list is meant.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        let many = match self {
            Self::List(items) => items.as_slice(),
            Self::Text(_) => std::slice::from_ref(self),
            Self::Integer(_) | Self::Map(_) => &[],
        };
        many.iter().filter_map(Self::str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_however_their_words_are_joined() {
        let map = Value::map([
            ("call-id", Value::text("a")),
            ("from_tag", Value::text("b")),
        ]);
        assert_eq!(map.get("call-id").and_then(Value::str), Some("a"));
        assert_eq!(map.get("from-tag").and_then(Value::str), Some("b"));
        assert_eq!(map.get("call-i"), None);
        assert!(is_key(b"ICE", "ice") && !is_key(b"ice2", "ice"));
    }

    #[test]
    fn a_word_stands_for_a_list_of_one() {
        assert_eq!(Value::text("a").words().collect::<Vec<_>>(), ["a"]);
        let list = Value::List(vec![Value::text("a"), Value::Integer(1), Value::text("b")]);
        assert_eq!(list.words().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(Value::text("12").integer(), Some(12));
    }
}
