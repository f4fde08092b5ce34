//! The relay in a process of its own: the same commands and events over a Unix socket.
//!
//! ```text
//! daemon   Remote ── Hello: version, layout, realms ─►  Host   one relay per connection
//!                 ◄─ Verdict: welcome, or why not ───
//!                 ── commands, recordings, realms ──►
//!                 ◄─ events, a report every half second
//! ```
//!
//! The host has a relay of its own for each connection and ends it with the connection, so a daemon that dies leaves
//! nothing behind; unless it said that its sessions are to wait for the next one ([`Remote::resume`]), which gets them
//! by name, with what was kept of their calls [`waiting`]. When the host dies, [`Remote`] tells the sessions of before
//! that they are lost, and meets the next host. Queues are bounded; none makes a thread wait that gives commands or
//! tells events.

mod client;
mod form;
mod host;
mod message;
mod queue;
mod waiting;

pub use client::{Met, Remote, RemoteFault};
pub use form::{FormFault, goes_on};
pub use host::{Host, HostHandle, HostOptions};
pub use message::Kept;
#[doc(hidden)]
pub use message::Said;
