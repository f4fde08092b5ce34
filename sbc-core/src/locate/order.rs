//! In which order the servers of a domain are tried: RFC 2782, and families within a server.

use super::{FamilyOrder, Server, Service};
use crate::mint::Mint;
use crate::transport::Protocol;
use std::net::{IpAddr, SocketAddr};

/// All addresses in the order in which they are tried. Weights are drawn anew each time.
pub(crate) fn in_order(
    services: &[Service],
    prefer: FamilyOrder,
    mint: &mut Mint,
) -> Vec<(Protocol, SocketAddr)> {
    let mut ordered: Vec<(Protocol, SocketAddr)> = Vec::new();
    for service in services {
        for server in drawn(&service.servers, mint) {
            for address in by_family(&server.addresses, prefer) {
                let place = (service.protocol, SocketAddr::new(address, server.port));
                // Two names of one machine are one place to try.
                if !ordered.contains(&place) {
                    ordered.push(place);
                }
            }
        }
    }
    ordered
}

/// Lowest priority first; within one the algorithm of RFC 2782: servers of weight 0 stand first,
/// and one is drawn by the running sum of weights until none is left.
fn drawn<'a>(servers: &'a [Server], mint: &mut Mint) -> Vec<&'a Server> {
    let mut left: Vec<&Server> = servers.iter().collect();
    left.sort_by_key(|server| (server.priority, server.weight != 0));
    let mut ordered = Vec::with_capacity(left.len());
    while let Some(first) = left.first() {
        let group = left
            .iter()
            .take_while(|server| server.priority == first.priority)
            .count();
        let weights = || {
            left.iter()
                .take(group)
                .map(|server| u64::from(server.weight))
        };
        let total: u64 = weights().sum();
        let mark = match group {
            1 => 0,
            _ => mint.between(0, total),
        };
        let mut sum = 0;
        let chosen = weights().position(|weight| {
            sum += weight;
            sum >= mark
        });
        ordered.push(left.remove(chosen.unwrap_or(0)));
    }
    ordered
}

/// Of each server with addresses of both families the first one and the first of the other family: two
/// ways to the same, of which the quicker one is wanted (RFC 8305).
pub(crate) fn rivals(services: &[Service], prefer: FamilyOrder) -> Vec<(SocketAddr, SocketAddr)> {
    let servers = services.iter().flat_map(|service| &service.servers);
    let pair = |server: &Server| {
        let addresses = by_family(&server.addresses, prefer);
        let first = *addresses.first()?;
        let other = addresses
            .iter()
            .find(|own| own.is_ipv4() != first.is_ipv4())?;
        let at = |address| SocketAddr::new(address, server.port);
        Some((at(first), at(*other)))
    };
    servers.filter_map(pair).collect()
}

fn by_family(addresses: &[IpAddr], prefer: FamilyOrder) -> Vec<IpAddr> {
    let mut ordered = addresses.to_vec();
    prefer.sort(&mut ordered, IpAddr::is_ipv4);
    ordered
}

impl FamilyOrder {
    /// Brings the preferred family to the front; otherwise the order stays.
    pub(crate) fn sort<T>(self, addresses: &mut [T], is_v4: fn(&T) -> bool) {
        match self {
            Self::V6 => addresses.sort_by_key(is_v4),
            Self::V4 => addresses.sort_by_key(|address| !is_v4(address)),
            Self::Dns => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ShardId;

    fn server(priority: u16, weight: u16, last: u8) -> Server {
        Server {
            priority,
            weight,
            port: 5060,
            addresses: vec![IpAddr::from([192, 0, 2, last])],
        }
    }

    fn lasts(servers: Vec<Server>, mint: &mut Mint) -> Vec<u8> {
        let service = Service {
            protocol: Protocol::Udp,
            servers,
        };
        let order = in_order(&[service], FamilyOrder::V6, mint);
        let last = |(_, at): (Protocol, SocketAddr)| match at.ip() {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(_) => 0,
        };
        order.into_iter().map(last).collect()
    }

    #[test]
    fn priorities_go_before_weights() {
        let mut mint = Mint::new(ShardId(0), [3; 32]);
        for _ in 0..50 {
            let order = lasts(
                vec![server(20, 60_000, 1), server(10, 0, 2), server(30, 0, 3)],
                &mut mint,
            );
            assert_eq!(order, [2, 1, 3]);
        }
    }

    #[test]
    fn weights_are_shares_and_a_weight_of_zero_has_a_small_chance() {
        let mut mint = Mint::new(ShardId(0), [3; 32]);
        let mut first = [0_u32; 4];
        for _ in 0..10_000 {
            let servers = vec![server(1, 0, 3), server(1, 30, 1), server(1, 10, 2)];
            let order = lasts(servers, &mut mint);
            assert_eq!(order.len(), 3);
            first[usize::from(order[0])] += 1;
        }
        // One of 41 marks is 0; of the others 30 and 10 belong to the weights.
        assert!((7_000..7_600).contains(&first[1]), "{first:?}");
        assert!((2_250..2_650).contains(&first[2]), "{first:?}");
        assert!((150..350).contains(&first[3]), "{first:?}");
    }

    #[test]
    fn servers_without_weight_are_all_tried_and_the_same_seed_gives_the_same_order() {
        let servers = || (1..=6).map(|last| server(5, 0, last)).collect();
        let draw = || lasts(servers(), &mut Mint::new(ShardId(0), [9; 32]));
        let mut order = draw();
        assert_eq!(order, draw());
        order.sort_unstable();
        assert_eq!(order, [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn every_address_of_a_server_stands_before_the_next_server_and_the_family_as_wished() {
        let v4: IpAddr = "192.0.2.1".parse().unwrap();
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        let second: IpAddr = "192.0.2.2".parse().unwrap();
        let service = |protocol| Service {
            protocol,
            servers: vec![
                Server {
                    priority: 1,
                    weight: 0,
                    port: 5070,
                    addresses: vec![v4, v6],
                },
                Server {
                    priority: 2,
                    weight: 0,
                    port: 5060,
                    addresses: vec![second, v6],
                },
            ],
        };
        for (prefer, wanted) in [
            (
                FamilyOrder::V6,
                [(v6, 5070), (v4, 5070), (v6, 5060), (second, 5060)],
            ),
            (
                FamilyOrder::V4,
                [(v4, 5070), (v6, 5070), (second, 5060), (v6, 5060)],
            ),
            (
                FamilyOrder::Dns,
                [(v4, 5070), (v6, 5070), (second, 5060), (v6, 5060)],
            ),
        ] {
            let mut mint = Mint::new(ShardId(0), [3; 32]);
            let order = in_order(&[service(Protocol::Tcp)], prefer, &mut mint);
            let wanted = wanted.map(|(ip, port)| (Protocol::Tcp, SocketAddr::new(ip, port)));
            assert_eq!(order, wanted, "{prefer:?}");
        }
    }
}
