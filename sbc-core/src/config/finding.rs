//! Findings: what is wrong with a configuration, where, and what to write instead (OPS-111).

use super::instead;
use super::reference::{Form, Forms};
use super::source::{Lines, Place, Source, Span};
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal,)+) => {
        /// Stable code of a kind of finding. `E` refuses the configuration, `W` only warns.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Code {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Code] = &[$(Code::$variant),+];

            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Code::$variant => $text,)+
                }
            }

            /// What the code means, in the words of its documentation.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Code::$variant => concat!($($doc),+).trim_ascii(),)+
                }
            }
        }
    };
}

codes! {
    /// The text is not TOML.
    Syntax = "E0001",
    /// A configuration file cannot be read, or is not UTF-8.
    Unreadable = "E0002",
    /// The key does not exist.
    UnknownKey = "E0003",
    /// The key or value belongs to a feature that this version does not have.
    NotSupported = "E0004",
    /// A required key is absent.
    MissingKey = "E0005",
    /// The value has the wrong type.
    WrongType = "E0006",
    /// The value is none of the words allowed here.
    UnknownValue = "E0007",
    /// The text does not have the form required here.
    BadForm = "E0008",
    /// The number, duration or length is outside its range.
    OutOfRange = "E0009",
    /// The same key is written in two files.
    DuplicateKey = "E0010",
    /// Two objects of one kind have the same name, or one list names the same thing twice.
    DuplicateName = "E0011",
    /// Keys that exclude each other, or that are needed together.
    Contradiction = "E0012",
    /// No object has this name.
    UnknownName = "E0020",
    /// A wildcard, multicast or broadcast address where an exact one is needed.
    InexactAddress = "E0030",
    /// A realm has no address, or two of one family, or advertises a family that it lacks.
    RealmAddress = "E0031",
    /// A range of media ports holds no RTP/RTCP pair, or begins below 1024.
    PortRange = "E0032",
    /// Two sockets would use the same address and port.
    PortConflict = "E0033",
    /// A TLS listener without TLS identity, or the reverse.
    ListenerTls = "E0034",
    /// A file that is named does not exist or cannot be read.
    FileUnreadable = "E0040",
    /// A private key or secret can be read or replaced by every user of the machine, or belongs to a stranger.
    SecretExposed = "E0041",
    /// A certificate or key file holds nothing usable.
    BadCertificate = "E0042",
    /// The private key does not belong to the certificate.
    KeyMismatch = "E0043",
    /// The certificate does not carry the name that it is used for.
    NameNotCovered = "E0045",
    /// A wildcard name that is not one leading label, or that is not allowed here.
    WildcardName = "E0046",
    /// A secret that is referred to does not exist.
    SecretMissing = "E0047",
    /// A sound file holds nothing that can be played.
    BadRecording = "E0048",
    /// No listener of the trunk's realm can reach a target of the trunk.
    NoListener = "E0050",
    /// A Teams trunk lacks something that Direct Routing demands.
    TeamsRule = "E0051",
    /// It cannot be told which requests come from the peer.
    NoSource = "E0052",
    /// Requests of one source could belong to two trunks.
    AmbiguousIngress = "E0053",
    /// Not a fully qualified name, or longer than 63 characters.
    BadFqdn = "E0054",
    /// A header that cannot be passed or set by configuration.
    HeaderNotAllowed = "E0055",
    /// A source range that would admit strangers.
    OpenSource = "E0056",
    /// Number ranges of two tenants overlap.
    NumberOverlap = "E0060",
    /// A regular expression does not compile, or is too large.
    BadPattern = "E0070",
    /// A replacement refers to a group that its pattern does not have.
    BadReplacement = "E0071",
    /// A route would carry calls of one tenant over a trunk of another.
    TenantCrossing = "E0072",
    /// A test of the configuration fails: a call would not become what it says.
    TestFailed = "E0080",
    /// The certificate has expired or is not valid yet. Only a warning: the trunks that need it are
    /// dead, and a restart at night must not take all others with them (SEC-079).
    CertificateExpired = "W0100",
    /// The certificate expires within 30 days.
    CertificateEndsSoon = "W0101",
    /// The address is not present on this host.
    AddressAbsent = "W0102",
    /// Media ports overlap the host's ephemeral range.
    EphemeralOverlap = "W0103",
    /// The certificate lacks the clientAuth purpose that Microsoft may demand again.
    NoClientAuth = "W0104",
    /// The certificate's key is not RSA, which Teams may refuse.
    KeyNotRsa = "W0105",
    /// The certificate file holds no intermediate certificate.
    ChainIncomplete = "W0106",
    /// The route can never be chosen.
    UnreachableRoute = "W0107",
    /// No route leads to the trunk.
    UnusedTrunk = "W0108",
    /// Addresses are pinned that the peer may move.
    PinnedAddress = "W0109",
    /// Teams refuses the certificate: it is its own issuer, or its RSA key is too short.
    RefusedByTeams = "W0110",
    /// Clients are told an address for their media that only hosts of our own network can reach.
    PrivateCandidate = "W0111",
    /// Transfers by Teams are refused where it has no other way to make them.
    BypassWithoutRefer = "W0112",
    /// A proxy is in the path of media that could stay in a branch.
    BranchMediaThroughUs = "W0113",
    /// The certificate carries the trunk's name as common name alone, which most peers do not look at.
    NameInSubjectOnly = "W0114",
    /// AF_XDP is asked for where packets never leave the host.
    XdpOnLoopback = "W0115",
    /// Whoever sends first to a port of a call may be taken for its peer.
    OpenMedia = "W0116",
    /// Users at Teams could not call for help: no numbers for that are listed, nor that there are none.
    NoEmergency = "W0117",
    /// The token of a user of the API has expired, does within 14 days, or does not within a year.
    TokenEnds = "W0118",
    /// A secret is not there. Only a warning where it takes what needs it out of service alone: a restart at night
    /// must not take all others with it. A reload is refused with E0047 instead, as long as it is in service.
    SecretAbsent = "W0119",
    /// Teams and another peer that speaks TLS come to one listener.
    SharedListener = "W0120",
    /// The proof for an authority would be served at a port that the daemon may not listen on.
    PrivilegedPort = "W0122",
    /// No call of Teams goes where its media would go past us.
    DownstreamNotCalled = "W0121",
    /// Calls that come from a carrier of a customer may go out by a carrier again.
    OpenTransit = "W0123",
    /// A key of a Teams trunk is of no use there, or takes away what Teams says.
    NoUseAtTeams = "W0124",
    /// A Teams trunk leaves out something of Teams: data centres, ranges, OPTIONS, or what it says of us.
    LessOfTeams = "W0125",
    /// DNS knows no address of a target, where a check was to ask (`causeway check --online`).
    NameUnknown = "W0126",
    /// Nothing opens the schedule, or nothing does any more.
    NeverOpen = "W0127",
    /// No route goes by the schedule.
    UnusedSchedule = "W0128",
}

impl Code {
    /// Whether the code refuses the configuration.
    pub const fn severity(self) -> Severity {
        match self.as_str().as_bytes().first() {
            Some(b'W') => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

/// How grave a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is used; somebody should look.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// Kind of finding.
    pub code: Code,
    /// How grave.
    pub severity: Severity,
    /// Where; `None` when it is about a file as a whole that could not be read.
    pub place: Option<Place>,
    /// What is wrong, with the object's name.
    pub cause: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl Finding {
    /// A finding without a place in a file.
    pub fn unplaced(code: Code, cause: impl Into<String>, help: Option<String>) -> Self {
        Self {
            code,
            severity: code.severity(),
            place: None,
            cause: cause.into(),
            help,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        if let Some(place) = &self.place {
            write!(f, "{}:{}:{}: ", place.file, place.line, place.column)?;
        }
        write!(f, "{severity}[{}]: {}", self.code, self.cause)?;
        if let Some(place) = &self.place {
            // Tabs stay tabs in the second line, so that the caret is below its character.
            let mut margin = String::new();
            for character in place.text.chars().take(place.column.saturating_sub(1)) {
                margin.push(if character == '\t' { '\t' } else { ' ' });
            }
            let width = place.text.chars().count().saturating_sub(place.column - 1);
            let carets = "^".repeat(place.length.min(width).max(1));
            let text: String = place.text.chars().map(printable).collect();
            write!(f, "\n  | {text}\n  | {margin}{carets}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// Text of a file as part of a sentence: what was written as an escape is shown as one.
fn visible(text: &str) -> String {
    match text.contains(crate::display::is_steering) {
        false => text.to_owned(),
        true => text.escape_debug().to_string(),
    }
}

/// Control characters of a broken file must not steer the operator's terminal.
fn printable(character: char) -> char {
    match character {
        '\t' => '\t',
        character => crate::display::shown(character),
    }
}

/// Everything found in one load: at most [`Findings::MOST`] errors and as many warnings, in the
/// order of files and lines.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Findings {
    /// What refuses the configuration.
    pub errors: Vec<Finding>,
    /// What deserves a look.
    pub warnings: Vec<Finding>,
    /// Findings that were left out because of the limit.
    pub omitted: usize,
}

impl Findings {
    /// Most errors, and most warnings, that are kept.
    pub const MOST: usize = 100;

    /// Adds one that has no place among the sources, before all others.
    pub fn prepend(&mut self, finding: Finding) {
        match finding.severity {
            Severity::Error => self.errors.insert(0, finding),
            Severity::Warning => self.warnings.insert(0, finding),
        }
    }

    /// The human form: all errors, all warnings, and a line that counts them.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for finding in self.errors.iter().chain(&self.warnings) {
            let _ = writeln!(text, "{finding}\n");
        }
        if self.omitted > 0 {
            let _ = writeln!(text, "{} more findings are not shown", self.omitted);
        }
        if !(self.errors.is_empty() && self.warnings.is_empty()) {
            let _ = writeln!(text, "what codes mean: causeway reference findings");
        }
        let _ = write!(
            text,
            "{}, {}",
            counted(self.errors.len(), "error"),
            counted(self.warnings.len(), "warning")
        );
        text
    }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// Collects findings while a configuration is read.
#[derive(Default)]
pub(super) struct Collector {
    found: Vec<(Span, Code, String, Option<String>)>,
    /// Titles of derived trunks, and of their carrier trunks.
    derived: BTreeMap<String, String>,
    /// What every key may hold, where somebody wants to know.
    forms: Option<Forms>,
}

impl Collector {
    /// One that takes note of what every key that is read may hold.
    pub(super) fn of_forms() -> Self {
        Self {
            forms: Some(Forms::default()),
            ..Self::default()
        }
    }

    /// What was noted.
    pub(super) fn into_forms(self) -> Forms {
        self.forms.unwrap_or_default()
    }

    /// Takes note of what a key of the table at this path may hold. What is said first counts: a key that is
    /// read as a duration is also read as a text.
    pub(super) fn notes(&mut self, path: &str, key: &str, form: impl FnOnce() -> Form) {
        if let Some(forms) = &mut self.forms {
            let key = format!("{path}.{key}");
            forms.of.entry(key).or_insert_with(form);
        }
    }

    /// Takes note that a key has to be there.
    pub(super) fn notes_required(&mut self, path: &str, key: &str) {
        if let Some(forms) = &mut self.forms {
            forms.required.insert(format!("{path}.{key}"));
        }
    }
    /// Takes note that one trunk inherits from another: a mistake in what is inherited is that of the
    /// carrier trunk, and told once.
    pub(super) fn derives(&mut self, trunk: &str, carrier: &str) {
        let title = |name: &str| format!("trunk \"{}\"", visible(name));
        self.derived.insert(title(trunk), title(carrier));
    }

    /// Leaves out what is said of a carrier trunk already.
    fn tell_inherited_once(&mut self) {
        let own: BTreeSet<(Code, String)> = match self.derived.is_empty() {
            true => return,
            false => self
                .found
                .iter()
                .map(|(_, code, cause, _)| (*code, cause.clone()))
                .collect(),
        };
        let derived = &self.derived;
        self.found.retain(|(_, code, cause, _)| {
            let title = cause.split_inclusive('"').take(2).collect::<String>();
            let carrier = derived.get(&title);
            carrier.is_none_or(|carrier| {
                let rest = cause.get(title.len()..).unwrap_or_default();
                !own.contains(&(*code, format!("{carrier}{rest}")))
            })
        });
    }

    /// What is not closed swallows all that follows: only where that was seen is told, and nothing else of the file.
    fn tell_unclosed_once(&mut self) {
        let mut places: BTreeMap<usize, usize> = BTreeMap::new();
        for (at, (span, code, cause, help)) in self.found.iter_mut().enumerate() {
            if *code != Code::Syntax || places.contains_key(&span.file) {
                continue;
            }
            if let Some(unclosed) = instead::unclosed(cause) {
                *help = Some(instead::of_syntax(cause));
                unclosed.clone_into(cause);
                places.insert(span.file, at);
            }
        }
        let mut at = 0;
        self.found.retain(|(span, code, ..)| {
            let own = at;
            at += 1;
            let place = places.get(&span.file);
            place.is_none_or(|place| own == *place || (own < *place && *code == Code::Syntax))
        });
    }

    /// Adds a finding.
    pub(super) fn add(
        &mut self,
        code: Code,
        span: &Span,
        cause: impl Into<String>,
        help: impl Into<Option<String>>,
    ) {
        let help = help.into().map(|help| visible(&help));
        self.found
            .push((span.clone(), code, visible(&cause.into()), help));
    }

    /// Whether anything refuses the configuration so far.
    pub(super) fn has_errors(&self) -> bool {
        self.found
            .iter()
            .any(|(_, code, ..)| code.severity() == Severity::Error)
    }

    /// Whether more findings would only be left out: then the search for suggestions, the only
    /// costly part of a finding, is not worth while.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() > Findings::MOST
    }

    /// Orders, limits and places what was found.
    ///
    /// Where the text is not TOML, objects are missing that somebody did write: what follows from
    /// that only hides the line that must be mended.
    pub(super) fn finish(mut self, sources: &[Source]) -> Findings {
        self.found.sort();
        self.found.dedup();
        self.tell_inherited_once();
        if self.found.iter().any(|(_, code, ..)| *code == Code::Syntax) {
            self.found
                .retain(|(_, code, ..)| !follows_from_syntax(*code));
            self.tell_unclosed_once();
        }
        let lines = Lines::new(sources);
        let mut findings = Findings::default();
        for (span, code, cause, help) in self.found {
            let list = match code.severity() {
                Severity::Error => &mut findings.errors,
                Severity::Warning => &mut findings.warnings,
            };
            if list.len() >= Findings::MOST {
                findings.omitted += 1;
                continue;
            }
            list.push(Finding {
                code,
                severity: code.severity(),
                place: lines.place(&span),
                cause,
                help,
            });
        }
        findings
    }
}

/// Whether a broken line elsewhere in the text can be the reason.
fn follows_from_syntax(code: Code) -> bool {
    matches!(
        code,
        Code::MissingKey
            | Code::WrongType
            | Code::UnknownName
            | Code::NoListener
            | Code::NoSource
            | Code::TeamsRule
            | Code::NameNotCovered
            | Code::UnreachableRoute
            | Code::UnusedTrunk
    )
}

/// `help: did you mean …?` when one of the known words is close to what was written.
pub(super) fn did_you_mean<'k>(
    written: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<String> {
    nearest(written, known).map(|word| format!("did you mean \"{word}\"?"))
}

/// The known word that is close to what was written, if one is.
pub fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let written = written.to_lowercase();
    known
        .into_iter()
        .map(|word| {
            (
                strsim::damerau_levenshtein(&written, &word.to_lowercase()),
                word,
            )
        })
        .filter(|(distance, word)| *distance <= 1 + word.len() / 4)
        .min()
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_their_letter_tells_the_severity() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        assert_eq!(Code::Syntax.severity(), Severity::Error);
        assert_eq!(Code::PinnedAddress.severity(), Severity::Warning);
        assert!(Code::ALL.iter().all(|code| !code.meaning().is_empty()));
    }

    #[test]
    fn a_finding_shows_the_line_with_a_caret_below_the_value() {
        let sources = [Source::new("c.toml", "[node]\n\tid = 7")];
        let mut collector = Collector::default();
        collector.add(
            Code::WrongType,
            &Span::new(0, 13..14),
            "id must be text",
            Some("write id = \"sbc1\"".to_owned()),
        );
        let findings = collector.finish(&sources);
        assert_eq!(
            findings.errors[0].to_string(),
            "c.toml:2:7: error[E0006]: id must be text\n  | \tid = 7\n  | \t     ^\n  help: write id = \"sbc1\""
        );
        assert!(findings.to_text().ends_with("1 error, 0 warnings"));
    }

    #[test]
    fn no_more_than_a_hundred_errors_are_kept_and_the_rest_is_counted() {
        let sources = [Source::new("c.toml", "x".repeat(500))];
        let mut collector = Collector::default();
        for at in 0..250 {
            collector.add(Code::UnknownKey, &Span::new(0, at..at + 1), "no", None);
        }
        let findings = collector.finish(&sources);
        assert_eq!(findings.errors.len(), 100);
        assert_eq!(findings.omitted, 150);
    }

    #[test]
    fn a_suggestion_is_made_only_when_it_is_close() {
        assert_eq!(
            did_you_mean("PCMZ", ["PCMA", "PCMU", "G729"]),
            Some("did you mean \"PCMA\"?".to_owned())
        );
        assert_eq!(did_you_mean("elephant", ["PCMA", "PCMU"]), None);
    }
}
