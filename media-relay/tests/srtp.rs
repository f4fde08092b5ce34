//! SRTP and SRTCP: published vectors, roll-over, replay, and agreement with `rtc-srtp`.

use media_api::{CryptoKey, Suite};
use media_relay::Timestamp;
use media_relay::srtp::{MAX_TRAILER_BYTES, Receiver, Sender, SrtpFault};
use proptest::prelude::*;
use rtc_srtp::context::Context;
use rtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use rtc_srtp::protection_profile::ProtectionProfile;

const NOW: Timestamp = Timestamp(1_000_000);
/// Key and salt of the shortest suites; the others have it from the start again.
const MASTER: &str = "e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6";
/// What `rtc-srtp` has of our suites: all but those of 192 bits.
const ORACLES: [(Suite, ProtectionProfile); 6] = [
    (
        Suite::AesCm128HmacSha1_80,
        ProtectionProfile::Aes128CmHmacSha1_80,
    ),
    (
        Suite::AesCm128HmacSha1_32,
        ProtectionProfile::Aes128CmHmacSha1_32,
    ),
    (
        Suite::AesCm256HmacSha1_80,
        ProtectionProfile::Aes256CmHmacSha1_80,
    ),
    (
        Suite::AesCm256HmacSha1_32,
        ProtectionProfile::Aes256CmHmacSha1_32,
    ),
    (Suite::AeadAes128Gcm, ProtectionProfile::AeadAes128Gcm),
    (Suite::AeadAes256Gcm, ProtectionProfile::AeadAes256Gcm),
];

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn master(suite: Suite) -> Vec<u8> {
    let octets = hex(MASTER).into_iter().cycle();
    octets.take(suite.key_and_salt_bytes()).collect()
}

fn key(suite: Suite) -> CryptoKey {
    CryptoKey::new(suite, master(suite)).unwrap()
}

fn protect(sender: &Sender, plain: &[u8], index: u64) -> Vec<u8> {
    let mut packet = plain.to_vec();
    packet.resize(plain.len() + MAX_TRAILER_BYTES, 0);
    let length = sender.protect_rtp(&mut packet, plain.len(), index).unwrap();
    packet.truncate(length);
    packet
}

fn rtp(sequence: u16, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend(sequence.to_be_bytes());
    packet.extend(u32::from(sequence).wrapping_mul(160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

#[test]
fn rtp_vectors_with_both_tag_lengths() {
    let plain = [hex("800f1234decafbadcafebabe"), vec![0xab; 16]].concat();
    let long = "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb";
    let short = "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc";
    for (suite, wanted) in [
        (Suite::AesCm128HmacSha1_80, long),
        (Suite::AesCm128HmacSha1_32, short),
    ] {
        let mut packet = protect(&Sender::new(&key(suite)), &plain, 0x1234);
        assert_eq!(packet, hex(wanted));
        let length = Receiver::new(&key(suite))
            .unprotect_rtp(&mut packet, NOW)
            .unwrap();
        assert_eq!(packet[..length], plain);
    }
}

#[test]
fn rtp_vector_after_one_roll_over() {
    let plain = [hex("80080001000000a0cafebabe"), vec![0xd5; 16]].concat();
    let packet = protect(
        &Sender::new(&key(Suite::AesCm128HmacSha1_80)),
        &plain,
        0x1_0001,
    );
    assert_eq!(
        packet,
        hex("80080001000000a0cafebabec88f8eda26dc46d243512bd21b18cc229da57cf5b7ba78db17d4")
    );
}

#[test]
fn rtcp_vector() {
    let plain = [hex("81c8000bcafebabe"), vec![0xab; 16]].concat();
    let mut sender = Sender::new(&key(Suite::AesCm128HmacSha1_80));
    let mut packet = plain.clone();
    packet.resize(plain.len() + 14, 0);
    let length = sender.protect_rtcp(&mut packet, plain.len()).unwrap();
    let wanted =
        hex("81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798");
    assert_eq!(packet[..length], wanted);
    let mut receiver = Receiver::new(&key(Suite::AesCm128HmacSha1_80));
    let length = receiver.unprotect_rtcp(&mut packet).unwrap();
    assert_eq!(packet[..length], plain);
    let mut again = wanted;
    assert_eq!(receiver.unprotect_rtcp(&mut again), Err(SrtpFault::Replay));
}

#[test]
fn the_roll_over_counter_follows_reordered_packets_across_the_wrap() {
    let sender = Sender::new(&key(Suite::AesCm128HmacSha1_80));
    let mut receiver = Receiver::new(&key(Suite::AesCm128HmacSha1_80));
    for index in [
        65_530u64, 65_534, 65_536, 65_535, 65_537, 65_533, 98_000, 130_000, 131_073, 131_070,
    ] {
        let mut packet = protect(&sender, &rtp(index as u16, 7, b"voice"), index);
        assert!(
            receiver.unprotect_rtp(&mut packet, NOW).is_ok(),
            "index {index}"
        );
    }
}

#[test]
fn replayed_forged_and_truncated_packets_change_nothing() {
    for suite in Suite::ALL {
        let sender = Sender::new(&key(suite));
        let mut receiver = Receiver::new(&key(suite));
        let first = protect(&sender, &rtp(100, 7, b"voice"), 100);
        assert!(receiver.unprotect_rtp(&mut first.clone(), NOW).is_ok());
        assert_eq!(
            receiver.unprotect_rtp(&mut first.clone(), NOW),
            Err(SrtpFault::Replay)
        );
        for bit in 0..first.len() * 8 {
            let mut forged = protect(&sender, &rtp(101, 7, b"voice"), 101);
            forged[bit / 8] ^= 1 << (bit % 8);
            let before = forged.clone();
            assert!(
                receiver.unprotect_rtp(&mut forged, NOW).is_err(),
                "{suite:?} bit {bit}"
            );
            assert_eq!(forged, before);
        }
        for end in 0..first.len() {
            assert!(
                receiver
                    .unprotect_rtp(&mut first[..end].to_vec(), NOW)
                    .is_err()
            );
        }
        let mut next = protect(&sender, &rtp(101, 7, b"voice"), 101);
        assert!(receiver.unprotect_rtp(&mut next, NOW).is_ok());
    }
}

#[test]
fn forged_unencrypted_and_truncated_reports_change_nothing() {
    for suite in Suite::ALL {
        let plain = [0x80, 201, 0, 1, 0, 0, 0, 7];
        let mut sender = Sender::new(&key(suite));
        let mut receiver = Receiver::new(&key(suite));
        let mut first = [&plain[..], &[0; MAX_TRAILER_BYTES]].concat();
        let length = sender.protect_rtcp(&mut first, plain.len()).unwrap();
        first.truncate(length);
        // One of these bits says that the packet is encrypted (MED-105).
        for bit in 0..first.len() * 8 {
            let mut forged = first.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let before = forged.clone();
            assert!(
                receiver.unprotect_rtcp(&mut forged).is_err(),
                "{suite:?} bit {bit}"
            );
            assert_eq!(forged, before);
        }
        for end in 0..first.len() {
            assert!(receiver.unprotect_rtcp(&mut first[..end].to_vec()).is_err());
        }
        let length = receiver.unprotect_rtcp(&mut first.clone()).unwrap();
        assert_eq!(length, plain.len());
        assert_eq!(receiver.unprotect_rtcp(&mut first), Err(SrtpFault::Replay));
    }
}

#[test]
fn no_packet_is_protected_where_the_trailer_has_no_room() {
    for suite in Suite::ALL {
        let mut sender = Sender::new(&key(suite));
        let plain = rtp(1, 7, b"voice");
        let needed = plain.len() + suite.rtp_tag_bytes();
        let mut slot = [&plain[..], &[0; MAX_TRAILER_BYTES]].concat();
        let refused = sender.protect_rtp(&mut slot[..needed - 1], plain.len(), 1);
        assert_eq!(refused, Err(SrtpFault::Room));
        assert_eq!(slot[..plain.len()], plain);
        let taken = sender.protect_rtp(&mut slot[..needed], plain.len(), 1);
        assert_eq!(taken, Ok(needed));
        let needed = 8 + 4 + suite.rtcp_tag_bytes();
        assert_eq!(
            sender.protect_rtcp(&mut slot[..needed - 1], 8),
            Err(SrtpFault::Room)
        );
        assert_eq!(sender.protect_rtcp(&mut slot[..needed], 8), Ok(needed));
        assert!(suite.rtcp_tag_bytes() + 4 <= MAX_TRAILER_BYTES);
    }
}

#[test]
fn each_ssrc_has_its_own_counter_and_window() {
    let sender = Sender::new(&key(Suite::AesCm128HmacSha1_80));
    let mut receiver = Receiver::new(&key(Suite::AesCm128HmacSha1_80));
    for sequence in 0..50u16 {
        for ssrc in 0..3 {
            let mut packet = protect(&sender, &rtp(sequence, ssrc, b"voice"), sequence.into());
            assert!(receiver.unprotect_rtp(&mut packet, NOW).is_ok());
        }
    }
}

#[test]
fn a_ninth_source_takes_the_place_of_the_one_unused_for_longest() {
    let sender = Sender::new(&key(Suite::AesCm128HmacSha1_80));
    let mut receiver = Receiver::new(&key(Suite::AesCm128HmacSha1_80));
    let mut hear = |ssrc, sequence: u16| {
        let mut packet = protect(&sender, &rtp(sequence, ssrc, b"voice"), sequence.into());
        receiver.unprotect_rtp(&mut packet, NOW)
    };
    for ssrc in 0..8 {
        assert!(hear(ssrc, 1).is_ok());
    }
    assert!(hear(0, 2).is_ok());
    assert!(hear(8, 1).is_ok());
    // Whoever is forgotten may repeat itself, and is the only one.
    assert_eq!(hear(0, 2), Err(SrtpFault::Replay));
    for ssrc in 2..=8 {
        assert_eq!(hear(ssrc, 1), Err(SrtpFault::Replay), "SSRC {ssrc}");
    }
    assert!(hear(1, 1).is_ok());
}

#[test]
fn a_key_protects_nothing_past_its_last_index() {
    for suite in Suite::ALL {
        let sender = Sender::new(&key(suite));
        let plain = rtp(0xffff, 7, b"voice");
        let mut slot = [&plain[..], &[0; MAX_TRAILER_BYTES]].concat();
        let refused = sender.protect_rtp(&mut slot, plain.len(), 1 << 48);
        assert_eq!(refused, Err(SrtpFault::Exhausted));
        assert_eq!(slot[..plain.len()], plain, "left as it was");
        let last = (1 << 48) - 1;
        assert!(sender.protect_rtp(&mut slot, plain.len(), last).is_ok());
    }
}

#[test]
fn a_restarted_counter_is_found_after_twenty_failures_and_silence() {
    let sender = Sender::new(&key(Suite::AesCm128HmacSha1_80));
    let mut receiver = Receiver::new(&key(Suite::AesCm128HmacSha1_80));
    let start = 0x2_9000u64;
    for index in (0x9000..=start).step_by(0x4000) {
        let mut packet = protect(&sender, &rtp(index as u16, 7, b"voice"), index);
        assert!(
            receiver.unprotect_rtp(&mut packet, NOW).is_ok(),
            "index {index:x}"
        );
    }
    // The peer starts again: same key, same SSRC, roll-over counter zero.
    let mut heard = None;
    for sent in 0..40u16 {
        let now = Timestamp(NOW.0 + 20_000 * u64::from(sent + 1));
        let mut packet = protect(&sender, &rtp(sent, 7, b"voice"), sent.into());
        match receiver.unprotect_rtp(&mut packet, now) {
            Ok(_) => heard = heard.or(Some(sent)),
            Err(fault) => assert_eq!(fault, SrtpFault::Authentication),
        }
    }
    assert_eq!(heard, Some(20));
}

/// Packets with these indices, 20 ms apart, until one is heard after those of `before`: how many are not.
fn unheard(
    before: impl IntoIterator<Item = u64>,
    after: impl IntoIterator<Item = u64>,
) -> Option<usize> {
    let sender = Sender::new(&key(Suite::AesCm128HmacSha1_80));
    let mut receiver = Receiver::new(&key(Suite::AesCm128HmacSha1_80));
    for index in before {
        let mut packet = protect(&sender, &rtp(index as u16, 7, b"voice"), index);
        assert!(receiver.unprotect_rtp(&mut packet, NOW).is_ok());
    }
    let mut now = NOW;
    after.into_iter().position(|index| {
        now = Timestamp(now.0 + 20_000);
        let mut packet = protect(&sender, &rtp(index as u16, 7, b"voice"), index);
        receiver.unprotect_rtp(&mut packet, now).is_ok()
    })
}

#[test]
fn a_peer_that_has_gone_on_unheard_for_more_than_half_a_cycle_is_found_again() {
    let by_steps = |last: u64| (last & 0x3fff..=last).step_by(0x4000);
    // Half a cycle and a little, so that the guess lies before the very first packet.
    assert_eq!(unheard([100], 40_000..40_100), Some(20));
    // Nearly a whole one, so that the guess looks like a repetition.
    assert_eq!(unheard([30_000], 0x1_2000..0x1_2064), Some(20));
    assert_eq!(unheard(by_steps(0x3_8000), 0x4_7c00..0x4_7c64), Some(20));
    // More than a whole one.
    assert_eq!(unheard(by_steps(0x3_1000), 0x4_2000..0x4_2064), Some(20));
}

#[test]
fn a_peer_that_was_not_heard_until_its_numbers_had_gone_round_is_heard() {
    assert_eq!(unheard([], 0x1_0003..0x1_0010), Some(0));
}

#[test]
fn a_burst_of_bad_packets_does_not_open_the_door_to_a_recording() {
    let sender = Sender::new(&key(Suite::AesCm128HmacSha1_80));
    let mut receiver = Receiver::new(&key(Suite::AesCm128HmacSha1_80));
    for index in (0x9000u64..=0x1_9000).step_by(0x4000) {
        let mut packet = protect(&sender, &rtp(index as u16, 7, b"voice"), index);
        assert!(receiver.unprotect_rtp(&mut packet, NOW).is_ok());
    }
    let recorded = protect(&sender, &rtp(0x0800, 7, b"voice"), 0x0800);
    for _ in 0..100 {
        let verdict = receiver.unprotect_rtp(&mut recorded.clone(), NOW);
        assert_eq!(verdict, Err(SrtpFault::Authentication));
    }
}

/// It has begun anew and been heard, and what it had sent under the same numbers before is none of it; nor is silence
/// an opening for that, such as a hold.
#[test]
fn who_begins_to_count_anew_is_heard_and_a_recording_of_it_is_not() {
    let sender = Sender::new(&key(Suite::AesCm128HmacSha1_80));
    let mut receiver = Receiver::new(&key(Suite::AesCm128HmacSha1_80));
    let sent = |index: u64, timestamp: u32| {
        let mut plain = rtp(index as u16, 7, b"voice");
        plain[4..8].copy_from_slice(&timestamp.to_be_bytes());
        protect(&sender, &plain, index)
    };
    let mut recorded = Vec::new();
    for index in (20_000u64..=0x1_6000).step_by(1_000) {
        recorded.push(sent(index, index as u32 * 160));
        let mut packet = recorded[recorded.len() - 1].clone();
        assert!(receiver.unprotect_rtp(&mut packet, NOW).is_ok(), "{index}");
    }
    let mut now = NOW;
    for packet in recorded.iter().cycle().take(500) {
        now.0 += 20_000;
        assert!(receiver.unprotect_rtp(&mut packet.clone(), now).is_err());
    }
    // Its counter is 0 again, or its numbers are lower ones; its clock goes on, or is another one.
    for (first, clock) in [(0x7000u64, 0x1_7000 * 160), (0x5000, 3_000_000_000)] {
        let at = |index: u64| clock + (index - first) as u32 * 160;
        let heard = (first..first + 500).position(|index| {
            now.0 += 20_000;
            let mut packet = sent(index, at(index));
            receiver.unprotect_rtp(&mut packet, now).is_ok()
        });
        assert!(heard.is_some_and(|at| at <= 20), "{first:x}: {heard:?}");
        for packet in recorded.iter().cycle().take(500) {
            now.0 += 20_000;
            assert!(receiver.unprotect_rtp(&mut packet.clone(), now).is_err());
        }
        let mut packet = sent(first + 600, at(first + 600));
        assert!(receiver.unprotect_rtp(&mut packet, now).is_ok());
    }
}

#[test]
fn a_key_identifier_is_taken_off_where_the_peer_puts_one() {
    for suite in [Suite::AesCm128HmacSha1_80, Suite::AeadAes256Gcm] {
        for identifier in [vec![1], vec![0, 0, 0, 7], vec![9; 128]] {
            takes_off(suite, &identifier);
        }
    }
}

fn takes_off(suite: Suite, identifier: &[u8]) {
    let sender = Sender::new(&key(suite));
    let mut reporter = Sender::new(&key(suite));
    let theirs = key(suite).with_identifier(identifier.to_vec());
    let mut receiver = Receiver::new(&theirs);
    // In front of the tag, or behind all where the tag belongs to the ciphertext.
    let behind = if suite.is_aead() { 0 } else { 10 };
    let with_identifier = |mut packet: Vec<u8>| {
        let at = packet.len() - behind;
        packet.splice(at..at, identifier.iter().copied());
        packet
    };
    for sequence in 1..2000u16 {
        let plain = rtp(sequence, 7, b"voice");
        let bare = protect(&sender, &plain, sequence.into());
        // Some announce it and leave it out, or do both.
        let mut packet = if sequence % 3 == 0 {
            bare
        } else {
            with_identifier(bare)
        };
        let length = receiver.unprotect_rtp(&mut packet, NOW).unwrap();
        assert_eq!(packet[..length], plain);
        let again = protect(&sender, &plain, sequence.into());
        assert_eq!(
            receiver.unprotect_rtp(&mut with_identifier(again), NOW),
            Err(SrtpFault::Replay)
        );

        let report = [0x80, 201, 0, 1, 0, 0, 0, 7];
        let mut bare = [&report[..], &[0; MAX_TRAILER_BYTES]].concat();
        let length = reporter.protect_rtcp(&mut bare, report.len()).unwrap();
        bare.truncate(length);
        let mut packet = if sequence % 3 == 0 {
            bare
        } else {
            with_identifier(bare)
        };
        let length = receiver.unprotect_rtcp(&mut packet).unwrap();
        assert_eq!(packet[..length], report);
    }
    let mut forged = with_identifier(protect(&sender, &rtp(2001, 7, b"voice"), 2001));
    let at = forged.len() - behind - 1;
    forged[at] ^= 1;
    assert_eq!(
        receiver.unprotect_rtp(&mut forged, NOW),
        Err(SrtpFault::Authentication)
    );
}

fn oracle((suite, profile): (Suite, ProtectionProfile)) -> Context {
    oracle_with_window((suite, profile), 64)
}

fn oracle_with_window((suite, profile): (Suite, ProtectionProfile), window: usize) -> Context {
    let master = master(suite);
    let (key, salt) = master.split_at(suite.key_bytes());
    Context::new(
        key,
        salt,
        profile,
        Some(srtp_replay_protection(window)),
        Some(srtcp_replay_protection(64)),
        rtc_crypto::default_provider().unwrap().crypto(),
    )
    .unwrap()
}

/// Lengths at which a block, a run of blocks or a hash ends are all among them.
#[test]
fn packets_of_every_length_agree_with_rtc_srtp() {
    for (suite, profile) in ORACLES {
        let mut sender = Sender::new(&key(suite));
        let mut receiver = Receiver::new(&key(suite));
        let mut theirs_out = oracle((suite, profile));
        let mut theirs_in = oracle((suite, profile));
        let payload: Vec<u8> = (0..1500u32).map(|at| (at * 7) as u8).collect();
        for length in 0..=1500 - 12 {
            let plain = rtp(length as u16 + 1, 7, &payload[..length]);
            let mut ours = protect(&sender, &plain, length as u64 + 1);
            let theirs = theirs_out.encrypt_rtp(&plain).unwrap();
            assert_eq!(ours, theirs[..], "{suite:?} {length}");
            assert_eq!(theirs_in.decrypt_rtp(&ours).unwrap()[..], plain);
            let opened = receiver.unprotect_rtp(&mut ours, NOW).unwrap();
            assert_eq!(ours[..opened], plain);
        }
        for words in 0..=300u16 {
            let mut plain = vec![0x80, 201];
            plain.extend((words + 1).to_be_bytes());
            plain.extend([0, 0, 0, 7]);
            plain.extend(&payload[..usize::from(words) * 4]);
            let mut ours = [&plain[..], &[0; MAX_TRAILER_BYTES]].concat();
            let length = sender.protect_rtcp(&mut ours, plain.len()).unwrap();
            ours.truncate(length);
            let theirs = theirs_out.encrypt_rtcp(&plain).unwrap();
            assert_eq!(ours, theirs[..], "{suite:?} {words} words");
            assert_eq!(theirs_in.decrypt_rtcp(&ours).unwrap()[..], plain);
            let opened = receiver.unprotect_rtcp(&mut ours).unwrap();
            assert_eq!(ours[..opened], plain);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn both_directions_agree_with_rtc_srtp(
        start in 0u16..=u16::MAX,
        steps in prop::collection::vec((1u16..3000, prop::collection::vec(any::<u8>(), 0..400)), 1..60),
        ssrc in any::<u32>(),
        which in prop::sample::select(&ORACLES[..]),
    ) {
        let (suite, _) = which;
        let mut sender = Sender::new(&key(suite));
        let mut receiver = Receiver::new(&key(suite));
        let mut theirs_out = oracle(which);
        let mut theirs_in = oracle(which);
        let mut index = u64::from(start);
        for (step, payload) in steps {
            let plain = rtp(index as u16, ssrc, &payload);
            let mut ours = protect(&sender, &plain, index);
            let theirs = theirs_out.encrypt_rtp(&plain).unwrap();
            prop_assert_eq!(&ours[..], &theirs[..]);
            prop_assert_eq!(&theirs_in.decrypt_rtp(&ours).unwrap()[..], &plain[..]);
            let length = receiver.unprotect_rtp(&mut ours, NOW).unwrap();
            prop_assert_eq!(&ours[..length], &plain[..]);

            let mut report = vec![0x80, 0xc9, 0, 1];
            report.extend(ssrc.to_be_bytes());
            let mut ours = report.clone();
            ours.resize(64, 0);
            let length = sender.protect_rtcp(&mut ours, report.len()).unwrap();
            prop_assert_eq!(&theirs_in.decrypt_rtcp(&ours[..length]).unwrap()[..], &report[..]);
            let length = receiver.unprotect_rtcp(&mut ours[..length]).unwrap();
            prop_assert_eq!(&ours[..length], &report[..]);
            index += u64::from(step);
        }
    }

    /// Verdict by verdict over a bad network: loss, reordering, duplicates, forgeries, several SSRCs
    /// and roll-overs, some of them lost.
    #[test]
    fn both_receivers_judge_an_impaired_stream_alike(
        starts in prop::collection::vec(0u16..=u16::MAX, 1..4),
        fates in prop::collection::vec((0u8..100, 0usize..3, 1u64..2000, 0u64..30), 200..2000),
        which in prop::sample::select(&ORACLES[..]),
    ) {
        let (suite, _) = which;
        let sender = Sender::new(&key(suite));
        let mut receiver = Receiver::new(&key(suite));
        let mut theirs = oracle_with_window(which, 1024);
        let mut heard = vec![0; starts.len()];
        // The first packet of each arrives: who misses a roll-over before he has heard anything must
        // guess, and the two guess differently.
        let first = starts.iter().enumerate();
        let mut network: Vec<(usize, u64, bool)> =
            first.map(|(stream, start)| (stream, u64::from(*start), false)).collect();
        let mut next: Vec<u64> = starts.iter().map(|start| u64::from(*start) + 1).collect();
        let settled = network.len() + 3;
        for (fate, stream, jump, delay) in fates {
            let stream = stream % next.len();
            let index = next[stream];
            next[stream] += if fate < 10 { jump } else { 1 };
            let forged = (10..15).contains(&fate);
            network.push((stream, index, forged));
            if (15..25).contains(&fate) {
                network.push((stream, index.saturating_sub(delay), false));
            }
            if (25..35).contains(&fate) && network.len() > settled {
                let at = network.len() - 1;
                network.swap(at, at - 3);
            }
        }
        for (stream, index, forged) in network {
            let ssrc = 0x100 + stream as u32;
            let plain = rtp(index as u16, ssrc, b"voice of somebody");
            let mut packet = protect(&sender, &plain, index);
            if forged {
                let at = packet.len() - 12;
                packet[at] ^= 4;
            }
            let verdict = theirs.decrypt_rtp(&packet);
            match receiver.unprotect_rtp(&mut packet, NOW) {
                Ok(length) => {
                    heard[stream] += 1;
                    prop_assert_eq!(&packet[..length], &plain[..]);
                    prop_assert_eq!(&verdict.unwrap()[..], &plain[..]);
                }
                Err(fault) => prop_assert!(verdict.is_err(), "{:?} of {:?}", fault, index),
            }
        }
        prop_assert!(heard.iter().sum::<i32>() > 100);
    }

    #[test]
    fn no_bytes_make_it_panic_or_pass(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        suite in prop::sample::select(&Suite::ALL[..]),
    ) {
        let mut receiver = Receiver::new(&key(suite));
        prop_assert!(receiver.unprotect_rtp(&mut bytes.clone(), NOW).is_err());
        prop_assert!(receiver.unprotect_rtcp(&mut bytes.clone()).is_err());
    }
}

/// A sender report of this second, protected.
fn report(sender: &mut Sender, second: u32) -> Vec<u8> {
    let mut packet = hex("80c80006000000070000000000000000000000a0000000010000000a");
    packet[8..12].copy_from_slice(&second.to_be_bytes());
    let plain = packet.len();
    packet.resize(plain + MAX_TRAILER_BYTES, 0);
    let length = sender.protect_rtcp(&mut packet, plain).unwrap();
    packet.truncate(length);
    packet
}

#[test]
fn a_peer_that_counts_its_reports_anew_is_heard_and_no_recording_of_it_is() {
    for suite in Suite::ALL {
        let mut receiver = Receiver::new(&key(suite));
        let mut before = Sender::new(&key(suite));
        let old: Vec<_> = (1..=40).map(|second| report(&mut before, second)).collect();
        for packet in &old {
            assert!(receiver.unprotect_rtcp(&mut packet.clone()).is_ok());
        }
        // Another program with the same key.
        let mut after = Sender::new(&key(suite));
        let new: Vec<_> = (50..60).map(|second| report(&mut after, second)).collect();
        for (number, packet) in new.iter().enumerate() {
            assert!(
                receiver.unprotect_rtcp(&mut packet.clone()).is_ok(),
                "{suite:?}, report {number}"
            );
            for packet in old.iter().chain(&new[..=number]) {
                let mut again = packet.clone();
                let refused = receiver.unprotect_rtcp(&mut again);
                assert_eq!(refused, Err(SrtpFault::Replay), "{suite:?}");
                assert_eq!(again, *packet, "left as it was");
            }
        }
        // What has no date is new from behind the old end on.
        let bare = |sender: &mut Sender| {
            let mut packet = hex("80c9000100000007");
            packet.resize(8 + MAX_TRAILER_BYTES, 0);
            let length = sender.protect_rtcp(&mut packet, 8).unwrap();
            packet.truncate(length);
            packet
        };
        for index in 11..=60u32 {
            let opened = receiver.unprotect_rtcp(&mut bare(&mut after));
            assert_eq!(opened.is_ok(), index > 40, "{suite:?}, {index}");
        }
    }
}
