//! The report as one page.

use super::Run;

/// The page.
pub fn of(_: &Run) -> String {
    String::new()
}
