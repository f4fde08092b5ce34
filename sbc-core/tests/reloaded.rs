//! A reload that takes trunks and their TLS identity away while something runs: calls that ring, a CANCEL, a BYE
//! without an answer, a transfer. All of it ends as if nothing had been reloaded; only what is new is a stranger's.

use crate::world;

use sbc_core::config::Config;
use sbc_core::input::Input;
use sbc_core::sip::{HeaderName, Message, Method};
use std::sync::Arc;
use std::time::Duration;
use world::call::*;
use world::*;

/// The usual configuration, whose peers are others at other places, under another TLS identity.
fn others() -> Arc<Config> {
    let text = CONFIG
        .replace("teams-contoso", "teams-other")
        .replace("carrier-a", "carrier-other")
        .replace("198.51.100.16/28", "192.0.2.224/28")
        .replace("198.51.100.2", "192.0.2.22")
        .replace("203.0.113.0/24", "192.0.2.240/28")
        .replace("203.0.113.", "192.0.2.24")
        .replace("[[tls]]\nname = \"teams\"", "[[tls]]\nname = \"other\"")
        .replace("tls = \"teams\"", "tls = \"other\"");
    config_of(&text)
}

/// The usual peers under other names, with another name of the TLS identity.
fn renamed() -> Arc<Config> {
    let text = CONFIG
        .replace("teams-contoso", "teams-other")
        .replace("carrier-a", "carrier-other")
        .replace("[[tls]]\nname = \"teams\"", "[[tls]]\nname = \"other\"")
        .replace("tls = \"teams\"", "tls = \"other\"");
    config_of(&text)
}

fn each() -> [Arc<Config>; 2] {
    [others(), renamed()]
}

#[test]
fn a_call_that_rings_is_answered_and_ended_by_peers_that_are_gone() {
    for config in each() {
        let (mut shard, invite) = called_out("ringing");
        let invite = invite.message;
        shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
        shard.next_response(180);
        shard.apply(Input::Config(config));
        shard
            .sent
            .retain(|sent| *sent.message.method() != Method::Options);
        // The caller repeats its INVITE, and hears the same again.
        shard.carrier_says(&carrier_invite("ringing", CARRIER_SDP));
        shard.next_response(180);
        shard.teams_says(&response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP));
        shard.next_request(Method::Ack);
        let ok = shard.next_response(200).message;
        shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
        shard.teams_says(&callee_request(&invite, "x1", "BYE", 1, ""));
        shard.next_response(200);
        let bye = shard.next_request(Method::Bye).message;
        shard.carrier_says(&response(&bye, "200 OK", "", "", ""));
        assert_eq!(shard.records.len(), 1);
    }
}

#[test]
fn a_caller_that_is_gone_may_still_cancel() {
    for config in each() {
        let (mut shard, invite) = called_out("given-up");
        let invite = invite.message;
        shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
        shard.next_response(180);
        shard.apply(Input::Config(config));
        shard
            .sent
            .retain(|sent| *sent.message.method() != Method::Options);
        shard.carrier_says(&carrier_cancel("given-up"));
        shard.next_response(200);
        shard.next_response(487);
        let cancel = shard.next_request(Method::Cancel).message;
        shard.teams_says(&response(&cancel, "200 OK", "x1", "", ""));
        shard.teams_says(&response(&invite, "487 Request Terminated", "x1", "", ""));
        shard.next_request(Method::Ack);
        assert_eq!(shard.records.len(), 1);
        assert_eq!(shard.records[0].cause.code.as_str(), "caller_cancelled");
    }
}

#[test]
fn a_bye_that_waits_for_its_answer_is_repeated_and_gets_it() {
    for config in each() {
        let mut call = Call::new();
        call.teams_says("BYE", 1, "");
        call.shard.next_response(200);
        let bye = call.shard.next_request(Method::Bye).message;
        call.shard.apply(Input::Config(config));
        call.shard.pass(Duration::from_millis(600));
        let is_bye = |sent: &Sent| *sent.message.method() == Method::Bye;
        assert!(call.shard.sent.iter().any(is_bye), "it is repeated");
        call.shard
            .carrier_says(&response(&bye, "200 OK", "", "", ""));
        assert_eq!(call.shard.records.len(), 1);
    }
}

#[test]
fn who_is_gone_and_repeats_its_bye_has_the_same_answer() {
    for config in each() {
        let mut call = Call::new();
        let bye = in_dialog(&call.ok, "BYE", 11, &format!("{VIA}bye"));
        call.shard.carrier_says(&bye);
        call.shard.next_response(200);
        let ours = call.shard.next_request(Method::Bye).message;
        call.shard
            .teams_says(&response(&ours, "200 OK", "", "", ""));
        assert_eq!(call.shard.records.len(), 1);
        call.shard.apply(Input::Config(config));
        call.shard.sent.clear();
        call.shard.carrier_says(&bye);
        call.shard.next_response(200);
    }
}

#[test]
fn a_transfer_goes_on_with_a_teams_that_is_gone() {
    for config in each() {
        let mut call = Call::new();
        let lines = "REFER-TO: <sip:sip.pstnhub.microsoft.com:5061;transport=tls;x-m=8:orgid:0>\n\
                     CONTACT: <sip:api.example.com:443;x-i=1>\n";
        call.teams_says("REFER", 1, lines);
        call.shard.next_response(202);
        let notify = call.shard.next_request(Method::Notify).message;
        let invite = call.shard.next_request(Method::Invite).message;
        call.shard.apply(Input::Config(config));
        call.shard
            .sent
            .retain(|sent| *sent.message.method() != Method::Options);
        call.shard
            .teams_says(&response(&notify, "200 OK", "", "", ""));
        call.shard
            .teams_says(&response(&invite, "200 OK", "z1", TEAMS_CONTACT, TEAMS_SDP));
        call.shard.next_request(Method::Ack);
        let notify = call.shard.next_request(Method::Notify).message;
        assert_eq!(body(&notify), "SIP/2.0 200 OK\r\n");
        call.shard
            .teams_says(&response(&notify, "200 OK", "", "", ""));
        call.teams_says("BYE", 2, "");
        call.shard.next_response(200);
        let options = |sent: &Sent| *sent.message.method() == Method::Options;
        call.shard.sent.retain(|sent| !options(sent));
        call.says("BYE", "", "");
        call.shard.next_response(200);
        let bye = call.shard.next_request(Method::Bye).message;
        assert_eq!(
            header(&bye, HeaderName::CallId),
            header(&invite, HeaderName::CallId)
        );
        call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
        assert_eq!(call.shard.records.len(), 1);
    }
}

#[test]
fn what_is_new_of_a_peer_that_is_gone_is_a_strangers() {
    let mut call = Call::new();
    call.shard.apply(Input::Config(others()));
    call.shard.sent.clear();
    call.shard
        .carrier_says(&carrier_invite("another", CARRIER_SDP));
    assert!(call.shard.sent.is_empty());
}

/// The usual configuration, of which the carrier's trunk says what becomes of its calls when it is gone.
pub(crate) fn removable(on_remove: &str) -> String {
    let name = "name = \"carrier-a\"\n";
    CONFIG.replacen(name, &format!("{name}on_remove = \"{on_remove}\"\n"), 1)
}

fn byes(shard: &Shard) -> Vec<Message> {
    let byes = shard.sent.iter().map(|sent| &sent.message);
    let byes = byes.filter(|message| *message.method() == Method::Bye);
    byes.cloned().collect()
}

#[test]
fn calls_of_a_trunk_that_is_gone_end_when_it_says() {
    let without = config_of(&CONFIG.replace("carrier-a", "carrier-b"));
    for (word, lasts) in [("keep", None), ("drain", Some(30)), ("kill", Some(0))] {
        let mut call = Call::with(&removable(word));
        call.shard.apply(Input::Config(Arc::clone(&without)));
        if lasts != Some(0) {
            call.shard.pass(Duration::from_secs(29));
            assert!(byes(&call.shard).is_empty(), "{word}: too early");
            // Before anything is repeated.
            call.shard.pass(Duration::from_millis(1_200));
        }
        let byes = byes(&call.shard);
        assert_eq!(byes.len(), if lasts.is_some() { 2 } else { 0 }, "{word}");
        for bye in byes {
            let ok = response(&bye, "200 OK", "", "", "");
            match header(&bye, HeaderName::Via).contains("TLS") {
                true => call.shard.teams_says(&ok),
                false => call.shard.carrier_says(&ok),
            }
        }
        let records = call.shard.records.iter();
        let causes: Vec<_> = records
            .map(|record| (record.cause.code.as_str(), record.cause.because.0.join(" ")))
            .collect();
        match lasts {
            None => assert!(causes.is_empty(), "{causes:?}"),
            Some(_) => assert_eq!(
                causes,
                [("operator", "trunk \"carrier-a\" was removed".to_owned())]
            ),
        }
    }
}

#[test]
fn a_trunk_that_comes_back_in_time_keeps_its_calls() {
    let mut call = Call::with(&removable("drain"));
    let without = config_of(&CONFIG.replace("carrier-a", "carrier-b"));
    call.shard.apply(Input::Config(without));
    call.shard.pass(Duration::from_secs(20));
    call.shard
        .apply(Input::Config(config_of(&removable("drain"))));
    call.shard.pass(Duration::from_secs(60));
    assert!(byes(&call.shard).is_empty() && call.shard.records.is_empty());
}
