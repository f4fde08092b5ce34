//! Identities that a trunk shows.

use super::Load;
use crate::config::finding::Code;
use crate::config::source::At;
use crate::config::written::WrittenIdentity;
use crate::config::{AssertedForm, IdentityPolicy, Party, Screening};

impl Load<'_> {
    pub(super) fn identity(&mut self, title: &str, written: &WrittenIdentity) -> IdentityPolicy {
        let usual = IdentityPolicy::default();
        let word = |at: &Option<At<Party>>, usual: Party| at.as_ref().map_or(usual, |at| at.value);
        let policy = IdentityPolicy {
            sources: match &written.sources {
                Some(list) if !list.is_empty() => list.iter().map(|at| at.value).collect(),
                Some(_) | None => usual.sources,
            },
            from: word(&written.from, usual.from),
            asserted: word(&written.asserted, usual.asserted),
            form: written
                .egress
                .as_ref()
                .and_then(|at| at.value)
                .unwrap_or(AssertedForm::Pai),
            pilot: written.pilot.as_ref().map(|at| at.value.clone()),
            screening: written
                .screening
                .as_ref()
                .map_or(usual.screening, |at| at.value),
            display: written
                .display
                .as_ref()
                .map_or(usual.display, |at| at.value),
        };
        if let Some(at) = &written.pilot {
            let digits = at.value.strip_prefix('+').unwrap_or(&at.value);
            let is_number =
                (1..=15).contains(&digits.len()) && digits.bytes().all(|d| d.is_ascii_digit());
            if !is_number {
                self.out.add(
                    Code::BadForm,
                    &at.span,
                    format!(
                        "{title}: identity: \"{}\" is no number",
                        at.value.escape_debug()
                    ),
                    Some("write number = \"+493023125000\"".to_owned()),
                );
            }
            return policy;
        }
        let needs_number = [
            written
                .from
                .as_ref()
                .filter(|at| at.value == Party::Pilot)
                .map(|at| &at.span),
            written
                .asserted
                .as_ref()
                .filter(|at| at.value == Party::Pilot)
                .map(|at| &at.span),
            written
                .screening
                .as_ref()
                .filter(|at| at.value == Screening::Replace)
                .map(|at| &at.span),
        ];
        for span in needs_number.into_iter().flatten() {
            self.out.add(
                Code::MissingKey,
                span,
                format!("{title}: identity: \"number\" is missing, nothing else can be shown"),
                Some("write number = \"+493023125000\"".to_owned()),
            );
        }
        policy
    }
}
