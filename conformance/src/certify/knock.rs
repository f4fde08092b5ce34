//! Strangers at the subject's door, and the subject's own word on a configuration.

use super::case::PATIENCE;
use super::evidence::Side;
use super::stage::Stage;
use super::subject::AUTHORITY;
use super::verdict::Failure;
use crate::ca::Identity;
use crate::lab::daemon::Daemon;
use crate::media::sdp;
use crate::media::secure::Key;
use crate::peer::flow::{Flow, connection};
use crate::peer::message::{Draft, Message};
use crate::peer::teams::connect_from;
use crate::peer::tls;
use crate::random;
use rustls::SupportedCipherSuite;
use rustls::pki_types::ServerName;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsConnector;

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
        tried.map_err(|why| Failure::new("ladder", why))
    }

    async fn try_door(
        &self,
        from: IpAddr,
        identity: Option<&Identity>,
        suite: Option<SupportedCipherSuite>,
    ) -> Result<Door, String> {
        let connector = match suite {
            Some(suite) => tls::connector_of(suite, identity, self.roots.clone()),
            None => tls::connector(identity, self.roots.clone()),
        };
        let connector = connector.map_err(|fault| fault.to_string())?;
        let fqdn = self.trunk().fqdn;
        let request = options(from, &fqdn, self.door.port(), &random::word::<8>())?;
        try_door(from, self.door, &fqdn, &connector, request).await
    }

    /// Connects from an address with a certificate, and calls a number under Microsoft's names.
    ///
    /// # Errors
    /// The rule `ladder`, when the stranger could not even try.
    pub async fn knock_calling(
        &self,
        from: IpAddr,
        identity: &Identity,
        number: &str,
    ) -> Result<Door, Failure> {
        let fqdn = self.trunk().fqdn;
        let tried = async {
            let connector = tls::connector(Some(identity), self.roots.clone());
            let connector = connector.map_err(|fault| fault.to_string())?;
            let request = invite(from, &fqdn, self.door.port(), number)?;
            try_door(from, self.door, &fqdn, &connector, request).await
        };
        tried.await.map_err(|why| Failure::new("ladder", why))
    }

    /// The same of who asks for a name that nobody here has, or for none.
    ///
    /// # Errors
    /// The rule `ladder`, when the stranger could not even try.
    pub async fn knock_asking(
        &self,
        from: IpAddr,
        identity: &Identity,
        asks_for: Option<&str>,
    ) -> Result<Door, Failure> {
        let fqdn = self.trunk().fqdn;
        let ladder = |why: String| Failure::new("ladder", why);
        let connector = tls::connector_to(&fqdn, asks_for.is_some(), identity, self.roots.clone());
        let connector = connector.map_err(|fault| ladder(fault.to_string()))?;
        let request = options(from, &fqdn, self.door.port(), &random::word::<8>());
        let tried = try_door(
            from,
            self.door,
            asks_for.unwrap_or(&fqdn),
            &connector,
            request.map_err(ladder)?,
        );
        tried.await.map_err(ladder)
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

    /// Lines in which our daemon tells its operator something with this word; waits for the first. Lines are
    /// gathered before they are written.
    pub async fn logged(&self, word: &str) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.daemon.as_ref().map(Daemon::log).unwrap_or_default();
            let log = self.as_told(log);
            let lines = log.lines().filter(|line| line.contains(word));
            let lines: Vec<String> = lines.map(str::to_owned).collect();
            if !lines.is_empty() || Instant::now() > deadline {
                return lines;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// A figure of our daemon with this name and these labels, `None` if there is none.
    ///
    /// # Errors
    /// The rule `ladder`, when it cannot be asked.
    pub async fn figure(&self, name: &str, labels: &[&str]) -> Result<Option<f64>, Failure> {
        Ok(figure(&self.ask("/metrics").await?, name, labels))
    }

    /// Waits until that figure is above a value; gives the last one.
    pub async fn figure_above(&self, name: &str, labels: &[&str], value: f64) -> Option<f64> {
        let is_it = |text: &str| figure(text, name, labels).is_some_and(|it| it > value);
        let told = self.ask_until("/metrics", PATIENCE, is_it).await;
        figure(&told.unwrap_or_else(|last| last), name, labels)
    }
}

impl Stage {
    /// Whether the subject trusts an authority whose key we have.
    pub fn has_authority(&self) -> bool {
        self.daemon.is_some() || self.own_certificate(AUTHORITY).is_some()
    }

    /// Whether we can see what the operator of the subject sees. Where we cannot, the report says what was left out:
    /// nothing passes in silence.
    pub fn shows_operators(&self, what: &str) -> bool {
        let note = format!("not asked of this subject: {what}");
        if self.daemon.is_none() && !self.notes().contains(&note) {
            self.note(note);
        }
        self.daemon.is_some()
    }

    /// A figure of our daemon with this name and these labels counts what has just happened.
    pub async fn counts(&self, rule: &str, name: &str, labels: &[&str]) {
        self.counts_above(rule, name, labels, 0.0).await;
    }

    /// What a figure of our daemon with this name and these labels says now; 0 if there is none, or no such daemon.
    pub async fn counted(&self, name: &str, labels: &[&str]) -> f64 {
        let now = self.figure(name, labels).await.ok().flatten();
        now.unwrap_or_default()
    }

    /// The same, where it has counted so many before.
    pub async fn counts_above(&self, rule: &str, name: &str, labels: &[&str], before: f64) {
        if !self.shows_operators("counters") {
            return;
        }
        let counted = self.figure_above(name, labels, before).await;
        self.check(rule, counted > Some(before), || {
            format!("{name} with {labels:?} counts nothing of it, and {before} before")
        });
    }

    /// The same of handshakes of the context that Teams meets: `dir` is `in` or `out`.
    pub async fn counts_handshakes(&self, rule: &str, dir: &str, result: &str) {
        let labels = [
            "context=\"teams\"",
            &format!("dir=\"{dir}\""),
            &format!("result=\"{result}\""),
        ];
        self.counts(rule, "sbc_tls_handshakes_total", &labels).await;
    }
}

/// The sum of a figure over all lines with this name and these labels.
pub(super) fn figure(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (own, more) = series.split_once('{').unwrap_or((series, ""));
        let is_it = own == name && labels.iter().all(|label| more.contains(label));
        is_it.then(|| value.parse::<f64>().ok())?
    });
    values.reduce(|sum, value| sum + value)
}

/// A connection of a peer that nobody watches, for what no peer of ours would write.
pub struct Raw {
    flow: Flow,
    answers: mpsc::UnboundedReceiver<(String, u16)>,
    seen: Vec<u16>,
    work: JoinHandle<()>,
    fqdn: String,
    from: IpAddr,
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl Stage {
    /// A connection from an address of Teams, with its certificate.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn raw(&self, from: IpAddr) -> Result<Raw, Failure> {
        let fault = |why: String| Failure::new("ladder", why);
        let connector = tls::connector(Some(&self.identity), self.roots.clone());
        let connector = connector.map_err(|why| fault(why.to_string()))?;
        let fqdn = self.trunk().fqdn;
        let name = ServerName::try_from(fqdn.clone()).map_err(|why| fault(why.to_string()))?;
        let connecting = async {
            let stream = connect_from(from, self.door).await?;
            connector.connect(name, stream).await
        };
        let stream = timeout(PATIENCE, connecting).await;
        let stream = stream
            .map_err(|_| fault("the handshake does not end".to_owned()))?
            .map_err(|why| fault(format!("no connection from {from}: {why}")))?;
        let (seen, answers) = mpsc::unbounded_channel();
        let tape = self.tape.clone();
        let (flow, work) = connection(stream, self.door, Vec::new(), move |_, bytes| {
            for (_, bytes) in tape.changed(Side::Teams, bytes) {
                let message = Message::parse(&bytes).ok();
                let answer =
                    message.and_then(|one| Some((one.call_id().to_owned(), one.status()?)));
                if let Some(answer) = answer {
                    // Whoever asked may have gone.
                    let _ = seen.send(answer);
                }
            }
        });
        Ok(Raw {
            flow,
            answers,
            seen: Vec::new(),
            work: tokio::spawn(work),
            fqdn,
            from,
        })
    }
}

impl Raw {
    /// Why a door is closed at which nothing happened.
    pub const SILENT: &str = "no answer";

    /// Sends octets as they are.
    pub fn send(&self, bytes: Vec<u8>) {
        self.flow.send(bytes);
    }

    /// Asks with OPTIONS; other answers that come before are kept.
    pub async fn options(&mut self, patience: Duration) -> Door {
        let call = random::word::<8>();
        let Ok(options) = options(self.from, &self.fqdn, self.flow.remote.port(), &call) else {
            return Door::Closed(Self::SILENT.to_owned());
        };
        self.send(options);
        self.next(patience, Some(&call)).await
    }

    /// The next final answer.
    pub async fn answer(&mut self, patience: Duration) -> Door {
        self.next(patience, None).await
    }

    async fn next(&mut self, patience: Duration, of: Option<&str>) -> Door {
        let deadline = Instant::now() + patience;
        loop {
            match timeout_at(deadline, self.answers.recv()).await {
                Ok(Some((call, status))) if of.is_none_or(|own| own == call) && status >= 200 => {
                    return Door::Answered(status);
                }
                Ok(Some((_, status))) => self.seen.push(status),
                Ok(None) => return Door::Closed("closed without an answer".to_owned()),
                Err(_) => return Door::Closed(Self::SILENT.to_owned()),
            }
        }
    }

    /// Statuses of the answers that were kept.
    pub fn statuses(&mut self) -> Vec<u16> {
        std::mem::take(&mut self.seen)
    }
}

/// OPTIONS of a proxy.
fn options(from: IpAddr, fqdn: &str, port: u16, call: &str) -> Result<Vec<u8>, String> {
    Draft::request("OPTIONS", &format!("sip:{fqdn}:{port};transport=tls"))
        .with(
            "Via",
            format!("SIP/2.0/TLS {from};branch=z9hG4bK{}", random::word::<8>()),
        )
        .with(
            "From",
            format!("<sip:sip.pstnhub.example>;tag={}", random::word::<6>()),
        )
        .with("To", format!("<sip:{fqdn}>"))
        .with("Call-ID", call)
        .with("CSeq", "1 OPTIONS")
        .with("Max-Forwards", 70)
        .with("Contact", "<sip:sip.pstnhub.example:5061>")
        .build(true)
        .map_err(|fault| fault.to_string())
}

/// A call under Microsoft's names (TDR-TLS-012).
fn invite(from: IpAddr, fqdn: &str, port: u16, number: &str) -> Result<Vec<u8>, String> {
    let at = SocketAddr::new(from, 40_000);
    let via = format!("SIP/2.0/TLS {from};branch=z9hG4bK{}", random::word::<8>());
    let caller = format!(
        "<sip:+441632960100@sip.pstnhub.example>;tag={}",
        random::word::<6>()
    );
    Draft::request(
        "INVITE",
        &format!("sip:{number}@{fqdn}:{port};user=phone;transport=tls"),
    )
    .with("Via", via)
    .with("From", caller)
    .with("To", format!("<sip:{number}@{fqdn};user=phone>"))
    .with("Call-ID", random::word::<8>())
    .with("CSeq", "1 INVITE")
    .with("Max-Forwards", 70)
    .with("Contact", "<sip:sip.pstnhub.example:5061;transport=tls>")
    .sdp(sdp::teams_offer(at, &Key::random()))
    .build(true)
    .map_err(|fault| fault.to_string())
}

/// Knocks at `to`, asks TLS for `asked`, and then asks this. `Err` says why nothing is known of the door.
async fn try_door(
    from: IpAddr,
    to: SocketAddr,
    asked: &str,
    connector: &TlsConnector,
    request: Vec<u8>,
) -> Result<Door, String> {
    let name = ServerName::try_from(asked.to_owned()).map_err(|why| why.to_string())?;
    let stream = match connect_from(from, to).await {
        Ok(stream) => stream,
        Err(why) if why.kind() == ErrorKind::ConnectionReset => {
            return Ok(Door::Closed(format!("refused: {why}")));
        }
        // Nobody is there, or there is no way from here: the subject has refused nothing.
        Err(why) => return Err(format!("no connection from {from} to {to}: {why}")),
    };
    let stream = match timeout(PATIENCE, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(why)) if is_ours(&why) => {
            return Err(format!("the subject's certificate is not believed: {why}"));
        }
        Ok(Err(why)) => return Ok(Door::Closed(format!("refused in the handshake: {why}"))),
        Err(_) => return Err("the handshake does not end".to_owned()),
    };
    let (seen, mut answers) = mpsc::unbounded_channel();
    let (flow, work) = connection(stream, to, Vec::new(), move |_, bytes| {
        let status = Message::parse(bytes)
            .ok()
            .and_then(|message| message.status());
        let _ = seen.send(status.unwrap_or_default());
    });
    flow.send(request);
    tokio::select! {
        () = work => Ok(Door::Closed("closed without an answer".to_owned())),
        Some(status) = answers.recv() => Ok(Door::Answered(status)),
        () = sleep(PATIENCE) => Ok(Door::Closed("no answer".to_owned())),
    }
}

/// Whether a handshake ended because we do not believe the other side.
fn is_ours(why: &io::Error) -> bool {
    let fault = why.get_ref().and_then(|fault| fault.downcast_ref());
    matches!(fault, Some(rustls::Error::InvalidCertificate(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::Authority;
    use tokio::net::{TcpListener, TcpSocket};

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const FQDN: &str = "sbc1.test.example";

    /// What becomes of a stranger with this certificate, who trusts this authority.
    async fn knock(
        subject: &Authority,
        trusted: &Authority,
        identity: Option<&Identity>,
    ) -> Result<Door, String> {
        let own = subject.issue(&[FQDN]).unwrap();
        let acceptor = tls::acceptor(&own, subject.roots().unwrap()).unwrap();
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let to = listener.local_addr().unwrap();
        let connector = tls::connector(identity, trusted.roots().unwrap()).unwrap();
        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            let _ = acceptor.accept(stream).await;
        };
        tokio::join!(try_door(HERE, to, FQDN, &connector, Vec::new()), serve).0
    }

    #[tokio::test]
    async fn only_what_the_subject_refuses_is_a_closed_door() {
        let (own, other) = (Authority::new("a").unwrap(), Authority::new("b").unwrap());
        let stranger = other.issue(&["sip.pstnhub.example"]).unwrap();
        for identity in [None, Some(&stranger)] {
            let door = knock(&own, &own, identity).await;
            assert!(matches!(door, Ok(Door::Closed(_))), "{door:?}");
        }
        // We turn round at the door: that says nothing about it.
        let door = knock(&own, &other, Some(&stranger)).await;
        assert!(
            door.clone().is_err_and(|why| why.contains("not believed")),
            "{door:?}"
        );
    }

    #[tokio::test]
    async fn nobody_at_home_is_no_closed_door() {
        // Its port is taken, and nobody listens.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(HERE, 0)).unwrap();
        let to = socket.local_addr().unwrap();
        let roots = Authority::new("a").unwrap().roots().unwrap();
        let connector = tls::connector(None, roots).unwrap();
        let door = try_door(HERE, to, FQDN, &connector, Vec::new()).await;
        assert!(
            door.clone().is_err_and(|why| why.contains("no connection")),
            "{door:?}"
        );
    }
}
