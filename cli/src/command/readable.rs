//! What a daemon answers as a person reads it: tables, times, values.

use serde_json::Value;
use std::io::{self, Write};

/// A time as a person says it.
pub(crate) fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min {} s", seconds % 60),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        86_400.. => format!("{days} d {} h", hours % 24),
    }
}

/// Columns as wide as their content.
pub(crate) fn table(rows: &[Value], columns: &[&str], out: &mut dyn Write) -> io::Result<()> {
    let mut cells: Vec<Vec<String>> = vec![
        columns
            .iter()
            .map(|name| name.to_uppercase().replace('_', " "))
            .collect(),
    ];
    for row in rows {
        cells.push(
            columns
                .iter()
                .map(|name| plain(row.get(*name).unwrap_or(&Value::Null)))
                .collect(),
        );
    }
    let width = |column: usize| {
        cells
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    for row in &cells {
        let line: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        writeln!(out, "{}", line.join("  ").trim_end())?;
    }
    Ok(())
}

/// A value for a person; control characters must not steer the terminal.
pub(crate) fn plain(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(plain).collect();
            values.join(", ")
        }
        other => other.to_string(),
    };
    text.chars().map(sbc_core::display::shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_control_characters_are_replaced() {
        let rows = [
            serde_json::json!({ "call": "a1", "state": "ringing" }),
            serde_json::json!({ "call": "b", "state": "x\u{1b}[2J" }),
        ];
        let mut out = Vec::new();
        table(&rows, &["call", "state"], &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "CALL  STATE\na1    ringing\nb     x\u{fffd}[2J\n");
    }
}
