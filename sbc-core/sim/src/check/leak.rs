//! When everything is over nothing is left (I5).

use super::{Checker, End, Violation};

pub(super) struct Leaks;

impl Checker for Leaks {
    fn finish(&mut self, end: &End<'_>, out: &mut Vec<Violation>) {
        let mut fail = |text| {
            out.push(Violation {
                at: end.at,
                rule: "leak",
                text,
            })
        };
        if !end.residue.is_empty() {
            fail(format!("never less than {:?}", end.residue));
        }
        if end.open_media > 0 {
            fail(format!(
                "{} media sessions were never released",
                end.open_media
            ));
        }
    }
}
