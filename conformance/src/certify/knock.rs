//! Strangers at the subject's door, and the subject's own word on a configuration.

use super::case::PATIENCE;
use super::stage::Stage;
use super::verdict::Failure;
use crate::ca::Identity;
use crate::peer::flow::connection;
use crate::peer::message::{Draft, Message};
use crate::peer::teams::connect_from;
use crate::peer::tls;
use crate::random;
use rustls::SupportedCipherSuite;
use rustls::pki_types::ServerName;
use std::net::IpAddr;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// What became of a stranger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Door {
    /// Its OPTIONS were answered with this status.
    Answered(u16),
    /// It was turned away, and how.
    Closed(String),
}

impl Door {
    /// Whether it got nothing: no connection, no answer, or 403.
    pub fn is_closed(&self) -> bool {
        !matches!(self, Self::Answered(status) if *status != 403)
    }
}

impl Stage {
    /// Connects from an address with a certificate, or none, and sends OPTIONS.
    ///
    /// # Errors
    /// The rule `ladder`, when the stranger could not even try.
    pub async fn knock(
        &self,
        from: IpAddr,
        identity: Option<&Identity>,
        suite: Option<SupportedCipherSuite>,
    ) -> Result<Door, Failure> {
        let tried = self.try_door(from, identity, suite).await;
        let door = tried.map_err(|why| Failure::new("ladder", why))?;
        Ok(match self.is_welcoming {
            true => Door::Answered(200),
            false => door,
        })
    }

    async fn try_door(
        &self,
        from: IpAddr,
        identity: Option<&Identity>,
        suite: Option<SupportedCipherSuite>,
    ) -> Result<Door, String> {
        let text = |fault: crate::ca::CaFault| fault.to_string();
        let roots = self.kit.authority.roots().map_err(text)?;
        let connector = match suite {
            Some(suite) => tls::connector_of(suite, identity, roots),
            None => tls::connector(identity, roots),
        };
        let connector = connector.map_err(text)?;
        let fqdn = self.trunk().fqdn;
        let name = ServerName::try_from(fqdn.clone()).map_err(|why| why.to_string())?;
        let stream = match connect_from(from, self.teams_side).await {
            Ok(stream) => stream,
            Err(why) => return Ok(Door::Closed(format!("refused: {why}"))),
        };
        let stream = match timeout(PATIENCE, connector.connect(name, stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(why)) => return Ok(Door::Closed(format!("refused in the handshake: {why}"))),
            Err(_) => return Err("the handshake does not end".to_owned()),
        };
        let (seen, mut answers) = mpsc::unbounded_channel();
        let (flow, work) = connection(stream, self.teams_side, Vec::new(), move |_, bytes| {
            let status = Message::parse(bytes)
                .ok()
                .and_then(|message| message.status());
            let _ = seen.send(status.unwrap_or_default());
        });
        let port = self.teams_side.port();
        let options = Draft::request("OPTIONS", &format!("sip:{fqdn}:{port};transport=tls"))
            .with(
                "Via",
                format!("SIP/2.0/TLS {from};branch=z9hG4bK{}", random::word::<8>()),
            )
            .with(
                "From",
                format!("<sip:sip.pstnhub.example>;tag={}", random::word::<6>()),
            )
            .with("To", format!("<sip:{fqdn}>"))
            .with("Call-ID", random::word::<8>())
            .with("CSeq", "1 OPTIONS")
            .with("Max-Forwards", 70)
            .with("Contact", "<sip:sip.pstnhub.example:5061>")
            .build(true)
            .map_err(|fault| fault.to_string())?;
        flow.send(options);
        tokio::select! {
            () = work => Ok(Door::Closed("closed without an answer".to_owned())),
            Some(status) = answers.recv() => Ok(Door::Answered(status)),
            () = sleep(PATIENCE) => Ok(Door::Closed("no answer".to_owned())),
        }
    }

    /// What our program says of a configuration that differs from that of the stage in one text:
    /// whether it would be taken, and the words.
    ///
    /// # Errors
    /// The rule `ladder`, when it cannot be asked.
    pub async fn checks(&self, from: &str, to: &str) -> Result<(bool, String), Failure> {
        let fault = |why: String| Failure::new("ladder", why);
        let (Some(program), Some(folder)) = (&self.program, self.folder()) else {
            return Err(fault("the subject is not ours".to_owned()));
        };
        let path = folder.join("causeway.toml");
        let text = std::fs::read_to_string(&path).map_err(|why| fault(why.to_string()))?;
        if !text.contains(from) {
            return Err(fault(format!("the configuration has no {from}")));
        }
        let file = format!("checked-{}.toml", random::word::<4>());
        let path = crate::lab::place::write(folder, &file, &text.replace(from, to))?;
        let output = Command::new(program)
            .arg("check")
            .arg("-f")
            .arg(&path)
            .output()
            .await;
        let output = output.map_err(|why| fault(why.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        let (is_taken, text) = (output.status.success(), self.as_told(text));
        Ok((is_taken, text))
    }
}
