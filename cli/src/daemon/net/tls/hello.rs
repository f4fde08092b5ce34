//! The first flight of a client that has no version of TLS that we have.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Record header (RFC 5246 §6.2.1), then type and length of the handshake message, then its version (§7.4.1.2).
const BEGINNING: usize = 5 + 4 + 2;
const RECORD_OF_HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// TLS 1.2; later versions are offered in an extension and say this too (RFC 8446 §4.1.2).
const OLDEST: [u8; 2] = [3, 3];
/// A fatal alert, `protocol_version` (RFC 5246 §7.2).
const PROTOCOL_VERSION: [u8; 7] = [21, 3, 1, 0, 2, 2, 70];

/// Turns away a client whose first flight offers nothing above TLS 1.1, with the alert that RFC 5246 §E.1 wants:
/// rustls looks for extensions first that such a client has not, and only says that the handshake failed.
///
/// Whoever sends his first octets one by one is left to rustls, which refuses him as well.
pub(in super::super) async fn turns_away(stream: &mut TcpStream) -> bool {
    let mut first = [0; BEGINNING];
    let is_whole = matches!(stream.peek(&mut first).await, Ok(BEGINNING));
    if !is_whole || !is_too_old(&first) {
        return false;
    }
    // Whether it is heard or not, the connection ends.
    let _ = stream.write_all(&PROTOCOL_VERSION).await;
    // What is read is not answered with a reset, which could overtake the alert.
    let _ = stream.try_read(&mut [0; 1_024]);
    let _ = stream.shutdown().await;
    true
}

fn is_too_old(first: &[u8; BEGINNING]) -> bool {
    let [kind, _, _, _, _, message, _, _, _, version @ ..] = *first;
    kind == RECORD_OF_HANDSHAKE && message == CLIENT_HELLO && version < OLDEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_hello_of_an_old_version_is_too_old() {
        let hello = |kind, message, minor| [kind, 3, 1, 0, 9, message, 0, 0, 5, 3, minor];
        for minor in [0, 1, 2] {
            assert!(is_too_old(&hello(22, 1, minor)));
        }
        for other in [
            hello(22, 1, 3),
            hello(22, 1, 4),
            hello(23, 1, 1),
            hello(22, 2, 1),
        ] {
            assert!(!is_too_old(&other), "{other:?}");
        }
    }
}
