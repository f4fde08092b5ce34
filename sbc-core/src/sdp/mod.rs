//! SDP syntax: lines kept as they are, typed views on demand (RFC 8866, RFC 3264).
//!
//! [`Description`] owns the body as it came from the wire and an index of its lines, so that what
//! we did not change leaves octet by octet as it arrived, unknown attributes included. Views such
//! as [`Media`], [`Crypto`] or [`Candidate`] are parsed when asked for and borrow from the body.
//! Our own descriptions are written by [`Draft`], never by editing a peer's.

mod attribute;
mod base64;
mod candidate;
mod connection;
mod crypto;
mod description;
mod difference;
mod draft;
pub mod explain;
mod fault;
mod fax;
mod lent;
mod limits;
mod payload;
mod redact;
mod stream;
mod text;

pub use attribute::{Attribute, Attributes, Direction, Fingerprint, Fmtp, Rtcp, RtpMap, Setup};
pub use base64::{
    decode as base64_decode, decode_url as base64_url_decode, encode as base64_encode,
};
pub use candidate::{Candidate, CandidateKind};
pub use connection::{Address, Bandwidth, Connection, Origin};
pub use crypto::{Crypto, CryptoFault, KeyParam, Lifetime, Mki, SessionParam};
pub use description::Description;
pub use difference::Difference;
pub use draft::{
    Draft, DraftCandidate, DraftCrypto, DraftDtls, DraftFax, DraftFormat, DraftIce, DraftMedia,
    DraftStream, OriginLine, RefusedLine,
};
pub use fault::{Fault, Offence};
pub use fax::{Fax, FaxRate, FaxRedundancy};
pub use lent::Lent;
pub use limits::Limits;
pub use payload::{STATIC_PAYLOADS, StaticPayload, static_payload};
pub use redact::redact;
pub use stream::{Media, MediaKind, Transport};
