//! Tests that travel in the configuration: a described call, and what must become of it.
//!
//! Only what was written is here. They are played by the core itself, after everything else was
//! found right (see [`crate::rehearsal`]); one that fails refuses the configuration.

use super::finding::{Code, Collector};
use super::read::Section;
use super::source::{At, Place, Span};
use crate::event::DropCode;
use crate::id::{ListenerName, TrunkName};
use crate::sip::HeaderName;
use crate::time::UnixTime;
use std::net::IpAddr;

/// Most tests of one configuration.
pub const MOST_CASES: usize = 500;

/// Most headers and codecs of a described call, and most expectations of one kind.
const MOST: usize = 32;

/// What can be expected.
const WISHES: [&str; 12] = [
    "tenant",
    "trunk",
    "trunks",
    "targets",
    "request_uri",
    "from",
    "to",
    "headers",
    "absent",
    "status",
    "cause",
    "dropped",
];

/// Longest text of a description, in octets.
const LONGEST: usize = 1024;

/// A described call with what is expected of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// What the operator calls it.
    pub name: String,
    /// Where it was written.
    pub place: Option<Place>,
    /// The call.
    pub call: CallIn,
    /// What must become of it.
    pub wishes: Vec<Wish>,
}

/// A call that comes in, as far as somebody described it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CallIn {
    /// Trunk it comes in on; without one, `source` says whose it is.
    pub trunk: Option<TrunkName>,
    /// Address it comes from; without one, any that belongs to the trunk.
    pub source: Option<IpAddr>,
    /// Listener it arrives at; without one, the first that fits.
    pub listener: Option<ListenerName>,
    /// Calling number, or a whole From.
    pub from: String,
    /// Called number, or a whole To.
    pub to: String,
    /// Request-URI, where To does not say it.
    pub request_uri: Option<String>,
    /// Further headers, in order.
    pub headers: Vec<(String, String)>,
    /// Codecs that are offered; without any, those of the trunk.
    pub codecs: Vec<String>,
    /// What Microsoft says of the called user, such as `Busy/InACall`; without it, nothing is known.
    pub presence: Option<String>,
    /// When it comes, which schedules ask; without it, every route is open.
    pub time: Option<UnixTime>,
}

/// One thing that is expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wish {
    /// Where it was written.
    pub place: Option<Place>,
    /// What.
    pub what: What,
}

/// What is expected of a call. In texts `*` stands for anything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// The customer it belongs to.
    Tenant(String),
    /// The trunk of its first INVITE.
    Trunk(String),
    /// All trunks that are tried, in order.
    Trunks(Vec<String>),
    /// How many targets are tried where none of them can be reached.
    Targets(usize),
    /// Request-URI of the first INVITE, or the number in it.
    RequestUri(String),
    /// URI of its From, or the number in it.
    From(String),
    /// URI of its To, or the number in it.
    To(String),
    /// A header that it has.
    Header(String, String),
    /// A header that it does not have.
    Absent(String),
    /// The status that refuses the call.
    Status(u16),
    /// Name of the cause of the refusal.
    Cause(String),
    /// Why the request is dropped.
    Dropped(String),
}

/// As [`Case`], with the spans of the file.
pub(super) struct WrittenCase {
    pub(super) name: At<String>,
    pub(super) trunk: Option<At<String>>,
    pub(super) listener: Option<At<String>>,
    pub(super) call: CallIn,
    pub(super) codecs: Vec<At<String>>,
    pub(super) wishes: Vec<At<What>>,
}

/// Reads one `[[test]]`.
pub(super) fn read(mut section: Section<'_>, out: &mut Collector) -> Option<WrittenCase> {
    let name = section.required_text("name", "\"calls of the carrier reach Teams\"", out);
    let name = name.unwrap_or_else(|| At::new(String::new(), section.span.clone()));
    if name.value.len() > 100 || name.value.chars().any(char::is_control) {
        out.add(
            Code::BadForm,
            &name.span,
            "test: its name has more than 100 octets, or control characters",
            Some("write a short sentence".to_owned()),
        );
    }
    section.title = format!("test \"{}\"", name.value.escape_debug());
    let mut written = WrittenCase {
        name,
        trunk: None,
        listener: None,
        call: CallIn::default(),
        codecs: Vec::new(),
        wishes: Vec::new(),
    };
    let is_described = match section.table("call", out) {
        Some(call) => read_call(call, &mut written, out),
        None => {
            if !section.has("call") {
                let example = "{ trunk = \"…\", from = \"+49…\", to = \"+49…\" }";
                section.missing("call", example, out);
            }
            false
        }
    };
    match section.table("expect", out) {
        Some(expect) => read_wishes(expect, &mut written, out),
        None if !section.has("expect") => {
            section.missing("expect", "{ trunk = \"…\" } or { status = 404 }", out);
        }
        None => {}
    }
    section.finish(&[], out);
    is_described.then_some(written)
}

/// Says whether there is enough to make a call of.
fn read_call(mut call: Section<'_>, written: &mut WrittenCase, out: &mut Collector) -> bool {
    written.trunk = call.text("trunk", out);
    written.listener = call.text("listener", out);
    let source = call.parsed("source", super::value::address, out);
    let from = call.required_text("from", "\"+498999998001\"", out);
    let to = call.required_text("to", "\"+493023125456\"", out);
    let request_uri = call.text("request_uri", out);
    let presence = call.text("presence", out);
    let time = call.parsed("time", super::value::time, out);
    for text in [&from, &to, &request_uri, &presence].into_iter().flatten() {
        check_text(&call.title, text, out);
    }
    let headers = texts(call.texts("headers", out), &call.title, out);
    let headers = headers.iter().filter_map(|at| header(&call.title, at, out));
    let headers = headers.collect();
    written.codecs = texts(call.texts("codecs", out), &call.title, out);
    if written.trunk.is_none() && source.is_none() && !call.has("trunk") && !call.has("source") {
        call.missing("trunk", "\"…\", or source = \"192.0.2.1\"", out);
    }
    let is_described = from.is_some() && to.is_some();
    written.call = CallIn {
        trunk: written.trunk.as_ref().map(|at| TrunkName::new(&at.value)),
        source: source.map(|at| at.value),
        listener: written
            .listener
            .as_ref()
            .map(|at| ListenerName::new(&at.value)),
        from: from.map(|at| at.value).unwrap_or_default(),
        to: to.map(|at| at.value).unwrap_or_default(),
        request_uri: request_uri.map(|at| at.value),
        headers,
        presence: presence.map(|at| at.value),
        time: time.map(|at| at.value),
        codecs: written.codecs.iter().map(|at| at.value.clone()).collect(),
    };
    call.finish(&["sdp"], out);
    is_described && (written.trunk.is_some() || written.call.source.is_some())
}

fn read_wishes(mut expect: Section<'_>, written: &mut WrittenCase, out: &mut Collector) {
    let title = expect.title.clone();
    let mut wishes = Vec::new();
    let mut wish = |key: &'static str, what: fn(String) -> What| {
        if let Some(at) = expect.text(key, out) {
            check_text(&title, &at, out);
            wishes.push(At::new(what(at.value), at.span));
        }
    };
    wish("tenant", What::Tenant);
    wish("trunk", What::Trunk);
    wish("request_uri", What::RequestUri);
    wish("from", What::From);
    wish("to", What::To);
    wish("cause", What::Cause);
    wish("dropped", What::Dropped);
    if let Some(list) = expect.texts("trunks", out) {
        let names = list.value.into_iter().map(|at| at.value).collect();
        wishes.push(At::new(What::Trunks(names), list.span));
    }
    if let Some(at) = expect.number("targets", 0..=36, out) {
        wishes.push(At::new(What::Targets(at.value as usize), at.span));
    }
    if let Some(at) = expect.number("status", 300..=699, out) {
        wishes.push(At::new(What::Status(at.value as u16), at.span));
    }
    for at in texts(expect.texts("headers", out), &title, out) {
        if let Some((name, value)) = header(&title, &at, out) {
            wishes.push(At::new(What::Header(name, value), at.span));
        }
    }
    for at in texts(expect.texts("absent", out), &title, out) {
        if HeaderName::parse(at.value.clone()).is_err() {
            not_a_header(&title, &at, out);
        }
        wishes.push(At::new(What::Absent(at.value), at.span));
    }
    for wish in &wishes {
        check_word(&title, wish, out);
    }
    let mut keys = WISHES.iter();
    if !keys.any(|key| expect.has(key)) {
        out.add(
            Code::MissingKey,
            &expect.span,
            format!("{title}: nothing is expected"),
            Some("write { trunk = \"…\" } or { status = 404 }".to_owned()),
        );
    }
    let is_sent = |what: &What| !is_refusal(what) && !matches!(what, What::Tenant(_));
    if let Some(refusal) = wishes.iter().find(|wish| is_refusal(&wish.value))
        && wishes.iter().any(|wish| is_sent(&wish.value))
    {
        out.add(
            Code::Contradiction,
            &refusal.span,
            format!("{title}: a call cannot be refused and sent on"),
            Some("make two tests of it".to_owned()),
        );
    }
    expect.finish(&["sdp", "codecs", "body"], out);
    written.wishes = wishes;
}

fn is_refusal(what: &What) -> bool {
    matches!(what, What::Status(_) | What::Cause(_) | What::Dropped(_))
}

/// Words of closed lists.
fn check_word(title: &str, wish: &At<What>, out: &mut Collector) {
    let (key, word, known): (&str, &str, Vec<&str>) = match &wish.value {
        What::Cause(word) => {
            let all = crate::cause::CauseCode::ALL;
            (
                "cause",
                word,
                all.iter().map(|code| code.as_str()).collect(),
            )
        }
        What::Dropped(word) => {
            let all = DropCode::ALL;
            (
                "dropped",
                word,
                all.iter().map(|code| code.as_str()).collect(),
            )
        }
        _ => return,
    };
    if !known.contains(&word) {
        out.add(
            Code::UnknownValue,
            &wish.span,
            format!("{title}: {key} \"{}\" is unknown", word.escape_debug()),
            super::finding::did_you_mean(word, known.iter().copied())
                .or_else(|| Some(format!("known words: {}", known.join(", ")))),
        );
    }
}

fn texts(list: Option<At<Vec<At<String>>>>, title: &str, out: &mut Collector) -> Vec<At<String>> {
    let Some(list) = list else {
        return Vec::new();
    };
    if list.value.len() > MOST {
        out.add(
            Code::OutOfRange,
            &list.span,
            format!("{title}: the list has more than {MOST} entries"),
            Some("make several tests of it".to_owned()),
        );
    }
    for at in &list.value {
        check_text(title, at, out);
    }
    list.value.into_iter().take(MOST).collect()
}

fn check_text(title: &str, at: &At<String>, out: &mut Collector) {
    let is_plain = at.value.len() <= LONGEST && !at.value.chars().any(char::is_control);
    if !is_plain || at.value.trim().is_empty() {
        out.add(
            Code::BadForm,
            &at.span,
            format!(
                "{title}: the text is empty, has control characters, or more than {LONGEST} octets"
            ),
            Some("write one line as it stands in a message".to_owned()),
        );
    }
}

/// Name and value of a header line.
fn header(title: &str, at: &At<String>, out: &mut Collector) -> Option<(String, String)> {
    let line = parse_header(&at.value);
    if line.is_none() {
        not_a_header(title, at, out);
    }
    line
}

fn not_a_header(title: &str, at: &At<String>, out: &mut Collector) {
    out.add(
        Code::BadForm,
        &at.span,
        format!("{title}: \"{}\" is no header", at.value.escape_debug()),
        Some("write \"Name: value\"; in absent only the name".to_owned()),
    );
}

/// Splits `Name: value`; nothing if the name cannot be one.
pub fn parse_header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let (name, value) = (name.trim(), value.trim());
    let is_plain = !value.chars().any(char::is_control) && value.len() <= LONGEST;
    (HeaderName::parse(name.to_owned()).is_ok() && is_plain)
        .then(|| (name.to_owned(), value.to_owned()))
}

impl WrittenCase {
    /// The case, with places instead of spans.
    pub(super) fn placed(self, place: impl Fn(&Span) -> Option<Place>) -> Case {
        Case {
            place: place(&self.name.span),
            name: self.name.value,
            call: self.call,
            wishes: self
                .wishes
                .into_iter()
                .map(|at| Wish {
                    place: place(&at.span),
                    what: at.value,
                })
                .collect(),
        }
    }
}
