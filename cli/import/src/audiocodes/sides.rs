//! Network sides: interfaces, media realms and SIP interfaces as realms, TLS identities and listeners.

use super::peers::Peers;
use super::{Known, Tables, rest};
use crate::quoted;
use crate::{Draft, draft::word};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// A realm that is to be written.
pub(super) struct Side {
    pub(super) name: String,
    line: usize,
    what: String,
    addresses: Vec<IpAddr>,
    advertise: Option<IpAddr>,
    ports: Option<(i64, i64)>,
}

/// A SIP interface.
pub(super) struct Door {
    pub(super) line: usize,
    name: String,
    network: String,
    media: String,
    udp: i64,
    tcp: i64,
    tls: i64,
    /// Which TLS identity.
    pub(super) identity: Option<usize>,
    is_mutual: bool,
    /// Which realm; known once media realms of IP groups are.
    pub(super) side: usize,
}

struct Media {
    name: String,
    line: usize,
    network: String,
    ports: Option<(i64, i64)>,
}

/// A TLS context.
pub(super) struct Identity {
    pub(super) name: String,
    line: usize,
    is_1_3_only: bool,
}

/// All of them.
pub(super) struct Sides {
    pub(super) doors: Vec<Door>,
    doors_known: Known,
    pub(super) identities: Vec<Identity>,
    identities_known: Known,
    pub(super) sides: Vec<Side>,
    networks: BTreeMap<String, (Vec<IpAddr>, usize)>,
    translations: BTreeMap<String, IpAddr>,
    media: Vec<Media>,
    media_known: Known,
}

pub(super) fn read(tables: &mut Tables, draft: &mut Draft) -> Sides {
    let mut sides = Sides {
        doors: Vec::new(),
        doors_known: Known::default(),
        identities: Vec::new(),
        identities_known: Known::default(),
        sides: Vec::new(),
        networks: BTreeMap::new(),
        translations: BTreeMap::new(),
        media: Vec::new(),
        media_known: Known::default(),
    };
    for mut row in tables.take("InterfaceTable") {
        // The network itself is the host's: mask, gateway, VLAN and name servers.
        for column in [
            "ApplicationTypes",
            "InterfaceMode",
            "PrefixLength",
            "Gateway",
            "VlanID",
        ] {
            row.take(column);
        }
        for column in [
            "PrimaryDNSServerIPAddress",
            "SecondaryDNSServerIPAddress",
            "UnderlyingDevice",
        ] {
            row.take(column);
        }
        let (name, address) = (row.take("InterfaceName"), row.take("IPAddress"));
        match address.parse::<IpAddr>() {
            Ok(address) if !address.is_unspecified() => {
                let key = name.to_ascii_lowercase();
                let (all, _) = sides.networks.entry(key).or_insert((Vec::new(), row.line));
                // A realm has one address of each family.
                match all.iter().any(|have| have.is_ipv4() == address.is_ipv4()) {
                    true => draft.note(
                        row.line,
                        format!("address {address} of interface {}", word(&name)),
                        "a realm has one address of each family",
                        "write a realm of its own for it",
                    ),
                    false => all.push(address),
                }
            }
            Ok(_) | Err(_) => draft.note(
                row.line,
                format!(
                    "address \"{}\" of interface {}",
                    word(&address),
                    word(&name)
                ),
                "it is no address that a socket can have",
                "write the address into the realm",
            ),
        }
        rest("InterfaceTable", &row, draft);
    }
    for mut row in tables.take("NATTranslation") {
        let network = row.take_any(&["SrcIPInterfaceName", "SourceIPInterface"]);
        let target = row.take("TargetIPAddress");
        for column in [
            "SourceStartPort",
            "SourceEndPort",
            "TargetStartPort",
            "TargetEndPort",
        ] {
            row.take(column);
        }
        match target.parse::<IpAddr>() {
            Ok(address) => {
                let before = sides
                    .translations
                    .insert(network.to_ascii_lowercase(), address);
                if before.is_some_and(|before| before != address) {
                    draft.note(
                        row.line,
                        format!("public address {address} of interface {}", word(&network)),
                        "the interface has another one as well, and a realm advertises one",
                        "write a realm of its own for it; this one was taken",
                    );
                }
            }
            Err(_) => draft.note(
                row.line,
                format!("public address \"{}\"", word(&target)),
                "it is no IP address",
                "write it into the realm: advertise = { v4 = \"203.0.113.5\" }",
            ),
        }
        rest("NATTranslation", &row, draft);
    }
    for table in ["CpMediaRealm", "MediaRealm"] {
        for mut row in tables.take(table) {
            let name = row.take_any(&["MediaRealmName", "Name"]);
            let network = row.take_any(&["IPv4IF", "IPv6IF"]);
            let first = row
                .number("PortRangeStart")
                .filter(|port| (1..=65_535).contains(port));
            let last = row
                .number("PortRangeEnd")
                .filter(|port| (1..=65_535).contains(port));
            // Each leg has ten ports where the file does not say where they end.
            let legs = row
                .number("MediaSessionLeg")
                .filter(|legs| (1..=6_000).contains(legs));
            row.take("IsDefault");
            let last = last.or(first
                .zip(legs)
                .map(|(first, legs)| (first + legs * 10 - 1).min(65_535)));
            let ports = first.zip(last).filter(|(first, last)| first < last);
            sides
                .media_known
                .insert(&name, &row.index, sides.media.len());
            rest(table, &row, draft);
            let line = row.line;
            sides.media.push(Media {
                name,
                line,
                network,
                ports,
            });
        }
    }
    for mut row in tables.take("TLSContexts") {
        let wish = row.take_any(&["Name", "ContextName"]);
        let name = draft.name("tls", &wish);
        sides
            .identities_known
            .insert(&wish, &row.index, sides.identities.len());
        // A sum of bits: 4 is 1.2, 8 is 1.3, and less than 1.2 is nobody's any more.
        let is_1_3_only = row.number("TLSVersion") == Some(8);
        rest("TLSContexts", &row, draft);
        let line = row.line;
        sides.identities.push(Identity {
            name,
            line,
            is_1_3_only,
        });
    }
    for mut row in tables.take("SIPInterface") {
        door(&mut row, &mut sides, draft);
        rest("SIPInterface", &row, draft);
    }
    sides
}

fn door(row: &mut super::Row, sides: &mut Sides, draft: &mut Draft) {
    let name = row.take_any(&["InterfaceName", "Name"]);
    let application = row.number("ApplicationType");
    if application.is_some_and(|kind| kind != 2) {
        draft.note(
            row.line,
            format!("SIP interface {}", word(&name)),
            "it is of the gateway, not of the SBC",
            "keep a gateway for lines and phones; it is a trunk of its own here",
        );
        return;
    }
    let context = row.take_any(&["TLSContext", "TLSContextName"]);
    let mut port = |column: &str| {
        let port = row.number(column).unwrap_or(0);
        if (0..=65_535).contains(&port) {
            port
        } else {
            0
        }
    };
    let (udp, tcp, tls) = (port("UDPPort"), port("TCPPort"), port("TLSPort"));
    let mut identity = sides.identities_known.get(&context).filter(|_| tls != 0);
    if identity.is_none() && tls != 0 {
        // One that is not there, or not named, is the first one of the device.
        if sides.identities.is_empty() {
            let name = draft.name("tls", "default");
            let line = row.line;
            sides.identities.push(Identity {
                name,
                line,
                is_1_3_only: false,
            });
        }
        identity = Some(0);
        if !context.is_empty() {
            draft.note(
                row.line,
                format!(
                    "TLS context \"{}\" of SIP interface {}",
                    word(&context),
                    word(&name)
                ),
                "the file has no such context; the first one was taken",
                "write the right one at the listener and at its trunks",
            );
        }
    }
    sides
        .doors_known
        .insert(&name, &row.index, sides.doors.len());
    sides.doors.push(Door {
        line: row.line,
        name,
        network: row.take("NetworkInterface"),
        media: row.take("MediaRealm"),
        udp,
        tcp,
        tls,
        identity,
        is_mutual: row.number("TLSMutualAuthentication") == Some(1),
        side: 0,
    });
    row.take("SRDName");
    row.take("TCPKeepaliveEnable");
}

impl Sides {
    pub(super) fn is_empty(&self) -> bool {
        self.doors.is_empty()
    }

    /// The SIP interface of this name or index.
    pub(super) fn door(&self, name: &str) -> Option<usize> {
        self.doors_known.get(name)
    }

    /// Gives a SIP interface without media realm that of one of its IP groups; says whether the group has it then.
    pub(super) fn media_of(&mut self, door: usize, media: &str) -> bool {
        let Some(door) = self.doors.get_mut(door) else {
            return true;
        };
        if door.media.is_empty() {
            media.clone_into(&mut door.media);
        }
        media.is_empty() || door.media.eq_ignore_ascii_case(media)
    }

    /// Makes the realms: one for each pair of network and media realm.
    pub(super) fn settle(&mut self, draft: &mut Draft) {
        let mut made: BTreeMap<(String, Option<usize>), usize> = BTreeMap::new();
        for index in 0..self.doors.len() {
            let Some(door) = self.doors.get(index) else {
                continue;
            };
            let media = self.media_known.get(&door.media);
            let key = (door.network.to_ascii_lowercase(), media);
            let media = media.and_then(|index| self.media.get(index));
            let side = match made.get(&key) {
                Some(side) => *side,
                None => {
                    let side = Side {
                        name: draft.name("realm", media.map_or(&door.name, |media| &media.name)),
                        line: media.map_or(door.line, |media| media.line),
                        what: format!("SIP interface {} in line {}", door.name, door.line),
                        addresses: self
                            .networks
                            .get(&key.0)
                            .map(|(all, _)| all.clone())
                            .unwrap_or_default(),
                        advertise: self.translations.get(&key.0).copied(),
                        ports: media.and_then(|media| media.ports),
                    };
                    if let Some(media) = media
                        && !media.network.is_empty()
                        && !media.network.eq_ignore_ascii_case(&door.network)
                    {
                        draft.note(
                            media.line,
                            format!("media realm {} on interface {}", word(&media.name), word(&media.network)),
                            "a realm has signalling and media at one address; that of its SIP interface was taken",
                            "tell the peer the new address, and open the media ports there",
                        );
                    }
                    self.sides.push(side);
                    made.insert(key, self.sides.len() - 1);
                    self.sides.len() - 1
                }
            };
            if let Some(door) = self.doors.get_mut(index) {
                door.side = side;
            }
        }
    }

    /// Writes realms, TLS identities and listeners.
    pub(super) fn write(&self, peers: &Peers, draft: &mut Draft) {
        for side in &self.sides {
            draft.block("[[realm]]", side.line, &side.what);
            draft.text("name", &side.name);
            let addresses: Vec<String> = side
                .addresses
                .iter()
                .map(|ip| quoted(&ip.to_string()))
                .collect();
            match addresses.is_empty() {
                true => draft.change(
                    "addresses",
                    "[\"192.0.2.10\"]",
                    "the local address of this side",
                ),
                false => draft.raw("addresses", format!("[{}]", addresses.join(", "))),
            }
            if let Some(address) = side.advertise {
                let family = if address.is_ipv4() { "v4" } else { "v6" };
                draft.raw("advertise", format!("{{ {family} = \"{address}\" }}"));
            }
            match side.ports {
                Some((first, last)) => draft.text("ports", &format!("{first}-{last}")),
                None => draft.change("ports", "\"20000-29999\"", "the UDP ports for media"),
            }
        }
        let used: BTreeSet<usize> = self.doors.iter().filter_map(|door| door.identity).collect();
        for (index, identity) in self.identities.iter().enumerate() {
            if !used.contains(&index) {
                draft.note(
                    identity.line,
                    format!("TLS context {}", identity.name),
                    "no SIP interface of the SBC that listens for TLS has it",
                    "nothing, unless it is for something else than calls",
                );
                continue;
            }
            draft.note(
                identity.line,
                format!(
                    "certificate, key and trusted roots of TLS context {}",
                    identity.name
                ),
                "they are not in the file",
                "put them where the result says, or change the paths there",
            );
            draft.block("[[tls]]", identity.line, "TLSContexts");
            draft.text("name", &identity.name);
            let path = format!("/etc/causeway/tls/{}", identity.name);
            draft.change(
                "cert",
                quoted(&format!("{path}.pem")),
                "certificate, then its intermediates",
            );
            draft.change(
                "key",
                format!("{{ file = {} }}", quoted(&format!("{path}.key"))),
                "its private key",
            );
            let mut doors = self
                .doors
                .iter()
                .filter(|door| door.identity == Some(index));
            let is_mutual = doors.any(|door| door.is_mutual);
            match peers.has_teams(self, index) {
                true => {
                    draft.text("client_ca", "microsoft");
                    draft.text("verify_client", "require");
                }
                false => {
                    let roots = quoted(&format!("{path}-ca.pem"));
                    draft.change("client_ca", roots, "roots of the peers' certificates");
                    draft.text("verify_client", if is_mutual { "require" } else { "off" });
                }
            }
            if identity.is_1_3_only {
                draft.text("min", "1.3");
            }
        }
        for door in &self.doors {
            self.listeners(door, draft);
        }
    }

    fn listeners(&self, door: &Door, draft: &mut Draft) {
        let Some(side) = self.sides.get(door.side) else {
            return;
        };
        let mut listener = |transport: &str, port: i64| {
            draft.block(
                "[[listen]]",
                door.line,
                &format!("SIP interface {}", door.name),
            );
            draft.text("realm", &side.name);
            draft.text("transport", transport);
            draft.raw("port", port);
            match (
                transport,
                door.identity.and_then(|index| self.identities.get(index)),
            ) {
                ("tls", Some(identity)) => draft.text("tls", &identity.name),
                // A listener for datagrams would bring one for connections with it.
                ("udp", _) if door.tcp != door.udp => draft.raw("tcp", false),
                _ => {}
            }
        };
        if door.udp != 0 {
            listener("udp", door.udp);
        }
        if door.tcp != 0 && door.tcp != door.udp {
            listener("tcp", door.tcp);
        }
        if door.tls != 0 {
            listener("tls", door.tls);
        }
    }
}
