//! Parameters of header values: `;name`, `;name=value`, `;name="value"`.

use bytes::Bytes;
use nom::Parser;

use super::grammar::{self, Step, leading, quoted, separator, stop};
use super::limits::MAX_PARAMS;
use super::{ParseFault, QuotedText, Rule, Token};

/// The value of a header parameter.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Value {
    /// A token or a host, as it stands.
    Plain(PlainValue),
    /// A quoted string, escapes resolved.
    Quoted(QuotedText),
}

/// A parameter value without quotation marks.
///
/// RFC 3261 allows a token or a host. Peers also put `/`, `@` and `=` there (base64 in tags, Teams'
/// opaque parameters), so every visible ASCII octet is accepted that cannot end the value:
/// not `;` `,` `"` `<` `>` `\` and no white space.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PlainValue(Bytes);

impl PlainValue {
    /// The only way in: checks every octet.
    pub fn parse(text: impl Into<Bytes>) -> Result<Self, ParseFault> {
        let text = text.into();
        if text.is_empty() {
            return Err(ParseFault::new("parameter", Rule::Empty, 0));
        }
        match text.iter().position(|&octet| !is_plain_octet(octet)) {
            Some(at) => Err(ParseFault::new("parameter", Rule::Token, at)),
            None => Ok(Self(text)),
        }
    }

    /// For text that is known to be one.
    pub(super) fn recognised(text: Bytes) -> Self {
        debug_assert!(!text.is_empty() && text.iter().copied().all(is_plain_octet));
        Self(text)
    }

    /// The octets, all of them visible ASCII.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl Value {
    /// The content: without quotation marks, escapes resolved.
    pub fn content(&self) -> &Bytes {
        match self {
            Self::Plain(plain) => plain.as_bytes(),
            Self::Quoted(text) => text.as_bytes(),
        }
    }
}

impl From<Token> for Value {
    fn from(token: Token) -> Self {
        Self::Plain(PlainValue(token.into_bytes()))
    }
}

/// Parameters in the order of the wire. Names are unique and compared without regard to case
/// (RFC 3261 §7.3.1).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Params(Vec<(Token, Option<Value>)>);

impl Params {
    /// No parameters.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// No parameters, and room for so many.
    pub(super) fn with_room(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// Whether there is a parameter of this name, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(own, _)| own.is(name))
    }

    /// The content of this parameter, if it is there and has a value.
    pub fn value(&self, name: &str) -> Option<&Bytes> {
        self.get(name).map(Value::content)
    }

    /// The value of this parameter in the form it was written, if it is there and has one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|(own, _)| own.is(name))
            .and_then(|(_, value)| value.as_ref())
    }

    /// Name and value of each, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Token, Option<&Value>)> {
        self.0.iter().map(|(name, value)| (name, value.as_ref()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets a parameter: in place if the name is there, else at the end.
    pub fn set(&mut self, name: Token, value: Option<Value>) {
        match self.0.iter_mut().find(|(own, _)| own.is_same(&name)) {
            Some(found) => found.1 = value,
            None => {
                self.0.reserve_exact(1);
                self.0.push((name, value));
            }
        }
    }

    /// Removes a parameter; says whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(own, _)| !own.is(name));
        self.0.len() != before
    }

    /// `*( SEMI param )`.
    pub(super) fn parser<'a>(source: &Bytes, input: &'a [u8]) -> Step<'a, Self> {
        let mut params = Vec::new();
        let mut left = input;
        while let Ok((rest, ())) = separator(b';').parse(left) {
            let (after, (name, value)) = param(source, rest)?;
            if params.len() == MAX_PARAMS {
                return stop(rest, Rule::TooMany);
            }
            if params
                .iter()
                .any(|(own, _): &(Token, _)| own.is_same(&name))
            {
                return stop(rest, Rule::Repeated);
            }
            params.push((name, value));
            left = after;
        }
        Ok((left, Self(params)))
    }

    /// Writes `;name=value` for each.
    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.0 {
            out.push(b';');
            emit_param(name, value.as_ref(), out);
        }
    }
}

/// One `name`, `name=value` or `name="value"`.
pub(super) fn param<'a>(source: &Bytes, input: &'a [u8]) -> Step<'a, (Token, Option<Value>)> {
    let (rest, name) = grammar::token(source, input)?;
    let Ok((rest, ())) = separator(b'=').parse(rest) else {
        return Ok((rest, (name, None)));
    };
    let (rest, value) = value(source, rest)?;
    Ok((rest, (name, Some(value))))
}

fn value<'a>(source: &Bytes, input: &'a [u8]) -> Step<'a, Value> {
    if input.first() == Some(&b'"') {
        let (rest, text) = quoted(source, input)?;
        return Ok((rest, Value::Quoted(text)));
    }
    let (rest, text) = leading(input, Rule::Token, is_plain_octet)?;
    Ok((rest, Value::Plain(PlainValue(source.slice_ref(text)))))
}

/// Writes one parameter without its separator.
pub(super) fn emit_param(name: &Token, value: Option<&Value>, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    match value {
        None => {}
        Some(Value::Plain(plain)) => {
            out.push(b'=');
            out.extend_from_slice(plain.as_bytes());
        }
        Some(Value::Quoted(text)) => {
            out.push(b'=');
            text.emit(out);
        }
    }
}

fn is_plain_octet(octet: u8) -> bool {
    PLAIN[usize::from(octet)]
}

const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut octet = 0;
    while octet < 256 {
        let o = octet as u8;
        table[octet] =
            o.is_ascii_graphic() && !matches!(o, b';' | b',' | b'"' | b'<' | b'>' | b'\\');
        octet += 1;
    }
    table
};
