//! Records as rows of a table of PostgreSQL: all of a cut in one transaction, each at most once by its id.
//!
//! | SQLSTATE | means |
//! |---|---|
//! | none, of all three statements | it has them |
//! | class 22 or 23 | something in them is not wanted |
//! | 57014 | it took longer than it may |
//! | others, and none where the connection breaks | it is tried again |
//!
//! A connection is kept from cut to cut, and closed when nothing is sent for a while or anything goes wrong: the
//! server takes back what was not committed. If only the word that it was is lost, the same comes again and changes
//! nothing.

use super::sql::insert;
use super::{Fault, Reply};
use crate::daemon::resolver::Resolver;
use crate::https::{self, Aborted};
use crate::jwt::fetch::{DELIVERY, Limits};
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use sbc_core::config::CdrTable;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::tls::{ChannelBinding, TlsConnect};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config, Error};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Most octets that a server may say while it logs us in or takes one cut.
const MOST_HEARD: usize = 1 << 20;
/// Most characters of what it says that are told.
const MOST_TOLD: usize = 256;
/// A connection that nothing was sent over for so long is closed.
const IDLE: Duration = Duration::from_secs(30);
/// The server gives up before we do, so that no statement of ours goes on without us.
const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = 55000";

/// A server of PostgreSQL.
pub(super) struct Postgres {
    table: CdrTable,
    config: Config,
    /// Whom we believe over TLS.
    connector: Option<TlsConnector>,
    name: ServerName<'static>,
    resolver: Resolver,
    insert: String,
    session: Mutex<Option<Session>>,
    limits: Limits,
}

/// A connection that is logged in.
struct Session {
    client: Client,
    _connection: Aborted,
    /// Octets that the server may still say.
    left: Arc<AtomicUsize>,
    used: Instant,
}

impl Postgres {
    /// Fills this table, with this password if there is one; believes these roots, and is without TLS where there
    /// are none.
    ///
    /// # Errors
    /// If no certificate can have the name of the host.
    pub(super) fn new(
        table: &CdrTable,
        password: Option<&[u8]>,
        roots: Option<RootCertStore>,
        resolver: Resolver,
    ) -> Result<Self, String> {
        let name = ServerName::try_from(table.host.clone());
        let name = name.map_err(|_| format!("{} is no usable name", table.host))?;
        let mut config = Config::new();
        config
            .user(&table.user)
            .dbname(&table.database)
            .application_name("causeway")
            .ssl_mode(match roots {
                Some(_) => SslMode::Require,
                None => SslMode::Disable,
            });
        if let Some(password) = password {
            config.password(password);
        }
        Ok(Self {
            insert: insert(table),
            table: table.clone(),
            config,
            connector: roots.map(https::believing),
            name,
            resolver,
            session: Mutex::default(),
            limits: DELIVERY,
        })
    }

    /// Adds these lines: all of them or none.
    pub(super) async fn deliver(&self, records: &[u8]) -> Result<Reply, Fault> {
        let Ok(text) = str::from_utf8(records) else {
            return Ok(Reply::Unwanted {
                status: SqlState::CHARACTER_NOT_IN_REPERTOIRE.code().to_owned(),
                answer: "it is no UTF-8".to_owned(),
            });
        };
        let lines: Vec<&str> = text.lines().collect();
        let mut session = match self.kept() {
            Some(session) => session,
            None => self.open().await.map_err(|why| self.failed(&why))?,
        };
        session.left.store(MOST_HEARD, Ordering::Relaxed);
        match timeout(self.limits.answered, self.add(&session.client, &lines)).await {
            Ok(Ok(())) => {
                session.used = Instant::now();
                *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
                Ok(Reply::Taken)
            }
            // The connection ends with the session, and with it the transaction.
            Ok(Err(error)) => self.refused(&error),
            Err(_) => {
                let limit = self.limits.answered.as_secs();
                Err(Fault::Late(
                    self.told(&format!("no answer within {limit} s")),
                ))
            }
        }
    }

    async fn add(&self, client: &Client, lines: &[&str]) -> Result<(), Error> {
        client.batch_execute(BEGIN).await?;
        let lines = &[(&lines as _, Type::TEXT_ARRAY)];
        client.execute_typed(&self.insert, lines).await?;
        client.batch_execute("COMMIT").await
    }

    /// The connection that is open, if there is one.
    fn kept(&self) -> Option<Session> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        session.take().filter(|own| !own.client.is_closed())
    }

    /// Closes a connection that has had nothing to do for a while.
    pub(super) fn rest(&self) {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if session
            .as_ref()
            .is_some_and(|own| own.used.elapsed() > IDLE)
        {
            session.take();
        }
    }

    async fn open(&self) -> Result<Session, String> {
        let Limits {
            each, connected, ..
        } = self.limits;
        let opened = timeout(connected, async {
            let (host, port) = (&self.table.host, self.table.port);
            let stream = https::dial(&self.resolver, host, port, each).await?;
            // What is small is not to wait for more.
            let _ = stream.set_nodelay(true);
            let left = Arc::new(AtomicUsize::new(MOST_HEARD));
            let stream = Bounded {
                stream,
                left: Arc::clone(&left),
            };
            let secure = Secure {
                connector: self.connector.clone(),
                name: self.name.clone(),
            };
            let connected = self.config.connect_raw(stream, secure).await;
            let (client, connection) = connected.map_err(|error| in_words(&error))?;
            let connection = Aborted(tokio::spawn(async move {
                // Its end is seen by whoever asks.
                let _ = connection.await;
            }));
            Ok(Session {
                client,
                _connection: connection,
                left,
                used: Instant::now(),
            })
        });
        let late = |_| Err(format!("no connection within {} s", connected.as_secs()));
        opened.await.unwrap_or_else(late)
    }

    fn told(&self, why: &str) -> String {
        let CdrTable {
            host,
            port,
            database,
            ..
        } = &self.table;
        let host = match host.contains(':') {
            true => format!("[{host}]"),
            false => host.clone(),
        };
        format!("database {database} on {host}:{port}: {why}")
    }

    fn failed(&self, why: &str) -> Fault {
        Fault::Failed(self.told(why))
    }

    /// What the server says of records that it has not taken.
    fn refused(&self, error: &Error) -> Result<Reply, Fault> {
        let why = in_words(error);
        let Some(code) = error.code() else {
            return Err(self.failed(&why));
        };
        if matches!(code.code().get(..2), Some("22" | "23")) {
            return Ok(Reply::Unwanted {
                status: code.code().to_owned(),
                answer: error.as_db_error().map_or(why, message),
            });
        }
        let of_table = [
            SqlState::UNDEFINED_TABLE,
            SqlState::UNDEFINED_COLUMN,
            // There is no key that keeps a record from being there twice.
            SqlState::INVALID_COLUMN_REFERENCE,
            SqlState::DATATYPE_MISMATCH,
            SqlState::INSUFFICIENT_PRIVILEGE,
        ];
        match code {
            code if *code == SqlState::QUERY_CANCELED => Err(Fault::Late(self.told(&why))),
            code if of_table.contains(code) => Err(self.failed(&format!(
                "{why}; the table has to be as \"causeway config table\" prints it"
            ))),
            _ => Err(self.failed(&why)),
        }
    }
}

/// What went wrong, bounded and printable.
fn in_words(error: &Error) -> String {
    if let Some(own) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", message(own), own.code().code());
    }
    let mut told = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(why) = source {
        told = format!("{told}: {why}");
        source = why.source();
    }
    bounded(&told)
}

/// Without its detail, which may have numbers of people in it.
fn message(error: &DbError) -> String {
    bounded(error.message())
}

fn bounded(text: &str) -> String {
    let shown = text.chars().map(sbc_core::display::shown);
    shown.take(MOST_TOLD).collect()
}

/// A connection whose other end may say so much and no more.
struct Bounded {
    stream: TcpStream,
    left: Arc<AtomicUsize>,
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        let heard = into.filled().len() - before;
        // Ordering: a bound need not be exact.
        let left = self.left.load(Ordering::Relaxed).checked_sub(heard);
        let Some(left) = left else {
            let why = format!("it says more than {MOST_HEARD} octets at once");
            return Poll::Ready(Err(io::Error::other(why)));
        };
        self.left.store(left, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Makes a server prove that it has a name, once it has said that it speaks TLS.
struct Secure {
    connector: Option<TlsConnector>,
    name: ServerName<'static>,
}

impl TlsConnect<Bounded> for Secure {
    type Stream = Secured;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Secured>> + Send>>;

    fn connect(self, stream: Bounded) -> Self::Future {
        Box::pin(async move {
            // Nobody asks for that where there is none.
            let connector = self.connector.ok_or(io::ErrorKind::Unsupported)?;
            let stream = connector.connect(self.name, stream).await?;
            Ok(Secured(stream))
        })
    }
}

struct Secured(TlsStream<Bounded>);

impl tokio_postgres::tls::TlsStream for Secured {
    /// The certificate is verified: that says who it is.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
