//! Numbers under which a place is called back after a call for help, `elin` of a tenant (SIP-1402).
//!
//! Who takes calls for help finds the caller by the number that calls. A number that moves with its
//! owner, or that leads to a switchboard, says nothing of the floor where somebody lies: the number of
//! the place does.
//!
//! A place may have several: each call for help gets one that no other has, so that a call back reaches who
//! called (`policy/elin`).

use super::finding::Collector;
use super::read::Section;
use super::source::At;
use super::tenant::NumberRange;
use super::value;
use crate::id::TrunkName;

/// The numbers of one place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Elin {
    /// Whose calls come from there; none is every number.
    pub callers: Vec<NumberRange>,
    /// On which trunk they come; `None` is any.
    pub trunk: Option<TrunkName>,
    /// Numbers that are shown instead of the caller's, `+` and digits; at least one.
    pub numbers: Vec<String>,
}

impl Elin {
    /// Whether a caller is at the place.
    pub fn is_of(&self, calling: &str, trunk: &TrunkName) -> bool {
        let is_there = self.callers.iter().any(|range| range.contains(calling));
        (self.callers.is_empty() || is_there) && self.trunk.as_ref().is_none_or(|own| own == trunk)
    }
}

/// What was written as one of `elin = [{ … }]`.
pub(super) struct WrittenElin {
    pub(super) callers: Vec<At<NumberRange>>,
    pub(super) trunk: Option<At<String>>,
    pub(super) numbers: Vec<At<String>>,
}

pub(super) fn elins(section: &mut Section<'_>, out: &mut Collector) -> Vec<WrittenElin> {
    let Some(list) = section.list("elin", out) else {
        return Vec::new();
    };
    let title = format!("{}: elin", section.title);
    let read = list.value.iter().filter_map(|item| {
        let mut place = item.section(title.clone(), out)?;
        let callers = place.parsed_list("callers", value::numbers, out);
        let trunk = place.text("from_trunk", out);
        let one = place.text("number", out);
        let several = place.texts("numbers", out).map(|list| list.value);
        let numbers: Vec<_> = several.into_iter().flatten().chain(one).collect();
        if numbers.is_empty() {
            place.missing("number", "\"+493023125990\", or several as numbers", out);
        }
        place.finish(&[], out);
        Some(WrittenElin {
            callers: callers.map(|list| list.value).unwrap_or_default(),
            trunk,
            numbers,
        })
    });
    read.collect()
}
