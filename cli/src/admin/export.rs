//! Call records of the spool as they were written, page by page, for who takes all of them (OPS-060, OPS-063).
//!
//! A page ends with a cursor, a place in a file of the spool: what is written meanwhile comes behind it, and a file that is
//! closed keeps its place under its new name. So whoever goes on from a cursor, at once or the next night, gets each record
//! once: files follow each other by their names, which say when they were closed, and whoever closes them sees to it that
//! they do so where the clock is set back by up to a day. A page is bounded by records, by octets, and by how much is read
//! for it; of the files, which may be thousands, one is open at a time beside the one that is written.

use super::records::{Asked, DAY, Wish, identity, in_json, opened};
use super::spool::{Cursor, Fault, sum_of};
use super::{Access, Problem, cursor};
use crate::command::csv::{self, Layout};
use crate::misspelt::unknown;
use crate::sink::cdr::{CURRENT, closed_files, place_in_time};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use sbc_core::cause::CauseCode;
use sbc_core::time::UnixTime;
use serde::Deserialize;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Records of one page, if nothing else is said, and at most.
const USUAL: usize = 1_000;
const MOST: usize = 10_000;
/// Octets of records in one page, and of the spool that are read for it.
const MOST_SENT: usize = 8 << 20;
const MOST_READ: u64 = 64 << 20;
/// Longest line that is a record: one of a call has a few kilobytes.
const MOST_LINE: u64 = 1 << 20;

/// The header that says from where to go on, and the one that says whether there is more already.
pub(super) const NEXT: &str = "causeway-next";
pub(super) const MORE: &str = "causeway-more";

/// Which records are wanted, in which form.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    since: Option<String>,
    until: Option<String>,
    trunk: Option<String>,
    direction: Option<Direction>,
    tenant: Option<String>,
    cause: Option<String>,
    #[serde(default)]
    pairs: bool,
    #[serde(default)]
    interim: bool,
    #[serde(default)]
    form: Form,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// Which way calls went, as the trunk sees it that is asked for.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
enum Direction {
    /// They came from it.
    In,
    /// They led to it.
    Out,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "snake_case")]
enum Form {
    /// As they stand in the spool.
    #[default]
    Jsonl,
    Csv,
}

/// Those that are meant.
struct Filter {
    asked: Asked,
    of_trunk: Option<(String, Direction)>,
    tenant: Option<String>,
    cause: Option<String>,
}

impl Filter {
    fn of(wanted: &Wanted) -> Result<Self, Problem> {
        let bad = |why: String| Problem::new(StatusCode::BAD_REQUEST, why);
        let mut asked = Asked::of(Wish {
            trunk: wanted.trunk.clone(),
            since: wanted.since.clone(),
            until: wanted.until.clone(),
            pairs: wanted.pairs,
            interim: wanted.interim,
            ..Wish::default()
        })?;
        if let Some(cause) = &wanted.cause {
            let all = CauseCode::ALL.map(CauseCode::as_str);
            if !all.contains(&cause.as_str()) {
                return Err(bad(unknown("there is no cause", cause, all)));
            }
        }
        for text in wanted.tenant.iter().chain(&wanted.cause) {
            asked.near.push(vec![in_json(text)]);
        }
        let of_trunk = match (&wanted.trunk, wanted.direction) {
            (_, None) => None,
            (Some(trunk), Some(direction)) => Some((trunk.clone(), direction)),
            (None, Some(_)) => {
                let why = "direction is as a trunk sees it: say trunk, too";
                return Err(bad(why.to_owned()));
            }
        };
        Ok(Self {
            asked,
            of_trunk,
            tenant: wanted.tenant.clone(),
            cause: wanted.cause.clone(),
        })
    }

    fn means(&self, record: &Value) -> bool {
        let is = |value: &Value, wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| value == wanted)
        };
        let is_its_way = |(trunk, direction): &(String, Direction)| match direction {
            Direction::In => record["ingress"]["trunk"] == *trunk || record["a"]["trunk"] == *trunk,
            Direction::Out => {
                let attempts = record["egress"].as_array().into_iter().flatten();
                let mut attempts = attempts
                    .map(|own| &own["trunk"])
                    .chain([&record["b"]["trunk"]]);
                attempts.any(|own| own == trunk)
            }
        };
        is(&record["tenant"], &self.tenant)
            && is(&record["cause"]["code"], &self.cause)
            && self.of_trunk.as_ref().is_none_or(is_its_way)
            && self.asked.means(record)
    }
}

/// One page.
#[derive(Debug, PartialEq)]
struct Page {
    /// Whole lines, without their ends.
    lines: Vec<String>,
    next: Option<Cursor>,
    has_more: bool,
}

pub(super) async fn records(
    State(access): State<Access>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(wanted) = wanted.map_err(|why| Problem::query(&why))?;
    let daemon = access.daemon()?;
    let loaded = daemon.loaded();
    let Some(spool) = &loaded.shell.cdr else {
        let why = "no records are written: there is no [cdr] in the configuration";
        return Err(Problem::new(StatusCode::NOT_FOUND, why));
    };
    let filter = Filter::of(&wanted)?;
    // The names of trunks and tenants are those of records: the configuration may not have them any more.
    let cursor = match &wanted.cursor {
        None => None,
        Some(text) => Some(Cursor::read(text).ok_or_else(cursor::unknown)?),
    };
    let most = wanted.limit.unwrap_or(USUAL).clamp(1, MOST);
    let (place, form) = (PathBuf::from(&spool.directory), wanted.form);
    let told = place.display().to_string();
    let work = move || page(&place, &filter, cursor, most).map(|page| Sent::of(page, cursor, form));
    match access.desk.work(work).await? {
        Ok(sent) => Ok(sent.into_response()),
        Err(fault) => Err(fault.problem(&told)),
    }
}

/// A page as it is sent.
struct Sent {
    kind: &'static str,
    body: Vec<u8>,
    next: String,
    has_more: bool,
}

impl Sent {
    fn of(page: Page, cursor: Option<Cursor>, form: Form) -> Self {
        let next = page.next.or(cursor).map(Cursor::text).unwrap_or_default();
        let (kind, body) = match form {
            Form::Jsonl => {
                let mut body = page.lines.join("\n").into_bytes();
                body.extend(page.lines.last().map(|_| b'\n'));
                ("application/jsonl", body)
            }
            Form::Csv => {
                let mut body = Vec::new();
                let records = page
                    .lines
                    .iter()
                    .filter_map(|line| serde_json::from_str(line).ok());
                let records: Vec<Value> = records.collect();
                // Names of columns stand above the first page alone. What is written here is memory.
                let _ = match cursor {
                    None => csv::write(Layout::Causeway, &records, &mut body),
                    Some(_) => csv::rows(Layout::Causeway, &records, &mut body),
                };
                ("text/csv; charset=utf-8", body)
            }
        };
        Self {
            kind,
            body,
            next,
            has_more: page.has_more,
        }
    }
}

impl IntoResponse for Sent {
    fn into_response(self) -> Response {
        let more = self.has_more.to_string();
        let head = [(NEXT, self.next), (MORE, more)];
        ([(CONTENT_TYPE, self.kind)], head, self.body).into_response()
    }
}

/// The files of the spool that are closed, oldest first, and the one that is written, which comes behind them.
fn files(directory: &Path) -> io::Result<(Vec<PathBuf>, Option<File>)> {
    let path = directory.join(CURRENT);
    loop {
        let current = opened(&path)?;
        let written_to = current.as_ref().map(identity).transpose()?;
        let mut closed = closed_files(directory)?;
        // One that was closed meanwhile may be among these, and others behind it: it is looked again, as nobody closes
        // files all the time.
        let now = opened(&path)?.as_ref().map(identity).transpose()?;
        if now == written_to {
            closed.sort_by_cached_key(|path| (place_in_time(path), path.clone()));
            return Ok((closed, current));
        }
    }
}

/// Opens a file that was closed, unless it is gone, or is none of this number where one is looked for: that is seen without.
fn closed_file(path: &Path, looked_for: Option<Cursor>) -> io::Result<Option<File>> {
    let Some(cursor) = looked_for else {
        return opened(path);
    };
    match fs::metadata(path) {
        Ok(found) if found.ino() == cursor.file => opened(path),
        Ok(_) => Ok(None),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why),
    }
}

/// What was closed on an earlier day has only calls that had ended by then.
fn is_early(file: &File, since: UnixTime) -> bool {
    let changed = file.metadata().and_then(|facts| facts.modified()).ok();
    let changed = changed.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let changed = changed.and_then(|at| u64::try_from(at.as_micros()).ok());
    changed.is_some_and(|us| UnixTime::from_micros(us) + DAY <= since)
}

fn page(
    directory: &Path,
    filter: &Filter,
    cursor: Option<Cursor>,
    most: usize,
) -> Result<Page, Fault> {
    let mut page = Page {
        lines: Vec::new(),
        next: None,
        has_more: false,
    };
    let (mut octets, mut left) = (0, MOST_READ);
    let mut is_reached = cursor.is_none();
    let (closed, mut current) = files(directory)?;
    for path in closed.iter().map(Some).chain([None]) {
        let file = match path {
            Some(path) => closed_file(path, cursor.filter(|_| !is_reached))?,
            None => current.take(),
        };
        let Some(mut file) = file else { continue };
        // A file of no line is no place: whoever goes on begins it.
        let Some(sum) = sum_of(&file)? else { continue };
        let number = file.metadata()?.ino();
        let own = cursor.filter(|own| (own.file, own.sum) == (number, sum));
        if !is_reached && own.is_none() {
            continue;
        }
        is_reached = true;
        if own.is_none()
            && filter
                .asked
                .since
                .is_some_and(|since| is_early(&file, since))
        {
            continue;
        }
        let mut offset = own.map_or(0, |own| own.offset);
        file.seek(SeekFrom::Start(offset))?;
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            if page.lines.len() >= most || octets >= MOST_SENT || left == 0 {
                page.has_more = !lines.fill_buf()?.is_empty() || page.has_more;
                if page.has_more {
                    return Ok(page);
                }
                break;
            }
            line.clear();
            let read = lines
                .by_ref()
                .take(MOST_LINE)
                .read_until(b'\n', &mut line)? as u64;
            // A line without end is being written.
            if line.last() != Some(&b'\n') && read < MOST_LINE {
                break;
            }
            offset += read;
            left = left.saturating_sub(read);
            page.next = Some(Cursor {
                file: number,
                sum,
                offset,
            });
            let text = line.trim_ascii_end();
            if !filter.asked.is_near(text) {
                continue;
            }
            if let Ok(text) = std::str::from_utf8(text)
                && let Ok(record) = serde_json::from_str::<Value>(text)
                && filter.means(&record)
            {
                octets += text.len();
                page.lines.push(text.to_owned());
            }
        }
    }
    match is_reached {
        true => Ok(page),
        false => Err(Fault::Gone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn record(id: &str, from: &str, to: &str, cause: &str) -> String {
        serde_json::json!({
            "call": format!("{id:0>32}"), "start": "2026-08-01T10:00:00.000Z", "tenant": "contoso",
            "ingress": { "trunk": from }, "egress": [{ "trunk": to }], "cause": { "code": cause },
        })
        .to_string()
    }

    fn add(directory: &Path, name: &str, text: &str) {
        let file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(directory.join(name));
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn ids(page: &Page) -> Vec<String> {
        let id = |line: &String| serde_json::from_str::<Value>(line).unwrap()["call"].clone();
        let ids = page.lines.iter().map(id);
        ids.map(|id| id.as_str().unwrap().trim_start_matches('0').to_owned())
            .collect()
    }

    #[test]
    fn who_goes_on_from_a_cursor_gets_each_record_once_whatever_is_written_and_closed() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path();
        let line = |id: &str| record(id, "carrier", "teams", "normal_clearing") + "\n";
        add(
            place,
            "2026-08-01T09-00-00-000Z.jsonl",
            &(line("a1") + &line("a2")),
        );
        add(
            place,
            CURRENT,
            &(line("a3") + &line("a4") + "{\"call\":\"half"),
        );
        let all = Filter::of(&Wanted::default()).unwrap();
        let first = page(place, &all, None, 3).unwrap();
        assert_eq!(
            (ids(&first).join(" "), first.has_more),
            ("a1 a2 a3".to_owned(), true)
        );
        // It is closed meanwhile, and another one is begun.
        let closed = place.join("2026-08-01T11-00-00-000Z.jsonl");
        fs::rename(place.join(CURRENT), closed).unwrap();
        add(place, "2026-08-01T11-00-00-000Z.jsonl", "\"}\n");
        let text = first.next.unwrap().text();
        let cursor = Cursor::read(&text);
        assert_eq!(cursor, first.next);
        let second = page(place, &all, cursor, 10).unwrap();
        assert_eq!(
            (ids(&second).join(" "), second.has_more),
            ("a4 half".to_owned(), false)
        );
        // Nothing new: the cursor stays, and what comes later comes behind it.
        let third = page(place, &all, second.next, 10).unwrap();
        assert_eq!((third.lines.len(), third.next), (0, None));
        add(place, CURRENT, &line("a5"));
        assert_eq!(ids(&page(place, &all, second.next, 10).unwrap()), ["a5"]);
        // What it stands in is gone.
        fs::remove_file(place.join("2026-08-01T11-00-00-000Z.jsonl")).unwrap();
        assert!(matches!(
            page(place, &all, second.next, 10),
            Err(Fault::Gone)
        ));
        assert_eq!(Cursor::read("1-2"), None);
    }

    /// OPS-063
    #[test]
    fn files_are_followed_in_their_order_from_where_a_cursor_stands() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path();
        let line = |id: &str| record(id, "carrier", "teams", "normal_clearing") + "\n";
        for (name, id) in [
            ("2026-08-01T09-00-00-000Z-10.jsonl", "a4"),
            ("2026-08-01T09-00-00-000Z-2.jsonl", "a3"),
            ("2026-08-01T09-00-00-000Z.jsonl", "a2"),
            ("2026-07-31T09-00-00-000Z.jsonl", "a1"),
            (CURRENT, "a5"),
        ] {
            add(place, name, &line(id));
        }
        let all = Filter::of(&Wanted::default()).unwrap();
        let (mut cursor, mut seen) = (None, Vec::new());
        loop {
            let page = page(place, &all, cursor, 1).unwrap();
            seen.extend(ids(&page));
            cursor = page.next;
            if !page.has_more {
                break;
            }
        }
        assert_eq!(seen, ["a1", "a2", "a3", "a4", "a5"]);
    }

    #[test]
    fn a_page_is_bounded_by_what_is_sent_and_a_long_line_by_what_a_record_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path();
        let mut long = record("1", "carrier", "teams", "normal_clearing");
        long.truncate(long.len() - 1);
        let long = format!("{long},\"x\":\"{}\"}}\n", "y".repeat(900_000));
        let noise = "z".repeat(3 << 20) + "\n";
        add(place, CURRENT, &(noise + &long.repeat(20)));
        let all = Filter::of(&Wanted::default()).unwrap();
        let mut cursor = None;
        let mut counts = Vec::new();
        loop {
            let page = page(place, &all, cursor, MOST).unwrap();
            counts.push(page.lines.len());
            if !page.has_more {
                break;
            }
            cursor = page.next;
        }
        assert_eq!(counts, [10, 10]);
    }

    #[test]
    fn records_are_chosen_by_tenant_cause_trunk_and_direction() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path();
        for (id, from, to, cause) in [
            ("1", "carrier", "teams", "normal_clearing"),
            ("2", "teams", "carrier", "normal_clearing"),
            ("3", "carrier", "teams", "user_busy"),
        ] {
            add(place, CURRENT, &(record(id, from, to, cause) + "\n"));
        }
        let chosen = |wanted: Wanted| {
            let filter = Filter::of(&wanted).unwrap();
            ids(&page(place, &filter, None, 10).unwrap()).join(" ")
        };
        let some = |text: &str| Some(text.to_owned());
        let of = |direction| Wanted {
            trunk: some("carrier"),
            direction: Some(direction),
            ..Wanted::default()
        };
        assert_eq!(chosen(of(Direction::In)), "1 3");
        assert_eq!(chosen(of(Direction::Out)), "2");
        let cause = CauseCode::ALL.map(CauseCode::as_str);
        assert!(cause.contains(&"normal_clearing"));
        let busy = Wanted {
            cause: some("normal_clearing"),
            ..of(Direction::In)
        };
        assert_eq!(chosen(busy), "1");
        assert_eq!(
            chosen(Wanted {
                tenant: some("fabrikam"),
                ..Wanted::default()
            }),
            ""
        );
        assert_eq!(
            chosen(Wanted {
                tenant: some("contoso"),
                ..Wanted::default()
            }),
            "1 2 3"
        );
        let since = Wanted {
            since: some("2026-08-02"),
            ..Wanted::default()
        };
        assert_eq!(chosen(since), "");
        for wrong in [
            Wanted {
                cause: some("bsuy"),
                ..Wanted::default()
            },
            Wanted {
                direction: Some(Direction::In),
                ..Wanted::default()
            },
        ] {
            assert_eq!(
                Filter::of(&wrong).err().unwrap().status,
                StatusCode::BAD_REQUEST
            );
        }
    }
}
