//! Who may ask Teams now: a name of ours asks a proxy once a minute and never more often (TDR-OPT-006), whoever sends
//! it. A daemon that asks by itself is believed instead, and commands leave a minute between each other.

use super::Outcome;
use super::teams::{Proxy, Speaker};
use crate::client::ask;
use crate::sink::asked;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// An answer that the daemon got so many seconds ago is as good as one of now.
const FRESH_S: u64 = 180;

/// What is known before anybody is asked.
pub struct Turn {
    /// Rows of the daemon that runs here, if one does.
    rows: Vec<Value>,
    state: PathBuf,
}

impl Turn {
    /// Asks the daemon behind a socket what it knows; others have kept in `state` whom they asked.
    pub fn of(socket: &Path, state: &Path) -> Self {
        let told = ask(socket, "GET", "/teams").ok();
        let told = told.filter(|answer| answer.status == 200);
        let rows = told.and_then(|answer| serde_json::from_str(&answer.body).ok());
        Self {
            rows: rows.unwrap_or_default(),
            state: state.to_owned(),
        }
    }

    /// What a proxy thinks of a trunk, by OPTIONS of whoever may send them.
    pub async fn options(&self, speaker: &Speaker<'_>, proxy: &Proxy) -> Outcome {
        let fqdn = speaker.trunk.fqdn.as_deref().unwrap_or_default();
        let is_it = |row: &&Value| {
            let is = |key: &str, text: &str| {
                let value = row[key].as_str();
                value.is_some_and(|value| value.eq_ignore_ascii_case(text))
            };
            is("direction", "to") && is("fqdn", fqdn) && is("proxy", &proxy.host)
        };
        if let Some(row) = self.rows.iter().find(is_it)
            && speaker.trunk.options.is_some()
        {
            return by_daemon(row, speaker, proxy);
        }
        if let Some(wait) = asked::wait(&self.state, fqdn, &proxy.host) {
            return Outcome::Skipped(format!(
                "{} was asked by {fqdn} within the last minute, and Teams wants no more: again in {} s",
                proxy.host,
                wait.as_secs() + 1
            ));
        }
        // Where that cannot be kept, on a host without a daemon, nobody else asks.
        let _ = asked::note(&self.state, fqdn, &proxy.host);
        speaker.options(proxy).await
    }
}

fn by_daemon(row: &Value, speaker: &Speaker<'_>, proxy: &Proxy) -> Outcome {
    let host = &proxy.host;
    let age = row["age_seconds"].as_u64().filter(|age| *age <= FRESH_S);
    let Some(age) = age else {
        return Outcome::Skipped(format!(
            "the daemon asks {host} within a minute and has no answer yet: type this again"
        ));
    };
    match row["status"].as_u64() {
        Some(200) => Outcome::Good(format!("the daemon has asked {host} {age} s ago: 200")),
        Some(status) => speaker.refused(proxy, u16::try_from(status).unwrap_or_default()),
        None => Outcome::failed(
            format!(
                "the daemon has asked {host} {age} s ago: {}",
                row["result"].as_str().unwrap_or("no answer")
            ),
            row["verdict"].as_str().unwrap_or_default(),
        ),
    }
}
