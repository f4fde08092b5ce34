//! Privacy: what the caller wants hidden (RFC 3323 §4.2, RFC 3325 §9.3).

use bytes::Bytes;

use super::{Header, HeaderName, Shape};
use crate::sip::grammar::{is_token_octet, trim};
use crate::sip::{ParseFault, Rule, Token};

/// The whole header: values separated by `;`, and by `,` as some peers write.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Privacy(Vec<Token>);

impl Privacy {
    /// Privacy values, 1–16.
    pub fn new(values: Vec<Token>) -> Result<Self, ParseFault> {
        match values.len() {
            0 => Err(ParseFault::new("Privacy", Rule::Empty, 0)),
            1..=MOST => Ok(Self(values)),
            _ => Err(ParseFault::new("Privacy", Rule::TooMany, 0)),
        }
    }

    /// Whether a value such as `id` is there.
    pub fn has(&self, value: &str) -> bool {
        self.0.iter().any(|own| own.is(value))
    }

    /// The values in order.
    pub fn values(&self) -> &[Token] {
        &self.0
    }
}

impl Header for Privacy {
    const NAME: HeaderName = HeaderName::Privacy;
    const SHAPE: Shape = Shape::Single;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        let mut values = Vec::new();
        for part in text.split(|octet| matches!(octet, b';' | b',')) {
            let part = trim(part);
            let at = part.as_ptr() as usize - text.as_ptr() as usize;
            if part.is_empty() {
                return Err(ParseFault::new("Privacy", Rule::Empty, at));
            }
            if let Some(bad) = part.iter().position(|&octet| !is_token_octet(octet)) {
                return Err(ParseFault::new("Privacy", Rule::Token, at + bad));
            }
            if values.len() == MOST {
                return Err(ParseFault::new("Privacy", Rule::TooMany, at));
            }
            values.push(Token::recognised(text.slice_ref(part)));
        }
        Self::new(values)
    }

    fn emit(&self, out: &mut Vec<u8>) {
        for (index, value) in self.0.iter().enumerate() {
            if index > 0 {
                out.push(b';');
            }
            out.extend_from_slice(value.as_bytes());
        }
    }
}

/// Seven values are registered; nobody needs more than this.
const MOST: usize = 16;
