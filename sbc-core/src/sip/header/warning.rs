//! Warning: a code, who says it, and text for people (RFC 3261 §20.43).

use bytes::Bytes;
use nom::Parser;

use super::{Header, HeaderName, Shape};
use crate::sip::grammar::{lws, number, push_number, quoted, stop, whole};
use crate::sip::param::PlainValue;
use crate::sip::{ParseFault, QuotedText, Rule};

/// One warning value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Warning {
    /// Code, 100–999; 300–399 are defined.
    code: u16,
    /// Host or pseudonym of who adds it.
    pub agent: PlainValue,
    /// What went wrong.
    pub text: QuotedText,
}

impl Warning {
    /// A warning, if the code has three digits.
    pub fn new(code: u16, agent: PlainValue, text: QuotedText) -> Option<Self> {
        matches!(code, 100..=999).then_some(Self { code, agent, text })
    }

    /// The code, 100–999.
    pub const fn code(&self) -> u16 {
        self.code
    }
}

impl Header for Warning {
    const NAME: HeaderName = HeaderName::Warning;
    const SHAPE: Shape = Shape::List;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        whole("Warning", text, |input| {
            let (rest, code) = number(999).parse(input)?;
            let (rest, ()) = lws(rest)?;
            let end = rest
                .iter()
                .position(|octet| matches!(octet, b' ' | b'\t' | b'"'));
            let (agent, rest_text) = rest.split_at(end.unwrap_or(rest.len()));
            let Ok(agent) = PlainValue::parse(text.slice_ref(agent)) else {
                return stop(rest, Rule::Host);
            };
            let (rest_text, ()) = lws(rest_text)?;
            let (after, words) = quoted(text, rest_text)?;
            match Self::new(code as u16, agent, words) {
                Some(warning) => Ok((after, warning)),
                None => stop(input, Rule::Range),
            }
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        push_number(out, u64::from(self.code));
        out.push(b' ');
        out.extend_from_slice(self.agent.as_bytes());
        out.push(b' ');
        self.text.emit(out);
    }
}
