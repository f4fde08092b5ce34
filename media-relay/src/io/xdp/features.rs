//! What drivers can do with frames that a program sends, asked of the kernel over generic netlink.

use super::kernel::{Kernel, add, attributes, find, half};
use rustix::net::netlink;
use std::io;

const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
const GET_DEVICE: u8 = 1;
const DEVICE: u16 = 1;
const XDP_FEATURES: u16 = 3;
/// Its programs may send frames out of other interfaces.
const REDIRECTS: u64 = 1 << 1;
/// Frames that programs send out of it reach the other end.
const TAKES: u64 = 1 << 2;

/// Queues of an interface, receiving or sending ones, whichever are fewer: drivers count one or the other. Those of
/// interfaces below it, which send for it, count as its own. `None` where the host does not show them.
pub(super) fn queues(name: &str) -> Option<u32> {
    let folder = |rest: &str| std::fs::read_dir(format!("/sys/class/net/{name}{rest}")).ok();
    let (mut receiving, mut sending) = (0, 0);
    for queue in folder("/queues")? {
        let queue = queue.ok()?.file_name();
        let queue = queue.to_str()?;
        receiving += u32::from(queue.starts_with("rx-"));
        sending += u32::from(queue.starts_with("tx-"));
    }
    let mut fewest = receiving.min(sending);
    for entry in folder("")? {
        let entry = entry.ok()?.file_name();
        if let Some(below) = entry.to_str()?.strip_prefix("lower_") {
            fewest = fewest.min(queues(below)?);
        }
    }
    Some(fewest)
}

/// Processors that run programs now: one more than the highest number of any.
pub(super) fn processors() -> Option<u32> {
    behind_the_highest(&std::fs::read_to_string("/sys/devices/system/cpu/online").ok()?)
}

/// Of a list of numbers and ranges of them, the number behind the highest.
fn behind_the_highest(list: &str) -> Option<u32> {
    let numbers = list.trim().split([',', '-']);
    let numbers = numbers.map(|number| number.parse::<u32>().ok());
    let highest = numbers.collect::<Option<Vec<_>>>()?.into_iter().max()?;
    highest.checked_add(1)
}

/// A connection to that part of the kernel.
pub(super) struct Features {
    kernel: Kernel,
    family: u16,
}

/// What one interface can.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Known {
    /// A program on it can send frames out of other interfaces.
    pub(super) redirects: bool,
    /// What programs of others send out of it leaves it; of one end of a pair (veth) also what its own sends back.
    pub(super) takes: bool,
}

impl Features {
    /// # Errors
    /// Where the kernel tells nothing of the kind: before Linux 6.3.
    pub(super) fn new() -> io::Result<Self> {
        let mut kernel = Kernel::over(Some(netlink::GENERIC))?;
        let mut body = vec![GET_FAMILY, 1, 0, 0];
        add(&mut body, FAMILY_NAME, b"netdev\0");
        // What is asked here has a multiple of four.
        body.resize(body.len().next_multiple_of(4), 0);
        let mut family = None;
        kernel.ask(libc::GENL_ID_CTRL as u16, 0, &body, |answer| {
            let facts = attributes(answer.get(4..).unwrap_or_default());
            family = find(facts, FAMILY_ID).and_then(|id| half(id, 0));
        })?;
        let family = family.ok_or(io::ErrorKind::Unsupported)?;
        Ok(Self { kernel, family })
    }

    /// What becomes of frames that programs send.
    pub(super) fn of(&mut self, interface: u32) -> io::Result<Known> {
        let mut body = vec![GET_DEVICE, 1, 0, 0];
        add(&mut body, DEVICE, &interface.to_ne_bytes());
        let mut features = 0;
        self.kernel.ask(self.family, 0, &body, |answer| {
            let facts = attributes(answer.get(4..).unwrap_or_default());
            let found = find(facts, XDP_FEATURES).and_then(|value| value.first_chunk());
            features = found.map_or(0, |value| u64::from_ne_bytes(*value));
        })?;
        Ok(Known {
            redirects: features & REDIRECTS != 0,
            takes: features & TAKES != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_counted_to_the_highest_number() {
        for (list, count) in [
            ("0\n", Some(1)),
            ("0-7\n", Some(8)),
            ("0-3,8-11", Some(12)),
            ("0,2", Some(3)),
            ("", None),
            ("0-x", None),
            ("4294967295", None),
        ] {
            assert_eq!(behind_the_highest(list), count, "{list}");
        }
    }

    #[test]
    fn an_interface_that_is_not_there_shows_no_queues() {
        assert_eq!(queues("no such one"), None);
    }
}
