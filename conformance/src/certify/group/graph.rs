//! GRA: Microsoft Graph and Entra.

use crate::certify::case::Case;

/// The cases.
pub const CASES: &[Case] = &[];
