//! Who refers, and the part of a REFER's body that proves it: told to peers that are trusted, octet by
//! octet, and to nobody else (RFC 3892, SIP-807); and headers that Refer-To wants in the new call.

use crate::world;

use sbc_core::sip::{HeaderName, Message, Method, body};
use world::call::*;
use world::two::*;
use world::*;

const REFERRED_BY: &str = "<sip:boss@example.org>;cid=\"2.1@example.org\"";

/// A signed proof, which nobody may touch.
const TOKEN: &str = "Content-Type: multipart/signed;protocol=\"application/pkcs7-signature\";micalg=sha1;boundary=s1
Content-ID: <2.1@example.org>

--s1
Content-Type: message/sipfrag

Refer-To: <sip:+493023125999@192.0.2.11>
--s1
Content-Type: application/pkcs7-signature

0123456789
--s1--";

/// The caller, with these keys of the trunks, refers the called party; the request that follows.
fn referred(of_a: &str, of_b: &str, cid: &str) -> Message {
    let mut two = Two::with(of_a, of_b, "", CARRIER_SDP);
    let ok = two.answered("b1", CARRIER_SDP);
    two.ack(&ok);
    let content = format!("--m1\nContent-Type: text/plain\n\nother\n--m1\n{TOKEN}\n--m1--\n");
    let length = content.replace('\n', "\r\n").len();
    let by = REFERRED_BY.replace("2.1@example.org", cid);
    let lines = format!(
        "Refer-To: <sip:+493023125999@192.0.2.11>\nReferred-By: {by}\nContact: {}\
         Content-Type: multipart/mixed;boundary=m1\nContent-Length: {length}\n\n{content}",
        "<sip:gw@198.51.100.20:5060>\n"
    );
    let refer = in_dialog(&ok, "REFER", 11, &format!("{VIA}refer"));
    let refer = refer.replace("Content-Length: 0\n\n", &lines);
    two.shard.carrier_says(&refer);
    if of_a.contains("relay") {
        return two.shard.next_request(Method::Refer).message;
    }
    two.shard.next_response(202);
    two.shard.next_request(Method::Notify);
    two.shard.next_request(Method::Invite).message
}

const TRUSTED: &str = "trusted = true";

#[test]
fn the_proof_of_who_refers_goes_with_the_new_invite_where_both_sides_are_trusted() {
    let invite = referred(TRUSTED, TRUSTED, "2.1@example.org");
    assert_eq!(header(&invite, HeaderName::ReferredBy), REFERRED_BY);
    let token = body::section_named(&invite, b"2.1@example.org").expect("the proof");
    assert_eq!(token, TOKEN.replace('\n', "\r\n"), "octet by octet");
    let offer = body::session_description(&invite).expect("a sound body");
    assert!(offer.is_some());
    // Who reads the first part alone finds the description there.
    let whole = String::from_utf8_lossy(&invite.body()).into_owned();
    let description = whole.find("application/sdp").expect("a description");
    let proof = whole.find("multipart/signed").expect("the proof");
    assert!(description < proof, "{whole}");
    let text = String::from_utf8_lossy(&invite.body()).into_owned();
    assert!(
        !text.contains("other"),
        "what nobody names stays behind: {text}"
    );
}

#[test]
fn towards_others_neither_who_refers_nor_the_proof_goes_out() {
    for (of_a, of_b) in [("", ""), (TRUSTED, ""), ("", TRUSTED)] {
        let invite = referred(of_a, of_b, "2.1@example.org");
        assert!(!invite.has(HeaderName::ReferredBy));
        assert_eq!(header(&invite, HeaderName::ContentType), "application/sdp");
        let text = String::from_utf8_lossy(invite.bytes()).into_owned();
        assert!(!text.contains("pkcs7"), "{text}");
    }
}

#[test]
fn a_proof_that_is_not_there_changes_nothing() {
    let invite = referred(TRUSTED, TRUSTED, "3.1@example.org");
    assert!(header(&invite, HeaderName::ReferredBy).contains("3.1@example.org"));
    assert_eq!(header(&invite, HeaderName::ContentType), "application/sdp");
}

#[test]
fn a_refer_that_is_passed_on_brings_the_proof_along() {
    let relay = format!("{TRUSTED}\nrefer = \"relay\"");
    let refer = referred(&relay, TRUSTED, "2.1@example.org");
    assert_eq!(header(&refer, HeaderName::ReferredBy), REFERRED_BY);
    let token = body::section_named(&refer, b"2.1@example.org").expect("the proof");
    assert_eq!(token, TOKEN.replace('\n', "\r\n"));
    let refer = referred("refer = \"relay\"", "", "2.1@example.org");
    assert!(refer.body().is_empty() && !refer.has(HeaderName::ReferredBy));
}

/// TDR-XFR-012: headers of the URI are moved into the INVITE, all but a dialog and what makes up ours.
#[test]
fn headers_that_teams_wants_in_its_own_call_go_there() {
    let mut call = Call::new();
    let wanted = "X-MS-Foo=a%20b&Subject=queue&Replaces=x&X-MS-SBC=other&Route=%3Csip:h;lr%3E&CSeq=9%20INVITE";
    let target = "sip:sip.pstnhub.microsoft.com:5061;transport=tls;x-m=8:orgid:0000aaaa";
    let refer =
        format!("REFER-TO: <{target}?{wanted}>\nCONTACT: <sip:api.example.com:443;x-i=1>\n");
    call.teams_says("REFER", 1, &refer);
    call.shard.next_response(202);
    call.shard.next_request(Method::Notify);
    let invite = call.shard.next_request(Method::Invite).message;
    assert_eq!(invite.request_uri(), target);
    let value = |name: &str| {
        let value = invite.raw_named(name)?;
        Some(String::from_utf8_lossy(&value).into_owned())
    };
    assert_eq!(value("X-MS-Foo").as_deref(), Some("a b"));
    assert_eq!(value("Subject").as_deref(), Some("queue"));
    assert!(!invite.has(HeaderName::Replaces) && !invite.has(HeaderName::Route));
    assert!(value("X-MS-SBC").is_some_and(|own| own.starts_with("Causeway/")));
    assert!(header(&invite, HeaderName::CSeq).ends_with(" INVITE"));
    assert!(!header(&invite, HeaderName::CSeq).starts_with("9 "));
}
