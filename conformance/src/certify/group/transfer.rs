//! XFR: transfers, and calls that take the place of others.

use crate::certify::case::Case;

/// The cases.
pub const CASES: &[Case] = &[];
