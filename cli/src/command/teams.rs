//! `causeway teams`: what Teams makes of this node.

use super::form::Output;
use super::node::{Connection, get};
use super::readable::{duration, table};
use super::records::{self, Records};
use crate::command::exit;
use crate::config::{load, read_sources};
use crate::daemon::resolver::Resolver;
use crate::misspelt::unknown;
use crate::onboarding::teams::Speaker;
use crate::onboarding::{Outcome, gateways, steps};
use crate::sink::metrics::Metrics;
use clap::Subcommand;
use sbc_core::config::{Cloud, Config, Loaded, Lookup, Preset, TargetAddress, Trunk};
use sbc_core::id::TenantName;
use sbc_core::transport::Protocol;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// What to tell of Teams.
#[derive(Subcommand, Clone, Debug)]
pub enum Teams {
    /// Every proxy of every Teams trunk in both directions: the last OPTIONS, and a verdict
    Status,
    /// NER, ASR, average duration and post-dial delay of every trunk, of the last hour and since the start
    Figures,
    /// Show our certificate to the test names of Microsoft and ask each once: whether both sides believe the
    /// authorities that come next
    ///
    /// Exit code 0: every name that has an address answers 200, and one has an address. 5: a name does not answer so,
    /// none has an address, or one that --host names has none. 2: wrong arguments. 3: the configuration is refused.
    Probe(Probe),
    /// What Microsoft says of the users of each tenant, how old it is, and who talks over our trunks
    Presence(Presence),
    /// Microsoft's record of each call beside ours: where both differ, and calls that only one side knows
    Records(Records),
    /// Compare what the tenant says of its gateways with the configuration: bypass, local media, proxies, sites
    Gateways(Gateways),
}

/// Arguments of `causeway teams presence`.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct Presence {
    /// Only this tenant
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
}

/// Arguments of `causeway teams gateways`.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct Gateways {
    /// What `Get-CsOnlinePSTNGateway | ConvertTo-Json` printed
    pub export: PathBuf,
    /// The tenant whose export it is: trunks of others are left alone
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Main file; conf.d/*.toml beside it belong to it
    #[arg(short = 'f', long, default_value = "/etc/causeway/causeway.toml")]
    pub config: PathBuf,
}

/// Arguments of `causeway teams probe`.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct Probe {
    /// Trunk that asks; the first that leads to Teams if it is not given
    #[arg(long)]
    pub trunk: Option<String>,
    /// Ask this name instead of the test names of the cloud; may be given several times
    #[arg(long = "host", value_name = "NAME")]
    pub hosts: Vec<String>,
    /// Port of those
    #[arg(long, default_value_t = Cloud::PORT)]
    pub port: u16,
    /// Ask this DNS server instead of the configured or the system's; may be given several times
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub dns: Vec<SocketAddr>,
    /// Main file; conf.d/*.toml beside it belong to it
    #[arg(short = 'f', long, default_value = "/etc/causeway/causeway.toml")]
    pub config: PathBuf,
}

/// Prints what was asked for.
///
/// # Errors
/// If the output cannot be written.
pub fn run(command: &Teams, to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    match command {
        Teams::Status => get(to, "/teams", out, |answer, out| {
            let rows = answer.as_array().map(Vec::as_slice).unwrap_or_default();
            if rows.is_empty() {
                return writeln!(out, "no trunk has preset = \"teams\"");
            }
            let rows: Vec<Value> = rows.iter().map(row).collect();
            let columns = [
                "trunk",
                "",
                "proxy",
                "address",
                "result",
                "age",
                "demoted_in",
                "verdict",
            ];
            table(&rows, &columns, out)
        }),
        Teams::Figures => get(to, "/figures", out, |answer, out| {
            let rows = answer.as_array().map(Vec::as_slice).unwrap_or_default();
            if rows.is_empty() {
                return writeln!(out, "no call has ended yet");
            }
            let rows: Vec<Value> = rows.iter().flat_map(figures).collect();
            let columns = [
                "trunk",
                "calls",
                "within",
                "all",
                "answered",
                "cancelled",
                "ner",
                "asr",
                "acd",
                "pdd",
            ];
            table(&rows, &columns, out)
        }),
        Teams::Presence(arguments) => presence(arguments, to, out),
        Teams::Probe(arguments) => probe(arguments, out),
        Teams::Records(arguments) => records::run(arguments, to.output, out),
        Teams::Gateways(arguments) => gateways(arguments, to.output, out),
    }
}

/// How asking for presence goes, and what is known of each user.
fn presence(arguments: &Presence, to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
    let path = match &arguments.tenant {
        Some(tenant) if !tenant.bytes().all(is_plain) => {
            eprintln!("causeway: there is no tenant \"{}\"", tenant.escape_debug());
            return Ok(exit::REFUSED);
        }
        Some(tenant) => format!("/presence?tenant={tenant}"),
        None => "/presence".to_owned(),
    };
    get(to, &path, out, |answer, out| {
        let rows = |key: &str| answer[key].as_array().cloned().unwrap_or_default();
        let tenants = rows("tenants");
        if tenants.is_empty() {
            return writeln!(out, "no tenant has users whose presence is asked for");
        }
        for tenant in &tenants {
            let text = |key: &str| tenant[key].as_str().unwrap_or_default();
            let heard = tenant["heard_seconds"].as_u64().map(duration);
            let heard = heard.map_or_else(|| "not yet".to_owned(), |age| format!("{age} ago"));
            writeln!(
                out,
                "tenant {}: {}, all users heard of {heard}, {} of {} known, {} shown as busy",
                text("tenant"),
                text("state"),
                tenant["known"],
                tenant["users"],
                tenant["shown"]
            )?;
            for why in ["because", "not_shown"].map(text) {
                if !why.is_empty() {
                    writeln!(out, "  {}", why.replace('\n', "\n  "))?;
                }
            }
        }
        writeln!(out)?;
        let users: Vec<Value> = rows("users").iter().map(user_row).collect();
        let columns = [
            "tenant",
            "number",
            "user",
            "presence",
            "age",
            "by",
            "counts_as",
            "talks",
        ];
        table(&users, &columns, out)
    })
}

fn user_row(told: &Value) -> Value {
    let text = |key: &str| told[key].as_str().unwrap_or_default();
    let presence = match told["availability"].as_str() {
        Some(availability) => format!("{availability}/{}", text("activity")),
        None => String::new(),
    };
    json!({
        "tenant": told["tenant"],
        "number": told["number"],
        "user": told["user"],
        "presence": presence,
        "age": told["age_seconds"].as_u64().map(duration),
        "by": told["heard_by"],
        "counts_as": told["counts_as"],
        "talks": told["talks"],
    })
}

/// Compares the tenant with the configuration (TDR-LMO-022). Returns 0 if nothing but warnings is found, 3 if
/// calls suffer by what is, 2 where one of the two cannot be read.
fn gateways(arguments: &Gateways, output: Output, out: &mut dyn Write) -> io::Result<u8> {
    let loaded = read_sources(&arguments.config).and_then(|sources| load(&sources, None));
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(findings) => {
            eprintln!("{}", findings.to_text());
            return Ok(exit::of_refused(&arguments.config, &findings));
        }
    };
    let of = arguments.tenant.as_deref().map(TenantName::new);
    if let Some(name) = of
        .as_ref()
        .filter(|name| !loaded.config.tenants.contains_key(*name))
    {
        let all = loaded.config.tenants.keys().map(|own| own.as_str());
        eprintln!(
            "causeway: {}",
            unknown("there is no tenant", name.as_str(), all)
        );
        return Ok(exit::REFUSED);
    }
    let export = std::fs::read(&arguments.export).map_err(|why| why.to_string());
    let tenant = match export.and_then(|bytes| gateways::read(&bytes)) {
        Ok(tenant) => tenant,
        Err(why) => {
            eprintln!("causeway: {}: {why}", arguments.export.display());
            return Ok(exit::USAGE);
        }
    };
    let found = gateways::differences(&loaded.config, &tenant, of.as_ref());
    let errors = found.iter().filter(|own| own.is_error).count();
    if !output.is_table() {
        output.print(&found, out)?;
    } else {
        for difference in &found {
            writeln!(out, "{difference}\n")?;
        }
        let warnings = found.len() - errors;
        writeln!(
            out,
            "gateways {}, errors {errors}, warnings {warnings}",
            tenant.len()
        )?;
    }
    Ok(match errors {
        0 => exit::OK,
        _ => exit::INVALID,
    })
}

/// Two rows of the figures of a trunk: the last hour, and since the start.
fn figures(trunk: &Value) -> Vec<Value> {
    let calls = match trunk["direction"].as_str() {
        Some("in") => "from it",
        _ => "to it",
    };
    let row = |key: &str, within: &str| {
        let of = &trunk[key];
        let number = |key: &str, unit: &str| match of[key].as_f64() {
            Some(value) => format!("{value:.1} {unit}"),
            None => String::new(),
        };
        json!({
            "trunk": trunk["trunk"],
            "calls": calls,
            "within": within,
            "all": of["calls"],
            "answered": of["answered"],
            "cancelled": of["cancelled"],
            "ner": number("ner_percent", "%"),
            "asr": number("asr_percent", "%"),
            "acd": number("acd_seconds", "s"),
            "pdd": number("pdd_seconds", "s"),
        })
    };
    vec![row("hour", "last hour"), row("since_start", "since start")]
}

/// Asks the test names (TDR-TLS-014). Returns 0 if every one that has an address answers with 200, 5 if one does
/// not. Microsoft takes names away again, so one without an address counts only if it was asked for by name, or if
/// there is no other.
fn probe(arguments: &Probe, out: &mut dyn Write) -> io::Result<u8> {
    let loaded = read_sources(&arguments.config).and_then(|sources| load(&sources, None));
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(findings) => {
            eprintln!("{}", findings.to_text());
            return Ok(exit::of_refused(&arguments.config, &findings));
        }
    };
    let Some(trunk) = asking(arguments, &loaded.config) else {
        let all = loaded.config.trunks.values();
        let all = all.filter(|own| own.preset == Preset::Teams);
        let why = match &arguments.trunk {
            Some(name) => {
                let lacks = "there is no trunk with preset = \"teams\" called";
                unknown(lacks, name, all.map(|own| own.name.as_str()))
            }
            None => "there is no trunk with preset = \"teams\"".to_owned(),
        };
        eprintln!("causeway: {why}");
        return Ok(exit::REFUSED);
    };
    let own = |host: &str, port| TargetAddress {
        host: host.to_owned(),
        port,
        protocol: Protocol::Tls,
        lookup: Lookup::Addresses,
        connect_to: Vec::new(),
    };
    let hosts = arguments.hosts.iter();
    let mut names: Vec<TargetAddress> = hosts.map(|host| own(host, arguments.port)).collect();
    if names.is_empty() {
        names.clone_from(&trunk.test_names);
    }
    if names.is_empty() {
        let usual = trunk.cloud.unwrap_or_default().test_names().iter();
        names.extend(usual.map(|host| own(host, Cloud::PORT)));
    }
    let all = asked(arguments, &loaded, trunk, &names)?;
    for (name, outcome) in &all {
        writeln!(out, "{name:<48} {:<8} {outcome}", outcome.word())?;
    }
    let has_failed = all.iter().any(|(_, outcome)| outcome.is_failure());
    let is_good = all.iter().any(|(_, own)| matches!(own, Outcome::Good(_)));
    Ok(match is_good && !has_failed {
        true => exit::OK,
        false => exit::REFUSED,
    })
}

/// The trunk that asks. Of derived ones Teams wants no OPTIONS (TDR-OPT-008).
fn asking<'c>(arguments: &Probe, config: &'c Config) -> Option<&'c Arc<Trunk>> {
    let mut trunks = config.trunks.values().filter(|trunk| {
        let is_named = arguments.trunk.as_ref();
        let is_named = is_named.is_none_or(|name| trunk.name.as_str() == name);
        trunk.preset == Preset::Teams && is_named
    });
    let named = trunks.next()?;
    config.trunks.get(named.watched_as())
}

fn asked(
    arguments: &Probe,
    loaded: &Loaded,
    trunk: &Trunk,
    names: &[TargetAddress],
) -> io::Result<Vec<(String, Outcome)>> {
    let tls = match steps::identity(loaded, trunk) {
        Ok(tls) => tls,
        Err(why) => return Ok(vec![(trunk.name.to_string(), why)]),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let metrics = Arc::new(Metrics::new().map_err(io::Error::other)?);
    Ok(runtime.block_on(async {
        let servers = match arguments.dns.is_empty() {
            true => &loaded.shell.dns,
            false => &arguments.dns,
        };
        let resolver = Resolver::configured(servers, metrics);
        let speaker = Speaker {
            config: &loaded.config,
            trunk,
            tls: &tls,
        };
        let mut told = Vec::new();
        for name in names {
            let outcome = match steps::place(&resolver, name).await {
                Ok(proxy) => speaker.options(&proxy).await,
                Err(why) if !arguments.hosts.is_empty() => why,
                Err(why) => Outcome::Skipped(why.to_string()),
            };
            told.push((name.host.clone(), outcome));
        }
        told
    }))
}

fn row(told: &Value) -> Value {
    let seconds = |name: &str| told[name].as_u64().map(duration);
    let left = match told["demoted_in_seconds"].as_u64() {
        Some(0) => Some("demoted".to_owned()),
        _ => seconds("demoted_in_seconds"),
    };
    json!({
        "trunk": told["trunk"],
        "": match told["way"].as_str() {
            Some(way) => Value::from(format!("{way}, chain")),
            None => told["direction"].clone(),
        },
        "proxy": told["proxy"],
        "address": told["address"],
        "result": told["result"],
        "age": seconds("age_seconds"),
        "demoted_in": left,
        "verdict": told["verdict"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_told_as_people_say_them_and_no_time_left_is_demotion() {
        let told = row(&json!({ "age_seconds": 65, "demoted_in_seconds": 235 }));
        assert_eq!(told["age"], "1 min 5 s");
        assert_eq!(told["demoted_in"], "3 min 55 s");
        let told = row(&json!({ "demoted_in_seconds": 0 }));
        assert_eq!(
            (&told["demoted_in"], &told["age"]),
            (&json!("demoted"), &Value::Null)
        );
    }
}
