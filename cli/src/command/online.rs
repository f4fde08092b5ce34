//! What a check may look up outside of this machine: the names of peers (OPS-110).

use crate::daemon::resolver::Resolver;
use crate::sink::metrics::Metrics;
use futures_util::future::join_all;
use sbc_core::config::{Code, Finding, Loaded, TargetAddress};
use sbc_core::query::{Outcome, ResolveFault};
use sbc_core::session::LegStyle;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// Looks the targets of all trunks up as the daemon would; a warning for each that is not found.
pub(super) fn look_up(loaded: &Loaded) -> io::Result<Vec<Finding>> {
    let metrics = Metrics::new().map_err(io::Error::other)?;
    let resolver = Resolver::configured(&loaded.shell.dns, Arc::new(metrics));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let config = Arc::new(loaded.config.clone());
    let mut asked: BTreeMap<(String, u16), (LegStyle, TargetAddress)> = BTreeMap::new();
    for trunk in config.trunks.values() {
        let style = LegStyle {
            config: Arc::clone(&config),
            trunk: Arc::clone(trunk),
            contact_user: None,
            session_id: None,
        };
        for target in &trunk.targets {
            if style.fixed_addresses(target).is_empty() {
                let name = (target.host.clone(), target.port);
                // The first trunk that has it stands for all.
                asked
                    .entry(name)
                    .or_insert_with(|| (style.clone(), target.clone()));
            }
        }
    }
    let resolver = &resolver;
    let looked_up = asked.values().map(|(style, target)| async move {
        match resolver.locate(&style.locate(target)).await {
            Outcome::ResolveFailed(why) => Some(finding(style, target, why)),
            Outcome::Located(_) | Outcome::Resolved(_) | Outcome::Won(_) | Outcome::Verified(_) => {
                None
            }
        }
    });
    let found = runtime.block_on(join_all(looked_up));
    Ok(found.into_iter().flatten().collect())
}

fn finding(style: &LegStyle, target: &TargetAddress, why: ResolveFault) -> Finding {
    let (trunk, host) = (&style.trunk.name, &target.host);
    let (cause, help) = match why {
        ResolveFault::NotFound => (
            format!("trunk \"{trunk}\": DNS knows no address of {host}"),
            "correct the name, or write where it is: { address = \"…\", connect_to = [\"192.0.2.1:5060\"] }",
        ),
        ResolveFault::Timeout | ResolveFault::ServerFailure => (
            format!("trunk \"{trunk}\": DNS gave no answer about {host}"),
            "look at [dns] servers, or /etc/resolv.conf of this host, then try again",
        ),
    };
    Finding::unplaced(Code::NameUnknown, cause, Some(help.to_owned()))
}
