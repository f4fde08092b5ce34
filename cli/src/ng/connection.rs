//! The control protocol over TCP: messages cut out of connections, answers written back.

use media_ng::{Frame, first_message};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

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

type Writers = Arc<Mutex<HashMap<u64, mpsc::Sender<Vec<u8>>>>>;

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
            .is_some_and(|writer| writer.try_send(octets).is_err());
        if is_stuck {
            writers.remove(&to);
        }
    }
}

fn open(number: u64, stream: TcpStream, writers: &Writers, heard: mpsc::Sender<Heard>) {
    let (answer, answers) = mpsc::channel(ANSWERS);
    let mut all = writers.lock().unwrap_or_else(PoisonError::into_inner);
    if all.len() >= CONNECTIONS {
        return;
    }
    all.insert(number, answer);
    let writers = Arc::clone(writers);
    tokio::spawn(async move {
        let _ = talk(number, stream, answers, heard).await;
        let mut all = writers.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&number);
    });
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
                    Frame::Short => break,
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
