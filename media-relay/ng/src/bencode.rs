//! Bencode: `i7e`, `3:abc`, `l…e`, `d…e`.

use crate::value::{Value, limit};
use std::borrow::Cow;

/// Why octets are no value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// They end too early: more may make them one.
    Short,
    /// They are none, from this octet on.
    Wrong(usize),
}

/// Reads the value at the start of `octets`; tells also how many of them it has.
pub(crate) fn read(octets: &[u8]) -> Result<(Value<'_>, usize), Fault> {
    let mut reader = Reader {
        octets,
        at: 0,
        left: limit::VALUES,
    };
    let value = reader.value(0)?;
    Ok((value, reader.at))
}

struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
    /// Values that may still come.
    left: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Fault> {
        let start = self.at;
        self.left = self.left.checked_sub(1).ok_or(Fault::Wrong(start))?;
        match self.peek()? {
            b'i' => {
                self.at += 1;
                let digits = self.until(b'e', 20)?;
                let text = std::str::from_utf8(digits).map_err(|_| Fault::Wrong(start))?;
                let number = text.parse().map_err(|_| Fault::Wrong(start))?;
                Ok(Value::Integer(number))
            }
            b'0'..=b'9' => Ok(Value::Text(Cow::Borrowed(self.text()?))),
            b'l' if depth < limit::DEPTH => {
                self.at += 1;
                let mut items = Vec::new();
                while !self.ends()? {
                    items.push(self.value(depth + 1)?);
                }
                Ok(Value::List(items))
            }
            b'd' if depth < limit::DEPTH => {
                self.at += 1;
                let mut entries: Vec<(Cow<'a, [u8]>, Value<'a>)> = Vec::new();
                while !self.ends()? {
                    let key_at = self.at;
                    let key = self.text()?;
                    if entries.iter().any(|(known, _)| **known == *key) {
                        return Err(Fault::Wrong(key_at));
                    }
                    entries.push((Cow::Borrowed(key), self.value(depth + 1)?));
                }
                Ok(Value::Map(entries))
            }
            _ => Err(Fault::Wrong(start)),
        }
    }

    fn peek(&self) -> Result<u8, Fault> {
        self.octets.get(self.at).copied().ok_or(Fault::Short)
    }

    /// Whether the list or dictionary ends here; steps over its end.
    fn ends(&mut self) -> Result<bool, Fault> {
        let is_end = self.peek()? == b'e';
        self.at += usize::from(is_end);
        Ok(is_end)
    }

    /// Octets up to `mark`, which is among the next `most`; steps over it.
    fn until(&mut self, mark: u8, most: usize) -> Result<&'a [u8], Fault> {
        let rest = &self.octets[self.at..];
        let near = &rest[..rest.len().min(most + 1)];
        match near.iter().position(|octet| *octet == mark) {
            Some(length) => {
                self.at += length + 1;
                Ok(&near[..length])
            }
            None if rest.len() > most => Err(Fault::Wrong(self.at)),
            None => Err(Fault::Short),
        }
    }

    fn text(&mut self) -> Result<&'a [u8], Fault> {
        let start = self.at;
        if !self.peek()?.is_ascii_digit() {
            return Err(Fault::Wrong(start));
        }
        let digits = self.until(b':', 6)?;
        let length = std::str::from_utf8(digits).ok();
        let length: usize = length
            .and_then(|digits| digits.parse().ok())
            .ok_or(Fault::Wrong(start))?;
        if length > limit::MESSAGE {
            return Err(Fault::Wrong(start));
        }
        let text = self.octets.get(self.at..self.at + length);
        let text = text.ok_or(Fault::Short)?;
        self.at += length;
        Ok(text)
    }
}

/// Appends a value.
pub(crate) fn write(value: &Value<'_>, into: &mut Vec<u8>) {
    match value {
        Value::Integer(number) => into.extend_from_slice(format!("i{number}e").as_bytes()),
        Value::Text(text) => write_text(text, into),
        Value::List(items) => {
            into.push(b'l');
            items.iter().for_each(|item| write(item, into));
            into.push(b'e');
        }
        Value::Map(entries) => {
            into.push(b'd');
            for (key, value) in entries {
                write_text(key, into);
                write(value, into);
            }
            into.push(b'e');
        }
    }
}

fn write_text(text: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(format!("{}:", text.len()).as_bytes());
    into.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_they_are_read() {
        for text in [
            "i0e",
            "i-7e",
            "0:",
            "3:a:b",
            "le",
            "de",
            "d7:command4:ping5:flagsl1:a1:bee",
            "d1:ad1:bl1:cli1eeeee",
        ] {
            let (value, length) = read(text.as_bytes()).unwrap();
            assert_eq!(length, text.len(), "{text}");
            let mut written = Vec::new();
            write(&value, &mut written);
            assert_eq!(written, text.as_bytes());
            for cut in 0..text.len() {
                assert_eq!(
                    read(&text.as_bytes()[..cut]),
                    Err(Fault::Short),
                    "{text} {cut}"
                );
            }
        }
        assert_eq!(read(b"i1exyz").unwrap().1, 3);
    }

    #[test]
    fn what_is_no_value_is_refused_at_its_place() {
        for (text, at) in [
            ("x", 0),
            ("ixe", 0),
            ("i99999999999999999999e", 0),
            ("di1e1:ae", 1),
            ("d1:a1:b1:a1:ce", 7),
            ("9999999:", 0),
            ("99999:", 0),
            ("-1:a", 0),
        ] {
            assert_eq!(read(text.as_bytes()), Err(Fault::Wrong(at)), "{text}");
        }
        let deep = "l".repeat(limit::DEPTH + 1);
        assert_eq!(read(deep.as_bytes()), Err(Fault::Wrong(limit::DEPTH)));
        let many = format!("l{}e", "i1e".repeat(limit::VALUES));
        assert!(matches!(read(many.as_bytes()), Err(Fault::Wrong(_))));
    }
}
