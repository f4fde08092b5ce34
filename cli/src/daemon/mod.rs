//! The daemon.

pub mod net;
