//! Calls that the called side refuses, status by status.

use super::{Row, over, row};
use crate::{overlap, world};
use sbc_core::id::FlowId;
use sbc_core::record::Record;
use sbc_core::sip::{Message, Method};
use sbc_core::trouble::Trouble;
use std::time::Duration;
use world::*;

/// The carrier answers every INVITE of a call of Teams so, whichever of its servers is asked.
fn refused_under(config: &str, start: &str, lines: &str) -> Record {
    let (mut shard, invite) = called_in(config, "call");
    let mut next = Some(invite.message);
    while let Some(invite) = next.take() {
        let text = response(&invite, start, "b1", lines, "");
        shard.carrier_says(&text);
        next = next_invite(&mut shard);
    }
    over(shard)
}

/// The next INVITE of ours; what else was sent is of no interest.
fn next_invite(shard: &mut Shard) -> Option<Message> {
    let mut sent = shard.sent.drain(..);
    let is_invite =
        |sent: &Sent| sent.message.is_request() && *sent.message.method() == Method::Invite;
    sent.find(is_invite).map(|sent| sent.message)
}

fn refused(start: &str) -> Record {
    refused_under(CONFIG, start, "")
}

/// The carrier knows us by name and password.
fn account(keys: &str) -> String {
    let codecs = "codecs = [\"PCMA\", \"PCMU\"]\n";
    let digest = format!(
        "digest = {{ username = \"contoso\", password = {{ credential = \"carrier-a\" }}, realms = \
         [\"carrier.example\"]{keys} }}\n"
    );
    CONFIG.replace(codecs, &format!("{codecs}{digest}"))
}

/// The carrier asks for a proof, with these parameters of its challenge, as often as it is called.
fn asked(config: &str, params: &str) -> Record {
    let (mut shard, invite) = called_in(config, "call");
    let mut next = Some(invite.message);
    let mut count = 0;
    while let Some(invite) = next.take() {
        count += 1;
        let lines =
            format!("Proxy-Authenticate: Digest {params}, nonce=\"n{count}\", qop=\"auth\"\n");
        let start = "407 Proxy Authentication Required";
        shard.carrier_says(&response(&invite, start, "p1", &lines, ""));
        next = next_invite(&mut shard);
    }
    over(shard)
}

const REALM: &str = "realm=\"carrier.example\", algorithm=SHA-256";

/// It rings at the carrier, and then time passes.
fn rings(config: &str, lines: &str, seconds: u64) -> Record {
    let mut shard = Shard::with(config_of(config));
    let invite = teams_invite("call").replace("MAX-FORWARDS", &format!("{lines}MAX-FORWARDS"));
    shard.teams_says(&invite);
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let ringing = response(&invite, "180 Ringing", "b1", CARRIER_CONTACT, "");
    shard.carrier_says(&ringing);
    shard.pass(Duration::from_secs(seconds));
    over(shard)
}

/// The carrier plays something and does not answer.
fn plays_on() -> Record {
    let (mut shard, invite) = called_in(CONFIG, "call");
    let early = response(
        &invite.message,
        "183 Session Progress",
        "b1",
        CARRIER_CONTACT,
        CARRIER_SDP,
    );
    shard.carrier_says(&early);
    over(shard)
}

/// Two servers of the carrier send the call to each other.
fn redirected() -> Record {
    let (mut shard, invite) = called_in(CONFIG, "call");
    let moved = "Contact: <sip:+498999998001@198.51.100.29:5080>\n";
    shard.carrier_says(&response(&invite.message, "302 Moved", "b1", moved, ""));
    let onward = next_invite(&mut shard).expect("it is followed");
    shard.carrier_says(&response(&onward, "302 Moved", "b2", moved, ""));
    over(shard)
}

/// Teams gives up, or is lost.
fn given_up() -> Record {
    let (mut shard, _) = called_out("call");
    shard.carrier_says(&carrier_cancel("call"));
    over(shard)
}

fn connection_lost() -> Record {
    let (mut shard, _) = called_in(CONFIG, "call");
    let flow: FlowId = teams_flow().id;
    let why = sbc_core::transport::FlowFault::Broken("connection reset by peer".to_owned());
    shard.apply(sbc_core::input::Input::FlowLost { flow, why });
    over(shard)
}

/// The caller sends its digits one INVITE after the other.
fn dialled_on() -> Record {
    let config = overlap::config("overlap = true");
    let mut shard = Shard::with(config_of(&config));
    shard.carrier_says(&overlap::dialled("+498912345", 10));
    shard.carrier_says(&overlap::dialled("+4989123456", 11));
    shard.pass(Duration::from_secs(40));
    shard.records.remove(0)
}

const CARRIER_TRUNK: &str = "trunk \"carrier-a\"";

pub(super) fn rows() -> Vec<Row> {
    vec![
        row(Trouble::CallerCancelled, given_up, &["gave up"], &[]),
        row(
            Trouble::CallerDialledOn,
            dialled_on,
            &["dialled more digits than +498912345"],
            &[],
        ),
        row(
            Trouble::CallerConnectionLost,
            connection_lost,
            &["trunk \"teams-contoso\" was lost", "connection reset"],
            &["network between", "trunk \"teams-contoso\""],
        ),
        row(
            Trouble::PeerRedirects,
            || {
                let config = CONFIG.replace("codecs = [", "redirect = \"fail\"\ncodecs = [");
                refused_under(
                    &config,
                    "302 Moved Temporarily",
                    "Contact: <sip:+49891@198.51.100.99>\n",
                )
            },
            &[CARRIER_TRUNK, "elsewhere", "302 Moved Temporarily"],
            &["redirect = \"follow\"", CARRIER_TRUNK],
        ),
        row(
            Trouble::RedirectLoop,
            redirected,
            &[CARRIER_TRUNK, "where it has been", "482 "],
            &[CARRIER_TRUNK, "point at each other"],
        ),
        row(
            Trouble::PeerBadRequest,
            || refused("400 Bad Request"),
            &[
                CARRIER_TRUNK,
                "does not understand our INVITE",
                "400 Bad Request",
            ],
            &["causeway call show --messages", CARRIER_TRUNK],
        ),
        row(
            Trouble::PeerWantsLogin,
            || asked(CONFIG, REALM),
            &[
                CARRIER_TRUNK,
                "prove who we are",
                "407 ",
                "no \"digest\" account",
            ],
            &["[trunk.digest]", CARRIER_TRUNK],
        ),
        row(
            Trouble::PeerLoginRealm,
            || asked(&account(""), "realm=\"other.example\", algorithm=SHA-256"),
            &["407 ", "other.example"],
            &["realms in [trunk.digest]", CARRIER_TRUNK],
        ),
        row(
            Trouble::PeerLoginWeak,
            || {
                asked(
                    &account(", md5 = false"),
                    "realm=\"carrier.example\", algorithm=MD5",
                )
            },
            &["407 ", "MD5"],
            &["md5 = true", CARRIER_TRUNK],
        ),
        row(
            Trouble::PeerLoginMethod,
            || asked(&account(""), "realm=\"carrier.example\", algorithm=SHA-1"),
            &["407 ", "not Digest with MD5"],
            &["Digest with MD5 or SHA-256", CARRIER_TRUNK],
        ),
        row(
            Trouble::PeerRefusesLogin,
            || asked(&account(""), REALM),
            &[
                CARRIER_TRUNK,
                "does not accept user name and password",
                "carrier.example",
            ],
            &["username and password in [trunk.digest]", CARRIER_TRUNK],
        ),
        row(
            Trouble::PeerStaleLogin,
            || asked(&account(""), &format!("{REALM}, stale=true")),
            &[CARRIER_TRUNK, "too old", "again and again"],
            &["clock", CARRIER_TRUNK],
        ),
        row(
            Trouble::PeerWantsPayment,
            || refused("402 Payment Required"),
            &[CARRIER_TRUNK, "402 "],
            &["account", CARRIER_TRUNK],
        ),
        row(
            Trouble::PeerForbids,
            || refused("403 Forbidden"),
            &[CARRIER_TRUNK, "forbids", "403 Forbidden"],
            &["caller's number", "fqdn", CARRIER_TRUNK],
        ),
        row(
            Trouble::PeerUnknownNumber,
            || refused("404 Not Found"),
            &["+498999998001", "404 Not Found"],
            &["[[transform]]", "+498999998001", CARRIER_TRUNK],
        ),
        row(
            Trouble::PeerNoMethod,
            || refused("405 Method Not Allowed"),
            &[CARRIER_TRUNK, "takes no calls", "405 "],
            &["targets of trunk \"carrier-a\""],
        ),
        row(
            Trouble::PeerNoMethod,
            || refused("501 Not Implemented"),
            &[CARRIER_TRUNK, "takes no calls", "501 "],
            &["targets of trunk \"carrier-a\""],
        ),
        row(
            Trouble::PeerNotAcceptable,
            || refused("406 Not Acceptable"),
            &[CARRIER_TRUNK, "406 Not Acceptable"],
            &["codecs and srtp of trunk \"carrier-a\""],
        ),
        row(
            Trouble::PeerGaveUp,
            || refused("408 Request Timeout"),
            &[CARRIER_TRUNK, "gave up waiting", "408 "],
            &[CARRIER_TRUNK, "wait longer"],
        ),
        row(
            Trouble::PeerNumberGone,
            || refused("410 Gone"),
            &["+498999998001", "not in use", "410 Gone"],
            &[CARRIER_TRUNK, "number exists"],
        ),
        row(
            Trouble::PeerTooLarge,
            || refused("413 Request Entity Too Large"),
            &[CARRIER_TRUNK, "too large", "413 "],
            &["headers.pass of trunk \"carrier-a\""],
        ),
        row(
            Trouble::PeerTooLarge,
            || refused("513 Message Too Large"),
            &[CARRIER_TRUNK, "too large", "513 "],
            &["headers.pass of trunk \"carrier-a\""],
        ),
        row(
            Trouble::PeerLongUri,
            || refused("414 Request-URI Too Long"),
            &[CARRIER_TRUNK, "too long", "414 "],
            &["[[transform]]", "number_params", CARRIER_TRUNK],
        ),
        row(
            Trouble::PeerRefusesBody,
            || refused("415 Unsupported Media Type"),
            &[CARRIER_TRUNK, "kind of body", "415 "],
            &["Accept", CARRIER_TRUNK],
        ),
        row(
            Trouble::PeerScheme,
            || refused("416 Unsupported URI Scheme"),
            &[CARRIER_TRUNK, "kind of address", "416 "],
            &["uri_scheme = \"sip\"", CARRIER_TRUNK],
        ),
        row(
            Trouble::PeerExtension,
            || refused_under(CONFIG, "420 Bad Extension", "Unsupported: timer\n"),
            &[CARRIER_TRUNK, "extensions of SIP", "420 "],
            &["Unsupported", "rel100", CARRIER_TRUNK],
        ),
        row(
            Trouble::PeerExtension,
            || refused_under(CONFIG, "421 Extension Required", "Require: foo\n"),
            &[CARRIER_TRUNK, "extensions of SIP", "421 "],
            &["Require", CARRIER_TRUNK],
        ),
        row(
            Trouble::PeerInterval,
            || refused("422 Session Interval Too Small"),
            &[CARRIER_TRUNK, "refreshed less often", "422 "],
            &["expires in [trunk.session_timer]", CARRIER_TRUNK],
        ),
        row(
            Trouble::PeerWantsSignature,
            || refused("428 Use Identity Header"),
            &[CARRIER_TRUNK, "not signed", "428 "],
            &["stir = \"pass\"", "sign"],
        ),
        row(
            Trouble::PeerAnonymous,
            || refused("433 Anonymity Disallowed"),
            &[CARRIER_TRUNK, "hide their number", "433 "],
            &["show its number"],
        ),
        row(
            Trouble::PeerBadSignature,
            || refused("437 Unsupported Credential"),
            &[CARRIER_TRUNK, "signature", "437 "],
            &["[[transform]]", CARRIER_TRUNK, "trunk \"teams-contoso\""],
        ),
        row(
            Trouble::PeerBadSignature,
            || refused("438 Invalid Identity Header"),
            &[CARRIER_TRUNK, "signature", "438 "],
            &["[[transform]]", CARRIER_TRUNK],
        ),
        row(
            Trouble::PeerAbsent,
            || refused("480 Temporarily Unavailable"),
            &["cannot be reached now", "480 "],
            &["signed in"],
        ),
        row(
            Trouble::PeerNoDialog,
            || refused("481 Call/Transaction Does Not Exist"),
            &[CARRIER_TRUNK, "does not know", "481 "],
            &[CARRIER_TRUNK, "new INVITE"],
        ),
        row(
            Trouble::PeerLoop,
            || refused("482 Loop Detected"),
            &[CARRIER_TRUNK, "circle", "482 "],
            &[CARRIER_TRUNK, "circle behind the called side"],
        ),
        row(
            Trouble::PeerHops,
            || refused("483 Too Many Hops"),
            &[CARRIER_TRUNK, "too many servers", "483 "],
            &[CARRIER_TRUNK, "circle"],
        ),
        row(
            Trouble::PeerNumberIncomplete,
            || refused("484 Address Incomplete"),
            &["+498999998001", "too short", "484 "],
            &["[[transform]]", "+498999998001", CARRIER_TRUNK],
        ),
        row(
            Trouble::PeerAmbiguous,
            || refused("485 Ambiguous"),
            &["+498999998001", "several parties", "485 "],
            &["[[transform]]", CARRIER_TRUNK],
        ),
        row(
            Trouble::PeerBusy,
            || refused("486 Busy Here"),
            &["the called party is busy", "486 Busy Here"],
            &["nothing"],
        ),
        row(
            Trouble::PeerTerminated,
            || refused("487 Request Terminated"),
            &[CARRIER_TRUNK, "had not cancelled", "487 "],
            &[CARRIER_TRUNK, "limit on ringing"],
        ),
        row(
            Trouble::PeerRefusesMedia,
            || refused("488 Not Acceptable Here"),
            &[CARRIER_TRUNK, "none of the codecs", "488 "],
            &["codecs and srtp of trunk \"carrier-a\""],
        ),
        row(
            Trouble::PeerRefusesMedia,
            || refused("606 Not Acceptable"),
            &[CARRIER_TRUNK, "none of the codecs", "606 "],
            &["codecs and srtp of trunk \"carrier-a\""],
        ),
        row(
            Trouble::PeerPending,
            || refused("491 Request Pending"),
            &[CARRIER_TRUNK, "still under way", "491 "],
            &[CARRIER_TRUNK],
        ),
        row(
            Trouble::PeerUndecipherable,
            || refused("493 Undecipherable"),
            &[CARRIER_TRUNK, "cannot decrypt", "493 "],
            &[CARRIER_TRUNK, "unencrypted"],
        ),
        row(
            Trouble::PeerSecurity,
            || refused("494 Security Agreement Required"),
            &[CARRIER_TRUNK, "security", "494 "],
            &[CARRIER_TRUNK, "TLS"],
        ),
        row(
            Trouble::PeerFault,
            || refused("500 Server Internal Error"),
            &[CARRIER_TRUNK, "fault of its own", "500 "],
            &["add 500 to reroute_on of trunk \"carrier-a\"", "[[route]]"],
        ),
        row(
            Trouble::PeerGateway,
            || refused("502 Bad Gateway"),
            &[CARRIER_TRUNK, "stands behind it", "502 Bad Gateway"],
            &["add 502 to reroute_on of trunk \"carrier-a\""],
        ),
        row(
            Trouble::PeerOverloaded,
            || refused("503 Service Unavailable"),
            &[CARRIER_TRUNK, "cannot serve the call now", "503 "],
            &["add 503", CARRIER_TRUNK],
        ),
        row(
            Trouble::PeerPause,
            || refused_under(CONFIG, "503 Service Unavailable", "Retry-After: 60\n"),
            &[CARRIER_TRUNK, "Retry-After", "503 "],
            &["wait", CARRIER_TRUNK, "[trunk.limits]"],
        ),
        row(
            Trouble::PeerGatewayTimeout,
            || refused("504 Server Time-out"),
            &[
                CARRIER_TRUNK,
                "no answer from what stands behind it",
                "504 ",
            ],
            &["add 504", CARRIER_TRUNK],
        ),
        row(
            Trouble::PeerVersion,
            || refused("505 Version Not Supported"),
            &[CARRIER_TRUNK, "SIP 2.0", "505 "],
            &["targets of trunk \"carrier-a\""],
        ),
        row(
            Trouble::PeerPrecondition,
            || refused("580 Precondition Failure"),
            &[CARRIER_TRUNK, "precondition", "580 "],
            &[CARRIER_TRUNK, "RFC 3312"],
        ),
        row(
            Trouble::PeerBusyEverywhere,
            || refused("600 Busy Everywhere"),
            &["busy at all of its places", "600 "],
            &["nothing"],
        ),
        row(
            Trouble::PeerDeclines,
            || refused("603 Decline"),
            &["declines the call", "603 "],
            &["pressed decline", "caller's number"],
        ),
        row(
            Trouble::PeerNumberNowhere,
            || refused("604 Does Not Exist Anywhere"),
            &["+498999998001", "exists nowhere", "604 "],
            &[CARRIER_TRUNK, "+498999998001"],
        ),
        row(
            Trouble::PeerUnwanted,
            || refused("607 Unwanted"),
            &["does not want calls of this number", "607 "],
            &["caller's number"],
        ),
        row(
            Trouble::PeerFiltered,
            || refused("608 Rejected"),
            &["filter", "608 "],
            &["caller's number", "Call-Info"],
        ),
        row(
            Trouble::PeerRefuses,
            || refused("450 Odd"),
            &["refused the call", "450"],
            &["ask the peer of trunk \"carrier-a\""],
        ),
        row(
            Trouble::RingTimeout,
            || rings(CONFIG, "", 190),
            &[CARRIER_TRUNK, "nobody answered in time"],
            &["timers.ring_timeout of trunk \"carrier-a\""],
        ),
        row(
            Trouble::InvitationExpired,
            || rings(CONFIG, "Expires: 20\n", 21),
            &["Expires"],
            &["trunk \"teams-contoso\"", "Expires"],
        ),
        row(
            Trouble::SetupTooLong,
            || {
                rings(
                    &format!("{CONFIG}\n[limits]\nmax_setup = \"20s\"\n"),
                    "",
                    21,
                )
            },
            &["longest time that a set-up may take"],
            &["max_setup in [limits]"],
        ),
        row(
            Trouble::EarlyMediaTooLong,
            plays_on,
            &[CARRIER_TRUNK, "before an answer"],
            &["early_media_max of trunk \"carrier-a\""],
        ),
    ]
}
