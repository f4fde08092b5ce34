//! Nanoseconds per packet through a session, by kind of path: `cargo bench --bench forward`.
//!
//! From the received bytes to the bytes to send, without the kernel. Many sessions take turns, so
//! that their state is not always in the nearest cache.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{A, B, Bench, peer_a, peer_b, rtp, terms};
use media_api::*;
use media_relay::session::{Outcome, SocketId};
use media_relay::srtp::Sender;
use std::hint::black_box;
use std::time::Instant;

const SESSIONS: usize = 500;
const PACKETS: usize = 400;
const RUNS: usize = 5;

fn key(seed: u8) -> CryptoKey {
    CryptoKey::new(Suite::AesCm128HmacSha1_80, vec![seed; 30]).expect("the suite's length")
}

fn bench(secure: [bool; 2]) -> Bench {
    let mut bench = Bench::joined();
    for ((endpoint, peer), (secure, seed)) in [(A, peer_a()), (B, peer_b())]
        .into_iter()
        .zip(secure.into_iter().zip([10, 20]))
    {
        let protection = if secure {
            Protection::Sdes {
                local: key(seed),
                remote: key(seed + 1),
            }
        } else {
            Protection::None
        };
        bench.answer(
            endpoint,
            NegotiatedStream {
                protection,
                ..terms(peer)
            },
        );
    }
    bench
}

fn main() {
    // `cargo test` also starts benches; they run only when asked.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("session, 160-byte payload, {SESSIONS} sessions, median of {RUNS} runs");
    let plain: Vec<Vec<u8>> = (0..PACKETS as u16)
        .map(|at| rtp(8, at, u32::from(at) * 160, 9, &[0xd5; 160]))
        .collect();
    let sender = Sender::new(&key(11));
    let secured: Vec<Vec<u8>> = (0u64..)
        .zip(&plain)
        .map(|(index, plain)| {
            let mut packet = [&plain[..], &[0; 14]].concat();
            let length = sender
                .protect_rtp(&mut packet, plain.len(), index)
                .expect("room");
            packet[..length].to_vec()
        })
        .collect();
    for (name, secure) in [
        ("RTP  -> RTP", [false, false]),
        ("RTP  -> SRTP", [false, true]),
        ("SRTP -> RTP", [true, false]),
        ("SRTP -> SRTP", [true, true]),
    ] {
        let packets = if secure[0] { &secured } else { &plain };
        let mut runs: Vec<f64> = (0..RUNS)
            .map(|_| {
                let mut benches: Vec<_> = (0..SESSIONS).map(|_| bench(secure)).collect();
                let mut slot = vec![0; 2048];
                let start = Instant::now();
                for packet in packets {
                    for bench in &mut benches {
                        bench.now.0 += 20_000;
                        slot[..packet.len()].copy_from_slice(packet);
                        let outcome = bench.session.packet(
                            SocketId(0),
                            peer_a(),
                            &mut slot,
                            packet.len(),
                            bench.now,
                            &mut bench.out,
                        );
                        assert!(matches!(black_box(outcome), Outcome::Forward(_)));
                    }
                }
                start.elapsed().as_nanos() as f64 / (PACKETS * SESSIONS) as f64
            })
            .collect();
        runs.sort_by(f64::total_cmp);
        println!(
            "{name:<14} {:>7.1} ns  (best {:.1}, worst {:.1})",
            runs[RUNS / 2],
            runs[0],
            runs[RUNS - 1]
        );
    }
}
