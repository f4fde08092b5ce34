//! What findings tell to write instead: for text that is no TOML, for values of another type, and for keys
//! that are called otherwise here.

use toml::de::DeValue;

/// What to write in place of a key that is known and not supported; by its path, such as `trunk.register.registrar`.
pub(super) fn of_key(path: &str) -> &'static str {
    let known = KEYS.iter().find(|(own, _)| *own == path);
    known.map_or("remove it; nothing would act on it", |(_, instead)| instead)
}

/// What to write in place of a word that others use for what is called otherwise here.
pub(super) fn of_word(key: &str, word: &str) -> Option<&'static str> {
    let mut known = WORDS.iter();
    let found = known.find(|(own, other, _)| (*own, *other) == (key, word));
    found.map(|(.., instead)| *instead)
}

const WORDS: &[(&str, &str, &str)] = &[
    (
        "refer",
        "consume",
        "write refer = \"local\": we carry transfers out ourselves",
    ),
    (
        "number_format",
        "e164plus",
        "write number_format = \"e164\": with the plus",
    ),
    (
        "mode",
        "gin",
        "write mode = \"register\", and gin = \"require\" in its register",
    ),
];

const KEYS: &[(&str, &str)] = &[
    (
        "node.region",
        "write it as part of id, such as id = \"eu-sbc1\": records and what goes to Homer tell the id",
    ),
    (
        "tenant.default_cli",
        "write identity = { number = \"+15550100\", screening = \"replace\" } at the trunk that is called: a caller's \
         number that is not the customer's is replaced by it",
    ),
    (
        "emergency",
        "write emergency = [\"112\"] at each [[tenant]], and a [[route]] with match = { emergency = true }",
    ),
    (
        "fraud",
        "write limits = { spend_per_day = 500 } at a [[tenant]] or [[trunk]], and a [[rate]] for what calls cost",
    ),
    (
        "security",
        "remove it; \"causeway ban\" and \"causeway acl\" keep addresses out and let them in",
    ),
    (
        "include",
        "put the file into conf.d beside the main one: *.toml there is read as part of it",
    ),
    (
        "register",
        "write register = { aor = \"…\" } at its [[trunk]], which has mode = \"register\"",
    ),
    (
        "realm.nat",
        "write advertise = { v4 = \"…\" } with the public address",
    ),
    (
        "trunk.register.registrar",
        "write the registrar as targets = [\"sip.example.com\"] of the trunk",
    ),
    (
        "trunk.register.username",
        "write digest = { realms = [\"…\"], username = \"…\", password = { file = \"…\" } } at the trunk",
    ),
    (
        "trunk.register.password",
        "write digest = { realms = [\"…\"], username = \"…\", password = { file = \"…\" } } at the trunk",
    ),
    (
        "trunk.register.transport",
        "write it behind the target: targets = [\"sip.example.com;tls\"]",
    ),
];

/// What to write where the text is no TOML, by what its reader says.
pub(super) fn of_syntax(said: &str) -> String {
    let told = [
        ("must be quoted", "write text in quotes: key = \"text\""),
        (
            "duplicate key",
            "keep one of the two; tables that may be several are written [[name]]",
        ),
        (
            "key with no value",
            "write key = value, and a key of letters, digits, \"-\" and \"_\"",
        ),
        ("basic string", "write the closing \" on the same line"),
        ("literal string", "write the closing ' on the same line"),
        (
            "escaped value",
            "write the text between ' and ', where \\ stands for itself",
        ),
        ("unclosed array table", "write [[name]]"),
        ("unclosed table", "write [name]"),
        ("unclosed inline table", "write } where the table ends"),
        ("unclosed array", "write ] where the list ends"),
        (
            "array elements",
            "write a comma between two values, and ] where the list ends",
        ),
        (
            "key-value pairs",
            "write a comma between two keys, and } where the table ends",
        ),
        (
            "inline table",
            "write a comma between two keys, and } where the table ends",
        ),
        ("invalid date", "write text in quotes: key = \"text\""),
        (
            "unexpected key or value",
            "write one key on each line, without ; at its end",
        ),
    ];
    let own = told.iter().find(|(part, _)| said.contains(part));
    let own = own.map_or(
        "write key = value: text in quotes, lists in [ ], tables in { }",
        |(_, instead)| instead,
    );
    own.to_owned()
}

/// Whether all that follows is read as part of a list or table that was not closed: what that is.
pub(super) fn unclosed(said: &str) -> Option<&'static str> {
    const LIST: &str = "a list before this place has no ] at its end";
    const TABLE: &str = "a table before this place has no } at its end";
    let told = [
        ("missing comma between array elements", LIST),
        ("unexpected `=` in array", LIST),
        ("missing comma between key-value pairs", TABLE),
        ("missing key for inline table", TABLE),
    ];
    let mut told = told.into_iter();
    told.find(|(part, _)| said.starts_with(part))
        .map(|(_, cause)| cause)
}

/// What to write where a value has another type than it should. Texts are not repeated: they may be anybody's.
pub(super) fn of_type(key: &str, wanted: &str, value: &DeValue<'_>) -> String {
    match value {
        DeValue::Integer(number) if wanted.starts_with("text") => {
            format!("write {key} = \"{}\"", number.as_str())
        }
        DeValue::Boolean(word) if wanted.starts_with("text") => {
            format!("write {key} = \"{word}\"")
        }
        DeValue::String(text) if wanted == "a whole number" && is_number(text) => {
            format!("write {key} = {text}")
        }
        _ if wanted.starts_with("text") => format!("write {key} = \"…\""),
        _ if wanted == "a whole number" => {
            format!("write {key} = and digits, without quotes or a point")
        }
        _ if wanted.contains("in [ ]") => format!("write {key} = [\"…\"], with each value in it"),
        _ if wanted == "true or false" => format!("write {key} = true, or {key} = false"),
        _ => format!("write {wanted} behind {key} ="),
    }
}

fn is_number(text: &str) -> bool {
    (1..=9).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit())
}

/// What the elements of a list of tables look like, by its path.
pub(super) fn of_table(path: &str) -> &'static str {
    match path {
        "route.to" => "write { trunk = \"…\" }",
        "route.match" => "write { from_trunk = \"…\" }",
        "transform.called" | "transform.calling" | "transform.redirecting" => {
            "write { match = '^0(\\d+)$', set = '+49$1' }"
        }
        "transform.record" => "write { name = \"account\", set = \"30-4711\" }",
        "transform.when" => "write { trunk = \"…\", dir = \"in\" }",
        _ => "write { key = value }",
    }
}
