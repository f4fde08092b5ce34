//! Trunks: what is known about peers apart from any call.

mod circuit;
mod health;
mod probe;
mod quarantine;
mod verdict;

pub(crate) use health::{Health, Place, Standing};
pub use health::{TargetId, TargetState};
pub(crate) use probe::Probes;
pub(crate) use quarantine::Quarantine;
