//! Which requests within a call go from one party to the other: keys of a trunk.

use super::finding::Collector;
use super::read::Section;
use super::source::At;
use crate::sip::Method;

/// What the operator wrote; without a word nothing crosses.
#[derive(Default)]
pub(super) struct WrittenCrossing {
    info: Option<At<bool>>,
    message: Option<At<bool>>,
}

/// Reads the keys `info` and `message` of a trunk.
pub(super) fn read(section: &mut Section<'_>, out: &mut Collector) -> WrittenCrossing {
    let words = [("relay", true), ("refuse", false)];
    WrittenCrossing {
        info: section.choice("info", &words, &[], out),
        message: section.choice("message", &words, &[], out),
    }
}

impl WrittenCrossing {
    /// The methods that are allowed on the trunk, those that cross included.
    pub(super) fn allowed(&self, mut methods: Vec<Method>) -> Vec<Method> {
        for (written, method) in [(&self.info, Method::Info), (&self.message, Method::Message)] {
            let crosses = written.as_ref().is_some_and(|at| at.value);
            if crosses && !methods.contains(&method) {
                methods.push(method);
            }
        }
        methods
    }
}
