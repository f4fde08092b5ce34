//! Who signs operators in, and what roles of the application mean.

use super::Load;
use crate::config::finding::Code;
use crate::config::oidc::{ANY_TENANT, WrittenOidc};
use crate::config::shell::SYSTEM_ROOTS;
use crate::config::source::At;
use crate::config::value::is_https_url;
use crate::config::{ApiRole, MICROSOFT_ROOTS, Oidc, OidcRole};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

const TITLE: &str = "api: oidc";
/// Where people of Entra sign in.
const LOGIN: &str = "https://login.microsoftonline.com";
/// Directories, and roles, at most.
const MOST: usize = 64;
/// Longest text, characters.
const LONGEST: usize = 128;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

impl Load<'_> {
    pub(super) fn oidc(&mut self, written: &WrittenOidc) -> Option<Oidc> {
        let tenants = self.oidc_tenants(written);
        let (issuer, discovery) = self.oidc_issuer(written, &tenants);
        let client_id = written.client_id.as_ref();
        let client_id = client_id.map(|at| self.oidc_text("client_id", at));
        let url = written.url.as_ref().map(|at| {
            let place = at.value.trim_end_matches('/');
            let is_place = place.matches('/').count() == 2 && is_https_url(place);
            if !is_place {
                let help = "write https://, the host that browsers know, and the port of listen, and no path; Entra \
                            sends them back to /sign-in there, which is to be registered as a redirect URI";
                self.oidc_bad("url", at, "is no place of a console", help);
            }
            place.to_owned()
        });
        let roots = match (&written.roots, &written.issuer) {
            (Some(at), _) => at.clone(),
            (None, None) => At::new(MICROSOFT_ROOTS.to_owned(), written.span.clone()),
            (None, Some(issuer)) => At::new(SYSTEM_ROOTS.to_owned(), issuer.span.clone()),
        };
        if let Err(fault) = self.facts.roots(&roots.value) {
            self.file_fault("api: oidc: roots", &roots, fault);
        }
        let name = match &written.name {
            Some(at) => self.oidc_text("name", at),
            None if written.issuer.is_none() => "Microsoft".to_owned(),
            None => host_of(&issuer).to_owned(),
        };
        let claim = match &written.claim {
            Some(at) => self.oidc_text("claim", at),
            None => "roles".to_owned(),
        };
        let roles = self.oidc_roles(written);
        let session = self.oidc_time(
            &written.session,
            "session",
            8 * HOUR,
            5 * MINUTE..=12 * HOUR,
        );
        let idle = self.oidc_time(&written.idle, "idle", 30 * MINUTE, MINUTE..=2 * HOUR);
        let proof = self.application_proof(TITLE, written.proof.as_ref()?)?;
        Some(Oidc {
            issuer,
            discovery,
            tenants,
            client_id: client_id?,
            proof,
            url: url?,
            roots: roots.value,
            name,
            claim,
            roles,
            session,
            idle,
        })
    }

    fn oidc_bad(&mut self, key: &str, at: &At<String>, what: &str, help: &str) {
        let cause = format!("{TITLE}: {key} \"{}\" {what}", at.value.escape_debug());
        self.out
            .add(Code::BadForm, &at.span, cause, Some(help.to_owned()));
    }

    fn oidc_text(&mut self, key: &str, at: &At<String>) -> String {
        let length = at.value.chars().count();
        if length == 0 || length > LONGEST || at.value.chars().any(char::is_control) {
            let help = "write 1 to 128 characters of one line";
            self.oidc_bad(key, at, "cannot be used", help);
        }
        at.value.clone()
    }

    fn oidc_tenants(&mut self, written: &WrittenOidc) -> Vec<String> {
        let all = written.tenants.iter().flat_map(|list| &list.value);
        let mut tenants = BTreeSet::new();
        for at in all {
            let Some(tenant) = self.guid("api: oidc: tenants", Some(at), "Directory (tenant) ID")
            else {
                continue;
            };
            if !tenants.insert(tenant) {
                let cause = format!("{TITLE}: tenants has {} twice", at.value.escape_debug());
                let help = Some("remove one of them".to_owned());
                self.out.add(Code::DuplicateName, &at.span, cause, help);
            }
        }
        if let (Some(list), true) = (&written.tenants, tenants.len() > MOST) {
            let cause = format!("{TITLE}: more than {MOST} tenants");
            let help = "let operators be guests of fewer directories".to_owned();
            self.out
                .add(Code::OutOfRange, &list.span, cause, Some(help));
        }
        tenants.into_iter().collect()
    }

    /// The issuer, and where its document is (TDG-ENT-003, TDG-ENT-004).
    fn oidc_issuer(&mut self, written: &WrittenOidc, tenants: &[String]) -> (String, String) {
        let issuer = match (&written.issuer, tenants) {
            (Some(at), _) => {
                let plain = at.value.replacen(ANY_TENANT, "x", 1);
                if !is_https_url(&plain) {
                    let help = "write https://, a host and a path, as the issuer's discovery document has it";
                    self.oidc_bad("issuer", at, "is no issuer", help);
                }
                if plain != at.value && tenants.is_empty() {
                    let help = "write tenants = [\"…\"], the directories whose people may sign in";
                    self.oidc_bad("issuer", at, "is that of every directory", help);
                }
                at.value.clone()
            }
            (None, [one]) => format!("{LOGIN}/{one}/v2.0"),
            (None, [_, ..]) => format!("{LOGIN}/{ANY_TENANT}/v2.0"),
            (None, []) => {
                let help = "write tenants = [\"…\"], the Directory (tenant) ID of Entra, or issuer = \"https://…\"";
                self.out.add(
                    Code::MissingKey,
                    &written.span,
                    format!("{TITLE}: nothing says who signs operators in"),
                    Some(help.to_owned()),
                );
                String::new()
            }
        };
        let place = issuer.replacen(ANY_TENANT, "organizations", 1);
        let place = place.trim_end_matches('/');
        let discovery = format!("{place}/.well-known/openid-configuration");
        (issuer, discovery)
    }

    fn oidc_roles(&mut self, written: &WrittenOidc) -> Vec<OidcRole> {
        let mut roles: Vec<OidcRole> = Vec::new();
        for one in &written.roles {
            let (Some(value), Some(role)) = (&one.value, &one.role) else {
                continue;
            };
            let text = self.oidc_text("role: value", value);
            if roles.iter().any(|known| known.value == text) {
                let cause = format!("{TITLE}: role \"{}\" is there twice", text.escape_debug());
                let help = Some("the first counts: remove the other".to_owned());
                self.out.add(Code::DuplicateName, &value.span, cause, help);
            }
            if let Some(at) = &one.numbers
                && role.value != ApiRole::Viewer
            {
                self.out.add(
                    Code::Contradiction,
                    &at.span,
                    format!("{TITLE}: role: only a viewer can be kept from seeing numbers"),
                    Some("remove numbers, or write role = \"viewer\"".to_owned()),
                );
            }
            self.only_who_captures(&format!("{TITLE}: role"), role.value, one.media.as_ref());
            roles.push(OidcRole {
                value: text,
                role: role.value,
                numbers: one.numbers.as_ref().is_some_and(|at| at.value),
                media: one.media.as_ref().is_some_and(|at| at.value),
            });
        }
        let fault = match written.roles.get(MOST) {
            Some(one) => Some((
                &one.span,
                Code::OutOfRange,
                format!("has more than {MOST} roles"),
                "give the people whom one of them lets in another app role in Entra, and remove it here",
            )),
            None if written.roles.is_empty() => Some((
                &written.span,
                Code::MissingKey,
                "lets nobody in: it has no role".to_owned(),
                "write [[api.oidc.role]] with value = \"Causeway.Operator\", the value of an app role that the \
                 application has in Entra, and role = \"operator\"",
            )),
            None => None,
        };
        if let Some((span, code, what, help)) = fault {
            let help = Some(help.to_owned());
            self.out.add(code, span, format!("{TITLE}: {what}"), help);
        }
        roles
    }

    fn oidc_time(
        &mut self,
        written: &Option<At<Duration>>,
        key: &str,
        usual: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(at) = written else {
            return usual;
        };
        if !range.contains(&at.value) {
            let minutes = |time: &Duration| time.as_secs() / 60;
            let (least, most) = (minutes(range.start()), minutes(range.end()));
            self.out.add(
                Code::OutOfRange,
                &at.span,
                format!("{TITLE}: {key} is not between {least} and {most} minutes"),
                Some(format!(
                    "write {key} = \"{}m\", or leave it out",
                    minutes(&usual)
                )),
            );
        }
        at.value
    }
}

fn host_of(issuer: &str) -> &str {
    let rest = issuer.strip_prefix("https://").unwrap_or(issuer);
    let (place, _) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    place
}
