//! A DNS server for tests: a zone of a few records, and every way to answer badly.
#![allow(unreachable_pub, reason = "a module of a test binary")]

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// How a name is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    /// With its records.
    Records,
    /// With its records over TCP, over UDP with a request to come there.
    Truncated,
    /// With this code and nothing else.
    Code(u8),
    /// Not at all.
    Nothing,
    /// With its records, but not at all to who asks for addresses of IPv6, as many firewalls have it.
    NotOfV6,
    /// With the identifier of another query.
    WrongId,
    /// As if another name had been asked for.
    WrongQuestion,
    /// With records of another name.
    WrongOwner,
    /// With something that is no message.
    Garbage,
}

/// Type and data of a record.
pub type Data = (u16, Vec<u8>);

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const NAPTR: u16 = 35;

pub fn a(address: &str) -> Data {
    match address.parse() {
        Ok(IpAddr::V4(address)) => (A, address.octets().to_vec()),
        other => panic!("{other:?}"),
    }
}

pub fn aaaa(address: &str) -> Data {
    match address.parse() {
        Ok(IpAddr::V6(address)) => (AAAA, address.octets().to_vec()),
        other => panic!("{other:?}"),
    }
}

pub fn cname(target: &str) -> Data {
    (CNAME, name(target))
}

pub fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Data {
    let numbers = [priority, weight, port].map(u16::to_be_bytes).concat();
    (SRV, [numbers, name(target)].concat())
}

pub fn naptr(order: u16, preference: u16, flags: &str, service: &str, to: &str) -> Data {
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    let mut data = [order, preference].map(u16::to_be_bytes).concat();
    data.extend([text(flags), text(service), text(""), name(to)].concat());
    (NAPTR, data)
}

fn name(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// The server; it ends with the runtime of its test.
pub struct Nameserver {
    pub address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

#[derive(Default)]
struct Zone {
    records: HashMap<String, Vec<Data>>,
    replies: HashMap<String, Reply>,
    asked: HashMap<String, usize>,
    over_tcp: usize,
    lifetime: u32,
    delay: Duration,
}

impl Nameserver {
    pub async fn start() -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            // Another program may have the same port of the other protocol.
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let zone = Arc::new(Mutex::new(Zone {
            lifetime: 300,
            ..Zone::default()
        }));
        tokio::spawn(serve_datagrams(Arc::new(udp), Arc::clone(&zone)));
        tokio::spawn(serve_streams(tcp, Arc::clone(&zone)));
        Self { address, zone }
    }

    pub fn set(&self, name: &str, records: Vec<Data>) {
        self.lock().records.insert(name.to_owned(), records);
    }

    pub fn reply(&self, name: &str, reply: Reply) {
        self.lock().replies.insert(name.to_owned(), reply);
    }

    pub fn lifetime(&self, seconds: u32) {
        self.lock().lifetime = seconds;
    }

    pub fn delay(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    /// Queries for a name, of all types.
    pub fn queries(&self, name: &str) -> usize {
        self.lock().asked.get(name).copied().unwrap_or(0)
    }

    pub fn over_tcp(&self) -> usize {
        self.lock().over_tcp
    }

    fn lock(&self) -> MutexGuard<'_, Zone> {
        self.zone.lock().unwrap()
    }
}

async fn serve_datagrams(socket: Arc<UdpSocket>, zone: Arc<Mutex<Zone>>) {
    let mut buffer = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let (answer, delay) = {
            let mut zone = zone.lock().unwrap();
            (zone.answer(&buffer[..length], false), zone.delay)
        };
        let socket = Arc::clone(&socket);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            if let Some(answer) = answer {
                let _ = socket.send_to(&answer, from).await;
            }
        });
    }
}

async fn serve_streams(listener: TcpListener, zone: Arc<Mutex<Zone>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve_stream(stream, Arc::clone(&zone)));
    }
}

async fn serve_stream(mut stream: TcpStream, zone: Arc<Mutex<Zone>>) {
    while let Ok(length) = stream.read_u16().await {
        let mut query = vec![0; usize::from(length)];
        if stream.read_exact(&mut query).await.is_err() {
            return;
        }
        let answer = zone.lock().unwrap().answer(&query, true);
        let Some(answer) = answer else {
            continue;
        };
        let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
        if stream
            .write_all(&[&length, &answer[..]].concat())
            .await
            .is_err()
        {
            return;
        }
    }
}

impl Zone {
    fn answer(&mut self, query: &[u8], is_tcp: bool) -> Option<Vec<u8>> {
        let (name_asked, end) = read_name(query)?;
        let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
        *self.asked.entry(name_asked.clone()).or_default() += 1;
        self.over_tcp += usize::from(is_tcp);
        let reply = self
            .replies
            .get(&name_asked)
            .copied()
            .unwrap_or(Reply::Records);
        let mut id = [query[0], query[1]];
        let mut question = query[12..end + 4].to_vec();
        let mut owner = query[12..end].to_vec();
        let (mut flags, mut code) = (0x84_u8, 0_u8);
        let known = self.records.get(&name_asked);
        let mut records: Vec<Data> = known.cloned().unwrap_or_default();
        if records.is_empty() {
            code = 3;
        }
        records.retain(|(of, _)| *of == kind || *of == CNAME);
        match reply {
            Reply::Records => {}
            Reply::Truncated if is_tcp => {}
            Reply::Truncated => {
                flags |= 0x02;
                records.clear();
            }
            Reply::Code(with) => {
                code = with;
                records.clear();
            }
            Reply::NotOfV6 if kind != AAAA => {}
            Reply::Nothing | Reply::NotOfV6 => return None,
            Reply::WrongId => id[0] ^= 0x55,
            Reply::WrongQuestion => {
                question = [name("other.example.com"), query[end..end + 4].to_vec()].concat();
                owner = name("other.example.com");
            }
            Reply::WrongOwner => owner = name("other.example.com"),
            Reply::Garbage => return Some(vec![0xff; 40]),
        }
        let mut message = vec![id[0], id[1], flags, 0x80 | code, 0, 1];
        message.extend((records.len() as u16).to_be_bytes());
        message.extend([0; 4]);
        message.extend(question);
        for (kind, data) in records {
            message.extend(&owner);
            message.extend(kind.to_be_bytes());
            message.extend(1_u16.to_be_bytes());
            message.extend(self.lifetime.to_be_bytes());
            message.extend((data.len() as u16).to_be_bytes());
            message.extend(data);
        }
        Some(message)
    }
}

/// The name of the question in lower case, and where it ends.
fn read_name(query: &[u8]) -> Option<(String, usize)> {
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
