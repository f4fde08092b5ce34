//! SIP endpoints over real sockets.
//!
//! ```text
//! socket ─► flow (framing) ─► agent (which call?) ─► leg (one dialog, driven by a script)
//!                                   └─► persona (Teams, carrier): requests outside of calls
//! ```
//!
//! A [`leg::Leg`] does nothing by itself: whoever holds it decides what is said next. That is what
//! the lab's calls and certification cases have in common.

pub mod agent;
pub mod branch;
pub mod carrier;
pub mod claims;
pub mod fault;
pub mod flow;
pub mod hello;
pub mod leg;
pub mod message;
mod post;
mod repeat;
pub mod rules;
pub mod teams;
pub mod tls;
mod within;
