//! Reason: why a request or response was sent, in SIP or Q.850 terms (RFC 3326).

use bytes::Bytes;

use super::{Header, HeaderName, Shape};
use crate::sip::grammar::{self, octets_as_str, whole};
use crate::sip::param::PlainValue;
use crate::sip::{Params, ParseFault, QuotedText, Token, Value};

/// One reason value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Reason {
    /// `SIP`, `Q.850`, …
    pub protocol: Token,
    /// `cause`, `text` and others, in order.
    pub params: Params,
}

impl Reason {
    /// A reason of protocol `Q.850` with a cause value, 0–127.
    pub fn q850(cause: u8, text: Option<QuotedText>) -> Self {
        Self::of("Q.850", u16::from(cause), text)
    }

    /// A reason of protocol `SIP` with a status code.
    pub fn sip(code: u16, text: Option<QuotedText>) -> Self {
        Self::of("SIP", code, text)
    }

    /// Whether the protocol is this one, in any mixture of upper and lower case.
    pub fn is(&self, protocol: &str) -> bool {
        self.protocol.is(protocol)
    }

    /// The cause, if it is a number below 65536.
    pub fn cause(&self) -> Option<u16> {
        octets_as_str(self.params.value("cause")?).parse().ok()
    }

    /// The text for people.
    pub fn text(&self) -> Option<&Bytes> {
        self.params.value("text")
    }

    /// A reason of any protocol.
    pub fn of(protocol: &'static str, cause: u16, text: Option<QuotedText>) -> Self {
        let token = |name: &'static str| Token::recognised(Bytes::from_static(name.as_bytes()));
        let mut params = Params::new();
        if let Ok(cause) = PlainValue::parse(cause.to_string()) {
            params.set(token("cause"), Some(Value::Plain(cause)));
        }
        if let Some(text) = text {
            params.set(token("text"), Some(Value::Quoted(text)));
        }
        Self {
            protocol: token(protocol),
            params,
        }
    }
}

impl Header for Reason {
    const NAME: HeaderName = HeaderName::Reason;
    const SHAPE: Shape = Shape::List;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        whole("Reason", text, |input| {
            let (rest, protocol) = grammar::token(text, input)?;
            let (rest, params) = Params::parser(text, rest)?;
            Ok((rest, Self { protocol, params }))
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.protocol.as_bytes());
        self.params.emit(out);
    }
}
