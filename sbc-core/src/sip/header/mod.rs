//! Typed headers: one file each, parsed on demand, valid by construction.
//!
//! ```
//! use sbc_core::sip::header::{CSeq, Header};
//! let cseq = CSeq::parse(&"0009 INVITE".into()).unwrap();
//! assert_eq!(cseq.number, 9);
//! ```

use bytes::Bytes;

use super::grammar::split_commas;
use super::{Limits, ParseFault};

mod allow;
mod asserted;
mod auth;
mod call_id;
mod contact;
mod content;
mod cseq;
mod diversion;
mod event;
mod from_to;
mod history;
mod identity;
mod local_media;
mod max_breadth;
mod max_forwards;
mod name;
mod option_tag;
mod privacy;
mod rack;
mod reason;
mod refer;
mod replaces;
mod retry_after;
mod route;
mod session_id;
mod target_dialog;
mod timer;
mod user_to_user;
mod via;
mod warning;

pub use allow::{Accept, Allow};
pub use asserted::{PAssertedIdentity, PAssociatedUri, PPreferredIdentity, RemotePartyId};
pub use auth::{AuthParams, Authorization, ProxyAuthenticate, ProxyAuthorization, WwwAuthenticate};
pub use call_id::CallId;
pub use contact::Contact;
pub use content::{ContentDisposition, ContentEncoding, ContentType, Handling};
pub use cseq::CSeq;
pub use diversion::Diversion;
pub use event::{Event, SubscriptionState};
pub use from_to::{From, To};
pub use history::HistoryInfo;
pub use identity::{Identity, Parts};
pub use local_media::{MediaPath, UserLocation, UserSite};
pub use max_breadth::MaxBreadth;
pub use max_forwards::MaxForwards;
pub use name::{ExtensionName, HeaderName};
pub(in crate::sip) use name::{KNOWN, Names, UNKNOWN, lookup};
pub use option_tag::{OptionTag, ProxyRequire, Require, Supported, Unsupported};
pub use privacy::Privacy;
pub use rack::{RAck, RSeq};
pub use reason::Reason;
pub use refer::{ReferTo, ReferredBy};
pub use replaces::Replaces;
pub use retry_after::RetryAfter;
pub use route::{Path, RecordRoute, Route, ServiceRoute};
pub use session_id::{EndId, SessionId};
pub use target_dialog::TargetDialog;
pub use timer::{Expires, MinSe, Refresher, SessionExpires};
pub use user_to_user::UserToUser;
pub use via::{Transport, Via};
pub use warning::Warning;

/// How values of a header may be arranged (SIP-004).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// One value per line; a comma has no meaning.
    Single,
    /// Comma list of values, equal to repeated lines; an empty element is a fault.
    List,
    /// Comma list of plain words; empty elements are skipped, an empty line is an empty list.
    Words,
}

/// A header field with a meaning. `parse(emit(x)) == x` for every value.
pub trait Header: Sized {
    /// The field's name.
    const NAME: HeaderName;
    /// How values are arranged in lines.
    const SHAPE: Shape;

    /// Reads one value, unfolded. The value shares `text`'s buffer.
    fn parse(text: &Bytes) -> Result<Self, ParseFault>;

    /// Appends the value, without name and line end.
    fn emit(&self, out: &mut Vec<u8>);

    /// The value on the wire.
    fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(64);
        self.emit(&mut out);
        Bytes::from(out)
    }
}

/// The values of a list that is no header of a message; those that cannot be read are left out, and so are those beyond
/// the limit.
pub fn readable<H: Header>(list: &Bytes) -> Vec<H> {
    let parts = split_commas(list);
    let readable = parts.filter_map(|part| H::parse(&list.slice_ref(part)).ok());
    readable.take(Limits::default().list_values).collect()
}

/// The canonical name of a known header, for faults.
pub(in crate::sip) fn known_name(name: &HeaderName) -> &'static str {
    KNOWN
        .get(usize::from(name.id()))
        .map_or("header", HeaderName::as_str)
}

/// Headers whose value is an [`Address`](crate::sip::Address), each a type of its own.
macro_rules! address_headers {
    ($($(#[$doc:meta])* $name:ident, $shape:ident;)+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, PartialEq, Eq, Hash, Debug)]
            pub struct $name(pub $crate::sip::Address);

            impl $crate::sip::header::Header for $name {
                const NAME: $crate::sip::HeaderName = $crate::sip::HeaderName::$name;
                const SHAPE: $crate::sip::header::Shape = $crate::sip::header::Shape::$shape;

                fn parse(text: &bytes::Bytes) -> Result<Self, $crate::sip::ParseFault> {
                    let what = $crate::sip::header::known_name(&Self::NAME);
                    $crate::sip::Address::parse(what, text).map(Self)
                }

                fn emit(&self, out: &mut Vec<u8>) {
                    self.0.emit(out);
                }
            }

            impl std::ops::Deref for $name {
                type Target = $crate::sip::Address;

                fn deref(&self) -> &Self::Target {
                    &self.0
                }
            }

            impl std::ops::DerefMut for $name {
                fn deref_mut(&mut self) -> &mut Self::Target {
                    &mut self.0
                }
            }

            impl std::convert::From<$crate::sip::Uri> for $name {
                fn from(uri: $crate::sip::Uri) -> Self {
                    Self($crate::sip::Address::new(uri))
                }
            }
        )+
    };
}

pub(crate) use address_headers;
