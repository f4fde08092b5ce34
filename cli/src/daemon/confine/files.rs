//! Files, by Landlock: what is neither read nor written by plan cannot be opened, made, moved or removed.
//!
//! What can be opened already, such as standard error, stays open. Sockets, and what the kernel says of a file, are none of it:
//! of ports the daemon cannot say at its start which ones it will need, as peers and servers choose theirs.

use super::{Held, Plan};
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use std::path::{Path, PathBuf};

/// The newest rules that are asked for: devices have no commands either. Older kernels have fewer.
const RULES: ABI = ABI::V5;
/// Where interfaces say what they do, and the files in which the relay has them defer their interrupts.
const INTERFACES: &str = "/sys/class/net";
const DEFERRED: [&str; 2] = ["gro_flush_timeout", "napi_defer_hard_irqs"];
/// A hook's own files for a moment.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

/// Confines this thread and those that it starts.
pub(super) fn confine(plan: &Plan) -> Result<Held, String> {
    let rules = ruled(plan).map_err(|why| why.to_string())?;
    let status = rules.restrict_self().map_err(|why| why.to_string())?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok(Held::Whole),
        RulesetStatus::PartiallyEnforced => Ok(Held::Partly),
        RulesetStatus::NotEnforced => {
            Err("this kernel has no Landlock, or it was not switched on (lsm=)".to_owned())
        }
    }
}

fn ruled(plan: &Plan) -> Result<RulesetCreated, RulesetError> {
    let all = AccessFs::from_all(RULES);
    let look = AccessFs::ReadFile | AccessFs::ReadDir;
    // What runs a program is not asked what that reads.
    let read = match plan.runs_programs {
        true => look | AccessFs::Execute,
        false => look,
    };
    let devices = AccessFs::MakeChar | AccessFs::MakeBlock;
    let written = all & !devices & !BitFlags::from(AccessFs::Execute);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?;
    // Nobody else's business: programs of this user, and their sockets that have no file. The service manager may have one.
    rules = rules.scope(Scope::Signal)?;
    let manager = std::env::var_os("NOTIFY_SOCKET");
    if !manager.is_some_and(|own| own.as_encoded_bytes().starts_with(b"@")) {
        rules = rules.scope(Scope::AbstractUnixSocket)?;
    }
    let mut rules = rules.create()?;
    for path in &plan.read {
        rules = allowed(rules, path, read)?;
    }
    for path in &plan.written {
        rules = allowed(rules, path, written)?;
    }
    if let Some(above) = plan.removed.as_deref().and_then(Path::parent) {
        rules = allowed(rules, above, AccessFs::RemoveDir.into())?;
    }
    let nothing = AccessFs::ReadFile | AccessFs::WriteFile;
    rules = allowed(rules, Path::new("/dev/null"), nothing)?;
    if plan.loads_into_kernel {
        let deferred = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate;
        for path in deferring(Path::new(INTERFACES)) {
            rules = allowed(rules, &path, deferred)?;
        }
    }
    if plan.runs_programs {
        rules = allowed(rules, Path::new("/"), read)?;
        for path in TEMPORARY.map(PathBuf::from) {
            rules = allowed(rules, &path, written)?;
        }
    }
    Ok(rules)
}

/// Those files of the interfaces that are there; one that comes later is told by the rule of udev.
fn deferring(interfaces: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(interfaces).into_iter().flatten();
    let all = all.flatten().map(|one| one.path());
    all.flat_map(|one| DEFERRED.map(|file| one.join(file)))
        .filter(|file| file.is_file())
        .collect()
}

/// Adds a rule for what is there; nothing can be said of the rest, which cannot be opened then.
fn allowed(
    rules: RulesetCreated,
    path: &Path,
    what: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(opened) = PathFd::new(path) else {
        return Ok(rules);
    };
    let what = match path.is_dir() {
        true => what,
        false => what & AccessFs::from_file(RULES),
    };
    rules.add_rule(PathBeneath::new(opened, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn of_every_interface_the_files_are_named_that_defer_its_interrupts() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for interface in ["devices/eth0", "devices/eth1"] {
            fs::create_dir_all(at(interface)).unwrap();
        }
        fs::create_dir(at("net")).unwrap();
        for file in DEFERRED.iter().chain(&["mtu"]) {
            fs::write(at("devices/eth0").join(file), "0").unwrap();
        }
        // As the kernel has them: links. An old kernel has no such files.
        for interface in ["eth0", "eth1"] {
            symlink(at("devices").join(interface), at("net").join(interface)).unwrap();
        }
        fs::write(at("net/bonding_masters"), "").unwrap();
        let wanted = DEFERRED.map(|file| at("net/eth0").join(file));
        assert_eq!(deferring(&at("net")), wanted);
        assert!(deferring(&at("nothing")).is_empty());
    }
}
