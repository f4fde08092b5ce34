//! `causeway teams records`: Microsoft's record of each call beside ours (TDG-CDR-004).

use super::form::Output;
use crate::command::exit;
use crate::config::{load, read_sources};
use crate::daemon::resolver::Resolver;
use crate::graph::reach::{Reach, now};
use crate::graph::{DAY, Graph, GraphFault, Report, Row};
use crate::misspelt::unknown;
use crate::reports::own::{self, OwnCall};
use crate::reports::pairing::{Pairing, TOLERANCE_US, pair};
use crate::reports::words;
use crate::sink::metrics::Metrics;
use sbc_core::config::{Code, FileFault, Loaded, MICROSOFT_ROOTS};
use sbc_core::id::TenantName;
use sbc_core::time::UnixTime;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Difference of clocks, in whole seconds, that is told.
const CLOCK_S: i64 = 2;
/// Most days that are asked for at once.
const MOST_DAYS: u64 = 90;

/// Arguments of `causeway teams records`.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct Records {
    /// First day, UTC
    #[arg(long, value_name = "DATE", value_parser = day)]
    pub from: UnixTime,
    /// Last day, UTC; the first one if it is not given
    #[arg(long, value_name = "DATE", value_parser = day)]
    pub to: Option<UnixTime>,
    /// Only this tenant; every one that has access to Microsoft Graph if it is not given
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Believe the roots in this PEM file instead of those that Microsoft uses
    #[arg(long, value_name = "FILE", default_value = MICROSOFT_ROOTS)]
    pub roots: String,
    /// Look for this host of Microsoft there; what its certificate must carry stays the same
    #[arg(long, value_name = "HOST=ADDRESS:PORT", value_parser = elsewhere)]
    pub connect_to: Vec<(String, SocketAddr)>,
    /// Main file; conf.d/*.toml beside it belong to it
    #[arg(short = 'f', long, default_value = "/etc/causeway/causeway.toml")]
    pub config: PathBuf,
}

fn day(text: &str) -> Result<UnixTime, String> {
    UnixTime::of_day(text).ok_or_else(|| "this is no day; write 2026-08-01".to_owned())
}

fn elsewhere(text: &str) -> Result<(String, SocketAddr), String> {
    let parts = text.split_once('=');
    let place = parts.and_then(|(host, at)| Some((host.to_owned(), at.parse().ok()?)));
    place.ok_or_else(|| "write graph.microsoft.com=192.0.2.1:443".to_owned())
}

/// What both sides have of one customer.
struct Compared {
    tenant: TenantName,
    rows: Vec<Row>,
    calls: Vec<OwnCall>,
    pairing: Pairing,
    /// Calls over trunks that this node does not have, by their names.
    elsewhere: BTreeMap<String, usize>,
    unreadable: usize,
    clock_ahead_s: Option<i64>,
}

/// Reads, compares and prints. What differs is a result and no failure.
///
/// # Errors
/// If the output cannot be written.
pub fn run(arguments: &Records, output: Output, out: &mut dyn Write) -> io::Result<u8> {
    let (first, last) = (arguments.from, arguments.to.unwrap_or(arguments.from));
    if let Err(why) = check_days(first, last, now()) {
        eprintln!("causeway: {why}");
        return Ok(exit::USAGE);
    }
    let loaded = read_sources(&arguments.config).and_then(|sources| load(&sources, None));
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(findings) => {
            eprintln!("{}", findings.to_text());
            return Ok(exit::of_refused(&arguments.config, &findings));
        }
    };
    let tenants = match wanted(arguments, &loaded) {
        Ok(tenants) => tenants,
        Err((why, code)) => {
            eprintln!("causeway: {why}");
            return Ok(code);
        }
    };
    let mut values = Vec::new();
    let mut worst = exit::OK;
    for tenant in tenants {
        // What is wrong with one customer's access hides no other.
        match compared(arguments, &loaded, &tenant, (first, last + DAY)) {
            Ok(found) if !output.is_table() => values.push(as_value(&found)),
            Ok(found) => print(&found, out)?,
            Err((why, code)) => {
                eprintln!("causeway: tenant \"{tenant}\": {why}");
                values.push(json!({ "tenant": tenant.as_str(), "error": why }));
                worst = worst.max(code);
            }
        }
    }
    if !output.is_table() {
        let told = json!({ "from": first.date(), "to": last.date(), "tenants": values });
        output.print(&told, out)?;
    }
    Ok(worst)
}

/// Whether these days can be asked for.
fn check_days(first: UnixTime, last: UnixTime, now: UnixTime) -> Result<(), String> {
    if last < first {
        return Err(format!("{} is before {}", last.date(), first.date()));
    }
    if first > now {
        return Err(format!(
            "{} has not begun; today is {} in UTC by the clock of this host",
            first.date(),
            now.date()
        ));
    }
    let days = (last.as_micros() - first.as_micros()) / DAY.as_micros() as u64 + 1;
    match days > MOST_DAYS {
        true => Err(format!(
            "{days} days are more than Microsoft gives; ask for {MOST_DAYS} at most"
        )),
        false => Ok(()),
    }
}

/// Which secrets are not there, where some are not: what they are for is out of service.
fn without(loaded: &Loaded) -> Option<String> {
    let warnings = loaded.findings.warnings.iter();
    let absent = warnings.filter(|one| one.code == Code::SecretAbsent);
    let told: Vec<String> = absent.map(ToString::to_string).collect();
    (!told.is_empty()).then(|| told.join("\n"))
}

/// The tenants that are compared.
fn wanted(arguments: &Records, loaded: &Loaded) -> Result<Vec<TenantName>, (String, u8)> {
    let wrong = |why: String| (why, exit::USAGE);
    const WRITE: &str = "write graph = { tenant_id = \"…\", client_id = \"…\", secret = { file = \"…\" } } \
                         in its [[tenant]]";
    let able = &loaded.shell.graph;
    let all: Vec<TenantName> = match &arguments.tenant {
        Some(name) => {
            let name = TenantName::new(name);
            if !loaded.config.tenants.contains_key(&name) {
                let all = loaded.config.tenants.keys().map(|own| own.as_str());
                let why = unknown("there is no tenant", name.as_str(), all);
                return Err((why, exit::REFUSED));
            }
            if !able.contains_key(&name) {
                let lacking =
                    format!("tenant \"{name}\" has no access to Microsoft Graph: {WRITE}");
                return Err(wrong(without(loaded).unwrap_or(lacking)));
            }
            vec![name]
        }
        None => able.keys().cloned().collect(),
    };
    if all.is_empty() {
        let lacking = format!("no tenant has access to Microsoft Graph: {WRITE}");
        return Err(wrong(without(loaded).unwrap_or(lacking)));
    }
    if loaded.shell.cdr.is_none() {
        return Err(wrong(
            "no call records are written, so nothing can be compared: write [cdr] with spool = \"…\""
                .to_owned(),
        ));
    }
    Ok(all)
}

fn compared(
    arguments: &Records,
    loaded: &Loaded,
    tenant: &TenantName,
    days: (UnixTime, UnixTime),
) -> Result<Compared, (String, u8)> {
    let trunks = own::trunks(&loaded.config, tenant);
    let spool = loaded.shell.cdr.as_ref();
    let spool = Path::new(spool.map_or("", |spool| spool.directory.as_str()));
    // What began on the other side of midnight by the other clock.
    let slack = Duration::from_micros(TOLERANCE_US.unsigned_abs());
    let wide = (back(days.0, slack), days.1 + slack);
    let calls = own::read(spool, tenant, &trunks, wide).map_err(|(path, why)| {
        let help = match why.kind() {
            io::ErrorKind::PermissionDenied => "; root and the group of the daemon may read it",
            _ => "",
        };
        let why = format!(
            "call records in {} cannot be read: {why}{help}",
            path.display()
        );
        (why, exit::REFUSED)
    })?;
    let (report, clock_ahead_s) = asked(arguments, loaded, tenant, days)?;
    let mut elsewhere = BTreeMap::new();
    let mut rows = Vec::new();
    for row in report.rows.into_values() {
        match trunks.values().any(|own| own.fqdn == row.trunk) {
            true => rows.push(row),
            false => *elsewhere.entry(row.trunk).or_insert(0) += 1,
        }
    }
    rows.sort_by(|one, other| (one.invite, &one.id).cmp(&(other.invite, &other.id)));
    let mut pairing = pair(&rows, &calls);
    // Beyond the days only what Microsoft knows was asked for.
    pairing.only_ours.retain(|call| {
        let start = calls[*call].start;
        start >= days.0 && start < days.1
    });
    Ok(Compared {
        tenant: tenant.clone(),
        rows,
        calls,
        pairing,
        elsewhere,
        unreadable: report.unreadable,
        clock_ahead_s,
    })
}

fn asked(
    arguments: &Records,
    loaded: &Loaded,
    tenant: &TenantName,
    days: (UnixTime, UnixTime),
) -> Result<(Report, Option<i64>), (String, u8)> {
    let failed = |why: String| (why, exit::REFUSED);
    let access = loaded.shell.graph.get(tenant);
    let access = access.ok_or_else(|| failed("it has no access".to_owned()))?;
    let metrics = Metrics::new().map_err(|why| failed(why.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|why| failed(why.to_string()))?;
    runtime.block_on(async {
        let elsewhere = arguments.connect_to.iter().cloned().collect();
        let resolver = Resolver::configured(&loaded.shell.dns, Arc::new(metrics));
        let mut reach = Reach::new(&arguments.roots, resolver, elsewhere).map_err(|fault| {
            let (FileFault::Unreadable(why) | FileFault::Unusable(why)) = fault;
            (format!("--roots {}: {why}", arguments.roots), exit::USAGE)
        })?;
        reach.on_wait = |host, wait| {
            eprintln!("causeway: {host} asks us to wait {} s", wait.as_secs());
        };
        let mut graph = Graph::new(access, &reach);
        let report = graph.direct_routing_calls(days.0, days.1).await;
        let report = report.map_err(|fault: GraphFault| (fault.to_string(), fault.exit_code()))?;
        Ok((report, graph.clock_ahead_s()))
    })
}

fn back(at: UnixTime, by: Duration) -> UnixTime {
    let us = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
    UnixTime::from_micros(at.as_micros().saturating_sub(us))
}

fn as_value(found: &Compared) -> Value {
    let Compared {
        rows,
        calls,
        pairing,
        ..
    } = found;
    let matched = pairing.matched.iter().map(|(call, own)| {
        let call = &calls[*call];
        let own: Vec<Value> = own
            .iter()
            .map(|row| {
                let row = &rows[*row];
                json!({
                    "row": row,
                    "in_words": words::microsofts(row),
                    "difference": words::difference(call, row),
                    "look_at": words::advice(row),
                })
            })
            .collect();
        json!({ "ours": call, "in_words": words::ours(call), "microsoft": own })
    });
    let only_microsoft = pairing.only_microsoft.iter().map(|row| {
        let row = &rows[*row];
        json!({
            "row": row,
            "in_words": words::microsofts(row),
            "look_at": words::unknown_here(row),
        })
    });
    let only_ours = pairing.only_ours.iter().map(|call| {
        let call = &calls[*call];
        json!({ "ours": call, "in_words": words::ours(call) })
    });
    json!({
        "tenant": found.tenant.as_str(),
        "matched": matched.collect::<Vec<_>>(),
        "only_microsoft": only_microsoft.collect::<Vec<_>>(),
        "only_ours": only_ours.collect::<Vec<_>>(),
        "elsewhere": found.elsewhere,
        "unreadable_rows": found.unreadable,
        "clock_difference_ms": pairing.clock_us.map(|us| us / 1_000),
        "clock_ahead_seconds": found.clock_ahead_s,
    })
}

fn print(found: &Compared, out: &mut dyn Write) -> io::Result<()> {
    let mut text = Plain(out);
    let pairing = &found.pairing;
    text.line(&format!(
        "tenant {}: {} calls matched, {} only Microsoft knows, {} only we know",
        found.tenant,
        pairing.matched.len(),
        pairing.only_microsoft.len(),
        pairing.only_ours.len()
    ))?;
    for (trunk, calls) in &found.elsewhere {
        let calls = match calls {
            1 => "1 call".to_owned(),
            calls => format!("{calls} calls"),
        };
        text.line(&format!(
            "  {calls} over {trunk}, which this node does not have"
        ))?;
    }
    if found.unreadable > 0 {
        let rows = found.unreadable;
        text.line(&format!(
            "  {rows} rows without identifier or time were left out"
        ))?;
    }
    if let Some(us) = pairing.clock_us.filter(|us| us.abs() >= 1_000_000) {
        text.line(&format!(
            "  the times of Microsoft are {:.1} s {} ours; is the clock of this host set?",
            us.abs() as f64 / 1e6,
            if us > 0 { "later than" } else { "earlier than" }
        ))?;
    }
    if let Some(ahead) = found.clock_ahead_s.filter(|ahead| ahead.abs() >= CLOCK_S) {
        text.line(&format!(
            "  the clock of this host is {} s {} that of Microsoft; set it, else nothing matches by time",
            ahead.abs(),
            if ahead > 0 { "behind" } else { "ahead of" }
        ))?;
    }
    for (index, (call, own)) in pairing.matched.iter().enumerate() {
        let call = &found.calls[*call];
        if index == 0 {
            text.line("\nmatched")?;
        }
        text.line(&title(
            &call.start_text,
            &call.calling,
            &call.called,
            &call.call,
        ))?;
        let rows = || own.iter().map(|row| &found.rows[*row]);
        if rows().all(|row| words::difference(call, row).is_none()) {
            text.line(&format!("    both:      {}", words::ours(call)))?;
            continue;
        }
        text.line(&format!("    we:        {}", words::ours(call)))?;
        for row in rows() {
            text.line(&format!("    Microsoft: {}", words::microsofts(row)))?;
            if let Some(id) = &row.correlation_id {
                text.line(&format!("               its name for support: {id}"))?;
            }
            if let Some(difference) = words::difference(call, row) {
                text.line(&format!("    differs:   {difference}"))?;
            }
            if let Some(look_at) = words::advice(row) {
                text.line(&format!("    look at:   {look_at}"))?;
            }
        }
    }
    for (index, row) in pairing.only_microsoft.iter().enumerate() {
        let row = &found.rows[*row];
        if index == 0 {
            text.line("\nonly Microsoft knows")?;
        }
        let id = row.correlation_id.as_deref().unwrap_or("-");
        text.line(&title(&row.invite.rfc3339(), &row.caller, &row.callee, id))?;
        text.line(&format!(
            "    Microsoft: {} ({})",
            words::microsofts(row),
            row.call_type
        ))?;
        text.line(&format!("    look at:   {}", words::unknown_here(row)))?;
    }
    for (index, call) in pairing.only_ours.iter().enumerate() {
        let call = &found.calls[*call];
        if index == 0 {
            text.line("\nonly we know (rows of the last hours may still be missing)")?;
        }
        text.line(&title(
            &call.start_text,
            &call.calling,
            &call.called,
            &call.call,
        ))?;
        text.line(&format!("    we:        {}", words::ours(call)))?;
    }
    Ok(())
}

fn title(at: &str, calling: &str, called: &str, name: &str) -> String {
    format!("  {at}  {calling} to {called}  {name}")
}

/// Lines for a person; text of others must not steer the terminal.
struct Plain<'o>(&'o mut dyn Write);

impl Plain<'_> {
    fn line(&mut self, text: &str) -> io::Result<()> {
        let (gap, text) = match text.strip_prefix('\n') {
            Some(text) => ("\n", text),
            None => ("", text),
        };
        let text: String = text.chars().map(sbc_core::display::shown).collect();
        writeln!(self.0, "{gap}{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_cannot_be_asked_for_are_refused_with_a_reason() {
        let at = |text| UnixTime::of_day(text).unwrap();
        let now = UnixTime::of_rfc3339("2026-08-10T12:00:00Z").unwrap();
        for (first, last, why) in [
            ("2026-08-02", "2026-08-01", Some("is before")),
            ("2026-08-11", "2026-08-11", Some("has not begun")),
            ("2026-05-01", "2026-07-30", Some("91 days")),
            ("2026-05-02", "2026-07-30", None),
            ("2026-08-10", "2026-08-10", None),
        ] {
            let found = check_days(at(first), at(last), now).err();
            match why {
                Some(why) => assert!(found.unwrap().contains(why), "{why}"),
                None => assert_eq!(found, None),
            }
        }
        assert!(day("2026-8-1").is_err());
        assert!(elsewhere("graph.microsoft.com=here").is_err());
        let (host, at) = elsewhere("graph.microsoft.com=127.0.0.1:8443").unwrap();
        assert_eq!((host.as_str(), at.port()), ("graph.microsoft.com", 8_443));
    }
}
