//! What transforms add to records: names of the operator's own with values (`record` of a `[[transform]]`, OPS-060).
//!
//! ```toml
//! record = [
//!     { name = "account", set = "30-4711" },                          # of every call of the transform
//!     { name = "area", match = '^\+49(30|40)', set = "$1" },          # where the called number fits
//!     { name = "site", of = "calling", prefix = "+4930", set = "berlin" },
//! ]
//! ```
//!
//! A value is what `set` says and nothing else of the number; of several rules for a name the first that fits counts.

use super::finding::{Code, Collector};
use super::read::Section;
use super::route::NumberMatch;
use super::rules::{WrittenMatch, kind_of_rule};
use super::source::{At, Span};

/// Most names in a record, whatever transforms there are (OPS-060).
pub(crate) const MOST_RECORDED: usize = 16;

/// Most characters of a value.
pub(crate) const LONGEST_RECORDED: usize = 128;

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordRule {
    /// What the value is called.
    pub name: String,
    /// The number that it looks at.
    pub of: RecordedNumber,
    /// Which numbers it is about; without it, all calls.
    pub when: Option<NumberMatch>,
    /// The value; with an expression `$1` stands for a group.
    pub set: String,
    /// Whether there are digits of the number in the value.
    pub takes_digits: bool,
}

/// A number of a call, as its record has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RecordedNumber {
    /// That is called.
    #[default]
    Called,
    /// Of who calls.
    Calling,
    /// Of who forwarded the call last.
    Diverting,
}

impl RecordRule {
    /// The value for a call with this number, if the rule is about it.
    pub fn value(&self, number: Option<&str>) -> Option<String> {
        let value = match (&self.when, number) {
            (None, _) => self.set.clone(),
            (Some(_), None) => return None,
            (Some(NumberMatch::Pattern(pattern)), Some(number)) => {
                let groups = pattern.captures(number)?;
                let mut value = String::new();
                groups.expand(&self.set, &mut value);
                value
            }
            (Some(when), Some(number)) => when.holds(number).then(|| self.set.clone())?,
        };
        let value: String = value.chars().take(LONGEST_RECORDED).collect();
        (!value.is_empty()).then_some(value)
    }
}

/// One rule as it is written.
pub(super) struct WrittenRecord {
    pub(super) span: Span,
    pub(super) name: At<String>,
    pub(super) of: Option<At<RecordedNumber>>,
    pub(super) when: Option<WrittenMatch>,
    pub(super) set: At<String>,
}

/// Reads the list.
pub(super) fn records(section: &mut Section<'_>, out: &mut Collector) -> Vec<WrittenRecord> {
    let Some(list) = section.list("record", out) else {
        return Vec::new();
    };
    let title = format!("{}: record", section.title);
    let items = list.value.iter();
    items
        .filter_map(|item| record(item.section(title.clone(), out)?, out))
        .collect()
}

fn record(mut section: Section<'_>, out: &mut Collector) -> Option<WrittenRecord> {
    let span = section.span.clone();
    let name = section.required_text("name", "\"account\"", out);
    let of = section.choice(
        "of",
        &[
            ("called", RecordedNumber::Called),
            ("calling", RecordedNumber::Calling),
            ("diverting", RecordedNumber::Diverting),
        ],
        &[],
        out,
    );
    let when = kind_of_rule(&mut section, true, out);
    let set = section.required_text("set", "\"30-4711\"", out);
    if let (Ok(None), Some(of)) = (&when, &of) {
        out.add(
            Code::Contradiction,
            &of.span,
            format!(
                "{}: of says which number is looked at, and nothing which ones fit",
                section.title
            ),
            Some(
                "write one of match = '^\\+49', prefix = \"+49\" and number = \"112\", or remove of"
                    .to_owned(),
            ),
        );
    }
    section.finish(&[], out);
    Some(WrittenRecord {
        span,
        name: name?,
        of,
        when: when.ok()?,
        set: set?,
    })
}
