//! Headers that nobody knows: they stay behind, and that is told once for each name and trunk by a shard.

use crate::world;

use sbc_core::event::Happened;
use world::*;

fn told(shard: &Shard) -> Vec<(String, String)> {
    let all = shard.happened.iter().filter_map(|what| match what {
        Happened::HeaderLeft { trunk, name } => Some((trunk.to_string(), name.clone())),
        _ => None,
    });
    all.collect()
}

fn calls(shard: &mut Shard, call_id: &str, lines: &str) {
    shard.sent.clear();
    let invite = carrier_invite(call_id, CARRIER_SDP);
    shard.carrier_says(&invite.replace("Max-Forwards", &format!("{lines}Max-Forwards")));
    shard.next_response(100);
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = all
        .iter()
        .map(|(trunk, name)| ((*trunk).to_owned(), (*name).to_owned()));
    pairs.collect()
}

#[test]
fn what_stays_behind_is_told_once_for_each_name_and_trunk() {
    let config = CONFIG.replace(
        "preset = \"teams\"\n",
        "preset = \"teams\"\nheaders = { pass = [\"X-Listed\"] }\n",
    );
    let mut shard = Shard::with(config_of(&config));
    let lines = "X-One: 1\nX-Listed: 2\nX-Two: 3\nx-one: 4\nSubject: lunch\n";
    calls(&mut shard, "first", lines);
    let invite = shard.next_request(sbc_core::sip::Method::Invite).message;
    let first = pairs(&[("carrier-a", "X-One"), ("carrier-a", "X-Two")]);
    assert_eq!(told(&shard), first);
    let answer = format!("{TEAMS_CONTACT}X-One: 5\nX-Three: 6\n");
    shard.teams_says(&response(&invite, "180 Ringing", "x1", &answer, ""));
    shard.teams_says(&response(&invite, "200 OK", "x1", &answer, TEAMS_SDP));
    let second = pairs(&[("teams-contoso", "X-One"), ("teams-contoso", "X-Three")]);
    assert_eq!(told(&shard)[2..], second);
    calls(&mut shard, "again", lines);
    assert_eq!(told(&shard).len(), 4, "nobody is told twice");
}

#[test]
fn a_peer_that_makes_up_names_is_told_of_for_a_while() {
    let mut shard = Shard::with(config());
    for call in 0..4 {
        let lines: Vec<String> = (0..40).map(|n| format!("X-N{call}-{n}: 1\n")).collect();
        calls(&mut shard, &format!("call{call}"), &lines.concat());
    }
    assert_eq!(told(&shard).len(), 64);
    calls(&mut shard, "long", &format!("X-{}: 1\n", "x".repeat(70)));
    assert_eq!(told(&shard).len(), 64);
}

#[test]
fn what_nobody_can_let_pass_or_is_stripped_on_purpose_is_not_told() {
    let config = CONFIG.replace(
        "preset = \"teams\"\n",
        "preset = \"teams\"\nheaders = { strip = [\"X-Stripped\"] }\n",
    );
    let mut shard = Shard::with(config_of(&config));
    let lines = "x-stripped: 1\nP-Called-Party-ID: <sip:a@h>\nP-Served-User: <sip:a@h>\nX-One: 1\n";
    calls(&mut shard, "first", lines);
    assert_eq!(told(&shard), pairs(&[("carrier-a", "X-One")]));
}

#[test]
fn what_passes_in_a_call_for_help_is_not_told() {
    let mut shard = Shard::with(config_of(&crate::emergency::helping()));
    let invite = crate::emergency::dialled("112");
    let lines = "Geolocation: <https://h/l>\nGeolocation-Routing: yes\nX-One: 1\n";
    shard.teams_says(&invite.replace("MAX-FORWARDS", &format!("{lines}MAX-FORWARDS")));
    shard.next_response(100);
    let invite = shard.next_request(sbc_core::sip::Method::Invite).message;
    assert!(invite.raw_named("Geolocation-Routing").is_some());
    assert_eq!(told(&shard), pairs(&[("teams-contoso", "X-One")]));
}
