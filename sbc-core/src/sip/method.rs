//! Request methods: those we know by name, and any other token.

use std::fmt;

use bytes::Bytes;

use super::{ParseFault, Token};

macro_rules! methods {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        /// A request method. Case-sensitive (RFC 3261 §7.1): `invite` is an unknown method.
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Method {
            $($(#[$doc])* $variant,)+
            /// A method that we have no name for. Never one of the others in disguise when it came
            /// from [`Method::parse`].
            Other(Token),
        }

        impl Method {
            /// Every method that this product knows, in the order of this list.
            pub const KNOWN: &'static [Method] = &[$(Method::$variant),+];

            /// Reads a method: exactly one token.
            pub fn parse(text: impl Into<Bytes>) -> Result<Self, ParseFault> {
                let text = text.into();
                match Self::known(&text) {
                    Some(method) => Ok(method),
                    None => Token::parse(text).map(Self::Other),
                }
            }

            /// The known method with this name.
            pub(crate) fn known(text: &[u8]) -> Option<Self> {
                match text {
                    $(text if text == $text.as_bytes() => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The method as it stands on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(token) => token.as_str(),
                }
            }
        }
    };
}

methods! {
    /// RFC 3261: starts or changes a session.
    Invite = "INVITE",
    /// RFC 3261: confirms a final response to INVITE; never answered.
    Ack = "ACK",
    /// RFC 3261: ends a session.
    Bye = "BYE",
    /// RFC 3261: gives up on an INVITE that has no final response.
    Cancel = "CANCEL",
    /// RFC 3261: asks for capabilities; the usual health probe of trunks.
    Options = "OPTIONS",
    /// RFC 3262: confirms a reliable provisional response.
    Prack = "PRACK",
    /// RFC 3311: changes a session without changing the dialog's state.
    Update = "UPDATE",
    /// RFC 6086: application data inside a session, here DTMF.
    Info = "INFO",
    /// RFC 3515: asks the receiver to call somebody else; transfer.
    Refer = "REFER",
    /// RFC 6665: an event; with transfer, its progress.
    Notify = "NOTIFY",
    /// RFC 6665: asks for events.
    Subscribe = "SUBSCRIBE",
    /// RFC 3261 §10: binds an address of record to a contact.
    Register = "REGISTER",
    /// RFC 3428: a page-mode message.
    Message = "MESSAGE",
    /// RFC 3903: publishes event state.
    Publish = "PUBLISH",
}

impl Method {
    /// Whether this product has a name for the method: 405 if it does and does not allow it, 501
    /// if it does not (SIP-013).
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
