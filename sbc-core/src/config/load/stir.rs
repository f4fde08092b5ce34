//! What is needed to verify signatures of callers.

use super::Load;
use crate::config::finding::Code;
use crate::config::shell::{SYSTEM_ROOTS, StirFiles};
use crate::config::source::At;
use crate::config::stir::WrittenStir;
use crate::config::written::File;
use crate::config::{Preset, StirMode, StirPolicy, StirTimes, Validity, VerstatForm};
use std::time::Duration;

impl Load<'_> {
    /// The policy of a trunk. What Teams makes of `verstat` is not documented: it is told where somebody
    /// asked for it (TDR-CID-005).
    pub(super) fn stir(
        &mut self,
        title: &str,
        written: &WrittenStir,
        preset: Preset,
    ) -> StirPolicy {
        let mode = written.mode.as_ref().map_or(StirMode::Off, |at| at.value);
        if let (Some(failure), false) = (&written.failure, mode == StirMode::Verify) {
            self.out.add(
                Code::Contradiction,
                &failure.span,
                format!("{title}: nothing is verified that could fail"),
                Some("write stir = \"verify\", or remove stir_failure".to_owned()),
            );
        }
        StirPolicy {
            mode,
            failure: written
                .failure
                .as_ref()
                .map_or_else(Default::default, |at| at.value),
            verstat: match (&written.verstat, preset) {
                (Some(at), _) => at.value,
                (None, Preset::Teams) => VerstatForm::None,
                (None, Preset::Carrier) => VerstatForm::default(),
            },
        }
    }

    /// The table `[stir]`, which trunks that verify need.
    pub(super) fn stir_table(&mut self, file: &File) -> (StirTimes, Option<StirFiles>) {
        let usual = StirTimes::default();
        let Some(table) = &file.stir else {
            let mut trunks = file.trunks.iter();
            let verifying = trunks.find_map(|trunk| {
                trunk
                    .stir
                    .mode
                    .as_ref()
                    .filter(|at| at.value == StirMode::Verify)
            });
            if let Some(at) = verifying {
                self.out.add(
                    Code::MissingKey,
                    &at.span,
                    "stir = \"verify\" needs the roots that issue credentials",
                    Some("write [stir] and roots = \"/etc/causeway/stir/roots.pem\"".to_owned()),
                );
            }
            return (usual, None);
        };
        let (ms, s) = (Duration::from_millis(1), Duration::from_secs(1));
        let times = StirTimes {
            freshness: self.bounded(
                "stir: freshness",
                &table.freshness,
                s..=3_600 * s,
                usual.freshness,
            ),
            patience: self.bounded(
                "stir: timeout",
                &table.patience,
                500 * ms..=3 * s,
                usual.patience,
            ),
        };
        let Some(roots) = &table.roots else {
            return (times, None);
        };
        let https_roots = match &table.https_roots {
            Some(at) => at.clone(),
            None => At::new(SYSTEM_ROOTS.to_owned(), table.span.clone()),
        };
        for (what, path) in [("stir: roots", roots), ("stir: https_roots", &https_roots)] {
            if let Err(fault) = self.facts.roots(&path.value) {
                self.file_fault(what, path, fault);
            }
        }
        self.issuers_without_lists("stir", table.crl.as_ref(), table.crl_issuers.as_ref());
        let issuers = table.crl_issuers.as_ref().unwrap_or(roots);
        if let Some(path) = &table.crl {
            self.revocations("stir: crl", path, &issuers.value);
        }
        let files = StirFiles {
            roots: roots.value.clone(),
            crl: table.crl.as_ref().map(|at| at.value.clone()),
            crl_issuers: issuers.value.clone(),
            https_roots: https_roots.value,
        };
        (times, Some(files))
    }

    /// A list that nobody has signed is refused. One whose time is over still revokes what it says.
    pub(super) fn revocations(&mut self, what: &str, path: &At<String>, issuers: &str) {
        let why = match self.facts.revocations(&path.value, issuers) {
            Err(fault) => return self.file_fault(what, path, fault),
            Ok(Validity::Valid { .. }) => return,
            Ok(Validity::Expired) => "should have been replaced by now",
            Ok(Validity::NotYet) => "is of a later time than now",
        };
        self.out.add(
            Code::CertificateExpired,
            &path.span,
            format!("{what}: a list of revoked certificates {why}; what it says still counts"),
            Some("fetch the list again, and check the clock of this host".to_owned()),
        );
    }
}
