//! EMG: calls for help.

use crate::certify::case::Case;

/// The cases.
pub const CASES: &[Case] = &[];
