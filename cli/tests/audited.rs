//! What an entry of the audit log says besides who did what: to which object, what has become another, what for, and under
//! which configuration (SEC-154).

use crate::daemon::{configured, private};
use crate::restart::started;

use causeway::client::{Answer, send};
use causeway::sink::audit;
use serde_json::Value;
use std::path::Path;

async fn asks(
    folder: &Path,
    method: &'static str,
    path: &'static str,
    reason: Option<&'static str>,
) -> Answer {
    let socket = folder.join("run/api.sock");
    let asking = tokio::task::spawn_blocking(move || {
        let headers = reason.map(|reason| ("Causeway-Reason", reason));
        send(&socket, method, path, headers.as_slice(), "")
    });
    asking.await.unwrap().unwrap()
}

fn entries(folder: &Path) -> Vec<audit::Entry> {
    let read = audit::read(&folder.join("state").join(audit::FILE), 1_000).unwrap();
    assert_eq!(read.fault, None);
    read.entries.into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_tells_object_change_reason_and_generation_and_no_secret() {
    let secret = "a password that nobody may read";
    let (directory, config) = configured(|text| text);
    let folder = directory.path();
    std::fs::write(folder.join("pass"), secret).unwrap();
    private(&folder.join("pass"));
    let daemon = started(folder).await;
    let first = asks(
        folder,
        "POST",
        "/trunks/carrier/disable",
        Some("ticket%204711"),
    )
    .await;
    assert_eq!(first.status, 200, "{}", first.body);
    let text = std::fs::read_to_string(&config).unwrap();
    let more = format!(
        "\n[[api.user]]\nname = \"noc\"\nrole = \"viewer\"\ntoken = {{ file = \"{}/pass\" }}\n# password = \"{secret}\"\n",
        folder.display()
    );
    // Nobody listens over the network, so this is refused: nothing has changed.
    std::fs::write(&config, format!("{text}{more}")).unwrap();
    assert_eq!(asks(folder, "POST", "/reload", None).await.status, 422);
    let changed = text.replace("[node]\n", "[node]\n# once more\n");
    assert_ne!(changed, text);
    std::fs::write(&config, format!("{changed}# password = \"{secret}\"\n")).unwrap();
    assert_eq!(
        asks(folder, "POST", "/reload", Some("f%C3%BCr%20Contoso"))
            .await
            .status,
        200
    );
    let refused = asks(folder, "POST", "/drain", Some("a%0Ab")).await;
    assert_eq!(refused.status, 400, "{}", refused.body);
    // Whoever is to help sees it, too.
    let bundle = asks(folder, "POST", "/bundle", None).await;
    let bundle: Value = serde_json::from_str(&bundle.body).unwrap();
    let mut files = bundle["files"].as_array().unwrap().iter();
    let extract = files.find(|file| file["name"] == "audit.json");
    let extract = extract.unwrap()["text"].as_str().unwrap();
    assert!(extract.contains("ticket 4711"), "{extract}");
    let done = daemon.reload().await;
    daemon.note_reload_by_signal(&done);
    daemon.sinks().audit.finish().await;
    daemon.shutdown().await;

    let entries = entries(folder);
    let of = |what: &str, status: u16| {
        let mut all = entries.iter();
        let found = all.find(|one| one.what == what && one.status == status);
        found
            .unwrap_or_else(|| panic!("{what}: {entries:?}"))
            .clone()
    };
    let keys = of("loaded keys", 0);
    assert_eq!(
        (keys.who.as_str(), keys.object.as_deref()),
        ("causeway", Some("keys"))
    );
    assert!(
        keys.change
            .unwrap()
            .contains("+tls contoso: certificate sha256:")
    );
    let closed = of("POST /trunks/carrier/disable", 200);
    assert_eq!(closed.object.as_deref(), Some("trunk carrier"));
    assert_eq!(closed.change.as_deref(), Some("open to disabled"));
    assert_eq!(closed.reason.as_deref(), Some("ticket 4711"));
    assert_eq!(closed.generation, Some(1));
    assert_eq!(of("POST /reload", 422).generation, Some(1));
    let reloaded = of("POST /reload", 200);
    assert_eq!(reloaded.object.as_deref(), Some("configuration"));
    assert_eq!(reloaded.generation, Some(2));
    assert_eq!(reloaded.reason.as_deref(), Some("für Contoso"));
    let change = reloaded.change.unwrap();
    assert!(
        change.contains("+# once more") && change.contains("generation 1"),
        "{change}"
    );
    let by_signal = of("reload by SIGHUP", 200);
    assert_eq!(by_signal.who, "whoever sent SIGHUP");
    assert!(by_signal.monotonic_us > closed.monotonic_us);
    let whole = std::fs::read_to_string(folder.join("state").join(audit::FILE)).unwrap();
    assert!(!whole.contains(secret), "{whole}");
}
