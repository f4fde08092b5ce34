//! The 49 messages of RFC 4475 sent to a whole shard by a peer that it knows: what leaves is what
//! the manifest says, nothing leaves twice, and nothing stays behind.

#![allow(clippy::disallowed_methods, reason = "tests read files")]

use crate::world;

use bytes::Bytes;
use sbc_core::input::Input;
use sbc_core::sip::{Limits, Message};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use world::*;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpora/rfc4475")
}

fn entries() -> Vec<Value> {
    let text = std::fs::read(folder().join("manifest.json")).expect("manifest");
    let manifest: Value = serde_json::from_slice(&text).expect("JSON");
    manifest["messages"].as_array().expect("a list").clone()
}

/// Final statuses that a shard sends for a message, ACKs and retransmissions apart.
fn finals(shard: &mut Shard, bytes: Bytes) -> Vec<u16> {
    let flow = carrier_flow();
    match Message::parse(bytes, &Limits::default()) {
        Ok(message) => shard.apply(Input::Received { flow, message }),
        Err(rejected) => shard.apply(Input::Malformed { flow, rejected }),
    }
    let lines = shard.start_lines.replace(Vec::new());
    let lines = lines.expect("start lines are kept");
    let status = |line: &String| -> u16 {
        let words = line.strip_prefix("SIP/2.0 ").expect("no request leaves");
        words[..3].parse().expect("a status")
    };
    let statuses = lines.iter().map(status);
    statuses.filter(|status| *status >= 200).collect()
}

#[test]
fn every_torture_message_gets_its_reaction_from_a_whole_shard() {
    let mut wrong = Vec::new();
    for entry in entries() {
        let file = entry["file"].as_str().expect("a name");
        let expected = &entry["expected"];
        let bytes = Bytes::from(std::fs::read(folder().join(file)).expect("message"));
        let mut shard = Shard::new();
        shard.start_lines = Some(Vec::new());
        let finals = finals(&mut shard, bytes);
        if !is_right(expected, &finals) {
            wrong.push(format!("{file}: {finals:?}, expected {expected}"));
        }
        shard.pass(Duration::from_secs(300));
        if shard.core.census() != Default::default() {
            wrong.push(format!("{file} leaves {:?} behind", shard.core.census()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn is_right(expected: &Value, finals: &[u16]) -> bool {
    let list = |name: &str| -> Vec<u64> {
        let values = expected[name].as_array().into_iter().flatten();
        values.filter_map(Value::as_u64).collect()
    };
    let (any_of, never) = (list("final_any_of"), list("final_not"));
    match finals {
        [] => expected["drop_silently"] == true,
        [status] => {
            let status = u64::from(*status);
            let is_tolerated = expected["or_tolerate_and_process"] == true;
            expected["drop_silently"] != true
                && !never.contains(&status)
                && (any_of.is_empty() || any_of.contains(&status) || is_tolerated)
        }
        _ => false,
    }
}
