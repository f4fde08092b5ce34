//! What can be said of tests before they are played: whether their names exist.

use super::Load;
use crate::config::case::MOST_CASES;
use crate::config::finding::{Code, did_you_mean};
use crate::config::written::File;
use std::collections::BTreeSet;

impl Load<'_> {
    pub(super) fn check_cases(&mut self, file: &File) {
        if let Some(first) = file.cases.get(MOST_CASES) {
            self.out.add(
                Code::OutOfRange,
                &first.name.span,
                format!("there are more than {MOST_CASES} tests: each load plays them all"),
                Some("keep those that differ".to_owned()),
            );
        }
        let mut names = BTreeSet::new();
        for case in &file.cases {
            let title = format!("test \"{}\"", case.name.value.escape_debug());
            self.once("test", &case.name, &mut names);
            if let Some(trunk) = &case.trunk {
                self.trunks.find(trunk, &title, &mut self.out);
            }
            self.codecs(&title, &case.codecs);
            let Some(listener) = &case.listener else {
                continue;
            };
            let known: Vec<&str> = self
                .listeners
                .valid
                .keys()
                .map(|name| name.as_str())
                .collect();
            if !known.contains(&listener.value.as_str()) {
                let help = did_you_mean(&listener.value, known.iter().copied())
                    .or_else(|| Some(format!("listeners: {}", known.join(", "))));
                self.out.add(
                    Code::UnknownName,
                    &listener.span,
                    format!(
                        "{title}: there is no listener \"{}\"",
                        listener.value.escape_debug()
                    ),
                    help,
                );
            }
        }
    }
}
