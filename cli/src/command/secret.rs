//! `causeway secret encrypt`: a secret as a credential of systemd, which this machine alone can open (SEC-130). What is
//! encrypted never stands in an argument, and nothing is written to a disk by us.

use super::exit;
use super::form::Output;
use clap::{Args, Subcommand};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde_json::json;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// What encrypts.
const PROGRAM: &str = "systemd-creds";
/// Exit code where whoever was asked does not want to any more.
const FAILED: u8 = 1;
/// Octets of a line that a terminal may have cut (N_TTY).
const LONGEST_TYPED: usize = 4095;
/// Octets of a secret.
const LONGEST: usize = 64 * 1024;

/// What to do with secrets.
#[derive(Subcommand, Clone, Debug)]
pub enum Secrets {
    /// Encrypt a secret for the service on this machine, and print what to write so that it is used
    Encrypt(Encrypt),
}

/// Which secret.
#[derive(Args, Clone, Debug)]
pub struct Encrypt {
    /// Name of the credential, as { credential = "NAME" } has it
    #[arg(value_parser = name)]
    pub name: String,
    /// Read the secret from this file; without it from the standard input. An end of line at its end is no part of it
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Form of what is printed
    #[command(flatten)]
    pub output: Output,
}

fn name(text: &str) -> Result<String, String> {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
    let is_fine =
        (1..=64).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(is_plain);
    match is_fine {
        true => Ok(text.to_owned()),
        false => Err(
            "use 1 to 64 letters, digits, \"-\", \"_\" and \".\", and no \".\" at the beginning"
                .to_owned(),
        ),
    }
}

/// `causeway secret`.
///
/// # Errors
/// If the output cannot be written.
pub fn run(command: &Secrets, out: &mut dyn Write) -> io::Result<u8> {
    let Secrets::Encrypt(arguments) = command;
    encrypt(arguments, Path::new(PROGRAM), out)
}

fn encrypt(arguments: &Encrypt, program: &Path, out: &mut dyn Write) -> io::Result<u8> {
    let secret = match &arguments.from {
        Some(path) => File::open(path)
            .and_then(|mut file| bounded(&mut file))
            .map_err(|why| (code_of(&why), format!("{}: {why}", path.display()))),
        None => typed().map_err(|why| (code_of(&why), format!("standard input: {why}"))),
    };
    let wrong = |why: String| Err((exit::USAGE, why));
    let secret = match secret {
        Ok(secret) if secret.is_empty() => wrong("there is no secret: nothing was read".to_owned()),
        Ok(secret) if secret.len() > LONGEST => {
            wrong(format!("a secret has {LONGEST} octets at most"))
        }
        other => other,
    };
    let secret = match secret {
        Ok(secret) => secret,
        Err((code, why)) => {
            eprintln!("causeway: {why}");
            return Ok(code);
        }
    };
    let line = match sealed(program, &arguments.name, &secret) {
        Ok(line) => line,
        Err(fault) => {
            eprintln!("causeway: {fault}");
            return Ok(exit::REFUSED);
        }
    };
    tell(arguments, &line, out)?;
    Ok(exit::OK)
}

/// What is not there, and what one may not read, are not the same.
fn code_of(why: &io::Error) -> u8 {
    match why.kind() {
        io::ErrorKind::PermissionDenied => exit::REFUSED,
        io::ErrorKind::Interrupted => FAILED,
        _ => exit::USAGE,
    }
}

/// Prints where the two parts belong.
fn tell(arguments: &Encrypt, line: &str, out: &mut dyn Write) -> io::Result<()> {
    let name = &arguments.name;
    let configuration = format!("{{ credential = \"{name}\" }}");
    let path = format!("/etc/systemd/system/causeway.service.d/credential-{name}.conf");
    let drop_in = format!("[Service]\n{line}\n");
    if !arguments.output.is_table() {
        let told = json!({ "configuration": configuration, "file": path, "drop_in": drop_in });
        return arguments.output.print(&told, out);
    }
    writeln!(
        out,
        "# In the configuration, in the place of the secret: {configuration}\n\
         # This into {path}, then: systemctl daemon-reload, and systemctl restart causeway, as systemd\n\
         # opens credentials at a start alone. No other machine can open it. causeway check, which does not run in the\n\
         # service, does not see it: it warns that it is not there.\n{drop_in}"
    )
}

/// Why nothing was encrypted.
#[derive(Debug)]
enum Fault {
    NotThere,
    NotRun(io::Error),
    Refused(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThere => write!(
                f,
                "{PROGRAM} is not on this machine: systemd has it from version 250 on, and it has to run where the service \
                 runs; without it, write {{ file = \"/etc/causeway/private/NAME\" }}, a file of mode 640 and group causeway"
            ),
            Self::NotRun(why) => write!(f, "{PROGRAM} cannot be run: {why}"),
            Self::Refused(why) => write!(
                f,
                "{PROGRAM} has not encrypted it: {why} (it needs root, for the key of this machine)"
            ),
        }
    }
}

/// The secret as a line of a unit, which systemd opens for the service.
fn sealed(program: &Path, name: &str, secret: &[u8]) -> Result<String, Fault> {
    let child = Command::new(program)
        .args(["encrypt", "--pretty", &format!("--name={name}"), "-", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.map_err(|why| match why.kind() {
        io::ErrorKind::NotFound => Fault::NotThere,
        _ => Fault::NotRun(why),
    })?;
    // It fits into the pipe, whether or not it is read. Who refuses it says why itself.
    let written = child.stdin.take().map(|mut to| to.write_all(secret));
    let done = child.wait_with_output().map_err(Fault::NotRun)?;
    let line = String::from_utf8_lossy(&done.stdout).trim_end().to_owned();
    let is_line = line.starts_with("SetCredentialEncrypted=");
    match done.status.success() && is_line && written.is_some_and(|written| written.is_ok()) {
        true => Ok(line),
        false => {
            let told = String::from_utf8_lossy(&done.stderr);
            let told: Vec<&str> = told.lines().map(str::trim).collect();
            Err(Fault::Refused(match told.join("; ") {
                none if none.is_empty() => done.status.to_string(),
                told => told,
            }))
        }
    }
}

/// What stands there, up to a bound, without the end of its last line.
fn bounded(from: &mut dyn Read) -> io::Result<Zeroizing<Vec<u8>>> {
    // In one piece from the start: what grows leaves copies behind.
    let mut octets = Zeroizing::new(Vec::with_capacity(LONGEST + 2));
    from.take(LONGEST as u64 + 2).read_to_end(&mut octets)?;
    without_end(&mut octets);
    Ok(octets)
}

fn without_end(octets: &mut Vec<u8>) {
    for end in [b'\n', b'\r'] {
        if octets.last() == Some(&end) {
            octets.pop();
        }
    }
}

/// What is typed, in one line that is not shown; or what somebody else writes.
fn typed() -> io::Result<Zeroizing<Vec<u8>>> {
    let input = io::stdin();
    if !input.is_terminal() {
        return bounded(&mut input.lock());
    }
    eprint!("secret (not shown): ");
    let shown = tcgetattr(&input)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    // Heard before nothing is shown: a signal in between would end us, and leave the terminal like that.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let line = runtime.block_on(async {
        let mut ends = Ends::new()?;
        tcsetattr(&input, OptionalActions::Flush, &hidden)?;
        let (tell, told) = oneshot::channel();
        // One of its own, which nobody waits for where it is not wanted any more.
        std::thread::spawn(move || tell.send(line()));
        let read = tokio::select! {
            line = told => line.unwrap_or_else(|_| Err(io::ErrorKind::UnexpectedEof.into())),
            () = ends.come() => Err(io::ErrorKind::Interrupted.into()),
        };
        tcsetattr(&input, OptionalActions::Flush, &shown)?;
        read
    });
    eprintln!();
    line
}

fn line() -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST + 2));
    let mut input = io::stdin().lock().take(LONGEST as u64 + 2);
    input.read_until(b'\n', &mut line)?;
    without_end(&mut line);
    whole(&line)?;
    Ok(line)
}

/// A terminal throws away what a line has too much, without a word.
fn whole(line: &[u8]) -> io::Result<()> {
    match line.len() < LONGEST_TYPED {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a terminal takes no longer line, and cuts it: write the secret into a file, and use --from FILE",
        )),
    }
}

/// Signals that end us.
struct Ends([Signal; 4]);

impl Ends {
    fn new() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
            signal(SignalKind::quit())?,
        ]))
    }

    async fn come(&mut self) {
        let [interrupt, terminate, hangup, quit] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = quit.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::form::Form;
    use std::os::unix::fs::PermissionsExt as _;

    /// A program that stands for that of systemd.
    fn program(folder: &Path, script: &str) -> PathBuf {
        let path = folder.join("creds");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn of(folder: &Path, text: &str) -> Encrypt {
        let path = folder.join("secret");
        std::fs::write(&path, text).unwrap();
        Encrypt {
            name: "contoso-digest".to_owned(),
            from: Some(path),
            output: Output::JSON,
        }
    }

    #[test]
    fn a_secret_is_handed_over_whole_and_what_comes_back_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let seen = at.join("seen");
        let program = program(
            at,
            &format!(
                "echo \"$@\" > {0}.arguments; cat > {0}\nprintf 'SetCredentialEncrypted=contoso-digest: \\\\\\n        QUJD\\n'",
                seen.display()
            ),
        );
        let mut out = Vec::new();
        let code = encrypt(&of(at, "open sesame\r\n"), &program, &mut out).unwrap();
        assert_eq!(code, exit::OK);
        assert_eq!(std::fs::read(&seen).unwrap(), b"open sesame");
        let arguments = std::fs::read_to_string(at.join("seen.arguments")).unwrap();
        assert_eq!(arguments, "encrypt --pretty --name=contoso-digest - -\n");
        let told: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(told["configuration"], "{ credential = \"contoso-digest\" }");
        assert_eq!(
            told["drop_in"],
            "[Service]\nSetCredentialEncrypted=contoso-digest: \\\n        QUJD\n"
        );
        // For people, whoever redirects it has a file of the service manager.
        let table = Encrypt {
            output: Output {
                output: Some(Form::Table),
                json: false,
            },
            ..of(at, "x")
        };
        let mut out = Vec::new();
        encrypt(&table, &program, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let plain: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(plain[0], "[Service]");
        assert!(text.contains("causeway.service.d/credential-contoso-digest.conf"));
    }

    #[test]
    fn a_line_that_a_terminal_may_have_cut_is_no_secret() {
        assert!(whole(&[b'x'; LONGEST_TYPED - 1]).is_ok());
        let why = whole(&[b'x'; LONGEST_TYPED]).unwrap_err();
        assert!(why.to_string().contains("--from FILE"), "{why}");
        assert_eq!(code_of(&why), exit::USAGE);
    }

    #[test]
    fn without_the_program_or_with_one_that_refuses_nothing_is_said_to_be_encrypted() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let code = |program: &Path, text: &str| {
            let mut out = Vec::new();
            let code = encrypt(&of(at, text), program, &mut out).unwrap();
            assert!(out.is_empty());
            code
        };
        assert_eq!(code(&at.join("none"), "x"), exit::REFUSED);
        let told = sealed(&at.join("none"), "a", b"x").unwrap_err().to_string();
        assert!(told.contains("is not on this machine"), "{told}");
        let refusing = program(at, "echo 'no key' >&2; exit 1");
        assert_eq!(code(&refusing, "x"), exit::REFUSED);
        let told = sealed(&refusing, "a", b"x").unwrap_err().to_string();
        assert!(told.contains("no key (it needs root"), "{told}");
        assert_eq!(code(&refusing, "\n"), exit::USAGE);
        // Who may not read it is refused; who names none has mistyped.
        assert_eq!(
            code_of(&io::ErrorKind::PermissionDenied.into()),
            exit::REFUSED
        );
        assert_eq!(code_of(&io::ErrorKind::NotFound.into()), exit::USAGE);
        assert_eq!(code(&refusing, &"x".repeat(LONGEST + 1)), exit::USAGE);
        for wrong in ["", ".hidden", "a/b", "a b", "ä"] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }
}
