//! Microsoft tells of presence: subscriptions of a whole daemon, and notices to it, good and forged, over real sockets.

use crate::daemon::{Node, free_port};
use crate::support::PATIENCE;

use conformance::ca::Authority;
use conformance::microsoft::{
    APPLICATION, DIRECTORY, FORGED, GRAPH, LOGIN, Microsoft, SECRET, Script, Subscribed, Told,
    Wrong,
};
use sbc_core::config::UserId;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const HOST: &str = "sbc.contoso.example";

/// A daemon that is told, and Microsoft.
struct Bench {
    node: Node,
    microsoft: Microsoft,
    door: SocketAddr,
    _files: TempDir,
}

fn guid(index: usize) -> String {
    format!("db03c14b-06eb-4189-939b-{index:012x}")
}

fn user(index: usize) -> UserId {
    UserId::parse(&guid(index)).unwrap()
}

/// A user who is like this now.
fn told(index: usize, presence: Option<(&'static str, &'static str)>) -> Told {
    Told {
        user: guid(index),
        presence,
        wrong: Wrong::Nothing,
    }
}

impl Bench {
    async fn start(users: usize, script: Script) -> Self {
        let authority = Authority::new("Causeway test").unwrap();
        let ours = authority.issue(&[HOST]).unwrap();
        let files = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = files.path().join(name);
            std::fs::write(&path, text).unwrap();
            crate::daemon::private(&path);
        };
        write("public.pem", &ours.chain_pem);
        write("public.key", &ours.key_pem);
        write("microsoft.pem", authority.root_pem());
        write("graph.secret", SECRET);
        let microsoft = Microsoft::start(&authority, script).await.unwrap();
        let at = files.path().display().to_string();
        let port = AtomicU16::new(0);
        let numbers: Vec<String> = (0..users)
            .map(|index| format!("\"+1555{index:07}\" = \"{}\"", guid(index)))
            .collect();
        let access = format!(
            "graph = {{ tenant_id = \"{DIRECTORY}\", client_id = \"{APPLICATION}\", \
             secret = {{ file = \"{at}/graph.secret\" }}, roots = \"{at}/microsoft.pem\", \
             connect_to = {{ \"{GRAPH}\" = \"{place}\", \"{LOGIN}\" = \"{place}\" }}, \
             presence = {{ every = \"1h\" }} }}\nusers = {{ {} }}\n",
            numbers.join(", "),
            place = microsoft.address,
        );
        let node = Node::start_with(|text| {
            let own = free_port();
            // Ordering: one thread.
            port.store(own, Ordering::Relaxed);
            let text = text.replacen(
                "[[tenant]]\nname = \"contoso\"\n",
                &format!("[[tenant]]\nname = \"contoso\"\n{access}"),
                1,
            );
            let text = text.replacen(
                "name = \"teams-contoso\"\n",
                "name = \"teams-contoso\"\npreset = \"teams\"\n",
                1,
            );
            format!(
                "{text}\n[notices]\nlisten = \"127.0.0.1:{own}\"\ntls = \"public\"\n\
                 url = \"https://{HOST}/told\"\n[[tls]]\nname = \"public\"\ncert = \"{at}/public.pem\"\n\
                 key = {{ file = \"{at}/public.key\" }}\n"
            )
        })
        .await;
        let door = SocketAddr::from(([127, 0, 0, 1], port.into_inner()));
        microsoft.change(|script| script.notices_at = Some(door));
        Self {
            node,
            microsoft,
            door,
            _files: files,
        }
    }

    /// Its subscriptions, once there are so many.
    async fn subscriptions(&self, count: usize) -> Vec<Subscribed> {
        let mut all = Vec::new();
        self.until(&format!("{count} subscriptions"), || {
            all = self.microsoft.subscriptions();
            all.len() == count
        })
        .await;
        for own in &all {
            self.until("question", || self.microsoft.was_asked_since(own))
                .await;
        }
        // What it was then; whatever is told from now on is newer.
        self.until("answer", || self.presence(0).is_some()).await;
        all
    }

    async fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            let log = self.node.lines.text();
            let breaches = self.microsoft.breaches();
            assert!(Instant::now() < deadline, "no {what}: {breaches:?}\n{log}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn count(&self, result: &str) -> u64 {
        self.node.daemon.sinks().metrics.notices.count(result)
    }

    /// What is known of a user.
    fn presence(&self, index: usize) -> Option<String> {
        let all = self.node.daemon.presence().store().of(&"contoso".into());
        let own = all.into_iter().find(|(_, own, _)| *own == user(index));
        own.and_then(|(_, _, known)| Some(known?.presence.to_string()))
    }
}

/// TDG-PRS-001 to TDG-PRS-004: the whole way, and nothing of it in the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_presence_that_microsoft_tells_is_known_at_once() {
    let bench = Bench::start(2, Script::default()).await;
    let own = bench.subscriptions(1).await.remove(0);
    assert_eq!(own.users, [guid(0), guid(1)]);
    let notice = told(1, Some(("Busy", "InACall")));
    let answered = bench.microsoft.tell(&own, &notice).await.unwrap();
    assert_eq!((answered.status, answered.body.as_str()), (202, ""));
    assert!(answered.after < Duration::from_secs(3));
    let is_told = || bench.presence(1).as_deref() == Some("Busy/InACall");
    bench.until("presence", is_told).await;
    assert_eq!(bench.presence(0).as_deref(), Some("Offline/Offline"));
    bench.until("count", || bench.count("taken") == 1).await;
    assert_eq!(bench.count("handshake"), 2);
    assert_eq!(bench.microsoft.breaches(), []);
    let log = bench.node.lines.text();
    assert!(log.contains("Microsoft tells of presence"), "{log}");
    for private in [&own.client_state, &guid(1), "InACall"] {
        assert!(!log.contains(private), "{log}");
    }
    bench.node.daemon.shutdown().await;
    assert_eq!(
        bench.microsoft.subscriptions().len(),
        0,
        "it ends with the daemon"
    );
}

/// TDG-PRS-003, TDG-PRS-004: whatever is wrong with a notice, the answer is the same, and nothing comes of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_notices_change_nothing_and_are_counted_by_what_is_wrong() {
    let bench = Bench::start(1, Script::default()).await;
    let own = bench.subscriptions(1).await.remove(0);
    let mut counts = std::collections::BTreeMap::new();
    for (wrong, result) in [
        (Wrong::ClientState, "unknown"),
        (Wrong::Subscription, "unknown"),
        (Wrong::Signature, "seal"),
        (Wrong::Content, "seal"),
        (Wrong::Key, "seal"),
        (Wrong::NoToken, "token"),
        (Wrong::Token, "token"),
        (Wrong::Unsigned, "token"),
        (Wrong::Expired, "token"),
        (Wrong::Claim("aud", DIRECTORY), "token"),
        (Wrong::Claim("azp", APPLICATION), "token"),
        (
            Wrong::Claim("iss", "https://login.microsoftonline.com/common/v2.0"),
            "token",
        ),
        (Wrong::Claim("tid", APPLICATION), "token"),
    ] {
        let forged = Told {
            wrong,
            ..told(0, Some(("DoNotDisturb", "Presenting")))
        };
        let answered = bench.microsoft.tell(&own, &forged).await.unwrap();
        assert_eq!(
            (answered.status, answered.body.as_str()),
            (202, ""),
            "{wrong:?}"
        );
        *counts.entry(result).or_insert(0) += 1;
        let is_counted = || bench.count(result) == counts[result];
        bench
            .until(&format!("{result} of {wrong:?}"), is_counted)
            .await;
        let is_kept = bench.presence(0).as_deref() == Some("Offline/Offline");
        assert!(is_kept, "{wrong:?}");
    }
    // A user of nobody, and then a good one.
    let stranger = told(7, Some(("Busy", "Busy")));
    bench.microsoft.tell(&own, &stranger).await.unwrap();
    bench.until("nobody", || bench.count("nobody") == 1).await;
    let good = told(0, Some(("Available", "Available")));
    bench.microsoft.tell(&own, &good).await.unwrap();
    let is_told = || bench.presence(0).as_deref() == Some("Available/Available");
    bench.until("presence", is_told).await;
    let log = bench.node.lines.text();
    assert_eq!(log.matches("notice_refused").count(), 1, "{log}");
    assert!(
        !log.contains("Presenting") && !log.contains(FORGED),
        "{log}"
    );
}

/// TDG-PRS-002: strangers at the door.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_knocks_at_the_door_gets_text_or_nothing_and_not_without_end() {
    let bench = Bench::start(1, Script::default()).await;
    bench.subscriptions(1).await;
    let url = format!("https://{HOST}/told");
    let knock = async |url: &str, query: &str, body: &str| {
        let answered = bench.microsoft.knock(url, query, body).await.unwrap();
        let head = answered.head.to_ascii_lowercase();
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        assert!(head.contains("content-type: text/plain"), "{head}");
        (answered.status, answered.body)
    };
    let token = "?validationToken=a%20b%2Bc";
    assert_eq!(knock(&url, token, "").await, (200, "a b+c".to_owned()));
    let markup = "?validationToken=%3Cscript%3E";
    assert_eq!(knock(&url, markup, "").await, (400, String::new()));
    let elsewhere = format!("https://{HOST}/");
    assert_eq!(knock(&elsewhere, token, "").await.0, 404);
    assert_eq!(knock(&url, "", "{}").await.0, 400);
    assert_eq!(knock(&url, "", "{\"value\":[{}]}").await.0, 202);
    let large = "x".repeat(2 << 20);
    // It is answered before all of it has come, or the connection ends.
    if let Ok(answered) = bench.microsoft.knock(&url, "", &large).await {
        assert_eq!(answered.status, 413);
    }
    assert_eq!(bench.count("unreadable"), 3);
    let mut refused = 0;
    for _ in 0..200 {
        let (status, _) = knock(&url, "", "{\"value\":[{}]}").await;
        refused += usize::from(status == 429);
    }
    assert!(refused > 0, "a stranger may go on without end");
    assert_eq!(bench.count("too_many"), refused as u64);
}

/// TDG-PRS-005.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_subscription_renew_it_replace_it_and_have_users_asked_for() {
    let bench = Bench::start(1, Script::default()).await;
    let own = bench.subscriptions(1).await.remove(0);
    let event = async |own: &Subscribed, event: &str| {
        let answered = bench.microsoft.tell_event(own, event).await.unwrap();
        assert_eq!(answered.status, 202);
    };
    event(&own, "reauthorizationRequired").await;
    let renewals = || {
        bench
            .microsoft
            .subscriptions()
            .first()
            .map(|own| own.renewals)
    };
    bench.until("renewal", || renewals() == Some(1)).await;
    event(&own, "somethingNew").await;
    // One that is gone is made anew, with another secret.
    bench.microsoft.forget(&own);
    event(&own, "subscriptionRemoved").await;
    let next = bench.subscriptions(1).await.remove(0);
    assert!(next.id != own.id && next.client_state != own.client_state);
    // So is one that turns out to be gone when it is renewed.
    bench.microsoft.forget(&next);
    event(&next, "reauthorizationRequired").await;
    let last = bench.subscriptions(1).await.remove(0);
    // The one before is nobody's now.
    let unknown = bench.count("unknown");
    let late = told(0, Some(("Busy", "Busy")));
    bench.microsoft.tell(&next, &late).await.unwrap();
    assert_eq!(bench.count("unknown"), unknown + 1);
    event(&last, "missed").await;
    bench.until("events", || bench.count("event") == 5).await;
    assert_eq!(bench.microsoft.breaches(), []);
}

/// TDG-PRS-001: batches, and what an earlier run has left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_subscription_has_650_users_and_none_of_an_earlier_run_stays() {
    let bench = Bench::start(651, Script::default()).await;
    let all = bench.subscriptions(2).await;
    let mut sizes: Vec<usize> = all.iter().map(|own| own.users.len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 650]);
    assert_ne!(all[0].client_state, all[1].client_state);
    let asked = bench.microsoft.heard();
    let listed = asked.iter().filter(|one| one.method == "GET");
    assert!(listed.clone().any(|one| one.path == "/v1.0/subscriptions"));
    assert_eq!(bench.door.ip().to_string(), "127.0.0.1");
    assert_eq!(bench.microsoft.breaches(), []);
}

/// TDG-PRS-001: here its end comes soon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_is_renewed_before_it_ends_again_and_again() {
    let script = Script {
        subscription_s: 4,
        ..Script::default()
    };
    let bench = Bench::start(1, script).await;
    let own = bench.subscriptions(1).await.remove(0);
    let renewals = || {
        let all = bench.microsoft.subscriptions();
        let same = all.iter().find(|one| one.id == own.id);
        same.map_or(0, |own| own.renewals)
    };
    bench.until("renewals", || renewals() >= 2).await;
    assert_eq!(bench.microsoft.breaches(), []);
}

/// TDG-PRS-001: as the documentation has it, of applications.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_an_application_may_not_subscribe_that_is_said_once_and_presence_is_asked_for() {
    let script = Script {
        takes_no_subscriptions: true,
        ..Script::default()
    };
    let bench = Bench::start(1, script).await;
    bench.node.logged("it is asked for as before").await;
    let log = bench.node.lines.text();
    assert_eq!(log.matches("it is asked for as before").count(), 1, "{log}");
    assert!(log.contains("Presence.Read.All"), "{log}");
    assert_eq!(bench.node.daemon.notices().held(&"contoso".into()), Some(0));
}
