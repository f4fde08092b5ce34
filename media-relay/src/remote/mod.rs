//! The relay in a process of its own: the same commands and events over a Unix socket.
//!
//! ```text
//! daemon   Remote ── Hello: version, layout, realms ─►  Host   one relay per connection
//!                 ◄─ Verdict: welcome, or why not ───
//!                 ── commands, recordings ──────────►
//!                 ◄─ events, a report every half second
//! ```
//!
//! The host has a relay of its own for each connection and ends it with the connection, so a daemon that dies leaves
//! nothing behind. When the host dies, [`Remote`] tells the sessions of before that they are lost, and meets the
//! next host. Queues are bounded; none makes a thread wait that gives commands or tells events.

mod client;
mod host;
mod message;
mod queue;

pub use client::{Met, Remote, RemoteFault};
pub use host::{Host, HostHandle, HostOptions};
#[doc(hidden)]
pub use message::Said;
