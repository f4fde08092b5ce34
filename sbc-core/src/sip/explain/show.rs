//! An explanation as text for a terminal.

use super::{ExplainedHeader, Explanation, Fault, Kind, Place, Treatment, Verdict};
use std::fmt;

/// Text for a terminal: UTF-8 as it is, control octets and everything else escaped.
pub(super) fn printable(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for chunk in octets.utf8_chunks() {
        for character in chunk.valid().chars() {
            match crate::display::is_steering(character) {
                true => text.extend(character.escape_default()),
                false => text.push(character),
            }
        }
        for octet in chunk.invalid() {
            text.push_str(&format!("\\x{octet:02x}"));
        }
    }
    text
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Request => "request",
            Kind::Response => "response",
            Kind::Unknown => "not SIP",
        };
        let verdict = match self.verdict {
            Verdict::Valid => "valid",
            Verdict::Invalid => "invalid",
        };
        writeln!(f, "{verdict} ({kind})")?;
        match &self.reaction {
            Treatment::Accepts => writeln!(f, "accepted")?,
            Treatment::Answers {
                status,
                phrase,
                because,
                fault,
            } => {
                write!(f, "answered with {status} {phrase}: {because}")?;
                writeln!(f, "{}", InBrackets(fault.as_ref()))?;
            }
            Treatment::Drops { because, fault } => {
                writeln!(f, "dropped: {because}{}", InBrackets(fault.as_ref()))?;
            }
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {} ({})", warning.text, warning.place)?;
        }
        writeln!(f, "\n{}", self.start_line)?;
        for header in &self.headers {
            fmt::Display::fmt(header, f)?;
        }
        if let Some(fault) = &self.body_fault {
            writeln!(f, "\nbody: {}{}", fault.rule, InBrackets(Some(fault)))?;
        }
        for (index, part) in self.body.iter().enumerate() {
            let separator = if index == 0 { "\n" } else { "" };
            let handling = if part.required {
                "required"
            } else {
                "optional"
            };
            let kind = match part.content_type.as_str() {
                "" => "no Content-Type",
                kind => kind,
            };
            write!(
                f,
                "{separator}body part {}: {kind}, {} octets",
                index + 1,
                part.octets
            )?;
            writeln!(f, ", {handling}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ExplainedHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.name, self.raw)?;
        if !self.canonical.is_empty() && self.canonical != self.name {
            writeln!(f, "    is {}", self.canonical)?;
        }
        if self.folded {
            writeln!(f, "    was folded over several lines")?;
        }
        for value in &self.values {
            if value.canonical != self.raw {
                writeln!(f, "    {}", value.canonical)?;
            }
            if !value.fields.is_empty() {
                let fields: Vec<String> = value
                    .fields
                    .iter()
                    .map(|field| format!("{}={}", field.name, field.value))
                    .collect();
                writeln!(f, "      {}", fields.join("  "))?;
            }
        }
        match &self.fault {
            Some(fault) => writeln!(f, "    ! {fault}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}, column {}, octet {} of the input",
            self.line, self.column, self.at
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}{}", self.what, self.rule, InBrackets(Some(self)))
    }
}

/// The place of a fault, if it has one, behind a sentence.
struct InBrackets<'a>(Option<&'a Fault>);

impl fmt::Display for InBrackets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.and_then(|fault| fault.place) {
            Some(place) => write!(f, " ({place})"),
            None => Ok(()),
        }
    }
}
