//! A place in a file of the spool, which stays what it is when that file is closed and has another name.

use super::Problem;
use axum::http::StatusCode;
use media_api::wire::{DIGEST_OF_NOTHING, digest};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Octets at the beginning of a file by which it is known again.
const BEGINNING: usize = 64;

/// A place in a file of the spool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cursor {
    /// Number of the file on its disk.
    pub(super) file: u64,
    /// What it begins with, as numbers are given out again.
    pub(super) sum: u32,
    pub(super) offset: u64,
}

impl Cursor {
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut parts = text
            .splitn(3, '-')
            .map(|part| u64::from_str_radix(part, 16).ok());
        let mut part = || parts.next().flatten();
        Some(Self {
            file: part()?,
            sum: u32::try_from(part()?).ok()?,
            offset: part()?,
        })
    }

    pub(super) fn text(self) -> String {
        format!("{:x}-{:x}-{:x}", self.file, self.sum, self.offset)
    }
}

/// Why nothing can be read from there.
#[derive(Debug)]
pub(super) enum Fault {
    /// The file is gone that the cursor is in.
    Gone,
    Read(io::Error),
}

impl From<io::Error> for Fault {
    fn from(why: io::Error) -> Self {
        Self::Read(why)
    }
}

impl Fault {
    /// As whoever asks is told of the spool in this directory.
    pub(super) fn problem(self, directory: &str) -> Problem {
        match self {
            Self::Gone => {
                let why = "the file that this cursor is in has been removed: begin without one, or with since";
                Problem::new(StatusCode::GONE, why)
            }
            Self::Read(why) => {
                let why = format!("the spool in {directory} cannot be read: {why}");
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why)
            }
        }
    }
}

/// What a file begins with; nothing while it has no line.
pub(super) fn sum_of(file: &File) -> io::Result<Option<u32>> {
    let mut beginning = [0; BEGINNING];
    let read = file.read_at(&mut beginning, 0)?;
    let is_whole = read == BEGINNING;
    Ok(is_whole.then(|| digest(&beginning, DIGEST_OF_NOTHING) as u32))
}
