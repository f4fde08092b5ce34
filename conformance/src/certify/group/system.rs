//! SYS: customers, limits, attacks, load.

use crate::certify::case::Case;

/// The cases.
pub const CASES: &[Case] = &[];
