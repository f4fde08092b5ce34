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
        let mut two = called("relay_auth = true", "");
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
    let mut two = called("relay_auth = true", "");
    two.says("407 Proxy Authentication Required", "b1", "", "");
    two.shard.next_request(Method::Ack);
    two.shard.next_response(403);
}
