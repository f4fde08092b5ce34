//! Call records of the spool, found by what they say.

use super::config::blocking;
use super::{Access, Problem};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
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
    let spool = daemon.loaded().lock().await.shell.cdr.clone();
    let Some(spool) = spool else {
        let why = "no records are written: there is no [cdr] in the configuration";
        return Err(Problem::new(StatusCode::NOT_FOUND, why));
    };
    let found = blocking(move || find(Path::new(&spool.directory), &wish)).await?;
    let (records, is_whole) =
        found.map_err(|why| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why.to_string()))?;
    Ok(Json(json!({ "records": records, "is_whole": is_whole })))
}

/// Newest first; and whether all that was written has been looked at.
fn find(directory: &Path, wish: &Wish) -> io::Result<(Vec<Value>, bool)> {
    let most = wish.limit.unwrap_or(100).min(1_000);
    let mut found = Vec::new();
    let mut left = MOST_READ;
    let mut is_whole = true;
    for file in newest_first(directory)? {
        let length = fs::metadata(&file)?.len();
        if found.len() > most || length > left {
            is_whole = false;
            break;
        }
        left -= length;
        let mut of_file = Vec::new();
        for line in BufReader::new(File::open(file)?).split(b'\n') {
            let line = line?;
            let is_near =
                |digits: &String| memchr::memmem::find(&line, digits.as_bytes()).is_some();
            // Most lines need not be taken apart to see that they are not meant.
            let wanted = [&wish.number, &wish.trunk, &wish.call];
            if !wanted.into_iter().flatten().all(is_near) {
                continue;
            }
            if let Ok(record) = serde_json::from_slice::<Value>(&line)
                && is_meant(&record, wish)
            {
                of_file.push(record);
            }
        }
        of_file.reverse();
        found.extend(of_file);
    }
    is_whole &= found.len() <= most;
    found.truncate(most);
    Ok((found, is_whole))
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

/// The open file, then those that were closed: their names say when.
fn newest_first(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut closed = Vec::new();
    let mut open = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        match name.as_str() {
            "current.jsonl" => open.push(path),
            name if name.ends_with(".jsonl") => closed.push(path),
            _ => {}
        }
    }
    closed.sort();
    closed.reverse();
    open.extend(closed);
    Ok(open)
}
