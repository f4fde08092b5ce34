//! Against a server that speaks just enough of PostgreSQL's protocol to answer as it is told.

use super::super::sql::tests::table;
use super::*;
use crate::https::fixture;
use crate::sink::metrics::Metrics;
use std::collections::VecDeque;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// What comes of an INSERT.
enum Answer {
    Takes,
    /// Takes it, and the connection ends before the commit is answered.
    Forgets,
    /// An error with this SQLSTATE and message.
    Refuses(&'static str, &'static str),
    /// Nothing.
    Nothing,
    /// A notice that has no end.
    Talks,
}

/// What a server was told.
#[derive(PartialEq, Eq, Debug)]
enum Told {
    Connected,
    Query(String),
    Lines(Vec<String>),
}

struct Peer {
    stream: TcpStream,
}

impl Peer {
    async fn frame(&mut self) -> Option<Vec<u8>> {
        let length = self.stream.read_i32().await.ok()?;
        let mut body = vec![0; usize::try_from(length).unwrap() - 4];
        self.stream.read_exact(&mut body).await.ok()?;
        Some(body)
    }

    async fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        let kind = self.stream.read_u8().await.ok()?;
        Some((kind, self.frame().await?))
    }

    async fn say(&mut self, kind: u8, body: &[u8]) {
        let length = i32::try_from(body.len() + 4).unwrap();
        let whole = [&[kind][..], &length.to_be_bytes(), body].concat();
        let _ = self.stream.write_all(&whole).await;
    }

    async fn ready(&mut self) {
        self.say(b'Z', b"T").await;
    }
}

/// The texts of the array that a Bind message carries.
fn lines(bind: &[u8]) -> Vec<String> {
    let number = |at: usize| i32::from_be_bytes(bind[at..at + 4].try_into().unwrap());
    // Names, formats, length and dimensions; then whether any is missing, the type, the count and the first index.
    let begin = bind
        .windows(8)
        .position(|own| own == [0, 0, 0, 0, 0, 0, 0, 25]);
    let mut at = begin.unwrap() + 8;
    let count = number(at);
    at += 8;
    let text = |_| {
        let length = usize::try_from(number(at)).unwrap();
        let text = bind[at + 4..at + 4 + length].to_vec();
        at += 4 + length;
        String::from_utf8(text).unwrap()
    };
    (0..count).map(text).collect()
}

/// A server that answers each INSERT like this, and tells what it was told.
async fn server(answers: Vec<Answer>) -> (u16, UnboundedReceiver<Told>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = unbounded_channel();
    tokio::spawn(async move {
        let mut answers = VecDeque::from(answers);
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut peer = Peer { stream };
            let _ = tell.send(Told::Connected);
            let hello = peer.frame().await.unwrap();
            if hello == 80_877_103_i32.to_be_bytes() {
                // It has no TLS.
                peer.stream.write_all(b"N").await.unwrap();
                continue;
            }
            peer.say(b'R', &[0; 4]).await;
            peer.ready().await;
            let mut forgets = false;
            while let Some((kind, body)) = peer.message().await {
                match kind {
                    b'Q' if forgets => break,
                    b'Q' => {
                        let text = String::from_utf8_lossy(&body);
                        let _ = tell.send(Told::Query(text.trim_end_matches('\0').to_owned()));
                        peer.say(b'C', b"SO\0").await;
                        peer.ready().await;
                    }
                    b'B' => {
                        let _ = tell.send(Told::Lines(lines(&body)));
                    }
                    b'S' => match answers.pop_front().unwrap() {
                        answer @ (Answer::Takes | Answer::Forgets) => {
                            forgets = matches!(answer, Answer::Forgets);
                            peer.say(b'1', b"").await;
                            peer.say(b'2', b"").await;
                            peer.say(b'n', b"").await;
                            peer.say(b'C', b"INSERT 0 1\0").await;
                            peer.ready().await;
                        }
                        Answer::Refuses(code, text) => {
                            let fields =
                                format!("SERROR\0VERROR\0C{code}\0M{text}\0DKey +441632960000\0\0");
                            peer.say(b'E', fields.as_bytes()).await;
                            peer.ready().await;
                        }
                        Answer::Nothing => {}
                        Answer::Talks => {
                            let fields = format!("SNOTICE\0C00000\0M{}\0\0", "x".repeat(2 << 20));
                            peer.say(b'N', fields.as_bytes()).await;
                        }
                    },
                    b'X' => break,
                    _ => {}
                }
            }
        }
    });
    (port, told)
}

fn postgres(port: u16) -> Postgres {
    let resolver = Resolver::new(Arc::new(Metrics::new().unwrap()));
    let mut own = Postgres::new(&table(port), Some(b"s3cret".as_slice()), None, resolver).unwrap();
    own.limits.answered = Duration::from_secs(30);
    own
}

#[tokio::test]
async fn all_of_a_cut_goes_in_one_transaction_and_the_connection_is_kept() {
    let (port, mut told) = server(vec![Answer::Takes, Answer::Takes]).await;
    let own = postgres(port);
    assert_eq!(
        own.deliver(b"{\"a\":1}\n{\"b\":2}\n").await,
        Ok(Reply::Taken)
    );
    own.rest();
    assert_eq!(own.deliver(b"{\"c\":3}\n").await, Ok(Reply::Taken));
    let mut next = async || told.recv().await.unwrap();
    assert_eq!(next().await, Told::Connected);
    for wanted in [vec!["{\"a\":1}", "{\"b\":2}"], vec!["{\"c\":3}"]] {
        assert_eq!(next().await, Told::Query(BEGIN.to_owned()));
        let wanted = wanted.into_iter().map(str::to_owned).collect();
        assert_eq!(next().await, Told::Lines(wanted));
        assert_eq!(next().await, Told::Query("COMMIT".to_owned()));
    }
}

#[tokio::test]
async fn what_is_wrong_with_records_is_told_from_what_is_wrong_with_the_table_or_the_server() {
    let (port, _told) = server(vec![
        Answer::Refuses("22P05", "unsupported Unicode escape sequence"),
        Answer::Refuses("23514", "violates check constraint"),
        Answer::Refuses("42703", "column \"node\" does not exist"),
        Answer::Refuses("42P01", "relation does not exist"),
        Answer::Refuses("57014", "canceling statement due to statement timeout"),
        Answer::Refuses("40001", "could not serialize access"),
        Answer::Forgets,
        Answer::Takes,
    ])
    .await;
    let own = postgres(port);
    for code in ["22P05", "23514"] {
        match own.deliver(b"{}\n").await {
            Ok(Reply::Unwanted { status, answer }) => {
                assert_eq!(status, code);
                // The detail has the numbers of people.
                assert!(!answer.contains("+44"), "{answer}");
            }
            other => panic!("{other:?}"),
        }
    }
    for what in ["42703", "42P01"] {
        match own.deliver(b"{}\n").await {
            Err(Fault::Failed(why)) => {
                assert!(
                    why.contains(what) && why.contains("causeway config table"),
                    "{why}"
                );
                assert!(why.starts_with("database billing on 127.0.0.1:"), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(own.deliver(b"{}\n").await, Err(Fault::Late(_))));
    for _ in 0..2 {
        assert!(matches!(own.deliver(b"{}\n").await, Err(Fault::Failed(_))));
    }
    assert_eq!(own.deliver(b"{}\n").await, Ok(Reply::Taken));
    // Nothing of that is asked of anybody.
    let broken = own.deliver(b"\"\xff\"\n").await;
    assert!(matches!(broken, Ok(Reply::Unwanted { .. })), "{broken:?}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_late_and_one_that_says_too_much_is_left() {
    let (port, _told) = server(vec![Answer::Nothing]).await;
    let mut own = postgres(port);
    own.limits.answered = Duration::from_millis(50);
    let late = own.deliver(b"{}\n").await;
    assert!(matches!(late, Err(Fault::Late(_))), "{late:?}");
    let (port, _told) = server(vec![Answer::Talks]).await;
    let left = postgres(port).deliver(b"{}\n").await;
    assert!(matches!(left, Err(Fault::Failed(_))), "{left:?}");
}

#[tokio::test]
async fn a_server_without_tls_is_told_nothing_where_tls_is_wanted() {
    let (port, mut told) = server(Vec::new()).await;
    let (_, _, roots) = fixture::server().await;
    let resolver = Resolver::new(Arc::new(Metrics::new().unwrap()));
    let own = Postgres::new(
        &table(port),
        Some(b"s3cret".as_slice()),
        Some(roots),
        resolver,
    )
    .unwrap();
    match own.deliver(b"{}\n").await {
        Err(Fault::Failed(why)) => assert!(why.contains("does not support TLS"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(told.recv().await, Some(Told::Connected));
    assert!(told.try_recv().is_err());
}
