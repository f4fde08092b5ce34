//! `causeway sip parse` and `causeway sdp parse`: what a message or a description says, and what
//! this product does with it.

use super::form::Output;
use crate::command::exit;
use clap::Args;
use sbc_core::sdp::explain as sdp;
use sbc_core::sip::Limits;
use sbc_core::sip::explain as sip;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Largest input that is read: more than any message may have.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// What to read and how to print.
#[derive(Args, Clone, Debug)]
pub struct Parse {
    /// File with the bytes as on the wire; "-" reads standard input
    pub file: PathBuf,
    /// How it is printed
    #[command(flatten)]
    pub output: Output,
}

/// `causeway sip parse`.
///
/// # Errors
/// If the output cannot be written.
pub fn sip(arguments: &Parse, out: &mut dyn Write) -> io::Result<u8> {
    let bytes = match read(&arguments.file) {
        Ok(bytes) => bytes,
        Err(why) => {
            eprintln!("causeway: {}: {why}", arguments.file.display());
            return Ok(exit::USAGE);
        }
    };
    let told = sip::explain_text(bytes.into(), &Limits::default());
    if !arguments.output.is_table() {
        arguments.output.print(&told, out)?;
    } else {
        print_sip(&told, out)?;
    }
    Ok(match told.verdict {
        sip::Verdict::Valid => exit::OK,
        sip::Verdict::Invalid => exit::INVALID,
    })
}

/// `causeway sdp parse`.
///
/// # Errors
/// If the output cannot be written.
pub fn sdp(arguments: &Parse, out: &mut dyn Write) -> io::Result<u8> {
    let bytes = match read(&arguments.file) {
        Ok(bytes) => bytes,
        Err(why) => {
            eprintln!("causeway: {}: {why}", arguments.file.display());
            return Ok(exit::USAGE);
        }
    };
    let told = sdp::explain(&bytes);
    if !arguments.output.is_table() {
        arguments.output.print(&told, out)?;
    } else {
        write!(out, "{told}")?;
    }
    Ok(if told.is_valid() {
        exit::OK
    } else {
        exit::INVALID
    })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        io::stdin().lock().take(MAX_BYTES).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(path)?
            .take(MAX_BYTES)
            .read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn print_sip(told: &sip::Explanation, out: &mut dyn Write) -> io::Result<()> {
    let verdict = match told.verdict {
        sip::Verdict::Valid => "valid",
        sip::Verdict::Invalid => "invalid",
    };
    let kind = match told.kind {
        sip::Kind::Request => "request",
        sip::Kind::Response => "response",
        sip::Kind::Unknown => "message",
    };
    writeln!(out, "verdict   {verdict} {kind}")?;
    if !told.start_line.is_empty() {
        writeln!(out, "line      {}", told.start_line)?;
    }
    match &told.reaction {
        sip::Treatment::Accepts => writeln!(out, "reaction  accepted")?,
        sip::Treatment::Answers {
            status,
            phrase,
            because,
            fault,
        } => {
            writeln!(out, "reaction  answered with {status} {phrase}: {because}")?;
            print_place(fault.as_ref(), out)?;
        }
        sip::Treatment::Drops { because, fault } => {
            writeln!(out, "reaction  dropped: {because}")?;
            print_place(fault.as_ref(), out)?;
        }
    }
    for warning in &told.warnings {
        writeln!(out, "warning   {}", warning.text)?;
        writeln!(out, "          at {}", warning.place)?;
    }
    writeln!(out)?;
    for header in &told.headers {
        let name = if header.name.eq_ignore_ascii_case(&header.canonical) {
            header.canonical.clone()
        } else {
            format!("{} ({})", header.canonical, header.name)
        };
        writeln!(out, "{name}: {}", header.raw)?;
        if header.folded {
            writeln!(out, "    written over several lines")?;
        }
        print_fault(header.fault.as_ref(), out)?;
        for value in &header.values {
            for field in &value.fields {
                writeln!(out, "    {:16} {}", field.name, field.value)?;
            }
        }
    }
    for part in &told.body {
        let kind = match part.content_type.as_str() {
            "" => "unknown type",
            kind => kind,
        };
        writeln!(out, "\nbody      {kind}, {} octets", part.octets)?;
    }
    if let Some(fault) = &told.body_fault {
        writeln!(out, "\nbody")?;
        print_fault(Some(fault), out)?;
    }
    Ok(())
}

/// The place alone, below a line that says what is wrong.
fn print_place(fault: Option<&sip::Fault>, out: &mut dyn Write) -> io::Result<()> {
    match fault.and_then(|fault| fault.place) {
        Some(place) => writeln!(out, "          at {place}"),
        None => Ok(()),
    }
}

fn print_fault(fault: Option<&sip::Fault>, out: &mut dyn Write) -> io::Result<()> {
    match fault {
        Some(fault) => writeln!(out, "    fault: {fault}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &str = "OPTIONS sip:sbc.example.com SIP/2.0\n\
        Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nFrom: <sip:a@example.com>;tag=1\n\
        To: <sip:sbc.example.com>\nCall-ID: 1\nCSeq: 1 OPTIONS\nMax-Forwards: 70\n\
        Content-Length: 0\n\n";

    fn run(
        text: &str,
        json: bool,
        parse: fn(&Parse, &mut dyn Write) -> io::Result<u8>,
    ) -> (u8, String) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let arguments = Parse {
            file: file.path().to_owned(),
            output: match json {
                true => Output::JSON,
                false => Output::default(),
            },
        };
        let mut out = Vec::new();
        let code = parse(&arguments, &mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_valid_message_is_told_header_by_header_and_exits_0() {
        let (code, text) = run(OPTIONS, false, sip);
        assert_eq!(code, exit::OK, "{text}");
        assert!(text.starts_with("verdict   valid request\n"), "{text}");
        let (_, text) = run(OPTIONS, true, sip);
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(told["verdict"], "valid");
    }

    #[test]
    fn a_broken_message_names_the_fault_and_exits_3() {
        let (code, text) = run(&OPTIONS.replace("CSeq: 1", "CSeq: x"), false, sip);
        assert_eq!(code, exit::INVALID);
        assert!(text.contains("CSeq") && text.contains("400"), "{text}");
        assert!(text.contains("at line 6, column 7, octet "), "{text}");
    }

    #[test]
    fn an_empty_file_and_line_feeds_alone_are_told() {
        let (code, text) = run("", false, sip);
        assert_eq!(code, exit::INVALID);
        assert!(text.contains("the input is empty"), "{text}");
        assert!(!text.contains("line      "), "{text}");
        let (_, text) = run(OPTIONS, false, sip);
        assert!(text.contains("warning   lines end with LF alone"), "{text}");
        assert!(text.contains("at line 1, "), "{text}");
    }

    #[test]
    fn no_rule_is_named_that_only_we_know() {
        let long = format!("v=0\r\na={}\r\n", "x".repeat(70_000));
        let odd = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 a.example.com\r\nt=0 0\r\n\
                   m=audio 4000 RTP/AVP 8\r\na=ptime:200\r\na=crypto:x\r\n\
                   a=crypto:1 AES_CM_128_HMAC_SHA1_80 \
                   inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|1:1\r\n";
        let many = format!("{odd}{}", "m=audio 4000 RTP/AVP 8\r\n".repeat(20));
        for body in [long.as_str(), odd, &many] {
            let (_, text) = run(body, true, sdp);
            assert!(!text.contains("SIP-") && !text.contains("MED-"), "{text}");
        }
    }

    #[test]
    fn a_description_is_explained_and_garbage_is_invalid() {
        let body = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 RTP/AVP 8\n";
        assert_eq!(run(body, false, sdp).0, exit::OK);
        assert_eq!(run("nonsense", true, sdp).0, exit::INVALID);
    }

    #[test]
    fn a_missing_file_is_wrong_use() {
        let arguments = Parse {
            file: "/nonexistent/message.sip".into(),
            output: Output::default(),
        };
        assert_eq!(sip(&arguments, &mut Vec::new()).unwrap(), exit::USAGE);
    }
}
