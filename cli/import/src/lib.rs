//! Files of other products, and lists of numbers, as configuration: text in, TOML and findings out.
//!
//! Nothing here reads a file or asks the host. What could not be carried over is told with its line, never left
//! out in silence; memory is bounded by the limits below, whatever the text says.
#![forbid(unsafe_code)]

pub mod audiocodes;
mod claims;
pub mod dispatcher;
mod draft;
mod ini;
pub mod numbers;
mod pattern;
mod quoted;

use serde::Serialize;
use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

pub use draft::Draft;
pub use quoted::quoted;

/// Most octets of a file.
pub const MOST_BYTES: usize = 8 << 20;

/// Most lines of a file.
pub const MOST_LINES: usize = 200_000;

/// Most octets of a line.
pub const LONGEST_LINE: usize = 64 << 10;

/// Most notes that are kept; the others are counted.
pub const MOST_NOTES: usize = 1_000;

/// Something of the file that is not in the result, or that is there in another way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Note {
    /// Line of the file, from 1.
    pub line: usize,
    /// What it is.
    pub what: String,
    /// Why it was not carried over.
    pub why: String,
    /// What to do.
    pub help: String,
}

/// What came of a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Imported {
    /// The configuration.
    pub toml: String,
    /// What is not in it, in the order of lines.
    pub notes: Vec<Note>,
    /// Notes that were left out because there are too many.
    pub omitted: usize,
}

/// Why nothing came of a file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// More octets than [`MOST_BYTES`].
    #[error("the file has more than 8 MiB; split it, or name the right file")]
    TooLarge,
    /// More lines than [`MOST_LINES`].
    #[error("the file has more than {MOST_LINES} lines; split it")]
    TooManyLines,
    /// A line that is longer than [`LONGEST_LINE`].
    #[error("line {0} has more than {LONGEST_LINE} octets; this is no such file, or it is damaged")]
    LineTooLong(usize),
    /// More rows than are taken.
    #[error("line {line}: more than {most} rows of this kind; split the file")]
    TooManyRows {
        /// Line of the first row that is too many.
        line: usize,
        /// How many are taken.
        most: usize,
    },
    /// Text in two-octet units, as some editors of Windows write it.
    #[error("the file is UTF-16; save it as UTF-8")]
    Utf16,
    /// Not a single row of what was expected.
    #[error("nothing in the file is {0}; is it the right file?")]
    Nothing(&'static str),
}

/// The lines of a file with their numbers, without the ends of lines. What is not UTF-8 is read as Latin-1.
fn lines(octets: &[u8]) -> Result<Vec<(usize, Cow<'_, str>)>, Refused> {
    if octets.len() > MOST_BYTES {
        return Err(Refused::TooLarge);
    }
    if octets.starts_with(&[0xff, 0xfe]) || octets.starts_with(&[0xfe, 0xff]) {
        return Err(Refused::Utf16);
    }
    let octets = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets);
    let is_utf8 = std::str::from_utf8(octets).is_ok();
    let mut lines = Vec::new();
    for (index, line) in octets.split(|octet| *octet == b'\n').enumerate() {
        if index >= MOST_LINES {
            return Err(Refused::TooManyLines);
        }
        if line.len() > LONGEST_LINE {
            return Err(Refused::LineTooLong(index + 1));
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = match is_utf8 {
            true => String::from_utf8_lossy(line),
            false => line.iter().map(|octet| char::from(*octet)).collect(),
        };
        lines.push((index + 1, text));
    }
    Ok(lines)
}

/// `host`, `host:5060`, `[2001:db8::1]:5060`, a bare IPv6 address: host in lower case, and port.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let is_host = |host: &str| {
        let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        !host.is_empty() && host.len() <= 253 && host.chars().all(fit)
    };
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address.to_string(), None));
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inner, rest) = rest.split_once(']')?;
            let address = inner.parse::<Ipv6Addr>().ok()?;
            (address.to_string(), rest.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host.to_ascii_lowercase(), Some(port)),
            None => (text.to_ascii_lowercase(), None),
        },
    };
    let port = match port.map(str::parse::<u16>) {
        None => None,
        Some(Ok(0)) => None,
        Some(Ok(port)) => Some(port),
        Some(Err(_)) => return None,
    };
    (is_host(&host) || host.parse::<Ipv6Addr>().is_ok()).then_some((host, port))
}

/// A target as a trunk names it. An address has a port in any case, so that the same place has one name only; a name
/// without one is looked up by its services.
fn target(host: &str, port: Option<u16>, transport: &str) -> String {
    let usual = match transport {
        "tls" => 5061,
        _ => 5060,
    };
    let port = port.or_else(|| host.parse::<IpAddr>().ok().map(|_| usual));
    let host = match host.parse::<Ipv6Addr>() {
        Ok(address) => Cow::from(format!("[{address}]")),
        Err(_) => Cow::from(host),
    };
    match port {
        Some(port) => format!("{host}:{port};{transport}"),
        None => format!("{host};{transport}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(octets: &[u8]) -> Vec<String> {
        let lines = lines(octets).unwrap();
        lines.into_iter().map(|(_, text)| text.into()).collect()
    }

    #[test]
    fn an_address_has_one_name_with_and_without_its_usual_port() {
        for (host, port, transport, wanted) in [
            ("192.0.2.31", None, "udp", "192.0.2.31:5060;udp"),
            ("192.0.2.31", Some(5060), "udp", "192.0.2.31:5060;udp"),
            ("2001:db8::1", None, "tls", "[2001:db8::1]:5061;tls"),
            ("sip.example.net", None, "tls", "sip.example.net;tls"),
        ] {
            assert_eq!(target(host, port, transport), wanted);
        }
    }

    #[test]
    fn marks_line_ends_and_latin_1_are_taken_as_they_are_meant() {
        assert_eq!(texts(b"\xef\xbb\xbfa\r\nb\n"), ["a", "b", ""]);
        assert_eq!(texts(b"M\xfcnchen\r\n"), ["München", ""]);
        assert_eq!(texts("München".as_bytes()), ["München"]);
        assert_eq!(lines(b"\xff\xfea\0"), Err(Refused::Utf16));
    }

    #[test]
    fn what_is_too_large_is_refused_with_its_place() {
        assert_eq!(lines(&vec![b'\n'; MOST_BYTES + 1]), Err(Refused::TooLarge));
        assert_eq!(lines(&vec![b'\n'; MOST_LINES]), Err(Refused::TooManyLines));
        let mut text = b"a\n".to_vec();
        text.resize(LONGEST_LINE + 3, b'x');
        assert_eq!(lines(&text), Err(Refused::LineTooLong(2)));
    }
}
