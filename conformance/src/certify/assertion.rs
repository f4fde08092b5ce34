//! The global assertions G1 to G15: asked after every case, over everything that was sent.

use super::evidence::{From, Seen, Side};
use super::mutation::{self, Does, Mutation, Warp, rewrite, teams, then, with, without};
use super::setting::PROXY;
use super::stage::Stage;
use super::verdict::Failure;
use crate::media::sdp;
use crate::peer::message::{Message, param, uri_of, uri_text};
use rsip::common::uri::Host;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// An assertion, and how it is shown that it can fail.
pub struct Global {
    /// `G1`.
    pub id: &'static str,
    /// What it says.
    pub title: &'static str,
    /// A call from the carrier that is changed so must break it.
    pub broken_by: Mutation,
}

/// Time between two reports of the subject that is too long.
const REPORTS: Duration = Duration::from_millis(6_500);
/// The one suite.
const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";
/// Methods that must never reach Teams.
const UNWANTED: [&str; 6] = ["PRACK", "UPDATE", "INFO", "REFER", "SUBSCRIBE", "MESSAGE"];
/// How long calls, ports and records may outlive the last message.
const AFTERWARDS: Duration = Duration::from_secs(64);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// All of them. `TC-INB-002` is played with each change.
pub const GLOBAL: &[Global] = &[
    Global {
        id: "G1",
        title: "one Contact towards Teams, with the SBC's name",
        broken_by: with(teams("INVITE"), "Contact: <sip:sbc.other.example:5061>"),
    },
    Global {
        id: "G2",
        title: "no Record-Route towards Teams",
        broken_by: with(teams("INVITE"), "Record-Route: <sip:sbc1.test.example;lr>"),
    },
    Global {
        id: "G3",
        title: "TLS towards Teams, and no sips URI",
        broken_by: Mutation::Message(teams("INVITE"), Does::Replace("To: <sip:", "To: <sips:")),
    },
    Global {
        id: "G4",
        title: "nothing that Teams does not know",
        broken_by: with(teams("INVITE"), "Require: 100rel"),
    },
    Global {
        id: "G5",
        title: "every INVITE towards Teams has a description",
        broken_by: rewrite(teams("INVITE"), |text| {
            text.split_once("\r\n\r\n")
                .map_or_else(String::new, |(head, _)| format!("{head}\r\n\r\n"))
        }),
    },
    Global {
        id: "G6",
        title: "descriptions towards Teams are SRTP and well formed",
        broken_by: mutation::replace(teams("INVITE"), "a=sendrecv", "a=sendonly"),
    },
    Global {
        id: "G7",
        title: "media stays where it is towards Teams",
        broken_by: then(teams("INVITE"), |text| {
            mutation::again(text).replace("m=audio 2", "m=audio 3")
        }),
    },
    Global {
        id: "G8",
        title: "requests within a call go where Teams said",
        broken_by: without(teams("BYE"), "Route"),
    },
    Global {
        id: "G9",
        title: "Teams is never redirected",
        broken_by: then(teams("BYE"), |text| {
            let head = text.split("\r\n").skip(1);
            let answer: Vec<&str> = ["SIP/2.0 302 Moved Temporarily"]
                .into_iter()
                .chain(head)
                .collect();
            answer.join("\r\n").replace(" BYE", " INVITE")
        }),
    },
    Global {
        id: "G10",
        title: "audio towards Teams is authentic SRTP",
        broken_by: Mutation::Media(Warp::Plain),
    },
    Global {
        id: "G11",
        title: "reports towards Teams every five seconds",
        broken_by: Mutation::Media(Warp::NoRtcp),
    },
    Global {
        id: "G12",
        title: "nothing is left after the call",
        broken_by: Mutation::Told("\"calls\":0", "\"calls\":1"),
    },
    Global {
        id: "G13",
        title: "version and branch in every message",
        broken_by: mutation::replace(teams("BYE"), "branch=z9hG4bK", "branch="),
    },
    Global {
        id: "G14",
        title: "a record of every answered call",
        broken_by: Mutation::Told("call_id", "id_of_call"),
    },
    Global {
        id: "G15",
        title: "Allow lists NOTIFY and REFER",
        broken_by: mutation::replace(teams("INVITE"), "REFER", "PUBLISH"),
    },
];

/// What is wrong with the messages.
pub fn of_messages(stage: &Stage) -> Vec<Failure> {
    let mut out = Vec::new();
    let names = stage.names();
    let seen = stage.tape.seen();
    let mut dialogs = Dialogs {
        may_move: stage.setting.is_local(),
        ..Dialogs::default()
    };
    for one in seen.iter().filter(|one| one.side == Side::Teams) {
        let message = match &one.message {
            Ok(message) => message,
            Err(why) if one.from == From::Subject => {
                out.push(Failure::new("G13", why.clone()));
                continue;
            }
            Err(_) => continue,
        };
        if one.from == From::Peer {
            dialogs.sent(message);
            continue;
        }
        let mut broken = |rule: &str, why: String| {
            out.push(Failure::new(
                rule,
                format!("\"{}\": {why}", message.title()),
            ));
        };
        contact(message, &names, &mut broken);
        routes(message, stage.setting.has_branch, &mut broken);
        schemes(one, message, &mut broken);
        unknown(message, &mut broken);
        version(message, &mut broken);
        if message
            .status()
            .is_some_and(|status| (300..400).contains(&status))
        {
            broken("G9", "Teams must never be redirected".to_owned());
        }
        if message.method().as_deref() == Some("INVITE") && message.body().is_empty() {
            broken("G5", "it has no description".to_owned());
        }
        if !message.body().is_empty() {
            description(message, &mut broken);
        }
        if !stage.setting.teams.contains("refer") {
            allow(message, &mut broken);
        }
        dialogs.received(message, &mut broken);
    }
    out
}

type Broken<'b> = &'b mut dyn FnMut(&str, String);

fn is_answer_to_invite(message: &Message) -> bool {
    message.cseq().is_some_and(|(_, method)| method == "INVITE")
}

/// G1.
fn contact(message: &Message, names: &[String], broken: Broken<'_>) {
    let wants = match (message.method().as_deref(), message.status()) {
        (Some("INVITE" | "OPTIONS"), _) => true,
        (None, Some(101..=299)) => is_answer_to_invite(message),
        _ => false,
    };
    let contacts = message.values("Contact");
    if wants && contacts.len() != 1 {
        broken("G1", format!("{} Contacts, wanted one", contacts.len()));
    }
    for contact in contacts {
        match uri_of(contact).map(|uri| uri.host().clone()) {
            Ok(Host::Domain(name))
                if names
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(&name.to_string())) => {}
            Ok(host) => broken(
                "G1",
                format!("Contact has the host {host}, wanted {}", names.join(" or ")),
            ),
            Err(fault) => broken("G1", format!("Contact {contact}: {fault}")),
        }
    }
}

/// G2.
fn routes(message: &Message, is_proxy: bool, broken: Broken<'_>) {
    for route in message.values("Record-Route") {
        if is_proxy && is_of_proxy(uri_text(route)) {
            // The one place where it is wanted (TDR-LMO-020).
            continue;
        }
        let is_address = uri_of(route).is_ok_and(|uri| matches!(uri.host(), Host::IpAddr(_)));
        if message.method().is_some() || is_address {
            broken("G2", format!("Record-Route {route}"));
        }
    }
}

/// G3.
fn schemes(seen: &Seen, message: &Message, broken: Broken<'_>) {
    let head = message.text().split("\r\n\r\n").next().unwrap_or_default();
    if head.contains("sips:") {
        broken("G3", "a sips URI".to_owned());
    }
    let via = message.line("Via").unwrap_or_default();
    // In an answer it is what the peer wrote, whatever that was.
    let is_own = message.method().is_some();
    if !seen.is_secured || is_own && !via.starts_with("SIP/2.0/TLS ") {
        broken("G3", format!("not TLS with a certificate: Via {via}"));
    }
}

/// G4.
fn unknown(message: &Message, broken: Broken<'_>) {
    if let Some(method) = message.method().filter(|m| UNWANTED.contains(&m.as_str())) {
        broken("G4", format!("Teams does not know {method}"));
    }
    if message
        .values("Require")
        .iter()
        .any(|tag| tag.eq_ignore_ascii_case("100rel"))
    {
        broken("G4", "it requires 100rel".to_owned());
    }
    if message.line("Replaces").is_some() {
        broken("G4", "it has Replaces".to_owned());
    }
}

/// G6.
fn description(message: &Message, broken: Broken<'_>) {
    let body = message.body();
    let is_plain = message
        .line("Content-Type")
        .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/sdp"));
    if !is_plain {
        return;
    }
    let media = match sdp::read(&body) {
        Ok(media) => media,
        Err(why) => return broken("G6", why),
    };
    if body.matches("m=audio ").count() != 1 {
        broken("G6", "not exactly one audio line".to_owned());
    }
    if media.protocol != "RTP/SAVP" {
        broken("G6", format!("{}, wanted RTP/SAVP", media.protocol));
    }
    if !media.keys.iter().any(|key| key.suite == SUITE) {
        broken("G6", format!("no key for {SUITE}"));
    }
    for line in ["a=sendonly", "a=recvonly", "c=IN IP4 0.0.0.0"] {
        if body.lines().any(|one| one == line) {
            broken("G6", format!("{line}, which Teams does not understand"));
        }
    }
    let mut known = BTreeSet::new();
    for format in &media.formats {
        if !known.insert(format.payload_type) {
            broken("G6", format!("payload type {} twice", format.payload_type));
        }
        if format.payload_type >= 96 && format.encoding.is_empty() {
            broken(
                "G6",
                format!("payload type {} has no rtpmap", format.payload_type),
            );
        }
    }
}

/// G13.
fn version(message: &Message, broken: Broken<'_>) {
    let start = message.text().lines().next().unwrap_or_default();
    if !(start.starts_with("SIP/2.0 ") || start.ends_with(" SIP/2.0")) {
        broken("G13", "the start line lacks SIP/2.0".to_owned());
    }
    let via = message.line("Via").unwrap_or_default();
    let is_ours = message.method().is_some();
    if is_ours
        && !message
            .branch()
            .is_some_and(|branch| branch.starts_with("z9hG4bK"))
    {
        broken("G13", format!("the branch of Via {via}"));
    }
}

/// G15.
fn allow(message: &Message, broken: Broken<'_>) {
    let wants = match (message.method().as_deref(), message.status()) {
        (Some("INVITE"), _) => true,
        (None, Some(200)) => is_answer_to_invite(message),
        _ => false,
    };
    let allowed = message.values("Allow");
    for method in ["NOTIFY", "REFER"] {
        if wants && !allowed.contains(&method) {
            broken(
                "G15",
                format!("Allow lacks {method}: {}", allowed.join(", ")),
            );
        }
    }
}

/// G7 and G8: what Teams said of each dialog, by Call-ID and its tag.
#[derive(Default)]
struct Dialogs {
    contacts: BTreeMap<(String, String), String>,
    routes: BTreeMap<(String, String), Vec<String>>,
    media: BTreeMap<String, String>,
    refused: BTreeSet<(String, u32)>,
    /// The last description of each call: its session, its version, and the rest.
    told: BTreeMap<String, (String, u64, String)>,
    /// Local media are the one reason for which media may be elsewhere within a call (TDR-HLD-005).
    may_move: bool,
}

/// Whether a route is the subject's own, as the proxy in front of an SBC.
fn is_of_proxy(route: &str) -> bool {
    route.to_ascii_lowercase().contains(PROXY)
}

impl Dialogs {
    /// A message of Teams.
    fn sent(&mut self, message: &Message) {
        let call = message.call_id().to_owned();
        let tag = match message.status() {
            Some(_) => message.tag("To"),
            None => message.tag("From"),
        };
        if let (Some(300..), Some((number, "INVITE"))) = (message.status(), message.cseq()) {
            self.refused.insert((call.clone(), number));
        }
        let forms_dialog = is_answer_to_invite(message) && message.status() != Some(100);
        let Some(tag) = tag.filter(|_| forms_dialog) else {
            return;
        };
        let key = (call, tag.to_owned());
        if let Some(contact) = message.line("Contact") {
            self.contacts
                .insert(key.clone(), uri_text(contact).to_owned());
        }
        let mut routes: Vec<String> = message
            .values("Record-Route")
            .into_iter()
            .map(|route| uri_text(route).to_owned())
            .filter(|route| !is_of_proxy(route))
            .collect();
        if message.status().is_some() {
            routes.reverse();
        }
        // Those of the first message count (RFC 3261 §12.2.1.2).
        self.routes.entry(key).or_insert(routes);
    }

    /// G6: a call has one session, whose version rises by one with every change and stays without
    /// (RFC 3264 §8).
    fn is_told(&mut self, message: &Message, broken: Broken<'_>) {
        let body = message.description();
        let Some(origin) = body.lines().find(|line| line.starts_with("o=")) else {
            return;
        };
        let words: Vec<&str> = origin.split(' ').collect();
        let session = words.get(1).map_or("", |word| word).to_owned();
        let version: u64 = words
            .get(2)
            .and_then(|word| word.parse().ok())
            .unwrap_or_default();
        let rest = body.replace(origin, "");
        let now = (session, version, rest);
        let before = self
            .told
            .insert(message.call_id().to_owned(), now.clone())
            .unwrap_or_else(|| now.clone());
        let step = u64::from(now.2 != before.2);
        if now.0 != before.0 || now.1 != before.1 + step {
            let (session, version, _) = before;
            broken("G6", format!("{origin} after {session} {version}"));
        }
    }

    /// A message of the subject.
    fn received(&mut self, message: &Message, broken: Broken<'_>) {
        if let Ok(media) = sdp::read(&message.body()) {
            let at = media.rtp.to_string();
            let before = self
                .media
                .entry(message.call_id().to_owned())
                .or_insert(at.clone());
            if *before != at && !self.may_move {
                broken("G7", format!("media is at {at}, was at {before}"));
            }
        }
        self.is_told(message, broken);
        let (Some(method), Some(tag)) = (message.method(), message.tag("To")) else {
            return;
        };
        let number = message.cseq().map_or(0, |(number, _)| number);
        let is_hop = method == "CANCEL"
            || method == "ACK"
                && self
                    .refused
                    .contains(&(message.call_id().to_owned(), number));
        if is_hop {
            return;
        }
        let key = (message.call_id().to_owned(), tag.to_owned());
        let Some(contact) = self.contacts.get(&key) else {
            return broken("G8", format!("Teams has no dialog with the tag {tag}"));
        };
        if message.uri_text() != contact {
            broken(
                "G8",
                format!(
                    "Request-URI is {}, Teams' Contact is {contact}",
                    message.uri_text()
                ),
            );
        }
        let route: Vec<&str> = message.values("Route").into_iter().map(uri_text).collect();
        let wanted = self.routes.get(&key).cloned().unwrap_or_default();
        if route != wanted {
            broken(
                "G8",
                format!(
                    "Route is [{}], wanted [{}]",
                    route.join(", "),
                    wanted.join(", ")
                ),
            );
        }
        if param(message.line("From").unwrap_or_default(), "tag").is_none() {
            broken("G8", "From has no tag".to_owned());
        }
    }
}

/// G10 and G11: what is wrong with what Teams heard.
pub fn of_media(stage: &Stage) -> Vec<Failure> {
    let mut out = Vec::new();
    for ear in stage.ears().iter().filter(|ear| ear.name == "Teams") {
        let heard = ear.heard();
        if heard.plain > 0 {
            out.push(Failure::new(
                "G10",
                format!("{} packets in the clear", heard.plain),
            ));
        }
        if heard.forged > 0 {
            out.push(Failure::new(
                "G10",
                format!("{} packets that are not authentic", heard.forged),
            ));
        }
        let longest = heard.longest_without_report;
        if longest > REPORTS {
            let why = format!(
                "no report for {:.1} s, wanted one every 5 s",
                longest.as_secs_f32()
            );
            out.push(Failure::new("G11", why));
        }
    }
    out
}

/// What [`of_traces`] asks: nobody but an operator of the subject can answer.
pub const OF_TRACES: [&str; 2] = ["G12", "G14"];

/// G12 and G14: what our daemon has afterwards.
pub async fn of_traces(stage: &Stage) -> Vec<Failure> {
    let mut out = Vec::new();
    if stage.daemon.is_none() {
        return out;
    }
    if let Err(left) = is_calm(stage).await {
        let why = format!("calls in progress afterwards: {left}");
        out.push(Failure::new("G12", why));
    }
    let seen = stage.tape.seen();
    // Who takes over a call continues it, and has no record of his own.
    let takes_over = |message: &&Message| message.line("Replaces").is_some();
    let messages = seen.iter().filter_map(|one| one.message.as_ref().ok());
    let continued: BTreeSet<&str> = messages.filter(takes_over).map(Message::call_id).collect();
    let answered: BTreeSet<String> = seen
        .iter()
        .filter(|one| one.from == From::Subject)
        .filter_map(|one| one.message.as_ref().ok())
        .filter(|message| message.status() == Some(200) && is_answer_to_invite(message))
        .filter(|message| !continued.contains(message.call_id()))
        .map(|message| message.call_id().to_owned())
        .collect();
    if let Err(told) = has_records(stage, &answered).await {
        let missing = answered.iter().filter(|call| !told.contains(call.as_str()));
        let missing: Vec<&str> = missing.map(String::as_str).collect();
        out.push(Failure::new(
            "G14",
            format!("no record of {}", missing.join(", ")),
        ));
    }
    out
}

/// Whether no call is in progress on any node, or how many are left.
async fn is_calm(stage: &Stage) -> Result<(), String> {
    let calls = |told: &String| {
        let status: Option<Value> = serde_json::from_str(told).ok();
        status.and_then(|status| status["calls"].as_u64())
    };
    let deadline = Instant::now() + AFTERWARDS;
    loop {
        let left = match stage.ask_all("/status").await {
            Ok(told) => told.iter().map(calls).sum::<Option<u64>>(),
            Err(fault) if Instant::now() > deadline => return Err(fault.to_string()),
            Err(_) => None,
        };
        match left {
            Some(0) => return Ok(()),
            _ if Instant::now() < deadline => sleep(LOOK).await,
            Some(left) => return Err(left.to_string()),
            None => return Err("nobody says".to_owned()),
        }
    }
}

/// Whether there is a record of each of these calls, or all that is said of records.
async fn has_records(stage: &Stage, calls: &BTreeSet<String>) -> Result<(), String> {
    let is_there = |told: &str, call: &String| told.contains(&format!("\"call_id\":\"{call}\""));
    let deadline = Instant::now() + AFTERWARDS;
    loop {
        // What ended long ago is in the files of records only.
        let recent = stage.ask_all("/calls/recent").await;
        let mut told = recent
            .unwrap_or_else(|fault| vec![fault.to_string()])
            .join("\n");
        if stage.kit.soaks {
            told += &stage.as_told(stage.spooled());
        }
        if calls.iter().all(|call| is_there(&told, call)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(told);
        }
        sleep(LOOK).await;
    }
}
