//! What `record` of a transform, `name` of a rate and `start` of `[cdr]` must not be.

use crate::config::{BASE, load_text};
use sbc_core::config::Findings;

/// The code of the finding, and the rules; `§` is where it must point.
const RULES: &[(&str, &str)] = &[
    ("E0008", "{ name = §'Account', set = '1' }"),
    ("E0008", "{ name = §'a-b', set = '1' }"),
    ("E0008", "{ name = 'a', set = §'' }"),
    ("E0008", "{ name = 'a', set = §\"a\\tb\" }"),
    ("E0008", "{ name = 'a', prefix = §'x', set = '1' }"),
    ("E0005", "§{ name = 'a' }"),
    ("E0003", "{ name = 'a', set = '1', §replace = '2' }"),
    (
        "E0007",
        "{ name = 'a', of = §'caller', prefix = '+', set = '1' }",
    ),
    ("E0012", "{ name = 'a', of = §'calling', set = '1' }"),
    (
        "E0012",
        "§{ name = 'a', prefix = '+', number = '1', set = '1' }",
    ),
    (
        "E0012",
        "{ name = 'a', set = '1' }, §{ name = 'a', prefix = '+', set = '1' }",
    ),
    ("E0070", "{ name = 'a', match = §'(', set = '1' }"),
    ("E0071", "{ name = 'a', match = '^1', set = §'$1' }"),
];

/// The only finding of the base with these lines before `[metrics]` is this one, and it points at `§`.
#[track_caller]
fn is_found(code: &str, lines: &str) {
    let marked = BASE.replacen("[metrics]\n", &format!("{lines}\n[metrics]\n"), 1);
    let (before, _) = marked.split_once('§').expect("a mark");
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    let findings: Findings = load_text(&marked.replacen('§', "", 1)).unwrap_err();
    let told = findings.to_text();
    assert_eq!(findings.errors.len(), 1, "{lines}: {told}");
    let wanted = format!(":{line}:{column}: error[{code}]");
    assert!(told.contains(&wanted), "{wanted}: {told}");
}

fn transform(rules: &str) -> String {
    format!(
        "[[transform]]\nname = \"own\"\nwhen = {{ trunk = \"carrier\", dir = \"in\" }}\nrecord = [{rules}]"
    )
}

#[test]
fn values_of_records_that_cannot_be_are_found_where_they_stand() {
    for (code, rules) in RULES {
        is_found(code, &transform(rules));
    }
    let table = transform("").replace("[]", "§{ account = '1' }");
    is_found("E0006", &table);
    // Of both transforms together.
    let rule = |number: usize| {
        let mark = if number == 16 { "§" } else { "" };
        format!("{{ name = {mark}'n{number}', set = '1' }}")
    };
    let some = |range: std::ops::Range<usize>| range.map(rule).collect::<Vec<_>>().join(", ");
    let second = transform(&some(9..17)).replace("own", "second");
    let both = format!("{}\n{second}", transform(&some(0..10)));
    is_found("E0009", &both);
    assert!(
        load_text(&BASE.replacen(
            "[metrics]\n",
            &format!("{}\n[metrics]\n", transform(&some(0..16))),
            1
        ))
        .is_ok()
    );
}

#[test]
fn a_destination_has_a_name_that_is_no_number_and_a_beginning_is_one_of_two() {
    is_found(
        "E0008",
        "[[rate]]\nprefix = \"+49\"\nper_call = \"1\"\nname = §\"+49\"",
    );
    is_found("E0007", "[cdr]\nspool = \"/cdr\"\nstart = §\"ringing\"");
}
