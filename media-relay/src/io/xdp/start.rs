//! What is set up before workers start: which interfaces take part, why others do not, and the thread
//! that watches them.

use super::bpf::Mode;
use super::express::{Entries, Table};
use super::features::Features;
use super::interface::{Interface, State};
use super::kernel::Kernel;
use super::lane::{Kind, Lane, Maker, Queue, SENDING};
use super::moderation::{self, Moderation};
use super::paths::{Answer, Ends, Path, Paths, Question, Way};
use super::program::Part;
use super::umem::{Frame, Umem};
use crate::control::realm::Realm;
use crate::io::{AddressReport, Backend, Runs};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often interfaces are looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Questions and answers that may wait.
const WAITING: usize = 1024;
/// Frames that a queue can hold: with one busy queue, some 20 ms of two thousand calls.
const DEEPEST: u32 = 4096;
/// Frames that all queues together hold at most, unless they are more than this many.
const MOST_FRAMES: u32 = 1 << 15;
const SHALLOWEST: u32 = 512;
/// Queues of an interface that take part; packets of others go by the sockets.
const MOST_QUEUES: u32 = 64;
/// How long a hook is tried that another process may be about to leave. It is free when the last copy of its
/// descriptor is closed, and a child that was just forked has one until it runs its own program.
const HOOK_PATIENCE: Duration = Duration::from_secs(2);
/// How long a queue is tried. Who had it has left the hook, which is ours already, and the kernel gives its queues
/// back when it comes to it: on a busy host after hundreds of milliseconds.
const QUEUE_PATIENCE: Duration = Duration::from_secs(5);
/// How long between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// What all workers have in common.
pub(super) struct Shared {
    pub(super) umem: Umem,
    pub(super) interfaces: Vec<Interface>,
    pub(super) diverted: Vec<Diverted>,
    /// What interfaces forward by themselves.
    pub(super) express: Option<Arc<Table>>,
    /// Held for some instructions, by whoever comes first; the others go on without.
    pub(super) depot: Mutex<Depot>,
}

impl Shared {
    /// The realm's ports that one is of, if its packets go by AF_XDP: a socket of some worker's, or of none yet.
    pub(super) fn diverted_at(&self, local: SocketAddr) -> Option<&Diverted> {
        let is_there =
            |own: &&Diverted| own.address == local.ip() && own.ports.contains(&local.port());
        self.diverted.iter().find(is_there)
    }

    /// Why an interface forwards nothing by itself, or does so only what leaves by itself again.
    fn not_by_itself(&self, at: usize) -> Option<String> {
        let interface = &self.interfaces[at];
        if let Err(why) = interface.express() {
            return Some(why.to_owned());
        }
        if !interface.redirects() {
            return None;
        }
        let others = self.interfaces.iter();
        let mut others = others.filter(|other| other.index != interface.index);
        others.find_map(Interface::lacks_queues)
    }
}

/// Ports of a realm's address that are ours.
#[derive(Debug)]
pub(super) struct Diverted {
    pub(super) address: IpAddr,
    pub(super) ports: RangeInclusive<u16>,
    /// Position of the interface, and of the address there.
    pub(super) interface: usize,
    pub(super) at: usize,
}

/// Frames that nobody has, and the ends of all queues.
pub(super) struct Depot {
    pub(super) spare: Vec<Frame>,
    pub(super) queues: Vec<Queue>,
}

/// What one worker starts with.
pub(crate) struct Parts {
    pub(super) worker: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) lanes: Vec<Lane>,
    pub(super) paths: Paths,
    pub(super) entries: Option<Entries>,
}

/// The thread that watches, and what it watches.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    reports: Vec<(AddressReport, Option<usize>)>,
    thread: Option<JoinHandle<()>>,
}

/// What came of it: reports of realms' addresses, and the parts of every worker if any interface takes part.
pub(crate) struct Started {
    pub(crate) reports: Vec<AddressReport>,
    pub(crate) running: Option<(Watch, Vec<Parts>)>,
}

/// An address of a realm that is to go by AF_XDP.
struct Wanted {
    realm: media_api::RealmId,
    address: IpAddr,
    ports: RangeInclusive<u16>,
}

/// Sets up what the realms ask for, as far as it goes. What does not go is said in the reports.
pub(crate) fn start(realms: &[Realm], workers: usize) -> Started {
    let mut reports = Vec::new();
    let mut wanted = Vec::new();
    for realm in realms {
        for local in [realm.v4, realm.v6].into_iter().flatten() {
            match realm.backend {
                Backend::Sockets => {
                    reports.push(AddressReport::of_sockets(realm.id, local.bind));
                }
                Backend::Xdp => wanted.push(Wanted {
                    realm: realm.id,
                    address: local.bind,
                    ports: realm.first_port..=realm.last_port,
                }),
            }
        }
    }
    if wanted.is_empty() {
        return Started {
            reports,
            running: None,
        };
    }
    let mut setup = Setup {
        workers,
        reports,
        interfaces: Vec::new(),
    };
    setup.find(wanted);
    setup.run()
}

/// An interface and what is wanted of it.
struct Candidate {
    index: u32,
    link: super::kernel::Link,
    queues: u32,
    wanted: Vec<Wanted>,
}

struct Setup {
    workers: usize,
    reports: Vec<AddressReport>,
    interfaces: Vec<Candidate>,
}

impl Setup {
    /// Finds the interfaces that could take part.
    fn find(&mut self, wanted: Vec<Wanted>) {
        let mut kernel = match Kernel::new() {
            Ok(kernel) => kernel,
            Err(fault) => {
                let why = format!("the kernel's tables cannot be read: {fault}");
                wanted.iter().for_each(|one| self.refuse(one, None, &why));
                return;
            }
        };
        let mut found: BTreeMap<u32, Vec<Wanted>> = BTreeMap::new();
        for one in wanted {
            match kernel.interface_of(one.address) {
                Ok(Some(index)) => found.entry(index).or_default().push(one),
                Ok(None) => self.refuse(&one, None, "no interface has the address at the start"),
                Err(fault) => self.refuse(&one, None, &format!("its interface: {fault}")),
            }
        }
        for (index, wanted) in found {
            let link = match kernel.link(index) {
                Ok(Some(link)) => link,
                Ok(None) | Err(_) => {
                    self.refuse_all(&wanted, None, "its interface cannot be read");
                    continue;
                }
            };
            let why = match &link {
                link if link.is_loopback => {
                    "packets of the loopback interface never leave the host"
                }
                link if link.mac.is_none() => "its interface is no Ethernet",
                _ => "",
            };
            if !why.is_empty() {
                self.refuse_all(&wanted, Some(&link.name), why);
                continue;
            }
            self.interfaces.push(Candidate {
                index,
                queues: queues(&link.name)
                    .unwrap_or(link.queues)
                    .clamp(1, MOST_QUEUES),
                link,
                wanted,
            });
        }
    }

    fn run(mut self) -> Started {
        let candidates = std::mem::take(&mut self.interfaces);
        let queues: u32 = candidates.iter().map(|one| one.queues).sum();
        if queues == 0 {
            return self.nothing();
        }
        let depth = depth(queues);
        let frames = queues * depth + self.workers as u32 * SENDING;
        let (umem, spare) = match Umem::new(frames) {
            Ok(made) => made,
            Err(fault) => {
                let why = format!("no memory for packets: {fault}");
                for one in candidates {
                    self.refuse_all(&one.wanted, Some(&one.link.name), &why);
                }
                return self.nothing();
            }
        };
        let mut maker = Maker {
            umem: &umem,
            owner: None,
            depth,
        };
        let express = Table::new().map(Arc::new);
        let express = express.map_err(|fault| format!("the kernel has no map for it: {fault}"));
        let part = express
            .as_ref()
            .map(|table| table.part())
            .map_err(Clone::clone);
        let mut interfaces = Vec::new();
        let mut diverted = Vec::new();
        let mut depot = Depot {
            spare,
            queues: Vec::new(),
        };
        let mut lanes: Vec<Vec<Lane>> = (0..self.workers).map(|_| Vec::new()).collect();
        let mut running = Vec::new();
        // All interfaces have the frames in common and so do without copies together or not at all. With
        // several the kernel copies, so that none is left out.
        let copies = candidates.len() > 1;
        for one in candidates {
            let at = interfaces.len();
            match connect(&one, at, self.workers, &mut maker, (copies, &part)) {
                Ok(connected) => {
                    for (own, more) in lanes.iter_mut().zip(connected.lanes) {
                        own.extend(more);
                    }
                    depot.queues.extend(connected.queues);
                    for wanted in one.wanted {
                        running.push((wanted.realm, wanted.address, at));
                        let place = connected.interface.addresses.iter();
                        let place = place.clone().position(|known| *known == wanted.address);
                        diverted.extend(place.map(|place| Diverted {
                            address: wanted.address,
                            ports: wanted.ports,
                            interface: at,
                            at: place,
                        }));
                    }
                    interfaces.push(connected.interface);
                }
                Err(fault) => {
                    let why = why_not(&fault);
                    self.refuse_all(&one.wanted, Some(&one.link.name), &why);
                }
            }
        }
        if interfaces.is_empty() {
            return self.nothing();
        }
        // Queues are filled before anything is diverted to them.
        for queue in &mut depot.queues {
            queue.exchange(&umem, &mut depot.spare);
        }
        let shared = Arc::new(Shared {
            umem,
            interfaces,
            diverted,
            express: express.ok(),
            depot: Mutex::new(depot),
        });
        self.watch(shared, lanes, running)
    }

    fn watch(
        self,
        shared: Arc<Shared>,
        lanes: Vec<Vec<Lane>>,
        running: Vec<(media_api::RealmId, IpAddr, usize)>,
    ) -> Started {
        let (questions, asked) = sync_channel(WAITING);
        let mut parts = Vec::new();
        let mut told = Vec::new();
        let workers = lanes.len();
        for (worker, lanes) in lanes.into_iter().enumerate() {
            let (answer, answers) = sync_channel(WAITING);
            told.push(answer);
            parts.push(Parts {
                worker,
                entries: shared
                    .express
                    .as_ref()
                    .map(|table| table.share(worker, workers)),
                shared: Arc::clone(&shared),
                lanes,
                paths: Paths::new(worker, questions.clone(), answers),
            });
        }
        drop(questions);
        let watched = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("media-paths".to_owned())
            .spawn(move || watch(&watched, &asked, &told));
        let reports = running.into_iter().map(|(realm, address, at)| {
            let interface = &shared.interfaces[at];
            let report = AddressReport {
                realm,
                address,
                interface: Some(interface.name.clone()),
                runs: Runs::Xdp {
                    is_native: interface.mode == Mode::Native,
                    is_zero_copy: interface.is_zero_copy,
                    is_moderated: interface.moderation.is_some(),
                },
                dropped: 0,
                forwarded: 0,
                forwards: interface.express().is_ok(),
                not_by_itself: shared.not_by_itself(at),
                crowded_out: 0,
                because: None,
            };
            (report, Some(at))
        });
        let others = self.reports.into_iter().map(|report| (report, None));
        let watch = Watch {
            reports: reports.chain(others).collect(),
            shared,
            // Without it no path is ever known, and all goes by the sockets.
            thread: thread.ok(),
        };
        Started {
            reports: watch.reports(),
            running: Some((watch, parts)),
        }
    }

    fn nothing(self) -> Started {
        Started {
            reports: self.reports,
            running: None,
        }
    }

    fn refuse_all(&mut self, wanted: &[Wanted], interface: Option<&str>, why: &str) {
        for one in wanted {
            self.refuse(one, interface, why);
        }
    }

    fn refuse(&mut self, one: &Wanted, interface: Option<&str>, why: &str) {
        self.reports.push(AddressReport {
            realm: one.realm,
            address: one.address,
            interface: interface.map(str::to_owned),
            runs: Runs::Sockets,
            dropped: 0,
            forwarded: 0,
            forwards: false,
            not_by_itself: None,
            crowded_out: 0,
            because: Some(why.to_owned()),
        });
    }
}

/// An interface with its program and all its sockets.
struct Connected {
    interface: Interface,
    queues: Vec<Queue>,
    /// By worker.
    lanes: Vec<Vec<Lane>>,
}

fn connect(
    one: &Candidate,
    at: usize,
    workers: usize,
    maker: &mut Maker<'_>,
    (copies, express): (bool, &Result<Part, String>),
) -> io::Result<Connected> {
    let mut addresses: Vec<IpAddr> = one.wanted.iter().map(|wanted| wanted.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let attach = || {
        let addresses = addresses.clone();
        Interface::attach(
            one.index,
            &one.link,
            addresses,
            one.queues,
            workers,
            express.clone(),
        )
    };
    let mut interface = persistently(HOOK_PATIENCE, attach)?;
    let copies = copies || interface.mode == Mode::Generic;
    let mut queues = Vec::new();
    let mut lanes: Vec<Vec<Lane>> = (0..workers).map(|_| Vec::new()).collect();
    'all: for queue in 0..one.queues {
        for (worker, own) in lanes.iter_mut().enumerate() {
            let kind = match queues.last() {
                Some(queue) if worker > 0 => Kind::Beside(queue),
                _ => Kind::First,
            };
            let place = (at, one.index);
            let (lane, common) = match persistently(QUEUE_PATIENCE, || {
                maker.make(place, queue, kind, copies)
            }) {
                // It could have the queue, and has fewer at present.
                Err(fault) if queue > 0 && fault.raw_os_error() == Some(libc::EINVAL) => break 'all,
                made => made?,
            };
            interface.give(queue * workers as u32 + worker as u32, &lane.socket)?;
            interface.is_zero_copy = lane.is_zero_copy();
            queues.extend(common);
            own.push(lane);
        }
    }
    interface.moderation = Moderation::begin(&moderation::folder(&interface.name)).ok();
    Ok(Connected {
        interface,
        queues,
        lanes,
    })
}

/// Tries for so long what a process that is ending may still have.
fn persistently<T>(patience: Duration, mut make: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let until = Instant::now() + patience;
    loop {
        match make() {
            Err(fault) if is_busy(&fault) && Instant::now() < until => thread::sleep(PAUSE),
            made => return made,
        }
    }
}

/// Whether somebody else has it.
fn is_busy(fault: &io::Error) -> bool {
    matches!(fault.raw_os_error(), Some(libc::EBUSY | libc::EEXIST))
}

/// Frames for each of so many queues; a power of two.
fn depth(queues: u32) -> u32 {
    let share = MOST_FRAMES / queues.max(1);
    let power = 1 << share.max(1).ilog2();
    u32::clamp(power, SHALLOWEST, DEEPEST)
}

/// Receive queues that an interface has now, where the host shows them.
fn queues(name: &str) -> Option<u32> {
    let queues = std::fs::read_dir(format!("/sys/class/net/{name}/queues")).ok()?;
    let names = queues.filter_map(|queue| queue.ok()?.file_name().into_string().ok());
    let receive = names.filter(|name| name.starts_with("rx-"));
    u32::try_from(receive.count()).ok()
}

fn why_not(fault: &io::Error) -> String {
    match fault.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "the process lacks CAP_NET_ADMIN, CAP_NET_RAW or CAP_BPF".to_owned()
        }
        _ if is_busy(fault) => {
            "another program has the interface's XDP hook or its queues".to_owned()
        }
        Some(libc::ENOBUFS | libc::ENOMEM) => {
            format!("no memory for packets, or LimitMEMLOCK is too low: {fault}")
        }
        Some(libc::EAFNOSUPPORT | libc::ENOSYS) => {
            "the kernel has no AF_XDP, or the service's sandbox forbids it".to_owned()
        }
        _ => format!("the interface or the kernel refuses AF_XDP: {fault}"),
    }
}

/// The thread: answers questions, and looks at the interfaces in between.
fn watch(shared: &Shared, asked: &Receiver<Question>, told: &[SyncSender<Answer>]) {
    let Ok(mut kernel) = Kernel::new() else {
        return;
    };
    let mut features = Features::new().ok();
    let mut due = Instant::now() + LOOK;
    loop {
        let now = Instant::now();
        if now >= due {
            due = now + LOOK;
            for interface in &shared.interfaces {
                interface.look(&mut kernel, features.as_mut());
            }
        }
        match asked.recv_timeout(due.saturating_duration_since(now)) {
            Ok(question) => {
                let answer = Answer {
                    ends: question.ends,
                    way: way(shared, &mut kernel, question.ends),
                };
                if let Some(worker) = told.get(question.worker) {
                    // A worker that is late asks again.
                    let _ = worker.try_send(answer);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            // The last worker is gone.
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn way(shared: &Shared, kernel: &mut Kernel, (from, to): Ends) -> Way {
    let Ok(Some(route)) = kernel.route(from, to) else {
        return Way::Elsewhere;
    };
    let known = |interface: &Interface| interface.index == route.interface;
    let Some(interface) = shared.interfaces.iter().position(known) else {
        return Way::Elsewhere;
    };
    let Ok(Some(mac)) = kernel.neighbour(route.interface, route.next) else {
        return Way::Unknown;
    };
    let mtu = shared.interfaces[interface].mtu();
    Way::Known(Path {
        interface,
        mac,
        mtu: route.mtu.map_or(mtu, |less| less.min(mtu)),
    })
}

impl Watch {
    /// What runs on each address now.
    pub(crate) fn reports(&self) -> Vec<AddressReport> {
        let now = self.reports.iter().map(|(report, at)| {
            let mut report = report.clone();
            let Some(at) = *at else {
                return report;
            };
            let interface = &self.shared.interfaces[at];
            report.dropped = interface.dropped();
            report.forwarded = interface.forwarded();
            report.crowded_out = interface.crowded_out();
            report.forwards = interface.express().is_ok();
            report.not_by_itself = self.shared.not_by_itself(at);
            let why = match interface.state() {
                State::Works => return report,
                State::Down => "the interface is down",
                State::Detached => {
                    "the program was detached from the interface, or the interface is gone; \
                     the next start tries again"
                }
            };
            report.runs = Runs::Sockets;
            report.forwards = false;
            report.not_by_itself = None;
            report.because = Some(why.to_owned());
            report
        });
        now.collect()
    }

    /// Cuts the program off every interface, as an administrator can.
    #[cfg(test)]
    pub(crate) fn detach(&self) {
        for interface in &self.shared.interfaces {
            interface.detach().unwrap();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The workers have ended, so it does, too; nothing is attached when we return.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_program_is_leaving_is_waited_for_and_nothing_else() {
        let mut left = 3;
        let mut attempt = |code| {
            left -= 1;
            match left {
                0 => Ok(()),
                _ => Err(io::Error::from_raw_os_error(code)),
            }
        };
        persistently(QUEUE_PATIENCE, || attempt(libc::EBUSY)).unwrap();
        let fault = persistently(QUEUE_PATIENCE, || attempt(libc::EPERM)).unwrap_err();
        assert_eq!(fault.raw_os_error(), Some(libc::EPERM));
        let fault = persistently(Duration::ZERO, || attempt(libc::EBUSY)).unwrap_err();
        assert_eq!(
            why_not(&fault),
            "another program has the interface's XDP hook or its queues"
        );
    }
}
