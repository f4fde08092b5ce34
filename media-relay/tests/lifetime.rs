//! Keys that may protect few packets only (MED-107).

use crate::common::{A, B, Bench, peer_a, peer_b, rtp, terms};
use media_api::*;
use media_relay::session::Worn;
use media_relay::srtp::{MAX_TRAILER_BYTES, Sender};

const SUITE: Suite = Suite::AesCm128HmacSha1_80;
/// 2^10 packets: twenty seconds of voice.
const LIFETIME: u64 = 1 << 10;

fn theirs() -> CryptoKey {
    CryptoKey::new(SUITE, vec![9; SUITE.key_and_salt_bytes()]).unwrap()
}

/// A has these keys, B is plain.
fn agreed(bench: &mut Bench, local: &CryptoKey, remote: &CryptoKey) {
    let protection = Protection::Sdes {
        local: local.clone(),
        remote: remote.clone(),
    };
    bench.answer(
        A,
        NegotiatedStream {
            protection,
            ..terms(peer_a())
        },
    );
}

fn half_secure() -> (Bench, CryptoKey) {
    let wanted = ProtectionWanted::Sdes(vec![SUITE]);
    let mut bench = Bench::allocated([wanted, ProtectionWanted::None]);
    let ours = bench.local[0].streams[0].keys[0].clone();
    bench.answer(B, terms(peer_b()));
    bench.join(0);
    (bench, ours)
}

/// So many packets of B to A; how many left, and with which of them a new key was asked for.
fn speak(bench: &mut Bench, packets: std::ops::Range<u16>) -> (u64, Vec<u16>) {
    let (mut sent, mut told) = (0, Vec::new());
    for sequence in packets {
        bench.run_ms(20);
        let voice = rtp(8, sequence, u32::from(sequence) * 160, 5, b"voice");
        sent += u64::from(bench.send(B, peer_b(), &voice).is_ok());
        let worn = std::mem::take(&mut bench.out.worn);
        let ours = Worn {
            endpoint: A,
            stream: StreamIndex(0),
            suite: SUITE,
        };
        assert!(worn.iter().all(|one| *one == ours));
        told.extend(worn.iter().map(|_| sequence));
    }
    (sent, told)
}

#[test]
fn a_key_of_ours_is_renewed_at_nine_tenths_and_protects_nothing_past_its_end() {
    let (mut bench, ours) = half_secure();
    let short = ours.clone().with_lifetime(LIFETIME);
    agreed(&mut bench, &short, &theirs());
    // Nobody renews it: it is told again, and nothing leaves past its end.
    let (sent, told) = speak(&mut bench, 1..1100);
    assert_eq!(sent, LIFETIME);
    assert_eq!(told[..3], [922, 973, 999]);
    assert_eq!(bench.stats(B).dropped(DropReason::Send), 1099 - LIFETIME);

    // The same key again is the same key, however long it is said to live.
    agreed(&mut bench, &ours, &theirs());
    assert_eq!(speak(&mut bench, 1100..1110).0, 0);
    // Another one goes on in the same stream.
    let other = CryptoKey::new(SUITE, vec![3; SUITE.key_and_salt_bytes()]).unwrap();
    agreed(&mut bench, &other.with_lifetime(LIFETIME), &theirs());
    assert_eq!(speak(&mut bench, 1110..1120), (10, vec![]));
}

#[test]
fn a_key_of_the_peer_that_is_nearly_used_up_is_told_and_still_heard() {
    let (mut bench, ours) = half_secure();
    agreed(&mut bench, &ours, &theirs().with_lifetime(LIFETIME));
    let peer = Sender::new(&theirs());
    let mut told = Vec::new();
    for index in 1..1100u64 {
        bench.run_ms(20);
        let plain = rtp(8, index as u16, index as u32 * 160, 7, b"voice");
        let mut packet = plain.clone();
        packet.resize(plain.len() + MAX_TRAILER_BYTES, 0);
        let length = peer.protect_rtp(&mut packet, plain.len(), index).unwrap();
        assert!(
            bench.send(A, peer_a(), &packet[..length]).is_ok(),
            "{index}"
        );
        told.extend(std::mem::take(&mut bench.out.worn).iter().map(|_| index));
    }
    assert_eq!(told[..2], [922, 973]);
}
