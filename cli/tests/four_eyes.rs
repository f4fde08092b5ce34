//! What one person alone may not do, where `[api]` has `four_eyes` (SEC-151).

use crate::network::{Desk, Page};
use crate::restart::started;
use crate::support::PATIENCE;

use causeway::client::Answer;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

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

const SWITCH: &str = "four_eyes = true";

struct Eyes(Desk);

impl Eyes {
    async fn start() -> Self {
        Self(Desk::with(|_, _| format!("#api {SWITCH}\n#admin hears\n")).await)
    }

    /// Its daemon starts anew.
    async fn again(mut self) -> Self {
        self.0.daemon.shutdown().await;
        self.0.daemon = started(self.0.directory.path()).await;
        self
    }

    fn generation(&self) -> u64 {
        self.0.daemon.loaded().config.generation
    }

    fn has_switch(&self) -> bool {
        self.0.daemon.loaded().shell.has_four_eyes
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
    let eyes = Eyes::start().await;
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
async fn nobody_alone_goes_back_past_the_switch_by_the_interface() {
    let eyes = Eyes::start().await;
    let with = std::fs::read_to_string(eyes.file()).unwrap();
    let write = |text: &str| std::fs::write(eyes.file(), text).unwrap();
    // Without it, and with another user; what the files say is taken whoever asks.
    write(&with.replace(SWITCH, "four_eyes = false"));
    assert_eq!(eyes.asks("engineer", "/reload").await.status, 200);
    write(&with.replace("name = \"viewer\"", "name = \"vera\""));
    assert_eq!(eyes.asks("engineer", "/reload").await.status, 200);
    write(&with);
    assert_eq!(eyes.asks("engineer", "/reload").await.status, 200);
    eyes.rewrite("[node]\n", "[node]\n# once more\n");
    assert_eq!(eyes.asks("engineer", "/reload").await.status, 200);
    assert_eq!(eyes.generation(), 5);
    for number in [2, 3] {
        let path = format!("/config/history/{number}/rollback");
        for page in [
            eyes.asks("admin", &path).await,
            eyes.asks("engineer", &path).await,
        ] {
            assert_eq!(page.status, 403, "{page:?}");
            assert!(page.body.contains("systemctl reload causeway"), "{page:?}");
        }
        assert_eq!(eyes.here("POST", path).await.status, 403);
    }
    assert_eq!((eyes.generation(), eyes.has_switch()), (5, true));
    // The same persons: back once, and to where it led before.
    let page = eyes.asks("engineer", "/config/rollback").await;
    assert_eq!((page.status, eyes.generation()), (200, 6), "{page:?}");
    let page = eyes.asks("engineer", "/config/rollback").await;
    assert_eq!(page.status, 403, "{page:?}");
    // A user whose token cannot be read would be gone by it.
    let gone = eyes.0.directory.path().join("viewer.hash");
    let aside = gone.with_extension("aside");
    std::fs::rename(&gone, &aside).unwrap();
    let page = eyes.asks("engineer", "/config/history/5/rollback").await;
    assert_eq!(page.status, 403, "{page:?}");
    std::fs::rename(&aside, &gone).unwrap();
    // Where nothing has the switch any more, it is as without it.
    write(&with.replace(SWITCH, "four_eyes = false"));
    eyes.0.daemon.reload().await.unwrap();
    let page = eyes.asks("engineer", "/config/history/3/rollback").await;
    assert_eq!(page.status, 200, "{page:?}");
    eyes.0.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_to_be_confirmed_does_not_lead_back_past_the_switch() {
    let eyes = Eyes::start().await;
    let with = std::fs::read_to_string(eyes.file()).unwrap();
    let without = with.replace(SWITCH, "four_eyes = false");
    std::fs::write(eyes.file(), &without).unwrap();
    eyes.0.daemon.reload().await.unwrap();
    // It waits; then somebody with the files has the switch again.
    std::fs::write(eyes.file(), without.replace("[node]\n", "[node]\n# once\n")).unwrap();
    let waits = eyes.asks("engineer", "/reload?confirm_within=600").await;
    assert_eq!(waits.status, 200, "{waits:?}");
    assert!(read(&waits.body)["confirm_within"].as_u64() > Some(500));
    std::fs::write(eyes.file(), &with).unwrap();
    eyes.0.daemon.reload().await.unwrap();
    let left = |eyes: &Eyes| eyes.0.daemon.generations().left();
    assert!(eyes.has_switch() && left(&eyes).is_none());
    assert_eq!(eyes.asks("engineer", "/config/confirm").await.status, 409);
    // Nor does the reload wait that has it itself, or another user.
    let other = with.replace("name = \"viewer\"", "name = \"vera\"");
    std::fs::write(eyes.file(), &other).unwrap();
    let page = eyes.asks("engineer", "/reload?confirm_within=600").await;
    assert_eq!(page.status, 200, "{page:?}");
    assert_eq!(read(&page.body)["confirm_within"], Value::Null);
    // A start stays with it.
    let number = eyes.generation();
    let eyes = eyes.again().await;
    assert_eq!(eyes.generation(), number + 1);
    let users = &eyes.0.daemon.loaded().shell.api_users;
    assert!(eyes.has_switch() && users.iter().any(|user| user.name == "vera"));
    // What has the same persons waits as ever, and is gone back from.
    eyes.rewrite("[node]\n", "[node]\n# twice\n");
    let page = eyes.asks("engineer", "/reload?confirm_within=600").await;
    assert!(
        read(&page.body)["confirm_within"].as_u64() > Some(500),
        "{page:?}"
    );
    assert!(left(&eyes).is_some());
    // Time does not lead back where the same cannot be seen any more: a token of before is none now.
    let number = eyes.generation();
    let page = eyes.asks("engineer", "/reload?confirm_within=5").await;
    assert_eq!((page.status, eyes.generation()), (200, number + 1));
    std::fs::remove_file(eyes.0.directory.path().join("viewer.hash")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while left(&eyes).is_some() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((eyes.generation(), eyes.has_switch()), (number + 1, true));
    let text = std::fs::read_to_string(eyes.file()).unwrap();
    let kept = eyes.0.daemon.generations().kept();
    let newest = kept.last().unwrap();
    assert!(!newest.is_unconfirmed() && newest.sources()[0].text == text);
    eyes.0.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_shown_agreed_to_and_refused_by_commands() {
    let eyes = Eyes::start().await;
    let types = async |words: &[&str]| {
        let socket = eyes.0.directory.path().join("run/api.sock");
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_causeway"));
        command.args(words).arg("--socket").arg(socket);
        let done = tokio::task::spawn_blocking(move || command.output().unwrap());
        let done = done.await.unwrap();
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    };
    let full = "/capture?rtp=full&calls=1";
    let (code, told, _) = types(&["approvals"]).await;
    assert_eq!(
        (code, told.trim()),
        (Some(0), "nothing waits for another person")
    );
    let page = eyes.asks("admin", full).await;
    let id = waiting(page.status, &page.body);
    // Who types is another person.
    let typed = ["capture", "start", "--rtp", "full", "--max-calls", "1"];
    let (code, _, errors) = types(&typed).await;
    assert!(
        code == Some(5) && errors.contains("causeway approvals agree"),
        "{errors}"
    );
    let (code, told, _) = types(&["approvals", "list"]).await;
    assert!(
        code == Some(0) && told.contains(&id) && told.contains("admin (admin)"),
        "{told}"
    );
    let (code, told, errors) = types(&["approvals", "show", &id]).await;
    assert_eq!(code, Some(0), "{errors}");
    assert!(
        told.contains("capture with media of 1 calls")
            && told.contains("what callers say is heard"),
        "{told}"
    );
    let (code, _, errors) = types(&["approvals", "show", "0"]).await;
    assert!(code == Some(5) && errors.contains(&id), "{errors}");
    let (code, told, errors) = types(&["approvals", "agree", &id]).await;
    assert!(
        code == Some(0) && told.contains("admin (admin) may do it now"),
        "{told}{errors}"
    );
    let (code, _, errors) = types(&["approvals", "agree", &id]).await;
    assert!(code == Some(5) && errors.contains("has agreed"), "{errors}");
    let (code, told, _) = types(&["approvals", "refuse", &id]).await;
    assert!(
        code == Some(0) && told.contains("refused: capture with media"),
        "{told}"
    );
    let page = eyes.asks("admin", full).await;
    let next = waiting(page.status, &page.body);
    assert_ne!(next, id);
    // Whose token is taken away has nothing done.
    assert_eq!(eyes.agrees_here(&next).await.status, 200);
    let revoked = eyes.here("POST", "/tokens/admin/revoke".to_owned()).await;
    assert_eq!(revoked.status, 200, "{}", revoked.body);
    let list = read(&eyes.here("GET", "/approvals".to_owned()).await.body);
    let states: Vec<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .filter(|own| own["asked_by"] == "admin (admin)")
        .map(|own| own["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["refused", "refused"]);
    eyes.0.daemon.shutdown().await;
}
