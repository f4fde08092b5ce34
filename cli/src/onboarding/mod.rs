//! Taking a customer into service: what is added to the configuration, and step by step whether it will work
//! with Teams (TDR-CMD-001).
//!
//! ```text
//! customer ─► draft (a file) ─► loader ─► name ─► certificate ─► routes ─► hairpin ─► OPTIONS ─► call
//! ```

pub mod customer;
pub mod gateways;
pub mod hairpin;
pub mod name;
pub mod powershell;
pub mod steps;
pub mod teams;
pub mod translation;
pub mod turn;

use std::fmt;

/// How a step went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// As it should.
    Good(String),
    /// It works, and something deserves a look.
    Doubtful(String),
    /// It does not, for this reason; and what to do.
    Failed {
        /// What was found.
        cause: String,
        /// What to do.
        fix: String,
    },
    /// It was not tried, for this reason.
    Skipped(String),
}

impl Outcome {
    /// A failure and its remedy.
    pub fn failed(cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Failed {
            cause: cause.into(),
            fix: fix.into(),
        }
    }

    /// Whether it stands against the customer.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }

    /// The stable word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Good(_) => "ok",
            Self::Doubtful(_) => "warning",
            Self::Failed { .. } => "failed",
            Self::Skipped(_) => "skipped",
        }
    }
}

impl Outcome {
    /// The same in one line, as tables have it.
    pub fn in_line(&self) -> String {
        match self {
            Self::Failed { cause, fix } => format!("{cause}; {fix}"),
            Self::Good(_) | Self::Doubtful(_) | Self::Skipped(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good(text) | Self::Doubtful(text) | Self::Skipped(text) => f.write_str(text),
            Self::Failed { cause, fix } => write!(f, "{cause}\n    fix: {fix}"),
        }
    }
}
