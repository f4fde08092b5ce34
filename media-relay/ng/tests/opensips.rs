//! What OpenSIPS' module writes and Kamailio's does not, as it stands in its messages: keys in its order, in bencode.
//!
//! It names the sender of every message, and the other party where that is known; words that it does not know are flags,
//! and pairs are keys of the message. Of a response it names the sides the other way round for an offer, and so of an ACK
//! for an answer.

mod support;

use media_api::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use support::Site;

static COOKIES: AtomicU32 = AtomicU32::new(0);

const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";
const ANSWER: &str = "v=0\r\no=- 3 4 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n\
    m=audio 5000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";
const CALL: &str = "7:call-id4:1@op";
const FROM: &str = "13:received-froml3:IP49:192.0.2.9e";

fn text(text: &str) -> String {
    format!("{}:{text}", text.len())
}

fn sdp(octets: &str) -> String {
    format!("3:sdp{}", text(octets))
}

/// The answer to a message of these entries.
fn ask(site: &mut Site, entries: &[&str]) -> String {
    // As it makes them: its process, and a number.
    let cookie = format!("4711_{} ", COOKIES.fetch_add(1, Ordering::Relaxed));
    let message = format!("{cookie}d{}e", entries.concat());
    let answers = site.send(message.as_bytes());
    let [answer] = &answers[..] else {
        panic!("{} answers", answers.len())
    };
    let answer = String::from_utf8(answer.clone()).expect("text");
    answer.strip_prefix(&cookie).expect("its cookie").to_owned()
}

fn ok(site: &mut Site, entries: &[&str]) -> String {
    let answer = ask(site, entries);
    assert!(answer.contains("6:result2:ok"), "{answer}");
    answer
}

/// `rtpengine_offer("RTP/AVP replace-session-connection replace-origin in-iface=inside out-iface=outside")` and its
/// answer without flags.
fn call(site: &mut Site, more: &str) -> String {
    let offer = ok(
        site,
        &[
            &sdp(OFFER),
            "9:directionl6:inside7:outsidee",
            "5:flagsl13:trust-addresse",
            "7:replacel18:session-connection6:origine",
            "18:transport-protocol7:RTP/AVP",
            more,
            CALL,
            FROM,
            "8:from-tag1:a",
            "7:command5:offer",
        ],
    );
    ok(
        site,
        &[
            &sdp(ANSWER),
            CALL,
            FROM,
            "8:from-tag1:a6:to-tag1:b",
            "7:command6:answer",
        ],
    );
    offer
}

#[test]
fn a_call_between_two_sides_is_made_and_ended() {
    let mut site = Site::new();
    assert_eq!(ask(&mut site, &["7:command4:ping"]), "d6:result4:ponge");
    let offer = call(&mut site, "8:rtcp-muxl5:demuxe");
    assert!(offer.contains("o=- 1 2 IN IP4 198.51.100.1\r\n"), "{offer}");
    assert!(offer.contains("m=audio 20100 RTP/AVP 8 101\r\n"));
    // What $rtpstat reads.
    let query = ok(
        &mut site,
        &[CALL, FROM, "8:from-tag1:a6:to-tag1:b", "7:command5:query"],
    );
    assert!(query.contains("6:totalsd"), "{query}");
    for part in ["3:RTPd", "4:RTCPd", "7:packetsi", "5:bytesi", "6:errorsi"] {
        assert!(query.contains(part), "{part}: {query}");
    }
    // A delete names the sender alone.
    ok(
        &mut site,
        &[CALL, FROM, "8:from-tag1:a", "7:command6:delete"],
    );
    let released = site.told.iter();
    let mut released = released.filter(|own| matches!(own, Command::Release { .. }));
    assert!(released.next().is_some());
}

/// The description is in the response, and its answer in the ACK.
#[test]
fn an_offer_of_a_response_names_the_sides_the_other_way_round() {
    let mut site = Site::new();
    let offer = ok(
        &mut site,
        &[
            &sdp(OFFER),
            CALL,
            FROM,
            "8:from-tag1:b6:to-tag1:a",
            "7:command5:offer",
        ],
    );
    assert!(offer.contains("m=audio 20100"));
    ok(
        &mut site,
        &[
            &sdp(ANSWER),
            CALL,
            FROM,
            "8:from-tag1:b6:to-tag1:a",
            "7:command6:answer",
        ],
    );
    let [a, b] = site.agreed();
    assert_eq!(a.remote_rtp.to_string(), "192.0.2.1:4000");
    assert_eq!(b.remote_rtp.to_string(), "192.0.2.2:5000");
}

/// `rtpengine_block_media()` of either party's message, and with `all`; recordings and keys.
#[test]
fn what_is_asked_of_running_media_is_meant_for_the_sender_unless_it_says_all() {
    let mut site = Site::new();
    call(&mut site, "");
    let blocked = |site: &mut Site| -> Vec<(u8, bool)> {
        let told = std::mem::take(&mut site.told).into_iter();
        let blocked = told.filter_map(|command| match command {
            Command::Block {
                endpoint,
                is_blocked,
                ..
            } => Some((endpoint.0, is_blocked)),
            _ => None,
        });
        blocked.collect()
    };
    site.told.clear();
    let (by_caller, by_called) = ("8:from-tag1:a6:to-tag1:b", "8:from-tag1:b6:to-tag1:a");
    ok(
        &mut site,
        &[CALL, FROM, by_caller, "7:command11:block media"],
    );
    assert_eq!(blocked(&mut site), [(0, true)]);
    ok(
        &mut site,
        &[CALL, FROM, by_called, "7:command11:block media"],
    );
    assert_eq!(blocked(&mut site), [(1, true)]);
    let all = "5:flagsl3:alle";
    ok(
        &mut site,
        &[all, CALL, FROM, by_caller, "7:command13:unblock media"],
    );
    assert_eq!(blocked(&mut site), [(0, false), (1, false)]);
    let played = ok(
        &mut site,
        &[
            "4:file10:/srv/a.wav",
            CALL,
            FROM,
            "8:from-tag1:b",
            "7:command10:play media",
        ],
    );
    assert!(played.contains("8:durationi1000e"), "{played}");
    ok(
        &mut site,
        &[CALL, FROM, "8:from-tag1:b", "7:command10:stop media"],
    );
    // Its code is a text.
    ok(
        &mut site,
        &["4:code1:5", CALL, FROM, by_caller, "7:command9:play DTMF"],
    );
    let told = std::mem::take(&mut site.told).into_iter();
    let dialled: Vec<_> = told
        .filter_map(|command| match command {
            Command::Dial { endpoint, .. } => Some(endpoint.0),
            _ => None,
        })
        .collect();
    assert_eq!(dialled, [1], "the other party hears it");
}

#[test]
fn the_end_of_a_branch_is_told_by_its_branch_and_a_later_end_in_seconds() {
    let mut site = Site::new();
    let branch = |name: &str| format!("10:via-branch{}", text(name));
    for name in ["z9hG4bK1", "z9hG4bK2"] {
        ok(
            &mut site,
            &[
                &sdp(OFFER),
                CALL,
                &branch(name),
                FROM,
                "8:from-tag1:a",
                "7:command5:offer",
            ],
        );
    }
    let delete = |site: &mut Site, more: &str| {
        ok(
            site,
            &[more, CALL, FROM, "8:from-tag1:a", "7:command6:delete"],
        )
    };
    let is_released = |site: &Site| {
        let mut told = site.told.iter();
        told.any(|own| matches!(own, Command::Release { .. }))
    };
    delete(&mut site, &branch("z9hG4bK1"));
    assert!(!is_released(&site), "the other branch goes on");
    ok(
        &mut site,
        &[
            &sdp(ANSWER),
            CALL,
            &branch("z9hG4bK2"),
            FROM,
            "8:from-tag1:a6:to-tag1:b",
            "7:command6:answer",
        ],
    );
    delete(&mut site, "12:delete-delayi30e");
    assert!(!is_released(&site));
    site.now += 36_000;
    site.input(media_ng::Input::Tick);
    assert!(is_released(&site));
}
