//! One HTTPS request over one connection: bounded headers, a bounded body, nothing followed.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_LENGTH;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::io;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// Most octets of an answer's headers.
const LARGEST_HEAD: usize = 128 * 1024;

/// Why there is no answer.
#[derive(Debug)]
pub enum AskFault {
    /// The server's certificate is not believed, or it does not speak TLS.
    Tls(io::Error),
    /// The connection broke, or what came is no HTTP.
    Broken(hyper::Error),
    /// The body has more octets than anybody wants.
    TooLarge,
}

/// An answer whose body was not read yet.
pub struct Answer {
    /// Status and headers.
    pub response: Response<Incoming>,
    _connection: Aborted,
}

/// Asks a server that proves to have this name.
///
/// # Errors
/// [`AskFault`]; a refusal by the server is an answer.
pub async fn ask(
    connector: &TlsConnector,
    name: ServerName<'static>,
    stream: TcpStream,
    request: Request<Full<Bytes>>,
) -> Result<Answer, AskFault> {
    let secure = connector.connect(name, stream).await;
    let secure = TokioIo::new(secure.map_err(AskFault::Tls)?);
    let mut http = hyper::client::conn::http1::Builder::new();
    let handshake = http.max_buf_size(LARGEST_HEAD).handshake(secure).await;
    let (mut sender, connection) = handshake.map_err(AskFault::Broken)?;
    let connection = Aborted(tokio::spawn(async move {
        // Its end is seen by whoever reads.
        let _ = connection.await;
    }));
    let response = sender.send_request(request).await;
    Ok(Answer {
        response: response.map_err(AskFault::Broken)?,
        _connection: connection,
    })
}

impl Answer {
    /// A header, if it is there once and is text.
    pub fn header(&self, name: hyper::header::HeaderName) -> Option<&str> {
        let value = self.response.headers().get(name)?;
        value.to_str().ok()
    }

    /// Reads the body.
    ///
    /// # Errors
    /// [`AskFault`], also when it is larger than that.
    pub async fn body(self, largest: usize) -> Result<Vec<u8>, AskFault> {
        let length = self.header(CONTENT_LENGTH);
        let length = length.and_then(|text| text.parse::<usize>().ok());
        if length.is_some_and(|length| length > largest) {
            return Err(AskFault::TooLarge);
        }
        let mut octets = Vec::new();
        let mut body = self.response.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(AskFault::Broken)?;
            let part = frame.into_data().unwrap_or_default();
            if octets.len() + part.len() > largest {
                return Err(AskFault::TooLarge);
            }
            octets.extend_from_slice(&part);
        }
        Ok(octets)
    }
}

/// Ends the task of a connection with whoever uses it.
struct Aborted(JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}
