//! What an operator asks of relations to others and has done with them, by the command line: peers, registrations, names,
//! TLS (OPS-090).

use crate::daemon::{Node, Phone, configured, exit_to, header, private, types};
use crate::nameserver::{Nameserver, a};
use crate::support::{Authority, PATIENCE, server, write, write_leaf};

use serde_json::Value;
use std::net::SocketAddr;
use std::time::Instant;
use tokio::net::TcpListener;

/// A trunk of that name has this state, sooner or later.
async fn becomes(node: &Node, trunk: &str, state: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = node.ask("GET", &format!("/trunks?trunk={trunk}")).await;
        let rows: Value = serde_json::from_str(&answer.body).unwrap();
        let peers = &rows[0]["peers"];
        if peers[0]["state"] == state {
            return;
        }
        assert!(Instant::now() < deadline, "not {state}: {}", answer.body);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// The next OPTIONS that come from the port of the node's listener, or from another one.
async fn asked(phone: &Phone, node: &Node, is_own: bool) -> (String, SocketAddr) {
    loop {
        let (options, from) = phone.hears("OPTIONS ").await;
        if (from == node.udp()) == is_own {
            return (options, from);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_speaks_against_a_peer_is_forgotten_and_its_trunk_is_tested_step_by_step() {
    let peer = Phone::new("127.0.0.2").await;
    let shut = "\n[[trunk]]\nname = \"shut\"\ntenant = \"*\"\nrealm = \"core\"\n\
                targets = [\"127.0.0.3:9;tcp\"]\noptions = false\n";
    let node = Node::start_with(|text| {
        text + &exit_to(peer.address).replace("options = false\n", "") + shut
    })
    .await;
    // It wants to be left alone for five minutes.
    let (options, from) = asked(&peer, &node, true).await;
    peer.answers("503 Busy\r\nRetry-After: 300", &options, from, "")
        .await;
    becomes(&node, "exit", "busy").await;
    let (code, told, errors) = types(&node, &["peer", "reset", "127.0.0.2"]).await;
    assert!(
        code == Some(0) && told.contains("addresses: 1"),
        "{told}{errors}"
    );
    let (options, from) = asked(&peer, &node, true).await;
    peer.accepts(&options, from, "").await;
    becomes(&node, "exit", "up").await;
    let (code, _, errors) = types(&node, &["peer", "reset", "192.0.2.77"]).await;
    assert!(
        code == Some(5) && errors.contains("no trunk has a peer \"192.0.2.77\""),
        "{errors}"
    );
    let answers = async {
        let (options, from) = asked(&peer, &node, false).await;
        peer.accepts(&options, from, "").await;
    };
    let (tested, ()) = tokio::join!(types(&node, &["trunk", "test", "exit"]), answers);
    let (code, told, errors) = tested;
    assert_eq!(code, Some(0), "{told}{errors}");
    let lines: Vec<&str> = told.lines().collect();
    assert!(
        lines[0].starts_with("dns      ok") && lines[1].starts_with("options  ok"),
        "{told}"
    );
    assert!(lines[1].contains("200 after"), "{told}");
    let (code, told, _) = types(&node, &["trunk", "test", "shut"]).await;
    assert_eq!(code, Some(5), "{told}");
    assert!(
        told.contains("no connection to 127.0.0.3:9")
            && told.contains("nothing listens there")
            && told.contains("fix: wrong port"),
        "{told}"
    );
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_is_taken_back_and_renewed_by_hand() {
    let registrar = Phone::new("127.0.0.1").await;
    let node = Node::start_with(|text| {
        let (before, _) = text.split_once("[[trunk]]").unwrap();
        let rest = &text[text.find("[cdr]").unwrap()..];
        format!(
            "{before}[[trunk]]\nname = \"provider\"\ntenant = \"*\"\nrealm = \"core\"\n\
             options = false\nmode = \"register\"\ntargets = [\"{};udp\"]\n\
             register = {{ aor = \"sip:me@telco.example\" }}\n{rest}",
            registrar.address
        )
    })
    .await;
    let registers = async |wanted: &str| {
        let (request, to) = loop {
            let (request, from) = registrar.hears("REGISTER ").await;
            if (header(&request, "Expires") == "0") == (wanted == "0") {
                break (request, from);
            }
        };
        let mut answer = "SIP/2.0 200 OK\r\n".to_owned();
        for name in ["Via", "From", "To", "Call-ID", "CSeq", "Contact"] {
            answer.push_str(&format!("{name}: {}\r\n", header(&request, name)));
        }
        answer.push_str("Content-Length: 0\r\n\r\n");
        registrar.send(&answer, to).await;
    };
    let stands = async |state: &str| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (_, told, _) = types(&node, &["reg", "list", "--json"]).await;
            let told: Value = serde_json::from_str(&told).unwrap();
            if told["ours"][0]["state"] == state {
                return;
            }
            assert!(Instant::now() < deadline, "not {state}: {told}");
        }
    };
    registers("some").await;
    stands("registered").await;
    let (code, _, errors) = types(&node, &["reg", "unregister", "provider"]).await;
    assert!(code == Some(5) && errors.contains("--yes"), "{errors}");
    let (code, told, _) = types(&node, &["reg", "unregister", "provider", "--yes"]).await;
    assert!(code == Some(0) && told.contains("taken back"), "{told}");
    registers("0").await;
    stands("off").await;
    // Neither a drain that is over nor a reload has it back.
    node.ask("POST", "/drain/now").await;
    node.ask("POST", "/undrain").await;
    node.ask("POST", "/reload").await;
    stands("off").await;
    let (code, told, _) = types(&node, &["reg", "refresh", "provider"]).await;
    assert!(code == Some(0) && told.contains("registering"), "{told}");
    registers("some").await;
    stands("registered").await;
    let (_, told, _) = types(&node, &["reg", "list"]).await;
    assert!(told.contains("sip:me@telco.example"), "{told}");
    let answer = node.ask("POST", "/registrations/nobody/refresh").await;
    assert_eq!(answer.status, 404, "{}", answer.body);
    node.daemon.begin_stop().await;
    registers("0").await;
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_remembered_of_names_is_shown_and_forgotten() {
    let dns = Nameserver::start().await;
    dns.set("sip.carrier.example", vec![a("127.0.0.4")]);
    dns.lifetime(600);
    let servers = format!("\n[dns]\nservers = [\"{}\"]\n", dns.address);
    let named = "\n[[trunk]]\nname = \"named\"\ntenant = \"*\"\nrealm = \"core\"\n\
                 targets = [\"sip.carrier.example:9;tcp\"]\naccept_from = [\"127.0.0.4\"]\noptions = false\n";
    let node = Node::start_with(|text| text + &servers + named).await;
    types(&node, &["trunk", "test", "named"]).await;
    let (_, told, _) = types(&node, &["dns", "show", "sip.carrier.example"]).await;
    let line = told.lines().nth(1).unwrap_or_default();
    for wanted in ["sip.carrier.example", "A", "fresh", "min", "127.0.0.4"] {
        assert!(line.contains(wanted), "{wanted}: {told}");
    }
    assert_eq!(dns.queries("sip.carrier.example"), 1);
    let (code, _, errors) = types(&node, &["dns", "flush", "--all"]).await;
    assert!(code == Some(5) && errors.contains("--yes"), "{errors}");
    let (code, told, errors) = types(&node, &["dns", "flush", "sip.carrier.example"]).await;
    assert!(
        code == Some(0) && told.contains("forgotten: 1"),
        "{told}{errors}"
    );
    let (_, told, _) = types(&node, &["dns", "show", "sip.carrier.example"]).await;
    assert!(told.contains("nothing is remembered"), "{told}");
    types(&node, &["trunk", "test", "named"]).await;
    assert_eq!(dns.queries("sip.carrier.example"), 2);
    let (code, _, _) = types(&node, &["dns", "flush", "--all", "--yes"]).await;
    assert_eq!(code, Some(0));
    let (code, _, _) = types(&node, &["dns", "flush"]).await;
    assert_eq!(code, Some(2));
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identities_are_listed_tried_and_read_anew() {
    let (directory, _) = configured(|text| text);
    let authority = Authority::new();
    let renews = |folder: &std::path::Path, name: &str| {
        write_leaf(
            folder,
            name,
            &authority.leaf(&[&format!("sbc.{name}.example")]),
        );
        private(&folder.join(format!("{name}.key")));
    };
    let folder = directory.path().to_owned();
    write(&folder, "ca.pem", &authority.pem());
    renews(&folder, "contoso");
    renews(&folder, "fabrikam");
    let node = Node::again(directory).await;
    let (_, told, _) = types(&node, &["tls", "list"]).await;
    assert!(
        told.contains("sbc.contoso.example") && told.contains("teams-contoso"),
        "{told}"
    );
    // A peer that shows a name of its own.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = server(&authority.leaf(&["localhost"]));
    let peer = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut rest = Vec::new();
                let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
            });
        }
    });
    let good = format!("localhost:{port}");
    let (code, told, errors) = types(&node, &["tls", "test", &good, "--context", "contoso"]).await;
    assert_eq!(code, Some(0), "{told}{errors}");
    assert!(
        told.contains("TLS 1.3, certificate for localhost, believed by Test Root"),
        "{told}"
    );
    let (code, told, _) = types(&node, &["tls", "test", &format!("127.0.0.1:{port}")]).await;
    assert_eq!(code, Some(5), "{told}");
    assert!(
        told.contains("the certificate is for localhost, wanted 127.0.0.1")
            && told.contains("fix:"),
        "{told}"
    );
    let (code, _, errors) = types(&node, &["tls", "test", &good, "--context", "contosso"]).await;
    assert!(
        code == Some(5) && errors.contains("did you mean \"contoso\"?"),
        "{errors}"
    );
    for (wrong, wanted) in [("sip", Some(2)), ("localhost:0", Some(2))] {
        let (code, _, errors) = types(&node, &["tls", "test", wrong]).await;
        assert_eq!(code, wanted, "{wrong}: {errors}");
    }
    peer.abort();
    // Files that are new are taken, and those that cannot be used are told.
    let results = async || {
        let (code, told, _) = types(&node, &["tls", "reload", "--json"]).await;
        let told: Value = serde_json::from_str(&told).unwrap();
        let of = |at: usize| told[at]["result"].as_str().unwrap_or_default().to_owned();
        (code, of(0), of(1))
    };
    let told = |code, one: &str, two: &str| (Some(code), one.to_owned(), two.to_owned());
    assert_eq!(results().await, told(0, "same", "same"));
    renews(&folder, "contoso");
    assert_eq!(results().await, told(0, "taken", "same"));
    assert_eq!(results().await, told(0, "same", "same"));
    // One with a name less is told by what it lacks.
    write_leaf(&folder, "contoso", &authority.leaf(&["other.example"]));
    private(&folder.join("contoso.key"));
    let (code, reloaded, _) = types(&node, &["tls", "reload"]).await;
    assert!(
        code == Some(5) && reloaded.contains("it lacks the name sbc.contoso.example"),
        "{reloaded}"
    );
    renews(&folder, "contoso");
    assert_eq!(results().await.1, "taken");
    write(&folder, "fabrikam.pem", "no certificate");
    assert_eq!(results().await, told(5, "same", "unusable"));
    node.daemon.shutdown().await;
}
