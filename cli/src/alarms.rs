//! What is wrong with a node now, in words: what "causeway top" and the console show, of what the interface tells.

use crate::command::readable::{duration, plain};
use serde_json::Value;

/// A certificate that ends within so many days is one.
const LAST_DAYS: i64 = 14;

/// Everything that somebody should look at.
pub(crate) fn of(status: &Value, trunks: &Value, certs: &Value) -> Vec<String> {
    let mut alarms: Vec<String> = ["not_ready", "degraded"]
        .iter()
        .flat_map(|name| each(&status[*name]))
        .map(plain)
        .collect();
    let lacking = each(&status["out_of_service"]).iter();
    alarms.extend(
        lacking.map(|one| format!("{} is out of service: its secret is not there", plain(one))),
    );
    match status["overload"].as_str() {
        None | Some("calm") => {}
        Some(stage) => alarms.push(format!("the node is loaded: {stage}")),
    }
    if let Some(left) = status["config_confirm_seconds"].as_u64() {
        let left = duration(left);
        alarms.push(format!(
            "the configuration waits to be confirmed: {left} left"
        ));
    }
    if status["config_origin"] == "fallback" {
        alarms.push(
            "the configuration in use is not that of the files, which cannot be used".to_owned(),
        );
    }
    for trunk in each(trunks) {
        // The peers of a derived trunk are those of its carrier trunk.
        let peers = each(&trunk["peers"])
            .iter()
            .filter(|_| trunk["inherits"].is_null());
        let bad = peers
            .filter(|peer| matches!(peer["state"].as_str(), Some("down" | "busy" | "refuses")));
        let name = plain(&trunk["trunk"]);
        alarms.extend(bad.map(|peer| {
            format!(
                "trunk {name}: {} is {}",
                plain(&peer["peer"]),
                plain(&peer["state"])
            )
        }));
        let registrations = each(&trunk["registrations"]).iter();
        let lost =
            registrations.filter(|own| own["state"] != "registered" && own["state"] != "off");
        alarms.extend(
            lost.map(|own| format!("trunk {name}: registration is {}", plain(&own["state"]))),
        );
    }
    for cert in each(certs) {
        let name = plain(&cert["context"]);
        match cert["days_left"].as_i64() {
            Some(left) if left <= LAST_DAYS => {
                alarms.push(format!("certificate {name}: {left} days left"));
            }
            _ => {}
        }
        if cert["because"].is_string() {
            alarms.push(format!("certificate {name}: {}", plain(&cert["because"])));
        }
    }
    alarms
}

/// What an alarm is about, whatever it counts: its words without numbers, and without the units behind them.
pub(crate) fn about(alarm: &str) -> String {
    let is_number = |word: &str| {
        word.bytes()
            .all(|octet| octet.is_ascii_digit() || octet == b'.')
    };
    let mut words = Vec::new();
    let mut is_behind = false;
    for word in alarm.split(' ') {
        let is_unit = is_behind && ["h", "min", "s", "ms", "days"].contains(&word);
        // An address has more than one point.
        is_behind = is_number(word) && word.matches('.').count() < 2;
        if !is_unit && !is_behind {
            words.push(word);
        }
    }
    words.join(" ")
}

/// The elements of a list; none of what is no list.
fn each(value: &Value) -> &[Value] {
    value.as_array().map_or(&[][..], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_only_counts_otherwise_is_the_same_alarm() {
        let waits = |left: &str| {
            about(&format!(
                "the configuration waits to be confirmed: {left} left"
            ))
        };
        assert_eq!(waits("1 min 1 s"), waits("59 s"));
        assert_eq!(
            about("certificate c: 14 days left"),
            about("certificate c: 3 days left")
        );
        assert_ne!(
            about("trunk a: 192.0.2.1 is down"),
            about("trunk a: 192.0.2.2 is down")
        );
        assert_ne!(about("trunk a: p is down"), about("trunk a: p is busy"));
    }

    #[test]
    fn what_nobody_needs_to_look_at_is_no_alarm() {
        let calm = json!({ "overload": "calm", "config_origin": "files", "not_ready": [], "degraded": [],
                           "out_of_service": [], "config_confirm_seconds": null });
        let trunks = json!([{ "trunk": "a", "inherits": null, "peers": [{ "peer": "p", "state": "up" },
            { "peer": "q", "state": "not probed" }], "registrations": [{ "state": "registered" }] }]);
        let certs = json!([{ "context": "c", "days_left": 15, "because": null }]);
        assert_eq!(of(&calm, &trunks, &certs), Vec::<String>::new());
        let loaded =
            json!({ "overload": "heavy", "not_ready": ["draining"], "config_confirm_seconds": 61 });
        let trunks = json!([{ "trunk": "a", "inherits": null, "peers": [{ "peer": "p", "state": "down" }],
            "registrations": [{ "state": "failed" }] },
            { "trunk": "b", "inherits": "a", "peers": [{ "peer": "p", "state": "down" }] }]);
        let certs = json!([{ "context": "c", "days_left": 14, "because": "refused" }]);
        assert_eq!(
            of(&loaded, &trunks, &certs),
            [
                "draining",
                "the node is loaded: heavy",
                "the configuration waits to be confirmed: 1 min 1 s left",
                "trunk a: p is down",
                "trunk a: registration is failed",
                "certificate c: 14 days left",
                "certificate c: refused",
            ]
        );
    }
}
