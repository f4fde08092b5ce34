//! Signing in by OpenID Connect, with a provider that does as Entra does.

use crate::daemon::private;
use crate::network::{Desk, Page};

use conformance::ca::Authority;
use conformance::microsoft::oidc::{PERSON, Provider, Script, Visit};
use conformance::microsoft::{APPLICATION, DIRECTORY, SECRET, Signer};
use serde_json::{Value, json};

const OPERATOR: &str = "Causeway.Operator";

/// A node whose operators sign in, and who signs them in.
struct Place {
    desk: Desk,
    provider: Provider,
}

/// A tab that has begun to sign in, and has come back.
struct Tab {
    visit: Visit,
    tab: String,
}

impl Place {
    async fn start(script: Script) -> Self {
        let authority = Authority::new("Causeway sign-in").unwrap();
        let provider = Provider::start(&authority, script).await.unwrap();
        let issuer = provider.issuer().to_owned();
        let desk = Desk::with(|folder, port| {
            let write = |name: &str, text: &str| {
                let path = std::path::Path::new(folder).join(name);
                std::fs::write(&path, text).unwrap();
                private(&path);
            };
            write("oidc.pem", authority.root_pem());
            write("oidc.secret", SECRET);
            format!(
                r#"
[api.oidc]
issuer = "{issuer}"
tenants = ["{DIRECTORY}"]
client_id = "{APPLICATION}"
secret = {{ file = "{folder}/oidc.secret" }}
url = "https://sbc.contoso.example:{port}"
roots = "{folder}/oidc.pem"
name = "Contoso"

[[api.oidc.role]]
value = "{OPERATOR}"
role = "operator"

[[api.oidc.role]]
value = "Causeway.Viewer"
role = "viewer"
"#
            )
        })
        .await;
        Self { desk, provider }
    }

    async fn begin(&self) -> Tab {
        let page = self.desk.ask("POST", "/sign-in/begin", None, "").await;
        assert_eq!(page.status, 200, "{}", page.body);
        let told: Value = serde_json::from_str(&page.body).unwrap();
        let location = told["location"].as_str().unwrap();
        let visit = self.provider.visit(location).unwrap();
        assert_eq!(told["state"], visit.state);
        let tab = told["tab"].as_str().unwrap().to_owned();
        Tab { visit, tab }
    }

    async fn finish(&self, Tab { visit, tab }: &Tab) -> Page {
        let body = json!({ "code": visit.code, "state": visit.state, "tab": tab });
        self.desk
            .ask("POST", "/sign-in/finish", None, &body.to_string())
            .await
    }

    /// Signs in, and gives the session's token.
    async fn sign_in(&self) -> String {
        let page = self.finish(&self.begin().await).await;
        assert_eq!(page.status, 200, "{}", page.body);
        let told: Value = serde_json::from_str(&page.body).unwrap();
        told["token"].as_str().unwrap().to_owned()
    }

    /// Why somebody does not come in.
    async fn refused(&self) -> (u16, String) {
        let page = self.finish(&self.begin().await).await;
        assert!(!page.body.contains("token\":"), "{}", page.body);
        let told: Value = serde_json::from_str(&page.body).unwrap();
        (page.status, told["detail"].as_str().unwrap().to_owned())
    }

    async fn reload(&self, from: &str, to: &str) {
        let path = self.desk.directory.path().join("causeway.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let reloaded = self.desk.local("POST", "/reload", false).await;
        assert_eq!(reloaded.status, 200, "{}", reloaded.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_signs_in_comes_in_with_the_role_that_the_directory_gives_and_is_written_down_by_oid_and_tid()
 {
    let place = Place::start(Script::of(&["Other", OPERATOR])).await;
    let desk = &place.desk;
    let with = desk.ask("GET", "/sign-in/with", None, "").await;
    assert_eq!(with.body, r#"{"name":"Contoso"}"#);
    let back = desk.ask("GET", "/sign-in?code=x&state=y", None, "").await;
    assert!(back.body.contains("/console/app.js") && back.head.contains("no-referrer"));
    let token = place.sign_in().await;
    let me = desk.ask("GET", "/api/v1/me", Some(&token), "").await;
    assert!(!me.head.contains("set-cookie"), "{}", me.head);
    let me: Value = serde_json::from_str(&me.body).unwrap();
    let name = format!("oid {PERSON} tid {DIRECTORY}");
    assert_eq!(me["name"], format!("{name} (operator)"));
    assert_eq!(
        (&me["called"], &me["role"]),
        (&json!("A. Operator"), &json!("operator"))
    );
    let audit = desk.ask("GET", "/api/v1/audit", Some(&token), "").await;
    assert_eq!(audit.status, 403);
    // Out, and the token is nobody's.
    let out = desk.ask("POST", "/sign-in/end", Some(&token), "").await;
    let out: Value = serde_json::from_str(&out.body).unwrap();
    let location = out["location"].as_str().unwrap();
    assert!(
        location.contains("/oauth2/v2.0/logout?client_id="),
        "{location}"
    );
    let gone = desk.ask("GET", "/api/v1/me", Some(&token), "").await;
    assert_eq!(gone.status, 401);
    let nobody = desk.ask("POST", "/sign-in/end", Some(&token), "").await;
    assert_eq!(nobody.body, r#"{"location":null}"#);
    assert_eq!(
        place.provider.breaches().len(),
        0,
        "{:?}",
        place.provider.breaches().first().map(|b| &b.what)
    );
    desk.daemon.sinks().audit.finish().await;
    let entries = desk.entries();
    let found: Vec<(&str, &str, u16)> = entries
        .iter()
        .filter(|entry| entry.who.starts_with(&name))
        .map(|entry| (entry.who.as_str(), entry.what.as_str(), entry.status))
        .collect();
    let operator = format!("{name} (operator)");
    assert_eq!(found[0], (operator.as_str(), "sign in", 200));
    assert!(
        found.contains(&(name.as_str(), "sign out", 200)),
        "{found:?}"
    );
    let all = format!("{entries:?}");
    assert!(!all.contains("admin@example.com") && !all.contains(&token));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_somebody_else_lets_nobody_in_and_says_what_is_wrong() {
    let place = Place::start(Script::of(&[OPERATOR])).await;
    let issuer = place.provider.issuer().to_owned();
    for (claim, value, why) in [
        ("iss", json!(issuer.replace("v2.0", "v1.0")), "iss"),
        ("aud", json!("other"), "aud"),
        ("nonce", json!("other"), "nonce"),
        ("tid", json!("99999999-2222-3333-4444-555555555555"), "tid"),
        ("exp", json!(1_600_000_000), "expired"),
        ("oid", Value::Null, "oid"),
        ("roles", json!(["Other"]), "none of the application's roles"),
        ("roles", Value::Null, "none of the application's roles"),
    ] {
        place.provider.change(|script| {
            script.claims = [(claim, value)].into();
        });
        let (status, told) = place.refused().await;
        assert_eq!(status, 403, "{told}");
        assert!(told.contains(why), "{told}");
    }
    place.provider.change(|script| script.claims.clear());
    for alg in ["none", "HS256"] {
        place.provider.change(|script| {
            script.header = Some(json!({ "alg": alg, "kid": "key-1", "typ": "JWT" }));
        });
        let (status, told) = place.refused().await;
        assert!(status == 403 && told.contains("alg"), "{told}");
        // Ten at once, and then one in six seconds.
        if alg == "none" {
            let page = place.desk.ask("POST", "/sign-in/with", None, "").await;
            assert_eq!(page.status, 405);
        }
    }
    let desk = &place.desk;
    let limited = desk.ask("POST", "/sign-in/begin", None, "").await;
    assert_eq!(limited.status, 429, "{}", limited.body);
    desk.daemon.sinks().audit.finish().await;
    let entries = desk.entries();
    let refused = entries.iter().filter(|entry| entry.status == 403);
    assert!(refused.clone().count() >= 10, "{entries:?}");
    assert!(refused.clone().any(|entry| entry.what.contains("nonce")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_change_are_fetched_anew_once_and_names_that_nobody_has_are_not_asked_for_again()
{
    let place = Place::start(Script::of(&[OPERATOR])).await;
    place.sign_in().await;
    place.sign_in().await;
    assert_eq!(place.provider.asked_for("/keys"), 1);
    let next = Signer::rsa("key-2");
    place.provider.change(|script| {
        script.keys.push(next.clone());
        script.signer = next;
    });
    place.sign_in().await;
    assert_eq!(place.provider.asked_for("/keys"), 2);
    let unknown = Signer::rsa("made-up");
    place.provider.change(|script| script.signer = unknown);
    for _ in 0..5 {
        let (status, told) = place.refused().await;
        assert!(status == 403 && told.contains("made-up"), "{told}");
    }
    let asked = place.provider.asked_for("/keys");
    assert!((3..=4).contains(&asked), "{asked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_counts_once_and_in_the_tab_that_began_it() {
    let place = Place::start(Script::of(&[OPERATOR])).await;
    let (own, other) = (place.begin().await, place.begin().await);
    let crossed = Tab {
        visit: own.visit.clone(),
        tab: other.tab.clone(),
    };
    assert_eq!(place.finish(&crossed).await.status, 400);
    // A code of somebody else's sign-in: PKCE keeps it out.
    let stolen = Tab {
        visit: Visit {
            code: own.visit.code.clone(),
            state: other.visit.state.clone(),
        },
        tab: other.tab,
    };
    let page = place.finish(&stolen).await;
    assert_eq!(page.status, 502, "{}", page.body);
    assert!(page.body.contains("code_verifier"), "{}", page.body);
    let own = place.begin().await;
    assert_eq!(place.finish(&own).await.status, 200);
    assert_eq!(place.finish(&own).await.status, 400);
    let desk = &place.desk;
    for body in ["", "{}", "[]", r#"{"code":1,"state":"","tab":""}"#] {
        let page = desk.ask("POST", "/sign-in/finish", None, body).await;
        assert!((400..=422).contains(&page.status), "{body} {}", page.status);
    }
    let long = format!(r#"{{"code":"{}","state":"","tab":""}}"#, "x".repeat(20_000));
    let page = desk.ask("POST", "/sign-in/finish", None, &long).await;
    assert_eq!(page.status, 413);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_says_what_sessions_may() {
    let place = Place::start(Script::of(&[OPERATOR])).await;
    let token = place.sign_in().await;
    let desk = &place.desk;
    let role = async || {
        let me = desk.ask("GET", "/api/v1/me", Some(&token), "").await;
        let me: Value = serde_json::from_str(&me.body).unwrap();
        me["role"].as_str().map(str::to_owned)
    };
    place
        .reload(
            "role = \"operator\"\n\n[[api.oidc",
            "role = \"auditor\"\n\n[[api.oidc",
        )
        .await;
    assert_eq!(role().await.as_deref(), Some("auditor"));
    place.reload(OPERATOR, "Causeway.Other").await;
    assert_eq!(role().await, None);
    place.reload("Causeway.Other", OPERATOR).await;
    assert_eq!(role().await.as_deref(), Some("auditor"));
    // Somebody else's directory.
    place
        .reload(
            &format!("tenants = [\"{DIRECTORY}\"]"),
            "tenants = [\"99999999-2222-3333-4444-555555555555\"]",
        )
        .await;
    assert_eq!(role().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_cannot_be_asked_is_told_and_users_with_tokens_come_in() {
    let place = Place::start(Script::of(&[OPERATOR])).await;
    let session = place.sign_in().await;
    let Place { desk, provider } = place;
    let path = desk.directory.path().join("causeway.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let issuer = provider.issuer().to_owned();
    drop(provider);
    let me = desk.ask("GET", "/api/v1/me", Some(&session), "").await;
    assert_eq!(me.status, 200);
    // Nothing is kept of an issuer of another name, and nobody answers there.
    std::fs::write(
        &path,
        text.replace(&issuer, &issuer.replace("v2.0", "v3.0")),
    )
    .unwrap();
    let reloaded = desk.local("POST", "/reload", false).await;
    assert_eq!(reloaded.status, 200, "{}", reloaded.body);
    let page = desk.ask("POST", "/sign-in/begin", None, "").await;
    assert_eq!(page.status, 502, "{}", page.body);
    assert!(page.body.contains("openid-configuration"), "{}", page.body);
    let me = desk
        .ask("GET", "/api/v1/me", Some("token-viewer"), "")
        .await;
    assert_eq!(me.status, 200);
}
