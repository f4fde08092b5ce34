//! What a message arrived on.

use super::{TlsHop, TlsSuite};
use crate::id::{FlowId, ListenerName, TlsContextName};
use media_api::wire_layout;
use serde::{Serialize, Serializer};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// Transport protocol of a flow or hop.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Datagrams.
    Udp,
    /// Plain stream.
    Tcp,
    /// TLS over TCP.
    Tls,
}

impl Protocol {
    /// Whether the transport itself retransmits: decides timers (RFC 3261 §17).
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Name in a Via header.
    pub const fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// Value of the `transport` URI parameter.
    pub const fn uri_name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// Port used when none is written.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.uri_name())
    }
}

/// What a message arrived on, with everything that decides whom to believe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flow {
    /// Names the flow towards the shell.
    pub id: FlowId,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Our listener that accepted it, or on whose behalf it was opened.
    pub listener: ListenerName,
    /// Address it was received on.
    pub local: SocketAddr,
    /// Address it came from.
    pub remote: SocketAddr,
    /// Who the peer proved to be; `None` without TLS or without client certificate.
    pub identity: Option<Arc<PeerIdentity>>,
    /// What its handshake agreed on; `None` without TLS.
    pub tls: Option<TlsSuite>,
}

/// A peer's identity after its certificate chain was verified.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PeerIdentity {
    /// The TLS context of ours in which it was verified.
    pub context: TlsContextName,
    /// DNS names and SIP domains of the certificate, lower case, sorted.
    pub names: Vec<String>,
    /// Server name that the peer asked for (when it connected to us), lower case.
    pub server_name: Option<String>,
}

/// Key of the connection pool: a connection may be reused only for the same TLS context, the same
/// names it was verified for and the same address (SIP-132).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FlowKey {
    /// Listener on whose behalf the connection is used.
    pub listener: ListenerName,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Remote address.
    pub remote: SocketAddr,
    /// TLS context, the name asked for, the names the peer's certificate was checked against, and
    /// whether connections of the peer will do.
    pub tls: Option<Arc<TlsHop>>,
}

/// Why we do not accept a peer's certificate.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CertificateRefusal {
    /// In one word.
    pub fault: CertificateFault,
    /// In words.
    pub text: String,
}

impl Serialize for CertificateRefusal {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text)
    }
}

/// What is wrong with a certificate, as far as something else is to be done about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CertificateFault {
    /// Its time, or that of an issuer, is over.
    Expired,
    /// Its time has not begun.
    NotYetValid,
    /// No way leads from it to an authority that is trusted here.
    UnknownAuthority,
    /// Its extended key usage does not allow what it is used for.
    Purpose,
    /// Its authority has taken it back.
    Revoked,
    /// Anything else: the text says it.
    Other,
}

/// Why a flow failed, or a message could not be sent.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "fault", content = "detail")]
pub enum FlowFault {
    /// The peer refused or the network has no way.
    Connect(String),
    /// No connection within the time allowed.
    ConnectTimeout,
    /// The TLS handshake failed; the text says why.
    Handshake(String),
    /// We do not accept the peer's certificate; the text says why.
    TlsCertificate(CertificateRefusal),
    /// The peer ended the TLS handshake with an alert: it does not accept us.
    TlsAlert(String),
    /// No TLS handshake within the time allowed.
    HandshakeTimeout,
    /// The certificate is valid but does not carry the wanted name.
    TlsName {
        /// Name that was wanted.
        wanted: String,
        /// Names that were presented.
        presented: Vec<String>,
    },
    /// The peer closed the connection.
    Closed,
    /// Reading or writing failed.
    Broken(String),
    /// The peer does not read; its queue is full (SIP-124).
    QueueFull,
    /// What came is not SIP (SIP-014).
    NotSip,
    /// An incomplete message became too old, or the connection stayed idle (SIP-123).
    Idle,
    /// No local socket can serve this hop.
    NoListener,
}

impl FlowFault {
    /// Whether there was no connection, so that nothing was sent, and neither side has judged the other's
    /// certificate.
    pub(crate) fn is_no_connection(&self) -> bool {
        match self {
            Self::Connect(_) | Self::ConnectTimeout | Self::HandshakeTimeout => true,
            Self::Handshake(_)
            | Self::TlsCertificate(_)
            | Self::TlsAlert(_)
            | Self::TlsName { .. }
            | Self::Closed
            | Self::Broken(_)
            | Self::QueueFull
            | Self::NotSip
            | Self::Idle
            | Self::NoListener => false,
        }
    }
}

impl fmt::Display for FlowFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(why) => write!(f, "connection failed: {why}"),
            Self::ConnectTimeout => f.write_str("no connection within the time allowed"),
            Self::Handshake(why) => write!(f, "TLS handshake failed: {why}"),
            Self::TlsCertificate(why) => f.write_str(&why.text),
            Self::TlsAlert(why) => f.write_str(why),
            Self::HandshakeTimeout => f.write_str("no TLS handshake within the time allowed"),
            Self::TlsName { wanted, presented } => {
                write!(
                    f,
                    "certificate is for {}, not for {wanted}",
                    presented.join(", ")
                )
            }
            Self::Closed => f.write_str("peer closed the connection"),
            Self::Broken(why) => write!(f, "connection broke: {why}"),
            Self::QueueFull => f.write_str("peer does not read what we send"),
            Self::NotSip => f.write_str("peer does not speak SIP"),
            Self::Idle => f.write_str("connection was idle for too long"),
            Self::NoListener => f.write_str("no listener of ours can reach this address"),
        }
    }
}

wire_layout! {
    enum Protocol {
        0: Udp,
        1: Tcp,
        2: Tls,
    }

    struct CertificateRefusal { fault, text }

    enum CertificateFault {
        0: Expired,
        1: NotYetValid,
        2: UnknownAuthority,
        3: Purpose,
        4: Revoked,
        5: Other,
    }

    enum FlowFault {
        0: Connect(why),
        1: ConnectTimeout,
        2: Handshake(why),
        3: TlsCertificate(why),
        4: TlsAlert(why),
        5: HandshakeTimeout,
        6: TlsName { wanted, presented },
        7: Closed,
        8: Broken(why),
        9: QueueFull,
        10: NotSip,
        11: Idle,
        12: NoListener,
    }
}
