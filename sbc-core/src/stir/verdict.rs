//! What came of a verification, and what a caller may be told of it (RFC 8224 §6.2.2).

use super::attest::Level;
use super::passport::PassportFault;
use super::verstat::{Validation, Verstat};
use crate::sip::Status;
use std::fmt;

/// Why a credential is of no use, as whoever fetched it has found out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialFault {
    /// The address is none from which anything is fetched (SEC-120).
    Address,
    /// It cannot be fetched.
    Unreachable,
    /// It did not come in time.
    Timeout,
    /// Too much is fetched already.
    Busy,
    /// It is no chain of certificates with a key for ES256.
    Unusable,
    /// No root of the list has issued it.
    Untrusted,
    /// It is not valid at this time.
    Expired,
    /// It was revoked.
    Revoked,
    /// It is for no telephone numbers: the extension TNAuthList is missing (RFC 8226 §9).
    NoNumbers,
    /// The signature is not that of its key.
    Signature,
}

/// Why a caller's number is not vouched for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Nobody has signed.
    Missing,
    /// No Identity header can be read.
    Unreadable,
    /// There are more than anybody needs, or a longer one.
    TooMuch,
    /// What is signed cannot be relied on.
    Passport(PassportFault),
    /// It was signed too long ago, or in the future.
    Stale,
    /// The caller is nobody's number: what is signed cannot be about it (SIP-1010).
    Anonymous,
    /// It is signed for another caller.
    OtherCaller,
    /// It is signed for another called party.
    OtherCalled,
    /// No credential is named.
    NoCredential,
    /// The credential is of no use.
    Credential(CredentialFault),
}

impl Fault {
    /// The response with which such a call is refused, if it is.
    pub const fn status(self) -> Status {
        match self {
            Self::Missing => Status::USE_IDENTITY_HEADER,
            Self::Stale => Status::FORBIDDEN,
            Self::NoCredential
            | Self::Credential(
                CredentialFault::Address
                | CredentialFault::Unreachable
                | CredentialFault::Timeout
                | CredentialFault::Busy,
            ) => Status::BAD_IDENTITY_INFO,
            Self::Credential(
                CredentialFault::Unusable
                | CredentialFault::Untrusted
                | CredentialFault::Expired
                | CredentialFault::Revoked
                | CredentialFault::NoNumbers,
            ) => Status::UNSUPPORTED_CREDENTIAL,
            Self::Unreadable
            | Self::TooMuch
            | Self::Passport(_)
            | Self::Anonymous
            | Self::OtherCaller
            | Self::OtherCalled
            | Self::Credential(CredentialFault::Signature) => Status::INVALID_IDENTITY_HEADER,
        }
    }

    /// The words of RFC 8224 for the status.
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Stale => "Stale Date",
            other => other.status().default_phrase(),
        }
    }

    /// What is told beside the number. What could not be looked into is not what was found to be false.
    pub const fn validation(self) -> Validation {
        match self {
            Self::Missing
            | Self::Anonymous
            | Self::NoCredential
            | Self::Credential(
                CredentialFault::Unreachable | CredentialFault::Timeout | CredentialFault::Busy,
            ) => Validation::None,
            Self::Unreadable
            | Self::TooMuch
            | Self::Passport(_)
            | Self::Stale
            | Self::OtherCaller
            | Self::OtherCalled
            | Self::Credential(
                CredentialFault::Address
                | CredentialFault::Unusable
                | CredentialFault::Untrusted
                | CredentialFault::Expired
                | CredentialFault::Revoked
                | CredentialFault::NoNumbers
                | CredentialFault::Signature,
            ) => Validation::Failed,
        }
    }

    /// Label of metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unreadable | Self::TooMuch => "unreadable",
            Self::Passport(_) => "passport",
            Self::Stale => "stale",
            Self::Anonymous => "anonymous",
            Self::OtherCaller => "other_caller",
            Self::OtherCalled => "other_called",
            Self::NoCredential | Self::Credential(CredentialFault::Address) => "bad_address",
            Self::Credential(CredentialFault::Unreachable) => "unreachable",
            Self::Credential(CredentialFault::Timeout) => "timeout",
            Self::Credential(CredentialFault::Busy) => "busy",
            Self::Credential(CredentialFault::Unusable) => "unusable",
            Self::Credential(CredentialFault::Untrusted) => "untrusted",
            Self::Credential(CredentialFault::Expired) => "expired",
            Self::Credential(CredentialFault::Revoked) => "revoked",
            Self::Credential(CredentialFault::NoNumbers) => "no_numbers",
            Self::Credential(CredentialFault::Signature) => "signature",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "nobody has signed for the caller",
            Self::Unreadable => "the Identity header cannot be read",
            Self::TooMuch => "there is too much in Identity headers",
            Self::Passport(fault) => {
                return write!(f, "what is signed cannot be relied on: {fault}");
            }
            Self::Stale => "it was signed at another time",
            Self::Anonymous => "the caller shows no number that could be vouched for",
            Self::OtherCaller => "it is signed for another caller",
            Self::OtherCalled => "it is signed for another called number",
            Self::NoCredential => "no credential is named",
            Self::Credential(CredentialFault::Address) => {
                "the credential is at an address from which nothing is fetched"
            }
            Self::Credential(CredentialFault::Unreachable) => "the credential cannot be fetched",
            Self::Credential(CredentialFault::Timeout) => "the credential did not come in time",
            Self::Credential(CredentialFault::Busy) => "too many credentials are being fetched",
            Self::Credential(CredentialFault::Unusable) => "the credential cannot be used",
            Self::Credential(CredentialFault::Untrusted) => {
                "no root of the list has issued the credential"
            }
            Self::Credential(CredentialFault::Expired) => "the credential is not valid now",
            Self::Credential(CredentialFault::Revoked) => "the credential was revoked",
            Self::Credential(CredentialFault::NoNumbers) => {
                "the credential is for no telephone numbers"
            }
            Self::Credential(CredentialFault::Signature) => "the signature is wrong",
        })
    }
}

/// What is known of a caller's number once everything was looked into.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Why nobody vouches for it; `None` if somebody does.
    pub fault: Option<Fault>,
    /// What the signature says of the caller, believed or not.
    pub attest: Option<Level>,
    /// The origin that it names.
    pub origid: Option<String>,
}

impl Verdict {
    /// Nothing is signed that could be looked into.
    pub const fn failed(fault: Fault) -> Self {
        Self {
            fault: Some(fault),
            attest: None,
            origid: None,
        }
    }

    /// What is told beside the number.
    pub fn verstat(&self) -> Verstat {
        match self.fault {
            None => Verstat {
                validation: Validation::Passed,
                level: self.attest,
            },
            Some(fault) => Verstat {
                validation: fault.validation(),
                level: None,
            },
        }
    }
}
