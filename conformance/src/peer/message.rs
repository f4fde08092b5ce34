//! SIP messages of peers: read and written with `rsip`, with header fields by name.

use rsip::message::HasHeaders;
use rsip::{Header, Request, Response, SipMessage, StatusCode, Uri, Version};
use std::fmt;

/// A message that was received.
#[derive(Clone, Debug)]
pub struct Message {
    sip: SipMessage,
    text: String,
    /// Request-URI as it stood on the wire; empty for a response.
    uri: String,
    /// Header fields in order, as they stood on the wire apart from their names.
    fields: Vec<(String, String)>,
}

/// Bytes that are no SIP message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unreadable {
    /// What `rsip` says.
    pub why: String,
    /// First line of what came, bounded.
    pub line: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unreadable message \"{}\": {}", self.line, self.why)
    }
}

impl Message {
    /// Reads one message.
    ///
    /// # Errors
    /// [`Unreadable`], with what the reader dislikes.
    pub fn parse(bytes: &[u8]) -> Result<Self, Unreadable> {
        let uri = request_uri(bytes);
        // `rsip` knows no "/" and no ":" in a parameter, which RFC 3261 §25.1 allows and Teams writes
        // into its Contact and Refer-To; requests of ours must carry it. The rest is still read.
        // A ";" before the "@" belongs to the user.
        let host = uri.find('@').unwrap_or_default();
        let params = uri[host..].find(';').map(|at| uri.split_at(host + at));
        let readable = match params {
            Some((plain, params)) if params.contains(['/', ':']) => {
                let text = String::from_utf8_lossy(bytes);
                text.replacen(&uri, plain, 1).into_bytes()
            }
            Some(_) | None => bytes.to_vec(),
        };
        let sip = SipMessage::try_from(readable).map_err(|fault| Unreadable {
            why: fault.to_string(),
            line: first_line(bytes),
        })?;
        let fields = sip
            .headers()
            .iter()
            .filter_map(|header| {
                let text = header.to_string();
                let (name, value) = text.split_once(':')?;
                Some((name.trim().to_owned(), value.trim().to_owned()))
            })
            .collect();
        Ok(Self {
            sip,
            text: String::from_utf8_lossy(bytes).into_owned(),
            uri,
            fields,
        })
    }

    /// Method of a request.
    pub fn method(&self) -> Option<String> {
        match &self.sip {
            SipMessage::Request(request) => Some(request.method.to_string()),
            SipMessage::Response(_) => None,
        }
    }

    /// Status of a response.
    pub fn status(&self) -> Option<u16> {
        match &self.sip {
            SipMessage::Request(_) => None,
            SipMessage::Response(response) => Some(response.status_code.code()),
        }
    }

    /// Request-URI.
    pub fn uri(&self) -> Option<&Uri> {
        match &self.sip {
            SipMessage::Request(request) => Some(&request.uri),
            SipMessage::Response(_) => None,
        }
    }

    /// Request-URI as it stood on the wire; empty for a response.
    pub fn uri_text(&self) -> &str {
        &self.uri
    }

    /// Start line without its version, for people.
    pub fn title(&self) -> String {
        match &self.sip {
            SipMessage::Request(request) => format!("{} {}", request.method, self.uri),
            // As it came: `rsip` would write its own phrase.
            SipMessage::Response(_) => {
                let line = self.text.lines().next().unwrap_or_default();
                line.strip_prefix("SIP/2.0 ").unwrap_or(line).to_owned()
            }
        }
    }

    /// Values of a header in order; lists that are written with commas are taken apart.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let is_named = |field: &str| field.eq_ignore_ascii_case(name);
        let lines = self.fields.iter().filter(|(field, _)| is_named(field));
        lines.flat_map(|(_, value)| split_list(value)).collect()
    }

    /// Lines of a header in order.
    pub fn lines<'m>(&'m self, name: &'m str) -> impl Iterator<Item = &'m str> {
        self.fields
            .iter()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The session description: the body, or that part of it.
    pub fn description(&self) -> String {
        let body = self.body();
        let kind = self.line("Content-Type").unwrap_or_default();
        let Some(boundary) = param(kind, "boundary") else {
            return body;
        };
        let limit = format!("--{}", boundary.trim_matches('"'));
        let mut parts = body.split(limit.as_str());
        let found = parts.find_map(|part| {
            let (head, rest) = part.split_once("\r\n\r\n")?;
            head.to_ascii_lowercase()
                .contains("application/sdp")
                .then(|| rest.to_owned())
        });
        found.unwrap_or_default()
    }

    /// First line of a header.
    pub fn line(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Call-ID; empty if there is none.
    pub fn call_id(&self) -> &str {
        self.line("Call-ID").unwrap_or_default()
    }

    /// Number and method of CSeq.
    pub fn cseq(&self) -> Option<(u32, &str)> {
        let (number, method) = self.line("CSeq")?.split_once(' ')?;
        Some((number.trim().parse().ok()?, method.trim()))
    }

    /// Branch of the top Via.
    pub fn branch(&self) -> Option<&str> {
        param(self.values("Via").first()?, "branch")
    }

    /// Tag of From or To.
    pub fn tag(&self, name: &str) -> Option<&str> {
        let value = self.line(name)?;
        param(
            value.rsplit_once('>').map_or(value, |(_, rest)| rest),
            "tag",
        )
    }

    /// Body as text.
    pub fn body(&self) -> String {
        let body = match &self.sip {
            SipMessage::Request(request) => &request.body,
            SipMessage::Response(response) => &response.body,
        };
        String::from_utf8_lossy(body).into_owned()
    }

    /// The whole message as it came.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The URI in a name-addr or addr-spec.
///
/// # Errors
/// What `rsip` dislikes about it.
pub fn uri_of(value: &str) -> Result<Uri, rsip::Error> {
    let text = uri_text(value);
    // `rsip` looks for the end of a user at its first full stop, which may be escaped (RFC 3261 §19.1.2).
    match text.split_once('@') {
        Some((user, rest)) if !user.contains(';') => {
            Uri::try_from(format!("{}@{rest}", user.replace('.', "%2E")))
        }
        _ => Uri::try_from(text),
    }
}

/// The URI in a name-addr or addr-spec as it is written.
pub fn uri_text(value: &str) -> &str {
    match value.split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or(rest),
        None => value.split(';').next().unwrap_or(value).trim(),
    }
}

/// Value of a `;name=value` parameter; a name in any case.
pub fn param<'v>(value: &'v str, name: &str) -> Option<&'v str> {
    value.split(';').skip(1).find_map(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        key.trim()
            .eq_ignore_ascii_case(name)
            .then_some(value.trim())
    })
}

/// Takes a comma-separated list apart; commas within `<>` and quotes belong to the value.
fn split_list(line: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut depth) = (false, 0_u32);
    line.split(move |c: char| {
        match c {
            '"' => is_quoted = !is_quoted,
            '<' if !is_quoted => depth += 1,
            '>' if !is_quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && !is_quoted && depth == 0
    })
    .map(str::trim)
}

/// The second of three words of a request line.
fn request_uri(bytes: &[u8]) -> String {
    let line = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some(method), Some(uri), Some("SIP/2.0")) if method != "SIP/2.0" => uri.to_owned(),
        _ => String::new(),
    }
}

fn first_line(bytes: &[u8]) -> String {
    let line = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
    let text = String::from_utf8_lossy(line);
    text.chars()
        .take(120)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// A message being written.
#[derive(Clone, Debug)]
pub struct Draft {
    start: Start,
    fields: Vec<(String, String)>,
    body: String,
}

#[derive(Clone, Debug)]
enum Start {
    Request(String, String),
    Response(u16, String),
}

impl Draft {
    /// A request.
    pub fn request(method: &str, uri: &str) -> Self {
        Self::new(Start::Request(method.to_owned(), uri.to_owned()))
    }

    /// A response.
    pub fn response(status: u16, phrase: &str) -> Self {
        Self::new(Start::Response(status, phrase.to_owned()))
    }

    fn new(start: Start) -> Self {
        Self {
            start,
            fields: Vec::new(),
            body: String::new(),
        }
    }

    /// Adds a header field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.fields.push((name.to_owned(), value.to_string()));
        self
    }

    /// Sets a session description.
    #[must_use]
    pub fn sdp(self, body: String) -> Self {
        self.body(body).with("Content-Type", "application/sdp")
    }

    /// Sets a body whose type is said by a header field.
    #[must_use]
    pub fn body(mut self, body: String) -> Self {
        self.body = body;
        self
    }

    /// Writes the message; `shouted` is for peers that write header names in capitals.
    ///
    /// # Errors
    /// What `rsip` dislikes about the method or the Request-URI.
    pub fn build(self, shouted: bool) -> Result<Vec<u8>, rsip::Error> {
        let length = ("Content-Length".to_owned(), self.body.len().to_string());
        let headers: Vec<Header> = self
            .fields
            .into_iter()
            .chain([length])
            .map(|(name, value)| match shouted {
                true => Header::Other(name.to_uppercase(), value),
                false => Header::Other(name, value),
            })
            .collect();
        let body = self.body.into_bytes();
        let message: SipMessage = match self.start {
            Start::Request(method, uri) => Request {
                method: method.parse()?,
                uri: uri.as_str().try_into()?,
                version: Version::V2,
                headers: headers.into(),
                body,
            }
            .into(),
            Start::Response(status, phrase) => Response {
                status_code: StatusCode::Other(status, phrase),
                version: Version::V2,
                headers: headers.into(),
                body,
            }
            .into(),
        };
        Ok(message.to_string().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTACT: &str = "<sip:api-du-a.pstnhub.example:443;x-i=11-22;x-c=9b0f/d/8/0f1e>";

    fn sample(shouted: bool) -> Message {
        let draft = Draft::request(
            "INVITE",
            "sip:+15550100@sbc.contoso.example:5061;user=phone",
        )
        .with(
            "Via",
            "SIP/2.0/TLS 127.0.0.1:5061;branch=z9hG4bKone, SIP/2.0/UDP 127.0.0.2",
        )
        .with(
            "From",
            "John Doe<sip:+15550111@sip.pstnhub.example;tag=no>;tag=mine",
        )
        .with("Call-ID", "c1")
        .with("CSeq", "7 INVITE")
        .with("Contact", CONTACT)
        .with("Record-Route", "<sip:a.example;lr>,<sip:b.example;lr>")
        .sdp("v=0\r\n".to_owned());
        Message::parse(&draft.build(shouted).unwrap()).unwrap()
    }

    #[test]
    fn what_is_written_is_read_in_either_case() {
        for message in [sample(false), sample(true)] {
            assert_eq!(message.method().as_deref(), Some("INVITE"));
            assert_eq!(message.cseq(), Some((7, "INVITE")));
            assert_eq!(message.branch(), Some("z9hG4bKone"));
            assert_eq!(message.tag("From"), Some("mine"), "not the URI's parameter");
            assert_eq!(message.values("record-route").len(), 2);
            assert_eq!(message.body(), "v=0\r\n");
            assert_eq!(message.line("Content-Length"), Some("5"));
        }
    }

    #[test]
    fn a_user_may_have_full_stops() {
        let uri = uri_of("<sip:a.b-c*1.2@sbc.example.com:5061;transport=tls>").unwrap();
        assert_eq!(uri.host().to_string(), "sbc.example.com");
        let uri = uri_of("<sip:sbc.example.com;x=a@b>").unwrap();
        assert_eq!(uri.host().to_string(), "sbc.example.com");
    }

    #[test]
    fn a_contact_with_slashes_in_its_parameters_survives() {
        let message = sample(true);
        let text = uri_text(message.line("Contact").unwrap());
        assert_eq!(text, &CONTACT[1..CONTACT.len() - 1]);
        let bye = format!("BYE {text} SIP/2.0\r\nCall-ID: c1\r\nContent-Length: 0\r\n\r\n");
        let bye = Message::parse(bye.as_bytes()).unwrap();
        assert_eq!(bye.uri_text(), text);
        assert_eq!(
            bye.uri().unwrap().host().to_string(),
            "api-du-a.pstnhub.example"
        );
    }

    #[test]
    fn noise_is_named_with_its_first_line() {
        let fault = Message::parse(b"HELLO\x1b world\r\n\r\n").unwrap_err();
        assert_eq!(fault.line, "HELLO\u{fffd} world");
        assert!(fault.to_string().contains("unreadable message"));
    }
}
