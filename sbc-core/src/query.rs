//! Questions to the outside: anything slow or foreign, with one correlation mechanism.

use crate::locate::{Families, LocateSpec, Service};
use crate::stir::{CredentialFault, VerifySpec};
use crate::transport::{Hop, Protocol};
use std::fmt;
use std::net::SocketAddr;

/// A question. Every query gets exactly one [`Outcome`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Query {
    /// Find the addresses of a host that a peer named within a dialog.
    Resolve(ResolveSpec),
    /// Find the servers of a target (RFC 3263 §4). The choice among them stays in the core.
    Locate(LocateSpec),
    /// Find out which of two connections to one server comes about first, the second begun a moment
    /// after the first (RFC 8305). Neither is closed.
    Race(Box<[Hop; 2]>),
    /// Find out whether the signatures of a call are good, and their credentials to be believed
    /// (RFC 8224 §6.2).
    Verify(Box<VerifySpec>),
}

/// What to resolve.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ResolveSpec {
    /// Host name; never a literal address.
    pub host: String,
    /// Port to use with the addresses.
    pub port: u16,
    /// Protocol the result is for.
    pub protocol: Protocol,
    /// Families that can be reached: addresses of others are neither asked nor waited for.
    pub families: Families,
}

/// The answer to a query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Addresses in the resolver's order of preference; never empty.
    Resolved(Vec<SocketAddr>),
    /// Servers, best service first; never without an address.
    Located(Vec<Service>),
    /// The connection that came about first; the first one as well if none did.
    Won(Runner),
    /// Every signature is good and every credential to be believed, or the first one is not.
    Verified(Result<(), CredentialFault>),
    /// No addresses.
    ResolveFailed(ResolveFault),
}

/// One of two connections.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Runner {
    /// That which was begun first.
    First,
    /// The other one.
    Second,
}

/// Why a name gave no addresses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolveFault {
    /// The name does not exist or has no address.
    NotFound,
    /// The resolver did not answer in time.
    Timeout,
    /// The resolver failed.
    ServerFailure,
}

impl fmt::Display for ResolveFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "the name has no address",
            Self::Timeout => "DNS did not answer in time",
            Self::ServerFailure => "DNS failed",
        })
    }
}
