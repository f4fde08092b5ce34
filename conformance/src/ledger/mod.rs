//! The requirement ledger: which tests show which requirement, what is missing, what does not apply.
//!
//! `conformance/requirements` has one file per section and one entry per requirement. An entry names
//! the tests that show it, says in a sentence what is missing, or says why it does not apply; a
//! requirement that is shown in part has the first two. The files are part of the program, so that
//! `causeway certify --ledger` tells what this very build was made with.
//!
//! Beside the requirements on a B2BUA stand those on its security, and vulnerabilities that were
//! published of other products: each names the test that plays its class. What Teams wants of an SBC is
//! a third list, what Graph and Entra want of who uses them a fourth, what media must be like a fifth, and
//! what operators expect a sixth.
//!
//! `conformance/tests/ledger.rs` holds the files against the source: no requirement without entry, no
//! entry with a test that is not there, no identifier in a comment that the ledger does not know.

pub mod coverage;
pub mod fault;
pub mod id;
mod read;

pub use coverage::{Count, count};
pub use fault::{LedgerFault, Offence};
pub use id::{List, RequirementId};

/// File names and texts, in the order of their sections. Numbers that are left out have no requirements
/// of their own.
pub const FILES: &[(&str, &str)] = &[
    (
        "01-parsing.toml",
        include_str!("../../requirements/01-parsing.toml"),
    ),
    (
        "02-transport.toml",
        include_str!("../../requirements/02-transport.toml"),
    ),
    (
        "03-transactions.toml",
        include_str!("../../requirements/03-transactions.toml"),
    ),
    (
        "04-dialogs.toml",
        include_str!("../../requirements/04-dialogs.toml"),
    ),
    (
        "05-b2bua.toml",
        include_str!("../../requirements/05-b2bua.toml"),
    ),
    (
        "06-offer-answer.toml",
        include_str!("../../requirements/06-offer-answer.toml"),
    ),
    (
        "07-session-timers.toml",
        include_str!("../../requirements/07-session-timers.toml"),
    ),
    (
        "08-transfer.toml",
        include_str!("../../requirements/08-transfer.toml"),
    ),
    (
        "09-redirection.toml",
        include_str!("../../requirements/09-redirection.toml"),
    ),
    (
        "10-identity.toml",
        include_str!("../../requirements/10-identity.toml"),
    ),
    (
        "11-stir-shaken.toml",
        include_str!("../../requirements/11-stir-shaken.toml"),
    ),
    (
        "12-reason.toml",
        include_str!("../../requirements/12-reason.toml"),
    ),
    (
        "13-services.toml",
        include_str!("../../requirements/13-services.toml"),
    ),
    (
        "14-emergency.toml",
        include_str!("../../requirements/14-emergency.toml"),
    ),
    (
        "15-recording.toml",
        include_str!("../../requirements/15-recording.toml"),
    ),
    (
        "16-trunks.toml",
        include_str!("../../requirements/16-trunks.toml"),
    ),
    (
        "17-routing.toml",
        include_str!("../../requirements/17-routing.toml"),
    ),
    (
        "21-security-invariants.toml",
        include_str!("../../requirements/21-security-invariants.toml"),
    ),
    (
        "22-security-parsers.toml",
        include_str!("../../requirements/22-security-parsers.toml"),
    ),
    (
        "23-security-descriptions.toml",
        include_str!("../../requirements/23-security-descriptions.toml"),
    ),
    (
        "24-security-secrets.toml",
        include_str!("../../requirements/24-security-secrets.toml"),
    ),
    (
        "25-security-confinement.toml",
        include_str!("../../requirements/25-security-confinement.toml"),
    ),
    (
        "26-security-interface.toml",
        include_str!("../../requirements/26-security-interface.toml"),
    ),
    (
        "27-security-supply.toml",
        include_str!("../../requirements/27-security-supply.toml"),
    ),
    (
        "28-published-vulnerabilities.toml",
        include_str!("../../requirements/28-published-vulnerabilities.toml"),
    ),
    (
        "31-teams-connection.toml",
        include_str!("../../requirements/31-teams-connection.toml"),
    ),
    (
        "32-teams-health.toml",
        include_str!("../../requirements/32-teams-health.toml"),
    ),
    (
        "33-teams-tenants.toml",
        include_str!("../../requirements/33-teams-tenants.toml"),
    ),
    (
        "34-teams-calls.toml",
        include_str!("../../requirements/34-teams-calls.toml"),
    ),
    (
        "35-teams-transfers.toml",
        include_str!("../../requirements/35-teams-transfers.toml"),
    ),
    (
        "36-teams-media.toml",
        include_str!("../../requirements/36-teams-media.toml"),
    ),
    (
        "37-teams-bypass.toml",
        include_str!("../../requirements/37-teams-bypass.toml"),
    ),
    (
        "38-teams-identity.toml",
        include_str!("../../requirements/38-teams-identity.toml"),
    ),
    (
        "39-teams-places.toml",
        include_str!("../../requirements/39-teams-places.toml"),
    ),
    (
        "40-teams-operation.toml",
        include_str!("../../requirements/40-teams-operation.toml"),
    ),
    (
        "41-graph.toml",
        include_str!("../../requirements/41-graph.toml"),
    ),
    (
        "51-media-sockets.toml",
        include_str!("../../requirements/51-media-sockets.toml"),
    ),
    (
        "52-media-sources.toml",
        include_str!("../../requirements/52-media-sources.toml"),
    ),
    (
        "53-media-rtp.toml",
        include_str!("../../requirements/53-media-rtp.toml"),
    ),
    (
        "54-media-srtp.toml",
        include_str!("../../requirements/54-media-srtp.toml"),
    ),
    (
        "55-media-dtls.toml",
        include_str!("../../requirements/55-media-dtls.toml"),
    ),
    (
        "56-media-ice.toml",
        include_str!("../../requirements/56-media-ice.toml"),
    ),
    (
        "57-media-codecs.toml",
        include_str!("../../requirements/57-media-codecs.toml"),
    ),
    (
        "58-media-digits.toml",
        include_str!("../../requirements/58-media-digits.toml"),
    ),
    (
        "59-media-sounds.toml",
        include_str!("../../requirements/59-media-sounds.toml"),
    ),
    (
        "60-media-fax.toml",
        include_str!("../../requirements/60-media-fax.toml"),
    ),
    (
        "61-media-recording.toml",
        include_str!("../../requirements/61-media-recording.toml"),
    ),
    (
        "71-operations.toml",
        include_str!("../../requirements/71-operations.toml"),
    ),
];

/// All sections, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ledger {
    /// In ascending order, as are the requirements in them.
    pub sections: Vec<Section>,
}

/// One section of the requirements.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// Number.
    pub number: u8,
    /// What it is about.
    pub title: String,
    /// Its requirements, by identifier.
    pub requirements: Vec<Requirement>,
}

/// One requirement and what is known of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Requirement {
    /// Identifier.
    pub id: RequirementId,
    /// What it is about, in a few words.
    pub title: String,
    /// How binding it is.
    pub level: Level,
    /// Tests that show it.
    pub shown_by: Vec<TestName>,
    /// What is not shown, or not there.
    pub missing: Option<String>,
    /// Why it does not apply or is served in another way.
    pub exception: Option<String>,
}

impl Requirement {
    /// How far it has got.
    pub fn standing(&self) -> Standing {
        match (&self.exception, &self.missing, self.shown_by.is_empty()) {
            (Some(_), _, _) => Standing::Exception,
            (None, None, _) => Standing::Shown,
            (None, Some(_), false) => Standing::Partly,
            (None, Some(_), true) => Standing::Missing,
        }
    }
}

/// How binding a requirement is (RFC 2119).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Required.
    Must,
    /// Recommended.
    Should,
    /// Optional.
    May,
}

impl Level {
    /// As it is written in the files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Should => "should",
            Self::May => "may",
        }
    }
}

/// How far a requirement has got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Tests show all of it.
    Shown,
    /// Tests show a part of it.
    Partly,
    /// Nothing shows it.
    Missing,
    /// It does not apply, or is served in another way on purpose.
    Exception,
}

impl Standing {
    /// One word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shown => "shown",
            Self::Partly => "partly",
            Self::Missing => "missing",
            Self::Exception => "exception",
        }
    }
}

/// A test in the source: `sbc-core/tests/torture.rs::name_of_the_test`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TestName {
    /// File, from the root of the repository.
    pub file: String,
    /// Name of the function.
    pub function: String,
}

impl TestName {
    /// Reads `file.rs::function`.
    pub fn parse(text: &str) -> Option<Self> {
        let (file, function) = text.split_once("::")?;
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let is_test =
            file.ends_with(".rs") && !function.is_empty() && function.chars().all(is_name);
        is_test.then(|| Self {
            file: file.to_owned(),
            function: function.to_owned(),
        })
    }
}

impl std::fmt::Display for TestName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}::{}", self.file, self.function)
    }
}

impl Ledger {
    /// The ledger that this program was built with.
    ///
    /// # Errors
    /// At the first entry that breaks a rule.
    pub fn embedded() -> Result<Self, LedgerFault> {
        Self::read(FILES)
    }

    /// Reads and checks files, given with their names.
    ///
    /// # Errors
    /// At the first entry that breaks a rule.
    pub fn read(files: &[(&str, &str)]) -> Result<Self, LedgerFault> {
        let mut sections: Vec<Section> = Vec::with_capacity(files.len());
        let mut last: Option<RequirementId> = None;
        for (file, text) in files {
            let section = read::section(file, text, sections.last().map(|s| s.number), &mut last)?;
            sections.push(section);
        }
        Ok(Self { sections })
    }

    /// Every requirement, with its section.
    pub fn requirements(&self) -> impl Iterator<Item = (&Section, &Requirement)> {
        let of = |section| std::iter::repeat(section);
        self.sections
            .iter()
            .flat_map(move |section| of(section).zip(&section.requirements))
    }

    /// Whether there is an entry for this identifier.
    pub fn knows(&self, id: RequirementId) -> bool {
        self.requirements()
            .any(|(_, requirement)| requirement.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standing_follows_from_what_is_written() {
        let test = TestName::parse("a/b.rs::c_1");
        let of = |shown: bool, missing: bool, exception: bool| {
            let text = |is_there: bool| is_there.then(|| "x".to_owned());
            let requirement = Requirement {
                id: RequirementId::Sip(1),
                title: "x".to_owned(),
                level: Level::Must,
                shown_by: test.clone().filter(|_| shown).into_iter().collect(),
                missing: text(missing),
                exception: text(exception),
            };
            requirement.standing()
        };
        assert_eq!(of(true, false, false), Standing::Shown);
        assert_eq!(of(true, true, false), Standing::Partly);
        assert_eq!(of(false, true, false), Standing::Missing);
        assert_eq!(of(false, false, true), Standing::Exception);
        assert_eq!(of(true, false, true), Standing::Exception);
    }

    #[test]
    fn a_test_is_named_by_file_and_function() {
        let name = TestName::parse("sbc-core/tests/torture.rs::one_test").map(|n| n.to_string());
        assert_eq!(name.as_deref(), Some("sbc-core/tests/torture.rs::one_test"));
        for bad in [
            "",
            "a.rs",
            "a.rs::",
            "a.py::b",
            "a.rs::B",
            "a.rs::b c",
            "a.rs::b::c",
        ] {
            assert_eq!(TestName::parse(bad), None, "{bad}");
        }
    }
}
