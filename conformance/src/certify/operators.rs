//! Operators on the stage: who signs them in, and the subject's interface over the network.

use super::setting::{FQDN, NOWHERE};
use super::stage::Stage;
use super::verdict::Failure;
use crate::microsoft::oidc::{Provider, Script};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Longest time for an answer.
const LIMIT: Duration = Duration::from_secs(30);

fn failed(why: impl ToString) -> Failure {
    Failure::new("ladder", why.to_string())
}

impl Stage {
    /// A provider with a script of the case's own, which the subject is told of.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn provider(&self, mut script: Script) -> Result<Provider, Failure> {
        (script.asked, script.answered) = self.reports;
        let started = Provider::start(&self.kit.authority, script).await;
        let provider = started.map_err(failed)?;
        let place = format!("https://{}/", provider.address);
        match self.reconfigures(NOWHERE, &place).await? {
            true => Ok(provider),
            false => Err(failed("the subject cannot be told who signs operators in")),
        }
    }

    /// What the subject answers when the person of the provider signs in: with `token`, if they come in.
    ///
    /// # Errors
    /// The given rule, if there is no answer.
    pub async fn signs_in(&self, provider: &Provider, rule: &str) -> Result<Value, Failure> {
        let begun = self.operates("POST", "/sign-in/begin", None, "").await?;
        let told = |what: &str| Failure::new(rule, format!("{what}: {begun}"));
        let location = begun["location"].as_str();
        let location = location.ok_or_else(|| told("nobody can sign in"))?;
        let visit = provider.visit(location).map_err(|why| told(&why))?;
        let back = json!({ "code": visit.code, "state": visit.state, "tab": begun["tab"] });
        self.operates("POST", "/sign-in/finish", None, &back.to_string())
            .await
    }

    /// Asks the subject's interface over the network, with a token or without.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn operates(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: &str,
    ) -> Result<Value, Failure> {
        let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {FQDN}\r\nConnection: close\r\n{}Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            bearer.unwrap_or_default(),
            body.len()
        );
        let asking = timeout(LIMIT, self.over_the_network(&request)).await;
        let answer = asking.map_err(failed)?.map_err(failed)?;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        serde_json::from_str(&self.as_told(body.to_owned())).map_err(|_| failed(answer))
    }

    async fn over_the_network(&self, request: &str) -> io::Result<String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        let stream = TcpStream::connect(self.console).await?;
        let name = ServerName::try_from(FQDN).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, stream).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut octets = Vec::new();
        match stream.read_to_end(&mut octets).await {
            // An end without a word is one.
            Err(why) if octets.is_empty() => Err(why),
            Ok(_) | Err(_) => Ok(String::from_utf8_lossy(&octets).into_owned()),
        }
    }
}
