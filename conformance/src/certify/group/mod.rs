//! The cases, a file for each group of the catalogue.

pub mod connection;
pub mod inbound;
pub mod options;

use super::case::Case;

/// Every case that somebody wrote, by group.
pub const WRITTEN: &[&[Case]] = &[connection::CASES, options::CASES, inbound::CASES];

/// The case with this id, if somebody wrote it.
pub fn find(id: &str) -> Option<&'static Case> {
    WRITTEN
        .iter()
        .flat_map(|group| group.iter())
        .find(|case| case.id == id)
}
