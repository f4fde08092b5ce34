//! Peers that register with us: who they must prove to be, what they may register, and where their
//! calls go (SIP-1600, SIP-1610, SIP-1630, RFC 3261 §10.3).

use crate::world::call::header;
use crate::world::*;
use sbc_core::auth::{Account, Algorithm, Asker, Challenge, Password, Proof, Qop, Unproven};
use sbc_core::config::{Assumed, Source, load};
use sbc_core::event::{DropCode, Happened};
use sbc_core::id::{FlowId, ListenerName, ShardId};
use sbc_core::input::Input;
use sbc_core::sip::header::{Contact, Supported};
use sbc_core::sip::{HeaderName, Limits, Message, Method};
use sbc_core::transport::{Flow, FlowFault, Protocol};
use sbc_core::trunk::Bound;
use std::sync::Arc;
use std::time::Duration;

/// Where the customer's exchange is seen: a NAT stands before it.
const PBX: &str = "198.51.100.200:30123";

/// A world with an exchange that registers, called by Teams, and beside it a carrier.
pub(crate) fn with_pbx(authenticate: &str, registrar: &str) -> String {
    let pbx = format!(
        "[[trunk]]
name = \"pbx\"
tenant = \"contoso\"
realm = \"carrier\"
accept_from = [\"198.51.100.128/25\"]
codecs = [\"PCMA\", \"PCMU\"]
mode = \"registrar\"
authenticate = {{ username = \"pbx1\", password = {{ credential = \"pbx\" }}, \
         realm = \"sip.example.com\"{authenticate} }}
registrar = {{ aor = \"sip:pbx1@sip.example.com\"{registrar} }}

[[route]]
name = \"to-pbx\"
match = {{ from_trunk = \"teams-contoso\" }}
to = [{{ trunk = \"pbx\" }}, {{ trunk = \"carrier-a\" }}]

[[route]]
name = \"from-pbx\"
match = {{ from_trunk = \"pbx\" }}
to = [{{ trunk = \"teams-contoso\" }}]

[[route]]
name = \"to-teams\"
"
    );
    CONFIG
        .replace("[[route]]\nname = \"to-teams\"\n", &pbx)
        .replace(
            "[[listen]]\nrealm = \"carrier\"\ntransport = \"udp\"\nport = 5060\n",
            "[[listen]]\nrealm = \"carrier\"\ntransport = \"udp\"\nport = 5060\n\n\
             [[listen]]\nrealm = \"carrier\"\ntransport = \"tcp\"\nport = 5060\n",
        )
        .replace(
            "preset = \"teams\"\n",
            "preset = \"teams\"\noptions = false\n",
        )
        .replace(
            "preset = \"carrier\"\n",
            "preset = \"carrier\"\noptions = false\n",
        )
}

pub(crate) fn started(text: &str) -> Shard {
    Shard::with(config_of(text))
}

fn listener(shard_config: &str, protocol: Protocol) -> ListenerName {
    let config = config_of(shard_config);
    let mut all = config.listeners.values();
    let found = all.find(|at| at.protocol == protocol).unwrap();
    found.name.clone()
}

pub(crate) fn flow_of(id: u64, protocol: Protocol, remote: &str) -> Flow {
    Flow {
        id: FlowId(id),
        protocol,
        listener: listener(&with_pbx("", ""), protocol),
        local: "192.0.2.11:5060".parse().unwrap(),
        remote: remote.parse().unwrap(),
        identity: None,
        tls: None,
    }
}

pub(crate) fn udp() -> Flow {
    flow_of(30, Protocol::Udp, PBX)
}

/// A REGISTER of the exchange.
pub(crate) struct Register<'a> {
    pub(crate) call_id: &'a str,
    pub(crate) cseq: u32,
    pub(crate) contacts: &'a str,
    pub(crate) lines: &'a str,
}

/// What an exchange says at first.
pub(crate) const USUAL: Register<'static> = Register {
    call_id: "r1",
    cseq: 1,
    contacts: "Contact: <sip:line7@10.0.0.7:5060>\n",
    lines: "",
};

impl Register<'_> {
    pub(crate) fn text(&self) -> String {
        with_body(
            &format!(
                "REGISTER sip:sip.example.com SIP/2.0
Via: SIP/2.0/UDP 10.0.0.7:5060;branch=z9hG4bK{}x{};rport
Max-Forwards: 70
From: <sip:pbx1@sip.example.com>;tag=p1
To: <sip:pbx1@sip.example.com>
Call-ID: {}
CSeq: {} REGISTER
{}{}",
                self.call_id, self.cseq, self.call_id, self.cseq, self.contacts, self.lines
            ),
            "",
        )
    }
}

/// How credentials are made; what is not the usual way is wrong in some respect.
pub(crate) struct How<'a> {
    pub(crate) username: &'a str,
    pub(crate) password: &'a str,
    pub(crate) algorithm: &'a str,
    pub(crate) qop: Qop,
    pub(crate) count: u32,
}

pub(crate) const RIGHT: How<'static> = How {
    username: "pbx1",
    password: "assumed",
    algorithm: "SHA-256",
    qop: Qop::Auth,
    count: 1,
};

fn parsed(text: &str) -> Message {
    let text = text.replace('\n', "\r\n");
    Message::parse(bytes::Bytes::from(text), &Limits::default()).unwrap()
}

/// The credentials line for a request that is challenged.
pub(crate) fn credentials(request: &str, challenge: &Challenge, how: &How<'_>) -> String {
    let message = parsed(request);
    let account = Account {
        username: how.username.to_owned(),
        password: Password::new(how.password.as_bytes().to_vec()),
        realms: Vec::new(),
        allows_md5: true,
    };
    let proof = Proof {
        algorithm: Algorithm::named(how.algorithm.as_bytes()).unwrap(),
        account: &account,
        realm: &challenge.realm,
        nonce: &challenge.nonce,
        qop: Some(how.qop),
        count: how.count,
        cnonce: "c0ffee",
        method: message.method(),
        uri: &message.request_uri(),
        body: &message.body(),
    };
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let name = match challenge.asker {
        Asker::Server => "Authorization",
        Asker::Proxy => "Proxy-Authorization",
    };
    format!(
        "{name}: Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", response=\"{}\", \
         cnonce=\"c0ffee\", qop={}, nc={:08x}, algorithm={}\n",
        how.username,
        text(&challenge.realm),
        text(&challenge.nonce),
        text(&message.request_uri()),
        proof.response(),
        how.qop.name(),
        how.count,
        how.algorithm
    )
}

/// A request with another line.
pub(crate) fn with_line(request: &str, line: &str) -> String {
    request.replacen("Max-Forwards:", &format!("{line}Max-Forwards:"), 1)
}

/// The challenge that a request gets.
pub(crate) fn challenged(shard: &mut Shard, flow: &Flow, request: &str, status: u16) -> Challenge {
    shard.receive(flow.clone(), request);
    let refusal = shard.next_response(status);
    assert_eq!(refusal.hop.remote, flow.remote);
    assert!(refusal.transaction.is_none(), "nothing is remembered");
    let all = Challenge::all_of(&refusal.message);
    all.into_iter().next().unwrap()
}

/// The answer to a REGISTER whose sender proves who he is.
pub(crate) fn registers(shard: &mut Shard, flow: &Flow, register: &Register<'_>) -> Message {
    let first = Register { ..*register };
    let challenge = challenged(shard, flow, &first.text(), 401);
    let second = Register {
        cseq: register.cseq + 1,
        ..*register
    };
    let text = second.text();
    let line = credentials(&text, &challenge, &RIGHT);
    shard.receive(flow.clone(), &with_line(&text, &line));
    shard.next().message
}

pub(crate) fn status(message: &Message) -> u16 {
    message.status().unwrap().code()
}

/// The contacts of a 200, with what is left of their life.
pub(crate) fn contacts(ok: &Message) -> Vec<(String, u32)> {
    assert_eq!(status(ok), 200, "{ok:?}");
    let all = ok.list::<Contact>().unwrap();
    all.iter()
        .map(|contact| {
            let uri = contact.uri().unwrap().to_bytes();
            let uri = String::from_utf8_lossy(&uri).into_owned();
            (uri, contact.expires_s().unwrap())
        })
        .collect()
}

fn bound(shard: &Shard) -> Arc<Bound> {
    let all = shard.happened.iter().rev();
    let mut all = all.filter_map(|what| match what {
        Happened::Bindings { bound, .. } => Some(Arc::clone(bound)),
        _ => None,
    });
    all.next().expect("something was told")
}

pub(crate) fn unproven(shard: &Shard) -> Vec<Unproven> {
    let all = shard.happened.iter();
    all.filter_map(|what| match what {
        Happened::Unproven { refused, .. } => Some(refused.why),
        _ => None,
    })
    .collect()
}

/// A call of Teams; the INVITE that it leads to.
fn called(shard: &mut Shard, call_id: &str) -> Sent {
    shard.teams_says(&teams_invite(call_id));
    shard.next_response(100);
    shard.next_request(Method::Invite)
}

pub(crate) fn invite_of_pbx(call_id: &str) -> String {
    carrier_invite(call_id, CARRIER_SDP)
        .replace("198.51.100.20:5060;branch", "10.0.0.7:5060;branch")
        .replace("<sip:gw@198.51.100.20:5060>", "<sip:line7@10.0.0.7:5060>")
}

/// The findings about a configuration that is changed in one place.
fn finding(from: &str, to: &str) -> String {
    let text = with_pbx("", "").replace(from, to);
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    match load(&[Source::new("test.toml", text.as_str())], &facts, None) {
        Ok(_) => String::new(),
        Err(findings) => findings.to_text(),
    }
}

#[test]
fn what_cannot_be_is_said_with_its_place() {
    let second = "[[trunk]]\nname = \"pbx2\"\ntenant = \"contoso\"\nrealm = \"carrier\"\n\
        accept_from = [\"198.51.100.128/25\"]\n\
        authenticate = { username = \"USER\", password = { credential = \"p\" }, \
        realm = \"sip.example.com\", algorithms = [\"ALGORITHM\"] }\n\
        registrar = { aor = \"sip:USER@sip.example.com\" }\n\n[[route]]\nname = \"to-pbx\"\n";
    let pair = |user: &str, algorithms: &str| {
        let text = second
            .replace("USER", user)
            .replace("[\"ALGORITHM\"]", algorithms);
        finding("[[route]]\nname = \"to-pbx\"\n", &text)
    };
    let cases = [
        (
            finding("mode = \"registrar\"", "mode = \"static\""),
            "its peer registers with us",
        ),
        (
            finding(
                "mode = \"registrar\"",
                "targets = [\"192.0.2.77:5060;udp\"]",
            ),
            "calls go to where the peer registers from",
        ),
        (
            finding("accept_from = [\"198.51.100.128/25\"]\n", ""),
            "nothing says from which addresses",
        ),
        (
            finding("\"sip:pbx1@sip.example.com\"", "\"pbx1\""),
            "is no address of record",
        ),
        (
            finding(
                "password = { credential = \"pbx\" }",
                "password = \"secret\"",
            ),
            "secrets are never written into the configuration",
        ),
        (
            finding("realm = \"sip.example.com\"", "challenge = 404"),
            "\"realm\" is missing",
        ),
        (
            finding("registrar = {", "registrar = { min_expires = \"1s\","),
            "min_expires",
        ),
        (
            finding(
                "registrar = {",
                "registrar = { service_route = [\"sip:192.0.2.1\"],",
            ),
            "is no hop",
        ),
        (
            finding(
                "preset = \"teams\"\n",
                "preset = \"teams\"\nregistrar = { aor = \"sip:a@b.example\" }\n",
            ),
            "Teams registers with nobody",
        ),
        (
            pair("pbx1", "[\"SHA-256\", \"MD5\"]"),
            "has the same user name in the same realm",
        ),
        (
            pair("pbx2", "[\"SHA-256\"]"),
            "has the same realm with other algorithms",
        ),
    ];
    for (found, expected) in &cases {
        assert!(found.contains(expected), "{expected}: {found:?}");
    }
    assert_eq!(pair("pbx2", "[\"SHA-256\", \"MD5\"]"), "");
    // Anybody may try, who then has to prove who he is.
    assert_eq!(finding("198.51.100.128/25", "0.0.0.0/0"), "");
}

#[test]
fn a_rehearsal_needs_no_password_and_finds_the_peer_registered() {
    let case = "
[[test]]
name = \"to the exchange\"
call = { trunk = \"teams-contoso\", from = \"+493023125456\", to = \"+498999998001\" }
expect = { trunk = \"pbx\", request_uri = \"sip:pbx1@198.51.100.128\" }

[[test]]
name = \"from the exchange\"
call = { trunk = \"pbx\", from = \"+498999998001\", to = \"+493023125456\" }
expect = { trunk = \"teams-contoso\" }
";
    let text = format!("{}{case}", with_pbx("", ""));
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    let loaded = load(&[Source::new("test.toml", text.as_str())], &facts, None);
    let played = loaded.and_then(sbc_core::rehearsal::gate);
    if let Err(findings) = played {
        panic!("{}", findings.to_text());
    }
}

#[test]
fn calls_of_the_peer_are_challenged_and_their_ack_cancel_and_dialog_are_not() {
    let mut shard = started(&with_pbx(", challenge = 407", ""));
    let invite = invite_of_pbx("p1");
    let challenge = challenged(&mut shard, &udp(), &invite, 407);
    assert_eq!(challenge.asker, Asker::Proxy);
    // The ACK of the challenge is nothing that need be told.
    let ack = invite
        .replace("INVITE sip", "ACK sip")
        .replace("10 INVITE", "10 ACK")
        .replace(
            "To: <sip:+493023125456@192.0.2.11>",
            "To: <sip:+493023125456@192.0.2.11>;tag=00123456789abcdef",
        );
    shard.receive(udp(), &ack);
    let strays = shard.happened.iter().filter(|what| {
        matches!(
            what,
            Happened::Dropped {
                why: DropCode::StrayAck,
                ..
            }
        )
    });
    assert_eq!(strays.count(), 0);
    let again = invite
        .replace("CSeq: 10", "CSeq: 11")
        .replace("z9hG4bKp1", "z9hG4bKp2");
    let line = credentials(&again, &challenge, &RIGHT);
    let proven = with_line(&again, &line);
    shard.receive(udp(), &proven);
    shard.next_response(100);
    let out = shard.next_request(Method::Invite);
    assert!(!out.message.has(HeaderName::ProxyAuthorization));
    // A repetition on its way is no replay.
    shard.receive(udp(), &proven);
    shard.next_response(100);
    // CANCEL cannot be challenged (RFC 3261 §22.1).
    let cancel = again
        .replace("INVITE sip", "CANCEL sip")
        .replace("11 INVITE", "11 CANCEL");
    shard.receive(udp(), &cancel);
    shard.next_response(200);
    shard.next_response(487);
    let told = shard.happened.iter().any(|what| match what {
        Happened::Admitted { trunk, .. } => trunk.as_str() == "pbx",
        _ => false,
    });
    assert!(told, "the call is the peer's");
}

/// A call of the exchange that is up: our 200 to it.
pub(crate) fn call_of_pbx(shard: &mut Shard) -> Message {
    let invite = invite_of_pbx("up");
    let challenge = challenged(shard, &udp(), &invite, 401);
    let again = invite
        .replace("CSeq: 10", "CSeq: 11")
        .replace("z9hG4bKup", "z9hG4bKup2");
    let line = credentials(&again, &challenge, &RIGHT);
    shard.receive(udp(), &with_line(&again, &line));
    shard.next_response(100);
    let out = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&out, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    let ack = in_dialog(
        &ok,
        "ACK",
        11,
        "SIP/2.0/UDP 10.0.0.7:5060;branch=z9hG4bKack",
    );
    shard.receive(udp(), &ack);
    ok
}

#[test]
fn a_call_of_a_peer_lives_on_after_its_trunk_is_gone() {
    let mut shard = started(&with_pbx("", ""));
    let ok = call_of_pbx(&mut shard);
    shard.apply(Input::Config(config()));
    let bye = in_dialog(
        &ok,
        "BYE",
        12,
        "SIP/2.0/UDP 10.0.0.7:5060;branch=z9hG4bKbye",
    );
    // Not from anywhere: the network of the peer is still that of its call.
    let elsewhere = flow_of(41, Protocol::Udp, "203.0.113.77:5060");
    shard.receive(elsewhere, &bye);
    assert!(shard.sent.is_empty());
    shard.receive(udp(), &bye);
    shard.next_response(200);
    let other = shard.next_request(Method::Bye).message;
    shard.teams_says(&response(&other, "200 OK", "", "", ""));
    assert_eq!(shard.records.len(), 1);
}

#[test]
fn within_a_dialog_only_its_own_network_is_heard() {
    let mut shard = started(&with_pbx("", ""));
    let ok = call_of_pbx(&mut shard);
    let bye = in_dialog(
        &ok,
        "BYE",
        12,
        "SIP/2.0/UDP 10.0.0.7:5060;branch=z9hG4bKbye",
    );
    shard.carrier_says(&bye);
    shard.next_response(481);
    // Its router may have given it another port meanwhile.
    let moved = flow_of(33, Protocol::Udp, "198.51.100.200:41000");
    shard.receive(moved, &bye.replace("z9hG4bKbye", "z9hG4bKbye2"));
    shard.next_response(200);
}

#[test]
fn nothing_of_an_unproven_sender_leaves_a_trace() {
    let mut shard = started(&with_pbx("", ""));
    let options = USUAL.text().replace("REGISTER", "OPTIONS");
    challenged(&mut shard, &udp(), &options, 401);
    let stranger = USUAL.text().replace("REGISTER", "CANCEL");
    shard.receive(udp(), &stranger);
    shard.next_response(481);
    let in_dialog = USUAL.text().replace("REGISTER", "BYE").replace(
        "To: <sip:pbx1@sip.example.com>",
        "To: <sip:pbx1@sip.example.com>;tag=x",
    );
    shard.receive(udp(), &in_dialog);
    shard.next_response(481);
    assert_eq!(shard.core.census(), Default::default());
    // A source of no trunk gets nothing at all.
    let unknown = flow_of(40, Protocol::Udp, "203.0.113.99:5060");
    shard.receive(unknown, &USUAL.text());
    assert!(shard.sent.is_empty());
}

#[test]
fn a_call_goes_where_the_registration_came_from_with_the_contact_as_request_uri() {
    let mut shard = started(&with_pbx("", ""));
    registers(&mut shard, &udp(), &USUAL);
    let out = called(&mut shard, "t1");
    assert_eq!(out.hop.remote.to_string(), PBX);
    assert_eq!(out.hop.flow, Some(FlowId(30)));
    let invite = out.message;
    assert_eq!(&invite.request_uri()[..], b"sip:line7@10.0.0.7:5060");
    assert_eq!(
        header(&invite, HeaderName::To),
        "<sip:+498999998001@sip.example.com>"
    );
    assert!(header(&invite, HeaderName::From).contains("@sip.example.com>"));
    // What comes within the dialog goes to the flow, too: the contact lies behind NAT.
    let contact = "Contact: <sip:line7@10.0.0.7:5060>\n";
    let answer = response(&invite, "200 OK", "x1", contact, CARRIER_SDP);
    shard.receive(udp(), &answer);
    let ack = shard.next_request(Method::Ack);
    assert_eq!(ack.hop.remote.to_string(), PBX);
    assert!(shard.queries.is_empty());
    // The peer's router gives it another port: its next REGISTER says so.
    let ok = shard.next_response(200).message;
    let moved = flow_of(33, Protocol::Udp, "198.51.100.200:41000");
    shard.teams_says(&in_dialog(
        &ok,
        "ACK",
        1,
        "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bKa",
    ));
    let again = Register { cseq: 5, ..USUAL };
    registers(&mut shard, &moved, &again);
    shard.sent.clear();
    shard.teams_says(&in_dialog(
        &ok,
        "BYE",
        2,
        "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bKb",
    ));
    let bye = shard.sent.iter().find(|sent| sent.message.is_request());
    let bye = bye.expect("BYE");
    assert_eq!(bye.hop.remote.to_string(), "198.51.100.200:41000");
}

#[test]
fn without_a_binding_the_next_trunk_is_called_and_without_another_the_caller_gets_480() {
    let mut shard = started(&with_pbx("", ""));
    let out = called(&mut shard, "t1");
    assert_eq!(out.hop.remote.to_string(), CARRIER);
    let alone = with_pbx("", "").replace(
        "to = [{ trunk = \"pbx\" }, { trunk = \"carrier-a\" }]",
        "to = [{ trunk = \"pbx\" }]",
    );
    let mut shard = started(&alone);
    shard.teams_says(&teams_invite("t2"));
    shard.next_response(100);
    let refusal = shard.next_response(480).message;
    assert!(header(&refusal, HeaderName::Reason).contains("cause=20"));
    shard.teams_says(&teams_invite("t2").replace("INVITE", "ACK").replace(
        "TO: <sip:+498999998001@sbc1.contoso.example:5061;user=phone>",
        &format!("TO: {}", header(&refusal, HeaderName::To)),
    ));
    shard.settles();
    let record = shard.records.pop().expect("a record");
    assert_eq!(record.cause.status, Some(480));
    let why = &record.cause.because.0;
    assert!(
        why.iter()
            .any(|fact| fact.contains("has registered no contact")),
        "{why:?}"
    );
}

#[test]
fn contacts_are_tried_in_the_order_of_their_preference() {
    let mut shard = started(&with_pbx("", ""));
    let lines = "Contact: <sip:b@10.0.0.8:5060>;q=0.4\nContact: <sip:a@10.0.0.7:5060>;q=0.9\n";
    let two = Register {
        contacts: lines,
        ..USUAL
    };
    let ok = registers(&mut shard, &udp(), &two);
    assert_eq!(contacts(&ok).len(), 2);
    let out = called(&mut shard, "t1").message;
    assert_eq!(&out.request_uri()[..], b"sip:a@10.0.0.7:5060");
    shard.receive(
        udp(),
        &response(&out, "503 Service Unavailable", "x", "", ""),
    );
    shard.next_request(Method::Ack);
    let out = shard.next_request(Method::Invite).message;
    assert_eq!(&out.request_uri()[..], b"sip:b@10.0.0.8:5060");
    shard.receive(udp(), &response(&out, "430 Flow Failed", "x", "", ""));
    shard.next_request(Method::Ack);
}

#[test]
fn a_contact_that_is_gone_while_another_is_called_is_not_tried() {
    let mut shard = started(&with_pbx("", ""));
    let two = Register {
        contacts: "Contact: <sip:b@10.0.0.8:5060>;q=0.4\nContact: <sip:a@10.0.0.7:5060>;q=0.9\n",
        ..USUAL
    };
    registers(&mut shard, &udp(), &two);
    let out = called(&mut shard, "t1").message;
    let gone = Register {
        cseq: 5,
        contacts: "Contact: <sip:b@10.0.0.8:5060>;expires=0\n",
        ..USUAL
    };
    registers(&mut shard, &udp(), &gone);
    shard.receive(
        udp(),
        &response(&out, "503 Service Unavailable", "x", "", ""),
    );
    shard.next_request(Method::Ack);
    let next = shard.next_request(Method::Invite);
    assert_eq!(next.hop.remote.to_string(), CARRIER, "the next trunk");
    // One that was refreshed from elsewhere meanwhile is called there.
    let mut shard = started(&with_pbx("", ""));
    registers(&mut shard, &udp(), &two);
    let out = called(&mut shard, "t2").message;
    let moved = flow_of(33, Protocol::Udp, "198.51.100.200:41000");
    let again = Register { cseq: 5, ..two };
    registers(&mut shard, &moved, &again);
    shard.receive(
        udp(),
        &response(&out, "503 Service Unavailable", "x", "", ""),
    );
    shard.next_request(Method::Ack);
    let next = shard.next_request(Method::Invite);
    assert_eq!(next.hop.remote.to_string(), "198.51.100.200:41000");
    assert_eq!(&next.message.request_uri()[..], b"sip:b@10.0.0.8:5060");
}

#[test]
fn a_life_is_granted_within_limits_and_ends_with_its_time() {
    let limits = ", min_expires = \"2m\", max_expires = \"30m\", expires = \"10m\"";
    let mut shard = started(&with_pbx("", limits));
    let brief = Register {
        lines: "Expires: 119\n",
        ..USUAL
    };
    let refusal = registers(&mut shard, &udp(), &brief);
    assert_eq!(status(&refusal), 423);
    assert_eq!(header(&refusal, HeaderName::MinExpires), "120");
    let refused = shard.happened.iter().any(
        |what| matches!(what, Happened::RegisterRefused { status, .. } if status.code() == 423),
    );
    assert!(refused);
    let cases = [
        ("", "", 600),
        ("Expires: 86400\n", "", 1_800),
        ("Expires: 60\n", ";expires=300", 300),
        ("", ";expires=99999999999999999999", 1_800),
        ("", ";expires=soon", 1_800),
        ("Expires: 120\n", "", 120),
    ];
    for (number, (lines, param, granted)) in (10..).step_by(2).zip(cases) {
        let contact = format!("Contact: <sip:line7@10.0.0.7:5060>{param}\n");
        let register = Register {
            cseq: number,
            contacts: &contact,
            lines,
            ..USUAL
        };
        let ok = registers(&mut shard, &udp(), &register);
        assert_eq!(contacts(&ok)[0].1, granted, "{lines:?} {param:?}");
        let date = header(&ok, HeaderName::Date);
        assert!(date.ends_with(" GMT"), "{date}");
    }
    assert_eq!(shard.core.census().bindings, 1);
    shard.pass(Duration::from_secs(119));
    assert_eq!(bound(&shard).bindings.len(), 1);
    shard.pass(Duration::from_secs(1));
    assert!(bound(&shard).bindings.is_empty());
    assert_eq!(shard.core.census().bindings, 0);
    let out = called(&mut shard, "t1");
    assert_eq!(out.hop.remote.to_string(), CARRIER);
}

#[test]
fn a_query_shows_what_stands_and_a_star_takes_all_back() {
    let mut shard = started(&with_pbx("", ", contacts = 2"));
    let lines = "Contact: <sip:a@10.0.0.7:5060>, <sip:b@10.0.0.8:5060>\n";
    let at = |cseq: u32, contacts: &'static str, lines: &'static str| Register {
        cseq,
        contacts,
        lines,
        ..USUAL
    };
    let ok = registers(&mut shard, &udp(), &at(1, lines, ""));
    assert_eq!(contacts(&ok).len(), 2);
    shard.pass(Duration::from_secs(100));
    let ok = registers(&mut shard, &udp(), &at(3, "", ""));
    assert_eq!(contacts(&ok).iter().map(|one| one.1).max(), Some(3_500));
    // One too many: nothing of the request is done.
    let more = "Contact: <sip:a@10.0.0.7:5060>;expires=60\nContact: <sip:c@10.0.0.9:5060>\n";
    let refusal = registers(&mut shard, &udp(), &at(5, more, ""));
    assert_eq!(status(&refusal), 403);
    let ok = registers(&mut shard, &udp(), &at(7, "", ""));
    assert_eq!(contacts(&ok).iter().map(|one| one.1).min(), Some(3_500));
    for wrong in [
        at(9, "Contact: *\n", ""),
        at(11, "Contact: *\n", "Expires: 60\n"),
        at(
            13,
            "Contact: *\nContact: <sip:a@10.0.0.7:5060>\n",
            "Expires: 0\n",
        ),
    ] {
        let refusal = registers(&mut shard, &udp(), &wrong);
        assert_eq!(status(&refusal), 400, "{}", wrong.contacts);
    }
    let ok = registers(&mut shard, &udp(), &at(15, "Contact: *\n", "Expires: 0\n"));
    assert!(contacts(&ok).is_empty());
    assert!(bound(&shard).bindings.is_empty());
}

#[test]
fn an_older_request_of_the_same_call_changes_nothing_and_another_call_id_does() {
    let mut shard = started(&with_pbx("", ""));
    let at = |call_id: &'static str, cseq: u32, lines: &'static str| Register {
        call_id,
        cseq,
        lines,
        ..USUAL
    };
    registers(&mut shard, &udp(), &at("r1", 20, ""));
    let late = registers(&mut shard, &udp(), &at("r1", 18, "Expires: 0\n"));
    assert_eq!(status(&late), 500);
    assert_eq!(bound(&shard).bindings.len(), 1);
    // After a restart the peer counts from the beginning, in another call.
    let ok = registers(&mut shard, &udp(), &at("r2", 1, "Expires: 0\n"));
    assert!(contacts(&ok).is_empty());
}

#[test]
fn what_a_peer_may_not_register_is_refused() {
    let mut shard = started(&with_pbx("", ""));
    let cases = [
        ("Contact: <sip:us@192.0.2.11:5060>\n", 403),
        ("Contact: <sip:a@10.0.0.7:22>\n", 403),
        ("Contact: <tel:+493023125456>\n", 400),
        ("Contact: <sips:a@10.0.0.7>\n", 400),
        ("Contact: <sip:10.0.0.7;bnc>\n", 400),
    ];
    for (cseq, (contacts, expected)) in (1..).step_by(2).zip(cases) {
        let register = Register {
            cseq,
            contacts,
            ..USUAL
        };
        let refusal = registers(&mut shard, &udp(), &register);
        assert_eq!(status(&refusal), expected, "{contacts}");
    }
    let long = format!("Contact: <sip:a@10.0.0.7:5060;x={}>\n", "y".repeat(2_000));
    let register = Register {
        cseq: 31,
        contacts: &long,
        ..USUAL
    };
    assert_eq!(status(&registers(&mut shard, &udp(), &register)), 400);
    // In the name of another, for another, or for a domain of others.
    let foreign = [
        ("To: <sip:pbx1@", "To: <sip:pbx9@", 404),
        ("From: <sip:pbx1@", "From: <sip:pbx9@", 403),
        (
            "REGISTER sip:sip.example.com",
            "REGISTER sip:sip.example.net",
            404,
        ),
        (
            "Max-Forwards: 70\n",
            "Max-Forwards: 70\nRequire: gin, path, x\n",
            420,
        ),
    ];
    for (cseq, (from, to, expected)) in (41..).step_by(2).zip(foreign) {
        let register = |cseq| Register { cseq, ..USUAL }.text().replace(from, to);
        let challenge = challenged(&mut shard, &udp(), &register(cseq), 401);
        let text = register(cseq + 1);
        let line = credentials(&text, &challenge, &RIGHT);
        shard.receive(udp(), &with_line(&text, &line));
        let refusal = shard.next_response(expected).message;
        if expected == 420 {
            assert_eq!(header(&refusal, HeaderName::Unsupported), "gin, x");
        }
    }
    assert_eq!(shard.core.census().bindings, 0);
}

#[test]
fn a_path_is_kept_repeated_and_followed() {
    let mut shard = started(&with_pbx("", ", service_route = [\"sip:192.0.2.11;lr\"]"));
    let register = Register {
        lines: "Supported: path\nPath: <sip:edge2.example.net;lr>\nPath: <sip:edge1.example.net;lr>\n",
        ..USUAL
    };
    let ok = registers(&mut shard, &udp(), &register);
    let path = "<sip:edge2.example.net;lr>";
    assert_eq!(header(&ok, HeaderName::Path), path);
    assert_eq!(header(&ok, HeaderName::ServiceRoute), "<sip:192.0.2.11;lr>");
    let own = header(&ok, HeaderName::PAssociatedUri);
    assert_eq!(own, "<sip:pbx1@sip.example.com>");
    let supported = ok.list::<Supported>().unwrap();
    assert!(supported.iter().any(|tag| tag.is("path")));
    let out = called(&mut shard, "t1");
    assert_eq!(out.hop.remote.to_string(), PBX);
    let routes: Vec<_> = out.message.raw_all(HeaderName::Route).collect();
    assert_eq!(
        routes,
        ["<sip:edge2.example.net;lr>", "<sip:edge1.example.net;lr>"]
    );
    let many = "Path: <sip:edge.example.net;lr>\n".repeat(11);
    let register = Register {
        cseq: 5,
        lines: &many,
        ..USUAL
    };
    assert_eq!(status(&registers(&mut shard, &udp(), &register)), 400);
}

#[test]
fn a_connection_that_is_gone_takes_its_contact_along_unless_it_can_be_called_back() {
    let lost = |shard: &mut Shard, flow: u64| {
        shard.apply(Input::FlowLost {
            flow: FlowId(flow),
            why: FlowFault::Closed,
        });
    };
    let stream = flow_of(50, Protocol::Tcp, PBX);
    let mut shard = started(&with_pbx("", ""));
    registers(&mut shard, &stream, &USUAL);
    let out = called(&mut shard, "t1");
    assert_eq!(out.hop.flow, Some(FlowId(50)));
    lost(&mut shard, 50);
    assert!(bound(&shard).bindings.is_empty(), "it lies behind NAT");
    // An address that is the sender's own can be connected to.
    let mut shard = started(&with_pbx("", ""));
    let public = Register {
        contacts: "Contact: <sip:line7@198.51.100.200:5070;transport=tcp>\n",
        ..USUAL
    };
    registers(&mut shard, &stream, &public);
    lost(&mut shard, 50);
    let out = called(&mut shard, "t2");
    assert_eq!(out.hop.remote.to_string(), "198.51.100.200:5070");
    assert_eq!((out.hop.flow, out.hop.protocol), (None, Protocol::Tcp));
    // Flows of RFC 5626 are never opened from our side, and the same flow replaces itself.
    let mut shard = started(&with_pbx("", ""));
    let flows = |cseq: u32, port: u16| {
        format!(
            "Contact: <sip:line7@198.51.100.200:{port};transport=tcp>;\
             +sip.instance=\"<urn:uuid:{cseq}>\";reg-id=1\n"
        )
        .replace(&cseq.to_string(), "1")
    };
    let first = flows(1, 5_070);
    let register = Register {
        contacts: &first,
        lines: "Supported: path, outbound\n",
        ..USUAL
    };
    let ok = registers(&mut shard, &stream, &register);
    assert_eq!(header(&ok, HeaderName::Require), "outbound");
    let second = flows(1, 5_090);
    let register = Register {
        cseq: 7,
        contacts: &second,
        ..register
    };
    let next = flow_of(51, Protocol::Tcp, "198.51.100.200:30200");
    let ok = registers(&mut shard, &next, &register);
    assert_eq!(contacts(&ok).len(), 1, "{ok:?}");
    lost(&mut shard, 50);
    assert_eq!(bound(&shard).bindings.len(), 1);
    lost(&mut shard, 51);
    assert!(bound(&shard).bindings.is_empty());
    // A proxy that keeps no flows stands between.
    let via = "Via: SIP/2.0/TCP 192.0.2.99;branch=z9hG4bKq\n";
    let between = Register {
        cseq: 9,
        ..register
    };
    let challenge = challenged(&mut shard, &next, &between.text(), 401);
    let text = Register {
        cseq: 10,
        ..between
    }
    .text();
    let line = credentials(&text, &challenge, &RIGHT);
    shard.receive(next, &with_line(&text, &format!("{line}{via}")));
    shard.next_response(439);
}

#[test]
fn all_numbers_at_once_are_called_with_the_number_at_the_contact() {
    let mut shard = started(&with_pbx("", ", gin = true"));
    let gin = "Require: gin\nProxy-Require: gin\nSupported: path\n";
    let bulk = Register {
        contacts: "Contact: <sip:10.0.0.7:5060;bnc>\n",
        lines: gin,
        ..USUAL
    };
    let ok = registers(&mut shard, &udp(), &bulk);
    assert_eq!(contacts(&ok)[0].0, "sip:10.0.0.7:5060;bnc");
    assert!(bound(&shard).bindings[0].is_bulk);
    let out = called(&mut shard, "t1");
    assert_eq!(out.hop.remote.to_string(), PBX);
    assert_eq!(
        &out.message.request_uri()[..],
        b"sip:+498999998001@10.0.0.7:5060"
    );
    let wrong = [
        ("Contact: <sip:line7@10.0.0.7:5060;bnc>\n", gin, 400),
        ("Contact: <sip:10.0.0.7:5060;bnc;user=phone>\n", gin, 400),
        (
            "Contact: <sip:10.0.0.7:5060;bnc>\n",
            "Supported: path\n",
            421,
        ),
    ];
    for (cseq, (contacts, lines, expected)) in (11..).step_by(2).zip(wrong) {
        let register = Register {
            cseq,
            contacts,
            lines,
            ..USUAL
        };
        let refusal = registers(&mut shard, &udp(), &register);
        assert_eq!(status(&refusal), expected, "{contacts}");
        if expected == 421 {
            assert_eq!(header(&refusal, HeaderName::Require), "gin");
        }
    }
}

#[test]
fn a_contact_of_its_own_may_be_called_with_the_number_too() {
    let mut shard = started(&with_pbx("", ", called = \"number\""));
    registers(&mut shard, &udp(), &USUAL);
    let out = called(&mut shard, "t1");
    assert_eq!(
        &out.message.request_uri()[..],
        b"sip:+498999998001@10.0.0.7:5060"
    );
}

#[test]
fn every_shard_knows_the_contacts_and_a_reload_leaves_them() {
    let text = with_pbx("", "");
    let config = config_of(&text);
    let mut registrar = Shard::one_of(Arc::clone(&config), ShardId(0), 2);
    registers(&mut registrar, &udp(), &USUAL);
    let mut other = Shard::one_of(Arc::clone(&config), ShardId(1), 2);
    other.apply(Input::Bindings(bound(&registrar)));
    let out = called(&mut other, "t1");
    assert_eq!(out.hop.remote.to_string(), PBX);
    // A nonce of the other shard is stale, not wrong.
    let challenge = challenged(&mut registrar, &udp(), &invite_of_pbx("p1"), 401);
    let invite = invite_of_pbx("p2");
    let line = credentials(&invite, &challenge, &RIGHT);
    other.receive(udp(), &with_line(&invite, &line));
    let refusal = other.next_response(401).message;
    assert!(Challenge::all_of(&refusal)[0].is_stale);
    let changed = config_of(&with_pbx("", ", max_expires = \"90m\""));
    for shard in [&mut registrar, &mut other] {
        shard.apply(Input::Config(Arc::clone(&changed)));
        let out = called(shard, "t2");
        assert_eq!(out.hop.remote.to_string(), PBX);
    }
    // Another address of record is another peer.
    let renamed = config_of(&with_pbx("", "").replace("sip:pbx1@sip", "sip:pbx7@sip"));
    registrar.apply(Input::Config(renamed));
    assert!(bound(&registrar).bindings.is_empty());
}
