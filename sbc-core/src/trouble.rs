//! What an operator tells apart: the names of explanations, each with the cause code that it belongs to.
//!
//! A cause code is coarse, because metrics count by it. One of these names says what to look at: there are two
//! sentences for each in [`crate::report::explain()`], what happened and what to change.

use crate::cause::CauseCode;
use media_api::{AllocateError, HandshakeFault, OneWayKind};
use serde::{Serialize, Serializer};
use std::fmt;

/// Makes the names from one list, so that none can be without code or meaning.
macro_rules! troubles {
    ($($own:ident, $name:literal, $code:ident, $meaning:literal;)*) => {
        /// Stable name of what went wrong with a call. Renaming one is a breaking change.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Trouble {
            $(#[doc = $meaning] $own,)*
        }

        impl Trouble {
            /// Every name, in the order of their cause codes.
            pub const ALL: &[Self] = &[$(Self::$own,)*];

            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$own => $name,)*
                }
            }

            /// The cause code under which metrics and records have it.
            pub const fn code(self) -> CauseCode {
                match self {
                    $(Self::$own => CauseCode::$code,)*
                }
            }

            /// What it means, for a list of all.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$own => $meaning,)*
                }
            }
        }
    };
}

troubles! {
    NormalEnd, "normal_end", NormalClearing, "a party hung up after the answer, and nothing was wrong";
    AudioNoPackets, "audio_no_packets", NormalClearing, "one side was not heard: no packet of its audio arrived";
    AudioWrongSource, "audio_wrong_source", NormalClearing, "one side was not heard: its audio came from another address than it announced";
    AudioWrongKey, "audio_wrong_key", NormalClearing, "one side was not heard: its audio could not be decrypted";
    AudioKeyReused, "audio_key_reused", NormalClearing, "one side was not heard: it began anew under an encryption key of before";
    AudioWrongCodec, "audio_wrong_codec", NormalClearing, "one side was not heard: it sent a codec that was not agreed";
    AudioNoChecks, "audio_no_checks", NormalClearing, "one side was not heard: it could not reach our address with its ICE checks";
    AudioRefusedChecks, "audio_refused_checks", NormalClearing, "one side was not heard: its ICE checks had a wrong name or password";
    AudioNoHandshake, "audio_no_handshake", NormalClearing, "one side was not heard: the DTLS handshake for its keys did not come to an end";
    AudioSilence, "audio_silence", NormalClearing, "one side was not heard: it sent nothing but digital silence";
    AudioNotReceived, "audio_not_received", NormalClearing, "one side heard nothing: what we sent did not reach it";
    TransferRefused, "transfer_refused", NormalClearing, "a transfer was refused, and the call went on without it";
    TransferTargetFailed, "transfer_target_failed", NormalClearing, "whom the call was to be transferred to could not be had";
    CallerCancelled, "caller_gave_up", CallerCancelled, "the caller gave up before the answer";
    CallerDialledOn, "caller_dialled_on", CallerCancelled, "the caller dialled more digits, and the call went on under the longer number";
    CallerConnectionLost, "caller_connection_lost", CallerCancelled, "the caller's connection was lost before the answer";
    PeerRedirects, "peer_redirects", PeerRejected, "the called side sends the call elsewhere (3xx), which is not followed";
    PeerBadRequest, "peer_bad_request", PeerRejected, "the called side does not understand our INVITE (400)";
    PeerWantsLogin, "peer_wants_login", PeerRejected, "the called side wants a password, and the trunk has none (401, 407)";
    PeerRefusesLogin, "peer_refuses_login", PeerRejected, "the called side does not accept our password (401, 407)";
    PeerStaleLogin, "peer_stale_login", PeerRejected, "the called side says again and again that our proof is too old (401, 407 with stale)";
    PeerLoginRealm, "peer_login_realm", PeerRejected, "the called side wants a password for another realm than the trunk has one for (401, 407)";
    PeerLoginWeak, "peer_login_weak", PeerRejected, "the called side wants a proof by MD5, which the trunk does not allow (401, 407)";
    PeerLoginMethod, "peer_login_method", PeerRejected, "the called side wants a proof in a way that is not known here (401, 407)";
    PeerNoContact, "peer_no_contact", PeerRejected, "the called side's answer names no address for what follows (no Contact)";
    PeerWantsPayment, "peer_wants_payment", PeerRejected, "the called side wants to be paid (402)";
    PeerForbids, "peer_forbids", PeerRejected, "the called side forbids the call (403)";
    PeerNoMethod, "peer_takes_no_calls", PeerRejected, "what answers there takes no INVITE (405, 501)";
    PeerTooLarge, "peer_too_large", PeerRejected, "our INVITE is too large for the called side (413, 513)";
    PeerLongUri, "peer_long_uri", PeerRejected, "the address in our INVITE is too long for the called side (414)";
    PeerScheme, "peer_scheme", PeerRejected, "the called side does not know the kind of address in our INVITE (416)";
    PeerExtension, "peer_extension", PeerRejected, "the two sides do not agree on SIP extensions (420, 421)";
    PeerInterval, "peer_interval", PeerRejected, "the called side wants longer session intervals (422)";
    PeerWantsSignature, "peer_wants_signature", PeerRejected, "the called side accepts no caller whose number is not signed (428)";
    PeerBadSignature, "peer_bad_signature", PeerRejected, "the called side rejects the signature of the caller's number (436, 437, 438)";
    PeerAnonymous, "peer_no_anonymous", PeerRejected, "the called side takes no calls without a number (433)";
    PeerNoDialog, "peer_no_dialog", PeerRejected, "the called side says that it does not know the call (481)";
    PeerAmbiguous, "peer_ambiguous", PeerRejected, "the called number fits several parties (485)";
    PeerPending, "peer_pending", PeerRejected, "the called side says that another request is still under way (491)";
    PeerUndecipherable, "peer_undecipherable", PeerRejected, "the called side cannot decrypt the body of our INVITE (493)";
    PeerSecurity, "peer_security", PeerRejected, "the called side wants a security agreement first (494)";
    PeerFault, "peer_fault", PeerRejected, "the called side has a fault of its own (500 and other 5xx)";
    PeerGateway, "peer_gateway", PeerRejected, "what stands behind the called side gives it wrong answers (502)";
    PeerOverloaded, "peer_unavailable", PeerRejected, "the called side cannot serve the call now (503)";
    PeerPause, "peer_pause", PeerRejected, "the called side wants a pause before the next call (503 with Retry-After)";
    PeerVersion, "peer_version", PeerRejected, "what answers there speaks another version of SIP (505)";
    PeerPrecondition, "peer_precondition", PeerRejected, "the called side cannot meet a precondition of the call (580)";
    PeerDeclines, "peer_declines", PeerRejected, "the called party declines the call (603)";
    PeerUnwanted, "peer_unwanted", PeerRejected, "the called party does not want calls of this number (607)";
    PeerFiltered, "peer_filtered", PeerRejected, "a filter before the called party rejects the call (608)";
    PeerRefuses, "peer_refuses", PeerRejected, "the called side refuses with a status that has no sentence of its own";
    PeerBusy, "peer_is_busy", PeerBusy, "the called party is busy (486)";
    PeerBusyEverywhere, "peer_busy_everywhere", PeerBusy, "the called party is busy at all of its places (600)";
    RingTimeout, "ring_timeout", NoAnswer, "it rang, and nobody answered within our limit";
    PeerAbsent, "peer_absent", NoAnswer, "the called party cannot be reached now (480)";
    PeerGaveUp, "peer_gave_up", NoAnswer, "the called side gave up waiting (408)";
    PeerTerminated, "peer_terminated", NoAnswer, "the called side ended the call, though we had not cancelled it (487)";
    InvitationExpired, "invitation_expired", NoAnswer, "the caller's own time for an answer (Expires) was over";
    EarlyMediaTooLong, "early_media_too_long", NoAnswer, "media before the answer lasted longer than allowed";
    SetupTooLong, "setup_too_long", NoAnswer, "the longest time for a set-up was over";
    PeerUnknownNumber, "peer_unknown_number", NumberUnknown, "the called side does not know the number (404)";
    PeerNumberGone, "peer_number_gone", NumberUnknown, "the called number is in use no more (410)";
    PeerNumberIncomplete, "peer_number_incomplete", NumberUnknown, "the called side finds the number too short or of a wrong form (484)";
    PeerNumberNowhere, "peer_number_nowhere", NumberUnknown, "the called number exists nowhere, as the called side knows (604)";
    NumberForm, "number_form", NumberUnknown, "the number has not the form that the called side takes";
    NumberOfNoTenant, "number_of_no_tenant", NumberUnknown, "the called number belongs to no tenant here";
    NumberIncomplete, "number_incomplete", NumberUnknown, "the called number is too short for one of a tenant's";
    NumberImpossible, "number_impossible", NumberUnknown, "the called number has more digits than any number has";
    NumberMissing, "number_missing", NumberUnknown, "the request names no number to call";
    NoRoute, "no_matching_route", NoRoute, "no route matches";
    EmergencyNoRoute, "emergency_no_route", NoRoute, "no route matches a call for help";
    RoutesClosed, "routes_closed", NoRoute, "every route for the call is closed at this time, as its schedule says";
    NoSecureRoute, "no_secure_route", NoRoute, "the caller wants TLS at every hop, and no route has it";
    CalleeBusy, "callee_busy", Presence, "the called user is busy, as Microsoft says, and the route refuses then";
    CalleeAbsent, "callee_absent", Presence, "the called user is absent, as Microsoft says, and the route refuses then";
    CallerNumber, "caller_number", CallerNotAllowed, "the caller shows a number that is not its own";
    CallerUnsigned, "caller_unsigned", CallerNotAllowed, "the caller's number has no signature, and its trunk demands one";
    CallerSignature, "caller_signature", CallerNotAllowed, "the signature of the caller's number is wrong or cannot be checked";
    ForwardedTooOften, "forwarded_too_often", LoopDetected, "the call has been forwarded too often";
    HopsUsedUp, "hops_used_up", LoopDetected, "the call came over as many servers as it may (Max-Forwards 0)";
    HopsTooFew, "hops_too_few", LoopDetected, "the call comes from farther than its trunk allows";
    BranchesUsedUp, "branches_used_up", LoopDetected, "the call was split as often as it may (Max-Breadth 0)";
    CallInCircle, "call_in_circle", LoopDetected, "the same call is set up through us again and again";
    CallBeenHere, "call_been_here", LoopDetected, "the called side sent the call back to us unchanged";
    RedirectLoop, "redirect_loop", LoopDetected, "the called side redirects the call to where it has been";
    PeerLoop, "peer_loop", LoopDetected, "the called side finds that the call goes in a circle (482)";
    PeerHops, "peer_hops", LoopDetected, "behind the called side the call went over too many servers (483)";
    BadRequest, "bad_invite", BadRequest, "the caller's INVITE breaks a rule that has no name of its own";
    LocalNumber, "local_number", BadRequest, "the called number is a local one, and nothing says of where";
    PrivacyUnknown, "privacy_unknown", BadRequest, "the caller insists on a kind of privacy that nobody knows";
    RequestTooLarge, "request_too_large", BadRequest, "the caller's INVITE is larger than its trunk may send";
    IntervalTooShort, "interval_too_short", BadRequest, "the caller wants its session refreshed more often than allowed";
    ReliabilityMissing, "reliability_missing", BadRequest, "the caller cannot confirm provisional answers, which its trunk demands";
    NoAudioLine, "media_no_audio", MediaIncompatible, "the description has no audio";
    BadDescription, "media_bad_description", MediaIncompatible, "the description of the media (SDP) breaks its rules";
    TooManyLines, "media_too_many_lines", MediaIncompatible, "the description has more media lines than are read";
    MediaOff, "media_off", MediaIncompatible, "the description has its audio switched off (port 0)";
    MediaTransport, "media_transport", MediaIncompatible, "the media transport is not one that the trunk has";
    SrtpMissing, "srtp_missing", MediaIncompatible, "plain RTP is described, and the trunk demands SRTP";
    SrtpOff, "srtp_off", MediaIncompatible, "SRTP is described, and the trunk has it switched off";
    SrtpKey, "srtp_key", MediaIncompatible, "no SRTP key in the description can be used";
    DtlsOff, "dtls_off", MediaIncompatible, "DTLS-SRTP is described, and the trunk does not have it";
    DtlsMissing, "dtls_missing", MediaIncompatible, "the trunk demands DTLS-SRTP, and the description has none";
    DtlsNoFingerprint, "dtls_no_fingerprint", MediaIncompatible, "DTLS-SRTP is described without the fingerprint of a certificate";
    DtlsSetup, "dtls_setup", MediaIncompatible, "who begins the DTLS handshake is described wrongly";
    MediaNoAddress, "media_no_address", MediaIncompatible, "the description names no usable address";
    MediaFamily, "media_family", MediaIncompatible, "the description names an address of the other IP version";
    MediaOwnPlace, "media_own_place", MediaIncompatible, "the description names an address of our own";
    MediaLowPort, "media_low_port", MediaIncompatible, "the description names a port below 1024";
    MediaPortCount, "media_port_count", MediaIncompatible, "the description has several ports on one line";
    NoCodec, "no_codec", MediaIncompatible, "the description has no codec that its trunk allows";
    NoCommonCodec, "no_common_codec", MediaIncompatible, "the two trunks have no codec in common";
    NoFax, "no_fax", MediaIncompatible, "a fax over T.38, and one trunk carries faxes in the audio only";
    AnswerMismatch, "answer_mismatch", MediaIncompatible, "the answer accepts nothing of what was offered";
    MediaOutOfOrder, "media_out_of_order", MediaIncompatible, "a description came when none was expected";
    MediaPath, "media_path", MediaIncompatible, "the way of the media that Teams names does not lead here";
    PartyCodec, "party_codec", MediaIncompatible, "a party refuses the codec of whom it was transferred to";
    PeerRefusesMedia, "peer_refuses_media", MediaIncompatible, "the called side accepts none of the media offered (488, 606)";
    PeerRefusesBody, "peer_refuses_body", MediaIncompatible, "the called side does not read the kind of body that our INVITE has (415)";
    PeerNotAcceptable, "peer_not_acceptable", MediaIncompatible, "the called side has no answer that we would accept (406)";
    PortsExhausted, "ports_exhausted", MediaUnavailable, "no media ports are left";
    RealmNoAddress, "realm_no_address", MediaUnavailable, "a realm has no address of the IP version that is needed";
    SocketsRefused, "sockets_refused", MediaUnavailable, "the operating system refuses sockets for media";
    RelayConflict, "relay_conflict", MediaUnavailable, "signalling and media relay contradict each other";
    RelayUnavailable, "relay_unavailable", MediaUnavailable, "the media relay stops or is overloaded";
    RelayLost, "relay_lost", MediaUnavailable, "the process of the media relay ended during the call";
    MediaNeverCame, "media_never_came", MediaTimeout, "no media came from one side from the beginning";
    MediaStopped, "media_stopped", MediaTimeout, "the media of one side stopped";
    DtlsFingerprint, "dtls_fingerprint", HandshakeFailed, "the certificate in the DTLS handshake is another one than described";
    DtlsTimeout, "dtls_timeout", HandshakeFailed, "the DTLS handshake was not answered";
    DtlsHandshake, "dtls_handshake", HandshakeFailed, "the two ends of the DTLS handshake have nothing in common";
    DtlsClosed, "dtls_closed", HandshakeFailed, "the other end closed the DTLS association";
    ConnectionRefused, "connection_refused", PeerUnreachable, "the connection was refused, or there is no way to the address";
    ConnectionTimeout, "connection_timeout", PeerUnreachable, "the connection was not answered";
    TlsFailed, "tls_failed", PeerUnreachable, "the TLS handshake failed";
    TlsExpired, "tls_expired", PeerUnreachable, "the peer's TLS certificate has expired";
    TlsNotYet, "tls_not_yet_valid", PeerUnreachable, "the peer's TLS certificate is not valid yet";
    TlsAuthority, "tls_unknown_authority", PeerUnreachable, "the peer's TLS certificate comes from an authority that is not trusted here";
    TlsPurpose, "tls_wrong_purpose", PeerUnreachable, "the peer's TLS certificate is not made for servers (extended key usage)";
    TlsRevoked, "tls_revoked", PeerUnreachable, "the peer's TLS certificate is revoked";
    TlsCertificate, "tls_certificate", PeerUnreachable, "the peer's TLS certificate is not acceptable";
    TlsAlert, "tls_not_accepted", PeerUnreachable, "the peer does not accept our TLS certificate";
    TlsName, "tls_wrong_name", PeerUnreachable, "the peer's TLS certificate is for another name";
    TlsTimeout, "tls_timeout", PeerUnreachable, "the peer takes the connection and does not speak TLS";
    ConnectionClosed, "connection_closed", PeerUnreachable, "the peer closed the connection";
    ConnectionBroken, "connection_broken", PeerUnreachable, "the connection broke";
    ConnectionStuck, "connection_stuck", PeerUnreachable, "the peer does not read what we send";
    NotSip, "not_sip", PeerUnreachable, "what answers is not a SIP server";
    ConnectionIdle, "connection_idle", PeerUnreachable, "an idle connection was closed when the call came";
    NoListener, "no_listener", PeerUnreachable, "no listener of ours can reach the peer's address";
    DnsUnknown, "dns_unknown", PeerUnreachable, "the peer's host name has no address in DNS";
    DnsTimeout, "dns_timeout", PeerUnreachable, "DNS did not answer";
    DnsFailure, "dns_failure", PeerUnreachable, "DNS answered with an error";
    TargetPaused, "target_paused", PeerUnreachable, "the peer asked for a pause, and it is not over";
    TargetRelieved, "target_relieved", PeerUnreachable, "the peer asked for fewer calls, and this was one too many";
    TargetsDown, "targets_down", PeerUnreachable, "no target of the trunk answers our OPTIONS";
    NotRegistered, "not_registered", PeerUnreachable, "the trunk is not registered with its peer";
    NoBinding, "no_binding", PeerUnreachable, "the peer has not registered with us";
    NumberUnwritable, "number_unwritable", PeerRejected, "transforms made a number that cannot be written";
    NothingTried, "nothing_tried", PeerUnreachable, "there was no target to be tried";
    PeerSilent, "peer_silent", PeerTimeout, "nothing came back from the peer";
    PeerGatewayTimeout, "peer_gateway_timeout", PeerTimeout, "what stands behind the called side did not answer it (504)";
    NoPrack, "no_prack", PeerTimeout, "the caller's side did not confirm a provisional answer (no PRACK)";
    NoAck, "ack_never_came", NoAck, "the caller's side never acknowledged the answer (no ACK)";
    InCallRefused, "in_call_refused", InCallFailure, "a party says that it does not know the call any more";
    InCallUnanswered, "in_call_unanswered", InCallFailure, "a party did not answer a request within the call";
    SessionExpired, "session_expired", InCallFailure, "nobody refreshed the session in time";
    TransferLeftNobody, "transfer_left_nobody", TransferFailed, "a transfer failed after the party that asked for it had left";
    ReplacedLeft, "replaced_left", TransferFailed, "the party that was to be replaced left before that had worked";
    NodeFull, "node_full", LimitReached, "the node has as many calls as it may";
    TrunkFull, "trunk_full", LimitReached, "a trunk has as many calls as it may";
    TenantFull, "tenant_full", LimitReached, "a tenant has as many calls as it may";
    RouteFull, "route_full", LimitReached, "a route has as many calls as it may";
    NumbersFull, "numbers_full", LimitReached, "a limit on certain numbers has as many calls as it may";
    TranscodingFull, "transcoding_full", LimitReached, "as many calls are transcoded as may be";
    RateReached, "rate_reached", LimitReached, "there were as many new calls in this time as may be";
    SetupsReached, "setups_reached", LimitReached, "as many calls wait for an answer as may";
    BandwidthReached, "bandwidth_reached", LimitReached, "the calls use as much bandwidth as they may";
    CallTooLong, "call_too_long", LimitReached, "the longest time for a call was over";
    LineHeldTooLong, "line_held_too_long", LimitReached, "the line of a call for help was held as long as may be";
    Preempted, "gave_way", Preempted, "it was ended to make room for a call for help";
    SpendReached, "money_spent", SpendReached, "calls like this one have cost as much as they may";
    TrunkDisabled, "trunk_disabled", TrunkClosed, "an operator has disabled the trunk";
    TrunkDrains, "trunk_drains", TrunkClosed, "an operator drains the trunk: it has no new calls";
    EndedByOperator, "ended_by_operator", Operator, "an operator ended the call";
    TrunkRemoved, "trunk_removed", Operator, "a reload took away the trunk of the call, and the time that it had left was over";
    NodeStopped, "node_stopped", Operator, "the node stopped";
    RestartLost, "daemon_lost", RestartLost, "the daemon ended without a word while the call was up";
    InternalError, "internal_defect", InternalError, "an error in this program";
}

impl Serialize for Trouble {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<AllocateError> for Trouble {
    fn from(why: AllocateError) -> Self {
        match why {
            AllocateError::PortsExhausted => Self::PortsExhausted,
            AllocateError::NoAddress => Self::RealmNoAddress,
            AllocateError::Socket => Self::SocketsRefused,
            AllocateError::Conflict => Self::RelayConflict,
            AllocateError::Unavailable => Self::RelayUnavailable,
        }
    }
}

impl From<HandshakeFault> for Trouble {
    fn from(why: HandshakeFault) -> Self {
        match why {
            HandshakeFault::Fingerprint => Self::DtlsFingerprint,
            HandshakeFault::Timeout => Self::DtlsTimeout,
            HandshakeFault::Handshake => Self::DtlsHandshake,
            HandshakeFault::Closed => Self::DtlsClosed,
        }
    }
}

impl From<OneWayKind> for Trouble {
    fn from(kind: OneWayKind) -> Self {
        match kind {
            OneWayKind::NoPackets => Self::AudioNoPackets,
            OneWayKind::WrongSource => Self::AudioWrongSource,
            OneWayKind::DecryptFailures => Self::AudioWrongKey,
            OneWayKind::KeyReused => Self::AudioKeyReused,
            OneWayKind::WrongPayloadType => Self::AudioWrongCodec,
            OneWayKind::NoChecks => Self::AudioNoChecks,
            OneWayKind::RefusedChecks => Self::AudioRefusedChecks,
            OneWayKind::NoHandshake => Self::AudioNoHandshake,
            OneWayKind::Silence => Self::AudioSilence,
            OneWayKind::NotReceived => Self::AudioNotReceived,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_is_its_own_and_every_cause_code_has_one() {
        let names: BTreeSet<&str> = Trouble::ALL.iter().map(|own| own.as_str()).collect();
        assert_eq!(names.len(), Trouble::ALL.len());
        let meanings: BTreeSet<&str> = Trouble::ALL.iter().map(|own| own.meaning()).collect();
        assert_eq!(meanings.len(), Trouble::ALL.len());
        assert!(names.iter().all(|name| {
            let is_word = |own: char| own.is_ascii_lowercase() || own == '_';
            name.chars().all(is_word)
        }));
        let codes: BTreeSet<CauseCode> = Trouble::ALL.iter().map(|own| own.code()).collect();
        assert_eq!(codes.len(), CauseCode::ALL.len());
        // No list has two things of one name.
        let shared = CauseCode::ALL
            .iter()
            .find(|code| names.contains(code.as_str()));
        assert_eq!(shared, None);
    }
}
