//! Trunks: what is known about peers apart from any call.

mod health;
mod probe;
mod proof;
mod quarantine;

pub(crate) use health::Health;
pub use health::TargetId;
pub(crate) use probe::Probes;
pub(crate) use quarantine::Quarantine;
