//! DTLS-SRTP (RFC 5763) as signalling and the relay share it: who begins, and who the peer must be.

use std::fmt;

/// A hash function that a fingerprint may be made with (RFC 8122 §5), weakest first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum HashFunction {
    /// SHA-1: only for peers that know nothing else.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashFunction {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Name in `a=fingerprint`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    /// Length of its digests in bytes.
    pub const fn digest_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// Digest of a certificate.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    function: HashFunction,
    digest: Vec<u8>,
}

impl Fingerprint {
    /// A digest of this function; `None` if it has another length.
    pub fn new(function: HashFunction, digest: Vec<u8>) -> Option<Self> {
        (digest.len() == function.digest_bytes()).then_some(Self { function, digest })
    }

    /// Reads the two fields of `a=fingerprint`; `None` for a function that is not known, and for a digest
    /// that is not pairs of hexadecimal digits between colons.
    pub fn parse(function: &[u8], digest: &[u8]) -> Option<Self> {
        let function = HashFunction::ALL
            .into_iter()
            .find(|known| known.name().as_bytes().eq_ignore_ascii_case(function))?;
        let octet = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair)
                .ok()
                .filter(|pair| pair.len() == 2)?;
            // `from_str_radix` would take a sign.
            pair.bytes()
                .all(|digit| digit.is_ascii_hexdigit())
                .then_some(())?;
            u8::from_str_radix(pair, 16).ok()
        };
        let digest = digest.split(|octet| *octet == b':').map(octet);
        Self::new(function, digest.collect::<Option<_>>()?)
    }

    /// The function that it was made with.
    pub const fn function(&self) -> HashFunction {
        self.function
    }

    /// The digest.
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }
}

/// As `a=fingerprint` has it.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.function.name())?;
        for (at, octet) in self.digest.iter().enumerate() {
            let colon = if at == 0 { "" } else { ":" };
            write!(f, "{colon}{octet:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who begins the handshake (RFC 5763 §5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DtlsRole {
    /// We do: `a=setup:active` in our description.
    Active,
    /// The peer does.
    Passive,
}

/// What an exchange with a peer that speaks DTLS-SRTP has agreed. Other terms than before are another
/// association (RFC 8842 §4).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct DtlsTerms {
    /// Who begins.
    pub role: DtlsRole,
    /// What the peer says of its certificate; not empty. One of those made with the strongest function must fit.
    pub fingerprints: Vec<Fingerprint>,
    /// `a=tls-id` of the peer; empty without one.
    pub tls_id: String,
}

/// Why a handshake has made no keys.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HandshakeFault {
    /// The certificate is not the one of the description.
    Fingerprint,
    /// The peer did not answer in time, or did not begin.
    Timeout,
    /// The two have no protocol in common, or the peer broke its rules.
    Handshake,
    /// The peer has ended the association.
    Closed,
}

impl HandshakeFault {
    /// Name in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fingerprint => "fingerprint",
            Self::Timeout => "timeout",
            Self::Handshake => "handshake",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for HandshakeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fingerprint => {
                "the certificate is not the one whose fingerprint the description has"
            }
            Self::Timeout => "the handshake was not answered in time",
            Self::Handshake => "nothing in common, or against the rules of the protocol",
            Self::Closed => "the peer has ended it",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_written() {
        let digest: Vec<u8> = (0..32).collect();
        let own = Fingerprint::new(HashFunction::Sha256, digest).unwrap();
        let text = own.to_string();
        assert!(text.starts_with("sha-256 00:01:02:") && text.ends_with(":1E:1F"));
        let (function, digest) = text.split_once(' ').unwrap();
        assert_eq!(
            Fingerprint::parse(function.as_bytes(), digest.as_bytes()),
            Some(own.clone())
        );
        let lower = digest.to_ascii_lowercase();
        assert_eq!(Fingerprint::parse(b"SHA-256", lower.as_bytes()), Some(own));
        for (function, digest) in [
            ("md5", digest),
            ("sha-1", digest),
            ("sha-256", "00:01"),
            ("sha-256", &digest.replace(":1F", ":+F")),
            ("sha-256", &digest.replace(':', "")),
        ] {
            assert_eq!(
                Fingerprint::parse(function.as_bytes(), digest.as_bytes()),
                None
            );
        }
    }
}
