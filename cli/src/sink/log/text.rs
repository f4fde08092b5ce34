//! The text of a line: its form, escapes and bounds (OPS-082).

use super::{Form, Level, wall_clock};
use sbc_core::display::is_steering;
use std::fmt::{Display, Write as _};

/// Longest field value in bytes; the rest is cut.
const MAX_VALUE_BYTES: usize = 512;

/// The text of a line in its form.
pub(super) struct Text {
    form: Form,
    text: String,
    /// Fields of their own, for the journal.
    fields: String,
}

impl Text {
    pub(super) fn new(form: Form) -> Self {
        Self {
            form,
            text: String::with_capacity(160),
            fields: String::new(),
        }
    }

    pub(super) fn end(mut self) -> String {
        if self.form == Form::Json {
            self.text.push('}');
        }
        self.text.push('\n');
        if self.form == Form::Native {
            self.text.push_str(&self.fields);
            self.text.push('\n');
        }
        self.text
    }

    pub(super) fn begin(&mut self, level: Level, code: &str, message: &dyn Display) {
        let at = wall_clock();
        // Writing to a String cannot fail.
        let _ = match self.form {
            Form::Json => write!(
                self.text,
                "{{\"at\":\"{}\",\"level\":\"{}\",\"code\":\"{code}\"",
                at.rfc3339(),
                level.as_str()
            ),
            Form::Text => write!(self.text, "{} {:5} {code}:", at.rfc3339(), level.as_str()),
            Form::Journal => write!(self.text, "<{}>{code}:", level.priority()),
            Form::Native => {
                let priority = level.priority();
                let fields = "SYSLOG_IDENTIFIER=causeway\nSBC_CODE";
                let _ = writeln!(self.fields, "PRIORITY={priority}\n{fields}={code}");
                write!(self.text, "MESSAGE={code}:")
            }
        };
        match self.form {
            Form::Json => self.field("message", message),
            Form::Text | Form::Journal | Form::Native => {
                self.text.push(' ');
                self.value(message, Place::Message);
            }
        }
    }

    pub(super) fn field(&mut self, key: &str, value: &dyn Display) {
        match self.form {
            Form::Json => {
                self.text.extend([",\"", key, "\":"]);
                self.text.push('"');
                self.value(value, Place::Json);
                self.text.push('"');
            }
            Form::Text | Form::Journal | Form::Native => {
                self.text.extend([" ", key, "="]);
                let begin = self.text.len();
                let is_plain = self.value(value, Place::Field) && self.text.len() > begin;
                if !is_plain {
                    // No quote is within: it would be none.
                    self.text.insert(begin, '"');
                    self.text.push('"');
                }
            }
        }
        if self.form == Form::Native {
            self.own_field(key, value);
        }
    }

    /// A field of its own; its name is what operators of several products look for.
    fn own_field(&mut self, key: &str, value: &dyn Display) {
        self.fields.push_str("SBC_");
        match key {
            "call" => self.fields.push_str("CALL_UID"),
            "call_id" => self.fields.push_str("CALLID"),
            key => self.fields.push_str(&key.to_ascii_uppercase()),
        }
        self.fields.push('=');
        std::mem::swap(&mut self.text, &mut self.fields);
        self.value(value, Place::Message);
        std::mem::swap(&mut self.text, &mut self.fields);
        self.fields.push('\n');
    }

    /// Appends a value, escaped and cut; says whether it is a word by itself.
    fn value(&mut self, value: &dyn Display, place: Place) -> bool {
        let mut escaped = Escaped {
            to: &mut self.text,
            place,
            left: MAX_VALUE_BYTES,
            is_cut: false,
            is_plain: true,
        };
        // Writing to a String cannot fail.
        let _ = write!(escaped, "{value}");
        escaped.is_plain
    }
}

/// Where a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between quotes of JSON.
    Json,
    /// Behind a key.
    Field,
    /// In front of the fields, as words.
    Message,
}

/// Takes the text of one value: no control character of a peer may steer the terminal or forge a line,
/// whatever the form.
struct Escaped<'a> {
    to: &'a mut String,
    place: Place,
    /// Bytes that may still come.
    left: usize,
    is_cut: bool,
    /// Nothing came that needs quotes around it.
    is_plain: bool,
}

impl Escaped<'_> {
    /// Whether a byte can begin what is not written as it is, or shows that quotes are needed.
    fn is_special(&self, byte: u8) -> bool {
        match byte {
            0..0x20 | 0x7f.. => true,
            b'"' => self.place != Place::Message,
            b'\\' => self.place == Place::Json,
            b' ' | b'=' => self.place == Place::Field,
            _ => false,
        }
    }

    fn special(&mut self, c: char) {
        self.is_plain &= !(c.is_whitespace() || c == '"' || c == '=');
        let _ = match (self.place, c) {
            (Place::Json, '"' | '\\') => write!(self.to, "\\{c}"),
            // JSON allows DEL, C1 and marks of direction as they are; a terminal that shows the line does
            // not care that it is JSON. All of them lie in the basic plane, so one escape is enough.
            (Place::Json, c) if is_steering(c) => write!(self.to, "\\u{:04x}", u32::from(c)),
            (_, c) if is_steering(c) => write!(self.to, "{}", c.escape_default()),
            (Place::Field, '"') => self.to.write_char('\''),
            (_, c) => self.to.write_char(c),
        };
    }
}

impl std::fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.is_cut {
            return Ok(());
        }
        let is_end = |at: &usize| text.is_char_boundary(*at);
        let end = (0..=text.len().min(self.left)).rev().find(is_end);
        let (mut rest, left_out) = text.split_at(end.unwrap_or(0));
        self.is_cut = !left_out.is_empty();
        self.left -= rest.len();
        while let Some(at) = rest.bytes().position(|byte| self.is_special(byte)) {
            let (plain, from) = rest.split_at(at);
            self.to.push_str(plain);
            let mut chars = from.chars();
            if let Some(c) = chars.next() {
                self.special(c);
            }
            rest = chars.as_str();
        }
        self.to.push_str(rest);
        if self.is_cut {
            self.to.push('…');
        }
        Ok(())
    }
}
