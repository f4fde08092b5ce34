//! LMO: local media optimization.

use crate::certify::case::Case;

/// The cases.
pub const CASES: &[Case] = &[];
