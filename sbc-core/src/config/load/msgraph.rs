//! Access to Microsoft's reports, of each tenant that has it.

use super::routing::RoutePlaces;
use super::{Load, titled};
use crate::config::MICROSOFT_ROOTS;
use crate::config::finding::Code;
use crate::config::msgraph::{LONGEST, SHORTEST, WrittenGraph, WrittenPresence, WrittenProof};
use crate::config::source::At;
use crate::config::written::File;
use crate::config::{
    Cloud, FileFault, GraphAccess, GraphProof, PresenceAction, Preset, Route, RouteTarget, Secret,
};
use crate::id::TenantName;
use crate::report::is_guid;
use std::collections::BTreeMap;
use std::time::Duration;

impl Load<'_> {
    pub(super) fn build_graph(&mut self, file: &File) -> BTreeMap<TenantName, GraphAccess> {
        let mut all = BTreeMap::new();
        for tenant in &file.tenants {
            let Some(written) = &tenant.graph else {
                continue;
            };
            let title = format!("{}: graph", titled("tenant", &tenant.name.value));
            let name = TenantName::new(&tenant.name.value);
            let (access, lacks_secret) =
                self.lacking(true, |load| load.graph_access(&title, &name, written));
            if let Some(presence) = &written.presence {
                self.check_presence(&title, &name, presence);
            }
            if let (Some(access), false) = (access, lacks_secret) {
                all.insert(name, access);
            }
        }
        all
    }

    fn graph_access(
        &mut self,
        title: &str,
        tenant: &TenantName,
        written: &WrittenGraph,
    ) -> Option<GraphAccess> {
        let cloud = self.cloud_of(title, tenant, written);
        let tenant_id = self.guid(title, written.tenant_id.as_ref(), "Directory (tenant) ID");
        let client_id = self.guid(title, written.client_id.as_ref(), "Application (client) ID");
        let proof = self.application_proof(title, written.proof.as_ref()?)?;
        Some(GraphAccess {
            tenant_id: tenant_id?,
            client_id: client_id?,
            cloud: cloud?,
            proof,
            roots: match &written.roots {
                Some(at) => at.value.clone(),
                None => MICROSOFT_ROOTS.to_owned(),
            },
            connect_to: written.connect_to.clone(),
            presence: written.presence.as_ref().map(WrittenPresence::access),
        })
    }

    /// How an application proves itself, with findings about the files.
    pub(super) fn application_proof(
        &mut self,
        title: &str,
        written: &WrittenProof,
    ) -> Option<GraphProof> {
        Some(match written {
            WrittenProof::Secret(secret) => {
                self.shared_secret(title, "secret", secret)?;
                GraphProof::Secret(secret.value.clone())
            }
            WrittenProof::Federated(assertion) => {
                self.assertion(title, assertion)?;
                GraphProof::Federated(assertion.value.clone())
            }
            WrittenProof::Certificate(cert, key) => {
                self.certificate_of_application(title, cert);
                self.private_key(title, cert, key);
                GraphProof::Certificate {
                    cert: cert.value.clone(),
                    key: key.value.clone(),
                }
            }
        })
    }

    fn check_presence(&mut self, title: &str, tenant: &TenantName, written: &WrittenPresence) {
        let outside = |at: &&At<Duration>| !(SHORTEST..=LONGEST).contains(&at.value);
        if let Some(at) = written.every.as_ref().filter(outside) {
            self.out.add(
                Code::OutOfRange,
                &at.span,
                format!("{title}: presence: \"every\" is out of range"),
                Some("write a time from \"10s\" to \"1h\"".to_owned()),
            );
        }
        let own = self.tenants.valid.get(tenant);
        if own.is_some_and(|(own, _)| own.users.is_empty()) {
            self.out.add(
                Code::Contradiction,
                &written.span,
                format!("{title}: presence is asked for, and the tenant names no users"),
                Some(
                    "write users = { \"+4930…\" = \"object id\" } in the tenant, or remove presence"
                        .to_owned(),
                ),
            );
        }
    }

    /// A route that goes by presence needs somebody whose presence is known, and somewhere to go.
    pub(super) fn presence_of_routes(&mut self, routes: &[(Route, RoutePlaces)]) {
        let mut tenants = self.tenants.valid.values();
        let has_users =
            tenants.any(|(tenant, _)| !tenant.users.is_empty() && tenant.users.is_asked());
        let is_teams = |target: &RouteTarget| {
            let trunk = self.trunks.valid.get(&target.trunk);
            trunk.is_none_or(|(trunk, _)| trunk.preset == Preset::Teams)
        };
        let mut found = Vec::new();
        for (route, places) in routes {
            let (Some(rule), Some(span)) = (route.presence, &places.presence) else {
                continue;
            };
            let goes_on = [rule.busy, rule.absent].contains(&PresenceAction::Next);
            let (what, instead) = if route.when.emergency {
                (
                    "calls for help do not wait for anybody's presence",
                    "remove presence",
                )
            } else if !has_users {
                (
                    "it goes by presence, and no tenant has users whose presence is asked for",
                    "write users and graph = { presence = { } } in the [[tenant]], or remove presence",
                )
            } else if !route.to.iter().any(is_teams) {
                (
                    "it goes by presence, and none of its trunks leads to Teams",
                    "remove presence, or name the trunk of the users in to",
                )
            } else if goes_on && route.to.iter().all(is_teams) {
                (
                    "presence \"next\" has nowhere to go: all its trunks lead to Teams",
                    "name a trunk of somebody else in to, or write \"refuse\"",
                )
            } else {
                continue;
            };
            let title = titled("route", route.name.as_str());
            found.push((span.clone(), format!("{title}: {what}"), instead));
        }
        for (span, what, instead) in found {
            let code = Code::Contradiction;
            self.out.add(code, &span, what, Some(instead.to_owned()));
        }
    }

    /// The cloud of the tenant's trunks: its reports are in the same.
    fn cloud_of(
        &mut self,
        title: &str,
        tenant: &TenantName,
        written: &WrittenGraph,
    ) -> Option<Cloud> {
        let trunks = self.trunks.valid.values().map(|(trunk, _)| trunk);
        let own = trunks.filter(|trunk| {
            let is_served = trunk.tenant.as_ref().is_none_or(|name| name == tenant);
            trunk.preset == Preset::Teams && is_served
        });
        let mut clouds: Vec<Cloud> = own.map(|trunk| trunk.cloud.unwrap_or_default()).collect();
        clouds.dedup();
        match clouds[..] {
            [cloud] => Some(cloud),
            [] => {
                // A trunk that is broken has its own findings.
                if !self.out.has_errors() {
                    self.out.add(
                        Code::Contradiction,
                        &written.span,
                        format!("{title}: no trunk of the tenant leads to Teams"),
                        Some(
                            "give it a [[trunk]] with preset = \"teams\", or remove the table"
                                .to_owned(),
                        ),
                    );
                }
                None
            }
            _ => {
                self.out.add(
                    Code::Contradiction,
                    &written.span,
                    format!("{title}: the trunks of the tenant lead to different clouds"),
                    Some("a directory is in one cloud: make a tenant for each".to_owned()),
                );
                None
            }
        }
    }

    pub(super) fn guid(
        &mut self,
        title: &str,
        written: Option<&At<String>>,
        called: &str,
    ) -> Option<String> {
        let at = written?;
        if !is_guid(&at.value) {
            self.out.add(
                Code::BadForm,
                &at.span,
                format!("{title}: \"{}\" is no GUID", at.value.escape_debug()),
                Some(format!(
                    "copy \"{called}\" from the overview of the app registration in Entra"
                )),
            );
        }
        Some(at.value.to_ascii_lowercase())
    }

    /// What somebody else writes, again and again: that there is something is all that can be known here. It ends
    /// soon, so whoever of this machine may read it is the writer's matter.
    fn assertion(&mut self, title: &str, place: &At<Secret>) -> Option<()> {
        self.note_credential(title, &place.value);
        let cause = match self.facts.password(&place.value) {
            Ok(found) if found.octets.trim_ascii().split(|own| *own == b'.').count() == 3 => {
                return Some(());
            }
            Ok(_) => "this is no signed token",
            Err(FileFault::Unusable(why) | FileFault::Unreadable(why)) => {
                let cause = format!("{title}: assertion in {}: {why}", place.value);
                self.absent(place, cause, ("assertion", &why));
                return None;
            }
        };
        self.out.add(
            Code::SecretMissing,
            &place.span,
            format!("{title}: assertion in {}: {cause}", place.value),
            Some(
                "name the file into which the platform writes the token, such as that of AZURE_FEDERATED_TOKEN_FILE"
                    .to_owned(),
            ),
        );
        None
    }

    fn certificate_of_application(&mut self, title: &str, path: &At<String>) {
        let certificate = match self.facts.certificate(&path.value) {
            Ok(certificate) => certificate,
            Err(fault) => {
                self.file_fault(&format!("{title}: certificate"), path, fault);
                return;
            }
        };
        self.check_validity(
            title,
            path,
            certificate.validity,
            (
                "Entra refuses whoever proves itself by it",
                "register a new one for the application in Entra, then write it here",
            ),
        );
        if certificate.rsa_bits.is_none() {
            self.out.add(
                Code::BadCertificate,
                &path.span,
                format!("{title}: the key of the certificate is not RSA"),
                Some("Entra takes no other: make one with an RSA key of 2048 bits".to_owned()),
            );
        }
    }
}
