//! Whether a daemon of this program could go on with what a relay has: asked beside the daemon that it serves, which hears
//! nothing.

use super::message::{Form, Verdict};
use crate::control::realm::Realm;
use media_api::wire::{DIGEST_OF_NOTHING, Frames, Reader, Writer, digest};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long it may all take, however slowly a relay answers.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a daemon of this program could not go on with what a relay has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FormFault {
    /// Nobody answers there; why, in words.
    Absent(String),
    /// It speaks another form, serves other realms, or does not tell; why, in words.
    Other(String),
}

impl fmt::Display for FormFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(why) | Self::Other(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for FormFault {}

/// What realms are compared by without telling them: their octets, which are alike where the form is.
pub(super) fn digest_of(realms: &[Realm]) -> u64 {
    let mut out = Writer::default();
    realms.iter().for_each(|realm| out.frame(realm));
    digest(out.octets(), DIGEST_OF_NOTHING)
}

/// Asks the relay at this socket whether it speaks the form of this program, and whether what it serves, or has waiting,
/// is of these realms: a daemon that comes with others gets none of it.
///
/// # Errors
/// Nobody is there, or it is not so, or cannot be told: see [`FormFault`].
pub fn goes_on(path: &Path, realms: &[Realm]) -> Result<(), FormFault> {
    asked(path, realms, PATIENCE)
}

fn asked(path: &Path, realms: &[Realm], patience: Duration) -> Result<(), FormFault> {
    let until = Instant::now() + patience;
    let absent = |why: io::Error| FormFault::Absent(format!("{}: {why}", path.display()));
    let mut socket = connect(path, patience).map_err(absent)?;
    let mut out = Writer::default();
    Form::ask(&mut out);
    // One that serves a daemon answers before it reads. Of a new connection so little is taken at once.
    let _ = socket.write_all(out.octets());
    let mut frames = Frames::default();
    let mut told = 0;
    loop {
        while let Some(octets) = frames
            .next_frame()
            .map_err(|fault| FormFault::Other(format!("{}: {fault}", path.display())))?
        {
            told += 1;
            match told {
                1 => drop(Reader::whole::<Verdict>(octets).map_err(|fault| {
                    FormFault::Other(format!(
                        "what answers at {} is no media relay: {fault}",
                        path.display()
                    ))
                })?),
                2 => same_form(Reader::whole(octets).ok(), path)?,
                _ => return same_realms(Reader::whole(octets).ok(), realms, path),
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        let read = match left.is_zero() {
            true => Err(io::Error::from(ErrorKind::TimedOut)),
            false => socket
                .set_read_timeout(Some(left))
                .and_then(|()| socket.read(frames.room())),
        };
        match (read, told) {
            (Ok(read), _) if read > 0 => frames.filled(read),
            (Err(why), _) if why.kind() == ErrorKind::Interrupted => {}
            (Err(why), 0) => return Err(absent(why)),
            // Versions before there was a question say no, and nothing else; those after them not which realms.
            (_, 0 | 1) => return same_form(None, path),
            _ => return same_realms(None, realms, path),
        }
    }
}

/// Connects within this time: one that hangs accepts nobody, and its queue may be full.
fn connect(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    set_socket_timeout(&socket, Timeout::Send, Some(patience))?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

fn same_form(form: Option<Form>, path: &Path) -> Result<(), FormFault> {
    match form {
        Some(form) if form == Form::OWN => Ok(()),
        Some(form) => Err(FormFault::Other(format!(
            "the relay at {} speaks form {form} of the socket, this program form {}",
            path.display(),
            Form::OWN
        ))),
        None => Err(FormFault::Other(format!(
            "the relay at {} does not tell which form of the socket it speaks, as versions before this one do not",
            path.display()
        ))),
    }
}

/// Of what was told behind the form, if anything was: the digest of the realms that the relay has.
fn same_realms(told: Option<Option<u64>>, realms: &[Realm], path: &Path) -> Result<(), FormFault> {
    let why = match told {
        Some(Some(has)) if has == digest_of(realms) => return Ok(()),
        Some(Some(_)) => {
            "serves other realms than those of this configuration: addresses, ports, dscp or media_backend differ"
        }
        Some(None) => "serves no daemon",
        None => "does not tell which realms it serves",
    };
    Err(FormFault::Other(format!(
        "the relay at {} {why}",
        path.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread;

    const SHORT: Duration = Duration::from_millis(200);

    /// A path that nobody else uses.
    fn path(name: &str) -> std::path::PathBuf {
        let own = format!("causeway-form-{}-{name}", std::process::id());
        std::env::temp_dir().join(own)
    }

    #[test]
    fn a_relay_that_answers_octet_by_octet_is_not_waited_for_to_its_end() {
        let path = path("slow");
        let listener = UnixListener::bind(&path).unwrap();
        let answering = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            // A frame that would take the better part of a minute; until nobody reads any more.
            let octets = 1000_u32.to_le_bytes().into_iter().chain([1; 1000]);
            octets
                .take_while(|octet| {
                    thread::sleep(SHORT / 4);
                    socket.write_all(&[*octet]).is_ok()
                })
                .count()
        });
        let told = asked(&path, &[], SHORT);
        assert!(matches!(told, Err(FormFault::Absent(_))), "{told:?}");
        assert!(answering.join().unwrap() < 1000);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_relay_that_accepts_nobody_is_not_waited_for() {
        let path = path("full");
        let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
        let hangs = rustix::net::socket_with(family, SocketType::STREAM, flags, None).unwrap();
        rustix::net::bind(&hangs, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        rustix::net::listen(&hangs, 0).unwrap();
        let _first = UnixStream::connect(&path).unwrap();
        let told = asked(&path, &[], SHORT);
        assert!(matches!(told, Err(FormFault::Absent(_))), "{told:?}");
        std::fs::remove_file(&path).unwrap();
    }
}
