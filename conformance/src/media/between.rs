//! Something between two parties that forwards what each sends the other: a relay of the peer's, or a NAT.

use crate::lock::lock;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

/// Forwards until it is dropped.
pub struct Between {
    /// Where it is for one party.
    pub near: SocketAddr,
    /// Where it is for the other.
    pub far: SocketAddr,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct State {
    /// Where the parties are, as far as they are known: near, far.
    parties: [Option<SocketAddr>; 2],
    /// Datagrams of each.
    carried: [u64; 2],
}

impl Between {
    /// Forwards between whoever sends to `near` and whoever sends to `far`; both are bound here.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn open(near: SocketAddr, far: SocketAddr) -> io::Result<Self> {
        let sockets = [UdpSocket::bind(near).await?, UdpSocket::bind(far).await?].map(Arc::new);
        let places = [sockets[0].local_addr()?, sockets[1].local_addr()?];
        let state = Arc::new(Mutex::new(State::default()));
        let mut tasks = JoinSet::new();
        for side in [0, 1] {
            let (from, to) = (Arc::clone(&sockets[side]), Arc::clone(&sockets[1 - side]));
            let state = Arc::clone(&state);
            tasks.spawn(async move {
                let mut buffer = [0; 2048];
                // A socket that fails forwards nothing more, which is noticed as silence.
                while let Ok((length, party)) = from.recv_from(&mut buffer).await {
                    let other = {
                        let mut state = lock(&state);
                        state.parties[side] = Some(party);
                        state.carried[side] += 1;
                        state.parties[1 - side]
                    };
                    if let Some(other) = other {
                        let _ = to.send_to(&buffer[..length], other).await;
                    }
                }
            });
        }
        Ok(Self {
            near: places[0],
            far: places[1],
            state,
            _tasks: tasks,
        })
    }

    /// Says where the far party is, before it has sent anything.
    pub fn leads_to(&self, far: SocketAddr) {
        lock(&self.state).parties[1] = Some(far);
    }

    /// Datagrams that came from the near party and from the far one.
    pub fn carried(&self) -> [u64; 2] {
        lock(&self.state).carried
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    #[tokio::test]
    async fn what_each_sends_comes_to_the_other_from_the_middle() {
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let between = Between::open(any, any).await.unwrap();
        let (near, far) = (
            UdpSocket::bind(any).await.unwrap(),
            UdpSocket::bind(any).await.unwrap(),
        );
        between.leads_to(far.local_addr().unwrap());
        let mut buffer = [0; 16];
        near.send_to(b"to", between.near).await.unwrap();
        let (length, from) = far.recv_from(&mut buffer).await.unwrap();
        assert_eq!((&buffer[..length], from), (&b"to"[..], between.far));
        far.send_to(b"back", between.far).await.unwrap();
        let (length, from) = near.recv_from(&mut buffer).await.unwrap();
        assert_eq!((&buffer[..length], from), (&b"back"[..], between.near));
        assert_eq!(between.carried(), [1, 1]);
    }
}
