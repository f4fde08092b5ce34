//! What a message may and may not say, rule by rule, through a whole shard.

use crate::world;

use sbc_core::event::{DropCode, Happened};
use sbc_core::sip::header::{CSeq, Via};
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::*;
use world::*;

fn dropped(shard: &Shard, code: DropCode) -> usize {
    let is_it = |what: &&Happened| matches!(what, Happened::Dropped { why, .. } if *why == code);
    shard.happened.iter().filter(is_it).count()
}

#[test]
fn what_may_be_there_once_is_refused_twice() {
    // SIP-005.
    for line in [
        "Expires: 60\nExpires: 61\n",
        "Replaces: a;from-tag=1;to-tag=2\nReplaces: b;from-tag=1;to-tag=2\n",
        "Refer-To: <sip:a@example.com>\nRefer-To: <sip:b@example.com>\n",
        "Contact: <sip:other@198.51.100.20>\n",
        "m: <sip:other@198.51.100.20>\n",
    ] {
        let mut shard = Shard::new();
        let invite = carrier_invite("twice", CARRIER_SDP);
        shard.carrier_says(&invite.replace("Max-Forwards", &format!("{line}Max-Forwards")));
        shard.next_response(400);
        assert!(shard.sent.is_empty(), "nobody was rung: {line}");
    }
}

#[test]
fn the_largest_sequence_number_is_taken_and_ours_stay_small() {
    // SIP-006.
    let mut shard = Shard::new();
    let invite = carrier_invite("large", CARRIER_SDP);
    shard.carrier_says(&invite.replace("CSeq: 10 ", "CSeq: 4294967295 "));
    let trying = shard.next_response(100).message;
    assert_eq!(trying.get::<CSeq>().unwrap().unwrap().number, u32::MAX);
    let ours = shard.next_request(Method::Invite).message;
    assert!(ours.get::<CSeq>().unwrap().unwrap().number < 1 << 31);
}

#[test]
fn a_datagram_that_holds_less_than_it_says_is_no_response() {
    // SIP-007.
    let (mut shard, invite) = called_in(CONFIG, "short");
    let ringing = response(&invite.message, "180 Ringing", "x1", CARRIER_CONTACT, "");
    shard.carrier_says(&ringing.replace("Content-Length: 0", "Content-Length: 1"));
    assert!(shard.sent.is_empty());
    assert_eq!(dropped(&shard, DropCode::Malformed), 1);
    shard.carrier_says(&ringing);
    shard.next_response(180);
}

#[test]
fn without_angle_brackets_what_follows_belongs_to_the_header() {
    // SIP-009: the tag is the dialog's, however the address is written.
    let mut call = Call::new();
    let ok = String::from_utf8_lossy(&call.ok.raw(HeaderName::To).unwrap()).into_owned();
    let bare = ok.replace(['<', '>'], "");
    assert_ne!(ok, bare);
    let bye = in_dialog(&call.ok, "BYE", 11, &format!("{VIA}bare"));
    call.shard.carrier_says(&bye.replace(&ok, &bare));
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    let to = String::from_utf8_lossy(&bye.raw(HeaderName::To).unwrap()).into_owned();
    assert!(to.contains('<'), "ours have brackets: {to}");
}

#[test]
fn an_ack_and_a_cancel_do_what_they_do_whatever_they_require() {
    // SIP-013.
    let (mut shard, invite) = called_out("required");
    let answer = response(&invite.message, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP);
    shard.teams_says(&answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    let ack = in_dialog(&ok, "ACK", 10, &format!("{VIA}ack"));
    shard.carrier_says(&ack.replace("Max-Forwards", "Require: nobody-has-this\nMax-Forwards"));
    shard.pass(Duration::from_secs(40));
    assert!(
        shard.sent.is_empty(),
        "the 200 is not repeated: {:?}",
        shard.sent
    );

    let (mut shard, invite) = called_out("given-up");
    let ringing = response(&invite.message, "180 Ringing", "x1", TEAMS_CONTACT, "");
    shard.teams_says(&ringing);
    shard.next_response(180);
    let cancel = carrier_cancel("given-up");
    shard.carrier_says(&cancel.replace("Max-Forwards", "Require: nobody-has-this\nMax-Forwards"));
    assert_eq!(*shard.next_response(200).message.method(), Method::Cancel);
    shard.next_response(487);
    shard.next_request(Method::Cancel);
}

#[test]
fn the_reason_of_a_caller_who_gives_up_reaches_the_called_side() {
    // SIP-219.
    let (mut shard, invite) = called_out("reason");
    let ringing = response(&invite.message, "180 Ringing", "x1", TEAMS_CONTACT, "");
    shard.teams_says(&ringing);
    shard.next_response(180);
    let reason = "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\n";
    let cancel = carrier_cancel("reason");
    shard.carrier_says(&cancel.replace("Max-Forwards", &format!("{reason}Max-Forwards")));
    shard.next_response(200);
    shard.next_response(487);
    let cancel = shard.next_request(Method::Cancel).message;
    let told = header(&cancel, HeaderName::Reason);
    assert!(told.contains("SIP;cause=200"), "{told}");
}

#[test]
fn the_version_may_be_written_in_lower_case() {
    // SIP-014.
    let mut shard = Shard::new();
    let invite = carrier_invite("lower", CARRIER_SDP);
    shard.carrier_says(&invite.replacen(" SIP/2.0\n", " sip/2.0\n", 1));
    shard.next_response(100);
    shard.next_request(Method::Invite);
}

#[test]
fn our_requests_name_the_address_they_leave_from_and_ask_for_the_port() {
    // SIP-101.
    let (_, invite) = called_in(CONFIG, "via");
    let vias = invite.message.list::<Via>().unwrap();
    assert_eq!(vias.len(), 1);
    let via = invite.message.top_via().unwrap();
    assert_eq!(via.host.to_string(), "192.0.2.11");
    assert_eq!(via.port, Some(5060));
    assert!(via.has_rport() && via.rport().is_none());
    // 96 bits are 16 letters of base64, or more of anything else.
    let branch = via.transaction_branch().unwrap();
    assert!(branch.len() >= "z9hG4bK".len() + 16, "{branch:?}");
}

#[test]
fn peers_that_make_up_the_same_branch_do_not_meet() {
    // SIP-200.
    let mut shard = Shard::new();
    let first = carrier_invite("same", CARRIER_SDP);
    shard.carrier_says(&first);
    shard.next_response(100);
    let one = shard.next_request(Method::Invite).message;
    let second = first
        .replace(
            "SIP/2.0/UDP 198.51.100.20:5060",
            "SIP/2.0/UDP 198.51.100.21:5060",
        )
        .replace("Call-ID: same", "Call-ID: other")
        .replace("tag=c1", "tag=c2");
    let mut flow = carrier_flow();
    flow.remote = "198.51.100.21:5060".parse().expect("address");
    shard.receive(flow, &second);
    shard.next_response(100);
    let two = shard.next_request(Method::Invite).message;
    assert_ne!(one.raw(HeaderName::CallId), two.raw(HeaderName::CallId));
}

#[test]
fn a_dialog_that_has_just_ended_knows_a_late_bye_and_nothing_else() {
    // SIP-304.
    let mut call = Call::new();
    call.teams_says("BYE", 1, "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    // The caller's BYE crosses ours.
    call.says("BYE", "", "");
    call.shard.next_response(200);
    call.shard
        .carrier_says(&response(&bye, "481 Gone", "", "", ""));
    assert_eq!(call.shard.records.len(), 1);
    call.says("BYE", "", "");
    call.shard.next_response(200);
    call.says("OPTIONS", "", "");
    call.shard.next_response(481);
    call.shard.settles();
    call.says("BYE", "", "");
    call.shard.next_response(481);
}

#[test]
fn a_pause_that_a_peer_wants_does_not_hold_up_what_is_in_a_dialog() {
    // SIP-1720.
    let mut call = Call::new();
    let mut other = carrier_invite("refused", CARRIER_SDP);
    other = other.replace("tag=c1", "tag=c9");
    call.shard.carrier_says(&other);
    call.shard.next_response(100);
    let invite = call.shard.next_request(Method::Invite);
    assert_eq!(invite.hop.remote.to_string(), TEAMS);
    let pause = response(&invite.message, "503 Busy", "x2", "Retry-After: 120\n", "");
    call.shard.teams_says(&pause);
    call.shard.sent.clear();
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye);
    assert_eq!(bye.hop.remote.to_string(), TEAMS);
}

#[test]
fn every_provisional_that_concerns_the_caller_reaches_it() {
    // SIP-560.
    let (mut shard, invite) = called_out("provisionals");
    let mut heard = Vec::new();
    for (status, sdp) in [
        ("181 Call Is Being Forwarded", ""),
        ("182 Queued", ""),
        ("183 Session Progress", TEAMS_SDP),
        ("180 Ringing", ""),
    ] {
        shard.pass(Duration::from_secs(2));
        shard.teams_says(&response(&invite.message, status, "x1", TEAMS_CONTACT, sdp));
        while let Some(sent) = shard.sent.pop_front() {
            heard.extend(sent.message.status().map(|status| status.code()));
        }
    }
    assert_eq!(heard, [181, 182, 183, 180]);
}

#[test]
fn the_offer_of_a_reinvite_without_one_is_whole() {
    // SIP-512.
    let mut call = Call::new();
    call.says("INVITE", "Contact: <sip:gw@198.51.100.20:5060>\n", "");
    call.shard.next_response(100);
    let ok = call.shard.next_response(200).message;
    let offer = String::from_utf8_lossy(&ok.body()).into_owned();
    for part in ["m=audio ", " RTP/AVP 8 0 101\r\n", "a=sendrecv\r\n"] {
        assert!(offer.contains(part), "{part} is not in\n{offer}");
    }
}

#[test]
fn a_header_that_a_trunk_strips_is_stripped_in_every_spelling() {
    // SIP-003.
    let config = CONFIG.replace(
        "codecs = [\"PCMA\", \"PCMU\"]",
        "codecs = [\"PCMA\", \"PCMU\"]\nheaders = { pass = [\"X-Other\"], strip = [\"X-Internal\"] }",
    );
    for line in [
        "X-Internal: secret",
        "x-internal\t: secret",
        "X-INTERNAL :secret",
        "X-Internal:\n secret",
        "X-Internal: one\nX-Other: known\nx-internal: secret",
    ] {
        let mut shard = Shard::with(config_of(&config));
        let invite = carrier_invite("strip", CARRIER_SDP);
        shard.carrier_says(&invite.replace("Max-Forwards", &format!("{line}\nMax-Forwards")));
        shard.next_response(100);
        let sent = shard.next_request(Method::Invite);
        assert!(!text(&sent).contains("secret"), "{line}: {}", text(&sent));
    }
}

#[test]
fn a_request_of_ours_is_repeated_with_the_timers_of_its_trunk() {
    // SIP-217.
    let slow = "options = false\ntimers = { t1 = \"1s\", t2 = \"8s\" }\n";
    let config = CONFIG.replace("codecs = [\"PCMA\", \"PCMU\"]", slow);
    let (mut shard, _) = called_in(&config, "slow");
    let mut seconds = Vec::new();
    for tenth in 1..=29 {
        shard.pass(Duration::from_millis(100));
        let invites = shard.sent.drain(..).filter(|sent| {
            *sent.message.method() == Method::Invite && sent.hop.remote.to_string() == CARRIER
        });
        seconds.extend(invites.map(|_| tenth / 10));
    }
    // Timer A: T1, then twice that; the trunk's patience of three seconds ends before the next.
    assert_eq!(seconds, [1]);
}

#[test]
fn the_next_target_gets_the_same_call_in_a_transaction_of_its_own() {
    // SIP-1703.
    let (mut shard, first) = called_out("targets");
    let busy = response(&first.message, "503 Busy", "x1", "", "");
    shard.teams_says(&busy);
    shard.next_request(Method::Ack);
    let second = shard.next_request(Method::Invite);
    assert_ne!(first.hop.remote, second.hop.remote);
    assert_eq!(
        first.message.raw(HeaderName::CallId),
        second.message.raw(HeaderName::CallId)
    );
    let branch = |sent: &Sent| sent.message.top_via().unwrap().branch().cloned();
    assert_ne!(branch(&first), branch(&second));
}

#[test]
fn a_called_side_that_hangs_up_before_the_caller_has_acknowledged_is_answered_first() {
    // SIP-407: a callee, which we are to the caller, says BYE only after the ACK.
    let (mut shard, invite) = called_out("quick");
    let answer = response(&invite.message, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP);
    shard.teams_says(&answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.teams_says(&callee_request(&invite.message, "x1", "BYE", 1, ""));
    shard.next_response(200);
    assert!(shard.sent.is_empty(), "no BYE yet: {:?}", shard.sent);
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
    let bye = shard.next_request(Method::Bye);
    assert_eq!(bye.hop.remote.to_string(), CARRIER);
}

#[test]
fn no_call_lasts_longer_than_it_may() {
    // SIP-409.
    let config = CONFIG.to_owned() + "\n[limits]\nmax_duration = \"10m\"\n";
    let mut shard = Shard::with(config_of(&config));
    shard.carrier_says(&carrier_invite("long", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
    shard.pass(Duration::from_secs(599));
    assert!(shard.sent.is_empty(), "{:?}", shard.sent);
    shard.pass(Duration::from_secs(2));
    shard.next_request(Method::Bye);
    shard.next_request(Method::Bye);
}

#[test]
fn no_call_rings_longer_than_it_may() {
    // SIP-409.
    let config = CONFIG.to_owned() + "\n[limits]\nmax_setup = \"100s\"\n";
    let (mut shard, invite) = {
        let mut shard = Shard::with(config_of(&config));
        shard.carrier_says(&carrier_invite("ringing", CARRIER_SDP));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        (shard, invite)
    };
    shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    shard.next_response(180);
    shard.pass(Duration::from_secs(99));
    assert!(shard.records.is_empty());
    shard.sent.clear();
    shard.pass(Duration::from_secs(2));
    let refused = shard.sent.iter().any(|sent| {
        sent.message
            .status()
            .is_some_and(|status| status.code() >= 400)
    });
    assert!(refused, "{:?}", shard.sent);
}

#[test]
fn every_limit_of_a_message_is_where_it_should_be() {
    // SIP-001: what fits begins a call, one more is refused, and in a response dropped.
    let vias = |more: usize| {
        let via = "Via: SIP/2.0/UDP 198.51.100.99;branch=z9hG4bKx\n";
        format!("{}Max-Forwards", via.repeat(69 + more))
    };
    let routes = |more: usize| {
        let route = vec!["<sip:198.51.100.98;lr>"; 32 + more];
        format!("Record-Route: {}\nMax-Forwards", route.join(", "))
    };
    let lines = |more: usize| {
        // Nine are its own.
        format!("{}Max-Forwards", "X-A: 1\n".repeat(256 - 9 + more))
    };
    let long_line = |more: usize| {
        let name = "X-Long: ";
        format!(
            "{name}{}\nMax-Forwards",
            "x".repeat(16 * 1024 - name.len() + more)
        )
    };
    for (limit, is_for_responses) in [
        (&vias as &dyn Fn(usize) -> String, true),
        (&routes, false),
        (&lines, true),
        (&long_line, true),
    ] {
        let invite = carrier_invite("limit", CARRIER_SDP);
        let mut shard = Shard::new();
        shard.start_lines = Some(Vec::new());
        shard.carrier_says(&invite.replacen("Max-Forwards", &limit(0), 1));
        let told = shard.start_lines.take().unwrap_or_default();
        assert_eq!(told[0], "SIP/2.0 100 Trying", "{:.40}", limit(0));
        let mut shard = Shard::new();
        shard.start_lines = Some(Vec::new());
        shard.carrier_says(&invite.replacen("Max-Forwards", &limit(1), 1));
        let told = shard.start_lines.take().unwrap_or_default();
        assert!(
            told[0].starts_with("SIP/2.0 400 "),
            "{:.40}: {told:?}",
            limit(1)
        );

        if !is_for_responses {
            continue;
        }
        let (mut shard, invite) = called_in(CONFIG, "answer");
        let ringing = response(&invite.message, "180 Ringing", "x1", CARRIER_CONTACT, "");
        let more = limit(20).replace("Max-Forwards", "Contact");
        shard.carrier_says(&ringing.replacen("Contact", &more, 1));
        assert!(shard.sent.is_empty(), "{:.40}: {:?}", limit(20), shard.sent);
    }
}

#[test]
fn every_limit_of_an_address_is_where_it_should_be() {
    // SIP-001.
    let param = |count: usize| (0..count).map(|n| format!(";p{n}")).collect::<String>();
    let uri = |length: usize| {
        let head = "sip:198.51.100.20;x=";
        format!("{head}{}", "x".repeat(length - head.len()))
    };
    for (fits, is_too_much) in [
        (
            format!("\"{}\" <sip:a@198.51.100.20>;tag=c1", "x".repeat(1024)),
            format!("\"{}\" <sip:a@198.51.100.20>;tag=c1", "x".repeat(1025)),
        ),
        (
            format!("<sip:a@198.51.100.20>;tag=c1{}", param(63)),
            format!("<sip:a@198.51.100.20>;tag=c1{}", param(64)),
        ),
        (
            format!("<sip:a@198.51.100.20{}>;tag=c1", param(64)),
            format!("<sip:a@198.51.100.20{}>;tag=c1", param(65)),
        ),
        (
            format!("<{}>;tag=c1", uri(4 * 1024)),
            format!("<{}>;tag=c1", uri(4 * 1024 + 1)),
        ),
    ] {
        for (from, is_taken) in [(fits, true), (is_too_much, false)] {
            let mut shard = Shard::new();
            shard.start_lines = Some(Vec::new());
            let invite = carrier_invite("address", CARRIER_SDP);
            let own = "\"Ada\" <sip:+498999998001@198.51.100.20>;tag=c1";
            shard.carrier_says(&invite.replace(own, &from));
            let told = shard.start_lines.take().unwrap_or_default();
            let first = if is_taken {
                "SIP/2.0 100 "
            } else {
                "SIP/2.0 400 "
            };
            assert!(told[0].starts_with(first), "{from:.60}: {told:?}");
        }
    }
}

/// The names of a message's headers, in order; repeated ones once.
fn names(message: &Message) -> Vec<String> {
    let text = String::from_utf8_lossy(message.bytes()).into_owned();
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let names = head
        .split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'));
    let mut names: Vec<String> = names.map(|(name, _)| name.to_owned()).collect();
    names.dedup();
    names
}

#[test]
fn headers_stand_in_their_order() {
    let mut shard = Shard::new();
    let invite = carrier_invite("order", CARRIER_SDP);
    let routed = "Record-Route: <sip:198.51.100.20;lr>\nMax-Forwards";
    shard.carrier_says(&invite.replace("Max-Forwards", routed));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let lines = format!("Record-Route: <sip:192.0.2.99:5061;transport=tls;lr>\n{TEAMS_CONTACT}");
    shard.teams_says(&response(&invite, "200 OK", "x1", &lines, TEAMS_SDP));
    let ack = shard.next_request(Method::Ack).message;
    let ok = shard.next_response(200).message;
    let begins = |message: &Message, with: &[&str]| {
        let all = names(message);
        assert!(
            all.iter().zip(with).all(|(own, wanted)| own == wanted),
            "{all:?}"
        );
        assert_eq!(all.last().map(String::as_str), Some("Content-Length"));
    };
    let rest = ["Max-Forwards", "From", "To", "Call-ID", "CSeq"];
    let request =
        |first: &[&'static str]| -> Vec<&str> { first.iter().copied().chain(rest).collect() };
    begins(&invite, &[&request(&["Via"])[..], &["Contact"]].concat());
    begins(&ack, &request(&["Via", "Route"]));
    begins(
        &ok,
        &[
            "Via",
            "Record-Route",
            "From",
            "To",
            "Call-ID",
            "CSeq",
            "Contact",
        ],
    );
    for message in [&invite, &ok] {
        let all = names(message);
        assert_eq!(all[all.len() - 2], "Content-Type");
    }
}
