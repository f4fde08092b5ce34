//! Access to Microsoft's reports, of each tenant that has it.

use super::{Load, titled};
use crate::config::finding::Code;
use crate::config::msgraph::{WrittenGraph, WrittenProof};
use crate::config::source::At;
use crate::config::written::File;
use crate::config::{Cloud, GraphAccess, GraphProof, Preset};
use crate::id::TenantName;
use crate::report::is_guid;
use std::collections::BTreeMap;

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
