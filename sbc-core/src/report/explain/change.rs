//! What to change, for each name: what is most promising comes first.

use super::Case;
use crate::event::TargetFault;
use crate::transport::FlowFault;
use crate::trouble::Trouble;

/// What to change; empty where nothing is wrong.
pub(super) fn change(case: &Case<'_>) -> Vec<String> {
    let Case { record, name, .. } = case;
    let (a, b, number) = (case.caller(), case.called(), case.number());
    let just = |line: String| vec![line];
    match name {
        Trouble::NormalEnd
        | Trouble::CallerCancelled
        | Trouble::CallerDialledOn
        | Trouble::EndedByOperator
        // The remedies for what was not heard stand with its figures.
        | Trouble::AudioNoPackets
        | Trouble::AudioWrongSource
        | Trouble::AudioWrongKey
        | Trouble::AudioKeyReused
        | Trouble::AudioWrongCodec
        | Trouble::AudioNoChecks
        | Trouble::AudioRefusedChecks
        | Trouble::AudioNoHandshake
        | Trouble::AudioSilence
        | Trouble::AudioNotReceived => Vec::new(),
        Trouble::TransferRefused => just(format!(
            "look at refer and max_transfers of trunk \"{}\", and at the [[route]] that its target would take",
            case.transferor()
        )),
        Trouble::TransferTargetFailed => just(
            "see in the ladder what the target of the transfer answered; this SBC kept the two parties together"
                .to_owned(),
        ),
        Trouble::CallerConnectionLost => vec![
            format!("nothing, if it was once; else look at the network between this SBC and {a}"),
            "the peer's side may have restarted, or a firewall may drop connections that are idle".to_owned(),
        ],
        Trouble::PeerRedirects => just(format!(
            "set redirect = \"follow\" in {a}, and a [[route]] for where it leads; or make that place a target of {b}"
        )),
        Trouble::PeerBadRequest => just(format!(
            "look at our INVITE with `causeway call show --messages`, and ask the peer of {b} what is wrong with it"
        )),
        Trouble::PeerUndecipherable => just(format!(
            "ask the caller's side to send its body unencrypted: the peer of {b} has no key for it"
        )),
        Trouble::PeerAmbiguous => just(format!(
            "send a complete number to {b}: a [[transform]] with dir = \"out\" can make {number} unique"
        )),
        Trouble::PeerWantsLogin => just(format!(
            "the peer wants a login: write username and password in [trunk.digest] of {b}, or have the peer know \
             us by our address"
        )),
        Trouble::PeerLoginRealm => just(format!(
            "add the realm that it names to realms in [trunk.digest] of {b}, if it is the right peer"
        )),
        Trouble::PeerLoginWeak => just(format!(
            "have the peer of {b} offer SHA-256, or write md5 = true in [trunk.digest] of it"
        )),
        Trouble::PeerLoginMethod => just(format!(
            "have the peer of {b} ask for Digest with MD5 or SHA-256, or know us by our address"
        )),
        Trouble::PeerRefusesLogin => just(format!(
            "correct username and password in [trunk.digest] of {b}: they must be those that the peer gave out"
        )),
        Trouble::PeerStaleLogin => just(format!(
            "have the peer of {b} look at its clock and at how long its challenges (nonce) hold: our password is not \
             the reason"
        )),
        Trouble::PeerNoContact => just(format!(
            "have the peer of {b} write a Contact header in its answers, as RFC 3261 §12.1.1 wants"
        )),
        Trouble::PeerWantsPayment => just(format!("ask the peer of {b} about the account that it has for us")),
        Trouble::PeerForbids => just(format!(
            "the peer of {b} forbids it: check the caller's number, the fqdn of the trunk and what the peer has on \
             record for us"
        )),
        Trouble::PeerNoMethod => just(format!(
            "check the targets of {b}: host and port must be those of a SIP server that takes calls"
        )),
        Trouble::PeerTooLarge => just(format!(
            "shorten codecs and headers.pass of {b}, or give its targets tcp or tls"
        )),
        Trouble::PeerLongUri => just(format!(
            "have a [[transform]] with dir = \"out\" shorten the number, and take number_params from {b}"
        )),
        Trouble::PeerScheme => just(format!(
            "write uri_scheme = \"sip\" in {b}, or have the caller dial a sip: address"
        )),
        Trouble::PeerExtension => just(format!(
            "compare Require and Unsupported in the ladder; rel100 = \"never\" in {b} asks for nothing, \"required\" \
             gives it what it wants"
        )),
        Trouble::PeerInterval => just(format!("raise expires in [trunk.session_timer] of {b}")),
        Trouble::PeerWantsSignature => just(
            "have the caller's carrier sign its calls, and write stir = \"pass\" in both trunks, so that the \
             signature gets through"
                .to_owned(),
        ),
        Trouble::PeerBadSignature => just(format!(
            "see that no [[transform]] changes the numbers between {a} and {b}, for which the signature is; else ask \
             who signs"
        )),
        Trouble::PeerAnonymous => just(
            "have the caller show its number; no setting here may uncover who hides".to_owned(),
        ),
        Trouble::PeerNoDialog => just(format!(
            "ask the peer of {b} why it takes a new INVITE for one within a call; its proxies may have lost their state"
        )),
        Trouble::PeerPending => just(format!(
            "nothing, if it was once; otherwise ask the peer of {b}: to a first INVITE nothing can be under way"
        )),
        Trouble::PeerSecurity => just(format!(
            "have the peer of {b} demand no security agreement of us: TLS to its targets protects the same"
        )),
        Trouble::PeerFault | Trouble::PeerGateway => just(format!(
            "the peer of {b} has a fault: tell it; for a second try add {} to reroute_on of {b} and another trunk to \
             the [[route]]",
            case.status()
        )),
        Trouble::PeerOverloaded => just(format!(
            "the peer of {b} is overloaded or out of service; for a second try add 503 to its reroute_on and another \
             trunk to the [[route]]"
        )),
        Trouble::PeerPause => just(format!(
            "wait for as long as the peer of {b} wants, or add another trunk to the [[route]]; if it comes often, lower \
             cps in [trunk.limits] of {b}"
        )),
        Trouble::PeerVersion => just(format!(
            "check the targets of {b}: what answers there is no server of SIP 2.0"
        )),
        Trouble::PeerPrecondition => just(format!(
            "have the peer of {b} ask for no preconditions (RFC 3312), or reserve for calls of ours, too"
        )),
        Trouble::PeerDeclines => just(
            "nothing, if the party pressed decline; otherwise check the caller's number as the peer sees it, which \
             filters go by"
                .to_owned(),
        ),
        Trouble::PeerUnwanted => just(
            "check the caller's number as the peer sees it; if it is right, ask the called side to take it off its list"
                .to_owned(),
        ),
        Trouble::PeerFiltered => just(
            "check the caller's number as the peer sees it; the Call-Info of its answer may name whom to complain to \
             (RFC 8688)"
                .to_owned(),
        ),
        Trouble::PeerRefuses => just(format!("ask the peer of {b} why it refuses")),
        Trouble::PeerBusy | Trouble::PeerBusyEverywhere => just(
            "nothing: the party talks; its own forwarding or voicemail could take the call instead".to_owned(),
        ),
        Trouble::RingTimeout => just(format!(
            "nothing, if the party did not answer; otherwise raise timers.ring_timeout of {b}"
        )),
        Trouble::PeerAbsent => just(
            "nothing, if the party is only away; otherwise have the called side check that the user exists, is signed \
             in and may be called from outside"
                .to_owned(),
        ),
        Trouble::PeerGaveUp => just(format!(
            "nothing, if the party did not answer; otherwise have the peer of {b} wait longer"
        )),
        Trouble::PeerTerminated => just(format!(
            "ask the peer of {b} who ended it: mostly its own limit on ringing is over"
        )),
        Trouble::InvitationExpired => just(format!(
            "nothing, if the party did not answer; otherwise have the peer of {a} write a longer Expires, or none"
        )),
        Trouble::EarlyMediaTooLong => just(format!(
            "raise early_media_max of {b}, if callers have to listen so long before somebody answers"
        )),
        Trouble::SetupTooLong => just(
            "nothing, if the party did not answer; otherwise raise max_setup in [limits]".to_owned(),
        ),
        Trouble::PeerUnknownNumber
        | Trouble::PeerNumberGone
        | Trouble::PeerNumberIncomplete
        | Trouble::PeerNumberNowhere => vec![
            format!(
                "check the form of the number: {b} got {number}; a [[transform]] with dir = \"out\" can change it"
            ),
            "check that the number exists at the called side".to_owned(),
        ],
        Trouble::NumberForm => just(format!(
            "add a [[transform]] with when = {{ trunk = \"{0}\", dir = \"out\" }} that makes the form that its peer \
             takes, Teams with + only; or write number_format = \"digits\" in [trunk.identity] of it",
            case.called_name()
        )),
        Trouble::NumberOfNoTenant => vec![
            format!("add {number} to numbers of the [[tenant]] it belongs to"),
            match record.called == record.called_raw {
                true => format!(
                    "if the form is wrong, add a [[transform]] with when = {{ trunk = \"{}\", dir = \"in\" }} that \
                     turns it into +E.164",
                    record.ingress.trunk
                ),
                false => format!(
                    "it was received as {}: check the transforms of {a}",
                    record.called_raw.escape_debug()
                ),
            },
        ],
        Trouble::NumberIncomplete => vec![
            "nothing, if the caller dialled too little; otherwise correct numbers of that [[tenant]]".to_owned(),
            format!("if the caller sends its digits one by one, write overlap = true in {a}"),
        ],
        Trouble::NumberImpossible => just(format!(
            "check the transforms of {a}: the number was received as {}",
            record.called_raw.escape_debug()
        )),
        Trouble::NumberMissing => just(format!(
            "have the peer of {a} write the number before the @ of its Request-URI"
        )),
        Trouble::NoRoute => vec![
            format!(
                "add a [[route]] that matches from_trunk = \"{}\" and called {number}",
                record.ingress.trunk
            ),
            "if the number should belong to a tenant, add it to numbers of that [[tenant]]".to_owned(),
        ],
        Trouble::EmergencyNoRoute => just(
            "at once: add a [[route]] with match = { emergency = true } to a trunk that reaches those who help, and \
             try it with `causeway route test`"
                .to_owned(),
        ),
        Trouble::RoutesClosed => vec![
            "nothing, if nobody is to be reached now; `causeway route test --time` tells when calls pass".to_owned(),
            "for calls outside the hours add a [[route]] without schedule behind it, such as to a voicemail".to_owned(),
        ],
        Trouble::NoSecureRoute => just(format!(
            "give a trunk of the [[route]] a realm whose [[listen]] are all of transport = \"tls\", or have the peer \
             of {a} dial sip: instead of sips:"
        )),
        Trouble::CalleeBusy | Trouble::CalleeAbsent => vec![
            "nothing, if the user is busy or away; `causeway teams presence` tells what Microsoft says".to_owned(),
            "otherwise write \"next\" or \"try\" in presence of the [[route]]".to_owned(),
        ],
        Trouble::CallerNumber => vec![
            "if the number is the customer's, add it to numbers of its [[tenant]]".to_owned(),
            format!("otherwise set identity.screening of {a} to \"replace\" or \"pass\""),
        ],
        Trouble::CallerUnsigned => just(format!(
            "have the peer of {a} sign its calls, or write stir_failure = \"mark\" in {a}"
        )),
        Trouble::CallerSignature => vec![
            "if it is about a certificate, look at roots and crl in [stir]; if about time, at the clock of this host"
                .to_owned(),
            format!("otherwise who signs must change it; stir_failure = \"mark\" in {a} lets such calls pass"),
        ],
        Trouble::ForwardedTooOften => just(
            "look for parties that forward to each other: the Diversion or History-Info lines in the ladder name them"
                .to_owned(),
        ),
        Trouble::HopsUsedUp => just(format!(
            "look for a circle before {a}; if there is none, have its peer begin with Max-Forwards: 70"
        )),
        Trouble::HopsTooFew => just(format!(
            "lower max_forwards_min of {a}, if calls of that peer come from so far"
        )),
        Trouble::BranchesUsedUp => just(format!(
            "have the side before {a} call fewer parties at once, or begin with a larger Max-Breadth"
        )),
        Trouble::CallInCircle | Trouble::CallBeenHere => just(format!(
            "look for a [[route]] back to {a}, where the call came from, or for a party that forwards to itself"
        )),
        Trouble::RedirectLoop => just(format!(
            "ask the peer of {b} why it redirects to where the call has been: two of its servers point at each other"
        )),
        Trouble::PeerLoop | Trouble::PeerHops => just(format!(
            "look for a circle behind the called side: a route of {b} that leads back here, or a forwarding to itself"
        )),
        Trouble::BadRequest => just(format!(
            "look at the INVITE in the ladder with `causeway sip parse`; the peer of {a} must change it"
        )),
        Trouble::LocalNumber => just(format!(
            "have the peer of {a} send +E.164, or phone-context with its tel: address"
        )),
        Trouble::PrivacyUnknown => just(format!(
            "have the peer of {a} take \"critical\" out of its Privacy header, or ask for id, user or header"
        )),
        Trouble::RequestTooLarge => just(format!(
            "have the peer of {a} send less: fewer codecs, fewer or shorter headers"
        )),
        Trouble::IntervalTooShort => just(format!(
            "have the peer of {a} ask for a longer Session-Expires, or lower min_se in [trunk.session_timer] of it"
        )),
        Trouble::ReliabilityMissing => just(format!(
            "write rel100 = \"auto\" in {a}, or have its peer write Supported: 100rel"
        )),
        Trouble::NoAudioLine | Trouble::MediaOff => just(format!(
            "have {} offer audio: only calls with audio are served",
            case.describer_peer()
        )),
        Trouble::BadDescription => just(format!(
            "see with `causeway sdp parse` what is wrong; {} must change it",
            case.describer_peer()
        )),
        Trouble::TooManyLines | Trouble::MediaPortCount => just(format!(
            "have {} describe one audio line with one port",
            case.describer_peer()
        )),
        Trouble::MediaTransport => just(format!(
            "have {} offer RTP/AVP or RTP/SAVP, as srtp of its trunk says",
            case.describer_peer()
        )),
        Trouble::SrtpMissing => just(format!(
            "have {} switch SRTP on; a trunk that is none of Teams may have srtp = \"optional\" instead",
            case.describer_peer()
        )),
        Trouble::SrtpOff => just(format!(
            "write srtp = \"optional\" or \"required\" in {}, or have its peer switch SRTP off",
            case.describer()
        )),
        Trouble::SrtpKey => just(format!(
            "compare the a=crypto lines with srtp_suites of {}: one suite must be in both",
            case.describer()
        )),
        Trouble::DtlsOff => just(format!(
            "write srtp = \"dtls\" in {}, or have its peer send keys in a=crypto lines",
            case.describer()
        )),
        Trouble::DtlsMissing => just(format!(
            "write srtp = \"required\" in {}, if its peer has keys in a=crypto lines; otherwise have it offer DTLS-SRTP",
            case.describer()
        )),
        Trouble::DtlsNoFingerprint => just(format!(
            "have {} write a=fingerprint with sha-256; allow_sha1 = true in its trunk takes the old one",
            case.describer_peer()
        )),
        Trouble::DtlsSetup => just(format!(
            "have {} write a=setup:actpass in offers, and active or passive in answers",
            case.describer_peer()
        )),
        Trouble::MediaNoAddress => just(format!(
            "have {} write an IP address in its c= line, not a name",
            case.describer_peer()
        )),
        Trouble::MediaFamily => just(format!(
            "give the [[realm]] of {} an address of that IP version, or have its peer use the other one",
            case.describer()
        )),
        Trouble::MediaOwnPlace => just(format!(
            "find out why {} sends us our own address: something between changes descriptions, or it reflects ours",
            case.describer_peer()
        )),
        Trouble::MediaLowPort => just(format!(
            "write low_media_ports = true in {}, if its peer really has media there",
            case.describer()
        )),
        Trouble::NoCodec => just(format!(
            "add a codec of the description to codecs of {}, or have its peer offer PCMA or PCMU",
            case.describer()
        )),
        Trouble::NoCommonCodec => just(
            "put one codec into codecs of both trunks, or write transcode = true in both".to_owned(),
        ),
        Trouble::NoFax => just(
            "write fax = \"t38\" in both trunks, or have the fax machine send in the audio (G.711)".to_owned(),
        ),
        Trouble::AnswerMismatch => just(format!(
            "have {} answer with a codec and a protection of our offer",
            case.describer_peer()
        )),
        Trouble::MediaOutOfOrder => just(format!(
            "look at the order of offers and answers in the ladder: {} sends one that nobody waits for",
            case.describer_peer()
        )),
        Trouble::MediaPath => just(format!(
            "compare proxy and site in [trunk.local_media] of {a} with what Teams has in X-MS-MediaPath of the INVITE"
        )),
        Trouble::PartyCodec => just(
            "put one codec into codecs of the trunks of all parties, or write transcode = true in them".to_owned(),
        ),
        Trouble::PeerRefusesMedia | Trouble::PeerNotAcceptable => vec![
            format!("compare codecs and srtp of {b} with what its peer supports; one codec must be in both lists"),
            "towards Teams srtp must be \"required\"; towards a carrier usually \"off\"".to_owned(),
        ],
        Trouble::PeerRefusesBody => just(format!(
            "compare the Accept header of its answer in the ladder with our body: {b} wants plain SDP, or no second part"
        )),
        Trouble::PortsExhausted => just(
            "widen ports of the [[realm]]; two ports are needed per leg, and freed ones rest for 10 s".to_owned(),
        ),
        Trouble::RealmNoAddress => just(
            "add an address of that IP version to addresses of the [[realm]], or write family in the trunk".to_owned(),
        ),
        Trouble::SocketsRefused => just(
            "see in the log what the operating system says; mostly LimitNOFILE of the service is too low, or another \
             program has the ports"
                .to_owned(),
        ),
        Trouble::RelayConflict => just(
            "report it with this ladder; no setting causes or avoids it".to_owned(),
        ),
        Trouble::RelayUnavailable => just(
            "nothing, if the service was just being stopped; otherwise lower calls in [limits] to what this machine bears"
                .to_owned(),
        ),
        Trouble::RelayLost => just(
            "look in the journal of the system for why the media relay ended; it was started again by itself".to_owned(),
        ),
        Trouble::MediaNeverCame => vec![
            "check that the firewall lets the realm's UDP ports through in both directions".to_owned(),
            "behind NAT set advertise of the [[realm]] to the public address".to_owned(),
        ],
        Trouble::MediaStopped => vec![
            "nothing, if that party was on hold or lost its network; otherwise check the firewall between".to_owned(),
            "a longer media_timeout in [limits] bears longer silence".to_owned(),
        ],
        Trouble::DtlsFingerprint => just(
            "compare a=fingerprint of that side's description with the certificate of its media gateway: what changes \
             descriptions on the way must leave it alone"
                .to_owned(),
        ),
        Trouble::DtlsTimeout => vec![
            "open the realm's media ports for UDP in both directions; DTLS goes over the same ports as the media"
                .to_owned(),
            "if it has its keys in the description instead, write srtp = \"required\" in the trunk".to_owned(),
        ],
        Trouble::DtlsHandshake => just(
            "its media gateway must speak DTLS 1.2 with SRTP_AES128_CM_HMAC_SHA1_80 or an AES-GCM profile".to_owned(),
        ),
        Trouble::DtlsClosed => just(
            "ask that side why its media gateway closed it: mostly it restarted, or did not like our certificate"
                .to_owned(),
        ),
        Trouble::ConnectionRefused => just(format!(
            "nobody listens at the target of {b}, or a firewall refuses: check address, port and protocol in its targets"
        )),
        Trouble::ConnectionTimeout => just(format!(
            "packets to the target of {b} vanish: check address, routing and firewalls"
        )),
        Trouble::TlsFailed => just(format!(
            "compare TLS of the peer of {b} with ours: both need 1.2 or 1.3; the log has a line tls_refused with the \
             exact reason"
        )),
        Trouble::TlsExpired => just(format!(
            "have the peer of {b} renew its certificate; if it is in time, the clock of this host is wrong"
        )),
        Trouble::TlsNotYet => just(format!(
            "check the clock of this host, then that of the peer of {b}"
        )),
        Trouble::TlsAuthority => vec![
            format!(
                "if it is the right peer, add its root to client_ca of the [[tls]] of {b}, or have it send its \
                 intermediate certificates"
            ),
            somebody_else(&b),
        ],
        Trouble::TlsPurpose => just(format!(
            "have the peer of {b} take a certificate with serverAuth in its extended key usage"
        )),
        Trouble::TlsRevoked => just(format!(
            "have the peer of {b} take a new certificate: its authority has taken this one back"
        )),
        Trouble::TlsCertificate => vec![
            format!("have the peer of {b} renew or complete its certificate, as the reason says"),
            somebody_else(&b),
        ],
        Trouble::TlsAlert => vec![
            format!(
                "the peer of {b} does not accept our certificate: have it trust our authority, and see with `causeway \
                 check` that ours is in time, complete and for fqdn of the trunk"
            ),
            "Microsoft accepts public authorities only".to_owned(),
        ],
        Trouble::TlsName => vec![
            format!("if {} is the right peer, add it to accept_names of {b}", presented(case)),
            somebody_else(&b),
        ],
        Trouble::TlsTimeout => just(format!(
            "the peer of {b} accepts the connection but not TLS: check the port in its targets"
        )),
        Trouble::ConnectionClosed | Trouble::ConnectionBroken => just(format!(
            "the peer of {b} closes the connection: it may not accept our certificate or address; its log says why"
        )),
        Trouble::ConnectionStuck => just(format!(
            "the peer of {b} does not read: it is overloaded or hangs, and its side must look at it"
        )),
        Trouble::NotSip => just(format!(
            "what answers for {b} is not a SIP server: check host and port of its targets"
        )),
        Trouble::ConnectionIdle => just(
            "nothing, if it was once; an idle connection was closed at a bad moment".to_owned(),
        ),
        Trouble::NoListener => just(format!(
            "{b} has no listener of the target's protocol and address family: add a [[listen]] to its realm"
        )),
        Trouble::DnsUnknown => just(format!(
            "the host name of {b} has neither SRV records nor an address: correct its targets, or the DNS zone"
        )),
        Trouble::DnsTimeout | Trouble::DnsFailure => just(format!(
            "this host's DNS resolver does not work: check servers in [dns] and /etc/resolv.conf, or give the targets of \
             {b} addresses (connect_to)"
        )),
        Trouble::TargetPaused => just(format!(
            "the peer of {b} is overloaded and asked for a pause: wait, or add another trunk to the [[route]]"
        )),
        Trouble::TargetRelieved => just(format!(
            "the peer of {b} is overloaded and asked for fewer calls: wait, or add another trunk to the [[route]]"
        )),
        Trouble::TargetsDown => just(format!(
            "no target of {b} answers: check the peer; while all are down, one call a second is tried"
        )),
        Trouble::NotRegistered => just(format!(
            "{b} is not registered: see \"causeway status\" and the log for what the registrar says"
        )),
        Trouble::NoBinding => just(format!(
            "the peer of {b} has registered no contact: \"causeway status\" shows what is registered, and the log why a \
             REGISTER was refused"
        )),
        Trouble::NumberUnwritable => just(format!(
            "a [[transform]] of {b} made of a number what no message can carry: `causeway route test` shows which"
        )),
        Trouble::NothingTried => just(format!("check targets of {b}")),
        Trouble::PeerSilent => vec![
            format!("check address, port and protocol in targets of {b}, and that its peer knows our address"),
            "check that a firewall lets both our INVITE and its answers through".to_owned(),
        ],
        Trouble::PeerGatewayTimeout => just(format!(
            "tell the peer of {b}; for a second try add 504 to its reroute_on and another trunk to the [[route]]"
        )),
        Trouble::NoPrack => just(format!(
            "write rel100 = \"never\" in {a}, if its peer says that it can confirm and does not; else look for its PRACK in \
             the ladder"
        )),
        Trouble::NoAck => just(format!(
            "the caller's side must be able to reach the address in our Contact: check fqdn of {a} and advertise of its \
             realm"
        )),
        Trouble::InCallRefused => just(
            "ask that party's side why it has forgotten the call: mostly it restarted, or a proxy led the request to \
             another server"
                .to_owned(),
        ),
        Trouble::InCallUnanswered => just(
            "look at the last request in the ladder: that party, or the way to the address in its Contact, is gone"
                .to_owned(),
        ),
        Trouble::SessionExpired => just(
            "see which side should refresh (refresher in Session-Expires): if it is theirs, write refresher = \"us\" in \
             [trunk.session_timer]"
                .to_owned(),
        ),
        Trouble::TransferLeftNobody | Trouble::ReplacedLeft => just(
            "see what the target of the transfer answered; whoever transfers should stay until it has answered".to_owned(),
        ),
        Trouble::NodeFull => just("raise calls in [limits], if this machine bears more".to_owned()),
        Trouble::TrunkFull => just(
            "raise calls in limits, limits.in or limits.out of that [[trunk]], if its peer takes more"
                .to_owned(),
        ),
        Trouble::TenantFull => just("raise calls in limits of that [[tenant]], if it may have more".to_owned()),
        Trouble::RouteFull => just("raise calls in limits of that [[route]], or add another route for such calls".to_owned()),
        Trouble::NumbersFull => just(
            "raise calls of that [[limit]], if so many calls of such numbers are wanted".to_owned(),
        ),
        Trouble::TranscodingFull => just(
            "raise transcoding in [limits], or give both trunks a codec in common".to_owned(),
        ),
        Trouble::RateReached => just(
            "raise cps, calls_per_minute or calls_per_hour where that limit is, if the calls are wanted; else find out who \
             makes them"
                .to_owned(),
        ),
        Trouble::SetupsReached => just(
            "raise setup where that limit is; many calls that nobody answers are a sign of a broken route or of abuse"
                .to_owned(),
        ),
        Trouble::BandwidthReached => just(
            "raise bandwidth where that limit is, if the line bears it; or put a narrower codec first in codecs".to_owned(),
        ),
        Trouble::CallTooLong => just("raise max_duration in [limits], if calls may last longer".to_owned()),
        Trouble::LineHeldTooLong => just("nothing: those who help had let the line go long ago".to_owned()),
        Trouble::Preempted => just(
            "raise the limit that was reached, or reserve some of it for calls for help, so that none has to be ended"
                .to_owned(),
        ),
        Trouble::SpendReached => just(
            "find out whether somebody abuses the customer's telephones before you raise spend_per_hour or spend_per_day"
                .to_owned(),
        ),
        Trouble::TrunkDisabled | Trouble::TrunkDrains => just(
            "nothing, if that is meant; `causeway trunk list` shows which trunks are disabled or drain, and `causeway trunk \
             enable NAME` lets one have calls again"
                .to_owned(),
        ),
        Trouble::TrunkRemoved => just(
            "nothing, if that is meant; a longer on_sigterm in [drain] lets calls of a removed trunk end by themselves".to_owned(),
        ),
        Trouble::NodeStopped => just(
            "nothing, if that is meant; a longer on_sigterm in [drain] lets calls end by themselves".to_owned(),
        ),
        Trouble::RestartLost => just(
            "look in the journal of the system for what ended the daemon: a crash, the watchdog, no memory".to_owned(),
        ),
        Trouble::InternalError => {
            just("report it with this ladder; no setting causes or avoids it".to_owned())
        }
    }
}

fn somebody_else(b: &str) -> String {
    format!("if it is not, somebody else answers at this address: check targets and DNS of {b}")
}

/// The names in the certificate of the last target.
fn presented(case: &Case<'_>) -> String {
    match case.last.and_then(|attempt| attempt.fault.as_ref()) {
        Some(TargetFault::Flow(FlowFault::TlsName { presented, .. })) => presented.join(", "),
        _ => "who answers".to_owned(),
    }
}
