//! The journal of systemd by its own protocol: a datagram for each line, with its fields (OPS-080).
//!
//! Where that fails, because the journal is away or does not take it in time, the line goes to standard error as text.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";
/// How long it may take to take a line; the queue of lines is bounded meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);
/// Behind each entry, which has no empty line itself.
const END: &str = "\n\n";

/// Takes entries as [`super::text::Text`] makes them.
pub(super) struct Journal<W> {
    place: PathBuf,
    socket: UnixDatagram,
    or_else: W,
}

impl<W: Write> Journal<W> {
    /// One at this socket; what it does not take goes to `or_else`.
    pub(super) fn open(place: PathBuf, or_else: W) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.connect(&place)?;
        Ok(Self {
            place,
            socket,
            or_else,
        })
    }

    fn entry(&mut self, entry: &str) -> io::Result<()> {
        // A journal that was started anew has another socket at the same place.
        let sent = self.socket.send(entry.as_bytes()).or_else(|why| {
            if why.kind() == io::ErrorKind::WouldBlock {
                return Err(why);
            }
            self.socket.connect(&self.place)?;
            self.socket.send(entry.as_bytes())
        });
        match sent {
            Ok(_) => Ok(()),
            Err(_) => {
                let priority = field(entry, "PRIORITY=").unwrap_or("6");
                writeln!(self.or_else, "<{priority}>{}", message(entry))
            }
        }
    }
}

impl<W: Write> Write for Journal<W> {
    /// Whole entries.
    fn write(&mut self, entries: &[u8]) -> io::Result<usize> {
        for entry in String::from_utf8_lossy(entries).split_inclusive(END) {
            self.entry(&entry[..entry.len().saturating_sub(1)])?;
        }
        Ok(entries.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.or_else.flush()
    }
}

/// What an entry says to a person.
pub(super) fn message(entry: &str) -> &str {
    field(entry, "MESSAGE=").unwrap_or(entry)
}

fn field<'e>(entry: &'e str, name: &str) -> Option<&'e str> {
    entry.lines().find_map(|line| line.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::super::{Form, Level, Log};
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_journal_gets_fields_of_their_own_and_standard_error_what_it_does_not_take() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("socket");
        let listener = UnixDatagram::bind(&place).unwrap();
        let patience = Some(Duration::from_secs(20));
        listener.set_read_timeout(patience).unwrap();
        let written = Written::default();
        let journal = Journal::open(place.clone(), written.clone()).unwrap();
        let (log, writer) = Log::start(Level::Info, Form::Native, journal).unwrap();
        log.warn("target_down", "no answer")
            .with("trunk", "telco a")
            .with("call", "0a")
            .with("call_id", "x\ny\u{1b}[2J")
            .send();
        let mut buffer = [0; 4_096];
        let length = listener.recv(&mut buffer).unwrap();
        let entry = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let lines: Vec<&str> = entry.lines().collect();
        assert_eq!(
            lines,
            [
                "MESSAGE=target_down: no answer trunk=\"telco a\" call=0a call_id=\"x\\ny\\u{1b}[2J\"",
                "PRIORITY=4",
                "SYSLOG_IDENTIFIER=causeway",
                "SBC_CODE=target_down",
                "SBC_TRUNK=telco a",
                "SBC_CALL_UID=0a",
                "SBC_CALLID=x\\ny\\u{1b}[2J",
            ]
        );
        // It is started anew.
        drop(listener);
        std::fs::remove_file(&place).unwrap();
        let listener = UnixDatagram::bind(&place).unwrap();
        listener.set_read_timeout(patience).unwrap();
        log.info("call", "ended").send();
        let length = listener.recv(&mut buffer).unwrap();
        assert!(buffer[..length].starts_with(b"MESSAGE=call: ended\n"));
        // It is gone.
        drop(listener);
        std::fs::remove_file(&place).unwrap();
        log.error("bug", "odd").send();
        writer.finish();
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "<3>bug: odd\n");
        let kept = log.kept();
        assert!(kept[1].ends_with(" bug: odd"), "{kept:?}");
    }
}
