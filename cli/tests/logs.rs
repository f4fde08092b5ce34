//! What an operator has the log show for a while.

use crate::daemon::{Node, request};
use crate::support::PATIENCE;
use serde_json::{Value, json};
use tokio::net::UdpSocket;

/// Calls a number from the carrier's address, and takes the final answer.
pub(crate) async fn call(node: &Node, called: &str) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let from = socket.local_addr().unwrap();
    let uri = format!("sip:{called}@{}", node.udp());
    let text = request("INVITE", &uri, from, "").replace("test1", &format!("c{called}"));
    socket.send_to(text.as_bytes(), node.udp()).await.unwrap();
    let mut buffer = vec![0; 65_536];
    loop {
        let got = tokio::time::timeout(PATIENCE, socket.recv_from(&mut buffer)).await;
        let (length, _) = got.unwrap().unwrap();
        if !buffer[..length].starts_with(b"SIP/2.0 1") {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_calls_to_some_numbers_are_logged_for_a_while_and_those_of_others_are_not() {
    let node = Node::start().await;
    let look = "/log?level=trace&number=%2B1425555&code=sip&seconds=60";
    let answer = node.ask("POST", look).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let told: Value = serde_json::from_str(&node.ask("GET", "/log").await.body).unwrap();
    assert_eq!(
        (&told["level"], told["looks"][0]["number"].as_str()),
        (&json!("debug"), Some("+1425555"))
    );
    call(&node, "+4930999").await;
    call(&node, "+14255550199").await;
    node.logged("sip_received: INVITE sip:+14255550199@").await;
    node.logged("sip_sent: SIP/2.0 4").await;
    let ended = node.ask("POST", "/log/reset").await;
    let ended: Value = serde_json::from_str(&ended.body).unwrap();
    assert_eq!((&ended["ended"], &ended["looks"]), (&json!(1), &json!([])));
    call(&node, "+14255550198").await;
    // Its own line comes behind all others of its call.
    node.logged("called=+14255550198").await;
    let text = node.lines.text();
    let messages = || text.lines().filter(|line| line.contains("sip_"));
    assert!(messages().count() >= 2, "{text}");
    let is_other = |line: &str| line.contains("+4930999") || line.contains("+14255550198");
    assert!(!messages().any(is_other), "{text}");
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_shown_is_refused_in_words() {
    let node = Node::start().await;
    for (query, why) in [
        ("level=loud", "error, warn, info, debug or trace"),
        ("level=debug", "written anyway"),
        ("level=trace&seconds=0", "from 1 to 86400"),
        ("level=trace&number=", "1 to 64 octets"),
        ("level=trace&colour=red", "colour"),
        (
            "level=trace&code=sipp",
            "did you mean \\\"sip\\\"? There are abandoned, ",
        ),
    ] {
        let answer = node.ask("POST", &format!("/log?{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.body);
        assert!(answer.body.contains(why), "{query}: {}", answer.body);
    }
    let answer = node.ask("POST", "/log?level=trace&trunk=nobody").await;
    assert!(
        answer.status == 404 && answer.body.contains("no trunk "),
        "{}",
        answer.body
    );
    for number in 0..16 {
        let path = format!("/log?level=trace&number=%2B{number}");
        assert_eq!(node.ask("POST", &path).await.status, 200);
    }
    assert_eq!(
        node.ask("POST", "/log?level=trace&code=sip").await.status,
        409
    );
    node.daemon.shutdown().await;
}
