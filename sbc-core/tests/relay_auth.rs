//! Challenges that callers answer themselves (`relay_auth`): to the caller and back, and what of a caller's secrets nobody
//! else sees.

use crate::world;

use sbc_core::input::Input;
use sbc_core::sip::{HeaderName, Message, Method};
use sbc_core::transport::FlowFault;
use world::call::{VIA, header};
use world::two::{Two, two_carriers};
use world::*;

const ASKS: &str = "Digest realm=\"b.example\", nonce=\"n1\", qop=\"auth\", algorithm=SHA-256";
const SHOWS: &str = "Digest username=\"u\", realm=\"b.example\", nonce=\"n1\", uri=\"sip:x\", \
                     response=\"00\", qop=auth, nc=00000001, cnonce=\"c\"";
const RELAYS: &str = "relay_auth = [\"b.example\"]";
const OURS: &str = "Digest username=\"pbx1\", realm=\"sip.example.com\", nonce=\"n\", uri=\"sip:x\", \
                    response=\"11\"";

/// Who registers with us, with a realm of ours.
const PBX: &str = "
[[trunk]]
name = \"pbx\"
tenant = \"contoso\"
realm = \"carrier\"
accept_from = [\"198.51.100.128/25\"]
codecs = [\"PCMA\", \"PCMU\"]
mode = \"registrar\"
authenticate = { username = \"pbx1\", password = { credential = \"pbx\" }, realm = \"sip.example.com\" }
registrar = { aor = \"sip:pbx1@sip.example.com\" }
";

/// A call from one carrier to the other, of whose trunk this is said.
fn called(of_b: &str, lines: &str) -> Two {
    let text = format!("{}{PBX}", two_carriers("isup = \"pass\"", of_b));
    let mut shard = Shard::with(config_of(&text));
    invites(&mut shard, 10, lines);
    let invite = shard.next_request(Method::Invite).message;
    Two { shard, invite }
}

fn invites(shard: &mut Shard, cseq: u32, lines: &str) {
    let text = carrier_invite("auth", CARRIER_SDP)
        .replace(
            "CSeq: 10 INVITE\n",
            &format!("CSeq: {cseq} INVITE\n{lines}"),
        )
        .replace("z9hG4bKauth", &format!("z9hG4bKauth{cseq}"));
    shard.carrier_says(&text);
    shard.next_response(100);
}

fn asks(two: &mut Two, status: &str, name: &str) {
    two.says(status, "b1", &format!("{name}: {ASKS}\n"), "");
    two.shard.next_request(Method::Ack);
}

#[test]
fn a_challenge_reaches_the_caller_and_its_answer_whoever_asks() {
    let server = ("401 Unauthorized", "WWW-Authenticate", "Authorization");
    let proxy = (
        "407 Proxy Authentication Required",
        "Proxy-Authenticate",
        "Proxy-Authorization",
    );
    for (status, asking, showing) in [server, proxy] {
        let mut two = called(RELAYS, "");
        asks(&mut two, status, asking);
        let code = status[..3].parse().unwrap();
        let asked = two.shard.next_response(code).message;
        assert_eq!(asked.raw_named(asking).as_deref(), Some(ASKS.as_bytes()));
        invites(
            &mut two.shard,
            11,
            &format!("{showing}: {SHOWS}\n{showing}: {OURS}\n"),
        );
        two.invite = two.shard.next_request(Method::Invite).message;
        let shown: Vec<_> = two
            .invite
            .raw_all(&HeaderName::parse(showing).unwrap())
            .collect();
        assert_eq!(
            shown,
            [SHOWS.as_bytes()],
            "what is for us is shown to us alone"
        );
        two.says("200 OK", "b2", "", CARRIER_SDP);
        let ack = two.shard.next_request(Method::Ack).message;
        assert_eq!(
            ack.raw_named(showing).as_deref(),
            Some(SHOWS.as_bytes()),
            "SIP-212"
        );
        let ok = two.shard.next_response(200).message;
        assert!(header(&ok, HeaderName::CSeq).starts_with("11 "));
        two.shard.pass(std::time::Duration::from_secs(60));
        let record = &two.shard.records[0];
        let because = format!("{:?}", record.cause.because);
        assert!(
            because.contains("relay_auth of trunk \\\"b\\\""),
            "{because}"
        );
    }
}

#[test]
fn what_is_shown_to_one_peer_is_shown_to_no_other() {
    let other = "
[[trunk]]
name = \"c\"
tenant = \"*\"
realm = \"carrier\"
targets = [\"198.51.100.41:5060;udp\"]
accept_from = [\"198.51.100.41/32\"]
codecs = [\"PCMA\", \"PCMU\"]
relay_auth = [\"c.example\"]
";
    let text = two_carriers("", RELAYS).replace(
        "to = [{ trunk = \"b\" }]",
        "to = [{ trunk = \"b\" }, { trunk = \"c\" }]",
    );
    let mut shard = Shard::with(config_of(&format!("{text}{other}")));
    let of_c = SHOWS.replace("b.example", "c.example");
    let lines = format!("Proxy-Authorization: {SHOWS}\nProxy-Authorization: {of_c}\n");
    invites(&mut shard, 10, &lines);
    let invite = shard.next_request(Method::Invite).message;
    let shown = |invite: &sbc_core::sip::Message| {
        let lines = invite.raw_all(HeaderName::ProxyAuthorization);
        lines.collect::<Vec<_>>()
    };
    assert_eq!(shown(&invite), [SHOWS.as_bytes()]);
    let mut two = Two { shard, invite };
    two.says("503 Service Unavailable", "b1", "", "");
    two.shard.next_request(Method::Ack);
    let next = two.shard.next_request(Method::Invite);
    assert_eq!(next.hop.remote.to_string(), "198.51.100.41:5060");
    assert_eq!(shown(&next.message), [of_c.as_bytes()]);
}

#[test]
fn a_challenge_in_another_realm_is_no_question_to_the_caller() {
    let mut two = called("relay_auth = [\"B.example\", \"c.example\"]", "");
    asks(&mut two, "401 Unauthorized", "WWW-Authenticate");
    let refused = two.shard.next_response(403).message;
    assert!(!refused.has(HeaderName::WwwAuthenticate));
    invites(&mut two.shard, 11, &format!("Authorization: {SHOWS}\n"));
    let invite = two.shard.next_request(Method::Invite).message;
    assert!(!invite.has(HeaderName::Authorization));
}

#[test]
fn what_a_caller_has_shown_is_not_shown_again_otherwise() {
    for (status, line, code) in [
        ("420 Bad Extension", "Unsupported: 100rel", 420),
        ("488 Not Acceptable Here", "Warning: 304 h \"x\"", 488),
    ] {
        let keys = format!("{RELAYS}\nrel100 = \"required\"");
        let mut two = called(&keys, &format!("Authorization: {SHOWS}\n"));
        assert!(two.invite.has(HeaderName::Authorization));
        two.says(status, "b1", &format!("{line}\n"), "");
        two.shard.next_request(Method::Ack);
        two.shard.next_response(code);
    }
}

/// SIP-706: the interval is that of our leg, which the caller knows nothing of, and no proof says anything of it.
#[test]
fn a_longer_session_interval_is_offered_with_the_same_proof_and_remembered_for_the_next() {
    let keys = format!("{RELAYS}\nsession_timer = {{ expires = \"1800s\" }}");
    let mut two = called(&keys, &format!("Authorization: {SHOWS}\n"));
    assert!(header(&two.invite, HeaderName::SessionExpires).starts_with("1800"));
    two.says("422 Session Interval Too Small", "b1", "Min-SE: 3600\n", "");
    two.shard.next_request(Method::Ack);
    two.invite = two.shard.next_request(Method::Invite).message;
    assert!(header(&two.invite, HeaderName::CSeq).starts_with("2 "));
    assert!(header(&two.invite, HeaderName::SessionExpires).starts_with("3600"));
    assert_eq!(header(&two.invite, HeaderName::MinSe), "3600");
    assert_eq!(header(&two.invite, HeaderName::Authorization), SHOWS);
    // A peer that takes a proof once asks anew: the caller, whose next one finds the longer interval.
    asks(&mut two, "401 Unauthorized", "WWW-Authenticate");
    two.shard.next_response(401);
    invites(&mut two.shard, 11, &format!("Authorization: {SHOWS}\n"));
    two.invite = two.shard.next_request(Method::Invite).message;
    assert!(header(&two.invite, HeaderName::SessionExpires).starts_with("3600"));
    two.says("200 OK", "b2", "", CARRIER_SDP);
    two.shard.next_request(Method::Ack);
    two.shard.next_response(200);
}

/// Behind one trunk are many: what one of them wants must not change the sessions of all others for good.
#[test]
fn a_longer_session_interval_is_remembered_for_an_hour_and_an_unusual_one_not_at_all() {
    for (least, remembered) in [("3600", "3600"), ("90000", "1800")] {
        let keys = format!("{RELAYS}\nsession_timer = {{ expires = \"1800s\" }}");
        let mut two = called(&keys, "");
        let lines = format!("Min-SE: {least}\n");
        two.says("422 Session Interval Too Small", "b1", &lines, "");
        two.shard.next_request(Method::Ack);
        let wanted = |two: &mut Two| {
            two.invite = two.shard.next_request(Method::Invite).message;
            let wanted = header(&two.invite, HeaderName::SessionExpires);
            two.says("486 Busy Here", "b2", "", "");
            two.shard.next_request(Method::Ack);
            two.shard.next_response(486);
            two.shard.pass(std::time::Duration::from_secs(60));
            two.shard.sent.clear();
            wanted
        };
        assert_eq!(wanted(&mut two), least, "the call itself gets it");
        invites(&mut two.shard, 11, "");
        assert_eq!(wanted(&mut two), remembered);
        two.shard.pass(std::time::Duration::from_secs(3_600));
        two.shard.sent.clear();
        invites(&mut two.shard, 12, "");
        assert_eq!(wanted(&mut two), "1800", "{least}");
    }
}

/// A call that is up, with challenges relayed; our 200 to the caller.
fn talking(of_b: &str) -> (Two, Message) {
    let mut two = called(of_b, "");
    let ok = two.answered("b1", CARRIER_SDP);
    two.ack(&ok);
    (two, ok)
}

/// A request of the caller within the call, with these lines and this description.
fn within(two: &mut Two, ok: &Message, method: &str, cseq: u32, lines: &str, sdp: &str) {
    let bare = in_dialog(ok, method, cseq, &format!("{VIA}{method}{cseq}"));
    let head = bare.replace("Content-Length: 0\n\n", lines);
    two.shard.carrier_says(&with_body(&head, sdp));
}

#[test]
fn a_challenge_to_a_change_of_the_call_reaches_whoever_wants_it_and_so_does_the_answer() {
    let (mut two, ok) = talking(RELAYS);
    let hold = CARRIER_SDP.replace("t=0 0\n", "t=0 0\na=sendonly\n");
    within(&mut two, &ok, "INVITE", 11, "", &hold);
    two.shard.next_response(100);
    let asked = two.shard.next_request(Method::Invite).message;
    let lines = format!("Proxy-Authenticate: {ASKS}\n");
    let status = "407 Proxy Authentication Required";
    two.hear(&response(&asked, status, "", &lines, ""));
    two.shard.next_request(Method::Ack);
    let refused = two.shard.next_response(407).message;
    assert_eq!(header(&refused, HeaderName::ProxyAuthenticate), ASKS);
    let ack = in_dialog(&ok, "ACK", 11, &format!("{VIA}INVITE11"));
    two.shard.carrier_says(&ack);
    let lines = format!("Proxy-Authorization: {SHOWS}\nProxy-Authorization: {OURS}\n");
    within(&mut two, &ok, "INVITE", 12, &lines, &hold);
    two.shard.next_response(100);
    let shown = two.shard.next_request(Method::Invite).message;
    assert_eq!(header(&shown, HeaderName::ProxyAuthorization), SHOWS);
    let contact = "Contact: <sip:gw@198.51.100.40:5060>\n";
    two.hear(&response(&shown, "200 OK", "", contact, CARRIER_SDP));
    let ack = two.shard.next_request(Method::Ack).message;
    let shown = header(&ack, HeaderName::ProxyAuthorization);
    assert_eq!(shown, SHOWS, "SIP-212");
    let done = two.shard.next_response(200).message;
    assert!(header(&done, HeaderName::CSeq).starts_with("12 "));
}

/// RFC 7616 §3.4.3: a proof is one of its method, and what is asked for an UPDATE is an INVITE.
#[test]
fn a_challenge_to_what_an_update_makes_us_ask_is_a_refusal_and_no_proof_goes_with_it() {
    let (mut two, ok) = talking(RELAYS);
    let shows = format!("Proxy-Authorization: {SHOWS}\n");
    // What changes nothing for the other side is answered here.
    within(&mut two, &ok, "UPDATE", 11, &shows, CARRIER_SDP);
    two.shard.next_response(200);
    assert!(two.shard.sent.is_empty());
    let pcmu = CARRIER_SDP.replace("RTP/AVP 8 0 101", "RTP/AVP 0 101");
    within(&mut two, &ok, "UPDATE", 12, &shows, &pcmu);
    let asked = two.shard.next_request(Method::Invite).message;
    assert!(!asked.has(HeaderName::ProxyAuthorization));
    let lines = format!("Proxy-Authenticate: {ASKS}\n");
    let status = "407 Proxy Authentication Required";
    two.hear(&response(&asked, status, "", &lines, ""));
    two.shard.next_request(Method::Ack);
    let refused = two.shard.next_response(403).message;
    assert!(!refused.has(HeaderName::ProxyAuthenticate));
}

#[test]
fn what_was_asked_of_a_refresh_of_ours_is_not_told_for_a_change_that_nobody_answers() {
    let mut two = called(RELAYS, "");
    let lines = "Allow: INVITE, ACK, BYE, UPDATE\nRequire: timer\n\
                 Session-Expires: 200;refresher=uac\n";
    two.says("200 OK", "b1", lines, CARRIER_SDP);
    two.shard.next_request(Method::Ack);
    let ok = two.shard.next_response(200).message;
    two.ack(&ok);
    two.shard.pass(std::time::Duration::from_secs(100));
    let update = two.shard.next_request(Method::Update).message;
    let asks = format!("WWW-Authenticate: {ASKS}\n");
    two.hear(&response(&update, "401 Unauthorized", "", &asks, ""));
    let hold = CARRIER_SDP.replace("t=0 0\n", "t=0 0\na=sendonly\n");
    within(&mut two, &ok, "INVITE", 11, "", &hold);
    two.shard.next_response(100);
    let asked = two.shard.next_request(Method::Invite);
    two.shard.apply(Input::SendFailed {
        transaction: asked.transaction.expect("of a transaction"),
        why: FlowFault::Connect("refused".to_owned()),
    });
    let refused = two.shard.next_response(500).message;
    assert!(!refused.has(HeaderName::WwwAuthenticate));
}

#[test]
fn a_challenge_to_words_of_a_party_reaches_it_and_so_does_the_answer() {
    let (mut two, ok) = talking(&format!("{RELAYS}\nisup = \"pass\""));
    let body = "sus";
    let kind = "Content-Type: application/isup;version=itu-t92+\n";
    let says = |two: &mut Two, cseq: u32, lines: &str| {
        let bare = in_dialog(&ok, "INFO", cseq, &format!("{VIA}info{cseq}"));
        let length = body.replace('\n', "\r\n").len();
        let text = format!("{lines}{kind}Content-Length: {length}\n\n{body}");
        two.shard
            .carrier_says(&bare.replace("Content-Length: 0\n\n", &text));
    };
    says(&mut two, 11, "");
    let info = two.shard.next_request(Method::Info).message;
    let lines = format!("WWW-Authenticate: {ASKS}\n");
    two.hear(&response(&info, "401 Unauthorized", "", &lines, ""));
    let refused = two.shard.next_response(401).message;
    assert_eq!(header(&refused, HeaderName::WwwAuthenticate), ASKS);
    says(&mut two, 12, &format!("Authorization: {SHOWS}\n"));
    let info = two.shard.next_request(Method::Info).message;
    assert_eq!(header(&info, HeaderName::Authorization), SHOWS);
    two.hear(&response(&info, "200 OK", "", "", ""));
    two.shard.next_response(200);
    // In another realm it is no question to the party, and it has nothing to answer it with.
    says(&mut two, 13, "");
    let info = two.shard.next_request(Method::Info).message;
    let lines = lines.replace("b.example", "c.example");
    two.hear(&response(&info, "401 Unauthorized", "", &lines, ""));
    let refused = two.shard.next_response(403).message;
    assert!(!refused.has(HeaderName::WwwAuthenticate));
}

#[test]
fn what_a_party_shows_with_its_bye_goes_with_ours_to_the_peer_that_asks_and_nowhere_else() {
    for (keys, contact, is_shown) in [
        (RELAYS, "198.51.100.40", true),
        ("", "198.51.100.40", false),
        // A Contact can name any host (SIP-1610).
        (RELAYS, "203.0.113.66", false),
    ] {
        let mut two = called(keys, "");
        let lines = format!("Contact: <sip:gw@{contact}:5060>\n");
        two.says("200 OK", "b1", &lines, CARRIER_SDP);
        two.shard.next_request(Method::Ack);
        let ok = two.shard.next_response(200).message;
        two.ack(&ok);
        let lines = format!("Proxy-Authorization: {SHOWS}\nProxy-Authorization: {OURS}\n");
        within(&mut two, &ok, "BYE", 11, &lines, "");
        two.shard.next_response(200);
        let bye = two.shard.next_request(Method::Bye).message;
        let shown: Vec<_> = bye.raw_all(&HeaderName::ProxyAuthorization).collect();
        let expected: &[&[u8]] = if is_shown { &[SHOWS.as_bytes()] } else { &[] };
        assert_eq!(shown, expected, "{keys} {contact}");
    }
}

#[test]
fn nobody_is_told_to_show_others_what_is_asked_in_a_realm_of_ours() {
    let text = format!(
        "{}{PBX}",
        two_carriers("", "relay_auth = [\"sip.example.com\"]")
    );
    let sources = [sbc_core::config::Source::new("test.toml", text)];
    let facts = sbc_core::config::Assumed::with_names(["sbc1.contoso.example"]);
    let findings = sbc_core::config::load(&sources, &facts, None).expect_err("our realm");
    let told = findings.to_text();
    assert!(
        told.contains("E0012") && told.contains("is our realm"),
        "{told}"
    );
}

#[test]
fn nothing_of_it_crosses_where_the_trunk_does_not_say_so() {
    let mut two = called("", &format!("Proxy-Authorization: {SHOWS}\n"));
    assert!(!two.invite.has(HeaderName::ProxyAuthorization));
    asks(
        &mut two,
        "407 Proxy Authentication Required",
        "Proxy-Authenticate",
    );
    let refused = two.shard.next_response(403).message;
    assert!(!refused.has(HeaderName::ProxyAuthenticate));
}

#[test]
fn a_challenge_that_asks_nothing_is_a_refusal() {
    let mut two = called(RELAYS, "");
    two.says("407 Proxy Authentication Required", "b1", "", "");
    two.shard.next_request(Method::Ack);
    two.shard.next_response(403);
}
