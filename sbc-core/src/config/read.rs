//! Reading TOML tables key by key: types, required keys, unknown keys, all findings at once.
//!
//! A derived deserialiser stops at its first fault. This reader walks the spanned tree instead, so
//! that one run of `causeway check` shows everything that is wrong (OPS-111).

use super::finding::{Code, Collector, did_you_mean, nearest};
use super::instead;
use super::reference::Form;
use super::source::{At, Span};
use std::collections::BTreeMap;
use toml::de::{DeTable, DeValue};

/// One table while it is read. Every key that was asked for is known; the rest is reported by
/// [`Section::finish`].
pub(super) struct Section<'t> {
    /// How findings name the table, such as `trunk "telco-a"`.
    pub(super) title: String,
    /// Where the table was written; findings about absent keys point here.
    pub(super) span: Span,
    /// Its place in every configuration, such as `trunk.identity`.
    path: String,
    entries: BTreeMap<&'t str, Entry<'t>>,
    asked: Vec<&'static str>,
}

struct Entry<'t> {
    key: Span,
    at: Span,
    value: &'t DeValue<'t>,
    below: Option<Below<'t>>,
    is_used: bool,
}

/// A table whose keys count where the table itself does not have them, and its file.
type Below<'t> = (usize, &'t DeTable<'t>);

/// A value that was found under a key.
#[derive(Clone)]
pub(super) struct Item<'t> {
    /// The value.
    pub(super) value: &'t DeValue<'t>,
    /// Where it stands.
    pub(super) span: Span,
    /// The key that it was found under, with those of the tables around it.
    path: String,
    /// What a table inherits.
    below: Option<Below<'t>>,
}

/// What a key may be that names things, or all or none of them.
#[derive(Debug)]
pub(super) enum TextsOrBoolean {
    Texts(Vec<At<String>>),
    Boolean(bool),
}

impl<'t> Section<'t> {
    /// Begins reading a table at the top.
    pub(super) fn new(name: &str, file: usize, span: Span, table: &'t DeTable<'t>) -> Self {
        Self::within(name.to_owned(), name.to_owned(), file, span, table)
    }

    fn within(
        title: String,
        path: String,
        file: usize,
        span: Span,
        table: &'t DeTable<'t>,
    ) -> Self {
        let mut section = Self {
            title,
            span,
            path,
            entries: BTreeMap::new(),
            asked: Vec::new(),
        };
        section.add(file, table, &mut Collector::default());
        section
    }

    /// Adds the keys of the same table in another file; a key that is there already is a finding.
    pub(super) fn add(&mut self, file: usize, table: &'t DeTable<'t>, out: &mut Collector) {
        for (key, value) in table {
            let entry = Entry {
                key: Span::new(file, key.span()),
                at: Span::new(file, value.span()),
                value: value.get_ref(),
                below: None,
                is_used: false,
            };
            let name: &'t str = key.get_ref();
            if self.entries.contains_key(name) {
                out.add(
                    Code::DuplicateKey,
                    &entry.key,
                    format!(
                        "{}: \"{name}\" is written in another file already",
                        self.title
                    ),
                    Some("keep one of the two".to_owned()),
                );
            } else {
                self.entries.insert(name, entry);
            }
        }
    }

    /// Adds the keys of another table that this one does not have; of tables within, key by key.
    pub(super) fn inherit(&mut self, file: usize, table: &'t DeTable<'t>, except: &[&str]) {
        for (key, value) in table {
            let name: &'t str = key.get_ref();
            if except.contains(&name) {
                continue;
            }
            let below = match value.get_ref() {
                DeValue::Table(table) => Some((file, table)),
                _ => None,
            };
            match self.entries.get_mut(name) {
                Some(own) => own.below = below,
                None => {
                    let entry = Entry {
                        key: Span::new(file, key.span()),
                        at: Span::new(file, value.span()),
                        value: value.get_ref(),
                        below: None,
                        is_used: false,
                    };
                    self.entries.insert(name, entry);
                }
            }
        }
    }

    /// Where a key is written, if it is.
    pub(super) fn place_of(&self, key: &str) -> Option<&Span> {
        self.entries.get(key).map(|entry| &entry.key)
    }

    /// Takes note of what a key may hold that is read by other means than those below.
    pub(super) fn notes(&self, key: &str, form: Form, out: &mut Collector) {
        out.notes(&self.path, key, || form);
    }

    /// The raw value of a key.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Item<'t>> {
        self.asked.push(key);
        let entry = self.entries.get_mut(key)?;
        entry.is_used = true;
        Some(Item {
            value: entry.value,
            span: entry.at.clone(),
            path: format!("{}.{key}", self.path),
            below: entry.below,
        })
    }

    /// Reports that a required key is absent.
    pub(super) fn missing(&self, key: &str, example: &str, out: &mut Collector) {
        out.notes_required(&self.path, key);
        out.add(
            Code::MissingKey,
            &self.span,
            format!("{}: \"{key}\" is missing", self.title),
            Some(format!("write {key} = {example}")),
        );
    }

    /// Text.
    pub(super) fn text(&mut self, key: &'static str, out: &mut Collector) -> Option<At<String>> {
        out.notes(&self.path, key, || Form::Text);
        let item = self.take(key)?;
        item.text(&self.title, key, out)
    }

    /// Text that must be there.
    pub(super) fn required_text(
        &mut self,
        key: &'static str,
        example: &str,
        out: &mut Collector,
    ) -> Option<At<String>> {
        let is_there = self.entries.contains_key(key);
        let text = self.text(key, out);
        if !is_there {
            self.missing(key, example, out);
        }
        text
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, key: &'static str, out: &mut Collector) -> Option<At<bool>> {
        out.notes(&self.path, key, || Form::Boolean);
        let item = self.take(key)?;
        match item.value {
            DeValue::Boolean(value) => Some(At::new(*value, item.span)),
            _ => {
                item.wrong_type(&self.title, key, "true or false", out);
                None
            }
        }
    }

    /// A whole number within a range.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<u64>,
        out: &mut Collector,
    ) -> Option<At<u64>> {
        out.notes(&self.path, key, || Form::Number(range.clone()));
        let item = self.take(key)?;
        item.number(&self.title, key, range, out)
    }

    /// A list of values; a lone value is a finding.
    pub(super) fn list(
        &mut self,
        key: &'static str,
        out: &mut Collector,
    ) -> Option<At<Vec<Item<'t>>>> {
        out.notes(&self.path, key, || Form::List(Box::new(Form::Own)));
        let item = self.take(key)?;
        match item.value {
            DeValue::Array(values) => {
                let file = item.span.file;
                let items = values
                    .iter()
                    .map(|value| Item {
                        path: item.path.clone(),
                        ..Item::new(value.get_ref(), Span::new(file, value.span()))
                    })
                    .collect();
                Some(At::new(items, item.span))
            }
            _ => {
                item.wrong_type(&self.title, key, "a list in [ ]", out);
                None
            }
        }
    }

    /// A list of texts, or true or false instead.
    pub(super) fn texts_or_boolean(
        &mut self,
        key: &'static str,
        out: &mut Collector,
    ) -> Option<At<TextsOrBoolean>> {
        out.notes(&self.path, key, || Form::TextsOrBoolean);
        let item = self.take(key)?;
        let value = match item.value {
            DeValue::Boolean(value) => TextsOrBoolean::Boolean(*value),
            DeValue::Array(values) => {
                let file = item.span.file;
                let items = values
                    .iter()
                    .map(|value| Item::new(value.get_ref(), Span::new(file, value.span())));
                let texts = items.filter_map(|own| own.text(&self.title, key, out));
                TextsOrBoolean::Texts(texts.collect())
            }
            _ => {
                item.wrong_type(&self.title, key, "true, false or a list in [ ]", out);
                return None;
            }
        };
        Some(At::new(value, item.span))
    }

    /// A list of texts.
    pub(super) fn texts(
        &mut self,
        key: &'static str,
        out: &mut Collector,
    ) -> Option<At<Vec<At<String>>>> {
        out.notes(&self.path, key, || Form::List(Box::new(Form::Text)));
        let list = self.list(key, out)?;
        let texts = list
            .value
            .iter()
            .filter_map(|item| item.text(&self.title, key, out))
            .collect();
        Some(At::new(texts, list.span))
    }

    /// A list of numbers within a range.
    pub(super) fn numbers(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<u64>,
        out: &mut Collector,
    ) -> Option<At<Vec<At<u64>>>> {
        out.notes(&self.path, key, || {
            Form::List(Box::new(Form::Number(range.clone())))
        });
        let list = self.list(key, out)?;
        let numbers = list
            .value
            .iter()
            .filter_map(|item| item.number(&self.title, key, range.clone(), out))
            .collect();
        Some(At::new(numbers, list.span))
    }

    /// Text in a form of its own, such as a duration.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, super::value::Malformed>,
        out: &mut Collector,
    ) -> Option<At<T>> {
        out.notes(&self.path, key, || Form::parsed(&parse));
        let text = self.text(key, out)?;
        parse_text(&self.title, key, text, parse, out)
    }

    /// A list of texts in a form of their own.
    pub(super) fn parsed_list<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, super::value::Malformed>,
        out: &mut Collector,
    ) -> Option<At<Vec<At<T>>>> {
        out.notes(&self.path, key, || {
            Form::List(Box::new(Form::parsed(&parse)))
        });
        let texts = self.texts(key, out)?;
        let title = &self.title;
        let values = texts
            .value
            .into_iter()
            .filter_map(|text| parse_text(title, key, text, &parse, out))
            .collect();
        Some(At::new(values, texts.span))
    }

    /// One word of a closed list. Words of features that do not exist yet are told apart from
    /// words that do not exist.
    pub(super) fn choice<T: Clone>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
        later: &[&str],
        out: &mut Collector,
    ) -> Option<At<T>> {
        out.notes(&self.path, key, || Form::words(words));
        let text = self.text(key, out)?;
        choose(&self.title, key, text, words, later, out)
    }

    /// As [`Self::choice`], for a word on which the meaning of others depends: one that is misspelt is told, and taken for
    /// the one that it is closest to, so that nothing is told besides that would not be wrong with it.
    pub(super) fn likely_choice<T: Clone>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
        out: &mut Collector,
    ) -> Option<At<T>> {
        out.notes(&self.path, key, || Form::words(words));
        let text = self.text(key, out)?;
        let meant = nearest(&text.value, words.iter().map(|(word, _)| *word));
        let meant = words.iter().find(|(word, _)| Some(*word) == meant);
        let meant = meant.map(|(_, value)| At::new(value.clone(), text.span.clone()));
        choose(&self.title, key, text, words, &[], out).or(meant)
    }

    /// A list of words, each one of these.
    pub(super) fn choices<T: Clone>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
        out: &mut Collector,
    ) -> Option<Vec<At<T>>> {
        out.notes(&self.path, key, || Form::List(Box::new(Form::words(words))));
        let list = self.texts(key, out)?;
        let chosen = list
            .value
            .into_iter()
            .filter_map(|text| choose(&self.title, key, text, words, &[], out))
            .collect();
        Some(chosen)
    }

    /// Reports a list that is written without an element although one is needed.
    pub(super) fn refuse_empty(&self, key: &str, example: &str, out: &mut Collector) {
        if let Some(entry) = self.entries.get(key)
            && let DeValue::Array(values) = entry.value
            && values.is_empty()
        {
            out.add(
                Code::BadForm,
                &entry.at,
                format!("{}: \"{key}\" is empty", self.title),
                Some(format!("write {key} = {example}")),
            );
        }
    }

    /// A table inside this one.
    pub(super) fn table(&mut self, key: &'static str, out: &mut Collector) -> Option<Section<'t>> {
        out.notes(&self.path, key, || Form::Table);
        let item = self.take(key)?;
        item.section(format!("{}: {key}", self.title), out)
    }

    /// Whether the key is written.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Reports every key that nobody asked for: those of `later` as features that do not exist
    /// yet, the others as unknown.
    pub(super) fn finish(self, later: &[&'static str], out: &mut Collector) {
        for key in &self.asked {
            out.notes(&self.path, key, || Form::Own);
        }
        for (name, entry) in &self.entries {
            if entry.is_used {
                continue;
            }
            if later.contains(name) {
                out.add(
                    Code::NotSupported,
                    &entry.key,
                    format!(
                        "{}: \"{name}\" is not supported in this version",
                        self.title
                    ),
                    Some(instead::of_key(&format!("{}.{name}", self.path)).to_owned()),
                );
                continue;
            }
            let suggestion = match out.is_full() {
                true => None,
                false => did_you_mean(name, self.asked.iter().copied()),
            };
            let help = suggestion.unwrap_or_else(|| {
                let mut known = self.asked.clone();
                known.sort_unstable();
                known.dedup();
                format!("known keys: {}", known.join(", "))
            });
            out.add(
                Code::UnknownKey,
                &entry.key,
                format!("{}: unknown key \"{name}\"", self.title),
                Some(help),
            );
        }
    }
}

impl<'t> Item<'t> {
    /// A value that inherits nothing.
    pub(super) fn new(value: &'t DeValue<'t>, span: Span) -> Self {
        Self {
            value,
            span,
            path: String::new(),
            below: None,
        }
    }

    /// Text.
    pub(super) fn text(&self, title: &str, key: &str, out: &mut Collector) -> Option<At<String>> {
        match self.value {
            DeValue::String(text) => Some(At::new(text.to_string(), self.span.clone())),
            _ => {
                self.wrong_type(title, key, "text in quotes", out);
                None
            }
        }
    }

    fn number(
        &self,
        title: &str,
        key: &str,
        range: std::ops::RangeInclusive<u64>,
        out: &mut Collector,
    ) -> Option<At<u64>> {
        let DeValue::Integer(digits) = self.value else {
            self.wrong_type(title, key, "a whole number", out);
            return None;
        };
        let number = u64::from_str_radix(digits.as_str(), digits.radix()).ok();
        match number.filter(|number| range.contains(number)) {
            Some(number) => Some(At::new(number, self.span.clone())),
            None => {
                out.add(
                    Code::OutOfRange,
                    &self.span,
                    format!("{title}: \"{key}\" is out of range"),
                    Some(format!(
                        "write a number from {} to {}",
                        range.start(),
                        range.end()
                    )),
                );
                None
            }
        }
    }

    /// A table, inline or not.
    pub(super) fn section(&self, title: String, out: &mut Collector) -> Option<Section<'t>> {
        match self.value {
            DeValue::Table(table) => {
                let (path, span) = (self.path.clone(), self.span.clone());
                let mut section = Section::within(title, path, span.file, span, table);
                if let Some((file, below)) = self.below {
                    section.inherit(file, below, &[]);
                }
                Some(section)
            }
            _ => {
                out.add(
                    Code::WrongType,
                    &self.span,
                    format!("{title} must be a table"),
                    Some(instead::of_table(&self.path).to_owned()),
                );
                None
            }
        }
    }

    /// Reports a value of the wrong type.
    pub(super) fn wrong_type(&self, title: &str, key: &str, wanted: &str, out: &mut Collector) {
        out.add(
            Code::WrongType,
            &self.span,
            format!(
                "{title}: \"{key}\" must be {wanted}, not {}",
                type_name(self.value)
            ),
            Some(instead::of_type(key, wanted, self.value)),
        );
    }
}

/// Finds `text` among the words of a closed list.
pub(super) fn choose<T: Clone>(
    title: &str,
    key: &str,
    text: At<String>,
    words: &[(&str, T)],
    later: &[&str],
    out: &mut Collector,
) -> Option<At<T>> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
        return Some(At::new(value.clone(), text.span));
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let listed = || match instead::of_word(key, &text.value) {
        Some(instead) => instead.to_owned(),
        None => format!("write one of: {}", quoted(&known)),
    };
    if later.contains(&text.value.as_str()) {
        out.add(
            Code::NotSupported,
            &text.span,
            format!(
                "{title}: {key} = \"{}\" is not supported in this version",
                text.value
            ),
            Some(listed()),
        );
        return None;
    }
    let help = match instead::of_word(key, &text.value) {
        Some(instead) => instead.to_owned(),
        None => did_you_mean(&text.value, known.iter().copied()).unwrap_or_else(listed),
    };
    out.add(
        Code::UnknownValue,
        &text.span,
        format!("{title}: {key} \"{}\" is unknown", text.value),
        Some(help),
    );
    None
}

fn parse_text<T>(
    title: &str,
    key: &str,
    text: At<String>,
    parse: impl Fn(&str) -> Result<T, super::value::Malformed>,
    out: &mut Collector,
) -> Option<At<T>> {
    match parse(&text.value) {
        Ok(value) => Some(At::new(value, text.span)),
        Err(malformed) => {
            out.add(
                Code::BadForm,
                &text.span,
                format!("{title}: {key} \"{}\" {}", text.value, malformed.what),
                Some(malformed.instead.to_owned()),
            );
            None
        }
    }
}

fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    quoted.join(", ")
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
