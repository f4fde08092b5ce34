//! ICE (RFC 8445) as signalling and the relay share it: who we are, and who the peer says it is.
//!
//! The relay is a lite agent: it answers connectivity checks and makes none. So nothing of the peer's
//! password is needed here, only the name under which its checks come.

use std::fmt;
use std::net::SocketAddr;
use zeroize::Zeroize;

/// The name and password that a peer's checks must carry: `a=ice-ufrag` and `a=ice-pwd` of ours.
/// The password is zeroised on drop and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    fragment: String,
    password: String,
}

impl IceCredentials {
    /// Characters of a user name fragment (RFC 8839 §5.4).
    const FRAGMENT: std::ops::RangeInclusive<usize> = 4..=256;
    /// Characters of a password. RFC 8839 §5.4 allows 256; ours are keys of one hash block at most.
    const PASSWORD: std::ops::RangeInclusive<usize> = 22..=64;

    /// Credentials of ours; `None` if either has the wrong length or a character that is no `ice-char`.
    pub fn new(fragment: String, mut password: String) -> Option<Self> {
        let is_sound = |text: &str| text.bytes().all(is_ice_char);
        let fits = Self::FRAGMENT.contains(&fragment.len())
            && Self::PASSWORD.contains(&password.len())
            && is_sound(&fragment)
            && is_sound(&password);
        if fits {
            return Some(Self { fragment, password });
        }
        password.zeroize();
        None
    }

    /// The user name fragment.
    pub fn fragment(&self) -> &str {
        &self.fragment
    }

    /// The password, for `a=ice-pwd` and for the key of checks.
    pub fn expose_password(&self) -> &str {
        &self.password
    }
}

impl Drop for IceCredentials {
    fn drop(&mut self) {
        self.password.zeroize();
    }
}

impl fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IceCredentials({}, <secret>)", self.fragment)
    }
}

/// Whether a byte may be in a fragment or password (RFC 8839 §5.1).
pub const fn is_ice_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

/// What an exchange with a peer that makes checks has agreed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IceTerms {
    /// What our description says. Others than before are a restart: those of before are still answered,
    /// and the pair of before is still in use, until the peer has nominated one under these.
    pub local: IceCredentials,
    /// The peer's user name fragment: the second half of the name in its checks.
    pub remote_fragment: String,
    /// Where the peer says it is.
    pub candidates: Vec<IceCandidate>,
    /// Whether media go to where a check has come from before any pair is nominated, which RFC 8445 §12.1.1 does not
    /// allow an agent that is lite and Teams expects (TDR-ICE-006).
    pub is_sent_early: bool,
}

/// A peer's candidate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IceCandidate {
    /// What it is for.
    pub component: IceComponent,
    /// Where.
    pub address: SocketAddr,
    /// How much the peer likes it; larger is better.
    pub priority: u32,
}

/// A component of a stream (RFC 8445 §4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum IceComponent {
    /// RTP, and RTCP with it where both share a port.
    Rtp,
    /// RTCP on a port of its own.
    Rtcp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_of_ice_characters_and_long_enough_and_are_not_shown() {
        let made = |fragment: &str, password: &str| {
            IceCredentials::new(fragment.to_owned(), password.to_owned())
        };
        let sound = made("8hhY", "asd88fgpdd777uzjYhagZg").unwrap();
        assert_eq!(sound.fragment(), "8hhY");
        assert!(!format!("{sound:?}").contains("asd88"));
        assert_eq!(made("8hh", "asd88fgpdd777uzjYhagZg"), None);
        assert_eq!(made("8hhY", "asd88fgpdd777uzjYhagZ"), None);
        assert_eq!(made("8h:Y", "asd88fgpdd777uzjYhagZg"), None);
        assert_eq!(made("8hhY", "asd88fgpdd777uzjYhag Zg"), None);
        assert_eq!(made("8hhY", &"a".repeat(65)), None);
    }
}
