//! OPTIONS within a call: whether it still lives, where there are no session timers (SIP-710), and to keep
//! the way through a NAT open (SIP-107).

use crate::world::call::{self, Call, header};
use crate::world::*;
use sbc_core::sip::{HeaderName, Method};
use std::time::Duration;

fn pinging() -> String {
    CONFIG.replace(
        "codecs = [\"PCMA\", \"PCMU\"]\n",
        "codecs = [\"PCMA\", \"PCMU\"]\noptions = false\nsession_timer = false\ndialog_ping = \"15m\"\n",
    )
    .replace(
        "preset = \"teams\"\n",
        "preset = \"teams\"\noptions = false\nsession_timer = false\n",
    )
}

const PAUSE: Duration = Duration::from_secs(900);

/// The next OPTIONS to the carrier, which must come within a time.
fn asked(shard: &mut Shard, within: Duration) -> Sent {
    shard.sent.clear();
    shard.pass(within);
    let is_question = |sent: &Sent| *sent.message.method() == Method::Options;
    let at = shard
        .sent
        .iter()
        .rposition(|sent| is_question(sent) && sent.hop.remote.to_string() == CARRIER);
    shard.sent.remove(at.expect("OPTIONS")).unwrap()
}

#[test]
fn a_call_without_session_timer_is_asked_for_and_lives_as_long_as_it_is_known() {
    let mut call = Call::with(&pinging());
    let question = asked(&mut call.shard, PAUSE);
    let to = header(&question.message, HeaderName::To);
    assert!(to.contains(";tag="), "{to}");
    call.shard.carrier_says(&response(
        &question.message,
        "405 Method Not Allowed",
        "",
        "",
        "",
    ));
    // Whoever refuses it so knows the call.
    let question = asked(&mut call.shard, PAUSE);
    call.shard
        .carrier_says(&response(&question.message, "200 OK", "", "", ""));
    assert!(call.shard.records.is_empty());
    // One that is not answered is repeated soon; then there is somebody again.
    asked(&mut call.shard, PAUSE + Duration::from_secs(1));
    let again = asked(&mut call.shard, Duration::from_secs(63));
    call.shard
        .carrier_says(&response(&again.message, "200 OK", "", "", ""));
    call.shard.pass(Duration::from_secs(100));
    assert!(call.shard.records.is_empty());
}

#[test]
fn two_questions_that_find_nobody_end_the_call() {
    let mut call = Call::with(&pinging());
    for pause in [PAUSE, Duration::from_secs(30)] {
        let question = asked(&mut call.shard, pause);
        call.shard.sent.clear();
        let gone = "481 Call/Transaction Does Not Exist";
        call.shard
            .carrier_says(&response(&question.message, gone, "", "", ""));
    }
    let byes = call.shard.sent.iter();
    let byes = byes.filter(|sent| *sent.message.method() == Method::Bye);
    assert_eq!(byes.count(), 2, "both parties are told");
}

/// A call that Teams has made to a carrier which calls itself by this address; its messages come from
/// the usual one.
fn named(keys: &str, address: &str) -> (Shard, sbc_core::sip::Message) {
    let codecs = "codecs = [\"PCMA\", \"PCMU\"]\n";
    let config = CONFIG.replacen(codecs, &format!("{codecs}options = false\n{keys}\n"), 1);
    let mut shard = Shard::with(config_of(&config));
    shard.teams_says(&teams_invite("nat"));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let contact = format!("Contact: <sip:gw@{address}>\n");
    let ok = response(&invite, "200 OK", "x1", &contact, CARRIER_SDP);
    shard.carrier_says(&ok);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    let via = "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bKack";
    shard.teams_says(&in_dialog(&ok, "ACK", 1, via));
    shard.sent.clear();
    (shard, invite)
}

/// Where OPTIONS within a dialog of the carrier went within a time.
fn asked_at(shard: &mut Shard, within: Duration) -> Vec<Sent> {
    shard.pass(within);
    let is_question = |sent: &Sent| {
        *sent.message.method() == Method::Options
            && header(&sent.message, HeaderName::To).contains(";tag=x1")
    };
    shard.sent.drain(..).filter(is_question).collect()
}

const INSIDE: &str = "10.0.0.5:5070";

#[test]
fn a_call_keeps_the_way_through_a_nat_open() {
    for keys in ["", "symmetric_signalling = true"] {
        let (mut shard, invite) = named(keys, INSIDE);
        assert!(
            asked_at(&mut shard, Duration::from_secs(23)).is_empty(),
            "{keys}"
        );
        for _ in 0..3 {
            let asked = asked_at(&mut shard, Duration::from_secs(29));
            assert!(!asked.is_empty(), "{keys}");
            for sent in asked {
                assert_eq!(sent.hop.remote.to_string(), CARRIER);
                shard.carrier_says(&response(&sent.message, "200 OK", "", "", ""));
            }
        }
        // The NAT has given it another port.
        let options = call::callee_request(&invite, "x1", "OPTIONS", 2, "")
            .replace("SIP/2.0/TLS 203.0.113.1:5061", "SIP/2.0/UDP 10.0.0.5:5070");
        let flow = sbc_core::transport::Flow {
            remote: "198.51.100.20:61234".parse().expect("an address"),
            ..carrier_flow()
        };
        shard.receive(flow, &options);
        let asked = asked_at(&mut shard, Duration::from_secs(29));
        assert!(!asked.is_empty(), "{keys}");
        for sent in asked {
            assert_eq!(sent.hop.remote.to_string(), "198.51.100.20:61234");
        }
    }
}

#[test]
fn a_peer_behind_a_nat_need_not_answer_what_keeps_its_way_open() {
    let (mut shard, _) = named("session_timer = false", INSIDE);
    for _ in 0..10 {
        assert!(!asked_at(&mut shard, Duration::from_secs(30)).is_empty());
    }
    assert!(shard.records.is_empty());
    // One that does not know the call any more says so.
    for _ in 0..2 {
        let asked = asked_at(&mut shard, Duration::from_secs(30));
        let asked = &asked.last().expect("OPTIONS").message;
        let gone = "481 Call/Transaction Does Not Exist";
        shard.carrier_says(&response(asked, gone, "", "", ""));
    }
    let is_bye = |sent: &Sent| *sent.message.method() == Method::Bye;
    assert!(shard.sent.iter().any(is_bye));
}

#[test]
fn no_way_is_kept_open_that_nobody_forgets() {
    for (keys, address) in [
        ("symmetric_signalling = false", INSIDE),
        ("", "198.51.100.29:5070"),
        ("symmetric_signalling = true", CARRIER),
    ] {
        let (mut shard, _) = named(keys, address);
        let asked = asked_at(&mut shard, Duration::from_secs(100));
        assert!(asked.is_empty(), "{keys}: {address}");
    }
}

#[test]
fn a_trunk_behind_a_nat_is_asked_often_enough_between_calls() {
    let probe = |keys: &str| {
        let codecs = "codecs = [\"PCMA\", \"PCMU\"]\n";
        let text = CONFIG.replacen(codecs, &format!("{codecs}{keys}\n"), 1);
        let config = config_of(&text);
        let trunk = &config.trunks[&sbc_core::id::TrunkName::new("carrier-a")];
        trunk.options.as_ref().map(|probe| probe.interval.as_secs())
    };
    assert_eq!(probe(""), Some(60));
    assert_eq!(probe("symmetric_signalling = true"), Some(25));
    let own = "symmetric_signalling = true\noptions = { interval = \"40s\" }";
    assert_eq!(probe(own), Some(40), "the operator knows the NAT");
}
