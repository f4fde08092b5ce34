//! Why one broken rule brings others with it, by name: a way to break the subject says so of each rule that it breaks
//! beside the one that is meant, or the [self-test](super::selftest) does not take it for that.

/// A rule, and why it is broken, too.
pub type Follows = (&'static str, &'static str);

/// The case needs what is missing or wrong.
pub const STOPS: Follows = ("ladder", "the case cannot go on without what is changed");
/// Nobody reports.
pub const QUIET: Follows = (
    "G11",
    "media are over or not heard, and the peer that waits on hears no reports",
);
/// Reports are changed.
pub const REPORTS: Follows = ("G11", "the run asks of each call for its reports, too");
/// Nobody is heard.
pub const UNHEARD: Follows = (
    "audio",
    "who is told another place, key or packet hears nothing",
);
/// Audio is not authentic.
pub const UNPROVEN: Follows = ("G10", "packets with another key or count are not authentic");
/// The description is wrong.
pub const UNREAD: Follows = (
    "G6",
    "a description that says so is none that Teams may get",
);
/// The description moves.
pub const MOVED: Follows = (
    "G7",
    "a description that is changed after the first says that media move",
);
/// The peer asks the same as the run: where requests go.
pub const AWAY: Follows = ("G8", "the run asks of each request where it goes, too");
/// The peer's side of it.
pub const AWAY_AT_PEER: Follows = (
    "TDR-SIP-040",
    "the peer asks of each request where it goes, too",
);
/// A request that is made of an answer.
pub const NO_HOPS: Follows = (
    "TDR-SIP-044",
    "a request that is made of an answer has no Max-Forwards",
);
/// The same.
pub const RECORDED: Follows = (
    "G2",
    "a request that is made of an answer has its Record-Route",
);
/// The peer's side of it.
pub const RECORDED_AT_PEER: Follows = (
    "TDR-SIP-042",
    "a request that is made of an answer has its Record-Route",
);
/// Contact.
pub const NAMED: Follows = ("G1", "the run asks of each Contact whose name it has, too");
/// The peer's side of it.
pub const NAMED_AT_PEER: Follows = (
    "TDR-MT-002",
    "the peer asks of each INVITE and answer for one Contact, too",
);
/// The trunk of another name.
pub const PORT: Follows = (
    "TDR-SIP-043",
    "the trunk that has the other name has another port",
);
/// A name without a trunk.
pub const NO_TRUNK: Follows = ("TDR-MT-001", "no customer has a trunk with the other name");
/// From has the same name as Contact.
pub const FROM: Follows = (
    "TDR-SIP-012",
    "From has the name as well, and is changed with Contact",
);
/// What Contact is in a call.
pub const CONTACT: Follows = (
    "TDR-SIP-030",
    "the case looks at Contact of the answer, too",
);
/// Methods, options and headers.
pub const UNKNOWN: Follows = ("G4", "the run asks of methods, options and headers, too");
/// The peer's side of it: methods.
pub const UNKNOWN_METHOD: Follows = ("TDR-SIP-001", "the peer knows no such method");
/// The peer's side of it: options.
pub const UNKNOWN_OPTION: Follows = ("TDR-SIP-002", "the peer knows no such option");
/// No description.
pub const BARE: Follows = ("G5", "an INVITE that is made so has no description");
/// The peer's side of it.
pub const BARE_AT_PEER: Follows = (
    "TDR-SIP-004",
    "an INVITE that is made so has no description",
);
/// No Allow.
pub const NO_ALLOW: Follows = ("G15", "a message that is made so has no Allow");
/// The peer's side of it.
pub const NO_ALLOW_AT_PEER: Follows = ("TDR-SIP-003", "a message that is made so has no Allow");
/// Candidates.
pub const CANDIDATE: Follows = (
    "TDR-ICE-002",
    "a candidate that is not where audio is is looked for, too",
);
/// The agent.
pub const AGENT: Follows = ("TDR-ICE-001", "an agent without a candidate is none");
/// A second INVITE that is made of a message of the call.
pub const OFFERED_ANEW: [Follows; 6] = [
    NAMED,
    NO_ALLOW,
    BARE,
    NAMED_AT_PEER,
    NO_ALLOW_AT_PEER,
    BARE_AT_PEER,
];
/// The same, where the run asks where requests go as well.
pub const OFFERED_ANEW_AWAY: [Follows; 7] = [
    AWAY,
    NAMED,
    NO_ALLOW,
    BARE,
    NAMED_AT_PEER,
    NO_ALLOW_AT_PEER,
    BARE_AT_PEER,
];
