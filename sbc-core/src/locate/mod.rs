//! Locating the servers of a domain: RFC 3263 §4 and RFC 2782, without any socket.
//!
//! ```text
//! LocateSpec ─► Walk ── Question ─► whoever can ask DNS, through a Cache
//!                 ▲ ◄── Answer ───┘
//!                 └─► Services ─► in_order (weights from the mint) ─► addresses to try
//! ```
//!
//! The walk and the cache belong to the asking side, the order to each call: what is remembered is
//! what DNS said, so that weights are drawn anew for every call.

mod cache;
mod order;
mod walk;

pub use cache::{Cache, Found, State};
pub(crate) use order::{in_order, rivals};
pub use walk::{Step, Walk};

use crate::query::ResolveFault;
use crate::transport::Protocol;
use std::net::IpAddr;

/// What to locate.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LocateSpec {
    /// Domain as configured; never a literal address.
    pub domain: String,
    /// Port, if one was written: then there is nothing to ask but addresses.
    pub port: Option<u16>,
    /// Protocols that may be used, preferred first.
    pub protocols: Vec<Protocol>,
    /// Whether the domain may choose among the protocols by NAPTR; not where one was written.
    pub is_open: bool,
    /// Families that we have listeners for.
    pub families: Families,
    /// Whether a peer has named the domain and not the operator: whatever it names must not keep the names of
    /// others waiting.
    pub is_foreign: bool,
}

/// Address families.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

impl Families {
    /// Both families.
    pub const BOTH: Self = Self { v4: true, v6: true };
}

/// One question to DNS.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Question {
    /// Name in lower case, without the dot at its end.
    pub name: String,
    /// Type of the records.
    pub kind: Kind,
}

/// Types of records that are asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// NAPTR.
    Naptr,
    /// SRV.
    Srv,
    /// A.
    A,
    /// AAAA.
    Aaaa,
}

impl Kind {
    /// The stable label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Naptr => "naptr",
            Self::Srv => "srv",
            Self::A => "a",
            Self::Aaaa => "aaaa",
        }
    }
}

/// What DNS says to a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The records of that type, in the order in which they came.
    Records(Vec<Record>),
    /// There is no such name, or it has no such records.
    Absent,
    /// It is not known.
    Failed(ResolveFault),
}

/// One record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// NAPTR (RFC 3403 §4.1).
    Naptr {
        /// Lowest first, and nothing of another order once one is understood.
        order: u16,
        /// Lowest first within an order.
        preference: u16,
        /// Only `s` leads to SRV records.
        flags: String,
        /// Such as `SIP+D2U`.
        service: String,
        /// Empty in every record that RFC 3263 uses.
        regexp: String,
        /// Where the SRV records are.
        replacement: String,
    },
    /// SRV (RFC 2782).
    Srv {
        /// Lowest first.
        priority: u16,
        /// Share among servers of one priority.
        weight: u16,
        /// Port.
        port: u16,
        /// Host; `.` or nothing says that the service is not there.
        target: String,
    },
    /// A or AAAA.
    Address(IpAddr),
}

/// Servers of a domain for one protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// Protocol.
    pub protocol: Protocol,
    /// Its servers, in no order.
    pub servers: Vec<Server>,
}

/// One server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// Lowest first.
    pub priority: u16,
    /// Share among servers of one priority.
    pub weight: u16,
    /// Port.
    pub port: u16,
    /// Its addresses as DNS gave them; never empty.
    pub addresses: Vec<IpAddr>,
}

/// Which family is tried first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum FamilyOrder {
    /// IPv6, as RFC 6724 has it.
    #[default]
    V6,
    /// IPv4.
    V4,
    /// As the answers came, A before AAAA.
    Dns,
}

/// Most records used of one answer, servers of one service, and addresses of one server: what a
/// zone says must not decide how much we do.
pub const MAX_RECORDS: usize = 16;

/// Most addresses that come out of one walk.
pub const MAX_ADDRESSES: usize = 32;

/// Most questions of one walk.
pub const MAX_QUESTIONS: usize = 40;
