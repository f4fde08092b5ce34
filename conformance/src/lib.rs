//! The lab: Causeway's peers over real sockets.
//!
//! Everything here is a second opinion. Peers read and write SIP with `rsip`, SDP with `rtc-sdp`
//! and SRTP with `rtc-srtp`; nothing of the product is used, so that two halves by one hand cannot
//! agree on the same mistake.
//!
//! - [`ca`]: a certification authority that lives as long as one run.
//! - [`peer`]: SIP endpoints, their sockets and what they insist on.
//! - [`media`]: RTP and SRTP endpoints that play a tone and measure what they hear.
//! - [`impair`]: a bad network between peers and the daemon, as a function of a seed.
//! - [`lab`]: the daemon among these peers, calls in both directions, and the report.
//! - [`certify`]: the certification run: every case against a subject, and the report.
//! - [`microsoft`]: the login and Graph that reports about calls are read from.
//! - [`load`]: callers and answerers that measure what a call costs.
//! - [`ledger`]: the requirements, the tests that show them, and what is missing.
#![forbid(unsafe_code)]

pub mod ca;
pub mod certify;
pub mod impair;
pub mod lab;
pub mod ledger;
pub mod load;
mod lock;
pub mod media;
pub mod microsoft;
pub mod peer;
mod random;
