//! Keeps what is secret in memory out of files: no core dumps, no debugger of others, and a warning where memory may
//! be swapped out (MED-119).

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use std::fs;
use std::path::Path;

/// For processes that hold keys, before they read any. Says what they must do without.
pub fn keep() -> Vec<String> {
    let mut lacking = Vec::new();
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let no_core = setrlimit(Resource::Core, none);
    // A core that is piped to a program heeds no limit but this.
    let undumpable = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Err(why) = no_core.and(undumpable) {
        lacking.push(format!("a core dump would hold keys of calls: {why}"));
    }
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    if may_be_swapped(&read) {
        lacking.push(
            "keys of calls may be swapped to disk: turn swap off, or set MemorySwapMax=0 as the unit does".to_owned(),
        );
    }
    lacking
}

/// Whether there is swap, and no group of ours has none of it.
fn may_be_swapped(read: &impl Fn(&Path) -> String) -> bool {
    // The first line is a head.
    if read(Path::new("/proc/swaps")).lines().nth(1).is_none() {
        return false;
    }
    let own = read(Path::new("/proc/self/cgroup"));
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
    let group = Path::new("/sys/fs/cgroup").join(own.unwrap_or_default());
    let mut groups = group.ancestors();
    !groups.any(|group| read(&group.join("memory.swap.max")).trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{dumpable_behavior, getrlimit};

    #[test]
    fn a_process_with_keys_leaves_no_core() {
        let lacking = keep();
        assert!(
            !lacking.iter().any(|what| what.contains("core")),
            "{lacking:?}"
        );
        assert_eq!(getrlimit(Resource::Core).maximum, Some(0));
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
    }

    const SWAP: &str = "Filename Type Size Used Priority\n/dev/vdb partition 1048572 0 -2\n";

    #[test]
    fn memory_may_be_swapped_where_there_is_swap_and_no_group_forbids_it() {
        let with = |swaps: &'static str, group: &'static str, limit: &'static str| {
            may_be_swapped(&move |path: &Path| {
                let known = match path.to_str().unwrap() {
                    "/proc/swaps" => swaps,
                    "/proc/self/cgroup" => "0::/system.slice/causeway.service\n",
                    path if path.starts_with(group) && path.ends_with("memory.swap.max") => limit,
                    _ => "",
                };
                known.to_owned()
            })
        };
        let own = "/sys/fs/cgroup/system.slice/causeway.service";
        assert!(with(SWAP, own, "max\n"));
        assert!(with(SWAP, "/nowhere", "0\n"));
        assert!(!with(SWAP, own, "0\n"));
        assert!(!with(SWAP, "/sys/fs/cgroup/system.slice/memory", "0\n"));
        assert!(!with("Filename Type Size Used Priority\n", own, "max\n"));
    }
}
