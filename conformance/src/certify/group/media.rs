//! MED: descriptions, keys, codecs, digits and reports.

use crate::certify::case::Case;

/// The cases.
pub const CASES: &[Case] = &[];
