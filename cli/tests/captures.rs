//! Calls that an operator has captured.

use crate::daemon::Node;
use crate::logs::call;
use serde_json::{Value, json};

fn read(body: &str) -> Value {
    serde_json::from_str(body).unwrap()
}

/// OPS-085.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_calls_to_some_numbers_are_taken_and_fetched_as_packets() {
    let node = Node::start().await;
    let none = node.ask("GET", "/capture").await;
    assert_eq!(read(&none.body), json!({ "state": "none" }));
    assert_eq!(node.ask("POST", "/capture/fetch").await.status, 404);
    let begun = node
        .ask(
            "POST",
            "/capture?number=%2B1425555&calls=1&seconds=60&rtp=none",
        )
        .await;
    assert_eq!(begun.status, 200, "{}", begun.body);
    assert_eq!(read(&begun.body)["state"], "running");
    assert_eq!(node.ask("POST", "/capture").await.status, 409);
    call(&node, "+4930999").await;
    call(&node, "+14255550199").await;
    call(&node, "+14255550198").await;
    let stopped = node.ask("POST", "/capture/stop").await;
    let stopped = read(&stopped.body);
    assert_eq!(
        (&stopped["state"], &stopped["calls"]),
        (&json!("over"), &json!(1))
    );
    // The INVITE, our 100 and our refusal at least.
    assert!(stopped["messages"].as_u64() >= Some(2), "{stopped}");
    let file = node.ask("POST", "/capture/fetch").await;
    let file = read(&file.body);
    let file = sbc_core::sdp::base64_decode(file["pcapng"].as_str().unwrap().as_bytes()).unwrap();
    let has = |text: &str| {
        let mut parts = file.windows(text.len());
        parts.any(|part| part == text.as_bytes())
    };
    assert!(file.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]));
    assert!(has("INVITE sip:+14255550199@") && has("SIP/2.0 4"));
    assert!(!has("+4930999") && !has("+14255550198"));
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_captured_is_refused_in_words() {
    let node = Node::start().await;
    for (query, why) in [
        ("rtp=some", "rtp is none, headers or full"),
        ("rtp=full&calls=51", "from 1 to 50"),
        ("calls=0", "from 1 to 1000"),
        ("seconds=86401", "from 1 to 86400"),
        ("number=", "1 to 64 octets"),
        ("colour=red", "colour"),
    ] {
        let answer = node.ask("POST", &format!("/capture?{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.body);
        assert!(answer.body.contains(why), "{query}: {}", answer.body);
    }
    let answer = node.ask("POST", "/capture?trunk=carier").await;
    let why = "did you mean \\\"carrier\\\"?";
    assert!(
        answer.status == 404 && answer.body.contains(why),
        "{}",
        answer.body
    );
    node.daemon.shutdown().await;
}
