//! STIR/SHAKEN: keys of a trunk, and the table `[stir]` (SIP-1104, SIP-1107).

use super::finding::Collector;
use super::read::Section;
use super::source::{At, Span};
use super::value;
use std::time::Duration;

/// What becomes of the signatures of a trunk's callers, and what its peer is told of those of others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct StirPolicy {
    /// Whether signatures are looked at.
    pub mode: StirMode,
    /// What becomes of a call that nobody vouches for.
    pub failure: StirFailure,
    /// How its peer is told of what came of a verification, if it is trusted; Teams only where it is written.
    pub verstat: VerstatForm,
}

/// Whether Identity headers of a trunk are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum StirMode {
    /// No. Those of its calls stay behind, and it gets none.
    #[default]
    Off,
    /// They go from and to it as they are, if they still say who calls whom.
    Pass,
    /// That, and those of its calls are verified.
    Verify,
}

/// What becomes of a call whose verification fails.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum StirFailure {
    /// It goes on; the called side is told by `verstat` and the caller by Reason (RFC 9410). Networks
    /// hardly ever allow anything else.
    #[default]
    Mark,
    /// It is refused with the status of RFC 8224 §6.2.2.
    Reject,
}

/// How a trusted peer is told what came of a verification.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum VerstatForm {
    /// Not at all.
    None,
    /// By `verstat` with the values of 3GPP TS 24.229.
    #[default]
    Plain,
    /// By `verstat` with the level behind the value (`TN-Validation-Passed-A`), as some carriers do.
    Level,
}

/// How verification is done.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StirTimes {
    /// How far the time of a signature may be from ours; 60 s by default (RFC 8224 §6.2).
    pub freshness: Duration,
    /// How long a call waits for its verification, 500 ms to 3 s; 2 s by default: a certificate that was
    /// never fetched before takes a look-up, two handshakes and a transfer.
    pub patience: Duration,
}

impl Default for StirTimes {
    fn default() -> Self {
        Self {
            freshness: Duration::from_secs(60),
            patience: Duration::from_secs(2),
        }
    }
}

/// What the operator wrote for a trunk.
#[derive(Default)]
pub(super) struct WrittenStir {
    pub(super) mode: Option<At<StirMode>>,
    pub(super) failure: Option<At<StirFailure>>,
    pub(super) verstat: Option<At<VerstatForm>>,
}

/// Reads the keys `stir`, `stir_failure` and `verstat` of a trunk.
pub(super) fn read(section: &mut Section<'_>, out: &mut Collector) -> WrittenStir {
    WrittenStir {
        mode: section.choice(
            "stir",
            &[
                ("off", StirMode::Off),
                ("pass", StirMode::Pass),
                ("verify", StirMode::Verify),
            ],
            &["sign"],
            out,
        ),
        failure: section.choice(
            "stir_failure",
            &[("mark", StirFailure::Mark), ("reject", StirFailure::Reject)],
            &[],
            out,
        ),
        verstat: section.choice(
            "verstat",
            &[
                ("none", VerstatForm::None),
                ("plain", VerstatForm::Plain),
                ("level", VerstatForm::Level),
            ],
            &[],
            out,
        ),
    }
}

/// The table `[stir]` as it is written.
pub(super) struct WrittenStirTable {
    pub(super) span: Span,
    /// PEM file with the roots that issue credentials: the list of the STI-PA.
    pub(super) roots: Option<At<String>>,
    /// PEM file with their lists of revoked certificates.
    pub(super) crl: Option<At<String>>,
    /// PEM file with the certificates that sign those lists.
    pub(super) crl_issuers: Option<At<String>>,
    /// PEM file with the roots of the web servers that have credentials.
    pub(super) https_roots: Option<At<String>>,
    pub(super) freshness: Option<At<Duration>>,
    pub(super) patience: Option<At<Duration>>,
}

/// Reads the table `[stir]`.
pub(super) fn read_table(mut section: Section<'_>, out: &mut Collector) -> WrittenStirTable {
    let table = WrittenStirTable {
        span: section.span.clone(),
        roots: section.required_text("roots", "\"/etc/causeway/stir/roots.pem\"", out),
        crl: section.text("crl", out),
        crl_issuers: section.text("crl_issuers", out),
        https_roots: section.text("https_roots", out),
        freshness: section.parsed("freshness", value::duration, out),
        patience: section.parsed("timeout", value::duration, out),
    };
    section.finish(&["key", "certificate", "x5u", "signer"], out);
    table
}
