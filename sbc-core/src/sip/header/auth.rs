//! Challenges and credentials: a scheme and its parameters (RFC 3261 §20.7, §20.27, RFC 8760).
//!
//! Syntax only; what the parameters mean is decided where digests are computed. A line holds one
//! value: commas separate its parameters (SIP-004).

use bytes::Bytes;
use nom::Parser;

use super::{Header, HeaderName, Shape};
use crate::sip::grammar::{self, Step, lws, separator, stop, whole};
use crate::sip::limits::MAX_PARAMS;
use crate::sip::param::{emit_param, param};
use crate::sip::{ParseFault, Rule, Token, Value};

/// A scheme with `name=value` parameters in order; names are unique without regard to case.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct AuthParams {
    /// `Digest` almost always.
    pub scheme: Token,
    params: Vec<(Token, Value)>,
}

impl AuthParams {
    /// A scheme without parameters.
    pub const fn new(scheme: Token) -> Self {
        Self {
            scheme,
            params: Vec::new(),
        }
    }

    /// Whether the scheme is Digest.
    pub fn is_digest(&self) -> bool {
        self.scheme.is("Digest")
    }

    /// The content of this parameter: without quotation marks, escapes resolved.
    pub fn value(&self, name: &str) -> Option<&Bytes> {
        self.params
            .iter()
            .find(|(own, _)| own.is(name))
            .map(|(_, value)| value.content())
    }

    /// Name and value of each, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Token, &Value)> {
        self.params.iter().map(|(name, value)| (name, value))
    }

    /// Sets a parameter: in place if the name is there, else at the end.
    pub fn set(&mut self, name: Token, value: Value) {
        match self
            .params
            .iter_mut()
            .find(|(own, _)| own.is(name.as_str()))
        {
            Some(found) => found.1 = value,
            None => self.params.push((name, value)),
        }
    }

    fn parser<'a>(source: &Bytes, input: &'a [u8]) -> Step<'a, Self> {
        let (at_gap, scheme) = grammar::token(source, input)?;
        let (mut left, ()) = lws(at_gap)?;
        let mut auth = Self::new(scheme);
        if left.is_empty() {
            return Ok((left, auth));
        }
        if left.len() == at_gap.len() {
            return stop(at_gap, Rule::Separator);
        }
        loop {
            let begin = left;
            let (rest, (name, value)) = param(source, left)?;
            let Some(value) = value else {
                return stop(begin, Rule::Separator);
            };
            if auth.value(name.as_str()).is_some() {
                return stop(begin, Rule::Repeated);
            }
            if auth.params.len() == MAX_PARAMS {
                return stop(begin, Rule::TooMany);
            }
            auth.params.push((name, value));
            match separator(b',').parse(rest) {
                Ok((rest, ())) => left = rest,
                Err(_) => return Ok((rest, auth)),
            }
        }
    }
}

macro_rules! auth_headers {
    ($($(#[$doc:meta])* $name:ident, $what:literal;)+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, PartialEq, Eq, Hash, Debug)]
            pub struct $name(pub AuthParams);

            impl Header for $name {
                const NAME: HeaderName = HeaderName::$name;
                const SHAPE: Shape = Shape::Single;

                fn parse(text: &Bytes) -> Result<Self, ParseFault> {
                    whole($what, text, |input| AuthParams::parser(text, input)).map(Self)
                }

                fn emit(&self, out: &mut Vec<u8>) {
                    out.extend_from_slice(self.0.scheme.as_bytes());
                    for (index, (name, value)) in self.0.iter().enumerate() {
                        out.extend_from_slice(if index == 0 { b" " } else { b", " });
                        emit_param(name, Some(value), out);
                    }
                }
            }

            impl std::ops::Deref for $name {
                type Target = AuthParams;

                fn deref(&self) -> &AuthParams {
                    &self.0
                }
            }
        )+
    };
}

auth_headers! {
    /// Challenge of a user agent server or registrar, in 401.
    WwwAuthenticate, "WWW-Authenticate";
    /// Challenge of a proxy, in 407.
    ProxyAuthenticate, "Proxy-Authenticate";
    /// Answer to [`WwwAuthenticate`].
    Authorization, "Authorization";
    /// Answer to [`ProxyAuthenticate`].
    ProxyAuthorization, "Proxy-Authorization";
}
