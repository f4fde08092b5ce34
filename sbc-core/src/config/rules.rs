//! Rules on numbers as they are written in a transform: expressions, beginnings, single numbers, and
//! the dialling plan of a place.

use super::finding::{Code, Collector};
use super::read::Section;
use super::source::{At, Span};

/// One rule.
pub(super) struct WrittenRule {
    pub(super) span: Span,
    pub(super) when: WrittenMatch,
    /// What the number becomes.
    pub(super) set: At<String>,
    /// `service = true`
    pub(super) service: Option<At<bool>>,
}

/// Which numbers a rule changes.
pub(super) enum WrittenMatch {
    /// `match = '…'`
    Pattern(At<String>),
    /// `prefix = "00"`, `length = "4-6"`
    Start {
        start: Option<At<String>>,
        length: Option<At<String>>,
    },
    /// `number = "112"`
    Number(At<String>),
}

/// `plan = { country = "49", … }`
pub(super) struct WrittenPlan {
    pub(super) country: Option<At<String>>,
    pub(super) international: Option<At<String>>,
    pub(super) national: Option<At<String>>,
    pub(super) area: Option<At<String>>,
    pub(super) base: Option<At<String>>,
    pub(super) extension: Option<At<u64>>,
}

/// Reads a list of rules.
pub(super) fn rules(
    section: &mut Section<'_>,
    key: &'static str,
    out: &mut Collector,
) -> Vec<WrittenRule> {
    let Some(list) = section.list(key, out) else {
        return Vec::new();
    };
    let title = format!("{}: {key}", section.title);
    let items = list.value.iter();
    items
        .filter_map(|item| rule(item.section(title.clone(), out)?, key, out))
        .collect()
}

fn rule(mut section: Section<'_>, key: &str, out: &mut Collector) -> Option<WrittenRule> {
    let span = section.span.clone();
    let when = kind_of_rule(&mut section, false, out);
    let set = match section.has("replace") && !section.has("set") {
        true => section.text("replace", out),
        false => section.required_text("set", "\"+49$1\"", out),
    };
    // Who calls or has forwarded a call is not translated.
    let service = match key {
        "called" => section.boolean("service", out),
        _ => None,
    };
    section.finish(&["when"], out);
    Some(WrittenRule {
        span,
        when: when.ok().flatten()?,
        set: set?,
        service,
    })
}

/// Which numbers a rule is about, by the keys of all rules; an error where that was told to be wrong, or cannot be read.
/// A rule that `is_free` needs none of them.
pub(super) fn kind_of_rule(
    section: &mut Section<'_>,
    is_free: bool,
    out: &mut Collector,
) -> Result<Option<WrittenMatch>, ()> {
    let span = section.span.clone();
    let pattern = section.text("match", out);
    let start = section.text("prefix", out);
    let length = section.text("length", out);
    let number = section.text("number", out);
    let kinds = [
        pattern.is_some(),
        start.is_some() || length.is_some(),
        number.is_some(),
    ];
    let said = kinds.iter().filter(|is_said| **is_said).count();
    let wanted = ["match", "prefix", "length", "number"];
    let was_tried = wanted.iter().any(|key| section.has(key));
    if said > 1 || (said == 0 && !was_tried && !is_free) {
        let title = &section.title;
        out.add(
            Code::Contradiction,
            &span,
            match said {
                0 => format!("{title}: nothing says which numbers the rule is about"),
                _ => format!("{title}: the rule says in several ways which numbers it is about"),
            },
            Some("write one of match = '^00', prefix = \"00\" and number = \"112\"".to_owned()),
        );
    }
    match (pattern, start, length, number) {
        (Some(pattern), None, None, None) => Ok(Some(WrittenMatch::Pattern(pattern))),
        (None, None, None, Some(number)) => Ok(Some(WrittenMatch::Number(number))),
        (None, start, length, None) if start.is_some() || length.is_some() => {
            Ok(Some(WrittenMatch::Start { start, length }))
        }
        (None, None, None, None) if is_free && !was_tried => Ok(None),
        _ => Err(()),
    }
}

/// Reads the dialling plan of a transform.
pub(super) fn plan(section: &mut Section<'_>, out: &mut Collector) -> Option<WrittenPlan> {
    let mut table = section.table("plan", out)?;
    let plan = WrittenPlan {
        country: table.required_text("country", "\"49\"", out),
        international: table.text("international", out),
        national: table.text("national", out),
        area: table.text("area", out),
        base: table.text("base", out),
        extension: table.number("extension", 1..=8, out),
    };
    if plan.base.is_some() != plan.extension.is_some() {
        out.add(
            Code::Contradiction,
            &table.span,
            format!("{}: base and extension go together", table.title),
            Some(
                "write base = \"+493023125\" and the digits that follow it, extension = 3"
                    .to_owned(),
            ),
        );
    }
    table.finish(&[], out);
    Some(plan)
}
