//! The terminal while something is drawn on all of it: taken, drawn on without flicker, and given back as it was.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// The other screen, without cursor.
const BEGIN: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
/// Cursor, and the screen as it was.
const END: &str = "\x1b[?25h\x1b[?1049l";
/// Size where the terminal does not say it.
const USUAL: (usize, usize) = (80, 24);

/// What the person at it has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    /// Wants it to end.
    End,
    /// Has made it wider, or narrower.
    Resized,
}

/// The terminal.
pub(super) struct Screen<'o> {
    out: &'o mut dyn Write,
    before: Termios,
    size: (usize, usize),
    /// Has something to read when a signal asks us to end.
    told_to_end: UnixStream,
}

impl<'o> Screen<'o> {
    /// Takes it.
    pub(super) fn take(out: &'o mut dyn Write) -> io::Result<Self> {
        let told_to_end = signals()?;
        let stdin = io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        // Keys come at once and are not shown; Ctrl-C is one of them, so that it ends us here, and in order.
        raw.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        raw.special_codes[SpecialCodeIndex::VMIN] = 0;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&stdin, OptionalActions::Now, &raw)?;
        // From here on it is given back, whatever happens.
        let screen = Self {
            out,
            before,
            size: measured(),
            told_to_end,
        };
        screen.out.write_all(BEGIN.as_bytes())?;
        screen.out.flush()?;
        Ok(screen)
    }

    /// Columns and lines.
    pub(super) fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Waits for a key that means something, so long at most.
    pub(super) fn key(&mut self, most: Duration) -> io::Result<Option<Key>> {
        const MOMENT: Duration = Duration::from_millis(100);
        let until = Instant::now() + most;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let stdin = io::stdin();
            let mut ends = [
                PollFd::new(&stdin, PollFlags::IN),
                PollFd::new(&self.told_to_end, PollFlags::IN),
            ];
            let wait = Timespec::try_from(left.min(MOMENT)).map_err(io::Error::other)?;
            match poll(&mut ends, Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(why) => return Err(why.into()),
            }
            let [typed, told] = ends.map(|end| end.revents());
            if !told.is_empty() {
                return Ok(Some(Key::End));
            }
            if !typed.is_empty() {
                let mut octets = [0; 64];
                // Not by way of what the library keeps: poll sees nothing of that.
                let length = rustix::io::read(&stdin, &mut octets)?;
                // A terminal that is gone says so by nothing at all.
                if length == 0
                    || octets[..length]
                        .iter()
                        .any(|octet| b"qQ\x03\x04".contains(octet))
                {
                    return Ok(Some(Key::End));
                }
            }
            let size = measured();
            if size != self.size {
                self.size = size;
                return Ok(Some(Key::Resized));
            }
            if left.is_zero() {
                return Ok(None);
            }
        }
    }

    /// Draws lines over those of before, in one piece; the last line of the terminal is the foot.
    pub(super) fn draw(&mut self, lines: &[String], foot: &str) -> io::Result<()> {
        let text = picture(lines, foot, self.size);
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        let _ = self.out.write_all(END.as_bytes());
        let _ = self.out.flush();
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// What draws the lines: each ends with the rest of its row cleared, so that nothing is ever blank in between.
fn picture(lines: &[String], foot: &str, (width, height): (usize, usize)) -> String {
    let mut text = String::from("\x1b[H");
    let cut = |line: &str| line.chars().take(width).collect::<String>();
    for line in lines.iter().take(height.saturating_sub(1)) {
        text.push_str(&cut(line));
        text.push_str("\x1b[K\r\n");
    }
    text.push_str("\x1b[J");
    text.push_str(&format!("\x1b[{height};1H{}\x1b[K", cut(foot)));
    text
}

fn measured() -> (usize, usize) {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        }
        Ok(_) | Err(_) => USUAL,
    }
}

/// Something that can be read once a signal wants us to end.
fn signals() -> io::Result<UnixStream> {
    let (told, tells) = UnixStream::pair()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let kinds = [
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::interrupt(),
    ];
    let [mut terminated, mut hung_up, mut interrupted] = {
        let _within = runtime.enter();
        let [one, two, three] = kinds.map(signal);
        [one?, two?, three?]
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = hung_up.recv() => {}
                _ = interrupted.recv() => {}
            }
        });
        // Its end is what is read.
        drop(tells);
    });
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_fits_the_terminal_and_clears_what_it_does_not_cover() {
        let lines = ["ähnlich", "b", "c"].map(str::to_owned);
        assert_eq!(
            picture(&lines, "q ends", (4, 3)),
            "\x1b[Hähnl\x1b[K\r\nb\x1b[K\r\n\x1b[J\x1b[3;1Hq en\x1b[K"
        );
    }
}
