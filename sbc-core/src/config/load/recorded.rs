//! What transforms add to records: names and values are bounded, and none is written that could never count.

use super::routing::groups;
use super::{Load, titled};
use crate::config::finding::Code;
use crate::config::recorded::{LONGEST_RECORDED, WrittenRecord};
use crate::config::rules::WrittenMatch;
use crate::config::source::At;
use crate::config::written::WrittenTransform;
use crate::config::{MOST_RECORDED, RecordRule};
use std::collections::{BTreeMap, BTreeSet};

/// Most characters of a name.
const LONGEST_NAME: usize = 32;

impl Load<'_> {
    /// What one transform adds.
    pub(super) fn records(&mut self, title: &str, written: &[WrittenRecord]) -> Vec<RecordRule> {
        let title = format!("{title}: record");
        let mut always = BTreeSet::new();
        let mut rules = Vec::new();
        for own in written {
            self.recorded_name(&title, &own.name);
            self.recorded_value(&title, &own.set);
            let name = own.name.value.as_str();
            if always.contains(name) {
                self.out.add(
                    Code::Contradiction,
                    &own.span,
                    format!("{title}: the rule never counts, as one before it gives \"{name}\" to every call"),
                    Some("write the rule for every call last".to_owned()),
                );
            }
            if own.when.is_none() {
                always.insert(name);
            }
            let when = match &own.when {
                Some(when) => match self.number_match(&title, when, &own.set) {
                    Some(when) => Some(when),
                    None => continue,
                },
                None => None,
            };
            let is_pattern = matches!(own.when, Some(WrittenMatch::Pattern(_)));
            rules.push(RecordRule {
                name: name.to_owned(),
                of: own.of.as_ref().map(|at| at.value).unwrap_or_default(),
                when,
                set: own.set.value.clone(),
                takes_digits: is_pattern && !groups(&own.set.value).is_empty(),
            });
        }
        rules
    }

    fn recorded_name(&mut self, title: &str, at: &At<String>) {
        let mut octets = at.value.bytes();
        let is_name = octets
            .next()
            .is_some_and(|first| first.is_ascii_lowercase())
            && octets
                .all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'_')
            && at.value.len() <= LONGEST_NAME;
        if !is_name {
            self.out.add(
                Code::BadForm,
                &at.span,
                format!("{title}: \"{}\" is no name of a value", at.value.escape_debug()),
                Some(format!(
                    "write small letters, digits and _, at most {LONGEST_NAME}, beginning with a letter"
                )),
            );
        }
    }

    fn recorded_value(&mut self, title: &str, at: &At<String>) {
        let is_value = !at.value.is_empty()
            && at.value.chars().count() <= LONGEST_RECORDED
            && !at.value.chars().any(char::is_control);
        if !is_value {
            self.out.add(
                Code::BadForm,
                &at.span,
                format!("{title}: set is empty, has control characters, or more than {LONGEST_RECORDED} characters"),
                Some("write the value as the record is to have it, such as \"30-4711\"".to_owned()),
            );
        }
    }

    /// All transforms of a trunk in one direction together have no more names than a record takes.
    pub(super) fn check_recorded(&mut self, written: &[WrittenTransform]) {
        let mut names: BTreeMap<(&str, bool), BTreeSet<&str>> = BTreeMap::new();
        for transform in written {
            let (Some(trunk), Some(dir)) = (&transform.trunk, &transform.is_inbound) else {
                continue;
            };
            let all = names.entry((&trunk.value, dir.value)).or_default();
            for own in &transform.record {
                let is_new = all.insert(&own.name.value);
                if is_new && all.len() == MOST_RECORDED + 1 {
                    let title = titled("transform", &transform.name.value);
                    self.out.add(
                        Code::OutOfRange,
                        &own.name.span,
                        format!(
                            "{title}: record: trunk \"{}\" has more than {MOST_RECORDED} names of values in this \
                             direction",
                            trunk.value
                        ),
                        Some(format!("keep {MOST_RECORDED} of them")),
                    );
                }
            }
        }
    }
}
