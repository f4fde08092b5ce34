//! Challenges to requests of ours: 401 and 407, and what is never answered (SIP-1610).

use crate::world;

use sbc_core::auth::{Account, Algorithm, Password, Proof, Qop};
use sbc_core::event::Happened;
use sbc_core::id::CommandId;
use sbc_core::input::{Command, Input};
use sbc_core::sip::header::{AuthParams, Authorization, Header, ProxyAuthorization};
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::{Call, VIA, header};
use world::two::Two;
use world::*;

/// The carrier knows us by name and password. `Assumed` facts say that every password is "assumed".
fn account() -> String {
    CONFIG.replace(
        "codecs = [\"PCMA\", \"PCMU\"]\n",
        "codecs = [\"PCMA\", \"PCMU\"]\n\
         digest = { username = \"contoso\", password = { credential = \"carrier-a\" }, \
         realms = [\"carrier.example\"] }\n",
    )
}

fn asks(nonce: &str) -> String {
    format!(
        "Proxy-Authenticate: Digest realm=\"carrier.example\", nonce=\"{nonce}\", qop=\"auth\", \
         algorithm=SHA-256\n"
    )
}

fn refuses(shard: &mut Shard, request: &Message, start: &str, lines: &str) {
    shard.carrier_says(&response(request, start, "p1", lines, ""));
}

/// A call to the carrier, which has answered its first INVITE with a challenge: the second.
fn challenged(call_id: &str) -> (Shard, Message, Message) {
    let (mut shard, first) = called_in(&account(), call_id);
    let first = first.message;
    assert!(!first.has(HeaderName::ProxyAuthorization), "nobody asked");
    let start = "407 Proxy Authentication Required";
    refuses(&mut shard, &first, start, &asks("n1"));
    let ack = shard.next_request(Method::Ack).message;
    assert_eq!(header(&ack, HeaderName::CSeq), "1 ACK");
    let second = shard.next_request(Method::Invite).message;
    (shard, first, second)
}

/// The value that `response` must have, computed from the rest of the credentials.
fn expected(params: &AuthParams, message: &Message) -> String {
    let account = Account {
        username: "contoso".to_owned(),
        password: Password::new(b"assumed".to_vec()),
        realms: Vec::new(),
        allows_md5: true,
    };
    let text = |name: &str| String::from_utf8_lossy(params.value(name).unwrap()).into_owned();
    Proof {
        algorithm: Algorithm::named(text("algorithm").as_bytes()).unwrap(),
        account: &account,
        realm: text("realm").as_bytes(),
        nonce: text("nonce").as_bytes(),
        qop: Qop::best(text("qop").as_bytes()),
        count: u32::from_str_radix(&text("nc"), 16).unwrap(),
        cnonce: &text("cnonce"),
        method: message.method(),
        uri: &message.request_uri(),
        body: &message.body(),
    }
    .response()
}

fn proxy_credentials(message: &Message) -> AuthParams {
    let all = message.list::<ProxyAuthorization>().unwrap();
    assert_eq!(all.len(), 1, "one line for the one realm that asked");
    all[0].0.clone()
}

fn proves_itself(message: &Message, count: &str) {
    let params = proxy_credentials(message);
    let response = params.value("response").unwrap();
    assert_eq!(*response, expected(&params, message).as_bytes());
    assert_eq!(&params.value("nc").unwrap()[..], count.as_bytes());
    assert_eq!(params.value("uri").unwrap(), &message.request_uri());
}

fn answered(shard: &mut Shard, invite: &Message) -> Message {
    let answer = response(invite, "200 OK", "x1", CARRIER_CONTACT, CARRIER_SDP);
    shard.carrier_says(&answer);
    let ack = shard.next_request(Method::Ack).message;
    shard.next_response(200);
    ack
}

/// Ends the call; its BYE to the carrier.
fn hung_up(shard: &mut Shard) -> Sent {
    shard.sent.clear();
    shard.apply(Input::Command(CommandId(1), Command::HangUpAll));
    let to_carrier = |sent: &Sent| sent.hop.remote.port() == 5060;
    let at = shard.sent.iter().position(to_carrier);
    shard
        .sent
        .remove(at.expect("a BYE to the carrier"))
        .unwrap()
}

fn told(shard: &Shard) -> Vec<String> {
    let all = shard.happened.iter().filter_map(|what| match what {
        Happened::Unauthenticated { why, .. } => Some(why.to_string()),
        _ => None,
    });
    all.collect()
}

#[test]
fn a_challenged_invite_goes_out_again_in_the_same_call_with_credentials() {
    let (mut shard, first, second) = challenged("again");
    proves_itself(&second, "00000001");
    for name in [HeaderName::CallId, HeaderName::From, HeaderName::To] {
        assert_eq!(header(&first, name.clone()), header(&second, name));
    }
    assert_eq!(header(&second, HeaderName::CSeq), "2 INVITE");
    assert_ne!(
        header(&first, HeaderName::Via),
        header(&second, HeaderName::Via)
    );
    // The ACK repeats the credentials of its INVITE as they stand (RFC 3261 §22.1).
    let ack = answered(&mut shard, &second);
    assert_eq!(
        header(&ack, HeaderName::ProxyAuthorization),
        header(&second, HeaderName::ProxyAuthorization)
    );
    // What the peer wants to see is known: BYE brings it along, with the next count.
    let bye = hung_up(&mut shard);
    assert_eq!(*bye.message.method(), Method::Bye);
    proves_itself(&bye.message, "00000002");
    refuses(&mut shard, &bye.message, "200 OK", "");
    // So does the next call.
    shard.sent.clear();
    shard.teams_says(&teams_invite("next"));
    shard.next_response(100);
    let next = shard.next_request(Method::Invite);
    proves_itself(&next.message, "00000003");
}

#[test]
fn challenges_of_a_request_that_was_corrected_do_not_count_for_the_next_one() {
    let timers = |text: &str| {
        text.replace(
            "digest = {",
            "session_timer = { expires = \"1800s\" }\ndigest = {",
        )
    };
    let (mut shard, first) = called_in(&timers(&account()), "corrected");
    let start = "407 Proxy Authentication Required";
    let again = |shard: &mut Shard, invite: &Message, start: &str, lines: &str| {
        refuses(shard, invite, start, lines);
        shard.next_request(Method::Ack);
        shard.next_request(Method::Invite).message
    };
    // Each nonce is for one request.
    let second = again(&mut shard, &first.message, start, &asks("n1"));
    let small = "422 Session Interval Too Small";
    let third = again(&mut shard, &second, small, "Min-SE: 5000\n");
    let fourth = again(&mut shard, &third, start, &asks("n2"));
    assert!(header(&fourth, HeaderName::SessionExpires).starts_with("5000"));
    proves_itself(&fourth, "00000001");
    answered(&mut shard, &fourth);
    assert!(told(&shard).is_empty());
}

#[test]
fn the_ack_of_a_second_phone_that_answers_after_the_call_has_the_credentials_of_its_invite() {
    let (mut shard, _, second) = challenged("late");
    let answer = response(&second, "200 OK", "x1", CARRIER_CONTACT, CARRIER_SDP);
    shard.carrier_says(&answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    let via = "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bKack";
    shard.teams_says(&in_dialog(&ok, "ACK", 1, via));
    let bye = hung_up(&mut shard).message;
    refuses(&mut shard, &bye, "200 OK", "");
    let other = shard.next_request(Method::Bye).message;
    shard.teams_says(&response(&other, "200 OK", "", "", ""));
    assert_eq!(shard.records.len(), 1, "the call is over");
    let answer = response(&second, "200 OK", "x9", CARRIER_CONTACT, CARRIER_SDP);
    shard.sent.clear();
    shard.carrier_says(&answer);
    let ack = shard.next_request(Method::Ack).message;
    assert_eq!(
        header(&ack, HeaderName::ProxyAuthorization),
        header(&second, HeaderName::ProxyAuthorization)
    );
    assert!(header(&ack, HeaderName::To).ends_with("tag=x9"));
    shard.next_request(Method::Bye);
}

#[test]
fn a_retry_is_no_second_attempt_in_the_record_and_keeps_the_first_response_time() {
    let (mut shard, _, second) = challenged("record");
    let attempts = shard.happened.iter();
    let attempts = attempts.filter(|what| matches!(what, Happened::AttemptStarted { .. }));
    assert_eq!(attempts.count(), 1);
    answered(&mut shard, &second);
    let bye = hung_up(&mut shard);
    refuses(&mut shard, &bye.message, "200 OK", "");
    shard.settles();
    assert_eq!(shard.records.len(), 1);
    assert_eq!(shard.records[0].egress.len(), 1);
    assert_eq!(shard.records[0].egress[0].first_response_ms, Some(0));
}

#[test]
fn a_wrong_password_is_tried_once_and_named_in_the_record() {
    let (mut shard, _, second) = challenged("wrong");
    refuses(&mut shard, &second, "407 No", &asks("n1"));
    let ack = shard.next_request(Method::Ack).message;
    assert_eq!(
        header(&ack, HeaderName::ProxyAuthorization),
        header(&second, HeaderName::ProxyAuthorization)
    );
    let refused = shard.next_response(503);
    assert!(
        !text(&refused).contains("carrier.example"),
        "it is ours alone"
    );
    shard.settles();
    let record = &shard.records[0];
    let why = "the peer does not accept user name and password of the trunk for realm \
               \"carrier.example\"";
    assert_eq!(record.egress[0].reason.as_deref(), Some(why));
    assert_eq!(told(&shard), [why]);
}

#[test]
fn nonces_that_change_for_ever_end_after_three_invites() {
    let (mut shard, _, second) = challenged("endless");
    refuses(&mut shard, &second, "407 No", &asks("n2"));
    shard.next_request(Method::Ack);
    let third = shard.next_request(Method::Invite).message;
    proves_itself(&third, "00000001");
    refuses(&mut shard, &third, "407 No", &asks("n3"));
    shard.next_request(Method::Ack);
    shard.next_response(503);
    assert!(shard.sent.is_empty());
    shard.settles();
}

#[test]
fn another_realm_gets_no_credentials() {
    let (mut shard, first) = called_in(&account(), "foreign");
    let lines = asks("n1").replace("carrier.example", "evil.example");
    refuses(&mut shard, &first.message, "407 No", &lines);
    shard.next_request(Method::Ack);
    shard.next_response(503);
    assert!(shard.sent.is_empty(), "nothing more goes to the carrier");
    assert!(told(&shard)[0].contains("realm \"evil.example\""));
    shard.settles();
}

#[test]
fn a_trunk_without_account_says_so() {
    let (mut shard, first) = called_in(CONFIG, "none");
    refuses(&mut shard, &first.message, "401 No", "");
    shard.next_request(Method::Ack);
    shard.next_response(503);
    shard.settles();
    let reason = shard.records[0].egress[0].reason.clone().unwrap();
    assert!(reason.contains("no \"digest\" account"), "{reason}");
}

#[test]
fn the_cancel_of_a_challenged_invite_carries_its_credentials_and_no_new_ones() {
    let (mut shard, _, second) = challenged("cancel");
    refuses(&mut shard, &second, "180 Ringing", CARRIER_CONTACT);
    shard.next_response(180);
    let cancel = teams_invite("cancel")
        .replace("INVITE sip", "CANCEL sip")
        .replace("1 INVITE", "1 CANCEL");
    let head = cancel.split("Content-Type").next().unwrap().to_owned();
    shard.teams_says(&format!("{head}Content-Length: 0\n\n"));
    let cancel = loop {
        let sent = shard.next().message;
        if sent.is_request() {
            break sent;
        }
    };
    assert_eq!(*cancel.method(), Method::Cancel);
    assert_eq!(
        header(&cancel, HeaderName::ProxyAuthorization),
        header(&second, HeaderName::ProxyAuthorization)
    );
    refuses(&mut shard, &cancel, "200 OK", "");
    // A challenge that crosses the CANCEL revives nothing.
    refuses(&mut shard, &second, "407 No", &asks("n2"));
    shard.next_request(Method::Ack);
    assert!(shard.sent.is_empty());
    shard.settles();
}

#[test]
fn a_challenged_bye_goes_out_again_and_a_bounded_number_of_times() {
    let (mut shard, first) = called_in(&account(), "bye");
    answered(&mut shard, &first.message);
    let bye = hung_up(&mut shard).message;
    assert!(!bye.has(HeaderName::Authorization));
    let lines = asks("b1").replace("Proxy-Authenticate", "WWW-Authenticate");
    refuses(&mut shard, &bye, "401 Unauthorized", &lines);
    let is_bye = |sent: &Sent| sent.hop.remote.port() == 5060;
    let next = |shard: &mut Shard| {
        let at = shard.sent.iter().position(is_bye);
        at.and_then(|at| shard.sent.remove(at))
    };
    let second = next(&mut shard).expect("BYE again").message;
    assert_eq!(header(&second, HeaderName::CSeq), "3 BYE");
    let params = second.list::<Authorization>().unwrap().remove(0).0;
    let response = params.value("response").unwrap();
    assert_eq!(*response, expected(&params, &second).as_bytes());
    refuses(&mut shard, &second, "401 No", &lines.replace("b1", "b2"));
    let third = next(&mut shard)
        .expect("a new nonce is worth one more")
        .message;
    refuses(&mut shard, &third, "401 No", &lines.replace("b1", "b3"));
    assert!(next(&mut shard).is_none(), "the call is over anyway");
    shard.settles();
    assert_eq!(shard.records.len(), 1);
}

#[test]
fn an_address_that_the_called_party_chose_gets_no_credentials() {
    // CVE-2021-41158: a Contact that leads to somebody who asks for the carrier's realm.
    let (mut shard, _, second) = challenged("leak");
    let contact = "Contact: <sip:gw@203.0.113.66:5060>\n";
    let answer = response(&second, "200 OK", "x1", contact, CARRIER_SDP);
    shard.carrier_says(&answer);
    let ack = shard.next_request(Method::Ack);
    assert_eq!(ack.hop.remote.to_string(), "203.0.113.66:5060");
    assert!(!ack.message.has(HeaderName::ProxyAuthorization));
    shard.next_response(200);
    let bye = hung_up(&mut shard);
    assert_eq!(bye.hop.remote.to_string(), "203.0.113.66:5060");
    assert!(!bye.message.has(HeaderName::ProxyAuthorization));
    let lines = asks("n9");
    refuses(&mut shard, &bye.message, "407 No", &lines);
    let leaked = shard
        .sent
        .iter()
        .any(|sent| sent.hop.remote == bye.hop.remote);
    assert!(!leaked);
    assert!(told(&shard)[0].starts_with("an address that is not the trunk's peer"));
    shard.settles();
}

#[test]
fn a_peer_that_names_the_next_nonce_is_shown_that() {
    let (mut shard, first) = called_in(&account(), "nextnonce");
    let lines = asks("n1").replace("Proxy-Authenticate", "WWW-Authenticate");
    refuses(&mut shard, &first.message, "401 No", &lines);
    shard.next_request(Method::Ack);
    let second = shard.next_request(Method::Invite).message;
    let lines = format!("{CARRIER_CONTACT}Authentication-Info: nextnonce=\"n2\"\n");
    let answer = response(&second, "200 OK", "x1", &lines, CARRIER_SDP);
    shard.carrier_says(&answer);
    shard.next_request(Method::Ack);
    let bye = hung_up(&mut shard).message;
    let params = bye.list::<Authorization>().unwrap().remove(0).0;
    assert_eq!(&params.value("nonce").unwrap()[..], b"n2");
    assert_eq!(&params.value("nc").unwrap()[..], b"00000001");
    assert!(
        Authorization(params)
            .to_bytes()
            .starts_with(b"Digest username=\"contoso\"")
    );
}

#[test]
fn a_stale_nonce_costs_one_more_round_and_no_call() {
    let (mut shard, _, second) = challenged("stale");
    let stale = asks("n2").replace("qop", "stale=true, qop");
    refuses(&mut shard, &second, "407 No", &stale);
    shard.next_request(Method::Ack);
    let third = shard.next_request(Method::Invite).message;
    proves_itself(&third, "00000001");
    answered(&mut shard, &third);
    let bye = hung_up(&mut shard);
    refuses(&mut shard, &bye.message, "200 OK", "");
    shard.pass(Duration::from_secs(1));
    assert!(told(&shard).is_empty());
}

/// A call of the carrier to a peer that knows us by name and password, put on hold by the carrier:
/// the re-INVITE that tells it.
fn held() -> (Call, Message) {
    let account = "digest = { username = \"contoso\", password = { credential = \"a\" }, \
                   realms = [\"carrier.example\"] }\npreset = \"teams\"";
    let text = CONFIG.replacen("preset = \"teams\"", account, 1);
    let mut shard = Shard::with(config_of(&text));
    shard.carrier_says(&carrier_invite("held", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let answer = response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP);
    shard.teams_says(&answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
    let cseq = 10;
    let mut call = Call {
        shard,
        invite,
        ok,
        cseq,
    };
    let lines = format!("{CARRIER_CONTACT}Content-Type: application/sdp\n");
    call.says(
        "INVITE",
        &lines,
        &CARRIER_SDP.replace("sendrecv", "sendonly"),
    );
    call.shard.next_response(100);
    call.shard.next_response(200);
    let told = call.shard.next_request(Method::Invite).message;
    let ack = in_dialog(&call.ok, "ACK", call.cseq, &format!("{VIA}ack2"));
    call.shard.carrier_says(&ack);
    (call, told)
}

#[test]
fn a_challenged_reinvite_goes_out_again_and_its_ack_repeats_the_proof() {
    let (mut call, told) = held();
    let shard = &mut call.shard;
    shard.teams_says(&response(&told, "407 No", "", &asks("n1"), ""));
    shard.next_request(Method::Ack);
    let again = shard.next_request(Method::Invite).message;
    proves_itself(&again, "00000001");
    assert_eq!(
        header(&told, HeaderName::To),
        header(&again, HeaderName::To)
    );
    assert_eq!(told.body(), again.body());
    assert_eq!(header(&again, HeaderName::CSeq), "3 INVITE");
    let sdp = TEAMS_SDP.replace("sendrecv", "inactive");
    shard.teams_says(&response(&again, "200 OK", "", TEAMS_CONTACT, &sdp));
    let ack = shard.next_request(Method::Ack).message;
    assert_eq!(
        header(&ack, HeaderName::ProxyAuthorization),
        header(&again, HeaderName::ProxyAuthorization)
    );
    ends(call);
}

#[test]
fn a_reinvite_whose_proof_is_refused_leaves_the_call_as_it_was() {
    let (mut call, told) = held();
    let shard = &mut call.shard;
    shard.teams_says(&response(&told, "407 No", "", &asks("n1"), ""));
    shard.next_request(Method::Ack);
    let again = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&again, "407 No", "", &asks("n1"), ""));
    shard.next_request(Method::Ack);
    assert!(shard.sent.is_empty());
    assert!(shard.records.is_empty(), "the call goes on");
    ends(call);
}

/// A call to a carrier that knows us by name and password, and which may ask for it whenever it likes.
#[test]
fn words_that_are_challenged_within_a_call_go_out_again_with_our_proof() {
    let account = "digest = { username = \"contoso\", password = { credential = \"b\" }, \
                   realms = [\"carrier.example\"] }\nisup = \"pass\"\n\
                   session_timer = { expires = \"1800s\", refresher = \"self\" }";
    let mut two = Two::with("isup = \"pass\"", account, "", CARRIER_SDP);
    let lines = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE, INFO\nSupported: timer\n\
                 Require: timer\nSession-Expires: 1800;refresher=uac\n";
    two.says("200 OK", "b1", lines, CARRIER_SDP);
    two.shard.next_request(Method::Ack);
    let ok = two.shard.next_response(200).message;
    two.ack(&ok);
    let challenged = |two: &mut Two, first: Message, nonce: &str| {
        assert!(!first.has(HeaderName::Authorization));
        let lines = asks(nonce).replace("Proxy-Authenticate", "WWW-Authenticate");
        two.hear(&response(&first, "401 Unauthorized", "", &lines, ""));
        let again = two.shard.next_request(first.method().clone()).message;
        let params = again.list::<Authorization>().unwrap().remove(0).0;
        let shown = params.value("response").unwrap();
        assert_eq!(*shown, expected(&params, &again).as_bytes());
        assert_eq!(first.body(), again.body());
        two.hear(&response(&again, "200 OK", "", "", ""));
    };
    let body = "sus";
    let kind = "Content-Type: application/isup;version=itu-t92+\n";
    let length = body.replace('\n', "\r\n").len();
    let said = format!("{kind}Content-Length: {length}\n\n{body}");
    let bare = in_dialog(&ok, "INFO", 11, &format!("{VIA}info"));
    two.shard
        .carrier_says(&bare.replace("Content-Length: 0\n\n", &said));
    let info = two.shard.next_request(Method::Info).message;
    challenged(&mut two, info, "i1");
    two.shard.next_response(200);
    // What was asked last is shown unasked from then on.
    let bye = in_dialog(&ok, "BYE", 12, &format!("{VIA}bye"));
    two.shard.carrier_says(&bye);
    two.shard.next_response(200);
    let bye = two.shard.next_request(Method::Bye).message;
    assert!(bye.has(HeaderName::Authorization));
}

/// The call is there, and BYE ends both sides.
fn ends(mut call: Call) {
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    assert_eq!(call.shard.records.len(), 1);
    call.shard.settles();
}
