//! XML as strangers send it, read piece by piece: names of elements and text, within bounds (XML 1.0).
//!
//! There is no document type here, and so no entity to expand and nothing to fetch: whoever sends one
//! is told so. Attributes are checked for their form and not kept. Time is linear in the text, memory in
//! the depth, and nothing recurses.

use std::borrow::Cow;
use std::fmt;

/// Largest document, in octets.
pub const LONGEST: usize = 64 * 1024;

/// Most elements within each other.
pub const DEEPEST: usize = 32;

/// Most elements of a document, and most attributes of an element.
pub const MOST: usize = 2_048;

/// What is wrong with a document, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The octet at which reading stopped.
    pub at: usize,
    /// What is wrong there.
    pub rule: Rule,
}

/// What a document may break. Label values of a metric.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Rule {
    /// It is larger than [`LONGEST`], or has more or deeper elements than are read.
    TooLarge,
    /// It is not UTF-8, or says that it is something else.
    Encoding,
    /// It does not begin as XML does.
    NotXml,
    /// It has a document type.
    DocumentType,
    /// It names an entity that XML itself does not have.
    Entity,
    /// A tag, a comment or the like has no right form, or never ends.
    Syntax,
    /// Elements are not closed in the order in which they were opened, or not at all.
    Unbalanced,
    /// It is XML, and no `presence`.
    NotPresence,
}

impl Rule {
    /// The stable label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Encoding => "encoding",
            Self::NotXml => "not_xml",
            Self::DocumentType => "document_type",
            Self::Entity => "entity",
            Self::Syntax => "syntax",
            Self::Unbalanced => "unbalanced",
            Self::NotPresence => "not_presence",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::TooLarge => "it is too large, or too deep",
            Self::Encoding => "it is not UTF-8",
            Self::NotXml => "it is not XML",
            Self::DocumentType => "it has a document type, which is not read",
            Self::Entity => "it names an entity that is not read",
            Self::Syntax => "something has no right form, or does not end",
            Self::Unbalanced => "its elements are not closed as they were opened",
            Self::NotPresence => "it is no \"presence\"",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (octet {})", self.rule.text(), self.at)
    }
}

/// The next piece of a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item<'x> {
    /// An element begins: its name without prefix.
    Open(&'x str),
    /// Text of the innermost element; it may come in several pieces.
    Text(Cow<'x, str>),
    /// The innermost element ends.
    Close,
}

/// A document that is being read.
#[derive(Debug)]
pub struct Reader<'x> {
    text: &'x str,
    at: usize,
    /// Names of the elements that are open, with their prefixes.
    open: Vec<&'x str>,
    /// The innermost element was opened and closed by one tag.
    is_empty: bool,
    elements: usize,
}

impl<'x> Reader<'x> {
    /// Begins to read.
    pub fn new(octets: &'x [u8]) -> Result<Self, Fault> {
        if octets.len() > LONGEST {
            return Err(Fault {
                at: LONGEST,
                rule: Rule::TooLarge,
            });
        }
        let text = std::str::from_utf8(octets).map_err(|fault| Fault {
            at: fault.valid_up_to(),
            rule: Rule::Encoding,
        })?;
        let mut reader = Self {
            text,
            at: 0,
            open: Vec::new(),
            is_empty: false,
            elements: 0,
        };
        reader.takes("\u{feff}");
        reader.declaration()?;
        Ok(reader)
    }

    /// The next piece; `None` at the end of a whole document.
    pub fn advance(&mut self) -> Result<Option<Item<'x>>, Fault> {
        if std::mem::take(&mut self.is_empty) {
            return Ok(Some(self.closed()));
        }
        loop {
            if self.open.is_empty() {
                self.white();
                if self.rest().is_empty() {
                    return match self.elements {
                        0 => self.fault(Rule::NotXml),
                        _ => Ok(None),
                    };
                }
            }
            if self.rest().is_empty() {
                return self.fault(Rule::Unbalanced);
            }
            if self.takes("<!--") {
                self.until("-->")?;
            } else if self.takes("<?") {
                self.until("?>")?;
            } else if self.takes("<![CDATA[") {
                let text = self.until("]]>")?;
                if self.open.is_empty() {
                    return self.fault(Rule::Syntax);
                }
                return Ok(Some(Item::Text(Cow::Borrowed(text))));
            } else if self.rest().starts_with("<!") {
                return self.fault(Rule::DocumentType);
            } else if self.takes("</") {
                return self.end().map(Some);
            } else if self.takes("<") {
                return self.begin().map(Some);
            } else if self.open.is_empty() {
                let rule = match self.elements {
                    0 => Rule::NotXml,
                    _ => Rule::Syntax,
                };
                return self.fault(rule);
            } else {
                return self.characters().map(|text| Some(Item::Text(text)));
            }
        }
    }

    /// How many elements are open.
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    fn rest(&self) -> &'x str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn fault<T>(&self, rule: Rule) -> Result<T, Fault> {
        Err(Fault { at: self.at, rule })
    }

    fn takes(&mut self, word: &str) -> bool {
        let is_there = self.rest().starts_with(word);
        self.at += if is_there { word.len() } else { 0 };
        is_there
    }

    /// What stands before `end`, which is taken too.
    fn until(&mut self, end: &str) -> Result<&'x str, Fault> {
        let rest = self.rest();
        let Some((before, _)) = rest.split_once(end) else {
            return self.fault(Rule::Syntax);
        };
        self.at += before.len() + end.len();
        Ok(before)
    }

    /// Whether there was white space.
    fn white(&mut self) -> bool {
        let rest = self.rest();
        let left = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self.at += rest.len() - left.len();
        left.len() < rest.len()
    }

    /// `<?xml …?>`, if the document begins with it: only what is UTF-8 is read.
    fn declaration(&mut self) -> Result<(), Fault> {
        let begin = self.at;
        if !self.takes("<?xml ") {
            return Ok(());
        }
        let said = self.until("?>")?.to_ascii_lowercase();
        let encoding = said.split_once("encoding").map(|(_, after)| after);
        let named = encoding.and_then(|after| after.split(['"', '\'']).nth(1));
        match named {
            None | Some("utf-8" | "utf8" | "us-ascii") => Ok(()),
            Some(_) => Err(Fault {
                at: begin,
                rule: Rule::Encoding,
            }),
        }
    }

    fn name(&mut self) -> Result<&'x str, Fault> {
        let rest = self.rest();
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
        let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let name = rest.get(..length).unwrap_or_default();
        let begins = |c: char| c.is_alphabetic() || c == '_';
        if !name.split(':').all(|part| part.starts_with(begins)) {
            return self.fault(Rule::Syntax);
        }
        self.at += length;
        Ok(name)
    }

    /// The tag that opens an element, behind its `<`.
    fn begin(&mut self) -> Result<Item<'x>, Fault> {
        if self.open.is_empty() && self.elements > 0 {
            return self.fault(Rule::Unbalanced);
        }
        if self.open.len() == DEEPEST || self.elements == MOST {
            return self.fault(Rule::TooLarge);
        }
        let name = self.name()?;
        for _ in 0..MOST {
            let is_apart = self.white();
            self.is_empty = self.takes("/>");
            if self.is_empty || self.takes(">") {
                self.elements += 1;
                self.open.push(name);
                return Ok(Item::Open(local(name)));
            }
            if !is_apart {
                return self.fault(Rule::Syntax);
            }
            self.attribute()?;
        }
        self.fault(Rule::TooLarge)
    }

    fn attribute(&mut self) -> Result<(), Fault> {
        self.name()?;
        self.white();
        if !self.takes("=") {
            return self.fault(Rule::Syntax);
        }
        self.white();
        let quote = match (self.takes("\""), self.rest()) {
            (true, _) => "\"",
            (false, rest) if rest.starts_with('\'') => {
                self.at += 1;
                "'"
            }
            _ => return self.fault(Rule::Syntax),
        };
        match self.until(quote)?.contains('<') {
            true => self.fault(Rule::Syntax),
            false => Ok(()),
        }
    }

    /// The tag that closes an element, behind its `</`.
    fn end(&mut self) -> Result<Item<'x>, Fault> {
        let name = self.name()?;
        if self.open.last() != Some(&name) {
            return self.fault(Rule::Unbalanced);
        }
        self.white();
        match self.takes(">") {
            true => Ok(self.closed()),
            false => self.fault(Rule::Syntax),
        }
    }

    fn closed(&mut self) -> Item<'x> {
        self.open.pop();
        Item::Close
    }

    /// Text up to the next tag, with what XML writes otherwise.
    fn characters(&mut self) -> Result<Cow<'x, str>, Fault> {
        let rest = self.rest();
        let text = rest.split('<').next().unwrap_or_default();
        if !text.contains('&') {
            self.at += text.len();
            return Ok(Cow::Borrowed(text));
        }
        let mut out = String::with_capacity(text.len());
        let mut parts = text.split('&');
        let first = parts.next().unwrap_or_default();
        out.push_str(first);
        self.at += first.len();
        for part in parts {
            let spelled = part.split_once(';');
            let Some((own, after)) =
                spelled.and_then(|(name, after)| Some((written(name)?, after)))
            else {
                return self.fault(Rule::Entity);
            };
            out.push(own);
            out.push_str(after);
            self.at += 1 + part.len();
        }
        Ok(Cow::Owned(out))
    }
}

/// The name without its prefix.
fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// The character behind `&name;`.
fn written(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "apos" => Some('\''),
        "quot" => Some('"'),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?).filter(|c| !c.is_control() || c.is_ascii_whitespace())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Result<String, Rule> {
        let mut reader = Reader::new(text).map_err(|fault| fault.rule)?;
        let mut out = String::new();
        while let Some(item) = reader.advance().map_err(|fault| fault.rule)? {
            match item {
                Item::Open(name) => out.push_str(&format!("({name} ")),
                Item::Text(text) => out.push_str(&text),
                Item::Close => out.push(')'),
            }
        }
        Ok(out)
    }

    #[test]
    fn elements_and_their_text_are_read_whatever_stands_between() {
        let text = "\u{feff}<?xml version='1.0' encoding=\"UTF-8\"?>\n<!-- a > b -->\n\
            <p:a xmlns:p = 'urn:x' y=\">\"><b/>x<![CDATA[<&]]>&amp;&#43;&#x31;<?pi <c> ?><c >&quot;</c ></p:a>\n";
        assert_eq!(all(text.as_bytes()), Ok("(a (b )x<&&+1(c \"))".to_owned()));
    }

    #[test]
    fn nothing_is_expanded_and_nothing_fetched() {
        let bomb = b"<!DOCTYPE a [<!ENTITY b \"cc\">]><a>&b;</a>";
        assert_eq!(all(bomb), Err(Rule::DocumentType));
        let outside = b"<!DOCTYPE a SYSTEM \"http://192.0.2.1/\"><a/>";
        assert_eq!(all(outside), Err(Rule::DocumentType));
        assert_eq!(all(b"<a>&b;</a>"), Err(Rule::Entity));
        assert_eq!(all(b"<a>& </a>"), Err(Rule::Entity));
        assert_eq!(all(b"<a>&#0;</a>"), Err(Rule::Entity));
        assert_eq!(all(b"<a>&#xd800;</a>"), Err(Rule::Entity));
    }

    #[test]
    fn what_is_no_xml_is_told_by_what_is_wrong_with_it() {
        for (text, rule) in [
            (&b""[..], Rule::NotXml),
            (b"  \r\n", Rule::NotXml),
            (b"{\"a\":1}", Rule::NotXml),
            (b"<a>\xff</a>", Rule::Encoding),
            (
                b"<?xml version='1.0' encoding='utf-16'?><a/>",
                Rule::Encoding,
            ),
            (b"<a", Rule::Syntax),
            (b"<a b></a>", Rule::Syntax),
            (b"<a b=c></a>", Rule::Syntax),
            (b"<a b='<'></a>", Rule::Syntax),
            (b"<a b='1'c='2'></a>", Rule::Syntax),
            (b"<1/>", Rule::Syntax),
            (b"<a:/>", Rule::Syntax),
            (b"<a:1/>", Rule::Syntax),
            (b"<a><!-- </a>", Rule::Syntax),
            (b"<a/>x", Rule::Syntax),
            (b"<![CDATA[x]]><a/>", Rule::Syntax),
            (b"<a><b></a></b>", Rule::Unbalanced),
            (b"<a>", Rule::Unbalanced),
            (b"<a/><a/>", Rule::Unbalanced),
            (b"</a>", Rule::Unbalanced),
        ] {
            assert_eq!(all(text), Err(rule), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn every_bound_is_where_it_should_be() {
        let deep = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert!(all(deep(DEEPEST).as_bytes()).is_ok());
        assert_eq!(all(deep(DEEPEST + 1).as_bytes()), Err(Rule::TooLarge));
        let many = |count: usize| format!("<a>{}</a>", "<b/>".repeat(count - 1));
        assert!(all(many(MOST).as_bytes()).is_ok());
        assert_eq!(all(many(MOST + 1).as_bytes()), Err(Rule::TooLarge));
        let attributes = format!("<a{}/>", " b=''".repeat(MOST + 1));
        assert_eq!(all(attributes.as_bytes()), Err(Rule::TooLarge));
        let long = |length: usize| format!("<a>{}</a>", "x".repeat(length - 7));
        assert!(all(long(LONGEST).as_bytes()).is_ok());
        assert_eq!(all(long(LONGEST + 1).as_bytes()), Err(Rule::TooLarge));
    }
}
