//! Identifiers of requirements.

use std::fmt;

/// Identifier of a requirement or of a published vulnerability; in the order of the lists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RequirementId {
    /// What a B2BUA must do: `SIP-` and at least three digits.
    Sip(u16),
    /// What keeps it safe: `SEC-` and at least three digits.
    Security(u16),
    /// A published vulnerability whose class must not be ours: `CVE-`, year, number.
    Vulnerability(u16, u32),
    /// One that was published without a number: `ROW-` and at least three digits.
    Unnumbered(u16),
    /// What Teams wants of an SBC: `TDR-`, an area and at least three digits.
    Teams(Area, u16),
    /// What Microsoft Graph and Entra want of who uses them: `TDG-`, an area and at least three digits.
    Graph(GraphArea, u16),
    /// What media must be like: `MED-` and at least three digits.
    Media(u16),
    /// What operators expect: `OPS-` and at least three digits.
    Operations(u16),
}

/// What a requirement of Graph and Entra is about, in the order of their list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum GraphArea {
    /// Records of calls.
    Records,
    /// Presence of users.
    Presence,
    /// Tokens and sign-in.
    Entra,
}

/// Areas of Graph by the letters between `TDG-` and the number.
const GRAPH_AREAS: [(&str, GraphArea); 3] = [
    ("CDR", GraphArea::Records),
    ("PRS", GraphArea::Presence),
    ("ENT", GraphArea::Entra),
];

/// What a requirement of Teams is about, in the order of their list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Area {
    /// Addresses and names of the service.
    Connection,
    /// Names, and what happens when a data centre fails.
    Dns,
    /// Connections and framing.
    Tcp,
    /// Certificates and their checks.
    Tls,
    /// OPTIONS and the health that follows from it.
    Options,
    /// Tenants and hosting.
    Tenants,
    /// The administrator's side.
    Commands,
    /// Calls.
    Sip,
    /// Session timers.
    Timers,
    /// Hold and other changes of a call.
    Hold,
    /// Ends and failures.
    Errors,
    /// Transfers and replacement.
    Transfer,
    /// History of a call.
    Forwarding,
    /// Media without bypass.
    Media,
    /// Media bypass.
    Ice,
    /// Local media optimisation.
    LocalMedia,
    /// Numbers.
    Numbers,
    /// Who calls.
    CallerId,
    /// Routing by location.
    LocationRouting,
    /// Calls for help.
    Emergency,
    /// Branches that must survive.
    Survivable,
    /// What Microsoft measures.
    Monitoring,
    /// Contact centres.
    ContactCentre,
    /// The communication services that share the front door.
    CommunicationServices,
    /// Certification.
    Certification,
    /// Security and abuse.
    Security,
}

/// Areas of Teams by the letters between `TDR-` and the number.
const AREAS: [(&str, Area); 26] = [
    ("CON", Area::Connection),
    ("DNS", Area::Dns),
    ("TCP", Area::Tcp),
    ("TLS", Area::Tls),
    ("OPT", Area::Options),
    ("MT", Area::Tenants),
    ("CMD", Area::Commands),
    ("SIP", Area::Sip),
    ("TMR", Area::Timers),
    ("HLD", Area::Hold),
    ("ERR", Area::Errors),
    ("XFR", Area::Transfer),
    ("FWD", Area::Forwarding),
    ("MED", Area::Media),
    ("ICE", Area::Ice),
    ("LMO", Area::LocalMedia),
    ("NUM", Area::Numbers),
    ("CID", Area::CallerId),
    ("LBR", Area::LocationRouting),
    ("EMG", Area::Emergency),
    ("SBA", Area::Survivable),
    ("MON", Area::Monitoring),
    ("CC", Area::ContactCentre),
    ("ACS", Area::CommunicationServices),
    ("CRT", Area::Certification),
    ("SEC", Area::Security),
];

/// Lists of requirements that are counted apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum List {
    /// What a B2BUA must do.
    Sip,
    /// What keeps it safe, and vulnerabilities that must not be ours.
    Security,
    /// What Teams wants of an SBC.
    Teams,
    /// What Microsoft Graph and Entra want of who uses them.
    Graph,
    /// What media must be like.
    Media,
    /// What operators expect.
    Operations,
}

impl List {
    /// All of them, in their order.
    pub const ALL: [Self; 6] = [
        Self::Sip,
        Self::Security,
        Self::Teams,
        Self::Graph,
        Self::Media,
        Self::Operations,
    ];

    /// One word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sip => "SIP",
            Self::Security => "security",
            Self::Teams => "Teams",
            Self::Graph => "Graph",
            Self::Media => "media",
            Self::Operations => "operations",
        }
    }
}

/// Letters before every identifier of the first list.
const SIP: &str = "SIP-";
/// Letters before every identifier of Teams.
const TEAMS: &str = "TDR-";
/// Letters before every identifier of Graph and Entra.
const GRAPH: &str = "TDG-";
/// Letters before every identifier of media.
const MEDIA: &str = "MED-";
/// Letters before every identifier of operations.
const OPERATIONS: &str = "OPS-";

impl RequirementId {
    /// Reads an identifier as it is written, with no other spelling of its number.
    pub fn parse(text: &str) -> Option<Self> {
        let id = match text.get(..4)? {
            SIP => Self::Sip(text[4..].parse().ok()?),
            MEDIA => Self::Media(text[4..].parse().ok()?),
            OPERATIONS => Self::Operations(text[4..].parse().ok()?),
            "SEC-" => Self::Security(text[4..].parse().ok()?),
            "ROW-" => Self::Unnumbered(text[4..].parse().ok()?),
            TEAMS => {
                let (letters, number) = text[4..].split_once('-')?;
                let area = AREAS.iter().find(|(own, _)| *own == letters)?.1;
                Self::Teams(area, number.parse().ok()?)
            }
            GRAPH => {
                let (letters, number) = text[4..].split_once('-')?;
                let area = GRAPH_AREAS.iter().find(|(own, _)| *own == letters)?.1;
                Self::Graph(area, number.parse().ok()?)
            }
            "CVE-" => {
                let (year, number) = text[4..].split_once('-')?;
                Self::Vulnerability(year.parse().ok()?, number.parse().ok()?)
            }
            _ => return None,
        };
        (id.to_string() == text).then_some(id)
    }

    /// The list that it belongs to.
    pub fn list(self) -> List {
        match self {
            Self::Sip(_) => List::Sip,
            Self::Security(_) | Self::Vulnerability(..) | Self::Unnumbered(_) => List::Security,
            Self::Teams(..) => List::Teams,
            Self::Graph(..) => List::Graph,
            Self::Media(_) => List::Media,
            Self::Operations(_) => List::Operations,
        }
    }

    /// Every identifier of the first list, of Teams, of Graph, of media and of operations in a text.
    pub fn all_in(text: &str) -> Vec<Self> {
        let joins = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let starts = |letters: &'static str| {
            let all = text.match_indices(letters).map(|(at, _)| at);
            all.filter(|at| !text[..*at].ends_with(joins))
        };
        let numbered = |letters: &'static str| {
            starts(letters).filter_map(move |at| {
                let digits = digits(&text[at + letters.len()..]);
                // Other words begin alike, such as names of software with its version.
                (3..=4)
                    .contains(&digits.len())
                    .then(|| Self::parse(&text[at..at + letters.len() + digits.len()]))?
            })
        };
        let with_area = starts(TEAMS).chain(starts(GRAPH)).filter_map(|at| {
            let (letters, _) = text[at + TEAMS.len()..].split_once('-')?;
            let begin = at + TEAMS.len() + letters.len() + 1;
            Self::parse(&text[at..begin + digits(&text[begin..]).len()])
        });
        let numbers = numbered(SIP)
            .chain(numbered(MEDIA))
            .chain(numbered(OPERATIONS));
        numbers.chain(with_area).collect()
    }
}

/// The digits that a text begins with.
fn digits(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit());
    &text[..end.unwrap_or(text.len())]
}

impl fmt::Display for RequirementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sip(number) => write!(f, "{SIP}{number:03}"),
            Self::Security(number) => write!(f, "SEC-{number:03}"),
            Self::Media(number) => write!(f, "{MEDIA}{number:03}"),
            Self::Operations(number) => write!(f, "{OPERATIONS}{number:03}"),
            Self::Vulnerability(year, number) => write!(f, "CVE-{year}-{number:04}"),
            Self::Unnumbered(number) => write!(f, "ROW-{number:03}"),
            Self::Teams(area, number) => {
                let letters = AREAS.iter().find(|(_, own)| own == area);
                let letters = letters.map_or("", |(letters, _)| letters);
                write!(f, "{TEAMS}{letters}-{number:03}")
            }
            Self::Graph(area, number) => {
                let letters = GRAPH_AREAS.iter().find(|(_, own)| own == area);
                let letters = letters.map_or("", |(letters, _)| letters);
                write!(f, "{GRAPH}{letters}-{number:03}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_has_one_spelling() {
        for number in [1, 17, 102, 1730] {
            for id in [
                RequirementId::Sip(number),
                RequirementId::Security(number),
                RequirementId::Unnumbered(number),
                RequirementId::Teams(Area::Sip, number),
                RequirementId::Graph(GraphArea::Entra, number),
                RequirementId::Media(number),
                RequirementId::Operations(number),
            ] {
                assert_eq!(RequirementId::parse(&id.to_string()), Some(id));
            }
        }
        for text in ["CVE-2018-8828", "CVE-2024-35190", "CVE-2022-0778"] {
            let id = RequirementId::parse(text).map(|id| id.to_string());
            assert_eq!(id.as_deref(), Some(text));
        }
        for bad in ["1", "01", "0001", "+01", "", "001 ", "x", "2018-8828"] {
            assert_eq!(RequirementId::parse(&format!("{SIP}{bad}")), None, "{bad}");
            assert_eq!(RequirementId::parse(&format!("ROW-{bad}")), None, "{bad}");
        }
        for bad in [
            "sip-001",
            "CVE-2018",
            "CVE-2018-828",
            "CVE-2018-08828",
            "SIP",
            "TDR-SIP",
            "TDR-SIP-1",
            "TDR-XYZ-001",
            "TDG-SIP-001",
            "",
        ] {
            assert_eq!(RequirementId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_area_has_its_letters_and_they_are_in_order() {
        assert!(AREAS.is_sorted_by(|one, next| one.1 < next.1));
        assert!(GRAPH_AREAS.is_sorted_by(|one, next| one.1 < next.1));
        for (letters, area) in AREAS {
            let text = format!("{TEAMS}{letters}-012");
            assert_eq!(
                RequirementId::parse(&text),
                Some(RequirementId::Teams(area, 12))
            );
        }
    }

    #[test]
    fn identifiers_are_found_in_comments_and_those_of_other_lists_are_not() {
        let found = |text: &str| -> Vec<String> {
            RequirementId::all_in(&text.replace('#', SIP))
                .iter()
                .map(ToString::to_string)
                .map(|id| id.replace(SIP, ""))
                .collect()
        };
        assert_eq!(
            found("(RFC 3261 §17, #201; #1020 to #1022)"),
            ["201", "1020", "1022"]
        );
        assert!(found("SEC-#004, X_#005").is_empty());
        let teams = |text: &str| found(&text.replace('%', TEAMS));
        assert_eq!(
            teams("(%OPT-001, %TLS-004)."),
            ["%OPT-001", "%TLS-004"].map(|id| id.replace('%', TEAMS))
        );
        let graph = found(&"see %CDR-004".replace('%', GRAPH));
        assert_eq!(graph, ["%CDR-004".replace('%', GRAPH)]);
        assert!(teams("%OPT, X%OPT-001, %OPT-1, %NO-001").is_empty());
        let media = |text: &str| found(&text.replace('$', MEDIA));
        assert_eq!(media("($107)."), [format!("{MEDIA}107")]);
        let operations = found(&"(&060, &3)".replace('&', OPERATIONS));
        assert_eq!(operations, [format!("{OPERATIONS}060")]);
        // An area of Teams has the same letters.
        assert_eq!(media("TDR-$001"), [format!("{TEAMS}{MEDIA}001")]);
        assert!(found("#1 #12345 #x").is_empty());
    }
}
