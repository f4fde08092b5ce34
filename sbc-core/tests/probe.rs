//! Health probes: OPTIONS in the form that Teams documents, and what they find out.

use crate::world;

use bytes::Bytes;
use sbc_core::event::Happened;
use sbc_core::id::{CommandId, TrunkName};
use sbc_core::input::{Command, Input};
use sbc_core::sip::Method;
use sbc_core::transport::{FlowFault, Protocol};
use sbc_core::trunk::{TargetId, TargetState};
use std::collections::BTreeSet;
use std::time::Duration;
use world::*;

fn started() -> Shard {
    let mut shard = Shard::new();
    shard.apply(Input::Config(config()));
    shard
}

fn health(shard: &Shard) -> Vec<(String, bool)> {
    let reports = shard.happened.iter().filter_map(|what| match what {
        Happened::TargetHealth { target, state, .. } => {
            Some((target.host.clone(), *state == TargetState::Up))
        }
        _ => None,
    });
    reports.collect()
}

#[test]
fn every_target_is_probed_within_five_seconds_and_then_once_a_minute() {
    let mut shard = started();
    // Whoever is asked answers; who was asked within this time.
    let mut asked_within = |tenths: u32| {
        let mut asked = Vec::new();
        for _ in 0..tenths {
            shard.pass(Duration::from_millis(100));
            while let Some(sent) = shard.sent.pop_front() {
                if *sent.message.method() != Method::Options {
                    continue;
                }
                let ok = response(&sent.message, "200 OK", "x", "", "");
                let flow = match sent.hop.remote.port() {
                    5061 => teams_flow(),
                    _ => carrier_flow(),
                };
                let remote = sent.hop.remote;
                shard.receive(sbc_core::transport::Flow { remote, ..flow }, &ok);
                asked.push(remote.to_string());
            }
        }
        asked.sort();
        asked
    };
    let targets = [
        "198.51.100.20:5060",
        "198.51.100.21:5060",
        "203.0.113.1:5061",
        "203.0.113.2:5061",
    ];
    assert_eq!(asked_within(50), targets);
    for minute in 1..5 {
        let asked: BTreeSet<String> = asked_within(650).into_iter().collect();
        assert_eq!(asked, targets.map(str::to_owned).into(), "minute {minute}");
    }
}

#[test]
fn teams_is_asked_within_three_minutes_also_where_that_is_what_is_written() {
    let text = CONFIG.replace(
        "fqdn = \"sbc1.contoso.example\"\n",
        "fqdn = \"sbc1.contoso.example\"\noptions = { interval = \"180s\" }\n",
    );
    assert_ne!(text, CONFIG);
    let mut shard = Shard::with(config_of(&text));
    shard.apply(Input::Config(config_of(&text)));
    let mut last = std::collections::BTreeMap::new();
    let mut longest = 0;
    for tenth in 0..12_000_u32 {
        shard.pass(Duration::from_millis(100));
        while let Some(sent) = shard.sent.pop_front() {
            if *sent.message.method() != Method::Options || sent.hop.remote.port() != 5061 {
                continue;
            }
            let ok = response(&sent.message, "200 OK", "x", "", "");
            let remote = sent.hop.remote;
            let flow = teams_flow();
            shard.receive(sbc_core::transport::Flow { remote, ..flow }, &ok);
            if let Some(before) = last.insert(remote, tenth) {
                longest = longest.max(tenth - before);
            }
        }
    }
    assert_eq!(last.len(), 2);
    // 10 ms that a timer may be late fall into the next tenth of a second.
    assert!(
        (1_799..=1_801).contains(&longest),
        "{longest} tenths of a second"
    );
}

#[test]
fn a_probe_of_teams_names_us_by_our_fqdn_and_never_by_address() {
    let mut shard = started();
    shard.pass(Duration::from_secs(5));
    let options = shard
        .sent
        .iter()
        .find(|sent| sent.hop.remote.to_string() == TEAMS)
        .map(text)
        .expect("a probe of Teams");
    for line in [
        "OPTIONS sip:sip.pstnhub.microsoft.com:5061;transport=tls SIP/2.0\r\n",
        "\r\nFrom: <sip:sbc1.contoso.example:5061>;tag=",
        "\r\nTo: <sip:sip.pstnhub.microsoft.com:5061>\r\n",
        "\r\nContact: <sip:sbc1.contoso.example:5061;transport=tls>\r\n",
        "\r\nX-MS-SBC: Causeway/SBC/",
        "\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, REFER\r\n",
    ] {
        assert!(options.contains(line), "{line:?} is missing in\n{options}");
    }
    assert!(!options.contains("192.0.2."), "{options}");
}

#[test]
fn an_answer_makes_a_target_alive_and_silence_makes_it_dead() {
    let mut shard = started();
    shard.pass(Duration::from_secs(5));
    let probe = shard
        .sent
        .iter()
        .find(|sent| sent.hop.remote.to_string() == TEAMS)
        .cloned();
    let answer = response(&probe.expect("a probe").message, "200 OK", "x", "", "");
    shard.teams_says(&answer);
    assert_eq!(
        health(&shard),
        [("sip.pstnhub.microsoft.com".to_owned(), true)]
    );
    shard.pass(Duration::from_secs(40));
    let dead = health(&shard)
        .into_iter()
        .filter(|(_, alive)| !alive)
        .count();
    assert_eq!(dead, 3, "the other three targets said nothing");
}

#[test]
fn whatever_a_carrier_answers_it_is_there_unless_a_proxy_got_no_answer() {
    let codes = [
        302, 402, 409, 413, 421, 487, 489, 491, 505, 580, 607, 408, 503,
    ];
    for code in codes {
        let mut shard = started();
        shard.pass(Duration::from_secs(5));
        let probe = shard
            .sent
            .iter()
            .find(|sent| sent.hop.remote.to_string() == Watched::TARGET)
            .cloned();
        let answer = response(
            &probe.expect("a probe").message,
            &format!("{code} No"),
            "x",
            "",
            "",
        );
        shard.carrier_says(&answer);
        let is_up = matches!(
            health(&shard).as_slice(),
            [(host, true)] if host == "198.51.100.20"
        );
        assert_eq!(is_up, ![408, 503].contains(&code), "{code}");
    }
}

#[test]
fn a_reload_that_changes_nothing_sends_nothing() {
    let mut shard = started();
    shard.pass(Duration::from_secs(59));
    shard.sent.clear();
    for _ in 0..20 {
        shard.apply(Input::Config(config()));
    }
    assert!(shard.sent.is_empty());
}

/// A shard whose first carrier target has answered its first probe.
struct Watched {
    shard: Shard,
    seen: BTreeSet<Bytes>,
    probes: usize,
}

impl Watched {
    const TARGET: &str = "198.51.100.20:5060";

    fn new() -> Self {
        let mut watched = Self {
            shard: started(),
            seen: BTreeSet::new(),
            probes: 0,
        };
        watched.pass(5, true);
        assert_eq!(watched.probes, 1);
        watched
    }

    /// Lets seconds pass in which the target answers, or does not.
    fn pass(&mut self, seconds: u64, answers: bool) {
        for _ in 0..10 * seconds {
            self.shard.pass(Duration::from_millis(100));
            while let Some(sent) = self.shard.sent.pop_front() {
                let is_probe = *sent.message.method() == Method::Options;
                if !is_probe || sent.hop.remote.to_string() != Self::TARGET {
                    continue;
                }
                self.probes += usize::from(self.seen.insert(sent.message.bytes().clone()));
                if answers {
                    let ok = response(&sent.message, "200 OK", "x", "", "");
                    self.shard.carrier_says(&ok);
                }
            }
        }
    }

    /// What was told of the target, oldest first.
    fn told(&self) -> Vec<bool> {
        let all = self.shard.happened.iter().filter_map(|what| match what {
            Happened::TargetHealth { target, state, .. } if target.host == "198.51.100.20" => {
                Some(*state == TargetState::Up)
            }
            _ => None,
        });
        all.collect()
    }
}

#[test]
fn a_target_that_misses_one_probe_is_asked_soon_again_and_stays_up() {
    let mut watched = Watched::new();
    // The second probe, and the 32 s in which it is not answered.
    watched.pass(60 + 5 + 32, false);
    assert_eq!(watched.probes, 2);
    watched.pass(12, true);
    assert_eq!(watched.probes, 3, "SIP-1710: not only a minute later");
    watched.pass(30, true);
    assert_eq!(watched.probes, 3, "it is trusted again");
    assert_eq!(watched.told(), [true]);
}

#[test]
fn a_target_is_down_after_three_failures_and_up_after_two_answers() {
    let mut watched = Watched::new();
    // A minute, and three times 32 s of silence with at most 12 s until it is asked again.
    watched.pass(55 + 2 * 32 + 31, false);
    assert_eq!(watched.told(), [true]);
    watched.pass(10 + 2 * 12 + 2, false);
    assert_eq!(watched.told(), [true, false]);
    // A probe that is under way may be answered now, the next one only ten seconds after.
    watched.pass(4, true);
    assert_eq!(watched.told(), [true, false], "one answer may be luck");
    watched.pass(2 * 12, true);
    assert_eq!(watched.told(), [true, false, true]);
}

#[test]
fn a_failure_of_the_transport_needs_no_second() {
    let mut watched = Watched::new();
    watched.shard.pass(Duration::from_secs(60));
    let lost = loop {
        watched.shard.pass(Duration::from_millis(100));
        let sent = watched.shard.sent.iter();
        let mut probe = sent.filter(|sent| sent.hop.remote.to_string() == Watched::TARGET);
        if let Some(sent) = probe.next() {
            break sent.transaction.expect("it is a transaction");
        }
    };
    watched.shard.apply(Input::SendFailed {
        transaction: lost,
        why: FlowFault::Connect("connection refused".to_owned()),
    });
    assert_eq!(watched.told(), [true, false]);
}

#[test]
fn a_call_tries_a_target_that_is_down_last() {
    let mut shard = started();
    let down = |alive| Input::TargetHealth {
        target: TargetId {
            trunk: TrunkName::new("teams-contoso"),
            host: "sip.pstnhub.microsoft.com".to_owned(),
            protocol: Protocol::Tls,
            remote: TEAMS.parse().ok(),
        },
        state: if alive {
            TargetState::Up
        } else {
            TargetState::Down
        },
    };
    for (input, call, first) in [
        (Some(down(false)), "down", "203.0.113.2:5061"),
        (Some(down(true)), "up", TEAMS),
        (None, "still", TEAMS),
    ] {
        if let Some(input) = input {
            shard.apply(input);
        }
        shard.sent.clear();
        shard.carrier_says(&carrier_invite(call, CARRIER_SDP));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite);
        assert_eq!(invite.hop.remote.to_string(), first, "{call}");
    }
    // A reload that changes nothing forgets nothing.
    shard.apply(down(false));
    shard.apply(Input::Config(config()));
    shard.sent.clear();
    shard.carrier_says(&carrier_invite("reloaded", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite);
    assert_eq!(invite.hop.remote.to_string(), "203.0.113.2:5061");
    // With nobody else, it is tried all the same (SIP-1711).
    shard.pass(Duration::from_secs(7));
    let tried = shard.sent.iter().any(|sent| {
        *sent.message.method() == Method::Invite && sent.hop.remote.to_string() == TEAMS
    });
    assert!(tried, "after the next target kept silent");
}

#[test]
fn peers_that_ask_while_we_drain_hear_503_and_look_elsewhere() {
    let mut shard = Shard::new();
    let mut asked = 0;
    let mut hears = |shard: &mut Shard, code: u16| {
        asked += 1;
        shard.carrier_says(&format!(
            "OPTIONS sip:192.0.2.11 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bK{asked}\n\
             Max-Forwards: 70\nFrom: <sip:198.51.100.20>;tag=o{asked}\nTo: <sip:192.0.2.11>\n\
             Call-ID: options{asked}\nCSeq: 1 OPTIONS\nContent-Length: 0\n\n"
        ));
        shard.next_response(code);
    };
    hears(&mut shard, 200);
    shard.apply(Input::Command(CommandId(1), Command::Drain(true)));
    hears(&mut shard, 503);
    shard.apply(Input::Command(CommandId(2), Command::Drain(false)));
    hears(&mut shard, 200);
}

/// Of the first name of Teams, when each of its addresses is asked within so many seconds, in tenths of seconds. A
/// connection to one that refuses fails at once, one that is silent says nothing, and others answer.
fn asked_in_turn(seconds: u64, refuses: &[&str], is_silent: &[&str]) -> Vec<(u64, String)> {
    let one = "connect_to = [\"203.0.113.1:5061\"]";
    let two = "connect_to = [\"203.0.113.1:5061\", \"203.0.113.4:5061\"]";
    let many = config_of(&CONFIG.replace(one, two));
    let mut shard = Shard::new();
    shard.apply(Input::Config(many));
    let mut asked = Vec::new();
    let mut seen = BTreeSet::new();
    for tenth in 0..10 * seconds {
        shard.pass(Duration::from_millis(100));
        while let Some(sent) = shard.sent.pop_front() {
            let remote = sent.hop.remote.to_string();
            let is_own = remote.starts_with("203.0.113.1:") || remote.starts_with("203.0.113.4:");
            if !is_own || !seen.insert(sent.message.bytes().clone()) {
                continue;
            }
            asked.push((tenth, remote.clone()));
            if refuses.contains(&remote.as_str()) {
                shard.apply(Input::SendFailed {
                    transaction: sent.transaction.expect("it is a transaction"),
                    why: FlowFault::Connect("connection refused".to_owned()),
                });
            } else if !is_silent.contains(&remote.as_str()) {
                let flow = sbc_core::transport::Flow {
                    remote: sent.hop.remote,
                    ..teams_flow()
                };
                shard.receive(flow, &response(&sent.message, "200 OK", "x", "", ""));
            }
        }
    }
    asked
}

const DEAD: &str = "203.0.113.1:5061";

/// TDR-OPT-006, TDR-OPT-007.
#[test]
fn an_address_of_teams_that_refuses_leaves_its_turn_to_another() {
    let asked = asked_in_turn(1_800, &[DEAD], &[]);
    let alive: Vec<u64> = asked
        .iter()
        .filter(|(_, remote)| remote != DEAD)
        .map(|(tenth, _)| *tenth)
        .collect();
    for pair in alive.windows(2) {
        let pause = pair[1] - pair[0];
        assert!((600..=670).contains(&pause), "{pause} tenths: {asked:?}");
    }
    let dead: Vec<u64> = asked
        .iter()
        .filter(|(_, remote)| remote == DEAD)
        .map(|(tenth, _)| *tenth)
        .collect();
    assert!(dead.len() > 3, "it may come back: {asked:?}");
    assert!(
        dead.windows(2).all(|pair| pair[1] - pair[0] >= 600),
        "{asked:?}"
    );
}

/// TDR-OPT-006: three minutes without any and the region is judged.
#[test]
fn an_address_of_teams_that_is_silent_has_no_two_turns_in_a_row() {
    let asked = asked_in_turn(3_600, &[], &[DEAD]);
    assert!(
        asked.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 600),
        "{asked:?}"
    );
    let is_dead = |(_, remote): &(u64, String)| remote == DEAD;
    // Until three failures in a row it counts as one that was missed.
    let later = asked.iter().skip(8).map(is_dead).collect::<Vec<_>>();
    assert!(later.iter().any(|is_dead| *is_dead), "it may come back");
    assert!(
        later.windows(2).all(|pair| !(pair[0] && pair[1])),
        "{asked:?}"
    );
}

/// TDR-OPT-009: an error is no reason to hurry.
#[test]
fn all_addresses_of_teams_that_refuse_are_tried_once_a_minute_each() {
    let asked = asked_in_turn(1_800, &[DEAD, "203.0.113.4:5061"], &[]);
    for own in [DEAD, "203.0.113.4:5061"] {
        let times = asked.iter().filter(|(_, remote)| remote == own);
        let times: Vec<u64> = times.map(|(tenth, _)| *tenth).collect();
        assert!(times.len() > 10, "{asked:?}");
        assert!(
            times.windows(2).all(|pair| pair[1] - pair[0] >= 600),
            "{asked:?}"
        );
    }
}
