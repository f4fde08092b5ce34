//! Requests with an `Idempotency-Key`, as somebody sends them again who has got no answer.

use crate::daemon::configured;
use crate::restart::started;

use causeway::client::{Answer, send};
use causeway::sink::audit;
use serde_json::{Value, json};
use std::path::Path;

async fn asks(
    folder: &Path,
    method: &'static str,
    path: &'static str,
    key: Option<&str>,
) -> Answer {
    let socket = folder.join("run/api.sock");
    let key = key.map(str::to_owned);
    let asking = tokio::task::spawn_blocking(move || {
        let headers = key.as_deref().map(|key| ("Idempotency-Key", key));
        send(&socket, method, path, headers.as_slice(), "")
    });
    asking.await.unwrap().unwrap()
}

async fn bans(folder: &Path) -> Vec<String> {
    let shown = asks(folder, "GET", "/security", None).await;
    let shown: Value = serde_json::from_str(&shown.body).unwrap();
    let all = shown["bans"].as_array().unwrap().iter();
    all.map(|own| own["address"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_again_with_its_key_is_not_done_again_and_is_written_down_once() {
    let (directory, _) = configured(|text| text);
    let folder = directory.path();
    let daemon = started(folder).await;
    let ban = "/security/bans?address=192.0.2.7&seconds=600&reason=floods";
    let first = asks(folder, "POST", ban, Some("ban-1")).await;
    assert_eq!(first.status, 200, "{}", first.body);
    assert_eq!(first.header("Idempotency-Replayed"), None);
    assert_eq!(bans(folder).await, ["192.0.2.7"]);
    let ended = asks(folder, "DELETE", "/security/bans?address=192.0.2.7", None).await;
    assert_eq!(ended.status, 200, "{}", ended.body);

    let again = asks(folder, "POST", ban, Some("ban-1")).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(again.header("Idempotency-Replayed"), Some("true"));
    assert_eq!(again.header("Content-Type"), Some("application/json"));
    assert!(bans(folder).await.is_empty());

    // Another request with that key is a mistake of whoever sends it; at another path it is another key.
    let other = "/security/bans?address=192.0.2.8&seconds=600&reason=floods";
    let refused = asks(folder, "POST", other, Some("ban-1")).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    let problem: Value = serde_json::from_str(&refused.body).unwrap();
    assert_eq!(problem["status"], json!(422));
    assert!(bans(folder).await.is_empty());
    let elsewhere = asks(folder, "POST", "/log/reset", Some("ban-1")).await;
    assert_eq!(elsewhere.status, 200, "{}", elsewhere.body);
    assert_eq!(elsewhere.header("Idempotency-Replayed"), None);

    // A refusal is an answer, too.
    let unknown = "/trunks/nobody/disable";
    let first = asks(folder, "POST", unknown, Some("trunk-1")).await;
    let again = asks(folder, "POST", unknown, Some("trunk-1")).await;
    assert_eq!((first.status, again.status), (404, 404));
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("Content-Type"), first.header("Content-Type"));
    assert_eq!(again.header("Idempotency-Replayed"), Some("true"));

    let long = "k".repeat(129);
    for bad in [long.as_str(), "two words"] {
        let refused = asks(folder, "POST", other, Some(bad)).await;
        assert_eq!(refused.status, 400, "{}", refused.body);
        assert!(refused.body.contains("Idempotency-Key"), "{}", refused.body);
    }
    assert!(bans(folder).await.is_empty());
    // Who only looks has no use for a key, and it is no harm.
    let looked = asks(folder, "GET", "/security", Some("two words")).await;
    assert_eq!(looked.status, 200);

    daemon.sinks().audit.finish().await;
    daemon.shutdown().await;
    let read = audit::read(&folder.join("state").join(audit::FILE), 1_000).unwrap();
    let count = |what: &str, status: u16| {
        let all = read.entries.iter();
        all.filter(|own| own.what.starts_with(what) && own.status == status)
            .count()
    };
    assert_eq!(count("POST /security/bans", 200), 1, "{:?}", read.entries);
    assert_eq!(count("POST /security/bans", 422), 1, "{:?}", read.entries);
    assert_eq!(count("POST /security/bans", 400), 2, "{:?}", read.entries);
    assert_eq!(count("POST /trunks/nobody/disable", 404), 1);
}
