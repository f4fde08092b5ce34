//! The built-in table of headers: what happens to each between the legs, and which of them
//! configuration may touch (§5.4 of our requirements).

use crate::sip::HeaderName;

/// What happens to a header on its way from one leg to the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// We write our own, or act on it; configuration can neither pass nor set it.
    Own,
    /// Rewritten by another policy module; configuration can neither pass nor set it.
    Map,
    /// Copied unchanged.
    Pass,
    /// Copied unchanged towards the core (Teams), left out towards carriers unless listed.
    PassToCore,
    /// Copied if both trunks are in our trust domain, or if it is listed.
    Trust,
    /// Copied towards carriers if both trunks are in our trust domain, or if it is listed: who pays, and where somebody
    /// is, is told within a trust domain alone (RFC 7315 §6, RFC 3325 §5), and the core has no use for it.
    TrustOut,
    /// As that, but neither a list nor a value of configuration can say it: it is the word of a trust domain.
    Guarded,
    /// Left out unless it is listed.
    Strip,
}

/// The row of a header in the built-in table.
pub fn action(name: &HeaderName) -> Action {
    match name {
        HeaderName::Accept
        | HeaderName::AcceptEncoding
        | HeaderName::Allow
        | HeaderName::AllowEvents
        | HeaderName::AuthenticationInfo
        | HeaderName::Authorization
        | HeaderName::CallId
        | HeaderName::Contact
        | HeaderName::ContentDisposition
        | HeaderName::ContentEncoding
        | HeaderName::ContentId
        | HeaderName::ContentLength
        | HeaderName::ContentTransferEncoding
        | HeaderName::ContentType
        | HeaderName::CSeq
        | HeaderName::Event
        | HeaderName::Expires
        | HeaderName::FlowTimer
        | HeaderName::Identity
        | HeaderName::InfoPackage
        | HeaderName::InReplyTo
        | HeaderName::Join
        | HeaderName::MaxBreadth
        | HeaderName::MaxForwards
        | HeaderName::MimeVersion
        | HeaderName::MinExpires
        | HeaderName::MinSe
        | HeaderName::Path
        | HeaderName::ProxyAuthenticate
        | HeaderName::ProxyAuthorization
        | HeaderName::ProxyRequire
        | HeaderName::RAck
        | HeaderName::RecordRoute
        | HeaderName::RecvInfo
        | HeaderName::ReferSub
        | HeaderName::ReferTo
        | HeaderName::ReferredBy
        | HeaderName::Replaces
        | HeaderName::Require
        | HeaderName::RetryAfter
        | HeaderName::Route
        | HeaderName::RSeq
        | HeaderName::Server
        | HeaderName::ServiceRoute
        | HeaderName::SessionExpires
        | HeaderName::SessionId
        | HeaderName::SipETag
        | HeaderName::SipIfMatch
        | HeaderName::SubscriptionState
        | HeaderName::Supported
        | HeaderName::TargetDialog
        | HeaderName::Timestamp
        | HeaderName::Unsupported
        | HeaderName::UserAgent
        | HeaderName::Via
        | HeaderName::Warning
        | HeaderName::WwwAuthenticate => Action::Own,

        HeaderName::Diversion
        | HeaderName::From
        | HeaderName::HistoryInfo
        | HeaderName::PAssertedIdentity
        | HeaderName::PPreferredIdentity
        | HeaderName::Privacy
        | HeaderName::Reason
        | HeaderName::RemotePartyId
        | HeaderName::To => Action::Map,

        HeaderName::Date => Action::Pass,

        HeaderName::AcceptLanguage
        | HeaderName::ContentLanguage
        | HeaderName::Organization
        | HeaderName::Priority
        | HeaderName::Subject => Action::PassToCore,

        HeaderName::CallInfo | HeaderName::ResourcePriority => Action::Trust,

        HeaderName::PAccessNetworkInfo
        | HeaderName::PAssociatedUri
        | HeaderName::PChargingVector => Action::TrustOut,

        HeaderName::AcceptContact
        | HeaderName::AlertInfo
        | HeaderName::ErrorInfo
        | HeaderName::Geolocation
        | HeaderName::MediaPath
        | HeaderName::PEarlyMedia
        | HeaderName::RejectContact
        | HeaderName::ReplyTo
        | HeaderName::RequestDisposition
        | HeaderName::UserLocation
        | HeaderName::UserSite
        | HeaderName::UserToUser => Action::Strip,

        HeaderName::Other(name) => extension(name.as_str()),
    }
}

/// The row of a header that has no name of its own here.
fn extension(name: &str) -> Action {
    let is_one_of = |names: &[&str]| names.iter().any(|own| own.eq_ignore_ascii_case(name));
    let begins_with = |start: &&str| {
        let own = name.get(..start.len());
        own.is_some_and(|own| own.eq_ignore_ascii_case(start))
    };
    match () {
        () if is_one_of(&OURS_TO_SAY) => Action::Own,
        () if is_one_of(&GUARDED) => Action::Guarded,
        () if OF_MAKERS.iter().any(begins_with) => Action::TrustOut,
        () => Action::Strip,
    }
}

/// Whether configuration may pass or set the header. False for everything that makes up dialogs,
/// routing, authentication and identity: neither a list nor a routing answer can forge those.
pub fn is_configurable(name: &HeaderName) -> bool {
    match action(name) {
        Action::Own | Action::Map | Action::Guarded => false,
        Action::Pass | Action::PassToCore | Action::Trust | Action::TrustOut | Action::Strip => {
            true
        }
    }
}

/// Whether configuration may keep the header back.
pub fn may_be_stripped(name: &HeaderName) -> bool {
    is_configurable(name) || action(name) == Action::Guarded
}

/// Extension headers that carry identity or verdicts: only we may say these. And those that name servers of the other
/// side, which are nobody's business beyond it (SIP-420).
const OURS_TO_SAY: [&str; 7] = [
    "Attestation-Info",
    "Origination-Id",
    "P-Attestation-Indicator",
    "P-Charging-Function-Addresses",
    "P-Origination-Id",
    "P-User-Database",
    "Security-Verify",
];

/// Extension headers of a trust domain (RFC 5502, RFC 6050, RFC 6809, RFC 7315).
const GUARDED: [&str; 6] = [
    "Feature-Caps",
    "P-Asserted-Service",
    "P-Called-Party-ID",
    "P-Profile-Key",
    "P-Served-User",
    "P-Visited-Network-ID",
];

/// How headers begin that makers of exchanges have for their own trust domain.
const OF_MAKERS: [&str; 2] = ["P-Com.", "P-NokiaSiemens"];
