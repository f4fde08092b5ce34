//! One DTLS association over a UDP socket, for programs of others to talk to. Prints its fingerprint, then the
//! keys: ROLE LOCAL REMOTE FINGERPRINT, with the peer's address or `-` for any.
//!
//!     dtls passive 127.0.0.1:4444 - sha-256 AB:CD:…
//!     dtls active 127.0.0.1:0 127.0.0.1:4444 sha-256 AB:CD:…

use media_api::{DtlsRole, DtlsTerms, Fingerprint};
use media_relay::Timestamp;
use media_relay::dtls::{Association, Identity, Outcome};
use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [role, local, remote, function, digest] = &arguments[..] else {
        return Err("ROLE LOCAL REMOTE HASH DIGEST".into());
    };
    let socket = UdpSocket::bind(local)?;
    let identity = Identity::generate().map_err(|_| "no identity")?;
    println!("{} {}", socket.local_addr()?, identity.fingerprint());
    let fingerprint = Fingerprint::parse(function.as_bytes(), digest.as_bytes());
    let terms = DtlsTerms {
        role: match role.as_str() {
            "active" => DtlsRole::Active,
            _ => DtlsRole::Passive,
        },
        fingerprints: vec![fingerprint.ok_or("no fingerprint")?],
        tls_id: String::new(),
    };
    let epoch = Instant::now();
    let now = || Timestamp(0) + epoch.elapsed();
    let mut peer: Option<SocketAddr> = remote.parse().ok();
    let mut association = Association::new(&identity, terms, now());
    let mut buffer = [0; 2_048];
    // Until the peer has what it needs as well: it may repeat its last flight.
    let mut end = None;
    while end.is_none_or(|end| Instant::now() < end) {
        let send = |to: Option<SocketAddr>, packet: &[u8]| {
            if let Some(to) = to {
                // What is lost is repeated.
                let _ = socket.send_to(packet, to);
            }
        };
        let due = association.deadline().map(|due| due.since(now()));
        let wait = due.unwrap_or(Duration::from_millis(100));
        socket.set_read_timeout(Some(wait.max(Duration::from_millis(1))))?;
        let outcome = match socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                peer = peer.or(Some(from));
                association.packet(&buffer[..length], now(), |packet| send(peer, packet))
            }
            Err(_) => association.tick(now(), |packet| send(peer, packet)),
        };
        match outcome {
            None => {}
            Some(Outcome::Keys { local, remote }) => {
                let hex = |octets: &[u8]| -> String {
                    octets.iter().map(|octet| format!("{octet:02X}")).collect()
                };
                for key in [local, remote] {
                    let (name, key, salt) =
                        (key.suite().name(), key.expose_key(), key.expose_salt());
                    println!("{name} {} {}", hex(key), hex(salt));
                }
                end = Some(Instant::now() + Duration::from_millis(500));
            }
            Some(Outcome::Failed(fault)) => return Err(fault.to_string().into()),
        }
    }
    Ok(())
}
