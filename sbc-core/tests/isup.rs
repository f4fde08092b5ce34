//! ISUP in bodies (SIP-I, RFC 3204) from one carrier to another: it passes where both trunks say so, and nowhere else.

use crate::world;

use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::{VIA, callee_request, header};
use world::two::{Two, two_carriers};
use world::*;

const PASS: &str = "isup = \"pass\"";
const ISUP: &str = "application/ISUP;version=itu-t92+;base=itu-t92+";

/// A part of ISUP that says this.
fn part(handling: &str, says: &str) -> String {
    format!(
        "Content-Type: {ISUP}\nContent-Disposition: signal;handling={handling}\n\n\u{1}\u{11}{says}"
    )
}

/// Lines and body of a description with a part behind it.
fn beside(sdp: &str, part: &str) -> String {
    let body = format!("--x1\nContent-Type: application/sdp\n\n{sdp}\n--x1\n{part}\n--x1--\n");
    typed("multipart/mixed;boundary=x1", "", &body)
}

fn typed(kind: &str, lines: &str, body: &str) -> String {
    let length = body.replace('\n', "\r\n").len();
    format!("Content-Type: {kind}\n{lines}Content-Length: {length}\n\n{body}")
}

/// A body of ISUP and nothing else.
fn alone(says: &str) -> String {
    typed(
        ISUP,
        "Content-Disposition: signal;handling=required\n",
        &format!("\u{1}\u{11}{says}"),
    )
}

/// A message without a body, with this one.
fn with(message: &str, body: &str) -> String {
    assert!(message.contains("Content-Length: 0\n\n"));
    message.replace("Content-Length: 0\n\n", body)
}

/// A call from one carrier to the other with this body; nothing is answered yet.
fn called(of_a: &str, of_b: &str, body: &str) -> Shard {
    let mut shard = Shard::with(config_of(&two_carriers(of_a, of_b)));
    shard.carrier_says(&with(&carrier_invite("isup", ""), body));
    shard
}

fn reaches(mut shard: Shard) -> Two {
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    Two { shard, invite }
}

/// What the called side says, with this body.
fn says(two: &mut Two, status: &str, body: &str) {
    let contact = "Contact: <sip:gw@198.51.100.40:5060>\n";
    let text = response(&two.invite, status, "b1", contact, "");
    two.hear(&with(&text, body));
}

fn body(message: &Message) -> String {
    String::from_utf8_lossy(&message.body()).replace("\r\n", "\n")
}

/// The description in a multipart.
fn description(message: &Message) -> String {
    let text = body(message);
    let (_, rest) = text.split_once("\n\nv=0").expect("a description");
    let (sdp, _) = rest.split_once("\n--").expect("its end");
    sdp.to_owned()
}

#[test]
fn what_each_side_says_in_isup_reaches_the_other_octet_by_octet() {
    let iam = part("required", "iam");
    let mut two = reaches(called(PASS, PASS, &beside(CARRIER_SDP, &iam)));
    let kind = header(&two.invite, HeaderName::ContentType);
    assert!(kind.starts_with("multipart/mixed;boundary="), "{kind}");
    let told = body(&two.invite);
    assert!(told.contains(&format!("\n{iam}\n--")), "{told}");
    assert!(
        told.contains("c=IN IP4 192.0.2.10"),
        "our description: {told}"
    );
    assert!(
        told.find("application/sdp") < told.find("ISUP"),
        "each in its place"
    );

    says(
        &mut two,
        "183 Session Progress",
        &beside(CARRIER_SDP, &part("optional", "acm")),
    );
    let progress = two.shard.next_response(183).message;
    assert!(body(&progress).contains(&part("optional", "acm")));
    let early = description(&progress);
    two.shard.pass(Duration::from_secs(2));
    says(&mut two, "180 Ringing", &alone("cpg"));
    let ringing = two.shard.next_response(180).message;
    assert_eq!(header(&ringing, HeaderName::ContentType), ISUP);
    assert_eq!(
        header(&ringing, HeaderName::ContentDisposition),
        "signal;handling=required"
    );
    assert_eq!(&ringing.body()[..], b"\x01\x11cpg");

    says(
        &mut two,
        "200 OK",
        &beside(CARRIER_SDP, &part("required", "anm")),
    );
    two.shard.next_request(Method::Ack);
    let ok = two.shard.next_response(200).message;
    assert!(body(&ok).contains(&part("required", "anm")));
    assert_eq!(description(&ok), early, "SIP-312");
    two.ack(&ok);

    let info = in_dialog(&ok, "INFO", 11, &format!("{VIA}info"));
    two.shard.carrier_says(&with(&info, &alone("sus")));
    let info = two.shard.next_request(Method::Info).message;
    assert_eq!(&info.body()[..], b"\x01\x11sus");
    let required = "signal;handling=required";
    assert_eq!(header(&info, HeaderName::ContentDisposition), required);
    two.hear(&response(&info, "200 OK", "", "", ""));
    two.shard.next_response(200);

    let bye = in_dialog(&ok, "BYE", 12, &format!("{VIA}bye"));
    two.shard.carrier_says(&with(&bye, &alone("rel")));
    two.shard.next_response(200);
    let bye = two.shard.next_request(Method::Bye).message;
    assert_eq!(header(&bye, HeaderName::ContentType), ISUP);
    assert_eq!(&bye.body()[..], b"\x01\x11rel");
    assert_eq!(header(&bye, HeaderName::ContentDisposition), required);
}

/// RFC 3204 §3.1 and RFC 3372 §5: whatever changes a call may bring ISUP along (Q.1912.5 has CPG in the re-INVITE of a hold), and
/// so may its answer, whatever that is.
#[test]
fn isup_goes_with_a_change_of_the_call_and_comes_with_its_answer() {
    let iam = beside(CARRIER_SDP, &part("required", "iam"));
    let mut two = reaches(called(PASS, PASS, &iam));
    let ok = two.answered("b1", CARRIER_SDP);
    two.ack(&ok);
    let held = CARRIER_SDP.replace("t=0 0\n", "t=0 0\na=sendonly\n");
    let contact = "Contact: <sip:gw@198.51.100.40:5060>\n";
    for (cseq, method, status) in [
        (11, "INVITE", "200 OK"),
        (12, "UPDATE", "200 OK"),
        (13, "INVITE", "488 Not Acceptable Here"),
    ] {
        let sdp = if cseq == 11 {
            held.as_str()
        } else {
            CARRIER_SDP
        };
        let via = format!("{VIA}{method}{cseq}");
        let again = in_dialog(&ok, method, cseq, &via);
        let told = part("required", &format!("cpg{cseq}"));
        two.shard.carrier_says(&with(&again, &beside(sdp, &told)));
        if method == "INVITE" {
            two.shard.next_response(100);
        }
        let asked = two.shard.next_request(Method::Invite).message;
        assert!(body(&asked).contains(&told), "{}", body(&asked));
        let ours = description(&asked);
        assert!(
            ours.contains("c=IN IP4 192.0.2.10"),
            "our description: {ours}"
        );
        let answer = response(&asked, status, "", contact, "");
        let is_taken = status.starts_with('2');
        let back = match is_taken {
            true => beside(CARRIER_SDP, &part("optional", "back")),
            false => alone("back"),
        };
        two.hear(&with(&answer, &back));
        two.shard.next_request(Method::Ack);
        let code = status[..3].parse().unwrap();
        let answered = two.shard.next_response(code).message;
        assert!(
            body(&answered).contains("\u{1}\u{11}back"),
            "{}",
            body(&answered)
        );
        if method == "INVITE" {
            let via = if is_taken {
                format!("{VIA}ack{cseq}")
            } else {
                via
            };
            two.shard.carrier_says(&in_dialog(&ok, "ACK", cseq, &via));
        }
    }
}

/// What is asked of nobody brings nothing to anybody.
#[test]
fn what_has_to_be_understood_and_comes_with_a_stream_that_is_switched_off_is_refused() {
    let off = CARRIER_SDP.replace("m=audio 6000", "m=audio 0");
    for (handling, code) in [("required", 488), ("optional", 200)] {
        let iam = beside(CARRIER_SDP, &part("required", "iam"));
        let mut two = reaches(called(PASS, PASS, &iam));
        let ok = two.answered("b1", CARRIER_SDP);
        two.ack(&ok);
        let again = in_dialog(&ok, "INVITE", 11, &format!("{VIA}off"));
        let told = beside(&off, &part(handling, "sus"));
        two.shard.carrier_says(&with(&again, &told));
        two.shard.next_response(100);
        two.shard.next_response(code);
    }
}

#[test]
fn who_wanted_to_stay_unknown_is_not_named_by_a_change_of_the_call_either() {
    let trusted = "isup = \"pass\"\ntrusted = true";
    for (keys, passes) in [(PASS, false), (trusted, true)] {
        let mut shard = Shard::with(config_of(&two_carriers(keys, keys)));
        let text = carrier_invite("isup", CARRIER_SDP);
        shard.carrier_says(&text.replace("Contact:", "Privacy: id\nContact:"));
        let mut two = reaches(shard);
        let ok = two.answered("b1", CARRIER_SDP);
        two.ack(&ok);
        // Another codec has to be asked of the other side.
        let pcmu = CARRIER_SDP.replace("RTP/AVP 8 0 101", "RTP/AVP 0 101");
        let again = in_dialog(&ok, "INVITE", 11, &format!("{VIA}again"));
        let told = beside(&pcmu, &part("optional", "cpg"));
        two.shard.carrier_says(&with(&again, &told));
        two.shard.next_response(100);
        let asked = two.shard.next_request(Method::Invite).message;
        assert_eq!(body(&asked).contains("cpg"), passes, "{}", body(&asked));
    }
}

/// What a caller has wished in its INVITE holds for all that it says in the call, in whichever header it wished it.
#[test]
fn who_wanted_to_stay_unknown_is_not_named_by_what_says_nothing_of_that() {
    let trusted = "isup = \"pass\"\ntrusted = true";
    let asserted = "Remote-Party-ID: <sip:+498999998001@198.51.100.20>;party=calling";
    for (wish, keys, passes) in [
        ("Privacy: id", PASS, false),
        ("Privacy: id", trusted, true),
        (&format!("{asserted};privacy=full"), PASS, false),
        (&format!("{asserted};privacy=full"), trusted, true),
        (&format!("{asserted};privacy=off"), PASS, true),
    ] {
        let iam = beside(CARRIER_SDP, &part("optional", "iam"));
        let mut shard = Shard::with(config_of(&two_carriers(keys, keys)));
        let text = with(&carrier_invite("isup", ""), &iam);
        shard.carrier_says(&text.replace("Contact:", &format!("{wish}\nContact:")));
        let mut two = reaches(shard);
        let told = body(&two.invite);
        assert_eq!(told.contains("iam"), passes, "{wish}: {told}");
        let ok = two.answered("b1", CARRIER_SDP);
        two.ack(&ok);
        let info = in_dialog(&ok, "INFO", 11, &format!("{VIA}info"));
        two.shard.carrier_says(&with(&info, &alone("sus")));
        if passes {
            let info = two.shard.next_request(Method::Info).message;
            assert_eq!(&info.body()[..], b"\x01\x11sus");
            two.hear(&response(&info, "200 OK", "", "", ""));
            two.shard.next_response(200);
        } else {
            two.shard.next_response(415);
        }
        let bye = in_dialog(&ok, "BYE", 12, &format!("{VIA}bye"));
        two.shard.carrier_says(&with(&bye, &alone("rel")));
        two.shard.next_response(200);
        let bye = two.shard.next_request(Method::Bye).message;
        assert_eq!(body(&bye).contains("rel"), passes, "{wish}: {bye:?}");
        two.hear(&response(&bye, "200 OK", "", "", ""));
    }
}

/// Who was called has wished nothing, whoever called.
#[test]
fn who_is_called_by_somebody_unknown_tells_its_own_isup() {
    let mut shard = Shard::with(config_of(&two_carriers(PASS, PASS)));
    let text = carrier_invite("isup", CARRIER_SDP);
    shard.carrier_says(&text.replace("Contact:", "Privacy: id\nContact:"));
    let mut two = reaches(shard);
    let ok = two.answered("b1", CARRIER_SDP);
    two.ack(&ok);
    let bye = callee_request(&two.invite, "b1", "BYE", 1, "").replace(
        "SIP/2.0/TLS 203.0.113.1:5061",
        "SIP/2.0/UDP 198.51.100.40:5060",
    );
    two.hear(&with(&bye, &alone("rel")));
    two.shard.next_response(200);
    let bye = two.shard.next_request(Method::Bye).message;
    assert_eq!(&bye.body()[..], b"\x01\x11rel");
}

#[test]
fn a_change_of_the_call_leaves_isup_behind_where_the_other_side_does_not_speak_it() {
    let iam = beside(CARRIER_SDP, &part("required", "iam"));
    let again = |two: &mut Two, ok: &Message| {
        let again = in_dialog(ok, "INVITE", 11, &format!("{VIA}again"));
        two.shard.carrier_says(&with(&again, &iam));
        two.shard.next_response(100);
    };
    let mut two = reaches(called(PASS, "", &iam));
    let ok = two.answered("b1", CARRIER_SDP);
    two.ack(&ok);
    again(&mut two, &ok);
    let answered = two.shard.next_response(200).message;
    assert_eq!(
        header(&answered, HeaderName::ContentType),
        "application/sdp"
    );
    // Who is not known to speak it is told that it is not understood.
    let mut two = reaches(called("", PASS, &typed("application/sdp", "", CARRIER_SDP)));
    let ok = two.answered("b1", CARRIER_SDP);
    two.ack(&ok);
    again(&mut two, &ok);
    let refused = two.shard.next_response(415).message;
    assert_eq!(
        header(&refused, HeaderName::Accept),
        "application/sdp, application/pidf+xml, multipart/mixed"
    );
}

/// RFC 3398 §8.2.2.3 gives the release in CANCEL as Reason: CANCEL is answered hop by hop, by whom its body means nothing.
#[test]
fn a_cancel_takes_no_isup_along() {
    let iam = beside(CARRIER_SDP, &part("required", "iam"));
    let mut two = reaches(called(PASS, PASS, &iam));
    two.says("180 Ringing", "b1", "", "");
    two.shard.next_response(180);
    let cancel = carrier_invite("isup", "").replace("INVITE", "CANCEL");
    two.shard.carrier_says(&with(&cancel, &alone("rel")));
    two.shard.next_response(200);
    two.shard.next_response(487);
    let ours = two.shard.next_request(Method::Cancel).message;
    assert!(ours.body().is_empty() && !ours.has(HeaderName::ContentType));
}

#[test]
fn who_is_refused_a_body_in_info_hears_what_is_taken() {
    let usual = "application/dtmf-relay, application/dtmf";
    let spoken = format!("{usual}, application/isup, application/qsig");
    let other = typed("application/x", "", "x");
    for (of_b, sent, expected) in [
        (PASS, &other, spoken.as_str()),
        ("info = \"relay\"", &alone("sus"), usual),
    ] {
        let mut two = reaches(called(
            PASS,
            of_b,
            &beside(CARRIER_SDP, &part("optional", "iam")),
        ));
        let ok = two.answered("b1", CARRIER_SDP);
        two.ack(&ok);
        let info = in_dialog(&ok, "INFO", 11, &format!("{VIA}info"));
        two.shard.carrier_says(&with(&info, sent));
        let refused = two.shard.next_response(415).message;
        assert_eq!(header(&refused, HeaderName::Accept), expected);
    }
}

#[test]
fn what_is_told_again_to_keep_a_call_alive_is_no_event_of_the_other_network() {
    let iam = beside(CARRIER_SDP, &part("required", "iam"));
    let mut two = reaches(called(PASS, PASS, &iam));
    says(&mut two, "180 Ringing", &alone("acm"));
    let ringing = two.shard.next_response(180).message;
    assert_eq!(&ringing.body()[..], b"\x01\x11acm");
    two.shard.pass(Duration::from_secs(61));
    let again = two.shard.next_response(180).message;
    assert!(again.body().is_empty(), "{again:?}");
}

#[test]
fn a_refusal_says_in_isup_why() {
    let mut two = reaches(called(
        PASS,
        PASS,
        &beside(CARRIER_SDP, &part("required", "iam")),
    ));
    says(&mut two, "404 Not Found", &alone("rel"));
    two.shard.next_request(Method::Ack);
    let refused = two.shard.next_response(404).message;
    assert_eq!(header(&refused, HeaderName::ContentType), ISUP);
    assert_eq!(&refused.body()[..], b"\x01\x11rel");
}

#[test]
fn a_call_without_offer_brings_its_isup_along() {
    let two = reaches(called(PASS, PASS, &alone("iam")));
    assert_eq!(header(&two.invite, HeaderName::ContentType), ISUP);
    assert_eq!(&two.invite.body()[..], b"\x01\x11iam");
}

#[test]
fn it_stays_behind_where_one_of_the_two_does_not_say_that_it_speaks_it() {
    for (of_a, of_b) in [("", PASS), (PASS, ""), ("", "")] {
        let optional = beside(CARRIER_SDP, &part("optional", "iam"));
        let mut two = reaches(called(of_a, of_b, &optional));
        assert_eq!(
            header(&two.invite, HeaderName::ContentType),
            "application/sdp"
        );
        says(
            &mut two,
            "183 Session Progress",
            &beside(CARRIER_SDP, &part("optional", "acm")),
        );
        let progress = two.shard.next_response(183).message;
        assert_eq!(
            header(&progress, HeaderName::ContentType),
            "application/sdp"
        );
    }
    // Who has to be understood and is not is refused; a peer that is known to speak it is understood.
    let required = beside(CARRIER_SDP, &part("required", "iam"));
    let mut refused = called("", PASS, &required);
    let refused = refused.next_response(415).message;
    assert_eq!(
        header(&refused, HeaderName::Accept),
        "application/sdp, application/pidf+xml, multipart/mixed"
    );
    let two = reaches(called(PASS, "", &required));
    assert_eq!(
        header(&two.invite, HeaderName::ContentType),
        "application/sdp"
    );
}

/// A trunk for calls for help that is said so much of ISUP.
fn helping(of_b: &str) -> String {
    let numbers = "numbers = [\"+493023125000-+493023125999\"]";
    let text =
        two_carriers(PASS, of_b).replace(numbers, &format!("{numbers}\nemergency = [\"112\"]"));
    format!(
        "{text}\n[[route]]\nname = \"help\"\nmatch = {{ emergency = true }}\nto = [{{ trunk = \"b\" }}]\n"
    )
}

#[test]
fn a_call_for_help_takes_its_isup_only_where_it_is_spoken() {
    let place = "Content-Type: application/pidf+xml\nContent-ID: <1@h>\n\n<presence/>";
    let iam = part("required", "iam");
    let described = beside(CARRIER_SDP, &format!("{iam}\n--x1\n{place}"));
    for (of_b, passes) in [("", false), (PASS, true)] {
        for (body_in, has_place) in [(&described, true), (&alone("iam"), false)] {
            let mut shard = Shard::with(config_of(&helping(of_b)));
            let text = with(&carrier_invite("isup", ""), body_in);
            shard.carrier_says(&text.replace("sip:+493023125456@", "sip:112@"));
            let two = reaches(shard);
            assert!(two.invite.request_uri().starts_with(b"sip:112@"));
            let told = body(&two.invite);
            assert_eq!(told.contains(place), has_place, "{told}");
            assert_eq!(told.contains("\u{1}\u{11}iam"), passes, "{told}");
            let kind = two.invite.raw(HeaderName::ContentType).unwrap_or_default();
            let text = format!("{} {told}", String::from_utf8_lossy(&kind));
            assert_eq!(text.contains("ISUP"), passes, "{text}");
        }
    }
}

#[test]
fn isup_names_who_calls_for_help_unless_the_law_keeps_him_hidden() {
    let place = "Content-Type: application/pidf+xml\nContent-ID: <1@h>\n\n<presence/>";
    let iam = part("optional", "iam");
    let placed = beside(CARRIER_SDP, &format!("{iam}\n--x1\n{place}"));
    for (form, is_named) in [("override", true), ("keep", false)] {
        for (body_in, location) in [
            (&placed, ""),
            (&alone("iam"), ""),
            (&placed, "location = false"),
            (&alone("iam"), "location = false"),
        ] {
            let keys =
                format!("{PASS}\n{location}\nidentity = {{ emergency_privacy = \"{form}\" }}");
            let mut shard = Shard::with(config_of(&helping(&keys)));
            let text = with(&carrier_invite("isup", ""), body_in);
            let text = text.replace("sip:+493023125456@", "sip:112@");
            shard.carrier_says(&text.replace("Contact:", "Privacy: id\nContact:"));
            let told = body(&reaches(shard).invite);
            assert_eq!(told.contains("iam"), is_named, "{form} {location}: {told}");
            let is_placed = location.is_empty() && body_in == &placed;
            assert_eq!(told.contains(place), is_placed, "{form} {location}: {told}");
        }
    }
}

/// What it says later in the call, with or without a wish in the message itself, is told as its INVITE was (SIP-1011).
#[test]
fn who_calls_for_help_is_named_by_all_that_it_says_in_the_call() {
    for (form, is_named) in [("override", true), ("keep", false)] {
        for wish in ["", "Privacy: id\n"] {
            let keys = format!("{PASS}\nidentity = {{ emergency_privacy = \"{form}\" }}");
            let mut shard = Shard::with(config_of(&helping(&keys)));
            let iam = beside(CARRIER_SDP, &part("optional", "iam"));
            let text = with(&carrier_invite("isup", ""), &iam);
            let text = text.replace("sip:+493023125456@", "sip:112@");
            shard.carrier_says(&text.replace("Contact:", "Privacy: id\nContact:"));
            let mut two = reaches(shard);
            let ok = two.answered("b1", CARRIER_SDP);
            two.ack(&ok);
            let wishing =
                |text: String| text.replace("Max-Forwards:", &format!("{wish}Max-Forwards:"));
            let info = wishing(in_dialog(&ok, "INFO", 11, &format!("{VIA}info")));
            two.shard.carrier_says(&with(&info, &alone("sus")));
            if is_named {
                let info = two.shard.next_request(Method::Info).message;
                assert_eq!(&info.body()[..], b"\x01\x11sus", "{wish}");
                two.hear(&response(&info, "200 OK", "", "", ""));
                two.shard.next_response(200);
            } else {
                two.shard.next_response(415);
            }
            let bye = wishing(in_dialog(&ok, "BYE", 12, &format!("{VIA}bye")));
            two.shard.carrier_says(&with(&bye, &alone("rel")));
            two.shard.next_response(200);
            let bye = two.shard.next_request(Method::Bye).message;
            assert_eq!(
                body(&bye).contains("rel"),
                is_named,
                "{form} {wish}: {bye:?}"
            );
        }
    }
}

/// Those who help may want to stay unknown themselves.
#[test]
fn who_helps_is_not_named_where_it_wishes_so() {
    for (wish, passes) in [("", true), ("Privacy: id\n", false)] {
        let mut shard = Shard::with(config_of(&helping(PASS)));
        let text = carrier_invite("isup", CARRIER_SDP);
        shard.carrier_says(&text.replace("sip:+493023125456@", "sip:112@"));
        let mut two = reaches(shard);
        let ok = two.answered("b1", CARRIER_SDP);
        two.ack(&ok);
        let bye = callee_request(&two.invite, "b1", "BYE", 1, wish).replace(
            "SIP/2.0/TLS 203.0.113.1:5061",
            "SIP/2.0/UDP 198.51.100.40:5060",
        );
        two.hear(&with(&bye, &alone("rel")));
        two.shard.next_response(200);
        let bye = two.shard.next_request(Method::Bye).message;
        assert_eq!(body(&bye).contains("rel"), passes, "{wish}");
    }
}

#[test]
fn who_wants_to_stay_unknown_is_not_named_in_isup() {
    let trusted = "isup = \"pass\"\ntrusted = true";
    for (wish, keys, passes) in [
        ("id", PASS, false),
        ("user", PASS, false),
        ("header;id", PASS, false),
        ("none", PASS, true),
        ("id", trusted, true),
    ] {
        let optional = beside(CARRIER_SDP, &part("optional", "iam"));
        let mut shard = Shard::with(config_of(&two_carriers(keys, keys)));
        let text = with(&carrier_invite("isup", ""), &optional);
        shard.carrier_says(&text.replace("Contact:", &format!("Privacy: {wish}\nContact:")));
        let told = body(&reaches(shard).invite);
        assert_eq!(told.contains("iam"), passes, "{wish}: {told}");
    }
}

#[test]
fn what_a_phone_says_in_isup_is_told_in_its_own_early_dialog_and_no_other() {
    let of_a = format!("{PASS}\nearly_dialogs = \"transparent\"");
    let iam = beside(CARRIER_SDP, &part("required", "iam"));
    let mut two = reaches(called(&of_a, PASS, &iam));
    let rings = |two: &mut Two, tag: &str, body: &str| {
        let contact = "Contact: <sip:gw@198.51.100.40:5060>\n";
        let text = response(&two.invite, "180 Ringing", tag, contact, "");
        two.hear(&match body.is_empty() {
            true => text,
            false => with(&text, body),
        });
    };
    rings(&mut two, "b1", &alone("acm"));
    let first = two.shard.next_response(180).message;
    assert_eq!(&first.body()[..], b"\x01\x11acm");
    rings(&mut two, "b2", "");
    let second = two.shard.next_response(180).message;
    assert!(second.body().is_empty(), "{second:?}");
    // Another event is news, though the status is not.
    rings(&mut two, "b1", &alone("cpg"));
    let third = two.shard.next_response(180).message;
    assert_eq!(
        header(&third, HeaderName::To),
        header(&first, HeaderName::To)
    );
    assert_eq!(&third.body()[..], b"\x01\x11cpg");
    // What comes of a phone that the caller has left is told to nobody, and goes with nothing else.
    two.caller_says(&third, "BYE", 11, "", "");
    two.shard.next_response(200);
    let bye = two.shard.next_request(Method::Bye).message;
    two.hear(&response(&bye, "200 OK", "", "", ""));
    rings(&mut two, "b1", &alone("old"));
    two.shard.pass(Duration::from_secs(61));
    let again = two.shard.next_response(180).message;
    assert_eq!(
        header(&again, HeaderName::To),
        header(&second, HeaderName::To)
    );
    assert!(again.body().is_empty(), "{again:?}");
}
