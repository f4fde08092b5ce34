//! Realms, listeners and TLS identities.

use crate::id::{ListenerName, RealmName, TlsContextName};
use crate::transport::Protocol;
use media_api::{Family, RealmId};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

/// One of our network sides: local and advertised addresses for signalling and media.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Realm {
    /// Configured name.
    pub name: RealmName,
    /// Its number towards the relay; stable over reloads.
    pub id: RealmId,
    /// Local IPv4 address; media and signalling bind exactly this one.
    pub v4: Option<Ipv4Addr>,
    /// Local IPv6 address.
    pub v6: Option<Ipv6Addr>,
    /// Address written into IPv4 messages instead of the local one (1:1 NAT).
    pub advertise_v4: Option<Ipv4Addr>,
    /// Address written into IPv6 messages instead of the local one.
    pub advertise_v6: Option<Ipv6Addr>,
    /// Name written into signalling instead of any address, for trunks without a name of their own
    /// (`advertise = { host = "sbc.example.com" }`): what a pair of nodes has in common.
    pub advertise_host: Option<String>,
    /// Media ports, RTP on even ones.
    pub ports: RangeInclusive<u16>,
    /// DSCP code point of media (0–63), 46 (EF) by default (MED-300).
    pub dscp: u8,
    /// DSCP code point of signalling (0–63), 24 (CS3) by default (MED-300, TDR-MED-044).
    pub signalling_dscp: u8,
    /// How media is received and sent, `socket` by default.
    pub media_backend: MediaBackend,
}

/// How media is received and sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MediaBackend {
    /// By batched sockets; needs no privilege, and packet filters of the host see all of it.
    #[default]
    Socket,
    /// Past the kernel's network stack (AF_XDP) where that is possible: also past its packet filters and IPsec.
    Auto,
    /// The same, and a warning where it is not possible.
    Xdp,
}

impl Realm {
    /// Its address of a family.
    pub(crate) fn of(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.v4.map(IpAddr::V4),
            Family::V6 => self.v6.map(IpAddr::V6),
        }
    }

    /// The address that peers should use for `local`, one of this realm's addresses.
    pub fn advertised(&self, local: IpAddr) -> IpAddr {
        match local {
            IpAddr::V4(_) => self.advertise_v4.map_or(local, IpAddr::V4),
            IpAddr::V6(_) => self.advertise_v6.map_or(local, IpAddr::V6),
        }
    }
}

/// One bound signalling socket of a realm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// Configured name, or `realm/protocol/family:port` when the operator gave none.
    pub name: ListenerName,
    /// Its realm.
    pub realm: RealmName,
    /// Protocol it accepts.
    pub protocol: Protocol,
    /// Address it binds; never a wildcard.
    pub bind: SocketAddr,
    /// Address that peers use to reach it: realm's advertised address and the port.
    pub advertised: SocketAddr,
    /// Name that peers use instead of that address: the realm's.
    pub host: Option<String>,
    /// TLS identity when a peer names none that we host; present exactly for TLS.
    pub tls: Option<TlsContextName>,
    /// DSCP code point of what is sent through it and through connections from it: the realm's.
    pub dscp: u8,
}

/// Facts about one TLS identity. Keys and chains are held by the shell under the same name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsContext {
    /// Configured name.
    pub name: TlsContextName,
    /// DNS names of its certificate, lower case; `*.` stands for one label.
    pub names: Vec<String>,
    /// Whether a client must prove who it is.
    pub verify_client: VerifyClient,
    /// Whether a wildcard in a peer's certificate may stand for one label of an accepted name.
    /// RFC 5922 §7.2 forbids it for SIP; Microsoft's practice needs it (TDR-TLS-006).
    pub allow_wildcard: bool,
    /// Whom it believes, if anybody.
    pub believes: Option<Belief>,
    /// Whether its key was not there when it was loaded: nobody can be spoken to as it then.
    pub lacks_key: bool,
}

/// What certificates of peers are verified against.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Belief {
    /// The file with the roots, or the word for those of Microsoft.
    pub roots: String,
    /// Where lists of revoked ones come from.
    pub revoked: Option<super::RevokedFiles>,
}

impl TlsContext {
    /// Whether a peer that has proved who it is in the other context would have proved it here in the same way.
    pub fn verifies_as(&self, other: &Self) -> bool {
        self.verify_client == VerifyClient::Require
            && other.verify_client == VerifyClient::Require
            && self.allow_wildcard == other.allow_wildcard
            && self.believes.is_some()
            && self.believes == other.believes
    }
}

/// Whether a connecting peer must present a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum VerifyClient {
    /// Refuse the handshake without a valid certificate.
    Require,
    /// Do not ask.
    Off,
}
