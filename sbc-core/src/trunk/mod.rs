//! Trunks: what is known about peers apart from any call.

mod probe;
mod quarantine;

pub(crate) use probe::Probes;
pub(crate) use quarantine::Quarantine;
