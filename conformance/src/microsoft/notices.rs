//! Microsoft as the one who tells: proofs of addresses, and notices, good and forged (TDG-PRS-002 to TDG-PRS-005).

use super::base64;
use super::signer::Signer;
use super::subscriptions::Subscribed;
use super::{APPLICATION, Change, DIRECTORY, LOGIN, clock};
use aws_lc_rs::cipher::{AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// The application of Microsoft that sends notices.
const PUBLISHER: &str = "0bf30f3b-4a52-48df-9a82-234910c4a086";
/// What is in front of what would be right, in a forged value; a test can take it away.
pub const FORGED: &str = "Forged00";
/// How long an answer may take at all.
const LIMIT: Duration = Duration::from_secs(15);

/// What is told of a user.
#[derive(Clone, Debug)]
pub struct Told {
    /// Who.
    pub user: String,
    /// How they are now; nothing if they are to be asked for.
    pub presence: Option<(&'static str, &'static str)>,
    /// What is wrong with it.
    pub wrong: Wrong,
}

/// What is wrong with a notice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// Nothing.
    Nothing,
    /// It does not know the secret.
    ClientState,
    /// It comes by a subscription that nobody has made.
    Subscription,
    /// What is sealed is signed wrongly.
    Signature,
    /// What is sealed is not what was signed.
    Content,
    /// The key is sealed for somebody else.
    Key,
    /// There is no token.
    NoToken,
    /// Its token is signed wrongly.
    Token,
    /// Its token is not signed, and says so.
    Unsigned,
    /// A claim of its token is another.
    Claim(&'static str, &'static str),
    /// Its token has ended.
    Expired,
}

/// How the subject has answered.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Status.
    pub status: u16,
    /// After so long.
    pub after: Duration,
    /// Head, as it came.
    pub head: String,
    /// Body, as it came.
    pub body: String,
}

/// Calls addresses of the subject.
#[derive(Clone)]
pub(super) struct Caller {
    connector: TlsConnector,
    /// Where the host of any URL is, if not where its name leads.
    pub(super) at: Option<SocketAddr>,
    /// How what is sent, and what comes back, are changed.
    pub(super) changes: (Change, Change),
}

impl Caller {
    pub(super) fn new(roots: RootCertStore) -> io::Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            at: None,
            changes: (None, None),
        })
    }

    /// Posts to a URL of the subject, with a query if there is one.
    pub(super) async fn post(&self, url: &str, query: &str, body: &str) -> io::Result<Answered> {
        timeout(LIMIT, self.posted(url, query, body))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn posted(&self, url: &str, query: &str, body: &str) -> io::Result<Answered> {
        let wrong = || io::Error::new(io::ErrorKind::InvalidInput, url.to_owned());
        let place = url.strip_prefix("https://").ok_or_else(wrong)?;
        let (authority, path) = place.split_at(place.find('/').unwrap_or(place.len()));
        let path = if path.is_empty() { "/" } else { path };
        let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
        let stream = match self.at {
            Some(at) => TcpStream::connect(at).await?,
            None => TcpStream::connect((host, port.parse().map_err(|_| wrong())?)).await?,
        };
        let name = ServerName::try_from(host.to_owned()).map_err(|_| wrong())?;
        let mut stream = self.connector.connect(name, stream).await?;
        let body = changed(body, self.changes.0);
        let kind = if body.is_empty() {
            "text/plain"
        } else {
            "application/json"
        };
        let sent = format!(
            "POST {path}{query} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: {kind}; charset=utf-8\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let began = Instant::now();
        stream.write_all(sent.as_bytes()).await?;
        let mut octets = Vec::new();
        // Whoever closes without a farewell has answered before, or has not.
        let _ = stream.read_to_end(&mut octets).await;
        let after = began.elapsed();
        let text = changed(&String::from_utf8_lossy(&octets), self.changes.1);
        let (head, body) = text
            .split_once("\r\n\r\n")
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Ok(Answered {
            status: status.unwrap_or(0),
            after,
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }
}

fn changed(text: &str, change: Change) -> String {
    match change {
        Some((from, to)) => text.replace(from, to),
        None => text.to_owned(),
    }
}

/// What is wrong with the answer to a question whether an address is the subject's own.
pub(super) fn proven(token: &str, answered: &io::Result<Answered>) -> Result<(), String> {
    let answered = answered.as_ref().map_err(ToString::to_string)?;
    let kind = answered.head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_kind = name.eq_ignore_ascii_case("content-type");
        is_kind.then(|| value.trim().to_ascii_lowercase())
    });
    if answered.status != 200 {
        return Err(format!("the proof has the status {}", answered.status));
    }
    if !kind
        .as_deref()
        .unwrap_or_default()
        .starts_with("text/plain")
    {
        return Err(format!("the proof is {}", kind.unwrap_or_default()));
    }
    if answered.after > Duration::from_secs(10) {
        return Err(format!("the proof took {:?}", answered.after));
    }
    match answered.body == token {
        true => Ok(()),
        false => Err(format!("the proof is \"{}\", not the token", answered.body)),
    }
}

/// The body of a request with one notice.
pub(super) fn notice(own: &Subscribed, told: &Told, signer: &Signer) -> Result<String, String> {
    let forged = |is: Wrong, good: &str| match told.wrong == is {
        true => format!("{FORGED}{good}"),
        false => good.to_owned(),
    };
    let user = &told.user;
    let mut item = json!({
        "subscriptionId": forged(Wrong::Subscription, &own.id),
        "clientState": forged(Wrong::ClientState, &own.client_state),
        "changeType": "updated",
        "resource": format!("communications/presences('{user}')"),
        "subscriptionExpirationDateTime": clock::text(own.until_ms),
        "tenantId": DIRECTORY,
        "resourceData": {
            "@odata.type": "#Microsoft.Graph.presence",
            "@odata.id": format!("communications/presences('{user}')"),
            "id": user,
        },
    });
    let mut body = json!({});
    if let Some((availability, activity)) = told.presence {
        let certificate = own
            .certificate
            .as_deref()
            .ok_or("nothing was to be sealed")?;
        let content = json!({
            "@odata.type": "#microsoft.graph.presence", "id": user, "availability": availability,
            "activity": activity, "statusMessage": null, "sequenceNumber": "A0012",
        });
        item["encryptedContent"] = sealed(own, certificate, &content.to_string(), told.wrong)?;
        if told.wrong != Wrong::NoToken {
            body["validationTokens"] = json!([token(signer, told.wrong)]);
        }
    }
    body["value"] = json!([item]);
    Ok(body.to_string())
}

/// The body of a request with an event of a subscription.
pub(super) fn event(own: &Subscribed, event: &str) -> String {
    json!({ "value": [{
        "subscriptionId": own.id, "clientState": own.client_state, "tenantId": DIRECTORY,
        "subscriptionExpirationDateTime": clock::text(own.until_ms), "lifecycleEvent": event,
    }] })
    .to_string()
}

fn sealed(
    own: &Subscribed,
    certificate: &[u8],
    content: &str,
    wrong: Wrong,
) -> Result<Value, String> {
    let failed = |what: &'static str| move |_| what.to_owned();
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|why| why.to_string())?;
    let first = FixedLength::from(key.first_chunk::<16>().ok_or("no key")?);
    let mut data = content.as_bytes().to_vec();
    UnboundCipherKey::new(&AES_256, &key)
        .and_then(PaddedBlockEncryptingKey::cbc_pkcs7)
        .and_then(|cipher| cipher.less_safe_encrypt(&mut data, EncryptionContext::Iv128(first)))
        .map_err(failed("it cannot be sealed"))?;
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &data);
    let (_, parsed) =
        x509_parser::parse_x509_certificate(certificate).map_err(|why| why.to_string())?;
    let public = PublicEncryptingKey::from_der(parsed.public_key().raw);
    let public = public.map_err(|why| format!("its certificate has no key of RSA: {why}"))?;
    let public = OaepPublicEncryptingKey::new(public).map_err(failed("no key of RSA"))?;
    let mut room = vec![0; public.ciphertext_size()];
    let wrapped = public
        .encrypt(&OAEP_SHA1_MGF1SHA1, &key, &mut room, None)
        .map_err(failed("the key cannot be sealed"))?;
    if wrong == Wrong::Key {
        wrapped[7] ^= 1;
    }
    if wrong == Wrong::Content {
        data[0] ^= 1;
    }
    let signature = base64::encode(signature.as_ref());
    Ok(json!({
        "data": base64::encode(&data),
        "dataSignature": match wrong {
            Wrong::Signature => format!("{FORGED}{signature}"),
            _ => signature,
        },
        "dataKey": base64::encode(wrapped),
        "encryptionCertificateId": own.certificate_id,
        "encryptionCertificateThumbprint": "0000000000000000000000000000000000000000",
    }))
}

/// What Microsoft proves with that it sends a notice.
fn token(signer: &Signer, wrong: Wrong) -> String {
    let now = clock::now_ms() / 1_000;
    let mut claims = json!({
        "aud": APPLICATION, "iss": format!("https://{LOGIN}/{DIRECTORY}/v2.0"), "azp": PUBLISHER,
        "tid": DIRECTORY, "ver": "2.0", "iat": now - 300, "nbf": now - 300, "exp": now + 3_300,
    });
    let mut header = json!({ "alg": "RS256", "typ": "JWT", "kid": signer.kid() });
    match wrong {
        Wrong::Claim(name, value) => claims[name] = json!(value),
        Wrong::Expired => {
            for (name, ago) in [("iat", 7_200), ("nbf", 7_200), ("exp", 3_600)] {
                claims[name] = json!(now - ago);
            }
        }
        Wrong::Unsigned => header["alg"] = json!("none"),
        _ => {}
    }
    let token = signer.token_of(&header, &claims);
    match (wrong, token.rsplit_once('.')) {
        (Wrong::Token, Some((input, signature))) => format!("{input}.{FORGED}{signature}"),
        _ => token,
    }
}
