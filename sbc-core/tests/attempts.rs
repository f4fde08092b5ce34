//! Attempts to reach the called side, by hand: provisionals, failures of every class, failover and
//! what the caller is told of it.

use crate::world;

use sbc_core::cause::CauseCode;
use sbc_core::event::TargetFault;
use sbc_core::id::TenantName;
use sbc_core::input::Input;
use sbc_core::record::Disposition;
use sbc_core::sip::{HeaderName, Message, Method};
use sbc_core::transport::FlowFault;
use std::time::Duration;
use world::*;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A call of the carrier that has reached Teams.
fn ringing_out(lines: &str) -> (Shard, Message) {
    let mut shard = Shard::new();
    let invite = carrier_invite("out", CARRIER_SDP);
    shard.carrier_says(&invite.replace("Max-Forwards", &format!("{lines}Max-Forwards")));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    (shard, invite)
}

/// A call of Teams that has reached the carrier.
fn ringing_in(config: &str) -> (Shard, Message) {
    let (shard, invite) = called_in(config, "in");
    (shard, invite.message)
}

fn statuses(shard: &mut Shard) -> Vec<u16> {
    shard
        .sent
        .drain(..)
        .filter_map(|sent| sent.message.status().map(|status| status.code()))
        .collect()
}

#[test]
fn provisionals_that_only_concern_the_called_side_stay_there() {
    let (mut shard, invite) = ringing_out("");
    let mut say = |status: &str, tag: &str| {
        shard.teams_says(&response(&invite, status, tag, TEAMS_CONTACT, ""));
        statuses(&mut shard)
    };
    assert_eq!(say("180 Ringing", "x1"), [180]);
    // 199 ends one early dialog of the callee; the caller has only one, and it lives (SIP-313).
    assert_eq!(say("199 Early Dialog Terminated", "x1"), []);
    // A provisional status that nobody knows is a 183 (SIP-008).
    assert_eq!(say("155 Thinking", "x2"), [183]);
    assert_eq!(say("100 Trying", ""), []);
}

#[test]
fn a_called_side_with_endless_phones_fills_no_memory() {
    let (mut shard, invite) = ringing_out("");
    for phone in 0..300 {
        let ringing = response(
            &invite,
            "183 Session Progress",
            &format!("phone-{phone}"),
            TEAMS_CONTACT,
            TEAMS_SDP,
        );
        shard.teams_says(&ringing);
    }
    let forks: std::collections::BTreeSet<_> = shard
        .media
        .iter()
        .filter_map(|command| match command {
            media_api::Command::Answer { fork, .. } => Some(*fork),
            _ => None,
        })
        .collect();
    // Teams alone may ring 32 (TDR-SIP-016).
    assert!((32..=64).contains(&forks.len()), "{} forks", forks.len());
    // Whoever answers is heard all the same.
    let answer = response(&invite, "200 OK", "late", TEAMS_CONTACT, TEAMS_SDP);
    shard.sent.clear();
    shard.teams_says(&answer);
    shard.next_request(Method::Ack);
    shard.next_response(200);
}

#[test]
fn an_invitation_that_expires_is_cancelled_and_answered_487() {
    let (mut shard, invite) = ringing_out("Expires: 20\n");
    shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    shard.next_response(180);
    shard.pass(secs(19));
    assert!(shard.sent.is_empty());
    shard.pass(secs(2));
    let sent: Vec<String> = shard
        .sent
        .iter()
        .map(|sent| match sent.message.status() {
            Some(status) => status.code().to_string(),
            None => sent.message.method().as_str().to_owned(),
        })
        .collect();
    assert!(sent.contains(&"487".to_owned()), "{sent:?}");
    assert!(sent.contains(&"CANCEL".to_owned()), "{sent:?}");
    shard.pass(secs(40));
    assert_eq!(shard.records[0].disposition, Disposition::NoAnswer);
}

#[test]
fn an_invitation_that_was_answered_in_time_does_not_expire() {
    let (mut shard, invite) = ringing_out("Expires: 20\n");
    shard.teams_says(&response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    let via = "SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bKack";
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, via));
    shard.pass(secs(60));
    assert!(shard.sent.is_empty());
}

#[test]
fn a_phone_that_rings_for_ever_and_ignores_cancel_counts_as_not_answered() {
    let (mut shard, invite) = ringing_out("");
    shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    shard.pass(secs(184));
    shard.sent.retain(|sent| sent.message.is_request());
    assert!(shard.sent.is_empty());
    shard.pass(secs(1));
    shard.sent.retain(|sent| sent.message.is_request());
    shard.next_request(Method::Cancel);
    // What it says after that comes too late.
    shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    // Neither the CANCEL nor the INVITE gets any answer.
    shard.pass(secs(33));
    let mut told = statuses(&mut shard);
    told.dedup();
    assert_eq!(told, [180, 480]);
    assert_eq!(shard.records[0].disposition, Disposition::NoAnswer);
}

#[test]
fn teams_hears_of_progress_before_it_gives_up_on_a_slow_carrier() {
    let (mut shard, invite) = ringing_in(CONFIG);
    shard.carrier_says(&response(&invite, "100 Trying", "", "", ""));
    assert_eq!(statuses(&mut shard), []);
    // Teams goes elsewhere after ten seconds of silence (TDR-SIP-032).
    shard.pass(secs(8));
    let early = shard.next_response(183).message;
    assert!(early.body().is_empty());
    assert!(shard.sent.is_empty());
    // Once is enough, and a caller from a carrier is used to waiting.
    shard.pass(secs(20));
    assert_eq!(statuses(&mut shard), []);
    let (mut shard, invite) = ringing_out("");
    shard.teams_says(&response(&invite, "100 Trying", "", "", ""));
    shard.pass(secs(20));
    assert_eq!(statuses(&mut shard), []);
}

#[test]
fn a_trunk_says_within_which_time_its_callers_hear_of_progress() {
    let fqdn = "fqdn = \"sbc1.contoso.example\"";
    let config = CONFIG.replace(fqdn, &format!("{fqdn}\nprogress_within = \"15s\""));
    let (mut shard, invite) = ringing_in(&config);
    shard.carrier_says(&response(&invite, "100 Trying", "", "", ""));
    shard.pass(secs(14));
    assert_eq!(statuses(&mut shard), []);
    shard.pass(secs(1));
    assert_eq!(statuses(&mut shard), [183]);
}

#[test]
fn progress_that_came_in_time_is_not_repeated_for_teams() {
    let (mut shard, invite) = ringing_in(CONFIG);
    shard.carrier_says(&response(&invite, "180 Ringing", "b1", CARRIER_CONTACT, ""));
    assert_eq!(statuses(&mut shard), [180]);
    shard.pass(secs(20));
    assert_eq!(statuses(&mut shard), []);
}

#[test]
fn a_caller_without_usable_contact_is_refused_before_anybody_rings() {
    for contact in ["", "Contact: *\n", "Contact: <tel:+498999998001>\n"] {
        let mut shard = Shard::new();
        let invite = carrier_invite("bad", CARRIER_SDP);
        shard.carrier_says(&invite.replace("Contact: <sip:gw@198.51.100.20:5060>\n", contact));
        assert_eq!(statuses(&mut shard), [400], "{contact}");
        assert!(shard.records.is_empty(), "it was never admitted");
    }
}

#[test]
fn a_request_uri_without_number_leads_nowhere() {
    let mut shard = Shard::new();
    let invite = teams_invite("nobody").replace("sip:+498999998001@sbc1", "sip:sbc1");
    shard.teams_says(&invite);
    assert_eq!(statuses(&mut shard), [100, 404]);
    assert_eq!(shard.records[0].cause.code, CauseCode::NumberUnknown);
}

/// Addresses that INVITEs go to.
fn invited(shard: &mut Shard) -> Vec<String> {
    let invites = shard
        .sent
        .drain(..)
        .filter(|sent| sent.message.is_request() && *sent.message.method() == Method::Invite);
    invites.map(|sent| sent.hop.remote.to_string()).collect()
}

#[test]
fn a_target_that_asks_for_a_pause_gets_no_new_call_until_it_is_over() {
    let refuse = |shard: &mut Shard, invite: &Message, retry: &str| {
        shard.carrier_says(&response(invite, "503 Unavailable", "b1", retry, ""));
    };
    for (retry, pause) in [
        ("Retry-After: 20\n", 20),
        ("Retry-After: 9999 (busy)\n", 300),
    ] {
        let (mut shard, invite) = ringing_in(CONFIG);
        refuse(&mut shard, &invite, retry);
        assert_eq!(invited(&mut shard), ["198.51.100.21:5060"]);
        shard.teams_says(&teams_invite("second"));
        assert_eq!(invited(&mut shard), ["198.51.100.21:5060"], "{retry}");
        shard.pass(secs(pause - 1));
        shard.sent.clear();
        shard.teams_says(&teams_invite("third"));
        assert_eq!(invited(&mut shard), ["198.51.100.21:5060"], "{retry}");
        shard.pass(secs(2));
        shard.sent.clear();
        shard.teams_says(&teams_invite("fourth"));
        assert_eq!(invited(&mut shard), ["198.51.100.20:5060"], "{retry}");
    }
    // Without Retry-After it speaks of this one request.
    let (mut shard, invite) = ringing_in(CONFIG);
    refuse(&mut shard, &invite, "");
    assert_eq!(invited(&mut shard), ["198.51.100.21:5060"]);
    shard.teams_says(&teams_invite("second"));
    assert_eq!(invited(&mut shard), ["198.51.100.20:5060"]);
}

#[test]
fn a_call_for_which_every_target_wants_a_pause_is_refused_at_once() {
    let (mut shard, invite) = ringing_in(CONFIG);
    let busy =
        |invite: &Message| response(invite, "503 Unavailable", "b1", "Retry-After: 60\n", "");
    shard.carrier_says(&busy(&invite));
    let second = shard.sent.drain(..).next_back().unwrap().message;
    shard.carrier_says(&busy(&second));
    shard.sent.clear();
    shard.teams_says(&teams_invite("second"));
    assert_eq!(statuses(&mut shard), [100, 503]);
    let record = shard.records.last().unwrap();
    assert_eq!(record.cause.code, CauseCode::PeerUnreachable);
    assert_eq!(record.egress[0].fault, Some(TargetFault::Quarantined));
}

#[test]
fn a_connection_that_dies_before_any_answer_leads_to_the_next_target_at_once() {
    let (mut shard, sent) = called_out("out");
    assert_eq!(sent.hop.remote.to_string(), "203.0.113.1:5061");
    shard.apply(Input::SendFailed {
        transaction: sent.transaction.unwrap(),
        why: FlowFault::Closed,
    });
    assert_eq!(invited(&mut shard), ["203.0.113.2:5061"]);
}

#[test]
fn a_record_names_a_tenant_only_if_somebody_owns_the_number() {
    let mut shard = Shard::new();
    let invite = carrier_invite("nobody", CARRIER_SDP);
    shard.carrier_says(&invite.replace("+493023125456", "+4940123456"));
    assert_eq!(statuses(&mut shard), [100, 404]);
    assert_eq!(shard.records[0].tenant, None);

    // The owner is known, although no route leads there.
    let (before, _) = CONFIG.split_once("[[route]]").unwrap();
    let (_, after) = CONFIG.split_once("name = \"to-carrier\"").unwrap();
    let config = format!("{before}[[route]]\nname = \"to-carrier\"{after}");
    let mut shard = Shard::with(config_of(&config));
    shard.carrier_says(&carrier_invite("unrouted", CARRIER_SDP));
    assert_eq!(statuses(&mut shard), [100, 404]);
    let record = &shard.records[0];
    assert_eq!(record.cause.code, CauseCode::NoRoute);
    assert_eq!(record.tenant, Some(TenantName::new("contoso")));
}

/// What Teams is told when the carrier's two addresses give these answers, one after the other.
/// `None` is silence.
fn told_to_teams(answers: &[Option<&str>]) -> u16 {
    let (mut shard, mut invite) = ringing_in(CONFIG);
    for (n, answer) in answers.iter().enumerate() {
        match answer {
            Some(status) => shard.carrier_says(&response(&invite, status, "b1", "", "")),
            None => shard.pass(secs(4)),
        }
        shard.sent.retain(|sent| {
            let is_invite = *sent.message.method() == Method::Invite;
            is_invite
                && sent
                    .message
                    .status()
                    .is_none_or(|status| status.code() >= 200)
        });
        if n + 1 < answers.len() {
            while let Some(sent) = shard.sent.pop_front() {
                invite = sent.message;
            }
        }
    }
    let told = statuses(&mut shard);
    assert_eq!(told.len(), 1, "{told:?}");
    told[0]
}

#[test]
fn what_a_peer_says_counts_more_than_what_we_think_of_it() {
    let refused = Some("500 Server Internal Error");
    assert_eq!(told_to_teams(&[refused]), 503);
    // 503 leads to the carrier's second address, which is silent: the answer that was given stands.
    assert_eq!(told_to_teams(&[Some("503 Unavailable"), None]), 503);
    assert_eq!(told_to_teams(&[None, Some("486 Busy Here")]), 486);
    assert_eq!(told_to_teams(&[None, None]), 408);
}

#[test]
fn a_later_trunk_that_cannot_be_reached_does_not_hide_an_earlier_answer() {
    let second = r#"
[[trunk]]
name = "carrier-b"
preset = "carrier"
tenant = "*"
realm = "carrier"
targets = ["198.51.100.40:5060;udp"]
accept_from = ["198.51.100.40/32"]
codecs = ["PCMA", "PCMU"]
"#;
    let config = CONFIG
        .replace(
            "[[route]]\nname = \"to-teams\"",
            &format!("{second}\n[[route]]\nname = \"to-teams\""),
        )
        .replace(
            "to = [{ trunk = \"carrier-a\" }]",
            "to = [{ trunk = \"carrier-a\" }, { trunk = \"carrier-b\" }]",
        )
        // Without a second address, 502 leads to the next trunk at once.
        .replace(
            "\"198.51.100.20:5060;udp\", \"198.51.100.21:5060;udp\"",
            "\"198.51.100.20:5060;udp\"",
        );
    let (mut shard, invite) = ringing_in(&config);
    shard.carrier_says(&response(&invite, "504 Server Time-out", "b1", "", ""));
    shard.next_request(Method::Ack);
    let second = shard.next_request(Method::Invite);
    assert_eq!(second.hop.remote.to_string(), "198.51.100.40:5060");
    shard.sent.clear();
    shard.pass(secs(4));
    assert_eq!(statuses(&mut shard), [504]);
    shard.pass(secs(40));
    assert_eq!(shard.records[0].cause.code, CauseCode::PeerTimeout);
    assert_eq!(shard.records[0].egress.len(), 2);
    assert_eq!(shard.records[0].egress[0].status, Some(504));
}

#[test]
fn a_6xx_ends_the_hunt_at_once() {
    for (status, told_as) in [
        ("600 Busy Everywhere", 486),
        ("603 Decline", 603),
        ("604 Nowhere", 404),
        ("606 No", 488),
    ] {
        let (mut shard, invite) = ringing_in(CONFIG);
        shard.carrier_says(&response(&invite, status, "b1", "", ""));
        shard.next_request(Method::Ack);
        let told = statuses(&mut shard);
        assert_eq!(told, [told_as], "{status}");
    }
}

/// Status and Reason that the caller's side gets when the called side says `status`.
fn mapped(from_teams: bool, status: u16, lines: &str) -> (u16, String) {
    let config = CONFIG.replace(", \"198.51.100.21:5060;udp\"", "").replace(
        "    { address = \"sip2.pstnhub.microsoft.com:5061;tls\", connect_to = [\"203.0.113.2:5061\"] },\n",
        "",
    );
    // What a redirection that is followed leads to is another test's matter.
    let config = config.replace("preset = ", "redirect = \"fail\"\npreset = ");
    let mut shard = Shard::with(config_of(&config));
    match from_teams {
        true => shard.teams_says(&teams_invite("map")),
        false => shard.carrier_says(&carrier_invite("map", CARRIER_SDP)),
    }
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let answer = response(
        &invite,
        &format!("{status} secret.example 10.1.2.3"),
        "b1",
        lines,
        "",
    );
    match from_teams {
        true => shard.carrier_says(&answer),
        false => shard.teams_says(&answer),
    }
    shard.next_request(Method::Ack);
    let told = shard.next().message;
    assert!(shard.sent.is_empty());
    let text = String::from_utf8_lossy(told.bytes()).into_owned();
    for hidden in [
        "secret.example",
        "10.1.2.3",
        "Retry-After",
        "Warning",
        "Contact",
        "challenge",
    ] {
        assert!(!text.contains(hidden), "{status}: {text}");
    }
    let reason = told.raw(HeaderName::Reason).unwrap_or_default();
    (
        told.status().expect("a response").code(),
        String::from_utf8_lossy(&reason).into_owned(),
    )
}

/// What crosses for every final status there is, both ways. Rows: from the called side, towards a
/// carrier, towards Teams.
#[test]
fn every_final_failure_crosses_as_the_table_says() {
    const TABLE: &[(u16, u16, u16)] = &[
        (300, 480, 480),
        (301, 480, 480),
        (302, 480, 480),
        (305, 480, 480),
        (380, 480, 480),
        (400, 500, 503),
        (401, 403, 503),
        (402, 500, 503),
        (403, 403, 403),
        (404, 404, 404),
        (405, 500, 503),
        (406, 488, 488),
        (407, 403, 503),
        (408, 408, 408),
        (410, 410, 410),
        (412, 484, 503),
        (413, 413, 413),
        (414, 414, 414),
        (415, 488, 488),
        (416, 416, 416),
        (420, 500, 503),
        (421, 500, 503),
        (422, 500, 503),
        (423, 423, 423),
        (428, 500, 503),
        (436, 500, 503),
        (437, 500, 503),
        (438, 500, 503),
        (440, 500, 503),
        (470, 500, 503),
        (480, 480, 480),
        (481, 500, 503),
        (482, 482, 482),
        (483, 483, 483),
        (484, 484, 484),
        (485, 485, 485),
        (486, 486, 486),
        (487, 480, 480),
        (488, 488, 488),
        (489, 500, 503),
        (491, 500, 503),
        (493, 493, 493),
        (494, 500, 503),
        (499, 500, 503),
        (500, 500, 503),
        (501, 501, 503),
        (502, 502, 503),
        (503, 500, 503),
        (504, 504, 504),
        (505, 505, 503),
        (513, 513, 503),
        (580, 580, 503),
        (599, 500, 503),
        (600, 600, 486),
        (603, 603, 603),
        (604, 604, 404),
        (606, 606, 488),
        (607, 607, 607),
        (608, 608, 608),
        (699, 600, 480),
    ];
    let mut wrong = Vec::new();
    for (status, carrier, teams) in TABLE {
        let lines = "Contact: <sip:other@10.1.2.3>\nRetry-After: 30\nWarning: 399 10.1.2.3 \"x\"\n\
                     WWW-Authenticate: Digest realm=\"challenge\"\n";
        let (to_teams, reason) = mapped(true, *status, lines);
        if to_teams != *teams {
            wrong.push(format!("{status} → Teams {to_teams}, not {teams}"));
        }
        if *status >= 400 && !reason.starts_with("Q.850;cause=") {
            wrong.push(format!("{status} → Teams without cause: {reason:?}"));
        }
        let (to_carrier, _) = mapped(false, *status, lines);
        if to_carrier != *carrier {
            wrong.push(format!("{status} → carrier {to_carrier}, not {carrier}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_cause_of_the_telephone_network_decides_what_teams_does_next() {
    for (cause, status) in [
        (1, 404),
        (16, 480),
        (17, 486),
        (18, 480),
        (19, 480),
        (20, 480),
        (21, 603),
        (22, 410),
        (27, 502),
        (28, 484),
        (29, 501),
        (34, 503),
        (38, 503),
        (41, 503),
        (42, 503),
        (47, 503),
        (57, 403),
        (102, 504),
    ] {
        let lines = format!("Reason: Q.850;cause={cause};text=\"at 10.1.2.3\";location=LN\n");
        // A carrier that writes 603 for whatever its exchange says means the cause; nobody has rejected the call.
        for of_carrier in [480, 603] {
            let (told, reason) = mapped(true, of_carrier, &lines);
            assert_eq!(told, status, "cause {cause}");
            assert_eq!(reason, format!("Q.850;cause={cause};location=LN"));
        }
    }
}

#[test]
fn a_503_with_retry_after_leads_to_the_next_region_at_once_and_stays_here() {
    let (mut shard, invite) = ringing_out("");
    shard.teams_says(&response(
        &invite,
        "503 Service Unavailable",
        "x1",
        "Retry-After: 1\n",
        "",
    ));
    shard.next_request(Method::Ack);
    let second = shard.next_request(Method::Invite);
    assert_eq!(second.hop.remote.to_string(), "203.0.113.2:5061");
    let second = response(&second.message, "503 Service Unavailable", "y", "", "");
    shard.teams_says(&second);
    shard.next_request(Method::Ack);
    let told = shard.next_response(500);
    assert!(!told.message.has(HeaderName::RetryAfter));
}

#[test]
fn an_answer_of_the_next_target_that_agrees_is_told_as_before() {
    // The first target is heard early and fails; the second agrees on the same codec.
    let (mut shard, invite) = ringing_in(CONFIG);
    let only =
        |codec: &str| CARRIER_SDP.replace("RTP/AVP 8 0 101", &format!("RTP/AVP {codec} 101"));
    shard.carrier_says(&response(
        &invite,
        "183 Session Progress",
        "b1",
        CARRIER_CONTACT,
        &only("8"),
    ));
    let early = shard.next_response(183).message;
    shard.carrier_says(&response(&invite, "503 Service Unavailable", "b1", "", ""));
    shard.next_request(Method::Ack);
    let second = shard.next_request(Method::Invite).message;
    shard.carrier_says(&response(
        &second,
        "200 OK",
        "b2",
        CARRIER_CONTACT,
        &only("8"),
    ));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    assert_eq!(ok.body(), early.body(), "SIP-312");
}

#[test]
fn an_early_answer_of_a_failed_trunk_is_kept_by_the_next() {
    let second = r#"
[[trunk]]
name = "carrier-b"
preset = "carrier"
tenant = "*"
realm = "carrier"
targets = ["198.51.100.40:5060;udp"]
accept_from = ["198.51.100.40/32"]
codecs = ["PCMA", "PCMU"]
"#;
    let config = CONFIG
        .replace(
            "[[route]]\nname = \"to-teams\"",
            &format!("{second}\n[[route]]\nname = \"to-teams\""),
        )
        .replace(
            "to = [{ trunk = \"carrier-a\" }]",
            "to = [{ trunk = \"carrier-a\" }, { trunk = \"carrier-b\" }]",
        );
    for next_codec in ["8", "0"] {
        let (mut shard, invite) = ringing_in(&config);
        let only =
            |codec: &str| CARRIER_SDP.replace("RTP/AVP 8 0 101", &format!("RTP/AVP {codec} 101"));
        shard.carrier_says(&response(
            &invite,
            "183 Session Progress",
            "b1",
            CARRIER_CONTACT,
            &only("8"),
        ));
        let early = shard.next_response(183).message;
        shard.carrier_says(&response(&invite, "504 Server Time-out", "b1", "", ""));
        shard.next_request(Method::Ack);
        let second = shard.next_request(Method::Invite).message;
        let mut flow = carrier_flow();
        flow.remote = "198.51.100.40:5060".parse().expect("address");
        let answer = response(&second, "200 OK", "b2", CARRIER_CONTACT, &only(next_codec));
        shard.receive(flow, &answer);
        shard.next_request(Method::Ack);
        let ok = shard.next_response(200).message;
        let body = |message: &Message| String::from_utf8_lossy(&message.body()).into_owned();
        assert_eq!(body(&ok), body(&early), "SIP-312");
        let via = "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bKack";
        shard.teams_says(&in_dialog(&ok, "ACK", 1, via));
        match next_codec {
            "8" => assert!(shard.sent.is_empty()),
            _ => {
                // It cannot be kept: the caller is told once its answer is acknowledged, and the
                // version says that it is another one (SIP-504).
                let offer = shard.next_request(Method::Invite).message;
                let version = |text: String| -> u64 {
                    let line = text
                        .lines()
                        .find(|line| line.starts_with("o="))
                        .unwrap_or("");
                    line.split(' ')
                        .nth(2)
                        .and_then(|v| v.parse().ok())
                        .unwrap_or(0)
                };
                assert_eq!(version(body(&offer)), version(body(&early)) + 1);
                assert!(body(&offer).contains("RTP/SAVP 0 101"), "{}", body(&offer));
                let pcmu = TEAMS_SDP.replace("RTP/SAVP 8 0 101", "RTP/SAVP 0 101");
                shard.teams_says(&response(&offer, "200 OK", "", TEAMS_CONTACT, &pcmu));
                shard.next_request(Method::Ack);
                shard.pass(secs(5));
                assert!(shard.sent.is_empty());
            }
        }
    }
}

#[test]
fn phones_that_all_answer_are_ended_as_far_as_memory_goes() {
    let (mut shard, invite) = ringing_out("");
    for phone in 0..300 {
        let tag = format!("phone-{phone}");
        shard.teams_says(&response(&invite, "200 OK", &tag, TEAMS_CONTACT, TEAMS_SDP));
    }
    let sent: Vec<Method> = shard
        .sent
        .drain(..)
        .filter(|sent| sent.message.is_request())
        .map(|sent| sent.message.method().clone())
        .collect();
    let count = |method: &Method| sent.iter().filter(|sent| *sent == method).count();
    assert_eq!(count(&Method::Ack), 65);
    assert_eq!(count(&Method::Bye), 64);
}

#[test]
fn a_name_that_we_do_not_host_gets_404_and_no_state() {
    let mut shard = Shard::new();
    let invite = teams_invite("elsewhere").replace("sbc1.contoso", "sbc9.contoso");
    shard.teams_says(&invite);
    let first = shard.next_response(404).message;
    shard.teams_says(&invite);
    let again = shard.next_response(404).message;
    // Without state, the same request still gets the same answer (RFC 3261 §8.2.7).
    assert_eq!(first.bytes(), again.bytes());
    let ack = invite
        .replace("INVITE sip", "ACK sip")
        .replace("1 INVITE", "1 ACK");
    shard.teams_says(&ack);
    assert!(shard.sent.is_empty());
    shard.settles();
}

#[test]
fn security_from_end_to_end_does_not_begin_without() {
    let mut shard = Shard::new();
    let invite = carrier_invite("sips", CARRIER_SDP).replace("INVITE sip:", "INVITE sips:");
    shard.carrier_says(&invite);
    assert_eq!(statuses(&mut shard), [403]);
}

#[test]
fn a_cancel_that_contradicts_itself_cancels_nothing() {
    let (mut shard, invite) = ringing_out("");
    shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    shard.sent.clear();
    let cancel = carrier_invite("out", "").replace("INVITE sip", "CANCEL sip");
    shard.carrier_says(&cancel);
    assert_eq!(statuses(&mut shard), [400]);
}

#[test]
fn an_early_answer_holds_when_the_final_one_repeats_nothing() {
    // Whether the caller offered itself, or left it to us (TDR-SIP-019).
    for sdp in [CARRIER_SDP, ""] {
        let mut shard = Shard::new();
        shard.carrier_says(&carrier_invite("early", sdp));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        shard.teams_says(&response(
            &invite,
            "183 Session Progress",
            "x1",
            TEAMS_CONTACT,
            TEAMS_SDP,
        ));
        shard.next_response(183);
        shard.teams_says(&response(&invite, "200 OK", "x1", TEAMS_CONTACT, ""));
        shard.next_request(Method::Ack);
        let ok = shard.next_response(200).message;
        assert!(!ok.body().is_empty());
    }
}

#[test]
fn phones_that_ring_at_once_are_told_of_once_a_second() {
    let (mut shard, invite) = ringing_out("");
    for phone in ["x1", "x2", "x3"] {
        shard.teams_says(&response(&invite, "180 Ringing", phone, TEAMS_CONTACT, ""));
    }
    assert_eq!(statuses(&mut shard), [180], "SIP-315");
    shard.pass(secs(1));
    shard.teams_says(&response(&invite, "180 Ringing", "x4", TEAMS_CONTACT, ""));
    assert_eq!(statuses(&mut shard), [180]);
    // What is new is told at once.
    let early = "183 Session Progress";
    shard.teams_says(&response(&invite, early, "x4", TEAMS_CONTACT, TEAMS_SDP));
    assert_eq!(statuses(&mut shard), [183]);
}

#[test]
fn a_slow_trunk_is_answered_with_its_own_timers() {
    let slow = "codecs = [\"PCMA\", \"PCMU\"]\ntimers = { t1 = \"1s\", t2 = \"8s\" }";
    let config = CONFIG.replace("codecs = [\"PCMA\", \"PCMU\"]", slow);
    let mut shard = Shard::with(config_of(&config));
    // Nobody has this number: a refusal that is repeated until its ACK.
    let invite = carrier_invite("slow", CARRIER_SDP).replace("+493023125456", "+496990009000");
    shard.carrier_says(&invite);
    assert_eq!(statuses(&mut shard), [100, 404]);
    let mut repeats = Vec::new();
    for tenth in 1..=200 {
        shard.pass(Duration::from_millis(100));
        repeats.extend(statuses(&mut shard).iter().map(|_| tenth / 10));
    }
    // Timer G: T1, doubling up to T2.
    assert_eq!(repeats, [1, 3, 7, 15]);
    shard.pass(secs(43));
    assert_ne!(shard.core.census().transactions, 0, "Timer H is 64·T1");
    shard.pass(secs(2));
    assert_eq!(shard.core.census().transactions, 0);
}

#[test]
fn a_request_without_what_every_answer_repeats_gets_400_and_no_state() {
    for (line, instead) in [
        ("CSeq: 10 INVITE\n", ""),
        ("CSeq: 10 INVITE\n", "CSeq: ten INVITE\n"),
        ("Call-ID: bare\n", ""),
        ("To: <sip:+493023125456@192.0.2.11>\n", ""),
    ] {
        let mut shard = Shard::new();
        shard.start_lines = Some(Vec::new());
        shard.carrier_says(&carrier_invite("bare", CARRIER_SDP).replace(line, instead));
        assert_eq!(shard.core.census(), Default::default(), "{line}");
        let lines = shard.start_lines.expect("start lines are kept");
        assert_eq!(lines, ["SIP/2.0 400 Bad Request"], "{line}");
    }
}

#[test]
fn a_caller_who_waits_long_hears_once_a_minute_that_we_are_there() {
    let (mut shard, invite) = ringing_out("");
    shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    assert_eq!(statuses(&mut shard), [180]);
    let mut heard = Vec::new();
    for second in 1..=125 {
        shard.pass(secs(1));
        heard.extend(statuses(&mut shard).iter().map(|status| (second, *status)));
    }
    // Proxies on the way give up after three minutes of silence (Timer C, SIP-315).
    assert_eq!(heard, [(60, 180), (120, 180)]);
}

#[test]
fn the_minute_is_that_of_the_caller_whatever_is_tried_meanwhile() {
    let (mut shard, invite) = ringing_out("");
    shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    assert_eq!(statuses(&mut shard), [180]);
    shard.pass(secs(40));
    shard.teams_says(&response(&invite, "503 Busy", "x1", "", ""));
    shard.next_request(Method::Ack);
    let next = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&next, "100 Trying", "", "", ""));
    let mut heard = Vec::new();
    for second in 41..=125 {
        shard.pass(secs(1));
        heard.extend(statuses(&mut shard).iter().map(|status| (second, *status)));
    }
    assert_eq!(heard, [(60, 180), (120, 180)]);
}

/// A time of the operator's own is not prolonged by a gateway that repeats itself.
#[test]
fn a_short_time_to_ring_begins_anew_with_what_is_new_alone() {
    let codecs = "codecs = [\"PCMA\", \"PCMU\"]";
    for (second, waits) in [("180 Ringing", 20), ("183 Session Progress", 35)] {
        let timers = format!("{codecs}\ntimers = {{ ring_timeout = \"20s\" }}");
        let (mut shard, invite) = called_in(&CONFIG.replacen(codecs, &timers, 1), "rings");
        let says = |shard: &mut Shard, status: &str| {
            let text = response(&invite.message, status, "x1", CARRIER_CONTACT, "");
            shard.carrier_says(&text);
        };
        let begin = shard.now.mono;
        let is_cancel = |sent: &Sent| *sent.message.method() == Method::Cancel;
        for n in 0..12 {
            says(&mut shard, if n < 3 { "180 Ringing" } else { second });
            shard.pass(Duration::from_secs(5));
            if shard.sent.iter().any(is_cancel) {
                break;
            }
        }
        let waited = shard.now.mono.since(begin).as_secs();
        assert!((waits..waits + 6).contains(&waited), "{second}: {waited}");
    }
}
