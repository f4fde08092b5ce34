//! What SRTP costs a packet, ours beside `rtc-srtp` in the same run: `cargo bench --bench srtp`.
//!
//! The two take turns, and the best turn of each counts: what else the machine does changes neither
//! the best nor their ratio much. Figures are of one packet protected and one opened, together.

use media_api::{CryptoKey, Suite};
use media_relay::Timestamp;
use media_relay::srtp::{MAX_TRAILER_BYTES, Receiver, Sender};
use rtc_srtp::context::Context;
use rtc_srtp::protection_profile::ProtectionProfile;
use std::hint::black_box;
use std::time::Instant;

/// Packets of a turn; fewer than there are sequence numbers.
const PACKETS: usize = 10_000;
const TURNS: usize = 40;
/// A header and 20 ms of G.711.
const PLAIN_BYTES: usize = 172;

fn packet(index: usize) -> [u8; PLAIN_BYTES + MAX_TRAILER_BYTES] {
    let mut packet = [0xd5; PLAIN_BYTES + MAX_TRAILER_BYTES];
    packet[..2].copy_from_slice(&[0x80, 8]);
    packet[2..4].copy_from_slice(&(index as u16).to_be_bytes());
    packet[4..8].copy_from_slice(&(index as u32 * 160).to_be_bytes());
    packet[8..12].copy_from_slice(&[1, 2, 3, 4]);
    packet
}

/// Nanoseconds per packet of one turn.
fn turn(mut work: impl FnMut(usize)) -> f64 {
    let start = Instant::now();
    (0..PACKETS).for_each(&mut work);
    start.elapsed().as_nanos() as f64 / PACKETS as f64
}

/// Best nanoseconds of protecting and of opening.
struct Best {
    protect: f64,
    open: f64,
}

impl Best {
    const NONE: Self = Self {
        protect: f64::INFINITY,
        open: f64::INFINITY,
    };

    fn turn(&mut self, protect: f64, open: f64) {
        self.protect = self.protect.min(protect);
        self.open = self.open.min(open);
    }

    fn both(&self) -> f64 {
        self.protect + self.open
    }
}

fn our_turn(key: &CryptoKey, best: &mut Best) {
    let sender = Sender::new(key);
    let mut receiver = Receiver::new(key);
    let mut packets: Vec<_> = (0..PACKETS).map(packet).collect();
    let mut length = 0;
    let protect = turn(|index| {
        let sealed = sender.protect_rtp(&mut packets[index], PLAIN_BYTES, index as u64);
        length = sealed.expect("room");
    });
    let open = turn(|index| {
        let now = Timestamp(index as u64 * 20_000);
        let opened = receiver.unprotect_rtp(&mut packets[index][..length], now);
        black_box(opened.expect("authentic"));
    });
    best.turn(protect, open);
}

fn their_turn(key: &CryptoKey, profile: ProtectionProfile, best: &mut Best) {
    let provider = rtc_crypto::default_provider().expect("built in");
    let context = || {
        let (key, salt) = (key.expose_key(), key.expose_salt());
        Context::new(key, salt, profile, None, None, provider.crypto()).expect("a valid key")
    };
    let (mut sender, mut receiver) = (context(), context());
    let packets: Vec<_> = (0..PACKETS).map(packet).collect();
    let mut sealed = Vec::with_capacity(PACKETS);
    let protect = turn(|index| {
        let packet = &packets[index][..PLAIN_BYTES];
        sealed.push(sender.encrypt_rtp(packet).expect("a valid packet"));
    });
    let open = turn(|index| {
        black_box(receiver.decrypt_rtp(&sealed[index]).expect("authentic"));
    });
    best.turn(protect, open);
}

fn main() {
    // `cargo test` also starts benches; they run only when asked.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("SRTP, 160-byte payload, best of {TURNS} turns of {PACKETS} packets, in ns");
    println!("suite                     protect    open    both   rtc-srtp  ratio");
    for suite in Suite::ALL {
        let profile = match suite {
            Suite::AesCm128HmacSha1_80 => Some(ProtectionProfile::Aes128CmHmacSha1_80),
            Suite::AesCm128HmacSha1_32 => Some(ProtectionProfile::Aes128CmHmacSha1_32),
            Suite::AesCm192HmacSha1_80 | Suite::AesCm192HmacSha1_32 => None,
            Suite::AesCm256HmacSha1_80 => Some(ProtectionProfile::Aes256CmHmacSha1_80),
            Suite::AesCm256HmacSha1_32 => Some(ProtectionProfile::Aes256CmHmacSha1_32),
            Suite::AeadAes128Gcm => Some(ProtectionProfile::AeadAes128Gcm),
            Suite::AeadAes256Gcm => Some(ProtectionProfile::AeadAes256Gcm),
        };
        let master = vec![7; suite.key_and_salt_bytes()];
        let key = CryptoKey::new(suite, master).expect("its length");
        let (mut ours, mut theirs) = (Best::NONE, Best::NONE);
        for _ in 0..TURNS {
            our_turn(&key, &mut ours);
            if let Some(profile) = profile {
                their_turn(&key, profile, &mut theirs);
            }
        }
        let (name, both) = (suite.name(), ours.both());
        print!(
            "{name:24}  {:>7.0}  {:>6.0}  {both:>6.0}",
            ours.protect, ours.open
        );
        match profile {
            Some(_) => println!("  {:>9.0}  {:>5.2}", theirs.both(), both / theirs.both()),
            None => println!(),
        }
    }
}
