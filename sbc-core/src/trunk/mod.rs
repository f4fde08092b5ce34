//! Trunks: what is known about peers apart from any call.

mod health;
mod probe;
mod proof;
mod quarantine;
mod register;
mod request;
mod standing;

pub(crate) use health::Health;
pub use health::TargetId;
pub(crate) use probe::Probes;
pub(crate) use quarantine::Quarantine;
pub(crate) use register::Registrations;
pub use standing::{RegistrationState, Standing, Standings};
