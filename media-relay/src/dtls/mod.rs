//! DTLS-SRTP (RFC 5763, RFC 5764): from datagrams to the keys of a stream.
//!
//! The protocol itself is a library's, without sockets and clock like everything here; ours is whom it talks to,
//! whether the peer is who its description says, and what becomes of the outcome. A handshake costs a few hundred
//! microseconds over its life, in steps of at most a hundred: less than what would be lost by handing it to
//! another thread.

mod association;
mod filter;
mod identities;
mod identity;

pub use association::{Association, Outcome};
pub(crate) use identities::{Identities, show};
pub use identity::{Identity, NoIdentity};
