//! What happened, in one sentence for each name.

use super::Case;
use crate::record::{Record, TransferRecord};
use crate::report::one_way::{advice, whom};
use crate::trouble::Trouble;

/// What happened.
pub(super) fn why(case: &Case<'_>) -> String {
    let Case { record, name, .. } = case;
    let (a, b, number) = (case.caller(), case.called(), case.number());
    let (details, facts) = (|| case.details(), || case.facts());
    match name {
        Trouble::NormalEnd => format!("{}ended normally", lasted(record)),
        Trouble::AudioNoPackets
        | Trouble::AudioWrongSource
        | Trouble::AudioWrongKey
        | Trouble::AudioKeyReused
        | Trouble::AudioWrongCodec
        | Trouble::AudioNoChecks
        | Trouble::AudioRefusedChecks
        | Trouble::AudioNoHandshake
        | Trouble::AudioSilence
        | Trouble::AudioNotReceived => unheard(case),
        Trouble::TransferRefused => transfer(record, "was refused"),
        Trouble::TransferTargetFailed => transfer(record, "failed"),
        Trouble::CallerCancelled => "the caller gave up before anybody answered".to_owned(),
        Trouble::CallerDialledOn => {
            format!(
                "the caller dialled more digits than {number}, so another call took the place of this one"
            )
        }
        Trouble::CallerConnectionLost => format!(
            "the connection from {a} was lost before the answer, and the caller with it{}",
            facts()
        ),
        Trouble::PeerRedirects => {
            format!(
                "{b} sends the call elsewhere, and that is not followed{}{}",
                details(),
                case.onward()
            )
        }
        Trouble::PeerBadRequest => format!("{b} does not understand our INVITE{}", details()),
        Trouble::PeerWantsLogin
        | Trouble::PeerLoginRealm
        | Trouble::PeerLoginWeak
        | Trouble::PeerLoginMethod => {
            format!(
                "{b} wants us to prove who we are, and cannot be given that{}",
                details()
            )
        }
        Trouble::PeerRefusesLogin => {
            format!(
                "{b} does not accept user name and password of the trunk{}",
                details()
            )
        }
        Trouble::PeerStaleLogin => {
            format!(
                "{b} says again and again that our proof of who we are is too old{}",
                details()
            )
        }
        Trouble::PeerNoContact => format!(
            "{b} answered without naming an address for what follows (no Contact), so the call could not be kept"
        ),
        Trouble::PeerWantsPayment => {
            format!("{b} wants to be paid before it takes the call{}", details())
        }
        Trouble::PeerForbids => format!("{b} forbids the call{}", details()),
        Trouble::PeerNoMethod => format!("what answers for {b} takes no calls{}", details()),
        Trouble::PeerTooLarge => format!("our INVITE is too large for {b}{}", details()),
        Trouble::PeerLongUri => {
            format!(
                "the address in the first line of our INVITE is too long for {b}{}",
                details()
            )
        }
        Trouble::PeerScheme => {
            format!(
                "{b} does not know the kind of address (sip:, sips:, tel:) in our INVITE{}",
                details()
            )
        }
        Trouble::PeerExtension => format!(
            "{b} and this SBC do not agree on which extensions of SIP the call needs{}",
            details()
        ),
        Trouble::PeerInterval => format!(
            "{b} wants the session of the call refreshed less often than we offered{}",
            details()
        ),
        Trouble::PeerWantsSignature => {
            format!(
                "{b} takes no call whose number is not signed (STIR){}",
                details()
            )
        }
        Trouble::PeerBadSignature => {
            format!(
                "{b} does not accept the signature (STIR) of the caller's number{}",
                details()
            )
        }
        Trouble::PeerAnonymous => format!(
            "{b} takes no calls of callers who hide their number{}",
            details()
        ),
        Trouble::PeerNoDialog => {
            format!(
                "{b} says that our INVITE belongs to a call that it does not know{}",
                details()
            )
        }
        Trouble::PeerAmbiguous => format!(
            "at {b} the number {number} fits several parties{}",
            details()
        ),
        Trouble::PeerPending => format!(
            "{b} says that another request is still under way{}",
            details()
        ),
        Trouble::PeerUndecipherable => {
            format!("{b} cannot decrypt the body of our INVITE{}", details())
        }
        Trouble::PeerSecurity => {
            format!(
                "{b} wants to agree on a kind of security first (RFC 3329), which we do not do{}",
                details()
            )
        }
        Trouble::PeerFault => format!("{b} has a fault of its own{}", details()),
        Trouble::PeerGateway => {
            format!(
                "{b} got a wrong answer from what stands behind it{}",
                details()
            )
        }
        Trouble::PeerOverloaded => format!("{b} cannot serve the call now{}", details()),
        Trouble::PeerPause => format!(
            "{b} cannot serve the call now, and wants no other for a while (Retry-After){}",
            details()
        ),
        Trouble::PeerVersion => format!("what answers for {b} does not speak SIP 2.0{}", details()),
        Trouble::PeerPrecondition => format!(
            "{b} cannot meet a precondition of the call, mostly reserved bandwidth{}",
            details()
        ),
        Trouble::PeerDeclines => format!("the called party declines the call{}", details()),
        Trouble::PeerUnwanted => format!(
            "the called party does not want calls of this number{}",
            details()
        ),
        Trouble::PeerFiltered => {
            format!(
                "a filter before the called party rejects the call{}",
                details()
            )
        }
        Trouble::PeerRefuses => format!("the called side refused the call{}", details()),
        Trouble::PeerBusy => format!("the called party is busy{}", details()),
        Trouble::PeerBusyEverywhere => {
            format!("the called party is busy at all of its places{}", details())
        }
        Trouble::RingTimeout => format!("it rang at {b}, and nobody answered in time{}", details()),
        Trouble::PeerAbsent => format!("the called party cannot be reached now{}", details()),
        Trouble::PeerGaveUp => {
            format!(
                "{b} gave up waiting for an answer of the called party{}",
                details()
            )
        }
        Trouble::PeerTerminated => {
            format!(
                "{b} ended the call before the answer, though we had not cancelled it{}",
                details()
            )
        }
        Trouble::InvitationExpired => {
            "nobody answered within the time that the caller's INVITE gave (Expires)".to_owned()
        }
        Trouble::EarlyMediaTooLong => format!(
            "the caller heard media of {b} before an answer for longer than allowed, and nobody answered"
        ),
        Trouble::SetupTooLong => {
            "nobody answered within the longest time that a set-up may take".to_owned()
        }
        Trouble::PeerUnknownNumber => {
            format!(
                "the called side does not know the number {number}{}",
                details()
            )
        }
        Trouble::PeerNumberGone => {
            format!(
                "the number {number} is not in use at the called side any more{}",
                details()
            )
        }
        Trouble::PeerNumberIncomplete => {
            format!(
                "the called side finds the number {number} too short or of a wrong form{}",
                details()
            )
        }
        Trouble::PeerNumberNowhere => {
            format!(
                "the called side knows that the number {number} exists nowhere{}",
                details()
            )
        }
        Trouble::NumberForm => format!(
            "the number {number} has not the form that {b} takes, so nobody was called{}",
            details()
        ),
        Trouble::NumberOfNoTenant => {
            format!(
                "the number {number} belongs to no tenant here, so nobody was called{}",
                facts()
            )
        }
        Trouble::NumberIncomplete => {
            format!("the caller did not dial to the end{}", facts())
        }
        Trouble::NumberImpossible => format!("the called number cannot exist{}", facts()),
        Trouble::NumberMissing => {
            format!("the call from {a} names no number: its Request-URI has none")
        }
        Trouble::RoutesClosed => record.cause.because.0.join("; "),
        // Routing says so itself, and what it looked at.
        Trouble::NoRoute if !record.cause.because.0.is_empty() => record.cause.because.0.join("; "),
        Trouble::NoRoute => format!("no route matches a call from {a} to {number}"),
        Trouble::EmergencyNoRoute => {
            format!("a call for help from {a} to {number} reached nobody{}", facts())
        }
        Trouble::NoSecureRoute => format!(
            "the caller at {a} wants TLS at every hop (sips:), and no trunk of the route to {number} has it"
        ),
        Trouble::CalleeBusy | Trouble::CalleeAbsent => {
            format!(
                "the called user takes no calls now, as Microsoft says{}",
                facts()
            )
        }
        Trouble::CallerNumber => {
            format!("the caller shows a number that is not its own{}", facts())
        }
        Trouble::CallerUnsigned => {
            format!("the caller's number has no signature, and {a} demands one (STIR)")
        }
        Trouble::CallerSignature => {
            format!(
                "nobody vouches for the caller's number: its signature (STIR) is not good{}",
                facts()
            )
        }
        Trouble::ForwardedTooOften => {
            format!("the call was forwarded too often{}{}", details(), facts())
        }
        Trouble::HopsUsedUp => {
            format!(
                "the call came to {a} over as many servers as it may{}{}",
                details(),
                facts()
            )
        }
        Trouble::HopsTooFew => {
            format!(
                "the call came to {a} over more servers than that trunk allows{}{}",
                details(),
                facts()
            )
        }
        Trouble::BranchesUsedUp => {
            format!(
                "the call was split over too many parties before it came to {a}{}{}",
                details(),
                facts()
            )
        }
        Trouble::CallInCircle | Trouble::CallBeenHere => {
            format!("the call goes in a circle{}{}", details(), facts())
        }
        Trouble::RedirectLoop => {
            format!(
                "{b} redirects the call to where it has been already{}{}",
                details(),
                case.onward()
            )
        }
        Trouble::PeerLoop => format!("{b} finds that the call goes in a circle{}", details()),
        Trouble::PeerHops => {
            format!(
                "behind {b} the call went over too many servers, as in a circle{}",
                details()
            )
        }
        Trouble::BadRequest => {
            format!(
                "the caller's INVITE cannot be served{}{}",
                details(),
                facts()
            )
        }
        Trouble::LocalNumber => {
            format!(
                "the caller dialled a local number, and does not say of which place{}{}",
                details(),
                facts()
            )
        }
        Trouble::PrivacyUnknown => {
            format!(
                "the caller's wish for privacy cannot be met{}{}",
                details(),
                facts()
            )
        }
        Trouble::RequestTooLarge => {
            format!("the caller's INVITE is too large{}{}", details(), facts())
        }
        Trouble::IntervalTooShort => {
            format!(
                "the caller's session would have to be refreshed too often{}{}",
                details(),
                facts()
            )
        }
        Trouble::ReliabilityMissing => {
            format!(
                "the caller's INVITE lacks an extension of SIP (100rel){}{}",
                details(),
                facts()
            )
        }
        Trouble::NoAudioLine
        | Trouble::BadDescription
        | Trouble::TooManyLines
        | Trouble::MediaOff
        | Trouble::MediaTransport
        | Trouble::SrtpMissing
        | Trouble::SrtpOff
        | Trouble::SrtpKey
        | Trouble::DtlsOff
        | Trouble::DtlsMissing
        | Trouble::DtlsNoFingerprint
        | Trouble::DtlsSetup
        | Trouble::MediaNoAddress
        | Trouble::MediaFamily
        | Trouble::MediaOwnPlace
        | Trouble::MediaLowPort
        | Trouble::MediaPortCount
        | Trouble::NoCodec
        | Trouble::AnswerMismatch
        | Trouble::MediaOutOfOrder => format!(
            "the description of the media (SDP) from {} cannot be used{}{}",
            case.describer(),
            facts(),
            case.told()
        ),
        Trouble::NoCommonCodec => {
            format!("the two sides share no codec{}{}", facts(), case.told())
        }
        Trouble::NoFax => {
            format!(
                "the call is a fax (T.38) that one side cannot carry{}{}",
                facts(),
                case.told()
            )
        }
        Trouble::MediaPath => {
            format!(
                "the way of the media that Teams names does not lead to {a}{}{}",
                facts(),
                case.told()
            )
        }
        Trouble::PartyCodec => format!("two parties of a transfer share no codec{}", facts()),
        Trouble::PeerRefusesMedia => {
            format!(
                "{b} accepts none of the codecs and protections that were offered{}",
                details()
            )
        }
        Trouble::PeerRefusesBody => {
            format!(
                "{b} does not read the kind of body that our INVITE has{}",
                details()
            )
        }
        Trouble::PeerNotAcceptable => {
            format!(
                "{b} says that it could answer nothing that we accept{}",
                details()
            )
        }
        Trouble::PortsExhausted => format!("no media ports are left in the realm of {a} or in that of the called side"),
        Trouble::RealmNoAddress => "no media ports could be reserved: a realm has no address of the IP version that is needed".to_owned(),
        Trouble::SocketsRefused => "no media ports could be reserved: the operating system refuses sockets for them".to_owned(),
        Trouble::RelayConflict => "no media ports could be reserved: signalling and media relay contradict each other".to_owned(),
        Trouble::RelayUnavailable => "no media ports could be reserved: the media relay stops or is overloaded".to_owned(),
        Trouble::RelayLost => format!("the media of the call were lost{}", facts()),
        Trouble::MediaNeverCame => format!(
            "no media came from {} from the beginning{}",
            case.silent(),
            facts()
        ),
        Trouble::MediaStopped => {
            format!(
                "the media from {} stopped for too long{}",
                case.silent(),
                facts()
            )
        }
        Trouble::DtlsFingerprint
        | Trouble::DtlsTimeout
        | Trouble::DtlsHandshake
        | Trouble::DtlsClosed => format!(
            "the two ends of the media agreed on no keys, so nothing could be heard{}",
            facts()
        ),
        Trouble::ConnectionRefused
        | Trouble::ConnectionTimeout
        | Trouble::TlsFailed
        | Trouble::TlsExpired
        | Trouble::TlsNotYet
        | Trouble::TlsAuthority
        | Trouble::TlsPurpose
        | Trouble::TlsRevoked
        | Trouble::TlsCertificate
        | Trouble::TlsAlert
        | Trouble::TlsName
        | Trouble::TlsTimeout
        | Trouble::ConnectionClosed
        | Trouble::ConnectionBroken
        | Trouble::ConnectionStuck
        | Trouble::NotSip
        | Trouble::ConnectionIdle
        | Trouble::NoListener
        | Trouble::DnsUnknown
        | Trouble::DnsTimeout
        | Trouble::DnsFailure
        | Trouble::TargetPaused
        | Trouble::TargetRelieved
        | Trouble::TargetsDown
        | Trouble::NotRegistered
        | Trouble::NoBinding
        => unreachable(case),
        Trouble::NumberUnwritable => format!(
            "nobody was called: a [[transform]] of {b} made of {number} what no message can carry"
        ),
        Trouble::NothingTried => format!("no target could be reached{}", facts()),
        Trouble::PeerSilent => format!("{} did not answer our INVITE in time", case.target()),
        Trouble::PeerGatewayTimeout => {
            format!("{b} got no answer from what stands behind it{}", details())
        }
        Trouble::NoPrack => format!(
            "the caller's side never confirmed a provisional answer that has to be confirmed (no PRACK){}",
            facts()
        ),
        Trouble::NoAck => format!(
            "the caller's side, {a}, never acknowledged the answer (no ACK){}",
            facts()
        ),
        Trouble::InCallRefused => {
            format!("a party does not know the call any more{}", facts())
        }
        Trouble::InCallUnanswered => format!(
            "a party left a request within the call unanswered{}",
            facts()
        ),
        Trouble::SessionExpired => {
            format!(
                "the call was thought dead, because it was not refreshed{}",
                facts()
            )
        }
        Trouble::TransferLeftNobody | Trouble::ReplacedLeft => {
            format!("nobody was left to talk to{}", facts())
        }
        Trouble::NodeFull
        | Trouble::TrunkFull
        | Trouble::TenantFull
        | Trouble::RouteFull
        | Trouble::NumbersFull
        | Trouble::TranscodingFull
        | Trouble::RateReached
        | Trouble::SetupsReached
        | Trouble::BandwidthReached => format!("a limit was reached{}{}", facts(), case.told()),
        Trouble::CallTooLong => format!(
            "{}reached the longest time that a call may last",
            lasted(record)
        ),
        Trouble::LineHeldTooLong => format!("a limit was reached{}", facts()),
        Trouble::Preempted => format!("the call gave way to a call for help{}", facts()),
        Trouble::SpendReached => format!(
            "the money for such calls is spent{}{}",
            facts(),
            case.told()
        ),
        Trouble::TrunkDisabled | Trouble::TrunkDrains => {
            format!("an operator keeps new calls away{}{}", facts(), case.told())
        }
        Trouble::EndedByOperator | Trouble::TrunkRemoved | Trouble::NodeStopped => {
            format!("the call was ended on command{}", facts())
        }
        Trouble::RestartLost => format!("the daemon ended while the call was up{}", facts()),
        Trouble::InternalError => format!("an error in this program{}", facts()),
    }
}

fn lasted(record: &Record) -> String {
    format!(
        "the call lasted {:.1} s and ",
        record.duration_ms as f64 / 1000.0
    )
}

/// Who was not heard of a call that ended normally, and what was seen of its audio.
fn unheard(case: &Case<'_>) -> String {
    let record = case.record;
    let Some(fault) = record.one_way.first() else {
        return format!("{}ended normally", lasted(record));
    };
    let (leg, trunk) = (fault.leg.0, case.trunk_of(fault.leg));
    format!(
        "{}was hung up, but leg {leg} (trunk \"{trunk}\") {}: {}",
        lasted(record),
        whom(fault.kind, true),
        advice(fault.kind).seen
    )
}

/// A call that went on without a transfer that was asked for.
fn transfer(record: &Record, became: &str) -> String {
    let Some(TransferRecord {
        trunk,
        target,
        status,
        because,
        ..
    }) = record.transfers.last()
    else {
        return format!("{}ended normally", lasted(record));
    };
    let status = status
        .map(super::status_text)
        .map(|text| format!(" with {text}"));
    let because = match because.0.is_empty() {
        true => String::new(),
        false => format!(": {}", because.0.join("; ")),
    };
    format!(
        "{}was hung up, but its transfer by trunk \"{trunk}\" to {} {became}{}{because}",
        lasted(record),
        target.escape_debug(),
        status.unwrap_or_default()
    )
}

/// Why none of the targets was reached: what became of the last one.
fn unreachable(case: &Case<'_>) -> String {
    let fault = case.last.and_then(|attempt| attempt.fault.as_ref());
    let what = fault.map_or_else(|| case.facts(), |fault| format!(": {fault}"));
    format!(
        "no target could be reached; the last one was {}{what}",
        case.target()
    )
}
