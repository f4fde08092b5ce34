//! JSON of records, as `serde_json` writes it, with a third of its instructions: most of a record are short keys and
//! texts, of which that library looks at each octet. Floats are left to it.

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::{Error, Result};
use std::fmt::{self, Display, Write as _};

/// Adds a value to a text.
///
/// # Errors
/// A key that is neither text nor a number, or what the value itself says.
pub(crate) fn write(out: &mut String, value: &(impl Serialize + ?Sized)) -> Result<()> {
    value.serialize(Writer(out))
}

/// The text of a value.
///
/// # Errors
/// As [`write`].
pub(crate) fn text(value: &(impl Serialize + ?Sized)) -> Result<String> {
    let mut out = String::with_capacity(USUAL);
    write(&mut out, value)?;
    Ok(out)
}

/// What a record usually takes.
const USUAL: usize = 4096;

struct Writer<'a>(&'a mut String);

/// What is between brackets, and whether something is there already.
struct Inside<'a> {
    out: &'a mut String,
    close: &'static str,
    is_first: bool,
}

/// Writes what is put into it with escapes.
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text);
        Ok(())
    }
}

/// The highest bit of each of these eight octets that needs an escape: a control character, a quotation mark or a backslash.
/// An octet above one that does may be told wrongly.
const fn specials(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & HIGH
    }
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
    control | zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64))
}

const fn is_special(octet: u8) -> bool {
    octet < 0x20 || octet == b'"' || octet == b'\\'
}

fn is_plain(text: &str) -> bool {
    let is_special_word = |word: &[u8; 8]| specials(u64::from_le_bytes(*word)) != 0;
    let octets = text.as_bytes();
    // The last eight may have been among those before.
    match octets.last_chunk() {
        Some(last) => {
            !octets.as_chunks::<8>().0.iter().any(is_special_word) && !is_special_word(last)
        }
        None => !octets.iter().any(|octet| is_special(*octet)),
    }
}

/// Where the first octet is that needs an escape.
fn special_at(octets: &[u8]) -> Option<usize> {
    let (words, rest) = octets.as_chunks::<8>();
    for (count, word) in words.iter().enumerate() {
        // Of the octets that are told the first one is right.
        let told = specials(u64::from_le_bytes(*word));
        if told != 0 {
            return Some(8 * count + (told.trailing_zeros() / 8) as usize);
        }
    }
    let at = rest.iter().position(|octet| is_special(*octet))?;
    Some(8 * words.len() + at)
}

/// Adds a text with its escapes (RFC 8259 §7).
fn escape(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push_str(text);
        return;
    }
    let mut rest = text;
    while let Some(at) = special_at(rest.as_bytes()) {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let special = tail.as_bytes().first().copied().unwrap_or_default();
        match special {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            // A text takes all that is put into it.
            _ => drop(write!(out, "\\u{special:04x}")),
        }
        // It is one octet.
        rest = &tail[1..];
    }
    out.push_str(rest);
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    escape(out, text);
    out.push('"');
}

fn float(out: &mut String, value: &impl Serialize) -> Result<()> {
    out.push_str(&serde_json::to_string(value)?);
    Ok(())
}

impl<'a> Writer<'a> {
    fn open(self, open: &str, close: &'static str) -> Inside<'a> {
        self.0.push_str(open);
        Inside {
            out: self.0,
            close,
            is_first: true,
        }
    }

    /// The object of a variant with values.
    fn variant(self, variant: &str, open: &str, close: &'static str) -> Inside<'a> {
        self.0.push('{');
        quote(self.0, variant);
        self.0.push(':');
        self.open(open, close)
    }
}

macro_rules! integers {
    ($($name:ident: $kind:ty),*) => {$(
        fn $name(self, value: $kind) -> Result<()> {
            self.0.push_str(itoa::Buffer::new().format(value));
            Ok(())
        }
    )*};
}

impl<'a> Serializer for Writer<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Inside<'a>;
    type SerializeTuple = Inside<'a>;
    type SerializeTupleStruct = Inside<'a>;
    type SerializeTupleVariant = Inside<'a>;
    type SerializeMap = Inside<'a>;
    type SerializeStruct = Inside<'a>;
    type SerializeStructVariant = Inside<'a>;

    integers! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128
    }

    fn serialize_f32(self, value: f32) -> Result<()> {
        float(self.0, &value)
    }

    fn serialize_f64(self, value: f64) -> Result<()> {
        // Most figures of a call without media.
        if value == 0.0 && value.is_sign_positive() {
            self.0.push_str("0.0");
            return Ok(());
        }
        float(self.0, &value)
    }

    fn serialize_bool(self, value: bool) -> Result<()> {
        // Each by itself: a text of a length that is known is written without a call.
        match value {
            true => self.0.push_str("true"),
            false => self.0.push_str("false"),
        }
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<()> {
        quote(self.0, value);
        Ok(())
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<()> {
        self.0.push('"');
        let written = write!(Escaped(self.0), "{value}");
        written.map_err(|_| serde::ser::Error::custom("it could not be written"))?;
        self.0.push('"');
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<()> {
        self.collect_seq(value)
    }

    fn serialize_none(self) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<()> {
        self.0.push_str("null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, name: &'static str) -> Result<()> {
        self.serialize_str(name)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<()> {
        let mut object = self.open("{", "}");
        object.entry(name, value)?;
        object.close()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Inside<'a>> {
        Ok(self.open("[", "]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Inside<'a>> {
        Ok(self.open("[", "]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Inside<'a>> {
        Ok(self.open("[", "]"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Inside<'a>> {
        Ok(self.variant(name, "[", "]}"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Inside<'a>> {
        Ok(self.open("{", "}"))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Inside<'a>> {
        Ok(self.open("{", "}"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Inside<'a>> {
        Ok(self.variant(name, "{", "}}"))
    }
}

impl Inside<'_> {
    fn next(&mut self) {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(',');
        }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.next();
        value.serialize(Writer(self.out))
    }

    /// The key is a name of our own sources, which needs no escapes.
    fn entry<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
        debug_assert!(is_plain(key), "{key}");
        match std::mem::take(&mut self.is_first) {
            true => self.out.push('"'),
            false => self.out.push_str(",\""),
        }
        self.out.push_str(key);
        self.out.push_str("\":");
        value.serialize(Writer(self.out))
    }

    fn close(self) -> Result<()> {
        self.out.push_str(self.close);
        Ok(())
    }
}

macro_rules! elements {
    ($($kind:ident: $method:ident),*) => {$(
        impl $kind for Inside<'_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.element(value)
            }

            fn end(self) -> Result<()> {
                self.close()
            }
        }
    )*};
}

elements! {
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field
}

macro_rules! entries {
    ($($kind:ident),*) => {$(
        impl $kind for Inside<'_> {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
                self.entry(key, value)
            }

            fn end(self) -> Result<()> {
                self.close()
            }
        }
    )*};
}

entries! { SerializeStruct, SerializeStructVariant }

impl SerializeMap for Inside<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.next();
        let begin = self.out.len();
        key.serialize(Writer(self.out))?;
        match self.out.as_bytes().get(begin) {
            Some(b'"') => Ok(()),
            // Keys are texts.
            Some(b'-' | b'0'..=b'9' | b't' | b'f') => {
                self.out.insert(begin, '"');
                self.out.push('"');
                Ok(())
            }
            _ => Err(serde::ser::Error::custom("key must be a string")),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.out.push(':');
        value.serialize(Writer(self.out))
    }

    fn end(self) -> Result<()> {
        self.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::fixture;
    use serde::Serialize;
    use std::collections::BTreeMap;

    #[track_caller]
    fn is_same(value: &impl Serialize) {
        assert_eq!(text(value).unwrap(), serde_json::to_string(value).unwrap());
    }

    #[derive(Serialize)]
    struct Unit;

    #[derive(Serialize)]
    struct Pair(u8, &'static str);

    #[derive(Serialize)]
    struct Wrapped(f64);

    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Any {
        Bare,
        One(i128),
        Two(bool, char),
        Named { a: Option<u8>, b: () },
    }

    #[derive(Serialize)]
    struct Flat {
        first: u8,
        #[serde(flatten)]
        rest: BTreeMap<&'static str, Wrapped>,
    }

    #[test]
    fn records_read_as_the_library_writes_them() {
        let record = fixture::record(7);
        is_same(&record);
        for pair in record.pairs() {
            is_same(&pair);
        }
    }

    #[test]
    fn each_kind_of_value_reads_as_the_library_writes_it() {
        is_same(&(Unit, Pair(1, "two"), Wrapped(-0.1), [0u8; 0]));
        is_same(&[
            Any::Bare,
            Any::One(i128::MIN),
            Any::Two(true, '"'),
            Any::Named { a: None, b: () },
        ]);
        is_same(&(u128::MAX, i64::MIN, f64::MIN_POSITIVE, -1.0e300, f32::MAX));
        is_same(&(f64::NAN, f64::INFINITY, 0.1 + 0.2, 1e21, 5.0));
        is_same(&BTreeMap::from([(-1, "a"), (2, "b")]));
        is_same(&BTreeMap::from([(true, 'c')]));
        is_same(&BTreeMap::from([("\"", 1)]));
        is_same(&Flat {
            first: 1,
            rest: BTreeMap::from([("x", Wrapped(1.5))]),
        });
        is_same(&std::net::SocketAddr::from(([192, 0, 2, 1], 5060)));
        assert!(text(&BTreeMap::from([([1], 1)])).is_err());
        assert!(text(&BTreeMap::from([((), 1)])).is_err());
    }

    #[test]
    fn each_character_at_each_place_of_a_text_is_escaped_as_the_library_does() {
        let others = ['\u{7f}', '\u{80}', 'ä', '\u{2028}', '😀'];
        for c in (0..=0x7f_u8).map(char::from).chain(others) {
            for before in 0..17 {
                let word = format!("{}{c}{}", "x".repeat(before), "~".repeat(9));
                is_same(&word);
                is_same(&format!("{word}{c}"));
                is_same(&BTreeMap::from([(word, c)]));
            }
        }
        // What is written in parts.
        is_same(&format_args!("{}\"{}\u{1}", "a\\", 'b'));
    }
}
