//! Checks of ICE made by hand, sound ones and others, and what is answered (RFC 8445 §7.2).

use super::ice::Lite;
use super::voice::Warp;
use crate::random;
use rtc_stun::attributes::{ATTR_USERNAME, AttrType};
use rtc_stun::error_code::ErrorCodeAttribute;
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{BINDING_REQUEST, BINDING_SUCCESS, Getter, Message, Setter, TransactionId};
use rtc_stun::xoraddr::XorMappedAddress;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, timeout_at};

const PRIORITY: AttrType = AttrType(0x0024);
const USE_CANDIDATE: AttrType = AttrType(0x0025);
const CONTROLLING: AttrType = AttrType(0x802A);

/// How long an answer may take; the lab shares its machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// By how much answers are late that are.
const LATE: Duration = Duration::from_millis(60);

/// A check.
#[derive(Clone, Debug)]
pub struct Check {
    /// Both fragments, with a colon between.
    pub username: String,
    /// What it is proven with.
    pub password: String,
    /// Whether it has a proof at all.
    pub is_proven: bool,
    /// Whether it nominates.
    pub nominates: bool,
    /// Further attributes.
    pub more: Vec<(u16, Vec<u8>)>,
    transaction: [u8; 12],
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// That it was good, as RFC 8445 §7.3.1 wants it said.
    Success,
    /// An error.
    Refused(u16),
    /// Something that is not as it must be.
    Wrong(String),
}

impl Check {
    /// A sound check of somebody with this fragment.
    pub fn of(other: &Lite, fragment: &str) -> Self {
        Self {
            username: format!("{}:{fragment}", other.fragment),
            password: other.password.clone(),
            is_proven: true,
            nominates: false,
            more: Vec::new(),
            transaction: random::bytes(),
        }
    }

    /// As it is sent.
    ///
    /// # Errors
    /// What `rtc-stun` says.
    pub fn bytes(&self) -> Result<Vec<u8>, String> {
        let mut message = Message::new();
        message.set_type(BINDING_REQUEST);
        message.transaction_id = TransactionId(self.transaction);
        message.write_header();
        message.add(ATTR_USERNAME, self.username.as_bytes());
        message.add(PRIORITY, &1_862_270_975_u32.to_be_bytes());
        message.add(CONTROLLING, &random::bytes::<8>());
        if self.nominates {
            message.add(USE_CANDIDATE, &[]);
        }
        for (kind, value) in &self.more {
            message.add(AttrType(*kind), value);
        }
        if self.is_proven {
            let provider = rtc_crypto::default_provider().map_err(|why| why.to_string())?;
            let password = self.password.clone();
            let proof = MessageIntegrity::new_short_term_integrity_with_provider(
                password,
                provider.crypto(),
            );
            proof.add_to(&mut message).map_err(|why| why.to_string())?;
        }
        let sealed = FINGERPRINT.add_to(&mut message);
        sealed.map_err(|why| why.to_string())?;
        Ok(message.raw)
    }

    /// What an answer to it says, that came to this address; `None` if it is one to another check.
    fn reply(&self, datagram: &[u8], at: SocketAddr) -> Option<Reply> {
        let mut message = Message::new();
        message.unmarshal_binary(datagram).ok()?;
        if message.transaction_id != TransactionId(self.transaction) {
            return None;
        }
        if message.typ != BINDING_SUCCESS {
            let mut code = ErrorCodeAttribute::default();
            return Some(match code.get_from(&message) {
                Ok(()) => Reply::Refused(code.code.0),
                Err(why) => Reply::Wrong(format!("{message}: {why}")),
            });
        }
        let is_sealed = FINGERPRINT.check(&message).is_ok();
        let is_proven = rtc_crypto::default_provider().is_ok_and(|provider| {
            let password = self.password.as_bytes();
            MessageIntegrity::check(&mut message, password, provider.crypto()).is_ok()
        });
        let mut seen = XorMappedAddress::default();
        let is_seen = seen.get_from(&message).is_ok() && SocketAddr::new(seen.ip, seen.port) == at;
        Some(match is_sealed && is_proven && is_seen {
            true => Reply::Success,
            false => Reply::Wrong(format!("{message}, sent from {at}")),
        })
    }
}

/// Somebody who checks, and is no voice.
pub struct Asker {
    socket: UdpSocket,
    at: SocketAddr,
    warp: Option<Warp>,
    answers: AtomicUsize,
}

impl Asker {
    /// Somebody at this address.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn open(ip: IpAddr, warp: Option<Warp>) -> std::io::Result<Self> {
        let socket = UdpSocket::bind((ip, 0)).await?;
        let at = socket.local_addr()?;
        Ok(Self {
            socket,
            at,
            warp,
            answers: AtomicUsize::new(0),
        })
    }

    /// Makes a check, and waits for the answer; `None` if there is none.
    ///
    /// # Errors
    /// What the operating system or `rtc-stun` says.
    pub async fn asks(&self, to: SocketAddr, check: &Check) -> Result<Option<Reply>, String> {
        self.send(to, &check.bytes()?).await?;
        self.answer_to(&[check])
            .await
            .map(|found| found.map(|(_, reply)| reply))
    }

    /// Sends a check that is not sound, and a sound one behind it: what is answered to the first until the
    /// second is, so that nobody has to wait for what must not come. The second must be answered.
    ///
    /// # Errors
    /// What the operating system or `rtc-stun` says, or that the sound one is not answered.
    pub async fn tries(
        &self,
        to: SocketAddr,
        unsound: (&Check, Vec<u8>),
        sound: &Check,
    ) -> Result<Option<Reply>, String> {
        let (unsound, bytes) = unsound;
        self.send(to, &bytes).await?;
        self.send(to, &sound.bytes()?).await?;
        let mut said = (self.warp == Some(Warp::AnswersAll)).then_some(Reply::Success);
        loop {
            match self.answer_to(&[unsound, sound]).await? {
                Some((0, reply)) => said = Some(reply),
                Some((_, Reply::Success)) => return Ok(said),
                other => return Err(format!("a sound check got {other:?}")),
            }
        }
    }

    async fn send(&self, to: SocketAddr, bytes: &[u8]) -> Result<(), String> {
        let sent = self.socket.send_to(bytes, to).await;
        sent.map(|_| ()).map_err(|why| why.to_string())
    }

    /// The next answer to one of these checks, with its place among them.
    async fn answer_to(&self, checks: &[&Check]) -> Result<Option<(usize, Reply)>, String> {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0; 2048];
        loop {
            let got = timeout_at(deadline, self.socket.recv_from(&mut buffer)).await;
            let Ok(got) = got else { return Ok(None) };
            let (length, _) = got.map_err(|why| why.to_string())?;
            match self.warp {
                Some(Warp::NoAnswers) => continue,
                Some(Warp::LateAnswers) => sleep(LATE).await,
                // Ordering: the number stands for itself.
                Some(Warp::OftenLateAnswers)
                    if self.answers.fetch_add(1, Ordering::Relaxed) % 3 != 2 =>
                {
                    sleep(LATE).await;
                }
                _ => {}
            }
            let mut replies = checks
                .iter()
                .map(|check| check.reply(&buffer[..length], self.at));
            let found = replies.position(|reply| reply.is_some());
            if let Some(at) = found
                && let Some(reply) = checks[at].reply(&buffer[..length], self.at)
            {
                return Ok(Some((at, reply)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn lite() -> Lite {
        Lite {
            fragment: "abcd".to_owned(),
            password: "x".repeat(24),
            candidate: String::new(),
        }
    }

    #[test]
    fn an_answer_counts_for_its_own_check_alone_and_must_be_proven() {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 5000));
        let (one, other) = (Check::of(&lite(), "efgh"), Check::of(&lite(), "efgh"));
        let answer = |password: &str, seen: u16| {
            let provider = rtc_crypto::default_provider().unwrap();
            let mut message = Message::new();
            message.set_type(BINDING_SUCCESS);
            message.transaction_id = TransactionId(one.transaction);
            message.write_header();
            let mapped = XorMappedAddress {
                ip: at.ip(),
                port: seen,
            };
            mapped.add_to(&mut message).unwrap();
            MessageIntegrity::new_short_term_integrity_with_provider(
                password.to_owned(),
                provider.crypto(),
            )
            .add_to(&mut message)
            .unwrap();
            FINGERPRINT.add_to(&mut message).unwrap();
            message.raw
        };
        let right = answer(&one.password, 5000);
        assert_eq!(one.reply(&right, at), Some(Reply::Success));
        assert_eq!(other.reply(&right, at), None);
        for wrong in [answer("somebody else's", 5000), answer(&one.password, 5001)] {
            assert!(matches!(one.reply(&wrong, at), Some(Reply::Wrong(_))));
        }
    }
}
