//! GRA: people who sign in with Entra.

use crate::certify::case::{Case, Need, Played, breaks, case};
use crate::certify::mutation::Mutation;
use crate::certify::setting::ROLE;
use crate::certify::stage::Stage;
use crate::microsoft::Signer;
use crate::microsoft::oidc::{PERSON, Script};
use serde_json::{Value, json};

const RULE: &str = "TDG-ENT-004";

/// The cases.
pub const CASES: &[Case] = &[case(
    "TC-GRA-008",
    |stage| Box::pin(tokens_that_are_not_valid(stage)),
    &[
        // Whoever it is comes in.
        breaks(RULE, Mutation::Told("\"status\":403", "\"token\":\"t\"")),
        // Nobody comes in.
        breaks(RULE, Mutation::Told("\"token\":\"", "\"tokem\":\"")),
        // Keys are known by another name than the tokens'.
        breaks(
            RULE,
            Mutation::Heard("\"kid\":\"key-1\"", "\"kid\":\"key-7\""),
        ),
        // Keys that are new stay unknown.
        breaks(
            RULE,
            Mutation::Heard("\"kid\":\"key-2\"", "\"kid\":\"key-7\""),
        ),
        // Who it is, is said by what they can change.
        breaks(RULE, Mutation::Told("\"oid ", "\"admin@example.com ")),
    ],
)
.needs(&[Need::SignIn])
.with(|setting| setting.signs_in = true)];

/// TC-GRA-008. Ten sign-ins: as many as one source may begin at once.
async fn tokens_that_are_not_valid(stage: &Stage) -> Played {
    let provider = stage.provider(Script::of(&[ROLE])).await?;
    let good = stage.signs_in(&provider, RULE).await?;
    let token = good["token"].as_str().unwrap_or_default();
    stage.check(RULE, !token.is_empty(), || {
        format!("a good token is refused: {good}")
    });
    let me = stage.operates("GET", "/api/v1/me", Some(token), "").await?;
    let name = me["name"].as_str().unwrap_or_default();
    stage.check(RULE, name.contains(&format!("oid {PERSON}")), || {
        format!("who has signed in is known by {me}")
    });
    let elsewhere = "99999999-2222-3333-4444-555555555555";
    let other_issuer = format!("https://{}/{elsewhere}/v2.0", provider.address);
    for (claim, value) in [
        ("iss", json!(other_issuer)),
        ("aud", json!(elsewhere)),
        ("nonce", json!("another")),
        ("tid", json!(elsewhere)),
        ("exp", json!(1_600_000_000)),
    ] {
        provider.change(|script| script.claims = [(claim, value)].into());
        let told = stage.signs_in(&provider, RULE).await?;
        refused(stage, claim, &told);
    }
    provider.change(|script| script.claims.clear());
    provider.change(|script| script.header = Some(json!({ "alg": "none", "kid": "key-1" })));
    refused(stage, "alg none", &stage.signs_in(&provider, RULE).await?);
    provider.change(|script| script.header = None);
    let next = Signer::rsa("key-2");
    let own = next.clone();
    provider.change(|script| script.signer = own.called("key-1"));
    refused(
        stage,
        "another key",
        &stage.signs_in(&provider, RULE).await?,
    );
    let own = next.clone();
    provider.change(|script| script.signer = own);
    refused(
        stage,
        "an unknown kid",
        &stage.signs_in(&provider, RULE).await?,
    );
    // The same key, once it is published.
    provider.change(|script| script.keys.push(next));
    let told = stage.signs_in(&provider, RULE).await?;
    stage.check(RULE, told.get("token").is_some(), || {
        format!("the new key of the issuer is refused: {told}")
    });
    for breach in provider.breaches() {
        stage.check(breach.rule, false, || breach.what);
    }
    Ok(())
}

fn refused(stage: &Stage, what: &str, told: &Value) {
    stage.check(RULE, told.get("token").is_none(), || {
        format!("a token with a wrong {what} lets its bearer in: {told}")
    });
}
