//! OPTIONS between us and the proxies of Teams, in figures (TDR-MON-003): when they last went well in each direction,
//! and how long Teams takes to answer.

use super::{Direction, Maker};
use prometheus::{GaugeVec, HistogramVec};
use sbc_core::config::{Config, Preset};
use sbc_core::event::{Event, Happened};
use sbc_core::sip::Status;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Most proxies with a label value of their own, as each calls itself what it likes; all others share `other`.
const MOST: usize = 1_024;

/// OPTIONS of Teams and ours.
pub struct OptionsMetrics {
    last: GaugeVec,
    took: HistogramVec,
    /// Trunk, direction and proxy of every series.
    known: Mutex<BTreeSet<(String, &'static str, String)>>,
}

impl OptionsMetrics {
    pub(super) fn new(maker: &Maker<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            last: maker.float_gauges(
                "sbc_teams_options_timestamp_seconds",
                "When OPTIONS were last answered with 200: ours by a proxy of Teams (out), those of one by us (in).",
                &["trunk", "dir", "peer"],
            )?,
            took: maker.histograms(
                "sbc_teams_options_seconds",
                "From our OPTIONS to the 200 of a proxy of Teams, with a connection that was made for it; by trunk: \
                 sbc_peer_options_rtt_seconds.",
                &["peer"],
                &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0],
            )?,
            known: Mutex::default(),
        })
    }

    /// Takes note of what happened.
    pub fn apply(&self, event: &Event) {
        let Happened::Options {
            trunk,
            by_peer,
            host,
            status: Some(Status::OK),
            took,
            ..
        } = &event.what
        else {
            return;
        };
        let dir = match by_peer {
            true => Direction::In,
            false => Direction::Out,
        };
        let mut series = (
            trunk.as_str().to_owned(),
            dir.as_str(),
            host.to_ascii_lowercase(),
        );
        {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= MOST && !known.contains(&series) {
                series.2 = "other".to_owned();
            }
            known.insert(series.clone());
        }
        let (trunk, dir, peer) = series;
        let last = self.last.with_label_values(&[&*trunk, dir, &*peer]);
        last.set(event.at.as_micros() as f64 / 1e6);
        if let Some(took) = took {
            let took_of = self.took.with_label_values(&[&*peer]);
            took_of.observe(took.as_secs_f64());
        }
    }

    /// Forgets trunks that are configured no more.
    pub fn keep(&self, config: &Config) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = Vec::new();
        known.retain(|(trunk, dir, peer)| {
            let mut trunks = config.trunks.values();
            let is_there =
                trunks.any(|own| own.preset == Preset::Teams && own.name.as_str() == trunk);
            if !is_there {
                // What was not observed has no series there.
                let _ = self
                    .last
                    .remove_label_values(&[trunk.as_str(), dir, peer.as_str()]);
                gone.push(peer.clone());
            }
            is_there
        });
        gone.retain(|peer| !known.iter().any(|(_, _, own)| own == peer));
        for peer in gone {
            let _ = self.took.remove_label_values(&[peer.as_str()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::metrics::Metrics;
    use sbc_core::time::UnixTime;
    use std::time::Duration;

    fn asked(metrics: &Metrics, by_peer: bool, host: &str, status: u16) {
        metrics.options.apply(&Event {
            at: UnixTime::from_micros(1_800_000_000_500_000),
            call: None,
            leg: None,
            what: Happened::Options {
                trunk: "teams".into(),
                by_peer,
                host: host.to_owned(),
                remote: None,
                status: Status::new(status),
                took: (!by_peer).then_some(Duration::from_millis(40)),
                because: String::new(),
            },
        });
    }

    #[test]
    fn when_options_last_went_well_is_known_of_each_proxy_and_how_long_they_took() {
        let metrics = Metrics::new().unwrap();
        asked(&metrics, false, "SIP.pstnhub.example", 200);
        asked(&metrics, false, "sip2.pstnhub.example", 403);
        asked(&metrics, true, "sip-du-a-eu.pstnhub.example", 200);
        let text = metrics.text();
        for line in [
            "sbc_teams_options_timestamp_seconds{dir=\"out\",peer=\"sip.pstnhub.example\",trunk=\"teams\"} 1800000000.5",
            "sbc_teams_options_timestamp_seconds{dir=\"in\",peer=\"sip-du-a-eu.pstnhub.example\",trunk=\"teams\"} 1800000000.5",
            "sbc_teams_options_seconds_bucket{peer=\"sip.pstnhub.example\",le=\"0.05\"} 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("sip2.pstnhub.example"), "{text}");
        for number in 0..2 * MOST {
            asked(&metrics, true, &format!("p{number}.example"), 200);
        }
        let text = metrics.text();
        let series = text
            .lines()
            .filter(|line| line.starts_with("sbc_teams_options_timestamp"));
        assert!(series.count() <= MOST + 1 && text.contains("peer=\"other\""));
    }
}
