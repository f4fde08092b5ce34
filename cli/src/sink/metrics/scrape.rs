//! What a scrape costs, and whom it holds up (OPS-001, OPS-010).

use super::{Metrics, SignallingCollector};
use crate::sink::fixture::{attempt, media, record};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use sbc_core::config::{Assumed, Source, load};
use sbc_core::core::{Core, Together};
use sbc_core::effect::{Effect, Effects};
use sbc_core::event::{Event, Happened};
use sbc_core::id::{CallId, FlowId, LegId, ShardId, TrunkName};
use sbc_core::input::Input;
use sbc_core::mint::Mint;
use sbc_core::sip::{Limits, Message};
use sbc_core::time::{Now, Timestamp, UnixTime};
use sbc_core::transport::Flow;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A call of a trunk, from its beginning to its end.
fn call(metrics: &Metrics, number: u128, trunk: &str) {
    let mut ended = record(number);
    ended.ingress.trunk = TrunkName::new(trunk);
    ended.media = vec![media(0)];
    // What it called was of the same trunk.
    let mut attempt = attempt(1, trunk, Some(200));
    (attempt.first_progress_ms, attempt.ended_ms) = (Some(500), Some(2_000));
    ended.egress = vec![attempt];
    let started = Happened::Admitted {
        tenant: ended.tenant.clone(),
        trunk: TrunkName::new(trunk),
        calling: ended.calling.clone(),
        called: ended.called.clone(),
    };
    let answered = Happened::Answered { setup_ms: 2_000 };
    for what in [started, answered, Happened::Ended(Arc::new(ended))] {
        metrics.calls.apply(&Event {
            at: UnixTime::default(),
            call: Some(CallId(number)),
            leg: Some(LegId(0)),
            what,
        });
    }
}

/// Metrics of a node with so many trunks that have had calls.
fn metrics_of(trunks: u128) -> Metrics {
    let metrics = Metrics::new().unwrap();
    for number in 0..trunks {
        call(&metrics, number, &format!("trunk-{number}"));
    }
    metrics
}

fn series(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#')).count()
}

/// CPU time of this thread that a scrape takes for a series, the best of several.
fn cost(metrics: &Metrics) -> (usize, Duration) {
    let cpu = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::try_from(now).unwrap()
    };
    let scrapes = (0..5).map(|_| {
        let begun = cpu();
        let count = series(&metrics.text());
        (cpu() - begun, count)
    });
    let (took, count) = scrapes.min().unwrap();
    (count, took / u32::try_from(count).unwrap())
}

#[test]
fn a_scrape_of_20_000_series_costs_each_no_more_than_one_of_few() {
    let (few, many) = (metrics_of(40), metrics_of(600));
    let (few, each_of_few) = cost(&few);
    let (many, each_of_many) = cost(&many);
    assert!(few < 4_000 && many >= 20_000, "{few}, {many}");
    assert!(
        each_of_many <= 4 * each_of_few,
        "{each_of_many:?} of {many}, {each_of_few:?} of {few}"
    );
}

/// A node with so many carriers of two addresses each, which are asked by OPTIONS and answer.
fn node_of(trunks: usize) -> String {
    let mut text = String::from(
        r#"
[node]
id = "sbc1"

[[realm]]
name = "outside"
addresses = ["192.0.2.11"]
ports = "20000-29999"

[[listen]]
realm = "outside"
transport = "udp"
port = 5060

[[tenant]]
name = "contoso"
numbers = ["+15550100-+15550199"]
"#,
    );
    for number in 0..trunks {
        let (net, host) = (number / 200, number % 200 + 1);
        let _ = write!(
            text,
            "[[trunk]]\nname = \"trunk-{number}\"\npreset = \"carrier\"\ntenant = \"*\"\nrealm = \"outside\"\n\
             targets = [\"10.1.{net}.{host}:5060;udp\", \"10.2.{net}.{host}:5060;udp\"]\n\
             accept_from = [\"10.1.{net}.{host}\", \"10.2.{net}.{host}\"]\n"
        );
    }
    text
}

#[test]
fn five_hundred_trunks_of_which_fifty_have_calls_keep_to_20_000_series() {
    let together = Together::default();
    let metrics = Metrics::new().unwrap();
    let collector = SignallingCollector::new(together.tally()).unwrap();
    metrics.add_collector(Box::new(collector)).unwrap();
    let (source, facts) = (
        Source::new("causeway.toml", node_of(500)),
        Assumed::with_names(["sbc1.example"]),
    );
    let loaded = load(&[source], &facts, None);
    let loaded = loaded.unwrap_or_else(|findings| panic!("{}", findings.to_text()));
    let config = Arc::new(loaded.config);
    let mint = Mint::new(ShardId(0), [1; 32]);
    let mut core = Core::new(ShardId(0), Arc::clone(&config), mint).counting(&together);
    let mut inputs = VecDeque::from([Input::Config(config)]);
    let mut out = Effects::default();
    for tenth in 0..100_u64 {
        let now = Now {
            mono: Timestamp::from_micros(tenth * 100_000),
            wall: UnixTime::default(),
        };
        inputs.push_back(Input::Tick);
        while let Some(input) = inputs.pop_front() {
            core.apply(now, input, &mut out);
            for effect in out.drain() {
                match effect {
                    Effect::Emit(event) => metrics.calls.apply(&event),
                    Effect::Send { hop, bytes, .. } => {
                        let asked = String::from_utf8_lossy(&bytes).into_owned();
                        let Some((_, headers)) = asked.split_once("\r\n") else {
                            continue;
                        };
                        let answer = format!("SIP/2.0 200 OK\r\n{headers}");
                        let flow = Flow {
                            id: FlowId(1),
                            protocol: hop.protocol,
                            listener: hop.listener.clone(),
                            local: "192.0.2.11:5060".parse().unwrap(),
                            remote: hop.remote,
                            identity: None,
                            tls: None,
                        };
                        let answer = answer.into_bytes().into();
                        let message = Message::parse(answer, &Limits::default()).unwrap();
                        inputs.push_back(Input::Received { flow, message });
                    }
                    _ => {}
                }
            }
        }
    }
    for number in 0..50 {
        call(&metrics, number, &format!("trunk-{number}"));
    }
    let text = metrics.text();
    for number in [0, 499] {
        let up = format!("trunk=\"trunk-{number}\"}} 1");
        let is_up = |line: &&str| line.starts_with("sbc_peer_up{") && line.ends_with(&up);
        assert!(text.lines().any(|line| is_up(&line)), "{number}");
        let asked = format!(
            "sbc_sip_requests_total{{dir=\"out\",method=\"OPTIONS\",transport=\"udp\",trunk=\"trunk-{number}\"}} 2"
        );
        assert!(text.contains(&asked), "{number}");
    }
    let count = series(&text);
    assert!((10_000..=20_000).contains(&count), "{count}");
}

/// Figures whose reading stands still until somebody says go.
struct Still {
    begun: Sender<()>,
    goes: Mutex<Receiver<()>>,
}

impl Collector for Still {
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.begun.send(()).unwrap();
        self.goes.lock().unwrap().recv().unwrap();
        Vec::new()
    }
}

#[test]
fn a_scrape_that_stands_still_holds_up_no_call() {
    let metrics = Arc::new(metrics_of(10));
    let ((begun, begins), (go, goes)) = (channel(), channel());
    let goes = Mutex::new(goes);
    let still = Still { begun, goes };
    metrics.add_collector(Box::new(still)).unwrap();
    let scraped = {
        let metrics = Arc::clone(&metrics);
        std::thread::spawn(move || metrics.text())
    };
    begins.recv().unwrap();
    // Also a trunk that has no series yet.
    for number in 100..110 {
        call(&metrics, number, &format!("trunk-{}", number % 3));
        call(&metrics, number + 1_000, &format!("new-{number}"));
    }
    assert!(!scraped.is_finished());
    go.send(()).unwrap();
    assert!(series(&scraped.join().unwrap()) > 0);
}
