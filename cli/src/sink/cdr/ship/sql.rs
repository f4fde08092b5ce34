//! The table of PostgreSQL that records go to: how it is made, and how it is filled.
//!
//! The server takes each record apart by itself, so one statement with one value, the lines of JSON, fills the
//! table whatever a record has. `id` is that of the record, so that what comes again changes nothing.

use sbc_core::config::CdrTable;
use std::fmt::Write;

/// A column.
struct Column {
    name: &'static str,
    kind: &'static str,
    /// Its value, of the record `r`.
    value: &'static str,
    meaning: &'static str,
}

const fn column(
    name: &'static str,
    kind: &'static str,
    value: &'static str,
    meaning: &'static str,
) -> Column {
    Column {
        name,
        kind,
        value,
        meaning,
    }
}

const COLUMNS: [Column; 16] = [
    column(
        "id",
        "text PRIMARY KEY",
        "coalesce(r->>'pair', (r->>'call') || coalesce('/' || (r->>'interim'), ''))",
        "the call's; with -0, -1 … of a pair of legs, with /0 of the beginning of a call, with /1, /2 … of an interim record",
    ),
    column(
        "kind",
        "text NOT NULL",
        "CASE WHEN r->>'pair' IS NOT NULL THEN 'pair' WHEN r->>'interim' IS NOT NULL THEN 'interim' ELSE 'call' END",
        "call, pair or interim: each call has one row of the first",
    ),
    column(
        "call",
        "text NOT NULL",
        "r->>'call'",
        "identifier of the call",
    ),
    column(
        "node",
        "text NOT NULL",
        "r->>'node'",
        "node that carried it",
    ),
    column("tenant", "text", "r->>'tenant'", "customer"),
    column(
        "start",
        "timestamptz NOT NULL",
        "(r->>'start')::timestamptz",
        "when the INVITE arrived, or the pair began to talk",
    ),
    column(
        "setup_ms",
        "bigint",
        "(r->>'setup_ms')::bigint",
        "from the INVITE to the answer; nothing of a call that was not answered",
    ),
    column(
        "duration_ms",
        "bigint NOT NULL",
        "(r->>'duration_ms')::bigint",
        "from the answer to the end",
    ),
    column(
        "calling",
        "text",
        "coalesce(r->>'calling', r->'a'->>'number')",
        "number of the caller",
    ),
    column(
        "called",
        "text",
        "coalesce(r->>'called', r->'b'->>'number')",
        "number that was called",
    ),
    column(
        "from_trunk",
        "text",
        "coalesce(r->'ingress'->>'trunk', r->'a'->>'trunk')",
        "where the call came from",
    ),
    column(
        "to_trunk",
        "text",
        "coalesce(r->'egress'->-1->>'trunk', r->'b'->>'trunk')",
        "where it was tried last",
    ),
    column(
        "disposition",
        "text",
        "r->>'disposition'",
        "answered, busy, no_answer, rejected, cancelled or failed",
    ),
    column("cause", "text", "r->'cause'->>'code'", "why it ended"),
    column(
        "billed_to",
        "text",
        "r->>'billed_to'",
        "of pairs: the trunk that pays",
    ),
    column("record", "jsonb NOT NULL", "r", "the whole record"),
];

/// The table as SQL writes it. What is in it was looked through when the configuration was read.
pub fn name(table: &CdrTable) -> String {
    let schema = table.schema.as_ref();
    let schema = schema.map_or_else(String::new, |schema| format!("\"{schema}\"."));
    format!("{schema}\"{}\"", table.table)
}

/// The statements that make the table, for whoever owns the database.
pub fn create(table: &CdrTable) -> String {
    let name = name(table);
    let mut sql = format!("CREATE TABLE {name} (\n");
    for (at, column) in COLUMNS.iter().enumerate() {
        let comma = if at + 1 < COLUMNS.len() { "," } else { "" };
        let begin = format!("{} {}{comma}", column.name, column.kind);
        let _ = writeln!(sql, "    {begin:30} -- {}", column.meaning);
    }
    sql.push_str(");\n");
    let _ = writeln!(
        sql,
        "ALTER TABLE {name} ADD COLUMN billsec bigint GENERATED ALWAYS AS ((record->>'billsec')::bigint) STORED; -- \
         seconds that have begun from the answer to the end"
    );
    let _ = writeln!(sql, "CREATE INDEX ON {name} (start);");
    if let Some(schema) = &table.schema {
        let _ = writeln!(
            sql,
            "GRANT USAGE ON SCHEMA \"{schema}\" TO \"{}\";",
            table.user
        );
    }
    let _ = writeln!(
        sql,
        "GRANT INSERT, SELECT (id) ON {name} TO \"{}\";",
        table.user
    );
    sql
}

/// The statement that adds records: its only value is an array of texts, each of them a line of JSON.
pub(super) fn insert(table: &CdrTable) -> String {
    let names: Vec<&str> = COLUMNS.iter().map(|own| own.name).collect();
    let values: Vec<&str> = COLUMNS.iter().map(|own| own.value).collect();
    format!(
        "INSERT INTO {} ({}) SELECT {} FROM (SELECT line::jsonb AS r FROM unnest($1::text[]) AS lines (line)) AS \
         records ON CONFLICT (id) DO NOTHING",
        name(table),
        names.join(", "),
        values.join(", ")
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn table(port: u16) -> CdrTable {
        CdrTable {
            host: "127.0.0.1".to_owned(),
            port,
            user: "causeway".to_owned(),
            password: None,
            database: "billing".to_owned(),
            schema: None,
            table: "causeway_records".to_owned(),
            is_plain: true,
        }
    }

    #[test]
    fn what_is_filled_is_what_is_made_and_only_what_is_needed_is_granted() {
        let own = CdrTable {
            schema: Some("billing".to_owned()),
            ..table(5432)
        };
        let (create, insert) = (create(&own), insert(&own));
        assert!(create.starts_with("CREATE TABLE \"billing\".\"causeway_records\" (\n"));
        for column in &COLUMNS {
            assert!(
                create.contains(&format!("\n    {} ", column.name)),
                "{create}"
            );
        }
        assert!(create.contains("GRANT USAGE ON SCHEMA \"billing\" TO \"causeway\";"));
        assert!(create.contains("GRANT INSERT, SELECT (id) ON \"billing\".\"causeway_records\""));
        assert!(insert.starts_with("INSERT INTO \"billing\".\"causeway_records\" (id, kind, call"));
        assert!(insert.ends_with("ON CONFLICT (id) DO NOTHING"));
    }
}
