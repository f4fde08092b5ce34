//! A shard driven by hand: one Teams tenant, one carrier, and helpers to speak as either.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary uses its own part"
)]

pub mod call;
pub mod signed;
pub mod two;

use bytes::Bytes;
use media_api::{
    Command as MediaCommand, CryptoKey, Event as MediaEvent, Fingerprint, HashFunction,
    LocalEndpoint, LocalStream, ProtectionWanted, SessionStats,
};
use sbc_core::config::{Assumed, Config, Source, load};
use sbc_core::core::{Core, Together};
use sbc_core::effect::{Effect, Effects, KeepAlive};
use sbc_core::event::Happened;
use sbc_core::id::{
    CommandId, FlowId, ListenerName, QueryId, ShardId, TlsContextName, TransactionId, TrunkName,
};
use sbc_core::input::{Answered, Input};
use sbc_core::kept::{Found, Snapshot};
use sbc_core::letter::Letter;
use sbc_core::media::Dtmf;
use sbc_core::mint::Mint;
use sbc_core::query::Query;
use sbc_core::record::Record;
use sbc_core::sip::{HeaderName, Limits, Message, Method};
use sbc_core::time::{Now, Timestamp, UnixTime};
use sbc_core::transport::{Flow, Hop, PeerIdentity, Protocol};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub const CONFIG: &str = r#"
[node]
id = "sbc1"
user_agent = "Causeway"

[[realm]]
name = "teams"
addresses = ["192.0.2.10"]
ports = "40000-44999"

[[realm]]
name = "carrier"
addresses = ["192.0.2.11"]
ports = "20000-29999"

[[tls]]
name = "teams"
cert = "/etc/causeway/tls/sbc.pem"
key = { file = "/etc/causeway/tls/sbc.key" }
client_ca = "/etc/causeway/tls/roots.pem"
verify_client = "require"

[[listen]]
realm = "teams"
transport = "tls"
port = 5061
tls = "teams"

[[listen]]
realm = "carrier"
transport = "udp"
port = 5060

[[tenant]]
name = "contoso"
numbers = ["+493023125000-+493023125999"]

[[trunk]]
name = "teams-contoso"
preset = "teams"
tenant = "contoso"
realm = "teams"
tls = "teams"
fqdn = "sbc1.contoso.example"
targets = [
    { address = "sip.pstnhub.microsoft.com:5061;tls", connect_to = ["203.0.113.1:5061"] },
    { address = "sip2.pstnhub.microsoft.com:5061;tls", connect_to = ["203.0.113.2:5061"] },
]
accept_from = ["203.0.113.0/24"]

[[trunk]]
name = "carrier-a"
preset = "carrier"
tenant = "*"
realm = "carrier"
targets = ["198.51.100.20:5060;udp", "198.51.100.21:5060;udp"]
accept_from = ["198.51.100.16/28"]
codecs = ["PCMA", "PCMU"]

[[route]]
name = "to-teams"
match = { called_in = "tenant:contoso", from_trunk = "carrier-a" }
to = [{ trunk = "teams-contoso" }]

[[route]]
name = "to-carrier"
match = { from_trunk = "teams-contoso" }
to = [{ trunk = "carrier-a" }]
"#;

pub const CARRIER: &str = "198.51.100.20:5060";
pub const TEAMS: &str = "203.0.113.1:5061";

/// What Teams says of itself in a message that makes a dialog.
pub const TEAMS_CONTACT: &str =
    "Contact: <sip:203.0.113.1:443;x-i=1>\nRecord-Route: <sip:203.0.113.1:5061;transport=tls;lr>\n";
/// What the carrier says of itself in a message that makes a dialog.
pub const CARRIER_CONTACT: &str = "Contact: <sip:gw@198.51.100.20:5060>\n";

/// A call of the carrier that has reached Teams: the shard, and its INVITE.
pub fn called_out(call_id: &str) -> (Shard, Sent) {
    let mut shard = Shard::new();
    shard.carrier_says(&carrier_invite(call_id, CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite);
    (shard, invite)
}

/// A call of Teams that has reached the carrier: the shard, and its INVITE.
pub fn called_in(config: &str, call_id: &str) -> (Shard, Sent) {
    let mut shard = Shard::with(config_of(config));
    shard.teams_says(&teams_invite(call_id));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite);
    (shard, invite)
}

/// The CANCEL of an INVITE of the carrier.
pub fn carrier_cancel(call_id: &str) -> String {
    carrier_invite(call_id, "")
        .replace("INVITE sip", "CANCEL sip")
        .replace("10 INVITE", "10 CANCEL")
}

/// A message that the shard sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub hop: Hop,
    pub message: Message,
    pub transaction: Option<TransactionId>,
}

pub struct Shard {
    pub core: Core,
    pub now: Now,
    pub sent: VecDeque<Sent>,
    pub media: Vec<MediaCommand>,
    pub records: Vec<Record>,
    pub happened: Vec<Happened>,
    /// Questions to DNS that wait for their answer.
    pub queries: VecDeque<(QueryId, Query)>,
    /// What keeps ways open.
    pub keep_alives: VecDeque<KeepAlive>,
    /// Connections that are out of use.
    pub retired: Vec<FlowId>,
    /// INVITEs that need not be written any more.
    pub withdrawn: Vec<TransactionId>,
    /// Addresses whose peers may get requests on connections of their own.
    pub aliases: Vec<SocketAddr>,
    /// Letters to other shards.
    pub letters: VecDeque<(ShardId, Letter)>,
    /// What is kept of calls for the process after this one.
    pub kept: BTreeMap<media_api::SessionId, Snapshot>,
    /// Answers to operators.
    pub replies: Vec<(CommandId, Answered)>,
    pub refuse_media: bool,
    /// The relay has no ports in these realms.
    pub full: Vec<media_api::RealmId>,
    /// What the relay says of its figures, if it does.
    pub stats: Option<SessionStats>,
    /// The relay says nothing.
    pub hold_media: bool,
    /// Start lines of what was sent, where peers send broken messages: answers repeat what was
    /// broken, so they need not be sound.
    pub start_lines: Option<Vec<String>>,
    next_port: u16,
    /// The realm called "inside", whose media is at [`INSIDE`].
    inside: Option<media_api::RealmId>,
}

/// Address of media in the realm called "inside".
pub const INSIDE: [u8; 4] = [10, 20, 0, 10];

pub fn config() -> Arc<Config> {
    config_of(CONFIG)
}

pub fn config_of(text: &str) -> Arc<Config> {
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    match load(&[Source::new("test.toml", text)], &facts, None) {
        Ok(loaded) => Arc::new(loaded.config),
        Err(findings) => panic!("{}", findings.to_text()),
    }
}

/// The configuration with another way of digits on the trunk of Teams, which stands for any there: of Teams itself
/// the loader refuses all but events.
pub fn with_digits_of_teams(text: &str, dtmf: Dtmf) -> Arc<Config> {
    let mut config = Config::clone(&config_of(text));
    let name = TrunkName::new("teams-contoso");
    let trunk = Arc::make_mut(config.trunks.get_mut(&name).expect("a trunk"));
    Arc::make_mut(&mut trunk.media.profile).dtmf = dtmf;
    if dtmf == Dtmf::Info {
        trunk.allow.push(Method::Info);
    }
    Arc::new(config)
}

impl Shard {
    pub fn new() -> Self {
        Self::with(config())
    }

    pub fn with(config: Arc<Config>) -> Self {
        Self::one_of(config, ShardId(0), 1)
    }

    /// One of several shards.
    pub fn one_of(config: Arc<Config>, shard: ShardId, shards: u8) -> Self {
        let seed = [7 + shard.0; 32];
        let mut realms = config.realms.values();
        let inside = realms.find(|realm| realm.name.as_str() == "inside");
        let inside = inside.map(|realm| realm.id);
        Self {
            core: Core::new(shard, config, Mint::new(shard, seed))
                .among(shards)
                .for_journal()
                .for_restart(),
            now: Now {
                mono: Timestamp::from_micros(1_000_000),
                wall: UnixTime::from_micros(1_800_000_000_000_000),
            },
            sent: VecDeque::new(),
            media: Vec::new(),
            records: Vec::new(),
            happened: Vec::new(),
            queries: VecDeque::new(),
            keep_alives: VecDeque::new(),
            retired: Vec::new(),
            withdrawn: Vec::new(),
            aliases: Vec::new(),
            letters: VecDeque::new(),
            kept: BTreeMap::new(),
            replies: Vec::new(),
            refuse_media: false,
            full: Vec::new(),
            stats: Some(SessionStats::default()),
            hold_media: false,
            start_lines: None,
            next_port: 40_000,
            inside,
        }
    }

    /// The same shard, which counts together with others.
    pub fn counting(self, together: &Together) -> Self {
        Self {
            core: self.core.counting(together),
            ..self
        }
    }

    /// Applies an input; the relay answers at once.
    pub fn apply(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut out = Effects::default();
            self.core.apply(self.now, input, &mut out);
            for effect in out.drain() {
                match effect {
                    Effect::Send {
                        hop,
                        bytes,
                        transaction,
                        ..
                    } => {
                        if let Some(lines) = &mut self.start_lines {
                            let text = String::from_utf8_lossy(&bytes);
                            lines.extend(text.lines().next().map(str::to_owned));
                            continue;
                        }
                        let message =
                            Message::parse(bytes, &Limits::default()).expect("we send SIP");
                        message.validate().expect("we send valid SIP");
                        self.sent.push_back(Sent {
                            hop,
                            message,
                            transaction,
                        });
                    }
                    Effect::Media(command) => {
                        inputs.extend(self.relay(&command).map(Input::Media));
                        self.media.push(command);
                    }
                    Effect::Emit(event) => match event.what {
                        Happened::Ended(record) => self.records.push(Arc::unwrap_or_clone(record)),
                        what => self.happened.push(what),
                    },
                    Effect::Query(id, query) => self.queries.push_back((id, query)),
                    Effect::Letter(to, letter) => self.letters.push_back((to, letter)),
                    Effect::Keep(session, Some(kept)) => drop(self.kept.insert(session, kept)),
                    Effect::Keep(session, None) => drop(self.kept.remove(&session)),
                    Effect::KeepAlive(what) => self.keep_alives.push_back(what),
                    Effect::Alias { remote, .. } => self.aliases.push(remote),
                    Effect::RetireFlow(flow) => self.retired.push(flow),
                    Effect::Withdraw { transaction, .. } => self.withdrawn.push(transaction),
                    Effect::Reply(id, answer) => self.replies.push((id, answer)),
                }
            }
        }
    }

    /// What the relay says to a command.
    pub fn relay(&mut self, command: &MediaCommand) -> Option<MediaEvent> {
        match command {
            MediaCommand::Allocate { .. } if self.hold_media => None,
            MediaCommand::Allocate { session, endpoints }
                if self.refuse_media
                    || endpoints.iter().any(|spec| self.full.contains(&spec.realm)) =>
            {
                Some(MediaEvent::Refused {
                    session: *session,
                    endpoints: endpoints.iter().map(|spec| spec.endpoint).collect(),
                    why: media_api::AllocateError::PortsExhausted,
                })
            }
            MediaCommand::Allocate { session, endpoints } => {
                let endpoints = endpoints
                    .iter()
                    .map(|spec| LocalEndpoint {
                        endpoint: spec.endpoint,
                        streams: spec
                            .streams
                            .iter()
                            .map(|s| self.stream(&s.protection, spec.realm))
                            .collect(),
                    })
                    .collect();
                Some(MediaEvent::Allocated {
                    session: *session,
                    endpoints,
                })
            }
            MediaCommand::Release {
                session,
                endpoint: None,
                ..
            } => Some(MediaEvent::Released {
                session: *session,
                stats: self.stats.clone().unwrap_or_default(),
            }),
            MediaCommand::Stats { session } => Some(MediaEvent::Stats {
                session: *session,
                stats: self.stats.clone()?,
            }),
            _ => None,
        }
    }

    /// The relay refuses what it was asked for last.
    pub fn refuses_ports(&mut self) {
        let asked = self.asked().pop().expect("ports were asked for");
        (self.refuse_media, self.hold_media) = (true, false);
        let refused = self.relay(&asked).expect("an answer");
        self.refuse_media = false;
        self.apply(Input::Media(refused));
    }

    fn stream(&mut self, protection: &ProtectionWanted, realm: media_api::RealmId) -> LocalStream {
        let address = match self.inside == Some(realm) {
            true => INSIDE,
            false => [192, 0, 2, 10],
        };
        self.next_port += 2;
        let suites = protection.suites().iter();
        let keys = suites
            .map(|suite| {
                CryptoKey::new(*suite, vec![9; suite.key_and_salt_bytes()]).expect("key length")
            })
            .collect();
        LocalStream {
            rtp: SocketAddr::from((address, self.next_port)),
            rtcp: SocketAddr::from((address, self.next_port + 1)),
            keys,
            fingerprint: protection
                .has_certificate()
                .then(|| Fingerprint::new(HashFunction::Sha256, vec![9; 32]))
                .flatten(),
        }
    }

    /// What the relay was asked to reserve, in order.
    pub fn asked(&self) -> Vec<MediaCommand> {
        let is_asking = |command: &&MediaCommand| matches!(command, MediaCommand::Allocate { .. });
        self.media.iter().filter(is_asking).cloned().collect()
    }

    /// The process is killed, and the next one goes on with what was kept after this time.
    pub fn restart(&mut self, config: Arc<Config>, after: Duration, has_media: bool) {
        let wall = self.now.wall + after;
        let mono = Timestamp::from_micros(5_000);
        self.now = Now { mono, wall };
        let seed = [99; 32];
        self.core = Core::new(ShardId(0), config, Mint::new(ShardId(0), seed))
            .for_journal()
            .for_restart();
        for kept in std::mem::take(&mut self.kept).into_values() {
            let found = Found::read(kept.octets(), has_media).expect("a call");
            self.apply(Input::Found(Box::new(found)));
        }
    }

    /// Lets time pass, with every tick on the way.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while let Some(at) = self.core.deadline().filter(|at| *at <= end) {
            self.set(at);
            self.apply(Input::Tick);
        }
        self.set(end);
    }

    fn set(&mut self, at: Timestamp) {
        let step = at.since(self.now.mono);
        self.now.mono = self.now.mono + step;
        let wall = self.now.wall.as_micros() + step.as_micros() as u64;
        self.now.wall = UnixTime::from_micros(wall);
    }

    pub fn carrier_says(&mut self, text: &str) {
        self.receive(carrier_flow(), text);
    }

    pub fn teams_says(&mut self, text: &str) {
        self.receive(teams_flow(), text);
    }

    pub fn receive(&mut self, flow: Flow, text: &str) {
        let bytes = Bytes::from(text.replace('\n', "\r\n"));
        match Message::parse(bytes, &Limits::default()) {
            Ok(message) => self.apply(Input::Received { flow, message }),
            Err(rejected) => self.apply(Input::Malformed { flow, rejected }),
        }
    }

    /// Takes the next message that the shard sent.
    pub fn next(&mut self) -> Sent {
        self.sent.pop_front().expect("a message was sent")
    }

    /// Takes the next message, which must be a request of this method.
    pub fn next_request(&mut self, method: Method) -> Sent {
        let sent = self.next();
        assert!(sent.message.is_request(), "{}", text(&sent));
        assert_eq!(*sent.message.method(), method, "{}", text(&sent));
        sent
    }

    /// Takes the next message, which must be a response with this status.
    pub fn next_response(&mut self, code: u16) -> Sent {
        let sent = self.next();
        let status = sent.message.status().map(|status| status.code());
        assert_eq!(status, Some(code), "{}", text(&sent));
        sent
    }

    /// The tables are empty once everything has run out.
    pub fn settles(&mut self) {
        self.pass(Duration::from_secs(200));
        assert_eq!(self.core.census(), Default::default());
    }
}

pub fn text(sent: &Sent) -> String {
    String::from_utf8_lossy(sent.message.bytes()).into_owned()
}

pub fn carrier_flow() -> Flow {
    Flow {
        id: FlowId(1),
        protocol: Protocol::Udp,
        listener: listener(Protocol::Udp),
        local: "192.0.2.11:5060".parse().expect("address"),
        remote: CARRIER.parse().expect("address"),
        identity: None,
        tls: None,
    }
}

pub fn teams_flow() -> Flow {
    Flow {
        id: FlowId(2),
        protocol: Protocol::Tls,
        listener: listener(Protocol::Tls),
        local: "192.0.2.10:5061".parse().expect("address"),
        remote: "203.0.113.1:40001".parse().expect("address"),
        identity: Some(Arc::new(PeerIdentity {
            context: TlsContextName::new("teams"),
            names: vec!["sip.pstnhub.microsoft.com".to_owned()],
            server_name: Some("sbc1.contoso.example".to_owned()),
        })),
        tls: Some(sbc_core::transport::TlsSuite(0x1302)),
    }
}

fn listener(protocol: Protocol) -> ListenerName {
    let config = config();
    let found = config
        .listeners
        .values()
        .find(|listener| listener.protocol == protocol);
    found.expect("listener").name.clone()
}

/// SDP of the carrier.
pub const CARRIER_SDP: &str = "v=0
o=- 1 1 IN IP4 198.51.100.30
s=-
c=IN IP4 198.51.100.30
t=0 0
m=audio 6000 RTP/AVP 8 0 101
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=sendrecv
";

/// SDP of Teams.
pub const TEAMS_SDP: &str = "v=0
o=- 7 1 IN IP4 203.0.113.9
s=session
c=IN IP4 203.0.113.9
t=0 0
m=audio 50000 RTP/SAVP 8 0 101
a=rtcp-mux
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw|2^31
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=sendrecv
";

/// An INVITE of the carrier for a number of the tenant.
pub fn carrier_invite(call_id: &str, sdp: &str) -> String {
    with_body(
        &format!(
            "INVITE sip:+493023125456@192.0.2.11:5060 SIP/2.0
Via: SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bK{call_id};rport
Max-Forwards: 69
From: \"Ada\" <sip:+498999998001@198.51.100.20>;tag=c1
To: <sip:+493023125456@192.0.2.11>
Call-ID: {call_id}
CSeq: 10 INVITE
Contact: <sip:gw@198.51.100.20:5060>
"
        ),
        sdp,
    )
}

/// An INVITE of Teams for a number outside.
pub fn teams_invite(call_id: &str) -> String {
    with_body(
        &format!(
            "INVITE sip:+498999998001@sbc1.contoso.example:5061;user=phone;transport=tls SIP/2.0
FROM: Ada<sip:+493023125456@sip.pstnhub.microsoft.com:5061;user=phone>;tag=t1
TO: <sip:+498999998001@sbc1.contoso.example:5061;user=phone>
CSEQ: 1 INVITE
CALL-ID: {call_id}
MAX-FORWARDS: 70
VIA: SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bK{call_id}
RECORD-ROUTE: <sip:203.0.113.1:5061;transport=tls;lr>
CONTACT: <sip:api.example.com:443;x-i=1;x-c=2>
"
        ),
        TEAMS_SDP,
    )
}

pub fn with_body(head: &str, sdp: &str) -> String {
    let length = sdp.replace('\n', "\r\n").len();
    match length {
        0 => format!("{head}Content-Length: 0\n\n"),
        _ => format!("{head}Content-Type: application/sdp\nContent-Length: {length}\n\n{sdp}"),
    }
}

/// A response of a peer to a request of ours.
pub fn response(request: &Message, start: &str, to_tag: &str, extra: &str, sdp: &str) -> String {
    let value = |name: HeaderName| {
        let value = request.raw(name).expect("header");
        String::from_utf8_lossy(&value).into_owned()
    };
    let to = value(HeaderName::To);
    let tag = match to.contains(";tag=") || to_tag.is_empty() {
        true => String::new(),
        false => format!(";tag={to_tag}"),
    };
    with_body(
        &format!(
            "SIP/2.0 {start}
Via: {}
From: {}
To: {to}{tag}
Call-ID: {}
CSeq: {}
{extra}",
            value(HeaderName::Via),
            value(HeaderName::From),
            value(HeaderName::CallId),
            value(HeaderName::CSeq),
        ),
        sdp,
    )
}

/// A request of the A side within its dialog, from our 200 to its INVITE.
pub fn in_dialog(ok: &Message, method: &str, cseq: u32, via: &str) -> String {
    let value =
        |name: HeaderName| String::from_utf8_lossy(&ok.raw(name).expect("header")).into_owned();
    let contact = value(HeaderName::Contact);
    let target = contact.trim_start_matches('<').trim_end_matches('>');
    with_body(
        &format!(
            "{method} {target} SIP/2.0
Via: {via}
Max-Forwards: 70
From: {}
To: {}
Call-ID: {}
CSeq: {cseq} {method}
",
            value(HeaderName::From),
            value(HeaderName::To),
            value(HeaderName::CallId),
        ),
        "",
    )
}

/// CPU time of this thread: what else the machine does is not counted.
pub fn cpu_time() -> std::time::Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    std::time::Duration::try_from(now).expect("a clock that begins at nought")
}
