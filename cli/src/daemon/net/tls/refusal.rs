//! Why a TLS peer was refused, in terms that a log, a metric and a person can use (SEC-081).

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};
use sbc_core::transport::{CertificateFault, CertificateRefusal};
use std::fmt;

/// Names listed in a mismatch; a certificate may carry hundreds.
const MAX_NAMES: usize = 5;

/// Why a handshake failed. Closed list: [`Refusal::label`] is a metric label.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The peer presented no certificate although one is required.
    NoCertificate,
    /// No path to a root that this context trusts.
    UnknownCa,
    /// The peer's certificate is signed by itself and not trusted.
    SelfSigned,
    /// The certificate's time, or that of its issuer, is over.
    Expired,
    /// The certificate's time has not begun.
    NotYetValid,
    /// The certificate is valid, but for somebody else.
    Name {
        /// Names of which it should carry one.
        wanted: Vec<String>,
        /// Names it carries, the first few.
        presented: Vec<String>,
    },
    /// Its extended key usage allows neither TLS role.
    Usage,
    /// It was revoked.
    Revoked,
    /// Its key or signature is too weak or of a kind that is not accepted.
    WeakKey,
    /// The certificate cannot be read, or its signature does not fit.
    BadCertificate(String),
    /// No TLS version in common.
    Version,
    /// No cipher suite, group or signature scheme in common.
    Cipher,
    /// The peer sent an alert: it did not like us.
    Alert(String),
    /// What came is not TLS.
    NotTls,
    /// The peer asked for a context that serves none of the trunks it may use.
    NoTrunk,
    /// The handshake took too long.
    Timeout,
    /// The peer closed the connection during the handshake.
    Reset,
    /// Anything else, in the library's words.
    Other(String),
}

impl Refusal {
    /// Metric label value.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no_client_cert",
            Self::UnknownCa => "cert_unknown_ca",
            Self::SelfSigned => "cert_self_signed",
            Self::Expired => "cert_expired",
            Self::NotYetValid => "cert_not_yet_valid",
            Self::Name { .. } => "name_mismatch",
            Self::Usage => "cert_usage",
            Self::Revoked => "cert_revoked",
            Self::WeakKey => "cert_weak_key",
            Self::BadCertificate(_) => "cert_bad",
            Self::Version => "proto",
            Self::Cipher => "cipher",
            Self::Alert(_) => "alert",
            Self::NotTls => "not_tls",
            Self::NoTrunk => "no_trunk",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Other(_) => "other",
        }
    }

    /// What an operator can do about it.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::NoCertificate => {
                "the peer must present a client certificate; ask it to enable mutual TLS"
            }
            Self::UnknownCa => {
                "add the peer's root to client_ca of this TLS context, or have the peer send its \
                 intermediate certificates"
            }
            Self::SelfSigned => "the peer needs a certificate of a CA that client_ca contains",
            Self::Expired => "the peer must renew its certificate; also check this host's clock",
            Self::NotYetValid => "check the clocks of the peer and of this host",
            Self::Name { .. } => {
                "add the peer's name to accept_names of the trunk if it is the right peer; a \
                 wildcard certificate also needs allow_wildcard_san"
            }
            Self::Usage => "the certificate must allow serverAuth or clientAuth",
            Self::Revoked => "the peer must get a new certificate",
            Self::WeakKey => "the peer needs an RSA key of 2048 to 4096 bits or an EC key",
            Self::BadCertificate(_) => "the peer's certificate is broken",
            Self::Version => "the peer must speak TLS 1.2 or 1.3",
            Self::Cipher => "the peer must offer ECDHE with AES-GCM or ChaCha20",
            Self::Alert(_) => {
                "the peer refused us: check that it trusts our CA and that our certificate carries \
                 the name it expects"
            }
            Self::NotTls => "the peer speaks plain TCP to a TLS port, or another protocol",
            Self::NoTrunk => {
                "the server name belongs to a context that none of this peer's trunks uses"
            }
            Self::Timeout | Self::Reset => {
                "look for a firewall, a TLS inspection device, or a peer that refuses our \
                 certificate without saying so"
            }
            Self::Other(_) => "",
        }
    }

    /// As the call that could not be made tells it.
    pub fn of_peer(&self) -> CertificateRefusal {
        let fault = match self {
            Self::Expired => CertificateFault::Expired,
            Self::NotYetValid => CertificateFault::NotYetValid,
            Self::UnknownCa | Self::SelfSigned => CertificateFault::UnknownAuthority,
            Self::Usage => CertificateFault::Purpose,
            Self::Revoked => CertificateFault::Revoked,
            _ => CertificateFault::Other,
        };
        let text = self.to_string();
        CertificateRefusal { fault, text }
    }

    /// What the library reported, sorted into our list.
    pub fn of(error: &Error) -> Self {
        match error {
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::InvalidCertificate(fault) => Self::of_certificate(fault),
            Error::AlertReceived(alert) => Self::of_alert(*alert),
            Error::PeerIncompatible(fault) => Self::of_incompatible(fault),
            Error::InvalidMessage(_) => Self::NotTls,
            other => Self::Other(other.to_string()),
        }
    }

    /// What reading from or writing to the socket during the handshake reported.
    pub fn of_io(error: &std::io::Error) -> Self {
        let inner = error.get_ref().and_then(|e| e.downcast_ref::<Error>());
        match (inner, error.kind()) {
            (Some(error), _) => Self::of(error),
            (
                None,
                std::io::ErrorKind::UnexpectedEof
                | std::io::ErrorKind::ConnectionReset
                | std::io::ErrorKind::BrokenPipe
                | std::io::ErrorKind::ConnectionAborted,
            ) => Self::Reset,
            (None, _) => Self::Other(error.to_string()),
        }
    }

    fn of_certificate(fault: &CertificateError) -> Self {
        match fault {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::UnknownIssuer => Self::UnknownCa,
            CertificateError::Revoked => Self::Revoked,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::Usage
            }
            other => Self::BadCertificate(other.to_string()),
        }
    }

    fn of_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::ProtocolVersion => Self::Version,
            other => Self::Alert(format!("{other:?}")),
        }
    }

    fn of_incompatible(fault: &PeerIncompatible) -> Self {
        match fault {
            PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon
            | PeerIncompatible::NoCipherSuitesInCommon
            | PeerIncompatible::NoKxGroupsInCommon
            | PeerIncompatible::NoSignatureSchemesInCommon
            | PeerIncompatible::NoEcPointFormatsInCommon => Self::Cipher,
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::SupportedVersionsExtensionRequired
            // Required from TLS 1.2 on: who does not send it speaks an older version.
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => Self::Version,
            other => Self::Other(format!("{other:?}")),
        }
    }

    /// A mismatch of names.
    pub(super) fn name(wanted: &[String], presented: &[String]) -> Self {
        let first = |names: &[String]| names.iter().take(MAX_NAMES).cloned().collect();
        Self::Name {
            wanted: first(wanted),
            presented: first(presented),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("the peer presented no certificate"),
            Self::UnknownCa => f.write_str("the certificate leads to no root that is trusted here"),
            Self::SelfSigned => f.write_str("the certificate is self-signed"),
            Self::Expired => f.write_str("the certificate has expired"),
            Self::NotYetValid => f.write_str("the certificate is not valid yet"),
            Self::Name { wanted, presented } if presented.is_empty() => {
                write!(
                    f,
                    "the certificate carries no name, wanted {}",
                    wanted.join(" or ")
                )
            }
            Self::Name { wanted, presented } => write!(
                f,
                "the certificate is for {}, wanted {}",
                presented.join(", "),
                wanted.join(" or ")
            ),
            Self::Usage => f.write_str("the certificate's key usage allows neither TLS role"),
            Self::Revoked => f.write_str("the certificate was revoked"),
            Self::WeakKey => f.write_str("the certificate's key or signature is not accepted"),
            Self::BadCertificate(why) => write!(f, "the certificate cannot be used: {why}"),
            Self::Version => f.write_str("no TLS version in common"),
            Self::Cipher => f.write_str("no cipher suite in common"),
            Self::Alert(alert) => write!(f, "the peer refused with alert {alert}"),
            Self::NotTls => f.write_str("the peer does not speak TLS"),
            Self::NoTrunk => f.write_str("the server name belongs to no trunk of this peer"),
            Self::Timeout => f.write_str("the handshake took too long"),
            Self::Reset => f.write_str("the peer closed the connection during the handshake"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Refusal {}
