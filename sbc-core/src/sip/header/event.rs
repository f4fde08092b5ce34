//! Event and Subscription-State: the package of a subscription and where it stands (RFC 6665 §8).

use bytes::Bytes;

use super::{Header, HeaderName, Shape};
use crate::sip::grammar::{self, octets_as_str, whole};
use crate::sip::{Params, ParseFault, Token};

/// An event package with its parameters; `id` tells subscriptions of one dialog apart.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Event {
    /// `refer`, `message-summary`, …
    pub package: Token,
    /// Parameters, `id` among them.
    pub params: Params,
}

/// State of a subscription, in NOTIFY.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SubscriptionState {
    /// `active`, `pending`, `terminated`, or an extension.
    pub state: Token,
    /// `expires`, `reason`, `retry-after` and others.
    pub params: Params,
}

impl Event {
    /// A package without parameters.
    pub const fn new(package: Token) -> Self {
        Self {
            package,
            params: Params::new(),
        }
    }

    /// The `id` parameter.
    pub fn id(&self) -> Option<&Bytes> {
        self.params.value("id")
    }
}

impl SubscriptionState {
    /// A state without parameters.
    pub const fn new(state: Token) -> Self {
        Self {
            state,
            params: Params::new(),
        }
    }

    /// Whether no further NOTIFY will come.
    pub fn is_terminated(&self) -> bool {
        self.state.is("terminated")
    }

    /// Seconds that are left, if given.
    pub fn expires_s(&self) -> Option<u32> {
        octets_as_str(self.params.value("expires")?).parse().ok()
    }
}

macro_rules! word_and_params {
    ($name:ident, $field:ident, $what:literal) => {
        impl Header for $name {
            const NAME: HeaderName = HeaderName::$name;
            const SHAPE: Shape = Shape::Single;

            fn parse(text: &Bytes) -> Result<Self, ParseFault> {
                whole($what, text, |input| {
                    let (rest, $field) = grammar::token(text, input)?;
                    let (rest, params) = Params::parser(text, rest)?;
                    Ok((rest, Self { $field, params }))
                })
            }

            fn emit(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(self.$field.as_bytes());
                self.params.emit(out);
            }
        }
    };
}

word_and_params!(Event, package, "Event");
word_and_params!(SubscriptionState, state, "Subscription-State");
