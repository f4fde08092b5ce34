//! Files of other products and lists of numbers: what comes of them is a configuration file that can be read, whatever
//! they say.

use causeway_import::dispatcher::Around;
use causeway_import::{Imported, MOST_NOTES, Refused, audiocodes, dispatcher, numbers};
use sbc_core::config::{Assumed, Code, Source, load};
use sbc_core::display::is_steering;

pub(crate) fn check(data: &[u8]) {
    let around = Around {
        realm: "carrier".to_owned(),
        tenant: "*".to_owned(),
        is_alone: true,
    };
    check_one(data, "", |data| audiocodes::import("file", data));
    check_one(data, "", |data| dispatcher::import("file", data, &around));
    let node = "[node]\nid = \"sbc1\"\n";
    check_one(data, node, |data| numbers::import("file", data, Some("a")));
}

fn check_one(data: &[u8], further: &str, import: impl Fn(&[u8]) -> Result<Imported, Refused>) {
    let Ok(imported) = import(data) else {
        return;
    };
    assert_eq!(import(data).as_ref(), Ok(&imported), "the same again");
    let Imported { toml, notes, .. } = &imported;
    assert!(toml.len() <= 4_096 + 64 * data.len(), "{}", toml.len());
    assert!(notes.len() <= MOST_NOTES && notes.is_sorted_by_key(|note| note.line));
    let lines = data.split(|octet| *octet == b'\n').count();
    for note in notes {
        assert!((1..=lines).contains(&note.line), "{note:?}");
        let texts = [&note.what, &note.why, &note.help];
        assert!(texts.iter().all(|text| !text.is_empty()), "{note:?}");
        let steers = |text: &&&String| text.contains(is_steering);
        assert!(!texts.iter().any(|text| steers(&text)), "{note:?}");
    }
    let steers = |letter: char| letter != '\n' && is_steering(letter);
    assert!(!toml.contains(steers), "{toml:?}");
    readable(toml, further);
}

/// It may lack something, or contradict itself where the file did; it is never misread.
fn readable(toml: &str, further: &str) {
    let sources = [Source::new("a.toml", toml), Source::new("b.toml", further)];
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    let Err(findings) = load(&sources, &facts, None) else {
        return;
    };
    let misread = [
        Code::Syntax,
        Code::UnknownKey,
        Code::UnknownValue,
        Code::WrongType,
        Code::DuplicateName,
        Code::BadPattern,
        Code::BadReplacement,
        Code::OutOfRange,
    ];
    let wrong = findings
        .errors
        .iter()
        .find(|finding| misread.contains(&finding.code));
    assert!(wrong.is_none(), "{}\n{toml}", wrong.unwrap());
}
