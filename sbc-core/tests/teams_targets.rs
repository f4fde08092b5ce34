//! Which of Teams' servers a request goes to: names and their families, the time that each may take, what
//! leads to the next one and what is the last word.

use crate::world;

use sbc_core::event::Happened;
use sbc_core::id::{FlowId, TransactionId};
use sbc_core::input::Input;
use sbc_core::locate::{Families, LocateSpec, Server, Service};
use sbc_core::query::{Outcome, Query};
use sbc_core::sip::{HeaderName, Method};
use sbc_core::transport::{Flow, FlowFault, Protocol};
use sbc_core::trunk::TargetState;
use std::time::Duration;
use world::call::*;
use world::*;

/// The second name's address.
const SECOND: &str = "203.0.113.2:5061";

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Shard {
    /// Where INVITEs have gone since the last look.
    fn invited(&mut self) -> Vec<String> {
        let sent: Vec<Sent> = self.sent.drain(..).collect();
        let invites = sent
            .iter()
            .filter(|sent| sent.message.is_request() && *sent.message.method() == Method::Invite);
        invites.map(|sent| sent.hop.remote.to_string()).collect()
    }

    fn leaves(&mut self, transaction: TransactionId, within: Duration) {
        self.apply(Input::Leaves {
            transaction,
            within,
        });
    }
}

/// The usual configuration with names that DNS is asked for, and both families.
fn named(settings: &str) -> String {
    CONFIG
        .replace(
            "addresses = [\"192.0.2.10\"]",
            "addresses = [\"192.0.2.10\", \"2001:db8::10\"]",
        )
        .replace(", connect_to = [\"203.0.113.1:5061\"]", "")
        .replace(", connect_to = [\"203.0.113.2:5061\"]", "")
        .replace(
            "fqdn = \"sbc1.contoso.example\"",
            &format!("fqdn = \"sbc1.contoso.example\"\n{settings}"),
        )
}

/// TDR-DNS-002: a handshake that lasts does not take the time of the answer.
#[test]
fn connecting_and_answering_have_a_time_each() {
    let (mut shard, first) = called_out("slow");
    let first = first.transaction.expect("one");
    shard.leaves(first, ms(5_000));
    shard.pass(ms(4_900));
    assert!(shard.invited().is_empty(), "it is still connecting");
    shard.leaves(first, Duration::ZERO);
    shard.pass(ms(3_900));
    assert!(shard.invited().is_empty(), "it may still answer");
    shard.pass(ms(200));
    assert_eq!(shard.invited(), [SECOND]);
}

#[test]
fn a_connection_that_comes_about_at_once_gives_no_more_time_to_answer() {
    let (mut shard, first) = called_out("quick");
    shard.leaves(first.transaction.expect("one"), ms(5_000));
    shard.leaves(first.transaction.expect("one"), Duration::ZERO);
    shard.pass(ms(4_100));
    assert_eq!(shard.invited(), [SECOND]);
    // What is said of another attempt is not about this one.
    shard.leaves(first.transaction.expect("one"), ms(60_000));
    shard.pass(ms(4_100));
    let told: Vec<_> = shard.sent.iter().map(text).collect();
    assert!(told.iter().any(|text| text.contains(" 504 ")), "{told:?}");
}

#[test]
fn an_invite_that_nobody_wants_need_not_be_written_any_more() {
    let (mut shard, invite) = called_out("gone");
    let id = invite.transaction.expect("one");
    shard.leaves(id, ms(5_000));
    shard.carrier_says(&carrier_cancel("gone"));
    assert_eq!(shard.withdrawn, [id]);
    shard.apply(Input::SendFailed {
        transaction: id,
        why: FlowFault::Closed,
    });
    assert!(shard.invited().is_empty(), "and no other one either");
    // Whoever has got it is told in the usual way.
    let (mut shard, invite) = called_out("late");
    shard.teams_says(&response(
        &invite.message,
        "180 Ringing",
        "x",
        TEAMS_CONTACT,
        "",
    ));
    shard.sent.clear();
    shard.carrier_says(&carrier_cancel("late"));
    assert!(shard.withdrawn.is_empty());
    let mut sent = shard.sent.iter();
    assert!(sent.any(|sent| *sent.message.method() == Method::Cancel));
}

/// TDR-SIP-022: the same user is called through the next data centre, and has missed nothing here.
#[test]
fn the_cancel_for_a_data_centre_that_was_given_up_notes_no_missed_call() {
    let (mut shard, first) = called_out("twice");
    shard.pass(ms(4_100));
    assert_eq!(shard.withdrawn, [first.transaction.expect("one")]);
    assert_eq!(shard.invited(), [SECOND]);
    shard.teams_says(&response(
        &first.message,
        "180 Ringing",
        "x",
        TEAMS_CONTACT,
        "",
    ));
    let cancel = shard.next_request(Method::Cancel);
    assert_eq!(cancel.hop.remote.to_string(), TEAMS);
    assert_eq!(
        header(&cancel.message, HeaderName::Reason),
        "SIP;cause=200;text=\"Call completed elsewhere\""
    );
}

/// TDR-DNS-001, TDR-CON-010: A unless the trunk is an IPv6 one, and neither NAPTR nor SRV.
#[test]
fn teams_is_asked_for_in_the_family_of_the_trunk_alone() {
    let v4 = Families {
        v4: true,
        v6: false,
    };
    let v6 = Families {
        v4: false,
        v6: true,
    };
    for (settings, families) in [("", v4), ("family = \"v4\"", v4), ("family = \"v6\"", v6)] {
        let config = config_of(&named(settings));
        let mut shard = Shard::with(config.clone());
        shard.apply(Input::Config(config));
        shard.pass(Duration::from_secs(6));
        shard.carrier_says(&carrier_invite("asks", CARRIER_SDP));
        let asked: Vec<&LocateSpec> = shard
            .queries
            .iter()
            .filter_map(|(_, query)| match query {
                Query::Locate(spec) => Some(spec),
                _ => None,
            })
            .collect();
        // OPTIONS to both names, and the first name for the INVITE.
        assert_eq!(asked.len(), 3, "{settings}: {asked:?}");
        for spec in asked {
            assert_eq!(spec.families, families, "{settings}");
            assert_eq!(spec.protocols, [Protocol::Tls]);
            assert_eq!(spec.port, Some(5061), "no SRV");
            assert!(!spec.is_open, "no NAPTR");
        }
    }
}

/// TDR-DNS-002: three names, and no caller waits until all addresses of one have failed.
#[test]
fn a_name_with_many_addresses_does_not_keep_the_next_one_waiting() {
    let mut shard = Shard::with(config_of(&named("")));
    shard.carrier_says(&carrier_invite("many", CARRIER_SDP));
    let answers = |shard: &mut Shard, lasts: &[u8]| {
        let (id, query) = shard.queries.pop_front().expect("a question");
        assert!(matches!(query, Query::Locate(_)), "{query:?}");
        let server = Server {
            priority: 0,
            weight: 0,
            port: 5061,
            addresses: lasts
                .iter()
                .map(|last| [203, 0, 113, *last].into())
                .collect(),
        };
        let found = Outcome::Located(vec![Service {
            protocol: Protocol::Tls,
            servers: vec![server],
        }]);
        shard.apply(Input::Outcome(id, found));
    };
    let fails = |shard: &mut Shard| {
        let is_invite = |sent: &Sent| *sent.message.method() == Method::Invite;
        let sent: Vec<Sent> = shard.sent.drain(..).collect();
        let invite = sent
            .into_iter()
            .rfind(|sent| sent.message.is_request() && is_invite(sent));
        let invite = invite.expect("an INVITE");
        shard.apply(Input::SendFailed {
            transaction: invite.transaction.expect("one"),
            why: FlowFault::ConnectTimeout,
        });
        (
            invite.hop.remote.to_string(),
            invite.hop.tls.expect("TLS").server_name.clone(),
        )
    };
    answers(&mut shard, &[11, 12, 13, 14]);
    let mut tried = vec![fails(&mut shard), fails(&mut shard)];
    answers(&mut shard, &[21]);
    tried.extend([fails(&mut shard), fails(&mut shard), fails(&mut shard)]);
    let (mut at, names): (Vec<_>, Vec<_>) = tried.into_iter().unzip();
    assert_eq!(at.remove(2), "203.0.113.21:5061");
    assert_eq!(names[2], "sip2.pstnhub.microsoft.com");
    at.sort();
    at.dedup();
    assert_eq!(at.len(), 4, "the others in the end: {at:?}");
    assert!(names.iter().filter(|name| name.starts_with("sip.")).count() == 4);
    assert!(shard.invited().is_empty());
}

/// TDR-DNS-003, TDR-DNS-002: with or without a pause that it asks for.
#[test]
fn after_a_503_the_next_data_centre_is_called_before_other_addresses_of_the_same() {
    for lines in ["", "Retry-After: 1\n"] {
        let mut shard = Shard::with(config_of(&named("")));
        shard.carrier_says(&carrier_invite("full", CARRIER_SDP));
        let answers = |shard: &mut Shard, lasts: &[u8]| {
            let (id, _) = shard.queries.pop_front().expect("a question");
            let addresses = lasts.iter().map(|last| [203, 0, 113, *last].into());
            let server = Server {
                priority: 0,
                weight: 0,
                port: 5061,
                addresses: addresses.collect(),
            };
            let found = Outcome::Located(vec![Service {
                protocol: Protocol::Tls,
                servers: vec![server],
            }]);
            shard.apply(Input::Outcome(id, found));
        };
        // Whoever is called says 503; tells whose address it was, by the name that its certificate has to carry.
        let refuses = |shard: &mut Shard| {
            let invite = shard.next_request(Method::Invite);
            let refusal = response(&invite.message, "503 Service Unavailable", "x", lines, "");
            shard.teams_says(&refusal);
            shard.next_request(Method::Ack);
            let name = invite.hop.tls.expect("TLS").server_name.clone();
            (name, invite.hop.remote.to_string())
        };
        shard.next_response(100);
        answers(&mut shard, &[11, 12]);
        let mut called = vec![refuses(&mut shard)];
        answers(&mut shard, &[21, 22]);
        called.extend([
            refuses(&mut shard),
            refuses(&mut shard),
            refuses(&mut shard),
        ]);
        let told = shard.sent.drain(..).find_map(|sent| sent.message.status());
        assert!(told.is_some_and(|status| status.code() == 500), "{told:?}");
        let (names, mut at): (Vec<_>, Vec<_>) = called.into_iter().unzip();
        let first = names
            .iter()
            .map(|name| name.split('.').next().expect("one"));
        let first: Vec<_> = first.take(2).collect();
        assert_eq!(first, ["sip", "sip2"], "{lines}{at:?}");
        at.sort();
        at.dedup();
        assert_eq!(at.len(), 4, "the others in the end: {at:?}");
    }
}

/// TDR-OPT-004: any final answer shows that Teams is there, and only 200 that it knows us.
#[test]
fn a_refusal_of_our_options_is_shown_and_keeps_no_call_back() {
    for status in [
        "403 Forbidden",
        "404 Not Found",
        "480 Unavailable",
        "500 Error",
    ] {
        let mut shard = Shard::new();
        shard.apply(Input::Config(config()));
        shard.pass(Duration::from_secs(6));
        let probes: Vec<Sent> = shard.sent.drain(..).collect();
        for probe in probes
            .iter()
            .filter(|sent| sent.hop.protocol == Protocol::Tls)
        {
            shard.teams_says(&response(&probe.message, status, "x", "", ""));
        }
        let told: Vec<TargetState> = shard
            .happened
            .iter()
            .filter_map(|what| match what {
                Happened::TargetHealth { state, .. } => Some(*state),
                _ => None,
            })
            .collect();
        assert_eq!(told, [TargetState::Refuses; 2], "{status}");
        // Customers' calls may work all the same: none waits for another.
        for call in 0..10 {
            shard.sent.clear();
            shard.carrier_says(&carrier_invite(&format!("c{call}"), CARRIER_SDP));
            assert_eq!(shard.invited(), [TEAMS], "{status}");
        }
    }
    // Silence and a plea for a pause are what they were.
    let mut shard = Shard::new();
    shard.apply(Input::Config(config()));
    shard.pass(Duration::from_secs(6));
    let probes: Vec<Sent> = shard.sent.drain(..).collect();
    for probe in probes
        .iter()
        .filter(|sent| sent.hop.remote.to_string() == TEAMS)
    {
        shard.teams_says(&response(&probe.message, "503 Busy", "x", "", ""));
    }
    shard.carrier_says(&carrier_invite("busy", CARRIER_SDP));
    assert_eq!(shard.invited(), [SECOND]);
}

/// TDR-DNS-005: three failures and two answers are those of a name, whose addresses Microsoft changes.
#[test]
fn what_is_held_of_a_name_outlives_its_addresses() {
    let config = config_of(&named("").replace(
        "    { address = \"sip2.pstnhub.microsoft.com:5061;tls\" },\n",
        "",
    ));
    let mut shard = Shard::with(config.clone());
    shard.apply(Input::Config(config));
    // A minute, in which the name has this address; whoever is asked there answers, or cannot be reached.
    let minute = |shard: &mut Shard, last: u8, answers: bool| {
        let mut asked = 0;
        for _ in 0..60 {
            shard.pass(Duration::from_secs(1));
            while let Some((id, _)) = shard.queries.pop_front() {
                let server = Server {
                    priority: 0,
                    weight: 0,
                    port: 5061,
                    addresses: vec![[203, 0, 113, last].into()],
                };
                let found = Outcome::Located(vec![Service {
                    protocol: Protocol::Tls,
                    servers: vec![server],
                }]);
                shard.apply(Input::Outcome(id, found));
            }
            while let Some(sent) = shard.sent.pop_front() {
                if sent.hop.protocol != Protocol::Tls || sent.message.is_response() {
                    continue;
                }
                asked += 1;
                let is_there = sent.hop.remote.ip().to_string() == format!("203.0.113.{last}");
                match answers && is_there {
                    true => {
                        shard.teams_says(&response(&sent.message, "200 OK", "x", "", ""));
                    }
                    false => shard.apply(Input::SendFailed {
                        transaction: sent.transaction.expect("one"),
                        why: FlowFault::ConnectTimeout,
                    }),
                }
            }
        }
        assert!(asked >= 1);
    };
    minute(&mut shard, 11, true);
    minute(&mut shard, 11, false);
    shard.happened.clear();
    minute(&mut shard, 12, true);
    let told = |shard: &Shard| -> Vec<(String, TargetState)> {
        let all = shard.happened.iter().filter_map(|what| match what {
            Happened::TargetHealth { target, state, .. } if target.protocol == Protocol::Tls => {
                let remote = target.remote.map(|at| at.ip().to_string());
                Some((remote.unwrap_or_default(), *state))
            }
            _ => None,
        });
        all.collect()
    };
    let (old, new) = ("203.0.113.11".to_owned(), "203.0.113.12".to_owned());
    assert_eq!(
        told(&shard),
        [(old, TargetState::Gone), (new.clone(), TargetState::Down)],
        "one answer may be luck"
    );
    minute(&mut shard, 12, true);
    // One may fall into the next minute: they are at least 60 s apart.
    minute(&mut shard, 12, true);
    assert_eq!(told(&shard).pop(), Some((new, TargetState::Up)));
}

/// TDR-DNS-004: whatever Reason says beside it.
#[test]
fn a_definitive_answer_of_teams_is_the_last_word() {
    let lines = [
        "",
        "REASON: Q.850;cause=34\n",
        "REASON: Q.850;cause=41;text=\"x\"\n",
    ];
    // What leads to another request to the same server is another matter.
    let own = [401, 407, 408, 415, 420, 422, 488];
    let finals = (400..500)
        .chain([600, 603, 604])
        .filter(|code| !own.contains(code));
    for code in finals {
        for lines in lines {
            let (mut shard, invite) = called_out("final");
            shard.teams_says(&response(
                &invite.message,
                &format!("{code} No"),
                "x",
                lines,
                "",
            ));
            shard.next_request(Method::Ack);
            assert!(shard.invited().is_empty(), "{code} {lines}");
        }
    }
    let (mut shard, invite) = called_out("busy");
    shard.teams_says(&response(&invite.message, "503 Busy", "x", "", ""));
    assert_eq!(shard.invited(), [SECOND]);
}

const NO_ROUTE: &str = "Contact: <sip:api-du-a-euwe.pstnhub.microsoft.com:443;x-i=1>\n";

/// TDR-SIP-040: never connect to port 443.
#[test]
fn without_a_route_requests_go_where_the_dialog_was_made() {
    let (mut shard, invite) = called_out("routeless");
    let answer = response(&invite.message, "200 OK", "x1", NO_ROUTE, TEAMS_SDP);
    shard.teams_says(&answer);
    let ack = shard.next_request(Method::Ack);
    assert_eq!(ack.hop.remote.to_string(), TEAMS);
    let ok = shard.next_response(200).message;
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
    shard.carrier_says(&in_dialog(&ok, "BYE", 11, &format!("{VIA}bye")));
    shard.next_response(200);
    let bye = shard.next_request(Method::Bye);
    assert_eq!(bye.hop.remote.to_string(), TEAMS);
    assert!(text(&bye).starts_with("BYE sip:api-du-a-euwe.pstnhub.microsoft.com:443;x-i=1 "));
    assert!(shard.queries.is_empty(), "{:?}", shard.queries);

    let mut shard = Shard::new();
    let route = "RECORD-ROUTE: <sip:203.0.113.1:5061;transport=tls;lr>\n";
    shard.teams_says(&teams_invite("bare").replace(route, ""));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let answer = response(&invite, "200 OK", "b1", CARRIER_CONTACT, CARRIER_SDP);
    shard.carrier_says(&answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    let via = "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bKack";
    shard.teams_says(&in_dialog(&ok, "ACK", 1, via));
    let bye = callee_request(&invite, "b1", "BYE", 1, "Content-Length: 0\n\n");
    shard.carrier_says(&bye.replace(
        "SIP/2.0/TLS 203.0.113.1:5061",
        "SIP/2.0/UDP 198.51.100.20:5060",
    ));
    shard.next_response(200);
    let bye = shard.next_request(Method::Bye);
    assert_eq!(
        bye.hop.flow,
        Some(teams_flow().id),
        "the connection it came on"
    );
    assert!(shard.queries.is_empty(), "{:?}", shard.queries);
}

/// TDR-ERR-011: whoever was rung did not answer; a peer that reaches nobody is trouble of the trunk.
#[test]
fn a_time_out_of_the_carrier_is_a_user_only_after_it_has_rung() {
    for (rings, told) in [
        (None, 408),
        (Some("180 Ringing"), 480),
        (Some("183 Session Progress"), 480),
    ] {
        let (mut shard, invite) = called_in(CONFIG, "rings");
        if let Some(rings) = rings {
            shard.carrier_says(&response(&invite.message, rings, "b1", CARRIER_CONTACT, ""));
        }
        shard.sent.clear();
        let over = response(&invite.message, "408 Request Timeout", "b1", "", "");
        shard.carrier_says(&over);
        shard.next_request(Method::Ack);
        assert_eq!(
            shard.next().message.status().map(|status| status.code()),
            Some(told),
            "{rings:?}"
        );
    }
}

/// TDR-TCP-002: a response is known by its transaction, not by its connection.
#[test]
fn an_answer_of_teams_may_come_on_another_connection() {
    let (mut shard, invite) = called_out("elsewhere");
    let answer = response(&invite.message, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP);
    let other = Flow {
        id: FlowId(55),
        remote: "203.0.113.77:50123".parse().expect("an address"),
        ..teams_flow()
    };
    shard.receive(other, &answer);
    let ack = shard.next_request(Method::Ack);
    assert_eq!(ack.hop.remote.to_string(), TEAMS, "its route");
    shard.next_response(200);
}

/// TDR-SIP-021: each repetition gets its ACK again, along the same route.
#[test]
fn a_repeated_answer_of_teams_gets_its_ack_on_the_right_route() {
    let (mut shard, invite) = called_out("again");
    let route = "Contact: <sip:203.0.113.1:443;x-i=1>\n\
                 Record-Route: <sip:203.0.113.9:5061;transport=tls;lr>\n";
    let answer = response(&invite.message, "200 OK", "x1", route, TEAMS_SDP);
    shard.teams_says(&answer);
    let first = shard.next_request(Method::Ack);
    shard.next_response(200);
    assert_eq!(first.hop.remote.to_string(), "203.0.113.9:5061");
    for connection in [2, 56] {
        let flow = Flow {
            id: FlowId(connection),
            ..teams_flow()
        };
        shard.receive(flow, &answer);
        let again = shard.next_request(Method::Ack);
        assert_eq!(again.message.bytes(), first.message.bytes());
        assert_eq!(again.hop.remote, first.hop.remote);
        assert!(shard.sent.is_empty());
    }
}

/// TDR-DNS-001, TDR-SIP-021: nothing within a call waits for addresses that are of no use.
#[test]
fn names_within_a_call_of_teams_are_asked_for_in_the_family_of_the_trunk_alone() {
    let (mut shard, invite) = called_out("families");
    let route = "Contact: <sip:api-du-a-euwe.pstnhub.microsoft.com:443;x-i=1>\n\
                 Record-Route: <sip:sip-du-a-eu.pstnhub.microsoft.com:5061;transport=tls;lr>\n";
    shard.teams_says(&response(&invite.message, "200 OK", "x1", route, TEAMS_SDP));
    let mut asked = shard.queries.iter().filter_map(|(_, query)| match query {
        Query::Resolve(spec) => Some((spec.host.as_str(), spec.port, spec.families)),
        _ => None,
    });
    let v4 = Families {
        v4: true,
        v6: false,
    };
    let wanted = ("sip-du-a-eu.pstnhub.microsoft.com", 5061, v4);
    assert_eq!(asked.next(), Some(wanted));
    assert_eq!(asked.next(), None);
}

/// TDR-OPT-012.
#[test]
fn options_of_teams_within_a_dialog_are_known_by_it() {
    let mut call = Call::new();
    call.teams_says("OPTIONS", 7, "Content-Length: 0\n\n");
    call.shard.next_response(200);
    let tag = header(&call.invite, HeaderName::From);
    let tag = tag.split(";tag=").nth(1).expect("a tag").to_owned();
    let unknown = callee_request(&call.invite, "x1", "OPTIONS", 8, "Content-Length: 0\n\n");
    call.shard.teams_says(&unknown.replace(&tag, "nobodys"));
    call.shard.next_response(481);
}

const REFRESH: &str = "Contact: <sip:gw@198.51.100.20:5060>\nSupported: timer\n\
                       Session-Expires: 1800;refresher=uac\n";

/// TDR-TMR-003, TDR-SIP-004: neither refreshes nor late offers of the carrier are Teams' business.
#[test]
fn a_refresh_of_the_carrier_never_reaches_teams() {
    let described = format!("{REFRESH}Content-Type: application/sdp\n");
    for (lines, sdp) in [(described.as_str(), CARRIER_SDP), (REFRESH, "")] {
        let mut call = Call::new();
        for _ in 0..3 {
            call.says("INVITE", lines, sdp);
            call.shard.next_response(100);
            let ok = call.shard.next_response(200);
            assert!(
                !ok.message.body().is_empty(),
                "an answer or an offer of ours"
            );
            let via = format!("{VIA}ack{}", call.cseq);
            let ack = in_dialog(&call.ok, "ACK", call.cseq, &via);
            let answer = CARRIER_SDP.replace('\n', "\r\n");
            let ack = match sdp {
                "" => ack.replace(
                    "Content-Length: 0\n\n",
                    &format!(
                        "Content-Type: application/sdp\nContent-Length: {}\n\n{CARRIER_SDP}",
                        answer.len()
                    ),
                ),
                _ => ack,
            };
            call.shard.carrier_says(&ack);
            assert!(call.shard.sent.is_empty(), "{lines}");
        }
        call.shard.pass(Duration::from_secs(60));
        let is_to_teams = |sent: &Sent| sent.hop.protocol == Protocol::Tls;
        assert!(!call.shard.sent.iter().any(is_to_teams), "{lines}");
    }
}

/// TDR-DNS-002: a trunk that names one of them only has its other addresses instead, for as long as three names last.
#[test]
fn where_teams_has_one_name_its_other_addresses_are_asked_too() {
    let second = "    { address = \"sip2.pstnhub.microsoft.com:5061;tls\" },\n";
    let config = named("");
    assert!(config.contains(second));
    let mut shard = Shard::with(config_of(&config.replace(second, "")));
    shard.carrier_says(&carrier_invite("one", CARRIER_SDP));
    let (id, _) = shard.queries.pop_front().expect("a question");
    let server = Server {
        priority: 0,
        weight: 0,
        port: 5061,
        addresses: [11, 12, 13, 14]
            .map(|last| [203, 0, 113, last].into())
            .into(),
    };
    let found = Outcome::Located(vec![Service {
        protocol: Protocol::Tls,
        servers: vec![server],
    }]);
    shard.apply(Input::Outcome(id, found));
    shard.pass(Duration::from_secs(15));
    let is_refusal = |sent: &Sent| sent.message.status().is_some_and(|own| own.code() >= 400);
    let is_told = shard.sent.iter().any(is_refusal);
    assert!(is_told, "the caller has heard that nobody is there");
    let mut at = shard.invited();
    at.sort();
    at.dedup();
    assert_eq!(at.len(), 3, "{at:?}");
}

/// Those that are known to be down are no further ones.
#[test]
fn of_one_name_no_more_addresses_are_asked_because_some_are_known_to_be_down() {
    let second = "    { address = \"sip2.pstnhub.microsoft.com:5061;tls\" },\n";
    let mut shard = Shard::with(config_of(&named("").replace(second, "")));
    let calls = |shard: &mut Shard, id: &str, last: &[u8]| {
        shard.carrier_says(&carrier_invite(id, CARRIER_SDP));
        let (query, _) = shard.queries.pop_front().expect("a question");
        let server = Server {
            priority: 0,
            weight: 0,
            port: 5061,
            addresses: last
                .iter()
                .map(|last| [203, 0, 113, *last].into())
                .collect(),
        };
        let services = vec![Service {
            protocol: Protocol::Tls,
            servers: vec![server],
        }];
        shard.apply(Input::Outcome(query, Outcome::Located(services)));
    };
    for n in 0..5 {
        calls(&mut shard, &format!("down{n}"), &[11, 12]);
    }
    shard.pass(Duration::from_secs(15));
    shard.sent.clear();
    calls(&mut shard, "one", &[11, 12, 13, 14, 15]);
    shard.pass(Duration::from_secs(15));
    let mut at = shard.invited();
    at.dedup();
    assert_eq!(at.len(), 3, "{at:?}");
}
