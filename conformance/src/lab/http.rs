//! As much HTTP as it takes to ask the daemon.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Body.
    pub body: String,
}

/// Asks for `path` on a connection that is used once.
///
/// # Errors
/// What the operating system says, or that the answer is no HTTP.
pub async fn get<S>(stream: S, path: &str) -> io::Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    ask(stream, "GET", path).await
}

/// Sends a request without a body on a connection that is used once.
///
/// # Errors
/// What the operating system says, or that the answer is no HTTP.
pub async fn ask<S>(mut stream: S, method: &str, path: &str) -> io::Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    parse(&bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no HTTP answer"))
}

/// Reads an answer whose body ends with the connection.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head
        .strip_prefix("HTTP/1.1 ")?
        .split(' ')
        .next()?
        .parse()
        .ok()?;
    Some(Answer {
        status,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_is_read_and_noise_is_not() {
        for (sent, wanted) in [
            (
                "HTTP/1.1 503 Busy\r\nA: b\r\n\r\nlater",
                Some((503, "later")),
            ),
            ("SSH-2.0-x\r\n\r\n", None),
            ("", None),
        ] {
            let (near, mut far) = tokio::io::duplex(1024);
            let asked = tokio::spawn(async move { get(near, "/readyz").await });
            let mut request = [0; 17];
            far.read_exact(&mut request).await.unwrap();
            assert_eq!(&request, b"GET /readyz HTTP/");
            far.write_all(sent.as_bytes()).await.unwrap();
            drop(far);
            let got = asked.await.unwrap().ok();
            let got = got
                .as_ref()
                .map(|answer| (answer.status, answer.body.as_str()));
            assert_eq!(got, wanted);
        }
    }
}
