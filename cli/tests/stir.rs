//! Signatures of callers against real certificates, and their credentials from a real web server, good and
//! hostile.

use crate::{nameserver, support};

use causeway::config::{Host, Revoked, read_revocations};
use causeway::daemon::resolver::Resolver;
use causeway::daemon::stir::{Reach, Signers, Trust};
use causeway::sink::metrics::Metrics;
use nameserver::{Nameserver, a, aaaa};
use rcgen::{CertificateParams, CustomExtension, KeyPair, SerialNumber, SigningKey, date_time_ymd};
use sbc_core::config::{Facts, FileFault, Validity};
use sbc_core::id::TrunkName;
use sbc_core::query::Outcome;
use sbc_core::sdp::{base64_decode, base64_encode};
use sbc_core::sip::{Limits, Message};
use sbc_core::stir::{
    Check, CredentialFault, CredentialUrl, Judged, Numbers, Signatures, Tn, VerifySpec, judge,
};
use sbc_core::time::UnixTime;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use support::{Authority, Leaf, revoking, server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const HOST: &str = "cert.example.org";

/// What the web server says, by path.
type Pages = Arc<Mutex<HashMap<String, (Vec<u8>, usize)>>>;

/// An issuer of credentials, a web server that has them, a name server that knows where, and who asks.
struct Bench {
    issuer: Authority,
    web: Authority,
    dns: Nameserver,
    pages: Pages,
    signers: Signers,
}

fn loopback(address: IpAddr) -> bool {
    address == IpAddr::V4(Ipv4Addr::LOCALHOST)
}

impl Bench {
    async fn new() -> Self {
        Self::reaching(loopback).await
    }

    async fn reaching(admits: fn(IpAddr) -> bool) -> Self {
        let (issuer, web) = (Authority::new(), Authority::new());
        let dns = Nameserver::start().await;
        dns.set(HOST, vec![a("127.0.0.1")]);
        let pages = Pages::default();
        let port = serve(&web.leaf(&[HOST]), &pages).await;
        let metrics = Arc::new(Metrics::new().unwrap());
        let reach = Reach {
            admits,
            port: Some(port),
        };
        let signers = Signers::new(Resolver::asking(&[dns.address], metrics), reach);
        let bench = Self {
            issuer,
            web,
            dns,
            pages,
            signers,
        };
        bench.trust(Revoked::default());
        bench
    }

    fn trust(&self, revoked: Revoked) {
        let own = Vec::new();
        let trust = Trust::new(self.issuer.roots(), revoked, self.web.roots(), own);
        self.signers.trust(Some(trust));
    }

    /// The web server has this at this path from now on.
    fn page(&self, path: &str, response: impl Into<Vec<u8>>) {
        let mut pages = self.pages.lock().unwrap();
        pages.insert(path.to_owned(), (response.into(), 0));
    }

    fn credential(&self, path: &str, leaf: &Leaf) {
        self.page(path, ok(leaf.chain_pem.as_bytes(), ""));
    }

    /// How often the page was asked for.
    fn visits(&self, path: &str) -> usize {
        self.pages.lock().unwrap()[path].1
    }

    fn signer(&self) -> Leaf {
        self.issuer.leaf_with(&[], for_numbers)
    }

    async fn verify(&self, path: &str, signer: &Leaf) -> Result<(), CredentialFault> {
        self.verify_for("carrier-a", path, signer).await
    }

    async fn verify_for(
        &self,
        trunk: &str,
        path: &str,
        signer: &Leaf,
    ) -> Result<(), CredentialFault> {
        let check = Check {
            url: CredentialUrl::parse(&format!("https://{HOST}{path}")).unwrap(),
            input: "header.payload".into(),
            signature: signature(signer, b"header.payload"),
        };
        self.ask(trunk, vec![check]).await
    }

    async fn ask(&self, trunk: &str, checks: Vec<Check>) -> Result<(), CredentialFault> {
        let trunk = TrunkName::new(trunk);
        match self.signers.verify(&VerifySpec { trunk, checks }).await {
            Outcome::Verified(found) => found,
            other => panic!("{other:?}"),
        }
    }
}

/// The extension TNAuthList with one service provider code (RFC 8226 §9).
fn for_numbers(params: &mut CertificateParams) {
    let list = vec![0x30, 0x08, 0xa0, 0x06, 0x16, 0x04, b'7', b'0', b'9', b'J'];
    let oid = [1, 3, 6, 1, 5, 5, 7, 1, 26];
    let extension = CustomExtension::from_oid_content(&oid, list);
    params.custom_extensions.push(extension);
}

/// `r` and `s` of an ES256 signature by the key of a certificate.
fn signature(signer: &Leaf, input: &[u8]) -> [u8; 64] {
    let key = KeyPair::from_pem(&signer.key_pem).unwrap();
    let der = key.sign(input).unwrap();
    let number = |at: usize| {
        let length = usize::from(der[at + 1]);
        let digits = &der[at + 2..at + 2 + length];
        let digits = digits.strip_prefix(&[0]).unwrap_or(digits);
        (
            [&vec![0; 32 - digits.len()][..], digits].concat(),
            at + 2 + length,
        )
    };
    let (r, next) = number(2);
    let (s, _) = number(next);
    [r, s].concat().try_into().unwrap()
}

fn ok(body: &[u8], lines: &str) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\n{lines}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

async fn serve(leaf: &Leaf, pages: &Pages) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (acceptor, pages) = (server(leaf), Arc::clone(pages));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, pages) = (acceptor.clone(), Arc::clone(&pages));
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(octet) => request.push(octet),
                        Err(_) => return,
                    }
                }
                let request = String::from_utf8(request).unwrap();
                assert!(request.contains(&format!("host: {HOST}\r\n")), "{request}");
                let path = request.split(' ').nth(1).unwrap().to_owned();
                let response = pages
                    .lock()
                    .unwrap()
                    .get_mut(&path)
                    .map(|(response, visits)| {
                        *visits += 1;
                        response.clone()
                    });
                match response {
                    // One who never says anything.
                    Some(response) if response.is_empty() => std::future::pending().await,
                    Some(response) => {
                        let _ = stream.write_all(&response).await;
                        let _ = stream.shutdown().await;
                    }
                    None => {
                        let _ = stream
                            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                            .await;
                    }
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_good_signature_is_good_and_its_credential_is_fetched_once() {
    let bench = Bench::new().await;
    let signer = bench.signer();
    bench.credential("/a.cer", &signer);
    assert_eq!(bench.verify("/a.cer", &signer).await, Ok(()));
    assert_eq!(bench.verify("/a.cer", &signer).await, Ok(()));
    assert_eq!(bench.visits("/a.cer"), 1);
    assert_eq!(bench.dns.queries(HOST), 2, "one for each family");
    // Whoever asks while it is under way waits for the same.
    bench.credential("/b.cer", &signer);
    let all = (0..20).map(|_| bench.verify("/b.cer", &signer));
    let mut found = Vec::new();
    for one in futures(all).await {
        found.push(one);
    }
    assert_eq!(found, vec![Ok(()); 20]);
    assert_eq!(bench.visits("/b.cer"), 1);
    // One certificate may also come as it is.
    let der = signer.parts().0[0].to_vec();
    bench.page("/c.cer", ok(&der, ""));
    assert_eq!(bench.verify("/c.cer", &signer).await, Ok(()));
}

/// All of them at once.
async fn futures<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|cx| {
        for (one, found) in &mut all {
            if found.is_none()
                && let std::task::Poll::Ready(output) = one.as_mut().poll(cx)
            {
                *found = Some(output);
            }
        }
        match all.iter().all(|(_, found)| found.is_some()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    all.into_iter().map(|(_, found)| found.unwrap()).collect()
}

#[tokio::test]
async fn a_signature_of_another_key_or_of_something_else_is_wrong() {
    let bench = Bench::new().await;
    let (signer, other) = (bench.signer(), bench.signer());
    bench.credential("/a.cer", &signer);
    let wrong = Err(CredentialFault::Signature);
    assert_eq!(bench.verify("/a.cer", &other).await, wrong);
    let check = |signature| Check {
        url: CredentialUrl::parse(&format!("https://{HOST}/a.cer")).unwrap(),
        input: "header.payloae".into(),
        signature,
    };
    let good = signature(&signer, b"header.payload");
    assert_eq!(bench.ask("carrier-a", vec![check(good)]).await, wrong);
    for odd in [[0; 64], [0xff; 64]] {
        assert!(bench.ask("carrier-a", vec![check(odd)]).await.is_err());
    }
    // One bad signature of several spoils all of them.
    let sound = Check {
        input: "header.payload".into(),
        ..check(good)
    };
    assert_eq!(
        bench
            .ask("carrier-a", vec![sound.clone(), sound.clone()])
            .await,
        Ok(())
    );
    assert_eq!(
        bench.ask("carrier-a", vec![sound, check(good)]).await,
        wrong
    );
}

#[tokio::test]
async fn a_credential_must_be_of_the_list_valid_and_for_telephone_numbers() {
    let bench = Bench::new().await;
    let expired = bench.issuer.leaf_with(&[], |params| {
        for_numbers(params);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let future = bench.issuer.leaf_with(&[], |params| {
        for_numbers(params);
        params.not_before = date_time_ymd(4000, 1, 1);
    });
    let stranger = Authority::new().leaf_with(&[], for_numbers);
    let web = bench.issuer.leaf(&[HOST]);
    for (at, leaf, fault) in [
        ("/expired", expired, CredentialFault::Expired),
        ("/future", future, CredentialFault::Expired),
        ("/stranger", stranger, CredentialFault::Untrusted),
        ("/web", web, CredentialFault::NoNumbers),
    ] {
        bench.credential(at, &leaf);
        // Each on behalf of somebody else: no trunk may have many fetched at once.
        assert_eq!(bench.verify_for(at, at, &leaf).await, Err(fault), "{at}");
        assert_eq!(bench.verify_for(at, at, &leaf).await, Err(fault), "{at}");
        assert_eq!(bench.visits(at), 1, "it is not fetched again at once");
    }
}

#[tokio::test]
async fn a_credential_that_was_revoked_is_good_no_longer() {
    let bench = Bench::new().await;
    let signer = bench.issuer.leaf_with(&[], |params| {
        for_numbers(params);
        params.serial_number = Some(SerialNumber::from(vec![0x81, 0x22, 0x33]));
    });
    bench.credential("/a.cer", &signer);
    assert_eq!(bench.verify("/a.cer", &signer).await, Ok(()));
    let list = |serial: &[u8]| bench.issuer.revoking(revoking(serial, 2024, 4000));
    let folder = tempfile::tempdir().unwrap();
    let issuers = support::write(folder.path(), "issuers.pem", &bench.issuer.pem());
    let issuers = issuers.to_str().unwrap();
    for (serial, found) in [
        (&[0x81, 0x22, 0x34][..], Ok(())),
        (&[0x81, 0x22, 0x33], Err(CredentialFault::Revoked)),
    ] {
        let path = folder.path().join("crl.pem");
        std::fs::write(&path, list(serial)).unwrap();
        let revoked = read_revocations(path.to_str().unwrap(), issuers).unwrap();
        assert_eq!(revoked.until(), Some(64_060_588_800));
        bench.trust(revoked);
        assert_eq!(bench.signers.lists_until(), Some(64_060_588_800));
        // Nothing that was found out before counts.
        assert_eq!(bench.verify("/a.cer", &signer).await, found);
    }
    assert!(read_revocations(issuers, issuers).is_err(), "no list in it");
    // A list whose time is over still revokes.
    let old = list_in(folder.path(), &bench.issuer, 2024, 2025);
    let revoked = read_revocations(&old, issuers).unwrap();
    assert_eq!(revoked.holds(), (1_704_067_200, 1_735_689_600));
    bench.trust(revoked);
    let found = bench.verify("/a.cer", &signer).await;
    assert_eq!(found, Err(CredentialFault::Revoked));
}

/// The path of a list that an issuer has signed.
fn list_in(folder: &std::path::Path, issuer: &Authority, from: i32, until: i32) -> String {
    let list = issuer.revoking(revoking(&[0x81, 0x22, 0x33], from, until));
    let path = support::write(folder, "list.pem", &list);
    path.display().to_string()
}

#[test]
fn a_list_is_believed_only_with_the_signature_of_its_issuer_and_an_old_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (issuer, other) = (Authority::new(), Authority::new());
    let path = |name: &str, text: &str| {
        let path = support::write(folder.path(), name, text);
        path.display().to_string()
    };
    let own = path("own.pem", &issuer.pem());
    // Of the same name, with another key.
    let others = path("other.pem", &other.pem());
    let both = path("both.pem", &(other.pem() + &issuer.pem()));
    let list = list_in(folder.path(), &issuer, 2024, 4000);
    assert!(read_revocations(&list, &own).is_ok());
    assert!(read_revocations(&list, &both).is_ok());
    let refused = |path: &str, issuers: &str| match read_revocations(path, issuers) {
        Err(FileFault::Unusable(why)) => why,
        other => panic!("{:?}", other.err()),
    };
    let why = refused(&list, &others);
    assert!(
        why.contains("is not signed by any certificate of crl_issuers"),
        "{why}"
    );
    // One bit of what it says.
    let text = std::fs::read_to_string(&list).unwrap();
    let mut der = base64_decode_pem(&text);
    let at = der
        .windows(3)
        .position(|own| own == [0x81, 0x22, 0x33])
        .expect("the serial");
    der[at + 2] ^= 1;
    let forged = path("forged.pem", &pem_of("X509 CRL", &der));
    assert!(refused(&forged, &own).contains("is not signed"));
    for (from, until, expected) in [
        (2024, 4000, None),
        (2024, 2025, Some(Validity::Expired)),
        (3999, 4000, Some(Validity::NotYet)),
    ] {
        let list = list_in(folder.path(), &issuer, from, until);
        let validity = Host.revocations(&list, &own).unwrap();
        match expected {
            None => assert!(matches!(validity, Validity::Valid { .. })),
            Some(expected) => assert_eq!(validity, expected),
        }
    }
}

fn base64_decode_pem(text: &str) -> Vec<u8> {
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    base64_decode(body.as_bytes()).expect("base64")
}

fn pem_of(what: &str, der: &[u8]) -> String {
    let body = base64_encode(der);
    format!("-----BEGIN {what}-----\n{body}\n-----END {what}-----\n")
}

#[tokio::test]
async fn what_a_hostile_server_sends_is_bounded_and_never_followed() {
    let bench = Bench::new().await;
    let signer = bench.signer();
    let pem = &signer.chain_pem;
    bench.credential("/good", &signer);
    let chunked = |size: usize| {
        let body = format!("{size:x}\r\n{}\r\n0\r\n\r\n", "A".repeat(size));
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
    };
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "A".repeat(1 << 20));
    let announced = "HTTP/1.1 200 OK\r\nContent-Length: 4000000000\r\n\r\nA".to_owned();
    let headers = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "A".repeat(1 << 20));
    let redirect =
        format!("HTTP/1.1 302 Found\r\nLocation: https://{HOST}/good\r\nContent-Length: 0\r\n\r\n");
    let many = ok(pem.repeat(9).as_bytes(), "");
    let pages: [(&str, Vec<u8>, CredentialFault); 10] = [
        (
            "/chunked",
            chunked(70_000).into(),
            CredentialFault::Unusable,
        ),
        ("/endless", endless.into(), CredentialFault::Unusable),
        ("/announced", announced.into(), CredentialFault::Unusable),
        ("/headers", headers.into(), CredentialFault::Unreachable),
        ("/redirect", redirect.into(), CredentialFault::Unreachable),
        ("/many", many, CredentialFault::Unusable),
        ("/empty", ok(b"", ""), CredentialFault::Unusable),
        ("/html", ok(b"<html>", ""), CredentialFault::Unusable),
        (
            "/der",
            ok(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], ""),
            CredentialFault::Unusable,
        ),
        (
            "/garbage",
            b"SSH-2.0-OpenSSH_9\r\n\r\n".to_vec(),
            CredentialFault::Unreachable,
        ),
    ];
    for (path, response, fault) in pages {
        bench.page(path, response);
        let found = bench.verify_for(path, path, &signer).await;
        assert_eq!(found, Err(fault), "{path}");
    }
    assert_eq!(bench.visits("/good"), 0, "no redirection is followed");
    let missing = bench.verify_for("missing", "/missing", &signer).await;
    assert_eq!(missing, Err(CredentialFault::Unreachable));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_left_after_three_seconds() {
    let bench = Bench::new().await;
    bench.page("/slow", Vec::new());
    let begun = Instant::now();
    let found = bench.verify("/slow", &bench.signer()).await;
    assert_eq!(found, Err(CredentialFault::Timeout));
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_millis(2_900) && took < Duration::from_secs(10),
        "{took:?}"
    );
}

#[tokio::test]
async fn nobody_has_us_connect_to_our_own_networks() {
    let bench = Bench::reaching(causeway::daemon::stir::is_public).await;
    let signer = bench.signer();
    bench.credential("/a.cer", &signer);
    for addresses in [
        vec![a("127.0.0.1")],
        vec![a("169.254.169.254")],
        vec![a("10.0.0.1")],
        vec![aaaa("::1")],
        vec![aaaa("fd00:ec2::254")],
        vec![aaaa("::ffff:127.0.0.1")],
        // A public one beside it changes nothing.
        vec![a("8.8.8.8"), a("127.0.0.1")],
    ] {
        bench.dns.set(HOST, addresses);
        bench.dns.lifetime(0);
        bench.trust(Revoked::default());
        let found = bench.verify("/a.cer", &signer).await;
        assert_eq!(found, Err(CredentialFault::Address));
    }
    assert_eq!(bench.visits("/a.cer"), 0);
}

#[tokio::test]
async fn our_own_addresses_are_not_reached_even_if_they_are_public() {
    let bench = Bench::new().await;
    let signer = bench.signer();
    bench.credential("/a.cer", &signer);
    let own = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    let trust = Trust::new(
        bench.issuer.roots(),
        Revoked::default(),
        bench.web.roots(),
        own,
    );
    bench.signers.trust(Some(trust));
    let found = bench.verify("/a.cer", &signer).await;
    assert_eq!(found, Err(CredentialFault::Address));
    // Where nobody is believed, nothing is fetched.
    bench.signers.trust(None);
    let found = bench.verify("/a.cer", &signer).await;
    assert_eq!(found, Err(CredentialFault::Unreachable));
    assert_eq!(bench.visits("/a.cer"), 0);
}

#[tokio::test]
async fn a_web_server_must_prove_its_name() {
    let bench = Bench::new().await;
    let signer = bench.signer();
    bench.dns.set("other.example.org", vec![a("127.0.0.1")]);
    let check = Check {
        url: CredentialUrl::parse("https://other.example.org/a.cer").unwrap(),
        input: "header.payload".into(),
        signature: signature(&signer, b"header.payload"),
    };
    let found = bench.ask("carrier-a", vec![check]).await;
    assert_eq!(found, Err(CredentialFault::Unreachable));
}

#[tokio::test]
async fn calls_cannot_make_us_send_requests_to_all_the_world() {
    let bench = Bench::new().await;
    let signer = bench.signer();
    let check = |host: &str| Check {
        url: CredentialUrl::parse(&format!("https://{host}/a.cer")).unwrap(),
        input: "header.payload".into(),
        signature: [7; 64],
    };
    let hosts: Vec<String> = (0..8).map(|at| format!("{at}.example.org")).collect();
    let asked = hosts
        .iter()
        .map(|host| bench.ask("carrier-a", vec![check(host)]));
    let found = futures(asked).await;
    let busy = |found: &[Result<(), CredentialFault>]| {
        let busy = found
            .iter()
            .filter(|found| **found == Err(CredentialFault::Busy));
        busy.count()
    };
    assert_eq!(busy(&found), 4, "four at a time: {found:?}");
    let another = || bench.ask("carrier-a", vec![check("another.example.org")]);
    assert_eq!(another().await, Err(CredentialFault::Unreachable));
    let next = bench.ask("carrier-a", vec![check("next.example.org")]);
    assert_eq!(
        next.await,
        Err(CredentialFault::Busy),
        "five new ones within a second"
    );
    // Those of another trunk are not held up by that.
    assert_eq!(
        bench.ask("carrier-b", vec![check("9.example.org")]).await,
        Err(CredentialFault::Unreachable)
    );
    // No more than two requests to one server at a time.
    for path in ["/slow-1", "/slow-2", "/slow-3"] {
        bench.page(path, Vec::new());
    }
    let slow = ["/slow-1", "/slow-2", "/slow-3"].map(|path| bench.verify_for(path, path, &signer));
    let found = futures(slow.into_iter()).await;
    let busy = found
        .iter()
        .filter(|found| **found == Err(CredentialFault::Busy));
    assert_eq!(busy.count(), 1, "{found:?}");
}

#[tokio::test]
async fn a_fetch_under_an_earlier_trust_decides_nothing_under_the_present_one() {
    let bench = Arc::new(Bench::new().await);
    let signer = bench.signer();
    bench.page("/a.cer", Vec::new());
    let earlier = Arc::clone(&bench);
    let earlier = tokio::spawn(async move { earlier.verify("/a.cer", &earlier.signer()).await });
    while bench.visits("/a.cer") == 0 {
        tokio::task::yield_now().await;
    }
    bench.credential("/a.cer", &signer);
    bench.trust(Revoked::default());
    assert_eq!(bench.verify("/a.cer", &signer).await, Ok(()));
    assert_eq!(earlier.await.unwrap(), Err(CredentialFault::Timeout));
    assert_eq!(bench.verify("/a.cer", &signer).await, Ok(()));
}

#[tokio::test]
async fn a_signed_invite_is_verified_from_its_octets_to_its_credential() {
    let bench = Bench::new().await;
    let signer = bench.signer();
    bench.credential("/shaken.cer", &signer);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let encoded = |octets: &[u8]| {
        let usual = base64_encode(octets).replace('+', "-").replace('/', "_");
        usual.trim_end_matches('=').to_owned()
    };
    let header = format!(
        r#"{{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"https://{HOST}/shaken.cer"}}"#
    );
    let claims = format!(
        r#"{{"attest":"A","dest":{{"tn":["12155550131"]}},"iat":{},"orig":{{"tn":"12155550121"}},"origid":"123e4567-e89b-12d3-a456-426655440000"}}"#,
        now.as_secs()
    );
    let input = format!(
        "{}.{}",
        encoded(header.as_bytes()),
        encoded(claims.as_bytes())
    );
    let token = format!("{input}.{}", encoded(&signature(&signer, input.as_bytes())));
    for (calling, is_good) in [("12155550121", true), ("12155550122", false)] {
        let invite = format!(
            "INVITE sip:+12155550131@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
             From: <sip:+{calling}@example.com>;tag=1\r\nTo: <sip:+12155550131@example.com>\r\nCall-ID: 1\r\n\
             CSeq: 1 INVITE\r\nMax-Forwards: 70\r\n\
             Identity: {token};info=<https://{HOST}/shaken.cer>;alg=ES256;ppt=shaken\r\nContent-Length: 0\r\n\r\n"
        );
        let message = Message::parse(invite.into(), &Limits::default()).unwrap();
        let signatures = Signatures::of(&message);
        let numbers = Numbers::of(&message, false, Tn::parse("12155550131"));
        let at = UnixTime::from_micros(u64::try_from(now.as_micros()).unwrap());
        match judge(&signatures, &message, &numbers, at, Duration::from_secs(60)) {
            Judged::Ask(checks, _) => {
                assert!(is_good);
                assert_eq!(bench.ask("carrier-a", checks).await, Ok(()));
            }
            Judged::Done(verdict) => assert!(!is_good, "{verdict:?}"),
        }
    }
}
