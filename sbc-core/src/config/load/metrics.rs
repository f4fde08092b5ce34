//! Where figures are served, and to whom.

use super::Load;
use crate::config::finding::Code;
use crate::config::written::File;
use crate::config::{MOST_SERIES, MetricsListen};
use crate::id::TlsContextName;

impl Load<'_> {
    /// Reads `[metrics]`; that its port is free is seen to where ports are.
    pub(super) fn metrics(&mut self, file: &File) -> Option<MetricsListen> {
        let client_ca = file.metrics_client_ca.as_ref();
        if let (Some(at), None) = (client_ca, &file.metrics_tls) {
            self.out.add(
                Code::Contradiction,
                &at.span,
                "metrics: only over TLS can somebody show a certificate",
                Some(
                    "write tls = \"NAME\", the name of a [[tls]], or remove \"client_ca\""
                        .to_owned(),
                ),
            );
        }
        if let Some(at) = client_ca
            && let Err(fault) = self.facts.roots(&at.value)
        {
            self.file_fault("metrics: client_ca", at, fault);
        }
        let lists = (&file.metrics_crl, &file.metrics_crl_issuers);
        let revoked = self.revoked_clients("metrics", lists, &file.metrics_client_ca);
        let tls = file.metrics_tls.as_ref();
        if let Some(name) = tls {
            self.tls.find(name, "metrics", &mut self.out);
        }
        let most = file.max_series.as_ref().map(|at| at.value);
        Some(MetricsListen {
            address: file.metrics.as_ref()?.value,
            tls: tls.map(|name| TlsContextName::new(&name.value)),
            client_ca: client_ca.map(|at| at.value.clone()),
            revoked,
            max_series: most.map_or(MOST_SERIES, |most| {
                usize::try_from(most).unwrap_or(MOST_SERIES)
            }),
        })
    }
}
