//! SRTP by `rtc-srtp`: one key per direction, AES_CM_128_HMAC_SHA1_80.

use crate::random;
use rtc_srtp::context::Context;
use rtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use rtc_srtp::protection_profile::ProtectionProfile;
use std::fmt;

/// Master key (16 octets) and salt (14), as SDES writes them.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 30]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Packets that may come late and still count.
const WINDOW: usize = 64;

impl Key {
    /// A fresh key.
    pub fn random() -> Self {
        Self(random::bytes())
    }

    /// Base64, as it stands after `inline:`. Thirty octets need no padding.
    pub fn text(&self) -> String {
        let three = |part: &[u8]| {
            part.iter()
                .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
        };
        let digit = |bits: u32, shift: u32| char::from(ALPHABET[(bits >> shift & 63) as usize]);
        self.0
            .chunks(3)
            .map(three)
            .flat_map(|bits| [18, 12, 6, 0].map(|shift| digit(bits, shift)))
            .collect()
    }

    /// Reads what stands after `inline:`; lifetime and MKI are left out.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.split('|').next()?.trim_end_matches('=');
        if text.len() != 40 {
            return None;
        }
        let mut key = [0; 30];
        for (four, three) in text.as_bytes().chunks(4).zip(key.chunks_mut(3)) {
            let mut bits = 0_u32;
            for digit in four {
                let value = ALPHABET.iter().position(|known| known == digit)?;
                bits = bits << 6 | u32::try_from(value).ok()?;
            }
            three.copy_from_slice(&bits.to_be_bytes()[1..]);
        }
        Some(Self(key))
    }
}

/// Both directions of one secured stream.
pub struct Secure {
    send: Context,
    receive: Context,
}

impl Secure {
    /// With the key that we announced, and the other side's.
    ///
    /// # Errors
    /// What `rtc-srtp` says.
    pub fn new(ours: &Key, theirs: &Key) -> Result<Self, String> {
        Ok(Self {
            send: context(ours)?,
            receive: context(theirs)?,
        })
    }

    /// From now on packets are sent with another key of ours, from the beginning of its stream.
    ///
    /// # Errors
    /// What `rtc-srtp` says.
    pub fn rekey(&mut self, ours: &Key) -> Result<(), String> {
        self.send = context(ours)?;
        Ok(())
    }

    /// Protects an RTP packet.
    ///
    /// # Errors
    /// What `rtc-srtp` says.
    pub fn protect(&mut self, packet: &[u8]) -> Result<Vec<u8>, String> {
        let secured = self.send.encrypt_rtp(packet);
        secured
            .map(|packet| packet.to_vec())
            .map_err(|fault| fault.to_string())
    }

    /// Opens an SRTP packet.
    ///
    /// # Errors
    /// What `rtc-srtp` says: not authentic, repeated, too short.
    pub fn open(&mut self, packet: &[u8]) -> Result<Vec<u8>, String> {
        let opened = self.receive.decrypt_rtp(packet);
        opened
            .map(|packet| packet.to_vec())
            .map_err(|fault| fault.to_string())
    }

    /// Protects an RTCP packet.
    ///
    /// # Errors
    /// What `rtc-srtp` says.
    pub fn protect_rtcp(&mut self, packet: &[u8]) -> Result<Vec<u8>, String> {
        let secured = self.send.encrypt_rtcp(packet);
        secured
            .map(|packet| packet.to_vec())
            .map_err(|fault| fault.to_string())
    }

    /// Opens an SRTCP packet.
    ///
    /// # Errors
    /// What `rtc-srtp` says.
    pub fn open_rtcp(&mut self, packet: &[u8]) -> Result<Vec<u8>, String> {
        let opened = self.receive.decrypt_rtcp(packet);
        opened
            .map(|packet| packet.to_vec())
            .map_err(|fault| fault.to_string())
    }
}

fn context(key: &Key) -> Result<Context, String> {
    let provider = rtc_crypto::default_provider().map_err(|fault| fault.to_string())?;
    let (master, salt) = key.0.split_at(16);
    Context::new(
        master,
        salt,
        ProtectionProfile::Aes128CmHmacSha1_80,
        Some(srtp_replay_protection(WINDOW)),
        Some(srtcp_replay_protection(WINDOW)),
        provider.crypto(),
    )
    .map_err(|fault| fault.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_base64_with_and_without_lifetime() {
        let key = Key::random();
        assert_eq!(Key::parse(&key.text()), Some(key.clone()));
        assert_eq!(Key::parse(&format!("{}|2^31|1:1", key.text())), Some(key));
        assert_eq!(Key::parse("too short"), None);
        assert_eq!(Key::parse(&"!".repeat(40)), None);
        // RFC 4648 §10 in a longer coat.
        assert_eq!(
            Key(*b"foobarfoobarfoobarfoobarfoobar").text(),
            "Zm9vYmFy".repeat(5)
        );
    }

    #[test]
    fn what_one_side_protects_the_other_opens_once() {
        let (a, b) = (Key::random(), Key::random());
        let mut near = Secure::new(&a, &b).unwrap();
        let mut far = Secure::new(&b, &a).unwrap();
        let packet = [&[0x80, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9][..], &[0x55; 160]].concat();
        let secured = near.protect(&packet).unwrap();
        assert_eq!(secured.len(), packet.len() + 10);
        assert_eq!(far.open(&secured).unwrap(), packet);
        assert!(far.open(&secured).is_err(), "repeated");
        let mut torn = near.protect(&packet).unwrap();
        torn[20] ^= 1;
        assert!(far.open(&torn).is_err(), "not authentic");
    }
}
