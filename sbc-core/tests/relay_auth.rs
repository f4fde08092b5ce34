//! Challenges that callers answer themselves (`relay_auth`): to the caller and back, and what of a caller's secrets nobody
//! else sees.

use crate::world;

use sbc_core::sip::{HeaderName, Method};
use world::call::header;
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
    let text = format!("{}{PBX}", two_carriers("", of_b));
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
        ("422 Session Interval Too Small", "Min-SE: 3600", 422),
        ("488 Not Acceptable Here", "Warning: 304 h \"x\"", 488),
    ] {
        for (shows, again) in [
            (format!("Authorization: {SHOWS}\n"), false),
            (String::new(), true),
        ] {
            let keys = format!("{RELAYS}\nsession_timer = {{ expires = \"1800s\" }}");
            let mut two = called(&keys, &shows);
            assert_eq!(two.invite.has(HeaderName::Authorization), !again);
            two.says(status, "b1", &format!("{line}\n"), "");
            two.shard.next_request(Method::Ack);
            if again && code == 422 {
                two.shard.next_request(Method::Invite);
                continue;
            }
            let refused = two.shard.next_response(code).message;
            if code == 422 {
                assert_eq!(header(&refused, HeaderName::MinSe), "3600");
            }
        }
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
