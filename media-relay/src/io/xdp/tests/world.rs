//! Two network namespaces with two cables between them, made by `ip`; the second has two
//! queues.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The longest that anything may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Two namespaces: the relay's and the peers'.
pub(super) struct World {
    name: String,
}

impl World {
    /// `None`, and said why, where the machine does not let us have one.
    pub(super) fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let world = Self {
            name: format!("cwx{}n{count}", std::process::id()),
        };
        let name = &world.name;
        let commands = format!(
            "netns add {name}a\n\
             netns add {name}b\n\
             link add cable netns {name}a type veth peer name cable netns {name}b\n\
             link add other netns {name}a numrxqueues 2 numtxqueues 2 \
             type veth peer name other netns {name}b numrxqueues 2 numtxqueues 2\n\
             -n {name}a addr add 198.51.100.1/24 dev other\n\
             -n {name}b addr add 198.51.100.2/24 dev other\n\
             -n {name}a link set other up\n\
             -n {name}b link set other up\n\
             -n {name}a addr add 192.0.2.1/24 dev cable\n\
             -n {name}b addr add 192.0.2.2/24 dev cable\n\
             -n {name}a addr add 2001:db8::1/64 dev cable nodad\n\
             -n {name}b addr add 2001:db8::2/64 dev cable nodad\n\
             -n {name}a link set lo up\n\
             -n {name}a link set cable up\n\
             -n {name}b link set cable up"
        );
        for command in commands.lines() {
            match ip(command) {
                Ok(_) => {}
                Err(why) if command.contains(" add ") && !command.starts_with('-') => {
                    eprintln!("skipped: ip {command}: {why}");
                    return None;
                }
                Err(why) => panic!("ip {command}: {why}"),
            }
        }
        // The cable needs a moment before it carries anything.
        for cable in ["cable", "other"] {
            until("the cable carries", || {
                let state = ip(&format!("-n {name}a -o link show dev {cable}"));
                state.is_ok_and(|state| state.contains("state UP"))
            });
        }
        Some(world)
    }

    /// Does something in one of them.
    pub(super) fn within<T: Send>(&self, side: &str, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}{side}", self.name);
        std::thread::scope(|scope| {
            let work = scope.spawn(move || {
                let space = File::open(path).unwrap();
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(space.as_fd(), kind).unwrap();
                work()
            });
            work.join().unwrap()
        })
    }

    pub(super) fn link(&self, state: &str) {
        ip(&format!("-n {}a link set cable {state}", self.name)).unwrap();
    }

    /// Takes the first cable away, interface and all.
    pub(super) fn unplug(&self) {
        ip(&format!("-n {}a link del cable", self.name)).unwrap();
    }

    /// Datagrams that the kernel has given to the relay's sockets, and taken from them.
    pub(super) fn by_socket(&self) -> u64 {
        self.within("a", || {
            let v4 = std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
            let mut lines = v4.lines().filter(|line| line.starts_with("Udp:"));
            let names = lines.next().unwrap().split_whitespace();
            let values = lines.next().unwrap().split_whitespace();
            let wanted = |name: &str| matches!(name, "InDatagrams" | "OutDatagrams");
            let v4 = names.zip(values).filter(|(name, _)| wanted(name));
            let v6 = std::fs::read_to_string("/proc/thread-self/net/snmp6").unwrap();
            let v6 = v6.lines().filter_map(|line| {
                let (name, value) = line.split_once(char::is_whitespace)?;
                wanted(name.strip_prefix("Udp6")?).then_some(value)
            });
            let values = v4.map(|(_, value)| value).chain(v6);
            values
                .map(|value| value.trim().parse::<u64>().unwrap())
                .sum()
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for side in ["a", "b"] {
            let _ = ip(&format!("netns del {}{side}", self.name));
        }
    }
}

fn ip(command: &str) -> Result<String, String> {
    let done = Command::new("ip").args(command.split_whitespace()).output();
    let done = done.map_err(|why| why.to_string())?;
    match done.status.success() {
        true => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
    }
}

/// Waits for something.
pub(super) fn until(what: &str, mut comes_true: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !comes_true() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
