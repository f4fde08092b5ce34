//! The daemon.

pub mod dispatch;
pub mod inbox;
pub mod media;
pub mod net;
pub mod resolver;
pub mod shard;
