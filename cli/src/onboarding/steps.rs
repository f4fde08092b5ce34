//! The steps by which it is found out whether a customer will be served, in their order. Each says what was
//! found, and where it fails what to do.

use super::Outcome;
use super::customer::Customer;
use super::hairpin;
use super::name;
use super::teams::{Proxy, Speaker};
use super::turn::Turn;
use crate::daemon::net::tls::TlsContext;
use crate::daemon::resolver::Resolver;
use sbc_core::config::{CallIn, Code, Config, Finding, Loaded, Preset, TargetAddress, Trunk};
use sbc_core::locate::Families;
use sbc_core::query::{Outcome as Found, ResolveSpec};
use sbc_core::rehearsal::{self, Played};
use std::sync::Arc;

/// A step and how it went.
pub type Step = (&'static str, Outcome);

/// Whether a finding is about a certificate.
pub fn is_of_certificate(finding: &Finding) -> bool {
    matches!(
        finding.code,
        Code::NameNotCovered
            | Code::NameInSubjectOnly
            | Code::WildcardName
            | Code::CertificateExpired
            | Code::CertificateEndsSoon
            | Code::RefusedByTeams
            | Code::ChainIncomplete
            | Code::KeyNotRsa
            | Code::NoClientAuth
    )
}

/// Findings in a sentence each.
pub fn told<'f>(findings: impl IntoIterator<Item = &'f Finding>) -> Option<(String, String)> {
    let mut causes = Vec::new();
    let mut fixes = Vec::new();
    for finding in findings {
        causes.push(finding.cause.clone());
        fixes.extend(finding.help.clone());
    }
    let all = (causes.join("; "), fixes.join("; "));
    (!causes.is_empty()).then_some(all)
}

/// What the loader says of the drafted file, where it accepts it. Certificates have a step of their own.
pub fn configuration(loaded: &Loaded, path: &str) -> Outcome {
    let is_of_draft = |finding: &&Finding| {
        let place = finding.place.as_ref();
        !is_of_certificate(finding) && place.is_some_and(|place| place.file == path)
    };
    match told(loaded.findings.warnings.iter().filter(is_of_draft)) {
        None => Outcome::Good("accepted by the loader that start and reload use".to_owned()),
        Some((cause, fix)) => Outcome::Doubtful(format!("{cause} ({fix})")),
    }
}

/// What the loader found about the certificate of a configuration that it accepts.
pub fn certificate(customer: &Customer, loaded: &Loaded) -> Outcome {
    // What is inherited is told of the carrier trunk.
    let asking = customer.asking(&loaded.config);
    let names = [
        Some(customer.trunk().to_string()),
        asking.map(|trunk| trunk.name.to_string()),
    ];
    let is_about = |finding: &&Finding| {
        let mut names = names.iter().flatten();
        is_of_certificate(finding)
            && names.any(|name| finding.cause.starts_with(&format!("trunk \"{name}\":")))
    };
    match told(loaded.findings.warnings.iter().filter(is_about)) {
        None => Outcome::Good(format!("it carries {}", customer.fqdn)),
        Some((cause, fix)) => Outcome::Doubtful(format!("{cause} ({fix})")),
    }
}

/// The call of a described caller, as the core plays it.
fn play(
    config: &Arc<Config>,
    trunk: &Trunk,
    (from, to): (&str, &str),
    uri: Option<String>,
) -> Option<Played> {
    let call = CallIn {
        trunk: Some(trunk.name.clone()),
        from: from.to_owned(),
        to: to.to_owned(),
        request_uri: uri,
        ..CallIn::default()
    };
    rehearsal::play(config, &call).ok()
}

/// The trunk of a carrier from which a call to the customer's first number reaches its trunk.
///
/// # Errors
/// Why none does, as far as that is known.
pub fn way_in<'c>(
    customer: &Customer,
    config: &'c Arc<Config>,
) -> Result<&'c Arc<Trunk>, Option<String>> {
    let own = customer.trunk();
    let tenant = config
        .trunks
        .get(&own)
        .and_then(|trunk| trunk.tenant.clone());
    let mut carriers = config.trunks.values().filter(|trunk| {
        trunk.preset == Preset::Carrier && (trunk.tenant.is_none() || trunk.tenant == tenant)
    });
    let mut reason = None;
    let found = carriers.find(|carrier| {
        let Some(played) = play(config, carrier, (OUTSIDE, customer.number()), None) else {
            return false;
        };
        if let Some(refusal) = &played.refusal {
            reason = Some(refusal.because.0.join("; "));
        }
        played.tries.first().is_some_and(|tried| tried.trunk == own)
    });
    found.ok_or(reason)
}

/// A number of somebody else.
const OUTSIDE: &str = "+441632960001";

/// Whether a call from outside to the customer's first number would leave on its trunk, and a call of its
/// trunk would leave at all: played with the core that serves calls.
pub fn routes(customer: &Customer, config: &Arc<Config>) -> Outcome {
    let (own, number) = (customer.trunk(), customer.number());
    let way_in = match way_in(customer, config) {
        Ok(carrier) => carrier,
        Err(reason) => {
            return Outcome::failed(
                format!(
                    "no call to {number} reaches trunk \"{own}\"{}",
                    reason.map_or_else(String::new, |why| format!(": {why}"))
                ),
                "add a [[route]] from the trunk of the carrier to this one, or to its carrier trunk",
            );
        }
    };
    let Some(trunk) = config.trunks.get(&own) else {
        return Outcome::Skipped("the trunk is not there".to_owned());
    };
    let uri = format!("sip:{OUTSIDE}@{};user=phone", customer.fqdn);
    let out = play(config, trunk, (number, OUTSIDE), Some(uri));
    let left = out.as_ref().and_then(|played| played.tries.first());
    match left {
        Some(tried) => Outcome::Good(format!(
            "calls come in on \"{}\" and leave on \"{}\"",
            way_in.name, tried.trunk
        )),
        None => Outcome::failed(
            format!("no route leads on from trunk \"{own}\""),
            format!(
                "add a [[route]] with match = {{ from_trunk = \"{own}\" }} to the trunk of a carrier"
            ),
        ),
    }
}

/// The proxies of a trunk with the address that each has; those without say why.
pub async fn proxies(resolver: &Resolver, trunk: &Trunk) -> Vec<Result<Proxy, Outcome>> {
    let mut all = Vec::new();
    for target in &trunk.targets {
        all.push(place(resolver, target).await);
    }
    all
}

/// A proxy as it is written.
///
/// # Errors
/// Why it has no address.
pub async fn place(resolver: &Resolver, target: &TargetAddress) -> Result<Proxy, Outcome> {
    match target.connect_to.first() {
        Some(address) => Ok(Proxy {
            host: target.host.clone(),
            port: target.port,
            address: *address,
        }),
        None => proxy(resolver, &target.host, target.port).await,
    }
}

/// A proxy by its name.
pub async fn proxy(resolver: &Resolver, host: &str, port: u16) -> Result<Proxy, Outcome> {
    let spec = ResolveSpec {
        host: host.to_owned(),
        port,
        protocol: sbc_core::transport::Protocol::Tls,
        families: Families::BOTH,
    };
    let found = match resolver.resolve(&spec).await {
        Found::Resolved(addresses) => addresses,
        _ => Vec::new(),
    };
    let v4 = found.iter().find(|address| address.is_ipv4());
    let address = v4.or(found.first()).copied();
    address
        .map(|address| Proxy {
            host: host.to_owned(),
            port,
            address,
        })
        .ok_or_else(|| {
            Outcome::failed(
                format!("{host} has no address here"),
                "look at /etc/resolv.conf of this host: names of Microsoft must be resolved",
            )
        })
}

/// The TLS identity of a trunk.
///
/// # Errors
/// Why it cannot be used.
pub fn identity(loaded: &Loaded, trunk: &Trunk) -> Result<TlsContext, Outcome> {
    let name = trunk.tls.clone();
    let files = name.as_ref().and_then(|name| loaded.shell.tls.get(name));
    let (Some(name), Some(files)) = (name, files) else {
        return Err(Outcome::failed(
            format!("trunk \"{}\" has no TLS identity", trunk.name),
            "write tls = \"…\" with the name of a [[tls]]",
        ));
    };
    TlsContext::load(name, files)
        .map_err(|why| Outcome::failed(why.to_string(), "mend the files that the [[tls]] names"))
}

/// Everything about a customer whose configuration was accepted.
pub async fn all(
    customer: &Customer,
    loaded: &Loaded,
    resolver: &Resolver,
    turn: &Turn,
    call: Option<&str>,
) -> Vec<Step> {
    let config = Arc::new(loaded.config.clone());
    let mut steps = Vec::new();
    let own = config.trunks.get(&customer.trunk());
    let (Some(own), Some(asking)) = (own, customer.asking(&config)) else {
        return steps;
    };
    steps.push(("name", name::check(resolver, &config, own).await));
    steps.push(("certificate", certificate(customer, loaded)));
    steps.push(("routes", routes(customer, &config)));
    let hairpin = hairpin::check(&config, own).await;
    steps.extend(hairpin.map(|outcome| ("hairpin", outcome)));
    let tls = match identity(loaded, own).and_then(|own| Ok((own, identity(loaded, asking)?))) {
        Ok(both) => both,
        Err(why) => {
            steps.push(("options", why));
            return steps;
        }
    };
    let asker = Speaker {
        config: &config,
        trunk: asking,
        tls: &tls.1,
    };
    let speaker = Speaker {
        config: &config,
        trunk: own,
        tls: &tls.0,
    };
    // A derived trunk sends no OPTIONS (TDR-OPT-008), so its own certificate is shown by a handshake.
    let shows_its_own = own.carrier.is_some() && own.tls != asking.tls;
    let mut reachable = None;
    for found in proxies(resolver, asking).await {
        if let (true, Ok(proxy)) = (shows_its_own, &found) {
            steps.push(("handshake", speaker.shakes_hands(proxy).await.outcome));
        }
        let outcome = match found {
            Ok(proxy) => {
                let outcome = turn.options(&asker, &proxy).await;
                if !outcome.is_failure() {
                    reachable.get_or_insert(proxy);
                }
                outcome
            }
            Err(why) => why,
        };
        steps.push(("options", outcome));
    }
    steps.push((
        "call",
        match (call, reachable) {
            (None, _) => Outcome::Skipped(
                "no test call was asked for: --call and the number of a user who is signed in"
                    .to_owned(),
            ),
            (Some(_), None) => Outcome::Skipped("no proxy of Teams answers".to_owned()),
            (Some(number), Some(proxy)) => speaker.call(&proxy, number).await,
        },
    ));
    steps
}
