//! Whoever looks holds up nobody (OPS-001), and what is looked at most: the ladder of a call (OPS-084).

use crate::api::misfit;
use crate::daemon::{Node, Phone, exit_to, types, within};
use crate::draining::talks;
use crate::support::{PATIENCE, events};

use causeway::sink::news::Kind;
use serde_json::{Value, json};
use std::io::BufRead;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_falls_behind_misses_some_is_told_so_and_holds_up_no_call() {
    const TOLD: usize = 20_000;
    let (caller, callee) = (Phone::new("127.0.0.1").await, Phone::new("127.0.0.2").await);
    let node = Node::start_with(|text| text + &exit_to(callee.address)).await;
    let socket = node.directory.path().join("run/api.sock");
    let mut reader = tokio::task::spawn_blocking(move || events(&socket))
        .await
        .unwrap();
    // It reads nothing, and what fits into sockets is soon full.
    let news = &node.daemon.sinks().news;
    let filler = "x".repeat(1_000);
    for number in 0..TOLD {
        let told = json!({ "state": filler, "number": number });
        news.tell(Kind::NodeState, told);
    }
    let (answer, _) = talks(&caller, &callee, node.udp()).await;
    let bye = within(&answer, "BYE", 2, caller.address);
    caller.send(&bye, node.udp()).await;
    let (bye, ours) = callee.hears("BYE ").await;
    callee.answers("200 OK", &bye, ours, "").await;
    caller.hears("SIP/2.0 200").await;
    let end = json!({ "state": "end" });
    news.tell(Kind::NodeState, end);
    let read = move || {
        let (mut heard, mut missed, mut line) = (0, 0, String::new());
        let mut is_miss = false;
        loop {
            line.clear();
            assert_ne!(reader.read_line(&mut line).unwrap(), 0);
            is_miss |= line.starts_with("event: missed");
            let Some(data) = line.strip_prefix("data: ") else {
                continue;
            };
            let data: Value = serde_json::from_str(data).unwrap();
            match std::mem::take(&mut is_miss) {
                true => missed += data["events"].as_u64().unwrap(),
                false if data["state"] == "end" => return (heard, missed),
                false => heard += 1,
            }
        }
    };
    let (heard, missed) = tokio::task::spawn_blocking(read).await.unwrap();
    assert!(missed > 10_000, "{missed}");
    // What was not heard was missed, the events of the call included.
    let all = u64::try_from(TOLD).unwrap() + 2;
    assert!(heard + missed >= all, "{heard} heard, {missed} missed");
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ladder_is_drawn_for_terminals_programs_wikis_and_browsers() {
    let (caller, callee) = (Phone::new("127.0.0.1").await, Phone::new("127.0.0.2").await);
    let node = Node::start_with(|text| text + &exit_to(callee.address)).await;
    let (answer, _) = talks(&caller, &callee, node.udp()).await;
    let (_, list, _) = types(&node, &["call", "list"]).await;
    let id = list.lines().nth(1).unwrap().split(' ').next().unwrap();
    let (code, told, errors) = types(&node, &["call", "trace", id]).await;
    assert_eq!(code, Some(0), "{errors}");
    assert!(told.contains("the call is in progress"), "{told}");
    let bye = within(&answer, "BYE", 2, caller.address);
    caller.send(&bye, node.udp()).await;
    let (bye, ours) = callee.hears("BYE ").await;
    callee.answers("200 OK", &bye, ours, "").await;
    caller.hears("SIP/2.0 200").await;
    assert!(node.daemon.wait_until_idle(PATIENCE).await);

    let (_, told, _) = types(&node, &["call", "ladder", id, "--text"]).await;
    assert!(
        told.contains("│ INVITE ─") && told.contains("Call-ID: test1"),
        "{told}"
    );
    assert!(told.contains("who:"), "{told}");
    for wanted in [
        "peer A  127.0.0.1:",
        "SBC-A   127.0.0.",
        "SBC-B   127.0.0.",
        "peer B  127.0.0.2:",
    ] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    let (_, told, _) = types(&node, &["call", "trace", id, "--mermaid"]).await;
    assert!(told.starts_with("sequenceDiagram\n"), "{told}");
    for wanted in ["P0->>SA: 0.000 s INVITE", "SB->>P1: ", "P1->>SB: "] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    let (_, told, _) = types(&node, &["call", "trace", id, "--html"]).await;
    assert!(told.starts_with("<!doctype html>"), "{told}");
    assert!(
        told.contains("<svg ") && told.contains(">BYE</text>"),
        "{told}"
    );
    assert!(!told.contains("<script"), "{told}");

    let (_, told, _) = types(&node, &["call", "trace", id, "--json", "--text"]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    let document = node.ask("GET", "/openapi.json").await.body;
    let document: Value = serde_json::from_str(&document).unwrap();
    let answers = &document["paths"]["/api/v1/calls/{id}/ladder"]["get"]["responses"];
    let schema = &answers["200"]["content"]["application/json"]["schema"];
    assert_eq!(misfit(&told, schema, "ladder"), None);
    let (peers, rows) = (&told["peers"], told["rows"].as_array().unwrap());
    assert_eq!(peers[0]["address"], caller.address.to_string().as_str());
    assert_eq!(peers[1]["address"], callee.address.to_string().as_str());
    let names = |key: &str| [0, 1].map(|at| peers[at][key].as_str().unwrap().to_owned());
    assert_eq!(names("name"), ["peer A", "peer B"]);
    assert_eq!(names("side"), ["SBC-A", "SBC-B"]);
    assert_eq!(
        names("ours"),
        [node.udp().to_string(), node.udp().to_string()]
    );
    assert_eq!(rows[0]["title"], "INVITE");
    assert_eq!(
        (&rows[0]["from"], &rows[0]["to"]),
        (&json!("peer A"), &json!("SBC-A"))
    );
    assert_eq!(
        (&rows[0]["kind"], &rows[0]["from_peer"]),
        (&json!("message"), &json!(true))
    );
    assert!(rows[0]["description"].as_str().unwrap().starts_with("SDP "));
    assert!(rows[0]["lines"].as_array().unwrap().len() > 8);
    let wrong = node
        .ask("GET", &format!("/calls/{id}/trace?form=poem"))
        .await;
    assert_eq!(wrong.status, 400, "{}", wrong.body);
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_start_and_a_reload_that_changes_it_tell_how_many_calls_the_machine_allows() {
    let node = Node::start_with(|text| format!("{text}\n[limits]\ncalls = 900000\n")).await;
    node.logged("capacity: calls at the same time that this machine allows limit=900000")
        .await;
    // The ports of the realm are far from enough for that.
    node.logged("ports of realm \"core\" are enough for").await;
    // So does a reload that changes it, and no other one.
    let path = node.directory.path().join("causeway.toml");
    let takes = async |from: &str, to: &str| {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let done = node.ask("POST", "/reload").await;
        assert_eq!(done.status, 200, "{}", done.body);
    };
    takes("calls = 900000", "calls = 800000").await;
    node.logged("capacity: calls at the same time that this machine allows limit=800000")
        .await;
    takes("calls = 800000", "calls = 800000 # as before").await;
    // What it says of itself comes behind all that it has to say.
    node.logged("reload: configuration is in use generation=3")
        .await;
    let told = node.lines.text();
    let told = told.matches("capacity: calls at the same time").count();
    assert_eq!(told, 2, "{}", node.lines.text());
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trunks_and_peers_are_listed_with_their_calls_and_addresses() {
    let (caller, callee) = (Phone::new("127.0.0.1").await, Phone::new("127.0.0.2").await);
    let node = Node::start_with(|text| text + &exit_to(callee.address)).await;
    talks(&caller, &callee, node.udp()).await;
    let rows = node.ask("GET", "/trunks?trunk=exit").await;
    let rows: Value = serde_json::from_str(&rows.body).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
    assert_eq!(
        (&rows[0]["calls_in"], &rows[0]["calls_out"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(
        (&rows[0]["state"], &rows[0]["preset"]),
        (&json!("up"), &json!("carrier"))
    );
    let (code, told, errors) = types(&node, &["trunks"]).await;
    assert_eq!(code, Some(0), "{errors}");
    for name in ["carrier", "exit", "teams-contoso", "teams-fabrikam"] {
        assert!(told.lines().any(|line| line.starts_with(name)), "{told}");
    }
    let (_, told, _) = types(&node, &["trunk", "show", "exit"]).await;
    let wanted = [
        "state        up".to_owned(),
        format!("{}  not probed", callee.address.ip()),
    ];
    for wanted in wanted {
        assert!(told.contains(&wanted), "{wanted}: {told}");
    }
    let (code, _, errors) = types(&node, &["trunk", "show", "nobody"]).await;
    assert!(
        code == Some(5) && errors.contains("no trunk \"nobody\""),
        "{errors}"
    );
    let (code, told, errors) = types(&node, &["trunk", "show", "exitt", "--json"]).await;
    assert!(
        code == Some(5) && told.is_empty() && errors.contains("did you mean \"exit\"?"),
        "{told}{errors}"
    );
    let (_, told, _) = types(&node, &["peers"]).await;
    assert!(told.lines().any(|line| line.starts_with("exit ")), "{told}");
    node.daemon.shutdown().await;
}
