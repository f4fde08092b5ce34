//! What a configuration says about the outside, and how the outside answers.
//!
//! Loading is pure. Whether a file exists, what a certificate says and which addresses this host
//! has come from an implementation of [`Facts`]: the daemon asks the machine, tests and the
//! simulator use [`Assumed`].

use super::written::Secret;
use crate::time::UnixTime;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Facts of the outside that a configuration depends on.
pub trait Facts {
    /// The certificate file at this path.
    fn certificate(&self, path: &str) -> Result<Certificate, FileFault>;

    /// A private key, and whether it belongs to the certificate at this path. If that cannot be
    /// read, which [`Facts::certificate`] tells, the key counts as the right one.
    fn key(&self, key: &Secret, certificate: &str) -> Result<Key, FileFault>;

    /// The password at this place, as it was read.
    fn password(&self, secret: &Secret) -> Result<Password, FileFault>;

    /// Number of root certificates in the file at this path.
    fn roots(&self, path: &str) -> Result<usize, FileFault>;

    /// When the lists of revoked certificates in the file at this path hold. Each is signed by a
    /// certificate of the other file.
    fn revocations(&self, path: &str, issuers: &str) -> Result<Validity, FileFault>;

    /// The recording in this file of a folder that all of them are in: 8,000 linear samples a second, one
    /// channel, at least one and no more than ten minutes. A link that leads out of the folder is not
    /// followed.
    fn recording(&self, folder: &str, file: &str) -> Result<Arc<[i16]>, FileFault>;

    /// How far away a time is: it is valid until then.
    fn until(&self, end: UnixTime) -> Validity;

    /// Whether a directory exists, or can be made.
    fn directory(&self, path: &str) -> Result<(), FileFault>;

    /// Whether this host has the address; `None` if that cannot be told.
    fn has_address(&self, address: IpAddr) -> Option<bool>;

    /// Every address of this host that can be told.
    fn addresses(&self) -> Vec<IpAddr>;

    /// Ports that this host gives to outgoing connections, without those that are reserved; none if they cannot be
    /// told.
    fn ephemeral_ports(&self) -> Vec<RangeInclusive<u16>>;

    /// Whether the daemon may listen on this port; `None` if that cannot be told.
    fn may_bind(&self, _port: u16) -> Option<bool> {
        None
    }
}

/// Why a file is of no use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FileFault {
    /// It does not exist, or may not be read; the text says which.
    Unreadable(String),
    /// It was read, and holds nothing usable; the text says what is wrong.
    Unusable(String),
}

impl FileFault {
    /// What is told of a file that is not there.
    pub const ABSENT: &'static str = "it does not exist";
    /// What is told of a file that is there and not for this user.
    pub const DENIED: &'static str = "this user may not read it";
    /// What is told of a variable of the environment that is not there.
    pub const UNSET: &'static str = "it is not set";
}

/// What a certificate file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// DNS names of the first certificate, lower case; a leading `*.` may be among them.
    pub names: Vec<String>,
    /// Common name of its subject.
    pub common_name: Option<String>,
    /// Whether it is valid now.
    pub validity: Validity,
    /// Bits of its RSA key; `None` for a key of another kind.
    pub rsa_bits: Option<u32>,
    /// Whether it is its own issuer.
    pub is_self_signed: bool,
    /// Whether its extended key usage allows the client role.
    pub has_client_auth: bool,
    /// Common names of authorities that issued it and the certificates behind it.
    pub authorities: Vec<String>,
    /// Whether the issuer of the first certificate is in the file too, or it is its own issuer.
    pub has_chain: bool,
}

/// Whether a certificate is valid now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Validity {
    /// Valid for so many more days.
    Valid {
        /// Whole days left.
        days_left: u32,
    },
    /// Its time is over.
    Expired,
    /// Its time has not begun.
    NotYet,
}

/// Who else can get at a secret (SEC-130).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Exposure {
    /// Nobody but whom its modes name.
    None,
    /// Every user of the machine can read it, or write another one.
    File(ExposedAt),
    /// It belongs to a user who is neither root nor the service, and may read it or write another one at any time,
    /// whatever its mode says.
    Owner(ExposedAt),
    /// Every user of the machine can put another file in its place: this folder above it is writable for all.
    Folder(ExposedAt),
}

/// A file or folder, and whose it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExposedAt {
    /// Its path.
    pub path: String,
    /// The name of its owner, or the number of one that has no name.
    pub owner: String,
}

impl Exposure {
    /// What that means for a secret of this name, and the command that mends it; nothing where all is well.
    pub fn finding(&self, what: &str) -> Option<(String, String)> {
        let (Self::File(place) | Self::Owner(place) | Self::Folder(place)) = self else {
            return None;
        };
        let (path, owner) = (place.path.escape_debug(), place.owner.escape_debug());
        Some(match self {
            Self::None => return None,
            Self::File(_) => (
                format!(
                    "every user of this machine can read or write the {what} {path}, which belongs to {owner}"
                ),
                format!("chmod 640 {path}, and let its group be that of the daemon"),
            ),
            Self::Owner(_) => (
                format!(
                    "the {what} {path} belongs to {owner}, who is neither root nor the user of the service"
                ),
                format!("chown root {path}, and let its group be that of the daemon"),
            ),
            Self::Folder(_) => (
                format!(
                    "every user of this machine can put another {what} in the place of this one: all may write the \
                     folder {path}, which belongs to {owner}"
                ),
                format!("chmod o-w {path}"),
            ),
        })
    }
}

/// A password as it was read.
#[derive(Clone)]
pub struct Password {
    /// Everything at its place.
    pub octets: Zeroizing<Vec<u8>>,
    /// Who else can get at it.
    pub exposure: Exposure,
}

/// What is known about a private key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    /// Whether it belongs to the certificate.
    pub matches: bool,
    /// Who else can get at it.
    pub exposure: Exposure,
}

/// A world in which every file exists, every key fits, and every certificate is valid for a year
/// and carries the same names. For tests, the simulator and offline checks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Assumed {
    /// Names of every certificate.
    pub names: Vec<String>,
}

impl Assumed {
    /// A world whose certificates carry these names.
    pub fn with_names<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        Self {
            names: names.into_iter().map(str::to_lowercase).collect(),
        }
    }
}

impl Facts for Assumed {
    fn certificate(&self, _path: &str) -> Result<Certificate, FileFault> {
        Ok(Certificate {
            names: self.names.clone(),
            common_name: None,
            validity: Validity::Valid { days_left: 365 },
            rsa_bits: Some(2048),
            authorities: vec!["DigiCert Global Root CA".to_owned()],
            is_self_signed: false,
            has_client_auth: true,
            has_chain: true,
        })
    }

    fn key(&self, _key: &Secret, _certificate: &str) -> Result<Key, FileFault> {
        Ok(Key {
            matches: true,
            exposure: Exposure::None,
        })
    }

    fn password(&self, _secret: &Secret) -> Result<Password, FileFault> {
        Ok(Password {
            octets: Zeroizing::new(b"assumed".to_vec()),
            exposure: Exposure::None,
        })
    }

    fn roots(&self, _path: &str) -> Result<usize, FileFault> {
        Ok(1)
    }

    fn revocations(&self, _path: &str, _issuers: &str) -> Result<Validity, FileFault> {
        Ok(Validity::Valid { days_left: 365 })
    }

    fn recording(&self, _folder: &str, _file: &str) -> Result<Arc<[i16]>, FileFault> {
        Ok(vec![0; super::sound::SAMPLES_PER_SECOND].into())
    }

    fn until(&self, _end: UnixTime) -> Validity {
        Validity::Valid { days_left: 365 }
    }

    fn directory(&self, _path: &str) -> Result<(), FileFault> {
        Ok(())
    }

    fn has_address(&self, _address: IpAddr) -> Option<bool> {
        None
    }

    fn addresses(&self) -> Vec<IpAddr> {
        Vec::new()
    }

    fn ephemeral_ports(&self) -> Vec<RangeInclusive<u16>> {
        Vec::new()
    }
}
