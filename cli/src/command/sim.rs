//! `causeway sim call`: one call with audio through a running daemon, from a caller of our own, to an answerer of our own
//! where its route leads to this machine.

use super::exit;
use super::form::Output;
use super::node::code_of;
use super::readable::plain;
use crate::client::{ClientFault, ask};
use crate::config::{Host, read_sources};
use crate::misspelt::unknown;
use clap::{Args, Subcommand};
use conformance::media::endpoint::{Session, Sockets};
use conformance::media::figures::{Figures, Ledger};
use conformance::media::sdp;
use conformance::media::tone::Codec;
use conformance::peer::agent::Received;
use conformance::peer::carrier::{Carrier, Place};
use conformance::peer::fault::PeerFault;
use conformance::peer::leg::{Leg, PATIENCE};
use conformance::peer::rules::CarrierRules;
use sbc_core::config::{CallIn, Config, IpNet};
use sbc_core::id::TrunkName;
use sbc_core::policy::number::Number;
use sbc_core::rehearsal::{self, Played};
use sbc_core::transport::Protocol;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

/// Tones of the caller and of the answerer, in Hz.
const TONES: (f64, f64) = (437.3, 611.7);
/// Packets of a second.
const PACKETS: u64 = 50;
/// Exit code of a call that did not go as it should.
const FAILED: u8 = 1;

/// What to simulate.
#[derive(Subcommand, Clone, Debug)]
pub enum Simulated {
    /// Call a number through the running daemon as the peer of a trunk would, and listen; where the route leads to an
    /// address of this machine at which nobody listens, it is answered from there
    Call(SimCall),
}

/// Who calls whom.
#[derive(Args, Clone, Debug)]
pub struct SimCall {
    /// Trunk that the call comes in on: one with a UDP listener, which takes calls from an address of this machine
    #[arg(long, value_name = "TRUNK")]
    pub from_trunk: String,
    /// Called number
    #[arg(long, value_name = "NUMBER")]
    pub to: String,
    /// Calling number
    #[arg(long, value_name = "NUMBER", default_value = "+12025550123")]
    pub from: String,
    /// Address to call from; 127.0.0.1 if the trunk takes calls from there
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<IpAddr>,
    /// Seconds of audio
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=60))]
    pub seconds: u8,
    /// Main file of the daemon's configuration; conf.d/*.toml beside it belong to it
    #[arg(short = 'f', long, default_value = "/etc/causeway/causeway.toml")]
    pub config: PathBuf,
    /// How it is printed
    #[command(flatten)]
    pub output: Output,
}

/// Places the call. Returns 0 if it was answered and heard, 1 if not, 5 if the configuration refuses it or has no such trunk, 3 if that is not
/// valid, 2 if it cannot be placed from here, 4 if no daemon answers at the socket that the configuration names.
///
/// # Errors
/// If the output cannot be written.
pub fn run(command: &Simulated, out: &mut dyn Write) -> io::Result<u8> {
    let Simulated::Call(wish) = command;
    let loaded = read_sources(&wish.config)
        .and_then(|sources| sbc_core::config::load(&sources, &Host, None));
    let (config, socket) = match loaded {
        Ok(loaded) => (Arc::new(loaded.config), PathBuf::from(loaded.shell.api)),
        Err(findings) => {
            eprintln!("{}", findings.to_text());
            return Ok(exit::of_refused(&wish.config, &findings));
        }
    };
    let plan = match Plan::new(&config, wish) {
        Ok(plan) => plan,
        Err((why, code)) => {
            eprintln!("causeway: {why}");
            return Ok(code);
        }
    };
    if plan.played.tries.is_empty() {
        let refusal = plan.played.refusal.as_ref();
        let because = refusal.map(|refusal| refusal.because.0.join("; "));
        let because = because.unwrap_or_else(|| "it is dropped".to_owned());
        eprintln!("causeway: the configuration lets no such call out: {because}");
        return Ok(exit::REFUSED);
    }
    // Without a daemon nothing but silence would be heard, which says less.
    let drains = match ask(&socket, "GET", "/status") {
        Ok(answer) => is_draining(&answer.body),
        // Whoever may not ask may call all the same.
        Err(ClientFault::Forbidden { .. }) => false,
        Err(fault) => {
            eprintln!("causeway: {fault} ({})", socket.display());
            return Ok(code_of(&fault));
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut told = runtime.block_on(plan.place(wish));
    if let (true, Some(fault)) = (drains, told["fault"].as_str()) {
        told["fault"] =
            format!("{fault}; this node drains: \"causeway undrain\" takes calls again").into();
    }
    match wish.output.is_table() {
        false => wish.output.print(&told, out)?,
        true => print(&told, out)?,
    }
    Ok(match told["well"] == true {
        true => exit::OK,
        false => FAILED,
    })
}

/// Whether a node that has this status takes no new calls, as it drains.
fn is_draining(status: &str) -> bool {
    let status: Value = serde_json::from_str(status).unwrap_or(Value::Null);
    matches!(status["state"].as_str(), Some("draining" | "drained"))
}

/// Where the call goes in and, as a rehearsal of it says, out.
struct Plan {
    caller: IpAddr,
    daemon: SocketAddr,
    played: Played,
}

impl Plan {
    fn new(config: &Arc<Config>, wish: &SimCall) -> Result<Self, (String, u8)> {
        let wrong = |why: String| (why, exit::USAGE);
        let name = TrunkName::new(&wish.from_trunk);
        let trunk = config.trunks.get(&name).ok_or_else(|| {
            let all = config.trunks.keys().map(|own| own.as_str());
            let why = unknown("there is no trunk", name.as_str(), all);
            (why, exit::REFUSED)
        })?;
        let here = wish.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let is_from = |net: &IpNet| {
            net.address.is_ipv4() == here.is_ipv4() && (net.first()..=net.last()).contains(&here)
        };
        if !trunk.accept_from.iter().any(is_from) {
            return Err(wrong(format!(
                "trunk \"{name}\" takes no calls from {here}: name an address of this machine in its accept_from by \
                 --address, or add a trunk with accept_from = [\"127.0.0.1\"] for such calls"
            )));
        }
        let mut listeners = trunk
            .listeners
            .iter()
            .filter_map(|own| config.listeners.get(own));
        let listener = listeners
            .find(|own| own.protocol == Protocol::Udp && own.bind.is_ipv4() == here.is_ipv4())
            .ok_or_else(|| {
                wrong(format!(
                    "trunk \"{name}\" has no listener for UDP that {here} can reach"
                ))
            })?;
        let call = CallIn {
            trunk: Some(name),
            source: Some(here),
            listener: Some(listener.name.clone()),
            from: wish.from.clone(),
            to: wish.to.clone(),
            time: Some(super::route::now()),
            ..CallIn::default()
        };
        let played = rehearsal::play(config, &call).map_err(|why| wrong(why.to_string()))?;
        Ok(Self {
            caller: here,
            daemon: listener.bind,
            played,
        })
    }

    /// Our own answerer, where the first target is an address of this machine that nobody listens at.
    fn answerer(&self) -> Option<(Carrier, UnboundedReceiver<Received>)> {
        let first = self.played.tries.first()?;
        if first.protocol != Protocol::Udp {
            return None;
        }
        let number = Number::of(first.message.uri().ok()?)?;
        // Else it is an address of another machine, or somebody listens there.
        let place = Place::take_at(first.remote).ok()?;
        let carrier = Carrier::start("answerer", place, self.rules(), None);
        let calls = carrier.claim(&number.raw);
        Some((carrier, calls))
    }

    fn rules(&self) -> CarrierRules {
        CarrierRules {
            sbc: self.daemon.ip(),
            hidden: Vec::new(),
        }
    }

    /// Calls, listens and hangs up.
    async fn place(&self, wish: &SimCall) -> Value {
        let first = self.played.tries.first();
        let mut told = json!({
            "from_trunk": wish.from_trunk,
            "calling": wish.from,
            "called": wish.to,
            "daemon": self.daemon,
            "to_trunk": first.map(|first| &first.trunk),
            "target": first.map(|first| first.remote),
        });
        let answerer = self.answerer();
        told["answered_here"] = answerer.is_some().into();
        let began = Instant::now();
        match self.talk(wish, answerer, &mut told).await {
            Ok(is_well) => told["well"] = is_well.into(),
            Err(fault) => {
                told["well"] = false.into();
                told["fault"] = fault.to_string().into();
            }
        }
        told["took_ms"] = json!(began.elapsed().as_millis() as u64);
        told
    }

    async fn talk(
        &self,
        wish: &SimCall,
        answerer: Option<(Carrier, UnboundedReceiver<Received>)>,
        told: &mut Value,
    ) -> Result<bool, PeerFault> {
        let socket = |why| PeerFault::Socket {
            peer: "caller".to_owned(),
            why,
        };
        let place = Place::take(self.caller).map_err(socket)?;
        let caller = Carrier::start("caller", place, self.rules(), None);
        let ours = Sockets::open(self.caller).await.map_err(socket)?;
        let offer =
            sdp::carrier_offer(ours.address().map_err(socket)?, &[Codec::Pcma, Codec::Pcmu]);
        let began = Instant::now();
        let (mut leg, _) = caller.call(self.daemon, &wish.from, &wish.to, offer)?;
        told["call_id"] = leg.call_id().into();
        let (answer, called) = tokio::join!(accepted(&mut leg), async {
            match answerer {
                Some((carrier, calls)) => pick_up(carrier, calls).await.map(Some),
                None => Ok(None),
            }
        });
        // Why there is no answer says more than that nobody was called.
        let answer = answer?;
        told["answered_after_ms"] = json!(began.elapsed().as_millis() as u64);
        let (near, far) = (Ledger::default(), Ledger::default());
        let media = |why| PeerFault::Media {
            peer: "caller".to_owned(),
            why,
        };
        let read = sdp::read(&answer.body()).map_err(media)?;
        let codec = read
            .codec()
            .ok_or_else(|| media("no codec that we have".to_owned()))?;
        told["codec"] = codec.name().into();
        let packets = PACKETS * u64::from(wish.seconds);
        let session = session(&read, codec, TONES, (near.clone(), far.clone())).map_err(media)?;
        let Some(mut called) = called? else {
            let heard = ours.talk(session, packets).await.map_err(socket)?;
            told["heard_by_caller"] = figures(&heard);
            leg.hang_up().await?;
            return Ok(heard.received > 0);
        };
        let other =
            self::session(&called.offer, codec, (TONES.1, TONES.0), (far, near)).map_err(media)?;
        let (by_caller, by_called) = tokio::join!(
            ours.talk(session, packets),
            called.sockets.talk(other, packets)
        );
        let (by_caller, by_called) = (by_caller.map_err(socket)?, by_called.map_err(socket)?);
        told["heard_by_caller"] = figures(&by_caller);
        told["heard_by_called"] = figures(&by_called);
        let (bye, ended) = tokio::join!(leg.hang_up(), called.leg.hung_up(PATIENCE));
        bye.and(ended)?;
        let is_heard = |own: &Figures| own.received * 100 >= own.sent * 95 && own.tone > 0.9;
        Ok(is_heard(&by_caller) && is_heard(&by_called))
    }
}

/// The caller waits for 200 and acknowledges it.
async fn accepted(caller: &mut Leg) -> Result<conformance::peer::message::Message, PeerFault> {
    let answer = caller.final_response().await?;
    match answer.status() {
        Some(200..=299) => caller.acknowledge(&answer).map(|()| answer),
        _ => Err(caller.unexpected("200 for its INVITE", &answer)),
    }
}

/// The answerer's side of the call.
struct Called {
    leg: Leg,
    sockets: Sockets,
    offer: sdp::Media,
    /// It listens for as long as the call goes on.
    _carrier: Carrier,
}

async fn pick_up(
    carrier: Carrier,
    mut calls: UnboundedReceiver<Received>,
) -> Result<Called, PeerFault> {
    let peer = || "answerer".to_owned();
    let invite = timeout(PATIENCE, calls.recv()).await.ok().flatten();
    let invite = invite.ok_or_else(|| PeerFault::Silence {
        peer: peer(),
        wanted: "an INVITE".to_owned(),
        after: PATIENCE,
    })?;
    let mut leg = carrier.take(invite);
    let media = |why| PeerFault::Media { peer: peer(), why };
    let offer = sdp::read(&leg.offer()).map_err(media)?;
    let codec = offer
        .codec()
        .ok_or_else(|| media("no codec that we have".to_owned()))?;
    let socket = |why| PeerFault::Socket { peer: peer(), why };
    let sockets = Sockets::open(carrier.address().ip())
        .await
        .map_err(socket)?;
    let answer = sdp::answer(&offer, codec, sockets.address().map_err(socket)?, None);
    leg.respond(180, "Ringing", None, &[])?;
    leg.respond(200, "OK", Some(answer), &[])?;
    leg.acknowledged().await?;
    Ok(Called {
        leg,
        sockets,
        offer,
        _carrier: carrier,
    })
}

fn session(
    remote: &sdp::Media,
    codec: Codec,
    (plays, expects): (f64, f64),
    (sent, heard): (Ledger, Ledger),
) -> Result<Session, String> {
    let mut formats = remote.formats.iter();
    let format = formats.find(|format| Codec::of(&format.encoding) == Some(codec));
    let format = format.ok_or_else(|| format!("no {}", codec.name()))?;
    Ok(Session {
        remote: remote.rtp,
        remote_rtcp: remote.rtcp,
        codec,
        payload_types: (format.payload_type, format.payload_type),
        secure: None,
        plays,
        expects,
        sent,
        heard,
        ice: None,
    })
}

fn figures(of: &Figures) -> Value {
    json!({
        "sent": of.sent,
        "received": of.received,
        "lost": of.lost,
        "jitter_ms": of.jitter.as_secs_f64() * 1_000.0,
        "delay_ms": of.delay.as_secs_f64() * 1_000.0,
        "tone_share": of.tone,
    })
}

fn print(told: &Value, out: &mut dyn Write) -> io::Result<()> {
    let of = |name: &str| plain(&told[name]);
    writeln!(
        out,
        "from {} on trunk {} to {}, at {}",
        of("calling"),
        of("from_trunk"),
        of("called"),
        of("daemon")
    )?;
    let by = match told["answered_here"] == true {
        true => "answered from here",
        false => "answered by whoever is there",
    };
    writeln!(
        out,
        "out on trunk {} to {}, {by}",
        of("to_trunk"),
        of("target")
    )?;
    if told["answered_after_ms"].is_u64() {
        writeln!(
            out,
            "answered after {} ms, {}",
            of("answered_after_ms"),
            of("codec")
        )?;
    }
    for (name, who) in [
        ("heard_by_called", "the called"),
        ("heard_by_caller", "the caller"),
    ] {
        let heard = &told[name];
        let number = |name: &str| heard[name].as_f64().unwrap_or_default();
        if heard.is_object() {
            writeln!(
                out,
                "{who} heard {} packets, {} lost, jitter {:.1} ms, delay {:.1} ms",
                number("received"),
                number("lost"),
                number("jitter_ms"),
                number("delay_ms")
            )?;
        }
    }
    match &told["fault"] {
        Value::Null => writeln!(
            out,
            "{}",
            match told["well"] == true {
                true => "all is well",
                false => "NOT well: what was heard is not what was played",
            }
        ),
        fault => writeln!(
            out,
            "NOT well: {}; \"causeway call failed\" and \"causeway call show\" say more",
            plain(fault)
        ),
    }
}
