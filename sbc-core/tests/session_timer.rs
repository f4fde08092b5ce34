//! Session timers (RFC 4028), each leg on its own, by hand.

use crate::world;

use sbc_core::cause::CauseCode;
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::*;
use world::*;

const CONTACT: &str = "Contact: <sip:gw@198.51.100.20:5060>\n";

/// The configuration with this line at the carrier's trunk.
fn with_carrier(line: &str) -> String {
    CONFIG.replace(
        "codecs = [\"PCMA\", \"PCMU\"]",
        &format!("codecs = [\"PCMA\", \"PCMU\"]\n{line}"),
    )
}

fn with_teams(line: &str) -> String {
    CONFIG.replace(
        "preset = \"teams\"\n",
        &format!("preset = \"teams\"\n{line}\n"),
    )
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A call from the carrier to Teams that is up: `asks` are lines of the caller's INVITE, `answers`
/// lines of Teams' 200.
fn up(config: &str, asks: &str, answers: &str) -> Call {
    let mut shard = Shard::with(config_of(config));
    let invite = carrier_invite("timer", CARRIER_SDP);
    shard.carrier_says(&invite.replace("Max-Forwards", &format!("{asks}Max-Forwards")));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let contact = format!("{TEAMS_CONTACT}{answers}");
    shard.teams_says(&response(&invite, "200 OK", "x1", &contact, TEAMS_SDP));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
    assert!(shard.sent.is_empty());
    Call {
        shard,
        invite,
        ok,
        cseq: 10,
    }
}

fn has(message: &Message, name: HeaderName, value: &str) {
    assert_eq!(header(message, name), value);
}

/// The BYEs of both legs, each answered; nothing else is left.
fn both_are_ended(call: &mut Call) {
    for _ in 0..2 {
        let bye = call.shard.next_request(Method::Bye).message;
        assert!(header(&bye, HeaderName::Reason).contains("Q.850;cause=102"));
        let ok = response(&bye, "200 OK", "", "", "");
        match String::from_utf8_lossy(&bye.request_uri()).contains("198.51.100.") {
            true => call.shard.carrier_says(&ok),
            false => call.shard.teams_says(&ok),
        }
    }
    assert_eq!(call.shard.records[0].cause.code, CauseCode::InCallFailure);
    call.shard.settles();
}

#[test]
fn nothing_of_one_legs_timer_is_on_the_other() {
    let call = up(
        CONFIG,
        "Supported: timer\nSession-Expires: 777;refresher=uac\nMin-SE: 123\n",
        "Session-Expires: 3333;refresher=uas\nRequire: timer\n",
    );
    // Ours to Teams: always timer, never a Require, and nobody is named in the carriers' way.
    has(&call.invite, HeaderName::Supported, "timer, replaces");
    has(
        &call.invite,
        HeaderName::SessionExpires,
        "3600;refresher=uas",
    );
    has(&call.invite, HeaderName::MinSe, "300");
    assert!(!call.invite.has(HeaderName::Require));
    has(&call.ok, HeaderName::SessionExpires, "777;refresher=uac");
    has(&call.ok, HeaderName::Require, "timer");
}

#[test]
fn the_first_invite_names_no_refresher_unless_the_trunk_insists() {
    for (refresher, written) in [
        ("auto", "1800"),
        ("self", "1800;refresher=uac"),
        ("peer", "1800;refresher=uas"),
    ] {
        let config = with_carrier(&format!(
            "session_timer = {{ refresher = \"{refresher}\" }}"
        ));
        let (_, invite) = called_in(&config, "named");
        has(&invite.message, HeaderName::SessionExpires, written);
    }
    let config = with_carrier("session_timer = { expires = \"10m\", min_se = \"5m\" }");
    let (_, invite) = called_in(&config, "named");
    has(&invite.message, HeaderName::SessionExpires, "600");
    has(&invite.message, HeaderName::MinSe, "300");
    let (_, invite) = called_in(&with_carrier("session_timer = false"), "named");
    assert!(!invite.message.has(HeaderName::SessionExpires));
}

#[test]
fn our_answer_follows_the_table_of_rfc_4028() {
    let supported = "Supported: timer\n";
    for (refresher, asks, answered, requires) in [
        ("auto", "", Some("1800;refresher=uas"), false),
        ("peer", "", None, false),
        ("auto", supported, Some("1800;refresher=uas"), true),
        ("peer", supported, Some("1800;refresher=uac"), true),
        ("self", supported, Some("1800;refresher=uas"), true),
        (
            "auto",
            "Session-Expires: 600\n",
            Some("600;refresher=uas"),
            false,
        ),
        (
            "auto",
            "Supported: timer\nSession-Expires: 600;refresher=uac\n",
            Some("600;refresher=uac"),
            true,
        ),
        (
            "self",
            "Supported: timer\nSession-Expires: 600;refresher=uac\n",
            Some("600;refresher=uac"),
            true,
        ),
        (
            "peer",
            "Supported: timer\nSession-Expires: 600;refresher=uas\n",
            Some("600;refresher=uas"),
            true,
        ),
        (
            "auto",
            "Supported: timer\nSession-Expires: 7200\n",
            Some("1800;refresher=uas"),
            true,
        ),
        (
            "auto",
            "Supported: timer\nSession-Expires: 7200\nMin-SE: 2000\n",
            Some("2000;refresher=uas"),
            true,
        ),
        (
            "auto",
            "Supported: timer\nMin-SE: 2000\n",
            Some("2000;refresher=uas"),
            true,
        ),
        (
            "auto",
            "Supported: timer\nSession-Expires: 90\n",
            Some("90;refresher=uas"),
            true,
        ),
    ] {
        let config = with_carrier(&format!(
            "session_timer = {{ refresher = \"{refresher}\" }}"
        ));
        let call = up(&config, asks, "");
        let context = format!("{refresher} {asks}");
        let said = header(&call.ok, HeaderName::SessionExpires);
        assert_eq!(said, answered.unwrap_or_default(), "{context}");
        assert_eq!(call.ok.has(HeaderName::Require), requires, "{context}");
    }
}

#[test]
fn too_short_an_interval_is_refused_from_who_knows_why() {
    let mut shard = Shard::new();
    let invite = carrier_invite("short", CARRIER_SDP);
    let asks = "Supported: timer\nSession-Expires: 60\nMax-Forwards";
    shard.carrier_says(&invite.replace("Max-Forwards", asks));
    shard.next_response(100);
    let refused = shard.next_response(422).message;
    has(&refused, HeaderName::MinSe, "90");
    assert_eq!(shard.records.len(), 1);
    let because = shard.records[0].cause.because.0.join(" ");
    assert!(because.contains("session interval below 90 s"), "{because}");
    // Who does not know session timers means nothing by the header.
    let call = up(CONFIG, "Session-Expires: 60\n", "");
    has(&call.ok, HeaderName::SessionExpires, "90;refresher=uas");
    // Within the call, too.
    let mut call = Call::new();
    call.says("UPDATE", "Supported: timer\nSession-Expires: 60\n", "");
    let refused = call.refused(422);
    has(&refused, HeaderName::MinSe, "90");
    call.lives();
}

#[test]
fn we_refresh_by_update_at_half_time_where_the_peer_takes_it() {
    let asks = "Supported: timer\nSession-Expires: 200;refresher=uas\nAllow: INVITE, UPDATE\n";
    let mut call = up(CONFIG, asks, "");
    for round in 0..3 {
        call.shard.pass(seconds(99));
        assert!(call.shard.sent.is_empty(), "round {round}");
        call.shard.pass(seconds(1));
        let update = call.shard.next_request(Method::Update).message;
        assert!(update.body().is_empty() && update.has(HeaderName::Contact));
        has(&update, HeaderName::SessionExpires, "200;refresher=uac");
        has(&update, HeaderName::Supported, "timer");
        let ok = "Session-Expires: 200;refresher=uac\nRequire: timer\n";
        call.shard
            .carrier_says(&response(&update, "200 OK", "", ok, ""));
    }
    // Without an answer to the next one the call ends at the time-out of its transaction.
    call.shard.pass(seconds(100));
    call.shard.next_request(Method::Update);
    call.shard.pass(Duration::from_millis(32_050));
    call.shard
        .sent
        .retain(|sent| *sent.message.method() != Method::Update);
    both_are_ended(&mut call);
}

#[test]
fn we_refresh_by_reinvite_with_the_same_description_where_it_does_not() {
    let asks = "Supported: timer\nSession-Expires: 200;refresher=uas\nAllow: INVITE, ACK, BYE\n";
    let mut call = up(CONFIG, asks, "");
    let media = call.shard.media.len();
    call.shard.pass(seconds(100));
    let invite = call.shard.next_request(Method::Invite).message;
    assert_eq!(invite.body(), call.ok.body(), "octet by octet (SIP-707)");
    has(&invite, HeaderName::SessionExpires, "200;refresher=uac");
    let ok = format!("{CONTACT}Session-Expires: 200;refresher=uac\n");
    call.shard
        .carrier_says(&response(&invite, "200 OK", "", &ok, CARRIER_SDP));
    call.shard.next_request(Method::Ack);
    let told = &call.shard.media[media..];
    assert!(told.len() <= 1, "{told:?}");
    assert!(
        call.shard.sent.is_empty(),
        "nothing of it reaches the other side"
    );
    call.lives();
}

#[test]
fn teams_is_refreshed_by_reinvite_even_if_it_lists_update() {
    let answers = "Session-Expires: 200;refresher=uac\nAllow: INVITE, UPDATE\nRequire: timer\n";
    let mut call = up(CONFIG, "", answers);
    call.shard.pass(seconds(100));
    let invite = call.shard.next_request(Method::Invite).message;
    assert_eq!(invite.body(), call.invite.body(), "TDR-TMR-003");
    let ok = format!("{TEAMS_CONTACT}Session-Expires: 200;refresher=uac\n");
    call.shard
        .teams_says(&response(&invite, "200 OK", "", &ok, TEAMS_SDP));
    call.shard.next_request(Method::Ack);
    call.lives();
}

#[test]
fn a_peer_that_does_not_refresh_gets_bye_before_its_session_ends() {
    for (interval, at) in [(90, 60), (600, 568)] {
        let asks = format!("Supported: timer\nSession-Expires: {interval};refresher=uac\n");
        let mut call = up(CONFIG, &asks, "");
        call.shard.pass(seconds(at - 1));
        // A refresh in time starts it anew, whatever request brings it.
        call.says("UPDATE", &asks, "");
        let ok = call.refused(200);
        has(
            &ok,
            HeaderName::SessionExpires,
            &format!("{interval};refresher=uac"),
        );
        call.shard.pass(seconds(at - 1));
        assert!(call.shard.sent.is_empty());
        call.shard.pass(seconds(1));
        both_are_ended(&mut call);
        let because = call.shard.records[0].cause.because.0.join(" ");
        assert_eq!(
            because,
            format!(
                "the session of leg 0 was not refreshed within {interval} s that leg is at trunk \"carrier-a\""
            )
        );
    }
}

#[test]
fn a_peer_without_session_timers_is_refreshed_but_never_expires() {
    let mut call = up(CONFIG, "Allow: INVITE, UPDATE\n", "");
    call.shard.pass(seconds(900));
    let update = call.shard.next_request(Method::Update).message;
    call.shard
        .carrier_says(&response(&update, "500 No", "", "", ""));
    // Once every ten seconds, for ever.
    for _ in 0..5 {
        call.shard.pass(seconds(9));
        assert!(call.shard.sent.is_empty());
        call.shard.pass(seconds(1));
        let update = call.shard.next_request(Method::Update).message;
        call.shard
            .carrier_says(&response(&update, "500 No", "", "", ""));
    }
    call.shard.pass(seconds(10));
    let update = call.shard.next_request(Method::Update).message;
    call.shard
        .carrier_says(&response(&update, "200 OK", "", "", ""));
    call.lives();
}

#[test]
fn a_refresh_that_keeps_failing_ends_the_session_when_it_expires() {
    let asks = "Supported: timer\nSession-Expires: 100;refresher=uas\nAllow: INVITE, UPDATE\n";
    let mut call = up(CONFIG, asks, "");
    call.shard.pass(seconds(50));
    for _ in 0..5 {
        let update = call.shard.next_request(Method::Update).message;
        call.shard
            .carrier_says(&response(&update, "503 No", "", "", ""));
        call.shard.pass(seconds(10));
    }
    both_are_ended(&mut call);
}

#[test]
fn a_peer_that_lists_update_and_refuses_it_is_refreshed_by_reinvite() {
    for status in [405, 501] {
        let asks = "Supported: timer\nSession-Expires: 200;refresher=uas\nAllow: INVITE, UPDATE\n";
        let mut call = up(CONFIG, asks, "");
        call.shard.pass(seconds(100));
        let update = call.shard.next_request(Method::Update).message;
        let no = format!("{status} No");
        call.shard.carrier_says(&response(&update, &no, "", "", ""));
        let invite = call.shard.next_request(Method::Invite).message;
        call.shard
            .carrier_says(&response(&invite, "200 OK", "", CONTACT, CARRIER_SDP));
        call.shard.next_request(Method::Ack);
        call.lives();
    }
}

#[test]
fn a_longer_interval_that_a_peer_wants_is_tried_three_times_and_never_relayed() {
    let (mut shard, first) = called_in(CONFIG, "ladder");
    let mut invite = first.message;
    let (call_id, from) = (
        header(&invite, HeaderName::CallId),
        header(&invite, HeaderName::From),
    );
    for (round, least) in [1_801_u32, 2_400, 3_600].into_iter().enumerate() {
        let no = response(
            &invite,
            "422 Too Small",
            "t1",
            &format!("Min-SE: {least}\n"),
            "",
        );
        shard.carrier_says(&no);
        shard.next_request(Method::Ack);
        invite = shard.next_request(Method::Invite).message;
        has(&invite, HeaderName::SessionExpires, &least.to_string());
        has(&invite, HeaderName::MinSe, &least.to_string());
        has(&invite, HeaderName::CallId, &call_id);
        has(&invite, HeaderName::From, &from);
        has(&invite, HeaderName::CSeq, &format!("{} INVITE", round + 2));
    }
    let no = response(&invite, "422 Too Small", "t1", "Min-SE: 5000\n", "");
    shard.carrier_says(&no);
    shard.next_request(Method::Ack);
    let refused = shard.next().message;
    assert_ne!(refused.status().map(|s| s.code()), Some(422));
    assert!(!refused.has(HeaderName::MinSe));
}

#[test]
fn a_422_within_the_call_lengthens_the_interval_for_good() {
    let asks = "Supported: timer\nSession-Expires: 90;refresher=uas\nAllow: INVITE, UPDATE\n";
    let mut call = up(CONFIG, asks, "");
    call.shard.pass(seconds(45));
    let update = call.shard.next_request(Method::Update).message;
    call.shard.carrier_says(&response(
        &update,
        "422 Too Small",
        "",
        "Min-SE: 1800\n",
        "",
    ));
    let update = call.shard.next_request(Method::Update).message;
    has(&update, HeaderName::SessionExpires, "1800;refresher=uac");
    has(&update, HeaderName::MinSe, "1800");
    let ok = "Session-Expires: 1800;refresher=uac\n";
    call.shard
        .carrier_says(&response(&update, "200 OK", "", ok, ""));
    call.shard.pass(seconds(899));
    assert!(call.shard.sent.is_empty());
    call.shard.pass(seconds(1));
    let update = call.shard.next_request(Method::Update).message;
    has(&update, HeaderName::MinSe, "1800");
}

#[test]
fn roles_are_those_of_each_transaction() {
    // We refresh; then the peer's re-INVITE makes itself the refresher, and back again.
    let asks = "Supported: timer\nSession-Expires: 200;refresher=uas\nAllow: INVITE, UPDATE\n";
    let mut call = up(CONFIG, asks, "");
    call.says(
        "UPDATE",
        "Supported: timer\nSession-Expires: 200;refresher=uac\n",
        "",
    );
    has(
        &call.refused(200),
        HeaderName::SessionExpires,
        "200;refresher=uac",
    );
    call.shard.pass(seconds(110));
    assert!(
        call.shard.sent.is_empty(),
        "it is the peer that refreshes now"
    );
    call.says(
        "UPDATE",
        "Supported: timer\nSession-Expires: 200;refresher=uas\n",
        "",
    );
    has(
        &call.refused(200),
        HeaderName::SessionExpires,
        "200;refresher=uas",
    );
    call.shard.pass(seconds(100));
    let update = call.shard.next_request(Method::Update).message;
    has(&update, HeaderName::SessionExpires, "200;refresher=uac");
    // The answer may turn it round as well.
    let ok = "Session-Expires: 200;refresher=uas\n";
    call.shard
        .carrier_says(&response(&update, "200 OK", "", ok, ""));
    call.shard.pass(seconds(110));
    assert!(call.shard.sent.is_empty());
    call.shard.pass(seconds(58));
    both_are_ended(&mut call);
}

/// The target of a transfer may ring longer than a session lasts (SIP-705, SIP-709).
#[test]
fn a_session_is_refreshed_while_the_target_of_a_transfer_rings() {
    let refer = "REFER-TO: <sip:sip.pstnhub.microsoft.com:5061;transport=tls;x-m=8:orgid:0000aaaa-1111-2222-3333-BBBB4444cccc>\nREFERRED-BY: <sip:sip.pstnhub.microsoft.com:5061;x-m=8:orgid:11111111-2222-3333-4444-555555555555;x-ti=0;x-tt=a>\nCONTACT: <sip:api.example.com:443;x-i=1>\n";
    for (allow, method) in [
        ("Allow: INVITE, UPDATE\n", Method::Update),
        ("Allow: INVITE, ACK, BYE\n", Method::Invite),
    ] {
        let asks = format!("Supported: timer\nSession-Expires: 120;refresher=uas\n{allow}");
        let mut call = up(CONFIG, &asks, "");
        call.shard.pass(seconds(55));
        call.teams_says("REFER", 1, refer);
        call.shard.next_response(202);
        let notify = call.shard.next_request(Method::Notify).message;
        let invite = call.shard.next_request(Method::Invite).message;
        for request in [&notify, &invite] {
            let (status, tag, lines) = match *request.method() == Method::Invite {
                true => ("180 Ringing", "z1", TEAMS_CONTACT),
                false => ("200 OK", "", ""),
            };
            call.shard
                .teams_says(&response(request, status, tag, lines, ""));
        }
        let mut refreshed = 0;
        for _ in 0..1_500 {
            call.shard.pass(Duration::from_millis(100));
            while let Some(sent) = call.shard.sent.pop_front() {
                let is_carriers = sent.hop.remote.to_string() == CARRIER;
                let method_of = sent.message.method().clone();
                assert_ne!(method_of, Method::Bye, "the session has run out");
                if is_carriers && sent.message.is_request() && method_of == method {
                    refreshed += 1;
                    let lines = format!("{CONTACT}Session-Expires: 120;refresher=uac\n");
                    let sdp = match method {
                        Method::Invite => CARRIER_SDP,
                        _ => "",
                    };
                    let ok = response(&sent.message, "200 OK", "", &lines, sdp);
                    call.shard.carrier_says(&ok);
                } else if method_of == Method::Notify {
                    let ok = response(&sent.message, "200 OK", "", "", "");
                    call.shard.teams_says(&ok);
                }
            }
        }
        assert_eq!(refreshed, 3, "{method:?} every 60 s of 205 s");
        assert!(call.shard.records.is_empty());
    }
}

#[test]
fn a_refresh_that_is_due_during_an_invite_waits_for_it() {
    let asks = "Supported: timer\nSession-Expires: 200;refresher=uas\nAllow: INVITE, UPDATE\n";
    let mut call = up(CONFIG, asks, "");
    call.shard.pass(seconds(98));
    let sdp = "Content-Type: application/sdp\n";
    call.says(
        "INVITE",
        &format!("{CONTACT}{sdp}Supported: timer\n"),
        CARRIER_SDP,
    );
    call.shard.next_response(100);
    let ok = call.shard.next_response(200).message;
    // Its 2xx is a refresh: the interval counts from it.
    has(&ok, HeaderName::SessionExpires, "1800;refresher=uas");
    let ack = in_dialog(&call.ok, "ACK", call.cseq, &format!("{VIA}ack9"));
    call.shard.carrier_says(&ack);
    call.shard.pass(seconds(890));
    assert!(call.shard.sent.is_empty());
    // A hold that we tell is under way when the refresh falls due.
    let hold = CARRIER_SDP.replace("sendrecv", "sendonly");
    call.shard.pass(seconds(9));
    call.says(
        "INVITE",
        &format!("{CONTACT}{sdp}Supported: timer\nSession-Expires: 1800;refresher=uas\n"),
        &hold,
    );
    call.shard.next_response(100);
    call.shard.next_response(200);
    call.shard.next_request(Method::Invite);
    let last = call.cseq;
    call.shard.pass(seconds(1));
    call.shard.sent.clear();
    let ack = in_dialog(&call.ok, "ACK", last, &format!("{VIA}ack10"));
    call.shard.carrier_says(&ack);
    call.shard.pass(seconds(5));
    assert!(call.shard.sent.is_empty(), "the hold was a refresh as well");
}

#[test]
fn a_refresh_that_crosses_an_offer_of_the_peer_is_made_again() {
    let answers = "Session-Expires: 200;refresher=uac\nRequire: timer\n";
    let mut call = up(CONFIG, "", answers);
    call.shard.pass(seconds(100));
    let invite = call.shard.next_request(Method::Invite).message;
    call.shard
        .teams_says(&response(&invite, "491 Request Pending", "", "", ""));
    call.shard.next_request(Method::Ack);
    call.shard.pass(Duration::from_millis(2_090));
    assert!(call.shard.sent.is_empty());
    call.shard.pass(Duration::from_millis(1_920));
    let invite = call.shard.next_request(Method::Invite).message;
    let ok = format!("{TEAMS_CONTACT}Session-Expires: 200;refresher=uac\n");
    call.shard
        .teams_says(&response(&invite, "200 OK", "", &ok, TEAMS_SDP));
    call.shard.next_request(Method::Ack);
    call.lives();
    // The same with UPDATE, on a leg whose Call-ID is the peer's: it waits longer than we do.
    let asks = "Supported: timer\nSession-Expires: 200;refresher=uas\nAllow: INVITE, UPDATE\n";
    let mut call = up(CONFIG, asks, "");
    call.shard.pass(seconds(100));
    let update = call.shard.next_request(Method::Update).message;
    call.shard
        .carrier_says(&response(&update, "491 Request Pending", "", "", ""));
    call.shard.pass(seconds(2));
    let update = call.shard.next_request(Method::Update).message;
    // It may have been repeated in the meantime.
    call.shard.sent.clear();
    call.shard
        .carrier_says(&response(&update, "200 OK", "", "", ""));
    call.lives();
}

#[test]
fn a_refused_hold_is_not_repeated_by_the_refresh() {
    let answers = "Session-Expires: 200;refresher=uac\nRequire: timer\n";
    let mut call = up(CONFIG, "", answers);
    let sdp = "Content-Type: application/sdp\n";
    let hold = CARRIER_SDP.replace("sendrecv", "sendonly");
    call.says("INVITE", &format!("{CONTACT}{sdp}"), &hold);
    call.shard.next_response(100);
    call.shard.next_response(200);
    let ack = in_dialog(&call.ok, "ACK", call.cseq, &format!("{VIA}held"));
    let told = call.shard.next_request(Method::Invite).message;
    call.shard.carrier_says(&ack);
    call.shard
        .teams_says(&response(&told, "488 No", "", "", ""));
    call.shard.next_request(Method::Ack);
    call.shard.pass(seconds(100));
    let refresh = call.shard.next_request(Method::Invite).message;
    let text = String::from_utf8_lossy(&refresh.body()).into_owned();
    let first = String::from_utf8_lossy(&call.invite.body()).into_owned();
    let without_version = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with("o="));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(without_version(&text), without_version(&first));
    assert_ne!(
        text, first,
        "another version, for the refused one was another content"
    );
}

#[test]
fn a_session_on_hold_is_refreshed_with_the_hold_and_may_run_out() {
    let answers = "Session-Expires: 200;refresher=uac\nRequire: timer\n";
    let mut call = up(CONFIG, "", answers);
    let hold = CARRIER_SDP.replace("sendrecv", "sendonly");
    let sdp = "Content-Type: application/sdp\n";
    call.says("INVITE", &format!("{CONTACT}{sdp}"), &hold);
    call.shard.next_response(100);
    call.shard.next_response(200);
    let ack = in_dialog(&call.ok, "ACK", call.cseq, &format!("{VIA}held"));
    let told = call.shard.next_request(Method::Invite).message;
    call.shard.carrier_says(&ack);
    let ok = format!("{TEAMS_CONTACT}{answers}");
    let held = TEAMS_SDP.replace("sendrecv", "inactive");
    let agrees = |call: &mut Call, invite: &Message| {
        call.shard
            .teams_says(&response(invite, "200 OK", "", &ok, &held));
        call.shard.next_request(Method::Ack);
    };
    agrees(&mut call, &told);
    for _ in 0..3 {
        call.shard.pass(seconds(99));
        assert!(call.shard.sent.is_empty());
        call.shard.pass(seconds(1));
        let refresh = call.shard.next_request(Method::Invite).message;
        assert_eq!(refresh.body(), told.body(), "still on hold");
        agrees(&mut call, &refresh);
    }
    assert!(call.shard.records.is_empty());
    // Nobody answers any more: hold is no reason to keep the call.
    call.shard.pass(seconds(200));
    assert_eq!(call.shard.records[0].cause.code, CauseCode::InCallFailure);
}

/// As it was observed: an hour, and nobody named to refresh (TDR-TMR-001).
#[test]
fn what_teams_offers_is_taken_and_it_is_asked_to_refresh() {
    for (line, expires, required) in [
        ("", "3600;refresher=uac", true),
        // Who does without is not asked for anything either.
        ("session_timer = false", "", false),
    ] {
        let mut shard = Shard::with(config_of(&with_teams(line)));
        let timer = "SUPPORTED: timer\nSESSION-EXPIRES: 3600\nMIN-SE: 300\nMAX-FORWARDS";
        shard.teams_says(&teams_invite("timer").replace("MAX-FORWARDS", timer));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        let answer = response(&invite, "200 OK", "y", CARRIER_CONTACT, CARRIER_SDP);
        shard.carrier_says(&answer);
        shard.next_request(Method::Ack);
        let ok = shard.next_response(200).message;
        has(&ok, HeaderName::SessionExpires, expires);
        assert_eq!(ok.has(HeaderName::Require), required, "{line}");
    }
}

#[test]
fn a_trunk_may_do_without() {
    let config = with_teams("session_timer = false");
    let mut call = up(&config, "", "Session-Expires: 90;refresher=uac\n");
    has(&call.invite, HeaderName::Supported, "replaces");
    call.shard.pass(seconds(300));
    assert!(call.shard.sent.is_empty());
    call.teams_says(
        "INVITE",
        1,
        "Require: timer\nContact: <sip:203.0.113.1:443;x-i=1>\n",
    );
    call.shard.next_response(100);
    call.refused(420);
}

#[test]
fn a_key_of_session_timer_leaves_the_others_as_they_are() {
    let config = with_teams("session_timer = { refresher = \"auto\" }");
    let mut shard = Shard::with(config_of(&config));
    shard.carrier_says(&carrier_invite("in", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    has(&invite, HeaderName::SessionExpires, "3600");
    has(&invite, HeaderName::MinSe, "300");
    let mut shard = Shard::with(config_of(&config));
    let lines = "SUPPORTED: timer\nSESSION-EXPIRES: 90\nMAX-FORWARDS";
    shard.teams_says(&teams_invite("short").replace("MAX-FORWARDS", lines));
    shard.next_response(100);
    let refused = shard.next_response(422).message;
    has(&refused, HeaderName::MinSe, "300");
}

#[test]
fn a_422_that_wants_less_than_was_offered_shortens_nothing() {
    let config = with_teams("session_timer = { min_se = \"90s\" }");
    let mut shard = Shard::with(config_of(&config));
    shard.carrier_says(&carrier_invite("in", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let (status, least) = ("422 Session Interval Too Small", "Min-SE: 400\n");
    shard.teams_says(&response(&invite, status, "x1", least, ""));
    shard.next_request(Method::Ack);
    let again = shard.next_request(Method::Invite).message;
    let wanted = header(&again, HeaderName::SessionExpires);
    assert_eq!(wanted.split(';').next(), Some("3600"));
    has(&again, HeaderName::MinSe, "400");
}
