//! Shapes of answers, as the document of the interface tells them (JSON Schema 2020-12).

use crate::command::record_fields::{RecordField, of_calls, of_pairs};
use serde_json::{Map, Value, json};

/// What a value looks like.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Text,
    Integer,
    Number,
    /// True or false.
    Flag,
    /// It, or null.
    Maybe(&'static Self),
    List(&'static Self),
    /// At least these fields.
    Object(&'static [(&'static str, Self)]),
    /// The record of a call, or of a pair of legs.
    Record,
    /// Some fields of one, with what is in them.
    Part(&'static [&'static str]),
}

impl Shape {
    /// As a schema.
    pub(super) fn schema(&self) -> Value {
        let of = |kind: &str| json!({ "type": kind });
        match self {
            Self::Text => of("string"),
            Self::Integer => of("integer"),
            Self::Number => of("number"),
            Self::Flag => of("boolean"),
            Self::Maybe(inner) => json!({ "anyOf": [inner.schema(), of("null")] }),
            Self::List(inner) => json!({ "type": "array", "items": inner.schema() }),
            Self::Record => {
                let mut fields = of_fields(&of_calls(), "");
                // Of a pair of legs, where these are listed, too.
                for (name, shape) in of_fields(&of_pairs(), "") {
                    fields.entry(name).or_insert(shape);
                }
                json!({ "type": "object", "properties": fields, "required": ["call", "start"] })
            }
            Self::Part(names) => {
                let mut fields = of_fields(&of_calls(), "");
                fields.retain(|name, _| names.contains(&name.as_str()));
                json!({ "type": "object", "properties": fields, "required": names })
            }
            Self::Object(fields) => {
                let shapes = fields
                    .iter()
                    .map(|(name, shape)| ((*name).to_owned(), shape.schema()));
                // A field that may be null may be left out of what is sent to us.
                let required = fields
                    .iter()
                    .filter(|(_, shape)| !matches!(shape, Self::Maybe(_)));
                let required: Vec<&str> = required.map(|(name, _)| *name).collect();
                let shapes: Map<String, Value> = shapes.collect();
                json!({ "type": "object", "properties": shapes, "required": required })
            }
        }
    }
}

/// Schemas of the fields that stand behind this place in records. Each may be null: not all is known of every call.
fn of_fields(all: &[RecordField], place: &str) -> Map<String, Value> {
    let own = all.iter().filter_map(|field| {
        let name = field.path.strip_prefix(place)?;
        (!name.contains('.')).then_some((name, field.kind))
    });
    let of = |kind: &str| json!({ "type": kind });
    let object = |place: &str| {
        let fields = of_fields(all, place);
        match fields.is_empty() {
            // With names that are not ours.
            true => of("object"),
            false => json!({ "type": "object", "properties": fields, "required": [] }),
        }
    };
    let schema = |(name, kind): (&str, &str)| {
        let schema = match kind {
            "true or false" => of("boolean"),
            "integer" => of("integer"),
            "number" => of("number"),
            "list of text" => json!({ "type": "array", "items": of("string") }),
            "list" => json!({ "type": "array", "items": object(&format!("{place}{name}[].")) }),
            "object" => object(&format!("{place}{name}.")),
            "text or object" => json!({ "anyOf": [of("string"), of("object")] }),
            _ => of("string"),
        };
        let schema = json!({ "anyOf": [schema, of("null")] });
        (name.to_owned(), schema)
    };
    own.map(schema).collect()
}
