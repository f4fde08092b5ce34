//! What the daemon takes from itself at its start: `[security]` (SEC-141).

use super::finding::Collector;
use super::read::Section;
use super::source::At;

/// How far the daemon confines itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Confinement {
    /// Files and calls of the kernel that it does not need are refused.
    #[default]
    On,
    /// Such calls are logged by the kernel; files are as before, for which it has no such mode.
    Log,
    /// Nothing is.
    Off,
}

impl Confinement {
    /// Each with its name.
    pub const ALL: [(&str, Self); 3] = [("on", Self::On), ("log", Self::Log), ("off", Self::Off)];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Log => "log",
            Self::Off => "off",
        }
    }
}

/// Reads the table.
pub(super) fn read(mut section: Section<'_>, out: &mut Collector) -> Option<At<Confinement>> {
    let confinement = section.choice("confinement", &Confinement::ALL, &[], out);
    section.finish(&[], out);
    confinement
}
