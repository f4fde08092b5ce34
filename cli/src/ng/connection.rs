//! The control protocol over TCP: messages cut out of connections, answers written back.

use crate::daemon::net::options;
use media_ng::{Frame, first_message};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Connections at the same time; a proxy has one or a few.
const CONNECTIONS: usize = 64;
/// Answers that may wait for a reader that is slow.
const ANSWERS: usize = 256;
/// Requests that may wait for the server. Connections wait then, and lose nothing.
const REQUESTS: usize = 256;

/// A request that has come over a connection.
#[derive(Debug)]
pub(super) struct Heard {
    /// Number of the connection.
    pub(super) from: u64,
    pub(super) octets: Vec<u8>,
}

/// An open connection.
#[derive(Debug)]
struct Writer {
    answers: mpsc::Sender<Vec<u8>>,
    task: AbortHandle,
}

type Writers = Arc<Mutex<HashMap<u64, Writer>>>;

/// Open connections.
#[derive(Debug)]
pub(super) struct Connections {
    writers: Writers,
}

impl Connections {
    /// Accepts connections from now on, and gives what they bring.
    pub(super) fn accept(listener: TcpListener) -> (Self, mpsc::Receiver<Heard>) {
        let (heard, requests) = mpsc::channel(REQUESTS);
        let writers = Writers::default();
        let connections = Self {
            writers: Arc::clone(&writers),
        };
        tokio::spawn(async move {
            let mut next = 0;
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    // The service has ended.
                    () = heard.closed() => return,
                };
                match accepted {
                    Ok((stream, _)) => {
                        next += 1;
                        open(next, stream, &writers, heard.clone());
                    }
                    // Of one connection that is gone, or of descriptors that some other must free first.
                    Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
                }
            }
        });
        (connections, requests)
    }

    /// Sends an answer. A reader that does not read loses its connection.
    pub(super) fn send(&self, to: u64, octets: Vec<u8>) {
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_stuck = writers
            .get(&to)
            .is_some_and(|writer| writer.answers.try_send(octets).is_err());
        if is_stuck && let Some(writer) = writers.remove(&to) {
            // It waits for the reader, and would wait for ever.
            writer.task.abort();
        }
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        // Each waits for its peer, who may have nothing more to say.
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        writers.drain().for_each(|(_, writer)| writer.task.abort());
    }
}

fn open(number: u64, stream: TcpStream, writers: &Writers, heard: mpsc::Sender<Heard>) {
    let (answer, answers) = mpsc::channel(ANSWERS);
    let mut all = writers.lock().unwrap_or_else(PoisonError::into_inner);
    if all.len() >= CONNECTIONS {
        return;
    }
    // A proxy that is gone without a word must not keep its place.
    options::connection(&stream);
    let others = Arc::clone(writers);
    let task = tokio::spawn(async move {
        let _ = talk(number, stream, answers, heard).await;
        let mut all = others.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&number);
    });
    // The lock is held, so the task cannot have ended before it is known.
    let writer = Writer {
        answers: answer,
        task: task.abort_handle(),
    };
    all.insert(number, writer);
}

/// Reads and writes until either side has enough.
async fn talk(
    number: u64,
    mut stream: TcpStream,
    mut answers: mpsc::Receiver<Vec<u8>>,
    heard: mpsc::Sender<Heard>,
) -> io::Result<()> {
    let (mut reader, mut writer) = stream.split();
    let read = async {
        let mut held = Vec::new();
        loop {
            loop {
                match first_message(&held) {
                    Frame::Whole { start, end } => {
                        let octets = held[start..end].to_vec();
                        held.drain(..end);
                        let request = Heard {
                            from: number,
                            octets,
                        };
                        if heard.send(request).await.is_err() {
                            return Ok(());
                        }
                    }
                    Frame::Short(blank) => {
                        held.drain(..blank);
                        break;
                    }
                    Frame::Broken => return Ok(()),
                }
            }
            if reader.read_buf(&mut held).await? == 0 {
                return Ok(());
            }
        }
    };
    let write = async {
        while let Some(answer) = answers.recv().await {
            writer.write_all(&answer).await?;
        }
        Ok(())
    };
    tokio::select! {
        ended = read => ended,
        ended = write => ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_that_does_not_read_loses_its_connection_and_what_waits_for_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, mut requests) = Connections::accept(listener);
        let mut peer = TcpStream::connect(address).await.unwrap();
        peer.write_all(b"\r\n\r\n1 d7:command4:pinge")
            .await
            .unwrap();
        let heard = requests.recv().await.unwrap();
        assert_eq!(heard.octets, b"1 d7:command4:pinge");
        let is_open = || {
            connections
                .writers
                .lock()
                .unwrap()
                .contains_key(&heard.from)
        };
        let mut sent = 0;
        for _ in 0..100_000 {
            if !is_open() {
                break;
            }
            connections.send(heard.from, vec![b'x'; 60_000]);
            sent += 60_000;
            tokio::task::yield_now().await;
        }
        assert!(!is_open(), "it still has its place");
        let mut read = Vec::new();
        // How it ends, with a reset or without, is the system's business.
        let _ = peer.read_to_end(&mut read).await;
        assert!(
            read.len() < sent - ANSWERS * 60_000,
            "{} {sent}",
            read.len()
        );
    }
}
