//! Our records of calls with Teams, read from the spool that the daemon writes.

use crate::sink::cdr::{CURRENT, closed_files};
use sbc_core::config::{Config, Preset};
use sbc_core::id::{TenantName, TrunkName};
use sbc_core::report::call_named_by;
use sbc_core::time::UnixTime;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest line that is read.
const LONGEST_LINE: u64 = 1 << 20;
/// Most calls that are kept.
const MOST_CALLS: usize = 1_000_000;

/// A call of ours that Teams had a part in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct OwnCall {
    /// Its identifier.
    pub call: String,
    /// When its INVITE came.
    #[serde(skip)]
    pub start: UnixTime,
    /// The same as text.
    #[serde(rename = "start")]
    pub start_text: String,
    /// Who called.
    pub calling: String,
    /// Who was called.
    pub called: String,
    /// What became of it, in one word.
    pub disposition: String,
    /// Seconds from answer to end.
    pub talked_s: u64,
    /// Why it ended, by its stable name.
    pub cause: String,
    /// Who ended it: `a`, `b` or `us`.
    pub by: String,
    /// The facts behind that.
    pub because: Vec<String>,
    /// Times at Teams.
    #[serde(skip)]
    pub visits: Vec<Visit>,
}

/// One time that a call was at Teams: it came from there, or was tried there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Visit {
    /// Name of the trunk as Teams knows it, lower case.
    pub trunk: String,
    /// Whether the call came from Teams.
    pub is_from_teams: bool,
    /// Earliest and latest time of its INVITE.
    pub between: (UnixTime, UnixTime),
    /// Forms in which we know who called, with stars for digits that are not kept; none if nothing is.
    pub calling: Vec<String>,
    /// Forms in which we know who was called, as those.
    pub called: Vec<String>,
    /// What Teams called it.
    pub guids: BTreeSet<String>,
    /// Final status of Teams, if there was one.
    pub status: Option<u16>,
}

/// Trunks of a customer towards Teams by their configured name, each with its name at Teams.
pub fn trunks(config: &Config, tenant: &TenantName) -> BTreeMap<TrunkName, Owned> {
    let trunks = config.trunks.values();
    let own = trunks.filter(|trunk| {
        let is_served = trunk.tenant.as_ref().is_none_or(|name| name == tenant);
        trunk.preset == Preset::Teams && is_served
    });
    own.filter_map(|trunk| {
        let owned = Owned {
            fqdn: trunk.fqdn.as_ref()?.to_ascii_lowercase(),
            is_shared: trunk.tenant.is_none(),
        };
        Some((trunk.name.clone(), owned))
    })
    .collect()
}

/// A trunk towards Teams.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owned {
    /// Its name at Teams.
    pub fqdn: String,
    /// Whether it serves other customers, too.
    pub is_shared: bool,
}

/// Reads the calls of a customer that began between two times.
///
/// # Errors
/// The file that cannot be read, and why.
pub fn read(
    spool: &Path,
    tenant: &TenantName,
    trunks: &BTreeMap<TrunkName, Owned>,
    between: (UnixTime, UnixTime),
) -> Result<Vec<OwnCall>, (PathBuf, io::Error)> {
    let mut calls = Vec::new();
    for path in files(spool, between.0).map_err(|why| (spool.to_owned(), why))? {
        let fault = |why| (path.clone(), why);
        let mut reader = BufReader::new(File::open(&path).map_err(fault)?);
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut part = reader.by_ref().take(LONGEST_LINE);
            if part.read_until(b'\n', &mut line).map_err(fault)? == 0 {
                break;
            }
            // The last line may be half written, and that of a pair of legs, or an interim one, is no call.
            let Ok(record) = serde_json::from_slice(&line) else {
                continue;
            };
            calls.extend(of_record(&record, tenant, trunks, between));
            if calls.len() > MOST_CALLS {
                let why = format!("there are more than {MOST_CALLS} calls; ask for fewer days");
                return Err(fault(io::Error::other(why)));
            }
        }
    }
    calls.sort_by_key(|call| call.start);
    Ok(calls)
}

/// Files of the spool that may have records of calls since then. Those that were closed on an earlier day have
/// none: a record is written at the end of its call.
fn files(spool: &Path, since: UnixTime) -> io::Result<Vec<PathBuf>> {
    let day = since.date();
    let mut paths = closed_files(spool)?;
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let closed = name.get(..day.len());
        !closed.is_some_and(|closed| UnixTime::of_day(closed).is_some() && closed < day.as_str())
    });
    let current = spool.join(CURRENT);
    if current.exists() {
        paths.push(current);
    }
    paths.sort();
    Ok(paths)
}

fn of_record(
    record: &Value,
    tenant: &TenantName,
    trunks: &BTreeMap<TrunkName, Owned>,
    (since, until): (UnixTime, UnixTime),
) -> Option<OwnCall> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let ingress = record.get("ingress")?;
    if record.get("interim").is_some() {
        // The call goes on; its record comes at its end.
        return None;
    }
    let start = UnixTime::of_rfc3339(record["start"].as_str()?)?;
    if start < since || start >= until {
        return None;
    }
    let is_its = record["tenant"].as_str() == Some(tenant.as_str());
    let own = |trunk: &Value| {
        let owned = trunks.get(&TrunkName::new(trunk.as_str()?))?;
        (is_its || !owned.is_shared).then_some(owned)
    };
    let kept = record["numbers"].as_str();
    let forms = |values: &[&Value]| -> Vec<String> {
        let forms = values.iter().filter_map(|value| value.as_str());
        let forms = forms.filter_map(|form| match kept {
            None | Some("full") => Some(form.to_owned()),
            // As Microsoft hides digits.
            Some("cut") => Some(form.replace('x', "*")),
            // A name says nothing of a number.
            Some(_) => None,
        });
        let forms: BTreeSet<String> = forms.collect();
        forms.into_iter().collect()
    };
    let calling = forms(&[
        &record["calling_raw"],
        &record["calling"],
        &record["asserted"],
    ]);
    let (called, called_raw) = (&record["called"], &record["called_raw"]);
    let end_reason = record["end_reason"].as_str();
    let ms = |name: &str| record[name].as_u64().unwrap_or(0);
    let end = start + Duration::from_millis(ms("setup_ms").saturating_add(ms("duration_ms")));
    let mut visits = Vec::new();
    // A transfer names the call of who asked for it.
    let transferred = |trunk: &Value| {
        let transfers = record["transfers"].as_array().map(Vec::as_slice);
        let transfers = transfers.unwrap_or_default().iter();
        let of_trunk = transfers.filter(|own| own["trunk"] == *trunk);
        of_trunk.map(|own| &own["teams_call"]).collect::<Vec<_>>()
    };
    if let Some(trunk) = own(&ingress["trunk"]) {
        visits.push(Visit {
            trunk: trunk.fqdn.clone(),
            is_from_teams: true,
            between: (start, start),
            calling: calling.clone(),
            called: forms(&[called, called_raw]),
            guids: guids(
                [end_reason],
                [&ingress["teams_call"]]
                    .into_iter()
                    .chain(transferred(&ingress["trunk"])),
            ),
            status: record["cause"]["status"].as_u64().and_then(status),
        });
    }
    let attempts = record["egress"].as_array().map(Vec::as_slice);
    for (index, attempt) in attempts.unwrap_or_default().iter().enumerate() {
        let Some(trunk) = own(&attempt["trunk"]) else {
            continue;
        };
        visits.push(Visit {
            trunk: trunk.fqdn.clone(),
            is_from_teams: false,
            // The first is tried at once. When others were is not noted: a target before may have kept us
            // waiting, and who was called for a transfer was called within the call.
            between: (
                start,
                if index == 0 {
                    start
                } else {
                    end.max(start + LATER)
                },
            ),
            calling: calling.clone(),
            called: forms(&[&attempt["called"], called, called_raw]),
            guids: guids(
                [end_reason, attempt["reason"].as_str()],
                [&attempt["teams_call"]]
                    .into_iter()
                    .chain(transferred(&attempt["trunk"])),
            ),
            status: attempt["status"].as_u64().and_then(status),
        });
    }
    let cause = &record["cause"];
    (!visits.is_empty()).then(|| OwnCall {
        call: text(&record["call"]),
        start,
        start_text: start.rfc3339(),
        calling: text(&record["calling"]),
        called: text(called),
        disposition: text(&record["disposition"]),
        talked_s: ms("duration_ms") / 1_000,
        cause: text(&cause["code"]),
        by: text(&cause["by"]),
        because: cause["because"]
            .as_array()
            .into_iter()
            .flatten()
            .map(text)
            .collect(),
        visits,
    })
}

/// How long the targets before a later one may have taken, at least.
const LATER: Duration = Duration::from_secs(60);

fn status(status: u64) -> Option<u16> {
    u16::try_from(status).ok()
}

/// Names that Teams gave a call: in the text of a Reason, and in its Contact.
fn guids<'t>(
    reasons: impl IntoIterator<Item = Option<&'t str>>,
    told: impl IntoIterator<Item = &'t Value>,
) -> BTreeSet<String> {
    let reasons = reasons.into_iter().flatten();
    let told = told.into_iter().filter_map(Value::as_str);
    let named = reasons.filter_map(call_named_by).chain(told);
    named.map(str::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reports::number::{Likeness, compare};
    use serde_json::json;
    use std::fs;

    const GUID: &str = "0B2F3C4D-1111-2222-3333-444455556666";

    fn owned() -> BTreeMap<TrunkName, Owned> {
        let fqdn = "sbc1.contoso.example".to_owned();
        let is_shared = false;
        BTreeMap::from([(TrunkName::new("teams"), Owned { fqdn, is_shared })])
    }

    fn record() -> Value {
        json!({
            "call": "a1", "tenant": "contoso", "start": "2026-08-01T10:00:00.500Z",
            "calling_raw": "01632960001", "calling": "+441632960001", "asserted": null,
            "called_raw": "100", "called": "+441632960100",
            "setup_ms": 2000, "duration_ms": 41_900, "disposition": "answered",
            "cause": { "by": "b", "code": "normal_clearing", "status": null, "because": ["BYE"] },
            "end_reason": format!("{GUID};a normal end"),
            "ingress": { "trunk": "carrier" },
            "egress": [{ "trunk": "teams", "called": "+441632960100", "status": 200, "reason": null,
                         "teams_call": "C98E1515-a937-4b81-b8a8-3992afde64e0" }],
            "transfers": [
                { "trunk": "teams", "teams_call": "33333333-0000-0000-0000-00000000000A" },
                { "trunk": "carrier", "teams_call": "44444444-0000-0000-0000-000000000000" },
            ],
        })
    }

    fn days() -> (UnixTime, UnixTime) {
        let day = |text| UnixTime::of_day(text).unwrap();
        (day("2026-08-01"), day("2026-08-02"))
    }

    fn of(record: &Value) -> Option<OwnCall> {
        of_record(record, &TenantName::new("contoso"), &owned(), days())
    }

    #[test]
    fn a_record_tells_when_and_as_whom_a_call_was_at_teams() {
        let call = of(&record()).unwrap();
        let mut interim = record();
        interim["interim"] = 1.into();
        assert!(of(&interim).is_none(), "it goes on");
        assert_eq!(
            (call.talked_s, call.cause.as_str()),
            (41, "normal_clearing")
        );
        let [visit] = &call.visits[..] else {
            panic!("{call:?}");
        };
        assert_eq!(visit.calling, ["+441632960001", "01632960001"]);
        assert_eq!(visit.called, ["+441632960100", "100"]);
        assert_eq!(visit.between, (call.start, call.start));
        let in_contact = "c98e1515-a937-4b81-b8a8-3992afde64e0";
        let in_transfer = "33333333-0000-0000-0000-00000000000a";
        let own = GUID.to_ascii_lowercase();
        let wanted = [&own, in_contact, in_transfer].map(str::to_owned);
        assert_eq!(visit.guids, BTreeSet::from(wanted));
        assert!(!visit.is_from_teams);
    }

    #[test]
    fn numbers_that_are_not_kept_are_not_compared() {
        let mut cut = record();
        cut["numbers"] = json!("cut");
        cut["calling"] = json!("+441632960xxx");
        cut["calling_raw"] = json!("01632960xxx;ext=1xxx");
        let visit = of(&cut).unwrap().visits.remove(0);
        assert_eq!(visit.calling, ["+441632960***", "01632960***;e*t=1***"]);
        for (shown, wanted) in [
            ("+441632960001", Likeness::Same),
            ("+441632961001", Likeness::Other),
        ] {
            let forms = visit.calling.iter().map(String::as_str);
            assert_eq!(compare(shown, forms), wanted, "{shown}");
        }
        let mut hashed = record();
        hashed["numbers"] = json!("hashed");
        // Of all that a name may be made of, this looks like a number.
        hashed["calling"] = json!("hmac:01234567890123456789012345678901");
        let visit = of(&hashed).unwrap().visits.remove(0);
        assert!(visit.calling.is_empty() && visit.called.is_empty());
        assert_eq!(visit.guids.len(), 3, "by which it is found");
    }

    #[test]
    fn calls_of_others_and_of_other_days_are_passed_over() {
        let mut later = record();
        later["start"] = json!("2026-08-02T00:00:00.000Z");
        assert_eq!(of(&later), None);
        let mut elsewhere = record();
        elsewhere["egress"][0]["trunk"] = json!("carrier-2");
        assert_eq!(of(&elsewhere), None);
        assert_eq!(of(&json!({ "pair": 1 })), None);
        // A trunk that several customers share has calls of others.
        let mut other = record();
        other["tenant"] = json!("fabrikam");
        assert!(of(&other).is_some());
        let mut shared = owned();
        shared.values_mut().for_each(|trunk| trunk.is_shared = true);
        let name = TenantName::new("contoso");
        assert_eq!(of_record(&other, &name, &shared, days()), None);
        assert!(of_record(&record(), &name, &shared, days()).is_some());
    }

    #[test]
    fn a_spool_is_read_from_the_files_that_may_have_the_day() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let line = |call: &str| {
            let mut record = record();
            record["call"] = json!(call);
            format!("{record}\n")
        };
        // Closed before the day: whatever is in it is not looked at.
        write("2026-07-31T23-59-59-000Z.jsonl", &line("early"));
        write(
            "2026-08-01T12-00-00-000Z.jsonl",
            &format!("no json\n{}", line("one")),
        );
        write("current.jsonl", &format!("{}{{\"call\": \"ha", line("two")));
        write("notes.txt", &line("three"));
        let name = TenantName::new("contoso");
        let calls = read(folder.path(), &name, &owned(), days()).unwrap();
        let names: Vec<&str> = calls.iter().map(|call| call.call.as_str()).collect();
        assert_eq!(names, ["one", "two"]);
        let missing = folder.path().join("none");
        assert!(read(&missing, &name, &owned(), days()).is_err());
    }
}
