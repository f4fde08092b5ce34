//! Lists of the interface that are given page by page.

use crate::daemon::configured;
use crate::restart::started;

use causeway::client::{Answer, send};
use serde_json::Value;
use std::path::Path;

async fn asks(folder: &Path, method: &'static str, path: String) -> Answer {
    let socket = folder.join("run/api.sock");
    let asking = tokio::task::spawn_blocking(move || send(&socket, method, &path, &[], ""));
    asking.await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_is_read_page_by_page_and_a_cursor_of_another_list_is_refused() {
    let (directory, _) = configured(|text| text);
    let folder = directory.path();
    let daemon = started(folder).await;
    for _ in 0..5 {
        let done = asks(folder, "POST", "/log/reset".to_owned()).await;
        assert_eq!(done.status, 200, "{}", done.body);
    }
    let numbers = |answer: &Answer| -> Vec<u64> {
        let told: Value = serde_json::from_str(&answer.body).unwrap();
        let entries = told["entries"].as_array().unwrap().iter();
        let numbers = entries.map(|own| own["number"].as_u64().unwrap());
        numbers.collect()
    };
    let whole = asks(folder, "GET", "/audit".to_owned()).await;
    assert_eq!(whole.header("Causeway-Next"), None, "{}", whole.body);
    let mut wanted = numbers(&whole);
    wanted.reverse();
    assert!(wanted.len() >= 5, "{wanted:?}");
    let mut seen = Vec::new();
    let mut page = asks(folder, "GET", "/audit?limit=2".to_owned()).await;
    let cursor = page.header("Causeway-Next").unwrap().to_owned();
    loop {
        assert_eq!(page.status, 200, "{}", page.body);
        seen.extend(numbers(&page).into_iter().rev());
        // What is written meanwhile is before all of these.
        let done = asks(folder, "POST", "/log/reset".to_owned()).await;
        assert_eq!(done.status, 200, "{}", done.body);
        let Some(next) = page.header("Causeway-Next") else {
            break;
        };
        page = asks(folder, "GET", format!("/audit?limit=2&cursor={next}")).await;
    }
    assert_eq!(seen, wanted);
    for list in [
        "/calls",
        "/calls/recent",
        "/calls/failed",
        "/records",
        "/audit",
    ] {
        let cursors = [
            "",
            "x",
            "audit-",
            "audit-1-1",
            "audit-fffffffffffffffffffff",
        ];
        for bad in cursors
            .into_iter()
            .chain((list != "/audit").then_some(&*cursor))
        {
            let refused = asks(folder, "GET", format!("{list}?cursor={bad}")).await;
            assert_eq!(refused.status, 400, "{list} {bad}: {}", refused.body);
            assert!(refused.body.contains("cursor"), "{list} {bad}");
        }
    }
    let few = asks(folder, "GET", "/calls?limit=1".to_owned()).await;
    assert_eq!((few.status, few.body.as_str()), (200, "[]"));
    assert_eq!(few.header("Causeway-Next"), None);
    daemon.shutdown().await;
}
