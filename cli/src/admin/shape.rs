//! Shapes of answers, as the document of the interface tells them (JSON Schema 2020-12).

use serde_json::{Map, Value, json};

/// What a value looks like.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// Anything.
    Any,
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
}

impl Shape {
    /// As a schema.
    pub(super) fn schema(&self) -> Value {
        let of = |kind: &str| json!({ "type": kind });
        match self {
            Self::Any => json!({}),
            Self::Text => of("string"),
            Self::Integer => of("integer"),
            Self::Number => of("number"),
            Self::Flag => of("boolean"),
            Self::Maybe(inner) => json!({ "anyOf": [inner.schema(), of("null")] }),
            Self::List(inner) => json!({ "type": "array", "items": inner.schema() }),
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
