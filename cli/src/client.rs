//! Talks to a running daemon over its Unix socket.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(30);
/// Largest answer that is read.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// An answer of the daemon.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum ClientFault {
    /// Nobody listens on the socket, or it may not be opened.
    Unreachable(io::Error),
    /// What came is no answer.
    Broken(String),
}

impl fmt::Display for ClientFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) if why.kind() == io::ErrorKind::PermissionDenied => {
                f.write_str("the socket may not be opened; join the group that owns it")
            }
            Self::Unreachable(why) => write!(f, "no daemon answers: {why}"),
            Self::Broken(why) => write!(f, "the daemon's answer cannot be read: {why}"),
        }
    }
}

impl std::error::Error for ClientFault {}

/// Sends one request.
///
/// # Errors
/// [`ClientFault`]; a refusal by the daemon is an answer.
pub fn ask(socket: &Path, method: &str, path: &str) -> Result<Answer, ClientFault> {
    let mut stream = UnixStream::connect(socket).map_err(ClientFault::Unreachable)?;
    let broken = |why: io::Error| ClientFault::Broken(why.to_string());
    stream.set_read_timeout(Some(LIMIT)).map_err(broken)?;
    stream.set_write_timeout(Some(LIMIT)).map_err(broken)?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: causeway\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(broken)?;
    let mut bytes = Vec::new();
    stream
        .take(MAX_BYTES)
        .read_to_end(&mut bytes)
        .map_err(broken)?;
    parse(&bytes).ok_or_else(|| ClientFault::Broken("not HTTP".to_owned()))
}

/// Reads an answer whose body ends with the connection.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = String::from_utf8_lossy(bytes.get(end + 4..)?).into_owned();
    Some(Answer { status, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_noise_is_not() {
        let answer = parse(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (404, "{}"));
        assert_eq!(parse(b"SSH-2.0-x\r\n"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn a_missing_socket_says_that_no_daemon_answers() {
        let directory = tempfile::tempdir().unwrap();
        let fault = ask(&directory.path().join("none.sock"), "GET", "/status").unwrap_err();
        assert!(fault.to_string().starts_with("no daemon answers"));
    }
}
