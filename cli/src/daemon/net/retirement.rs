//! Datagram sockets of listeners that a reload took away: they serve the dialogs that use them and
//! nothing new (OPS-121), until no call is left that could, or a later reload wants them back.

use super::udp::Udp;
use super::{BindFault, Net, Opened, Running, Service};
use sbc_core::config::Config;
use sbc_core::id::{CallId, ListenerName};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The longest retirement, whatever calls there are.
pub(super) const LONGEST: Duration = Duration::from_secs(4 * 3600);
/// How often calls are looked at: 64·T1, the life of a transaction, so that the last repetitions of
/// a call are answered too.
pub(super) const LOOK: Duration = Duration::from_secs(32);
/// How long a socket may take to close that nobody reads any more.
const CLOSING: Duration = Duration::from_secs(1);

/// A socket in retirement.
pub(super) struct Retired {
    socket: Arc<Udp>,
    /// The configuration it retired with.
    config: Arc<Config>,
}

/// What has to be bound again if the reload that took it away fails.
struct Taken {
    listener: ListenerName,
    address: SocketAddr,
    config: Arc<Config>,
}

impl Net {
    /// As [`Net::open`], for a reload: a listener that comes back gets the address which its own
    /// former socket still serves. That socket is closed for it and another bound at once; what
    /// arrives in between is repeated by its sender.
    ///
    /// # Errors
    /// As [`Net::open`]; what was in retirement stays so then.
    pub async fn reopen(&self, config: &Config) -> Result<Opened, Vec<BindFault>> {
        let faults = match self.open(config) {
            Ok(opened) => return Ok(opened),
            Err(faults) => faults,
        };
        let comes_back = |fault: &BindFault| fault.retired.as_ref() == Some(&fault.listener);
        if !faults.iter().all(comes_back) {
            return Err(faults);
        }
        let mut taken = Vec::new();
        for fault in &faults {
            taken.extend(self.take_back(fault.address).await);
        }
        let opened = self.open(config);
        if opened.is_err() {
            for taken in taken {
                self.retire_again(taken);
            }
        }
        opened
    }

    /// Takes a listener out of service whose configuration was this.
    pub(super) fn retire(&self, gone: Running, config: &Arc<Config>) {
        match gone.service {
            Service::Datagrams(socket) => self.retire_socket(socket, Arc::clone(config)),
            // Connections already accepted live on in their own tasks.
            Service::Connections(task) => task.abort(),
        }
    }

    fn retire_socket(&self, socket: Arc<Udp>, config: Arc<Config>) {
        socket.retire(Arc::clone(&config));
        let watched = Arc::downgrade(&socket);
        self.retired().push(Retired { socket, config });
        let net = self.clone();
        self.shared
            .runtime
            .spawn(async move { net.watch(&watched).await });
    }

    /// Ends a retirement when it has lasted long enough.
    async fn watch(&self, socket: &Weak<Udp>) {
        let end = Instant::now() + LONGEST;
        let mut usage = Usage::default();
        while socket.strong_count() > 0 {
            sleep(LOOK).await;
            let in_progress = self.shared.metrics.calls.all_in_progress();
            if usage.is_over(&in_progress) || Instant::now() >= end {
                if let Some(retired) = socket.upgrade().and_then(|socket| self.remove(&socket)) {
                    retired.socket.stop();
                }
                return;
            }
        }
    }

    fn remove(&self, socket: &Arc<Udp>) -> Option<Retired> {
        self.shared.sockets.rcu(|sockets| sockets.without(socket));
        let mut all = self.retired();
        let at = all
            .iter()
            .position(|retired| Arc::ptr_eq(&retired.socket, socket))?;
        Some(all.swap_remove(at))
    }

    /// Closes the retired socket of an address.
    async fn take_back(&self, address: SocketAddr) -> Option<Taken> {
        let socket = {
            let all = self.retired();
            let found = all
                .iter()
                .find(|retired| retired.socket.local() == address)?;
            Arc::clone(&found.socket)
        };
        let retired = self.remove(&socket)?;
        let taken = Taken {
            listener: socket.name().clone(),
            address,
            config: Arc::clone(&retired.config),
        };
        drop(socket);
        retired.socket.stop();
        let socket = Arc::downgrade(&retired.socket);
        drop(retired);
        // A shard may be at it at this moment.
        let deadline = Instant::now() + CLOSING;
        while socket.strong_count() > 0 && Instant::now() < deadline {
            sleep(Duration::from_millis(1)).await;
        }
        Some(taken)
    }

    fn retire_again(&self, taken: Taken) {
        let metrics = &self.shared.metrics.net;
        let metrics = metrics.listener(&taken.listener, sbc_core::transport::Protocol::Udp);
        let dscp = taken
            .config
            .listeners
            .get(&taken.listener)
            .map_or(0, |listener| listener.dscp);
        match Udp::bind(taken.listener.clone(), taken.address, dscp, metrics) {
            Ok(socket) => {
                socket.serve(&self.shared);
                self.shared
                    .sockets
                    .rcu(|sockets| sockets.and_retired(Arc::clone(&socket)));
                self.retire_socket(socket, taken.config);
            }
            Err(why) => self
                .shared
                .log
                .error(
                    "listener_lost",
                    "calls of a former listener lost their socket",
                )
                .with("listener", taken.listener)
                .with("address", taken.address)
                .with("why", why)
                .send(),
        }
    }
}

/// Which calls may still need a socket: those that were there when it retired.
#[derive(Default)]
pub(super) struct Usage {
    /// Nothing until the first look: a call that was being admitted while the configuration changed
    /// is among those that are seen then.
    calls: Option<BTreeSet<CallId>>,
}

impl Usage {
    /// Takes a look at the calls in progress. Over is over only at the look after the one at which
    /// the last call was gone.
    pub(super) fn is_over(&mut self, in_progress: &BTreeSet<CallId>) -> bool {
        match &mut self.calls {
            None => {
                self.calls = Some(in_progress.clone());
                false
            }
            Some(calls) if calls.is_empty() => true,
            Some(calls) => {
                calls.retain(|call| in_progress.contains(call));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(numbers: &[u8]) -> BTreeSet<CallId> {
        let call = |number: &u8| format!("{number:032x}").parse().unwrap();
        numbers.iter().map(call).collect()
    }

    #[test]
    fn a_socket_is_needed_as_long_as_a_call_of_its_time_and_a_while_longer() {
        let mut usage = Usage::default();
        assert!(!usage.is_over(&calls(&[1, 2])));
        assert!(!usage.is_over(&calls(&[1, 2, 3])));
        assert!(!usage.is_over(&calls(&[2, 3])));
        assert!(!usage.is_over(&calls(&[3, 4])), "its last repetitions");
        assert!(usage.is_over(&calls(&[3, 4])), "later calls do not use it");
    }

    #[test]
    fn a_socket_without_calls_is_not_needed_after_the_second_look() {
        let mut usage = Usage::default();
        assert!(!usage.is_over(&calls(&[])));
        assert!(usage.is_over(&calls(&[1])));
    }
}
