//! Names of the core's objects, as types that cannot be mixed up.
//!
//! Configured objects are named by their configured names, not by positions: a call keeps the
//! settings it was admitted with while a reload changes the tables around it, and a position would
//! then silently mean another object.

use crate::octets::hexadecimal;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

macro_rules! configured_name {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The object with this configured name.
            pub fn new(name: &str) -> Self {
                Self(Arc::from(name))
            }

            /// The configured name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self::new(name)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }
    )*};
}

configured_name! {
    /// A customer isolated from others.
    TenantName
    /// A configured relation to a peer.
    TrunkName
    /// One of our network sides.
    RealmName
    /// One bound signalling socket of a realm.
    ListenerName
    /// One TLS identity with its trust store.
    TlsContextName
    /// A recording of the node.
    SoundName
    /// A time table of routes.
    ScheduleName
    /// A routing rule.
    RouteName
    /// A transform.
    TransformName
}

/// One `Core` and its thread.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct ShardId(pub u8);

/// A call, unique over all shards and restarts: printed in records, logs and commands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u128);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Sixteen digits each; every frame of HEP has it.
        let [high, low] = [(self.0 >> 64) as u64, self.0 as u64].map(hexadecimal);
        for half in [high, low] {
            f.write_str(std::str::from_utf8(&half).unwrap_or_default())?;
        }
        Ok(())
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallId({self})")
    }
}

impl std::str::FromStr for CallId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

impl Serialize for CallId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// A leg of a call; 0 is the A leg. Never reused within a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct LegId(pub u8);

/// A transport association on which messages arrive (RFC 5626): a connection, or one remote
/// address on one UDP socket. Never reused while the process lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FlowId(pub u64);

/// A transaction in the table of one shard. Never reused while the process lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TransactionId(pub u64);

/// A question to the outside that is waiting for its answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct QueryId(pub u64);

/// An operator's command that wants an answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CommandId(pub u64);
