//! Reliable provisional responses (RFC 3262) by hand: towards callers that can confirm them.

use crate::world;

use sbc_core::event::Happened;
use sbc_core::record::Disposition;
use sbc_core::sip::header::{CSeq, RSeq};
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::{VIA, callee_request, header};
use world::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A call of the carrier with these lines in its INVITE, which has reached Teams.
fn calling(config: &str, lines: &str, sdp: &str) -> (Shard, Message) {
    let mut shard = Shard::with(config_of(config));
    let invite = carrier_invite("rel", sdp);
    shard.carrier_says(&invite.replace("Max-Forwards", &format!("{lines}Max-Forwards")));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    (shard, invite)
}

fn required() -> (Shard, Message) {
    calling(CONFIG, "Require: 100rel\n", CARRIER_SDP)
}

fn teams(shard: &mut Shard, invite: &Message, status: &str, sdp: &str) {
    shard.teams_says(&response(invite, status, "x1", TEAMS_CONTACT, sdp));
}

fn rseq(message: &Message) -> u32 {
    assert_eq!(header(message, HeaderName::Require), "100rel");
    message.get::<RSeq>().unwrap().unwrap().0
}

/// A PRACK of the caller.
fn prack(reliable: &Message, cseq: u32, rack: &str, sdp: &str) -> String {
    let bare = in_dialog(reliable, "PRACK", cseq, &format!("{VIA}p{cseq}"));
    let head = bare.replace("Content-Length: 0\n\n", &format!("RAck: {rack}\n"));
    with_body(&head, sdp)
}

fn confirm(shard: &mut Shard, reliable: &Message, cseq: u32) {
    let rack = format!("{} 10 INVITE", rseq(reliable));
    shard.carrier_says(&prack(reliable, cseq, &rack, ""));
    let ok = shard.next_response(200).message;
    assert_eq!(ok.get::<CSeq>().unwrap().unwrap().method, Method::Prack);
}

#[test]
fn a_caller_that_requires_it_gets_every_provisional_reliably_and_in_order() {
    let (mut shard, invite) = required();
    teams(&mut shard, &invite, "180 Ringing", "");
    teams(&mut shard, &invite, "183 Session Progress", TEAMS_SDP);
    let first = shard.next_response(180).message;
    let number = rseq(&first);
    assert!((1..1 << 31).contains(&number));
    assert!(shard.sent.is_empty(), "the second waits for the PRACK");
    confirm(&mut shard, &first, 11);
    let second = shard.next_response(183).message;
    assert_eq!(rseq(&second), number + 1);
    assert!(second.body().starts_with(b"v=0"));
    confirm(&mut shard, &second, 12);
    // The exchange is made: neither a later provisional nor the answer describes anything.
    teams(&mut shard, &invite, "183 Session Progress", TEAMS_SDP);
    shard.pass(ms(1500));
    teams(&mut shard, &invite, "200 OK", TEAMS_SDP);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    assert!(ok.body().is_empty() && ok.has(HeaderName::Contact));
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
    shard.pass(ms(100));
    assert!(shard.sent.is_empty() && shard.records.is_empty());
    shard.teams_says(&callee_request(&invite, "x1", "BYE", 1, ""));
    shard.next_response(200);
    shard.next_request(Method::Bye);
    shard.settles();
}

#[test]
fn without_prack_it_is_repeated_ever_more_slowly_and_the_call_fails_with_504() {
    let (mut shard, invite) = required();
    teams(&mut shard, &invite, "180 Ringing", "");
    let first = shard.next_response(180).message;
    let mut times = Vec::new();
    let begin = shard.now.mono;
    for _ in 0..3_150 {
        shard.pass(ms(10));
        while let Some(sent) = shard.sent.pop_front() {
            assert_eq!(sent.message.bytes(), first.bytes(), "octet by octet");
            times.push(shard.now.mono.since(begin).as_millis());
        }
    }
    assert_eq!(
        times,
        [500, 1_500, 3_500, 7_500, 15_500, 31_500],
        "T1 doubles without limit (SIP-520)"
    );
    shard.pass(ms(600));
    let failed: Vec<_> = shard.sent.drain(..).collect();
    let of = |code: u16| {
        let mut statuses = failed.iter().filter_map(|sent| sent.message.status());
        statuses.any(|status| status.code() == code)
    };
    assert!(of(504), "{failed:?}");
    let cancels = failed
        .iter()
        .filter(|sent| *sent.message.method() == Method::Cancel && sent.message.is_request());
    assert_eq!(cancels.count(), 1, "nobody rings any more");
    shard.pass(Duration::from_secs(100));
    assert_eq!(shard.records[0].cause.status, Some(504));
}

#[test]
fn a_prack_that_fits_nothing_gets_481_and_one_without_rack_400() {
    let (mut shard, invite) = required();
    teams(&mut shard, &invite, "180 Ringing", "");
    let first = shard.next_response(180).message;
    let number = rseq(&first);
    for (cseq, rack) in [
        (11, format!("{} 10 INVITE", number + 1)),
        (12, format!("{number} 11 INVITE")),
        (13, format!("{number} 10 UPDATE")),
    ] {
        shard.carrier_says(&prack(&first, cseq, &rack, ""));
        shard.next_response(481);
    }
    let bare = in_dialog(&first, "PRACK", 14, &format!("{VIA}bare"));
    shard.carrier_says(&bare);
    shard.next_response(400);
    let stranger = prack(&first, 15, &format!("{number} 10 INVITE"), "");
    shard.carrier_says(&stranger.replace(";tag=c1", ";tag=other"));
    shard.next_response(481);
    confirm(&mut shard, &first, 16);
    // It has been confirmed.
    shard.carrier_says(&prack(&first, 17, &format!("{number} 10 INVITE"), ""));
    shard.next_response(481);
    shard.pass(Duration::from_secs(40));
    assert!(shard.sent.is_empty(), "nothing is repeated");
}

/// How often a journal has heard that the call is answered.
fn told_as_answered(shard: &Shard) -> usize {
    let answered =
        |what: &&Happened| matches!(what, Happened::Recorded(record) if record.setup_ms.is_some());
    shard.happened.iter().filter(answered).count()
}

#[test]
fn the_answer_waits_for_the_prack_of_a_description() {
    let (mut shard, invite) = required();
    teams(&mut shard, &invite, "183 Session Progress", TEAMS_SDP);
    let early = shard.next_response(183).message;
    teams(&mut shard, &invite, "200 OK", TEAMS_SDP);
    shard.next_request(Method::Ack);
    shard.pass(ms(450));
    assert!(shard.sent.is_empty(), "SIP-522");
    shard.pass(ms(100));
    assert_eq!(shard.next_response(183).message.bytes(), early.bytes());
    assert_eq!(told_as_answered(&shard), 0, "the caller has no answer");
    confirm(&mut shard, &early, 11);
    assert_eq!(told_as_answered(&shard), 1);
    let ok = shard.next_response(200).message;
    assert!(ok.body().is_empty());
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
    shard.pass(Duration::from_secs(40));
    assert!(shard.records.is_empty() && shard.sent.is_empty());
}

#[test]
fn the_answer_does_not_wait_for_the_prack_of_a_bare_provisional() {
    let (mut shard, invite) = required();
    teams(&mut shard, &invite, "180 Ringing", "");
    let early = shard.next_response(180).message;
    teams(&mut shard, &invite, "200 OK", TEAMS_SDP);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    assert!(ok.body().starts_with(b"v=0"));
    let rack = format!("{} 10 INVITE", rseq(&early));
    shard.carrier_says(&prack(&early, 11, &rack, ""));
    shard.next_response(200);
    shard.carrier_says(&prack(&early, 12, &rack, ""));
    shard.next_response(481);
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
    shard.pass(Duration::from_secs(40));
    assert!(shard.sent.is_empty(), "the provisional is not repeated");
}

#[test]
fn an_offer_in_a_prack_that_crosses_the_answer_has_its_own() {
    let (mut shard, invite) = required();
    teams(&mut shard, &invite, "180 Ringing", "");
    let ringing = shard.next_response(180).message;
    teams(&mut shard, &invite, "200 OK", TEAMS_SDP);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    let rack = format!("{} 10 INVITE", rseq(&ringing));
    shard.carrier_says(&prack(&ringing, 11, &rack, CARRIER_SDP));
    let answer = shard.next_response(200).message;
    assert_eq!(header(&answer, HeaderName::CSeq), "11 PRACK");
    assert!(answer.body().starts_with(b"v=0"));
    assert!(!answer.has(HeaderName::SessionExpires));
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
    shard.pass(ms(2_000));
    assert!(shard.sent.is_empty() && shard.records.is_empty());
}

#[test]
fn a_caller_may_give_up_while_its_prack_is_awaited() {
    let (mut shard, invite) = required();
    teams(&mut shard, &invite, "183 Session Progress", TEAMS_SDP);
    shard.next_response(183);
    let cancel = carrier_invite("rel", "")
        .replace("INVITE sip", "CANCEL sip")
        .replace("10 INVITE", "10 CANCEL");
    shard.carrier_says(&cancel);
    shard.next_response(200);
    shard.next_response(487);
    let cancel = shard.next_request(Method::Cancel).message;
    shard.teams_says(&response(&cancel, "200 OK", "x1", "", ""));
    teams(&mut shard, &invite, "487 Request Terminated", "");
    shard.next_request(Method::Ack);
    shard.pass(ms(600));
    assert!(shard.sent.iter().all(|sent| {
        sent.message
            .status()
            .is_some_and(|status| status.code() == 487)
    }));
    shard.settles();
}

#[test]
fn who_gives_up_while_the_answer_waits_for_the_prack_ends_the_call_on_both_sides() {
    for by_bye in [false, true] {
        let (mut shard, invite) = required();
        teams(&mut shard, &invite, "183 Session Progress", TEAMS_SDP);
        let early = shard.next_response(183).message;
        teams(&mut shard, &invite, "200 OK", TEAMS_SDP);
        shard.next_request(Method::Ack);
        if by_bye {
            shard.carrier_says(&in_dialog(&early, "BYE", 11, &format!("{VIA}bye")));
        } else {
            let cancel = carrier_invite("rel", "")
                .replace("INVITE sip", "CANCEL sip")
                .replace("10 INVITE", "10 CANCEL");
            shard.carrier_says(&cancel);
        }
        shard.next_response(200);
        shard.next_response(487);
        let bye = shard.next_request(Method::Bye).message;
        shard.teams_says(&response(&bye, "200 OK", "", "", ""));
        let [record] = &shard.records[..] else {
            panic!("one record");
        };
        assert_ne!(record.disposition, Disposition::Answered);
        assert_eq!(record.duration_ms, 0, "the caller was never told");
        assert_eq!(told_as_answered(&shard), 0, "nor anybody else");
        shard.settles();
    }
}

#[test]
fn a_called_side_that_hangs_up_while_the_answer_waits_leaves_no_caller_behind() {
    let (mut shard, invite) = required();
    teams(&mut shard, &invite, "183 Session Progress", TEAMS_SDP);
    let early = shard.next_response(183).message;
    teams(&mut shard, &invite, "200 OK", TEAMS_SDP);
    shard.next_request(Method::Ack);
    shard.teams_says(&callee_request(&invite, "x1", "BYE", 1, ""));
    shard.next_response(200);
    let refused = shard.next().message;
    assert!(refused.status().is_some_and(|status| status.code() >= 400));
    assert_ne!(shard.records[0].disposition, Disposition::Answered);
    // Its PRACK comes too late for anything.
    let rack = format!("{} 10 INVITE", rseq(&early));
    shard.carrier_says(&prack(&early, 11, &rack, ""));
    shard.next_response(481);
    shard.settles();
}

#[test]
fn an_offer_in_a_prack_is_answered_in_its_200() {
    let (mut shard, invite) = required();
    teams(&mut shard, &invite, "183 Session Progress", TEAMS_SDP);
    let early = shard.next_response(183).message;
    let moved = CARRIER_SDP.replace("198.51.100.30", "198.51.100.23");
    let media = shard.media.len();
    let rack = format!("{} 10 INVITE", rseq(&early));
    shard.carrier_says(&prack(&early, 11, &rack, &moved));
    let ok = shard.next_response(200).message;
    assert!(ok.body().starts_with(b"v=0"));
    let agreed = format!("{:?}", shard.media.split_off(media));
    assert!(agreed.contains("198.51.100.23"), "{agreed}");
    assert!(shard.sent.is_empty(), "the other side is not asked");
    teams(&mut shard, &invite, "200 OK", TEAMS_SDP);
    shard.next_request(Method::Ack);
    assert!(shard.next_response(200).message.body().is_empty());
}

#[test]
fn an_offer_in_a_prack_that_cannot_be_used_is_declined_and_fails_the_call() {
    let (mut shard, invite) = required();
    teams(&mut shard, &invite, "183 Session Progress", TEAMS_SDP);
    let early = shard.next_response(183).message;
    let other = CARRIER_SDP.replace("RTP/AVP 8 0 101", "RTP/AVP 18 101");
    let rack = format!("{} 10 INVITE", rseq(&early));
    shard.carrier_says(&prack(&early, 11, &rack, &other));
    let ok = shard.next_response(200).message;
    let body = String::from_utf8_lossy(&ok.body()).into_owned();
    assert!(body.contains("m=audio 0 RTP/AVP"), "{body}");
    shard.next_response(488);
    shard.next_request(Method::Cancel);
}

#[test]
fn an_offer_in_a_prack_before_any_answer_is_refused_and_the_provisional_is_confirmed() {
    let (mut shard, invite) = required();
    teams(&mut shard, &invite, "180 Ringing", "");
    let early = shard.next_response(180).message;
    let rack = format!("{} 10 INVITE", rseq(&early));
    shard.carrier_says(&prack(&early, 11, &rack, CARRIER_SDP));
    shard.next_response(488);
    shard.pass(ms(900));
    assert!(shard.sent.is_empty(), "it is not repeated");
    teams(&mut shard, &invite, "200 OK", TEAMS_SDP);
    shard.next_request(Method::Ack);
    shard.next_response(200);
}

#[test]
fn a_caller_that_only_supports_it_gets_it_where_the_trunk_says_so() {
    let supported = "Supported: timer, 100rel\n";
    let (mut shard, invite) = calling(CONFIG, supported, CARRIER_SDP);
    teams(&mut shard, &invite, "183 Session Progress", TEAMS_SDP);
    let early = shard.next_response(183).message;
    assert!(!early.has(HeaderName::RSeq) && !early.has(HeaderName::Require));
    let with = |key: &str| {
        let name = "name = \"carrier-a\"";
        CONFIG.replace(name, &format!("{name}\n{key}"))
    };
    let sdp = with("reliable_sdp = true");
    let (mut shard, invite) = calling(&sdp, supported, CARRIER_SDP);
    teams(&mut shard, &invite, "180 Ringing", "");
    assert!(!shard.next_response(180).message.has(HeaderName::RSeq));
    teams(&mut shard, &invite, "183 Session Progress", TEAMS_SDP);
    rseq(&shard.next_response(183).message);
    let all = with("rel100 = \"required\"");
    let (mut shard, invite) = calling(&all, supported, CARRIER_SDP);
    teams(&mut shard, &invite, "180 Ringing", "");
    rseq(&shard.next_response(180).message);
    // One that does not even support it is told what it lacks (SIP-525).
    let (mut shard, invite) = calling(&sdp, "", CARRIER_SDP);
    teams(&mut shard, &invite, "183 Session Progress", TEAMS_SDP);
    assert!(!shard.next_response(183).message.has(HeaderName::RSeq));
    let mut shard = Shard::with(config_of(&all));
    shard.carrier_says(&carrier_invite("rel", CARRIER_SDP));
    shard.next_response(100);
    let refused = shard.next_response(421).message;
    assert_eq!(header(&refused, HeaderName::Require), "100rel");
    // Where it is never spoken, who requires it gets 420 and no INVITE goes out.
    let mut shard = Shard::with(config_of(&with("rel100 = \"never\"")));
    let invite = carrier_invite("rel", CARRIER_SDP);
    shard.carrier_says(&invite.replace("Max-Forwards", "Require: 100rel\nMax-Forwards"));
    let refused = shard.next_response(420).message;
    assert_eq!(header(&refused, HeaderName::Unsupported), "100rel");
    assert!(shard.sent.is_empty());
}

#[test]
fn no_header_policy_hides_what_a_caller_supports() {
    // SIP-524: it is read of the INVITE as it came, and nothing that is configured could change it there.
    for (key, name) in [
        ("strip", "Supported"),
        ("strip", "Require"),
        ("pass", "Supported"),
    ] {
        let own = "name = \"carrier-a\"";
        let text = CONFIG.replace(own, &format!("{own}\nheaders = {{ {key} = [\"{name}\"] }}"));
        let facts = sbc_core::config::Assumed::with_names(["sbc1.contoso.example"]);
        let source = sbc_core::config::Source::new("test.toml", &text);
        let findings = sbc_core::config::load(&[source], &facts, None).expect_err("refused");
        let told = findings.to_text();
        assert!(told.contains("belongs to us or to the call"), "{told}");
    }
}

#[test]
fn within_a_call_nothing_is_reliable_and_a_prack_has_no_meaning() {
    let (mut shard, invite) = required();
    teams(&mut shard, &invite, "200 OK", TEAMS_SDP);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
    shard.carrier_says(&prack(&ok, 11, "1 10 INVITE", ""));
    shard.next_response(481);
    let bare = in_dialog(&ok, "INVITE", 12, &format!("{VIA}re"));
    let lines = "Require: 100rel\nContact: <sip:gw@198.51.100.20:5060>\n";
    let reinvite = bare.replace("Content-Length: 0\n\n", lines);
    shard.carrier_says(&with_body(&reinvite, CARRIER_SDP));
    assert!(!shard.next_response(100).message.has(HeaderName::RSeq));
    shard.next_response(200);
}

#[test]
fn a_late_offer_is_made_reliably_before_the_answer_and_answered_in_the_prack() {
    let (mut shard, invite) = calling(CONFIG, "Supported: 100rel\n", "");
    teams(&mut shard, &invite, "183 Session Progress", TEAMS_SDP);
    let early = shard.next_response(183).message;
    assert!(early.body().starts_with(b"v=0"), "our offer");
    let rack = format!("{} 10 INVITE", rseq(&early));
    let media = shard.media.len();
    shard.carrier_says(&prack(&early, 11, &rack, CARRIER_SDP));
    let ok = shard.next_response(200).message;
    assert!(ok.body().is_empty());
    let agreed = format!("{:?}", shard.media.split_off(media));
    assert!(agreed.contains("198.51.100.30"), "early media: {agreed}");
    teams(&mut shard, &invite, "200 OK", TEAMS_SDP);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    assert!(ok.body().is_empty());
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
    shard.pass(ms(2_000));
    assert!(shard.sent.is_empty() && shard.records.is_empty());
}

#[test]
fn a_late_offer_that_gets_no_answer_in_the_prack_fails_the_call() {
    let (mut shard, invite) = calling(CONFIG, "Supported: 100rel\n", "");
    teams(&mut shard, &invite, "183 Session Progress", TEAMS_SDP);
    let early = shard.next_response(183).message;
    let rack = format!("{} 10 INVITE", rseq(&early));
    shard.carrier_says(&prack(&early, 11, &rack, ""));
    shard.next_response(200);
    shard.next_response(488);
    shard.next_request(Method::Cancel);
}
