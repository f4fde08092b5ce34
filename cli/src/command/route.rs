//! `causeway route test`: what would become of a call, rule by rule, and the INVITE that results.

use super::form::Output;
use crate::command::exit;
use crate::config::{Host, read_sources};
use crate::misspelt::unknown;
use sbc_core::config::{CallIn, Findings, parse_header};
use sbc_core::id::{ListenerName, TrunkName};
use sbc_core::rehearsal::{self, Played, Tried, Undescribed};
use sbc_core::sip::Message;
use sbc_core::time::UnixTime;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Arguments of `causeway route test`.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct Test {
    /// Calling number, or a whole From
    #[arg(long)]
    pub from: String,
    /// Called number, or a whole To
    #[arg(long)]
    pub to: String,
    /// Trunk that the call comes in on
    #[arg(long, required_unless_present = "source")]
    pub trunk: Option<String>,
    /// Address that the call comes from
    #[arg(long)]
    pub source: Option<IpAddr>,
    /// Listener that the call arrives at
    #[arg(long)]
    pub listener: Option<String>,
    /// Request-URI, where To does not say it
    #[arg(long)]
    pub request_uri: Option<String>,
    /// Further header of the call; may be given several times
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// File with further headers of the call, one a line, such as the head of an INVITE
    #[arg(long = "headers", value_name = "FILE")]
    pub headers_file: Option<PathBuf>,
    /// Codec that is offered; may be given several times
    #[arg(long = "codec", value_name = "NAME")]
    pub codecs: Vec<String>,
    /// What Microsoft says of the called user, such as Busy/InACall or Available
    #[arg(long, value_name = "AVAILABILITY/ACTIVITY")]
    pub presence: Option<String>,
    /// When the call comes, such as 2027-03-26T09:00:00+01:00; without it, now
    #[arg(long, value_parser = moment)]
    pub time: Option<UnixTime>,
    /// Main file; conf.d/*.toml beside it belong to it
    #[arg(short = 'f', long, default_value = "/etc/causeway/causeway.toml")]
    pub config: PathBuf,
    /// How it is printed
    #[command(flatten)]
    pub output: Output,
}

/// Plays the call with the core that serves calls. Returns 0 if it would go out, 5 if it would be
/// refused or dropped, or there is no such trunk, 3 if the configuration is not valid, 2 if no call can be made of the arguments.
///
/// # Errors
/// If the output cannot be written.
pub fn test(arguments: &Test, out: &mut dyn Write) -> io::Result<u8> {
    // The tests of the configuration are not played: this is how one finds out why one of them fails.
    let loaded = read_sources(&arguments.config)
        .and_then(|sources| sbc_core::config::load(&sources, &Host, None));
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(findings) => {
            refused_configuration(&findings, arguments.output, out)?;
            return Ok(exit::of_refused(&arguments.config, &findings));
        }
    };
    let more = match arguments.headers_file.as_deref().map(lines_of).transpose() {
        Ok(more) => more.unwrap_or_default(),
        Err(why) => {
            eprintln!("causeway: {why}");
            return Ok(exit::USAGE);
        }
    };
    let call = match described(arguments, &more) {
        Ok(call) => call,
        Err(header) => {
            eprintln!(
                "causeway: \"{}\" is no header; write --header \"Name: value\"",
                header.escape_debug()
            );
            return Ok(exit::USAGE);
        }
    };
    let config = Arc::new(loaded.config);
    let played = match rehearsal::play(&config, &call) {
        Ok(played) => played,
        Err(why) => {
            return Ok(match &why {
                Undescribed::UnknownTrunk(name) => {
                    let trunks = config.trunks.keys().map(|own| own.as_str());
                    eprintln!("causeway: {}", unknown("there is no trunk", name, trunks));
                    exit::REFUSED
                }
                Undescribed::UnknownListener(_) => {
                    eprintln!("causeway: {why}");
                    exit::REFUSED
                }
                _ => {
                    eprintln!("causeway: {why}");
                    exit::USAGE
                }
            });
        }
    };
    match arguments.output.is_table() {
        false => arguments.output.print(&as_json(&played), out)?,
        true => print(&played, out)?,
    }
    Ok(match played.tries.is_empty() {
        true => exit::REFUSED,
        false => exit::OK,
    })
}

/// The time by the clock of this host.
pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = since.map_or(0, |since| since.as_micros());
    UnixTime::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

/// A time as it is written at a command or in a request.
pub(crate) fn moment(text: &str) -> Result<UnixTime, String> {
    UnixTime::of_offset(text)
        .ok_or_else(|| "write such as 2027-03-26T08:00:00Z or 2027-03-26T09:00:00+01:00".to_owned())
}

/// Octets of a file with headers.
const MOST: u64 = 64 * 1024;

/// The headers of a file, one a line; those of a message end at its first empty line, and a request line is none of them.
fn lines_of(path: &Path) -> Result<Vec<String>, String> {
    let unreadable = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let facts = std::fs::metadata(path).map_err(|why| unreadable(&why))?;
    if facts.len() > MOST {
        return Err(unreadable(&"it is larger than 64 KiB"));
    }
    let text = std::fs::read_to_string(path).map_err(|why| unreadable(&why))?;
    let mut all: Vec<String> = Vec::new();
    let lines = text.trim_start().lines();
    for line in lines.take_while(|line| !line.trim().is_empty()) {
        match (line.strip_prefix([' ', '\t']), all.last_mut()) {
            // Folded.
            (Some(rest), Some(before)) => {
                before.push(' ');
                before.push_str(rest.trim());
            }
            _ if line.trim_end().ends_with(" SIP/2.0") => {}
            _ => all.push(line.trim().to_owned()),
        }
    }
    Ok(all)
}

fn described<'a>(arguments: &'a Test, more: &'a [String]) -> Result<CallIn, &'a str> {
    let mut headers = Vec::new();
    for line in arguments.headers.iter().chain(more) {
        headers.push(parse_header(line).ok_or(line.as_str())?);
    }
    Ok(CallIn {
        trunk: arguments.trunk.as_deref().map(TrunkName::new),
        source: arguments.source,
        listener: arguments.listener.as_deref().map(ListenerName::new),
        from: arguments.from.clone(),
        to: arguments.to.clone(),
        request_uri: arguments.request_uri.clone(),
        headers,
        codecs: arguments.codecs.clone(),
        presence: arguments.presence.clone(),
        time: Some(arguments.time.unwrap_or_else(now)),
    })
}

fn refused_configuration(
    findings: &Findings,
    output: Output,
    out: &mut dyn Write,
) -> io::Result<()> {
    if !output.is_table() {
        let report = serde_json::json!({ "valid": false, "errors": findings.errors });
        return output.print(&report, out);
    }
    writeln!(out, "{}", findings.to_text())
}

fn print(played: &Played, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "comes in from {} over {}",
        played.source, played.protocol
    )?;
    message(&played.invite, out)?;
    writeln!(out, "\nrules")?;
    rules(&played.rules, out)?;
    for (at, tried) in played.tries.iter().enumerate() {
        let Tried {
            trunk,
            host,
            remote,
            protocol,
            ..
        } = tried;
        let number = at + 1;
        let more = match at {
            0 => "",
            _ => ", if those before cannot be reached",
        };
        writeln!(
            out,
            "\ngoes out ({number}) on trunk \"{trunk}\" to {host} [{remote}] over {protocol}{more}"
        )?;
        rules(&tried.rules, out)?;
        // What is the same as above tells nothing new.
        let is_first_of_trunk = played
            .tries
            .get(..at)
            .is_none_or(|earlier| earlier.iter().all(|one| one.trunk != *trunk));
        if is_first_of_trunk {
            message(&tried.message, out)?;
        }
    }
    if let Some(refusal) = &played.refusal {
        let what = match (refusal.status, played.dropped) {
            (Some(status), _) => format!("refused with {status}"),
            (None, Some(_)) => "dropped without an answer".to_owned(),
            (None, None) => "not answered".to_owned(),
        };
        let cause = refusal.cause.map(|cause| cause.as_str());
        let cause = cause.or(played.dropped.map(|why| why.as_str()));
        let cause = cause.map_or_else(String::new, |cause| format!(" ({cause})"));
        writeln!(out, "\n{what}{cause}")?;
        rules(&refusal.because.0, out)?;
    }
    Ok(())
}

fn rules(rules: &[String], out: &mut dyn Write) -> io::Result<()> {
    for rule in rules {
        writeln!(out, "  - {}", shown(rule))?;
    }
    Ok(())
}

fn message(message: &Message, out: &mut dyn Write) -> io::Result<()> {
    let text = String::from_utf8_lossy(message.bytes());
    for line in text.lines() {
        writeln!(out, "    {}", shown(line.trim_end()))?;
    }
    Ok(())
}

/// Text of the network or of arguments must not steer the operator's terminal.
fn shown(text: &str) -> String {
    text.chars().map(sbc_core::display::shown).collect()
}

/// Everything that is printed, as one object.
pub(crate) fn as_json(played: &Played) -> serde_json::Value {
    let text = |message: &Message| String::from_utf8_lossy(message.bytes()).into_owned();
    let tries: Vec<serde_json::Value> = played
        .tries
        .iter()
        .map(|tried| {
            serde_json::json!({
                "trunk": tried.trunk,
                "host": tried.host,
                "remote": tried.remote,
                "protocol": tried.protocol,
                "rules": tried.rules,
                "invite": text(&tried.message),
            })
        })
        .collect();
    let refusal = played.refusal.as_ref().map(|refusal| {
        serde_json::json!({
            "status": refusal.status,
            "cause": refusal.cause,
            "because": refusal.because,
        })
    });
    serde_json::json!({
        "source": played.source,
        "protocol": played.protocol,
        "received": text(&played.invite),
        "trunk": played.trunk,
        "tenant": played.tenant,
        "rules": played.rules,
        "tries": tries,
        "refusal": refusal,
        "dropped": played.dropped.map(|why| why.as_str()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_a_file_are_its_lines_up_to_the_first_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("invite");
        let text = "INVITE sip:+15550100@example.com SIP/2.0\r\nX-A: one,\r\n  two\r\nX-B: three\r\n\r\nv=0\r\n";
        std::fs::write(&path, text).unwrap();
        assert_eq!(lines_of(&path).unwrap(), ["X-A: one, two", "X-B: three"]);
        std::fs::write(&path, vec![b'x'; 65_537]).unwrap();
        assert!(lines_of(&path).unwrap_err().contains("64 KiB"));
        let why = lines_of(&folder.path().join("none")).unwrap_err();
        assert!(why.contains("none: "), "{why}");
    }

    #[test]
    fn a_codec_that_is_none_is_told_with_those_that_are() {
        let why = Undescribed::UnknownCodec("foo".to_owned()).to_string();
        assert!(why.contains("\"foo\"; there are PCMA, PCMU, "), "{why}");
    }
}
