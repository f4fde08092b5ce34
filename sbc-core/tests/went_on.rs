//! Calls that outlive the process: what goes on behind a restart, what is kept for it, and what is lost (OPS-150,
//! OPS-151).

use crate::world;

use media_api::Command as MediaCommand;
use sbc_core::cause::{CauseCode, EndedBy};
use sbc_core::event::Happened;
use sbc_core::id::CommandId;
use sbc_core::input::{Answered, Command, Input};
use sbc_core::kept::{Found, Unreadable};
use sbc_core::record::Disposition;
use sbc_core::sip::{HeaderName, Message, Method};
use std::sync::Arc;
use std::time::Duration;
use world::call::*;
use world::*;

const CONTACT: &str = "Contact: <sip:gw@198.51.100.20:5060>\n";
const SDP: &str = "Content-Type: application/sdp\n";

/// How long nobody is there.
const GONE: Duration = Duration::from_millis(700);

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

impl Call {
    /// The process is killed, and another one is there some time later.
    fn is_restarted(&mut self) {
        self.is_restarted_with(CONFIG);
    }

    fn is_restarted_with(&mut self, config: &str) {
        self.shard.restart(config_of(config), GONE, true);
    }

    /// The caller offers again; our answer.
    fn reoffers(&mut self, sdp: &str) -> Message {
        self.says("INVITE", &format!("{CONTACT}{SDP}"), sdp);
        self.shard.next_response(100);
        let ok = self.shard.next_response(200).message;
        let ack = in_dialog(&self.ok, "ACK", self.cseq, &format!("{VIA}a{}", self.cseq));
        self.shard.carrier_says(&ack);
        ok
    }

    /// The caller hangs up, and Teams answers our BYE.
    fn hangs_up(&mut self) -> Message {
        self.says("BYE", "", "");
        self.shard.next_response(200);
        let bye = self.shard.next_request(Method::Bye).message;
        self.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
        bye
    }
}

fn number(message: &Message) -> u32 {
    let cseq = header(message, HeaderName::CSeq);
    let number = cseq.split(' ').next().expect("a number");
    number.parse().expect("a number")
}

#[test]
fn either_party_may_change_and_end_a_call_behind_a_restart_as_before() {
    let mut call = Call::new();
    let before = call.reoffers(CARRIER_SDP);
    call.is_restarted();
    assert!(call.shard.sent.is_empty(), "nobody is told anything");
    // The same description in the same octets: for the peer nothing has happened.
    let after = call.reoffers(CARRIER_SDP);
    assert_eq!(body(&after), body(&before));
    call.lives();

    let mut call = Call::new();
    let invite = call.invite.clone();
    call.is_restarted();
    // Teams asks whether we are there, and ends the call.
    call.teams_says("OPTIONS", 1, "");
    call.shard.next_response(200);
    call.teams_says("BYE", 2, "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    assert_eq!(
        header(&bye, HeaderName::CallId),
        header(&call.ok, HeaderName::CallId)
    );
    assert_ne!(
        header(&bye, HeaderName::CallId),
        header(&invite, HeaderName::CallId)
    );
    call.shard
        .carrier_says(&response(&bye, "200 OK", "", "", ""));
    call.shard.settles();
    let record = &call.shard.records[0];
    assert_eq!(
        (record.cause.by, record.cause.code),
        (EndedBy::B, CauseCode::NormalClearing)
    );
}

#[test]
fn numbers_of_ours_go_on_behind_what_may_have_been_used() {
    let mut call = Call::new();
    let before = number(&call.invite);
    call.is_restarted();
    assert!(number(&call.hangs_up()) > before + 50);
}

#[test]
fn a_restart_is_nothing_that_the_record_would_show() {
    let mut call = Call::new();
    call.shard.pass(seconds(20));
    call.is_restarted();
    assert!(call.shard.records.is_empty());
    call.shard.pass(seconds(10));
    call.is_restarted();
    call.shard.pass(seconds(5));
    call.hangs_up();
    call.shard.settles();
    let [record] = &call.shard.records[..] else {
        panic!("{:?}", call.shard.records)
    };
    let lasted = seconds(35) + 2 * GONE;
    assert_eq!(u128::from(record.duration_ms), lasted.as_millis());
    assert_eq!(record.billsec, 37);
    assert_eq!(record.disposition, Disposition::Answered);
    assert_eq!(record.end, Some(record.start + lasted));
    assert_eq!(record.setup_ms, Some(0));
    assert_eq!(record.egress.len(), 1);
    assert_eq!(record.calling_raw, "+498999998001");
    assert_eq!(
        (record.cause.by, record.cause.code),
        (EndedBy::A, CauseCode::NormalClearing)
    );
}

#[test]
fn a_hold_goes_on_and_the_other_party_hears_of_its_end() {
    let mut call = Call::new();
    let held = CARRIER_SDP.replace("sendrecv", "sendonly");
    call.reoffers(&held);
    let told = call.shard.next_request(Method::Invite).message;
    let teams = TEAMS_SDP.replace("sendrecv", "inactive");
    call.shard
        .teams_says(&response(&told, "200 OK", "", TEAMS_CONTACT, &teams));
    call.shard.next_request(Method::Ack);
    call.shard.pass(seconds(3));
    call.is_restarted();
    assert!(call.shard.sent.is_empty(), "it knows already");
    call.shard.pass(seconds(2));
    call.reoffers(CARRIER_SDP);
    let told = call.shard.next_request(Method::Invite).message;
    assert!(body(&told).contains("a=sendrecv"), "{}", body(&told));
    call.shard
        .teams_says(&response(&told, "200 OK", "", TEAMS_CONTACT, TEAMS_SDP));
    call.shard.next_request(Method::Ack);
    call.hangs_up();
    call.shard.settles();
    let held = call.shard.records[0].held_ms;
    assert_eq!(u128::from(held), (seconds(5) + GONE).as_millis());
}

#[test]
fn sessions_are_refreshed_and_given_up_when_they_would_have_been() {
    // We refresh towards the carrier at half of 1,800 s.
    let mut call = Call::new();
    call.shard.pass(seconds(800));
    call.is_restarted();
    call.shard.pass(seconds(90));
    assert!(call.shard.sent.is_empty());
    call.shard.pass(seconds(15));
    let is_refresh = |sent: &Sent| matches!(sent.message.method(), Method::Invite | Method::Update);
    assert!(call.shard.sent.iter().any(is_refresh));

    // A peer that refreshes had no chance to while nobody was there.
    let mut shard = Shard::new();
    let invite = carrier_invite("call", CARRIER_SDP);
    let timer = "Supported: timer\nSession-Expires: 777;refresher=uac\n";
    shard.carrier_says(&invite.replace("Max-Forwards", &format!("{timer}Max-Forwards")));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    let expires = header(&ok, HeaderName::SessionExpires);
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
    let interval: u64 = expires.split(';').next().unwrap().parse().unwrap();
    shard.restart(config(), seconds(interval), true);
    shard.pass(seconds(30));
    assert!(shard.records.is_empty() && shard.sent.is_empty());
    shard.pass(seconds(15));
    assert_eq!(
        shard.next_request(Method::Bye).message.method(),
        &Method::Bye
    );
}

#[test]
fn the_longest_time_of_a_call_is_counted_from_its_answer() {
    let config = format!("{CONFIG}\n[limits]\nmax_duration = \"10m\"\n");
    let mut call = Call::with(&config);
    call.shard.pass(seconds(400));
    call.is_restarted_with(&config);
    call.shard.pass(seconds(190));
    assert!(call.shard.sent.is_empty());
    call.shard.pass(seconds(12));
    call.shard.next_request(Method::Bye);
    call.shard.next_request(Method::Bye);
}

#[test]
fn a_call_counts_on_limits_again_and_no_longer_than_it_lasts() {
    let config = CONFIG.replace(
        "codecs = [\"PCMA\", \"PCMU\"]",
        "codecs = [\"PCMA\", \"PCMU\"]\nlimits = { calls = 1, cps = 1 }",
    );
    let mut call = Call::with(&config);
    call.is_restarted_with(&config);
    call.shard
        .carrier_says(&carrier_invite("second", CARRIER_SDP));
    call.shard.next_response(100);
    let refused = call.shard.next().message;
    assert!(refused.status().is_some_and(|status| status.code() >= 400));
    call.hangs_up();
    call.shard.records.clear();
    // Nobody acknowledges the refusal, so it is repeated for a while.
    call.shard.pass(seconds(40));
    call.shard.sent.clear();
    call.shard
        .carrier_says(&carrier_invite("third", CARRIER_SDP));
    call.shard.next_response(100);
    call.shard.next_request(Method::Invite);
    // One call, one place, and those in the books are the calls'.
    assert_eq!(call.shard.core.census().calls, 1);
    call.shard.pass(seconds(60));
    let is_orphan = |what: &Happened| matches!(what, Happened::Orphans { .. });
    assert!(!call.shard.happened.iter().any(is_orphan));
}

#[test]
fn new_calls_do_not_take_the_names_of_those_that_go_on() {
    let mut call = Call::new();
    call.is_restarted();
    let before: Vec<_> = call.shard.kept.keys().copied().collect();
    assert_eq!(before.len(), 1, "it is kept again");
    call.shard.media.clear();
    call.shard
        .carrier_says(&carrier_invite("second", CARRIER_SDP));
    let Some(MediaCommand::Allocate { session, .. }) = call.shard.asked().pop() else {
        panic!("no ports are asked for")
    };
    assert!(!before.contains(&session));
}

#[test]
fn nothing_is_kept_before_the_answer_or_after_the_end_and_nothing_twice() {
    let (shard, _) = called_out("call");
    assert!(shard.kept.is_empty());
    let mut call = Call::new();
    let kept: Vec<_> = call.shard.kept.values().cloned().collect();
    assert_eq!(kept.len(), 1);
    // Nothing changes by what is only answered.
    call.shard.pass(seconds(45));
    let later: Vec<_> = call.shard.kept.values().cloned().collect();
    assert!(kept[0] == later[0]);
    // What is under way is not there yet, and what has happened is.
    call.says("INVITE", &format!("{CONTACT}{SDP}"), CARRIER_SDP);
    let later: Vec<_> = call.shard.kept.values().cloned().collect();
    assert!(kept[0] == later[0]);
    call.shard.next_response(100);
    call.shard.next_response(200);
    let ack = in_dialog(&call.ok, "ACK", call.cseq, &format!("{VIA}ack2"));
    call.shard.carrier_says(&ack);
    let later: Vec<_> = call.shard.kept.values().cloned().collect();
    assert!(kept[0] != later[0]);
    call.says("BYE", "", "");
    assert!(call.shard.kept.is_empty());
}

#[test]
fn a_peer_that_asked_for_something_nobody_heard_of_asks_again() {
    let mut call = Call::new();
    // Its offer has come, and our answer was lost with us.
    call.says("INVITE", &format!("{CONTACT}{SDP}"), CARRIER_SDP);
    call.shard.sent.clear();
    call.is_restarted();
    // It repeats it, under the number that it had.
    call.cseq -= 1;
    call.lives();
}

#[test]
fn a_call_whose_media_are_gone_ends_with_a_word_to_both() {
    let mut call = Call::new();
    call.shard.pass(seconds(3));
    call.shard.restart(config(), GONE, false);
    for _ in 0..2 {
        let bye = call.shard.next_request(Method::Bye).message;
        assert!(header(&bye, HeaderName::Reason).contains("Q.850;cause=41"));
        let ok = response(&bye, "200 OK", "", "", "");
        match String::from_utf8_lossy(&bye.request_uri()).contains("198.51.100.") {
            true => call.shard.carrier_says(&ok),
            false => call.shard.teams_says(&ok),
        }
    }
    let record = &call.shard.records[0];
    assert_eq!(record.cause.code, CauseCode::RestartLost);
    assert_eq!(record.disposition, Disposition::Answered);
    assert_eq!(record.duration_ms, 3_700);
    call.shard.settles();
    assert!(call.shard.kept.is_empty());
}

#[test]
fn what_the_configuration_of_now_has_no_trunk_for_is_lost_with_its_record() {
    let mut call = Call::new();
    call.shard.media.clear();
    let without = CONFIG
        .split("[[trunk]]\nname = \"carrier-a\"")
        .next()
        .unwrap();
    call.shard.restart(config_of(without), GONE, true);
    // Teams can be told.
    let bye = call.shard.next_request(Method::Bye).message;
    assert_eq!(
        header(&bye, HeaderName::CallId),
        header(&call.invite, HeaderName::CallId)
    );
    call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    let record = &call.shard.records[0];
    assert_eq!(record.cause.code, CauseCode::RestartLost);
    let told = record.cause.because.0.join("; ");
    assert!(
        told.contains("trunk \"carrier-a\" is not configured any more"),
        "{told}"
    );
    let is_released =
        |own: &MediaCommand| matches!(own, MediaCommand::Release { endpoint: None, .. });
    assert!(call.shard.media.iter().any(is_released));
    assert!(call.shard.kept.is_empty());
    assert_eq!(call.shard.core.census().calls, 0);
}

#[test]
fn records_behind_a_restart_show_numbers_as_the_customer_wants_them() {
    let numbers = "numbers = [\"+493023125000-+493023125999\"]";
    let config = CONFIG.replace(numbers, &format!("{numbers}\nrecord_numbers = \"cut\""));
    let mut call = Call::with(&config);
    call.shard.happened.clear();
    call.is_restarted_with(&config);
    let restored = call.shard.happened.iter().find_map(|what| match what {
        Happened::Restored(record) => Some(record),
        _ => None,
    });
    let restored = restored.expect("it goes on");
    assert!(!restored.numbers.is_full());
    assert!(!restored.calling_raw.contains("98001"), "{restored:?}");
    // Nobody can go on with it, and its record is no other than others.
    let without = config
        .split("[[trunk]]\nname = \"carrier-a\"")
        .next()
        .unwrap();
    call.shard.restart(config_of(without), GONE, true);
    let [record] = &call.shard.records[..] else {
        panic!("{:?}", call.shard.records)
    };
    assert!(!record.numbers.is_full());
    assert!(!record.calling_raw.contains("98001"), "{record:?}");
    assert_eq!(record.cause.code, CauseCode::RestartLost);
}

#[test]
fn only_calls_of_which_nothing_is_kept_end_with_the_process() {
    let mut call = Call::new();
    call.shard
        .carrier_says(&carrier_invite("second", CARRIER_SDP));
    call.shard.sent.clear();
    assert_eq!(call.shard.kept.len(), 1);
    let end = Input::Command(CommandId(1), Command::HangUpUnkept);
    call.shard.apply(end);
    assert_eq!(
        call.shard.replies.pop(),
        Some((CommandId(1), Answered::Done(1)))
    );
    let is_bye = |sent: &Sent| sent.message.method() == &Method::Bye;
    let has_refused = |sent: &Sent| {
        let status = sent.message.status();
        status.is_some_and(|status| status.code() >= 400)
    };
    assert!(call.shard.sent.iter().any(has_refused));
    assert!(!call.shard.sent.iter().any(is_bye));
    assert_eq!(call.shard.kept.len(), 1);
    call.shard.pass(seconds(60));
    call.shard.sent.clear();
    // Who talks goes on.
    call.hangs_up();
}

#[test]
fn a_call_that_was_over_and_is_still_kept_ends_without_another_record() {
    let call = Call::new();
    let kept = call.shard.kept.values().next().expect("it is kept");
    let found = Found::read(kept.octets(), true).expect("a call");
    let mut shard = Shard::with(config());
    shard.apply(Input::Found(Box::new(found.over())));
    // Who was not told before the process ended is told now.
    for _ in 0..2 {
        let bye = shard.next_request(Method::Bye).message;
        let gone = response(&bye, "481 Call/Transaction Does Not Exist", "", "", "");
        match String::from_utf8_lossy(&bye.request_uri()).contains("198.51.100.") {
            true => shard.carrier_says(&gone),
            false => shard.teams_says(&gone),
        }
    }
    shard.pass(seconds(60));
    assert!(shard.records.is_empty(), "{:?}", shard.records);
    let is_told = |what: &Happened| matches!(what, Happened::Restored(_) | Happened::Ended(_));
    assert!(!shard.happened.iter().any(is_told));
    let is_released =
        |own: &MediaCommand| matches!(own, MediaCommand::Release { endpoint: None, .. });
    assert!(shard.media.iter().any(is_released));
    assert!(shard.kept.is_empty());
    assert_eq!(shard.core.census().calls, 0);
}

#[test]
fn octets_that_are_no_call_are_refused_in_words_and_keys_are_never_printed() {
    let call = Call::new();
    let kept = call.shard.kept.values().next().expect("it is kept").clone();
    let octets = kept.octets().to_vec();
    // The relay's keys and those of Teams.
    let has = |key: &[u8]| octets.windows(key.len()).any(|part| part == key);
    assert!(has(&[9; 30]));
    let found = Found::read(&octets, true).expect("a call");
    let shown = format!(
        "{kept:?} {:?} {found:?}",
        Input::Found(Box::new(found.clone()))
    );
    assert!(
        !shown.contains("9, 9, 9") && !shown.contains("CQkJ"),
        "{shown}"
    );
    for length in 0..octets.len() {
        assert!(Found::read(&octets[..length], true).is_err());
    }
    let read = |octets: &[u8]| Found::read(octets, true).map(|_| ());
    assert_eq!(read(b"something else"), Err(Unreadable::Foreign));
    let mut later = octets.clone();
    later[8] += 1;
    let why = Found::read(&later, true).unwrap_err();
    assert!(matches!(why, Unreadable::Version { .. }));
    assert!(why.to_string().contains("reads forms 2 and 3"), "{why}");
    // Whatever is changed in it: it is read as something, or refused.
    let config = config();
    for at in (12..octets.len()).step_by(3) {
        let mut changed = octets.clone();
        changed[at] ^= 1 << (at % 8);
        if let Ok(found) = Found::read(&changed, true) {
            let mut shard = Shard::with(Arc::clone(&config));
            shard.apply(Input::Found(Box::new(found)));
        }
    }
}

/// What a program that wrote form 2 has kept of [`Call::new`], in hexadecimal digits.
const FORM_2: &str = include_str!("golden/kept_form_2.hex");

/// OPS-151: an upgrade by one form ends no call.
#[test]
fn a_call_that_the_form_before_has_kept_goes_on_and_has_its_record() {
    let digits: String = FORM_2.split_whitespace().collect();
    let octet = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    let octets: Vec<u8> = (0..digits.len()).step_by(2).map(octet).collect();
    assert_eq!(octets[8..10], [2, 0]);
    let mut shard = Shard::new();
    shard.restart(config(), GONE, true);
    let found = Found::read(&octets, true).expect("a call");
    shard.apply(Input::Found(Box::new(found)));
    assert_eq!(shard.core.census().calls, 1);
    shard.pass(seconds(5));
    shard.carrier_says(
        "BYE sip:+493023125456@192.0.2.11:5060 SIP/2.0
Via: SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bKbye
Max-Forwards: 70
From: \"Ada\" <sip:+498999998001@198.51.100.20>;tag=c1
To: <sip:+493023125456@192.0.2.11>;tag=an4rmtsudrkkko4m5xwbo
Call-ID: call
CSeq: 11 BYE
Content-Length: 0

",
    );
    shard.next_response(200);
    let bye = shard.next_request(Method::Bye).message;
    shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    shard.pass(seconds(60));
    let [record] = &shard.records[..] else {
        panic!("one record");
    };
    assert_eq!(record.disposition, Disposition::Answered);
    assert_eq!(record.cause.code, CauseCode::NormalClearing);
    assert_eq!(record.duration_ms, 5_700);
    assert_eq!(record.called, "+493023125456");
    assert_eq!(record.egress[0].trunk.as_str(), "teams-contoso");
    // What that form did not have.
    let added = (record.country_to, &record.prefix_id, &record.charged_party);
    assert_eq!(added, (None, &None, &None));
    assert!(record.custom.is_empty() && record.egress[0].custom.is_empty());
    // Nothing is guessed, of this form either.
    for length in 0..octets.len() {
        assert!(Found::read(&octets[..length], true).is_err());
    }
    for form in [1, 4] {
        let mut other = octets.clone();
        other[8] = form;
        let why = Found::read(&other, true).map(|_| ());
        let found = u16::from(form);
        assert_eq!(why, Err(Unreadable::Version { found }));
    }
}
