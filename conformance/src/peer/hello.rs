//! The first flight of a TLS client, as far as it says what it would agree to (RFC 5246 §7.4.1.2).

use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// So long a first flight may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(2);
/// Header of a record, and of the handshake message in it.
const HEADERS: usize = 5 + 4;

/// The suites that a client offers, read without taking anything off the stream; none if it says nothing.
pub async fn suites_of(stream: &TcpStream) -> Vec<u16> {
    let deadline = Instant::now() + PATIENCE;
    let mut flight = vec![0; 4_096];
    loop {
        let length = stream.peek(&mut flight).await.unwrap_or_default();
        match suites(&flight[..length]) {
            Some(suites) => return suites,
            None if length == 0 || Instant::now() > deadline => return Vec::new(),
            None => sleep(LOOK).await,
        }
    }
}

/// The suites in a first flight; `None` as long as it is not all there.
fn suites(flight: &[u8]) -> Option<Vec<u16>> {
    // Version, random, and a session with its length before it.
    let session = HEADERS + 2 + 32;
    let at = session + 1 + usize::from(*flight.get(session)?);
    let length = flight.get(at..at + 2)?;
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    let listed = flight.get(at + 2..at + 2 + length)?.chunks_exact(2);
    Some(
        listed
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            .collect(),
    )
}

/// Whether a suite is one that nobody may agree to any more: without ECDHE, or with RC4 or 3DES (TDR-TLS-002).
pub fn is_weak(suite: u16) -> bool {
    match suite {
        // Signals, and not suites (RFC 5746 §3.3, RFC 7507 §2).
        0x00FF | 0x5600 => false,
        // Of TLS 1.3.
        0x1301..=0x1305 => false,
        // ECDHE with ChaCha20.
        0xCCA8 | 0xCCA9 => false,
        // ECDHE with AES; with RC4 and 3DES between them, and those of plain ECDH.
        0xC009 | 0xC00A | 0xC013 | 0xC014 => false,
        0xC023 | 0xC024 | 0xC027 | 0xC028 | 0xC02B | 0xC02C | 0xC02F | 0xC030 => false,
        _ => true,
    }
}

/// A first flight for this version of TLS with these suites, without extensions.
pub fn hello(minor: u8, suites: &[u16]) -> Vec<u8> {
    let mut body = vec![3, minor];
    body.extend([7; 32]);
    body.push(0);
    let octets = |length: usize| u16::try_from(length).unwrap_or_default().to_be_bytes();
    body.extend(octets(2 * suites.len()));
    body.extend(suites.iter().flat_map(|suite| suite.to_be_bytes()));
    body.extend([1, 0]);
    let mut handshake = vec![1, 0];
    handshake.extend(octets(body.len()));
    handshake.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend(octets(handshake.len()));
    record.extend(handshake);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_half_of_it_is_nothing() {
        let flight = hello(3, &[0xC02F, 0x000A]);
        assert_eq!(suites(&flight), Some(vec![0xC02F, 0x000A]));
        for length in 0..flight.len() - 2 {
            let read = suites(&flight[..length]);
            assert!(read.is_none(), "{length} octets: {read:?}");
        }
    }

    #[test]
    fn suites_without_forward_secrecy_and_old_ciphers_are_weak() {
        let weak = [
            0x0005, 0x000A, 0x002F, 0x009C, 0x009E, 0xC011, 0xC012, 0xC007,
        ];
        assert!(weak.iter().all(|suite| is_weak(*suite)));
        let good = [0xC02F, 0xC030, 0xC027, 0xC028, 0x1301, 0x00FF];
        assert!(!good.iter().any(|suite| is_weak(*suite)));
    }
}
