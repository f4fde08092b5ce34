//! Option tags: what a peer supports, requires, or could not do (RFC 3261 §19.2).

use std::fmt;

use bytes::Bytes;

use super::{Header, HeaderName, Shape, known_name};
use crate::sip::grammar::{self, whole};
use crate::sip::{ParseFault, Token};

/// An option tag such as `100rel`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OptionTag(Token);

impl OptionTag {
    /// Reliable provisional responses (RFC 3262).
    pub const REL100: &'static str = "100rel";
    /// The end of an early dialog (RFC 6228).
    pub const EARLY_END: &'static str = "199";
    /// Session timers (RFC 4028).
    pub const TIMER: &'static str = "timer";
    /// Replaces (RFC 3891).
    pub const REPLACES: &'static str = "replaces";
    /// REFER without subscription (RFC 4488).
    pub const NOREFERSUB: &'static str = "norefersub";
    /// A dialog named in Target-Dialog (RFC 4538).
    pub const TDIALOG: &'static str = "tdialog";
    /// History-Info (RFC 7044).
    pub const HISTINFO: &'static str = "histinfo";
    /// Another From within a dialog (RFC 4916).
    pub const FROM_CHANGE: &'static str = "from-change";
    /// Path (RFC 3327).
    pub const PATH: &'static str = "path";
    /// Client-initiated connections (RFC 5626).
    pub const OUTBOUND: &'static str = "outbound";
    /// Privacy (RFC 3323).
    pub const PRIVACY: &'static str = "privacy";

    /// Takes a token as an option tag.
    pub const fn new(tag: Token) -> Self {
        Self(tag)
    }

    /// Whether this is the tag `name`, in any mixture of upper and lower case.
    pub fn is(&self, name: &str) -> bool {
        self.0.is(name)
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for OptionTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! option_tag_headers {
    ($($(#[$doc:meta])* $name:ident;)+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, PartialEq, Eq, Hash, Debug)]
            pub struct $name(pub OptionTag);

            impl $name {
                /// Whether this is the tag `name`, in any mixture of upper and lower case.
                pub fn is(&self, name: &str) -> bool {
                    self.0.is(name)
                }
            }

            impl Header for $name {
                const NAME: HeaderName = HeaderName::$name;
                const SHAPE: Shape = Shape::Words;

                fn parse(text: &Bytes) -> Result<Self, ParseFault> {
                    whole(known_name(&Self::NAME), text, |input| {
                        let (rest, tag) = grammar::token(text, input)?;
                        Ok((rest, Self(OptionTag(tag))))
                    })
                }

                fn emit(&self, out: &mut Vec<u8>) {
                    out.extend_from_slice(self.0.0.as_bytes());
                }
            }
        )+
    };
}

option_tag_headers! {
    /// One extension that the sender can use.
    Supported;
    /// One extension that the receiver must understand (420 otherwise).
    Require;
    /// One extension that proxies on the way must understand.
    ProxyRequire;
    /// One extension that was required and is not understood; in 420.
    Unsupported;
}
