//! `causeway monitoring`: alerts for Prometheus, dashboards for Grafana, and what every metric means.

use crate::command::exit;
use crate::misspelt::unknown;
use crate::sink::metrics::{self, Metric};
use std::io::{self, Write};

const ALERTS: &str = include_str!("../monitoring/alerts.yml");
/// Name, text.
const DASHBOARDS: [(&str, &str); 5] = [
    (
        "overview",
        include_str!("../monitoring/dashboards/overview.json"),
    ),
    ("trunk", include_str!("../monitoring/dashboards/trunk.json")),
    ("media", include_str!("../monitoring/dashboards/media.json")),
    ("node", include_str!("../monitoring/dashboards/node.json")),
    (
        "security",
        include_str!("../monitoring/dashboards/security.json"),
    ),
];

/// What to print.
#[derive(clap::Subcommand, Clone, PartialEq, Eq, Debug)]
pub enum Monitoring {
    /// Alert rules for Prometheus, whose scrape job is to be called "causeway"
    Alerts,
    /// A dashboard to import into Grafana; without a name, which there are
    Dashboard {
        /// overview, trunk, media, node or security
        name: Option<String>,
    },
    /// Every metric with its labels and meaning, as Markdown
    Metrics,
}

/// Prints it. Returns 5 for a dashboard that there is not.
///
/// # Errors
/// If it cannot be printed.
pub fn run(wanted: &Monitoring, out: &mut dyn Write) -> io::Result<u8> {
    match wanted {
        Monitoring::Alerts => out.write_all(ALERTS.as_bytes())?,
        Monitoring::Metrics => print_metrics(out)?,
        Monitoring::Dashboard { name: None } => {
            for (name, _) in DASHBOARDS {
                writeln!(out, "{name}")?;
            }
        }
        Monitoring::Dashboard { name: Some(wanted) } => {
            let Some((_, text)) = DASHBOARDS.iter().find(|(name, _)| name == wanted) else {
                let names = DASHBOARDS.map(|(name, _)| name);
                eprintln!(
                    "causeway: {}",
                    unknown("there is no dashboard", wanted, names)
                );
                return Ok(exit::REFUSED);
            };
            out.write_all(text.as_bytes())?;
        }
    }
    Ok(exit::OK)
}

/// Every metric, as a table.
pub(super) fn print_metrics(out: &mut dyn Write) -> io::Result<()> {
    let metrics = metrics::catalogue().map_err(io::Error::other)?;
    writeln!(
        out,
        "| Metric | Type | Labels | Meaning |\n|---|---|---|---|"
    )?;
    for Metric {
        name,
        kind,
        labels,
        help,
    } in &metrics
    {
        let labels = labels.join(", ");
        writeln!(
            out,
            "| `{name}` | {kind} | {labels} | {} |",
            help.replace('|', "\\|")
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod grafana;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Names with our prefixes in a text, with what histograms append taken off.
    fn names(text: &str) -> Vec<&str> {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut all: Vec<_> = text
            .split(|c| !word(c))
            .filter(|name| name.starts_with("sbc_") || name.starts_with("process_"))
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    #[test]
    fn alerts_and_dashboards_ask_for_metrics_and_labels_that_there_are() {
        let metrics = metrics::catalogue().unwrap();
        let known: BTreeMap<_, _> = metrics
            .iter()
            .map(|metric| (metric.name.as_str(), metric))
            .collect();
        let texts = DASHBOARDS.iter().map(|(_, text)| *text).chain([ALERTS]);
        for text in texts {
            assert!(names(text).len() > 5);
            for name in names(text) {
                let family = ["_bucket", "_sum", "_count"]
                    .iter()
                    .filter_map(|end| name.strip_suffix(end))
                    .find_map(|family| {
                        known
                            .get(family)
                            .filter(|metric| metric.kind == "histogram")
                    })
                    .or_else(|| known.get(name));
                let metric = family.unwrap_or_else(|| panic!("there is no metric {name}"));
                // Selections: {label="…", label!~"…"}; quotes are escaped in JSON.
                for (_, after) in text
                    .match_indices(name)
                    .map(|(at, _)| text.split_at(at + name.len()))
                {
                    let Some(selection) = after
                        .strip_prefix('{')
                        .and_then(|rest| rest.split_once('}'))
                    else {
                        continue;
                    };
                    for part in selection.0.split(", ") {
                        let label = part.split(['=', '!']).next().unwrap_or_default();
                        let is_bucket = label == "le" && metric.kind == "histogram";
                        let given = is_bucket || ["instance", "job"].contains(&label);
                        assert!(
                            given || metric.labels.iter().any(|known| known == label),
                            "{name} has no label {label:?}: {part}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn every_dashboard_is_whole() {
        for (name, text) in DASHBOARDS {
            let board: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(board["uid"], format!("causeway-{name}"));
            let panels = board["panels"].as_array().unwrap();
            let mut places = Vec::new();
            for panel in panels {
                assert!(
                    panel["title"]
                        .as_str()
                        .is_some_and(|title| !title.is_empty())
                );
                assert!(
                    !panel["targets"].as_array().unwrap().is_empty(),
                    "{}",
                    panel["title"]
                );
                let side = |key| panel["gridPos"][key].as_u64().unwrap();
                let (x, y, w, h) = (side("x"), side("y"), side("w"), side("h"));
                assert!(x + w <= 24, "{}", panel["title"]);
                for &(ox, oy, ow, oh) in &places {
                    let apart = x >= ox + ow || ox >= x + w || y >= oy + oh || oy >= y + h;
                    assert!(apart, "{name}: {} lies over another panel", panel["title"]);
                }
                places.push((x, y, w, h));
            }
        }
    }

    #[test]
    fn what_is_not_there_is_said_with_what_is() {
        let mut out = Vec::new();
        let wanted = Monitoring::Dashboard {
            name: Some("calls".to_owned()),
        };
        assert_eq!(run(&wanted, &mut out).unwrap(), exit::REFUSED);
        assert!(out.is_empty());
        assert_eq!(
            run(&Monitoring::Dashboard { name: None }, &mut out).unwrap(),
            exit::OK
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "overview\ntrunk\nmedia\nnode\nsecurity\n"
        );
    }

    #[test]
    fn metrics_are_told_with_type_labels_and_meaning() {
        let mut out = Vec::new();
        run(&Monitoring::Metrics, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(
            "| `sbc_reroutes_total` | counter | trunk, reason | Targets that were given up"
        ));
        assert!(text.contains("| `sbc_media_ports_used` | gauge | realm |"));
    }
}
