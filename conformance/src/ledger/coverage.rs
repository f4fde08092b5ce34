//! How much of the requirements is shown.

use super::{Requirement, Standing};

/// Requirements by how far they have got.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Count {
    /// Shown by tests.
    pub shown: usize,
    /// Shown in part.
    pub partly: usize,
    /// Not shown.
    pub missing: usize,
    /// Not to be shown.
    pub exceptions: usize,
}

impl Count {
    /// All of them.
    pub fn all(self) -> usize {
        self.shown + self.partly + self.missing + self.exceptions
    }
}

/// Counts requirements.
pub fn count<'r>(requirements: impl IntoIterator<Item = &'r Requirement>) -> Count {
    let mut count = Count::default();
    for requirement in requirements {
        let one = match requirement.standing() {
            Standing::Shown => &mut count.shown,
            Standing::Partly => &mut count.partly,
            Standing::Missing => &mut count.missing,
            Standing::Exception => &mut count.exceptions,
        };
        *one += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;

    #[test]
    fn every_requirement_is_counted_once() {
        let entry = |id: &str, says: &str| {
            format!("[[requirement]]\nid = \"{id}\"\ntitle = \"x\"\nlevel = \"must\"\n{says}\n")
        };
        let (shown, missing) = ("shown_by = [\"a.rs::b\"]", "missing = \"x\"");
        let text = [
            "section = 1\ntitle = \"x\"\n".to_owned(),
            entry("SIP-001", shown),
            entry("SIP-002", &format!("{shown}\n{missing}")),
            entry("SIP-003", missing),
            entry("SIP-004", missing),
            entry("SIP-005", "exception = \"x\""),
        ]
        .concat();
        let ledger = Ledger::read(&[("01.toml", &text)]).unwrap();
        let counted = count(&ledger.sections[0].requirements);
        let wanted = Count {
            shown: 1,
            partly: 1,
            missing: 2,
            exceptions: 1,
        };
        assert_eq!(counted, wanted);
        assert_eq!(counted.all(), 5);
    }
}
