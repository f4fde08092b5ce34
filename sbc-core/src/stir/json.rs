//! JSON of a stranger: bounded in length and depth, and a name may be there only once (SEC-121).
//!
//! RFC 8259. Whoever signs and whoever verifies must see the same thing, so what readers are known
//! to differ about is refused.

/// Longest text, octets.
const LONGEST: usize = 8 * 1024;
/// Deepest nesting.
const DEEPEST: usize = 8;
/// Most members of one object, or elements of one list.
const MOST: usize = 128;

/// A value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Flag(bool),
    /// A number, as it is written.
    Number(String),
    /// A string, escapes resolved.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object, in order.
    Object(Vec<(String, Json)>),
}

/// Why a text is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JsonFault {
    /// No JSON.
    Syntax,
    /// Longer, deeper or more than is looked at.
    Limit,
    /// A name is there twice.
    Repeated,
}

impl Json {
    /// Reads a whole text.
    pub fn parse(text: &[u8]) -> Result<Self, JsonFault> {
        if text.len() > LONGEST {
            return Err(JsonFault::Limit);
        }
        let text = std::str::from_utf8(text).map_err(|_| JsonFault::Syntax)?;
        let mut reader = Reader(text);
        let value = reader.value(0)?;
        reader.white();
        match reader.0.is_empty() {
            true => Ok(value),
            false => Err(JsonFault::Syntax),
        }
    }

    /// The member of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => {
                let mut members = members.iter();
                members.find(|(own, _)| own == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// A string.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// What is left to read.
struct Reader<'a>(&'a str);

impl Reader<'_> {
    fn white(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn takes(&mut self, word: &str) -> bool {
        match self.0.strip_prefix(word) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn need(&mut self, word: &str) -> Result<(), JsonFault> {
        match self.takes(word) {
            true => Ok(()),
            false => Err(JsonFault::Syntax),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json, JsonFault> {
        if depth == DEEPEST {
            return Err(JsonFault::Limit);
        }
        self.white();
        match self.0.as_bytes().first() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.text().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ if self.takes("true") => Ok(Json::Flag(true)),
            _ if self.takes("false") => Ok(Json::Flag(false)),
            _ if self.takes("null") => Ok(Json::Null),
            _ => Err(JsonFault::Syntax),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonFault> {
        self.need("{")?;
        let mut members: Vec<(String, Json)> = Vec::new();
        self.white();
        if self.takes("}") {
            return Ok(Json::Object(members));
        }
        loop {
            if members.len() == MOST {
                return Err(JsonFault::Limit);
            }
            self.white();
            let name = self.text()?;
            if members.iter().any(|(own, _)| *own == name) {
                return Err(JsonFault::Repeated);
            }
            self.white();
            self.need(":")?;
            let value = self.value(depth + 1)?;
            members.push((name, value));
            self.white();
            if self.takes("}") {
                return Ok(Json::Object(members));
            }
            self.need(",")?;
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json, JsonFault> {
        self.need("[")?;
        let mut elements = Vec::new();
        self.white();
        if self.takes("]") {
            return Ok(Json::List(elements));
        }
        loop {
            if elements.len() == MOST {
                return Err(JsonFault::Limit);
            }
            elements.push(self.value(depth + 1)?);
            self.white();
            if self.takes("]") {
                return Ok(Json::List(elements));
            }
            self.need(",")?;
        }
    }

    fn number(&mut self) -> Result<Json, JsonFault> {
        let whole = self.0;
        let _ = self.takes("-");
        if !self.takes("0") {
            self.digits()?;
        }
        if self.takes(".") {
            self.digits()?;
        }
        if self.takes("e") || self.takes("E") {
            let _ = self.takes("+") || self.takes("-");
            self.digits()?;
        }
        let length = whole.len() - self.0.len();
        Ok(Json::Number(
            whole.get(..length).unwrap_or_default().to_owned(),
        ))
    }

    fn digits(&mut self) -> Result<(), JsonFault> {
        let rest = self.0.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_any = rest.len() < self.0.len();
        self.0 = rest;
        is_any.then_some(()).ok_or(JsonFault::Syntax)
    }

    fn text(&mut self) -> Result<String, JsonFault> {
        self.need("\"")?;
        let mut text = String::new();
        loop {
            let mut rest = self.0.chars();
            let next = rest.next().ok_or(JsonFault::Syntax)?;
            self.0 = rest.as_str();
            match next {
                '"' => return Ok(text),
                '\\' => text.push(self.escape()?),
                next if next < ' ' => return Err(JsonFault::Syntax),
                next => text.push(next),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonFault> {
        let mut rest = self.0.chars();
        let next = rest.next().ok_or(JsonFault::Syntax)?;
        self.0 = rest.as_str();
        Ok(match next {
            '"' | '\\' | '/' => next,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let unit = self.unit()?;
                let code = match unit {
                    0xd800..=0xdbff => {
                        self.need("\\u")?;
                        let low = self.unit()?;
                        let is_low = (0xdc00..=0xdfff).contains(&low);
                        let low = is_low.then(|| low - 0xdc00).ok_or(JsonFault::Syntax)?;
                        0x10000 + ((unit - 0xd800) << 10) + low
                    }
                    unit => unit,
                };
                char::from_u32(code).ok_or(JsonFault::Syntax)?
            }
            _ => return Err(JsonFault::Syntax),
        })
    }

    fn unit(&mut self) -> Result<u32, JsonFault> {
        let (digits, rest) = self.0.split_at_checked(4).ok_or(JsonFault::Syntax)?;
        self.0 = rest;
        match digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            true => u32::from_str_radix(digits, 16).map_err(|_| JsonFault::Syntax),
            false => Err(JsonFault::Syntax),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_kind_are_read() {
        let text = br#" {"a":[1,-2.5e+3,true,false,null],"b":{"c":"\u00e4\ud83d\ude00\n\"/"},"d":{},"e":[]} "#;
        let read = Json::parse(text).expect("JSON");
        let number = |text: &str| Json::Number(text.to_owned());
        let list = [
            number("1"),
            number("-2.5e+3"),
            Json::Flag(true),
            Json::Flag(false),
            Json::Null,
        ];
        assert_eq!(read.get("a"), Some(&Json::List(list.to_vec())));
        let c = read.get("b").and_then(|b| b.get("c"));
        assert_eq!(c.and_then(Json::text), Some("ä😀\n\"/"));
        assert_eq!(read.get("d"), Some(&Json::Object(vec![])));
        assert_eq!(read.get("e"), Some(&Json::List(vec![])));
    }

    #[test]
    fn what_readers_differ_about_is_refused() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "01",
            "+1",
            "1.",
            ".5",
            "1e",
            "\"\t\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\u12g4\"",
            "\"\\udc00\"",
            "nul",
            "1 2",
            "'a'",
            "\u{a0}1",
            "\"a",
            "{\"a\" 1}",
            "[1 2]",
            "NaN",
            "// x\n1",
        ] {
            assert_eq!(
                Json::parse(text.as_bytes()),
                Err(JsonFault::Syntax),
                "{text}"
            );
        }
        assert_eq!(Json::parse(b"\"\xff\""), Err(JsonFault::Syntax));
        let twice = br#"{"iat":1,"\u0069at":2}"#;
        assert_eq!(Json::parse(twice), Err(JsonFault::Repeated));
    }

    #[test]
    fn nothing_is_endless() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Json::parse(nested(DEEPEST).as_bytes()).is_ok());
        assert_eq!(
            Json::parse(nested(DEEPEST + 1).as_bytes()),
            Err(JsonFault::Limit)
        );
        assert_eq!(
            Json::parse("[".repeat(8_000).as_bytes()),
            Err(JsonFault::Limit)
        );
        assert_eq!(Json::parse(&vec![b' '; LONGEST + 1]), Err(JsonFault::Limit));
        let many = format!("[{}1]", "1,".repeat(MOST));
        assert_eq!(Json::parse(many.as_bytes()), Err(JsonFault::Limit));
        let members: String = (0..=MOST).map(|at| format!("\"{at}\":1,")).collect();
        let many = format!("{{{}}}", members.trim_end_matches(','));
        assert_eq!(Json::parse(many.as_bytes()), Err(JsonFault::Limit));
    }
}
