//! What happened, as a hash for comparing runs and as a ladder for people.

use sbc_core::time::Timestamp;
use std::fmt::{self, Write};

/// Folds a run into 64 bits, and keeps its ladder if wanted.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// A trace that keeps the ladder, or not.
    pub fn new(keeps_ladder: bool) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            lines: keeps_ladder.then(Vec::new),
        }
    }

    /// Whether lines are kept: lets callers save the work of making one.
    pub fn keeps_ladder(&self) -> bool {
        self.lines.is_some()
    }

    /// Folds bytes into the hash.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.hash ^= u64::from_le_bytes(word);
            self.hash = self
                .hash
                .wrapping_mul(0x0000_0100_0000_01b3)
                .rotate_left(29);
        }
    }

    /// Folds the debug form of a value into the hash.
    pub fn value(&mut self, at: Timestamp, value: &impl fmt::Debug) {
        self.bytes(&at.as_micros().to_le_bytes());
        // Writing into the hash never fails.
        let _ = write!(Hashing(self), "{value:?}");
    }

    /// Adds a line to the ladder.
    pub fn line(&mut self, at: Timestamp, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            let seconds = at.as_micros() as f64 / 1e6;
            lines.push(format!("{seconds:12.6}  {}", text()));
        }
    }

    /// The hash so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The ladder.
    pub fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}

struct Hashing<'a>(&'a mut Trace);

impl fmt::Write for Hashing<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.bytes(text.as_bytes());
        Ok(())
    }
}
