//! SRTP by `rtc-srtp`: one key per direction, AES_CM_128_HMAC_SHA1_80.

use crate::random;
use rtc_srtp::context::Context;
use rtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use rtc_srtp::protection_profile::ProtectionProfile;
use std::fmt;

/// Master key (16 octets) and salt (14), as SDES writes them.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    octets: [u8; 30],
    /// What packets with this key carry before their tag (RFC 3711 §3.1, MKI); mostly nothing.
    identifier: Vec<u8>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Packets that may come late and still count.
const WINDOW: usize = 64;
/// Octets of the tag at the end of a packet.
const TAG: usize = 10;
/// Longest identifier (RFC 4568 §6.1).
const LONGEST: usize = 128;

impl Key {
    /// A fresh key.
    pub fn random() -> Self {
        Self {
            octets: random::bytes(),
            identifier: Vec::new(),
        }
    }

    /// The same key with an identifier.
    #[must_use]
    pub fn identified(self, identifier: &[u8]) -> Self {
        let identifier = identifier.to_vec();
        Self { identifier, ..self }
    }

    /// What packets with this key carry before their tag.
    pub fn identifier(&self) -> &[u8] {
        &self.identifier
    }

    /// Base64, as it stands after `inline:`. Thirty octets need no padding.
    pub fn text(&self) -> String {
        let three = |part: &[u8]| {
            part.iter()
                .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
        };
        let digit = |bits: u32, shift: u32| char::from(ALPHABET[(bits >> shift & 63) as usize]);
        self.octets
            .chunks(3)
            .map(three)
            .flat_map(|bits| [18, 12, 6, 0].map(|shift| digit(bits, shift)))
            .collect()
    }

    /// Reads what stands after `inline:`; the lifetime is left out.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('|');
        let base64 = parts.next()?.trim_end_matches('=');
        if base64.len() != 40 {
            return None;
        }
        let mut octets = [0; 30];
        for (four, three) in base64.as_bytes().chunks(4).zip(octets.chunks_mut(3)) {
            let mut bits = 0_u32;
            for digit in four {
                let value = ALPHABET.iter().position(|known| known == digit)?;
                bits = bits << 6 | u32::try_from(value).ok()?;
            }
            three.copy_from_slice(&bits.to_be_bytes()[1..]);
        }
        let identifier = match parts.find_map(|part| part.split_once(':')) {
            Some((value, length)) => identifier(value, length)?,
            None => Vec::new(),
        };
        Some(Self { octets, identifier })
    }
}

/// `1:4` as it stands in packets.
fn identifier(value: &str, length: &str) -> Option<Vec<u8>> {
    let value = value.parse::<u64>().ok()?.to_be_bytes();
    let length = length.parse().ok().filter(|n| (1..=LONGEST).contains(n))?;
    let padding = vec![0; length.saturating_sub(value.len())];
    let rest = &value[value.len().saturating_sub(length)..];
    Some([&padding[..], rest].concat())
}

/// Both directions of one secured stream.
pub struct Secure {
    send: Context,
    receive: Context,
    /// Identifiers of both keys.
    identifiers: (Vec<u8>, Vec<u8>),
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
            identifiers: (ours.identifier.clone(), theirs.identifier.clone()),
        })
    }

    /// From now on packets are sent with another key of ours, from the beginning of its stream.
    ///
    /// # Errors
    /// What `rtc-srtp` says.
    pub fn rekey(&mut self, ours: &Key) -> Result<(), String> {
        self.send = context(ours)?;
        self.identifiers.0.clone_from(&ours.identifier);
        Ok(())
    }

    /// Protects an RTP packet.
    ///
    /// # Errors
    /// What `rtc-srtp` says.
    pub fn protect(&mut self, packet: &[u8]) -> Result<Vec<u8>, String> {
        let secured = self.send.encrypt_rtp(packet);
        let secured = secured.map_err(|fault| fault.to_string())?;
        Ok(with_identifier(&secured, &self.identifiers.0))
    }

    /// Opens an SRTP packet.
    ///
    /// # Errors
    /// What `rtc-srtp` says: not authentic, repeated, too short.
    pub fn open(&mut self, packet: &[u8]) -> Result<Vec<u8>, String> {
        let packet = without_identifier(packet, &self.identifiers.1)?;
        let opened = self.receive.decrypt_rtp(&packet);
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
        let secured = secured.map_err(|fault| fault.to_string())?;
        Ok(with_identifier(&secured, &self.identifiers.0))
    }

    /// Opens an SRTCP packet.
    ///
    /// # Errors
    /// What `rtc-srtp` says.
    pub fn open_rtcp(&mut self, packet: &[u8]) -> Result<Vec<u8>, String> {
        let packet = without_identifier(packet, &self.identifiers.1)?;
        let opened = self.receive.decrypt_rtcp(&packet);
        opened
            .map(|packet| packet.to_vec())
            .map_err(|fault| fault.to_string())
    }
}

/// A protected packet with the identifier of its key, which the tag does not cover (RFC 3711 §3.1).
fn with_identifier(packet: &[u8], identifier: &[u8]) -> Vec<u8> {
    let (head, tag) = packet.split_at(packet.len().saturating_sub(TAG));
    [head, identifier, tag].concat()
}

fn without_identifier(packet: &[u8], identifier: &[u8]) -> Result<Vec<u8>, String> {
    let (rest, tag) = packet.split_at(packet.len().saturating_sub(TAG));
    let head = rest.strip_suffix(identifier);
    let head = head.ok_or("it lacks the identifier of its key")?;
    Ok([head, tag].concat())
}

fn context(key: &Key) -> Result<Context, String> {
    let provider = rtc_crypto::default_provider().map_err(|fault| fault.to_string())?;
    let (master, salt) = key.octets.split_at(16);
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
        assert_eq!(
            Key::parse(&format!("{}|2^31", key.text())),
            Some(key.clone())
        );
        for (text, identifier) in [("|2^31|1:1", &[1][..]), ("|258:4", &[0, 0, 1, 2])] {
            let read = Key::parse(&(key.text() + text)).unwrap();
            assert_eq!(read, key.clone().identified(identifier));
        }
        assert_eq!(Key::parse(&(key.text() + "|1:0")), None);
        assert_eq!(Key::parse("too short"), None);
        assert_eq!(Key::parse(&"!".repeat(40)), None);
        // RFC 4648 §10 in a longer coat.
        assert_eq!(
            Key {
                octets: *b"foobarfoobarfoobarfoobarfoobar",
                identifier: Vec::new(),
            }
            .text(),
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
        let mut marked = Secure::new(&a.clone().identified(&[7]), &b).unwrap();
        let secured = marked.protect(&packet).unwrap();
        assert_eq!(secured[secured.len() - 11], 7);
        let mut plain = Secure::new(&b, &a).unwrap();
        assert!(plain.open(&secured).is_err(), "an identifier nobody agreed");
        let mut knows = Secure::new(&b, &a.clone().identified(&[7])).unwrap();
        assert_eq!(knows.open(&secured).unwrap(), packet);
        let mut torn = near.protect(&packet).unwrap();
        torn[20] ^= 1;
        assert!(far.open(&torn).is_err(), "not authentic");
    }
}
