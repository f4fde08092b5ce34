//! Every field of a call record with what it says: read from the types that write it, so that neither is without the other.

/// Where those types are.
const SOURCES: &[&str] = &[
    include_str!("../../../sbc-core/src/record.rs"),
    include_str!("../../../sbc-core/src/record/pair.rs"),
    include_str!("../../../sbc-core/src/record/quality.rs"),
    include_str!("../../../sbc-core/src/record/targets.rs"),
    include_str!("../../../sbc-core/src/cause.rs"),
    include_str!("../../../sbc-core/src/policy/local_media.rs"),
    include_str!("../../../sbc-core/src/report/explain/mod.rs"),
];

/// What a type of one value is in JSON, where that is no text.
const KINDS: &[(&str, &str)] = &[
    ("bool", "true or false"),
    ("f64", "number"),
    ("LegId", "integer"),
    ("Because", "list of text"),
    ("Custom", "object"),
    ("TlsSuite", "object"),
    ("TargetFault", "text or object"),
];

/// What is written besides the fields of the type, and where a field has the name of its value.
const BESIDES: &[(&str, &str, &str)] = &[
    (
        "interim",
        "integer",
        "Number of an interim record of a call that goes on; 0 is that of its beginning. Not there in the final one.",
    ),
    (
        "one_way[].kind",
        "text",
        "What was seen of media that did not get through.",
    ),
    (
        "one_way[].direction",
        "text",
        "In which direction: `received` is from the peer to us, `sent` from us to it.",
    ),
    ("ingress.tls.version", "text", "Version of TLS."),
    ("ingress.tls.cipher", "text", "Cipher suite."),
    ("egress[].tls.version", "text", "Version of TLS."),
    ("egress[].tls.cipher", "text", "Cipher suite."),
];

/// One field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RecordField {
    /// Where it is: `egress[].trunk` is in each of a list.
    pub(crate) path: String,
    /// What it is in JSON.
    pub(crate) kind: &'static str,
    /// What it says.
    pub(crate) meaning: String,
}

/// Fields of the record of a call.
pub(crate) fn of_calls() -> Vec<RecordField> {
    let mut all = Vec::new();
    fields("Record", "", &mut all);
    for (path, kind, meaning) in BESIDES {
        all.push(RecordField {
            path: (*path).to_owned(),
            kind,
            meaning: (*meaning).to_owned(),
        });
    }
    all.push(RecordField {
        path: "explanation".to_owned(),
        kind: "object",
        meaning: "Of a call that did not end as it should: what it is explained as.".to_owned(),
    });
    fields("KeptExplanation", "explanation.", &mut all);
    all
}

/// Fields of the record of a pair of legs.
pub(crate) fn of_pairs() -> Vec<RecordField> {
    let mut all = Vec::new();
    fields("PairRecord", "", &mut all);
    all
}

/// Adds the fields of a type, and those of the types in them.
fn fields(of: &str, before: &str, all: &mut Vec<RecordField>) {
    let (mut meaning, mut attributes) = (String::new(), String::new());
    for line in body(of).unwrap_or_default().lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            let gap = if meaning.is_empty() { "" } else { " " };
            meaning.push_str(gap);
            meaning.push_str(text.trim());
            continue;
        }
        if line.starts_with("#[") {
            attributes.push_str(line);
            continue;
        }
        let field = line
            .strip_prefix("pub ")
            .and_then(|line| line.split_once(": "));
        if let Some((name, written)) = field {
            let own = Written {
                name: renamed(&attributes).unwrap_or(name),
                of: written.trim_end_matches(','),
                meaning: std::mem::take(&mut meaning),
            };
            if !attributes.contains("serde(skip)") {
                let is_flat = attributes.contains("flatten");
                own.add(before, is_flat, all);
            }
        }
        meaning.clear();
        attributes.clear();
    }
}

/// A field as it stands in the sources.
struct Written<'s> {
    name: &'s str,
    of: &'s str,
    meaning: String,
}

impl Written<'_> {
    fn add(self, before: &str, is_flat: bool, all: &mut Vec<RecordField>) {
        let (inner, is_list) = inner(self.of);
        let is_known = body(inner).is_some();
        if is_flat {
            // One that is no type of ours has the name of its value, and stands among those besides.
            return fields(inner, before, all);
        }
        let number = || {
            let mut letters = inner.chars();
            matches!(letters.next(), Some('u' | 'i'))
                && (inner == "usize" || letters.all(|own| own.is_ascii_digit()))
        };
        let kind = match (is_known, is_list) {
            (true, true) => "list",
            (false, true) => "list of text",
            (true, false) => "object",
            (false, false) if number() => "integer",
            (false, false) if inner.contains("BTreeMap") => "object",
            (false, false) => {
                let known = KINDS.iter().find(|(own, _)| *own == inner);
                known.map_or("text", |(_, kind)| *kind)
            }
        };
        let path = format!("{before}{}", self.name);
        all.push(RecordField {
            path: path.clone(),
            kind,
            meaning: self.meaning,
        });
        if is_known {
            let list = if is_list { "[]" } else { "" };
            fields(inner, &format!("{path}{list}."), all);
        }
    }
}

/// The type of one value, and whether there is a list of them.
fn inner(written: &str) -> (&str, bool) {
    let (mut of, mut is_list) = (written, false);
    loop {
        of = of
            .trim_start_matches("&'a ")
            .trim_start_matches("&'static ");
        let unwrapped = ["Option<", "Box<", "Vec<"].iter().find_map(|begin| {
            let inner = of.strip_prefix(begin)?.strip_suffix('>')?;
            Some((inner, *begin == "Vec<"))
        });
        match unwrapped {
            Some((next, is_vector)) => {
                of = next;
                is_list |= is_vector;
            }
            None => return (of.trim_end_matches("<'a>"), is_list),
        }
    }
}

/// The lines of a type, if it is one of these.
fn body(of: &str) -> Option<&'static str> {
    SOURCES.iter().find_map(|source| {
        let begin = [" {\n", "<'a> {\n"].iter().find_map(|end| {
            let line = format!("\npub struct {of}{end}");
            Some(source.find(&line)? + line.len())
        })?;
        let rest = source.get(begin..)?;
        rest.get(..rest.find("\n}")?)
    })
}

/// Another name that a field has in JSON.
fn renamed(attributes: &str) -> Option<&str> {
    let (_, rest) = attributes.split_once("rename = \"")?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::fixture;
    use serde_json::Value;
    use std::collections::BTreeSet;

    /// Places of all that is in a value; what is under names that are not ours is one place.
    fn places(value: &Value, at: &str, all: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) if !["custom", "dropped"].iter().any(|own| at.ends_with(own)) => {
                for (name, value) in fields {
                    let gap = if at.is_empty() { "" } else { "." };
                    let place = format!("{at}{gap}{name}");
                    places(value, &place, all);
                    all.insert(place);
                }
            }
            Value::Array(values) => {
                for value in values.iter().filter(|value| value.is_object()) {
                    places(value, &format!("{at}[]"), all);
                }
            }
            _ => {}
        }
    }

    #[test]
    fn every_field_that_is_written_is_told_once_and_has_a_sentence() {
        let record = serde_json::to_value(fixture::record(7)).unwrap();
        let mut written = BTreeSet::new();
        places(&record, "", &mut written);
        assert!(written.contains("egress[].trunk") && written.contains("cause.code"));
        let fields = of_calls();
        let told: BTreeSet<&str> = fields.iter().map(|own| own.path.as_str()).collect();
        assert_eq!(told.len(), fields.len());
        let untold: Vec<&String> = written
            .iter()
            .filter(|own| !told.contains(own.as_str()))
            .collect();
        assert!(untold.is_empty(), "{untold:?}");
        for own in fields.iter().chain(&of_pairs()) {
            assert!(own.meaning.ends_with('.'), "{own:?}");
        }
        for (path, kind) in [
            ("duration_ms", "integer"),
            ("ingress.peer_names", "list of text"),
            ("egress[].given_up[].host", "text"),
            ("media[].received.bursts.count", "integer"),
            ("media[].teams_targets.verdict", "text"),
            ("cause.because", "list of text"),
            ("explanation.change", "list of text"),
        ] {
            let own = fields.iter().find(|own| own.path == path);
            assert_eq!(own.map(|own| own.kind), Some(kind), "{path}");
        }
        assert!(of_pairs().iter().any(|own| own.path == "a.number"));
    }
}
