//! Header names: those we know, their compact forms, and any other token (SIP-002).

use crate::octets::is_same_word;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;

use crate::sip::{ParseFault, Token};

macro_rules! header_names {
    ($($variant:ident = $text:literal $($compact:literal)?,)+) => {
        /// The name of a header field. Equal names are equal in every spelling: case and compact
        /// form do not matter.
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum HeaderName {
            $(#[doc = concat!("`", $text, "`", $(", compact `", $compact, "`",)? ".")] $variant,)+
            /// A name that is not in this list.
            Other(ExtensionName),
        }

        /// Known names in the order of the enum.
        pub(in crate::sip) static KNOWN: &[HeaderName] = &[$(HeaderName::$variant),+];

        const TEXTS: [&str; KNOWN.len()] = [$($text),+];

        const SPELLINGS: &[(&str, u8)] = &[
            $(($text, Id::$variant as u8), $(($compact, Id::$variant as u8),)?)+
        ];

        #[derive(Clone, Copy)]
        #[repr(u8)]
        #[allow(clippy::enum_variant_names, reason = "the names are those of the headers")]
        enum Id { $($variant),+ }

        impl HeaderName {
            /// The name in its canonical long form; an unknown name as it was written.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(name) => name.as_str(),
                }
            }

            /// Position in [`KNOWN`], or [`UNKNOWN`].
            pub(in crate::sip) fn id(&self) -> u8 {
                match self {
                    $(Self::$variant => Id::$variant as u8,)+
                    Self::Other(_) => UNKNOWN,
                }
            }
        }
    };
}

header_names! {
    Accept = "Accept",
    AcceptContact = "Accept-Contact" "a",
    AcceptEncoding = "Accept-Encoding",
    AcceptLanguage = "Accept-Language",
    AlertInfo = "Alert-Info",
    Allow = "Allow",
    AllowEvents = "Allow-Events" "u",
    AuthenticationInfo = "Authentication-Info",
    Authorization = "Authorization",
    CallId = "Call-ID" "i",
    CallInfo = "Call-Info",
    Contact = "Contact" "m",
    ContentDisposition = "Content-Disposition",
    ContentEncoding = "Content-Encoding" "e",
    ContentId = "Content-ID",
    ContentLanguage = "Content-Language",
    ContentLength = "Content-Length" "l",
    ContentTransferEncoding = "Content-Transfer-Encoding",
    ContentType = "Content-Type" "c",
    CSeq = "CSeq",
    Date = "Date",
    Diversion = "Diversion",
    ErrorInfo = "Error-Info",
    Event = "Event" "o",
    Expires = "Expires",
    FlowTimer = "Flow-Timer",
    From = "From" "f",
    Geolocation = "Geolocation",
    HistoryInfo = "History-Info",
    Identity = "Identity" "y",
    InfoPackage = "Info-Package",
    InReplyTo = "In-Reply-To",
    Join = "Join",
    MaxBreadth = "Max-Breadth",
    MaxForwards = "Max-Forwards",
    MimeVersion = "MIME-Version",
    MinExpires = "Min-Expires",
    MinSe = "Min-SE",
    Organization = "Organization",
    PAccessNetworkInfo = "P-Access-Network-Info",
    PAssertedIdentity = "P-Asserted-Identity",
    PAssociatedUri = "P-Associated-URI",
    Path = "Path",
    PChargingVector = "P-Charging-Vector",
    PEarlyMedia = "P-Early-Media",
    PPreferredIdentity = "P-Preferred-Identity",
    Priority = "Priority",
    Privacy = "Privacy",
    ProxyAuthenticate = "Proxy-Authenticate",
    ProxyAuthorization = "Proxy-Authorization",
    ProxyRequire = "Proxy-Require",
    RAck = "RAck",
    Reason = "Reason",
    RecordRoute = "Record-Route",
    RecvInfo = "Recv-Info",
    ReferSub = "Refer-Sub",
    ReferTo = "Refer-To" "r",
    ReferredBy = "Referred-By" "b",
    RejectContact = "Reject-Contact" "j",
    RemotePartyId = "Remote-Party-ID",
    Replaces = "Replaces",
    ReplyTo = "Reply-To",
    RequestDisposition = "Request-Disposition" "d",
    Require = "Require",
    ResourcePriority = "Resource-Priority",
    RetryAfter = "Retry-After",
    Route = "Route",
    RSeq = "RSeq",
    Server = "Server",
    ServiceRoute = "Service-Route",
    SessionExpires = "Session-Expires" "x",
    SessionId = "Session-ID",
    SipETag = "SIP-ETag",
    SipIfMatch = "SIP-If-Match",
    Subject = "Subject" "s",
    SubscriptionState = "Subscription-State",
    Supported = "Supported" "k",
    TargetDialog = "Target-Dialog",
    Timestamp = "Timestamp",
    To = "To" "t",
    Unsupported = "Unsupported",
    UserAgent = "User-Agent",
    UserToUser = "User-to-User",
    Via = "Via" "v",
    Warning = "Warning",
    WwwAuthenticate = "WWW-Authenticate",
    MediaPath = "X-MS-MediaPath",
    UserLocation = "X-MS-UserLocation",
    UserSite = "X-MS-UserSite",
}

impl HeaderName {
    /// Reads a name in any spelling; a token that is not known becomes [`HeaderName::Other`].
    pub fn parse(text: impl Into<Bytes>) -> Result<Self, ParseFault> {
        let text = text.into();
        match Self::known(&text) {
            Some(name) => Ok(name.clone()),
            None => Token::parse(text).map(|token| Self::Other(ExtensionName(token))),
        }
    }

    /// Begins a line with this name: the name and its separator.
    pub(in crate::sip) fn begin_line(&self, out: &mut Vec<u8>) {
        match BEGINNINGS.get(usize::from(self.id())) {
            Some(Beginning { text, length }) => {
                let end = out.len() + usize::from(*length);
                out.extend_from_slice(text);
                out.truncate(end);
            }
            None => {
                out.extend_from_slice(self.as_str().as_bytes());
                out.extend_from_slice(SEPARATOR);
            }
        }
    }

    /// The known name that this is, in any spelling.
    pub(in crate::sip) fn known(text: &[u8]) -> Option<&'static Self> {
        KNOWN.get(usize::from(lookup(text)))
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A header name that is not in [`HeaderName`]'s list: keeps its spelling, compares without it.
#[derive(Clone)]
pub struct ExtensionName(Token);

impl ExtensionName {
    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    fn lower(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.as_bytes().iter().map(u8::to_ascii_lowercase)
    }
}

impl PartialEq for ExtensionName {
    fn eq(&self, other: &Self) -> bool {
        self.0.is(other.as_str())
    }
}

impl Eq for ExtensionName {}

impl Hash for ExtensionName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.lower().for_each(|octet| octet.hash(state));
    }
}

impl PartialOrd for ExtensionName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ExtensionName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.lower().cmp(other.lower())
    }
}

const SEPARATOR: &[u8] = b": ";

/// A known name with its separator.
struct Beginning {
    text: [u8; LONGEST_BEGINNING],
    length: u8,
}

/// Octets of the longest one. All are copied as if they were as long: that takes two moves, and every line
/// of ours begins so.
const LONGEST_BEGINNING: usize = 32;

static BEGINNINGS: [Beginning; KNOWN.len()] = {
    let mut all = [const {
        Beginning {
            text: [0; LONGEST_BEGINNING],
            length: 0,
        }
    }; KNOWN.len()];
    let mut id = 0;
    while id < all.len() {
        let name = TEXTS[id].as_bytes();
        let length = name.len() + SEPARATOR.len();
        let mut at = 0;
        while at < length {
            all[id].text[at] = match at < name.len() {
                true => name[at],
                false => SEPARATOR[at - name.len()],
            };
            at += 1;
        }
        all[id].length = length as u8;
        id += 1;
    }
    all
};

/// The id of a name that is not known.
pub(in crate::sip) const UNKNOWN: u8 = u8::MAX;

/// Which names stand in a message, a bit for each. All names that are not known share one.
#[derive(Clone, Copy, Default)]
pub(in crate::sip) struct Names(u128);

impl Names {
    const fn bit(id: u8) -> u128 {
        1 << if id < UNKNOWN_BIT { id } else { UNKNOWN_BIT }
    }

    /// Adds the name with this id; says whether it was there already.
    pub(in crate::sip) fn add(&mut self, id: u8) -> bool {
        let was_there = self.has(id);
        self.0 |= Self::bit(id);
        was_there
    }

    /// Whether the name with this id is among them, or, of one that is not known, any such name.
    pub(in crate::sip) fn has(self, id: u8) -> bool {
        self.0 & Self::bit(id) != 0
    }
}

const UNKNOWN_BIT: u8 = 127;
const _: () = assert!(
    KNOWN.len() <= UNKNOWN_BIT as usize,
    "each known name has a bit of its own"
);

/// The id of a name in any spelling, or [`UNKNOWN`].
pub(in crate::sip) fn lookup(text: &[u8]) -> u8 {
    let (Some(&first), Some(&last)) = (text.first(), text.last()) else {
        return UNKNOWN;
    };
    let mut slot = hash(text.len(), first, last);
    loop {
        match SLOTS[slot] {
            0 => return UNKNOWN,
            entry => {
                let (spelling, id) = SPELLINGS[usize::from(entry) - 1];
                if is_same_word(spelling.as_bytes(), text) {
                    return id;
                }
            }
        }
        slot = (slot + 1) % SLOTS.len();
    }
}

const fn hash(len: usize, first: u8, last: u8) -> usize {
    let (first, last) = (
        first.to_ascii_lowercase() as usize,
        last.to_ascii_lowercase() as usize,
    );
    (len * 61 + first * 7 + last * 151) % SLOTS_LEN
}

const SLOTS_LEN: usize = 512;

/// Open addressing over [`SPELLINGS`], one-based; built by the compiler.
static SLOTS: [u8; SLOTS_LEN] = {
    let mut slots = [0_u8; SLOTS_LEN];
    let mut index = 0;
    while index < SPELLINGS.len() {
        let text = SPELLINGS[index].0.as_bytes();
        let mut slot = hash(text.len(), text[0], text[text.len() - 1]);
        while slots[slot] != 0 {
            slot = (slot + 1) % SLOTS_LEN;
        }
        slots[slot] = index as u8 + 1;
        index += 1;
    }
    slots
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_known_name_is_found() {
        for &(text, id) in SPELLINGS {
            assert_eq!(lookup(text.as_bytes()), id, "{text}");
            assert_eq!(lookup(text.to_ascii_uppercase().as_bytes()), id, "{text}");
            assert_eq!(lookup(text.to_ascii_lowercase().as_bytes()), id, "{text}");
            assert_eq!(KNOWN[usize::from(id)].id(), id);
        }
    }

    #[test]
    fn lines_begin_with_the_name_and_a_separator() {
        let other = HeaderName::parse("X-Some-Name-That-Is-Longer-Than-Any-Other").unwrap();
        for name in KNOWN.iter().chain([&other]) {
            let mut out = b"\r\n".to_vec();
            name.begin_line(&mut out);
            assert_eq!(out, format!("\r\n{}: ", name.as_str()).as_bytes());
        }
    }

    #[test]
    fn every_known_name_has_a_bit_of_its_own() {
        let mut names = Names::default();
        for id in (0..).take(KNOWN.len()).chain([UNKNOWN]) {
            assert!(!names.has(id) && !names.add(id) && names.has(id) && names.add(id));
        }
        assert!(names.has(UNKNOWN - 1), "names that are not known share one");
    }

    #[test]
    fn compact_forms_are_those_of_the_registry() {
        let compact = "iCall-ID mContact eContent-Encoding lContent-Length cContent-Type fFrom \
                       sSubject kSupported tTo vVia oEvent uAllow-Events rRefer-To bReferred-By \
                       aAccept-Contact jReject-Contact dRequest-Disposition xSession-Expires \
                       yIdentity";
        for pair in compact.split_whitespace() {
            let (short, long) = pair.split_at(1);
            assert_eq!(HeaderName::parse(short.to_owned()).unwrap().as_str(), long);
        }
    }

    #[test]
    fn extension_names_compare_without_case_and_keep_their_spelling() {
        let one = HeaderName::parse("X-MS-SBC").unwrap();
        let two = HeaderName::parse("x-ms-sbc").unwrap();
        assert_eq!(one, two);
        assert_eq!(one.cmp(&two), Ordering::Equal);
        assert_eq!(one.as_str(), "X-MS-SBC");
        assert!(HeaderName::parse("X Y").is_err());
        assert!(HeaderName::parse("").is_err());
    }
}
