//! Callers that see the early dialogs of the called side one by one (SIP-311), and the end of each
//! (SIP-313).

use crate::world;

use sbc_core::sip::header::{CSeq, Supported};
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::{VIA, header};
use world::two::{Two, is_reliable, two_carriers};
use world::*;

const TRANSPARENT: &str = "early_dialogs = \"transparent\"";

fn tag(message: &Message) -> String {
    let value = header(message, HeaderName::To);
    value.split(";tag=").nth(1).expect("a tag").to_owned()
}

/// A caller with these lines in its INVITE.
fn caller(lines: &str) -> Two {
    Two::with(
        TRANSPARENT,
        "early_media_max = \"300s\"",
        lines,
        CARRIER_SDP,
    )
}

/// Whether the called side is asked to tell of early dialogs that end.
fn hears_of_ends(invite: &Message) -> bool {
    let tags = invite.list::<Supported>().expect("option tags");
    tags.iter().any(|tag| tag.is("199"))
}

fn told(two: &mut Two, code: u16) -> Message {
    two.shard.next_response(code).message
}

#[test]
fn each_early_dialog_of_the_called_side_is_one_of_the_callers() {
    let mut two = caller("");
    assert!(hears_of_ends(&two.invite));
    two.says("180 Ringing", "b1", "", "");
    let first = told(&mut two, 180);
    two.says("180 Ringing", "b2", "", "");
    let second = told(&mut two, 180);
    assert_ne!(tag(&first), tag(&second));
    // One that is known keeps its own, and another phone's repetition is not told again.
    two.says("180 Ringing", "b1", "", "");
    assert!(two.shard.sent.is_empty());
    two.says("183 Session Progress", "b1", "", CARRIER_SDP);
    let early = told(&mut two, 183);
    assert_eq!(tag(&early), tag(&first));
    two.says("183 Session Progress", "b2", "", CARRIER_SDP);
    let other = told(&mut two, 183);
    assert_eq!(tag(&other), tag(&second));
    assert_eq!(early.body(), other.body(), "one port for all of them");
    // Whoever answers, in that dialog.
    let ok = two.answered("b2", CARRIER_SDP);
    assert_eq!(tag(&ok), tag(&second));
    assert_eq!(ok.body(), early.body());
    two.ack(&ok);
    two.shard.pass(Duration::from_secs(60));
    assert!(two.shard.sent.is_empty() && two.shard.records.is_empty());
    // Nothing is left of the other one.
    two.caller_says(&first, "OPTIONS", 11, "", "");
    two.shard.next_response(481);
    let bye = in_dialog(&ok, "BYE", 11, &format!("{VIA}bye"));
    two.shard.carrier_says(&bye);
    two.shard.next_response(200);
    let bye = two.shard.next_request(Method::Bye).message;
    two.hear(&response(&bye, "200 OK", "", "", ""));
    assert_eq!(two.shard.records.len(), 1);
    two.shard.settles();
}

#[test]
fn usually_a_caller_sees_one_early_dialog_whatever_rings() {
    let mut two = Two::new("Supported: 199\n");
    assert!(!hears_of_ends(&two.invite));
    two.says("180 Ringing", "b1", "", "");
    let first = told(&mut two, 180);
    two.shard.pass(Duration::from_secs(2));
    two.says("180 Ringing", "b2", "", "");
    assert_eq!(tag(&told(&mut two, 180)), tag(&first));
    two.says("199 Early Dialog Terminated", "b1", "", "");
    assert!(two.shard.sent.is_empty());
    let ok = two.answered("b2", CARRIER_SDP);
    assert_eq!(tag(&ok), tag(&first));
}

#[test]
fn an_answer_of_a_phone_that_never_rang_has_a_dialog_of_its_own() {
    let mut two = caller("");
    two.says("180 Ringing", "b1", "", "");
    let first = told(&mut two, 180);
    let ok = two.answered("b9", CARRIER_SDP);
    assert_ne!(tag(&ok), tag(&first));
}

#[test]
fn a_caller_that_asks_for_it_hears_of_the_end_of_an_early_dialog() {
    for (lines, hears) in [("Supported: 199\n", true), ("", false)] {
        let mut two = caller(lines);
        two.says("183 Session Progress", "b1", "", CARRIER_SDP);
        let first = told(&mut two, 183);
        two.says("180 Ringing", "b2", "", "");
        let second = told(&mut two, 180);
        let reason = "Reason: SIP;cause=486;text=\"Busy\"\n";
        two.says("199 Early Dialog Terminated", "b1", reason, "");
        if hears {
            let ended = told(&mut two, 199);
            assert_eq!(tag(&ended), tag(&first));
            assert_eq!(header(&ended, HeaderName::Reason), "SIP;cause=486");
            assert!(ended.body().is_empty() && !is_reliable(&ended));
        }
        // Once, and nothing more is heard of it.
        two.says("199 Early Dialog Terminated", "b1", reason, "");
        two.says("180 Ringing", "b1", "", "");
        assert!(two.shard.sent.is_empty(), "{lines}");
        // What is repeated for the sake of proxies is what still rings.
        two.shard.pass(Duration::from_secs(61));
        let again = told(&mut two, 180);
        assert_eq!(tag(&again), tag(&second));
        let ok = two.answered("b2", CARRIER_SDP);
        assert_eq!(tag(&ok), tag(&second));
    }
}

#[test]
fn whoever_must_confirm_provisionals_sees_one_early_dialog_and_no_end_of_it() {
    let mut two = caller("Require: 100rel\nSupported: 199\n");
    two.says("180 Ringing", "b1", "", "");
    let first = told(&mut two, 180);
    assert!(is_reliable(&first));
    two.confirms(&first, 11);
    two.says("199 Early Dialog Terminated", "b1", "", "");
    assert!(two.shard.sent.is_empty());
    two.says("183 Session Progress", "b2", "", "");
    let second = told(&mut two, 183);
    assert_eq!(tag(&second), tag(&first));
}

#[test]
fn provisionals_in_several_early_dialogs_are_not_reliable() {
    let mut two = caller("Supported: 100rel\n");
    two.reliably("183 Session Progress", "b1", 1, CARRIER_SDP);
    two.pracks(1);
    let early = told(&mut two, 183);
    assert!(!is_reliable(&early) && !early.body().is_empty());
    let ok = two.answered("b1", "");
    assert_eq!(tag(&ok), tag(&early));
    assert_eq!(ok.body(), early.body());
}

#[test]
fn the_caller_counts_its_requests_in_each_early_dialog() {
    let mut two = caller("");
    two.says("180 Ringing", "b1", "", "");
    let first = told(&mut two, 180);
    two.says("180 Ringing", "b2", "", "");
    let second = told(&mut two, 180);
    let requests = [
        (&first, 11, 200),
        (&second, 11, 200),
        (&second, 11, 500),
        (&first, 10, 500),
        (&first, 12, 200),
    ];
    for (at, (early, number, status)) in requests.into_iter().enumerate() {
        let options = in_dialog(early, "OPTIONS", number, &format!("{VIA}options{at}"));
        two.shard.carrier_says(&options);
        two.shard.next_response(status);
    }
    // And the dialog that goes on knows how far it was.
    let ok = two.answered("b1", CARRIER_SDP);
    assert_eq!(tag(&ok), tag(&first));
    two.ack(&ok);
    two.caller_says(&ok, "INFO", 12, "", "");
    two.shard.next_response(500);
    assert_eq!(ok.get::<CSeq>().unwrap().unwrap().number, 10);
}

/// Two phones ring, and the caller has left the early dialog of the first: what that phone was told.
fn left() -> (Two, Message, Message) {
    let mut two = caller("");
    two.says("180 Ringing", "b1", "", "");
    let first = told(&mut two, 180);
    two.says("180 Ringing", "b2", "", "");
    let second = told(&mut two, 180);
    let reason = "Reason: Q.850;cause=16\n";
    two.caller_says(&first, "BYE", 11, reason, "");
    two.shard.next_response(200);
    let bye = two.shard.next_request(Method::Bye).message;
    assert!(header(&bye, HeaderName::To).ends_with(";tag=b1"));
    assert_eq!(header(&bye, HeaderName::Reason), "Q.850;cause=16");
    assert!(two.shard.sent.is_empty(), "the other phone goes on ringing");
    (two, second, bye)
}

#[test]
fn a_bye_of_the_caller_on_one_early_dialog_reaches_that_phone_alone() {
    let (mut two, second, bye) = left();
    two.hear(&response(&bye, "200 OK", "", "", ""));
    // Nothing counts that the phone says now.
    two.says("183 Session Progress", "b1", "", CARRIER_SDP);
    assert!(two.shard.sent.is_empty());
    let ok = two.answered("b2", CARRIER_SDP);
    assert_eq!(tag(&ok), tag(&second));
    two.ack(&ok);
    two.shard.pass(Duration::from_secs(60));
    assert!(two.shard.sent.is_empty() && two.shard.records.is_empty());
    let bye = in_dialog(&ok, "BYE", 11, &format!("{VIA}bye"));
    two.shard.carrier_says(&bye);
    two.shard.next_response(200);
    let bye = two.shard.next_request(Method::Bye).message;
    two.hear(&response(&bye, "200 OK", "", "", ""));
    two.shard.settles();
}

#[test]
fn an_answer_that_crosses_the_bye_on_its_early_dialog_is_ended_and_is_none() {
    let (mut two, _, bye) = left();
    two.says("200 OK", "b1", "", CARRIER_SDP);
    let ack = two.shard.next_request(Method::Ack).message;
    assert!(header(&ack, HeaderName::To).ends_with(";tag=b1"));
    let again = two.shard.next_request(Method::Bye).message;
    two.hear(&response(
        &bye,
        "481 Call/Transaction Does Not Exist",
        "",
        "",
        "",
    ));
    two.hear(&response(&again, "200 OK", "", "", ""));
    let refused = two.shard.next_response(480).message;
    assert_eq!(header(&refused, HeaderName::CallId), "two");
    let ack = carrier_invite("two", "").replace("INVITE", "ACK");
    two.shard.carrier_says(&ack);
    // The other phone was quicker than its CANCEL.
    two.says("200 OK", "b2", "", CARRIER_SDP);
    two.shard.next_request(Method::Ack);
    two.shard.next_request(Method::Bye);
}

#[test]
fn the_early_dialogs_of_a_way_that_failed_end_before_the_next_is_tried() {
    let text = two_carriers(TRANSPARENT, "").replace(
        "to = [{ trunk = \"b\" }]",
        "to = [{ trunk = \"b\" }, { trunk = \"teams-contoso\" }]",
    );
    let mut shard = Shard::with(config_of(&text));
    let invite = carrier_invite("two", CARRIER_SDP);
    shard.carrier_says(&invite.replace("Max-Forwards", "Supported: 199\nMax-Forwards"));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let mut two = Two { shard, invite };
    two.says("180 Ringing", "b1", "", "");
    let first = told(&mut two, 180);
    two.says("503 Service Unavailable", "b1", "", "");
    two.shard.next_request(Method::Ack);
    let ended = told(&mut two, 199);
    assert_eq!(tag(&ended), tag(&first));
    assert_eq!(header(&ended, HeaderName::Reason), "SIP;cause=503");
    let invite = two.shard.next_request(Method::Invite).message;
    let ringing = response(&invite, "180 Ringing", "b1", TEAMS_CONTACT, "");
    two.shard.teams_says(&ringing);
    let second = told(&mut two, 180);
    assert_ne!(tag(&second), tag(&first), "the same tag of somebody else");
    // The last failure is told as what it is.
    let busy = response(&invite, "486 Busy Here", "b1", TEAMS_CONTACT, "");
    two.shard.teams_says(&busy);
    two.shard.next_request(Method::Ack);
    two.shard.next_response(486);
    assert!(two.shard.sent.is_empty());
}

#[test]
fn several_early_dialogs_and_required_confirmation_contradict_each_other() {
    let keys = format!("{TRANSPARENT}\nrel100 = \"required\"");
    let text = two_carriers(&keys, "");
    let facts = sbc_core::config::Assumed::with_names(["sbc1.contoso.example"]);
    let source = sbc_core::config::Source::new("test.toml", &text);
    let findings = sbc_core::config::load(&[source], &facts, None).expect_err("refused");
    let told = findings.to_text();
    assert!(told.contains("see one early dialog"), "{told}");
}

#[test]
fn a_called_side_with_endless_phones_gets_a_bounded_number_of_early_dialogs() {
    let mut two = caller("");
    for phone in 0..300 {
        two.says("180 Ringing", &format!("phone-{phone}"), "", "");
    }
    let tags: std::collections::BTreeSet<String> = two
        .shard
        .sent
        .drain(..)
        .map(|sent| tag(&sent.message))
        .collect();
    assert_eq!(tags.len(), 65, "those beyond 64 share one");
    // What one of those says is heard, and answers too.
    two.shard.pass(Duration::from_secs(2));
    two.says("183 Session Progress", "phone-299", "", CARRIER_SDP);
    let early = told(&mut two, 183);
    assert!(tags.contains(&tag(&early)) && !early.body().is_empty());
    let ok = two.answered("phone-299", CARRIER_SDP);
    assert!(!ok.body().is_empty());
    assert_eq!(tag(&ok), tag(&early));
}

#[test]
fn a_bye_of_the_caller_ends_the_early_dialog_that_it_names() {
    let mut two = caller("");
    two.says("180 Ringing", "b1", "", "");
    let first = told(&mut two, 180);
    two.says("180 Ringing", "b2", "", "");
    let second = told(&mut two, 180);
    // One with an old number ends nothing.
    two.caller_says(&first, "BYE", 10, "", "");
    two.shard.next_response(500);
    two.caller_says(&first, "BYE", 11, "", "");
    two.shard.next_response(200);
    two.shard.next_request(Method::Bye);
    assert!(two.shard.sent.is_empty(), "the other one rings");
    two.caller_says(&first, "OPTIONS", 12, "", "");
    two.shard.next_response(481);
    two.says("183 Session Progress", "b1", "", CARRIER_SDP);
    assert!(two.shard.sent.is_empty(), "nothing is heard of it");
    // The last one takes the call with it.
    two.caller_says(&second, "BYE", 12, "", "");
    two.shard.next_response(200);
    two.shard.next_response(487);
    two.shard.next_request(Method::Cancel);
}

#[test]
fn early_dialogs_of_ways_that_failed_do_not_count() {
    let text = two_carriers(TRANSPARENT, "").replace(
        "to = [{ trunk = \"b\" }]",
        "to = [{ trunk = \"b\" }, { trunk = \"teams-contoso\" }]",
    );
    let mut shard = Shard::with(config_of(&text));
    shard.carrier_says(&carrier_invite("two", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let mut two = Two { shard, invite };
    for phone in 0..64 {
        two.says("180 Ringing", &format!("phone-{phone}"), "", "");
    }
    let first = told(&mut two, 180);
    two.shard.sent.clear();
    two.says("503 Service Unavailable", "phone-0", "", "");
    two.shard.next_request(Method::Ack);
    let invite = two.shard.next_request(Method::Invite).message;
    let mut tags = std::collections::BTreeSet::new();
    for phone in ["b1", "b2"] {
        let ringing = response(&invite, "180 Ringing", phone, TEAMS_CONTACT, "");
        two.shard.teams_says(&ringing);
        tags.insert(tag(&told(&mut two, 180)));
    }
    assert_eq!(tags.len(), 2);
    // Nothing is left of the earlier ones.
    two.caller_says(&first, "OPTIONS", 11, "", "");
    two.shard.next_response(481);
}
