//! INFO and MESSAGE within a call, by hand: what the other party gets, and who answers.

use crate::world;

use sbc_core::config::Config;
use sbc_core::media::Dtmf;
use sbc_core::sip::{HeaderName, Message, Method};
use std::sync::Arc;
use std::time::Duration;
use world::call::*;
use world::*;

/// Both trunks let both cross, and digits travel so on both.
pub(crate) fn config(dtmf: Dtmf) -> Arc<Config> {
    let word = match dtmf {
        Dtmf::Rfc4733 => "rfc4733",
        Dtmf::Info => "info",
        Dtmf::Inband => "inband",
        Dtmf::Auto => "auto",
    };
    with_digits_of_teams(&text(&format!("dtmf = \"{word}\"\n")), dtmf)
}

fn text(of_carrier: &str) -> String {
    CONFIG
        .replace(
            "codecs = [\"PCMA\", \"PCMU\"]\n",
            &format!(
                "codecs = [\"PCMA\", \"PCMU\"]\ninfo = \"relay\"\nmessage = \"relay\"\n{of_carrier}"
            ),
        )
        .replace(
            "preset = \"teams\"\n",
            "preset = \"teams\"\ninfo = \"relay\"\nmessage = \"relay\"\n",
        )
}

fn up(config: Arc<Config>) -> Call {
    Call::of(Shard::with(config))
}

pub(crate) const RELAY: &str = "Content-Type: application/dtmf-relay\n";
pub(crate) const FIVE: &str = "Signal=5\nDuration=160\n";
pub(crate) const BY_INFO: Dtmf = Dtmf::Info;

fn carried(call: &mut Call) -> Message {
    call.shard.next_request(Method::Info).message
}

fn answers(call: &mut Call, request: &Message, start: &str) {
    call.shard.teams_says(&response(request, start, "", "", ""));
}

#[test]
fn a_digit_in_info_reaches_the_other_party_whose_answer_counts() {
    let mut call = up(config(BY_INFO));
    call.says("INFO", RELAY, FIVE);
    let info = carried(&mut call);
    assert_eq!(&info.body()[..], b"Signal=5\r\nDuration=160\r\n");
    assert_eq!(
        header(&info, HeaderName::ContentType),
        "application/dtmf-relay"
    );
    assert!(
        call.shard.sent.is_empty(),
        "answered before the other party did"
    );
    answers(&mut call, &info, "200 OK");
    call.refused(200);

    // What would end a dialog is not said of another one; the rest is.
    for (said, told) in [
        ("481 Gone", 500),
        ("488 No", 488),
        ("408 No", 500),
        ("480 No", 500),
        ("503 No", 503),
        ("415 No", 415),
    ] {
        call.says("INFO", RELAY, FIVE);
        let info = carried(&mut call);
        answers(&mut call, &info, said);
        call.refused(told);
    }
    call.lives();
}

#[test]
fn digits_keep_their_order_and_one_is_on_its_way_at_a_time() {
    let mut call = up(config(BY_INFO));
    for digit in 1..=9 {
        call.says("INFO", RELAY, &format!("Signal={digit}\n"));
    }
    // No more than eight wait.
    let first = carried(&mut call);
    assert!(call.refused(500).has(HeaderName::RetryAfter));
    assert!(call.shard.sent.is_empty());
    let mut next = first;
    for digit in 1..=8 {
        assert!(
            next.body()
                .starts_with(format!("Signal={digit}").as_bytes())
        );
        answers(&mut call, &next, "200 OK");
        let mut sent: Vec<Message> = call.shard.sent.drain(..).map(|sent| sent.message).collect();
        assert_eq!(sent.len(), if digit < 8 { 2 } else { 1 });
        let info = sent.iter().position(|message| message.is_request());
        if let Some(at) = info {
            next = sent.remove(at);
        }
        assert_eq!(sent[0].status().unwrap().code(), 200);
    }
    call.lives();
}

#[test]
fn what_crosses_has_one_hop_less_and_none_left_goes_nowhere() {
    let mut call = up(config(BY_INFO));
    let with_hops = |call: &mut Call, hops: &str| {
        call.cseq += 1;
        let via = format!("{VIA}{}", call.cseq);
        let bare = in_dialog(&call.ok, "INFO", call.cseq, &via);
        assert!(bare.contains("Max-Forwards: 70\n"));
        let info = bare
            .replace("Max-Forwards: 70\n", hops)
            .replace("Content-Length: 0\n\n", RELAY);
        call.shard
            .carrier_says(&format!("{info}Content-Length: 8\n\nSignal=5"));
    };
    for (said, left) in [
        ("Max-Forwards: 9\n", "8"),
        ("Max-Forwards: 1\n", "0"),
        ("", "69"),
    ] {
        with_hops(&mut call, said);
        let info = carried(&mut call);
        assert_eq!(header(&info, HeaderName::MaxForwards), left);
        answers(&mut call, &info, "200 OK");
        call.refused(200);
    }
    with_hops(&mut call, "Max-Forwards: 0\n");
    call.refused(483);
    call.lives();
}

#[test]
fn a_digit_that_travels_in_the_media_is_not_told_again() {
    // Where both have tones, INFO waits for its tone and never crosses itself.
    let mut call = up(config(Dtmf::Inband));
    call.says("INFO", RELAY, FIVE);
    call.refused(200);
    call.shard.pass(std::time::Duration::from_millis(500));
    let is_dialled =
        |command: &media_api::Command| matches!(command, media_api::Command::Dial { .. });
    assert!(!call.shard.media.iter().any(is_dialled) && call.shard.sent.is_empty());
    call.lives();
    // Where both have events INFO never crosses itself.
    let mut call = up(config(Dtmf::Rfc4733));
    call.says("INFO", RELAY, FIVE);
    call.refused(200);
    assert!(call.shard.sent.is_empty());
    call.lives();
}

#[test]
fn what_info_may_not_carry_is_refused_and_the_call_lives() {
    let mut call = up(config(BY_INFO));
    for (lines, body, code) in [
        ("Content-Type: application/dtmf\n", "x", 400),
        (RELAY, "Signal=55\n", 400),
        ("Content-Type: application/isup\n", "abc", 415),
        (
            "Info-Package: nothing\nContent-Type: text/plain\n",
            "abc",
            469,
        ),
        ("", "", 200),
    ] {
        call.says("INFO", lines, body);
        let answer = call.refused(code);
        match code {
            415 => assert_eq!(
                header(&answer, HeaderName::Accept),
                "application/dtmf-relay, application/dtmf"
            ),
            469 => assert_eq!(header(&answer, HeaderName::RecvInfo), ""),
            _ => {}
        }
        assert_eq!(answer.has(HeaderName::RecvInfo), code == 469);
        assert!(call.shard.sent.is_empty(), "{lines}{body}");
    }
    call.lives();
}

#[test]
fn a_message_within_a_call_crosses_as_text_only() {
    let mut call = up(config(Dtmf::Rfc4733));
    call.says("MESSAGE", "Content-Type: text/plain\n", "hello\n");
    let message = call.shard.next_request(Method::Message).message;
    assert_eq!(&message.body()[..], b"hello\r\n");
    answers(&mut call, &message, "202 Accepted");
    call.refused(200);
    call.says("MESSAGE", "Content-Type: text/html\n", "<p>");
    let refused = call.refused(415);
    assert_eq!(header(&refused, HeaderName::Accept), "text/plain");
    call.lives();
}

#[test]
fn a_party_whose_trunk_takes_none_gets_none() {
    let only_carrier = text("").replace(
        "preset = \"teams\"\ninfo = \"relay\"\nmessage = \"relay\"\n",
        "preset = \"teams\"\n",
    );
    let mut call = Call::with(&only_carrier);
    call.says("MESSAGE", "Content-Type: text/plain\n", "hello\n");
    call.refused(488);
    call.teams_says("INFO", 1, "");
    call.refused(405);
    call.lives();
}

#[test]
fn a_request_that_waits_is_answered_when_the_call_ends() {
    let mut call = up(config(BY_INFO));
    call.says("INFO", RELAY, FIVE);
    let info = carried(&mut call);
    call.says("BYE", "", "");
    let mut codes: Vec<u16> = Vec::new();
    let mut bye = None;
    for sent in call.shard.sent.drain(..).collect::<Vec<_>>() {
        match sent.message.status() {
            Some(status) => codes.push(status.code()),
            None => bye = Some(sent.message),
        }
    }
    codes.sort_unstable();
    assert_eq!(codes, [200, 487]);
    // Its answer comes late and changes nothing.
    answers(&mut call, &info, "200 OK");
    assert!(call.shard.sent.is_empty());
    answers(&mut call, &bye.unwrap(), "200 OK");
    assert_eq!(call.shard.records.len(), 1);
    call.shard.settles();
}

#[test]
fn a_party_that_never_answers_info_costs_nobody_the_call() {
    let mut call = up(config(BY_INFO));
    call.says("INFO", RELAY, FIVE);
    let first = carried(&mut call);
    call.says("INFO", RELAY, "Signal=6\n");
    // Its sender must not take silence for the end of the call: both are answered in time.
    let finals = |call: &mut Call| -> Vec<u16> {
        let sent = call.shard.sent.drain(..);
        let statuses = sent.filter_map(|sent| sent.message.status());
        let finals = statuses.filter(|status| status.is_final());
        finals.map(|status| status.code()).collect()
    };
    call.shard.pass(Duration::from_secs(9));
    assert_eq!(finals(&mut call), [500, 500]);
    // A late answer concerns nobody any more, and the next digit goes out after it.
    call.says("INFO", RELAY, "Signal=7\n");
    assert!(call.shard.sent.is_empty());
    answers(&mut call, &first, "200 OK");
    let next = carried(&mut call);
    assert!(next.body().starts_with(b"Signal=7"));
    assert!(call.shard.sent.is_empty());
    answers(&mut call, &next, "200 OK");
    call.refused(200);
    // One that is never answered at all costs the same.
    call.says("INFO", RELAY, FIVE);
    carried(&mut call);
    call.shard.pass(Duration::from_secs(40));
    assert_eq!(finals(&mut call), [500]);
    assert!(call.shard.records.is_empty());
    call.lives();
}

#[test]
fn whoever_goes_on_sending_is_answered_in_time_all_the_same() {
    let mut call = up(config(BY_INFO));
    call.says("INFO", RELAY, FIVE);
    carried(&mut call);
    let first = call.cseq;
    for _ in 0..4 {
        call.shard.pass(Duration::from_secs(5));
        call.says("INFO", RELAY, FIVE);
    }
    // The other party says nothing, and 20 s have passed.
    let is_first = |sent: &Sent| {
        header(&sent.message, HeaderName::CSeq) == format!("{first} INFO")
            && sent
                .message
                .status()
                .is_some_and(|status| status.is_final())
    };
    assert!(call.shard.sent.iter().any(is_first));
}

/// Somebody else who is late has nothing to do with it.
#[test]
fn each_request_has_its_own_time() {
    let mut call = up(config(BY_INFO));
    let finals = |call: &mut Call| -> Vec<u16> {
        let sent = call.shard.sent.drain(..);
        let statuses = sent.filter_map(|sent| sent.message.status());
        let finals = statuses.filter(|status| status.is_final());
        finals.map(|status| status.code()).collect()
    };
    call.says("INFO", RELAY, FIVE);
    carried(&mut call);
    call.shard.pass(Duration::from_secs(7));
    // One of the other party's, and one more behind the first.
    let text = format!("{RELAY}Content-Length: 8\n\nSignal=5");
    let bare = callee_request(&call.invite, "x1", "INFO", 1, "");
    call.shard
        .teams_says(&bare.replace("Content-Length: 0\n\n", &text));
    call.says("INFO", RELAY, "Signal=6\n");
    assert_eq!(finals(&mut call), [0; 0]);
    call.shard.pass(Duration::from_secs(2));
    assert_eq!(finals(&mut call), [500]);
    call.shard.pass(Duration::from_secs(5));
    assert_eq!(finals(&mut call), [0; 0]);
    call.shard.pass(Duration::from_secs(2));
    assert_eq!(finals(&mut call), [500, 500]);
    call.lives();
}

/// Until it is answered, the call may have been transferred: whoever got it has no part in it any more.
#[test]
fn a_digit_is_answered_to_whoever_pressed_it_though_the_other_party_has_transferred_the_call() {
    for answer in [Some("200 OK"), Some("415 No"), None] {
        let mut call = up(config(BY_INFO));
        call.says("INFO", RELAY, FIVE);
        let pressed = call.cseq;
        let info = carried(&mut call);
        let target = "sip:sip.pstnhub.microsoft.com:5061;transport=tls;x-m=8:orgid:0000aaaa-1111";
        let refer = format!("REFER-TO: <{target}>\nCONTACT: <sip:api.example.com:443;x-i=1>\n");
        call.teams_says("REFER", 1, &refer);
        call.shard.next_response(202);
        let notify = call.shard.next_request(Method::Notify).message;
        answers(&mut call, &notify, "200 OK");
        let invite = call.shard.next_request(Method::Invite).message;
        let taken = response(&invite, "200 OK", "z1", TEAMS_CONTACT, TEAMS_SDP);
        call.shard.teams_says(&taken);
        call.shard.next_request(Method::Ack);
        let last = call.shard.next_request(Method::Notify).message;
        answers(&mut call, &last, "200 OK");
        if answer.is_none() {
            // What it leaves behind has no answer.
            call.teams_says("BYE", 2, "");
        }
        let told = |call: &mut Call| -> Vec<u16> {
            let sent = call.shard.sent.drain(..);
            let of_info =
                |sent: &Sent| header(&sent.message, HeaderName::CSeq) == format!("{pressed} INFO");
            let statuses = sent
                .filter(of_info)
                .filter_map(|sent| sent.message.status());
            let finals = statuses.filter(|status| status.is_final());
            finals.map(|status| status.code()).collect()
        };
        assert_eq!(told(&mut call), []);
        let wanted = match answer {
            Some(start) => {
                answers(&mut call, &info, start);
                start[..3].parse().unwrap()
            }
            None => {
                call.shard.pass(Duration::from_secs(9));
                500
            }
        };
        assert_eq!(told(&mut call), [wanted], "{answer:?}");
    }
}
