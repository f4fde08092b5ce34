//! Words of the grammar that all header values share, as `nom` parsers (RFC 3261 §25.1).
//!
//! Values arrive unfolded, so linear white space is only SP and HT here. Parsers borrow; what must
//! outlive the call is cut out of the same buffer with `Bytes::slice_ref`, without a copy.

use std::borrow::Cow;

use bytes::Bytes;
use nom::error::{ErrorKind, ParseError};
use nom::{IResult, Parser};

use super::{ParseFault, QuotedText, Rule, Token};

pub(super) use crate::octets::push_number;

/// What a parser of this module returns.
pub(super) type Step<'a, T> = IResult<&'a [u8], T, Spot<'a>>;

/// Where a parser stopped, and why; becomes a [`ParseFault`] in [`whole`].
#[derive(Debug)]
pub(super) struct Spot<'a> {
    rest: &'a [u8],
    rule: Rule,
}

impl<'a> ParseError<&'a [u8]> for Spot<'a> {
    fn from_error_kind(rest: &'a [u8], _: ErrorKind) -> Self {
        Self {
            rest,
            rule: Rule::Separator,
        }
    }

    fn append(_: &'a [u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

/// Stops at `rest` because of `rule`.
pub(super) fn stop<T>(rest: &[u8], rule: Rule) -> Step<'_, T> {
    Err(nom::Err::Error(Spot { rest, rule }))
}

/// Runs a parser over a whole value: white space around it is skipped, anything else left over is
/// a fault.
pub(super) fn whole<'a, T>(
    what: &'static str,
    value: &'a [u8],
    mut parser: impl Parser<&'a [u8], Output = T, Error = Spot<'a>>,
) -> Result<T, ParseFault> {
    let (start, ()) = lws(value).unwrap_or((value, ()));
    match parser.parse(start) {
        Ok((rest, parsed)) => {
            let (rest, ()) = lws(rest).unwrap_or((rest, ()));
            match rest.is_empty() {
                true => Ok(parsed),
                false => Err(ParseFault::new(
                    what,
                    Rule::Trailing,
                    value.len() - rest.len(),
                )),
            }
        }
        Err(nom::Err::Error(spot) | nom::Err::Failure(spot)) => {
            let rule = match spot.rest.is_empty() {
                true if spot.rule == Rule::Token || spot.rule == Rule::Number => Rule::Empty,
                _ => spot.rule,
            };
            Err(ParseFault::new(what, rule, value.len() - spot.rest.len()))
        }
        Err(nom::Err::Incomplete(_)) => Err(ParseFault::new(what, Rule::Empty, value.len())),
    }
}

/// Optional linear white space.
pub(super) fn lws(input: &[u8]) -> Step<'_, ()> {
    let mut rest = input;
    while let [b' ' | b'\t', behind @ ..] = rest {
        rest = behind;
    }
    Ok((rest, ()))
}

/// A separator with optional white space around it, such as SLASH, SEMI or EQUAL.
pub(super) fn separator<'a>(
    octet: u8,
) -> impl Parser<&'a [u8], Output = (), Error = Spot<'a>> + Copy {
    move |input: &'a [u8]| {
        let (rest, ()) = lws(input)?;
        match rest.split_first() {
            Some((&first, rest)) if first == octet => lws(rest),
            _ => stop(rest, Rule::Separator),
        }
    }
}

/// A token, borrowed.
pub(super) fn token_octets(input: &[u8]) -> Step<'_, &[u8]> {
    leading(input, Rule::Token, is_token_octet)
}

/// The octets of a kind that an input begins with, at least one.
pub(super) fn leading(
    input: &[u8],
    rule: Rule,
    is_of_kind: impl Fn(u8) -> bool,
) -> Step<'_, &[u8]> {
    let end = input.iter().position(|&octet| !is_of_kind(octet));
    match input.split_at_checked(end.unwrap_or(input.len())) {
        Some((text, rest)) if !text.is_empty() => Ok((rest, text)),
        _ => stop(input, rule),
    }
}

/// A token cut out of `source`.
pub(super) fn token<'a>(source: &Bytes, input: &'a [u8]) -> Step<'a, Token> {
    let (rest, text) = token_octets(input)?;
    Ok((rest, Token::recognised(source.slice_ref(text))))
}

/// Decimal digits as a number; `Range` if they exceed `max`. Leading zeros do not matter.
pub(super) fn number<'a>(max: u64) -> impl Parser<&'a [u8], Output = u64, Error = Spot<'a>> + Copy {
    move |input: &'a [u8]| {
        let (rest, digits) = leading(input, Rule::Number, |octet| octet.is_ascii_digit())?;
        let mut value = 0_u64;
        for digit in digits {
            value = value
                .saturating_mul(10)
                .saturating_add(u64::from(digit - b'0'));
        }
        match value <= max {
            true => Ok((rest, value)),
            false => stop(input, Rule::Range),
        }
    }
}

/// A quoted string, borrowed with its quotation marks and escapes.
pub(super) fn quoted_octets(input: &[u8]) -> Step<'_, &[u8]> {
    if input.first() != Some(&b'"') {
        return stop(input, Rule::QuotedString);
    }
    let mut at = 1;
    while let Some(&octet) = input.get(at) {
        match octet {
            b'"' => {
                let (quoted, rest) = input.split_at(at + 1);
                return Ok((rest, quoted));
            }
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    stop(input, Rule::QuotedString)
}

/// A quoted string with its escapes resolved. NUL, which only an escape can carry, is refused.
pub(super) fn quoted<'a>(source: &Bytes, input: &'a [u8]) -> Step<'a, QuotedText> {
    let (rest, text) = quoted_octets(input)?;
    match QuotedText::new(unquote(source, text)) {
        Ok(text) => Ok((rest, text)),
        Err(_) => stop(input, Rule::Control),
    }
}

/// The content of a quoted string, escapes resolved; shares the buffer when there are none.
pub(super) fn unquote(source: &Bytes, quoted: &[u8]) -> Bytes {
    let inner = quoted
        .get(1..quoted.len().saturating_sub(1))
        .unwrap_or_default();
    if memchr::memchr(b'\\', inner).is_none() {
        return source.slice_ref(inner);
    }
    let mut text = Vec::with_capacity(inner.len());
    let mut octets = inner.iter();
    while let Some(&octet) = octets.next() {
        match octet {
            b'\\' => text.extend(octets.next()),
            _ => text.push(octet),
        }
    }
    Bytes::from(text)
}

/// Gives every failure of `parser` the same rule, at the place where `parser` began.
pub(super) fn ruled<'a, T>(
    rule: Rule,
    mut parser: impl Parser<&'a [u8], Output = T, Error = Spot<'a>>,
) -> impl Parser<&'a [u8], Output = T, Error = Spot<'a>> {
    move |input: &'a [u8]| match parser.parse(input) {
        Ok(done) => Ok(done),
        Err(_) => stop(input, rule),
    }
}

/// Cuts a header value at its commas, but not inside quoted strings or angle brackets (SIP-004).
///
/// Linear, and total: an unterminated quotation leaves the rest in one piece for the parser of the
/// value to refuse.
pub(super) fn split_commas(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        // Most values have no comma at all, and most octets need not be looked at one by one.
        if memchr::memchr(b',', text).is_none() {
            rest = None;
            return Some(trim(text));
        }
        let mut at = 0;
        let mut in_brackets = false;
        while let Some(&octet) = text.get(at) {
            match octet {
                b'"' if !in_brackets => match quoted_octets(text.get(at..).unwrap_or_default()) {
                    Ok((_, quoted)) => at += quoted.len() - 1,
                    Err(_) => at = text.len(),
                },
                b'<' => in_brackets = true,
                b'>' => in_brackets = false,
                b',' if !in_brackets => {
                    rest = text.get(at + 1..);
                    return text.get(..at).map(trim);
                }
                _ => {}
            }
            at += 1;
        }
        rest = None;
        Some(trim(text))
    })
}

/// The text without SP and HT at its ends.
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let Some((first, rest)) = text.split_first() {
        match is_white(*first) {
            true => text = rest,
            false => break,
        }
    }
    while let Some((last, rest)) = text.split_last() {
        match is_white(*last) {
            true => text = rest,
            false => break,
        }
    }
    text
}

/// Resolves `%` escapes; an escape that is none stays as it is (SIP-011).
pub(crate) fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&octet) = text.get(at) {
        let escaped = match octet {
            b'%' => escape_at(text, at),
            _ => None,
        };
        plain.push(escaped.unwrap_or(octet));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    Cow::Owned(plain)
}

/// The octet that a `%` escape at `at` stands for.
pub(super) fn escape_at(text: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| {
        text.get(at)
            .and_then(|&octet| char::from(octet).to_digit(16))
    };
    u8::try_from(digit(at + 1)? * 16 + digit(at + 2)?).ok()
}

/// Faults on the first octet that is neither allowed nor part of a well-formed escape.
pub(super) fn check_escaped(
    what: &'static str,
    text: &[u8],
    is_allowed: impl Fn(u8) -> bool,
) -> Result<(), ParseFault> {
    let mut at = 0;
    while let Some(&octet) = text.get(at) {
        match octet {
            b'%' if escape_at(text, at).is_some() => at += 3,
            b'%' => return Err(ParseFault::new(what, Rule::Escape, at)),
            _ if is_allowed(octet) => at += 1,
            _ => return Err(ParseFault::new(what, Rule::Uri, at)),
        }
    }
    Ok(())
}

/// SP or HT.
pub(super) fn is_white(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

/// An octet of a `token`.
pub(super) fn is_token_octet(octet: u8) -> bool {
    TOKEN[usize::from(octet)]
}

/// `unreserved`: letters, digits and marks.
pub(super) const fn is_unreserved(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(
            octet,
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')'
        )
}

/// Octets that were checked to be ASCII, as text.
pub(super) fn octets_as_str(octets: &[u8]) -> &str {
    std::str::from_utf8(octets).unwrap_or_default()
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut octet = 0;
    while octet < 256 {
        let o = octet as u8;
        table[octet] = o.is_ascii_alphanumeric()
            || matches!(
                o,
                b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
            );
        octet += 1;
    }
    table
};
