//! More calls than a shard can carry: what it refuses, what it never does, and how much is carried.

use crate::world;

use sbc_core::event::{DropCode, Happened};
use sbc_core::input::Input;
use sbc_core::overload::{Stage, Strain};
use sbc_core::sip::{HeaderName, Method};
use sbc_core::transport::Protocol;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use world::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// New requests have been waiting this long for a second.
fn lags(shard: &mut Shard, wait: u64) {
    for _ in 0..100 {
        shard.pass(ms(10));
        shard.apply(Input::Lag(ms(wait)));
    }
}

fn stages(shard: &mut Shard) -> Vec<Stage> {
    let stages = shard.happened.drain(..).filter_map(|what| match what {
        Happened::Overload { stage, .. } => Some(stage),
        _ => None,
    });
    stages.collect()
}

fn statuses(shard: &mut Shard) -> Vec<u16> {
    let sent = shard.sent.drain(..);
    let statuses = sent.filter_map(|sent| sent.message.status().map(|status| status.code()));
    statuses.collect()
}

#[test]
fn new_calls_are_refused_without_state_and_dialogs_are_served() {
    let (mut shard, invite) = called_out("first");
    lags(&mut shard, 400);
    assert_eq!(
        stages(&mut shard),
        [Stage::Busy, Stage::Heavy, Stage::Severe]
    );
    shard.sent.clear();
    let before = shard.core.census();
    shard.carrier_says(&carrier_invite("second", CARRIER_SDP));
    let refusal = shard.next_response(503).message;
    assert!(
        refusal.raw(HeaderName::RetryAfter).is_none(),
        "it has more than one server"
    );
    assert_eq!(
        shard.core.census(),
        before,
        "no transaction, no call, no record"
    );
    assert!(matches!(
        shard.happened.last(),
        Some(Happened::Dropped {
            why: DropCode::Overload,
            ..
        })
    ));
    // The call that was there first goes on: its INVITE is not refused when it is repeated.
    shard.carrier_says(&carrier_invite("first", CARRIER_SDP));
    assert_eq!(statuses(&mut shard), [100]);
    let answer = response(&invite.message, "200 OK", "t2", TEAMS_CONTACT, TEAMS_SDP);
    shard.teams_says(&answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    let via = |branch: &str| format!("SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bK{branch}");
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &via("ack")));
    shard.carrier_says(&in_dialog(&ok, "BYE", 11, &via("bye")));
    assert!(statuses(&mut shard).contains(&200));
    // Who asks whether a call would be taken hears what a call would.
    let options = |id: &str| carrier_invite(id, "").replace("INVITE", "OPTIONS");
    shard.carrier_says(&options("o1"));
    assert_eq!(statuses(&mut shard), [503]);
    // It ends with the lag.
    lags(&mut shard, 0);
    assert_eq!(stages(&mut shard), [Stage::Heavy, Stage::Busy, Stage::Calm]);
    shard.carrier_says(&options("o2"));
    shard.next_response(200);
    shard.carrier_says(&carrier_invite("third", CARRIER_SDP));
    shard.next_response(100);
}

#[test]
fn options_that_are_repeated_get_the_answer_that_was_lost() {
    let mut shard = Shard::with(config());
    let options = carrier_invite("lost", "").replace("INVITE", "OPTIONS");
    shard.carrier_says(&options);
    let first = shard.next_response(200).message;
    // Their transaction lives long enough.
    for _ in 0..10 {
        shard.pass(ms(10));
        shard.apply(Input::Lag(ms(4_000)));
    }
    shard.pass(ms(1_000));
    shard.carrier_says(&options);
    assert_eq!(shard.next_response(200).message.bytes(), first.bytes());
    assert!(shard.sent.is_empty());
    shard.carrier_says(&carrier_invite("new", "").replace("INVITE", "OPTIONS"));
    shard.next_response(503);
}

#[test]
fn options_are_refused_in_the_proportion_of_calls_and_a_single_client_is_asked_to_pause() {
    let asked = |config: &str, wait: u64| {
        let mut shard = Shard::with(config_of(config));
        lags(&mut shard, wait);
        shard.sent.clear();
        for number in 0..200 {
            let options = carrier_invite(&format!("o{number}"), "").replace("INVITE", "OPTIONS");
            shard.carrier_says(&options);
        }
        let is_refused = |sent: &Sent| sent.message.status().is_some_and(|s| s.code() == 503);
        let refused: Vec<Sent> = shard.sent.drain(..).filter(is_refused).collect();
        let pauses = refused
            .iter()
            .filter(|sent| sent.message.has(HeaderName::RetryAfter))
            .count();
        (refused.len(), pauses)
    };
    let (few, none) = asked(CONFIG, 80);
    assert!((20..70).contains(&few) && none == 0, "{few} {none}");
    assert_eq!(asked(CONFIG, 30), (0, 0));
    assert_eq!(asked(CONFIG, 300), (200, 0));
    let single = CONFIG.replace(", \"198.51.100.21:5060;udp\"", "");
    assert_eq!(asked(&single, 300), (200, 200));
}

#[test]
fn calls_that_would_leave_no_record_although_they_must_are_refused_unless_they_are_for_help() {
    let (mut shard, invite) = called_out("first");
    shard.apply(Input::Unrecorded(true));
    shard.sent.clear();
    shard.carrier_says(&carrier_invite("second", CARRIER_SDP));
    shard.next_response(503);
    let why = shard.happened.iter().filter_map(|what| match what {
        Happened::Dropped { why, .. } => Some(*why),
        _ => None,
    });
    assert_eq!(why.collect::<Vec<_>>(), [DropCode::Unrecorded]);
    // A record of the refusal would only take the room of another.
    assert_eq!(shard.core.census().calls, 1);
    shard.carrier_says(&carrier_invite("asked", "").replace("INVITE", "OPTIONS"));
    shard.next_response(503);
    let help = carrier_invite("help", CARRIER_SDP).replacen(
        "sip:+493023125456@192.0.2.11:5060",
        "urn:service:sos.fire",
        1,
    );
    shard.sent.clear();
    shard.carrier_says(&help);
    assert_ne!(statuses(&mut shard)[0], 503);
    // The call that was there before goes on.
    let answer = response(&invite.message, "200 OK", "t2", TEAMS_CONTACT, TEAMS_SDP);
    shard.teams_says(&answer);
    shard.next_request(Method::Ack);
    shard.apply(Input::Unrecorded(false));
    shard.sent.clear();
    shard.carrier_says(&carrier_invite("third", CARRIER_SDP));
    assert!(!statuses(&mut shard).contains(&503));
    shard.carrier_says(&carrier_invite("again", "").replace("INVITE", "OPTIONS"));
    shard.next_response(200);
}

#[test]
fn memory_that_runs_out_refuses_all_new_calls_and_busy_processors_a_fifth_at_most() {
    let refused = |strain: Strain| {
        let mut shard = Shard::new();
        shard.apply(Input::Strain(strain));
        for call in 0..200 {
            shard.carrier_says(&carrier_invite(&format!("c{call}"), CARRIER_SDP));
        }
        let all = statuses(&mut shard).into_iter();
        all.filter(|status| *status == 503).count()
    };
    let strain = |cpu, memory| Strain { cpu, memory };
    assert_eq!(refused(strain(960, 890)), 0);
    let by_cpu = refused(strain(1000, 0));
    assert!((20..60).contains(&by_cpu), "{by_cpu}");
    let by_memory = refused(strain(0, 925));
    assert!((75..125).contains(&by_memory), "{by_memory}");
    assert_eq!(refused(strain(0, 950)), 200);
}

#[test]
fn the_longer_new_calls_wait_the_more_of_them_are_refused() {
    let refused = |wait: u64| {
        let mut shard = Shard::new();
        lags(&mut shard, wait);
        shard.sent.clear();
        for call in 0..200 {
            shard.carrier_says(&carrier_invite(&format!("c{call}"), CARRIER_SDP));
        }
        let all = statuses(&mut shard).into_iter();
        all.filter(|status| *status == 503).count()
    };
    assert_eq!(refused(45), 0);
    assert!((20..70).contains(&refused(80)), "{}", refused(80));
    assert!((80..140).contains(&refused(130)), "{}", refused(130));
    assert_eq!(refused(300), 200);
}

#[test]
fn an_emergency_and_what_a_trusted_peer_marks_are_taken_in_every_stage() {
    let marked = |priority: &str| {
        let invite = carrier_invite("marked", CARRIER_SDP);
        invite.replace("Max-Forwards", &format!("{priority}Max-Forwards"))
    };
    let urgent = "Resource-Priority: esnet.1\n";
    for (trusted, invite, is_taken) in [
        (true, marked(urgent), true),
        (false, marked(urgent), false),
        (true, marked(""), false),
        (
            false,
            marked("").replacen(
                "sip:+493023125456@192.0.2.11:5060",
                "urn:service:sos.fire",
                1,
            ),
            true,
        ),
    ] {
        let trust = format!("codecs = [\"PCMA\", \"PCMU\"]\ntrusted = {trusted}");
        let config = CONFIG.replace("codecs = [\"PCMA\", \"PCMU\"]", &trust);
        let mut shard = Shard::with(config_of(&config));
        lags(&mut shard, 400);
        shard.carrier_says(&invite);
        let first = statuses(&mut shard)[0];
        assert_eq!(first != 503, is_taken, "{first}: {invite}");
    }
}

#[test]
fn beyond_a_budget_of_refusals_datagrams_are_dropped_and_one_client_is_asked_to_pause() {
    let two = "targets = [\"198.51.100.20:5060;udp\", \"198.51.100.21:5060;udp\"]";
    let config = CONFIG.replace(two, "targets = [\"198.51.100.20:5060;udp\"]");
    let mut shard = Shard::with(config_of(&config));
    lags(&mut shard, 400);
    shard.sent.clear();
    for call in 0..1_500 {
        shard.carrier_says(&carrier_invite(&format!("c{call}"), CARRIER_SDP));
    }
    let pauses: BTreeSet<String> = shard
        .sent
        .iter()
        .map(|sent| sent.message.raw(HeaderName::RetryAfter).expect("a pause"))
        .map(|value| String::from_utf8_lossy(&value).into_owned())
        .collect();
    let wanted: BTreeSet<String> = (0..=5).map(|seconds: u8| seconds.to_string()).collect();
    assert_eq!(pauses, wanted);
    assert_eq!(statuses(&mut shard), [503; 1_000]);
    let dropped = shard.happened.iter().filter(|what| {
        matches!(
            what,
            Happened::Dropped {
                why: DropCode::Overload,
                ..
            }
        )
    });
    assert_eq!(dropped.count(), 1_500);
    // A peer on a connection hears of it, and Teams is never asked to stay away.
    shard.teams_says(&teams_invite("t"));
    let refusal = shard.next_response(503).message;
    assert!(refusal.raw(HeaderName::RetryAfter).is_none());
}

/// What the work of a shard costs in the model, in microseconds. Of the real costs only their
/// proportions matter: a refusal is cheap, a new call is not.
const NEW_CALL: u64 = 1_500;
const REFUSAL: u64 = 50;
const OTHER: u64 = 500;
/// After the INVITE a call costs: answer, ACK, BYE, and the answer to ours.
const PER_CALL: u64 = NEW_CALL + 4 * OTHER;
const SECOND: u64 = 1_000_000;

/// One shard that needs time for its work, with the two lanes of its inbox, and the peers on both
/// sides.
struct Model {
    shard: Shard,
    now: u64,
    /// Messages on the wire, by their time of arrival.
    wire: BTreeMap<(u64, u64), (Protocol, String)>,
    number: u64,
    first: VecDeque<(u64, Protocol, String)>,
    second: VecDeque<(u64, Protocol, String)>,
    is_protected: bool,
    told: u64,
    begun: BTreeMap<String, u64>,
    answered: Vec<(u64, u64)>,
    refused: usize,
}

impl Model {
    /// Four seconds in which so many percent of the capacity are offered.
    fn run(percent: u64, is_protected: bool) -> Self {
        let mut model = Self {
            shard: Shard::new(),
            now: 0,
            wire: BTreeMap::new(),
            number: 0,
            first: VecDeque::new(),
            second: VecDeque::new(),
            is_protected,
            told: 0,
            begun: BTreeMap::new(),
            answered: Vec::new(),
            refused: 0,
        };
        let pause = PER_CALL * 100 / percent;
        let end = 4 * SECOND;
        for call in 0..end / pause {
            let call_id = format!("c{call}");
            let at = call * pause;
            let invite = carrier_invite(&call_id, CARRIER_SDP);
            model.begun.insert(call_id, at);
            model.send(at, Protocol::Udp, invite);
        }
        while model.now < end {
            model.step();
        }
        model
    }

    fn send(&mut self, at: u64, protocol: Protocol, text: String) {
        self.number += 1;
        self.wire.insert((at, self.number), (protocol, text));
    }

    fn step(&mut self) {
        while let Some(entry) = self.wire.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let ((at, _), (protocol, text)) = entry.remove_entry();
            let lane = match text.starts_with("INVITE") {
                true => &mut self.second,
                false => &mut self.first,
            };
            lane.push_back((at, protocol, text));
        }
        let is_new = self.first.is_empty();
        let next = self.first.pop_front();
        let Some((at, protocol, text)) = next.or_else(|| self.second.pop_front()) else {
            self.lag(0, true);
            let next = self
                .wire
                .first_key_value()
                .map_or(u64::MAX, |((at, _), _)| *at);
            return self.pass(next.min(20 * SECOND) - self.now);
        };
        self.lag(self.now - at, is_new);
        match protocol {
            Protocol::Tls => self.shard.teams_says(&text),
            Protocol::Udp | Protocol::Tcp => self.shard.carrier_says(&text),
        }
        let sent: Vec<Sent> = self.shard.sent.drain(..).collect();
        let is_refused = is_new
            && sent
                .iter()
                .all(|s| s.message.status().is_some_and(|s| s.code() == 503));
        let cost = match (is_new, is_refused) {
            (true, true) => REFUSAL,
            (true, false) => NEW_CALL,
            (false, _) => OTHER,
        };
        self.refused += usize::from(is_refused);
        self.pass(cost);
        for sent in sent {
            self.peer(&sent);
        }
    }

    /// As the shell tells the core.
    fn lag(&mut self, waited: u64, is_new: bool) {
        let matters = waited.max(self.told) >= 10_000;
        if self.is_protected && matters && (is_new || waited > self.told) {
            self.told = waited;
            self.shard.apply(Input::Lag(Duration::from_micros(waited)));
        }
    }

    fn pass(&mut self, time: u64) {
        self.now += time;
        self.shard.pass(Duration::from_micros(time));
    }

    /// What the peers make of a message.
    fn peer(&mut self, sent: &Sent) {
        let at = self.now + 10_000;
        let message = &sent.message;
        if sent.hop.protocol == Protocol::Tls {
            let sdp = match *message.method() {
                Method::Invite if message.is_request() => TEAMS_SDP,
                Method::Bye if message.is_request() => "",
                _ => return,
            };
            return self.send(
                at,
                Protocol::Tls,
                response(message, "200 OK", "t2", TEAMS_CONTACT, sdp),
            );
        }
        let is_answer = message.status().is_some_and(|status| status.code() == 200);
        let cseq = String::from_utf8_lossy(&message.raw(HeaderName::CSeq).unwrap()).into_owned();
        if !is_answer || !cseq.ends_with("INVITE") {
            return;
        }
        let call_id = message.raw(HeaderName::CallId).unwrap();
        let call_id = String::from_utf8_lossy(&call_id).into_owned();
        if let Some(begun) = self.begun.remove(&call_id) {
            self.answered.push((self.now, self.now - begun));
            let via =
                |what| format!("SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bK{what}{call_id}");
            self.send(at, Protocol::Udp, in_dialog(message, "ACK", 10, &via("a")));
            self.send(
                at + 100_000,
                Protocol::Udp,
                in_dialog(message, "BYE", 11, &via("b")),
            );
        }
    }

    /// Calls that were answered in the last three seconds, in percent of the capacity.
    fn goodput(&self) -> u64 {
        let late = self.answered.iter().filter(|(at, _)| *at >= SECOND);
        late.count() as u64 * PER_CALL * 100 / (3 * SECOND)
    }

    fn slowest(&self) -> Duration {
        let slowest = self.answered.iter().map(|(_, took)| *took).max();
        Duration::from_micros(slowest.unwrap_or(0))
    }
}

#[test]
fn offered_twice_and_three_times_its_capacity_a_shard_carries_nine_tenths_of_it() {
    let easy = Model::run(80, true);
    assert_eq!(easy.refused, 0);
    assert!((79..=81).contains(&easy.goodput()), "{}", easy.goodput());
    for percent in [200, 300] {
        let model = Model::run(percent, true);
        let goodput = model.goodput();
        assert!(
            goodput >= 90,
            "{goodput} % of the capacity at {percent} % offered"
        );
        assert!(model.slowest() < ms(400), "{:?}", model.slowest());
        assert!(model.refused > 0);
    }
}

#[test]
fn without_refusals_calls_would_wait_longer_and_longer() {
    let model = Model::run(200, false);
    assert!(model.slowest() > ms(1_500), "{:?}", model.slowest());
    assert_eq!(model.refused, 0);
}
