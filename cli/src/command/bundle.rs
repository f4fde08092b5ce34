//! `causeway bundle`: what somebody needs who is to help, as one archive.

use super::capture::write;
use super::exit;
use super::node::{Connection, asked};
use crate::config::secrecy::Hidden;
use crate::config::{Host, load, read_sources};
use clap::Args;
use sbc_core::config::{Facts, effective};
use serde::Deserialize;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where to write, and whom to ask.
#[derive(Args, Clone, Debug)]
pub struct Bundle {
    /// A new file, such as support.tar; - writes to the standard output
    pub file: PathBuf,
    /// Main file, which is shown if no daemon answers; conf.d/*.toml beside it belong to it
    #[arg(short = 'f', long, default_value = "/etc/causeway/causeway.toml")]
    pub config: PathBuf,
    /// The daemon
    #[command(flatten)]
    pub connection: Connection,
}

/// What the daemon has gathered.
#[derive(Deserialize)]
struct Gathered {
    files: Vec<Part>,
    left_out: Vec<String>,
    hidden: usize,
}

#[derive(Deserialize)]
struct Part {
    name: String,
    text: String,
}

/// Octets of a header of the archive, and of what all in it is filled up to.
const BLOCK: usize = 512;

/// `causeway bundle`. Where no daemon answers, the archive has what can be known without one, and the exit code says so.
///
/// # Errors
/// If the archive cannot be written.
pub fn run(wish: &Bundle, out: &mut dyn Write) -> io::Result<u8> {
    let (mut gathered, code) = match asked(&wish.connection, "/bundle") {
        Ok(answer) => {
            let read = serde_json::from_str::<Gathered>(&answer);
            (read.map_err(io::Error::other)?, exit::OK)
        }
        Err(exit::UNREACHABLE) => (without_daemon(&wish.config), exit::UNREACHABLE),
        Err(code) => return Ok(code),
    };
    let part = |name: &str, text: String| Part {
        name: name.to_owned(),
        text,
    };
    gathered.files.push(part("host.txt", host()));
    let summary = summary(&gathered);
    gathered
        .files
        .insert(0, part("contents.txt", summary.clone()));
    let mut archive = Vec::new();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    for part in &gathered.files {
        file(
            &mut archive,
            &format!("causeway/{}", part.name),
            &part.text,
            now,
        )?;
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    let written = write(&wish.file, &archive, out)?;
    if written != exit::OK || wish.file == Path::new("-") {
        return Ok(written.max(code));
    }
    out.write_all(summary.as_bytes())?;
    Ok(code)
}

/// What is in it.
fn summary(gathered: &Gathered) -> String {
    let mut text = String::from(
        "Telephone numbers, names and addresses of calls are in this archive: give it to nobody who may not see them.\n",
    );
    for why in &gathered.left_out {
        let _ = writeln!(text, "left out: {why}");
    }
    let _ = match gathered.hidden {
        0 => writeln!(text, "no secret of the configuration was found in it"),
        found => writeln!(
            text,
            "a secret of the configuration was found in it {found} times and hidden: please report that as a fault"
        ),
    };
    text
}

/// The configuration, and what is wrong with it.
fn without_daemon(config: &Path) -> Gathered {
    let mut text = String::new();
    let read = read_sources(config);
    let shown = read.as_ref().map(|sources| {
        let loaded = load(sources, None)?;
        Ok(serde_json::to_string_pretty(&effective(sources, &loaded)).unwrap_or_default())
    });
    let _ = match shown {
        Ok(Ok(shown)) => writeln!(text, "{shown}"),
        Ok(Err(findings)) => {
            let findings: sbc_core::config::Findings = findings;
            writeln!(text, "{}", findings.to_text())
        }
        Err(findings) => writeln!(text, "{}", findings.to_text()),
    };
    let hidden = Hidden::of(&read.unwrap_or_default()).hide(&mut text);
    Gathered {
        files: vec![Part {
            name: "configuration.txt".to_owned(),
            text,
        }],
        left_out: vec![
            "all that the daemon knows: none answers. Its last lines: journalctl -u causeway -n 1000".to_owned(),
        ],
        hidden,
    }
}

/// What the machine is, as far as its files tell.
fn host() -> String {
    const FILES: [&str; 15] = [
        "/etc/os-release",
        "/proc/version",
        "/proc/uptime",
        "/proc/loadavg",
        "/proc/meminfo",
        "/proc/net/dev",
        "/proc/net/snmp",
        "/proc/sys/net/core/rmem_max",
        "/proc/sys/net/core/wmem_max",
        "/proc/sys/net/core/netdev_max_backlog",
        "/proc/sys/net/ipv4/ip_local_port_range",
        "/proc/sys/net/ipv4/ip_local_reserved_ports",
        "/proc/sys/net/netfilter/nf_conntrack_max",
        "/proc/sys/fs/nr_open",
        "/sys/devices/system/clocksource/clocksource0/current_clocksource",
    ];
    let mut text = String::new();
    let addresses: Vec<String> = Host.addresses().iter().map(ToString::to_string).collect();
    let _ = writeln!(text, "== addresses\n{}\n", addresses.join("\n"));
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let _ = writeln!(text, "== processors\n{processors}\n");
    for path in FILES {
        let read = fs::read_to_string(path).unwrap_or_else(|why| why.to_string());
        let _ = writeln!(text, "== {path}\n{}\n", read.trim_end());
    }
    text
}

/// Appends a file to an archive in the form of POSIX.1-1988 (ustar).
fn file(archive: &mut Vec<u8>, name: &str, text: &str, at: u64) -> io::Result<()> {
    let mut header = [0; BLOCK];
    let mut put =
        |at: usize, field: &str| header[at..at + field.len()].copy_from_slice(field.as_bytes());
    if name.len() >= 100 {
        return Err(io::Error::other(format!("{name}: the name is too long")));
    }
    put(0, name);
    put(100, "0000600");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", text.len()));
    put(136, &format!("{at:011o}"));
    // The sum is over the header with blanks in its place.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\0");
    put(263, "00");
    let sum: u32 = header.iter().map(|octet| u32::from(*octet)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    archive.extend(header);
    archive.extend(text.as_bytes());
    archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_one_that_tar_reads() {
        let mut archive = Vec::new();
        file(&mut archive, "causeway/a.txt", "hello\n", 1_700_000_000).unwrap();
        file(&mut archive, "causeway/failed/b.txt", &"x".repeat(BLOCK), 0).unwrap();
        archive.resize(archive.len() + 2 * BLOCK, 0);
        assert_eq!(archive.len(), 6 * BLOCK);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.tar"), &archive).unwrap();
        let tar = std::process::Command::new("tar")
            .args(["-xf", "a.tar"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(tar.status.success(), "{tar:?}");
        let read = |name: &str| fs::read_to_string(folder.path().join("causeway").join(name));
        assert_eq!(read("a.txt").unwrap(), "hello\n");
        assert_eq!(read("failed/b.txt").unwrap().len(), BLOCK);
        assert!(file(&mut archive, &"n".repeat(100), "", 0).is_err());
    }

    #[test]
    fn without_a_daemon_the_archive_has_the_configuration_and_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let (config, archive) = (
            folder.path().join("causeway.toml"),
            folder.path().join("a.tar"),
        );
        fs::write(&config, "[node]\nid = 3\n").unwrap();
        let wish = Bundle {
            file: archive.clone(),
            config,
            connection: Connection {
                socket: folder.path().join("none.sock"),
                reason: None,
                output: Default::default(),
            },
        };
        let mut out = Vec::new();
        assert_eq!(run(&wish, &mut out).unwrap(), exit::UNREACHABLE);
        let text = String::from_utf8_lossy(&fs::read(&archive).unwrap()).into_owned();
        for wanted in [
            "causeway/contents.txt",
            "none answers",
            "error[E",
            "== /proc/meminfo",
        ] {
            assert!(text.contains(wanted), "{wanted}");
        }
        assert!(String::from_utf8(out).unwrap().contains("left out: "));
        // What is there is not overwritten.
        assert_eq!(run(&wish, &mut io::sink()).unwrap(), exit::REFUSED);
    }
}
