//! Where a redirected REGISTER goes (SIP-1622).

use super::Registering;
use crate::config::{Lookup, TargetAddress};
use crate::dialog::NextHop;
use crate::sip::Message;
use crate::sip::header::Contact;

/// Most servers that a redirection is followed to.
const MOST_REDIRECTED: usize = 4;

impl Registering {
    /// The contacts of a redirection are the next servers, one hop far. They are the trunk's peer
    /// only if its addresses say so, or if they are names below its own domain: nobody else is shown
    /// what we are called (SIP-1610).
    pub(super) fn redirected(&mut self, from: &TargetAddress, message: &Message) {
        let contacts = message.list::<Contact>().unwrap_or_default();
        let hops: Vec<NextHop> = contacts
            .iter()
            .filter_map(|contact| contact.uri().map(NextHop::of))
            .take(MOST_REDIRECTED)
            .collect();
        let names = hops
            .iter()
            .filter(|next| next.literal(from.protocol).is_none());
        let names: Vec<TargetAddress> = names
            .filter(|next| !next.host.is_empty())
            .map(|next| self.named(next, from))
            .collect();
        if !names.is_empty() {
            // Other addresses of who redirects would do the same.
            self.addresses.clear();
        }
        for name in names.into_iter().rev() {
            let domain = &self.wanted.domain;
            let is_below = name
                .host
                .strip_suffix(domain.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
            let is_known = self
                .style
                .trunk
                .targets
                .iter()
                .any(|own| own.host == name.host);
            if !is_below && !is_known {
                self.strangers.push(name.host.clone());
            }
            self.names.push_front(name);
        }
        let servers = hops.iter().filter_map(|next| {
            let remote = next.literal(from.protocol)?;
            let is_peer = self.is_peer(remote.ip());
            let target = TargetAddress {
                host: from.host.clone(),
                port: remote.port(),
                protocol: from.protocol,
                lookup: Lookup::Addresses,
                connect_to: Vec::new(),
            };
            is_peer.then_some((target, remote))
        });
        let servers: Vec<_> = servers.collect();
        for server in servers.into_iter().rev() {
            self.addresses.push_front(server);
        }
    }

    /// A server that a redirection names. Never over another protocol: a redirection must not take TLS
    /// away.
    fn named(&self, next: &NextHop, from: &TargetAddress) -> TargetAddress {
        let host = next.host.to_ascii_lowercase();
        let mut own = self.style.trunk.targets.iter();
        let own = own.find(|own| own.host.eq_ignore_ascii_case(&host));
        TargetAddress {
            host,
            port: next.port_for(from.protocol),
            protocol: from.protocol,
            lookup: match next.port {
                Some(_) => Lookup::Addresses,
                None => Lookup::Servers,
            },
            connect_to: own.map(|own| own.connect_to.clone()).unwrap_or_default(),
        }
    }
}
