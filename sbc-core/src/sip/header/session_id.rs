//! Session-ID: one name for a call that every element on its way knows (RFC 7989).

use bytes::Bytes;

use super::{Header, HeaderName, Shape};
use crate::octets::hexadecimal;
use crate::sip::grammar::{self, whole};
use crate::sip::param::PlainValue;
use crate::sip::{Params, ParseFault, Rule, Token, Value};

/// Names of both ends, as the sender sees them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SessionId {
    /// The sender's end.
    pub local: EndId,
    /// The other end, if the sender says so: elements from before RFC 7989 do not.
    pub remote: Option<EndId>,
}

/// Name of one end: 32 hexadecimal digits in lower case.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct EndId(Bytes);

impl EndId {
    /// The end that is not known yet.
    pub const NIL: Self = Self(Bytes::from_static(b"00000000000000000000000000000000"));

    /// A name of 128 random bits: a UUID of version 4 without its hyphens.
    pub fn of_random(high: u64, low: u64) -> Self {
        let high = high & 0xffff_ffff_ffff_0fff | 0x4000;
        let low = low & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000;
        let digits = [high, low].map(hexadecimal);
        Self(Bytes::copy_from_slice(digits.as_flattened()))
    }

    /// Whether it is [`Self::NIL`].
    pub fn is_nil(&self) -> bool {
        *self == Self::NIL
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        grammar::octets_as_str(&self.0)
    }

    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let is_name = text.len() == 32 && text.iter().all(u8::is_ascii_hexdigit);
        is_name.then(|| Self(Bytes::from(text.to_ascii_lowercase())))
    }
}

impl Header for SessionId {
    const NAME: HeaderName = HeaderName::SessionId;
    const SHAPE: Shape = Shape::Single;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        let fault = || ParseFault::new("Session-ID", Rule::Token, 0);
        let (local, params): (Token, Params) = whole("Session-ID", text, |input| {
            let (rest, local) = grammar::token(text, input)?;
            let (rest, params) = Params::parser(text, rest)?;
            Ok((rest, (local, params)))
        })?;
        let remote = match params.value("remote") {
            Some(remote) => Some(EndId::parse(remote).ok_or_else(fault)?),
            None => None,
        };
        Ok(Self {
            local: EndId::parse(local.as_bytes()).ok_or_else(fault)?,
            remote,
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.local.0);
        let Some(remote) = &self.remote else { return };
        let mut params = Params::new();
        if let Ok(value) = PlainValue::parse(remote.0.clone()) {
            let name = Token::recognised(Bytes::from_static(b"remote"));
            params.set(name, Some(Value::Plain(value)));
        }
        params.emit(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &'static str) -> Option<SessionId> {
        SessionId::parse(&Bytes::from_static(text.as_bytes())).ok()
    }

    #[test]
    fn both_ends_are_read_and_old_values_have_one() {
        let both =
            parse("AB30317f1a784dc48ff824d0d3715d86;remote=47755a9de7794ba387653f2099600ef2;logme")
                .unwrap();
        assert_eq!(both.local.as_str(), "ab30317f1a784dc48ff824d0d3715d86");
        assert_eq!(
            both.to_bytes(),
            "ab30317f1a784dc48ff824d0d3715d86;remote=47755a9de7794ba387653f2099600ef2"
        );
        let old = parse("00000000000000000000000000000000").unwrap();
        assert!(old.local.is_nil() && old.remote.is_none());
    }

    #[test]
    fn what_is_no_name_is_none() {
        for text in [
            "",
            "x",
            "ab30317f1a784dc48ff824d0d3715d8",
            "ab30317f1a784dc48ff824d0d3715d86;remote=1",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        let own = EndId::of_random(0, u64::MAX);
        assert_eq!(own.as_str(), "0000000000004000bfffffffffffffff");
    }
}
