//! `causeway top`: what the node does at this moment, drawn anew each second at a terminal, or once.

mod screen;

use super::counters::{Between, Counters};
use super::exit;
use super::node::{Connection, look, text};
use super::readable::{duration, plain};
use crate::alarms;
use clap::Args;
use screen::{Key, Screen};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Time between two pictures, and between the two looks that a single one needs.
const REFRESH: Duration = Duration::from_secs(1);
/// Calls whose media are asked for in one turn: a node with thousands is not to be busy with being looked at.
const HEARD_AT_ONCE: usize = 10;
/// Calls with the worst media that are shown.
const WORST: usize = 5;

/// How it is shown.
#[derive(Args, Clone, Debug)]
pub struct Top {
    /// Print it once and end, as is done where standard output is no terminal
    #[arg(long)]
    pub once: bool,
    /// The daemon
    #[command(flatten)]
    pub connection: Connection,
}

/// Shows it until a key ends it, or once.
///
/// # Errors
/// If the output cannot be written, or the terminal is none.
pub fn run(arguments: &Top, out: &mut dyn Write) -> io::Result<u8> {
    let to = &arguments.connection;
    let is_live = !arguments.once
        && to.output.is_table()
        && io::stdout().is_terminal()
        && io::stdin().is_terminal();
    let mut watch = match Watch::begin(to) {
        Ok(watch) => watch,
        Err(code) => return Ok(code),
    };
    if !is_live {
        sleep(REFRESH);
        let seen = match watch.look(to) {
            Ok(seen) => seen,
            Err(code) => return Ok(code),
        };
        match to.output.is_table() {
            true => {
                for line in lines(&seen, usize::MAX) {
                    writeln!(out, "{line}")?;
                }
            }
            false => to.output.print(&seen, out)?,
        }
        return Ok(exit::OK);
    }
    let mut code = exit::OK;
    {
        let mut screen = Screen::take(out)?;
        let mut due = Instant::now() + REFRESH;
        let mut last = None;
        loop {
            match screen.key(due.saturating_duration_since(Instant::now()))? {
                Some(Key::End) => break,
                Some(Key::Resized) => {}
                None => {
                    due = Instant::now() + REFRESH;
                    match watch.look(to) {
                        Ok(seen) => last = Some(seen),
                        Err(why) => {
                            code = why;
                            break;
                        }
                    }
                }
            }
            if let Some(seen) = &last {
                let (_, height) = screen.size();
                screen.draw(&lines(seen, height.saturating_sub(1)), "q ends")?;
            }
        }
    }
    Ok(code)
}

/// What is remembered from one look to the next.
struct Watch {
    before: Counters,
    /// Media of calls in progress, by call.
    heard: BTreeMap<String, Value>,
    /// The call that was asked about last.
    asked_last: String,
}

impl Watch {
    fn begin(to: &Connection) -> Result<Self, u8> {
        Ok(Self {
            before: Counters::ask(to)?,
            heard: BTreeMap::new(),
            asked_last: String::new(),
        })
    }

    /// Everything that is shown.
    fn look(&mut self, to: &Connection) -> Result<Value, u8> {
        let ask = |path: &str| -> Result<Value, u8> {
            let text = text(to, path)?;
            Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
        };
        let (status, trunks) = (ask("/status")?, ask("/trunks")?);
        let (figures, certs, calls) = (ask("/figures")?, ask("/certs")?, ask("/calls")?);
        let now = Counters::ask(to)?;
        self.listen(to, &calls);
        let between = Between::new(&self.before, &now);
        let seen = json!({
            "status": status,
            "now": rates(&between, &now),
            "trunks": trunk_rows(&trunks, &figures),
            "worst": self.worst(&calls),
            "alarms": alarms::of(&status, &trunks, &certs),
        });
        self.before = now;
        Ok(seen)
    }

    /// Asks about the media of the next few calls, in turn.
    fn listen(&mut self, to: &Connection, calls: &Value) {
        let is_talking = |call: &&Value| !call["answered"].is_null();
        let mut all: Vec<&str> = rows(calls)
            .iter()
            .filter(is_talking)
            .filter_map(|call| call["call"].as_str())
            .collect();
        all.sort_unstable();
        self.heard
            .retain(|call, _| all.binary_search(&call.as_str()).is_ok());
        let begin = all.partition_point(|call| *call <= self.asked_last.as_str());
        let next = all
            .iter()
            .cycle()
            .skip(begin)
            .take(all.len().min(HEARD_AT_ONCE));
        for call in next {
            self.asked_last = (*call).to_owned();
            // It may have ended since.
            let Some(text) = look(to, &format!("/calls/{call}")) else {
                continue;
            };
            let told: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
            if let Some(row) = heard(&told["live"]) {
                self.heard.insert((*call).to_owned(), row);
            }
        }
    }

    /// The calls whose media are worst, the worst first.
    fn worst(&self, calls: &Value) -> Vec<Value> {
        let of = |call: &str| {
            let found = rows(calls).iter().find(|own| own["call"] == call);
            found.cloned().unwrap_or(Value::Null)
        };
        let mut worst: Vec<(&String, &Value)> = self.heard.iter().collect();
        let badness = |row: &Value| {
            // Who is not heard at all is worse than any noise.
            let one_way = row["one_way"].as_str().is_some();
            let mos = row["mos"].as_f64().unwrap_or(5.0);
            (u8::from(!one_way), (mos * 100.0) as u32)
        };
        worst.sort_by_key(|(_, row)| badness(row));
        let row = |(call, heard): (&String, &Value)| {
            let (own, mut row) = (of(call), heard.clone());
            row["call"] = json!(call);
            for name in ["from_trunk", "to_trunk", "seconds"] {
                row[name] = own[name].clone();
            }
            row
        };
        worst.into_iter().take(WORST).map(row).collect()
    }
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().map_or(&[][..], Vec::as_slice)
}

/// What was counted since the look before.
fn rates(between: &Between<'_>, now: &Counters) -> Value {
    let seconds = between.seconds().max(f64::MIN_POSITIVE);
    let callers = [("dir", "in")];
    let per_second = |name: &str, labels: &[(&str, &str)]| {
        let rate = between.grown(name, labels).max(0.0) / seconds;
        (rate * 10.0).round() / 10.0
    };
    json!({
        "calls": now.sum("sbc_calls_active", &callers) as i64,
        "attempts_per_second": per_second("sbc_call_attempts_total", &callers),
        "answered_per_second": per_second("sbc_calls_answered_total", &callers),
        "failed_per_second": per_second("sbc_call_results_total", &[("dir", "in"), ("result", "failed")]),
        "media_packets_per_second": per_second("sbc_rtp_packets_total", &callers),
        "cpu_percent": per_second("process_cpu_seconds_total", &[]) * 100.0,
        "memory_bytes": now.sum("process_resident_memory_bytes", &[]) as u64,
    })
}

/// Each trunk with its calls, and with its figures of the last hour in both directions.
fn trunk_rows(trunks: &Value, figures: &Value) -> Vec<Value> {
    let row = |trunk: &Value| {
        let mut row = json!({
            "trunk": trunk["trunk"],
            "state": trunk["state"],
            "calls_in": trunk["calls_in"],
            "calls_out": trunk["calls_out"],
            "most_calls": trunk["most_calls"],
        });
        for (direction, name) in [("in", "hour_in"), ("out", "hour_out")] {
            let own = rows(figures)
                .iter()
                .find(|own| own["trunk"] == trunk["trunk"] && own["direction"] == direction);
            row[name] = own.map_or(Value::Null, |own| own["hour"].clone());
        }
        row
    };
    rows(trunks).iter().map(row).collect()
}

/// How the worse leg of a call is heard; nothing before anything was.
fn heard(live: &Value) -> Option<Value> {
    let legs = rows(&live["media"]);
    let rated = legs.iter().filter_map(|leg| {
        let mos = leg["received"]["listening"]["mos_estimate"].as_f64()?;
        Some((leg, mos))
    });
    let worse = rated.min_by(|one, other| one.1.total_cmp(&other.1));
    let one_way = rows(&live["one_way"])
        .iter()
        .find(|own| own["lasted_ms"].is_null());
    if worse.is_none() && one_way.is_none() {
        return None;
    }
    let mut row = Map::new();
    if let Some((leg, mos)) = worse {
        row.insert("leg".to_owned(), leg["leg"].clone());
        row.insert("codec".to_owned(), leg["codec"].clone());
        row.insert("mos".to_owned(), json!((mos * 100.0).round() / 100.0));
        row.insert(
            "loss_percent".to_owned(),
            leg["received"]["loss_percent"].clone(),
        );
        row.insert(
            "jitter_ms".to_owned(),
            leg["received"]["mean_jitter_ms"].clone(),
        );
    }
    let one_way = one_way.map(|own| {
        format!(
            "leg {}: {}",
            plain(&own["leg"]),
            plain(&own["kind"]).replace('_', " ")
        )
    });
    row.insert("one_way".to_owned(), json!(one_way));
    Some(Value::Object(row))
}

/// The picture, so high at most; what matters most is not what is left out.
fn lines(seen: &Value, height: usize) -> Vec<String> {
    let (status, now) = (&seen["status"], &seen["now"]);
    let number = |name: &str| now[name].as_f64().unwrap_or_default();
    let up = status["uptime_seconds"]
        .as_u64()
        .map_or_else(String::new, duration);
    let mut top = vec![
        format!(
            "{}  {}  up {up}  load {}  generation {}",
            plain(&status["node"]),
            plain(&status["state"]),
            plain(&status["overload"]),
            plain(&status["config_generation"])
        ),
        format!(
            "calls {}  set-ups {:.1}/s  answered {:.1}/s  failed {:.1}/s  media {:.0} packets/s  cpu {:.0} %  memory {} MB",
            number("calls"),
            number("attempts_per_second"),
            number("answered_per_second"),
            number("failed_per_second"),
            number("media_packets_per_second"),
            number("cpu_percent"),
            now["memory_bytes"].as_u64().unwrap_or_default() / 1_000_000
        ),
    ];
    let alarms = rows(&seen["alarms"]).iter();
    top.extend(alarms.map(|one| format!("! {}", plain(one))));
    top.push(String::new());
    let mut worst = Vec::new();
    if !rows(&seen["worst"]).is_empty() {
        worst.push(String::new());
        worst.push("CALL              MOS  LOSS %  JITTER ms  CODEC     FROM > TO".to_owned());
        worst.extend(rows(&seen["worst"]).iter().map(worst_line));
    }
    let trunks: Vec<String> = rows(&seen["trunks"]).iter().map(trunk_line).collect();
    let head = format!(
        "{:NAME$}  {:13}  {:>5}  {:>5}  {:>5}  {:>6}  {:>6}  {:>7}  {:>6}",
        "TRUNK", "STATE", "IN", "OUT", "MOST", "ASR %", "NER %", "ACD s", "PDD s"
    );
    let room = height.saturating_sub(top.len() + worst.len() + 1);
    let left_out = trunks.len().saturating_sub(room);
    top.push(head);
    match left_out {
        0 => top.extend(trunks),
        _ => {
            let shown = room.saturating_sub(1);
            let more = trunks.len() - shown;
            top.extend(trunks.into_iter().take(shown));
            top.push(format!(
                "… {more} more trunks; \"causeway trunks\" lists all"
            ));
        }
    }
    top.extend(worst);
    top.truncate(height);
    top
}

/// Letters of a trunk's name.
const NAME: usize = 24;

fn trunk_line(row: &Value) -> String {
    // Figures of calls to it; of those from it where none went to it.
    let hour = match row["hour_out"]["calls"].as_u64() {
        Some(1..) => &row["hour_out"],
        _ => &row["hour_in"],
    };
    let figure = |name: &str| match hour[name].as_f64() {
        Some(value) => format!("{value:.1}"),
        None => "-".to_owned(),
    };
    format!(
        "{:NAME$}  {:13}  {:>5}  {:>5}  {:>5}  {:>6}  {:>6}  {:>7}  {:>6}",
        short(&plain(&row["trunk"]), NAME),
        plain(&row["state"]),
        plain(&row["calls_in"]),
        plain(&row["calls_out"]),
        plain(&row["most_calls"]),
        figure("asr_percent"),
        figure("ner_percent"),
        figure("acd_seconds"),
        figure("pdd_seconds"),
    )
}

fn worst_line(row: &Value) -> String {
    let call = plain(&row["call"]);
    let tail: String = call.chars().take(16).collect();
    let number = |name: &str, digits: usize| match row[name].as_f64() {
        Some(value) => format!("{value:.digits$}"),
        None => "-".to_owned(),
    };
    let mut line = format!(
        "{tail:16}  {:>4}  {:>5}  {:>9}  {:8}  {} > {}",
        number("mos", 2),
        number("loss_percent", 2),
        number("jitter_ms", 1),
        plain(&row["codec"]),
        plain(&row["from_trunk"]),
        plain(&row["to_trunk"]),
    );
    if row["one_way"].is_string() {
        line.push_str(&format!("  one-way, {}", plain(&row["one_way"])));
    }
    line
}

fn short(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(trunks: usize) -> Value {
        let trunk = |number: usize| {
            json!({
                "trunk": format!("trunk-{number:03}"), "state": "up", "calls_in": 1, "calls_out": 2,
                "most_calls": null, "hour_in": null,
                "hour_out": { "calls": 10, "asr_percent": 52.5, "ner_percent": 97.0, "acd_seconds": 61.25 },
            })
        };
        json!({
            "status": { "node": "sbc1", "state": "active", "overload": "calm", "config_generation": 3,
                        "uptime_seconds": 61 },
            "now": { "calls": 7, "attempts_per_second": 2.5, "cpu_percent": 12.0, "memory_bytes": 90_500_000 },
            "trunks": (0..trunks).map(trunk).collect::<Vec<_>>(),
            "worst": [{ "call": "0123456789abcdef0123", "mos": 2.31, "loss_percent": 4.0, "jitter_ms": 31.06,
                        "codec": "PCMA", "from_trunk": "a", "to_trunk": "b", "one_way": "leg 1: no packets" }],
            "alarms": ["trunk x: 192.0.2.1 is down\u{1b}[2J"],
        })
    }

    #[test]
    fn the_picture_has_everything_where_there_is_room() {
        let lines = lines(&seen(2), usize::MAX);
        assert_eq!(
            lines[0],
            "sbc1  active  up 1 min 1 s  load calm  generation 3"
        );
        assert!(
            lines[1].starts_with("calls 7  set-ups 2.5/s"),
            "{}",
            lines[1]
        );
        assert!(lines[1].ends_with("cpu 12 %  memory 90 MB"), "{}", lines[1]);
        // Nothing that others say moves the cursor.
        assert_eq!(lines[2], "! trunk x: 192.0.2.1 is down\u{fffd}[2J");
        let row = lines
            .iter()
            .find(|line| line.starts_with("trunk-001"))
            .unwrap();
        let fields: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(
            fields,
            [
                "trunk-001",
                "up",
                "1",
                "2",
                "-",
                "52.5",
                "97.0",
                "61.2",
                "-"
            ]
        );
        let worst = lines.last().unwrap();
        assert!(
            worst.starts_with("0123456789abcdef  2.31   4.00       31.1  PCMA      a > b  one-way"),
            "{worst}"
        );
    }

    #[test]
    fn a_low_terminal_shows_fewer_trunks_and_says_so() {
        let lines = lines(&seen(50), 20);
        assert_eq!(lines.len(), 20);
        let more = lines.iter().find(|line| line.starts_with('…')).unwrap();
        let shown = lines
            .iter()
            .filter(|line| line.starts_with("trunk-"))
            .count();
        assert_eq!(
            *more,
            format!(
                "… {} more trunks; \"causeway trunks\" lists all",
                50 - shown
            )
        );
        assert!(lines.last().unwrap().contains("one-way"));
        assert!(super::lines(&seen(50), 1).len() == 1);
    }

    #[test]
    fn the_worse_leg_counts_and_one_way_audio_before_any_noise() {
        let leg = |leg: u8, mos: f64| {
            json!({ "leg": leg, "codec": "PCMA",
            "received": { "loss_percent": 1.0, "mean_jitter_ms": 2.0, "listening": { "mos_estimate": mos } } })
        };
        let live = json!({ "media": [leg(0, 4.3), leg(1, 3.111)], "one_way": [] });
        let row = heard(&live).unwrap();
        assert_eq!(
            (&row["leg"], &row["mos"], &row["one_way"]),
            (&json!(1), &json!(3.11), &Value::Null)
        );
        assert_eq!(
            heard(&json!({ "media": [{ "leg": 0, "received": {} }], "one_way": [] })),
            None
        );
        let silent = json!({ "media": [leg(0, 4.3)], "one_way": [
            { "leg": 1, "kind": "no_packets", "lasted_ms": null }] });
        let all = [("a", live), ("b", silent)];
        let heard = all
            .iter()
            .map(|(call, live)| ((*call).to_owned(), heard(live).unwrap()))
            .collect();
        let before = Counters::default();
        let watch = Watch {
            before,
            heard,
            asked_last: String::new(),
        };
        let worst = watch.worst(&json!([{ "call": "b", "from_trunk": "t" }]));
        let order: Vec<&str> = worst
            .iter()
            .filter_map(|row| row["call"].as_str())
            .collect();
        assert_eq!(order, ["b", "a"]);
        assert_eq!(
            (&worst[0]["from_trunk"], &worst[0]["one_way"]),
            (&json!("t"), &json!("leg 1: no packets"))
        );
    }
}
