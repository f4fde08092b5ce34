//! What one person alone may not do, where `[api] four_eyes` says so (SEC-151).

use crate::network::{Desk, Page};

use causeway::client::Answer;
use serde_json::{Value, json};
use std::path::PathBuf;

const HELP: &str =
    "[[route]]\nname = \"help\"\nmatch = { emergency = true }\nto = [{ trunk = \"carrier\" }]\n";

fn read(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|why| panic!("{why}: {body}"))
}

/// Something that waits for another person; its number.
fn waiting(status: u16, body: &str) -> String {
    let told = read(body);
    assert_eq!(status, 403, "{told}");
    let detail = told["detail"].as_str().unwrap();
    let id = told["approval"].as_str().unwrap().to_owned();
    assert!(detail.contains("another person has to agree"), "{detail}");
    assert!(
        detail.contains(&format!("causeway approvals agree {id}")),
        "{detail}"
    );
    id
}

struct Eyes(Desk);

impl Eyes {
    async fn with(words: &str) -> Self {
        let words = words.to_owned();
        let desk = Desk::with(move |_, _| format!("#api four_eyes = [{words}]\n{HELP}")).await;
        Self(desk)
    }

    async fn asks(&self, role: &str, path: &str) -> Page {
        let path = format!("/api/v1{path}");
        let token = format!("token-{role}");
        self.0.ask("POST", &path, Some(&token), "").await
    }

    /// Over the socket of the host.
    async fn here(&self, method: &'static str, path: String) -> Answer {
        let socket = self.0.directory.path().join("run/api.sock");
        let asking =
            tokio::task::spawn_blocking(move || causeway::client::ask(&socket, method, &path));
        asking.await.unwrap().unwrap()
    }

    async fn agrees_here(&self, id: &str) -> Answer {
        self.here("POST", format!("/approvals/{id}/agree")).await
    }

    fn file(&self) -> PathBuf {
        self.0.directory.path().join("causeway.toml")
    }

    fn rewrite(&self, that: &str, this: &str) {
        let text = std::fs::read_to_string(self.file()).unwrap();
        assert!(text.contains(that), "{that}");
        std::fs::write(self.file(), text.replace(that, this)).unwrap();
    }

    /// What was written down of those with this text.
    fn noted(&self, text: &str) -> Vec<(String, u16, String)> {
        let all = self.0.entries().into_iter();
        let all = all.filter(|entry| entry.what.contains(text));
        all.map(|entry| (entry.who, entry.status, entry.what))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_are_captured_once_another_person_has_agreed_and_fetched_by_nobody_else() {
    let eyes = Eyes::with("\"media\"").await;
    let full = "/capture?rtp=full&calls=1";
    // What nobody hears needs nobody.
    assert_eq!(eyes.asks("admin", "/capture?rtp=headers").await.status, 200);
    assert_eq!(eyes.asks("admin", "/capture/fetch").await.status, 200);
    assert_eq!(eyes.asks("admin", full).await.status, 409, "one goes on");
    assert_eq!(eyes.asks("admin", "/capture/stop").await.status, 200);

    let page = eyes.asks("admin", full).await;
    let id = waiting(page.status, &page.body);
    let agree = format!("/approvals/{id}/agree");
    let own = eyes.asks("admin", &agree).await;
    assert!(
        own.status == 403 && own.body.contains("somebody else has to agree"),
        "{own:?}"
    );
    let engineer = eyes.asks("engineer", &agree).await;
    assert!(
        engineer.status == 403 && engineer.body.contains("the right to media"),
        "{engineer:?}"
    );
    assert_eq!(eyes.asks("viewer", &agree).await.status, 403);
    let list = read(&eyes.here("GET", "/approvals".to_owned()).await.body);
    assert_eq!(
        (&list[0]["id"], &list[0]["state"]),
        (&json!(id), &json!("waits"))
    );
    assert_eq!(list[0]["what"], "capture with media of 1 calls in 600 s");

    assert_eq!(eyes.agrees_here(&id).await.status, 200);
    let twice = eyes.agrees_here(&id).await;
    assert!(
        twice.status == 409 && twice.body.contains("has agreed"),
        "{twice:?}"
    );
    let unknown = eyes.agrees_here("00000000").await;
    assert_eq!(unknown.status, 404);
    // Of another wish nothing was said.
    let other = eyes.asks("admin", "/capture?rtp=full&calls=2").await;
    waiting(other.status, &other.body);
    let begun = eyes.asks("admin", full).await;
    assert_eq!(begun.status, 200, "{begun:?}");
    // Who has asked hears it, and nobody else without another word: not who has agreed, either.
    assert_eq!(eyes.asks("admin", "/capture/fetch").await.status, 200);
    let fetched = eyes.here("POST", "/capture/fetch".to_owned()).await;
    let of_fetch = waiting(fetched.status, &fetched.body);
    let agreed = eyes
        .asks("admin", &format!("/approvals/{of_fetch}/agree"))
        .await;
    assert_eq!(agreed.status, 200, "{agreed:?}");
    let fetched = eyes.here("POST", "/capture/fetch".to_owned()).await;
    assert_eq!(fetched.status, 200);
    let again = eyes.here("POST", "/capture/fetch".to_owned()).await;
    waiting(again.status, &again.body);
    assert_eq!(eyes.asks("admin", "/capture/stop").await.status, 200);
    let next = eyes.asks("admin", full).await;
    waiting(next.status, &next.body);
    eyes.0.daemon.shutdown().await;

    let agreed = eyes.noted(&format!("/approvals/{id}/agree"));
    let told: Vec<u16> = agreed.iter().map(|(_, status, _)| *status).collect();
    assert_eq!(told, [403, 403, 403, 200, 409]);
    assert!(
        agreed[3]
            .2
            .contains("capture with media of 1 calls in 600 s of admin (admin)"),
        "{agreed:?}"
    );
    let done = eyes.noted("POST /capture rtp=full (agreed by ");
    let [(who, 200, what)] = done.as_slice() else {
        panic!("{done:?}");
    };
    assert!(
        who == "admin (admin)" && what.contains(&format!("approval {id})")),
        "{what}"
    );
    assert_eq!(
        eyes.noted(&format!(
            "POST /capture (waits for another person: approval {id})"
        ))
        .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_for_help_go_another_way_once_another_person_has_agreed_to_exactly_that() {
    let eyes = Eyes::with("\"emergency\"").await;
    let generation = || eyes.0.daemon.loaded().config.generation;
    // What is not about them needs nobody.
    eyes.rewrite("[node]\n", "[node]\n# once more\n");
    assert_eq!(eyes.asks("engineer", "/reload").await.status, 200);
    assert_eq!(generation(), 2);

    let other = HELP.replace(
        "{ emergency = true }",
        "{ emergency = true, from_trunk = \"carrier\" }",
    );
    eyes.rewrite(HELP, &other);
    let page = eyes.asks("engineer", "/reload?spare_calls=true").await;
    let id = waiting(page.status, &page.body);
    assert!(
        page.body.contains("route \\\"help\\\" is another"),
        "{page:?}"
    );
    assert_eq!(generation(), 2);
    let list = read(&eyes.here("GET", "/approvals".to_owned()).await.body);
    let difference = list[0]["difference"].as_str().unwrap();
    assert!(
        difference.contains("+match = { emergency = true, from_trunk = \"carrier\" }"),
        "{difference}"
    );
    let operator = eyes
        .asks("operator", &format!("/approvals/{id}/agree"))
        .await;
    assert!(
        operator.status == 403 && operator.body.contains("the right to configure"),
        "{operator:?}"
    );
    let agreed = eyes.asks("admin", &format!("/approvals/{id}/agree")).await;
    assert_eq!(agreed.status, 200, "{agreed:?}");

    // To these files: with others it is another wish.
    eyes.rewrite("# once more\n", "# twice more\n");
    let page = eyes.asks("engineer", "/reload").await;
    let second = waiting(page.status, &page.body);
    assert_ne!(second, id);
    eyes.rewrite("# twice more\n", "# once more\n");
    // Nor is it anybody else's.
    let here = eyes.here("POST", "/reload".to_owned()).await;
    waiting(here.status, &here.body);
    // Whether calls are spared is no other wish.
    let done = eyes.asks("engineer", "/reload").await;
    assert_eq!((done.status, generation()), (200, 3), "{done:?}");

    // There is no way back past it, and none past the rule itself.
    for path in ["/config/rollback", "/config/history/2/rollback"] {
        let page = eyes.asks("engineer", path).await;
        waiting(page.status, &page.body);
    }
    eyes.rewrite("\nfour_eyes = [\"emergency\"]\n", "\n");
    let page = eyes.asks("admin", "/reload").await;
    let id = waiting(page.status, &page.body);
    assert!(page.body.contains("four_eyes is another list"), "{page:?}");
    let refused = eyes.here("POST", format!("/approvals/{id}/refuse")).await;
    assert_eq!(refused.status, 200);
    let late = eyes
        .asks("engineer", &format!("/approvals/{id}/agree"))
        .await;
    assert!(
        late.status == 409 && late.body.contains("has refused"),
        "{late:?}"
    );
    // The signal is that of the host's own administrator, who is not held by it.
    eyes.0.daemon.reload().await.unwrap();
    assert_eq!(generation(), 4);
    assert_eq!(eyes.asks("engineer", "/config/rollback").await.status, 200);
    eyes.0.daemon.shutdown().await;

    let done = eyes.noted("POST /reload (agreed by admin (admin), approval ");
    assert!(
        matches!(done.as_slice(), [(who, 200, _)] if who == "engineer (engineer)"),
        "{done:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_shown_agreed_to_and_refused_by_commands() {
    let eyes = Eyes::with("\"emergency\"").await;
    let types = async |words: &[&str]| {
        let socket = eyes.0.directory.path().join("run/api.sock");
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_causeway"));
        command.args(words).arg("--socket").arg(socket);
        let done = tokio::task::spawn_blocking(move || command.output().unwrap());
        let done = done.await.unwrap();
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    };
    let (code, told, _) = types(&["approvals"]).await;
    assert_eq!(
        (code, told.trim()),
        (Some(0), "nothing waits for another person")
    );
    eyes.rewrite(
        "emergency = true",
        "emergency = true, from_trunk = \"carrier\"",
    );
    let page = eyes.asks("engineer", "/reload").await;
    let id = waiting(page.status, &page.body);
    // Who types is another person.
    let (code, _, errors) = types(&["reload", "--yes"]).await;
    assert!(
        code == Some(5) && errors.contains("causeway approvals agree"),
        "{errors}"
    );
    let (code, told, _) = types(&["approvals", "list"]).await;
    assert!(
        code == Some(0) && told.contains(&id) && told.contains("engineer (engineer)"),
        "{told}"
    );
    let (code, told, errors) = types(&["approvals", "show", &id]).await;
    assert_eq!(code, Some(0), "{errors}");
    assert!(
        told.contains("route \"help\" is another") && told.contains("+match = {"),
        "{told}"
    );
    let (code, _, errors) = types(&["approvals", "show", "0"]).await;
    assert!(code == Some(5) && errors.contains(&id), "{errors}");
    let (code, told, errors) = types(&["approvals", "agree", &id]).await;
    assert!(
        code == Some(0) && told.contains("engineer (engineer) may do it now"),
        "{told}{errors}"
    );
    let (code, _, errors) = types(&["approvals", "agree", &id]).await;
    assert!(code == Some(5) && errors.contains("has agreed"), "{errors}");
    let (code, told, _) = types(&["approvals", "refuse", &id]).await;
    assert!(
        code == Some(0) && told.contains("refused: reload of engineer"),
        "{told}"
    );
    let page = eyes.asks("engineer", "/reload").await;
    assert_ne!(waiting(page.status, &page.body), id);
    eyes.0.daemon.shutdown().await;
}
