//! Whether a call still lives, asked by OPTIONS where there are no session timers (SIP-710).

use crate::world::call::{Call, header};
use crate::world::*;
use sbc_core::sip::{HeaderName, Method};
use std::time::Duration;

fn pinging() -> String {
    CONFIG.replace(
        "codecs = [\"PCMA\", \"PCMU\"]\n",
        "codecs = [\"PCMA\", \"PCMU\"]\noptions = false\nsession_timer = false\ndialog_ping = \"15m\"\n",
    )
    .replace(
        "preset = \"teams\"\n",
        "preset = \"teams\"\noptions = false\nsession_timer = false\n",
    )
}

const PAUSE: Duration = Duration::from_secs(900);

/// The next OPTIONS to the carrier, which must come within a time.
fn asked(shard: &mut Shard, within: Duration) -> Sent {
    shard.sent.clear();
    shard.pass(within);
    let is_question = |sent: &Sent| *sent.message.method() == Method::Options;
    let at = shard
        .sent
        .iter()
        .rposition(|sent| is_question(sent) && sent.hop.remote.to_string() == CARRIER);
    shard.sent.remove(at.expect("OPTIONS")).unwrap()
}

#[test]
fn a_call_without_session_timer_is_asked_for_and_lives_as_long_as_it_is_known() {
    let mut call = Call::with(&pinging());
    let question = asked(&mut call.shard, PAUSE);
    let to = header(&question.message, HeaderName::To);
    assert!(to.contains(";tag="), "{to}");
    call.shard.carrier_says(&response(
        &question.message,
        "405 Method Not Allowed",
        "",
        "",
        "",
    ));
    // Whoever refuses it so knows the call.
    let question = asked(&mut call.shard, PAUSE);
    call.shard
        .carrier_says(&response(&question.message, "200 OK", "", "", ""));
    assert!(call.shard.records.is_empty());
    // One that is not answered is repeated soon; then there is somebody again.
    asked(&mut call.shard, PAUSE + Duration::from_secs(1));
    let again = asked(&mut call.shard, Duration::from_secs(63));
    call.shard
        .carrier_says(&response(&again.message, "200 OK", "", "", ""));
    call.shard.pass(Duration::from_secs(100));
    assert!(call.shard.records.is_empty());
}

#[test]
fn two_questions_that_find_nobody_end_the_call() {
    let mut call = Call::with(&pinging());
    for pause in [PAUSE, Duration::from_secs(30)] {
        let question = asked(&mut call.shard, pause);
        call.shard.sent.clear();
        let gone = "481 Call/Transaction Does Not Exist";
        call.shard
            .carrier_says(&response(&question.message, gone, "", "", ""));
    }
    let byes = call.shard.sent.iter();
    let byes = byes.filter(|sent| *sent.message.method() == Method::Bye);
    assert_eq!(byes.count(), 2, "both parties are told");
}
