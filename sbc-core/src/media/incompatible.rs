//! Why legal SDP cannot be served, and how that is said to the peer (RFC 3261 §20.43, MED-204).

use crate::trouble::Trouble;
use std::fmt;

/// An offer or answer that cannot be served. Nothing has changed on either leg.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Incompatible {
    /// SIP status that refuses it.
    pub status: u16,
    /// Value for a `Warning` header.
    pub warning: Warning,
    /// The reason.
    pub because: Unusable,
}

/// Code and text of a `Warning` header; the agent is the caller's host name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Warning {
    /// 301–305 or 399.
    pub code: u16,
    /// Text without quotes.
    pub text: &'static str,
}

/// Why an audio line cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Unusable {
    /// Not a session description: it breaks the rules of SDP.
    Malformed,
    /// Not `m=audio`.
    NotAudio,
    /// Beyond the number of lines that we read (SIP-507).
    OverLimit,
    /// Port 0: the line is refused or switched off.
    PortZero,
    /// Not RTP over UDP, or a keying we do not have on this trunk.
    Transport,
    /// Plain RTP where the trunk requires SRTP (TDR-MED-001).
    SrtpRequired,
    /// SRTP where the trunk has it switched off.
    SrtpOff,
    /// No `a=crypto` line has an allowed suite, a sound key and no key identifier (MED-100).
    NoUsableKey,
    /// DTLS-SRTP where the trunk has none (MED-130).
    DtlsOff,
    /// SRTP with keys in the description where the trunk has DTLS-SRTP.
    DtlsRequired,
    /// DTLS-SRTP without a fingerprint of SHA-256 or stronger (MED-133).
    NoFingerprint,
    /// `a=setup` that is none, `holdconn`, or `actpass` in an answer (RFC 8842 §5).
    BadSetup,
    /// No connection address, or a host name.
    NoAddress,
    /// An address of the other IP family than the leg's realm has.
    Family,
    /// An address of our own, and no media port (SEC-102).
    OwnPlace,
    /// A port below 1024 (SEC-102).
    LowPort,
    /// Several ports on one line: nothing here speaks in layers (SEC-100).
    PortCount,
    /// None of the payload types is a codec that this trunk allows.
    NoCodec,
    /// The legs have no codec in common, and none that could be transcoded, or a trunk does not allow it.
    NoCommonCodec,
    /// A fax over T.38, and one of the two trunks carries faxes in the audio only.
    NoFax,
    /// The answer accepts nothing that was offered.
    AnswerMismatch,
    /// An answer without an offer, or media that was never reserved: our own state does not allow it.
    OutOfOrder,
}

impl Unusable {
    /// A stable code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotAudio => "not_audio",
            Self::OverLimit => "too_many_lines",
            Self::PortZero => "port_zero",
            Self::Transport => "transport",
            Self::SrtpRequired => "srtp_missing",
            Self::SrtpOff => "srtp_off",
            Self::NoUsableKey => "no_usable_key",
            Self::DtlsOff => "dtls_off",
            Self::DtlsRequired => "dtls_missing",
            Self::NoFingerprint => "no_fingerprint",
            Self::BadSetup => "dtls_setup",
            Self::NoAddress => "no_address",
            Self::Family => "address_family",
            Self::OwnPlace => "own_address",
            Self::LowPort => "low_port",
            Self::PortCount => "port_count",
            Self::NoCodec => "no_codec",
            Self::NoCommonCodec => "no_common_codec",
            Self::NoFax => "no_fax",
            Self::AnswerMismatch => "answer_mismatch",
            Self::OutOfOrder => "out_of_order",
        }
    }

    /// The reason in words, without a full stop.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Malformed => "the session description breaks the rules of SDP",
            Self::NotAudio => "not an audio line",
            Self::OverLimit => "more media lines than are read",
            Self::PortZero => "port 0",
            Self::Transport => "transport protocol is not served on this trunk",
            Self::SrtpRequired => "the trunk requires SRTP and the line is plain RTP",
            Self::SrtpOff => "the line is SRTP and the trunk has SRTP switched off",
            Self::NoUsableKey => "no crypto line with an allowed suite and a sound key",
            Self::DtlsOff => "the line is DTLS-SRTP and the trunk has not srtp = \"dtls\"",
            Self::DtlsRequired => "the trunk has srtp = \"dtls\" and the line has no DTLS-SRTP",
            Self::NoFingerprint => "no a=fingerprint line of sha-256, sha-384 or sha-512",
            Self::BadSetup => "a=setup is none of active, passive and, in an offer, actpass",
            Self::NoAddress => "no usable connection address",
            Self::Family => "connection address is of the other IP family",
            Self::OwnPlace => "connection address is our own, and the port none for media",
            Self::LowPort => "port below 1024, and the trunk has low_media_ports = false",
            Self::PortCount => "several ports on one line",
            Self::NoCodec => "no codec that this trunk allows",
            Self::NoCommonCodec => {
                "the two legs have no codec in common, nor two that may be transcoded"
            }
            Self::NoFax => "T.38, and one of the two trunks has fax = \"g711\"",
            Self::AnswerMismatch => "the answer accepts nothing that was offered",
            Self::OutOfOrder => "no offer is outstanding on this leg",
        }
    }

    const fn warning(self) -> Warning {
        match self {
            Self::NoAddress | Self::Family | Self::OwnPlace | Self::LowPort => Warning {
                code: 301,
                text: "Incompatible network address formats",
            },
            Self::Transport
            | Self::SrtpRequired
            | Self::SrtpOff
            | Self::NoUsableKey
            | Self::DtlsOff
            | Self::DtlsRequired
            | Self::NoFingerprint
            | Self::BadSetup => Warning {
                code: 302,
                text: "Incompatible transport protocol",
            },
            Self::Malformed
            | Self::NotAudio
            | Self::PortZero
            | Self::OverLimit
            | Self::PortCount
            | Self::NoFax => Warning {
                code: 304,
                text: "Media type not available",
            },
            Self::NoCodec | Self::NoCommonCodec | Self::AnswerMismatch => Warning {
                code: 305,
                text: "Incompatible media format",
            },
            Self::OutOfOrder => Warning {
                code: 399,
                text: "No offer is outstanding",
            },
        }
    }
}

impl From<Unusable> for Incompatible {
    fn from(because: Unusable) -> Self {
        Self {
            status: 488,
            warning: because.warning(),
            because,
        }
    }
}

impl From<Unusable> for Trouble {
    fn from(why: Unusable) -> Self {
        match why {
            Unusable::Malformed => Self::BadDescription,
            Unusable::NotAudio => Self::NoAudioLine,
            Unusable::OverLimit => Self::TooManyLines,
            Unusable::PortZero => Self::MediaOff,
            Unusable::Transport => Self::MediaTransport,
            Unusable::SrtpRequired => Self::SrtpMissing,
            Unusable::SrtpOff => Self::SrtpOff,
            Unusable::NoUsableKey => Self::SrtpKey,
            Unusable::DtlsOff => Self::DtlsOff,
            Unusable::DtlsRequired => Self::DtlsMissing,
            Unusable::NoFingerprint => Self::DtlsNoFingerprint,
            Unusable::BadSetup => Self::DtlsSetup,
            Unusable::NoAddress => Self::MediaNoAddress,
            Unusable::Family => Self::MediaFamily,
            Unusable::OwnPlace => Self::MediaOwnPlace,
            Unusable::LowPort => Self::MediaLowPort,
            Unusable::PortCount => Self::MediaPortCount,
            Unusable::NoCodec => Self::NoCodec,
            Unusable::NoCommonCodec => Self::NoCommonCodec,
            Unusable::NoFax => Self::NoFax,
            Unusable::AnswerMismatch => Self::AnswerMismatch,
            Unusable::OutOfOrder => Self::MediaOutOfOrder,
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl fmt::Display for Incompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.because)
    }
}

impl std::error::Error for Incompatible {}
