//! Nanoseconds per SRTP packet, ours beside `rtc-srtp` in the same run: `cargo bench --bench srtp`.

use media_api::{CryptoKey, Suite};
use media_relay::Timestamp;
use media_relay::srtp::{Receiver, Sender};
use rtc_srtp::context::Context;
use rtc_srtp::protection_profile::ProtectionProfile;
use std::hint::black_box;
use std::time::Instant;

const PACKETS: u64 = 200_000;
const RUNS: usize = 7;

fn packet(index: u64) -> [u8; 172] {
    let mut packet = [0xd5; 172];
    packet[..2].copy_from_slice(&[0x80, 8]);
    packet[2..4].copy_from_slice(&(index as u16).to_be_bytes());
    packet[4..8].copy_from_slice(&(index as u32 * 160).to_be_bytes());
    packet[8..12].copy_from_slice(&[1, 2, 3, 4]);
    packet
}

/// Median nanoseconds per call of `work`, which is given the packet index. Each run has a fresh
/// state from `prepare`.
fn measure<S>(name: &str, prepare: impl Fn() -> S, mut work: impl FnMut(&mut S, u64)) {
    let mut runs: Vec<_> = (0..RUNS)
        .map(|_| {
            let mut state = prepare();
            let start = Instant::now();
            for index in 0..PACKETS {
                work(&mut state, index);
            }
            start.elapsed().as_nanos() as f64 / PACKETS as f64
        })
        .collect();
    runs.sort_by(f64::total_cmp);
    println!(
        "{name:<44} {:>7.1} ns  (best {:.1}, worst {:.1})",
        runs[RUNS / 2],
        runs[0],
        runs[RUNS - 1]
    );
}

fn main() {
    // `cargo test` also starts benches; they run only when asked.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("SRTP, 160-byte payload, median of {RUNS} runs of {PACKETS} packets");
    for (suite, profile) in [
        (
            Suite::AesCm128HmacSha1_80,
            ProtectionProfile::Aes128CmHmacSha1_80,
        ),
        (
            Suite::AesCm128HmacSha1_32,
            ProtectionProfile::Aes128CmHmacSha1_32,
        ),
    ] {
        let master = [7u8; 30];
        let key = CryptoKey::new(suite, master.to_vec()).expect("the length of both suites");
        let provider = rtc_crypto::default_provider().expect("built in");
        let oracle = || {
            Context::new(
                &master[..16],
                &master[16..],
                profile,
                None,
                None,
                provider.crypto(),
            )
            .expect("a valid key")
        };
        let sender = Sender::new(&key);
        let protected: Vec<Vec<u8>> = (0..PACKETS)
            .map(|index| {
                let mut slot = [0; 200];
                slot[..172].copy_from_slice(&packet(index));
                let length = sender.protect_rtp(&mut slot, 172, index).expect("room");
                slot[..length].to_vec()
            })
            .collect();
        let name = suite.name();
        measure(
            &format!("{name} protect, media-relay"),
            || Sender::new(&key),
            |sender, index| {
                let mut slot = [0; 200];
                slot[..172].copy_from_slice(&packet(index));
                black_box(sender.protect_rtp(&mut slot, 172, index).expect("room"));
            },
        );
        measure(
            &format!("{name} protect, rtc-srtp"),
            oracle,
            |context, index| {
                black_box(context.encrypt_rtp(&packet(index)).expect("a valid packet"));
            },
        );
        measure(
            &format!("{name} unprotect, media-relay"),
            || Receiver::new(&key),
            |receiver, index| {
                let mut slot = [0; 200];
                let packet = &protected[index as usize];
                slot[..packet.len()].copy_from_slice(packet);
                let opened =
                    receiver.unprotect_rtp(&mut slot[..packet.len()], Timestamp(index * 20_000));
                black_box(opened.expect("authentic"));
            },
        );
        measure(
            &format!("{name} unprotect, rtc-srtp"),
            oracle,
            |context, index| {
                black_box(
                    context
                        .decrypt_rtp(&protected[index as usize])
                        .expect("authentic"),
                );
            },
        );
    }
}
