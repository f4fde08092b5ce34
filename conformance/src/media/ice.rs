//! A client of Teams as ICE sees it: a full, controlling agent by `rtc-ice` on one UDP port.

use rtc_ice::agent::Agent;
use rtc_ice::candidate::CandidateConfig;
use rtc_ice::candidate::candidate_host::CandidateHostConfig;
use rtc_ice::candidate::unmarshal_candidate;
use rtc_ice::{AgentConfig, Credentials};
use rtc_shared::{TransportContext, TransportMessage, TransportProtocol};
use sansio::Protocol;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often it checks while nothing is nominated: on loopback there is nothing to be gentle with.
const PACE: Duration = Duration::from_millis(20);
/// How often it asks whether the other side is still there.
const CONSENT: Duration = Duration::from_millis(200);

/// A full agent at one address.
pub struct Client {
    agent: Agent,
    at: SocketAddr,
    /// It says nothing any more, and still hears what is on its way.
    rests: bool,
    /// What has come from the other side.
    pub heard: Arc<Heard>,
}

/// Messages of ICE that have come.
#[derive(Debug, Default)]
pub struct Heard {
    checks: AtomicU64,
    answers: AtomicU64,
}

impl Heard {
    /// Checks that the other side made. A lite agent makes none (TDR-ICE-003).
    pub fn checks(&self) -> u64 {
        // Ordering: a figure.
        self.checks.load(Ordering::Relaxed)
    }

    /// Answers to our checks.
    pub fn answers(&self) -> u64 {
        // Ordering: a figure.
        self.answers.load(Ordering::Relaxed)
    }
}

/// What a description says of a lite agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lite {
    /// `a=ice-ufrag`.
    pub fragment: String,
    /// `a=ice-pwd`.
    pub password: String,
    /// The one `a=candidate`.
    pub candidate: String,
}

impl Lite {
    /// Reads the description of an SBC.
    ///
    /// # Errors
    /// What is not as TDR-ICE-001 and TDR-ICE-002 say.
    pub fn read(description: &str) -> Result<Self, String> {
        let one = |name: &str| {
            let prefix = format!("a={name}:");
            let mut lines = description
                .lines()
                .filter_map(|line| line.strip_prefix(&prefix));
            match (lines.next(), lines.next()) {
                (Some(only), None) => Ok(only.trim_end().to_owned()),
                (None, _) => Err(format!("no a={name}")),
                (Some(_), Some(_)) => Err(format!("more than one a={name}")),
            }
        };
        let session = description.split("\nm=").next().unwrap_or_default();
        if !session.lines().any(|line| line.trim_end() == "a=ice-lite") {
            return Err("no a=ice-lite for the session".to_owned());
        }
        Ok(Self {
            fragment: one("ice-ufrag")?,
            password: one("ice-pwd")?,
            candidate: one("candidate")?,
        })
    }

    /// Where its candidate is.
    ///
    /// # Errors
    /// That the candidate has no address.
    pub fn at(&self) -> Result<SocketAddr, String> {
        let words: Vec<&str> = self.candidate.split(' ').collect();
        let at = match words[..] {
            [_, _, _, _, ip, port, ..] => ip
                .parse()
                .ok()
                .zip(port.parse().ok())
                .map(|(ip, port)| SocketAddr::new(ip, port)),
            _ => None,
        };
        at.ok_or_else(|| format!("a=candidate:{} names no address", self.candidate))
    }

    /// The same agent for somebody who reaches it at another address.
    #[must_use]
    pub fn reached_at(&self, at: SocketAddr) -> Self {
        let mut words: Vec<String> = self.candidate.split(' ').map(str::to_owned).collect();
        for (word, is) in words
            .iter_mut()
            .skip(4)
            .zip([at.ip().to_string(), at.port().to_string()])
        {
            *word = is;
        }
        Self {
            candidate: words.join(" "),
            ..self.clone()
        }
    }
}

impl Client {
    /// An agent for a socket that is bound here.
    ///
    /// # Errors
    /// What `rtc-ice` says.
    pub fn new(at: SocketAddr) -> Result<Self, String> {
        let text = |fault: &dyn std::fmt::Display| fault.to_string();
        let config = AgentConfig {
            check_interval: PACE,
            keepalive_interval: Some(CONSENT),
            is_controlling: true,
            ..AgentConfig::default()
        };
        let provider = rtc_ice::crypto::default_provider().map_err(|fault| text(&fault))?;
        let mut agent =
            Agent::new(Instant::now(), Arc::new(config), provider).map_err(|fault| text(&fault))?;
        let base_config = CandidateConfig {
            network: "udp".to_owned(),
            address: at.ip().to_string(),
            port: at.port(),
            component: 1,
            ..CandidateConfig::default()
        };
        let own = CandidateHostConfig {
            base_config,
            ..CandidateHostConfig::default()
        };
        let own = own.new_candidate_host().map_err(|fault| text(&fault))?;
        agent
            .add_local_candidate(own)
            .map_err(|fault| text(&fault))?;
        Ok(Self {
            agent,
            at,
            rests: false,
            heard: Arc::default(),
        })
    }

    /// What its description says of it.
    pub fn lines(&self) -> String {
        let Credentials { ufrag, pwd } = self.agent.get_local_credentials();
        let candidates = self.agent.get_local_candidates().iter();
        let candidates: String = candidates
            .map(|own| format!("a=candidate:{}\r\n", own.marshal()))
            .collect();
        format!("a=rtcp-mux\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\n{candidates}")
    }

    /// Begins to check the other side.
    ///
    /// # Errors
    /// What `rtc-ice` says.
    pub fn meets(&mut self, other: &Lite) -> Result<(), String> {
        let candidate = unmarshal_candidate(&other.candidate).map_err(|fault| fault.to_string())?;
        let (fragment, password) = (other.fragment.clone(), other.password.clone());
        self.agent
            .add_remote_candidate(candidate)
            .and_then(|_| {
                let now = Instant::now();
                self.agent
                    .start_connectivity_checks(now, true, fragment, password)
            })
            .map_err(|fault| fault.to_string())
    }

    /// Whether a pair is nominated, and the other side has agreed.
    pub fn is_nominated(&self) -> bool {
        self.agent.get_selected_candidate_pair().is_some()
    }

    /// Takes a datagram if it is one of ICE.
    pub fn takes(&mut self, datagram: &[u8], from: SocketAddr) -> bool {
        if datagram.first().is_none_or(|first| *first > 3) {
            return false;
        }
        let count = match datagram.first() {
            Some(0) => &self.heard.checks,
            Some(_) | None => &self.heard.answers,
        };
        // Ordering: a figure.
        count.fetch_add(1, Ordering::Relaxed);
        let message = TransportMessage {
            now: Instant::now(),
            transport: TransportContext {
                local_addr: self.at,
                peer_addr: from,
                ecn: None,
                transport_protocol: TransportProtocol::UDP,
            },
            message: bytes::BytesMut::from(datagram),
        };
        // What it does not take shows as a pair that is never nominated.
        let _ = self.agent.handle_read(message);
        true
    }

    /// From now on it makes no checks; answers to those that it has made are still taken.
    pub fn rests(&mut self) {
        self.rests = true;
    }

    /// When [`Self::ticks`] is next wanted.
    pub fn due(&mut self) -> Instant {
        let later = Instant::now() + CONSENT;
        self.agent
            .poll_timeout()
            .map_or(later, |due| due.min(later))
    }

    /// Lets time pass.
    pub fn ticks(&mut self) {
        // As with datagrams.
        let _ = self.agent.handle_timeout(Instant::now());
        while self.agent.poll_event().is_some() {}
    }

    /// What it wants to send now.
    pub fn sends(&mut self) -> Option<(Vec<u8>, SocketAddr)> {
        let next = self.agent.poll_write().filter(|_| !self.rests)?;
        Some((next.message.to_vec(), next.transport.peer_addr))
    }
}
