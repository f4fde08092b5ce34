//! What was registered before a restart: what is written down of it, and how far it is believed when it
//! is read again.

use crate::registrar::{Register, USUAL, flow_of, registers, started, udp, with_pbx};
use crate::world::call::header;
use crate::world::*;
use sbc_core::event::Happened;
use sbc_core::input::Input;
use sbc_core::sip::{HeaderName, Method};
use sbc_core::transport::Protocol;
use sbc_core::trunk::Stored;
use std::sync::Arc;
use std::time::Duration;

/// What is written down after a REGISTER.
fn kept(text: &str, flow: &sbc_core::transport::Flow, register: &Register<'_>) -> Vec<Stored> {
    let mut shard = started(text);
    registers(&mut shard, flow, register);
    let mut all = shard.happened.iter().rev();
    let bound = all.find_map(|what| match what {
        Happened::Bindings { bound, .. } => Some(Arc::clone(bound)),
        _ => None,
    });
    let bound = bound.expect("something was told");
    let all = bound.bindings.iter();
    all.filter_map(|one| Stored::of(&bound.trunk, one))
        .collect()
}

/// A shard some seconds later, which has read what was written down.
fn again(text: &str, seconds: u64, all: &[Stored]) -> Shard {
    let mut shard = started(text);
    // Another process has another clock; that on the wall is the same.
    let wall = shard.now.wall.as_micros() + seconds * 1_000_000;
    shard.now.wall = sbc_core::time::UnixTime::from_micros(wall);
    shard.apply(Input::Restored(Arc::from(all)));
    shard
}

#[test]
fn after_a_restart_calls_go_to_where_the_peer_was_before_it() {
    let text = with_pbx("", "");
    let all = kept(&text, &udp(), &USUAL);
    let mut shard = again(&text, 60, &all);
    assert_eq!(shard.core.census().bindings, 1);
    let told = shard.happened.iter().any(|what| {
        matches!(what, Happened::Bindings { because, .. } if because == "known from before the restart")
    });
    assert!(told);
    shard.teams_says(&teams_invite("t1"));
    shard.next_response(100);
    let out = shard.next_request(Method::Invite);
    assert_eq!(out.hop.remote, udp().remote);
    assert_eq!(&out.message.request_uri()[..], b"sip:line7@10.0.0.7:5060");
    // Its time goes on as if nothing had been.
    let mut shard = again(&text, 60, &all);
    shard.pass(Duration::from_secs(3_539));
    assert_eq!(shard.core.census().bindings, 1);
    shard.pass(Duration::from_secs(2));
    assert_eq!(shard.core.census().bindings, 0);
}

#[test]
fn path_and_preference_and_the_order_of_registers_outlive_a_restart() {
    let text = with_pbx("", "");
    let register = Register {
        contacts: "Contact: <sip:a@10.0.0.7:5060>;q=0.2, <sip:b@10.0.0.8:5060>;q=0.9\n",
        lines: "Path: <sip:edge.example.net;lr>\nSupported: path\n",
        cseq: 7,
        ..USUAL
    };
    let all = kept(&text, &udp(), &register);
    assert_eq!(all.len(), 2);
    let mut shard = again(&text, 1, &all);
    shard.teams_says(&teams_invite("t1"));
    shard.next_response(100);
    let out = shard.next_request(Method::Invite).message;
    assert_eq!(&out.request_uri()[..], b"sip:b@10.0.0.8:5060");
    assert_eq!(header(&out, HeaderName::Route), "<sip:edge.example.net;lr>");
    // A REGISTER that was on its way for long changes nothing.
    let mut shard = again(&text, 1, &all);
    let late = Register {
        contacts: "Contact: <sip:a@10.0.0.7:5060>\n",
        cseq: 5,
        ..USUAL
    };
    let refusal = registers(&mut shard, &udp(), &late);
    assert_eq!(refusal.status().map(|status| status.code()), Some(500));
}

#[test]
fn what_is_read_again_is_believed_no_further_than_a_register() {
    let text = with_pbx("", "");
    let all = kept(&text, &udp(), &USUAL);
    let gone = |text: &str, seconds: u64, change: &dyn Fn(&mut Stored)| {
        let mut all = all.clone();
        all.iter_mut().for_each(change);
        again(text, seconds, &all).core.census().bindings == 0
    };
    let nothing = |_: &mut Stored| {};
    assert!(!gone(&text, 0, &nothing));
    assert!(gone(&text, 3_601, &nothing), "its time is over");
    let elsewhere = text.replace("198.51.100.128/25", "198.51.100.128/26");
    assert!(gone(&elsewhere, 0, &nothing), "it may not come from there");
    let renamed = text.replace("username = \"pbx1\"", "username = \"pbx9\"");
    assert!(gone(&renamed, 0, &nothing), "its account is another one");
    let moved = text.replace("sip:pbx1@sip.example.com", "sip:pbx2@sip.example.com");
    assert!(gone(&moved, 0, &nothing), "so is its address of record");
    let changes: [&dyn Fn(&mut Stored); 9] = [
        &|one| one.trunk = "teams-contoso".to_owned(),
        &|one| one.account = "0".repeat(32),
        &|one| one.call_id = "other".to_owned(),
        &|one| one.protocol = "tls".to_owned(),
        &|one| one.listener = "nowhere".to_owned(),
        &|one| one.contact = "<sip:gw@192.0.2.11:5060>".to_owned(),
        &|one| one.contact = "<sip:x@10.0.0.7:80>".to_owned(),
        &|one| one.contact = "<tel:+4930>\r\nX: y".to_owned(),
        &|one| one.all_numbers = true,
    ];
    for (at, change) in changes.iter().enumerate() {
        assert!(gone(&text, 0, change), "{at}");
    }
    let mut trunks = config_of(&text).trunks.clone().into_values();
    let own = trunks.find_map(|trunk| trunk.registrar.clone());
    let own = own.expect("a registrar");
    // A clock that was set back makes nobody immortal.
    let mut shard = again(&text, 0, &all);
    let mut late = all.clone();
    late[0].until = u64::MAX;
    let mut immortal = again(&text, 0, &late);
    for shard in [&mut shard, &mut immortal] {
        assert_eq!(shard.core.census().bindings, 1);
        let longest = own.longest_s.into();
        shard.pass(Duration::from_secs(longest));
        assert_eq!(shard.core.census().bindings, 0);
    }
    // More than the trunk may have, or one twice, is not taken.
    let twice: Vec<Stored> = (0..40)
        .map(|n| Stored {
            contact: format!("<sip:l{}@10.0.0.7:5060>", n / 2),
            ..all[0].clone()
        })
        .collect();
    let most = again(&text, 0, &twice).core.census().bindings;
    assert_eq!(most, own.contacts);
}

#[test]
fn who_has_registered_anew_knows_better() {
    let text = with_pbx("", "");
    let all = kept(&text, &udp(), &USUAL);
    let mut shard = started(&text);
    let register = Register {
        call_id: "r2",
        contacts: "Contact: <sip:new@10.0.0.9:5060>\n",
        ..USUAL
    };
    registers(&mut shard, &udp(), &register);
    shard.apply(Input::Restored(Arc::from(&all[..])));
    assert_eq!(shard.core.census().bindings, 1);
    shard.teams_says(&teams_invite("t1"));
    shard.next_response(100);
    let out = shard.next_request(Method::Invite).message;
    assert_eq!(&out.request_uri()[..], b"sip:new@10.0.0.9:5060");
}

#[test]
fn what_hangs_on_a_connection_is_not_written_down() {
    let text = with_pbx("", "");
    let tcp = flow_of(40, Protocol::Tcp, "198.51.100.200:30123");
    assert_eq!(kept(&text, &tcp, &USUAL), []);
    // What can be connected to is.
    let reachable = Register {
        contacts: "Contact: <sip:line7@198.51.100.200:5062;transport=tcp>\n",
        ..USUAL
    };
    let all = kept(&text, &tcp, &reachable);
    assert_eq!(all.len(), 1);
    let mut shard = again(&text, 1, &all);
    shard.teams_says(&teams_invite("t1"));
    shard.next_response(100);
    let out = shard.next_request(Method::Invite);
    assert_eq!(out.hop.remote.to_string(), "198.51.100.200:5062");
    assert_eq!(out.hop.flow, None);
}
