//! MID: hold, changes and refreshes within a call.

use crate::certify::case::Case;

/// The cases.
pub const CASES: &[Case] = &[];
