//! Identities that a trunk shows.

use super::Load;
use crate::config::finding::Code;
use crate::config::source::At;
use crate::config::value::is_host_name;
use crate::config::written::WrittenIdentity;
use crate::config::{
    AssertedForm, ContactUser, FromHost, IdentityPolicy, NumberForm, Party, Screening,
};
use crate::policy::number::PASSABLE;
use std::net::IpAddr;

impl Load<'_> {
    pub(super) fn identity(
        &mut self,
        title: &str,
        written: &WrittenIdentity,
        (number_form, anonymous_from): (NumberForm, bool),
    ) -> IdentityPolicy {
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
            from_host: self.host_of_from(title, written.from_host.as_ref()),
            contact_user: self.contact_user(title, written),
            params: self.number_params(title, written),
            number_form: written
                .number_form
                .as_ref()
                .map_or(number_form, |at| at.value),
            on_error: written
                .on_error
                .as_ref()
                .map_or(usual.on_error, |at| at.value),
            screens_from: written.screen_from.as_ref().is_some_and(|at| at.value),
            anonymous_from: written
                .anonymous_from
                .as_ref()
                .map_or(anonymous_from, |at| at.value),
            from_change: written.from_change.as_ref().is_some_and(|at| at.value),
            hides_in_need: written.hides_in_need.as_ref().is_some_and(|at| at.value),
        };
        if let Some(at) = written.screen_from.as_ref().filter(|at| at.value)
            && policy.screening == Screening::Pass
        {
            self.out.add(
                Code::Contradiction,
                &at.span,
                format!("{title}: identity: screen_from looks at a number whatever it is"),
                Some("write screening = \"replace\" or \"reject\" too, or remove it".to_owned()),
            );
        }
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

    fn host_of_from(&mut self, title: &str, written: Option<&At<String>>) -> FromHost {
        let Some(at) = written else {
            return FromHost::Own;
        };
        match at.value.as_str() {
            "own" => FromHost::Own,
            "peer" => FromHost::Peer,
            name => {
                if !is_host_name(name) && name.parse::<IpAddr>().is_err() {
                    self.out.add(
                        Code::BadForm,
                        &at.span,
                        format!(
                            "{title}: identity: from_host \"{}\" is no host",
                            name.escape_debug()
                        ),
                        Some(
                            "write \"own\", \"peer\" or a name such as \"example.com\"".to_owned(),
                        ),
                    );
                }
                FromHost::Named(name.to_owned())
            }
        }
    }

    fn contact_user(&mut self, title: &str, written: &WrittenIdentity) -> ContactUser {
        let Some(at) = &written.contact_user else {
            return ContactUser::Caller;
        };
        match at.value.as_str() {
            "caller" => ContactUser::Caller,
            "none" => ContactUser::None,
            "pilot" => {
                if written.pilot.is_none() {
                    self.out.add(
                        Code::MissingKey,
                        &at.span,
                        format!("{title}: identity: \"number\" is missing, Contact cannot have it"),
                        Some("write number = \"+493023125000\"".to_owned()),
                    );
                }
                ContactUser::Pilot
            }
            text => {
                let is_fit = (1..=64).contains(&text.len())
                    && text.bytes().all(|octet| (0x21..0x7f).contains(&octet));
                if !is_fit {
                    self.out.add(
                        Code::BadForm,
                        &at.span,
                        format!(
                            "{title}: identity: contact_user \"{}\" is no user",
                            text.escape_debug()
                        ),
                        Some(
                            "write \"caller\", \"pilot\", \"none\" or 1 to 64 printable ASCII characters"
                                .to_owned(),
                        ),
                    );
                }
                ContactUser::Named(text.to_owned())
            }
        }
    }

    fn number_params(&mut self, title: &str, written: &WrittenIdentity) -> Vec<String> {
        let list = written.params.iter().flat_map(|list| &list.value);
        let mut names = Vec::new();
        for at in list {
            let name = at.value.to_ascii_lowercase();
            if !PASSABLE.contains(&name.as_str()) {
                self.out.add(
                    Code::BadForm,
                    &at.span,
                    format!(
                        "{title}: identity: number_params: \"{}\" never passes",
                        at.value.escape_debug()
                    ),
                    Some(format!("those that may: {}", PASSABLE.join(", "))),
                );
            }
            names.push(name);
        }
        names
    }
}
