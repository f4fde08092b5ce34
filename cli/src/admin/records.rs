//! Call records of the spool, found by what they say.

use super::spool::{Cursor, Fault, sum_of};
use super::{Access, Problem, cursor};
use crate::daemon::Daemon;
use crate::sink::cdr::{CURRENT, closed_files};
use crate::sink::trace::Digits;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use sbc_core::time::UnixTime;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Octets of records that one search reads at most.
const MOST_READ: u64 = 256 * 1024 * 1024;

/// What cursors of a search begin with: those of the export go the other way.
const LIST: &str = "records-";

/// A day.
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Which records are meant; all that is said has to hold (OPS-087).
#[derive(Deserialize, Default)]
pub(super) struct Wish {
    pub(super) number: Option<String>,
    pub(super) trunk: Option<String>,
    pub(super) call: Option<String>,
    /// Call-ID of any of its legs.
    pub(super) call_id: Option<String>,
    /// Session-ID, or one of its two parts.
    pub(super) session_id: Option<String>,
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
    /// Whether lines of pairs of legs are meant, too.
    #[serde(default)]
    pub(super) pairs: bool,
    /// Whether interim records are meant, too.
    #[serde(default)]
    pub(super) interim: bool,
    pub(super) limit: Option<usize>,
    /// Behind which record of another page.
    pub(super) cursor: Option<String>,
}

/// A wish, understood.
#[derive(Default)]
pub(super) struct Asked {
    number: Option<String>,
    trunk: Option<String>,
    call: Option<Digits>,
    call_id: Option<String>,
    session_id: Vec<String>,
    pub(super) since: Option<UnixTime>,
    until: Option<UnixTime>,
    pairs: bool,
    interim: bool,
    most: usize,
    /// The last record of the page before.
    behind: Option<Cursor>,
    /// What a line of JSON must have in it to be worth reading: any of each.
    pub(super) near: Vec<Vec<String>>,
}

impl Asked {
    pub(super) fn of(wish: Wish) -> Result<Self, Problem> {
        let bad = |why: String| Problem::new(StatusCode::BAD_REQUEST, why);
        let time = |name: &str, text: Option<&String>, of_day: Duration| {
            let Some(text) = text else { return Ok(None) };
            let day = UnixTime::of_day(text).map(|day| day + of_day);
            let at = day.or_else(|| UnixTime::of_rfc3339(text));
            let why = format!("{name}: write 2026-08-01, or 2026-08-01T10:30:00Z");
            at.map(Some).ok_or_else(|| bad(why))
        };
        let call = match &wish.call {
            None => None,
            Some(text) => Some(Digits::of(text).ok_or_else(|| {
                bad("call: a call is named by up to 32 hexadecimal digits".to_owned())
            })?),
        };
        let parts = wish.session_id.iter().flat_map(|whole| whole.split(';'));
        let parts = parts.map(|part| part.trim().trim_start_matches("remote="));
        let session_id: Vec<String> = parts
            .filter(|part| !part.is_empty() && part.bytes().any(|b| b != b'0'))
            .map(str::to_ascii_lowercase)
            .collect();
        let one = |text: &Option<String>| text.iter().map(|text| in_json(text)).collect();
        let mut near: Vec<Vec<String>> = vec![
            one(&wish.number),
            one(&wish.trunk),
            one(&wish.call.as_ref().map(|digits| digits.to_ascii_lowercase())),
            one(&wish.call_id),
            session_id.iter().map(|part| in_json(part)).collect(),
        ];
        near.retain(|any| !any.is_empty());
        let since = time("since", wish.since.as_ref(), Duration::ZERO)?;
        let until = time("until", wish.until.as_ref(), DAY)?;
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            return Err(bad(
                "since is not before until: no call can be between".to_owned()
            ));
        }
        let behind = match wish.cursor {
            None => None,
            Some(text) => {
                let place = text.strip_prefix(LIST).and_then(Cursor::read);
                Some(place.ok_or_else(cursor::unknown)?)
            }
        };
        Ok(Self {
            since,
            until,
            number: wish.number,
            trunk: wish.trunk,
            call,
            call_id: wish.call_id,
            session_id,
            pairs: wish.pairs,
            interim: wish.interim,
            most: wish.limit.unwrap_or(100).clamp(1, 1_000),
            behind,
            near,
        })
    }

    /// Most lines need not be taken apart to see that they are not meant.
    pub(super) fn is_near(&self, line: &[u8]) -> bool {
        let has = |text: &String| memchr::memmem::find(line, text.as_bytes()).is_some();
        self.near.iter().all(|any| any.iter().any(has))
    }

    pub(super) fn means(&self, record: &Value) -> bool {
        let is_pair = !record["pair"].is_null();
        if (is_pair && !self.pairs) || (!record["interim"].is_null() && !self.interim) {
            return false;
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let legs = || record["egress"].as_array().into_iter().flatten();
        let has_number = |digits: &String| {
            let of_pair = [&record["a"]["number"], &record["b"]["number"]];
            ["calling", "called", "calling_raw", "called_raw"]
                .iter()
                .map(|name| &record[*name])
                .chain(of_pair)
                .any(|number| text(number).contains(digits.as_str()))
        };
        let has_trunk = |trunk: &String| {
            let own = ["ingress", "a", "b"].iter().map(|end| &record[*end]);
            own.chain(legs()).any(|leg| leg["trunk"] == *trunk)
        };
        let has_call_id = |call_id: &String| {
            let own = std::iter::once(&record["ingress"]);
            own.chain(legs()).any(|leg| leg["call_id"] == *call_id)
        };
        let is_call = |digits: Digits| {
            let call = record["call"].as_str().and_then(|call| call.parse().ok());
            call.is_some_and(|call| digits.mean(call))
        };
        let start = || UnixTime::of_rfc3339(record["start"].as_str()?);
        self.number.as_ref().is_none_or(has_number)
            && self.trunk.as_ref().is_none_or(has_trunk)
            && self.call_id.as_ref().is_none_or(has_call_id)
            && self.call.is_none_or(is_call)
            && (self.session_id.is_empty()
                || self.session_id.contains(&text(&record["session_id"])))
            && self.since.is_none_or(|since| start() >= Some(since))
            && self
                .until
                .is_none_or(|until| start().is_some_and(|start| start < until))
    }
}

/// A text as it is written within a string of JSON.
pub(super) fn in_json(text: &str) -> String {
    let written = Value::from(text).to_string();
    written.trim_matches('"').to_owned()
}

pub(super) async fn search(
    State(access): State<Access>,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(wish) = wish.map_err(|why| Problem::query(&why))?;
    let asked = Asked::of(wish)?;
    let daemon = access.daemon()?;
    let Some(found) = found(&access, &daemon, asked).await? else {
        let why = "no records are written: there is no [cdr] in the configuration";
        return Err(Problem::new(StatusCode::NOT_FOUND, why));
    };
    let told = json!({
        "records": found.records,
        "is_whole": !found.has_more && found.is_read,
        "has_more": found.has_more,
        "is_read": found.is_read,
    });
    let next = found.next.map(|place| format!("{LIST}{}", place.text()));
    Ok(cursor::page(Json(told), next))
}

/// Records of the calls that these digits name, two at most: whoever asks wants one.
pub(super) async fn of_call(
    access: &Access,
    daemon: &Daemon,
    digits: &str,
) -> Result<Vec<Value>, Problem> {
    let wish = Wish {
        call: Some(digits.to_owned()),
        limit: Some(2),
        ..Wish::default()
    };
    let found = found(access, daemon, Asked::of(wish)?).await?;
    Ok(found.map_or_else(Vec::new, |found| found.records))
}

/// `None` where no records are written.
async fn found(access: &Access, daemon: &Daemon, asked: Asked) -> Result<Option<Found>, Problem> {
    let Some(spool) = daemon.loaded().shell.cdr.clone() else {
        return Ok(None);
    };
    let place = spool.directory.clone();
    let found = access
        .desk
        .work(move || find(Path::new(&spool.directory), &asked, MOST_READ))
        .await?;
    found.map(Some).map_err(|fault| fault.problem(&place))
}

/// What a search has found.
struct Found {
    /// Newest first.
    records: Vec<Value>,
    /// Whether there are more of them in what was read.
    has_more: bool,
    /// Whether all that was written has been read.
    is_read: bool,
    /// What the next page is behind, if there is more or not all was read.
    next: Option<Cursor>,
}

fn find(directory: &Path, asked: &Asked, most_read: u64) -> Result<Found, Fault> {
    let most = asked.most;
    let mut records: Vec<(Cursor, Value)> = Vec::new();
    let mut left = most_read;
    let mut is_read = true;
    let mut next = None;
    // Files that are newer than that of the page before have nothing that is behind it.
    let mut behind = asked.behind;
    // The open file is opened before the others are listed: it may be closed, and have another name, meanwhile.
    let open = opened(&directory.join(CURRENT))?;
    let written_to = open.as_ref().map(identity).transpose()?;
    let closed = newest_first(directory)?;
    let closed = closed.into_iter().take_while(|path| {
        // What was closed on an earlier day has only calls that had ended by then.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let day = name.get(..10).and_then(UnixTime::of_day);
        let is_early = |since: UnixTime| day.is_some_and(|day| day + DAY <= since);
        !asked.since.is_some_and(is_early)
    });
    let closed = closed.map(|path| opened(&path));
    for file in std::iter::once(Ok(open)).chain(closed) {
        // One that was listed may have been taken away.
        let Some(mut file) = file? else { continue };
        let is_again = written_to == Some(identity(&file)?) && left < most_read;
        let facts = file.metadata()?;
        if is_again {
            continue;
        }
        let mut place = Cursor {
            file: facts.ino(),
            sum: sum_of(&file)?.unwrap_or_default(),
            offset: 0,
        };
        let mut length = facts.len();
        if let Some(own) = behind {
            if (own.file, own.sum) != (place.file, place.sum) {
                continue;
            }
            length = length.min(own.offset);
            behind = None;
        }
        if records.len() > most {
            break;
        }
        let part = length.min(left);
        is_read = part == length;
        if !is_read {
            // The last part of it, without the line that it begins within.
            file.seek(SeekFrom::Start(length - part))?;
        }
        left -= part;
        let wanted = most + 1 - records.len();
        place.offset = length - part;
        let (found, first) = of_file(file.take(part), asked, wanted, place, !is_read)?;
        records.extend(found);
        if !is_read {
            // The line that it begins within is the last one of what comes next.
            next = Some(first);
            break;
        }
    }
    if behind.is_some() {
        return Err(Fault::Gone);
    }
    let has_more = records.len() > most;
    records.truncate(most);
    if has_more {
        next = records.last().map(|(place, _)| *place);
    }
    Ok(Found {
        records: records.into_iter().map(|(_, record)| record).collect(),
        has_more,
        is_read,
        next,
    })
}

/// The last records of a file from this place on that are meant, newest first, at most so many, each with its own place;
/// and that of the first whole line.
fn of_file(
    file: impl Read,
    asked: &Asked,
    most: usize,
    mut place: Cursor,
    begins_within: bool,
) -> io::Result<(VecDeque<(Cursor, Value)>, Cursor)> {
    let mut found = VecDeque::new();
    let mut first = place;
    let lines = BufReader::new(file).split(b'\n');
    for (number, line) in lines.enumerate() {
        let line = line?;
        let own = place;
        place.offset += line.len() as u64 + 1;
        if begins_within && number == 0 {
            first = place;
            continue;
        }
        if !asked.is_near(&line) {
            continue;
        }
        if let Ok(record) = serde_json::from_slice::<Value>(&line)
            && asked.means(&record)
        {
            found.push_front((own, record));
            found.truncate(most);
        }
    }
    Ok((found, first))
}

/// `None` if there is no such file.
pub(super) fn opened(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why),
    }
}

/// What a file is, whatever its name.
pub(super) fn identity(file: &File) -> io::Result<(u64, u64)> {
    let found = file.metadata()?;
    Ok((found.dev(), found.ino()))
}

/// The files that were closed: their names say when.
fn newest_first(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut closed = closed_files(directory)?;
    closed.sort();
    closed.reverse();
    Ok(closed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn asked(wish: Wish) -> Asked {
        Asked::of(wish).unwrap_or_else(|_| panic!("it can be understood"))
    }

    fn wish(limit: usize) -> Asked {
        asked(Wish {
            number: Some("+44".to_owned()),
            limit: Some(limit),
            ..Wish::default()
        })
    }

    fn find(directory: &Path, asked: &Asked) -> Result<Found, Fault> {
        super::find(directory, asked, MOST_READ)
    }

    fn calls(found: &Found) -> Vec<i64> {
        let call = |record: &Value| record["n"].as_i64().unwrap();
        found.records.iter().map(call).collect()
    }

    #[test]
    fn a_time_that_ends_before_it_begins_is_refused() {
        let of = |since: &str, until: &str| {
            Asked::of(Wish {
                since: Some(since.to_owned()),
                until: Some(until.to_owned()),
                ..Wish::default()
            })
        };
        assert!(of("2026-08-01", "2026-08-01").is_ok());
        for (since, until) in [
            ("2026-08-02", "2026-08-01"),
            ("2026-08-01T10:00:00Z", "2026-08-01T09:00:00Z"),
        ] {
            let why = of(since, until).err().map(|problem| problem.status);
            assert_eq!(why, Some(StatusCode::BAD_REQUEST), "{since} {until}");
        }
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

    /// All pages of a search, each of so many, and the files that are there in between.
    fn pages(directory: &Path, most: usize, most_read: u64, meanwhile: impl Fn()) -> Vec<i64> {
        let mut asked = wish(most);
        let mut all = Vec::new();
        for _ in 0..100 {
            let found = super::find(directory, &asked, most_read).unwrap();
            all.extend(calls(&found));
            match found.next {
                Some(next) => asked.behind = Some(next),
                None => return all,
            }
            meanwhile();
        }
        panic!("it does not end: {all:?}");
    }

    #[test]
    fn who_goes_on_from_page_to_page_gets_each_record_once_whatever_is_written_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let line = |n: i64| json!({ "n": n, "calling": "+441632960000" }).to_string() + "\n";
        let text = |numbers: std::ops::Range<i64>| numbers.map(line).collect::<String>();
        fs::write(at("20260101.jsonl"), text(0..5)).unwrap();
        fs::write(at("20260102.jsonl"), text(5..10)).unwrap();
        fs::write(at("current.jsonl"), text(10..15)).unwrap();
        let wanted: Vec<i64> = (0..15).rev().collect();
        for most in [1, 2, 3, 5, 14, 15, 16] {
            assert_eq!(
                pages(folder.path(), most, MOST_READ, || ()),
                wanted,
                "{most}"
            );
        }
        // Pages that end because enough was read go on there, within lines and between them.
        let long = line(10).len() as u64;
        for most_read in [2 * long, 2 * long + 7, 5 * long] {
            assert_eq!(
                pages(folder.path(), 100, most_read, || ()),
                wanted,
                "{most_read}"
            );
        }
        // The file is closed, and more is written.
        let closed = pages(folder.path(), 2, MOST_READ, || {
            if !at("20260103.jsonl").exists() {
                fs::rename(at("current.jsonl"), at("20260103.jsonl")).unwrap();
                fs::write(at("current.jsonl"), text(15..20)).unwrap();
            }
        });
        assert_eq!(closed, wanted);
        let mut asked = wish(1);
        asked.behind = find(folder.path(), &asked).unwrap().next;
        assert_eq!(calls(&find(folder.path(), &asked).unwrap()), [18]);
        fs::remove_file(at("current.jsonl")).unwrap();
        assert!(matches!(find(folder.path(), &asked), Err(Fault::Gone)));
        for bad in ["", "records-", "1-2-3", "records-1-2"] {
            let wish = Wish {
                cursor: Some(bad.to_owned()),
                ..Wish::default()
            };
            let why = Asked::of(wish).err().unwrap();
            assert!(why.detail.starts_with("cursor: "), "{bad}");
        }
    }

    #[test]
    fn of_what_is_too_much_to_read_the_last_part_is_read_and_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let line = |n| json!({ "n": n, "calling": "+441632960000" }).to_string() + "\n";
        let old: String = (0..100).map(line).collect();
        fs::write(folder.path().join("20260101.jsonl"), &old).unwrap();
        fs::write(folder.path().join("20250101.jsonl"), line(-1)).unwrap();
        let open: String = (100..103).map(line).collect();
        fs::write(folder.path().join("current.jsonl"), &open).unwrap();
        // The open file, and of the other one two lines and a half.
        let most_read = (open.len() + 2 * line(99).len() + line(97).len() / 2) as u64;
        let found = super::find(folder.path(), &wish(100), most_read).unwrap();
        assert_eq!(calls(&found), [102, 101, 100, 99, 98]);
        assert!(!found.is_read && !found.has_more);
        let whole = find(folder.path(), &wish(1_000)).unwrap();
        assert_eq!((whole.records.len(), whole.is_read), (104, true));
    }

    #[test]
    fn a_call_is_found_by_what_a_carrier_knows_of_it_and_lines_of_pairs_are_no_calls() {
        let folder = tempfile::tempdir().unwrap();
        let session = "ab30317f1a784dc48ff824d0d3715d86";
        let record = |n: u64, at: &str| {
            json!({
                "n": n, "call": format!("{n:032x}"), "start": at, "calling": "+441632960000",
                "session_id": session.replace("ab", &format!("{n:02x}")),
                "ingress": { "trunk": "carrier", "call_id": format!("a\"{n}@example.net") },
                "egress": [{ "trunk": "teams", "call_id": format!("b{n}@example.com") }],
            })
        };
        let pair = json!({
            "n": 9, "pair": "x-0", "call": format!("{:032x}", 2), "start": "2026-01-02T10:00:00.000Z",
            "a": { "trunk": "carrier", "number": "+441632960000" }, "b": {},
        });
        let interim = json!({ "n": 8, "interim": 1, "call": format!("{:032x}", 2) });
        let lines = [
            record(1, "2026-01-01T10:00:00.000Z"),
            record(2, "2026-01-02T10:00:00.000Z"),
            pair,
            interim,
            record(3, "2026-01-03T10:00:00.000Z"),
        ];
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(folder.path().join("current.jsonl"), text).unwrap();
        // Closed before the day that is asked for: not even looked at.
        fs::write(folder.path().join("2025-12-30T00-00-00-000Z.jsonl"), "").unwrap();
        let is = |change: fn(&mut Wish)| {
            let mut wish = Wish::default();
            change(&mut wish);
            calls(&find(folder.path(), &asked(wish)).unwrap())
        };
        let nobody: [i64; 0] = [];
        assert_eq!(is(|_| ()), [3, 2, 1]);
        assert_eq!(is(|wish| wish.pairs = true), [3, 9, 2, 1]);
        assert_eq!(is(|wish| wish.interim = true), [3, 8, 2, 1]);
        assert_eq!(
            is(|wish| wish.call_id = Some("a\"2@example.net".to_owned())),
            [2]
        );
        assert_eq!(
            is(|wish| wish.call_id = Some("b3@example.com".to_owned())),
            [3]
        );
        assert_eq!(is(|wish| wish.call_id = Some("b3".to_owned())), nobody);
        let of_session = |wish: &mut Wish| {
            let whole = "0230317F1A784DC48FF824D0D3715D86;remote=00000000000000000000000000000000";
            wish.session_id = Some(whole.to_owned());
        };
        assert_eq!(is(of_session), [2]);
        assert_eq!(
            is(|wish| wish.since = Some("2026-01-02".to_owned())),
            [3, 2]
        );
        assert_eq!(
            is(|wish| wish.until = Some("2026-01-02".to_owned())),
            [2, 1]
        );
        let exactly = |wish: &mut Wish| {
            wish.since = Some("2026-01-02T10:00:00Z".to_owned());
            wish.until = Some("2026-01-03T10:00:00Z".to_owned());
        };
        assert_eq!(is(exactly), [2]);
        assert_eq!(is(|wish| wish.call = Some("03".to_owned())), [3]);
        let faulty = [
            Wish {
                since: Some("yesterday".to_owned()),
                ..Wish::default()
            },
            Wish {
                call: Some("x".to_owned()),
                ..Wish::default()
            },
        ];
        for wish in faulty {
            assert!(Asked::of(wish).is_err());
        }
    }
}
