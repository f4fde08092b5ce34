//! Digest authentication (RFC 3261 §22, RFC 7616, RFC 8760), the client's side, without any I/O.
//!
//! A peer that wants a proof sends 401 or 407 with challenges. [`Challenge`] reads them, [`Proof`]
//! computes what is asked for, and [`Nonces`] remembers per peer and realm what was asked last, so
//! that later requests bring their credentials along. Who may be answered is decided in one place,
//! [`Nonces::take`]: a challenge of another peer or for a realm that is not configured gets
//! nothing, because an answer to it is a gift to whoever wants to guess the password (SIP-1610).

mod account;
mod challenge;
mod digest;
mod nonces;

pub use account::{Account, Password};
pub use challenge::{Asker, Challenge};
pub use digest::{Algorithm, Digest, Proof, Qop};
pub use nonces::{Asked, Credentials, Nonces, Peer, Taken, Tries, Unanswered};
