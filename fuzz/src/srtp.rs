//! SRTP and SRTCP beside `rtc-srtp`: what one protects the other opens, what is not authentic
//! changes nothing.

use crate::reader::Reader;
use media_api::{CryptoKey, Suite};
use media_relay::Timestamp;
use media_relay::packet::rtcp::Compound;
use media_relay::packet::rtp::RtpHeader;
use media_relay::srtp::{MAX_TRAILER_BYTES, Receiver, Sender, SrtpFault};
use rtc_srtp::context::Context;
use rtc_srtp::protection_profile::ProtectionProfile;

const MASTER: [u8; 30] = [0x5c; 30];

pub(crate) fn check(data: &[u8]) {
    let mut input = Reader::new(data);
    let (suite, profile) = input.pick(&[
        (
            Suite::AesCm128HmacSha1_80,
            ProtectionProfile::Aes128CmHmacSha1_80,
        ),
        (
            Suite::AesCm128HmacSha1_32,
            ProtectionProfile::Aes128CmHmacSha1_32,
        ),
    ]);
    let key = CryptoKey::new(suite, MASTER.to_vec()).expect("its length");
    let sender = Sender::new(&key);
    let mut receiver = Receiver::new(&key);
    let mut used = Vec::new();
    for step in 0..16_u64 {
        if input.is_empty() {
            break;
        }
        let is_rtcp = input.flag();
        let tampered = input.octet();
        let packet = input.counted();
        let now = Timestamp(1_000_000 + step * 20_000);
        match is_rtcp {
            false => rtp(
                &sender,
                &mut receiver,
                profile,
                packet,
                tampered,
                now,
                &mut used,
            ),
            true => rtcp(&key, &mut receiver, profile, packet, tampered),
        }
        refused(&mut receiver, packet, now);
    }
}

/// Protects `packet`, has it opened by both, and tries a changed and a repeated copy.
#[allow(clippy::too_many_arguments, reason = "the state of one run")]
fn rtp(
    sender: &Sender,
    receiver: &mut Receiver,
    profile: ProtectionProfile,
    packet: &[u8],
    tampered: u8,
    now: Timestamp,
    used: &mut Vec<(u32, u16)>,
) {
    let Ok(header) = RtpHeader::parse(packet) else {
        let mut slot = vec![0; packet.len() + MAX_TRAILER_BYTES];
        slot[..packet.len()].copy_from_slice(packet);
        let refused = sender.protect_rtp(&mut slot, packet.len(), 0);
        assert_eq!(refused, Err(SrtpFault::Malformed));
        assert_eq!(&slot[..packet.len()], packet, "unchanged");
        return;
    };
    // The roll-over counter stays 0, so that index and sequence number are the same.
    if used.contains(&(header.ssrc, header.sequence)) {
        return;
    }
    used.push((header.ssrc, header.sequence));
    let index = u64::from(header.sequence);
    let mut slot = vec![0xee; packet.len() + MAX_TRAILER_BYTES];
    slot[..packet.len()].copy_from_slice(packet);
    let length = sender
        .protect_rtp(&mut slot, packet.len(), index)
        .expect("room and a packet");
    slot.truncate(length);
    let changed = changed(&slot, tampered);
    let mut copy = changed.clone();
    if changed != slot {
        let fault = receiver.unprotect_rtp(&mut copy, now);
        assert!(fault.is_err(), "a changed packet is opened");
        assert_eq!(copy, changed, "and left as it was");
    }
    let mut copy = slot.clone();
    match receiver.unprotect_rtp(&mut copy, now) {
        Ok(length) => {
            assert_eq!(&copy[..length], packet);
            // A fresh context each time: the oracle counts turns after the last packet, we after the
            // highest, and forget the oldest of many sources. It measures a header by writing it
            // again, which loses odd extensions.
            if packet[0] & 0x10 == 0 {
                let opened = oracle(profile)
                    .decrypt_rtp(&slot)
                    .expect("opened by the oracle");
                assert_eq!(&opened[..], packet);
            }
            let mut again = slot.clone();
            let replayed = receiver.unprotect_rtp(&mut again, now);
            assert_eq!(replayed, Err(SrtpFault::Replay));
            assert_eq!(again, slot, "left as it was");
        }
        // A sequence number far back is taken for another turn of the counter, or is too old.
        Err(SrtpFault::Replay | SrtpFault::Authentication) => assert_eq!(copy, slot),
        Err(fault) => panic!("{fault:?}"),
    }
}

fn rtcp(
    key: &CryptoKey,
    receiver: &mut Receiver,
    profile: ProtectionProfile,
    packet: &[u8],
    tampered: u8,
) {
    let mut slot = vec![0xee; packet.len() + MAX_TRAILER_BYTES];
    slot[..packet.len()].copy_from_slice(packet);
    let Ok(length) = Sender::new(key).protect_rtcp(&mut slot, packet.len()) else {
        assert!(packet.len() < 8, "eight octets are enough");
        return;
    };
    slot.truncate(length);
    let changed = changed(&slot, tampered);
    let mut copy = changed.clone();
    if changed != slot {
        assert!(receiver.unprotect_rtcp(&mut copy).is_err());
        assert_eq!(copy, changed, "left as it was");
    }
    let mut copy = slot.clone();
    if let Ok(length) = receiver.unprotect_rtcp(&mut copy) {
        assert_eq!(&copy[..length], packet);
    }
    if Compound::parse(packet).is_ok() {
        let opened = oracle(profile)
            .decrypt_rtcp(&slot)
            .expect("opened by the oracle");
        assert_eq!(&opened[..], packet);
    }
}

/// Octets that nobody protected are never opened and never changed.
fn refused(receiver: &mut Receiver, packet: &[u8], now: Timestamp) {
    let mut copy = packet.to_vec();
    assert!(receiver.unprotect_rtp(&mut copy, now).is_err());
    assert!(receiver.unprotect_rtcp(&mut copy).is_err());
    assert_eq!(copy, packet);
}

/// One bit of the packet changed, or none.
fn changed(packet: &[u8], how: u8) -> Vec<u8> {
    let mut copy = packet.to_vec();
    let at = usize::from(how) * 7 % packet.len();
    copy[at] ^= how;
    copy
}

fn oracle(profile: ProtectionProfile) -> Context {
    let provider = rtc_crypto::default_provider().expect("built in");
    let (key, salt) = MASTER.split_at(16);
    Context::new(key, salt, profile, None, None, provider.crypto()).expect("a key")
}
