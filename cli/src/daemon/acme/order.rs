//! One order from the account to the chain, which goes on where a restart has interrupted it (RFC 8555 §7).

use super::fault::{Fault, said};
use super::http::Way;
use super::proof::Proofs;
use super::store::{Account as Kept, Pending, Store};
use crate::config::read_secret;
use instant_acme::{
    Account, AuthorizationStatus, ChallengeStatus, Error, ExternalAccountKey, Identifier,
    NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use sbc_core::config::{AcmeAccount, FileFault};
use sbc_core::id::TlsContextName;
use sbc_core::sdp::base64_url_decode;
use std::time::Duration;

/// How long the authority may take to look, and to issue.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(180));

/// What is asked for.
pub(super) struct Wanted<'w> {
    pub(super) account: &'w AcmeAccount,
    pub(super) identity: &'w TlsContextName,
    pub(super) names: &'w [String],
    pub(super) store: &'w Store,
    pub(super) way: &'w Way,
}

impl Wanted<'_> {
    /// Gets a certificate; gives chain and key in PEM.
    ///
    /// # Errors
    /// Why there is none. The order is kept if it can go on.
    pub(super) async fn issue(&self) -> Result<String, Fault> {
        let account = self.account().await?;
        let issued = self.ordered(&account).await;
        if issued.as_ref().is_err_and(Fault::is_account_gone) {
            self.store.forget_account(&self.account.directory);
        }
        issued
    }

    async fn ordered(&self, account: &Account) -> Result<String, Fault> {
        let (mut order, key) = match self.resumed(account).await {
            Some(resumed) => resumed,
            None => self.begun(account).await?,
        };
        let chain = self.carried_out(&mut order, &key).await;
        if chain.as_ref().err().is_none_or(Fault::ends_the_order) {
            self.store
                .progressed(self.identity, |progress| progress.pending = None)?;
        }
        Ok(format!("{}\n{}", chain?.trim_end(), key.serialize_pem()))
    }

    /// The account that is kept, or a new one.
    async fn account(&self) -> Result<Account, Fault> {
        let directory = &self.account.directory;
        let contact: Vec<String> = self
            .account
            .contact
            .iter()
            .map(|at| format!("mailto:{at}"))
            .collect();
        let contacts: Vec<&str> = contact.iter().map(String::as_str).collect();
        let builder = Account::builder_with_http(Box::new(self.way.clone()));
        if let Some(kept) = self.store.account(directory)? {
            let account = builder.from_credentials(kept.credentials).await;
            let account = account.map_err(|error| self.way.fault(error))?;
            if kept.contact != self.account.contact {
                let told = account.update_contacts(&contacts).await;
                told.map_err(|error| self.way.fault(error))?;
                // The library has taken the credentials.
                if let Some(mut kept) = self.store.account(directory)? {
                    kept.contact = self.account.contact.clone();
                    self.store.keep_account(directory, &kept)?;
                }
            }
            return Ok(account);
        }
        let external = match &self.account.external {
            Some(external) => {
                let unusable = |why: String| Fault::Setting {
                    what: "external_account",
                    why,
                };
                let text = read_secret(&external.key).map_err(
                    |(FileFault::Unreadable(why) | FileFault::Unusable(why))| unusable(why),
                )?;
                let key = base64_url_decode(text.trim_ascii())
                    .ok_or_else(|| unusable("its key is no base64".to_owned()))?;
                Some(ExternalAccountKey::new(external.key_id.clone(), &key))
            }
            None => None,
        };
        let new = NewAccount {
            contact: &contacts,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let made = builder
            .create(&new, directory.clone(), external.as_ref())
            .await;
        let (account, credentials) = made.map_err(|error| self.way.fault(error))?;
        let kept = Kept::new(self.account.contact.clone(), credentials);
        self.store.keep_account(directory, &kept)?;
        Ok(account)
    }

    /// The order that was interrupted, if it is for the same and the authority knows it still.
    async fn resumed(&self, account: &Account) -> Option<(Order, KeyPair)> {
        let pending = self.store.progress(self.identity).pending?;
        if pending.names != self.names || pending.directory != self.account.directory {
            return None;
        }
        let key = KeyPair::from_pem(&pending.key).ok()?;
        let mut order = account.order(pending.url).await.ok()?;
        (order.state().status != OrderStatus::Invalid).then_some((order, key))
    }

    async fn begun(&self, account: &Account) -> Result<(Order, KeyPair), Fault> {
        let identifiers: Vec<Identifier> =
            self.names.iter().cloned().map(Identifier::Dns).collect();
        let order = account.new_order(&NewOrder::new(&identifiers)).await;
        let order = order.map_err(|error| self.way.fault(error))?;
        let key = new_key().await?;
        let pending = Pending {
            directory: self.account.directory.clone(),
            url: order.url().to_owned(),
            names: self.names.to_vec(),
            key: key.serialize_pem(),
        };
        self.store
            .progressed(self.identity, |progress| progress.pending = Some(pending))?;
        Ok((order, key))
    }

    /// Does what is left to do.
    async fn carried_out(&self, order: &mut Order, key: &KeyPair) -> Result<String, Fault> {
        if order.state().status == OrderStatus::Pending {
            let mut proofs = Proofs::new(&self.account.proof);
            let proven = self.prove(order, &mut proofs).await;
            proofs.withdraw().await;
            proven?;
        }
        let fault = |error| self.way.fault(error);
        if order.state().status == OrderStatus::Ready {
            let request = self.request(key)?;
            order.finalize_csr(&request).await.map_err(fault)?;
        }
        order.poll_certificate(&PATIENCE).await.map_err(fault)
    }

    /// Shows that each name is ours, and waits for what the authority thinks of it.
    async fn prove(&self, order: &mut Order, proofs: &mut Proofs) -> Result<(), Fault> {
        let challenge = proofs.word();
        let mut authorizations = order.authorizations();
        while let Some(next) = authorizations.next().await {
            let mut one = next.map_err(|error| self.way.fault(error))?;
            if one.status != AuthorizationStatus::Pending {
                continue;
            }
            let name = one.identifier().to_string();
            let Some(mut own) = one.challenge(proofs.kind()) else {
                return Err(Fault::NoChallenge { name, challenge });
            };
            let (token, key) = (own.token.clone(), own.key_authorization());
            proofs.show(&name, &token, &key).await?;
            if own.status == ChallengeStatus::Pending {
                let told = own.set_ready().await;
                told.map_err(|error| self.unproven(error, &name, proofs))?;
            }
        }
        let ready = order.poll_ready(&PATIENCE).await;
        match ready {
            Ok(OrderStatus::Ready) => Ok(()),
            Ok(_) => Err(self.refusal(order, proofs).await),
            Err(Error::Api(problem)) => match order.state().status {
                OrderStatus::Invalid => Err(self.refusal(order, proofs).await),
                _ => Err(self.way.fault(Error::Api(problem))),
            },
            Err(error) => Err(self.way.fault(error)),
        }
    }

    /// An authority may look at once, and say so in its answer.
    fn unproven(&self, error: Error, name: &str, proofs: &Proofs) -> Fault {
        const OF_PROOF: [&str; 6] = [
            "unauthorized",
            "connection",
            "dns",
            "tls",
            "incorrectResponse",
            "caa",
        ];
        if let Error::Api(problem) = &error {
            let (kind, detail) = said(problem);
            if OF_PROOF.contains(&kind.as_str()) {
                let detail = format!("{detail}{}", proofs.seen().unwrap_or_default());
                let (name, challenge) = (name.to_owned(), proofs.word());
                return Fault::Unproven {
                    name,
                    challenge,
                    detail,
                };
            }
        }
        self.way.fault(error)
    }

    /// Which name the authority was not content with, and why.
    async fn refusal(&self, order: &mut Order, proofs: &Proofs) -> Fault {
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut one)) = authorizations.next().await {
            if one.refresh().await.is_err() || one.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = one.identifier().to_string();
            let mut problems = one.challenges.iter().filter_map(|own| own.error.as_ref());
            if let Some(problem) = problems.next() {
                return self.unproven(Error::Api(problem.clone()), &name, proofs);
            }
        }
        let why = "the authority gives the order up without a reason".to_owned();
        Fault::Unusable { why }
    }

    /// The request for a certificate: the names, and nothing that a public authority would leave out anyway.
    fn request(&self, key: &KeyPair) -> Result<Vec<u8>, Fault> {
        let unusable = |why: rcgen::Error| Fault::Unusable {
            why: why.to_string(),
        };
        let mut params = CertificateParams::new(self.names.to_vec()).map_err(unusable)?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(key).map_err(unusable)?;
        Ok(request.der().to_vec())
    }
}

/// RSA of 2048 bits: the suites that Microsoft documents are of RSA (TDR-TLS-002, TDR-TLS-005).
async fn new_key() -> Result<KeyPair, Fault> {
    let make = || KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048);
    // It takes a quarter of a second, in which calls of this thread would wait.
    let made = tokio::task::spawn_blocking(make).await;
    let unusable = |why: String| Fault::Unusable { why };
    made.map_err(|why| unusable(why.to_string()))?
        .map_err(|why| unusable(why.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_that_was_kept_is_read_back() {
        let key = new_key().await.unwrap();
        let again = KeyPair::from_pem(&key.serialize_pem()).unwrap();
        assert_eq!(again.serialize_pem(), key.serialize_pem());
        assert_eq!(again.algorithm(), &PKCS_RSA_SHA256);
    }
}
