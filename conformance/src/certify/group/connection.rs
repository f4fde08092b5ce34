//! CON: connections with Teams, their certificates, and which proxy is called.

use crate::certify::case::Case;

/// The cases.
pub const CASES: &[Case] = &[];
