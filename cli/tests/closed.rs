//! Trunks that an operator disables, drains and enables, through the command line and the interface (OPS-090).

use crate::daemon::{Node, Phone, configured, exit_to, request, types, within};
use crate::draining::talks;
use crate::restart::started;
use crate::support::PATIENCE;

use causeway::client::ask;
use causeway::daemon::Daemon;
use causeway::sink::audit;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;

/// A new call, by its name; the final answer to it.
async fn calls(phone: &Phone, to: SocketAddr, name: &str) -> String {
    let uri = format!("sip:+15550100@{to}");
    let invite = request("INVITE", &uri, phone.address, &phone.description());
    let invite = invite.replace("test1", name);
    phone.send(&invite, to).await;
    let (answer, _) = phone.hears("SIP/2.0 503").await;
    let ack = request("ACK", &uri, phone.address, "").replace("test1", name);
    phone.send(&ack, to).await;
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_trunk_has_no_new_calls_and_says_so_everywhere_until_it_is_enabled() {
    let (caller, callee) = (Phone::new("127.0.0.1").await, Phone::new("127.0.0.2").await);
    let node = Node::start_with(|text| text + &exit_to(callee.address)).await;
    let to = node.udp();
    let (answer, _) = talks(&caller, &callee, to).await;
    let (code, _, errors) = types(&node, &["trunk", "disable", "exit"]).await;
    assert!(code == Some(5) && errors.contains("--yes"), "{errors}");
    let (code, _, errors) = types(&node, &["trunk", "disable", "nowhere", "--yes"]).await;
    assert!(
        code == Some(5) && errors.contains("no trunk \"nowhere\""),
        "{errors}"
    );
    let (code, _, errors) = types(&node, &["trunk", "disable", "nowhere"]).await;
    assert!(
        code == Some(5) && errors.contains("no trunk \"nowhere\"") && !errors.contains("--yes"),
        "{errors}"
    );
    let (code, told, errors) = types(&node, &["trunk", "disable", "exit", "--yes"]).await;
    assert_eq!(code, Some(0), "{errors}");
    assert!(
        told.contains("disabled") && told.contains("until the next restart only"),
        "{told}"
    );
    let refused = calls(&caller, to, "test2").await;
    assert!(refused.contains("CSeq: 1 INVITE"), "{refused}");
    calls(&callee, to, "test3").await;
    let options = request("OPTIONS", &format!("sip:{to}"), callee.address, "");
    callee.send(&options.replace("test1", "test4"), to).await;
    let (answered, _) = callee.hears("SIP/2.0 ").await;
    assert!(answered.starts_with("SIP/2.0 503"), "{answered}");
    let (_, told, _) = types(&node, &["call", "recent"]).await;
    assert!(told.contains("trunk_closed"), "{told}");
    let reloaded = node.ask("POST", "/reload").await;
    assert_eq!(reloaded.status, 200, "{}", reloaded.body);
    let (_, listed, _) = types(&node, &["trunk", "list"]).await;
    let line = listed.lines().find(|line| line.starts_with("exit"));
    assert!(
        line.is_some_and(|line| line.contains("disabled")),
        "{listed}"
    );
    let shows = async |text: &str| node.ask("GET", "/metrics").await.body.contains(text);
    assert!(shows("sbc_trunk_closed{how=\"disabled\",trunk=\"exit\"} 1").await);
    node.logged("trunk \"exit\" is disabled").await;
    // The call that was there ends as calls do.
    caller
        .send(&within(&answer, "BYE", 2, caller.address), to)
        .await;
    let (bye, ours) = callee.hears("BYE ").await;
    callee.answers("200 OK", &bye, ours, "").await;
    caller.hears("SIP/2.0 200").await;
    assert!(node.daemon.wait_until_idle(PATIENCE).await);
    let (code, told, _) = types(&node, &["trunk", "drain", "exit", "--json"]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &told["state"]), (Some(0), &Value::from("drained")));
    calls(&caller, to, "test5").await;
    let (code, told, _) = types(&node, &["trunk", "enable", "exit"]).await;
    assert!(code == Some(0) && told.contains("up"), "{told}");
    assert!(!shows("sbc_trunk_closed{").await);
    let uri = format!("sip:+15550100@{to}");
    let invite = request("INVITE", &uri, caller.address, &caller.description());
    caller.send(&invite.replace("test1", "test6"), to).await;
    callee.hears("INVITE ").await;
    node.daemon.shutdown().await;
}

async fn asks(folder: &Path, method: &'static str, path: &'static str) -> Value {
    let socket = folder.join("run/api.sock");
    let asked = tokio::task::spawn_blocking(move || ask(&socket, method, path));
    let answer = asked.await.unwrap().unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

fn state<'v>(trunks: &'v Value, name: &str) -> &'v str {
    let mut rows = trunks.as_array().unwrap().iter();
    rows.find(|row| row["trunk"] == name).unwrap()["state"]
        .as_str()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_closed_is_closed_after_a_restart_and_the_audit_log_says_who_did_it() {
    let (directory, _) = configured(|text| text);
    let folder = directory.path();
    let daemon = started(folder).await;
    let told = asks(folder, "POST", "/trunks/carrier/disable").await;
    assert_eq!(
        (&told["is_kept"], &told["state"]),
        (&Value::from(true), &Value::from("disabled"))
    );
    let told = asks(folder, "POST", "/trunks/teams-contoso/drain").await;
    assert_eq!(told["state"], "drained");
    daemon.shutdown().await;
    let daemon: std::sync::Arc<Daemon> = started(folder).await;
    let trunks = asks(folder, "GET", "/trunks").await;
    assert_eq!(state(&trunks, "carrier"), "disabled");
    assert_eq!(state(&trunks, "teams-contoso"), "drained");
    let metrics = daemon.sinks().metrics.text();
    let shown = "sbc_trunk_closed{how=\"draining\",trunk=\"teams-contoso\"} 1";
    assert!(metrics.contains(shown), "{metrics}");
    let told = asks(folder, "POST", "/trunks/carrier/enable").await;
    assert_ne!(told["state"], "disabled");
    daemon.shutdown().await;
    let read = audit::read(&folder.join("state").join(audit::FILE), 100).unwrap();
    for wanted in [
        "POST /trunks/carrier/disable",
        "POST /trunks/teams-contoso/drain",
        "POST /trunks/carrier/enable",
    ] {
        let is_told = read.entries.iter().any(|entry| entry.what == wanted);
        assert!(is_told, "{wanted}");
    }
}
