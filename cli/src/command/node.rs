//! Commands that ask a running daemon: calls, status, reload, drain.

use super::capture::packets;
use super::check;
use super::csv::{self, Layout};
use super::export::Export;
use super::form::Output;
use super::pages::{Listed, get_all, get_so_many};
use super::progress;
use super::readable::{duration, plain, table};
use super::registration::books;
use super::sure::{Stake, is_meant};
use super::transfer::{self, Transfer};
use crate::client::{Answer, ClientFault, ask, send};
use crate::command::exit;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where the daemon listens, and how its answer is printed.
#[derive(Args, Clone, Debug)]
pub struct Connection {
    /// The daemon's operator socket
    #[arg(long, global = true, default_value = "/run/causeway/api.sock")]
    pub socket: PathBuf,
    /// What a change is for: the audit log tells it. 200 octets on one line
    #[arg(long, global = true, value_name = "TEXT")]
    pub reason: Option<String>,
    /// How its answer is printed
    #[command(flatten)]
    pub output: Output,
}

/// What to do with calls.
#[derive(Subcommand, Clone, Debug)]
pub enum Calls {
    /// List calls in progress, all or some
    List(progress::Wish),
    /// List calls that have ended, latest first
    Recent,
    /// List calls that failed and whose ladders are kept for that: the last 50 of each trunk
    Failed,
    /// Find records of calls in the spool, latest first
    Search(Search),
    /// Print the ladder of a call and, if it failed, who, where, why and what to change
    Show {
        /// The call, or the first or last digits of its identifier
        id: String,
        /// Print every message in full
        #[arg(long)]
        messages: bool,
    },
    /// Print the ladder of a call, also for programs (--output), wikis and browsers
    #[command(visible_alias = "ladder")]
    Trace(Trace),
    /// Write the messages of a call that goes on or was kept as pcapng, decrypted and without secrets
    Pcap {
        /// The call, or the first or last digits of its identifier
        id: String,
        /// A new file; - writes to the standard output
        file: PathBuf,
    },
    /// End a call
    Hangup {
        /// The call, or the first or last digits of its identifier
        id: String,
        /// Cause of Q.850 that its parties are told, such as 21 (call rejected); without it 31
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=127))]
        cause: Option<u8>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Call a number in the place of one party of a call, and say what comes of it
    Transfer(Transfer),
}

/// Whose ladder, and how it is printed.
#[derive(Args, Clone, Debug)]
pub struct Trace {
    /// The call, or the first or last digits of its identifier
    pub id: String,
    /// Print every message in full
    #[arg(long)]
    pub text: bool,
    /// As a page for a browser, without scripts
    #[arg(long, conflicts_with = "mermaid")]
    pub html: bool,
    /// As a sequence diagram of Mermaid
    #[arg(long, conflicts_with = "text")]
    pub mermaid: bool,
}

/// Which records are looked for. What is not said may be anything.
#[derive(Args, Clone, Debug)]
pub struct Search {
    /// Digits of the calling or called number
    #[arg(long)]
    pub number: Option<String>,
    /// A trunk, whichever way the calls went
    #[arg(long)]
    pub trunk: Option<String>,
    /// SIP Call-ID of any of its legs
    #[arg(long)]
    pub call_id: Option<String>,
    /// Session-ID, or one of its two parts
    #[arg(long)]
    pub session_id: Option<String>,
    /// Only calls that began then or later: 2026-08-01, or 2026-08-01T10:30:00Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only calls that began before that time, or on that day or before
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// So many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    pub limit: u16,
    /// Print CSV for spreadsheets, in our columns or those of others; numbers with + have ' before them, so that
    /// nothing is a formula
    #[arg(long, value_enum, value_name = "COLUMNS", num_args = 0..=1, require_equals = true,
          default_missing_value = "causeway")]
    pub csv: Option<Layout>,
}

/// What to do with records of calls.
#[derive(Subcommand, Clone, Debug)]
pub enum Cdr {
    /// Find records of calls in the spool, latest first: the same as call search
    Search(Search),
    /// Print all records of the spool, oldest first, as lines of JSON or CSV
    Export(Export),
    /// Print the record of each call that ends, as it ends
    Tail,
}

/// `causeway calls` and `causeway call`.
///
/// # Errors
/// If the output cannot be written.
pub fn calls(command: &Calls, to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    match command {
        Calls::List(wish) => progress::list(wish, to, out),
        Calls::Recent => get(to, "/calls/recent", out, |answer, out| {
            let rows = answer.as_array().map(Vec::as_slice).unwrap_or_default();
            if rows.is_empty() {
                return progress::none_recent(to, out);
            }
            let rows: Vec<Value> = rows.iter().map(recent_row).collect();
            table(&rows, &RECORD_COLUMNS, out)
        }),
        Calls::Failed => get_all(to, "/calls/failed", out, |answer, out| {
            let rows = answer.as_array().map(Vec::as_slice).unwrap_or_default();
            if rows.is_empty() {
                return writeln!(out, "no call has failed since the daemon was started");
            }
            let rows: Vec<Value> = rows.iter().map(recent_row).collect();
            table(&rows, &RECORD_COLUMNS, out)
        }),
        Calls::Search(wish) => {
            let Search {
                number,
                trunk,
                call_id,
                session_id,
                since,
                until,
                limit,
                csv,
            } = wish;
            if !to.output.is_table() && csv.is_some() {
                eprintln!("causeway: write --output, --json or --csv, not two of them");
                return Ok(exit::USAGE);
            }
            let mut path = "/records?".to_owned();
            for (name, value) in [
                ("number", number),
                ("trunk", trunk),
                ("call_id", call_id),
                ("session_id", session_id),
                ("since", since),
                ("until", until),
            ] {
                if let Some(value) = value {
                    path.push_str(&format!("{name}={}&", quoted(value)));
                }
            }
            if let Some(trunk) = trunk {
                progress::remark(to, trunk);
            }
            let list = Listed {
                path: &path,
                field: "records",
                is_turned: false,
            };
            get_so_many(to, &list, *limit, out, |answer, out| {
                let rows = answer["records"].as_array().map_or(&[][..], Vec::as_slice);
                let is_read = answer["is_read"].as_bool() != Some(false);
                if let Some(layout) = csv {
                    csv::write(*layout, rows, out)?;
                    // What is no record is told elsewhere.
                    return more(answer, is_read, &mut io::stderr());
                }
                if rows.is_empty() && is_read {
                    return writeln!(out, "no record in the spool is of such a call");
                }
                let rows: Vec<Value> = rows.iter().map(recent_row).collect();
                if !rows.is_empty() {
                    table(&rows, &RECORD_COLUMNS, out)?;
                }
                more(answer, is_read, out)
            })
        }
        Calls::Show { id, messages } => show(to, id, *messages, out),
        Calls::Trace(Trace {
            id,
            text,
            html,
            mermaid,
        }) => {
            let form = match (*html, *mermaid) {
                (true, _) => "html",
                (false, true) => "mermaid",
                (false, false) => "text",
            };
            let id = segment(id);
            shown(
                to,
                match to.output.is_table() {
                    false => format!("/calls/{id}/ladder?messages={text}"),
                    true => format!("/calls/{id}/trace?messages={text}&form={form}"),
                },
                out,
            )
        }
        Calls::Pcap { id, file } => {
            let path = format!("/calls/{}/pcap", segment(id));
            match text(to, &path) {
                Ok(answer) => packets(&answer, file, out),
                Err(code) => Ok(code),
            }
        }
        Calls::Hangup { id, cause, yes } => hang_up(to, (id, *cause), *yes, out),
        Calls::Transfer(wish) => transfer::run(wish, to, out),
    }
}

/// Says what a search has not shown.
fn more(answer: &Value, is_read: bool, out: &mut dyn Write) -> io::Result<()> {
    if answer["has_more"].as_bool() == Some(true) {
        writeln!(out, "there are more: say more of them, or raise --limit")?;
    }
    match is_read {
        true => Ok(()),
        false => writeln!(
            out,
            "older files of the spool were not read: one search reads the newest 256 MiB; look into them by grep"
        ),
    }
}

/// Says which call it is before it ends it: its first digits may be those of another.
fn hang_up(
    to: &Connection,
    (id, cause): (&str, Option<u8>),
    yes: bool,
    out: &mut dyn Write,
) -> io::Result<u8> {
    let id = segment(id);
    let call = match request(to, "GET", &format!("/calls/{id}")) {
        Ok(answer) => serde_json::from_str(&answer.body).unwrap_or(Value::Null),
        Err(code) => return Ok(code),
    };
    let text = |path: &str| plain(call.pointer(path).unwrap_or(&Value::Null));
    if text("/summary/state") == "ending" || !call["record"].is_null() {
        eprintln!("causeway: call {} has ended already", text("/call"));
        return Ok(exit::REFUSED);
    }
    let what = format!(
        "this ends call {} from {} to {} ({})",
        text("/call"),
        text("/summary/calling"),
        text("/summary/called"),
        text("/summary/state")
    );
    if !is_meant(&what, Stake::Calls, yes) {
        return Ok(exit::REFUSED);
    }
    let cause = cause.map_or_else(String::new, |cause| format!("?cause={cause}"));
    post(to, &format!("/calls/{id}/hangup{cause}"), out)
}

/// `causeway status`.
///
/// # Errors
/// If the output cannot be written.
pub fn status(to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    get(to, "/status", out, |answer, out| {
        let Some(fields) = answer.as_object() else {
            return Ok(());
        };
        for (name, value) in facts(fields) {
            writeln!(out, "{name:18} {value}")?;
        }
        let rows = |name: &str| fields.get(name).and_then(Value::as_array).cloned();
        let listeners = rows("listeners").unwrap_or_default();
        writeln!(out)?;
        table(&listeners, &["name", "protocol", "address"], out)?;
        match rows("peers").unwrap_or_default() {
            peers if peers.is_empty() => {}
            peers => {
                writeln!(out)?;
                table(&peers, &["trunk", "peer", "state"], out)?;
            }
        }
        let ours = rows("registrations").unwrap_or_default();
        let theirs = rows("bindings").unwrap_or_default();
        if !ours.is_empty() || !theirs.is_empty() {
            writeln!(out)?;
        }
        books(&ours, &theirs, out)
    })
}

/// `causeway media status`.
///
/// # Errors
/// If the output cannot be written.
pub fn media(to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    get(to, "/media", out, |answer, out| {
        let rows = answer.as_array().cloned().unwrap_or_default();
        table(&rows, &SERVED, out)
    })
}

/// What is shown of how an address of media is served.
pub(super) const SERVED: [&str; 6] = [
    "realm",
    "address",
    "interface",
    "backend",
    "dropped",
    "because",
];

/// What the node is, in the order in which it is asked for when something is wrong.
fn facts(fields: &Map<String, Value>) -> Vec<(&'static str, String)> {
    let text = |name: &str| plain(fields.get(name).unwrap_or(&Value::Null));
    let state = match text("state").as_str() {
        "draining" | "drained" if fields.get("restarts") == Some(&Value::Bool(true)) => {
            "draining, and started anew once no call is left; \"causeway undrain\" takes that back"
                .to_owned()
        }
        "draining" if text("calls") == "0" => {
            "draining: no call is left, and it waits for last answers, or until Teams prefers other SBCs; \
             \"causeway drain --off\" takes new calls again"
                .to_owned()
        }
        "draining" => "draining; \"causeway drain --off\" takes new calls again".to_owned(),
        "drained" => {
            "drained: nobody calls it any more and no call is left; stop it, or take new calls \
                      again with \"causeway drain --off\""
                .to_owned()
        }
        state => state.to_owned(),
    };
    let mut facts = vec![
        ("node", text("node")),
        ("version", text("version")),
        ("state", state),
    ];
    let reasons = fields.get("not_ready").and_then(Value::as_array);
    match reasons.map(Vec::as_slice).unwrap_or_default() {
        [] => facts.push(("ready", "yes".to_owned())),
        [first, rest @ ..] => {
            facts.push(("ready", format!("no: {}", plain(first))));
            facts.extend(rest.iter().map(|more| ("", format!("no: {}", plain(more)))));
        }
    }
    let left = fields.get("calls_end_seconds").and_then(Value::as_u64);
    facts.extend(left.map(|left| {
        (
            "calls end",
            format!("in {}, but those for help", duration(left)),
        )
    }));
    let degraded = fields.get("degraded").and_then(Value::as_array);
    let told = degraded.into_iter().flatten().map(plain);
    facts.extend(told.map(|told| ("degraded", told)));
    let lacking = fields.get("out_of_service").and_then(Value::as_array);
    if let Some(all @ [_, ..]) = lacking.map(Vec::as_slice) {
        let all: Vec<String> = all.iter().map(plain).collect();
        let told = format!(
            "{}: the secret is not there; write it and reload",
            all.join(", ")
        );
        facts.push(("out of service", told));
    }
    let uptime = fields.get("uptime_seconds").and_then(Value::as_u64);
    facts.extend([
        ("up for", uptime.map_or_else(|| "-".to_owned(), duration)),
        ("calls", text("calls")),
        ("load", text("overload")),
        ("connections", text("connections")),
        ("config generation", config_generation(fields)),
        ("confinement", confinement(fields)),
        ("tenants", text("tenants")),
        ("trunks", text("trunks")),
        ("shards", text("shards")),
    ]);
    facts
}

/// What the daemon has taken from itself, and why not all of it.
fn confinement(fields: &Map<String, Value>) -> String {
    let own = fields.get("confinement").unwrap_or(&Value::Null);
    let word = |name: &str| plain(&own[name]);
    let mut told = format!(
        "files {}, calls of the kernel {}",
        word("files"),
        word("calls")
    );
    for why in own["because"].as_array().into_iter().flatten() {
        told.push_str(&format!("; {}", plain(why)));
    }
    told
}

/// The number of the configuration in use, and whether it is another one than that of the files.
fn config_generation(fields: &Map<String, Value>) -> String {
    let text = |name: &str| plain(fields.get(name).unwrap_or(&Value::Null));
    let number = text("config_generation");
    let mut told = match text("config_origin").as_str() {
        "fallback" => format!(
            "{number}: NOT that of the files, which cannot be used, but the last one that could be: {}; mend them and reload",
            text("config_because")
        ),
        "rollback" | "unconfirmed" => {
            format!("{number}: an earlier one; \"causeway config diff\" shows how the files differ")
        }
        _ => number,
    };
    let left = fields.get("config_confirm_seconds").and_then(Value::as_u64);
    if let Some(left) = left {
        let left = duration(left);
        told.push_str(&format!(
            "; the one before is used again in {left}, unless you type: causeway config confirm"
        ));
    }
    told
}

/// How the files are to be taken into use.
#[derive(Args, Clone, Debug)]
pub struct Reload {
    /// Do all of it that can fail, and change nothing
    #[arg(long, conflicts_with = "confirm_timeout")]
    pub dry_run: bool,
    /// Take the configuration before into use again, unless "causeway config confirm" is typed within this time: 1s to
    /// 24h, such as 5m. A restart of the daemon in between goes back at once
    #[arg(long, value_name = "TIME", value_parser = wait)]
    pub confirm_timeout: Option<u64>,
    /// Take files into use that were taken back, by time or by an operator, and have not changed since
    #[arg(long, conflicts_with_all = ["dry_run", "confirm_timeout"])]
    pub force: bool,
    /// Do not ask where it ends calls at once, as of a trunk that is gone and had on_remove = "kill"
    #[arg(long)]
    pub yes: bool,
    /// The daemon
    #[command(flatten)]
    pub connection: Connection,
}

/// Seconds of a time with its unit.
///
/// # Errors
/// What to write instead.
pub fn wait(text: &str) -> Result<u64, String> {
    let units = [("h", 3_600), ("m", 60), ("s", 1)];
    let mut read = units.iter().filter_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*seconds)
    });
    let seconds = read.next().filter(|seconds| (1..=86_400).contains(seconds));
    seconds.ok_or_else(|| "write a time from 1s to 24h, such as 5m".to_owned())
}

/// `causeway reload`.
///
/// # Errors
/// If the output cannot be written.
pub fn reload(wish: &Reload, out: &mut dyn Write) -> io::Result<u8> {
    let to = &wish.connection;
    let query = match (wish.dry_run, wish.confirm_timeout) {
        (true, _) => return dry_run(to, out),
        (false, Some(seconds)) => format!("confirm_within={seconds}"),
        (false, None) => format!("force={}", wish.force),
    };
    let is_to_wait = wish.confirm_timeout.is_some();
    let in_use = |answer: &Value, out: &mut dyn Write| {
        in_use(answer, out)?;
        match is_to_wait && answer["confirm_within"].is_null() {
            true => writeln!(
                out,
                "it stays: [api] is another than before, and four_eyes is said, so that nothing is gone back to"
            ),
            false => Ok(()),
        }
    };
    if !wish.yes {
        let sparing = format!("/reload?{query}&spare_calls=true");
        match told(to, "POST", &sparing) {
            Ok(answer) if answer.status == ENDS_CALLS => {
                if !is_meant(&detail(&answer), Stake::Calls, false) {
                    return Ok(exit::REFUSED);
                }
            }
            Ok(answer) => return judged(to, heard(answer), out, in_use),
            Err(fault) => return judged(to, Err(unheard(&to.socket, &fault)), out, in_use),
        }
    }
    answered(to, &format!("/reload?{query}"), out, in_use)
}

/// Status of a reload that would end calls, where it was to spare them (RFC 6585 §3).
const ENDS_CALLS: u16 = 428;

fn dry_run(to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    answered(to, "/reload/dry-run", out, |answer, out| {
        let rows = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
        for warning in rows("warnings") {
            writeln!(out, "{}", check::warned(&warning))?;
        }
        for change in rows("changes") {
            writeln!(out, "{}", plain(&change))?;
        }
        kept(answer, out)?;
        let generation = plain(&answer["config_generation"]);
        writeln!(
            out,
            "a reload would succeed; nothing has changed, generation {generation} is in use"
        )
    })
}

/// Takes a configuration into use by this operation and prints what has come of it.
pub(super) fn reloaded(to: &Connection, path: &str, out: &mut dyn Write) -> io::Result<u8> {
    answered(to, path, out, in_use)
}

/// Prints what has come of it.
fn in_use(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    let generation = plain(&answer["config_generation"]);
    let same = &answer["same_as"];
    match same["generation"].as_u64() {
        Some(of) => {
            let taken = plain(&same["taken"]);
            let taken = taken.get(..19).unwrap_or(&taken);
            writeln!(
                out,
                "generation {generation} is in use: the same as {of} (of {taken}Z)"
            )?;
        }
        None => writeln!(out, "generation {generation} is in use")?,
    }
    kept(answer, out)?;
    let credentials = answer["not_read_anew"].as_array().cloned();
    if let Some(all @ [_, ..]) = credentials.as_deref() {
        let all: Vec<String> = all.iter().map(plain).collect();
        writeln!(
            out,
            "with the secrets of the start, as systemd reads credentials then alone: {}; a new one needs a restart, or \
                 {{ file = \"…\" }}, which each reload reads",
            all.join(", ")
        )?;
    }
    match answer["confirm_within"].as_u64() {
        Some(seconds) => writeln!(
            out,
            "the one before is used again in {}, unless you type: causeway config confirm",
            duration(seconds)
        ),
        None => Ok(()),
    }
}

fn kept(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    for kept in answer["kept"].as_array().map_or(&[][..], Vec::as_slice) {
        let (context, because) = (plain(&kept["context"]), plain(&kept["because"]));
        writeln!(out, "tls \"{context}\": {because}")?;
    }
    Ok(())
}

/// How new calls are to be kept away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drain {
    /// Teams may call until it prefers other SBCs.
    Gently,
    /// At once.
    Now,
    /// Not any more.
    Off,
}

/// `causeway drain`, `causeway drain --now` and `causeway drain --off`; calls that are left end after so many seconds, if
/// any are said.
///
/// # Errors
/// If the output cannot be written.
pub fn drain(
    to: &Connection,
    wish: Drain,
    timeout: Option<u64>,
    yes: bool,
    out: &mut dyn Write,
) -> io::Result<u8> {
    let is_fine = match (wish, timeout) {
        (Drain::Off, _) => true,
        (Drain::Gently | Drain::Now, None) => {
            is_meant("this node takes no new calls then", Stake::HasWayBack, yes)
        }
        (Drain::Gently | Drain::Now, Some(seconds)) => {
            let time = duration(seconds);
            let what = format!(
                "this node takes no new calls then, and those that are left in {time} are ended"
            );
            is_meant(&what, Stake::Calls, yes)
        }
    };
    if !is_fine {
        return Ok(exit::REFUSED);
    }
    let path = match wish {
        Drain::Gently => "/drain",
        Drain::Now => "/drain/now",
        Drain::Off => "/undrain",
    };
    let path = match timeout {
        Some(seconds) => format!("{path}?timeout={seconds}"),
        None => path.to_owned(),
    };
    answered(to, &path, out, |answer, out| {
        let (state, calls) = (plain(&answer["state"]), plain(&answer["calls"]));
        writeln!(out, "state: {state}\ncalls: {calls}")?;
        match answer["calls_end_seconds"].as_u64() {
            Some(seconds) => writeln!(out, "calls that are left end in {}", duration(seconds)),
            None => Ok(()),
        }
    })
}

fn show(to: &Connection, id: &str, messages: bool, out: &mut dyn Write) -> io::Result<u8> {
    let id = segment(id);
    let path = match to.output.is_table() {
        false => format!("/calls/{id}"),
        true => format!("/calls/{id}/trace?messages={messages}"),
    };
    shown(to, path, out)
}

/// What this answers with, as it comes.
fn shown(to: &Connection, path: String, out: &mut dyn Write) -> io::Result<u8> {
    match request(to, "GET", &path) {
        Ok(answer) => {
            match to.output.is_table() {
                true => out.write_all(answer.body.as_bytes())?,
                false => to.output.pass(&answer.body, out)?,
            }
            Ok(exit::OK)
        }
        Err(code) => Ok(code),
    }
}

pub(super) fn get(
    to: &Connection,
    path: &str,
    out: &mut dyn Write,
    print: impl FnOnce(&Value, &mut dyn Write) -> io::Result<()>,
) -> io::Result<u8> {
    let answer = match request(to, "GET", path) {
        Ok(answer) => answer,
        Err(code) => return Ok(code),
    };
    if !to.output.is_table() {
        to.output.pass(&answer.body, out)?;
        return Ok(exit::OK);
    }
    match serde_json::from_str(&answer.body) {
        Ok(value) => print(&value, out)?,
        Err(_) => writeln!(out, "{}", answer.body)?,
    }
    Ok(exit::OK)
}

pub(super) fn post(to: &Connection, path: &str, out: &mut dyn Write) -> io::Result<u8> {
    answered(to, path, out, |answer, out| {
        for (name, value) in answer.as_object().into_iter().flatten() {
            writeln!(out, "{}: {}", name.replace('_', " "), plain(value))?;
        }
        Ok(())
    })
}

/// Has something done, and prints the answer for programs or like this.
pub(super) fn answered(
    to: &Connection,
    path: &str,
    out: &mut dyn Write,
    print: impl FnOnce(&Value, &mut dyn Write) -> io::Result<()>,
) -> io::Result<u8> {
    judged(to, request(to, "POST", path), out, print)
}

/// Has something done, with `plain`; where that is a conflict and whoever asks says of the reason that it is meant, with
/// `forced`.
pub(super) fn again(
    to: &Connection,
    (plain, forced): (&str, &str),
    is_meant: impl FnOnce(&str) -> bool,
    out: &mut dyn Write,
    print: impl FnOnce(&Value, &mut dyn Write) -> io::Result<()>,
) -> io::Result<u8> {
    let answer = match told(to, "POST", plain) {
        Ok(answer) if answer.status == 409 => answer,
        Ok(answer) => return judged(to, heard(answer), out, print),
        Err(fault) => return judged(to, Err(unheard(&to.socket, &fault)), out, print),
    };
    match is_meant(&detail(&answer)) {
        true => judged(to, request(to, "POST", forced), out, print),
        false => Ok(exit::REFUSED),
    }
}

/// Has something taken away.
pub(super) fn remove(to: &Connection, path: &str, out: &mut dyn Write) -> io::Result<u8> {
    let answer = request(to, "DELETE", path);
    judged(to, answer, out, |answer, out| {
        writeln!(out, "{} ended", self::plain(&answer["address"]))
    })
}

/// Prints an answer as JSON or like this; of none, the exit code is all.
fn judged(
    to: &Connection,
    answer: Result<Answer, u8>,
    out: &mut dyn Write,
    print: impl FnOnce(&Value, &mut dyn Write) -> io::Result<()>,
) -> io::Result<u8> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(code) => return Ok(code),
    };
    if !to.output.is_table() {
        to.output.pass(&answer.body, out)?;
        return Ok(exit::OK);
    }
    print(
        &serde_json::from_str(&answer.body).unwrap_or(Value::Null),
        out,
    )?;
    Ok(exit::OK)
}

/// Has something done; the answer as it came, or the exit code of its refusal.
pub(super) fn asked(to: &Connection, path: &str) -> Result<String, u8> {
    request(to, "POST", path).map(|answer| answer.body)
}

/// The text that an operation answers with, or the exit code of its refusal.
pub(super) fn text(to: &Connection, path: &str) -> Result<String, u8> {
    request(to, "GET", path).map(|answer| answer.body)
}

/// The same, of what may be gone: nobody is told then.
pub(super) fn look(to: &Connection, path: &str) -> Option<String> {
    let answer = ask(&to.socket, "GET", path).ok()?;
    (answer.status < 300).then_some(answer.body)
}

/// Asks; a refusal is told on standard error, so that whoever reads the output gets an answer or
/// nothing, and becomes an exit code.
pub(super) fn request(to: &Connection, method: &str, path: &str) -> Result<Answer, u8> {
    match told(to, method, path) {
        Ok(answer) => heard(answer),
        Err(fault) => Err(unheard(&to.socket, &fault)),
    }
}

/// Asks, and says what a change is for.
fn told(to: &Connection, method: &str, path: &str) -> Result<Answer, ClientFault> {
    let reason = to.reason.as_deref().filter(|_| method != "GET");
    let reason = reason.map(quoted);
    let headers = reason.as_deref().map(|reason| ("Causeway-Reason", reason));
    send(&to.socket, method, path, headers.as_slice(), "")
}

pub(super) fn unheard(socket: &Path, fault: &ClientFault) -> u8 {
    eprintln!("causeway: {} ({})", fault, socket.display());
    code_of(fault)
}

/// What a problem says.
pub(super) fn detail(answer: &Answer) -> String {
    let problem = serde_json::from_str::<Value>(&answer.body).ok();
    let detail = problem.and_then(|problem| problem.get("detail")?.as_str().map(str::to_owned));
    detail.unwrap_or_else(|| answer.body.clone())
}

fn heard(answer: Answer) -> Result<Answer, u8> {
    match answer.status {
        ..300 => Ok(answer),
        _ => Err(told_refusal(&answer)),
    }
}

/// Tells a refusal; its exit code.
pub(super) fn told_refusal(answer: &Answer) -> u8 {
    match detail(answer).trim_end() {
        // What has its own places stands on lines of its own.
        detail if detail.contains('\n') => {
            eprintln!("causeway: refused, nothing has changed:\n{detail}");
        }
        detail => eprintln!("causeway: {detail}"),
    }
    match answer.status {
        400 => exit::USAGE,
        422 => exit::INVALID,
        _ => exit::REFUSED,
    }
}

pub(super) fn code_of(fault: &ClientFault) -> u8 {
    match fault {
        ClientFault::Forbidden { .. } => exit::REFUSED,
        ClientFault::Unreachable { .. }
        | ClientFault::Silent { .. }
        | ClientFault::Closed
        | ClientFault::Broken(_) => exit::UNREACHABLE,
    }
}

/// What may stand in a path; anything else cannot be an identifier and is refused by the daemon.
pub(super) fn segment(id: &str) -> String {
    let is_plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric());
    if is_plain {
        id.to_owned()
    } else {
        "-".to_owned()
    }
}

const RECORD_COLUMNS: [&str; 9] = [
    "call", "start", "from", "to", "calling", "called", "outcome", "cause", "talked",
];

/// A value as it may stand in a query (RFC 3986 §2.1).
pub(super) fn quoted(value: &str) -> String {
    let octet = |octet: u8| match octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
        true => char::from(octet).to_string(),
        false => format!("%{octet:02X}"),
    };
    value.bytes().map(octet).collect()
}

pub(super) fn recent_row(record: &Value) -> Value {
    let at = |path: &str| record.pointer(path).cloned().unwrap_or(Value::Null);
    let start = at("/start").as_str().map(|start| {
        // To the second: whoever looks for a call knows when it was, not its milliseconds.
        let second = start.split('.').next().unwrap_or(start);
        format!("{}Z", second.trim_end_matches('Z'))
    });
    let last = at("/egress").as_array().and_then(|all| all.last().cloned());
    let to = last.and_then(|attempt| attempt.get("trunk").cloned());
    serde_json::json!({
        "call": at("/call"),
        "start": start,
        "from": at("/ingress/trunk"),
        "to": to,
        "calling": at("/calling"),
        "called": at("/called"),
        "outcome": at("/disposition"),
        "cause": at("/cause/code"),
        "talked": at("/duration_ms").as_u64().map(|ms| duration(ms / 1000)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_say_them() {
        let told = [0, 59, 61, 3_661, 90_000].map(duration);
        assert_eq!(told, ["0 s", "59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
    }

    #[test]
    fn a_node_that_drains_without_calls_says_what_it_waits_for() {
        let status = |calls| serde_json::json!({ "state": "draining", "calls": calls });
        let told = |calls| facts(status(calls).as_object().unwrap())[2].1.clone();
        assert!(told(0).contains("waits for last answers") && !told(1).contains("waits"));
    }

    #[test]
    fn without_a_daemon_the_exit_code_says_unreachable() {
        let directory = tempfile::tempdir().unwrap();
        let to = Connection {
            socket: directory.path().join("none.sock"),
            reason: None,
            output: Output::default(),
        };
        let mut out = Vec::new();
        assert_eq!(status(&to, &mut out).unwrap(), exit::UNREACHABLE);
        let wish = Reload {
            yes: false,
            dry_run: false,
            confirm_timeout: None,
            force: false,
            connection: to.clone(),
        };
        assert_eq!(reload(&wish, &mut out).unwrap(), exit::UNREACHABLE);
    }

    #[test]
    fn a_socket_that_may_not_be_opened_refuses() {
        let fault = ClientFault::Forbidden { group: None };
        assert_eq!(code_of(&fault), exit::REFUSED);
    }

    #[test]
    fn hanging_up_needs_a_daemon_that_knows_the_call() {
        let to = Connection {
            socket: "/nonexistent".into(),
            reason: None,
            output: Output::default(),
        };
        let command = Calls::Hangup {
            id: "ab".to_owned(),
            cause: None,
            yes: false,
        };
        let mut out = Vec::new();
        assert_eq!(calls(&command, &to, &mut out).unwrap(), exit::UNREACHABLE);
    }
}
