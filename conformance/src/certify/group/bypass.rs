//! ICE: media bypass.

use crate::certify::case::Case;

/// The cases.
pub const CASES: &[Case] = &[];
