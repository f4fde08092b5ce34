//! Causeway's signalling: SIP, SDP, transactions, dialogs and calls without any I/O.
//!
//! The crate is a function of (state, time, input). It owns no socket, clock, thread or random
//! source; whoever drives it supplies time and inputs and carries out the effects. Module order
//! below is layer order: a module uses those above it, never those below.
#![forbid(unsafe_code)]

pub mod cause;
pub mod deadline;
pub mod display;
mod hashed;
pub mod id;
pub mod mint;
mod octets;
pub mod time;
pub mod trouble;

pub mod sdp;
pub mod sip;

pub mod transport;

pub mod tally;

pub mod auth;

pub mod pidf;

pub mod stir;

pub mod transaction;

pub mod media;
mod meter;

pub mod config;

pub mod policy;

pub mod effect;
pub mod event;
mod expiring;
mod few;
pub mod input;
pub mod locate;
pub mod overload;
pub mod query;
pub mod record;
mod seldom;

pub mod dialog;

pub mod session;

pub mod kept;
pub mod letter;
mod plane;

pub mod trunk;

mod call;

pub mod report;

pub mod core;
pub mod demux;

pub mod rehearsal;
