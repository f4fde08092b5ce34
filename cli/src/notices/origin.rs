//! Whether Microsoft has sent notices: tokens that it signs for the application, one for each directory
//! (TDG-PRS-003).

use super::keys::Keys;
use crate::graph::reach::Reach;
use sbc_core::config::{Cloud, GraphAccess};
use serde_json::Value;

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
    pub(super) async fn proves(
        &mut self,
        tokens: &[String],
        reach: &Reach,
    ) -> Result<(), &'static str> {
        let mut last = Err("it has no token");
        for token in tokens {
            let place = (reach, self.cloud.login(), self.tenant_id.as_str());
            let claims = self.keys.claims(token, place).await;
            last = claims.and_then(|claims| self.says(&claims));
            if last.is_ok() {
                break;
            }
        }
        last
    }

    /// What a token says, once its signature and its times are known to be good.
    fn says(&self, claims: &Value) -> Result<(), &'static str> {
        let is = |name: &str, wanted: &str| {
            let told = claims[name].as_str();
            told.is_some_and(|told| told.eq_ignore_ascii_case(wanted))
        };
        if !is("aud", &self.client_id) {
            return Err("its token is for another application");
        }
        let issuers = self.issuers();
        if !issuers
            .iter()
            .any(|issuer| claims["iss"] == issuer.as_str())
        {
            return Err("its token is of another directory");
        }
        if !claims["tid"].is_null() && !is("tid", &self.tenant_id) {
            return Err("its token is of another directory");
        }
        // Tokens of version 2 call it azp, those of version 1 appid; who writes both must mean both.
        let named = ["azp", "appid"].map(|name| (!claims[name].is_null(), is(name, PUBLISHER)));
        let is_publisher =
            named.iter().any(|(_, is)| *is) && named.iter().all(|(is_there, is)| *is || !is_there);
        match is_publisher {
            true => Ok(()),
            false => Err("its token was not issued for Microsoft's sender of notices"),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DIRECTORY: &str = "11111111-2222-3333-4444-555555555555";
    const APPLICATION: &str = "66666666-7777-8888-9999-aaaaaaaaaaaa";

    fn origin() -> Origin {
        Origin {
            client_id: APPLICATION.to_owned(),
            tenant_id: DIRECTORY.to_owned(),
            cloud: Cloud::Worldwide,
            keys: Keys::default(),
        }
    }

    /// TDG-PRS-003.
    #[test]
    fn a_token_is_for_us_of_the_directory_and_for_the_sender_of_notices() {
        let v2 = json!({
            "aud": APPLICATION, "iss": format!("https://login.microsoftonline.com/{DIRECTORY}/v2.0"),
            "azp": PUBLISHER, "tid": DIRECTORY,
        });
        let v1 = json!({
            "aud": APPLICATION, "iss": format!("https://sts.windows.net/{DIRECTORY}/"), "appid": PUBLISHER,
        });
        for good in [&v2, &v1] {
            assert_eq!(origin().says(good), Ok(()));
        }
        for (name, value) in [
            ("aud", json!("66666666-7777-8888-9999-aaaaaaaaaaab")),
            ("aud", json!([APPLICATION])),
            ("aud", json!(null)),
            (
                "iss",
                json!("https://login.microsoftonline.com/common/v2.0"),
            ),
            (
                "iss",
                json!(format!("https://login.microsoftonline.com/{DIRECTORY}/")),
            ),
            ("tid", json!(APPLICATION)),
            ("azp", json!(APPLICATION)),
            ("azp", json!(null)),
            ("appid", json!(APPLICATION)),
        ] {
            let mut bad = v2.clone();
            bad[name] = value.clone();
            assert!(origin().says(&bad).is_err(), "{name} {value}");
        }
    }
}
