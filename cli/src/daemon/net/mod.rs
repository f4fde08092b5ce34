//! Signalling sockets.

pub mod tls;
