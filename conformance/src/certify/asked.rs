//! Where a case asks something, and whether the answer was ever no: a check that no change to the subject fails
//! shows nothing, however often it is asked.

use crate::lock::lock;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A check in the text of a case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Site {
    /// The rule that is broken if it fails.
    pub rule: String,
    file: &'static str,
    line: u32,
    column: u32,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Path::new(self.file).file_name().unwrap_or_default();
        write!(f, "{} in {}:{}", self.rule, name.display(), self.line)
    }
}

/// Checks that were made, each with whether it failed. Clones are the same.
#[derive(Clone, Default)]
pub struct Asked(Arc<Mutex<BTreeMap<Site, bool>>>);

tokio::task_local! {
    static ASKED: Asked;
}

impl Asked {
    /// Plays something, whose checks are noted here.
    pub async fn of<T>(&self, work: impl Future<Output = T>) -> T {
        ASKED.scope(self.clone(), work).await
    }

    /// What was asked so far.
    pub fn sites(&self) -> BTreeMap<Site, bool> {
        lock(&self.0).clone()
    }
}

/// Notes a check of the case that is played here; where none is, nobody wants to know.
pub(super) fn note(at: &'static Location<'static>, rule: &str, is_right: bool) {
    let site = Site {
        rule: rule.to_owned(),
        file: at.file(),
        line: at.line(),
        column: at.column(),
    };
    let noted = ASKED.try_with(|asked| {
        *lock(&asked.0).entry(site).or_default() |= !is_right;
    });
    // Outside of a case there is nothing to note.
    let _ = noted;
}
