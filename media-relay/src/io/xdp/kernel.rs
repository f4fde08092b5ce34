//! What the kernel knows, asked over rtnetlink: which interface has an address, where a packet would go,
//! and whose Ethernet address that is.

use crate::packet::frame::Mac;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{self, AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Longest answer of the kernel in one piece.
const ANSWER_BYTES: usize = 1 << 16;
/// The kernel answers at once; this is for one that does not.
const PATIENCE: Duration = Duration::from_secs(1);
const HEADER_BYTES: usize = 16;
const ROUTE_TO_A_HOST: u8 = 1;
const ETHERNET: u16 = 1;
const METRIC_MTU: u16 = 2;
const INFO_KIND: u16 = 1;
const SOURCE: u16 = 2;
/// States in which a neighbour's address may be used (`NUD_VALID`).
const USABLE: u16 = libc::NUD_PERMANENT
    | libc::NUD_NOARP
    | libc::NUD_REACHABLE
    | libc::NUD_PROBE
    | libc::NUD_STALE
    | libc::NUD_DELAY;

/// A connection to the kernel's tables.
pub(super) struct Kernel {
    socket: OwnedFd,
    number: u32,
    answer: Vec<u8>,
}

/// An interface as it is now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Link {
    pub(super) name: String,
    /// `None` if it is no Ethernet.
    pub(super) mac: Option<Mac>,
    pub(super) mtu: u32,
    pub(super) is_up: bool,
    pub(super) is_loopback: bool,
    /// Whether it is one end of a pair of virtual ones (veth).
    pub(super) is_pair: bool,
    /// Receive queues that it could have.
    pub(super) queues: u32,
}

/// Where packets to a destination leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Route {
    pub(super) interface: u32,
    pub(super) next: IpAddr,
    /// Where it is less than the interface's.
    pub(super) mtu: Option<u32>,
}

impl Kernel {
    pub(super) fn new() -> io::Result<Self> {
        Self::over(None)
    }

    /// Over another protocol of netlink than that of routes.
    pub(super) fn over(protocol: Option<Protocol>) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket = net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        sockopt::set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        Ok(Self {
            socket,
            number: 0,
            answer: vec![0; ANSWER_BYTES],
        })
    }

    /// The interface that has an address.
    pub(super) fn interface_of(&mut self, address: IpAddr) -> io::Result<Option<u32>> {
        let mut body = vec![0; 8];
        body[0] = family(address);
        let mut found = None;
        let flags = libc::NLM_F_DUMP as u16;
        self.ask(libc::RTM_GETADDR, flags, &body, |answer| {
            let own = attributes(answer.get(8..).unwrap_or_default());
            let names = [libc::IFA_LOCAL, libc::IFA_ADDRESS];
            let local = names.into_iter().find_map(|name| find(own.clone(), name));
            if local.and_then(ip) == Some(address) {
                found = found.or(word(answer, 4));
            }
        })?;
        Ok(found)
    }

    /// An interface, by its number.
    pub(super) fn link(&mut self, interface: u32) -> io::Result<Option<Link>> {
        let mut body = vec![0; 16];
        body[4..8].copy_from_slice(&interface.to_ne_bytes());
        let mut link = None;
        let asked = self.ask(libc::RTM_GETLINK, 0, &body, |answer| {
            let facts = attributes(answer.get(16..).unwrap_or_default());
            let value = |name| find(facts.clone(), name);
            let flags = word(answer, 8).unwrap_or(0);
            let name = value(libc::IFLA_IFNAME).unwrap_or_default();
            let name = name.split(|octet| *octet == 0).next().unwrap_or_default();
            let mac = value(libc::IFLA_ADDRESS).and_then(|mac| mac.try_into().ok());
            link = Some(Link {
                name: String::from_utf8_lossy(name).into_owned(),
                mac: mac.map(Mac).filter(|_| half(answer, 2) == Some(ETHERNET)),
                mtu: value(libc::IFLA_MTU)
                    .and_then(|mtu| word(mtu, 0))
                    .unwrap_or(0),
                is_up: flags & libc::IFF_UP as u32 != 0 && flags & libc::IFF_RUNNING as u32 != 0,
                is_pair: value(libc::IFLA_LINKINFO)
                    .and_then(|info| find(attributes(info), INFO_KIND))
                    .is_some_and(|kind| kind.strip_suffix(b"\0").unwrap_or(kind) == b"veth"),
                is_loopback: flags & libc::IFF_LOOPBACK as u32 != 0,
                queues: value(libc::IFLA_NUM_RX_QUEUES)
                    .and_then(|queues| word(queues, 0))
                    .unwrap_or(1),
            });
        });
        match asked {
            Err(gone) if gone.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            asked => asked.map(|()| link),
        }
    }

    /// Where a packet would go; `None` if it stays here, goes to many, or nowhere.
    pub(super) fn route(&mut self, from: IpAddr, to: IpAddr) -> io::Result<Option<Route>> {
        let mut body = vec![0; 12];
        let bits = (octets(to).len() * 8) as u8;
        body[..3].copy_from_slice(&[family(to), bits, bits]);
        add(&mut body, libc::RTA_DST, &octets(to));
        add(&mut body, SOURCE, &octets(from));
        let mut route = None;
        let asked = self.ask(libc::RTM_GETROUTE, 0, &body, |answer| {
            let facts = attributes(answer.get(12..).unwrap_or_default());
            let value = |name| find(facts.clone(), name);
            let Some(interface) = value(libc::RTA_OIF).and_then(|index| word(index, 0)) else {
                return;
            };
            // A gateway of the other family has its family in front.
            let via = value(libc::RTA_VIA).and_then(|via| ip(via.get(2..)?));
            let gateway = value(libc::RTA_GATEWAY).and_then(ip);
            let metrics = attributes(value(libc::RTA_METRICS).unwrap_or_default());
            if answer.get(7) == Some(&ROUTE_TO_A_HOST) {
                route = Some(Route {
                    interface,
                    next: gateway.or(via).unwrap_or(to),
                    mtu: find(metrics, METRIC_MTU).and_then(|mtu| word(mtu, 0)),
                });
            }
        });
        match asked {
            Err(fault) if is_nothing(&fault) => Ok(None),
            asked => asked.map(|()| route),
        }
    }

    /// The Ethernet address of a neighbour, if the kernel has learnt it.
    pub(super) fn neighbour(&mut self, interface: u32, address: IpAddr) -> io::Result<Option<Mac>> {
        let mut body = vec![0; 12];
        body[0] = family(address);
        body[4..8].copy_from_slice(&interface.to_ne_bytes());
        add(&mut body, libc::NDA_DST, &octets(address));
        let mut mac = None;
        let asked = self.ask(libc::RTM_GETNEIGH, 0, &body, |answer| {
            let state = half(answer, 8).unwrap_or(0);
            let facts = attributes(answer.get(12..).unwrap_or_default());
            let known = find(facts, libc::NDA_LLADDR).and_then(|mac| mac.try_into().ok());
            mac = known.map(Mac).filter(|_| state & USABLE != 0);
        });
        match asked {
            Err(fault) if is_nothing(&fault) => Ok(None),
            asked => asked.map(|()| mac),
        }
    }

    /// Asks, and shows every message of the answer without its header.
    pub(super) fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        body: &[u8],
        mut show: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        self.number = self.number.wrapping_add(1);
        let mut request = Vec::with_capacity(HEADER_BYTES + body.len());
        request.extend_from_slice(&((HEADER_BYTES + body.len()) as u32).to_ne_bytes());
        request.extend_from_slice(&kind.to_ne_bytes());
        request.extend_from_slice(&(libc::NLM_F_REQUEST as u16 | flags).to_ne_bytes());
        request.extend_from_slice(&self.number.to_ne_bytes());
        request.extend_from_slice(&[0; 4]);
        request.extend_from_slice(body);
        let kernel = SocketAddrNetlink::new(0, 0);
        net::sendto(&self.socket, &request, SendFlags::empty(), &kernel)?;
        let is_dump = flags & libc::NLM_F_DUMP as u16 != 0;
        loop {
            let (received, _) = net::recv(&self.socket, &mut self.answer, RecvFlags::empty())?;
            let mut rest = &self.answer[..received];
            while let Some(length) = word(rest, 0).map(|length| length as usize)
                && length >= HEADER_BYTES
                && let Some(message) = rest.get(..length)
            {
                rest = rest.get(padded(length)..).unwrap_or_default();
                // What answers a question that was given up is nobody's.
                if word(message, 8) != Some(self.number) {
                    continue;
                }
                match half(message, 4).map(i32::from) {
                    Some(libc::NLMSG_DONE) => return Ok(()),
                    Some(libc::NLMSG_ERROR) => {
                        let code = word(message, HEADER_BYTES).unwrap_or(0) as i32;
                        return Err(io::Error::from_raw_os_error(-code));
                    }
                    _ => show(&message[HEADER_BYTES..]),
                }
                if !is_dump {
                    return Ok(());
                }
            }
        }
    }
}

/// The kernel has nothing of the kind: no route, no neighbour, no network.
fn is_nothing(fault: &io::Error) -> bool {
    let nothing = [
        libc::ENOENT,
        libc::ENETUNREACH,
        libc::EHOSTUNREACH,
        libc::EACCES,
        libc::EINVAL,
        libc::ENODEV,
    ];
    fault
        .raw_os_error()
        .is_some_and(|code| nothing.contains(&code))
}

/// Names and values of a list of attributes.
pub(super) fn attributes(mut list: &[u8]) -> impl Iterator<Item = (u16, &[u8])> + Clone {
    std::iter::from_fn(move || {
        let length = usize::from(half(list, 0)?);
        let name = half(list, 2)?;
        let value = list.get(4..length)?;
        list = list.get(padded(length)..).unwrap_or_default();
        // The upper two bits say how it is written.
        Some((name & 0x3fff, value))
    })
}

pub(super) fn find<'a>(
    mut list: impl Iterator<Item = (u16, &'a [u8])>,
    name: u16,
) -> Option<&'a [u8]> {
    list.find(|(other, _)| *other == name)
        .map(|(_, value)| value)
}

pub(super) fn add(body: &mut Vec<u8>, name: u16, value: &[u8]) {
    body.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
    body.extend_from_slice(&name.to_ne_bytes());
    body.extend_from_slice(value);
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

pub(super) fn half(octets: &[u8], at: usize) -> Option<u16> {
    let two = octets.get(at..at.checked_add(2)?)?;
    Some(u16::from_ne_bytes(two.try_into().ok()?))
}

fn word(octets: &[u8], at: usize) -> Option<u32> {
    let four = octets.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(four.try_into().ok()?))
}

fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn ip(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn the_loopback_interface_is_found_and_packets_to_ourselves_have_no_route() {
        let mut kernel = Kernel::new().unwrap();
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let index = kernel.interface_of(here).unwrap().unwrap();
        let link = kernel.link(index).unwrap().unwrap();
        assert!(link.is_loopback && link.is_up, "{link:?}");
        assert_eq!((link.name.as_str(), link.mac), ("lo", None));
        assert_eq!(kernel.route(here, here).unwrap(), None);
        let nobody = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77));
        assert_eq!(kernel.interface_of(nobody).unwrap(), None);
        assert_eq!(kernel.link(u32::MAX >> 1).unwrap(), None);
        assert_eq!(kernel.neighbour(index, nobody).unwrap(), None);
    }

    #[test]
    fn broken_attributes_end_the_list() {
        let list = [
            8, 0, 1, 0, 192, 0, 2, 1, 5, 0, 2, 0x40, 7, 0, 0, 0, 200, 0, 3, 0,
        ];
        let read: Vec<_> = attributes(&list).collect();
        assert_eq!(read, [(1, &[192, 0, 2, 1][..]), (2, &[7][..])]);
        assert_eq!(attributes(&[1, 0, 0, 0]).count(), 0);
    }
}
