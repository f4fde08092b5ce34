//! Tests of the writer of call records.

use super::crashes::up;
use super::spool::CURRENT;
use super::*;
use crate::sink::fixture;
use crate::sink::log::{Form, Level};
use serde_json::{Value, json};

fn lines(directory: &Path) -> Vec<String> {
    let text = fs::read_to_string(directory.join(CURRENT)).unwrap();
    text.lines().map(str::to_owned).collect()
}

impl Lines for Value {
    fn json(&self, _: bool) -> serde_json::Result<Vec<String>> {
        Ok(vec![self.to_string()])
    }

    fn call(&self) -> Option<CallId> {
        None
    }
}

fn spool(directory: &Path) -> CdrSpool {
    CdrSpool::at(directory.to_str().unwrap())
}

fn start(spool: &CdrSpool) -> io::Result<(Cdr, CdrWriter, Arc<Metrics>)> {
    let metrics = Arc::new(Metrics::new().unwrap());
    let (log, _) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
    let (cdr, writer) = Cdr::start(spool, Arc::clone(&metrics), log)?;
    cdr.goes_on(HashSet::new());
    Ok((cdr, writer, metrics))
}

fn started(directory: &Path) -> (Cdr, CdrWriter, Arc<Metrics>) {
    start(&spool(directory)).unwrap()
}

/// A spool whose file is on a disk that is always full.
fn full_disk() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", directory.path().join(CURRENT)).unwrap();
    directory
}

#[test]
fn a_spool_that_cannot_be_opened_at_the_start_keeps_records_waiting_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("cdr");
    fs::write(&place, "in the way").unwrap();
    let must = CdrSpool {
        is_mandatory: true,
        ..spool(&place)
    };
    assert!(start(&must).is_err());
    let (cdr, writer, metrics) = started(&place);
    let told = cdr.trouble().unwrap();
    assert!(told.contains(place.to_str().unwrap()), "{told}");
    cdr.lines(Arc::new(json!({ "n": 1 })));
    fs::remove_file(&place).unwrap();
    writer.finish();
    assert_eq!(lines(&place), ["{\"n\":1}"]);
    assert_eq!(cdr.trouble(), None);
    assert_eq!(metrics.queue_dropped.with_label_values(&["cdr"]).get(), 0);
}

#[test]
fn each_call_has_one_record_whether_it_ended_or_the_daemon_did() {
    let [folder, after, third_start] = [0; 3].map(|_| tempfile::tempdir().unwrap());
    let (cdr, writer, _) = started(folder.path());
    for call in 1..=3 {
        cdr.open(&up(call));
    }
    cdr.record(&Arc::new(fixture::record(2)));
    // The disk as a crash leaves it: what was written, and no more.
    let has = |name: &str, text: &str| {
        let text_there = fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        text_there.contains(text)
    };
    let (third, second) = (CallId(3).to_string(), format!("end\":\"{}", CallId(2)));
    let deadline = Instant::now() + Duration::from_secs(30);
    while !has("open.journal", &third)
        || (!has("open.journal", &second) && has("open.journal", &CallId(2).to_string()))
        || !has(CURRENT, &CallId(2).to_string())
    {
        assert!(Instant::now() < deadline);
        thread::yield_now();
    }
    for (name, to) in [&after, &third_start]
        .into_iter()
        .flat_map(|to| [(CURRENT, to), ("open.journal", to)])
    {
        fs::copy(folder.path().join(name), to.path().join(name)).unwrap();
    }
    writer.finish();
    let (again, writer, metrics) = started(after.path());
    writer.finish();
    drop((cdr, again));
    let told = lines(after.path()).into_iter().map(|line| {
        let told: Value = serde_json::from_str(&line).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&told["call"]), text(&told["cause"]["code"]))
    });
    let told: Vec<(String, String)> = told.collect();
    let one = |call, code: &str| (CallId(call).to_string(), code.to_owned());
    let lost = "restart_lost";
    let wanted = [one(2, "normal_clearing"), one(1, lost), one(3, lost)];
    assert_eq!(told, wanted);
    let text = metrics.text();
    let counted = "cause=\"restart_lost\",dir=\"in\",side=\"local\",trunk=\"carrier\"} 2";
    assert!(text.contains(counted), "{text}");
    // One that goes on has no record before its end, and one then.
    let metrics = Arc::new(Metrics::new().unwrap());
    let (log, _) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
    let (cdr, writer) = Cdr::start(&spool(third_start.path()), metrics, log).unwrap();
    cdr.goes_on(HashSet::from([CallId(3)]));
    cdr.record(&Arc::new(fixture::record(3)));
    writer.finish();
    let told = lines(third_start.path());
    let code =
        |line: &String| serde_json::from_str::<Value>(line).unwrap()["cause"]["code"].clone();
    let codes: Vec<Value> = told.iter().map(code).collect();
    assert_eq!(codes, ["normal_clearing", lost, "normal_clearing"]);
    let (_, writer, _) = started(third_start.path());
    writer.finish();
    assert_eq!(lines(third_start.path()).len(), 3);
    // And once more: nothing is left to tell.
    let (_, writer, _) = started(after.path());
    writer.finish();
    assert_eq!(lines(after.path()).len(), 3);
}

/// OPS-060: a disk takes seconds to be sure of what it has, and whoever is killed meanwhile has told all the same.
#[test]
fn what_happens_while_the_disk_is_forced_is_written_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = Arc::new(Metrics::new().unwrap());
    let (log, _) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
    let (release, held) = mpsc::channel::<()>();
    let (begins, has_begun) = mpsc::channel();
    let force = move |_: &File| {
        let _ = begins.send(());
        // It ends once nobody holds it any more.
        let _ = held.recv();
        Ok(())
    };
    let (cdr, writer) = Cdr::start_on(&spool(folder.path()), metrics, log, force).unwrap();
    cdr.open(&up(1));
    has_begun.recv_timeout(Duration::from_secs(30)).unwrap();
    cdr.open(&up(2));
    cdr.record(&Arc::new(fixture::record(1)));
    let has = |name: &str, call: u128| {
        let text = fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        text.contains(&CallId(call).to_string())
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while !has("open.journal", 2) || !has(CURRENT, 1) {
        assert!(Instant::now() < deadline);
        thread::yield_now();
    }
    drop(release);
    writer.finish();
}

#[test]
fn records_that_a_full_disk_refuses_wait_and_are_written_elsewhere_in_order() {
    let (full, free) = (full_disk(), tempfile::tempdir().unwrap());
    let (cdr, writer, metrics) = started(full.path());
    for number in 0..3 {
        cdr.lines(Arc::new(serde_json::json!({ "n": number })));
    }
    cdr.relocate(&spool(free.path()));
    writer.finish();
    assert_eq!(lines(free.path()), ["{\"n\":0}", "{\"n\":1}", "{\"n\":2}"]);
    assert_eq!(metrics.queue_dropped.with_label_values(&["cdr"]).get(), 0);
}

#[test]
fn where_records_are_mandatory_whoever_takes_calls_hears_when_they_cannot_be_written() {
    let full = full_disk();
    let must = CdrSpool {
        is_mandatory: true,
        ..spool(full.path())
    };
    let (cdr, writer, _) = start(&must).unwrap();
    let refuses = cdr.shared.refuses.subscribe();
    assert!(!*refuses.borrow());
    let wait = |wanted| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while *refuses.borrow() != wanted {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
    };
    cdr.lines(Arc::new(json!({ "n": 1 })));
    wait(true);
    assert!(cdr.trouble().unwrap().contains("new calls are refused"));
    // Somebody says that they need not be.
    cdr.relocate(&spool(full.path()));
    wait(false);
    cdr.relocate(&must);
    wait(true);
    // There is room again.
    fs::remove_file(full.path().join(CURRENT)).unwrap();
    wait(false);
    writer.finish();
    assert_eq!(lines(full.path()), ["{\"n\":1}"]);
}

#[test]
fn records_that_the_disk_refused_until_the_end_are_counted_as_lost() {
    let full = full_disk();
    let (cdr, writer, metrics) = started(full.path());
    for number in 0..3 {
        cdr.lines(Arc::new(serde_json::json!({ "n": number })));
    }
    writer.finish();
    assert_eq!(metrics.queue_dropped.with_label_values(&["cdr"]).get(), 3);
}
