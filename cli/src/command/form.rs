//! The form in which commands print what they found: for people, or for programs as JSON or YAML.

use clap::{Args, ValueEnum};
use sbc_core::display::is_steering;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{self, Write};

/// One of the forms.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Form {
    /// Tables and sentences, for people
    #[default]
    Table,
    /// Everything that is known, as JSON
    Json,
    /// Everything that is known, as YAML
    Yaml,
}

/// Which form is wanted.
#[derive(Args, Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Output {
    /// Form of what is printed
    #[arg(short, long, global = true, value_enum, value_name = "FORM")]
    pub output: Option<Form>,
    /// Print JSON: the same as --output json
    #[arg(long, global = true, conflicts_with = "output")]
    pub json: bool,
}

impl Output {
    /// That of programs that read JSON.
    pub const JSON: Self = Self {
        output: Some(Form::Json),
        json: false,
    };

    /// The one to print.
    pub fn form(self) -> Form {
        match self.json {
            true => Form::Json,
            false => self.output.unwrap_or_default(),
        }
    }

    /// Whether a person reads it.
    pub fn is_table(self) -> bool {
        self.form() == Form::Table
    }

    /// Prints a value for programs; for people, as YAML.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn print(self, value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
        match self.form() {
            Form::Json => writeln!(out, "{}", harmless(&serde_json::to_string_pretty(value)?)),
            Form::Yaml | Form::Table => {
                out.write_all(yaml(&serde_json::to_value(value)?).as_bytes())
            }
        }
    }

    /// Prints one of many that follow each other: a line of JSON, or a document of YAML.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn follow(self, value: &Value, out: &mut dyn Write) -> io::Result<()> {
        match self.form() {
            Form::Json => writeln!(out, "{}", harmless(&value.to_string())),
            Form::Yaml | Form::Table => write!(out, "---\n{}", yaml(value)),
        }
    }

    /// Prints JSON that a daemon has written: as it is, or the same as YAML.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn pass(self, json: &str, out: &mut dyn Write) -> io::Result<()> {
        match (self.form(), serde_json::from_str::<Value>(json)) {
            (Form::Yaml | Form::Table, Ok(value)) => out.write_all(yaml(&value).as_bytes()),
            _ => writeln!(out, "{}", harmless(json.trim_end())),
        }
    }
}

/// JSON with escapes for what could steer a terminal and stands as it is in JSON: that is in texts alone.
fn harmless(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match is_steering(c) && c != '\n' {
            // All of them are below U+10000.
            true => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            false => text.push(c),
        }
    }
    text
}

/// A value as a document of YAML 1.2, which readers of 1.1 understand alike: texts are always in double quotes, written as
/// in JSON, so none of them is taken for a number, a date or a word with a meaning, and none ends its line.
pub fn yaml(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

/// Appends lines, the first of which stands where the text ends.
fn block(value: &Value, depth: usize, text: &mut String) {
    let indent = |first: bool, text: &mut String| {
        if !first {
            text.push_str(&"  ".repeat(depth));
        }
    };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (at, (name, value)) in fields.iter().enumerate() {
                indent(at == 0, text);
                match is_plain(name) {
                    true => text.push_str(name),
                    false => text.push_str(&quoted(name)),
                }
                text.push(':');
                match is_scalar(value) {
                    true => text.push(' '),
                    false => {
                        text.push('\n');
                        text.push_str(&"  ".repeat(depth + 1));
                    }
                }
                block(value, depth + 1, text);
            }
        }
        Value::Array(values) if !values.is_empty() => {
            for (at, value) in values.iter().enumerate() {
                indent(at == 0, text);
                text.push_str("- ");
                block(value, depth + 1, text);
            }
        }
        Value::Object(_) => text.push_str("{}\n"),
        Value::Array(_) => text.push_str("[]\n"),
        Value::String(own) => {
            text.push_str(&quoted(own));
            text.push('\n');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            let _ = writeln!(text, "{value}");
        }
    }
}

/// Whether a value stands behind its name.
fn is_scalar(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(values) => values.is_empty(),
        _ => true,
    }
}

/// Whether a name needs no quotes: it looks like one of ours, and no reader takes it for something else.
fn is_plain(name: &str) -> bool {
    const WORDS: [&str; 10] = [
        "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan",
    ];
    let is_one = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'_';
    name.bytes()
        .next()
        .is_some_and(|first| first.is_ascii_lowercase())
        && name.bytes().all(is_one)
        && !WORDS.contains(&name)
}

fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    // It may stand in YAML nowhere but at the start.
    harmless(&json).replace('\u{feff}', "\\ufeff")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_has_a_line_for_each_value_and_indents_what_is_inside() {
        let value = json!({
            "calls": [{ "call": "a1", "legs": [[1, 2], []], "tags": {} }, { "call": "b2" }],
            "is_read": true,
            "none": null,
            "ratio": 0.5,
        });
        let wanted = "calls:\n  - call: \"a1\"\n    legs:\n      - - 1\n        - 2\n      - []\n    tags: {}\n  \
                      - call: \"b2\"\nis_read: true\nnone: null\nratio: 0.5\n";
        assert_eq!(yaml(&value), wanted);
        assert_eq!(yaml(&json!([])), "[]\n");
        assert_eq!(yaml(&json!("x")), "\"x\"\n");
    }

    #[test]
    fn what_peers_say_stays_one_text_whatever_is_in_it() {
        for (text, wanted) in [
            ("no", "\"no\""),
            ("2026-08-01", "\"2026-08-01\""),
            ("+4930", "\"+4930\""),
            ("a: b # c", "\"a: b # c\""),
            ("x\n- y: 1", r#""x\n- y: 1""#),
            ("\u{1b}[2J\u{9b}2J\u{7f}", r#""\u001b[2J\u009b2J\u007f""#),
            (
                "\u{202e}\u{2028}\u{feff}\u{85}",
                r#""\u202e\u2028\ufeff\u0085""#,
            ),
            ("\"\\", r#""\"\\""#),
            ("ü漢😀", "\"ü漢😀\""),
        ] {
            assert_eq!(yaml(&json!({ "a": text })), format!("a: {wanted}\n"));
            // A name of somebody else is as harmless.
            let named = json!({ text: 1 });
            assert_eq!(yaml(&named), format!("{wanted}: 1\n"));
            // Double quotes of YAML and texts of JSON are the same for all that is written here.
            assert_eq!(serde_json::from_str::<String>(wanted).unwrap(), text);
        }
    }

    #[test]
    fn json_of_a_daemon_goes_out_as_it_came_but_for_what_steers_terminals() {
        let text = |output: Output, json: &str| {
            let mut out = Vec::new();
            output.pass(json, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let json = "{\"b\": \"x\u{9b}2J\",\n \"a\":1}";
        assert_eq!(
            text(Output::JSON, json),
            "{\"b\": \"x\\u009b2J\",\n \"a\":1}\n"
        );
        let output = Some(Form::Yaml);
        let as_yaml = Output {
            output,
            json: false,
        };
        assert_eq!(text(as_yaml, json), "a: 1\nb: \"x\\u009b2J\"\n");
        // What is none is shown, as people have to see it.
        assert_eq!(text(as_yaml, "oops"), "oops\n");
    }
}
