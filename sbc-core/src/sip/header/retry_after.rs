//! Retry-After: when to come back (RFC 3261 §20.33).

use bytes::Bytes;
use nom::Parser;

use super::{Header, HeaderName, Shape};
use crate::sip::grammar::{Step, lws, number, push_number, stop, whole};
use crate::sip::{Params, ParseFault, Rule};

/// Seconds to wait, with an optional comment and `duration`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RetryAfter {
    /// Seconds, 0–2^32−1. Larger values are read as the largest.
    pub seconds: u32,
    /// Parameters such as `duration`. A comment is read over and never emitted.
    pub params: Params,
}

impl RetryAfter {
    /// Seconds without parameters.
    pub const fn seconds(seconds: u32) -> Self {
        Self {
            seconds,
            params: Params::new(),
        }
    }
}

impl Header for RetryAfter {
    const NAME: HeaderName = HeaderName::RetryAfter;
    const SHAPE: Shape = Shape::Single;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        whole("Retry-After", text, |input| {
            // RFC 4475 §3.1.2.5 sends 949302838503028349304023988: saturate instead of refusing an
            // otherwise good response.
            let (rest, seconds) = number(u64::MAX).parse(input)?;
            let (rest, ()) = lws(rest)?;
            let (rest, ()) = skip_comment(rest)?;
            let (rest, params) = Params::parser(text, rest)?;
            Ok((
                rest,
                Self {
                    seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
                    params,
                },
            ))
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        push_number(out, u64::from(self.seconds));
        self.params.emit(out);
    }
}

/// `( … )`, nested, with escapes; or nothing.
fn skip_comment(input: &[u8]) -> Step<'_, ()> {
    if input.first() != Some(&b'(') {
        return Ok((input, ()));
    }
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(octet) = input.get(at) {
        match octet {
            b'(' => depth += 1,
            b')' if depth == 1 => return Ok((input.get(at + 1..).unwrap_or_default(), ())),
            b')' => depth -= 1,
            b'\\' => at += 1,
            _ => {}
        }
        at += 1;
    }
    stop(input, Rule::Brackets)
}
