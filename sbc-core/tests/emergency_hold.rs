//! Who may end a call for help: what becomes of it when its caller hangs up (SIP-1405).

use crate::world;

use media_api::{Command as MediaCommand, EndpointId, Event as MediaEvent};
use sbc_core::cause::{CauseCode, EndedBy};
use sbc_core::input::Input;
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::{self, callee_request};
use world::*;

/// A call to those who help, whom the carrier reaches, answered.
pub(crate) struct Help {
    pub(crate) shard: Shard,
    invite: Message,
    ok: Message,
}

/// Where the service is reached.
const CONTACT: &str = "Contact: <sip:192.0.2.11:5060>\n";

/// Whom the service wants to have the call.
const REFER_TO: &str = "Refer-To: <sip:+493023125457@192.0.2.11>\n";

/// The caller's messages come over this.
const VIA: &str = "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bK";

impl Help {
    pub(crate) fn with(keys: &str) -> Self {
        Self::to("112", keys)
    }

    fn to(number: &str, keys: &str) -> Self {
        Self::under("carrier-a", number, keys)
    }

    /// With these keys of a trunk.
    fn under(trunk: &str, number: &str, keys: &str) -> Self {
        let numbers = "numbers = [\"+493023125000-+493023125999\"]";
        let name = &format!("name = \"{trunk}\"");
        let config = CONFIG
            .replace(numbers, &format!("{numbers}\nemergency = [\"112\"]"))
            .replacen(name, &format!("{name}\n{keys}"), 1);
        let mut shard = Shard::with(config_of(&config));
        let invite = teams_invite("help").replace("sip:+498999998001@", &format!("sip:{number}@"));
        shard.teams_says(&invite);
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        let ok = response(&invite, "200 OK", "x1", CARRIER_CONTACT, CARRIER_SDP);
        shard.carrier_says(&ok);
        shard.next_request(Method::Ack);
        let ok = shard.next_response(200).message;
        shard.teams_says(&in_dialog(&ok, "ACK", 1, &format!("{VIA}ack")));
        assert!(shard.sent.is_empty());
        Self { shard, invite, ok }
    }

    pub(crate) fn caller_hangs_up(&mut self, number: u32) -> u16 {
        let via = format!("{VIA}bye{number}");
        let bye = in_dialog(&self.ok, "BYE", number, &via);
        self.shard.teams_says(&bye);
        let answer = self.shard.next().message;
        answer.status().expect("an answer").code()
    }

    /// The service says something within the call, with these lines.
    fn service_says(&mut self, method: &str, number: u32, lines: &str) {
        self.service_describes(method, number, lines, "");
    }

    fn service_describes(&mut self, method: &str, number: u32, lines: &str, sdp: &str) {
        let request = callee_request(&self.invite, "x1", method, number, lines);
        let request = request.replace("SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bK", call::VIA);
        let head = request.replace("Content-Length: 0\n\n", "");
        self.shard.carrier_says(&with_body(&head, sdp));
    }

    /// The service hangs up; whether anybody else is told, and by whom the record says it was ended.
    fn service_hangs_up(&mut self) -> (bool, EndedBy, String) {
        self.service_says("BYE", 9, "");
        self.shard.next_response(200);
        let is_told = !self.shard.sent.is_empty();
        if is_told {
            let bye = self.shard.next_request(Method::Bye).message;
            self.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
        }
        self.shard.settles();
        let record = self.shard.records.pop().expect("a record");
        (is_told, record.cause.by, record.cause.because.0.join("; "))
    }
}

#[test]
fn who_calls_for_help_may_hang_up_as_everybody_where_nothing_is_said() {
    for keys in ["", "emergency_hold = \"release\""] {
        let mut help = Help::with(keys);
        assert_eq!(help.caller_hangs_up(2), 200);
        let bye = help.shard.next_request(Method::Bye).message;
        help.shard
            .carrier_says(&response(&bye, "200 OK", "", "", ""));
        help.shard.settles();
        assert_eq!(help.shard.records[0].cause.by, EndedBy::A);
    }
    // Nor does it concern any other call.
    for keys in ["emergency_hold = \"hold\"", "emergency_hold = \"refuse\""] {
        let mut usual = Help::to("+498999998001", keys);
        assert_eq!(usual.caller_hangs_up(2), 200);
        usual.shard.next_request(Method::Bye);
    }
}

#[test]
fn those_who_help_stay_on_the_line_until_they_hang_up() {
    let mut help = Help::with("emergency_hold = \"hold\"");
    assert_eq!(help.caller_hangs_up(2), 200);
    assert!(help.shard.sent.is_empty() && help.shard.records.is_empty());
    let is_freed = |command: &MediaCommand| matches!(command, MediaCommand::Release { endpoint: Some(own), .. } if own.0 == 0);
    assert!(help.shard.media.iter().any(is_freed));
    help.shard.pass(Duration::from_secs(90));
    // They are answered, and nobody can be transferred who has gone.
    help.service_describes("INVITE", 5, CONTACT, CARRIER_SDP);
    help.shard.next_response(100);
    help.shard.next_response(200);
    help.service_says("ACK", 5, "");
    help.service_says("REFER", 6, &format!("{CONTACT}{REFER_TO}"));
    help.shard.next_response(603);
    let (is_told, by, because) = help.service_hangs_up();
    assert!(!is_told);
    assert_eq!(by, EndedBy::B);
    assert_eq!(
        because,
        "BYE on leg 1; the caller for help had gone 90 s before"
    );
}

#[test]
fn a_line_is_held_for_half_an_hour_at_most() {
    let mut help = Help::with("emergency_hold = \"hold\"\nsession_timer = false");
    assert_eq!(help.caller_hangs_up(2), 200);
    help.shard.pass(Duration::from_secs(30 * 60 - 1));
    help.shard
        .sent
        .retain(|sent| *sent.message.method() == Method::Bye);
    assert!(help.shard.sent.is_empty(), "{:?}", help.shard.records);
    help.shard.pass(Duration::from_secs(1));
    let bye = help.shard.next_request(Method::Bye).message;
    help.shard
        .carrier_says(&response(&bye, "200 OK", "", "", ""));
    help.shard.settles();
    assert_eq!(help.shard.records[0].cause.code, CauseCode::LimitReached);
}

#[test]
fn where_the_line_is_not_given_up_the_callers_bye_is_refused() {
    let mut help = Help::with("emergency_hold = \"refuse\"");
    for number in 2..4 {
        assert_eq!(help.caller_hangs_up(number), 403);
        assert!(help.shard.sent.is_empty() && help.shard.records.is_empty());
    }
    let (is_told, by, _) = help.service_hangs_up();
    assert!(is_told, "the caller is there still");
    assert_eq!(by, EndedBy::B);
}

#[test]
fn a_caller_that_is_lost_leaves_those_who_help_on_the_line() {
    for (keys, stays) in [
        ("", false),
        ("emergency_hold = \"hold\"", true),
        ("emergency_hold = \"refuse\"", true),
    ] {
        let mut help = Help::with(keys);
        // Those who help put the caller on hold, whose equipment does not know the call any more.
        help.service_describes(
            "INVITE",
            5,
            CONTACT,
            &CARRIER_SDP.replace("sendrecv", "sendonly"),
        );
        help.shard.next_response(100);
        help.shard.next_response(200);
        let hold = help.shard.next_request(Method::Invite).message;
        help.service_says("ACK", 5, "");
        help.shard
            .teams_says(&response(&hold, "481 Gone", "", "", ""));
        let to_the_service = |sent: &Sent| text(sent).contains("198.51.100.20");
        let is_ended = help
            .shard
            .sent
            .iter()
            .any(|sent| *sent.message.method() == Method::Bye && to_the_service(sent));
        assert_eq!(is_ended, !stays, "{keys}");
        if stays {
            help.shard.sent.clear();
            let (_, by, because) = help.service_hangs_up();
            assert_eq!(by, EndedBy::B);
            assert!(
                because.contains("the caller for help had gone"),
                "{because}"
            );
        }
    }
}

#[test]
fn a_caller_that_hangs_up_while_a_colleague_rings_leaves_the_line_to_who_has_answered() {
    let mut help = Help::with("emergency_hold = \"hold\"");
    help.service_says("REFER", 6, &format!("{CONTACT}{REFER_TO}"));
    help.shard.next_response(202);
    let mut sent: Vec<Message> = help.shard.sent.drain(..).map(|sent| sent.message).collect();
    let to_target = sent
        .iter()
        .position(|message| *message.method() == Method::Invite)
        .expect("the colleague is called");
    let target = sent.remove(to_target);
    let first = sent.iter().find(|own| *own.method() == Method::Notify);
    let first = response(first.expect("the service is told"), "200 OK", "", "", "");
    help.shard.carrier_says(&first);
    let ringing = response(&target, "180 Ringing", "t1", CARRIER_CONTACT, "");
    help.shard.carrier_says(&ringing);
    help.shard.sent.clear();
    assert_eq!(help.caller_hangs_up(2), 200);
    let sent: Vec<Message> = help.shard.sent.drain(..).map(|sent| sent.message).collect();
    let methods: Vec<Method> = sent.iter().map(|own| own.method().clone()).collect();
    assert!(methods.contains(&Method::Cancel), "{methods:?}");
    assert!(!methods.contains(&Method::Bye), "{methods:?}");
    let told: Vec<String> = sent.iter().map(call::body).collect();
    assert!(
        told.iter().any(|body| body.starts_with("SIP/2.0 487")),
        "{told:?}"
    );
    let joins = |command: &MediaCommand| matches!(command, MediaCommand::Update { .. });
    let dropped = help.shard.media.iter().rposition(
        |command| matches!(command, MediaCommand::Release { endpoint: Some(own), .. } if own.0 == 0),
    );
    let after = &help.shard.media[dropped.expect("its port is free")..];
    assert!(!after.iter().any(joins), "{after:?}");
    help.shard.pass(Duration::from_secs(60));
    help.shard.sent.clear();
    let (is_told, by, _) = help.service_hangs_up();
    assert_eq!((is_told, by), (false, EndedBy::B));
}

#[test]
fn silence_ends_no_call_that_only_those_who_help_may_end() {
    for (keys, lives) in [
        ("", false),
        ("emergency_hold = \"hold\"", true),
        ("emergency_hold = \"refuse\"", true),
    ] {
        for endpoint in [EndpointId(0), EndpointId(1)] {
            let mut help = Help::with(keys);
            let session = help.shard.media.iter().find_map(|command| match command {
                MediaCommand::Allocate { session, .. } => Some(*session),
                _ => None,
            });
            help.shard.apply(Input::Media(MediaEvent::Silent {
                session: session.expect("ports were asked for"),
                endpoint,
                silent_ms: 300_000,
            }));
            // Elsewhere whoever is silent is asked whether he is there.
            assert_eq!(help.shard.sent.is_empty(), lives, "{keys}");
            let asks = |sent: &Sent| *sent.message.method() == Method::Options;
            assert!(help.shard.sent.iter().all(asks), "{keys}");
        }
    }
}

#[test]
fn those_who_help_may_transfer_the_call() {
    for keys in [
        "",
        "emergency_hold = \"hold\"",
        "emergency_hold = \"refuse\"",
    ] {
        let mut help = Help::with(keys);
        help.service_says("REFER", 6, &format!("{CONTACT}{REFER_TO}"));
        help.shard.next_response(202);
    }
}

/// Whoever those who help hand the call to need not keep time either.
#[test]
fn who_comes_into_a_call_for_help_is_not_hung_up_on_for_its_session_timer() {
    let mut help = Help::with("");
    help.service_says("REFER", 6, &format!("{CONTACT}{REFER_TO}"));
    help.shard.next_response(202);
    help.shard.next_request(Method::Notify);
    let invite = help.shard.next_request(Method::Invite).message;
    let lines = format!("{TEAMS_CONTACT}Require: timer\nSession-Expires: 300;refresher=uas\n");
    let answer = response(&invite, "200 OK", "z1", &lines, TEAMS_SDP);
    help.shard.teams_says(&answer);
    help.shard.next_request(Method::Ack);
    help.shard.pass(Duration::from_secs(400));
    let to_target = |sent: &Sent| {
        let id = call::header(&sent.message, HeaderName::CallId);
        id == call::header(&invite, HeaderName::CallId)
    };
    let is_bye = |sent: &Sent| *sent.message.method() == Method::Bye && to_target(sent);
    assert!(!help.shard.sent.iter().any(is_bye));
    assert!(help.shard.records.is_empty(), "the call goes on");
}

/// Those who help take the caller into another call of theirs: it is a call for help as the first was.
#[test]
fn a_caller_for_help_that_is_handed_to_another_call_is_protected_there() {
    for keys in ["", "emergency_hold = \"refuse\""] {
        let mut help = Help::with(keys);
        help.shard
            .carrier_says(&carrier_invite("colleague", CARRIER_SDP));
        help.shard.next_response(100);
        let invite = help.shard.next_request(Method::Invite).message;
        let answer = response(&invite, "200 OK", "y1", TEAMS_CONTACT, TEAMS_SDP);
        help.shard.teams_says(&answer);
        help.shard.next_request(Method::Ack);
        let ok = help.shard.next_response(200).message;
        let ack = in_dialog(&ok, "ACK", 10, &format!("{}ack", call::VIA));
        help.shard.carrier_says(&ack);
        let from = call::header(&help.invite, HeaderName::From);
        let ours = from.split(";tag=").nth(1).expect("a tag");
        let id = call::header(&help.invite, HeaderName::CallId);
        let refer = in_dialog(&ok, "REFER", 11, &format!("{}refer", call::VIA));
        let lines = format!(
            "{CONTACT}Refer-To: <sip:+493023125457@192.0.2.11?Replaces={id}%3Bto-tag%3D{ours}%3Bfrom-tag%3Dx1>\n"
        );
        help.shard.carrier_says(
            &refer.replace("Content-Length: 0", &format!("{lines}Content-Length: 0")),
        );
        help.shard.next_response(202);
        let notify = help.shard.next_request(Method::Notify).message;
        help.shard
            .carrier_says(&response(&notify, "200 OK", "", "", ""));
        let bye = help.shard.next_request(Method::Bye).message;
        help.shard
            .carrier_says(&response(&bye, "200 OK", "", "", ""));
        let again = help.shard.next_request(Method::Invite).message;
        let answer = response(&again, "200 OK", "", TEAMS_CONTACT, TEAMS_SDP);
        help.shard.teams_says(&answer);
        help.shard.next_request(Method::Ack);
        let leaves = in_dialog(&ok, "BYE", 12, &format!("{}leaves", call::VIA));
        help.shard.carrier_says(&leaves);
        help.shard.sent.clear();
        let ended = help.shard.records.len();
        let mut sessions = help
            .shard
            .media
            .iter()
            .rev()
            .filter_map(|command| match command {
                MediaCommand::Allocate { session, .. } => Some(*session),
                _ => None,
            });
        let session = sessions.next().expect("ports were asked for");
        help.shard.apply(Input::Media(MediaEvent::Silent {
            session,
            endpoint: EndpointId(1),
            silent_ms: 300_000,
        }));
        help.shard.pass(Duration::from_secs(10));
        let is_bye = |sent: &Sent| *sent.message.method() == Method::Bye;
        assert!(!help.shard.sent.iter().any(is_bye), "{keys}");
        assert_eq!(help.shard.records.len(), ended, "{keys}");
    }
}

/// Wherever the caller for help stands after a transfer: who gives help may leave, and the caller may not.
#[test]
fn a_caller_for_help_that_comes_to_the_called_side_is_protected_there() {
    let mut help = Help::under("teams-contoso", "112", "emergency_hold = \"refuse\"");
    help.shard.teams_says(&teams_invite("colleague"));
    help.shard.next_response(100);
    let invite = help.shard.next_request(Method::Invite).message;
    let answer = response(&invite, "200 OK", "y1", CARRIER_CONTACT, CARRIER_SDP);
    help.shard.carrier_says(&answer);
    help.shard.next_request(Method::Ack);
    let ok = help.shard.next_response(200).message;
    help.shard
        .teams_says(&in_dialog(&ok, "ACK", 1, &format!("{VIA}ackc")));
    // The service, which is called in that one, takes the caller of the other one there.
    let from = call::header(&help.invite, HeaderName::From);
    let ours = from.split(";tag=").nth(1).expect("a tag");
    let id = call::header(&help.invite, HeaderName::CallId);
    let lines = format!(
        "{CONTACT}Refer-To: <sip:+493023125457@192.0.2.11?Replaces={id}%3Bto-tag%3D{ours}%3Bfrom-tag%3Dx1>\n"
    );
    let first = std::mem::replace(&mut help.invite, invite);
    let refer = callee_request(&help.invite, "y1", "REFER", 3, &lines);
    let refer = refer.replace("SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bK", call::VIA);
    help.shard.carrier_says(&refer);
    help.shard.next_response(202);
    let notify = help.shard.next_request(Method::Notify).message;
    help.shard
        .carrier_says(&response(&notify, "200 OK", "", "", ""));
    let bye = help.shard.next_request(Method::Bye).message;
    help.shard
        .carrier_says(&response(&bye, "200 OK", "", "", ""));
    let again = help.shard.next_request(Method::Invite).message;
    assert_ne!(
        call::header(&again, HeaderName::CallId),
        call::header(&first, HeaderName::CallId)
    );
    let answer = response(&again, "200 OK", "", TEAMS_CONTACT, TEAMS_SDP);
    help.shard.teams_says(&answer);
    help.shard.pass(Duration::from_millis(10));
    help.shard.sent.clear();
    assert_eq!(help.caller_hangs_up(5), 403, "the caller may not leave");
}

/// Who is transferred to those who help has called for help, whichever side it stands on.
#[test]
fn who_is_transferred_to_those_who_help_may_not_hang_up_and_they_may() {
    let numbers = "numbers = [\"+493023125000-+493023125999\"]";
    let name = "name = \"carrier-a\"";
    let help = "[[route]]\nname = \"help\"\nmatch = { emergency = true }\nto = [{ trunk = \"carrier-a\" }]\n";
    let config = CONFIG
        .replace(numbers, &format!("{numbers}\nemergency = [\"112\"]"))
        .replacen(name, &format!("{name}\nemergency_hold = \"refuse\""), 1);
    let mut usual = call::Call::with(&format!("{config}{help}"));
    let contact = "Contact: <sip:gw@198.51.100.20:5060>\n";
    usual.says(
        "REFER",
        &format!("Refer-To: <sip:112@192.0.2.11>\n{contact}"),
        "",
    );
    usual.shard.next_response(202);
    let notify = usual.shard.next_request(Method::Notify).message;
    usual
        .shard
        .carrier_says(&response(&notify, "200 OK", "", "", ""));
    let invite = usual.shard.next_request(Method::Invite).message;
    let answer = response(&invite, "200 OK", "h1", CARRIER_CONTACT, CARRIER_SDP);
    usual.shard.carrier_says(&answer);
    usual.shard.pass(Duration::from_millis(10));
    usual.shard.sent.clear();
    usual.teams_says("BYE", 1, "");
    usual.shard.next_response(403);
    let bye = callee_request(&invite, "h1", "BYE", 1, "");
    let bye = bye.replace("SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bK", call::VIA);
    usual.shard.carrier_says(&bye);
    usual.shard.next_response(200);
}
