//! Tests of what a kill or a loss of power leaves behind.

use super::*;
use crate::sink::fixture;
use crate::sink::log::{Form, Level};
use sbc_core::time::UnixTime;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;

fn spool(directory: &Path) -> CdrSpool {
    CdrSpool::at(directory.to_str().unwrap())
}

/// What was asked to be forced: each file by its inode, and how long the journal beside it was.
type Asked = Receiver<(u64, u64)>;

/// Starts with a disk that forces nothing until the sender is dropped.
fn held_back(directory: &Path) -> (Cdr, CdrWriter, mpsc::Sender<()>, Asked) {
    let metrics = Arc::new(Metrics::new().unwrap());
    let (log, _) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
    let (release, held) = mpsc::channel::<()>();
    let (begins, asked) = mpsc::channel();
    let journal = directory.join("open.journal");
    let force = move |file: &File| {
        let inode = file.metadata()?.ino();
        // It may have moved.
        let length = fs::metadata(&journal).map_or(0, |found| found.len());
        let _ = begins.send((inode, length));
        let _ = held.recv();
        Ok(())
    };
    let (cdr, writer) = Cdr::start_on(&spool(directory), metrics, log, force).unwrap();
    (cdr, writer, release, asked)
}

/// A call that goes on.
pub(super) fn up(call: u128) -> Arc<Record> {
    Arc::new(Record {
        end: None,
        ..fixture::record(call)
    })
}

fn wait_for(path: &Path, text: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let has = || fs::read_to_string(path).unwrap_or_default().contains(text);
    while !has() {
        assert!(Instant::now() < deadline, "{text}");
        thread::yield_now();
    }
}

/// OPS-060: power is lost while the disk has one file and not the other.
#[test]
fn a_call_is_told_to_be_over_once_its_record_is_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (cdr, writer, release, asked) = held_back(folder.path());
    let journal = folder.path().join("open.journal");
    let one = CallId(1).to_string();
    cdr.open(&up(1));
    wait_for(&journal, &one);
    cdr.record(&Arc::new(fixture::record(1)));
    wait_for(&folder.path().join(CURRENT), &one);
    asked.recv_timeout(Duration::from_secs(30)).unwrap();
    // Written behind the record, as would be that it is over.
    cdr.open(&up(2));
    wait_for(&journal, &CallId(2).to_string());
    let over = format!("\"end\":\"{one}\"");
    assert!(!fs::read_to_string(&journal).unwrap().contains(&over));
    drop(release);
    wait_for(&journal, &over);
    writer.finish();
}

#[test]
fn the_journal_is_emptied_behind_the_records() {
    let folder = tempfile::tempdir().unwrap();
    let (cdr, writer, release, asked) = held_back(folder.path());
    drop(release);
    let journal = folder.path().join("open.journal");
    cdr.open(&up(1));
    wait_for(&journal, &CallId(1).to_string());
    cdr.record(&Arc::new(fixture::record(1)));
    writer.finish();
    assert_eq!(fs::metadata(&journal).unwrap().len(), 0);
    let asked: Vec<(u64, u64)> = asked.try_iter().collect();
    assert!(!asked.is_empty() && asked.iter().all(|(_, length)| *length > 0));
}

#[test]
fn what_was_written_before_a_move_is_forced_though_the_disk_is_busy() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (cdr, writer, release, asked) = held_back(old.path());
    cdr.open(&up(1));
    asked.recv_timeout(Duration::from_secs(30)).unwrap();
    cdr.lines(Arc::new(json!({ "n": 1 })));
    let current = old.path().join(CURRENT);
    wait_for(&current, "\"n\"");
    let inode = fs::metadata(&current).unwrap().ino();
    cdr.relocate(&spool(new.path()));
    wait_for(&new.path().join("open.journal"), &CallId(1).to_string());
    drop(release);
    writer.finish();
    assert!(asked.try_iter().any(|(file, _)| file == inode));
}

/// Two restarts: the second loses what outlived the first.
#[test]
fn a_call_that_outlived_one_restart_has_its_whole_length_when_the_next_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("open.journal");
    let hour = 3_600_000;
    let start = wall_clock().as_micros() - (hour + 2_000) * 1_000;
    let record = |call| {
        Arc::new(Record {
            start: UnixTime::from_micros(start),
            ..Record::clone(&up(call))
        })
    };
    // The journal as a kill leaves it, once it tells of so many calls by the clock of this run.
    let killed = |writer: CdrWriter, run: u64, wanted: usize| {
        let told = || {
            let text = fs::read_to_string(&journal).unwrap_or_default();
            let lines = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            let of_run = lines.filter(|told: &Value| told["run"] == run);
            let calls = of_run.filter_map(|told| Some(told["open"]["call"].as_str()?.to_owned()));
            calls.collect::<HashSet<String>>().len()
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        while told() < wanted {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
        let left = fs::read(&journal).unwrap();
        writer.finish();
        fs::write(&journal, left).unwrap();
    };
    let start = || {
        let metrics = Arc::new(Metrics::new().unwrap());
        let (log, _) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
        Cdr::start(&spool(folder.path()), metrics, log).unwrap()
    };
    let (cdr, writer) = start();
    cdr.open(&record(1));
    cdr.open(&record(3));
    killed(writer, 1, 2);
    // Of one nothing is told but that it goes on, one is not in the journal, and one changes before it is known to go on.
    let (cdr, writer) = start();
    cdr.taken_up(&record(2));
    cdr.open(&record(3));
    cdr.goes_on(HashSet::from([1, 2, 3].map(CallId)));
    killed(writer, 2, 3);
    let (cdr, writer) = start();
    cdr.goes_on(HashSet::new());
    writer.finish();
    let told = fs::read_to_string(folder.path().join(CURRENT)).unwrap();
    let mut lengths = HashMap::new();
    for line in told.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let call: CallId = record["call"].as_str().unwrap().parse().unwrap();
        lengths.insert(call.0, record["duration_ms"].as_u64().unwrap());
    }
    for call in 1..=3 {
        let length = lengths[&call];
        assert!(
            (hour - 1_000..hour + 60_000).contains(&length),
            "{call}: {length}"
        );
    }
    assert_eq!(told.lines().count(), 3);
}

/// The disk cannot be read at first, and so nobody knows which calls had ended: those that the relay still has go on.
#[test]
fn a_spool_that_opens_late_has_no_second_record_of_a_call_that_had_ended() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("cdr");
    let start = |goes_on: HashSet<CallId>| {
        let metrics = Arc::new(Metrics::new().unwrap());
        let (log, _) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
        let (cdr, writer) = Cdr::start(&spool(&place), metrics, log).unwrap();
        cdr.goes_on(goes_on);
        (cdr, writer)
    };
    let (cdr, writer) = start(HashSet::new());
    for call in 1..=5 {
        cdr.open(&up(call));
    }
    wait_for(&place.join("open.journal"), &CallId(5).to_string());
    for call in [1, 5, 2] {
        cdr.record(&Arc::new(fixture::record(call)));
    }
    // As a kill leaves it: the three have their records, and of two the journal says so.
    wait_for(&place.join(CURRENT), &CallId(2).to_string());
    let mut left = fs::read_to_string(place.join("open.journal")).unwrap();
    for call in [1, 5].map(CallId) {
        let over = format!("{{\"end\":\"{call}\"}}");
        if !left.contains(&over) {
            left = left + &over + "\n";
        }
    }
    writer.finish();
    fs::write(place.join("open.journal"), left).unwrap();

    // The next one cannot read it, and the relay has four of the calls.
    let away = folder.path().join("away");
    fs::rename(&place, &away).unwrap();
    fs::write(&place, "in the way").unwrap();
    let (cdr, writer) = start(HashSet::from([1, 2, 3, 5].map(CallId)));
    assert!(cdr.trouble().is_some());
    // One ends before the disk is there, and three behind.
    cdr.record(&Arc::new(fixture::record(1)));
    fs::remove_file(&place).unwrap();
    fs::rename(&away, &place).unwrap();
    wait_for(&place.join(CURRENT), &CallId(4).to_string());
    // The core tells of two that they go on and end, as of any other, before their records come.
    for call in [2, 5] {
        cdr.taken_up(&up(call));
        cdr.open(&Arc::new(fixture::record(call)));
        cdr.record(&Arc::new(fixture::record(call)));
    }
    cdr.record(&Arc::new(fixture::record(3)));
    writer.finish();
    let told = fs::read_to_string(place.join(CURRENT)).unwrap();
    let calls = told.lines().map(|line| {
        let record: Value = serde_json::from_str(line).unwrap();
        record["call"]
            .as_str()
            .unwrap()
            .parse::<CallId>()
            .unwrap()
            .0
    });
    let mut calls: Vec<u128> = calls.collect();
    calls.sort_unstable();
    assert_eq!(calls, [1, 2, 3, 4, 5]);
    // Nothing is left of which the next start would make a second one.
    assert_eq!(fs::metadata(place.join("open.journal")).unwrap().len(), 0);
}
