//! Keys of a call that has ended are nowhere in memory any more (MED-004, MED-119).

use crate::common::{A, B, Bench, peer_a, peer_b, rtp, terms};
use media_api::*;
use media_relay::srtp::{MAX_TRAILER_BYTES, Sender};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

const SUITE: Suite = Suite::AesCm128HmacSha1_80;
/// The example of RFC 3711 appendix B.3: master key and salt, and the cipher's key of a session with them.
const MASTER: &str = "e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6";
const CIPHER: &str = "c61e7a93744f39ee10734afe3ff7a087";
/// What is looked for is never written as it is, so that nobody finds the question.
const MASK: u8 = 0x5a;

fn octets(hex: &str, mask: u8) -> Vec<u8> {
    let octet = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap() ^ mask;
    (0..hex.len()).step_by(2).map(octet).collect()
}

/// How often a key is in the memory that this process may write to.
fn found(hex: &str) -> usize {
    let wanted = octets(&hex[..32], MASK);
    let first = wanted[0] ^ MASK;
    let is_it = |window: &[u8]| window.iter().zip(&wanted).all(|(a, b)| a ^ MASK == *b);
    let memory = File::open("/proc/self/mem").unwrap();
    let mut block = vec![0; 1 << 20];
    let own = block.as_ptr() as u64..block.as_ptr() as u64 + block.len() as u64;
    let mut count = 0;
    for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|at| u64::from_str_radix(at, 16).unwrap());
        if !rest.starts_with("rw") {
            continue;
        }
        for start in (from..to).step_by(block.len()) {
            let length = (to - start).min(block.len() as u64) as usize;
            // What is mapped and not there, such as guard pages, cannot be read.
            let Ok(length) = memory.read_at(&mut block[..length], start) else {
                continue;
            };
            let hits = block[..length].windows(wanted.len()).enumerate();
            let hits = hits.filter(|(_, window)| window[0] == first && is_it(window));
            count += hits
                .filter(|(at, _)| !own.contains(&(start + *at as u64)))
                .count();
        }
    }
    block.fill(0);
    count
}

/// A call with these keys of the peer, in both directions, while `during` looks at it.
fn call(during: impl FnOnce()) {
    let wanted = ProtectionWanted::Sdes(vec![SUITE]);
    let mut bench = Bench::allocated([wanted, ProtectionWanted::None]);
    let theirs = CryptoKey::new(SUITE, octets(MASTER, 0)).unwrap();
    let protection = Protection::Sdes {
        local: bench.local[0].streams[0].keys[0].clone(),
        remote: theirs.clone(),
    };
    let agreed = NegotiatedStream {
        protection,
        ..terms(peer_a())
    };
    bench.answer(A, agreed);
    bench.answer(B, terms(peer_b()));
    bench.join(0);
    let sender = Sender::new(&theirs);
    for sequence in 0..100 {
        let mut packet = rtp(8, sequence, u32::from(sequence) * 160, 5, &[0xd5; 160]);
        let plain = packet.len();
        packet.resize(plain + MAX_TRAILER_BYTES, 0);
        let length = sender
            .protect_rtp(&mut packet, plain, sequence.into())
            .unwrap();
        bench.run_ms(20);
        bench.send(A, peer_a(), &packet[..length]).unwrap();
    }
    during();
}

#[test]
fn no_key_of_an_ended_call_stays_in_memory() {
    call(|| {
        assert_ne!(found(MASTER), 0, "what is there is found");
        assert_ne!(found(CIPHER), 0, "what is there is found");
    });
    assert_eq!(found(MASTER), 0, "master key");
    assert_eq!(found(CIPHER), 0, "session key");
}
