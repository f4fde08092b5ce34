//! Offers of ours within a call, by hand: hold that is told, codecs that are asked for, glare, and
//! what a refusal ends.

use crate::operated::states;
use crate::world;

use sbc_core::cause::{CauseCode, EndedBy};
use sbc_core::record::CallPhase;
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::*;
use world::*;

const CONTACT: &str = "Contact: <sip:gw@198.51.100.20:5060>\n";
const SDP: &str = "Content-Type: application/sdp\n";
const TEAMS_MOVED: &str = "<sip:api-du-b.pstnhub.example:443;x-i=moved>";

/// The carrier's description with another direction.
fn carrier(direction: &str) -> String {
    CARRIER_SDP.replace("sendrecv", direction)
}

fn teams(direction: &str) -> String {
    TEAMS_SDP.replace("sendrecv", direction)
}

fn body(message: &Message) -> String {
    String::from_utf8_lossy(&message.body()).into_owned()
}

fn is_to_teams(request: &Message) -> bool {
    !String::from_utf8_lossy(&request.request_uri()).contains("198.51.100.")
}

/// The re-INVITE that must be the next message.
fn reinvite(call: &mut Call) -> Message {
    let asked = call.shard.next_request(Method::Invite).message;
    assert!(asked.has(HeaderName::Contact) && asked.has(HeaderName::Allow));
    asked
}

/// The caller offers again and has its 200.
fn reoffers(call: &mut Call, sdp: &str) -> Message {
    call.says("INVITE", &format!("{CONTACT}{SDP}"), sdp);
    call.shard.next_response(100);
    call.shard.next_response(200).message
}

/// The caller's ACK for that 200.
fn acknowledges(call: &mut Call) {
    let via = format!("{VIA}ack{}", call.cseq);
    let ack = in_dialog(&call.ok, "ACK", call.cseq, &via);
    call.shard.carrier_says(&ack);
}

/// Teams answers a request of ours.
fn answers(call: &mut Call, request: &Message, start: &str, sdp: &str) {
    let contact = format!("Contact: {TEAMS_MOVED}\n");
    let extra = if start.starts_with("200") {
        contact.as_str()
    } else {
        ""
    };
    let answer = response(request, start, "", extra, sdp);
    call.shard.teams_says(&answer);
}

/// The caller offers this direction and has its 200; what Teams is told of it.
fn told_of(call: &mut Call, direction: &str) -> Message {
    reoffers(call, &carrier(direction));
    let told = reinvite(call);
    acknowledges(call);
    told
}

/// Teams answers a re-INVITE of ours, and gets its ACK.
fn answered(call: &mut Call, told: &Message, start: &str, sdp: &str) {
    answers(call, told, start, sdp);
    call.shard.next_request(Method::Ack);
}

/// Teams offers a change.
fn teams_offers(call: &mut Call, cseq: u32, sdp: &str) {
    let contact = format!("Contact: {TEAMS_MOVED}\n");
    let offer = callee_request(&call.invite, "x1", "INVITE", cseq, &contact);
    let offer = with_body(&offer.replace("Content-Length: 0\n\n", ""), sdp);
    call.shard.teams_says(&offer);
}

#[test]
fn the_other_side_is_told_of_hold_and_resume_in_its_own_form() {
    let mut call = Call::new();
    let ok = reoffers(&mut call, &carrier("sendonly"));
    assert!(body(&ok).contains("a=recvonly"), "SIP-550");
    let told = reinvite(&mut call);
    acknowledges(&mut call);
    assert!(
        body(&told).contains("a=inactive"),
        "the only form of Teams (TDR-HLD-001)"
    );
    assert!(is_to_teams(&told));
    answers(&mut call, &told, "200 OK", &teams("inactive"));
    let ack = call.shard.next_request(Method::Ack).message;
    assert_eq!(
        ack.request_uri(),
        "sip:api-du-b.pstnhub.example:443;x-i=moved",
        "SIP-303"
    );
    assert!(call.shard.sent.is_empty());

    // Resumed in the same way, with a new version of one description only where it changed.
    let ok = reoffers(&mut call, &carrier("sendrecv"));
    assert!(body(&ok).contains("a=sendrecv"));
    let told = reinvite(&mut call);
    acknowledges(&mut call);
    assert!(body(&told).contains("a=sendrecv"));
    answered(&mut call, &told, "200 OK", &teams("sendrecv"));
    call.lives();
}

#[test]
fn how_long_a_line_was_on_hold_is_in_the_record() {
    let mut call = Call::new();
    for (direction, answer, seconds) in [
        ("sendonly", "inactive", 7),
        ("sendrecv", "sendrecv", 2),
        // It ends on hold.
        ("sendonly", "inactive", 3),
    ] {
        let told = told_of(&mut call, direction);
        answered(&mut call, &told, "200 OK", &teams(answer));
        call.shard.pass(Duration::from_secs(seconds));
        let is_held = direction == "sendonly";
        let state = if is_held { "held" } else { "established" };
        let (phases, listed) = states(&mut call.shard);
        assert_eq!(phases, vec![CallPhase::Held; usize::from(is_held)]);
        assert_eq!(listed, [state]);
    }
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    let record = &call.shard.records[0];
    assert_eq!((record.held_ms, record.duration_ms), (10_000, 12_000));
}

#[test]
fn a_change_of_address_is_nothing_to_the_other_side() {
    let mut call = Call::new();
    reoffers(
        &mut call,
        &carrier("sendrecv").replace("198.51.100.30", "198.51.100.31"),
    );
    acknowledges(&mut call);
    assert!(call.shard.sent.is_empty(), "SIP-544");
    call.lives();
}

#[test]
fn who_refuses_to_be_told_is_not_told_again_and_the_hold_stays() {
    let mut call = Call::new();
    let told = told_of(&mut call, "sendonly");
    answered(&mut call, &told, "488 Not Acceptable Here", "");
    call.shard.pass(Duration::from_secs(60));
    assert!(call.shard.sent.is_empty());
    // Resuming leads back to what Teams knows.
    reoffers(&mut call, &carrier("sendrecv"));
    acknowledges(&mut call);
    assert!(call.shard.sent.is_empty());
    // The next hold is a new question.
    let told = told_of(&mut call, "sendonly");
    answered(&mut call, &told, "200 OK", &teams("inactive"));
    let told = told_of(&mut call, "sendrecv");
    answered(&mut call, &told, "200 OK", TEAMS_SDP);
    call.lives();
}

#[test]
fn a_hold_that_is_taken_back_before_it_was_told_is_told_in_the_end_as_it_is() {
    let mut call = Call::new();
    let told = told_of(&mut call, "sendonly");
    reoffers(&mut call, &carrier("sendrecv"));
    acknowledges(&mut call);
    assert!(call.shard.sent.is_empty(), "one INVITE at a time (SIP-540)");
    answered(&mut call, &told, "200 OK", &teams("inactive"));
    let told = reinvite(&mut call);
    assert!(body(&told).contains("a=sendrecv"));
    answered(&mut call, &told, "200 OK", &teams("sendrecv"));
    call.lives();
}

#[test]
fn an_offer_that_crosses_ours_gets_491_and_ours_is_made_again_after_the_pause() {
    let mut call = Call::new();
    let told = told_of(&mut call, "sendonly");
    teams_offers(&mut call, 1, &teams("inactive"));
    call.shard.next_response(100);
    call.shard.next_response(491);
    answered(&mut call, &told, "491 Request Pending", "");
    // Ours is the Call-ID on this leg: we wait 2.1 to 4 s, the peer at most 2 s (SIP-542).
    call.shard.pass(Duration::from_millis(2_090));
    assert!(call.shard.sent.is_empty());
    teams_offers(&mut call, 2, &teams("inactive"));
    call.shard.next_response(100);
    let ok = call.shard.next_response(200).message;
    assert!(body(&ok).contains("a=inactive"));
    let ack = callee_request(&call.invite, "x1", "ACK", 2, "");
    // The carrier holds us as well: there is nothing it could be told.
    call.shard.teams_says(&ack);
    call.shard.pass(Duration::from_secs(10));
    assert!(
        call.shard.sent.is_empty(),
        "Teams holds itself, so nothing is owed to it"
    );
    call.lives();
}

#[test]
fn after_five_tries_in_vain_the_other_side_is_left_alone() {
    let mut call = Call::new();
    reoffers(&mut call, &carrier("sendonly"));
    let mut tries = 0;
    let mut waited = Duration::ZERO;
    acknowledges_after_first(&mut call, &mut tries);
    for _ in 0..40 {
        let pause = Duration::from_millis(500);
        call.shard.pass(pause);
        waited += pause;
        if call.shard.sent.is_empty() {
            continue;
        }
        assert!(waited >= Duration::from_millis(2_100) && waited <= Duration::from_millis(4_500));
        waited = Duration::ZERO;
        let told = reinvite(&mut call);
        answered(&mut call, &told, "491 Request Pending", "");
        tries += 1;
    }
    assert_eq!(tries, 1 + 5, "SIP-542");
    call.lives();
}

fn acknowledges_after_first(call: &mut Call, tries: &mut u32) {
    let told = reinvite(call);
    acknowledges(call);
    answers(call, &told, "491 Request Pending", "");
    call.shard.next_request(Method::Ack);
    *tries += 1;
}

#[test]
fn only_some_statuses_end_the_call() {
    for status in [
        400, 401, 403, 407, 420, 423, 486, 488, 493, 500, 503, 580, 600, 603, 606,
    ] {
        let mut call = Call::new();
        let told = told_of(&mut call, "sendonly");
        answered(&mut call, &told, &format!("{status} No"), "");
        reoffers(&mut call, &carrier("sendrecv"));
        acknowledges(&mut call);
        call.lives();
    }
    for status in [
        404, 405, 408, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 502, 604,
    ] {
        let mut call = Call::new();
        let told = told_of(&mut call, "sendonly");
        answered(&mut call, &told, &format!("{status} No"), "");
        for _ in 0..2 {
            let bye = call.shard.next_request(Method::Bye).message;
            let from_teams = is_to_teams(&bye);
            let ok = response(&bye, "200 OK", "", "", "");
            match from_teams {
                true => call.shard.teams_says(&ok),
                false => call.shard.carrier_says(&ok),
            }
        }
        let record = &call.shard.records[0];
        assert_eq!(
            record.cause.code,
            CauseCode::InCallFailure,
            "{status} (SIP-545)"
        );
        assert_eq!(record.cause.by, EndedBy::B);
        let because = record.cause.because.0.join(" ");
        assert!(
            because.contains(&format!("INVITE on leg 1 got {status}")),
            "{because}"
        );
        call.shard.settles();
    }
}

#[test]
fn what_says_that_the_dialog_is_gone_is_told_to_both_sides_as_silence_is() {
    for (status, is_told) in [("481 No", true), ("408 No", true), ("404 No", false)] {
        let mut call = Call::new();
        let told = told_of(&mut call, "sendonly");
        answered(&mut call, &told, status, "");
        for _ in 0..2 {
            let bye = call.shard.next_request(Method::Bye).message;
            let reason = header(&bye, HeaderName::Reason);
            assert_eq!(
                reason.contains("Q.850;cause=102"),
                is_told,
                "{status}: {reason}"
            );
        }
    }
}

#[test]
fn an_offer_that_is_relayed_goes_no_further_than_it_may() {
    let key = "codecs = [\"PCMA\", \"PCMU\"]";
    let config = CONFIG.replace(key, &format!("{key}\nreinvite = \"always_relay\""));
    let mut call = Call::with(&config);
    let moved = CARRIER_SDP.replace("198.51.100.30", "198.51.100.44");
    let offers = |call: &mut Call, hops: u8| {
        call.cseq += 1;
        let bare = in_dialog(
            &call.ok,
            "INVITE",
            call.cseq,
            &format!("{VIA}{}", call.cseq),
        );
        let head = bare.replace("Content-Length: 0\n\n", CONTACT);
        let head = head.replace("Max-Forwards: 70", &format!("Max-Forwards: {hops}"));
        call.shard.carrier_says(&with_body(&head, &moved));
        call.shard.next_response(100);
    };
    offers(&mut call, 0);
    call.refused(483);
    let ack = in_dialog(&call.ok, "ACK", call.cseq, &format!("{VIA}{}", call.cseq));
    call.shard.carrier_says(&ack);
    assert!(call.shard.sent.is_empty(), "it goes nowhere");
    offers(&mut call, 9);
    let asked = reinvite(&mut call);
    assert_eq!(header(&asked, HeaderName::MaxForwards), "8");
    answers(&mut call, &asked, "200 OK", TEAMS_SDP);
    call.shard.next_request(Method::Ack);
    call.shard.next_response(200);
}

#[test]
fn silence_to_an_offer_of_ours_ends_the_call() {
    let mut call = Call::new();
    reoffers(&mut call, &carrier("sendonly"));
    reinvite(&mut call);
    acknowledges(&mut call);
    call.shard.pass(Duration::from_millis(32_100));
    let byes: Vec<_> = std::iter::from_fn(|| call.shard.sent.pop_front())
        .filter(|sent| *sent.message.method() == Method::Bye && sent.message.status().is_none())
        .collect();
    assert_eq!(byes.len(), 2);
    for bye in byes {
        let reason = header(&bye.message, HeaderName::Reason);
        assert!(reason.contains("Q.850;cause=102"), "{reason}");
        let ok = response(&bye.message, "200 OK", "", "", "");
        match is_to_teams(&bye.message) {
            true => call.shard.teams_says(&ok),
            false => call.shard.carrier_says(&ok),
        }
    }
    assert_eq!(call.shard.records[0].cause.code, CauseCode::InCallFailure);
    call.shard.settles();
}

#[test]
fn a_codec_that_the_other_side_does_not_use_is_asked_of_it_first() {
    let pcmu = CARRIER_SDP.replace("RTP/AVP 8 0 101", "RTP/AVP 0 101");
    let mut call = Call::new();
    call.says("INVITE", &format!("{CONTACT}{SDP}"), &pcmu);
    call.shard.next_response(100);
    let asked = reinvite(&mut call);
    assert!(body(&asked).contains("RTP/SAVP 0 101"), "{}", body(&asked));
    assert!(call.shard.sent.is_empty(), "the caller waits");
    answers(
        &mut call,
        &asked,
        "200 OK",
        &TEAMS_SDP.replace("RTP/SAVP 8 0", "RTP/SAVP 0"),
    );
    call.shard.next_request(Method::Ack);
    let ok = call.shard.next_response(200).message;
    assert!(body(&ok).contains("RTP/AVP 0 101"), "{}", body(&ok));
    acknowledges(&mut call);
    // And back again.
    call.says(
        "INVITE",
        &format!("{CONTACT}{SDP}"),
        &CARRIER_SDP.replace("8 0 101", "8 101"),
    );
    call.shard.next_response(100);
    let asked = reinvite(&mut call);
    answers(&mut call, &asked, "200 OK", TEAMS_SDP);
    call.shard.next_request(Method::Ack);
    call.shard.next_response(200);
    acknowledges(&mut call);
    call.lives();
}

#[test]
fn a_codec_that_the_other_side_refuses_is_refused_and_nothing_has_changed() {
    let pcmu = CARRIER_SDP.replace("RTP/AVP 8 0 101", "RTP/AVP 0 101");
    for (theirs, ours) in [(488, 488), (491, 491), (603, 488), (503, 500)] {
        let mut call = Call::new();
        let media = changes(&call);
        call.says("INVITE", &format!("{CONTACT}{SDP}"), &pcmu);
        call.shard.next_response(100);
        let asked = reinvite(&mut call);
        answers(&mut call, &asked, &format!("{theirs} No"), "");
        call.shard.next_request(Method::Ack);
        call.shard.next_response(ours);
        acknowledges_refusal(&mut call);
        assert_eq!(changes(&call), media, "SIP-502");
        let last = call.shard.media.last();
        let is_over = matches!(last, Some(media_api::Command::Rollback { .. }));
        assert!(is_over, "no answer is waited for any more: {last:?}");
        call.lives();
    }
}

#[test]
fn nothing_takes_effect_within_a_reinvite_that_may_still_be_refused() {
    // SIP-533: as long as a re-INVITE of the caller is open its offer is too, so no UPDATE changes anything.
    let pcmu = CARRIER_SDP.replace("RTP/AVP 8 0 101", "RTP/AVP 0 101");
    let mut call = Call::new();
    let media = changes(&call);
    call.says("INVITE", &format!("{CONTACT}{SDP}"), &pcmu);
    call.shard.next_response(100);
    let asked = reinvite(&mut call);
    let expects = call.shard.media.last();
    let is_expected = matches!(expects, Some(media_api::Command::Expect { .. }));
    assert!(is_expected, "media may come before the answer: {expects:?}");
    let open = call.cseq;
    call.says("UPDATE", &format!("{CONTACT}{SDP}"), &carrier("sendonly"));
    let refused = call.shard.next_response(500).message;
    assert!(refused.has(HeaderName::RetryAfter));
    // Nor does what Teams says before it refuses ours.
    let early = teams("inactive");
    call.shard.teams_says(&response(
        &asked,
        "183 Session Progress",
        "",
        TEAMS_CONTACT,
        &early,
    ));
    call.teams_says("UPDATE", 1, &format!("{TEAMS_CONTACT}Content-Length: 0\n"));
    call.shard.sent.clear();
    answers(&mut call, &asked, "488 No", "");
    call.shard.next_request(Method::Ack);
    call.shard.next_response(488);
    let via = format!("{VIA}{open}");
    call.shard
        .carrier_says(&in_dialog(&call.ok, "ACK", open, &via));
    assert_eq!(changes(&call), media, "what was in force is in force");
    // Both are told the same as before.
    call.shard.pass(Duration::from_secs(11));
    assert!(call.shard.sent.is_empty());
    call.lives();
}

#[test]
fn a_refusal_for_the_moment_stays_one_for_whoever_asked() {
    let pcmu = CARRIER_SDP.replace("RTP/AVP 8 0 101", "RTP/AVP 0 101");
    for (theirs, lines, after) in [
        ("500 Busy", "Retry-After: 4\n", "4"),
        // Of one trunk's trouble the other is not told by 503 (RFC 3261 §16.7).
        ("503 Service Unavailable", "", "10"),
    ] {
        let mut call = Call::new();
        call.says("INVITE", &format!("{CONTACT}{SDP}"), &pcmu);
        call.shard.next_response(100);
        let asked = reinvite(&mut call);
        let refusal = response(&asked, theirs, "", lines, "");
        call.shard.teams_says(&refusal);
        call.shard.next_request(Method::Ack);
        let refused = call.refused(500);
        assert_eq!(header(&refused, HeaderName::RetryAfter), after);
        acknowledges_refusal(&mut call);
        call.lives();
    }
}

#[test]
fn an_offer_that_is_relayed_is_made_anew_with_the_session_interval_that_is_wanted() {
    let pcmu = CARRIER_SDP.replace("RTP/AVP 8 0 101", "RTP/AVP 0 101");
    let mut call = Call::new();
    call.says("INVITE", &format!("{CONTACT}{SDP}"), &pcmu);
    call.shard.next_response(100);
    let mut asked = reinvite(&mut call);
    let offer = body(&asked);
    for (least, expires) in [("2000", "3600"), ("3600", "3600"), ("4000", "4000")] {
        let lines = format!("Min-SE: {least}\n");
        let refusal = response(&asked, "422 Session Interval Too Small", "", &lines, "");
        call.shard.teams_says(&refusal);
        call.shard.next_request(Method::Ack);
        asked = reinvite(&mut call);
        assert!(header(&asked, HeaderName::SessionExpires).starts_with(expires));
        assert_eq!(header(&asked, HeaderName::MinSe), least);
        assert_eq!(body(&asked), offer, "the same is offered");
        assert!(call.shard.sent.is_empty(), "the caller waits (SIP-706)");
    }
    let answer = TEAMS_SDP.replace("RTP/SAVP 8 0", "RTP/SAVP 0");
    answers(&mut call, &asked, "200 OK", &answer);
    call.shard.next_request(Method::Ack);
    let ok = call.shard.next_response(200).message;
    assert!(body(&ok).contains("RTP/AVP 0 101"), "{}", body(&ok));
    acknowledges(&mut call);

    // A peer that is never content is left alone, and never is its 422 relayed.
    let pcma = CARRIER_SDP.replace("8 0 101", "8 101");
    call.says("INVITE", &format!("{CONTACT}{SDP}"), &pcma);
    call.shard.next_response(100);
    for round in 0..4 {
        let asked = reinvite(&mut call);
        let lines = format!("Min-SE: {}\n", 5_000 + round);
        let refusal = response(&asked, "422 Session Interval Too Small", "", &lines, "");
        call.shard.teams_says(&refusal);
        call.shard.next_request(Method::Ack);
    }
    call.refused(488);
    acknowledges_refusal(&mut call);
    call.shard.pass(Duration::from_secs(11));
    assert!(call.shard.sent.is_empty());
}

#[test]
fn nobody_is_asked_anew_for_whoever_waits_no_more() {
    let pcmu = CARRIER_SDP.replace("RTP/AVP 8 0 101", "RTP/AVP 0 101");
    let mut call = Call::new();
    call.says("INVITE", &format!("{CONTACT}{SDP}"), &pcmu);
    call.shard.next_response(100);
    let asked = reinvite(&mut call);
    answers(&mut call, &asked, "100 Trying", "");
    // The caller waits no longer than SIP-530 says.
    call.shard.pass(Duration::from_secs(10));
    call.shard.next_response(504);
    acknowledges_refusal(&mut call);
    let lines = "Min-SE: 2000\n";
    let refusal = response(&asked, "422 Session Interval Too Small", "", lines, "");
    call.shard.teams_says(&refusal);
    call.shard.next_request(Method::Ack);
    assert!(call.shard.sent.is_empty());
    call.lives();
}

/// The ACK of a refused re-INVITE has its branch.
fn acknowledges_refusal(call: &mut Call) {
    let ack = in_dialog(&call.ok, "ACK", call.cseq, &format!("{VIA}{}", call.cseq));
    call.shard.carrier_says(&ack);
}

#[test]
fn an_update_does_not_wait_for_ever_and_the_other_side_is_brought_back() {
    let pcmu = CARRIER_SDP.replace("RTP/AVP 8 0 101", "RTP/AVP 0 101");
    let mut call = Call::new();
    call.says("UPDATE", SDP, &pcmu);
    let asked = reinvite(&mut call);
    call.shard
        .teams_says(&response(&asked, "100 Trying", "", "", ""));
    call.shard.pass(Duration::from_secs(9));
    call.shard.next_response(100);
    assert!(call.shard.sent.is_empty());
    call.shard.pass(Duration::from_secs(2));
    call.shard.next_response(504);
    // Teams accepts too late, and is told again what is in force.
    answers(
        &mut call,
        &asked,
        "200 OK",
        &TEAMS_SDP.replace("RTP/SAVP 8 0", "RTP/SAVP 0"),
    );
    call.shard.next_request(Method::Ack);
    let told = reinvite(&mut call);
    assert!(body(&told).contains("RTP/SAVP 8 101"), "{}", body(&told));
    answered(&mut call, &told, "200 OK", TEAMS_SDP);
    call.lives();
}

#[test]
fn an_answer_that_comes_after_the_end_still_gets_its_ack() {
    let mut call = Call::new();
    let told = told_of(&mut call, "sendonly");
    call.shard
        .teams_says(&response(&told, "100 Trying", "", "", ""));
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let cancel = call.shard.next_request(Method::Cancel).message;
    let bye = call.shard.next_request(Method::Bye).message;
    call.shard
        .teams_says(&response(&cancel, "200 OK", "", "", ""));
    call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    assert!(call.shard.records.is_empty(), "its INVITE is not finished");
    answered(&mut call, &told, "200 OK", &teams("inactive"));
    assert_eq!(call.shard.records.len(), 1);
    call.shard.settles();
}

#[test]
fn an_answer_without_description_changes_nothing() {
    let mut call = Call::new();
    let told = told_of(&mut call, "sendonly");
    let media = changes(&call);
    answered(&mut call, &told, "200 OK", "");
    assert_eq!(changes(&call), media);
    reoffers(&mut call, &carrier("sendrecv"));
    acknowledges(&mut call);
    call.lives();
}

#[test]
fn a_resume_by_a_reinvite_without_offer_is_offered_both_ways() {
    let mut call = Call::new();
    let told = told_of(&mut call, "sendonly");
    answered(&mut call, &told, "200 OK", &teams("inactive"));
    call.says("INVITE", CONTACT, "");
    call.shard.next_response(100);
    let ok = call.shard.next_response(200).message;
    assert!(body(&ok).contains("a=sendrecv"), "SIP-552: {}", body(&ok));
    let via = format!("{VIA}late");
    let ack = in_dialog(&call.ok, "ACK", call.cseq, &via).replace("Content-Length: 0\n\n", "");
    call.shard
        .carrier_says(&with_body(&ack, &carrier("sendrecv")));
    let told = reinvite(&mut call);
    assert!(body(&told).contains("a=sendrecv"));
    answered(&mut call, &told, "200 OK", TEAMS_SDP);
    call.lives();
}

#[test]
fn a_repeated_ack_is_no_answer_to_an_offer_of_later() {
    let pcmu = CARRIER_SDP.replace("RTP/AVP 8 0 101", "RTP/AVP 0 101");
    let mut call = Call::new();
    let ok = reoffers(&mut call, &carrier("sendrecv"));
    // Its ACK is lost; an UPDATE asks for what only Teams can answer.
    let number = call.cseq;
    call.says("UPDATE", SDP, &pcmu);
    let asked = reinvite(&mut call);
    let via = format!("{VIA}again");
    call.shard
        .carrier_says(&in_dialog(&ok, "ACK", number, &via));
    answers(
        &mut call,
        &asked,
        "200 OK",
        &TEAMS_SDP.replace("RTP/SAVP 8 0", "RTP/SAVP 0"),
    );
    call.shard.next_request(Method::Ack);
    let ok = call.shard.next_response(200).message;
    assert!(body(&ok).contains("RTP/AVP 0 101"));
    assert!(call.shard.records.is_empty());
}

#[test]
fn a_change_that_is_cancelled_while_it_waits_is_not_made() {
    let pcmu = CARRIER_SDP.replace("RTP/AVP 8 0 101", "RTP/AVP 0 101");
    let mut call = Call::new();
    call.says("INVITE", &format!("{CONTACT}{SDP}"), &pcmu);
    call.shard.next_response(100);
    let asked = reinvite(&mut call);
    let via = format!("{VIA}{}", call.cseq);
    call.shard
        .carrier_says(&in_dialog(&call.ok, "CANCEL", call.cseq, &via));
    call.shard.next_response(200);
    call.shard.next_response(487);
    acknowledges_refusal(&mut call);
    answers(
        &mut call,
        &asked,
        "200 OK",
        &TEAMS_SDP.replace("RTP/SAVP 8 0", "RTP/SAVP 0"),
    );
    call.shard.next_request(Method::Ack);
    let told = reinvite(&mut call);
    assert!(
        body(&told).contains("RTP/SAVP 8 101"),
        "back to what is in force"
    );
    answered(&mut call, &told, "200 OK", TEAMS_SDP);
    call.lives();
}

#[test]
fn a_change_that_is_cancelled_is_taken_back_from_whoever_was_asked() {
    let pcmu = CARRIER_SDP.replace("RTP/AVP 8 0 101", "RTP/AVP 0 101");
    let mut call = Call::new();
    call.says("INVITE", &format!("{CONTACT}{SDP}"), &pcmu);
    call.shard.next_response(100);
    let asked = reinvite(&mut call);
    answers(&mut call, &asked, "180 Ringing", "");
    let via = format!("{VIA}{}", call.cseq);
    call.shard
        .carrier_says(&in_dialog(&call.ok, "CANCEL", call.cseq, &via));
    call.shard.next_response(200);
    call.shard.next_response(487);
    let cancel = call.shard.next_request(Method::Cancel).message;
    acknowledges_refusal(&mut call);
    answers(&mut call, &cancel, "200 OK", "");
    answers(&mut call, &asked, "487 Request Terminated", "");
    call.shard.next_request(Method::Ack);
    // The next change waits for nobody.
    reoffers(&mut call, CARRIER_SDP);
    acknowledges(&mut call);
    call.shard.pass(Duration::from_secs(10));
    assert!(call.shard.sent.is_empty(), "nothing has changed");
    call.lives();
}

#[test]
fn whoever_was_told_491_by_the_other_party_may_try_again_when_it_likes() {
    let pcmu = CARRIER_SDP.replace("RTP/AVP 8 0 101", "RTP/AVP 0 101");
    let mut call = Call::new();
    for status in ["491 Request Pending", "500 Server Internal Error"] {
        call.says("INVITE", &format!("{CONTACT}{SDP}"), &pcmu);
        call.shard.next_response(100);
        let asked = reinvite(&mut call);
        answers(&mut call, &asked, status, "");
        call.shard.next_request(Method::Ack);
        call.refused(if status.starts_with('4') { 491 } else { 488 });
        acknowledges_refusal(&mut call);
        // The carrier owns the Call-ID there: it waits for 2.1 s at least, and we for none.
        call.shard.pass(Duration::from_millis(2_100));
    }
    call.says("INVITE", &format!("{CONTACT}{SDP}"), &pcmu);
    call.shard.next_response(100);
    let asked = reinvite(&mut call);
    let pcmu = TEAMS_SDP.replace("RTP/SAVP 8 0", "RTP/SAVP 0");
    answers(&mut call, &asked, "200 OK", &pcmu);
    call.shard.next_request(Method::Ack);
    call.shard.next_response(200);
    acknowledges(&mut call);
    call.lives();
}

#[test]
fn what_failed_for_the_moment_is_told_again_after_a_pause() {
    let mut call = Call::new();
    let told = told_of(&mut call, "sendonly");
    answered(&mut call, &told, "503 No", "");
    call.shard.pass(Duration::from_secs(9));
    assert!(call.shard.sent.is_empty());
    call.shard.pass(Duration::from_secs(1));
    let told = reinvite(&mut call);
    assert!(body(&told).contains("a=inactive"));
}

#[test]
fn peers_that_answer_every_telling_with_another_wish_are_told_a_few_times_only() {
    let mut call = Call::new();
    reoffers(&mut call, &carrier("recvonly"));
    acknowledges(&mut call);
    let mut told = 0;
    while let Some(sent) = call.shard.sent.pop_front() {
        if *sent.message.method() != Method::Invite || sent.message.status().is_some() {
            continue;
        }
        told += 1;
        assert!(told <= 20, "there is no end of it");
        let offered = body(&sent.message);
        let (yes, no) = match is_to_teams(&sent.message) {
            true => (teams("sendrecv"), teams("inactive")),
            false => (carrier("sendonly"), carrier("recvonly")),
        };
        let answer = match (is_to_teams(&sent.message), offered.contains("a=sendrecv")) {
            (true, true) | (false, false) => yes,
            _ => no,
        };
        let contact = match is_to_teams(&sent.message) {
            true => format!("Contact: {TEAMS_MOVED}\n"),
            false => CONTACT.to_owned(),
        };
        let answer = response(&sent.message, "200 OK", "", &contact, &answer);
        match is_to_teams(&sent.message) {
            true => call.shard.teams_says(&answer),
            false => call.shard.carrier_says(&answer),
        }
    }
    assert!(told <= 8, "{told}");
}

#[test]
fn a_trunk_may_have_every_offer_asked_of_the_other_side() {
    let key = "codecs = [\"PCMA\", \"PCMU\"]";
    let config = CONFIG.replace(key, &format!("{key}\nreinvite = \"always_relay\""));
    let moved = CARRIER_SDP.replace("198.51.100.30", "198.51.100.44");
    for (sdp, status, direction) in [
        (moved.as_str(), 200, "a=sendrecv"),
        (moved.as_str(), 488, "a=sendrecv"),
        (&carrier("sendonly"), 200, "a=inactive"),
    ] {
        let mut call = Call::with(&config);
        call.says("INVITE", &format!("{CONTACT}{SDP}"), sdp);
        call.shard.next_response(100);
        let asked = reinvite(&mut call);
        assert!(is_to_teams(&asked) && body(&asked).contains(direction));
        assert!(call.shard.sent.is_empty(), "the caller waits");
        if status == 488 {
            answers(&mut call, &asked, "488 Not Acceptable Here", "");
            call.shard.next_request(Method::Ack);
            call.refused(488);
            continue;
        }
        answers(&mut call, &asked, "200 OK", &teams(&direction[2..]));
        call.shard.next_request(Method::Ack);
        let ok = call.shard.next_response(200).message;
        // Who plays music on hold is not told that nobody listens.
        let expected = match direction {
            "a=inactive" => "a=recvonly",
            both => both,
        };
        assert!(body(&ok).contains(expected), "{}", body(&ok));
        acknowledges(&mut call);
        call.shard.pass(Duration::from_secs(20));
        assert!(call.shard.sent.is_empty(), "all is told");
    }
}

#[test]
fn teams_is_not_asked_about_an_offer_that_says_nothing_new() {
    let key = "codecs = [\"PCMA\", \"PCMU\"]";
    let config = CONFIG.replace(key, &format!("{key}\nreinvite = \"always_relay\""));
    let mut call = Call::with(&config);
    call.says("INVITE", &format!("{CONTACT}{SDP}"), CARRIER_SDP);
    call.shard.next_response(100);
    call.shard.next_response(200);
    acknowledges(&mut call);
    call.shard.pass(Duration::from_secs(20));
    assert!(call.shard.sent.is_empty(), "a refresh is nobody else's");
}
