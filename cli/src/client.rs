//! Talks to a running daemon over its Unix socket, and to a relay of a proxy.

use crate::admin::routes::ROOT;
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt};
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
    /// Lines of its head.
    pub head: String,
    /// Body.
    pub body: String,
}

impl Answer {
    /// What a header says.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut own = lines.filter(|(own, _)| own.eq_ignore_ascii_case(name));
        own.next().map(|(_, value)| value.trim())
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum ClientFault {
    /// Nobody listens on the socket.
    Unreachable {
        /// What the operating system said.
        why: io::Error,
        /// What is there instead of one that somebody listens on.
        found: Found,
    },
    /// This user may not open the socket.
    Forbidden {
        /// The group whose members may, if that can be seen.
        group: Option<String>,
    },
    /// Somebody holds the socket, and nothing has come within this time.
    Silent {
        /// How long it was waited for.
        waited: Duration,
        /// Whether something was to be done: it may be done yet.
        is_deed: bool,
    },
    /// The connection has ended before an answer.
    Closed,
    /// What came is no answer.
    Broken(String),
}

/// What stands where the socket of a daemon should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A socket.
    Socket,
    /// A directory.
    Directory,
    /// A file of another kind.
    File,
}

impl Found {
    fn at(path: &Path) -> Self {
        match path.metadata().map(|facts| facts.file_type()) {
            Err(_) => Self::Nothing,
            Ok(kind) if kind.is_socket() => Self::Socket,
            Ok(kind) if kind.is_dir() => Self::Directory,
            Ok(_) => Self::File,
        }
    }
}

/// What tells how the daemon is.
const LOOK: &str = "systemctl status causeway, journalctl -u causeway -n 50";

impl fmt::Display for ClientFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden { group: Some(group) } => write!(
                f,
                "this user may not open the socket; root and members of the group {group} may \
                 (usermod -aG {group} NAME, then log in again)"
            ),
            Self::Forbidden { group: None } => f.write_str(
                "this user may not open the socket; root may (sudo causeway …)",
            ),
            Self::Unreachable { found, why } => match found {
                Found::Nothing => write!(
                    f,
                    "no daemon answers: no socket is there; the daemon does not run ({LOOK}), or [api] unix names another \
                     one (--socket PATH)"
                ),
                Found::Socket if why.kind() == io::ErrorKind::ConnectionRefused => write!(
                    f,
                    "no daemon answers: nobody listens on the socket, which a daemon that is dead has left there ({LOOK})"
                ),
                Found::Socket => write!(f, "no daemon answers: {why}"),
                Found::Directory | Found::File => write!(
                    f,
                    "no daemon answers: this is {}, not the socket of a daemon; [api] unix tells which that is (--socket \
                     PATH)",
                    match found {
                        Found::Directory => "a directory",
                        _ => "a file",
                    }
                ),
            },
            Self::Silent { waited, is_deed } => {
                let seconds = waited.as_secs();
                write!(
                    f,
                    "the daemon holds the socket but has not answered for {seconds} s: it hangs, or has much to do"
                )?;
                match is_deed {
                    true => f.write_str(
                        "; what was asked may be done yet (causeway status, journalctl -u causeway)",
                    ),
                    false => f.write_str(" (journalctl -u causeway)"),
                }
            }
            Self::Closed => f.write_str(
                "the daemon closed the connection without an answer: it is starting or ending (causeway status, journalctl \
                 -u causeway)",
            ),
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
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Silent {
                waited: LIMIT,
                is_deed: false,
            },
            _ => Self::Unreachable {
                why,
                found: Found::at(socket),
            },
        }
    }

    /// Of what went wrong once there was a connection.
    fn within(why: &io::Error, waited: Duration, is_deed: bool) -> Self {
        match why.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Silent { waited, is_deed },
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Closed,
            _ => Self::Broken(why.to_string()),
        }
    }
}

/// Opens the socket. Where a daemon that hangs has a full queue of others who wait, this ends, too.
fn connect(socket: &Path, limit: Duration) -> Result<UnixStream, ClientFault> {
    let connected = || -> io::Result<UnixStream> {
        let own = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        own.set_write_timeout(Some(limit))?;
        own.connect(&SockAddr::unix(socket)?)?;
        Ok(UnixStream::from(OwnedFd::from(own)))
    };
    connected().map_err(|why| ClientFault::of(why, socket))
}

/// Name of the group whose members may use the socket, or pass its directory if that hides it; none where nobody but the
/// owner may.
fn group_of(socket: &Path) -> Option<String> {
    let (facts, needed) = match socket.metadata() {
        Ok(facts) => (facts, WRITES),
        Err(_) => (socket.parent()?.metadata().ok()?, PASSES),
    };
    group_that_may(facts.mode(), facts.gid(), needed)
}

/// What the mode of a socket says that the group may open, and that of a directory that it may pass.
const WRITES: u32 = 0o020;
const PASSES: u32 = 0o010;

/// The group itself, if it may. That of root is nobody's to join.
fn group_that_may(mode: u32, id: u32, needed: u32) -> Option<String> {
    if id == 0 || mode & needed == 0 {
        return None;
    }
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    group_name(&groups, id).or_else(|| Some(id.to_string()))
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
    send_within(LIMIT, socket, (method, path), headers, body)
}

/// The same, with no longer silence than this.
fn send_within(
    limit: Duration,
    socket: &Path,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer, ClientFault> {
    let mut stream = connect(socket, limit)?;
    let broken = |why: io::Error| ClientFault::within(&why, limit, method != "GET");
    stream.set_read_timeout(Some(limit)).map_err(broken)?;
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
        return Err(ClientFault::Closed);
    }
    parse(&bytes).ok_or_else(|| ClientFault::Broken("not HTTP".to_owned()))
}

/// Asks for a path of an HTTP listener without TLS.
///
/// # Errors
/// What the operating system says, or that the answer is no HTTP.
pub fn get_at(address: SocketAddr, path: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.take(MAX_BYTES).read_to_end(&mut bytes)?;
    parse(&bytes).ok_or_else(|| io::Error::other("what answers there is not HTTP"))
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
    let mut stream = connect(socket, LIMIT)?;
    let broken = |why: io::Error| ClientFault::within(&why, SILENCE, false);
    stream.set_read_timeout(Some(SILENCE)).map_err(broken)?;
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
        if head.is_empty() {
            return Err(ClientFault::Closed.into());
        }
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
    let head = head.to_owned();
    Some(Answer { status, head, body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn an_answer_is_read_and_noise_is_not() {
        let answer = parse(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (404, "{}"));
        assert_eq!(answer.header("Content-Length"), Some("2"));
        assert_eq!(parse(b"SSH-2.0-x\r\n"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn who_may_not_open_the_socket_is_told_who_may() {
        let group = Some("causeway-admin".to_owned());
        let told = ClientFault::Forbidden { group }.to_string();
        assert!(told.contains("group causeway-admin may"), "{told}");
        let told = ClientFault::Forbidden { group: None }.to_string();
        assert!(
            told.contains("root may") && !told.contains("group"),
            "{told}"
        );

        let unnamed = 4_000_000_001;
        let own = group_that_may(0o660, unnamed, WRITES);
        assert_eq!(own, Some(unnamed.to_string()));
        // A member could not open this either, and to be in the group of root is no cure.
        assert_eq!(group_that_may(0o600, unnamed, WRITES), None);
        assert_eq!(group_that_may(0o700, unnamed, PASSES), None);
        assert_eq!(group_that_may(0o770, 0, WRITES), None);

        let groups = "root:x:0:\ncauseway:x:990:\ncauseway-admin:x:991:kim,lee\n";
        assert_eq!(group_name(groups, 991).as_deref(), Some("causeway-admin"));
        assert_eq!(group_name(groups, 5), None);
    }

    #[test]
    fn without_a_daemon_the_cause_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let told = |path: &Path| {
            let fault = ask(path, "GET", "/status").unwrap_err().to_string();
            assert!(fault.starts_with("no daemon answers"), "{fault}");
            fault
        };
        let socket = directory.path().join("api.sock");
        assert!(told(&socket).contains("no socket is there; the daemon does not run"));
        drop(UnixListener::bind(&socket).unwrap());
        assert!(told(&socket).contains("a daemon that is dead has left there"));
        assert!(told(directory.path()).contains("this is a directory"));
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(told(&file).contains("this is a file"));
    }

    #[test]
    fn a_daemon_that_says_nothing_hangs_and_one_that_hangs_up_starts_or_ends() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("api.sock");
        let daemon = UnixListener::bind(&socket).unwrap();
        let limit = Duration::from_millis(50);
        let asked = |method| {
            let fault = send_within(limit, &socket, (method, "/drain"), &[], "");
            fault.unwrap_err().to_string()
        };
        let told = asked("POST");
        assert!(
            told.contains("has not answered for 0 s: it hangs"),
            "{told}"
        );
        assert!(told.contains("may be done yet (causeway status"), "{told}");
        assert!(!asked("GET").contains("may be done yet"));

        let all = std::thread::spawn(move || daemon.incoming().take(3).for_each(drop));
        let fault = ask(&socket, "POST", "/drain").unwrap_err().to_string();
        assert!(fault.contains("it is starting or ending"), "{fault}");
        all.join().unwrap();
    }
}
