//! Whether a packet from inside that is sent to the public address of media comes back in: clients of Teams in the
//! network of the SBC send theirs so when media bypasses Microsoft (TDR-ICE-013).

use super::Outcome;
use sbc_core::config::{Config, Trunk};
use sbc_core::media::Ice;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// How often it is sent, and how long each is waited for.
const SENT: usize = 3;
const PATIENCE: Duration = Duration::from_millis(400);
/// Media ports that are tried: those of calls are taken.
const PORTS: usize = 64;

/// Tries it for a trunk with media bypass; nothing for others.
pub async fn check(config: &Config, trunk: &Trunk) -> Option<Outcome> {
    let bypasses = trunk.media.profile.ice == Ice::Bypass;
    let realm = config.realms.get(&trunk.realm).filter(|_| bypasses)?;
    let local = realm.v4?;
    let Some(public) = realm.advertise_v4.filter(|public| *public != local) else {
        return Some(Outcome::Skipped(format!(
            "media is reached at {local} itself: there is no NAT on the way"
        )));
    };
    let Some((inside, port)) = free(local, &realm.ports).await else {
        return Some(Outcome::Skipped(format!(
            "no media port of {local} could be taken for it: is it this host, with ports to spare?"
        )));
    };
    let outside = SocketAddr::from((public, port));
    Some(match came_round(&inside, local, outside).await {
        Ok(true) => Outcome::Good(format!(
            "a packet from here to {outside} came back in: clients inside reach media directly"
        )),
        Ok(false) => doubtful(outside, "came back"),
        Err(why) => doubtful(outside, &format!("could be sent ({why})")),
    })
}

fn doubtful(outside: SocketAddr, what: &str) -> Outcome {
    Outcome::Doubtful(format!(
        "nothing from inside to {outside} {what}: clients of Teams in this network will use Microsoft's transport relays \
         (let the NAT turn such packets round, known as hairpin or NAT loopback, or route {} to this host inside)",
        outside.ip()
    ))
}

/// A media port that nobody uses, from the end of the range: calls take them from anywhere.
async fn free(local: Ipv4Addr, ports: &RangeInclusive<u16>) -> Option<(UdpSocket, u16)> {
    for port in ports.clone().rev().step_by(2).take(PORTS) {
        if let Ok(socket) = UdpSocket::bind((local, port)).await {
            return Some((socket, port));
        }
    }
    None
}

async fn came_round(inside: &UdpSocket, from: Ipv4Addr, to: SocketAddr) -> io::Result<bool> {
    let client = UdpSocket::bind((from, 0)).await?;
    let request = binding_request();
    let mut arrived = [0; 64];
    for _ in 0..SENT {
        client.send_to(&request, to).await?;
        let own = async {
            loop {
                let length = inside.recv(&mut arrived).await?;
                if arrived[..length] == request {
                    return Ok(true);
                }
            }
        };
        if let Ok(came) = timeout(PATIENCE, own).await {
            return came;
        }
    }
    Ok(false)
}

/// A STUN Binding request without attributes (RFC 8489 §5): what firewalls expect where media is.
fn binding_request() -> [u8; 20] {
    let random = RandomState::new();
    let mut request = [0; 20];
    request[..8].copy_from_slice(&[0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42]);
    request[8..16].copy_from_slice(&random.hash_one(0).to_be_bytes());
    request[16..].copy_from_slice(&random.hash_one(1).to_be_bytes()[..4]);
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::config::{Assumed, Source, load};

    const CONFIG: &str = r#"
[node]
id = "test"

[[realm]]
name = "teams"
addresses = ["127.0.0.1"]
advertise = { v4 = "PUBLIC" }
ports = "FIRST-LAST"

[[tls]]
name = "teams"
cert = "sbc.pem"
key = { file = "sbc.key" }
client_ca = "roots.pem"
verify_client = "require"

[[listen]]
realm = "teams"
transport = "tls"
port = 5061
tls = "teams"

[[tenant]]
name = "contoso"
numbers = ["+441632960100-+441632960199"]

[[trunk]]
name = "teams"
preset = "teams"
tenant = "contoso"
realm = "teams"
tls = "teams"
fqdn = "sbc1.contoso.example"
media_bypass = BYPASS
"#;

    fn config(public: &str, ports: &RangeInclusive<u16>, bypass: &str) -> Config {
        let text = CONFIG
            .replace("PUBLIC", public)
            .replace("FIRST", &ports.start().to_string())
            .replace("LAST", &ports.end().to_string())
            .replace("BYPASS", bypass);
        let facts = Assumed::with_names(["sbc1.contoso.example"]);
        match load(&[Source::new("causeway.toml", &text)], &facts, None) {
            Ok(loaded) => loaded.config,
            Err(findings) => panic!("{}", findings.to_text()),
        }
    }

    async fn outcome(config: &Config) -> Option<Outcome> {
        check(config, config.trunks.values().next().unwrap()).await
    }

    /// Eight ports of the public address, from all of which nobody takes packets but us.
    async fn outside(public: Ipv4Addr) -> (RangeInclusive<u16>, Vec<UdpSocket>) {
        'next: loop {
            let chance = UdpSocket::bind((public, 0)).await.unwrap();
            let first = chance.local_addr().unwrap().port() & !7;
            drop(chance);
            let mut sockets = Vec::new();
            for port in first..first + 8 {
                match UdpSocket::bind((public, port)).await {
                    Ok(socket) => sockets.push(socket),
                    Err(_) => continue 'next,
                }
            }
            return (first..=first + 7, sockets);
        }
    }

    #[tokio::test]
    async fn a_nat_that_turns_packets_round_is_told_from_one_that_does_not() {
        let public = Ipv4Addr::new(127, 0, 0, 77);
        let (ports, sockets) = outside(public).await;
        let config = config("127.0.0.77", &ports, "true");
        let lost = outcome(&config).await.unwrap();
        assert_eq!(lost.word(), "warning", "{lost}");
        assert!(lost.to_string().contains("hairpin"), "{lost}");

        let nat = tokio::spawn(async move {
            let turned = sockets.into_iter().map(|socket| {
                tokio::spawn(async move {
                    let port = socket.local_addr().unwrap().port();
                    let mut packet = [0; 64];
                    while let Ok(length) = socket.recv(&mut packet).await {
                        let inside = (Ipv4Addr::LOCALHOST, port);
                        socket.send_to(&packet[..length], inside).await.unwrap();
                    }
                })
            });
            for socket in turned.collect::<Vec<_>>() {
                let _ = socket.await;
            }
        });
        let round = outcome(&config).await.unwrap();
        assert_eq!(round.word(), "ok", "{round}");
        nat.abort();
    }

    #[tokio::test]
    async fn it_is_tried_with_media_bypass_and_behind_a_nat_alone() {
        let ports = 40_000..=40_007;
        let without_nat = outcome(&config("127.0.0.1", &ports, "true")).await.unwrap();
        assert_eq!(without_nat.word(), "skipped", "{without_nat}");
        assert_eq!(outcome(&config("127.0.0.77", &ports, "false")).await, None);
    }
}
