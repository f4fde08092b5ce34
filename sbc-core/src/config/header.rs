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

        HeaderName::AcceptContact
        | HeaderName::AlertInfo
        | HeaderName::ErrorInfo
        | HeaderName::Geolocation
        | HeaderName::MediaPath
        | HeaderName::PAccessNetworkInfo
        | HeaderName::PAssociatedUri
        | HeaderName::PChargingVector
        | HeaderName::PEarlyMedia
        | HeaderName::RejectContact
        | HeaderName::ReplyTo
        | HeaderName::RequestDisposition
        | HeaderName::UserLocation
        | HeaderName::UserSite
        | HeaderName::UserToUser => Action::Strip,

        HeaderName::Other(name) => match is_guarded_extension(name.as_str()) {
            true => Action::Own,
            false => Action::Strip,
        },
    }
}

/// Whether configuration may pass or set the header. False for everything that makes up dialogs,
/// routing, authentication and identity: neither a list nor a routing answer can forge those.
pub fn is_configurable(name: &HeaderName) -> bool {
    match action(name) {
        Action::Own | Action::Map => false,
        Action::Pass | Action::PassToCore | Action::Trust | Action::Strip => true,
    }
}

/// Extension headers that carry identity or verdicts of a trust domain: only we may say these.
fn is_guarded_extension(name: &str) -> bool {
    const GUARDED: [&str; 13] = [
        "Attestation-Info",
        "Feature-Caps",
        "Origination-Id",
        "P-Asserted-Service",
        "P-Attestation-Indicator",
        "P-Called-Party-ID",
        "P-Charging-Function-Addresses",
        "P-Origination-Id",
        "P-Profile-Key",
        "P-Served-User",
        "P-User-Database",
        "P-Visited-Network-ID",
        "Security-Verify",
    ];
    GUARDED.iter().any(|own| own.eq_ignore_ascii_case(name))
}
