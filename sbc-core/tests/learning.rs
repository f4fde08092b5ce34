//! What the relay is told of where a peer's media may come from (MED-030, MED-031, MED-310).

use crate::world;

use media_api::{Command, Nearby, SourcePolicy};
use sbc_core::config::{Assumed, Code, Source, effective, load};
use sbc_core::sip::Method;
use std::net::IpAddr;
use world::*;

/// The carrier's media as it describes them, behind a NAT and not.
const INSIDE: &str = "192.168.7.7";
const OUTSIDE: &str = "198.51.100.30";
/// Where Teams describes its media.
const TEAMS_MEDIA: &str = "203.0.113.9";

fn config_with(line: &str) -> String {
    CONFIG.replace(
        "codecs = [\"PCMA\", \"PCMU\"]\n",
        &format!("codecs = [\"PCMA\", \"PCMU\"]\n{line}\n"),
    )
}

/// A description of the carrier at this address.
fn described(address: &str) -> String {
    let own = CARRIER_SDP
        .lines()
        .find_map(|line| line.strip_prefix("c=IN IP4 "));
    CARRIER_SDP.replace(own.expect("an address"), address)
}

/// What the relay was told last of the peer that describes itself at this address.
fn told_of(shard: &Shard, address: &str) -> SourcePolicy {
    let address: IpAddr = address.parse().expect("an address");
    let told = shard.media.iter().rev().find_map(|command| match command {
        Command::Answer { negotiated, .. } => {
            let stream = negotiated.streams[0].as_ref()?;
            (stream.remote_rtp.ip() == address).then(|| stream.source.clone())
        }
        _ => None,
    });
    told.expect("an agreement")
}

/// A call that the carrier makes, or gets, described at this address.
fn policy(line: &str, address: &str, calls: bool) -> SourcePolicy {
    let sdp = described(address);
    let mut shard = Shard::with(config_of(&config_with(line)));
    if calls {
        shard.carrier_says(&carrier_invite("nat", &sdp));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        shard.teams_says(&response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP));
    } else {
        shard.teams_says(&teams_invite("nat"));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        shard.carrier_says(&response(&invite, "200 OK", "b1", CARRIER_CONTACT, &sdp));
    }
    told_of(&shard, address)
}

/// What is known of the carrier: its ranges and targets, and where its signalling comes from.
fn is_near(nearby: &Nearby) -> bool {
    let ip = |text: &str| -> IpAddr { text.parse().expect("an address") };
    let has = |text| nearby.ranges.contains(ip(text));
    nearby.signalling == Some(ip("198.51.100.20"))
        && has("198.51.100.16")
        && has("198.51.100.31")
        && !has("198.51.100.32")
}

#[test]
fn a_carrier_is_believed_unless_its_description_shows_a_nat() {
    for calls in [true, false] {
        for line in ["", "nat = \"auto\""] {
            let believed = policy(line, OUTSIDE, calls);
            assert_eq!(believed, SourcePolicy::Signalled, "{line} {calls}");
            let SourcePolicy::Restricted(nearby) = policy(line, INSIDE, calls) else {
                panic!("behind a NAT: {line} {calls}")
            };
            assert!(is_near(&nearby), "{nearby:?}");
        }
    }
}

#[test]
fn an_operator_says_otherwise() {
    for calls in [true, false] {
        for address in [INSIDE, OUTSIDE] {
            let off = policy("nat = \"off\"", address, calls);
            assert_eq!(off, SourcePolicy::Signalled);
            let restricted = policy("nat = \"restricted\"", address, calls);
            assert!(matches!(&restricted, SourcePolicy::Restricted(near) if is_near(near)));
            let open = policy("nat = \"open\"", address, calls);
            assert!(matches!(&open, SourcePolicy::Open(near) if is_near(near)));
        }
    }
}

#[test]
fn a_range_that_holds_everybody_is_nobodys_own() {
    let text = CONFIG.replace(
        "accept_from = [\"203.0.113.0/24\"]",
        "accept_from = [\"0.0.0.0/0\"]",
    );
    let mut shard = Shard::with(config_of(&text));
    shard.carrier_says(&carrier_invite("nat", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP));
    let SourcePolicy::Restricted(nearby) = told_of(&shard, TEAMS_MEDIA) else {
        panic!("as for every Teams trunk")
    };
    let has = |text: &str| nearby.ranges.contains(text.parse().expect("an address"));
    assert!(has("203.0.113.2") && !has("203.0.113.66"), "{nearby:?}");
}

#[test]
fn a_blank_address_is_not_taken_for_a_way_out_of_a_nat() {
    let held = described("0.0.0.0");
    let mut shard = Shard::with(config_of(CONFIG));
    shard.carrier_says(&carrier_invite("nat", &held));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP));
    let told = told_of(&shard, "0.0.0.0");
    assert!(matches!(told, SourcePolicy::Restricted(_)), "{told:?}");
}

#[test]
fn what_is_in_force_is_shown_and_an_open_trunk_is_warned_of() {
    for (line, shown, warnings) in [
        ("", "auto", 0),
        ("nat = \"open\"", "open", 1),
        ("nat = \"off\"", "off", 0),
    ] {
        let sources = vec![Source::new("test.toml", config_with(line))];
        let loaded = match load(
            &sources,
            &Assumed::with_names(["sbc1.contoso.example"]),
            None,
        ) {
            Ok(loaded) => loaded,
            Err(findings) => panic!("{}", findings.to_text()),
        };
        let found = loaded.findings.warnings.iter();
        let open = found.filter(|own| own.code == Code::OpenMedia).count();
        assert_eq!(open, warnings, "{line}");
        let all = effective(&sources, &loaded);
        let value = |trunk: &str| {
            let mut all = all.iter();
            let settings = all.find(|own| own.name.as_deref() == Some(trunk));
            let mut settings = settings.expect("the trunk").settings.iter();
            settings
                .find(|own| own.key == "nat")
                .map(|own| own.value.clone())
        };
        assert!(value("carrier-a").is_some_and(|value| value.contains(shown)));
        assert_eq!(value("teams-contoso").as_deref(), Some("restricted"));
    }
}
