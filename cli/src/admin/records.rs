//! Call records of the spool, found by what they say.

use super::{Access, Problem};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Octets of records that one search reads at most.
const MOST_READ: u64 = 256 * 1024 * 1024;

#[derive(Deserialize)]
pub(super) struct Wish {
    number: Option<String>,
    trunk: Option<String>,
    call: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn search(
    State(access): State<Access>,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(wish) = wish.map_err(|why| Problem::new(why.status(), why.body_text()))?;
    let daemon = access.daemon()?;
    let spool = daemon.loaded().shell.cdr.clone();
    let Some(spool) = spool else {
        let why = "no records are written: there is no [cdr] in the configuration";
        return Err(Problem::new(StatusCode::NOT_FOUND, why));
    };
    let found = access
        .desk
        .work(move || find(Path::new(&spool.directory), &wish))
        .await?;
    let found = found.map_err(|why| {
        let why = format!("the spool cannot be read: {why}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why)
    })?;
    Ok(Json(json!({
        "records": found.records,
        "is_whole": !found.has_more && found.is_read,
        "has_more": found.has_more,
        "is_read": found.is_read,
    })))
}

/// What a search has found.
struct Found {
    /// Newest first.
    records: Vec<Value>,
    /// Whether there are more of them in what was read.
    has_more: bool,
    /// Whether all that was written has been read.
    is_read: bool,
}

fn find(directory: &Path, wish: &Wish) -> io::Result<Found> {
    let most = wish.limit.unwrap_or(100).min(1_000);
    let mut records = Vec::new();
    let mut left = MOST_READ;
    let mut is_read = true;
    // The open file is opened before the others are listed: it may be closed, and have another name, meanwhile.
    let open = opened(&directory.join("current.jsonl"))?;
    let written_to = open.as_ref().map(identity).transpose()?;
    let closed = newest_first(directory)?;
    let closed = closed.into_iter().map(|path| opened(&path));
    for file in std::iter::once(Ok(open)).chain(closed) {
        // One that was listed may have been taken away.
        let Some(file) = file? else { continue };
        let is_again = written_to == Some(identity(&file)?) && left < MOST_READ;
        let length = file.metadata()?.len();
        if is_again {
            continue;
        }
        if records.len() > most {
            break;
        }
        if length > left {
            is_read = false;
            break;
        }
        left -= length;
        let wanted = most + 1 - records.len();
        records.extend(of_file(file.take(length), wish, wanted)?);
    }
    let has_more = records.len() > most;
    records.truncate(most);
    Ok(Found {
        records,
        has_more,
        is_read,
    })
}

/// The last records of a file that are meant, newest first, at most so many.
fn of_file(file: impl Read, wish: &Wish, most: usize) -> io::Result<VecDeque<Value>> {
    let mut found = VecDeque::new();
    for line in BufReader::new(file).split(b'\n') {
        let line = line?;
        let is_near = |digits: &String| memchr::memmem::find(&line, digits.as_bytes()).is_some();
        // Most lines need not be taken apart to see that they are not meant.
        let wanted = [&wish.number, &wish.trunk, &wish.call];
        if !wanted.into_iter().flatten().all(is_near) {
            continue;
        }
        if let Ok(record) = serde_json::from_slice::<Value>(&line)
            && is_meant(&record, wish)
        {
            found.push_front(record);
            found.truncate(most);
        }
    }
    Ok(found)
}

/// `None` if there is no such file.
fn opened(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why),
    }
}

/// What a file is, whatever its name.
fn identity(file: &File) -> io::Result<(u64, u64)> {
    let found = file.metadata()?;
    Ok((found.dev(), found.ino()))
}

fn is_meant(record: &Value, wish: &Wish) -> bool {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let has_number = |digits: &String| {
        ["calling", "called", "calling_raw", "called_raw"]
            .iter()
            .any(|name| text(&record[*name]).contains(digits.as_str()))
    };
    let has_trunk = |trunk: &String| {
        let egress = record["egress"].as_array().map_or(&[][..], Vec::as_slice);
        record["ingress"]["trunk"] == *trunk || egress.iter().any(|leg| leg["trunk"] == *trunk)
    };
    let is_call = |call: &String| record["call"] == *call;
    wish.number.as_ref().is_none_or(has_number)
        && wish.trunk.as_ref().is_none_or(has_trunk)
        && wish.call.as_ref().is_none_or(is_call)
}

/// The files that were closed: their names say when.
fn newest_first(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut closed = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".jsonl") && name != "current.jsonl" {
            closed.push(path);
        }
    }
    closed.sort();
    closed.reverse();
    Ok(closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(limit: usize) -> Wish {
        Wish {
            number: Some("+44".to_owned()),
            trunk: None,
            call: None,
            limit: Some(limit),
        }
    }

    fn calls(found: &Found) -> Vec<i64> {
        let call = |record: &Value| record["n"].as_i64().unwrap();
        found.records.iter().map(call).collect()
    }

    #[test]
    fn the_newest_of_all_files_are_found_and_no_more_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, numbers: std::ops::Range<i64>| {
            let line = |n| json!({ "n": n, "calling": "+441632960000" }).to_string() + "\n";
            let text: String = numbers.map(line).collect();
            fs::write(folder.path().join(name), text).unwrap();
        };
        write("20260101.jsonl", 0..3);
        write("20260102.jsonl", 3..6);
        write("current.jsonl", 6..8);
        let found = find(folder.path(), &wish(100)).unwrap();
        assert_eq!(calls(&found), [7, 6, 5, 4, 3, 2, 1, 0]);
        assert!(found.is_read && !found.has_more);
        let found = find(folder.path(), &wish(4)).unwrap();
        assert_eq!(calls(&found), [7, 6, 5, 4]);
        assert!(found.has_more);
        let found = find(folder.path(), &wish(8)).unwrap();
        assert!(found.is_read && !found.has_more);
        // Without an open file, and with one that is nobody's.
        fs::remove_file(folder.path().join("current.jsonl")).unwrap();
        fs::write(folder.path().join("notes.txt"), "+44").unwrap();
        assert_eq!(calls(&find(folder.path(), &wish(2)).unwrap()), [5, 4]);
    }

    #[test]
    fn what_is_too_much_to_read_is_said_not_to_have_been_read() {
        let folder = tempfile::tempdir().unwrap();
        let old = File::create(folder.path().join("20260101.jsonl")).unwrap();
        old.set_len(MOST_READ + 1).unwrap();
        fs::write(folder.path().join("current.jsonl"), "").unwrap();
        let found = find(folder.path(), &wish(1)).unwrap();
        assert!(!found.is_read && !found.has_more && found.records.is_empty());
    }
}
