//! What tells the calls of one trunk from those of another whose peer is the same: numbers that are
//! called, or the name of a trunk group (SIP-1600, RFC 4904). It only decides among trunks to which
//! source and identity have proven that a request may belong.

use super::NumberRange;
use super::finding::{Code, Collector};
use super::read::Section;
use super::source::At;
use super::value;

/// What tells a trunk's calls from those of other trunks of its peer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TieBreak {
    /// Numbers that are called over it, after its own transforms; none says nothing.
    pub called: Vec<NumberRange>,
    /// Value of `tgrp` in the Request-URI.
    pub trunk_group: Option<String>,
}

/// What the operator wrote.
pub(super) struct WrittenTieBreak {
    called: Vec<At<NumberRange>>,
    trunk_group: Option<At<String>>,
}

impl TieBreak {
    /// Whether there is nothing to tell by.
    pub fn is_empty(&self) -> bool {
        self.called.is_empty() && self.trunk_group.is_none()
    }

    /// Whether it fits a call; what is not written fits every one.
    pub fn fits(&self, number: &str, trunk_group: Option<&str>) -> bool {
        let fits_number = self.called.iter().any(|range| range.contains(number));
        let fits_group = self
            .trunk_group
            .as_deref()
            .is_none_or(|own| trunk_group.is_some_and(|group| own.eq_ignore_ascii_case(group)));
        (self.called.is_empty() || fits_number) && fits_group
    }

    /// Whether no call fits both, unless one of them says nothing and is for what fits nobody.
    pub(super) fn excludes(&self, other: &Self) -> bool {
        if self.is_empty() || other.is_empty() {
            return self.is_empty() != other.is_empty();
        }
        let has_own_group = match (&self.trunk_group, &other.trunk_group) {
            (Some(own), Some(other)) => !own.eq_ignore_ascii_case(other),
            (Some(_), None) | (None, Some(_)) | (None, None) => false,
        };
        let overlaps = |own: &NumberRange| {
            let shares = |other: &NumberRange| {
                own.first.len() == other.first.len()
                    && own.first <= other.last
                    && other.first <= own.last
            };
            other.called.iter().any(shares)
        };
        let has_own_numbers = !self.called.is_empty()
            && !other.called.is_empty()
            && !self.called.iter().any(overlaps);
        has_own_group || has_own_numbers
    }
}

/// Reads the table.
pub(super) fn read(section: &mut Section<'_>, out: &mut Collector) -> Option<WrittenTieBreak> {
    let mut table = section.table("tie_break", out)?;
    let called = table.parsed_list("called", value::numbers, out);
    let trunk_group = table.text("tgrp", out);
    if !table.has("called") && !table.has("tgrp") {
        table.missing("called", "[\"+49301234000-+49301234999\"]", out);
    }
    table.finish(&[], out);
    Some(WrittenTieBreak {
        called: called.map(|list| list.value).unwrap_or_default(),
        trunk_group,
    })
}

impl WrittenTieBreak {
    pub(super) fn checked(&self, title: &str, out: &mut Collector) -> TieBreak {
        if let Some(at) = &self.trunk_group {
            let is_label = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.+".contains(&octet);
            if at.value.is_empty() || at.value.len() > 128 || !at.value.bytes().all(is_label) {
                out.add(
                    Code::BadForm,
                    &at.span,
                    format!(
                        "{title}: tie_break: \"{}\" is no name of a trunk group",
                        at.value.escape_debug()
                    ),
                    Some("write it as the peer does behind tgrp=, such as \"TG-1\"".to_owned()),
                );
            }
        }
        TieBreak {
            called: self.called.iter().map(|at| at.value.clone()).collect(),
            trunk_group: self.trunk_group.as_ref().map(|at| at.value.clone()),
        }
    }
}
