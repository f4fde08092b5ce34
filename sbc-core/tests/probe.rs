//! Health probes: OPTIONS in the form that Teams documents, and what they find out.

mod world;

use sbc_core::event::Happened;
use sbc_core::input::Input;
use sbc_core::sip::Method;
use std::time::Duration;
use world::*;

fn started() -> Shard {
    let mut shard = Shard::new();
    shard.apply(Input::Config(config()));
    shard
}

fn health(shard: &Shard) -> Vec<(String, bool)> {
    let reports = shard.happened.iter().filter_map(|what| match what {
        Happened::TargetHealth { host, alive, .. } => Some((host.clone(), *alive)),
        _ => None,
    });
    reports.collect()
}

#[test]
fn every_target_is_probed_within_five_seconds_and_then_once_a_minute() {
    let mut shard = started();
    shard.pass(Duration::from_secs(5));
    let mut probed: Vec<String> = Vec::new();
    while let Some(sent) = shard.sent.pop_front() {
        if *sent.message.method() == Method::Options {
            probed.push(sent.hop.remote.to_string());
        }
    }
    probed.sort();
    probed.dedup();
    let targets = [
        "198.51.100.20:5060",
        "198.51.100.21:5060",
        "203.0.113.1:5061",
        "203.0.113.2:5061",
    ];
    assert_eq!(probed, targets);
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
        "\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY\r\n",
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
fn a_refusal_of_teams_is_no_sign_of_health() {
    let mut shard = started();
    shard.pass(Duration::from_secs(5));
    let probe = shard
        .sent
        .iter()
        .find(|sent| sent.hop.remote.to_string() == TEAMS)
        .cloned();
    let answer = response(
        &probe.expect("a probe").message,
        "403 Forbidden",
        "x",
        "",
        "",
    );
    shard.teams_says(&answer);
    assert_eq!(
        health(&shard),
        [("sip.pstnhub.microsoft.com".to_owned(), false)]
    );
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
