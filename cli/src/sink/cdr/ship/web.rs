//! Records as lines of JSON, posted over HTTPS: any status of 2xx acknowledges them.

use super::super::shipped::digest;
use super::{Fault, Reply};
use crate::daemon::resolver::Resolver;
use crate::jwt::fetch::{Address, DeliveryFault, Fetch, Parcel};
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use rustls::RootCertStore;

/// Somebody who is asked over HTTPS.
pub(super) struct Web {
    address: Address,
    fetch: Fetch,
    authorization: Option<HeaderValue>,
}

impl Web {
    /// Asks at this URL, with this token if there is one.
    ///
    /// # Errors
    /// If the URL or the token is none that can be sent.
    pub(super) fn new(
        url: &str,
        token: Option<&[u8]>,
        roots: RootCertStore,
        resolver: Resolver,
    ) -> Result<Self, String> {
        let address = Address::parse(url).ok_or_else(|| format!("{url} is no address"))?;
        let authorization = match token {
            None => None,
            Some(token) => {
                let value = HeaderValue::from_bytes(&[b"Bearer ", token.trim_ascii()].concat());
                let mut value =
                    value.map_err(|_| "the token has octets that no header may have")?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Self {
            address,
            fetch: Fetch::new(roots, resolver),
            authorization,
        })
    }

    /// Sends lines. Whoever has them already knows that by the `Idempotency-Key`.
    pub(super) async fn deliver(&self, records: Bytes) -> Result<Reply, Fault> {
        let parcel = Parcel {
            kind: "application/x-ndjson",
            key: digest(&records),
            authorization: self.authorization.clone(),
            body: records,
        };
        let receipt = self.fetch.deliver(&self.address, parcel).await;
        let receipt = receipt.map_err(|fault| match fault {
            DeliveryFault::Late(_) => Fault::Late(fault.to_string()),
            DeliveryFault::Broken(_) => Fault::Broken(fault.to_string()),
            DeliveryFault::Failed(_) => Fault::Failed(fault.to_string()),
        })?;
        match receipt.status {
            status if status.is_success() => Ok(Reply::Taken),
            status @ (StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY) => Ok(Reply::Unwanted {
                status: status.to_string(),
                answer: receipt.reason.escape_ascii().to_string(),
            }),
            status => {
                let why = format!("{} answers {status}", self.address);
                Err(match status.is_server_error() {
                    true => Fault::Broken(why),
                    false => Fault::Failed(why),
                })
            }
        }
    }
}
