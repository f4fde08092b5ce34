//! The tables of an AudioCodes INI file. A table stands between `[ Name ]` and `[ \Name ]`; its FORMAT line names the
//! columns, with the name of the table before each or without; a row is `Name 0 = value, "value";`.

use super::{Draft, Refused, draft::word, lines};
use std::collections::BTreeMap;

/// Most rows of a file.
pub(super) const MOST_ROWS: usize = 20_000;

/// Most columns of a table.
const MOST_COLUMNS: usize = 512;

/// What a table is called, and its rows.
pub(super) struct Table {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) rows: Vec<Row>,
    columns: Vec<String>,
}

/// One row. What is taken out of it is carried over; what is left at the end is not.
pub(super) struct Row {
    pub(super) index: String,
    pub(super) line: usize,
    /// By the name of the column in lower case: name as written, and value.
    cells: BTreeMap<String, (String, String)>,
}

impl Row {
    /// The value in a column, which counts as carried over. Empty if there is none.
    pub(super) fn take(&mut self, column: &str) -> String {
        let cell = self.cells.remove(&column.to_ascii_lowercase());
        cell.map(|(_, value)| value).unwrap_or_default()
    }

    /// As [`Row::take`], of the first column of these that has a value: names differ among versions.
    pub(super) fn take_any(&mut self, columns: &[&str]) -> String {
        let values: Vec<String> = columns.iter().map(|column| self.take(column)).collect();
        let said = values.into_iter().find(|value| !value.is_empty());
        said.unwrap_or_default()
    }

    /// The value in a column as a number.
    pub(super) fn number(&mut self, column: &str) -> Option<i64> {
        self.take(column).parse().ok()
    }

    /// Cells that say something and were not taken: `A = 1, B = x`, the first ten of them.
    pub(super) fn rest(&self) -> Option<String> {
        let says = |value: &str| {
            let silent = [
                "", "0", "-1", "*", "any", "none", "default", "0.0.0.0", "::", "255",
            ];
            !silent.iter().any(|word| value.eq_ignore_ascii_case(word))
        };
        let left: Vec<_> = self.cells.values().filter(|cell| says(&cell.1)).collect();
        let shown = left.iter().take(10).map(|(name, value)| {
            let is_secret = ["password", "secret", "key"]
                .iter()
                .any(|part| name.to_ascii_lowercase().contains(part));
            match is_secret {
                true => format!("{} = (not shown)", word(name)),
                false => format!("{} = {}", word(name), word(value)),
            }
        });
        let mut text = shown.collect::<Vec<_>>().join(", ");
        if left.len() > 10 {
            text.push_str(&format!(" and {} more", left.len() - 10));
        }
        (!left.is_empty()).then_some(text)
    }
}

/// Reads all tables. Lines that are none of a table are noted: settings by section, others one by one.
pub(super) fn read(octets: &[u8], draft: &mut Draft) -> Result<Vec<Table>, Refused> {
    let mut tables: Vec<Table> = Vec::new();
    let mut open: Option<Table> = None;
    // Settings that are no rows: where they begin, and how many there are.
    let mut settings: Option<(usize, usize)> = None;
    let mut rows = 0;
    for (number, line) in lines(octets)? {
        let line = line.trim();
        if line.is_empty() || line.starts_with(';') || line.starts_with("//") {
            continue;
        }
        if let Some(inner) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            let inner = inner.trim();
            tables.extend(open.take());
            told(settings.take(), draft);
            if !inner.starts_with('\\') {
                open = Some(Table {
                    name: inner.to_owned(),
                    line: number,
                    rows: Vec::new(),
                    columns: Vec::new(),
                });
            }
            continue;
        }
        let row = open
            .as_mut()
            .map_or(Ok(None), |table| row_of(table, number, line));
        match row {
            Ok(Some(())) => {
                rows += 1;
                if rows > MOST_ROWS {
                    let most = MOST_ROWS;
                    return Err(Refused::TooManyRows { line: number, most });
                }
            }
            Ok(None) if line.contains('=') => {
                let (_, count) = settings.get_or_insert((number, 0));
                *count += 1;
            }
            Ok(None) => draft.note(
                number,
                format!("\"{}\"", word(line)),
                "it is no table, no row and no setting",
                "look whether the file is damaged here",
            ),
            Err(why) => draft.note(
                number,
                format!("\"{}\"", word(line)),
                why,
                "export the file again; nothing of the line is in the result",
            ),
        }
    }
    // Sections of settings are not closed; a table is.
    if let Some(table) = open.as_ref().filter(|table| !table.columns.is_empty()) {
        let name = word(&table.name);
        draft.note(
            table.line,
            format!("table {name}, from this line on"),
            &format!("the file ends within it, without a closing \"[ \\{name} ]\": it was cut off"),
            "export the file again: rows and whole tables are missing in the result",
        );
    }
    tables.extend(open);
    told(settings, draft);
    Ok(tables)
}

fn told(settings: Option<(usize, usize)>, draft: &mut Draft) {
    if let Some((line, count)) = settings {
        draft.note(
            line,
            format!("{count} settings of the device, from this line on"),
            "settings outside the tables (management, SNMP, clock, timers, logging) have no general equivalent",
            "go through them once; what calls need is under [limits] and at the trunks",
        );
    }
}

/// `Some` if the line was of the table: its columns, or a row.
fn row_of(table: &mut Table, number: usize, line: &str) -> Result<Option<()>, &'static str> {
    let Some((left, right)) = line.split_once('=') else {
        return Ok(None);
    };
    let left = left.trim();
    let right = right.trim();
    let right = right.strip_suffix(';').unwrap_or(right);
    let mut words = left.split_ascii_whitespace();
    let (first, second) = (words.next().unwrap_or_default(), words.next());
    if first.eq_ignore_ascii_case("FORMAT") {
        let names = cells(right);
        if names.len() > MOST_COLUMNS {
            return Err("it names more columns than any such table has");
        }
        let before = format!("{}_", table.name.to_ascii_lowercase());
        let bare = |name: String| match name.to_ascii_lowercase().strip_prefix(&before) {
            Some(rest) => name.get(name.len() - rest.len()..).unwrap_or("").to_owned(),
            None => name,
        };
        table.columns = names.into_iter().map(bare).collect();
        return Ok(Some(()));
    }
    let Some(index) = second.filter(|_| first.eq_ignore_ascii_case(&table.name)) else {
        return Ok(None);
    };
    if table.columns.is_empty() {
        return Err("a row before the FORMAT line that names its columns");
    }
    if right.matches('"').count() % 2 == 1 {
        return Err("a quote is opened and not closed: the row was cut off");
    }
    let values = cells(right);
    if values.len() > table.columns.len() {
        return Err("the row has more values than its FORMAT line has columns");
    }
    let named = table.columns.iter().zip(values);
    table.rows.push(Row {
        index: index.to_owned(),
        line: number,
        cells: named
            .map(|(name, value)| (name.to_ascii_lowercase(), (name.clone(), value)))
            .collect(),
    });
    Ok(Some(()))
}

/// Values between commas; in quotes a comma is one of the value's characters.
fn cells(text: &str) -> Vec<String> {
    let mut cells = Vec::new();
    let mut cell = String::new();
    let mut is_quoted = false;
    for character in text.chars() {
        match character {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => cells.push(std::mem::take(&mut cell).trim().to_owned()),
            character => cell.push(character),
        }
    }
    cells.push(cell.trim().to_owned());
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_by_the_names_of_their_columns() {
        let text =
            b"[ ProxyIp ]\r\nFORMAT ProxyIp_Index = ProxyIp_ProxySetId, ProxyIp_IpAddress;\r\n\
            ProxyIp 3 = \"1\", \"a,b:5060\";\r\n[ \\ProxyIp ]\r\n\
            [ SRD ]\nFORMAT Index = Name, Extra;\nSRD 0 = \"x\", 7;\n[ \\SRD ]\n";
        let mut draft = Draft::new("x");
        let mut tables = read(text, &mut draft).unwrap();
        let row = &mut tables[0].rows[0];
        assert_eq!((row.index.as_str(), row.line), ("3", 3));
        assert_eq!(row.take("IPADDRESS"), "a,b:5060");
        assert_eq!(row.rest().as_deref(), Some("ProxySetId = 1"));
        let row = &mut tables[1].rows[0];
        assert_eq!(
            (row.take("Name"), row.number("Extra")),
            ("x".into(), Some(7))
        );
        assert!(draft.finish().notes.is_empty());
    }

    #[test]
    fn what_is_no_row_is_noted_and_passwords_are_not_shown() {
        let text = b"nonsense\nEnableSyslog = 1\n[ A ]\nA 0 = 1;\nFORMAT Index = Password;\nA 1 = 1, 2;\nA 2 = \"hidden\";\n[ \\A ]\n";
        let mut draft = Draft::new("x");
        let tables = read(text, &mut draft).unwrap();
        assert_eq!(
            tables[0].rows[0].rest().as_deref(),
            Some("Password = (not shown)")
        );
        let notes = draft.finish().notes;
        let lines: Vec<usize> = notes.iter().map(|note| note.line).collect();
        assert_eq!(lines, [1, 2, 4, 6]);
    }

    #[test]
    fn a_file_that_was_cut_off_is_told_as_that() {
        let text = b"[SYSTEM Params]\nX = 1\n[ A ]\nFORMAT Index = Name;\nA 0 = \"x\";\nA 1 = \"y";
        let mut draft = Draft::new("x");
        let tables = read(text, &mut draft).unwrap();
        assert_eq!(tables[1].rows.len(), 1);
        let notes = draft.finish().notes;
        let told: Vec<(usize, &str)> = notes
            .iter()
            .map(|note| (note.line, note.why.as_str()))
            .collect();
        assert!(
            told.iter()
                .any(|(line, why)| *line == 3 && why.contains("closing \"[ \\A ]\"")),
            "{told:?}"
        );
        assert!(
            told.iter()
                .any(|(line, why)| *line == 6 && why.contains("a quote is opened")),
            "{told:?}"
        );
        // Settings, too.
        assert_eq!(told.len(), 3, "{told:?}");
    }
}
