//! Which calls have their record in the spool although the journal does not say so: a daemon ended between the two.

use super::spool::{CURRENT, closed_files, place_in_time};
use sbc_core::id::CallId;
use serde_json::Value;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Octets of the spool in which records are looked for that were written just before a crash.
pub(super) const LOOKED_AT: u64 = 64 << 20;

/// Those of the calls that have their record: it was written, and the daemon ended before it could say so here. What
/// cannot be read is passed over: a second record of a call is less than none of all others.
pub(super) fn written(
    directory: &Path,
    calls: &HashSet<CallId>,
    unread: &mut Vec<String>,
) -> io::Result<HashSet<CallId>> {
    let mut found = HashSet::new();
    if calls.is_empty() {
        return Ok(found);
    }
    let mut files = closed_files(directory)?;
    // What is somebody else's by its name comes last.
    files.sort_by_cached_key(|path| (place_in_time(path), path.clone()));
    files.push(directory.join(CURRENT));
    let mut left = LOOKED_AT;
    for path in files.into_iter().rev() {
        let length = match written_in(&path, left, calls, &mut found) {
            Ok(length) => length,
            Err(why) if why.kind() == io::ErrorKind::NotFound => continue,
            Err(why) => {
                unread.push(format!("{}: {why}", path.display()));
                continue;
            }
        };
        left = left.saturating_sub(length);
        if left == 0 {
            break;
        }
    }
    Ok(found)
}

/// Adds those of the calls that have their record in the last octets of this file; says how long it is.
fn written_in(
    path: &Path,
    last: u64,
    calls: &HashSet<CallId>,
    found: &mut HashSet<CallId>,
) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(last)))?;
    for line in BufReader::new(file.take(last)).split(b'\n') {
        // Half a line at the beginning is none.
        let Ok(told) = serde_json::from_slice::<Value>(&line?) else {
            continue;
        };
        let call = told["call"].as_str().and_then(|call| call.parse().ok());
        let is_whole = told["pair"].is_null() && told["interim"].is_null();
        if let Some(call) = call.filter(|call| is_whole && calls.contains(call)) {
            found.insert(call);
        }
    }
    Ok(length)
}
