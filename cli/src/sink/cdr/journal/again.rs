//! Tests of calls that go on in the next run.

use super::*;
use crate::sink::fixture;

const EVERY: Duration = Duration::from_secs(900);
const HOUR: Duration = Duration::from_secs(3_600);

/// It was answered an hour ago.
fn up(call: u128, goes_on: bool) -> Note {
    let mut record = fixture::record(call);
    record.end = None;
    let setup = Duration::from_millis(record.setup_ms.unwrap());
    let ago = u64::try_from((HOUR + setup).as_micros()).unwrap();
    record.start = UnixTime::from_micros(wall_clock().as_micros() - ago);
    Note::Open {
        record: Arc::new(record),
        pairs: false,
        at: wall_clock(),
        goes_on,
    }
}

fn open(folder: &Path) -> (Journal, Vec<Lost>) {
    Journal::open(folder).unwrap()
}

/// So much later it still lives.
fn lives(journal: &mut Journal, later: Duration) {
    journal.begun -= later;
    let alive = journal.alive(wall_clock());
    journal.append(alive.as_bytes()).unwrap();
}

#[track_caller]
fn is_about(lost: &[Lost], wanted: Duration) {
    assert!(!lost.is_empty());
    for one in lost {
        let length = Duration::from_millis(one.record["duration_ms"].as_u64().unwrap());
        // It is right to a second; and the machine may be busy.
        let least = wanted - Duration::from_secs(1);
        let is_right = (least..wanted + Duration::from_secs(60)).contains(&length);
        assert!(is_right, "{length:?} of {wanted:?}");
    }
}

/// OPS-060
#[test]
fn a_call_keeps_its_length_over_restarts_whether_or_not_the_file_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let all = HashSet::from([CallId(1)]);
    let (mut journal, _) = open(folder);
    journal.write(&[up(1, false)]).unwrap();
    lives(&mut journal, HOUR);
    drop(journal);
    // It goes on, and the next run is short: what counts is when it was answered.
    let (mut journal, lost) = open(folder);
    is_about(&lost, HOUR);
    journal.go_on(&all, wall_clock()).unwrap();
    lives(&mut journal, Duration::from_secs(120));
    drop(journal);
    // The file is written anew before anybody knows whether it goes on.
    let (mut journal, lost) = open(folder);
    is_about(&lost, HOUR + Duration::from_secs(120));
    journal.renew(folder, wall_clock()).unwrap();
    drop(journal);
    let (mut journal, lost) = open(folder);
    is_about(&lost, HOUR + Duration::from_secs(120));
    // And behind that; the clock of the host tells of the hour alone here.
    journal.go_on(&all, wall_clock()).unwrap();
    journal.write(&[up(1, true), up(1, false)]).unwrap();
    journal.renew(folder, wall_clock()).unwrap();
    lives(&mut journal, Duration::from_secs(240));
    drop(journal);
    is_about(&open(folder).1, HOUR + Duration::from_secs(240));
}

#[test]
fn a_call_that_the_journal_does_not_know_is_as_long_as_its_record_says() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path());
    // What is told of it behind that in the same write counts.
    journal.write(&[up(1, true), up(1, false)]).unwrap();
    journal.write(&[up(2, true)]).unwrap();
    // The process before has told of this time.
    assert!(journal.interim(EVERY).is_empty());
    journal.write(&[up(2, false)]).unwrap();
    drop(journal);
    let (_, lost) = open(folder.path());
    assert_eq!(lost.len(), 2);
    is_about(&lost, HOUR);
}

#[test]
fn interim_records_go_on_behind_those_of_the_run_before() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path());
    journal.write(&[up(1, false), up(2, false)]).unwrap();
    lives(&mut journal, HOUR);
    drop(journal);
    let (mut journal, _) = open(folder.path());
    for place in journal.open.values_mut() {
        place.answered = place.answered.map(|at| at - Duration::from_secs(901));
    }
    // Nobody knows yet whether they go on.
    assert!(journal.interim(EVERY).is_empty());
    let goes_on = HashSet::from([CallId(2)]);
    journal.go_on(&goes_on, wall_clock()).unwrap();
    let lines = journal.interim(EVERY);
    assert_eq!(lines.len(), 1);
    let told: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(told["call"], CallId(2).to_string());
    assert_eq!(told["interim"], 5);
    let length = told["duration_ms"].as_u64().unwrap();
    assert!((4_500_000..4_560_000).contains(&length), "{length}");
    assert!(journal.interim(EVERY).is_empty());
    // None comes behind its record, though the disk may not have that yet.
    for place in journal.open.values_mut() {
        place.answered = place.answered.map(|at| at - EVERY);
    }
    journal.over(CallId(2));
    assert!(journal.interim(EVERY).is_empty());
}
