//! NUM: forms of numbers.

use crate::certify::case::Case;

/// The cases.
pub const CASES: &[Case] = &[];
