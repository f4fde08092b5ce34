//! Trunks: what is known about peers apart from any call.

pub mod asked;
mod binding;
mod circuit;
mod closed;
mod health;
mod keep_alive;
mod probe;
mod proof;
mod quarantine;
mod register;
mod registrar;
mod relief;
mod request;
mod reset;
mod roster;
mod standing;
mod stored;
mod verdict;

pub(crate) use binding::Bindings;
pub use binding::{Binding, Bound};
pub use closed::{Closed, Closing};
pub(crate) use health::{Footing, FoundByCalls, Health, Place};
pub use health::{TargetId, TargetState};
pub(crate) use probe::Probes;
pub(crate) use quarantine::Quarantine;
pub(crate) use register::Registrations;
pub(crate) use registrar::Registrars;
pub(crate) use relief::Relief;
pub use reset::PeerName;
pub use standing::{RegistrationState, Standing, Standings};
pub use stored::{Registered, Stored};
