//! Every explanation, made for real: a call that fails that way, and the two sentences that an operator reads.
//!
//! A row is the name of an explanation, a scene that ends with the record of a call, and what the sentences must say:
//! where it was, and what to change, by the names that the operator has written. What nobody can bring about from
//! outside stands in [`NOT_FROM_OUTSIDE`], with the place that shows it.

mod admitted;
mod described;
mod dropped;
mod lasting;
mod microsoft;
mod reached;
mod refused;

use crate::world;
use sbc_core::cause::CauseCode;
use sbc_core::record::Record;
use sbc_core::report::{Explanation, explain};
use sbc_core::trouble::Trouble;
use std::collections::BTreeSet;
use std::time::Duration;
use world::*;

/// One way for a call to fail.
pub(crate) struct Row {
    name: Trouble,
    scene: fn() -> Record,
    /// What the first sentence must have.
    why: &'static [&'static str],
    /// What the second sentence must have; nothing where nothing is to be changed.
    change: &'static [&'static str],
}

pub(crate) fn row(
    name: Trouble,
    scene: fn() -> Record,
    why: &'static [&'static str],
    change: &'static [&'static str],
) -> Row {
    Row {
        name,
        scene,
        why,
        change,
    }
}

fn rows() -> Vec<Row> {
    let all = [
        admitted::rows(),
        described::rows(),
        lasting::rows(),
        reached::rows(),
        refused::rows(),
    ];
    all.into_iter().flatten().collect()
}

/// Explanations that no peer, no network and no operator brings about here, and where they are shown instead.
const NOT_FROM_OUTSIDE: &[(Trouble, &str)] = &[
    (
        Trouble::RestartLost,
        "the next start writes the record: cli/src/sink/cdr/journal.rs",
    ),
    (
        Trouble::InternalError,
        "a contradiction of our own: a record stands at it until it is closed",
    ),
    (
        Trouble::MediaOutOfOrder,
        "a contradiction of our own, refused as any description",
    ),
    (
        Trouble::NodeFull,
        "a full node refuses before there is a call: its message is dropped as overload",
    ),
    (
        Trouble::NoFax,
        "a fax comes within a call, which goes on without it: fax.rs",
    ),
    (
        Trouble::NothingTried,
        "an attempt that comes to nothing always says why",
    ),
    (
        Trouble::BadRequest,
        "an INVITE without usable Contact is refused before it is a call",
    ),
];

/// Everything that is still under way comes to its end; the record of the last call that ended.
pub(crate) fn over(mut shard: Shard) -> Record {
    shard.pass(Duration::from_secs(200));
    at_once(shard)
}

/// The record of a call that has ended already.
pub(crate) fn at_once(shard: Shard) -> Record {
    let mut records = shard.records;
    records.pop().expect("the record of a call that ended")
}

fn told(row: &Row) -> (Record, Explanation) {
    let record = (row.scene)();
    let told = explain(&record);
    (record, told)
}

#[test]
fn every_explanation_is_made_for_real_and_says_what_happened_and_what_to_change() {
    let mut wrong = Vec::new();
    for row in rows() {
        let name = row.name;
        let Ok((record, told)) = std::panic::catch_unwind(|| told(&row)) else {
            wrong.push(format!("{name}: its scene has come to no record"));
            continue;
        };
        let mut complain = |what: String| wrong.push(format!("{name}: {what}\n{told}"));
        if told.name != name {
            complain(format!("is told as {}", told.name));
            continue;
        }
        if record.cause.code != name.code() {
            complain(format!("its code is {}", record.cause.code));
        }
        for words in row.why {
            if !told.why.contains(words) {
                complain(format!("\"{words}\" is not in why"));
            }
        }
        let change = told.change.join("; ");
        for words in row.change {
            if !change.contains(words) {
                complain(format!("\"{words}\" is not in change"));
            }
        }
        if row.change.is_empty() != told.change.is_empty() {
            complain("something is to be changed, or nothing".to_owned());
        }
        if told.why.chars().any(char::is_control) || told.why.chars().count() > 400 {
            complain("no sentence that anybody reads".to_owned());
        }
        let texts = told.change.iter().chain([&told.why]);
        for text in texts {
            if text.contains("\"\"") || text.contains("  ") || text.contains("NAME\"") {
                complain(format!("something is missing in: {text}"));
            }
        }
    }
    let count = wrong.len();
    assert!(wrong.is_empty(), "{count} wrong:\n{}", wrong.join("\n"));
}

#[test]
fn every_explanation_and_every_cause_code_has_a_row() {
    let shown: BTreeSet<Trouble> = rows().iter().map(|row| row.name).collect();
    let others: BTreeSet<Trouble> = NOT_FROM_OUTSIDE.iter().map(|(name, _)| *name).collect();
    let missing: Vec<&str> = Trouble::ALL
        .iter()
        .filter(|name| !shown.contains(name) && !others.contains(name))
        .map(|name| name.as_str())
        .collect();
    assert_eq!(missing, Vec::<&str>::new(), "no row shows them");
    let both: Vec<_> = shown.intersection(&others).collect();
    assert!(both.is_empty(), "{both:?} can be shown after all");
    let codes: BTreeSet<CauseCode> = shown.iter().map(|name| name.code()).collect();
    let by_others: BTreeSet<CauseCode> = others.iter().map(|name| name.code()).collect();
    for code in CauseCode::ALL {
        assert!(codes.contains(&code) || by_others.contains(&code), "{code}");
    }
    assert!(shown.len() >= 60, "{}", shown.len());
}

/// Prints what an operator reads, for who writes the sentences: `cargo test -- --ignored --nocapture`.
#[test]
#[ignore = "for people"]
fn all_explanations_as_they_are_read() {
    for row in rows() {
        println!("{}", told(&row).1);
    }
}
