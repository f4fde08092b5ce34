//! STIR/SHAKEN: whether the number of a caller is vouched for (RFC 8224, RFC 8225, RFC 8588,
//! RFC 8946).
//!
//! Everything that needs no secret, no file and no network is decided here: what a PASSporT says,
//! whether it speaks of this very call and of now, what follows from it. Whether its signature is
//! good, and whether its credential may be believed, is asked outside
//! ([`Query::Verify`](crate::query::Query::Verify)): the certificate has to be fetched anyway, and
//! about 100 µs of ECDSA per signature would be as much as everything else that a shard does for a
//! call.

mod address;
mod attest;
mod base64url;
mod claims;
mod json;
mod number;
mod passport;
mod verdict;
mod verify;
mod verstat;
mod vouched;

pub use address::CredentialUrl;
pub use attest::{Level, Standing, level, origin_id};
pub use claims::{Chain, Numbers, Related};
pub use json::{Json, JsonFault};
pub use number::Tn;
pub use passport::{Kind, Party, Passport, PassportFault};
pub use verdict::{CredentialFault, Fault, Verdict};
pub use verify::{Check, Judged, Signatures, VerifySpec, judge};
pub(crate) use verstat::NAME as VERSTAT;
pub use verstat::{Validation, Verstat};
pub use vouched::Vouched;

/// Most Identity headers of a request that are looked at (SEC-121).
pub const MOST_IDENTITIES: usize = 8;

/// Longest value of one of them, octets (SEC-121).
pub const LONGEST_IDENTITY: usize = 16 * 1024;
