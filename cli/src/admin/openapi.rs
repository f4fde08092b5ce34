//! The document of the interface (OpenAPI 3.1), made from the table of its operations.

use super::export::{MORE, NEXT};
use super::idempotency::{KEY, LONGEST_KEY, REPLAYED};
use super::routes::{Answer, Operation, ROOT, all};
use serde_json::{Map, Value, json};

/// The document.
pub(super) fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in all() {
        let of_path = paths
            .entry(format!("{ROOT}{}", operation.path))
            .or_insert_with(|| json!({}));
        let method = operation.method.as_str().to_ascii_lowercase();
        of_path[method] = described(operation);
    }
    for (path, method, summary, body, answer, refusals) in DOORS {
        let mut answers = Map::new();
        let schema = |words: &[&str]| {
            let fields: Map<String, Value> = words.iter().map(|word| field(word)).collect();
            json!({ "application/json": { "schema": { "type": "object", "properties": fields, "required": words } } })
        };
        answers.insert(
            "200".to_owned(),
            json!({ "description": summary, "content": schema(answer) }),
        );
        for (status, why) in *refusals {
            answers.insert(status.to_string(), problem(why));
        }
        let mut described = json!({
            "operationId": format!("{method}{}", path.replace(['/', '-'], "_")),
            "summary": summary,
            "description": "Over the network alone, with `[api.oidc]`.",
            "security": [{}],
            "responses": answers,
        });
        if !body.is_empty() {
            described["requestBody"] = json!({ "required": true, "content": schema(body) });
        }
        paths.insert((*path).to_owned(), json!({ *method: described }));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Causeway",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What an operator may ask of a node and tell it. Refusals are problems of RFC 9457.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "security": [{ "token": [] }, {}],
        "components": { "securitySchemes": { "token": {
            "type": "http", "scheme": "bearer",
            "description": "Over the network; whoever may open the socket needs none. `causeway token` makes one.",
        } }, "schemas": { "Problem": {
            "type": "object",
            "properties": {
                "status": { "type": "integer" },
                "title": { "type": "string" },
                "detail": { "type": "string" },
                "reasons": { "type": "array", "items": { "type": "string" } },
                "approval": { "type": "string", "description": "what another person has to agree to before: [api] four_eyes" },
            },
            "required": ["status", "title", "detail"],
        } } },
    })
}

/// What signs operators in: path, method, what it does, what it is sent, what it answers, and why it does not.
type Door = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static [(u16, &'static str)],
);

const DOORS: &[Door] = &[
    (
        "/sign-in/with",
        "get",
        "Who signs operators in; null if nobody does",
        &[],
        &["name"],
        &[],
    ),
    (
        "/sign-in/begin",
        "post",
        "Begins to sign in: where a browser is to go, and what it is to come back with",
        &[],
        &["location", "state", "tab"],
        &[
            (404, "there is no [api.oidc]"),
            (429, "too many begin from there"),
            (502, "the issuer cannot be asked"),
        ],
    ),
    (
        "/sign-in/finish",
        "post",
        "Exchanges the code, and opens a session with a token",
        &["code", "state", "tab"],
        &["token", "session_s", "idle_s"],
        &[
            (400, "this tab has not begun it, or it is over"),
            (403, "the ID token is refused, or gives no role"),
            (404, "there is no [api.oidc]"),
            (502, "the issuer refuses the code, or cannot be asked"),
            (503, "too many sign in at the same time"),
        ],
    ),
    (
        "/sign-in/end",
        "post",
        "Ends the session of the token that is shown; where that of the issuer is ended",
        &[],
        &["location"],
        &[],
    ),
];

fn field(name: &str) -> (String, Value) {
    let kind = match name.ends_with("_s") {
        true => json!({ "type": "integer" }),
        false => json!({ "type": ["string", "null"] }),
    };
    (name.to_owned(), kind)
}

fn described(operation: &Operation) -> Value {
    let answer = match &operation.answer {
        Answer::Json(shape) => json!({ "application/json": { "schema": shape.schema() } }),
        Answer::Lines => json!({ "text/plain": { "schema": { "type": "string" } } }),
        Answer::Pages => json!({
            "application/jsonl": { "schema": { "type": "string" } },
            "text/csv": { "schema": { "type": "string" } },
        }),
        Answer::Events => json!({ "text/event-stream": { "schema": { "type": "string" } } }),
    };
    let mut answers = Map::new();
    let mut done = json!({ "description": operation.summary, "content": answer });
    let headers = headers(operation);
    if !headers.is_empty() {
        done["headers"] = headers.into();
    }
    answers.insert("200".to_owned(), done);
    let usual = [
        (400, "the request cannot be read"),
        (
            401,
            "over the network: no token, or one that is nobody's or has expired",
        ),
        (
            403,
            "whoever asks may not do this, or another person has to agree before",
        ),
        (
            429,
            "over the network: too many requests, or too many wrong tokens",
        ),
        (503, "the daemon is stopping, or too busy to answer"),
    ];
    if operation.body.is_some() {
        answers.insert(
            "422".to_owned(),
            problem("the body has other fields than these"),
        );
    }
    for (status, why) in usual.iter().chain(operation.refusals) {
        answers.insert(status.to_string(), problem(why));
    }
    if operation.body.is_some() {
        answers.insert("408".to_owned(), problem("the body took longer than 10 s"));
        answers.insert("413".to_owned(), problem("the body is longer than 1 MiB"));
        answers.insert("415".to_owned(), problem("the body is not said to be JSON"));
    }
    if operation.is_done_once() {
        for (status, why) in OF_KEYS {
            let before = answers
                .get(*status)
                .and_then(|own| own["description"].as_str());
            let why = before.map_or_else(|| (*why).to_owned(), |own| format!("{own}; or {why}"));
            answers.insert((*status).to_owned(), problem(&why));
        }
    }
    let in_path = operation.path.contains("{id}").then(|| {
        json!({
            "name": "id", "in": "path", "required": true,
            "description": "a call, or the beginning or end of its name where that is one call's alone",
            "schema": { "type": "string", "pattern": "^[0-9A-Fa-f]{1,32}$" },
        })
    });
    let of_context = operation.path.contains("{context}").then(|| {
        json!({
            "name": "context", "in": "path", "required": true,
            "description": "the name of a [[tls]]",
            "schema": { "type": "string" },
        })
    });
    let of_generation = operation.path.contains("{generation}").then(|| {
        json!({
            "name": "generation", "in": "path", "required": true,
            "description": "the number of a configuration that is kept",
            "schema": { "type": "integer", "minimum": 0 },
        })
    });
    let of_user = operation.path.contains("{user}").then(|| {
        json!({
            "name": "user", "in": "path", "required": true,
            "description": "the name of an [[api.user]]",
            "schema": { "type": "string" },
        })
    });
    let of_approval = operation.path.contains("{approval}").then(|| {
        json!({
            "name": "approval", "in": "path", "required": true,
            "description": "the id of a request that waits for another person",
            "schema": { "type": "string", "pattern": "^[0-9a-f]{8}$" },
        })
    });
    let of_trunk = operation.path.contains("{trunk}").then(|| {
        json!({
            "name": "trunk", "in": "path", "required": true,
            "description": "the name of a [[trunk]]",
            "schema": { "type": "string" },
        })
    });
    let of_peer = operation.path.contains("{peer}").then(|| {
        json!({
            "name": "peer", "in": "path", "required": true,
            "description": "a host of targets as it is written, an address, or an address with its port",
            "schema": { "type": "string" },
        })
    });
    let in_path = [
        in_path,
        of_context,
        of_generation,
        of_user,
        of_approval,
        of_trunk,
        of_peer,
    ];
    let in_query = operation.query.iter().map(|(name, meaning, shape)| {
        json!({
            "name": name, "in": "query", "required": false,
            "description": meaning, "schema": shape.schema(),
        })
    });
    let reason = operation.is_written_down().then(|| {
        json!({
            "name": "Causeway-Reason", "in": "header", "required": false,
            "description": "what for, for the audit log: UTF-8, percent-encoded, 200 octets at most",
            "schema": { "type": "string", "pattern": "^[A-Za-z0-9._~-]{0,200}$" },
        })
    });
    let key = operation.is_done_once().then(|| {
        json!({
            "name": KEY, "in": "header", "required": false,
            "description": "whoever repeats a request with the key that it had within a day gets the first answer again, \
                            and nothing is done twice; a restart of the node forgets keys",
            "schema": { "type": "string", "pattern": format!("^[!-~]{{1,{LONGEST_KEY}}}$") },
        })
    });
    let if_match = operation.refusals.iter().any(|(status, _)| *status == 412);
    let if_match = if_match.then(|| {
        json!({
            "name": "If-Match", "in": "header", "required": false,
            "description": "the ETag of /config, or a generation in quotes: only if these are still in use; * for any \
                            (RFC 9110 §13.1.1)",
            "schema": { "type": "string" },
        })
    });
    let mut described = json!({
        "operationId": name(operation),
        "summary": operation.summary,
        "description": format!("Needs the right `{}`.", operation.right.as_str()),
        "parameters": in_path.into_iter().flatten().chain(in_query).chain(reason).chain(key).chain(if_match).collect::<Vec<Value>>(),
        "responses": answers,
    });
    if let Some(body) = &operation.body {
        described["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": body.schema() } },
        });
    }
    described
}

/// What is answered to requests with an `Idempotency-Key` besides.
const OF_KEYS: &[(&str, &str)] = &[
    (
        "409",
        "the request that came first with this Idempotency-Key is still being done",
    ),
    (
        "422",
        "this Idempotency-Key came before with another query, If-Match or body",
    ),
];

/// Headers of what comes back with 200.
fn headers(operation: &Operation) -> Map<String, Value> {
    let header =
        |meaning: &str, kind: &str| json!({ "description": meaning, "schema": { "type": kind } });
    let mut headers = Map::new();
    if operation.path == "/config" {
        let tag = "the generation in use together with the files on disk, for If-Match of what changes them (RFC 9110 §8.8.3)";
        headers.insert("ETag".to_owned(), header(tag, "string"));
    }
    if operation.is_done_once() {
        let replayed = "true on an answer that was given before to the same Idempotency-Key";
        headers.insert(REPLAYED.to_owned(), header(replayed, "boolean"));
    }
    let is_paged = operation.query.iter().any(|(own, ..)| *own == "cursor");
    if is_paged && matches!(operation.answer, Answer::Json(_)) {
        let next = "cursor of what comes behind this page, where there is more";
        headers.insert(NEXT.to_owned(), header(next, "string"));
    }
    if matches!(operation.answer, Answer::Pages) {
        let next = "cursor of what comes behind this page, also of what is written later";
        headers.insert(NEXT.to_owned(), header(next, "string"));
        let more = "whether there is more already";
        headers.insert(MORE.to_owned(), header(more, "boolean"));
    }
    headers
}

fn problem(why: &str) -> Value {
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    json!({ "description": why, "content": { "application/problem+json": { "schema": schema } } })
}

/// Such as `get_calls_id_trace`.
fn name(operation: &Operation) -> String {
    let method = operation.method.as_str().to_ascii_lowercase();
    let words = operation.path.split(['/', '{', '}']);
    let words = words.filter(|word| !word.is_empty());
    words.fold(method, |name, word| format!("{name}_{word}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether something in a schema may be anything.
    fn is_open(schema: &Value) -> bool {
        let Some(fields) = schema.as_object() else {
            return true;
        };
        if let Some(either) = fields.get("anyOf") {
            return either.as_array().is_none_or(|all| all.iter().any(is_open));
        }
        if fields.contains_key("$ref") {
            return false;
        }
        match fields.get("type").and_then(Value::as_str) {
            None => true,
            Some("array") => fields.get("items").is_none_or(is_open),
            Some(_) => {
                let inner = fields.get("properties").and_then(Value::as_object);
                inner.is_some_and(|inner| inner.values().any(is_open))
            }
        }
    }

    #[test]
    fn no_operation_answers_or_is_sent_what_may_be_anything() {
        assert!(is_open(&json!({ "type": "array", "items": {} })));
        let document = document();
        let mut seen = 0;
        for (path, operations) in document["paths"].as_object().unwrap() {
            for operation in operations.as_object().unwrap().values() {
                let answers = operation["responses"].as_object().unwrap().values();
                for content in answers.chain([&operation["requestBody"]]) {
                    let kinds = content["content"].as_object();
                    for (kind, content) in kinds.into_iter().flatten() {
                        // Doors of the sign-in have texts that may be null.
                        let is_door = path.starts_with("/sign-in/");
                        assert!(is_door || !is_open(&content["schema"]), "{path}: {kind}");
                        seen += 1;
                    }
                }
            }
        }
        assert!(seen > 100, "{seen}");
    }

    #[test]
    fn what_may_be_meant_is_told_where_it_counts() {
        let document = document();
        let of = |path: &str| document["paths"][format!("{ROOT}{path}")].clone();
        assert!(of("/config")["get"]["responses"]["200"]["headers"]["ETag"].is_object());
        for path in ["/reload", "/config/rollback"] {
            let parameters = of(path)["post"]["parameters"].clone();
            let mut all = parameters.as_array().unwrap().iter();
            assert!(
                all.any(|own| own["name"] == "If-Match" && own["in"] == "header"),
                "{path}"
            );
        }
        for (path, is_there) in [("/drain", true), ("/bundle", false), ("/route/test", false)] {
            let post = of(path)["post"].clone();
            let mut all = post["parameters"].as_array().unwrap().iter();
            assert_eq!(all.any(|own| own["name"] == KEY), is_there, "{path}");
            let replayed = &post["responses"]["200"]["headers"][REPLAYED];
            assert_eq!(replayed.is_object(), is_there, "{path}");
        }
        let undrain = of("/undrain")["post"]["responses"]["409"]["description"].clone();
        assert_eq!(
            undrain,
            "the daemon is stopping; or the request that came first with this Idempotency-Key is still being done"
        );
        let body = &of("/route/test")["post"]["requestBody"]["content"]["application/json"];
        assert!(body["schema"]["properties"]["headers"].is_object());
        let export = of("/records/export")["get"]["responses"]["200"].clone();
        assert!(export["headers"][NEXT].is_object() && export["content"]["text/csv"].is_object());
    }
}
