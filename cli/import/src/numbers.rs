//! Numbers of customers from CSV: tenants, and routes where a trunk is named.
//!
//! A first row with names says what the columns are (`number` or `range`, `last`, `tenant`, `trunk`, `comment`, in any
//! order); without it they are number, tenant, trunk, comment. Between columns is a comma, a semicolon or a tab. Numbers
//! that follow each other become one range; a number that two customers claim belongs to the first.

use super::claims::{Claims, Key, Range};
use super::{Draft, Imported, Refused, draft::word, lines, pattern};
use crate::quoted;
use std::collections::BTreeMap;

/// Most rows.
const MOST_ROWS: usize = 100_000;

/// Longest expression of a route, in octets: a little less than the loader takes.
const LONGEST_EXPRESSION: usize = 900;

/// A tenant and, where there is one, the trunk that its numbers are reached by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    tenant: String,
    trunk: String,
}

/// Ranges of one owner.
type Held<'r> = &'r [&'r (Key, Range)];

/// Where what is written in a row.
struct Columns {
    number: usize,
    last: Option<usize>,
    tenant: Option<usize>,
    trunk: Option<usize>,
    comment: Option<usize>,
}

/// Reads a list; `file` is what comments call it, and `usual` the tenant of rows that name none.
///
/// # Errors
/// If the file is too large, or has no number.
pub fn import(file: &str, octets: &[u8], usual: Option<&str>) -> Result<Imported, Refused> {
    let mut draft = Draft::new(file);
    let lines = lines(octets)?;
    let filled = |text: &str| !text.trim().is_empty() && !text.trim_start().starts_with('#');
    let mut rows = lines.iter().filter(|(_, text)| filled(text)).peekable();
    let separator = rows.peek().map_or(',', |(_, text)| separator(text));
    let named = rows
        .peek()
        .and_then(|(_, text)| Columns::named(&cells(text, separator)));
    if named.is_some() {
        rows.next();
    }
    let columns = named.unwrap_or(Columns {
        number: 0,
        last: None,
        tenant: Some(1),
        trunk: Some(2),
        comment: Some(3),
    });
    let mut owners: BTreeMap<Owner, usize> = BTreeMap::new();
    let mut claims = Claims::default();
    for (count, (line, text)) in rows.enumerate() {
        if count >= MOST_ROWS {
            let (line, most) = (*line, MOST_ROWS);
            return Err(Refused::TooManyRows { line, most });
        }
        let cells = cells(text, separator);
        let cell = |column: Option<usize>| {
            let cell = column.and_then(|column| cells.get(column));
            cell.map(|cell| cell.trim()).unwrap_or_default()
        };
        let (number, last) = (cell(Some(columns.number)), cell(columns.last));
        let (length, first, last) = match range(number, last) {
            Ok(range) => range,
            Err((why, help)) => {
                draft.note(*line, format!("\"{}\"", word(number)), why, help);
                continue;
            }
        };
        let tenant = match cell(columns.tenant) {
            "" => usual.unwrap_or_default(),
            tenant => tenant,
        };
        if tenant.is_empty() {
            draft.note(
                *line,
                format!("\"{}\"", word(number)),
                "the row names no tenant",
                "fill the column tenant, or say whose rows without one are: --tenant NAME",
            );
            continue;
        }
        let owner = Owner {
            tenant: tenant.to_owned(),
            trunk: cell(columns.trunk).to_owned(),
        };
        let next = owners.len();
        let owner = *owners.entry(owner).or_insert(next);
        let range = Range {
            last,
            owner,
            lines: (*line, *line),
            comment: word(cell(columns.comment)),
        };
        claim(&mut claims, (length, first), range, &mut draft);
    }
    if claims.is_empty() {
        return Err(Refused::Nothing("a number with its tenant"));
    }
    write(merged(claims.into_ranges()), &owners, &mut draft);
    Ok(draft.finish())
}

impl Columns {
    /// What a first row of names says; nothing if it has none.
    fn named(cells: &[String]) -> Option<Self> {
        let find = |names: &[&str]| {
            let is_one = |cell: &String| {
                names
                    .iter()
                    .any(|name| cell.trim().eq_ignore_ascii_case(name))
            };
            cells.iter().position(is_one)
        };
        Some(Self {
            number: find(&[
                "number",
                "numbers",
                "range",
                "first",
                "from",
                "did",
                "telephonenumber",
            ])?,
            last: find(&["last", "to", "end"]),
            tenant: find(&["tenant", "customer"]),
            trunk: find(&["trunk"]),
            comment: find(&["comment", "comments", "description", "note"]),
        })
    }
}

/// The one of the three that is there most often.
fn separator(text: &str) -> char {
    let count = |separator: &char| text.matches(*separator).count();
    // The comma where none is there, or two are there as often.
    let best = ['\t', ';', ','].into_iter().max_by_key(count);
    best.unwrap_or(',')
}

/// Cells of a row (RFC 4180 §2); a line break in quotes is none of a list of numbers.
fn cells(text: &str, separator: char) -> Vec<String> {
    let mut cells = Vec::new();
    let mut cell = String::new();
    let mut is_quoted = false;
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '"' if is_quoted && rest.peek() == Some(&'"') => {
                rest.next();
                cell.push('"');
            }
            '"' => is_quoted = !is_quoted,
            letter if letter == separator && !is_quoted => cells.push(std::mem::take(&mut cell)),
            letter => cell.push(letter),
        }
    }
    cells.push(cell);
    cells
}

type Fault = (&'static str, &'static str);

/// Length, first and last number of what a row says.
fn range(number: &str, last: &str) -> Result<(usize, u64, u64), Fault> {
    const WHOLE: &str = "write \"+441632960000-+441632960099\"";
    // Spreadsheets mark text so, and like to make long dashes.
    let number = number.trim_start_matches('\'').replace(['–', '—'], "-");
    let number = number.replace([' ', '\u{a0}'], "");
    let last = last.trim_start_matches('\'').replace([' ', '\u{a0}'], "");
    let (first, last) = match (number.split_once("-+"), last.as_str()) {
        (Some(_), last) if !last.is_empty() => {
            return Err(("the end of the range is there twice", WHOLE));
        }
        (Some((first, last)), _) => (first.to_owned(), format!("+{last}")),
        (None, "") => (number.clone(), number),
        (None, _) => (number, last),
    };
    let ((length, first), (other, last)) = (e164(&first)?, e164(&last)?);
    if length != other {
        return Err(("the ends of the range are of different length", WHOLE));
    }
    if first > last {
        return Err(("the range ends before it begins", WHOLE));
    }
    Ok((length, first, last))
}

/// Digits of a number and how many they are.
fn e164(text: &str) -> Result<Key, Fault> {
    let Some(rest) = text.strip_prefix('+') else {
        return Err((
            "it is no E.164 number: it does not begin with +",
            "write the country code, such as \"+441632960000\"; spreadsheets keep the + in cells that are text",
        ));
    };
    if let Some((before, after)) = rest.split_once('-')
        && before.len() >= 7
        && after.len() <= 5
    {
        return Err((
            "it may be a number with a hyphen, or a range with a short end",
            "write both ends of a range in full, such as \"+441632960000-+441632960099\"",
        ));
    }
    let digits = rest.replace(['-', '.', '/', '(', ')'], "");
    let is_number = (5..=15).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.bytes().all(|octet| octet.is_ascii_digit());
    match digits.parse() {
        Ok(value) if is_number => Ok((digits.len(), value)),
        _ => Err((
            "it is no E.164 number: + and 5 to 15 digits, the first of them not 0",
            "write it such as \"+441632960000\"",
        )),
    }
}

/// Adds a range unless somebody else has numbers of it.
fn claim(claims: &mut Claims, (length, first): Key, mut range: Range, draft: &mut Draft) {
    let claimed = match first == range.last {
        true => format!("+{first}"),
        false => format!("+{first}-+{}", range.last),
    };
    if let Some(have) = claims.rival((length, first), range.last, range.owner) {
        draft.note(
            range.lines.0,
            claimed,
            &format!(
                "line {} gives numbers of it to another tenant or trunk, and was first",
                have.lines.0
            ),
            "leave each number to one of them; nothing of this row is in the result",
        );
        return;
    }
    let touched = claims.touched((length, first), range.last);
    let touched: Vec<_> = touched
        .map(|(key, have)| (*key, have.last, have.lines.0))
        .collect();
    let mut key = (length, first);
    for (other, last, line) in touched {
        if other.1 <= first && last >= range.last {
            draft.note(
                range.lines.0,
                claimed.clone(),
                &format!("line {line} has it already"),
                "nothing, unless another number was meant",
            );
            return;
        }
        draft.note(
            range.lines.0,
            claimed.clone(),
            &format!("line {line} has a part of it already; both were put together"),
            "nothing, unless other numbers were meant",
        );
        if let Some(have) = claims.remove(other) {
            key.1 = key.1.min(other.1);
            join(&mut range, have);
        }
    }
    claims.insert(key, range);
}

/// Takes another range of the same owner in.
fn join(range: &mut Range, other: Range) {
    range.last = range.last.max(other.last);
    range.lines = (
        range.lines.0.min(other.lines.0),
        range.lines.1.max(other.lines.1),
    );
    if range.comment != other.comment {
        range.comment.clear();
    }
}

/// Makes one of ranges that follow each other.
fn merged(ranges: BTreeMap<Key, Range>) -> Vec<(Key, Range)> {
    let mut merged: Vec<(Key, Range)> = Vec::new();
    for (key, range) in ranges {
        match merged.last_mut() {
            Some(((length, _), before))
                if *length == key.0 && before.owner == range.owner && before.last + 1 == key.1 =>
            {
                join(before, range);
            }
            _ => merged.push((key, range)),
        }
    }
    merged
}

fn write(ranges: Vec<(Key, Range)>, owners: &BTreeMap<Owner, usize>, draft: &mut Draft) {
    let mut by_owner: BTreeMap<usize, Vec<&(Key, Range)>> = BTreeMap::new();
    for range in &ranges {
        by_owner.entry(range.1.owner).or_default().push(range);
    }
    let mut tenants: BTreeMap<&str, Vec<(&str, Held<'_>)>> = BTreeMap::new();
    for (owner, index) in owners {
        if let Some(ranges) = by_owner.get(index) {
            tenants
                .entry(&owner.tenant)
                .or_default()
                .push((&owner.trunk, ranges));
        }
    }
    for (tenant, trunks) in tenants {
        let all = || trunks.iter().flat_map(|(_, ranges)| ranges.iter());
        let line = all()
            .map(|(_, range)| range.lines.0)
            .min()
            .unwrap_or_default();
        let name = draft.name("tenant", tenant);
        if name != tenant {
            draft.note(
                line,
                format!("the name \"{}\"", word(tenant)),
                &format!(
                    "it has signs that a name cannot have, or is taken; the tenant is called {name}"
                ),
                "use that name, or change both",
            );
        }
        draft.block("[[tenant]]", line, "rows of this tenant");
        draft.text("name", &name);
        draft.line("numbers = [");
        for ((_, first), range) in all() {
            let lines = match range.lines {
                (one, other) if one == other => format!("line {one}"),
                (first, last) => format!("lines {first} to {last}"),
            };
            let comment = match range.comment.as_str() {
                "" => lines,
                comment => format!("{lines}: {comment}"),
            };
            match *first == range.last {
                true => draft.line(&format!("    \"+{first}\", # {comment}")),
                false => draft.line(&format!("    \"+{first}-+{}\", # {comment}", range.last)),
            }
        }
        draft.line("]");
        let is_only = trunks.len() == 1;
        for (trunk, ranges) in trunks.iter().filter(|(trunk, _)| !trunk.is_empty()) {
            match is_only {
                true => route(&name, trunk, line, None, draft),
                false => {
                    for part in expressions(ranges) {
                        route(&name, trunk, line, Some(&part), draft);
                    }
                }
            }
        }
    }
}

/// A route of a tenant's numbers, or of those that fit an expression.
fn route(tenant: &str, trunk: &str, line: usize, called: Option<&str>, draft: &mut Draft) {
    let name = draft.name("route", &format!("to-{trunk}-{tenant}"));
    draft.block("[[route]]", line, "the trunk of these numbers");
    draft.text("name", &name);
    let owner = quoted(&format!("tenant:{tenant}"));
    match called {
        None => draft.raw("match", format!("{{ called_in = {owner} }}")),
        Some(called) => draft.raw(
            "match",
            format!("{{ called_in = {owner}, called = '{called}' }}"),
        ),
    }
    draft.raw("to", format!("[{{ trunk = {} }}]", quoted(trunk)));
}

/// Expressions that fit these ranges, as few as can be.
fn expressions(ranges: &[&(Key, Range)]) -> Vec<String> {
    let parts = ranges.iter().flat_map(|((length, first), range)| {
        let parts = pattern::of_range(*first, range.last, *length);
        parts.into_iter()
    });
    let mut all: Vec<String> = Vec::new();
    for part in parts {
        match all
            .last_mut()
            .filter(|text| text.len() + part.len() < LONGEST_EXPRESSION)
        {
            Some(text) => {
                text.push('|');
                text.push_str(&part);
            }
            None => all.push(part),
        }
    }
    all.into_iter()
        .map(|text| format!("^\\+(?:{text})$"))
        .collect()
}
