use super::*;
use crate::locate::Families;
use std::collections::BTreeMap;

/// A zone as text: `name TYPE data`, one record a line.
struct Zone(BTreeMap<Question, Vec<Record>>);

impl Zone {
    fn new(text: &str) -> Self {
        let mut zone: BTreeMap<Question, Vec<Record>> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |at: usize| words[at].parse::<u16>().expect("a number");
            let (kind, record) = match words[1] {
                "NAPTR" => (
                    Kind::Naptr,
                    Record::Naptr {
                        order: number(2),
                        preference: number(3),
                        flags: words[4].to_owned(),
                        service: words[5].to_owned(),
                        regexp: String::new(),
                        replacement: words[6].to_owned(),
                    },
                ),
                "SRV" => (
                    Kind::Srv,
                    Record::Srv {
                        priority: number(2),
                        weight: number(3),
                        port: number(4),
                        target: words[5].to_owned(),
                    },
                ),
                "A" => (
                    Kind::A,
                    Record::Address(words[2].parse().expect("an address")),
                ),
                _ => (
                    Kind::Aaaa,
                    Record::Address(words[2].parse().expect("an address")),
                ),
            };
            zone.entry(question(words[0], kind))
                .or_default()
                .push(record);
        }
        Self(zone)
    }

    fn answer(&self, question: &Question) -> Answer {
        let records = self.0.get(question);
        records.map_or(Answer::Absent, |records| Answer::Records(records.clone()))
    }

    /// Walks to the end: the questions in the order in which they were asked, and the result.
    fn walk(&self, spec: LocateSpec) -> (Vec<String>, Outcome) {
        walk_with(spec, |question| self.answer(question))
    }
}

fn walk_with(spec: LocateSpec, answer: impl Fn(&Question) -> Answer) -> (Vec<String>, Outcome) {
    let mut walk = Walk::new(spec);
    let mut asked = Vec::new();
    loop {
        match walk.step() {
            Step::Ask(questions) => {
                for question in questions {
                    asked.push(format!("{} {}", question.kind.as_str(), question.name));
                    let answer = answer(&question);
                    walk.answer(question, answer);
                }
            }
            Step::Done(outcome) => return (asked, outcome),
        }
    }
}

fn spec(protocols: &[Protocol]) -> LocateSpec {
    LocateSpec {
        domain: "example.com".to_owned(),
        port: None,
        protocols: protocols.to_vec(),
        is_open: true,
        families: Families {
            v4: true,
            v6: false,
        },
        is_foreign: false,
    }
}

/// The result as text, one server a line.
fn found(outcome: &Outcome) -> Vec<String> {
    let Outcome::Located(services) = outcome else {
        panic!("{outcome:?}");
    };
    let servers = services.iter().flat_map(|service| {
        service.servers.iter().map(move |server| {
            format!(
                "{} {}/{} {:?} {}",
                service.protocol, server.priority, server.weight, server.addresses, server.port
            )
        })
    });
    servers.collect()
}

const FULL: &str = "
    example.com NAPTR 50 50 s SIPS+D2T _sips._tcp.example.com.
    example.com NAPTR 90 50 s SIP+D2T _sip._tcp.example.com.
    example.com NAPTR 100 50 s SIP+D2U _sip._udp.Other.example.
    _sips._tcp.example.com SRV 0 1 5061 server1.example.com.
    _sip._tcp.example.com SRV 0 1 5060 server1.example.com.
    _sip._tcp.example.com SRV 10 2 5070 server2.example.com.
    _sip._udp.other.example SRV 0 1 5060 server2.example.com.
    server1.example.com A 192.0.2.1
    server2.example.com A 192.0.2.2
    server2.example.com A 192.0.2.3
    example.com A 192.0.2.99
";

#[test]
fn the_domain_chooses_among_the_protocols_that_we_speak() {
    let zone = Zone::new(FULL);
    for (protocols, wanted) in [
        (&[Protocol::Tls][..], "TLS 0/1 [192.0.2.1] 5061"),
        (
            &[Protocol::Udp, Protocol::Tcp][..],
            "TCP 0/1 [192.0.2.1] 5060",
        ),
        // Another domain may serve this one.
        (&[Protocol::Udp][..], "UDP 0/1 [192.0.2.2, 192.0.2.3] 5060"),
    ] {
        let (asked, outcome) = zone.walk(spec(protocols));
        assert_eq!(asked[0], "naptr example.com");
        let found = found(&outcome);
        assert_eq!(found[0].to_uppercase(), wanted.to_uppercase(), "{asked:?}");
    }
}

#[test]
fn a_secure_domain_is_never_reached_without_tls() {
    let zone = Zone::new(
        "
        example.com NAPTR 90 50 s SIP+D2T _sip._tcp.example.com.
        _sip._tcp.example.com SRV 0 1 5060 server1.example.com.
        server1.example.com A 192.0.2.1
        example.com A 192.0.2.99
        ",
    );
    let (asked, outcome) = zone.walk(spec(&[Protocol::Tls]));
    assert_eq!(
        found(&outcome),
        ["tls 0/0 [192.0.2.99] 5061"]
            .map(|line| { line.replace("tls", &Protocol::Tls.to_string()) })
    );
    assert_eq!(
        asked,
        [
            "naptr example.com",
            "srv _sips._tcp.example.com",
            "a example.com"
        ]
    );
}

#[test]
fn without_naptr_every_protocol_is_asked_for_in_our_order() {
    let zone = Zone::new(
        "
        _sip._udp.example.com SRV 0 1 5062 server1.example.com.
        server1.example.com A 192.0.2.1
        ",
    );
    let (asked, outcome) = zone.walk(spec(&[Protocol::Tcp, Protocol::Udp]));
    assert_eq!(
        asked,
        [
            "naptr example.com",
            "srv _sip._tcp.example.com",
            "srv _sip._udp.example.com",
            "a server1.example.com",
        ]
    );
    assert!(found(&outcome)[0].ends_with("[192.0.2.1] 5062"));
}

#[test]
fn a_written_protocol_is_not_up_for_choice_and_a_written_port_leaves_addresses_only() {
    let zone = Zone::new(FULL);
    let written = LocateSpec {
        is_open: false,
        ..spec(&[Protocol::Udp])
    };
    let (asked, outcome) = zone.walk(written.clone());
    assert_eq!(asked, ["srv _sip._udp.example.com", "a example.com"]);
    assert!(found(&outcome)[0].ends_with("[192.0.2.99] 5060"));
    let (asked, outcome) = zone.walk(LocateSpec {
        port: Some(5080),
        families: Families::BOTH,
        ..written
    });
    assert_eq!(asked, ["a example.com", "aaaa example.com"]);
    assert!(found(&outcome)[0].ends_with("[192.0.2.99] 5080"));
}

#[test]
fn a_service_that_is_not_offered_is_not_guessed() {
    let zone = Zone::new(
        "
        _sip._udp.example.com SRV 0 0 0 .
        example.com A 192.0.2.99
        ",
    );
    let (_, outcome) = zone.walk(spec(&[Protocol::Udp]));
    assert_eq!(outcome, Outcome::ResolveFailed(ResolveFault::NotFound));
}

#[test]
fn servers_that_have_no_address_are_left_out_and_the_next_service_is_asked() {
    let zone = Zone::new(
        "
        example.com NAPTR 1 1 s SIP+D2T _sip._tcp.example.com
        example.com NAPTR 1 2 S sip+d2u _sip._udp.example.com
        example.com NAPTR 0 0 u SIP+D2U _sip._udp.wrong.example
        _sip._tcp.example.com SRV 0 1 5060 gone.example.com
        _sip._udp.example.com SRV 0 1 5060 gone.example.com
        _sip._udp.example.com SRV 9 1 5060 server1.example.com
        server1.example.com A 192.0.2.1
        server1.example.com A 192.0.2.1
        server1.example.com A 0.0.0.0
        server1.example.com A 224.0.0.5
        ",
    );
    let (asked, outcome) = zone.walk(spec(&[Protocol::Udp, Protocol::Tcp]));
    assert!(
        found(&outcome)[0].ends_with("9/1 [192.0.2.1] 5060"),
        "{outcome:?}"
    );
    assert_eq!(found(&outcome).len(), 1);
    // What is known is not asked twice.
    assert_eq!(
        asked,
        [
            "naptr example.com",
            "srv _sip._tcp.example.com",
            "a gone.example.com",
            "srv _sip._udp.example.com",
            "a server1.example.com",
        ]
    );
}

#[test]
fn what_is_not_known_is_not_taken_for_what_is_not_there() {
    let zone = Zone::new(FULL);
    let silent = |kind: Kind| {
        let (_, outcome) = walk_with(spec(&[Protocol::Tcp]), |question| {
            match question.kind == kind {
                true => Answer::Failed(ResolveFault::Timeout),
                false => zone.answer(question),
            }
        });
        outcome
    };
    // Many resolvers know no NAPTR.
    assert!(found(&silent(Kind::Naptr))[0].ends_with("0/1 [192.0.2.1] 5060"));
    for kind in [Kind::Srv, Kind::A] {
        let outcome = silent(kind);
        assert_eq!(
            outcome,
            Outcome::ResolveFailed(ResolveFault::Timeout),
            "{kind:?}"
        );
    }
    // One family that fails is no reason to give up the other.
    let both = LocateSpec {
        families: Families::BOTH,
        ..spec(&[Protocol::Tcp])
    };
    let (_, outcome) = walk_with(both, |question| match question.kind {
        Kind::Aaaa => Answer::Failed(ResolveFault::ServerFailure),
        _ => zone.answer(question),
    });
    assert_eq!(found(&outcome).len(), 2);
}

#[test]
fn a_huge_zone_makes_a_bounded_number_of_questions_and_addresses() {
    let mut text = String::new();
    for number in 0..1000 {
        text += &format!("example.com NAPTR 1 {number} s SIP+D2U _sip._udp.n{number}.example\n");
        text += &format!("_sip._udp.n0.example SRV {number} 1 5060 h{number}.example\n");
        for last in 0..100 {
            text += &format!("h{number}.example A 192.0.2.{last}\n");
        }
    }
    let (asked, outcome) = Zone::new(&text).walk(spec(&[Protocol::Udp]));
    assert!(asked.len() <= MAX_QUESTIONS, "{}", asked.len());
    let Outcome::Located(services) = outcome else {
        panic!("{outcome:?}");
    };
    let addresses: usize = services[0].servers.iter().map(|s| s.addresses.len()).sum();
    assert_eq!(addresses, MAX_ADDRESSES);
    assert_eq!(
        services[0].servers[0].priority, 0,
        "the first ones are kept"
    );
    // A thousand services that lead nowhere come to an end as well.
    let nowhere: String = (0..1000)
        .map(|n| format!("example.com NAPTR 1 {n} s SIP+D2U _sip._udp.n{n}.example\n"))
        .collect();
    let (asked, outcome) = Zone::new(&nowhere).walk(spec(&[Protocol::Udp]));
    assert!(asked.len() <= MAX_QUESTIONS);
    assert_eq!(outcome, Outcome::ResolveFailed(ResolveFault::NotFound));
}
