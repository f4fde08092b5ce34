//! Ends of certificates: ours, those of authorities in our files, and those that peers have shown. Chains of Teams have
//! figures of their own (`chains.rs`).

use super::Maker;
use prometheus::GaugeVec;
use sbc_core::config::{Config, Preset};
use sbc_core::id::TlsContextName;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Of all that are known.
pub struct CertificateMetrics {
    ends: GaugeVec,
    /// What peers have shown last: by our identity, and by the name that the configuration has of each.
    peers: Mutex<Peers>,
}

type Peers = BTreeMap<(TlsContextName, String), i64>;

impl CertificateMetrics {
    pub(super) fn new(maker: &Maker<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            ends: maker.float_gauges(
                "sbc_tls_certificate_not_after_timestamp_seconds",
                "End of validity; days left are (x - time()) / 86400. Of ours (own), of authorities in our files (ca), and of \
                 peers but Teams (peer): what each has shown last, by the name that the configuration has of it.",
                &["context", "subject_cn", "kind"],
            )?,
            peers: Mutex::default(),
        })
    }

    /// Replaces what is known about certificates of ours: context, subject, kind (`own` or `ca`)
    /// and end of validity in seconds since 1970.
    pub fn set<'c>(
        &self,
        certificates: impl IntoIterator<Item = (&'c TlsContextName, &'c str, &'c str, i64)>,
    ) {
        let peers = self.peers();
        self.ends.reset();
        for (context, subject, kind, not_after) in certificates {
            let labels = [context.as_str(), subject, kind];
            let series = self.ends.with_label_values(&labels);
            // Of several with one name, such as a root and its renewal, the first to end counts.
            let other = series.get();
            if other == 0.0 || (not_after as f64) < other {
                series.set(not_after as f64);
            }
        }
        for ((context, name), until) in &*peers {
            self.tell(context, name, *until);
        }
    }

    /// A peer has shown a certificate that was believed: it has these names, of which the configuration has one, and ends
    /// then.
    pub fn shown<'n>(
        &self,
        config: &Config,
        context: &TlsContextName,
        names: impl IntoIterator<Item = &'n str>,
        until: i64,
    ) {
        let known: Vec<&str> = configured(config, context).collect();
        let mut names = names.into_iter();
        let found = names.find_map(|name| {
            let mut known = known.iter();
            known.find(|own| own.eq_ignore_ascii_case(name))
        });
        // What strangers write into certificates labels nothing.
        let Some(name) = found else {
            return;
        };
        let mut peers = self.peers();
        peers.insert((context.clone(), (*name).to_owned()), until);
        self.tell(context, name, until);
    }

    /// Forgets peers that the configuration does not have any more.
    pub fn keep(&self, config: &Config) {
        self.peers().retain(|(context, name), _| {
            let is_there = configured(config, context).any(|own| own == name);
            if !is_there {
                let labels = [context.as_str(), name, "peer"];
                let _ = self.ends.remove_label_values(&labels);
            }
            is_there
        });
    }

    fn tell(&self, context: &TlsContextName, name: &str, until: i64) {
        let labels = [context.as_str(), name, "peer"];
        self.ends.with_label_values(&labels).set(until as f64);
    }

    fn peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names of the peers to whom an identity of ours is shown.
fn configured<'c>(
    config: &'c Config,
    context: &'c TlsContextName,
) -> impl Iterator<Item = &'c str> {
    let trunks = config.trunks.values();
    let trunks = trunks
        .filter(move |trunk| trunk.preset != Preset::Teams && trunk.tls.as_ref() == Some(context));
    let names = trunks.flat_map(|trunk| {
        let hosts = trunk.targets.iter().map(|target| target.host.as_str());
        hosts.chain(trunk.accept_names.iter().map(String::as_str))
    });
    names.filter(|name| name.parse::<IpAddr>().is_err())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::metrics::Metrics;
    use sbc_core::config::{Assumed, Source, load, starter};

    fn config(more: &str) -> Config {
        let text = format!("{}{more}", starter());
        let facts = Assumed::with_names(["sbc1.contoso.example"]);
        let loaded = load(&[Source::new("causeway.toml", &text)], &facts, None);
        loaded.unwrap_or_else(|f| panic!("{}", f.to_text())).config
    }

    /// A peer that shows a certificate, beside those of the starter.
    const EXCHANGE: &str = "[[trunk]]\nname = \"exchange\"\npreset = \"carrier\"\ntenant = \"contoso\"\n\
                            realm = \"teams\"\ntls = \"teams\"\ntargets = [\"198.51.100.44:5061;tls\"]\n\
                            accept_from = [\"198.51.100.44\"]\naccept_names = [\"exchange.contoso.example\"]\n";

    #[test]
    fn a_peer_is_told_by_the_name_that_the_configuration_has_of_it_and_no_stranger_is() {
        let metrics = Metrics::new().unwrap();
        let context = TlsContextName::new("teams");
        let (with, without) = (config(EXCHANGE), config(""));
        let peers = || {
            let text = metrics.text();
            let lines = text.lines().filter(|line| line.contains("kind=\"peer\""));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let line = |until: i64| {
            format!(
                "sbc_tls_certificate_not_after_timestamp_seconds{{context=\"teams\",kind=\"peer\",\
                 subject_cn=\"exchange.contoso.example\"}} {until}"
            )
        };
        let own = &metrics.certificates;
        for stranger in [
            "sip.example.net",
            "198.51.100.44",
            "sip.pstnhub.microsoft.com",
        ] {
            own.shown(&with, &context, [stranger], 1_900_000_000);
        }
        own.shown(
            &without,
            &context,
            ["exchange.contoso.example"],
            1_900_000_000,
        );
        assert_eq!(peers(), [""; 0]);
        let names = ["mail.example.net", "EXCHANGE.contoso.example"];
        own.shown(&with, &context, names, 1_900_000_000);
        assert_eq!(peers(), [line(1_900_000_000)]);
        // The next one counts as soon as it is shown, and ours change beside it.
        own.shown(&with, &context, names, 1_950_000_000);
        own.set([(&context, "sbc1.contoso.example", "own", 1_800_000_000)]);
        assert_eq!(peers(), [line(1_950_000_000)]);
        own.keep(&with);
        assert_eq!(peers(), [line(1_950_000_000)]);
        own.keep(&without);
        assert_eq!(peers(), [""; 0]);
        own.set([(&context, "sbc1.contoso.example", "own", 1_800_000_000)]);
        assert_eq!(peers(), [""; 0]);
    }

    #[test]
    fn a_certificate_that_is_gone_leaves_no_series() {
        let metrics = Metrics::new().unwrap();
        let context = TlsContextName::new("teams");
        let own = &metrics.certificates;
        own.set([(&context, "sbc.contoso.example", "own", 1_900_000_000)]);
        assert!(
            metrics
                .text()
                .contains("subject_cn=\"sbc.contoso.example\"} 1900000000")
        );
        let twice = [1_950_000_000, 1_800_000_000, 1_900_000_000];
        own.set(twice.map(|end| (&context, "Some Root", "ca", end)));
        assert!(
            metrics
                .text()
                .contains("subject_cn=\"Some Root\"} 1800000000")
        );
        own.set([]);
        assert!(!metrics.text().contains("subject_cn"));
    }
}
