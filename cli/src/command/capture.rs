//! `causeway capture`: messages and media of calls as a file of packets.

use super::exit;
use super::node::{Connection, asked, get, post, quoted, wait};
use super::readable::plain;
use clap::{Args, Subcommand};
use sbc_core::sdp::base64_decode;
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What to do with captures.
#[derive(Subcommand, Clone, Debug)]
pub enum Capture {
    /// Take the messages of calls that begin from now on, and their media if they are asked for
    Start(Start),
    /// Take no more; what was taken stays until another one is started
    Stop,
    /// What is taken, and how much
    Status,
    /// Write what was taken so far as pcapng, decrypted and without secrets
    Fetch(Fetch),
}

/// What is to be taken. What is not said may be anything.
#[derive(Args, Clone, Debug)]
pub struct Start {
    /// Only calls that come from this trunk or go to it
    #[arg(long)]
    pub trunk: Option<String>,
    /// Only calls from or to numbers that begin so
    #[arg(long)]
    pub number: Option<String>,
    /// The first calls, 1 to 1000
    #[arg(long, default_value_t = 10, value_name = "CALLS")]
    pub max_calls: u32,
    /// For how long: 1s to 24h
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = wait)]
    pub ttl: u64,
    /// What of media: none, headers, or full, decrypted (of 50 calls at most)
    #[arg(long, value_name = "WHAT", default_value = "none")]
    pub rtp: String,
}

/// Where to write.
#[derive(Args, Clone, Debug)]
pub struct Fetch {
    /// A new file; - writes to the standard output
    pub file: PathBuf,
}

/// `causeway capture`.
///
/// # Errors
/// If the output cannot be written.
pub fn run(command: &Capture, to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    match command {
        Capture::Start(wish) => {
            let mut path = format!(
                "/capture?calls={}&seconds={}&rtp={}",
                wish.max_calls,
                wish.ttl,
                quoted(&wish.rtp)
            );
            for (name, value) in [("trunk", &wish.trunk), ("number", &wish.number)] {
                if let Some(value) = value {
                    path.push_str(&format!("&{name}={}", quoted(value)));
                }
            }
            post(to, &path, out)
        }
        Capture::Stop => post(to, "/capture/stop", out),
        Capture::Status => get(to, "/capture", out, |answer, out| {
            for (name, value) in answer.as_object().into_iter().flatten() {
                writeln!(out, "{}: {}", name.replace('_', " "), plain(value))?;
            }
            Ok(())
        }),
        Capture::Fetch(fetch) => {
            let answer = match asked(to, "/capture/fetch") {
                Ok(answer) => answer,
                Err(code) => return Ok(code),
            };
            packets(&answer, &fetch.file, out)
        }
    }
}

/// Writes the packets of an answer.
pub(super) fn packets(answer: &str, file: &Path, out: &mut dyn Write) -> io::Result<u8> {
    let answer: Value = serde_json::from_str(answer).unwrap_or(Value::Null);
    let octets = base64_decode(answer["pcapng"].as_str().unwrap_or_default().as_bytes());
    let octets = octets.ok_or_else(|| io::Error::other("the daemon's answer cannot be read"))?;
    write(file, &octets, out)
}

/// Writes octets into a new file for its owner alone, or to the standard output.
pub(super) fn write(file: &Path, octets: &[u8], out: &mut dyn Write) -> io::Result<u8> {
    if file == Path::new("-") {
        if io::stdout().is_terminal() {
            eprintln!("causeway: this is no text: name a file, or lead the output to a program");
            return Ok(exit::USAGE);
        }
        out.write_all(octets)?;
        return Ok(exit::OK);
    }
    // It has numbers and addresses of calls.
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file);
    let path = file.display();
    let mut made = match made {
        Ok(made) => made,
        Err(why) if why.kind() == ErrorKind::AlreadyExists => {
            eprintln!("causeway: {path} exists and was left as it is: name a new file");
            return Ok(exit::REFUSED);
        }
        Err(why) if why.kind() == ErrorKind::NotFound => {
            eprintln!("causeway: there is no directory for {path}");
            return Ok(exit::USAGE);
        }
        Err(why) if why.kind() == ErrorKind::PermissionDenied => {
            eprintln!("causeway: this user may not write {path}");
            return Ok(exit::REFUSED);
        }
        Err(why) => return Err(io::Error::new(why.kind(), format!("{path}: {why}"))),
    };
    let written = made.write_all(octets);
    written.map_err(|why| io::Error::new(why.kind(), format!("{path}: {why}")))?;
    writeln!(out, "{path}: {} octets", octets.len())?;
    Ok(exit::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_exists_is_left_as_it_is_and_one_without_a_directory_is_a_wrong_use() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.tar");
        let write = |file: &Path| write(file, b"x", &mut io::sink()).unwrap();
        assert_eq!(write(&file), exit::OK);
        std::fs::write(&file, "kept").unwrap();
        assert_eq!(write(&file), exit::REFUSED);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
        assert_eq!(write(&folder.path().join("none/a.tar")), exit::USAGE);
    }
}
