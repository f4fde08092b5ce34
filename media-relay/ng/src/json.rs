//! JSON as the other form of the same values.

use crate::value::{Value, limit};
use serde_json::Value as Json;
use std::borrow::Cow;

/// What a JSON value says; `None` if it is deeper than any message, or says what none says.
pub(crate) fn read(json: Json) -> Option<Value<'static>> {
    value_of(json, 0)
}

fn value_of(json: Json, depth: usize) -> Option<Value<'static>> {
    match json {
        Json::Number(number) => Some(Value::Integer(number.as_i64()?)),
        Json::Bool(is_so) => Some(Value::Integer(i64::from(is_so))),
        Json::String(text) => Some(Value::text(text)),
        Json::Array(items) if depth < limit::DEPTH => {
            let items = items.into_iter();
            let items = items.map(|item| value_of(item, depth + 1));
            Some(Value::List(items.collect::<Option<_>>()?))
        }
        Json::Object(entries) if depth < limit::DEPTH => {
            let entries = entries.into_iter().map(|(key, value)| {
                Some((Cow::Owned(key.into_bytes()), value_of(value, depth + 1)?))
            });
            Some(Value::Map(entries.collect::<Option<_>>()?))
        }
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// The same as JSON; what is no UTF-8 is replaced.
pub(crate) fn write(value: &Value<'_>) -> Json {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    match value {
        Value::Integer(number) => Json::from(*number),
        Value::Text(octets) => Json::String(text(octets)),
        Value::List(items) => Json::Array(items.iter().map(write).collect()),
        Value::Map(entries) => Json::Object(
            entries
                .iter()
                .map(|(key, value)| (text(key), write(value)))
                .collect(),
        ),
    }
}
