//! Whether a configuration that is to be taken into use is one person's alone to take: not where `[api] four_eyes` says
//! `emergency`, and calls for help would go another way by it (SEC-151).

use super::approvals::{Pass, Wish};
use super::generations::problem;
use super::who::Who;
use super::{Access, Problem};
use crate::config::{difference, load, read_sources};
use crate::daemon::reload::{Meant, ReloadFault};
use sbc_core::config::{FourEyes, Source, sensitive_changes};

/// What is to be taken into use.
pub(super) enum Taking {
    /// The files on disk, by a reload.
    Files,
    /// The same, by a start anew.
    Restart,
    /// One that is kept, or the one before that in use.
    Earlier(Option<u64>),
}

/// Leave to take it, and what alone may be taken with it: exactly what was looked at.
pub(super) async fn pass(
    access: &Access,
    who: &Who,
    (taking, what): (Taking, &str),
    meant: Meant,
) -> Result<(Pass, Meant), Problem> {
    let daemon = access.daemon()?;
    let running = daemon.loaded();
    if !running.shell.four_eyes.contains(&FourEyes::Emergency) {
        return Ok((access.approvals.free(), meant));
    }
    let generations = daemon.generations();
    let in_use = generations.kept().last().cloned();
    let path = daemon.config_path().to_owned();
    let earlier = match taking {
        Taking::Files | Taking::Restart => None,
        Taking::Earlier(number) => {
            let found = match number {
                Some(number) => generations.find(number),
                None => generations.before(),
            };
            Some(found.ok_or_else(|| problem(ReloadFault::NotKept(number)))?)
        }
    };
    let title = match &earlier {
        Some(earlier) => format!("generation {}", earlier.last),
        None => "files".to_owned(),
    };
    let looked = access.desk.work(move || {
        let sources = match &earlier {
            Some(earlier) => earlier.sources(),
            None => read_sources(&path)?,
        };
        // What cannot be loaded is not taken either: who takes it says why.
        let changes = load(&sources, Some(&running.config))
            .map(|loaded| sensitive_changes(&running, &loaded))
            .unwrap_or_default();
        let before: Vec<Source> = in_use.as_ref().map(|own| own.sources()).unwrap_or_default();
        let differs = match changes.is_empty() {
            true => String::new(),
            false => difference(("in use", &before), (&title, &sources)),
        };
        Ok((sources, changes, differs, running.config.generation))
    });
    let looked = looked.await?;
    let (sources, because, difference, generation) =
        looked.map_err(|findings| problem(ReloadFault::Invalid(findings)))?;
    let meant = meant.bound(generation, &sources).map_err(problem)?;
    let is_left_out = matches!(taking, Taking::Restart) && generations.leaves(&sources);
    if because.is_empty() || is_left_out {
        return Ok((access.approvals.free(), meant));
    }
    let wish = Wish {
        kind: FourEyes::Emergency,
        what: what.to_owned(),
        exactly: format!("{what} {}", Meant::tag(generation, &sources)),
        because,
        difference,
    };
    let pass = access.approvals.pass(who, wish)?;
    Ok((pass, meant))
}
