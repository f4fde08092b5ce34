//! The archive for whoever is to help: what is in it, and that no secret is.

use crate::daemon::{Node, private, request, types};
use crate::logs::call;
use crate::support::{PATIENCE, write};
use causeway::command::exit;
use std::path::Path;
use tokio::net::UdpSocket;

const PASSWORD: &str = "canary-of-digest-7Q";
const HEP: &str = "canary-of-collector-4Z";
const MEMBER: &str = "canary-of-member-9K";
const COMMENT: &str = "canary-in-comment-3M";
const SRTP: &str = "Y2FuYXJ5OiB0aGlydHkgb2N0ZXRzIG9mIFNSVFAh";
const RESPONSE: &str = "0123456789abcdef0123456789abcdef";

/// A node whose configuration names a secret of each kind.
async fn planted(folder: &Path) -> Node {
    for (name, secret) in [("digest", PASSWORD), ("hep", HEP), ("member", MEMBER)] {
        private(&write(folder, name, &format!("{secret}\n")));
    }
    let at = folder.display();
    Node::start_with(|text| {
        let digest = format!(
            "digest = {{ username = \"contoso\", password = {{ file = \"{at}/digest\" }}, realms = [\"telco.example\"] }}\n"
        );
        let member = format!(
            "authenticate = {{ username = \"pbx\", password = {{ file = \"{at}/member\" }}, realm = \"pbx.example\" }}\n"
        );
        let hep = format!(
            "\n# password = \"{COMMENT}\"\n[hep]\ncollectors = [\"127.0.0.1:9;udp\"]\nkey = {{ file = \"{at}/hep\" }}\n"
        );
        text.replace(
            "name = \"carrier\"\n",
            &format!("name = \"carrier\"\n{digest}"),
        )
        .replace(
            "name = \"teams-fabrikam\"\n",
            &format!("name = \"teams-fabrikam\"\n{member}"),
        )
            + &hep
    })
    .await
}

/// A call that fails, with a key, an answer to a challenge, and the password where nobody looks for it.
async fn fails(node: &Node) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let from = socket.local_addr().unwrap();
    let body = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{SRTP}\r\n"
    );
    let uri = format!("sip:+15550100@{}", node.udp());
    let lines = format!(
        "User-Agent: phone {PASSWORD}\r\nAuthorization: Digest username=\"a\", realm=\"b\", nonce=\"c\", uri=\"{uri}\", \
         response=\"{RESPONSE}\"\r\nMax-Forwards:"
    );
    let text = request("INVITE", &uri, from, &body).replace("Max-Forwards:", &lines);
    socket.send_to(text.as_bytes(), node.udp()).await.unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    while node.ask("GET", "/calls/failed").await.body == "[]" {
        assert!(
            std::time::Instant::now() < deadline,
            "{}",
            node.lines.text()
        );
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_archive_has_what_helps_and_no_secret_of_any_kind() {
    let folder = tempfile::tempdir().unwrap();
    let node = planted(folder.path()).await;
    fails(&node).await;
    // One grave line at least.
    let path = node.directory.path().join("causeway.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, good.replacen("[node]", "[node", 1)).unwrap();
    assert_eq!(node.ask("POST", "/reload").await.status, 422);
    let broken = folder.path().join("broken.tar");
    let (code, _, errors) = types(&node, &["bundle", &broken.display().to_string()]).await;
    assert_eq!(code, Some(exit::OK.into()), "{errors}");
    std::fs::write(&path, &good).unwrap();
    let archive = folder.path().join("support.tar");
    let (code, told, errors) = types(&node, &["bundle", &archive.display().to_string()]).await;
    assert_eq!(code, Some(exit::OK.into()), "{errors}");
    assert!(
        told.contains("found in it ") && told.contains("hidden"),
        "{told}"
    );

    let read = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let (text, broken) = (read(&archive), read(&broken));
    let has = |wanted: &str| assert!(text.contains(wanted), "no {wanted}");
    for name in [
        "contents.txt",
        "version.txt",
        "status.json",
        "metrics.txt",
        "log.txt",
        "configuration.json",
        "in-use/0.toml",
        "configurations.json",
        "certificates.json",
        "media.json",
        "teams.json",
        "figures.json",
        "alarms.json",
        "dns.json",
        "process.txt",
        "calls.json",
        "calls-recent.json",
        "calls-failed.json",
        "failed/",
        "host.txt",
    ] {
        has(&format!("causeway/{name}"));
    }
    // This node keeps no audit log, and says so.
    has("left out: audit.json: nothing is audited without a directory for state");
    for wanted in [
        "\"uptime_seconds\"",
        "sbc_config_generation 1",
        "reload_refused: nothing has changed",
        "\"code\": \"no_route\"",
        "INVITE sip:+15550100@",
        "inline:<secret>",
        "User-Agent: phone <secret>",
        "change: ",
        "MemTotal",
        "Max open files",
    ] {
        has(wanted);
    }
    // Where the files are broken, what is in use is there all the same.
    assert!(broken.contains("left out: configuration.json") && broken.contains("[[trunk]]"));
    let key = std::fs::read_to_string(node.directory.path().join("contoso.key")).unwrap();
    let key = key.lines().nth(1).unwrap().to_owned();
    for (what, secret) in [
        ("password", PASSWORD),
        ("key of collectors", HEP),
        ("password of a peer", MEMBER),
        ("comment", COMMENT),
        ("key of SRTP", SRTP),
        ("answer to a challenge", RESPONSE),
        ("private key", &key),
    ] {
        assert!(!text.contains(secret) && !broken.contains(secret), "{what}");
    }
    let audit = node.lines.text();
    assert!(
        audit.contains("POST /bundle"),
        "who has fetched it is written down"
    );
    // Its lines are those of the log.
    let (_, recent, _) = types(&node, &["log", "recent"]).await;
    assert!(
        recent.contains("reload_refused: nothing has changed"),
        "{recent}"
    );
    let (_, failed, _) = types(&node, &["call", "failed"]).await;
    let id = failed.lines().nth(1).unwrap().split(' ').next().unwrap();
    let packets = folder.path().join("call.pcapng");
    let (code, _, errors) =
        types(&node, &["call", "pcap", id, &packets.display().to_string()]).await;
    assert_eq!(code, Some(exit::OK.into()), "{errors}");
    let packets = std::fs::read(packets).unwrap();
    assert!(packets.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]));
    let packets = String::from_utf8_lossy(&packets);
    let comment = format!("call {id} leg 0");
    for wanted in ["INVITE sip:+15550100@", "SIP/2.0 4", comment.as_str()] {
        assert!(packets.contains(wanted), "{wanted}");
    }
    assert!(!packets.contains(SRTP) && !packets.contains(RESPONSE));
    assert!(
        failed.contains("+15550100") && failed.contains("no_route"),
        "{failed}"
    );
    node.daemon.shutdown().await;
}

/// OPS-011.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_go_on_over_a_reload() {
    let node = Node::start().await;
    let invites = async || {
        let text = node.ask("GET", "/metrics").await.body;
        let mut lines = text.lines().filter(|line| {
            line.starts_with("sbc_sip_requests_total{") && line.contains("method=\"INVITE\"")
        });
        let line = lines.find(|line| line.contains("dir=\"in\"")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    call(&node, "+15550100").await;
    assert_eq!(invites().await, 1);
    assert_eq!(node.ask("POST", "/reload").await.status, 200);
    assert_eq!(invites().await, 1);
    call(&node, "+15550101").await;
    assert_eq!(invites().await, 2);
    node.daemon.shutdown().await;
}
