//! Whether a relay that runs speaks the form of this program: asked beside the daemon that it serves, which hears nothing.

use super::message::{Form, Verdict};
use media_api::wire::{Frames, Reader, Writer};
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long its answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a daemon of this program could not go on with what a relay has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FormFault {
    /// Nobody answers there; why, in words.
    Absent(String),
    /// It speaks another form, or one that cannot be told; why, in words.
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

/// Asks the relay at this socket, whether or not it serves a daemon.
///
/// # Errors
/// Nobody is there, or it speaks another form than this program: see [`FormFault`].
pub fn same_form(path: &Path) -> Result<(), FormFault> {
    let absent = |why: std::io::Error| FormFault::Absent(format!("{}: {why}", path.display()));
    let mut socket = UnixStream::connect(path).map_err(absent)?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(absent)?;
    socket.set_write_timeout(Some(PATIENCE)).map_err(absent)?;
    let mut out = Writer::default();
    Form::ask(&mut out);
    // One that serves a daemon answers before it reads.
    let _ = socket.write_all(out.octets());
    let mut frames = Frames::default();
    let mut told: Option<Verdict> = None;
    loop {
        while let Some(octets) = frames
            .next_frame()
            .map_err(|fault| FormFault::Other(format!("{}: {fault}", path.display())))?
        {
            if told.is_some() {
                return judged(Reader::whole(octets).ok(), path);
            }
            let verdict = Reader::whole(octets).map_err(|fault| {
                FormFault::Other(format!(
                    "what answers at {} is no media relay: {fault}",
                    path.display()
                ))
            });
            told = Some(verdict?);
        }
        match socket.read(frames.room()) {
            // Versions before there was a question say no, and nothing else.
            Ok(0) => return judged(None, path),
            Ok(read) => frames.filled(read),
            Err(why) if why.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) if told.is_some() => return judged(None, path),
            Err(why) => return Err(absent(why)),
        }
    }
}

fn judged(form: Option<Form>, path: &Path) -> Result<(), FormFault> {
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
