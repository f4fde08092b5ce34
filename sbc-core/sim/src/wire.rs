//! SIP as the actors and checkers read and write it.
//!
//! Deliberately not `sbc_core::sip`: a mistake in the product's parser or emitter must not hide
//! itself by being on both ends. This reader is small, slow and plain text.

use std::fmt::Write;

/// One message as text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wire {
    /// Request line or status line.
    pub first: String,
    /// Header lines as written, in order.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: String,
}

impl Wire {
    /// Starts a message with its first line.
    pub fn begin(first: impl Into<String>) -> Self {
        Self {
            first: first.into(),
            ..Self::default()
        }
    }

    /// Reads one complete message; `None` if it does not look like one.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let first = lines.next()?.to_owned();
        if !first.starts_with("SIP/2.0 ") && !first.ends_with(" SIP/2.0") {
            return None;
        }
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.starts_with([' ', '\t']) {
                let last = headers.last_mut()?;
                last.1.push(' ');
                last.1.push_str(line.trim());
            } else {
                let (name, value) = line.split_once(':')?;
                headers.push((name.trim().to_owned(), value.trim().to_owned()));
            }
        }
        let wire = Self {
            first,
            headers,
            body: body.to_owned(),
        };
        wire.cseq()?;
        Some(wire)
    }

    /// Adds a header line.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a body; Content-Length is written by [`Self::emit`].
    #[must_use]
    pub fn with_body(mut self, kind: &str, body: String) -> Self {
        self.headers
            .push(("Content-Type".to_owned(), kind.to_owned()));
        self.body = body;
        self
    }

    /// The message as bytes.
    pub fn emit(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.first);
        for (name, value) in &self.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let _ = write!(
            text,
            "Content-Length: {}\r\n\r\n{}",
            self.body.len(),
            self.body
        );
        text.into_bytes()
    }

    /// Upper-cases every header name, as the Teams proxies write them.
    #[must_use]
    pub fn shouted(mut self) -> Self {
        for (name, _) in &mut self.headers {
            name.make_ascii_uppercase();
        }
        self
    }

    /// Writes headers by their short names, and a blank before the colon of From (RFC 3261 §7.3.1 and §7.3.3).
    #[must_use]
    pub fn terse(mut self) -> Self {
        for (name, _) in &mut self.headers {
            if let Some(short) = short_name(name) {
                short.clone_into(name);
            }
        }
        self
    }

    /// Status code of a response.
    pub fn status(&self) -> Option<u16> {
        self.first.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// Method of a request.
    pub fn method(&self) -> Option<&str> {
        if self.first.starts_with("SIP/2.0 ") {
            return None;
        }
        self.first.split(' ').next()
    }

    /// Request-URI of a request.
    pub fn request_uri(&self) -> &str {
        self.first.split(' ').nth(1).unwrap_or_default()
    }

    /// First line of this header, long or compact name in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(written, _)| long_name(written).eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Every line of this header.
    pub fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(written, _)| long_name(written).eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Every value of a header that is a comma list.
    pub fn values(&self, name: &str) -> Vec<String> {
        self.lines(name).flat_map(split_list).collect()
    }

    /// Sequence number and method.
    pub fn cseq(&self) -> Option<(u32, &str)> {
        let (number, method) = self.get("CSeq")?.split_once(' ')?;
        Some((number.trim().parse().ok()?, method.trim()))
    }

    /// Call-ID, empty if there is none.
    pub fn call_id(&self) -> &str {
        self.get("Call-ID").unwrap_or_default()
    }

    /// Tag of From or To.
    pub fn tag(&self, name: &str) -> Option<&str> {
        param(self.get(name)?, "tag")
    }

    /// Branch of the topmost Via, empty if there is none.
    pub fn branch(&self) -> &str {
        self.get("Via")
            .and_then(|via| param(via, "branch"))
            .unwrap_or_default()
    }

    /// `host:port` of the topmost Via, empty if there is none.
    pub fn sent_by(&self) -> &str {
        self.get("Via")
            .and_then(|via| via.split(' ').nth(1))
            .map(|rest| rest.split([';', ',']).next().unwrap_or_default())
            .unwrap_or_default()
    }

    /// URI of the first Contact.
    pub fn contact(&self) -> Option<String> {
        self.values("Contact")
            .first()
            .map(|value| uri_of(value).to_owned())
    }

    /// Whether the body is a session description.
    pub fn has_sdp(&self) -> bool {
        !self.body.is_empty()
            && self
                .get("Content-Type")
                .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/sdp"))
    }

    /// The response to this request that copies what RFC 3261 §8.2.6.2 demands.
    pub fn answer(&self, status: u16, phrase: &str, to_tag: Option<&str>) -> Self {
        let mut response = Self::begin(format!("SIP/2.0 {status} {phrase}"));
        for via in self.lines("Via") {
            response = response.with("Via", via);
        }
        response = response.with("From", self.get("From").unwrap_or_default());
        let to = self.get("To").unwrap_or_default();
        response = match (self.tag("To"), to_tag) {
            (None, Some(tag)) => response.with("To", format!("{to};tag={tag}")),
            _ => response.with("To", to),
        };
        response
            .with("Call-ID", self.call_id())
            .with("CSeq", self.get("CSeq").unwrap_or_default())
    }
}

/// Cuts messages out of a byte stream by Content-Length.
#[derive(Default, Debug, Clone)]
pub struct Splitter(Vec<u8>);

impl Splitter {
    /// Adds bytes and takes every message that is complete now.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.0.extend_from_slice(bytes);
        let mut complete = Vec::new();
        loop {
            let skip = self
                .0
                .iter()
                .take_while(|b| matches!(b, b'\r' | b'\n'))
                .count();
            self.0.drain(..skip);
            let Some(head) = self.0.windows(4).position(|w| w == b"\r\n\r\n") else {
                return complete;
            };
            let length = String::from_utf8_lossy(&self.0[..head])
                .split("\r\n")
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| long_name(name.trim()).eq_ignore_ascii_case("Content-Length"))
                .and_then(|(_, value)| value.trim().parse::<usize>().ok())
                .unwrap_or(0);
            if self.0.len() < head + 4 + length {
                return complete;
            }
            complete.push(self.0.drain(..head + 4 + length).collect());
        }
    }
}

/// A parameter after the address part of a header value.
pub fn param<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let rest = value.rsplit_once('>').map_or(value, |(_, rest)| rest);
    rest.split([';', ','])
        .filter_map(|part| part.split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// The URI of a name-addr or addr-spec.
pub fn uri_of(value: &str) -> &str {
    match (value.find('<'), value.rfind('>')) {
        (Some(open), Some(close)) if open < close => &value[open + 1..close],
        _ => value.split(';').next().unwrap_or_default().trim(),
    }
}

/// The user part of a URI.
pub fn user_of(uri: &str) -> &str {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    rest.split_once('@').map_or("", |(user, _)| user)
}

/// Host and port of a SIP URI.
pub fn host_of(uri: &str) -> (&str, Option<u16>) {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    let rest = rest.split_once('@').map_or(rest, |(_, host)| host);
    let host_port = rest.split([';', '?']).next().unwrap_or_default();
    match host_port.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !port.ends_with(']') => (host, port.parse().ok()),
        _ => (host_port, None),
    }
}

/// The values of a comma list, commas in quotes and angle brackets aside.
fn split_list(line: &str) -> Vec<String> {
    let (mut values, mut current) = (Vec::new(), String::new());
    let (mut quoted, mut bracketed, mut escaped) = (false, false, false);
    for c in line.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => bracketed = true,
            '>' if !quoted => bracketed = false,
            ',' if !quoted && !bracketed => {
                values.push(current.trim().to_owned());
                current.clear();
                continue;
            }
            _ => {}
        }
        current.push(c);
    }
    values.push(current.trim().to_owned());
    values
}

/// The long form of a header name.
fn long_name(written: &str) -> &str {
    match written {
        "v" | "V" => "Via",
        "f" | "F" => "From",
        "t" | "T" => "To",
        "i" | "I" => "Call-ID",
        "m" | "M" => "Contact",
        "l" | "L" => "Content-Length",
        "c" | "C" => "Content-Type",
        "k" | "K" => "Supported",
        "b" | "B" => "Referred-By",
        "o" | "O" => "Event",
        "r" | "R" => "Refer-To",
        "x" | "X" => "Session-Expires",
        other => other,
    }
}

/// The short form of a header name; that of Content-Length is written by nobody here.
fn short_name(long: &str) -> Option<&'static str> {
    Some(match long {
        "Via" => "v",
        "From" => "f ",
        "To" => "t",
        "Call-ID" => "i",
        "Contact" => "m",
        "Content-Type" => "c",
        "Supported" => "k",
        "Referred-By" => "b",
        "Event" => "o",
        "Refer-To" => "r",
        "Session-Expires" => "x",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "INVITE sip:+4930@sbc.example.com:5061;user=phone SIP/2.0\r\n\
        VIA: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bKx\r\nf: \"A, B\" <sip:a@example.com>;tag=1\r\n\
        TO: <sip:b@example.com>\r\nCall-ID: c1\r\nCSeq: 3 INVITE\r\n\
        Contact: <sip:a@192.0.2.1;x=1>\r\n\
        Record-Route: <sip:p1;lr>,\r\n <sip:p2;lr>\r\nContent-Length: 3\r\n\r\nabc";

    #[test]
    fn a_message_is_read_with_compact_folded_and_upper_case_headers() {
        let wire = Wire::read(REQUEST.as_bytes()).unwrap();
        assert_eq!(wire.method(), Some("INVITE"));
        assert_eq!(wire.tag("From"), Some("1"));
        assert_eq!(wire.tag("To"), None);
        assert_eq!(wire.branch(), "z9hG4bKx");
        assert_eq!(wire.sent_by(), "192.0.2.1:5061");
        assert_eq!(wire.values("Record-Route"), ["<sip:p1;lr>", "<sip:p2;lr>"]);
        assert_eq!(wire.contact().unwrap(), "sip:a@192.0.2.1;x=1");
        assert_eq!(host_of(wire.request_uri()), ("sbc.example.com", Some(5061)));
        assert_eq!(user_of(wire.request_uri()), "+4930");
    }

    #[test]
    fn what_is_written_in_short_forms_reads_the_same() {
        let wire = Wire::read(REQUEST.as_bytes()).unwrap();
        let short = Wire::begin(wire.first.clone())
            .with("Via", wire.get("Via").unwrap())
            .with("From", wire.get("From").unwrap())
            .with("To", wire.get("To").unwrap())
            .with("Call-ID", wire.call_id())
            .with("CSeq", "3 INVITE")
            .with("Refer-To", "<sip:c@example.com>")
            .with_body("application/sdp", "v=0".to_owned())
            .terse();
        let text = String::from_utf8(short.emit()).unwrap();
        assert!(text.contains("\r\nf : ") && text.contains("\r\nr: <sip:c@"));
        let read = Wire::read(text.as_bytes()).unwrap();
        assert!(read.has_sdp());
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            assert_eq!(read.get(name), wire.get(name), "{name}");
        }
    }

    #[test]
    fn a_stream_is_cut_wherever_its_segments_end() {
        let twice = format!("{REQUEST}\r\n\r\n{REQUEST}");
        for cut in 0..twice.len() {
            let mut splitter = Splitter::default();
            let mut got = splitter.push(&twice.as_bytes()[..cut]);
            got.extend(splitter.push(&twice.as_bytes()[cut..]));
            assert_eq!(got.len(), 2, "cut at {cut}");
            assert!(got.iter().all(|m| m == REQUEST.as_bytes()));
        }
    }
}
