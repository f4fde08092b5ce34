//! Everything that the binary `causeway` calls: the daemon, its sinks, the operator interface.
#![forbid(unsafe_code)]

pub mod admin;
mod alarms;
pub mod client;
pub mod command;
pub mod config;
pub mod daemon;
pub mod graph;
pub mod https;
pub mod jwt;
mod misspelt;
pub mod ng;
pub mod notices;
pub mod onboarding;
pub mod reports;
pub mod sink;
