//! The last grave lines of the log, for whoever asks the daemon and not its log.

use sbc_core::time::UnixTime;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Lines that are kept.
const MOST: usize = 1_000;
/// Octets of them.
const MOST_BYTES: usize = 1 << 20;

/// Lines in their order. What is kept is limited as lines are, so the lock is taken seldom.
#[derive(Default)]
pub(super) struct Kept(Mutex<Ring>);

#[derive(Default)]
struct Ring {
    lines: VecDeque<Arc<str>>,
    bytes: usize,
}

impl Kept {
    /// Keeps a line, with its time if it has none itself.
    pub(super) fn keep(&self, at: Option<UnixTime>, line: &str) {
        let line: Arc<str> = match at {
            Some(at) => format!("{} {}", at.rfc3339(), line.trim_end()).into(),
            None => line.trim_end().into(),
        };
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.bytes += line.len();
        ring.lines.push_back(line);
        while ring.lines.len() > MOST || ring.bytes > MOST_BYTES {
            let Some(oldest) = ring.lines.pop_front() else {
                break;
            };
            ring.bytes = ring.bytes.saturating_sub(oldest.len());
        }
    }

    pub(super) fn lines(&self) -> Vec<Arc<str>> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.lines.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Form, Level, Log};
    use super::*;

    #[test]
    fn the_last_warnings_and_errors_are_kept_and_nothing_else() {
        let (log, writer) = Log::start(Level::Debug, Form::Text, std::io::sink()).unwrap();
        log.info("call", "ended").send();
        log.warn("target_down", "no answer").with("n", 1).send();
        log.error("bug", "odd").send();
        writer.finish();
        let kept = log.kept();
        assert_eq!(kept.len(), 2, "{kept:?}");
        assert!(kept[0].ends_with("target_down: no answer n=1") && kept[1].ends_with("bug: odd"));
        // The journal has the time itself, and whoever reads this has not.
        let (log, writer) = Log::start(Level::Info, Form::Journal, std::io::sink()).unwrap();
        log.error("bug", "odd").send();
        writer.finish();
        let line = &log.kept()[0];
        let (at, rest) = line.split_once(' ').unwrap();
        assert!(UnixTime::of_rfc3339(at).is_some(), "{line}");
        assert_eq!(rest, "<3>bug: odd");
    }

    #[test]
    fn lines_are_bounded_in_number_and_octets() {
        let kept = Kept::default();
        for number in 0..2 * MOST {
            kept.keep(None, &format!("{number}\n"));
        }
        let lines = kept.lines();
        assert_eq!((lines.len(), &*lines[0]), (MOST, "1000"));
        let long = "x".repeat(MOST_BYTES / 10);
        for _ in 0..30 {
            kept.keep(None, &format!("{long}\n"));
        }
        assert_eq!(kept.lines().len(), 10);
    }
}
