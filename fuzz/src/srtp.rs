//! SRTP and SRTCP of every suite beside `rtc-srtp`: what one protects the other opens, what is not
//! authentic changes nothing.

use crate::reader::Reader;
use media_api::{CryptoKey, Suite};
use media_relay::Timestamp;
use media_relay::packet::rtcp::Compound;
use media_relay::packet::rtp::RtpHeader;
use media_relay::srtp::{MAX_TRAILER_BYTES, Receiver, Sender, SrtpFault};
use rtc_srtp::context::Context;
use rtc_srtp::protection_profile::ProtectionProfile;

pub(crate) fn check(data: &[u8]) {
    let mut input = Reader::new(data);
    let choice = usize::from(input.octet());
    let suite = Suite::ALL[choice % Suite::ALL.len()];
    let identifier = vec![0x3a; choice / Suite::ALL.len() % 8];
    let key = CryptoKey::new(suite, master(suite)).expect("its length");
    let mut run = Run {
        suite,
        sender: Sender::new(&key),
        receiver: Receiver::new(&key.clone().with_identifier(identifier.clone())),
        key,
        identifier,
        used: Vec::new(),
    };
    for step in 0..16_u64 {
        if input.is_empty() {
            break;
        }
        let is_rtcp = input.flag();
        let tampered = input.octet();
        let packet = input.counted();
        let now = Timestamp(1_000_000 + step * 20_000);
        match is_rtcp {
            false => run.rtp(packet, tampered, now),
            true => run.rtcp(packet, tampered),
        }
        run.refuses(packet, now);
    }
}

/// One key in use.
struct Run {
    suite: Suite,
    key: CryptoKey,
    /// What the peer puts into its packets; empty for most.
    identifier: Vec<u8>,
    sender: Sender,
    receiver: Receiver,
    used: Vec<(u32, u16)>,
}

impl Run {
    /// Protects `packet`, has it opened by both, and tries a changed and a repeated copy.
    fn rtp(&mut self, packet: &[u8], tampered: u8, now: Timestamp) {
        let Ok(header) = RtpHeader::parse(packet) else {
            let mut slot = vec![0; packet.len() + MAX_TRAILER_BYTES];
            slot[..packet.len()].copy_from_slice(packet);
            let refused = self.sender.protect_rtp(&mut slot, packet.len(), 0);
            assert_eq!(refused, Err(SrtpFault::Malformed));
            assert_eq!(&slot[..packet.len()], packet, "unchanged");
            return;
        };
        // The roll-over counter stays 0, so that index and sequence number are the same.
        if self.used.contains(&(header.ssrc, header.sequence)) {
            return;
        }
        self.used.push((header.ssrc, header.sequence));
        let index = u64::from(header.sequence);
        let mut slot = vec![0xee; packet.len() + MAX_TRAILER_BYTES];
        slot[..packet.len()].copy_from_slice(packet);
        let length = self
            .sender
            .protect_rtp(&mut slot, packet.len(), index)
            .expect("room and a packet");
        slot.truncate(length);
        let sent = self.identified(&slot, self.suite.rtp_tag_bytes());
        let changed = changed(&sent, tampered);
        let mut copy = changed.clone();
        if changed != sent {
            let fault = self.receiver.unprotect_rtp(&mut copy, now);
            assert!(fault.is_err(), "a changed packet is opened");
            assert_eq!(copy, changed, "and left as it was");
        }
        let mut copy = sent.clone();
        match self.receiver.unprotect_rtp(&mut copy, now) {
            Ok(length) => {
                assert_eq!(&copy[..length], packet);
                // A fresh context each time: the oracle counts turns after the last packet, we after
                // the highest, and forget the oldest of many sources. It measures a header by writing
                // it again, which loses odd extensions.
                let oracle = oracle(self.suite).filter(|_| packet[0] & 0x10 == 0);
                if let Some(mut oracle) = oracle {
                    let opened = oracle.decrypt_rtp(&slot).expect("opened by the oracle");
                    assert_eq!(&opened[..], packet);
                }
                let mut again = sent.clone();
                let replayed = self.receiver.unprotect_rtp(&mut again, now);
                assert_eq!(replayed, Err(SrtpFault::Replay));
                assert_eq!(again, sent, "left as it was");
            }
            // A sequence number far back is taken for another turn of the counter, or is too old.
            Err(SrtpFault::Replay | SrtpFault::Authentication) => assert_eq!(copy, sent),
            Err(fault) => panic!("{fault:?}"),
        }
    }

    fn rtcp(&mut self, packet: &[u8], tampered: u8) {
        let mut slot = vec![0xee; packet.len() + MAX_TRAILER_BYTES];
        slot[..packet.len()].copy_from_slice(packet);
        let Ok(length) = Sender::new(&self.key).protect_rtcp(&mut slot, packet.len()) else {
            assert!(packet.len() < 8, "eight octets are enough");
            return;
        };
        slot.truncate(length);
        let sent = self.identified(&slot, self.suite.rtcp_tag_bytes());
        let changed = changed(&sent, tampered);
        let mut copy = changed.clone();
        if changed != sent {
            assert!(self.receiver.unprotect_rtcp(&mut copy).is_err());
            assert_eq!(copy, changed, "left as it was");
        }
        let mut copy = sent.clone();
        if let Ok(length) = self.receiver.unprotect_rtcp(&mut copy) {
            assert_eq!(&copy[..length], packet);
        }
        if let (Ok(_), Some(mut oracle)) = (Compound::parse(packet), oracle(self.suite)) {
            let opened = oracle.decrypt_rtcp(&slot).expect("opened by the oracle");
            assert_eq!(&opened[..], packet);
        }
    }

    /// A protected packet with the key identifier in its place.
    fn identified(&self, packet: &[u8], tag_bytes: usize) -> Vec<u8> {
        let behind = if self.suite.is_aead() { 0 } else { tag_bytes };
        let (message, tag) = packet.split_at(packet.len() - behind);
        [message, &self.identifier, tag].concat()
    }

    /// Octets that nobody protected are never opened and never changed.
    fn refuses(&mut self, packet: &[u8], now: Timestamp) {
        let mut copy = packet.to_vec();
        assert!(self.receiver.unprotect_rtp(&mut copy, now).is_err());
        assert!(self.receiver.unprotect_rtcp(&mut copy).is_err());
        assert_eq!(copy, packet);
    }
}

/// One bit of the packet changed, or none.
fn changed(packet: &[u8], how: u8) -> Vec<u8> {
    let mut copy = packet.to_vec();
    let at = usize::from(how) * 7 % packet.len();
    copy[at] ^= how;
    copy
}

fn master(suite: Suite) -> Vec<u8> {
    vec![0x5c; suite.key_and_salt_bytes()]
}

/// A fresh context of `rtc-srtp`, which has no suites of 192 bits.
fn oracle(suite: Suite) -> Option<Context> {
    let profile = match suite {
        Suite::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        Suite::AesCm128HmacSha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
        Suite::AesCm192HmacSha1_80 | Suite::AesCm192HmacSha1_32 => return None,
        Suite::AesCm256HmacSha1_80 => ProtectionProfile::Aes256CmHmacSha1_80,
        Suite::AesCm256HmacSha1_32 => ProtectionProfile::Aes256CmHmacSha1_32,
        Suite::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Suite::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
    };
    let provider = rtc_crypto::default_provider().expect("built in");
    let master = master(suite);
    let (key, salt) = master.split_at(suite.key_bytes());
    Some(Context::new(key, salt, profile, None, None, provider.crypto()).expect("a key"))
}
