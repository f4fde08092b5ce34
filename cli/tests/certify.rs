//! `causeway certify`, as somebody types it.

use causeway::command::exit;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// Exit code, output, errors.
fn certify(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_causeway"))
        .arg("certify")
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

const STANDINGS: [(&str, &str); 4] = [
    ("shown", "shown"),
    ("partly", "partly"),
    ("missing", "missing"),
    ("exception", "exceptions"),
];

#[test]
fn without_being_told_what_it_prints_what_there_is_and_fails() {
    let (code, out, errors) = certify(&[]);
    assert_eq!(code, Some(exit::USAGE.into()));
    assert_eq!(out, "");
    assert!(errors.contains("--ledger "), "{errors}");
    let (code, out, errors) = certify(&["--json"]);
    assert_eq!((code, out.as_str()), (Some(exit::USAGE.into()), ""));
    assert!(errors.contains("--ledger"), "{errors}");
}

#[test]
fn the_figures_of_the_ledger_are_those_of_its_entries() {
    let (code, out, errors) = certify(&["--ledger", "--json"]);
    assert_eq!((code, errors.as_str()), (Some(exit::OK.into()), ""));
    let told: Value = serde_json::from_str(&out).unwrap();
    let entries = told["requirements"].as_array().unwrap();
    let mut counted: BTreeMap<(String, String), u64> = BTreeMap::new();
    for entry in entries {
        let standing = entry["standing"].as_str().unwrap().to_owned();
        let places = [
            format!("section {}", entry["section"]),
            entry["level"].as_str().unwrap().to_owned(),
            format!("list {}", entry["list"]),
            format!("list {}, {}", entry["list"], entry["level"]),
            "total".to_owned(),
        ];
        for place in places {
            *counted.entry((place, standing.clone())).or_default() += 1;
        }
        let is_shown = !entry["shown_by"].as_array().unwrap().is_empty();
        let says = (is_shown, !entry["missing"].is_null());
        match standing.as_str() {
            "shown" => assert_eq!(says, (true, false), "{entry}"),
            "partly" => assert_eq!(says, (true, true), "{entry}"),
            "missing" => assert_eq!(says, (false, true), "{entry}"),
            _ => assert!(!entry["exception"].is_null(), "{entry}"),
        }
    }
    let fits = |place: &str, counts: &Value| {
        for (standing, key) in STANDINGS {
            let of = (place.to_owned(), standing.to_owned());
            let wanted = counted.get(&of).copied().unwrap_or(0);
            assert_eq!(number(&counts[key]), wanted, "{place} {key}");
        }
    };
    fits("total", &told["total"]);
    fits("must", &told["must"]);
    let lists = told["lists"].as_array().unwrap();
    assert_eq!(lists.len(), 6);
    for list in lists {
        fits(&format!("list {}", list["list"]), &list["total"]);
        let must = format!("list {}, \"must\"", list["list"]);
        fits(&must, &list["must"]);
    }
    let sections = told["sections"].as_array().unwrap();
    assert_eq!(sections.len(), 48);
    for section in sections {
        fits(
            &format!("section {}", section["section"]),
            &section["count"],
        );
    }
}

#[test]
fn text_has_a_row_per_section_and_a_sentence_for_all_that_is_missing() {
    let (code, text, _) = certify(&["--ledger"]);
    assert_eq!(code, Some(exit::OK.into()));
    let (_, json, _) = certify(&["--ledger", "--json"]);
    let told: Value = serde_json::from_str(&json).unwrap();
    let row = |name: &str, counts: &Value| {
        let line = text.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no row {name:?} in\n{text}"));
        let figures: Vec<u64> = line[name.len()..]
            .split_whitespace()
            .map(|word| word.parse().unwrap())
            .collect();
        let wanted = STANDINGS.map(|(_, key)| number(&counts[key]));
        assert_eq!(figures, wanted, "{line}");
    };
    for section in told["sections"].as_array().unwrap() {
        let title = section["title"].as_str().unwrap();
        let name = format!("{:>2} {title}", number(&section["section"]));
        row(&name, &section["count"]);
    }
    row("   all", &told["total"]);
    row("   of these, must", &told["must"]);
    for list in told["lists"].as_array().unwrap() {
        let name = format!("   {}", list["list"].as_str().unwrap());
        let must = format!("{name}, must");
        row(&format!("{name}  "), &list["total"]);
        row(&must, &list["must"]);
    }
    for entry in told["requirements"].as_array().unwrap() {
        let word = |key: &str| entry[key].as_str();
        let id = word("id").unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{id} ")));
        match word("exception").or(word("missing")) {
            None => assert_eq!(line, None),
            Some(sentence) => {
                let line = line.unwrap_or_else(|| panic!("{id} is not in\n{text}"));
                assert!(line.ends_with(sentence), "{line}");
                assert!(line.contains(word("title").unwrap()), "{line}");
            }
        }
    }
}

/// A machine that has too much to do may have calls refused, which is told and is no success; every call is accounted for.
#[test]
fn a_load_over_every_transport_is_carried_measured_and_printed() {
    let short = ["load", "--rate", "20", "--seconds", "1", "--call-ms", "20"];
    let (code, out, errors) = certify(&[&short[..], &["--json"]].concat());
    assert_eq!(errors, "", "{out}");
    let told: Value = serde_json::from_str(&out).unwrap();
    let ways = told["ways"].as_array().unwrap();
    let names: Vec<&str> = ways
        .iter()
        .map(|way| way["caller"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["udp", "tcp", "tls", "tls-each"]);
    let mut is_well = true;
    for way in ways {
        let count = |name: &str| number(&way[name]);
        assert_eq!(count("calls"), 20, "{way}");
        assert_eq!(count("ended") + count("failed"), 20, "{way}");
        assert!(count("established") >= count("ended"), "{way}");
        assert!(count("established") > 0 && count("ended") > 0, "{way}");
        is_well &= count("failed") == 0;
        // An SBC between them takes its time, and so does the generator alone.
        let delays = [("setup_us", count("established")), ("alone_us", 1)];
        for (delay, _) in delays.into_iter().filter(|(_, calls)| *calls > 0) {
            let at = |share: &str| number(&way[delay][share]);
            assert!(at("p99") >= at("p50") && at("p50") > 0, "{way}");
        }
        assert!(way["cpu_per_call_us"].as_f64().is_some(), "{way}");
    }
    let wanted = if is_well { exit::OK.into() } else { 1 };
    assert_eq!(code, Some(wanted), "{out}");
    let held = ["--over", "udp", "--held", "5", "--settle", "0"];
    let (code, text, _) = certify(&[&short[..], &held].concat());
    let row = text.lines().find(|line| line.starts_with("udp ")).unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells[2], "20", "{text}");
    let wanted = if cells[3] == "0" { exit::OK.into() } else { 1 };
    assert_eq!(code, Some(wanted), "{text}");
    let memory = text.lines().find(|line| line.contains(" calls held: "));
    let memory = memory.and_then(|line| line.strip_prefix("udp: ")).unwrap();
    let calls: u8 = memory.split(' ').next().unwrap().parse().unwrap();
    assert!((1..=5).contains(&calls), "{text}");
}

#[test]
fn a_load_on_somebody_elses_sbc_fails_where_no_call_succeeds() {
    // Whoever is there answers nothing.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = silent.local_addr().unwrap().to_string();
    let there = [
        "load",
        "--to",
        &to,
        "--caller",
        "127.0.0.1:0",
        "--answerer",
        "127.0.0.1:0",
    ];
    let (code, _, errors) = certify(&[&there[..], &["--over", "udp", "--rate", "5"]].concat());
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("not a single call succeeds: 50 got no answer"),
        "{errors}"
    );
    let (code, _, errors) = certify(&[&there[..], &["--over", "tls"]].concat());
    assert_eq!(code, Some(1));
    assert!(errors.contains("--ca FILE and --name NAME"), "{errors}");
    let (code, _, _) = certify(&["load", "--to", &to]);
    assert_eq!(code, Some(exit::USAGE.into()));
}
