//! Digest authentication (RFC 3261 §22, RFC 7616, RFC 8760) in both roles, without any I/O.
//!
//! The client's side:
//!
//! A peer that wants a proof sends 401 or 407 with challenges. [`Challenge`] reads them, [`Proof`]
//! computes what is asked for, and [`Nonces`] remembers per peer and realm what was asked last, so
//! that later requests bring their credentials along. Who may be answered is decided in one place,
//! [`Nonces::take`]: a challenge of another peer or for a realm that is not configured gets
//! nothing, because an answer to it is a gift to whoever wants to guess the password (SIP-1610).
//!
//! The server's side is `guard.rs`: our challenges, and what is proven by their answers.

mod account;
mod challenge;
mod digest;
mod guard;
mod nonce;
mod nonces;
mod sources;

pub use account::{Account, Password, Seal};
pub use challenge::{Asker, Challenge};
pub use digest::{Algorithm, Digest, Proof, Qop};
pub(crate) use guard::{Guard, Judged, asker_of};
pub use guard::{Refused, Unproven};
pub(crate) use nonces::is_proof;
pub use nonces::{Asked, Credentials, Nonces, Peer, Taken, Tries, Unanswered};
