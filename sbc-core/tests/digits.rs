//! Keys that one party presses and the other is told of, by hand: INFO, events and tones.

use crate::world;

use media_api::{
    Command, Dialled, Digit, EndpointId, Event as MediaEvent, Intake, SessionId, Signal,
};
use sbc_core::config::Config;
use sbc_core::event::Happened;
use sbc_core::input::Input;
use sbc_core::media::Dtmf;
use sbc_core::sip::{HeaderName, Message, Method};
use std::sync::Arc;
use std::time::Duration;
use world::call::*;
use world::*;

const CARRIER: EndpointId = EndpointId(0);
const TEAMS: EndpointId = EndpointId(1);
const RELAY: &str = "Content-Type: application/dtmf-relay\n";

/// How the carrier's digits travel, and those of the other trunk.
fn config(carrier: &str, other: &str) -> Arc<Config> {
    let text = CONFIG.replace(
        "codecs = [\"PCMA\", \"PCMU\"]\n",
        &format!("codecs = [\"PCMA\", \"PCMU\"]\ndtmf = \"{carrier}\"\n"),
    );
    let dtmf = match other {
        "rfc4733" => Dtmf::Rfc4733,
        "inband" => Dtmf::Inband,
        "info" => Dtmf::Info,
        _ => panic!("digits do not travel by {other}"),
    };
    with_digits_of_teams(&text, dtmf)
}

fn up(carrier: &str, teams: &str) -> Call {
    Call::of(Shard::with(config(carrier, teams)))
}

fn session(call: &Call) -> SessionId {
    let mut commands = call.shard.media.iter();
    let session = commands.find_map(|command| match command {
        Command::Allocate { session, .. } => Some(*session),
        _ => None,
    });
    session.expect("ports were asked for")
}

/// The relay reports a digit.
fn heard(call: &mut Call, endpoint: EndpointId, symbol: char, duration_ms: u16) {
    let event = MediaEvent::Digit {
        session: session(call),
        endpoint,
        digit: Digit::from_char(symbol).unwrap(),
        duration_ms,
    };
    call.shard.apply(Input::Media(event));
}

/// The relay reports that an event begins that it lets pass.
fn begins(call: &mut Call, endpoint: EndpointId, symbol: char) {
    let event = MediaEvent::DigitBegun {
        session: session(call),
        endpoint,
        digit: Digit::from_char(symbol).unwrap(),
    };
    call.shard.apply(Input::Media(event));
}

/// The caller tells of a key in INFO, which is answered at once.
fn by_info(call: &mut Call, symbol: char) {
    call.says("INFO", RELAY, &format!("Signal={symbol}\nDuration=100\n"));
    call.refused(200);
}

/// What the relay was told to dial.
fn dialled(call: &Call) -> Vec<(EndpointId, char, u16, Signal)> {
    let commands = call.shard.media.iter();
    let dialled = commands.filter_map(|command| match command {
        Command::Dial {
            endpoint,
            dialled:
                Dialled {
                    digit,
                    duration_ms,
                    signal,
                },
            ..
        } => Some((*endpoint, digit.symbol(), *duration_ms, *signal)),
        _ => None,
    });
    dialled.collect()
}

/// What the relay was told to do with digits, the latest of each party.
fn intakes(call: &Call) -> [Intake; 2] {
    let mut intakes = [Intake::Pass; 2];
    for command in &call.shard.media {
        if let Command::Take {
            endpoint, intake, ..
        } = command
        {
            intakes[usize::from(endpoint.0)] = *intake;
        }
    }
    intakes
}

/// Our next INFO to the carrier.
fn told(call: &mut Call) -> (Message, String) {
    let info = call.shard.next_request(Method::Info).message;
    assert_eq!(
        header(&info, HeaderName::ContentType),
        "application/dtmf-relay"
    );
    let text = body(&info);
    (info, text)
}

fn carrier_answers(call: &mut Call, request: &Message, start: &str) {
    call.shard
        .carrier_says(&response(request, start, "", "", ""));
}

fn has_events(message: &Message) -> bool {
    body(message).contains("telephone-event/8000") && body(message).contains("a=fmtp:101 0-1")
}

#[test]
fn info_becomes_an_event_and_the_other_leg_is_offered_events_for_it() {
    let mut call = up("info", "rfc4733");
    assert!(has_events(&call.invite), "{}", body(&call.invite));
    assert!(!has_events(&call.ok), "{}", body(&call.ok));
    assert_eq!(intakes(&call), [Intake::Pass, Intake::Events]);
    call.says("INFO", RELAY, "Signal=5\nDuration=160\n");
    call.refused(200);
    call.says("INFO", "Content-Type: application/dtmf\n", "#");
    call.refused(200);
    let wanted = [
        (TEAMS, '5', 160, Signal::Event),
        (TEAMS, '#', 100, Signal::Event),
    ];
    assert_eq!(dialled(&call), wanted);
    // Nothing else is different.
    call.says("INFO", "Content-Type: application/isup\n", "abc");
    call.refused(415);
    call.says("INFO", RELAY, "Signal=55\n");
    call.refused(400);
    assert_eq!(dialled(&call), wanted);
    call.lives();
}

#[test]
fn an_event_becomes_one_info_each_in_order_and_one_at_a_time() {
    let mut call = up("info", "rfc4733");
    for symbol in "1*D".chars() {
        heard(&mut call, TEAMS, symbol, 120);
    }
    for symbol in "1*D".chars() {
        let (info, text) = told(&mut call);
        assert_eq!(text, format!("Signal={symbol}\r\nDuration=120\r\n"));
        assert!(call.shard.sent.is_empty(), "one is outstanding");
        carrier_answers(&mut call, &info, "200 OK");
    }
    assert!(call.shard.sent.is_empty() && dialled(&call).is_empty());
    call.lives();
}

#[test]
fn an_info_that_is_refused_costs_its_digit_and_nothing_else() {
    let mut call = up("info", "rfc4733");
    for start in ["481 Gone", "500 No", "415 No", "408 No"] {
        heard(&mut call, TEAMS, '7', 100);
        let (info, _) = told(&mut call);
        carrier_answers(&mut call, &info, start);
        assert!(call.shard.sent.is_empty(), "{start}");
    }
    // One that is never answered, and more behind it than may wait.
    for _ in 0..100 {
        heard(&mut call, TEAMS, '8', 100);
    }
    let (info, _) = told(&mut call);
    carrier_answers(&mut call, &info, "200 OK");
    let mut count = 1;
    while !call.shard.sent.is_empty() {
        let (info, _) = told(&mut call);
        carrier_answers(&mut call, &info, "200 OK");
        count += 1;
    }
    assert_eq!(count, 32);
    heard(&mut call, TEAMS, '9', 100);
    told(&mut call);
    call.shard.pass(Duration::from_secs(40));
    call.shard.sent.clear();
    assert!(call.shard.records.is_empty());
    // Who does not take INFO at all is not sent it again.
    heard(&mut call, TEAMS, '0', 100);
    let (info, _) = told(&mut call);
    carrier_answers(&mut call, &info, "405 Method Not Allowed");
    heard(&mut call, TEAMS, '0', 100);
    assert!(call.shard.sent.is_empty());
    call.lives();
}

#[test]
fn tones_are_looked_for_only_where_the_other_leg_has_none() {
    let mut call = up("inband", "rfc4733");
    assert!(has_events(&call.invite) && !has_events(&call.ok));
    assert_eq!(intakes(&call), [Intake::Tones, Intake::Events]);
    heard(&mut call, CARRIER, '3', 80);
    heard(&mut call, TEAMS, '4', 60);
    assert_eq!(
        dialled(&call),
        [
            (TEAMS, '3', 80, Signal::Event),
            (CARRIER, '4', 60, Signal::Tone)
        ]
    );
    call.lives();
    for (same, offers, intake) in [
        ("inband", false, Intake::Pass),
        ("info", false, Intake::Pass),
        ("rfc4733", true, Intake::Watch),
    ] {
        let call = up(same, same);
        assert_eq!(has_events(&call.invite), offers, "{same}");
        assert_eq!(has_events(&call.ok), offers, "{same}");
        assert_eq!(intakes(&call), [intake; 2], "{same}");
        call.lives();
    }
    let call = up("inband", "info");
    assert_eq!(intakes(&call), [Intake::Tones, Intake::Pass]);
    call.lives();
}

#[test]
fn a_leg_with_events_keeps_them_though_the_other_has_none() {
    for (teams, intake, signal) in [
        ("info", Intake::Events, None),
        ("inband", Intake::Events, Some(Signal::Tone)),
    ] {
        let mut call = up("rfc4733", teams);
        assert!(!has_events(&call.invite) && has_events(&call.ok), "{teams}");
        assert_eq!(intakes(&call)[0], intake);
        heard(&mut call, CARRIER, '0', 100);
        match signal {
            Some(signal) => assert_eq!(dialled(&call), [(TEAMS, '0', 100, signal)]),
            None => {
                let info = call.shard.next_request(Method::Info).message;
                call.shard
                    .teams_says(&response(&info, "200 OK", "", "", ""));
            }
        }
        call.lives();
    }
}

#[test]
fn auto_is_events_else_info_else_tones() {
    let mut call = up("auto", "rfc4733");
    assert!(has_events(&call.invite) && has_events(&call.ok));
    assert_eq!(intakes(&call), [Intake::Watch; 2]);
    // Digits travel as events, and may be told in INFO as well.
    by_info(&mut call, '5');
    begins(&mut call, CARRIER, '5');
    call.shard.pass(Duration::from_secs(2));
    heard(&mut call, CARRIER, '5', 2_000);
    assert!(dialled(&call).is_empty() && call.shard.sent.is_empty());
    call.lives();

    // A caller without events that takes INFO as far as it has said.
    let without = |lines: &str| {
        let mut shard = Shard::with(config("auto", "rfc4733"));
        let sdp = CARRIER_SDP.replace(" 101\n", "\n");
        let sdp = sdp.replace("a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\n", "");
        let invite = carrier_invite("auto", &sdp);
        let invite = invite.replace("Max-Forwards", &format!("{lines}Max-Forwards"));
        shard.carrier_says(&invite);
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        assert!(has_events(&invite));
        let answer = response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP);
        shard.teams_says(&answer);
        shard.next_request(Method::Ack);
        let ok = shard.next_response(200).message;
        shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
        Call {
            shard,
            invite,
            ok,
            cseq: 10,
        }
    };
    let mut call = without("Allow: INVITE, ACK, BYE, INFO\n");
    assert_eq!(intakes(&call), [Intake::Pass, Intake::Events]);
    heard(&mut call, TEAMS, '6', 100);
    let (info, _) = told(&mut call);
    // It does not take it after all: this key and all others go into the audio.
    carrier_answers(&mut call, &info, "405 Method Not Allowed");
    assert_eq!(dialled(&call), [(CARRIER, '6', 100, Signal::Tone)]);
    assert_eq!(intakes(&call), [Intake::Tones, Intake::Events]);
    call.says("BYE", "", "");

    let call = without("Allow: INVITE, ACK, BYE\n");
    assert_eq!(intakes(&call), [Intake::Tones, Intake::Events]);
}

#[test]
fn a_leg_with_wideband_alone_has_its_digits_in_the_audio_too() {
    let g711 = "codecs = [\"PCMA\", \"PCMU\"]\n";
    let text = CONFIG.replace(g711, "codecs = [\"G722\"]\ndtmf = \"inband\"\n");
    let mut shard = Shard::with(with_digits_of_teams(&text, Dtmf::Rfc4733));
    let sdp = CARRIER_SDP.replace(" 8 0 101\n", " 9\n");
    let sdp = sdp.replace("a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\n", "");
    shard.carrier_says(&carrier_invite("wide", &sdp));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let sdp = TEAMS_SDP.replace("SAVP 8 0 101", "SAVP 9 101");
    let answer = response(&invite, "200 OK", "x1", TEAMS_CONTACT, &sdp);
    shard.teams_says(&answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
    let mut call = Call {
        shard,
        invite,
        ok,
        cseq: 10,
    };
    assert_eq!(intakes(&call), [Intake::Tones, Intake::Events]);
    heard(&mut call, TEAMS, '6', 100);
    assert_eq!(dialled(&call), [(CARRIER, '6', 100, Signal::Tone)]);
}

#[test]
fn a_key_told_by_tone_and_by_info_reaches_the_other_leg_once() {
    let mut call = up("inband\"\ninfo = \"relay", "rfc4733");
    let info = |call: &mut Call| {
        call.says("INFO", RELAY, "Signal=9\nDuration=100\n");
        call.refused(200);
    };
    info(&mut call);
    heard(&mut call, CARRIER, '9', 100);
    assert_eq!(dialled(&call).len(), 1);
    call.shard.pass(Duration::from_millis(200));
    heard(&mut call, CARRIER, '9', 100);
    info(&mut call);
    assert_eq!(dialled(&call).len(), 2);
    call.lives();
}

#[test]
fn a_peer_that_agreed_events_and_presses_by_info_alone_is_heard() {
    let mut call = up("auto", "rfc4733");
    // Of the first keys it is not known yet that no events will follow.
    by_info(&mut call, '1');
    call.shard.pass(Duration::from_millis(300));
    by_info(&mut call, '2');
    call.shard.pass(Duration::from_millis(299));
    assert!(dialled(&call).is_empty());
    assert_eq!(intakes(&call), [Intake::Watch; 2]);
    call.shard.pass(Duration::from_millis(1));
    let told = |symbols: &str| -> Vec<(EndpointId, char, u16, Signal)> {
        let all = symbols.chars();
        all.map(|symbol| (TEAMS, symbol, 100, Signal::Event))
            .collect()
    };
    assert_eq!(dialled(&call), told("12"));
    assert_eq!(intakes(&call), [Intake::Events, Intake::Watch]);
    // Those that follow are told at once, in the order in which it says them, whichever way it does.
    by_info(&mut call, '3');
    heard(&mut call, CARRIER, '3', 100);
    heard(&mut call, CARRIER, '4', 100);
    by_info(&mut call, '4');
    by_info(&mut call, '4');
    assert_eq!(dialled(&call), told("12344"));
    // The event of a key that was given up.
    call.shard.pass(Duration::from_secs(3));
    by_info(&mut call, '5');
    heard(&mut call, CARRIER, '5', 100);
    // What the other party presses still passes.
    begins(&mut call, TEAMS, '9');
    heard(&mut call, TEAMS, '9', 100);
    assert_eq!(dialled(&call), told("123445"));
    call.lives();
}

/// Both legs have tones in their audio, and the caller may send INFO.
#[test]
fn a_peer_with_tones_that_presses_by_info_alone_is_heard() {
    let mut call = up("inband\"\ninfo = \"relay", "inband");
    // Nobody looks for tones where no INFO may repeat them.
    assert_eq!(intakes(&call), [Intake::Listen, Intake::Pass]);
    // Told by both, whichever comes first.
    by_info(&mut call, '5');
    begins(&mut call, CARRIER, '5');
    heard(&mut call, CARRIER, '5', 100);
    call.shard.pass(Duration::from_secs(5));
    begins(&mut call, CARRIER, '6');
    heard(&mut call, CARRIER, '6', 100);
    by_info(&mut call, '6');
    call.shard.pass(Duration::from_secs(5));
    assert!(dialled(&call).is_empty());
    // By INFO alone.
    by_info(&mut call, '1');
    call.shard.pass(Duration::from_millis(599));
    assert!(dialled(&call).is_empty());
    call.shard.pass(Duration::from_millis(1));
    assert_eq!(dialled(&call), [(TEAMS, '1', 100, Signal::Tone)]);
    assert_eq!(intakes(&call), [Intake::Tones, Intake::Pass]);
    // The next at once; and the tone of one that says both is not heard a second time.
    by_info(&mut call, '2');
    heard(&mut call, CARRIER, '2', 100);
    let told: String = dialled(&call)
        .iter()
        .map(|(_, symbol, ..)| *symbol)
        .collect();
    assert_eq!(told, "12");
    call.lives();
}

/// The INFO about a key comes seconds after its event, as over a network that loses.
#[test]
fn info_that_is_late_does_not_press_its_key_again() {
    let mut call = up("auto", "rfc4733");
    begins(&mut call, CARRIER, '5');
    heard(&mut call, CARRIER, '5', 100);
    call.shard.pass(Duration::from_millis(1_500));
    by_info(&mut call, '5');
    call.shard.pass(Duration::from_secs(2));
    assert!(dialled(&call).is_empty());
    assert_eq!(intakes(&call)[0], Intake::Watch);
    call.lives();
}

#[test]
fn keys_beyond_those_that_may_wait_are_counted() {
    let mut call = up("auto", "rfc4733");
    begins(&mut call, CARRIER, '1');
    for _ in 0..10 {
        by_info(&mut call, '2');
    }
    let lost = call.shard.happened.iter();
    let lost = lost.filter(|what| matches!(what, Happened::KeyLost { most: 8, .. }));
    assert_eq!(lost.count(), 2);
    heard(&mut call, CARRIER, '1', 100);
    assert_eq!(dialled(&call).len(), 8);
    call.lives();
}

#[test]
fn no_key_is_told_by_us_while_an_event_passes() {
    let mut call = up("auto", "rfc4733");
    by_info(&mut call, '1');
    begins(&mut call, CARRIER, '2');
    call.shard.pass(Duration::from_secs(3));
    assert!(dialled(&call).is_empty());
    assert_eq!(intakes(&call)[0], Intake::Watch);
    heard(&mut call, CARRIER, '2', 3_000);
    assert_eq!(dialled(&call), [(TEAMS, '1', 100, Signal::Event)]);
    assert_eq!(intakes(&call)[0], Intake::Events);
    call.lives();
}

#[test]
fn an_event_that_begins_as_we_begin_to_take_them_out_is_told_once() {
    let mut call = up("auto", "rfc4733");
    by_info(&mut call, '1');
    call.shard.pass(Duration::from_secs(1));
    assert_eq!(intakes(&call)[0], Intake::Events);
    // The relay has not got the order yet, and its report was on its way.
    begins(&mut call, CARRIER, '2');
    heard(&mut call, CARRIER, '2', 100);
    assert_eq!(dialled(&call), [(TEAMS, '1', 100, Signal::Event)]);
    call.lives();
}

#[test]
fn digits_of_a_call_that_ends_go_nowhere() {
    let mut call = up("info", "rfc4733");
    call.says("BYE", "", "");
    call.shard.sent.clear();
    heard(&mut call, TEAMS, '1', 100);
    heard(&mut call, EndpointId(9), '1', 100);
    assert!(call.shard.sent.is_empty() && dialled(&call).is_empty());

    let mut call = up("auto", "rfc4733");
    by_info(&mut call, '1');
    call.says("BYE", "", "");
    call.shard.sent.clear();
    call.shard.pass(Duration::from_secs(2));
    begins(&mut call, EndpointId(9), '1');
    assert!(dialled(&call).is_empty());
}

#[test]
fn info_for_digits_is_allowed_where_they_travel_in_it() {
    let allow = |dtmf: &str| {
        let call = up(dtmf, "rfc4733");
        header(&call.ok, HeaderName::Allow)
    };
    assert!(allow("info").contains("INFO") && allow("auto").contains("INFO"));
    assert!(!allow("rfc4733").contains("INFO") && !allow("inband").contains("INFO"));
}

/// A mailbox may want to hear keys before it answers (TDR-MED-024).
/// A call of the carrier whose media Teams sends before it answers; `ok` is its 183.
fn early(carrier: &str, teams: &str) -> Call {
    let mut shard = Shard::with(config(carrier, teams));
    shard.carrier_says(&carrier_invite("early", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    assert!(has_events(&invite));
    let early = response(
        &invite,
        "183 Session Progress",
        "x1",
        TEAMS_CONTACT,
        TEAMS_SDP,
    );
    shard.teams_says(&early);
    let ok = shard.next_response(183).message;
    Call {
        shard,
        invite,
        ok,
        cseq: 10,
    }
}

#[test]
fn keys_in_info_reach_teams_before_it_answers() {
    let mut call = early("info", "rfc4733");
    by_info(&mut call, '5');
    assert_eq!(dialled(&call), [(TEAMS, '5', 100, Signal::Event)]);
    // What is no key has nobody to go to yet, and ends nothing.
    call.says("INFO", "Content-Type: application/isup\n", "abc");
    call.refused(415);
    let answer = response(&call.invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP);
    call.shard.teams_says(&answer);
    call.shard.next_request(Method::Ack);
    call.ok = call.shard.next_response(200).message;
    let ack = in_dialog(&call.ok, "ACK", 10, &format!("{VIA}ack"));
    call.shard.carrier_says(&ack);
    by_info(&mut call, '6');
    assert_eq!(dialled(&call).len(), 2);
    call.lives();
}

/// A transfer by Teams whose target is heard before it answers; the INVITE to it.
fn transferred_early(call: &mut Call, sdp: &str) -> Message {
    let target = "<sip:sip.pstnhub.microsoft.com;x-m=some>";
    let refer = format!("Refer-To: {target}\nContact: <sip:api.example.com:443;x-i=1>\n");
    call.teams_says("REFER", 1, &refer);
    call.shard.next_response(202);
    call.shard.next_request(Method::Notify);
    let invite = call.shard.next_request(Method::Invite).message;
    let early = response(&invite, "183 Session Progress", "z1", TEAMS_CONTACT, sdp);
    call.shard.teams_says(&early);
    call.shard.sent.clear();
    invite
}

#[test]
fn keys_reach_the_target_of_a_transfer_that_is_heard_before_it_answers() {
    for carrier in ["info", "inband"] {
        let mut call = up(carrier, "rfc4733");
        let press = |call: &mut Call, symbol| match carrier {
            "info" => by_info(call, symbol),
            _ => heard(call, CARRIER, symbol, 100),
        };
        press(&mut call, '1');
        let invite = transferred_early(&mut call, TEAMS_SDP);
        press(&mut call, '2');
        // Nobody is there any more, and whoever asked for it is heard again.
        let busy = response(&invite, "486 Busy Here", "z1", "", "");
        call.shard.teams_says(&busy);
        call.shard.sent.clear();
        press(&mut call, '3');
        let told = [(TEAMS, '1'), (EndpointId(2), '2'), (TEAMS, '3')];
        let told = told.map(|(to, symbol)| (to, symbol, 100, Signal::Event));
        assert_eq!(dialled(&call), told, "{carrier}");
    }
}

#[test]
fn a_key_that_the_target_of_a_transfer_cannot_be_told_is_told_to_nobody_else() {
    let mut call = up("info", "rfc4733");
    let without: Vec<&str> = TEAMS_SDP
        .split_inclusive('\n')
        .filter(|line| !line.contains("telephone-event") && !line.contains("fmtp:101"))
        .collect();
    let without = without.concat().replace(" 101", "");
    transferred_early(&mut call, &without);
    call.says("INFO", RELAY, "Signal=2\nDuration=100\n");
    call.refused(488);
    assert_eq!(dialled(&call), []);
    assert!(call.shard.sent.is_empty());
}

#[test]
fn a_key_before_anybody_hears_is_refused_and_ends_nothing() {
    let mut shard = Shard::with(config("info", "rfc4733"));
    shard.carrier_says(&carrier_invite("early", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    let ok = shard.next_response(180).message;
    let mut call = Call {
        shard,
        invite,
        ok,
        cseq: 10,
    };
    call.says("INFO", RELAY, "Signal=5\nDuration=100\n");
    assert!(call.refused(500).has(HeaderName::RetryAfter));
    assert!(dialled(&call).is_empty());
}

#[test]
fn tones_reach_teams_as_events_in_early_media_too() {
    let mut call = early("inband", "rfc4733");
    assert_eq!(intakes(&call), [Intake::Tones, Intake::Events]);
    heard(&mut call, CARRIER, '5', 80);
    heard(&mut call, TEAMS, '6', 80);
    let told = [
        (TEAMS, '5', 80, Signal::Event),
        (CARRIER, '6', 80, Signal::Tone),
    ];
    assert_eq!(dialled(&call), told);
    assert!(call.shard.sent.is_empty());
    // The answer changes nothing of it.
    let answer = response(&call.invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP);
    call.shard.teams_says(&answer);
    call.shard.next_request(Method::Ack);
    call.ok = call.shard.next_response(200).message;
    let ack = in_dialog(&call.ok, "ACK", 10, &format!("{VIA}ack"));
    call.shard.carrier_says(&ack);
    heard(&mut call, CARRIER, '7', 80);
    assert_eq!(dialled(&call).len(), 3);
    call.lives();
}
