//! What metrics say of the ends of calls: results, post-dial delay, and sub-codes of Microsoft (TDR-MON-001,
//! TDR-MON-003).

use crate::daemon::{Node, Phone, exit_to, request};
use std::time::{Duration, Instant};

/// The metrics once they have this line; records are counted a moment after the last message.
async fn metrics_with(node: &Node, line: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let text = node.ask("GET", "/metrics").await.body;
        if text.lines().any(|own| own == line) {
            return text;
        }
        assert!(Instant::now() < deadline, "{line} is not in\n{text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    let value = line.and_then(|rest| rest.trim().parse().ok());
    value.unwrap_or_else(|| panic!("{series} is not in\n{text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_delays_and_sub_codes_are_counted_for_both_sides() {
    let (caller, callee) = (Phone::new("127.0.0.1").await, Phone::new("127.0.0.2").await);
    let node = Node::start_with(|text| text + &exit_to(callee.address)).await;
    let ours = node.udp();
    let uri = format!("sip:+15550100@{ours}");
    let guid = "0b2f3c4d-1111-2222-3333-444455556666";
    for (id, status, reason) in [
        ("busy", "486 Busy Here", ""),
        ("declined", "603 Decline", ""),
        ("gone", "480 Gone", "10037"),
        ("lost", "408 Request Timeout", ""),
        ("rang", "408 Request Timeout", ""),
        ("broken", "503 Unavailable", ""),
        ("ours", "480 Gone", "560480"),
    ] {
        let invite = request("INVITE", &uri, caller.address, &caller.description());
        let invite = invite.replace("test1", id);
        caller.send(&invite, ours).await;
        let (asked, from) = callee.hears("INVITE ").await;
        if id == "busy" {
            // Half a second of ringing is half a second of the caller's life.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        if ["busy", "rang"].contains(&id) {
            callee.answers("180 Ringing", &asked, from, "").await;
            caller.hears("SIP/2.0 180").await;
        }
        let told = match reason {
            "" => status.to_owned(),
            code => format!("{status}\r\nReason: Q.850;cause=20;text=\"{guid};{code}\""),
        };
        callee.answers(&told, &asked, from, "").await;
        callee.hears("ACK ").await;
        caller.hears(&format!("SIP/2.0 {}", &status[..1])).await;
    }
    let result = |trunk: &str, dir: &str, result: &str, count: u32| {
        format!(
            "sbc_call_results_total{{dir=\"{dir}\",result=\"{result}\",tenant=\"contoso\",trunk=\"{trunk}\"}} {count}"
        )
    };
    let code =
        |code: &str| format!("sbc_teams_subcodes_total{{subcode=\"{code}\",trunk=\"exit\"}} 1");
    // What is asked while the last call is counted has only some of it.
    metrics_with(&node, &code("560xxx")).await;
    for (trunk, dir) in [("carrier", "in"), ("exit", "out")] {
        for (what, count) in [
            ("busy", 1),
            ("rejected", 1),
            ("no_answer", 3),
            // Also the one of which nothing was heard but that the time was over.
            ("failed", 2),
        ] {
            metrics_with(&node, &result(trunk, dir, what, count)).await;
        }
        let text = node.ask("GET", "/metrics").await.body;
        // Two calls rang, and nobody answered.
        let series =
            format!("sbc_post_dial_delay_seconds_count{{dir=\"{dir}\",trunk=\"{trunk}\"}}");
        assert!((value(&text, &series) - 2.0).abs() < 0.1);
        let series = format!("sbc_post_dial_delay_seconds_sum{{dir=\"{dir}\",trunk=\"{trunk}\"}}");
        let waited = value(&text, &series);
        assert!((0.49..5.0).contains(&waited), "{waited}");
    }
    let text = metrics_with(&node, &code("10037")).await;
    // How figures of reports are made of these is said where they are.
    assert!(text.contains("NER as Microsoft counts it = 100"), "{text}");
}
