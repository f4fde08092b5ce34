//! A DNS server of the lab: addresses of names, which can change, and can go unanswered (RFC 1035 §4).

use crate::lock::lock;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

/// A socket that waits for its server: its address goes into a configuration first.
pub struct Place {
    socket: UdpSocket,
    /// Where the server will be.
    pub address: SocketAddr,
}

/// A server; it ends with this value.
pub struct Names {
    /// Where it is asked.
    pub address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    _task: JoinSet<()>,
}

#[derive(Default)]
struct Zone {
    addresses: BTreeMap<String, IpAddr>,
    asked: BTreeSet<String>,
    is_silent: bool,
}

/// How long answers hold, in seconds.
const LIFETIME: u32 = 1;

impl Place {
    /// Takes a free port.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn take(ip: IpAddr) -> io::Result<Self> {
        Self::take_at(SocketAddr::new(ip, 0)).await
    }

    /// Takes this port.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn take_at(at: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(at).await?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }
}

impl Names {
    /// Begins to answer.
    pub fn start(place: Place) -> Self {
        let zone = Arc::new(Mutex::new(Zone::default()));
        let (address, known) = (place.address, Arc::clone(&zone));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut buffer = [0; 2048];
            // A socket that fails answers nothing more, which is noticed as silence.
            while let Ok((length, from)) = place.socket.recv_from(&mut buffer).await {
                let answer = lock(&known).answer(&buffer[..length]);
                if let Some(answer) = answer {
                    let _ = place.socket.send_to(&answer, from).await;
                }
            }
        });
        Self {
            address,
            zone,
            _task: task,
        }
    }

    /// From now on a name has this address.
    pub fn set(&self, name: &str, address: IpAddr) {
        let name = name.to_ascii_lowercase();
        lock(&self.zone).addresses.insert(name, address);
    }

    /// Answers nothing any more.
    pub fn falls_silent(&self) {
        lock(&self.zone).is_silent = true;
    }

    /// Whether anybody has asked for a name.
    pub fn was_asked(&self, name: &str) -> bool {
        lock(&self.zone).asked.contains(name)
    }
}

impl Zone {
    fn answer(&mut self, query: &[u8]) -> Option<Vec<u8>> {
        let (name, end) = question(query)?;
        let address = self.addresses.get(&name).copied();
        self.asked.insert(name);
        if self.is_silent {
            return None;
        }
        let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
        let data = match (address, kind) {
            (Some(IpAddr::V4(v4)), 1) => Some(v4.octets().to_vec()),
            (Some(IpAddr::V6(v6)), 28) => Some(v6.octets().to_vec()),
            _ => None,
        };
        // A name that is not there is told apart from one without addresses of this family.
        let code = if address.is_some() { 0x80 } else { 0x83 };
        let count = u8::from(data.is_some());
        let mut message = vec![*query.first()?, *query.get(1)?, 0x84, code, 0, 1, 0, count];
        message.extend([0; 4]);
        message.extend(query.get(12..end + 4)?);
        if let Some(data) = data {
            message.extend([0xC0, 12]);
            message.extend(kind.to_be_bytes());
            message.extend([0, 1]);
            message.extend(LIFETIME.to_be_bytes());
            message.extend([0, u8::try_from(data.len()).unwrap_or_default()]);
            message.extend(data);
        }
        Some(message)
    }
}

/// The name that is asked for, in lower case, and where it ends.
fn question(query: &[u8]) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        let label = query.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(kind: u16) -> Vec<u8> {
        let mut query = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(b"\x03SIP\x07example\x00");
        query.extend(kind.to_be_bytes());
        query.extend([0, 1]);
        query
    }

    #[test]
    fn a_name_has_one_address_of_one_family() {
        let mut zone = Zone::default();
        assert_eq!(zone.answer(&query(1)).unwrap()[3], 0x83, "nobody knows it");
        let address = IpAddr::from([192, 0, 2, 7]);
        zone.addresses.insert("sip.example".to_owned(), address);
        let answer = zone.answer(&query(1)).unwrap();
        assert_eq!(
            (answer[..2].to_vec(), answer[3], answer[7]),
            (vec![7, 9], 0x80, 1)
        );
        assert!(answer.ends_with(&[0, 4, 192, 0, 2, 7]));
        assert_eq!(zone.answer(&query(28)).unwrap()[7], 0);
        assert!(zone.asked.contains("sip.example"));
        assert_eq!(zone.answer(&query(1)[..20]), None);
        zone.is_silent = true;
        assert_eq!(zone.answer(&query(1)), None);
    }
}
