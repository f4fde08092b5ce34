//! OUT: calls from Teams to the carrier.

use crate::certify::case::Case;

/// The cases.
pub const CASES: &[Case] = &[];
