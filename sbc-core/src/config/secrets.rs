//! Which secrets a configuration names, whatever they are for.

use super::source::Source;
use super::written::Secret;
use std::collections::BTreeSet;
use toml::de::{DeTable, DeValue};

/// Every secret that is named in these files, also in those that are refused: each table that says of nothing else
/// than where one is. A recording is none. For whoever has to make sure that none of them is shown.
pub fn secrets(sources: &[Source]) -> BTreeSet<Secret> {
    let mut found = BTreeSet::new();
    for source in sources {
        let (tree, _) = DeTable::parse_recoverable(&source.text);
        for (key, value) in tree.get_ref() {
            if key.get_ref() != "sound" {
                of_value(value.get_ref(), &mut found);
            }
        }
    }
    found
}

fn of_table(table: &DeTable<'_>, found: &mut BTreeSet<Secret>) {
    for (key, value) in table {
        let named = match (key.get_ref().as_ref(), value.get_ref()) {
            ("file", DeValue::String(at)) => Some(Secret::File(at.to_string())),
            ("env", DeValue::String(at)) => Some(Secret::Env(at.to_string())),
            ("credential", DeValue::String(at)) => Some(Secret::Credential(at.to_string())),
            (_, value) => {
                of_value(value, found);
                None
            }
        };
        found.extend(named);
    }
}

fn of_value(value: &DeValue<'_>, found: &mut BTreeSet<Secret>) {
    match value {
        DeValue::Table(table) => of_table(table, found),
        DeValue::Array(all) => {
            for one in all {
                of_value(one.get_ref(), found);
            }
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_in_tables_lists_and_refused_files() {
        let text = "[hep]\nkey = { file = \"/a\" }\nnonsense = 1\n\
                    [[api.user]]\ntoken = { credential = \"b\" }\n\
                    [[trunk]]\ndigest = { username = \"x\", password = { env = \"C\" } }\n\
                    list = [{ deep = { file = \"/d\" } }]\n\
                    [[sound]]\nname = \"moh\"\nfile = \"moh.wav\"\n";
        let found = secrets(&[Source::new("a.toml", text)]);
        let wanted = [
            Secret::File("/a".to_owned()),
            Secret::File("/d".to_owned()),
            Secret::Env("C".to_owned()),
            Secret::Credential("b".to_owned()),
        ];
        assert_eq!(found, BTreeSet::from(wanted));
        assert!(secrets(&[Source::new("b.toml", "[[[")]).is_empty());
    }
}
