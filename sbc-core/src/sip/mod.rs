//! SIP syntax: bytes ↔ values (RFC 3261 §7, §25).
//!
//! [`Message`] is an index over one buffer. Headers are interpreted when somebody asks, by the
//! types of [`header`]; [`emit`] is the only way back to bytes.
//!
//! ```
//! use sbc_core::sip::{HeaderName, Limits, Message, Method};
//! use sbc_core::sip::header::{From, Via};
//!
//! let bytes = "OPTIONS sip:sbc.example.com SIP/2.0\r\n\
//!     v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
//!     f: <sip:probe@example.com>;tag=1\r\n\
//!     t: <sip:sbc.example.com>\r\ni: 1@192.0.2.1\r\nCSeq: 1 OPTIONS\r\n\
//!     X-Note : hello\r\nl: 0\r\n\r\n";
//! let message = Message::parse(bytes.into(), &Limits::default()).unwrap();
//! assert_eq!(*message.method(), Method::Options);
//! assert_eq!(message.list::<Via>().unwrap().len(), 1);
//! assert_eq!(message.get::<From>().unwrap().unwrap().tag().unwrap(), "1");
//! assert_eq!(message.raw(HeaderName::CallId).unwrap(), "1@192.0.2.1");
//! assert_eq!(message.raw_named("x-note").unwrap(), "hello");
//! ```

mod address;
pub mod body;
mod check;
mod edit;
pub mod emit;
mod essential;
pub mod explain;
mod fault;
mod grammar;
mod head;
pub mod header;
mod host;
mod limits;
mod message;
mod method;
mod param;
pub(crate) mod parse;
mod status;
mod token;
mod uri;
mod written;

pub use address::{Address, DisplayName, NameAddr};
pub use check::{Capabilities, Objection, Rejection};
pub use emit::{EmitFault, RequestBuilder, ResponseBuilder};
pub use essential::Essential;
pub use fault::{ParseFault, Rule};
pub(crate) use grammar::unescape;
pub use head::{Reaction, Rejected, RequestHead};
pub use header::{HeaderName, Transport};
pub use host::{Host, HostName};
pub use limits::{
    Limits, MAX_BODY_PARTS, MAX_DISPLAY_NAME, MAX_MULTIPART_DEPTH, MAX_PARAMS, MAX_URI,
};
pub use message::{HeaderLine, Message};
pub use method::Method;
pub use param::{Params, PlainValue, Value};
pub use status::{Class, Status};
pub use token::{QuotedText, Token};
pub use uri::{OtherUri, SipUri, TelUri, Uri, UriParams};
pub use written::WrittenUri;
