use super::*;
use conformance::microsoft::Signer;
use serde_json::json;

const NOW_S: u64 = 1_800_000_000;
const TENANT_ID: &str = "11111111-2222-3333-4444-555555555555";
const CLIENT: &str = "66666666-7777-8888-9999-aaaaaaaaaaaa";

fn now() -> UnixTime {
    UnixTime::from_micros(NOW_S * 1_000_000)
}

fn set(signers: &[&Signer]) -> KeySet {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
    KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn claims() -> Value {
    json!({
        "iss": format!("https://login.example.com/{TENANT_ID}/v2.0"),
        "aud": CLIENT, "tid": TENANT_ID, "oid": "o", "sub": "s", "nonce": "n-1",
        "iat": NOW_S - 300, "nbf": NOW_S - 300, "exp": NOW_S + 3_600,
    })
}

/// What is said of a token with these keys, by who expects what [`claims`] tells.
fn told(token: &str, keys: &KeySet) -> Result<Claims, TokenFault> {
    let issuers = [format!("https://login.example.com/{TENANT}/v2.0")];
    let tenants = [TENANT_ID.to_owned()];
    let expected = Expected {
        issuers: &issuers,
        audience: CLIENT,
        tenants: &tenants,
        nonce: Some("n-1"),
    };
    check(token, keys, &expected, now())
}

#[test]
fn three_algorithms_count_and_nothing_else_does() {
    let (rsa, ec) = (Signer::rsa("r"), Signer::p256("e"));
    let keys = set(&[&rsa, &ec]);
    for (signer, alg) in [(&rsa, "RS256"), (&rsa, "PS256"), (&ec, "ES256")] {
        let header = json!({ "alg": alg, "kid": signer.kid(), "typ": "JWT" });
        let good = signer.token_of(&header, &claims());
        assert_eq!(told(&good, &keys).unwrap().text("oid"), Some("o"), "{alg}");
        let (input, _) = good.rsplit_once('.').unwrap();
        for forged in ["", "AAAA"] {
            let refused = told(&format!("{input}.{forged}"), &keys);
            assert_eq!(refused, Err(TokenFault::Signature), "{alg}");
        }
    }
    for alg in ["none", "None", "HS256", "HS512", "RS384", "EdDSA", ""] {
        let token = rsa.token_of(&json!({ "alg": alg, "kid": "r" }), &claims());
        assert_eq!(
            told(&token, &keys),
            Err(TokenFault::Algorithm(alg.to_owned()))
        );
    }
    for (alg, kid) in [("ES256", "r"), ("RS256", "e"), ("PS256", "e")] {
        let token = rsa.token_of(&json!({ "alg": alg, "kid": kid }), &claims());
        assert_eq!(
            told(&token, &keys),
            Err(TokenFault::WrongKey(kid.to_owned()))
        );
    }
}

#[test]
fn a_key_counts_by_its_name_and_not_by_what_the_token_carries() {
    let (own, other) = (Signer::rsa("own"), Signer::rsa("other"));
    let keys = set(&[&own]);
    let unknown = other.token(&claims());
    assert_eq!(
        told(&unknown, &keys),
        Err(TokenFault::UnknownKey("other".to_owned()))
    );
    // A name that is known, and a key that is not.
    let stolen = other.called("own").token(&claims());
    assert_eq!(told(&stolen, &keys), Err(TokenFault::Signature));
    let carried = json!({ "alg": "RS256", "kid": "own", "jwk": other.jwk() });
    assert_eq!(
        told(&other.token_of(&carried, &claims()), &keys),
        Err(TokenFault::Signature)
    );
    let nameless = own.token_of(&json!({ "alg": "RS256" }), &claims());
    assert_eq!(told(&nameless, &keys), Err(TokenFault::NoKey));
    let critical = json!({ "alg": "RS256", "kid": "own", "crit": ["b64"], "b64": false });
    assert_eq!(
        told(&own.token_of(&critical, &claims()), &keys),
        Err(TokenFault::Critical)
    );
    let access = json!({ "alg": "RS256", "kid": "own", "typ": "at+jwt" });
    let refused = told(&own.token_of(&access, &claims()), &keys);
    assert_eq!(refused, Err(TokenFault::Kind("at+jwt".to_owned())));
}

#[test]
fn a_key_that_is_for_something_else_does_not_sign() {
    let own = Signer::rsa("own");
    let with = |name: &str, value: &str| {
        let mut key = own.jwk();
        key[name] = json!(value);
        KeySet::read(json!({ "keys": [key] }).to_string().as_bytes()).unwrap()
    };
    let token = own.token(&claims());
    assert_eq!(with("use", "enc").count(), 0);
    assert_eq!(with("kty", "oct").count(), 0);
    assert_eq!(
        told(&token, &with("alg", "PS256")),
        Err(TokenFault::WrongKey("own".to_owned()))
    );
    assert!(told(&token, &with("alg", "RS256")).is_ok());
    let own_issuer = format!("https://login.example.com/{TENANT}/v2.0");
    assert!(told(&token, &with("issuer", &own_issuer)).is_ok());
    let other = told(
        &token,
        &with("issuer", "https://login.example.com/other/v2.0"),
    );
    assert!(matches!(other, Err(TokenFault::Issuer(_))));
    let many: Vec<Value> = (0..100).map(|n| own.called(&n.to_string()).jwk()).collect();
    let many = KeySet::read(json!({ "keys": many }).to_string().as_bytes()).unwrap();
    assert_eq!(many.count(), 64);
    for broken in ["", "[]", "{}", "{\"keys\":1}"] {
        assert!(KeySet::read(broken.as_bytes()).is_none(), "{broken}");
    }
}

#[test]
fn what_a_token_says_must_be_for_us_now_and_of_a_tenant_that_may_come() {
    let own = Signer::p256("own");
    let keys = set(&[&own]);
    let with = |name: &str, value: Value| {
        let mut changed = claims();
        changed[name] = value;
        told(&own.token(&changed), &keys)
    };
    let other = "99999999-2222-3333-4444-555555555555";
    let of_other = format!("https://login.example.com/{other}/v2.0");
    for (name, value, fault) in [
        ("iss", json!(of_other), TokenFault::Issuer(of_other.clone())),
        ("iss", json!(null), TokenFault::Missing("iss")),
        ("aud", json!("other"), TokenFault::Audience),
        ("aud", json!([CLIENT, "other"]), TokenFault::Audience),
        ("aud", json!(null), TokenFault::Audience),
        ("exp", json!(NOW_S - SKEW_S), TokenFault::Expired(SKEW_S)),
        ("exp", json!(null), TokenFault::Missing("exp")),
        ("exp", json!("soon"), TokenFault::Missing("exp")),
        (
            "nbf",
            json!(NOW_S + SKEW_S + 1),
            TokenFault::NotYet(SKEW_S + 1),
        ),
        (
            "iat",
            json!(NOW_S + SKEW_S + 1),
            TokenFault::NotYet(SKEW_S + 1),
        ),
        ("nonce", json!("n-2"), TokenFault::Nonce),
        ("nonce", json!(null), TokenFault::Nonce),
    ] {
        assert_eq!(with(name, value.clone()), Err(fault), "{name} {value}");
    }
    for (name, value) in [
        ("aud", json!([CLIENT])),
        ("exp", json!(NOW_S - SKEW_S + 1)),
        ("nbf", json!(NOW_S + SKEW_S)),
        ("nbf", json!(null)),
        ("exp", json!(NOW_S as f64 + 0.5)),
    ] {
        assert!(with(name, value.clone()).is_ok(), "{name} {value}");
    }
    // Its tenant and its issuer are one, and the list decides.
    let mut foreign = claims();
    (foreign["tid"], foreign["iss"]) = (json!(other), json!(of_other));
    let refused = told(&own.token(&foreign), &keys);
    assert_eq!(refused, Err(TokenFault::Tenant(other.to_owned())));
    foreign["tid"] = json!(TENANT_ID);
    assert!(matches!(
        told(&own.token(&foreign), &keys),
        Err(TokenFault::Issuer(_))
    ));
    assert!(matches!(
        with("tid", json!(null)),
        Err(TokenFault::Issuer(_))
    ));
}

#[test]
fn what_is_no_token_is_told() {
    let keys = KeySet::default();
    for text in [
        "",
        "a.b",
        "a.b.c.d",
        "e30",
        "\u{e9}.e30.e30",
        "W10.e30.e30.x",
    ] {
        assert_eq!(told(text, &keys), Err(TokenFault::Unreadable), "{text}");
    }
    let long = "x".repeat(LONGEST + 1);
    assert_eq!(told(&long, &keys), Err(TokenFault::TooLong));
    assert_eq!(
        told("e30.e30.e30", &keys),
        Err(TokenFault::Algorithm(String::new()))
    );
}
