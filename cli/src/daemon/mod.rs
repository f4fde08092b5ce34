//! The daemon.

pub mod inbox;
pub mod net;
