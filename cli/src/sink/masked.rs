//! A message for somebody who may not see who calls whom.
//!
//! What is known to name nobody stays: Via, sequence numbers, what is supported, timers, descriptions of media. Of URIs the
//! user and the name beside it are masked, and all else is masked whole, as nobody can know what a header of a stranger
//! says. Every masked octet becomes an `x`, so lengths stay right.

/// Headers whose values name nobody, in full and compact.
const PLAIN: &[&str] = &[
    "accept",
    "accept-encoding",
    "accept-language",
    "allow",
    "allow-events",
    "k",
    "content-disposition",
    "content-encoding",
    "e",
    "content-length",
    "l",
    "content-type",
    "c",
    "cseq",
    "date",
    "event",
    "o",
    "expires",
    "max-forwards",
    "mime-version",
    "min-expires",
    "min-se",
    "privacy",
    "proxy-require",
    "rack",
    "reason",
    "require",
    "retry-after",
    "rseq",
    "server",
    "session-expires",
    "x",
    "session-id",
    "supported",
    "timestamp",
    "unsupported",
    "user-agent",
    "via",
    "v",
    "warning",
    "call-id",
    "i",
    "subscription-state",
];
/// Headers with URIs, whose hosts and parameters show where a message goes.
const WITH_URI: &[&str] = &[
    "from",
    "f",
    "to",
    "t",
    "contact",
    "m",
    "route",
    "record-route",
    "p-asserted-identity",
    "p-preferred-identity",
    "remote-party-id",
    "diversion",
    "history-info",
    "referred-by",
    "b",
    "refer-to",
    "r",
    "reply-to",
];
/// Digits in a row that may be a telephone number.
const NUMBER: usize = 6;
/// In place of each octet.
const MASK: char = 'x';

/// The message with everybody's numbers and names masked; `numbers` are those of the call, which are masked wherever
/// they stand.
pub fn masked(message: &str, numbers: &[String]) -> String {
    let (head, body) = match message.find("\r\n\r\n") {
        Some(at) => message.split_at(at + 4),
        None => (message, ""),
    };
    let mut out = String::with_capacity(message.len());
    let mut treat = Treat::Whole;
    let mut is_sdp = false;
    for (number, line) in head.split_inclusive('\n').enumerate() {
        let content = line.trim_end_matches(['\r', '\n']);
        if number == 0 {
            first_line(content, &mut out);
        } else if content.starts_with([' ', '\t']) || content.is_empty() {
            treat.apply(content, &mut out);
        } else {
            let (name, value) = content.split_once(':').unwrap_or(("", content));
            let known = name.trim().to_ascii_lowercase();
            treat = Treat::of(&known);
            let is_type = known == "content-type" || known == "c";
            is_sdp |= is_type && value.trim().eq_ignore_ascii_case("application/sdp");
            if name.len() < content.len() {
                out.push_str(&content[..content.len() - value.len()]);
            }
            treat.apply(value, &mut out);
        }
        out.push_str(&line[content.len()..]);
    }
    match is_sdp {
        true => description(body, &mut out),
        false => whole(body, &mut out),
    }
    for number in numbers {
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        if digits.len() >= 3 {
            out = out.replace(&digits, &MASK.to_string().repeat(digits.len()));
        }
    }
    out
}

/// How the value of a header is shown.
#[derive(Clone, Copy)]
enum Treat {
    Plain,
    Uri,
    Whole,
}

impl Treat {
    fn of(name: &str) -> Self {
        if PLAIN.contains(&name) {
            Self::Plain
        } else if WITH_URI.contains(&name) {
            Self::Uri
        } else {
            Self::Whole
        }
    }

    fn apply(self, value: &str, out: &mut String) {
        match self {
            Self::Plain => without_numbers(value, out),
            Self::Uri => without_users(value, out),
            Self::Whole => whole(value, out),
        }
    }
}

/// Of a request its URI; of a response the phrase may be anything.
fn first_line(line: &str, out: &mut String) {
    match line.starts_with("SIP/2.0") {
        true => without_numbers(line, out),
        false => {
            let (method, rest) = line.split_once(' ').unwrap_or((line, ""));
            out.push_str(method);
            out.push_str(&line[method.len()..line.len() - rest.len()]);
            without_users(rest, out);
        }
    }
}

/// Masks letters and digits, octet by octet, and leaves what stands between them.
fn whole(text: &str, out: &mut String) {
    for c in text.chars() {
        match c.is_alphanumeric() {
            true => out.extend(std::iter::repeat_n(MASK, c.len_utf8())),
            false => out.push(c),
        }
    }
}

/// Masks digits of which many stand in a row.
fn without_numbers(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        let end = from.find(|c: char| !c.is_ascii_digit());
        let (digits, after) = from.split_at(end.unwrap_or(from.len()));
        out.push_str(before);
        // Parts of random words, such as of a branch, are no numbers.
        let joins = |c: char| c.is_alphanumeric();
        let is_part = before.ends_with(joins) || after.starts_with(joins);
        match digits.len() >= NUMBER && !is_part {
            true => whole(digits, out),
            false => out.push_str(digits),
        }
        rest = after;
    }
    out.push_str(rest);
}

/// Of each URI the user, of a telephone URI the number, and what stands outside of URIs but parameters of the header.
fn without_users(value: &str, out: &mut String) {
    let mut rest = value;
    while let Some((at, scheme)) = next_uri(rest) {
        whole(&rest[..at], out);
        let uri = &rest[at + scheme.len()..];
        out.push_str(&rest[at..at + scheme.len()]);
        let end = uri.find(['>', ' ', '\t', '"']).unwrap_or(uri.len());
        let (uri, after) = uri.split_at(end);
        match uri.find('@').filter(|_| scheme != "tel:") {
            Some(host) => {
                whole(&uri[..host], out);
                host_and_parameters(&uri[host..], out);
            }
            None if scheme == "tel:" => whole(uri, out),
            None => host_and_parameters(uri, out),
        }
        // Behind `>` come parameters, until the next value.
        let end = after.find(',').unwrap_or(after.len());
        let (parameters, next) = after.split_at(end);
        host_and_parameters(parameters, out);
        rest = next;
    }
    whole(rest, out);
}

/// A host and what follows it: only parameters that name nobody keep their values.
fn host_and_parameters(text: &str, out: &mut String) {
    const KEPT: [&str; 10] = [
        "tag",
        "transport",
        "lr",
        "user",
        "branch",
        "maddr",
        "ob",
        "rport",
        "expires",
        "index",
    ];
    let mut parts = text.split(';');
    // Headers of a URI may name anybody.
    let host = parts.next().unwrap_or_default();
    let (host, headers) = host.split_at(host.find('?').unwrap_or(host.len()));
    out.push_str(host);
    whole(headers, out);
    for part in parts {
        out.push(';');
        let name = part.split(['=', '>']).next().unwrap_or_default().trim();
        match KEPT.iter().any(|kept| name.eq_ignore_ascii_case(kept)) && !part.contains('?') {
            true => without_numbers(part, out),
            false => {
                out.push_str(name);
                whole(&part[part.find(name).unwrap_or(0) + name.len()..], out);
            }
        }
    }
}

/// Where the next URI begins, and its scheme.
fn next_uri(text: &str) -> Option<(usize, &str)> {
    let lower = text.to_ascii_lowercase();
    let found = ["sip:", "sips:", "tel:"].iter().filter_map(|scheme| {
        let at = lower.find(scheme)?;
        Some((at, text.get(at..at + scheme.len())?))
    });
    found.min_by_key(|(at, _)| *at)
}

/// A description of media: whoever is named in it is not.
fn description(body: &str, out: &mut String) {
    for line in body.split_inclusive('\n') {
        let content = line.trim_end_matches(['\r', '\n']);
        match content.get(..2) {
            Some("o=") => {
                let name = content.find(' ').unwrap_or(content.len());
                out.push_str("o=");
                whole(&content[2..name], out);
                out.push_str(&content[name..]);
            }
            Some(letter @ ("s=" | "i=" | "u=" | "e=" | "p=")) => {
                out.push_str(letter);
                whole(&content[2..], out);
            }
            _ => out.push_str(content),
        }
        out.push_str(&line[content.len()..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_named_and_what_a_message_does_stays() {
        let body = "v=0\r\no=+493023125000 20001 1 IN IP4 192.0.2.1\r\ns=Alice\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                    m=audio 40000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n";
        let text = format!(
            "INVITE sip:+14255550100;ext=12@sbc.example.com:5061;user=phone SIP/2.0\r\n\
             Via: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bK1234567890\r\n\
             From: \"Alice Ä. Example\" <sip:+493023125000@192.0.2.1>;tag=abc1234567\r\n\
             t: <tel:+1-425-555-0100;phone-context=+1>\r\n\
             Call-ID: 493023125000-1@192.0.2.1\r\nCSeq: 1 INVITE\r\n\
             Contact: sip:alice@192.0.2.1;transport=tls\r\n\
             P-Asserted-Identity: <sip:bob@example.com>, <tel:+15550123>\r\n\
             Identity: eyJhbGciOiJFUzI1NiJ9.eyJkZXN0Ijp7InRuIjpbIjE0MjU1NTUwMTAwIl19fQ\r\n\
             X-Customer: 0049 30 23125000\r\n folded bob\r\n\
             History-Info: <sip:carol@example.com?Reason=SIP%3Bcause%3D302>;index=1\r\n\
             Warning: 399 host \"no route to 14255550100\"\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let shown = masked(
            &text,
            &["+493023125000".to_owned(), "+14255550100".to_owned()],
        );
        assert_eq!(shown.len(), text.len(), "{shown}");
        for named in [
            "3023125000",
            "4255550100",
            "425-555",
            "Alice",
            "alice",
            "bob",
            "carol",
            "eyJ",
            "15550123",
            "23125000",
            "ext=12",
            "302",
        ] {
            assert!(!shown.contains(named), "{named}\n{shown}");
        }
        for kept in [
            "INVITE sip:+x",
            " <sip:+x",
            "@sbc.example.com:5061;user=phone SIP/2.0\r\n",
            "branch=z9hG4bK1234567890",
            ";tag=abc1234567",
            "CSeq: 1 INVITE",
            "@192.0.2.1;transport=tls",
            ";index=1",
            "m=audio 40000 RTP/AVP 8",
            " 20001 1 IN IP4 192.0.2.1",
            "399 host \"no route to ",
            "\r\n\r\nv=0",
        ] {
            assert!(shown.contains(kept), "{kept}\n{shown}");
        }
    }

    #[test]
    fn a_body_of_another_kind_and_what_is_no_message_are_masked_whole() {
        let text = "MESSAGE sip:a@example.com SIP/2.0\r\nc: text/plain\r\nl: 9\r\n\r\ncall me 1";
        let shown = masked(text, &[]);
        assert!(
            shown.ends_with("\r\n\r\nxxxx xx x") && !shown.contains("sip:a@"),
            "{shown}"
        );
        assert_eq!(
            masked("SIP/2.0 404 no 14255550100", &[]),
            "SIP/2.0 404 no xxxxxxxxxxx"
        );
        for odd in [
            "",
            "\r\n\r\n",
            ":",
            "INVITE",
            "a\nb:c\n d",
            "From: sip:",
            "x\r\nFrom: tel:;?@<>\"ä\r\n\r\n",
        ] {
            assert_eq!(masked(odd, &["12".to_owned()]).len(), odd.len(), "{odd:?}");
        }
    }
}
