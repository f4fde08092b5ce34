//! Talks to a running daemon over its Unix socket.

use crate::admin::routes::ROOT;
use serde_json::Value;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(30);
/// Longest silence of a daemon that tells of events: it breathes every 15 seconds.
const SILENCE: Duration = Duration::from_secs(60);
/// Longest line of an event.
const MAX_LINE: u64 = 1024 * 1024;
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
    /// Nobody listens on the socket.
    Unreachable(io::Error),
    /// This user may not open the socket.
    Forbidden {
        /// The group whose members may, if that can be seen.
        group: Option<String>,
    },
    /// What came is no answer.
    Broken(String),
}

impl fmt::Display for ClientFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden { group: Some(group) } => write!(
                f,
                "this user may not open the socket; root and members of the group {group} may \
                 (usermod -aG {group} NAME, then log in again)"
            ),
            Self::Forbidden { group: None } => f.write_str(
                "this user may not open the socket; root may, and the group that its directory \
                 belongs to",
            ),
            Self::Unreachable(why) => write!(f, "no daemon answers: {why}"),
            Self::Broken(why) => write!(f, "the daemon's answer cannot be read: {why}"),
        }
    }
}

impl std::error::Error for ClientFault {}

impl ClientFault {
    fn of(why: io::Error, socket: &Path) -> Self {
        match why.kind() {
            io::ErrorKind::PermissionDenied => Self::Forbidden {
                group: group_of(socket),
            },
            _ => Self::Unreachable(why),
        }
    }
}

/// Name of the group of the socket, or of its directory if that hides it.
fn group_of(socket: &Path) -> Option<String> {
    let facts = socket
        .metadata()
        .or_else(|_| socket.parent().unwrap_or(socket).metadata())
        .ok()?;
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    group_name(&groups, facts.gid()).or_else(|| Some(facts.gid().to_string()))
}

/// Finds a group in the form of /etc/group.
fn group_name(groups: &str, id: u32) -> Option<String> {
    let mut lines = groups.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| {
        let name = fields.next()?;
        let number = fields.nth(1)?;
        (number.parse() == Ok(id)).then(|| name.to_owned())
    })
}

/// Sends one request to an operation of the interface (`admin/routes.rs`).
///
/// # Errors
/// [`ClientFault`]; a refusal by the daemon is an answer.
pub fn ask(socket: &Path, method: &str, path: &str) -> Result<Answer, ClientFault> {
    send(socket, method, path, &[], "")
}

/// Sends one request with headers and a body.
///
/// # Errors
/// [`ClientFault`]; a refusal by the daemon is an answer.
pub fn send(
    socket: &Path,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer, ClientFault> {
    let mut stream = UnixStream::connect(socket).map_err(|why| ClientFault::of(why, socket))?;
    let broken = |why: io::Error| ClientFault::Broken(why.to_string());
    stream.set_read_timeout(Some(LIMIT)).map_err(broken)?;
    stream.set_write_timeout(Some(LIMIT)).map_err(broken)?;
    let mut head =
        format!("{method} {ROOT}{path} HTTP/1.1\r\nHost: causeway\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    // Who is refused in the middle of a long request finds the answer there.
    let written = stream.write_all(request.as_bytes());
    let mut bytes = Vec::new();
    match stream.take(MAX_BYTES).read_to_end(&mut bytes) {
        Err(why) if why.kind() != io::ErrorKind::ConnectionReset => return Err(broken(why)),
        Ok(_) | Err(_) => {}
    }
    if bytes.is_empty() {
        written.map_err(broken)?;
    }
    parse(&bytes).ok_or_else(|| ClientFault::Broken("not HTTP".to_owned()))
}

/// Why events cannot be had.
#[derive(Debug)]
pub enum EventsFault {
    /// The daemon was not reached, or not understood.
    Client(ClientFault),
    /// It has refused.
    Refused(Answer),
}

impl From<ClientFault> for EventsFault {
    fn from(fault: ClientFault) -> Self {
        Self::Client(fault)
    }
}

/// What happens in the daemon, from now on.
#[derive(Debug)]
pub struct Events(BufReader<UnixStream>);

impl Events {
    /// The next event and its data; nothing once the daemon tells no more.
    pub fn next_one(&mut self) -> Option<(String, Value)> {
        let mut kind = String::new();
        loop {
            let mut line = String::new();
            let length = (&mut self.0).take(MAX_LINE).read_line(&mut line).ok()?;
            if length == 0 || !line.ends_with('\n') {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("event", name)) => kind = name.to_owned(),
                Some(("data", data)) => {
                    return Some((kind, serde_json::from_str(data).unwrap_or(Value::Null)));
                }
                // A line without meaning, so that silence is not taken for death.
                _ => {}
            }
        }
    }
}

/// Asks to be told of what happens.
///
/// # Errors
/// [`EventsFault`].
pub fn events(socket: &Path) -> Result<Events, EventsFault> {
    let mut stream = UnixStream::connect(socket).map_err(|why| ClientFault::of(why, socket))?;
    let broken = |why: io::Error| ClientFault::Broken(why.to_string());
    stream.set_read_timeout(Some(SILENCE)).map_err(broken)?;
    stream.set_write_timeout(Some(LIMIT)).map_err(broken)?;
    // Of this version, which knows no pieces: lines come as they are.
    let request = format!("GET {ROOT}/events HTTP/1.0\r\nHost: causeway\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(broken)?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let length = (&mut reader)
            .take(MAX_LINE)
            .read_line(&mut head)
            .map_err(broken)?;
        if length == 0 || head.len() as u64 > MAX_LINE {
            return Err(ClientFault::Broken("not HTTP".to_owned()).into());
        }
    }
    let answer = parse(head.as_bytes());
    let mut answer = answer.ok_or_else(|| ClientFault::Broken("not HTTP".to_owned()))?;
    if answer.status < 300 {
        return Ok(Events(reader));
    }
    reader
        .take(MAX_LINE)
        .read_to_string(&mut answer.body)
        .map_err(broken)?;
    Err(EventsFault::Refused(answer))
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
    fn who_may_not_open_the_socket_is_told_who_may() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("api.sock");
        let fault = ClientFault::of(io::ErrorKind::PermissionDenied.into(), &socket);
        let group = group_of(directory.path()).unwrap();
        assert!(
            fault.to_string().contains(&format!("group {group} may")),
            "{fault}"
        );

        let groups = "root:x:0:\ncauseway:x:990:\ncauseway-admin:x:991:kim,lee\n";
        assert_eq!(group_name(groups, 991).as_deref(), Some("causeway-admin"));
        assert_eq!(group_name(groups, 5), None);
    }

    #[test]
    fn a_missing_socket_says_that_no_daemon_answers() {
        let directory = tempfile::tempdir().unwrap();
        let fault = ask(&directory.path().join("none.sock"), "GET", "/status").unwrap_err();
        assert!(fault.to_string().starts_with("no daemon answers"));
    }
}
