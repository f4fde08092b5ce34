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
