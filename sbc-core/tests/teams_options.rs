//! OPTIONS from and to Teams: what they say, how often they go, and what their answers decide.

use crate::teams::other_machine;
use crate::world;

use sbc_core::core::Together;
use sbc_core::event::Happened;
use sbc_core::id::{CommandId, FlowId};
use sbc_core::input::{Command, Input};
use sbc_core::sip::header::Via;
use sbc_core::sip::{HeaderName, Method};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use world::call::*;
use world::*;

/// OPTIONS of a regional proxy, as observed: names in capitals, no blanks in Allow.
const OPTIONS: &str = "OPTIONS sip:sbc1.contoso.example:5061;transport=tls SIP/2.0
FROM: <sip:sip-du-a-eu.pstnhub.microsoft.com:5061>;tag=3a1f5d0c-9a1e-4d1e-8e57-8a9b6d3f1c00
TO: <sip:sbc1.contoso.example>
CSEQ: 1 OPTIONS
CALL-ID: 5f0d1e2c-3b4a-4958-8776-655443322110
MAX-FORWARDS: 70
VIA: SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bK5f0d1e2c
CONTACT: <sip:sip-du-a-eu.pstnhub.microsoft.com:5061>
CONTENT-LENGTH: 0
USER-AGENT: Microsoft.PSTNHub.SIPProxy v.2019.10.29.2 i.EUWE.3
ALLOW: INVITE,ACK,OPTIONS,CANCEL,BYE,NOTIFY

";
#[test]
fn our_options_have_the_headers_that_microsoft_documents_and_no_address() {
    let mut shard = Shard::new();
    shard.apply(Input::Config(config()));
    shard.pass(Duration::from_secs(5));
    let probes: Vec<Sent> = shard.sent.drain(..).collect();
    let to = |host: &str| {
        let begins = format!("OPTIONS sip:{host}:5061;transport=tls SIP/2.0\r\n");
        let found = probes.iter().find(|sent| text(sent).starts_with(&begins));
        found.unwrap_or_else(|| panic!("no OPTIONS to {host}"))
    };
    for host in ["sip.pstnhub.microsoft.com", "sip2.pstnhub.microsoft.com"] {
        let sent = to(host);
        let tls = sent.hop.tls.as_ref().expect("TLS");
        assert_eq!(tls.server_name, host, "SNI");
        let vias = sent.message.list::<Via>().expect("Via");
        assert_eq!(vias.len(), 1);
        assert_eq!(vias[0].host.to_string(), "sbc1.contoso.example");
        assert_eq!(vias[0].port, Some(5061));
        for (name, value) in [
            (HeaderName::MaxForwards, "70"),
            (HeaderName::CSeq, "1 OPTIONS"),
            (
                HeaderName::Contact,
                "<sip:sbc1.contoso.example:5061;transport=tls>",
            ),
            (
                HeaderName::Allow,
                "INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, REFER",
            ),
            (HeaderName::UserAgent, "Causeway"),
            (HeaderName::ContentLength, "0"),
        ] {
            assert_eq!(header(&sent.message, name.clone()), value, "{name:?}");
        }
        let own = sent.message.raw_named("X-MS-SBC").expect("X-MS-SBC");
        let own = String::from_utf8_lossy(&own).into_owned();
        assert_eq!(own.split('/').count(), 3, "{own}");
        let whole = text(sent);
        for hidden in ["192.0.2.", "198.51.100.", "sips:", "Record-Route", "100rel"] {
            assert!(!whole.contains(hidden), "{hidden} in\n{whole}");
        }
    }
}

#[test]
fn teams_is_never_asked_more_often_than_once_a_minute_whatever_it_answers() {
    for answer in [Some("200 OK"), Some("403 Forbidden"), None] {
        let mut shard = Shard::new();
        shard.apply(Input::Config(config()));
        let mut asked = Vec::new();
        for tenth in 0..6_000_u64 {
            shard.pass(Duration::from_millis(100));
            while let Some(sent) = shard.sent.pop_front() {
                let is_probe = *sent.message.method() == Method::Options
                    && sent.hop.remote.to_string() == TEAMS;
                let is_first = asked
                    .last()
                    .is_none_or(|(_, id)| *id != header(&sent.message, HeaderName::CallId));
                if !is_probe || !is_first {
                    continue;
                }
                asked.push((tenth, header(&sent.message, HeaderName::CallId)));
                if let Some(status) = answer {
                    shard.teams_says(&response(&sent.message, status, "x", "", ""));
                }
            }
        }
        assert!((9..=11).contains(&asked.len()), "{answer:?}: {asked:?}");
        for pair in asked.windows(2) {
            let pause = pair[1].0 - pair[0].0;
            // A minute to sixty-five seconds (TDR-OPT-006), in tenths.
            assert!((600..=651).contains(&pause), "{answer:?}: {pause}");
        }
    }
}

/// When each Microsoft name is asked within this time, in tenths of seconds from now.
fn asked_within(shard: &mut Shard, tenths: u64) -> BTreeMap<String, Vec<u64>> {
    let mut asked: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for tenth in 0..tenths {
        shard.pass(Duration::from_millis(100));
        while let Some(sent) = shard.sent.pop_front() {
            let to = header(&sent.message, HeaderName::To);
            if *sent.message.method() == Method::Options && to.contains("pstnhub") {
                asked.entry(to).or_default().push(tenth);
                let remote = sent.hop.remote;
                let ok = response(&sent.message, "200 OK", "x", "", "");
                shard.receive(
                    sbc_core::transport::Flow {
                        remote,
                        ..teams_flow()
                    },
                    &ok,
                );
            }
        }
    }
    asked
}

#[test]
fn a_name_of_teams_is_asked_once_a_minute_however_many_addresses_and_reloads_there_are() {
    let one = "connect_to = [\"203.0.113.1:5061\"]";
    let three = "connect_to = [\"203.0.113.1:5061\", \"203.0.113.4:5061\", \"203.0.113.5:5061\"]";
    let many = config_of(&CONFIG.replace(one, three));
    let mut shard = Shard::new();
    shard.apply(Input::Config(Arc::clone(&many)));
    let asked = asked_within(&mut shard, 6_000);
    assert_eq!(asked.len(), 2);
    for (name, times) in &asked {
        for pair in times.windows(2) {
            let pause = pair[1] - pair[0];
            assert!((600..=660).contains(&pause), "{name}: {pause}");
        }
    }
    // Another list of addresses is another target; the names are the same.
    let mut shard = Shard::new();
    shard.apply(Input::Config(Arc::clone(&many)));
    assert_eq!(asked_within(&mut shard, 60).len(), 2);
    for config in [config(), many] {
        shard.apply(Input::Config(config));
        let asked = asked_within(&mut shard, 200);
        assert!(asked.is_empty(), "{asked:?}");
    }
    assert_eq!(asked_within(&mut shard, 300).len(), 2);
}

#[test]
fn a_restart_within_the_minute_asks_nobody_a_second_time() {
    let before = Together::default();
    let mut shard = Shard::new().counting(&before);
    shard.apply(Input::Config(config()));
    assert_eq!(asked_within(&mut shard, 60).len(), 2);
    let written = before.asked().written(0, shard.now.mono, shard.now.wall);
    let (_, written) = written.expect("they were asked");
    let after = Together::default();
    let mut again = Shard::new();
    assert_eq!(
        after
            .asked()
            .restore(&written, again.now.mono, shard.now.wall),
        2
    );
    again = again.counting(&after);
    again.apply(Input::Config(config()));
    let asked = asked_within(&mut again, 500);
    assert!(asked.is_empty(), "{asked:?}");
    assert_eq!(asked_within(&mut again, 200).len(), 2);
}

#[test]
fn options_of_a_regional_proxy_get_200_with_our_name_whatever_state_we_are_in() {
    for drains in [false, true] {
        let mut shard = Shard::new();
        shard.apply(Input::Command(CommandId(1), Command::Drain(drains)));
        shard.receive(other_machine(), OPTIONS);
        let ok = shard.next_response(200);
        assert_eq!(ok.hop.flow, Some(FlowId(91)), "the connection it came on");
        for (name, value) in [
            (
                HeaderName::Contact,
                "<sip:sbc1.contoso.example:5061;transport=tls>",
            ),
            (
                HeaderName::Allow,
                "INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, REFER",
            ),
            (HeaderName::Server, "Causeway"),
        ] {
            assert_eq!(header(&ok.message, name.clone()), value, "{name:?}");
        }
        assert!(ok.message.raw_named("X-MS-SBC").is_some());
        assert!(!ok.message.has(HeaderName::RecordRoute));
    }
}

#[test]
fn every_exchange_of_options_with_teams_is_told_with_its_answer() {
    let mut shard = Shard::new();
    shard.apply(Input::Config(config()));
    shard.pass(Duration::from_secs(5));
    let probes: Vec<Sent> = shard.sent.drain(..).collect();
    let probe = |remote: &str| {
        let found = probes
            .iter()
            .find(|sent| sent.hop.remote.to_string() == remote);
        found.expect("OPTIONS").clone()
    };
    let refusal = response(&probe(TEAMS).message, "403 Forbidden", "x", "", "");
    shard.teams_says(&refusal);
    shard.apply(Input::SendFailed {
        transaction: probe("203.0.113.2:5061").transaction.expect("one"),
        why: sbc_core::transport::FlowFault::Closed,
    });
    shard.receive(other_machine(), OPTIONS);
    let told: Vec<(bool, String, Option<u16>)> = shard
        .happened
        .iter()
        .filter_map(|what| match what {
            Happened::Options {
                by_peer,
                host,
                status,
                took,
                ..
            } => {
                // Of an answer to ours it is known how long it took.
                assert_eq!(took.is_some(), !by_peer && status.is_some());
                Some((*by_peer, host.clone(), status.map(|status| status.code())))
            }
            _ => None,
        })
        .collect();
    let wanted = [
        (false, "sip.pstnhub.microsoft.com", Some(403)),
        (false, "sip2.pstnhub.microsoft.com", None),
        (true, "sip-du-a-eu.pstnhub.microsoft.com", Some(200)),
    ];
    assert_eq!(
        told,
        wanted.map(|(by_peer, host, status)| (by_peer, host.to_owned(), status))
    );
}

#[test]
fn options_of_teams_are_answered_under_any_load() {
    let mut shard = Shard::new();
    let strain = sbc_core::overload::Strain {
        cpu: 0,
        memory: 960,
    };
    shard.apply(Input::Strain(strain));
    shard.carrier_says(&carrier_invite("loaded", CARRIER_SDP));
    shard.next_response(503);
    shard.teams_says(OPTIONS);
    shard.next_response(200);
}

#[test]
fn a_node_that_drains_asks_teams_no_more_until_it_takes_calls_again() {
    let mut shard = Shard::new();
    shard.apply(Input::Config(config()));
    let asked = |shard: &mut Shard| {
        shard.pass(Duration::from_secs(66));
        let sent: Vec<Sent> = shard.sent.drain(..).collect();
        let of = |remote: &str| {
            let mut all = sent.iter();
            all.any(|sent| {
                *sent.message.method() == Method::Options && sent.hop.remote.to_string() == remote
            })
        };
        (of(TEAMS), of(CARRIER))
    };
    assert_eq!(asked(&mut shard), (true, true));
    shard.apply(Input::Command(CommandId(1), Command::Drain(true)));
    shard.pass(Duration::from_secs(40));
    shard.sent.clear();
    assert_eq!(asked(&mut shard), (false, true));
    shard.apply(Input::Command(CommandId(2), Command::Drain(false)));
    assert_eq!(asked(&mut shard), (true, true));
}
