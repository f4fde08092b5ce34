//! What every key of a configuration may hold, what holds without it, and what it is for.
//!
//! Two sources, which tests hold together: the reader itself says which keys there are and what they may
//! hold, while it reads the text `reference.toml`, which has every table; that text says what each key is
//! for. A key that is missing there, or that no reader asks for, fails the test.
//!
//! | line of the text | means |
//! |---|---|
//! | `[table]`, `[[table]]` | a table; keys follow |
//! | `#: sentence` | what the key or table below is for |
//! | `#= value` | what holds where the key is not written |
//! | `#! E0031 W0102` | findings about it besides those that follow from its form |
//! | `#& trunk.limits` | the keys of the table below are those of this table |

use super::facts::Assumed;
use super::file;
use super::finding::{Code, Collector};
use super::source::Source;
use super::value::Malformed;
use super::{Setting, effective, load, starter};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// What a key may hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Text,
    Boolean,
    Number(RangeInclusive<u64>),
    Words(Vec<String>),
    /// Text in a form of its own, with how it is written.
    Parsed(&'static str),
    List(Box<Form>),
    TextsOrBoolean,
    Table,
    TableOrFalse,
    /// Free keys with texts.
    Pairs,
    Secret,
    Amount,
    /// Each is a table, or what its sentence says.
    Own,
}

/// What was noted while a configuration was read.
#[derive(Default)]
pub(super) struct Forms {
    /// By path, such as `trunk.identity.egress`.
    pub(super) of: BTreeMap<String, Form>,
    /// Keys that have to be there.
    pub(super) required: BTreeSet<String>,
}

impl Form {
    /// What such a reader of texts takes, in the words that it has for whoever writes nothing.
    pub(super) fn parsed<T>(parse: &impl Fn(&str) -> Result<T, Malformed>) -> Self {
        match parse("") {
            Ok(_) => Self::Text,
            Err(malformed) => Self::Parsed(malformed.instead),
        }
    }

    pub(super) fn words<T>(words: &[(&str, T)]) -> Self {
        Self::Words(words.iter().map(|(word, _)| (*word).to_owned()).collect())
    }

    fn told(&self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Number(range) => format!("number from {} to {}", range.start(), range.end()),
            Self::Words(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                quoted.join(", ")
            }
            Self::Parsed(instead) => instead.trim_start_matches("write ").to_owned(),
            Self::List(of) => match of.as_ref() {
                Self::Own => "list of tables".to_owned(),
                of => format!("list; each: {}", of.told()),
            },
            Self::TextsOrBoolean => "true, false or a list of texts".to_owned(),
            Self::Table => "table".to_owned(),
            Self::TableOrFalse => "table, or false".to_owned(),
            Self::Pairs => "table of names with texts".to_owned(),
            Self::Secret => {
                "{ file = \"…\" }, { env = \"…\" } or { credential = \"…\" }".to_owned()
            }
            Self::Amount => "decimal with up to 6 places, such as \"0.019\"".to_owned(),
            Self::Own => "see there".to_owned(),
        }
    }

    /// Findings about a value that this is not.
    fn codes(&self) -> Vec<Code> {
        let mut codes = vec![Code::WrongType];
        match self {
            Self::Number(_) => codes.push(Code::OutOfRange),
            Self::Words(_) => codes.push(Code::UnknownValue),
            Self::Parsed(_) | Self::Amount => codes.push(Code::BadForm),
            Self::List(of) => codes.extend(of.codes()),
            Self::Secret => codes.push(Code::Contradiction),
            Self::Text
            | Self::Boolean
            | Self::TextsOrBoolean
            | Self::Table
            | Self::TableOrFalse
            | Self::Pairs
            | Self::Own => {}
        }
        codes
    }
}

/// One table at the top, with its keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableReference {
    /// As it is written: `[node]`, `[[trunk]]`.
    pub table: String,
    /// What it is for.
    pub meaning: String,
    /// Its keys and those of tables in it, in the order in which they are best read.
    pub keys: Vec<KeyReference>,
}

/// One key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyReference {
    /// Its name, with those of the tables in between: `identity.egress`.
    pub key: String,
    /// What it may hold, with unit and range.
    pub form: String,
    /// Whether the table must have it.
    pub is_required: bool,
    /// What holds where it is not written.
    pub default: Option<String>,
    /// What the preset for Microsoft Teams makes of that.
    pub teams: Option<String>,
    /// What it is for.
    pub meaning: String,
    /// Findings that are about it.
    pub codes: Vec<Code>,
}

/// Every key there is.
pub fn reference() -> Vec<TableReference> {
    let forms = forms(TEXT);
    let required = required();
    let teams = of_teams();
    let documented = documented();
    let mut tables: Vec<TableReference> = Vec::new();
    for (path, about) in &documented {
        let Some((top, key)) = path.split_once('.') else {
            tables.push(TableReference {
                table: as_written(path),
                meaning: about.meaning.clone(),
                keys: Vec::new(),
            });
            continue;
        };
        let Some(form) = forms.of.get(path) else {
            continue;
        };
        let is_required = required.contains(path);
        let mut codes = form.codes();
        codes.extend(is_required.then_some(Code::MissingKey));
        codes.extend(about.codes.iter().copied());
        codes.sort_unstable();
        codes.dedup();
        let told = match (&about.same, form) {
            (Some(other), form) => format!("{}; keys as in `{}`", form.told(), as_written(other)),
            (None, Form::Own) => about.own.clone().unwrap_or_else(|| form.told()),
            (None, form) => form.told(),
        };
        let teams = teams.iter().filter(|_| top == "trunk");
        let teams = teams.into_iter().find(|own| own.key == key);
        let own = KeyReference {
            key: key.to_owned(),
            form: told,
            is_required,
            default: about.default.clone(),
            teams: teams.map(|own| own.value.clone()),
            meaning: about.meaning.clone(),
            codes,
        };
        let table = tables.iter_mut().find(|table| {
            let name = table.table.trim_matches(['[', ']']);
            name == top
        });
        if let Some(table) = table {
            table.keys.push(own);
        }
    }
    tables
}

/// A table as it is written, with the key of one within.
fn as_written(path: &str) -> String {
    let (top, key) = path.split_once('.').unwrap_or((path, ""));
    match (file::LISTS.contains(&top), key) {
        (true, "") => format!("[[{top}]]"),
        (false, "") => format!("[{top}]"),
        (true, key) => format!("[[{top}]] {key}"),
        (false, key) => format!("[{top}] {key}"),
    }
}

/// What is written of a key.
#[derive(Clone, Default, Debug)]
struct About {
    meaning: String,
    default: Option<String>,
    codes: Vec<Code>,
    own: Option<String>,
    same: Option<String>,
}

const TEXT: &str = include_str!("reference.toml");

/// Every key that is written of, in order.
fn documented() -> Vec<(String, About)> {
    let mut all: Vec<(String, About)> = Vec::new();
    let mut about = About::default();
    let mut table = String::new();
    for line in TEXT.lines() {
        if let Some(text) = line.strip_prefix("#: ") {
            about.meaning.push_str(match about.meaning.is_empty() {
                true => "",
                false => " ",
            });
            about.meaning.push_str(text);
        } else if let Some(text) = line.strip_prefix("#= ") {
            about.default = Some(text.to_owned());
        } else if let Some(text) = line.strip_prefix("#~ ") {
            about.own = Some(text.to_owned());
        } else if let Some(text) = line.strip_prefix("#& ") {
            about.same = Some(text.to_owned());
        } else if let Some(text) = line.strip_prefix("#! ") {
            let code = |word| Code::ALL.iter().find(|code| code.as_str() == word);
            about
                .codes
                .extend(text.split(' ').filter_map(code).copied());
        } else {
            let path = match line.strip_prefix('[') {
                Some(_) => {
                    table = line.trim_matches(['[', ']']).to_owned();
                    table.clone()
                }
                None => match line.split_once(" = ") {
                    Some((key, _)) => format!("{table}.{key}"),
                    None => continue,
                },
            };
            let about = std::mem::take(&mut about);
            let is_below_same = about.meaning.is_empty()
                && all
                    .iter()
                    .any(|(other, told)| *other == table && told.same.is_some());
            if is_below_same {
                continue;
            }
            if !all.iter().any(|(other, _)| *other == path) {
                all.push((path, about));
            }
        }
    }
    all
}

/// What the readers say while they read a text.
fn forms(text: &str) -> super::reference::Forms {
    let mut out = Collector::of_forms();
    let _ = file::read(&[Source::new("reference.toml", text)], &mut out);
    out.into_forms()
}

/// Keys that are missed in tables that have none.
fn required() -> BTreeSet<String> {
    let tables = TEXT.lines().filter(|line| line.starts_with('['));
    let mut seen = BTreeSet::new();
    let once = tables.filter(|line| seen.insert(*line));
    forms(&once.collect::<Vec<_>>().join("\n")).required
}

/// What holds for a trunk of the preset for Teams where only what it must have is written.
fn of_teams() -> Vec<Setting> {
    let sources = [Source::new("causeway.toml", starter())];
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    let Ok(loaded) = load(&sources, &facts, None) else {
        return Vec::new();
    };
    let objects = effective(&sources, &loaded).into_iter();
    let mut trunks = objects.filter(|own| own.name.as_deref() == Some("teams-contoso"));
    let settings = trunks.next().map(|own| own.settings).unwrap_or_default();
    let mut settings = settings.into_iter();
    settings
        .by_ref()
        .filter(|own| own.because.starts_with("preset teams"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Findings;

    /// Whether a key is below one of which it is said where its keys are told, and there it is.
    fn is_told_elsewhere(path: &str, documented: &BTreeMap<String, About>) -> bool {
        path.rmatch_indices('.').any(|(at, _)| {
            let (table, rest) = path.split_at(at);
            let same = documented.get(table).and_then(|about| about.same.as_ref());
            same.is_some_and(|other| documented.contains_key(&format!("{other}{rest}")))
        })
    }

    fn findings() -> Findings {
        let mut out = Collector::default();
        let sources = [Source::new("reference.toml", TEXT)];
        let _ = file::read(&sources, &mut out);
        out.finish(&sources)
    }

    /// What is written of a key, where that is a value.
    fn value(key: &str, text: &str) -> Option<String> {
        let line = format!("{key} = {text}");
        let is_value = toml::de::DeTable::parse(&line).is_ok();
        is_value.then_some(line)
    }

    /// The starter configuration with a line more in an object of it.
    fn starter_with(top: &str, line: &str) -> Option<String> {
        let name = match top {
            "trunk" => "name = \"carrier-a\"",
            "realm" => "name = \"carrier\"",
            _ => "",
        };
        let header = match file::LISTS.contains(&top) {
            true => format!("[[{top}]]\n{name}"),
            false => format!("[{top}]"),
        };
        let end = starter().find(&header)? + header.len();
        let end = end + starter()[end..].find('\n')?;
        let (before, after) = starter().split_at(end);
        Some(format!("{before}\n{line}{after}"))
    }

    #[test]
    fn what_is_told_to_hold_without_a_key_holds_without_it() {
        let facts = Assumed::with_names(["sbc1.contoso.example"]);
        let load = |text: &str| load(&[Source::new("causeway.toml", text)], &facts, None);
        let usual = load(starter()).unwrap();
        let (mut held, mut changed) = (Vec::new(), Vec::new());
        for (path, about) in documented() {
            let Some((top, key)) = path.split_once('.') else {
                continue;
            };
            let Some(line) = about.default.as_ref().and_then(|text| value(key, text)) else {
                continue;
            };
            let Some(text) = starter_with(top, &line) else {
                continue;
            };
            // What needs more than this line, or is in the file already, is no finding of this test.
            if let Ok(loaded) = load(&text) {
                if loaded.config != usual.config || loaded.shell != usual.shell {
                    changed.push(path);
                } else {
                    held.push(path);
                }
            }
        }
        assert!(changed.is_empty(), "{changed:?}");
        assert!(held.len() > 80, "{}: {held:?}", held.len());
    }

    #[test]
    fn every_key_that_is_read_is_told_and_every_key_that_is_told_is_read() {
        let forms = forms(TEXT);
        let documented: BTreeMap<String, About> = documented().into_iter().collect();
        let is_part_of_secret = |path: &str| {
            let parent = path.rsplit_once('.').and_then(|(of, _)| forms.of.get(of));
            parent == Some(&Form::Secret)
        };
        let read: Vec<&String> = forms.of.keys().collect();
        assert!(read.len() > 400, "{}", read.len());
        for path in read {
            let is_told = documented.contains_key(path)
                || is_part_of_secret(path)
                || is_told_elsewhere(path, &documented);
            assert!(is_told, "{path} is missing in reference.toml");
        }
        for (path, about) in &documented {
            let is_top =
                file::SINGLES.contains(&path.as_str()) || file::LISTS.contains(&path.as_str());
            assert!(
                is_top || forms.of.contains_key(path),
                "{path} is read by nobody"
            );
            let meaning = &about.meaning;
            assert!(
                meaning.ends_with('.') && meaning.len() > 6,
                "{path}: {meaning}"
            );
            if let Some(other) = &about.same {
                assert!(documented.contains_key(other), "{path}: {other}");
            }
        }
        for table in file::SINGLES.iter().chain(&file::LISTS) {
            assert!(documented.contains_key(*table), "{table}");
        }
        let told: BTreeSet<Code> = reference()
            .into_iter()
            .flat_map(|table| table.keys)
            .flat_map(|key| key.codes)
            .collect();
        // Those are about files and whatever stands in them.
        let of_files = [
            Code::Syntax,
            Code::Unreadable,
            Code::UnknownKey,
            Code::NotSupported,
            Code::DuplicateKey,
        ];
        for code in Code::ALL.iter().filter(|code| !of_files.contains(code)) {
            assert!(told.contains(code), "{code} is about no key");
        }
        // Ways to say one thing stand side by side there.
        let errors = findings().errors.into_iter();
        let mut wrong = errors.filter(|found| found.code != Code::Contradiction);
        assert!(wrong.next().is_none(), "{}", findings().to_text());
    }
}
