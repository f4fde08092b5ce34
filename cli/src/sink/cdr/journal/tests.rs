//! Tests of the journal within one run, and of what it leaves behind.

use super::*;
use crate::sink::cdr::spool::CURRENT;
use crate::sink::fixture;
use crate::sink::log::{Form, Level, Log};
use serde_json::json;

/// 2026-01-15T10:00:00Z, when calls of tests begin, and so many seconds later.
fn at(seconds: u64) -> UnixTime {
    fixture::record(0).start + Duration::from_secs(seconds)
}

fn up(call: u128) -> Note {
    let mut record = fixture::record(call);
    record.end = None;
    note(record)
}

fn rings(call: u128) -> Note {
    let mut record = fixture::record(call);
    (record.setup_ms, record.answered_by, record.end) = (None, None, None);
    note(record)
}

/// Its media drain.
fn drains(call: u128) -> Note {
    note(fixture::record(call))
}

fn note(record: Record) -> Note {
    Note::Open {
        record: Arc::new(record),
        pairs: true,
        at: at(1),
        goes_on: false,
    }
}

fn open(folder: &Path) -> (Journal, Vec<Lost>) {
    Journal::open(folder).unwrap()
}

/// As each second, and once more when that is on the disk.
fn tick(journal: &mut Journal, now: UnixTime) {
    let (log, _) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
    let mut forcer = Forcer::start(log, File::sync_data).unwrap();
    for _ in 0..2 {
        journal.tick(now, &forcer).unwrap();
        let batch = forcer.give(journal.unforced().unwrap());
        journal.given(batch);
        while !forcer.is_idle() {
            std::thread::yield_now();
        }
    }
}

fn lost(folder: &Path) -> Vec<u128> {
    let (_, lost) = open(folder);
    lost.iter().map(|one| one.call.0).collect()
}

#[test]
fn a_move_needs_nothing_of_the_old_disk_and_leaves_out_what_it_cannot_read() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut journal, _) = Journal::open(old.path()).unwrap();
    journal.write(&[up(1), up(2)]).unwrap();
    // The line of the second is gone, and the file cannot be removed: a folder stands in its place.
    let place = journal.open.get_mut(&CallId(2)).unwrap();
    place.lines = Lines::begin(1 << 20, 100);
    fs::remove_file(old.path().join(FILE)).unwrap();
    fs::create_dir(old.path().join(FILE)).unwrap();
    journal.move_to(new.path(), at(2)).unwrap();
    assert!(journal.has(CallId(1)) && !journal.has(CallId(2)));
    assert_eq!(journal.unread().len(), 2);
    drop(journal);
    let (_, lost) = Journal::open(new.path()).unwrap();
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].call, CallId(1));
}

#[test]
fn what_a_daemon_has_left_behind_is_found_when_the_journal_moves_there() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut left, _) = open(new.path());
    left.write(&[up(7)]).unwrap();
    drop(left);
    let (mut journal, _) = open(old.path());
    journal.write(&[up(1)]).unwrap();
    let found = journal.move_to(new.path(), at(2)).unwrap();
    assert_eq!(found.iter().map(|one| one.call.0).collect::<Vec<_>>(), [7]);
    // By another name it is the same place.
    let again = new.path().join(".");
    assert!(journal.move_to(&again, at(2)).unwrap().is_empty());
    drop(journal);
    assert_eq!(lost(new.path()), [1]);
}

#[test]
fn a_file_that_cannot_be_read_keeps_no_record_back() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(directory.path()).unwrap();
    journal.write(&[up(1)]).unwrap();
    drop(journal);
    fs::create_dir(directory.path().join("export.jsonl")).unwrap();
    let (mut journal, lost) = Journal::open(directory.path()).unwrap();
    assert_eq!(lost.len(), 1);
    let unread = journal.unread();
    assert!(unread[0].contains("export.jsonl"), "{unread:?}");
}

#[test]
fn calls_that_were_up_have_a_record_until_the_daemon_was_seen_last() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, none) = open(folder.path());
    assert!(none.is_empty() && journal.open.is_empty());
    journal.write(&[rings(1), rings(2), rings(3)]).unwrap();
    journal.write(&[up(1), up(3)]).unwrap();
    journal.write(&[Note::End(CallId(3))]).unwrap();
    // Begun and ended at once: not even mentioned.
    journal.write(&[rings(4), Note::End(CallId(4))]).unwrap();
    // Ninety-eight seconds later, when somebody has set the clock back by an hour, and forth in between.
    journal.begun -= Duration::from_secs(98);
    tick(&mut journal, at(7_200));
    tick(&mut journal, at(0));
    drop(journal);
    let (next, lost) = open(folder.path());
    assert_eq!(next.run, 2);
    assert_eq!(lost.len(), 2);
    let [answered, ringing] = [&lost[0].record, &lost[1].record];
    assert_eq!(answered["call"], CallId(1).to_string());
    assert_eq!(answered["cause"]["code"], "restart_lost");
    assert_eq!(answered["explanation"]["name"], "daemon_lost");
    assert_eq!(answered["disposition"], "answered");
    let is_right = |told: &Value| (98_000..99_000).contains(&told["duration_ms"].as_u64().unwrap());
    assert!(is_right(answered), "{answered}");
    assert_eq!(ringing["disposition"], "failed");
    let lines: Vec<Box<str>> = lost[0].lines().collect();
    let pair: Value = serde_json::from_str(&lines[1]).unwrap();
    assert!(lines.len() == 2 && is_right(&pair), "{pair}");
    assert_eq!(lost[1].lines().count(), 1);
}

#[test]
fn calls_whose_media_drained_have_their_own_end_and_cause() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path());
    journal.write(&[up(1), up(2), rings(3)]).unwrap();
    journal.write(&[drains(1)]).unwrap();
    // The last word counts, also where several come at once, and interim records are of those who talk.
    journal.write(&[up(4), drains(4)]).unwrap();
    for place in journal.open.values_mut() {
        place.answered = place.answered.map(|at| at - Duration::from_secs(901));
    }
    assert_eq!(journal.interim(Duration::from_secs(900)).len(), 1);
    journal.begun -= Duration::from_secs(90);
    tick(&mut journal, at(90));
    drop(journal);
    let (_, lost) = open(folder.path());
    let told = lost.iter().map(|one| {
        let code = one.record["cause"]["code"].as_str().unwrap();
        let of_pair = one.pairs.first().map(|pair| &pair["duration_ms"]);
        (one.call.0, one.had_ended, code, of_pair.cloned())
    });
    let told: Vec<_> = told.collect();
    assert_eq!(told[0], (1, true, "normal_clearing", Some(json!(60_000))));
    assert_eq!(
        (told[1].0, told[1].1, told[1].2),
        (2, false, "restart_lost")
    );
    assert_eq!(told[2], (3, false, "restart_lost", None));
    assert_eq!(told[3], (4, true, "normal_clearing", Some(json!(60_000))));
    let record = &lost[0].record;
    assert_eq!(
        (&record["duration_ms"], &record["end"]),
        (&json!(60_000), &json!(at(62).rfc3339()))
    );
    let because = record["cause"]["because"].as_array().unwrap();
    assert!(because[0] == "BYE" && because.len() == 2, "{because:?}");
    // One that was cut ends when the daemon was seen last.
    let end = lost[1].record["end"]
        .as_str()
        .and_then(UnixTime::of_rfc3339)
        .unwrap();
    assert!(end > at(62), "{}", lost[1].record);
}

#[test]
fn a_record_that_was_written_just_before_the_end_is_not_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path());
    journal.write(&[up(1), up(2), up(3)]).unwrap();
    drop(journal);
    let line = |call: u128| serde_json::to_string(&fixture::record(call)).unwrap();
    let interim = json!({ "call": CallId(3), "interim": 1 });
    fs::write(folder.path().join("2026-01-01.jsonl"), line(1) + "\n").unwrap();
    fs::write(folder.path().join(CURRENT), interim.to_string() + "\n").unwrap();
    let (mut journal, lost) = open(folder.path());
    assert_eq!(
        lost.iter().map(|one| one.call.0).collect::<Vec<_>>(),
        [2, 3]
    );
    journal
        .write(&[Note::End(CallId(2)), Note::End(CallId(3))])
        .unwrap();
    // That it has its record is written once that is on the disk.
    let recorded = journal.recorded();
    assert_eq!(recorded, [CallId(1)]);
    assert!(journal.has(CallId(1)));
    journal.write(&[Note::End(CallId(1))]).unwrap();
    assert!(journal.open.is_empty());
    journal.finish();
    assert_eq!(fs::metadata(folder.path().join(FILE)).unwrap().len(), 0);
}

#[test]
fn the_file_is_written_anew_when_it_has_grown_or_gone_or_moves_and_keeps_who_is_up() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut journal, _) = open(folder.path());
    journal.write(&[up(1)]).unwrap();
    for call in 2..6_000 {
        journal.write(&[rings(call)]).unwrap();
        journal.write(&[up(call), Note::End(CallId(call))]).unwrap();
    }
    assert!(journal.bytes > USUAL_BYTES);
    tick(&mut journal, at(2));
    let length = fs::metadata(folder.path().join(FILE)).unwrap().len();
    assert_eq!(length, journal.bytes);
    assert!(length < 10_000, "{length}");
    fs::remove_file(folder.path().join(FILE)).unwrap();
    journal.write(&[up(7)]).unwrap();
    tick(&mut journal, at(3));
    assert_eq!(lost(folder.path()), [1, 7]);
    journal.move_to(other.path(), at(3)).unwrap();
    journal.write(&[Note::End(CallId(1))]).unwrap();
    assert_eq!(lost(other.path()), [7]);
    assert_eq!(lost(folder.path()), [0_u128; 0]);
}

#[test]
fn what_happens_while_a_copy_is_forced_to_the_disk_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path());
    journal.write(&[up(1), rings(2), up(3), up(4)]).unwrap();
    let copy = journal.copied(folder.path()).unwrap();
    journal.write(&[up(2), Note::End(CallId(3))]).unwrap();
    journal.write(&[up(5), drains(4)]).unwrap();
    journal.adopt(copy, folder.path(), at(9)).unwrap();
    let length = fs::metadata(folder.path().join(FILE)).unwrap().len();
    assert_eq!(length, journal.bytes);
    journal.write(&[Note::End(CallId(1))]).unwrap();
    drop(journal);
    let (_, lost) = open(folder.path());
    let told: Vec<_> = lost.iter().map(|one| (one.call.0, one.had_ended)).collect();
    assert_eq!(told, [(2, false), (4, true), (5, false)]);
    assert_eq!(lost[0].record["disposition"], "answered");
}

#[test]
fn a_kill_right_behind_the_file_was_written_anew_makes_no_call_shorter() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path());
    // Sixteen of them, as the order in which they are written anew is by chance.
    let calls: Vec<Note> = (0..16).map(up).collect();
    for call in &calls {
        journal.write(std::slice::from_ref(call)).unwrap();
        journal.begun -= Duration::from_secs(10);
    }
    journal.begun -= Duration::from_secs(100);
    journal.renew(folder.path(), at(260)).unwrap();
    drop(journal);
    let (_, lost) = open(folder.path());
    let longest = |one: &Lost| one.record["duration_ms"].as_u64().unwrap();
    assert_eq!(lost.len(), 16);
    assert!(lost.iter().all(|one| longest(one) >= 110_000));
}

#[test]
fn interim_records_are_made_of_answered_calls_once_for_each_part_of_time() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path());
    journal.write(&[rings(1), up(2)]).unwrap();
    let told = |journal: &mut Journal, every| {
        let lines = journal.interim(every);
        let read = |line: Box<str>| serde_json::from_str::<Value>(&line).unwrap();
        lines.into_iter().map(read).collect::<Vec<_>>()
    };
    assert!(told(&mut journal, Duration::from_secs(900)).is_empty());
    let place = journal.open.get_mut(&CallId(2)).unwrap();
    place.answered = place.answered.map(|at| at - Duration::from_secs(901));
    let lines = told(&mut journal, Duration::from_secs(900));
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (&lines[0]["interim"], &lines[0]["cause"]),
        (&json!(1), &Value::Null)
    );
    let duration = lines[0]["duration_ms"].as_u64().unwrap();
    assert!((901_000..960_000).contains(&duration), "{duration}");
    assert!(told(&mut journal, Duration::from_secs(900)).is_empty());
    // A transfer does not begin the count anew.
    journal.write(&[up(2)]).unwrap();
    assert_eq!(
        told(&mut journal, Duration::from_secs(450))[0]["interim"],
        2
    );
}

#[test]
fn half_a_line_and_what_is_damaged_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path());
    journal.write(&[up(1), up(2)]).unwrap();
    let path = folder.path().join(FILE);
    let whole = fs::read_to_string(&path).unwrap();
    let half = &whole[..whole.len() - 100];
    fs::write(&path, format!("{{nonsense\n{half}")).unwrap();
    assert_eq!(lost(folder.path()), [1]);
}

/// A record in the middle of its call, in which everything has changed that can.
fn changed(call: u128, round: u64) -> Record {
    let mut record = fixture::record(call);
    record.first_progress_ms = Some(round);
    record.duration_ms = 1_000 * round;
    record.held_ms = round;
    record.end_reason = Some(format!("reason {round}"));
    record.cause.because.0.push(format!("fact {round}"));
    record.disposition = sbc_core::record::Disposition::Answered;
    if round < 4 {
        record.end = None;
    }
    // The legs in every second round.
    record.ingress.to_tag = format!("tag-{}", round / 2);
    record
}

/// OPS-060: whatever is written of a record, what is read is the record as it was last.
#[test]
fn what_has_changed_is_laid_over_what_was_known_and_the_file_is_much_shorter() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path());
    let mut lengths = Vec::new();
    let mut begun = fixture::record(1);
    (begun.setup_ms, begun.answered_by, begun.end) = (None, None, None);
    journal.write(&[note(begun), rings(2)]).unwrap();
    for round in 0..5 {
        let before = journal.bytes;
        journal.write(&[note(changed(1, round))]).unwrap();
        lengths.push(journal.bytes - before);
        let place = &journal.open[&CallId(1)];
        let told = place.lines.read(&journal.file).unwrap();
        let wanted = serde_json::to_value(changed(1, round)).unwrap();
        assert_eq!(told["open"], wanted, "{round}");
        assert_eq!(place.is_ended, round == 4);
    }
    // Without the legs it is shorter by them, and both by what never changes.
    let legs = |round: u64| {
        let record = changed(1, round);
        json::text(&(&record.ingress, &record.egress))
            .unwrap()
            .len() as u64
    };
    assert!(lengths[1] + legs(1) <= lengths[0], "{lengths:?}");
    assert!(lengths[3] + legs(3) <= lengths[2], "{lengths:?}");
    let mut whole = String::new();
    for note in [note(changed(1, 2)), note(changed(1, 3))] {
        let Note::Open { record, .. } = note else {
            continue;
        };
        json::write(&mut whole, &(&*record, record.pairs())).unwrap();
    }
    assert!(lengths[2] + lengths[3] < whole.len() as u64, "{lengths:?}");
    // What does not usually change is told whole when it does.
    let mut other = changed(1, 5);
    other.called = "+15550199".to_owned();
    journal.write(&[note(other.clone())]).unwrap();
    let wanted = serde_json::to_value(&other).unwrap();
    let read = |journal: &Journal| {
        let told = journal.open[&CallId(1)].lines.read(&journal.file);
        told.unwrap()["open"].take()
    };
    assert_eq!(read(&journal), wanted);
    other.held_ms = 77;
    journal.write(&[note(other.clone())]).unwrap();
    let wanted = serde_json::to_value(&other).unwrap();
    assert_eq!(read(&journal), wanted);
    // A copy has them all, and so has the next run.
    journal.renew(folder.path(), at(2)).unwrap();
    assert_eq!(read(&journal), wanted);
    other.held_ms = 78;
    journal.write(&[note(other.clone())]).unwrap();
    let wanted = serde_json::to_value(&other).unwrap();
    assert_eq!(read(&journal), wanted);
    assert_eq!(
        fs::metadata(folder.path().join(FILE)).unwrap().len(),
        journal.bytes
    );
    drop(journal);
    let (journal, lost) = open(folder.path());
    assert_eq!(lost.len(), 2);
    assert_eq!(read(&journal), wanted);
    assert!(lost[0].had_ended && !lost[1].had_ended);
    assert_eq!(lost[0].record["held_ms"], 78);
}

#[test]
fn a_change_whose_beginning_is_lost_is_no_call() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path());
    journal.write(&[rings(1), rings(2)]).unwrap();
    journal.write(&[up(1), up(2)]).unwrap();
    let path = folder.path().join(FILE);
    let text = fs::read_to_string(&path).unwrap();
    let first = text.find('\n').unwrap();
    fs::write(&path, format!("{{{}", &text[first..])).unwrap();
    // The other one has all of its own.
    let (_, left) = open(folder.path());
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].call, CallId(2));
    assert_eq!(left[0].record["disposition"], "answered");
}

/// A line that the disk has lost says nothing about its call, which goes on and has its record at its end.
#[test]
fn a_call_of_which_a_line_cannot_be_read_is_neither_lost_nor_over() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path());
    let calls = [1, 2, 3, 4, 5];
    journal.write(&calls.map(rings)).unwrap();
    journal.write(&calls.map(up)).unwrap();
    // Of two the last line cannot be read when a copy is made, but the first; of a third nothing can be behind that.
    for call in [1, 2].map(CallId) {
        let place = journal.open.get_mut(&call).unwrap();
        place.lines = place.lines.and(1 << 20, 100, false);
    }
    let copy = journal.copied(folder.path()).unwrap();
    let place = journal.open.get_mut(&CallId(3)).unwrap();
    place.lines = Lines::begin(1 << 20, 100);
    journal.adopt(copy, folder.path(), at(2)).unwrap();
    assert_eq!(
        calls.map(|call| journal.has(CallId(call))),
        [false, false, false, true, true]
    );
    let length = fs::metadata(folder.path().join(FILE)).unwrap().len();
    assert_eq!(length, journal.bytes);
    // What changes in one is told whole, and so it is of one that is told to be over and goes on.
    journal.write(&[up(2), Note::End(CallId(4))]).unwrap();
    journal.write(&[up(4), Note::End(CallId(5))]).unwrap();
    drop(journal);
    let (journal, left) = open(folder.path());
    let left: Vec<u128> = left.iter().map(|one| one.call.0).collect();
    assert_eq!(left, [2, 4]);
    assert_eq!(journal.over, HashSet::from([CallId(5)]));
}
