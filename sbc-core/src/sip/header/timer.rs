//! Session-Expires, Min-SE and Expires: how long things last (RFC 4028, RFC 3261 §20.19).

use bytes::Bytes;
use nom::Parser;

use super::{Header, HeaderName, Shape};
use crate::sip::grammar::{number, push_number, whole};
use crate::sip::{Params, ParseFault, Token, Value};

/// Who refreshes the session (RFC 4028 §4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refresher {
    /// The client of this transaction.
    Uac,
    /// The server of this transaction.
    Uas,
}

/// Length of a session without refresh.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SessionExpires {
    /// Interval in seconds, 0–2^32−1.
    pub seconds: u32,
    /// Parameters; `refresher` among them.
    pub params: Params,
}

/// Shortest session interval that the sender accepts.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct MinSe {
    /// Interval in seconds, 0–2^32−1.
    pub seconds: u32,
    /// Parameters, none of which is defined.
    pub params: Params,
}

/// Life of a registration, a subscription or an invitation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Expires(pub u32);

impl SessionExpires {
    /// An interval in seconds, with or without a refresher.
    pub fn new(seconds: u32, refresher: Option<Refresher>) -> Self {
        let mut params = Params::new();
        if let Some(refresher) = refresher {
            let role = match refresher {
                Refresher::Uac => "uac",
                Refresher::Uas => "uas",
            };
            let token = |text: &'static str| Token::recognised(Bytes::from_static(text.as_bytes()));
            params.set(token("refresher"), Some(Value::from(token(role))));
        }
        Self { seconds, params }
    }

    /// Who refreshes, if it says so in a way that is defined.
    pub fn refresher(&self) -> Option<Refresher> {
        match self
            .params
            .value("refresher")?
            .to_ascii_lowercase()
            .as_slice()
        {
            b"uac" => Some(Refresher::Uac),
            b"uas" => Some(Refresher::Uas),
            _ => None,
        }
    }
}

impl MinSe {
    /// An interval in seconds.
    pub const fn new(seconds: u32) -> Self {
        Self {
            seconds,
            params: Params::new(),
        }
    }
}

impl Header for SessionExpires {
    const NAME: HeaderName = HeaderName::SessionExpires;
    const SHAPE: Shape = Shape::Single;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        seconds_and_params("Session-Expires", text)
            .map(|(seconds, params)| Self { seconds, params })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        push_number(out, u64::from(self.seconds));
        self.params.emit(out);
    }
}

impl Header for MinSe {
    const NAME: HeaderName = HeaderName::MinSe;
    const SHAPE: Shape = Shape::Single;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        seconds_and_params("Min-SE", text).map(|(seconds, params)| Self { seconds, params })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        push_number(out, u64::from(self.seconds));
        self.params.emit(out);
    }
}

impl Header for Expires {
    const NAME: HeaderName = HeaderName::Expires;
    const SHAPE: Shape = Shape::Single;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        whole("Expires", text, |input| {
            // RFC 3261 §20.19: at most 2^32−1. More means "as long as you can" (RFC 4475
            // §3.1.2.4).
            let (rest, seconds) = number(u64::MAX).parse(input)?;
            Ok((rest, Self(u32::try_from(seconds).unwrap_or(u32::MAX))))
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        push_number(out, u64::from(self.0));
    }
}

fn seconds_and_params(what: &'static str, text: &Bytes) -> Result<(u32, Params), ParseFault> {
    whole(what, text, |input| {
        let (rest, seconds) = number(u64::from(u32::MAX)).parse(input)?;
        let (rest, params) = Params::parser(text, rest)?;
        Ok((rest, (u32::try_from(seconds).unwrap_or(u32::MAX), params)))
    })
}
