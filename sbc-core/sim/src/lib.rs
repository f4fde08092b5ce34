//! A simulated world for Causeway's signalling: clock, network, peers, checkers.
//!
//! A scenario is data ([`scenario::Scenario`]): calls with what caller and callees do, faults, and
//! what else happens. [`report::play`] runs it against N shards of the real core, with a clock that
//! jumps from event to event; every rule of [`check`] is judged on every run. The same scenario
//! gives the same bytes, always.
//!
//! ```
//! use sbc_sim::report::play;
//! use sbc_sim::scenario::{PlannedCall, Scenario};
//!
//! let scenario = Scenario::quiet(7).call(PlannedCall::to_teams);
//! let run = play(&scenario, 1, false);
//! assert_eq!(run.caller(0).final_status, Some(200));
//! assert!(run.violations.is_empty());
//! ```
//!
//! Random scenarios come from [`generate::generate`]; a failing one is made small by [`shrink`] and
//! printed by [`report::failure`]. `cargo run -p sbc-sim -- --seed 42` repeats one.
#![forbid(unsafe_code)]

pub mod actor;
mod agenda;
pub mod check;
pub mod dice;
mod digest;
pub mod fault;
pub mod generate;
mod limited;
pub mod media;
mod net;
pub mod report;
pub mod resolver;
pub mod scenario;
pub mod shrink;
pub mod subject;
pub mod topology;
pub mod trace;
pub mod wire;
pub mod world;
