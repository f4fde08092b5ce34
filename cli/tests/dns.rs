//! Look-ups over real sockets, against a small server that knows a zone and all kinds of mischief.

use crate::nameserver;

use causeway::daemon::resolver::Resolver;
use causeway::sink::metrics::Metrics;
use nameserver::{Nameserver, Reply, a, aaaa, cname, naptr, srv};
use sbc_core::locate::{Families, LocateSpec, MAX_RECORDS, Service};
use sbc_core::query::{Outcome, ResolveFault, ResolveSpec};
use sbc_core::transport::Protocol;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Bench {
    dns: Nameserver,
    resolver: Resolver,
    metrics: Arc<Metrics>,
}

impl Bench {
    async fn new() -> Self {
        let dns = Nameserver::start().await;
        let metrics = Arc::new(Metrics::new().unwrap());
        let resolver = Resolver::asking(&[dns.address], Arc::clone(&metrics));
        Self {
            dns,
            resolver,
            metrics,
        }
    }

    async fn addresses(&self, host: &str) -> Result<Vec<String>, ResolveFault> {
        let spec = ResolveSpec {
            host: host.to_owned(),
            port: 5060,
            protocol: Protocol::Udp,
            families: Families::BOTH,
        };
        match self.resolver.resolve(&spec).await {
            Outcome::Resolved(found) => Ok(found.iter().map(SocketAddr::to_string).collect()),
            Outcome::ResolveFailed(fault) => Err(fault),
            other => panic!("{other:?}"),
        }
    }

    async fn locate(&self, domain: &str) -> Outcome {
        self.resolver.locate(&spec(domain)).await
    }

    fn asked(&self, kind: &str, result: &str) -> u64 {
        self.metrics.dns.with_label_values(&[kind, result]).get()
    }
}

fn spec(domain: &str) -> LocateSpec {
    LocateSpec {
        domain: domain.to_owned(),
        port: None,
        protocols: vec![Protocol::Tcp, Protocol::Udp],
        is_open: true,
        families: Families {
            v4: true,
            v6: false,
        },
        is_foreign: false,
    }
}

fn services(outcome: Outcome) -> Vec<Service> {
    match outcome {
        Outcome::Located(services) => services,
        other => panic!("{other:?}"),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn the_servers_of_a_domain_are_found_and_a_known_domain_needs_no_look_up() {
    let bench = Bench::new().await;
    let dns = &bench.dns;
    dns.set(
        "example.com",
        vec![naptr(10, 1, "s", "SIP+D2U", "_sip._udp.example.com")],
    );
    dns.set(
        "_sip._udp.example.com",
        vec![
            srv(10, 60, 5070, "one.example.net"),
            srv(20, 0, 5060, "Two.Example.NET"),
        ],
    );
    dns.set("one.example.net", vec![a("192.0.2.1"), a("192.0.2.2")]);
    dns.set("two.example.net", vec![cname("three.example.net")]);
    dns.set("three.example.net", vec![a("192.0.2.3")]);
    for _ in 0..3 {
        let found = services(bench.locate("Example.com.").await);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].protocol, Protocol::Udp);
        let [one, two] = &found[0].servers[..] else {
            panic!("{found:?}");
        };
        assert_eq!((one.priority, one.weight, one.port), (10, 60, 5070));
        assert_eq!(one.addresses, [ip("192.0.2.1"), ip("192.0.2.2")]);
        assert_eq!((two.priority, two.port), (20, 5060));
        assert_eq!(two.addresses, [ip("192.0.2.3")]);
    }
    assert_eq!(bench.asked("naptr", "ok"), 1);
    assert_eq!(bench.asked("srv", "ok"), 1);
    assert_eq!(bench.asked("a", "ok"), 2);
}

#[tokio::test]
async fn many_calls_wait_for_one_look_up() {
    let bench = Bench::new().await;
    bench.dns.set("host.example.com", vec![a("192.0.2.1")]);
    bench.dns.delay(Duration::from_millis(150));
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let resolver = bench.resolver.clone();
            let spec = ResolveSpec {
                host: "host.example.com".to_owned(),
                port: 5060,
                protocol: Protocol::Udp,
                families: Families::BOTH,
            };
            tokio::spawn(async move { resolver.resolve(&spec).await })
        })
        .collect();
    for answer in asking {
        let answer = answer.await.unwrap();
        assert_eq!(
            answer,
            Outcome::Resolved(vec!["192.0.2.1:5060".parse().unwrap()])
        );
    }
    assert_eq!(
        bench.dns.queries("host.example.com"),
        2,
        "A and AAAA, once each"
    );
}

/// TDR-DNS-001: an ACK waits for this.
#[tokio::test]
async fn who_needs_no_addresses_of_ipv6_waits_for_none() {
    let bench = Bench::new().await;
    bench.dns.set("proxy.example.com", vec![a("192.0.2.1")]);
    bench.dns.reply("proxy.example.com", Reply::NotOfV6);
    let mut spec = ResolveSpec {
        host: "proxy.example.com".to_owned(),
        port: 5061,
        protocol: Protocol::Tls,
        families: Families {
            v4: true,
            v6: false,
        },
    };
    let found = Outcome::Resolved(vec!["192.0.2.1:5061".parse().unwrap()]);
    assert_eq!(bench.resolver.resolve(&spec).await, found);
    assert_eq!(bench.dns.queries("proxy.example.com"), 1);
    spec.families = Families {
        v4: false,
        v6: false,
    };
    let none = Outcome::ResolveFailed(ResolveFault::NotFound);
    assert_eq!(bench.resolver.resolve(&spec).await, none);
    assert_eq!(bench.dns.queries("proxy.example.com"), 1);
}

#[tokio::test]
async fn an_answer_that_is_too_long_for_a_datagram_comes_over_tcp() {
    let bench = Bench::new().await;
    bench.dns.set(
        "long.example.com",
        vec![a("192.0.2.1"), aaaa("2001:db8::1")],
    );
    bench.dns.reply("long.example.com", Reply::Truncated);
    let found = bench.addresses("long.example.com").await.unwrap();
    assert_eq!(found, ["[2001:db8::1]:5060", "192.0.2.1:5060"]);
    assert!(bench.dns.over_tcp() > 0);
}

#[tokio::test]
async fn what_is_not_there_is_remembered_and_a_failure_for_a_while() {
    let bench = Bench::new().await;
    for _ in 0..3 {
        assert_eq!(
            bench.addresses("gone.example.com").await,
            Err(ResolveFault::NotFound)
        );
    }
    assert_eq!(bench.dns.queries("gone.example.com"), 2);
    bench.dns.reply("broken.example.com", Reply::Code(2));
    assert_eq!(
        bench.addresses("broken.example.com").await,
        Err(ResolveFault::ServerFailure)
    );
    let asked = bench.dns.queries("broken.example.com");
    for _ in 0..10 {
        assert_eq!(
            bench.addresses("broken.example.com").await,
            Err(ResolveFault::ServerFailure)
        );
    }
    assert_eq!(bench.dns.queries("broken.example.com"), asked);
}

#[tokio::test]
async fn a_server_that_says_nothing_costs_a_bounded_time_and_nobody_else_any() {
    let bench = Bench::new().await;
    bench.dns.reply("silent.example.com", Reply::Nothing);
    bench.dns.set("host.example.com", vec![a("192.0.2.1")]);
    let begun = Instant::now();
    let resolver = bench.resolver.clone();
    let silent = tokio::spawn(async move { resolver.locate(&spec("silent.example.com")).await });
    assert!(bench.addresses("host.example.com").await.is_ok());
    assert!(!silent.is_finished());
    assert_eq!(
        silent.await.unwrap(),
        Outcome::ResolveFailed(ResolveFault::Timeout)
    );
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn whatever_names_peers_bring_those_of_the_operator_do_not_wait_for_them() {
    let bench = Bench::new().await;
    bench.dns.set("host.example.com", vec![a("192.0.2.1")]);
    let mut asking = tokio::task::JoinSet::new();
    let begun = Instant::now();
    for at in 0..600 {
        let name = format!("silent{at}.example.com");
        bench.dns.reply(&name, Reply::Nothing);
        let resolver = bench.resolver.clone();
        asking.spawn(async move {
            let foreign = LocateSpec {
                is_foreign: true,
                ..spec(&name)
            };
            resolver.locate(&foreign).await
        });
    }
    // What is too much is refused at once, and nothing waits for longer than one look-up may take.
    let refused = asking.join_next().await.unwrap().unwrap();
    assert_eq!(refused, Outcome::ResolveFailed(ResolveFault::ServerFailure));
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert!(bench.addresses("host.example.com").await.is_ok());
    assert!(begun.elapsed() < Duration::from_secs(2));
    // The same name is asked for anew where the operator has written it.
    bench.dns.set("silent0.example.com", vec![a("192.0.2.9")]);
    bench.dns.reply("silent0.example.com", Reply::Records);
    assert!(bench.addresses("silent0.example.com").await.is_ok());
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn the_last_answer_serves_also_who_waits_for_a_turn() {
    let bench = Bench::new().await;
    let dns = &bench.dns;
    dns.lifetime(1);
    dns.set("host.example.com", vec![a("192.0.2.1")]);
    assert!(bench.addresses("host.example.com").await.is_ok());
    // The shortest lifetime that is believed is five seconds.
    tokio::time::sleep(Duration::from_millis(5_200)).await;
    let mut asking = tokio::task::JoinSet::new();
    for at in 0..200 {
        let name = format!("silent{at}.example.com");
        dns.reply(&name, Reply::Nothing);
        let resolver = bench.resolver.clone();
        asking.spawn(async move { resolver.locate(&spec(&name)).await });
    }
    while bench.resolver.waiting() < 100 {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    let found = bench.addresses("host.example.com").await;
    assert_eq!(found.unwrap(), ["192.0.2.1:5060".to_owned()]);
    assert!(
        begun.elapsed() < Duration::from_millis(2_500),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn aliases_that_go_round_in_circles_end() {
    let bench = Bench::new().await;
    bench
        .dns
        .set("loop.example.com", vec![cname("pool.example.com")]);
    bench
        .dns
        .set("pool.example.com", vec![cname("loop.example.com")]);
    let begun = Instant::now();
    assert!(bench.addresses("loop.example.com").await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(8));
    let asked = bench.dns.queries("loop.example.com") + bench.dns.queries("pool.example.com");
    assert!(asked < 60, "{asked}");
}

#[tokio::test]
async fn answers_to_other_questions_are_not_believed() {
    let bench = Bench::new().await;
    for (name, reply) in [
        ("id.example.com", Reply::WrongId),
        ("question.example.com", Reply::WrongQuestion),
        ("owner.example.com", Reply::WrongOwner),
        ("garbage.example.com", Reply::Garbage),
    ] {
        bench.dns.set(name, vec![a("192.0.2.66")]);
        bench.dns.reply(name, reply);
        assert!(bench.addresses(name).await.is_err(), "{name}");
    }
}

#[tokio::test]
async fn a_huge_answer_is_used_in_part() {
    let bench = Bench::new().await;
    let many = |n: u8| (0..n).map(|last| a(&format!("192.0.2.{last}"))).collect();
    bench.dns.set("huge.example.com", many(255));
    bench.dns.reply("huge.example.com", Reply::Truncated);
    let found = services(bench.locate("huge.example.com").await);
    assert_eq!(found[0].servers[0].addresses.len(), MAX_RECORDS);
}

#[tokio::test]
async fn a_lifetime_is_obeyed_and_the_last_answer_serves_while_dns_fails() {
    let bench = Bench::new().await;
    let dns = &bench.dns;
    dns.lifetime(1);
    dns.set("host.example.com", vec![a("192.0.2.1")]);
    let begun = Instant::now();
    let first = ["192.0.2.1:5060".to_owned()];
    assert_eq!(bench.addresses("host.example.com").await.unwrap(), first);
    dns.set("host.example.com", vec![a("192.0.2.2")]);
    let limit = Duration::from_secs(30);
    let second = ["192.0.2.2:5060".to_owned()];
    loop {
        let found = bench.addresses("host.example.com").await.unwrap();
        if found == second {
            break;
        }
        assert_eq!(found, first);
        assert!(begun.elapsed() < limit);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The shortest lifetime that is believed is five seconds, and it is renewed a little before.
    assert!(
        begun.elapsed() >= Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    dns.reply("host.example.com", Reply::Code(2));
    while bench.metrics.dns_stale.get() == 0 {
        assert_eq!(bench.addresses("host.example.com").await.unwrap(), second);
        assert!(begun.elapsed() < limit);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(bench.addresses("host.example.com").await.unwrap(), second);
    // A name that is gone is another matter: the last answer may be somebody else by now.
    dns.set("host.example.com", Vec::new());
    dns.reply("host.example.com", Reply::Records);
    while bench.addresses("host.example.com").await.is_ok() {
        assert!(begun.elapsed() < limit);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_hosts_of_this_machine_are_known_without_a_server() {
    let metrics = Arc::new(Metrics::new().unwrap());
    let resolver = Resolver::new(Arc::clone(&metrics));
    let spec = ResolveSpec {
        host: "LOCALHOST.".to_owned(),
        port: 5061,
        protocol: Protocol::Tls,
        families: Families::BOTH,
    };
    for _ in 0..2 {
        match resolver.resolve(&spec).await {
            Outcome::Resolved(found) => {
                let is_own = |at: &SocketAddr| at.ip().is_loopback() && at.port() == 5061;
                assert!(found.iter().all(is_own), "{found:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(metrics.dns.with_label_values(&["a", "ok"]).get(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_asks_for_targets_of_trunks_where_it_is_to() {
    let dns = Nameserver::start().await;
    dns.set("pbx.example.com", vec![a("127.0.0.1")]);
    let trunk = |name: &str, ip: &str| {
        format!(
            "\n[[trunk]]\nname = \"{name}\"\ntenant = \"*\"\nrealm = \"core\"\n\
             targets = [\"{name}.example.com:5060;udp\"]\naccept_from = [\"{ip}\"]\n"
        )
    };
    let servers = format!("\n[dns]\nservers = [\"{}\"]\n", dns.address);
    let (pbx, gone) = (trunk("pbx", "127.0.0.7"), trunk("gone", "127.0.0.8"));
    let (_directory, config) =
        crate::daemon::configured(|text| format!("{text}{pbx}{gone}{servers}"));
    let checks = async |arguments: &'static [&'static str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_causeway"));
        command
            .arg("check")
            .arg("--config")
            .arg(&config)
            .args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{told}");
        told
    };
    let told = checks(&[]).await;
    assert!(
        !told.contains("W0126") && dns.queries("gone.example.com") == 0,
        "{told}"
    );
    let told = checks(&["--online"]).await;
    let wanted = "warning[W0126]: trunk \"gone\": DNS knows no address of gone.example.com";
    assert!(
        told.contains(wanted) && !told.contains("pbx.example.com"),
        "{told}"
    );
    assert!(told.contains("causeway reference findings"), "{told}");
}
