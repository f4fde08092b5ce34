//! Call records as CSV, in our columns or in those of others (OPS-063), with cells that no spreadsheet takes for
//! formulas (SEC-096).
//!
//! Every cell stands in quotes. Where `=`, `+`, `-` or `@` begins a cell, or a part of one that a spreadsheet with
//! another separator would cut it at, `'` is put before it: also before telephone numbers with `+`.

use clap::ValueEnum;
use sbc_core::time::UnixTime;
use serde_json::Value;
use std::io::{self, Write};
use std::time::Duration;

/// Which columns.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// Ours, named in the first line
    Causeway,
    /// Those of Asterisk's cdr_csv, without their names as it writes none
    Asterisk,
    /// Those of FreeSWITCH's mod_cdr_csv, without their names
    Freeswitch,
}

/// Our columns: name and place in the record.
const COLUMNS: [(&str, &str); 30] = [
    ("call", "/call"),
    ("node", "/node"),
    ("tenant", "/tenant"),
    ("start", "/start"),
    ("setup_ms", "/setup_ms"),
    ("duration_ms", "/duration_ms"),
    ("end", "/end"),
    ("billsec", "/billsec"),
    ("held_ms", "/held_ms"),
    ("calling_name", "/calling_name"),
    ("calling", "/calling"),
    ("called", "/called"),
    ("calling_raw", "/calling_raw"),
    ("called_raw", "/called_raw"),
    ("asserted", "/asserted"),
    ("diverting", "/diverting"),
    ("from_trunk", "/ingress/trunk"),
    ("to_trunk", "/egress/-/trunk"),
    ("disposition", "/disposition"),
    ("cause", "/cause/code"),
    ("status", "/cause/status"),
    ("end_reason", "/end_reason"),
    ("session_id", "/session_id"),
    ("from_call_id", "/ingress/call_id"),
    ("to_call_id", "/egress/-/call_id"),
    ("user_agent", "/ingress/user_agent"),
    ("country_to", "/country_to"),
    ("prefix_id", "/prefix_id"),
    ("charged_party", "/charged_party"),
    ("custom", "/custom"),
];

/// Writes records, each as a line.
///
/// # Errors
/// If the output cannot be written.
pub fn write(layout: Layout, records: &[Value], out: &mut dyn Write) -> io::Result<()> {
    if layout == Layout::Causeway {
        line(COLUMNS.iter().map(|(name, _)| (*name).to_owned()), out)?;
    }
    rows(layout, records, out)
}

/// The same without names of columns, for what comes behind.
///
/// # Errors
/// If the output cannot be written.
pub fn rows(layout: Layout, records: &[Value], out: &mut dyn Write) -> io::Result<()> {
    for record in records {
        match layout {
            Layout::Causeway => line(COLUMNS.iter().map(|(_, place)| at(record, place)), out)?,
            Layout::Asterisk => line_for_programs(&asterisk(record), out)?,
            Layout::Freeswitch => line_for_programs(&freeswitch(record), out)?,
        }
    }
    Ok(())
}

fn line(cells: impl Iterator<Item = String>, out: &mut dyn Write) -> io::Result<()> {
    let cells: Vec<String> = cells.map(|text| cell(&text)).collect();
    write!(out, "{}\r\n", cells.join(","))
}

/// The same for programs that read numbers: of those no spreadsheet makes a formula that does something.
fn line_for_programs(cells: &[String], out: &mut dyn Write) -> io::Result<()> {
    let cell = |text: &String| match is_number(text) {
        true => format!("\"{text}\""),
        false => cell(text),
    };
    let cells: Vec<String> = cells.iter().map(cell).collect();
    write!(out, "{}\r\n", cells.join(","))
}

/// Whether a text is a number as E.164 has it, and nothing else.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    (1..=15).contains(&digits.len()) && digits.bytes().all(|octet| octet.is_ascii_digit())
}

/// A text as a cell (RFC 4180) that is a text in every spreadsheet.
fn cell(text: &str) -> String {
    let mut cell = String::from("\"");
    let mut begins = true;
    for own in text.chars().map(sbc_core::display::shown) {
        if begins && matches!(own, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠') {
            cell.push('\'');
        }
        begins = matches!(own, ',' | ';' | '|' | '"') || (begins && own.is_whitespace());
        cell.push(own);
        if own == '"' {
            cell.push('"');
        }
    }
    cell.push('"');
    cell
}

/// What stands there in the record; `-` is the last of a list. Nothing where there is nothing, and `name=value;…` of names
/// with values.
fn at(record: &Value, place: &str) -> String {
    let mut steps = place.split('/').skip(1);
    let found = steps.try_fold(record, |value, step| match step {
        "-" => value.as_array()?.last(),
        step => value.get(step),
    });
    match found {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(all)) => {
            let named = all.iter();
            let named = named.map(|(name, value)| match value.as_str() {
                Some(text) => format!("{name}={text}"),
                None => format!("{name}={value}"),
            });
            named.collect::<Vec<String>>().join(";")
        }
        Some(other) => other.to_string(),
    }
}

/// When things were, and how long they took.
struct Times {
    start: String,
    answer: String,
    end: String,
    /// From start to end, in whole seconds.
    duration: u64,
    /// From answer to end, in whole seconds.
    billed: u64,
}

impl Times {
    fn of(record: &Value) -> Self {
        let start = record["start"].as_str().and_then(UnixTime::of_rfc3339);
        let setup = record["setup_ms"].as_u64();
        let talked = record["duration_ms"].as_u64().unwrap_or_default();
        let end = record["end"].as_str().and_then(UnixTime::of_rfc3339);
        let lasted = start.zip(end).map(|(start, end)| end.since(start));
        let lasted = lasted.and_then(|lasted| u64::try_from(lasted.as_millis()).ok());
        // Records of former versions have no end where nobody answered.
        let whole = setup.map(|setup| setup.saturating_add(talked)).or(lasted);
        let later = |ms: Option<u64>| {
            let at = start.zip(ms);
            at.map_or_else(String::new, |(start, ms)| {
                stamp(start + Duration::from_millis(ms))
            })
        };
        Self {
            start: later(Some(0)),
            answer: later(setup),
            end: later(whole),
            duration: whole.unwrap_or_default() / 1_000,
            billed: talked / 1_000,
        }
    }
}

/// `2026-01-15 10:00:00`, in UTC.
fn stamp(at: UnixTime) -> String {
    let text = at.rfc3339().replace('T', " ");
    text.split('.').next().unwrap_or_default().to_owned()
}

/// Who is billed: what the operator calls so, else the customer.
fn account(record: &Value) -> String {
    match at(record, "/custom/account") {
        own if own.is_empty() => at(record, "/tenant"),
        own => own,
    }
}

fn asterisk(record: &Value) -> [String; 18] {
    let times = Times::of(record);
    let channel = |trunk: String| match trunk.is_empty() {
        true => trunk,
        false => format!("SIP/{trunk}"),
    };
    let (calling, called) = (at(record, "/calling"), at(record, "/called"));
    let to = channel(at(record, "/egress/-/trunk"));
    let disposition = match record["disposition"].as_str() {
        Some("answered") => "ANSWERED",
        Some("busy") => "BUSY",
        Some("no_answer" | "cancelled") => "NO ANSWER",
        _ => "FAILED",
    };
    [
        account(record),
        calling.clone(),
        called.clone(),
        at(record, "/ingress/trunk"),
        format!("<{calling}>"),
        channel(at(record, "/ingress/trunk")),
        to.clone(),
        "Dial".to_owned(),
        format!("{to}/{called}"),
        times.start,
        times.answer,
        times.end,
        times.duration.to_string(),
        times.billed.to_string(),
        disposition.to_owned(),
        "DOCUMENTATION".to_owned(),
        at(record, "/call"),
        at(record, "/session_id"),
    ]
}

fn freeswitch(record: &Value) -> [String; 13] {
    let times = Times::of(record);
    let cause = match (record["disposition"].as_str(), &*at(record, "/cause/code")) {
        (Some("answered"), _) => "NORMAL_CLEARING",
        (Some("busy"), _) => "USER_BUSY",
        (Some("no_answer"), _) => "NO_ANSWER",
        (Some("cancelled"), _) => "ORIGINATOR_CANCEL",
        (Some("rejected"), _) => "CALL_REJECTED",
        (_, "no_route") => "NO_ROUTE_DESTINATION",
        _ => "NORMAL_TEMPORARY_FAILURE",
    };
    [
        String::new(),
        at(record, "/calling"),
        at(record, "/called"),
        at(record, "/ingress/trunk"),
        times.start,
        times.answer,
        times.end,
        times.duration.to_string(),
        times.billed.to_string(),
        cause.to_owned(),
        at(record, "/call"),
        at(record, "/egress/-/call_id"),
        account(record),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(layout: Layout, records: &[Value]) -> String {
        let mut out = Vec::new();
        write(layout, records, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn answered() -> Value {
        json!({
            "call": "019b", "node": "sbc1", "tenant": "contoso", "start": "2026-01-15T23:59:58.250Z", "setup_ms": 1_500,
            "duration_ms": 41_300, "calling": "+441632960001", "called": "+493023125001", "session_id": "ab",
            "disposition": "answered", "cause": { "code": "normal_clearing", "status": null },
            "ingress": { "trunk": "carrier", "call_id": "a@x", "user_agent": "=HYPERLINK(\"http://example.com\")" },
            "egress": [{ "trunk": "first", "call_id": "b1" }, { "trunk": "teams", "call_id": "b2" }],
        })
    }

    #[test]
    fn no_cell_is_a_formula_in_any_spreadsheet() {
        for (text, wanted) in [
            ("=1+1", "\"'=1+1\""),
            ("+441632960001", "\"'+441632960001\""),
            ("-1", "\"'-1\""),
            ("@SUM(1)", "\"'@SUM(1)\""),
            ("＝1", "\"'＝1\""),
            ("  =1", "\"  '=1\""),
            ("a=b-c", "\"a=b-c\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            // Where another character separates cells.
            ("a;=1;b", "\"a;'=1;b\""),
            ("a\",=1", "\"a\"\",'=1\""),
            ("", "\"\""),
        ] {
            let cell = cell(text);
            assert_eq!(cell, wanted);
        }
        let shown = cell("a\r\n\t=1");
        assert!(!shown.contains(['\r', '\n', '\t']), "{shown}");
    }

    #[test]
    fn a_record_is_a_line_under_the_names_of_its_columns() {
        let refused = json!({ "call": "019c", "calling": "a\r\nb", "egress": [], "cause": { "status": 404 } });
        let text = written(Layout::Causeway, &[answered(), refused]);
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(
            lines[0].starts_with("\"call\",\"node\",\"tenant\",\"start\""),
            "{text}"
        );
        for line in &lines {
            assert_eq!(line.matches("\",\"").count(), COLUMNS.len() - 1, "{line}");
        }
        let first = "\"019b\",\"sbc1\",\"contoso\",\"2026-01-15T23:59:58.250Z\",\"1500\",\"41300\",\"\",\"\",\"\",\"\",\"'+441632960001\"";
        assert!(lines[1].starts_with(first), "{text}");
        assert!(
            lines[1].contains("\"teams\"") && !lines[1].contains("\"first\""),
            "{text}"
        );
        assert!(
            lines[1].contains("\"'=HYPERLINK(\"\"http://example.com\"\")\""),
            "{text}"
        );
        assert!(lines[2].contains("\"404\""), "{text}");
    }

    #[test]
    fn values_of_the_operators_own_are_a_cell_and_say_who_is_billed() {
        let mut own = answered();
        own["country_to"] = "DE".into();
        own["prefix_id"] = "+4930".into();
        own["custom"] = json!({ "account": "30-4711", "area": "=1" });
        let text = written(Layout::Causeway, &[own.clone()]);
        let end = "\"DE\",\"'+4930\",\"\",\"account=30-4711;area==1\"\r\n";
        assert!(text.ends_with(end), "{text}");
        assert!(written(Layout::Asterisk, &[own.clone()]).starts_with("\"30-4711\","));
        assert!(written(Layout::Freeswitch, &[own]).ends_with(",\"30-4711\"\r\n"));
    }

    #[test]
    fn others_have_their_columns_in_their_order() {
        let cancelled = json!({
            "call": "019d", "start": "2026-01-15T10:00:00.999Z", "setup_ms": null, "duration_ms": 0, "calling": "x",
            "called": "y", "disposition": "cancelled", "ingress": { "trunk": "carrier" }, "egress": [],
        });
        let both = [answered(), cancelled];
        let text = written(Layout::Asterisk, &both);
        assert_eq!(
            text,
            "\"contoso\",\"+441632960001\",\"+493023125001\",\"carrier\",\"<+441632960001>\",\"SIP/carrier\",\
             \"SIP/teams\",\"Dial\",\"SIP/teams/+493023125001\",\"2026-01-15 23:59:58\",\"2026-01-15 23:59:59\",\
             \"2026-01-16 00:00:41\",\"42\",\"41\",\"ANSWERED\",\"DOCUMENTATION\",\"019b\",\"ab\"\r\n\
             \"\",\"x\",\"y\",\"carrier\",\"<x>\",\"SIP/carrier\",\"\",\"Dial\",\"/y\",\"2026-01-15 10:00:00\",\"\",\"\",\
             \"0\",\"0\",\"NO ANSWER\",\"DOCUMENTATION\",\"019d\",\"\"\r\n"
        );
        let mut refused = both[1].clone();
        refused["end"] = "2026-01-15T10:00:07.100Z".into();
        let text = written(Layout::Asterisk, &[refused]);
        let times = "\"2026-01-15 10:00:00\",\"\",\"2026-01-15 10:00:07\",\"6\",\"0\",";
        assert!(text.contains(times), "{text}");
        let text = written(Layout::Freeswitch, &both);
        assert_eq!(
            text,
            "\"\",\"+441632960001\",\"+493023125001\",\"carrier\",\"2026-01-15 23:59:58\",\"2026-01-15 23:59:59\",\
             \"2026-01-16 00:00:41\",\"42\",\"41\",\"NORMAL_CLEARING\",\"019b\",\"b2\",\"contoso\"\r\n\
             \"\",\"x\",\"y\",\"carrier\",\"2026-01-15 10:00:00\",\"\",\"\",\"0\",\"0\",\"ORIGINATOR_CANCEL\",\"019d\",\
             \"\",\"\"\r\n"
        );
    }
}
