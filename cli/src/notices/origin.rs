//! Whether Microsoft has sent notices: tokens that it signs for the application, one for each directory
//! (TDG-PRS-003).

use super::keys::Keys;
use crate::graph::reach::Reach;
use crate::jwt::{Claims, Expected};
use sbc_core::config::{Cloud, GraphAccess};

/// The application of Microsoft that sends notices, in every directory.
pub(super) const PUBLISHER: &str = "0bf30f3b-4a52-48df-9a82-234910c4a086";

/// Checks tokens for one application in one directory.
pub(super) struct Origin {
    client_id: String,
    tenant_id: String,
    cloud: Cloud,
    keys: Keys,
}

impl Origin {
    pub(super) fn new(access: &GraphAccess) -> Self {
        Self {
            client_id: access.client_id.clone(),
            tenant_id: access.tenant_id.clone(),
            cloud: access.cloud,
            keys: Keys::default(),
        }
    }

    /// Whether one of these is Microsoft's, for us.
    ///
    /// # Errors
    /// Why the last one is not.
    pub(super) async fn proves(&mut self, tokens: &[String], reach: &Reach) -> Result<(), String> {
        let issuers = self.issuers();
        let expected = Expected {
            issuers: &issuers,
            audience: &self.client_id,
            tenants: &[],
            nonce: None,
        };
        let mut last = Err("it has no token".to_owned());
        for token in tokens {
            let place = (reach, self.cloud.login(), self.tenant_id.as_str());
            last = match self.keys.claims(token, &expected, place).await {
                Ok(claims) => says(&claims, &self.tenant_id).map_err(str::to_owned),
                Err(fault) => Err(fault.to_string()),
            };
            if last.is_ok() {
                break;
            }
        }
        last
    }

    /// Who issues tokens in the directory, in both versions.
    fn issuers(&self) -> [String; 2] {
        let (login, directory) = (self.cloud.login(), &self.tenant_id);
        let sts = match self.cloud {
            Cloud::Worldwide | Cloud::GccHigh | Cloud::Dod => "sts.windows.net",
        };
        [
            format!("https://{login}/{directory}/v2.0"),
            format!("https://{sts}/{directory}/"),
        ]
    }
}

/// Whether a token that counts is of this directory, and was issued for the sender of notices.
fn says(claims: &Claims, directory: &str) -> Result<(), &'static str> {
    let is = |told: &str, wanted: &str| told.eq_ignore_ascii_case(wanted);
    if claims.text("tid").is_some_and(|told| !is(told, directory)) {
        return Err("its token is of another directory");
    }
    // Tokens of version 2 call it azp, those of version 1 appid; who writes both must mean both.
    let named = ["azp", "appid"].map(|name| claims.text(name).map(|told| is(told, PUBLISHER)));
    match named.contains(&Some(true)) && !named.contains(&Some(false)) {
        true => Ok(()),
        false => Err("its token was not issued for Microsoft's sender of notices"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DIRECTORY: &str = "11111111-2222-3333-4444-555555555555";
    const APPLICATION: &str = "66666666-7777-8888-9999-aaaaaaaaaaaa";

    /// TDG-PRS-003.
    #[test]
    fn a_token_is_of_the_directory_and_for_the_sender_of_notices() {
        let v2 = json!({ "azp": PUBLISHER, "tid": DIRECTORY });
        let v1 = json!({ "appid": PUBLISHER.to_uppercase() });
        for good in [&v2, &v1] {
            assert_eq!(says(&Claims::of(good.clone()), DIRECTORY), Ok(()));
        }
        for (name, value) in [
            ("tid", json!(APPLICATION)),
            ("azp", json!(APPLICATION)),
            ("azp", json!(null)),
            ("appid", json!(APPLICATION)),
        ] {
            let mut bad = v2.clone();
            bad[name] = value.clone();
            assert!(says(&Claims::of(bad), DIRECTORY).is_err(), "{name} {value}");
        }
    }

    #[test]
    fn both_versions_of_tokens_have_their_issuer() {
        let origin = Origin {
            client_id: APPLICATION.to_owned(),
            tenant_id: DIRECTORY.to_owned(),
            cloud: Cloud::Worldwide,
            keys: Keys::default(),
        };
        let wanted = [
            format!("https://login.microsoftonline.com/{DIRECTORY}/v2.0"),
            format!("https://sts.windows.net/{DIRECTORY}/"),
        ];
        assert_eq!(origin.issuers(), wanted);
    }
}
