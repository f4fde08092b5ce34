//! What a proxy asks of media that flow already: blocking, silence, recordings, keys, and the end that comes later.

mod support;

use media_api::{
    AllocateError, Beside, Command, EndpointId, Event, SessionId, Signal, Sound, SoundId,
};
use media_ng::{Input, Recording};
use serde_json::{Value, json};
use support::{Site, request};

const OFFER: &str = "v=0\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 8 101\r\n\
    a=rtpmap:101 telephone-event/8000\r\n";
const ANSWER: &str = "v=0\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nm=audio 5000 RTP/AVP 8 101\r\n\
    a=rtpmap:101 telephone-event/8000\r\n";

fn offered(more: Value) -> Site {
    let mut site = Site::new();
    assert_eq!(site.offer(OFFER, more)["result"], "ok");
    site
}

fn answered() -> Site {
    let mut site = offered(json!({"label": "caller"}));
    assert_eq!(
        site.answer(ANSWER, json!({"label": "callee"}))["result"],
        "ok"
    );
    site.told.clear();
    site
}

fn order(site: &mut Site, command: &str, more: Value) -> Value {
    let mut order = json!({"command": command, "call-id": "1@example.net", "from-tag": "a"});
    for (key, value) in more.as_object().expect("an object") {
        order[key] = value.clone();
    }
    site.ask(order)
}

fn ok(site: &mut Site, command: &str, more: Value) -> Value {
    let answer = order(site, command, more);
    assert_eq!(answer["result"], "ok", "{command}: {answer}");
    answer
}

fn why(answer: &Value) -> &str {
    assert_eq!(answer["result"], "error", "{answer}");
    answer["error-reason"].as_str().expect("a reason")
}

/// What the relay was told since this was asked last: of which endpoint, and what.
fn told(site: &mut Site) -> Vec<(u8, String)> {
    let told = std::mem::take(&mut site.told).into_iter();
    told.map(|command| match command {
        Command::Block {
            endpoint,
            is_blocked,
            ..
        } => (endpoint.0, format!("blocked {is_blocked}")),
        Command::Take {
            endpoint, intake, ..
        } => (endpoint.0, format!("{intake:?}")),
        Command::Play {
            endpoint,
            playing: None,
            ..
        } => (endpoint.0, "nothing".into()),
        Command::Play {
            endpoint,
            playing: Some(playing),
            ..
        } => match (playing.sound, playing.times, playing.beside) {
            (Sound::Recording(SoundId(name)), Some(times), Beside::Muted) => {
                (endpoint.0, format!("recording {name} {times} times"))
            }
            (Sound::Tone(tone), None, Beside::First { .. }) => {
                assert!(tone.phases.iter().all(|phase| phase.hz == [0, 0]));
                (endpoint.0, "silence".into())
            }
            other => panic!("{other:?}"),
        },
        Command::Dial {
            endpoint, dialled, ..
        } => {
            let (symbol, ms) = (dialled.digit.symbol(), dialled.duration_ms);
            let how = match dialled.signal {
                Signal::Event => "event",
                Signal::Tone => "tone",
            };
            (endpoint.0, format!("{how} {symbol} of {ms} ms"))
        }
        other => panic!("{other:?}"),
    })
    .collect()
}

fn all(told: &[(u8, String)]) -> Vec<(u8, &str)> {
    told.iter().map(|(at, what)| (*at, what.as_str())).collect()
}

#[test]
fn media_and_keys_are_blocked_for_both_or_for_one_and_what_one_had_alone_stays() {
    let mut site = answered();
    let whole = json!({"from-tag": ""});
    ok(&mut site, "block media", whole.clone());
    assert_eq!(
        all(&told(&mut site)),
        [(0, "blocked true"), (1, "blocked true")]
    );
    ok(&mut site, "block media", json!({"label": "callee"}));
    assert_eq!(all(&told(&mut site)), []);
    ok(&mut site, "unblock media", whole);
    assert_eq!(all(&told(&mut site)), [(0, "blocked false")]);
    // As OpenSIPS' module writes it, which names the sender of its message in any case.
    ok(&mut site, "unblock media", json!({"flags": ["all"]}));
    assert_eq!(all(&told(&mut site)), [(1, "blocked false")]);
    // As Kamailio's module writes `directional`.
    let directional = json!({"from-tag": "a"});
    ok(&mut site, "block DTMF", directional.clone());
    assert_eq!(all(&told(&mut site)), [(0, "Events")]);
    ok(&mut site, "block DTMF", json!({"address": "192.0.2.2"}));
    assert_eq!(all(&told(&mut site)), [(1, "Events")]);
    ok(&mut site, "unblock DTMF", directional);
    assert_eq!(all(&told(&mut site)), [(0, "Pass")]);
    for (more, word) in [
        (json!({"label": "nobody"}), "this label"),
        (json!({"address": "192.0.2.3"}), "this address"),
        (json!({"from-tag": "x"}), "this from-tag"),
    ] {
        assert!(why(&order(&mut site, "block media", more)).contains(word));
    }
    let unknown = order(&mut site, "block media", json!({"call-id": "2"}));
    assert_eq!(why(&unknown), "unknown call-id");
}

#[test]
fn an_offer_can_block_keys_and_all_media_from_the_beginning() {
    let mut site = offered(json!({"flags": ["block DTMF"], "drop-traffic": "start"}));
    // Behind the ports.
    site.told.remove(0);
    assert_eq!(
        all(&told(&mut site)),
        [(0, "blocked true"), (0, "Events"), (1, "blocked true")]
    );
    let more = json!({"drop-traffic": "stop"});
    assert_eq!(site.answer(ANSWER, more)["result"], "ok");
    site.told.drain(..3);
    assert_eq!(
        all(&told(&mut site)),
        [(0, "blocked false"), (1, "blocked false")]
    );
}

#[test]
fn silence_takes_the_place_of_audio_and_a_recording_that_of_silence() {
    let mut site = answered();
    ok(&mut site, "silence media", json!({"label": "caller"}));
    assert_eq!(all(&told(&mut site)), [(0, "blocked true"), (1, "silence")]);
    let played = ok(
        &mut site,
        "play media",
        json!({"from-tag": "b", "file": "/srv/a.wav", "repeat-times": 2}),
    );
    assert_eq!(played["duration"], 1_000);
    assert_eq!(all(&told(&mut site)), [(1, "recording 0 2 times")]);
    let over = |site: &mut Site, heard| {
        site.input(Input::Event(Event::Played {
            session: SessionId::new(0, 0),
            endpoint: EndpointId(1),
            heard,
        }));
    };
    over(&mut site, true);
    assert_eq!(all(&told(&mut site)), [(1, "silence")]);
    // What cannot be heard is not begun over and over.
    over(&mut site, false);
    assert_eq!(all(&told(&mut site)), [(1, "nothing")]);
    ok(&mut site, "unsilence media", json!({"label": "caller"}));
    assert_eq!(all(&told(&mut site)), [(0, "blocked false")]);
}

#[test]
fn recordings_are_heard_by_who_is_named_until_they_are_stopped() {
    let mut site = answered();
    ok(&mut site, "play media", json!({"blob64": "UklGRg=="}));
    assert_eq!(all(&told(&mut site)), [(0, "recording 0 1 times")]);
    let both = json!({"flags": ["all"], "file": "b.wav", "repeat-duration": 2_500});
    ok(&mut site, "play media", both);
    assert_eq!(
        all(&told(&mut site)),
        [(0, "recording 1 3 times"), (1, "recording 1 3 times")]
    );
    ok(&mut site, "stop media", json!({"label": "callee"}));
    assert_eq!(all(&told(&mut site)), [(1, "nothing")]);
    site.finds_ms = None;
    // Who waits for a file is answered when it is there, or something else was asked.
    let play = r#"9 {"command":"play media","call-id":"1@example.net","from-tag":"a","file":"c"}"#;
    assert!(site.send(play.as_bytes()).is_empty());
    let (ticket, recording) = site.fetches.remove(0);
    assert_eq!(recording, Recording::File("c".into()));
    site.find(ticket, Err("\"c\" cannot be read: it is no file".into()));
    let answer = String::from_utf8(site.answers().remove(0)).unwrap();
    assert!(answer.starts_with("9 ") && answer.contains("it is no file"));
    assert!(site.send(&[b"1", play.as_bytes()].concat()).is_empty());
    ok_beside(&mut site);
    let (ticket, _) = site.fetches.remove(0);
    site.find(ticket, Ok(5));
    assert!(site.answers().is_empty() && told(&mut site).len() == 1);
}

/// Stops what was to be heard: the one who waits is told, and so is who has asked.
fn ok_beside(site: &mut Site) {
    let stop = r#"8 {"command":"stop media","call-id":"1@example.net","from-tag":"a"}"#;
    let answers = site.send(stop.as_bytes());
    let [waiting, own] = &answers[..] else {
        panic!("{} answers", answers.len())
    };
    let waiting = String::from_utf8_lossy(waiting);
    assert!(waiting.starts_with("19 ") && waiting.contains("another order"));
    assert_eq!(own, br#"8 {"result":"ok"}"#);
}

#[test]
fn nobody_is_played_what_they_cannot_hear() {
    let mut site = offered(json!({}));
    let early = order(&mut site, "play media", json!({"file": "a"}));
    assert!(why(&early).contains("has agreed on none of them"));
    let mut site = answered();
    let nobody = json!({"command": "play media", "call-id": "1@example.net", "file": "a"});
    assert!(why(&site.ask(nobody)).contains("nobody is named"));
    let other = "v=0\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 18\r\n";
    assert_eq!(site.offer(other, json!({"to-tag": "b"}))["result"], "ok");
    assert_eq!(site.answer(other, json!({}))["result"], "ok");
    let sound = order(&mut site, "play media", json!({"file": "a"}));
    assert!(why(&sound).contains("PCMA"));
    let key = order(&mut site, "play DTMF", json!({"code": "5"}));
    assert!(why(&key).contains("telephone-event"));
}

#[test]
fn sounds_and_keys_are_heard_in_codecs_that_have_to_be_made() {
    for line in [
        "m=audio 4000 RTP/AVP 9\r\n",
        "m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n",
    ] {
        let wide = format!("v=0\r\ns=-\r\nc=IN IP4 192.0.2.1\r\n{line}");
        let mut site = answered();
        assert_eq!(site.offer(&wide, json!({"to-tag": "b"}))["result"], "ok");
        assert_eq!(site.answer(&wide, json!({}))["result"], "ok");
        site.told.clear();
        ok(&mut site, "play media", json!({"blob64": "UklGRg=="}));
        assert_eq!(all(&told(&mut site)), [(0, "recording 0 1 times")]);
        ok(&mut site, "play DTMF", json!({"code": "5"}));
        assert_eq!(all(&told(&mut site)), [(1, "tone 5 of 250 ms")]);
    }
}

#[test]
fn a_key_that_a_party_presses_is_told_to_the_other() {
    let mut site = answered();
    ok(&mut site, "play DTMF", json!({"code": 11, "duration": 300}));
    assert_eq!(all(&told(&mut site)), [(1, "event # of 300 ms")]);
    let bare = ANSWER.replace(" 101", "");
    assert_eq!(site.offer(&bare, json!({"to-tag": "b"}))["result"], "ok");
    assert_eq!(site.answer(&bare, json!({}))["result"], "ok");
    site.told.clear();
    ok(
        &mut site,
        "play DTMF",
        json!({"digit": "3", "from-tag": "b"}),
    );
    assert_eq!(all(&told(&mut site)), [(0, "tone 3 of 250 ms")]);
}

#[test]
fn a_call_that_is_deleted_later_goes_on_until_then_and_an_offer_keeps_it() {
    let delete = json!({"command": "delete", "call-id": "1@example.net", "from-tag": "a", "delete-delay": 30});
    let mut site = answered();
    let figures = site.ask(delete.clone());
    assert!(figures["totals"]["RTP"].is_object(), "{figures}");
    site.told.clear();
    site.now = 29_000;
    site.input(Input::Tick);
    assert_eq!((site.server.calls(), site.told.len()), (1, 0));
    assert_eq!(site.offer(OFFER, json!({"to-tag": "b"}))["result"], "ok");
    site.now = 40_000;
    site.input(Input::Tick);
    assert_eq!(site.server.calls(), 1);
    assert_eq!(site.ask(delete)["result"], "ok");
    site.now = 71_000;
    site.input(Input::Tick);
    assert_eq!(site.server.calls(), 0);
}

#[test]
fn a_proxy_that_asks_another_relay_is_told_when_there_is_no_room() {
    let supports = json!({"supports": ["load limit"]});
    let mut site = Site::new();
    site.refuses = Some(AllocateError::PortsExhausted);
    assert_eq!(site.offer(OFFER, supports.clone())["result"], "load limit");
    assert!(why(&site.offer(OFFER, json!({}))).contains("ports"));
    site.refuses = None;
    for number in 0..10 {
        let offer = request("offer", None, OFFER, json!({"call-id": number.to_string()}));
        assert_eq!(site.ask(offer)["result"], "ok");
    }
    assert_eq!(site.offer(OFFER, supports)["result"], "load limit");
    assert!(why(&site.offer(OFFER, json!({}))).contains("as many calls"));
}

#[test]
fn flags_may_come_as_one_text() {
    let mut site = Site::new();
    let offer = site.offer(
        OFFER,
        json!({"rtpp_flags": "replace-origin RTP/SAVP direction=outside direction=inside label=caller"}),
    );
    let sdp = offer["sdp"].as_str().expect("a description");
    assert!(
        sdp.contains("m=audio 20100 RTP/SAVP") && sdp.contains("203.0.113.1"),
        "{sdp}"
    );
    ok(
        &mut site,
        "block media",
        json!({"rtpp_flags": "label=caller"}),
    );
    let broken = site.offer(OFFER, json!({"rtpp_flags": "codec=[strip"}));
    assert!(why(&broken).contains("brackets"));
}
