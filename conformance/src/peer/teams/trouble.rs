//! A proxy in trouble: away, stalled, silent, or with connections that break.

use super::{TeamsProxy, accept};
use crate::ca::Identity;
use crate::lock::lock;
use crate::peer::tls;
use rustls::{RootCertStore, SupportedCipherSuite};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsAcceptor;

/// How long it tries to be where it was.
const RETURN: Duration = Duration::from_secs(2);

/// What a proxy answers to OPTIONS.
#[derive(Debug)]
pub(super) struct OptionsAnswer(AtomicU16);

impl Default for OptionsAnswer {
    fn default() -> Self {
        Self(AtomicU16::new(200))
    }
}

impl OptionsAnswer {
    /// The status; `None` if it says nothing.
    pub(super) fn status(&self) -> Option<u16> {
        Some(self.0.load(Ordering::Relaxed)).filter(|status| *status != 0)
    }
}

impl TeamsProxy {
    /// From now on OPTIONS get this answer, or none.
    pub fn answers_options_with(&self, status: Option<u16>) {
        let status = status.unwrap_or(0);
        self.shared.options.0.store(status, Ordering::Relaxed);
    }

    /// Closes its port and every connection.
    pub async fn goes_away(&self) {
        // The listener and its connections end with their task; who waits for that sees a closed port.
        lock(&self.listening).shutdown_soon();
        self.breaks_connections();
        loop {
            let is_gone = lock(&self.listening).is_done();
            if is_gone {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Breaks the connections that it made.
    pub fn breaks_connections(&self) {
        lock(&self.shared.connections).clear();
        lock(&self.shared.tasks).abort_all();
    }

    /// Listens again where it was.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn comes_back(&self) -> io::Result<()> {
        self.listens_with(self.acceptor.clone()).await
    }

    /// Listens again where it was, with another certificate.
    ///
    /// # Errors
    /// What the operating system says, or why the certificate cannot be used.
    pub async fn comes_back_as(&self, identity: &Identity, roots: RootCertStore) -> io::Result<()> {
        let acceptor = tls::acceptor(identity, roots).map_err(io::Error::other)?;
        self.listens_with(acceptor).await
    }

    /// Listens again where it was, and agrees to one suite alone.
    ///
    /// # Errors
    /// What the operating system says, or why the certificate cannot be used.
    pub async fn comes_back_with(
        &self,
        suite: SupportedCipherSuite,
        identity: &Identity,
        roots: RootCertStore,
    ) -> io::Result<()> {
        let acceptor = tls::acceptor_of(suite, identity, roots).map_err(io::Error::other)?;
        self.listens_with(acceptor).await
    }

    async fn listens_with(&self, acceptor: TlsAcceptor) -> io::Result<()> {
        let listener = self.listens_again().await?;
        let shared = Arc::clone(&self.shared);
        let listen = accept(listener, acceptor, shared);
        lock(&self.listening).0.spawn(listen);
        Ok(())
    }

    /// Takes its port back. What had it a moment ago may not have let go of it yet.
    async fn listens_again(&self) -> io::Result<TcpListener> {
        let deadline = Instant::now() + RETURN;
        loop {
            match TcpListener::bind(self.shared.address).await {
                Err(why) if why.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                    sleep(Duration::from_millis(10)).await;
                }
                done => return done,
            }
        }
    }

    /// Takes connections and says nothing on them.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn stalls(&self) -> io::Result<()> {
        self.goes_away().await;
        let listener = self.listens_again().await?;
        lock(&self.listening).0.spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        Ok(())
    }
}

/// The task that listens.
#[derive(Default)]
pub(super) struct Listening(pub(super) JoinSet<()>);

impl Listening {
    fn shutdown_soon(&mut self) {
        self.0.abort_all();
    }

    fn is_done(&mut self) -> bool {
        while self.0.try_join_next().is_some() {}
        self.0.is_empty()
    }
}
