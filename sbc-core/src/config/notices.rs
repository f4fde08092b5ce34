//! Where Microsoft Graph tells of changes: `[notices]` (TDG-PRS-001, TDG-PRS-002). Without it nothing listens, and
//! whatever is needed is asked for.

use super::finding::Collector;
use super::read::Section;
use super::source::{At, Span};
use super::value;
use crate::id::TlsContextName;
use std::net::SocketAddr;

/// Where notices come in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoticeListen {
    /// Where they are taken, with TLS 1.2 or 1.3.
    pub address: SocketAddr,
    /// The identity whose certificate is shown.
    pub tls: TlsContextName,
    /// What Microsoft is told to call, `https://…`; what stands between that and the address is the operator's.
    pub url: String,
}

impl NoticeListen {
    /// The path at which notices are taken; `/` at least.
    pub fn path(&self) -> &str {
        let place = self.url.strip_prefix("https://").unwrap_or(&self.url);
        place.find('/').map_or("/", |begin| &place[begin..])
    }
}

/// As it is written.
pub(super) struct WrittenNotices {
    pub(super) span: Span,
    pub(super) listen: Option<At<SocketAddr>>,
    pub(super) tls: Option<At<String>>,
    pub(super) url: Option<At<String>>,
}

/// Reads the table.
pub(super) fn read(mut section: Section<'_>, out: &mut Collector) -> WrittenNotices {
    let listen = section.parsed("listen", value::socket, out);
    if !section.has("listen") {
        section.missing("listen", "\"192.0.2.10:8444\"", out);
    }
    let written = WrittenNotices {
        span: section.span.clone(),
        listen,
        tls: section.required_text("tls", "\"public\", the name of a [[tls]]", out),
        url: section.required_text("url", "\"https://sbc.contoso.com/notices\"", out),
    };
    section.finish(&[], out);
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_that_of_the_url() {
        for (url, path) in [
            ("https://sbc.example.com", "/"),
            ("https://sbc.example.com/", "/"),
            ("https://sbc.example.com:8444/a/b", "/a/b"),
        ] {
            let listen = NoticeListen {
                address: SocketAddr::from(([192, 0, 2, 1], 8_444)),
                tls: TlsContextName::new("public"),
                url: url.to_owned(),
            };
            assert_eq!(listen.path(), path);
        }
    }
}
