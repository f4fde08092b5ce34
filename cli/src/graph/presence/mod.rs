//! Presence of users: what Microsoft says of them, for routing and for operators (TDG-PRS-006).
//!
//! ```text
//! polls ──► polled ─┐
//!                   ├─► Presences ─► every shard
//! notices ► noticed ┘
//! ```

pub mod store;

pub use store::Presences;
