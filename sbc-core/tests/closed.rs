//! Trunks that an operator disables or drains, by hand: who is called, who is refused and how, and what goes on (OPS-090).

use crate::emergency::{dialled, helping};
use crate::world;

use sbc_core::cause::CauseCode;
use sbc_core::event::Happened;
use sbc_core::id::{CommandId, TrunkName};
use sbc_core::input::{Command, Input};
use sbc_core::report::explain;
use sbc_core::sip::Method;
use sbc_core::trunk::Closing;
use std::time::Duration;
use world::*;

pub(crate) fn close(shard: &mut Shard, trunk: &str, closing: Option<Closing>) {
    let command = Command::Close(TrunkName::new(trunk), closing);
    shard.apply(Input::Command(CommandId(1), command));
}

/// The caller is refused because a trunk is closed; why, as the record tells it.
fn refused(shard: &mut Shard) -> String {
    shard.next_response(503);
    let record = shard.records.last().expect("a record");
    assert_eq!(record.cause.code, CauseCode::TrunkClosed);
    let told = explain(record);
    assert!(
        told.change[0].contains("causeway trunk enable"),
        "{:?}",
        told.change
    );
    told.why
}

#[test]
fn a_disabled_trunk_has_no_new_calls_in_either_direction_and_keeps_those_it_has() {
    let (mut shard, invite) = called_out("before");
    close(&mut shard, "carrier-a", Some(Closing::Disabled));
    shard.carrier_says(&carrier_invite("from", CARRIER_SDP));
    shard.next_response(100);
    let why = refused(&mut shard);
    assert!(why.contains("trunk \"carrier-a\" is disabled"), "{why}");
    shard.teams_says(&teams_invite("to"));
    shard.next_response(100);
    let why = refused(&mut shard);
    assert!(why.contains("has no other trunk"), "{why}");
    // The call that was there goes on to its answer.
    shard.teams_says(&response(
        &invite.message,
        "180 Ringing",
        "x",
        TEAMS_CONTACT,
        "",
    ));
    shard.next_response(180);
    let told = |shard: &Shard| {
        let all = shard.happened.iter();
        let own = all.filter_map(|what| match what {
            Happened::TrunkClosing { trunk, closing } => Some((trunk.to_string(), *closing)),
            _ => None,
        });
        own.collect::<Vec<_>>()
    };
    assert_eq!(
        told(&shard),
        [("carrier-a".to_owned(), Some(Closing::Disabled))]
    );
    close(&mut shard, "carrier-a", None);
    shard.carrier_says(&carrier_invite("again", CARRIER_SDP));
    shard.next_response(100);
    shard.next_request(Method::Invite);
    assert_eq!(told(&shard).len(), 2);
}

#[test]
fn new_calls_go_to_the_other_trunk_of_their_route_even_where_it_tries_one_only() {
    let text = CONFIG.replace(
        "to = [{ trunk = \"carrier-a\" }]",
        "to = [{ trunk = \"carrier-a\" }, { trunk = \"carrier-b\" }]\nhunt = { max = 1 }",
    ) + "[[trunk]]\nname = \"carrier-b\"\ntenant = \"*\"\nrealm = \"carrier\"\n\
         targets = [\"198.51.100.70:5060;udp\"]\n";
    let mut shard = Shard::with(config_of(&text));
    close(&mut shard, "carrier-a", Some(Closing::Draining));
    shard.teams_says(&teams_invite("call"));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite);
    assert_eq!(invite.hop.remote.to_string(), "198.51.100.70:5060");
}

#[test]
fn help_is_called_over_a_disabled_trunk_when_no_other_is_left_and_from_one() {
    let mut shard = Shard::with(config_of(&helping()));
    for trunk in ["help", "teams-contoso"] {
        close(&mut shard, trunk, Some(Closing::Disabled));
    }
    shard.teams_says(&dialled("112"));
    shard.next_response(100);
    let first = shard.next_request(Method::Invite);
    assert_eq!(first.hop.remote.to_string(), "198.51.100.60:5060");
    close(&mut shard, "fabrikam-line", Some(Closing::Disabled));
    let again = dialled("112").replace("CALL-ID: help", "CALL-ID: again");
    let again = again.replace("branch=z9hG4bKhelp", "branch=z9hG4bKagain");
    shard.teams_says(&again);
    shard.next_response(100);
    shard.next_request(Method::Invite);
}

#[test]
fn teams_is_asked_no_more_while_its_trunk_drains_and_calls_until_it_must_have_noticed() {
    let mut shard = Shard::new();
    shard.apply(Input::Config(config()));
    let asks = |shard: &mut Shard| {
        shard.sent.clear();
        shard.pass(Duration::from_secs(66));
        let options = |sent: &Sent| *sent.message.method() == Method::Options;
        let mut all = shard.sent.drain(..);
        all.any(|sent| options(&sent) && sent.hop.remote.to_string() == TEAMS)
    };
    assert!(asks(&mut shard));
    close(&mut shard, "teams-contoso", Some(Closing::Draining));
    shard.pass(Duration::from_secs(40));
    assert!(!asks(&mut shard));
    shard.teams_says(&teams_invite("early"));
    shard.next_response(100);
    shard.next_request(Method::Invite);
    shard.pass(Duration::from_secs(230));
    // Told again that it drains, it has no more time.
    close(&mut shard, "teams-contoso", Some(Closing::Draining));
    shard.sent.clear();
    shard.teams_says(&teams_invite("late"));
    shard.next_response(100);
    let why = refused(&mut shard);
    assert!(why.contains("trunk \"teams-contoso\" drains"), "{why}");
    close(&mut shard, "teams-contoso", None);
    assert!(asks(&mut shard));
    close(&mut shard, "teams-contoso", Some(Closing::Disabled));
    shard.sent.clear();
    shard.teams_says(&teams_invite("at-once"));
    shard.next_response(100);
    let why = refused(&mut shard);
    assert!(why.contains("is disabled"), "{why}");
}
