//! Where a shard waits: for something in its inbox, for datagrams of its listeners, or for a time.
//!
//! A datagram is read by the thread that will most likely handle it: no other thread has to be woken
//! on its way.

use foldhash::fast::RandomState;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::fd::{BorrowedFd, OwnedFd};
use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Sockets whose readiness one wait reports; the others come with the next.
const EVENTS: usize = 64;
/// The token of the eventfd that wakes; no source has it.
const WAKE: u64 = 0;

/// A socket that is served by whoever waits.
pub trait Source: Send + Sync {
    /// What is waited for.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Reads what is there, or writes what had to wait. Bounded; must not block, and must not panic.
    fn serve(&self);
}

/// Names a source within its poller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token(u64);

/// An epoll instance. One thread waits; any may wake it and change the sources.
pub struct Poller {
    epoll: OwnedFd,
    wake: OwnedFd,
    sources: Mutex<HashMap<u64, Arc<dyn Source>, RandomState>>,
    next: AtomicU64,
}

impl Poller {
    /// A poller without sources.
    ///
    /// # Errors
    /// If the process has no descriptors left.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        // By edge: every write wakes once, and nobody has to read.
        let by_edge = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, &wake, EventData::new_u64(WAKE), by_edge)?;
        Ok(Self {
            epoll,
            wake,
            sources: Mutex::default(),
            next: AtomicU64::new(WAKE + 1),
        })
    }

    /// Serves a socket from now on.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn add(&self, source: Arc<dyn Source>) -> io::Result<Token> {
        // Ordering: only uniqueness matters.
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        let mut sources = self.sources();
        epoll::add(
            &self.epoll,
            source.fd(),
            EventData::new_u64(token),
            EventFlags::IN,
        )?;
        sources.insert(token, source);
        Ok(Token(token))
    }

    /// Whether a source is to be served also when it can be written to.
    pub fn want_write(&self, token: Token, is_wanted: bool) {
        let sources = self.sources();
        let Some(source) = sources.get(&token.0) else {
            return;
        };
        let flags = match is_wanted {
            true => EventFlags::IN | EventFlags::OUT,
            false => EventFlags::IN,
        };
        // It is registered, so there is no reason to refuse.
        let _ = epoll::modify(&self.epoll, source.fd(), EventData::new_u64(token.0), flags);
    }

    /// Serves a socket no more.
    pub fn remove(&self, token: Token) {
        if let Some(source) = self.sources().remove(&token.0) {
            let _ = epoll::delete(&self.epoll, source.fd());
        }
    }

    /// Makes the one who waits return, or its next wait if nobody does.
    pub fn wake(&self) {
        // It fails only when 2^64 − 2 wake-ups were added up.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Waits until a source is ready, somebody wakes, or the time is over.
    pub fn wait(&self, longest: Duration) -> Vec<Arc<dyn Source>> {
        let limit = Timespec::try_from(longest).unwrap_or(Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        });
        let mut room = [const { MaybeUninit::<Event>::uninit() }; EVENTS];
        // Interrupted by a signal is as good as nothing ready.
        let Ok((events, _)) = epoll::wait(&self.epoll, &mut room[..], Some(&limit)) else {
            return Vec::new();
        };
        let sources = self.sources();
        let tokens = events.iter().map(|event| event.data.u64());
        tokens
            .filter_map(|token| sources.get(&token).cloned())
            .collect()
    }

    fn sources(&self) -> MutexGuard<'_, HashMap<u64, Arc<dyn Source>, RandomState>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::sync::atomic::AtomicUsize;

    struct Counted {
        socket: UdpSocket,
        served: AtomicUsize,
    }

    impl Source for Counted {
        fn fd(&self) -> BorrowedFd<'_> {
            self.socket.as_fd()
        }

        fn serve(&self) {
            self.served.fetch_add(1, Ordering::Relaxed);
        }
    }

    const LONG: Duration = Duration::from_secs(20);

    fn counted() -> Arc<Counted> {
        Arc::new(Counted {
            socket: UdpSocket::bind("127.0.0.1:0").unwrap(),
            served: AtomicUsize::new(0),
        })
    }

    fn served(poller: &Poller, source: &Counted) -> usize {
        for ready in poller.wait(LONG) {
            ready.serve();
        }
        source.served.load(Ordering::Relaxed)
    }

    #[test]
    fn a_socket_is_served_when_something_is_there_and_not_after_its_removal() {
        let poller = Poller::new().unwrap();
        let source = counted();
        let token = poller.add(source.clone()).unwrap();
        let to = source.socket.local_addr().unwrap();
        source.socket.send_to(b"x", to).unwrap();
        assert_eq!(served(&poller, &source), 1);
        // Nobody has read it: it is still there.
        assert_eq!(served(&poller, &source), 2);
        poller.remove(token);
        assert!(poller.wait(Duration::from_millis(1)).is_empty());
    }

    #[test]
    fn waking_before_the_wait_is_not_lost_and_wakes_once() {
        let poller = Poller::new().unwrap();
        poller.wake();
        poller.wake();
        let begin = std::time::Instant::now();
        assert!(poller.wait(LONG).is_empty());
        assert!(begin.elapsed() < LONG);
        let begin = std::time::Instant::now();
        poller.wait(Duration::from_millis(20));
        assert!(begin.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn room_to_write_is_reported_only_while_wanted() {
        let poller = Poller::new().unwrap();
        let source = counted();
        let token = poller.add(source.clone()).unwrap();
        poller.want_write(token, true);
        assert_eq!(served(&poller, &source), 1);
        poller.want_write(token, false);
        assert!(poller.wait(Duration::from_millis(1)).is_empty());
    }
}
