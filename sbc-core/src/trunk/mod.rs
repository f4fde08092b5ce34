//! Trunks: what is known about peers apart from any call.

mod circuit;
mod health;
mod probe;
mod proof;
mod quarantine;
mod register;
mod request;
mod standing;
mod verdict;

pub(crate) use health::{Footing, Health, Place};
pub use health::{TargetId, TargetState};
pub(crate) use probe::Probes;
pub(crate) use quarantine::Quarantine;
pub(crate) use register::Registrations;
pub use standing::{RegistrationState, Standing, Standings};
