//! As much of a web server as one request needs.

use super::Change;
use crate::ca::{Authority, CaFault};
use rustls::ServerConfig;
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// Most octets of a request.
const LARGEST: usize = 256 * 1024;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// When it came.
    pub at: Instant,
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Host that it was meant for.
    pub host: String,
    /// Value of Authorization.
    pub authorization: String,
    /// Value of Content-Type.
    pub content_type: String,
    /// Body.
    pub body: String,
}

/// An answer.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) retry_after_s: Option<u64>,
    pub(super) body: String,
}

impl Response {
    pub(super) fn of(status: u16, body: &Value) -> Self {
        Self {
            status,
            retry_after_s: None,
            body: body.to_string(),
        }
    }

    /// An answer without a body.
    pub(super) fn nothing(status: u16) -> Self {
        Self {
            status,
            retry_after_s: None,
            body: String::new(),
        }
    }

    /// A refusal in the form of Graph.
    pub(super) fn refusal(status: u16, code: &str, message: &str) -> Self {
        let error = json!({ "error": { "code": code, "message": message } });
        Self::of(status, &error)
    }
}

/// A server of these names.
///
/// # Errors
/// There is no certificate.
pub(super) fn acceptor(authority: &Authority, names: &[&str]) -> Result<TlsAcceptor, CaFault> {
    let (chain, key) = authority.issue(names)?.parts()?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves each connection by itself, until the task is ended.
pub(super) fn serve<F>(
    listener: TcpListener,
    each: impl Fn(TcpStream) -> F + Send + 'static,
) -> JoinHandle<()>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A subject that does not believe us, or leaves, is told by what it says.
            tokio::spawn(each(stream));
        }
    })
}

/// Reads a request.
pub(super) async fn read<S>(stream: &mut S, change: Change) -> io::Result<Request>
where
    S: AsyncRead + Unpin,
{
    let mut octets = Vec::new();
    let mut part = [0; 4_096];
    let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    loop {
        let text = String::from_utf8_lossy(&octets).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = header(head, "content-length");
            if body.len() >= length.parse().unwrap_or(0) {
                let text = match change {
                    Some((from, to)) => text.replace(from, to),
                    None => text,
                };
                return parse(&text).ok_or_else(|| broken("no request"));
            }
        }
        let read = stream.read(&mut part).await?;
        if read == 0 || octets.len() > LARGEST {
            return Err(broken("no whole request"));
        }
        octets.extend_from_slice(&part[..read]);
    }
}

fn parse(text: &str) -> Option<Request> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut words = head.lines().next()?.split(' ');
    Some(Request {
        at: Instant::now(),
        method: words.next()?.to_owned(),
        path: words.next()?.to_owned(),
        host: header(head, "host").to_ascii_lowercase(),
        authorization: header(head, "authorization").to_owned(),
        content_type: header(head, "content-type").to_owned(),
        body: body.to_owned(),
    })
}

fn header<'h>(head: &'h str, name: &str) -> &'h str {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let found = fields.find(|(own, _)| own.trim().eq_ignore_ascii_case(name));
    found.map_or("", |(_, value)| value.trim())
}

/// Writes an answer, and ends the connection. Something is done before the last octet.
pub(super) async fn write<S>(
    stream: &mut S,
    response: &Response,
    change: Change,
    before_last: impl FnOnce(),
) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    let retry = response.retry_after_s;
    let retry = retry.map_or_else(String::new, |s| format!("Retry-After: {s}\r\n"));
    let head = format!(
        "HTTP/1.1 {} Answer\r\nContent-Type: application/json\r\nrequest-id: r-1\r\n{retry}",
        response.status
    );
    let (head, body) = match change {
        Some((from, to)) => (head.replace(from, to), response.body.replace(from, to)),
        None => (head, response.body.clone()),
    };
    let length = body.len();
    let head = format!("{head}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    let whole = head + &body;
    let (most, last) = whole.as_bytes().split_at(whole.len() - 1);
    let sent = stream.write_all(most).await;
    before_last();
    sent?;
    stream.write_all(last).await?;
    stream.shutdown().await
}

/// Fields of the body of a form.
pub(super) fn form(body: &str) -> Vec<(String, String)> {
    let fields = body.split('&').filter_map(|field| field.split_once('='));
    fields
        .map(|(name, value)| (unescaped(name), unescaped(value)))
        .collect()
}

fn unescaped(text: &str) -> String {
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next(), rest.next()].map(|d| d.map(char::from));
                let digits: String = digits.into_iter().flatten().collect();
                u8::from_str_radix(&digits, 16).unwrap_or(b'?')
            }
            octet => octet,
        });
    }
    String::from_utf8_lossy(&octets).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_it_was_meant() {
        assert_eq!(
            form("a=1&b=x%2By+z%C3%A9&c="),
            [("a", "1"), ("b", "x+y z\u{e9}"), ("c", "")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[tokio::test]
    async fn a_request_is_read_whole_and_can_be_changed_on_the_way() {
        let (mut near, mut far) = tokio::io::duplex(1_024);
        let sent = b"POST /x HTTP/1.1\r\nHost: Login.Example\r\nContent-Length: 5\r\n\r\nab";
        far.write_all(sent).await.unwrap();
        far.write_all(b"c=d").await.unwrap();
        let request = read(&mut near, Some(("c=d", "e"))).await.unwrap();
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("POST", "/x")
        );
        assert_eq!(
            (request.host.as_str(), request.body.as_str()),
            ("login.example", "abe")
        );
        drop(far);
        assert!(read(&mut near, None).await.is_err());
    }
}
